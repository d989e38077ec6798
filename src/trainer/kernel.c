/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/kernel.h"
#include "trainer/linear.h"

#define MAX_CANDIDATES 2000
#define LEAST_LEFT 1e-6 /* of a row's variance: it says nothing that the support rows do not */

const char *const jt__kernel_names[] = { "rbf", "matern32", "matern52" };

double jt__kernel(enum jt_kernel_shape shape, double d2)
{
	double a = sqrt((shape == JT_KERNEL_MATERN32 ? 3 : 5) * d2);

	switch (shape) {
	case JT_KERNEL_RBF:
		return exp(-d2 / 2);
	case JT_KERNEL_MATERN32:
		return (1 + a) * exp(-a);
	case JT_KERNEL_MATERN52:
	case JT_N_KERNEL_SHAPES:
		break;
	}
	return (1 + a + a * a / 3) * exp(-a);
}

double jt__kernel_d2(const double *a, const double *b, const double *lengths, size_t p)
{
	double d2 = 0;

	for (size_t j = 0; j < p; j++) {
		double d = (a[j] - b[j]) / lengths[j];

		d2 += d * d;
	}
	return d2;
}

/* What is being fitted. */
struct work {
	const double *z;
	size_t n, p;
	const struct jt_kernel_params *params;
	uint32_t *candidates; /* rows that may become support rows */
	size_t n_candidates;
	double *left; /* between candidates: covariance that the support rows do not explain */
	double *k;    /* n_support × n: kernel of support row and row */
	double *a;    /* n_support × n_support */
};

static double kernel_of(const struct work *w, size_t a, size_t b)
{
	return jt__kernel(w->params->shape, jt__kernel_d2(w->z + a * w->p, w->z + b * w->p,
	                                                  w->params->lengths, w->p));
}

static void fill_left(struct work *w)
{
	for (size_t i = 0; i < w->n_candidates; i++)
		w->candidates[i] = (uint32_t)(i * w->n / w->n_candidates);
	for (size_t i = 0; i < w->n_candidates; i++)
		for (size_t j = 0; j <= i; j++)
			w->left[i * w->n_candidates + j] = w->left[j * w->n_candidates + i] =
				kernel_of(w, w->candidates[i], w->candidates[j]);
}

/* The candidate that explains most of what is left, of all together; n_candidates: none does. */
static size_t most_telling(const struct work *w)
{
	size_t n = w->n_candidates, best = n;
	double most = 0;

	for (size_t i = 0; i < n; i++) {
		const double *row = w->left + i * n;
		double sum = 0;

		if (row[i] < LEAST_LEFT)
			continue;
		for (size_t j = 0; j < n; j++)
			sum += row[j] * row[j];
		if (sum / row[i] > most) {
			most = sum / row[i];
			best = i;
		}
	}
	return best;
}

static void explain(struct work *w, size_t chosen)
{
	size_t n = w->n_candidates;
	double *row = w->left + chosen * n, own = row[chosen];

	for (size_t i = 0; i < n; i++) {
		double part = w->left[i * n + chosen] / own;

		for (size_t j = 0; j < n && i != chosen; j++)
			w->left[i * n + j] -= part * row[j];
	}
	memset(row, 0, n * sizeof(*row));
	for (size_t i = 0; i < n; i++)
		w->left[i * n + chosen] = 0;
}

static uint32_t choose_support(struct work *w, uint32_t *ret_support)
{
	uint32_t m = 0;

	fill_left(w);
	for (; m < w->params->n_support; m++) {
		size_t chosen = most_telling(w);

		if (chosen == w->n_candidates)
			break;
		explain(w, chosen);
		ret_support[m] = w->candidates[chosen];
		for (size_t i = 0; i < w->n; i++)
			w->k[m * w->n + i] = kernel_of(w, ret_support[m], i);
	}
	return m;
}

/* (K_mn K_nm + noise K_mm) weights = K_mn y */
static int solve(struct work *w, const double *y, const uint32_t *support, uint32_t m,
                 double *ret_weights)
{
	for (uint32_t i = 0; i < m; i++) {
		const double *ki = w->k + i * w->n;

		ret_weights[i] = 0;
		for (size_t r = 0; r < w->n; r++)
			ret_weights[i] += ki[r] * y[r];
		for (uint32_t j = 0; j <= i; j++) {
			const double *kj = w->k + j * w->n;
			double sum = w->params->noise * ki[support[j]];

			for (size_t r = 0; r < w->n; r++)
				sum += ki[r] * kj[r];
			w->a[i * m + j] = sum;
		}
		w->a[i * m + i] *= 1 + 1e-10; /* rounding may not make it indefinite */
	}
	if (jt__cholesky(w->a, m) < 0)
		return JT_EINVAL;
	jt__cholesky_solve(w->a, m, ret_weights);
	return JT_OK;
}

int jt__kernel_fit(const double *z, const double *y, size_t n, size_t p,
                   const struct jt_kernel_params *params, uint32_t *ret_support,
                   double *ret_weights, uint32_t *ret_n_support, struct jt_error *err)
{
	size_t m = params->n_support;
	struct work w = { .z = z, .n = n, .p = p, .params = params };
	uint32_t n_support;
	int status = JT_OK;

	w.n_candidates = JT_MIN(n, MAX_CANDIDATES);
	w.candidates = jt__alloc(w.n_candidates, sizeof(*w.candidates));
	w.left = jt__alloc(w.n_candidates * w.n_candidates, sizeof(double));
	w.k = jt__alloc(m * n, sizeof(double));
	w.a = jt__alloc(m * m, sizeof(double));
	if (!w.candidates || !w.left || !w.k || !w.a) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	n_support = choose_support(&w, ret_support);
	if (solve(&w, y, ret_support, n_support, ret_weights) < 0) {
		status = jt__fail(err, JT_EINVAL, "train",
		                  "the kernel's equations have no solution; more noise helps");
		goto out;
	}
	*ret_n_support = n_support;
out:
	jt__free(w.left);
	jt__free(w.candidates);
	jt__free(w.k);
	jt__free(w.a);
	return status;
}
