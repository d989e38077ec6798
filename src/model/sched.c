/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is running comes first, in order of admission: each gets what it lacks up to the length it
 * has reached, one token when it decodes. Who finds no KV blocks takes them from the one admitted
 * last, whose tokens are then to be computed again. Only a step without that admits from the queue,
 * and nobody is pushed out to make room for it. This is the order of vLLM's V1 scheduler.
 */
#include "model/sched.h"

struct seq_list {
	struct jt_seq *first, *last;
	uint32_t n;
};

struct jt_sched {
	struct jt_sched_options o; /* no limit: UINT32_MAX */
	struct jt_kv_pool *kv;
	struct seq_list running; /* in order of admission */
	struct seq_list waiting;
	struct jt_batch *in_flight, *spare;
	uint32_t n_in_flight;
	uint64_t n_batches;          /* ever */
	struct jt_sched_stats stats; /* the counters of it */
};

static uint32_t limit(uint32_t n)
{
	return n ? n : UINT32_MAX;
}

int jt__sched_new(const struct jt_sched_options *o, struct jt_sched **ret_sched,
                  struct jt_error *err)
{
	struct jt_sched *s = jt__alloc(1, sizeof(*s));
	int status;

	if (!s)
		return jt__fail(err, JT_ENOMEM, "sched", "no memory for a scheduler");
	s->o = *o;
	s->o.max_seqs = limit(o->max_seqs);
	s->o.max_batch_tokens = limit(o->max_batch_tokens);
	s->o.prefill_threshold = limit(o->prefill_threshold);
	s->o.max_batches = JT_MAX(o->max_batches, 1u);
	status = jt__kv_pool_new(&o->kv, &s->kv, err);
	if (status < 0)
		jt__free(s);
	else
		*ret_sched = s;
	return status;
}

static void free_batches(struct jt_batch *b)
{
	for (struct jt_batch *next; b; b = next) {
		next = b->next;
		jt__free(b->items);
		jt__free(b);
	}
}

static void insert_after(struct seq_list *l, struct jt_seq *where, struct jt_seq *q)
{
	q->prev = where;
	q->next = where ? where->next : l->first;
	*(where ? &where->next : &l->first) = q;
	*(q->next ? &q->next->prev : &l->last) = q;
	l->n++;
}

static void take_out(struct seq_list *l, struct jt_seq *q)
{
	*(q->prev ? &q->prev->next : &l->first) = q->next;
	*(q->next ? &q->next->prev : &l->last) = q->prev;
	q->next = q->prev = NULL;
	l->n--;
}

/* In whose batches @q is, under way, hears no more of it. */
static void forget_in_flight(struct jt_sched *s, struct jt_seq *q)
{
	for (struct jt_batch *b = s->in_flight; b && q->n_in_flight > 0; b = b->next) {
		for (uint32_t i = 0; i < b->n_items; i++) {
			if (b->items[i].seq == q) {
				b->items[i].seq = NULL;
				q->n_in_flight--;
			}
		}
	}
}

/* Out of everything; its owner's again. */
static void dismiss(struct jt_sched *s, struct jt_seq *q)
{
	jt__kv_release(s->kv, &q->kv);
	take_out(q->running ? &s->running : &s->waiting, q);
	forget_in_flight(s, q);
	q->running = false;
	q->finished = true;
}

void jt__sched_free(struct jt_sched *s)
{
	if (!s)
		return;
	while (s->running.first)
		dismiss(s, s->running.first);
	while (s->waiting.first)
		dismiss(s, s->waiting.first);
	free_batches(s->in_flight);
	free_batches(s->spare);
	jt__kv_pool_free(s->kv);
	jt__free(s);
}

/* Its last token is never computed into the cache. */
static int check_length(const struct jt_sched *s, const struct jt_seq *q)
{
	uint64_t n = (uint64_t)q->prompt_tokens + q->output_tokens;

	if (q->prompt_tokens == 0 || q->output_tokens == 0)
		return JT_EINVAL;
	if (n > UINT32_MAX ||
	    (n - 1 + s->o.kv.block_tokens - 1) / s->o.kv.block_tokens > s->o.kv.n_blocks)
		return JT_ELIMIT;
	return JT_OK;
}

int jt__sched_submit(struct jt_sched *s, struct jt_seq *seq)
{
	struct jt_seq *after = s->waiting.last;
	int status = check_length(s, seq);

	if (status < 0)
		return status;
	while (after && (after->arrival_ns > seq->arrival_ns ||
	                 (after->arrival_ns == seq->arrival_ns && after->id > seq->id)))
		after = after->prev;
	seq->reached = seq->prompt_tokens;
	insert_after(&s->waiting, after, seq);
	return JT_OK;
}

static uint64_t hit_tokens(const struct jt_sched *s, const struct jt_kv_hit *hit)
{
	return (uint64_t)hit->n_blocks * s->o.kv.block_tokens + hit->lower_tokens;
}

static void start_running(struct jt_sched *s, struct jt_seq *q)
{
	q->running = true;
	insert_after(&s->running, s->running.last, q);
}

/*
 * The reference counts what is found here on top of what came with the sequence, and so claims
 * blocks that stay empty. The KV itself came over the link between the two engines: nothing is
 * fetched or copied on account of this.
 */
int jt__sched_take_over(struct jt_sched *s, struct jt_seq *seq)
{
	uint64_t tokens, unpaid = 0;
	struct jt_kv_hit hit;
	int status = check_length(s, seq);

	if (status < 0)
		return status;
	jt__kv_find(s->kv, seq->hashes, seq->n_hashes, seq->reached, &hit);
	tokens = seq->computed + hit_tokens(s, &hit) + 1;
	status = jt__kv_take(s->kv, &seq->kv, seq->hashes, &hit, tokens);
	if (status == JT_OK)
		status = jt__kv_index(s->kv, &seq->kv, seq->hashes, seq->n_hashes,
		                      (uint32_t)JT_MIN(tokens, seq->reached), &unpaid);
	if (status < 0) {
		jt__kv_release(s->kv, &seq->kv);
		return status;
	}
	seq->finished = false;
	start_running(s, seq);
	return JT_OK;
}

int jt__sched_cancel(struct jt_sched *s, struct jt_seq *seq)
{
	if (seq->reached == 0 || seq->finished)
		return JT_ENOENT;
	dismiss(s, seq);
	return JT_OK;
}

/* A batch with room for all that a step could compute; NULL: out of memory. */
static struct jt_batch *new_batch(struct jt_sched *s)
{
	uint64_t need = JT_MIN((uint64_t)s->running.n + s->waiting.n, s->o.max_batch_tokens);
	struct jt_batch *b = s->spare;

	need = JT_MIN(need, (uint64_t)JT_MAX(s->running.n, s->o.max_seqs));
	if (!b)
		s->spare = b = jt__alloc(1, sizeof(*b));
	if (b && b->capacity < need) {
		uint64_t capacity = JT_MIN(JT_MAX(need, 2 * (uint64_t)b->capacity), UINT32_MAX);
		struct jt_batch_item *items = jt__realloc(b->items, capacity, sizeof(*items));

		if (!items)
			return NULL;
		b->items = items;
		b->capacity = (uint32_t)capacity;
	}
	return b;
}

static void count_item(struct jt_batch *b, uint32_t new_tokens, uint32_t kv_tokens)
{
	b->n_tokens += new_tokens;
	if (new_tokens > 1) {
		b->n_prefill++;
		b->prefill_tokens += new_tokens;
		b->prefill_kv_tokens += kv_tokens;
		return;
	}
	b->decode_kv_min = b->n_decode ? JT_MIN(b->decode_kv_min, kv_tokens) : kv_tokens;
	b->decode_kv_max = JT_MAX(b->decode_kv_max, kv_tokens);
	b->n_decode++;
	b->decode_kv_tokens += kv_tokens;
}

static void add_item(struct jt_batch *b, struct jt_seq *q, uint32_t n)
{
	b->items[b->n_items++] = (struct jt_batch_item){
		.seq = q,
		.new_tokens = n,
		.kv_tokens = q->computed,
	};
	count_item(b, n, q->computed);
	q->computed += n;
	q->n_in_flight++;
}

/* KV blocks for the first @tokens of @q, and their hashes into the index. */
static int give_blocks(struct jt_sched *s, struct jt_batch *b, struct jt_seq *q,
                       const struct jt_kv_hit *hit, uint32_t tokens)
{
	int status = jt__kv_take(s->kv, &q->kv, q->hashes, hit, tokens);

	if (status == JT_OK && q->n_hashes > 0)
		status = jt__kv_index(s->kv, &q->kv, q->hashes, q->n_hashes, tokens,
		                      &b->write_through_bytes);
	return status;
}

static void preempt_last(struct jt_sched *s)
{
	struct jt_seq *q = s->running.last;

	jt__kv_release(s->kv, &q->kv);
	take_out(&s->running, q);
	insert_after(&s->waiting, NULL, q);
	q->running = false;
	q->computed = 0;
	q->n_preempted++;
	s->stats.preemptions++;
}

/* Gives the running their tokens; those pushed out are behind them, so in no item of this batch. */
static int serve_running(struct jt_sched *s, struct jt_batch *b)
{
	static const struct jt_kv_hit no_hit;
	int status;

	for (struct jt_seq *q = s->running.first; q; q = q->next) {
		uint32_t left = s->o.max_batch_tokens - b->n_tokens;
		uint32_t n = JT_MIN(q->reached - q->computed, s->o.prefill_threshold);

		if (left == 0)
			break;
		n = JT_MIN(n, left);
		if (n == 0)
			continue;
		while ((status = give_blocks(s, b, q, &no_hit, q->computed + n)) == JT_ELIMIT) {
			struct jt_seq *victim = s->running.last;

			preempt_last(s);
			if (victim == q)
				return JT_OK;
		}
		if (status < 0)
			return status;
		add_item(b, q, n);
	}
	return JT_OK;
}

static void admit(struct jt_sched *s, struct jt_batch *b, struct jt_seq *q,
                  const struct jt_kv_hit *hit)
{
	take_out(&s->waiting, q);
	start_running(s, q);
	q->computed = (uint32_t)hit_tokens(s, hit);
	q->lower_hit_tokens = hit->lower_tokens;
	q->hit_tokens = q->computed - hit->lower_tokens;
	b->recall_bytes += hit->recall_bytes;
	if (q->n_preempted > 0)
		s->stats.recomputed_tokens += q->reached - q->computed;
	if (q->n_preempted)
		return;
	s->stats.requested_tokens += q->prompt_tokens;
	s->stats.hit_tokens += q->hit_tokens;
	s->stats.lower_hit_tokens += q->lower_hit_tokens;
}

/* Admits from the head of the queue until one does not fit. */
static int serve_waiting(struct jt_sched *s, struct jt_batch *b, uint64_t t_ns)
{
	struct jt_seq *q;

	while ((q = s->waiting.first) && q->arrival_ns <= t_ns && s->running.n < s->o.max_seqs) {
		uint32_t left = s->o.max_batch_tokens - b->n_tokens, n, found;
		struct jt_kv_hit hit;
		int status;

		if (left == 0)
			break;
		jt__kv_find(s->kv, q->hashes, q->n_hashes, q->reached, &hit);
		found = (uint32_t)hit_tokens(s, &hit);
		n = JT_MIN(q->reached - found, s->o.prefill_threshold);
		if (n > left && !s->o.chunked_prefill && n <= s->o.max_batch_tokens)
			break;
		n = JT_MIN(n, left);
		if (s->o.reserve_prompt && !jt__kv_fits(s->kv, &q->kv, &hit, q->reached))
			break;
		status = give_blocks(s, b, q, &hit, found + n);
		if (status < 0) {
			jt__kv_release(s->kv, &q->kv);
			return status == JT_ELIMIT ? JT_OK : status;
		}
		admit(s, b, q, &hit);
		add_item(b, q, n);
	}
	return JT_OK;
}

/* As if no token had been given; blocks and admissions stay. */
static void undo(struct jt_batch *b)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		b->items[i].seq->computed = b->items[i].kv_tokens;
		b->items[i].seq->n_in_flight--;
	}
}

static void clear_batch(struct jt_batch *b)
{
	*b = (struct jt_batch){ .items = b->items, .capacity = b->capacity, .next = b->next };
}

struct jt_batch *jt__sched_form(struct jt_sched *s, uint64_t t_ns, int *ret_status)
{
	uint64_t preempted_before = s->stats.preemptions;
	struct jt_batch *b;

	*ret_status = JT_OK;
	if (s->n_in_flight >= s->o.max_batches)
		return NULL;
	b = new_batch(s);
	if (!b) {
		*ret_status = JT_ENOMEM;
		return NULL;
	}
	clear_batch(b);
	*ret_status = serve_running(s, b);
	if (*ret_status == JT_OK && s->stats.preemptions == preempted_before)
		*ret_status = serve_waiting(s, b, t_ns);
	if (*ret_status < 0)
		undo(b);
	if (*ret_status < 0 || b->n_items == 0)
		return NULL;
	s->spare = b->next;
	b->next = s->in_flight;
	s->in_flight = b;
	s->n_in_flight++;
	b->id = s->n_batches++;
	b->formed_ns = t_ns;
	b->used_bytes = jt__kv_used_bytes(s->kv);
	return b;
}

/*
 * A sequence may have moved on since the batch was formed: what counts is how far it is computed
 * now. One that was preempted meanwhile is not, and gets no token.
 */
static void complete_item(struct jt_sched *s, struct jt_batch_item *it, bool prefill_only)
{
	struct jt_seq *q = it->seq;
	bool handed_on = false;

	q->n_in_flight--;
	if (!q->has_first && q->computed >= q->prompt_tokens) {
		q->has_first = it->first = true;
		handed_on = prefill_only;
		it->prompt_tokens = it->new_tokens + q->hit_tokens + q->lower_hit_tokens;
	} else if (it->new_tokens > 1) {
		it->prompt_tokens = it->new_tokens;
	}
	it->token = !handed_on && q->computed >= q->reached;
	q->reached += it->token || handed_on;
	it->finished = handed_on || q->reached >= (uint64_t)q->prompt_tokens + q->output_tokens;
	if (it->finished)
		dismiss(s, q);
}

void jt__sched_complete(struct jt_sched *s, struct jt_batch *b, bool prefill_only)
{
	struct jt_batch **link = &s->in_flight;

	while (*link != b)
		link = &(*link)->next;
	*link = b->next;
	b->next = s->spare;
	s->spare = b;
	s->n_in_flight--;
	for (uint32_t i = 0; i < b->n_items; i++) {
		if (b->items[i].seq)
			complete_item(s, &b->items[i], prefill_only);
	}
}

uint32_t jt__sched_running(const struct jt_sched *s)
{
	return s->running.n;
}

uint32_t jt__sched_waiting(const struct jt_sched *s)
{
	return s->waiting.n;
}

bool jt__sched_empty(const struct jt_sched *s)
{
	return s->running.n == 0 && s->waiting.n == 0 && s->n_in_flight == 0;
}

uint32_t jt__sched_in_flight(const struct jt_sched *s)
{
	return s->n_in_flight;
}

void jt__sched_stats(const struct jt_sched *s, struct jt_sched_stats *ret_stats)
{
	*ret_stats = s->stats;
	ret_stats->used_bytes = jt__kv_used_bytes(s->kv);
	ret_stats->n_blocks = s->o.kv.n_blocks;
	ret_stats->free_blocks = jt__kv_free_blocks(s->kv);
}
