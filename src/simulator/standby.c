/* SPDX-License-Identifier: Apache-2.0 */
/* NPUs that have just had work draw more than idle ones, for a while. */
#include <math.h>
#include "simulator/instance.h"

#define DENSE_NS (20 * JT_NS_PER_MS) /* before standby ends, polls are looked at one by one */

/* What of the time since the last look was standby, to the instant. */
static double standby_since(const struct jt_inst *x, uint64_t t_ns, double limit_s)
{
	uint64_t limit_ns = jt__whole(limit_s * 1e9);
	uint64_t from_ns = JT_MAX(x->standby_to_ns, x->idle_since_ns);
	uint64_t to_ns = JT_MIN(t_ns, x->idle_since_ns + limit_ns);

	return to_ns > from_ns ? (double)(to_ns - from_ns) * 1e-9 : 0;
}

/*
 * The reference adds the time since the last poll, but not more than is left of standby at this
 * one: so the last bit before its end is lost. Polls between which nothing happened are not made
 * here, they would have added up to the time between.
 */
static double standby_by_polls(const struct jt_inst *x, uint64_t t_ns, double limit_s)
{
	uint64_t since_idle_ns = t_ns - x->idle_since_ns, since_last_ns = t_ns - x->standby_to_ns;
	double idle_s = (double)since_idle_ns * 1e-9;

	if (since_idle_ns <= since_last_ns)
		return fmin(idle_s, limit_s);
	if (idle_s + DENSE_NS * 1e-9 < limit_s)
		return (double)since_last_ns * 1e-9;
	return fmin((double)since_last_ns * 1e-9, fmax(limit_s - idle_s, 0));
}

/* NPUs that are: the reference forgets that later stages may be at work when the first is not. */
static uint32_t in_standby(const struct jt_sim *s, const struct jt_inst *x)
{
	uint32_t busy = s->o.quirks.stage_standby ? 0 : x->n_flights * x->in->tp;

	return x->in->n_npus - JT_MIN(busy, x->in->n_npus);
}

void jt__count_standby(struct jt_sim *s, struct jt_inst *x)
{
	struct jt_node_energy *e = &s->nodes[x->in->node];
	double limit_s = jt__standby_s(e, x->in);

	jt__book_standby(e, x->in,
	                 s->o.quirks.idle_grid ? standby_by_polls(x, s->t_ns, limit_s)
	                                       : standby_since(x, s->t_ns, limit_s),
	                 in_standby(s, x));
	x->standby_to_ns = s->t_ns;
}

/* Of those that are not asked at this instant, or not yet. */
void jt__count_all_standby(struct jt_sim *s)
{
	if (s->o.quirks.idle_grid)
		return;
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (s->insts[i].idle)
			jt__count_standby(s, &s->insts[i]);
	}
}
