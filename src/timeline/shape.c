/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step is cut into pieces where what the domain does changes, at the edges of power readings, and
 * otherwise into tenths. The power of a piece is the mean of its state plus a deviation. Deviations
 * scatter as is usual in the state, and are the more like the neighbour's in the same state the
 * nearer that is (an Ornstein-Uhlenbeck process; the last piece of the step before is the first
 * neighbour). The means are known only so well, and as well learned. All these are taken to be
 * jointly normal. Each reading, a mean over its window, and last of all the step's total are linear
 * in them, so each is taken in by one Kalman update. What comes out is the most likely course of
 * the power given all that is known, with its scatter, and better means: so a state is learned that
 * never fills a step, and two that always share one stay in doubt until their shares differ.
 *
 * The scatter of a state is that of the deviations found and their uncertainty (the EM algorithm,
 * one step at a time). Outliers count for three standard deviations at most (Huber), and what
 * cannot be explained teaches only doubt: now and then somebody uses the GPU behind our back.
 */
#include <math.h>
#include <string.h>
#include "base/base.h"
#include "timeline/shape.h"

#define PIECE_PARTS 10                  /* a piece is at most such a part of a step, … */
#define MIN_PIECE_NS (5 * JT_NS_PER_MS) /* … where that is not less than this */
#define TAU_MS 300.0                    /* over which power in one state forgets what it was */
#define READING_SD 0.02                 /* noise of a reading: a part of it, … */
#define READING_SD_MW 1000              /* … and this */
#define EDGE_MS 1.0                     /* how well the ends of a step are located */
#define MIN_SD_MW 500                   /* nothing is steadier than this */
#define FIRST_SCATTER 0.15 /* of a state of which nothing is known, as a part of the power, … */
#define FIRST_STEPS 2.0    /* … which counts for so many steps */
#define MEMORY_STEPS 300.0
#define SURPRISE 1.05 /* what cannot be explained widens all doubts so much */
#define OUTLIER_SDS 3.0
#define UNEXPLAINED_SDS 4.0
#define LOOKS_INTO 0.75  /* a reading of a longer part of a step does not look into it */
#define RECENT_MS 1000.0 /* by which is judged whether readings do */
#define ALIKE 0.03       /* pieces whose powers differ by less become one */
#define MAX_N (JT_SHAPE_PIECES + JT_SHAPE_STATES)

void jt__shape_init(struct jt_shape *s, const struct jt_sensor *sensor)
{
	memset(s, 0, sizeof(*s));
	jt__locator_init(&s->locator, sensor->update_ns);
	s->lag_ns = sensor->lag_ns;
	if (sensor->window_ns <= sensor->update_ns)
		s->window_ns = sensor->window_ns;
}

/* ---- what is told ---- */

/* The first @n changes have taken place. */
static void pass(struct jt_shape *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		s->prefill += s->notes[i].prefill;
		s->decode += s->notes[i].decode;
	}
	s->n_notes -= n;
	memmove(s->notes, s->notes + n, s->n_notes * sizeof(s->notes[0]));
}

void jt__shape_note(struct jt_shape *s, const struct jt_activity *change)
{
	size_t at;

	if (s->n_notes ==
	    JT_SHAPE_NOTES) /* the older ones act at once: in place nobody misses them */
		pass(s, JT_SHAPE_NOTES / 2);
	for (at = s->n_notes++; at > 0 && s->notes[at - 1].t_ns > change->t_ns; at--)
		s->notes[at] = s->notes[at - 1];
	s->notes[at] = *change;
	s->noted = true;
}

static void keep_reading(struct jt_shape *s, uint64_t update_ns, uint64_t edge_ns, uint32_t mw)
{
	uint64_t end_ns = update_ns - JT_MIN(update_ns, s->lag_ns);

	if (s->n_readings == JT_SHAPE_READINGS)
		memmove(s->readings, s->readings + 1, --s->n_readings * sizeof(s->readings[0]));
	s->readings[s->n_readings++] =
		(struct jt_window_mean){ .begin_ns = end_ns - JT_MIN(end_ns, s->window_ns),
		                         .end_ns = end_ns,
		                         .edge_ns = edge_ns,
		                         .power_mw = mw };
}

/* It changed since the last read: the field was renewed in between. */
static void renewed(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns, uint32_t power_mw)
{
	uint64_t longest = JT_MIN(jt__locator_longest_ns(&s->locator), begin_ns);
	uint64_t after = JT_MAX(s->read_begin_ns, begin_ns - longest);

	s->renewed_ns = jt__locator_update(&s->locator, after, end_ns, &s->renewed_edge_ns);
	keep_reading(s, s->renewed_ns, s->renewed_edge_ns, power_mw);
}

/* It did not change in more than a period: it was renewed and is the same. */
static void renewed_alike(struct jt_shape *s, uint64_t until_ns)
{
	uint64_t period_ns = jt__locator_period_ns(&s->locator);

	if (until_ns > s->renewed_ns + JT_SHAPE_READINGS * period_ns)
		s->renewed_ns = 0; /* too long ago to count on */
	while (period_ns && s->renewed_ns &&
	       s->renewed_ns + period_ns + s->renewed_edge_ns < until_ns) {
		s->renewed_ns += period_ns;
		s->renewed_edge_ns += period_ns / 100;
		keep_reading(s, s->renewed_ns, s->renewed_edge_ns, s->power_mw);
	}
}

void jt__shape_read(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns, uint32_t power_mw)
{
	if (!s->window_ns)
		return;
	if (s->has_reading && power_mw == s->power_mw)
		renewed_alike(s, begin_ns);
	else if (s->has_reading)
		renewed(s, begin_ns, end_ns, power_mw);
	s->has_reading = true;
	s->power_mw = power_mw;
	s->read_begin_ns = begin_ns;
}

/* ---- cutting ---- */

static unsigned state_of(int64_t prefill, int64_t decode)
{
	unsigned state = 2;

	if (prefill > 0)
		return 1;
	if (decode <= 0)
		return 0;
	for (decode--; decode > 0 && state + 1 < JT_SHAPE_STATES; decode >>= 1)
		state++;
	return state;
}

/* What the domain does at @t_ns, which no change is before, and when that next changes. */
static unsigned look_ahead(struct jt_shape *s, uint64_t t_ns, uint64_t *ret_change_ns)
{
	int64_t prefill, decode;
	unsigned state;
	size_t n = 0;

	while (n < s->n_notes && s->notes[n].t_ns <= t_ns)
		n++;
	pass(s, n);
	prefill = s->prefill;
	decode = s->decode;
	state = state_of(prefill, decode);
	*ret_change_ns = UINT64_MAX;
	for (n = 0; n < s->n_notes && *ret_change_ns == UINT64_MAX; n++) {
		prefill += s->notes[n].prefill;
		decode += s->notes[n].decode;
		if (state_of(prefill, decode) != state)
			*ret_change_ns = s->notes[n].t_ns;
	}
	return state;
}

/* The first edge of a reading's window after @t_ns. */
static uint64_t next_edge(const struct jt_shape *s, uint64_t t_ns)
{
	uint64_t next = UINT64_MAX;

	for (size_t r = 0; r < s->n_readings; r++) {
		if (s->readings[r].begin_ns > t_ns)
			next = JT_MIN(next, s->readings[r].begin_ns);
		if (s->readings[r].end_ns > t_ns)
			next = JT_MIN(next, s->readings[r].end_ns);
	}
	return next;
}

static void cut(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns)
{
	uint64_t longest = JT_MAX((end_ns - begin_ns) / PIECE_PARTS, MIN_PIECE_NS), change_ns;

	for (s->n = 0; begin_ns < end_ns; begin_ns = s->pieces[s->n++].end_ns) {
		struct jt_piece *p = &s->pieces[s->n];

		p->state = look_ahead(s, begin_ns, &change_ns);
		p->begin_ns = begin_ns;
		p->end_ns = end_ns;
		if (s->n + 1 == JT_SHAPE_PIECES)
			continue;
		p->end_ns = JT_MIN(p->end_ns, JT_MIN(change_ns, next_edge(s, begin_ns)));
		p->end_ns = JT_MIN(p->end_ns, begin_ns + longest);
	}
	look_ahead(s, end_ns, &change_ns);
}

/* ---- habits ---- */

/* A state is seen for the first time in a step of @step_mw: it may be like all others. */
static void meet(struct jt_shape *s, unsigned state, double step_mw)
{
	struct jt_habit *h = &s->habits[state], *all = &s->overall;
	double mean_mw = all->n_steps > 0 ? all->mean_mw : step_mw;

	if (h->n_steps > 0)
		return;
	h->n_steps = FIRST_STEPS;
	h->mean_mw = mean_mw;
	h->scatter = pow(FIRST_SCATTER * mean_mw, 2) + MIN_SD_MW * MIN_SD_MW;
	s->doubt[state][state] = all->scatter + mean_mw * mean_mw;
}

/* A deviation of @off_mw, known with the variance @var, for @n_steps. */
static void learn_scatter(struct jt_habit *h, double off_mw, double var, double n_steps)
{
	double seen = JT_MIN(off_mw * off_mw, OUTLIER_SDS * OUTLIER_SDS * h->scatter) + var;

	h->n_steps = JT_MIN(h->n_steps + n_steps, MEMORY_STEPS);
	h->scatter += n_steps / h->n_steps * (seen - h->scatter);
	h->scatter = JT_MAX(h->scatter, MIN_SD_MW * MIN_SD_MW);
}

static void learn_overall(struct jt_habit *all, double power_mw, double sd_mw, double n_steps)
{
	double off = power_mw - all->mean_mw, rate;

	all->n_steps = JT_MIN(all->n_steps + n_steps, MEMORY_STEPS);
	rate = n_steps / all->n_steps;
	all->mean_mw += rate * off;
	all->scatter += rate * (off * off * (1 - rate) + sd_mw * sd_mw - all->scatter);
}

/* ---- all powers, jointly ---- */

/* First the pieces, then the means of all states seen so far. */
struct estimate {
	size_t n;
	double mean[MAX_N];
	double cov[MAX_N][MAX_N];
	unsigned states[JT_SHAPE_STATES]; /* of the means … */
	size_t n_states;
	size_t mean_of[JT_SHAPE_PIECES]; /* … and where that of a piece is */
};

static double ms(uint64_t from_ns, uint64_t to_ns)
{
	return (double)(to_ns - from_ns) * 1e-6;
}

/* Correlation of the deviations of two neighbours. */
static double likeness(const struct jt_piece *a, const struct jt_piece *b)
{
	if (a->state != b->state || a->end_ns != b->begin_ns)
		return 0;
	return exp(-(ms(a->begin_ns, a->end_ns) + ms(b->begin_ns, b->end_ns)) / 2 / TAU_MS);
}

static void expect_means(struct jt_shape *s, double step_mw, struct estimate *e)
{
	e->n_states = 0;
	for (size_t i = 0; i < s->n; i++)
		meet(s, s->pieces[i].state, step_mw);
	for (unsigned k = 0; k < JT_SHAPE_STATES; k++)
		if (s->habits[k].n_steps > 0)
			e->states[e->n_states++] = k;
	for (size_t a = 0; a < e->n_states; a++) {
		e->mean[s->n + a] = s->habits[e->states[a]].mean_mw;
		for (size_t b = 0; b < e->n_states; b++)
			e->cov[s->n + a][s->n + b] = s->doubt[e->states[a]][e->states[b]];
		for (size_t i = 0; i < s->n; i++)
			if (s->pieces[i].state == e->states[a])
				e->mean_of[i] = s->n + a;
	}
	e->n = s->n + e->n_states;
}

/*
 * Before anything of this step is taken in: the habits, and the piece @before it (may be NULL).
 * With z a deviation in its standard deviations, z_i is known by z_before to the part l_i, the
 * product of the likenesses in between, and cov(z_i, z_j) = l_i..j − l_i·l_j·(1 − var(z_before)).
 */
static void expect(struct jt_shape *s, const struct jt_piece *before, double step_mw,
                   struct estimate *e)
{
	double sd[JT_SHAPE_PIECES], link[JT_SHAPE_PIECES], known[JT_SHAPE_PIECES], l = 1;

	expect_means(s, step_mw, e);
	for (size_t i = 0; i < s->n; i++, before = &s->pieces[i - 1]) {
		sd[i] = sqrt(s->habits[s->pieces[i].state].scatter);
		link[i] = before ? likeness(before, &s->pieces[i]) : 0;
		known[i] = l *= link[i];
		e->mean[i] = e->mean[e->mean_of[i]] + known[i] * s->off * sd[i];
		for (size_t a = s->n; a < e->n; a++)
			e->cov[i][a] = e->cov[a][i] = e->cov[e->mean_of[i]][a];
	}
	for (size_t i = 0; i < s->n; i++) {
		l = 1;
		for (size_t j = i; j < s->n; j++) {
			l *= j > i ? link[j] : 1;
			e->cov[i][j] = e->cov[j][i] =
				e->cov[e->mean_of[i]][e->mean_of[j]] +
				sd[i] * sd[j] * (l - known[i] * known[j] * (1 - s->off_var));
		}
	}
}

/*
 * A Kalman update: Σ weights·power of the first @n, the pieces, was seen to be @value, with
 * variance
 * @var. Returns how many standard deviations off that was.
 */
static double take_in(struct estimate *e, const double *weights, size_t n, double value, double var)
{
	double gain[MAX_N];

	for (size_t i = 0; i < e->n; i++) {
		gain[i] = 0;
		for (size_t j = 0; j < n; j++)
			gain[i] += e->cov[i][j] * weights[j];
	}
	for (size_t i = 0; i < n; i++) {
		var += weights[i] * gain[i];
		value -= weights[i] * e->mean[i];
	}
	for (size_t i = 0; i < e->n; i++) {
		e->mean[i] += gain[i] * value / var;
		for (size_t j = 0; j < e->n; j++)
			e->cov[i][j] -= gain[i] * gain[j] / var;
	}
	return fabs(value) / sqrt(var);
}

static double overlap_ms(const struct jt_piece *p, const struct jt_window_mean *w)
{
	uint64_t from = JT_MAX(p->begin_ns, w->begin_ns), to = JT_MIN(p->end_ns, w->end_ns);

	return from < to ? ms(from, to) : 0;
}

/* A reading whose window ends in this step; what of it lies in the one before, @n_last @last
 * pieces, is settled. */
static double take_in_reading(const struct jt_shape *s, const struct jt_window_mean *w,
                              const struct jt_piece *last, size_t n_last, struct estimate *e)
{
	double weights[JT_SHAPE_PIECES], window_ms = ms(w->begin_ns, w->end_ns), settled_ms = 0,
					 here_ms = 0;
	double energy = w->power_mw * window_ms, noise, scatter = 0;

	for (size_t i = 0; i < n_last; i++) {
		settled_ms += overlap_ms(&last[i], w);
		energy -= overlap_ms(&last[i], w) * last[i].power_mw;
	}
	for (size_t i = 0; i < s->n; i++) {
		weights[i] = overlap_ms(&s->pieces[i], w);
		here_ms += weights[i];
		if (weights[i] > 0)
			scatter = JT_MAX(scatter, sqrt(JT_MAX(e->cov[i][i], 0)));
	}
	if (here_ms == 0 || settled_ms + here_ms < window_ms * 0.999)
		return 0;
	noise = window_ms * (READING_SD * w->power_mw + READING_SD_MW) +
	        0.1 * settled_ms * w->power_mw +
	        JT_MIN((double)w->edge_ns * 1e-6 / 2, window_ms) * scatter;
	return take_in(e, weights, s->n, energy, noise * noise);
}

/* All that end in this step; returns how many standard deviations off the worst was. */
static double take_in_readings(struct jt_shape *s, uint64_t end_ns, double step_ms,
                               const struct jt_piece *last, size_t n_last, struct estimate *e)
{
	double worst = 0, window_ms = ms(0, s->window_ns), looked_ms = 0;

	for (size_t r = 0; r < s->n_readings; r++) {
		if (s->readings[r].end_ns > end_ns)
			continue;
		worst = JT_MAX(worst, take_in_reading(s, &s->readings[r], last, n_last, e));
		looked_ms += window_ms < LOOKS_INTO * step_ms ? window_ms : 0;
	}
	s->looked_into +=
		(JT_MIN(looked_ms / step_ms, 1) - s->looked_into) * JT_MIN(step_ms / RECENT_MS, 1);
	return worst;
}

static double take_in_total(const struct jt_shape *s, double uj, double step_ms, struct estimate *e)
{
	double weights[JT_SHAPE_PIECES], noise = EDGE_MS * uj / step_ms;

	for (size_t i = 0; i < s->n; i++)
		weights[i] = ms(s->pieces[i].begin_ns, s->pieces[i].end_ns);
	return take_in(e, weights, s->n, uj, noise * noise + 1);
}

/* ---- a step ---- */

/* Nothing explains what was seen: of what was done in this step the means are less certain, if not
 * quite unknown already. */
static void doubt_means(struct jt_shape *s)
{
	double factor[JT_SHAPE_STATES];

	for (size_t k = 0; k < JT_SHAPE_STATES; k++)
		factor[k] = 1;
	for (size_t i = 0; i < s->n; i++) {
		unsigned k = s->pieces[i].state;

		if (s->doubt[k][k] < s->overall.scatter + s->overall.mean_mw * s->overall.mean_mw)
			factor[k] = SURPRISE;
	}
	for (size_t a = 0; a < JT_SHAPE_STATES; a++)
		for (size_t b = 0; b < JT_SHAPE_STATES; b++)
			s->doubt[a][b] *= sqrt(factor[a] * factor[b]);
}

/* The means have become better. */
static void learn_means(struct jt_shape *s, const struct estimate *e)
{
	for (size_t a = 0; a < e->n_states; a++) {
		unsigned k = e->states[a];

		for (size_t b = 0; b < e->n_states; b++)
			s->doubt[k][e->states[b]] = e->cov[s->n + a][s->n + b];
		s->habits[k].mean_mw = e->mean[s->n + a];
		/* what is forgotten in a step */
		s->doubt[k][k] += s->habits[k].scatter / (MEMORY_STEPS * MEMORY_STEPS);
	}
}

/* The estimate becomes the pieces' powers, not below 0 and with the right sum. */
static void settle(struct jt_shape *s, const struct estimate *e, double uj, double step_ms)
{
	double sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct jt_piece *p = &s->pieces[i];
		struct jt_habit *h = &s->habits[p->state];
		double length = ms(p->begin_ns, p->end_ns),
		       off = e->mean[i] - e->mean[e->mean_of[i]];
		double var = e->cov[i][i] + e->cov[e->mean_of[i]][e->mean_of[i]] -
		             2 * e->cov[i][e->mean_of[i]];

		p->power_mw = JT_MAX(e->mean[i], 0);
		p->sd_mw = sqrt(JT_MAX(e->cov[i][i], 0));
		sum += p->power_mw * length;
		s->off = s->surprised ? 0 : off / sqrt(h->scatter);
		s->off_var = s->surprised ? 1 : JT_MIN(JT_MAX(var, 0) / h->scatter, 1);
		learn_scatter(h, off, JT_MAX(var, 0), length / step_ms);
		learn_overall(&s->overall, p->power_mw, p->sd_mw, length / step_ms);
	}
	for (size_t i = 0; i < s->n; i++)
		s->pieces[i].power_mw = sum > 0 ? s->pieces[i].power_mw * (uj / sum) : uj / step_ms;
}

/* Neighbours that differ by little become one: a steady step is one piece. */
static void join_alike(struct jt_shape *s)
{
	size_t n = 0;

	for (size_t i = 1; i < s->n; i++) {
		struct jt_piece *a = &s->pieces[n], *b = &s->pieces[i];
		double a_ms = ms(a->begin_ns, a->end_ns), b_ms = ms(b->begin_ns, b->end_ns);

		if (a->state != b->state ||
		    fabs(a->power_mw - b->power_mw) > ALIKE * (a->power_mw + b->power_mw) / 2) {
			s->pieces[++n] = *b;
			continue;
		}
		a->power_mw = (a->power_mw * a_ms + b->power_mw * b_ms) / (a_ms + b_ms);
		a->sd_mw = (a->sd_mw * a_ms + b->sd_mw * b_ms) / (a_ms + b_ms);
		a->end_ns = b->end_ns;
	}
	s->n = JT_MIN(s->n, n + 1);
}

static void forget_readings(struct jt_shape *s, uint64_t until_ns)
{
	size_t n = 0;

	for (size_t r = 0; r < s->n_readings; r++)
		if (s->readings[r].end_ns > until_ns)
			s->readings[n++] = s->readings[r];
	s->n_readings = n;
}

void jt__shape_step(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns, uint64_t uj)
{
	double step_ms = ms(begin_ns, end_ns), worst;
	struct jt_piece last[JT_SHAPE_PIECES];
	size_t n_last = s->n;
	struct estimate e;

	memcpy(last, s->pieces, n_last * sizeof(last[0]));
	cut(s, begin_ns, end_ns);
	expect(s, n_last ? &last[n_last - 1] : NULL, (double)uj / step_ms, &e);
	worst = take_in_readings(s, end_ns, step_ms, last, n_last, &e);
	worst = JT_MAX(worst, take_in_total(s, (double)uj, step_ms, &e));
	s->surprised = worst >= UNEXPLAINED_SDS;
	if (s->surprised)
		doubt_means(s);
	else
		learn_means(s, &e);
	settle(s, &e, (double)uj, step_ms);
	join_alike(s);
	forget_readings(s, end_ns);
}
