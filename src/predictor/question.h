/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_QUESTION_H
#define JT_QUESTION_H
/*
 * A row of a table as a question. Columns are those of a table of measured energy: architecture,
 * hardware and load; what was measured is another's business. Any of them may be missing or blank.
 */
#include "predictor/predictor.h"
#include "predictor/sheet.h"

#define JT_QUESTION_COLUMNS 48

/* Where in a sheet the columns are; those that it lacks: -1. */
struct jt_question_columns {
	int at[JT_QUESTION_COLUMNS];
};
void jt__question_columns(const struct jt_sheet *s, struct jt_question_columns *ret);

/*
 * The current row. JT_EINVAL names file, line and column: no number where one must be, an unknown
 * dtype, a text that is too long. What is blank is not known; what must be says
 * jt__question_check().
 */
int jt__question_read(const struct jt_sheet *s, const struct jt_question_columns *c,
                      struct jt_question *ret);

/* What is not known of the GPU, from the table of types, where q->gpu is in it. */
void jt__question_know_gpu(struct jt_question *q);

/* A question of which nothing is known: numbers NaN, texts "", one GPU, no parallelism. */
void jt__question_blank(struct jt_question *ret);

#endif
