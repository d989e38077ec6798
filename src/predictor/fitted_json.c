/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model file becomes the block. Each key is checked where it is read, so that an error has its
 * path; at the end the block is checked as any other.
 */
#include <float.h>
#include <string.h>
#include "predictor/parts.h"
#include "input/value.h"

#define LARGEST 1e30 /* of any number in the file; a float holds it */

struct reader {
	struct jt_buf block;
	struct jt_fitted head;
	const char *const *names;
	struct jt_error *err;
};

static int fail_room(const struct reader *r, int status)
{
	if (status == JT_ELIMIT)
		return jt__fail(r->err, status, "predictor", "the model is larger than %u MiB",
		                JT_FITTED_MAX_BYTES >> 20);
	return jt__fail(r->err, status, "predictor", "%s", jt_strerror(status));
}

/* Appends @n items of @size bytes each, where the next list may begin. */
static int put(struct reader *r, const void *items, size_t n, size_t size, struct jt_span_at *ret)
{
	static const char zeros[8] = { 0 };
	int status = jt__buf_append(&r->block, zeros, -jt__buf_len(&r->block) % 8);

	ret->at = (uint32_t)jt__buf_len(&r->block);
	ret->n = (uint32_t)n;
	if (!status)
		status = jt__buf_append(&r->block, items, n * size);
	return status ? fail_room(r, status) : JT_OK;
}

static int put_text(struct reader *r, const char *text, uint32_t *ret_at)
{
	int status;

	*ret_at = (uint32_t)jt__buf_len(&r->block);
	status = jt__buf_append(&r->block, text, strlen(text) + 1);
	return status ? fail_room(r, status) : JT_OK;
}

static int read_text(struct reader *r, const struct jt_value *v, uint32_t *ret_at)
{
	if (!json_is_string(v->json))
		return jt__value_fail(v, JT_EINVAL, v->json ? "must be a text" : "is missing");
	return put_text(r, json_string_value(v->json), ret_at);
}

static int read_number(const struct jt_value *v, double min, double max, double *ret)
{
	const struct jt_field f = {
		.kind = JT_FIELD_NUMBER, .required = true, .min = min, .max = max
	};

	return jt__value_read(v, &f, ret);
}

static int read_count(const struct jt_value *v, double min, double max, uint32_t *ret)
{
	const struct jt_field f = {
		.kind = JT_FIELD_COUNT, .required = true, .min = min, .max = max
	};

	return jt__value_read(v, &f, ret);
}

/* A list, empty or not. */
static int check_list(const struct jt_value *v, size_t max)
{
	return json_is_array(v->json) && json_array_size(v->json) == 0 ? JT_OK
	                                                               : jt__value_list(v, max);
}

static int check_length(const struct jt_value *v, size_t n)
{
	int status = check_list(v, JT_MAX_TREE_NODES);

	if (!status && json_array_size(v->json) != n)
		return jt__value_fail(v, JT_EINVAL, "has %zu items and not %zu",
		                      json_array_size(v->json), n);
	return status;
}

/* Exactly @n of them. */
static int read_numbers(const struct jt_value *object, const char *key, uint32_t n, double min,
                        double max, double *out)
{
	struct jt_value list = jt__value_get(object, key);
	int status = check_length(&list, n);

	for (uint32_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = read_number(&v, min, max, &out[i]);
	}
	return status;
}

/* Texts, and where they are. */
static int read_texts(struct reader *r, const struct jt_value *list, struct jt_span_at *ret)
{
	int status = check_list(list, JT_MAX_KNOWN);
	size_t n = json_array_size(list->json);
	uint32_t *at;

	if (status)
		return status;
	at = jt__alloc(n + 1, sizeof(*at));
	if (!at)
		return fail_room(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(list, i);

		status = read_text(r, &v, &at[i]);
	}
	if (!status)
		status = put(r, at, n, sizeof(*at), ret);
	jt__free(at);
	return status;
}

static int find_name(const struct reader *r, const struct jt_value *v, uint32_t *ret_index)
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

static int read_features(struct reader *r, const struct jt_value *root)
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
			status = put_text(r, r->names[f->index[i]], &f->names[i]);
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
	int status = check_length(&list, n);

	for (uint32_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		out[i] = none;
		if (!json_is_null(v.json))
			status = read_number(&v, -LARGEST, LARGEST, &out[i]);
	}
	return status;
}

static int read_scale(struct reader *r, const struct jt_value *root)
{
	struct jt_value scale = jt__value_get(root, "scale"),
			ranges = jt__value_get(root, "ranges");
	struct jt_fitted *f = &r->head;
	uint32_t n = f->n_features;
	int status;

	if ((status = jt__value_fields(&scale, scale_fields, NULL)) ||
	    (status = read_numbers(&scale, "mean", n, -LARGEST, LARGEST, f->mean)) ||
	    (status = read_numbers(&scale, "deviation", n, 1 / LARGEST, LARGEST, f->inverse)) ||
	    (status = jt__value_fields(&ranges, range_fields, NULL)) ||
	    (status = read_bounds(&ranges, "min", n, -LARGEST, f->min)) ||
	    (status = read_bounds(&ranges, "max", n, LARGEST, f->max)))
		return status;
	for (uint32_t i = 0; i < n; i++)
		f->inverse[i] = 1 / f->inverse[i];
	return JT_OK;
}

/* Indices of features. */
static int read_used(const struct reader *r, const struct jt_value *part,
                     uint32_t used[JT_MAX_FEATURES], uint32_t *ret_n)
{
	struct jt_value list = jt__value_get(part, "features");
	int status = jt__value_list(&list, r->head.n_features);

	*ret_n = (uint32_t)json_array_size(list.json);
	for (uint32_t i = 0; !status && i < *ret_n; i++) {
		struct jt_value item = jt__value_item(&list, i);

		status = read_count(&item, 0, r->head.n_features - 1, &used[i]);
	}
	return status;
}

static int read_sum(struct reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = {
		{ "kind" }, { "weight" }, { "features" }, { "coefficients" }, { NULL }
	};
	uint32_t used[JT_MAX_FEATURES], n;
	double c[JT_MAX_FEATURES];
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) || (status = read_used(r, v, used, &n)) ||
	    (status = read_numbers(v, "coefficients", n, 0, LARGEST, c)) ||
	    (status = put(r, used, n, sizeof(*used), &p->used)))
		return status;
	return put(r, c, n, sizeof(*c), &p->coefficients);
}

static int read_linear(struct reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = {
		{ "kind" }, { "weight" }, { "intercept" }, { "coefficients" }, { NULL }
	};
	struct jt_value intercept = jt__value_get(v, "intercept");
	double c[JT_MAX_FEATURES];
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = read_number(&intercept, -LARGEST, LARGEST, &p->constant)) ||
	    (status = read_numbers(v, "coefficients", r->head.n_features, -LARGEST, LARGEST, c)))
		return status;
	return put(r, c, r->head.n_features, sizeof(*c), &p->coefficients);
}

/* The lists of a tree, side by side. */
struct tree_lists {
	struct jt_value feature, value, missing_left;
};

/* @n_splits: so many came before it in the tree. */
static int read_node(const struct reader *r, const struct tree_lists *t, uint32_t i,
                     uint32_t n_splits, struct jt_tree_node *ret)
{
	struct jt_value feature = jt__value_item(&t->feature, i);
	struct jt_value value = jt__value_item(&t->value, i);
	struct jt_value missing = jt__value_item(&t->missing_left, i);
	json_int_t which = json_integer_value(feature.json);
	double d = 0;
	uint32_t nan_left = 0;
	int status;

	if (!json_is_integer(feature.json) || which < -1 || which >= r->head.n_features)
		return jt__value_fail(&feature, JT_EINVAL,
		                      "must be -1 for a leaf or the index of a feature");
	if ((status = read_number(&value, -LARGEST, LARGEST, &d)) ||
	    (status = read_count(&missing, 0, 1, &nan_left)))
		return status;
	ret->value = (float)d;
	ret->link = which < 0 ? JT_TREE_LINK(i, 0, JT_LEAF_FEATURE)
	                      : JT_TREE_LINK(2 * n_splits + 1, nan_left, (uint32_t)which);
	return JT_OK;
}

/* The nodes go to the block one after the other; a level ends where the children of the one before
 * end. */
static int read_nodes(struct reader *r, const struct jt_value *tree, const struct tree_lists *t,
                      struct jt_tree *out)
{
	uint32_t n_splits = 0, end = 1;

	for (uint32_t i = 0; i < out->n_nodes; i++) {
		struct jt_tree_node node;
		int status;

		if (i == end) {
			out->depth++;
			end = 2 * n_splits + 1;
		}
		if (i == end)
			break;
		status = read_node(r, t, i, n_splits, &node);
		if (!status && jt__buf_append(&r->block, &node, sizeof(node)))
			status = fail_room(r, JT_ENOMEM);
		if (status)
			return status;
		n_splits += (node.link & 127) != JT_LEAF_FEATURE;
	}
	if (out->n_nodes != 2 * n_splits + 1)
		return jt__value_fail(tree, JT_EINVAL,
		                      "has %u nodes, but %u splits breadth-first make %u",
		                      out->n_nodes, n_splits, 2 * n_splits + 1);
	if (out->depth > JT_MAX_TREE_DEPTH)
		return jt__value_fail(tree, JT_EINVAL, "is deeper than %d", JT_MAX_TREE_DEPTH);
	return JT_OK;
}

/* @ret_n: nodes of the trees so far. */
static int read_tree(struct reader *r, const struct jt_value *tree, struct jt_tree *out,
                     uint32_t *ret_n)
{
	static const struct jt_field fields[] = { { "feature", .required = true },
		                                  { "value", .required = true },
		                                  { "missing_left", .required = true },
		                                  { NULL } };
	struct tree_lists t = { .feature = jt__value_get(tree, "feature"),
		                .value = jt__value_get(tree, "value"),
		                .missing_left = jt__value_get(tree, "missing_left") };
	size_t n = json_array_size(t.feature.json);
	int status;

	if ((status = jt__value_fields(tree, fields, NULL)) ||
	    (status = jt__value_list(&t.feature, JT_MAX_TREE_NODES - *ret_n)) ||
	    (status = check_length(&t.value, n)) || (status = check_length(&t.missing_left, n)))
		return status;
	*out = (struct jt_tree){ .root = *ret_n, .n_nodes = (uint32_t)n };
	*ret_n += (uint32_t)n;
	return read_nodes(r, tree, &t, out);
}

/* What lanes want to know of each node. */
static int put_leaves(struct reader *r, const struct jt_tree *trees, size_t n, struct jt_part *p)
{
	const struct jt_tree_node *nodes;
	uint32_t *leaves = jt__alloc(p->nodes.n, sizeof(*leaves));
	int status;

	if (!leaves)
		return fail_room(r, JT_ENOMEM);
	nodes = (const void *)(jt__buf_bytes(&r->block) + p->nodes.at);
	for (size_t i = 0; i < n; i++)
		jt__tree_leaves(&trees[i], nodes + trees[i].root, leaves + trees[i].root);
	status = put(r, leaves, p->nodes.n, sizeof(*leaves), &p->leaves);
	jt__free(leaves);
	return status;
}

static int read_trees(struct reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = {
		{ "kind" }, { "weight" }, { "base" }, { "trees" }, { NULL }
	};
	struct jt_value base = jt__value_get(v, "base"), list = jt__value_get(v, "trees");
	struct jt_tree *trees = NULL;
	uint32_t n_nodes = 0;
	size_t n;
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = read_number(&base, -LARGEST, LARGEST, &p->constant)) ||
	    (status = jt__value_list(&list, JT_MAX_TREES)) ||
	    (status = put(r, NULL, 0, sizeof(struct jt_tree_node), &p->nodes)))
		return status;
	n = json_array_size(list.json);
	trees = jt__alloc(n, sizeof(*trees));
	if (!trees)
		return fail_room(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value tree = jt__value_item(&list, i);

		status = read_tree(r, &tree, &trees[i], &n_nodes);
	}
	p->nodes.n = n_nodes;
	if (!status)
		status = put(r, trees, n, sizeof(*trees), &p->trees);
	if (!status)
		status = put_leaves(r, trees, n, p);
	jt__free(trees);
	return status;
}

/* A kernel as it is read, before its rows are laid out for distances(). */
struct kernel {
	uint32_t used[JT_MAX_FEATURES], n_used;
	double inverse[JT_MAX_FEATURES];
	uint32_t n_rows, n_padded;
	double *weights;
	float *rows;
};

static int read_lengths(const struct reader *r, const struct jt_value *v, struct kernel *k)
{
	int status = read_used(r, v, k->used, &k->n_used);

	if (!status)
		status = read_numbers(v, "lengths", k->n_used, 1e-6, LARGEST, k->inverse);
	for (uint32_t i = 0; !status && i < k->n_used; i++)
		k->inverse[i] = 1 / k->inverse[i];
	return status;
}

static int read_rows(const struct jt_value *v, struct kernel *k)
{
	struct jt_value rows = jt__value_get(v, "rows");

	for (uint32_t i = 0; i < k->n_rows; i++) {
		struct jt_value row = jt__value_item(&rows, i);
		int status = check_length(&row, k->n_used);

		for (uint32_t j = 0; !status && j < k->n_used; j++) {
			struct jt_value item = jt__value_item(&row, j);
			size_t at = (size_t)(i / JT_LANES * k->n_used + j) * JT_LANES;
			double z;

			status = read_number(&item, -1e6, 1e6, &z);
			if (!status)
				k->rows[at + i % JT_LANES] = (float)(z * k->inverse[j]);
		}
		if (status)
			return status;
	}
	return JT_OK;
}

static int read_support(struct reader *r, const struct jt_value *v, struct kernel *k)
{
	struct jt_value rows = jt__value_get(v, "rows");
	int status = jt__value_list(&rows, JT_MAX_SUPPORT);

	if (status)
		return status;
	k->n_rows = (uint32_t)json_array_size(rows.json);
	k->n_padded = (k->n_rows + JT_LANES - 1) / JT_LANES * JT_LANES;
	k->weights = jt__alloc(k->n_rows, sizeof(*k->weights));
	k->rows = jt__alloc((size_t)k->n_padded * k->n_used, sizeof(*k->rows));
	if (!k->weights || !k->rows)
		return fail_room(r, JT_ENOMEM);
	status = read_rows(v, k);
	return status ? status
	              : read_numbers(v, "weights", k->n_rows, -LARGEST, LARGEST, k->weights);
}

static int read_labels(struct reader *r, const struct jt_value *v, uint32_t n, struct jt_part *p)
{
	struct jt_value labels = jt__value_get(v, "labels");
	int status;

	if (!labels.json)
		return put(r, NULL, 0, sizeof(uint32_t), &p->labels);
	status = check_length(&labels, n);
	return status ? status : read_texts(r, &labels, &p->labels);
}

static int read_kernel(struct reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = { { "kind" },     { "weight" },  { "shape" },
		                                  { "features" }, { "lengths" }, { "rows" },
		                                  { "weights" },  { "labels" },  { NULL } };
	static const char *const shapes[] = { "rbf", "matern32", "matern52", NULL };
	struct jt_value shape = jt__value_get(v, "shape");
	struct kernel k = { .n_used = 0 };
	size_t which = 0;
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = jt__value_choice(&shape, shapes, &which)) ||
	    (status = read_lengths(r, v, &k)))
		return status;
	p->shape = (uint32_t)which;
	if ((status = read_support(r, v, &k)) ||
	    (status = put(r, k.used, k.n_used, sizeof(*k.used), &p->used)) ||
	    (status = put(r, k.inverse, k.n_used, sizeof(*k.inverse), &p->inverse)) ||
	    (status = put(r, k.rows, (size_t)k.n_padded * k.n_used, sizeof(*k.rows), &p->rows)) ||
	    (status = put(r, k.weights, k.n_rows, sizeof(*k.weights), &p->weights)))
		goto out;
	status = read_labels(r, v, k.n_rows, p);
out:
	jt__free(k.weights);
	jt__free(k.rows);
	return status;
}

static int read_part(struct reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const char *const kinds[] = { "sum", "linear", "trees", "kernel", NULL };
	static int (*const readers[])(struct reader *, const struct jt_value *,
	                              struct jt_part *) = { read_sum, read_linear, read_trees,
		                                            read_kernel };
	struct jt_value kind = jt__value_get(v, "kind"), weight = jt__value_get(v, "weight");
	size_t which = 0;
	int status;

	if ((status = jt__value_choice(&kind, kinds, &which)) ||
	    (status = read_number(&weight, -LARGEST, LARGEST, &p->weight)))
		return status;
	p->kind = (uint32_t)which;
	return readers[which](r, v, p);
}

static int read_parts(struct reader *r, const struct jt_value *root)
{
	struct jt_value list = jt__value_get(root, "parts");
	int status = jt__value_list(&list, JT_MAX_PARTS);

	r->head.n_parts = (uint32_t)json_array_size(list.json);
	for (uint32_t i = 0; !status && i < r->head.n_parts; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = read_part(r, &v, &r->head.parts[i]);
	}
	return status;
}

static int read_weights(const struct jt_value *v, size_t *ret_which)
{
	const char *names[JT_N_WEIGHTS + 1];

	for (uint32_t i = 0; i <= JT_N_WEIGHTS; i++)
		names[i] = jt__weights_name(i);
	return jt__value_choice(v, names, ret_which);
}

static int read_known(struct reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = {
		{ "gpus" }, { "model_groups" }, { "weights" }, { NULL }
	};
	struct jt_value known = jt__value_get(root, "known");
	struct jt_value gpus = jt__value_get(&known, "gpus");
	struct jt_value groups = jt__value_get(&known, "model_groups");
	struct jt_value weights = jt__value_get(&known, "weights");
	int status;

	if ((status = jt__value_fields(&known, fields, NULL)) ||
	    (status = read_texts(r, &gpus, &r->head.gpus)) ||
	    (status = read_texts(r, &groups, &r->head.model_groups)) ||
	    (status = check_list(&weights, JT_N_WEIGHTS)))
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

static int read_group(struct reader *r, const struct jt_value *v, struct jt_interval_group *g)
{
	static const struct jt_field fields[] = { { "half_width" },   { "rows" },
		                                  { "gpu" },          { "weights" },
		                                  { "mixture" },      { "known_model" },
		                                  { "known_gpu" },    { "recalibrated" },
		                                  { "min_distance" }, { NULL } };
	struct jt_value half_width = jt__value_get(v, "half_width"),
			rows = jt__value_get(v, "rows");
	struct jt_value gpu = jt__value_get(v, "gpu"), weights = jt__value_get(v, "weights");
	struct jt_value distance = jt__value_get(v, "min_distance");
	size_t which = 0;
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = read_number(&half_width, 0, 100, &g->half_width)) ||
	    (status = read_count(&rows, 0, UINT32_MAX, &g->rows)) ||
	    (status = read_whether(v, "mixture", &g->mixture)) ||
	    (status = read_whether(v, "known_model", &g->known_model)) ||
	    (status = read_whether(v, "known_gpu", &g->known_gpu)) ||
	    (status = read_whether(v, "recalibrated", &g->recalibrated)) ||
	    (weights.json && (status = read_weights(&weights, &which))) ||
	    (gpu.json && (status = read_text(r, &gpu, &g->gpu))))
		return status;
	g->weights = weights.json ? (int32_t)which : -1;
	g->min_distance = -1;
	return distance.json ? read_number(&distance, 0, LARGEST, &g->min_distance) : JT_OK;
}

static int read_factor(struct reader *r, const struct jt_value *v, struct jt_factor *out)
{
	static const struct jt_field fields[] = {
		{ "model" }, { "gpu" }, { "factor" }, { "rows" }, { NULL }
	};
	struct jt_value model = jt__value_get(v, "model"), gpu = jt__value_get(v, "gpu");
	struct jt_value factor = jt__value_get(v, "factor"), rows = jt__value_get(v, "rows");
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = read_text(r, &model, &out->model)) ||
	    (status = read_text(r, &gpu, &out->gpu)) ||
	    (status = read_number(&factor, 1e-3, 1e3, &out->factor)))
		return status;
	return read_count(&rows, 1, UINT32_MAX, &out->rows);
}

static int read_groups(struct reader *r, const struct jt_value *list)
{
	size_t n = json_array_size(list->json);
	struct jt_interval_group *groups;
	int status = check_list(list, JT_MAX_KNOWN);

	if (status)
		return status;
	groups = jt__alloc(n + 1, sizeof(*groups));
	if (!groups)
		return fail_room(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(list, i);

		status = read_group(r, &v, &groups[i]);
	}
	if (!status)
		status = put(r, groups, n, sizeof(*groups), &r->head.groups);
	jt__free(groups);
	return status;
}

static int read_intervals(struct reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = {
		{ "coverage" }, { "half_width" }, { "groups" }, { NULL }
	};
	struct jt_value v = jt__value_get(root, "intervals"), groups = jt__value_get(&v, "groups");
	struct jt_value coverage = jt__value_get(&v, "coverage");
	struct jt_value half_width = jt__value_get(&v, "half_width");
	int status;

	if ((status = jt__value_fields(&v, fields, NULL)) ||
	    (status = read_number(&coverage, 0.01, 0.9999, &r->head.coverage)) ||
	    (status = read_number(&half_width, 0, 100, &r->head.half_width)))
		return status;
	return read_groups(r, &groups);
}

static int read_factors(struct reader *r, const struct jt_value *root)
{
	struct jt_value list = jt__value_get(root, "factors");
	size_t n = json_array_size(list.json);
	struct jt_factor *factors;
	int status = check_list(&list, JT_MAX_KNOWN);

	if (status)
		return status;
	factors = jt__alloc(n + 1, sizeof(*factors));
	if (!factors)
		return fail_room(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = read_factor(r, &v, &factors[i]);
	}
	if (!status)
		status = put(r, factors, n, sizeof(*factors), &r->head.factors);
	jt__free(factors);
	return status;
}

static int read_scores(struct reader *r, const struct jt_value *object)
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
		int status = read_number(&v, -LARGEST, LARGEST, &scores[n].value);

		if (!status)
			status = put_text(r, name, &scores[n++].name);
		if (status)
			return status;
	}
	return put(r, scores, n, sizeof(*scores), &r->head.scores);
}

static int read_provenance(struct reader *r, const struct jt_value *root)
{
	static const struct jt_field fields[] = { { "data_sha256" }, { "rows" },   { "date" },
		                                  { "note" },        { "scores" }, { NULL } };
	struct jt_value v = jt__value_get(root, "provenance"), rows = jt__value_get(&v, "rows");
	struct jt_value sha256 = jt__value_get(&v, "data_sha256");
	struct jt_value date = jt__value_get(&v, "date"), note = jt__value_get(&v, "note");
	struct jt_value scores = jt__value_get(&v, "scores");
	int status;

	if ((status = jt__value_fields(&v, fields, NULL)) ||
	    (status = read_text(r, &sha256, &r->head.data_sha256)) ||
	    (status = read_text(r, &date, &r->head.date)) ||
	    (status = read_text(r, &note, &r->head.note)) ||
	    (status = read_count(&rows, 1, UINT32_MAX, &r->head.rows)))
		return status;
	return read_scores(r, &scores);
}

/* What the file is, before anything else in it is judged. */
static int read_version(struct reader *r, const struct jt_value *root)
{
	static const char *const formats[] = { "jouletap-predictor", NULL };
	static const char *const targets[] = { "log_j_per_output_token", NULL };
	struct jt_value format = jt__value_get(root, "format"), v = jt__value_get(root, "version");
	struct jt_value target = jt__value_get(root, "target");
	size_t which;
	int status;

	if ((status = jt__value_choice(&format, formats, &which)) ||
	    (status = read_count(&v, 0, UINT32_MAX, &r->head.version)))
		return status;
	if (r->head.version != JT_FITTED_VERSION)
		return jt__value_fail(&v, JT_EINVAL, "is %u, and this program reads %d",
		                      r->head.version, JT_FITTED_VERSION);
	return jt__value_choice(&target, targets, &which);
}

static int read_root(struct reader *r, const struct jt_value *root)
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
	    (status = read_parts(r, root)) || (status = read_known(r, root)) ||
	    (status = read_intervals(r, root)) || (status = read_factors(r, root)) ||
	    (status = read_provenance(r, root)))
		return status;
	return reach.json ? read_number(&reach, 0, LARGEST, &r->head.reach) : JT_OK;
}

/* The bytes of the block are put where they will stay. */
static int finish(struct reader *r, struct jt_fitted **ret)
{
	const struct jt_fitted *checked;
	struct jt_span_at end;
	struct jt_fitted *f;
	int status = put(r, "\0\0\0\0\0\0\0", 8, 1, &end);

	if (status)
		return status;
	memcpy(r->head.magic, "jtfitted", sizeof(r->head.magic));
	r->head.size = (uint32_t)jt__buf_len(&r->block);
	f = jt__alloc(r->head.size, 1);
	if (!f)
		return fail_room(r, JT_ENOMEM);
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
	struct reader *r = jt__alloc(1, sizeof(*r));
	int status;

	if (!r)
		return jt__fail(err, JT_ENOMEM, "predictor", "%s", jt_strerror(JT_ENOMEM));
	r->names = names;
	r->err = err;
	jt__buf_init(&r->block, JT_FITTED_MAX_BYTES);
	status = jt__buf_append(&r->block, &r->head, sizeof(r->head));
	status = status ? fail_room(r, status) : read_root(r, root);
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
