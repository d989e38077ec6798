/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a table of questions: what passes the check has finite features. */
#include <math.h>
#include <stdlib.h>
#include "predictor/question.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask(const struct jt_sheet *s, const struct jt_question_columns *columns)
{
	double features[JT_MAX_FEATURES];
	struct jt_question q;

	if (jt__question_read(s, columns, &q) || jt__question_check(&q, NULL))
		return;
	jt__features(&q, features);
	for (uint32_t i = 0; i < jt__n_features(); i++)
		if (!isfinite(features[i]))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jt_question_columns columns;
	struct jt_error err;
	struct jt_sheet s;

	if (jt__sheet_init(&s, "fuzz.csv", (const char *)data, n, &err) == JT_OK) {
		jt__question_columns(&s, &columns);
		while (jt__sheet_next(&s) == 1)
			ask(&s, &columns);
	}
	jt__sheet_fini(&s);
	return 0;
}
