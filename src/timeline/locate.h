/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOCATE_H
#define JT_LOCATE_H
/*
 * When did a periodic sensor update? A poll only tells that it happened since
 * the last poll; successive updates are one period apart, so their brackets
 * narrow each other. Pure.
 */
#include <stdint.h>

struct jt_locator {
	uint64_t nominal_ns;               /* the period to expect */
	uint64_t jitter_ns;                /* how far two updates may be from whole periods apart */
	uint64_t lo_ns, hi_ns;             /* bracket of the last update; hi 0: none yet */
	uint64_t first_lo_ns, first_hi_ns; /* of the update that the period is measured from */
	uint64_t n;                        /* periods since then */
	uint64_t period_lo_ns, period_hi_ns;
};

void jt__locator_init(struct jt_locator *l, uint64_t nominal_period_ns);

/* No two updates are further apart. */
uint64_t jt__locator_longest_ns(const struct jt_locator *l);

/*
 * The value changed after @after_ns and not later than @until_ns. Returns the best guess of the
 * instant of the (last) update in there, and how far off it may be.
 */
uint64_t jt__locator_update(struct jt_locator *l, uint64_t after_ns, uint64_t until_ns,
                            uint64_t *ret_edge_ns);

/* Period seen so far; 0 while it is only the nominal one. */
uint64_t jt__locator_period_ns(const struct jt_locator *l);

#endif
