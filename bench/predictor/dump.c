/* SPDX-License-Identifier: Apache-2.0 */
/* What the predictor sees of a table of measured energy: features and target as CSV, for research.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "predictor/question.h"

static int fail(const struct jt_error *err)
{
	fprintf(stderr, "%s: %s\n", err->where, err->message);
	return 1;
}

static void print_row(const struct jt_question *q, double j_per_token)
{
	double features[JT_MAX_FEATURES];

	jt__features(q, features);
	printf("%s,%s,%s,%s,%s,%.17g", q->source, q->model, q->model_group, q->gpu, q->task,
	       j_per_token);
	for (uint32_t i = 0; i < jt__n_features(); i++)
		printf(",%.17g", features[i]);
	printf("\n");
}

static int print_rows(struct jt_sheet *s, struct jt_error *err)
{
	int target = jt__sheet_column(s, "energy_per_token_j"), status;
	struct jt_question_columns columns;
	struct jt_question q;
	double j_per_token;

	jt__question_columns(s, &columns);
	printf("source,model,model_group,gpu,task,j_per_token");
	for (uint32_t i = 0; i < jt__n_features(); i++)
		printf(",%s", jt__feature_names[i]);
	printf("\n");
	while ((status = jt__sheet_next(s)) > 0) {
		status = jt__question_read(s, &columns, &q);
		if (!status)
			status = jt__sheet_number(s, target, &j_per_token);
		if (status)
			return status;
		if (jt__question_check(&q, err))
			fprintf(stderr, "line %zu left out: %s\n", s->line, err->message);
		else
			print_row(&q, j_per_token);
	}
	return status;
}

/* The whole of standard input. */
static int read_all(struct jt_buf *text)
{
	for (;;) {
		char *p = jt__buf_reserve(text, 65536);
		size_t n = p ? fread(p, 1, 65536, stdin) : 0;

		jt__buf_commit(text, n);
		if (n == 0)
			return p ? JT_OK : JT_ENOMEM;
	}
}

int main(void)
{
	struct jt_error err = { .message = "out of memory" };
	struct jt_sheet s;
	struct jt_buf text;
	int status;

	jt__buf_init(&text, 256u << 20);
	if (read_all(&text))
		return fail(&err);
	status = jt__sheet_init(&s, "standard input", jt__buf_bytes(&text), jt__buf_len(&text),
	                        &err);
	if (!status)
		status = print_rows(&s, &err);
	jt__sheet_fini(&s);
	jt__buf_fini(&text);
	return status ? fail(&err) : 0;
}
