/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "simulator/rows.h"

#define MAX_TIME_US 1e9

/* Takes one line off the text, without its end. */
static bool next_line(struct jt_rows *r, const char **ret_begin, const char **ret_end)
{
	const char *newline;

	if (r->p >= r->end)
		return false;
	newline = memchr(r->p, '\n', (size_t)(r->end - r->p));
	*ret_begin = r->p;
	*ret_end = newline ? newline : r->end;
	r->p = newline ? newline + 1 : r->end;
	if (*ret_end > *ret_begin && (*ret_end)[-1] == '\r')
		--*ret_end;
	r->line++;
	return true;
}

static int place_of(const struct jt_rows *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->n_names; i++)
		if (strlen(r->names[i]) == n && memcmp(r->names[i], name, n) == 0)
			return (int)i;
	return -1;
}

static int read_header(struct jt_rows *r)
{
	const char *p, *end, *comma;
	uint32_t found = 0;

	if (!next_line(r, &p, &end))
		return jt__textfile_fail(r->err, r->path, 1, "the file is empty");
	do {
		int place;

		comma = memchr(p, ',', (size_t)(end - p));
		place = place_of(r, p, (size_t)((comma ? comma : end) - p));

		if (r->n_columns == JT_ROWS_MAX_COLUMNS)
			return jt__textfile_fail(r->err, r->path, 1, "more than %d columns",
			                         JT_ROWS_MAX_COLUMNS);
		if (place >= 0 && found & 1u << place)
			return jt__textfile_fail(r->err, r->path, 1, "two columns are named '%s'",
			                         r->names[place]);
		if (place >= 0)
			found |= 1u << place;
		r->wanted[r->n_columns++] = place;
		p = comma ? comma + 1 : end;
	} while (comma);
	for (size_t i = 0; i < r->n_names; i++)
		if (!(found & 1u << i))
			return jt__textfile_fail(r->err, r->path, 1,
			                         "the header has no column '%s'", r->names[i]);
	return JT_OK;
}

int jt__rows_parse(struct jt_rows *r, const char *text, size_t n, const char *path,
                   const char *const *names, size_t n_names, struct jt_error *err)
{
	*r = (struct jt_rows){ .path = path, .p = text, .end = text + n, .err = err };
	r->names = names;
	r->n_names = n_names;
	return read_header(r);
}

int jt__rows_open(struct jt_rows *r, const char *path, const char *const *names, size_t n_names,
                  struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_ROWS_MAX_BYTES);
	status = jt__textfile_read(path, "simulate", &text, err);
	if (!status)
		status = jt__rows_parse(r, jt__buf_bytes(&text), jt__buf_len(&text), path, names,
		                        n_names, err);
	if (status)
		jt__buf_fini(&text);
	else
		r->text = text;
	return status;
}

void jt__rows_close(struct jt_rows *r)
{
	jt__buf_fini(&r->text);
}

int jt__rows_next(struct jt_rows *r)
{
	const char *p, *end, *cell;
	size_t column = 0;

	do {
		if (!next_line(r, &p, &end))
			return 0;
	} while (p == end);
	for (cell = p;; p++) {
		if (p < end && *p != ',')
			continue;
		if (column < r->n_columns && r->wanted[column] >= 0) {
			struct jt_cell *c = &r->cells[r->wanted[column]];

			c->text = cell;
			c->n = (size_t)(p - cell);
		}
		column++;
		cell = p + 1;
		if (p == end)
			break;
	}
	if (column != r->n_columns)
		return jt__textfile_fail(r->err, r->path, r->line, "%zu values, but %zu columns",
		                         column, r->n_columns);
	return 1;
}

int jt__rows_fail(const struct jt_rows *r, size_t column, const char *wanted)
{
	const struct jt_cell *c = &r->cells[column];

	return jt__textfile_fail(r->err, r->path, r->line, "'%s' must be %s, not '%.*s'",
	                         r->names[column], wanted, (int)JT_MIN(c->n, 40), c->text);
}

int jt__rows_whole(const struct jt_rows *r, size_t column, uint32_t max, uint32_t *ret_v)
{
	const struct jt_cell *c = &r->cells[column];
	char wanted[64];
	uint64_t v;

	if (jt__textfile_whole(c->text, c->n, max, &v)) {
		*ret_v = (uint32_t)v;
		return JT_OK;
	}
	snprintf(wanted, sizeof(wanted), "a whole number from 0 to %u", max);
	return jt__rows_fail(r, column, wanted);
}

int jt__rows_real(const struct jt_rows *r, size_t column, double min, double max, double *ret_v)
{
	const struct jt_cell *c = &r->cells[column];
	char wanted[64];

	if (jt__textfile_real(c->text, c->n, ret_v) && *ret_v >= min && *ret_v <= max)
		return JT_OK;
	snprintf(wanted, sizeof(wanted), "a number from %g to %g", min, max);
	return jt__rows_fail(r, column, wanted);
}

int jt__rows_ns(const struct jt_rows *r, size_t column, double *ret_ns)
{
	double us;
	int status = jt__rows_real(r, column, 0, MAX_TIME_US, &us);

	if (!status)
		*ret_ns = fmax(1, rint(us * 1000.0));
	return status;
}

int jt__rows_keep(const struct jt_rows *r, struct jt_points *points, const struct jt_point *p)
{
	int status = jt__points_add(points, p);

	if (status == JT_ELIMIT)
		return jt__fail(r->err, status, "simulate", "'%s' has more than %u rows", r->path,
		                JT_GRID_MAX_POINTS);
	if (status)
		return jt__fail(r->err, status, "simulate", "%s", jt_strerror(status));
	return JT_OK;
}
