/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PAGE_H
#define JT_PAGE_H
/* A page of headings, paragraphs, tables and figures, as Markdown or as one HTML file. One thread.
 */
#include "base/buf.h"

struct jt_page {
	struct jt_buf out;
	bool html;
	char dir[512];    /* of a Markdown page: where its figures go, with / at the end */
	char folder[128]; /* the same as links say it */
	bool in_table;
	int status; /* of the first figure that could not be written */
	struct jt_error err;
};

/*
 * For a page at @path: *.html, or *.md with figures in a directory of its name beside it.
 * JT_EINVAL for any other.
 */
int jt__page_init(struct jt_page *p, const char *path, const char *title, struct jt_error *err);
void jt__page_heading(struct jt_page *p, const char *text);
/* A paragraph, of plain text and `code`. */
void jt__page_text(struct jt_page *p, const char *fmt, ...) JT_PRINTF(2, 3);
/* Cells with tabs between them; the first row since anything else is the head of a table. */
void jt__page_row(struct jt_page *p, const char *fmt, ...) JT_PRINTF(2, 3);
void jt__page_figure(struct jt_page *p, const char *name, const char *what,
                     const struct jt_buf *svg);
/* Writes it to @path and frees it, in any case. */
int jt__page_finish(struct jt_page *p, const char *path, struct jt_error *err);

#endif
