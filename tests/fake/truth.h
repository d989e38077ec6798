/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_TRUTH_H
#define FAKE_TRUTH_H
/*
 * What the fake GPU really draws, and a sensor that sees it imperfectly. Written apart from the
 * meter on purpose: it shares no code and no parameters with it, so that the two cannot be wrong
 * together. Times in s, power in W, energy in J, all double. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRUTH_MAX_PIECES 4096

/* Power is a step function: piece i holds from at_s[i] to at_s[i + 1]. */
struct truth {
	size_t n;
	double at_s[TRUTH_MAX_PIECES];
	double power_w[TRUTH_MAX_PIECES];
	double energy_j[TRUTH_MAX_PIECES]; /* from 0 to at_s[i] */
	double loop_s;                     /* repeats after this; 0: the last piece goes on */
};

void truth_constant(struct truth *t, double power_w);
/* Pieces come in order of time; false if not, or if there are too many. */
bool truth_add(struct truth *t, double at_s, double power_w);
void truth_square(struct truth *t, double low_w, double high_w, double period_s, double duty);
/* Busy and idle stretches of min_s to max_s, at powers of low_w to high_w; repeats after 2048 of
 * each. */
void truth_burst(struct truth *t, double low_w, double high_w, double min_s, double max_s,
                 uint64_t seed);

/* A server of language models: prefill bursts, decode plateaus that step with the batch, idle;
 * repeats. */
void truth_serving(struct truth *t, double idle_w, double high_w, uint64_t seed);

double truth_power_w(const struct truth *t, double at_s);
/* The exact integral from 0; before 0 the power is that at 0. */
double truth_energy_j(const struct truth *t, double at_s);

struct fake_sensor {
	double update_s;  /* of the counter */
	double phase_s;   /* of its first update */
	double jitter_s;  /* each update is early or late by up to this */
	double lag_s;     /* what an update shows is this old */
	double quantum_j; /* step of the counter */
	double gain;      /* of everything it shows */
	double power_update_s, power_phase_s;
	double window_s;     /* the instantaneous field is the mean over this */
	double avg_window_s; /* the averaged one over this */
	double noise_w;      /* standard deviation of a power reading */
	double counter_start_j;
};

double sensor_counter_j(const struct fake_sensor *s, const struct truth *t, double at_s,
                        double reset_s);
double sensor_power_w(const struct fake_sensor *s, const struct truth *t, double at_s,
                      double window_s);

#endif
