/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "predictor/sheet.h"

#define MAX_NUMBER 80 /* bytes; a double has 17 digits that count */

int jt__sheet_fail(const struct jt_sheet *s, const char *fmt, ...)
{
	char where[48], number[24], text[256];
	size_t room = sizeof(where) - (size_t)snprintf(number, sizeof(number), ":%zu", s->line) - 1;
	size_t n = strlen(s->path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(where, sizeof(where), "%s%s", n > room ? s->path + n - room : s->path, number);
	return jt__fail(s->err, JT_EINVAL, where, "%s", text);
}

static int append(struct jt_sheet *s, struct jt_buf *to, const char *bytes, size_t n)
{
	int status = jt__buf_append(to, bytes, n);

	if (status == JT_ELIMIT)
		return jt__sheet_fail(s, "the row is longer than %u bytes", JT_SHEET_MAX_ROW);
	if (status)
		return jt__fail(s->err, status, s->path, "%s", jt_strerror(status));
	return JT_OK;
}

static bool at_line_end(const struct jt_sheet *s)
{
	return s->p == s->end || *s->p == '\n' ||
	       (*s->p == '\r' && s->p + 1 < s->end && s->p[1] == '\n');
}

static void pass_line_end(struct jt_sheet *s)
{
	if (s->p < s->end && *s->p == '\r')
		s->p++;
	if (s->p < s->end) {
		s->p++;
		s->next_line++;
	}
}

/* A quoted cell, from behind its first quote to behind its last. */
static int read_quoted(struct jt_sheet *s, struct jt_buf *to)
{
	for (;;) {
		const char *begin = s->p;
		int status;

		while (s->p < s->end && *s->p != '"' && *s->p != '\0')
			s->next_line += *s->p++ == '\n';
		status = append(s, to, begin, (size_t)(s->p - begin));
		if (status)
			return status;
		if (s->p == s->end)
			return jt__sheet_fail(s, "a quote is opened and not closed");
		if (*s->p == '\0')
			return jt__sheet_fail(s, "there is a NUL byte in it");
		s->p++;
		if (s->p == s->end || *s->p != '"')
			return JT_OK;
		status = append(s, to, s->p++, 1);
		if (status)
			return status;
	}
}

static int read_plain(struct jt_sheet *s, struct jt_buf *to)
{
	const char *begin = s->p;

	while (!at_line_end(s) && *s->p != ',') {
		if (*s->p == '"')
			return jt__sheet_fail(s, "there is a quote inside a cell that does not "
			                         "begin with one");
		if (*s->p == '\0')
			return jt__sheet_fail(s, "there is a NUL byte in it");
		if (*s->p == '\r')
			return jt__sheet_fail(s, "there is a carriage return in it");
		s->p++;
	}
	return append(s, to, begin, (size_t)(s->p - begin));
}

/* One row into @to, where cells begin into @at. */
static int read_row(struct jt_sheet *s, struct jt_buf *to, uint32_t *at, size_t *ret_n)
{
	size_t n = 0;

	jt__buf_clear(to);
	s->line = s->next_line;
	s->row = s->p;
	for (;;) {
		int status;

		if (n == JT_SHEET_MAX_COLUMNS)
			return jt__sheet_fail(s, "more than %d columns", JT_SHEET_MAX_COLUMNS);
		at[n++] = (uint32_t)jt__buf_len(to);
		if (s->p < s->end && *s->p == '"') {
			s->p++;
			status = read_quoted(s, to);
			if (!status && !at_line_end(s) && *s->p != ',')
				status = jt__sheet_fail(s, "there is something between a closing "
				                           "quote and the next comma");
		} else {
			status = read_plain(s, to);
		}
		if (!status)
			status = append(s, to, "", 1);
		if (status)
			return status;
		if (at_line_end(s))
			break;
		s->p++;
	}
	s->row_len = (size_t)(s->p - s->row);
	pass_line_end(s);
	*ret_n = n;
	return JT_OK;
}

void jt__sheet_pass_empty(struct jt_sheet *s)
{
	while (s->p < s->end && at_line_end(s))
		pass_line_end(s);
}

static const char *name_of(const struct jt_sheet *s, size_t column)
{
	return jt__buf_bytes(&s->names) + s->name_at[column];
}

int jt__sheet_init(struct jt_sheet *s, const char *path, const char *text, size_t n,
                   struct jt_error *err)
{
	int status;

	*s = (struct jt_sheet){ .path = path, .p = text, .end = text + n, .err = err };
	s->line = s->next_line = 1;
	jt__buf_init(&s->names, JT_SHEET_MAX_ROW);
	jt__buf_init(&s->cells, JT_SHEET_MAX_ROW);
	if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		s->p += 3;
	jt__sheet_pass_empty(s);
	if (s->p == s->end)
		return jt__sheet_fail(s, "there is no header");
	status = read_row(s, &s->names, s->name_at, &s->n_columns);
	for (size_t i = 1; !status && i < s->n_columns; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(name_of(s, i), name_of(s, k)) == 0)
				return jt__sheet_fail(s, "two columns are named '%.40s'",
				                      name_of(s, i));
	return status;
}

void jt__sheet_fini(struct jt_sheet *s)
{
	jt__buf_fini(&s->names);
	jt__buf_fini(&s->cells);
}

int jt__sheet_next(struct jt_sheet *s)
{
	size_t n;
	int status;

	jt__sheet_pass_empty(s);
	if (s->p == s->end)
		return 0;
	status = read_row(s, &s->cells, s->cell_at, &n);
	if (status)
		return status;
	if (n != s->n_columns)
		return jt__sheet_fail(s, "%zu cells, but %zu columns", n, s->n_columns);
	return 1;
}

int jt__sheet_column(const struct jt_sheet *s, const char *name)
{
	for (size_t i = 0; i < s->n_columns; i++)
		if (strcmp(name_of(s, i), name) == 0)
			return (int)i;
	return -1;
}

const char *jt__sheet_text(const struct jt_sheet *s, int column)
{
	return column < 0 ? "" : jt__buf_bytes(&s->cells) + s->cell_at[column];
}

/* strtod() also takes "nan", "inf", hexadecimals and leading spaces. */
static bool is_decimal(const char *text)
{
	return strspn(text, "+-.0123456789eE") == strlen(text);
}

int jt__sheet_number(const struct jt_sheet *s, int column, double *ret_v)
{
	const char *text = jt__sheet_text(s, column);
	char *end;
	double v;

	if (!*text) {
		*ret_v = NAN;
		return JT_OK;
	}
	v = strtod(text, &end);
	if (!is_decimal(text) || *end || end == text || !isfinite(v) || strlen(text) > MAX_NUMBER)
		return jt__sheet_fail(s, "'%s' must be a number, not '%.40s'",
		                      name_of(s, (size_t)column), text);
	*ret_v = v;
	return JT_OK;
}
