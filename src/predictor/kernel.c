/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A weighted sum over support rows of what likeness to each says, a block of JT_LANES of them at a
 * time, for several questions at once: a support row is loaded once for all of them, and while one
 * sum waits for its last addend, the processor is at another.
 */
#include <float.h>
#include <string.h>
#include "predictor/lanes.h"

#define FARTHEST 1e4f /* squared lengths; nothing of any shape is left there */
#define PIECES (JT_LANES / JT_WIDTH)
#define TOGETHER JT_WIDTH /* questions whose distances fit the registers */

/* What is known of a question so far. */
struct found {
	float squared[JT_LANES], alike[JT_LANES]; /* of the rows of a block */
	/* Of all rows before it, by lane: the nearest, and in which block it was. */
	float nearest[JT_LANES];
	int32_t block[JT_LANES];
};

static inline lanes smaller(lanes a, lanes b)
{
	return (lanes)choose(a < b, (masks)a, (masks)b);
}

/*
 * e^-x for x >= 0, within 2e-7 of it. -x = k ln 2 + r; ln 2 in two pieces, the first so short that
 * k times it is exact; e^r by its series, the first term left out is r^8 / 8!, below 2^-27.
 */
static inline lanes exp_minus(lanes x)
{
	const lanes whole = all(0x1.8p23f); /* there floats are whole numbers */
	lanes k, r, series;
	masks power;

	x = -smaller(x, all(87)); /* 2^k stays a normal number */
	k = x * all(0x1.715476p+0f) + whole;
	k -= whole;
	r = x - k * all(0x1.62e4p-1f) - k * all(0x1.7f7d1cp-20f);
	series = all(1 / 5040.0f);
	series = series * r + all(1 / 720.0f);
	series = series * r + all(1 / 120.0f);
	series = series * r + all(1 / 24.0f);
	series = series * r + all(1 / 6.0f);
	series = series * r + all(0.5f);
	series = series * r + all(1);
	series = series * r + all(1);
	power = (__builtin_convertvector(k, masks) + 127) << 23;
	return series * (lanes)power;
}

static inline lanes likeness(uint32_t shape, lanes squared)
{
	lanes a;

	if (shape == JT_KERNEL_RBF)
		return exp_minus(all(0.5f) * squared);
	a = root(all(shape == JT_KERNEL_MATERN32 ? 3 : 5) * squared);
	if (shape == JT_KERNEL_MATERN32)
		return (all(1) + a) * exp_minus(a);
	return (all(1) + a + a * a * all(1 / 3.0f)) * exp_minus(a);
}

/* From @n_at questions to the rows of a block. @at: a length of all questions, then the next. */
JT_INLINE void measure(const float *rows, uint32_t n_used, const float *at, uint32_t n_at,
                       struct found *found)
{
	lanes sums[TOGETHER * PIECES];

	UNROLL
	for (uint32_t i = 0; i < n_at * PIECES; i++)
		sums[i] = all(0);
	for (uint32_t j = 0; j < n_used; j++, rows += JT_LANES, at += JT_AT_ONCE) {
		UNROLL
		for (uint32_t i = 0; i < n_at * PIECES; i++) {
			lanes d = load(rows + i % PIECES * JT_WIDTH) - all(at[i / PIECES]);

			sums[i] += d * d;
		}
	}
	UNROLL
	for (uint32_t i = 0; i < n_at * PIECES; i++)
		store(found[i / PIECES].squared + i % PIECES * JT_WIDTH,
		      smaller(sums[i], all(FARTHEST)));
}

static inline void compare(uint32_t shape, int32_t block, struct found *f)
{
	for (uint32_t i = 0; i < JT_LANES; i += JT_WIDTH) {
		lanes squared = load(f->squared + i), nearest = load(f->nearest + i);
		masks nearer = squared < nearest, old, new = block - (masks){ 0 };

		store(f->alike + i, likeness(shape, squared));
		store(f->nearest + i, (lanes)choose(nearer, (masks)squared, (masks)nearest));
		memcpy(&old, f->block + i, sizeof(old));
		new = choose(nearer, new, old);
		memcpy(f->block + i, &new, sizeof(new));
	}
}

/* Row by row, for all questions. */
JT_INLINE void add(const double *weights, const struct found *found, uint32_t n_at, double *sums)
{
	double addends[JT_AT_ONCE][JT_LANES];

	for (uint32_t q = 0; q < n_at; q++)
		for (uint32_t i = 0; i < JT_LANES; i++)
			addends[q][i] = weights[i] * found[q].alike[i];
	for (uint32_t i = 0; i < JT_LANES; i++) {
		UNROLL
		for (uint32_t q = 0; q < n_at; q++)
			sums[q] += addends[q][i];
	}
}

/* The first of the nearest. */
static void find_nearest(const struct found *f, struct jt_kernel_sum *ret)
{
	ret->squared = FLT_MAX;
	for (uint32_t i = 0; i < JT_LANES; i++) {
		uint32_t row = (uint32_t)f->block[i] * JT_LANES + i;

		if (f->nearest[i] > ret->squared ||
		    (f->nearest[i] == ret->squared && row > ret->nearest))
			continue;
		ret->squared = f->nearest[i];
		ret->nearest = row;
	}
}

/* Rows beyond the last have weight 0 and are far from all. */
static const double *pad(const double *weights, uint32_t n, double *padded, struct found *found)
{
	memset(padded, 0, JT_LANES * sizeof(*padded));
	memcpy(padded, weights, n * sizeof(*padded));
	for (uint32_t q = 0; q < JT_AT_ONCE; q++)
		for (uint32_t i = n; i < JT_LANES; i++)
			found[q].squared[i] = FARTHEST;
	return padded;
}

JT_INLINE void go_through(const struct jt_fitted *f, const struct jt_part *p, const float *at,
                          uint32_t n_at, struct found *found, double *sums)
{
	const double *weights = jt__fitted_at(f, p->weights.at);
	const float *rows = jt__fitted_at(f, p->rows.at);
	double padded[JT_LANES];

	for (uint32_t i = 0; i < p->weights.n; i += JT_LANES, rows += JT_LANES * p->used.n) {
		const double *w = weights + i;

		for (uint32_t q = 0; q < n_at; q += TOGETHER)
			measure(rows, p->used.n, at + q, JT_MIN(n_at - q, TOGETHER), found + q);
		if (p->weights.n - i < JT_LANES)
			w = pad(w, p->weights.n - i, padded, found);
		for (uint32_t q = 0; q < n_at; q++)
			compare(p->shape, (int32_t)(i / JT_LANES), &found[q]);
		add(w, found, n_at, sums);
	}
}

void JT_NAME(jt__kernel_part)(const struct jt_fitted *f, const struct jt_part *p,
                              const double *const *z, uint32_t n, struct jt_kernel_sum *ret)
{
	const uint32_t *used = jt__fitted_at(f, p->used.at);
	const double *inverse = jt__fitted_at(f, p->inverse.at);
	float at[JT_MAX_FEATURES * JT_AT_ONCE];
	struct found found[JT_AT_ONCE] = { 0 };
	double sums[JT_AT_ONCE] = { 0 };

	for (uint32_t j = 0; j < p->used.n; j++)
		for (uint32_t q = 0; q < JT_AT_ONCE; q++)
			at[j * JT_AT_ONCE + q] = q < n ? (float)(z[q][used[j]] * inverse[j]) : 0;
	for (uint32_t q = 0; q < JT_AT_ONCE; q++)
		for (uint32_t i = 0; i < JT_LANES; i++)
			found[q].nearest[i] = FLT_MAX;
	if (n == 1 || JT_AT_ONCE == 1)
		go_through(f, p, at, 1, found, sums);
	else
		go_through(f, p, at, JT_AT_ONCE, found, sums);
	for (uint32_t q = 0; q < n; q++) {
		ret[q].sum = sums[q];
		find_nearest(&found[q], &ret[q]);
	}
}
