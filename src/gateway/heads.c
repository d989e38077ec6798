/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "gateway/heads.h"
#include "jouletap/record.h"

static bool is_named(const struct jt_header *h, const char *name)
{
	return h->name_len == strlen(name) && strncasecmp(h->name, name, h->name_len) == 0;
}

static bool is_any_of(const struct jt_header *h, const char *const *names)
{
	for (; *names; names++)
		if (is_named(h, *names))
			return true;
	return false;
}

/* Expect was answered by our server. */
static bool goes_upstream(const struct jt_request_head *rh, const struct jt_header *h)
{
	static const char *const anew[] = { "host", "content-length", "expect", "x-request-id",
		                            NULL };

	if (jt__head_is_hop_by_hop(rh->from, h) || is_any_of(h, anew))
		return false;
	if (h->name_len > 11 && strncasecmp(h->name, "x-jouletap-", 11) == 0)
		return false;
	return !(rh->identity && is_named(h, "accept-encoding"));
}

void jt__heads_request(struct jt_buf *b, const struct jt_request_head *rh)
{
	const struct jt_head *from = rh->from;

	jt__buf_printf(b, "%s ", from->method);
	jt__buf_append_text(b, rh->prefix);
	jt__buf_append_text(b, from->target);
	jt__buf_printf(b, " HTTP/1.1\r\nHost: %s\r\n", rh->host);
	for (size_t i = 0; i < from->n_headers; i++) {
		const struct jt_header *h = &from->headers[i];

		if (!goes_upstream(rh, h))
			continue;
		jt__buf_append(b, h->name, h->name_len);
		jt__buf_append(b, ": ", 2);
		jt__buf_append(b, h->value, h->value_len);
		jt__buf_append(b, "\r\n", 2);
	}
	jt__buf_printf(b, "x-request-id: %s\r\n", rh->request_id);
	if (rh->identity)
		jt__buf_append_text(b, "Accept-Encoding: identity\r\n");
	if (rh->chunked)
		jt__buf_append_text(b, "Transfer-Encoding: chunked\r\n");
	else if (rh->content_length != JT_NONE)
		jt__buf_printf(b, "Content-Length: %llu\r\n",
		               (unsigned long long)rh->content_length);
	jt__buf_append(b, "\r\n", 2);
}

size_t jt__heads_response(const struct jt_head *from, struct jt_header *out, size_t max)
{
	static const char *const anew[] = { "content-length", "date", "x-jouletap-request-id",
		                            NULL };
	size_t n = 0;

	for (size_t i = 0; i < from->n_headers && n < max; i++) {
		const struct jt_header *h = &from->headers[i];

		if (!jt__head_is_hop_by_hop(from, h) && !is_any_of(h, anew))
			out[n++] = *h;
	}
	return n;
}

static bool is_plain(unsigned char c)
{
	return isalnum(c) || (c && strchr("-_.:/@", c));
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
		snprintf(ret_id, 64, "jt-%016llx", (unsigned long long)unique);
}

void jt__heads_label(const struct jt_head *h, const char *name, char *out, size_t size)
{
	const struct jt_header *given = jt__head_find(h, name);

	jt__copy_text(out, size, given ? given->value : "", given ? given->value_len : 0);
	for (char *p = out; *p; p++)
		if (!is_plain((unsigned char)*p))
			*p = '_';
}
