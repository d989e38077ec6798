/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/rng.h"
#include "simulator/tally.h"

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* numpy.percentile(…, method="linear") of sorted values. */
static double by_sorting(const uint64_t *sorted, size_t n, double q)
{
	double rank = q * (double)(n - 1);
	size_t below = (size_t)rank;
	double part = rank - (double)below;

	if (below + 1 >= n)
		return (double)sorted[n - 1];
	return (double)sorted[below] + ((double)sorted[below + 1] - (double)sorted[below]) * part;
}

static const double quantiles[] = { 0, 0.01, 0.25, 0.5, 0.9, 0.99, 1 };
#define N_QUANTILES 7

static struct jt_rng rng = { .state = 7 };

/* Of @n values below @range the tally says what sorting says, within half of its step. */
static void compare(size_t n, uint64_t range)
{
	uint64_t *values = malloc(n * sizeof(*values));
	struct jt_tally t = { 0 };
	double got[N_QUANTILES], sum = 0;

	for (size_t i = 0; i < n; i++) {
		values[i] = jt__rng_u64(&rng) % range;
		sum += (double)values[i];
	}
	check(jt__tally_add(&t, values, n / 2) == JT_OK);
	check(jt__tally_add(&t, values + n / 2, n - n / 2) == JT_OK);
	qsort(values, n, sizeof(*values), ascending);
	check(jt__tally_quantiles(&t, quantiles, N_QUANTILES, got) == JT_OK);
	for (int i = 0; i < N_QUANTILES; i++) {
		double want = by_sorting(values, n, quantiles[i]);

		check_near(got[i], want,
		           want * 1e-12 + (t.shift ? (double)jt__tally_step(&t) / 2 : 0));
	}
	check_near(jt__tally_mean(&t), sum / (double)n, sum / (double)n * 1e-9);
	check(t.n_distinct <= JT_TALLY_DISTINCT);
	jt__tally_fini(&t);
	free(values);
}

static void says_what_sorting_says(void)
{
	for (size_t n = 1; n < 40; n++)
		compare(n, 1 + n * 3 / 2);
	compare(1000, 10);
	compare(100000, 5000);
	compare(100000, UINT64_MAX);
}

static void gets_coarser_instead_of_larger(void)
{
	compare(2000000, 1000000000);
	compare(900000, UINT64_MAX);
}

static void few_values_stay_exact_however_often_they_come(void)
{
	struct jt_tally t = { 0 };
	uint64_t values[1000];
	double got[1];
	const double median[] = { 0.5 };

	for (uint64_t i = 0; i < 1000; i++)
		values[i] = i * 1000003;
	for (int i = 0; i < 3000; i++)
		jt__tally_add(&t, values, 1000);
	check(t.n == 3000000 && t.n_distinct == 1000 && jt__tally_step(&t) == 1);
	check(jt__tally_quantiles(&t, median, 1, got) == JT_OK);
	check_near(got[0], 499.5 * 1000003, 1e-3);
	jt__tally_fini(&t);
}

static void nothing_has_no_mean(void)
{
	struct jt_tally t = { 0 };
	double got[N_QUANTILES];

	check(isnan(jt__tally_mean(&t)));
	check(jt__tally_quantiles(&t, quantiles, N_QUANTILES, got) == JT_OK);
	check(isnan(got[0]) && isnan(got[6]));
}

static void two_tallies_merge_into_one(void)
{
	enum { N = 1200000 };
	uint64_t *values = malloc(N * sizeof(*values));
	struct jt_tally fine = { 0 }, coarse = { 0 }, all = { 0 };
	double got[N_QUANTILES];

	for (size_t i = 0; i < N; i++)
		values[i] = jt__rng_u64(&rng) % 50000000;
	check(jt__tally_add(&fine, values, 1000) == JT_OK);
	check(jt__tally_add(&coarse, values + 1000, N - 1000) == JT_OK);
	check(fine.shift == 0 && coarse.shift > 0);
	check(jt__tally_merge(&all, &fine) == JT_OK && all.shift == 0);
	check(jt__tally_merge(&all, &coarse) == JT_OK && all.shift >= coarse.shift);
	check(all.n == N && all.sum == fine.sum + coarse.sum);
	qsort(values, N, sizeof(*values), ascending);
	check(jt__tally_quantiles(&all, quantiles, N_QUANTILES, got) == JT_OK);
	for (int i = 0; i < N_QUANTILES; i++)
		check_near(got[i], by_sorting(values, N, quantiles[i]),
		           (double)jt__tally_step(&all) / 2 + 1);
	jt__tally_fini(&fine);
	jt__tally_fini(&coarse);
	jt__tally_fini(&all);
	free(values);
}

static void sums_of_huge_values_do_not_wrap(void)
{
	const uint64_t values[] = { UINT64_MAX - 1, UINT64_MAX - 3, UINT64_MAX - 5 };
	struct jt_tally t = { 0 };

	jt__tally_add(&t, values, 3);
	check_near(jt__tally_mean(&t), 0x1p64, 4096);
	jt__tally_fini(&t);
}

static void running_out_of_memory_is_told(void)
{
	uint64_t values[4096];
	struct jt_tally t = { 0 };
	double got[N_QUANTILES];

	for (uint64_t i = 0; i < 4096; i++)
		values[i] = i;
	jt__alloc_fail_at(1);
	check(jt__tally_add(&t, values, 4096) == JT_ENOMEM);
	jt__alloc_fail_at(2);
	check(jt__tally_add(&t, values, 4096) == JT_ENOMEM);
	jt__alloc_fail_at(1);
	check(jt__tally_quantiles(&t, quantiles, N_QUANTILES, got) == JT_ENOMEM);
	jt__alloc_fail_at(0);
	jt__tally_fini(&t);
}

int main(void)
{
	test(says_what_sorting_says);
	test(gets_coarser_instead_of_larger);
	test(few_values_stay_exact_however_often_they_come);
	test(nothing_has_no_mean);
	test(two_tallies_merge_into_one);
	test(sums_of_huge_values_do_not_wrap);
	test(running_out_of_memory_is_told);
	return tap_done();
}
