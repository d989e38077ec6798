/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
/*
 * Joules of a piece of code, in two phases, with the public API alone:
 *
 *	cc examples/meter_a_function.c $(pkg-config --cflags --libs jouletap) -lm -o meter
 *
 * or, before jouletap is installed,
 *
 *	cc examples/meter_a_function.c -Iinclude -Lbuild -ljouletap -lm -Wl,-rpath,$PWD/build -o meter
 *
 * It prints a line for each energy domain of this machine and each phase.
 */
/* clang-format on */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include "jouletap/meter.h"

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void nap(struct jt_meter *m, double seconds)
{
	struct timespec ts = { .tv_sec = (time_t)seconds,
		               .tv_nsec = (long)(fmod(seconds, 1) * 1e9) };

	nanosleep(&ts, NULL);
	jt_meter_advance(m, now_ns(), now_ns());
}

static double compute(double seconds)
{
	uint64_t until = now_ns() + (uint64_t)(seconds * 1e9);
	double x = 1;

	while (now_ns() < until)
		for (int i = 0; i < 100000; i++)
			x = sin(x) + 1;
	return x;
}

static void print_phase(struct jt_meter *m, struct jt_window *w, const char *phase)
{
	for (size_t d = 0; d < jt_meter_n_domains(m); d++) {
		struct jt_interval iv;

		if (jt_window_read(w, d, phase, &iv) == JT_OK)
			printf("%-8s %-8s %8.3f J +- %.3f J  %s\n", jt_meter_domain(m, d)->name,
			       phase ? phase : "all", (double)iv.energy_uj * 1e-6,
			       (double)iv.bound_uj * 1e-6, jt_provenance_name(iv.provenance));
	}
}

int main(void)
{
	struct jt_meter_options options = JT_METER_OPTIONS_INIT;
	struct jt_meter *m;
	struct jt_window *w;
	struct jt_error err;

	options.period_ns = 20000000;
	if (jt_meter_new(&options, &m, &err) != JT_OK) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		return 1;
	}
	if (jt_meter_n_domains(m) == 0)
		printf("nothing can be measured here\n");
	nap(m, 0.3);
	if (jt_window_begin(m, now_ns(), &w) != JT_OK)
		return 1;
	jt_window_phase(w, now_ns(), "compute");
	compute(0.5);
	jt_window_phase(w, now_ns(), "rest");
	nap(m, 0.5);
	jt_window_end(w, now_ns());
	nap(m, 0.3); /* until the sensors have shown the end of it */
	print_phase(m, w, "compute");
	print_phase(m, w, "rest");
	print_phase(m, w, NULL);
	jt_window_free(w);
	jt_meter_free(m);
	return 0;
}
