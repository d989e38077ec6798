/* SPDX-License-Identifier: Apache-2.0 */
/* What metering itself costs. */
#include <math.h>
#include <stdio.h>
#include <unistd.h>
#include "exporters/families.h"

static const struct jt_family cpu = { "process_cpu_seconds", JT_COUNTER, "seconds",
	                              "CPU time that jouletap itself used." };
static const struct jt_family threads = { "thread_cpu_seconds", JT_COUNTER, "seconds",
	                                  "Of this: threads that read sensors, that of meter and "
	                                  "metrics, and those that relay requests.",
	                                  "threads" };
static const struct jt_family joules = { "own_joules", JT_COUNTER, "joules",
	                                 "Energy that jouletap itself used: its part, by CPU time, "
	                                 "of what the CPUs used above idle.",
	                                 "provenance" };
static const struct jt_family bound = { "own_bound_joules", JT_GAUGE, "joules",
	                                "How far off jouletap_own_joules_total may be." };
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

/* NaN if unknown. */
static double scaled(uint64_t value, double unit)
{
	return value == JT_NONE ? NAN : (double)value / unit;
}

void jt__expose_process(struct jt_expose *e, const struct jt_meter *meter,
                        const struct jt_metrics_extra *x)
{
	struct jt_own_cost own;

	jt_meter_own_cost(meter, &own);
	jt__expose_begin(e, &cpu);
	jt__expose_sample(e, scaled(own.cpu_ns, 1e9), NULL, 0);
	jt__expose_begin(e, &threads);
	expose(e, scaled(own.sampling_ns, 1e9), { "threads", "sampler" });
	expose(e, scaled(x->bookkeeper_cpu_ns, 1e9), { "threads", "bookkeeper" });
	expose(e, scaled(x->workers_cpu_ns, 1e9), { "threads", "workers" });
	jt__expose_begin(e, &joules);
	expose(e, scaled(own.energy_uj, 1e6), { "provenance", jt_provenance_name(own.provenance) });
	jt__expose_begin(e, &bound);
	jt__expose_sample(e, scaled(own.bound_uj, 1e6), NULL, 0);
	jt__expose_begin(e, &memory);
	jt__expose_sample(e, resident_bytes(), NULL, 0);
	jt__expose_begin(e, &build);
	expose(e, 1, { "version", JT_VERSION });
}

void jt__own_cost_json(struct jt_buf *b, const struct jt_own_cost *own)
{
	bool known = own->energy_uj != JT_NONE;

	jt__json_key(b, "own");
	jt__buf_append_text(b, "{");
	jt__json_key(b, "cpu_s");
	jt__json_nano(b, own->cpu_ns);
	jt__json_key(b, "sampling_cpu_s");
	jt__json_nano(b, own->sampling_ns);
	jt__json_key(b, "energy_j");
	jt__json_micro(b, own->energy_uj);
	jt__json_key(b, "bound_j");
	jt__json_micro(b, own->bound_uj);
	jt__json_key(b, "provenance");
	jt__buf_printf(b, known ? "\"%s\"}" : "null}", jt_provenance_name(own->provenance));
}

void jt__list_process_families(jt_family_fn each, void *user)
{
	each(user, &cpu);
	each(user, &threads);
	each(user, &joules);
	each(user, &bound);
	each(user, &memory);
	each(user, &build);
}
