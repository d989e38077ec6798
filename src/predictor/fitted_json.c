/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model file becomes the block. Each key is checked where it is read, so that an error has its
 * path; at the end the block is checked as any other.
 */
#include <string.h>
#include "predictor/fitted_reader.h"

static int find_name(const struct jt_reader *r, const struct jt_value *v, uint32_t *ret_index)
{
	const char *name = json_string_value(v->json);

	for (uint32_t i = 0; name && r->names[i]; i++)
		if (strcmp(r->names[i], name) == 0) {
			*ret_index = i;
			return JT_OK;
		}
	return jt__value_fail(v, JT_EINVAL,
	                      "'%s' is no feature of this version; train the model again",
	                      name ? name : "");
}

static int read_features(struct jt_reader *r, const struct jt_value *root)
{
	struct jt_value list = jt__value_get(root, "features");
	struct jt_fitted *f = &r->head;
	int status = jt__value_list(&list, JT_MAX_FEATURES);

	f->n_features = (uint32_t)json_array_size(list.json);
	for (uint32_t i = 0; !status && i < f->n_features; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = find_name(r, &v, &f->index[i]);
		for (uint32_t k = 0; !status && k < i; k++)
			if (f->index[k] == f->index[i])
				status = jt__value_fail(&v, JT_EINVAL, "'%s' is there twice",
				                        r->names[f->index[i]]);
		if (!status)
			status = jt__reader_put_text(r, r->names[f->index[i]], &f->names[i]);
	}
	return status;
}

static const struct jt_field scale_fields[] = { { "mean", .required = true },
	                                        { "deviation", .required = true },
	                                        { NULL } };
static const struct jt_field range_fields[] = { { "min", .required = true },
	                                        { "max", .required = true },
	                                        { NULL } };

/* A null says that there is no bound. */
static int read_bounds(const struct jt_value *ranges, const char *key, uint32_t n, double none,
                       double *out)
{
	struct jt_value list = jt__value_get(ranges, key);
	int status = jt__reader_length(&list, n);

	for (uint32_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		out[i] = none;
		if (!json_is_null(v.json))
			status = jt__reader_number(&v, -JT_READER_LARGEST, JT_READER_LARGEST,
			                           &out[i]);
	}
	return status;
}

static int read_scale(struct jt_reader *r, const struct jt_value *root)
{
	struct jt_value scale = jt__value_get(root, "scale"),
			ranges = jt__value_get(root, "ranges");
	struct jt_fitted *f = &r->head;
	uint32_t n = f->n_features;
	int status;

	if ((status = jt__value_fields(&scale, scale_fields, NULL)) ||
	    (status = jt__reader_numbers(&scale, "mean", n, -JT_READER_LARGEST, JT_READER_LARGEST,
	                                 f->mean)) ||
	    (status = jt__reader_numbers(&scale, "deviation", n, 1 / JT_READER_LARGEST,
	                                 JT_READER_LARGEST, f->inverse)) ||
	    (status = jt__value_fields(&ranges, range_fields, NULL)) ||
	    (status = read_bounds(&ranges, "min", n, -JT_READER_LARGEST, f->min)) ||
	    (status = read_bounds(&ranges, "max", n, JT_READER_LARGEST, f->max)))
		return status;
	for (uint32_t i = 0; i < n; i++)
		f->inverse[i] = 1 / f->inverse[i];
	return JT_OK;
}

static int read_weights(const struct jt_value *v, size_t *ret_which)
{
	const char *names[JT_N_WEIGHTS + 1];

	for (uint32_t i = 0; i <= JT_N_WEIGHTS; i++)
		names[i] = jt__weights_name(i);
	return jt__value_choice(v, names, ret_which);
}

/* Without them any engine is known: an empty list. */
static int read_runs(struct jt_reader *r, const struct jt_value *list)
{
	return list->json ? jt__reader_texts(r, list, &r->head.runs)
	                  : jt__reader_put(r, NULL, 0, sizeof(uint32_t), &r->head.runs);
}

static int read_known(struct jt_reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = {
		{ "gpus" }, { "model_groups" }, { "runs" }, { "weights" }, { NULL }
	};
	struct jt_value known = jt__value_get(root, "known");
	struct jt_value gpus = jt__value_get(&known, "gpus");
	struct jt_value groups = jt__value_get(&known, "model_groups");
	struct jt_value runs = jt__value_get(&known, "runs");
	struct jt_value weights = jt__value_get(&known, "weights");
	int status;

	if ((status = jt__value_fields(&known, fields, NULL)) ||
	    (status = jt__reader_texts(r, &gpus, &r->head.gpus)) ||
	    (status = jt__reader_texts(r, &groups, &r->head.model_groups)) ||
	    (status = read_runs(r, &runs)) || (status = jt__reader_list(&weights, JT_N_WEIGHTS)))
		return status;
	for (size_t i = 0; !status && i < json_array_size(weights.json); i++) {
		struct jt_value v = jt__value_item(&weights, i);
		size_t which = 0;

		status = read_weights(&v, &which);
		r->head.weights |= UINT32_C(1) << which;
	}
	return status;
}

/* -1 where it is not there. */
static int read_whether(const struct jt_value *object, const char *key, int32_t *ret)
{
	struct jt_value v = jt__value_get(object, key);

	*ret = !v.json ? -1 : json_is_true(v.json);
	return v.json && !json_is_boolean(v.json)
	               ? jt__value_fail(&v, JT_EINVAL, "must be true or false")
	               : JT_OK;
}

static int read_group(struct jt_reader *r, const struct jt_value *v, struct jt_interval_group *g)
{
	static const struct jt_field fields[] = {
		{ "half_width" },   { "rows" },        { "gpu" },       { "weights" },
		{ "mixture" },      { "known_model" }, { "known_gpu" }, { "recalibrated" },
		{ "min_distance" }, { "factor_rows" }, { NULL }
	};
	struct jt_value half_width = jt__value_get(v, "half_width"),
			rows = jt__value_get(v, "rows");
	struct jt_value gpu = jt__value_get(v, "gpu"), weights = jt__value_get(v, "weights");
	struct jt_value distance = jt__value_get(v, "min_distance");
	struct jt_value taught = jt__value_get(v, "factor_rows");
	size_t which = 0;
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = jt__reader_number(&half_width, 0, 100, &g->half_width)) ||
	    (status = jt__reader_count(&rows, 0, UINT32_MAX, &g->rows)) ||
	    (status = read_whether(v, "mixture", &g->mixture)) ||
	    (status = read_whether(v, "known_model", &g->known_model)) ||
	    (status = read_whether(v, "known_gpu", &g->known_gpu)) ||
	    (status = read_whether(v, "recalibrated", &g->recalibrated)) ||
	    (taught.json && (status = jt__reader_count(&taught, 1, UINT32_MAX, &g->factor_rows))) ||
	    (weights.json && (status = read_weights(&weights, &which))) ||
	    (gpu.json && (status = jt__reader_text(r, &gpu, &g->gpu))))
		return status;
	g->weights = weights.json ? (int32_t)which : -1;
	g->min_distance = -1;
	return distance.json ? jt__reader_number(&distance, 0, JT_READER_LARGEST, &g->min_distance)
	                     : JT_OK;
}

static int read_factor(struct jt_reader *r, const struct jt_value *v, struct jt_factor *out)
{
	static const struct jt_field fields[] = { { "model" },      { "gpu" },  { "factor" },
		                                  { "half_width" }, { "rows" }, { NULL } };
	struct jt_value model = jt__value_get(v, "model"), gpu = jt__value_get(v, "gpu");
	struct jt_value factor = jt__value_get(v, "factor"), rows = jt__value_get(v, "rows");
	struct jt_value half_width = jt__value_get(v, "half_width");
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = jt__reader_text(r, &model, &out->model)) ||
	    (status = jt__reader_text(r, &gpu, &out->gpu)) ||
	    (status = jt__reader_number(&factor, 1e-3, 1e3, &out->factor)) ||
	    (half_width.json &&
	     (status = jt__reader_number(&half_width, 0, 100, &out->half_width))))
		return status;
	return jt__reader_count(&rows, 1, UINT32_MAX, &out->rows);
}

static int read_groups(struct jt_reader *r, const struct jt_value *list)
{
	size_t n = json_array_size(list->json);
	struct jt_interval_group *groups;
	int status = jt__reader_list(list, JT_MAX_KNOWN);

	if (status)
		return status;
	groups = jt__alloc(n + 1, sizeof(*groups));
	if (!groups)
		return jt__reader_fail(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(list, i);

		status = read_group(r, &v, &groups[i]);
	}
	if (!status)
		status = jt__reader_put(r, groups, n, sizeof(*groups), &r->head.groups);
	jt__free(groups);
	return status;
}

static int read_intervals(struct jt_reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = {
		{ "coverage" }, { "half_width" }, { "groups" }, { NULL }
	};
	struct jt_value v = jt__value_get(root, "intervals"), groups = jt__value_get(&v, "groups");
	struct jt_value coverage = jt__value_get(&v, "coverage");
	struct jt_value half_width = jt__value_get(&v, "half_width");
	int status;

	if ((status = jt__value_fields(&v, fields, NULL)) ||
	    (status = jt__reader_number(&coverage, 0.01, 0.9999, &r->head.coverage)) ||
	    (status = jt__reader_number(&half_width, 0, 100, &r->head.half_width)))
		return status;
	return read_groups(r, &groups);
}

static int read_factors(struct jt_reader *r, const struct jt_value *root)
{
	struct jt_value list = jt__value_get(root, "factors");
	size_t n = json_array_size(list.json);
	struct jt_factor *factors;
	int status = jt__reader_list(&list, JT_MAX_KNOWN);

	if (status)
		return status;
	factors = jt__alloc(n + 1, sizeof(*factors));
	if (!factors)
		return jt__reader_fail(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = read_factor(r, &v, &factors[i]);
	}
	if (!status)
		status = jt__reader_put(r, factors, n, sizeof(*factors), &r->head.factors);
	jt__free(factors);
	return status;
}

static int read_scores(struct jt_reader *r, const struct jt_value *object)
{
	struct jt_score scores[JT_MAX_SCORES] = { 0 };
	const char *name;
	size_t n = 0;
	json_t *json;

	if (!json_is_object(object->json) || json_object_size(object->json) > JT_MAX_SCORES)
		return jt__value_fail(object, JT_EINVAL, "must be an object of at most %d numbers",
		                      JT_MAX_SCORES);
	json_object_foreach(object->json, name, json)
	{
		struct jt_value v = jt__value_get(object, name);
		int status = jt__reader_number(&v, -JT_READER_LARGEST, JT_READER_LARGEST,
		                               &scores[n].value);

		if (!status)
			status = jt__reader_put_text(r, name, &scores[n++].name);
		if (status)
			return status;
	}
	return jt__reader_put(r, scores, n, sizeof(*scores), &r->head.scores);
}

static int read_provenance(struct jt_reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = { { "data_sha256" }, { "rows" },   { "date" },
		                                  { "note" },        { "scores" }, { NULL } };
	struct jt_value v = jt__value_get(root, "provenance"), rows = jt__value_get(&v, "rows");
	struct jt_value sha256 = jt__value_get(&v, "data_sha256");
	struct jt_value date = jt__value_get(&v, "date"), note = jt__value_get(&v, "note");
	struct jt_value scores = jt__value_get(&v, "scores");
	int status;

	if ((status = jt__value_fields(&v, fields, NULL)) ||
	    (status = jt__reader_text(r, &sha256, &r->head.data_sha256)) ||
	    (status = jt__reader_text(r, &date, &r->head.date)) ||
	    (status = jt__reader_text(r, &note, &r->head.note)) ||
	    (status = jt__reader_count(&rows, 1, UINT32_MAX, &r->head.rows)))
		return status;
	return read_scores(r, &scores);
}

/* What the file is, before anything else in it is judged. */
static int read_version(struct jt_reader *r, const struct jt_value *root)
{
	static const char *const formats[] = { "jouletap-predictor", NULL };
	static const char *const targets[] = { "log_j_per_output_token", NULL };
	struct jt_value format = jt__value_get(root, "format"), v = jt__value_get(root, "version");
	struct jt_value target = jt__value_get(root, "target");
	size_t which;
	int status;

	if ((status = jt__value_choice(&format, formats, &which)) ||
	    (status = jt__reader_count(&v, 0, UINT32_MAX, &r->head.version)))
		return status;
	if (r->head.version != JT_FITTED_VERSION)
		return jt__value_fail(&v, JT_EINVAL, "is %u, and this program reads %d",
		                      r->head.version, JT_FITTED_VERSION);
	return jt__value_choice(&target, targets, &which);
}

static int read_root(struct jt_reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = { { "format" },    { "version" }, { "target" },
		                                  { "features" },  { "scale" },   { "parts" },
		                                  { "ranges" },    { "known" },   { "reach" },
		                                  { "intervals" }, { "factors" }, { "provenance" },
		                                  { NULL } };
	struct jt_value reach = jt__value_get(root, "reach");
	int status;

	r->head.reach = -1;
	if (!json_is_object(root->json))
		return jt__value_fail(root, JT_EINVAL, "must be an object");
	if ((status = read_version(r, root)) || (status = jt__value_fields(root, fields, NULL)) ||
	    (status = read_features(r, root)) || (status = read_scale(r, root)) ||
	    (status = jt__reader_parts(r, root)) || (status = read_known(r, root)) ||
	    (status = read_intervals(r, root)) || (status = read_factors(r, root)) ||
	    (status = read_provenance(r, root)))
		return status;
	return reach.json ? jt__reader_number(&reach, 0, JT_READER_LARGEST, &r->head.reach) : JT_OK;
}

/* The bytes of the block are put where they will stay. */
static int finish(struct jt_reader *r, struct jt_fitted **ret)
{
	const struct jt_fitted *checked;
	struct jt_span_at end;
	struct jt_fitted *f;
	int status = jt__reader_put(r, "\0\0\0\0\0\0\0", 8, 1, &end);

	if (status)
		return status;
	memcpy(r->head.magic, "jtfitted", sizeof(r->head.magic));
	r->head.size = (uint32_t)jt__buf_len(&r->block);
	f = jt__alloc(r->head.size, 1);
	if (!f)
		return jt__reader_fail(r, JT_ENOMEM);
	memcpy(f, jt__buf_bytes(&r->block), r->head.size);
	*f = r->head;
	status = jt__fitted_open(f, f->size, r->names, &checked, r->err);
	if (status)
		jt__free(f);
	else
		*ret = f;
	return status;
}

static int read_model(const struct jt_value *root, const char *const *names,
                      struct jt_fitted **ret_model, struct jt_error *err)
{
	struct jt_reader *r = jt__alloc(1, sizeof(*r));
	int status;

	if (!r)
		return jt__fail(err, JT_ENOMEM, "predictor", "%s", jt_strerror(JT_ENOMEM));
	r->names = names;
	r->err = err;
	jt__buf_init(&r->block, JT_FITTED_MAX_BYTES);
	status = jt__buf_append(&r->block, &r->head, sizeof(r->head));
	status = status ? jt__reader_fail(r, status) : read_root(r, root);
	if (!status)
		status = finish(r, ret_model);
	jt__buf_fini(&r->block);
	jt__free(r);
	return status;
}

int jt__fitted_parse(const char *json, size_t n, const char *path, const char *const *names,
                     struct jt_fitted **ret_model, struct jt_error *err)
{
	struct jt_value root;
	int status = jt__value_parse(json, n, path, &root, err);

	if (status)
		return status;
	status = read_model(&root, names, ret_model, err);
	json_decref(root.json);
	return status;
}

int jt__fitted_load(const char *path, struct jt_fitted **ret_model, struct jt_error *err)
{
	struct jt_value root;
	int status = jt__value_load(path, "predictor", JT_FITTED_MAX_BYTES, &root, err);

	if (status)
		return status;
	status = read_model(&root, jt__feature_names, ret_model, err);
	json_decref(root.json);
	return status;
}

void jt__fitted_free(struct jt_fitted *f)
{
	jt__free(f);
}
