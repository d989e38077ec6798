/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_SUMMARY_H
#define JT_SIM_SUMMARY_H
/* What a simulation comes to, for people and as JSON. One thread. */
#include <stdio.h>
#include "base/buf.h"
#include "simulator/results.h"

/* One heartbeat on one line: "[INFO] step=42 batch=8 prompt_t=1.2k tok/s … power=712 W". */
void jt__summary_beat(const struct jt_sim_results *r, const struct jt_sim_beat *beat, FILE *to);
/* Throughput, latencies, and where the joules of each node went. JT_ENOMEM. */
int jt__summary_print(const struct jt_sim_results *r, FILE *to);
/* The same as one JSON object, with the series of power. JT_ENOMEM. */
int jt__summary_json(const struct jt_sim_results *r, struct jt_buf *b);

#endif
