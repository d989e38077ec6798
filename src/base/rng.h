/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RNG_H
#define JT_RNG_H
/* Reproducible random numbers for simulation and tests (splitmix64, Steele et al. 2014). */
#include <stdint.h>

struct jt_rng {
	uint64_t state;
};

static inline uint64_t jt__rng_u64(struct jt_rng *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* Uniform in [0, 1). */
static inline double jt__rng_unit(struct jt_rng *r)
{
	return (double)(jt__rng_u64(r) >> 11) * 0x1p-53;
}

/* Uniform in [0, n), n > 0; the bias is below n / 2^64. */
static inline uint64_t jt__rng_below(struct jt_rng *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)jt__rng_u64(r) * n) >> 64);
}

#endif
