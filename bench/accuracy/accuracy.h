/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ACCURACY_H
#define ACCURACY_H
/*
 * How far off are the joules of a window? In virtual time, against the fake driver, whose true
 * power is known and whose sensor has a gain, jitter and noise that the meter is not told. What
 * runs is the real thing: the nvml source, the sampler's schedule, the timeline. One thread.
 *
 *   loads.c     boards, and what they are made to draw
 *   readings.c  a run: who reads what when
 *   methods.c   the energy of a window, as five methods see it
 *   judge.c     many windows against the truth
 *   print.c     rows for people and for programs
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/base.h"
#include "fake.h"
#include "jouletap/timeline.h"

#define FAKE_DRIVER JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define START_NS (10 * JT_NS_PER_S)
#define MARGIN_NS (5 * JT_NS_PER_S) /* windows keep away from both ends */

extern struct fake fake;

/* ---- loads.c ---- */

struct board {
	const char *name, *what;
	const char *identity; /* lines of the fake's script */
	double idle_w, cap_w;
	double gain;         /* what it reads over what is true */
	unsigned polling_ms; /* of those who poll: half the sensor's period, as Zeus does */
};

struct load {
	const char *name, *what;
	const char *shape; /* a word of the fake's script; power comes next, … */
	double low, high;  /* … 0 is idle, 1 the cap, … */
	const char *rest;  /* … then this; empty: the seed */
	double run_s;
	size_t n_windows; /* of each length */
};

extern const struct board boards[];
extern const size_t n_boards;
extern const struct load loads[];
extern const size_t n_loads;

/* Makes the fake this board under this load; false if it does not understand. */
bool accuracy_stage(const struct board *b, const struct load *l, unsigned seed);

/* ---- readings.c ---- */

struct poll {
	uint64_t t_ns;
	uint32_t power_mw;
};

struct run {
	const struct board *board;
	const struct load *load;
	uint64_t end_ns;
	void *source;
	struct jt_timeline *spans; /* the same readings, told of the requests … */
	struct jt_timeline *plain; /* … and not */
	size_t n_polls,
		n_changes; /* changes: values of the power field that differ from the last */
	struct poll *polls, *changes;
};

/*
 * jouletap reads each @period_ms. false, with a line on stderr, on failure; ends with
 * accuracy_over() either way.
 */
bool accuracy_run(struct run *r, const struct board *b, const struct load *l, unsigned seed,
                  unsigned period_ms);
void accuracy_over(struct run *r);

/* The driver's answer at @t_ns, without delay. */
struct jt_sample accuracy_reading(const struct run *r, uint64_t t_ns);

/* ---- methods.c ---- */

/* X(name, name in JSON, for people) */
#define METHODS(X)                                                                                 \
	X(SPANS, "spans", "with spans")                                                            \
	X(PLAIN, "plain", "without")                                                               \
	X(COUNTER, "counter", "counter difference")                                                \
	X(AVERAGE, "average", "mean of polls")                                                     \
	X(ZEUS, "zeus", "as Zeus integrates")

enum method {
#define X(name, json, what) METHOD_##name,
	METHODS(X)
#undef X
		N_METHODS
};
extern const char *const method_names[N_METHODS], *const method_titles[N_METHODS];

struct window {
	uint64_t begin_ns, end_ns;
};

struct estimate {
	double energy_j, bound_j; /* no bound is stated: NAN */
};

struct estimate accuracy_estimate(enum method m, const struct run *r, const struct window *w);

/* ---- judge.c ---- */

/* Of the signed errors of many windows, in % of their true energy. */
struct spread {
	double median, p95, largest; /* of the absolute error */
	double bias;                 /* mean of the signed one */
};

struct verdict {
	struct spread raw,
		gain_out; /* gain_out: divided by the board's gain, which nobody can see */
	double bound;     /* median, in %; NAN: none is stated */
	double within;    /* part of the windows that are off by no more than the bound */
};

struct row {
	const struct run *run;
	const char *windows; /* "random", or what they enclose */
	double window_s;     /* their length, or its median */
	size_t n;
	struct verdict verdicts[N_METHODS];
};

void accuracy_random_windows(const struct run *r, double window_s, struct row *ret_row);

/* Windows that are exactly the reported @what: "prefill", "decode" or "request"; false if none. */
bool accuracy_span_windows(const struct run *r, const char *what, struct row *ret_row);

/* ---- print.c ---- */

void accuracy_print_json(const struct row *row);
void accuracy_print_head(void);
void accuracy_print_line(const struct row *row);

/* Truth, readings and E(t) of [from_s, to_s), a JSON line for each 2 ms, and the requests. */
void accuracy_dump(const struct run *r, double from_s, double to_s);

#endif
