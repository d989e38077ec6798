/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_METRICS_H
#define JT_METRICS_H
/*
 * What is scraped: sums and histograms of the finished requests by model and task class, the energy
 * domains as the meter has them, and this process. Belongs to one thread, the meter's.
 */
#include <stdbool.h>
#include "base/buf.h"
#include "exporters/expose.h"
#include "jouletap/meter.h"
#include "jouletap/record.h"

/* Pairs of model and task class that have series of their own; the rest share one. */
#define JT_METRICS_MAX_PAIRS 256

struct jt_metrics; /* opaque */

int jt__metrics_new(struct jt_metrics **ret_metrics, struct jt_error *err); /* JT_ENOMEM */
void jt__metrics_free(struct jt_metrics *m);                                /* accepts NULL */

/* A request is over. O(1); allocates nothing. */
void jt__metrics_record(struct jt_metrics *m, const struct jt_record *r);

/* What the gateway counts; JT_NONE: it does not. */
struct jt_metrics_extra {
	uint64_t n_in_flight;
	uint64_t n_notes_lost;      /* what workers told the meter and it never heard */
	uint64_t n_lines_lost;      /* of the access log and the recording */
	uint64_t n_unmetered;       /* requests served without being metered */
	uint64_t bookkeeper_cpu_ns; /* of the threads, so far */
	uint64_t workers_cpu_ns;
};

/* The bytes of one scrape; @out fails where its maximum is too small. */
void jt__metrics_render(const struct jt_metrics *m, struct jt_meter *meter,
                        const struct jt_metrics_extra *x, bool openmetrics, struct jt_buf *out);

/* As members of an object: ,"own":{…}. */
void jt__own_cost_json(struct jt_buf *b, const struct jt_own_cost *own);

/* All that a scrape can have, whatever this machine can tell: docs/metrics.md. */
void jt__metrics_families(jt_family_fn each, void *user);

#endif
