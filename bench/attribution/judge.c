/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies as jouletap runs them: timeline, virtual energy clock and weights are its own, in
 * virtual time. The domain is the node above its base, with an idle floor that is known.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "attribution.h"
#include "attribution/policy.h"
#include "jouletap/attribution.h"
#include "sampler/pacer.h"

#define BEGIN_NS JT_NS_PER_S /* of the simulation, on the meter's clock */
#define AFTER_NS (2 * JT_NS_PER_S)
#define MAX_KNOTS 65536
#define FINE_NS JT_NS_PER_MS /* of the sensor that hides nothing of a policy */

/* What the policy is told. */
struct view {
	enum jt_policy policy;
	bool has_model;
	bool from_outside; /* as a gateway: no queue is seen, prompts are estimated, the sensor is
	                      slow */
};

static const struct view views[N_METHODS] = {
	[METHOD_EQUAL] = { JT_POLICY_EQUAL, false, false },
	[METHOD_TOKENS] = { JT_POLICY_TOKENS, false, false },
	[METHOD_PHASES] = { JT_POLICY_ROOFLINE, false, false },
	[METHOD_ROOFLINE] = { JT_POLICY_ROOFLINE, true, false },
	[METHOD_GATEWAY] = { JT_POLICY_ROOFLINE, true, true },
};

/* A counter that moves each 100 ms with a power field over 25 ms, as an H100's; and a fine one. */
static const struct jt_sensor slow = { .name = "slow",
	                               .what = "",
	                               .update_ns = 100 * JT_NS_PER_MS,
	                               .window_ns = 25 * JT_NS_PER_MS,
	                               .step_uj = 1000,
	                               .max_power_mw = 1000000 };
static const struct jt_sensor fine = {
	.name = "fine", .what = "", .update_ns = FINE_NS, .step_uj = 1, .max_power_mw = 10000000
};

/* ---- the energy of the node ---- */

struct meter {
	const struct run *run;
	enum truth truth;
	double idle_w;
	size_t at;     /* the batch that time has come to */
	double past_j; /* of those before it */
};

static double energy_j(struct meter *m, uint64_t t_ns)
{
	const struct run *r = m->run;
	uint64_t now_ns = t_ns > BEGIN_NS ? t_ns - BEGIN_NS : 0;
	double j = 0;

	while (m->at < r->n_batches && r->batches[m->at].end_ns <= now_ns)
		m->past_j += r->batches[m->at++].j[m->truth];
	while (m->at > 0 && r->batches[m->at - 1].end_ns > now_ns)
		m->past_j -= r->batches[--m->at].j[m->truth];
	if (m->at < r->n_batches && r->batches[m->at].begin_ns < now_ns) {
		const struct stretch *b = &r->batches[m->at];

		j = b->j[m->truth] * (double)(now_ns - b->begin_ns) /
		    (double)(b->end_ns - b->begin_ns);
	}
	return m->past_j + j + m->idle_w * (double)t_ns * 1e-9;
}

static struct jt_sample read_sensor(struct meter *m, const struct jt_sensor *sensor, uint64_t t_ns)
{
	uint64_t update_ns = t_ns / sensor->update_ns * sensor->update_ns;
	double j = energy_j(m, update_ns);
	struct jt_sample s = { .valid = JT_HAS_ENERGY, .begin_ns = t_ns, .end_ns = t_ns + 1000 };

	s.energy_uj = (uint64_t)llround(j * 1e6 / (double)sensor->step_uj) * sensor->step_uj;
	if (sensor->window_ns && update_ns > sensor->window_ns) {
		double before_j = energy_j(m, update_ns - sensor->window_ns);

		s.valid |= JT_HAS_POWER;
		s.power_mw = (uint32_t)lround((j - before_j) * 1e12 / (double)sensor->window_ns);
	}
	return s;
}

/* ---- what happens ---- */

enum { ENTER, FIRST, PROGRESS, LEAVE };
struct event {
	uint64_t t_ns;
	uint32_t request, context;
	int what;
};

struct rig {
	struct run *run;
	const struct view *view;
	enum method method;
	struct meter meter;
	struct jt_weigher weigher;
	struct jt_timeline *tl;
	struct jt_attribution *a;
	struct event *events;
	size_t n_events, next;
	struct jt_load *loads;
};

static int compare_events(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	if (x->t_ns != y->t_ns)
		return x->t_ns < y->t_ns ? -1 : 1;
	return x->request != y->request ? (x->request < y->request ? -1 : 1) : x->what - y->what;
}

static void add_event(struct rig *g, uint64_t t_ns, uint32_t request, int what, uint32_t context)
{
	g->events[g->n_events++] = (struct event){ BEGIN_NS + t_ns, request, context, what };
}

/* Of its prefill, as far as can be seen. */
static uint64_t begin_ns(const struct rig *g, const struct request *q)
{
	return g->view->from_outside ? q->arrival_ns : q->scheduled_ns;
}

static bool list_events(struct rig *g)
{
	const struct run *r = g->run;

	g->events = calloc(3 * (size_t)r->n_requests + r->n_progress, sizeof(*g->events));
	g->loads = calloc(r->n_requests, sizeof(*g->loads));
	if (!g->events || !g->loads)
		return false;
	for (uint32_t i = 0; i < r->n_requests; i++) {
		const struct request *q = &r->requests[i];

		add_event(g, begin_ns(g, q), i, ENTER, 0);
		add_event(g, q->first_ns, i, FIRST, q->input);
		add_event(g, q->end_ns, i, LEAVE, 0);
	}
	for (size_t i = 0; i < r->n_progress; i++) {
		const struct progress *p = &r->progress[i];

		if (p->t_ns < r->requests[p->request].end_ns)
			add_event(g, p->t_ns, p->request, PROGRESS, p->context);
	}
	qsort(g->events, g->n_events, sizeof(*g->events), compare_events);
	return true;
}

/* A proxy counts bytes: the engine's tokens are up to a fifth more or fewer. */
static uint32_t estimated(const struct rig *g, uint32_t request, uint32_t tokens)
{
	struct jt_rng rng = { request };

	return g->view->from_outside ? (uint32_t)(tokens * (0.8 + 0.4 * jt__rng_unit(&rng))) + 1
	                             : tokens;
}

static void tell_timeline(struct rig *g, uint64_t t_ns, int prefill, int decode)
{
	struct jt_activity change = { .t_ns = t_ns, .prefill = prefill, .decode = decode };

	jt_timeline_note(g->tl, &change);
}

/* As src/meter/request.c does. */
static void happen(struct rig *g, const struct event *e)
{
	struct jt_load *load = &g->loads[e->request];
	struct jt_change c = { .t_ns = e->t_ns, .request = e->request, .kind = JT_ADJUST };
	uint32_t prompt = estimated(g, e->request, g->run->requests[e->request].input);

	if (e->what == ENTER) {
		*load = (struct jt_load){ .phase = JT_PHASE_PREFILL,
			                  .prompt_tokens = prompt,
			                  .context_tokens = prompt,
			                  .choices = 1 };
		c.kind = JT_ENTER;
		tell_timeline(g, e->t_ns, 1, 0);
	} else if (e->what == LEAVE) {
		const struct request *q = &g->run->requests[e->request];

		c.kind = JT_LEAVE;
		tell_timeline(g, e->t_ns, 0, -1);
		jt__weigher_learn(&g->weigher, q->first_ns - begin_ns(g, q),
		                  q->end_ns - q->first_ns);
	} else {
		load->context_tokens = prompt + e->context - g->run->requests[e->request].input;
		if (load->phase == JT_PHASE_PREFILL) {
			const struct request *q = &g->run->requests[e->request];

			tell_timeline(g, e->t_ns, -1, 1);
			jt__weigher_first_token(&g->weigher, prompt, q->first_ns - begin_ns(g, q));
		}
		load->phase = JT_PHASE_DECODE;
	}
	c.phase = load->phase;
	c.weight = jt__weigh(&g->weigher, load);
	jt_attribution_post(g->a, &c);
}

static void on_charge(void *user, const struct jt_charge *c)
{
	struct rig *g = user;

	g->run->requests[c->request].estimate_j[g->meter.truth][g->method] +=
		(double)c->dynamic_uj * 1e-6;
}

static void on_final(void *user, uint64_t request)
{
	(void)user, (void)request;
}

static void run_meter(struct rig *g, const struct jt_sensor *sensor)
{
	const struct jt_attribution_sink sink = { on_charge, on_final, g };
	uint64_t end_ns = BEGIN_NS + g->run->end_ns + AFTER_NS, t_ns = BEGIN_NS / 2;
	struct jt_pacer pacer;

	jt__pacer_init(&pacer, sensor->update_ns, sensor->update_ns, t_ns);
	while (t_ns < end_ns) {
		struct jt_sample s = read_sensor(&g->meter, sensor, t_ns);

		while (g->next < g->n_events && g->events[g->next].t_ns <= s.end_ns)
			happen(g, &g->events[g->next++]);
		jt_timeline_add(g->tl, &s);
		jt_attribution_advance(g->a, g->tl, jt_timeline_closed_ns(g->tl), &sink);
		t_ns = g->view->from_outside ? jt__pacer_next(&pacer, &s, s.end_ns)
		                             : t_ns + FINE_NS;
	}
}

static void judge_one(struct run *r, enum truth truth, enum method method)
{
	struct rig g = { .run = r, .view = &views[method], .method = method };
	const struct jt_sensor *sensor = g.view->from_outside ? &slow : &fine;
	struct jt_error err;

	g.meter = (struct meter){ .run = r, .truth = truth };
	g.meter.idle_w =
		truth == TRUTH_ROOF ? r->gpu->idle_w : r->cluster->nodes[0].power.npus[0].idle_w;
	jt__weigher_init(&g.weigher, g.view->policy);
	g.weigher.has_model = g.view->has_model;
	g.weigher.model = r->model;
	g.weigher.gpu = *r->gpu;
	if (!list_events(&g) || jt_timeline_new(sensor, MAX_KNOTS, &g.tl, &err) < 0 ||
	    jt_attribution_new(0, (uint64_t)llround(g.meter.idle_w * 1e3), &g.a, &err) < 0)
		r->failed = true;
	else
		run_meter(&g, sensor);
	jt_attribution_free(g.a);
	jt_timeline_free(g.tl);
	free(g.events);
	free(g.loads);
}

void judge(struct run *r, enum truth truth)
{
	for (int m = 0; m < N_METHODS; m++)
		if (views[m].policy != JT_POLICY_EQUAL || m == METHOD_EQUAL)
			judge_one(r, truth, (enum method)m);
}

/* ---- verdicts ---- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of @errors_j, absolute, one a request. */
static struct verdict sum_up(const struct run *r, enum truth truth, double *errors_j)
{
	double sum_j = 0, truth_j = 0;
	struct verdict v;

	for (uint32_t i = 0; i < r->n_requests; i++) {
		sum_j += errors_j[i];
		truth_j += r->requests[i].truth[truth].shapley_j;
		errors_j[i] /= r->requests[i].truth[truth].shapley_j;
	}
	qsort(errors_j, r->n_requests, sizeof(*errors_j), compare_doubles);
	v = (struct verdict){ .median = errors_j[r->n_requests / 2],
		              .p95 = errors_j[(size_t)(r->n_requests * 0.95)],
		              .weighted = sum_j / truth_j };
	free(errors_j);
	return v;
}

struct verdict verdict_on(const struct run *r, enum truth truth, enum method method)
{
	double *errors_j = calloc(r->n_requests, sizeof(*errors_j));

	if (!errors_j)
		return (struct verdict){ NAN, NAN, NAN };
	for (uint32_t i = 0; i < r->n_requests; i++)
		errors_j[i] = fabs(r->requests[i].estimate_j[truth][method] -
		                   r->requests[i].truth[truth].shapley_j);
	return sum_up(r, truth, errors_j);
}

struct verdict truth_error(const struct run *r, enum truth truth)
{
	double *errors_j = calloc(r->n_requests, sizeof(*errors_j));

	if (!errors_j)
		return (struct verdict){ NAN, NAN, NAN };
	for (uint32_t i = 0; i < r->n_requests; i++)
		errors_j[i] = sqrt(r->requests[i].truth[truth].variance);
	return sum_up(r, truth, errors_j);
}

double marginal_part(const struct run *r, enum truth truth)
{
	double marginal_j = 0, all_j = 0;

	for (uint32_t i = 0; i < r->n_requests; i++) {
		marginal_j += r->requests[i].truth[truth].marginal_j;
		all_j += r->requests[i].truth[truth].shapley_j;
	}
	return marginal_j / all_j;
}
