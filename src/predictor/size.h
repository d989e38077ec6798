/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIZE_H
#define JT_SIZE_H
/* What a transformer weighs, from what is known of it. Pure, any thread. */
#include "predictor/predictor.h"

struct jt_size {
	double n_layers, hidden_size;
	double attention_size;  /* n_heads × head_dim: what a query has, all heads together */
	double params;          /* all of them */
	double matmul_params;   /* in matrix products for one token, output layer included */
	double routed_params;   /* of all routed experts; 0: it has none */
	double routed_share;    /* of the routed experts, those that one token goes through */
	double bytes_per_param; /* scales of quantised weights included */
	double kv_elems;        /* of one token, all layers */
	double sliding_share;   /* of the layers, those that attend to a window only */
	bool has_dims;          /* false: layers and sizes are guessed from the parameters */
};

/* NaN in params where neither dimensions nor published counts are known. */
struct jt_size jt__size(const struct jt_question *q);

/* Weights that @n tokens of one step touch, in bytes. */
double jt__size_touched_bytes(const struct jt_size *s, double n_tokens);
/* KV bytes that one sequence of @context tokens reads in a step. */
double jt__size_kv_bytes(const struct jt_size *s, const struct jt_question *q, double context);

#endif
