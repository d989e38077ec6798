/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An update seen between two readings lies in a bracket [low, high]. The next one is
 * expected in the same bracket a period later, give or take PROBE_NS. Readings are spread over
 * that, at most N_PROBES and never closer than PROBE_NS, and stop at the first new value. A
 * bracket of 100 ms thus becomes one of 20 ms, then one of 5 ms, and stays there: some three
 * readings an update.
 */
#include "base/base.h"
#include "sampler/pacer.h"

#define PROBE_NS (5 * JT_NS_PER_MS)
#define N_PROBES 6
#define FINE_NS (10 * JT_NS_PER_MS)       /* updates up to this are not looked for, … */
#define FINE_TICKS_NS (15 * JT_NS_PER_MS) /* … nor by ticks up to this */
#define MAX_FAILED 3
#define PAUSE_TICKS 50

void jt__pacer_init(struct jt_pacer *p, uint64_t base_ns, uint64_t update_ns, uint64_t now_ns)
{
	*p = (struct jt_pacer){ .base_ns = base_ns, .grid_ns = now_ns };
	if (base_ns > FINE_TICKS_NS && update_ns > FINE_NS)
		p->update_ns = update_ns;
}

/* Two well located updates tell the period; slowly, because each carries its own jitter. */
static void learn_period(struct jt_pacer *p)
{
	uint64_t mid_ns = p->low_ns + (p->high_ns - p->low_ns) / 2, n, seen_ns;

	if (p->high_ns - p->low_ns > 3 * PROBE_NS) {
		p->mark_ns = 0;
		return;
	}
	n = p->mark_ns ? (mid_ns - p->mark_ns + p->update_ns / 2) / p->update_ns : 0;
	if (n > 0) {
		seen_ns = (mid_ns - p->mark_ns) / n;
		p->update_ns = p->update_ns - p->update_ns / 8 + seen_ns / 8;
	}
	p->mark_ns = mid_ns;
}

/* True if the counter moved since the last reading, where that is of interest. */
static bool observe(struct jt_pacer *p, const struct jt_sample *s)
{
	bool has_value = s->status == JT_OK && s->valid & (JT_HAS_ENERGY | JT_HAS_POWER);
	uint64_t value = s->valid & JT_HAS_ENERGY ? s->energy_uj : s->power_mw;
	bool moved = p->update_ns && has_value && p->has_value && value != p->value;

	if (moved) {
		/* of several updates the last */
		p->low_ns = JT_MAX(p->begin_ns, s->begin_ns - JT_MIN(s->begin_ns, p->update_ns));
		p->high_ns = s->end_ns;
		learn_period(p);
	}
	p->has_value = has_value;
	p->value = value;
	p->begin_ns = s->begin_ns;
	return moved;
}

/* Plans the readings around the first update expected after @now_ns. */
static void predict(struct jt_pacer *p, uint64_t now_ns)
{
	uint64_t ahead_ns, from_ns;

	p->probe_ns = 0;
	if (p->n_pause > 0) {
		p->n_pause--;
		return;
	}
	if (p->high_ns == 0)
		return;
	ahead_ns = p->update_ns;
	if (p->high_ns + ahead_ns < now_ns)
		ahead_ns += (now_ns - p->high_ns - 1) / p->update_ns * p->update_ns;
	from_ns = p->low_ns + ahead_ns - PROBE_NS;
	p->probe_end_ns = p->high_ns + ahead_ns + PROBE_NS;
	p->probe_step_ns = JT_MAX(PROBE_NS, (p->probe_end_ns - from_ns) / (N_PROBES - 1));
	p->probe_ns = JT_MAX(from_ns, now_ns + PROBE_NS);
}

static void prediction_failed(struct jt_pacer *p)
{
	p->probe_ns = 0;
	if (++p->n_failed < MAX_FAILED)
		return;
	p->n_failed = 0;
	p->n_pause = PAUSE_TICKS;
}

uint64_t jt__pacer_next(struct jt_pacer *p, const struct jt_sample *s, uint64_t now_ns)
{
	bool moved = observe(p, s);

	if (moved) {
		if (p->probe_ns && now_ns >= p->probe_ns)
			p->n_failed = 0;
		p->probe_ns = 0;
	}
	while (p->probe_ns && p->probe_ns <= now_ns)
		p->probe_ns += p->probe_step_ns;
	if (p->probe_ns > p->probe_end_ns)
		prediction_failed(p);
	if (now_ns >= p->grid_ns) {
		uint64_t n = (now_ns - p->grid_ns) / p->base_ns;

		p->n_late += n;
		p->grid_ns += (n + 1) * p->base_ns;
		if (p->update_ns && !p->probe_ns)
			predict(p, now_ns);
	}
	return p->probe_ns ? JT_MIN(p->probe_ns, p->grid_ns) : p->grid_ns;
}
