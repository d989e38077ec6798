/* SPDX-License-Identifier: Apache-2.0 */
/* The little of a C library that the predictor needs where there is none; and errors in words. */
#include <string.h>
#include "base/base.h"

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	char *t = to;
	const char *f = from;

	while (n--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int byte, size_t n)
{
	for (char *t = to; n--; t++)
		*t = (char)byte;
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

int strncmp(const char *a, const char *b, size_t n)
{
	for (; n && *a && *a == *b; n--)
		a++, b++;
	return n ? (unsigned char)*a - (unsigned char)*b : 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, SIZE_MAX);
}

size_t strlen(const char *text)
{
	size_t n = 0;

	while (text[n])
		n++;
	return n;
}

char *strstr(const char *text, const char *part)
{
	size_t n = strlen(part);

	for (; *text; text++)
		if (strncmp(text, part, n) == 0)
			return (char *)text;
	return n ? NULL : (char *)text;
}

struct words {
	char *out;
	size_t n, size;
};

static void say(struct words *w, const char *text)
{
	for (; *text && w->n + 1 < w->size; text++)
		w->out[w->n++] = *text;
	w->out[w->n] = '\0';
}

static void say_whole(struct words *w, uint64_t v)
{
	char digits[21];
	size_t i = sizeof(digits) - 1;

	digits[i] = '\0';
	do
		digits[--i] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	say(w, digits + i);
}

/* To three decimals; what is too large for that is "huge". */
static void say_number(struct words *w, double v)
{
	uint64_t thousandths;

	if (v < 0)
		say(w, "-");
	v = v < 0 ? -v : v;
	if (!(v < 1e15)) {
		say(w, v != v ? "nan" : "huge");
		return;
	}
	thousandths = (uint64_t)(v * 1000 + 0.5);
	say_whole(w, thousandths / 1000);
	for (uint64_t rest = thousandths % 1000, unit = 100; rest; rest %= unit, unit /= 10) {
		if (unit == 100)
			say(w, ".");
		say_whole(w, rest / unit);
		if (unit == 1)
			break;
	}
}

/* Knows %s, %d, %u and %g; what else there is of a conversion is passed over. */
int jt__fail(struct jt_error *err, int status, const char *where, const char *fmt, ...)
{
	struct words w = { .out = err->message, .size = sizeof(err->message) };
	va_list ap;

	(void)where;
	if (!err)
		return status;
	va_start(ap, fmt);
	for (; *fmt; fmt++) {
		if (*fmt != '%') {
			say(&w, (char[]){ *fmt, '\0' });
			continue;
		}
		while (fmt[1] && !strstr("s d u g", (char[]){ fmt[1], '\0' }))
			fmt++;
		switch (*++fmt) {
		case 's':
			say(&w, va_arg(ap, const char *));
			break;
		case 'd':
			say_number(&w, va_arg(ap, int));
			break;
		case 'u':
			say_whole(&w, va_arg(ap, unsigned));
			break;
		default:
			say_number(&w, va_arg(ap, double));
		}
	}
	va_end(ap);
	err->status = status;
	return status;
}
