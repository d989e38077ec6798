/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: their heads, framing and what of them waits to be sent. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "http/exchange.h"

static struct jt_conn *conn_of(const struct jt_exchange *ex)
{
	return jt_container_of(ex, struct jt_conn, ex);
}

static void borrow_buffer(struct jt_conn *c)
{
	struct jt_server *s = c->server;
	size_t max = c->out.max;

	if (c->out.capacity || !s->n_spare)
		return;
	c->out = s->spare[--s->n_spare];
	c->out.max = max;
}

void jt__conn_output(struct jt_conn *c, const void *bytes, size_t n)
{
	if (c->closed)
		return;
	borrow_buffer(c);
	if (jt__buf_append(&c->out, bytes, n) < 0 || c->out.failed)
		c->ex.aborted = true;
	jt__conn_queue_flush(c);
}

static const char *date(struct jt_server *s)
{
	uint64_t now_s = jt__loop_realtime_ns(s->loop) / JT_NS_PER_S;
	time_t t = (time_t)now_s;
	struct tm tm;

	if (now_s != s->date_s) {
		gmtime_r(&t, &tm);
		strftime(s->date, sizeof(s->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		s->date_s = now_s;
	}
	return s->date;
}

/* A line break inside a value would let its author write headers of his own. */
static void put_value(struct jt_buf *out, const char *value, size_t n)
{
	if (jt__is_plain_text(value, n)) {
		jt__buf_append(out, value, n);
		return;
	}
	for (size_t i = 0; i < n; i++)
		jt__buf_append(out, jt__is_plain_text(value + i, 1) ? value + i : " ", 1);
}

static void put_header(struct jt_buf *out, const struct jt_header *h)
{
	put_value(out, h->name, h->name_len);
	jt__buf_append(out, ": ", 2);
	put_value(out, h->value, h->value_len);
	jt__buf_append(out, "\r\n", 2);
}

static void put_framing(struct jt_buf *out, const struct jt_exchange *ex, uint32_t status)
{
	char room[21];

	if (ex->left != JT_NONE && status != 204) {
		jt__buf_append_text(out, "Content-Length: ");
		jt__buf_append_text(out, jt__decimal(ex->left, room));
		jt__buf_append_text(out, "\r\n");
	} else if (ex->chunked) {
		jt__buf_append_text(out, "Transfer-Encoding: chunked\r\n");
	}
	if (ex->must_close)
		jt__buf_append_text(out, "Connection: close\r\n");
	else if (!ex->head->minor_version)
		jt__buf_append_text(out, "Connection: keep-alive\r\n");
}

static void choose_framing(struct jt_exchange *ex, uint32_t status, uint64_t content_length)
{
	const struct jt_head *h = ex->head;
	bool no_body = status == 204 || status == 304;

	ex->bodyless = no_body || (h && strcmp(h->method, "HEAD") == 0);
	ex->left = content_length;
	ex->chunked = content_length == JT_NONE && !no_body && h && h->minor_version;
	/* What is left of a request that was answered early is not worth reading. */
	if (!h || !h->keep_alive || conn_of(ex)->server->draining ||
	    (h->has_body && !ex->request_done) ||
	    (content_length == JT_NONE && !ex->chunked && !ex->bodyless))
		ex->must_close = true;
}

static bool is_usable(const struct jt_exchange *ex)
{
	return conn_of(ex)->active && !conn_of(ex)->closed && !ex->over && !ex->ended &&
	       !ex->aborted;
}

void jt__exchange_tag(struct jt_exchange *ex, const struct jt_header *tag)
{
	ex->tag = *tag;
}

void jt__exchange_start(struct jt_exchange *ex, uint32_t status, const struct jt_header *headers,
                        size_t n_headers, uint64_t content_length)
{
	struct jt_conn *c = conn_of(ex);
	struct jt_buf *out = &c->out;
	char room[21];

	if (!is_usable(ex) || ex->started)
		return;
	ex->started = true;
	choose_framing(ex, status, content_length);
	borrow_buffer(c);
	jt__buf_append_text(out, "HTTP/1.1 ");
	jt__buf_append_text(out, jt__decimal(status, room));
	jt__buf_append_text(out, " ");
	jt__buf_append_text(out, jt__http_reason(status));
	jt__buf_append_text(out, "\r\nDate: ");
	jt__buf_append_text(out, date(c->server));
	jt__buf_append_text(out, "\r\n");
	for (size_t i = 0; i < n_headers; i++)
		put_header(out, &headers[i]);
	if (ex->tag.name)
		put_header(out, &ex->tag);
	put_framing(out, ex, status);
	jt__conn_output(c, "\r\n", 2);
}

static void output_chunk(struct jt_conn *c, const void *bytes, size_t n)
{
	char size[20], *p = size + sizeof(size);

	*--p = '\n';
	*--p = '\r';
	for (size_t left = n; left; left >>= 4)
		*--p = "0123456789abcdef"[left & 15];
	jt__conn_output(c, p, (size_t)(size + sizeof(size) - p));
	jt__conn_output(c, bytes, n);
	jt__conn_output(c, "\r\n", 2);
}

void jt__exchange_write(struct jt_exchange *ex, const void *bytes, size_t n)
{
	struct jt_conn *c = conn_of(ex);

	if (!is_usable(ex) || !ex->started || !n)
		return;
	if (ex->left != JT_NONE) {
		n = JT_MIN(n, ex->left);
		ex->left -= n;
	}
	if (ex->bodyless)
		return;
	if (ex->chunked)
		output_chunk(c, bytes, n);
	else
		jt__conn_output(c, bytes, n);
	ex->was_full = ex->was_full || jt__exchange_full(ex);
}

void jt__exchange_end(struct jt_exchange *ex)
{
	struct jt_conn *c = conn_of(ex);

	if (!is_usable(ex))
		return;
	if (!ex->started || (!ex->bodyless && ex->left != JT_NONE && ex->left)) {
		jt__exchange_abort(ex);
		return;
	}
	if (ex->chunked && !ex->bodyless)
		jt__conn_output(c, "0\r\n\r\n", 5);
	ex->ended = true;
	jt__conn_queue_flush(c);
}

void jt__exchange_abort(struct jt_exchange *ex)
{
	if (!is_usable(ex))
		return;
	ex->aborted = true;
	jt__conn_queue_flush(conn_of(ex));
}

bool jt__exchange_started(const struct jt_exchange *ex)
{
	return ex->started;
}

bool jt__exchange_full(const struct jt_exchange *ex)
{
	const struct jt_conn *c = conn_of(ex);

	return jt__buf_len(&c->out) >= c->server->o.high_water;
}

void jt__exchange_reply(struct jt_exchange *ex, uint32_t status, const char *content_type,
                        const void *body, size_t n)
{
	const struct jt_header type = { "Content-Type", 12, content_type, strlen(content_type) };

	if (ex->started)
		return;
	jt__exchange_start(ex, status, &type, 1, n);
	jt__exchange_write(ex, body, n);
	jt__exchange_end(ex);
}

void jt__exchange_reply_error(struct jt_exchange *ex, uint32_t status, const char *type,
                              const char *fmt, ...)
{
	char message[512];
	struct jt_buf json;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	jt__buf_init(&json, 8 << 10);
	jt__buf_append_text(&json, "{\"error\":{\"message\":");
	jt__json_string(&json, message, strlen(message));
	jt__buf_append_text(&json, ",\"type\":");
	jt__json_string(&json, type, strlen(type));
	jt__buf_printf(&json, ",\"code\":%u}}", status);
	if (json.failed)
		jt__exchange_abort(ex);
	else
		jt__exchange_reply(ex, status, "application/json", jt__buf_bytes(&json),
		                   jt__buf_len(&json));
	jt__buf_fini(&json);
}
