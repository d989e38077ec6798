/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>
#include "tap.h"
#include "model/size.h"

#define MODELS JT_SOURCE_ROOT "/data/models/"
#define OTHERS JT_SOURCE_ROOT "/tests/data/models/"

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
	struct jt_arch a = { .weights = JT_N_WEIGHTS };
	int status = jt__arch_parse(json, strlen(json), "config.json", &a, err);

	if (status == JT_OK)
		*ret_arch = a;
	return status;
}

/*
 * Totals of the models' cards and papers, in 1e9. Makers differ in whether the table that tokens
 * are looked up in counts as active (0: they only say 3); vision towers (Llama 4: 0.9) are left
 * out.
 */
static void counts_the_parameters_of_known_models(void)
{
	static const struct {
		const char *file;
		double all, active;
	} models[] = {
		{ MODELS "llama-3.1-8b.json", 8.03, 8.03 },
		{ MODELS "gpt2.json", 0.1244, 0.1244 },
		{ MODELS "qwen3-30b-a3b.json", 30.53, 3.3 },
		{ OTHERS "deepseek-v3.json", 671, 37 },
		{ OTHERS "deepseek-v2-lite.json", 15.7, 2.4 },
		{ OTHERS "gemma-3-27b.json", 27.0, 27.0 },
		{ OTHERS "gpt-oss-20b.json", 20.9, 3.6 },
		{ OTHERS "llama-4-scout.json", 109 - 0.9, 17 },
		{ OTHERS "llama-4-maverick.json", 400, 17 },
		{ OTHERS "nemotron-nano-9b-v2.json", 8.89, 8.89 },
		{ OTHERS "nemotron-3-nano-30b-a3b.json", 31.6, 3.6 },
		{ OTHERS "jamba-mini.json", 52, 12 },
		{ OTHERS "granite-4.0-h-small.json", 32, 9 },
		{ OTHERS "qwen3-next-80b-a3b.json", 80, 0 },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(models); i++) {
		struct jt_arch a = load(models[i].file);
		struct jt_size s = jt__size(&a);
		double from = s.matmul_params / 1e9, to = (s.matmul_params + s.output_params) / 1e9;

		if (!check(fabs(s.params / 1e9 / models[i].all - 1) < 0.02) ||
		    (models[i].active > 0 &&
		     !check(models[i].active > 0.97 * from && models[i].active < 1.03 * to)))
			printf("# %s: %.2f, %.2f to %.2f\n", models[i].file, s.params / 1e9, from,
			       to);
	}
}

static void finds_layers_of_each_kind(void)
{
	static const struct {
		const char *file;
		double attention, sliding, ssm, ffn, dense; /* 0: all, or none of it */
	} models[] = {
		{ MODELS "qwen3-30b-a3b.json", 0, 0, 0, 0, 0 },
		{ OTHERS "deepseek-v3.json", 0, 0, 0, 0, 3 },
		{ OTHERS "gemma-3-27b.json", 0, 52, 0, 0, 0 },
		{ OTHERS "gpt-oss-20b.json", 24, 12, 0, 0, 0 },
		{ OTHERS "llama-4-maverick.json", 0, 0, 0, 0, 24 },
		{ OTHERS "nemotron-nano-9b-v2.json", 4, 0, 27, 25, 25 },
		{ OTHERS "nemotron-3-nano-30b-a3b.json", 6, 0, 23, 23, 0 },
		{ OTHERS "jamba-mini.json", 4, 0, 28, 0, 16 },
		{ OTHERS "granite-4.0-h-small.json", 4, 0, 36, 0, 0 },
		{ OTHERS "qwen3-next-80b-a3b.json", 12, 0, 36, 0, 0 },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(models); i++) {
		struct jt_arch a = load(models[i].file);

		if (!check(a.n_attention_layers == models[i].attention &&
		           a.n_sliding_layers == models[i].sliding &&
		           a.n_ssm_layers == models[i].ssm && a.n_ffn_layers == models[i].ffn &&
		           a.first_k_dense == models[i].dense &&
		           a.is_hybrid == (models[i].ssm > 0)))
			printf("# %s: %g %g %g %g %g\n", models[i].file, a.n_attention_layers,
			       a.n_sliding_layers, a.n_ssm_layers, a.n_ffn_layers, a.first_k_dense);
	}
}

static void reads_dimensions_and_fills_in_defaults(void)
{
	struct jt_arch llama = load(MODELS "llama-3.1-8b.json");
	struct jt_arch gpt2 = load(MODELS "gpt2.json");

	check_text(llama.model, "meta-llama/Llama-3.1-8B");
	check(llama.head_dim == 128 && llama.n_kv_heads == 8 && llama.ffn_mats == 3);
	check(!llama.tie_embeddings && llama.n_experts == 0);
	check(jt__size(&llama).kv_token_bytes == 131072);
	check(gpt2.intermediate_size == 3072 && gpt2.ffn_mats == 2 && gpt2.n_kv_heads == 12);
	check(gpt2.tie_embeddings && gpt2.weights == JT_W_BF16);
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

static void where_every_layer_sees_all_there_is_no_window(void)
{
	struct jt_arch a;

	check(parse("{" DENSE ",\"sliding_window\":1024,\"sliding_window_pattern\":1}", &a, NULL) ==
	      JT_OK);
	check(jt__size(&a).sliding_share == 0);
	check(parse("{" DENSE ",\"sliding_window\":4096,\"model_type\":\"mistral\"}", &a, NULL) ==
	      JT_OK);
	check(jt__size(&a).sliding_share == 1);
}

static void an_inner_config_has_the_defaults_of_its_class(void)
{
	struct jt_arch a;

	check(parse("{\"model_type\":\"gemma3\",\"text_config\":{\"hidden_size\":2560,"
	            "\"intermediate_size\":10240,\"model_type\":\"gemma3_text\","
	            "\"num_hidden_layers\":34,\"sliding_window\":1024}}",
	            &a, NULL) == JT_OK);
	check(a.n_heads == 8 && a.n_kv_heads == 4 && a.head_dim == 256);
	check(a.n_sliding_layers == 29 && a.sliding_window == 1024);
	check_near(jt__size(&a).params, 3.88e9, 0.02e9); /* arXiv 2503.19786, table 1 */
	check(parse("{\"model_type\":\"llava\",\"text_config\":{\"model_type\":\"llama\","
	            "\"vocab_size\":32064}}",
	            &a, NULL) == JT_OK);
	check_near(jt__size(&a).params, 6.74e9, 0.01e9);
	/* A file of its own says all of it. */
	check(parse("{\"model_type\":\"llama\",\"vocab_size\":32064}", &a, NULL) == JT_EINVAL);
}

static void finds_the_language_model_among_others(void)
{
	static const char *const files[] = {
		"{\"llm_config\":{" DENSE "},\"vision_config\":{\"hidden_size\":1}}",
		"{\"language_config\":{" DENSE "},\"vision_config\":{\"hidden_size\":1}}",
		"{\"thinker_config\":{\"text_config\":{" DENSE "}},"
		"\"talker_config\":{\"text_config\":{\"hidden_size\":1}}}",
		"{\"thinker_config\":7," DENSE "}",
	};
	struct jt_arch a;

	for (size_t i = 0; i < JT_ARRAY_LEN(files); i++) {
		check(parse(files[i], &a, NULL) == JT_OK);
		check(a.hidden_size == 64 && a.n_layers == 2);
	}
}

static void counts_shared_experts_and_dense_first_layers(void)
{
	struct jt_arch a;
	double attention = 4 * 64 * 64, head = 6400;
	struct jt_size s;

	check(parse("{" DENSE
	            ",\"n_routed_experts\":8,\"num_experts_per_tok\":2,\"n_shared_experts\":1,"
	            "\"moe_intermediate_size\":16,\"first_k_dense_replace\":1}",
	            &a, NULL) == JT_OK);
	s = jt__size(&a);
	check(s.params == 2 * attention + 3 * 64 * 128 + 3 * 64 * (8 + 1) * 16 + 64 * 8 + head);
	check(s.matmul_params ==
	      2 * attention + 3 * 64 * 128 + 3 * 64 * (2 + 1) * 16 + 64 * 8 + head);
}

/* Of 12 layers, two of every kind of saying so. */
static void finds_the_layers_that_have_experts(void)
{
	static const struct {
		const char *more;
		double n_dense;
	} cases[] = {
		{ "", 0 },
		{ ",\"mlp_only_layers\":[0,5,99]", 2 },
		{ ",\"decoder_sparse_step\":3", 8 },
		{ ",\"interleave_moe_layer_step\":2", 6 },
		{ ",\"first_k_dense_replace\":3,\"moe_layer_freq\":2", 8 },
		{ ",\"moe_layer_freq\":[0,1,1,1,1,1,1,1,1,1,1,1]", 1 },
		{ ",\"expert_layer_period\":4,\"expert_layer_offset\":3", 9 },
		{ ",\"moe_layer_start_index\":1,\"moe_layer_interval\":1", 1 },
	};
	struct jt_arch a;
	char json[512];

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		snprintf(json, sizeof(json),
		         "{\"num_hidden_layers\":12,\"hidden_size\":64,\"intermediate_size\":128,"
		         "\"num_attention_heads\":4,\"vocab_size\":100,\"num_experts\":8,"
		         "\"num_experts_per_tok\":2%s}",
		         cases[i].more);
		check(parse(json, &a, NULL) == JT_OK);
		if (!check(a.first_k_dense == cases[i].n_dense))
			printf("# case %zu: %g\n", i, a.first_k_dense);
	}
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
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"hqq\",\"bits\":3}}",
		  3.25 / 8 },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":8}}",
		  8.25 / 8 },
		{ "{" DENSE ",\"quantization_config\":{\"quant_method\":\"mxfp4\"}}", 4.25 / 8 },
	};
	struct jt_arch a;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(parse(cases[i].json, &a, NULL) == JT_OK);
		check(jt__size(&a).bytes_per_param == cases[i].bytes);
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
		{ "{" DENSE ",\"kv_lora_rank\":\"x\"}", "'kv_lora_rank'" },
		{ "{\"num_hidden_layers\":10001,\"hidden_size\":1,\"vocab_size\":1}",
		  "'num_hidden_layers' (10001)" },
		{ "{" DENSE ",\"layer_types\":[\"full_attention\"]}",
		  "'layer_types' has 1 layers" },
		{ "{" DENSE ",\"layer_types\":[\"conv\",\"full_attention\"]}",
		  "'layer_types': layers of the kind 'conv'" },
		{ "{" DENSE ",\"hybrid_override_pattern\":\"M*-\"}",
		  "'hybrid_override_pattern' has 3 layers" },
		{ "{" DENSE ",\"hybrid_override_pattern\":\"MW\"}",
		  "'hybrid_override_pattern': layers of the kind 'W'" },
		{ "{" DENSE ",\"hybrid_override_pattern\":\"MM\"}", "no layer of the model is" },
		{ "{" DENSE ",\"mamba_d_state\":16}", "'mamba_d_state': some layers are not" },
		{ "{" DENSE ",\"ssm_cfg\":{}}", "'ssm_cfg': some layers are not" },
		{ "{" DENSE ",\"layer_types\":[\"mamba\",\"attention\"],\"mamba_n_heads\":4}",
		  "'mamba_head_dim' is missing" },
		{ "{" DENSE ",\"num_experts\":8,\"num_experts_per_tok\":1,\"moe_layer_freq\":[1]}",
		  "'moe_layer_freq' has 1 layers" },
		{ "{" DENSE
		  ",\"num_experts\":8,\"num_experts_per_tok\":1,\"mlp_only_layers\":[0,1,2]}",
		  "'mlp_only_layers' has 3 layers" },
		{ "{" DENSE ",\"model_type\":\"bert\"}", "'model_type' \"bert\": an encoder" },
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

int main(void)
{
	test(counts_the_parameters_of_known_models);
	test(finds_layers_of_each_kind);
	test(reads_dimensions_and_fills_in_defaults);
	test(finds_a_nested_text_config);
	test(where_every_layer_sees_all_there_is_no_window);
	test(an_inner_config_has_the_defaults_of_its_class);
	test(finds_the_language_model_among_others);
	test(counts_shared_experts_and_dense_first_layers);
	test(finds_the_layers_that_have_experts);
	test(knows_what_quantised_weights_weigh);
	test(names_the_key_that_is_wrong);
	test(refuses_files_it_cannot_read_or_that_are_too_large);
	test(survives_running_out_of_memory);
	return tap_done();
}
