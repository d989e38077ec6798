/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The happy path: each new bracket is cut with the last one moved on by k
 * periods, and the period itself with (this - first) / n. Sensors jitter by a
 * few ms: brackets are widened by that before they are cut, and when the cut is
 * empty (the sensor restarted, or is not periodic after all) or k is not certain
 * the new bracket stands by itself and the period is measured afresh. An empty
 * cut also tells that this sensor jitters by more than was thought.
 */
#include "base/base.h"
#include "timeline/locate.h"

/* Widening of a prediction: 2 % of the period, SC24 saw no more on NVIDIA boards; up to 20 % where
 * it fails. */
void jt__locator_init(struct jt_locator *l, uint64_t nominal_period_ns)
{
	*l = (struct jt_locator){ .nominal_ns = nominal_period_ns,
		                  .jitter_ns = nominal_period_ns / 50 };
}

static void jitters_more(struct jt_locator *l)
{
	l->jitter_ns = JT_MIN(l->jitter_ns + l->nominal_ns / 50, l->nominal_ns / 5);
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
	uint64_t slack = l->jitter_ns / l->n + 1;

	lo = JT_MAX(l->period_lo_ns, lo > slack ? lo - slack : 0);
	hi = JT_MIN(l->period_hi_ns, hi + slack);
	if (lo > hi) {
		jitters_more(l);
		return false;
	}
	l->period_lo_ns = lo;
	l->period_hi_ns = hi;
	return true;
}

/*
 * The part of [lo, hi] that the last bracket, moved on by whole periods, leaves; kept if there is
 * any. false also if several numbers of periods fit: a poll that is slower than half the period
 * cannot tell them apart.
 */
static bool predict(struct jt_locator *l, uint64_t lo_ns, uint64_t hi_ns)
{
	uint64_t slack = l->jitter_ns, reach = l->hi_ns + slack;
	uint64_t least =
		lo_ns > reach ? (lo_ns - reach + l->period_hi_ns - 1) / l->period_hi_ns : 1;
	uint64_t most = (hi_ns + slack - l->lo_ns) / l->period_lo_ns;

	if (least != most)
		return false;
	lo_ns = JT_MAX(lo_ns, l->lo_ns + most * l->period_lo_ns - slack);
	hi_ns = JT_MIN(hi_ns, l->hi_ns + most * l->period_hi_ns + slack);
	if (lo_ns > hi_ns) {
		jitters_more(l);
		return false;
	}
	l->lo_ns = lo_ns;
	l->hi_ns = hi_ns;
	l->n += most;
	return narrow_period(l);
}

uint64_t jt__locator_longest_ns(const struct jt_locator *l)
{
	return l->nominal_ns + l->nominal_ns / 10 + l->jitter_ns;
}

uint64_t jt__locator_update(struct jt_locator *l, uint64_t after_ns, uint64_t until_ns,
                            uint64_t *ret_edge_ns)
{
	if (!l->hi_ns || !predict(l, after_ns, until_ns))
		start_over(l, after_ns, until_ns);
	*ret_edge_ns = (l->hi_ns - l->lo_ns + 1) / 2;
	return l->lo_ns + (l->hi_ns - l->lo_ns) / 2;
}

uint64_t jt__locator_period_ns(const struct jt_locator *l)
{
	return l->n ? (l->period_lo_ns + l->period_hi_ns) / 2 : 0;
}
