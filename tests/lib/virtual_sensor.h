/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_VIRTUAL_SENSOR_H
#define JT_VIRTUAL_SENSOR_H
/*
 * For tests of properties: cases by seed, a power that is known to the last microjoule, and a
 *sensor that shows it with a period, a phase, jitter, gain, slow reads and faults of its own.
 *
 *	JT_SEED=N test_X.t      case N of each kind alone
 *	JT_SEEDS=N test_X.t     N cases of each kind
 */
#include <stdbool.h>
#include <stdlib.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "jouletap/timeline.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S
#define MAX_STRETCHES 8192
#define MAX_SAMPLES 8192
#define MAX_KNOTS (4 * MAX_SAMPLES)

enum { ODD_PERIOD = 1, JITTERY = 2, WITH_POWER = 4, FAULTS = 8 }; /* of a rig */

static uint64_t seed, first_seed = 1, last_seed;

#define for_each_seed(usually)                                                                     \
	for (seed = first_seed; seed <= (last_seed ? last_seed : (usually)); seed++)

#define holds(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			if (tap_in_test < TAP_MAX_COMPLAINTS)                                      \
				printf("# seed %llu:\n", (unsigned long long)seed);                \
			tap_check(false, #cond, __FILE__, __LINE__);                               \
		}                                                                                  \
	} while (0)

static inline double between(struct jt_rng *r, double a, double b)
{
	return a + (b - a) * jt__rng_unit(r);
}

/* Evenly over the orders of magnitude. */
static inline double log_between(struct jt_rng *r, double a, double b)
{
	return a * pow(b / a, jt__rng_unit(r));
}

static inline bool chance(struct jt_rng *r, double p)
{
	return jt__rng_unit(r) < p;
}

/* ---- the truth: power in stretches ---- */

static struct truth {
	double t_ns[MAX_STRETCHES + 1];
	double uj[MAX_STRETCHES + 1]; /* energy up to there */
	double mw[MAX_STRETCHES];
	size_t n;
	size_t at; /* of the last question */
} truth;

/* The next stretch. */
static inline void go_on(double ns, double mw)
{
	truth.mw[truth.n] = mw;
	truth.t_ns[truth.n + 1] = truth.t_ns[truth.n] + ns;
	truth.uj[truth.n + 1] = truth.uj[truth.n] + ns * mw * 1e-6;
	truth.n++;
}

static inline double true_uj(double t_ns)
{
	size_t lo = 0, hi = truth.n;

	if (truth.t_ns[truth.at] <= t_ns && t_ns < truth.t_ns[truth.at + 1])
		lo = truth.at, hi = truth.at + 1;
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (truth.t_ns[mid] <= t_ns)
			lo = mid;
		else
			hi = mid;
	}
	truth.at = lo;
	return truth.uj[lo] + (t_ns - truth.t_ns[lo]) * truth.mw[lo] * 1e-6;
}

/* ---- the sensor ---- */

struct rig {
	struct jt_sensor sensor;
	double period_ns; /* in truth */
	double phase_ns;
	double jitter; /* parts of the period, each update by itself */
	uint64_t salt;
	double gain; /* truth is the reading × (1 + gain) */
	double poll_lo_ns, poll_hi_ns;
	double slow; /* chance of a read that takes up to 500 ms */
	uint64_t offset_uj;
	bool power_only;
	int what; /* ODD_PERIOD … */
	double end_ns;
	uint64_t reset_ns;    /* the last restart of the counter */
	double power_late_ns; /* the power field is renewed so long after the counter */
	double noise_mw;      /* of a power reading, at most */
};

static struct jt_sample samples[MAX_SAMPLES];
static size_t n_samples;

/* When update @k happened. */
static inline double update_ns(const struct rig *g, double k)
{
	struct jt_rng one = { g->salt + (uint64_t)(k + 1000) };

	return g->phase_ns + g->period_ns * (k + g->jitter * (2 * jt__rng_unit(&one) - 1));
}

/* The last update before @t_ns. */
static inline double last_update_ns(const struct rig *g, double t_ns)
{
	double k = floor((t_ns - g->phase_ns) / g->period_ns) + 1;

	while (update_ns(g, k) > t_ns)
		k--;
	return JT_MAX(update_ns(g, k), 0);
}

static inline uint64_t counter_uj(const struct rig *g, double t_ns)
{
	double u = last_update_ns(g, t_ns), uj = true_uj(u) / (1 + g->gain);
	uint64_t value;

	if (g->reset_ns)
		uj = u > (double)g->reset_ns ? uj - true_uj((double)g->reset_ns) / (1 + g->gain)
		                             : 0;
	value = (uint64_t)uj + (g->reset_ns ? 0 : g->offset_uj);
	value -= value % g->sensor.step_uj;
	return g->sensor.wrap_uj ? value % g->sensor.wrap_uj : value;
}

static inline uint32_t power_mw(const struct rig *g, double t_ns)
{
	double u = last_update_ns(g, t_ns - g->power_late_ns) + g->power_late_ns;
	double from = JT_MAX(u - (double)g->sensor.window_ns, 0), mw;
	struct jt_rng one = { (uint64_t)u };

	if (u <= from)
		return 0;
	mw = (true_uj(u) - true_uj(from)) * 1e6 / (u - from) / (1 + g->gain);
	return (uint32_t)JT_MAX(mw + g->noise_mw * (2 * jt__rng_unit(&one) - 1), 0);
}

/* Something is wrong with this reading. */
static inline void spoil(struct jt_rng *r, struct rig *g, struct jt_sample *s)
{
	switch (jt__rng_below(r, 4)) {
	case 0:
		s->status = chance(r, 0.5) ? JT_ELOST : JT_ETIME;
		s->valid = 0;
		break;
	case 1: /* lies, far from anything possible */
		s->energy_uj = chance(r, 0.5) ? UINT64_MAX - jt__rng_below(r, 1000)
		                              : s->energy_uj + UINT64_C(1000000000000000);
		s->power_mw = UINT32_MAX;
		break;
	case 2:
		if (g->sensor.wrap_uj ||
		    s->energy_uj < 1000000000) /* 0 may look like a wrap, or like a restart of a
		                                  small counter */
			break;
		s->energy_uj = 0;
		break;
	default:
		if (g->sensor.wrap_uj)
			break;
		g->reset_ns = s->begin_ns;
		s->energy_uj = 0;
		break;
	}
}

static inline void make_samples(struct jt_rng *r, struct rig *g)
{
	double t = 10e9;

	n_samples = 0;
	while (t < g->end_ns && n_samples < MAX_SAMPLES) {
		double took =
			chance(r, g->slow) ? between(r, 1, 500) * MS : between(r, 0.01, 1) * MS;
		double taken = t + took * jt__rng_unit(r);
		struct jt_sample s = { .begin_ns = (uint64_t)t,
			               .end_ns = (uint64_t)(t + took) + 1 };

		if (g->power_only) {
			s.valid = JT_HAS_POWER;
			s.power_mw = power_mw(g, taken);
		} else {
			s.valid = JT_HAS_ENERGY;
			s.energy_uj = counter_uj(g, taken);
			s.power_mw = power_mw(g, taken);
			s.valid |= g->what & WITH_POWER ? JT_HAS_POWER : 0;
		}
		if (g->what & FAULTS && chance(r, 0.03))
			spoil(r, g, &s);
		samples[n_samples++] = s;
		t += took + 1000 + between(r, g->poll_lo_ns, g->poll_hi_ns);
		if (g->what & FAULTS && chance(r, 0.01))
			t += log_between(r, 100, 20000) * MS;
	}
}

static inline void choose_polls(struct jt_rng *r, struct rig *g)
{
	g->poll_lo_ns = log_between(r, 5, 1000) * MS;
	g->poll_hi_ns = g->poll_lo_ns;
	if (chance(r, 0.3))
		g->poll_hi_ns *= between(r, 1, 1.2);
	else if (chance(r, 0.5))
		g->poll_lo_ns = 5.0 * MS, g->poll_hi_ns = between(r, 10, 2000) * MS;
	g->slow = chance(r, 0.3) ? 0.1 : 0;
	g->end_ns = 10e9 + JT_MIN(between(r, 5, 60) * S,
	                          MAX_SAMPLES * (g->poll_lo_ns + g->poll_hi_ns) / 2);
}

/* Which seeds the environment asks for. */
static inline void choose_seeds(void)
{
	if (getenv("JT_SEED"))
		first_seed = last_seed = strtoull(getenv("JT_SEED"), NULL, 10);
	if (getenv("JT_SEEDS"))
		last_seed = strtoull(getenv("JT_SEEDS"), NULL, 10);
}

#endif
