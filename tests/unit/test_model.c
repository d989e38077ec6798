/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "model/model.h"

#define MODELS JT_SOURCE_ROOT "/data/models/"
#define OTHERS JT_SOURCE_ROOT "/tests/data/models/"

static struct jt_size load(const char *file)
{
	struct jt_arch a = { 0 };
	struct jt_error err = { .message = "" };

	if (!check(jt__arch_load(file, &a, &err) == JT_OK))
		printf("# %s: %s\n", err.where, err.message);
	return jt__size(&a);
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

/* Own and shared joules of a step's sequences are the step's dynamic joules, whatever the model. */
static void own_and_shared_joules_add_up_to_the_step(void)
{
	struct jt_size sizes[] = { load(MODELS "llama-3.1-8b.json"),
		                   load(MODELS "qwen3-30b-a3b.json"),
		                   load(OTHERS "deepseek-v3.json"), load(OTHERS "gemma-3-27b.json"),
		                   load(OTHERS "nemotron-nano-9b-v2.json") };
	static const double sequences[][2] = {
		{ 100, 50.5 }, { 200, 9600 }, { 1, 10 }, { 1, 5000 }
	};
	const struct jt_gpu *g = jt__gpu_find("H100-SXM5-80GB");

	for (size_t i = 0; i < JT_ARRAY_LEN(sizes); i++) {
		double sum_j = jt__roofline_shared_j(&sizes[i], g, 302);
		struct jt_step s = { 0 };
		struct jt_step_cost c;

		for (size_t k = 0; k < JT_ARRAY_LEN(sequences); k++) {
			sum_j += jt__roofline_own_j(&sizes[i], g, sequences[k][0], sequences[k][1]);
			jt__step_add(&sizes[i], sequences[k][0], sequences[k][1], &s);
		}
		check(s.prefill_tokens == 300 && s.decode_seqs == 2);
		jt__roofline(&sizes[i], g, &s, &c);
		check_near(sum_j, c.dynamic_j, 1e-12 * c.dynamic_j);
	}
}

static double decode_kv_bytes(const struct jt_size *m, double context)
{
	const struct jt_gpu *g = jt__gpu_find("H200-SXM-141GB");
	struct jt_step s = { 0 };
	struct jt_step_cost c;

	jt__step_add(m, 1, context, &s);
	jt__roofline(m, g, &s, &c);
	return c.kv_bytes;
}

/* DeepSeek-V3: of each token and layer a latent of 512 and a key of 64, which all heads share. */
static void latent_attention_reads_latents(void)
{
	struct jt_size m = load(OTHERS "deepseek-v3.json");
	struct jt_step one = { .decode_seqs = 1, .decode_ctx_tokens = 1000 };
	struct jt_step_cost c;

	check(decode_kv_bytes(&m, 1000) == 1001 * 61 * 576 * 2.0);
	jt__roofline(&m, jt__gpu_find("H200-SXM-141GB"), &one, &c);
	check_near(c.weight_bytes, 36.6e9, 0.1e9);
	check_near(c.flops, 2 * 36.6e9 + 4.0 * 61 * 128 * 128 * 1000, 0.2e9);
}

/* Gemma 3: five layers in six see 1,024 tokens, of which 62 / 6 is a whole number less. */
static void windows_bound_what_a_decode_reads(void)
{
	struct jt_size m = load(OTHERS "gemma-3-27b.json");
	double layer = 2 * 16 * 128 * 2;

	check_near(decode_kv_bytes(&m, 500), 62 * layer * 501, 1);
	check_near(decode_kv_bytes(&m, 101024), layer * (62 + 62 * 1024 + 10 * 100000.0), 1e3);
}

/* Nemotron Nano 2: four layers of 56 keep keys, 27 a state that is read and written. */
static void a_state_is_read_and_written_whatever_the_context(void)
{
	struct jt_size m = load(OTHERS "nemotron-nano-9b-v2.json");
	double state = 27 * 128 * 80 * 128 * 2.0, token = 4 * 2 * 8 * 128 * 2;

	check(decode_kv_bytes(&m, 0) == token + 2 * state);
	check(decode_kv_bytes(&m, 1000) == 1001 * token + 2 * state);
}

static void a_mixture_reads_more_experts_with_more_tokens(void)
{
	struct jt_size m = load(MODELS "qwen3-30b-a3b.json");
	double one = m.matmul_params * 2;
	double all = one + m.routed_params * (1 - m.routed_share) * 2;

	check_near(jt__size_touched_bytes(&m, 1), one, 1e-9 * one);
	check(jt__size_touched_bytes(&m, 0) == 0);
	check(jt__size_touched_bytes(&m, 8) > 3 * one);
	check_near(jt__size_touched_bytes(&m, 1000), all, 1e-6 * all);
}

static void a_decode_step_is_bound_by_memory_and_a_prefill_by_compute(void)
{
	struct jt_size a = load(MODELS "llama-3.1-8b.json");
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
			             .ffn_mats = 3 };
		struct jt_size m = jt__size(&a);
		double b = rows[i].batch, out = rows[i].out_tokens, joules;
		struct jt_step decode = { .decode_seqs = b,
			                  .decode_ctx_tokens = b * (in_tokens + out / 2) };
		struct jt_step prefill = { .prefill_tokens = b * in_tokens,
			                   .prefill_ctx_tokens = b * in_tokens * in_tokens / 2 };
		struct jt_step_cost d, p;

		jt__roofline(&m, g, &decode, &d);
		jt__roofline(&m, g, &prefill, &p);
		joules = (g->idle_w * (d.seconds * out + p.seconds) + d.dynamic_j * out +
		          p.dynamic_j) /
		         (b * out);
		check_near(log(joules / rows[i].joules), 0, log(rows[i].factor));
	}
}

int main(void)
{
	test(finds_gpus_by_our_name_and_by_the_drivers);
	test(every_gpu_row_is_within_physical_reason);
	test(own_and_shared_joules_add_up_to_the_step);
	test(latent_attention_reads_latents);
	test(windows_bound_what_a_decode_reads);
	test(a_state_is_read_and_written_whatever_the_context);
	test(a_mixture_reads_more_experts_with_more_tokens);
	test(a_decode_step_is_bound_by_memory_and_a_prefill_by_compute);
	test(agrees_with_measured_joules_per_token);
	return tap_done();
}
