/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIZE_H
#define JT_SIZE_H
/*
 * What a transformer weighs, reads and computes, from what is known of it: the formulas that
 * prediction, attribution and the modelled node share. The same bits on every machine. Pure, any
 * thread.
 */
#include "model/arch.h"

struct jt_size {
	double n_layers, hidden_size;
	double attention_layers; /* of all layers, those that keep keys and values */
	double attention_size;   /* n_heads × head_dim: what a query has, all heads together */
	double params;           /* all of them */
	double matmul_params;    /* in matrix products for one token, output layer included */
	double output_params;    /* of the output layer */
	double routed_params;    /* of all routed experts; 0: it has none */
	double routed_share;     /* of the routed experts, those that one token goes through */
	double bytes_per_param;  /* scales of quantised weights included */
	double weight_bytes;     /* of all parameters */
	double kv_elems;         /* of one token, all layers */
	double kv_token_bytes;
	double state_bytes;           /* of one sequence, whatever its length: state-space layers;
	                         prediction has a fitted coefficient for it instead */
	double window, sliding_share; /* of the layers, those that attend to a window only */
	bool has_dims;                /* false: layers and sizes are guessed from the parameters */
};

/* NaN in params where neither dimensions nor published counts are known. */
struct jt_size jt__size(const struct jt_arch *a);

/* Weights that @n tokens of one step touch, in bytes. */
double jt__size_touched_bytes(const struct jt_size *s, double n_tokens);
/* Of a context of so many tokens, those that are attended to: the mean over the layers. */
double jt__size_seen_tokens(const struct jt_size *s, double context);
/* KV bytes that one sequence of @context tokens reads in a step. */
double jt__size_kv_bytes(const struct jt_size *s, double context);
/* Of attention, for each pair of tokens. */
double jt__size_pair_flops(const struct jt_size *s);

#endif
