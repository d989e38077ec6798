/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far off E(t) may be where it comes from power readings: at an instant, because they blur,
 * and over a stretch of time of which they saw a part.
 */
#include <math.h>
#include "timeline/knots.h"

#define SHORT_NS (JT_NS_PER_S / 2) /* means of a shorter time than this are not compared */

/*
 * By how much the power changes, in W, between the knots within @reach_ns around @k, which lies
 * after knot @i: half of what it is higher or lower in the end, for a step is blurred to both sides
 * alike, and all of what comes and goes.
 */
static double change_w(const struct jt_timeline *tl, size_t i, const struct jt_knot *k,
                       uint64_t reach_ns)
{
	double low = INFINITY, high = 0, first = 0, last = 0, step;

	while (i > 0 && jt__knot(tl, i)->t_ns + reach_ns > k->t_ns)
		i--;
	for (; i + 1 < tl->n && jt__knot(tl, i)->t_ns < k->t_ns + reach_ns; i++) {
		const struct jt_knot *a = jt__knot(tl, i), *b = jt__knot(tl, i + 1);

		if (b->derived_ns == a->derived_ns)
			continue;
		last = (double)(b->e_uj - a->e_uj) * 1e3 / (double)(b->t_ns - a->t_ns);
		if (high < low)
			first = last;
		low = JT_MIN(low, last);
		high = JT_MAX(high, last);
	}
	step = fabs(last - first);
	return high > low ? step / 2 + (high - low - step) : 0;
}

/*
 * What comes and goes within the time that a sensor blurs and leaves no trace, as a square wave
 * does whose period is just that: in W, if power is between @low and @high and @mean is what shows.
 * At most that much can be on one side of an instant inside, too much or too little.
 */
static double hidden_w(double low, double high, double mean)
{
	return mean > low && high > mean ? (mean - low) * (high - mean) / (high - low) : 0;
}

/*
 * The sensor blurs for so long, and by as much as the power changes around here; a pulse that is
 * shorter is as much energy as it shows. Beside that there is what is hidden: readings, being
 * means, have not shown the highest power, which is taken to be half again as far above the lowest.
 */
double jt__blur_edge_uj(const struct jt_timeline *tl, size_t i, const struct jt_knot *k)
{
	const struct jt_knot *a = jt__knot(tl, i), *b = jt__knot(tl, i + 1);
	uint64_t blur_ns = JT_MAX(a->edge_ns, b->edge_ns);
	double low = b->low_mw * 1e-3, high = b->high_mw * 1e-3 + (b->high_mw - b->low_mw) * 0.5e-3;
	double mean = (double)(b->e_uj - a->e_uj) * 1e3 / (double)(b->t_ns - a->t_ns);

	return (double)blur_ns * 1e-3 * (change_w(tl, i, k, blur_ns) + hidden_w(low, high, mean));
}

/*
 * The most that means of @as_long between @begin and @end are off @mean_w, in W: a load that comes
 * and goes is met by the sensor now at one moment of it, now at another.
 */
static double off_mean_w(struct jt_timeline *tl, uint64_t begin, uint64_t end, uint64_t as_long,
                         double mean_w)
{
	double most_w = 0;

	for (uint64_t t = begin; t + as_long <= end; t += as_long / 4) {
		uint64_t uj = jt_timeline_at(tl, t + as_long) - jt_timeline_at(tl, t);

		most_w = JT_MAX(most_w, fabs((double)uj * 1e3 / (double)as_long - mean_w));
	}
	return most_w;
}

/*
 * Where readings see a part of the time and the power is restless: how far off their mean may be.
 * At most what it would be had the power been anywhere when nobody looked, be it that readings show
 * only later how restless it is. But the truth lies between the lowest and the highest mean
 * that as long a time shows around here, or half of the time that there is; what is longer than the
 * surroundings reach has seen it all.
 */
double jt__blur_restless_uj(struct jt_timeline *tl, const struct jt_knot *a,
                            const struct jt_knot *b, const struct jt_knot *later)
{
	uint64_t length = b->t_ns - a->t_ns, end = later->t_ns, as_long = length;
	uint64_t begin =
		JT_MAX(a->t_ns - JT_MIN(JT_BLUR_AROUND_NS, a->t_ns), jt_timeline_start_ns(tl));
	double most_uj = (double)(b->restless_uj - a->restless_uj), mean_w;

	if (end > b->t_ns)
		most_uj = JT_MAX(most_uj, (double)(later->restless_uj - b->restless_uj) /
		                                  (double)(end - b->t_ns) * (double)length);
	if (most_uj < 1 || !length || end - begin < 2 * SHORT_NS)
		return most_uj;
	if (length < 2 * JT_BLUR_AROUND_NS)
		as_long = JT_MAX(JT_MIN(length, (end - begin) / 2), SHORT_NS);
	mean_w = (double)(b->e_uj - a->e_uj) * 1e3 / (double)length;
	return JT_MIN(most_uj, off_mean_w(tl, begin, end, as_long, mean_w) * (double)length * 1e-3);
}
