/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a prediction costs, of a model of the size that training makes at most: a sum of 24
 * features, 450 full trees of depth 4 and 96 support rows on 30 features; from features on, alone
 * and in batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "predictor/fitted.h"

#define SMOOTH 30
#define TERMS 24
#define ROWS 4096
#define RUNS 9

static struct jt_rng rng = { 1 };
static char texts[SMOOTH + TERMS][8];
static const char *names[SMOOTH + TERMS + 1];
static double rows[ROWS][SMOOTH + TERMS];
static struct jt_prediction out[ROWS];

static double between(double low, double high)
{
	return low + (high - low) * jt__rng_unit(&rng);
}

/* ,"key":[n numbers from @low to @high], or where @step > 0 in such steps from @low on. */
static void list(struct jt_buf *b, const char *key, int n, double low, double high, double step)
{
	jt__buf_printf(b, ",\"%s\":[", key);
	for (int i = 0; i < n; i++)
		jt__buf_printf(b, "%s%.9g", i ? "," : "",
		               step > 0 ? low + i * step : between(low, high));
	jt__buf_append_text(b, "]");
}

static void tree(struct jt_buf *b, const char *comma)
{
	jt__buf_printf(b, "%s{\"feature\":[", comma);
	for (int i = 0; i < 31; i++)
		jt__buf_printf(b, "%s%d", i ? "," : "",
		               i < 15 ? (int)jt__rng_below(&rng, SMOOTH) : -1);
	jt__buf_append_text(b, "]");
	list(b, "value", 31, -1, 1, 0);
	list(b, "missing_left", 31, 0, 0, 0);
	jt__buf_append_text(b, "}");
}

static void parts(struct jt_buf *b)
{
	jt__buf_append_text(b, ",\"parts\":[{\"kind\":\"sum\",\"weight\":1");
	list(b, "features", TERMS, SMOOTH, 0, 1);
	list(b, "coefficients", TERMS, 0, 1, 0);
	jt__buf_append_text(b, "},{\"kind\":\"trees\",\"weight\":0.001,\"base\":0,\"trees\":[");
	for (int i = 0; i < 450; i++)
		tree(b, i ? "," : "");
	jt__buf_append_text(b, "]},{\"kind\":\"kernel\",\"weight\":0.1,\"shape\":\"matern32\"");
	list(b, "features", SMOOTH, 0, 0, 1);
	list(b, "lengths", SMOOTH, 5, 5, 0);
	jt__buf_append_text(b, ",\"rows\":[");
	for (int i = 0; i < 96; i++) {
		for (int k = 0; k < SMOOTH; k++)
			jt__buf_printf(b, "%s%.9g", k ? "," : i ? ",[" : "[", between(-2, 2));
		jt__buf_append_text(b, "]");
	}
	jt__buf_append_text(b, "]");
	list(b, "weights", 96, -0.1, 0.1, 0);
	jt__buf_append_text(b, "}]");
}

static struct jt_fitted *model(void)
{
	struct jt_fitted *f = NULL;
	struct jt_error err;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 22);
	jt__buf_append_text(&b, "{\"format\":\"jouletap-predictor\",\"version\":1,"
	                        "\"target\":\"log_j_per_output_token\",\"features\":[");
	for (int i = 0; i < SMOOTH + TERMS; i++)
		jt__buf_printf(&b, "%s\"%s\"", i ? "," : "", names[i]);
	jt__buf_append_text(&b, "],\"scale\":{\"mean\":[0");
	for (int i = 1; i < SMOOTH + TERMS; i++)
		jt__buf_append_text(&b, ",0");
	jt__buf_append_text(&b, "]");
	list(&b, "deviation", SMOOTH + TERMS, 1, 1, 0);
	jt__buf_append_text(&b, "},\"ranges\":{\"min\":[-9");
	for (int i = 1; i < SMOOTH + TERMS; i++)
		jt__buf_append_text(&b, ",-9");
	jt__buf_append_text(&b, "]");
	list(&b, "max", SMOOTH + TERMS, 9, 9, 0);
	jt__buf_append_text(&b, "}");
	parts(&b);
	jt__buf_append_text(&b, ",\"known\":{\"gpus\":[],\"model_groups\":[],\"weights\":[]},"
	                        "\"intervals\":{\"coverage\":0.9,\"half_width\":0.3,\"groups\":[]},"
	                        "\"factors\":[],\"provenance\":{\"data_sha256\":\"\",\"rows\":1,"
	                        "\"date\":\"\",\"note\":\"\",\"scores\":{}}}");
	if (jt__fitted_parse(jt__buf_bytes(&b), jt__buf_len(&b), "bench", names, &f, &err)) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		exit(1);
	}
	jt__buf_fini(&b);
	return f;
}

/* Best of some runs, ns a row. */
static double measure(const struct jt_fitted *f, bool batch)
{
	uint64_t best_ns = UINT64_MAX;

	for (int run = 0; run < RUNS; run++) {
		uint64_t begin_ns = jt__cpu_ns();
		int status = JT_OK;

		if (batch)
			status = jt__fitted_predict_batch(f, ROWS, rows[0], SMOOTH + TERMS, out);
		for (int i = 0; !batch && i < ROWS; i++)
			status |= jt__fitted_predict(f, rows[i], &out[i]);
		best_ns = JT_MIN(best_ns, jt__cpu_ns() - begin_ns);
		if (status)
			exit(1);
	}
	return (double)best_ns / ROWS;
}

int main(void)
{
	struct jt_fitted *f;

	for (int i = 0; i < SMOOTH + TERMS; i++) {
		snprintf(texts[i], sizeof(texts[i]), "f%d", i);
		names[i] = texts[i];
	}
	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < SMOOTH + TERMS; k++)
			rows[i][k] = between(k < SMOOTH ? -1 : 0, 1);
	f = model();
	printf("{\"bench\":\"predict\",\"rows\":1,\"ns_per_row\":%.0f}\n", measure(f, false));
	printf("{\"bench\":\"predict\",\"rows\":%d,\"ns_per_row\":%.0f}\n", ROWS, measure(f, true));
	jt__fitted_free(f);
	return 0;
}
