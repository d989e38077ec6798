/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SAMPLER_H
#define JT_SAMPLER_H
/*
 * Reads every domain on time, one ring a domain to the consumer. One thread reads them all for as
 * long as their readings are quick; a domain that is slow, or hangs, gets one of its own, and has
 * then delayed the others once, by less than 0.1 s. The tick neither allocates nor locks. Between
 * ticks the updates of slow counters are located (pacer.h). Start, stop and pop from one thread.
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

/* CPU time of its threads; a thread that has ended is no longer in it. NULL has none. */
uint64_t jt__sampler_cpu_ns(const struct jt_sampler *s);

struct jt_sampler_stats {
	uint64_t n_reads;
	uint64_t n_late;      /* ticks left out because a read took too long */
	uint64_t n_dropped;   /* samples lost because nobody popped */
	uint64_t max_read_ns; /* the slowest read so far */
};
void jt__sampler_stats(const struct jt_sampler *s, size_t i, struct jt_sampler_stats *ret_stats);

#endif
