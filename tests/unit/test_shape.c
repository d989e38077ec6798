/* SPDX-License-Identifier: Apache-2.0 */
/* A domain that idles at 60 W, prefills at 380 W and decodes at 180 W, whose counter moves each 100
 * ms. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "jouletap/timeline.h"
#include "timeline/shape.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S
#define STEP_NS (100 * MS)
#define IDLE_MW 60000.0
#define PREFILL_MW 380000.0
#define DECODE_MW 180000.0
#define MAX_STRETCHES 4096

static const struct jt_sensor sensor = { .name = "test",
	                                 .update_ns = STEP_NS,
	                                 .window_ns = 25 * MS,
	                                 .step_uj = 1000,
	                                 .max_power_mw = 500000 };

/* What it really draws, and what is told of it. */
static struct stretch {
	uint64_t begin_ns;
	double power_mw;
	struct jt_activity change; /* at its beginning */
} stretches[MAX_STRETCHES];
static size_t n_stretches;

static void add(uint64_t *at_ns, uint64_t length_ns, double power_mw, int prefill, int decode)
{
	stretches[n_stretches++] =
		(struct stretch){ *at_ns, power_mw, { *at_ns, prefill, decode } };
	*at_ns += length_ns;
}

/* One request after the other, until @end_ns; nothing is aligned with the counter. */
static void serve(uint64_t end_ns)
{
	struct jt_rng rng = { 3 };
	uint64_t at = 0;

	for (n_stretches = 0; at < end_ns;) {
		add(&at, (50 + jt__rng_below(&rng, 700)) * MS, IDLE_MW, 0, n_stretches ? -1 : 0);
		add(&at, (50 + jt__rng_below(&rng, 250)) * MS, PREFILL_MW, 1, 0);
		add(&at, (300 + jt__rng_below(&rng, 1500)) * MS, DECODE_MW, -1, 1);
	}
}

static double truth_uj(uint64_t from_ns, uint64_t to_ns)
{
	double uj = 0;

	for (size_t i = 0; i < n_stretches; i++) {
		uint64_t end = i + 1 < n_stretches ? stretches[i + 1].begin_ns : UINT64_MAX;
		uint64_t a = JT_MAX(stretches[i].begin_ns, from_ns), b = JT_MIN(end, to_ns);

		uj += a < b ? (double)(b - a) * 1e-6 * stretches[i].power_mw : 0;
	}
	return uj;
}

enum { TELL = 1, READ = 2, BACKWARDS = 4 };

static void tell(struct jt_shape *s, uint64_t from_ns, uint64_t to_ns, int how)
{
	for (size_t k = 0; k < n_stretches; k++) {
		size_t i = how & BACKWARDS ? n_stretches - 1 - k : k;

		if (stretches[i].begin_ns >= from_ns && stretches[i].begin_ns < to_ns)
			jt__shape_note(s, &stretches[i].change);
	}
}

/* A reading each period, 40 ms behind the counter; read every 5 ms. */
static void read_power(struct jt_shape *s, uint64_t from_ns, uint64_t to_ns)
{
	for (uint64_t t = from_ns; t < to_ns; t += 5 * MS) {
		uint64_t shown = (t + 60 * MS) / STEP_NS * STEP_NS - 60 * MS;

		if (t >= STEP_NS)
			jt__shape_read(s, t, t + MS / 10,
			               (uint32_t)(truth_uj(shown - 25 * MS, shown) / 25 +
			                          (double)(shown / STEP_NS % 3)));
	}
}

/* Steps up to @end_ns; the mean error of the power of pieces, weighted by time, after the first
 * half. */
static double follow(struct jt_shape *s, uint64_t end_ns, int how)
{
	double error = 0;

	jt__shape_init(s, &sensor);
	for (uint64_t t = 0; t < end_ns; t += STEP_NS) {
		double sum = 0, uj = truth_uj(t, t + STEP_NS);

		if (how & TELL)
			tell(s, t, t + STEP_NS, how);
		if (how & READ)
			read_power(s, t, t + STEP_NS);
		jt__shape_step(s, t, t + STEP_NS, (uint64_t)uj);
		for (size_t i = 0; i < s->n; i++) {
			const struct jt_piece *p = &s->pieces[i];
			double length_ms = (double)(p->end_ns - p->begin_ns) * 1e-6;
			double found = p->power_mw * length_ms;

			sum += found;
			if (t > end_ns / 2)
				error += fabs(found - truth_uj(p->begin_ns, p->end_ns));
		}
		if (fabs(sum - uj) > 2 || s->pieces[0].begin_ns != t ||
		    s->pieces[s->n - 1].end_ns != t + STEP_NS)
			check(false);
	}
	return error / truth_uj(end_ns / 2, end_ns);
}

static void what_was_told_says_where_in_a_step_the_energy_was(void)
{
	struct jt_shape s;
	double untold, told;

	serve(120 * S);
	untold = follow(&s, 120 * S, 0);
	told = follow(&s, 120 * S, TELL);
	printf("# mean error of the power inside steps: %.2f %% untold, %.2f %% told\n",
	       100 * untold, 100 * told);
	check(told < 0.15 * untold && told < 0.01);
}

static void what_is_usual_is_learned_of_states_that_never_fill_a_step(void)
{
	struct jt_shape s;

	n_stretches = 0;
	for (uint64_t at = 0; at < 60 * S;) {
		add(&at, 230 * MS, IDLE_MW, 0, n_stretches ? -1 : 0);
		add(&at, 37 * MS, PREFILL_MW, 1, 0);
		add(&at, 411 * MS, DECODE_MW, -1, 1);
	}
	follow(&s, 60 * S, TELL);
	check_near(s.habits[0].mean_mw, IDLE_MW, 3000);
	check_near(s.habits[1].mean_mw, PREFILL_MW, 20000);
	check_near(s.habits[2].mean_mw, DECODE_MW, 5000);
}

static void readings_say_where_the_energy_was_when_nobody_told(void)
{
	struct jt_shape s;
	double blind, reading;

	serve(120 * S);
	blind = follow(&s, 120 * S, 0);
	reading = follow(&s, 120 * S, READ);
	printf("# mean error of the power inside steps: %.2f %% blind, %.2f %% with readings\n",
	       100 * blind, 100 * reading);
	check(reading < 0.75 * blind);
}

static void changes_may_come_in_any_order(void)
{
	struct jt_shape a, b;

	serve(20 * S);
	check(follow(&a, 20 * S, TELL) == follow(&b, 20 * S, TELL | BACKWARDS));
	check(a.n == b.n && memcmp(a.pieces, b.pieces, a.n * sizeof(a.pieces[0])) == 0);
}

static void a_steady_step_is_one_piece(void)
{
	struct jt_shape s;
	uint64_t at = 0;

	n_stretches = 0;
	add(&at, 10 * S, DECODE_MW, 0, 1);
	follow(&s, 5 * S, TELL | READ);
	check(s.n == 1 && !s.surprised);
	check_near(s.pieces[0].power_mw, DECODE_MW, 1);
}

/* Somebody else uses the GPU: what was told does not account for it. */
static void energy_that_nothing_told_accounts_for_is_not_explained(void)
{
	struct jt_shape s;

	serve(60 * S);
	follow(&s, 60 * S, TELL);
	jt__shape_note(&s,
	               &(struct jt_activity){ 60 * S, -(int32_t)s.prefill, -(int32_t)s.decode });
	jt__shape_step(&s, 60 * S, 60 * S + STEP_NS, (uint64_t)(100 * IDLE_MW));
	check(!s.surprised);
	jt__shape_step(&s, 60 * S + STEP_NS, 60 * S + 2 * STEP_NS, (uint64_t)(100 * PREFILL_MW));
	check(s.surprised);
}

static void of_too_many_changes_none_is_lost(void)
{
	struct jt_shape s;

	jt__shape_init(&s, &sensor);
	for (uint64_t i = 0; i < 10000; i++)
		jt__shape_note(&s,
		               &(struct jt_activity){ i * 9000, i % 2 ? -1 : 1, i % 2 ? 1 : 0 });
	jt__shape_step(&s, 0, STEP_NS, 20000000);
	check(s.n_notes == 0 && s.prefill == 0 && s.decode == 5000);
}

static void a_step_has_pieces_whatever_happens_in_it(void)
{
	struct jt_rng rng = { 9 };
	struct jt_shape s;
	uint64_t t = 0;

	jt__shape_init(&s, &sensor);
	for (int k = 0; k < 2000; k++) {
		uint64_t length = 1 + jt__rng_below(&rng, k % 7 ? 200 * MS : 20 * S), sum_ns = 0;
		uint64_t uj = k % 11 ? jt__rng_below(&rng, 100000000) : 0;
		double sum_uj = 0;

		for (uint64_t i = jt__rng_below(&rng, 200); i-- > 0;)
			jt__shape_note(
				&s, &(struct jt_activity){ t + jt__rng_below(&rng, length),
			                                   (int32_t)jt__rng_below(&rng, 5) - 2,
			                                   (int32_t)jt__rng_below(&rng, 5) - 2 });
		for (uint64_t i = jt__rng_below(&rng, 40), at = t; i-- > 0; at += length / 40)
			jt__shape_read(&s, at, at + 1, (uint32_t)jt__rng_below(&rng, 500000));
		jt__shape_step(&s, t, t + length, uj);
		for (size_t i = 0; i < s.n; i++) {
			const struct jt_piece *p = &s.pieces[i];

			check(isfinite(p->power_mw) && p->power_mw >= 0 && isfinite(p->sd_mw));
			check(p->begin_ns == t + sum_ns && p->end_ns > p->begin_ns);
			sum_ns += p->end_ns - p->begin_ns;
			sum_uj += p->power_mw * (double)(p->end_ns - p->begin_ns) * 1e-6;
		}
		check(sum_ns == length && fabs(sum_uj - (double)uj) <= 1 + 1e-9 * (double)uj);
		t += length;
	}
}

int main(void)
{
	test(what_was_told_says_where_in_a_step_the_energy_was);
	test(what_is_usual_is_learned_of_states_that_never_fill_a_step);
	test(readings_say_where_the_energy_was_when_nobody_told);
	test(changes_may_come_in_any_order);
	test(a_steady_step_is_one_piece);
	test(energy_that_nothing_told_accounts_for_is_not_explained);
	test(of_too_many_changes_none_is_lost);
	test(a_step_has_pieces_whatever_happens_in_it);
	return tap_done();
}
