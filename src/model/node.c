/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler says who computes what, the roofline what that costs. A step is booked when it
 * begins: its outcome is certain then, since nobody joins or leaves a batch under way. Who is
 * cancelled during a step has still paid for it.
 */
#include <math.h>
#include <string.h>
#include "jouletap/record.h"
#include "model/node.h"

/* Part of the GPU's memory that weights and KV cache may fill, as engines have it by default. */
#define MEMORY_SHARE 0.9
#define DEFAULT_BLOCK_TOKENS 16
#define MIN_BUCKETS 64

struct request {
	struct jt_seq seq;
	struct jt_node_truth truth;
	struct request *bucket_next;
};

struct jt_node {
	struct jt_node_options o;
	struct jt_size size; /* of its model */
	struct jt_sched *sched;
	struct request **buckets; /* every request that is not forgotten, by id */
	size_t n_buckets;         /* a power of two */
	size_t n_requests;
	struct jt_node_event *events;
	size_t events_capacity;
	/* The last step; before the first one it is empty and ends at o.begin_ns. */
	uint64_t step_begin_ns;
	uint64_t step_end_ns;
	double begin_j; /* cumulative energy at its begin */
	double step_w;
	double idle_j; /* spent between steps before it */
};

static double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

/* Blocks of all layers' keys and values, in what the weights leave. */
static int size_kv(struct jt_node_options *o, const struct jt_size *size, struct jt_error *err)
{
	struct jt_kv_options *kv = &o->sched.kv;
	double room = MEMORY_SHARE * o->gpu.mem_gb * 1e9 - size->weight_bytes;
	double block_bytes;

	if (kv->block_tokens == 0)
		kv->block_tokens = DEFAULT_BLOCK_TOKENS;
	block_bytes = kv->block_tokens * size->kv_token_bytes;
	kv->bytes_per_block = jt__whole(block_bytes);
	if (room < block_bytes)
		return jt__fail(err, JT_EINVAL, "node", "model '%s' does not fit into %s (%g GB)",
		                o->arch.model, o->gpu.name, o->gpu.mem_gb);
	if (kv->n_blocks == 0)
		kv->n_blocks = jt__whole(room / block_bytes);
	return JT_OK;
}

int jt__node_new(const struct jt_node_options *o, struct jt_node **ret_node, struct jt_error *err)
{
	struct jt_node *n = jt__alloc(1, sizeof(*n));
	int status;

	if (!n)
		return jt__fail(err, JT_ENOMEM, "node", "no memory for a node");
	n->o = *o;
	n->size = jt__size(&o->arch);
	n->o.sched.max_batches = 1;
	n->step_begin_ns = n->step_end_ns = o->begin_ns;
	n->n_buckets = MIN_BUCKETS;
	n->buckets = jt__alloc(n->n_buckets, sizeof(*n->buckets));
	status = n->buckets ? size_kv(&n->o, &n->size, err)
	                    : jt__fail(err, JT_ENOMEM, "node", "no memory for a node");
	if (status == JT_OK)
		status = jt__sched_new(&n->o.sched, &n->sched, err);
	if (status < 0)
		jt__node_free(n);
	else
		*ret_node = n;
	return status;
}

void jt__node_free(struct jt_node *n)
{
	if (!n)
		return;
	jt__sched_free(n->sched);
	for (size_t i = 0; n->buckets && i < n->n_buckets; i++) {
		for (struct request *r = n->buckets[i], *next; r; r = next) {
			next = r->bucket_next;
			jt__free(r);
		}
	}
	jt__free(n->buckets);
	jt__free(n->events);
	jt__free(n);
}

/* Ids are often consecutive; the multiplier (2^64 over the golden ratio) spreads them. */
static struct request **bucket_of(struct request **buckets, size_t n_buckets, uint64_t id)
{
	return &buckets[(id * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (n_buckets - 1)];
}

static struct request *find(const struct jt_node *n, uint64_t id)
{
	struct request *r = *bucket_of(n->buckets, n->n_buckets, id);

	while (r && r->seq.id != id)
		r = r->bucket_next;
	return r;
}

/* Failing to grow makes chains longer, nothing else. */
static void grow_buckets(struct jt_node *n)
{
	size_t n_new = n->n_buckets * 2;
	struct request **buckets = jt__alloc(n_new, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < n->n_buckets; i++) {
		for (struct request *r = n->buckets[i], *next; r; r = next) {
			struct request **b = bucket_of(buckets, n_new, r->seq.id);

			next = r->bucket_next;
			r->bucket_next = *b;
			*b = r;
		}
	}
	jt__free(n->buckets);
	n->buckets = buckets;
	n->n_buckets = n_new;
}

int jt__node_submit(struct jt_node *n, uint64_t t_ns, uint64_t id, uint32_t prompt_tokens,
                    uint32_t max_tokens)
{
	struct request *r, **b;
	int status;

	if (find(n, id))
		return JT_EINVAL;
	r = jt__alloc(1, sizeof(*r));
	if (!r)
		return JT_ENOMEM;
	r->seq = (struct jt_seq){
		.id = id,
		.arrival_ns = t_ns,
		.prompt_tokens = prompt_tokens,
		.output_tokens = max_tokens,
	};
	r->truth = (struct jt_node_truth){
		.submitted_ns = t_ns,
		.started_ns = JT_NONE,
		.first_ns = JT_NONE,
		.finished_ns = JT_NONE,
		.prompt_tokens = prompt_tokens,
	};
	status = jt__sched_submit(n->sched, &r->seq);
	if (status < 0) {
		jt__free(r);
		return status;
	}
	if (++n->n_requests > n->n_buckets)
		grow_buckets(n);
	b = bucket_of(n->buckets, n->n_buckets, id);
	r->bucket_next = *b;
	*b = r;
	return JT_OK;
}

int jt__node_cancel(struct jt_node *n, uint64_t id)
{
	struct request *r = find(n, id);

	if (!r || jt__sched_cancel(n->sched, &r->seq) < 0)
		return JT_ENOENT;
	r->truth.finished_ns =
		r->truth.started_ns == JT_NONE ? r->truth.submitted_ns : n->step_end_ns;
	return JT_OK;
}

static struct request *request_of(const struct jt_batch_item *it)
{
	return jt_container_of(it->seq, struct request, seq);
}

/* Tokens that @it attends to, on average over its new ones: these count themselves. */
static double context(const struct jt_batch_item *it)
{
	return it->kv_tokens + (it->new_tokens + 1.0) / 2;
}

static double own_j(const struct jt_node *n, const struct jt_batch_item *it)
{
	return jt__roofline_own_j(&n->size, &n->o.gpu, it->new_tokens, context(it));
}

static struct jt_step work_of(const struct jt_node *n, const struct jt_batch *b)
{
	struct jt_step w = { 0 };

	for (uint32_t i = 0; i < b->n_items; i++)
		jt__step_add(&n->size, b->items[i].new_tokens, context(&b->items[i]), &w);
	return w;
}

/* The last step's energy is closed and a new step of @seconds begins. */
static void open_step(struct jt_node *n, uint64_t begin_ns, double seconds)
{
	n->begin_j = jt__node_energy_j(n, begin_ns);
	n->idle_j = jt__node_idle_j(n, begin_ns);
	n->step_begin_ns = begin_ns;
	n->step_end_ns = begin_ns + JT_MAX((uint64_t)1, (uint64_t)llround(seconds * 1e9));
}

/* Books the step on those in the batch; done before the batch moves them on. */
static void book(struct jt_node *n, const struct jt_batch *b, double idle_part_j,
                 double shared_part_j)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		const struct jt_batch_item *it = &b->items[i];
		struct jt_node_truth *truth = &request_of(it)->truth;
		double dynamic_j = shared_part_j + own_j(n, it);

		*(it->seq->has_first ? &truth->decode_j : &truth->prefill_j) +=
			idle_part_j + dynamic_j;
		truth->dynamic_j += dynamic_j;
		if (truth->started_ns == JT_NONE)
			truth->started_ns = n->step_begin_ns;
	}
}

static struct jt_node_event tell(const struct jt_node *n, const struct jt_batch_item *it)
{
	struct jt_node_truth *truth = &request_of(it)->truth;

	truth->output_tokens += it->token;
	truth->n_preempted = it->seq->n_preempted;
	if (it->first)
		truth->first_ns = n->step_end_ns;
	if (it->finished)
		truth->finished_ns = n->step_end_ns;
	return (struct jt_node_event){
		.id = it->seq->id,
		.new_tokens = it->token,
		.first = it->first,
		.finished = it->finished,
	};
}

/* So that the outcome of a step can be told of everybody. */
static int reserve_events(struct jt_node *n)
{
	size_t need = (size_t)jt__sched_running(n->sched) + jt__sched_waiting(n->sched);
	struct jt_node_event *events;

	if (need <= n->events_capacity)
		return JT_OK;
	need = JT_MAX(need, 2 * n->events_capacity);
	events = jt__realloc(n->events, need, sizeof(*events));
	if (!events)
		return JT_ENOMEM;
	n->events = events;
	n->events_capacity = need;
	return JT_OK;
}

/* Makes @b the last step and tells of it. */
static void run_batch(struct jt_node *n, struct jt_batch *b, struct jt_node_step *ret_step)
{
	const struct jt_gpu *g = &n->o.gpu;
	struct jt_step work = work_of(n, b);
	struct jt_step_cost cost;
	double idle_j, shared_j, seconds;

	jt__roofline(&n->size, g, &work, &cost);
	open_step(n, b->formed_ns, cost.seconds);
	seconds = seconds_between(n->step_begin_ns, n->step_end_ns);
	idle_j = g->idle_w * seconds;
	n->step_w = (idle_j + cost.dynamic_j) / seconds;
	shared_j = jt__roofline_shared_j(&n->size, g, work.prefill_tokens + work.decode_seqs);
	book(n, b, idle_j / b->n_items, shared_j / b->n_items);
	jt__sched_complete(n->sched, b, false);
	for (uint32_t i = 0; i < b->n_items; i++)
		n->events[i] = tell(n, &b->items[i]);
	*ret_step = (struct jt_node_step){
		.begin_ns = n->step_begin_ns,
		.end_ns = n->step_end_ns,
		.energy_j = idle_j + cost.dynamic_j,
		.n_events = b->n_items,
		.events = n->events,
		.work = work,
	};
}

int jt__node_step(struct jt_node *n, uint64_t t_ns, struct jt_node_step *ret_step)
{
	int status = reserve_events(n);
	struct jt_batch *b;

	if (status < 0)
		return status;
	b = jt__sched_form(n->sched, JT_MAX(t_ns, n->step_end_ns), &status);
	if (!b)
		return status;
	run_batch(n, b, ret_step);
	return 1;
}

double jt__node_energy_j(const struct jt_node *n, uint64_t t_ns)
{
	return n->begin_j +
	       n->step_w * seconds_between(n->step_begin_ns, JT_MIN(t_ns, n->step_end_ns)) +
	       n->o.gpu.idle_w * seconds_between(n->step_end_ns, t_ns);
}

double jt__node_power_w(const struct jt_node *n, uint64_t t_ns)
{
	return t_ns >= n->step_begin_ns && t_ns < n->step_end_ns ? n->step_w : n->o.gpu.idle_w;
}

double jt__node_idle_j(const struct jt_node *n, uint64_t t_ns)
{
	return n->idle_j + n->o.gpu.idle_w * seconds_between(n->step_end_ns, t_ns);
}

uint32_t jt__node_running(const struct jt_node *n)
{
	return jt__sched_running(n->sched);
}

uint32_t jt__node_waiting(const struct jt_node *n)
{
	return jt__sched_waiting(n->sched);
}

int jt__node_truth(const struct jt_node *n, uint64_t id, struct jt_node_truth *ret_truth)
{
	const struct request *r = find(n, id);

	if (!r)
		return JT_ENOENT;
	*ret_truth = r->truth;
	return JT_OK;
}

void jt__node_forget(struct jt_node *n, uint64_t id)
{
	struct request **link = bucket_of(n->buckets, n->n_buckets, id);

	jt__node_cancel(n, id);
	while (*link && (*link)->seq.id != id)
		link = &(*link)->bucket_next;
	if (*link) {
		struct request *r = *link;

		*link = r->bucket_next;
		n->n_requests--;
		jt__free(r);
	}
}
