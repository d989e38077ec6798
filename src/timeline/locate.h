/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOCATE_H
#define JT_LOCATE_H
/*
 * When did a periodic sensor update? A poll only tells that it happened since
 * the last poll; but updates are one period apart, so where they were before tells
 * where in this bracket the new one is likely to be. Pure.
 */
#include <stdbool.h>
#include <stdint.h>

struct jt_locator {
	double nominal_ns; /* the period to expect, within 10 % */
	uint64_t grid_ns;  /* where the last update should have been, were there no jitter; 0: none
	                      yet */
	uint64_t n;        /* updates located one from the other */
	unsigned n_confirmed; /* predictions in a row that narrow brackets agreed with */
	double rest_ns;       /* below 1 ns: belongs to grid_ns */
	double period_ns;
	double var_grid, cov, var_period; /* of both, ns² */
	double jitter_ns; /* how far a single update is from the grid: standard deviation */
};

void jt__locator_init(struct jt_locator *l, uint64_t nominal_period_ns);

/* No two updates are further apart. */
uint64_t jt__locator_longest_ns(const struct jt_locator *l);

/*
 * The bracket has room for several updates, and the last is expected so close to its end that
 * nobody knows whether it is in there: a period of error. A later reading tells.
 */
bool jt__locator_doubts(const struct jt_locator *l, uint64_t after_ns, uint64_t until_ns);

/*
 * The value changed after @after_ns and not later than @until_ns. Returns the best guess of the
 * instant of the (last) update in there, never outside of it, and how far off it may be.
 */
uint64_t jt__locator_update(struct jt_locator *l, uint64_t after_ns, uint64_t until_ns,
                            uint64_t *ret_edge_ns);

/* Period seen so far; 0 while it is only the nominal one. */
uint64_t jt__locator_period_ns(const struct jt_locator *l);

#endif
