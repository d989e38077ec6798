/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/evaluate.h"
#include "trainer/folds.h"
#include "trainer/intervals.h"

#define J_PER_WH 3600.0

const char *const jt__split_names[JT_N_SPLITS] = { "random", "backbone", "gpu", "source" };
const char *const jt__split_titles[JT_N_SPLITS] = {
	"random rows in 5 folds",
	"one backbone left out",
	"one GPU type left out",
	"one source left out",
};

static int fail_memory(struct jt_error *err)
{
	return jt__fail(err, JT_ENOMEM, "train", "out of memory");
}

/* ---- which trials ---- */

static int open_trial(struct jt_evaluation *e, enum jt_split split, bool full,
                      struct jt_trial **ret, struct jt_error *err)
{
	struct jt_trial *t = &e->trials[e->n_trials++];
	size_t n = e->d->n;

	t->split = split;
	t->fold = jt__alloc(n, sizeof(*t->fold));
	t->half_width = jt__alloc(n, sizeof(*t->half_width));
	if (!t->fold || !t->half_width)
		return fail_memory(err);
	for (int i = 0; i < (full ? JT_N_LEARNERS : 1); i++) {
		t->guesses[i] = jt__alloc(n, sizeof(*t->guesses[i]));
		if (!t->guesses[i])
			return fail_memory(err);
	}
	*ret = t;
	return JT_OK;
}

static int plan_random(struct jt_evaluation *e, const struct jt_evaluate_options *o,
                       struct jt_error *err)
{
	struct jt_rng rng = { o->seed };

	for (int i = 0; i < (o->full ? JT_CV_REPETITIONS : 1); i++) {
		struct jt_trial *t;
		int status = open_trial(e, JT_SPLIT_RANDOM, o->full, &t, err);

		if (status == JT_OK)
			status = jt__folds_random(e->d->n, JT_CV_FOLDS, &rng, t->fold, err);
		if (status < 0)
			return status;
		t->n_folds = JT_CV_FOLDS;
	}
	return JT_OK;
}

static void close_trial(struct jt_trial *t)
{
	for (int i = 0; i < JT_N_LEARNERS; i++)
		jt__free(t->guesses[i]);
	jt__free(t->half_width);
	jt__free(t->fold);
	memset(t, 0, sizeof(*t));
}

/* One fold for each group; without --cv the many backbones are shared out over a few folds. */
static int plan_groups(struct jt_evaluation *e, enum jt_split split, enum jt_key key,
                       const struct jt_evaluate_options *o, struct jt_error *err)
{
	const char **keys = jt__alloc(e->d->n, sizeof(*keys));
	struct jt_rng rng = { o->seed };
	struct jt_trial *t;
	int status = keys ? open_trial(e, split, o->full, &t, err) : fail_memory(err);

	if (status < 0)
		goto out;
	for (size_t i = 0; i < e->d->n; i++)
		keys[i] = jt__row_key(&e->d->rows[i], key);
	if (jt__folds_by_key(keys, e->d->n, t->fold, &t->n_folds, NULL) < 0) {
		close_trial(t);
		e->n_trials--;
		goto out;
	}
	if (!o->full && t->n_folds > JT_CV_FOLDS) {
		status = jt__folds_of_groups(t->fold, t->n_folds, e->d->n, JT_CV_FOLDS, &rng,
		                             t->fold, err);
		t->n_folds = JT_CV_FOLDS;
	}
out:
	jt__free(keys);
	return status;
}

static int plan(struct jt_evaluation *e, const struct jt_evaluate_options *o, struct jt_error *err)
{
	int status = plan_random(e, o, err);

	if (status == JT_OK)
		status = plan_groups(e, JT_SPLIT_BACKBONE, JT_KEY_BACKBONE, o, err);
	if (status == JT_OK)
		status = plan_groups(e, JT_SPLIT_GPU, JT_KEY_GPU, o, err);
	if (status == JT_OK && o->full)
		status = plan_groups(e, JT_SPLIT_SOURCE, JT_KEY_SOURCE, o, err);
	return status;
}

/* ---- running them ---- */

/* Rows of fold @f to the end of @rows, all others to its beginning; returns how many these are. */
static size_t part_rows(const struct jt_trial *t, size_t n, uint32_t f, uint32_t *rows)
{
	size_t n_train = 0, n_test = 0;

	for (size_t i = 0; i < n; i++)
		if (t->fold[i] == f)
			rows[n - ++n_test] = (uint32_t)i;
		else
			rows[n_train++] = (uint32_t)i;
	return n_train;
}

static int run_fold(const struct jt_dataset *d, const struct jt_trial *t, int learner,
                    const uint32_t *rows, size_t n_train, uint32_t seed, struct jt_guess *room,
                    struct jt_error *err)
{
	const struct jt_learner *l = jt__learners[learner];
	const uint32_t *test = rows + n_train;
	size_t n_test = d->n - n_train;
	void *fit;
	int status = l->fit(d, rows, n_train, seed, &fit, err);

	if (status < 0)
		return status;
	status = l->predict(fit, d, test, n_test, room, err);
	for (size_t i = 0; i < n_test && status == JT_OK; i++)
		t->guesses[learner][test[i]] = room[i];
	l->free(fit);
	return status;
}

struct work {
	uint32_t *rows;
	struct jt_guess *room;
	struct jt_residual *residuals;
	uint64_t done, total;
};

static int run_trial(struct jt_evaluation *e, const struct jt_trial *t,
                     const struct jt_evaluate_options *o, struct work *w, struct jt_error *err)
{
	int status = JT_OK;

	for (uint32_t f = 0; f < t->n_folds; f++) {
		size_t n_train = part_rows(t, e->d->n, f, w->rows);

		for (int l = 0; l < JT_N_LEARNERS && status == JT_OK; l++)
			if (t->guesses[l])
				status = run_fold(e->d, t, l, w->rows, n_train, o->seed, w->room,
				                  err);
		if (status < 0)
			return status;
		if (o->progress)
			o->progress(o->user, ++w->done, w->total);
	}
	return JT_OK;
}

enum engine { NEW_VLLM, OLD_VLLM, EAGER, N_ENGINES };

static enum engine engine_of(const struct jt_row *r)
{
	return r->q.is_eager ? EAGER : r->q.is_vllm_new ? NEW_VLLM : OLD_VLLM;
}

/* Whether the rows that are fitted without this one's fold have its engine. */
static bool has_engine(const struct jt_evaluation *e, const struct jt_trial *t, size_t row)
{
	for (size_t i = 0; i < e->d->n; i++)
		if (t->fold[i] != t->fold[row] &&
		    engine_of(&e->d->rows[i]) == engine_of(&e->d->rows[row]))
			return true;
	return false;
}

/*
 * A GPU type that is left out may take the only rows of an engine with it. How far off these are
 * says nothing about an unknown GPU: no interval is learned from them, and none claimed.
 */
void jt__trial_residuals(const struct jt_evaluation *e, const struct jt_trial *t,
                         struct jt_residual *ret)
{
	for (size_t i = 0; i < e->d->n; i++) {
		const struct jt_row *r = &e->d->rows[i];
		const struct jt_guess *g = &t->guesses[JT_OURS][i];
		double size = fabs(log(g->j_per_token / r->j_per_token));

		ret[i] = (struct jt_residual){ .size = has_engine(e, t, i) ? size : NAN,
			                       .distance = g->distance,
			                       .mixture = r->q.n_experts > 1,
			                       .fold = t->fold[i] };
	}
}

/* Each fold's intervals come from the residuals of the others. */
static int set_half_widths(struct jt_evaluation *e, const struct jt_trial *t, struct work *w,
                           struct jt_error *err)
{
	jt__trial_residuals(e, t, w->residuals);
	for (uint32_t f = 0; f < t->n_folds; f++) {
		struct jt_fit_notes notes = { 0 };
		int status = jt__intervals_add(w->residuals, e->d->n, f, -1, -1, 0, &notes, err);

		if (status < 0)
			return status;
		for (size_t i = 0; i < e->d->n; i++)
			if (t->fold[i] == f)
				t->half_width[i] =
					isnan(w->residuals[i].size)
						? NAN
						: jt__intervals_find(&notes, &w->residuals[i]);
	}
	return JT_OK;
}

static int run(struct jt_evaluation *e, const struct jt_evaluate_options *o, struct jt_error *err)
{
	size_t n = e->d->n;
	struct work w = { .rows = jt__alloc(n, sizeof(*w.rows)),
		          .room = jt__alloc(n, sizeof(*w.room)),
		          .residuals = jt__alloc(n, sizeof(*w.residuals)) };
	int status = w.rows && w.room && w.residuals ? JT_OK : fail_memory(err);

	for (size_t i = 0; i < e->n_trials; i++)
		w.total += e->trials[i].n_folds;
	for (size_t i = 0; i < e->n_trials && status == JT_OK; i++) {
		status = run_trial(e, &e->trials[i], o, &w, err);
		if (status == JT_OK)
			status = set_half_widths(e, &e->trials[i], &w, err);
	}
	jt__free(w.residuals);
	jt__free(w.room);
	jt__free(w.rows);
	return status;
}

int jt__evaluate(const struct jt_dataset *d, const struct jt_evaluate_options *options,
                 struct jt_evaluation *ret, struct jt_error *err)
{
	int status;

	*ret = (struct jt_evaluation){ .d = d };
	status = plan(ret, options, err);
	return status < 0 ? status : run(ret, options, err);
}

void jt__evaluation_fini(struct jt_evaluation *e)
{
	for (size_t i = 0; i < e->n_trials; i++)
		close_trial(&e->trials[i]);
	e->n_trials = 0;
}

/* ---- what came of it ---- */

const struct jt_trial *jt__trial(const struct jt_evaluation *e, enum jt_split split, size_t i)
{
	for (size_t j = 0; j < e->n_trials; j++)
		if (e->trials[j].split == split && i-- == 0)
			return &e->trials[j];
	return NULL;
}

int jt__trial_metrics(const struct jt_evaluation *e, const struct jt_trial *t, int learner,
                      enum jt_key key, const char *value, struct jt_metrics *ret,
                      struct jt_error *err)
{
	double *room = jt__alloc(4 * e->d->n, sizeof(*room));
	struct jt_scored s = { 0 };
	int status;

	if (!room)
		return fail_memory(err);
	for (size_t i = 0; i < e->d->n; i++) {
		const struct jt_row *r = &e->d->rows[i];
		double wh_per_j_per_token = r->q.out_tokens / J_PER_WH;
		double guess = t->guesses[learner][i].j_per_token * wh_per_j_per_token;
		double half = t->half_width[i];

		if (value && strcmp(jt__row_key(r, key), value) != 0)
			continue;
		room[s.n] = r->j_per_token * wh_per_j_per_token;
		room[e->d->n + s.n] = guess;
		room[2 * e->d->n + s.n] = guess * exp(-half);
		room[3 * e->d->n + s.n] = guess * exp(half);
		s.n++;
	}
	s.truth = room;
	s.predicted = room + e->d->n;
	if (learner == JT_OURS) {
		s.lo = room + 2 * e->d->n;
		s.hi = room + 3 * e->d->n;
	}
	status = jt__measure(&s, ret, err);
	jt__free(room);
	return status;
}
