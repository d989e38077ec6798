/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "meter/inside.h"

/* A sensor that is silent for so long has a driver that hangs: time goes on without it. */
#define SILENCE_NS (2 * JT_NS_PER_S)
#define SILENCE_PERIODS 3
/* A station that has never told anything is not waited for beyond this. */
#define GIVE_UP_NS (10 * JT_NS_PER_S)

static int open_station(struct jt_meter *m, const struct jt_meter_domain *d, struct jt_error *err)
{
	struct jt_station *st = &m->stations[m->n_stations];
	uint64_t floor_mw = JT_NONE;
	int status;

	for (size_t i = 0; i < m->options.n_floors; i++)
		if (strcmp(m->options.floors[i].domain, d->info.name) == 0)
			floor_mw = m->options.floors[i].power_mw;
	st->domain = d;
	st->lowest_mw = JT_NONE;
	status = jt_timeline_new(&d->info.sensor, m->options.max_knots, &st->timeline, err);
	if (status == JT_OK)
		status = jt_attribution_new((uint32_t)m->n_stations, floor_mw, &st->attribution,
		                            err);
	m->n_stations++;
	return status;
}

static int open_stations(struct jt_meter *m, struct jt_error *err)
{
	const struct jt_meter_domain *domains[JT_MAX_DOMAINS];
	size_t n = JT_MIN(jt__sources_n_domains(m->sources), JT_MAX_DOMAINS);
	int status = JT_OK;

	for (size_t i = 0; i < n && status == JT_OK; i++) {
		domains[i] = jt__sources_domain(m->sources, i);
		status = open_station(m, domains[i], err);
	}
	if (status == JT_OK && n)
		status = jt__sampler_start(domains, n, m->options.period_ns, &m->sampler, err);
	return status;
}

int jt_meter_new(const struct jt_meter_options *o, struct jt_meter **ret_meter,
                 struct jt_error *err)
{
	struct jt_meter *m;
	int status;

	if (o->size != sizeof(*o) || o->sources.size != sizeof(o->sources))
		return jt__fail(err, JT_EINVAL, "meter",
		                "options of another version: use JT_METER_OPTIONS_INIT");
	m = jt__alloc(1, sizeof(*m));
	if (!m)
		return jt__fail(err, JT_ENOMEM, "meter", "out of memory");
	m->options = *o;
	m->own.fd = -1;
	status = jt__sources_open(&o->sources, o->extra_sources, &m->sources, err);
	if (status == JT_OK)
		status = open_stations(m, err);
	if (status < 0) {
		jt_meter_free(m);
		return status;
	}
	jt__own_open(m, jt__now_ns());
	*ret_meter = m;
	return JT_OK;
}

void jt_meter_free(struct jt_meter *m)
{
	if (!m)
		return;
	/* a thread that is stuck inside a driver still needs its source */
	if (jt__sampler_stop(m->sampler))
		jt__sources_close(m->sources);
	for (size_t i = 0; i < m->n_stations; i++) {
		jt_timeline_free(m->stations[i].timeline);
		jt_attribution_free(m->stations[i].attribution);
	}
	jt__requests_free(m);
	jt__own_close(m);
	jt__free(m);
}

size_t jt_meter_n_domains(const struct jt_meter *m)
{
	return m->n_stations;
}

const struct jt_domain *jt_meter_domain(const struct jt_meter *m, size_t domain)
{
	return domain < m->n_stations ? &m->stations[domain].domain->info : NULL;
}

int jt_meter_absent(const struct jt_meter *m, size_t i, const char **ret_source,
                    const char **ret_why)
{
	const struct jt_source_absence *absence = jt__sources_absent(m->sources, i);

	if (!absence)
		return JT_ENOENT;
	*ret_source = absence->ops->name;
	*ret_why = absence->error.message;
	return JT_OK;
}

int jt_meter_find_domain(const struct jt_meter *m, const char *name, size_t *ret_domain)
{
	for (size_t i = 0; i < m->n_stations; i++) {
		if (strcmp(m->stations[i].domain->info.name, name) == 0) {
			*ret_domain = i;
			return JT_OK;
		}
	}
	return JT_ENOENT;
}

/* ---- time goes on ---- */

static void take_sample(struct jt_meter *m, struct jt_station *st, const struct jt_sample *s)
{
	jt_timeline_add(st->timeline, s);
	st->heard_ns = s->end_ns;
	if (m->options.on_sample)
		m->options.on_sample(m->options.user, s);
}

/*
 * A sample waits for the watermark: what requests did before it shapes the step that it closes.
 */
static void take_samples(struct jt_meter *m, size_t i, uint64_t now_ns, uint64_t watermark_ns)
{
	uint64_t patience = JT_MAX(SILENCE_NS, SILENCE_PERIODS * m->options.period_ns);
	struct jt_station *st = &m->stations[i];

	while (st->is_waiting || jt__sampler_pop(m->sampler, i, &st->waiting)) {
		st->waiting.domain = (uint32_t)i;
		st->is_waiting = st->waiting.end_ns > watermark_ns;
		if (st->is_waiting)
			return;
		take_sample(m, st, &st->waiting);
		st->latest = st->waiting;
		st->has_sample = true;
	}
	if (st->heard_ns && now_ns > st->heard_ns + patience)
		take_sample(m, st,
		            &(struct jt_sample){ .domain = (uint32_t)i,
		                                 .status = JT_ETIME,
		                                 .begin_ns = now_ns,
		                                 .end_ns = now_ns });
}

struct receiver {
	struct jt_meter *m;
	size_t station;
};

static void on_charge(void *user, const struct jt_charge *c)
{
	jt__request_charged(((struct receiver *)user)->m, c);
}

static void on_final(void *user, uint64_t request)
{
	struct receiver *r = user;

	jt__request_final(r->m, r->station, request);
}

/* Up to where requests can be charged. */
static uint64_t settled_ns(const struct jt_station *st, uint64_t now_ns, uint64_t watermark_ns)
{
	uint64_t closed = jt_timeline_closed_ns(st->timeline);

	if (!closed)
		closed = now_ns - JT_MIN(now_ns, GIVE_UP_NS);
	return JT_MIN(watermark_ns, closed);
}

void jt_meter_advance(struct jt_meter *m, uint64_t now_ns, uint64_t watermark_ns)
{
	for (size_t i = 0; i < m->n_stations; i++) {
		struct jt_station *st = &m->stations[i];
		struct receiver r = { m, i };
		struct jt_attribution_sink sink = { on_charge, on_final, &r };

		take_samples(m, i, now_ns, watermark_ns);
		jt_attribution_advance(st->attribution, st->timeline,
		                       settled_ns(st, now_ns, watermark_ns), &sink);
	}
	jt__own_advance(m, now_ns);
}

/* ---- questions ---- */

size_t jt_meter_n_unsettled(const struct jt_meter *m)
{
	return m->n_ended;
}

int jt_meter_window(struct jt_meter *m, size_t domain, uint64_t begin_ns, uint64_t end_ns,
                    struct jt_interval *ret_interval)
{
	struct jt_timeline *tl;
	int status;

	if (domain >= m->n_stations)
		return JT_ENOENT;
	tl = m->stations[domain].timeline;
	status = jt_timeline_window(tl, begin_ns, end_ns, ret_interval);
	if (status == JT_ERANGE &&
	    jt_timeline_closed_ns(tl) < end_ns) /* nothing of it is known yet */
		*ret_interval = (struct jt_interval){ .begin_ns = begin_ns, .end_ns = end_ns };
	else if (status != JT_OK)
		return status;
	ret_interval->domain = (uint32_t)domain;
	return jt_timeline_closed_ns(tl) < end_ns ? JT_EAGAIN : JT_OK;
}

int jt_meter_account(struct jt_meter *m, size_t domain, struct jt_account *ret_account)
{
	if (domain >= m->n_stations)
		return JT_ENOENT;
	jt_attribution_account(m->stations[domain].attribution, ret_account);
	return JT_OK;
}

int jt_meter_timeline_stats(struct jt_meter *m, size_t domain, struct jt_timeline_stats *ret_stats)
{
	if (domain >= m->n_stations)
		return JT_ENOENT;
	jt_timeline_stats(m->stations[domain].timeline, ret_stats);
	return JT_OK;
}

int jt_meter_latest(struct jt_meter *m, size_t domain, struct jt_sample *ret_sample)
{
	if (domain >= m->n_stations)
		return JT_ENOENT;
	if (!m->stations[domain].has_sample)
		return JT_EAGAIN;
	*ret_sample = m->stations[domain].latest;
	return JT_OK;
}
