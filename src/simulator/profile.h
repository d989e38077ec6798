/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PROFILE_H
#define JT_PROFILE_H
/*
 * Measured latencies of a model's layers on a GPU, as the reference simulator's profiler writes
 * them, and the look-ups into them: linear between the points, the last two extended beyond them,
 * whole nanoseconds. Read once, then only looked at: any thread.
 */
#include "base/base.h"

enum jt_layer_kind { JT_LAYER_DENSE, JT_LAYER_PER_SEQUENCE, JT_LAYER_ATTENTION, JT_LAYER_MOE };

/* One layer of a sequence. @table: for the first two kinds, else -1. */
struct jt_layer {
	char name[32];
	enum jt_layer_kind kind;
	int table;
};

enum jt_layer_part { /* the order in which a step runs: prologue, L x (pre_attn … mlp), head */
	             JT_PART_PROLOGUE,
	             JT_PART_PRE_ATTN,
	             JT_PART_POST_ATTN,
	             JT_PART_MLP_DENSE,
	             JT_PART_MLP_MOE,
	             JT_PART_HEAD,
	             JT_N_PARTS
};

struct jt_layer_list {
	struct jt_layer *layers;
	uint32_t n;
};

struct jt_profile {
	struct jt_layer_list parts[JT_N_PARTS]; /* layers without figures are left out */
	char *remarks; /* "layer 'x' has no figures and is left out", one a line; NULL: none */
	struct jt_profile_tables *tables; /* opaque */
};

struct jt_profile_where {
	const char *root;     /* holds perf/ and models/ */
	const char *hardware; /* "RTXPRO6000" */
	const char *model;    /* "meta-llama/Llama-3.1-8B" */
	const char
		*type; /* "llama": models/llama.yaml; a variant of spelling is tried with - and _ */
	const char *variant; /* "bf16" */
	uint32_t tp;
};

/*
 * JT_ENOENT: no such profile (says which are there); JT_EINVAL: a file is not as it should be
 * (file, line, column). Layers that are tp_stable are read from tp1 as well, and so is moe.csv.
 */
int jt__profile_load(const struct jt_profile_where *where, struct jt_profile **ret_profile,
                     struct jt_error *err);
void jt__profile_free(struct jt_profile *p); /* accepts NULL */

/* Latency of a layer with @n tokens (DENSE) or sequences (PER_SEQUENCE), at least 1 ns. */
uint64_t jt__profile_layer_ns(const struct jt_profile *p, const struct jt_layer *layer, uint64_t n);

/* The attention of a mixed batch. */
struct jt_attention {
	uint64_t prefill_tokens;    /* Σ of the chunks */
	uint64_t prefill_kv_tokens; /* Σ of what they had before */
	uint64_t n_decode;
	uint64_t decode_kv_tokens; /* Σ; its mean is looked up */
	uint64_t decode_kv_min, decode_kv_max;
};
/* With the correction for uneven contexts (skew). @skew_exact: only where prefill_tokens is a
 * profiled point, as the reference does; else the nearest one. */
uint64_t jt__profile_attention_ns(const struct jt_profile *p, const struct jt_attention *a,
                                  bool skew_exact);
/* Experts of one rank: @tokens for it, @experts of them with work. JT_PART_MLP_MOE must have one.
 */
uint64_t jt__profile_moe_ns(const struct jt_profile *p, uint64_t tokens, uint64_t experts);

#endif
