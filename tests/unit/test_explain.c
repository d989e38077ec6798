/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/buf.h"
#include "predictor/ask.h"
#include "predictor/explain.h"
#include "predictor/question.h"

static struct jt_error err;

/* ---- asking ---- */

static const char llama[] =
	"{\"_name_or_path\": \"meta-llama/Llama-3.1-8B\", \"num_hidden_layers\": 32,"
	" \"hidden_size\": 4096, \"intermediate_size\": 14336, \"num_attention_heads\": 32,"
	" \"num_key_value_heads\": 8, \"vocab_size\": 128256, \"tie_word_embeddings\": false%s}";

static int ask(const char *more, struct jt_question *q)
{
	char json[1024];

	snprintf(json, sizeof(json), llama, more);
	jt__question_blank(q);
	q->weights = JT_N_WEIGHTS;
	return jt__ask_config(json, strlen(json), "config.json", q, &err);
}

static struct jt_question llama_on_h100(void)
{
	struct jt_question q;

	check(ask("", &q) == JT_OK);
	check(jt__ask_gpu("H100", &q, &err) == JT_OK);
	q.in_tokens = q.out_tokens = 500;
	q.batch = q.max_num_seqs = 32;
	return q;
}

static void a_config_becomes_dimensions(void)
{
	struct jt_question q;

	check(ask("", &q) == JT_OK);
	check(q.n_layers == 32 && q.hidden_size == 4096 && q.n_kv_heads == 8 && q.ffn_mats == 3);
	check(q.weights == JT_W_BF16 && q.tie_embeddings == 0 && isnan(q.n_experts));
	check_text(q.model, "meta-llama/Llama-3.1-8B");
	check_text(q.model_group, "llama-3.1-8b");
	check_near(jt__size(&q.arch).params, 8.03e9, 0.01e9);
}

static void the_kind_of_weights_is_that_of_the_file(void)
{
	static const struct {
		const char *more;
		enum jt_weights weights;
	} cases[] = {
		{ ", \"torch_dtype\": \"float16\"", JT_W_FP16 },
		{ ", \"dtype\": \"bfloat16\"", JT_W_BF16 },
		{ ", \"quantization_config\": {\"quant_method\": \"fp8\"}", JT_W_FP8 },
		{ ", \"quantization_config\": {\"quant_method\": \"mxfp4\"}", JT_W_MXFP4 },
		{ ", \"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4}", JT_W_AWQ },
		{ ", \"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4}",
		  JT_W_GPTQ },
		{ ", \"quantization_config\": {\"quant_method\": \"bitsandbytes\"}", JT_W_NF4 },
	};
	struct jt_question q;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(ask(cases[i].more, &q) == JT_OK);
		check(q.weights == cases[i].weights);
	}
	check(ask(", \"quantization_config\": {\"quant_method\": \"new\"}", &q) == JT_EINVAL);
	check(strstr(err.message, "--dtype") != NULL);
}

static void weights_that_are_given_are_not_looked_for(void)
{
	static const char more[] = ", \"quantization_config\": {\"quant_method\": \"new\"}}";
	struct jt_question q;
	char json[1024];

	jt__question_blank(&q);
	q.weights = JT_W_FP8;
	snprintf(json, sizeof(json), llama, more);
	json[strlen(json) - 1] = '\0';
	check(jt__ask_config(json, strlen(json), "config.json", &q, &err) == JT_OK);
	check(q.weights == JT_W_FP8);
}

static void latent_attention_and_windows_are_read(void)
{
	struct jt_question q;

	check(ask(", \"kv_lora_rank\": 512", &q) == JT_OK && q.kv_lora_rank == 512);
	check(ask(", \"sliding_window\": 1024", &q) == JT_OK && q.sliding_window == 1024);
	check(ask(", \"sliding_window\": 1024, \"use_sliding_window\": false", &q) == JT_OK &&
	      isnan(q.sliding_window));
	check(ask(", \"kv_lora_rank\": \"x\"", &q) == JT_EINVAL);
	check(strstr(err.message, "kv_lora_rank") != NULL);
}

static void a_field_that_is_missing_is_named(void)
{
	static const char *const wrong[] = { "", "[]", "{", "{\"num_hidden_layers\": 2}" };
	struct jt_question q, before;

	jt__question_blank(&q);
	before = q;
	for (size_t i = 0; i < JT_ARRAY_LEN(wrong); i++)
		check(jt__ask_config(wrong[i], strlen(wrong[i]), "c.json", &q, &err) == JT_EINVAL);
	check(strstr(err.message, "hidden_size") != NULL);
	check_text(err.where, "c.json");
	check(memcmp(&q, &before, sizeof(q)) == 0);
}

static void a_gpu_is_found_by_how_its_name_begins(void)
{
	struct jt_question q;

	check(jt__ask_gpu("h100", &q, &err) == JT_OK);
	check_text(q.gpu, "H100-SXM5-80GB");
	check(q.gpu_fp8_tflops == 2 * 989 && q.gpu_tdp_w == 700);
	check(jt__ask_gpu("NVIDIA A100 80GB PCIe", &q, &err) == JT_OK);
	check_text(q.gpu, "A100-PCIe-80GB");
	check(isnan(q.gpu_fp8_tflops));
}

static void parts_of_a_gpus_name_are_enough(void)
{
	static const struct {
		const char *given, *name;
	} cases[] = {
		{ "A100 80GB", "A100-SXM4-80GB" }, { "a100_pcie", "A100-PCIe-80GB" },
		{ "H100 SXM", "H100-SXM5-80GB" },  { "NVIDIA H100", "H100-SXM5-80GB" },
		{ "rtx4090", "RTX-4090-24GB" },    { "4090", "RTX-4090-24GB" },
		{ "A6000", "RTX-A6000-48GB" },     { "L40 48GB", "L40-48GB" },
		{ "Tesla T4", "T4-16GB" },         { "RTX PRO 6000", "RTX-PRO-6000-96GB" },
		{ "v100-32gb", "V100-SXM2-32GB" },
	};
	static const char *const none[] = {
		"RTX", "RTX 6000", "6000", "80GB", "-", "L4S", "nvidia"
	};
	struct jt_question q;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(jt__ask_gpu(cases[i].given, &q, &err) == JT_OK);
		check_text(q.gpu, cases[i].name);
	}
	for (size_t i = 0; i < JT_ARRAY_LEN(none); i++)
		if (!check(jt__ask_gpu(none[i], &q, &err) == JT_ENOENT))
			printf("# %s: %s\n", none[i], q.gpu);
}

static void an_unknown_gpu_offers_the_nearest(void)
{
	struct jt_question q;

	check(jt__ask_gpu("H1", &q, &err) == JT_ENOENT);
	check(jt__ask_gpu("H1OO", &q, &err) == JT_ENOENT);
	check(strstr(err.message, "H100-SXM5-80GB") != NULL);
	check(jt__ask_gpu("L40-48X", &q, &err) == JT_ENOENT);
	check(strstr(err.message, "nearest are 'L40-48GB'") != NULL);
	check(jt__ask_gpu("", &q, &err) == JT_ENOENT);
}

static void names_of_one_backbone_become_one(void)
{
	static const char *const same[] = { "Qwen/Qwen3-14B", "qwen3-14b",
		                            "Qwen/Qwen3-14B-Instruct-2507-FP8", "x/Qwen3-14B-AWQ" };
	char group[96];

	for (size_t i = 0; i < JT_ARRAY_LEN(same); i++) {
		jt__ask_group(same[i], group, sizeof(group));
		check_text(group, "qwen3-14b");
	}
	jt__ask_group("meta-llama/Meta-Llama-3.1-8B-Instruct", group, sizeof(group));
	check_text(group, "llama-3.1-8b");
	jt__ask_group("llama3.1:8b-instruct_FP16", group, sizeof(group));
	check_text(group, "llama3.1-8b");
	jt__ask_group("Mistral-Large-Instruct-2407", group, sizeof(group));
	check_text(group, "mistral-large");
	jt__ask_group("nvidia/NVIDIA-Nemotron-Nano-9B-v2", group, sizeof(group));
	check_text(group, "nemotron-nano-9b-v2");
	jt__ask_group("meta-", group, sizeof(group));
	check_text(group, "meta-");
	jt__ask_group("-fp8", group, sizeof(group));
	check_text(group, "-fp8");
}

/* ---- explaining ---- */

/* A model of four terms. */
static struct jt_fitted *four_terms(void)
{
	static const char json[] =
		"{\"format\": \"jouletap-predictor\", \"version\": 1,"
		" \"target\": \"log_j_per_output_token\","
		" \"features\": [\"e_weights\", \"e_compute\", \"e_prefill\", \"e_sequence\"],"
		" \"scale\": {\"mean\": [0, 0, 0, 0], \"deviation\": [1, 1, 1, 1]},"
		" \"parts\": [{\"kind\": \"sum\", \"weight\": 1, \"features\": [0, 1, 2, 3],"
		"  \"coefficients\": [1, 2, 1, 3]}],"
		" \"ranges\": {\"min\": [null, null, null, null], \"max\": [null, null, null, "
		"null]},"
		" \"known\": {\"gpus\": [\"H100-SXM5-80GB\"], \"model_groups\": [], \"weights\": "
		"[\"bf16\"]},"
		" \"intervals\": {\"coverage\": 0.9, \"half_width\": 0.5, \"groups\": []},"
		" \"factors\": [],"
		" \"provenance\": {\"data_sha256\": \"00\", \"rows\": 1, \"date\": \"2026-01-31\","
		"  \"note\": \"\", \"scores\": {}}}";
	struct jt_fitted *f = NULL;

	if (jt__fitted_parse(json, strlen(json), "m.json", jt__feature_names, &f, &err) < 0) {
		printf("Bail out! %s: %s\n", err.where, err.message);
		exit(1);
	}
	return f;
}

static void shares_are_those_of_the_terms(void)
{
	struct jt_fitted *f = four_terms();
	double features[JT_MAX_FEATURES] = { 0 };
	struct jt_energy_shares s;

	for (uint32_t i = 0; i < 4; i++)
		features[f->index[i]] = 1;
	check(jt__energy_shares(f, features, &s) == JT_OK);
	check_near(s.prefill, 1.0 / 7, 1e-12);
	check_near(s.decode, 6.0 / 7, 1e-12);
	check_near(s.memory, 1.0 / 7, 1e-12);
	check_near(s.compute, 3.0 / 7, 1e-12);
	check_near(s.waiting, 3.0 / 7, 1e-12);
	memset(features, 0, sizeof(features));
	check(jt__energy_shares(f, features, &s) == JT_ENOTSUP);
	jt__fitted_free(f);
}

static void no_gpu_draws_more_than_its_tdp(void)
{
	struct jt_question q = llama_on_h100();
	double features[JT_MAX_FEATURES], step_s;
	struct jt_prediction p = { .j_per_token = 1 };

	jt__features(&q, features);
	step_s = jt__step_seconds(&q, features, &p);
	check_near(p.j_per_token * q.batch / step_s, 700, 1e-9);
	p.j_per_token = 0;
	step_s = jt__step_seconds(&q, features, &p);
	check(step_s > 16e9 / 3350e9 &&
	      step_s < 0.1); /* reading the weights; a tenth of a second */
}

static void no_gpu_reads_or_computes_faster_than_its_data_sheet_says(void)
{
	struct jt_question q = llama_on_h100();
	struct jt_prediction nothing = { 0 };
	double features[JT_MAX_FEATURES], step_s;

	check(jt__ask_gpu("L4", &q, &err) == JT_OK); /* 300 GB/s, 121 TFLOP/s */
	q.batch = q.max_num_seqs = 1;
	jt__features(&q, features);
	step_s = jt__step_seconds(&q, features, &nothing);
	check(step_s > 15e9 / 300e9 && step_s < 1.2 * 15e9 / 300e9);
	q.in_tokens = 4000; /* 4.2e15 FLOPs of 64 requests, each 100 steps */
	q.out_tokens = 100;
	q.batch = q.max_num_seqs = 64;
	jt__features(&q, features);
	check(jt__step_seconds(&q, features, &nothing) > 4.2e15 / 121e12 / 100);
}

static bool find_variation(const struct jt_question *q, const char *wanted, struct jt_question *ret)
{
	char what[64];

	for (uint32_t i = 0; jt__what_if(q, &i, ret, what, sizeof(what));)
		if (strcmp(what, wanted) == 0)
			return true;
	return false;
}

static void a_variation_differs_in_what_it_says(void)
{
	struct jt_question q = llama_on_h100(), v;

	check(find_variation(&q, "half the layers", &v) && v.n_layers == 16 &&
	      v.hidden_size == 4096);
	check(find_variation(&q, "half the width", &v));
	check(v.hidden_size == 2048 && v.n_heads == 16 && v.n_kv_heads == 4 && v.head_dim == 128);
	check(find_variation(&q, "twice the batch", &v) && v.batch == 64 && v.max_num_seqs == 64);
	check(find_variation(&q, "twice the GPUs", &v) && v.n_gpu == 2 && v.tp == 2);
	check(find_variation(&q, "fp8", &v) && v.weights == JT_W_FP8 && v.n_layers == 32);
	check(find_variation(&q, "B200-SXM-180GB", &v) && v.gpu_tdp_w == 1000);
	check(!find_variation(&q, "bf16", &v) && !find_variation(&q, "H100-SXM5-80GB", &v));
}

static void what_does_not_fit_is_no_variation(void)
{
	struct jt_question q = llama_on_h100(), v;

	q.n_layers = 320; /* some 140 GB */
	check(jt__memory_share(&q) > 1.7);
	check(!find_variation(&q, "A100-SXM4-80GB", &v));
	check(find_variation(&q, "B200-SXM-180GB", &v));
}

static void published_counts_follow_the_dimensions(void)
{
	struct jt_question q = llama_on_h100(), v;

	q.params_total_b = q.params_active_b = 9;
	check(find_variation(&q, "half the layers", &v));
	check_near(v.params_total_b, 9 * (8.03 - 3.49) / 8.03, 0.01);
	q.n_layers = NAN; /* nothing to halve, but the rest can be told */
	check(!find_variation(&q, "half the layers", &v));
	check(find_variation(&q, "twice the batch", &v));
}

/* ---- the time model, against what it was fitted to ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void half_of_the_measured_steps_are_told_within_a_fifth(void)
{
	static double errors[2000];
	struct jt_question_columns columns;
	struct jt_buf text;
	struct jt_sheet s;
	size_t n = 0;
	char *p;
	FILE *f = fopen(JT_SOURCE_ROOT "/data/predictor/energy_tidy.csv", "re");

	check(f != NULL);
	jt__buf_init(&text, 1 << 22);
	for (size_t got = 1; f && got && (p = jt__buf_reserve(&text, 65536));) {
		got = fread(p, 1, 65536, f);
		jt__buf_commit(&text, got);
	}
	if (f)
		fclose(f);
	check(!jt__sheet_init(&s, "table", jt__buf_bytes(&text), jt__buf_len(&text), &err));
	jt__question_columns(&s, &columns);
	while (jt__sheet_next(&s) > 0 && n < JT_ARRAY_LEN(errors)) {
		double features[JT_MAX_FEATURES], throughput, step_s;
		struct jt_prediction nothing = { 0 };
		struct jt_question q;

		if (jt__question_read(&s, &columns, &q) || jt__question_check(&q, &err) ||
		    jt__sheet_number(&s, jt__sheet_column(&s, "throughput_tok_s"), &throughput) ||
		    isnan(throughput))
			continue;
		jt__features(&q, features);
		step_s = (isnan(q.batch) ? q.max_num_seqs : q.batch) / throughput;
		errors[n++] = fabs(jt__step_seconds(&q, features, &nothing) / step_s - 1);
	}
	check(n > 1000);
	qsort(errors, n, sizeof(*errors), by_size);
	check(errors[n / 2] < 0.2);
	jt__sheet_fini(&s);
	jt__buf_fini(&text);
}

int main(void)
{
	test(a_config_becomes_dimensions);
	test(the_kind_of_weights_is_that_of_the_file);
	test(weights_that_are_given_are_not_looked_for);
	test(latent_attention_and_windows_are_read);
	test(a_field_that_is_missing_is_named);
	test(a_gpu_is_found_by_how_its_name_begins);
	test(parts_of_a_gpus_name_are_enough);
	test(an_unknown_gpu_offers_the_nearest);
	test(names_of_one_backbone_become_one);
	test(shares_are_those_of_the_terms);
	test(no_gpu_draws_more_than_its_tdp);
	test(no_gpu_reads_or_computes_faster_than_its_data_sheet_says);
	test(a_variation_differs_in_what_it_says);
	test(what_does_not_fit_is_no_variation);
	test(published_counts_follow_the_dimensions);
	test(half_of_the_measured_steps_are_told_within_a_fifth);
	return tap_done();
}
