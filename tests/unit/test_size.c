/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "base/rng.h"
#include "model/realmath.h"
#include "model/size.h"

/* ---- helpers ---- */

static struct jt_arch unknown(void)
{
	return (struct jt_arch){ .n_layers = NAN,
		                 .hidden_size = NAN,
		                 .n_heads = NAN,
		                 .n_kv_heads = NAN,
		                 .head_dim = NAN,
		                 .vocab_size = NAN,
		                 .intermediate_size = NAN,
		                 .tie_embeddings = NAN,
		                 .q_lora_rank = NAN,
		                 .params_total_b = NAN,
		                 .params_active_b = NAN };
}

static struct jt_arch llama_8b(void)
{
	return (struct jt_arch){ .n_layers = 32,
		                 .hidden_size = 4096,
		                 .intermediate_size = 14336,
		                 .n_heads = 32,
		                 .n_kv_heads = 8,
		                 .head_dim = 128,
		                 .vocab_size = 128256,
		                 .params_active_b = NAN };
}

static struct jt_arch mixtral(void)
{
	struct jt_arch a = llama_8b();

	a.vocab_size = 32000;
	a.n_experts = 8;
	a.experts_per_tok = 2;
	a.moe_intermediate_size = 14336;
	return a;
}

static struct jt_arch deepseek_v3(void)
{
	return (struct jt_arch){ .n_layers = 61,
		                 .hidden_size = 7168,
		                 .intermediate_size = 18432,
		                 .n_heads = 128,
		                 .n_kv_heads = 128,
		                 .vocab_size = 129280,
		                 .n_experts = 256,
		                 .experts_per_tok = 8,
		                 .moe_intermediate_size = 2048,
		                 .n_shared_experts = 1,
		                 .first_k_dense = 3,
		                 .kv_lora_rank = 512,
		                 .q_lora_rank = NAN,
		                 .weights = JT_W_FP8 };
}

/* ---- exp and log ---- */

/* In units in the last place of @want. */
static double ulps(double got, double want)
{
	int exponent;

	frexp(want, &exponent);
	return fabs(got - want) / ldexp(1, exponent - 53);
}

static void exp_is_within_an_ulp_of_the_library(void)
{
	struct jt_rng rng = { 1 };
	double worst = 0;

	for (int i = 0; i < 1000000; i++) {
		double x = (jt__rng_unit(&rng) - 0.5) * (i % 2 ? 1416 : 10);

		if (x > -708)
			worst = fmax(worst, ulps(jt__exp(x), exp(x)));
	}
	printf("# exp: %.2f ulp\n", worst);
	check(worst <= 1);
}

static void log_is_within_an_ulp_of_the_library(void)
{
	struct jt_rng rng = { 1 };
	double worst = 0;

	for (int i = 0; i < 1000000; i++) {
		double x = exp((jt__rng_unit(&rng) - 0.5) * (i % 2 ? 1400 : 2));

		worst = fmax(worst, ulps(jt__ln(x), log(x)));
	}
	printf("# log: %.2f ulp\n", worst);
	check(worst <= 1);
	check(ulps(jt__ln(0x1.fffffffffffffp-1), log(0x1.fffffffffffffp-1)) <= 1);
	check(ulps(jt__ln(0x1p-1074), log(0x1p-1074)) <= 1);
}

static void exp_and_log_know_the_ends_of_the_line(void)
{
	check(jt__exp(0) == 1 && jt__ln(1) == 0);
	check(jt__exp(710) == INFINITY && jt__exp(INFINITY) == INFINITY);
	check(jt__exp(-746) == 0 && jt__exp(-INFINITY) == 0);
	check(isfinite(jt__exp(709.78)) && jt__exp(-745) > 0);
	check(jt__ln(0) == -INFINITY && jt__ln(INFINITY) == INFINITY);
	check(isnan(jt__exp(NAN)) && isnan(jt__ln(NAN)) && isnan(jt__ln(-1)));
}

/* ---- sizes ---- */

/* Model card: 8.03e9. By hand: 32 × (2·4096·128·40 + 3·4096·14336) + 2·128256·4096. */
static void counts_llama(void)
{
	struct jt_arch a = llama_8b();
	struct jt_size s = jt__size(&a);

	check(s.params == 8029995008 && s.matmul_params == 7504658432);
	check(s.routed_params == 0 && s.kv_elems == 65536 && s.attention_size == 4096);
	check(s.bytes_per_param == 2 && s.sliding_share == 0 && s.has_dims);
	a.tie_embeddings = 1;
	check(jt__size(&a).params == 7504658432);
}

/* 46.7e9, of which a token sees 12.7e9. */
static void counts_a_mixture(void)
{
	struct jt_arch a = mixtral();
	struct jt_size s = jt__size(&a);

	check(s.params == 46702526464 && s.matmul_params == 12748587008);
	check(s.routed_params == 45097156608 && s.routed_share == 0.25);
}

/* Two tokens with two of eight experts each meet 8 (1 - 0.75²) = 3.5 of them. */
static void more_tokens_touch_more_experts(void)
{
	struct jt_arch a = mixtral();
	struct jt_size s = jt__size(&a);
	double expert = 45097156608 / 8.0, rest = 12748587008 - 2 * expert;

	check_near(jt__size_touched_bytes(&s, 1), 2 * (rest + 2 * expert), 100);
	check_near(jt__size_touched_bytes(&s, 2), 2 * (rest + 3.5 * expert), 100);
	check_near(jt__size_touched_bytes(&s, 1000), 2 * (rest + 8 * expert), 100);
}

/* The report (arXiv 2412.19437): 671e9, 37e9 of a token, with the input embedding; KV of 576 a
 * layer. */
static void counts_latent_attention(void)
{
	struct jt_arch a = deepseek_v3();
	struct jt_size s = jt__size(&a);

	check(s.params == 671025397760 && s.matmul_params == 36624596992);
	check(s.kv_elems == 61 * 576 && s.bytes_per_param == 1);
	a.q_lora_rank = 0; /* not compressed, as in DeepSeek-V2-Lite */
	check_near(jt__size(&a).params, 671025397760 + 61 * (7168 * 24576.0 - 1536 * 31744.0), 1);
}

static void believes_published_counts_where_dimensions_leave_something_out(void)
{
	struct jt_arch a = mixtral();

	a.moe_intermediate_size = NAN;
	a.params_total_b = 46.7;
	a.params_active_b = 12.9;
	check_near(jt__size(&a).params, 46.7e9, 1);
	check_near(jt__size(&a).routed_params, (46.7e9 - 12.9e9) / 0.75, 1);
	check_near(jt__size(&a).matmul_params, 12.9e9 - 32000 * 4096, 1);
	a = llama_8b();
	a.params_total_b = 8;
	check(jt__size(&a).params == 8029995008);
	a.params_total_b = 12;
	check(jt__size(&a).params == 12e9);
	a.params_total_b = 8;
	a.is_hybrid = true;
	check(jt__size(&a).params == 8e9 && jt__size(&a).kv_elems == 6553.6);
}

static void guesses_dimensions_from_the_parameters_alone(void)
{
	struct jt_arch a = unknown();
	struct jt_size s;

	a.params_total_b = 8;
	s = jt__size(&a);
	check(!s.has_dims);
	check(s.n_layers > 30 && s.n_layers < 50 && s.hidden_size > 3000 && s.hidden_size < 5000);
	a.params_total_b = 30;
	a.params_active_b = 3;
	s = jt__size(&a);
	check_near(jt__size_touched_bytes(&s, 1), 2 * 3e9, 10);
	check_near(jt__size_touched_bytes(&s, 1e6), 2 * 30e9, 10);
}

static void a_window_bounds_what_its_layers_read(void)
{
	struct jt_arch a = llama_8b();
	struct jt_size s;

	a.sliding_window = 1024;
	s = jt__size(&a);
	check_near(jt__size_kv_bytes(&s, 6144), 131072 * (6144 / 6.0 + 1024 * 5 / 6.0), 1);
	check_near(jt__size_kv_bytes(&s, 100), 131072 * 100, 1e-3);
	a.sliding_window = 128;
	s = jt__size(&a);
	check_near(jt__size_kv_bytes(&s, 1128), 131072 * (564 + 64), 1);
}

int main(void)
{
	test(exp_is_within_an_ulp_of_the_library);
	test(log_is_within_an_ulp_of_the_library);
	test(exp_and_log_know_the_ends_of_the_line);
	test(counts_llama);
	test(counts_a_mixture);
	test(more_tokens_touch_more_experts);
	test(counts_latent_attention);
	test(believes_published_counts_where_dimensions_leave_something_out);
	test(guesses_dimensions_from_the_parameters_alone);
	test(a_window_bounds_what_its_layers_read);
	return tap_done();
}
