/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include "trainer/metrics.h"

static int ascending(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double jt__median(double *v, size_t n)
{
	if (!n)
		return NAN;
	qsort(v, n, sizeof(*v), ascending);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double jt__conformal_quantile(double *v, size_t n, double part)
{
	/* What 0.9 lacks in binary must not make it one more. */
	double rank = ceil((double)(n + 1) * part - 1e-9);

	if (!n)
		return NAN;
	qsort(v, n, sizeof(*v), ascending);
	return v[rank < 1 ? 0 : JT_MIN((size_t)rank, n) - 1];
}

struct sums {
	double square, absolute, relative, truth, truth_square;
	size_t covered;
};

static void add(struct sums *s, double truth, double predicted)
{
	double d = predicted - truth;

	s->square += d * d;
	s->absolute += fabs(d);
	s->relative += fabs(d) / truth;
	s->truth += truth;
	s->truth_square += truth * truth;
}

int jt__measure(const struct jt_scored *s, struct jt_metrics *ret, struct jt_error *err)
{
	double *ape = jt__alloc(3 * JT_MAX(s->n, 1), sizeof(*ape)), *bias, *width, around;
	struct sums sums = { 0 };
	size_t n = s->n, n_intervals = 0;

	if (!ape)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	bias = ape + s->n;
	width = bias + s->n;
	for (size_t i = 0; i < s->n; i++) {
		add(&sums, s->truth[i], s->predicted[i]);
		ape[i] = fabs(s->predicted[i] - s->truth[i]) / s->truth[i];
		bias[i] = log(JT_MAX(s->predicted[i], 1e-300) / s->truth[i]);
		if (s->lo && !isnan(s->lo[i])) {
			sums.covered += s->lo[i] <= s->truth[i] && s->truth[i] <= s->hi[i];
			width[n_intervals++] = s->hi[i] / s->lo[i];
		}
	}
	around = sums.truth_square - sums.truth * sums.truth / (double)n;
	*ret = (struct jt_metrics){
		.n = n,
		.rmse = sqrt(sums.square / (double)n),
		.mae = sums.absolute / (double)n,
		.mape = sums.relative / (double)n,
		.median_ape = jt__median(ape, n),
		.bias = jt__median(bias, n),
		.r2 = around > 1e-12 * sums.truth_square ? 1 - sums.square / around : NAN,
		.covered = n_intervals ? (double)sums.covered / (double)n_intervals : NAN,
		.width = jt__median(width, n_intervals),
	};
	jt__free(ape);
	return JT_OK;
}
