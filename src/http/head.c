/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>
#include "http/message.h"

/* Inline, so that the length of a name that is written in the program is known there. */
static inline bool is_name(const struct jt_header *header, const char *name)
{
	return header->name_len == strlen(name) && ((header->name[0] ^ name[0]) & ~0x20) == 0 &&
	       strcasecmp(header->name, name) == 0;
}

const struct jt_header *jt__head_find(const struct jt_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (is_name(&h->headers[i], name))
			return &h->headers[i];
	return NULL;
}

bool jt__head_is(const struct jt_head *h, const char *name, const char *value)
{
	const struct jt_header *header = jt__head_find(h, name);

	return header && strcasecmp(header->value, value) == 0;
}

/* Whether the comma-separated @list has the member @word of @len bytes, any case. */
static bool list_has(const char *list, const char *word, size_t len)
{
	for (const char *p = list; *p;) {
		size_t n;

		p += strspn(p, " \t,");
		n = strcspn(p, " \t,");
		if (n == len && strncasecmp(p, word, len) == 0)
			return true;
		p += n;
	}
	return false;
}

static bool connection_has(const struct jt_head *h, const char *word, size_t len)
{
	for (size_t i = 0; h->has_connection && i < h->n_headers; i++)
		if (is_name(&h->headers[i], "connection") &&
		    list_has(h->headers[i].value, word, len))
			return true;
	return false;
}

bool jt__head_is_hop_by_hop(const struct jt_head *h, const struct jt_header *header)
{
	return is_name(header, "connection") || is_name(header, "keep-alive") ||
	       is_name(header, "te") || is_name(header, "trailer") ||
	       is_name(header, "transfer-encoding") || is_name(header, "upgrade") ||
	       ((header->name[0] | 0x20) == 'p' && strncasecmp(header->name, "proxy-", 6) == 0) ||
	       connection_has(h, header->name, header->name_len);
}

static int refuse(struct jt_refusal *ret_refusal, uint32_t status, const char *why)
{
	*ret_refusal = (struct jt_refusal){ status, why };
	return status == 400 ? JT_EINVAL : JT_ENOTSUP;
}

/* The only header called @name; *ret_n is how many there are. */
static const struct jt_header *find_only(const struct jt_head *h, const char *name, size_t *ret_n)
{
	const struct jt_header *found = NULL;

	*ret_n = 0;
	for (size_t i = 0; i < h->n_headers; i++) {
		if (!is_name(&h->headers[i], name))
			continue;
		found = &h->headers[i];
		++*ret_n;
	}
	return found;
}

static int check_length(struct jt_head *h, struct jt_refusal *ret_refusal)
{
	size_t n;
	const struct jt_header *header = find_only(h, "content-length", &n);

	h->content_length = JT_NONE;
	if (n > 1)
		return refuse(ret_refusal, 400, "more than one Content-Length");
	if (!n)
		return JT_OK;
	/* 18 digits always fit in 64 bits. */
	if (!header->value_len || header->value_len > 18 ||
	    strspn(header->value, "0123456789") != header->value_len)
		return refuse(ret_refusal, 400, "Content-Length is not a number of bytes");
	h->content_length = 0;
	for (size_t i = 0; i < header->value_len; i++)
		h->content_length = h->content_length * 10 + (uint64_t)(header->value[i] - '0');
	return JT_OK;
}

static int check_coding(struct jt_head *h, struct jt_refusal *ret_refusal)
{
	size_t n;
	const struct jt_header *header = find_only(h, "transfer-encoding", &n);

	h->chunked = n == 1;
	if (!n)
		return JT_OK;
	if (h->content_length != JT_NONE)
		return refuse(ret_refusal, 400, "both Content-Length and Transfer-Encoding");
	if (!h->minor_version)
		return refuse(ret_refusal, 400, "Transfer-Encoding in HTTP/1.0");
	if (n > 1)
		return refuse(ret_refusal, 400, "more than one Transfer-Encoding");
	if (strcasecmp(header->value, "chunked") != 0)
		return refuse(ret_refusal, 501, "a Transfer-Encoding other than 'chunked'");
	return JT_OK;
}

/* Host and the authority of an absolute target may be "", "name", "1.2.3.4:80", "[::1]:80". */
static bool is_authority(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n && (unsigned char)text[i] > ' ' && text[i] != '/' && text[i] != '@' &&
	       text[i] != '?' && text[i] != '#' && text[i] != ',' && text[i] != '\\' &&
	       text[i] != '"' && text[i] != '<' && text[i] != '>')
		i++;
	return i == n;
}

static int check_host(const struct jt_head *h, struct jt_refusal *ret_refusal)
{
	size_t n;
	const struct jt_header *host = find_only(h, "host", &n);

	if (n > 1)
		return refuse(ret_refusal, 400, "more than one Host");
	if (!n && h->minor_version)
		return refuse(ret_refusal, 400, "HTTP/1.1 without Host");
	if (n && !is_authority(host->value, host->value_len))
		return refuse(ret_refusal, 400, "Host is not a host name and port");
	return JT_OK;
}

/* "http://HOST/path" becomes "/path" when HOST is what the Host header says. */
static int check_absolute(struct jt_head *h, struct jt_refusal *ret_refusal)
{
	const struct jt_header *host = jt__head_find(h, "host");
	const char *authority = strstr(h->target, "://") + 3;
	size_t n = strcspn(authority, "/?");

	if (!n || !is_authority(authority, n) || !host || host->value_len != n ||
	    strncasecmp(authority, host->value, n) != 0)
		return refuse(ret_refusal, 400, "the target and Host name different hosts");
	if (authority[n] == '?')
		return refuse(ret_refusal, 400, "the target has a query but no path");
	h->target = authority[n] ? authority + n : "/";
	return JT_OK;
}

static int check_target(struct jt_head *h, struct jt_refusal *ret_refusal)
{
	if (strcmp(h->method, "CONNECT") == 0)
		return refuse(ret_refusal, 501, "CONNECT: this is no tunnel");
	for (const char *p = h->target; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || *p == '#')
			return refuse(ret_refusal, 400,
			              "the target has a character that URLs must escape");
	if (h->target[0] == '/' ||
	    (strcmp(h->target, "*") == 0 && strcmp(h->method, "OPTIONS") == 0))
		return JT_OK;
	if (strncasecmp(h->target, "http://", 7) == 0 || strncasecmp(h->target, "https://", 8) == 0)
		return check_absolute(h, ret_refusal);
	return refuse(ret_refusal, 400, "the target is not a path");
}

int jt__head_check(struct jt_head *h, bool no_body, struct jt_refusal *ret_refusal)
{
	int status = check_length(h, ret_refusal);

	if (status == JT_OK)
		status = check_coding(h, ret_refusal);
	if (status == JT_OK && h->is_request)
		status = check_host(h, ret_refusal);
	if (status == JT_OK && h->is_request)
		status = check_target(h, ret_refusal);
	if (status < 0)
		return status;
	h->has_connection = jt__head_find(h, "connection") != NULL;
	h->keep_alive = h->minor_version ? !connection_has(h, "close", 5)
	                                 : connection_has(h, "keep-alive", 10);
	no_body = no_body || h->status / 100 == 1 || h->status == 204 || h->status == 304;
	if (h->is_request)
		h->has_body = h->chunked || (h->content_length != JT_NONE && h->content_length);
	else
		h->has_body = !no_body && (h->chunked || h->content_length);
	if (h->has_body && !h->is_request && !h->chunked && h->content_length == JT_NONE)
		h->keep_alive = false; /* it lasts until the connection closes */
	return JT_OK;
}

static bool is_control(unsigned char c)
{
	return c < ' ' || c == 0x7f;
}

/* Whether one of eight bytes is a control character. */
static bool has_control(const char *bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t x, del;

	memcpy(&x, bytes, sizeof(x));
	del = x ^ ones * 0x7f;
	return ((x - ones * ' ') & ~x & ones * 0x80) || ((del - ones) & ~del & ones * 0x80);
}

bool jt__is_plain_text(const char *bytes, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		if (has_control(bytes + i))
			return false;
	if (n >= 8) /* the last eight, some of them again */
		return !has_control(bytes + n - 8);
	while (i < n && !is_control((unsigned char)bytes[i]))
		i++;
	return i == n;
}

const char *jt__http_reason(uint32_t status)
{
	/* clang-format off */
	static const struct { uint32_t status; const char *text; } reasons[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
		{ 206, "Partial Content" }, { 301, "Moved Permanently" }, { 302, "Found" },
		{ 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
		{ 408, "Request Timeout" }, { 409, "Conflict" }, { 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" }, { 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
		{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
	};
	/* clang-format on */

	for (size_t i = 0; i < JT_ARRAY_LEN(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "";
}
