/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "predictor/realmath.h"
#include "predictor/size.h"

/* Published and computed counts that differ by more than this share mean that dimensions leave
 * something out (layers of two kinds, state-space layers): then the published ones are used. */
#define COUNTS_AGREE 0.2

static double or_else(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
}

/* Formats in groups carry scales: mxfp4 8 bits for 32 weights (OCP MX 1.0), nf4 32 bits for 64
 * (QLoRA, without double quantisation), awq and gptq 16 bits for 128 and a zero point. */
static double bytes_per_param(enum jt_weights w)
{
	switch (w) {
	case JT_W_FP32:
		return 4;
	case JT_W_FP8:
	case JT_W_INT8:
		return 1;
	case JT_W_MXFP4:
		return 4.25 / 8;
	case JT_W_NF4:
		return 4.5 / 8;
	case JT_W_AWQ:
	case JT_W_GPTQ:
		return 4.25 / 8;
	case JT_W_BF16:
	case JT_W_FP16:
	case JT_N_WEIGHTS:
		break;
	}
	return 2;
}

static bool is_mla(const struct jt_question *q)
{
	return q->kv_lora_rank > 0;
}

static double head_dim(const struct jt_question *q)
{
	return or_else(q->head_dim, q->hidden_size / q->n_heads);
}

/*
 * Of one layer. Plain and grouped heads: Q and O are hidden × heads × head_dim, K and V the same
 * with KV heads. Latent attention (DeepSeek-V2, arXiv 2405.04434): Q through a rank of three times
 * that of KV, heads of 128 with 64 more for positions, values of 128.
 */
static double attention_params(const struct jt_question *q)
{
	double h = q->hidden_size, heads = q->n_heads, rank = q->kv_lora_rank;

	if (is_mla(q))
		return h * 3 * rank + 3 * rank * heads * 192 + h * (rank + 64) +
		       rank * heads * 256 + heads * 128 * h;
	return 2 * h * head_dim(q) * (heads + q->n_kv_heads);
}

static bool has_experts(const struct jt_question *q)
{
	return q->n_experts > 1 && q->experts_per_tok > 0;
}

/* Fills all counts from the dimensions; NaN where one is missing. */
static void count(const struct jt_question *q, struct jt_size *s)
{
	double h = q->hidden_size, mats = or_else(q->ffn_mats, 3);
	double embedding = q->vocab_size * h;
	double dense = mats * h * q->intermediate_size, layers = q->n_layers, fixed;

	if (has_experts(q)) {
		double expert = mats * h * q->moe_intermediate_size;
		double n_dense = or_else(q->first_k_dense, 0), n_moe = layers - n_dense;

		fixed = layers * attention_params(q) + n_moe * h * q->n_experts +
		        n_moe * expert * or_else(q->n_shared_experts, 0);
		if (n_dense > 0)
			fixed += n_dense * dense;
		s->routed_params = n_moe * q->n_experts * expert;
		s->routed_share = q->experts_per_tok / q->n_experts;
	} else {
		fixed = layers * (attention_params(q) + dense);
		s->routed_params = 0;
		s->routed_share = 1;
	}
	s->matmul_params = fixed + s->routed_params * s->routed_share + embedding;
	s->params = fixed + s->routed_params + embedding * (q->tie_embeddings > 0 ? 1 : 2);
}

/* From published counts. Of a mixture, all - active are the routed experts that a token misses. */
static void take_published(const struct jt_question *q, struct jt_size *s)
{
	double all = q->params_total_b * 1e9, active = or_else(q->params_active_b * 1e9, all);
	double embedding = or_else(q->vocab_size * q->hidden_size, 0);

	s->params = all;
	s->matmul_params =
		q->tie_embeddings > 0 || embedding > 0.5 * active ? active : active - embedding;
	s->routed_params = 0;
	s->routed_share = 1;
	if (active >= all)
		return;
	if (has_experts(q) && q->experts_per_tok < q->n_experts) {
		s->routed_share = q->experts_per_tok / q->n_experts;
		s->routed_params = JT_MIN((all - active) / (1 - s->routed_share), all);
	} else {
		s->routed_share = active / all;
		s->routed_params = all;
	}
}

/*
 * Dimensions of a usual model of so many parameters, N = 12 layers × hidden² at a hidden size of
 * 100 a layer. Between all and active parameters, as mixtures are wider than their active part.
 */
static void guess_dims(struct jt_size *s)
{
	double between = jt__exp(0.5 * (jt__ln(s->params) + jt__ln(s->matmul_params)));

	s->n_layers = jt__exp(jt__ln(between / 1.2e5) / 3);
	s->hidden_size = 100 * s->n_layers;
	s->attention_size = s->hidden_size;
}

/* Latent attention keeps its rank and 64 for positions. Unknown: eight KV heads of 128 each layer,
 * as most models since 2023. Hybrids: about one layer in ten is attention (Nemotron-H, Jamba). */
static double kv_elems(const struct jt_question *q, const struct jt_size *s)
{
	double v = q->kv_elems_per_token;

	if (is_mla(q))
		return s->n_layers * (q->kv_lora_rank + 64);
	if (isnan(v))
		v = 2 * s->n_layers * q->n_kv_heads * head_dim(q);
	if (isnan(v))
		v = 2 * s->n_layers * 8 * 128;
	return q->is_hybrid ? v / 10 : v;
}

/* A config.json's window does not say for which layers it holds. Gemma 3 (windows of 512 and 1024):
 * five layers in six; Gemma 2 (4096), gpt-oss (128): every other one. */
static double sliding_share(const struct jt_question *q)
{
	if (!(q->sliding_window > 0))
		return 0;
	return q->sliding_window >= 512 && q->sliding_window <= 1024 ? 5.0 / 6 : 0.5;
}

struct jt_size jt__size(const struct jt_question *q)
{
	struct jt_size s = { .bytes_per_param = bytes_per_param(q->weights) };
	double published = q->params_total_b * 1e9;

	count(q, &s);
	if (!isnan(published) &&
	    !(!q->is_hybrid && fabs(s.params - published) <= COUNTS_AGREE * published))
		take_published(q, &s);
	s.n_layers = q->n_layers;
	s.hidden_size = q->hidden_size;
	s.attention_size = is_mla(q) ? q->n_heads * 128 : q->n_heads * head_dim(q);
	s.has_dims = !isnan(s.n_layers) && !isnan(s.hidden_size) && !isnan(s.attention_size);
	if (!s.has_dims)
		guess_dims(&s);
	s.kv_elems = kv_elems(q, &s);
	s.sliding_share = sliding_share(q);
	return s;
}

/* Tokens choose experts at random and on their own, so that one is missed by all n with
 * probability (1 - share)^n. */
double jt__size_touched_bytes(const struct jt_size *s, double n_tokens)
{
	double routed = s->routed_params, share = s->routed_share, touched = 0;

	if (routed > 0)
		touched = routed *
		          (share < 1 ? 1 - jt__exp(n_tokens * jt__ln(1 - share)) - share : 0);
	return (s->matmul_params + touched) * s->bytes_per_param;
}

/* Kept in 16 bits, whatever the weights are. */
double jt__size_kv_bytes(const struct jt_size *s, const struct jt_question *q, double context)
{
	double window = s->sliding_share > 0 ? JT_MIN(context, q->sliding_window) : context;

	return 2 * s->kv_elems * (context * (1 - s->sliding_share) + window * s->sliding_share);
}
