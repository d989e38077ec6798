/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a question to features.def. A decode step reads all weights that its tokens touch and the
 * KV of every sequence, and computes 2 FLOPs for each weight of a token: its times are these over
 * what the data sheet promises for all GPUs together. Only architecture, hardware and load are
 * asked for; nothing measured is.
 */
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "model/realmath.h"
#include "predictor/predictor.h"

#define PCIE_GBS 32 /* 4.0 with 16 lanes, where nothing is known of links */

/* What a decode step is made of: seconds of all GPUs working together, flags 0 or 1. */
struct step {
	struct jt_size size;
	double n_layers, kv_heads, n_experts, vocab_size;
	double tdp_w, idle_w; /* of all GPUs; the second with a model loaded and nothing to do */
	double n_gpu, tp, dp, ep;
	double batch, max_num_seqs, in_tokens, out_tokens, context;
	double weight_bytes, touched_bytes, kv_bytes; /* the last two: a step */
	double t_weights, t_kv, t_memory, t_compute;  /* a step */
	double t_prefill;                             /* a request */
	double t_messages;                            /* an output token */
	double weights_j, kv_j; /* an output token, in jt__joules_per_byte() */
	double memory_free, kv_fill;
	double mixture, hybrid, latent, sliding, several, replicas;
	double fp8, mxfp4, int8, nf4;
	double vllm, newer, old, eager, image, video, text, in_known;
};

const char *const jt__feature_names[] = {
#define FEATURE(name, value) #name,
#include "predictor/features.def"
#undef FEATURE
	NULL
};

_Static_assert(JT_ARRAY_LEN(jt__feature_names) - 1 <= JT_MAX_FEATURES, "too many features");

uint32_t jt__n_features(void)
{
	return JT_ARRAY_LEN(jt__feature_names) - 1;
}

/*
 * What a request of a benchmark brings, where the table does not say: texts are means of the data
 * sets that the tasks are drawn from, images and videos in tokens as models with a few hundred
 * tokens an image count them. Rough; the feature in_tokens_known says that it was needed.
 */
static double usual_in_tokens(const struct jt_question *q)
{
	static const struct {
		const char *task;
		double tokens;
	} usual[] = {
		{ "lm-arena", 200 },  { "sharegpt", 230 },     { "gpqa", 250 },
		{ "humaneval", 180 }, { "sourcegraph", 1500 }, { "llava", 650 },
		{ "image", 1200 },    { "video", 6000 },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(usual); i++)
		if (strncmp(q->task, usual[i].task, strlen(usual[i].task)) == 0)
			return usual[i].tokens;
	return q->is_multimodal_task ? 1200 : 500;
}

static double or_else(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
}

static double ln(double v)
{
	return jt__ln(v);
}

static double flag(bool is)
{
	return is ? 1 : 0;
}

double jt__copies(const struct jt_question *q)
{
	return q->dp > 1 && !(q->n_experts > 1 && q->ep > 1) ? q->dp : 1;
}

/* Where the GPU has none, weights of 8 bits are only stored so. */
static bool has_fp8_products(const struct jt_question *q)
{
	return q->weights == JT_W_FP8 && q->gpu_fp8_tflops > 0;
}

static void set_flags(const struct jt_question *q, struct step *s)
{
	bool is_video = strstr(q->task, "video") != NULL;

	s->mixture = flag(s->size.routed_params > 0);
	s->hybrid = flag(q->is_hybrid);
	s->latent = flag(q->kv_lora_rank > 0);
	s->sliding = flag(s->size.sliding_share > 0);
	s->several = flag(q->n_gpu > jt__copies(q));
	s->replicas = flag(s->dp > 1 && jt__copies(q) == 1);
	s->fp8 = flag(has_fp8_products(q));
	s->mxfp4 = flag(q->weights == JT_W_MXFP4);
	s->int8 = flag(q->weights == JT_W_INT8);
	s->nf4 = flag(q->weights == JT_W_NF4);
	s->eager = flag(q->is_eager);
	s->vllm = 1 - s->eager;
	s->newer = flag(!q->is_eager && q->is_vllm_new);
	s->old = s->vllm - s->newer;
	s->video = flag(q->is_multimodal_task && is_video);
	s->image = flag(q->is_multimodal_task && !is_video);
	s->text = flag(!q->is_multimodal_task);
	s->in_known = flag(!isnan(q->in_tokens));
}

double jt__joules_per_byte(const struct jt_question *q)
{
	return JT_TERM_J_PER_BYTE * or_else(q->gpu_byte_cost, 1);
}

/* FLOP/s of all GPUs: 8-bit products where weights and GPU have them; TF32 for 32-bit ones. */
static double peak(const struct jt_question *q, const struct step *s)
{
	double tflops = q->gpu_bf16_tflops;

	if (has_fp8_products(q))
		tflops = q->gpu_fp8_tflops;
	if (q->weights == JT_W_FP32)
		tflops /= 2;
	return s->n_gpu * tflops * 1e12;
}

static void set_times(const struct jt_question *q, struct step *s)
{
	double bandwidth = s->n_gpu * q->gpu_bw_gbs * 1e9, flops = peak(q, s);
	double memory = s->n_gpu * q->gpu_mem_gb * 1e9;
	double copies = jt__copies(q), tokens = JT_MAX(s->batch / copies, 1);

	s->weight_bytes = copies * s->size.weight_bytes;
	s->touched_bytes = copies * jt__size_touched_bytes(&s->size, tokens);
	s->kv_bytes = s->batch * jt__size_kv_bytes(&s->size, s->context);
	s->t_weights = s->touched_bytes / bandwidth;
	s->t_kv = s->kv_bytes / bandwidth;
	s->t_memory = s->t_weights + s->t_kv;
	/* Two all-reduces a layer, of 16 bits for each element of the hidden state. */
	s->t_messages = s->n_layers * 2 * s->size.hidden_size * 2 /
	                (or_else(q->gpu_link_gbs, PCIE_GBS) * 1e9);
	s->weights_j = jt__joules_per_byte(q) * s->touched_bytes / s->batch;
	s->kv_j = jt__joules_per_byte(q) * s->kv_bytes / s->batch;
	s->t_compute = 2 * s->size.matmul_params * s->batch / flops;
	/* Causal attention: of pairs there are in² / 2. */
	s->t_prefill =
		s->in_tokens *
		(2 * s->size.matmul_params + jt__size_pair_flops(&s->size) / 2 * s->in_tokens) /
		flops;
	s->memory_free = JT_MAX(0.02, 1 - s->weight_bytes / memory);
	/* 0.9: what vLLM takes of the memory if it is not told. */
	s->kv_fill = s->kv_bytes / JT_MAX(0.9 * memory - s->weight_bytes, 0.02 * memory);
}

double jt__idle_w(const struct jt_question *q)
{
	return q->n_gpu * or_else(q->gpu_idle_w, JT_IDLE_SHARE * q->gpu_tdp_w);
}

static void set_load(const struct jt_question *q, struct step *s)
{
	s->n_gpu = q->n_gpu;
	s->tdp_w = q->n_gpu * q->gpu_tdp_w;
	s->idle_w = jt__idle_w(q);
	s->tp = or_else(q->tp, 1);
	s->dp = or_else(q->dp, 1);
	s->ep = or_else(q->ep, 1);
	s->batch = or_else(q->batch, q->max_num_seqs);
	s->max_num_seqs = or_else(q->max_num_seqs, s->batch);
	s->in_tokens = JT_MAX(or_else(q->in_tokens, usual_in_tokens(q)), 1);
	s->out_tokens = q->out_tokens;
	s->context = s->in_tokens + s->out_tokens / 2;
}

static void take_apart(const struct jt_question *q, struct step *s)
{
	s->size = jt__size(&q->arch);
	s->n_layers = s->size.n_layers;
	s->kv_heads = or_else(q->n_kv_heads, 8);
	s->n_experts = or_else(q->n_experts, 0);
	s->vocab_size = or_else(q->vocab_size, 1e5);
	set_load(q, s);
	set_flags(q, s);
	set_times(q, s);
}

void jt__features(const struct jt_question *q, double ret_features[JT_MAX_FEATURES])
{
	struct step step, *s = &step;
	double *f = ret_features;

	take_apart(q, s);
#define FEATURE(name, value) *f++ = (value);
#include "predictor/features.def"
#undef FEATURE
}

const char *jt__question_engine(const struct jt_question *q)
{
	return q->is_eager ? "transformers" : q->is_vllm_new ? "vllm" : "vllm-old";
}

/* ---- what may be asked ---- */

/* Wide enough for whatever will be built in a while; beyond it is a slip of units. */
static const struct {
	const char *name;
	size_t at;
	double min, max;
	bool is_needed;
} limits[] = {
#define LIMIT(field, min, max, needed)                                                             \
	{                                                                                          \
#field, offsetof(struct jt_question, field), min, max, needed                      \
	}
	LIMIT(n_layers, 1, 10000, false),
	LIMIT(hidden_size, 1, 1e6, false),
	LIMIT(intermediate_size, 1, 1e7, false),
	LIMIT(n_heads, 1, 1e5, false),
	LIMIT(n_kv_heads, 1, 1e5, false),
	LIMIT(head_dim, 1, 1e5, false),
	LIMIT(vocab_size, 1, 1e8, false),
	LIMIT(n_experts, 0, 1e6, false),
	LIMIT(experts_per_tok, 0, 1e6, false),
	LIMIT(moe_intermediate_size, 0, 1e7, false),
	LIMIT(n_shared_experts, 0, 1e4, false),
	LIMIT(first_k_dense, 0, 10000, false),
	LIMIT(kv_lora_rank, 0, 1e6, false),
	LIMIT(q_lora_rank, 0, 1e6, false),
	LIMIT(qk_nope_head_dim, 0, 1e5, false),
	LIMIT(qk_rope_head_dim, 0, 1e5, false),
	LIMIT(v_head_dim, 0, 1e5, false),
	LIMIT(sliding_window, 0, 1e9, false),
	LIMIT(n_sliding_layers, 0, 10000, false),
	LIMIT(n_attention_layers, 0, 10000, false),
	LIMIT(n_ffn_layers, 0, 10000, false),
	LIMIT(n_ssm_layers, 0, 10000, false),
	LIMIT(ssm_params, 0, 1e12, false),
	LIMIT(ssm_state, 0, 1e12, false),
	LIMIT(ffn_mats, 1, 10, false),
	LIMIT(params_total_b, 1e-6, 1e6, false),
	LIMIT(params_active_b, 1e-6, 1e6, false),
	LIMIT(kv_elems_per_token, 1, 1e9, false),
	LIMIT(gpu_mem_gb, 1, 1e5, true),
	LIMIT(gpu_bw_gbs, 1, 1e6, true),
	LIMIT(gpu_bf16_tflops, 0.1, 1e6, true),
	LIMIT(gpu_fp8_tflops, 0.1, 1e6, false),
	LIMIT(gpu_tdp_w, 1, 1e5, true),
	LIMIT(gpu_idle_w, 0.1, 1e5, false),
	LIMIT(gpu_link_gbs, 0.1, 1e6, false),
	LIMIT(gpu_byte_cost, 0.01, 100, false),
	LIMIT(n_gpu, 1, 1e5, true),
	LIMIT(tp, 1, 1e5, false),
	LIMIT(pp, 1, 1e5, false),
	LIMIT(dp, 1, 1e5, false),
	LIMIT(ep, 1, 1e5, false),
	LIMIT(batch, 1e-3, 1e7, false),
	LIMIT(max_num_seqs, 1, 1e7, false),
	LIMIT(in_tokens, 0, 1e9, false),
	LIMIT(out_tokens, 1e-3, 1e9, true),
#undef LIMIT
};

static int check_limits(const struct jt_question *q, struct jt_error *err)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(limits); i++) {
		double v;

		memcpy(&v, (const char *)q + limits[i].at, sizeof(v));
		if (isnan(v) && limits[i].is_needed)
			return jt__fail(err, JT_EINVAL, "predict", "'%s' is not known",
			                limits[i].name);
		if (v < limits[i].min || v > limits[i].max)
			return jt__fail(err, JT_EINVAL, "predict",
			                "'%s' must be from %g to %g, not %g", limits[i].name,
			                limits[i].min, limits[i].max, v);
	}
	return JT_OK;
}

/* What dimension the count of parameters lacks first. */
static const char *missing_dim(const struct jt_question *q)
{
	return isnan(q->n_layers)            ? "n_layers"
	       : isnan(q->hidden_size)       ? "hidden_size"
	       : isnan(q->n_heads)           ? "n_heads"
	       : isnan(q->n_kv_heads)        ? "n_kv_heads"
	       : isnan(q->vocab_size)        ? "vocab_size"
	       : isnan(q->intermediate_size) ? "intermediate_size"
	                                     : "moe_intermediate_size";
}

int jt__question_check(const struct jt_question *q, struct jt_error *err)
{
	int status = check_limits(q, err);

	if (status)
		return status;
	if ((unsigned)q->weights >= JT_N_WEIGHTS)
		return jt__fail(err, JT_EINVAL, "predict", "the kind of weights is not known");
	if (isnan(q->batch) && isnan(q->max_num_seqs))
		return jt__fail(err, JT_EINVAL, "predict",
		                "neither 'batch' nor 'max_num_seqs' is known");
	if (q->experts_per_tok > q->n_experts)
		return jt__fail(err, JT_EINVAL, "predict",
		                "'experts_per_tok' (%g) is more than 'n_experts' (%g)",
		                q->experts_per_tok, q->n_experts);
	if (q->first_k_dense > q->n_layers)
		return jt__fail(err, JT_EINVAL, "predict",
		                "'first_k_dense' (%g) is more than 'n_layers' (%g)",
		                q->first_k_dense, q->n_layers);
	if (q->params_active_b > q->params_total_b)
		return jt__fail(err, JT_EINVAL, "predict",
		                "'params_active_b' (%g) is more than 'params_total_b' (%g)",
		                q->params_active_b, q->params_total_b);
	if (isnan(jt__size(&q->arch).params))
		return jt__fail(err, JT_EINVAL, "predict",
		                "neither '%s' nor 'params_total_b' is known", missing_dim(q));
	return JT_OK;
}
