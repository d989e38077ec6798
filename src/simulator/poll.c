/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one rank of an instance hears and is told when it is asked at an instant: what has arrived is
 * routed, its batch may be over, another one may begin, a heartbeat may be due, and the instance may
 * have nothing left to wait for. The order of these is the reference's.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

#define DENSE_NS (20 * JT_NS_PER_MS) /* before standby ends, polls are looked at one by one */

static void fail(struct jt_sim *s, int status)
{
	if (s->status == JT_OK)
		s->status = status;
}

/* -- standby -- */

/* NPUs that are: the reference forgets that later stages may be at work when the first is not. */
static uint32_t in_standby(const struct jt_sim *s, const struct jt_inst *x)
{
	uint32_t busy = s->o.quirks.stage_standby ? 0 : x->n_flights * x->in->tp;

	return x->in->n_npus - JT_MIN(busy, x->in->n_npus);
}

/*
 * The reference adds the time since the last poll, but not more than is left of standby at this
 * one: so the last bit before its end is lost. Polls between which nothing happened are not made
 * here, they would have added up to the time between.
 */
static void count_standby(struct jt_sim *s, struct jt_inst *x)
{
	struct jt_node_energy *e = &s->nodes[x->in->node];
	double limit_s = jt__standby_s(e, x->in);
	uint64_t since_idle_ns = s->t_ns - x->idle_since_ns, since_last_ns;
	double idle_s = (double)since_idle_ns * 1e-9, part_s;

	since_last_ns = s->t_ns - x->standby_to_ns;
	x->standby_to_ns = s->t_ns;
	if (!s->o.quirks.idle_grid)
		part_s = fmin(idle_s, limit_s) -
		         fmin(idle_s - fmin((double)since_last_ns * 1e-9, idle_s), limit_s);
	else if (since_idle_ns <= since_last_ns)
		part_s = fmin(idle_s, limit_s);
	else if (idle_s + DENSE_NS * 1e-9 < limit_s)
		part_s = (double)since_last_ns * 1e-9;
	else
		part_s = fmin((double)since_last_ns * 1e-9, fmax(limit_s - idle_s, 0));
	jt__book_standby(e, x->in, part_s, in_standby(s, x));
}

/* -- the end of a batch -- */

static struct jt_request *request_of(struct jt_seq *seq)
{
	return jt_container_of(seq, struct jt_request, seq);
}

static void report(struct jt_sim *s, struct jt_inst *x, struct jt_request *r)
{
	uint64_t latency_ns = s->t_ns - r->seq.arrival_ns;
	uint32_t gaps = r->seq.output_tokens - 1;
	struct jt_sim_request out = {
		.instance = x->index,
		.id = r->seq.id,
		.model = x->in->model->name,
		.input_tokens = r->seq.prompt_tokens,
		.output_tokens = r->seq.output_tokens,
		.arrival_ns = r->seq.arrival_ns,
		.end_ns = s->t_ns,
		.queuing_ns = r->queuing_ns,
		.ttft_ns = r->ttft_ns,
		.tpot_ns = gaps ? (latency_ns - r->ttft_ns) / gaps : 0,
		.itl_ns = r->itl_ns,
		.n_itl = r->n_itl,
		.n_preempted = r->seq.n_preempted,
		.hit_tokens = r->seq.hit_tokens + r->seq.lower_hit_tokens,
		.prefill_j = s->totals.has_power ? r->prefill_j : NAN,
		.decode_j = s->totals.has_power ? r->decode_j : NAN,
		.dynamic_j = s->totals.has_power ? r->dynamic_j : NAN,
	};

	s->totals.requests++;
	s->totals.input_tokens += r->seq.prompt_tokens;
	if (s->ob.finished)
		s->ob.finished(s->ob.user, &out);
}

static void end_request(struct jt_sim *s, struct jt_inst *x, struct jt_request *r)
{
	report(s, x, r);
	if (r->ends_session) {
		s->n_sessions -= r->arrival.nth > 0;
	} else {
		struct jt_arrival next = r->arrival;

		next.t_ns = s->t_ns + r->pause_ns;
		next.nth++;
		if (jt__arrivals_release(&s->arrivals, next) < 0)
			fail(s, JT_ENOMEM);
	}
	jt__request_give(s, r);
}

/* Its prompt is computed here; the rest is done elsewhere. */
static void hand_over(struct jt_sim *s, struct jt_request *r)
{
	struct jt_inst *to = jt__route_pick(s, true);
	int status;

	r->seq.finished = false;
	status = jt__sched_take_over(to->sched, &r->seq);
	if (status < 0)
		fail(s, jt__fail(s->err, status, "simulate",
		                 "request %llu does not fit into decode instance %u: its KV cache is full",
		                 (unsigned long long)r->seq.id, to->index));
	jt__inst_stir(to);
}

static void end_item(struct jt_sim *s, struct jt_inst *x, const struct jt_batch_item *item)
{
	struct jt_request *r = request_of(item->seq);

	s->prompt_in_beat += item->prompt_tokens;
	s->totals.prompt_tokens += item->prompt_tokens;
	if (item->token) {
		s->generated_in_beat++;
		s->totals.generated_tokens++;
	}
	if (item->first) {
		r->ttft_ns = s->t_ns - r->seq.arrival_ns;
		r->last_token_ns = s->t_ns;
	} else if (item->token && jt__request_token(r, s->t_ns) < 0) {
		fail(s, JT_ENOMEM);
	}
	if (!item->finished)
		return;
	if (x->in->role == JT_ROLE_PREFILL)
		hand_over(s, r);
	else
		end_request(s, x, r);
}

static bool same_group(const struct jt_inst *a, const struct jt_inst *b)
{
	return a == b || (a->in->dp_group >= 0 && a->in->dp_group == b->in->dp_group);
}

/* Its other members may join it, or have nothing to wait for any more. */
static void stir_group(struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (same_group(x, &s->insts[i]))
			jt__inst_stir(&s->insts[i]);
	}
}

static double sum_j(const struct jt_batch_joules *j)
{
	double sum = 0;

	for (int c = 0; c < JT_N_COMPONENTS; c++)
		sum += c == JT_C_PIM ? 0 : j->by[c]; /* inside of DRAM */
	return sum;
}

static void account(const struct jt_sim *s, const struct jt_inst *x, const struct jt_flight *f)
{
	struct jt_sim_batch b = { .instance = x->index,
		                  .begin_ns = f->open_ns,
		                  .end_ns = s->t_ns,
		                  .batch = f->batch,
		                  .dynamic_j = s->totals.has_power ? sum_j(&f->joules) : NAN };

	if (s->totals.has_power)
		jt__share_out(s, x, f, b.dynamic_j);
	if (s->ob.batch)
		s->ob.batch(s->ob.user, &b);
}

static void end_flight(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f)
{
	if (f->batch) {
		account(s, x, f);
		jt__sched_complete(x->sched, f->batch, x->in->role == JT_ROLE_PREFILL);
		for (uint32_t i = 0; i < f->batch->n_items; i++) {
			if (f->batch->items[i].seq)
				end_item(s, x, &f->batch->items[i]);
		}
	}
	jt__wave_give(s, f->wave);
	f->wave = NULL;
	x->first_flight = (x->first_flight + 1) % x->n_slots;
	x->n_flights--;
	stir_group(s, x);
}

/* The asked rank has come to the end of its batch. */
static void hear_end(struct jt_sim *s, struct jt_inst *x, bool first)
{
	struct jt_flight **runs = first ? &x->first_runs : &x->last_runs;
	struct jt_flight *f = *runs;

	if (!f)
		return;
	*runs = NULL;
	if (first)
		f->first_ended = true;
	if (!first || !jt__inst_has_last(x))
		f->last_ended = true;
	jt__inst_stir(x);
	if (f->first_ended && f->last_ended)
		end_flight(s, x, f);
}

/* -- the begin of a batch -- */

static uint32_t n_ranks(const struct jt_inst *x)
{
	return x->in->n_npus;
}

static bool last_is_receiver(const struct jt_inst *x)
{
	return x->in->role == JT_ROLE_PREFILL;
}

/* When rank @rank is done with the batch before @f; 0: it has none. */
static uint64_t free_ns(const struct jt_inst *x, const struct jt_flight *f, uint32_t rank)
{
	uint32_t at = (uint32_t)(f - x->flights);
	const struct jt_flight *before = &x->flights[(at + x->n_slots - 1) % x->n_slots];

	if (f == &x->flights[x->first_flight] || !before->wave)
		return 0;
	return jt__wave_end_ns(before->wave, before->member, rank);
}

/* The ranks that come along with the first one; those of the last stage with the last one. */
static void begin_others(struct jt_inst *x, struct jt_flight *f, bool last_stage)
{
	uint32_t n = n_ranks(x), first_of_last = n - x->in->tp;

	for (uint32_t r = 1; r < n; r++) {
		bool asked = r == n - 1 && !last_is_receiver(x);
		bool in_last = r >= first_of_last && x->in->pp > 1;

		if (asked || in_last != last_stage)
			continue;
		jt__wave_begin(f->wave, f->member, r,
		               JT_MAX(f->open_ns, free_ns(x, f, r)));
	}
}

static void begin_first(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f)
{
	f->open_ns = s->t_ns;
	x->first_runs = f;
	x->last_quiet = false;
	s->began_now_ns = s->t_ns;
	jt__wave_begin(f->wave, f->member, 0, s->t_ns);
	begin_others(x, f, false);
	if (f->last_joined || last_is_receiver(x))
		begin_others(x, f, true);
}

static void begin_last(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f)
{
	f->last_joined = true;
	x->last_runs = f;
	s->began_now_ns = s->t_ns;
	if (last_is_receiver(x))
		return;
	if (f->open_ns != JT_NONE)
		begin_others(x, f, true);
	jt__wave_begin(f->wave, f->member, n_ranks(x) - 1, s->t_ns);
}

static int compare_prompts(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

static bool grow_scratch(struct jt_inst *x, uint32_t n)
{
	uint32_t **of_items[] = { &x->prompts, &x->tokens, &x->order };
	uint8_t *half;

	if (n <= x->scratch_capacity)
		return true;
	for (size_t i = 0; i < JT_ARRAY_LEN(of_items); i++) {
		uint32_t *p = jt__realloc(*of_items[i], n, sizeof(*p));

		if (!p)
			return false;
		*of_items[i] = p;
	}
	half = jt__realloc(x->half, n, sizeof(*half));
	if (!half)
		return false;
	x->half = half;
	x->scratch_capacity = n;
	return true;
}

static void add_item(struct jt_shape *shape, const struct jt_batch_item *item)
{
	struct jt_attention *a = &shape->attention;
	uint64_t kv = item->kv_tokens;

	shape->tokens += item->new_tokens;
	shape->sequences++;
	if (item->new_tokens > 1) {
		a->prefill_tokens += item->new_tokens;
		a->prefill_kv_tokens += kv;
		return;
	}
	a->decode_kv_min = a->n_decode ? JT_MIN(a->decode_kv_min, kv) : kv;
	a->decode_kv_max = JT_MAX(a->decode_kv_max, kv);
	a->decode_kv_tokens += kv;
	a->n_decode++;
}

/* Sequences beyond their first token have their attention done in memory, the longest prompt first. */
static void offload(struct jt_inst *x, const struct jt_batch *b, int half, struct jt_shape *shape)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n_items; i++) {
		if (b->items[i].seq->has_first && (half < 0 || x->half[i] == half))
			x->prompts[n++] = b->items[i].seq->prompt_tokens;
	}
	qsort(x->prompts, n, sizeof(*x->prompts), compare_prompts);
	shape->pim_prompts = x->prompts;
	shape->n_pim = n;
	shape->attention.n_decode = shape->attention.decode_kv_tokens = 0;
	shape->attention.decode_kv_min = shape->attention.decode_kv_max = 0;
}

static struct jt_shape whole_shape(const struct jt_inst *x, const struct jt_batch *b)
{
	return (struct jt_shape){
		.tokens = b->n_tokens,
		.sequences = b->n_items,
		.attention = { .prefill_tokens = b->prefill_tokens,
		               .prefill_kv_tokens = b->prefill_kv_tokens,
		               .n_decode = b->n_decode,
		               .decode_kv_tokens = b->decode_kv_tokens,
		               .decode_kv_min = b->decode_kv_min,
		               .decode_kv_max = b->decode_kv_max },
		.recall_bytes = b->recall_bytes,
		.kv_send_tokens = x->in->role == JT_ROLE_PREFILL ? b->n_tokens : 0,
	};
}

/* A token for nobody decodes behind one other. */
static struct jt_shape empty_shape(void)
{
	return (struct jt_shape){ .tokens = 1,
		                  .sequences = 1,
		                  .attention = { .n_decode = 1,
		                                 .decode_kv_tokens = 1,
		                                 .decode_kv_min = 1,
		                                 .decode_kv_max = 1 } };
}

/* Whether the batch goes as two halves, of which each has sequences; then x->half says who is where. */
static bool halve(struct jt_inst *x, const struct jt_batch *b)
{
	uint32_t second;

	if (!x->in->serving.sub_batch_interleaving || b->n_items < 2)
		return false;
	for (uint32_t i = 0; i < b->n_items; i++)
		x->tokens[i] = b->items[i].new_tokens;
	second = jt__interleave_split(x->tokens, b->n_items, x->order, x->half);
	return second > 0 && second < b->n_items;
}

static void add_effort(struct jt_effort *sum, const struct jt_effort *e)
{
	sum->npu_ns += e->npu_ns;
	sum->dram_bytes += e->dram_bytes;
	sum->cxl_bytes += e->cxl_bytes;
	sum->link_bytes += e->link_bytes;
	sum->all_link_bytes += e->all_link_bytes;
	sum->pim_ns += e->pim_ns;
}

static int price_half(struct jt_inst *x, struct jt_flight *f, int half)
{
	const struct jt_batch *b = f->batch;
	struct jt_shape shape = { .recall_bytes = half == 0 ? b->recall_bytes : 0 };

	for (uint32_t i = 0; i < b->n_items; i++) {
		if (x->half[i] == half)
			add_item(&shape, &b->items[i]);
	}
	offload(x, b, half, &shape);
	return jt__price(x->pricer, &shape, &f->works[half]);
}

static int price_whole(struct jt_inst *x, struct jt_flight *f, uint64_t padded_tokens)
{
	struct jt_shape shape = f->batch ? whole_shape(x, f->batch) : empty_shape();

	shape.sequences += padded_tokens - shape.tokens;
	shape.tokens = padded_tokens;
	if (f->batch && x->in->serving.attn_offloading)
		offload(x, f->batch, -1, &shape);
	return jt__price(x->pricer, &shape, &f->works[0]);
}

/* Messages between stages and to a decode instance that no list of a rank has. */
static void count_hand_overs(const struct jt_sim *s, const struct jt_inst *x, struct jt_flight *f)
{
	const struct jt_quirks *q = &s->o.quirks;
	const struct jt_work *w = &f->works[0];
	struct jt_effort *e = &f->works[0].effort;
	double f_bytes = jt__dtype_bytes(x->in->serving.dtype), hidden = (double)w->hidden_bytes;
	double sequences = f->batch ? f->batch->n_items : 1, between;

	between = hidden * (x->in->pp - 1) / (q->stage_bytes ? f_bytes : 1);
	e->link_bytes += between;
	e->all_link_bytes += between * x->in->tp;
	if (x->in->role == JT_ROLE_PREFILL) {
		double twice = hidden + sequences * x->in->model->arch.hidden_size * f_bytes;
		double tokens = (double)w->output_bytes;

		e->link_bytes += q->twice_kv ? twice : tokens;
		e->all_link_bytes += (q->twice_kv ? twice : tokens) * x->in->tp;
	}
}

static int price(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f, uint64_t padded_tokens)
{
	struct jt_node_energy *e = &s->nodes[x->in->node];
	struct jt_effort effort;
	int status;

	if (f->batch && !grow_scratch(x, f->batch->n_items))
		return JT_ENOMEM;
	f->n_works = f->batch && halve(x, f->batch) ? 2 : 1;
	status = f->n_works == 2 ? price_half(x, f, 0) : price_whole(x, f, padded_tokens);
	if (status == JT_OK && f->n_works == 2)
		status = price_half(x, f, 1);
	if (status < 0)
		return status;
	count_hand_overs(s, x, f);
	effort = f->works[0].effort;
	if (f->n_works == 2)
		add_effort(&effort, &f->works[1].effort);
	f->joules = jt__batch_joules(e, x->in, &effort);
	jt__book(e, &f->joules, 1);
	return JT_OK;
}

static uint64_t tokens_of(const struct jt_flight *f)
{
	return f->batch ? f->batch->n_tokens : 1;
}

void jt__sim_suppose_none(struct jt_sim *s, uint32_t instance)
{
	s->insts[instance].supposed = (struct jt_shape){ 0 };
}

void jt__sim_suppose(struct jt_sim *s, uint32_t instance, uint32_t new_tokens, uint32_t kv_tokens)
{
	struct jt_inst *x = &s->insts[instance];
	struct jt_batch_item item = { .new_tokens = new_tokens, .kv_tokens = kv_tokens };

	add_item(&x->supposed, &item);
	if (x->in->role == JT_ROLE_PREFILL)
		x->supposed.kv_send_tokens = x->supposed.tokens;
}

int jt__sim_supposed_j(struct jt_sim *s, uint32_t instance, double *ret_dynamic_j)
{
	struct jt_inst *x = &s->insts[instance];
	struct jt_batch_joules j;

	if (jt__price(x->pricer, &x->supposed, &x->asked) < 0)
		return JT_ENOMEM;
	j = jt__batch_joules(&s->nodes[x->in->node], x->in, &x->asked.effort);
	*ret_dynamic_j = sum_j(&j);
	return JT_OK;
}

static struct jt_flight *waiting_flight(const struct jt_inst *x)
{
	for (uint32_t i = 0; i < x->n_flights; i++) {
		struct jt_flight *f = &x->flights[(x->first_flight + i) % x->n_slots];

		if (!f->wave)
			return f;
	}
	return NULL;
}

/* Every member of the group has a batch: they are padded to the largest and go together. */
static void open_wave(struct jt_sim *s, struct jt_inst *x)
{
	struct jt_member members[JT_RING_MAX];
	struct jt_wave *w = jt__wave_take(s);
	uint64_t tokens = 0;
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		struct jt_flight *f = waiting_flight(&s->insts[i]);

		if (same_group(x, &s->insts[i]) && f)
			tokens = JT_MAX(tokens, tokens_of(f));
	}
	for (uint32_t i = 0; i < s->cluster->n_instances && w; i++) {
		struct jt_inst *y = &s->insts[i];
		struct jt_flight *f = waiting_flight(y);

		if (!same_group(x, y) || !f)
			continue;
		if (price(s, y, f, tokens) < 0) {
			fail(s, JT_ENOMEM);
			return;
		}
		members[n] = (struct jt_member){ y->in, f->works, f->n_works };
		f->wave = w;
		f->member = n++;
		jt__inst_stir(y);
	}
	if (!w || jt__wave_open(w, &s->fabric, members, n) < 0)
		fail(s, JT_ENOMEM);
	else
		jt_container_of(w, struct jt_wave_slot, wave)->n_users = n;
}

static bool group_is_complete(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (same_group(x, &s->insts[i]) && !waiting_flight(&s->insts[i]))
			return false;
	}
	return true;
}

static bool others_wait(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (same_group(x, &s->insts[i]) && waiting_flight(&s->insts[i]))
			return true;
	}
	return false;
}

static void note_queuing(const struct jt_sim *s, const struct jt_batch *b)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		struct jt_request *r = request_of(b->items[i].seq);

		if (!r->seq.has_first)
			r->queuing_ns = s->t_ns - r->seq.arrival_ns;
	}
}

/* A flight that is priced and that the rank has not begun. */
static struct jt_flight *ready_flight(const struct jt_inst *x, bool first)
{
	for (uint32_t i = 0; i < x->n_flights; i++) {
		struct jt_flight *f = &x->flights[(x->first_flight + i) % x->n_slots];

		if (f->wave && !(first ? f->open_ns != JT_NONE : f->last_joined))
			return f;
	}
	return NULL;
}

static bool begin_ready(struct jt_sim *s, struct jt_inst *x, bool first)
{
	struct jt_flight *f = ready_flight(x, first);

	if (!f)
		return false;
	if (first)
		begin_first(s, x, f);
	else
		begin_last(s, x, f);
	return true;
}

/* The other members wait for this one, which has nothing to do: it takes part with a token for nobody.
 * Any rank that is asked notices, also when the first one still has to form a batch. */
static bool must_keep_step(const struct jt_sim *s, const struct jt_inst *x)
{
	return x->in->dp_group >= 0 && !waiting_flight(x) && others_wait(s, x);
}

/* The rank has something to do now, or its instance waits for others. */
static bool begin_batch(struct jt_sim *s, struct jt_inst *x, bool first)
{
	struct jt_batch *b = NULL;
	struct jt_flight *f;

	if (begin_ready(s, x, first))
		return true;
	if (x->n_flights >= x->in->pp)
		return false;
	if (first)
		b = jt__sched_form(x->sched, s->t_ns, &s->status);
	if (s->status < 0 || (!b && !must_keep_step(s, x)))
		return false;
	f = jt__inst_new_flight(x);
	f->batch = b;
	f->formed_ns = s->t_ns;
	if (b) {
		x->idle = false;
		note_queuing(s, b);
		s->totals.n_batches++;
		s->last_batch_size = b->n_items;
	}
	if (!group_is_complete(s, x)) {
		stir_group(s, x);
		return true;
	}
	open_wave(s, x);
	if (s->status == JT_OK)
		begin_ready(s, x, first);
	return true;
}

/* -- heartbeats -- */

/* Joules of batches under way that have not been used yet, when energy is spread over batches. */
static double unused_j(const struct jt_sim *s, uint32_t node)
{
	double sum = 0;

	if (s->o.quirks.early_booking)
		return 0;
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		const struct jt_inst *x = &s->insts[i];

		for (uint32_t k = 0; x->in->node == node && k < x->n_flights; k++) {
			const struct jt_flight *f =
				&x->flights[(x->first_flight + k) % x->n_slots];
			uint64_t end_ns = f->wave ? jt__wave_end_ns(f->wave, f->member,
			                                            x->in->n_npus - 1)
			                          : JT_NONE;
			double whole, left;

			if (!f->wave || end_ns == JT_NONE || end_ns <= s->t_ns)
				continue;
			whole = (double)(end_ns - f->formed_ns);
			left = (double)(end_ns - s->t_ns);
			sum += sum_j(&f->joules) * fmin(left / whole, 1);
		}
	}
	return sum;
}

static double round_to_cents(double v)
{
	/* Python rounds the shortest text of a number, which for these is what printf rounds. */
	char text[64];

	snprintf(text, sizeof(text), "%.2f", v);
	return strtod(text, NULL);
}

static double power_since_last_beat(struct jt_sim *s)
{
	double seconds = (double)(s->t_ns - s->beat_from_ns) * 1e-9, power_w = 0;

	for (uint32_t n = 0; n < s->cluster->n_nodes; n++) {
		double j = jt__node_total_j(&s->nodes[n], s->t_ns) - unused_j(s, n);

		power_w += round_to_cents((j - s->beat_j[n]) / seconds);
		s->beat_j[n] = j;
	}
	s->beat_from_ns = s->t_ns;
	return power_w;
}

static void beat(struct jt_sim *s)
{
	double per_s = 1e9 / s->interval_ns;
	struct jt_sim_beat b = {
		.t_ns = s->t_ns,
		.nominal_s = (s->last_beat_ns + s->interval_ns) / 1e9,
		.prompt_per_s = (double)s->prompt_in_beat * per_s,
		.generation_per_s = (double)s->generated_in_beat * per_s,
		.has_power = s->totals.has_power,
		.n_batches = s->totals.n_batches,
		.batch_size = s->last_batch_size,
	};

	s->last_beat_ns += s->interval_ns;
	s->prompt_in_beat = s->generated_in_beat = 0;
	if (b.has_power)
		b.power_w = power_since_last_beat(s);
	if (s->ob.beat)
		s->ob.beat(s->ob.user, &b);
}

/* -- nothing left -- */

static bool is_empty(const struct jt_inst *x)
{
	return jt__sched_empty(x->sched) && x->n_flights == 0;
}

static bool group_is_empty(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (same_group(x, &s->insts[i]) && !is_empty(&s->insts[i]))
			return false;
	}
	return true;
}

static void wake_all(struct jt_sim *s)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++)
		jt__inst_stir(&s->insts[i]);
}

/* Whether the instance will never have work again; then the rank sleeps. */
static bool retire(struct jt_sim *s, struct jt_inst *x, bool first)
{
	if (x->done || (x->in->role == JT_ROLE_DECODE && !s->prefill_done) || !is_empty(x) ||
	    jt__arrivals_next_ns(&s->arrivals) != JT_NONE || s->n_sessions > 0 ||
	    !group_is_empty(s, x))
		return false;
	*(first ? &x->first_sleeps : &x->last_sleeps) = true;
	if (++x->n_done == (x->in->n_npus == 1 ? 1 : 2)) {
		x->done = true;
		if (++s->n_done == s->n_prefill) {
			s->prefill_done = true;
			wake_all(s);
		}
	}
	s->over = s->n_done == s->cluster->n_instances;
	return true;
}

void jt__poll(struct jt_sim *s, struct jt_inst *x, bool first)
{
	bool busy;

	if (jt__arrivals_next_ns(&s->arrivals) <= s->t_ns) {
		int status = jt__route_arrived(s);

		if (status < 0)
			fail(s, status);
		if (jt__arrivals_next_ns(&s->arrivals) == JT_NONE)
			wake_all(s);
	}
	if (first && x->idle) {
		count_standby(s, x);
	} else if (first) {
		x->idle_since_ns = s->t_ns;
		x->idle = true;
	}
	hear_end(s, x, first);
	if (s->status < 0)
		return;
	busy = begin_batch(s, x, first);
	if (first && (double)s->t_ns > s->last_beat_ns + s->interval_ns)
		beat(s);
	if (!busy && !retire(s, x, first))
		*(first ? &x->first_quiet : &x->last_quiet) = true;
}
