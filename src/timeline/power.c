/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without a counter power readings are integrated. A reading stands for the mean
 * over the sensor's window, shows up one lag later and is held for one update
 * period; so the held readings, integrated and moved back by
 * lag + (window + period) / 2, have no systematic delay. Repeated values are
 * held, never dropped.
 *
 * A reading that follows the power like a capacitor through a resistor, with the time constant T,
 * is turned back into the power first: from v to v' in the time dt it was, if constant,
 * v + (v' - v) / (1 - exp(-dt/T)).
 *
 * Of the time between two windows nothing is seen. Two things are known of it all the same. Where
 * the reading jumps, at once or with one value between, the power was the one or the other. Where
 * it goes on changing from reading to reading it changes between readings too, and may have been
 * anything in the range around here: a square wave whose period is nearly that of the sensor shows
 * as a slow ramp (docs/measurements/sensor-traces.md).
 */
#include <math.h>
#include "timeline/knots.h"

#define GAP_INTERVALS 5                /* readings further apart than this are a gap, … */
#define GAP_MIN_NS JT_NS_PER_S         /* … but not before this */
#define ENVELOPE_NS (30 * JT_NS_PER_S) /* memory of the power range */
#define UNREST_NS (10 * JT_NS_PER_S)   /* memory of changes that went on */
#define UNREST_STEPS 5 /* a ramp of up to the square of this many steps shows the whole range */
#define NOISE_MW 1000  /* a change below this, … */
#define NOISE_PPM 5000 /* … and this part of the power, is noise */

/* The time that one reading speaks for. */
static uint64_t power_window_ns(const struct jt_timeline *tl, const struct jt_sample *s)
{
	if (!(s->valid & JT_HAS_POWER))
		return tl->sensor.avg_window_ns;
	return tl->sensor.filter_ns ? tl->sensor.update_ns : tl->sensor.window_ns;
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

/* The power changes to @mw, @dt_ns after the last reading. */
static void feel_unrest(struct jt_timeline *tl, uint32_t mw, uint64_t dt_ns)
{
	uint32_t jump = mw > tl->power_mw ? mw - tl->power_mw : tl->power_mw - mw;
	uint32_t noise = NOISE_MW + (uint32_t)((uint64_t)mw * NOISE_PPM / 1000000);
	uint32_t least = JT_MIN(jump, JT_MIN(tl->jumps_mw[0], tl->jumps_mw[1]));

	tl->unrest *= exp(-(double)dt_ns / UNREST_NS);
	if (!jump)
		return;
	if (least > noise)
		tl->unrest += (double)(least - noise) * (least - noise);
	tl->jumps_mw[1] = tl->jumps_mw[0];
	tl->jumps_mw[0] = jump;
}

static double swing_mw(const struct jt_timeline *tl)
{
	return JT_MIN(UNREST_STEPS * sqrt(tl->unrest), tl->high_mw - tl->low_mw);
}

/* The part of @ns between two readings, at least a period, that the latter speaks for. */
static double seen_part(const struct jt_timeline *tl, uint64_t window_ns, uint64_t ns)
{
	double filter = (double)tl->sensor.filter_ns, whole = (double)ns;

	if (filter > 0) /* what is longer ago has faded */
		return filter * (1 - exp(-whole / filter)) / whole;
	return JT_MIN(1.0, (double)window_ns / whole);
}

/* A stretch up to @t_ns, of which the part @seen was seen. */
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
	if (seen > 0)
		k.restless_uj += jt__whole((1 - seen) * (double)dt * 1e-6 * swing_mw(tl));
	else /* a guess: the last reading goes on */
		k.unseen_uj += jt__whole((double)dt * 1e-6 * (tl->high_mw - tl->low_mw));
	k.low_mw = (uint32_t)tl->low_mw;
	k.high_mw = (uint32_t)tl->high_mw;
	jt__append(tl, &k);
}

/*
 * The power behind a filtered reading, @dt_ns after the last one; what it would be below 0 is taken
 * from what comes next. A reading that stands still for a period is the power.
 */
static uint32_t unfilter(struct jt_timeline *tl, uint32_t mw, uint64_t t_ns, uint64_t dt_ns)
{
	double period = (double)JT_MAX(dt_ns, tl->sensor.update_ns), power_mw;

	if (mw == tl->reading_mw)
		return t_ns - tl->power_changed_ns < tl->sensor.update_ns ? tl->power_mw : mw;
	power_mw = tl->reading_mw + ((double)mw - tl->reading_mw) /
	                                    (1 - exp(-period / (double)tl->sensor.filter_ns));
	power_mw += tl->owed_uj * 1e6 / period;
	mw = (uint32_t)JT_MIN(JT_MAX(power_mw, 0), (double)tl->sensor.max_power_mw);
	tl->owed_uj = (power_mw - mw) * period * 1e-6;
	return mw;
}

static void first_power(struct jt_timeline *tl, uint32_t mw, uint64_t t_ns)
{
	tl->has_power = true;
	tl->low_mw = tl->high_mw = tl->power_mw = tl->reading_mw = mw;
	tl->power_ns = tl->power_changed_ns = t_ns;
}

/*
 * What was held goes on to the middle between the two reads, where a change is as likely before as
 * after.
 */
static void integrate(struct jt_timeline *tl, uint32_t mw, uint64_t dt_ns)
{
	uint64_t hold_ns = dt_ns / 2;

	tl->integral_uj += (uint64_t)(((unsigned __int128)tl->power_mw * hold_ns +
	                               (unsigned __int128)mw * (dt_ns - hold_ns)) /
	                              1000000);
}

/* Where no counter does it E(t) grows by what was integrated since @from_uj. */
static void grow(struct jt_timeline *tl, uint32_t mw, uint64_t t_ns, uint64_t window_ns,
                 uint64_t from_uj, bool gap)
{
	uint64_t shift = power_shift_ns(tl, window_ns), dt = t_ns - tl->power_ns;
	uint64_t apart = JT_MAX(tl->sensor.update_ns, dt), blur = (window_ns + apart) / 2;
	double seen = seen_part(tl, window_ns, apart);
	uint32_t jump = mw > tl->power_mw ? mw - tl->power_mw : tl->power_mw - mw;

	if (!tl->n)
		jt__begin_at(tl, tl->power_ns > shift ? tl->power_ns - shift : 0, 0);
	jt__last_knot(tl)->edge_ns = blur;
	if (gap) {
		tl->stats.n_gaps += !tl->was_lost; /* or it was counted when it began */
		jt__append_uncovered(tl, t_ns - shift);
	} else {
		jt__append_power(tl, t_ns - shift, tl->integral_uj - from_uj, seen);
		/* nobody saw when it jumped */
		jt__last_knot(tl)->unseen_uj +=
			jt__whole((1 - seen) / 2 * (double)apart * 1e-6 * jump);
	}
	jt__last_knot(tl)->edge_ns = blur;
}

void jt__add_power(struct jt_timeline *tl, const struct jt_sample *s)
{
	uint32_t reading = s->valid & JT_HAS_POWER ? s->power_mw : s->power_avg_mw, mw = reading;
	uint64_t t = s->begin_ns + (s->end_ns - s->begin_ns) / 2, window = power_window_ns(tl, s);
	uint64_t dt, from_uj = tl->integral_uj;
	bool gap;

	if (reading > tl->sensor.max_power_mw) {
		tl->stats.n_rejected++;
		return;
	}
	if (s->valid & JT_HAS_POWER)
		jt__shape_read(&tl->shape, s->begin_ns, s->end_ns, reading);
	if (!tl->has_power) {
		first_power(tl, reading, t);
		return;
	}
	dt = t - tl->power_ns;
	gap = tl->interval_ns && dt > JT_MAX(GAP_INTERVALS * tl->interval_ns, GAP_MIN_NS);
	tl->cross_lost |= gap;
	if (tl->sensor.filter_ns && s->valid & JT_HAS_POWER && !gap)
		mw = unfilter(tl, reading, t, dt);
	if (!gap)
		integrate(tl, mw, dt);
	widen_envelope(tl, mw, dt);
	feel_unrest(tl, mw, dt);
	if (!tl->has_counter)
		grow(tl, mw, t, window, from_uj, gap);
	if (!gap)
		tl->interval_ns = tl->interval_ns ? (7 * tl->interval_ns + dt) / 8 : dt;
	if (reading != tl->reading_mw)
		tl->power_changed_ns = t;
	tl->reading_mw = reading;
	tl->power_mw = mw;
	tl->power_ns = t;
}
