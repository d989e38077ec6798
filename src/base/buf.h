/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_BUF_H
#define JT_BUF_H
/*
 * A growable byte queue with a maximum given at birth: append at the end,
 * consume at the front. Also the way text and JSON are put together: an append
 * that fails marks the buffer, so that only the last call needs a check.
 */
#include <string.h>
#include "base/base.h"

struct jt_buf {
	char *data;   /* jt__buf_bytes() is what is in it */
	size_t begin; /* first byte not yet consumed */
	size_t end;
	size_t capacity;
	size_t max;  /* bytes it may hold */
	bool failed; /* an append did not fit or could not be allocated */
};

void jt__buf_init(struct jt_buf *b, size_t max); /* allocates nothing */
void jt__buf_fini(struct jt_buf *b); /* gives the memory back; it is empty and may be used again */
static inline const char *jt__buf_bytes(const struct jt_buf *b)
{
	return b->data ? b->data + b->begin : "";
}
static inline size_t jt__buf_len(const struct jt_buf *b)
{
	return b->end - b->begin;
}
int jt__buf_grow_append(struct jt_buf *b, const void *bytes, size_t n);
/* JT_OK, JT_ELIMIT beyond max, JT_ENOMEM. On failure the content is unchanged. */
static inline int jt__buf_append(struct jt_buf *b, const void *bytes, size_t n)
{
	if (!n || n > b->capacity - b->end) /* which is never above max */
		return jt__buf_grow_append(b, bytes, n);
	memcpy(b->data + b->end, bytes, n);
	b->end += n;
	return JT_OK;
}
static inline int jt__buf_append_text(struct jt_buf *b, const char *text)
{
	return jt__buf_append(b, text, strlen(text));
}
/* @v in decimal: where in @room it begins; NUL-terminated. */
const char *jt__decimal(uint64_t v, char room[21]);
int jt__buf_printf(struct jt_buf *b, const char *fmt, ...) JT_PRINTF(2, 3);
/* Room for @n more bytes at the end, to be read into; then jt__buf_commit(). NULL on failure. */
char *jt__buf_reserve(struct jt_buf *b, size_t n);
void jt__buf_commit(struct jt_buf *b, size_t n);
void jt__buf_consume(struct jt_buf *b, size_t n);
void jt__buf_clear(struct jt_buf *b); /* keeps the memory */

/* JSON pieces. A string is quoted and escaped; invalid UTF-8 becomes U+FFFD. */
void jt__json_string(struct jt_buf *b, const char *text, size_t n);
/* "key": of the next member, after a comma unless the object has just been opened. */
void jt__json_key(struct jt_buf *b, const char *key);
/* The whole member "key":"text". */
void jt__json_member_text(struct jt_buf *b, const char *key, const char *text);
/* The shortest decimal that reads back to the same double; null for NaN and infinities. */
void jt__json_double(struct jt_buf *b, double v);
/* Thousandths as a decimal, exactly: 1500 -> 1.5; JT_NONE -> null. */
void jt__json_milli(struct jt_buf *b, uint64_t milli);
/* µ-units as a decimal of the unit, exactly: 1500000 -> 1.5; JT_NONE -> null. */
void jt__json_micro(struct jt_buf *b, uint64_t micro);
/* ns as seconds, exactly; JT_NONE -> null. */
void jt__json_nano(struct jt_buf *b, uint64_t nano);
/* An integer; JT_NONE -> null. */
void jt__json_u64(struct jt_buf *b, uint64_t v);
/* The whole member of each. */
void jt__json_member_double(struct jt_buf *b, const char *key, double v);
void jt__json_member_micro(struct jt_buf *b, const char *key, uint64_t micro);
void jt__json_member_nano(struct jt_buf *b, const char *key, uint64_t nano);
void jt__json_member_u64(struct jt_buf *b, const char *key, uint64_t v);

#endif
