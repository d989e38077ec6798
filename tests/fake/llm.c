/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of language models, from its requests. They come in groups with idle time between. A
 * prefill has the GPU to itself (later ones wait, decoding stands still) and draws near the cap:
 * each another level, reached within milliseconds, sagging to its end. Otherwise all that are past
 * their first token decode together, in engine steps: a level that grows ever slower with their
 * number, differs a little each time somebody comes or goes, creeps up with the context and
 * flickers with each step and the gap after it. Heights are parts of the range from idle to the
 * cap.
 */
#include <math.h>
#include "truth.h"

#define LENGTH_S 700
#define SETTLE_S .024 /* after a change power is followed in small pieces for so long */
#define SMALL_S .004

struct server {
	struct truth *t;
	uint64_t seed, k;
	double idle_w, cap_w;
	double at_s;
	double height;  /* drawn now */
	size_t i_first; /* requests before this are over */
};

static double draw(struct server *s, double low, double high)
{
	return low + (high - low) * truth_unit(s->seed, s->k++);
}

/* ---- requests ---- */

static void arrive(struct server *s)
{
	double at_s = 1;

	while (at_s < LENGTH_S - 40) {
		int n = (int)draw(s, 1, 13);
		double free_s = at_s, over_s = at_s, pace_s = draw(s, .6, 3);

		while (n-- > 0) {
			struct truth_request r = { .begin_s = at_s };
			double pause = draw(s, 0, 1);

			r.first_s = fmax(at_s, free_s) + draw(s, .05, .3);
			r.end_s = r.first_s + draw(s, .5, 4);
			truth_add_request(s->t, &r);
			free_s = r.first_s;
			over_s = fmax(over_s, r.end_s);
			at_s += .05 + pace_s * pause * pause;
		}
		at_s = over_s + draw(s, .1, 2.5);
	}
}

/* Who does what from at_s on, and until when that stays so. */
struct load {
	size_t prefill; /* the request that has the GPU to itself */
	bool is_prefill;
	int n_decode;
	double age_s; /* mean of those who decode */
	double until_s;
};

static void count(const struct server *s, size_t i, struct load *l)
{
	const struct truth_request *r = &s->t->requests[i];
	const double edges_s[] = { r->begin_s, r->first_s, r->end_s };

	for (int k = 0; k < 3; k++)
		if (edges_s[k] > s->at_s)
			l->until_s = fmin(l->until_s, edges_s[k]);
	if (r->begin_s <= s->at_s && r->first_s > s->at_s && !l->is_prefill) {
		l->is_prefill = true;
		l->prefill = i;
	}
	if (r->first_s <= s->at_s && r->end_s > s->at_s) {
		l->age_s += s->at_s - r->first_s;
		l->n_decode++;
	}
}

static struct load look(struct server *s)
{
	struct load l = { .until_s = LENGTH_S };
	const struct truth_request *r = s->t->requests;
	size_t n = s->t->n_requests;

	while (s->i_first < n && r[s->i_first].end_s <= s->at_s)
		s->i_first++;
	/* the first to begin after at_s is the last that matters */
	for (size_t i = s->i_first; i < n && (i == 0 || r[i - 1].begin_s <= s->at_s); i++)
		count(s, i, &l);
	if (l.n_decode)
		l.age_s /= l.n_decode;
	return l;
}

/* ---- power ---- */

/* Goes towards @height with the time constant @tau_s, for @for_s or until @until_s. */
static void piece(struct server *s, double height, double tau_s, double for_s, double until_s)
{
	double end_s = s->at_s + for_s < until_s ? s->at_s + for_s : until_s;

	s->height += (height - s->height) * (1 - exp((s->at_s - end_s) / tau_s));
	truth_add(s->t, s->at_s, s->idle_w + (s->cap_w - s->idle_w) * s->height);
	s->at_s = end_s;
}

static void settle(struct server *s, double height, double tau_s, double until_s)
{
	double end_s = fmin(s->at_s + SETTLE_S, until_s);

	while (s->at_s < end_s)
		piece(s, height, tau_s, SMALL_S, end_s);
}

static void prefill(struct server *s, const struct load *l)
{
	uint64_t own = s->seed + 71 + l->prefill; /* a burst goes on after somebody else's end */
	double level = .85 + .15 * truth_unit(own, 0), sag = .06 * truth_unit(own, 1);
	double tau_s = .003 + .006 * truth_unit(own, 2);
	double end_s = s->t->requests[l->prefill].first_s;

	while (s->at_s < l->until_s)
		piece(s, level - sag * fmax(0, 1 - (end_s - s->at_s) / .3) + draw(s, -.01, .01),
		      tau_s, SMALL_S, l->until_s);
}

static void decode(struct server *s, const struct load *l)
{
	double n = l->n_decode, level = .25 + .5 * n / (n + 5) + draw(s, -.03, .03);
	double step_s = draw(s, .01, .04), begin_s = s->at_s;

	settle(s, level, .002, l->until_s);
	while (s->at_s < l->until_s) {
		double now = level + .015 * (l->age_s + s->at_s - begin_s) + draw(s, -.03, .03);
		double busy = draw(s, .8, .95), for_s = step_s * draw(s, .9, 1.1);

		piece(s, now, .001, for_s * busy, l->until_s);
		if (s->at_s < l->until_s)
			piece(s, now - draw(s, .02, .12), .001, for_s * (1 - busy), l->until_s);
	}
}

static void idle(struct server *s, const struct load *l)
{
	settle(s, .01, .008, l->until_s);
	while (s->at_s < l->until_s)
		piece(s, draw(s, 0, .02), .008, draw(s, .05, .3), l->until_s);
}

void truth_llm(struct truth *t, double idle_w, double cap_w, uint64_t seed)
{
	struct server s = { .t = t, .seed = seed, .idle_w = idle_w, .cap_w = cap_w };

	truth_clear(t);
	arrive(&s);
	while (s.at_s < LENGTH_S) {
		struct load l = look(&s);

		(l.is_prefill ? prefill : l.n_decode ? decode : idle)(&s, &l);
	}
	t->loop_s = LENGTH_S;
}
