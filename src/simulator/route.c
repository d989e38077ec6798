/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instance gets a request: the least loaded, (4 waiting + running) / places, where equals
 * take turns; the next in turn; or one drawn at random (xorshift, not the reference's generator).
 */
#include <string.h>
#include "simulator/instance.h"

#define SEED 42

static double load_of(const struct jt_inst *x)
{
	double load = 4.0 * jt__sched_waiting(x->sched) + jt__sched_running(x->sched);
	uint32_t places = x->in->serving.max_num_seqs;

	return places ? load / places : load;
}

static uint32_t least_loaded(const struct jt_sim *s, const uint32_t *list, uint32_t n,
                             uint32_t from)
{
	uint32_t best = from % n;
	double best_load = load_of(&s->insts[list[best]]);

	for (uint32_t i = 1; i < n; i++) {
		uint32_t k = (from + i) % n;
		double load = load_of(&s->insts[list[k]]);

		if (load < best_load) {
			best = k;
			best_load = load;
		}
	}
	return best;
}

static uint32_t draw(struct jt_sim *s, uint32_t n)
{
	uint32_t v = s->rng_state ? s->rng_state : SEED;

	v ^= v << 13;
	v ^= v >> 17;
	v ^= v << 5;
	s->rng_state = v;
	return v % n;
}

struct jt_inst *jt__route_pick(struct jt_sim *s, bool decode)
{
	const uint32_t *list = decode ? s->decodes : s->fronts;
	uint32_t n = decode ? s->n_decodes : s->n_fronts;
	uint32_t *next = decode ? &s->next_decode : &s->next_front;
	uint32_t pick;

	switch (s->o.route) {
	case JT_ROUTE_RAND:
		return &s->insts[list[draw(s, n)]];
	case JT_ROUTE_RR:
		pick = *next % n;
		break;
	default:
		pick = least_loaded(s, list, n, *next);
	}
	*next = (pick + 1) % n;
	return &s->insts[list[pick]];
}

int jt__route_arrived(struct jt_sim *s)
{
	while (jt__arrivals_next_ns(&s->arrivals) <= s->t_ns) {
		struct jt_arrival a = jt__arrivals_take(&s->arrivals);
		struct jt_inst *to = jt__route_pick(s, false);
		struct jt_request *r = jt__request_new(s, a, to->in, s->err);
		int status;

		if (!r)
			return s->err && s->err->status < 0 ? s->err->status : JT_ENOMEM;
		status = jt__sched_submit(to->sched, &r->seq);
		if (status == JT_ELIMIT)
			return jt__fail(s->err, status, "simulate",
			                "request %llu with %u + %u tokens is longer than the whole "
			                "KV cache of instance %u",
			                (unsigned long long)r->seq.id, r->seq.prompt_tokens,
			                r->seq.output_tokens, to->index);
		if (status < 0)
			return jt__fail(s->err, status, "simulate", "request %llu: %s",
			                (unsigned long long)r->seq.id, jt_strerror(status));
		jt__inst_stir(to);
	}
	return JT_OK;
}
