/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ROWS_H
#define JT_ROWS_H
/*
 * The rows of a CSV file with a header. Columns are found by name, in any order; others may be
 * there and are passed over. No quoting: the tables hold words and numbers. One thread.
 */
#include "simulator/grid.h"
#include "input/textfile.h"

#define JT_ROWS_MAX_BYTES (256u << 20)
#define JT_ROWS_MAX_COLUMNS 32

struct jt_cell {
	const char *text;
	size_t n;
};

struct jt_rows {
	const char *path;
	struct jt_buf text;
	const char *p, *end;
	size_t line;
	const char *const *names; /* of the columns that are asked for */
	size_t n_names;
	size_t n_columns;                /* in the file */
	int wanted[JT_ROWS_MAX_COLUMNS]; /* of each column in the file, its place in names; or -1 */
	struct jt_cell cells[JT_ROWS_MAX_COLUMNS]; /* of the current row, in order of names */
	struct jt_error *err;
};

/* @path, @names and @err are kept. Errors name file, line and column. */
int jt__rows_open(struct jt_rows *r, const char *path, const char *const *names, size_t n_names,
                  struct jt_error *err);
/* The same with the text given. */
int jt__rows_parse(struct jt_rows *r, const char *text, size_t n, const char *path,
                   const char *const *names, size_t n_names, struct jt_error *err);
void jt__rows_close(struct jt_rows *r);

/* 1: there is another row, now in cells; 0: there is none; JT_EINVAL. Empty lines are no rows. */
int jt__rows_next(struct jt_rows *r);

int jt__rows_whole(const struct jt_rows *r, size_t column, uint32_t max, uint32_t *ret_v);
int jt__rows_real(const struct jt_rows *r, size_t column, double min, double max, double *ret_v);
/* A time in µs as whole ns, at least 1, rounded as the reference simulator does it. */
int jt__rows_ns(const struct jt_rows *r, size_t column, double *ret_ns);
/* Puts @p to @points. JT_ENOMEM, JT_ELIMIT. */
int jt__rows_keep(const struct jt_rows *r, struct jt_points *points, const struct jt_point *p);
/* JT_EINVAL: the cell in @column "must be …, not 'CELL'". */
int jt__rows_fail(const struct jt_rows *r, size_t column, const char *wanted);

#endif
