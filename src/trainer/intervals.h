/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_INTERVALS_H
#define JT_INTERVALS_H
/*
 * Conformal intervals: how far off a model was on rows that it had not seen says how far off it
 * will be. Apart for rows of known backbones, of new ones and of new GPUs, for mixtures and others,
 * and for those near to what was measured and far from it. Any thread.
 */
#include "trainer/fit.h"

#define JT_INTERVAL_COVERAGE 0.9

struct jt_residual {
	double size;     /* |log(predicted / measured)|; NaN: of a kind that is not meant */
	double distance; /* to the nearest support row; NaN: not known */
	bool mixture;
	uint32_t fold;
};

/*
 * Appends the groups for residuals that are all of one novelty, but for those of fold @without
 * (UINT32_MAX: of none), the most particular first. The last one holds for all of that novelty that
 * at least @factor_rows rows of the meter have taught.
 */
int jt__intervals_add(const struct jt_residual *r, size_t n, uint32_t without, int known_model,
                      int known_gpu, uint32_t factor_rows, struct jt_fit_notes *notes,
                      struct jt_error *err);

/* The half-width for @r of the first of these groups that matches; NaN if none does. */
double jt__intervals_find(const struct jt_fit_notes *notes, const struct jt_residual *r);

#endif
