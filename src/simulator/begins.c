/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rank that has nothing to do begins a batch: one that is there for it, a new one, or in a
 * data-parallel group a token for nobody so that the others can go on. A group's batches wait for
 * each other, are padded to the largest and go together.
 */
#include "jouletap/record.h"
#include "simulator/instance.h"

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
		jt__wave_begin(f->wave, f->member, r, JT_MAX(f->open_ns, free_ns(x, f, r)));
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

static uint64_t tokens_of(const struct jt_flight *f)
{
	return f->batch ? f->batch->n_tokens : 1;
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

		if (jt__same_group(x, &s->insts[i]) && f)
			tokens = JT_MAX(tokens, tokens_of(f));
	}
	for (uint32_t i = 0; i < s->cluster->n_instances && w; i++) {
		struct jt_inst *y = &s->insts[i];
		struct jt_flight *f = waiting_flight(y);

		if (!jt__same_group(x, y) || !f)
			continue;
		if (jt__price_flight(s, y, f, tokens) < 0) {
			jt__sim_fail(s, JT_ENOMEM);
			return;
		}
		members[n] = (struct jt_member){ y->in, f->works, f->n_works };
		f->wave = w;
		f->member = n++;
		jt__inst_stir(y);
	}
	if (!w || jt__wave_open(w, &s->fabric, members, n) < 0)
		jt__sim_fail(s, JT_ENOMEM);
	else
		jt_container_of(w, struct jt_wave_slot, wave)->n_users = n;
}

static bool group_is_complete(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (jt__same_group(x, &s->insts[i]) && !waiting_flight(&s->insts[i]))
			return false;
	}
	return true;
}

static bool others_wait(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (jt__same_group(x, &s->insts[i]) && waiting_flight(&s->insts[i]))
			return true;
	}
	return false;
}

static void note_queuing(const struct jt_sim *s, const struct jt_batch *b)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		struct jt_request *r = jt__request_of(b->items[i].seq);

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

/* The other members wait for this one, which has nothing to do: it takes part with a token for
 * nobody. Any rank that is asked notices, also when the first one still has to form a batch. */
static bool must_keep_step(const struct jt_sim *s, const struct jt_inst *x)
{
	return x->in->dp_group >= 0 && !waiting_flight(x) && others_wait(s, x);
}

/* The rank has something to do now, or its instance waits for others. */
bool jt__begin_batch(struct jt_sim *s, struct jt_inst *x, bool first)
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
		jt__stir_group(s, x);
		return true;
	}
	open_wave(s, x);
	if (s->status == JT_OK)
		begin_ready(s, x, first);
	return true;
}
