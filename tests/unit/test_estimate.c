/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/estimate.h"
#include "tap.h"

#define LLAMA JT_SOURCE_ROOT "/data/models/llama-3.1-8b.json"

static struct jt_fitted *model;

static struct jt_config_upstream upstream(const char *architecture)
{
	struct jt_config_upstream u = {
		.name = "engine", .gpu = "H100", .tensor_parallel = JT_NONE, .max_num_seqs = JT_NONE
	};

	jt__copy_text(u.architecture, sizeof(u.architecture), architecture, strlen(architecture));
	return u;
}

static void open_for(struct jt_estimator *e, uint64_t max_num_seqs)
{
	struct jt_config_upstream u = upstream(LLAMA);

	u.max_num_seqs = max_num_seqs;
	memset(e, 0, sizeof(*e));
	check(jt__estimator_open(e, model, &u, NULL, 1, NULL) == JT_OK && e->model);
}

static struct jt_estimate ask(const struct jt_estimator *e, const char *body)
{
	struct jt_estimate p = { 0 };
	struct jt_ask a;

	jt__ask_read(&a, &jt__api_unread, body, strlen(body));
	check(a.valid && jt__estimate(e, &a, "chat", &p, NULL) == JT_OK);
	return p;
}

static void says_joules_and_an_interval_around_them(void)
{
	struct jt_estimator e;
	struct jt_estimate p;

	open_for(&e, JT_NONE);
	p = ask(&e, "{\"prompt\":\"twelve bytes\"}");
	check(p.uj > 0 && p.lo_uj < p.uj && p.uj < p.hi_uj);
	check(p.prompt_tokens == 4); /* 12 / 4 + 1 */
	check(p.batch == 1);
	check_near((double)p.uj, (double)(p.token_uj * p.output_tokens), (double)p.output_tokens);
	check((p.reason[0] != '\0') == p.outside_data);
}

static void max_tokens_is_the_most(void)
{
	struct jt_estimator e;
	struct jt_estimate all, few;

	open_for(&e, JT_NONE);
	all = ask(&e, "{\"prompt\":\"x\"}");
	few = ask(&e, "{\"prompt\":\"x\",\"max_tokens\":7}");
	check(few.output_tokens == 7 && all.output_tokens > 7 && few.uj < all.uj);
	check(ask(&e, "{\"prompt\":\"x\",\"max_tokens\":100000}").output_tokens ==
	      all.output_tokens);
	check(ask(&e, "{\"prompt\":\"x\",\"max_tokens\":0}").output_tokens == 1);
}

static void expects_answers_as_long_as_those_before(void)
{
	struct jt_estimator e;

	open_for(&e, JT_NONE);
	jt__lengths_learn(&e.lengths, "chat", 33, false);
	check(ask(&e, "{\"prompt\":\"x\"}").output_tokens == 33);
}

static void each_choice_is_a_sequence_and_an_answer(void)
{
	struct jt_estimator e;
	struct jt_estimate p;

	open_for(&e, JT_NONE);
	p = ask(&e, "{\"prompt\":\"x\",\"n\":4,\"max_tokens\":10}");
	check(p.output_tokens == 40 && p.batch == 4);
}

static void who_runs_already_shares_the_weights(void)
{
	struct jt_estimator e;
	uint64_t alone_uj;

	open_for(&e, JT_NONE);
	alone_uj = ask(&e, "{\"prompt\":\"x\"}").token_uj;
	for (int i = 0; i < 15; i++)
		jt__estimate_begin(&e, 1);
	check(ask(&e, "{\"prompt\":\"x\"}").batch == 16);
	check(ask(&e, "{\"prompt\":\"x\"}").token_uj < alone_uj);
	for (int i = 0; i < 15; i++)
		jt__estimate_end(&e, 1);
	check(ask(&e, "{\"prompt\":\"x\"}").batch == 1);
}

static void no_more_run_at_once_than_the_engine_takes(void)
{
	struct jt_estimator e;

	open_for(&e, 8);
	for (int i = 0; i < 100; i++)
		jt__estimate_begin(&e, 1);
	check(ask(&e, "{\"prompt\":\"x\"}").batch == 8);
}

static void says_which_key_is_missing_where_nothing_is_predicted(void)
{
	struct jt_config_upstream u = upstream("");
	struct jt_estimator e = { 0 };
	struct jt_estimate p = { .uj = 17 };
	struct jt_error err;
	struct jt_ask a;

	check(jt__estimator_open(&e, model, &u, NULL, 1, NULL) == JT_OK && !e.model);
	jt__ask_read(&a, &jt__api_unread, "{}", 2);
	check(jt__estimate(&e, &a, "chat", &p, &err) == JT_ENOTSUP && p.uj == 17);
	check(strstr(err.message, "architecture") != NULL);
	u = upstream(LLAMA);
	check(jt__estimator_open(&e, NULL, &u, NULL, 1, NULL) == JT_OK && !e.model);
	check(jt__estimate(&e, &a, "chat", &p, &err) == JT_ENOTSUP);
	check(strstr(err.message, "fitted") != NULL);
}

static void what_is_configured_wrongly_is_no_upstream(void)
{
	struct jt_config_upstream u = upstream("/nowhere.json");
	struct jt_estimator e = { 0 };
	struct jt_error err;

	check(jt__estimator_open(&e, model, &u, NULL, 1, &err) == JT_ENOENT);
	check_text(err.where, "engine");
	check(strstr(err.message, "'architecture'") != NULL);
}

static const char *joules(uint64_t uj)
{
	static char text[24];

	jt__estimate_joules(uj, text, sizeof(text));
	return text;
}

static void joules_have_three_digits_and_no_exponent(void)
{
	check_text(joules(12345678), "12.3");
	check_text(joules(1234567890), "1235");
	check_text(joules(12345), "0.0123");
	check_text(joules(1), "0.000001");
	check_text(joules(0), "0.00");
	check_text(joules(123456789012345), "123456789");
}

static void the_answer_is_one_json_object(void)
{
	const struct jt_estimate p = { .uj = 1500000,
		                       .lo_uj = 1000000,
		                       .hi_uj = 2000000,
		                       .token_uj = 15000,
		                       .prompt_tokens = 12,
		                       .output_tokens = 100,
		                       .batch = 3,
		                       .outside_data = true,
		                       .reason = "for \"reasons\"" };
	struct jt_buf b;

	jt__buf_init(&b, 4096);
	jt__estimate_answer(&b, "a\"b", &p);
	jt__buf_append(&b, "", 1);
	check_text(jt__buf_bytes(&b),
	           "{\"object\":\"energy.prediction\",\"model\":\"a\\\"b\",\"energy\":{"
	           "\"predicted_j\":1.5,\"lo_j\":1,\"hi_j\":2,\"per_output_token_j\":0.015,"
	           "\"provenance\":\"predicted\"},\"prompt_tokens\":12,\"output_tokens\":100,"
	           "\"batch\":3,\"outside_data\":true,\"reason\":\"for \\\"reasons\\\"\"}");
	jt__buf_fini(&b);
}

int main(void)
{
	struct jt_error err;

	if (jt__fitted_load(JT_SOURCE_ROOT "/data/predictor/model.json", &model, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		return 1;
	}
	test(says_joules_and_an_interval_around_them);
	test(max_tokens_is_the_most);
	test(expects_answers_as_long_as_those_before);
	test(each_choice_is_a_sequence_and_an_answer);
	test(who_runs_already_shares_the_weights);
	test(no_more_run_at_once_than_the_engine_takes);
	test(says_which_key_is_missing_where_nothing_is_predicted);
	test(what_is_configured_wrongly_is_no_upstream);
	test(joules_have_three_digits_and_no_exponent);
	test(the_answer_is_one_json_object);
	jt__fitted_free(model);
	return tap_done();
}
