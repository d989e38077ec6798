/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_KERNEL_H
#define JT_KERNEL_H
/*
 * Kernel regression on a few support rows: the mean of a Gaussian process with a fixed kernel, by
 * the subset of regressors (Rasmussen and Williams 2006, section 8.3.1). Any thread.
 */
#include "predictor/fitted.h"

extern const char *const jt__kernel_names[]; /* as in model files */

struct jt_kernel_params {
	enum jt_kernel_shape shape;
	const double *lengths; /* per column */
	double noise;          /* variance of the noise over the kernel's amplitude */
	uint32_t n_support;    /* fewer where there are fewer different rows */
};

/* Both @n rows of @p columns. @ret_support: row numbers; @ret_weights: theirs; room for n_support.
 */
int jt__kernel_fit(const double *z, const double *y, size_t n, size_t p,
                   const struct jt_kernel_params *params, uint32_t *ret_support,
                   double *ret_weights, uint32_t *ret_n_support, struct jt_error *err);

/* Of the squared distance @d2 in lengths: 1 at 0. */
double jt__kernel(enum jt_kernel_shape shape, double d2);
double jt__kernel_d2(const double *a, const double *b, const double *lengths, size_t p);

#endif
