/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rapl: the energy counters of Intel and AMD CPUs
 *
 * What it measures: cumulative energy of each CPU package ("cpu:N"), of its memory where the CPU
 * tells ("dram:N"), and of the whole platform on some laptops ("psys:0", which contains the others:
 * do not add it to them).
 *
 * Permissions: perf events need CAP_PERFMON or kernel.perf_event_paranoid <= 0, the powercap files
 * are readable by root alone. Either is enough; perf is tried first.
 *
 * Accuracy: the counter moves each 1 ms, without a timestamp: at 20 readings a second or fewer the
 * edges are below 5 %. By powercap it wraps, typically each 262 kJ (26 min at 170 W).
 *
 * Below another root there are no perf events to open, only files: powercap is used.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sources/rapl.h"
#include "sources/source.h"

struct rapl {
	size_t n;
	struct rapl_zone zones[RAPL_MAX_ZONES];
};

int jt__read_text(const char *root, const char *path, char *text, size_t size)
{
	char full[512];
	ssize_t n;
	int fd, error;

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return ENAMETOOLONG;
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return error;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

bool jt__parse_u64(const char *text, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || (*end && *end != '\n') || errno)
		return false;
	*ret_value = value;
	return true;
}

static void rapl_close(void *state)
{
	struct rapl *r = state;

	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		close(r->zones[i].fd);
	jt__free(r);
}

static int explain(int status, struct jt_error *err)
{
	if (status == JT_EPERM)
		return jt__fail(err, status, "rapl",
		                "no permission to read the CPU's energy counters (try: sudo setcap "
		                "cap_perfmon+ep jouletap, or a udev rule that makes energy_uj of "
		                "/sys/class/powercap readable)");
	return jt__fail(err, JT_ENOENT, "rapl",
	                "no energy counters of CPU or memory here (virtual machines have none)");
}

static int rapl_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	const char *root = o->root && strcmp(o->root, "/") != 0 ? o->root : "";
	struct rapl *r = jt__alloc(1, sizeof(*r));
	int perf = JT_ENOENT, status;

	if (!r)
		return jt__fail(err, JT_ENOMEM, "rapl", "cannot allocate state");
	status = perf = root[0] ? JT_ENOENT : jt__rapl_perf_open(r->zones, &r->n);
	if (status < 0)
		status = jt__rapl_powercap_open(root, r->zones, &r->n);
	if (status < 0) {
		rapl_close(r);
		return explain(perf == JT_EPERM ? perf : status, err);
	}
	*ret_state = r;
	return JT_OK;
}

static size_t rapl_count(const void *state)
{
	return ((const struct rapl *)state)->n;
}

static void rapl_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	static const char *const names[] = { "cpu", "dram", "psys" };
	static const char *const devices[] = { "CPU package", "memory of CPU package", "platform" };
	const struct rapl_zone *z = &((const struct rapl *)state)->zones[i];
	struct jt_domain d = { .source = "rapl",
		               .sensor = *jt_sensor_find("rapl"),
		               .valid = JT_HAS_ENERGY };

	d.sensor.wrap_uj = z->wrap_uj;
	snprintf(d.name, sizeof(d.name), "%s:%u", names[z->kind], z->index);
	snprintf(d.device, sizeof(d.device), "%s %u (%s)%s", devices[z->kind], z->index,
	         z->scale_j > 0 ? "perf" : "powercap",
	         z->kind == RAPL_PSYS ? ", contains cpu and dram" : "");
	if (!z->wrap_uj && !(z->scale_j > 0))
		snprintf(d.missing, sizeof(d.missing),
		         "no max_energy_range_uj: a wrap of the counter will look like a reset");
	*ret_domain = d;
}

/* perf gives a binary count, powercap decimal text; both anew from their beginning at each read. */
static int read_counter(const struct rapl_zone *z, uint64_t *ret_uj)
{
	char text[32];
	uint64_t count;
	ssize_t n;

	if (z->scale_j > 0) {
		if (read(z->fd, &count, sizeof(count)) != sizeof(count))
			return JT_EIO;
		*ret_uj = jt__rapl_scale(count, z->scale_j);
		return JT_OK;
	}
	n = pread(z->fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return n < 0 && errno == EACCES ? JT_EPERM : JT_EIO;
	text[n] = '\0';
	return jt__parse_u64(text, ret_uj) ? JT_OK : JT_EIO;
}

static int rapl_read(void *state, size_t i, struct jt_sample *out)
{
	out->status = read_counter(&((struct rapl *)state)->zones[i], &out->energy_uj);
	if (out->status == JT_OK)
		out->valid = JT_HAS_ENERGY;
	return out->status;
}

const struct jt_source_ops jt__source_rapl = {
	.name = "rapl",
	.what = "CPU packages and memory through their energy counters",
	.open = rapl_open,
	.count = rapl_count,
	.describe = rapl_describe,
	.read = rapl_read,
	.close = rapl_close,
};
