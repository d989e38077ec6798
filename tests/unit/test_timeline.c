/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual sensors with known truth around a timeline. Parameters here are the test's, not the
 * table's. */
#include <stdlib.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "jouletap/timeline.h"
#include "timeline/locate.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S

/* True power: bursts of 300 W over 60 W idle that have nothing to do with the sensor's period. */
static double true_energy_j(double t_s)
{
	double cycles = floor(t_s / 1.37), rest = fmod(t_s, 1.37);

	return cycles * (0.61 * 300 + 0.76 * 60) + JT_MIN(rest, 0.61) * 300 +
	       JT_MAX(rest - 0.61, 0) * 60;
}

static const struct jt_sensor counter_sensor = { .name = "test",
	                                         .update_ns = 100 * MS,
	                                         .window_ns = 25 * MS,
	                                         .step_uj = 1000,
	                                         .max_power_mw = 400000 };

/* A counter that updates each 100 ms (101.3 in truth), read each @poll_ms. */
static struct jt_timeline *counter_timeline(double seconds, double poll_ms, uint64_t wrap_uj)
{
	struct jt_sensor sensor = counter_sensor;
	struct jt_timeline *tl;
	struct jt_rng rng = { 7 };

	sensor.wrap_uj = wrap_uj;
	check(jt_timeline_new(&sensor, 10000, &tl, NULL) == JT_OK);
	for (double t = 1; t < 1 + seconds;
	     t += poll_ms * 1e-3 * (0.95 + 0.1 * jt__rng_unit(&rng))) {
		double updated_s = floor((t - 0.023) / 0.1013) * 0.1013 + 0.023;
		uint64_t energy_uj = (uint64_t)(true_energy_j(updated_s) * 1e3) * 1000 + 5000000;
		struct jt_sample s = { .valid = JT_HAS_ENERGY,
			               .begin_ns = (uint64_t)(t * 1e9),
			               .end_ns = (uint64_t)(t * 1e9) + 200000,
			               .energy_uj = wrap_uj ? energy_uj % wrap_uj : energy_uj };

		check(jt_timeline_add(tl, &s) == JT_OK);
	}
	return tl;
}

/* Windows of @length_s all over [3 s, 28 s]: none outside its bound; returns the mean error. */
static double mean_error_ratio(struct jt_timeline *tl, double length_s)
{
	double sum = 0;
	int n = 0;

	for (double t = 3; t + length_s < 28; t += 0.0317, n++) {
		double truth = true_energy_j(t + length_s) - true_energy_j(t), error;
		struct jt_interval iv = { 0 };

		check(jt_timeline_window(tl, (uint64_t)(t * 1e9), (uint64_t)((t + length_s) * 1e9),
		                         &iv) == JT_OK);
		error = fabs(iv.energy_uj * 1e-6 - truth);
		check(error <= iv.bound_uj * 1e-6);
		sum += error / truth;
	}
	return sum / n;
}

static void windows_of_a_counter_stay_within_their_bound(void)
{
	struct jt_timeline *tl = counter_timeline(30, 20, 0);

	check(mean_error_ratio(tl, 5) < 0.01);
	check(mean_error_ratio(tl, 1) < 0.05);
	check(mean_error_ratio(tl, 0.15) < 0.2);
	jt_timeline_free(tl);
}

static void a_counter_read_once_a_period_is_still_located(void)
{
	struct jt_timeline *tl = counter_timeline(30, 100, 0);
	struct jt_timeline_stats stats;

	check(mean_error_ratio(tl, 1) < 0.06);
	jt_timeline_stats(tl, &stats);
	check(stats.n_gaps == 0 && stats.n_rejected == 0 && stats.n_resets == 0);
	jt_timeline_free(tl);
}

static void a_wrap_is_no_loss(void)
{
	struct jt_timeline *tl = counter_timeline(30, 20, 700000000),
			   *plain = counter_timeline(30, 20, 0);
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_wraps >= 6 && stats.n_resets == 0);
	check(jt_timeline_at(tl, 29 * S) == jt_timeline_at(plain, 29 * S));
	jt_timeline_free(tl);
	jt_timeline_free(plain);
}

static struct jt_timeline *fed(const struct jt_sensor *sensor, const struct jt_sample *s, size_t n)
{
	struct jt_timeline *tl;

	jt_timeline_new(sensor, 100, &tl, NULL);
	for (size_t i = 0; i < n; i++)
		jt_timeline_add(tl, &s[i]);
	return tl;
}

#define READ(t_ms, joules)                                                                         \
	{                                                                                          \
		.valid = JT_HAS_ENERGY, .begin_ns = (t_ms)*MS, .end_ns = (t_ms)*MS + 1000,         \
		.energy_uj = (joules)*UINT64_C(1000000)                                            \
	}

static void a_reset_loses_coverage_but_invents_nothing(void)
{
	const struct jt_sample s[] = { READ(1000, 500), READ(1100, 510), READ(1200, 520),
		                       READ(1300, 3), READ(1400, 13) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;
	struct jt_interval iv = { 0 };

	jt_timeline_stats(tl, &stats);
	check(stats.n_resets == 1);
	check(jt_timeline_at(tl, 2 * S) == UINT64_C(33000000)); /* 10 + 10, 3 after the reset, 10 */
	check(jt_timeline_window(tl, 1100 * MS, 1400 * MS, &iv) == JT_OK);
	check(iv.coverage_ppm < 900000);
	jt_timeline_free(tl);
}

static void a_lying_counter_is_not_believed(void)
{
	const struct jt_sample s[] = { READ(1000, 500), READ(1100, 510), READ(1200, 99999),
		                       READ(1300, 100009) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_rejected == 1);
	check(jt_timeline_at(tl, 2 * S) == UINT64_C(20000000));
	jt_timeline_free(tl);
}

static void a_counter_that_survived_a_lost_gpu_still_knows(void)
{
	const struct jt_sample s[] = {
		READ(1000, 500),
		READ(1100, 510),
		{ .status = JT_ELOST, .begin_ns = 1200 * MS, .end_ns = 1200 * MS },
		{ .status = JT_ELOST, .begin_ns = 1900 * MS, .end_ns = 1900 * MS },
		READ(2000, 600),
		READ(2100, 610)
	};
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_gaps == 1 && stats.n_resets == 0);
	check(jt_timeline_at(tl, 3 * S) == UINT64_C(110000000));
	jt_timeline_free(tl);
}

/* The driver hung for 500 ms and answered with the value of its beginning: the next one has all of
 * that time. */
static void a_slow_read_does_not_make_the_next_value_a_lie(void)
{
	const struct jt_sample s[] = { READ(1000, 500),
		                       READ(1100, 538),
		                       { .valid = JT_HAS_ENERGY,
		                         .begin_ns = 1200 * MS,
		                         .end_ns = 1900 * MS,
		                         .energy_uj = 576000000 },
		                       READ(1901, 842),
		                       READ(2000, 880) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_rejected == 0);
	check(jt_timeline_at(tl, 3 * S) == UINT64_C(380000000));
	jt_timeline_free(tl);
}

/* At 1 s of polling the first step is a second's worth, not an update period's. */
static void energy_of_a_slow_poll_is_not_squeezed_into_one_period(void)
{
	const struct jt_sample s[] = { READ(1000, 500), READ(2000, 600), READ(3000, 700) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));

	check(jt_timeline_start_ns(tl) <= S);
	check_near((double)jt_timeline_at(tl, 1500 * MS) * 1e-6, 53, 8);
	jt_timeline_free(tl);
}

static void a_lie_towards_zero_or_the_sky_changes_nothing(void)
{
	const struct jt_sample s[] = { READ(1000, 50), READ(1100, 60), READ(1200, 0),
		                       READ(1300, 80), READ(1400, 90), READ(1500, 99999),
		                       READ(1600, 110) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_rejected == 2 && stats.n_resets == 0);
	check(jt_timeline_at(tl, 2 * S) == UINT64_C(60000000));
	jt_timeline_free(tl);
}

static void a_reset_long_ago_does_not_uncover_a_gap_that_the_counter_survived(void)
{
	const struct jt_sample s[] = {
		READ(1000, 500),
		READ(1100, 510),
		READ(1200, 1),
		READ(1300, 11),
		{ .status = JT_ELOST, .begin_ns = 1350 * MS, .end_ns = 1350 * MS },
		READ(1400, 21),
		READ(1500, 31)
	};
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_interval iv = { 0 };

	check(jt_timeline_window(tl, 1260 * MS, 1440 * MS, &iv) == JT_OK &&
	      iv.coverage_ppm == 1000000);
	jt_timeline_free(tl);
}

/* It stood still for 8 s, most of which are closed: what it then shows is not all of the last
 * second. */
static void a_counter_that_resumes_gives_lost_time_its_part(void)
{
	struct jt_timeline *tl =
		fed(&counter_sensor, (struct jt_sample[]){ READ(1000, 500), READ(1100, 510) }, 2);
	struct jt_interval iv = { 0 };

	for (uint64_t t = 1200; t < 9100; t += 100)
		jt_timeline_add(tl, &(struct jt_sample)READ(t, 510));
	jt_timeline_add(tl, &(struct jt_sample)READ(9100, 590));
	check(jt_timeline_window(tl, 8 * S, 9100 * MS, &iv) == JT_OK);
	check(iv.energy_uj < 30000000 && iv.energy_uj + iv.bound_uj >= 80000000);
	jt_timeline_free(tl);
}

static void a_stuck_counter_does_not_hold_up_the_world(void)
{
	struct jt_timeline *tl = counter_timeline(5, 100, 0);
	uint64_t closed = jt_timeline_closed_ns(tl);
	struct jt_interval iv = { 0 };

	for (uint64_t t = 6100 * MS; t < 12000 * MS; t += 100 * MS) {
		struct jt_sample s = READ(t / MS, 700);

		jt_timeline_add(tl, &s);
	}
	check(jt_timeline_closed_ns(tl) > 10 * S && jt_timeline_closed_ns(tl) > closed);
	check(jt_timeline_window(tl, 8 * S, 10 * S, &iv) == JT_OK);
	check(iv.coverage_ppm == 0 && iv.energy_uj == 0);
	jt_timeline_free(tl);
}

/* Power readings as a sensor gives them: the mean over @window_s, shown each 100 ms. */
static struct jt_timeline *power_timeline(double window_s, const struct jt_sensor *sensor)
{
	struct jt_timeline *tl;

	jt_timeline_new(sensor, 10000, &tl, NULL);
	for (double t = 1.5; t < 31; t += 0.02) {
		double shown_s = floor((t - 0.037) / 0.1) * 0.1 + 0.037;
		double mean_w =
			(true_energy_j(shown_s) - true_energy_j(shown_s - window_s)) / window_s;
		struct jt_sample s = { .valid = JT_HAS_POWER,
			               .begin_ns = (uint64_t)(t * 1e9),
			               .end_ns = (uint64_t)(t * 1e9) + 1000,
			               .power_mw = (uint32_t)(mean_w * 1e3) };

		jt_timeline_add(tl, &s);
	}
	return tl;
}

static void integrated_power_has_no_systematic_delay(void)
{
	struct jt_sensor sensor = {
		.name = "p", .update_ns = 100 * MS, .window_ns = 100 * MS, .max_power_mw = 400000
	};
	struct jt_timeline *tl = power_timeline(0.1, &sensor);
	struct jt_interval iv = { 0 };

	check(mean_error_ratio(tl, 5) < 0.01);
	check(mean_error_ratio(tl, 0.5) < 0.05);
	check(jt_timeline_window(tl, 5 * S, 6 * S, &iv) == JT_OK);
	check(iv.provenance == JT_DERIVED && iv.coverage_ppm > 990000);
	jt_timeline_free(tl);
}

/* A counter that updates once a second, with and without a power field that updates each 100 ms. */
static struct jt_timeline *slow_counter_timeline(bool with_power)
{
	struct jt_sensor sensor = { .name = "slow",
		                    .update_ns = 1000 * MS,
		                    .window_ns = 100 * MS,
		                    .step_uj = 1000,
		                    .max_power_mw = 400000 };
	struct jt_timeline *tl;

	jt_timeline_new(&sensor, 10000, &tl, NULL);
	for (double t = 1.5; t < 31; t += 0.02) {
		double counted_s = floor(t - 0.3) + 0.3,
		       shown_s = floor((t - 0.037) / 0.1) * 0.1 + 0.037;
		double mean_w = (true_energy_j(shown_s) - true_energy_j(shown_s - 0.1)) / 0.1;
		struct jt_sample s = { .valid = JT_HAS_ENERGY | (with_power ? JT_HAS_POWER : 0),
			               .begin_ns = (uint64_t)(t * 1e9),
			               .end_ns = (uint64_t)(t * 1e9) + 1000,
			               .energy_uj = (uint64_t)(true_energy_j(counted_s) * 1e6),
			               /* never twice the same, as of a real one */
			               .power_mw =
			                       (uint32_t)(mean_w * 1e3 + fmod(shown_s * 10, 7)) };

		jt_timeline_add(tl, &s);
	}
	return tl;
}

static void the_power_field_tells_where_in_a_counter_step_the_energy_was(void)
{
	struct jt_timeline *plain = slow_counter_timeline(false),
			   *shaped = slow_counter_timeline(true);
	double without = mean_error_ratio(plain, 0.5), with = mean_error_ratio(shaped, 0.5);

	check(with < 0.5 * without);
	/* the total of a step stays the counter's */
	check(jt_timeline_closed_ns(plain) == jt_timeline_closed_ns(shaped));
	check(jt_timeline_at(plain, UINT64_MAX) == jt_timeline_at(shaped, UINT64_MAX));
	printf("# mean error of 0.5 s windows: %.1f %% without, %.1f %% with\n", 100 * without,
	       100 * with);
	jt_timeline_free(plain);
	jt_timeline_free(shaped);
}

static void a_part_time_sensor_says_so(void)
{
	struct jt_sensor sensor = {
		.name = "p", .update_ns = 100 * MS, .window_ns = 25 * MS, .max_power_mw = 400000
	};
	struct jt_timeline *tl = power_timeline(0.025, &sensor);
	struct jt_interval iv = { 0 };

	check(mean_error_ratio(tl, 5) < 0.03);
	check(jt_timeline_window(tl, 5 * S, 6 * S, &iv) == JT_OK);
	check(iv.coverage_ppm > 240000 && iv.coverage_ppm < 260000);
	jt_timeline_free(tl);
}

static void a_gap_in_power_readings_is_not_filled(void)
{
	struct jt_sensor sensor = {
		.name = "p", .update_ns = 100 * MS, .window_ns = 100 * MS, .max_power_mw = 400000
	};
	struct jt_timeline *tl;
	struct jt_interval iv = { 0 };

	jt_timeline_new(&sensor, 10000, &tl, NULL);
	for (uint64_t t = 1000; t <= 9000; t += t == 3000 ? 4000 : 100) {
		struct jt_sample s = { .valid = JT_HAS_POWER,
			               .power_mw = 100000,
			               .begin_ns = t * MS,
			               .end_ns = t * MS };

		jt_timeline_add(tl, &s);
	}
	check(jt_timeline_window(tl, 2 * S, 8 * S, &iv) == JT_OK);
	check_near(iv.energy_uj * 1e-6, 200, 15);
	check_near(iv.coverage_ppm * 1e-6, 2.0 / 6, 0.03);
	jt_timeline_free(tl);
}

static void memory_is_bounded_and_old_windows_are_refused(void)
{
	struct jt_timeline *tl;
	struct jt_interval iv;

	jt_timeline_new(&counter_sensor, 50, &tl, NULL);
	for (uint64_t i = 0; i < 1000; i++) {
		struct jt_sample s = READ(1000 + 100 * i, 10 * i);

		jt_timeline_add(tl, &s);
	}
	check(jt_timeline_window(tl, 2 * S, 3 * S, &iv) == JT_ERANGE);
	check(jt_timeline_window(tl, 99 * S, 100 * S, &iv) == JT_OK);
	check_near(iv.energy_uj * 1e-6, 100, 0.1);
	check(jt_timeline_window(tl, 99 * S, 98 * S, &iv) == JT_EINVAL);
	jt_timeline_free(tl);
}

static void overlapping_and_nested_windows_agree(void)
{
	struct jt_timeline *tl = counter_timeline(30, 20, 0);
	struct jt_rng rng = { 3 };

	for (int i = 0; i < 1000; i++) {
		uint64_t a = 2 * S + jt__rng_below(&rng, 20 * S),
			 c = a + jt__rng_below(&rng, 5 * S);
		uint64_t b = a + jt__rng_below(&rng, c - a + 1);
		struct jt_interval ab, bc, ac;

		jt_timeline_window(tl, a, b, &ab);
		jt_timeline_window(tl, b, c, &bc);
		jt_timeline_window(tl, a, c, &ac);
		check(ab.energy_uj + bc.energy_uj == ac.energy_uj);
	}
	jt_timeline_free(tl);
}

static void samples_out_of_order_change_nothing(void)
{
	const struct jt_sample s[] = { READ(1000, 500), READ(1100, 510), READ(1050, 400),
		                       READ(1200, 520) };
	struct jt_timeline *tl = fed(&counter_sensor, s, JT_ARRAY_LEN(s));
	struct jt_timeline_stats stats;

	jt_timeline_stats(tl, &stats);
	check(stats.n_rejected == 1 && stats.n_resets == 0);
	check(jt_timeline_at(tl, 2 * S) == UINT64_C(20000000));
	jt_timeline_free(tl);
}

static void counter_and_power_are_checked_against_each_other(void)
{
	for (int lying = 0; lying < 2; lying++) {
		struct jt_timeline_stats stats;
		struct jt_timeline *tl;

		jt_timeline_new(&counter_sensor, 10000, &tl, NULL);
		for (uint64_t i = 0; i < 400; i++) {
			struct jt_sample s = READ(1000 + 100 * i, lying ? 6 * i : 10 * i);

			s.valid |= JT_HAS_POWER;
			s.power_mw = 100000;
			jt_timeline_add(tl, &s);
		}
		jt_timeline_stats(tl, &stats);
		check_near(stats.cross_ratio_ppm, lying ? 600000 : 1000000, 20000);
		check(stats.valid == !lying);
		jt_timeline_free(tl);
	}
}

/* Power is not integrated over a gap that the counter has survived: no reason to doubt either. */
static void a_gap_is_not_taken_for_a_disagreement(void)
{
	struct jt_timeline_stats stats;
	struct jt_timeline *tl;

	jt_timeline_new(&counter_sensor, 10000, &tl, NULL);
	for (uint64_t i = 0; i < 400; i += i % 50 == 49 ? 60 : 1) {
		struct jt_sample s = READ(1000 + 100 * i, 10 * i);

		s.valid |= JT_HAS_POWER;
		s.power_mw = 100000;
		jt_timeline_add(tl, &s);
	}
	jt_timeline_stats(tl, &stats);
	check_near(stats.cross_ratio_ppm, 1000000, 20000);
	check(stats.valid);
	jt_timeline_free(tl);
}

static void an_update_is_located_within_its_bracket(void)
{
	struct jt_rng rng = { 5 };
	struct jt_locator l;
	double update_s = 1.02, last_poll_s = 1;

	jt__locator_init(&l, 100 * MS);
	for (double t = 1; t < 60; t += 0.02 + 0.02 * jt__rng_unit(&rng)) {
		double last = floor((t - 0.02) / 0.0997) * 0.0997 + 0.02;

		if (last > update_s) {
			uint64_t edge, at = jt__locator_update(&l, (uint64_t)(last_poll_s * 1e9),
			                                       (uint64_t)(t * 1e9), &edge);

			check_near(at * 1e-9, last, edge * 1e-9 + 1e-6);
			if (t > 20)
				check(edge <= 22 * MS);
			update_s = last;
		}
		last_poll_s = t;
	}
	check_near(jt__locator_period_ns(&l), 99.7e6, 0.2e6);
}

static void a_jittery_update_is_never_located_outside_its_bracket(void)
{
	struct jt_rng rng = { 11 };
	struct jt_locator l;
	uint64_t last = 0, edge;

	jt__locator_init(&l, 100 * MS);
	for (uint64_t k = 10; k < 5000; k++) {
		uint64_t t = k * 100 * MS + jt__rng_below(&rng, 10 * MS), poll = t - t % (7 * MS);
		uint64_t at = jt__locator_update(&l, JT_MAX(poll, last), poll + 7 * MS, &edge);

		check(at >= poll && at <= poll + 7 * MS && edge <= 7 * MS);
		check(at + edge >= t && at <= t + edge);
		last = poll + 7 * MS;
	}
}

static uint64_t bound_of_a_log(const struct jt_sensor *sensor)
{
	struct jt_timeline *tl;
	struct jt_interval iv = { 0 };

	jt_timeline_new(sensor, 10000, &tl, NULL);
	for (uint64_t i = 0; i < 300; i++) {
		/* as power.draw is mapped: the averaged field where a kind has one */
		uint32_t mw = i % 70 < 30 ? 80000 : 300000;
		struct jt_sample s = { .valid = sensor->avg_window_ns ? JT_HAS_POWER_AVG
			                                              : JT_HAS_POWER,
			               .begin_ns = S + i * 100 * MS,
			               .end_ns = S + i * 100 * MS,
			               .power_mw = mw,
			               .power_avg_mw = mw };

		jt_timeline_add(tl, &s);
	}
	check(jt_timeline_window(tl, 5 * S, 25 * S, &iv) == JT_OK);
	jt_timeline_free(tl);
	return iv.bound_uj;
}

static void nobody_knows_less_than_of_an_unknown_gpu(void)
{
	uint64_t unknown = bound_of_a_log(jt_sensor_find("gpu"));

	for (const char *const *kind =
	             (const char *const[]){ "ga100", "gh100", "ga10x", "ada", "blackwell", "turing",
	                                    "volta", "pascal", NULL };
	     *kind; kind++)
		check(bound_of_a_log(jt_sensor_find(*kind)) <= unknown);
}

static void boards_are_recognised_by_name(void)
{
	check_text(jt_sensor_of_gpu("NVIDIA H100 80GB HBM3")->name, "gh100");
	check_text(jt_sensor_of_gpu("NVIDIA A100-SXM4-80GB")->name, "ga100");
	check_text(jt_sensor_of_gpu("NVIDIA RTX 6000 Ada Generation")->name, "ada");
	check_text(jt_sensor_of_gpu("NVIDIA GeForce RTX 3090")->name, "ga10x");
	check_text(jt_sensor_of_gpu("NVIDIA RTX 2000 Ada Generation")->name, "ada");
	check_text(jt_sensor_of_gpu("NVIDIA RTX A1000")->name, "ga10x");
	check_text(jt_sensor_of_gpu("NVIDIA RTX A3000 Laptop GPU")->name, "ga10x");
	check_text(jt_sensor_of_gpu("NVIDIA L4")->name, "ada");
	check_text(jt_sensor_of_gpu("Tesla T4")->name, "turing");
	check_text(jt_sensor_of_gpu("NVIDIA L40S")->name, "ada");
	check_text(jt_sensor_of_gpu("NVIDIA GeForce RTX 2080 Ti")->name, "turing");
	check(jt_sensor_of_gpu("NVIDIA A1000") == NULL);
	check(jt_sensor_of_gpu("Matrox Millennium") == NULL);
	check(jt_sensor_find("no such") == NULL);
}

static void running_out_of_memory_is_an_error(void)
{
	for (uint64_t nth = 1; nth <= 2; nth++) {
		struct jt_timeline *tl = NULL;

		jt__alloc_fail_at(nth);
		check(jt_timeline_new(&counter_sensor, 100, &tl, NULL) == JT_ENOMEM && !tl);
		jt__alloc_fail_at(0);
	}
}

int main(void)
{
	test(windows_of_a_counter_stay_within_their_bound);
	test(a_counter_read_once_a_period_is_still_located);
	test(a_wrap_is_no_loss);
	test(a_reset_loses_coverage_but_invents_nothing);
	test(a_lying_counter_is_not_believed);
	test(a_counter_that_survived_a_lost_gpu_still_knows);
	test(a_slow_read_does_not_make_the_next_value_a_lie);
	test(energy_of_a_slow_poll_is_not_squeezed_into_one_period);
	test(a_lie_towards_zero_or_the_sky_changes_nothing);
	test(a_reset_long_ago_does_not_uncover_a_gap_that_the_counter_survived);
	test(a_counter_that_resumes_gives_lost_time_its_part);
	test(a_stuck_counter_does_not_hold_up_the_world);
	test(integrated_power_has_no_systematic_delay);
	test(the_power_field_tells_where_in_a_counter_step_the_energy_was);
	test(a_part_time_sensor_says_so);
	test(a_gap_in_power_readings_is_not_filled);
	test(memory_is_bounded_and_old_windows_are_refused);
	test(overlapping_and_nested_windows_agree);
	test(samples_out_of_order_change_nothing);
	test(counter_and_power_are_checked_against_each_other);
	test(a_gap_is_not_taken_for_a_disagreement);
	test(an_update_is_located_within_its_bracket);
	test(a_jittery_update_is_never_located_outside_its_bracket);
	test(nobody_knows_less_than_of_an_unknown_gpu);
	test(boards_are_recognised_by_name);
	test(running_out_of_memory_is_an_error);
	return tap_done();
}
