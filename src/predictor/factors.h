/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FACTORS_H
#define JT_FACTORS_H
/*
 * A fitted model together with what the meter has taught since: files of factors, each for a model
 * on a GPU, as jouletap predict --recalibrate writes them:
 *
 *   {"format": "jouletap-factors", "version": 1,
 *    "factors": [{"model": "...", "gpu": "...", "factor": 1.08, "half_width": 0.2, "rows": 12}]}
 *
 * "rows" are loads that taught: many records of requests that are alike are one. The logarithm of
 * 90 % of them is within "half_width" of what is predicted with the factor. Any thread.
 */
#include "predictor/fitted.h"

/*
 * The model of @path (NULL: jouletap's own) with the factors of @factors (NULL: none) in addition.
 * JT_ENOENT: no such file, or jouletap's own is not installed; else as jt__fitted_parse().
 */
int jt__factors_load(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err);

/*
 * What rows with such logarithms of measured over predicted teach: the fewer they are, the nearer
 * to 1. As many rows that say 1 are put beside them as the model's score "factor_prior" says, which
 * jouletap train finds from backbones left out (trainer/evaluate.h); one where it says nothing.
 */
double jt__factor_learn(const struct jt_fitted *f, const double *logs, size_t n);

#endif
