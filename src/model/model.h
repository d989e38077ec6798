/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_MODEL_H
#define JT_MODEL_H
/*
 * ONE place for what a step of inference costs: architecture of a model, table
 * of GPUs, roofline of bytes and FLOPs, seconds and joules. Pure, any thread.
 */
#include "base/base.h"

/* Transformer dimensions, named as in a Hugging Face config.json. */
struct jt_arch {
	char name[96];
	uint32_t n_layers;
	uint32_t hidden_size;
	uint32_t intermediate_size; /* of a dense layer */
	uint32_t n_heads;
	uint32_t n_kv_heads;
	uint32_t head_dim;
	uint32_t vocab_size;
	uint32_t n_experts; /* routed; 0: dense */
	uint32_t experts_per_tok;
	uint32_t expert_size; /* intermediate size of one expert */
	uint32_t shared_size; /* intermediate size of the experts that see every token, together */
	uint32_t n_dense_layers; /* layers of a mixture that have no experts */
	uint32_t ffn_mats;       /* 3 gated, 2 plain */
	bool tie_embeddings;
	double weight_bytes_per_param; /* 2 for bf16 */
	double kv_bytes_per_elem;
};

/*
 * Parses a config.json. JT_EINVAL names the key that is missing or wrong; JT_ENOTSUP: an
 * attention that the roofline does not describe. Keys and defaults: arch.c.
 */
int jt__arch_parse(const char *json, size_t n, struct jt_arch *ret_arch, struct jt_error *err);
int jt__arch_load(const char *path, struct jt_arch *ret_arch, struct jt_error *err);

/* Derived sizes; formulas in arch.c. */
double jt__arch_params(const struct jt_arch *a); /* all of them, within 2 % */
/* Those in matrix products, output layer included; @active_only: for one token. */
double jt__arch_matmul_params(const struct jt_arch *a, bool active_only);
/* Read in a step of @n_tokens: of a mixture, the experts that so many tokens touch. */
double jt__arch_weight_bytes_step(const struct jt_arch *a, double n_tokens);
double jt__arch_kv_bytes_per_token(const struct jt_arch *a);

/* A GPU type: dense bf16 peak, memory bandwidth, power levels. Rows and sources: gpu.c. */
struct jt_gpu {
	const char *name;  /* "H100-SXM5-80GB" */
	const char *match; /* what the driver's name ends with */
	double mem_gb;
	double bw_gbs;
	double bf16_tflops;
	double tdp_w;
	double idle_w;      /* a model loaded, nothing to do */
	double pj_per_flop; /* dynamic energy, derived as gpu.c says */
	double pj_per_byte;
};
extern const struct jt_gpu jt__gpus[];               /* ends with a row without a name */
const struct jt_gpu *jt__gpu_find(const char *name); /* by name, else by driver's name; NULL */

/*
 * What one engine iteration does: the tokens it computes and the KV it reads. A prefill
 * chunk of a single token is a decoding sequence in all but name and counted as one.
 */
struct jt_step {
	double prefill_tokens;     /* summed over the sequences that prefill */
	double prefill_ctx_tokens; /* Σ tokens × mean context they attend to */
	double decode_seqs;
	double decode_ctx_tokens; /* Σ context lengths of the decoding sequences */
};

struct jt_step_cost {
	double flops;
	double weight_bytes; /* read once, shared by all */
	double kv_bytes;
	double seconds;   /* of the slowest of memory, compute and power limit, and of the host */
	double dynamic_j; /* above idle */
};
void jt__roofline(const struct jt_arch *a, const struct jt_gpu *g, const struct jt_step *s,
                  struct jt_step_cost *ret_cost);

/*
 * The own (unshared) dynamic joules of one sequence in a step: @new_tokens of prefill that attend
 * to @ctx_tokens each on average, or with one new token a decode on a context of @ctx_tokens. The
 * own joules of a step's sequences and its shared joules add up to jt_step_cost.dynamic_j.
 */
double jt__roofline_own_j(const struct jt_arch *a, const struct jt_gpu *g, double new_tokens,
                          double ctx_tokens);
/* The same for many sequences: it is linear, so that these four do. */
struct jt_own_rates {
	double prefill_token_j, prefill_ctx_j; /* a token; a token of context that it attends to */
	double decode_token_j, decode_ctx_j;
};
struct jt_own_rates jt__roofline_own_rates(const struct jt_arch *a, const struct jt_gpu *g);
double jt__own_j(const struct jt_own_rates *r, double new_tokens, double ctx_tokens);
/* The shared dynamic joules of a step of @n_tokens: reading the weights, launching it. */
double jt__roofline_shared_j(const struct jt_arch *a, const struct jt_gpu *g, double n_tokens);

#endif
