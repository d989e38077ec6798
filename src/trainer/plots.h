/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PLOTS_H
#define JT_PLOTS_H
/* Pictures of an evaluation as SVG, appended to @out. Any thread. */
#include "trainer/evaluate.h"

/* Predicted over measured joules per token, one colour a GPU type. */
void jt__plot_scatter(const struct jt_evaluation *e, const struct jt_trial *t, int learner,
                      struct jt_buf *out);

struct jt_bar {
	const char *name;
	double ours, forest; /* mean errors, as parts */
	size_t n;
};
/* Errors of each backbone, in the order given. */
void jt__plot_bars(const struct jt_bar *bars, size_t n, struct jt_buf *out);

#endif
