/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_BASE_H
#define JT_BASE_H
/* The few things every room needs: error helpers, sizes, allocation, safe text. */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "jouletap/error.h"

#define JT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define JT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define JT_MAX(a, b) ((a) > (b) ? (a) : (b))
#define JT_NS_PER_S UINT64_C(1000000000)
#define JT_NS_PER_MS UINT64_C(1000000)
#define JT_NS_PER_US UINT64_C(1000)

/* The struct of @type whose member @member is at @ptr. */
#define jt_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#if defined(__GNUC__)
#define JT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define JT_PRINTF(fmt, args)
#endif

/* Fills @err (may be NULL) and returns @status, so that a failure is one return statement. */
int jt__fail(struct jt_error *err, int status, const char *where, const char *fmt, ...)
	JT_PRINTF(4, 5);

/* calloc and realloc behind one hook, so that a test can fail the nth call; NULL when out of
 * memory. */
void *jt__alloc(size_t n, size_t size);
void *jt__realloc(void *p, size_t n, size_t size);
void jt__free(void *p);
/* Test hook: the @nth allocation from now on fails (1 = the next one); 0 switches it off. */
void jt__alloc_fail_at(uint64_t nth);

/* @v as a whole number of its unit: 0 where it is negative or no number, at most 2^63. What files
 * and drivers say may be anything, and C defines no conversion of what does not fit. */
static inline uint64_t jt__whole(double v)
{
	return v >= 0x1p63 ? UINT64_C(1) << 63 : v > 0 ? (uint64_t)v : 0;
}

/* Copies at most size - 1 bytes and always terminates; false if @src was cut. */
bool jt__copy_text(char *dst, size_t size, const char *src, size_t src_len);

/* For hash tables in memory: differs between machines. Who chooses texts and knows @salt finds
 * collisions. */
uint64_t jt__hash_text(const char *text, uint64_t salt);

/* Length of the UTF-8 sequence that @p begins with, 0 if it does not begin with one; n > 0. */
size_t jt__utf8_len(const unsigned char *p, size_t n);

/* What is no UTF-8, or would steer a terminal or begin another line, becomes '?'. */
void jt__clean_text(char *text);

/* Edit distance of two short words (up to 63 characters), for "did you mean". */
unsigned jt__edit_distance(const char *a, const char *b);

#endif
