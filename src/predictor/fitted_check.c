/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a block is a model that can be followed blindly: every offset, index and number in it.
 */
#include <float.h>
#include <string.h>
#include "predictor/parts.h"

struct check {
	const struct jt_fitted *f;
	const char *const *names;
	struct jt_error *err;
};

static int bad(const struct check *c, const char *what)
{
	return jt__fail(c->err, JT_EINVAL, "predictor",
	                "the compiled model is damaged: %s; make it again", what);
}

static bool is_finite(double v)
{
	return v >= -DBL_MAX && v <= DBL_MAX;
}

static bool are_finite(const double *v, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!is_finite(v[i]))
			return false;
	return true;
}

static bool holds(const struct jt_fitted *f, struct jt_span_at s, size_t item, uint32_t max)
{
	return s.n <= max && s.at % 8 == 0 && s.at >= sizeof(*f) && s.at <= f->size &&
	       s.n * item <= f->size - s.at;
}

/* Of a feature, of a GPU, …: the last byte of the block ends it at the latest. */
static bool is_text(const struct jt_fitted *f, uint32_t at)
{
	return at >= sizeof(*f) && at < f->size;
}

static bool are_texts(const struct jt_fitted *f, struct jt_span_at s, uint32_t max)
{
	const uint32_t *texts = jt__fitted_at(f, s.at);

	if (!holds(f, s, sizeof(*texts), max))
		return false;
	for (uint32_t i = 0; i < s.n; i++)
		if (!is_text(f, texts[i]))
			return false;
	return true;
}

static int check_features(const struct check *c)
{
	const struct jt_fitted *f = c->f;
	uint32_t n_names = 0;

	while (c->names[n_names])
		n_names++;
	if (f->n_features < 1 || f->n_features > JT_MAX_FEATURES)
		return bad(c, "number of features");
	for (uint32_t i = 0; i < f->n_features; i++) {
		if (!is_text(f, f->names[i]) || f->index[i] >= n_names ||
		    strcmp(c->names[f->index[i]], jt__fitted_text(f, f->names[i])) != 0)
			return jt__fail(c->err, JT_EINVAL, "predictor",
			                "the compiled model asks for other features than this "
			                "version has; make it again");
		if (!is_finite(f->mean[i]) || !is_finite(f->inverse[i]) || !(f->inverse[i] > 0) ||
		    !is_finite(f->min[i]) || !is_finite(f->max[i]))
			return bad(c, "scale of a feature");
	}
	return JT_OK;
}

/* In breadth-first order the k-th split has its children at 2k + 1 and 2k + 2; a level ends where
 * the children of the level before end. */
static bool is_tree(const struct jt_fitted *f, const struct jt_tree *t,
                    const struct jt_tree_node *nodes)
{
	uint32_t end = 1, n_splits = 0, depth = 0;

	for (uint32_t i = 0; i < t->n_nodes; i++) {
		uint32_t feature = nodes[i].link & 127, left = nodes[i].link >> 8;

		if (i == end) {
			depth++;
			end = 2 * n_splits + 1;
		}
		if (i >= end || !(nodes[i].value >= -FLT_MAX && nodes[i].value <= FLT_MAX))
			return false;
		if (feature == JT_LEAF_FEATURE) {
			if (nodes[i].link != JT_TREE_LINK(i, 0, JT_LEAF_FEATURE))
				return false;
			continue;
		}
		if (feature >= f->n_features || left != 2 * n_splits + 1)
			return false;
		n_splits++;
	}
	return t->n_nodes == 2 * n_splits + 1 && t->depth == depth && depth <= JT_MAX_TREE_DEPTH;
}

/* What lanes do with it: as it is worked out. */
static bool are_leaves(const struct jt_tree *t, const struct jt_tree_node *nodes,
                       const uint32_t *leaves)
{
	uint32_t want[2 * JT_LANE_LEAVES];

	if (t->n_nodes >= 2 * JT_LANE_LEAVES) /* they are not looked at */
		return true;
	jt__tree_leaves(t, nodes, want);
	return memcmp(want, leaves, t->n_nodes * sizeof(*want)) == 0;
}

static int check_trees(const struct check *c, const struct jt_part *p)
{
	const struct jt_tree *trees = jt__fitted_at(c->f, p->trees.at);
	const struct jt_tree_node *nodes = jt__fitted_at(c->f, p->nodes.at);
	const uint32_t *leaves = jt__fitted_at(c->f, p->leaves.at);
	uint32_t at = 0;

	if (!holds(c->f, p->trees, sizeof(*trees), JT_MAX_TREES) ||
	    !holds(c->f, p->nodes, sizeof(*nodes), JT_MAX_TREE_NODES) ||
	    !holds(c->f, p->leaves, sizeof(*leaves), JT_MAX_TREE_NODES) ||
	    p->leaves.n != p->nodes.n)
		return bad(c, "size of the trees");
	for (uint32_t i = 0; i < p->trees.n; i++) {
		if (trees[i].root != at || trees[i].n_nodes > p->nodes.n - at ||
		    !is_tree(c->f, &trees[i], nodes + at) ||
		    !are_leaves(&trees[i], nodes + at, leaves + at))
			return bad(c, "a tree");
		at += trees[i].n_nodes;
	}
	return JT_OK;
}

static int check_used(const struct check *c, const struct jt_part *p)
{
	const uint32_t *used = jt__fitted_at(c->f, p->used.at);

	if (!holds(c->f, p->used, sizeof(*used), JT_MAX_FEATURES))
		return bad(c, "features of a part");
	for (uint32_t i = 0; i < p->used.n; i++)
		if (used[i] >= c->f->n_features)
			return bad(c, "feature of a part");
	return JT_OK;
}

static int check_coefficients(const struct check *c, const struct jt_part *p, uint32_t n)
{
	if (!holds(c->f, p->coefficients, sizeof(double), JT_MAX_FEATURES) ||
	    p->coefficients.n != n ||
	    !are_finite(jt__fitted_at(c->f, p->coefficients.at), p->coefficients.n))
		return bad(c, "coefficients");
	return JT_OK;
}

static int check_kernel(const struct check *c, const struct jt_part *p)
{
	const struct jt_fitted *f = c->f;
	const float *rows = jt__fitted_at(f, p->rows.at);
	uint32_t padded = (p->weights.n + JT_LANES - 1) / JT_LANES * JT_LANES;

	if (!holds(f, p->inverse, sizeof(double), JT_MAX_FEATURES) ||
	    !holds(f, p->weights, sizeof(double), JT_MAX_SUPPORT) || p->inverse.n != p->used.n ||
	    !holds(f, p->rows, sizeof(float), JT_MAX_SUPPORT * JT_MAX_FEATURES) ||
	    p->rows.n != padded * p->used.n || !p->weights.n || p->shape >= JT_N_KERNEL_SHAPES)
		return bad(c, "size of a kernel");
	if (!are_texts(f, p->labels, JT_MAX_SUPPORT) ||
	    (p->labels.n && p->labels.n != p->weights.n))
		return bad(c, "a label");
	for (uint32_t i = 0; i < p->rows.n; i++)
		if (!(rows[i] >= -FLT_MAX && rows[i] <= FLT_MAX))
			return bad(c, "support row of a kernel");
	if (!are_finite(jt__fitted_at(f, p->inverse.at), p->inverse.n) ||
	    !are_finite(jt__fitted_at(f, p->weights.at), p->weights.n))
		return bad(c, "weight of a kernel");
	return JT_OK;
}

static int check_part(const struct check *c, const struct jt_part *p)
{
	int status;

	if (!is_finite(p->weight) || !is_finite(p->constant))
		return bad(c, "weight of a part");
	switch (p->kind) {
	case JT_PART_SUM:
		status = check_used(c, p);
		return status ? status : check_coefficients(c, p, p->used.n);
	case JT_PART_LINEAR:
		return check_coefficients(c, p, c->f->n_features);
	case JT_PART_TREES:
		return check_trees(c, p);
	case JT_PART_KERNEL:
		status = check_used(c, p);
		return status ? status : check_kernel(c, p);
	default:
		return bad(c, "kind of a part");
	}
}

static int check_groups(const struct check *c)
{
	const struct jt_fitted *f = c->f;
	const struct jt_interval_group *groups = jt__fitted_at(f, f->groups.at);
	const struct jt_factor *factors = jt__fitted_at(f, f->factors.at);
	const struct jt_score *scores = jt__fitted_at(f, f->scores.at);

	if (!holds(f, f->groups, sizeof(*groups), JT_MAX_KNOWN) ||
	    !holds(f, f->factors, sizeof(*factors), JT_MAX_KNOWN) ||
	    !holds(f, f->scores, sizeof(*scores), JT_MAX_SCORES))
		return bad(c, "size of a table");
	for (uint32_t i = 0; i < f->groups.n; i++)
		if (!is_finite(groups[i].half_width) || !(groups[i].half_width >= 0) ||
		    (groups[i].gpu && !is_text(f, groups[i].gpu)))
			return bad(c, "group of the interval");
	for (uint32_t i = 0; i < f->factors.n; i++)
		if (!is_finite(factors[i].factor) || !(factors[i].factor > 0) ||
		    !is_finite(factors[i].half_width) || !(factors[i].half_width >= 0) ||
		    !is_text(f, factors[i].model) || !is_text(f, factors[i].gpu))
			return bad(c, "factor");
	for (uint32_t i = 0; i < f->scores.n; i++)
		if (!is_text(f, scores[i].name))
			return bad(c, "score");
	return JT_OK;
}

static int check_head(const struct check *c, size_t n)
{
	const struct jt_fitted *f = c->f;

	if (n < sizeof(*f) || memcmp(f->magic, "jtfitted", sizeof(f->magic)) != 0)
		return jt__fail(c->err, JT_EINVAL, "predictor", "not a compiled model");
	if (f->version != JT_FITTED_VERSION)
		return jt__fail(c->err, JT_EINVAL, "predictor",
		                "the compiled model is of another version; make it again");
	if (f->size != n || n > JT_FITTED_MAX_BYTES || ((const char *)f)[n - 1] != 0)
		return bad(c, "it is cut");
	if (f->n_parts < 1 || f->n_parts > JT_MAX_PARTS)
		return bad(c, "number of parts");
	if (!is_finite(f->half_width) || !(f->half_width >= 0) || f->reach != f->reach ||
	    !are_texts(f, f->gpus, JT_MAX_KNOWN) || !are_texts(f, f->model_groups, JT_MAX_KNOWN) ||
	    !are_texts(f, f->runs, JT_MAX_KNOWN) || !is_text(f, f->data_sha256) ||
	    !is_text(f, f->date) || !is_text(f, f->note))
		return bad(c, "head");
	return JT_OK;
}

int jt__fitted_open(const void *bytes, size_t n, const char *const *names,
                    const struct jt_fitted **ret_model, struct jt_error *err)
{
	const struct check c = { .f = bytes, .names = names, .err = err };
	int status = check_head(&c, n);

	if (!status)
		status = check_features(&c);
	for (uint32_t i = 0; !status && i < c.f->n_parts; i++)
		status = check_part(&c, &c.f->parts[i]);
	if (!status)
		status = check_groups(&c);
	if (!status)
		*ret_model = bytes;
	return status;
}
