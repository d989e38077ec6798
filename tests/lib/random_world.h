/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RANDOM_WORLD_H
#define JT_RANDOM_WORLD_H
/*
 * Clusters, options and requests drawn at random, of all that can be combined; a run of them; and
 * what must hold of any run. must(cond) is whoever includes this one's. Single-threaded.
 */
#include "world.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "simulator/instance.h"

#define WORLD_MAX_REQUESTS 64

struct random_world {
	struct world_spec spec;
	struct jt_serving_defaults serving;
	struct jt_sim_options options;
	uint32_t n_lines;
	uint64_t seed; /* of the requests */
	bool sessions;
	uint32_t max_in, max_out;
	uint64_t apart_ns;
};

/* Where choices come from: a generator, or a fuzzer's bytes. */
typedef uint32_t (*world_draw)(void *user, uint32_t below);

static inline void world_draw_instance(struct world_instance *in, uint32_t kind, uint32_t i,
                                       world_draw draw, void *user)
{
	bool moe = draw(user, 4) == 0;

	in->model = moe ? "tiny/moe" : "tiny/dense";
	in->tp = 1u << draw(user, 3);
	in->pp = 1 + draw(user, 4);
	in->ep = moe ? in->tp : 0;
	if (draw(user, 3) == 0)
		in->more = ", \"placement\": {\"default\": {\"weights\": \"cpu\"}, \"blocks\": "
			   "[{\"blocks\": \"2\", \"weights\": \"npu\"}]}";
	if (kind == 1)
		in->role = i % 2 ? "decode" : "prefill";
}

/* 0: by themselves; 1: prefill and decode; 2: one data-parallel group. */
static inline void world_draw_cluster(struct random_world *w, world_draw draw, void *user)
{
	struct world_spec *s = &w->spec;
	uint32_t kind = draw(user, 3);

	s->n_instances = kind == 0 ? 1 + draw(user, 3) : 2 + draw(user, 2);
	s->power = draw(user, 4) != 0;
	s->standby_s = draw(user, 2) ? 0.001 : 18;
	s->cxl = draw(user, 2);
	s->n_nodes = 1 + (s->n_instances > 1 ? draw(user, 2) : 0);
	s->link_ns = draw(user, 2) ? 0 : 20000;
	s->pim = kind != 2 && draw(user, 4) == 0;
	for (uint32_t i = 0; i < s->n_instances; i++)
		world_draw_instance(&s->instances[i], kind, i, draw, user);
	for (uint32_t i = 0; kind == 2 && i < s->n_instances; i++) {
		s->instances[i] = s->instances[0];
		s->instances[i].group = "A";
		if (s->instances[i].ep)
			s->instances[i].ep = s->n_instances == 2 ? 2 * s->instances[0].tp : 0;
		if (s->n_instances == 3) /* divides no 8 experts */
			s->instances[i].model = "tiny/dense";
	}
	for (uint32_t i = 0; kind == 1 && i < s->n_instances; i++)
		s->instances[i].model = s->instances[0].model;
	for (uint32_t i = 0; kind == 1 && i < s->n_instances; i++)
		s->instances[i].ep = s->instances[0].ep ? s->instances[i].tp : 0;
	if (kind == 0 && draw(user, 3) == 0) {
		for (uint32_t i = 0; i < s->n_instances; i++)
			s->instances[i].mem_gb = 0.001; /* little KV: preemption */
	}
}

static inline void world_draw_options(struct random_world *w, world_draw draw, void *user)
{
	static const uint32_t seqs[] = { 128, 0, 1, 3 }, tokens[] = { 2048, 0, 16, 100 };
	static const uint32_t blocks[] = { 16, 1, 64, 7 };
	struct jt_serving_defaults d = JT_SERVING_DEFAULTS;

	d.max_num_seqs = seqs[draw(user, 4)];
	d.max_num_batched_tokens = tokens[draw(user, 4)];
	d.block_size = blocks[draw(user, 4)];
	d.long_prefill_token_threshold = draw(user, 4) ? 0 : 20;
	d.chunked_prefill = draw(user, 3) != 0;
	d.prefix_caching = draw(user, 3) != 0;
	d.reserve_full_isl = draw(user, 2);
	d.local_offloading = draw(user, 5) == 0;
	d.block_copy = draw(user, 3) != 0;
	d.attn_offloading = w->spec.pim;
	for (uint32_t i = 0; i < w->spec.n_instances; i++) {
		if (w->spec.instances[i].role && w->spec.instances[i].role[0] == 'p')
			d.attn_offloading = false;
	}
	d.sub_batch_interleaving = d.attn_offloading && draw(user, 2);
	for (uint32_t i = 0; i < w->spec.n_instances; i++)
		d.sub_batch_interleaving &= w->spec.instances[i].pp <= 1;
	w->serving = d;
	w->options = (struct jt_sim_options){
		.route = (enum jt_route)draw(user, 3),
		.experts = (enum jt_experts)draw(user, 3),
		.prefix_store = (enum jt_prefix_store)draw(user, 3),
		.skip_prefill = draw(user, 8) == 0,
		.log_interval_s = draw(user, 2) ? 0.001 : 1,
	};
	if (w->options.prefix_store == JT_PREFIX_CXL && !w->spec.cxl)
		w->options.prefix_store = JT_PREFIX_NONE;
	w->options.prefix_sharing = w->options.prefix_store && draw(user, 2);
	for (uint32_t i = 0; i < w->spec.n_instances;
	     i++) /* only the same model's KV can be shared */
		w->options.prefix_sharing &=
			w->spec.instances[i].model == w->spec.instances[0].model;
#define X(name, option, what) w->options.quirks.name = draw(user, 2);
	JT_QUIRKS(X)
#undef X
}

static inline void world_draw_requests(struct random_world *w, world_draw draw, void *user)
{
	static const uint64_t apart_ns[] = { 0, 50000, 10000000, UINT64_C(86400000000000) };

	w->n_lines = 1 + draw(user, 20);
	w->seed = draw(user, UINT32_MAX);
	w->sessions = draw(user, 4) == 0;
	w->max_in = 1 + draw(user, 300);
	w->max_out = 1 + draw(user, 40);
	w->apart_ns = apart_ns[draw(user, 4)];
}

static inline struct random_world world_random(world_draw draw, void *user)
{
	struct random_world w = { 0 };

	world_draw_cluster(&w, draw, user);
	world_draw_options(&w, draw, user);
	world_draw_requests(&w, draw, user);
	if (w.apart_ns > JT_NS_PER_S)
		w.options.log_interval_s = 3600; /* each beat is told */
	return w;
}

static inline uint32_t world_from_rng(void *user, uint32_t below)
{
	return (uint32_t)jt__rng_below(user, below);
}

/* -- requests -- */

static inline void world_put_ask(FILE *f, const struct random_world *w, struct jt_rng *rng)
{
	uint32_t n_in = 1 + (uint32_t)jt__rng_below(rng, w->max_in);
	uint32_t n_out = 1 + (uint32_t)jt__rng_below(rng, w->max_out);
	uint32_t shared = (uint32_t)jt__rng_below(rng, n_in + 1);

	fprintf(f, "\"input_toks\":%u,\"output_toks\":%u", n_in, n_out);
	if (jt__rng_below(rng, 4) == 0)
		return;
	fputs(",\"input_tok_ids\":[", f);
	for (uint32_t i = 0; i < n_in; i++)
		fprintf(f, i ? ",%u" : "%u", i < shared ? i : (uint32_t)jt__rng_below(rng, 1000));
	fputs("],\"output_tok_ids\":[", f);
	for (uint32_t i = 0; i < n_out; i++)
		fprintf(f, i ? ",%u" : "%u", i);
	fputs("]", f);
}

static inline void world_put_requests(const struct tree *t, const struct random_world *w)
{
	FILE *f = world_file(t, "/trace.jsonl");
	struct jt_rng rng = { w->seed };
	uint64_t t_ns = 0;

	for (uint32_t i = 0; i < w->n_lines; i++) {
		uint32_t n = w->sessions ? 1 + (uint32_t)jt__rng_below(&rng, 3) : 1;

		t_ns += w->apart_ns ? jt__rng_below(&rng, w->apart_ns) : 0;
		fprintf(f, "{\"arrival_time_ns\":%llu,", (unsigned long long)t_ns);
		if (w->sessions)
			fprintf(f, "\"session_id\":\"s%u\",\"sub_requests\":[", i);
		for (uint32_t k = 0; k < n; k++) {
			if (w->sessions)
				fprintf(f, "%s{\"tool_duration_ns\":%llu,", k ? "," : "",
				        (unsigned long long)jt__rng_below(&rng, 1 + w->apart_ns));
			world_put_ask(f, w, &rng);
			fputs(w->sessions ? "}" : "", f);
		}
		fputs(w->sessions ? "]}\n" : "}\n", f);
	}
	fclose(f);
}

/* -- a run -- */

struct world_run {
	struct jt_cluster *cluster;
	struct jt_workload *workload;
	struct jt_sim *sim;
	struct jt_error err;
	int status;
	/* what was heard */
	uint64_t n_finished, sum_output, sum_input, hash;
	bool seen[WORLD_MAX_REQUESTS];
	double requests_j, batches_j, beats_j, last_power_w;
	uint64_t n_batches, batch_tokens, last_beat_ns, n_beats;
};

static inline void world_note(struct world_run *r, uint64_t v)
{
	r->hash = (r->hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	r->hash ^= r->hash >> 29;
}

static inline void world_on_finished(void *user, const struct jt_sim_request *q)
{
	struct world_run *r = user;
	uint64_t sum_ns = q->ttft_ns;

	must(q->id < WORLD_MAX_REQUESTS && !r->seen[q->id]);
	r->seen[q->id] = true;
	must(q->input_tokens >= 1 && q->output_tokens >= 1 &&
	     q->hit_tokens < q->input_tokens + q->output_tokens);
	must(q->end_ns >= q->arrival_ns);
	for (uint32_t i = 0; i < q->n_itl; i++)
		sum_ns += q->itl_ns[i];
	if (!r->sim->o.skip_prefill) {
		must(q->queuing_ns <= q->ttft_ns && q->ttft_ns <= q->end_ns - q->arrival_ns);
		must(q->n_itl == q->output_tokens - 1 && sum_ns == q->end_ns - q->arrival_ns);
	}
	must(r->sim->totals.has_power ? q->dynamic_j >= 0 && q->prefill_j >= 0 && q->decode_j >= 0
	                              : isnan(q->dynamic_j));
	must(!(q->prefill_j + q->decode_j < q->dynamic_j * (1 - 1e-9)));
	r->n_finished++;
	r->sum_output += q->output_tokens;
	r->sum_input += q->input_tokens;
	r->requests_j += q->dynamic_j;
	world_note(r, q->id);
	world_note(r, q->end_ns);
	world_note(r, q->ttft_ns);
	world_note(r, q->queuing_ns);
	for (uint32_t i = 0; i < q->n_itl; i++)
		world_note(r, q->itl_ns[i]);
}

static inline void world_on_beat(void *user, const struct jt_sim_beat *b)
{
	struct world_run *r = user;

	must(b->t_ns > r->last_beat_ns || !b->has_power);
	must(b->has_power ? isfinite(b->power_w) && b->power_w >= 0 : true);
	r->beats_j += b->power_w * (double)(b->t_ns - r->last_beat_ns) * 1e-9;
	r->last_beat_ns = b->t_ns;
	r->n_beats++;
}

static inline void world_on_batch(void *user, const struct jt_sim_batch *b)
{
	struct world_run *r = user;

	must(b->batch->n_items > 0 && b->end_ns >= b->begin_ns);
	must(r->sim->totals.has_power ? b->dynamic_j >= 0 : isnan(b->dynamic_j));
	r->batches_j += b->dynamic_j;
	r->batch_tokens += b->batch->n_tokens;
	r->n_batches++;
}

/* Files and options are there; nothing has run. */
static inline bool world_open(struct world_run *r, const struct tree *t,
                              const struct random_world *w)
{
	const struct jt_sim_observer ob = { .finished = world_on_finished,
		                            .beat = world_on_beat,
		                            .batch = world_on_batch,
		                            .user = r };
	struct jt_sim_options o = w->options;
	static char profiles[128];

	*r = (struct world_run){ .err = { .message = "" } };
	snprintf(profiles, sizeof(profiles), "%s/profiler", t->root);
	o.profiles = profiles;
	r->cluster = world_cluster(t, &w->spec, &w->serving, &r->err);
	if (r->cluster)
		r->workload = world_workload(t, &r->err);
	if (!r->workload)
		return false;
	return jt__sim_new(r->cluster, r->workload, &o, &ob, &r->sim, &r->err) == JT_OK;
}

static inline void world_close(struct world_run *r)
{
	jt__sim_free(r->sim);
	jt__workload_free(r->workload);
	jt__cluster_free(r->cluster);
}

/* -- what must hold of a run that has come to its end -- */

static inline void world_check_joules(const struct world_run *r, const struct random_world *w)
{
	double total_j = 0, above_j = 0;

	for (uint32_t n = 0; n < r->cluster->n_nodes; n++) {
		const struct jt_node_energy *e = &r->sim->nodes[n];
		struct jt_sim_joules j;
		double sum = 0, base_w = 0;

		jt__sim_joules(r->sim, n, &j);
		for (int c = 0; c < JT_N_COMPONENTS; c++) {
			must(isfinite(j.by[c]) && j.by[c] >= 0);
			sum += c == JT_C_PIM ? 0 : j.by[c];
			base_w += e->base_w[c];
		}
		must(fabs(sum - j.total_j) <= 1e-9 * (1 + sum));
		must(fabs(j.npu_idle_j + j.npu_standby_j + j.npu_active_j - j.by[JT_C_NPU]) <=
		     1e-9 * (1 + sum));
		must(j.by[JT_C_PIM] <= j.by[JT_C_DRAM] + 1e-9);
		must(j.npu_standby_j >= 0);
		total_j += j.total_j;
		above_j += j.total_j - base_w * (double)r->sim->t_ns * 1e-9 - j.npu_standby_j;
	}
	if (!r->sim->totals.has_power)
		return;
	/* A group's tokens for nobody cost something as well. */
	must(r->batches_j <= above_j + 1e-9 * (1 + total_j));
	must(w->spec.instances[0].group || above_j <= r->batches_j + 1e-9 * (1 + total_j));
	must(r->requests_j <= r->batches_j * (1 + 1e-9));
	/* Means are rounded to a hundredth of a watt, node by node. */
	must(r->beats_j <=
	     total_j + (double)r->cluster->n_nodes * 0.005 * (double)r->sim->t_ns * 1e-9 +
	             1e-9 * total_j);
}

static inline void world_check_memory(const struct world_run *r)
{
	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sched_stats st;
		struct jt_sim_instance_state state;

		jt__sched_stats(r->sim->insts[i].sched, &st);
		jt__sim_instance(r->sim, i, &state);
		must(st.free_blocks == st.n_blocks && state.running == 0 && state.waiting == 0);
		must((double)state.npu_used_bytes <= state.npu_mem_bytes);
		must(st.hit_tokens + st.lower_hit_tokens <= st.requested_tokens);
	}
}

static inline void world_check(const struct world_run *r, const struct random_world *w)
{
	struct jt_sim_totals n;

	jt__sim_totals(r->sim, &n);
	must(n.requests == r->n_finished && n.requests == jt__workload_requests(r->workload));
	must(n.input_tokens == r->sum_input && n.n_batches == r->n_batches);
	if (!w->options.skip_prefill && !w->options.quirks.lost_token)
		must(n.generated_tokens == r->sum_output);
	must(r->n_beats <= r->n_batches * 1000 + n.t_ns); /* and no more than instants */
	world_check_memory(r);
	world_check_joules(r, w);
}

#endif
