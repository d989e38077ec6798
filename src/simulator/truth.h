/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TRUTH_H
#define JT_TRUTH_H
/*
 * Who caused the joules of a batch: what policies of attribution are judged by. The sequences of a
 * batch play a game in which a coalition costs what a batch of it alone would have cost. Each is
 * given its Shapley value: the mean, over all orders in which the batch could have been put
 * together, of what it added when its turn came. Time between batches is nobody's. Pure; one
 * thread.
 */
#include "base/rng.h"
#include "model/model.h"
#include "simulator/sim.h"

/* A coalition that grows, and its price. */
struct jt_game {
	void *user;
	void (*clear)(void *user); /* nobody is in it */
	void (*join)(void *user, uint32_t player);
	int (*cost)(void *user, double *ret_j); /* of one that is not empty */
};

struct jt_share {
	double shapley_j;
	double marginal_j; /* what the whole costs more than without this one; the sum of all is
	                      below the whole where costs are shared */
	double variance;   /* of shapley_j, in J²: orders are sampled; 0 when all were tried */
};

/* Up to so many players all orders are tried. */
#define JT_SHAPLEY_EXACT 4

/* Zero-initialise, then set the first two. */
struct jt_shapley {
	uint32_t n_pairs; /* at least 2: orders sampled, each with its reverse */
	struct jt_rng rng;
	double *alone, *sum, *squares, *pair; /* of each player */
	uint32_t *order;
	uint32_t capacity;
};

/*
 * Fills the shares of @n players (at least 1), which add up to the cost of them all. JT_ENOMEM, or
 * what the game's cost failed with.
 */
int jt__shapley(struct jt_shapley *w, const struct jt_game *g, uint32_t n,
                struct jt_share *ret_shares);
void jt__shapley_fini(struct jt_shapley *w);

/* ---- over a simulation ---- */

struct jt_truth; /* opaque */

struct jt_truth_options {
	uint32_t n_pairs;
	uint64_t seed;
	/* NULL: joules are those of the cluster's power block. Else of the roofline of @arch on
	 * this GPU, which draws more the more it computes. */
	const struct jt_gpu *gpu;
	const struct jt_arch *arch;
};

int jt__truth_new(const struct jt_truth_options *o, struct jt_truth **ret_truth,
                  struct jt_error *err);
void jt__truth_free(struct jt_truth *t); /* accepts NULL */

/*
 * To be called from the observer of @s with each batch. What of a batch has no price by sequences
 * (KV fetched from a lower tier, attention in memory) falls on them in proportion to what has.
 * @ret_j: what the batch cost; may be NULL. JT_ENOMEM.
 */
int jt__truth_batch(struct jt_truth *t, struct jt_sim *s, const struct jt_sim_batch *b,
                    double *ret_j);

/* Over all batches that request @id was in so far; zeros if it was in none. */
struct jt_share jt__truth_of(const struct jt_truth *t, uint64_t id);

#endif
