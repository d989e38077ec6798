/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's readers on any bytes. The first byte chooses: a request, or an
 * answer in one of the filter's modes; of 'a', and where its highest bit is set,
 * a second one the API and the framing. Cutting must not matter; what is forwarded
 * must be what came, but for what the mode names; an edited request must ask
 * for usage.
 */
#include <stdlib.h>
#include <string.h>
#include "gateway/ask.h"
#include "stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static const char *const paths[] = { "/v1/chat/completions", "/v1/responses",
	                             "/v1/messages",         "/api/chat",
	                             "/completion",          "/v1/embeddings" };

static const struct jt_api *api_at(unsigned i)
{
	return jt__api_find(paths[i % JT_ARRAY_LEN(paths)]);
}

static void fuzz_ask(const struct jt_api *api, const char *body, size_t n)
{
	struct jt_ask ask;
	struct jt_buf out;

	jt__ask_read(&ask, api, body, n);
	require(strlen(ask.model) < sizeof(ask.model));
	if (!ask.edit.text)
		return;
	require(api->asks_usage && ask.valid && ask.stream && ask.include_usage != JT_OPTION_TRUE);
	require(ask.edit.offset + ask.edit.remove <= n);
	jt__buf_init(&out, n + 256);
	jt__buf_append(&out, body, ask.edit.offset);
	jt__buf_append_text(&out, ask.edit.text);
	jt__buf_append(&out, body + ask.edit.offset + ask.edit.remove,
	               n - ask.edit.offset - ask.edit.remove);
	jt__ask_read(&ask, api, jt__buf_bytes(&out), jt__buf_len(&out));
	require(ask.valid && ask.stream && ask.include_usage == JT_OPTION_TRUE && !ask.edit.text);
	jt__buf_fini(&out);
}

static struct jt_answer answer_in_pieces(const char *body, size_t n, size_t piece,
                                         enum jt_filter_mode mode, const struct jt_form *form,
                                         enum jt_answer_kind kind, size_t max_held,
                                         struct jt_buf *out)
{
	struct jt_filter f;

	jt__filter_init(&f, mode, form, kind, max_held);
	for (size_t at = 0; at < n; at += piece)
		forward(&f, body + at, JT_MIN(piece, n - at), out);
	forward_end(&f, out);
	jt__filter_fini(&f);
	require(!out->failed && f.answer.offset == n);
	return f.answer;
}

static bool is_text(const struct jt_buf *b, const char *text, size_t n)
{
	return jt__buf_len(b) == n && (!n || memcmp(jt__buf_bytes(b), text, n) == 0);
}

/* Every byte of @sent came, in this order. */
static bool is_part_of(const struct jt_buf *sent, const char *body, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n && found < jt__buf_len(sent); i++)
		found += jt__buf_bytes(sent)[found] == body[i];
	return found == jt__buf_len(sent);
}

static void fuzz_answer(const struct jt_form *form, enum jt_answer_kind kind, const char *body,
                        size_t n, unsigned choice)
{
	enum jt_filter_mode mode = choice % 3;
	size_t max_held = choice & 8 ? 48 : 65536, piece = 1 + (choice >> 4) % 7;
	struct jt_buf whole, cut;
	struct jt_answer a, b;

	/* An energy member for each two bytes is more than there can be. */
	jt__buf_init(&whole, (n + 1) * 16 + 4096);
	jt__buf_init(&cut, (n + 1) * 16 + 4096);
	a = answer_in_pieces(body, n, n ? n : 1, mode, form, kind, 65536, &whole);
	b = answer_in_pieces(body, n, piece, mode, form, kind, max_held, &cut);
	require(a.news == b.news && a.n_content == b.n_content && a.done == b.done);
	require(a.first_offset == b.first_offset && a.last_offset == b.last_offset);
	require(a.n_malformed == b.n_malformed && a.n_errors == b.n_errors);
	require(a.n_choices == b.n_choices && a.n_finished == b.n_finished);
	require(memcmp(&a.report, &b.report, sizeof(a.report)) == 0);
	if (mode == JT_FILTER_DROP)
		require(is_part_of(&whole, body, n) && is_part_of(&cut, body, n));
	if (mode != JT_FILTER_DROP || max_held > n)
		require(is_text(&cut, whole.data, jt__buf_len(&whole)));
	if (mode == JT_FILTER_PASS)
		require(is_text(&whole, body, n));
	jt__buf_fini(&whole);
	jt__buf_fini(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = (const char *)data + 1;

	if (!n)
		return 0;
	if (data[0] == 'A')
		fuzz_ask(api_at(0), text, n - 1);
	else if (data[0] == 'a' && n > 1)
		fuzz_ask(api_at(data[1]), text + 1, n - 2);
	else if (data[0] & 0x80 && n > 1)
		fuzz_answer(api_at(data[1])->form, data[1] / JT_ARRAY_LEN(paths) % 3, text + 1,
		            n - 2, data[0]);
	else
		fuzz_answer(api_at(0)->form, data[0] & 4 ? JT_ANSWER_PLAIN : JT_ANSWER_STREAM, text,
		            n - 1, data[0]);
	return 0;
}
