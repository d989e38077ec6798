/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TALLY_H
#define JT_TALLY_H
/*
 * Mean and quantiles of any number of values in bounded memory: how often each value came. Exact up
 * to JT_TALLY_DISTINCT different values; beyond that neighbours are counted as one, first pairs,
 * then fours, … so that a quantile is off by at most half of jt__tally_step(). The mean is always
 * exact. Pure; one thread.
 */
#include "base/base.h"

#define JT_TALLY_DISTINCT 786432 /* three quarters of 2^20 places of 16 bytes */

struct jt_tally_place;

/* Zero-initialise. */
struct jt_tally {
	struct jt_tally_place *places; /* an open hash table */
	uint32_t n_bits;               /* 2^n_bits places */
	uint32_t shift;                /* values are counted without their last @shift bits */
	uint64_t n_distinct;
	uint64_t n;
	unsigned __int128 sum;
};

/* JT_ENOMEM: some of the values are not in it. */
int jt__tally_add(struct jt_tally *t, const uint64_t *values, size_t n);
/* All of @other's too, as coarse as the coarser of both. JT_ENOMEM: throw @t away. */
int jt__tally_merge(struct jt_tally *t, const struct jt_tally *other);
void jt__tally_fini(struct jt_tally *t); /* empty, and may be used again */

/* As numpy has them: between two values it is linear. NaN without values. */
double jt__tally_mean(const struct jt_tally *t);
/* @quantiles: ascending, in 0…1. JT_ENOMEM. */
int jt__tally_quantiles(const struct jt_tally *t, const double *quantiles, size_t n,
                        double *ret_values);
static inline uint64_t jt__tally_step(const struct jt_tally *t)
{
	return UINT64_C(1) << t->shift;
}

#endif
