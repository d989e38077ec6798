/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step is a second or so: /proc/stat and the process's CPU time are read, and as soon as the
 * timelines of the CPUs are closed so far, the step's energy is shared out.
 *
 * The idle floor is the model's own where the CPU is modelled, what was configured or learned for
 * the domain's account, or else the lowest power of a step so far.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "meter/inside.h"
#include "sources/cpumodel.h"
#include "sources/sysfs.h"

#define STEP_NS JT_NS_PER_S
#define GIVE_UP_NS (5 * JT_NS_PER_S) /* a sensor that tells no more */

void jt__own_share(const struct jt_own_step *step, const struct jt_own_energy *e, double *ret_uj,
                   double *ret_bound_uj)
{
	double floor_uj = (double)e->floor_mw * (double)step->dt_ns * 1e-6;
	double energy_uj = (double)e->energy_uj, off_uj = (double)e->bound_uj;
	double own_ns = (double)step->own_ns, ticks = (double)step->busy_ticks;
	double tick_ns = (double)step->tick_ns, off_ns = (1 + 2 * sqrt(ticks)) * tick_ns;
	/* whoever ran between two ticks is not in them: we were busy for as long as we know */
	double busy_ns = fmax(ticks * tick_ns, own_ns);
	double most, least;

	*ret_uj = *ret_bound_uj = 0;
	if (step->own_ns == 0)
		return;
	*ret_uj = fmax(energy_uj - floor_uj, 0) * own_ns / busy_ns;
	most = fmax(energy_uj + off_uj - floor_uj, 0) * own_ns / fmax(busy_ns - off_ns, own_ns);
	least = fmax(energy_uj - off_uj - floor_uj, 0) * own_ns / (busy_ns + off_ns);
	*ret_bound_uj = fmax(most - *ret_uj, *ret_uj - least);
}

/* ---- reading ---- */

static bool read_now(const struct jt_own *o, uint64_t now_ns, struct jt_own_reading *ret)
{
	struct jt_cpu_ticks ticks;
	char text[512];
	ssize_t n = pread(o->fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	if (!jt__cpu_ticks_parse(text, now_ns, &ticks))
		return false;
	*ret = (struct jt_own_reading){ now_ns, jt__cpu_ns(), ticks.busy };
	return true;
}

/* A CPU package, by the meter that comes first where there are several: "cpu:0@NAME" is another. */
static bool is_cpu(const struct jt_station *st)
{
	const char *name = st->domain->info.name;

	return strncmp(name, "cpu:", 4) == 0 && !strchr(name, '@');
}

void jt__own_open(struct jt_meter *m, uint64_t now_ns)
{
	const struct jt_source_options *s = &m->options.sources;
	struct jt_own *o = &m->own;
	bool any = false;

	o->fd = -1;
	o->provenance = JT_DERIVED;
	o->tick_ns = JT_NS_PER_S / (uint64_t)JT_MAX(sysconf(_SC_CLK_TCK), 1);
	for (size_t i = 0; i < m->n_stations; i++)
		any |= is_cpu(&m->stations[i]);
	if (!any || s->replay_file) /* a recording tells of another time */
		return;
	o->fd = jt__open_file(jt__sysfs_root(s->root), "/proc/stat");
	if (o->fd >= 0 && !read_now(o, now_ns, &o->from))
		jt__own_close(m);
}

void jt__own_close(struct jt_meter *m)
{
	if (m->own.fd >= 0)
		close(m->own.fd);
	m->own.fd = -1;
}

/* ---- sharing out ---- */

static uint64_t floor_mw(struct jt_station *st, uint64_t power_mw)
{
	const struct jt_domain *d = &st->domain->info;
	struct jt_account account;

	if (strcmp(d->source, "cpumodel") == 0)
		return jt__cpumodel_idle_mw(d);
	st->lowest_mw = JT_MIN(st->lowest_mw, power_mw);
	jt_attribution_account(st->attribution, &account);
	return account.idle_floor_mw == JT_NONE ? st->lowest_mw : account.idle_floor_mw;
}

static void share_out(struct jt_own *o, const struct jt_own_step *step, struct jt_station *st)
{
	struct jt_interval iv;
	struct jt_own_energy e;
	double uj, bound_uj;

	if (jt_timeline_window(st->timeline, o->from.t_ns, o->to.t_ns, &iv) != JT_OK)
		return;
	e = (struct jt_own_energy){ .energy_uj = iv.energy_uj, .bound_uj = iv.bound_uj };
	e.floor_mw = floor_mw(st, jt__whole((double)iv.energy_uj * 1e6 / (double)step->dt_ns));
	jt__own_share(step, &e, &uj, &bound_uj);
	o->uj += uj;
	o->bound_uj += bound_uj;
	o->provenance = JT_MAX(o->provenance, iv.provenance);
	o->known = true;
}

static bool is_closed(const struct jt_meter *m, uint64_t t_ns)
{
	for (size_t i = 0; i < m->n_stations; i++)
		if (is_cpu(&m->stations[i]) &&
		    jt_timeline_closed_ns(m->stations[i].timeline) < t_ns)
			return false;
	return true;
}

void jt__own_advance(struct jt_meter *m, uint64_t now_ns)
{
	struct jt_own *o = &m->own;
	struct jt_own_step step;

	if (o->fd < 0 || now_ns < o->from.t_ns + STEP_NS)
		return;
	if (!o->to.t_ns && !read_now(o, now_ns, &o->to))
		return;
	if (!is_closed(m, o->to.t_ns) && now_ns < o->to.t_ns + GIVE_UP_NS)
		return;
	step = (struct jt_own_step){ .dt_ns = o->to.t_ns - o->from.t_ns,
		                     .own_ns = o->to.own_ns - o->from.own_ns,
		                     .busy_ticks = o->to.busy_ticks - o->from.busy_ticks,
		                     .tick_ns = o->tick_ns };
	for (size_t i = 0; o->to.busy_ticks >= o->from.busy_ticks && i < m->n_stations; i++)
		if (is_cpu(&m->stations[i]))
			share_out(o, &step, &m->stations[i]);
	o->from = o->to;
	o->to.t_ns = 0;
}

void jt_meter_own_cost(const struct jt_meter *m, struct jt_own_cost *ret_cost)
{
	const struct jt_own *o = &m->own;

	*ret_cost =
		(struct jt_own_cost){ .cpu_ns = jt__cpu_ns(),
		                      .sampling_ns = jt__sampler_cpu_ns(m->sampler),
		                      .energy_uj = o->known ? jt__whole(o->uj) : JT_NONE,
		                      .bound_uj = o->known ? jt__whole(ceil(o->bound_uj)) : JT_NONE,
		                      .provenance = o->provenance };
}
