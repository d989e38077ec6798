/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "sampler/pacer.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S
#define START (1000 * S)
#define MAX_EDGES 4096

/* A counter that moves each @period_ns, give or take @jitter_ns. */
struct counter {
	uint64_t period_ns, jitter_ns;
	struct jt_rng rng;
	uint64_t k, next_ns;
};

static uint64_t read_counter(struct counter *c, uint64_t now_ns)
{
	while (now_ns >= c->next_ns) {
		c->k++;
		c->next_ns = START + c->k * c->period_ns + 37 * MS;
		if (c->jitter_ns)
			c->next_ns += jt__rng_below(&c->rng, 2 * c->jitter_ns) - c->jitter_ns;
	}
	return c->k;
}

struct run {
	unsigned n_reads, n_ticks, n_edges;
	uint64_t edges_ns[MAX_EDGES]; /* how well each update seen was located */
};

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Reads for @duration_ns, each reading taking 0.5 ms; edges are kept from the 20th on, sorted. */
static struct run run_pacer(struct jt_pacer *p, struct counter *c, uint64_t duration_ns)
{
	struct run r = { 0 };
	uint64_t now_ns = START, last_begin_ns = 0, last = 0, base_ns = p->base_ns;

	while (now_ns < START + duration_ns) {
		struct jt_sample s = { .begin_ns = now_ns,
			               .end_ns = now_ns + MS / 2,
			               .valid = JT_HAS_ENERGY,
			               .energy_uj = read_counter(c, now_ns + MS / 4) };

		if (r.n_reads++ && s.energy_uj != last && r.n_edges < MAX_EDGES)
			r.edges_ns[r.n_edges++] = s.end_ns - last_begin_ns;
		r.n_ticks += (now_ns - START) % base_ns == 0;
		last = s.energy_uj;
		last_begin_ns = s.begin_ns;
		now_ns = jt__pacer_next(p, &s, s.end_ns);
		check(now_ns > s.end_ns);
	}
	if (check(r.n_edges > 20)) {
		r.n_edges -= 20;
		memmove(r.edges_ns, r.edges_ns + 20, r.n_edges * sizeof(r.edges_ns[0]));
		qsort(r.edges_ns, r.n_edges, sizeof(r.edges_ns[0]), by_size);
	}
	return r;
}

static void locates_updates_of_a_slow_counter(void)
{
	struct counter c = { .period_ns = 100 * MS };
	struct jt_pacer p;
	struct run r;

	jt__pacer_init(&p, 100 * MS, 100 * MS, START);
	r = run_pacer(&p, &c, 60 * S);
	check(r.edges_ns[r.n_edges * 9 / 10] <= 8 * MS);
	check(r.n_reads <= 600 * 5);
	check(r.n_ticks == 600);
}

static void learns_the_true_period_and_bears_jitter(void)
{
	static const uint64_t periods[] = { 93 * MS, 97300000, 100300000, 104 * MS };

	for (size_t i = 0; i < JT_ARRAY_LEN(periods); i++) {
		struct counter c = { .period_ns = periods[i], .jitter_ns = 2 * MS };
		struct jt_pacer p;
		struct run r;

		jt__pacer_init(&p, 100 * MS, 100 * MS, START);
		r = run_pacer(&p, &c, 120 * S);
		check(r.edges_ns[r.n_edges / 2] <= 8 * MS);
		check(r.edges_ns[r.n_edges * 8 / 10] <= 12 * MS);
		check(r.n_reads <= 1200 * 6);
		check_near((double)p.update_ns, (double)periods[i], 3e6);
	}
}

/* With ticks each second one update after each is located, not all ten. */
static void a_long_base_period_stays_cheap(void)
{
	struct counter c = { .period_ns = 100 * MS };
	struct jt_pacer p;
	struct run r;

	jt__pacer_init(&p, 1 * S, 100 * MS, START);
	r = run_pacer(&p, &c, 120 * S);
	check(r.n_reads <= 120 * 7);
	check(r.n_ticks == 120);
}

static void fast_counters_and_fast_ticks_keep_to_the_grid(void)
{
	struct counter fast = { .period_ns = 1 * MS }, slow = { .period_ns = 100 * MS };
	struct jt_pacer p;

	jt__pacer_init(&p, 100 * MS, 1 * MS, START);
	check(run_pacer(&p, &fast, 30 * S).n_reads == 300);
	jt__pacer_init(&p, 15 * MS, 100 * MS, START);
	check(run_pacer(&p, &slow, 30 * S).n_reads == 2000);
	fast = (struct counter){ .period_ns = 1 * MS };
	jt__pacer_init(&p, 10 * MS, 1 * MS, START);
	check(run_pacer(&p, &fast, 30 * S).n_reads == 3000);
	slow = (struct counter){ .period_ns = 100 * MS };
	jt__pacer_init(&p, 100 * MS, 0, START);
	check(run_pacer(&p, &slow, 30 * S).n_reads == 300);
}

/* A counter that moves when it likes, seldom: the attempts must not go on for ever. */
static void gives_up_where_nothing_can_be_predicted(void)
{
	struct counter c = { .period_ns = 3700 * MS, .jitter_ns = 1800 * MS };
	struct jt_pacer p;

	jt__pacer_init(&p, 100 * MS, 100 * MS, START);
	check(run_pacer(&p, &c, 200 * S).n_reads <= 2000 * 3 / 2);
}

static void a_sensor_that_is_away_does_not_confuse_it(void)
{
	struct jt_sample s = { .begin_ns = START, .end_ns = START, .status = JT_ELOST };
	struct jt_pacer p;
	uint64_t next_ns = START;

	jt__pacer_init(&p, 100 * MS, 100 * MS, START);
	for (int i = 0; i < 100; i++) {
		s.begin_ns = s.end_ns = next_ns;
		s.energy_uj = (uint64_t)i;
		next_ns = jt__pacer_next(&p, &s, next_ns);
		check(next_ns == START + (uint64_t)(i + 1) * 100 * MS);
	}
}

static void a_slow_reading_skips_ticks_and_keeps_the_grid(void)
{
	struct jt_sample s = { .begin_ns = START, .end_ns = START + 550 * MS };
	struct jt_pacer p;

	jt__pacer_init(&p, 100 * MS, 0, START);
	check(jt__pacer_next(&p, &s, s.end_ns) == START + 600 * MS);
	check(p.n_late == 5);
	s.begin_ns = START + 600 * MS;
	s.end_ns = START + 601 * MS;
	check(jt__pacer_next(&p, &s, s.end_ns) == START + 700 * MS);
	check(p.n_late == 5);
}

int main(void)
{
	test(locates_updates_of_a_slow_counter);
	test(learns_the_true_period_and_bears_jitter);
	test(a_long_base_period_stays_cheap);
	test(fast_counters_and_fast_ticks_keep_to_the_grid);
	test(gives_up_where_nothing_can_be_predicted);
	test(a_sensor_that_is_away_does_not_confuse_it);
	test(a_slow_reading_skips_ticks_and_keeps_the_grid);
	return tap_done();
}
