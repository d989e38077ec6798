/* SPDX-License-Identifier: Apache-2.0 */
/* Heartbeats: tokens and power since the last one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

/* Joules of batches under way that have not been used yet, when energy is spread over batches. */
static double unused_j(const struct jt_sim *s, uint32_t node)
{
	double sum = 0;

	if (s->o.quirks.early_booking)
		return 0;
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		const struct jt_inst *x = &s->insts[i];

		for (uint32_t k = 0; x->in->node == node && k < x->n_flights; k++) {
			const struct jt_flight *f = &x->flights[(x->first_flight + k) % x->n_slots];
			uint64_t end_ns =
				f->wave ? jt__wave_end_ns(f->wave, f->member, x->in->n_npus - 1)
					: JT_NONE;
			double whole, left;

			if (!f->wave || end_ns <= s->t_ns) /* not known yet: far away */
				continue;
			whole = (double)(end_ns - f->formed_ns);
			left = (double)(end_ns - s->t_ns);
			sum += jt__sum_joules(&f->joules) * fmin(left / whole, 1);
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

/* One at an instant: there is no power without time. */
bool jt__beat_is_due(const struct jt_sim *s)
{
	return (double)s->t_ns > s->last_beat_ns + s->interval_ns &&
	       !(s->totals.has_power && s->t_ns == s->beat_from_ns);
}

void jt__beat(struct jt_sim *s, double interval_ns)
{
	double per_s = 1e9 / interval_ns;
	struct jt_sim_beat b = {
		.t_ns = s->t_ns,
		.nominal_s = (s->last_beat_ns + interval_ns) / 1e9,
		.prompt_per_s = (double)s->prompt_in_beat * per_s,
		.generation_per_s = (double)s->generated_in_beat * per_s,
		.has_power = s->totals.has_power,
		.n_batches = s->totals.n_batches,
		.batch_size = s->last_batch_size,
	};

	s->last_beat_ns += interval_ns;
	s->prompt_in_beat = s->generated_in_beat = 0;
	if (b.has_power) {
		jt__count_all_standby(s);
		b.power_w = power_since_last_beat(s);
	}
	if (s->ob.beat)
		s->ob.beat(s->ob.user, &b);
}
