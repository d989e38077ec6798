/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library writes a tree as parallel arrays with the numbers of each node's children; ours has
 * the nodes breadth-first, so that children are implied. Its numbers are decimals of 32-bit floats
 * and go through unchanged.
 */
#include <jansson.h>
#include <stdlib.h>
#include "trainer/trees.h"

struct tree {
	const json_t *left, *right, *feature, *value, *nan_left;
	size_t n;
	uint32_t *order; /* the library's number of each of our nodes */
};

static int bad(struct jt_error *err)
{
	return jt__fail(err, JT_EINVAL, "train", "the library's trees are not as expected");
}

static long long whole(const json_t *array, size_t i)
{
	return json_integer_value(json_array_get(array, i));
}

static bool is_leaf(const struct tree *t, uint32_t node)
{
	return whole(t->left, node) < 0;
}

static int open_tree(const json_t *tree, struct tree *t, struct jt_error *err)
{
	const json_t *kinds = json_object_get(tree, "split_type");

	t->left = json_object_get(tree, "left_children");
	t->right = json_object_get(tree, "right_children");
	t->feature = json_object_get(tree, "split_indices");
	t->value = json_object_get(tree, "split_conditions");
	t->nan_left = json_object_get(tree, "default_left");
	t->n = json_array_size(t->left);
	if (!t->n || json_array_size(t->right) != t->n || json_array_size(t->feature) != t->n ||
	    json_array_size(t->value) != t->n || json_array_size(t->nan_left) != t->n)
		return bad(err);
	for (size_t i = 0; i < json_array_size(kinds); i++)
		if (whole(kinds, i))
			return jt__fail(err, JT_ENOTSUP, "train", "a tree splits by categories");
	t->order = jt__alloc(t->n, sizeof(*t->order));
	return t->order ? JT_OK : jt__fail(err, JT_ENOMEM, "train", "out of memory");
}

/* Breadth-first; a tree that has been pruned has nodes that nothing leads to. */
static int put_in_order(struct tree *t, size_t *ret_n, struct jt_error *err)
{
	size_t n = 1;

	for (size_t i = 0; i < n; i++) {
		long long children[] = { whole(t->left, t->order[i]),
			                 whole(t->right, t->order[i]) };

		if (is_leaf(t, t->order[i]))
			continue;
		for (int c = 0; c < 2; c++) {
			if (children[c] <= 0 || (size_t)children[c] >= t->n || n >= t->n)
				return bad(err);
			t->order[n++] = (uint32_t)children[c];
		}
	}
	*ret_n = n;
	return JT_OK;
}

static int write_tree(const struct tree *t, size_t n, size_t n_features, struct jt_buf *out,
                      struct jt_error *err)
{
	jt__buf_append_text(out, "{\"feature\":[");
	for (size_t i = 0; i < n; i++) {
		bool leaf = is_leaf(t, t->order[i]);
		long long feature = whole(t->feature, t->order[i]);

		if (!leaf && (feature < 0 || (size_t)feature >= n_features))
			return bad(err);
		jt__buf_printf(out, "%s%lld", i ? "," : "", leaf ? -1 : feature);
	}
	jt__buf_append_text(out, "],\"value\":[");
	for (size_t i = 0; i < n; i++)
		jt__buf_printf(out, "%s%.9g", i ? "," : "",
		               json_number_value(json_array_get(t->value, t->order[i])));
	jt__buf_append_text(out, "],\"missing_left\":[");
	for (size_t i = 0; i < n; i++) {
		const json_t *left = json_array_get(t->nan_left, t->order[i]);
		bool is_left = json_is_true(left) || json_integer_value(left);

		jt__buf_printf(out, "%s%d", i ? "," : "", is_left && !is_leaf(t, t->order[i]));
	}
	jt__buf_append_text(out, "]}");
	return JT_OK;
}

static int convert_tree(const json_t *tree, size_t n_features, struct jt_buf *out,
                        struct jt_error *err)
{
	struct tree t = { 0 };
	size_t n = 0;
	int status = open_tree(tree, &t, err);

	if (status == JT_OK)
		status = put_in_order(&t, &n, err);
	if (status == JT_OK)
		status = write_tree(&t, n, n_features, out, err);
	jt__free(t.order);
	return status;
}

static int convert(const json_t *root, size_t n_features, struct jt_buf *out, struct jt_error *err)
{
	const json_t *learner = json_object_get(root, "learner");
	const json_t *base =
		json_object_get(json_object_get(learner, "learner_model_param"), "base_score");
	const json_t *trees = json_object_get(
		json_object_get(json_object_get(learner, "gradient_booster"), "model"), "trees");
	int status = JT_OK;

	if (!json_is_string(base) || !json_array_size(trees))
		return bad(err);
	jt__buf_printf(out, "\"base\":%.9g,\"trees\":[",
	               (double)strtof(json_string_value(base), NULL));
	for (size_t i = 0; i < json_array_size(trees) && status == JT_OK; i++) {
		jt__buf_append_text(out, i ? ",\n" : "\n");
		status = convert_tree(json_array_get(trees, i), n_features, out, err);
	}
	jt__buf_append_text(out, "]");
	return status;
}

int jt__trees_convert(const char *json, size_t n, size_t n_features, struct jt_buf *out,
                      struct jt_error *err)
{
	json_t *root = json_loadb(json, n, 0, NULL);
	int status = root ? convert(root, n_features, out, err) : bad(err);

	json_decref(root);
	return status;
}
