/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_RECORDS_H
#define JT_SIM_RECORDS_H
/* Simulated requests as our own records, see jouletap-record(5). One thread. */
#include "simulator/sim.h"

struct jt_sim_records; /* opaque */

/* Begins @path ("-": stdout); one that is there is put aside under the time of its last line. */
int jt__records_open(const char *path, const struct jt_cluster *cluster,
                     struct jt_sim_records **ret_records, struct jt_error *err);
void jt__records_put(struct jt_sim_records *r, const struct jt_sim_request *request);
/* JT_OK, or JT_EIO when lines are missing. */
int jt__records_status(const struct jt_sim_records *r, struct jt_error *err);
void jt__records_close(struct jt_sim_records *r); /* accepts NULL */

#endif
