/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to E(t). The bound of a window has four parts:
 *
 *   gain     the sensor's tolerances: proportional to the energy, edges included, and to the time
 *   edges    at each end of the window: of the inside of a counter step only the
 *            total is known, so that with power between 0 and p_max the energy used by then
 *            lies between total - p_max·(time to its end) and p_max·(time from its
 *            beginning), whatever shape was assumed; and the step's own ends are located only
 *            so well: p_max for that time
 *   unseen   of power readings that see part of the time, for the rest (power.c, blur.c); at the
 *            edges, for as long as they blur
 *   step     of the counter, at each end
 */
#include <string.h>
#include "timeline/knots.h"
#include "timeline/probe.h"

/* The segment [i, i + 1] that holds @t_ns; n >= 2 and t within the knots. */
static size_t find_segment(struct jt_timeline *tl, uint64_t t_ns)
{
	size_t lo = 0, hi = tl->n - 1, i = tl->cursor;

	/* most questions come in rising order: here or next door */
	for (int tries = 0; tries < 3 && i + 1 < tl->n; tries++, i++) {
		if (jt__knot(tl, i)->t_ns <= t_ns && t_ns <= jt__knot(tl, i + 1)->t_ns)
			return tl->cursor = i;
	}
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (jt__knot(tl, mid)->t_ns <= t_ns)
			lo = mid;
		else
			hi = mid;
	}
	return tl->cursor = lo;
}

static uint64_t between(uint64_t a, uint64_t b, uint64_t part, uint64_t whole)
{
	if (b == a || b - a == whole)
		return b == a ? a : a + part;
	return a + (uint64_t)((unsigned __int128)(b - a) * part / whole);
}

/* The knots before and after @t_ns, or at it; false outside of what is known. */
static bool find_knots(struct jt_timeline *tl, uint64_t t_ns, const struct jt_knot **ret_a,
                       const struct jt_knot **ret_b)
{
	size_t i;

	if (tl->n < 2 || t_ns < jt__knot(tl, 0)->t_ns || t_ns > jt__knot(tl, tl->n - 1)->t_ns)
		return false;
	i = find_segment(tl, t_ns);
	*ret_a = jt__knot(tl, i);
	*ret_b = jt__knot(tl, i + 1);
	return true;
}

struct jt_knot jt__knot_between(const struct jt_knot *a, const struct jt_knot *b, uint64_t t_ns)
{
	uint64_t part = t_ns - a->t_ns, whole = b->t_ns - a->t_ns;

	return (struct jt_knot){
		.t_ns = t_ns,
		.e_uj = between(a->e_uj, b->e_uj, part, whole),
		.covered_ns = between(a->covered_ns, b->covered_ns, part, whole),
		.derived_ns = between(a->derived_ns, b->derived_ns, part, whole),
		.unseen_uj = between(a->unseen_uj, b->unseen_uj, part, whole),
		.restless_uj = between(a->restless_uj, b->restless_uj, part, whole),
		.loose_uj = between(a->loose_uj, b->loose_uj, part, whole),
		.late_uj = between(a->late_uj, b->late_uj, part, whole),
	};
}

/* The same anywhere: E does not move outside of what is known. */
static struct jt_knot at(struct jt_timeline *tl, uint64_t t_ns)
{
	const struct jt_knot *a, *b;

	if (find_knots(tl, t_ns, &a, &b))
		return jt__knot_between(a, b, t_ns);
	if (!tl->n)
		return (struct jt_knot){ 0 };
	return *jt__knot(tl, t_ns <= jt__knot(tl, 0)->t_ns ? 0 : tl->n - 1);
}

uint64_t jt_timeline_at(struct jt_timeline *tl, uint64_t t_ns)
{
	return at(tl, t_ns).e_uj;
}

/* How far E at @k may be off because only the located knots around it, @a and @b, are known. */
static double edge_between(const struct jt_knot *a, const struct jt_knot *b,
                           const struct jt_knot *k)
{
	double located_ns = (double)JT_MAX(a->edge_ns, b->edge_ns), high_w = b->high_mw * 1e-6;
	double step_ns = (double)(b->t_ns - a->t_ns), whole, so_far, most, least, worst, loose;

	whole = (double)(b->e_uj - a->e_uj);
	so_far = (double)(k->e_uj - a->e_uj);
	most = JT_MIN((double)(k->t_ns - a->t_ns) * high_w, whole);
	least = whole - JT_MIN((double)(b->t_ns - k->t_ns) * high_w, whole);
	worst = JT_MAX(JT_MAX(most - so_far, so_far - least), 0);
	loose = (double)JT_MIN(k->loose_uj - a->loose_uj, b->loose_uj - k->loose_uj);
	if ((double)(b->loose_uj - a->loose_uj) < step_ns * high_w) /* explained */
		high_w = JT_MIN(high_w, 2 * whole / step_ns);
	return JT_MIN(worst, loose) + located_ns * high_w;
}

/* The same, given the segment that find_knots() has found last. */
static double edge_in(const struct jt_timeline *tl, const struct jt_knot *k)
{
	size_t a = tl->cursor, b = tl->cursor + 1;

	if (jt__knot(tl, b)->derived_ns > jt__knot(tl, a)->derived_ns)
		return jt__blur_edge_uj(tl, a, k);
	while (a > 0 && jt__knot(tl, a)->shaped)
		a--;
	while (b + 1 < tl->n && jt__knot(tl, b)->shaped)
		b++;
	return edge_between(jt__knot(tl, a), jt__knot(tl, b), k);
}

static double edge_uj(struct jt_timeline *tl, uint64_t t_ns)
{
	const struct jt_knot *a, *b;
	struct jt_knot k;

	if (!find_knots(tl, t_ns, &a, &b))
		return 0;
	k = jt__knot_between(a, b, t_ns);
	return edge_in(tl, &k);
}

void jt__timeline_probe(struct jt_timeline *tl, uint64_t t_ns, struct jt_probe *ret_probe)
{
	const struct jt_knot *a, *b;
	bool inside = find_knots(tl, t_ns, &a, &b);
	struct jt_knot k = inside ? jt__knot_between(a, b, t_ns) : at(tl, t_ns);

	*ret_probe = (struct jt_probe){ .e_uj = k.e_uj,
		                        .covered_ns = k.covered_ns,
		                        .derived_ns = k.derived_ns,
		                        .unseen_uj = k.unseen_uj,
		                        .late_uj = k.late_uj,
		                        .edge_uj = inside ? edge_in(tl, &k) : 0 };
}

uint64_t jt__timeline_next_ns(struct jt_timeline *tl, uint64_t t_ns)
{
	size_t i;

	if (tl->n < 2 || t_ns >= jt_timeline_closed_ns(tl))
		return UINT64_MAX;
	if (t_ns < jt_timeline_start_ns(tl))
		return jt_timeline_start_ns(tl);
	i = find_segment(tl, t_ns);
	while (jt__knot(tl, i + 1)->t_ns <= t_ns)
		i++;
	return jt__knot(tl, i + 1)->t_ns;
}

const struct jt_sensor *jt__timeline_sensor(const struct jt_timeline *tl)
{
	return &tl->sensor;
}

int jt_timeline_window(struct jt_timeline *tl, uint64_t begin_ns, uint64_t end_ns,
                       struct jt_interval *ret_interval)
{
	uint64_t start = jt_timeline_start_ns(tl), closed = jt_timeline_closed_ns(tl);
	uint64_t from = JT_MAX(begin_ns, start), to = JT_MIN(end_ns, closed);
	struct jt_knot a, b;
	double bound;

	if (end_ns < begin_ns)
		return JT_EINVAL;
	if (!tl->n || from > to)
		return JT_ERANGE;
	a = at(tl, from);
	b = at(tl, to);
	memset(ret_interval, 0, sizeof(*ret_interval));
	ret_interval->begin_ns = begin_ns;
	ret_interval->end_ns = end_ns;
	ret_interval->energy_uj = b.e_uj - a.e_uj;
	ret_interval->provenance = b.derived_ns > a.derived_ns
	                                   ? JT_MAX(tl->sensor.provenance, JT_DERIVED)
	                                   : tl->sensor.provenance;
	if (end_ns > begin_ns)
		ret_interval->coverage_ppm = (uint32_t)((b.covered_ns - a.covered_ns) * 1000000.0 /
		                                        (double)(end_ns - begin_ns));
	bound = edge_uj(tl, from) + edge_uj(tl, to);
	bound += ((double)ret_interval->energy_uj + bound) * tl->sensor.gain_ppm * 1e-6;
	bound += (double)(to - from) * 1e-6 * tl->sensor.offset_mw;
	if (b.derived_ns > a.derived_ns) {
		struct jt_knot later = at(tl, JT_MIN(to + JT_BLUR_AROUND_NS, closed));

		bound += jt__blur_restless_uj(tl, &a, &b, &later);
	}
	bound += (double)(b.unseen_uj - a.unseen_uj) + 2.0 * tl->sensor.step_uj;
	ret_interval->bound_uj = jt__whole(bound + 0.5);
	return JT_OK;
}
