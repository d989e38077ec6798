/* SPDX-License-Identifier: Apache-2.0 */
/* The truth that docs/accuracy.md is measured against: is it one, and is it what the page says? */
#include "tap.h"
#include "../fake/fake.h"
#include "base/base.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define IDLE_W 80
#define CAP_W 500
#define END_S 600

static struct fake fake;

static uint64_t ns(double s)
{
	return (uint64_t)(s * 1e9);
}

static void stage(const char *script)
{
	fake.reset();
	check(fake.script(script) == 0);
	fake.set_time_ns(0);
}

static void stage_llm(void)
{
	stage("gpu 0 llm 80 500 3\n");
}

static double mean_w(double from_s, double to_s)
{
	return fake.true_energy_j(0, ns(from_s), ns(to_s)) / (to_s - from_s);
}

/* What a person with a stopwatch and many looks at the power would find. */
static double looked_at_j(double from_s, double to_s)
{
	double sum_j = 0;

	for (double t = from_s; t < to_s; t += 5e-5)
		sum_j += fake.true_power_w(0, ns(t + 2.5e-5)) * 5e-5;
	return sum_j;
}

static void energy_is_the_integral_of_power(void)
{
	const char *const shapes[] = { "gpu 0 llm 80 500 3\n", "gpu 0 ramp 80 500 0.43 0.37\n",
		                       "gpu 0 square 80 500 0.11 0.5\n" };

	for (size_t i = 0; i < JT_ARRAY_LEN(shapes); i++) {
		stage(shapes[i]);
		for (double t = 20; t < 30; t++)
			check_near(fake.true_energy_j(0, ns(t), ns(t + 1)) / looked_at_j(t, t + 1),
			           1, 1e-3);
	}
}

static void a_ramp_is_straight(void)
{
	stage("gpu 0 ramp 100 300 4 4\n");
	check_near(fake.true_power_w(0, ns(1)), 150, 2);
	check_near(fake.true_power_w(0, ns(3)), 250, 2);
	check_near(fake.true_power_w(0, ns(5)), 250, 2);
	check_near(mean_w(0, 8), 200, 1e-3);
	check_near(mean_w(8, 16), 200, 1e-3);
}

static void power_stays_between_idle_and_the_cap(void)
{
	stage_llm();
	for (double t = 0; t < END_S; t += 1e-3) {
		double power_w = fake.true_power_w(0, ns(t));

		check(power_w >= IDLE_W && power_w <= CAP_W * 1.02);
	}
}

/* Looks shortly before the first token; those that are reported late are over by then. */
static void reported_prefills_are_near_the_cap(void)
{
	struct fake_request q;
	unsigned n = 0, n_over = 0;

	stage_llm();
	for (; fake.request(0, n, &q) && q.end_ns < ns(END_S); n++) {
		double first_s = (double)q.first_ns / 1e9;

		check(q.begin_ns < q.first_ns && q.first_ns < q.end_ns);
		n_over += mean_w(first_s - .02, first_s - .01) < IDLE_W + .7 * (CAP_W - IDLE_W);
	}
	check(n > 200);
	check(n_over < n / 20);
}

static void few_requests_are_not_reported(void)
{
	struct fake_request q;
	unsigned n = 0, n_missing = 0;

	stage_llm();
	for (; fake.request(0, n, &q) && q.end_ns < ns(END_S); n++)
		n_missing += !q.reported;
	check(n_missing > n / 200);
	check(n_missing < n / 20);
}

/* A square wave says when power really changed: at multiples of half its period. */
static void edges_are_reported_a_little_early_or_clearly_late(void)
{
	struct fake_request q;
	unsigned n_late = 0;

	stage("gpu 0 square 80 500 1 0.5\n");
	for (uint64_t k = 1; k < 1000; k++) {
		double early_s;

		check(fake.request(0, k, &q) == 1);
		early_s = (double)k - (double)q.begin_ns / 1e9;
		n_late += early_s < 0;
		if (early_s < 0)
			early_s += .020;
		check(early_s >= .001 && early_s <= .008);
		early_s = (double)k + .5 - (double)q.end_ns / 1e9;
		check(early_s >= .001 && early_s <= .008);
	}
	check(n_late > 3 && n_late < 50);
}

static void more_sequences_draw_more_but_ever_less_each(void)
{
	double sum_w[4] = { 0 };
	unsigned n[4] = { 0 };

	stage_llm();
	for (double t = 5; t < END_S; t += .01) {
		struct fake_request q;
		unsigned n_decode = 0, n_prefill = 0;

		for (uint64_t k = 0; fake.request(0, k, &q) && q.begin_ns < ns(t) + ns(.03); k++) {
			n_prefill += q.begin_ns < ns(t) + ns(.03) && q.first_ns + ns(.03) > ns(t);
			n_decode += q.first_ns < ns(t) && q.end_ns > ns(t);
		}
		if (n_prefill || n_decode < 1 || n_decode > 3)
			continue;
		sum_w[n_decode] += fake.true_power_w(0, ns(t));
		n[n_decode]++;
	}
	for (unsigned i = 1; i <= 3; i++) {
		check(n[i] > 500);
		sum_w[i] /= n[i];
	}
	check(sum_w[2] > sum_w[1] + 10);
	check(sum_w[3] > sum_w[2]);
	check(sum_w[3] - sum_w[2] < sum_w[2] - sum_w[1]);
}

static void loads_repeat_and_seeds_differ(void)
{
	double first_j, other_j;

	stage_llm();
	first_j = fake.true_energy_j(0, ns(50), ns(60));
	check_near(fake.true_energy_j(0, ns(750), ns(760)), first_j, 1e-3);
	stage("gpu 0 llm 80 500 4\n");
	other_j = fake.true_energy_j(0, ns(50), ns(60));
	check(fabs(other_j - first_j) > 1);
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(energy_is_the_integral_of_power);
	test(a_ramp_is_straight);
	test(power_stays_between_idle_and_the_cap);
	test(reported_prefills_are_near_the_cap);
	test(few_requests_are_not_reported);
	test(edges_are_reported_a_little_early_or_clearly_late);
	test(more_sequences_draw_more_but_ever_less_each);
	test(loads_repeat_and_seeds_differ);
	return tap_done();
}
