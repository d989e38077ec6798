/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three beside jouletap are given their best case: the instantaneous field, not the averaged
 * one; polls twice a sensor period, all of them on time; the counter read exactly at both ends.
 */
#include <math.h>
#include <stdlib.h>
#include "accuracy.h"

#define X(name, json, what) json,
const char *const method_names[N_METHODS] = { METHODS(X) };
#undef X
#define X(name, json, what) what,
const char *const method_titles[N_METHODS] = { METHODS(X) };
#undef X

/* The first of @list, in order of time, that is not before @t_ns. */
static size_t first_from(const struct poll *list, size_t n, uint64_t t_ns)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (list[mid].t_ns >= t_ns)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static struct estimate jouletap(struct jt_timeline *tl, const struct window *w)
{
	struct jt_interval iv;

	if (jt_timeline_window(tl, w->begin_ns, w->end_ns, &iv) != JT_OK)
		exit(1);
	return (struct estimate){ (double)iv.energy_uj / 1e6, (double)iv.bound_uj / 1e6 };
}

static double counter_j(const struct run *r, const struct window *w)
{
	uint64_t begin_uj = accuracy_reading(r, w->begin_ns).energy_uj;

	return (double)(accuracy_reading(r, w->end_ns).energy_uj - begin_uj) / 1e6;
}

/* The mean of the readings inside, or where there is none the last one before, times the length. */
static double average_j(const struct run *r, const struct window *w)
{
	size_t i = first_from(r->polls, r->n_polls, w->begin_ns), n = 0;
	double sum_mw = 0;

	for (size_t k = i; k < r->n_polls && r->polls[k].t_ns <= w->end_ns; k++, n++)
		sum_mw += r->polls[k].power_mw;
	if (!n) {
		sum_mw = r->polls[i - 1].power_mw;
		n = 1;
	}
	return sum_mw / (double)n * (double)(w->end_ns - w->begin_ns) * 1e-12;
}

/*
 * Readings that repeat the last one are dropped; a trapezoid between each two of the rest that lie
 * inside. What is before the first and after the last of them is not counted.
 */
static double zeus_j(const struct run *r, const struct window *w)
{
	double sum_j = 0;

	for (size_t i = first_from(r->changes, r->n_changes, w->begin_ns);
	     i + 1 < r->n_changes && r->changes[i + 1].t_ns <= w->end_ns; i++) {
		const struct poll *a = &r->changes[i], *b = &r->changes[i + 1];

		sum_j += ((double)a->power_mw + b->power_mw) / 2 * (double)(b->t_ns - a->t_ns) *
		         1e-12;
	}
	return sum_j;
}

struct estimate accuracy_estimate(enum method m, const struct run *r, const struct window *w)
{
	switch (m) {
	case METHOD_SPANS:
		return jouletap(r->spans, w);
	case METHOD_PLAIN:
		return jouletap(r->plain, w);
	case METHOD_COUNTER:
		return (struct estimate){ counter_j(r, w), NAN };
	case METHOD_AVERAGE:
		return (struct estimate){ average_j(r, w), NAN };
	default:
		return (struct estimate){ zeus_j(r, w), NAN };
	}
}
