/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/linear.h"
#include "trainer/sum.h"

#define ROUNDS 10
#define PENALTY 1e-4 /* per row, of columns scaled to 1 */
#define HUBER 0.25   /* from here on an error in the log counts by its size, not by its square */

/* ---- least squares without negative coefficients ---- */

struct nnls {
	const double *a, *b;
	size_t n;
	double *x, *slope, *factor, *part;
	size_t *free; /* the columns that are not held at 0 */
	size_t n_free;
};

static void set_slope(struct nnls *w)
{
	for (size_t i = 0; i < w->n; i++) {
		w->slope[i] = w->b[i];
		for (size_t j = 0; j < w->n; j++)
			w->slope[i] -= w->a[i * w->n + j] * w->x[j];
	}
}

static bool is_free(const struct nnls *w, size_t column)
{
	for (size_t i = 0; i < w->n_free; i++)
		if (w->free[i] == column)
			return true;
	return false;
}

/* The column that would gain most by leaving 0; n if none would gain. */
static size_t steepest(const struct nnls *w)
{
	size_t best = w->n;

	for (size_t i = 0; i < w->n; i++)
		if (!is_free(w, i) && w->slope[i] > 1e-10 * (1 + fabs(w->b[i])) &&
		    (best == w->n || w->slope[i] > w->slope[best]))
			best = i;
	return best;
}

/* Solves for the free columns alone, into part. */
static int solve_free(struct nnls *w)
{
	size_t m = w->n_free;

	for (size_t i = 0; i < m; i++) {
		w->part[i] = w->b[w->free[i]];
		for (size_t j = 0; j <= i; j++)
			w->factor[i * m + j] = w->a[w->free[i] * w->n + w->free[j]];
	}
	if (jt__cholesky(w->factor, m) < 0)
		return JT_EINVAL;
	jt__cholesky_solve(w->factor, m, w->part);
	return JT_OK;
}

/* Goes from x towards part as far as none becomes negative, and holds those that become 0. Returns
 * whether it got there. */
static bool step(struct nnls *w)
{
	double far = 1;
	size_t kept = 0, blocking = w->n;

	for (size_t i = 0; i < w->n_free; i++) {
		double x = w->x[w->free[i]];

		if (w->part[i] <= 0 && x / (x - w->part[i]) < far) {
			far = x / (x - w->part[i]);
			blocking = i;
		}
	}
	for (size_t i = 0; i < w->n_free; i++) {
		size_t column = w->free[i];

		w->x[column] += far * (w->part[i] - w->x[column]);
		if (i == blocking || w->x[column] <= 0)
			w->x[column] = 0;
		else
			w->free[kept++] = column;
	}
	w->n_free = kept;
	return blocking == w->n;
}

static int run_nnls(struct nnls *w)
{
	/* It ends by itself but for rounding, which might make it go in circles. */
	for (size_t round = 0; round < 10 * w->n; round++) {
		size_t column;

		set_slope(w);
		column = steepest(w);
		if (column == w->n)
			return JT_OK;
		w->free[w->n_free++] = column;
		do
			if (solve_free(w) < 0)
				return JT_EINVAL;
		while (!step(w));
	}
	return JT_OK;
}

int jt__nnls(const double *a, const double *b, size_t n, double *ret_x, struct jt_error *err)
{
	struct nnls w = { .a = a, .b = b, .n = n, .x = ret_x };
	double *room = jt__alloc(n * n + 2 * n, sizeof(*room));
	int status = JT_OK;

	w.free = jt__alloc(n, sizeof(*w.free));
	if (!room || !w.free) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	w.factor = room;
	w.slope = room + n * n;
	w.part = w.slope + n;
	memset(ret_x, 0, n * sizeof(*ret_x));
	if (run_nnls(&w) < 0)
		status = jt__fail(err, JT_EINVAL, "train", "terms depend on each other");
out:
	jt__free(w.free);
	jt__free(room);
	return status;
}

/* ---- the fit of logarithms ---- */

struct sum_fit {
	const double *e, *y;
	size_t n, k;
	double *w;     /* weight of each row */
	double *a, *b; /* normal equations of scaled columns */
	double *scale; /* of each column; 0: there is nothing in it */
	double *x;
};

static void set_scales(struct sum_fit *f)
{
	for (size_t j = 0; j < f->k; j++) {
		double square = 0;

		for (size_t i = 0; i < f->n; i++) {
			double v = f->w[i] * f->e[i * f->k + j];

			square += v * v / (double)f->n;
		}
		f->scale[j] = sqrt(square);
	}
}

static void set_equations(struct sum_fit *f)
{
	memset(f->a, 0, f->k * f->k * sizeof(*f->a));
	memset(f->b, 0, f->k * sizeof(*f->b));
	for (size_t i = 0; i < f->n; i++) {
		for (size_t j = 0; j < f->k; j++)
			f->x[j] = f->scale[j] > 0 ? f->w[i] * f->e[i * f->k + j] / f->scale[j] : 0;
		for (size_t j = 0; j < f->k; j++) {
			f->b[j] += f->x[j] * f->w[i] * f->y[i];
			for (size_t l = 0; l < f->k; l++)
				f->a[j * f->k + l] += f->x[j] * f->x[l];
		}
	}
	for (size_t j = 0; j < f->k; j++)
		f->a[j * f->k + j] += PENALTY * (double)f->n;
}

/*
 * Squares of the weighted differences become squares of the log's error for small ones, by
 * log r ≈ (log r / (r - 1)) (r - 1), and grow like its size for large ones.
 */
static void set_weights(struct sum_fit *f, const double *c)
{
	for (size_t i = 0; i < f->n; i++) {
		double p = 1e-12, ratio, l, slope, huber;

		for (size_t j = 0; j < f->k; j++)
			p += c[j] * f->e[i * f->k + j];
		ratio = f->y[i] / p;
		l = log(ratio);
		slope = fabs(ratio - 1) < 1e-6 ? 1 : l / (ratio - 1);
		huber = fabs(l) > HUBER ? HUBER / fabs(l) : 1;
		f->w[i] = sqrt(slope * huber) / p;
	}
}

static int run_sum_fit(struct sum_fit *f, double *ret_c, struct jt_error *err)
{
	for (size_t i = 0; i < f->n; i++)
		f->w[i] = 1 / f->y[i];
	for (int round = 0; round < ROUNDS; round++) {
		int status;

		set_scales(f);
		set_equations(f);
		status = jt__nnls(f->a, f->b, f->k, f->x, err);
		if (status < 0)
			return status;
		for (size_t j = 0; j < f->k; j++)
			ret_c[j] = f->scale[j] > 0 ? f->x[j] / f->scale[j] : 0;
		set_weights(f, ret_c);
	}
	return JT_OK;
}

int jt__sum_fit(const double *e, const double *y, size_t n, size_t k, double *ret_c,
                struct jt_error *err)
{
	struct sum_fit f = { .e = e, .y = y, .n = n, .k = k };
	double *room = jt__alloc(n + k * k + 3 * k, sizeof(*room));
	int status;

	if (!room)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	f.w = room;
	f.a = f.w + n;
	f.b = f.a + k * k;
	f.scale = f.b + k;
	f.x = f.scale + k;
	status = run_sum_fit(&f, ret_c, err);
	jt__free(room);
	return status;
}
