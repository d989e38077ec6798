/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "truth.h"

/* A number in [0, 1) that depends on nothing but @seed and @k (the finaliser of MurmurHash3). */
static double hash_unit(uint64_t seed, uint64_t k)
{
	uint64_t z = seed * UINT64_C(0x9e3779b97f4a7c15) + k;

	z = (z ^ z >> 33) * UINT64_C(0xff51afd7ed558ccd);
	z = (z ^ z >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return (double)((z ^ z >> 33) >> 11) * 0x1p-53;
}

/* Irwin-Hall: twelve uniform numbers make a normal one. */
static double hash_normal(uint64_t seed, uint64_t k)
{
	double sum = -6;

	for (uint64_t i = 0; i < 12; i++)
		sum += hash_unit(seed + i + 1, k);
	return sum;
}

void truth_constant(struct truth *t, double power_w)
{
	t->n = 0;
	t->loop_s = 0;
	truth_add(t, 0, power_w);
}

bool truth_add(struct truth *t, double at_s, double power_w)
{
	size_t i = t->n;

	if (i == TRUTH_MAX_PIECES || !(power_w >= 0) ||
	    !(i == 0 ? at_s == 0 : at_s > t->at_s[i - 1]))
		return false;
	t->at_s[i] = at_s;
	t->power_w[i] = power_w;
	t->energy_j[i] = i ? t->energy_j[i - 1] + t->power_w[i - 1] * (at_s - t->at_s[i - 1]) : 0;
	t->n++;
	return true;
}

void truth_square(struct truth *t, double low_w, double high_w, double period_s, double duty)
{
	t->n = 0;
	truth_add(t, 0, high_w);
	truth_add(t, period_s * duty, low_w);
	t->loop_s = period_s;
}

void truth_burst(struct truth *t, double low_w, double high_w, double min_s, double max_s,
                 uint64_t seed)
{
	double at_s = 0;

	t->n = 0;
	for (uint64_t k = 0; k < TRUTH_MAX_PIECES; k++) {
		bool busy = k & 1;
		double height =
			busy ? 0.5 + 0.5 * hash_unit(seed, 2 * k) : 0.1 * hash_unit(seed, 2 * k);

		truth_add(t, at_s, low_w + (high_w - low_w) * height);
		at_s += min_s + (max_s - min_s) * hash_unit(seed, 2 * k + 1);
	}
	t->loop_s = at_s;
}

struct writer {
	struct truth *t;
	uint64_t seed, k;
	double at_s, idle_w, high_w;
};

static double draw(struct writer *w, double low, double high)
{
	return low + (high - low) * hash_unit(w->seed, w->k++);
}

/* A piece of power @height, 0 at idle and 1 at most, for @for_s. */
static void piece(struct writer *w, double height, double for_s)
{
	truth_add(w->t, w->at_s, w->idle_w + (w->high_w - w->idle_w) * height);
	w->at_s += for_s;
}

void truth_serving(struct truth *t, double idle_w, double high_w, uint64_t seed)
{
	struct writer w = { .t = t, .seed = seed, .idle_w = idle_w, .high_w = high_w };

	t->n = 0;
	while (t->n < TRUTH_MAX_PIECES - 64) {
		double level = draw(&w, .35, .6);
		int steps = (int)draw(&w, 3, 30);

		if (draw(&w, 0, 1) < .5)
			piece(&w, draw(&w, 0, .02), draw(&w, .1, 2.5));
		piece(&w, draw(&w, .8, 1), draw(&w, .03, .5));
		while (steps-- > 0) {
			if (draw(&w, 0, 1) < .15)
				piece(&w, draw(&w, .7, 1), draw(&w, .01, .06));
			piece(&w, level + draw(&w, -.06, .06), draw(&w, .03, .2));
		}
	}
	t->loop_s = w.at_s;
}

/* The piece that holds at @at_s >= 0. */
static size_t find(const struct truth *t, double at_s)
{
	size_t low = 0, high = t->n;

	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (t->at_s[mid] <= at_s)
			low = mid;
		else
			high = mid;
	}
	return low;
}

double truth_power_w(const struct truth *t, double at_s)
{
	if (at_s <= 0)
		return t->power_w[0];
	if (t->loop_s > 0)
		at_s = fmod(at_s, t->loop_s);
	return t->power_w[find(t, at_s)];
}

double truth_energy_j(const struct truth *t, double at_s)
{
	double loops_j = 0;
	size_t i;

	if (at_s <= 0)
		return at_s * t->power_w[0];
	if (t->loop_s > 0) {
		i = t->n - 1;
		loops_j = floor(at_s / t->loop_s) *
		          (t->energy_j[i] + t->power_w[i] * (t->loop_s - t->at_s[i]));
		at_s = fmod(at_s, t->loop_s);
	}
	i = find(t, at_s);
	return loops_j + t->energy_j[i] + t->power_w[i] * (at_s - t->at_s[i]);
}

/* When update @k came. */
static double update_at(const struct fake_sensor *s, double phase_s, double update_s, double k)
{
	return phase_s + k * update_s + s->jitter_s * (2 * hash_unit(42, (uint64_t)(int64_t)k) - 1);
}

/* The number of the last update at or before @at_s. */
static double last_update(const struct fake_sensor *s, double phase_s, double update_s, double at_s)
{
	double k = ceil((at_s - phase_s) / update_s) + 1;

	while (update_at(s, phase_s, update_s, k) > at_s)
		k--;
	return k;
}

double sensor_counter_j(const struct fake_sensor *s, const struct truth *t, double at_s,
                        double reset_s)
{
	double k = last_update(s, s->phase_s, s->update_s, at_s);
	double shown_s = update_at(s, s->phase_s, s->update_s, k) - s->lag_s;
	double energy_j = s->counter_start_j + s->gain * truth_energy_j(t, shown_s);

	if (at_s >= reset_s)
		energy_j = s->gain *
		           (truth_energy_j(t, fmax(shown_s, reset_s)) - truth_energy_j(t, reset_s));
	return floor(fmax(energy_j, 0) / s->quantum_j) * s->quantum_j;
}

double sensor_power_w(const struct fake_sensor *s, const struct truth *t, double at_s,
                      double window_s)
{
	double k = last_update(s, s->power_phase_s, s->power_update_s, at_s);
	double end_s = update_at(s, s->power_phase_s, s->power_update_s, k) - s->lag_s;
	double mean_w = (truth_energy_j(t, end_s) - truth_energy_j(t, end_s - window_s)) / window_s;

	return fmax(0, s->gain * mean_w + s->noise_w * hash_normal(7, (uint64_t)(int64_t)k));
}
