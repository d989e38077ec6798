/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a timeline is told of requests may be true, late, incomplete or a lie, and the power may
 * have nothing to do with it. Totals stay the counter's, whatever was told, and the bound holds in
 * 95 % of all windows of each kind.
 */
#include "timeline/knots.h"
#include "virtual_sensor.h"

#define MAX_TOLD 16384
#define N_WINDOWS 60
#define ALWAYS 0.95 /* of the windows are within their bound */

/* ---- what is told ---- */

static struct told {
	struct jt_activity change;
	double heard_ns; /* told before the first sample that ends later */
} told[MAX_TOLD];
static size_t n_told;

static int by_hearing(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	return (x->heard_ns > y->heard_ns) - (x->heard_ns < y->heard_ns);
}

static void tell(double t_ns, double heard_ns, int64_t prefill, int64_t decode)
{
	if (n_told < MAX_TOLD)
		told[n_told++] =
			(struct told){ { (uint64_t)t_ns, (int32_t)prefill, (int32_t)decode },
			               heard_ns };
}

/* ---- loads ---- */

/* A change of what is really done. */
struct event {
	double t_ns;
	int prefill, decode;
};

static struct event events[MAX_TOLD];
static size_t n_events;

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->t_ns > y->t_ns) - (x->t_ns < y->t_ns);
}

struct load {
	const char *name;
	double per_s, prefill_s, decode_s; /* requests, and how long their phases take */
	double flicker;                    /* of the power, within one state */
};

static const struct load loads[] = {
	{ "few requests", 1.5, 0.15, 1, 0.03 },
	{ "flicker", 1.5, 0.15, 1, 0.2 },
	{ "many requests", 50, 0.01, 0.5, 0.03 },
};

static void make_requests(struct jt_rng *r, const struct load *l, double end_ns)
{
	double begin = 10.2e9;

	for (n_events = 0; begin < end_ns && n_events + 3 < MAX_TOLD;) {
		double first = begin + between(r, 0.3, 1.7) * l->prefill_s * S;
		double end = first + between(r, 0.3, 1.7) * l->decode_s * S;

		events[n_events++] = (struct event){ begin, 1, 0 };
		events[n_events++] = (struct event){ first, -1, 1 };
		events[n_events++] = (struct event){ end, 0, -1 };
		begin += -log(1 - jt__rng_unit(r)) / l->per_s * S;
	}
	qsort(events, n_events, sizeof(*events), by_time);
}

static double draws_mw(struct jt_rng *r, int prefill, int decode)
{
	if (prefill > 0)
		return 380e3 * between(r, 0.92, 1);
	return decode > 0 ? JT_MIN(60e3 + 120e3 * (1 + 0.3 * log2(decode)), 380e3) : 60e3;
}

static void begin_truth(double mw)
{
	truth.n = truth.at = 0;
	truth.t_ns[0] = truth.uj[0] = 0;
	go_on(9e9, mw);
	n_told = 0;
}

static void make_serving(struct jt_rng *r, const struct load *l, double end_ns)
{
	int prefill = 0, decode = 0;
	double at = 9e9;

	make_requests(r, l, end_ns);
	begin_truth(60e3);
	for (size_t i = 0; i < n_events && truth.n < MAX_STRETCHES - 2; i++) {
		double mw = draws_mw(r, prefill, decode);

		while (at < events[i].t_ns && truth.n < MAX_STRETCHES - 2) {
			double left = events[i].t_ns - at, ns = between(r, 10, 40) * MS;

			ns = JT_MIN(ns, left);
			go_on(ns, mw * (1 + l->flicker * between(r, -1, 1)));
			at += ns;
		}
		prefill += events[i].prefill;
		decode += events[i].decode;
	}
	go_on(1e12, 60e3);
}

static void make_square(double end_ns, double period_ns, double low_mw, double high_mw, double duty)
{
	begin_truth(low_mw);
	while (truth.t_ns[truth.n] < end_ns + S && truth.n < MAX_STRETCHES - 2)
		go_on(period_ns * (truth.n % 2 ? duty : 1 - duty), truth.n % 2 ? high_mw : low_mw);
	go_on(1e12, low_mw);
}

enum { TRULY, LATE, IN_PART, WITH_LIES, N_WAYS };
static const char *const ways[] = { "truly", "late", "in part", "with lies" };

/* As a gateway tells it, some milliseconds before the power follows; or not quite so. */
static void tell_all(struct jt_rng *r, int how)
{
	for (size_t i = 0; i < n_events; i++) {
		const struct event *e = &events[i];
		double t = e->t_ns - between(r, 1, 8) * MS, heard = t;
		int64_t prefill = e->prefill, decode = e->decode;

		if (how == LATE && chance(r, 0.1))
			t += between(r, 0, 100) * MS;
		if (how == LATE && chance(r, 0.3))
			heard = t + log_between(r, 1, 3000) * MS;
		if (how == IN_PART && chance(r, 0.1))
			continue;
		if (how == WITH_LIES && chance(r, 0.01))
			prefill = (int64_t)jt__rng_below(r, 5) - 2;
		if (how == WITH_LIES && chance(r, 0.01))
			decode = (int64_t)jt__rng_below(r, 5) - 2;
		if (how == WITH_LIES && chance(r, 0.0005))
			decode = chance(r, 0.5) ? INT32_MIN : INT32_MAX;
		tell(t, JT_MAX(heard, t), prefill, decode);
	}
	qsort(told, n_told, sizeof(*told), by_hearing);
}

/* ---- sensors ---- */

struct kind {
	double update_ms, window_ms; /* window 0: no power field */
};

static const struct kind kinds[] = {
	{ 100, 25 }, { 100, 100 }, { 100, 0 }, { 20, 10 }, { 1000, 100 }
};

static struct rig rig_of(struct jt_rng *r, const struct kind *k)
{
	struct rig g = {
		.sensor = { .name = "c", .what = "", .step_uj = 1000, .max_power_mw = 500000 },
		.what = k->window_ms > 0 ? WITH_POWER : 0,
		.offset_uj = 1000000000,
		.noise_mw = 1500
	};

	g.sensor.update_ns = (uint64_t)(k->update_ms * MS);
	g.sensor.window_ns = (uint64_t)(k->window_ms * MS);
	g.period_ns = k->update_ms * MS * between(r, 0.995, 1.005);
	g.phase_ns = between(r, 0, 1) * g.period_ns;
	g.power_late_ns = between(r, 0, 1) * g.period_ns;
	g.jitter = chance(r, 0.5) ? 0 : JT_MIN(0.01, 1 / k->update_ms);
	g.salt = jt__rng_u64(r);
	g.poll_lo_ns = JT_MAX(k->update_ms / 20, 2) * MS;
	g.poll_hi_ns = g.poll_lo_ns * 1.1;
	g.end_ns = 10e9 + JT_MIN(40e9, MAX_SAMPLES / 2 * g.poll_lo_ns);
	return g;
}

/* ---- the same readings, told and untold ---- */

struct pair {
	struct jt_timeline *told, *plain;
	size_t next;
};

/* What is closed is the counter's, whatever was told. */
static void feed(struct pair *p, const struct jt_sample *s)
{
	uint64_t closed;

	for (; p->next < n_told && told[p->next].heard_ns <= (double)s->end_ns; p->next++)
		jt_timeline_note(p->told, &told[p->next].change);
	jt_timeline_add(p->told, s);
	jt_timeline_add(p->plain, s);
	closed = jt_timeline_closed_ns(p->told);
	holds(closed == jt_timeline_closed_ns(p->plain));
	holds(jt_timeline_at(p->told, closed) == jt_timeline_at(p->plain, closed));
}

static struct pair pair_of(const struct rig *g)
{
	struct pair p = { 0 };

	jt_timeline_new(&g->sensor, MAX_KNOTS, &p.told, NULL);
	jt_timeline_new(&g->sensor, MAX_KNOTS, &p.plain, NULL);
	return p;
}

static void free_pair(struct pair *p)
{
	jt_timeline_free(p->told);
	jt_timeline_free(p->plain);
}

struct tally {
	long n, in;
	double bound, of; /* of it: what the bounds are a part of */
};

static void count(struct tally *t, const struct rig *g, struct jt_rng *r, double lo_ms,
                  double hi_ms)
{
	struct pair p = pair_of(g);
	uint64_t start, end;

	for (size_t i = 0; i < n_samples; i++)
		feed(&p, &samples[i]);
	start = jt_timeline_start_ns(p.told);
	end = jt_timeline_closed_ns(p.told);
	for (int i = 0; i < N_WINDOWS && end > start; i++) {
		uint64_t a = start + jt__rng_below(r, end - start);
		uint64_t length = (uint64_t)(log_between(r, lo_ms, hi_ms) * MS);
		uint64_t b = JT_MIN(a + length, end);
		double uj = true_uj((double)b) - true_uj((double)a);
		struct jt_interval iv = { 0 };

		holds(jt_timeline_window(p.told, a, b, &iv) == JT_OK);
		t->n++;
		t->in += fabs((double)iv.energy_uj - uj) <= (double)iv.bound_uj + 1;
		t->bound += (double)iv.bound_uj;
		t->of += uj;
	}
	free_pair(&p);
}

static void report(const struct tally *t, const struct kind *k, const char *what)
{
	double in = (double)t->in / (double)t->n;

	if (in < ALWAYS || getenv("JT_VERBOSE"))
		printf("# counter %g ms, readings of %g ms: %s: %.2f %% of %ld windows within %.1f "
		       "%%\n",
		       k->update_ms, k->window_ms, what, 100 * in, t->n, 100 * t->bound / t->of);
	check(in >= ALWAYS);
}

static void the_bound_holds_however_truly_it_was_told(void)
{
	char what[80];

	for (size_t k = 0; k < JT_ARRAY_LEN(kinds); k++) {
		for (size_t l = 0; l < JT_ARRAY_LEN(loads); l++) {
			for (int how = 0; how < N_WAYS; how++) {
				struct tally t = { 0 };

				for_each_seed(8)
				{
					struct jt_rng r = { seed };
					struct rig g = rig_of(&r, &kinds[k]);

					make_serving(&r, &loads[l], g.end_ns);
					tell_all(&r, how);
					make_samples(&r, &g);
					count(&t, &g, &r, 20, 2000);
				}
				snprintf(what, sizeof(what), "%s told %s", loads[l].name,
				         ways[how]);
				report(&t, &kinds[k], what);
			}
		}
	}
}

/* Somebody else's load, which comes and goes as often as the sensor updates, or nearly. */
static void a_square_wave_behind_steady_decode_is_within_the_bound(void)
{
	static const double periods[] = { 0.1, 0.3, 0.5, 0.9, 0.99, 1, 1.01, 1.1, 1.5, 2, 3.3, 10 };
	char what[80];

	for (size_t k = 0; k < JT_ARRAY_LEN(kinds); k++) {
		for (size_t p = 0; p < JT_ARRAY_LEN(periods); p++) {
			struct tally t = { 0 };

			for_each_seed(16)
			{
				struct jt_rng r = { seed };
				struct rig g = rig_of(&r, &kinds[k]);

				make_square(g.end_ns, g.period_ns * periods[p], 60e3, 300e3,
				            seed % 4 ? 0.5 : 0.25);
				tell(9.5e9, 9.5e9, 0, 1);
				make_samples(&r, &g);
				count(&t, &g, &r, kinds[k].update_ms / 5, kinds[k].update_ms * 10);
			}
			snprintf(what, sizeof(what), "square wave of %g periods", periods[p]);
			report(&t, &kinds[k], what);
		}
	}
}

/* Nobody looks into steps that are made by polling. */
static void a_square_wave_between_slow_polls_is_within_the_bound(void)
{
	static const struct kind kind = { 100, 25 };
	static const double periods[] = { 0.25, 0.5, 0.9, 1, 1.1, 2 };
	char what[80];

	for (size_t p = 0; p < JT_ARRAY_LEN(periods); p++) {
		struct tally t = { 0 };

		for_each_seed(30)
		{
			struct jt_rng r = { seed };
			struct rig g = rig_of(&r, &kind);

			g.poll_lo_ns = g.poll_hi_ns = between(&r, 1, 3) * S;
			g.end_ns = 100e9;
			make_square(g.end_ns, g.poll_lo_ns * periods[p], 60e3, 300e3, 0.5);
			tell(9.5e9, 9.5e9, 0, 1);
			make_samples(&r, &g);
			count(&t, &g, &r, 300, 10000);
		}
		snprintf(what, sizeof(what), "square wave of %g polls", periods[p]);
		report(&t, &kind, what);
	}
}

/* ---- whatever happens ---- */

static struct rig any_rig(struct jt_rng *r)
{
	static const double updates_ms[] = { 10, 20, 50, 100, 100, 1000 },
			    parts[] = { 0, 0.1, 0.25, 0.5, 1, 10 };
	struct kind k = { updates_ms[jt__rng_below(r, 6)], 0 };
	struct rig g;

	k.window_ms = k.update_ms * parts[jt__rng_below(r, 6)];
	g = rig_of(r, &k);
	g.what |= chance(r, 0.7) ? FAULTS : 0;
	g.period_ns *= chance(r, 0.8) ? 1 : log_between(r, 0.2, 5);
	g.noise_mw = chance(r, 0.3) ? 0 : 1500;
	g.sensor.lag_ns = chance(r, 0.5) ? 0 : jt__rng_below(r, 50 * MS);
	choose_polls(r, &g);
	if (chance(r, 0.3))
		g.sensor.wrap_uj = (uint64_t)(g.sensor.max_power_mw * between(r, 30, 300) * 1e3);
	return g;
}

static void make_any_load(struct jt_rng *r, const struct rig *g)
{
	struct load l = { "any", log_between(r, 0.1, 200), log_between(r, 0.001, 2),
		          log_between(r, 0.01, 5), between(r, 0, 0.5) };

	make_serving(r, &l, g->end_ns);
	if (chance(r, 0.3))
		make_square(g->end_ns, log_between(r, 10, 5000) * MS, 0, 400e3,
		            between(r, 0.1, 0.9));
	tell_all(r, (int)jt__rng_below(r, N_WAYS));
}

static void check_knots(const struct jt_timeline *tl)
{
	for (size_t i = 0; i + 1 < tl->n; i++) {
		const struct jt_knot *a = jt__knot(tl, i), *b = jt__knot(tl, i + 1);

		holds(a->t_ns < b->t_ns && a->e_uj <= b->e_uj && a->loose_uj <= b->loose_uj);
		holds(a->covered_ns <= b->covered_ns && a->unseen_uj <= b->unseen_uj);
		holds(b->covered_ns - a->covered_ns <= b->t_ns - a->t_ns);
	}
	for (size_t i = 0; i < tl->shape.n; i++)
		holds(isfinite(tl->shape.pieces[i].power_mw) &&
		      isfinite(tl->shape.pieces[i].sd_mw));
}

static void check_windows(struct jt_timeline *tl, struct jt_rng *r)
{
	uint64_t start = jt_timeline_start_ns(tl), end = jt_timeline_closed_ns(tl);

	for (int i = 0; i < 20 && end > start; i++) {
		uint64_t a = start + jt__rng_below(r, end - start + 1);
		uint64_t c = a + jt__rng_below(r, end - a + 1), b = a + jt__rng_below(r, c - a + 1);
		struct jt_interval ab = { 0 }, bc = { 0 }, ac = { 0 };

		holds(jt_timeline_window(tl, a, b, &ab) == JT_OK);
		holds(jt_timeline_window(tl, b, c, &bc) == JT_OK);
		holds(jt_timeline_window(tl, a, c, &ac) == JT_OK);
		holds(ab.energy_uj + bc.energy_uj == ac.energy_uj && ac.coverage_ppm <= 1000000);
	}
}

/* Gaps, restarts, lies of the counter, odd periods, slow polls, any load, anything told. */
static void totals_are_the_counters_whatever_happens(void)
{
	for_each_seed(600)
	{
		struct jt_rng r = { seed };
		struct rig g = any_rig(&r);
		uint64_t then_ns = 0, then_uj = 0, closed = 0;
		struct pair p = pair_of(&g);

		make_any_load(&r, &g);
		make_samples(&r, &g);
		for (size_t i = 0; i < n_samples; i++) {
			feed(&p, &samples[i]);
			holds(jt_timeline_closed_ns(p.told) >= closed);
			closed = jt_timeline_closed_ns(p.told);
			holds(!then_ns || jt_timeline_at(p.told, then_ns) == then_uj);
			if (closed && chance(&r, 0.2)) {
				then_ns = closed - jt__rng_below(&r, JT_MIN(closed, S));
				then_uj = jt_timeline_at(p.told, then_ns);
			}
		}
		check_knots(p.told);
		check_windows(p.told, &r);
		free_pair(&p);
	}
}

/* ---- learning ---- */

#define STEP_NS (100 * MS)

static const struct jt_sensor sensor = { .name = "c",
	                                 .update_ns = STEP_NS,
	                                 .max_power_mw = 500000 };

static void do_one_thing(struct jt_shape *s, uint64_t t_ns, int32_t prefill, int32_t decode)
{
	jt__shape_note(s, &(struct jt_activity){ t_ns, prefill - (int32_t)s->prefill,
	                                         decode - (int32_t)s->decode });
}

static void step(struct jt_shape *s, uint64_t k, double mw)
{
	jt__shape_step(s, k * STEP_NS, (k + 1) * STEP_NS, (uint64_t)(mw * 100));
}

/* Each surprise casts doubt on what is usual. Not for ever, and not on what was not being done. */
static void what_is_known_of_a_rare_state_outlives_surprises(void)
{
	struct jt_rng r = { 1 };
	struct jt_shape s;
	uint64_t k = 0;

	jt__shape_init(&s, &sensor);
	do_one_thing(&s, 0, 0, 16);
	for (; k < 200; k++)
		step(&s, k, 300e3);
	do_one_thing(&s, k * STEP_NS, 0, 0);
	for (; k < 400000; k++)
		step(&s, k, 60e3 + 1e3 * jt__rng_unit(&r) + (k % 25 ? 0 : 250e3));
	check_near(s.habits[0].mean_mw, 60e3, 2e3);
	do_one_thing(&s, k * STEP_NS, 0, 16);
	step(&s, k, 300e3);
	check(!s.surprised && s.pieces[0].sd_mw < 30e3);
}

/* Nothing explains a busy GPU's steps if other processes use it too: that is no reason to lose the
 * numbers. */
static void a_load_that_is_never_explained_breaks_nothing(void)
{
	struct jt_rng r = { 1 };
	struct jt_shape s;
	uint64_t bad = 0;

	jt__shape_init(&s, &sensor);
	do_one_thing(&s, 0, 0, 1);
	for (uint64_t k = 0; k < 200000; k++) {
		step(&s, k, log_between(&r, 1, 1e8));
		for (size_t i = 0; i < s.n; i++)
			bad += !isfinite(s.pieces[i].power_mw) || !isfinite(s.pieces[i].sd_mw);
	}
	check(bad == 0);
}

/* Steps until what was told explains them again, after idle power, or that of decode, changed. */
static uint64_t steps_to_relearn(double idle_mw, double decode_mw)
{
	uint64_t last = 0, k = 0;
	struct jt_shape s;

	jt__shape_init(&s, &sensor);
	for (; k < 6000; k++) {
		bool decodes = k / 7 % 2, later = k >= 3000;
		double idle = later ? idle_mw : 60e3, decode = later ? decode_mw : 180e3;

		do_one_thing(&s, k * STEP_NS + STEP_NS / 2, 0, decodes);
		step(&s, k, ((k - 1) / 7 % 2 ? decode : idle) / 2 + (decodes ? decode : idle) / 2);
		if (s.surprised && later)
			last = k - 3000;
	}
	return last;
}

static void another_regime_is_learned_within_a_minute(void)
{
	check(steps_to_relearn(120e3, 180e3) < 600);
	check(steps_to_relearn(60e3, 90e3) < 600);
	check(steps_to_relearn(30e3, 360e3) < 600);
}

/* ---- time and memory ---- */

static void neither_silence_nor_a_flood_of_changes_makes_many_knots(void)
{
	struct jt_sample s = { .valid = JT_HAS_ENERGY | JT_HAS_POWER,
		               .energy_uj = 1000000000,
		               .power_mw = 100000 };
	struct jt_timeline *tl = NULL;
	struct jt_rng r = { 1 };
	size_t before;

	jt_timeline_new(jt_sensor_find("gh100"), MAX_KNOTS, &tl, NULL);
	for (uint64_t t = S; t < 100 * S; t += 5 * MS) {
		s.begin_ns = t;
		s.end_ns = t + 1000;
		s.energy_uj = 1000000000 + t / STEP_NS * 10000000;
		jt_timeline_add(tl, &s);
	}
	before = tl->n;
	for (int i = 0; i < 100000; i++)
		jt_timeline_note(tl, &(struct jt_activity){ 100 * S + jt__rng_below(&r, 3600 * S),
		                                            (int32_t)jt__rng_below(&r, 3) - 1,
		                                            (int32_t)jt__rng_below(&r, 3) - 1 });
	s.begin_ns = 3700 * S;
	s.end_ns = s.begin_ns + 1000;
	s.energy_uj += UINT64_C(3600) * 100000000;
	jt_timeline_add(tl, &s);
	check(tl->n <= before + JT_TIMELINE_KNOTS_PER_SAMPLE);
	check(jt_timeline_closed_ns(tl) > 3600 * S);
	check_knots(tl);
	jt_timeline_free(tl);
}

int main(void)
{
	choose_seeds();
	test(the_bound_holds_however_truly_it_was_told);
	test(a_square_wave_behind_steady_decode_is_within_the_bound);
	test(a_square_wave_between_slow_polls_is_within_the_bound);
	test(totals_are_the_counters_whatever_happens);
	test(what_is_known_of_a_rare_state_outlives_surprises);
	test(a_load_that_is_never_explained_breaks_nothing);
	test(another_regime_is_learned_within_a_minute);
	test(neither_silence_nor_a_flood_of_changes_makes_many_knots);
	return tap_done();
}
