/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways to the same leaf. A row alone walks down. Many rows go through a small tree in lanes,
 * without walking (QuickScorer: Lucchese et al., SIGIR 2015): leaves are numbered from the left,
 * each has a bit, and a split that sends a row to the right takes the bits of all leaves to its
 * left away; the lowest bit that is left is the row's leaf.
 */
#include <string.h>
#include "predictor/lanes.h"

#define FEW 4 /* rows that are cheaper to walk */
#define REGISTERS 8
#define STEP (REGISTERS * JT_WIDTH) /* rows at a time */

struct split {
	float value;
	int32_t keep; /* the leaves that are left to who goes right */
	const float *column;
};

/* A tree for lanes. */
struct plan {
	uint32_t n_splits;
	struct split splits[JT_LANE_LEAVES];
	float leaves[JT_LANE_LEAVES];
};

/* Steps are arithmetic and not guesses, so that the processor is at several trees at a time. */
static float walk(const struct jt_tree_node *nodes, uint32_t depth, const struct jt_block *b,
                  uint32_t k)
{
	uint32_t at = 0;

	for (; depth; depth--) {
		uint32_t link = nodes[at].link;

		at = (link >> 8) + !(b->columns[link & 255][k] < nodes[at].value);
	}
	return nodes[at].value;
}

static void make_plan(const struct jt_tree *t, const struct jt_tree_node *nodes,
                      const uint32_t *leaves, const struct jt_block *b, struct plan *p)
{
	struct split *s = p->splits;

	for (uint32_t i = 0; i < t->n_nodes; i++) {
		uint32_t column = nodes[i].link & 255;

		if (column == JT_LEAF_FEATURE) {
			p->leaves[leaves[i]] = nodes[i].value;
			continue;
		}
		s->value = nodes[i].value;
		s->keep = (int32_t)leaves[i];
		s++->column = b->columns[column];
	}
	p->n_splits = (uint32_t)(s - p->splits);
}

/* STEP rows from @k on. */
static void add_leaves(const struct plan *p, uint32_t k, float *sums)
{
	masks left[REGISTERS];

	memset(left, 0xff, sizeof(left));
	for (uint32_t i = 0; i < p->n_splits; i++) {
		const struct split *s = &p->splits[i];
		const float *x = s->column + k;
		lanes value = all(s->value);
		masks keep = JT_ALL(s->keep);

		UNROLL
		for (uint32_t j = 0; j < REGISTERS; j++)
			left[j] &= (load(x + JT_WIDTH * j) < value) | keep;
	}
	UNROLL
	for (uint32_t j = 0; j < REGISTERS; j++) {
		float *sum = sums + k + JT_WIDTH * j;

		store(sum, load(sum) + pick(p->leaves, left[j]));
	}
}

/* So that the last step in lanes has all its rows. */
static void pad(const struct jt_fitted *f, struct jt_block *b)
{
	static const double zeros[JT_MAX_FEATURES] = { 0 };

	for (uint32_t k = b->n; b->n > FEW && k % STEP; k++)
		jt__block_row(b, k, f->n_features, zeros);
}

void JT_NAME(jt__trees_part)(const struct jt_fitted *f, const struct jt_part *p, struct jt_block *b)
{
	const struct jt_tree *trees = jt__fitted_at(f, p->trees.at);
	const struct jt_tree_node *nodes = jt__fitted_at(f, p->nodes.at);
	const uint32_t *leaves = jt__fitted_at(f, p->leaves.at);
	struct plan plan = { .leaves = { 0 } };

	pad(f, b);
	for (uint32_t k = 0; k < JT_BLOCK; k++)
		b->sums[k] = (float)p->constant;
	for (uint32_t i = 0; i < p->trees.n; i++) {
		const struct jt_tree *t = &trees[i];

		if (b->n <= FEW || t->n_nodes >= 2 * JT_LANE_LEAVES) {
			for (uint32_t k = 0; k < b->n; k++)
				b->sums[k] += walk(nodes + t->root, t->depth, b, k);
			continue;
		}
		make_plan(t, nodes + t->root, leaves + t->root, b, &plan);
		for (uint32_t k = 0; k < b->n; k += STEP)
			add_leaves(&plan, k, b->sums);
	}
}
