/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PARTS_H
#define JT_PARTS_H
/* The two parts of a fitted model that cost time: trees and kernels. Pure, any thread. */
#include "predictor/fitted.h"

#define JT_BLOCK 64 /* rows: what a step of all features needs stays in the first cache */

/*
 * Rows as trees want them: a column is what a node's link asks for, all rows of it side by side.
 * There are two for each feature, where NaN is above all and where it is below all, so that no
 * comparison has to look for it; and one for leaves, below all.
 */
struct jt_block {
	uint32_t n;
	float sums[JT_BLOCK];
	float columns[128 + JT_MAX_FEATURES][JT_BLOCK];
};

/* Row @k of the block is @x, n_features of them. */
void jt__block_row(struct jt_block *b, uint32_t k, uint32_t n_features, const double *x);
/*
 * For trees of at most JT_LANE_LEAVES leaves, numbered from the left: of a split, a bit for each
 * leaf that is left to who goes right; of a leaf, its number. Of larger trees, 0.
 */
#define JT_LANE_LEAVES 32
void jt__tree_leaves(const struct jt_tree *t, const struct jt_tree_node *nodes,
                     uint32_t *ret_leaves);
/* b->sums of its rows: from the base on, tree by tree, in float: as libxgboost adds, to the bit. */
void jt__trees_part(const struct jt_fitted *f, const struct jt_part *p, struct jt_block *b);

/* @z: standardised features. Also which support row is nearest, and how far. */
double jt__kernel_part(const struct jt_fitted *f, const struct jt_part *p, const double *z,
                       float *ret_squared, uint32_t *ret_nearest);

#endif
