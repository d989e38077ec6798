/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rapl: the energy counters of Intel and AMD CPUs
 *
 * What it measures: cumulative energy of each CPU package ("cpu:N"), of its memory where the CPU
 * tells ("dram:N"), and of the whole platform on some laptops ("psys:0", of which the others are
 * part: do not add it to them).
 *
 * Permissions: perf events need CAP_PERFMON or kernel.perf_event_paranoid <= 0, the powercap files
 * are readable by root alone. Either is enough; perf is tried first. The files need the kernel
 * module intel_rapl_msr, of AMD's CPUs too. Containers hide them.
 *
 * Accuracy: the counter moves each 1 ms, without a timestamp: at 20 readings a second or fewer the
 * edges are below 5 %. By powercap it wraps, typically each 262 kJ (26 min at 170 W).
 *
 * Below another root there are no perf events to open, only files: powercap is used.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "sources/rapl.h"
#include "sources/source.h"

struct rapl {
	size_t n;
	bool has_psys, denied; /* denied: some zones are not for us */
	struct rapl_zone zones[RAPL_MAX_ZONES];
};

static void rapl_close(void *state)
{
	struct rapl *r = state;

	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		close(r->zones[i].fd);
	jt__free(r);
}

static int explain_denied(const char *what, struct jt_error *err)
{
	return jt__fail(err, JT_EPERM, "rapl",
	                "no permission to read %s (try: sudo setcap cap_perfmon+ep jouletap, or a "
	                "udev rule: SUBSYSTEM==\"powercap\", ACTION==\"add\", "
	                "RUN+=\"/bin/chmod a+r /sys%%p/energy_uj\")",
	                what);
}

/* Whether this is an x86 CPU that no hypervisor stands below: then the counters ought to be here.
 */
static bool is_bare_x86(const char *root)
{
	char text[8192]; /* the first CPU's flags are in the first two */
	int fd = jt__open_file(root, "/proc/cpuinfo");
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return (strstr(text, "GenuineIntel") || strstr(text, "AuthenticAMD")) &&
	       !strstr(text, " hypervisor");
}

static int explain(const char *root, int status, struct jt_error *err)
{
	char hint[96];

	if (status == JT_EPERM)
		return explain_denied("the CPU's energy counters", err);
	if (status == JT_ENOTSUP)
		return jt__fail(err, status, "rapl",
		                "the CPU's energy counters are hidden from this container (try: "
		                "docker run --security-opt systempaths=unconfined)");
	if (is_bare_x86(root))
		return jt__fail(err, JT_ENOENT, "rapl",
		                "no energy counters of CPU or memory here (%s, for AMD's CPUs too)",
		                jt__module_hint(root, "intel_rapl_msr", hint));
	return jt__fail(err, JT_ENOENT, "rapl",
	                "no energy counters of CPU or memory here (virtual machines have none)");
}

static int rapl_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	const char *root = jt__sysfs_root(o->root);
	struct rapl *r = jt__alloc(1, sizeof(*r));
	int perf = JT_ENOENT, status;

	if (!r)
		return jt__fail(err, JT_ENOMEM, "rapl", "cannot allocate state");
	perf = root[0] ? JT_ENOENT : jt__rapl_perf_open(r->zones, &r->n);
	status = perf < 0 ? jt__rapl_powercap_open(root, r->zones, &r->n) : perf;
	if (!r->n) {
		rapl_close(r);
		return explain(root, perf == JT_EPERM ? perf : status, err);
	}
	r->denied = status == JT_EPERM;
	for (size_t i = 0; i < r->n; i++)
		r->has_psys |= r->zones[i].kind == RAPL_PSYS;
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
	const struct rapl *r = state;
	const struct rapl_zone *z = &r->zones[i];
	struct jt_domain d = { .source = "rapl",
		               .sensor = *jt_sensor_find("rapl"),
		               .valid = JT_HAS_ENERGY };

	d.sensor.wrap_uj = z->wrap_uj;
	snprintf(d.name, sizeof(d.name), "%s:%u", names[z->kind], z->index);
	snprintf(d.device, sizeof(d.device), "%s %u (%s)%s", devices[z->kind], z->index,
	         z->scale_j > 0 ? "perf" : "powercap",
	         z->kind == RAPL_PSYS ? ", contains cpu and dram" : "");
	if (r->has_psys && z->kind != RAPL_PSYS)
		strcpy(d.part_of, "psys:0");
	if (!z->wrap_uj && !(z->scale_j > 0))
		snprintf(d.missing, sizeof(d.missing),
		         "no max_energy_range_uj: a wrap of the counter will look like a reset");
	*ret_domain = d;
}

/* perf gives a binary count, powercap decimal text; both anew from their beginning at each read. */
static int read_counter(const struct rapl_zone *z, uint64_t *ret_uj)
{
	uint64_t count;

	if (!(z->scale_j > 0))
		return jt__reread_number(z->fd, ret_uj);
	if (read(z->fd, &count, sizeof(count)) != sizeof(count))
		return JT_EIO;
	*ret_uj = jt__rapl_scale(count, z->scale_j);
	return JT_OK;
}

static int rapl_read(void *state, size_t i, struct jt_sample *out)
{
	out->status = read_counter(&((struct rapl *)state)->zones[i], &out->energy_uj);
	if (out->status == JT_OK)
		out->valid = JT_HAS_ENERGY;
	return out->status;
}

static int rapl_partial(const void *state, struct jt_error *err)
{
	const struct rapl *r = state;

	return r->denied ? explain_denied("some of the CPU's energy counters", err) : JT_OK;
}

const struct jt_source_ops jt__source_rapl = {
	.name = "rapl",
	.what = "CPU packages and memory through their energy counters",
	.open = rapl_open,
	.count = rapl_count,
	.describe = rapl_describe,
	.read = rapl_read,
	.close = rapl_close,
	.partial = rapl_partial,
};
