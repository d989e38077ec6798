/* SPDX-License-Identifier: Apache-2.0 */
/* A table of configurations, and beside each row what it will use. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "cli/predict.h"
#include "cli/term.h"
#include "predictor/ask.h"
#include "predictor/explain.h"
#include "predictor/question.h"

#define AT_ONCE 64 /* rows */
/* Of the table's text in memory. A row may have JT_SHEET_MAX_ROW bytes of cells, all of them quotes
 * that are doubled: from where less than that is left on, more is read. */
#define WINDOW ((size_t)8 << 20)
#define MIN_LEFT ((size_t)3 << 20)

static const char *const added[] = { "predicted_energy_per_token_j",
	                             "predicted_lo_j",
	                             "predicted_hi_j",
	                             "predicted_energy_per_request_j",
	                             "predicted_latency_s",
	                             "outside_data",
	                             "reason" };

struct row {
	const char *text; /* as it stands in the table */
	size_t len, line;
	bool read;
	struct jt_question q;
	struct jt_prediction p;
	char reason[256];
};

struct table {
	const struct jt_fitted *model;
	struct jt_models models;
	const char *path;
	int fd;
	char *text;      /* WINDOW bytes */
	uint64_t n_read; /* of the file */
	bool at_end;     /* nothing is left to read */
	bool replaces;   /* columns that are added are there, from an earlier time */
	struct jt_sheet sheet;
	struct jt_question_columns columns;
	int dtype; /* column */
	FILE *out;
	const char *line_end;
	struct row rows[AT_ONCE];
	double features[AT_ONCE][JT_MAX_FEATURES];
	size_t n, n_rows, n_failed;
	size_t first_line;      /* of a row that could not be predicted */
	char first_reason[256]; /* why */
};

/* ---- reading ---- */

/* Beginning with what the sheet has not read yet. No row may be kept by its text meanwhile. */
static int refill(struct table *t, struct jt_error *err)
{
	size_t n = (size_t)(t->sheet.end - t->sheet.p);

	memmove(t->text, t->sheet.p, n);
	while (!t->at_end && n < WINDOW) {
		ssize_t got = read(t->fd, t->text + n, WINDOW - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return jt__fail(err, errno == EACCES ? JT_EPERM : JT_EIO, "predict",
			                "cannot read '%s': %s", t->path, strerror(errno));
		t->at_end = got == 0;
		n += (size_t)got;
		t->n_read += (uint64_t)got;
	}
	t->sheet.p = t->text;
	t->sheet.end = t->text + n;
	return JT_OK;
}

/* The type as the table has it; what the row leaves blank may be named by a part of the name. */
static int know_gpu(struct jt_question *q, struct jt_error *err)
{
	bool is_known = !isnan(q->gpu_mem_gb + q->gpu_bw_gbs + q->gpu_bf16_tflops + q->gpu_tdp_w);
	const struct jt_gpu *exact = jt__gpu_find(q->gpu);
	struct jt_question named;
	int status;

	if (exact)
		jt__copy_text(q->gpu, sizeof(q->gpu), exact->name, strlen(exact->name));
	if (is_known || !*q->gpu)
		return JT_OK;
	status = jt__ask_gpu(q->gpu, &named, err);
	if (status < 0)
		return status;
	memcpy(q->gpu, named.gpu, sizeof(q->gpu));
	jt__question_know_gpu(q);
	return JT_OK;
}

/* The list of models, where the row says nothing but a name. */
static void know_model(const struct table *t, struct jt_question *q)
{
	bool is_named = isnan(q->n_layers) && *q->model;
	const struct jt_model_row *row = is_named ? jt__models_find(&t->models, q->model) : NULL;
	enum jt_weights weights = q->weights;
	char name[sizeof(q->model)];

	if (row) {
		memcpy(name, q->model, sizeof(name));
		jt__models_take(row, name, q);
		memcpy(q->model, name, sizeof(name)); /* factors are learned for it */
		if (*jt__sheet_text(&t->sheet, t->dtype)) {
			q->weights = weights;
			q->bytes_per_param = 0;
		}
	} else if (!*q->model_group) {
		jt__ask_group(q->model, q->model_group, sizeof(q->model_group));
	}
}

/* The same that jt__question_check() asks for, by the names of columns. */
static int check(const struct table *t, const struct jt_question *q, struct jt_error *err)
{
	if (isnan(q->out_tokens))
		return jt__sheet_fail(&t->sheet, "'out_tokens_mean' is not known");
	if (isnan(q->batch) && isnan(q->max_num_seqs))
		return jt__sheet_fail(&t->sheet, "neither 'batch_avg' nor 'max_num_seqs' is known");
	if (isnan(q->n_layers) && isnan(q->params_total_b) && *q->model)
		return jt__sheet_fail(&t->sheet,
		                      "neither 'n_layers' nor 'params_total_b' is known, and "
		                      "'%.60s' is no model of --list-models",
		                      q->model);
	return jt__question_check(q, err);
}

/* The sheet's error names a column; the line is the row's own. */
static void read_row(struct table *t, struct row *r)
{
	struct jt_error err;

	t->sheet.err = &err;
	r->reason[0] = '\0';
	r->read = jt__question_read(&t->sheet, &t->columns, &r->q) == JT_OK;
	if (r->read) {
		know_model(t, &r->q);
		r->read = know_gpu(&r->q, &err) == JT_OK && check(t, &r->q, &err) == JT_OK;
	}
	if (!r->read)
		jt__copy_text(r->reason, sizeof(r->reason), err.message, strlen(err.message));
	else
		jt__features(&r->q, t->features[t->n]);
	r->text = t->sheet.row;
	r->len = t->sheet.row_len;
	r->line = t->sheet.line;
}

/* ---- predicting ---- */

/* @status: what predicting it gave. */
static void take_status(struct row *r, int status)
{
	r->read = status == JT_OK;
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
			take_status(&t->rows[i],
			            jt__fitted_predict(t->model, t->features[i], &t->rows[i].p));
}

static void place(struct table *t, struct row *r)
{
	if (!r->read)
		return;
	take_status(r, jt__fitted_place(t->model, &r->q, &r->p));
	if (r->read)
		jt__fitted_reason(t->model, &r->q, &r->p, r->reason, sizeof(r->reason));
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

static bool is_added(const char *column)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++)
		if (strcmp(column, added[i]) == 0)
			return true;
	return false;
}

/* The cells of a row, of @text with NULs between them, without those that are written anew. */
static void write_cells(const struct table *t, const char *text)
{
	const char *name = jt__buf_bytes(&t->sheet.names);
	bool first = true;

	for (size_t i = 0; i < t->sheet.n_columns; i++) {
		if (!is_added(name)) {
			fputs(first ? "" : ",", t->out);
			write_text(t->out, text);
			first = false;
		}
		name += strlen(name) + 1;
		text += strlen(text) + 1;
	}
}

/* Seconds of a request; nothing where there is no such number. */
static void write_latency(FILE *out, const struct row *r, const double *features)
{
	double s = r->q.out_tokens * jt__step_seconds(&r->q, features, &r->p);

	if (isfinite(s))
		fprintf(out, "%.6g", s);
}

static void write_row(struct table *t, const struct row *r, const double *features)
{
	if (t->replaces)
		write_cells(t, jt__buf_bytes(&t->sheet.cells));
	else
		fwrite(r->text, 1, r->len, t->out);
	if (r->read) {
		const struct jt_prediction *p = &r->p;

		fprintf(t->out, ",%.9g,%.9g,%.9g,%.9g,", p->j_per_token, p->lo_j, p->hi_j,
		        p->j_per_token * r->q.out_tokens);
		write_latency(t->out, r, features);
		fprintf(t->out, ",%d,", p->outside != 0);
	} else {
		fputs(",,,,,,,", t->out);
		if (!t->n_failed++) {
			t->first_line = r->line;
			memcpy(t->first_reason, r->reason, sizeof(t->first_reason));
		}
	}
	write_text(t->out, r->reason);
	fputs(t->line_end, t->out);
}

/* false: nobody reads what is written, or the disk is full. */
static bool finish_rows(struct table *t)
{
	predict(t);
	for (size_t i = 0; i < t->n; i++) {
		place(t, &t->rows[i]);
		write_row(t, &t->rows[i], t->features[i]);
	}
	t->n_rows += t->n;
	t->n = 0;
	return !ferror(t->out);
}

/* ---- all of it ---- */

/* A table that was predicted before is predicted again; other columns of such names are its own. */
static int check_columns(struct table *t, struct jt_error *err)
{
	t->replaces = jt__sheet_column(&t->sheet, added[0]) >= 0;
	for (size_t i = 1; i < JT_ARRAY_LEN(added) && !t->replaces; i++)
		if (jt__sheet_column(&t->sheet, added[i]) >= 0)
			return jt__fail(err, JT_EINVAL, "predict",
			                "'%s' has a column '%s' already, which predict writes: "
			                "call yours otherwise",
			                t->path, added[i]);
	return JT_OK;
}

static int begin(struct table *t, struct jt_error *err)
{
	const struct jt_sheet *s = &t->sheet;
	const char *head = s->row;
	int status = check_columns(t, err);

	if (status < 0)
		return status;
	t->line_end = s->p > head + s->row_len && head[s->row_len] == '\r' ? "\r\n" : "\n";
	if (t->replaces)
		write_cells(t, jt__buf_bytes(&s->names));
	else
		fwrite(head, 1, s->row_len, t->out);
	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++)
		fprintf(t->out, ",%s", added[i]);
	fputs(t->line_end, t->out);
	jt__question_columns(s, &t->columns);
	t->dtype = jt__sheet_column(s, "dtype");
	return JT_OK;
}

/* Whether what is left of the text may end within the next row. */
static bool is_low(struct table *t)
{
	jt__sheet_pass_empty(&t->sheet);
	return !t->at_end && (size_t)(t->sheet.end - t->sheet.p) < MIN_LEFT;
}

/* 1: there is a row; 0: there is none, or nobody wants it. */
static int next_row(struct table *t, struct jt_error *err)
{
	if (t->n == (t->replaces ? 1 : AT_ONCE) && !finish_rows(t))
		return 0;
	while (is_low(t)) {
		int status = finish_rows(t) ? refill(t, err) : JT_OK;

		if (status < 0 || ferror(t->out))
			return status;
	}
	t->sheet.err = err;
	return jt__sheet_next(&t->sheet);
}

static int copy(struct table *t, bool quiet, struct jt_error *err)
{
	struct jt_progress progress = { .label = "rows" };
	struct stat st;
	int status;

	if (fstat(t->fd, &st) == 0 && S_ISREG(st.st_mode))
		progress.total = (uint64_t)st.st_size;
	t->sheet.p = t->sheet.end = t->text;
	status = refill(t, err);
	if (status == JT_OK)
		status = jt__sheet_init(&t->sheet, t->path, t->text,
		                        (size_t)(t->sheet.end - t->text), err);
	if (status == JT_OK)
		status = begin(t, err);
	while (status == JT_OK && (status = next_row(t, err)) > 0) {
		read_row(t, &t->rows[t->n]);
		t->n++;
		if (!quiet && progress.total && t->n == AT_ONCE)
			jt__progress_update(&progress,
			                    t->n_read - (uint64_t)(t->sheet.end - t->sheet.p));
		status = JT_OK;
	}
	finish_rows(t);
	jt__progress_end(&progress);
	jt__sheet_fini(&t->sheet);
	return status;
}

static int open_in(struct table *t, const char *path, struct jt_error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;

	t->path = is_stdin ? "standard input" : path;
	t->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	if (t->fd < 0)
		return jt__fail(err, errno == EACCES ? JT_EPERM : JT_ENOENT, "predict",
		                "cannot open '%s': %s", path, strerror(errno));
	return JT_OK;
}

static int open_out(const char *path, FILE **ret, struct jt_error *err)
{
	*ret = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	if (!*ret)
		return jt__fail(err, JT_EIO, "predict", "cannot write '%s': %s", path,
		                strerror(errno));
	return JT_OK;
}

/* What standard output could not take is told where the program ends. */
static int close_out(FILE *f, const char *path, struct jt_error *err)
{
	bool failed;

	if (f == stdout)
		return JT_OK;
	failed = ferror(f) || fflush(f) != 0;
	failed |= fclose(f) != 0;
	if (failed)
		return jt__fail(err, JT_EIO, "predict", "cannot write '%s': %s", path,
		                strerror(errno));
	return JT_OK;
}

static void tell(const struct table *t)
{
	fprintf(stderr, "jouletap: predicted %zu of %zu rows\n", t->n_rows - t->n_failed,
	        t->n_rows);
	if (t->n_failed)
		fprintf(stderr, "jouletap: the first that could not be, in line %zu: %s\n",
		        t->first_line, t->first_reason);
}

static int run(struct table *t, const char *in, const char *out, bool quiet, struct jt_error *err)
{
	int status = jt__models_load(&t->models, err), closed;

	if (status == JT_OK)
		status = open_in(t, in, err);
	if (status == JT_OK)
		status = open_out(out, &t->out, err);
	if (status < 0)
		return status;
	status = copy(t, quiet, err);
	closed = close_out(t->out, out, status < 0 ? NULL : err);
	status = status < 0 ? status : closed;
	if (status == JT_OK && !quiet && (t->out != stdout || !ferror(stdout)))
		tell(t);
	return status;
}

int jt__predict_rows(const struct jt_fitted *f, const char *in, const char *out, bool quiet,
                     struct jt_error *err)
{
	struct table *t = jt__alloc(1, sizeof(*t));
	int status;

	if (!t)
		return jt__fail(err, JT_ENOMEM, "predict", "no memory for rows");
	t->model = f;
	t->fd = -1;
	t->text = jt__alloc(1, WINDOW);
	status = t->text ? run(t, in, out, quiet, err)
	                 : jt__fail(err, JT_ENOMEM, "predict", "no memory for rows");
	if (t->fd > STDIN_FILENO)
		close(t->fd);
	jt__models_fini(&t->models);
	jt__free(t->text);
	jt__free(t);
	return status;
}

bool jt__predict_same_file(const char *in, const char *out)
{
	struct stat a, b;
	bool is_stdin = strcmp(in, "-") == 0, is_stdout = !out || strcmp(out, "-") == 0;

	if ((is_stdin ? fstat(STDIN_FILENO, &a) : stat(in, &a)) < 0 ||
	    (is_stdout ? fstat(STDOUT_FILENO, &b) : stat(out, &b)) < 0)
		return false;
	return S_ISREG(a.st_mode) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
