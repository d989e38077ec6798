/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run has two readers of one board: jouletap, at its own schedule and with what it hears of
 * requests, and a loop that polls the power field twice a sensor period, as others do.
 */
#include <stdlib.h>
#include "accuracy.h"
#include "base/rng.h"
#include "sampler/pacer.h"
#include "sources/source.h"

#define MAX_KNOTS 262144

struct fake fake;

/* What is known of requests, in order of time. */
struct changes {
	struct jt_activity *list;
	size_t n, next;
};

static uint64_t us(struct jt_rng *rng, uint64_t low, uint64_t high)
{
	return (low + jt__rng_below(rng, high - low)) * JT_NS_PER_US;
}

struct jt_sample accuracy_reading(const struct run *r, uint64_t t_ns)
{
	struct jt_sample s = { 0 };

	fake.set_time_ns(t_ns);
	jt__source_nvml.read(r->source, 0, &s);
	s.begin_ns = s.end_ns = t_ns;
	return s;
}

/*
 * Wakes up a little late, asks, has its answer a little later; one time in a hundred, much later.
 */
static struct jt_sample read_at(const struct run *r, uint64_t due_ns, struct jt_rng *rng)
{
	uint64_t most_us = jt__rng_below(rng, 100) ? 200 : 5000;
	uint64_t begin_ns = due_ns + us(rng, 5, most_us),
		 taken_ns = begin_ns + us(rng, 50, most_us);
	struct jt_sample s = accuracy_reading(r, taken_ns);

	s.begin_ns = begin_ns;
	s.end_ns = taken_ns + us(rng, 20, 100);
	return s;
}

/* ---- requests ---- */

static int by_time(const void *a, const void *b)
{
	const struct jt_activity *x = a, *y = b;

	return (x->t_ns > y->t_ns) - (x->t_ns < y->t_ns);
}

static void add_change(struct changes *c, uint64_t t_ns, int32_t prefill, int32_t decode)
{
	if (prefill || decode)
		c->list[c->n++] = (struct jt_activity){ t_ns, prefill, decode };
}

static bool hear_of_requests(const struct run *r, struct changes *c)
{
	struct fake_request q;
	size_t n = 0;

	while (fake.request(0, n, &q) && q.begin_ns < r->end_ns)
		n++;
	c->list = calloc(3 * n + 1, sizeof(*c->list));
	if (!c->list)
		return false;
	for (size_t i = 0; i < n; i++) {
		fake.request(0, i, &q);
		if (!q.reported)
			continue;
		add_change(c, q.begin_ns, q.first_ns > q.begin_ns, q.first_ns == q.begin_ns);
		if (q.first_ns > q.begin_ns)
			add_change(c, q.first_ns, -1, q.end_ns > q.first_ns);
		if (q.end_ns > q.first_ns)
			add_change(c, q.end_ns, 0, -1);
	}
	qsort(c->list, c->n, sizeof(*c->list), by_time);
	return true;
}

/* ---- readers ---- */

static void tell(const struct run *r, struct changes *c, uint64_t until_ns)
{
	for (; c->next < c->n && c->list[c->next].t_ns <= until_ns; c->next++)
		jt_timeline_note(r->spans, &c->list[c->next]);
}

static void meter(const struct run *r, struct changes *c, uint64_t update_ns, unsigned period_ms)
{
	uint64_t now_ns = START_NS;
	struct jt_rng rng = { 7 };
	struct jt_pacer p;

	jt__pacer_init(&p, period_ms * JT_NS_PER_MS, update_ns, now_ns);
	while (now_ns < r->end_ns) {
		struct jt_sample s = read_at(r, now_ns, &rng);

		tell(r, c, s.end_ns);
		jt_timeline_add(r->spans, &s);
		jt_timeline_add(r->plain, &s);
		now_ns = jt__pacer_next(&p, &s, s.end_ns);
	}
}

static bool poll_power(struct run *r)
{
	uint64_t period_ns = r->board->polling_ms * JT_NS_PER_MS;
	size_t most = (r->end_ns - START_NS) / period_ns + 1;
	struct jt_rng rng = { 8 };

	r->polls = calloc(most, sizeof(*r->polls));
	r->changes = calloc(most, sizeof(*r->changes));
	if (!r->polls || !r->changes)
		return false;
	for (uint64_t t = START_NS; t < r->end_ns; t += period_ns) {
		struct jt_sample s = read_at(r, t, &rng);
		struct poll p = { s.end_ns, s.power_mw };

		if (!r->n_polls || p.power_mw != r->polls[r->n_polls - 1].power_mw)
			r->changes[r->n_changes++] = p;
		r->polls[r->n_polls++] = p;
	}
	return true;
}

bool accuracy_run(struct run *r, const struct board *b, const struct load *l, unsigned seed,
                  unsigned period_ms)
{
	struct jt_source_options o = JT_SOURCE_OPTIONS_INIT;
	struct jt_error err = { .message = "out of memory" };
	struct changes changes = { 0 };
	struct jt_domain d;
	bool ok = false;

	*r = (struct run){ .board = b, .load = l, .end_ns = START_NS + (uint64_t)(l->run_s * 1e9) };
	o.nvml_library = FAKE_DRIVER;
	if (!accuracy_stage(b, l, seed) || jt__source_nvml.open(&o, &r->source, &err) < 0)
		goto out;
	jt__source_nvml.describe(r->source, 0, &d);
	if (jt_timeline_new(&d.sensor, MAX_KNOTS, &r->spans, &err) < 0 ||
	    jt_timeline_new(&d.sensor, MAX_KNOTS, &r->plain, &err) < 0 ||
	    !hear_of_requests(r, &changes) || !poll_power(r))
		goto out;
	meter(r, &changes, d.sensor.update_ns, period_ms);
	ok = true;
out:
	if (!ok)
		fprintf(stderr, "accuracy: %s on %s: %s\n", l->name, b->name, err.message);
	free(changes.list);
	return ok;
}

void accuracy_over(struct run *r)
{
	jt_timeline_free(r->spans);
	jt_timeline_free(r->plain);
	jt__source_nvml.close(r->source);
	free(r->polls);
	free(r->changes);
}
