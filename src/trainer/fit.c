/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/fit.h"
#include "trainer/kernel.h"
#include "trainer/linear.h"
#include "trainer/sum.h"

#define N_SUPPORT 256
#define KERNEL_NOISE 0.04 /* variance of the noise over that of what the kernel describes */

/* Trees and kernel are small corrections, and many weak trees are steadier than few strong ones. */
static const struct jt_boost_params tree_params = {
	.kind = JT_BOOST_TREES,
	.n_trees = 300,
	.depth = 4,
	.eta = 0.07,
	.min_child_weight = 3,
	.lambda = 3,
	.subsample = 0.8,
	.colsample = 0.6,
};

static int fail_memory(struct jt_error *err)
{
	return jt__fail(err, JT_ENOMEM, "train", "out of memory");
}

size_t jt__n_plain_features(void)
{
	size_t n = 0;

	while (jt__feature_names[n] && strncmp(jt__feature_names[n], "e_", 2) != 0)
		n++;
	return n;
}

static int open_fit(struct jt_fit *f, struct jt_error *err)
{
	size_t n_terms;

	f->n_plain = jt__n_plain_features();
	n_terms = f->p - f->n_plain;
	f->x = jt__alloc(f->n * f->n_plain, sizeof(double));
	f->z = jt__alloc(f->n * f->n_plain, sizeof(double));
	f->terms = jt__alloc(f->n * n_terms, sizeof(double));
	f->j = jt__alloc(2 * f->n, sizeof(double));
	f->mean = jt__alloc(6 * f->p, sizeof(double));
	f->weights = jt__alloc(N_SUPPORT, sizeof(double));
	f->support = jt__alloc(N_SUPPORT, sizeof(*f->support));
	if (!f->x || !f->z || !f->terms || !f->j || !f->mean || !f->weights || !f->support)
		return fail_memory(err);
	f->left = f->j + f->n;
	f->deviation = f->mean + f->p;
	f->min = f->deviation + f->p;
	f->max = f->min + f->p;
	f->coefficients = f->max + f->p;
	f->lengths = f->coefficients + n_terms;
	return JT_OK;
}

static void close_fit(struct jt_fit *f)
{
	jt__boost_free(f->trees);
	jt__free(f->support);
	jt__free(f->weights);
	jt__free(f->mean);
	jt__free(f->j);
	jt__free(f->terms);
	jt__free(f->z);
	jt__free(f->x);
}

static const double *features_of(const struct jt_fit *f, size_t i)
{
	return f->d->features + f->rows[i] * f->d->p;
}

/* The terms are used as they are, whatever they are: they have no range and no scale. */
static void take_terms(struct jt_fit *f)
{
	size_t k = f->p - f->n_plain;

	for (size_t i = 0; i < f->n; i++)
		memcpy(f->terms + i * k, features_of(f, i) + f->n_plain, k * sizeof(double));
	for (size_t j = f->n_plain; j < f->p; j++) {
		f->deviation[j] = 1;
		f->min[j] = f->max[j] = NAN;
	}
}

static void take_plain(struct jt_fit *f)
{
	size_t p = f->n_plain;

	for (size_t i = 0; i < f->n; i++) {
		memcpy(f->x + i * p, features_of(f, i), p * sizeof(double));
		f->j[i] = f->d->rows[f->rows[i]].j_per_token;
	}
	jt__column_scales(f->x, f->n, p, f->mean, f->deviation);
	for (size_t j = 0; j < p; j++) {
		f->min[j] = f->max[j] = f->mean[j];
		for (size_t i = 0; i < f->n; i++) {
			double x = f->x[i * p + j];

			f->z[i * p + j] = isnan(x) ? 0 : (x - f->mean[j]) / f->deviation[j];
			f->min[j] = x < f->min[j] ? x : f->min[j];
			f->max[j] = x > f->max[j] ? x : f->max[j];
		}
	}
}

static int fit_sum(struct jt_fit *f, struct jt_error *err)
{
	size_t k = f->p - f->n_plain;
	int status = jt__sum_fit(f->terms, f->j, f->n, k, f->coefficients, err);

	for (size_t i = 0; i < f->n && status == JT_OK; i++) {
		double sum = 0;

		for (size_t j = 0; j < k; j++)
			sum += f->coefficients[j] * f->terms[i * k + j];
		if (!(sum > 0))
			return jt__fail(err, JT_EINVAL, "train", "no term describes '%s' line %u",
			                f->d->files[f->d->rows[f->rows[i]].file],
			                f->d->rows[f->rows[i]].line);
		f->left[i] = log(f->j[i] / sum);
	}
	return status;
}

static int fit_trees(struct jt_fit *f, uint32_t seed, struct jt_error *err)
{
	struct jt_boost_params params = tree_params;
	size_t n_cells = f->n * f->n_plain;
	float *x = jt__alloc(n_cells, sizeof(*x)), *y = jt__alloc(f->n, sizeof(*y));
	int status;

	params.seed = seed;
	if (!x || !y) {
		status = fail_memory(err);
		goto out;
	}
	for (size_t i = 0; i < n_cells; i++)
		x[i] = (float)f->x[i];
	for (size_t i = 0; i < f->n; i++)
		y[i] = (float)f->left[i];
	status = jt__boost_fit(x, y, f->n, f->n_plain, &params, &f->trees, err);
out:
	jt__free(y);
	jt__free(x);
	return status;
}

/* Lengths grow with the number of features as distances do. */
static int fit_kernel(struct jt_fit *f, struct jt_error *err)
{
	struct jt_kernel_params params = { .shape = JT_FIT_KERNEL_SHAPE,
		                           .lengths = f->lengths,
		                           .noise = KERNEL_NOISE,
		                           .n_support = N_SUPPORT };

	for (size_t j = 0; j < f->n_plain; j++)
		f->lengths[j] = sqrt((double)f->n_plain);
	return jt__kernel_fit(f->z, f->left, f->n, f->n_plain, &params, f->support, f->weights,
	                      &f->n_support, err);
}

void jt__fit_blank_notes(struct jt_fit_notes *ret)
{
	*ret = (struct jt_fit_notes){
		.coverage = 0.9, .half_width = 1, .reach = NAN, .date = "1970-01-01", .note = ""
	};
	memset(ret->sha256, '0', sizeof(ret->sha256) - 1);
}

int jt__fit(const struct jt_dataset *d, const uint32_t *rows, size_t n, uint32_t seed,
            const struct jt_fit_notes *notes, struct jt_buf *out, struct jt_error *err)
{
	struct jt_fit f = { .n = n, .p = d->p, .d = d, .rows = rows };
	int status = open_fit(&f, err);

	if (status == JT_OK) {
		take_plain(&f);
		take_terms(&f);
		status = fit_sum(&f, err);
	}
	if (status == JT_OK)
		status = fit_trees(&f, seed, err);
	if (status == JT_OK)
		status = fit_kernel(&f, err);
	if (status == JT_OK)
		status = jt__fit_write(&f, notes, out, err);
	close_fit(&f);
	return status;
}
