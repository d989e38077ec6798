/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_CSV_H
#define JT_SIM_CSV_H
/*
 * The reference simulator's file of requests, byte for byte: one row a finished request, grouped by
 * instance. Rows arrive in order of completion; those of instance 0 go to the file at once, those
 * of the others wait in memory, then in nameless files beside it, until the end. So memory does not
 * grow with the number of requests. One thread.
 */
#include "simulator/sim.h"

struct jt_csv; /* opaque */

/* Begins @path with the header; directories that are missing are made. */
int jt__csv_open(const char *path, uint32_t n_instances, struct jt_csv **ret_csv,
                 struct jt_error *err);
void jt__csv_put(struct jt_csv *c, const struct jt_sim_request *r);
/* JT_OK, or what went wrong first; everything after it is lost. */
int jt__csv_status(const struct jt_csv *c, struct jt_error *err);
/* Puts the instances together. The file is complete if this returns JT_OK. */
int jt__csv_finish(struct jt_csv *c, struct jt_error *err);
void jt__csv_free(struct jt_csv *c); /* accepts NULL */

#endif
