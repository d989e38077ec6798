/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sensors, and what readings tell of theirs. */
#include <math.h>
#include <string.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "jouletap/timeline.h"
#include "timeline/learn.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S
#define MAX_SAMPLES 4000

static struct jt_sample samples[MAX_SAMPLES];

/* ---- the table ---- */

static bool key_is_known(const char *key, size_t n)
{
	for (const struct jt_sensor_source *s = jt_sensor_sources; s->key; s++)
		if (strlen(s->key) == n && memcmp(s->key, key, n) == 0)
			return true;
	return false;
}

static void every_row_says_where_it_is_from(void)
{
	for (const struct jt_sensor *s = jt_sensors; s->name; s++) {
		check(s->what && s->source && s->update_ns && s->max_power_mw);
		for (const char *p = strchr(s->source, '['); p; p = strchr(p + 1, '['))
			check(key_is_known(p + 1, strcspn(p + 1, "]")));
		check(jt_sensor_find(s->name) == s);
		check(!s->filter_ns || !s->window_ns);
	}
}

static void boards_are_known_however_they_are_written(void)
{
	static const struct {
		const char *name, *kind;
	} boards[] = {
		{ "Tesla K40m", "k40" },
		{ "Tesla K80", "kepler2" },
		{ "Tesla M40 24GB", "maxwell" },
		{ "Tesla M60", "maxwell" },
		{ "NVIDIA GeForce GTX 980 Ti", "maxwell" },
		{ "Quadro K620", "gm107" },
		{ "NVIDIA GeForce GTX TITAN X", "maxwell" },
		{ "NVIDIA TITAN X (Pascal)", "pascal" },
		{ "NVIDIA TITAN Xp", "pascal" },
		{ "TitanXp", "pascal" },
		{ "Tesla P40", "pascal" },
		{ "Tesla P4", "pascal" },
		{ "NVIDIA TITAN V", "volta" },
		{ "TeslaV100-SXM2-16GB", "volta" },
		{ "NVIDIA TITAN RTX", "turing" },
		{ "NVIDIA GeForce GTX 1660 SUPER", "turing" },
		{ "RTX2060S", "turing" },
		{ "Quadro RTX 4000", "turing" },
		{ "NVIDIA RTX 4000 Ada Generation", "ada" },
		{ "NVIDIA GeForce RTX 4090", "rtx40" },
		{ "A5000", "ga10x" },
		{ "NVIDIA A10G", "ga10x" },
		{ "NVIDIA RTX PRO 6000 Blackwell", "blackwell" },
		{ "NVIDIA GB200", "blackwell" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(boards); i++) {
		const struct jt_sensor *s = jt_sensor_of_gpu(boards[i].name);

		if (check(s != NULL))
			check_text(s->name, boards[i].kind);
	}
	check(jt_sensor_of_gpu("Orin (nvgpu)") == NULL);
	check(jt_sensor_of_gpu("part4") == NULL);
}

/* ---- what readings tell ---- */

struct model {
	double update_s, window_s, filter_s; /* a mean over the window, or a filter */
	double poll_s;
	uint32_t field;
};

/* 5 s idle, 5 s at 300 W, and so on. */
static double load_energy_j(double t_s)
{
	double cycles = floor(t_s / 10), rest = t_s - 10 * cycles;

	return cycles * (5 * 60 + 5 * 300) + JT_MIN(rest, 5) * 60 + JT_MAX(rest - 5, 0) * 300;
}

static double load_w(double t_s)
{
	return t_s - 10 * floor(t_s / 10) < 5 ? 60 : 300;
}

/* Of a poll that comes a little early or late; noise makes each update a new value. */
static size_t take_readings(const struct model *m)
{
	struct jt_rng rng = { 5 };
	double shown_w = 60, filtered_w = 60, updated_s = 20;
	size_t n = 0;

	for (double t = 20; t < 40 && n < MAX_SAMPLES;
	     t += m->poll_s * (0.7 + 0.6 * jt__rng_unit(&rng))) {
		while (updated_s + m->update_s <= t) {
			updated_s += m->update_s;
			if (m->filter_s > 0) {
				filtered_w += (load_w(updated_s - 1e-9) - filtered_w) *
				              (1 - exp(-m->update_s / m->filter_s));
				shown_w = filtered_w;
			} else {
				shown_w = (load_energy_j(updated_s) -
				           load_energy_j(updated_s - m->window_s)) /
				          m->window_s;
			}
			shown_w += 0.4 * jt__rng_unit(&rng) - 0.2;
		}
		samples[n] = (struct jt_sample){ .valid = m->field,
			                         .begin_ns = (uint64_t)(t * 1e9),
			                         .end_ns = (uint64_t)(t * 1e9) };
		samples[n].power_mw = samples[n].power_avg_mw = (uint32_t)(shown_w * 1000);
		n++;
	}
	return n;
}

static int learn(const char *kind, const struct model *m, struct jt_sensor *ret)
{
	*ret = *jt_sensor_find(kind);
	return jt__learn_sensor(samples, take_readings(m), ret);
}

static void a_sensor_that_is_as_the_table_says_is_left_alone(void)
{
	struct jt_sensor s;

	check(learn("turing", &(struct model){ 0.1012, 0.1012, 0, 0.01, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.update_ns, 101.2e6, 1e6);
	check(s.window_ns == jt_sensor_find("turing")->window_ns);
	check(learn("ga100", &(struct model){ 0.1012, 0.025, 0, 0.01, JT_HAS_POWER }, &s) == 0);
	check(s.window_ns == 25 * MS);
	check(learn("ga10x", &(struct model){ 0.1, 1.1, 0, 0.01, JT_HAS_POWER_AVG }, &s) == 0);
	check(s.avg_window_ns == 1100 * MS);
}

static void a_period_and_a_mean_that_differ_are_found(void)
{
	struct jt_sensor s;

	check(learn("volta", &(struct model){ 0.1, 0.1, 0, 0.01, JT_HAS_POWER }, &s) ==
	      JT_LEARNED_UPDATE);
	check_near((double)s.update_ns, 100e6, 1e6);
	check(learn("turing", &(struct model){ 0.1, 1, 0, 0.01, JT_HAS_POWER }, &s) ==
	      JT_LEARNED_SHAPE);
	check_near((double)s.window_ns, 1e9, 0.05e9);
	check(learn("ga10x", &(struct model){ 0.1, 0.1, 0, 0.01, JT_HAS_POWER_AVG }, &s) ==
	      JT_LEARNED_SHAPE);
	check(s.avg_window_ns == 100 * MS);
}

static void a_filter_is_measured(void)
{
	struct jt_sensor s;

	check(learn("maxwell", &(struct model){ 0.1, 0, 0.25, 0.01, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.filter_ns, 0.25e9, 0.03e9);
	check(learn("k40", &(struct model){ 0.0154, 0, 0.054, 0.006, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.filter_ns, 0.054e9, 0.008e9);
	check_near((double)s.update_ns, 15.4e6, 0.5e6);
}

static void an_unknown_sensor_becomes_what_it_shows(void)
{
	struct jt_sensor s;

	check(learn("gpu", &(struct model){ 0.05, 0.05, 0, 0.008, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.update_ns, 50e6, 1e6);
	check(s.window_ns < 50 * MS && !s.filter_ns);
	check(learn("gpu", &(struct model){ 0.1, 1, 0, 0.01, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.window_ns, 1e9, 0.05e9);
	check(learn("gpu", &(struct model){ 0.1, 0, 0.3, 0.01, JT_HAS_POWER }, &s) == 0);
	check_near((double)s.filter_ns, 0.3e9, 0.03e9);
}

static void too_little_teaches_nothing(void)
{
	const struct jt_sensor before = *jt_sensor_find("gpu");
	struct model m = { 0.1, 0.1, 0, 0.01, JT_HAS_POWER };
	struct jt_sensor s = before;

	check(jt__learn_sensor(samples, 0, &s) == 0);
	take_readings(&m);
	check(jt__learn_sensor(samples, 50, &s) == 0);
	check(memcmp(&s, &before, sizeof(s)) == 0);
	m.poll_s = 0.5; /* too slow to see a period of 100 ms */
	s = *jt_sensor_find("turing");
	check(jt__learn_sensor(samples, take_readings(&m), &s) == 0);
	check(s.update_ns == 100 * MS);
	m = (struct model){ 0.1, 0.1, 0, 0.01, JT_HAS_POWER | JT_HAS_ENERGY };
	s = before;
	check(jt__learn_sensor(samples, take_readings(&m), &s) == 0);
	check(memcmp(&s, &before, sizeof(s)) == 0);
}

static void running_out_of_memory_is_said(void)
{
	const struct model m = { 0.1, 0.1, 0, 0.01, JT_HAS_POWER };
	struct jt_sensor s = *jt_sensor_find("gpu");
	size_t n = take_readings(&m);

	for (uint64_t nth = 1; nth <= 2; nth++) {
		jt__alloc_fail_at(nth);
		check(jt__learn_sensor(samples, n, &s) == JT_ENOMEM);
		jt__alloc_fail_at(0);
	}
}

int main(void)
{
	test(every_row_says_where_it_is_from);
	test(boards_are_known_however_they_are_written);
	test(a_sensor_that_is_as_the_table_says_is_left_alone);
	test(a_period_and_a_mean_that_differ_are_found);
	test(a_filter_is_measured);
	test(an_unknown_sensor_becomes_what_it_shows);
	test(too_little_teaches_nothing);
	test(running_out_of_memory_is_said);
	return tap_done();
}
