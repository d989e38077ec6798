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

/* Power is a step function: a piece holds until the next. */
struct truth_piece {
	double at_s, power_w;
	double energy_j; /* from 0 to at_s */
};

/* Somebody's work: prefill up to first_s, decode from there. Either may be empty. */
struct truth_request {
	double begin_s, first_s, end_s;
};

struct truth {
	size_t n, n_requests;
	struct truth_piece *pieces;
	struct truth_request *requests; /* in order of their beginning */
	double loop_s;                  /* repeats after this; 0: the last piece goes on */
};

void truth_clear(struct truth *t); /* also frees */
void truth_constant(struct truth *t, double power_w);
/* Both come in order of time; false if not, or if there is no memory. */
bool truth_add(struct truth *t, double at_s, double power_w);
bool truth_add_request(struct truth *t, const struct truth_request *r);

/* Each high part is a prefill. */
void truth_square(struct truth *t, double low_w, double high_w, double period_s, double duty);
/* Up in a straight line in up_s, down in down_s. Each way up is a decode. */
void truth_ramp(struct truth *t, double low_w, double high_w, double up_s, double down_s);
/* Busy and idle stretches of min_s to max_s, at powers of low_w to high_w; repeats after 2048 of
 * each. */
void truth_burst(struct truth *t, double low_w, double high_w, double min_s, double max_s,
                 uint64_t seed);

/* A server of language models: prefill bursts, decode plateaus that step with the batch, idle;
 * repeats. */
void truth_serving(struct truth *t, double idle_w, double high_w, uint64_t seed);

/* The same in detail, with its requests: llm.c. Repeats after some 700 s. */
void truth_llm(struct truth *t, double idle_w, double cap_w, uint64_t seed);

/* A number in [0, 1) that depends on nothing but @seed and @k. */
double truth_unit(uint64_t seed, uint64_t k);

/*
 * Request @k of all time as whoever stands in front of the engine reports it; false if there is no
 * such request. One in some sixty is not reported at all (*ret_reported), as many come with the
 * beginning and the first token 20 ms late. Every other edge is told 1 to 8 ms before the power
 * follows.
 */
bool truth_report(const struct truth *t, uint64_t k, struct truth_request *ret_request,
                  bool *ret_reported);

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
