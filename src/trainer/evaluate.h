/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_EVALUATE_H
#define JT_EVALUATE_H
/*
 * How good learners are on rows that they have not seen: each row of a trial is predicted by a fit
 * to the folds that it is not in. Settings are constants; no fit chooses any by these figures.
 * One thread.
 */
#include "trainer/intervals.h"
#include "trainer/learner.h"
#include "trainer/metrics.h"

#define JT_CV_FOLDS 5
#define JT_CV_REPETITIONS 5

enum jt_split { JT_SPLIT_RANDOM, JT_SPLIT_BACKBONE, JT_SPLIT_GPU, JT_SPLIT_SOURCE, JT_N_SPLITS };
extern const char *const jt__split_names[JT_N_SPLITS];
extern const char *const jt__split_titles[JT_N_SPLITS];

struct jt_trial {
	enum jt_split split;
	uint32_t n_folds;
	uint32_t *fold;                          /* of each row */
	struct jt_guess *guesses[JT_N_LEARNERS]; /* of each row; NULL: not asked for */
	double *half_width; /* of ours, in log; from the residuals of the other folds */
};

struct jt_evaluation {
	const struct jt_dataset *d;
	struct jt_trial trials[JT_CV_REPETITIONS + JT_N_SPLITS - 1];
	size_t n_trials;
};

struct jt_evaluate_options {
	uint32_t seed;
	bool full; /* all learners, repetitions and splits; else ours alone, what intervals need */
	void (*progress)(void *user, uint64_t done, uint64_t total);
	void *user;
};

/* Splits for which the data has only one group are left out. @ret to jt__evaluation_fini(). */
int jt__evaluate(const struct jt_dataset *d, const struct jt_evaluate_options *options,
                 struct jt_evaluation *ret, struct jt_error *err);
void jt__evaluation_fini(struct jt_evaluation *e);

/* The @i-th trial of a split, NULL behind the last. */
const struct jt_trial *jt__trial(const struct jt_evaluation *e, enum jt_split split, size_t i);

/* Ours in this trial, for intervals; as many as there are rows. */
void jt__trial_residuals(const struct jt_evaluation *e, const struct jt_trial *t,
                         struct jt_residual *ret);

/*
 * The figures of @learner in a trial, of rows whose @key is @value (NULL: of all). Relative errors
 * are those of joules per token and of joules per request alike, RMSE and MAE are Wh per request.
 */
int jt__trial_metrics(const struct jt_evaluation *e, const struct jt_trial *t, int learner,
                      enum jt_key key, const char *value, struct jt_metrics *ret,
                      struct jt_error *err);

/*
 * Recalibration: the logarithms of measured over predicted of some rows of a model on a GPU have a
 * mean, and n / (n + prior) of it becomes the factor for the others. That is Bühlmann's credibility
 * (1967), the best linear prediction where groups differ by τ² and rows of one group by σ²; the
 * prior is σ² / τ² rows, by analysis of variance of backbones that the fits had not seen.
 */

/* NaN where no backbone is left out. */
int jt__calibration_prior(const struct jt_evaluation *e, double *ret, struct jt_error *err);

/*
 * As jt__trial_residuals(), after @k other rows of its model on its GPU, drawn at random, have
 * taught each row a factor; where there are not so many the size is NaN. A row's backbone says
 * nothing to its prior. There must be a trial that leaves backbones out.
 */
int jt__calibrated_residuals(const struct jt_evaluation *e, const struct jt_trial *t, uint32_t k,
                             uint32_t seed, struct jt_residual *ret, struct jt_error *err);

/* What @k measured rows of a model whose backbone is left out are worth to others. */
struct jt_calibration {
	uint32_t k;
	size_t n_groups;      /* that have more than k rows */
	double before, after; /* median absolute part, of rows not used; without and with them */
	double mape_before, mape_after;
	double covered, width; /* as in metrics.h, of intervals from backbones that are others */
};
/* Rows of a model on a GPU, and @same_task: at a task, teach each other. */
int jt__calibration_gain(const struct jt_evaluation *e, uint32_t k, bool same_task, uint32_t seed,
                         struct jt_calibration *ret, struct jt_error *err);

#endif
