/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "trainer/report.h"

#define SEED 1        /* of which rows teach which */
#define MAX_PRIOR 1e6 /* rows: nothing is ever learned */

/* ---- figures ---- */

int jt__summarise(const struct jt_evaluation *e, enum jt_split split, int learner,
                  struct jt_summary *ret, struct jt_error *err)
{
	double square = 0;
	struct jt_metrics m;

	*ret = (struct jt_summary){ 0 };
	for (const struct jt_trial *t; (t = jt__trial(e, split, ret->n_trials)); ret->n_trials++) {
		int status;

		if (!t->guesses[learner])
			break;
		status = jt__trial_metrics(e, t, learner, JT_N_KEYS, NULL, &m, err);
		if (status < 0)
			return status;
		ret->mean.n = m.n;
		ret->mean.rmse += m.rmse;
		ret->mean.mae += m.mae;
		ret->mean.mape += m.mape;
		ret->mean.median_ape += m.median_ape;
		ret->mean.r2 += m.r2;
		ret->mean.covered += m.covered;
		ret->mean.width += m.width;
		square += m.mape * m.mape;
	}
	if (ret->n_trials) {
		double n = (double)ret->n_trials, mape = ret->mean.mape / n;

		ret->mean.rmse /= n;
		ret->mean.mae /= n;
		ret->mean.mape = mape;
		ret->mean.median_ape /= n;
		ret->mean.r2 /= n;
		ret->mean.covered /= n;
		ret->mean.width /= n;
		ret->mape_sd = n > 1 ? sqrt(fmax(0, square - n * mape * mape) / (n - 1)) : NAN;
	}
	return JT_OK;
}

int jt__values(const struct jt_dataset *d, enum jt_key key, struct jt_values *ret,
               struct jt_error *err)
{
	ret->all = jt__alloc(d->n, sizeof(*ret->all));
	ret->n = 0;
	if (!ret->all)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	for (size_t i = 0; i < d->n; i++) {
		const char *text = jt__row_key(&d->rows[i], key);
		size_t j = 0;

		while (j < ret->n && strcmp(ret->all[j], text) != 0)
			j++;
		if (j == ret->n)
			ret->all[ret->n++] = text;
	}
	return JT_OK;
}

static int worst_first(const void *a, const void *b)
{
	const struct jt_backbone *x = a, *y = b;
	double dx = x->of[JT_OURS].mape, dy = y->of[JT_OURS].mape;

	return dx != dy ? (dx < dy) - (dx > dy) : strcmp(x->name, y->name);
}

int jt__backbones(const struct jt_evaluation *e, struct jt_backbone **ret, size_t *ret_n,
                  struct jt_error *err)
{
	const struct jt_trial *t = jt__trial(e, JT_SPLIT_BACKBONE, 0);
	struct jt_values names = { 0 };
	struct jt_backbone *b = NULL;
	int status;

	*ret = NULL;
	*ret_n = 0;
	if (!t)
		return JT_OK;
	status = jt__values(e->d, JT_KEY_BACKBONE, &names, err);
	if (status == JT_OK) {
		b = jt__alloc(names.n, sizeof(*b));
		if (!b)
			status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
	}
	for (size_t i = 0; i < names.n && status == JT_OK; i++) {
		b[i].name = names.all[i];
		for (int l = 0; l < JT_N_LEARNERS && status == JT_OK; l++)
			if (t->guesses[l])
				status = jt__trial_metrics(e, t, l, JT_KEY_BACKBONE, b[i].name,
				                           &b[i].of[l], err);
	}
	if (status == JT_OK) {
		qsort(b, names.n, sizeof(*b), worst_first);
		*ret = b;
		*ret_n = names.n;
		b = NULL;
	}
	jt__free(b);
	jt__free(names.all);
	return status;
}

double jt__median_backbone(const struct jt_backbone *b, size_t n, int learner)
{
	double v[1024]; /* beyond these, the worst ones */
	size_t m = JT_MIN(n, JT_ARRAY_LEN(v));

	for (size_t i = 0; i < m; i++)
		v[i] = b[i].of[learner].mape;
	return jt__median(v, m);
}

/* ---- what a model says of itself ---- */

/* Those that many rows of the meter have taught before those that few have. */
static int add_groups(const struct jt_evaluation *e, enum jt_split split, int known_model,
                      int known_gpu, struct jt_residual *room, struct jt_fit_notes *notes,
                      struct jt_error *err)
{
	static const uint32_t taught[] = { 3, 1 };
	const struct jt_trial *t = jt__trial(e, split, 0);
	int status = JT_OK;

	if (!t)
		return JT_OK;
	for (size_t i = 0; i < JT_ARRAY_LEN(taught) && status == JT_OK; i++) {
		if (!jt__trial(e, JT_SPLIT_BACKBONE, 0))
			break;
		status = jt__calibrated_residuals(e, t, taught[i], SEED, room, err);
		if (status == JT_OK)
			status = jt__intervals_add(room, e->d->n, UINT32_MAX, known_model,
			                           known_gpu, taught[i], notes, err);
	}
	if (status < 0)
		return status;
	jt__trial_residuals(e, t, room);
	return jt__intervals_add(room, e->d->n, UINT32_MAX, known_model, known_gpu, 0, notes, err);
}

static void add_score(struct jt_fit_notes *notes, const char *split, const char *what, double value)
{
	if (notes->n_scores == JT_FIT_MAX_SCORES || isnan(value))
		return;
	snprintf(notes->scores[notes->n_scores].name, sizeof(notes->scores[0].name), "%s_%s", split,
	         what);
	notes->scores[notes->n_scores++].value = value;
}

static int add_scores(const struct jt_evaluation *e, struct jt_fit_notes *notes,
                      struct jt_error *err)
{
	double prior;
	int status;

	for (int s = 0; s < JT_N_SPLITS; s++) {
		struct jt_summary sum;

		status = jt__summarise(e, (enum jt_split)s, JT_OURS, &sum, err);

		if (status < 0)
			return status;
		if (!sum.n_trials)
			continue;
		add_score(notes, jt__split_names[s], "mape", sum.mean.mape);
		add_score(notes, jt__split_names[s], "median_ape", sum.mean.median_ape);
		add_score(notes, jt__split_names[s], "covered", sum.mean.covered);
	}
	status = jt__calibration_prior(e, &prior, err);
	/* Infinite where models differ by no more than rows do. */
	if (status == JT_OK)
		add_score(notes, "factor", "prior", isinf(prior) ? MAX_PRIOR : prior);
	return status;
}

static double far_distance(struct jt_residual *r, size_t n, double *room)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (!isnan(r[i].distance))
			room[m++] = r[i].distance;
	return jt__conformal_quantile(room, m, 0.99);
}

int jt__report_notes(const struct jt_evaluation *e, const char *date, const char *note,
                     struct jt_fit_notes *ret, struct jt_error *err)
{
	struct jt_residual *r = jt__alloc(e->d->n, sizeof(*r));
	double *room = jt__alloc(e->d->n, sizeof(*room));
	struct jt_sha256 sha256 = e->d->sha256;
	time_t now = time(NULL);
	struct tm tm;
	int status = JT_OK;

	if (!r || !room) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	jt__fit_blank_notes(ret);
	ret->coverage = JT_INTERVAL_COVERAGE;
	ret->note = note;
	jt__sha256_end(&sha256, ret->sha256);
	gmtime_r(&now, &tm);
	strftime(ret->date, sizeof(ret->date), "%Y-%m-%d", &tm);
	if (date && !jt__copy_text(ret->date, sizeof(ret->date), date, strlen(date)))
		status = jt__fail(err, JT_EINVAL, "train", "'--date' is too long");
	/* Unknown GPU before unknown model: the first group that matches holds. */
	if (status == JT_OK)
		status = add_groups(e, JT_SPLIT_GPU, -1, 0, r, ret, err);
	if (status == JT_OK)
		status = add_groups(e, JT_SPLIT_BACKBONE, 0, 1, r, ret, err);
	if (status == JT_OK)
		status = add_groups(e, JT_SPLIT_RANDOM, 1, 1, r, ret, err);
	if (status == JT_OK) {
		ret->reach = far_distance(r, e->d->n, room);
		/* What nobody knows is as bad as can be. */
		for (size_t i = 0; i < ret->n_groups; i++)
			ret->half_width = i ? fmax(ret->half_width, ret->groups[i].half_width)
			                    : ret->groups[i].half_width;
		status = add_scores(e, ret, err);
	}
out:
	jt__free(room);
	jt__free(r);
	return status;
}

/* ---- a few lines, and JSON ---- */

/* "12.3%", or "-" where there is none: one fit has no spread, baselines have no interval. */
static void print_share(double share, int width, int digits, FILE *to)
{
	if (isnan(share))
		fprintf(to, " %*s", width, "-");
	else
		fprintf(to, " %*.*f%%", width - 1, digits, 100 * share);
}

static void print_scores(const char *split, const char *model, const struct jt_summary *sum,
                         FILE *to)
{
	fprintf(to, "%-32s %-10s", split, model);
	print_share(sum->mean.mape, 8, 1, to);
	print_share(sum->mape_sd, 10, 2, to);
	print_share(sum->mean.median_ape, 8, 1, to);
	fprintf(to, " %10.4f %10.4f", sum->mean.rmse, sum->mean.mae);
	print_share(sum->mean.covered, 9, 1, to);
	fputc('\n', to);
}

int jt__report_print(const struct jt_evaluation *e, FILE *to, struct jt_error *err)
{
	fprintf(to, "%zu rows", e->d->n);
	if (e->d->n_record_rows)
		fprintf(to, ", %zu of them of %" PRIu64 " records", e->d->n_record_rows,
		        e->d->n_records - e->d->n_records_left_out);
	fprintf(to, "\n%-32s %-10s %8s %10s %8s %10s %10s %9s\n", "split", "model", "MAPE", "sd",
	        "median", "RMSE Wh", "MAE Wh", "covered");
	for (int s = 0; s < JT_N_SPLITS; s++)
		for (int l = 0; l < JT_N_LEARNERS; l++) {
			struct jt_summary sum;
			int status = jt__summarise(e, (enum jt_split)s, l, &sum, err);

			if (status < 0)
				return status;
			if (sum.n_trials)
				print_scores(jt__split_titles[s], jt__learners[l]->name, &sum, to);
		}
	return JT_OK;
}

static void put_summary(struct jt_buf *out, enum jt_split split, int learner,
                        const struct jt_summary *s)
{
	jt__buf_append_text(out, jt__buf_bytes(out)[jt__buf_len(out) - 1] == '[' ? "{" : ",{");
	jt__json_member_text(out, "split", jt__split_names[split]);
	jt__json_member_text(out, "model", jt__learners[learner]->name);
	jt__json_member_double(out, "mape", s->mean.mape);
	jt__json_member_double(out, "mape_sd", s->mape_sd);
	jt__json_member_double(out, "median_ape", s->mean.median_ape);
	jt__json_member_double(out, "rmse_wh", s->mean.rmse);
	jt__json_member_double(out, "mae_wh", s->mean.mae);
	jt__json_member_double(out, "r2", s->mean.r2);
	jt__json_member_double(out, "covered", s->mean.covered);
	jt__json_member_double(out, "interval_ratio", s->mean.width);
	jt__buf_append_text(out, "}");
}

int jt__report_json(const struct jt_evaluation *e, uint32_t seed, struct jt_buf *out,
                    struct jt_error *err)
{
	struct jt_backbone *backbones;
	size_t n_backbones;
	int status = jt__backbones(e, &backbones, &n_backbones, err);

	if (status < 0)
		return status;
	jt__buf_append_text(out, "{");
	jt__json_key(out, "rows");
	jt__json_u64(out, e->d->n);
	jt__json_key(out, "left_out");
	jt__json_u64(out, e->d->n_left_out);
	jt__json_member_u64(out, "records", e->d->n_records);
	jt__json_member_u64(out, "records_left_out", e->d->n_records_left_out);
	jt__json_member_u64(out, "rows_of_records", e->d->n_record_rows);
	jt__json_key(out, "seed");
	jt__json_u64(out, seed);
	jt__json_member_double(out, "median_backbone_mape",
	                       jt__median_backbone(backbones, n_backbones, JT_OURS));
	jt__free(backbones);
	jt__json_key(out, "scores");
	jt__buf_append_text(out, "[");
	for (int s = 0; s < JT_N_SPLITS; s++)
		for (int l = 0; l < JT_N_LEARNERS; l++) {
			struct jt_summary sum;

			status = jt__summarise(e, (enum jt_split)s, l, &sum, err);
			if (status < 0)
				return status;
			if (sum.n_trials)
				put_summary(out, (enum jt_split)s, l, &sum);
		}
	jt__buf_append_text(out, "]}");
	return out->failed ? jt__fail(err, JT_ENOMEM, "train", "out of memory") : JT_OK;
}
