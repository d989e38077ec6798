/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: fitted_rows DIRECTORY. For tests/integration/70-predictor-wasm.t: model.bin, a model with
 * parts of every kind about features as they are; questions.bin, 10,000 of all sorts; and
 * predictions.bin, what this machine makes of them. All reproducible.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/rng.h"
#include "predictor/fitted.h"
#include "predictor/question.h"

#define N 10000
#define N_TREES 60
#define N_SUPPORT 37

static struct jt_rng rng = { 5 };
static double features[N][JT_MAX_FEATURES];

static double pick(const double *from, size_t n)
{
	return from[jt__rng_below(&rng, n)];
}
#define PICK(...)                                                                                  \
	pick((const double[]){ __VA_ARGS__ }, sizeof((double[]){ __VA_ARGS__ }) / sizeof(double))

static void make_question(struct jt_question *q)
{
	static const char *const gpus[] = { "H100", "B200", "L4" };

	jt__question_blank(q);
	q->n_layers = PICK(16, 32, 61, 80);
	q->hidden_size = PICK(1024, 4096, 7168, 8192);
	q->intermediate_size = q->hidden_size * PICK(2, 3.5, 4);
	q->n_heads = q->hidden_size / 128;
	q->n_kv_heads = PICK(1, 8, q->n_heads);
	q->head_dim = PICK(128, NAN);
	q->vocab_size = PICK(32000, 128256);
	q->ffn_mats = PICK(2, 3);
	q->tie_embeddings = PICK(0, 1, NAN);
	if (jt__rng_below(&rng, 3) == 0) {
		q->n_experts = PICK(8, 128, 256);
		q->experts_per_tok = PICK(2, 4, 8);
		q->moe_intermediate_size = PICK(1024, 2048);
	}
	q->weights = (enum jt_weights)jt__rng_below(&rng, JT_N_WEIGHTS);
	q->gpu_mem_gb = PICK(24, 80, 180);
	q->gpu_bw_gbs = PICK(300, 3350, 7700);
	q->gpu_bf16_tflops = PICK(121, 989, 2250);
	q->gpu_fp8_tflops = PICK(242, 1978, NAN);
	q->gpu_tdp_w = PICK(72, 700, 1000);
	q->gpu_byte_cost = PICK(1, 1.5, NAN);
	q->gpu_link_gbs = PICK(32, 450, NAN);
	q->gpu_idle_w = PICK(12, 119, NAN);
	q->n_gpu = q->tp = PICK(1, 2, 8);
	q->max_num_seqs = PICK(8, 256, 1024, NAN);
	q->batch = isnan(q->max_num_seqs) ? 7.5 : q->max_num_seqs * jt__rng_unit(&rng) + 0.01;
	q->in_tokens = PICK(100, 900, 12345.678, NAN);
	q->out_tokens = 1 + 4000 * jt__rng_unit(&rng);
	q->is_vllm_new = jt__rng_below(&rng, 2);
	q->is_multimodal_task = jt__rng_below(&rng, 2);
	snprintf(q->gpu, sizeof(q->gpu), "%s", gpus[jt__rng_below(&rng, JT_ARRAY_LEN(gpus))]);
	snprintf(q->model_group, sizeof(q->model_group), "%s", gpus[jt__rng_below(&rng, 3)]);
}

static void list(struct jt_buf *b, const char *key, uint32_t n, double (*of)(uint32_t))
{
	jt__json_key(b, key);
	for (uint32_t i = 0; i < n; i++) {
		jt__buf_append_text(b, i ? "," : "[");
		jt__json_double(b, of(i));
	}
	jt__buf_append_text(b, "]");
}

static double value_of(uint32_t feature)
{
	return features[jt__rng_below(&rng, N)][feature];
}

static double zero(uint32_t i)
{
	(void)i;
	return 0;
}

static double one(uint32_t i)
{
	(void)i;
	return 1;
}

static double itself(uint32_t i)
{
	return i;
}

static double small(uint32_t i)
{
	(void)i;
	return 0.1 * (jt__rng_unit(&rng) - 0.5);
}

static double deviation(uint32_t i)
{
	return 0.3 + i % 5;
}

static double lengths(uint32_t i)
{
	return 6 + i % 3;
}

/* Of a random tree with @n_splits, node by node. */
static void tree(struct jt_buf *b, uint32_t n_splits)
{
	struct jt_buf value, missing;
	uint32_t n = 2 * n_splits + 1;

	jt__buf_init(&value, 1 << 20);
	jt__buf_init(&missing, 1 << 20);
	jt__buf_append_text(b, "{\"feature\":[");
	for (uint32_t i = 0, done = 0; i < n; i++) {
		const char *comma = i ? "," : "";
		/* One split must be open as long as there are more to come. */
		bool splits = done < n_splits && (i == 2 * done || jt__rng_below(&rng, 3) > 0);
		uint32_t feature = (uint32_t)jt__rng_below(&rng, jt__n_features());
		double v = splits ? value_of(feature) : small(0);

		done += splits;
		jt__buf_printf(b, "%s%d", comma, splits ? (int)feature : -1);
		jt__buf_printf(&value, "%s%.9g", comma, isfinite(v) ? (double)(float)v : 0);
		jt__buf_printf(&missing, "%s%d", comma, (int)jt__rng_below(&rng, 2));
	}
	jt__buf_printf(b, "],\"value\":[%.*s],\"missing_left\":[%.*s]}", (int)jt__buf_len(&value),
	               jt__buf_bytes(&value), (int)jt__buf_len(&missing), jt__buf_bytes(&missing));
	jt__buf_fini(&value);
	jt__buf_fini(&missing);
}

static void trees(struct jt_buf *b)
{
	jt__buf_append_text(b, "{\"kind\":\"trees\",\"weight\":0.5,\"base\":0.1,\"trees\":[");
	for (uint32_t i = 0; i < N_TREES; i++) {
		jt__buf_append_text(b, i ? "," : "");
		tree(b, i % 10 == 9 ? 200 : i % 16); /* some too large for lanes */
	}
	jt__buf_append_text(b, "]}");
}

static void kernel(struct jt_buf *b, const char *shape)
{
	uint32_t n = jt__n_features();

	jt__buf_printf(b, ",{\"kind\":\"kernel\",\"weight\":1,\"shape\":\"%s\"", shape);
	list(b, "features", n, itself);
	list(b, "lengths", n, lengths);
	jt__buf_append_text(b, ",\"rows\":[");
	for (uint32_t i = 0; i < N_SUPPORT; i++) {
		const double *x = features[jt__rng_below(&rng, N)];

		for (uint32_t k = 0; k < n; k++) {
			jt__buf_append_text(b, k ? "," : i ? ",[" : "[");
			jt__json_double(
				b, isfinite(x[k]) ? fmax(-100, fmin(100, x[k] / deviation(k))) : 0);
		}
		jt__buf_append_text(b, "]");
	}
	jt__buf_append_text(b, "]");
	list(b, "weights", N_SUPPORT, small);
	jt__buf_append_text(b, "}");
}

static void write_model(struct jt_buf *b)
{
	uint32_t n = jt__n_features();

	jt__buf_append_text(b, "{\"format\":\"jouletap-predictor\",\"version\":1,"
	                       "\"target\":\"log_j_per_output_token\",\"features\":[");
	for (uint32_t i = 0; i < n; i++)
		jt__buf_printf(b, "%s\"%s\"", i ? "," : "", jt__feature_names[i]);
	jt__buf_append_text(b, "],\"scale\":{");
	list(b, "mean", n, zero);
	list(b, "deviation", n, deviation);
	jt__buf_append_text(b, "},\"parts\":[");
	trees(b);
	kernel(b, "rbf");
	kernel(b, "matern32");
	kernel(b, "matern52");
	jt__buf_append_text(b, ",{\"kind\":\"linear\",\"weight\":1,\"intercept\":-1");
	list(b, "coefficients", n, small);
	jt__buf_append_text(b, "},{\"kind\":\"sum\",\"weight\":1");
	list(b, "features", n, itself);
	list(b, "coefficients", n, one);
	jt__buf_append_text(b, "}],\"ranges\":{");
	list(b, "min", n, value_of);
	list(b, "max", n, value_of);
	jt__buf_append_text(
		b, "},\"known\":{\"gpus\":[\"H100\"],\"model_groups\":[\"B200\"],\"weights\":["
		   "\"fp8\"]},"
		   "\"reach\":1,\"intervals\":{\"coverage\":0.9,\"half_width\":0.3,\"groups\":["
		   "{\"half_width\":0.2,\"rows\":1,\"gpu\":\"H100\",\"min_distance\":0.5},"
		   "{\"half_width\":0.1,\"rows\":1,\"known_model\":true}]},\"factors\":[],"
		   "\"provenance\":{\"data_sha256\":\"\",\"rows\":1,\"date\":\"\",\"note\":\"\","
		   "\"scores\":{}}}");
}

static void save(const char *directory, const char *name, const void *bytes, size_t n)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	f = fopen(path, "wb");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) {
		perror(path);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct jt_question *questions = calloc(N, sizeof(*questions));
	struct jt_prediction *predictions = calloc(N, sizeof(*predictions));
	struct jt_fitted *f = NULL;
	struct jt_error err = { .message = "" };
	uint32_t n = 0;
	struct jt_buf b;

	if (argc != 2 || !questions || !predictions)
		return 1;
	for (uint32_t i = 0; i < N; i++) {
		make_question(&questions[i]);
		jt__features(&questions[i], features[i]);
	}
	jt__buf_init(&b, 1 << 24);
	write_model(&b);
	if (jt__fitted_parse(jt__buf_bytes(&b), jt__buf_len(&b), "rows", jt__feature_names, &f,
	                     &err)) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		return 1;
	}
	/* Those that have an answer; the others only tell that there is none. */
	for (uint32_t i = 0; i < N; i++) {
		if (jt__fitted_answer(f, &questions[i], &predictions[n], &err) == JT_OK)
			memmove(&questions[n++], &questions[i], sizeof(*questions));
	}
	save(argv[1], "model.bin", f, f->size);
	save(argv[1], "questions.bin", questions, n * sizeof(*questions));
	save(argv[1], "predictions.bin", predictions, n * sizeof(*predictions));
	printf("%u of %u, model of %u bytes\n", n, N, f->size);
	if (n < N)
		printf("# not answered: %s\n", err.message);
	jt__buf_fini(&b);
	jt__fitted_free(f);
	free(questions);
	free(predictions);
	return 0;
}
