/* SPDX-License-Identifier: Apache-2.0 */
/* What trees in lanes want to have ready: rows in columns, and which leaves a split leaves. */
#include <math.h>
#include <string.h>
#include "predictor/parts.h"

void jt__block_row(struct jt_block *b, uint32_t k, uint32_t n_features, const double *x)
{
	for (uint32_t i = 0; i < n_features; i++) {
		float v = (float)x[i];

		b->columns[i][k] = isnan(v) ? INFINITY : v;
		b->columns[128 + i][k] = isnan(v) ? -INFINITY : v;
	}
	b->columns[JT_LEAF_FEATURE][k] = -INFINITY;
}

void jt__tree_leaves(const struct jt_tree *t, const struct jt_tree_node *nodes,
                     uint32_t *ret_leaves)
{
	uint32_t n[2 * JT_LANE_LEAVES], first[2 * JT_LANE_LEAVES] = { 0 };

	if (t->n_nodes >= 2 * JT_LANE_LEAVES) {
		memset(ret_leaves, 0, t->n_nodes * sizeof(*ret_leaves));
		return;
	}
	for (uint32_t i = t->n_nodes; i-- > 0;) {
		uint32_t left = nodes[i].link >> 8;

		n[i] = left == i ? 1 : n[left] + n[left + 1];
	}
	for (uint32_t i = 0; i < t->n_nodes; i++) {
		uint32_t left = nodes[i].link >> 8;

		ret_leaves[i] = first[i];
		if (left == i)
			continue;
		first[left] = first[i];
		first[left + 1] = first[i] + n[left];
		ret_leaves[i] = ~(((UINT32_C(1) << n[left]) - 1) << first[i]);
	}
}
