/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_COMPAT_H
#define JT_COMPAT_H
/*
 * Standard output as the reference simulator prints it, to the byte, but for the heading above
 * "Input configuration" and what depends on the machine. One thread.
 */
#include <stdio.h>
#include "simulator/results.h"

/* What the heading repeats of the command line. */
struct jt_compat_input {
	const char *cluster_config, *run_id;
	const char *dataset; /* NULL: the built-in one */
	const char *output;  /* where the requests go; NULL: nowhere */
	const char *routing, *experts, *prefix_storage, *network, *log_level;
	const struct jt_serving_defaults *serving;
	uint64_t t_unix_ns; /* stands before remarks */
};

void jt__compat_begin(const struct jt_sim_results *r, const struct jt_compat_input *in, FILE *to);
void jt__compat_beat(const struct jt_sim_results *r, const struct jt_sim_beat *beat, FILE *to);
/* The lines of log level INFO on a batch's energy, as of @t_unix_ns. */
void jt__compat_booking(const struct jt_sim_booking *b, uint64_t t_unix_ns, FILE *to);
/* JT_ENOMEM. @wall_ns: how long it took. */
int jt__compat_end(const struct jt_sim_results *r, const struct jt_compat_input *in,
                   uint64_t wall_ns, FILE *to);

/* A double as Python's repr(): the shortest that reads back, with a point or an exponent. */
const char *jt__compat_repr(double v, char out[48]);

#endif
