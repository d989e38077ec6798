/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "timeline/shape.h"

#define BEGINNING_UJ                                                                               \
	(UINT64_C(1) << 50) /* so that what was before the first point is not negative */

static uint64_t energy_uj(uint32_t power_mw, uint64_t ns)
{
	return (uint64_t)((unsigned __int128)power_mw * ns / 1000000);
}

static void drop(struct jt_shape *s, size_t n)
{
	s->n -= n;
	memmove(s->points, s->points + n, s->n * sizeof(s->points[0]));
}

void jt__shape_hold(struct jt_shape *s, uint64_t t_ns, uint32_t power_mw)
{
	struct jt_shape_point p = { .t_ns = t_ns, .uj = BEGINNING_UJ, .power_mw = power_mw };

	if (s->n) {
		const struct jt_shape_point *last = &s->points[s->n - 1];

		if (last->power_mw == power_mw || t_ns <= last->t_ns)
			return;
		p.uj = last->uj + energy_uj(last->power_mw, t_ns - last->t_ns);
	}
	if (s->n == JT_SHAPE_POINTS)
		drop(s, 1);
	s->points[s->n++] = p;
}

uint64_t jt__shape_at(const struct jt_shape *s, uint64_t t_ns)
{
	size_t i = s->n;

	if (!s->n)
		return 0;
	while (i > 1 && s->points[i - 1].t_ns > t_ns)
		i--;
	if (t_ns < s->points[i - 1].t_ns)
		return s->points[0].uj - energy_uj(s->points[0].power_mw, s->points[0].t_ns - t_ns);
	return s->points[i - 1].uj +
	       energy_uj(s->points[i - 1].power_mw, t_ns - s->points[i - 1].t_ns);
}

void jt__shape_forget(struct jt_shape *s, uint64_t t_ns)
{
	size_t n = 0;

	while (n + 1 < s->n && s->points[n + 1].t_ns <= t_ns)
		n++;
	drop(s, n);
}
