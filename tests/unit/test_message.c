/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "http/message.h"
#include "tap.h"

/* What the parser said, as text: "POST /x 1 [host: a]|body|." */
struct script {
	struct jt_buf text;
	int pause_head, pause_body, pause_end;
	uint32_t n_heads;
};

static int note_head(void *user, const struct jt_head *h)
{
	struct script *s = user;

	s->n_heads++;
	if (h->is_request)
		jt__buf_printf(&s->text, "%s %s", h->method, h->target);
	else
		jt__buf_printf(&s->text, "%u", h->status);
	jt__buf_printf(&s->text, "%s", h->keep_alive ? "" : " close");
	for (size_t i = 0; i < h->n_headers; i++)
		jt__buf_printf(&s->text, " [%s: %s]", h->headers[i].name, h->headers[i].value);
	jt__buf_append_text(&s->text, "|");
	return s->pause_head;
}

static int note_body(void *user, const char *bytes, size_t n)
{
	struct script *s = user;

	jt__buf_append(&s->text, bytes, n);
	return s->pause_body;
}

static int note_end(void *user)
{
	struct script *s = user;

	jt__buf_append_text(&s->text, "|.");
	return s->pause_end;
}

static const struct jt_parser_events events = { note_head, note_body, note_end };

static const char *text_of(struct script *s)
{
	jt__buf_append(&s->text, "", 1);
	s->text.end--;
	return jt__buf_bytes(&s->text);
}

/* Feeds @n bytes in two pieces, going on after each pause; the status, or 1 for a short count. */
static int feed_split(struct jt_parser *p, const char *bytes, size_t n, size_t split)
{
	size_t at = 0, used;

	for (int piece = 0; piece < 2; piece++) {
		size_t end = piece ? n : split;

		for (int rounds = 0; rounds < 100; rounds++) {
			int status = jt__parser_feed(p, bytes + at, end - at, &used, NULL);

			at += used;
			if (status < 0)
				return status;
			/* Once more with nothing: a pause may stand behind the last byte. */
			if (at == end && !used)
				break;
		}
		if (at != end)
			return 1;
	}
	return JT_OK;
}

struct message {
	const char *bytes;
	const char *says;
};

/* clang-format off */
static const struct message requests[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / [Host: a]||." },
	{ "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n", "GET / [Host: a]||." },
	{ "GET /q?a=b%20c HTTP/1.1\r\nHost:a\r\nEmpty:\r\nBlank: \t \r\nInner:  x  y \t\r\n\r\n",
	  "GET /q?a=b%20c [Host: a] [Empty: ] [Blank: ] [Inner: x  y]||." },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
	  "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n",
	  "POST /p [Host: a] [Content-Length: 5]|hello|.GET /2 [Host: b]||." },
	{ "POST /p HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n"
	  "5\r\nhello\r\nA;ext=\"v\"\r\n, whole wo\r\n3\r\nrld\r\n0\r\nTrailer: dropped\r\nEmpty:\r\n\r\n"
	  "DELETE /2 HTTP/1.1\r\nHost: b\r\n\r\n",
	  "POST /p [Host: a] [transfer-encoding: Chunked]|hello, whole world|.DELETE /2 [Host: b]||." },
	{ "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST /p [Host: a] [Content-Length: 0]||." },
	{ "GET / HTTP/1.0\r\n\r\n", "GET / close||." },
	{ "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / [Connection: Keep-Alive]||." },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", "GET / close [Host: a] [Connection: x, close]||." },
	{ "GET http://a:80/x?y HTTP/1.1\r\nHost: A:80\r\n\r\n", "GET /x?y [Host: A:80]||." },
	{ "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "GET / [Host: a]||." },
	{ "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * [Host: a]||." },
	{ "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
	  "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
	  "GET / [Host: a] [Connection: upgrade] [Upgrade: websocket]||.GET /2 [Host: a]||." },
};

static const struct message responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
	  "200 [Content-Length: 2]|ok|.404 [Content-Length: 0]||." },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	  "e\r\ndata: {\"a\":1}\n\r\n2\r\n\n\n\r\n00\r\n\r\n",
	  "200 [Transfer-Encoding: chunked]|data: {\"a\":1}\n\n\n|." },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	  "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "200 [Content-Length: 1]|x|." },
	{ "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"
	  "HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "204||.304 [Content-Length: 9]||.304 [Transfer-Encoding: chunked]||." },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 close [Content-Length: 1]|x|." },
};

/* What must be refused, and with which status (0: that depends on where the bytes are split). */
static const struct { const char *bytes; uint32_t status; } refused[] = {
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\x0b\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", 501 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\nHost: a\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\rHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n", 400 },
	{ "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX y: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400 },
	{ "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET http:///x HTTP/1.1\r\nHost:\r\n\r\n", 400 },
	{ "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 0 },
	{ "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "GET /\r\n\r\n", 400 },
	{ "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505 },
	{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505 },
	{ "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505 },
	{ "GET / http/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505 },
	{ "GET / RTSP/1.0\r\nHost: a\r\n\r\n", 400 },
	{ "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n", 400 },
	{ "DESCRIBE / HTTP/1.1\r\nHost: a\r\n\r\n", 400 },
	{ "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501 },
	{ "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501 },
	{ "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501 },
	{ "\x16\x03\x01\x02\x00\x01", 400 },
};

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
static const char *const bad_chunks[] = {
	CHUNKED "x\r\n", CHUNKED "-1\r\n", CHUNKED "+5\r\nhello\r\n", CHUNKED "0x5\r\nhello\r\n",
	CHUNKED " 5\r\nhello\r\n", CHUNKED "5 \r\nhello\r\n", CHUNKED "5\nhello\r\n",
	CHUNKED "5\r\nhelloo\r\n", CHUNKED "5\r\nhello\n0\r\n\r\n", CHUNKED "5\r\nhello\r0\r\n\r\n",
	CHUNKED "5\rhello\r\n", CHUNKED "\r\n", CHUNKED "5;a\nb\r\nhello\r\n", CHUNKED "5;a\rb\r\nhello\r\n",
	CHUNKED "10000000000000000\r\n", CHUNKED "fffffffffffffffff\r\n", CHUNKED ";a\r\n",
	CHUNKED "0\r\nTrailer: x\nY: z\r\n\r\n", CHUNKED "0\r\nTrailer: x\r\n folded\r\n\r\n",
	CHUNKED "0\r\nTrailer : x\r\n\r\n", CHUNKED "0\r\nTrailer: x\rY: z\r\n\r\n", CHUNKED "0\r\n\n",
	CHUNKED "0\n\r\n", CHUNKED "0\r\n\rX", CHUNKED "5\r\nhello0\r\n\r\n",
};

static const char *const bad_responses[] = {
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\nX: a\n\n",
	"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
	"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 600 X\r\n\r\n",
	"\r\nHTTP/1.1 200 OK\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n", "garbage\r\n\r\n", "SSH-2.0-OpenSSH\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
};
/* clang-format on */

static void check_says(bool request, const struct message *m)
{
	size_t n = strlen(m->bytes);

	for (int pause = 0; pause < 2; pause++) {
		for (size_t split = 0; split <= n; split++) {
			struct script s = { .pause_head = pause,
				            .pause_body = pause,
				            .pause_end = pause };
			struct jt_parser *p = jt__parser_new(request, 64 << 10, &events, &s);

			jt__buf_init(&s.text, 64 << 10);
			if (!check(feed_split(p, m->bytes, n, split) == JT_OK) ||
			    !check_text(text_of(&s), m->says) || !check(!jt__parser_in_message(p)))
				printf("# split at %zu of %s\n", split, m->bytes);
			jt__parser_free(p);
			jt__buf_fini(&s.text);
		}
	}
}

static void reads_requests_split_anywhere(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(requests); i++)
		check_says(true, &requests[i]);
}

static void reads_responses_split_anywhere(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(responses); i++)
		check_says(false, &responses[i]);
}

/* Feeds @n bytes in two pieces and returns the status; *ret_refusal as the server would answer. */
static int feed_once(bool request, const char *bytes, size_t n, size_t split, uint32_t *ret_refusal)
{
	struct script s = { 0 };
	struct jt_parser *p = jt__parser_new(request, 64 << 10, &events, &s);
	int status;

	jt__buf_init(&s.text, 1 << 20);
	status = feed_split(p, bytes, n, split);
	*ret_refusal = jt__parser_refusal(p);
	if (status < 0) {
		size_t used;

		/* It stays refused. */
		check(jt__parser_feed(p, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &used, NULL) < 0);
		check(jt__parser_eof(p) < 0);
	}
	jt__parser_free(p);
	jt__buf_fini(&s.text);
	return status;
}

static void refuses_what_two_readers_could_understand_differently(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(refused); i++) {
		size_t n = strlen(refused[i].bytes);

		for (size_t split = 0; split <= n; split++) {
			uint32_t status = 0;

			if (!check(feed_once(true, refused[i].bytes, n, split, &status) < 0) ||
			    !check(!refused[i].status || status == refused[i].status)) {
				printf("# %u, not %u, split at %zu: %s\n", status,
				       refused[i].status, split, refused[i].bytes);
				break;
			}
		}
	}
}

static void refuses_a_nul_anywhere_in_a_head(void)
{
	static const char head[] = "GET /x HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";

	for (size_t at = 0; at < sizeof(head) - 1; at++) {
		char bytes[sizeof(head)];
		uint32_t status;

		memcpy(bytes, head, sizeof(head));
		bytes[at] = '\0';
		check(feed_once(true, bytes, sizeof(head) - 1, at, &status) < 0);
	}
}

static void refuses_bad_chunks(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(bad_chunks); i++) {
		size_t n = strlen(bad_chunks[i]);

		for (size_t split = 0; split <= n; split++) {
			uint32_t status = 0;

			if (!check(feed_once(true, bad_chunks[i], n, split, &status) ==
			           JT_EINVAL)) {
				printf("# split at %zu: %s\n", split,
				       bad_chunks[i] + strlen(CHUNKED));
				break;
			}
		}
	}
}

static void refuses_bad_responses(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(bad_responses); i++) {
		uint32_t status;

		if (!check(feed_once(false, bad_responses[i], strlen(bad_responses[i]), 0,
		                     &status) < 0))
			printf("# %s\n", bad_responses[i]);
	}
}

static void limits_the_head_and_what_surrounds_chunks(void)
{
	struct script s = { 0 };
	struct jt_parser *p = jt__parser_new(true, 1000, &events, &s);
	static char filler[2000];
	size_t used;

	memset(filler, 'x', sizeof(filler));
	jt__buf_init(&s.text, 64 << 10);
	check(jt__parser_feed(p, "GET / HTTP/1.1\r\nX: ", 19, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, filler, 900, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, filler, 100, &used, NULL) == JT_ELIMIT);
	check(jt__parser_refusal(p) == 431);

	jt__parser_reset(p);
	check(jt__parser_feed(p, CHUNKED, strlen(CHUNKED), &used, NULL) == JT_OK);
	for (int i = 0; i < 1000; i++) /* many small chunks are fine */
		check(jt__parser_feed(p, "1\r\nx\r\n", 6, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, "1;", 2, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, filler, sizeof(filler), &used, NULL) == JT_ELIMIT);

	jt__parser_reset(p);
	check(jt__parser_feed(p, CHUNKED "0\r\nT: ", strlen(CHUNKED) + 6, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, filler, sizeof(filler), &used, NULL) == JT_ELIMIT);

	jt__parser_reset(p);
	check(jt__parser_feed(p, "\r\n", 2, &used, NULL) == JT_OK);
	for (int i = 0; i < 499; i++)
		check(jt__parser_feed(p, "\r\n", 2, &used, NULL) == JT_OK);
	check(jt__parser_feed(p, "\r\n", 2, &used, NULL) == JT_ELIMIT);
	jt__parser_free(p);
	jt__buf_fini(&s.text);
}

static void limits_the_number_of_headers(void)
{
	for (int n = JT_HTTP_MAX_HEADERS; n <= JT_HTTP_MAX_HEADERS + 1; n++) {
		struct script s = { 0 };
		struct jt_parser *p = jt__parser_new(true, 64 << 10, &events, &s);
		struct jt_buf b;
		size_t used;

		jt__buf_init(&b, 64 << 10);
		jt__buf_init(&s.text, 64 << 10);
		jt__buf_append_text(&b, "GET / HTTP/1.1\r\nHost: a\r\n");
		for (int i = 1; i < n; i++)
			jt__buf_append_text(&b, "X: y\r\n");
		jt__buf_append_text(&b, "\r\n");
		check(jt__parser_feed(p, jt__buf_bytes(&b), jt__buf_len(&b), &used, NULL) ==
		      (n > JT_HTTP_MAX_HEADERS ? JT_ELIMIT : JT_OK));
		jt__parser_free(p);
		jt__buf_fini(&b);
		jt__buf_fini(&s.text);
	}
}

static void knows_how_a_response_may_end(void)
{
	static const struct {
		const char *bytes;
		bool head_only, proper;
		const char *says;
	} ends[] = {
		{ "HTTP/1.1 200 OK\r\n\r\nto the end", false, true, "200 close|to the end|." },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false, false,
		  "200 [Content-Length: 5]|hel" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", false, false,
		  "200 [Transfer-Encoding: chunked]|abc" },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", false,
		  false, "200 [Transfer-Encoding: chunked]|abc" },
		{ "HTTP/1.1 200 OK\r\nConte", false, false, "" },
		{ "", false, true, "" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true, true,
		  "200 [Content-Length: 5]||." },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, true,
		  "200 [Transfer-Encoding: chunked]||." },
		{ "HTTP/1.1 200 OK\r\n\r\n", true, true, "200||." },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(ends); i++) {
		struct script s = { 0 };
		struct jt_parser *p = jt__parser_new(false, 64 << 10, &events, &s);

		jt__buf_init(&s.text, 64 << 10);
		if (ends[i].head_only)
			jt__parser_expect_no_body(p);
		check(feed_split(p, ends[i].bytes, strlen(ends[i].bytes), 0) == JT_OK);
		if (!check((jt__parser_eof(p) == JT_OK) == ends[i].proper) ||
		    !check_text(text_of(&s), ends[i].says))
			printf("# %s\n", ends[i].bytes);
		jt__parser_free(p);
		jt__buf_fini(&s.text);
	}
}

static int keep_head(void *user, const struct jt_head *h)
{
	*(const struct jt_head **)user = h;
	return 0;
}

static int ignore_body(void *user, const char *bytes, size_t n)
{
	(void)user;
	(void)bytes;
	(void)n;
	return 0;
}

static int ignore_end(void *user)
{
	(void)user;
	return 0;
}

static void finds_headers_and_tells_hop_by_hop_ones(void)
{
	static const char bytes[] =
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\n"
		"Keep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: h2c\r\n"
		"Proxy-Authorization: x\r\nX-Mine: 1\r\nX-Min: 2\r\n"
		"Accept: z\r\n\r\n";
	static const bool hop[] = { false, true, true, true, true, true, true, false, false };
	static const struct jt_parser_events keep = { keep_head, ignore_body, ignore_end };
	const struct jt_head *h = NULL;
	struct jt_parser *p = jt__parser_new(true, 64 << 10, &keep, &h);
	size_t used;

	check(jt__parser_feed(p, bytes, sizeof(bytes) - 1, &used, NULL) == JT_OK);
	if (check(h && h->n_headers == JT_ARRAY_LEN(hop)))
		for (size_t i = 0; i < h->n_headers; i++)
			check(jt__head_is_hop_by_hop(h, &h->headers[i]) == hop[i]);
	check_text(jt__head_find(h, "x-mine")->value, "1");
	check(!jt__head_find(h, "x-m") && !jt__head_find(h, "x-minee"));
	check(jt__head_is(h, "ACCEPT", "Z") && !jt__head_is(h, "accept", "zz") &&
	      !jt__head_is(h, "nothing", ""));
	jt__parser_free(p);
}

static void survives_running_out_of_memory(void)
{
	const struct message *m = &requests[2];
	size_t n_ok = 0;

	for (uint64_t nth = 1; nth < 20; nth++) {
		struct script s = { 0 };
		struct jt_parser *p;
		size_t used;

		jt__buf_init(&s.text, 64 << 10);
		jt__buf_reserve(&s.text, 4096);
		jt__alloc_fail_at(nth);
		p = jt__parser_new(true, 64 << 10, &events, &s);
		if (p) {
			int status = jt__parser_feed(p, m->bytes, strlen(m->bytes), &used, NULL);

			check(status == JT_OK || status == JT_ENOMEM);
			n_ok += status == JT_OK;
		}
		jt__alloc_fail_at(0);
		jt__parser_free(p);
		jt__buf_fini(&s.text);
	}
	check(n_ok > 0 && n_ok < 19);
}

int main(void)
{
	test(reads_requests_split_anywhere);
	test(reads_responses_split_anywhere);
	test(refuses_what_two_readers_could_understand_differently);
	test(refuses_a_nul_anywhere_in_a_head);
	test(refuses_bad_chunks);
	test(refuses_bad_responses);
	test(limits_the_head_and_what_surrounds_chunks);
	test(limits_the_number_of_headers);
	test(knows_how_a_response_may_end);
	test(finds_headers_and_tells_hop_by_hop_ones);
	test(survives_running_out_of_memory);
	return tap_done();
}
