/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PREDICTOR_H
#define JT_PREDICTOR_H
/*
 * The energy of a request before it runs: a question (model, hardware, load) becomes numbers
 * (features.c), and a fitted model (fitted.c) turns these into joules with an interval. Pure;
 * nothing is allocated but when a model is read; the same code runs in WebAssembly. Any thread.
 */
#include "model/model.h"

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

/* What is asked. NaN: not known; what must be known says jt__question_check(). */
struct jt_question {
	/* The transformer, named as in a Hugging Face config.json. */
	double n_layers, hidden_size, intermediate_size, n_heads, n_kv_heads, head_dim, vocab_size;
	double n_experts, experts_per_tok, moe_intermediate_size, n_shared_experts, first_k_dense;
	double kv_lora_rank, sliding_window, ffn_mats, tie_embeddings;
	double params_total_b, params_active_b; /* published; used where dimensions are missing */
	double kv_elems_per_token;              /* published or computed */
	bool is_hybrid;                         /* some layers are not attention */
	enum jt_weights weights;
	/* The hardware, of one device, and how many. */
	double gpu_mem_gb, gpu_bw_gbs, gpu_bf16_tflops, gpu_fp8_tflops, gpu_tdp_w;
	double n_gpu, tp, pp, dp, ep;
	/* The load. */
	double batch; /* requests running at once, mean */
	double max_num_seqs;
	double in_tokens, out_tokens;
	/* How it is served. */
	bool is_vllm_new; /* vLLM 0.9 and later; else an older one or transformers, see is_eager */
	bool is_eager;    /* Hugging Face transformers */
	bool is_multimodal_task;
	char gpu[48], task[48], model[96], model_group[96], source[48],
		engine[48]; /* for groups, reasons */
};

/* What a feature vector holds: names and meanings in features.c, in this order in every model file.
 */
#define JT_MAX_FEATURES 112
extern const char *const jt__feature_names[]; /* NULL-terminated */
uint32_t jt__n_features(void);
/* JT_EINVAL names what is missing or absurd and fills *err. */
int jt__question_check(const struct jt_question *q, struct jt_error *err);
void jt__features(const struct jt_question *q, double ret_features[JT_MAX_FEATURES]);

#endif
