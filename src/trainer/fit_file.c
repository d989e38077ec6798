/* SPDX-License-Identifier: Apache-2.0 */
/* The model file; what stands in it is described in docs/predictor-model.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "trainer/fit.h"
#include "trainer/trees.h"

#define KNOWN_TEXT 96 /* of an engine, a GPU, a backbone */

static const char *const shapes[] = { "rbf", "matern32", "matern52" };

static void put_doubles(struct jt_buf *out, const char *key, const double *v, size_t n)
{
	jt__json_key(out, key);
	jt__buf_append_text(out, "[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			jt__buf_append_text(out, ",");
		jt__json_double(out, v[i]);
	}
	jt__buf_append_text(out, "]");
}

static void put_text(struct jt_buf *out, const char *text)
{
	jt__json_string(out, text, strlen(text));
}

static void begin_member(struct jt_buf *out, const char *key, const char *bracket)
{
	jt__buf_append_text(out, ",\n");
	jt__json_string(out, key, strlen(key));
	jt__buf_append_text(out, ":");
	jt__buf_append_text(out, bracket);
}

static void put_features(struct jt_buf *out, const struct jt_fit *f)
{
	jt__buf_append_text(out, "{\"format\":\"jouletap-predictor\",\"version\":1");
	jt__json_member_text(out, "target", "log_j_per_output_token");
	begin_member(out, "features", "[");
	for (size_t j = 0; j < f->p; j++) {
		if (j)
			jt__buf_append_text(out, ",");
		put_text(out, jt__feature_names[j]);
	}
	jt__buf_append_text(out, "]");
	begin_member(out, "scale", "{");
	put_doubles(out, "mean", f->mean, f->p);
	put_doubles(out, "deviation", f->deviation, f->p);
	jt__buf_append_text(out, "}");
}

static int put_trees(struct jt_buf *out, const struct jt_fit *f, struct jt_error *err)
{
	struct jt_buf json;
	int status;

	jt__buf_init(&json, JT_FITTED_MAX_BYTES);
	jt__buf_append_text(out, ",\n{\"kind\":\"trees\"");
	jt__json_member_double(out, "weight", JT_FIT_TREES_WEIGHT);
	jt__buf_append_text(out, ",");
	status = jt__boost_json(f->trees, &json, err);
	if (status == JT_OK)
		status = jt__trees_convert(jt__buf_bytes(&json), jt__buf_len(&json), f->n_plain,
		                           out, err);
	jt__buf_append_text(out, "}");
	jt__buf_fini(&json);
	return status;
}

static void put_labels(struct jt_buf *out, const struct jt_fit *f)
{
	jt__json_key(out, "labels");
	jt__buf_append_text(out, "[");
	for (uint32_t i = 0; i < f->n_support; i++) {
		const struct jt_question *q = &f->d->rows[f->rows[f->support[i]]].q;
		char label[sizeof(q->model) + sizeof(q->gpu) + 8];

		snprintf(label, sizeof(label), "%s on %s", q->model, q->gpu);
		if (i)
			jt__buf_append_text(out, ",");
		put_text(out, label);
	}
	jt__buf_append_text(out, "]");
}

static void put_kernel(struct jt_buf *out, const struct jt_fit *f)
{
	jt__buf_append_text(out, ",\n{\"kind\":\"kernel\"");
	jt__json_member_text(out, "shape", shapes[JT_FIT_KERNEL_SHAPE]);
	jt__json_member_double(out, "weight", JT_FIT_KERNEL_WEIGHT);
	jt__buf_append_text(out, ",\"features\":[");
	for (size_t j = 0; j < f->n_plain; j++)
		jt__buf_printf(out, "%s%zu", j ? "," : "", j);
	jt__buf_append_text(out, "]");
	put_doubles(out, "lengths", f->lengths, f->n_plain);
	begin_member(out, "rows", "[");
	for (uint32_t i = 0; i < f->n_support; i++) {
		jt__buf_append_text(out, i ? ",\n[" : "[");
		for (size_t j = 0; j < f->n_plain; j++)
			jt__buf_printf(out, "%s%.9g", j ? "," : "",
			               f->z[f->support[i] * f->n_plain + j]);
		jt__buf_append_text(out, "]");
	}
	jt__buf_append_text(out, "]");
	put_doubles(out, "weights", f->weights, f->n_support);
	put_labels(out, f);
	jt__buf_append_text(out, "}");
}

static void put_sum(struct jt_buf *out, const struct jt_fit *f)
{
	jt__buf_append_text(out, "{\"kind\":\"sum\",\"weight\":1,\"features\":[");
	for (size_t j = f->n_plain; j < f->p; j++)
		jt__buf_printf(out, "%s%zu", j > f->n_plain ? "," : "", j);
	jt__buf_append_text(out, "]");
	put_doubles(out, "coefficients", f->coefficients, f->p - f->n_plain);
	jt__buf_append_text(out, "}");
}

static int put_parts(struct jt_buf *out, const struct jt_fit *f, struct jt_error *err)
{
	int status;

	begin_member(out, "parts", "[");
	put_sum(out, f);
	status = put_trees(out, f, err);
	if (status < 0)
		return status;
	put_kernel(out, f);
	jt__buf_append_text(out, "]");
	begin_member(out, "ranges", "{");
	put_doubles(out, "min", f->min, f->p);
	put_doubles(out, "max", f->max, f->p);
	jt__buf_append_text(out, "}");
	return JT_OK;
}

/* Each different text that @get gives for the rows, as it first appears. */
static void put_known(struct jt_buf *out, const char *key,
                      void (*get)(const struct jt_question *q, char *ret_text),
                      const struct jt_fit *f)
{
	char text[KNOWN_TEXT], earlier[KNOWN_TEXT];
	bool first = true;

	jt__json_key(out, key);
	jt__buf_append_text(out, "[");
	for (size_t i = 0; i < f->n; i++) {
		size_t j = 0;

		get(&f->d->rows[f->rows[i]].q, text);
		for (; j < i; j++) {
			get(&f->d->rows[f->rows[j]].q, earlier);
			if (strcmp(earlier, text) == 0)
				break;
		}
		if (j < i || !*text)
			continue;
		jt__buf_append_text(out, first ? "" : ",");
		put_text(out, text);
		first = false;
	}
	jt__buf_append_text(out, "]");
}

static void gpu_of(const struct jt_question *q, char *ret_text)
{
	snprintf(ret_text, KNOWN_TEXT, "%s", q->gpu);
}

static void run_of(const struct jt_question *q, char *ret_text)
{
	snprintf(ret_text, KNOWN_TEXT, "%s on %s", jt__question_engine(q), q->gpu);
}

static void backbone_of(const struct jt_question *q, char *ret_text)
{
	snprintf(ret_text, KNOWN_TEXT, "%s", q->model_group);
}

static void weights_of(const struct jt_question *q, char *ret_text)
{
	snprintf(ret_text, KNOWN_TEXT, "%s", jt__weights_name(q->weights));
}

static void put_matcher(struct jt_buf *out, const char *key, int value)
{
	if (value < 0)
		return;
	jt__json_key(out, key);
	jt__buf_append_text(out, value ? "true" : "false");
}

static void put_intervals(struct jt_buf *out, const struct jt_fit_notes *notes)
{
	begin_member(out, "intervals", "{");
	jt__json_member_double(out, "coverage", notes->coverage);
	jt__json_member_double(out, "half_width", notes->half_width);
	begin_member(out, "groups", "[");
	for (size_t i = 0; i < notes->n_groups; i++) {
		const struct jt_fit_group *g = &notes->groups[i];

		jt__buf_append_text(out, i ? ",\n{" : "{");
		jt__json_member_double(out, "half_width", g->half_width);
		jt__json_key(out, "rows");
		jt__json_u64(out, g->rows);
		put_matcher(out, "known_model", g->known_model);
		put_matcher(out, "known_gpu", g->known_gpu);
		put_matcher(out, "mixture", g->mixture);
		if (g->factor_rows)
			jt__json_member_u64(out, "factor_rows", g->factor_rows);
		if (!isnan(g->min_distance))
			jt__json_member_double(out, "min_distance", g->min_distance);
		jt__buf_append_text(out, "}");
	}
	jt__buf_append_text(out, "]}");
}

static void put_provenance(struct jt_buf *out, const struct jt_fit_notes *notes, size_t n)
{
	begin_member(out, "factors", "[]");
	begin_member(out, "provenance", "{");
	jt__json_member_text(out, "data_sha256", notes->sha256);
	jt__json_key(out, "rows");
	jt__json_u64(out, n);
	jt__json_member_text(out, "date", notes->date);
	jt__json_member_text(out, "note", notes->note);
	jt__json_key(out, "scores");
	jt__buf_append_text(out, "{");
	for (size_t i = 0; i < notes->n_scores; i++)
		jt__json_member_double(out, notes->scores[i].name, notes->scores[i].value);
	jt__buf_append_text(out, "}}}\n");
}

int jt__fit_write(const struct jt_fit *f, const struct jt_fit_notes *notes, struct jt_buf *out,
                  struct jt_error *err)
{
	int status;

	put_features(out, f);
	status = put_parts(out, f, err);
	if (status < 0)
		return status;
	begin_member(out, "known", "{");
	put_known(out, "gpus", gpu_of, f);
	put_known(out, "model_groups", backbone_of, f);
	put_known(out, "runs", run_of, f);
	put_known(out, "weights", weights_of, f);
	jt__buf_append_text(out, "}");
	if (!isnan(notes->reach)) {
		jt__buf_append_text(out, ",\n\"reach\":");
		jt__json_double(out, notes->reach);
	}
	put_intervals(out, notes);
	put_provenance(out, notes, f->n);
	return out->failed ? jt__fail(err, JT_ENOMEM, "train", "out of memory") : JT_OK;
}
