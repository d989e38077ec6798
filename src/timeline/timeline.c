/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples in, knots of E(t) out: counter.c makes them where there is a counter, power.c where there
 * are only power readings. The sensor may go away: a surviving counter still knows the energy of
 * the gap, power readings do not.
 */
#include "timeline/knots.h"

#define FIRST_KNOTS 64

int jt_timeline_new(const struct jt_sensor *sensor, size_t max_knots, struct jt_timeline **ret_tl,
                    struct jt_error *err)
{
	struct jt_timeline *tl;

	if (max_knots < 2 || !sensor->update_ns)
		return jt__fail(err, JT_EINVAL, "timeline", "needs two knots and an update period");
	tl = jt__alloc(1, sizeof(*tl));
	if (!tl)
		return jt__fail(err, JT_ENOMEM, "timeline", "out of memory");
	tl->max_knots = max_knots;
	tl->capacity = JT_MIN(max_knots, FIRST_KNOTS);
	tl->knots = jt__alloc(tl->capacity, sizeof(*tl->knots));
	if (!tl->knots) {
		jt__free(tl);
		return jt__fail(err, JT_ENOMEM, "timeline", "out of memory");
	}
	tl->sensor = *sensor;
	tl->stats.valid = 1;
	jt__locator_init(&tl->locator, sensor->update_ns);
	jt__shape_init(&tl->shape, sensor);
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

struct jt_knot *jt__last_knot(struct jt_timeline *tl)
{
	return &tl->knots[(tl->first + tl->n - 1) % tl->capacity];
}

/* As long as there is memory; else the oldest go earlier. */
static void grow(struct jt_timeline *tl)
{
	size_t capacity = JT_MIN(2 * tl->capacity, tl->max_knots);
	struct jt_knot *knots;

	if (tl->n < tl->capacity || tl->first || capacity == tl->capacity)
		return;
	knots = jt__realloc(tl->knots, capacity, sizeof(*knots));
	if (!knots)
		return;
	tl->knots = knots;
	tl->capacity = capacity;
}

void jt__append(struct jt_timeline *tl, const struct jt_knot *k)
{
	grow(tl);
	/* E of a shaped knot is only known by the located ones around it: they go together */
	while (tl->n == tl->capacity || (tl->n && jt__knot(tl, 0)->shaped)) {
		tl->first = (tl->first + 1) % tl->capacity;
		tl->n--;
		if (tl->cursor)
			tl->cursor--;
	}
	tl->n++;
	*jt__last_knot(tl) = *k;
}

struct jt_knot jt__next_knot(struct jt_timeline *tl, uint64_t t_ns)
{
	struct jt_knot k = *jt__last_knot(tl);

	k.t_ns = t_ns;
	return k;
}

void jt__append_uncovered(struct jt_timeline *tl, uint64_t t_ns)
{
	struct jt_knot k;

	if (!tl->n || t_ns <= jt__last_knot(tl)->t_ns)
		return;
	k = jt__next_knot(tl, t_ns);
	tl->stats.uncovered_ns += t_ns - jt__last_knot(tl)->t_ns;
	jt__append(tl, &k);
}

void jt__begin_at(struct jt_timeline *tl, uint64_t t_ns, uint64_t edge_ns)
{
	jt__append(tl, &(struct jt_knot){ .t_ns = t_ns,
	                                  .edge_ns = edge_ns,
	                                  .high_mw = tl->sensor.max_power_mw });
}

void jt_timeline_note(struct jt_timeline *tl, const struct jt_activity *change)
{
	jt__shape_note(&tl->shape, change);
}

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
			jt__add_power(tl, s);
		if (s->valid & JT_HAS_ENERGY)
			jt__add_counter(tl, s);
		tl->was_lost = false;
		tl->last_end_ns = s->end_ns;
	}
	jt__close_if_stalled(tl, s->end_ns);
	return JT_OK;
}

void jt_timeline_finish(struct jt_timeline *tl)
{
	uint64_t held_to = tl->power_ns;

	/* power readings are known up to the last one's own window; the shift hides that tail */
	if (tl->n && !tl->has_counter && tl->has_power && held_to > jt__last_knot(tl)->t_ns)
		jt__append_power(tl, held_to,
		                 (uint64_t)((unsigned __int128)tl->power_mw *
		                            (held_to - jt__last_knot(tl)->t_ns) / 1000000),
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
