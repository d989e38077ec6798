/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FIT_H
#define JT_FIT_H
/*
 * Our model: a sum of energy terms whose coefficients are fitted and cannot be negative, and on
 * what that leaves of the logarithm the mean of boosted trees and of a kernel regression. What is
 * fitted is written as a model file at once, so that whatever is scored is what ships. One thread.
 */
#include "predictor/fitted.h"
#include "trainer/boost.h"
#include "trainer/dataset.h"

/* The half-width of intervals where what is given here holds. */
struct jt_fit_group {
	double half_width;
	double min_distance;                 /* NaN: any */
	int known_model, known_gpu, mixture; /* -1: whatever it is */
	uint32_t factor_rows; /* at least so many rows of the meter have taught; 0: or none */
	uint32_t rows;
};

#define JT_FIT_MAX_GROUPS 64
#define JT_FIT_MAX_SCORES 32

/* What a model file says beside the fit. */
struct jt_fit_notes {
	struct jt_fit_group groups[JT_FIT_MAX_GROUPS];
	size_t n_groups;
	double coverage, half_width; /* of what no group describes */
	struct {
		char name[48];
		double value;
	} scores[JT_FIT_MAX_SCORES];
	size_t n_scores;
	double reach; /* NaN: not known */
	char sha256[65], date[16];
	const char *note;
};

/* What is found. Terms are the last features, those whose names begin with "e_". */
struct jt_fit {
	size_t n, p, n_plain; /* rows; features, of which so many are no terms */
	const struct jt_dataset *d;
	const uint32_t *rows;
	double *x, *z; /* n × n_plain: as they are; standardised, 0 for NaN */
	double *terms; /* n × the rest */
	double *j;     /* measured, per row */
	double *left;  /* log of j over the sum */
	double *mean, *deviation, *min, *max; /* p */
	double *coefficients;                 /* of terms */
	double *lengths;                      /* n_plain */
	uint32_t *support;                    /* numbers of support rows, in rows */
	double *weights;                      /* theirs */
	uint32_t n_support;
	struct jt_boost *trees;
};

#define JT_FIT_TREES_WEIGHT 0.5
#define JT_FIT_KERNEL_WEIGHT 0.5
#define JT_FIT_KERNEL_SHAPE JT_KERNEL_MATERN32

/* Of the features, those that are no terms. */
size_t jt__n_plain_features(void);

/* Notes of a model that will not be kept. */
void jt__fit_blank_notes(struct jt_fit_notes *ret);

/* Fits rows[0 … n - 1] of @d and appends the model file to @out. */
int jt__fit(const struct jt_dataset *d, const uint32_t *rows, size_t n, uint32_t seed,
            const struct jt_fit_notes *notes, struct jt_buf *out, struct jt_error *err);

/* fit_file.c */
int jt__fit_write(const struct jt_fit *f, const struct jt_fit_notes *notes, struct jt_buf *out,
                  struct jt_error *err);

#endif
