/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Continuous batching (Yu et al., Orca, OSDI 2022) with chunked prefill (Agrawal
 * et al., Sarathi, arXiv 2308.16369): a step first gives every decoding sequence its token, then
 * fills what is left of max_batch_tokens with prefill chunks in order of arrival. A sequence keeps
 * its place and its KV memory until it ends; nothing is preempted.
 */
#include <math.h>
#include <string.h>
#include "jouletap/record.h"
#include "model/node.h"

/* Part of the GPU's memory that weights and KV cache may fill, as engines have it by default. */
#define MEMORY_SHARE 0.9
#define MIN_BUCKETS 64

struct seq {
	uint64_t id;
	struct jt_node_truth truth;
	uint32_t max_tokens;
	uint32_t prefilled;
	uint32_t chunk; /* prompt tokens of the current step */
	struct seq *bucket_next;
	struct seq *queue_next;
};

struct jt_node {
	struct jt_node_options o;
	struct seq **buckets; /* every sequence that is not forgotten, by id */
	size_t n_buckets;     /* a power of two */
	size_t n_seqs;
	struct seq *queue_head;
	struct seq **queue_tail;
	uint32_t n_queued;
	struct seq **running; /* in order of admission */
	uint32_t n_running;
	struct jt_node_event *events;
	double kv_capacity; /* tokens */
	double kv_reserved;
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

int jt__node_new(const struct jt_node_options *o, struct jt_node **ret_node, struct jt_error *err)
{
	double room = MEMORY_SHARE * o->gpu.mem_gb * 1e9 -
	              jt__arch_params(&o->arch) * o->arch.weight_bytes_per_param;
	struct jt_node *n;

	if (o->max_seqs == 0 || o->max_batch_tokens < o->max_seqs)
		return jt__fail(err, JT_EINVAL, "node",
		                "%u sequences at once need at least as many tokens a step, not %u",
		                o->max_seqs, o->max_batch_tokens);
	if (room < jt__arch_kv_bytes_per_token(&o->arch))
		return jt__fail(err, JT_EINVAL, "node", "model '%s' does not fit into %s (%g GB)",
		                o->arch.name, o->gpu.name, o->gpu.mem_gb);
	n = jt__alloc(1, sizeof(*n));
	if (!n)
		return jt__fail(err, JT_ENOMEM, "node", "no memory for a node");
	n->o = *o;
	n->kv_capacity = floor(room / jt__arch_kv_bytes_per_token(&o->arch));
	n->step_begin_ns = n->step_end_ns = o->begin_ns;
	n->queue_tail = &n->queue_head;
	n->n_buckets = MIN_BUCKETS;
	n->buckets = jt__alloc(n->n_buckets, sizeof(*n->buckets));
	n->running = jt__alloc(o->max_seqs, sizeof(*n->running));
	n->events = jt__alloc(o->max_seqs, sizeof(*n->events));
	if (!n->buckets || !n->running || !n->events) {
		jt__node_free(n);
		return jt__fail(err, JT_ENOMEM, "node", "no memory for %u sequences", o->max_seqs);
	}
	*ret_node = n;
	return JT_OK;
}

void jt__node_free(struct jt_node *n)
{
	if (!n)
		return;
	for (size_t i = 0; n->buckets && i < n->n_buckets; i++) {
		for (struct seq *s = n->buckets[i], *next; s; s = next) {
			next = s->bucket_next;
			jt__free(s);
		}
	}
	jt__free(n->buckets);
	jt__free(n->running);
	jt__free(n->events);
	jt__free(n);
}

/* Ids are often consecutive; the multiplier (2^64 over the golden ratio) spreads them. */
static struct seq **bucket_of(struct seq **buckets, size_t n_buckets, uint64_t id)
{
	return &buckets[(id * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (n_buckets - 1)];
}

static struct seq *find(const struct jt_node *n, uint64_t id)
{
	struct seq *s = *bucket_of(n->buckets, n->n_buckets, id);

	while (s && s->id != id)
		s = s->bucket_next;
	return s;
}

/* Failing to grow makes chains longer, nothing else. */
static void grow_buckets(struct jt_node *n)
{
	size_t n_new = n->n_buckets * 2;
	struct seq **buckets = jt__alloc(n_new, sizeof(*buckets));

	if (!buckets)
		return;
	for (size_t i = 0; i < n->n_buckets; i++) {
		for (struct seq *s = n->buckets[i], *next; s; s = next) {
			struct seq **b = bucket_of(buckets, n_new, s->id);

			next = s->bucket_next;
			s->bucket_next = *b;
			*b = s;
		}
	}
	jt__free(n->buckets);
	n->buckets = buckets;
	n->n_buckets = n_new;
}

static double reservation(const struct seq *s)
{
	return (double)s->truth.prompt_tokens + s->max_tokens;
}

int jt__node_submit(struct jt_node *n, uint64_t t_ns, uint64_t id, uint32_t prompt_tokens,
                    uint32_t max_tokens)
{
	struct seq *s, **b;

	if (prompt_tokens == 0 || max_tokens == 0 || find(n, id))
		return JT_EINVAL;
	if ((double)prompt_tokens + max_tokens > n->kv_capacity)
		return JT_ELIMIT;
	s = jt__alloc(1, sizeof(*s));
	if (!s)
		return JT_ENOMEM;
	s->id = id;
	s->max_tokens = max_tokens;
	s->truth = (struct jt_node_truth){
		.submitted_ns = t_ns,
		.started_ns = JT_NONE,
		.first_ns = JT_NONE,
		.finished_ns = JT_NONE,
		.prompt_tokens = prompt_tokens,
	};
	if (++n->n_seqs > n->n_buckets)
		grow_buckets(n);
	b = bucket_of(n->buckets, n->n_buckets, id);
	s->bucket_next = *b;
	*b = s;
	*n->queue_tail = s;
	n->queue_tail = &s->queue_next;
	n->n_queued++;
	return JT_OK;
}

static void dequeue(struct jt_node *n, struct seq **link)
{
	struct seq *s = *link;

	*link = s->queue_next;
	if (n->queue_tail == &s->queue_next)
		n->queue_tail = link;
	s->queue_next = NULL;
	n->n_queued--;
}

/* Takes @i out of the batch; the order of the others stays. */
static void leave(struct jt_node *n, uint32_t i)
{
	n->kv_reserved -= reservation(n->running[i]);
	n->n_running--;
	memmove(&n->running[i], &n->running[i + 1], (n->n_running - i) * sizeof(n->running[0]));
}

int jt__node_cancel(struct jt_node *n, uint64_t id)
{
	struct seq *s = find(n, id);

	if (!s || s->truth.finished_ns != JT_NONE)
		return JT_ENOENT;
	if (s->truth.started_ns == JT_NONE) {
		struct seq **link = &n->queue_head;

		while (*link != s)
			link = &(*link)->queue_next;
		dequeue(n, link);
		s->truth.finished_ns = s->truth.submitted_ns;
		return JT_OK;
	}
	for (uint32_t i = 0; i < n->n_running; i++) {
		if (n->running[i] == s)
			leave(n, i--);
	}
	s->truth.finished_ns = n->step_end_ns;
	return JT_OK;
}

static void admit(struct jt_node *n, uint64_t t_ns)
{
	struct seq *s = n->queue_head;

	dequeue(n, &n->queue_head);
	s->truth.started_ns = t_ns;
	n->kv_reserved += reservation(s);
	n->running[n->n_running++] = s;
}

static bool can_admit(const struct jt_node *n, uint64_t t_ns)
{
	const struct seq *s = n->queue_head;

	return s && s->truth.submitted_ns <= t_ns && n->n_running < n->o.max_seqs &&
	       n->kv_reserved + reservation(s) <= n->kv_capacity;
}

static bool is_decoding(const struct seq *s)
{
	return s->prefilled == s->truth.prompt_tokens;
}

/* Gives each sequence its tokens of this step; those for which nothing is left get none. */
static void schedule(struct jt_node *n, uint64_t t_ns)
{
	uint32_t left = n->o.max_batch_tokens;

	for (uint32_t i = 0; i < n->n_running; i++)
		left -= is_decoding(n->running[i]);
	for (uint32_t i = 0; i < n->n_running || (left > 0 && can_admit(n, t_ns)); i++) {
		struct seq *s;

		if (i == n->n_running)
			admit(n, t_ns);
		s = n->running[i];
		s->chunk = JT_MIN(left, s->truth.prompt_tokens - s->prefilled);
		left -= s->chunk;
	}
}

/* A sequence's part of the step. Its context is counted with the new tokens themselves. */
static struct jt_step work_of(const struct seq *s)
{
	struct jt_step w = { 0 };

	if (is_decoding(s)) {
		w.decode_seqs = 1;
		w.decode_ctx_tokens = (double)s->truth.prompt_tokens + s->truth.output_tokens;
	} else if (s->chunk == 1) {
		w.decode_seqs = 1;
		w.decode_ctx_tokens = s->prefilled + 1.0;
	} else if (s->chunk > 1) {
		w.prefill_tokens = s->chunk;
		w.prefill_ctx_tokens = s->chunk * (s->prefilled + (s->chunk + 1.0) / 2);
	}
	return w;
}

static double own_j(const struct jt_node *n, const struct jt_step *w)
{
	if (w->prefill_tokens > 0)
		return jt__roofline_own_j(&n->o.arch, &n->o.gpu, w->prefill_tokens,
		                          w->prefill_ctx_tokens / w->prefill_tokens);
	return jt__roofline_own_j(&n->o.arch, &n->o.gpu, w->decode_seqs, w->decode_ctx_tokens);
}

/* Sums the work up; returns how many sequences take part. */
static uint32_t gather(const struct jt_node *n, struct jt_step *ret_work)
{
	struct jt_step sum = { 0 };
	uint32_t n_active = 0;

	for (uint32_t i = 0; i < n->n_running; i++) {
		struct jt_step w = work_of(n->running[i]);

		sum.prefill_tokens += w.prefill_tokens;
		sum.prefill_ctx_tokens += w.prefill_ctx_tokens;
		sum.decode_seqs += w.decode_seqs;
		sum.decode_ctx_tokens += w.decode_ctx_tokens;
		n_active += w.prefill_tokens + w.decode_seqs > 0;
	}
	*ret_work = sum;
	return n_active;
}

/* Books the step on one sequence and moves it on by its tokens. */
static struct jt_node_event advance(struct jt_node *n, struct seq *s, double idle_part_j,
                                    double shared_part_j)
{
	struct jt_step w = work_of(s);
	struct jt_node_truth *truth = &s->truth;
	struct jt_node_event ev = { .id = s->id };
	double dynamic_j = shared_part_j + own_j(n, &w);

	*(is_decoding(s) ? &truth->decode_j : &truth->prefill_j) += idle_part_j + dynamic_j;
	truth->dynamic_j += dynamic_j;
	s->prefilled += s->chunk;
	if (!is_decoding(s))
		return ev;
	ev.new_tokens = 1;
	ev.first = truth->output_tokens++ == 0;
	if (ev.first)
		truth->first_ns = n->step_end_ns;
	ev.finished = truth->output_tokens == s->max_tokens;
	if (ev.finished)
		truth->finished_ns = n->step_end_ns;
	return ev;
}

/* The last step's energy is closed and a new step of @seconds begins. */
static void open_step(struct jt_node *n, uint64_t begin_ns, double seconds)
{
	n->begin_j = jt__node_energy_j(n, begin_ns);
	n->idle_j = jt__node_idle_j(n, begin_ns);
	n->step_begin_ns = begin_ns;
	n->step_end_ns = begin_ns + JT_MAX((uint64_t)1, (uint64_t)llround(seconds * 1e9));
}

bool jt__node_step(struct jt_node *n, uint64_t t_ns, struct jt_node_step *ret_step)
{
	const struct jt_gpu *g = &n->o.gpu;
	struct jt_step_cost cost;
	struct jt_step work;
	double idle_j, shared_j;
	uint32_t n_active, n_events = 0;

	t_ns = JT_MAX(t_ns, n->step_end_ns);
	schedule(n, t_ns);
	n_active = gather(n, &work);
	if (n_active == 0)
		return false;
	jt__roofline(&n->o.arch, g, &work, &cost);
	open_step(n, t_ns, cost.seconds);
	idle_j = g->idle_w * seconds_between(n->step_begin_ns, n->step_end_ns);
	n->step_w = (idle_j + cost.dynamic_j) / seconds_between(n->step_begin_ns, n->step_end_ns);
	shared_j = jt__roofline_shared_j(&n->o.arch, g, work.prefill_tokens + work.decode_seqs);
	for (uint32_t i = 0; i < n->n_running; i++) {
		struct seq *s = n->running[i];

		if (!is_decoding(s) && s->chunk == 0)
			continue;
		n->events[n_events] = advance(n, s, idle_j / n_active, shared_j / n_active);
		s->chunk = 0;
		if (n->events[n_events++].finished)
			leave(n, i--);
	}
	*ret_step = (struct jt_node_step){
		.begin_ns = n->step_begin_ns,
		.end_ns = n->step_end_ns,
		.energy_j = idle_j + cost.dynamic_j,
		.n_events = n_events,
		.events = n->events,
		.work = work,
	};
	return true;
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
	return n->n_running;
}

uint32_t jt__node_waiting(const struct jt_node *n)
{
	return n->n_queued;
}

int jt__node_truth(const struct jt_node *n, uint64_t id, struct jt_node_truth *ret_truth)
{
	const struct seq *s = find(n, id);

	if (!s)
		return JT_ENOENT;
	*ret_truth = s->truth;
	return JT_OK;
}

void jt__node_forget(struct jt_node *n, uint64_t id)
{
	struct seq **link = bucket_of(n->buckets, n->n_buckets, id);

	jt__node_cancel(n, id);
	while (*link && (*link)->id != id)
		link = &(*link)->bucket_next;
	if (*link) {
		struct seq *s = *link;

		*link = s->bucket_next;
		n->n_seqs--;
		jt__free(s);
	}
}
