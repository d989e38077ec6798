/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of an energy domain. What its sensor does not tell is left out, and so are the books
 * as long as no energy was read: a 0 would say that something is off, or costs nothing.
 */
#include <math.h>
#include "exporters/families.h"

/* A domain at the moment of the scrape. */
struct view {
	const struct jt_domain *info;
	struct jt_account account;
	struct jt_timeline_stats stats;
	struct jt_sample latest; /* nothing valid before the first */
	bool heard;
};

static const struct {
	uint32_t bit;
	const char *name;
} reasons[] = {
	/* JT_REASON_IDLE is a clock lowered for want of work: nothing is held back */
	{ JT_REASON_APP_CLOCKS, "app_clocks" },   { JT_REASON_SW_POWER_CAP, "sw_power_cap" },
	{ JT_REASON_HW_SLOWDOWN, "hw_slowdown" }, { JT_REASON_SYNC_BOOST, "sync_boost" },
	{ JT_REASON_SW_THERMAL, "sw_thermal" },   { JT_REASON_HW_THERMAL, "hw_thermal" },
	{ JT_REASON_POWER_BRAKE, "power_brake" },
};

static double if_valid(const struct view *v, uint32_t bit, double value)
{
	return v->latest.valid & bit ? value : NAN;
}

static double if_read(const struct view *v, uint64_t uj)
{
	return v->account.meter_uj ? (double)uj / 1e6 : NAN;
}

static void by_domain(struct jt_expose *e, const struct view *v, double value)
{
	expose(e, value, { "domain", v->info->name });
}

static void put_info(struct jt_expose *e, const struct view *v)
{
	expose(e, 1, { "domain", v->info->name }, { "source", v->info->source },
	       { "device", v->info->device }, { "uuid", v->info->uuid },
	       { "sensor", v->info->sensor.name }, { "part_of", v->info->part_of });
}

static void put_joules(struct jt_expose *e, const struct view *v)
{
	enum jt_provenance p = v->info->sensor.provenance;

	if (!(v->info->valid & JT_HAS_ENERGY))
		p = JT_MAX(p, JT_DERIVED);
	expose(e, if_read(v, v->account.meter_uj), { "domain", v->info->name },
	       { "provenance", jt_provenance_name(p) });
}

static void put_attributed(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, if_read(v, v->account.requests_uj));
}

static void put_idle(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, if_read(v, v->account.idle_uj));
}

static void put_unattributed(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, if_read(v, v->account.unattributed_uj));
}

static void put_conservation(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, v->account.meter_uj ? (double)v->account.error_uj / 1e6 : NAN);
}

static void put_floor(struct jt_expose *e, const struct view *v)
{
	uint64_t mw = v->account.idle_floor_mw;

	by_domain(e, v, mw == JT_NONE ? NAN : (double)mw / 1e3);
}

static void put_late(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, (double)v->account.n_late);
}

static void put_power(struct jt_expose *e, const struct view *v)
{
	uint32_t mw = v->latest.valid & JT_HAS_POWER ? v->latest.power_mw : v->latest.power_avg_mw;

	by_domain(e, v, if_valid(v, JT_HAS_POWER | JT_HAS_POWER_AVG, mw / 1e3));
}

static void put_limit(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, if_valid(v, JT_HAS_LIMIT, v->latest.limit_mw / 1e3));
}

static void put_temperature(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, if_valid(v, JT_HAS_TEMPERATURE, v->latest.temperature_mc / 1e3));
}

static void put_throttled(struct jt_expose *e, const struct view *v)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(reasons); i++)
		expose(e, if_valid(v, JT_HAS_REASONS, (v->latest.reasons & reasons[i].bit) != 0),
		       { "domain", v->info->name }, { "reason", reasons[i].name });
}

static void put_activity(struct jt_expose *e, const struct view *v)
{
	const struct {
		const char *name;
		uint32_t bit, ppm;
	} kinds[] = { { "sm", JT_HAS_SM_ACTIVITY, v->latest.sm_activity_ppm },
		      { "tensor", JT_HAS_TENSOR_ACTIVITY, v->latest.tensor_activity_ppm },
		      { "dram", JT_HAS_DRAM_ACTIVITY, v->latest.dram_activity_ppm } };

	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++)
		expose(e, if_valid(v, kinds[i].bit, kinds[i].ppm / 1e6),
		       { "domain", v->info->name }, { "unit", kinds[i].name });
}

static void put_valid(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, v->heard ? v->latest.status == JT_OK && v->stats.valid : NAN);
}

static void put_cross_ratio(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, v->stats.cross_ratio_ppm ? v->stats.cross_ratio_ppm / 1e6 : NAN);
}

static void put_events(struct jt_expose *e, const struct view *v)
{
	const struct {
		const char *name;
		uint64_t n;
	} events[] = { { "reset", v->stats.n_resets },
		       { "gap", v->stats.n_gaps },
		       { "rejected", v->stats.n_rejected },
		       { "wrap", v->stats.n_wraps } };

	for (size_t i = 0; i < JT_ARRAY_LEN(events); i++)
		expose(e, (double)events[i].n, { "domain", v->info->name },
		       { "event", events[i].name });
}

static void put_uncovered(struct jt_expose *e, const struct view *v)
{
	by_domain(e, v, (double)v->stats.uncovered_ns / 1e9);
}

/* clang-format off */
static const struct {
	struct jt_family family;
	void (*put)(struct jt_expose *e, const struct view *v);
} families[] = {
	{ { "domain",                     JT_INFO,    NULL,      "What an energy domain is and how it is read.", "domain source device uuid sensor part_of" }, put_info },
	{ { "domain_joules",              JT_COUNTER, "joules",  "Energy the domain used: requests, idle and unattributed together.", "domain provenance" }, put_joules },
	{ { "attributed_joules",          JT_COUNTER, "joules",  "Energy charged to requests, those still running included.", "domain" }, put_attributed },
	{ { "idle_joules",                JT_COUNTER, "joules",  "Energy used while no request was active, up to the idle floor where one is configured.", "domain" }, put_idle },
	{ { "unattributed_joules",        JT_COUNTER, "joules",  "Energy used by nobody that is known: without requests and above the idle floor.", "domain" }, put_unattributed },
	{ { "conservation_error_joules",  JT_GAUGE,   "joules",  "Energy of the domain less all that was accounted for; not 0 is a bug.", "domain" }, put_conservation },
	{ { "idle_floor_watts",           JT_GAUGE,   "watts",   "Power with nothing to do, configured or learned.", "domain" }, put_floor },
	{ { "late_changes",               JT_COUNTER, NULL,      "Changes of requests that came after their energy was shared out.", "domain" }, put_late },
	{ { "domain_power_watts",         JT_GAUGE,   "watts",   "Latest power reading.", "domain" }, put_power },
	{ { "domain_power_limit_watts",   JT_GAUGE,   "watts",   "Power limit in force.", "domain" }, put_limit },
	{ { "domain_temperature_celsius", JT_GAUGE,   "celsius", "Latest temperature.", "domain" }, put_temperature },
	{ { "domain_throttled",           JT_GAUGE,   NULL,      "1 while clocks are held back for the reason.", "domain reason" }, put_throttled },
	{ { "domain_activity_ratio",      JT_GAUGE,   "ratio",   "Part of the multiprocessors (sm), tensor cores or memory bandwidth (dram) in use, where metering.gpm is on.", "domain unit" }, put_activity },
	{ { "domain_sensor_valid",        JT_GAUGE,   NULL,      "1 while readings come and energy and power agree.", "domain" }, put_valid },
	{ { "domain_cross_check_ratio",   JT_GAUGE,   "ratio",   "Energy counted over power integrated, lately.", "domain" }, put_cross_ratio },
	{ { "domain_sensor_events",       JT_COUNTER, NULL,      "Irregularities of the sensor.", "domain event" }, put_events },
	{ { "domain_uncovered_seconds",   JT_COUNTER, "seconds", "Time without a usable reading.", "domain" }, put_uncovered },
};
/* clang-format on */

static void look(struct jt_meter *meter, size_t i, struct view *v)
{
	v->info = jt_meter_domain(meter, i);
	jt_meter_account(meter, i, &v->account);
	jt_meter_timeline_stats(meter, i, &v->stats);
	v->heard = jt_meter_latest(meter, i, &v->latest) == JT_OK;
}

void jt__expose_domains(struct jt_expose *e, struct jt_meter *meter)
{
	size_t n = jt_meter_n_domains(meter);
	struct view *views = jt__alloc(n, sizeof(*views));

	if (!views) {
		e->out->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++)
		look(meter, i, &views[i]);
	for (size_t f = 0; f < JT_ARRAY_LEN(families); f++) {
		jt__expose_begin(e, &families[f].family);
		for (size_t i = 0; i < n; i++)
			families[f].put(e, &views[i]);
	}
	jt__free(views);
}

void jt__list_domain_families(jt_family_fn each, void *user)
{
	for (size_t f = 0; f < JT_ARRAY_LEN(families); f++)
		each(user, &families[f].family);
}
