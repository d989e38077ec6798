/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is over when its first and its last rank have said so: its joules are shared out, its
 * sequences have their tokens, and who is done leaves or goes on elsewhere.
 */
#include <math.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

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
		if (r->arrival.nth > 0 && --s->n_sessions == 0)
			jt__wake_all(s); /* there may be nothing left to wait for */
	} else {
		struct jt_arrival next = r->arrival;

		next.t_ns = s->t_ns + r->pause_ns;
		next.nth++;
		if (jt__arrivals_release(&s->arrivals, next) < 0)
			jt__sim_fail(s, JT_ENOMEM);
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
		jt__sim_fail(s, jt__fail(s->err, status, "simulate",
		                         "request %llu does not fit into decode instance %u, whose "
		                         "KV cache is full: use more memory there, more decode "
		                         "instances or a smaller max_num_seqs",
		                         (unsigned long long)r->seq.id, to->index));
	jt__inst_stir(to);
}

static void end_item(struct jt_sim *s, struct jt_inst *x, const struct jt_batch_item *item)
{
	struct jt_request *r = jt__request_of(item->seq);
	bool generated = item->token || (item->first && !s->o.quirks.lost_token);

	s->prompt_in_beat += item->prompt_tokens;
	s->totals.prompt_tokens += item->prompt_tokens;
	s->generated_in_beat += generated;
	s->totals.generated_tokens += generated;
	if (item->first) {
		r->ttft_ns = s->t_ns - r->seq.arrival_ns;
		r->last_token_ns = s->t_ns;
	} else if (item->token && jt__request_token(r, s->t_ns) < 0) {
		jt__sim_fail(s, JT_ENOMEM);
	}
	if (!item->finished)
		return;
	if (x->in->role == JT_ROLE_PREFILL && r->seq.output_tokens > 1)
		hand_over(s, r);
	else
		end_request(s, x, r);
}

static void account(const struct jt_sim *s, const struct jt_inst *x, const struct jt_flight *f)
{
	struct jt_sim_batch b = { .instance = x->index,
		                  .begin_ns = f->open_ns,
		                  .end_ns = s->t_ns,
		                  .batch = f->batch,
		                  .dynamic_j =
		                          s->totals.has_power ? jt__sum_joules(&f->joules) : NAN };

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
	jt__stir_group(s, x);
}

/* The asked rank has come to the end of its batch. */
void jt__hear_end(struct jt_sim *s, struct jt_inst *x, bool first)
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
