/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Biases, norms, position tables and vision towers, below 1 % of a model, are left out. What is
 * not known of a model is what most models have; the constants say which.
 */
#include <math.h>
#include "model/realmath.h"
#include "model/size.h"

/* Published and computed counts that differ by more than this share mean that dimensions leave
 * something out (layers of two kinds, state-space layers): then the published ones are used. */
#define COUNTS_AGREE 0.2

static double or_else(double v, double otherwise)
{
	return isnan(v) ? otherwise : v;
}

/* Where there cannot be none of it. */
static double some(double v, double otherwise)
{
	return v > 0 ? v : otherwise;
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

/* ---- layers ---- */

static bool is_mla(const struct jt_arch *a)
{
	return a->kv_lora_rank > 0;
}

static double head_dim(const struct jt_arch *a)
{
	return some(a->head_dim, a->hidden_size / a->n_heads);
}

static double attention_layers(const struct jt_arch *a)
{
	return some(a->n_attention_layers, a->n_layers);
}

/*
 * Latent attention (DeepSeek-V2, arXiv 2405.04434): queries through a rank of their own or none,
 * keys and values through one that they share; of a head some dimensions have no position and
 * some have, whose key all heads share. Defaults: DeepSeek-V2 and V3.
 */
static double latent_params(const struct jt_arch *a)
{
	double h = a->hidden_size, heads = a->n_heads, rank = a->kv_lora_rank;
	double q_rank = or_else(a->q_lora_rank, 3 * rank), v = some(a->v_head_dim, 128);
	double plain = some(a->qk_nope_head_dim, 128), placed = some(a->qk_rope_head_dim, 64);
	double query = heads * (plain + placed);

	return (q_rank > 0 ? (h + query) * q_rank : h * query) + h * (rank + placed) +
	       rank * heads * (plain + v) + heads * v * h;
}

/* Of one layer. Plain and grouped heads: Q and O are hidden × heads × head_dim, K and V the same
 * with KV heads. */
static double attention_params(const struct jt_arch *a)
{
	if (is_mla(a))
		return latent_params(a);
	return 2 * a->hidden_size * head_dim(a) * (a->n_heads + a->n_kv_heads);
}

static bool has_experts(const struct jt_arch *a)
{
	return a->n_experts > 1 && a->experts_per_tok > 0;
}

/* ---- counts ---- */

/* Fills all counts from the dimensions; NaN where one is missing. */
static void count(const struct jt_arch *a, struct jt_size *s)
{
	double h = a->hidden_size, mats = some(a->ffn_mats, 3);
	double dense = mats * h * a->intermediate_size;
	double ffn_layers = some(a->n_ffn_layers, a->n_layers);
	double fixed = attention_layers(a) * attention_params(a);

	if (a->n_ssm_layers > 0 && a->ssm_params > 0)
		fixed += a->n_ssm_layers * a->ssm_params;
	s->output_params = a->vocab_size * h;
	s->routed_params = 0;
	s->routed_share = 1;
	if (has_experts(a)) {
		double expert = mats * h * a->moe_intermediate_size;
		double n_dense = or_else(a->first_k_dense, 0),
		       n_moe = JT_MAX(ffn_layers - n_dense, 0);

		fixed +=
			n_moe * h * a->n_experts + n_moe * expert * or_else(a->n_shared_experts, 0);
		if (n_dense > 0)
			fixed += n_dense * dense;
		s->routed_params = n_moe * a->n_experts * expert;
		s->routed_share = a->experts_per_tok / a->n_experts;
	} else {
		fixed += ffn_layers * dense;
	}
	s->matmul_params = fixed + s->routed_params * s->routed_share + s->output_params;
	s->params = fixed + s->routed_params + s->output_params * (a->tie_embeddings > 0 ? 1 : 2);
}

/* From published counts. Of a mixture, all - active are the routed experts that a token misses. */
static void take_published(const struct jt_arch *a, struct jt_size *s)
{
	double all = a->params_total_b * 1e9, active = or_else(a->params_active_b * 1e9, all);
	double embedding = or_else(s->output_params, 0);

	s->params = all;
	s->matmul_params =
		a->tie_embeddings > 0 || embedding > 0.5 * active ? active : active - embedding;
	s->routed_params = 0;
	s->routed_share = 1;
	if (active >= all)
		return;
	if (has_experts(a) && a->experts_per_tok < a->n_experts) {
		s->routed_share = a->experts_per_tok / a->n_experts;
		s->routed_params = JT_MIN((all - active) / (1 - s->routed_share), all);
	} else {
		s->routed_share = active / all;
		s->routed_params = all;
	}
}

/* Layers of two kinds, of which it is not known how many there are. */
static bool is_vague(const struct jt_arch *a)
{
	return a->is_hybrid && !(a->n_attention_layers > 0);
}

static bool is_believed(const struct jt_arch *a, double counted)
{
	double published = a->params_total_b * 1e9;

	return !(published > 0) ||
	       (!is_vague(a) && fabs(counted - published) <= COUNTS_AGREE * published);
}

/*
 * Dimensions of a usual model of so many parameters, N = 12 layers × hidden² at a hidden size of
 * 100 a layer. Between all and active parameters, as mixtures are wider than their active part.
 */
static void guess_dims(struct jt_size *s)
{
	double between = jt__exp(0.5 * (jt__ln(s->params) + jt__ln(s->matmul_params)));

	s->n_layers = s->attention_layers = jt__exp(jt__ln(between / 1.2e5) / 3);
	s->hidden_size = 100 * s->n_layers;
	s->attention_size = s->hidden_size;
}

/* ---- keys and values ---- */

/* Latent attention keeps its rank and the key with positions. Unknown: eight KV heads of 128 each
 * layer, as most models since 2023. Hybrids: about one layer in ten is attention (Nemotron-H,
 * Jamba). */
static double kv_elems(const struct jt_arch *a, const struct jt_size *s)
{
	double v = some(a->kv_elems_per_token, NAN);

	if (is_mla(a))
		return s->attention_layers * (a->kv_lora_rank + some(a->qk_rope_head_dim, 64));
	if (isnan(v))
		v = 2 * s->attention_layers * a->n_kv_heads * head_dim(a);
	if (isnan(v))
		v = 2 * s->attention_layers * 8 * 128;
	return is_vague(a) ? v / 10 : v;
}

/* Where it is not known for which layers a window holds. Gemma 3 (windows of 512 and 1024): five
 * layers in six; Gemma 2 (4096), gpt-oss (128): every other one. */
static double sliding_share(const struct jt_arch *a)
{
	if (!(a->sliding_window > 0))
		return 0;
	if (a->n_sliding_layers > 0)
		return JT_MIN(a->n_sliding_layers / attention_layers(a), 1);
	return a->sliding_window >= 512 && a->sliding_window <= 1024 ? 5.0 / 6 : 0.5;
}

/* Kept in 16 bits, however weights are packed, and in 32 beside weights of 32. */
static void size_kv(const struct jt_arch *a, struct jt_size *s)
{
	double bytes = a->weights == JT_W_FP32 ? 4 : 2;

	s->kv_elems = kv_elems(a, s);
	s->kv_token_bytes = bytes * s->kv_elems;
	s->state_bytes = a->n_ssm_layers > 0 && a->ssm_state > 0
	                         ? bytes * a->n_ssm_layers * a->ssm_state
	                         : 0;
	s->window = a->sliding_window;
	s->sliding_share = sliding_share(a);
}

struct jt_size jt__size(const struct jt_arch *a)
{
	struct jt_size s = { .bytes_per_param =
		                     some(a->bytes_per_param, bytes_per_param(a->weights)) };

	count(a, &s);
	if (!is_believed(a, s.params))
		take_published(a, &s);
	s.weight_bytes = s.params * s.bytes_per_param;
	s.n_layers = a->n_layers;
	s.hidden_size = a->hidden_size;
	s.attention_layers = attention_layers(a);
	s.attention_size = a->n_heads * (is_mla(a) ? some(a->v_head_dim, 128) : head_dim(a));
	s.has_dims = !isnan(s.n_layers) && !isnan(s.hidden_size) && !isnan(s.attention_size);
	if (!s.has_dims)
		guess_dims(&s);
	size_kv(a, &s);
	return s;
}

/* ---- of a step ---- */

/* Tokens choose experts at random and on their own, so that one is missed by all n with
 * probability (1 - share)^n. */
double jt__size_touched_bytes(const struct jt_size *s, double n_tokens)
{
	double routed = s->routed_params, share = s->routed_share, touched = 0;

	if (n_tokens <= 0)
		return 0;
	if (routed > 0)
		touched = routed *
		          (share < 1 ? 1 - jt__exp(n_tokens * jt__ln(1 - share)) - share : 0);
	return (s->matmul_params + touched) * s->bytes_per_param;
}

double jt__size_seen_tokens(const struct jt_size *s, double context)
{
	double window = s->sliding_share > 0 ? JT_MIN(context, s->window) : context;

	return context * (1 - s->sliding_share) + window * s->sliding_share;
}

double jt__size_kv_bytes(const struct jt_size *s, double context)
{
	return s->kv_token_bytes * jt__size_seen_tokens(s, context);
}

/* A product of a query with a key and one of a weight with a value, two FLOPs a dimension. Of
 * latent attention, the dimensions of positions are left out. */
double jt__size_pair_flops(const struct jt_size *s)
{
	return 4 * s->attention_layers * s->attention_size;
}
