/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: each new bracket is cut with the last one moved on by k
 * periods, and the period itself with (this - first) / n. Sensors jitter by a
 * few ms: brackets are widened by that before they are cut, and when the cut is
 * empty (the sensor restarted, or is not periodic after all) or k is not certain
 * the new bracket stands by itself and the period is measured afresh.
 */
#include "base/base.h"
#include "timeline/locate.h"

/* Widening of a prediction: 2 % of the period, SC24 saw no more on NVIDIA boards. */
static uint64_t jitter_ns(const struct jt_locator *l)
{
	return l->nominal_ns / 50;
}

void jt__locator_init(struct jt_locator *l, uint64_t nominal_period_ns)
{
	*l = (struct jt_locator){ .nominal_ns = nominal_period_ns };
}

static void start_over(struct jt_locator *l, uint64_t lo_ns, uint64_t hi_ns)
{
	l->lo_ns = l->first_lo_ns = lo_ns;
	l->hi_ns = l->first_hi_ns = hi_ns;
	l->n = 0;
	l->period_lo_ns = l->nominal_ns - l->nominal_ns / 10;
	l->period_hi_ns = l->nominal_ns + l->nominal_ns / 10;
}

/* Cuts the period's bracket with what n periods since the first update allow. */
static bool narrow_period(struct jt_locator *l)
{
	uint64_t lo = l->lo_ns > l->first_hi_ns ? (l->lo_ns - l->first_hi_ns) / l->n : 0;
	uint64_t hi = (l->hi_ns - l->first_lo_ns) / l->n;
	uint64_t slack = jitter_ns(l) / l->n + 1;

	lo = JT_MAX(l->period_lo_ns, lo > slack ? lo - slack : 0);
	hi = JT_MIN(l->period_hi_ns, hi + slack);
	if (lo > hi)
		return false;
	l->period_lo_ns = lo;
	l->period_hi_ns = hi;
	return true;
}

/*
 * Cuts [*lo, *hi] with the last bracket moved on by whole periods. false if nothing remains, or if
 * several numbers of periods fit: a poll that is slower than half the period cannot tell them apart.
 */
static bool predict(struct jt_locator *l, uint64_t *lo_ns, uint64_t *hi_ns)
{
	uint64_t slack = jitter_ns(l), reach = l->hi_ns + slack;
	uint64_t least = *lo_ns > reach ? (*lo_ns - reach + l->period_hi_ns - 1) / l->period_hi_ns : 1;
	uint64_t most = (*hi_ns + slack - l->lo_ns) / l->period_lo_ns;

	if (least != most)
		return false;
	*lo_ns = JT_MAX(*lo_ns, l->lo_ns + most * l->period_lo_ns - slack);
	*hi_ns = JT_MIN(*hi_ns, l->hi_ns + most * l->period_hi_ns + slack);
	l->n += most;
	return *lo_ns <= *hi_ns;
}

uint64_t jt__locator_update(struct jt_locator *l, uint64_t after_ns, uint64_t until_ns,
			    uint64_t *ret_edge_ns)
{
	uint64_t longest = l->nominal_ns + l->nominal_ns / 10;
	uint64_t lo = after_ns, hi = until_ns;

	/* the last update before a poll is at most one period before it */
	if (hi - lo > longest)
		lo = hi - longest;
	if (!l->hi_ns || !predict(l, &lo, &hi)) {
		start_over(l, lo, hi);
	} else {
		l->lo_ns = lo;
		l->hi_ns = hi;
		if (!narrow_period(l))
			start_over(l, lo, hi);
	}
	*ret_edge_ns = (l->hi_ns - l->lo_ns + 1) / 2 + (l->n ? jitter_ns(l) : 0);
	return l->lo_ns + (l->hi_ns - l->lo_ns) / 2;
}

uint64_t jt__locator_period_ns(const struct jt_locator *l)
{
	return l->n ? (l->period_lo_ns + l->period_hi_ns) / 2 : 0;
}
