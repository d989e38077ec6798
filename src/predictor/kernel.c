/* SPDX-License-Identifier: Apache-2.0 */
/* A weighted sum over support rows of what likeness to each says, eight rows at a time. */
#include <float.h>
#include <string.h>
#include "predictor/parts.h"

#define FARTHEST 1e4f /* squared lengths; nothing of any shape is left there */

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));

static lanes all(float v)
{
	return (lanes){ v, v, v, v };
}

static lanes smaller(lanes a, lanes b)
{
	masks first = a < b;

	return (lanes)((first & (masks)a) | (~first & (masks)b));
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

static lanes root(lanes v)
{
	return (lanes){ __builtin_sqrtf(v[0]), __builtin_sqrtf(v[1]), __builtin_sqrtf(v[2]),
		        __builtin_sqrtf(v[3]) };
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

/* Of the JT_LANES rows of a block; @at is where we are, in lengths. */
static void measure(const float *rows, uint32_t n, const float *at, lanes squared[2])
{
	lanes low = all(0), high = all(0);

	for (uint32_t j = 0; j < n; j++, rows += JT_LANES) {
		lanes here = all(at[j]), d, e;

		memcpy(&d, rows, sizeof(d));
		memcpy(&e, rows + JT_LANES / 2, sizeof(e));
		d -= here;
		e -= here;
		low += d * d;
		high += e * e;
	}
	squared[0] = smaller(low, all(FARTHEST));
	squared[1] = smaller(high, all(FARTHEST));
}

double jt__kernel_part(const struct jt_fitted *f, const struct jt_part *p, const double *z,
                       float *ret_squared, uint32_t *ret_nearest)
{
	const uint32_t *used = jt__fitted_at(f, p->used.at);
	const double *inverse = jt__fitted_at(f, p->inverse.at);
	const double *weights = jt__fitted_at(f, p->weights.at);
	const float *rows = jt__fitted_at(f, p->rows.at);
	float at[JT_MAX_FEATURES], squared[JT_LANES], alike[JT_LANES];
	double sum = 0;

	for (uint32_t j = 0; j < p->used.n; j++)
		at[j] = (float)(z[used[j]] * inverse[j]);
	*ret_squared = FLT_MAX;
	*ret_nearest = 0;
	for (uint32_t i = 0; i < p->weights.n; i += JT_LANES, rows += JT_LANES * p->used.n) {
		uint32_t n = JT_MIN(p->weights.n - i, JT_LANES);
		lanes v[2];

		measure(rows, p->used.n, at, v);
		memcpy(squared, v, sizeof(squared));
		v[0] = likeness(p->shape, v[0]);
		v[1] = likeness(p->shape, v[1]);
		memcpy(alike, v, sizeof(alike));
		for (uint32_t k = 0; k < n; k++) {
			sum += weights[i + k] * alike[k];
			if (squared[k] < *ret_squared) {
				*ret_squared = squared[k];
				*ret_nearest = i + k;
			}
		}
	}
	return sum;
}
