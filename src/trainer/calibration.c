/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a few measured rows are worth: rows of a model on a GPU give a constant factor, which is
 * tried on other rows of the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "trainer/evaluate.h"

#define DRAWS 20 /* of k rows, for each row */

struct place {
	const struct jt_question *q;
	uint32_t row, fold; /* the fold of its backbone, in the trial that leaves backbones out */
	double log_ratio;   /* measured to predicted */
};

static int by_group(const struct place *a, const struct place *b, bool same_task)
{
	int order = strcmp(a->q->model, b->q->model);

	if (!order)
		order = strcmp(a->q->gpu, b->q->gpu);
	return order || !same_task ? order : strcmp(a->q->task, b->q->task);
}

/* Sorted so, rows that share model and GPU are neighbours too. They keep their order, whatever the
 * sort is like. */
static int by_task(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = by_group(x, y, true);

	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* The places of a trial, but for rows of an engine that no other fold has. */
static int make_places(const struct jt_evaluation *e, const struct jt_trial *t,
                       struct jt_residual *residuals, struct place **ret, size_t *ret_n,
                       struct jt_error *err)
{
	const struct jt_trial *backbones = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	struct place *p = jt__alloc(e->d->n, sizeof(*p));
	size_t n = 0;

	if (!p)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	jt__trial_residuals(e, t, residuals);
	for (size_t i = 0; i < e->d->n; i++) {
		const struct jt_row *r = &e->d->rows[i];

		if (isnan(residuals[i].size))
			continue;
		p[n++] = (struct place){
			.q = &r->q,
			.row = (uint32_t)i,
			.fold = backbones ? backbones->fold[i] : 0,
			.log_ratio = log(r->j_per_token / t->guesses[JT_OURS][i].j_per_token),
		};
	}
	qsort(p, n, sizeof(*p), by_task);
	*ret = p;
	*ret_n = n;
	return JT_OK;
}

static size_t group_end(const struct place *p, size_t n, size_t begin, bool same_task)
{
	size_t end = begin + 1;

	while (end < n && by_group(&p[begin], &p[end], same_task) == 0)
		end++;
	return end;
}

/* ---- the prior ---- */

/* Sums over groups, for a one-way analysis of variance about 0. */
struct variance {
	double within, between, n_rows, n_groups;
};

static void add_group(struct variance *v, const struct place *p, size_t n)
{
	double mean = 0;

	for (size_t i = 0; i < n; i++)
		mean += p[i].log_ratio / (double)n;
	for (size_t i = 0; i < n; i++)
		v->within += (p[i].log_ratio - mean) * (p[i].log_ratio - mean);
	v->between += (double)n * mean * mean;
	v->n_rows += (double)n;
	v->n_groups += 1;
}

/*
 * Of @all but @without: with σ² = within / (rows - groups), the expectation of Σ n mean² is
 * rows τ² + groups σ².
 */
static double ratio(const struct variance *all, const struct variance *without)
{
	double n = all->n_rows - without->n_rows, groups = all->n_groups - without->n_groups;
	double sigma2 = (all->within - without->within) / (n - groups);
	double tau2 = (all->between - without->between - groups * sigma2) / n;

	if (!(n > groups))
		return NAN;
	return tau2 > 0 ? sigma2 / tau2 : INFINITY;
}

/* Of each fold of the trial that leaves backbones out, from the others; behind them, of all. */
static int make_priors(const struct jt_evaluation *e, bool same_task, double **ret,
                       struct jt_error *err)
{
	const struct jt_trial *t = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	struct jt_residual *room = jt__alloc(e->d->n, sizeof(*room));
	struct variance *v = jt__alloc(t->n_folds + 2, sizeof(*v)), *all;
	double *priors = jt__alloc(t->n_folds + 1, sizeof(*priors));
	struct place *p = NULL;
	size_t n;
	int status = room && v && priors ? make_places(e, t, room, &p, &n, err)
	                                 : jt__fail(err, JT_ENOMEM, "train", "out of memory");

	if (status < 0)
		goto out;
	all = v + t->n_folds;
	for (size_t i = 0, end; i < n; i = end) {
		end = group_end(p, n, i, same_task);
		add_group(&v[p[i].fold], p + i, end - i);
		add_group(all, p + i, end - i);
	}
	for (uint32_t f = 0; f <= t->n_folds; f++)
		priors[f] = ratio(all, f < t->n_folds ? &v[f] : all + 1);
	*ret = priors;
	priors = NULL;
out:
	jt__free(p);
	jt__free(priors);
	jt__free(v);
	jt__free(room);
	return status;
}

int jt__calibration_prior(const struct jt_evaluation *e, double *ret, struct jt_error *err)
{
	const struct jt_trial *t = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	double *priors;
	int status;

	*ret = NAN;
	if (!t)
		return JT_OK;
	status = make_priors(e, false, &priors, err);
	if (status < 0)
		return status;
	*ret = priors[t->n_folds];
	jt__free(priors);
	return JT_OK;
}

/* ---- teaching ---- */

/* What @k of the rows but @pupil say of it. They are drawn to the front of @order, which numbers
 * the @n rows of a group in any order. */
static double teach(const struct place *group, size_t n, size_t pupil, uint32_t k, double prior,
                    uint32_t *order, struct jt_rng *rng)
{
	double sum = 0;
	size_t at = 0;

	while (order[at] != pupil)
		at++;
	order[at] = order[n - 1];
	order[n - 1] = (uint32_t)pupil;
	for (size_t i = 0; i < k; i++) {
		size_t j = i + jt__rng_below(rng, n - 1 - i);
		uint32_t t = order[i];

		order[i] = order[j];
		order[j] = t;
		sum += group[order[i]].log_ratio;
	}
	return k ? sum / (k + prior) : 0;
}

/* All that teaching in a trial needs. */
struct course {
	struct place *places;
	size_t n;
	size_t n_groups; /* of which something was learned */
	double *priors;
	uint32_t *order; /* room */
};

static int open_course(const struct jt_evaluation *e, const struct jt_trial *t, bool same_task,
                       struct jt_residual *residuals, struct course *c, struct jt_error *err)
{
	int status = make_places(e, t, residuals, &c->places, &c->n, err);

	if (status == JT_OK)
		status = make_priors(e, same_task, &c->priors, err);
	if (status < 0)
		return status;
	c->order = jt__alloc(e->d->n, sizeof(*c->order));
	return c->order ? JT_OK : jt__fail(err, JT_ENOMEM, "train", "out of memory");
}

static void close_course(struct course *c)
{
	jt__free(c->order);
	jt__free(c->priors);
	jt__free(c->places);
}

/* Each place's factor, in log, @draws of them; NaN where there are not more than @k in its group.
 */
static void run_course(struct course *c, uint32_t k, bool same_task, uint32_t draws, uint32_t seed,
                       double *ret_factors)
{
	struct jt_rng rng = { seed };

	for (size_t begin = 0, end; begin < c->n; begin = end) {
		size_t n = (end = group_end(c->places, c->n, begin, same_task)) - begin;

		for (size_t i = 0; i < n; i++)
			c->order[i] = (uint32_t)i;
		c->n_groups += n > k;
		for (size_t i = 0; i < n; i++)
			for (uint32_t d = 0; d < draws; d++)
				ret_factors[(begin + i) * draws + d] =
					n > k ? teach(c->places + begin, n, i, k,
				                      c->priors[c->places[begin].fold], c->order,
				                      &rng)
					      : NAN;
	}
}

int jt__calibrated_residuals(const struct jt_evaluation *e, const struct jt_trial *t, uint32_t k,
                             uint32_t seed, struct jt_residual *ret, struct jt_error *err)
{
	double *factors = jt__alloc(e->d->n, sizeof(*factors));
	struct course c = { 0 };
	int status = factors ? open_course(e, t, false, ret, &c, err)
	                     : jt__fail(err, JT_ENOMEM, "train", "out of memory");

	if (status == JT_OK) {
		run_course(&c, k, false, 1, seed, factors);
		for (size_t i = 0; i < c.n; i++)
			ret[c.places[i].row].size = fabs(c.places[i].log_ratio - factors[i]);
	}
	close_course(&c);
	jt__free(factors);
	return status;
}

/* ---- what it is worth ---- */

static double mean(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return n ? sum / (double)n : NAN;
}

/* How often intervals hold that come from other folds, and how wide they are. */
static int cover(const struct jt_evaluation *e, const struct jt_trial *t, uint32_t k, uint32_t seed,
                 struct jt_residual *r, double *room, struct jt_calibration *ret,
                 struct jt_error *err)
{
	size_t n = 0, n_in = 0;
	int status = jt__calibrated_residuals(e, t, k, seed, r, err);

	for (uint32_t f = 0; f < t->n_folds && status == JT_OK; f++) {
		struct jt_fit_notes notes = { 0 };

		status = jt__intervals_add(r, e->d->n, f, -1, -1, k, &notes, err);
		for (size_t i = 0; i < e->d->n && status == JT_OK; i++) {
			double half = jt__intervals_find(&notes, &r[i]);

			if (r[i].fold != f || isnan(r[i].size) || isnan(half))
				continue;
			n_in += r[i].size <= half;
			room[n++] = exp(2 * half);
		}
	}
	ret->covered = n ? (double)n_in / (double)n : NAN;
	ret->width = jt__median(room, n);
	return status;
}

static void gain(const struct course *c, const double *factors, double *before, double *after,
                 struct jt_calibration *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n * DRAWS; i++) {
		double log_ratio = c->places[i / DRAWS].log_ratio;

		if (isnan(factors[i]))
			continue;
		before[n] = fabs(exp(-log_ratio) - 1);
		after[n++] = fabs(exp(factors[i] - log_ratio) - 1);
	}
	ret->n_groups = c->n_groups;
	ret->mape_before = mean(before, n);
	ret->mape_after = mean(after, n);
	ret->before = jt__median(before, n);
	ret->after = jt__median(after, n);
}

int jt__calibration_gain(const struct jt_evaluation *e, uint32_t k, bool same_task, uint32_t seed,
                         struct jt_calibration *ret, struct jt_error *err)
{
	const struct jt_trial *t = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	size_t n = e->d->n;
	struct jt_residual *residuals = jt__alloc(n, sizeof(*residuals));
	double *room = jt__alloc(3 * n * DRAWS, sizeof(*room));
	struct course c = { 0 };
	int status = residuals && room ? open_course(e, t, same_task, residuals, &c, err)
	                               : jt__fail(err, JT_ENOMEM, "train", "out of memory");

	*ret = (struct jt_calibration){ .k = k, .covered = NAN, .width = NAN };
	if (status == JT_OK) {
		run_course(&c, k, same_task, DRAWS, seed, room);
		gain(&c, room, room + n * DRAWS, room + 2 * n * DRAWS, ret);
		if (!same_task)
			status = cover(e, t, k, seed, residuals, room, ret, err);
	}
	close_course(&c);
	jt__free(room);
	jt__free(residuals);
	return status;
}
