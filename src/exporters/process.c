/* SPDX-License-Identifier: Apache-2.0 */
/* What metering itself costs. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "base/clock.h"
#include "exporters/families.h"

static const struct jt_family cpu = { "process_cpu_seconds", JT_COUNTER, "seconds",
	                              "CPU time that jouletap itself used." };
static const struct jt_family memory = { "process_resident_memory_bytes", JT_GAUGE, "bytes",
	                                 "Memory that jouletap itself occupies." };
static const struct jt_family build = { "build", JT_INFO, NULL, "The version that runs.",
	                                "version" };

/* The second number of statm, proc(5); NaN where there is none. */
static double resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;
	int n = f ? fscanf(f, "%*u %lu", &pages) : 0;

	if (f)
		fclose(f);
	return n == 1 ? (double)pages * (double)sysconf(_SC_PAGESIZE) : NAN;
}

void jt__expose_process(struct jt_expose *e)
{
	jt__expose_begin(e, &cpu);
	jt__expose_sample(e, (double)jt__cpu_ns() / 1e9, NULL, 0);
	jt__expose_begin(e, &memory);
	jt__expose_sample(e, resident_bytes(), NULL, 0);
	jt__expose_begin(e, &build);
	expose(e, 1, { "version", JT_VERSION });
}

void jt__list_process_families(jt_family_fn each, void *user)
{
	each(user, &cpu);
	each(user, &memory);
	each(user, &build);
}
