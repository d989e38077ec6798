/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "trainer/intervals.h"
#include "trainer/metrics.h"

#define LEAST_ROWS 50 /* of a group of its own */

static bool matches(const struct jt_fit_group *g, const struct jt_residual *r)
{
	return (g->mixture < 0 || g->mixture == (int)r->mixture) &&
	       (isnan(g->min_distance) || r->distance >= g->min_distance);
}

/* Sizes of the residuals that no earlier group takes, from the group at @first on, and @g does. */
static size_t gather(const struct jt_residual *r, size_t n, uint32_t without,
                     const struct jt_fit_notes *notes, size_t first, const struct jt_fit_group *g,
                     double *ret_sizes)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++) {
		bool taken = r[i].fold == without || isnan(r[i].size) || !matches(g, &r[i]);

		for (size_t j = first; j < notes->n_groups && !taken; j++)
			taken = matches(&notes->groups[j], &r[i]);
		if (!taken)
			ret_sizes[m++] = r[i].size;
	}
	return m;
}

static double middle_distance(const struct jt_residual *r, size_t n, uint32_t without, int mixture,
                              double *room)
{
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (r[i].fold != without && r[i].mixture == mixture && !isnan(r[i].distance))
			room[m++] = r[i].distance;
	return jt__median(room, m);
}

static void add_group(const struct jt_residual *r, size_t n, uint32_t without, size_t first,
                      struct jt_fit_group g, size_t least, struct jt_fit_notes *notes, double *room)
{
	size_t m = gather(r, n, without, notes, first, &g, room);

	if (m < least || notes->n_groups == JT_FIT_MAX_GROUPS)
		return;
	g.rows = (uint32_t)m;
	g.half_width = jt__conformal_quantile(room, m, JT_INTERVAL_COVERAGE);
	notes->groups[notes->n_groups++] = g;
}

int jt__intervals_add(const struct jt_residual *r, size_t n, uint32_t without, int known_model,
                      int known_gpu, uint32_t factor_rows, struct jt_fit_notes *notes,
                      struct jt_error *err)
{
	struct jt_fit_group g = { .known_model = known_model,
		                  .known_gpu = known_gpu,
		                  .factor_rows = factor_rows };
	double *room = jt__alloc(n, sizeof(*room));
	size_t first = notes->n_groups, m;

	if (!room)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	for (g.mixture = 0; g.mixture <= 1; g.mixture++) {
		g.min_distance = middle_distance(r, n, without, g.mixture, room);
		if (!isnan(g.min_distance))
			add_group(r, n, without, first, g, LEAST_ROWS, notes, room);
		g.min_distance = NAN;
		add_group(r, n, without, first, g, LEAST_ROWS, notes, room);
	}
	g.mixture = -1;
	m = gather(r, n, without, notes, notes->n_groups, &g, room);
	/* Few rows say less of what was taught than many of what was not. */
	if (m >= (factor_rows ? LEAST_ROWS : 1) && notes->n_groups < JT_FIT_MAX_GROUPS) {
		g.rows = (uint32_t)m;
		g.half_width = jt__conformal_quantile(room, m, JT_INTERVAL_COVERAGE);
		notes->groups[notes->n_groups++] = g;
	}
	jt__free(room);
	return JT_OK;
}

double jt__intervals_find(const struct jt_fit_notes *notes, const struct jt_residual *r)
{
	for (size_t i = 0; i < notes->n_groups; i++)
		if (matches(&notes->groups[i], r))
			return notes->groups[i].half_width;
	return NAN;
}
