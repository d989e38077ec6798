/* SPDX-License-Identifier: Apache-2.0 */
/* What the sum of energies finds when it is fitted to all rows, in units that can be compared. */
#include <stdio.h>
#include <string.h>
#include "predictor/explain.h"
#include "trainer/fit.h"
#include "trainer/report.h"
#include "trainer/sum.h"

#define MAX_GPUS 16

/* Of features.def: what a term that waits is a multiple of. The first whose name begins so. */
static const struct {
	const char *term;
	double us;
	const char *each;
} units[] = {
	{ "e_layer_int8", 100, "a layer" },
	{ "e_layer", 10, "a layer" },
	{ "e_sequence_layer", 0.1, "a sequence and layer" },
	{ "e_sequence", 10, "a sequence" },
	{ "e_step", 1e3, "a step" },
	{ "e_replicas", 1e3, "a step" },
	{ "e_video_step", 1e3, "a step" },
	{ "e_video", 1e5, "a request" },
	{ "e_image", 1e4, "a request" },
	{ "e_request", 1e4, "a request" },
};

static void put_term(struct jt_page *page, const char *name, double c)
{
	if (jt__term_is_memory(name)) {
		jt__page_row(page, "`%s`\t%.0f pJ a byte", name, c * JT_TERM_J_PER_BYTE * 1e12);
		return;
	}
	if (jt__term_is_compute(name)) {
		jt__page_row(page, "`%s`\t%.2f of TDP, for as long as at the data sheet's peak",
		             name, c);
		return;
	}
	for (size_t i = 0; i < JT_ARRAY_LEN(units); i++)
		if (strncmp(name, units[i].term, strlen(units[i].term)) == 0) {
			double us = c * units[i].us;
			bool is_long = us >= 1000;

			jt__page_row(page, "`%s`\t%.3g %s %s, at idle power", name,
			             is_long ? us / 1000 : us, is_long ? "ms" : "µs",
			             units[i].each);
			return;
		}
	jt__page_row(page, "`%s`\t%.3g times as long as the link takes, at idle power", name, c);
}

/* What is fitted: terms of all rows, and behind them room for one more term of each GPU. */
struct work {
	const struct jt_dataset *d;
	size_t n_plain, n_terms;
	double *terms, *j, *c;
	const char *gpus[MAX_GPUS];
	size_t n_gpus;
};

static size_t gpu_of(struct work *w, const struct jt_row *r)
{
	size_t i = 0;

	while (i < w->n_gpus && strcmp(w->gpus[i], r->q.gpu) != 0)
		i++;
	if (i == w->n_gpus && i < MAX_GPUS)
		w->gpus[w->n_gpus++] = r->q.gpu;
	return i;
}

static const char *term(const struct work *w, size_t j)
{
	return jt__feature_names[w->n_plain + j];
}

/* @apart: weights are read at a price of each GPU's own. */
static int fit(struct work *w, bool apart, struct jt_error *err)
{
	size_t width = w->n_terms + (apart ? w->n_gpus : 0);

	for (size_t i = 0; i < w->d->n; i++) {
		const double *features = w->d->features + i * w->d->p + w->n_plain;
		double *to = w->terms + i * width;
		size_t own = w->n_terms + gpu_of(w, &w->d->rows[i]);

		memset(to, 0, width * sizeof(*to));
		for (size_t j = 0; j < w->n_terms; j++) {
			bool is_weights = strcmp(term(w, j), "e_weights") == 0 ||
			                  strcmp(term(w, j), "e_weights_eager") == 0;

			/* the GPUs beyond MAX_GPUS share a price */
			if (!apart || !is_weights || own >= width)
				to[j] = features[j];
			else
				to[own] += features[j];
		}
		w->j[i] = w->d->rows[i].j_per_token;
	}
	return jt__sum_fit(w->terms, w->j, w->d->n, width, w->c, err);
}

static void put_gpus(const struct work *w, struct jt_page *page)
{
	char text[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < w->n_gpus && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %.0f pJ", i ? ", " : "",
		                      w->gpus[i], w->c[w->n_terms + i] * JT_TERM_J_PER_BYTE * 1e12);
	jt__page_text(page, "A byte of weights, fitted apart for each GPU type: %s.", text);
}

int jt__report_terms(const struct jt_evaluation *e, struct jt_page *page, struct jt_error *err)
{
	struct work w = { .d = e->d, .n_plain = jt__n_plain_features() };
	int status = JT_OK;

	w.n_terms = e->d->p - w.n_plain;
	w.terms = jt__alloc(e->d->n * (w.n_terms + MAX_GPUS), sizeof(double));
	w.j = jt__alloc(e->d->n, sizeof(double));
	w.c = jt__alloc(w.n_terms + MAX_GPUS, sizeof(double));
	if (!w.terms || !w.j || !w.c)
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
	if (status == JT_OK)
		status = fit(&w, false, err);
	if (status == JT_OK) {
		jt__page_row(page, "term\twhat it costs");
		for (size_t j = 0; j < w.n_terms; j++)
			if (w.c[j] > 0)
				put_term(page, term(&w, j), w.c[j]);
		status = fit(&w, true, err);
	}
	if (status == JT_OK)
		put_gpus(&w, page);
	jt__free(w.c);
	jt__free(w.j);
	jt__free(w.terms);
	return status;
}
