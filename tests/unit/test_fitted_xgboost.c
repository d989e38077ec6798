/* SPDX-License-Identifier: Apache-2.0 */
/* Our way through trees against the library that grew them: the same bits, whatever the model. */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>
#include <xgboost/c_api.h>
#include "tap.h"
#include "base/buf.h"
#include "base/rng.h"
#include "predictor/fitted.h"

enum { N = 10000, P = 12 };

static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g",
	                             "h", "i", "j", "k", "l", NULL };
static float x[N][P], y[N];
static double rows[N][P];
static struct jt_prediction mine[N];

static void must(int status)
{
	if (status) {
		printf("Bail out! %s\n", XGBGetLastError());
		exit(1);
	}
}

/* Some values come often, so that rows stand exactly on thresholds. */
static void make_data(uint64_t seed)
{
	struct jt_rng r = { seed };

	for (int i = 0; i < N; i++) {
		double sum = 0;

		for (int k = 0; k < P; k++) {
			double v = 10 * jt__rng_unit(&r) - 5;

			v = k % 3 == 0 ? floor(v) : v;
			x[i][k] = jt__rng_below(&r, 50) ? (float)v : NAN;
			rows[i][k] = x[i][k];
			sum += isnan(x[i][k]) ? 1 : sin(v) * (k + 1);
		}
		y[i] = (float)(sum / 20 + 0.1 * jt__rng_unit(&r));
	}
}

static BoosterHandle train(DMatrixHandle data, const char *const *params, int n_rounds)
{
	BoosterHandle b;

	must(XGBoosterCreate(&data, 1, &b));
	must(XGBoosterSetParam(b, "tree_method", "hist"));
	must(XGBoosterSetParam(b, "nthread", "1"));
	for (; *params; params += 2)
		must(XGBoosterSetParam(b, params[0], params[1]));
	for (int i = 0; i < n_rounds; i++)
		must(XGBoosterUpdateOneIter(b, i, data));
	return b;
}

/* Breadth first, as our file has it. */
static void convert_tree(struct jt_buf *out, const json_t *tree)
{
	const char *const keys[] = { "split_indices", "split_conditions", "default_left" };
	const char *const ours[] = { "feature", "value", "missing_left" };
	const json_t *left = json_object_get(tree, "left_children");
	const json_t *right = json_object_get(tree, "right_children");
	size_t n = json_array_size(left), end = 1;
	size_t *queue = calloc(n, sizeof(*queue));

	for (size_t i = 0; i < end; i++) {
		if (json_integer_value(json_array_get(left, queue[i])) < 0)
			continue;
		queue[end++] = (size_t)json_integer_value(json_array_get(left, queue[i]));
		queue[end++] = (size_t)json_integer_value(json_array_get(right, queue[i]));
	}
	for (int k = 0; k < 3; k++) {
		jt__buf_printf(out, "%s\"%s\":[", k ? "," : "{", ours[k]);
		for (size_t i = 0; i < n; i++) {
			const json_t *v = json_array_get(json_object_get(tree, keys[k]), queue[i]);
			bool is_leaf = json_integer_value(json_array_get(left, queue[i])) < 0;

			jt__buf_append_text(out, i ? "," : "");
			if (k == 1)
				jt__buf_printf(out, "%.9g", json_number_value(v));
			else if (k == 0 && is_leaf)
				jt__buf_append_text(out, "-1");
			else /* the library writes truth as a number or as a boolean */
				jt__buf_printf(out, "%d",
				               json_is_true(v) ? 1 : (int)json_integer_value(v));
		}
		jt__buf_append_text(out, "]");
	}
	jt__buf_append_text(out, "}");
	free(queue);
}

static json_t *dig(json_t *j, const char *a, const char *b, const char *c)
{
	return json_object_get(json_object_get(json_object_get(j, a), b), c);
}

static struct jt_fitted *convert(BoosterHandle b)
{
	char path[] = "/tmp/jt-xgboost-XXXXXX.json";
	int fd = mkstemps(path, 5);
	struct jt_fitted *f = NULL;
	struct jt_error err;
	struct jt_buf out;
	json_t *j, *trees;

	must(fd < 0 ? -1 : XGBoosterSaveModel(b, path));
	j = json_load_file(path, 0, NULL);
	close(fd);
	unlink(path);
	trees = json_object_get(dig(j, "learner", "gradient_booster", "model"), "trees");
	jt__buf_init(&out, 1 << 26);
	jt__buf_append_text(&out, "{\"format\":\"jouletap-predictor\",\"version\":1,"
	                          "\"target\":\"log_j_per_output_token\",\"features\":[");
	for (int k = 0; k < P; k++)
		jt__buf_printf(&out, "%s\"%s\"", k ? "," : "", names[k]);
	jt__buf_append_text(&out, "]");
	for (int k = 0; k < 4; k++) {
		static const char *const lists[] = { ",\"scale\":{\"mean\":[", ",\"deviation\":[",
			                             "},\"ranges\":{\"min\":[", ",\"max\":[" };

		jt__buf_append_text(&out, lists[k]);
		for (int i = 0; i < P; i++)
			jt__buf_printf(&out, "%s%d", i ? "," : "", k == 1);
		jt__buf_append_text(&out, "]");
	}
	jt__buf_printf(&out,
	               "},\"parts\":[{\"kind\":\"trees\",\"weight\":1,\"base\":%.9g,\"trees\":[",
	               (double)strtof(json_string_value(dig(j, "learner", "learner_model_param",
	                                                    "base_score")),
	                              NULL));
	for (size_t i = 0; i < json_array_size(trees); i++) {
		jt__buf_append_text(&out, i ? "," : "");
		convert_tree(&out, json_array_get(trees, i));
	}
	jt__buf_append_text(&out,
	                    "]}],\"known\":{\"gpus\":[],\"model_groups\":[],\"weights\":[]},"
	                    "\"intervals\":{\"coverage\":0.9,\"half_width\":0.1,\"groups\":[]},"
	                    "\"factors\":[],\"provenance\":{\"data_sha256\":\"\",\"rows\":1,"
	                    "\"date\":\"\",\"note\":\"\",\"scores\":{}}}");
	if (jt__fitted_parse(jt__buf_bytes(&out), jt__buf_len(&out), "x.json", names, &f, &err))
		printf("# %s\n", err.message);
	jt__buf_fini(&out);
	json_decref(j);
	return f;
}

/* Rows one by one and in batches, against the library's. */
static void compare(const char *const *params, int n_rounds, uint64_t seed)
{
	bst_ulong const *shape;
	bst_ulong n_dims;
	const float *theirs;
	DMatrixHandle data;
	struct jt_fitted *f;
	BoosterHandle b;
	int n_differ = 0, n_alone = 0;

	make_data(seed);
	must(XGDMatrixCreateFromMat(x[0], N, P, NAN, &data));
	must(XGDMatrixSetFloatInfo(data, "label", y, N));
	b = train(data, params, n_rounds);
	must(XGBoosterPredictFromDMatrix(b, data,
	                                 "{\"type\":0,\"training\":false,\"iteration_begin\":0,"
	                                 "\"iteration_end\":0,\"strict_shape\":false}",
	                                 &shape, &n_dims, &theirs));
	f = convert(b);
	if (check(f != NULL)) {
		check(jt__fitted_predict_batch(f, N, rows[0], P, mine) == JT_OK);
		for (int i = 0; i < N; i++) {
			struct jt_prediction one = { .log_j = NAN };

			n_differ += mine[i].parts[0] != (double)theirs[i];
			jt__fitted_predict(f, rows[i], &one);
			n_alone += one.parts[0] != (double)theirs[i];
		}
		check(n_differ == 0 && n_alone == 0);
		check(mine[0].parts[0] != mine[1].parts[0]); /* there was something to learn */
	}
	jt__fitted_free(f);
	XGBoosterFree(b);
	XGDMatrixFree(data);
}

static void small_boosted_trees_give_the_bits_of_the_library(void)
{
	const char *const params[] = { "max_depth", "4", "eta", "0.1", NULL };

	compare(params, 60, 1);
}

static void large_boosted_trees_give_the_bits_of_the_library(void)
{
	const char *const params[] = { "max_depth", "8", "eta", "0.3", "subsample", "0.8", NULL };

	compare(params, 12, 2);
}

static void absolute_errors_bring_a_base_of_their_own(void)
{
	const char *const params[] = { "objective", "reg:absoluteerror", "max_depth", "3", NULL };

	compare(params, 20, 3);
}

static void a_forest_gives_the_bits_of_the_library(void)
{
	const char *const params[] = { "num_parallel_tree", "20",  "subsample", "0.8",
		                       "colsample_bynode",  "0.8", "eta",       "1",
		                       "max_depth",         "9",   NULL };

	compare(params, 1, 4);
}

int main(void)
{
	test(small_boosted_trees_give_the_bits_of_the_library);
	test(large_boosted_trees_give_the_bits_of_the_library);
	test(absolute_errors_bring_a_base_of_their_own);
	test(a_forest_gives_the_bits_of_the_library);
	return tap_done();
}
