/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LINEAR_H
#define JT_LINEAR_H
/* Dense linear algebra of the size that the trainer needs. Matrices are row by row. Any thread. */
#include "base/base.h"

/*
 * @a (n × n, symmetric, its lower triangle is read) becomes its Cholesky factor in place, in the
 * lower triangle. JT_EINVAL: not positive definite.
 */
int jt__cholesky(double *a, size_t n);
/* Solves L Lᵀ x = @b with the factor from above; @b becomes x. */
void jt__cholesky_solve(const double *l, size_t n, double *b);

/* Mean and deviation of what is no NaN in each of @p columns; a deviation of 0 becomes 1. */
void jt__column_scales(const double *x, size_t n, size_t p, double *ret_means, double *ret_sds);

/*
 * Ridge regression: minimises Σ (y - b - Σ w z)² + λ Σ w² over columns z that have been
 * standardised; the constant is not penalised. @ret_weights are those of the columns as given.
 * JT_ENOMEM; JT_EINVAL if λ is 0 and columns depend on each other.
 */
int jt__ridge_fit(const double *x, const double *y, size_t n, size_t p, double lambda,
                  double *ret_weights, double *ret_bias, struct jt_error *err);

#endif
