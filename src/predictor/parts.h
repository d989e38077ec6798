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

/* Rows that a kernel is asked about together. WebAssembly asks about one, and has to be small. */
#ifdef __wasm__
#define JT_AT_ONCE 1
#else
#define JT_AT_ONCE 8
#endif
struct jt_kernel_sum {
	double sum;
	float squared; /* how far the nearest support row is, in lengths */
	uint32_t nearest;
};
/* Of @n rows, JT_AT_ONCE at most; @z: standardised features of each. */
void jt__kernel_part(const struct jt_fitted *f, const struct jt_part *p, const double *const *z,
                     uint32_t n, struct jt_kernel_sum *ret);

/* The same with wider registers, where there are any: see lanes.h. */
#ifdef __x86_64__
void jt__trees_part_wide(const struct jt_fitted *f, const struct jt_part *p, struct jt_block *b);
void jt__kernel_part_wide(const struct jt_fitted *f, const struct jt_part *p,
                          const double *const *z, uint32_t n, struct jt_kernel_sum *ret);
#define JT_WIDEST(name) (__builtin_cpu_supports("avx2") ? name##_wide : name)
#else
#define JT_WIDEST(name) name
#endif

#endif
