/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "jouletap/record.h"

void jt__buf_init(struct jt_buf *b, size_t max)
{
	memset(b, 0, sizeof(*b));
	b->max = max;
}

void jt__buf_fini(struct jt_buf *b)
{
	jt__free(b->data);
	jt__buf_init(b, b->max);
}

void jt__buf_clear(struct jt_buf *b)
{
	b->begin = b->end = 0;
	b->failed = false;
}

static int make_room(struct jt_buf *b, size_t n)
{
	size_t len = jt__buf_len(b), capacity;
	char *data;

	if (n > b->max || len > b->max - n)
		return JT_ELIMIT;
	if (b->end + n <= b->capacity)
		return JT_OK;
	if (len + n <= b->capacity && b->begin >= len) {
		memmove(b->data, b->data + b->begin, len);
		b->begin = 0;
		b->end = len;
		return JT_OK;
	}
	capacity = b->capacity ? b->capacity : 256;
	while (capacity < len + n)
		capacity *= 2;
	capacity = JT_MIN(capacity, b->max);
	data = jt__realloc(NULL, 1, capacity); /* unlike jt__alloc() it clears nothing */
	if (!data)
		return JT_ENOMEM;
	if (len)
		memcpy(data, b->data + b->begin, len);
	jt__free(b->data);
	b->data = data;
	b->begin = 0;
	b->end = len;
	b->capacity = capacity;
	return JT_OK;
}

char *jt__buf_reserve(struct jt_buf *b, size_t n)
{
	if (make_room(b, n) < 0) {
		b->failed = true;
		return NULL;
	}
	return b->data + b->end;
}

void jt__buf_commit(struct jt_buf *b, size_t n)
{
	b->end += n;
}

int jt__buf_grow_append(struct jt_buf *b, const void *bytes, size_t n)
{
	int status;

	if (!n)
		return JT_OK;
	status = make_room(b, n);
	if (status < 0) {
		b->failed = true;
		return status;
	}
	memcpy(b->data + b->end, bytes, n);
	b->end += n;
	return JT_OK;
}

const char *jt__decimal(uint64_t v, char room[21])
{
	char *p = room + 20;

	*p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while (v /= 10);
	return p;
}

int jt__buf_printf(struct jt_buf *b, const char *fmt, ...)
{
	char small[256], *text = small;
	va_list ap;
	int n, status;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0)
		return JT_EINVAL;
	if ((size_t)n >= sizeof(small)) {
		text = jt__buf_reserve(b, (size_t)n + 1);
		if (!text)
			return JT_ELIMIT;
		va_start(ap, fmt);
		vsnprintf(text, (size_t)n + 1, fmt, ap);
		va_end(ap);
		jt__buf_commit(b, (size_t)n);
		return JT_OK;
	}
	status = jt__buf_append(b, small, (size_t)n);
	return status;
}

void jt__buf_consume(struct jt_buf *b, size_t n)
{
	b->begin += n;
	if (b->begin == b->end)
		b->begin = b->end = 0;
}

void jt__json_string(struct jt_buf *b, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + n;

	jt__buf_append(b, "\"", 1);
	while (p < end) {
		size_t len = jt__utf8_len(p, (size_t)(end - p));

		if (!len) {
			jt__buf_append_text(b, "\\ufffd");
			len = 1;
		} else if (*p == '"' || *p == '\\') {
			jt__buf_printf(b, "\\%c", *p);
		} else if (*p < 0x20 || *p == 0x7f) {
			jt__buf_printf(b, "\\u%04x", *p);
		} else {
			jt__buf_append(b, p, len);
		}
		p += len;
	}
	jt__buf_append(b, "\"", 1);
}

void jt__json_key(struct jt_buf *b, const char *key)
{
	bool first = jt__buf_len(b) && jt__buf_bytes(b)[jt__buf_len(b) - 1] == '{';

	jt__buf_append_text(b, first ? "\"" : ",\"");
	jt__buf_append_text(b, key);
	jt__buf_append(b, "\":", 2);
}

void jt__json_member_text(struct jt_buf *b, const char *key, const char *text)
{
	jt__json_key(b, key);
	jt__json_string(b, text, strlen(text));
}

void jt__json_double(struct jt_buf *b, double v)
{
	char text[32];

	if (!isfinite(v)) {
		jt__buf_append_text(b, "null");
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, v);
		if (strtod(text, NULL) == v)
			break;
	}
	jt__buf_append_text(b, text);
}

static void json_fixed(struct jt_buf *b, uint64_t v, uint64_t unit, int digits)
{
	char text[48];
	int n;

	if (v == JT_NONE) {
		jt__buf_append_text(b, "null");
		return;
	}
	n = snprintf(text, sizeof(text), "%" PRIu64 ".%0*" PRIu64, v / unit, digits, v % unit);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	jt__buf_append(b, text, (size_t)n);
}

void jt__json_milli(struct jt_buf *b, uint64_t milli)
{
	json_fixed(b, milli, 1000, 3);
}

void jt__json_micro(struct jt_buf *b, uint64_t micro)
{
	json_fixed(b, micro, 1000000, 6);
}

void jt__json_nano(struct jt_buf *b, uint64_t nano)
{
	json_fixed(b, nano, JT_NS_PER_S, 9);
}

void jt__json_u64(struct jt_buf *b, uint64_t v)
{
	char room[21];

	jt__buf_append_text(b, v == JT_NONE ? "null" : jt__decimal(v, room));
}

void jt__json_member_double(struct jt_buf *b, const char *key, double v)
{
	jt__json_key(b, key);
	jt__json_double(b, v);
}

void jt__json_member_micro(struct jt_buf *b, const char *key, uint64_t micro)
{
	jt__json_key(b, key);
	jt__json_micro(b, micro);
}

void jt__json_member_nano(struct jt_buf *b, const char *key, uint64_t nano)
{
	jt__json_key(b, key);
	jt__json_nano(b, nano);
}

void jt__json_member_u64(struct jt_buf *b, const char *key, uint64_t v)
{
	jt__json_key(b, key);
	jt__json_u64(b, v);
}
