/* SPDX-License-Identifier: Apache-2.0 */
/* A table of configurations, and beside each row what it will use. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/buf.h"
#include "cli/predict.h"
#include "cli/term.h"
#include "predictor/explain.h"
#include "predictor/question.h"

#define AT_ONCE 64 /* rows */
#define MAX_TABLE ((size_t)4 << 30)

static const char *const added[] = { "predicted_energy_per_token_j",
	                             "predicted_lo_j",
	                             "predicted_hi_j",
	                             "predicted_energy_per_request_j",
	                             "predicted_latency_s",
	                             "outside_data",
	                             "reason" };

struct row {
	const char *text; /* as it stands in the table */
	size_t len;
	bool read;
	struct jt_question q;
	struct jt_prediction p;
	char reason[256];
};

struct table {
	const struct jt_fitted *model;
	const char *path;
	struct jt_sheet sheet;
	struct jt_question_columns columns;
	FILE *out;
	const char *line_end;
	struct row rows[AT_ONCE];
	double features[AT_ONCE][JT_MAX_FEATURES];
	size_t n, n_rows, n_failed;
};

/* ---- reading ---- */

/* The sheet's error names a column; the line is the row's own. */
static void read_row(struct table *t, struct row *r)
{
	struct jt_error err;

	t->sheet.err = &err;
	r->reason[0] = '\0';
	r->read = jt__question_read(&t->sheet, &t->columns, &r->q) == JT_OK &&
	          jt__question_check(&r->q, &err) == JT_OK;
	if (!r->read)
		jt__copy_text(r->reason, sizeof(r->reason), err.message, strlen(err.message));
	else
		jt__features(&r->q, t->features[t->n]);
	r->text = t->sheet.row;
	r->len = t->sheet.row_len;
}

/* ---- predicting ---- */

static void predict_one(const struct table *t, struct row *r, const double *features)
{
	r->read = jt__fitted_predict(t->model, features, &r->p) == JT_OK;
	if (!r->read)
		snprintf(r->reason, sizeof(r->reason),
		         "too far from any that was measured to say anything");
}

/* Rows that can be predicted stand together; where one spoils the block, each goes alone. */
static void predict(struct table *t)
{
	struct jt_prediction p[AT_ONCE];
	double features[AT_ONCE][JT_MAX_FEATURES];
	size_t n = 0, k = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].read)
			memcpy(features[n++], t->features[i], sizeof(features[0]));
	if (jt__fitted_predict_batch(t->model, n, features[0], JT_MAX_FEATURES, p) == JT_OK) {
		for (size_t i = 0; i < t->n; i++)
			if (t->rows[i].read)
				t->rows[i].p = p[k++];
		return;
	}
	for (size_t i = 0; i < t->n; i++)
		if (t->rows[i].read)
			predict_one(t, &t->rows[i], t->features[i]);
}

static void place(struct table *t, struct row *r)
{
	if (!r->read)
		return;
	r->read = jt__fitted_place(t->model, &r->q, &r->p) == JT_OK;
	if (r->read)
		jt__fitted_reason(t->model, &r->q, &r->p, r->reason, sizeof(r->reason));
	else
		snprintf(r->reason, sizeof(r->reason),
		         "too far from any that was measured to say anything");
}

/* ---- writing ---- */

static void write_text(FILE *out, const char *text)
{
	if (!strpbrk(text, ",\"\r\n")) {
		fputs(text, out);
		return;
	}
	putc('"', out);
	for (; *text; text++) {
		if (*text == '"')
			putc('"', out);
		putc(*text, out);
	}
	putc('"', out);
}

static void write_row(struct table *t, const struct row *r, const double *features)
{
	fwrite(r->text, 1, r->len, t->out);
	if (r->read) {
		const struct jt_prediction *p = &r->p;

		fprintf(t->out, ",%.9g,%.9g,%.9g,%.9g,%.6g,%d,", p->j_per_token, p->lo_j, p->hi_j,
		        p->j_per_token * r->q.out_tokens,
		        r->q.out_tokens * jt__step_seconds(&r->q, features, p), p->outside != 0);
	} else {
		fputs(",,,,,,,", t->out);
		t->n_failed++;
	}
	write_text(t->out, r->reason);
	fputs(t->line_end, t->out);
}

static void finish_rows(struct table *t)
{
	predict(t);
	for (size_t i = 0; i < t->n; i++) {
		place(t, &t->rows[i]);
		write_row(t, &t->rows[i], t->features[i]);
	}
	t->n_rows += t->n;
	t->n = 0;
}

/* ---- all of it ---- */

static int begin(struct table *t, struct jt_error *err)
{
	const struct jt_sheet *s = &t->sheet;
	const char *head = s->row;

	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++)
		if (jt__sheet_column(s, added[i]) >= 0)
			return jt__fail(err, JT_EINVAL, "predict",
			                "'%s' has a column '%s' already: it would be there twice",
			                t->path, added[i]);
	t->line_end = s->p > head + s->row_len && head[s->row_len] == '\r' ? "\r\n" : "\n";
	fwrite(head, 1, s->row_len, t->out);
	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++)
		fprintf(t->out, ",%s", added[i]);
	fputs(t->line_end, t->out);
	jt__question_columns(s, &t->columns);
	return JT_OK;
}

static int copy(struct table *t, const char *text, size_t len, bool quiet, struct jt_error *err)
{
	struct jt_progress progress = { .label = "rows", .total = len };
	int status = jt__sheet_init(&t->sheet, t->path, text, len, err);

	if (status == JT_OK)
		status = begin(t, err);
	while (status == JT_OK) {
		t->sheet.err = err;
		status = jt__sheet_next(&t->sheet);
		if (status <= 0)
			break;
		read_row(t, &t->rows[t->n]);
		if (++t->n == AT_ONCE) {
			finish_rows(t);
			if (!quiet)
				jt__progress_update(&progress, (uint64_t)(t->sheet.p - text));
		}
		status = JT_OK;
	}
	finish_rows(t);
	jt__progress_end(&progress);
	jt__sheet_fini(&t->sheet);
	return status;
}

static int open_out(const char *path, FILE **ret, struct jt_error *err)
{
	*ret = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	if (!*ret)
		return jt__fail(err, JT_EIO, "predict", "cannot write '%s': %s", path,
		                strerror(errno));
	return JT_OK;
}

static int close_out(FILE *f, const char *path, struct jt_error *err)
{
	bool failed = ferror(f) || fflush(f) != 0;

	if (f != stdout)
		failed |= fclose(f) != 0;
	if (failed)
		return jt__fail(err, JT_EIO, "predict", "cannot write '%s': %s", path,
		                strerror(errno));
	return JT_OK;
}

int jt__predict_rows(const struct jt_fitted *f, const char *in, const char *out, bool quiet,
                     struct jt_error *err)
{
	struct table *t = jt__alloc(1, sizeof(*t));
	struct jt_buf text;
	int status, closed;

	if (!t)
		return jt__fail(err, JT_ENOMEM, "predict", "no memory for rows");
	jt__buf_init(&text, MAX_TABLE);
	t->model = f;
	t->path = strcmp(in, "-") == 0 ? "standard input" : in;
	status = jt__predict_read(in, &text, err);
	if (status == JT_OK)
		status = open_out(out, &t->out, err);
	if (status == JT_OK) {
		status = copy(t, jt__buf_bytes(&text), jt__buf_len(&text), quiet, err);
		closed = close_out(t->out, out, status < 0 ? NULL : err);
		status = status < 0 ? status : closed;
	}
	if (status == JT_OK && !quiet)
		fprintf(stderr, "jouletap: predicted %zu of %zu rows\n", t->n_rows - t->n_failed,
		        t->n_rows);
	jt__buf_fini(&text);
	jt__free(t);
	return status;
}
