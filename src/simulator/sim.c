/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock. At every instant at which anything ends anywhere, ranks without work are asked whether
 * there is some: the last rank of each instance first, then the first ranks. Almost all of these
 * questions change nothing, so only those instants are looked at at which something can happen: a
 * batch ends, a request has arrived and somebody is idle to notice, a heartbeat is due, standby is
 * about to end, or a rank waits for the next instant to join a batch. That somebody notices an
 * arrival only when something else ends is the reference's: with nothing under way it looks once a
 * millisecond.
 */
#include <math.h>
#include <string.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

#define IDLE_STEP_NS JT_NS_PER_MS
#define GIB_PER_S_IN_BYTES_PER_NS 1.073741824
#define MAX_REMARKS_BYTES (1u << 20)
#define STANDBY_MARGIN_NS (20 * JT_NS_PER_MS)

/* -- opening -- */

static void open_links(struct jt_sim *s)
{
	const struct jt_cluster *c = s->cluster;
	const struct jt_cluster_node *last = &c->nodes[c->n_nodes - 1];
	double reduce = (double)(uint64_t)c->instances[last->first_instance].mem_bw_gbs;
	bool grouped = c->n_dp_groups > 0, staged = false, wide = false;

	for (uint32_t i = 0; i < c->n_instances; i++) {
		staged |= c->instances[i].pp > 1;
		wide |= c->instances[i].tp > 1;
	}
	for (uint32_t d = 0; d < JT_CLUSTER_MAX_DIMS; d++) {
		s->fabric.dims[d] = (struct jt_link){
			.bytes_per_ns = c->link_bw_gbs[JT_MIN(d, c->n_link_bw - 1)] *
			                GIB_PER_S_IN_BYTES_PER_NS,
			.latency_ns = c->link_latency_ns[JT_MIN(d, c->n_link_latency - 1)],
			.reduce_bytes_per_ns = reduce,
		};
	}
	/* [ranks, (stages), groups] with groups, else [ranks, stages], else [ranks]. */
	s->fabric.stage_dim = grouped || wide ? 1 : 0;
	s->fabric.group_dim = grouped && staged ? 2 : 1;
}

static int open_memories(struct jt_sim *s)
{
	const struct jt_cluster *c = s->cluster;
	const struct jt_cluster_node *first = &c->nodes[0];

	s->fabric.cpu = jt__alloc(c->n_nodes, sizeof(*s->fabric.cpu));
	s->fabric.cxl = jt__alloc(JT_MAX(c->n_cxl, 1u), sizeof(*s->fabric.cxl));
	s->fabric.pim_free_ns = jt__alloc(c->n_nodes, sizeof(*s->fabric.pim_free_ns));
	if (!s->fabric.cpu || !s->fabric.cxl || !s->fabric.pim_free_ns)
		return JT_ENOMEM;
	for (uint32_t i = 0; i < c->n_nodes; i++) {
		const struct jt_pim *pim = c->nodes[i].pim;

		s->fabric.cpu[i] =
			(struct jt_memory){ .bytes_per_ns = floor(first->cpu_bw_gbs),
			                    .latency_ns = (uint64_t)first->cpu_latency_ns,
			                    .queued = true };
		if (!pim)
			continue;
		s->fabric.pim_free_ns[i] =
			jt__alloc((size_t)(c->nodes[i].cpu_mem_gb / pim->channel_gb) + 1,
		                  sizeof(**s->fabric.pim_free_ns));
		if (!s->fabric.pim_free_ns[i])
			return JT_ENOMEM;
	}
	for (uint32_t i = 0; i < c->n_cxl; i++)
		s->fabric.cxl[i] = (struct jt_memory){ .bytes_per_ns = floor(c->cxl_bw_gbs),
			                               .latency_ns = (uint64_t)c->cxl_latency_ns,
			                               .queued = true };
	return JT_OK;
}

static int open_tables(struct jt_sim *s)
{
	const struct jt_cluster *c = s->cluster;

	s->insts = jt__alloc(c->n_instances, sizeof(*s->insts));
	s->profiles = jt__alloc(c->n_instances, sizeof(*s->profiles));
	s->nodes = jt__alloc(c->n_nodes, sizeof(*s->nodes));
	s->beat_j = jt__alloc(c->n_nodes, sizeof(*s->beat_j));
	s->shared = jt__alloc(c->n_nodes, sizeof(*s->shared));
	s->fronts = jt__alloc(c->n_instances, sizeof(*s->fronts));
	s->decodes = jt__alloc(c->n_instances, sizeof(*s->decodes));
	if (!s->insts || !s->profiles || !s->nodes || !s->beat_j || !s->shared || !s->fronts ||
	    !s->decodes || open_memories(s) < 0)
		return JT_ENOMEM;
	for (uint32_t i = 0; i < c->n_nodes; i++)
		jt__node_energy_init(&s->nodes[i], &c->nodes[i],
		                     &c->instances[c->nodes[i].first_instance], &s->o.quirks);
	for (uint32_t i = 0; i < c->n_instances; i++) {
		if (c->instances[i].role == JT_ROLE_DECODE)
			s->decodes[s->n_decodes++] = i;
		else
			s->fronts[s->n_fronts++] = i;
		s->n_prefill += c->instances[i].role == JT_ROLE_PREFILL;
	}
	return JT_OK;
}

int jt__sim_new(const struct jt_cluster *c, struct jt_workload *w, const struct jt_sim_options *o,
                const struct jt_sim_observer *ob, struct jt_sim **ret_sim, struct jt_error *err)
{
	struct jt_sim *s;
	int status = JT_OK;

	if (jt__workload_lines(w) == 0)
		return jt__fail(err, JT_EINVAL, jt__workload_name(w),
		                "no requests: at least one line of JSON is needed");
	if (!(o->log_interval_s >= 1e-9 && o->log_interval_s <= 1e9))
		return jt__fail(err, JT_EINVAL, "log_interval",
		                "'%g' is not a time from 1e-9 to 1e9 seconds", o->log_interval_s);
	s = jt__alloc(1, sizeof(*s));
	if (!s)
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory for a simulation");
	s->cluster = c;
	s->o = *o;
	s->ob = *ob;
	s->arrivals.workload = w;
	s->interval_ns = o->log_interval_s * 1e9;
	s->began_now_ns = JT_NONE;
	jt__buf_init(&s->remarks, MAX_REMARKS_BYTES);
	s->totals.has_power = c->nodes[0].has_power;
	open_links(s);
	if (open_tables(s) < 0)
		status = jt__fail(err, JT_ENOMEM, "simulate", "no memory for a simulation");
	for (uint32_t i = 0; i < c->n_instances && status == JT_OK; i++)
		status = jt__inst_open(s, i, err);
	jt__buf_append(&s->remarks, "", 1);
	if (status < 0) {
		jt__sim_free(s);
		return status;
	}
	*ret_sim = s;
	return JT_OK;
}

static void free_requests(struct jt_request *r)
{
	while (r) {
		struct jt_request *next = r->next_made;

		jt__free(r->hashes);
		jt__free(r->itl_ns);
		jt__free(r->seq.kv.blocks);
		jt__free(r);
		r = next;
	}
}

void jt__sim_free(struct jt_sim *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->insts && i < s->cluster->n_instances; i++)
		jt__inst_close(&s->insts[i]);
	for (uint32_t i = 0; i < s->n_profiles; i++)
		jt__profile_free(s->profiles[i]);
	for (uint32_t i = 0; i < s->cluster->n_nodes; i++) {
		if (s->shared)
			jt__kv_pool_free(s->shared[i]);
		if (s->fabric.pim_free_ns)
			jt__free(s->fabric.pim_free_ns[i]);
	}
	for (struct jt_wave_slot *w = s->waves, *next; w; w = next) {
		next = w->next;
		jt__wave_fini(&w->wave);
		jt__free(w);
	}
	free_requests(s->requests);
	jt__arrivals_fini(&s->arrivals);
	jt__buf_fini(&s->remarks);
	jt__free(s->insts);
	jt__free(s->profiles);
	jt__free(s->nodes);
	jt__free(s->beat_j);
	jt__free(s->shared);
	jt__free(s->fronts);
	jt__free(s->decodes);
	jt__free(s->fabric.cpu);
	jt__free(s->fabric.cxl);
	jt__free(s->fabric.pim_free_ns);
	jt__free(s);
}

/* -- when something can happen next -- */

static bool has_last(const struct jt_inst *x)
{
	return jt__inst_has_last(x);
}

static bool first_is_idle(const struct jt_inst *x)
{
	return !x->first_runs && !x->first_sleeps;
}

static bool last_is_idle(const struct jt_inst *x)
{
	return has_last(x) && !x->last_runs && !x->last_sleeps;
}

static uint64_t end_of_first(const struct jt_inst *x)
{
	return x->first_runs ? jt__wave_end_ns(x->first_runs->wave, x->first_runs->member, 0)
	                     : JT_NONE;
}

static uint64_t end_of_last(const struct jt_inst *x)
{
	const struct jt_flight *f = x->last_runs;
	uint32_t rank = x->in->n_npus - 1;
	uint64_t sent_ns;

	if (!f)
		return JT_NONE;
	if (x->in->role != JT_ROLE_PREFILL)
		return jt__wave_end_ns(f->wave, f->member, rank);
	sent_ns = jt__wave_sent_ns(f->wave, f->member, rank);
	return sent_ns;
}

/* The first end of a batch on an asked rank. */
static uint64_t next_end_ns(const struct jt_sim *s)
{
	uint64_t t_ns = JT_NONE;

	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		t_ns = JT_MIN(t_ns, end_of_first(&s->insts[i]));
		t_ns = JT_MIN(t_ns, end_of_last(&s->insts[i]));
	}
	return t_ns;
}

/* The first instant at or after @from_ns at which anything ends; beyond this one, but for what has
 * begun at it and took no time. */
static uint64_t next_event_ns(const struct jt_sim *s, uint64_t from_ns)
{
	uint64_t t_ns = JT_NONE;
	bool under_way = false;

	if (!s->o.quirks.idle_grid)
		return from_ns;
	if (s->began_now_ns != s->t_ns)
		from_ns = JT_MAX(from_ns, s->t_ns + 1);
	for (struct jt_wave_slot *w = s->waves; w && t_ns > from_ns; w = w->next) {
		if (!w->n_users)
			continue;
		under_way = true;
		t_ns = jt__wave_next_event(&w->wave, from_ns, t_ns);
	}
	if (under_way && t_ns != JT_NONE)
		return t_ns;
	return s->t_ns +
	       IDLE_STEP_NS *
	               JT_MAX((from_ns - s->t_ns + IDLE_STEP_NS - 1) / IDLE_STEP_NS, (uint64_t)1);
}

/* When standby ends, seen from shortly before on: JT_NONE if it has, or there is none. */
static uint64_t standby_watch_ns(const struct jt_sim *s, const struct jt_inst *x)
{
	double limit_s = jt__standby_s(&s->nodes[x->in->node], x->in);
	uint64_t limit_ns = jt__whole(limit_s * 1e9), since_ns = s->t_ns - x->idle_since_ns;

	if (!s->o.quirks.idle_grid || !s->totals.has_power || !x->idle || since_ns >= limit_ns)
		return JT_NONE;
	if (limit_ns - since_ns <= STANDBY_MARGIN_NS)
		return s->t_ns + 1;
	return x->idle_since_ns + limit_ns - STANDBY_MARGIN_NS;
}

/* The first whole number that is beyond @v as a double, too: above 2^53 the next one need not be.
 */
static uint64_t first_ns_beyond(double v)
{
	return JT_MAX(jt__whole(v) + 1, jt__whole(nextafter(v, INFINITY)));
}

/* The instant from which on it matters when somebody idle is asked; JT_NONE: nobody need be. */
static uint64_t next_need_ns(const struct jt_sim *s)
{
	uint64_t t_ns = JT_NONE;
	bool idle = false, first_idle = false;

	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		const struct jt_inst *x = &s->insts[i];

		idle |= first_is_idle(x) || last_is_idle(x);
		first_idle |= first_is_idle(x);
		if ((first_is_idle(x) && !x->first_quiet) || (last_is_idle(x) && !x->last_quiet))
			return s->t_ns;
		if (first_is_idle(x))
			t_ns = JT_MIN(t_ns, standby_watch_ns(s, x));
	}
	if (idle)
		t_ns = JT_MIN(t_ns, jt__arrivals_next_ns(&s->arrivals));
	if (first_idle || !s->o.quirks.idle_grid) {
		uint64_t beat_ns = first_ns_beyond(s->last_beat_ns + s->interval_ns);

		t_ns = JT_MIN(t_ns, s->o.quirks.idle_grid ? beat_ns : JT_MAX(beat_ns, s->t_ns + 1));
	}
	return t_ns;
}

static uint64_t next_instant_ns(struct jt_sim *s)
{
	uint64_t end_ns = next_end_ns(s), need_ns = next_need_ns(s);

	if (need_ns == JT_NONE || need_ns >= end_ns)
		return end_ns;
	return JT_MIN(end_ns, next_event_ns(s, JT_MAX(need_ns, s->t_ns)));
}

/* -- running -- */

void jt__sim_fail(struct jt_sim *s, int status)
{
	if (s->status == JT_OK)
		s->status = status;
}

/* The first event ends with the first arrival, or the first heartbeat's interval. */
static uint64_t first_instant_ns(const struct jt_sim *s)
{
	uint64_t arrival_ns = JT_MAX(jt__workload_first_ns(s->arrivals.workload), (uint64_t)1);

	return s->interval_ns > (double)arrival_ns ? arrival_ns : jt__whole(s->interval_ns);
}

static void ask_all(struct jt_sim *s)
{
	for (uint32_t i = 0; i < s->cluster->n_instances && s->status == JT_OK && !s->over; i++) {
		struct jt_inst *x = &s->insts[i];

		if (has_last(x) && !x->last_sleeps && (!x->last_runs || end_of_last(x) <= s->t_ns))
			jt__poll(s, x, false);
	}
	for (uint32_t i = 0; i < s->cluster->n_instances && s->status == JT_OK && !s->over; i++) {
		struct jt_inst *x = &s->insts[i];

		if (!x->first_sleeps && (!x->first_runs || end_of_first(x) <= s->t_ns))
			jt__poll(s, x, true);
	}
}

/* What was left of an interval when all was done: without it the series lacks energy. */
static void beat_rest(struct jt_sim *s)
{
	double rest_ns = (double)s->t_ns - s->last_beat_ns;

	if (rest_ns > 0 && s->t_ns > s->beat_from_ns)
		jt__beat(s, rest_ns);
}

int jt__sim_run(struct jt_sim *s, uint64_t n_batches, struct jt_error *err)
{
	uint64_t until = s->totals.n_batches + n_batches;

	s->err = err;
	while (!s->over && s->status == JT_OK && s->totals.n_batches < until) {
		uint64_t t_ns = s->t_ns ? next_instant_ns(s) : first_instant_ns(s);

		if (t_ns == JT_NONE) {
			s->status = jt__fail(err, JT_EINVAL, "simulate",
			                     "nothing can go on at %.3f s with %llu requests done",
			                     (double)s->t_ns * 1e-9,
			                     (unsigned long long)s->totals.requests);
			break;
		}
		if (s->began_now_ns == s->t_ns)
			s->began_now_ns = JT_NONE;
		s->t_ns = t_ns;
		if (!s->o.quirks.idle_grid && jt__beat_is_due(s))
			jt__beat(s, s->interval_ns);
		ask_all(s);
	}
	if (s->over && !s->o.quirks.idle_grid)
		beat_rest(s);
	s->totals.t_ns = s->t_ns;
	s->err = NULL;
	if (s->status == JT_ENOMEM && err && err->status == JT_OK)
		jt__fail(err, JT_ENOMEM, "simulate", "out of memory");
	return s->status < 0 ? s->status : !s->over;
}

/* -- questions -- */

const char *jt__sim_remarks(const struct jt_sim *s)
{
	return jt__buf_bytes(&s->remarks);
}

void jt__sim_totals(const struct jt_sim *s, struct jt_sim_totals *ret_totals)
{
	struct jt_sim_totals t = s->totals;
	struct jt_sched_stats st;

	t.t_ns = s->t_ns;
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		jt__sched_stats(s->insts[i].sched, &st);
		t.preemptions += st.preemptions;
		t.recomputed_tokens += st.recomputed_tokens;
	}
	*ret_totals = t;
}

void jt__sim_instance(const struct jt_sim *s, uint32_t i, struct jt_sim_instance_state *ret_state)
{
	const struct jt_inst *x = &s->insts[i];
	const struct jt_instance *in = x->in;
	uint64_t lower_bytes = x->lower ? jt__kv_used_bytes(x->lower) : 0;
	struct jt_sched_stats st;

	jt__sched_stats(x->sched, &st);
	*ret_state = (struct jt_sim_instance_state){
		.running = jt__sched_running(x->sched),
		.waiting = jt__sched_waiting(x->sched),
		.n_npus = in->n_npus,
		.npu_used_bytes = x->weight_bytes + st.used_bytes,
		.npu_mem_bytes = in->mem_gb * 1073741824.0,
		.prefix_caching = in->serving.prefix_caching,
		.requested_tokens = st.requested_tokens,
		.hit_tokens = st.hit_tokens,
		.lower_requested_tokens =
			s->o.prefix_store == JT_PREFIX_NONE ? 0 : st.requested_tokens,
		.lower_hit_tokens = st.lower_hit_tokens,
		.n_blocks = st.n_blocks,
		.block_tokens = in->serving.block_size,
		.bytes_per_block = jt__rank_kv_bytes_per_token(in) * in->serving.block_size,
		.cpu_used_bytes = s->o.prefix_store == JT_PREFIX_CPU ? lower_bytes : 0,
		.cxl_used_bytes = s->o.prefix_store == JT_PREFIX_CXL ? lower_bytes : 0,
	};
}

void jt__sim_joules(const struct jt_sim *s, uint32_t node, struct jt_sim_joules *ret_joules)
{
	jt__node_joules(&s->nodes[node], s->t_ns, ret_joules);
}

uint64_t jt__sim_pool_bytes(const struct jt_sim *s, uint32_t node, uint64_t *ret_requested,
                            uint64_t *ret_hit)
{
	bool cxl = s->o.prefix_store == JT_PREFIX_CXL;

	if (!s->shared[node])
		return JT_NONE;
	*ret_requested = *ret_hit = 0;
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		struct jt_sched_stats st;

		if (!cxl && s->insts[i].in->node != node)
			continue;
		jt__sched_stats(s->insts[i].sched, &st);
		*ret_requested += st.requested_tokens;
		*ret_hit += st.lower_hit_tokens;
	}
	return jt__kv_used_bytes(s->shared[node]);
}
