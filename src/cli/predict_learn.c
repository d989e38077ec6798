/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learning from the meter: what records of requests say against what the model says of them, as one
 * factor for a model on a GPU; and files of such factors:
 *
 *   {"format": "jouletap-factors", "version": 1,
 *    "factors": [{"model": "...", "gpu": "...", "factor": 1.08, "rows": 12}]}
 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/predict.h"
#include "ledger/ledger.h"

#define MAX_RECORDS ((size_t)1 << 30) /* bytes of a file */

struct lesson {
	const struct jt_fitted *model;
	struct jt_question q;
	char name[96]; /* model that the records name */
	double *logs;  /* of measured / predicted */
	size_t n, capacity;
	uint32_t n_left_out;
};

/* A record says something of the model only if the request ran to its end under a meter. */
static bool is_good(const struct jt_record *r)
{
	return strcmp(r->outcome, "ok") == 0 && r->completion_tokens != JT_NONE &&
	       r->completion_tokens > 0 && r->total_uj != JT_NONE && r->total_uj > 0 &&
	       strcmp(r->provenance, "predicted") != 0;
}

static int keep(struct lesson *l, double v)
{
	if (l->n == l->capacity) {
		size_t capacity = 2 * l->capacity + 64;
		double *p = jt__realloc(l->logs, capacity, sizeof(*p));

		if (!p)
			return JT_ENOMEM;
		l->logs = p;
		l->capacity = capacity;
	}
	l->logs[l->n++] = v;
	return JT_OK;
}

static int compare(struct lesson *l, const struct jt_record *r, struct jt_error *err)
{
	double measured_j = (double)r->total_uj * 1e-6;
	struct jt_prediction p;
	int status;

	l->q.out_tokens = (double)r->completion_tokens;
	l->q.in_tokens = r->prompt_tokens == JT_NONE ? NAN : (double)r->prompt_tokens;
	status = jt__fitted_answer(l->model, &l->q, &p, err);
	if (status < 0)
		return status;
	return keep(l, log(measured_j / (p.j_per_token / p.factor * l->q.out_tokens))) < 0
	               ? jt__fail(err, JT_ENOMEM, "predict", "no memory for records")
	               : JT_OK;
}

static int take_line(struct lesson *l, const char *path, size_t number, const char *line, size_t n,
                     struct jt_error *err)
{
	struct jt_error inner;
	struct jt_record r;
	int status = jt__record_parse(line, n, &r, &inner);

	if (status < 0)
		return jt__fail(err, status, "predict", "'%.80s', line %zu: %s", path, number,
		                inner.message);
	if (!is_good(&r)) {
		l->n_left_out++;
		return JT_OK;
	}
	if (!*l->name)
		jt__copy_text(l->name, sizeof(l->name), r.model, strlen(r.model));
	if (strcmp(l->name, r.model) != 0)
		return jt__fail(
			err, JT_EINVAL, "predict",
			"'%.60s', line %zu: records of '%.30s' and of '%.30s': take those of "
			"one model",
			path, number, l->name, r.model);
	return compare(l, &r, err);
}

static int take_file(struct lesson *l, const char *path, struct jt_error *err)
{
	struct jt_buf text;
	const char *p, *end;
	int status;

	jt__buf_init(&text, MAX_RECORDS);
	status = jt__predict_read(path, &text, err);
	p = jt__buf_bytes(&text);
	end = p + jt__buf_len(&text);
	for (size_t number = 1; status == JT_OK && p < end; number++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((stop ? stop : end) - p);

		if (n)
			status = take_line(l, path, number, p, n, err);
		p += n + (stop != NULL);
	}
	jt__buf_fini(&text);
	return status;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median: some requests always are in unusual company. */
static double median(struct lesson *l)
{
	qsort(l->logs, l->n, sizeof(*l->logs), by_size);
	return (l->logs[(l->n - 1) / 2] + l->logs[l->n / 2]) / 2;
}

int jt__predict_learn(const struct jt_fitted *f, const struct jt_question *q,
                      const char *const *paths, size_t n_paths, struct jt_lesson *ret,
                      struct jt_error *err)
{
	struct lesson l = { .model = f, .q = *q };
	int status = JT_OK;

	for (size_t i = 0; i < n_paths && status == JT_OK; i++)
		status = take_file(&l, paths[i], err);
	if (status == JT_OK && !l.n)
		status = jt__fail(err, JT_EINVAL, "predict",
		                  "none of %u records is of a request that ended well with known "
		                  "joules and tokens",
		                  l.n_left_out);
	if (status == JT_OK)
		*ret = (struct jt_lesson){ exp(median(&l)), (uint32_t)l.n, l.n_left_out };
	jt__free(l.logs);
	return status;
}

int jt__predict_write_factor(const char *path, const struct jt_question *q,
                             const struct jt_lesson *l, struct jt_error *err)
{
	json_t *root = json_pack("{s:s,s:i,s:[{s:s,s:s,s:f,s:i}]}", "format", "jouletap-factors",
	                         "version", 1, "factors", "model", q->model, "gpu", q->gpu,
	                         "factor", l->factor, "rows", (int)l->n_records);
	int failed = root ? json_dump_file(root, path, JSON_INDENT(1)) : -1;

	json_decref(root);
	if (failed)
		return jt__fail(err, JT_EIO, "predict", "cannot write '%s'", path);
	return JT_OK;
}

/* ---- a model with factors ---- */

static json_t *load_json(const char *path, struct jt_error *err)
{
	json_error_t je;
	json_t *root = json_load_file(path, 0, &je);

	if (!root)
		jt__fail(err, je.line < 1 ? JT_ENOENT : JT_EINVAL, "predict", "'%s', line %d: %s",
		         path, je.line, je.text);
	return root;
}

static int add_factors(json_t *model, json_t *more, const char *path, struct jt_error *err)
{
	json_t *list = json_object_get(more, "factors"), *all;
	const char *format = json_string_value(json_object_get(more, "format"));

	if (!format || strcmp(format, "jouletap-factors") != 0 ||
	    json_integer_value(json_object_get(more, "version")) != 1 || !json_is_array(list))
		return jt__fail(
			err, JT_EINVAL, "predict",
			"'%s' is not a file of factors (format jouletap-factors, version 1)", path);
	/* The first that fits is taken: what was learned last goes before. */
	all = json_deep_copy(list);
	json_array_extend(all, json_object_get(model, "factors"));
	json_object_set_new(model, "factors", all);
	return JT_OK;
}

static int load_with(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err)
{
	json_t *model = load_json(path, err), *more = model ? load_json(factors, err) : NULL;
	int status = model && more ? add_factors(model, more, factors, err) : JT_EINVAL;
	char *text = NULL;

	if (status == JT_OK && !(text = json_dumps(model, JSON_COMPACT | JSON_REAL_PRECISION(17))))
		status = jt__fail(err, JT_ENOMEM, "predict", "no memory for '%s'", path);
	if (status == JT_OK)
		status = jt__fitted_parse(text, strlen(text), path, jt__feature_names, ret, err);
	free(text);
	json_decref(more);
	json_decref(model);
	return status;
}

int jt__predict_load(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err)
{
	char own[512];

	if (!path && !jt__predict_data("predictor/model.json", own, sizeof(own)))
		return jt__fail(err, JT_ENOENT, "predict",
		                "jouletap's own model is not installed; name one: --fitted FILE");
	path = path ? path : own;
	return factors ? load_with(path, factors, ret, err) : jt__fitted_load(path, ret, err);
}
