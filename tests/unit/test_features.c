/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/rng.h"
#include "predictor/question.h"

/* ---- helpers ---- */

static double of(const struct jt_question *q, const char *name)
{
	double features[JT_MAX_FEATURES];

	jt__features(q, features);
	for (uint32_t i = 0; i < jt__n_features(); i++)
		if (strcmp(jt__feature_names[i], name) == 0)
			return features[i];
	printf("# no feature '%s'\n", name);
	return NAN;
}

/* Data sheet of the H100 SXM5; a batch of 32, 500 tokens in and 500 out, new vLLM. */
static struct jt_question on_h100(void)
{
	struct jt_question q;

	jt__question_blank(&q);
	q.gpu_mem_gb = 80;
	q.gpu_bw_gbs = 3350;
	q.gpu_bf16_tflops = 989;
	q.gpu_fp8_tflops = 1978;
	q.gpu_tdp_w = 700;
	q.batch = q.max_num_seqs = 32;
	q.in_tokens = q.out_tokens = 500;
	return q;
}

static struct jt_question llama_8b(void)
{
	struct jt_question q = on_h100();

	q.n_layers = 32;
	q.hidden_size = 4096;
	q.intermediate_size = 14336;
	q.n_heads = 32;
	q.n_kv_heads = 8;
	q.head_dim = 128;
	q.vocab_size = 128256;
	q.tie_embeddings = 0;
	return q;
}

static struct jt_question mixtral(void)
{
	struct jt_question q = llama_8b();

	q.vocab_size = 32000;
	q.n_experts = 8;
	q.experts_per_tok = 2;
	q.moe_intermediate_size = 14336;
	return q;
}

static struct jt_question deepseek_v3(void)
{
	struct jt_question q = on_h100();

	q.n_layers = 61;
	q.hidden_size = 7168;
	q.intermediate_size = 18432;
	q.n_heads = q.n_kv_heads = 128;
	q.vocab_size = 129280;
	q.tie_embeddings = 0;
	q.n_experts = 256;
	q.experts_per_tok = 8;
	q.moe_intermediate_size = 2048;
	q.n_shared_experts = 1;
	q.first_k_dense = 3;
	q.kv_lora_rank = 512;
	q.weights = JT_W_FP8;
	q.n_gpu = q.ep = 16;
	return q;
}

/* ---- features ---- */

static void times_of_llama_are_those_of_the_data_sheet(void)
{
	struct jt_question q = llama_8b();
	double t_weights = 2 * 7504658432.0 / 3350e9, t_kv = 32 * 750 * 131072.0 / 3350e9;
	double t_compute = 2 * 7504658432.0 * 32 / 989e12;
	double t_prefill = 500 * (2 * 7504658432.0 + 2 * 32 * 4096 * 500.0) / 989e12;

	check_near(of(&q, "weight_bytes"), log(2 * 8029995008.0), 1e-12);
	check_near(of(&q, "e_weights"), 1e-10 * 2 * 7504658432.0 / 32, 1e-9);
	check_near(of(&q, "e_kv"), 1e-10 * 750 * 131072.0, 1e-9);
	check_near(of(&q, "e_compute"), 700 * t_compute / 32, 1e-9);
	check_near(of(&q, "e_prefill"), 700 * t_prefill / 500, 1e-9);
	check_near(of(&q, "e_layer"), 0.17 * 700 * 32 * 1e-5 / 32, 1e-12);
	check_near(of(&q, "e_request"), 0.17 * 700 * 1e-2 / 500, 1e-12);
	check_near(of(&q, "memory_to_compute"), log((t_weights + t_kv) / t_compute), 1e-12);
	check_near(of(&q, "context"), log(750), 1e-12);
	check_near(of(&q, "memory_free"), log(1 - 2 * 8.029995008 / 80), 1e-12);
	check(of(&q, "in_tokens_known") == 1 && of(&q, "batch_fill") == 0);
	check(of(&q, "e_messages") == 0 && of(&q, "e_weights_eager") == 0);
}

static void flags_say_what_kind_of_model_it_is(void)
{
	struct jt_question q = deepseek_v3();

	check(of(&q, "latent") == 1 && of(&q, "mixture") == 1 && of(&q, "fp8") == 1);
	check(of(&q, "hybrid") == 0 && of(&q, "sliding") == 0);
	q = llama_8b();
	check(of(&q, "latent") == 0 && of(&q, "mixture") == 0 && of(&q, "fp8") == 0);
}

static void several_gpus_share_a_step_and_draw_together(void)
{
	struct jt_question one = llama_8b(), four = llama_8b();

	four.n_gpu = four.tp = 4;
	check_near(of(&four, "e_weights"), of(&one, "e_weights"), 1e-12);
	check_near(of(&four, "e_layer"), 4 * of(&one, "e_layer"), 1e-12);
	four.gpu_link_gbs = 450;
	check_near(of(&four, "e_messages"), 0.17 * 2800 * 32 * 2 * 4096 * 2 / 450e9, 1e-12);
	four.gpu_link_gbs = NAN; /* PCIe 4.0 x16 */
	check_near(of(&four, "e_messages"), 0.17 * 2800 * 32 * 2 * 4096 * 2 / 32e9, 1e-12);
}

static void eight_bit_products_need_weights_and_gpu(void)
{
	struct jt_question q = llama_8b();
	double bf16 = of(&q, "e_compute");

	q.weights = JT_W_FP8;
	check_near(of(&q, "e_compute"), bf16 / 2, 1e-9);
	check_near(of(&q, "e_compute_fp8"), bf16 / 2, 1e-9);
	q.gpu_fp8_tflops = NAN;
	check_near(of(&q, "e_compute"), bf16, 1e-9);
	q.weights = JT_W_AWQ;
	check_near(of(&q, "e_weights"), 1e-10 * 7504658432.0 * 4.25 / 8 / 32, 1e-9);
}

/* A byte costs the same on every GPU, waiting what this one draws idle, a FLOP its power and peak.
 */
static void joules_know_the_gpu_where_it_matters(void)
{
	struct jt_question q = llama_8b();
	double weights = of(&q, "e_weights"), compute = of(&q, "e_compute");

	q.gpu_bw_gbs = 1555;
	q.gpu_bf16_tflops = 312;
	q.gpu_tdp_w = 400;
	q.gpu_idle_w = 56;
	check_near(of(&q, "e_weights"), weights, 1e-15);
	check_near(of(&q, "e_compute"), compute * (400.0 / 312) / (700.0 / 989), 1e-12);
	check_near(of(&q, "e_layer"), 56 * 32 * 1e-5 / 32, 1e-12);
	q.gpu_byte_cost = 1.5; /* GDDR6 */
	check_near(of(&q, "e_weights"), 1.5 * weights, 1e-12);
	check_near(of(&q, "e_kv"), 1.5e-10 * 750 * 131072.0, 1e-12);
}

static void weights_of_eight_bits_are_only_stored_so_where_there_are_no_such_products(void)
{
	struct jt_question q = llama_8b();

	q.weights = JT_W_FP8;
	check(of(&q, "fp8") == 1 && of(&q, "e_weights_fp8") > 0);
	q.gpu_fp8_tflops = NAN;
	check(of(&q, "fp8") == 0 && of(&q, "e_weights_fp8") == 0 && of(&q, "e_compute_fp8") == 0);
}

static void copies_of_a_dense_model_wait_for_nobody(void)
{
	struct jt_question one = llama_8b(), two = llama_8b(), experts = deepseek_v3();

	one.batch = 16;
	two.n_gpu = two.dp = 2; /* of 16 each */
	check_near(of(&two, "e_weights"), of(&one, "e_weights"), 1e-12);
	check_near(of(&two, "e_layer"), of(&one, "e_layer"), 1e-12);
	check(of(&two, "e_replicas") == 0 && of(&two, "e_messages") == 0);
	check_near(of(&two, "memory_free"), of(&one, "memory_free"), 1e-12);
	experts.dp = 16;
	check(jt__copies(&experts) == 1 && of(&experts, "e_replicas") > 0);
	experts.ep = 1;
	check(jt__copies(&experts) == 16 && of(&experts, "e_replicas") == 0);
}

/* Every engine has terms of its own, and only one of them. */
static void engines_do_not_mix(void)
{
	struct jt_question q = llama_8b();

	check(of(&q, "e_layer") > 0 && of(&q, "e_layer_old") == 0 && of(&q, "e_layer_eager") == 0);
	q.is_vllm_new = false;
	check(of(&q, "e_layer") == 0 && of(&q, "e_layer_old") > 0 && of(&q, "e_layer_eager") == 0);
	check(of(&q, "old_vllm") == 1 && of(&q, "e_weights") > 0);
	q.is_eager = true;
	check(of(&q, "e_layer") == 0 && of(&q, "e_layer_old") == 0 && of(&q, "e_layer_eager") > 0);
	check(of(&q, "old_vllm") == 0 && of(&q, "e_weights") == 0);
}

static void unknown_input_takes_the_usual_of_the_task(void)
{
	struct jt_question q = llama_8b();

	q.in_tokens = NAN;
	strcpy(q.task, "gpqa");
	check_near(of(&q, "in_tokens"), log(250), 1e-12);
	check(of(&q, "in_tokens_known") == 0);
	strcpy(q.task, "video-chat");
	q.is_multimodal_task = true;
	check_near(of(&q, "in_tokens"), log(6000), 1e-12);
	check(of(&q, "video") == 1 && of(&q, "image") == 0);
	strcpy(q.task, "something else");
	q.is_multimodal_task = false;
	check_near(of(&q, "in_tokens"), log(500), 1e-12);
}

/* Whatever passes the check has finite features, and energies that are not negative. */
static void whatever_may_be_asked_has_finite_features(void)
{
	struct jt_rng rng = { 1 };
	unsigned n_passed = 0;

	for (int i = 0; i < 20000; i++) {
		struct jt_question q = i % 3 == 0   ? llama_8b()
		                       : i % 3 == 1 ? mixtral()
		                                    : deepseek_v3();
		double features[JT_MAX_FEATURES],
			*fields[] = { &q.n_layers,       &q.hidden_size,     &q.n_heads,
			              &q.n_experts,      &q.experts_per_tok, &q.kv_lora_rank,
			              &q.sliding_window, &q.params_total_b,  &q.params_active_b,
			              &q.gpu_mem_gb,     &q.batch,           &q.in_tokens,
			              &q.out_tokens,     &q.vocab_size };

		for (int k = 0; k < 3; k++) {
			double *at = fields[jt__rng_below(&rng, JT_ARRAY_LEN(fields))];
			uint64_t kind = jt__rng_below(&rng, 4);

			*at = kind == 0   ? NAN
			      : kind == 1 ? 0
			      : kind == 2 ? -1
			                  : exp(jt__rng_unit(&rng) * 40 - 10);
		}
		q.weights = (enum jt_weights)jt__rng_below(&rng, JT_N_WEIGHTS);
		if (jt__question_check(&q, NULL))
			continue;
		n_passed++;
		jt__features(&q, features);
		for (uint32_t k = 0; k < jt__n_features(); k++)
			if (!check(isfinite(features[k]) &&
			           (strncmp(jt__feature_names[k], "e_", 2) != 0 ||
			            features[k] >= 0)))
				printf("# %s: %g\n", jt__feature_names[k], features[k]);
	}
	check(n_passed > 1000);
}

static void complaint(const struct jt_question *q, const char *about)
{
	struct jt_error err = { .message = "" };

	check(jt__question_check(q, &err) == JT_EINVAL);
	if (!check(strstr(err.message, about) != NULL))
		printf("# said: %s\n", err.message);
}

static void says_what_is_missing_or_absurd(void)
{
	struct jt_question q = llama_8b();

	check(jt__question_check(&q, NULL) == JT_OK);
	q.gpu_tdp_w = NAN;
	complaint(&q, "'gpu_tdp_w' is not known");
	q = llama_8b();
	q.out_tokens = -3;
	complaint(&q, "'out_tokens' must be from 0.001 to 1e+09, not -3");
	q = llama_8b();
	q.batch = q.max_num_seqs = NAN;
	complaint(&q, "neither 'batch' nor 'max_num_seqs'");
	q = llama_8b();
	q.n_kv_heads = NAN;
	complaint(&q, "neither 'n_kv_heads' nor 'params_total_b'");
	q = mixtral();
	q.experts_per_tok = 9;
	complaint(&q, "'experts_per_tok' (9)");
	q = llama_8b();
	q.params_total_b = 8;
	q.params_active_b = 9;
	complaint(&q, "'params_active_b' (9)");
	q = llama_8b();
	q.n_layers = INFINITY;
	complaint(&q, "'n_layers' must be");
	q = llama_8b();
	q.weights = JT_N_WEIGHTS;
	complaint(&q, "the kind of weights");
}

static void every_feature_has_a_name_of_its_own(void)
{
	check(jt__n_features() > 60 && jt__n_features() <= JT_MAX_FEATURES);
	check(jt__feature_names[jt__n_features()] == NULL);
	for (uint32_t i = 0; i < jt__n_features(); i++)
		for (uint32_t k = 0; k < i; k++)
			check(strcmp(jt__feature_names[i], jt__feature_names[k]) != 0);
}

int main(void)
{
	test(times_of_llama_are_those_of_the_data_sheet);
	test(flags_say_what_kind_of_model_it_is);
	test(several_gpus_share_a_step_and_draw_together);
	test(eight_bit_products_need_weights_and_gpu);
	test(joules_know_the_gpu_where_it_matters);
	test(weights_of_eight_bits_are_only_stored_so_where_there_are_no_such_products);
	test(copies_of_a_dense_model_wait_for_nobody);
	test(engines_do_not_mix);
	test(unknown_input_takes_the_usual_of_the_task);
	test(whatever_may_be_asked_has_finite_features);
	test(says_what_is_missing_or_absurd);
	test(every_feature_has_a_name_of_its_own);
	return tap_done();
}
