/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_VCLOCK_H
#define JT_VCLOCK_H
/*
 * The virtual energy clock itself. While requests with a shared cost a and own
 * costs b_i run together, energy dE splits into a shared part dE·a/(a + Σb), of
 * which each of the N pays 1/N, and an own part, of which request i pays b_i/Σb. Two
 * clocks carry this without touching the requests:
 *
 *	dV_own    = dE / (a + Σb)        each pays b_i · dV_own
 *	dV_shared = dV_own · a / N       each pays its dV_shared
 *
 * A request remembers both where it enters and pays the difference where it
 * leaves: the virtual time of fair queueing (Demers, Keshav, Shenker, SIGCOMM
 * 1989), applied to energy.
 *
 * The clocks count 2^-48 µJ. What a division leaves over is carried into the
 * next one, so that nothing drifts; the carries are energy too and part of the
 * conservation check. dE < 2^55 µJ in one step keeps every product in 128 bits.
 */
#include "jouletap/attribution.h"

typedef unsigned __int128 jt_fixed; /* 2^-48 µJ */
#define JT_FIXED_BITS 48

static inline jt_fixed jt__fixed(uint64_t uj)
{
	return (jt_fixed)uj << JT_FIXED_BITS;
}

static inline double jt__fixed_uj(jt_fixed v)
{
	return (double)v * 0x1p-48;
}

struct jt_vclock {
	jt_fixed shared;
	jt_fixed own;
	jt_fixed shared_carry; /* below n */
	jt_fixed own_carry;    /* below a + Σb */
};

/* Where a request stood when it was last settled. */
struct jt_vstand {
	jt_fixed shared;
	jt_fixed own;
};

/* Who shares: the shared cost a, the number of requests that have one, Σb. */
struct jt_crowd {
	uint64_t n;
	uint64_t shared;
	uint64_t own_sum;
};

static inline jt_fixed jt__vclock_divide(jt_fixed amount, uint64_t by, jt_fixed *carry)
{
	jt_fixed sum = amount + *carry, part;

	/* most steps are below 2^16 µJ: half the width is divided in half the time */
	part = sum >> 64 ? sum / by : (uint64_t)sum / by;
	*carry = sum - part * by;
	return part;
}

/* Advances by @energy. The crowd is not empty and not weightless. */
static inline void jt__vclock_run(struct jt_vclock *v, jt_fixed energy, const struct jt_crowd *c)
{
	jt_fixed own = jt__vclock_divide(energy, c->shared + c->own_sum, &v->own_carry);

	v->own += own;
	if (c->shared)
		v->shared += jt__vclock_divide(own * c->shared, c->n, &v->shared_carry);
}

static inline struct jt_vstand jt__vclock_stand(const struct jt_vclock *v)
{
	return (struct jt_vstand){ v->shared, v->own };
}

/* What a request of weight @w owes since @from. */
static inline jt_fixed jt__vclock_owed(const struct jt_vclock *v, const struct jt_vstand *from,
                                       const struct jt_weight *w)
{
	return (v->shared - from->shared) * (w->shared != 0) + (v->own - from->own) * w->own;
}

static inline jt_fixed jt__vclock_carried(const struct jt_vclock *v)
{
	return v->shared_carry + v->own_carry;
}

#endif
