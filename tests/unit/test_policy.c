/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "attribution/policy.h"
#include "attribution/relabel.h"

static struct jt_weight weigh(const struct jt_weigher *w, enum jt_phase phase, uint32_t prompt,
                              uint32_t context, uint32_t choices)
{
	struct jt_load load = { phase, prompt, context, choices, false };

	return jt__weigh(w, &load);
}

static void equal_is_equal(void)
{
	struct jt_weigher w;

	jt__weigher_init(&w, JT_POLICY_EQUAL);
	check(weigh(&w, JT_PHASE_PREFILL, 5000, 5000, 1).own ==
	      weigh(&w, JT_PHASE_DECODE, 10, 20, 4).own);
}

static void tokens_are_those_of_a_step(void)
{
	struct jt_weigher w;

	jt__weigher_init(&w, JT_POLICY_TOKENS);
	check(weigh(&w, JT_PHASE_PREFILL, 300, 300, 1).own == 300);
	check(weigh(&w, JT_PHASE_PREFILL, 100000, 100000, 1).own == 2048); /* one chunk */
	check(weigh(&w, JT_PHASE_DECODE, 300, 400, 3).own == 3);
}

static void roofline_without_a_model_is_the_phase_split_over_the_time_of_each_phase(void)
{
	struct jt_weigher w;
	double ratio;

	jt__weigher_init(&w, JT_POLICY_ROOFLINE);
	jt__weigher_learn(&w, 1000 * JT_NS_PER_S, 3000 * JT_NS_PER_S);
	ratio = (double)weigh(&w, JT_PHASE_PREFILL, 1, 1, 1).own /
	        weigh(&w, JT_PHASE_DECODE, 1, 1, 1).own;
	check_near(ratio, 0.25 / 0.75 * 3,
	           0.02); /* a quarter of the joules in a quarter of the time */
}

static struct jt_weigher with_model(void)
{
	struct jt_weigher w;

	jt__weigher_init(&w, JT_POLICY_ROOFLINE);
	w.has_model = true;
	w.gpu = *jt__gpu_find("H100-SXM5-80GB");
	w.arch = (struct jt_arch){ .n_layers = 32,
		                   .hidden_size = 4096,
		                   .intermediate_size = 14336,
		                   .n_heads = 32,
		                   .n_kv_heads = 8,
		                   .head_dim = 128,
		                   .vocab_size = 128256,
		                   .ffn_mats = 3,
		                   .weight_bytes_per_param = 2,
		                   .kv_bytes_per_elem = 2 };
	return w;
}

static void roofline_weighs_what_a_step_costs(void)
{
	struct jt_weigher w = with_model();
	struct jt_weight prefill = weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1);
	struct jt_weight decode = weigh(&w, JT_PHASE_DECODE, 1000, 1100, 1);
	struct jt_weight longer = weigh(&w, JT_PHASE_DECODE, 1000, 50000, 1);

	check(prefill.shared == decode.shared && decode.shared > decode.own);
	check(prefill.own > 100 * decode.own && prefill.own < 1000 * decode.own);
	check(longer.own > decode.own);
	check(weigh(&w, JT_PHASE_DECODE, 1000, 1100, 4).own > 3 * decode.own);
}

static void a_hidden_phase_weighs_in_between(void)
{
	struct jt_weigher w = with_model();
	struct jt_load hidden = { JT_PHASE_PREFILL, 1000, 1000, 1, true };
	uint32_t own = jt__weigh(&w, &hidden).own;

	check(own > weigh(&w, JT_PHASE_DECODE, 1000, 1000, 1).own);
	check(own < weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1).own);
}

static void policies_have_names(void)
{
	struct jt_weigher w = with_model();
	enum jt_policy p;

	check_text(jt__weigher_name(&w), "roofline");
	w.has_model = false;
	check_text(jt__weigher_name(&w), "phase_split");

	check(jt__policy_parse("tokens", &p) && p == JT_POLICY_TOKENS);
	check(!jt__policy_parse("fair", &p));
	check_text(jt__policy_name(JT_POLICY_ROOFLINE), "roofline");
}

#define MS UINT64_C(1000000)

static void the_engine_tells_queue_from_prefill(void)
{
	struct jt_phase_times t = { .span_ns = { 0, 1000 * MS, 500 * MS },
		                    .engine_ns = { JT_NONE, 250 * MS, 500 * MS },
		                    .prefill_ratio = 0.25 };
	uint64_t uj[JT_N_PHASES] = { 0, 400, 1000 };

	check_text(jt__relabel(&t, uj), "engine");
	check(uj[JT_PHASE_QUEUE] == 300 && uj[JT_PHASE_PREFILL] == 100 &&
	      uj[JT_PHASE_DECODE] == 1000);
}

static void an_answer_in_one_piece_is_divided_by_the_engines_times(void)
{
	struct jt_phase_times t = { .span_ns = { 0, 1000 * MS, 0 },
		                    .engine_ns = { JT_NONE, 100 * MS, 700 * MS },
		                    .prefill_ratio = 0.25 };
	uint64_t uj[JT_N_PHASES] = { 0, 1000, 0 };

	check_text(jt__relabel(&t, uj), "engine");
	check(uj[JT_PHASE_QUEUE] == 200 && uj[JT_PHASE_PREFILL] == 100 &&
	      uj[JT_PHASE_DECODE] == 700);
}

static void otherwise_by_the_configured_ratio(void)
{
	struct jt_phase_times t = { .span_ns = { 0, 1000 * MS, 0 },
		                    .engine_ns = { JT_NONE, JT_NONE, JT_NONE },
		                    .prefill_ratio = 0.25 };
	uint64_t uj[JT_N_PHASES] = { 0, 1001, 0 };

	check_text(jt__relabel(&t, uj), "ratio");
	check(uj[JT_PHASE_PREFILL] == 250 && uj[JT_PHASE_DECODE] == 751 && uj[JT_PHASE_QUEUE] == 0);
}

static void lying_engine_times_keep_the_sum(void)
{
	struct jt_phase_times t = { .span_ns = { 0, 1000 * MS, 1 * MS },
		                    .engine_ns = { JT_NONE, 99999 * MS, 5 * MS },
		                    .prefill_ratio = 0.25 };
	uint64_t uj[JT_N_PHASES] = { 0, 400, 1000 };

	jt__relabel(&t, uj);
	check(uj[0] == 0 && uj[1] == 400 && uj[2] == 1000);
}

int main(void)
{
	test(equal_is_equal);
	test(tokens_are_those_of_a_step);
	test(roofline_without_a_model_is_the_phase_split_over_the_time_of_each_phase);
	test(roofline_weighs_what_a_step_costs);
	test(a_hidden_phase_weighs_in_between);
	test(policies_have_names);
	test(the_engine_tells_queue_from_prefill);
	test(an_answer_in_one_piece_is_divided_by_the_engines_times);
	test(otherwise_by_the_configured_ratio);
	test(lying_engine_times_keep_the_sum);
	return tap_done();
}
