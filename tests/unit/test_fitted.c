/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "fitted_sample.h"
#include "base/buf.h"
#include "base/rng.h"
#include "predictor/factors.h"
#include "predictor/fitted.h"

static struct jt_error err;

static struct jt_fitted *parse(const char *json)
{
	struct jt_fitted *f = NULL;

	err.message[0] = '\0';
	jt__fitted_parse(json, strlen(json), "m.json", sample_names, &f, &err);
	return f;
}

static struct jt_fitted *sample(void)
{
	struct jt_fitted *f = parse(sample_model);

	if (!f) {
		printf("Bail out! %s: %s\n", err.where, err.message);
		exit(1);
	}
	return f;
}

/* In the order of the program, which is not that of the file. */
static struct jt_prediction predict(const struct jt_fitted *f, double width, double depth,
                                    double load)
{
	struct jt_prediction p = { .log_j = NAN };

	check(jt__fitted_predict(f, (double[]){ depth, width, load, 0.5 }, &p) == JT_OK);
	return p;
}

static void a_prediction_is_the_sum_of_its_parts(void)
{
	struct jt_fitted *f = sample();
	struct jt_prediction p = predict(f, 5, 1, 10); /* z: 2, 1, 10 */
	double far = exp(-0.5 * (4 + 0.25)), near = exp(-0.5 * (1 + 0.25));

	check(p.parts[0] == 0.5 + 0.25 * 2 - 1);
	check(p.parts[1] == 0.5 * (0.5 - 1 + 0.0625));
	check_near(p.parts[2], 2 * (0.1 * far - 0.2 * near), 1e-7);
	check_near(p.parts[3], log(2 * 0.5 + 0.5 * 10), 1e-15);
	check(p.log_j == p.parts[0] + p.parts[1] + p.parts[2] + p.parts[3]);
	check_near(p.j_per_token, exp(p.log_j), 1e-12);
	check_near(p.lo_j, exp(p.log_j - 0.5), 1e-12);
	check_near(p.hi_j, exp(p.log_j + 0.5), 1e-12);
	check(p.nearest == 1 && p.outside == 0 && p.range_feature == -1 && p.group == -1);
	check_near(p.distance, sqrt(1.25), 1e-6);
	check_text(jt__fitted_label(f, p.nearest), "large");
	jt__fitted_free(f);
}

static void a_tree_sends_less_to_the_left_and_the_threshold_itself_to_the_right(void)
{
	struct jt_fitted *f = sample();

	check(predict(f, 2.999, 1, 0).parts[1] == 0.5 * (0.5 + 0.125 + 0.0625));
	check(predict(f, 3, -0.1, 0).parts[1] == 0.5 * (0.5 + 0.25 + 0.0625));
	check(predict(f, 3, 0, 0).parts[1] == 0.5 * (0.5 - 1 + 0.0625));
	/* What is below 3 only as a double is 3 to a tree. */
	check(predict(f, 3 - 1e-12, 0, 0).parts[1] == 0.5 * (0.5 - 1 + 0.0625));
	jt__fitted_free(f);
}

static void what_is_not_known_goes_where_the_tree_says_and_is_the_mean_elsewhere(void)
{
	struct jt_fitted *f = sample();
	struct jt_prediction p = predict(f, NAN, NAN, 0);

	check(p.parts[0] == 0.5 && p.parts[1] == 0.5 * (0.5 + 0.125 + 0.0625));
	check(predict(f, 4, NAN, 0).parts[1] == 0.5 * (0.5 - 1 + 0.0625));
	check(p.nearest == 0 && p.distance == 0 && p.outside == 0);
	jt__fitted_free(f);
}

static void kernels_have_the_shape_that_the_file_says(void)
{
	static const char *const shapes[] = { "rbf", "matern32", "matern52" };
	const double r = 2, a3 = sqrt(3) * r, a5 = sqrt(5) * r;
	const double want[] = { exp(-2), (1 + a3) * exp(-a3), (1 + a5 + a5 * a5 / 3) * exp(-a5) };

	for (int i = 0; i < 3; i++) {
		char json[sizeof(sample_model) + 16];
		const char *at = strstr(sample_model, "rbf");
		const char *rows = strstr(sample_model, "[0.1, -0.2]");
		struct jt_fitted *f;

		snprintf(json, sizeof(json), "%.*s%s%.*s[0.5, 0]   %s", (int)(at - sample_model),
		         sample_model, shapes[i], (int)(rows - at - 3), at + 3, rows + 11);
		f = parse(json);
		if (check(f != NULL))
			check_near(predict(f, 1 + 2 * 2, 0, 0).parts[2], want[i], 1e-6);
		jt__fitted_free(f);
	}
}

static void a_row_of_a_batch_is_the_same_to_the_bit_as_alone(void)
{
	enum { N = 101 };
	struct jt_fitted *f = sample();
	struct jt_rng rng = { 1 };
	double rows[N][5];
	struct jt_prediction many[N], one;

	for (int i = 0; i < N; i++)
		for (int k = 0; k < 5; k++)
			rows[i][k] =
				i % 7 == k && k < 2 ? NAN : 8 * jt__rng_unit(&rng) - 2 * (k < 2);
	check(jt__fitted_predict_batch(f, N, rows[0], 5, many) == JT_OK);
	for (int i = 0; i < N; i++) {
		check(jt__fitted_predict(f, rows[i], &one) == JT_OK);
		check(memcmp(&one, &many[i], sizeof(one)) == 0);
	}
	jt__fitted_free(f);
}

static void what_no_model_can_say_anything_about_is_an_error(void)
{
	struct jt_fitted *f = sample();
	double rows[3][4] = { { 0, 0, 1 }, { 0, INFINITY, 1 }, { 0, 0, 1 } };
	struct jt_prediction p[3];

	check(jt__fitted_predict(f, rows[1], p) == JT_EINVAL);
	check(jt__fitted_predict(f, (double[]){ -1e9, 0, 1, 0 }, p) == JT_ERANGE);
	check(jt__fitted_predict(f, (double[]){ 1e9, 0, 1, 0 }, p) == JT_ERANGE);
	/* A sum that is no energy. */
	check(jt__fitted_predict(f, (double[]){ 0, 0, -1, 0.5 }, p) == JT_OK);
	check(jt__fitted_predict(f, (double[]){ 0, 0, -2, 0.5 }, p) == JT_ERANGE);
	check(jt__fitted_predict(f, (double[]){ 0, 0, NAN, 0.5 }, p) == JT_ERANGE);
	check(jt__fitted_predict_batch(f, 3, rows[0], 4, p) == JT_EINVAL);
	check(p[0].j_per_token > 0);
	jt__fitted_free(f);
}

static struct jt_question question(const char *model, const char *group, const char *gpu)
{
	struct jt_question q = { .weights = JT_W_BF16, .n_experts = NAN };

	snprintf(q.model, sizeof(q.model), "%s", model);
	snprintf(q.model_group, sizeof(q.model_group), "%s", group);
	snprintf(q.gpu, sizeof(q.gpu), "%s", gpu);
	return q;
}

static void the_first_group_that_fits_gives_the_interval(void)
{
	struct jt_fitted *f = sample();
	struct jt_question q = question("llama-70b", "llama", "H100");
	struct jt_prediction p = predict(f, 1, 0, 0);

	check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == 2 && p.half_width == 0.1);
	check_near(p.hi_j, p.j_per_token * exp(0.1), 1e-12);
	q = question("other", "other", "H100");
	p = predict(f, 1, 0, 0);
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == -1 && p.half_width == 0.5);
	q.weights = JT_W_FP8;
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == 3);
	q.n_experts = 8;
	p = predict(f, 1, 0, 0);
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == -1);
	p = predict(f, -2, 0, 0); /* 1.5 from the nearest */
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == 1);
	jt__fitted_free(f);
}

static void what_the_meter_has_taught_multiplies_the_joules(void)
{
	struct jt_fitted *f = sample();
	struct jt_question q = question("llama-8b", "llama", "L4");
	struct jt_prediction before = predict(f, 1, 0, 0), p = before;

	check(jt__fitted_place(f, &q, &p) == JT_OK);
	check(p.factor == 1.25 && p.factor_rows == 3 && p.group == 0);
	check_near(p.j_per_token, 1.25 * before.j_per_token, 1e-12);
	check_near(p.lo_j, 1.25 * before.j_per_token * exp(-0.05), 1e-12);
	jt__fitted_free(f);
}

/* @json with @from, which is in it, as @to. */
static void replace(char *json, size_t size, const char *from, const char *to)
{
	char *at = strstr(json, from);
	char rest[2 * sizeof(sample_model)];

	snprintf(rest, sizeof(rest), "%s", at + strlen(from));
	snprintf(at, size - (size_t)(at - json), "%s%s", to, rest);
}

static void what_is_unknown_twice_has_the_wider_interval(void)
{
	char json[2 * sizeof(sample_model)], of[128];
	struct jt_question q = question("llama-8b", "llama", "T4");
	struct jt_prediction p;
	struct jt_fitted *f;

	snprintf(json, sizeof(json), "%s", sample_model);
	replace(json, sizeof(json), "\"recalibrated\": true", "\"known_gpu\": false");
	replace(json, sizeof(json), "\"weights\": \"fp8\", \"mixture\": false",
	        "\"known_model\": false");
	f = parse(json);
	if (!check(f != NULL))
		return;
	p = predict(f, 1, 0, 0);
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.half_width == 0.05);
	q = question("other", "other", "T4");
	p = predict(f, 1, 0, 0);
	check(jt__fitted_place(f, &q, &p) == JT_OK && p.half_width == 0.2);
	jt__fitted_interval_of(f, &p, of, sizeof(of));
	check_text(of, "models left out of the fit");
	jt__fitted_free(f);
}

static void a_group_of_many_taught_rows_is_not_for_few(void)
{
	static const char from[] = "\"recalibrated\": true";

	for (uint32_t rows = 3; rows <= 4; rows++) {
		const char *at = strstr(sample_model, from);
		char json[sizeof(sample_model) + 16];
		struct jt_question q = question("llama-8b", "llama", "L4");
		struct jt_prediction p;
		struct jt_fitted *f;

		snprintf(json, sizeof(json), "%.*s\"factor_rows\": %u%s", (int)(at - sample_model),
		         sample_model, rows, at + strlen(from));
		f = parse(json);
		if (!check(f != NULL))
			return;
		p = predict(f, 1, 0, 0);
		check(jt__fitted_place(f, &q, &p) == JT_OK);
		check(p.group == (rows == 3 ? 0 : -1)); /* the factor comes of three */
		jt__fitted_free(f);
	}
}

static void a_factor_that_was_off_its_own_rows_widens_the_interval(void)
{
	static const char from[] = "\"factor\": 1.25,";
	const char *at = strstr(sample_model, from);
	const double widths[] = { 0.01, 0.3 };

	for (size_t i = 0; i < JT_ARRAY_LEN(widths); i++) {
		struct jt_question q = question("llama-8b", "llama", "L4");
		char json[sizeof(sample_model) + 32];
		struct jt_prediction p;
		struct jt_fitted *f;

		snprintf(json, sizeof(json), "%.*s\"half_width\": %g, %s", (int)(at - sample_model),
		         sample_model, widths[i], at);
		f = parse(json);
		if (!check(f != NULL))
			return;
		p = predict(f, 1, 0, 0);
		check(jt__fitted_place(f, &q, &p) == JT_OK && p.group == 0);
		check_near(p.half_width, fmax(0.05, widths[i]), 1e-12); /* 0.05: of the group */
		check_near(log(p.hi_j / p.j_per_token), p.half_width, 1e-12);
		q = question("other", "llama", "L4");
		p = predict(f, 1, 0, 0);
		check(jt__fitted_place(f, &q, &p) == JT_OK && p.half_width == 0.5);
		jt__fitted_free(f);
	}
}

/* The sample has no score factor_prior: one row that says 1 stands beside what is learned. */
static void few_rows_teach_less_than_many(void)
{
	const double logs[] = { log(1.21), log(1.21), log(1.21), log(1.21) };
	const char *at = strstr(sample_model, "cv_mape\": 0.07");
	char json[sizeof(sample_model) + 64];
	struct jt_fitted *f = sample();

	check_near(jt__factor_learn(f, logs, 1), 1.1, 1e-12);
	check_near(jt__factor_learn(f, logs, 4), pow(1.21, 0.8), 1e-12);
	check(jt__factor_learn(f, logs, 0) == 1);
	jt__fitted_free(f);
	snprintf(json, sizeof(json), "%.*sfactor_prior\": 3%s", (int)(at - sample_model),
	         sample_model, at + 14);
	f = parse(json);
	if (check(f != NULL))
		check_near(jt__factor_learn(f, logs, 3), 1.1, 1e-12);
	jt__fitted_free(f);
}

static void what_is_outside_the_data_is_told_with_a_reason(void)
{
	struct jt_fitted *f = sample();
	struct jt_question q = question("llama-8b", "llama", "L4");
	struct jt_prediction p = predict(f, 1, 0, 0);
	char reason[256];

	jt__fitted_place(f, &q, &p);
	jt__fitted_reason(f, &q, &p, reason, sizeof(reason));
	check(p.outside == 0);
	check_text(reason, "");
	q = question("llama-8b", "llama", "V100");
	q.weights = JT_W_AWQ;
	p = predict(f, 10, 0, 100);
	jt__fitted_place(f, &q, &p);
	check(p.outside ==
	      (JT_OUTSIDE_RANGE | JT_OUTSIDE_FAR | JT_OUTSIDE_GPU | JT_OUTSIDE_WEIGHTS));
	jt__fitted_reason(f, &q, &p, reason, sizeof(reason));
	check_text(reason,
	           "nothing was measured on GPU 'V100'; nothing was measured with weights "
	           "in awq; 'load' is beyond what was measured; nothing like it was measured");
	jt__fitted_reason(f, &q, &p, reason, 12);
	check_text(reason, "nothing was");
	jt__fitted_free(f);
}

static void a_block_works_wherever_it_is_put(void)
{
	struct jt_fitted *f = sample();
	struct jt_prediction want = predict(f, 5, 1, 10), p;
	const struct jt_fitted *moved = NULL;
	void *copy = malloc(f->size);

	memcpy(copy, f, f->size);
	check(jt__fitted_open(copy, f->size, sample_names, &moved, &err) == JT_OK);
	jt__fitted_free(f);
	if (check(moved != NULL)) {
		p = predict(moved, 5, 1, 10);
		check(memcmp(&p, &want, sizeof(p)) == 0);
		check_text(jt__fitted_feature(moved, 2), "load");
	}
	free(copy);
}

static void a_block_that_is_cut_or_of_another_program_is_refused(void)
{
	static const char *const others[] = { "depth", "height", "load", "spare", NULL };
	struct jt_fitted *f = sample();
	const struct jt_fitted *got = NULL;

	for (size_t n = 0; n < f->size; n += 8)
		check(jt__fitted_open(f, n, sample_names, &got, &err) == JT_EINVAL);
	check(jt__fitted_open(f, f->size, others, &got, &err) == JT_EINVAL);
	check(strstr(err.message, "features") != NULL);
	f->version++;
	check(jt__fitted_open(f, f->size, sample_names, &got, &err) == JT_EINVAL);
	check(strstr(err.message, "version") != NULL && !got);
	jt__fitted_free(f);
}

static void a_damaged_block_is_refused_or_does_no_harm(void)
{
	struct jt_fitted *f = sample();
	struct jt_question q = question("llama-8b", "llama", "L4");
	uint32_t size = f->size, n_refused = 0;
	unsigned char *bytes = (unsigned char *)f;

	for (uint32_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++) {
			const struct jt_fitted *m;
			struct jt_prediction p;
			char reason[200];

			bytes[i] ^= 1u << bit;
			if (jt__fitted_open(f, size, sample_names, &m, &err))
				n_refused++;
			else if (!jt__fitted_predict(m, (double[]){ 1, 5, 10, 0 }, &p)) {
				jt__fitted_place(m, &q, &p);
				jt__fitted_reason(m, &q, &p, reason, sizeof(reason));
				jt__fitted_label(m, p.nearest);
			}
			bytes[i] ^= 1u << bit;
		}
	check(n_refused > 1000);
	jt__fitted_free(f);
}

/* What replaces the first @from of the sample, and what the error says. */
struct mistake {
	const char *from, *to, *message;
};

static const struct mistake mistakes[] = {
	{ "jouletap-predictor", "other", "format: must be one of \"jouletap-predictor\"" },
	{ "\"version\": 1", "\"version\": 2", "version: is 2, and this program reads 1" },
	{ "log_j_per", "j_per", "target: must be one of" },
	{ "\"reach\"", "\"reech\"", "reech: is not known here; did you mean 'reach'" },
	{ "\"depth\"", "\"dept\"", "features[1]: 'dept' is no feature of this version" },
	{ "\"depth\"", "\"load\"", "features[2]: 'load' is there twice" },
	{ "[1, 0, 0, 0]", "[1, 0]", "scale.mean: has 2 items and not 4" },
	{ "[2, 1, 1, 1]", "[2, 0, 1, 1]", "scale.deviation[1]: 0 is not within" },
	{ "[2, 1, 1, 1]", "[2, NaN, 1, 1]", "invalid token" },
	{ "[2, 1, 1, 1]", "[2, 1e999, 1, 1]", "real number overflow" },
	{ "[0.25, -1, 0, 0]", "[0.25, \"x\", 0, 0]", "parts[0].coefficients[1]: must be a number" },
	{ "\"linear\"", "\"lines\"", "parts[0].kind: must be one of" },
	{ "\"intercept\": 0.5,", "", "parts[0].intercept: is missing" },
	{ "[0, -1, 1, -1, -1]", "[4, -1, 1, -1, -1]", "parts[1].trees[0].feature[0]: must be -1" },
	{ "[0, -1, 1, -1, -1]", "[0.5, -1, 1, -1, -1]", "parts[1].trees[0].feature[0]: must be" },
	{ "[0, -1, 1, -1, -1]", "[0, -1, 1, -1, 1]",
	  "parts[1].trees[0]: has 5 nodes, but 3 splits" },
	{ "[0, -1, 1, -1, -1]", "[0, -1, -1, 1, -1]",
	  "parts[1].trees[0]: has 5 nodes, but 1 split" },
	{ "[3, 0.125, 0, 0.25, -1]", "[3, 0.125, 0, 0.25]", "value: has 4 items and not 5" },
	{ "[3, 0.125, 0, 0.25, -1]", "[3, 1e300, 0, 0.25, 0]", "trees[0].value[1]: 1e+300 is not" },
	{ "[1, 0, 0, 0, 0]", "[2, 0, 0, 0, 0]", "missing_left[0]: 2 is not within" },
	{ "\"rbf\"", "\"cubic\"", "parts[2].shape: must be one of" },
	{ "\"features\": [0, 1]", "\"features\": [0, 4]", "parts[2].features[1]: 4 is not within" },
	{ "[1, 2], \"rows\"", "[0, 2], \"rows\"", "parts[2].lengths[0]: 0 is not within" },
	{ "[[0, 0], [1, 2]]", "[[0, 0], [1]]", "parts[2].rows[1]: has 1 items and not 2" },
	{ "[[0, 0], [1, 2]]", "[]", "parts[2].rows: is empty" },
	{ "[0.1, -0.2]", "[0.1]", "parts[2].weights: has 1 items and not 2" },
	{ "[\"small\", \"large\"]", "[\"small\"]", "parts[2].labels: has 1 items and not 2" },
	{ "[3, 2]", "[3, 9]", "parts[3].features[1]: 9 is not within" },
	{ "[2, 0.5]", "[2, -0.5]", "parts[3].coefficients[1]: -0.5 is not within" },
	{ "[9, 4, 64, null]", "[9, true, 64, null]", "ranges.max[1]: must be a number" },
	{ "[\"L4\", \"H100\"]", "[\"L4\", 4]", "known.gpus[1]: must be a text" },
	{ "[\"bf16\", \"fp8\"]", "[\"bf16\", \"fp7\"]", "known.weights[1]: must be one of" },
	{ "\"recalibrated\": true", "\"recalibrated\": 1", "groups[0].recalibrated: must be true" },
	{ "\"recalibrated\": true", "\"factor_rows\": 0",
	  "groups[0].factor_rows: 0 is not within" },
	{ "\"half_width\": 0.8", "\"half_width\": -1",
	  "intervals.groups[1].half_width: -1 is not" },
	{ "\"factor\": 1.25", "\"factor\": 0", "factors[0].factor: 0 is not within" },
	{ "\"cv_mape\": 0.07", "\"cv_mape\": \"good\"",
	  "provenance.scores.cv_mape: must be a num" },
	{ "\"rows\": 40, \"date\"", "\"rows\": 0, \"date\"", "provenance.rows: 0 is not within" },
};

static void a_mistake_in_the_file_is_named_with_its_path(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(mistakes); i++) {
		const struct mistake *m = &mistakes[i];
		const char *at = strstr(sample_model, m->from);
		char json[sizeof(sample_model) + 64];
		struct jt_fitted *f;

		if (!check(at != NULL))
			continue;
		snprintf(json, sizeof(json), "%.*s%s%s", (int)(at - sample_model), sample_model,
		         m->to, at + strlen(m->from));
		f = parse(json);
		if (!check(!f && strstr(err.message, m->message)))
			printf("# wanted \"%s\", got \"%s\"\n", m->message, err.message);
		jt__fitted_free(f);
	}
}

static void a_file_that_is_cut_anywhere_is_refused(void)
{
	size_t n = strlen(sample_model) - 2; /* up to the last brace */

	for (size_t i = 0; i <= n; i++) {
		struct jt_fitted *f = NULL;

		check(jt__fitted_parse(sample_model, i, "m.json", sample_names, &f, &err) ==
		      JT_EINVAL);
		check(!f);
	}
}

static void a_missing_file_is_said_to_be_missing(void)
{
	struct jt_fitted *f = NULL;

	check(jt__fitted_load("/nonexistent/m.json", &f, &err) == JT_ENOENT && !f);
	check(strstr(err.message, "'/nonexistent/m.json'") != NULL);
	check_text(err.where, "predictor");
}

static void every_allocation_may_fail(void)
{
	int status = JT_ENOMEM, n = 0;

	while (status == JT_ENOMEM && n < 1000) {
		struct jt_fitted *f = NULL;

		jt__alloc_fail_at((uint64_t)++n);
		status = jt__fitted_parse(sample_model, strlen(sample_model), "m.json",
		                          sample_names, &f, &err);
		jt__alloc_fail_at(0);
		check((status == JT_OK) == (f != NULL));
		jt__fitted_free(f);
	}
	check(status == JT_OK && n > 5);
}

int main(void)
{
	test(a_prediction_is_the_sum_of_its_parts);
	test(a_tree_sends_less_to_the_left_and_the_threshold_itself_to_the_right);
	test(what_is_not_known_goes_where_the_tree_says_and_is_the_mean_elsewhere);
	test(kernels_have_the_shape_that_the_file_says);
	test(a_row_of_a_batch_is_the_same_to_the_bit_as_alone);
	test(what_no_model_can_say_anything_about_is_an_error);
	test(the_first_group_that_fits_gives_the_interval);
	test(what_the_meter_has_taught_multiplies_the_joules);
	test(what_is_unknown_twice_has_the_wider_interval);
	test(a_group_of_many_taught_rows_is_not_for_few);
	test(a_factor_that_was_off_its_own_rows_widens_the_interval);
	test(few_rows_teach_less_than_many);
	test(what_is_outside_the_data_is_told_with_a_reason);
	test(a_block_works_wherever_it_is_put);
	test(a_block_that_is_cut_or_of_another_program_is_refused);
	test(a_damaged_block_is_refused_or_does_no_harm);
	test(a_mistake_in_the_file_is_named_with_its_path);
	test(a_file_that_is_cut_anywhere_is_refused);
	test(a_missing_file_is_said_to_be_missing);
	test(every_allocation_may_fail);
	return tap_done();
}
