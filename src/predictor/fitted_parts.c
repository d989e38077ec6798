/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a model file, laid out as predicting wants them: trees as one list of nodes and what
 * lanes want to know of each, support rows in lengths and in blocks of lanes.
 */
#include <string.h>
#include "predictor/fitted_reader.h"
#include "predictor/parts.h"

/* Indices of features. */
static int read_used(const struct jt_reader *r, const struct jt_value *part,
                     uint32_t used[JT_MAX_FEATURES], uint32_t *ret_n)
{
	struct jt_value list = jt__value_get(part, "features");
	int status = jt__value_list(&list, r->head.n_features);

	*ret_n = (uint32_t)json_array_size(list.json);
	for (uint32_t i = 0; !status && i < *ret_n; i++) {
		struct jt_value item = jt__value_item(&list, i);

		status = jt__reader_count(&item, 0, r->head.n_features - 1, &used[i]);
	}
	return status;
}

static int read_sum(struct jt_reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = {
		{ "kind" }, { "weight" }, { "features" }, { "coefficients" }, { NULL }
	};
	uint32_t used[JT_MAX_FEATURES], n;
	double c[JT_MAX_FEATURES];
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) || (status = read_used(r, v, used, &n)) ||
	    (status = jt__reader_numbers(v, "coefficients", n, 0, JT_READER_LARGEST, c)) ||
	    (status = jt__reader_put(r, used, n, sizeof(*used), &p->used)))
		return status;
	return jt__reader_put(r, c, n, sizeof(*c), &p->coefficients);
}

static int read_linear(struct jt_reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const struct jt_field fields[] = {
		{ "kind" }, { "weight" }, { "intercept" }, { "coefficients" }, { NULL }
	};
	struct jt_value intercept = jt__value_get(v, "intercept");
	double c[JT_MAX_FEATURES];
	int status;

	if ((status = jt__value_fields(v, fields, NULL)) ||
	    (status = jt__reader_number(&intercept, -JT_READER_LARGEST, JT_READER_LARGEST,
	                                &p->constant)) ||
	    (status = jt__reader_numbers(v, "coefficients", r->head.n_features, -JT_READER_LARGEST,
	                                 JT_READER_LARGEST, c)))
		return status;
	return jt__reader_put(r, c, r->head.n_features, sizeof(*c), &p->coefficients);
}

/* The lists of a tree, side by side. */
struct tree_lists {
	struct jt_value feature, value, missing_left;
};

/* @n_splits: so many came before it in the tree. */
static int read_node(const struct jt_reader *r, const struct tree_lists *t, uint32_t i,
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
	if ((status = jt__reader_number(&value, -JT_READER_LARGEST, JT_READER_LARGEST, &d)) ||
	    (status = jt__reader_count(&missing, 0, 1, &nan_left)))
		return status;
	ret->value = (float)d;
	ret->link = which < 0 ? JT_TREE_LINK(i, 0, JT_LEAF_FEATURE)
	                      : JT_TREE_LINK(2 * n_splits + 1, nan_left, (uint32_t)which);
	return JT_OK;
}

/* The nodes go to the block one after the other; a level ends where the children of the one before
 * end. */
static int read_nodes(struct jt_reader *r, const struct jt_value *tree, const struct tree_lists *t,
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
			status = jt__reader_fail(r, JT_ENOMEM);
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
static int read_tree(struct jt_reader *r, const struct jt_value *tree, struct jt_tree *out,
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
	    (status = jt__reader_length(&t.value, n)) ||
	    (status = jt__reader_length(&t.missing_left, n)))
		return status;
	*out = (struct jt_tree){ .root = *ret_n, .n_nodes = (uint32_t)n };
	*ret_n += (uint32_t)n;
	return read_nodes(r, tree, &t, out);
}

/* What lanes want to know of each node. */
static int put_leaves(struct jt_reader *r, const struct jt_tree *trees, size_t n, struct jt_part *p)
{
	const struct jt_tree_node *nodes;
	uint32_t *leaves = jt__alloc(p->nodes.n, sizeof(*leaves));
	int status;

	if (!leaves)
		return jt__reader_fail(r, JT_ENOMEM);
	nodes = (const void *)(jt__buf_bytes(&r->block) + p->nodes.at);
	for (size_t i = 0; i < n; i++)
		jt__tree_leaves(&trees[i], nodes + trees[i].root, leaves + trees[i].root);
	status = jt__reader_put(r, leaves, p->nodes.n, sizeof(*leaves), &p->leaves);
	jt__free(leaves);
	return status;
}

static int read_trees(struct jt_reader *r, const struct jt_value *v, struct jt_part *p)
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
	    (status = jt__reader_number(&base, -JT_READER_LARGEST, JT_READER_LARGEST,
	                                &p->constant)) ||
	    (status = jt__value_list(&list, JT_MAX_TREES)) ||
	    (status = jt__reader_put(r, NULL, 0, sizeof(struct jt_tree_node), &p->nodes)))
		return status;
	n = json_array_size(list.json);
	trees = jt__alloc(n, sizeof(*trees));
	if (!trees)
		return jt__reader_fail(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value tree = jt__value_item(&list, i);

		status = read_tree(r, &tree, &trees[i], &n_nodes);
	}
	p->nodes.n = n_nodes;
	if (!status)
		status = jt__reader_put(r, trees, n, sizeof(*trees), &p->trees);
	if (!status)
		status = put_leaves(r, trees, n, p);
	jt__free(trees);
	return status;
}

/* A kernel as it is read. */
struct kernel {
	uint32_t used[JT_MAX_FEATURES], n_used;
	double inverse[JT_MAX_FEATURES];
	uint32_t n_rows, n_padded;
	double *weights;
	float *rows;
};

static int read_lengths(const struct jt_reader *r, const struct jt_value *v, struct kernel *k)
{
	int status = read_used(r, v, k->used, &k->n_used);

	if (!status)
		status = jt__reader_numbers(v, "lengths", k->n_used, 1e-6, JT_READER_LARGEST,
		                            k->inverse);
	for (uint32_t i = 0; !status && i < k->n_used; i++)
		k->inverse[i] = 1 / k->inverse[i];
	return status;
}

static int read_rows(const struct jt_value *v, struct kernel *k)
{
	struct jt_value rows = jt__value_get(v, "rows");

	for (uint32_t i = 0; i < k->n_rows; i++) {
		struct jt_value row = jt__value_item(&rows, i);
		int status = jt__reader_length(&row, k->n_used);

		for (uint32_t j = 0; !status && j < k->n_used; j++) {
			struct jt_value item = jt__value_item(&row, j);
			size_t at = (size_t)(i / JT_LANES * k->n_used + j) * JT_LANES;
			double z;

			status = jt__reader_number(&item, -1e6, 1e6, &z);
			if (!status)
				k->rows[at + i % JT_LANES] = (float)(z * k->inverse[j]);
		}
		if (status)
			return status;
	}
	return JT_OK;
}

static int read_support(struct jt_reader *r, const struct jt_value *v, struct kernel *k)
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
		return jt__reader_fail(r, JT_ENOMEM);
	status = read_rows(v, k);
	return status ? status
	              : jt__reader_numbers(v, "weights", k->n_rows, -JT_READER_LARGEST,
	                                   JT_READER_LARGEST, k->weights);
}

static int read_labels(struct jt_reader *r, const struct jt_value *v, uint32_t n, struct jt_part *p)
{
	struct jt_value labels = jt__value_get(v, "labels");
	int status;

	if (!labels.json)
		return jt__reader_put(r, NULL, 0, sizeof(uint32_t), &p->labels);
	status = jt__reader_length(&labels, n);
	return status ? status : jt__reader_texts(r, &labels, &p->labels);
}

static int read_kernel(struct jt_reader *r, const struct jt_value *v, struct jt_part *p)
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
	    (status = jt__reader_put(r, k.used, k.n_used, sizeof(*k.used), &p->used)) ||
	    (status = jt__reader_put(r, k.inverse, k.n_used, sizeof(*k.inverse), &p->inverse)) ||
	    (status = jt__reader_put(r, k.rows, (size_t)k.n_padded * k.n_used, sizeof(*k.rows),
	                             &p->rows)) ||
	    (status = jt__reader_put(r, k.weights, k.n_rows, sizeof(*k.weights), &p->weights)))
		goto out;
	status = read_labels(r, v, k.n_rows, p);
out:
	jt__free(k.weights);
	jt__free(k.rows);
	return status;
}

static int read_part(struct jt_reader *r, const struct jt_value *v, struct jt_part *p)
{
	static const char *const kinds[] = { "sum", "linear", "trees", "kernel", NULL };
	static int (*const readers[])(struct jt_reader *, const struct jt_value *,
	                              struct jt_part *) = { read_sum, read_linear, read_trees,
		                                            read_kernel };
	struct jt_value kind = jt__value_get(v, "kind"), weight = jt__value_get(v, "weight");
	size_t which = 0;
	int status;

	if ((status = jt__value_choice(&kind, kinds, &which)) ||
	    (status =
	             jt__reader_number(&weight, -JT_READER_LARGEST, JT_READER_LARGEST, &p->weight)))
		return status;
	p->kind = (uint32_t)which;
	return readers[which](r, v, p);
}

int jt__reader_parts(struct jt_reader *r, const struct jt_value *root)
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
