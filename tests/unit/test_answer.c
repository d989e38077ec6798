/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "stream.h"

#define CHUNK(members) "data: {" members "}\n\n"
#define TOKEN(i, text)                                                                             \
	CHUNK("\"choices\":[{\"index\":" #i ",\"delta\":{\"content\":\"" text "\"}}]")
#define FINISH(i) CHUNK("\"choices\":[{\"index\":" #i ",\"delta\":{},\"finish_reason\":\"stop\"}]")
#define COUNTS(p, c) "\"usage\":{\"prompt_tokens\":" #p ",\"completion_tokens\":" #c "}"
#define USAGE(p, c) CHUNK("\"choices\":[]," COUNTS(p, c))
#define RUNNING(i, p, c)                                                                           \
	CHUNK("\"choices\":[{\"index\":" #i ",\"delta\":{\"content\":\"x\"}}]," COUNTS(p, c))
#define CLOSING(i, p, c)                                                                           \
	CHUNK("\"choices\":[{\"index\":" #i                                                        \
	      ",\"delta\":{},\"finish_reason\":\"length\"}]," COUNTS(p, c))
#define DONE "data: [DONE]\n\n"

static struct jt_answer answer;
static const char *path = "/v1/chat/completions"; /* whose form it has */
static char sent[1 << 18];                        /* what a client got, as text */

static const struct jt_answer *pass_bytes(const char *bytes, size_t n, size_t piece,
                                          enum jt_filter_mode mode, enum jt_answer_kind kind,
                                          size_t max_held)
{
	struct jt_filter f;
	struct jt_buf out;

	jt__filter_init(&f, mode, jt__api_find(path)->form, kind, max_held);
	jt__buf_init(&out, sizeof(sent) - 1);
	for (size_t at = 0; at < n; at += piece)
		forward(&f, bytes + at, JT_MIN(piece, n - at), &out);
	forward_end(&f, &out);
	check(!out.failed);
	memset(sent, 0, sizeof(sent));
	if (out.data)
		memcpy(sent, jt__buf_bytes(&out), jt__buf_len(&out));
	answer = f.answer;
	jt__buf_fini(&out);
	jt__filter_fini(&f);
	return &answer;
}

static const struct jt_answer *read_stream(const char *text)
{
	return pass_bytes(text, strlen(text), strlen(text), JT_FILTER_PASS, JT_ANSWER_STREAM,
	                  65536);
}

static const char *dropped(const char *text)
{
	pass_bytes(text, strlen(text), strlen(text), JT_FILTER_DROP, JT_ANSWER_STREAM, 65536);
	return sent;
}

static const char *with_energy(const char *text, enum jt_answer_kind kind)
{
	pass_bytes(text, strlen(text), strlen(text), JT_FILTER_ENERGY, kind, 65536);
	return sent;
}

/* ---- tokens ---- */

static void every_kind_of_content_is_a_token(void)
{
	static const char *const choices[] = {
		"{\"delta\":{\"content\":\"x\"}}",
		"{\"delta\":{\"reasoning\":\"x\"}}",
		"{\"delta\":{\"reasoning_content\":\"x\"}}",
		"{\"delta\":{\"refusal\":\"x\"}}",
		"{\"delta\":{\"content\":null,\"tool_calls\":[{\"index\":0}]}}",
		"{\"delta\":{\"content\":[{\"type\":\"text\"}]}}",
		"{\"text\":\"x\",\"index\":0}",
		"{\"message\":{\"content\":\"x\"}}",
		"{\"delta\":{\"reasoning\":\"x\",\"reasoning_content\":\"x\"}}",
	};
	char text[256];

	for (size_t i = 0; i < JT_ARRAY_LEN(choices); i++) {
		snprintf(text, sizeof(text), "data: {\"choices\":[%s]}\n\n", choices[i]);
		read_stream(text);
		if (!check(answer.n_content == 1 && answer.n_choices == 1 &&
		           (answer.news & JT_NEWS_FIRST_TOKEN)))
			printf("# %s\n", text);
	}
}

static void roles_empty_texts_and_progress_are_not_tokens(void)
{
	read_stream(
		": ping\n\n"
		"event: ping\ndata: {}\n\n"
		"data:\n\n" CHUNK("\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":"
	                          "\"\"}}]") CHUNK("\"choices\":[{\"delta\":{\"role\":"
	                                           "\"assistant\",\"content\":null}}]")
			CHUNK("\"choices\":[{\"delta\":{\"tool_calls\":[],\"reasoning\":\"\"}}]")
				CHUNK("\"choices\":[{\"text\":\"\",\"logprobs\":{\"content\":[{"
	                              "\"text\":\"x\"}]}}]") CHUNK("\"choices\":[],\"prompt_"
	                                                           "progress\":{\"processed\":3}")
					CHUNK("\"content\":\"x\",\"delta\":{\"content\":\"x\"}"));
	check(answer.n_content == 0 && answer.first_offset == JT_NONE);
	check(answer.n_malformed == 0 && !(answer.news & JT_NEWS_TOKEN));
	check(answer.n_choices == 1);
}

static void tells_where_the_first_token_became_known(void)
{
	static const char head[] = CHUNK("\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]"),
			  event[] = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"}}";
	char text[512];

	snprintf(text, sizeof(text), "%s%s]}\n\n" TOKEN(0, "y"), head, event);
	read_stream(text);
	check(answer.first_offset == strlen(head) + strlen(event));
	check(answer.last_offset == strlen(text) - strlen("]}\n\n"));
	check(answer.offset == strlen(text));
}

static void counts_each_choice(void)
{
	read_stream(TOKEN(1, "a") TOKEN(0, "b") TOKEN(1, "c") FINISH(1) FINISH(1) CHUNK(
		"\"choices\":[{\"index\":2,\"text\":\"x\"},{\"index\":0,\"text\":\"y\"}]"));
	check(answer.n_content == 5 && answer.n_choices == 3 && answer.n_finished == 1);
	check_text(answer.finish_reason, "stop");
}

static void choices_beyond_the_limit_are_only_in_the_sum(void)
{
	read_stream(TOKEN(127, "a") TOKEN(128, "b") TOKEN(99999999999, "c") TOKEN(-1, "d")
	                    FINISH(128));
	check(answer.n_content == 4 && answer.n_choices == 1);
	check(answer.n_finished == 0);
}

static void json_in_a_token_is_text(void)
{
	read_stream(TOKEN(0, "\\\"usage\\\":{\\\"completion_tokens\\\":9}}\\n\\ndata: [DONE]"));
	check(answer.n_content == 1 && !answer.done && answer.report.completion_tokens == JT_NONE);
}

/* ---- lines ---- */

static void takes_every_kind_of_line_end(void)
{
	static const char *const streams[] = {
		"data: {\"choices\":[{\"text\":\"x\"}]}\n\ndata: [DONE]\n\n",
		"data: {\"choices\":[{\"text\":\"x\"}]}\r\n\r\ndata: [DONE]\r\n\r\n",
		"data: {\"choices\":[{\"text\":\"x\"}]}\r\rdata: [DONE]\r\r",
		"\xef\xbb\xbf"
		"data:{\"choices\":[{\"text\":\"x\"}]}\n\ndata:[DONE]\n\n",
		"id: 7\nevent: chunk\ndata: {\"choices\":\ndata: [{\"text\":\ndata\ndata: "
		"\"x\"}]}\n\n"
		"data: [DONE]",
		"retry: 5\n\n: hello\ndata: {\"choices\":[{\"text\":\"x\"}]}\n: bye\n\ndata: "
		"[DONE]\n",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(streams); i++)
		for (size_t piece = 1; piece < 90; piece++) {
			pass_bytes(streams[i], strlen(streams[i]), piece, JT_FILTER_DROP,
			           JT_ANSWER_STREAM, 65536);
			if (!check(answer.n_content == 1 && answer.done && !answer.n_malformed &&
			           !strcmp(sent, streams[i])))
				printf("# stream %zu in pieces of %zu\n", i, piece);
		}
}

static void a_tail_without_a_blank_line_counts(void)
{
	static const char tail[] = "data: {\"choices\":[]," COUNTS(3, 4) "}";

	read_stream(tail);
	check(answer.report.completion_tokens == 4);
	check_text(dropped(tail), "");
	check_text(dropped("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}"),
	           "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}");
}

static void malformed_events_are_counted_and_survived(void)
{
	static const char stream[] = "data: {\"choices\":[{\"text\":\"x\"}}\n\n"
				     "data: nonsense\n\ndata: [1]\n\ndata: {\"a\":\n\n"
				     "bogus\n::\n\nevent\n\n" TOKEN(0, "x");

	check_text(dropped(stream), stream);
	check(answer.n_malformed == 3 && answer.n_content == 2);
}

static void bytes_that_are_not_text_are_survived(void)
{
	static const char nul[] = "data: {\"a\0\":1}\n\n\0\0\n\nda\0ta: x\n\n" TOKEN(0, "x");

	for (size_t piece = 1; piece < sizeof(nul); piece++) {
		pass_bytes(nul, sizeof(nul) - 1, piece, JT_FILTER_DROP, JT_ANSWER_STREAM, 65536);
		check(answer.n_content == 1 && answer.n_malformed == 1);
		check(memcmp(sent, nul, sizeof(nul) - 1) == 0);
	}
}

static void half_a_character_a_piece_is_no_matter(void)
{
	static const char stream[] = TOKEN(0, "\xf0\x9f\x98\x80\xc3\xa9") USAGE(1, 2) DONE;

	pass_bytes(stream, sizeof(stream) - 1, 1, JT_FILTER_DROP, JT_ANSWER_STREAM, 65536);
	check(answer.n_content == 1 && answer.done);
	check_text(sent, TOKEN(0, "\xf0\x9f\x98\x80\xc3\xa9") DONE);
}

static void a_line_without_end_is_passed_on(void)
{
	enum { N = 200000 };
	static char line[N];

	for (int kind = 0; kind < 3; kind++) {
		memset(line, 'x', N);
		memcpy(line, kind == 0 ? "data: {\"" : kind == 1 ? "data: [[" : "event: a", 8);
		pass_bytes(line, N, 1000, JT_FILTER_DROP, JT_ANSWER_STREAM, 65536);
		check(memcmp(sent, line, N) == 0 && sent[N] == '\0');
	}
}

/* ---- reports ---- */

static void reads_usage_timings_and_metrics(void)
{
	read_stream(TOKEN(0, "x") FINISH(0) CHUNK(
		"\"choices\":[],\"usage\":{\"prompt_tokens\":62,\"completion_tokens\":12,"
		"\"prompt_tokens_details\":{\"cached_tokens\":61},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":7}},"
		"\"timings\":{\"cache_n\":61,\"prompt_n\":1,\"prompt_ms\":1.5,"
		"\"queue_ms\":0.25,\"predicted_n\":12,\"predicted_ms\":11.504}") DONE);
	check(answer.report.prompt_tokens == 62 && answer.report.completion_tokens == 12);
	check(answer.report.cached_tokens == 61 && answer.report.reasoning_tokens == 7);
	check(answer.report.reused_tokens == 61 && answer.report.computed_tokens == 1);
	check(answer.report.decoded_tokens == 12 && answer.report.queue_ns == 250000);
	check(answer.report.prefill_ns == 1500000 && answer.report.decode_ns == 11504000);
	check(answer.news == (JT_NEWS_FIRST_TOKEN | JT_NEWS_TOKEN | JT_NEWS_REPORT |
	                      JT_NEWS_FINISH | JT_NEWS_DONE));

	read_stream(CHUNK("\"choices\":[]," COUNTS(
		1, 2) ",\"metrics\":{\"queue_time_ms\":12.3,"
	              "\"time_to_first_token_ms\":85.2,\"generation_time_ms\":1240.5}"));
	check(answer.report.queue_ns == 12300000 && answer.report.prefill_ns == 85200000);
	check(answer.report.decode_ns == 1240500000);
	check(answer.report.cached_tokens == JT_NONE && answer.report.computed_tokens == JT_NONE);
}

static void null_usage_is_ignored(void)
{
	read_stream(CHUNK("\"choices\":[{\"text\":\"x\"}],\"usage\":null,\"metrics\":null")
	                    FINISH(0) USAGE(5, 1) CHUNK("\"choices\":[],\"usage\":null"));
	check(answer.report.prompt_tokens == 5 && answer.report.completion_tokens == 1);
	check(answer.n_malformed == 0);
}

static void one_report_for_each_choice_is_added_up(void)
{
	read_stream(TOKEN(1, "a") TOKEN(0, "b") FINISH(1) USAGE(50, 3) TOKEN(0, "c") FINISH(0)
	                    USAGE(50, 4) DONE);
	check(answer.report.completion_tokens == 7 && answer.report.prompt_tokens == 50);
	read_stream(CLOSING(0, 9, 3) CLOSING(1, 9, 5) DONE);
	check(answer.report.completion_tokens == 8 && answer.report.prompt_tokens == 9);
	read_stream(
		CHUNK("\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}],\"timings\":"
	              "{\"prompt_n\":10,\"cache_n\":0,\"prompt_ms\":5,\"predicted_ms\":2}")
			CHUNK("\"choices\":[{\"index\":1,\"finish_reason\":\"stop\"}],\"timings\":"
	                      "{\"prompt_n\":1,\"cache_n\":9,\"prompt_ms\":1,\"predicted_ms\":3}"));
	check(answer.report.computed_tokens == 11 && answer.report.reused_tokens == 9);
	check(answer.report.prefill_ns == 5000000 && answer.report.decode_ns == 3000000);
}

static void running_totals_are_not_added_up(void)
{
	/* One choice; usage on every chunk, the finish chunk and once more at the end. */
	read_stream(RUNNING(0, 9, 1) RUNNING(0, 9, 2) CLOSING(0, 9, 3) USAGE(9, 3) DONE);
	check(answer.report.completion_tokens == 3 && answer.report.prompt_tokens == 9);
	/* Two choices, totals of each its own; the last report is for both. */
	read_stream(RUNNING(0, 9, 1) RUNNING(1, 9, 1) RUNNING(0, 9, 2) CLOSING(0, 9, 3)
	                    RUNNING(1, 9, 2) CLOSING(1, 9, 4) USAGE(9, 7) DONE);
	check(answer.report.completion_tokens == 7 && answer.report.prompt_tokens == 9);
	/* The same without a last report. */
	read_stream(RUNNING(0, 9, 1) RUNNING(1, 9, 1) CLOSING(0, 9, 3) RUNNING(1, 9, 2)
	                    CLOSING(1, 9, 4) DONE);
	check(answer.report.completion_tokens == 7);
	/* Totals on chunks without choices before the end. */
	read_stream(TOKEN(0, "a") USAGE(9, 1) TOKEN(0, "b") USAGE(9, 2) FINISH(0) USAGE(9, 3) DONE);
	check(answer.report.completion_tokens == 3);
	/* No finish reason anywhere: the last one is taken. */
	read_stream(TOKEN(0, "a") USAGE(9, 1) TOKEN(0, "b") USAGE(9, 2) DONE);
	check(answer.report.completion_tokens == 2);
}

static void both_choices_may_finish_before_one_report(void)
{
	read_stream(TOKEN(0, "a") TOKEN(1, "b") FINISH(0) FINISH(1) USAGE(9, 6) DONE);
	check(answer.report.completion_tokens == 6);
}

static void an_aborted_stream_is_counted_by_its_events(void)
{
	bool reported = true;

	read_stream(TOKEN(0, "a") TOKEN(0, "b") TOKEN(0, "c"));
	check(jt__answer_completion_tokens(&answer, &reported) == 3 && !reported);
	read_stream(RUNNING(0, 9, 2) RUNNING(0, 9, 5));
	check(jt__answer_completion_tokens(&answer, &reported) == 5 && reported);
	/* One of two choices has reported; the other goes on. */
	read_stream(TOKEN(0, "a") TOKEN(1, "b") FINISH(0) USAGE(9, 1) TOKEN(1, "c"));
	check(jt__answer_completion_tokens(&answer, &reported) == 3 && !reported);
	/* Over: the engine knows better, even when it counts less. */
	read_stream(TOKEN(0, "a") TOKEN(0, "b") FINISH(0) USAGE(9, 1) DONE);
	check(jt__answer_completion_tokens(&answer, NULL) == 1);
}

static void wrong_figures_are_unknown(void)
{
	read_stream(
		CHUNK("\"choices\":[],\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":1e400,"
	              "\"prompt_tokens_details\":null}"));
	check(answer.report.prompt_tokens == JT_NONE && answer.report.completion_tokens == JT_NONE);
	read_stream(CHUNK("\"choices\":[],\"usage\":[1],\"timings\":7"));
	check(!(answer.news & JT_NEWS_REPORT));
}

static void errors_are_noticed(void)
{
	read_stream(TOKEN(0, "x") CHUNK("\"error\":{\"message\":\"boom\",\"code\":500}") DONE);
	check(answer.n_errors == 1 && answer.done && (answer.news & JT_NEWS_ERROR));
	read_stream("event: error\ndata: {\"message\":\"boom\"}\n\n");
	check(answer.n_errors == 1);
	read_stream("error: {\"code\":500}\n\n");
	check(answer.n_errors == 1);
	read_stream(CHUNK("\"error\":null,\"choices\":[]") "event: errors\n\n");
	check(answer.n_errors == 0);
}

/* ---- what goes on ---- */

static void usage_chunks_are_dropped_whole(void)
{
	check_text(dropped(TOKEN(0, "x") USAGE(1, 2) DONE), TOKEN(0, "x") DONE);
	check_text(dropped(TOKEN(0, "x") USAGE(1, 2) TOKEN(1, "y") USAGE(3, 4) DONE),
	           TOKEN(0, "x") TOKEN(1, "y") DONE);
	check_text(
		dropped("event: u\r\ndata: {\"usage\":{},\"choices\": [ ] }\r\n\r\n: hi\r\n\r\n"),
		": hi\r\n\r\n");
	check_text(dropped("data: {\"usage\":{},\"choices\":[]}\r\rdata: [DONE]\r\r"),
	           "data: [DONE]\r\r");
	check_text(dropped(": hi\ndata: {\"choices\":[],\n: ho\ndata: \"usage\":{}}\n\n" DONE),
	           ": hi\n" DONE);
}

static void all_other_chunks_go_on(void)
{
	static const char *const streams[] = {
		CLOSING(0, 1, 2),
		CHUNK("\"usage\":{},\"choices\":[{}]"),
		CHUNK("\"choices\":[],\"usage\":null"),
		CHUNK("\"choices\":[],\"prompt_filter_results\":[]"),
		CHUNK("\"choices\":null,\"usage\":{}"),
		CHUNK("\"usage\":{}"),
		CHUNK("\"choices\":[],\"x\":{\"usage\":{}}"),
		"ata: {\"choices\":[],\"usage\":{}}\n\n",
		"data: {\"choices\":[],\"usage\":{}} trailing\n\n",
		"\n\n\n: a comment\n\n\nid: 4\n\ndata: [DONE]\n\n",
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(streams); i++)
		check_text(dropped(streams[i]), streams[i]);
}

/* A token event must not wait for its end, nor a comment for the event it stands before. */
static void token_events_are_released_at_their_first_choice(void)
{
	static const char begin[] = ": hi\ndata: {\"id\":\"a\",\"choices\":[{";
	const char *p = begin, *end = begin + sizeof(begin) - 1;
	struct jt_filter f;

	jt__filter_init(&f, JT_FILTER_DROP, jt__api_find(path)->form, JT_ANSWER_STREAM, 65536);
	check(jt__filter_next(&f, &p, end - 1) == JT_FILTER_SEND);
	check(f.out[0].n == 0 && f.out[1].n == 5 && memcmp(f.out[1].bytes, ": hi\n", 5) == 0);
	check(jt__filter_next(&f, &p, end - 1) == JT_FILTER_MORE && p == end - 1);
	check(jt__filter_next(&f, &p, end) == JT_FILTER_SEND);
	check(f.out[0].n + f.out[1].n == sizeof(begin) - 1 - 5);
	check(memcmp(f.out[0].bytes, begin + 5, f.out[0].n) == 0 && f.out[1].bytes[0] == '{');
	jt__filter_fini(&f);
}

#define LONG CHUNK("\"a\":\"01234567890123456789012345678901234567890123456789\"")

static void an_event_too_long_to_hold_goes_on(void)
{
	static const char stream[] =
		"data: {\"choices\":[],\"pad\":\"0123456789012345678901234567\","
		"\"usage\":{}}\n\n" USAGE(1, 2) DONE;
	static const char second[] = LONG "data: {\"choices\":[],\"usage\":{}}\n\n";

	for (size_t piece = 1; piece < 40; piece++) {
		pass_bytes(stream, sizeof(stream) - 1, piece, JT_FILTER_DROP, JT_ANSWER_STREAM, 32);
		check(strstr(sent, "0123456789012345678901234567") && strstr(sent, DONE));
		check(answer.report.completion_tokens == 2);
	}
	/* The next event is held again. */
	pass_bytes(second, sizeof(second) - 1, 9, JT_FILTER_DROP, JT_ANSWER_STREAM, 36);
	check_text(sent, LONG);
}

static void without_memory_nothing_is_held_or_lost(void)
{
	static const char stream[] = TOKEN(0, "x") USAGE(1, 2) DONE;
	struct jt_filter f;
	struct jt_buf out;

	for (uint64_t nth = 1; nth < 4; nth++) {
		jt__buf_init(&out, 4096);
		jt__buf_reserve(&out, 4096); /* so that only the filter allocates */
		jt__filter_init(&f, JT_FILTER_DROP, jt__api_find(path)->form, JT_ANSWER_STREAM,
		                65536);
		jt__alloc_fail_at(nth);
		for (size_t i = 0; i < sizeof(stream) - 1; i++)
			forward(&f, stream + i, 1, &out);
		forward_end(&f, &out);
		jt__alloc_fail_at(0);
		check(f.answer.done && f.answer.report.completion_tokens == 2);
		check(jt__buf_len(&out) >= strlen(TOKEN(0, "x") DONE));
		check(memcmp(jt__buf_bytes(&out), TOKEN(0, "x"), strlen(TOKEN(0, "x"))) == 0);
		jt__filter_fini(&f);
		jt__buf_fini(&out);
	}
}

#define ENERGY "\"energy\":{\"total_j\":1.5}"

static void energy_goes_into_the_closing_usage(void)
{
	check_text(with_energy(TOKEN(0, "x") CHUNK("\"choices\":[],\"usage\":{\"a\":1}") DONE,
	                       JT_ANSWER_STREAM),
	           TOKEN(0, "x") CHUNK("\"choices\":[],\"usage\":{\"a\":1," ENERGY "}") DONE);
	check_text(with_energy(CHUNK("\"choices\":[],\"usage\":{ }"), JT_ANSWER_STREAM),
	           CHUNK("\"choices\":[],\"usage\":{ " ENERGY "}"));
	check_text(with_energy(
			   CHUNK("\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"d\":{}}"),
			   JT_ANSWER_STREAM),
	           CHUNK("\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"d\":{}," ENERGY
	                 "}"));
	check_text(with_energy(RUNNING(0, 1, 1) CHUNK("\"choices\":[],\"usage\":null"),
	                       JT_ANSWER_STREAM),
	           RUNNING(0, 1, 1) CHUNK("\"choices\":[],\"usage\":null"));
}

static void energy_goes_into_a_plain_body(void)
{
	check_text(
		with_energy(
			"{\"choices\":[{\"message\":{\"content\":\"}\"}}],\"usage\":{\"a\":{}}}\n",
			JT_ANSWER_PLAIN),
		"{\"choices\":[{\"message\":{\"content\":\"}\"}}],\"usage\":{\"a\":{}," ENERGY
		"}}\n");
	check(answer.done && answer.n_content == 1 && !answer.n_malformed);
	check_text(with_energy("{\"usage\":{},\"choices\":[]}", JT_ANSWER_PLAIN),
	           "{\"usage\":{" ENERGY "},\"choices\":[]}");
	check_text(with_energy("{\"error\":{\"message\":\"no\"}}", JT_ANSWER_PLAIN),
	           "{\"error\":{\"message\":\"no\"}}");
	check(answer.n_errors == 1);
	check_text(with_energy("not json", JT_ANSWER_PLAIN), "not json");
	check(answer.n_malformed == 1 && !answer.done);
	check_text(with_energy("{\"usage\":{}} {\"usage\":{}}", JT_ANSWER_PLAIN),
	           "{\"usage\":{" ENERGY "}} {\"usage\":{}}");
	check(answer.n_malformed == 1);
}

/* ---- other APIs ---- */

static const struct jt_answer *read_as(const char *of, const char *text, enum jt_answer_kind kind)
{
	path = of;
	pass_bytes(text, strlen(text), strlen(text), JT_FILTER_PASS, kind, 65536);
	path = "/v1/chat/completions";
	return &answer;
}

static const char *with_energy_as(const char *of, const char *text, enum jt_answer_kind kind)
{
	path = of;
	with_energy(text, kind);
	path = "/v1/chat/completions";
	return sent;
}

#define EVENT(type, members) "event: " type "\ndata: {\"type\":\"" type "\"" members "}\n\n"
#define DELTA(type) EVENT("response." type ".delta", ",\"delta\":\"x\"")
#define BLOCK(members) EVENT("content_block_delta", ",\"index\":0,\"delta\":{" members "}")
#define LINE(members) "{\"model\":\"m\"," members "}\n"

static void any_delta_of_a_response_is_a_token(void)
{
	read_as("/v1/responses",
	        EVENT("response.created", ",\"response\":{\"status\":\"queued\",\"usage\":null}")
	                EVENT("response.output_item.added",
	                      ",\"item\":{\"content\":[{\"delta\":\"x\"}]}")
	                        DELTA("reasoning_summary_text") DELTA("reasoning_text")
	                                DELTA("output_text") DELTA("refusal")
	                                        DELTA("function_call_arguments")
	                                                EVENT("response.output_text.delta",
	                                                      ",\"delta\":\"\"")
	                                                        EVENT("response.output_text.done",
	                                                              ",\"text\":\"xx\""),
	        JT_ANSWER_STREAM);
	check(answer.n_content == 5 && answer.n_choices == 1 && !answer.n_finished && !answer.done);
	check(answer.report.completion_tokens == JT_NONE && !answer.n_errors);
}

static void a_response_ends_by_its_status(void)
{
	static const struct {
		const char *status;
		bool ends, fails;
	} cases[] = { { "queued", false, false },   { "in_progress", false, false },
		      { "completed", true, false }, { "incomplete", true, false },
		      { "cancelled", true, false }, { "failed", true, true } };
	char text[256];

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		snprintf(text, sizeof(text),
		         "data: {\"response\":{\"usage\":{\"input_tokens\":4,"
		         "\"output_tokens\":2},\"status\":\"%s\"}}\n\n",
		         cases[i].status);
		read_as("/v1/responses", text, JT_ANSWER_STREAM);
		if (!check(answer.done == cases[i].ends && answer.n_finished == cases[i].ends &&
		           answer.n_closing == cases[i].ends && answer.n_errors == cases[i].fails))
			printf("# %s\n", text);
		check(answer.report.prompt_tokens == 4);
	}
}

static void every_delta_of_a_message_but_a_signature_is_a_token(void)
{
	read_as("/v1/messages",
	        EVENT("ping", "") BLOCK("\"type\":\"text_delta\",\"text\":\"x\"")
	                BLOCK("\"type\":\"thinking_delta\",\"thinking\":\"x\"")
	                        BLOCK("\"type\":\"input_json_delta\",\"partial_json\":\"x\"") BLOCK(
					"\"type\":\"input_json_delta\",\"partial_json\":\"\"")
	                                BLOCK("\"type\":\"signature_delta\",\"signature\":\"x\""),
	        JT_ANSWER_STREAM);
	check(answer.n_content == 3 && !answer.done);
}

static void the_prompt_of_a_message_is_all_that_went_in(void)
{
	read_as("/v1/messages",
	        EVENT("message_start",
	              ",\"message\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":1,"
	              "\"cache_read_input_tokens\":400,"
	              "\"cache_creation_input_tokens\":100}}"),
	        JT_ANSWER_STREAM);
	check(answer.report.prompt_tokens == 507 && answer.report.cached_tokens == 400);
	check(answer.report.completion_tokens == JT_NONE); /* nothing has come yet */
	read_as("/v1/messages", "{\"usage\":{\"input_tokens\":7,\"output_tokens\":2}}",
	        JT_ANSWER_PLAIN);
	check(answer.report.prompt_tokens == 7 && answer.report.cached_tokens == JT_NONE);
	check(jt__answer_completion_tokens(&answer, NULL) == 2);
	read_as("/v1/messages", "{\"usage\":{\"cache_read_input_tokens\":7}}", JT_ANSWER_PLAIN);
	check(answer.report.prompt_tokens == JT_NONE);
}

static void an_error_is_one_error(void)
{
	bool reported = true;

	read_as("/v1/messages",
	        BLOCK("\"text\":\"x\"") EVENT("error", ",\"error\":{\"type\":\"overloaded_error\"}")
	                DONE,
	        JT_ANSWER_STREAM);
	check(answer.n_errors == 1 && answer.n_content == 1 && !answer.n_malformed);
	check(jt__answer_completion_tokens(&answer, &reported) == 1 && !reported);
	read_as("/v1/responses", "data: {\"type\":\"error\",\"message\":\"no\"}\n\n",
	        JT_ANSWER_STREAM);
	check(answer.n_errors == 1);
	read_as("/api/chat", LINE("\"response\":\"x\"") "{\"error\":\"no\"}\n", JT_ANSWER_LINES);
	check(answer.n_errors == 1 && answer.n_content == 1 && !answer.done);
}

static void a_line_is_an_event_however_it_ends(void)
{
	static const char *const streams[] = {
		LINE("\"response\":\"x\"") LINE("\"done\":true"),
		LINE("\"response\":\"x\"") "\n\r\n\n" LINE("\"done\":true,\"response\":\"\""),
		"{\"response\":\"x\\n\"} \r\n {\"done\":true}",
		"nonsense\n" LINE("\"response\":\"x\"") LINE("\"done\":true"),
		LINE("\"response\":\"x\"") "{\"done\":\n" LINE("\"done\":true"),
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(streams); i++) {
		for (size_t piece = 1; piece < 60; piece++) {
			path = "/api/generate";
			pass_bytes(streams[i], strlen(streams[i]), piece, JT_FILTER_DROP,
			           JT_ANSWER_LINES, 65536);
			path = "/v1/chat/completions";
			if (!check(answer.n_content == 1 && answer.done && answer.n_finished == 1 &&
			           answer.n_malformed == (i == 3) && !strcmp(sent, streams[i])))
				printf("# stream %zu in pieces of %zu\n", i, piece);
		}
	}
}

static void ollama_waited_for_what_its_times_leave_over(void)
{
#define TIMES "\"total_duration\":230,\"prompt_eval_duration\":60,\"eval_duration\":120"
	read_as("/api/chat", LINE("\"done\":true,\"load_duration\":40," TIMES), JT_ANSWER_LINES);
	check(answer.report.queue_ns == 10 && answer.report.load_ns == 40);
	check(answer.report.prefill_ns == 60 && answer.report.decode_ns == 120);
	read_as("/api/chat", LINE("\"done\":true,\"load_duration\":400," TIMES), JT_ANSWER_LINES);
	check(answer.report.queue_ns == 0);
	read_as("/api/chat", LINE("\"done\":true," TIMES), JT_ANSWER_LINES);
	check(answer.report.queue_ns == JT_NONE && answer.report.load_ns == JT_NONE);
	read_as("/api/embed", "{\"total_duration\":50,\"load_duration\":40}", JT_ANSWER_PLAIN);
	check(answer.report.queue_ns == JT_NONE && answer.report.load_ns == 40);
}

static void energy_goes_where_the_counts_are(void)
{
	check_text(with_energy_as("/v1/responses",
	                          EVENT("response.created", ",\"response\":{\"usage\":null}")
	                                  EVENT("response.completed",
	                                        ",\"response\":{\"status\":\"completed\",\"usage\":"
	                                        "{\"output_tokens\":1}}"),
	                          JT_ANSWER_STREAM),
	           EVENT("response.created", ",\"response\":{\"usage\":null}") EVENT(
			   "response.completed", ",\"response\":{\"status\":\"completed\","
						 "\"usage\":{\"output_tokens\":1," ENERGY "}}"));
	check_text(
		with_energy_as("/v1/messages",
	                       EVENT("message_start",
	                             ",\"message\":{\"usage\":{}},\"usage\":{\"output_tokens\":0}")
	                               EVENT("message_delta",
	                                     ",\"delta\":{\"stop_reason\":\"end_turn\"},"
	                                     "\"usage\":{\"output_tokens\":2}"),
	                       JT_ANSWER_STREAM),
		EVENT("message_start",
	              ",\"message\":{\"usage\":{}},\"usage\":{\"output_tokens\":0}")
			EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\"},"
	                                       "\"usage\":{\"output_tokens\":2," ENERGY "}"));
	check_text(with_energy_as("/api/chat",
	                          LINE("\"done\":false") LINE("\"done\":true,\"eval_count\":1"),
	                          JT_ANSWER_LINES),
	           LINE("\"done\":false") LINE("\"done\":true,\"eval_count\":1," ENERGY));
	check_text(with_energy_as("/api/generate", "{\"done\":true}", JT_ANSWER_PLAIN),
	           "{\"done\":true," ENERGY "}");
	check_text(with_energy_as("/api/embed", "{}", JT_ANSWER_PLAIN), "{" ENERGY "}");
	check_text(with_energy_as("/api/embed", "[]", JT_ANSWER_PLAIN), "[]");
	check_text(with_energy_as("/api/chat", "{\"error\":\"no\"}", JT_ANSWER_PLAIN),
	           "{\"error\":\"no\"}");
	check_text(with_energy_as("/completion", CHUNK("\"stop\":false") CHUNK("\"stop\":true"),
	                          JT_ANSWER_STREAM),
	           CHUNK("\"stop\":false") CHUNK("\"stop\":true," ENERGY));
	check_text(with_energy_as("/score", "{\"usage\":{\"total_tokens\":3}}", JT_ANSWER_PLAIN),
	           "{\"usage\":{\"total_tokens\":3," ENERGY "}}");
	check(answer.report.prompt_tokens == 3);
}

int main(void)
{
	test(every_kind_of_content_is_a_token);
	test(roles_empty_texts_and_progress_are_not_tokens);
	test(tells_where_the_first_token_became_known);
	test(counts_each_choice);
	test(choices_beyond_the_limit_are_only_in_the_sum);
	test(json_in_a_token_is_text);
	test(takes_every_kind_of_line_end);
	test(a_tail_without_a_blank_line_counts);
	test(malformed_events_are_counted_and_survived);
	test(bytes_that_are_not_text_are_survived);
	test(half_a_character_a_piece_is_no_matter);
	test(a_line_without_end_is_passed_on);
	test(reads_usage_timings_and_metrics);
	test(null_usage_is_ignored);
	test(one_report_for_each_choice_is_added_up);
	test(running_totals_are_not_added_up);
	test(both_choices_may_finish_before_one_report);
	test(an_aborted_stream_is_counted_by_its_events);
	test(wrong_figures_are_unknown);
	test(errors_are_noticed);
	test(usage_chunks_are_dropped_whole);
	test(all_other_chunks_go_on);
	test(token_events_are_released_at_their_first_choice);
	test(an_event_too_long_to_hold_goes_on);
	test(without_memory_nothing_is_held_or_lost);
	test(energy_goes_into_the_closing_usage);
	test(energy_goes_into_a_plain_body);
	test(any_delta_of_a_response_is_a_token);
	test(a_response_ends_by_its_status);
	test(every_delta_of_a_message_but_a_signature_is_a_token);
	test(the_prompt_of_a_message_is_all_that_went_in);
	test(an_error_is_one_error);
	test(a_line_is_an_event_however_it_ends);
	test(ollama_waited_for_what_its_times_leave_over);
	test(energy_goes_where_the_counts_are);
	return tap_done();
}
