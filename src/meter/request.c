/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests on their way through the stations (domains) of their service. The
 * happy path: begin enters every station in prefill; the first token moves it to
 * decode; now and then growing context adjusts its weight; end leaves every
 * station, whose charges come back when the station has closed that instant. When the last
 * station has answered, the record is complete.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "attribution/relabel.h"
#include "ledger/ledger.h"
#include "meter/inside.h"
#include "meter/request.h"

#define RECENT_NS JT_NS_PER_S /* the power of a provisional figure is that of the last second */

/* ---- services ---- */

/* Directly or through others; a recording may claim a circle. */
static bool contains(const struct jt_meter *m, size_t whole, size_t part)
{
	for (size_t n = 0; n < m->n_stations; n++) {
		const char *next = m->stations[part].domain->info.part_of;

		if (jt_meter_find_domain(m, next, &part) < 0)
			return false;
		if (part == whole)
			return true;
	}
	return false;
}

static bool is_modelled(const struct jt_meter *m, size_t i)
{
	return m->stations[i].domain->info.sensor.provenance == JT_MODELLED;
}

/*
 * Every GPU, and where there is none every domain that contains no other: a model of a part does
 * not stand in for the meter of the whole.
 */
static uint64_t default_domains(const struct jt_meter *m)
{
	uint64_t gpus = 0, leaves = 0;

	for (size_t i = 0; i < m->n_stations; i++) {
		const struct jt_domain *d = &m->stations[i].domain->info;
		bool is_leaf = !is_modelled(m, i) || !d->part_of[0];

		for (size_t k = 0; k < m->n_stations; k++)
			is_leaf &= is_modelled(m, k) || !contains(m, i, k);
		if (is_leaf)
			leaves |= UINT64_C(1) << i;
		if (strncmp(d->name, "gpu:", 4) == 0)
			gpus |= UINT64_C(1) << i;
	}
	return gpus ? gpus : leaves;
}

/* JT_EINVAL: two of them overlap. */
static int check_overlap(const struct jt_meter *m, const struct jt_service *sv,
                         struct jt_error *err)
{
	for (size_t i = 0; i < m->n_stations; i++)
		for (size_t k = 0; k < m->n_stations; k++)
			if (sv->domains >> i & sv->domains >> k & 1 && contains(m, i, k))
				return jt__fail(err, JT_EINVAL, sv->name,
				                "'%s' is part of '%s': name one of them, or its "
				                "energy counts twice",
				                m->stations[k].domain->info.name,
				                m->stations[i].domain->info.name);
	return JT_OK;
}

static int find_domains(struct jt_meter *m, const struct jt_service_options *o,
                        struct jt_service *sv, struct jt_error *err)
{
	size_t station;

	for (size_t i = 0; i < o->n_domains; i++) {
		if (jt_meter_find_domain(m, o->domains[i], &station) < 0)
			return jt__fail(err, JT_ENOENT, o->name,
			                "no energy domain '%s' here; `jouletap devices` lists them",
			                o->domains[i]);
		sv->domains |= UINT64_C(1) << station;
	}
	if (!o->n_domains)
		sv->domains = default_domains(m);
	return check_overlap(m, sv, err);
}

static void name_domains(const struct jt_meter *m, struct jt_service *sv)
{
	size_t at = 0;

	for (size_t i = 0; i < m->n_stations && at < sizeof(sv->domain_names); i++)
		if (sv->domains >> i & 1)
			at += (size_t)snprintf(sv->domain_names + at, sizeof(sv->domain_names) - at,
			                       "%s%s", at ? "," : "",
			                       m->stations[i].domain->info.name);
}

/* The GPU that was named, else the kind that the driver names for the first domain. */
static const struct jt_gpu *find_gpu(const struct jt_meter *m, const struct jt_service_options *o,
                                     const struct jt_service *sv)
{
	if (o->gpu)
		return jt__gpu_find(o->gpu);
	return sv->domains
	               ? jt__gpu_find(m->stations[__builtin_ctzll(sv->domains)].domain->info.device)
	               : NULL;
}

static int load_model(const struct jt_meter *m, const struct jt_service_options *o,
                      struct jt_service *sv, struct jt_error *err)
{
	const struct jt_gpu *gpu;
	struct jt_arch arch;
	int status;

	if (!o->architecture)
		return JT_OK;
	status = jt__arch_load(o->architecture, &arch, err);
	if (status < 0)
		return status;
	gpu = find_gpu(m, o, sv);
	if (!gpu && o->gpu)
		return jt__fail(err, JT_ENOENT, o->name, "the GPU table has no '%s'", o->gpu);
	if (!gpu)
		return jt__fail(
			err, JT_ENOENT, o->name,
			"its domains do not tell which GPU it runs on: name it with `gpu:`");
	sv->weigher.model = jt__size(&arch);
	sv->weigher.gpu = *gpu;
	sv->weigher.has_model = true;
	return JT_OK;
}

int jt_meter_add_service(struct jt_meter *m, const struct jt_service_options *o,
                         size_t *ret_service, struct jt_error *err)
{
	struct jt_service *sv = &m->services[m->n_services];
	enum jt_policy policy;
	int status;

	if (o->size != sizeof(*o))
		return jt__fail(err, JT_EINVAL, "meter",
		                "options of another version: use JT_SERVICE_OPTIONS_INIT");
	if (m->n_services == JT_MAX_SERVICES)
		return jt__fail(err, JT_ELIMIT, o->name, "more than %d services", JT_MAX_SERVICES);
	if (!jt__policy_parse(o->policy, &policy))
		return jt__fail(err, JT_EINVAL, o->name,
		                "unknown policy '%s': equal, tokens or roofline", o->policy);
	memset(sv, 0, sizeof(*sv));
	jt__copy_text(sv->name, sizeof(sv->name), o->name, strlen(o->name));
	jt__weigher_init(&sv->weigher, policy);
	sv->weigher.max_batch_tokens = JT_MAX(o->max_batch_tokens, 1);
	sv->weigher.prefill_ratio = o->prefill_ratio;
	sv->weigher.decode_ratio = 1 - o->prefill_ratio;
	status = find_domains(m, o, sv, err);
	if (status == JT_OK)
		status = load_model(m, o, sv, err);
	if (status < 0)
		return status;
	name_domains(m, sv);
	*ret_service = m->n_services++;
	return JT_OK;
}

/*
 * One more request runs, or one less. What several threads tell may come in another order than it
 * happened, by a tick of the bookkeeper: the count never goes back for it.
 */
static void count(struct jt_service *sv, uint64_t t_ns, int sign)
{
	if (t_ns > sv->counted_ns) {
		sv->running_ns += sv->n_running * (t_ns - sv->counted_ns);
		sv->counted_ns = t_ns;
	}
	sv->n_running += (uint64_t)(int64_t)sign;
}

/* ---- requests ---- */

/* Fibonacci hashing: ids may be alike in their lowest bits. */
static struct jt_open_request **bucket_of(struct jt_meter *m, uint64_t id)
{
	return &m->requests[(id * UINT64_C(0x9e3779b97f4a7c15) >> 32) % JT_REQUEST_BUCKETS];
}

struct jt_open_request *jt__request_find(struct jt_meter *m, uint64_t id)
{
	struct jt_open_request *r = *bucket_of(m, id);

	while (r && r->id != id)
		r = r->next;
	return r;
}

static void forget(struct jt_meter *m, struct jt_open_request *r)
{
	struct jt_open_request **at = bucket_of(m, r->id);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	jt__free(r->facts);
	jt__free(r);
}

void jt__requests_free(struct jt_meter *m)
{
	for (size_t i = 0; i < JT_REQUEST_BUCKETS; i++)
		while (m->requests[i])
			forget(m, m->requests[i]);
}

/* Tells all its stations. */
static int post(struct jt_meter *m, const struct jt_open_request *r, uint64_t t_ns,
                enum jt_change_kind kind)
{
	struct jt_change c = { .t_ns = t_ns,
		               .request = r->id,
		               .kind = kind,
		               .phase = r->load.phase,
		               .weight = r->weight };
	int worst = JT_OK;

	for (size_t i = 0; i < m->n_stations; i++)
		if (r->service->domains >> i & 1)
			worst = JT_MIN(worst, jt_attribution_post(m->stations[i].attribution, &c));
	return worst;
}

/* A request whose phase nobody sees is most of the time in decode. */
static bool seems_to_decode(const struct jt_open_request *r)
{
	return r->load.phase == JT_PHASE_DECODE || r->load.phase_unknown;
}

/* Its stations are from now on, or no longer, busy with it. */
static void note(struct jt_meter *m, const struct jt_open_request *r, uint64_t t_ns, int sign)
{
	int32_t n = sign * (int32_t)JT_MIN(r->load.choices, 1024);
	struct jt_activity change = { .t_ns = t_ns };

	if (seems_to_decode(r))
		change.decode = n;
	else if (r->load.phase == JT_PHASE_PREFILL)
		change.prefill = n;
	else
		return; /* one that queues keeps nobody busy */
	for (size_t i = 0; i < m->n_stations; i++) {
		if (!(r->service->domains >> i & 1))
			continue;
		jt_timeline_note(m->stations[i].timeline, &change);
		if (m->options.on_activity)
			m->options.on_activity(m->options.user, i, &change);
	}
}

int jt_request_begin(struct jt_meter *m, uint64_t t_ns, uint64_t request, size_t service,
                     const struct jt_request_start *start)
{
	struct jt_open_request *r;

	if (service >= m->n_services)
		return JT_ENOENT;
	if (jt__request_find(m, request))
		return JT_EINVAL;
	r = jt__alloc(1, sizeof(*r));
	if (!r)
		return JT_ENOMEM;
	r->id = request;
	r->service = &m->services[service];
	r->waiting = r->service->domains;
	r->begin_ns = t_ns;
	r->coverage_ppm = 1000000;
	r->load = (struct jt_load){ .phase = JT_PHASE_PREFILL,
		                    .prompt_tokens = start->prompt_tokens,
		                    .context_tokens = start->prompt_tokens,
		                    .choices = JT_MAX(start->choices, 1),
		                    .phase_unknown = !start->first_token_visible };
	r->weight = jt__weigh(&r->service->weigher, &r->load);
	r->next = *bucket_of(m, r->id);
	*bucket_of(m, r->id) = r;
	count(r->service, t_ns, 1);
	r->running_ns = r->service->running_ns;
	r->counted_ns = r->service->counted_ns;
	note(m, r, t_ns, 1);
	return post(m, r, t_ns, JT_ENTER);
}

static void tell_span(struct jt_meter *m, const struct jt_open_request *r, enum jt_phase phase,
                      uint64_t begin_ns, uint64_t end_ns, uint64_t tokens)
{
	struct jt_span span = { .request = r->id,
		                .begin_ns = begin_ns,
		                .end_ns = end_ns,
		                .phase = phase,
		                .tokens = tokens == JT_NONE
		                                  ? 0
		                                  : (uint32_t)JT_MIN(tokens, UINT32_MAX) };

	if (m->options.on_span)
		m->options.on_span(m->options.user, &span);
}

int jt_request_progress(struct jt_meter *m, uint64_t t_ns, uint64_t request, enum jt_phase phase,
                        uint32_t context_tokens)
{
	struct jt_open_request *r = jt__request_find(m, request);
	struct jt_weight before;

	if ((unsigned)phase >= JT_N_PHASES)
		return JT_EINVAL;
	if (!r || r->end_ns)
		return JT_ENOENT;
	if (phase == JT_PHASE_DECODE && !r->first_ns) {
		r->first_ns = t_ns;
		tell_span(m, r, JT_PHASE_PREFILL, r->begin_ns, t_ns, r->load.prompt_tokens);
		jt__weigher_first_token(&r->service->weigher, r->load.prompt_tokens,
		                        t_ns - r->begin_ns);
	} else if (phase == r->load.phase && context_tokens == r->load.context_tokens) {
		return JT_OK;
	}
	before = r->weight;
	if (phase != r->load.phase) {
		note(m, r, t_ns, -1);
		r->load.phase = phase;
		note(m, r, t_ns, 1);
	}
	r->load.context_tokens = context_tokens;
	r->weight = jt__weigh(&r->service->weigher, &r->load);
	if (phase == JT_PHASE_DECODE && r->first_ns != t_ns && before.own == r->weight.own &&
	    before.shared == r->weight.shared)
		return JT_OK;
	return post(m, r, t_ns, JT_ADJUST);
}

static void put_joules(const struct jt_open_request *r, const uint64_t uj[JT_N_PHASES],
                       struct jt_record *rec)
{
	rec->queue_uj = uj[JT_PHASE_QUEUE];
	rec->prefill_uj = uj[JT_PHASE_PREFILL];
	rec->decode_uj = uj[JT_PHASE_DECODE];
	rec->total_uj = rec->queue_uj + rec->prefill_uj + rec->decode_uj;
	rec->dynamic_uj = r->dynamic_uj;
	rec->bound_uj = r->bound_uj;
	rec->coverage_ppm = r->coverage_ppm;
	strcpy(rec->provenance, jt_provenance_name(r->provenance));
}

static void put_origin(const struct jt_open_request *r, struct jt_record *rec)
{
	strcpy(rec->policy, jt__weigher_name(&r->service->weigher));
	strcpy(rec->domains, r->service->domain_names);
	strcpy(rec->upstream, r->service->name);
}

struct draw {
	struct jt_meter *meter;
	uint64_t domains;
};

/* What the stations of a service drew, as far as they still know it. */
static double drawn_uj(void *user, uint64_t from_ns, uint64_t to_ns)
{
	const struct draw *d = user;
	double sum_uj = 0;

	for (size_t i = 0; i < d->meter->n_stations; i++) {
		struct jt_timeline *tl = d->meter->stations[i].timeline;

		if (d->domains >> i & 1)
			sum_uj += (double)(jt_timeline_at(tl, to_ns) - jt_timeline_at(tl, from_ns));
	}
	return sum_uj;
}

/* Before its prefill: it waited, and its model was loaded. */
static uint64_t engine_queue_ns(const struct jt_record *rec)
{
	if (rec->queue_ns == JT_NONE)
		return rec->load_ns;
	return rec->queue_ns + (rec->load_ns == JT_NONE ? 0 : rec->load_ns);
}

/* Its joules by phase, and who knew the phases. */
static const char *relabel(struct jt_meter *m, struct jt_open_request *r,
                           const struct jt_request_facts *facts)
{
	const struct jt_record *rec = &facts->record;
	struct draw draw = { m, r->service->domains };
	const struct jt_phase_times times = {
		.begin_ns = r->begin_ns,
		.first_ns = r->first_ns,
		.end_ns = r->end_ns,
		.no_decode = !r->first_ns && rec->completion_tokens == 0,
		.engine_ns = { engine_queue_ns(rec), facts->engine_prefill_ns,
		               facts->engine_decode_ns },
		.prefill_ratio = r->service->weigher.prefill_ratio,
		.drawn = drawn_uj,
		.user = &draw,
	};

	return jt__relabel(&times, r->uj);
}

/*
 * The record of a request that is over and has all its charges; without any its joules are unknown.
 */
static void finish(struct jt_meter *m, struct jt_open_request *r)
{
	struct jt_request_facts unknown = { .engine_prefill_ns = JT_NONE,
		                            .engine_decode_ns = JT_NONE };
	struct jt_request_facts *facts = r->facts ? r->facts : &unknown;
	struct jt_record *rec = &facts->record;

	if (!r->facts)
		jt__record_init(rec);
	put_origin(r, rec);
	rec->concurrency_milli = r->concurrency_milli;
	if (r->charged) {
		strcpy(rec->phase_source, relabel(m, r, facts));
		put_joules(r, r->uj, rec);
	}
	if (r->first_ns)
		jt__weigher_learn(&r->service->weigher, r->first_ns - r->begin_ns,
		                  r->end_ns - r->first_ns);
	if (m->options.on_record)
		m->options.on_record(m->options.user, r->id, rec);
	m->n_ended--;
	forget(m, r);
}

/* How many have run beside it, itself included: where no time has passed, how many do. */
static uint64_t mean_running_milli(const struct jt_open_request *r)
{
	const struct jt_service *sv = r->service;
	uint64_t dt_ns = sv->counted_ns - r->counted_ns;

	if (!dt_ns)
		return 1000 * (sv->n_running + 1);
	return (uint64_t)llround(1e3 * (double)(sv->running_ns - r->running_ns) / (double)dt_ns);
}

int jt__request_end(struct jt_meter *m, uint64_t t_ns, uint64_t request,
                    struct jt_request_facts *facts)
{
	struct jt_open_request *r = jt__request_find(m, request);
	int status;

	if (!r || r->end_ns)
		return JT_ENOENT;
	r->end_ns = JT_MAX(t_ns, r->begin_ns);
	r->facts = facts;
	count(r->service, r->end_ns, -1);
	r->concurrency_milli = mean_running_milli(r);
	m->n_ended++;
	tell_span(m, r, r->first_ns ? JT_PHASE_DECODE : JT_PHASE_PREFILL,
	          r->first_ns ? r->first_ns : r->begin_ns, r->end_ns,
	          facts ? facts->record.completion_tokens : JT_NONE);
	note(m, r, r->end_ns, -1);
	status = post(m, r, r->end_ns, JT_LEAVE);
	if (!r->waiting)
		finish(m, r);
	return status;
}

int jt_request_end(struct jt_meter *m, uint64_t t_ns, uint64_t request,
                   const struct jt_request_facts *facts)
{
	struct jt_request_facts *copy = jt__alloc(1, sizeof(*copy));
	int status;

	if (copy)
		*copy = *facts;
	status = jt__request_end(m, t_ns, request, copy);
	if (status == JT_ENOENT)
		jt__free(copy);
	return status;
}

void jt__request_charged(struct jt_meter *m, const struct jt_charge *c)
{
	struct jt_open_request *r = jt__request_find(m, c->request);

	if (!r)
		return;
	r->coverage_ppm = JT_MIN(r->coverage_ppm, c->coverage_ppm);
	if (!c->coverage_ppm && !c->allocated_uj)
		return; /* nothing was seen of it: that is not 0 J */
	r->charged = true;
	r->uj[c->phase] += c->allocated_uj;
	r->dynamic_uj = c->dynamic_uj == JT_NONE || r->dynamic_uj == JT_NONE
	                        ? JT_NONE
	                        : r->dynamic_uj + c->dynamic_uj;
	r->bound_uj += c->bound_uj;
	r->provenance = JT_MAX(r->provenance, c->provenance);
}

void jt__request_final(struct jt_meter *m, size_t station, uint64_t id)
{
	struct jt_open_request *r = jt__request_find(m, id);

	if (!r)
		return;
	r->waiting &= ~(UINT64_C(1) << station);
	if (!r->waiting && r->end_ns)
		finish(m, r);
}

/* ---- provisional figures ---- */

/* The part of the station's latest power that is this request's, for the time not yet closed. */
static uint64_t open_tail_uj(struct jt_station *st, const struct jt_open_request *r,
                             const struct jt_charge charges[JT_N_PHASES], bool entered,
                             uint64_t now_ns)
{
	uint64_t closed = jt_attribution_watermark_ns(st->attribution);
	uint64_t from = JT_MAX(closed, r->begin_ns);
	struct jt_interval recent = { 0 }, mine = { 0 };
	double share;

	if (now_ns <= from || closed < RECENT_NS ||
	    jt_timeline_window(st->timeline, closed - RECENT_NS, closed, &recent) < 0)
		return 0;
	share = 1.0 / (double)(jt_attribution_n_active(st->attribution) + !entered);
	/* as so far, if the timeline still knows all of it */
	if (entered && jt_timeline_start_ns(st->timeline) <= r->begin_ns &&
	    jt_timeline_window(st->timeline, r->begin_ns, closed, &mine) == JT_OK && mine.energy_uj)
		share = (double)(charges[0].allocated_uj + charges[1].allocated_uj +
		                 charges[2].allocated_uj) /
		        (double)mine.energy_uj;
	return jt__whole(share * (double)recent.energy_uj * (double)(now_ns - from) /
	                 (double)RECENT_NS);
}

int jt_request_peek(struct jt_meter *m, uint64_t now_ns, uint64_t request, struct jt_record *record)
{
	struct jt_open_request *r = jt__request_find(m, request);
	uint64_t uj[JT_N_PHASES] = { 0 }, bound_uj = 0;
	enum jt_provenance worst = JT_DERIVED;
	bool known = false;

	if (!r)
		return JT_ENOENT;
	if (r->end_ns) { /* some of its stations may have told theirs */
		now_ns = JT_MIN(now_ns, r->end_ns);
		memcpy(uj, r->uj, sizeof(uj));
		bound_uj = r->bound_uj;
	}
	put_origin(r, record);
	for (size_t i = 0; i < m->n_stations; i++) {
		struct jt_station *st = &m->stations[i];
		struct jt_charge charges[JT_N_PHASES] = { 0 };
		uint64_t charged_uj = 0, tail;
		bool entered;

		if (!(r->service->domains >> i & 1) || !jt_timeline_closed_ns(st->timeline))
			continue;
		known = true;
		if (!(r->waiting >> i & 1))
			continue;
		entered = jt_attribution_peek(st->attribution, r->id, charges) == JT_OK;
		tail = open_tail_uj(st, r, charges, entered, now_ns);
		for (int p = 0; p < JT_N_PHASES; p++) {
			uj[p] += charges[p].allocated_uj;
			charged_uj += charges[p].allocated_uj;
			bound_uj += charges[p].bound_uj;
		}
		uj[r->load.phase] += tail;
		/* the gain of what is charged; an estimate may be off by all of it */
		bound_uj += charged_uj * st->domain->info.sensor.gain_ppm / 1000000 + tail;
		worst = JT_MAX(worst, st->domain->info.sensor.provenance);
	}
	if (!known)
		return JT_EAGAIN;
	if (r->load.phase_unknown) { /* the engine's times, if it tells, come with the end */
		const struct jt_phase_times nothing_known = {
			.engine_ns = { JT_NONE, JT_NONE, JT_NONE },
			.prefill_ratio = r->service->weigher.prefill_ratio,
		};

		jt__relabel(&nothing_known, uj);
	}
	record->prefill_uj = uj[JT_PHASE_PREFILL];
	record->decode_uj = uj[JT_PHASE_DECODE];
	record->total_uj = uj[JT_PHASE_PREFILL] + uj[JT_PHASE_DECODE];
	record->bound_uj = bound_uj;
	strcpy(record->provenance, jt_provenance_name(worst));
	return JT_OK;
}
