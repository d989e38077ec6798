/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NETWORK_H
#define JT_NETWORK_H
/*
 * What messages and collectives take, as ASTRA-sim's congestion-unaware analytical network has it:
 * a message takes latency and size over bandwidth, collectives are rings, and ranks that come late
 * delay their neighbours. Pure.
 */
#include "base/base.h"

struct jt_link {
	double bytes_per_ns; /* of a link; a "GB" is 2^30 bytes here, as in the reference */
	double latency_ns;
	double reduce_bytes_per_ns; /* of the memory that sums up what arrives */
};

uint64_t jt__link_ns(const struct jt_link *l, uint64_t bytes); /* of one message */

/* Who wants to know the first thing that happens at or after an instant. */
struct jt_watch {
	uint64_t from_ns;
	uint64_t first_ns;
};
static inline void jt__tell(struct jt_watch *w, uint64_t t_ns) /* accepts NULL */
{
	if (w && t_ns >= w->from_ns && t_ns < w->first_ns)
		w->first_ns = t_ns;
}
/* Whether what happens from @begin_ns to @end_ns could make a difference to it. */
static inline bool jt__hears(const struct jt_watch *w, uint64_t begin_ns, uint64_t end_ns)
{
	return w && end_ns >= w->from_ns && begin_ns < w->first_ns;
}

enum jt_collective { JT_ALL_REDUCE, JT_ALL_GATHER, JT_REDUCE_SCATTER };

/*
 * One collective over a ring of @n ranks (at least 2; up to JT_RING_MAX), @step apart in @t from
 * its begin: they come to it at the times that stand there, and leave it at those that are written
 * there. @watch hears of every message, unless NULL. @bytes: the whole buffer; for an all-gather
 * one rank's part.
 */
#define JT_RING_MAX 1024
void jt__ring(const struct jt_link *l, enum jt_collective kind, uint64_t bytes, uint64_t *t,
              uint32_t step, uint32_t n, struct jt_watch *watch);

/* Bytes that a collective moves over the links, as one rank's share; times n for all of them. */
double jt__ring_bytes(enum jt_collective kind, double bytes, uint32_t n);

#endif
