/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_GRID_H
#define JT_GRID_H
/*
 * Measured points and what lies between them. A curve is a function of one whole number, a surface
 * of two: rows at some x, each with its own points over y. All are linear between points; before
 * the first point its value holds, beyond the last one the line through the last two goes on. Built
 * once, then only looked at: any thread.
 */
#include "base/base.h"

#define JT_GRID_MAX_KEY 1000000000u
#define JT_GRID_MAX_POINTS 8000000u

struct jt_point {
	uint32_t surface[2]; /* which surface, as two numbers: the higher one first */
	uint32_t x, y;
	double value;
};

struct jt_points { /* zero-initialise */
	struct jt_point *points;
	uint32_t n, capacity;
};

struct jt_curve {
	const uint32_t *keys; /* rising */
	const double *values;
	uint32_t n; /* at least 1 */
};

struct jt_surface {
	uint32_t name[2];
	const uint32_t *keys;          /* the x of each row, rising */
	const struct jt_curve *curves; /* the rows: values over y */
	uint32_t n;                    /* at least 1 */
};

struct jt_grid {                     /* zero-initialise */
	struct jt_surface *surfaces; /* by name */
	uint32_t n;
	struct jt_curve *curves; /* of all surfaces */
	uint32_t *xs, *ys;
	double *values;
};

int jt__points_add(struct jt_points *p, const struct jt_point *point); /* JT_ENOMEM, JT_ELIMIT */
void jt__points_fini(struct jt_points *p);

/* Sorts @p's points; of several with the same place the one that was added first stays. JT_ENOMEM.
 */
int jt__grid_build(struct jt_grid *g, struct jt_points *p);
void jt__grid_fini(struct jt_grid *g);

/* NULL: no such surface. */
const struct jt_surface *jt__grid_find(const struct jt_grid *g, uint32_t name0, uint32_t name1);

/* The two keys that @x lies between or beyond; one and the same at a key, and before the first. */
struct jt_bracket {
	uint32_t low, high;
};
struct jt_bracket jt__bracket(const uint32_t *keys, uint32_t n, uint64_t x);

/* At @x on the line through (x0, v0) and (x1, v1), rounded as the reference simulator rounds. */
static inline double jt__on_line(double x, double x0, double v0, double x1, double v1)
{
	return v0 + (v1 - v0) * (x - x0) / (x1 - x0);
}

double jt__curve_at(const struct jt_curve *c, uint64_t x);
double jt__surface_at(const struct jt_surface *s, uint64_t x, uint64_t y);

#endif
