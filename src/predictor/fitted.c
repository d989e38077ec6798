/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From features to joules. Rows go in blocks, and a tree is done for all rows of a block before the
 * next, so that it is fetched once. No sum is ever reordered, exp and log are our own: with
 * -ffp-contract=off every machine gives the same bits.
 */
#include <float.h>
#include <math.h>
#include <string.h>
#include "predictor/fitted.h"
#include "predictor/parts.h"
#include "model/realmath.h"

/* A row as all but the trees want it: as it is, and standardised. */
struct row {
	double x[JT_MAX_FEATURES];
	double z[JT_MAX_FEATURES];
};

static int prepare(const struct jt_fitted *f, const double *features, struct row *r)
{
	for (uint32_t i = 0; i < f->n_features; i++) {
		double x = features[f->index[i]];

		if (isinf(x))
			return JT_EINVAL;
		r->x[i] = x;
		r->z[i] = isnan(x) ? 0 : (x - f->mean[i]) * f->inverse[i];
	}
	return JT_OK;
}

static double log_of_sum(const struct jt_fitted *f, const struct jt_part *p, const struct row *r)
{
	const uint32_t *used = jt__fitted_at(f, p->used.at);
	const double *c = jt__fitted_at(f, p->coefficients.at);
	double sum = 0;

	for (uint32_t i = 0; i < p->used.n; i++)
		sum += c[i] * r->x[used[i]];
	return sum > 0 ? jt__ln(sum) : NAN;
}

static double linear(const struct jt_fitted *f, const struct jt_part *p, const struct row *r)
{
	const double *c = jt__fitted_at(f, p->coefficients.at);
	double sum = p->constant;

	for (uint32_t i = 0; i < p->coefficients.n; i++)
		sum += c[i] * r->z[i];
	return sum;
}

/* All parts but trees and kernels. */
static void add_simple(const struct jt_fitted *f, const struct row *r, struct jt_prediction *out)
{
	for (uint32_t i = 0; i < f->n_parts; i++) {
		const struct jt_part *p = &f->parts[i];

		if (p->kind == JT_PART_SUM)
			out->parts[i] = p->weight * log_of_sum(f, p, r);
		else if (p->kind == JT_PART_LINEAR)
			out->parts[i] = p->weight * linear(f, p, r);
	}
}

/* Of @n rows; notes the nearest support row of the first kernel. */
static void add_kernels(const struct jt_fitted *f, const struct row *rows, uint32_t n,
                        struct jt_prediction *out)
{
	const double *z[JT_AT_ONCE];
	struct jt_kernel_sum sums[JT_AT_ONCE];

	for (uint32_t k = 0; k < n; k++)
		z[k] = rows[k].z;
	for (uint32_t i = 0; i < f->n_parts; i++) {
		const struct jt_part *p = &f->parts[i];

		if (p->kind != JT_PART_KERNEL)
			continue;
		JT_WIDEST(jt__kernel_part)(f, p, z, n, sums);
		for (uint32_t k = 0; k < n; k++) {
			out[k].parts[i] = p->weight * sums[k].sum;
			if (out[k].nearest >= 0)
				continue;
			out[k].nearest = (int32_t)sums[k].nearest;
			out[k].distance = __builtin_sqrt(sums[k].squared);
		}
	}
}

/* The feature that is farthest beyond the data, in deviations. */
static void check_ranges(const struct jt_fitted *f, const struct row *r, struct jt_prediction *out)
{
	double farthest = 0;

	for (uint32_t i = 0; i < f->n_features; i++) {
		double beyond = r->x[i] < f->min[i] ? f->min[i] - r->x[i] : r->x[i] - f->max[i];

		if (!(beyond > 0) || beyond * f->inverse[i] <= farthest)
			continue;
		farthest = beyond * f->inverse[i];
		out->range_feature = (int32_t)i;
		out->outside |= JT_OUTSIDE_RANGE;
	}
	if (f->reach >= 0 && out->distance > f->reach)
		out->outside |= JT_OUTSIDE_FAR;
}

/* @n rows more, up to the first that cannot be read. */
static int begin(const struct jt_fitted *f, uint32_t n, const double *features, size_t stride,
                 struct jt_block *b, struct jt_prediction *out)
{
	const struct jt_prediction blank = { .factor = 1,
		                             .half_width = f->half_width,
		                             .distance = NAN,
		                             .nearest = -1,
		                             .group = -1,
		                             .range_feature = -1 };
	struct row rows[JT_AT_ONCE];
	uint32_t k;
	int status = JT_OK;

	for (k = 0; k < n; k++) {
		out[k] = blank;
		status = prepare(f, features + k * stride, &rows[k]);
		if (status)
			break;
		jt__block_row(b, b->n + k, f->n_features, rows[k].x);
		add_simple(f, &rows[k], &out[k]);
	}
	b->n += k;
	add_kernels(f, rows, k, out);
	while (k-- > 0)
		check_ranges(f, &rows[k], &out[k]);
	return status;
}

static void add_trees(const struct jt_fitted *f, struct jt_block *b, struct jt_prediction *out)
{
	for (uint32_t i = 0; i < f->n_parts; i++) {
		const struct jt_part *p = &f->parts[i];

		if (p->kind != JT_PART_TREES)
			continue;
		JT_WIDEST(jt__trees_part)(f, p, b);
		for (uint32_t k = 0; k < b->n; k++)
			out[k].parts[i] = p->weight * b->sums[k];
	}
}

int jt__fitted_joules(struct jt_prediction *p)
{
	p->j_per_token = jt__exp(p->log_j) * p->factor;
	p->lo_j = p->j_per_token * jt__exp(-p->half_width);
	p->hi_j = p->j_per_token * jt__exp(p->half_width);
	return p->lo_j > 0 && p->hi_j <= DBL_MAX ? JT_OK : JT_ERANGE;
}

static int finish(const struct jt_fitted *f, struct jt_prediction *p)
{
	for (uint32_t i = 0; i < f->n_parts; i++)
		p->log_j += p->parts[i];
	return jt__fitted_joules(p);
}

/* A block of rows, up to the first that fails. */
static int predict_block(const struct jt_fitted *f, size_t n, const double *features, size_t stride,
                         struct jt_prediction *ret)
{
	struct jt_block b;
	int unread = JT_OK;

	for (b.n = 0; !unread && b.n < n;)
		unread = begin(f, JT_MIN(n - b.n, JT_AT_ONCE), features + b.n * stride, stride, &b,
		               ret + b.n);
	add_trees(f, &b, ret);
	for (uint32_t k = 0; k < b.n; k++) {
		int status = finish(f, &ret[k]);

		if (status)
			return status;
	}
	return unread;
}

int jt__fitted_predict_batch(const struct jt_fitted *f, size_t n, const double *features,
                             size_t stride, struct jt_prediction *ret)
{
	int status = JT_OK;

	for (size_t i = 0; !status && i < n; i += JT_BLOCK)
		status = predict_block(f, JT_MIN(n - i, JT_BLOCK), features + i * stride, stride,
		                       ret + i);
	return status;
}

int jt__fitted_predict(const struct jt_fitted *f, const double *features, struct jt_prediction *ret)
{
	return jt__fitted_predict_batch(f, 1, features, 0, ret);
}
