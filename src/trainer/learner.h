/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LEARNER_H
#define JT_LEARNER_H
/*
 * Ways to learn from rows and predict others: ours, and the design of arXiv 2511.05597 to compare
 * with: raw fields to Wh of a request, by random forest and by a linear booster. One thread.
 */
#include "trainer/dataset.h"

/* What is predicted of a row; NaN where a learner does not tell it. */
struct jt_guess {
	double j_per_token;
	double distance; /* from the nearest support row, in lengths of the kernel */
};

struct jt_learner {
	const char *name;  /* "ours", "forest" */
	const char *title; /* "raw fields, random forest to Wh" */
	int (*fit)(const struct jt_dataset *d, const uint32_t *rows, size_t n, uint32_t seed,
	           void **ret_fit, struct jt_error *err);
	int (*predict)(void *fit, const struct jt_dataset *d, const uint32_t *rows, size_t n,
	               struct jt_guess *ret, struct jt_error *err);
	void (*free)(void *fit); /* accepts NULL */
};

enum { JT_OURS, JT_RIDGE, JT_FOREST, JT_GBLINEAR, JT_N_LEARNERS };
extern const struct jt_learner *const jt__learners[JT_N_LEARNERS];

/* In the files of each learner. */
extern const struct jt_learner jt__learner_ours, jt__learner_ridge, jt__learner_forest,
	jt__learner_gblinear;

#endif
