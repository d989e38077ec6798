/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RAPL_H
#define JT_RAPL_H
/*
 * What the two ways to the CPU's energy counters have in common: a zone is one
 * counter. rapl.c chooses a way and reads; each way fills zones. One thread, save
 * that different zones may be read at once.
 */
#include "sources/sysfs.h"

#define RAPL_MAX_ZONES 64

enum rapl_kind { RAPL_PACKAGE, RAPL_DRAM, RAPL_PSYS };

struct rapl_zone {
	enum rapl_kind kind;
	unsigned index;   /* of the package it belongs to */
	int fd;           /* -1: not open */
	double scale_j;   /* perf: joules a count; 0: the file is text in µJ */
	uint64_t wrap_uj; /* the value runs 0 .. wrap_uj - 1; 0: it does not wrap */
};

struct rapl_event {
	enum rapl_kind kind;
	uint32_t type; /* of the PMU */
	uint64_t config;
	int cpu;
	unsigned index;
	double scale_j;
};

/* The events of the `power` PMU below @root; 0 if there is none. No event is opened. */
size_t jt__rapl_perf_find(const char *root, struct rapl_event events[RAPL_MAX_ZONES]);

/*
 * Opens the running kernel's events into zones, appending to @n_zones. JT_ENOENT: none here;
 * JT_EPERM: there are, but not for us.
 */
int jt__rapl_perf_open(struct rapl_zone zones[RAPL_MAX_ZONES], size_t *n_zones);

/*
 * The same by the powercap files below @root. JT_EPERM also where other zones were opened;
 * JT_ENOTSUP: a container hides them.
 */
int jt__rapl_powercap_open(const char *root, struct rapl_zone zones[RAPL_MAX_ZONES],
                           size_t *n_zones);

/* µJ of @count. Rises with the count; exact to the µJ below 2^53 µJ. */
uint64_t jt__rapl_scale(uint64_t count, double scale_j);

#endif
