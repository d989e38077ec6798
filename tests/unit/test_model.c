/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>
#include "tap.h"
#include "model/model.h"

#define MODELS JT_SOURCE_ROOT "/data/models/"

static struct jt_arch load(const char *file)
{
	struct jt_arch a = { 0 };
	struct jt_error err = { .message = "" };

	if (!check(jt__arch_load(file, &a, &err) == JT_OK))
		printf("# %s: %s\n", err.where, err.message);
	return a;
}

static int parse(const char *json, struct jt_arch *ret_arch, struct jt_error *err)
{
	return jt__arch_parse(json, strlen(json), ret_arch, err);
}

/* Known totals: the models' own cards and papers. */
static void counts_the_parameters_of_known_models(void)
{
	struct jt_arch llama = load(MODELS "llama-3.1-8b.json");
	struct jt_arch qwen = load(MODELS "qwen3-30b-a3b.json");
	struct jt_arch gpt2 = load(MODELS "gpt2.json");

	check_near(jt__arch_params(&llama), 8.03e9, 0.02 * 8.03e9);
	check_near(jt__arch_params(&qwen), 30.53e9, 0.02 * 30.53e9);
	check_near(jt__arch_matmul_params(&qwen, true), 3.04e9, 0.02 * 3.04e9);
	check_near(jt__arch_params(&gpt2), 124.4e6, 0.02 * 124.4e6);
}

static void reads_dimensions_and_fills_in_defaults(void)
{
	struct jt_arch llama = load(MODELS "llama-3.1-8b.json");
	struct jt_arch gpt2 = load(MODELS "gpt2.json");

	check_text(llama.name, "meta-llama/Llama-3.1-8B");
	check(llama.head_dim == 128 && llama.n_kv_heads == 8 && llama.ffn_mats == 3);
	check(!llama.tie_embeddings && llama.n_experts == 0);
	check(jt__arch_kv_bytes_per_token(&llama) == 131072);
	check(gpt2.intermediate_size == 3072 && gpt2.ffn_mats == 2 && gpt2.n_kv_heads == 12);
	check(gpt2.tie_embeddings && gpt2.weight_bytes_per_param == 2);
}

#define DENSE                                                                                      \
	"\"num_hidden_layers\":2,\"hidden_size\":64,\"intermediate_size\":128,"                    \
	"\"num_attention_heads\":4,\"vocab_size\":100"

static void finds_a_nested_text_config(void)
{
	struct jt_arch a;

	check(parse("{\"model_type\":\"gemma3\",\"torch_dtype\":\"bfloat16\",\"vision_config\":"
	            "{\"hidden_size\":1},\"text_config\":{" DENSE ",\"head_dim\":32}}",
	            &a, NULL) == JT_OK);
	check(a.hidden_size == 64 && a.head_dim == 32);
}

static void counts_shared_experts_and_dense_first_layers(void)
{
	struct jt_arch a;
	double attention = 4 * 64 * 64, head = 6400;

	check(parse("{" DENSE
	            ",\"n_routed_experts\":8,\"num_experts_per_tok\":2,\"n_shared_experts\":1,"
	            "\"moe_intermediate_size\":16,\"first_k_dense_replace\":1}",
	            &a, NULL) == JT_OK);
	check(jt__arch_matmul_params(&a, false) ==
	      2 * attention + 3 * 64 * 128 + 3 * 64 * (8 + 1) * 16 + 64 * 8 + head);
	check(jt__arch_matmul_params(&a, true) ==
	      2 * attention + 3 * 64 * 128 + 3 * 64 * (2 + 1) * 16 + 64 * 8 + head);
}

static void knows_what_quantised_weights_weigh(void)
{
	static const struct {
		const char *json;
		double bytes;
	} cases[] = {
		{ "{" DENSE ",\"torch_dtype\":\"float32\"}", 4 },
		{ "{" DENSE ",\"dtype\":\"float16\"}", 2 },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"fp8\"}}", 1 },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4}}",
		  4.25 / 8 },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"mxfp4\"}}", 4.25 / 8 },
	};
	struct jt_arch a;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(parse(cases[i].json, &a, NULL) == JT_OK);
		check(a.weight_bytes_per_param == cases[i].bytes);
	}
}

static void names_the_key_that_is_wrong(void)
{
	static const char *const cases[][2] = {
		{ "{\"hidden_size\":64}", "'num_hidden_layers' is missing" },
		{ "{\"num_hidden_layers\":\"2\"}", "'num_hidden_layers' is not a whole number" },
		{ "{\"n_layer\":0}", "'n_layer' is not a whole number of at least 1" },
		{ "{" DENSE ",\"num_key_value_heads\":3}", "'num_key_value_heads' (3)" },
		{ "{" DENSE ",\"head_dim\":1e30}", "'head_dim'" },
		{ "{" DENSE ",\"num_experts\":8}", "'num_experts_per_tok' is missing" },
		{ "{" DENSE ",\"num_experts\":8,\"num_experts_per_tok\":9}",
		  "'num_experts_per_tok' (9)" },
		{ "{" DENSE
		  ",\"num_experts\":8,\"num_experts_per_tok\":1,\"first_k_dense_replace\":3}",
		  "'first_k_dense_replace'" },
		{ "{" DENSE ",\"torch_dtype\":\"int3\"}", "'torch_dtype' \"int3\"" },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"magic\"}}",
		  "'quantization_config'" },
		{ "[1]", "not a JSON object" },
		{ "{\n\"a\":", "line 2" },
		{ "", "line 1" },
	};
	struct jt_arch a = { .n_layers = 77 };

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		struct jt_error err = { .message = "" };

		check(parse(cases[i][0], &a, &err) == JT_EINVAL);
		if (!check(strstr(err.message, cases[i][1]) != NULL))
			printf("# case %zu: %s\n", i, err.message);
		check_text(err.where, "config.json");
	}
	check(a.n_layers == 77);
	check(parse("{" DENSE ",\"kv_lora_rank\":512}", &a, NULL) == JT_ENOTSUP);
}

static void refuses_files_it_cannot_read_or_that_are_too_large(void)
{
	char path[] = "/tmp/jouletap-config-XXXXXX";
	struct jt_error err;
	struct jt_arch a;
	int fd = mkstemp(path);

	check(jt__arch_load("/nonexistent/config.json", &a, &err) == JT_ENOENT);
	check_text(err.where, "/nonexistent/config.json");
	check(ftruncate(fd, (1 << 20) + 1) == 0);
	check(jt__arch_load(path, &a, &err) == JT_ELIMIT);
	check(ftruncate(fd, 10) == 0);
	check(jt__arch_load(path, &a, &err) == JT_EINVAL);
	close(fd);
	unlink(path);
}

static void *failing_malloc(size_t n)
{
	return jt__alloc(1, n);
}

/*
 * Memory runs out at every allocation in turn, the JSON library's included. That calls some of its
 * own failures bad syntax and overlooks one (a character of a string goes missing), so that only
 * our part is checked: no crash, no leak, a status, and success once there is memory.
 */
static void survives_running_out_of_memory(void)
{
	struct jt_arch a;
	int status = JT_ENOMEM, n_failed = 0;

	json_set_alloc_funcs(failing_malloc, jt__free);
	for (uint64_t nth = 1; nth < 100; nth++) {
		jt__alloc_fail_at(nth);
		status = jt__arch_load(MODELS "llama-3.1-8b.json", &a, NULL);
		check(status == JT_OK || status == JT_ENOMEM || status == JT_EINVAL);
		n_failed += status < 0;
	}
	jt__alloc_fail_at(0);
	json_set_alloc_funcs(malloc, free);
	check(status == JT_OK && n_failed > 10 && n_failed < 90);
}

static void finds_gpus_by_our_name_and_by_the_drivers(void)
{
	static const char *const cases[][2] = {
		{ "h100-sxm5-80gb", "H100-SXM5-80GB" },
		{ "NVIDIA H100 80GB HBM3", "H100-SXM5-80GB" },
		{ "NVIDIA H200 NVL", "H200-NVL-141GB" },
		{ "NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB" },
		{ "NVIDIA L4", "L4-24GB" },
		{ "NVIDIA L40S", "L40S-48GB" },
		{ "NVIDIA GeForce RTX 3090", "RTX-3090-24GB" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		const struct jt_gpu *g = jt__gpu_find(cases[i][0]);

		check(g && strcmp(g->name, cases[i][1]) == 0);
	}
	check(!jt__gpu_find("NVIDIA A100-SXM4-80GB MIG 1g.10gb"));
	check(!jt__gpu_find("NVIDIA GeForce RTX 3090 Ti"));
	check(!jt__gpu_find(""));
}

static void every_gpu_row_is_within_physical_reason(void)
{
	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		check(g->mem_gb >= 16 && g->bw_gbs >= 300 && g->bf16_tflops >= 60);
		check(g->idle_w > 0 && g->idle_w < g->tdp_w / 2);
		/* Memory alone takes 3 pJ a bit (HBM3) to 8 (GDDR6); tensor cores below 3 pJ a
		 * FLOP. */
		check(g->pj_per_byte > 8 * 3 && g->pj_per_byte < 400);
		check(g->pj_per_flop > 0.3 && g->pj_per_flop < 8);
		check(jt__gpu_find(g->match) == g);
	}
}

/* Own and shared joules of a step's sequences are the step's dynamic joules. */
static void own_and_shared_joules_add_up_to_the_step(void)
{
	struct jt_arch archs[] = { load(MODELS "llama-3.1-8b.json"),
		                   load(MODELS "qwen3-30b-a3b.json") };
	const struct jt_gpu *g = jt__gpu_find("H100-SXM5-80GB");
	const struct jt_step s = { .prefill_tokens = 300,
		                   .prefill_ctx_tokens = 100 * 50.5 + 200 * 600,
		                   .decode_seqs = 2,
		                   .decode_ctx_tokens = 10 + 5000 };

	for (size_t i = 0; i < JT_ARRAY_LEN(archs); i++) {
		const struct jt_arch *a = &archs[i];
		struct jt_own_rates rates = jt__roofline_own_rates(a, g);
		struct jt_step_cost c;
		double sum_j = jt__roofline_shared_j(a, g, 302) +
		               jt__roofline_own_j(a, g, 100, 50.5) +
		               jt__roofline_own_j(a, g, 200, 600) +
		               jt__roofline_own_j(a, g, 1, 10) + jt__roofline_own_j(a, g, 1, 5000);

		jt__roofline(a, g, &s, &c);
		check_near(sum_j, c.dynamic_j, 1e-12 * c.dynamic_j);
		sum_j = jt__roofline_shared_j(a, g, 302) + jt__own_j(&rates, 100, 50.5) +
		        jt__own_j(&rates, 200, 600) + jt__own_j(&rates, 1, 10) +
		        jt__own_j(&rates, 1, 5000);
		check_near(sum_j, c.dynamic_j, 1e-12 * c.dynamic_j);
	}
}

static void a_mixture_reads_more_experts_with_more_tokens(void)
{
	struct jt_arch a = load(MODELS "qwen3-30b-a3b.json");
	double all = jt__arch_matmul_params(&a, false) * 2;
	double one = jt__arch_matmul_params(&a, true) * 2;

	check_near(jt__arch_weight_bytes_step(&a, 1), one, 1e-9 * one);
	check(jt__arch_weight_bytes_step(&a, 0) == 0);
	check(jt__arch_weight_bytes_step(&a, 8) > 3 * one);
	check_near(jt__arch_weight_bytes_step(&a, 1000), all, 1e-6 * all);
}

static void a_decode_step_is_bound_by_memory_and_a_prefill_by_compute(void)
{
	struct jt_arch a = load(MODELS "llama-3.1-8b.json");
	const struct jt_gpu *g = jt__gpu_find("A100-SXM4-80GB");
	struct jt_step decode = { .decode_seqs = 1, .decode_ctx_tokens = 1000 };
	struct jt_step prefill = { .prefill_tokens = 4096, .prefill_ctx_tokens = 4096 * 2048.0 };
	struct jt_step nothing = { 0 };
	struct jt_step_cost c;

	jt__roofline(&a, g, &decode, &c);
	check(c.weight_bytes / (g->bw_gbs * 1e9) > c.flops / (g->bf16_tflops * 1e12));
	check(c.seconds > 0.008 && c.seconds < 0.016);
	jt__roofline(&a, g, &prefill, &c);
	check(c.weight_bytes / (g->bw_gbs * 1e9) < c.flops / (g->bf16_tflops * 1e12));
	check(c.dynamic_j / c.seconds <= (g->tdp_w - g->idle_w) * (1 + 1e-12));
	jt__roofline(&a, g, &nothing, &c);
	check(c.seconds == 0 && c.dynamic_j == 0);
}

/*
 * Rows of the ML.ENERGY benchmark v3 (github.com/ml-energy/leaderboard 0cd52dab, Apache-2.0): vLLM
 * 0.11.1, bf16, one GPU, lm-arena-chat. The constants of roofline.c are fitted to the H100 rows; no
 * B200 row was used.
 */
static void agrees_with_measured_joules_per_token(void)
{
	static const struct {
		const char *gpu;
		uint32_t layers, hidden, ffn, heads;
		double batch, out_tokens, joules, factor;
	} rows[] = {
		{ "H100-SXM5-80GB", 36, 4096, 12288, 32, 7.97198, 646.569, 0.444018, 1.2 },
		{ "H100-SXM5-80GB", 36, 4096, 12288, 32, 63.8819, 644.548, 0.119219, 1.2 },
		{ "H100-SXM5-80GB", 36, 4096, 12288, 32, 474.4, 645.091, 0.0721292, 1.2 },
		{ "H100-SXM5-80GB", 40, 5120, 17408, 40, 15.9737, 621.627, 0.398274, 1.2 },
		{ "H100-SXM5-80GB", 40, 5120, 17408, 40, 253.41, 624.564, 0.111917, 1.2 },
		{ "B200-SXM-180GB", 40, 5120, 17408, 40, 7.93509, 615.054, 0.699309, 1.5 },
		{ "B200-SXM-180GB", 40, 5120, 17408, 40, 127.702, 605.93, 0.122477, 1.5 },
		{ "B200-SXM-180GB", 40, 5120, 17408, 40, 2044.59, 613.147, 0.0547711, 1.5 },
	};
	const double in_tokens = 300; /* not published; as in the fit */

	for (size_t i = 0; i < JT_ARRAY_LEN(rows); i++) {
		const struct jt_gpu *g = jt__gpu_find(rows[i].gpu);
		struct jt_arch a = { .n_layers = rows[i].layers,
			             .hidden_size = rows[i].hidden,
			             .intermediate_size = rows[i].ffn,
			             .n_heads = rows[i].heads,
			             .n_kv_heads = 8,
			             .head_dim = 128,
			             .vocab_size = 151936,
			             .ffn_mats = 3,
			             .weight_bytes_per_param = 2,
			             .kv_bytes_per_elem = 2 };
		double b = rows[i].batch, out = rows[i].out_tokens, joules;
		struct jt_step decode = { .decode_seqs = b,
			                  .decode_ctx_tokens = b * (in_tokens + out / 2) };
		struct jt_step prefill = { .prefill_tokens = b * in_tokens,
			                   .prefill_ctx_tokens = b * in_tokens * in_tokens / 2 };
		struct jt_step_cost d, p;

		jt__roofline(&a, g, &decode, &d);
		jt__roofline(&a, g, &prefill, &p);
		joules = (g->idle_w * (d.seconds * out + p.seconds) + d.dynamic_j * out +
		          p.dynamic_j) /
		         (b * out);
		check_near(log(joules / rows[i].joules), 0, log(rows[i].factor));
	}
}

int main(void)
{
	test(counts_the_parameters_of_known_models);
	test(reads_dimensions_and_fills_in_defaults);
	test(finds_a_nested_text_config);
	test(counts_shared_experts_and_dense_first_layers);
	test(knows_what_quantised_weights_weigh);
	test(names_the_key_that_is_wrong);
	test(refuses_files_it_cannot_read_or_that_are_too_large);
	test(survives_running_out_of_memory);
	test(finds_gpus_by_our_name_and_by_the_drivers);
	test(every_gpu_row_is_within_physical_reason);
	test(own_and_shared_joules_add_up_to_the_step);
	test(a_mixture_reads_more_experts_with_more_tokens);
	test(a_decode_step_is_bound_by_memory_and_a_prefill_by_compute);
	test(agrees_with_measured_joules_per_token);
	return tap_done();
}
