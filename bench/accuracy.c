/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far off are the joules of a window? In virtual time, against the fake driver, whose true
 * power is known and whose sensor has a gain, jitter and noise that the meter is not told. What
 * runs is the real thing: the nvml source, the sampler's schedule, the timeline. Prints a Markdown
 * table, or with --json a line per row.
 *
 * Beside it stand two simpler ways to use the same readings: the difference of the counter as last
 * read, and held power readings integrated from the first to the last one inside the window, which
 * is what polling loops do. "Gain out": divided by the sensor's steady gain, which no software can
 * see.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "base/rng.h"
#include "fake.h"
#include "sampler/pacer.h"
#include "sources/source.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define START_NS (10 * JT_NS_PER_S)
#define END_NS (610 * JT_NS_PER_S)
#define MARGIN_NS (5 * JT_NS_PER_S) /* windows keep away from both ends */
#define MAX_SAMPLES 200000
#define N_WINDOWS 2000

static const struct board {
	const char *what;
	const char *script;
	double gain;
} boards[] = {
	{ "A100-like",
	  "gpu 0 name NVIDIA A100-SXM4-80GB\ngpu 0 arch 8\ngpu 0 sensor ga100\ngpu 0 gain 1.043\n"
	  "gpu 0 limit_w 400\ngpu 0 serving 82 395 1\n",
	  1.043 },
	{ "H100-like",
	  "gpu 0 name NVIDIA H100 80GB HBM3\ngpu 0 arch 9\ngpu 0 sensor gh100\ngpu 0 gain 0.972\n"
	  "gpu 0 limit_w 700\ngpu 0 serving 118 690 2\n",
	  0.972 },
};
static const unsigned periods_ms[] = { 100, 20 };
static const double lengths_s[] = { 0.15, 0.5, 1, 5 };

static struct fake fake;

struct run {
	struct jt_timeline *tl;
	struct jt_sample *samples;
	size_t n;
};

/* Of one method and one length of window, in % of the true energy. */
struct errors {
	double raw[N_WINDOWS];
	double gain_out[N_WINDOWS];
};

enum method { JOULETAP, COUNTER, POWER, N_METHODS };
static const char *const methods[] = { "jouletap", "counter", "power" };

static struct errors errors[N_METHODS];

/* ---- readings ---- */

static uint64_t us(struct jt_rng *rng, uint64_t low, uint64_t high)
{
	return (low + jt__rng_below(rng, high - low)) * JT_NS_PER_US;
}

/*
 * Wakes up a little late, asks, has its answer a little later; one time in a hundred, much later.
 */
static struct jt_sample read_at(void *source, uint64_t due_ns, struct jt_rng *rng)
{
	uint64_t most_us = jt__rng_below(rng, 100) ? 200 : 5000;
	uint64_t begin_ns = due_ns + us(rng, 5, most_us),
		 taken_ns = begin_ns + us(rng, 50, most_us);
	struct jt_sample s = { 0 };

	fake.set_time_ns(taken_ns);
	jt__source_nvml.read(source, 0, &s);
	s.begin_ns = begin_ns;
	s.end_ns = taken_ns + us(rng, 20, 100);
	return s;
}

static void take_readings(struct run *r, void *source, unsigned period_ms)
{
	struct jt_rng rng = { 7 };
	struct jt_domain d;
	struct jt_pacer p;
	uint64_t now_ns = START_NS;

	jt__source_nvml.describe(source, 0, &d);
	if (jt_timeline_new(&d.sensor, 65536, &r->tl, NULL) < 0)
		exit(1);
	jt__pacer_init(&p, period_ms * JT_NS_PER_MS, d.sensor.update_ns, now_ns);
	for (r->n = 0; now_ns < END_NS && r->n < MAX_SAMPLES; r->n++) {
		struct jt_sample s = read_at(source, now_ns, &rng);

		jt_timeline_add(r->tl, &s);
		r->samples[r->n] = s;
		now_ns = jt__pacer_next(&p, &s, s.end_ns);
	}
}

/* The first reading that was over after @t_ns. */
static size_t first_after(const struct run *r, uint64_t t_ns)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (r->samples[mid].end_ns > t_ns)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static double counter_j(const struct run *r, uint64_t from_ns, uint64_t to_ns)
{
	return (double)(r->samples[first_after(r, to_ns) - 1].energy_uj -
	                r->samples[first_after(r, from_ns) - 1].energy_uj) /
	       1e6;
}

static double power_j(const struct run *r, uint64_t from_ns, uint64_t to_ns)
{
	double sum = 0;

	for (size_t i = first_after(r, from_ns); i + 1 < r->n && r->samples[i + 1].end_ns <= to_ns;
	     i++)
		sum += r->samples[i].power_mw *
		       (double)(r->samples[i + 1].end_ns - r->samples[i].end_ns) * 1e-12;
	return sum;
}

/* ---- windows ---- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary {
	double mean, p95, max;
};

static struct summary summarise(double *percent)
{
	struct summary s = { 0 };

	qsort(percent, N_WINDOWS, sizeof(*percent), by_size);
	for (size_t i = 0; i < N_WINDOWS; i++)
		s.mean += percent[i] / N_WINDOWS;
	s.p95 = percent[N_WINDOWS * 95 / 100];
	s.max = percent[N_WINDOWS - 1];
	return s;
}

static void note(enum method m, size_t i, double got_j, double true_j, double gain)
{
	errors[m].raw[i] = fabs(got_j / true_j - 1) * 100;
	errors[m].gain_out[i] = fabs(got_j / gain / true_j - 1) * 100;
}

/* Fills errors[]; the mean bound in %, and the part of the windows that were within theirs. */
static void judge(const struct run *r, double gain, uint64_t length_ns, double *ret_bound,
                  double *ret_within)
{
	struct jt_rng rng = { 99 };
	double bound = 0;
	size_t n_within = 0;

	for (size_t i = 0; i < N_WINDOWS; i++) {
		uint64_t from = START_NS + MARGIN_NS +
		                jt__rng_below(&rng, END_NS - START_NS - 2 * MARGIN_NS - length_ns);
		uint64_t to = from + length_ns;
		double true_j = fake.true_energy_j(0, from, to), got_j;
		struct jt_interval iv;

		if (jt_timeline_window(r->tl, from, to, &iv) != JT_OK)
			exit(1);
		got_j = (double)iv.energy_uj / 1e6;
		bound += (double)iv.bound_uj / 1e6 / true_j * 100 / N_WINDOWS;
		n_within += fabs(got_j - true_j) <= (double)iv.bound_uj / 1e6;
		note(JOULETAP, i, got_j, true_j, gain);
		note(COUNTER, i, counter_j(r, from, to), true_j, gain);
		note(POWER, i, power_j(r, from, to), true_j, gain);
	}
	*ret_bound = bound;
	*ret_within = (double)n_within / N_WINDOWS;
}

/* ---- output ---- */

static void head(void)
{
	printf("| sensor | read every | window | error | gain out | bound | within bound "
	       "| counter difference, gain out | polled power, gain out |\n"
	       "|---|---|---|---|---|---|---|---|---|\n");
}

static void cell(struct summary s)
{
	printf(" %.2f / %.2f / %.2f |", s.mean, s.p95, s.max);
}

static void row(const struct board *b, unsigned period_ms, double length_s, double bound,
                double within)
{
	printf("| %s | %u ms | %.2f s |", b->what, period_ms, length_s);
	cell(summarise(errors[JOULETAP].raw));
	cell(summarise(errors[JOULETAP].gain_out));
	printf(" %.2f | %.1f %% |", bound, within * 100);
	cell(summarise(errors[COUNTER].gain_out));
	cell(summarise(errors[POWER].gain_out));
	putchar('\n');
}

static void object(const char *name, struct summary s)
{
	printf(",\"%s\":{\"mean\":%.3f,\"p95\":%.3f,\"max\":%.3f}", name, s.mean, s.p95, s.max);
}

static void row_json(const struct board *b, unsigned period_ms, double length_s, double bound,
                     double within)
{
	printf("{\"sensor\":\"%s\",\"period_s\":%.2f,\"window_s\":%.2f,\"bound_percent\":%.3f,"
	       "\"within_bound\":%.4f",
	       b->what, period_ms / 1e3, length_s, bound, within);
	for (int m = 0; m < N_METHODS; m++) {
		char name[64];

		snprintf(name, sizeof(name), "%s_error_percent", methods[m]);
		object(name, summarise(errors[m].raw));
		snprintf(name, sizeof(name), "%s_gain_out_percent", methods[m]);
		object(name, summarise(errors[m].gain_out));
	}
	printf("}\n");
}

static int measure(const struct board *b, unsigned period_ms, bool json)
{
	static struct jt_sample samples[MAX_SAMPLES];
	struct jt_source_options o = JT_SOURCE_OPTIONS_INIT;
	struct run r = { .samples = samples };
	struct jt_error err = { 0 };
	void *source = NULL;

	o.nvml_library = LIBRARY;
	fake.reset();
	if (fake.script(b->script) != 0)
		return 1;
	fake.set_time_ns(START_NS);
	if (jt__source_nvml.open(&o, &source, &err) < 0) {
		fprintf(stderr, "accuracy: %s: %s\n", err.where, err.message);
		return 1;
	}
	take_readings(&r, source, period_ms);
	for (size_t i = 0; i < JT_ARRAY_LEN(lengths_s); i++) {
		double bound, within;

		judge(&r, b->gain, (uint64_t)(lengths_s[i] * 1e9), &bound, &within);
		(json ? row_json : row)(b, period_ms, lengths_s[i], bound, within);
	}
	jt_timeline_free(r.tl);
	jt__source_nvml.close(source);
	return 0;
}

int main(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;

	if (argc > 1 && !json) {
		fprintf(stderr, "usage: accuracy [--json]\n");
		return 2;
	}
	if (!fake_load(LIBRARY, &fake))
		return 1;
	if (!json)
		head();
	for (size_t i = 0; i < JT_ARRAY_LEN(boards); i++)
		for (size_t k = 0; k < JT_ARRAY_LEN(periods_ms); k++)
			if (measure(&boards[i], periods_ms[k], json) != 0)
				return 1;
	return 0;
}
