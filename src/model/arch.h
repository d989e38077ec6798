/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ARCH_H
#define JT_ARCH_H
/*
 * A transformer's dimensions, and a Hugging Face config.json as them. What they weigh: size.h.
 * Pure, any thread.
 */
#include "base/base.h"

enum jt_weights { /* how weights are kept */
	          JT_W_BF16,
	          JT_W_FP16,
	          JT_W_FP32,
	          JT_W_FP8,
	          JT_W_MXFP4,
	          JT_W_INT8,
	          JT_W_NF4,
	          JT_W_AWQ,
	          JT_W_GPTQ,
	          JT_N_WEIGHTS
};

/* "bfloat16", "bf16", "fp8" …: JT_EINVAL, and *ret untouched, for any other. */
int jt__weights_parse(const char *name, enum jt_weights *ret);

/*
 * Named as in a config.json where that has a name. NaN: not known; so is 0 of what cannot be none.
 * "ssm": layers that mix tokens without attention (state-space, linear attention), of so many
 * parameters each, with a state of so many elements.
 */
/* clang-format off */
#define JT_ARCH_FIELDS                                                                             \
	char model[96];                                                                            \
	double n_layers, hidden_size, intermediate_size, n_heads, n_kv_heads, head_dim, vocab_size; \
	double n_experts, experts_per_tok, moe_intermediate_size, n_shared_experts;                \
	double first_k_dense; /* of a mixture's feed-forward blocks, those without experts */      \
	/* Latent attention. No q_lora_rank (0): queries are not compressed. */                    \
	double kv_lora_rank, q_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim;          \
	double sliding_window, ffn_mats, tie_embeddings; /* 3 matrices gated, 2 plain */           \
	/* Of all layers, those with a window, with attention, with a feed-forward block. */       \
	double n_sliding_layers, n_attention_layers, n_ffn_layers;                                 \
	double n_ssm_layers, ssm_params, ssm_state;                                                \
	double params_total_b, params_active_b; /* published; used where dimensions are missing */ \
	double kv_elems_per_token;              /* published or computed */                        \
	double bytes_per_param;                 /* where `weights` does not tell */                \
	bool is_hybrid;                         /* some layers are not attention */                \
	enum jt_weights weights;
/* clang-format on */

struct jt_arch {
	JT_ARCH_FIELDS
};

/*
 * Fills in what the file says and leaves the rest of *arch alone; weights are read where they are
 * JT_N_WEIGHTS. JT_EINVAL names the key that is missing, wrong or not understood, and *arch is
 * untouched. Keys and defaults: arch.c, layers.c.
 */
int jt__arch_parse(const char *json, size_t n, const char *where, struct jt_arch *arch,
                   struct jt_error *err);
/* All of it from a file. */
int jt__arch_load(const char *path, struct jt_arch *ret_arch, struct jt_error *err);

#endif
