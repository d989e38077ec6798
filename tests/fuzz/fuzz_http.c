/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP parser on any bytes. The first byte says whether they are requests,
 * whether the first answer is to HEAD, and how they are cut into pieces. Cutting must
 * not matter; a head that gets through must be one that is safe to forward.
 */
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "http/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX_HEAD 700 /* small, so that limits are met */

struct log {
	struct jt_buf text;
	bool pausing;
	bool chunked;
	uint64_t length; /* announced; JT_NONE: not */
	uint64_t n_body;
	bool has_body;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_text(const char *text, size_t n, bool blanks)
{
	require(strlen(text) == n);
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		require(c != 0x7f && (c > ' ' || (blanks && (c == ' ' || c == '\t'))));
	}
}

static int on_head(void *user, const struct jt_head *h)
{
	struct log *l = user;
	int framed = 0;

	require(!h->chunked || h->content_length == JT_NONE);
	if (h->is_request) {
		require(h->target[0] == '/' || strcmp(h->target, "*") == 0);
		check_text(h->target, strlen(h->target), false);
		require(!h->minor_version || jt__head_find(h, "host"));
		jt__buf_printf(&l->text, "%s %s\n", h->method, h->target);
	} else {
		require(h->status >= 200 && h->status <= 599);
		jt__buf_printf(&l->text, "%u\n", h->status);
	}
	require(h->n_headers <= JT_HTTP_MAX_HEADERS);
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct jt_header *header = &h->headers[i];

		require(header->name_len > 0);
		check_text(header->name, header->name_len, false);
		check_text(header->value, header->value_len, true);
		framed += strcasecmp(header->name, "content-length") == 0 ||
		          strcasecmp(header->name, "transfer-encoding") == 0;
		jt__buf_printf(&l->text, "%s=%s\n", header->name, header->value);
	}
	require(framed <= 1);
	l->chunked = h->chunked;
	l->length = h->content_length;
	l->has_body = h->has_body;
	l->n_body = 0;
	return l->pausing;
}

static int on_body(void *user, const char *bytes, size_t n)
{
	struct log *l = user;

	require(n && l->has_body);
	l->n_body += n;
	require(l->length == JT_NONE || l->n_body <= l->length);
	jt__buf_append(&l->text, bytes, n);
	return l->pausing;
}

static int on_end(void *user)
{
	struct log *l = user;

	require(!l->has_body || l->length == JT_NONE || l->n_body == l->length);
	jt__buf_append_text(&l->text, "\n.\n");
	return l->pausing;
}

static const struct jt_parser_events events = { on_head, on_body, on_end };

/* An exact copy on the heap, so that a sanitizer sees a read beyond the piece. */
static int feed_piece(struct jt_parser *p, const uint8_t *data, size_t n)
{
	char *copy = malloc(n ? n : 1);
	size_t at = 0, used, idle = 0;
	int status;

	memcpy(copy, data, n);
	do {
		status = jt__parser_feed(p, copy + at, n - at, &used, NULL);
		at += used;
		/* A pause may take no byte, but there are not many in a row. */
		idle = used ? 0 : idle + 1;
		require(idle < 5);
	} while (status == JT_OK && (at < n || used));
	free(copy);
	return status;
}

static int run(const uint8_t *data, size_t n, uint8_t flags, uint64_t seed, struct log *l)
{
	struct jt_parser *p = jt__parser_new(flags & 1, MAX_HEAD, &events, l);
	struct jt_rng rng = { seed };
	int status = JT_OK;

	if (flags & 2)
		jt__parser_expect_no_body(p);
	for (size_t at = 0, piece; at < n && status == JT_OK; at += piece) {
		piece = seed ? 1 + jt__rng_below(&rng, 1 + (flags >> 2)) : n;
		piece = JT_MIN(piece, n - at);
		status = feed_piece(p, data + at, piece);
	}
	if (status == JT_OK) {
		bool in_message = jt__parser_in_message(p);

		status = jt__parser_eof(p);
		require(in_message || status == JT_OK);
	}
	jt__parser_free(p);
	return status < 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct log whole = { 0 }, cut = { .pausing = true };
	int failed;

	if (!n)
		return 0;
	jt__buf_init(&whole.text, 4 * n + (1 << 16));
	jt__buf_init(&cut.text, 4 * n + (1 << 16));
	failed = run(data + 1, n - 1, data[0], 0, &whole);
	require(run(data + 1, n - 1, data[0], n + data[0], &cut) == failed);
	require(jt__buf_len(&whole.text) == jt__buf_len(&cut.text));
	require(!jt__buf_len(&whole.text) ||
	        memcmp(jt__buf_bytes(&whole.text), jt__buf_bytes(&cut.text),
	               jt__buf_len(&whole.text)) == 0);
	jt__buf_fini(&whole.text);
	jt__buf_fini(&cut.text);
	return 0;
}
