/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "gateway/heads.h"
#include "jouletap/record.h"

/* Inline, so that the length of a name that is written in the program is known there. */
static inline bool is_named(const struct jt_header *h, const char *name)
{
	return h->name_len == strlen(name) && (h->name[0] | 0x20) == name[0] &&
	       strncasecmp(h->name, name, h->name_len) == 0;
}

/* What is left out is written anew or, as Expect, was answered by our server. */
static bool goes_upstream(const struct jt_request_head *rh, const struct jt_header *h)
{
	if (is_named(h, "host") || is_named(h, "content-length") || is_named(h, "expect") ||
	    is_named(h, "x-request-id") || jt__head_is_hop_by_hop(rh->from, h))
		return false;
	if (h->name_len > 11 && strncasecmp(h->name, "x-jouletap-", 11) == 0)
		return false;
	return !(rh->identity && is_named(h, "accept-encoding"));
}

/* Names and values lie behind each other, each with a NUL where a line has ": " or a line break. */
static size_t text_size(const struct jt_head *h)
{
	size_t n = strlen(h->target);

	for (size_t i = 0; i < h->n_headers; i++)
		n += h->headers[i].name_len + h->headers[i].value_len + 4;
	return n;
}

void jt__heads_request(struct jt_buf *b, const struct jt_request_head *rh)
{
	const struct jt_head *from = rh->from;
	char room[21];
	size_t size = text_size(from) + strlen(rh->prefix) + strlen(rh->host) + 256 + rh->n_body;

	jt__buf_reserve(b, JT_MIN(size, b->max));
	jt__buf_append_text(b, from->method);
	jt__buf_append(b, " ", 1);
	jt__buf_append_text(b, rh->prefix);
	jt__buf_append_text(b, from->target);
	jt__buf_append_text(b, " HTTP/1.1\r\nHost: ");
	jt__buf_append_text(b, rh->host);
	for (size_t i = 0; i < from->n_headers; i++) {
		const struct jt_header *h = &from->headers[i];

		if (!goes_upstream(rh, h))
			continue;
		jt__buf_append(b, "\r\n", 2);
		jt__buf_append(b, h->name, h->name_len);
		jt__buf_append(b, ": ", 2);
		jt__buf_append(b, h->value, h->value_len);
	}
	jt__buf_append_text(b, "\r\nx-request-id: ");
	jt__buf_append_text(b, rh->request_id);
	if (rh->identity)
		jt__buf_append_text(b, "\r\nAccept-Encoding: identity");
	if (rh->chunked) {
		jt__buf_append_text(b, "\r\nTransfer-Encoding: chunked");
	} else if (rh->content_length != JT_NONE) {
		jt__buf_append_text(b, "\r\nContent-Length: ");
		jt__buf_append_text(b, jt__decimal(rh->content_length, room));
	}
	jt__buf_append(b, "\r\n\r\n", 4);
}

size_t jt__heads_response(const struct jt_head *from, struct jt_header *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < from->n_headers && n < max; i++) {
		const struct jt_header *h = &from->headers[i];

		if (!is_named(h, "content-length") && !is_named(h, "date") &&
		    !is_named(h, "x-jouletap-request-id") &&
		    !is_named(h, "x-jouletap-predicted-j") &&
		    !is_named(h, "x-jouletap-predicted-interval-j") &&
		    !jt__head_is_hop_by_hop(from, h))
			out[n++] = *h;
	}
	return n;
}

static bool is_plain(unsigned char c)
{
	return isalnum(c) || (c && strchr("-_.:/@", c));
}

/* As "jt-%016llx" would have it. */
static void own_id(uint64_t unique, char *out)
{
	memcpy(out, "jt-", 3);
	for (int i = 0; i < 16; i++)
		out[3 + i] = "0123456789abcdef"[unique >> (60 - 4 * i) & 15];
	out[19] = '\0';
}

void jt__heads_request_id(const struct jt_head *h, uint64_t unique, char ret_id[64])
{
	const struct jt_header *given = jt__head_find(h, "x-request-id");
	bool good = given && given->value_len > 0 && given->value_len < 64;

	for (size_t i = 0; good && i < given->value_len; i++)
		good = is_plain((unsigned char)given->value[i]);
	if (good)
		jt__copy_text(ret_id, 64, given->value, given->value_len);
	else
		own_id(unique, ret_id);
}

void jt__heads_label(const struct jt_head *h, const char *name, char *out, size_t size)
{
	const struct jt_header *given = jt__head_find(h, name);

	jt__copy_text(out, size, given ? given->value : "", given ? given->value_len : 0);
	for (char *p = out; *p; p++)
		if (!is_plain((unsigned char)*p))
			*p = '_';
}
