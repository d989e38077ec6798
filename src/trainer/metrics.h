/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_METRICS_H
#define JT_METRICS_H
/* How far predictions are from what was measured. Pure but for memory; any thread. */
#include "base/base.h"

struct jt_metrics {
	size_t n;
	double rmse, mae;        /* in the unit of what is scored */
	double mape, median_ape; /* parts of the truth: 0.07 is 7 % */
	double bias;             /* median of log(predicted / truth) */
	double r2;               /* NaN where the truth does not vary */
	double covered;          /* part of the truths inside [lo, hi], of those that have one */
	double width;            /* median of hi / lo; NaN, as covered, without any */
};

/* Rows of which nothing is kept beside the figures; the truth is above 0. @lo, @hi may be
 * NULL, or NaN where there is no interval. */
struct jt_scored {
	const double *truth, *predicted, *lo, *hi;
	size_t n;
};

/* NaN where there are no rows. JT_ENOMEM. */
int jt__measure(const struct jt_scored *s, struct jt_metrics *ret, struct jt_error *err);

/* By ascending value; @v is reordered. The median of an even number is the mean of the middle. */
double jt__median(double *v, size_t n);
/*
 * The value with (at least) @part of @v at or below it and one more for the row to come, as split
 * conformal prediction wants: the ⌈(n + 1) part⌉-th smallest, the largest where there are too few.
 */
double jt__conformal_quantile(double *v, size_t n, double part);

#endif
