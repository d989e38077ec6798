/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The predictor as a module without imports. The caller puts questions and reads predictions where
 * layout tables say that their fields are; predictor.js does. One thread.
 */
#include "predictor/fitted.h"

#define EXPORT(name) __attribute__((export_name(name)))
#define PAGE 65536u

enum kind { NUMBER, FLAG, CHOICE, COUNT, TEXT }; /* double, bool, int32_t, int32_t, char[] */

struct field {
	const char *name;
	uint32_t at, kind, size;
};

#define FIELD(type, member, kind)                                                                  \
	{                                                                                          \
#member, offsetof(struct type, member), kind, sizeof(((struct type *)0)->member)   \
	}
#define Q(member, kind) FIELD(jt_question, member, kind)
#define P(member, kind) FIELD(jt_prediction, member, kind)

/* clang-format off */
static const struct field question_fields[] = {
	Q(n_layers, NUMBER), Q(hidden_size, NUMBER), Q(intermediate_size, NUMBER), Q(n_heads, NUMBER),
	Q(n_kv_heads, NUMBER), Q(head_dim, NUMBER), Q(vocab_size, NUMBER), Q(n_experts, NUMBER),
	Q(experts_per_tok, NUMBER), Q(moe_intermediate_size, NUMBER), Q(n_shared_experts, NUMBER),
	Q(first_k_dense, NUMBER), Q(kv_lora_rank, NUMBER), Q(sliding_window, NUMBER), Q(ffn_mats, NUMBER),
	Q(tie_embeddings, NUMBER), Q(params_total_b, NUMBER), Q(params_active_b, NUMBER),
	Q(kv_elems_per_token, NUMBER), Q(is_hybrid, FLAG), Q(weights, CHOICE),
	Q(q_lora_rank, NUMBER), Q(qk_nope_head_dim, NUMBER), Q(qk_rope_head_dim, NUMBER), Q(v_head_dim, NUMBER),
	Q(n_sliding_layers, NUMBER), Q(n_attention_layers, NUMBER), Q(n_ffn_layers, NUMBER),
	Q(n_ssm_layers, NUMBER), Q(ssm_params, NUMBER), Q(ssm_state, NUMBER),
	Q(gpu_mem_gb, NUMBER), Q(gpu_bw_gbs, NUMBER), Q(gpu_bf16_tflops, NUMBER), Q(gpu_fp8_tflops, NUMBER),
	Q(gpu_tdp_w, NUMBER), Q(gpu_idle_w, NUMBER), Q(gpu_link_gbs, NUMBER), Q(gpu_byte_cost, NUMBER),
	Q(n_gpu, NUMBER), Q(tp, NUMBER), Q(pp, NUMBER), Q(dp, NUMBER), Q(ep, NUMBER),
	Q(batch, NUMBER), Q(max_num_seqs, NUMBER), Q(in_tokens, NUMBER), Q(out_tokens, NUMBER),
	Q(is_vllm_new, FLAG), Q(is_eager, FLAG), Q(is_multimodal_task, FLAG),
	Q(gpu, TEXT), Q(task, TEXT), Q(model, TEXT), Q(model_group, TEXT), Q(source, TEXT), Q(engine, TEXT),
	{ NULL, sizeof(struct jt_question), 0, 0 }
};
static const struct field prediction_fields[] = {
	P(log_j, NUMBER), P(j_per_token, NUMBER), P(lo_j, NUMBER), P(hi_j, NUMBER), P(parts, NUMBER),
	P(half_width, NUMBER), P(factor, NUMBER), P(distance, NUMBER), P(nearest, COUNT), P(group, COUNT),
	P(range_feature, COUNT), P(factor_rows, COUNT), P(outside, COUNT),
	{ NULL, sizeof(struct jt_prediction), 0, 0 }
};
/* clang-format on */

extern unsigned char __heap_base;
static uintptr_t heap_end;
static const struct jt_fitted *model;
static struct jt_error error;
static char text[512];

EXPORT("question_fields") const struct field *export_question_fields(void);
EXPORT("prediction_fields") const struct field *export_prediction_fields(void);
EXPORT("weights_name") const char *export_weights_name(uint32_t w);
EXPORT("alloc") void *export_alloc(uint32_t n);
EXPORT("load") int export_load(const void *bytes, uint32_t n);
EXPORT("predict")
int export_predict(const struct jt_question *q, uint32_t n, struct jt_prediction *out);
EXPORT("error") const char *export_error(void);
EXPORT("reason")
const char *export_reason(const struct jt_question *q, const struct jt_prediction *p);
EXPORT("label") const char *export_label(int32_t i);
EXPORT("part_kind") int32_t export_part_kind(uint32_t i);
EXPORT("coverage") double export_coverage(void);

const struct field *export_question_fields(void)
{
	return question_fields;
}

const struct field *export_prediction_fields(void)
{
	return prediction_fields;
}

const char *export_weights_name(uint32_t w)
{
	return jt__weights_name(w);
}

/* NULL: there is no more memory. What is given out is never taken back. */
void *export_alloc(uint32_t n)
{
	uintptr_t at = ((heap_end ? heap_end : (uintptr_t)&__heap_base) + 15) & ~(uintptr_t)15;
	uintptr_t room = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;

	if (n > UINT32_MAX - PAGE - at)
		return NULL;
	if (at + n > room &&
	    __builtin_wasm_memory_grow(0, (at + n - room + PAGE - 1) / PAGE) == (size_t)-1)
		return NULL;
	heap_end = at + n;
	return (void *)at;
}

/* The bytes must stay. 0, or error() says why not. */
int export_load(const void *bytes, uint32_t n)
{
	return jt__fitted_open(bytes, n, jt__feature_names, &model, &error);
}

/* Of @n questions; stops at the first that cannot be answered and returns how many were: error()
 * says why. */
int export_predict(const struct jt_question *q, uint32_t n, struct jt_prediction *out)
{
	uint32_t i = 0;

	while (i < n && model && jt__fitted_answer(model, &q[i], &out[i], &error) == JT_OK)
		i++;
	if (!model)
		jt__fail(&error, JT_EINVAL, "predict", "no model has been loaded");
	return (int)i;
}

const char *export_error(void)
{
	return error.message;
}

const char *export_reason(const struct jt_question *q, const struct jt_prediction *p)
{
	jt__fitted_reason(model, q, p, text, sizeof(text));
	return text;
}

const char *export_label(int32_t i)
{
	return jt__fitted_label(model, i);
}

/* enum jt_part_kind; -1: there is no such part. */
int32_t export_part_kind(uint32_t i)
{
	return model && i < model->n_parts ? (int32_t)model->parts[i].kind : -1;
}

double export_coverage(void)
{
	return model ? model->coverage : 0;
}
