/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of each kind of hwmon chip mean. A chip's folder is /sys/class/hwmon/hwmonN, or
 * its `device` where the driver is older than hwmon's own attributes (acpi_power_meter was until
 * Linux 6.15); the folder that holds `name` is the one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sources/hwmon.h"

#define HWMON "/sys/class/hwmon"
#define IIO "/sys/bus/iio/devices"
#define MAX_CHIPS 256

struct chip {
	char dir[64];
	char name[32];
	unsigned number; /* of hwmonN */
};

/* -- meters -- */

static int open_named(struct hwmon *h, const char *path)
{
	int fd = jt__open_file(h->root, path);

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		snprintf(h->denied, sizeof(h->denied), "%.95s", path);
	return fd;
}

/* The next free meter, its file(s) open; NULL if one cannot be opened. */
static struct hwmon_meter *add_meter(struct hwmon *h, enum hwmon_unit unit, const char *sensor,
                                     const char *path, const char *path_ma)
{
	struct hwmon_meter *m = &h->meters[h->n];

	if (h->n == HWMON_MAX_METERS)
		return NULL;
	*m = (struct hwmon_meter){ .unit = unit, .fd_ma = -1 };
	m->info.sensor = *jt_sensor_find(sensor);
	m->info.valid = unit == HWMON_UJ   ? JT_HAS_ENERGY
	                : unit == HWMON_UW ? JT_HAS_POWER_AVG
	                                   : JT_HAS_POWER;
	strcpy(m->info.source, "hwmon");
	m->fd = open_named(h, path);
	if (m->fd < 0)
		return NULL;
	if (path_ma) {
		m->fd_ma = open_named(h, path_ma);
		if (m->fd_ma < 0) {
			close(m->fd);
			return NULL;
		}
	}
	h->n++;
	return m;
}

static struct hwmon_meter *find_meter(struct hwmon *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->meters[i].info.name, name) == 0)
			return &h->meters[i];
	return NULL;
}

/* -- ACPI power meters -- */

/* What NVIDIA's Grace calls them, from the part to the whole. */
static const struct {
	const char *oem, *kind, *what, *whole;
} grace[] = {
	{ "CPU", "cpu", "cores and caches of", "grace" },
	{ "SysIO", "sysio", "I/O of", "grace" },
	{ "Grace", "grace", "all of", "module" },
	{ "Module", "module", "CPU, GPU and memory of module", NULL },
};

static bool name_grace(struct jt_domain *d, const char *oem)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(grace); i++) {
		size_t length = strlen(grace[i].oem);
		uint64_t socket;

		if (strncmp(oem, grace[i].oem, length) != 0 ||
		    strncmp(oem + length, " Power Socket ", 14) != 0 ||
		    !jt__parse_u64(oem + length + 14, &socket) || socket > UINT16_MAX)
			continue;
		snprintf(d->name, sizeof(d->name), "%s:%u", grace[i].kind, (unsigned)socket);
		snprintf(d->device, sizeof(d->device), "%s (%s socket %u)", oem, grace[i].what,
		         (unsigned)socket);
		return true;
	}
	return false;
}

/* The meter tells over which time it averages, and how well, in per cent of right. */
static void ask_acpi(const struct hwmon *h, const char *dir, unsigned k, struct jt_sensor *s)
{
	char path[JT_SYSFS_PATH], text[32];
	uint64_t ms;
	double accuracy;

	snprintf(path, sizeof(path), "%s/power%u_average_interval", dir, k);
	if (jt__read_number(h->root, path, &ms) == 0 && ms > 0 && ms <= 3600 * 1000)
		s->update_ns = s->avg_window_ns = ms * JT_NS_PER_MS;
	snprintf(path, sizeof(path), "%s/power%u_accuracy", dir, k);
	if (jt__read_text(h->root, path, text, sizeof(text)) != 0)
		return;
	accuracy = strtod(text, NULL);
	if (accuracy > 0 && accuracy <= 100)
		s->gain_ppm = JT_MAX(s->gain_ppm, (uint32_t)((100 - accuracy) * 1e4));
}

static void add_acpi(struct hwmon *h, const struct chip *chip)
{
	char path[JT_SYSFS_PATH], name[32];
	struct hwmon_meter *m;

	for (unsigned k = 1; k <= 8; k++) {
		char oem[64] = "";

		snprintf(path, sizeof(path), "%s/power%u_average", chip->dir, k);
		m = add_meter(h, HWMON_UW, "acpi", path, NULL);
		if (!m)
			continue;
		ask_acpi(h, chip->dir, k, &m->info.sensor);
		snprintf(path, sizeof(path), "%s/power%u_oem_info", chip->dir, k);
		jt__read_text(h->root, path, oem, sizeof(oem));
		if (name_grace(&m->info, oem))
			continue;
		for (unsigned i = 0;
		     snprintf(name, sizeof(name), "node:%u", i), find_meter(h, name);)
			i++;
		strcpy(m->info.name, name);
		snprintf(m->info.device, sizeof(m->info.device), "power of the machine%s%.48s",
		         oem[0] ? ": " : "", oem);
	}
}

/* -- Jetson's rails -- */

/* Of the supply that feeds all of the module. */
static bool is_board(const char *label)
{
	static const char *const boards[] = { "VDD_IN", "POM_5V_IN", "5V_IN", "VIN" };

	for (size_t i = 0; i < JT_ARRAY_LEN(boards); i++)
		if (strcmp(label, boards[i]) == 0)
			return true;
	return false;
}

/* A channel that is not connected is called NC or nothing at all. */
static bool has_label(const struct hwmon *h, const char *path, char *label, size_t size)
{
	return jt__read_text(h->root, path, label, size) == 0 && label[0] &&
	       strcmp(label, "NC") != 0;
}

static void name_rail(struct jt_domain *d, const char *label)
{
	bool board = is_board(label);

	if (board)
		strcpy(d->name, "board:0");
	else
		snprintf(d->name, sizeof(d->name), "rail:%.26s", label);
	for (char *p = d->name; *p; p++)
		if (*p == ' ')
			*p = '_';
	snprintf(d->device, sizeof(d->device), "supply rail %.32s%s", label,
	         board ? ", contains the others" : "");
}

static void add_ina3221(struct hwmon *h, const struct chip *chip)
{
	char label[32], path[JT_SYSFS_PATH], path_ma[JT_SYSFS_PATH];
	struct hwmon_meter *m;
	uint64_t ms = 0, on;

	snprintf(path, sizeof(path), "%s/update_interval", chip->dir);
	jt__read_number(h->root, path, &ms);
	for (unsigned k = 1; k <= 3; k++) {
		snprintf(path, sizeof(path), "%s/in%u_enable", chip->dir, k);
		if (jt__read_number(h->root, path, &on) == 0 && !on)
			continue;
		snprintf(path, sizeof(path), "%s/in%u_label", chip->dir, k);
		if (!has_label(h, path, label, sizeof(label)))
			continue;
		snprintf(path, sizeof(path), "%s/in%u_input", chip->dir, k);
		snprintf(path_ma, sizeof(path_ma), "%s/curr%u_input", chip->dir, k);
		m = add_meter(h, HWMON_MV_MA, "ina3221", path, path_ma);
		if (!m)
			continue;
		name_rail(&m->info, label);
		if (ms > 0 && ms <= 60 * 1000) {
			m->info.sensor.update_ns = ms * JT_NS_PER_MS;
			m->info.sensor.window_ns = m->info.sensor.update_ns / 3;
		}
	}
}

/* The driver of L4T before release 34 (TX1 to Xavier) is an iio device that multiplies itself. */
static void add_iio(struct hwmon *h, unsigned number)
{
	char dir[64], label[32], path[JT_SYSFS_PATH];
	struct hwmon_meter *m;

	snprintf(dir, sizeof(dir), IIO "/iio:device%u", number);
	snprintf(path, sizeof(path), "%s/name", dir);
	if (jt__read_text(h->root, path, label, sizeof(label)) != 0 ||
	    strcmp(label, "ina3221x") != 0)
		return;
	for (unsigned k = 0; k < 3; k++) {
		snprintf(path, sizeof(path), "%s/rail_name_%u", dir, k);
		if (!has_label(h, path, label, sizeof(label)))
			continue;
		snprintf(path, sizeof(path), "%s/in_power%u_input", dir, k);
		m = add_meter(h, HWMON_MW, "ina3221", path, NULL);
		if (m)
			name_rail(&m->info, label);
	}
}

/* -- Intel GPUs -- */

/* By address, as no hwmon number stays the same over a reboot. Intel's meters are the first. */
static void sort_in(struct hwmon *h, struct hwmon_meter *m)
{
	for (; m > h->meters && strcmp(m[-1].info.uuid, m->info.uuid) > 0; m--) {
		struct hwmon_meter later = m[-1];

		m[-1] = *m;
		*m = later;
	}
}

/*
 * xe counts the card in energy1 and the package, which is inside of it, in energy2; some GPUs have
 * the second alone, and i915 has one without a label. i915 also shows each tile as a chip of its
 * own, i915_gtN, inside of the first. One counter a GPU is enough.
 */
static void add_intel(struct hwmon *h, const struct chip *chip)
{
	char path[JT_SYSFS_PATH], label[32] = "", slot[32] = "", device[16] = "";
	struct hwmon_meter *m = NULL;

	for (unsigned k = 1; !m && k <= 2; k++) {
		snprintf(path, sizeof(path), "%s/energy%u_input", chip->dir, k);
		m = add_meter(h, HWMON_UJ, "intelgpu", path, NULL);
		snprintf(path, sizeof(path), "%s/energy%u_label", chip->dir, k);
		jt__read_text(h->root, path, label, sizeof(label));
	}
	if (!m)
		return;
	snprintf(path, sizeof(path), HWMON "/hwmon%u/device/uevent", chip->number);
	jt__read_uevent(h->root, path, "PCI_SLOT_NAME", slot, sizeof(slot));
	jt__read_uevent(h->root, path, "PCI_ID", device, sizeof(device));
	strcpy(m->info.uuid, slot);
	snprintf(m->info.device, sizeof(m->info.device), "Intel GPU %s (%s%s%s)", device,
	         chip->name, label[0] ? ", " : "", label);
	sort_in(h, m);
}

static void number_gpus(struct hwmon *h)
{
	unsigned n = 0;

	for (size_t i = 0; i < h->n; i++)
		if (h->meters[i].unit == HWMON_UJ)
			snprintf(h->meters[i].info.name, sizeof(h->meters[i].info.name), "gpu:%u",
			         n++);
}

/* -- all of them -- */

static const struct {
	const char *name;
	void (*add)(struct hwmon *h, const struct chip *chip);
} kinds[] = {
	{ "i915", add_intel },
	{ "xe", add_intel },
	{ "power_meter", add_acpi },
	{ "ina3221", add_ina3221 },
};

static bool open_chip(const char *root, unsigned number, struct chip *ret)
{
	static const char *const below[] = { "", "/device" };
	char path[JT_SYSFS_PATH];

	for (size_t i = 0; i < JT_ARRAY_LEN(below); i++) {
		struct chip chip = { .number = number };

		snprintf(chip.dir, sizeof(chip.dir), HWMON "/hwmon%u%s", number, below[i]);
		snprintf(path, sizeof(path), "%s/name", chip.dir);
		if (jt__read_text(root, path, chip.name, sizeof(chip.name)) == 0) {
			*ret = chip;
			return true;
		}
	}
	return false;
}

/* The nearest whole that is metered: a Grace without its own meter still is in its module. */
static void place_grace(struct hwmon *h, struct hwmon_meter *m)
{
	const char *colon = strchr(m->info.name, ':'), *kind = m->info.name;
	size_t length = colon ? (size_t)(colon - kind) : 0;

	if (m->unit != HWMON_UW)
		return;
	for (size_t i = 0; i < JT_ARRAY_LEN(grace); i++) {
		char whole[32];

		if (strlen(grace[i].kind) != length || strncmp(grace[i].kind, kind, length) != 0 ||
		    !grace[i].whole)
			continue;
		snprintf(whole, sizeof(whole), "%s%.10s", grace[i].whole, colon);
		if (find_meter(h, whole)) {
			strcpy(m->info.part_of, whole);
			return;
		}
		kind = grace[i].whole;
		length = strlen(kind);
	}
}

void jt__hwmon_find(struct hwmon *h)
{
	unsigned numbers[MAX_CHIPS];
	size_t n = jt__list_numbered(h->root, HWMON, "hwmon", numbers, MAX_CHIPS);
	struct chip chip;

	for (size_t k = 0; k < JT_ARRAY_LEN(kinds); k++)
		for (size_t i = 0; i < n; i++)
			if (open_chip(h->root, numbers[i], &chip) &&
			    strcmp(chip.name, kinds[k].name) == 0)
				kinds[k].add(h, &chip);
	n = jt__list_numbered(h->root, IIO, "iio:device", numbers, MAX_CHIPS);
	for (size_t i = 0; i < n; i++)
		add_iio(h, numbers[i]);
	number_gpus(h);
	for (size_t i = 0; i < h->n; i++) {
		struct hwmon_meter *m = &h->meters[i];

		place_grace(h, m);
		if (strncmp(m->info.name, "rail:", 5) == 0 && find_meter(h, "board:0"))
			strcpy(m->info.part_of, "board:0");
	}
}
