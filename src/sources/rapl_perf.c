/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAPL through the kernel's `power` PMU: 64-bit counters that start at 0 when opened and do not
 * wrap, one event a package, which the kernel folds the 32-bit registers into. The directory may
 * exist with no events in it (virtual machines), so the event files are what is looked for.
 * Raffin & Trystram (arXiv:2401.15985) find this way the best default.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sources/rapl.h"

#define PMU "/sys/bus/event_source/devices/power/"

static const struct {
	const char *event;
	enum rapl_kind kind;
} events_known[] = {
	{ "energy-pkg", RAPL_PACKAGE },
	{ "energy-ram", RAPL_DRAM },
	{ "energy-psys", RAPL_PSYS },
};

/* "event=0x02" and its scale in joules a count. */
static bool read_event(const char *root, const char *event, uint64_t *ret_config, double *ret_scale)
{
	char path[96], text[64], *end;

	snprintf(path, sizeof(path), PMU "events/%s", event);
	if (jt__read_text(root, path, text, sizeof(text)) != 0 || strncmp(text, "event=", 6) != 0)
		return false;
	*ret_config = strtoull(text + 6, &end, 0);
	if (end == text + 6 || *end)
		return false;
	snprintf(path, sizeof(path), PMU "events/%s.scale", event);
	if (jt__read_text(root, path, text, sizeof(text)) != 0)
		return false;
	*ret_scale = strtod(text, &end);
	return end != text && !*end && *ret_scale > 0 && *ret_scale < 1;
}

/* "0,18" or "0-1,8": the CPUs to count on, one a package. */
static size_t read_cpus(const char *root, int cpus[RAPL_MAX_ZONES])
{
	char text[256], *p = text, *end;
	size_t n = 0;

	if (jt__read_text(root, PMU "cpumask", text, sizeof(text)) != 0)
		return 0;
	while (*p) {
		unsigned long first = strtoul(p, &end, 10), last = first;

		if (end == p)
			break;
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (unsigned long c = first; c <= last && c <= INT32_MAX && n < RAPL_MAX_ZONES;
		     c++)
			cpus[n++] = (int)c;
		p = *end == ',' ? end + 1 : end;
	}
	return n;
}

size_t jt__rapl_perf_find(const char *root, struct rapl_event events[RAPL_MAX_ZONES])
{
	int cpus[RAPL_MAX_ZONES];
	size_t n_cpus = read_cpus(root, cpus), n = 0;
	uint64_t type, config;
	double scale_j;
	char text[32];

	if (jt__read_text(root, PMU "type", text, sizeof(text)) != 0 ||
	    !jt__parse_u64(text, &type) || type > UINT32_MAX)
		return 0;
	for (size_t k = 0; k < JT_ARRAY_LEN(events_known); k++) {
		/* psys is one register for the whole platform: every package shows the same. */
		size_t n_on = events_known[k].kind == RAPL_PSYS ? JT_MIN(n_cpus, 1) : n_cpus;

		if (!read_event(root, events_known[k].event, &config, &scale_j))
			continue;
		for (size_t c = 0; c < n_on && n < RAPL_MAX_ZONES; c++)
			events[n++] = (struct rapl_event){ .kind = events_known[k].kind,
				                           .type = (uint32_t)type,
				                           .config = config,
				                           .cpu = cpus[c],
				                           .index = (unsigned)c,
				                           .scale_j = scale_j };
	}
	return n;
}

int jt__rapl_perf_open(struct rapl_zone zones[RAPL_MAX_ZONES], size_t *n_zones)
{
	struct rapl_event events[RAPL_MAX_ZONES];
	size_t n = jt__rapl_perf_find("", events);
	int status = JT_ENOENT;

	for (size_t i = 0; i < n; i++) {
		struct perf_event_attr attr = { .type = events[i].type,
			                        .size = sizeof(attr),
			                        .config = events[i].config };
		int fd = (int)syscall(SYS_perf_event_open, &attr, -1, events[i].cpu, -1,
		                      PERF_FLAG_FD_CLOEXEC);

		if (fd < 0) {
			if (errno == EACCES || errno == EPERM)
				status = JT_EPERM;
			continue;
		}
		zones[(*n_zones)++] = (struct rapl_zone){ .kind = events[i].kind,
			                                  .index = events[i].index,
			                                  .fd = fd,
			                                  .scale_j = events[i].scale_j };
	}
	return *n_zones ? JT_OK : status;
}

uint64_t jt__rapl_scale(uint64_t count, double scale_j)
{
	return (uint64_t)((long double)count * scale_j * 1e6L);
}
