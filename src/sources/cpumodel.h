/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CPUMODEL_H
#define JT_CPUMODEL_H
/* The pure part of the CPU utilisation model: text of /proc/stat and time in, energy out. */
#include <stdbool.h>
#include <stdint.h>
#include "jouletap/source.h"

/* What /proc/stat had counted at a moment. */
struct jt_cpu_ticks {
	uint64_t t_ns, busy, all;
};

struct jt_cpumodel {
	unsigned n_cpus;
	struct jt_cpu_ticks since,
		mark; /* utilisation is taken since the former; the latter follows it */
	uint64_t last_ns;
	double utilisation; /* 0..1 */
	double energy_j;    /* since the beginning */
};

/* Of the text of /proc/stat, read at @now_ns; false if it is something else. */
bool jt__cpu_ticks_parse(const char *stat, uint64_t now_ns, struct jt_cpu_ticks *ret_ticks);

/* W of @n_cpus logical CPUs at a utilisation of 0..1 (clamped). */
double jt__cpumodel_power_w(double utilisation, unsigned n_cpus);
/* What the model says of a domain that it described, when that has nothing to do. */
uint64_t jt__cpumodel_idle_mw(const struct jt_domain *d);

/* Both: JT_EIO if @stat is no /proc/stat; the model is then unchanged. */
int jt__cpumodel_begin(struct jt_cpumodel *m, const char *stat, uint64_t now_ns);
int jt__cpumodel_step(struct jt_cpumodel *m, const char *stat, uint64_t now_ns);

#endif
