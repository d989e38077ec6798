/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include "truth.h"

#define RANDOM_PIECES 4096 /* of loads that are made up piece by piece */
#define RAMP_PIECES 128    /* each way */
#define LEAD_MIN_S .001    /* a report is earlier than the power by this … */
#define LEAD_MAX_S .008    /* … to this */
#define LATE_S .020
#define N_MISSING .016 /* part of the requests that nobody reports, … */
#define N_LATE .016    /* … and that are reported late */

/* The finaliser of MurmurHash3. */
double truth_unit(uint64_t seed, uint64_t k)
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
		sum += truth_unit(seed + i + 1, k);
	return sum;
}

void truth_clear(struct truth *t)
{
	free(t->pieces);
	free(t->requests);
	*t = (struct truth){ 0 };
}

/* Room for one more behind @n, doubling from 64. */
static bool make_room(void **array, size_t n, size_t size)
{
	void *grown;

	if (n & (n - 1) || (n && n < 64))
		return true;
	grown = realloc(*array, (n ? 2 * n : 64) * size);
	if (!grown)
		return false;
	*array = grown;
	return true;
}

bool truth_add(struct truth *t, double at_s, double power_w)
{
	struct truth_piece p = { .at_s = at_s, .power_w = power_w };
	void *pieces = t->pieces;

	if (!(power_w >= 0) || !(t->n == 0 ? at_s == 0 : at_s > t->pieces[t->n - 1].at_s) ||
	    !make_room(&pieces, t->n, sizeof(p)))
		return false;
	t->pieces = pieces;
	if (t->n) {
		const struct truth_piece *last = &t->pieces[t->n - 1];

		p.energy_j = last->energy_j + last->power_w * (at_s - last->at_s);
	}
	t->pieces[t->n++] = p;
	return true;
}

bool truth_add_request(struct truth *t, const struct truth_request *r)
{
	void *requests = t->requests;

	if (!(r->begin_s <= r->first_s && r->first_s <= r->end_s) ||
	    (t->n_requests && r->begin_s < t->requests[t->n_requests - 1].begin_s) ||
	    !make_room(&requests, t->n_requests, sizeof(*r)))
		return false;
	t->requests = requests;
	t->requests[t->n_requests++] = *r;
	return true;
}

void truth_constant(struct truth *t, double power_w)
{
	truth_clear(t);
	truth_add(t, 0, power_w);
}

void truth_square(struct truth *t, double low_w, double high_w, double period_s, double duty)
{
	const struct truth_request r = { 0, period_s * duty, period_s * duty };

	truth_clear(t);
	truth_add(t, 0, high_w);
	truth_add(t, period_s * duty, low_w);
	truth_add_request(t, &r);
	t->loop_s = period_s;
}

static void slope(struct truth *t, double begin_s, double for_s, double from_w, double to_w)
{
	for (int i = 0; i < RAMP_PIECES && for_s > 0; i++)
		truth_add(t, begin_s + for_s * i / RAMP_PIECES,
		          from_w + (to_w - from_w) * (i + .5) / RAMP_PIECES);
}

void truth_ramp(struct truth *t, double low_w, double high_w, double up_s, double down_s)
{
	const struct truth_request r = { 0, 0, up_s };

	truth_clear(t);
	slope(t, 0, up_s, low_w, high_w);
	slope(t, up_s, down_s, high_w, low_w);
	truth_add_request(t, &r);
	t->loop_s = up_s + down_s;
}

void truth_burst(struct truth *t, double low_w, double high_w, double min_s, double max_s,
                 uint64_t seed)
{
	double at_s = 0;

	truth_clear(t);
	for (uint64_t k = 0; k < RANDOM_PIECES; k++) {
		bool busy = k & 1;
		double height =
			busy ? 0.5 + 0.5 * truth_unit(seed, 2 * k) : 0.1 * truth_unit(seed, 2 * k);

		truth_add(t, at_s, low_w + (high_w - low_w) * height);
		at_s += min_s + (max_s - min_s) * truth_unit(seed, 2 * k + 1);
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
	return low + (high - low) * truth_unit(w->seed, w->k++);
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

	truth_clear(t);
	while (t->n < RANDOM_PIECES - 64) {
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

		if (t->pieces[mid].at_s <= at_s)
			low = mid;
		else
			high = mid;
	}
	return low;
}

double truth_power_w(const struct truth *t, double at_s)
{
	if (at_s <= 0)
		return t->pieces[0].power_w;
	if (t->loop_s > 0)
		at_s = fmod(at_s, t->loop_s);
	return t->pieces[find(t, at_s)].power_w;
}

/* The same within the first round. */
static double energy_within_j(const struct truth *t, double at_s)
{
	const struct truth_piece *p = &t->pieces[find(t, at_s)];

	return p->energy_j + p->power_w * (at_s - p->at_s);
}

double truth_energy_j(const struct truth *t, double at_s)
{
	double rest_s;

	if (at_s <= 0)
		return at_s * t->pieces[0].power_w;
	if (t->loop_s <= 0)
		return energy_within_j(t, at_s);
	/* fmod() is exact, the quotient of at_s and loop_s is not */
	rest_s = fmod(at_s, t->loop_s);
	return round((at_s - rest_s) / t->loop_s) * energy_within_j(t, t->loop_s) +
	       energy_within_j(t, rest_s);
}

/* By how much edge @edge of request @k is reported early. */
static double lead_s(uint64_t k, uint64_t edge)
{
	return LEAD_MIN_S + (LEAD_MAX_S - LEAD_MIN_S) * truth_unit(1009 + edge, k);
}

bool truth_report(const struct truth *t, uint64_t k, struct truth_request *ret_request,
                  bool *ret_reported)
{
	double chance = truth_unit(1013, k), late_s = chance > 1 - N_LATE ? LATE_S : 0, round_s;
	const struct truth_request *r;

	if (!t->n_requests || (t->loop_s <= 0 && k >= t->n_requests))
		return false;
	r = &t->requests[k % t->n_requests];
	round_s = (double)(k / t->n_requests) * t->loop_s;
	*ret_reported = chance >= N_MISSING;
	ret_request->end_s = r->end_s + round_s - lead_s(k, 2);
	ret_request->first_s = r->first_s + round_s - lead_s(k, r->first_s < r->end_s ? 1 : 2);
	ret_request->begin_s = r->begin_s + round_s - lead_s(k, r->begin_s < r->first_s ? 0 : 1);
	ret_request->first_s = fmin(ret_request->first_s + late_s, ret_request->end_s);
	ret_request->begin_s = fmin(ret_request->begin_s + late_s, ret_request->first_s);
	return true;
}

/* When update @k came. */
static double update_at(const struct fake_sensor *s, double phase_s, double update_s, double k)
{
	return phase_s + k * update_s +
	       s->jitter_s * (2 * truth_unit(42, (uint64_t)(int64_t)k) - 1);
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
