/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpumodel: the CPU's power guessed from its utilisation, where nothing measures it
 *
 * What it tells: a cumulative energy "cpu:0" of all logical CPUs together, provenance "modelled".
 * The curve is that of Fan, Weber & Barroso ("Power provisioning for a warehouse-sized computer",
 * ISCA 2007), P(u) = idle + (busy - idle) (2u - u^1.4), where the exponent is the one they
 * calibrated. Idle and busy watts a logical CPU are those of Skylake and Cascade Lake servers in
 * SPECpower, as the Cloud Carbon Footprint methodology tabulates them (0.64 W; 3.8 to 4.05 W).
 * Laptops and newer servers draw less; the stated tolerance covers about a third either way, not
 * every machine.
 *
 * Utilisation is (user + nice + system + irq + softirq) / all of /proc/stat; time stolen by a
 * hypervisor is not ours. It is taken over the last 50 to 100 ms (or since the last reading, where
 * that is longer ago), since the kernel counts in steps of 10 ms a CPU, and integrated between
 * readings; the energy never falls.
 *
 * Permissions: none. Answers only where no other source gives a "cpu" domain.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/base.h"
#include "base/clock.h"
#include "sources/cpumodel.h"
#include "sources/source.h"
#include "sources/sysfs.h"

#define IDLE_W 0.64 /* a logical CPU */
#define BUSY_W 4.0
#define EXPONENT 1.4
#define WINDOW_NS (50 * JT_NS_PER_MS)

struct cpumodel {
	int fd;
	struct jt_cpumodel model;
};

double jt__cpumodel_power_w(double utilisation, unsigned n_cpus)
{
	double u = fmin(fmax(utilisation, 0), 1);

	return n_cpus * (IDLE_W + (BUSY_W - IDLE_W) * (2 * u - pow(u, EXPONENT)));
}

uint64_t jt__cpumodel_idle_mw(const struct jt_domain *d)
{
	return (uint64_t)(d->sensor.max_power_mw / BUSY_W * IDLE_W);
}

/* The first line of /proc/stat: "cpu  user nice system idle iowait irq softirq steal …". */
bool jt__cpu_ticks_parse(const char *stat, uint64_t now_ns, struct jt_cpu_ticks *ret_ticks)
{
	enum { IDLE = 3, IOWAIT = 4, STEAL = 7, N_COLUMNS = 8 };
	struct jt_cpu_ticks t = { .t_ns = now_ns };
	const char *p = stat + 4;
	char *end;

	if (strncmp(stat, "cpu ", 4) != 0)
		return false;
	for (int column = 0; column < N_COLUMNS; column++, p = end) {
		unsigned long long ticks = strtoull(p, &end, 10);

		if (end == p && column <= IDLE)
			return false;
		t.all += ticks;
		if (column != IDLE && column != IOWAIT && column != STEAL)
			t.busy += ticks;
	}
	*ret_ticks = t;
	return true;
}

int jt__cpumodel_step(struct jt_cpumodel *m, const char *stat, uint64_t now_ns)
{
	struct jt_cpu_ticks now;
	bool marks = now_ns >= m->mark.t_ns + WINDOW_NS;

	if (!jt__cpu_ticks_parse(stat, now_ns, &now))
		return JT_EIO;
	if (marks)
		m->since = m->mark;
	/*
	 * Columns may step back a little (iowait does, proc(5)): the last utilisation then stands.
	 */
	if (now.all > m->since.all && now.busy >= m->since.busy)
		m->utilisation =
			(double)(now.busy - m->since.busy) / (double)(now.all - m->since.all);
	if (now_ns > m->last_ns) {
		m->energy_j += jt__cpumodel_power_w(m->utilisation, m->n_cpus) *
		               (double)(now_ns - m->last_ns) / (double)JT_NS_PER_S;
		m->last_ns = now_ns;
	}
	if (marks)
		m->mark = now;
	return JT_OK;
}

int jt__cpumodel_begin(struct jt_cpumodel *m, const char *stat, uint64_t now_ns)
{
	struct jt_cpumodel fresh = { .last_ns = now_ns };
	struct jt_cpu_ticks now;

	if (!jt__cpu_ticks_parse(stat, now_ns, &now))
		return JT_EIO;
	fresh.since = fresh.mark = now;
	/* The mean since boot, until there is something newer. */
	fresh.utilisation = now.all ? (double)now.busy / (double)now.all : 0;
	for (const char *p = strchr(stat, '\n'); p; p = strchr(p + 1, '\n'))
		fresh.n_cpus += strncmp(p + 1, "cpu", 3) == 0;
	if (fresh.n_cpus == 0)
		return JT_EIO;
	*m = fresh;
	return JT_OK;
}

static void cpumodel_close(void *state)
{
	struct cpumodel *c = state;

	if (!c)
		return;
	if (c->fd >= 0)
		close(c->fd);
	jt__free(c);
}

/* The per-CPU lines stand before the long rest of the file; 64 KiB hold those of 600 CPUs. */
static int begin(struct cpumodel *c, struct jt_error *err)
{
	const size_t size = 1 << 16;
	char *text = jt__alloc(1, size);
	ssize_t n;
	int status;

	if (!text)
		return jt__fail(err, JT_ENOMEM, "cpumodel", "cannot allocate a buffer");
	n = pread(c->fd, text, size - 1, 0);
	if (n < 0)
		status = jt__fail(err, JT_EIO, "cpumodel", "cannot read '/proc/stat': %s",
		                  strerror(errno));
	else if (jt__cpumodel_begin(&c->model, text, jt__now_ns()) < 0)
		status = jt__fail(err, JT_EINVAL, "cpumodel", "'/proc/stat' has no cpu lines");
	else
		status = JT_OK;
	jt__free(text);
	return status;
}

static int cpumodel_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	struct cpumodel *c = jt__alloc(1, sizeof(*c));
	const char *root = jt__sysfs_root(o->root);
	int status;

	if (!c)
		return jt__fail(err, JT_ENOMEM, "cpumodel", "cannot allocate state");
	c->fd = jt__open_file(root, "/proc/stat");
	if (c->fd < 0)
		status = jt__fail(err, JT_ENOENT, "cpumodel", "cannot open '%.200s/proc/stat': %s",
		                  root, strerror(errno));
	else
		status = begin(c, err);
	if (status < 0) {
		cpumodel_close(c);
		return status;
	}
	*ret_state = c;
	return JT_OK;
}

static size_t cpumodel_count(const void *state)
{
	(void)state;
	return 1;
}

static void cpumodel_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	const struct cpumodel *c = state;
	struct jt_domain d = { .name = "cpu:0",
		               .source = "cpumodel",
		               .sensor = *jt_sensor_find("cpumodel"),
		               .valid = JT_HAS_ENERGY | JT_HAS_POWER };

	(void)i;
	d.sensor.max_power_mw = (uint32_t)(c->model.n_cpus * BUSY_W * 1e3);
	snprintf(d.device, sizeof(d.device), "%u logical CPUs, modelled from their utilisation",
	         c->model.n_cpus);
	snprintf(d.missing, sizeof(d.missing),
	         "no energy counter of the CPU was found: this is a model, not a meter");
	*ret_domain = d;
}

static int cpumodel_read(void *state, size_t i, struct jt_sample *out)
{
	struct cpumodel *c = state;
	char text[512];
	ssize_t n = pread(c->fd, text, sizeof(text) - 1, 0);

	(void)i;
	out->begin_ns = out->end_ns = jt__now_ns();
	text[n > 0 ? n : 0] = '\0';
	out->status = jt__cpumodel_step(&c->model, text, out->end_ns);
	if (out->status < 0)
		return out->status;
	out->energy_uj = (uint64_t)(c->model.energy_j * 1e6);
	out->power_mw =
		(uint32_t)(jt__cpumodel_power_w(c->model.utilisation, c->model.n_cpus) * 1e3);
	out->valid = JT_HAS_ENERGY | JT_HAS_POWER;
	return JT_OK;
}

const struct jt_source_ops jt__source_cpumodel = {
	.name = "cpumodel",
	.what = "the CPU's power modelled from its utilisation",
	.open = cpumodel_open,
	.count = cpumodel_count,
	.describe = cpumodel_describe,
	.read = cpumodel_read,
	.close = cpumodel_close,
};
