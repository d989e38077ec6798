/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include "accuracy.h"

#define DUMP_STEP_NS (2 * JT_NS_PER_MS)

/* ---- JSON ---- */

static void spread_json(const char *name, const struct spread *s)
{
	printf(",\"%s\":{\"median\":%.3f,\"p95\":%.3f,\"largest\":%.3f,\"bias\":%.3f}", name,
	       s->median, s->p95, s->largest, s->bias);
}

void accuracy_print_json(const struct row *row)
{
	printf("{\"sensor\":\"%s\",\"board\":\"%s\",\"gain\":%.3f,\"load\":\"%s\",\"title\":\"%s\"",
	       row->run->board->name, row->run->board->what, row->run->board->gain,
	       row->run->load->name, row->run->load->what);
	printf(",\"windows\":\"%s\",\"window_s\":%.3f,\"n\":%zu", row->windows, row->window_s,
	       row->n);
	for (int m = 0; m < N_METHODS; m++) {
		const struct verdict *v = &row->verdicts[m];

		printf(",\"%s\":{\"method\":\"%s\"", method_names[m], method_titles[m]);
		spread_json("raw", &v->raw);
		spread_json("gain_out", &v->gain_out);
		if (!isnan(v->bound))
			printf(",\"bound\":%.3f,\"within\":%.4f", v->bound, v->within);
		putchar('}');
	}
	printf("}\n");
}

/* ---- for people ---- */

void accuracy_print_head(void)
{
	printf("%% of the true energy, gain out      | with spans                            "
	       "| without                               | p95 of others\n"
	       "sensor load        windows  length   | median    p95   bias   bound  within  "
	       "| median    p95   bias   bound  within  | counter average    zeus\n");
}

void accuracy_print_line(const struct row *row)
{
	printf("%-6s %-11s %-8s %6.2f s |", row->run->board->name, row->run->load->name,
	       row->windows, row->window_s);
	for (int m = METHOD_SPANS; m <= METHOD_PLAIN; m++) {
		const struct verdict *v = &row->verdicts[m];

		printf(" %6.2f %6.2f %6.2f %7.2f %6.2f%% |", v->gain_out.median, v->gain_out.p95,
		       v->gain_out.bias, v->bound, v->within * 100);
	}
	for (int m = METHOD_COUNTER; m < N_METHODS; m++)
		printf(" %7.2f", row->verdicts[m].gain_out.p95);
	putchar('\n');
}

/* ---- a stretch of a run ---- */

static void dump_instant(const struct run *r, uint64_t from_ns, uint64_t t_ns)
{
	struct jt_sample s = accuracy_reading(r, t_ns);

	printf("{\"t_s\":%.3f,\"true_w\":%.2f,\"shown_w\":%.2f,\"counter_j\":%.3f,\"true_j\":%.4f,"
	       "\"spans_j\":%.4f,\"plain_j\":%.4f}\n",
	       (double)t_ns / 1e9, fake.true_power_w(0, t_ns), s.power_mw / 1e3, s.energy_uj / 1e6,
	       fake.true_energy_j(0, from_ns, t_ns),
	       (double)(jt_timeline_at(r->spans, t_ns) - jt_timeline_at(r->spans, from_ns)) / 1e6,
	       (double)(jt_timeline_at(r->plain, t_ns) - jt_timeline_at(r->plain, from_ns)) / 1e6);
}

static void dump_requests(const struct run *r, uint64_t from_ns, uint64_t to_ns)
{
	struct fake_request q;

	for (uint64_t k = 0; fake.request(0, k, &q) && q.begin_ns < r->end_ns; k++)
		if (q.end_ns > from_ns && q.begin_ns < to_ns)
			printf("{\"request\":%lu,\"begin_s\":%.4f,\"first_s\":%.4f,\"end_s\":%.4f,"
			       "\"reported\":%s}\n",
			       (unsigned long)k, (double)q.begin_ns / 1e9, (double)q.first_ns / 1e9,
			       (double)q.end_ns / 1e9, q.reported ? "true" : "false");
}

void accuracy_dump(const struct run *r, double from_s, double to_s)
{
	uint64_t from_ns = (uint64_t)(from_s * 1e9), to_ns = (uint64_t)(to_s * 1e9);

	dump_requests(r, from_ns, to_ns);
	for (uint64_t t = from_ns; t < to_ns; t += DUMP_STEP_NS)
		dump_instant(r, from_ns, t);
}
