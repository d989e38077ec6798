/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "accuracy.h"
#include "base/rng.h"

#define MAX_WINDOWS 20000

static struct window windows[MAX_WINDOWS];

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const double *sorted, size_t n, unsigned percent)
{
	return sorted[(n - 1) * percent / 100];
}

static struct spread spread(const double *error, size_t n)
{
	static double size[MAX_WINDOWS];
	struct spread s = { 0 };

	for (size_t i = 0; i < n; i++) {
		size[i] = fabs(error[i]);
		s.bias += error[i] / (double)n;
	}
	qsort(size, n, sizeof(*size), by_size);
	s.median = percentile(size, n, 50);
	s.p95 = percentile(size, n, 95);
	s.largest = size[n - 1];
	return s;
}

static struct verdict judge(enum method m, const struct run *r, size_t n)
{
	static double raw[MAX_WINDOWS], gain_out[MAX_WINDOWS], bound[MAX_WINDOWS];
	struct verdict v = { 0 };

	for (size_t i = 0; i < n; i++) {
		double true_j = fake.true_energy_j(0, windows[i].begin_ns, windows[i].end_ns);
		struct estimate e = accuracy_estimate(m, r, &windows[i]);

		raw[i] = (e.energy_j / true_j - 1) * 100;
		gain_out[i] = (e.energy_j / r->board->gain / true_j - 1) * 100;
		bound[i] = e.bound_j / true_j * 100;
		v.within += (fabs(e.energy_j - true_j) <= e.bound_j) / (double)n;
	}
	v.raw = spread(raw, n);
	v.gain_out = spread(gain_out, n);
	qsort(bound, n, sizeof(*bound), by_size);
	v.bound = percentile(bound, n, 50);
	return v;
}

static void judge_all(const struct run *r, const char *what, size_t n, struct row *ret_row)
{
	static double length_s[MAX_WINDOWS];

	for (size_t i = 0; i < n; i++)
		length_s[i] = (double)(windows[i].end_ns - windows[i].begin_ns) / 1e9;
	qsort(length_s, n, sizeof(*length_s), by_size);
	*ret_row = (struct row){
		.run = r, .windows = what, .n = n, .window_s = percentile(length_s, n, 50)
	};
	for (int m = 0; m < N_METHODS; m++)
		ret_row->verdicts[m] = judge(m, r, n);
}

void accuracy_random_windows(const struct run *r, double window_s, struct row *ret_row)
{
	uint64_t length_ns = (uint64_t)(window_s * 1e9);
	struct jt_rng rng = { 99 };

	for (size_t i = 0; i < r->load->n_windows; i++) {
		windows[i].begin_ns =
			START_NS + MARGIN_NS +
			jt__rng_below(&rng, r->end_ns - START_NS - 2 * MARGIN_NS - length_ns);
		windows[i].end_ns = windows[i].begin_ns + length_ns;
	}
	judge_all(r, "random", r->load->n_windows, ret_row);
}

bool accuracy_span_windows(const struct run *r, const char *what, struct row *ret_row)
{
	struct fake_request q;
	size_t n = 0;

	for (uint64_t k = 0; fake.request(0, k, &q) && n < r->load->n_windows; k++) {
		struct window w = { q.begin_ns, q.end_ns };

		if (strcmp(what, "prefill") == 0)
			w.end_ns = q.first_ns;
		else if (strcmp(what, "decode") == 0)
			w.begin_ns = q.first_ns;
		if (q.end_ns + MARGIN_NS > r->end_ns)
			break;
		if (q.reported && w.begin_ns > START_NS + MARGIN_NS && w.end_ns > w.begin_ns)
			windows[n++] = w;
	}
	if (n)
		judge_all(r, what, n, ret_row);
	return n > 0;
}
