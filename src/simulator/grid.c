/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "simulator/grid.h"

int jt__points_add(struct jt_points *p, const struct jt_point *point)
{
	if (p->n == p->capacity) {
		uint32_t capacity = p->capacity ? 2 * p->capacity : 4096;
		struct jt_point *points;

		if (p->n == JT_GRID_MAX_POINTS)
			return JT_ELIMIT;
		points = jt__realloc(p->points, capacity, sizeof(*points));
		if (!points)
			return JT_ENOMEM;
		p->points = points;
		p->capacity = capacity;
	}
	p->points[p->n++] = *point;
	return JT_OK;
}

void jt__points_fini(struct jt_points *p)
{
	jt__free(p->points);
	*p = (struct jt_points){ 0 };
}

static uint64_t surface_of(const struct jt_point *p)
{
	return (uint64_t)p->surface[0] << 32 | p->surface[1];
}

static uint64_t place_of(const struct jt_point *p)
{
	return (uint64_t)p->x << 32 | p->y;
}

static bool comes_after(const struct jt_point *a, const struct jt_point *b)
{
	uint64_t of_a = surface_of(a), of_b = surface_of(b);

	return of_a > of_b || (of_a == of_b && place_of(a) > place_of(b));
}

/*
 * Merge sort: equal places stay in order, and tables come in long runs that are sorted already, or
 * nearly; so this is twice as fast as qsort() on them. @room: for half of them.
 */
static void sort(struct jt_point *p, uint32_t n, struct jt_point *room)
{
	uint32_t half = n / 2, i = 0, j = half, k = 0;

	if (n < 2)
		return;
	sort(p, half, room);
	sort(p + half, n - half, room);
	if (!comes_after(&p[half - 1], &p[half]))
		return;
	memcpy(room, p, half * sizeof(*p));
	while (i < half && j < n)
		p[k++] = comes_after(&room[i], &p[j]) ? p[j++] : room[i++];
	memcpy(&p[k], &room[i], (half - i) * sizeof(*p));
}

/* How many of a kind there are. */
struct counts {
	uint32_t n_surfaces, n_curves;
};

static struct counts count(struct jt_points *points)
{
	struct jt_point *p = points->points;
	struct counts c = { 1, 1 };
	uint32_t n = 1;

	for (uint32_t i = 1; i < points->n; i++) {
		const struct jt_point *last = &p[n - 1];
		bool same_surface = surface_of(&p[i]) == surface_of(last);

		if (same_surface && place_of(&p[i]) == place_of(last))
			continue;
		c.n_surfaces += !same_surface;
		c.n_curves += !same_surface || p[i].x != last->x;
		p[n++] = p[i];
	}
	points->n = n;
	return c;
}

static void fill(struct jt_grid *g, const struct jt_points *points)
{
	struct jt_surface *surface = NULL;
	struct jt_curve *curve = g->curves;

	for (uint32_t i = 0; i < points->n; i++) {
		const struct jt_point *p = &points->points[i];
		bool begins = i == 0 || surface_of(p) != surface_of(p - 1);

		g->ys[i] = p->y;
		g->values[i] = p->value;
		if (i > 0 && (begins || p->x != p[-1].x))
			curve++;
		if (begins) {
			surface = &g->surfaces[g->n++];
			memcpy(surface->name, p->surface, sizeof(surface->name));
			surface->keys = &g->xs[curve - g->curves];
			surface->curves = curve;
		}
		if (curve->n++ == 0) {
			g->xs[curve - g->curves] = p->x;
			curve->keys = &g->ys[i];
			curve->values = &g->values[i];
			surface->n++;
		}
	}
}

int jt__grid_build(struct jt_grid *g, struct jt_points *points)
{
	struct jt_point *room;
	struct counts c;

	if (points->n == 0)
		return JT_OK;
	room = jt__alloc(points->n / 2 + 1, sizeof(*room));
	if (!room)
		return JT_ENOMEM;
	sort(points->points, points->n, room);
	jt__free(room);
	c = count(points);
	g->surfaces = jt__alloc(c.n_surfaces, sizeof(*g->surfaces));
	g->curves = jt__alloc(c.n_curves, sizeof(*g->curves));
	g->xs = jt__alloc(c.n_curves, sizeof(*g->xs));
	g->ys = jt__alloc(points->n, sizeof(*g->ys));
	g->values = jt__alloc(points->n, sizeof(*g->values));
	if (!g->surfaces || !g->curves || !g->xs || !g->ys || !g->values) {
		jt__grid_fini(g);
		return JT_ENOMEM;
	}
	fill(g, points);
	return JT_OK;
}

void jt__grid_fini(struct jt_grid *g)
{
	jt__free(g->surfaces);
	jt__free(g->curves);
	jt__free(g->xs);
	jt__free(g->ys);
	jt__free(g->values);
	*g = (struct jt_grid){ 0 };
}

const struct jt_surface *jt__grid_find(const struct jt_grid *g, uint32_t name0, uint32_t name1)
{
	uint64_t name = (uint64_t)name0 << 32 | name1;
	uint32_t low = 0, high = g->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;
		const struct jt_surface *s = &g->surfaces[middle];
		uint64_t here = (uint64_t)s->name[0] << 32 | s->name[1];

		if (here == name)
			return s;
		if (here < name)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct jt_bracket jt__bracket(const uint32_t *keys, uint32_t n, uint64_t x)
{
	uint32_t low = 0, left = n;

	if (x <= keys[0])
		return (struct jt_bracket){ 0, 0 };
	while (left > 1) { /* keys[low] <= x; without a branch that depends on x */
		uint32_t half = left / 2;

		low += keys[low + half] <= x ? half : 0;
		left -= half;
	}
	if (keys[low] == x || n == 1)
		return (struct jt_bracket){ low, low };
	return low + 1 < n ? (struct jt_bracket){ low, low + 1 }
	                   : (struct jt_bracket){ low - 1, low };
}

double jt__curve_at(const struct jt_curve *c, uint64_t x)
{
	struct jt_bracket b = jt__bracket(c->keys, c->n, x);

	if (b.low == b.high)
		return c->values[b.low];
	return jt__on_line((double)x, c->keys[b.low], c->values[b.low], c->keys[b.high],
	                   c->values[b.high]);
}

double jt__surface_at(const struct jt_surface *s, uint64_t x, uint64_t y)
{
	struct jt_bracket b = jt__bracket(s->keys, s->n, x);
	double low = jt__curve_at(&s->curves[b.low], y);

	if (b.low == b.high)
		return low;
	return jt__on_line((double)x, s->keys[b.low], low, s->keys[b.high],
	                   jt__curve_at(&s->curves[b.high], y));
}
