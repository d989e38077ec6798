/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/page.h"
#include "trainer/plots.h"
#include "trainer/report.h"

#define MAX_SVG (16u << 20)

static const uint32_t calibration_rows[] = { 0, 1, 3, 10 };

struct writer {
	const struct jt_evaluation *e;
	struct jt_page page;
	struct jt_backbone *backbones;
	size_t n_backbones;
	uint32_t seed;
	struct jt_error *err;
};

/* "12.3 %", or a dash where there is nothing. */
static const char *percent(double part, char room[16])
{
	if (isnan(part))
		return "–";
	snprintf(room, 16, part < 9.995 ? "%.1f %%" : "%.0f %%", 100 * part);
	return room;
}

static const char *figure(double v, int decimals, char room[16])
{
	if (isnan(v))
		return "–";
	snprintf(room, 16, "%.*f", decimals, v);
	return room;
}

/* ---- in short ---- */

static int write_goals(struct writer *w)
{
	struct jt_summary random, backbone;
	char a[16], b[16], c[16], d[16];
	int status = jt__summarise(w->e, JT_SPLIT_RANDOM, JT_OURS, &random, w->err);

	if (status == JT_OK)
		status = jt__summarise(w->e, JT_SPLIT_BACKBONE, JT_OURS, &backbone, w->err);
	if (status < 0)
		return status;
	jt__page_row(&w->page, "goal\tmeasured");
	jt__page_row(&w->page, "random folds: MAPE at most 7.0 %%\t%s",
	             percent(random.mean.mape, a));
	jt__page_row(&w->page, "median over left-out backbones of their MAPE: at most 11 %%\t%s",
	             percent(jt__median_backbone(w->backbones, w->n_backbones, JT_OURS), b));
	jt__page_row(&w->page, "90 %% intervals hold 88 to 92 %%, random folds\t%s",
	             percent(random.mean.covered, c));
	jt__page_row(&w->page, "the same, backbone left out\t%s",
	             percent(backbone.n_trials ? backbone.mean.covered : NAN, d));
	return JT_OK;
}

static int write_splits(struct writer *w)
{
	jt__page_row(
		&w->page,
		"split\tmodel\tMAPE\tmedian error\tRMSE, Wh\tMAE, Wh\tR²\tin the 90 %% interval\t"
		"interval, hi / lo");
	for (int s = 0; s < JT_N_SPLITS; s++)
		for (int l = 0; l < JT_N_LEARNERS; l++) {
			struct jt_summary sum;
			char a[16], b[16], c[16], r2[16], ratio[16], sd[24] = "";
			int status = jt__summarise(w->e, (enum jt_split)s, l, &sum, w->err);

			if (status < 0)
				return status;
			if (!sum.n_trials)
				continue;
			if (sum.n_trials > 1)
				snprintf(sd, sizeof(sd), " (sd %.2f)", 100 * sum.mape_sd);
			jt__page_row(&w->page, "%s\t%s\t%s%s\t%s\t%.4f\t%.4f\t%s\t%s\t%s",
			             jt__split_titles[s], jt__learners[l]->name,
			             percent(sum.mean.mape, a), sd, percent(sum.mean.median_ape, b),
			             sum.mean.rmse, sum.mean.mae, figure(sum.mean.r2, 3, r2),
			             percent(sum.mean.covered, c),
			             figure(sum.mean.width, 2, ratio));
		}
	return JT_OK;
}

static void write_words(struct writer *w)
{
	jt__page_text(
		&w->page,
		"`jouletap train --report` makes this page from %zu measured rows of %zu "
		"backbones (seed %u). Each error is of a row that the fit had not seen, and all "
		"fits have the same settings. Relative errors are those of joules per output "
		"token, and with the token counts given those of joules per request alike; RMSE "
		"and MAE are Wh of one request.",
		w->e->d->n, w->n_backbones, w->seed);
	jt__page_text(
		&w->page,
		"**What flatters us.** No coefficient, tree or interval has seen the row that it "
		"is scored on. But the terms, the features and a handful of settings were chosen "
		"by people who looked at scores of these same rows, so that figures on rows that "
		"nobody has seen may be worse.");
	for (int l = 0; l < JT_N_LEARNERS; l++)
		jt__page_text(&w->page, "- `%s`: %s", jt__learners[l]->name,
		              jt__learners[l]->title);
	jt__page_text(
		&w->page,
		"`forest` and `gblinear` are the design of arXiv 2511.05597 on the same rows and "
		"folds; its own figures (10.48 %% on one left-out model whose siblings stayed in "
		"the training data) are of other data and of an easier question.");
}

/* ---- plots ---- */

static void write_scatter(struct writer *w, enum jt_split split, int learner)
{
	const struct jt_trial *t = jt__trial(w->e, split, 0);
	struct jt_buf svg;
	char name[64], what[160];

	if (!t)
		return;
	jt__buf_init(&svg, MAX_SVG);
	jt__plot_scatter(w->e, t, learner, &svg);
	snprintf(name, sizeof(name), "%s-%s", jt__split_names[split], jt__learners[learner]->name);
	snprintf(what, sizeof(what), "predicted over measured, %s, %s", jt__split_titles[split],
	         jt__learners[learner]->name);
	jt__page_figure(&w->page, name, what, &svg);
	jt__buf_fini(&svg);
}

static int write_bars(struct writer *w)
{
	struct jt_bar *bars = jt__alloc(JT_MAX(w->n_backbones, 1), sizeof(*bars));
	struct jt_buf svg;

	if (!bars)
		return jt__fail(w->err, JT_ENOMEM, "train", "out of memory");
	for (size_t i = 0; i < w->n_backbones; i++)
		bars[i] = (struct jt_bar){ w->backbones[i].name, w->backbones[i].of[JT_OURS].mape,
			                   w->backbones[i].of[JT_FOREST].mape };
	jt__buf_init(&svg, MAX_SVG);
	jt__plot_bars(bars, w->n_backbones, &svg);
	jt__page_figure(&w->page, "backbones", "mean error of each backbone left out", &svg);
	jt__buf_fini(&svg);
	jt__free(bars);
	return JT_OK;
}

/* ---- details ---- */

static void write_backbones(struct writer *w)
{
	jt__page_row(&w->page,
	             "backbone left out\trows\tours: MAPE\tmedian\tbias\tin the interval\t"
	             "ridge\tforest\tgblinear");
	for (size_t i = 0; i < w->n_backbones; i++) {
		const struct jt_backbone *b = &w->backbones[i];
		char c[6][16];

		jt__page_row(
			&w->page, "%s\t%zu\t%s\t%s\t%+.1f %%\t%s\t%s\t%s\t%s", b->name,
			b->of[JT_OURS].n, percent(b->of[JT_OURS].mape, c[0]),
			percent(b->of[JT_OURS].median_ape, c[1]), 100 * expm1(b->of[JT_OURS].bias),
			percent(b->of[JT_OURS].covered, c[2]), percent(b->of[JT_RIDGE].mape, c[3]),
			percent(b->of[JT_FOREST].mape, c[4]),
			percent(b->of[JT_GBLINEAR].mape, c[5]));
	}
}

static int write_value(struct writer *w, enum jt_key key, const char *value)
{
	char row[512] = "", c[5][16];
	size_t used = 0;

	for (int s = 0; s < JT_N_SPLITS; s++) {
		const struct jt_trial *t = jt__trial(w->e, (enum jt_split)s, 0);
		struct jt_metrics ours, forest;
		int status = JT_OK;

		if (!t)
			continue;
		status = jt__trial_metrics(w->e, t, JT_OURS, key, value, &ours, w->err);
		if (status == JT_OK)
			status = jt__trial_metrics(w->e, t, JT_FOREST, key, value, &forest, w->err);
		if (status < 0)
			return status;
		if (!used)
			used += (size_t)snprintf(row, sizeof(row), "%s\t%s\t%zu",
			                         jt__key_names[key], value, ours.n);
		used += (size_t)snprintf(row + used, sizeof(row) - used, "\t%s / %s / %s",
		                         percent(ours.mape, c[0]), percent(ours.median_ape, c[1]),
		                         percent(forest.mape, c[2]));
	}
	jt__page_row(&w->page, "%s", row);
	return JT_OK;
}

static int write_groups(struct writer *w)
{
	static const enum jt_key keys[] = { JT_KEY_GPU, JT_KEY_FAMILY, JT_KEY_SIZE, JT_KEY_WEIGHTS,
		                            JT_KEY_SOURCE };
	char head[256] = "";
	size_t used = 0;
	int status = JT_OK;

	for (int s = 0; s < JT_N_SPLITS; s++)
		if (jt__trial(w->e, (enum jt_split)s, 0))
			used += (size_t)snprintf(head + used, sizeof(head) - used, "\t%s",
			                         jt__split_names[s]);
	jt__page_row(&w->page, "by\t\trows%s", head);
	for (size_t k = 0; k < JT_ARRAY_LEN(keys) && status == JT_OK; k++) {
		struct jt_values values;

		status = jt__values(w->e->d, keys[k], &values, w->err);
		for (size_t i = 0; i < values.n && status == JT_OK; i++)
			status = write_value(w, keys[k], values.all[i]);
		jt__free(values.all);
	}
	return status;
}

static int write_gains(struct writer *w, bool same_task)
{
	jt__page_row(&w->page,
	             "measured rows\tgroups that have more\tMAPE without\twith\tmedian error "
	             "without\twith%s",
	             same_task ? "" : "\tinterval, hi / lo\tcovered");
	for (size_t i = 0; i < JT_ARRAY_LEN(calibration_rows); i++) {
		struct jt_calibration c;
		char t[6][16], interval[48] = "";
		int status = jt__calibration_gain(w->e, calibration_rows[i], same_task, w->seed, &c,
		                                  w->err);

		if (status < 0)
			return status;
		if (!same_task)
			snprintf(interval, sizeof(interval), "\t%s\t%s", figure(c.width, 2, t[5]),
			         percent(c.covered, t[4]));
		jt__page_row(&w->page, "%u\t%zu\t%s\t%s\t%s\t%s%s", c.k, c.n_groups,
		             percent(c.mape_before, t[0]), percent(c.mape_after, t[1]),
		             percent(c.before, t[2]), percent(c.after, t[3]), interval);
	}
	return JT_OK;
}

static int write_calibration(struct writer *w)
{
	double prior;
	int status;

	if (!jt__trial(w->e, JT_SPLIT_BACKBONE, 0))
		return JT_OK;
	status = write_gains(w, true);
	if (status == JT_OK)
		status = jt__calibration_prior(w->e, &prior, w->err);
	if (status < 0)
		return status;
	jt__page_text(
		&w->page,
		"`jouletap predict --recalibrate` learns one factor for a model on a GPU, whatever "
		"the "
		"task, and predictions with it have an interval of their own. The same, with rows "
		"of any task; the intervals come from other backbones:");
	status = write_gains(w, false);
	jt__page_text(
		&w->page,
		"The factor is exp(Σ log(measured / predicted) / (k + prior)). The prior is "
		"σ²/τ² = %.2f rows: rows of one model on one GPU differ by σ², models that the "
		"fit has not seen by τ² (Bühlmann 1967; one-way analysis of variance about 0, "
		"each backbone's prior from the others).",
		prior);
	return status;
}

static int write_details(struct writer *w)
{
	int status;

	jt__page_heading(&w->page, "Every backbone, left out");
	jt__page_text(&w->page, "The worst first. Bias is the median of predicted over measured.");
	status = write_bars(w);
	if (status < 0)
		return status;
	write_backbones(w);
	jt__page_heading(&w->page, "By GPU, family, size, weights and source");
	jt__page_text(&w->page,
	              "Each cell: MAPE of ours / median error of ours / MAPE of `forest`. Of "
	              "the random folds, the first repetition.");
	status = write_groups(w);
	if (status < 0)
		return status;
	jt__page_heading(&w->page, "What a few measured rows are worth");
	jt__page_text(
		&w->page,
		"The backbone is left out. Then k rows of a model on a GPU at a task give one "
		"constant factor, tried on each other row of the same: 20 draws for each. "
		"\"Without\" is of the same rows.");
	status = write_calibration(w);
	if (status < 0)
		return status;
	jt__page_heading(&w->page, "What energy goes to");
	jt__page_text(
		&w->page,
		"The sum of energies that all begins with, fitted to all rows. `old` is a vLLM "
		"before 0.9, `eager` Hugging Face transformers; other words add to the term "
		"without "
		"them. What is 0 is left out. Corrections by trees and kernel come on top.");
	status = jt__report_terms(w->e, &w->page, w->err);
	jt__page_heading(&w->page, "How it is made");
	jt__page_text(
		&w->page,
		"**Intervals** are conformal: the width comes from the errors of folds that are "
		"not the row's own, apart for known and new backbones and GPUs, for mixtures "
		"and others, near to what was measured and far from it. Rows of one backbone "
		"are alike, so that coverage with a backbone left out scatters more than the "
		"number of rows suggests; with three GPU types it is hardly more than an "
		"anecdote for a GPU left out. There, rows whose engine nobody else has (A100: "
		"Hugging Face transformers; of H100, the old vLLM) are scored like all, but "
		"have no interval: they ask for an unknown engine, not for an unknown GPU. The "
		"same holds for a source left out.");
	jt__page_text(
		&w->page,
		"**What the data cannot say.** Input lengths are known of a quarter of the rows "
		"only, and no row has weights in AWQ or GPTQ: what the model says of these comes "
		"from the form of its terms, not from measurements.");
	return status;
}

static int write_page(struct writer *w)
{
	int status;

	write_words(w);
	status = write_goals(w);
	jt__page_heading(&w->page, "All splits");
	if (status == JT_OK)
		status = write_splits(w);
	write_scatter(w, JT_SPLIT_BACKBONE, JT_OURS);
	write_scatter(w, JT_SPLIT_BACKBONE, JT_FOREST);
	write_scatter(w, JT_SPLIT_GPU, JT_OURS);
	return status < 0 ? status : write_details(w);
}

int jt__report_write(const struct jt_evaluation *e, uint32_t seed, const char *path,
                     struct jt_error *err)
{
	struct writer w = { .e = e, .seed = seed, .err = err };
	int status = jt__page_init(&w.page, path, "How good the energy predictor is", err);

	if (status < 0)
		return status;
	status = jt__backbones(e, &w.backbones, &w.n_backbones, err);
	if (status == JT_OK)
		status = write_page(&w);
	if (status == JT_OK)
		status = jt__page_finish(&w.page, path, err);
	else
		jt__buf_fini(&w.page.out);
	jt__free(w.backbones);
	return status;
}
