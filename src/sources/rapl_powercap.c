/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RAPL through /sys/class/powercap: one folder a zone, packages at the top, their parts below.
 * core and uncore are inside the package and never counted beside it; dram is not. The
 * intel-rapl-mmio zones repeat the packages by another register and serve only where the MSR
 * ones are absent. AMD uses the same names. Since Linux 5.10 energy_uj is for root alone
 * (CVE-2020-8694).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sources/rapl.h"

#define POWERCAP "/sys/class/powercap"

/* A zone's folder: intel-rapl:PACKAGE or intel-rapl:PACKAGE:PART. */
struct folder {
	bool mmio;
	unsigned top;
	int part; /* -1: the top zone itself */
	char name[64];
	char label[32];
};

struct folders {
	size_t n;
	bool msr;    /* a package by the MSR way is among them */
	bool hidden; /* there are entries that lead nowhere: a container masks what they point to */
	struct folder all[RAPL_MAX_ZONES];
};

static bool parse_folder(const char *name, struct folder *ret_folder)
{
	struct folder f = { .part = -1 };
	const char *p = name;
	char *end;

	if (strncmp(p, "intel-rapl-mmio:", 16) == 0) {
		f.mmio = true;
		p += 16;
	} else if (strncmp(p, "intel-rapl:", 11) == 0) {
		p += 11;
	} else {
		return false;
	}
	f.top = (unsigned)strtoul(p, &end, 10);
	if (end != p && *end == ':')
		f.part = (int)strtol(p = end + 1, &end, 10);
	if (end == p || *end || !jt__copy_text(f.name, sizeof(f.name), name, strlen(name)))
		return false;
	*ret_folder = f;
	return true;
}

/* Packages first by number, then their parts: the order does not depend on the directory's. */
static int by_zone(const void *a, const void *b)
{
	const struct folder *x = a, *y = b;

	if (x->top != y->top)
		return x->top < y->top ? -1 : 1;
	return (x->part > y->part) - (x->part < y->part);
}

static int list_folders(const char *root, struct folders *f)
{
	char path[512];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "%s" POWERCAP, root);
	dir = opendir(path);
	if (!dir)
		return errno == EACCES ? JT_EPERM : JT_ENOENT;
	while (f->n < RAPL_MAX_ZONES && (entry = readdir(dir))) {
		struct folder *z = &f->all[f->n];

		if (!parse_folder(entry->d_name, z))
			continue;
		snprintf(path, sizeof(path), POWERCAP "/%s/name", z->name);
		if (jt__read_text(root, path, z->label, sizeof(z->label)) != 0) {
			f->hidden = true;
			continue;
		}
		f->msr |= !z->mmio && strncmp(z->label, "package-", 8) == 0;
		f->n++;
	}
	closedir(dir);
	qsort(f->all, f->n, sizeof(f->all[0]), by_zone);
	return JT_OK;
}

/* The zone's counter; its errno if it cannot be opened. */
static int open_zone(const char *root, const struct folder *f, struct rapl_zone *z)
{
	char path[512], text[32];
	uint64_t range_uj;

	snprintf(path, sizeof(path), POWERCAP "/%s/max_energy_range_uj", f->name);
	if (jt__read_text(root, path, text, sizeof(text)) == 0 && jt__parse_u64(text, &range_uj) &&
	    range_uj > 0 && range_uj < UINT64_MAX)
		z->wrap_uj = range_uj + 1;
	snprintf(path, sizeof(path), POWERCAP "/%s/energy_uj", f->name);
	z->fd = jt__open_file(root, path);
	return z->fd < 0 ? errno : 0;
}

int jt__rapl_powercap_open(const char *root, struct rapl_zone zones[RAPL_MAX_ZONES],
                           size_t *n_zones)
{
	struct folders f = { 0 };
	int status = list_folders(root, &f), error;
	unsigned n_packages = 0, package = 0, top = 0;

	if (status < 0)
		return status;
	status = f.hidden ? JT_ENOTSUP : JT_ENOENT;
	for (size_t i = 0; i < f.n; i++) {
		const struct folder *z = &f.all[i];
		struct rapl_zone zone = { .fd = -1 };

		if (z->mmio && f.msr)
			continue;
		if (z->part < 0 && strncmp(z->label, "package-", 8) == 0) {
			zone.kind = RAPL_PACKAGE;
			top = z->top;
			package = zone.index = n_packages++;
		} else if (z->part < 0 && strcmp(z->label, "psys") == 0) {
			zone.kind = RAPL_PSYS;
		} else if (strcmp(z->label, "dram") == 0 && n_packages && z->top == top) {
			zone.kind = RAPL_DRAM;
			zone.index = package;
		} else {
			continue;
		}
		error = open_zone(root, z, &zone);
		if (error == EACCES || error == EPERM)
			status = JT_EPERM;
		else if (error == 0)
			zones[(*n_zones)++] = zone;
	}
	return *n_zones && status != JT_EPERM ? JT_OK : status;
}
