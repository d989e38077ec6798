/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"

const char *jt_strerror(int status)
{
	switch (status) {
	case JT_OK:
		return "success";
#define JT_X(name, value, text)                                                                    \
	case name:                                                                                 \
		return text;
		JT_ERROR_MAP(JT_X)
#undef JT_X
	default:
		return "unknown status";
	}
}

int jt__fail(struct jt_error *err, int status, const char *where, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return status;
	err->status = status;
	jt__copy_text(err->where, sizeof(err->where), where, strlen(where));
	va_start(ap, fmt);
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	jt__clean_text(err->where);
	jt__clean_text(err->message);
	return status;
}

bool jt__copy_text(char *dst, size_t size, const char *src, size_t src_len)
{
	size_t n = JT_MIN(src_len, size - 1);

	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == src_len;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 32;
}

uint64_t jt__hash_text(const char *text, uint64_t salt)
{
	size_t n = strlen(text);
	uint64_t h = n ^ salt, v = 0;

	for (; n >= sizeof(v); n -= sizeof(v), text += sizeof(v)) {
		memcpy(&v, text, sizeof(v));
		h = mix(h, v);
	}
	v = 0;
	memcpy(&v, text, n);
	return mix(h, v);
}

/* RFC 3629: no overlong forms, no surrogates. */
size_t jt__utf8_len(const unsigned char *p, size_t n)
{
	size_t need = p[0] < 0x80   ? 1
	              : p[0] < 0xc2 ? 0
	              : p[0] < 0xe0 ? 2
	              : p[0] < 0xf0 ? 3
	              : p[0] < 0xf5 ? 4
	                            : 0;

	if (!need || need > n)
		return 0;
	for (size_t i = 1; i < need; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return need;
}

void jt__clean_text(char *text)
{
	unsigned char *p = (unsigned char *)text;

	for (size_t n = strlen(text), len; n; p += len, n -= len) {
		len = jt__utf8_len(p, n);
		if (!len || *p < ' ' || *p == 0x7f || (*p == 0xc2 && p[1] < 0xa0)) {
			*p = '?';
			len = 1;
		}
	}
}

unsigned jt__edit_distance(const char *a, const char *b)
{
	size_t n = strlen(b);
	unsigned row[64];

	if (n >= JT_ARRAY_LEN(row) || strlen(a) >= JT_ARRAY_LEN(row))
		return JT_ARRAY_LEN(row);
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);
			unsigned best = JT_MIN(row[j], row[j - 1]) + 1;

			diagonal = row[j];
			row[j] = JT_MIN(best, change);
		}
	}
	return row[n];
}
