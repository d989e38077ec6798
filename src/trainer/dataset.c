/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "input/textfile.h"
#include "predictor/fitted.h"
#include "predictor/question.h"
#include "trainer/cells.h"

/* Figures of one row contradict each other beyond these. Sources print five or six digits, and some
 * take power over a window that is not quite the timed one. */
#define SAME 1e-4
#define SAME_POWER 0.15

const char *const jt__key_names[JT_N_KEYS] = { "backbone", "gpu",  "source",
	                                       "family",   "size", "weights" };

const char *jt__row_key(const struct jt_row *r, enum jt_key k)
{
	static const char *const sizes[] = { "below 4 B", "4-16 B", "16-40 B", "40-130 B",
		                             "130 B and more" };
	static const double limits[] = { 4, 16, 40, 130 };
	size_t size = 0;

	switch (k) {
	case JT_KEY_BACKBONE:
		return r->q.model_group;
	case JT_KEY_GPU:
		return r->q.gpu;
	case JT_KEY_SOURCE:
		return r->q.source;
	case JT_KEY_FAMILY:
		return r->q.is_hybrid ? "hybrid" : r->q.n_experts > 1 ? "mixture" : "dense";
	case JT_KEY_WEIGHTS:
		return jt__weights_name(r->q.weights);
	case JT_KEY_SIZE:
	case JT_N_KEYS:
		break;
	}
	if (isnan(r->q.params_total_b))
		return "unknown";
	while (size < JT_ARRAY_LEN(limits) && r->q.params_total_b >= limits[size])
		size++;
	return sizes[size];
}

/* ---- a row ---- */

/* The columns of what was measured. */
enum { PER_TOKEN, PER_REQUEST, THROUGHPUT, POWER, N_MEASURED };
static const char *const measured_names[N_MEASURED] = { "energy_per_token_j",
	                                                "energy_per_request_j", "throughput_tok_s",
	                                                "avg_power_w" };

struct columns {
	struct jt_question_columns question;
	int measured[N_MEASURED];
};

static bool differ(double a, double b, double tolerance)
{
	return fabs(a - b) > tolerance * fabs(b); /* false where one is NaN */
}

static int check_measured(const struct jt_sheet *s, const double *v, double out_tokens)
{
	for (int i = 0; i < N_MEASURED; i++)
		if (v[i] <= 0)
			return jt__sheet_fail(s, "'%s' must be above 0, not %g", measured_names[i],
			                      v[i]);
	if (isnan(v[PER_TOKEN]))
		return jt__sheet_fail(s, "'%s' is blank: nothing to learn from",
		                      measured_names[PER_TOKEN]);
	if (!(out_tokens > 0))
		return jt__sheet_fail(s, "'out_tokens_mean' must be above 0");
	if (differ(v[PER_TOKEN] * out_tokens, v[PER_REQUEST], SAME))
		return jt__sheet_fail(
			s,
			"'%s' %g is not '%s' %g times 'out_tokens_mean' %g, but %g %% "
			"off",
			measured_names[PER_REQUEST], v[PER_REQUEST], measured_names[PER_TOKEN],
			v[PER_TOKEN], out_tokens,
			100 * (v[PER_TOKEN] * out_tokens / v[PER_REQUEST] - 1));
	if (differ(v[PER_TOKEN] * v[THROUGHPUT], v[POWER], SAME_POWER))
		return jt__sheet_fail(s, "'%s' %g is far from '%s' %g times '%s' %g",
		                      measured_names[POWER], v[POWER], measured_names[PER_TOKEN],
		                      v[PER_TOKEN], measured_names[THROUGHPUT], v[THROUGHPUT]);
	return JT_OK;
}

static int read_row(const struct jt_sheet *s, const struct columns *c, struct jt_row *ret)
{
	double v[N_MEASURED];
	int status = jt__question_read(s, &c->question, &ret->q);

	for (int i = 0; i < N_MEASURED && status == JT_OK; i++)
		status = jt__sheet_number(s, c->measured[i], &v[i]);
	if (status == JT_OK)
		status = check_measured(s, v, ret->q.out_tokens);
	if (status < 0)
		return status;
	ret->j_per_token = v[PER_TOKEN];
	ret->line = (uint32_t)s->line;
	return JT_OK;
}

/* ---- a file ---- */

static int keep(struct jt_dataset *d, const struct jt_row *row, struct jt_error *err)
{
	if (d->n == d->capacity) {
		size_t capacity = d->capacity ? 2 * d->capacity : 256;
		void *rows = capacity > 2 * JT_DATASET_MAX_ROWS
		                     ? NULL
		                     : jt__realloc(d->rows, capacity, sizeof(*d->rows));

		if (!rows)
			return jt__fail(err, JT_ENOMEM, "train", "no memory for more than %zu rows",
			                d->n);
		d->rows = rows;
		d->capacity = capacity;
	}
	d->rows[d->n++] = *row;
	return JT_OK;
}

static int keep_if_known(struct jt_dataset *d, const struct jt_row *row, const char *path,
                         struct jt_error *err)
{
	struct jt_error why;

	if (jt__question_check(&row->q, &why) == JT_OK)
		return keep(d, row, err);
	if (!d->n_left_out++)
		jt__fail(&d->left_out, why.status, why.where, "line %u of '%.80s': %.120s",
		         row->line, path, why.message);
	return JT_OK;
}

static int add_row(struct jt_dataset *d, const struct jt_sheet *s, const struct columns *c,
                   struct jt_error *err)
{
	struct jt_row row = { .file = d->n_files };
	int status = read_row(s, c, &row);

	return status < 0 ? status : keep_if_known(d, &row, s->path, err);
}

static int find_columns(const struct jt_sheet *s, struct columns *c)
{
	jt__question_columns(s, &c->question);
	for (int i = 0; i < N_MEASURED; i++)
		c->measured[i] = jt__sheet_column(s, measured_names[i]);
	if (c->measured[PER_TOKEN] < 0)
		return jt__sheet_fail(s, "there is no column '%s'", measured_names[PER_TOKEN]);
	return JT_OK;
}

static int add_file(struct jt_dataset *d, const char *path, struct jt_error *err)
{
	if (d->n_files == JT_ARRAY_LEN(d->files))
		return jt__fail(err, JT_ELIMIT, "train", "more than %zu files",
		                JT_ARRAY_LEN(d->files));
	d->files[d->n_files++] = path;
	return JT_OK;
}

int jt__dataset_add_csv(struct jt_dataset *d, const char *path, const char *text, size_t n,
                        struct jt_error *err)
{
	struct columns columns;
	struct jt_sheet s;
	int status;

	status = jt__sheet_init(&s, path, text, n, err);
	if (status == JT_OK)
		status = find_columns(&s, &columns);
	while (status == JT_OK && (status = jt__sheet_next(&s)) == 1)
		status = add_row(d, &s, &columns, err);
	jt__sheet_fini(&s);
	return status == JT_OK ? add_file(d, path, err) : status;
}

static int add_records(struct jt_dataset *d, struct jt_cells *c, const char *path, const char *text,
                       size_t n, struct jt_error *err)
{
	int status;

	if (!c->upstreams)
		return jt__fail(err, JT_EINVAL, "train",
		                "'%.80s' has records of requests: say what their upstreams are: "
		                "--config jouletap.yaml",
		                path);
	status = jt__cells_add(c, path, d->n_files, text, n, err);
	return status == JT_OK ? add_file(d, path, err) : status;
}

static int add_text(struct jt_dataset *d, struct jt_cells *c, const char *path, const char *text,
                    size_t n, struct jt_error *err)
{
	jt__sha256_add(&d->sha256, text, n);
	if (n && *text == '{')
		return add_records(d, c, path, text, n, err);
	if (n > JT_DATASET_MAX_BYTES)
		return jt__fail(err, JT_ELIMIT, "train", "'%.80s' is larger than %u MiB", path,
		                JT_DATASET_MAX_BYTES >> 20);
	return jt__dataset_add_csv(d, path, text, n, err);
}

static int load_file(struct jt_dataset *d, struct jt_cells *c, const char *path,
                     struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_CELLS_MAX_BYTES);
	status = jt__textfile_read(path, "train", &text, err);
	if (status == JT_OK)
		status = add_text(d, c, path, jt__buf_bytes(&text), jt__buf_len(&text), err);
	jt__buf_fini(&text);
	return status;
}

static int add_cells(struct jt_dataset *d, const struct jt_cells *c, struct jt_error *err)
{
	size_t n = d->n;
	int status = JT_OK;

	for (size_t i = 0; i < c->n && status == JT_OK; i++) {
		struct jt_row row;

		jt__cells_row(c, i, &row);
		status = keep_if_known(d, &row, d->files[row.file], err);
	}
	d->n_records = c->n_records;
	d->n_records_left_out = c->n_left_out;
	d->record_left_out = c->left_out;
	d->n_record_rows = d->n - n;
	return status;
}

int jt__dataset_finish(struct jt_dataset *d, struct jt_error *err)
{
	d->p = jt__n_features();
	if (!d->n) {
		const char *why = d->n_left_out ? d->left_out.message : d->record_left_out.message;

		return jt__fail(err, JT_EINVAL, "train", "no row can be used%s%s", *why ? ": " : "",
		                why);
	}
	if (d->n > JT_DATASET_MAX_ROWS)
		return jt__fail(err, JT_ELIMIT, "train", "more than %d rows", JT_DATASET_MAX_ROWS);
	d->features = jt__alloc(d->n * d->p, sizeof(*d->features));
	if (!d->features)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	for (size_t i = 0; i < d->n; i++) {
		double features[JT_MAX_FEATURES];

		jt__features(&d->rows[i].q, features);
		memcpy(d->features + i * d->p, features, d->p * sizeof(*features));
	}
	return JT_OK;
}

int jt__dataset_load(const char *const *paths, size_t n, const struct jt_upstreams *upstreams,
                     struct jt_dataset *ret, struct jt_error *err)
{
	struct jt_cells cells = { .upstreams = upstreams };
	struct jt_dataset d = { 0 };
	int status = JT_OK;

	jt__sha256_init(&d.sha256);
	for (size_t i = 0; i < n && status == JT_OK; i++)
		status = load_file(&d, &cells, paths[i], err);
	if (status == JT_OK)
		status = add_cells(&d, &cells, err);
	jt__cells_fini(&cells);
	if (status == JT_OK)
		status = jt__dataset_finish(&d, err);
	if (status < 0)
		jt__dataset_fini(&d);
	else
		*ret = d;
	return status;
}

void jt__dataset_fini(struct jt_dataset *d)
{
	jt__free(d->features);
	jt__free(d->rows);
	memset(d, 0, sizeof(*d));
}
