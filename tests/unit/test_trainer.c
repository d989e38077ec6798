/* SPDX-License-Identifier: Apache-2.0 */
#include "predictor/fitted.h"
#include "tap.h"
#include "trainer/boost.h"
#include "trainer/evaluate.h"
#include "trainer/folds.h"
#include "trainer/kernel.h"
#include "trainer/linear.h"
#include "trainer/page.h"
#include "trainer/report.h"
#include "trainer/sum.h"
#include "trainer/trees.h"

/* ---- linear algebra ---- */

/* Columns 1 2 3 and 1 0 1 with y = 5 + 2 a - b; by hand, without a penalty. */
static void ridge_without_penalty_is_least_squares(void)
{
	static const double x[] = { 1, 1, 2, 0, 3, 1, 4, 7 }, y[] = { 6, 9, 10, 6 };
	double w[2], bias;

	check(jt__ridge_fit(x, y, 4, 2, 0, w, &bias, NULL) == JT_OK);
	check_near(w[0], 2, 1e-9);
	check_near(w[1], -1, 1e-9);
	check_near(bias, 5, 1e-9);
}

/* One column -1 0 1 and y = 0 2 4 with mean 2: z = x / sd with sd² = 2/3, Σ z² = 3 and
 * Σ z y = 4 / sd; w = Σ z y / (3 + λ) / sd = 4 · 1.5 / (3 + λ). */
static void ridge_shrinks_as_by_hand(void)
{
	static const double x[] = { -1, 0, 1 }, y[] = { 0, 2, 4 };
	double w, bias;

	check(jt__ridge_fit(x, y, 3, 1, 3, &w, &bias, NULL) == JT_OK);
	check_near(w, 1, 1e-12);
	check_near(bias, 2, 1e-12);
}

static void ridge_refuses_equal_columns_without_penalty(void)
{
	static const double x[] = { 1, 1, 2, 2, 4, 4 }, y[] = { 1, 2, 3 };
	double w[2], bias;
	struct jt_error err;

	check(jt__ridge_fit(x, y, 3, 2, 0, w, &bias, &err) == JT_EINVAL);
	check(strstr(err.message, "penalty") != NULL);
	check(jt__ridge_fit(x, y, 3, 2, 0.1, w, &bias, &err) == JT_OK);
	check_near(w[0], w[1], 1e-9);
}

/* x² + y² - 2·3x + 2·1y without a bound is at (3, -1); the bound holds y at 0. */
static void nnls_holds_what_would_be_negative_at_zero(void)
{
	static const double a[] = { 1, 0.5, 0.5, 1 }, b[] = { 3, -1 };
	double x[2];

	check(jt__nnls(a, b, 2, x, NULL) == JT_OK);
	check_near(x[0], 3, 1e-12);
	check(x[1] == 0);
}

static void a_sum_of_terms_is_found_again(void)
{
	double e[3 * 200], y[200], c[3];
	struct jt_rng rng = { 5 };

	for (int i = 0; i < 200; i++) {
		for (int j = 0; j < 3; j++)
			e[3 * i + j] = exp(6 * jt__rng_unit(&rng));
		y[i] = 0.5 * e[3 * i] + 2 * e[3 * i + 1];
	}
	y[7] *= 30; /* a row that is wrong does not matter much */
	check(jt__sum_fit(e, y, 200, 3, c, NULL) == JT_OK);
	check_near(c[0], 0.5, 0.05);
	check_near(c[1], 2, 0.05);
	check_near(c[2], 0, 0.02);
}

/* With all rows as support it is (K + s I)⁻¹ y: two rows at distance 1 of one length. */
static void a_kernel_on_all_rows_is_the_gaussian_process(void)
{
	static const double z[] = { 0, 1 }, y[] = { 1, 0 }, length = 1;
	struct jt_kernel_params params = {
		.shape = JT_KERNEL_RBF, .lengths = &length, .noise = 0.5, .n_support = 2
	};
	double w[2], k = exp(-0.5), det = 1.5 * 1.5 - k * k;
	uint32_t support[2], n;

	check(jt__kernel_fit(z, y, 2, 1, &params, support, w, &n, NULL) == JT_OK && n == 2);
	check_near(w[support[0] == 0 ? 0 : 1], 1.5 / det, 1e-6);
	check_near(w[support[0] == 0 ? 1 : 0], -k / det, 1e-6);
}

/* Every allocation fails once; what is told then is out of memory, and nothing leaks. */
static void running_out_of_memory_is_told(void)
{
	static const double x[] = { 1, 2, 4, 8 }, y[] = { 1, 2, 3, 5 }, length = 1;
	static const uint32_t group[] = { 0, 1, 2, 3 };
	struct jt_kernel_params params = { JT_KERNEL_MATERN32, &length, 0.1, 3 };
	struct jt_rng rng = { 1 };
	int status = JT_ENOMEM, n_failed = 0;

	for (uint64_t nth = 1; status == JT_ENOMEM && nth < 100; nth++) {
		double w[4];
		uint32_t support[3], n, fold[4];

		jt__alloc_fail_at(nth);
		status = jt__sum_fit(x, y, 4, 1, w, NULL);
		if (status == JT_OK)
			status = jt__kernel_fit(x, y, 4, 1, &params, support, w, &n, NULL);
		if (status == JT_OK)
			status = jt__folds_of_groups(group, 4, 4, 2, &rng, fold, NULL);
		n_failed += status == JT_ENOMEM;
	}
	jt__alloc_fail_at(0);
	check(status == JT_OK);
	check(n_failed > 8);
}

/* ---- folds ---- */

static void random_folds_part_the_rows(void)
{
	uint32_t fold[103], n[5] = { 0 };
	struct jt_rng rng = { 1 };

	check(jt__folds_random(103, 5, &rng, fold, NULL) == JT_OK);
	for (int i = 0; i < 103; i++) {
		check(fold[i] < 5);
		n[fold[i]]++;
	}
	for (int f = 0; f < 5; f++)
		check(n[f] == 20 || n[f] == 21);
	check(jt__folds_random(3, 5, &rng, fold, NULL) == JT_EINVAL);
}

static void a_group_is_never_on_both_sides(void)
{
	static const char *const names[] = { "a", "b", "c", "d", "e", "f", "g" };
	const char *keys[200];
	uint32_t fold[200], dealt[200], n;
	struct jt_rng rng = { 2 };

	for (int i = 0; i < 200; i++)
		keys[i] = names[jt__rng_below(&rng, 7)];
	check(jt__folds_by_key(keys, 200, fold, &n, NULL) == JT_OK && n == 7);
	check(jt__folds_of_groups(fold, n, 200, 3, &rng, dealt, NULL) == JT_OK);
	for (int i = 0; i < 200; i++)
		for (int j = 0; j < i; j++) {
			check((fold[i] == fold[j]) == (keys[i] == keys[j]));
			check(keys[i] != keys[j] || dealt[i] == dealt[j]);
		}
}

static void one_group_alone_cannot_be_left_out(void)
{
	static const char *const keys[] = { "x", "x" };
	uint32_t fold[2], n;

	check(jt__folds_by_key(keys, 2, fold, &n, NULL) == JT_EINVAL);
}

/* ---- metrics ---- */

static void metrics_are_those_by_hand(void)
{
	static const double truth[] = { 1, 2, 4 }, predicted[] = { 1.5, 2, 3 };
	static const double lo[] = { 1, 1, 3.5 }, hi[] = { 2, 3, 3.9 };
	struct jt_scored s = { truth, predicted, lo, hi, 3 };
	struct jt_metrics m;

	check(jt__measure(&s, &m, NULL) == JT_OK);
	check_near(m.rmse, sqrt(1.25 / 3), 1e-12);
	check_near(m.mae, 0.5, 1e-12);
	check_near(m.mape, 0.25, 1e-12);
	check_near(m.median_ape, 0.25, 1e-12);
	check_near(m.bias, 0, 1e-12);
	check_near(m.covered, 2.0 / 3, 1e-12);
	check_near(m.width, 2, 1e-12);
	check_near(m.r2, 1 - 1.25 / (21 - 49.0 / 3), 1e-12);
}

/* Of nine rows, 90 % of ten are the ninth: the largest; of nineteen the eighteenth. */
static void a_conformal_quantile_counts_the_row_to_come(void)
{
	double v[19];

	for (int i = 0; i < 19; i++)
		v[i] = 19 - i;
	check_near(jt__conformal_quantile(v, 19, 0.9), 18, 0);
	for (int i = 0; i < 9; i++)
		v[i] = 9 - i;
	check_near(jt__conformal_quantile(v, 9, 0.9), 9, 0);
	check(isnan(jt__conformal_quantile(v, 0, 0.9)));
}

static void intervals_cover_rows_that_they_were_not_made_from(void)
{
	static struct jt_residual r[2000];
	struct jt_fit_notes notes = { 0 };
	struct jt_rng rng = { 3 };
	int covered = 0;

	for (int i = 0; i < 2000; i++) {
		r[i].mixture = i % 2;
		r[i].distance = jt__rng_unit(&rng);
		r[i].size = jt__rng_unit(&rng) * (r[i].mixture ? 0.3 : 0.1);
		r[i].fold = i / 1000;
	}
	check(jt__intervals_add(r, 2000, 1, 0, 1, 0, &notes, NULL) == JT_OK);
	for (int i = 1000; i < 2000; i++)
		covered += r[i].size <= jt__intervals_find(&notes, &r[i]);
	check_near(covered / 1000.0, 0.9, 0.03);
	check(notes.groups[notes.n_groups - 1].mixture == -1);
	check(notes.groups[0].known_model == 0 && notes.groups[0].known_gpu == 1);
}

/* ---- rows ---- */

#define HEAD                                                                                       \
	"source,engine,task,model,model_group,arch_family,params_total_b,params_active_b,n_"       \
	"layers,"                                                                                  \
	"hidden_size,intermediate_size,n_heads,n_kv_heads,head_dim,vocab_size,ffn_mats,dtype,gpu," \
	"n_gpu,tp,pp,dp,ep,gpu_mem_gb,gpu_bw_gbs,gpu_bf16_tflops,gpu_tdp_w,max_num_seqs,batch_"    \
	"avg,"                                                                                     \
	"out_tokens_mean,energy_per_request_j,energy_per_token_j\n"
#define ROW                                                                                        \
	"s,vllm-0.11.1,chat,m,g,dense,8,8,32,4096,14336,32,8,128,128000,3,bfloat16,H100,1,1,1,1,"  \
	"1,80,3350,989,700,32,30,"

static int add(struct jt_dataset *d, const char *text, struct jt_error *err)
{
	return jt__dataset_add_csv(d, "rows.csv", text, strlen(text), err);
}

static void a_bad_row_is_named_by_its_line(void)
{
	struct jt_dataset d = { 0 };
	struct jt_error err;

	check(add(&d, HEAD ROW "100,50,0.5\n" ROW "100,50,nan\n", &err) == JT_EINVAL);
	check_text(err.where, "rows.csv:3");
	check(add(&d, HEAD ROW "100,50,\n", &err) == JT_EINVAL);
	check(strstr(err.message, "energy_per_token_j") != NULL);
	check(add(&d, HEAD ROW "100,50,-0.5\n", &err) == JT_EINVAL);
	check(add(&d, "a,b\n1,2\n", &err) == JT_EINVAL);
	jt__dataset_fini(&d);
}

static void figures_that_contradict_each_other_are_refused(void)
{
	struct jt_dataset d = { 0 };
	struct jt_error err;

	check(add(&d, HEAD ROW "100,50,0.5\n" ROW "100,51,0.5\n", &err) == JT_EINVAL);
	check_text(err.where, "rows.csv:3");
	check(strstr(err.message, "energy_per_request_j") != NULL);
	jt__dataset_fini(&d);
}

static void a_row_without_hardware_is_left_out_and_counted(void)
{
	struct jt_dataset d = { 0 };
	struct jt_error err = { 0 };
	static const char blank[] = "s,vllm-0.11.1,chat,m,g,dense,8,8,32,4096,14336,32,8,128,"
				    "128000,3,bfloat16,H100,1,1,"
				    "1,1,1,,,,,32,30,100,50,0.5\n";
	char text[2048];

	snprintf(text, sizeof(text), "%s%s%s%s", HEAD, ROW, "100,50,0.5\n", blank);
	check(add(&d, text, &err) == JT_OK);
	check(d.n == 1 && d.n_left_out == 1);
	check(strstr(d.left_out.message, "line 3") != NULL);
	jt__dataset_fini(&d);
}

static void sha256_is_that_of_the_standard(void)
{
	struct jt_sha256 s;
	char hex[65];

	jt__sha256_init(&s);
	jt__sha256_add(&s, "abc", 3);
	jt__sha256_end(&s, hex);
	check_text(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- pages ---- */

static void a_page_is_markdown_or_html_by_its_name(void)
{
	struct jt_page p;

	check(jt__page_init(&p, "x.txt", "t", NULL) == JT_EINVAL);
	check(jt__page_init(&p, "x.md", "t", NULL) == JT_OK);
	jt__page_row(&p, "a\tb");
	jt__page_row(&p, "1\t2");
	jt__buf_append(&p.out, "", 1);
	check_text(jt__buf_bytes(&p.out), "# t\n\n| a | b |\n|---|---|\n| 1 | 2 |\n");
	jt__buf_fini(&p.out);
	check(jt__page_init(&p, "x.html", "t", NULL) == JT_OK);
	jt__page_text(&p, "1 < 2 `x`");
	jt__buf_append(&p.out, "", 1);
	check(strstr(jt__buf_bytes(&p.out), "<p>1 &lt; 2 <code>x</code></p>") != NULL);
	jt__buf_fini(&p.out);
}

/* ---- all of it ---- */

/* The rows that ship, thinned: every seventh. */
static int load_some(struct jt_dataset *d)
{
	static const char *const path[] = { JT_SOURCE_ROOT "/data/predictor/energy_tidy.csv" };
	struct jt_dataset all;
	size_t n = 0;

	if (jt__dataset_load(path, 1, NULL, &all, NULL) < 0)
		return -1;
	for (size_t i = 0; i < all.n; i += 7, n++) {
		all.rows[n] = all.rows[i];
		memmove(all.features + n * all.p, all.features + i * all.p,
		        all.p * sizeof(*all.features));
	}
	all.n = n;
	*d = all;
	return 0;
}

/* All that a token costs is the weights that it reads, twice the unit for a byte of them. */
static void gpus_without_a_price_of_their_own_leave_that_of_others_alone(void)
{
	struct jt_evaluation e = { 0 };
	struct jt_dataset d = { 0 };
	struct jt_page page;

	if (!check(load_some(&d) == 0 && jt__page_init(&page, "x.md", "t", NULL) == JT_OK))
		return;
	for (size_t i = 0; i < d.n; i++) {
		double weights = 0;

		for (size_t j = 0; j < d.p; j++)
			if (strncmp(jt__feature_names[j], "e_weights", 9) == 0)
				weights += d.features[i * d.p + j];
		d.rows[i].j_per_token = 2 * weights;
		snprintf(d.rows[i].q.gpu, sizeof(d.rows[i].q.gpu), "gpu-%zu", i % 20);
	}
	e.d = &d;
	check(jt__report_terms(&e, &page, NULL) == JT_OK);
	jt__buf_append(&page.out, "", 1);
	check(strstr(jt__buf_bytes(&page.out), "gpu-0 200 pJ, gpu-1 200 pJ, ") != NULL);
	check(strstr(jt__buf_bytes(&page.out), "gpu-15 200 pJ") != NULL);
	jt__buf_fini(&page.out);
	jt__dataset_fini(&d);
}

static int fit_all(const struct jt_dataset *d, uint32_t seed, struct jt_buf *out,
                   struct jt_error *err)
{
	uint32_t rows[400];
	struct jt_fit_notes notes;

	for (size_t i = 0; i < d->n; i++)
		rows[i] = (uint32_t)i;
	jt__fit_blank_notes(&notes);
	jt__buf_init(out, JT_FITTED_MAX_BYTES);
	return jt__fit(d, rows, d->n, seed, &notes, out, err);
}

static void equal_seeds_give_equal_models(void)
{
	struct jt_dataset d;
	struct jt_buf a, b, c;
	struct jt_error err;

	check(load_some(&d) == 0);
	check(fit_all(&d, 1, &a, &err) == JT_OK);
	check(fit_all(&d, 1, &b, &err) == JT_OK);
	check(fit_all(&d, 2, &c, &err) == JT_OK);
	check(jt__buf_len(&a) == jt__buf_len(&b) &&
	      memcmp(jt__buf_bytes(&a), jt__buf_bytes(&b), jt__buf_len(&a)) == 0);
	check(jt__buf_len(&a) != jt__buf_len(&c) ||
	      memcmp(jt__buf_bytes(&a), jt__buf_bytes(&c), jt__buf_len(&a)) != 0);
	jt__buf_fini(&a);
	jt__buf_fini(&b);
	jt__buf_fini(&c);
	jt__dataset_fini(&d);
}

static void a_fit_reads_back_and_is_near_its_rows(void)
{
	struct jt_dataset d;
	struct jt_buf json;
	struct jt_fitted *f = NULL;
	struct jt_error err = { 0 };
	double sum = 0;

	check(load_some(&d) == 0);
	check(fit_all(&d, 1, &json, &err) == JT_OK);
	check(jt__fitted_parse(jt__buf_bytes(&json), jt__buf_len(&json), "model", jt__feature_names,
	                       &f, &err) == JT_OK);
	for (size_t i = 0; i < d.n && f; i++) {
		struct jt_prediction p = { 0 };

		check(jt__fitted_answer(f, &d.rows[i].q, &p, &err) == JT_OK);
		sum += fabs(p.j_per_token / d.rows[i].j_per_token - 1) / (double)d.n;
	}
	check(sum < 0.08); /* rows that it has seen */
	jt__fitted_free(f);
	jt__buf_fini(&json);
	jt__dataset_fini(&d);
}

static void a_quick_evaluation_never_scores_what_it_has_seen(void)
{
	struct jt_evaluate_options options = { .seed = 1 };
	const struct jt_trial *t;
	struct jt_evaluation e;
	struct jt_error err = { 0 };
	struct jt_dataset d;
	struct jt_metrics m = { 0 };

	check(load_some(&d) == 0);
	check(jt__evaluate(&d, &options, &e, &err) == JT_OK);
	t = jt__trial(&e, JT_SPLIT_BACKBONE, 0);
	check(t && t->n_folds == JT_CV_FOLDS);
	for (size_t i = 0; t && i < d.n; i++)
		for (size_t j = 0; j < i; j++)
			check(strcmp(d.rows[i].q.model_group, d.rows[j].q.model_group) != 0 ||
			      t->fold[i] == t->fold[j]);
	if (t)
		check(jt__trial_metrics(&e, t, JT_OURS, JT_N_KEYS, NULL, &m, &err) == JT_OK);
	check(m.n == d.n && m.mape > 0.08 && m.mape < 0.6);
	check(!jt__trial(&e, JT_SPLIT_SOURCE, 0)); /* of a full one only */
	jt__evaluation_fini(&e);
	jt__dataset_fini(&d);
}

/*
 * What no fit is needed for: rows of @n_models backbones with @each rows; measured over predicted
 * is exp(τ) of the model times exp(σ) of the row, both normal.
 */
#define CALIBRATION_MODELS 200
#define CALIBRATION_EACH 8
#define CALIBRATION_ROWS (CALIBRATION_MODELS * CALIBRATION_EACH)

static double normal(struct jt_rng *rng)
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += jt__rng_unit(rng);
	return sum;
}

static bool calibration_sample(double tau, double sigma, struct jt_dataset *d,
                               struct jt_evaluation *e)
{
	struct jt_trial *t = &e->trials[0];
	struct jt_rng rng = { 7 };

	*d = (struct jt_dataset){ .n = CALIBRATION_ROWS };
	*e = (struct jt_evaluation){ .d = d, .n_trials = 1 };
	*t = (struct jt_trial){ .split = JT_SPLIT_BACKBONE, .n_folds = CALIBRATION_MODELS };
	d->rows = jt__alloc(d->n, sizeof(*d->rows));
	t->fold = jt__alloc(d->n, sizeof(*t->fold));
	t->guesses[JT_OURS] = jt__alloc(d->n, sizeof(struct jt_guess));
	if (!d->rows || !t->fold || !t->guesses[JT_OURS])
		return false;
	for (size_t i = 0; i < d->n; i++) {
		struct jt_row *r = &d->rows[i];
		static double model;

		t->fold[i] = (uint32_t)(i / CALIBRATION_EACH);
		if (i % CALIBRATION_EACH == 0)
			model = tau * normal(&rng);
		snprintf(r->q.model, sizeof(r->q.model), "m%u", t->fold[i]);
		strcpy(r->q.gpu, "H100");
		r->q.is_vllm_new = true;
		t->guesses[JT_OURS][i].j_per_token = 2;
		r->j_per_token = 2 * exp(model + sigma * normal(&rng));
	}
	return true;
}

static void a_prior_is_how_much_rows_scatter_over_how_much_models_do(void)
{
	static const double sigmas[] = { 0.1, 0.2, 0.4 };

	for (size_t i = 0; i < JT_ARRAY_LEN(sigmas); i++) {
		double want = sigmas[i] * sigmas[i] / 0.04, prior = 0;
		struct jt_dataset d;
		struct jt_evaluation e;

		if (check(calibration_sample(0.2, sigmas[i], &d, &e)))
			check(jt__calibration_prior(&e, &prior, NULL) == JT_OK);
		check_near(prior / want, 1, 0.25);
		jt__evaluation_fini(&e);
		jt__dataset_fini(&d);
	}
}

/*
 * After k rows the error of the best factor has the variance σ² + τ² σ² / (σ² + k τ²): with both
 * 0.2 and one row 0.06, with three 0.05; without any 0.08. 90 % of a normal are within 1.645
 * deviations.
 */
static void taught_rows_are_as_far_off_as_theory_says(void)
{
	static const uint32_t ks[] = { 0, 1, 3 };
	static const double variance[] = { 0.08, 0.06, 0.05 };
	struct jt_residual *r = jt__alloc(CALIBRATION_ROWS, sizeof(*r));
	struct jt_calibration c;
	struct jt_dataset d;
	struct jt_evaluation e;

	if (!check(calibration_sample(0.2, 0.2, &d, &e) && r))
		goto out;
	for (size_t i = 0; i < JT_ARRAY_LEN(ks); i++) {
		double square = 0;

		check(jt__calibrated_residuals(&e, &e.trials[0], ks[i], 1, r, NULL) == JT_OK);
		for (size_t j = 0; j < d.n; j++)
			square += r[j].size * r[j].size;
		check_near(square / (double)d.n / variance[i], 1, 0.12);
		check(jt__calibration_gain(&e, ks[i], false, 1, &c, NULL) == JT_OK);
		check(c.n_groups == CALIBRATION_MODELS && c.k == ks[i]);
		check_near(c.covered, 0.9, 0.02);
		check_near(log(c.width) / 2 / sqrt(variance[i]), 1.645, 0.15);
	}
	/* No row has eight others: nothing is known of what so many teach. */
	check(jt__calibrated_residuals(&e, &e.trials[0], CALIBRATION_EACH, 1, r, NULL) == JT_OK);
	check(isnan(r[0].size) && isnan(r[CALIBRATION_ROWS - 1].size));
out:
	jt__free(r);
	jt__evaluation_fini(&e);
	jt__dataset_fini(&d);
}

static void a_row_teaches_those_of_its_gpu_and_where_asked_its_task_alone(void)
{
	struct jt_calibration c;
	struct jt_dataset d;
	struct jt_evaluation e;

	if (!check(calibration_sample(0.2, 0.2, &d, &e)))
		goto out;
	for (size_t i = 0; i < d.n; i++) {
		strcpy(d.rows[i].q.task, i % 2 ? "chat" : "code");
		strcpy(d.rows[i].q.gpu, i % 4 < 2 ? "H100" : "L4");
	}
	check(jt__calibration_gain(&e, 3, false, 1, &c, NULL) == JT_OK);
	check(c.n_groups == (size_t)2 * CALIBRATION_MODELS);
	check(jt__calibration_gain(&e, 3, true, 1, &c, NULL) == JT_OK);
	check(c.n_groups == 0 && isnan(c.after));
	check(jt__calibration_gain(&e, 1, true, 1, &c, NULL) == JT_OK);
	check(c.n_groups == (size_t)4 * CALIBRATION_MODELS);
out:
	jt__evaluation_fini(&e);
	jt__dataset_fini(&d);
}

int main(void)
{
	float x[] = { 0, 1, 2, 3 }, y[] = { 0, 1, 2, 3 };
	struct jt_boost_params params = { .kind = JT_BOOST_LINEAR, .n_trees = 1, .eta = 1 };
	struct jt_boost *boost = NULL;
	struct jt_error err;

	test(ridge_without_penalty_is_least_squares);
	test(ridge_shrinks_as_by_hand);
	test(ridge_refuses_equal_columns_without_penalty);
	test(nnls_holds_what_would_be_negative_at_zero);
	test(a_sum_of_terms_is_found_again);
	test(a_kernel_on_all_rows_is_the_gaussian_process);
	test(running_out_of_memory_is_told);
	test(random_folds_part_the_rows);
	test(a_group_is_never_on_both_sides);
	test(one_group_alone_cannot_be_left_out);
	test(metrics_are_those_by_hand);
	test(a_conformal_quantile_counts_the_row_to_come);
	test(intervals_cover_rows_that_they_were_not_made_from);
	test(a_prior_is_how_much_rows_scatter_over_how_much_models_do);
	test(taught_rows_are_as_far_off_as_theory_says);
	test(a_row_teaches_those_of_its_gpu_and_where_asked_its_task_alone);
	test(a_bad_row_is_named_by_its_line);
	test(figures_that_contradict_each_other_are_refused);
	test(a_row_without_hardware_is_left_out_and_counted);
	test(sha256_is_that_of_the_standard);
	test(a_page_is_markdown_or_html_by_its_name);
	test(gpus_without_a_price_of_their_own_leave_that_of_others_alone);
	if (jt__boost_fit(x, y, 4, 1, &params, &boost, &err) == JT_ENOTSUP) {
		skip(equal_seeds_give_equal_models, err.message);
		skip(a_fit_reads_back_and_is_near_its_rows, err.message);
		skip(a_quick_evaluation_never_scores_what_it_has_seen, err.message);
	} else {
		jt__boost_free(boost);
		test(equal_seeds_give_equal_models);
		test(a_fit_reads_back_and_is_near_its_rows);
		test(a_quick_evaluation_never_scores_what_it_has_seen);
	}
	return tap_done();
}
