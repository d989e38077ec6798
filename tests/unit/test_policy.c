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
	w.model = jt__size(&(struct jt_arch){ .n_layers = 32,
	                                      .hidden_size = 4096,
	                                      .intermediate_size = 14336,
	                                      .n_heads = 32,
	                                      .n_kv_heads = 8,
	                                      .head_dim = 128,
	                                      .vocab_size = 128256,
	                                      .ffn_mats = 3 });
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

/* A prompt of 1000 tokens takes some 30 ms on an H100. */
static void who_waits_for_its_first_token_weighs_less_until_the_queue_is_gone(void)
{
	struct jt_weigher w = with_model();
	struct jt_weight before = weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1), queued;

	jt__weigher_first_token(&w, 1000, 40 * JT_NS_PER_MS);
	check(weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1).own == before.own);
	for (int i = 0; i < 100; i++)
		jt__weigher_first_token(&w, 1000, 4 * JT_NS_PER_S);
	queued = weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1);
	check(queued.own > before.own / 200 && queued.own < before.own / 50);
	check(queued.shared == before.shared);
	check(weigh(&w, JT_PHASE_DECODE, 1000, 1000, 1).own > 0);
	for (int i = 0; i < 100; i++)
		jt__weigher_first_token(&w, 1000, 40 * JT_NS_PER_MS);
	check(weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1).own == before.own);
}

static void a_first_token_teaches_nothing_without_a_model(void)
{
	struct jt_weigher w;
	uint32_t before;

	jt__weigher_init(&w, JT_POLICY_ROOFLINE);
	before = weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1).own;
	jt__weigher_first_token(&w, 1000, 4 * JT_NS_PER_S);
	check(weigh(&w, JT_PHASE_PREFILL, 1000, 1000, 1).own == before);
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

/* Sent at 1 s; a stream has its first token 1 s later, and ends half a second after that. */
static const struct jt_phase_times stream = { .begin_ns = 1000 * MS,
	                                      .first_ns = 2000 * MS,
	                                      .end_ns = 2500 * MS,
	                                      .engine_ns = { JT_NONE, JT_NONE, JT_NONE },
	                                      .prefill_ratio = 0.25 };
static const struct jt_phase_times piece = { .begin_ns = 1000 * MS,
	                                     .end_ns = 2000 * MS,
	                                     .engine_ns = { JT_NONE, JT_NONE, JT_NONE },
	                                     .prefill_ratio = 0.25 };

/* An engine told @queue, @prefill and @decode of what was seen; -1: not told. */
static struct jt_phase_times told(const struct jt_phase_times *seen, int64_t queue, int64_t prefill,
                                  int64_t decode)
{
	const int64_t ms[JT_N_PHASES] = { queue, prefill, decode };
	struct jt_phase_times t = *seen;

	for (int p = 0; p < JT_N_PHASES; p++)
		t.engine_ns[p] = ms[p] < 0 ? JT_NONE : (uint64_t)ms[p] * MS;
	return t;
}

/* What was charged before and after the first token becomes the three that are expected. */
static void check_split(struct jt_phase_times t, const char *source, uint64_t before,
                        uint64_t after, const uint64_t want[JT_N_PHASES])
{
	uint64_t uj[JT_N_PHASES] = { 0, before, after };

	check_text(jt__relabel(&t, uj), source);
	if (!check(memcmp(uj, want, sizeof(uj)) == 0))
		printf("# %ju %ju %ju\n", (uintmax_t)uj[0], (uintmax_t)uj[1], (uintmax_t)uj[2]);
	check(uj[0] + uj[1] + uj[2] == before + after);
}

#define SPLIT(...) ((const uint64_t[JT_N_PHASES]){ __VA_ARGS__ })

static void of_a_stream_the_engine_tells_queue_from_prefill(void)
{
	check_split(stream, "stream", 400, 1000, SPLIT(0, 400, 1000));
	check_split(told(&stream, -1, 250, 500), "engine", 400, 1000, SPLIT(300, 100, 1000));
	check_split(told(&stream, 250, -1, -1), "engine", 400, 1000, SPLIT(100, 300, 1000));
	/* what neither of them accounts for is the time to its first token */
	check_split(told(&stream, 250, 500, 400), "engine", 400, 1000, SPLIT(100, 300, 1000));
	check_split(told(&stream, 0, 900, 400), "engine", 400, 1000, SPLIT(0, 400, 1000));
	check_split(told(&stream, -1, -1, 400), "stream", 400, 1000, SPLIT(0, 400, 1000));
}

static void an_answer_in_one_piece_is_divided_by_the_engines_times(void)
{
	check_split(told(&piece, -1, 100, 700), "engine", 1000, 0, SPLIT(200, 100, 700));
	check_split(told(&piece, 200, 100, 700), "engine", 1000, 0, SPLIT(200, 100, 700));
	/* what they do not account for falls on prefill and decode */
	check_split(told(&piece, 100, 100, 200), "engine", 1000, 0, SPLIT(100, 300, 600));
	check_split(told(&piece, 0, 0, 10), "engine", 1000, 0, SPLIT(0, 0, 1000));
}

static void a_stream_that_came_all_at_once_is_one_piece(void)
{
	struct jt_phase_times t = told(&stream, 200, 100, 700);

	t.end_ns = t.first_ns;
	check_split(t, "engine", 1000, 0, SPLIT(200, 100, 700));
	t.first_ns = t.begin_ns;
	check_split(t, "engine", 0, 1000, SPLIT(200, 100, 700));
}

static void otherwise_by_the_configured_ratio(void)
{
	struct jt_phase_times at_once = piece;

	check_split(piece, "ratio", 1001, 0, SPLIT(0, 250, 751));
	check_split(told(&piece, 200, -1, -1), "ratio", 1000, 0, SPLIT(200, 200, 600));
	check_split(told(&piece, -1, 100, -1), "ratio", 1000, 0, SPLIT(0, 250, 750));
	check_split(told(&piece, -1, 0, 0), "ratio", 1000, 0, SPLIT(0, 250, 750));
	at_once.end_ns = at_once.begin_ns;
	check_split(told(&at_once, 5, 5, 5), "ratio", 1000, 0, SPLIT(0, 250, 750));
}

static void without_a_decode_all_is_prefill_but_the_queue(void)
{
	struct jt_phase_times t = piece, waited = told(&piece, 300, -1, -1);

	t.no_decode = waited.no_decode = true;
	check_split(t, "stream", 1000, 0, SPLIT(0, 1000, 0));
	check_split(waited, "engine", 1000, 0, SPLIT(300, 700, 0));
	waited.end_ns = waited.begin_ns;
	check_split(waited, "stream", 1000, 0, SPLIT(0, 1000, 0));
}

static void an_engines_clock_may_say_more_than_ours(void)
{
	check_split(told(&stream, -1, 99999, 5), "engine", 400, 1000, SPLIT(0, 400, 1000));
	check_split(told(&stream, 3000, 1000, 5), "engine", 400, 1000, SPLIT(300, 100, 1000));
	check_split(told(&stream, 99999, -1, -1), "engine", 400, 1000, SPLIT(400, 0, 1000));
	check_split(told(&piece, 2000, 1000, 1000), "engine", 1000, 0, SPLIT(500, 250, 250));
	check_split(told(&piece, -1, 3000, 1000), "engine", 1000, 0, SPLIT(0, 750, 250));
}

/* 1 W until 1.5 s, 9 W from there. */
static double little_then_much(void *user, uint64_t from_ns, uint64_t to_ns)
{
	const uint64_t step_ns = 1500 * MS;
	uint64_t before = JT_MIN(to_ns, step_ns) - JT_MIN(from_ns, step_ns);

	++*(int *)user;
	return (double)before + 9 * (double)(to_ns - from_ns - before);
}

static double nothing_known(void *user, uint64_t from_ns, uint64_t to_ns)
{
	(void)user;
	(void)from_ns;
	(void)to_ns;
	return 0;
}

static void joules_follow_what_was_drawn_while_it_waited(void)
{
	struct jt_phase_times t = told(&stream, 500, 500, 500), p = told(&piece, 500, 250, 250);
	int asked = 0;

	t.drawn = p.drawn = little_then_much;
	t.user = p.user = &asked;
	check_split(t, "engine", 1000, 700, SPLIT(100, 900, 700));
	check_split(p, "engine", 1000, 0, SPLIT(100, 450, 450));
	check(asked > 0);
	t.drawn = nothing_known;
	check_split(t, "engine", 1000, 700, SPLIT(500, 500, 700));
}

int main(void)
{
	test(equal_is_equal);
	test(tokens_are_those_of_a_step);
	test(roofline_without_a_model_is_the_phase_split_over_the_time_of_each_phase);
	test(roofline_weighs_what_a_step_costs);
	test(who_waits_for_its_first_token_weighs_less_until_the_queue_is_gone);
	test(a_first_token_teaches_nothing_without_a_model);
	test(a_hidden_phase_weighs_in_between);
	test(policies_have_names);
	test(of_a_stream_the_engine_tells_queue_from_prefill);
	test(an_answer_in_one_piece_is_divided_by_the_engines_times);
	test(a_stream_that_came_all_at_once_is_one_piece);
	test(otherwise_by_the_configured_ratio);
	test(without_a_decode_all_is_prefill_but_the_queue);
	test(an_engines_clock_may_say_more_than_ours);
	test(joules_follow_what_was_drawn_while_it_waited);
	return tap_done();
}
