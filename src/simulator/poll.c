/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one rank of an instance hears and is told when it is asked at an instant: what has arrived
 * is routed, its batch may be over, another one may begin, a heartbeat may be due, and the instance
 * may have nothing left to wait for. The order of these is the reference's.
 */
#include "jouletap/record.h"
#include "simulator/instance.h"

/* -- nothing left -- */

static bool is_empty(const struct jt_inst *x)
{
	return jt__sched_empty(x->sched) && x->n_flights == 0;
}

static bool group_is_empty(const struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (jt__same_group(x, &s->insts[i]) && !is_empty(&s->insts[i]))
			return false;
	}
	return true;
}

void jt__wake_all(struct jt_sim *s)
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
			jt__wake_all(s);
		}
	}
	s->over = s->n_done == s->cluster->n_instances;
	if (s->over)
		jt__count_all_standby(s);
	return true;
}

void jt__poll(struct jt_sim *s, struct jt_inst *x, bool first)
{
	bool busy;

	if (jt__arrivals_next_ns(&s->arrivals) <= s->t_ns) {
		int status = jt__route_arrived(s);

		if (status < 0)
			jt__sim_fail(s, status);
		if (jt__arrivals_next_ns(&s->arrivals) == JT_NONE)
			jt__wake_all(s);
	}
	if (first && x->idle) {
		jt__count_standby(s, x);
	} else if (first) {
		x->idle_since_ns = s->t_ns;
		x->idle = true;
	}
	jt__hear_end(s, x, first);
	if (s->status < 0)
		return;
	busy = jt__begin_batch(s, x, first);
	if (first && s->o.quirks.idle_grid && jt__beat_is_due(s))
		jt__beat(s, s->interval_ns);
	if (!busy && !retire(s, x, first))
		*(first ? &x->first_quiet : &x->last_quiet) = true;
}
