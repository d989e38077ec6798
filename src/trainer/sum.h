/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SUM_H
#define JT_SUM_H
/* A sum of terms with coefficients that are not negative, fitted to logarithms. Any thread. */
#include "base/base.h"

/*
 * The x >= 0 that minimises xᵀ A x - 2 bᵀ x, @a symmetric and positive definite, n × n (Lawson and
 * Hanson 1974, on the normal equations as in Bro and de Jong 1997). JT_ENOMEM; JT_EINVAL: @a is not
 * positive definite.
 */
int jt__nnls(const double *a, const double *b, size_t n, double *ret_x, struct jt_error *err);

/*
 * Coefficients c >= 0 of @k terms (@e: n × k) such that the Huber loss of log(@y / Σ c e) is small;
 * a little of them is preferred to much. A column of zeros gets 0.
 */
int jt__sum_fit(const double *e, const double *y, size_t n, size_t k, double *ret_c,
                struct jt_error *err);

#endif
