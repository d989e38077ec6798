/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include "tap.h"
#include "tree.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "simulator/trace.h"
#include "simulator/workload.h"

static struct tree dir;
static struct jt_error err;

/* NULL: an error, in err. */
static struct jt_workload *open_text(const char *text, uint64_t max_lines)
{
	struct jt_workload *w = NULL;

	tree_put(&dir, "/trace.jsonl", text);
	memset(&err, 0, sizeof(err));
	check((jt__workload_open(tree_path(&dir, "/trace.jsonl"), max_lines, &w, &err) == JT_OK) ==
	      (w != NULL));
	return w;
}

/* Request @nth of line @line; all zero if there is none. */
static struct jt_ask ask_at(struct jt_workload *w, uint64_t line, uint32_t nth)
{
	struct jt_ask a = { 0 };

	check(jt__workload_read(w, line, nth, true, &a, &err) == JT_OK);
	return a;
}

static void reads_requests_in_order_of_arrival(void)
{
	struct jt_workload *w =
		open_text("{\"input_toks\":10,\"output_toks\":1,\"arrival_time_ns\":300}\n"
	                  "\n"
	                  "{\"input_toks\":20,\"output_toks\":2,\"arrival_time_ns\":100}\r\n"
	                  " { \"arrival_time_ns\" : 300, \"output_toks\" : 3,\"input_toks\":30 } \n"
	                  "{\"input_toks\":40,\"output_toks\":4,\"arrival_time_ns\":100}",
	                  0);
	const uint64_t ids[] = { 1, 3, 0, 2 };

	if (!check(w != NULL))
		return;
	check(jt__workload_lines(w) == 4 && jt__workload_requests(w) == 4);
	check(jt__workload_first_ns(w) == 100 && jt__workload_arrival_ns(w, 2) == 300);
	check(jt__workload_arrival_ns(w, 4) == JT_NONE);
	for (uint64_t i = 0; i < 4; i++) {
		struct jt_ask a = ask_at(w, i, 0);

		check(a.id == ids[i] && a.input_tokens == 10 * (ids[i] + 1) &&
		      a.output_tokens == ids[i] + 1 && a.is_last && !a.n_input_ids);
	}
	jt__workload_free(w);
}

static void reads_sessions_and_counts_their_requests(void)
{
	struct jt_workload *w = open_text(
		"{\"session_id\":\"a\\u00e9\",\"arrival_time_ns\":5,\"sub_requests\":["
		"{\"input_toks\":1,\"output_toks\":2,\"tool_duration_ns\":70},"
		"{\"input_toks\":3,\"output_toks\":4,\"input_tok_ids\":[7,8]} ]}\n"
		"{\"input_toks\":9,\"output_toks\":9,\"arrival_time_ns\":2,\"session_id\":null}\n",
		0);
	struct jt_ask a;

	if (!check(w != NULL))
		return;
	check(jt__workload_lines(w) == 2 && jt__workload_requests(w) == 3);
	a = ask_at(w, 0, 0);
	check(a.id == 2 && a.input_tokens == 9 && a.is_last && a.arrival_ns == 2);
	a = ask_at(w, 1, 0);
	check(a.id == 0 && a.input_tokens == 1 && a.pause_ns == 70 && !a.is_last);
	a = ask_at(w, 1, 1);
	check(a.id == 1 && a.output_tokens == 4 && a.pause_ns == 0 && a.is_last);
	check(a.arrival_ns == 5 && a.n_input_ids == 2 && a.ids[1] == 8);
	check(jt__workload_read(w, 1, 2, false, &a, &err) == JT_ENOENT);
	check(jt__workload_read(w, 2, 0, false, &a, &err) == JT_ENOENT);
	jt__workload_free(w);
}

static void token_ids_are_kept_as_they_are_input_first(void)
{
	struct jt_workload *w =
		open_text("{\"output_tok_ids\":[4294967295, 5 ,\t0],\"input_toks\":1,"
	                  "\"output_toks\":1,\"arrival_time_ns\":1,\"input_tok_ids\":[1234567,"
	                  "12345678,123456789]}\n"
	                  "{\"output_tok_ids\":[],\"input_toks\":1,\"output_toks\":1,"
	                  "\"arrival_time_ns\":2,\"input_tok_ids\":null}\n",
	                  0);
	const uint32_t want[] = { 1234567, 12345678, 123456789, 4294967295, 5, 0 };
	struct jt_ask a;

	if (!check(w != NULL))
		return;
	a = ask_at(w, 0, 0);
	check(a.n_input_ids == 3 && a.n_output_ids == 3);
	check(a.ids && memcmp(a.ids, want, sizeof(want)) == 0);
	check(jt__workload_read(w, 0, 0, false, &a, &err) == JT_OK);
	check(a.n_input_ids == 0 && a.n_output_ids == 0 && a.input_tokens == 1);
	a = ask_at(w, 1, 0);
	check(a.n_input_ids == 0 && a.n_output_ids == 0);
	jt__workload_free(w);
}

static void fractions_of_a_nanosecond_are_dropped(void)
{
	struct jt_workload *w =
		open_text("{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":1.9e3}\n"
	                  "{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":46926808.75}\n"
	                  "{\"input_toks\":1,\"output_toks\":1,"
	                  "\"arrival_time_ns\":999999999999999999}\n",
	                  0);

	if (!check(w != NULL))
		return;
	check(jt__workload_arrival_ns(w, 0) == 1900);
	check(jt__workload_arrival_ns(w, 1) == 46926808);
	check(jt__workload_arrival_ns(w, 2) == UINT64_C(999999999999999999));
	jt__workload_free(w);
}

static void no_more_lines_are_read_than_asked_for(void)
{
	struct jt_workload *w =
		open_text("\n{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":9}\n\n"
	                  "{\"input_toks\":2,\"output_toks\":1,\"arrival_time_ns\":3}\n"
	                  "this is not looked at\n",
	                  2);

	check(w && jt__workload_lines(w) == 2 && jt__workload_first_ns(w) == 3);
	jt__workload_free(w);
}

static void an_empty_file_has_no_requests(void)
{
	struct jt_workload *w = open_text("\n \n", 0);

	check(w && jt__workload_lines(w) == 0 && jt__workload_requests(w) == 0);
	check(w && jt__workload_first_ns(w) == JT_NONE);
	jt__workload_free(w);
}

static void what_is_wrong_is_named_with_file_line_and_field(void)
{
#define REST ",\"output_toks\":1,\"arrival_time_ns\":1}"
#define SESSION "{\"arrival_time_ns\":1,\"sub_requests\":"
	static const struct {
		const char *line, *message;
	} cases[] = {
		{ "x", "'{' is missing at byte 1" },
		{ "{}", "'arrival_time_ns' is missing" },
		{ "{\"input_toks\":1", "',' or '}' is missing at byte 16" },
		{ "{\"input_toks\":1" REST "x", "more follows the object" },
		{ "{\"input_toks\" 1" REST, "':' is missing" },
		{ "{\"input_toks\":0" REST,
		  "'input_toks' must be a whole number from 1 to 99999999" },
		{ "{\"input_toks\":-1" REST, "'input_toks' must be" },
		{ "{\"input_toks\":1.0" REST, "'input_toks' must be" },
		{ "{\"input_toks\":01" REST, "'input_toks' must be" },
		{ "{\"input_toks\":1e9" REST, "'input_toks' must be" },
		{ "{\"input_toks\":100000000" REST, "'input_toks' must be" },
		{ "{\"input_toks\":\"1\"" REST, "'input_toks' must be" },
		{ "{\"input_toks\":NaN" REST, "'input_toks' must be" },
		{ "{\"arrival_time_ns\":1,\"input_toks\":5}", "'output_toks' is missing" },
		{ "{\"output_toks\":1,\"input_toks\":5}", "'arrival_time_ns' is missing" },
		{ "{\"arrival_time_ns\":1,\"output_toks\":5}", "'input_toks' is missing" },
		{ "{\"arrival_time_ns\":-1}", "'arrival_time_ns' must be a time from 0" },
		{ "{\"arrival_time_ns\":1e19}", "'arrival_time_ns' must be a time from 0" },
		{ "{\"arrival_time_ns\":1e999}", "'arrival_time_ns' must be a time from 0" },
		{ "{\"arrival_time_ns\":null}", "'arrival_time_ns' must be a number" },
		{ "{\"arrival_time_ns\":.5}", "'arrival_time_ns' must be a number" },
		{ "{\"arrival_time_ns\":5.}", "'arrival_time_ns' must be a number" },
		{ "{\"input_tokens\":1" REST, "'input_tokens' is an unknown key" },
		{ "{\"input_toks\":1,\"input_toks\":1" REST, "'input_toks' is there twice" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[1,]" REST,
		  "'input_tok_ids' must be a list" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[-1]" REST,
		  "'input_tok_ids' must be a list" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[1.5]" REST, "'input_tok_ids' must be" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[01]" REST, "'input_tok_ids' must be" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[4294967296]" REST, "'input_tok_ids' must" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[1 2]" REST, "'input_tok_ids' must be" },
		{ "{\"input_toks\":1,\"input_tok_ids\":[1", "'input_tok_ids' must be a list" },
		{ "{\"input_toks\":1,\"input_tok_ids\":{}" REST, "'input_tok_ids' must be a list" },
		{ "{\"input_toks\":1,\"session_id\":[]" REST, "'session_id' must be text" },
		{ "{\"input_toks\":1,\"session_id\":\"a\tb\"" REST,
		  "a byte that no string may hold" },
		{ "{\"input_toks\":1,\"session_id\":\"\xff\"" REST,
		  "a byte that no string may hold" },
		{ "{\"input_toks\":1,\"session_id\":\"\\x\"" REST, "an unknown escape" },
		{ "{\"input_toks\":1,\"session_id\":\"\\u12g4\"" REST, "an unknown escape" },
		{ "{\"input_toks\":1,\"session_id\":\"abc", "a string does not end" },
		{ "{\"tool_duration_ns\":1,\"input_toks\":1" REST,
		  "'tool_duration_ns' belongs into 'sub_requests'" },
		{ SESSION "[]}", "'sub_requests' is an empty list" },
		{ SESSION "1}", "'sub_requests' must be a list" },
		{ SESSION "[1]}", "'{' is missing" },
		{ SESSION "[{\"input_toks\":1,\"output_toks\":1},{\"input_toks\":1}]}",
		  "'sub_requests[1].output_toks' is missing" },
		{ SESSION "[{\"input_toks\":1,\"output_toks\":0}]}",
		  "'sub_requests[0].output_toks' must be" },
		{ SESSION "[{\"arrival_time_ns\":1}]}",
		  "'sub_requests[0].arrival_time_ns' belongs to the session" },
		{ SESSION "[{\"sub_requests\":[]}]}", "'sub_requests[0].sub_requests' belongs" },
		{ SESSION "[{\"input_toks\":1,\"output_toks\":1}],\"input_toks\":1}",
		  "'sub_requests' and a request's own keys are both there" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		char text[512];

		snprintf(text, sizeof(text), "\n%s\n", cases[i].line);
		check(open_text(text, 0) == NULL);
		if (!check(err.status == JT_EINVAL && strstr(err.where, "trace.jsonl:2") &&
		           strstr(err.message, cases[i].message)))
			printf("# %s: %s: %s\n", cases[i].line, err.where, err.message);
	}
}

static void a_file_that_is_not_there_is_named(void)
{
	struct jt_workload *w = NULL;

	check(jt__workload_open("/nowhere/x.jsonl", 0, &w, &err) == JT_ENOENT && !w);
	check(strstr(err.message, "/nowhere/x.jsonl") != NULL);
	check(jt__workload_open("/tmp", 0, &w, &err) == JT_EIO && !w);
}

static void a_line_that_is_too_long_is_an_error(void)
{
	struct jt_workload *w = NULL;

	tree_put(&dir, "/hole.jsonl", "\n");
	check(truncate(tree_path(&dir, "/hole.jsonl"), 65 << 20) == 0);
	check(jt__workload_open(tree_path(&dir, "/hole.jsonl"), 0, &w, &err) == JT_ELIMIT && !w);
	check(strstr(err.where, "hole.jsonl:2") && strstr(err.message, "longer than 64 MiB"));
}

/* Lines longer and shorter than what is read at once, each beginning anywhere in it. */
static void lines_are_found_wherever_the_file_is_cut(void)
{
	struct jt_workload *w = NULL;
	struct jt_rng rng = { 11 };
	uint32_t lengths[200];
	FILE *f;

	tree_put(&dir, "/long.jsonl", "");
	f = fopen(tree_path(&dir, "/long.jsonl"), "w");
	for (uint32_t i = 0; f && i < JT_ARRAY_LEN(lengths); i++) {
		lengths[i] = (uint32_t)jt__rng_below(&rng, i % 50 == 49 ? 200000 : 3000) + 1;
		fprintf(f, "{\"input_toks\":%u,\"output_toks\":1,\"arrival_time_ns\":%u,",
		        lengths[i], 1000 - i % 100);
		fprintf(f, "\"input_tok_ids\":[%u", i);
		for (uint32_t k = 1; k < lengths[i]; k++)
			fprintf(f, i % 2 ? ",%u" : ", %u", i + k);
		fprintf(f, "]}\n");
	}
	if (f)
		fclose(f);
	check(jt__workload_open(tree_path(&dir, "/long.jsonl"), 0, &w, &err) == JT_OK);
	for (uint64_t i = 0; w && i < JT_ARRAY_LEN(lengths); i++) {
		struct jt_ask a = ask_at(w, i, 0);

		check(a.n_input_ids == lengths[a.id] && a.input_tokens == lengths[a.id]);
		check(a.ids && a.ids[0] == a.id &&
		      a.ids[a.n_input_ids - 1] == a.id + lengths[a.id] - 1);
	}
	jt__workload_free(w);
}

static void standard_input_is_a_workload_too(void)
{
	struct jt_workload *w = NULL;
	int saved = dup(STDIN_FILENO), ends[2];
	const char text[] = "{\"input_toks\":7,\"output_toks\":1,\"arrival_time_ns\":2}\n";

	check(pipe(ends) == 0 && write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	check(jt__workload_open("-", 0, &w, &err) == JT_OK);
	dup2(saved, STDIN_FILENO);
	check(w && ask_at(w, 0, 0).input_tokens == 7);
	close(saved);
	close(ends[0]);
	jt__workload_free(w);
}

static void a_file_that_shrinks_after_it_was_checked_is_an_error(void)
{
	struct jt_workload *w =
		open_text("{\"input_toks\":7,\"output_toks\":1,\"arrival_time_ns\":2}\n", 0);
	struct jt_ask a = { .input_tokens = 99 };

	tree_put(&dir, "/trace.jsonl", "{}");
	check(w && jt__workload_read(w, 0, 0, true, &a, &err) == JT_EIO);
	check(a.input_tokens == 99);
	tree_put(&dir, "/trace.jsonl",
	         "{\"input_toks\":x,\"output_toks\":1,\"arrival_time_ns\":2}\n");
	check(w && jt__workload_read(w, 0, 0, true, &a, &err) == JT_EINVAL);
	jt__workload_free(w);
}

static void sixteen_requests_are_built_in(void)
{
	struct jt_workload *w = NULL;

	check(jt__workload_builtin(&w, &err) == JT_OK);
	check(w && jt__workload_lines(w) == 16 && jt__workload_first_ns(w) == 0);
	check(w && ask_at(w, 15, 0).input_tokens == 64 && ask_at(w, 15, 0).output_tokens == 64);
	jt__workload_free(w);
}

static void running_out_of_memory_anywhere_is_an_error(void)
{
	int status = JT_ENOMEM;

	for (uint64_t nth = 1; nth < 50 && status == JT_ENOMEM; nth++) {
		struct jt_workload *w = NULL;
		struct jt_ask a;

		jt__alloc_fail_at(nth);
		status = jt__workload_open(JT_SOURCE_ROOT
		                           "/data/simulator/workloads/example_trace.jsonl",
		                           0, &w, &err);
		if (!status)
			status = jt__workload_read(w, 0, 0, true, &a, &err);
		jt__alloc_fail_at(0);
		check(status == JT_OK || status == JT_ENOMEM);
		jt__workload_free(w);
	}
	check(status == JT_OK);
	jt__workload_free(NULL);
}

/* The same line to a reader of JSON that knows nothing of workloads. */
static bool is_request(const json_t *o)
{
	json_t *in = json_object_get(o, "input_toks"), *out = json_object_get(o, "output_toks"),
	       *at = json_object_get(o, "arrival_time_ns"),
	       *ids = json_object_get(o, "input_tok_ids");
	size_t i, n = 2 + 1 + (ids != NULL);
	json_t *id;

	if (!json_is_integer(in) || !json_is_integer(out) || !json_is_number(at) ||
	    json_object_size(o) != n)
		return false;
	if (json_integer_value(in) < 1 || json_integer_value(in) > JT_TRACE_MAX_TOKENS ||
	    json_integer_value(out) < 1 || json_integer_value(out) > JT_TRACE_MAX_TOKENS ||
	    json_number_value(at) < 0 || json_number_value(at) > JT_TRACE_MAX_NS)
		return false;
	if (ids && !json_is_array(ids) && !json_is_null(ids))
		return false;
	json_array_foreach(ids, i, id) if (!json_is_integer(id) || json_integer_value(id) < 0 ||
	                                   json_integer_value(id) > UINT32_MAX) return false;
	return true;
}

static void compare(const char *text, size_t n, int *n_good, int *n_bad)
{
	json_t *o = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	struct jt_trace_line got = { 0 };
	bool good = jt__trace_read(text, n, 0, false, &got, NULL) == JT_OK;

	if (!check(good == (json_is_object(o) && is_request(o))))
		printf("# %.*s\n", (int)n, text);
	if (good && o) {
		json_t *ids = json_object_get(o, "input_tok_ids"), *at;
		uint32_t out[128], n_ids;

		at = json_object_get(o, "arrival_time_ns");
		check(got.ask.input_tokens ==
		      (uint64_t)json_integer_value(json_object_get(o, "input_toks")));
		check(got.arrival_ns == (json_is_integer(at) ? (uint64_t)json_integer_value(at)
		                                             : (uint64_t)json_real_value(at)));
		check(jt__trace_ids(got.ask.input_ids, text + n, out, &n_ids) == JT_OK);
		check(n_ids == json_array_size(ids));
		for (uint32_t i = 0; i < n_ids; i++)
			check(out[i] == json_integer_value(json_array_get(ids, i)));
	}
	*n_good += good;
	*n_bad += !good;
	json_decref(o);
}

static void it_agrees_with_another_reader_on_lines_with_random_faults(void)
{
	static const char *const lines[] = {
		("{\"input_toks\":12,\"output_toks\":9,\"arrival_time_ns\":1.5e2,"
		 "\"input_tok_ids\":[1, 23,456,7890,12345,678901,2345678,98765432]}"),
		"{ \"arrival_time_ns\": 46926808, \"output_toks\": 70, \"input_toks\": 10 }",
		"{\"input_tok_ids\":null,\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":0}",
	};
	static const char faults[] = "{}[]\",:.-+eE0123456789 xn";
	struct jt_rng rng = { 2026 };
	int n_good = 0, n_bad = 0;

	for (int i = 0; i < 300000; i++) {
		const char *from = lines[i % JT_ARRAY_LEN(lines)];
		size_t n = strlen(from), at = jt__rng_below(&rng, n);
		char text[170];

		memcpy(text, from, n);
		if (i % 4 == 0) { /* one byte less */
			memmove(text + at, text + at + 1, --n - at);
		} else if (i % 4 == 1) { /* one more */
			memmove(text + at + 1, text + at, n++ - at);
			text[at] = faults[jt__rng_below(&rng, sizeof(faults) - 1)];
		} else if (i % 4 == 2) { /* another one */
			text[at] = faults[jt__rng_below(&rng, sizeof(faults) - 1)];
		} else {
			n = at;
		}
		compare(text, n, &n_good, &n_bad);
	}
	check(n_good > 20000 && n_bad > 20000);
}

int main(void)
{
	dir = tree_new(NULL);
	test(reads_requests_in_order_of_arrival);
	test(reads_sessions_and_counts_their_requests);
	test(token_ids_are_kept_as_they_are_input_first);
	test(fractions_of_a_nanosecond_are_dropped);
	test(no_more_lines_are_read_than_asked_for);
	test(an_empty_file_has_no_requests);
	test(what_is_wrong_is_named_with_file_line_and_field);
	test(a_file_that_is_not_there_is_named);
	test(a_line_that_is_too_long_is_an_error);
	test(lines_are_found_wherever_the_file_is_cut);
	test(standard_input_is_a_workload_too);
	test(a_file_that_shrinks_after_it_was_checked_is_an_error);
	test(sixteen_requests_are_built_in);
	test(running_out_of_memory_anywhere_is_an_error);
	test(it_agrees_with_another_reader_on_lines_with_random_faults);
	tree_free(&dir);
	return tap_done();
}
