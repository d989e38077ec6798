/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SHEET_H
#define JT_SHEET_H
/*
 * A CSV file with a header, strictly as RFC 4180 has it: cells may be quoted, and then hold commas,
 * quotes and ends of lines; every row has as many cells as the header. Line ends are LF or CRLF; a
 * byte order mark and empty lines are passed over. One thread.
 */
#include "base/buf.h"

#define JT_SHEET_MAX_COLUMNS 256
#define JT_SHEET_MAX_ROW (1u << 20) /* bytes of text in all cells of a row */

struct jt_sheet {
	const char *path;
	const char *p, *end;
	size_t line; /* where the current row begins, counted from 1 */
	size_t next_line;
	const char *row; /* the current row as it is written, without the end of its line */
	size_t row_len;
	size_t n_columns;
	struct jt_buf names, cells;             /* texts, each with a NUL behind it */
	uint32_t name_at[JT_SHEET_MAX_COLUMNS]; /* where each begins */
	uint32_t cell_at[JT_SHEET_MAX_COLUMNS];
	struct jt_error *err;
};

/*
 * Begins with the header of the @n bytes at @text. @path, @text and @err are kept. JT_EINVAL names
 * file and line; JT_ENOMEM. jt__sheet_fini() in any case.
 */
int jt__sheet_init(struct jt_sheet *s, const char *path, const char *text, size_t n,
                   struct jt_error *err);
void jt__sheet_fini(struct jt_sheet *s);

/* 1: there is another row, now in cells; 0: there is none; JT_EINVAL, JT_ENOMEM. */
int jt__sheet_next(struct jt_sheet *s);

/* Passes over empty lines: then a row begins where p is, or the text ends. */
void jt__sheet_pass_empty(struct jt_sheet *s);

/* The place of a column; -1: there is none of that name. */
int jt__sheet_column(const struct jt_sheet *s, const char *name);
/* The cell there in the current row; "" for place -1. */
const char *jt__sheet_text(const struct jt_sheet *s, int column);
/* The cell as a finite decimal number; NaN where it is blank. JT_EINVAL names file, line, column.
 */
int jt__sheet_number(const struct jt_sheet *s, int column, double *ret_v);
/* JT_EINVAL, where "PATH:LINE" (of a long path its end). */
int jt__sheet_fail(const struct jt_sheet *s, const char *fmt, ...) JT_PRINTF(2, 3);

#endif
