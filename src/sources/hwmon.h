/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_HWMON_H
#define JT_HWMON_H
/*
 * What hwmon.c and hwmon_chips.c share: hwmon.c is the source, hwmon_chips.c knows what the files
 * of each kind of chip mean. One thread, save that different meters may be read at once.
 */
#include "jouletap/source.h"
#include "sources/sysfs.h"

#define HWMON_MAX_METERS 64

enum hwmon_unit {
	HWMON_UJ,    /* an energy counter */
	HWMON_UW,    /* power, averaged; never 0 while it knows it */
	HWMON_MW,    /* power */
	HWMON_MV_MA, /* power: two files, voltage times current */
};

struct hwmon_meter {
	struct jt_domain info;
	enum hwmon_unit unit;
	int fd;
	int fd_ma; /* of HWMON_MV_MA; -1 otherwise */
};

struct hwmon {
	const char *root;
	size_t n;
	struct hwmon_meter meters[HWMON_MAX_METERS];
	char denied[96]; /* a file that is there, but not for us; "" if none */
};

/* Adds the meters of every chip that is known. */
void jt__hwmon_find(struct hwmon *h);

#endif
