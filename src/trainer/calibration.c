/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a few measured rows of a new model are worth: with its backbone left out of the fit, k rows
 * of a model on a GPU at a task give a constant factor, which is tried on its other rows.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "trainer/evaluate.h"

#define DRAWS 20 /* of k rows, of each group */

struct place {
	const struct jt_question *q;
	double log_ratio; /* measured to predicted */
};

static int by_group(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int order = strcmp(x->q->model, y->q->model);

	if (!order)
		order = strcmp(x->q->gpu, y->q->gpu);
	if (!order)
		order = strcmp(x->q->task, y->q->task);
	/* Rows keep their order, whatever the sort is like. */
	return order ? order : (x->q > y->q) - (x->q < y->q);
}

static bool same_group(const struct place *a, const struct place *b)
{
	return strcmp(a->q->model, b->q->model) == 0 && strcmp(a->q->gpu, b->q->gpu) == 0 &&
	       strcmp(a->q->task, b->q->task) == 0;
}

/* Relative errors of what is not drawn, without and with the factor from what is. */
struct errors {
	double *before, *after;
	size_t n;
};

static void draw(struct place *group, size_t n, uint32_t k, struct jt_rng *rng, struct errors *e)
{
	double factor = 0;

	for (size_t i = 0; i < k; i++) {
		size_t j = i + jt__rng_below(rng, n - i);
		struct place t = group[i];

		group[i] = group[j];
		group[j] = t;
		factor += group[i].log_ratio / k;
	}
	for (size_t i = k; i < n; i++) {
		e->before[e->n] = fabs(exp(-group[i].log_ratio) - 1);
		e->after[e->n++] = fabs(exp(factor - group[i].log_ratio) - 1);
	}
}

static double mean(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum / (double)n;
}

int jt__calibration_gain(const struct jt_evaluation *e, uint32_t k, uint32_t seed,
                         struct jt_calibration *ret, struct jt_error *err)
{
	const struct jt_trial *t = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	size_t n = e->d->n, end;
	struct place *places = jt__alloc(n, sizeof(*places));
	struct errors errors = { .before = jt__alloc(n * DRAWS, sizeof(double)),
		                 .after = jt__alloc(n * DRAWS, sizeof(double)) };
	struct jt_rng rng = { seed };
	int status = JT_OK;

	if (!places || !errors.before || !errors.after) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		const struct jt_row *r = &e->d->rows[i];

		places[i].q = &r->q;
		places[i].log_ratio = log(r->j_per_token / t->guesses[JT_OURS][i].j_per_token);
	}
	qsort(places, n, sizeof(*places), by_group);
	*ret = (struct jt_calibration){ .k = k };
	for (size_t i = 0; i < n; i = end) {
		for (end = i + 1; end < n && same_group(&places[i], &places[end]);)
			end++;
		if (end - i <= k)
			continue;
		ret->n_groups++;
		for (int d = 0; d < DRAWS; d++)
			draw(places + i, end - i, k, &rng, &errors);
	}
	ret->mape_before = mean(errors.before, errors.n);
	ret->mape_after = mean(errors.after, errors.n);
	ret->before = jt__median(errors.before, errors.n);
	ret->after = jt__median(errors.after, errors.n);
out:
	jt__free(errors.after);
	jt__free(errors.before);
	jt__free(places);
	return status;
}
