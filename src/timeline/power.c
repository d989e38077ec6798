/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without a counter power readings are integrated. A reading stands for the mean
 * over the sensor's window, shows up one lag later and is held for one update
 * period; so the held readings, integrated and moved back by
 * lag + (window + period) / 2, have no systematic delay. Repeated values are
 * held, never dropped.
 */
#include <math.h>
#include "timeline/knots.h"

#define GAP_INTERVALS 5                /* readings further apart than this are a gap, … */
#define GAP_MIN_NS JT_NS_PER_S         /* … but not before this */
#define ENVELOPE_NS (10 * JT_NS_PER_S) /* memory of the power range */

static uint64_t power_window_ns(const struct jt_timeline *tl, const struct jt_sample *s)
{
	return s->valid & JT_HAS_POWER ? tl->sensor.window_ns : tl->sensor.avg_window_ns;
}

/* The middle of what a reading stands for is so much earlier than the middle of the time it is
 * shown. */
static uint64_t power_shift_ns(const struct jt_timeline *tl, uint64_t window_ns)
{
	return tl->sensor.lag_ns + (window_ns + tl->sensor.update_ns) / 2;
}

static void widen_envelope(struct jt_timeline *tl, double mw, uint64_t dt_ns)
{
	double keep = exp(-(double)dt_ns / ENVELOPE_NS);

	tl->low_mw = JT_MIN(mw, mw - (mw - tl->low_mw) * keep);
	tl->high_mw = JT_MAX(mw, mw + (tl->high_mw - mw) * keep);
}

/* A stretch of @dt_ns at @mw: a straight line goes on where the power did not change. */
void jt__append_power(struct jt_timeline *tl, uint64_t t_ns, uint64_t uj, double seen)
{
	struct jt_knot k;
	uint64_t dt;

	if (t_ns <= jt__last_knot(tl)->t_ns)
		return;
	k = jt__next_knot(tl, t_ns);
	dt = t_ns - jt__last_knot(tl)->t_ns;
	k.e_uj += uj;
	k.covered_ns += (uint64_t)(seen * (double)dt);
	k.derived_ns += dt;
	k.unseen_uj += (uint64_t)((1 - seen) * (double)dt * 1e-6 * (tl->high_mw - tl->low_mw));
	k.low_mw = (uint32_t)tl->low_mw;
	k.high_mw = (uint32_t)tl->high_mw;
	jt__append(tl, &k);
}

/* Integrates the held reading up to the middle of this one; E(t) grows only where no counter does
 * it. */
void jt__add_power(struct jt_timeline *tl, const struct jt_sample *s)
{
	uint32_t mw = s->valid & JT_HAS_POWER ? s->power_mw : s->power_avg_mw;
	uint64_t t = s->begin_ns + (s->end_ns - s->begin_ns) / 2, window = power_window_ns(tl, s);
	uint64_t period = tl->sensor.update_ns, shift = power_shift_ns(tl, window), dt, hold_ns;
	uint64_t from = tl->integral_uj;
	bool gap;

	if (mw > tl->sensor.max_power_mw) {
		tl->stats.n_rejected++;
		return;
	}
	if (!tl->has_power) {
		tl->has_power = true;
		tl->low_mw = tl->high_mw = tl->power_mw = mw;
		tl->power_ns = t;
		return;
	}
	dt = t - tl->power_ns;
	gap = tl->interval_ns && dt > JT_MAX(GAP_INTERVALS * tl->interval_ns, GAP_MIN_NS);
	tl->cross_lost |= gap;
	/* what is held goes on to the middle between the two reads, where a change is as likely
	 * before as after */
	hold_ns = dt / 2;
	if (!gap)
		tl->integral_uj += (uint64_t)(((unsigned __int128)tl->power_mw * hold_ns +
		                               (unsigned __int128)mw * (dt - hold_ns)) /
		                              1000000);
	widen_envelope(tl, mw, dt);
	/* an average over more than a counter step says nothing of its inside */
	if (tl->has_counter && window <= period && tl->power_ns + hold_ns > shift)
		jt__shape_hold(&tl->shape, tl->power_ns + hold_ns - shift, mw);
	if (!tl->has_counter) {
		/* readings further apart than the sensor's period see only their own windows */
		double seen = JT_MIN(1.0, (double)window / (double)JT_MAX(period, dt));

		if (!tl->n)
			jt__begin_at(tl, tl->power_ns > shift ? tl->power_ns - shift : 0, 0);
		jt__last_knot(tl)->edge_ns = (window + JT_MAX(period, dt)) / 2;
		if (gap) {
			tl->stats.n_gaps += !tl->was_lost; /* or it was counted when it began */
			jt__append_uncovered(tl, t - shift);
		} else {
			jt__append_power(tl, t - shift, tl->integral_uj - from, seen);
		}
		jt__last_knot(tl)->edge_ns = (window + JT_MAX(period, dt)) / 2;
	}
	if (!gap)
		tl->interval_ns = tl->interval_ns ? (7 * tl->interval_ns + dt) / 8 : dt;
	tl->power_mw = mw;
	tl->power_ns = t;
}
