/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples in, knots of E(t) out.
 *
 * A counter is the truth where there is one. It moves in steps: a change of
 * value means that the sensor updated between two reads (locate.c says when),
 * and that everything up to this update is in the new value. So a knot stands at
 * each update, and E is not known beyond the last one until the next. Within the
 * step the instantaneous power field, where there is one, says where its energy was,
 * as far as it is known when the step ends: readings stand for a time that is half a window and
 * half a period past. Waiting for the rest would bring windows of 0.15 s from 2.0 to 1.7 % mean
 * error (bench/accuracy) and make every request final 62 ms later.
 *
 * Without a counter power readings are integrated. A reading stands for the mean
 * over the sensor's window, shows up one lag later and is held for one update
 * period; so the held readings, integrated and moved back by
 * lag + (window + period) / 2, have no systematic delay. Repeated values are
 * held, never dropped.
 *
 * What can go wrong: the sensor goes away (a gap: a surviving counter still
 * knows the energy, power readings do not), the counter wraps, restarts or lies
 * (a step that no power limit allows: whether it was a lie or a restart the next value
 * tells), a counter stops moving (after a while the time is closed without energy and
 * without coverage, so that nobody waits for ever).
 */
#include <math.h>
#include <string.h>
#include "timeline/knots.h"

#define STALL_PERIODS 20                /* a counter that has not moved for so long is stuck, … */
#define STALL_MIN_NS (2 * JT_NS_PER_S)  /* … but not before this */
#define GAP_INTERVALS 5                 /* readings further apart than this are a gap, … */
#define GAP_MIN_NS JT_NS_PER_S          /* … but not before this */
#define ENVELOPE_NS (10 * JT_NS_PER_S)  /* memory of the power range */
#define CROSS_MIN_NS (10 * JT_NS_PER_S) /* too little to compare before this */
#define CROSS_HALF_NS (60 * JT_NS_PER_S)

int jt_timeline_new(const struct jt_sensor *sensor, size_t max_knots, struct jt_timeline **ret_tl,
                    struct jt_error *err)
{
	struct jt_timeline *tl;

	if (max_knots < 2 || !sensor->update_ns)
		return jt__fail(err, JT_EINVAL, "timeline", "needs two knots and an update period");
	tl = jt__alloc(1, sizeof(*tl));
	if (!tl)
		return jt__fail(err, JT_ENOMEM, "timeline", "out of memory");
	tl->knots = jt__alloc(max_knots, sizeof(*tl->knots));
	if (!tl->knots) {
		jt__free(tl);
		return jt__fail(err, JT_ENOMEM, "timeline", "no memory for %zu knots", max_knots);
	}
	tl->capacity = max_knots;
	tl->sensor = *sensor;
	tl->stats.valid = 1;
	jt__locator_init(&tl->locator, sensor->update_ns);
	*ret_tl = tl;
	return JT_OK;
}

void jt_timeline_free(struct jt_timeline *tl)
{
	if (!tl)
		return;
	jt__free(tl->knots);
	jt__free(tl);
}

static struct jt_knot *last_knot(struct jt_timeline *tl)
{
	return &tl->knots[(tl->first + tl->n - 1) % tl->capacity];
}

static void append(struct jt_timeline *tl, const struct jt_knot *k)
{
	/* E of a shaped knot is only known by the located ones around it: they go together */
	while (tl->n == tl->capacity || (tl->n && jt__knot(tl, 0)->shaped)) {
		tl->first = (tl->first + 1) % tl->capacity;
		tl->n--;
		if (tl->cursor)
			tl->cursor--;
	}
	tl->n++;
	*last_knot(tl) = *k;
}

/*
 * Goes on from the last knot to @t_ns; the caller adds what is known of the stretch, then appends.
 */
static struct jt_knot next_knot(struct jt_timeline *tl, uint64_t t_ns)
{
	struct jt_knot k = *last_knot(tl);

	k.t_ns = t_ns;
	return k;
}

/* Time passed, and nothing is known of it. */
static void append_uncovered(struct jt_timeline *tl, uint64_t t_ns)
{
	struct jt_knot k;

	if (!tl->n || t_ns <= last_knot(tl)->t_ns)
		return;
	k = next_knot(tl, t_ns);
	tl->stats.uncovered_ns += t_ns - last_knot(tl)->t_ns;
	append(tl, &k);
}

/* ---- counter ---- */

/* The most that the domain can have used in @ns, with room for a late read. */
static uint64_t most_uj(const struct jt_timeline *tl, uint64_t ns)
{
	ns += 2 * tl->sensor.update_ns;
	return (uint64_t)((double)ns * tl->sensor.max_power_mw * 1e-6);
}

/* What was used since the last value that was believed, if this one can follow it. */
static bool counter_delta(struct jt_timeline *tl, const struct jt_sample *s, uint64_t *ret_uj)
{
	uint64_t delta = s->energy_uj - tl->counter_uj, wrap = tl->sensor.wrap_uj;
	bool wrapped = s->energy_uj < tl->counter_uj && wrap > tl->counter_uj;

	if (wrapped)
		delta = wrap - tl->counter_uj + s->energy_uj;
	if ((s->energy_uj < tl->counter_uj && !wrapped) ||
	    delta > most_uj(tl, s->end_ns - tl->changed_ns))
		return false;
	tl->stats.n_wraps += wrapped;
	*ret_uj = delta;
	return true;
}

static void cross_check(struct jt_timeline *tl, uint64_t delta_uj, uint64_t t_ns)
{
	double ratio, tolerance = 0.05 + 2e-6 * tl->sensor.gain_ppm;

	if (!tl->has_power || tl->cross_lost) {
		tl->cross_lost = false;
		tl->cross_from_uj = tl->integral_uj;
		return;
	}
	tl->cross_counter_uj += delta_uj;
	tl->cross_power_uj += tl->integral_uj - tl->cross_from_uj;
	tl->cross_from_uj = tl->integral_uj;
	if (!tl->cross_begin_ns)
		tl->cross_begin_ns = t_ns;
	if (t_ns - tl->cross_begin_ns < CROSS_MIN_NS || !tl->cross_power_uj)
		return;
	ratio = (double)tl->cross_counter_uj / (double)tl->cross_power_uj;
	tl->stats.cross_ratio_ppm = (uint32_t)JT_MIN(ratio * 1e6, 4e9);
	tl->stats.valid = fabs(ratio - 1) <= tolerance;
	if (t_ns - tl->cross_begin_ns > CROSS_HALF_NS) {
		tl->cross_counter_uj /= 2;
		tl->cross_power_uj /= 2;
		tl->cross_begin_ns = t_ns - CROSS_HALF_NS / 2;
	}
}

static void begin_at(struct jt_timeline *tl, uint64_t t_ns, uint64_t edge_ns)
{
	append(tl, &(struct jt_knot){
			   .t_ns = t_ns, .edge_ns = edge_ns, .high_mw = tl->sensor.max_power_mw });
}

/* The update that a reading shows is at most one period older than the reading. */
static uint64_t earliest_update_ns(const struct jt_timeline *tl, const struct jt_sample *s)
{
	return s->begin_ns - JT_MIN(jt__locator_longest_ns(&tl->locator), s->begin_ns);
}

/* The update that the first reading showed: where E(t) begins, and how far off that may be. */
static void first_value(struct jt_timeline *tl, const struct jt_sample *s)
{
	uint64_t from = earliest_update_ns(tl, s);

	tl->has_counter = true;
	tl->changed_ns = from;
	tl->located_ns = from + (s->end_ns - from) / 2;
	tl->first_edge_ns = (s->end_ns - from + 1) / 2;
}

/* It was one period before the second, if that came soon enough to be the next. */
static void begin_counter(struct jt_timeline *tl, uint64_t t_ns, uint64_t edge_ns)
{
	uint64_t period = tl->sensor.update_ns, shortest = period - period / 10;

	if (t_ns + edge_ns < tl->changed_ns + period + shortest && t_ns > period &&
	    edge_ns + period / 10 < tl->first_edge_ns) {
		tl->located_ns = t_ns - period;
		tl->first_edge_ns = edge_ns + period / 10;
	}
	begin_at(tl, tl->located_ns, tl->first_edge_ns);
}

/* Knots between the last one and @end, where the power readings show that it changed. */
static void append_shape(struct jt_timeline *tl, const struct jt_knot *end)
{
	const struct jt_knot begin = *last_knot(tl);
	uint64_t from = jt__shape_at(&tl->shape, begin.t_ns);
	uint64_t whole = jt__shape_at(&tl->shape, end->t_ns) - from;

	for (size_t i = 0; i < tl->shape.n && whole; i++) {
		const struct jt_shape_point *p = &tl->shape.points[i];
		struct jt_knot k = *end;

		if (p->t_ns <= begin.t_ns || p->t_ns >= end->t_ns)
			continue;
		k.t_ns = p->t_ns;
		k.e_uj = begin.e_uj + (uint64_t)((unsigned __int128)(end->e_uj - begin.e_uj) *
		                                 (p->uj - from) / whole);
		k.covered_ns = begin.covered_ns +
		               (end->covered_ns > begin.covered_ns ? p->t_ns - begin.t_ns : 0);
		k.shaped = true;
		append(tl, &k);
	}
	jt__shape_forget(&tl->shape, end->t_ns);
}

static uint32_t highest_mw(const struct jt_timeline *tl, const struct jt_sample *s)
{
	uint32_t max_mw = tl->sensor.max_power_mw;

	return s->valid & JT_HAS_LIMIT && s->limit_mw
	               ? JT_MIN(s->limit_mw + s->limit_mw / 4, max_mw)
	               : max_mw;
}

/*
 * Of what was used in @lost_ns, which are closed without it, and the @ns up to @k. Nobody knows how
 * much was used when: between nothing and as much as possible.
 */
static uint64_t late_part_uj(uint64_t uj, uint64_t lost_ns, struct jt_knot *k, uint64_t ns)
{
	uint64_t part = (uint64_t)((unsigned __int128)uj * ns / (lost_ns + ns));
	uint64_t most = (uint64_t)JT_MIN((double)uj, (double)ns * k->high_mw * 1e-6);

	k->unseen_uj += JT_MAX(part, most - JT_MIN(most, part));
	return part;
}

/*
 * The value of @s is believed: @delta_uj were used since the last one. What belongs to time that
 * was closed meanwhile (nobody waits for a counter that stands still) comes late: it goes beside E.
 */
static void believe(struct jt_timeline *tl, const struct jt_sample *s, uint64_t delta_uj,
                    bool covered)
{
	uint64_t after = JT_MAX(tl->counter_begin_ns, earliest_update_ns(tl, s)), last, edge, t;
	struct jt_knot k;

	t = jt__locator_update(&tl->locator, after, s->end_ns, &edge);
	tl->stats.edge_ns = edge;
	tl->stats.period_ns = jt__locator_period_ns(&tl->locator);
	if (!tl->n)
		begin_counter(tl, t, edge);
	last = last_knot(tl)->t_ns;
	t = JT_MAX(t, last + 1);
	k = next_knot(tl, t);
	k.edge_ns = edge;
	k.shaped = false;
	k.low_mw = 0;
	k.high_mw = highest_mw(tl, s);
	if (last > tl->located_ns) {
		uint64_t part_uj =
			late_part_uj(delta_uj, last - tl->located_ns, &k, t - last + edge);

		k.late_uj += delta_uj - part_uj;
		delta_uj = part_uj;
	}
	k.e_uj += delta_uj;
	if (covered)
		k.covered_ns += t - last;
	else
		tl->stats.uncovered_ns += t - last;
	append_shape(tl, &k);
	append(tl, &k);
	tl->located_ns = t;
	tl->changed_ns = tl->counter_begin_ns;
	tl->counter_uj = s->energy_uj;
	tl->counter_begin_ns = s->begin_ns;
	tl->stats.n_updates++;
}

/*
 * The suspect was true, for the counter goes on from there. After a restart, which is from 0, what
 * it showed was used and what it had lost is gone; before the first knot all that is unknown.
 */
static void believe_suspect(struct jt_timeline *tl)
{
	const struct jt_sample *s = &tl->suspect;
	bool restarted = s->energy_uj < tl->counter_uj;
	uint64_t most = most_uj(tl, s->end_ns - tl->changed_ns);

	tl->stats.n_resets += restarted;
	tl->stats.n_rejected += !restarted;
	if (tl->n) {
		believe(tl, s, restarted && s->energy_uj <= most ? s->energy_uj : 0, false);
		/* later time may have been closed while the next value was waited for */
		tl->located_ns = JT_MIN(tl->located_ns, s->end_ns);
	} else {
		first_value(tl, s);
		tl->counter_uj = s->energy_uj;
	}
	tl->counter_begin_ns = tl->suspect_begin_ns;
	tl->has_suspect = false;
	tl->cross_lost = true;
}

/* @s may follow the suspect: it is a little more, and the suspect is not just shown again. */
static bool follows_suspect(const struct jt_timeline *tl, const struct jt_sample *s)
{
	return tl->has_suspect && s->energy_uj > tl->suspect.energy_uj &&
	       s->energy_uj - tl->suspect.energy_uj <=
	               most_uj(tl, s->end_ns - tl->suspect.begin_ns);
}

static void suspect(struct jt_timeline *tl, const struct jt_sample *s)
{
	if (!tl->has_suspect || s->energy_uj != tl->suspect.energy_uj) {
		tl->stats.n_rejected += tl->has_suspect;
		tl->suspect = *s;
		tl->has_suspect = true;
	}
	tl->suspect_begin_ns = s->begin_ns;
}

static void add_counter(struct jt_timeline *tl, const struct jt_sample *s)
{
	uint64_t delta = 0;

	if (!tl->has_counter) {
		first_value(tl, s);
		tl->counter_uj = s->energy_uj;
	} else if (!counter_delta(tl, s, &delta)) {
		if (!follows_suspect(tl, s)) {
			suspect(tl, s);
			return;
		}
		believe_suspect(tl);
		counter_delta(tl, s, &delta);
	}
	tl->stats.n_rejected += tl->has_suspect;
	tl->has_suspect = false;
	if (s->energy_uj != tl->counter_uj) {
		believe(tl, s, delta, true);
		cross_check(tl, delta, tl->located_ns);
	}
	tl->counter_begin_ns = s->begin_ns;
}

/* Nobody waits for ever for a counter that has stopped. */
static void close_if_stalled(struct jt_timeline *tl, uint64_t now_ns)
{
	uint64_t patience = JT_MAX(STALL_PERIODS * tl->sensor.update_ns, STALL_MIN_NS);

	if (tl->n && now_ns > last_knot(tl)->t_ns + patience)
		append_uncovered(tl, now_ns - patience / 2);
}

/* ---- power ---- */

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
static void append_power(struct jt_timeline *tl, uint64_t t_ns, uint64_t uj, double seen)
{
	struct jt_knot k;
	uint64_t dt;

	if (t_ns <= last_knot(tl)->t_ns)
		return;
	k = next_knot(tl, t_ns);
	dt = t_ns - last_knot(tl)->t_ns;
	k.e_uj += uj;
	k.covered_ns += (uint64_t)(seen * (double)dt);
	k.derived_ns += dt;
	k.unseen_uj += (uint64_t)((1 - seen) * (double)dt * 1e-6 * (tl->high_mw - tl->low_mw));
	k.low_mw = (uint32_t)tl->low_mw;
	k.high_mw = (uint32_t)tl->high_mw;
	append(tl, &k);
}

/* Integrates the held reading up to the middle of this one; E(t) grows only where no counter does
 * it. */
static void add_power(struct jt_timeline *tl, const struct jt_sample *s)
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
			begin_at(tl, tl->power_ns > shift ? tl->power_ns - shift : 0, 0);
		last_knot(tl)->edge_ns = (window + JT_MAX(period, dt)) / 2;
		if (gap) {
			tl->stats.n_gaps += !tl->was_lost; /* or it was counted when it began */
			append_uncovered(tl, t - shift);
		} else {
			append_power(tl, t - shift, tl->integral_uj - from, seen);
		}
		last_knot(tl)->edge_ns = (window + JT_MAX(period, dt)) / 2;
	}
	if (!gap)
		tl->interval_ns = tl->interval_ns ? (7 * tl->interval_ns + dt) / 8 : dt;
	tl->power_mw = mw;
	tl->power_ns = t;
}

/* ---- both ---- */

int jt_timeline_add(struct jt_timeline *tl, const struct jt_sample *s)
{
	if (s->end_ns < s->begin_ns || s->begin_ns < tl->last_end_ns) {
		tl->stats.n_rejected++;
		return JT_EINVAL;
	}
	tl->stats.n_samples++;
	if (s->status != JT_OK) {
		tl->stats.n_gaps += !tl->was_lost;
		tl->was_lost = tl->cross_lost = true;
	} else {
		if (s->valid & (JT_HAS_POWER | JT_HAS_POWER_AVG))
			add_power(tl, s);
		if (s->valid & JT_HAS_ENERGY)
			add_counter(tl, s);
		tl->was_lost = false;
		tl->last_end_ns = s->end_ns;
	}
	close_if_stalled(tl, s->end_ns);
	return JT_OK;
}

void jt_timeline_finish(struct jt_timeline *tl)
{
	uint64_t held_to = tl->power_ns;

	/* power readings are known up to the last one's own window; the shift hides that tail */
	if (tl->n && !tl->has_counter && tl->has_power && held_to > last_knot(tl)->t_ns)
		append_power(tl, held_to,
		             (uint64_t)((unsigned __int128)tl->power_mw *
		                        (held_to - last_knot(tl)->t_ns) / 1000000),
		             0);
}

uint64_t jt_timeline_closed_ns(const struct jt_timeline *tl)
{
	return tl->n ? jt__knot(tl, tl->n - 1)->t_ns : 0;
}

uint64_t jt_timeline_start_ns(const struct jt_timeline *tl)
{
	return tl->n ? jt__knot(tl, 0)->t_ns : 0;
}

void jt_timeline_stats(const struct jt_timeline *tl, struct jt_timeline_stats *ret_stats)
{
	*ret_stats = tl->stats;
}
