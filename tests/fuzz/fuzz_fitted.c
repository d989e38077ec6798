/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "fitted_sample.h"
#include "predictor/fitted.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check_prediction(const struct jt_fitted *f, const struct jt_prediction *p)
{
	struct jt_question q = { .gpu = "L4", .model = "llama-8b", .model_group = "llama" };
	struct jt_prediction placed = *p;
	char reason[300];

	must(isfinite(p->j_per_token) && p->lo_j > 0 && p->lo_j <= p->hi_j);
	must(p->range_feature < (int32_t)f->n_features);
	if (jt__fitted_place(f, &q, &placed) == JT_OK)
		must(isfinite(placed.hi_j) && placed.group < (int32_t)f->groups.n);
	jt__fitted_reason(f, &q, &placed, reason, sizeof(reason));
	must(strlen(reason) < sizeof(reason) && (placed.outside != 0) == (reason[0] != '\0'));
	jt__fitted_label(f, p->nearest);
}

/* Alone and in lanes, the same bits. */
static void use(const struct jt_fitted *f)
{
	enum { N = 7 };
	const double rows[N][4] = { { 0, 0, 1, 1 },       { NAN, 1, 2, 0.5 }, { 1, NAN, NAN, 1 },
		                    { -3, 3, 0.25, 100 }, { 1e6, 2, 3, 4 },   { 5, 2.5, 2, 1 },
		                    { 2, 2, 2, 2 } };
	struct jt_prediction many[N], one;

	if (jt__fitted_predict_batch(f, N, rows[0], 4, many) != JT_OK) {
		for (int i = 0; i < N; i++)
			jt__fitted_predict(f, rows[i], &one);
		return;
	}
	for (int i = 0; i < N; i++) {
		must(jt__fitted_predict(f, rows[i], &one) == JT_OK);
		must(memcmp(&one, &many[i], sizeof(one)) == 0);
		check_prediction(f, &one);
	}
}

/* What begins with a '{' is a model file, all else the block that one becomes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jt_error err = { .message = "" };
	struct jt_fitted *f = NULL;
	const struct jt_fitted *view = NULL;
	void *block;
	int status;

	if (n && data[0] == '{') {
		status = jt__fitted_parse((const char *)data, n, "m.json", sample_names, &f, &err);
		must((status == JT_OK) == (f != NULL) && (status == JT_OK) == !err.message[0]);
		if (f)
			use(f);
		jt__fitted_free(f);
		return 0;
	}
	block = malloc(n + 1); /* aligned, which the data need not be */
	must(block != NULL);
	memcpy(block, data, n);
	status = jt__fitted_open(block, n, sample_names, &view, &err);
	must((status == JT_OK) == (view != NULL) && (status == JT_OK) == !err.message[0]);
	if (view)
		use(view);
	free(block);
	return 0;
}
