/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "predictor/ask.h"
#include "predictor/question.h"

/* clang-format off */
enum kind { NUMBER, TEXT, TRUTH, FAMILY, WEIGHTS };

static const struct {
	const char *column;
	enum kind kind;
	size_t at, size;
} columns[] = {
#define NUMBER(column, field) { column, NUMBER, offsetof(struct jt_question, field), 0 }
#define TEXT(column, field) \
	{ column, TEXT, offsetof(struct jt_question, field), sizeof(((struct jt_question *)0)->field) }
	NUMBER("n_layers", n_layers), NUMBER("hidden_size", hidden_size),
	NUMBER("intermediate_size", intermediate_size), NUMBER("n_heads", n_heads),
	NUMBER("n_kv_heads", n_kv_heads), NUMBER("head_dim", head_dim), NUMBER("vocab_size", vocab_size),
	NUMBER("n_experts", n_experts), NUMBER("experts_per_tok", experts_per_tok),
	NUMBER("moe_intermediate_size", moe_intermediate_size), NUMBER("n_shared_experts", n_shared_experts),
	NUMBER("first_k_dense", first_k_dense), NUMBER("kv_lora_rank", kv_lora_rank),
	NUMBER("sliding_window", sliding_window), NUMBER("ffn_mats", ffn_mats),
	NUMBER("params_total_b", params_total_b), NUMBER("params_active_b", params_active_b),
	NUMBER("kv_elems_per_token", kv_elems_per_token),
	NUMBER("gpu_mem_gb", gpu_mem_gb), NUMBER("gpu_bw_gbs", gpu_bw_gbs),
	NUMBER("gpu_bf16_tflops", gpu_bf16_tflops), NUMBER("gpu_fp8_tflops", gpu_fp8_tflops),
	NUMBER("gpu_tdp_w", gpu_tdp_w), NUMBER("gpu_idle_w", gpu_idle_w),
	NUMBER("gpu_link_gbs", gpu_link_gbs), NUMBER("gpu_byte_cost", gpu_byte_cost),
	NUMBER("n_gpu", n_gpu), NUMBER("tp", tp), NUMBER("pp", pp), NUMBER("dp", dp), NUMBER("ep", ep),
	NUMBER("batch_avg", batch), NUMBER("max_num_seqs", max_num_seqs),
	NUMBER("in_tokens_mean", in_tokens), NUMBER("out_tokens_mean", out_tokens),
	{ "tie_embeddings", TRUTH, offsetof(struct jt_question, tie_embeddings), 0 },
	{ "arch_family", FAMILY, 0, 0 },
	{ "dtype", WEIGHTS, 0, 0 },
	{ "quant_method", WEIGHTS, 0, 0 },
	TEXT("gpu", gpu), TEXT("model", model), TEXT("model_group", model_group),
	TEXT("source", source), TEXT("task", task), TEXT("engine", engine),
#undef NUMBER
#undef TEXT
};
/* clang-format on */

_Static_assert(JT_ARRAY_LEN(columns) <= JT_QUESTION_COLUMNS, "too many columns");

void jt__question_columns(const struct jt_sheet *s, struct jt_question_columns *ret)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(columns); i++)
		ret->at[i] = jt__sheet_column(s, columns[i].column);
}

void jt__question_blank(struct jt_question *ret)
{
	*ret = (struct jt_question){ .q_lora_rank = NAN, .is_vllm_new = true };
	for (size_t i = 0; i < JT_ARRAY_LEN(columns); i++) {
		double unknown = NAN;

		if (columns[i].kind == NUMBER || columns[i].kind == TRUTH)
			memcpy((char *)ret + columns[i].at, &unknown, sizeof(unknown));
	}
	ret->n_gpu = ret->tp = ret->pp = ret->dp = ret->ep = 1;
}

/* The quantisation, of which awq and gptq alone say more than the dtype; others are passed over. */
static int read_weights(const struct jt_sheet *s, int column, const char *name,
                        struct jt_question *q)
{
	const char *text = jt__sheet_text(s, column);

	if (!*text)
		return JT_OK;
	if (strcmp(name, "quant_method") == 0) {
		if (strncmp(text, "awq", 3) == 0)
			q->weights = JT_W_AWQ;
		if (strncmp(text, "gptq", 4) == 0)
			q->weights = JT_W_GPTQ;
		return JT_OK;
	}
	if (jt__weights_parse(text, &q->weights))
		return jt__sheet_fail(s,
		                      "'dtype' must be bfloat16, float16, float32, fp8, mxfp4, "
		                      "int8, nf4, awq or gptq, not '%.40s'",
		                      text);
	return JT_OK;
}

static int read_truth(const struct jt_sheet *s, int column, const char *name, double *ret)
{
	const char *text = jt__sheet_text(s, column);

	if (strcmp(text, "True") == 0 || strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
		*ret = 1;
	else if (strcmp(text, "False") == 0 || strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
		*ret = 0;
	else if (*text)
		return jt__sheet_fail(s, "'%s' must be True or False, not '%.40s'", name, text);
	return JT_OK;
}

static int read_family(const struct jt_sheet *s, int column, struct jt_question *q)
{
	const char *text = jt__sheet_text(s, column);

	q->is_hybrid = strcmp(text, "hybrid") == 0;
	if (!q->is_hybrid && *text && strcmp(text, "dense") != 0 && strcmp(text, "moe") != 0)
		return jt__sheet_fail(s, "'arch_family' must be dense, moe or hybrid, not '%.40s'",
		                      text);
	return JT_OK;
}

void jt__question_know_gpu(struct jt_question *q)
{
	const struct jt_gpu *g = jt__gpu_find(q->gpu);
	struct jt_question of;

	if (!g)
		return;
	jt__ask_gpu_row(g, &of);
#define FILL(field) q->field = isnan(q->field) ? of.field : q->field
	FILL(gpu_mem_gb);
	FILL(gpu_bw_gbs);
	FILL(gpu_bf16_tflops);
	FILL(gpu_fp8_tflops);
	FILL(gpu_tdp_w);
	FILL(gpu_idle_w);
	FILL(gpu_link_gbs);
	FILL(gpu_byte_cost);
#undef FILL
}

/* vLLM wrote a new engine between 0.6 and 0.9; a name without a version is a new one. */
static void know_engine(struct jt_question *q)
{
	q->is_eager = strstr(q->engine, "transformers") != NULL;
	q->is_vllm_new = !q->is_eager && strncmp(q->engine, "vllm-0.", 7) != 0;
	if (strncmp(q->engine, "vllm-0.", 7) == 0)
		q->is_vllm_new = q->engine[7] >= '9' ||
		                 (q->engine[7] > '0' && q->engine[8] >= '0' && q->engine[8] <= '9');
}

static void know_task(struct jt_question *q)
{
	static const char *const kinds[] = { "image", "video", "visual", "audio" };

	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++)
		q->is_multimodal_task |= strstr(q->task, kinds[i]) != NULL;
}

static int read_text(const struct jt_sheet *s, int column, size_t i, struct jt_question *q)
{
	const char *text = jt__sheet_text(s, column);

	if (!jt__copy_text((char *)q + columns[i].at, columns[i].size, text, strlen(text)))
		return jt__sheet_fail(s, "'%s' is longer than %zu bytes", columns[i].column,
		                      columns[i].size - 1);
	return JT_OK;
}

static int read_number(const struct jt_sheet *s, int column, size_t i, struct jt_question *q)
{
	double v;
	int status = jt__sheet_number(s, column, &v);

	if (!status && !isnan(v))
		memcpy((char *)q + columns[i].at, &v, sizeof(v));
	return status;
}

static int read_column(const struct jt_sheet *s, int column, size_t i, struct jt_question *q)
{
	switch (columns[i].kind) {
	case NUMBER:
		return read_number(s, column, i, q);
	case TRUTH:
		return read_truth(s, column, columns[i].column, &q->tie_embeddings);
	case FAMILY:
		return read_family(s, column, q);
	case WEIGHTS:
		return read_weights(s, column, columns[i].column, q);
	case TEXT:
		break;
	}
	return read_text(s, column, i, q);
}

/* "…-30b" is called so for its 30e9 parameters: better than nothing where a table says no more. */
static void read_name(struct jt_question *q)
{
	const char *p = q->model;

	while ((p = strpbrk(p, "0123456789"))) {
		char *end;
		double v = strtod(p, &end);
		bool is_word = p > q->model && (p[-1] == '-' || p[-1] == '_');

		if (is_word && (*end == 'b' || *end == 'B') && (!end[1] || end[1] == '-')) {
			q->params_total_b = v;
			return;
		}
		p += strspn(p, "0123456789.");
	}
}

int jt__question_read(const struct jt_sheet *s, const struct jt_question_columns *c,
                      struct jt_question *ret)
{
	struct jt_question q;

	jt__question_blank(&q);
	for (size_t i = 0; i < JT_ARRAY_LEN(columns); i++) {
		int status = read_column(s, c->at[i], i, &q);

		if (status)
			return status;
	}
	jt__question_know_gpu(&q);
	know_engine(&q);
	know_task(&q);
	if (isnan(q.params_total_b) && isnan(q.n_layers))
		read_name(&q);
	*ret = q;
	return JT_OK;
}
