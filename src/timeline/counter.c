/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counter is the truth where there is one. It moves in steps: a change of value means that the
 * sensor updated between two reads (locate.c says when), and that everything up to this update is
 * in the new value. So a knot stands at each update, and E is not known beyond the last one until
 * the next. Where within the step its energy was, shape.c finds out from what the domain was doing
 * and from the instantaneous power field, as far as both are known when the step ends: the readings
 * that stand for its last part come later, and nobody waits for them.
 *
 * A counter may wrap, restart or lie (a step that no power limit allows: whether it was a lie or a
 * restart the next value tells), or stop moving (after a while the time is closed without energy
 * and without coverage, so that nobody waits for ever).
 */
#include <math.h>
#include "timeline/knots.h"

#define STALL_PERIODS 20               /* a counter that has not moved for so long is stuck, … */
#define STALL_MIN_NS (2 * JT_NS_PER_S) /* … but not before this */
#define SCATTER_SDS 2.5
#define FLUCTUATION 0.03 /* of the power: what engine steps do to it */
#define LOOKED_INTO 0.15 /* of a step's time: less is nothing, … */
#define HIDDEN 0.4       /* … and what comes and goes as often as the counter moves is not seen */
#define CHANGE_MS 8.0    /* how far off a change of activity may be */
#define CROSS_MIN_NS (10 * JT_NS_PER_S) /* too little to compare before this */
#define CROSS_HALF_NS (60 * JT_NS_PER_S)

/* The most that the domain can have used in @ns, with room for a late read. */
static uint64_t most_uj(const struct jt_timeline *tl, uint64_t ns)
{
	ns += 2 * tl->sensor.update_ns;
	return jt__whole((double)ns * tl->sensor.max_power_mw * 1e-6);
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
	jt__begin_at(tl, tl->located_ns, tl->first_edge_ns);
}

/*
 * What may belong to a piece or to its neighbours: its scatter, what fluctuates faster than anybody
 * sees (a square wave of the counter's period, if no reading looks into the steps), and the
 * difference to its neighbours for as long as the change between them may be off. Without an
 * explanation anything that is possible.
 */
static double loose_uj(const struct jt_shape *s, size_t i, uint32_t high_mw)
{
	const struct jt_piece *p = &s->pieces[i];
	double length_ms = (double)(p->end_ns - p->begin_ns) * 1e-6, steps_mw = 0;
	double fluctuation = s->looked_into < LOOKED_INTO ? HIDDEN : FLUCTUATION;

	if (!s->noted || s->surprised)
		return length_ms * high_mw * 2;
	if (i > 0)
		steps_mw += fabs(p->power_mw - p[-1].power_mw);
	if (i + 1 < s->n)
		steps_mw += fabs(p->power_mw - p[1].power_mw);
	return length_ms * (SCATTER_SDS * p->sd_mw + fluctuation * p->power_mw) +
	       steps_mw * CHANGE_MS;
}

/* Knots from the last one to @end: where in the step its energy was. */
static void append_step(struct jt_timeline *tl, struct jt_knot *end)
{
	const struct jt_knot begin = *jt__last_knot(tl);
	const struct jt_shape *s = &tl->shape;
	double uj = 0, loose = 0;

	jt__shape_step(&tl->shape, begin.t_ns, end->t_ns, end->e_uj - begin.e_uj);
	for (size_t i = 0; i < s->n; i++) {
		const struct jt_piece *p = &s->pieces[i];
		struct jt_knot k = jt__knot_between(&begin, end, p->end_ns);

		uj += p->power_mw * (double)(p->end_ns - p->begin_ns) * 1e-6;
		loose += loose_uj(s, i, end->high_mw);
		k.e_uj = JT_MIN(begin.e_uj + jt__whole(uj), end->e_uj);
		k.loose_uj = begin.loose_uj + jt__whole(loose);
		k.shaped = true;
		if (i + 1 < s->n)
			jt__append(tl, &k);
	}
	end->loose_uj = begin.loose_uj + jt__whole(loose);
	jt__append(tl, end);
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
	uint64_t most = jt__whole(JT_MIN((double)uj, (double)ns * k->high_mw * 1e-6));

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
	last = jt__last_knot(tl)->t_ns;
	t = JT_MAX(t, last + 1);
	k = jt__next_knot(tl, t);
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
	append_step(tl, &k);
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

/* Where nobody knows which update it was, the next reading brings both. Once: it may know no more.
 */
static bool wait_for_the_next(struct jt_timeline *tl, const struct jt_sample *s)
{
	uint64_t after = JT_MAX(tl->counter_begin_ns, earliest_update_ns(tl, s));

	tl->doubted = !tl->doubted && jt__locator_doubts(&tl->locator, after, s->end_ns);
	return tl->doubted;
}

void jt__add_counter(struct jt_timeline *tl, const struct jt_sample *s)
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
		if (wait_for_the_next(tl, s))
			return;
		believe(tl, s, delta, true);
		cross_check(tl, delta, tl->located_ns);
	}
	tl->counter_begin_ns = s->begin_ns;
}

/* Nobody waits for ever for a counter that has stopped. */
void jt__close_if_stalled(struct jt_timeline *tl, uint64_t now_ns)
{
	uint64_t patience = JT_MAX(STALL_PERIODS * tl->sensor.update_ns, STALL_MIN_NS);

	if (tl->n && now_ns > jt__last_knot(tl)->t_ns + patience)
		jt__append_uncovered(tl, now_ns - patience / 2);
}
