/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a prediction costs: the model that ships, asked about the rows that it was fitted to, in a
 * random order. The features of a question; from features to joules, alone and in batches.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/rng.h"
#include "input/textfile.h"
#include "predictor/fitted.h"
#include "predictor/question.h"

#define DATA JT_SOURCE_ROOT "/data/predictor/"
#define ROWS 4096
#define RUNS 9

static struct jt_question questions[ROWS];
static double rows[ROWS][JT_MAX_FEATURES];
static struct jt_prediction out[ROWS];

static void must(int status, const struct jt_error *err)
{
	if (status < 0) {
		fprintf(stderr, "bench_fitted: %s: %s\n", err->where, err->message);
		exit(1);
	}
}

/* As many of the table's rows as there is room for. */
static size_t read_questions(void)
{
	struct jt_error err = { .message = "" };
	struct jt_question_columns columns;
	struct jt_sheet s;
	struct jt_buf text;
	size_t n = 0;

	jt__buf_init(&text, 1 << 26);
	must(jt__textfile_read(DATA "energy_tidy.csv", "bench", &text, &err), &err);
	must(jt__sheet_init(&s, "energy_tidy.csv", jt__buf_bytes(&text), jt__buf_len(&text), &err),
	     &err);
	jt__question_columns(&s, &columns);
	while (n < ROWS && jt__sheet_next(&s) == 1)
		if (jt__question_read(&s, &columns, &questions[n]) == JT_OK &&
		    jt__question_check(&questions[n], NULL) == JT_OK)
			n++;
	jt__sheet_fini(&s);
	jt__buf_fini(&text);
	return n;
}

static void fill(void)
{
	struct jt_rng rng = { 1 };
	size_t n = read_questions();

	for (size_t i = n; n && i < ROWS; i++)
		questions[i] = questions[i % n];
	for (size_t i = ROWS - 1; i > 0; i--) {
		size_t k = jt__rng_below(&rng, i + 1);
		struct jt_question q = questions[i];

		questions[i] = questions[k];
		questions[k] = q;
	}
	for (size_t i = 0; i < ROWS; i++)
		jt__features(&questions[i], rows[i]);
}

static void features(const struct jt_fitted *f)
{
	(void)f;
	for (size_t i = 0; i < ROWS; i++)
		jt__features(&questions[i], rows[i]);
}

static void alone(const struct jt_fitted *f)
{
	for (size_t i = 0; i < ROWS; i++)
		if (jt__fitted_predict(f, rows[i], &out[i]) != JT_OK)
			exit(1);
}

static void batch(const struct jt_fitted *f)
{
	if (jt__fitted_predict_batch(f, ROWS, rows[0], JT_MAX_FEATURES, out) != JT_OK)
		exit(1);
}

/* Best of some runs. */
static void measure(const struct jt_fitted *f, const char *what, int n,
                    void (*run)(const struct jt_fitted *))
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < RUNS; i++) {
		uint64_t begin_ns = jt__cpu_ns();

		run(f);
		best_ns = JT_MIN(best_ns, jt__cpu_ns() - begin_ns);
	}
	printf("{\"bench\":\"%s\",\"rows\":%d,\"ns_per_row\":%.0f}\n", what, n,
	       (double)best_ns / ROWS);
}

int main(void)
{
	struct jt_error err = { .message = "" };
	struct jt_fitted *f;

	must(jt__fitted_load(DATA "model.json", &f, &err), &err);
	fill();
	measure(f, "features", 1, features);
	measure(f, "predict", 1, alone);
	measure(f, "predict", ROWS, batch);
	jt__fitted_free(f);
	return 0;
}
