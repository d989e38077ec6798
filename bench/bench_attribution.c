/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtual energy clock under load: what a sample costs while N requests are active, and what a
 * change of a request costs. Each request enters, goes on to decode, leaves, and another takes its
 * place; weights are two constants, one a phase. Requests are hit at random. CPU time, the best of
 * some runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/rng.h"
#include "jouletap/attribution.h"

enum { SAMPLES = 2000, EVENTS_PER_SAMPLE = 1000, EVENT_SAMPLES = 500, RUNS = 7 };

#define PERIOD_NS (100 * JT_NS_PER_MS)
#define MOST 10000

struct load {
	struct jt_attribution *a;
	struct jt_timeline *tl;
	struct jt_rng rng;
	uint64_t now_ns;
	uint64_t energy_uj;
	uint64_t next_request;
	uint64_t active[MOST];
	bool decodes[MOST];
	size_t n;
};

static uint64_t n_charges; /* so that nothing is optimised away */

static void on_charge(void *user, const struct jt_charge *c)
{
	(void)user;
	n_charges += c->allocated_uj & 1;
}

static void on_final(void *user, uint64_t request)
{
	(void)user, (void)request;
}

static void post(struct load *l, uint64_t request, enum jt_change_kind kind, enum jt_phase phase)
{
	struct jt_change c = { .t_ns = l->now_ns,
		               .request = request,
		               .kind = kind,
		               .phase = phase,
		               .weight = phase == JT_PHASE_DECODE
		                                 ? (struct jt_weight){ 80000, 1500 }
		                                 : (struct jt_weight){ 80000, 220000 } };

	jt_attribution_post(l->a, &c);
}

/* One sample, and all that it closes. */
static void sample(struct load *l)
{
	static const struct jt_attribution_sink sink = { on_charge, on_final, NULL };
	struct jt_sample s = { .valid = JT_HAS_ENERGY | JT_HAS_POWER,
		               .begin_ns = l->now_ns,
		               .end_ns = l->now_ns + 20000,
		               .power_mw = 300000 };

	l->energy_uj += 25000000 + jt__rng_below(&l->rng, 10000000);
	s.energy_uj = l->energy_uj;
	jt_timeline_add(l->tl, &s);
	jt_attribution_advance(l->a, l->tl, jt_timeline_closed_ns(l->tl), &sink);
}

static void enter(struct load *l, size_t i)
{
	l->active[i] = ++l->next_request;
	l->decodes[i] = false;
	post(l, l->active[i], JT_ENTER, JT_PHASE_PREFILL);
}

/* The next change of some request; two where one takes the place of another. */
static unsigned change(struct load *l)
{
	size_t i = jt__rng_below(&l->rng, l->n);

	if (!l->decodes[i]) {
		l->decodes[i] = true;
		post(l, l->active[i], JT_ADJUST, JT_PHASE_DECODE);
		return 1;
	}
	post(l, l->active[i], JT_LEAVE, JT_PHASE_DECODE);
	enter(l, i);
	return 2;
}

static void begin(struct load *l, size_t n)
{
	*l = (struct load){ .rng = { 1 }, .now_ns = JT_NS_PER_S, .n = n };
	if (jt_timeline_new(jt_sensor_find("gh100"), 4096, &l->tl, NULL) < 0 ||
	    jt_attribution_new(0, 70000, &l->a, NULL) < 0)
		exit(1);
	for (size_t i = 0; i < n; i++)
		enter(l, i);
	for (int i = 0; i < 10; i++, l->now_ns += PERIOD_NS)
		sample(l);
}

static void end(struct load *l)
{
	jt_attribution_free(l->a);
	jt_timeline_free(l->tl);
}

static double ns_per_sample(size_t n)
{
	static struct load l;
	uint64_t begin_ns;

	begin(&l, n);
	begin_ns = jt__cpu_ns();
	for (int i = 0; i < SAMPLES; i++, l.now_ns += PERIOD_NS)
		sample(&l);
	begin_ns = jt__cpu_ns() - begin_ns;
	end(&l);
	return (double)begin_ns / SAMPLES;
}

/* Posting, waiting, applying and charging; the few samples are in it. */
static double ns_per_event(size_t n)
{
	static struct load l;
	uint64_t begin_ns, n_events = 0;

	begin(&l, n);
	begin_ns = jt__cpu_ns();
	for (int i = 0; i < EVENT_SAMPLES; i++) {
		uint64_t until_ns = l.now_ns + PERIOD_NS;

		for (int k = 0; k < EVENTS_PER_SAMPLE; k++) {
			l.now_ns += PERIOD_NS / EVENTS_PER_SAMPLE;
			n_events += change(&l);
		}
		l.now_ns = until_ns;
		sample(&l);
	}
	begin_ns = jt__cpu_ns() - begin_ns;
	end(&l);
	return (double)begin_ns / (double)n_events;
}

static double bench(const char *unit, double (*measure)(size_t n), size_t n)
{
	double best = 1e18;

	for (int run = 0; run < RUNS; run++) {
		double ns = measure(n);

		best = JT_MIN(best, ns);
	}
	printf("{\"bench\":\"attribution\",\"active\":%zu,\"ns_per_%s\":%.1f}\n", n, unit, best);
	return best;
}

static void bench_all(const char *unit, double (*measure)(size_t n))
{
	double one = bench(unit, measure, 1), most;

	bench(unit, measure, 100);
	most = bench(unit, measure, MOST);
	printf("{\"bench\":\"attribution\",\"ratio\":\"ns_per_%s, %d active to "
	       "1\",\"value\":%.2f}\n",
	       unit, MOST, most / one);
}

int main(void)
{
	ns_per_sample(1); /* the clock of the CPU and the caches settle */
	bench_all("sample", ns_per_sample);
	bench_all("event", ns_per_event);
	return n_charges == 0;
}
