/* SPDX-License-Identifier: Apache-2.0 */
/* Trees and kernels in lanes: whatever the width of a register, and beside the plain formula. */
#include <stdlib.h>
#include "tap.h"
#include "base/buf.h"
#include "base/rng.h"
#include "predictor/parts.h"

enum { P = 9, SUPPORT = 21, TREES = 40, N = JT_BLOCK };

static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", NULL };
static const char *const shapes[] = { "rbf", "matern32", "matern52" };
static struct jt_rng rng;
static struct jt_fitted *model; /* a part of trees, and a kernel of each shape */
static double support[SUPPORT][P], weights[SUPPORT];
static double rows[N][P];

static double between(double low, double high)
{
	return low + (high - low) * jt__rng_unit(&rng);
}

static void list(struct jt_buf *b, const double *v, int n)
{
	jt__buf_append_text(b, "[");
	for (int i = 0; i < n; i++)
		jt__buf_printf(b, "%s%.17g", i ? "," : "", v[i]);
	jt__buf_append_text(b, "]");
}

/* Of at most @max nodes, breadth-first. */
static void tree(struct jt_buf *b, int max, const char *comma)
{
	double feature[255], value[255], missing[255];
	int n = 1;

	for (int i = 0; i < n; i++) {
		bool is_split = n + 2 <= max && (i == n - 1 || jt__rng_below(&rng, 4));

		feature[i] = is_split ? (double)jt__rng_below(&rng, P) : -1;
		value[i] = between(-1, 1);
		missing[i] = is_split ? (double)jt__rng_below(&rng, 2) : 0;
		n += is_split ? 2 : 0;
	}
	jt__buf_append_text(b, comma);
	jt__buf_append_text(b, "{\"value\":");
	list(b, value, n);
	jt__buf_append_text(b, ",\"feature\":");
	list(b, feature, n);
	jt__buf_append_text(b, ",\"missing_left\":");
	list(b, missing, n);
	jt__buf_append_text(b, "}");
}

/* The lengths of all features are 2. */
static void kernel(struct jt_buf *b, const char *shape)
{
	static const double used[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	static const double lengths[] = { 2, 2, 2, 2, 2, 2, 2, 2, 2 };

	jt__buf_printf(b,
	               ",{\"kind\":\"kernel\",\"weight\":1,\"shape\":\"%s\",\"features\":", shape);
	list(b, used, P);
	jt__buf_append_text(b, ",\"lengths\":");
	list(b, lengths, P);
	jt__buf_append_text(b, ",\"rows\":");
	for (int i = 0; i < SUPPORT; i++) {
		jt__buf_append_text(b, i ? "," : "[");
		list(b, support[i], P);
	}
	jt__buf_append_text(b, "],\"weights\":");
	list(b, weights, SUPPORT);
	jt__buf_append_text(b, "}");
}

static void head(struct jt_buf *b)
{
	static const double ones[P] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, zeros[P];

	jt__buf_append_text(b, "{\"format\":\"jouletap-predictor\",\"version\":1,"
	                       "\"target\":\"log_j_per_output_token\",\"features\":[");
	for (int i = 0; i < P; i++)
		jt__buf_printf(b, "%s\"%s\"", i ? "," : "", names[i]);
	jt__buf_append_text(b, "],\"scale\":{\"mean\":");
	list(b, zeros, P);
	jt__buf_append_text(b, ",\"deviation\":");
	list(b, ones, P);
	jt__buf_append_text(b, "},\"ranges\":{\"min\":");
	list(b, zeros, P);
	jt__buf_append_text(b, ",\"max\":");
	list(b, ones, P);
	jt__buf_append_text(b, "}");
}

static struct jt_fitted *make_model(void)
{
	struct jt_fitted *f = NULL;
	struct jt_error err;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 20);
	head(&b);
	jt__buf_append_text(&b, ",\"parts\":[{\"kind\":\"trees\",\"weight\":1,\"base\":0.25,"
	                        "\"trees\":[");
	for (int i = 0; i < TREES; i++)
		tree(&b, i % 8 == 0 ? 1 + 2 * i : i % 8 == 1 ? 63 : 31, i ? "," : "");
	jt__buf_append_text(&b, "]}");
	for (size_t i = 0; i < JT_ARRAY_LEN(shapes); i++)
		kernel(&b, shapes[i]);
	jt__buf_append_text(&b, "],\"known\":{\"gpus\":[],\"model_groups\":[],\"weights\":[]},"
	                        "\"intervals\":{\"coverage\":0.9,\"half_width\":0,\"groups\":[]},"
	                        "\"factors\":[],\"provenance\":{\"data_sha256\":\"\",\"rows\":1,"
	                        "\"date\":\"\",\"note\":\"\",\"scores\":{}}}");
	if (jt__fitted_parse(jt__buf_bytes(&b), jt__buf_len(&b), "m.json", names, &f, &err)) {
		printf("Bail out! %s: %s\n", err.where, err.message);
		exit(1);
	}
	jt__buf_fini(&b);
	return f;
}

/* Two support rows are the same. */
static void make_data(void)
{
	for (int i = 0; i < SUPPORT; i++) {
		for (int k = 0; k < P; k++)
			support[i][k] = i == 17 ? support[4][k] : between(-1, 1);
		weights[i] = between(-1, 1);
	}
	for (int i = 0; i < N; i++)
		for (int k = 0; k < P; k++)
			rows[i][k] = between(-1, 1);
}

/* Of @n rows from @first on. */
static void ask(const struct jt_part *p, int first, uint32_t n, struct jt_kernel_sum *ret)
{
	const double *z[JT_AT_ONCE];

	for (uint32_t i = 0; i < n; i++)
		z[i] = rows[first + (int)i];
	jt__kernel_part(model, p, z, n, ret);
}

static double squared_length(const double *a, const double *b)
{
	double sum = 0;

	for (int k = 0; k < P; k++)
		sum += (a[k] - b[k]) * (a[k] - b[k]) / 4;
	return sum;
}

static double likeness(int shape, double squared)
{
	double a = sqrt((shape == 1 ? 3 : 5) * squared);

	return shape == 0   ? exp(-squared / 2)
	       : shape == 1 ? (1 + a) * exp(-a)
	                    : (1 + a + a * a / 3) * exp(-a);
}

static void a_kernel_adds_up_what_each_support_row_says(void)
{
	for (int shape = 0; shape < 3; shape++)
		for (int i = 0; i < N; i += JT_AT_ONCE) {
			struct jt_kernel_sum sums[JT_AT_ONCE];

			ask(&model->parts[1 + shape], i, JT_AT_ONCE, sums);
			for (int q = 0; q < JT_AT_ONCE; q++) {
				double want = 0;

				for (int k = 0; k < SUPPORT; k++)
					want += weights[k] *
					        likeness(shape,
					                 squared_length(rows[i + q], support[k]));
				check_near(sums[q].sum, want, 1e-5);
			}
		}
}

static void the_nearest_support_row_is_the_first_of_equals(void)
{
	for (int k = 0; k < SUPPORT; k++) {
		struct jt_kernel_sum sum;

		jt__kernel_part(model, &model->parts[1], (const double *[]){ support[k] }, 1, &sum);
		check(sum.nearest == (uint32_t)(k == 17 ? 4 : k) && sum.squared < 1e-12f);
	}
}

/* The last block of support rows is filled up with zeros. */
static void what_fills_up_is_never_the_nearest(void)
{
	static const double far[P] = { 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6 }, zeros[P];
	const double *z[] = { zeros, far };
	struct jt_kernel_sum sums[JT_AT_ONCE];
	uint32_t want = 0;

	for (uint32_t k = 1; k < SUPPORT; k++)
		if (squared_length(zeros, support[k]) < squared_length(zeros, support[want]))
			want = k;
	jt__kernel_part(model, &model->parts[1], z, 2, sums);
	check(sums[0].nearest == want && sums[1].nearest == 0 && sums[1].squared == 1e4f);
	check_near(sums[1].sum, 0, 1e-30);
}

static void a_question_among_others_is_answered_as_alone(void)
{
	for (int shape = 0; shape < 3; shape++)
		for (uint32_t n = 2; n <= JT_AT_ONCE; n++) {
			struct jt_kernel_sum sums[JT_AT_ONCE], one;

			ask(&model->parts[1 + shape], 5, n, sums);
			for (uint32_t q = 0; q < n; q++) {
				ask(&model->parts[1 + shape], 5 + (int)q, 1, &one);
				check(one.sum == sums[q].sum && one.squared == sums[q].squared &&
				      one.nearest == sums[q].nearest);
			}
		}
}

#ifdef __x86_64__
static void wide_kernels_give_the_same_bits(void)
{
	for (int shape = 0; shape < 3; shape++)
		for (int i = 0; i < N; i++) {
			const double *z[JT_AT_ONCE];
			struct jt_kernel_sum a[JT_AT_ONCE], b[JT_AT_ONCE];
			uint32_t n = 1 + (uint32_t)i % JT_AT_ONCE;

			for (uint32_t q = 0; q < n; q++)
				z[q] = rows[(i + (int)q) % N];
			jt__kernel_part(model, &model->parts[1 + shape], z, n, a);
			jt__kernel_part_wide(model, &model->parts[1 + shape], z, n, b);
			for (uint32_t q = 0; q < n; q++)
				check(memcmp(&a[q].sum, &b[q].sum, sizeof(double)) == 0 &&
				      a[q].squared == b[q].squared && a[q].nearest == b[q].nearest);
		}
}

static void wide_trees_give_the_same_bits(void)
{
	for (uint32_t n = 1; n <= N; n++) {
		static struct jt_block a, b;

		for (uint32_t i = 0; i < n; i++) {
			double x[P];

			memcpy(x, rows[(i + n) % N], sizeof(x));
			x[i % P] = i % 3 ? x[i % P] : NAN;
			jt__block_row(&a, i, P, x);
			jt__block_row(&b, i, P, x);
		}
		a.n = b.n = n;
		jt__trees_part(model, &model->parts[0], &a);
		jt__trees_part_wide(model, &model->parts[0], &b);
		check(memcmp(a.sums, b.sums, n * sizeof(*a.sums)) == 0);
	}
}

static void test_wide(void)
{
	if (!__builtin_cpu_supports("avx2")) {
		printf("# no AVX2 here: wide registers are not tested\n");
		return;
	}
	test(wide_kernels_give_the_same_bits);
	test(wide_trees_give_the_same_bits);
}
#else
static void test_wide(void)
{
}
#endif

int main(void)
{
	rng = (struct jt_rng){ 1 };
	make_data();
	model = make_model();
	test(a_kernel_adds_up_what_each_support_row_says);
	test(the_nearest_support_row_is_the_first_of_equals);
	test(what_fills_up_is_never_the_nearest);
	test(a_question_among_others_is_answered_as_alone);
	test_wide();
	jt__fitted_free(model);
	return tap_done();
}
