/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning from the meter: what records of requests say against what the model says of them, as one
 * factor for each model on a GPU. The file of factors: predictor/factors.h.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "cli/predict.h"
#include "cli/upstreams.h"
#include "predictor/factors.h"
#include "trainer/files.h"
#include "trainer/intervals.h"
#include "trainer/metrics.h"

/* ---- records ---- */

/* All upstreams are what the command line says. How many may run at once it does not say. */
static int ask_question(void *user, const char *name, size_t n_gpus, struct jt_question *ret,
                        struct jt_error *err)
{
	(void)name;
	(void)n_gpus;
	(void)err;
	*ret = *(const struct jt_question *)user;
	ret->max_num_seqs = NAN;
	return JT_OK;
}

static int add_file(struct jt_cells *c, const char *path, struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_CELLS_MAX_BYTES);
	status = jt__predict_read(path, &text, err);
	if (status == JT_OK)
		status = jt__cells_add(c, path, 0, jt__buf_bytes(&text), jt__buf_len(&text), err);
	jt__buf_fini(&text);
	return status;
}

/* Who names one model has only its records to offer. */
static int check_one_model(const struct jt_cells *c, struct jt_error *err)
{
	for (size_t i = 1; i < c->n; i++)
		if (strcmp(c->all[i].model, c->all[0].model) != 0)
			return jt__fail(
				err, JT_EINVAL, "predict",
				"records of '%.30s' and of '%.30s': take those of one model, or "
				"say what served them: --config jouletap.yaml",
				c->all[0].model, c->all[i].model);
	return JT_OK;
}

static int gather(struct jt_cells *c, const struct jt_teachers *t, struct jt_error *err)
{
	int status = JT_OK;

	for (size_t i = 0; i < t->n_paths && status == JT_OK; i++)
		status = add_file(c, t->paths[i], err);
	return status == JT_OK && !t->config ? check_one_model(c, err) : status;
}

/* ---- lessons ---- */

static bool is_same(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

static int check_same(const struct jt_question *a, const struct jt_question *b,
                      struct jt_error *err)
{
	if (is_same(a->n_layers, b->n_layers) && is_same(a->hidden_size, b->hidden_size) &&
	    is_same(a->n_experts, b->n_experts) && is_same(a->vocab_size, b->vocab_size))
		return JT_OK;
	return jt__fail(err, JT_EINVAL, "predict",
	                "two models of different sizes are called '%.40s' on '%.40s': tell them "
	                "apart by \"_name_or_path\" in their config.json",
	                a->model, a->gpu);
}

/* The lesson about what @q asks of, maybe a new one; there is room for it. */
static int find_lesson(struct jt_lessons *l, const struct jt_question *q, size_t *ret,
                       struct jt_error *err)
{
	size_t i = 0;

	while (i < l->n &&
	       (strcmp(l->all[i].q.model, q->model) != 0 || strcmp(l->all[i].q.gpu, q->gpu) != 0))
		i++;
	*ret = i;
	if (i < l->n)
		return check_same(&l->all[i].q, q, err);
	l->all[l->n++] = (struct jt_lesson){ .q = *q };
	return JT_OK;
}

/* What one row says: how far off the model was. */
struct remark {
	size_t lesson;
	double log_ratio;
};

/* Of each cell, but those that nothing can be said of; their number. */
static int compare(const struct jt_fitted *f, const struct jt_teachers *t, const struct jt_cells *c,
                   struct jt_lessons *l, struct remark *remarks, size_t *ret_n,
                   struct jt_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct jt_prediction p;
		struct jt_error why;
		struct jt_row row;
		int status;

		jt__cells_row(c, i, &row);
		if (!t->config)
			row.q.max_num_seqs = row.q.batch; /* as for a request with --batch */
		if (jt__fitted_answer(f, &row.q, &p, &why) < 0) {
			if (!l->n_left_out)
				l->left_out = why;
			l->n_left_out += c->all[i].n_records;
			continue;
		}
		status = find_lesson(l, &row.q, &remarks[n].lesson, err);
		if (status < 0)
			return status;
		l->all[remarks[n].lesson].n_records += c->all[i].n_records;
		remarks[n++].log_ratio = log(row.j_per_token / (p.j_per_token / p.factor));
	}
	*ret_n = n;
	return JT_OK;
}

static void conclude(const struct jt_fitted *f, struct jt_lessons *l, const struct remark *remarks,
                     size_t n, double *room)
{
	for (size_t i = 0; i < l->n; i++) {
		size_t m = 0;
		double sum = 0;

		for (size_t j = 0; j < n; j++)
			if (remarks[j].lesson == i) {
				room[m++] = remarks[j].log_ratio;
				sum += remarks[j].log_ratio;
			}
		l->all[i].n_rows = (uint32_t)m;
		l->all[i].ratio = exp(sum / (double)m);
		l->all[i].factor = fmin(fmax(jt__factor_learn(f, room, m), 1e-3), 1e3);
		for (size_t j = 0; j < m; j++)
			room[j] = fabs(room[j] - log(l->all[i].factor));
		l->all[i].half_width = jt__conformal_quantile(room, m, JT_INTERVAL_COVERAGE);
	}
}

static int learn(const struct jt_fitted *f, const struct jt_teachers *t, struct jt_cells *c,
                 struct jt_lessons *l, struct jt_error *err)
{
	struct remark *remarks = NULL;
	double *room = NULL;
	size_t n = 0;
	int status = gather(c, t, err);

	if (status < 0)
		return status;
	l->n_records = c->n_records;
	l->n_left_out = c->n_left_out;
	l->left_out = c->left_out;
	l->all = jt__alloc(c->n + 1, sizeof(*l->all));
	remarks = jt__alloc(c->n + 1, sizeof(*remarks));
	room = jt__alloc(c->n + 1, sizeof(*room));
	status = l->all && remarks && room ? compare(f, t, c, l, remarks, &n, err)
	                                   : jt__fail(err, JT_ENOMEM, "predict", "out of memory");
	if (status == JT_OK && !n)
		status = jt__fail(err, JT_EINVAL, "predict",
		                  "none of %" PRIu64 " records says anything%s%s", l->n_records,
		                  l->n_left_out ? "; the first: " : "", l->left_out.message);
	if (status == JT_OK)
		conclude(f, l, remarks, n, room);
	jt__free(room);
	jt__free(remarks);
	return status;
}

int jt__predict_learn(const struct jt_fitted *f, const struct jt_teachers *t,
                      struct jt_lessons *ret, struct jt_error *err)
{
	struct jt_question q = *t->question;
	struct jt_upstreams one = { .ask = ask_question, .user = &q };
	struct jt_cli_upstreams configured = { 0 };
	struct jt_cells cells = { .upstreams = &one };
	struct jt_lessons l = { 0 };
	int status = t->config ? jt__upstreams_open(t->config, &configured, err) : JT_OK;

	if (t->config)
		cells.upstreams = &configured.upstreams;
	if (status == JT_OK)
		status = learn(f, t, &cells, &l, err);
	jt__cells_fini(&cells);
	jt__upstreams_close(&configured);
	if (status < 0)
		jt__lessons_fini(&l);
	else
		*ret = l;
	return status;
}

void jt__lessons_fini(struct jt_lessons *l)
{
	jt__free(l->all);
	*l = (struct jt_lessons){ 0 };
}

/* ---- what is told of them ---- */

static void put_lesson(struct jt_buf *b, const struct jt_lesson *l)
{
	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "model", l->q.model);
	jt__json_member_text(b, "gpu", l->q.gpu);
	jt__json_member_double(b, "factor", l->factor);
	jt__json_member_double(b, "half_width", l->half_width);
	jt__json_member_u64(b, "rows", l->n_rows);
}

int jt__lessons_write(const struct jt_lessons *l, const char *path, struct jt_error *err)
{
	struct jt_buf b;
	int status;

	jt__buf_init(&b, (size_t)1 << 26);
	jt__buf_append_text(&b, "{\"format\":\"jouletap-factors\",\"version\":1,\"factors\":[");
	for (size_t i = 0; i < l->n; i++) {
		jt__buf_append_text(&b, i ? ",\n" : "\n");
		put_lesson(&b, &l->all[i]);
		jt__buf_append_text(&b, "}");
	}
	status = jt__buf_append_text(&b, "\n]}\n");
	if (status < 0 || b.failed)
		status = jt__fail(err, JT_ENOMEM, "predict", "no memory for the factors");
	else
		status = jt__file_write(path, jt__buf_bytes(&b), jt__buf_len(&b), err);
	jt__buf_fini(&b);
	return status;
}

int jt__lessons_json(const struct jt_lessons *l, struct jt_buf *b)
{
	jt__buf_append_text(b, "{");
	jt__json_member_u64(b, "records", l->n_records);
	jt__json_member_u64(b, "left_out", l->n_left_out);
	jt__json_member_text(b, "reason", l->left_out.message);
	jt__json_key(b, "factors");
	jt__buf_append_text(b, "[");
	for (size_t i = 0; i < l->n; i++) {
		if (i)
			jt__buf_append_text(b, ",");
		put_lesson(b, &l->all[i]);
		jt__json_member_u64(b, "records", l->all[i].n_records);
		jt__json_member_double(b, "measured_to_predicted", l->all[i].ratio);
		jt__buf_append_text(b, "}");
	}
	jt__buf_append_text(b, "]}\n");
	return b->failed ? JT_ENOMEM : JT_OK;
}

void jt__lessons_print(const struct jt_lessons *l, FILE *to)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct jt_lesson *one = &l->all[i];

		fprintf(to,
		        "%s on %s: metered %.4g times what is predicted, over %u load%s (%" PRIu64
		        " record%s): factor %.4g, most loads within × %.3g of it\n",
		        one->q.model, one->q.gpu, one->ratio, one->n_rows,
		        one->n_rows == 1 ? "" : "s", one->n_records, one->n_records == 1 ? "" : "s",
		        one->factor, exp(one->half_width));
	}
	if (l->n_left_out)
		fprintf(to, "%" PRIu64 " of %" PRIu64 " records left out; the first: %s\n",
		        l->n_left_out, l->n_records, l->left_out.message);
}
