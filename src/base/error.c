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
	return status;
}

bool jt__copy_text(char *dst, size_t size, const char *src, size_t src_len)
{
	size_t n = JT_MIN(src_len, size - 1);

	memcpy(dst, src, n);
	dst[n] = '\0';
	return n == src_len;
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
