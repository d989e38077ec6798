/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SAMPLER_H
#define JT_SAMPLER_H
/*
 * Reads every domain on time: one thread a domain, so that a driver call that
 * takes 500 ms delays nobody else, and one ring a domain to the consumer. The tick
 * neither allocates nor locks. Between ticks the updates of slow counters are
 * located (pacer.h). Start, stop and pop from one thread.
 */
#include <stdbool.h>
#include "jouletap/source.h"

struct jt_sampler; /* opaque */

/* @period_ns: 10 ms to 10 s. The domains are copied; their sources must outlive the sampler. */
int jt__sampler_start(const struct jt_meter_domain *const *domains, size_t n, uint64_t period_ns,
                      struct jt_sampler **ret_sampler, struct jt_error *err);
/*
 * Waits for the threads; a read under way is waited for at most 2 s and then abandoned: false. Its
 * thread keeps what it needs of ours, but the sources must then stay open, since it is still
 * inside one of them. Accepts NULL.
 */
bool jt__sampler_stop(struct jt_sampler *s);

/* The next sample of domain @i in time order; false when there is none yet. */
bool jt__sampler_pop(struct jt_sampler *s, size_t i, struct jt_sample *ret_sample);

struct jt_sampler_stats {
	uint64_t n_reads;
	uint64_t n_late;      /* ticks left out because a read took too long */
	uint64_t n_dropped;   /* samples lost because nobody popped */
	uint64_t max_read_ns; /* the slowest read so far */
};
void jt__sampler_stats(const struct jt_sampler *s, size_t i, struct jt_sampler_stats *ret_stats);

#endif
