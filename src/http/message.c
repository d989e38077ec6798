/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "http/message.h"
#include "llhttp.h"

/*
 * Every byte of a head and of trailers is looked at twice: by the line reader
 * here, then by llhttp. The line reader knows nothing of meaning. It refuses what
 * llhttp tolerates or has tolerated (folded lines, a lone CR or LF, NUL, a blank
 * before the colon, RTSP and ICE requests) and finds where the head ends, so that
 * llhttp is never given bytes beyond one head.
 */
enum line_state {
	BEFORE, /* blank lines before a request, which RFC 9112 section 2.2 has us skip */
	BEFORE_CR,
	START, /* the request or status line */
	LINE,  /* the first byte of a header line */
	NAME,
	VALUE,
	LINE_CR, /* CR seen, LF must follow */
	LAST_CR, /* the same at the start of a line */
	DONE,
};

struct jt_parser {
	llhttp_t ll;
	const struct jt_parser_events *events;
	void *user;
	size_t max_head;

	enum line_state line; /* of the head or the trailers being read */
	uint64_t tail;        /* the last eight bytes of the start line */
	size_t n_line_bytes;  /* of this head or these trailers */
	const char *framing;  /* in a chunked body: where bytes that are not data began … */
	size_t n_framing;     /* … and how many of them came in earlier feeds */

	bool requests;
	bool no_body;  /* expected of the next response */
	bool began;    /* something of the message was seen */
	bool in_body;  /* the head is over: llhttp reads freely */
	bool trailers; /* the last chunk is over: lines again */
	bool skip;     /* an interim response, which nobody is told of */
	bool paused;   /* by the caller */
	bool complete;

	int status; /* of the failure, with what to answer and why */
	struct jt_refusal refusal;

	struct jt_buf text; /* target, names and values, each NUL-terminated */
	struct jt_header *headers;
	size_t headers_capacity;
	size_t name_len; /* of the header being read */
	size_t value_len;
	struct jt_head head;
};

static int fail(struct jt_parser *p, int status, uint32_t refusal, const char *why)
{
	p->refusal = (struct jt_refusal){ refusal, why };
	p->status = status;
	return status;
}

/* The same inside one of llhttp's callbacks, which make it stop. */
static int fail_inside(struct jt_parser *p, int status, uint32_t refusal, const char *why)
{
	fail(p, status, refusal, why);
	return HPE_USER;
}

static int add_text(struct jt_parser *p, const char *bytes, size_t n)
{
	if (jt__buf_append(&p->text, bytes, n) < 0)
		return fail_inside(p, JT_ENOMEM, 503, "out of memory for a head");
	return 0;
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
	return add_text(ll->data, at, n);
}

static int on_url_complete(llhttp_t *ll)
{
	return add_text(ll->data, "", 1);
}

static int on_name(llhttp_t *ll, const char *at, size_t n)
{
	struct jt_parser *p = ll->data;

	p->name_len += n;
	return p->trailers ? 0 : add_text(p, at, n);
}

static int on_name_complete(llhttp_t *ll)
{
	struct jt_parser *p = ll->data;

	return p->trailers ? 0 : add_text(p, "", 1);
}

static int on_value(llhttp_t *ll, const char *at, size_t n)
{
	struct jt_parser *p = ll->data;

	p->value_len += n;
	return p->trailers ? 0 : add_text(p, at, n);
}

static bool grow_headers(struct jt_parser *p)
{
	size_t capacity = p->headers_capacity ? p->headers_capacity * 2 : 16;
	struct jt_header *headers;

	if (p->head.n_headers < p->headers_capacity)
		return true;
	headers = jt__realloc(p->headers, capacity, sizeof(*headers));
	if (!headers)
		return false;
	p->headers = headers;
	p->headers_capacity = capacity;
	return true;
}

static int on_value_complete(llhttp_t *ll)
{
	struct jt_parser *p = ll->data;

	if (p->trailers) {
		p->name_len = p->value_len = 0;
		return 0;
	}
	if (p->head.n_headers == JT_HTTP_MAX_HEADERS)
		return fail_inside(p, JT_ELIMIT, 431, "more than 256 headers");
	if (!grow_headers(p))
		return fail_inside(p, JT_ENOMEM, 503, "out of memory for a head");
	/* Where they lie is known when the text no longer moves. */
	p->headers[p->head.n_headers++] =
		(struct jt_header){ .name_len = p->name_len, .value_len = p->value_len };
	p->name_len = p->value_len = 0;
	return add_text(p, "", 1);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void place_headers(struct jt_parser *p)
{
	char *text = p->text.data; /* nothing is ever consumed */

	if (p->requests) {
		p->head.target = text;
		text += strlen(text) + 1;
	}
	for (size_t i = 0; i < p->head.n_headers; i++) {
		struct jt_header *h = &p->headers[i];

		h->name = text;
		text += h->name_len + 1;
		h->value = text;
		text += h->value_len + 1;
		while (h->value_len && is_blank(h->value[h->value_len - 1]))
			((char *)h->value)[--h->value_len] = '\0';
	}
	p->head.headers = p->headers;
}

static int on_head(llhttp_t *ll)
{
	struct jt_parser *p = ll->data;
	struct jt_head *h = &p->head;

	place_headers(p);
	h->is_request = p->requests;
	h->minor_version = ll->http_minor;
	if (p->requests)
		h->method = llhttp_method_name(ll->method);
	else
		h->status = ll->status_code;
	p->status = jt__head_check(h, p->no_body, &p->refusal);
	if (p->status < 0)
		return HPE_USER;
	if (ll->http_major != 1)
		return fail_inside(p, JT_ENOTSUP, 505, "a version of HTTP other than 1.0 and 1.1");
	if (!p->requests && (h->status < 100 || h->status > 599))
		return fail_inside(p, JT_EINVAL, 400, "a status that is not from 100 to 599");
	if (h->status == 101)
		return fail_inside(p, JT_EINVAL, 400, "a change of protocol nobody asked for");
	ll->upgrade = 0; /* never done here: what follows is HTTP */
	p->in_body = true;
	p->skip = h->status / 100 == 1;
	p->paused = !p->skip && p->events->head(p->user, h);
	if (!h->has_body)
		return 1;
	return p->paused ? HPE_PAUSED : 0;
}

/* Counts what surrounds the data: a chunk extension may not go on for ever. */
static bool framing_fits(struct jt_parser *p, const char *data)
{
	p->n_framing += (size_t)(data - p->framing);
	return p->n_framing <= p->max_head;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
	struct jt_parser *p = ll->data;

	if (p->head.chunked && !framing_fits(p, at))
		return fail_inside(p, JT_ELIMIT, 400, "a chunk extension is too long");
	p->n_framing = 0;
	p->framing = at + n;
	if (!n) /* going on after a pause without new bytes */
		return 0;
	p->paused = p->events->body(p->user, at, n);
	return p->paused ? HPE_PAUSED : 0;
}

static int on_chunk_header(llhttp_t *ll)
{
	struct jt_parser *p = ll->data;

	if (ll->content_length)
		return 0;
	p->trailers = true;
	p->line = LINE;
	p->n_line_bytes = 0;
	return HPE_PAUSED;
}

static int on_complete(llhttp_t *ll)
{
	struct jt_parser *p = ll->data;

	p->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_url,
	.on_url_complete = on_url_complete,
	.on_header_field = on_name,
	.on_header_field_complete = on_name_complete,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_head,
	.on_body = on_body,
	.on_chunk_header = on_chunk_header,
	.on_message_complete = on_complete,
};

struct jt_parser *jt__parser_new(bool requests, size_t max_head,
                                 const struct jt_parser_events *events, void *user)
{
	struct jt_parser *p = jt__alloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->requests = requests;
	p->max_head = max_head;
	p->events = events;
	p->user = user;
	/* Every name and value has a NUL behind it. */
	jt__buf_init(&p->text, max_head + 2 * JT_HTTP_MAX_HEADERS + 2);
	jt__parser_reset(p);
	return p;
}

void jt__parser_free(struct jt_parser *p)
{
	if (!p)
		return;
	jt__buf_fini(&p->text);
	jt__free(p->headers);
	jt__free(p);
}

/* Ready for the next message; the text of the last one stays. */
static void rewind_parser(struct jt_parser *p)
{
	llhttp_init(&p->ll, p->requests ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	p->ll.data = p;
	p->line = p->requests ? BEFORE : START;
	p->tail = 0;
	p->n_line_bytes = p->n_framing = 0;
	p->began = p->in_body = p->trailers = p->skip = p->paused = p->complete = false;
	p->name_len = p->value_len = 0;
}

void jt__parser_drop_texts(struct jt_parser *p)
{
	jt__buf_fini(&p->text);
	jt__free(p->headers);
	p->headers = NULL;
	p->headers_capacity = 0;
	p->head.target = NULL;
	p->head.headers = NULL;
	p->head.n_headers = 0;
}

void jt__parser_reset(struct jt_parser *p)
{
	rewind_parser(p);
	p->no_body = false;
	p->status = JT_OK;
	jt__parser_drop_texts(p);
	memset(&p->head, 0, sizeof(p->head));
}

void jt__parser_expect_no_body(struct jt_parser *p)
{
	p->no_body = true;
}

bool jt__parser_in_message(const struct jt_parser *p)
{
	return p->began;
}

uint32_t jt__parser_refusal(const struct jt_parser *p)
{
	return p->refusal.status;
}

/* A character of a header name (RFC 9110 section 5.6.2): letters, digits, !#$%&'*+-.^_`|~ as bits.
 */
static inline bool is_token(unsigned char c)
{
	static const uint32_t tokens[8] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };

	return tokens[c / 32] >> (c % 32) & 1;
}

static inline bool is_control(unsigned char c)
{
	return (c < ' ' && c != '\t') || c == 0x7f;
}

static uint64_t eight(const char *text)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | (unsigned char)text[i];
	return v;
}

/* llhttp also reads RTSP and ICE requests, and versions whose messages we would misread. */
static int check_start_line(struct jt_parser *p)
{
	if (!p->requests || p->tail == eight("HTTP/1.1") || p->tail == eight("HTTP/1.0"))
		return JT_OK;
	if (p->tail >> 24 == eight("HTTP/0.0") >> 24)
		return fail(p, JT_ENOTSUP, 505, "a version of HTTP other than 1.0 and 1.1");
	return fail(p, JT_EINVAL, 400, "not an HTTP request line");
}

static int read_start_line(struct jt_parser *p, unsigned char c)
{
	if (c == '\r') {
		p->line = LINE_CR;
		return check_start_line(p);
	}
	if (is_control(c) || (p->requests && c == '\t'))
		return fail(p, JT_EINVAL, 400, "a control character in the start line");
	if (p->requests && c == ' ' && (p->tail & 0xff) == ' ')
		return fail(p, JT_EINVAL, 400, "two blanks in the request line");
	p->tail = p->tail << 8 | c;
	return JT_OK;
}

static int read_name(struct jt_parser *p, unsigned char c)
{
	if (p->line == LINE && c == '\r') {
		p->line = LAST_CR;
		return JT_OK;
	}
	if (p->line == LINE && (c == ' ' || c == '\t'))
		return fail(p, JT_EINVAL, 400, "a folded header line");
	if (p->line == NAME && c == ':') {
		p->line = VALUE;
		return JT_OK;
	}
	if (!is_token(c))
		return fail(p, JT_EINVAL, 400, "a character that no header name may have");
	p->line = NAME;
	return JT_OK;
}

static int read_value(struct jt_parser *p, unsigned char c)
{
	if (c == '\r')
		p->line = LINE_CR;
	else if (is_control(c))
		return fail(p, JT_EINVAL, 400, "a control character in a header");
	return JT_OK;
}

static int read_line_feed(struct jt_parser *p, unsigned char c, enum line_state next)
{
	if (c != '\n')
		return fail(p, JT_EINVAL, 400, "a carriage return without a line feed");
	p->line = next;
	return JT_OK;
}

static int read_line_byte(struct jt_parser *p, unsigned char c)
{
	switch (p->line) {
	case BEFORE:
		p->line = c == '\r' ? BEFORE_CR : START;
		return c == '\r' ? JT_OK : read_start_line(p, c);
	case BEFORE_CR:
		return read_line_feed(p, c, BEFORE);
	case START:
		return read_start_line(p, c);
	case LINE:
	case NAME:
		return read_name(p, c);
	case VALUE:
		return read_value(p, c);
	case LINE_CR:
		return read_line_feed(p, c, LINE);
	default:
		return read_line_feed(p, c, DONE);
	}
}

static bool begins_message(const struct jt_parser *p)
{
	return !p->began && p->line == (p->requests ? BEFORE : START);
}

static size_t count_token(const char *bytes)
{
	size_t n = 0;

	while (is_token((unsigned char)bytes[n]))
		n++;
	return n;
}

/* The bytes of a line that is all there and surely good, as nearly all are; 0: it has to be read
 * byte by byte, which also says what is wrong with it. */
static size_t read_good_line(struct jt_parser *p, const char *bytes, size_t n)
{
	const char *cr = memchr(bytes, '\r', n);
	size_t len = cr ? (size_t)(cr - bytes) : 0;

	if (len < 8 || len + 1 == n || cr[1] != '\n' || !jt__is_plain_text(bytes, len))
		return 0;
	if (p->line == LINE) {
		size_t name = count_token(bytes);

		return name && bytes[name] == ':' ? len + 2 : 0;
	}
	if (!begins_message(p) || (p->requests && memmem(bytes, len, "  ", 2)))
		return 0;
	p->tail = eight(cr - 8);
	if (check_start_line(p) < 0)
		return 0;
	p->line = LINE;
	return len + 2;
}

/* How many of @n bytes are good lines, up to the end of the head: *ret_n. */
static int read_lines(struct jt_parser *p, const char *bytes, size_t n, size_t *ret_n)
{
	size_t i = 0, fit = JT_MIN(n, p->max_head - p->n_line_bytes);

	while (i < fit && p->line != DONE) {
		size_t good = p->line == LINE || (!i && begins_message(p))
		                      ? read_good_line(p, bytes + i, fit - i)
		                      : 0;
		int status;

		i += good;
		if (good)
			continue;
		status = read_line_byte(p, (unsigned char)bytes[i]);
		if (status < 0)
			return status;
		i++;
	}
	if (i == fit && fit < n && p->line != DONE)
		return fail(p, JT_ELIMIT, 431, "the head is too long");
	p->n_line_bytes += i;
	*ret_n = i;
	return JT_OK;
}

/* llhttp's own complaints; what a callback or the line reader found says so itself. */
static int fail_from_llhttp(struct jt_parser *p, llhttp_errno_t e)
{
	if (p->status < 0)
		return p->status;
	if (e == HPE_INVALID_METHOD)
		return fail(p, JT_ENOTSUP, 501, "a method that is not known here");
	if (e == HPE_INVALID_VERSION)
		return fail(p, JT_ENOTSUP, 505, "a version of HTTP other than 1.0 and 1.1");
	return fail(p, JT_EINVAL, 400, llhttp_get_error_reason(&p->ll));
}

/* Gives llhttp @n bytes; it takes all of them unless a callback paused it. */
static int execute(struct jt_parser *p, const char *bytes, size_t n, size_t *ret_used)
{
	llhttp_errno_t e;

	p->framing = bytes;
	llhttp_resume(&p->ll);
	e = llhttp_execute(&p->ll, bytes, n);
	if (e != HPE_OK && e != HPE_PAUSED)
		return fail_from_llhttp(p, e);
	*ret_used = e == HPE_OK ? n : (size_t)(llhttp_get_error_pos(&p->ll) - bytes);
	if (p->in_body && !p->trailers && p->head.chunked && !framing_fits(p, bytes + *ret_used))
		return fail(p, JT_ELIMIT, 400, "a chunk extension is too long");
	return JT_OK;
}

static int feed_lines(struct jt_parser *p, const char *bytes, size_t n, size_t *ret_used)
{
	size_t used = 0;
	int status;

	if (!p->began) { /* the last message's text goes with the first byte of this one */
		jt__buf_clear(&p->text);
		memset(&p->head, 0, sizeof(p->head));
	}
	status = read_lines(p, bytes, n, ret_used);
	p->began = p->began || p->line > BEFORE_CR;
	/* a line takes no more room as text than it came with: nearly always all that is needed */
	if (status == JT_OK && !p->trailers)
		jt__buf_reserve(&p->text, *ret_used);
	if (status == JT_OK)
		status = execute(p, bytes, *ret_used, &used);
	if (status < 0)
		return status;
	if (used != *ret_used || (p->line == DONE && !p->in_body) ||
	    (p->line == DONE && p->trailers && !p->complete))
		return fail(p, JT_EINVAL, 400, "a head that does not end where it should");
	if (p->in_body && !p->trailers)
		p->n_framing = 0;
	return JT_OK;
}

/* Tells the caller, who may pause. */
static void finish_message(struct jt_parser *p)
{
	bool skip = p->skip;

	rewind_parser(p);
	if (skip)
		return;
	p->no_body = false;
	p->paused = p->events->end(p->user);
}

int jt__parser_feed(struct jt_parser *p, const char *bytes, size_t n, size_t *ret_used,
                    struct jt_error *err)
{
	size_t total = 0, used = 0;
	bool go_on = p->in_body && p->paused;

	p->paused = false;
	*ret_used = 0;
	while (p->status == JT_OK && !p->paused && (total < n || go_on || p->complete)) {
		go_on = false;
		if (p->complete) {
			finish_message(p);
			continue;
		}
		if (p->in_body && !p->trailers)
			execute(p, bytes + total, n - total, &used);
		else
			feed_lines(p, bytes + total, n - total, &used);
		if (p->status == JT_OK)
			total += used;
	}
	*ret_used = total;
	if (p->status < 0)
		jt__fail(err, p->status, "http", "malformed message: %s", p->refusal.why);
	return p->status;
}

int jt__parser_eof(struct jt_parser *p)
{
	if (p->status < 0)
		return p->status;
	if (!p->began)
		return JT_OK;
	if (!p->in_body || llhttp_finish(&p->ll) == HPE_INVALID_EOF_STATE || !p->complete)
		return JT_EIO;
	finish_message(p);
	return JT_OK;
}
