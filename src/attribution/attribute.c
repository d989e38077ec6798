/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From intervals of a timeline and changes of requests to charges and accounts. vclock.h says how
 * the energy is shared; this file says when, and keeps the books.
 *
 * Between two changes the crowd is constant: the step's energy goes to the clocks
 * if somebody is active, else to idle or unattributed. A change settles the request
 * (what it owes since it was last settled goes to its phase) and lets it stand anew.
 *
 * The bound of a charge follows the same way. With e_k the possible error of E at change k, a share
 * that moves there from s to s' makes an error of e_k·|s' - s|. Shares are a/(n·total) + b·1/total,
 * so two error clocks sum e_k·|Δ(a/(n·total))| and e_k·|Δ(1/total)|, and a request adds its own
 * coming and going, e·s.
 *
 * Joules are given out in whole µJ. The fraction that a charge cannot carry is passed on to the
 * next charge, so that the sum of all charges is the energy, to the µJ.
 */
#include <math.h>
#include <string.h>
#include "attribution/pending.h"
#include "attribution/slots.h"
#include "base/base.h"
#include "timeline/probe.h"

#define FLOOR_STRETCH_NS JT_NS_PER_S
#define FIXED_PER_MW_NS                                                                            \
	UINT64_C(281474977) /* mW·ns are 10^-6 µJ: 2^48 / 10^6, too much by 10^-9 of it */

struct jt_attribution {
	uint32_t domain;
	struct jt_slots active;
	struct jt_pending pending;
	struct jt_crowd crowd;
	uint64_t n_at_max; /* how many have the largest shared weight */

	struct jt_vclock all;
	struct jt_vclock dynamic;
	struct jt_weighted_error error;
	struct jt_weighted_error share; /* a/(n·total) and 1/total now */

	bool begun;
	uint64_t watermark_ns;
	struct jt_probe here; /* the timeline at the watermark */
	uint64_t shared_ns;   /* time so far with two or more active */

	uint64_t meter_uj;
	uint64_t idle_uj;
	uint64_t unattributed_uj;
	uint64_t charged_uj;
	jt_fixed fraction; /* below 1 µJ: not yet in a charge */
	uint64_t n_late;

	bool floor_given;
	uint64_t floor_mw;
	uint64_t idle_since_ns;     /* where the current idle stretch began … */
	struct jt_probe idle_since; /* … and the timeline there */
};

int jt_attribution_new(uint32_t domain, uint64_t idle_floor_mw, struct jt_attribution **ret_a,
                       struct jt_error *err)
{
	struct jt_attribution *a = jt__alloc(1, sizeof(*a));

	if (!a)
		return jt__fail(err, JT_ENOMEM, "attribution", "out of memory");
	a->domain = domain;
	a->floor_mw = idle_floor_mw;
	a->floor_given = idle_floor_mw != JT_NONE;
	*ret_a = a;
	return JT_OK;
}

void jt_attribution_free(struct jt_attribution *a)
{
	if (!a)
		return;
	jt__slots_fini(&a->active);
	jt__pending_fini(&a->pending);
	jt__free(a);
}

int jt_attribution_post(struct jt_attribution *a, const struct jt_change *c)
{
	size_t n_in = a->active.n + a->pending.n_enters + (c->kind == JT_ENTER);

	if (c->weight.own > JT_WEIGHT_MAX || c->weight.shared > JT_WEIGHT_MAX ||
	    (unsigned)c->kind > JT_LEAVE || (unsigned)c->phase >= JT_N_PHASES)
		return JT_EINVAL;
	if (c->kind == JT_ENTER && jt__slots_reserve(&a->active, n_in) < 0)
		return JT_ENOMEM;
	/* whoever has come in must be able to leave, or it would be charged for ever */
	if (jt__pending_reserve(&a->pending, 1 + (c->kind == JT_LEAVE ? 0 : n_in)) < 0)
		return JT_ENOMEM;
	a->n_late += a->begun && c->t_ns < a->watermark_ns;
	jt__pending_add(&a->pending, c);
	return JT_OK;
}

/* ---- the crowd ---- */

static void find_largest_shared(struct jt_attribution *a)
{
	a->crowd.shared = a->n_at_max = 0;
	for (uint32_t i = 0; i < a->active.n; i++) {
		uint32_t shared = a->active.slots[i].weight.shared;

		if (shared > a->crowd.shared) {
			a->crowd.shared = shared;
			a->n_at_max = 0;
		}
		a->n_at_max += shared && shared == a->crowd.shared;
	}
}

static void join(struct jt_attribution *a, const struct jt_weight *w)
{
	a->crowd.own_sum += w->own;
	a->crowd.n += w->shared != 0;
	if (w->shared > a->crowd.shared) {
		a->crowd.shared = w->shared;
		a->n_at_max = 0;
	}
	a->n_at_max += w->shared && w->shared == a->crowd.shared;
}

/* The slot's weight must already be another (or the slot gone): the largest is looked for without
 * it. */
static void part(struct jt_attribution *a, const struct jt_weight *w)
{
	a->crowd.own_sum -= w->own;
	a->crowd.n -= w->shared != 0;
	if (w->shared && w->shared == a->crowd.shared && --a->n_at_max == 0)
		find_largest_shared(a);
}

/* Shares have changed here: whoever stays is off by the error of E here times the change of its
 * share. */
static void run_error_clocks(struct jt_attribution *a)
{
	double total = (double)(a->crowd.shared + a->crowd.own_sum);
	double n = (double)JT_MAX(a->crowd.n, 1);
	struct jt_weighted_error now = { total ? a->crowd.shared / (n * total) : 0,
		                         total ? 1 / total : 0 };

	a->error.shared += a->here.edge_uj * fabs(now.shared - a->share.shared);
	a->error.own += a->here.edge_uj * fabs(now.own - a->share.own);
	a->share = now;
}

static double share_of(const struct jt_attribution *a, const struct jt_weight *w)
{
	return (w->shared ? a->share.shared : 0) + w->own * a->share.own;
}

/* ---- a request ---- */

static void settle(struct jt_attribution *a, struct jt_slot *s)
{
	s->allocated[s->phase] += jt__vclock_owed(&a->all, &s->all, &s->weight);
	s->above_floor[s->phase] += jt__vclock_owed(&a->dynamic, &s->dynamic, &s->weight);
	s->error_uj += (s->weight.shared ? a->error.shared - s->error.shared : 0) +
	               s->weight.own * (a->error.own - s->error.own);
	s->all = jt__vclock_stand(&a->all);
	s->dynamic = jt__vclock_stand(&a->dynamic);
}

static void enter(struct jt_attribution *a, const struct jt_change *c)
{
	struct jt_slot *s = jt__slots_add(&a->active, c->request);

	s->phase = c->phase;
	s->phases_seen = 1u << c->phase;
	s->weight = c->weight;
	s->floor_known = a->floor_mw != JT_NONE;
	s->all = jt__vclock_stand(&a->all);
	s->dynamic = jt__vclock_stand(&a->dynamic);
	s->entered_ns = c->t_ns; /* before the watermark if nothing was known then: not covered */
	s->covered_ns = a->here.covered_ns;
	s->derived_ns = a->here.derived_ns;
	s->unseen_uj = a->here.unseen_uj;
	s->e_uj = a->here.e_uj;
	s->shared_ns = a->shared_ns;
	join(a, &s->weight);
	run_error_clocks(a);
	s->error = a->error;
	s->error_uj = a->here.edge_uj * share_of(a, &s->weight);
}

static void adjust(struct jt_attribution *a, struct jt_slot *s, const struct jt_change *c)
{
	struct jt_weight before = s->weight;
	double share_before = share_of(a, &before);

	settle(a, s);
	s->phase = c->phase;
	s->phases_seen |= (uint8_t)(1u << c->phase);
	s->weight = c->weight;
	join(a, &s->weight);
	part(a, &before);
	run_error_clocks(a);
	s->error = a->error;
	s->error_uj += a->here.edge_uj * fabs(share_of(a, &s->weight) - share_before);
}

/* Whole µJ of @amount and what earlier charges left over; the rest is left for the next. */
static uint64_t whole_uj(struct jt_attribution *a, jt_fixed amount)
{
	jt_fixed sum = amount + a->fraction;

	a->fraction = sum & (jt__fixed(1) - 1);
	return (uint64_t)(sum >> JT_FIXED_BITS);
}

static enum jt_provenance provenance_of(const struct jt_attribution *a, const struct jt_slot *s,
                                        const struct jt_sensor *sensor)
{
	bool alone = a->shared_ns == s->shared_ns, derived = a->here.derived_ns > s->derived_ns;

	return alone && !derived ? sensor->provenance : JT_MAX(sensor->provenance, JT_DERIVED);
}

/* What the charges of all its phases have in common. */
static struct jt_charge describe(const struct jt_attribution *a, const struct jt_slot *s,
                                 const struct jt_sensor *sensor)
{
	double lasted_ns = (double)(a->watermark_ns - s->entered_ns);
	double covered_ns = (double)(a->here.covered_ns - s->covered_ns);

	return (struct jt_charge){
		.request = s->request,
		.domain = a->domain,
		.provenance = provenance_of(a, s, sensor),
		.coverage_ppm = lasted_ns > 0 ? (uint32_t)(covered_ns * 1e6 / lasted_ns) : 0,
	};
}

/* How far off each joule of it may be: the gain, and its share of what the sensor did not see. */
static double bound_ratio(const struct jt_attribution *a, const struct jt_slot *s,
                          const struct jt_sensor *sensor)
{
	uint64_t domain_uj = a->here.e_uj - s->e_uj, unseen_uj = a->here.unseen_uj - s->unseen_uj;

	return sensor->gain_ppm * 1e-6 +
	       (unseen_uj && domain_uj ? (double)unseen_uj / (double)domain_uj : 0);
}

/* The error at the changes belongs to the request as a whole: its last phase carries it. */
static uint64_t edge_bound_uj(const struct jt_slot *s, int phase)
{
	return phase == (int)s->phase ? jt__whole(ceil(s->error_uj)) : 0;
}

static void leave(struct jt_attribution *a, struct jt_slot *s, const struct jt_sensor *sensor,
                  const struct jt_attribution_sink *sink)
{
	uint64_t request = s->request;
	struct jt_weight weight = s->weight;
	struct jt_charge c = describe(a, s, sensor);
	double ratio = bound_ratio(a, s, sensor);

	settle(a, s);
	s->error_uj += a->here.edge_uj * share_of(a, &weight);
	for (int p = 0; p < JT_N_PHASES; p++) {
		if (!(s->phases_seen & 1u << p))
			continue;
		c.phase = (enum jt_phase)p;
		c.allocated_uj = whole_uj(a, s->allocated[p]);
		c.dynamic_uj =
			s->floor_known ? (uint64_t)(s->above_floor[p] >> JT_FIXED_BITS) : JT_NONE;
		c.bound_uj = jt__whole(ceil(jt__fixed_uj(s->allocated[p]) * ratio)) +
		             edge_bound_uj(s, p);
		a->charged_uj += c.allocated_uj;
		sink->charge(sink->user, &c);
	}
	jt__slots_remove(&a->active, s);
	part(a, &weight);
	run_error_clocks(a);
	sink->final(sink->user, request);
}

static void apply(struct jt_attribution *a, const struct jt_change *c,
                  const struct jt_sensor *sensor, const struct jt_attribution_sink *sink)
{
	struct jt_slot *s = jt__slots_find(&a->active, c->request);

	if (c->kind == JT_ENTER && !s)
		enter(a, c);
	else if (s && c->kind == JT_LEAVE)
		leave(a, s, sensor, sink);
	else if (s)
		adjust(a, s, c);
	else if (c->kind == JT_LEAVE) /* it could not come in */
		sink->final(sink->user, c->request);
}

/* ---- time ---- */

/* The energy of a step with nobody active. */
static void book_idle(struct jt_attribution *a, uint64_t uj, uint64_t dt_ns)
{
	uint64_t floor_uj =
		a->floor_given ? jt__whole((double)a->floor_mw * (double)dt_ns * 1e-6) : uj;

	a->idle_uj += JT_MIN(uj, floor_uj);
	a->unattributed_uj += uj - JT_MIN(uj, floor_uj);
}

static void learn_floor(struct jt_attribution *a)
{
	uint64_t ns = a->watermark_ns - a->idle_since_ns, mw;

	if (a->floor_given || ns < FLOOR_STRETCH_NS)
		return;
	mw = jt__whole((double)(a->here.e_uj - a->idle_since.e_uj) * 1e6 / (double)ns);
	/* a stretch that the sensor did not see says nothing */
	if (a->here.covered_ns > a->idle_since.covered_ns && mw && mw < a->floor_mw)
		a->floor_mw = mw;
	a->idle_since_ns = a->watermark_ns;
	a->idle_since = a->here;
}

/* Shares the step's energy out. */
static void book(struct jt_attribution *a, uint64_t uj, uint64_t dt_ns)
{
	jt_fixed energy = jt__fixed(uj), floor;

	a->meter_uj += uj;
	a->shared_ns += a->active.n > 1 ? dt_ns : 0;
	if (!a->active.n) {
		book_idle(a, uj, dt_ns);
		return;
	}
	if (!(a->crowd.own_sum + a->crowd.shared)) {
		a->unattributed_uj += uj;
		return;
	}
	jt__vclock_run(&a->all, energy, &a->crowd);
	if (a->floor_mw == JT_NONE)
		return;
	floor = (jt_fixed)a->floor_mw * FIXED_PER_MW_NS * dt_ns;
	if (energy > floor)
		jt__vclock_run(&a->dynamic, energy - floor, &a->crowd);
}

static void step(struct jt_attribution *a, struct jt_timeline *tl, uint64_t t_ns)
{
	uint64_t from_uj = a->here.e_uj, late_uj = a->here.late_uj, dt_ns = t_ns - a->watermark_ns;

	jt__timeline_probe(tl, t_ns, &a->here);
	a->watermark_ns = t_ns;
	book(a, a->here.e_uj - from_uj, dt_ns);
	/* of time that is settled: nobody is charged for it any more, but it was used */
	late_uj = a->here.late_uj - late_uj;
	a->meter_uj += late_uj;
	a->unattributed_uj += late_uj;
}

/*
 * Knot by knot, so that neither the floor nor what is above it depends on how often we are called.
 */
static void step_to(struct jt_attribution *a, struct jt_timeline *tl, uint64_t t_ns)
{
	while (a->watermark_ns < t_ns) {
		uint64_t knot_ns = jt__timeline_next_ns(tl, a->watermark_ns);

		step(a, tl, JT_MIN(t_ns, knot_ns));
		if (!a->active.n && knot_ns <= t_ns)
			learn_floor(a);
	}
}

/* The books open where the timeline begins, or here if a request came before. */
static void begin(struct jt_attribution *a, struct jt_timeline *tl)
{
	a->begun = true;
	a->watermark_ns = a->idle_since_ns = jt_timeline_start_ns(tl);
	jt__timeline_probe(tl, a->watermark_ns, &a->here);
	a->idle_since = a->here;
}

void jt_attribution_advance(struct jt_attribution *a, struct jt_timeline *tl, uint64_t watermark_ns,
                            const struct jt_attribution_sink *sink)
{
	const struct jt_change *c;

	if (!a->begun && watermark_ns)
		begin(a, tl);
	if (watermark_ns <= a->watermark_ns)
		return;
	while ((c = jt__pending_take(&a->pending, watermark_ns))) {
		bool was_idle = !a->active.n;

		jt__slots_expect(&a->active, c->request);
		step_to(a, tl, c->t_ns);
		apply(a, c, jt__timeline_sensor(tl), sink);
		if (!was_idle && !a->active.n) {
			a->idle_since_ns = a->watermark_ns;
			a->idle_since = a->here;
		}
	}
	step_to(a, tl, watermark_ns);
}

/* ---- questions ---- */

/* What a request owes in its current phase beyond what is settled. */
static jt_fixed open_uj(const struct jt_attribution *a, const struct jt_slot *s)
{
	return jt__vclock_owed(&a->all, &s->all, &s->weight);
}

int jt_attribution_peek(const struct jt_attribution *a, uint64_t request,
                        struct jt_charge ret_charges[JT_N_PHASES])
{
	const struct jt_slot *s = jt__slots_find(&a->active, request);

	if (!s)
		return JT_ENOENT;
	memset(ret_charges, 0, JT_N_PHASES * sizeof(*ret_charges));
	for (int p = 0; p < JT_N_PHASES; p++) {
		jt_fixed sum = s->allocated[p] + (p == (int)s->phase ? open_uj(a, s) : 0);

		ret_charges[p] = (struct jt_charge){
			.request = request,
			.domain = a->domain,
			.phase = (enum jt_phase)p,
			.allocated_uj = (uint64_t)(sum >> JT_FIXED_BITS),
			.dynamic_uj = JT_NONE,
			.bound_uj = edge_bound_uj(s, p),
		};
	}
	return JT_OK;
}

void jt_attribution_account(const struct jt_attribution *a, struct jt_account *ret_account)
{
	/* in the clocks, in the slots, and in nobody's hands yet */
	jt_fixed open = a->fraction + jt__vclock_carried(&a->all);
	uint64_t requests_uj;

	for (uint32_t i = 0; i < a->active.n; i++) {
		const struct jt_slot *s = &a->active.slots[i];

		open += open_uj(a, s);
		for (int p = 0; p < JT_N_PHASES; p++)
			open += s->allocated[p];
	}
	requests_uj = a->charged_uj + (uint64_t)(open >> JT_FIXED_BITS);
	*ret_account = (struct jt_account){
		.meter_uj = a->meter_uj,
		.requests_uj = requests_uj,
		.idle_uj = a->idle_uj,
		.unattributed_uj = a->unattributed_uj,
		.error_uj = (int64_t)(a->meter_uj - requests_uj - a->idle_uj - a->unattributed_uj),
		.idle_floor_mw = a->floor_mw,
		.n_late = a->n_late,
		.n_active = a->active.n,
	};
}

uint64_t jt_attribution_watermark_ns(const struct jt_attribution *a)
{
	return a->watermark_ns;
}

uint64_t jt_attribution_n_active(const struct jt_attribution *a)
{
	return a->active.n;
}
