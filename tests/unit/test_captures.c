/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What llama-server really sent, and what others are documented to send, cut at every place: the
 * same figures, the same bytes forwarded.
 */
#include <inttypes.h>
#include <jansson.h>
#include "gateway/ask.h"
#include "tap.h"
#include "stream.h"

#define NONE JT_NONE
#define S "../engine_streams/"

static const struct expected {
	const char *name;
	uint64_t n_content, n_choices, n_finished;
	uint64_t prompt, completion, cached, computed, decoded, prefill_ns, decode_ns;
	bool done;
	uint32_t n_errors;
	uint32_t n_usage_chunks;
	uint32_t n_splices;
	uint64_t queue_ns, load_ns; /* 0: not told */
} captures[] = {
	/* clang-format off */
	/*                             content ch fin prompt compl cached comp  dec   prefill    decode  done err chunks splices */
	{ "chat_stream_usage",              12, 1, 1,   62,   12,    0,   62,   12,  32420000,  11504000, 1, 0, 1, 1 },
	{ "chat_stream_no_usage",           12, 1, 1, NONE, NONE, NONE,    1,   12,   1123000,  11380000, 1, 0, 0, 0 },
	{ "chat_stream_cached_prompt",      12, 1, 1,   62,   12,   61,    1,   12,   1042000,  11535000, 1, 0, 1, 1 },
	{ "chat_stream_logprobs",            2, 1, 1,   51,    2,   35,   16,    2,   6012000,   1491000, 1, 0, 1, 1 },
	{ "chat_stream_timings_per_token_progress",
					     4, 1, 1,  730,    4,    0,  730,    4, 150357000,  13707000, 1, 0, 1, 1 },
	{ "chat_finish_stop",               67, 1, 1,   59,   68,   35,   24,   68,   8023000,  71002000, 1, 0, 1, 1 },
	{ "chat_n2_stream",                  6, 2, 2,   51,    6,   50,    2,    6,   1088000,   5664000, 1, 0, 2, 2 },
	{ "chat_nonstream",                  1, 1, 1,   62,   12,   61,    1,   12,   1265000,   8400000, 1, 0, 0, 1 },
	{ "completions_stream",              4, 1, 1,    7,    4,    2,    5,    4,   1985000,   2789000, 1, 0, 0, 1 },
	{ "client_disconnect",               6, 1, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 0, 0, 0, 0 },
	{ "error_bad_json",                  0, 0, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ "error_no_messages",               0, 0, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ "native_completion_stream",        3, 1, 1,    7,    3, NONE,    1,    3,    981000,   1467000, 1, 0, 0, 1 },
	{ "responses_stream",                4, 1, 1,   31,    4,    4,   27,    4,   5979000,   3810000, 1, 0, 0, 1 },
	{ "anthropic_messages_stream",       4, 1, 1,   31,    4,   30, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	/* Usage and timings on the finish chunk, asked for or not. */
	{ "v2025-02/chat_stream_usage",     12, 1, 1,  106,   12, NONE,  106,   12,  15278000,  12055000, 1, 0, 0, 1 },
	{ "v2025-02/chat_stream_no_usage",  12, 1, 1,  106,   12, NONE,    1,   12,   1240000,  12058000, 1, 0, 0, 1 },
	{ "v2025-02/chat_stream_cached_prompt",
					    12, 1, 1,  106,   12, NONE,    1,   12,   1326000,  12405000, 1, 0, 0, 1 },
	{ "v2025-02/chat_stream_logprobs",   2, 1, 1,   95,    2, NONE,   34,    2,  12840000,   2881000, 1, 0, 0, 1 },
	{ "v2025-02/chat_stream_timings_per_token_progress",
					     4, 1, 1,  774,    4, NONE,  713,    4, 202681000,   7592000, 1, 0, 0, 1 },
	{ "v2025-02/chat_finish_stop",      44, 1, 1,  103,   45, NONE,   42,   45,  15281000, 114749000, 1, 0, 0, 1 },
	{ "v2025-02/chat_n2_stream",         0, 0, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ "v2025-02/chat_nonstream",         1, 1, 1,  106,   12, NONE,  106,   12,  37914000,  28588000, 1, 0, 0, 1 },
	{ "v2025-02/completions_stream",     4, 1, 1,    7,    4, NONE,    7,    4,   3667000,   8213000, 1, 0, 0, 1 },
	{ "v2025-02/client_disconnect",      6, 1, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 0, 0, 0, 0 },
	{ "v2025-02/error_bad_json",         0, 0, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ "v2025-02/native_completion_stream",
					     3, 1, 1,    7,    3, NONE,    1,    3,   2737000,   5669000, 1, 0, 0, 1 },
	/* Of engines that do not run here. */
	{ S "vllm_chat_metrics",             4, 1, 1,   21,    5,   16, NONE, NONE,  85200000,1240500000, 1, 0, 1, 1, 12300000 },
	{ S "vllm_chat_n2_plain",            2, 2, 2,   21,    6, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "vllm_chat_error",               1, 1, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ S "vllm_responses_metrics",        8, 1, 1,   40,   14,   32, NONE, NONE,  85200000,1240500000, 1, 0, 0, 1, 12300000 },
	{ S "responses_incomplete",          1, 1, 1,   40,    8,   32, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "responses_failed",              1, 1, 1, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ S "responses_error",               1, 1, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 0, 1, 0, 0 },
	{ S "responses_plain",               1, 1, 1,   40,   14,   32, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "anthropic_messages",            6, 1, 1,  507,   61,  400, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "vllm_messages",                 1, 1, 1,   21,    2, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "messages_error",                2, 1, 0,   25, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 1, 0, 0 },
	{ S "messages_plain",                1, 1, 1,   21,    3,   14, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "ollama_chat",                   5, 1, 1,   26,  282, NONE, NONE, NONE, 342546000,4535599000, 1, 0, 0, 1, 4103583, 1334875 },
	{ S "ollama_generate",               3, 1, 1,   26,  282, NONE, NONE, NONE, 342546000,4535599000, 1, 0, 0, 1, 4103583, 1334875 },
	{ S "ollama_generate_unended",       1, 1, 1,   26,  282, NONE, NONE, NONE, 342546000,4535599000, 1, 0, 0, 1, 4103583, 1334875 },
	{ S "ollama_chat_plain",             1, 1, 1,   26,  282, NONE, NONE, NONE, 342546000,4535599000, 1, 0, 0, 1, 4103583, 1334875 },
	{ S "ollama_error",                  2, 1, 0, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 0, 1, 0, 0 },
	{ S "ollama_load",                   0, 1, 1, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "sglang_ollama_chat",            1, 1, 1, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "ollama_embed",                  0, 1, 1,    8, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1, 0, 1019500 },
	{ S "ollama_embeddings",             0, 1, 1, NONE, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "embeddings",                    0, 1, 1,    8, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "rerank",                        0, 1, 1,   56, NONE, NONE, NONE, NONE,      NONE,      NONE, 1, 0, 0, 1 },
	{ S "native_completion_plain",       1, 1, 1,    7,    3, NONE,    1,    3,    981000,   1467000, 1, 0, 0, 1 },
	/* clang-format on */
};

static const enum jt_filter_mode modes[] = { JT_FILTER_PASS, JT_FILTER_DROP, JT_FILTER_ENERGY };

/* Passes @c on, cut at @cut or into pieces of one byte (0). */
static void replay(const struct capture *c, enum jt_filter_mode mode, size_t cut,
                   struct jt_filter *f, struct jt_buf *out)
{
	jt__filter_init(f, mode, c->api->form, c->kind, 65536);
	jt__buf_clear(out);
	if (cut) {
		forward(f, c->body, cut, out);
		forward(f, c->body + cut, c->n_body - cut, out);
	} else {
		for (size_t i = 0; i < c->n_body; i++)
			forward(f, c->body + i, 1, out);
	}
	forward_end(f, out);
	jt__filter_fini(f);
}

static void reads_what_the_engine_said(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(captures); i++) {
		const struct expected *e = &captures[i];
		struct capture c = capture_load(e->name);
		const struct jt_report *r;
		struct jt_filter f;
		struct jt_buf out;
		bool ok;

		jt__buf_init(&out, 1 << 20);
		replay(&c, JT_FILTER_PASS, c.n_body, &f, &out);
		r = &f.answer.report;
		ok = check(f.answer.n_content == e->n_content &&
		           f.answer.n_choices == e->n_choices) &
		     check(f.answer.n_finished == e->n_finished && f.answer.done == e->done) &
		     check(f.answer.n_errors == e->n_errors && f.answer.n_malformed == 0) &
		     check(r->prompt_tokens == e->prompt && r->cached_tokens == e->cached) &
		     check(r->completion_tokens == e->completion) &
		     check(r->computed_tokens == e->computed && r->decoded_tokens == e->decoded) &
		     check(r->prefill_ns == e->prefill_ns && r->decode_ns == e->decode_ns) &
		     check(r->queue_ns == (e->queue_ns ? e->queue_ns : NONE)) &
		     check(r->load_ns == (e->load_ns ? e->load_ns : NONE)) &
		     check(f.answer.offset == c.n_body);
		if (!ok)
			printf("# in %s\n", e->name);
		jt__buf_fini(&out);
		capture_free(&c);
	}
}

/* All that the answer's reader found out. */
static void results(const struct jt_answer *a, char *text, size_t size)
{
	const struct jt_report *r = &a->report;
	int n = snprintf(text, size, "%u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, a->news,
	                 a->offset, a->first_offset, a->last_offset, a->n_content);

	n += snprintf(text + n, size - (size_t)n, " %u %u %s %u %u %u %d", a->n_choices,
	              a->n_finished, a->finish_reason, a->n_closing, a->n_errors, a->n_malformed,
	              a->done);
	for (size_t i = 0; i < sizeof(*r) / sizeof(uint64_t); i++)
		n += snprintf(text + n, size - (size_t)n, " %" PRIu64, ((const uint64_t *)r)[i]);
}

/* At every place; in the two long captures at every seventh, or this would take as long as all
 * other tests together. */
static bool every_cut_agrees(const struct capture *c, enum jt_filter_mode mode)
{
	struct jt_buf want, got;
	char want_results[512], got_results[512];
	struct jt_filter f;
	size_t step = c->n_body > 6000 ? 7 : 1;
	bool same = true;

	jt__buf_init(&want, 1 << 20);
	jt__buf_init(&got, 1 << 20);
	replay(c, mode, c->n_body, &f, &want);
	results(&f.answer, want_results, sizeof(want_results));
	for (size_t cut = 0; cut < c->n_body && same; cut += step) {
		replay(c, mode, cut, &f, &got);
		results(&f.answer, got_results, sizeof(got_results));
		same = strcmp(want_results, got_results) == 0 &&
		       jt__buf_len(&got) == jt__buf_len(&want) &&
		       memcmp(jt__buf_bytes(&got), jt__buf_bytes(&want), jt__buf_len(&got)) == 0;
		if (!same)
			printf("# cut at %zu, mode %d\n", cut, mode);
	}
	jt__buf_fini(&want);
	jt__buf_fini(&got);
	return same;
}

static void it_does_not_matter_where_the_bytes_are_cut(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(captures); i++) {
		struct capture c = capture_load(captures[i].name);

		for (size_t m = 0; m < JT_ARRAY_LEN(modes); m++)
			if (!check(every_cut_agrees(&c, modes[m])))
				printf("# in %s\n", captures[i].name);
		capture_free(&c);
	}
}

/* The events of a stream without its usage chunks, found the slow way. */
static size_t without_usage_chunks(const struct capture *c, char *out, uint32_t *ret_n_chunks)
{
	const char *p = c->body, *end = p + c->n_body;
	size_t n = 0;

	*ret_n_chunks = 0;
	while (c->kind == JT_ANSWER_STREAM && p < end) {
		const char *stop = strstr(p, "\n\n");
		size_t len = stop && stop < end ? (size_t)(stop + 2 - p) : (size_t)(end - p);

		if (memmem(p, len, "\"choices\":[],", 13) && memmem(p, len, "\"usage\":{", 9)) {
			++*ret_n_chunks;
		} else {
			memcpy(out + n, p, len);
			n += len;
		}
		p += len;
	}
	return n;
}

static void a_client_gets_what_the_engine_sent_less_usage_chunks(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(captures); i++) {
		struct capture c = capture_load(captures[i].name);
		char *want = calloc(1, c.n_body + 1);
		struct jt_filter f;
		struct jt_buf out;
		uint32_t n_chunks;
		size_t n = without_usage_chunks(&c, want, &n_chunks);

		jt__buf_init(&out, 1 << 20);
		check(n_chunks == captures[i].n_usage_chunks);
		replay(&c, JT_FILTER_PASS, 1, &f, &out);
		check(jt__buf_len(&out) == c.n_body);
		check(memcmp(jt__buf_bytes(&out), c.body, c.n_body) == 0);
		replay(&c, JT_FILTER_DROP, 1, &f, &out);
		if (c.kind == JT_ANSWER_STREAM)
			check(jt__buf_len(&out) == n && memcmp(jt__buf_bytes(&out), want, n) == 0);
		else
			check(jt__buf_len(&out) == c.n_body);
		free(want);
		jt__buf_fini(&out);
		capture_free(&c);
	}
}

/* Taking ,"energy":{…} out of @text again; the number of times it was there. */
static uint32_t take_energy_out(char *text)
{
	uint32_t n = 0;
	char *p;

	while ((p = strstr(text, spliced))) {
		p -= p[-1] == ',';
		memmove(p, p + strlen(spliced) + 1, strlen(p + strlen(spliced) + 1) + 1);
		n++;
	}
	return n;
}

static void energy_stands_in_the_usage_and_nothing_else_changes(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(captures); i++) {
		struct capture c = capture_load(captures[i].name);
		struct jt_filter f;
		struct jt_buf out;
		char *text;

		jt__buf_init(&out, 1 << 20);
		replay(&c, JT_FILTER_ENERGY, 1, &f, &out);
		jt__buf_append(&out, "", 1);
		text = out.data + out.begin;
		if (!check(take_energy_out(text) == captures[i].n_splices))
			printf("# in %s\n", captures[i].name);
		check(strlen(text) == c.n_body && memcmp(text, c.body, c.n_body) == 0);
		jt__buf_fini(&out);
		capture_free(&c);
	}
}

/* The figures in one document: in its usage, or at its top. */
static json_t *energy_of(json_t *doc)
{
	json_t *usage = json_object_get(doc, "usage");

	if (!usage)
		usage = json_object_get(json_object_get(doc, "response"), "usage");
	return json_object_get(usage ? usage : doc, "energy");
}

/* The documents of a body as the client got it that have figures, and have them where they belong.
 */
static uint32_t count_energies(char *body, enum jt_answer_kind kind)
{
	uint32_t n = 0;

	for (char *next = body, *line;
	     (line = strsep(&next, kind == JT_ANSWER_PLAIN ? "" : "\n"));) {
		const char *text = line + (kind == JT_ANSWER_STREAM ? strlen("data: ") : 0);
		json_t *doc;

		if (!strstr(line, spliced))
			continue;
		doc = json_loads(text, 0, NULL);
		n += json_number_value(json_object_get(energy_of(doc), "total_j")) == 1.5;
		json_decref(doc);
	}
	return n;
}

static void what_energy_was_put_into_is_json(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(captures); i++) {
		struct capture c = capture_load(captures[i].name);
		struct jt_filter f;
		struct jt_buf out;

		jt__buf_init(&out, 1 << 20);
		replay(&c, JT_FILTER_ENERGY, c.n_body, &f, &out);
		jt__buf_append(&out, "", 1);
		if (!check(count_energies(out.data + out.begin, c.kind) == captures[i].n_splices))
			printf("# in %s\n", captures[i].name);
		jt__buf_fini(&out);
		capture_free(&c);
	}
}

static void reads_the_requests_too(void)
{
	struct capture c = capture_load("chat_n2_stream");
	struct jt_ask ask;

	jt__ask_read(&ask, c.api, c.request, c.n_request);
	check(ask.valid && ask.stream && ask.include_usage == JT_OPTION_TRUE && ask.n == 2);
	check(ask.max_tokens == 3 && !ask.edit.text);
	check_text(ask.model, "tiny");
	capture_free(&c);

	c = capture_load("chat_stream_no_usage");
	jt__ask_read(&ask, c.api, c.request, c.n_request);
	check(ask.valid && ask.include_usage == JT_OPTION_ABSENT && ask.edit.offset == 1);
	check(ask.prompt_bytes == strlen("systemYou are terse.userSay something."));
	capture_free(&c);

	c = capture_load(S "ollama_chat");
	jt__ask_read(&ask, c.api, c.request, c.n_request);
	check(ask.valid && ask.stream && ask.max_tokens == 300 && !ask.edit.text);
	capture_free(&c);

	c = capture_load("error_bad_json");
	jt__ask_read(&ask, c.api, c.request, c.n_request);
	check(!ask.valid);
	capture_free(&c);
}

int main(void)
{
	test(reads_what_the_engine_said);
	test(it_does_not_matter_where_the_bytes_are_cut);
	test(a_client_gets_what_the_engine_sent_less_usage_chunks);
	test(energy_stands_in_the_usage_and_nothing_else_changes);
	test(what_energy_was_put_into_is_json);
	test(reads_the_requests_too);
	return tap_done();
}
