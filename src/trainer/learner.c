/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "predictor/fitted.h"
#include "trainer/fit.h"
#include "trainer/learner.h"
#include "trainer/linear.h"

#define RIDGE_PENALTY 1.0

/* ---- ours, all of it: what is scored is the model file, as it will be read ---- */

static int fit_ours(const struct jt_dataset *d, const uint32_t *rows, size_t n, uint32_t seed,
                    void **ret_fit, struct jt_error *err)
{
	struct jt_fit_notes notes;
	struct jt_fitted *f;
	struct jt_buf json;
	int status;

	jt__fit_blank_notes(&notes);
	jt__buf_init(&json, JT_FITTED_MAX_BYTES);
	status = jt__fit(d, rows, n, seed, &notes, &json, err);
	if (status == JT_OK)
		status = jt__fitted_parse(jt__buf_bytes(&json), jt__buf_len(&json), "model",
		                          jt__feature_names, &f, err);
	jt__buf_fini(&json);
	if (status == JT_OK)
		*ret_fit = f;
	return status;
}

static int predict_ours(void *fit, const struct jt_dataset *d, const uint32_t *rows, size_t n,
                        struct jt_guess *ret, struct jt_error *err)
{
	for (size_t i = 0; i < n; i++) {
		const struct jt_row *r = &d->rows[rows[i]];
		struct jt_prediction p;

		if (jt__fitted_predict(fit, d->features + rows[i] * d->p, &p) < 0)
			return jt__fail(err, JT_EINVAL, "train", "'%s' line %u cannot be predicted",
			                d->files[r->file], r->line);
		ret[i].j_per_token = exp(p.log_j);
		ret[i].distance = p.distance;
	}
	return JT_OK;
}

static void free_ours(void *fit)
{
	jt__fitted_free(fit);
}

const struct jt_learner jt__learner_ours = {
	.name = "ours",
	.title = "a sum of physical terms, corrected by trees and a kernel",
	.fit = fit_ours,
	.predict = predict_ours,
	.free = free_ours,
};

/* ---- a ridge regression of the same features without the terms: what their form is good for ----
 */

struct ridge {
	size_t p;
	double mean[JT_MAX_FEATURES], weights[JT_MAX_FEATURES], bias;
};

/* NaN stands for the mean, as in the model file. */
static double known(const struct ridge *f, const struct jt_dataset *d, uint32_t row, size_t j)
{
	double x = d->features[row * d->p + j];

	return isnan(x) ? f->mean[j] : x;
}

static int fit_ridge(const struct jt_dataset *d, const uint32_t *rows, size_t n, uint32_t seed,
                     void **ret_fit, struct jt_error *err)
{
	struct ridge *f = jt__alloc(1, sizeof(*f));
	size_t p = jt__n_plain_features();
	double *x = jt__alloc(n * p, sizeof(*x)), *y = jt__alloc(n, sizeof(*y));
	double sds[JT_MAX_FEATURES];
	int status;

	(void)seed;
	if (!f || !x || !y) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	f->p = p;
	for (size_t i = 0; i < n; i++)
		memcpy(x + i * p, d->features + rows[i] * d->p, p * sizeof(*x));
	jt__column_scales(x, n, p, f->mean, sds);
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < p; j++)
			x[i * p + j] = known(f, d, rows[i], j);
		y[i] = log(d->rows[rows[i]].j_per_token);
	}
	status = jt__ridge_fit(x, y, n, p, RIDGE_PENALTY, f->weights, &f->bias, err);
	if (status == JT_OK) {
		*ret_fit = f;
		f = NULL;
	}
out:
	jt__free(y);
	jt__free(x);
	jt__free(f);
	return status;
}

static int predict_ridge(void *fit, const struct jt_dataset *d, const uint32_t *rows, size_t n,
                         struct jt_guess *ret, struct jt_error *err)
{
	const struct ridge *f = fit;

	(void)err;
	for (size_t i = 0; i < n; i++) {
		double y = f->bias;

		for (size_t j = 0; j < f->p; j++)
			y += f->weights[j] * known(f, d, rows[i], j);
		ret[i] = (struct jt_guess){ .j_per_token = exp(y), .distance = NAN };
	}
	return JT_OK;
}

const struct jt_learner jt__learner_ridge = {
	.name = "ridge",
	.title = "the same features, ridge regression of logarithms",
	.fit = fit_ridge,
	.predict = predict_ridge,
	.free = jt__free,
};

const struct jt_learner *const jt__learners[JT_N_LEARNERS] = {
	[JT_OURS] = &jt__learner_ours,
	[JT_RIDGE] = &jt__learner_ridge,
	[JT_FOREST] = &jt__learner_forest,
	[JT_GBLINEAR] = &jt__learner_gblinear,
};
