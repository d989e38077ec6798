/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_OWN_H
#define JT_OWN_H
/*
 * What the process itself costs. Of the energy that the CPUs used above their idle floor it is
 * charged its part of the time that they were busy: a second of CPU time is taken to cost
 * the same whoever uses it. Nothing of it goes into an account. Belongs to the meter's thread.
 */
#include <stdbool.h>
#include "base/base.h"

/* What happened in a stretch of time. */
struct jt_own_step {
	uint64_t dt_ns;
	uint64_t own_ns;     /* CPU time of this process */
	uint64_t busy_ticks; /* of all CPUs, as the kernel counts */
	uint64_t tick_ns;
};

/* What a domain used meanwhile, and what it uses with nothing to do. */
struct jt_own_energy {
	uint64_t energy_uj;
	uint64_t bound_uj;
	uint64_t floor_mw;
};

/*
 * The process's part, and how far off it may be: by the domain's bound, and because the kernel
 * charges whole ticks to whoever runs when they end, which is off by the square root of their
 * number, or twice that. It says nothing about how unlike seconds of CPU time may be. Pure.
 */
void jt__own_share(const struct jt_own_step *step, const struct jt_own_energy *e, double *ret_uj,
                   double *ret_bound_uj);

struct jt_meter;

/* What stands at one end of a step. */
struct jt_own_reading {
	uint64_t t_ns;
	uint64_t own_ns;
	uint64_t busy_ticks;
};

struct jt_own {
	int fd; /* /proc/stat; -1: none, or the CPUs here are not ours */
	uint64_t tick_ns;
	struct jt_own_reading from;
	struct jt_own_reading to; /* waits for the timelines to come so far; t_ns is 0: none */
	bool known;               /* a step is over */
	double uj;
	double bound_uj;
	enum jt_provenance provenance;
};

void jt__own_open(struct jt_meter *m, uint64_t now_ns);
void jt__own_advance(struct jt_meter *m, uint64_t now_ns); /* reads once a second */
void jt__own_close(struct jt_meter *m);

#endif
