/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold for any sensor, any load and any order of events, tried with thousands of random
 * ones. A property that does not hold prints the seed of its case (virtual_sensor.h).
 */
#include "jouletap/attribution.h"
#include "timeline/probe.h"
#include "virtual_sensor.h"

#define MAX_CHANGES 1024
#define N_WINDOWS 50

/* Idle, plateaus, bursts or spikes up to @max_mw, each for a while. */
static void make_truth(struct jt_rng *r, double end_ns, double max_mw)
{
	double idle_mw = between(r, 0.02, 0.2) * max_mw, left = 0, mean_ns = S;
	int kind = 0;

	truth.n = truth.at = 0;
	truth.t_ns[0] = truth.uj[0] = 0;
	while (truth.t_ns[truth.n] < end_ns && truth.n < MAX_STRETCHES) {
		double ns, mw = idle_mw;

		if (left <= 0) {
			kind = (int)jt__rng_below(r, 4);
			left = between(r, 0.2, 8) * S;
			mean_ns = kind == 0 ? S : kind == 1 ? 2.0 * S : log_between(r, 5, 800) * MS;
		}
		ns = truth.n == MAX_STRETCHES - 1 ? end_ns
		                                  : -log(1 - jt__rng_unit(r)) * mean_ns + 1000;
		if (kind == 3 && truth.n % 2)
			ns = between(r, 1, 20) * MS;
		if ((kind == 1) || (kind > 1 && truth.n % 2))
			mw = kind == 3 ? max_mw : between(r, idle_mw, max_mw);
		left -= ns;
		go_on(ns, mw);
	}
}

static struct rig counter_rig(struct jt_rng *r, int what)
{
	static const double nominal_ms[] = { 1, 10, 20, 100, 100, 100 };
	static const uint64_t steps_uj[] = { 1, 61, 1000, 1000000 };
	struct rig g = { .sensor = { .name = "c", .what = "" }, .what = what };

	g.sensor.update_ns = (uint64_t)(nominal_ms[jt__rng_below(r, 6)] * MS);
	g.sensor.step_uj = steps_uj[jt__rng_below(r, 4)];
	g.sensor.gain_ppm = (uint32_t)jt__rng_below(r, 130000);
	g.sensor.max_power_mw = (uint32_t)log_between(r, 50000, 2000000);
	g.gain = between(r, -1, 1) * g.sensor.gain_ppm * 1e-6;
	g.period_ns = (double)g.sensor.update_ns *
	              (what & ODD_PERIOD ? log_between(r, 0.2, 5) : between(r, 0.91, 1.09));
	g.phase_ns = between(r, 0, 1) * g.period_ns;
	g.jitter = what & JITTERY   ? between(r, 0.02, 0.1)
	           : chance(r, 0.5) ? 0
	                            : between(r, 0, 0.01);
	g.salt = jt__rng_u64(r);
	g.sensor.window_ns = what & WITH_POWER ? 25 * MS : 0;
	g.offset_uj = chance(r, 0.3) ? 0 : (uint64_t)log_between(r, 1e6, 1e15);
	choose_polls(r, &g);
	make_truth(r, g.end_ns + S,
	           g.sensor.max_power_mw / 1.14); /* readings too stay below the maximum */
	if (chance(r, 0.3))                       /* at most once between two polls */
		g.sensor.wrap_uj = (uint64_t)(g.sensor.max_power_mw * between(r, 30, 300) * 1e3);
	make_samples(r, &g);
	return g;
}

static struct rig power_rig(struct jt_rng *r, int what)
{
	static const double window_ms[] = { 25, 100, 1000 };
	struct rig g = { .sensor = { .name = "p", .what = "", .update_ns = 100 * MS, .step_uj = 1 },
		         .power_only = true,
		         .what = what };

	g.sensor.window_ns = (uint64_t)(window_ms[jt__rng_below(r, 3)] * MS);
	g.sensor.gain_ppm = (uint32_t)jt__rng_below(r, 130000);
	g.sensor.max_power_mw = (uint32_t)log_between(r, 50000, 2000000);
	g.gain = between(r, -1, 1) * g.sensor.gain_ppm * 1e-6;
	g.period_ns = (double)g.sensor.update_ns * between(r, 0.91, 1.09);
	g.phase_ns = between(r, 0, 1) * g.period_ns;
	g.jitter = chance(r, 0.5) ? 0 : between(r, 0, 0.1);
	g.salt = jt__rng_u64(r);
	choose_polls(r, &g);
	make_truth(r, g.end_ns + S, g.sensor.max_power_mw / 1.14);
	make_samples(r, &g);
	return g;
}

/* ---- properties of a timeline ---- */

/* Feeds it all; what was closed once must never change. */
static struct jt_timeline *feed(const struct rig *g, struct jt_rng *r, size_t max_knots)
{
	uint64_t closed = 0, then_ns = 0, then_uj = 0;
	struct jt_timeline *tl = NULL;

	jt_timeline_new(&g->sensor, max_knots, &tl, NULL);
	for (size_t i = 0; i < n_samples; i++) {
		jt_timeline_add(tl, &samples[i]);
		holds(jt_timeline_closed_ns(tl) >= closed);
		holds(jt_timeline_closed_ns(tl) <= samples[i].end_ns);
		closed = jt_timeline_closed_ns(tl);
		if (then_ns >= jt_timeline_start_ns(tl) && then_ns)
			holds(jt_timeline_at(tl, then_ns) == then_uj);
		if (closed && chance(r, 0.2)) {
			then_ns = closed - jt__rng_below(r, closed - jt_timeline_start_ns(tl) + 1);
			then_uj = jt_timeline_at(tl, then_ns);
		}
	}
	return tl;
}

static void energy_rises_and_windows_add_up(struct jt_timeline *tl, struct jt_rng *r)
{
	uint64_t start = jt_timeline_start_ns(tl), end = jt_timeline_closed_ns(tl), uj = 0;

	for (int i = 0; i <= 200; i++) {
		uint64_t at =
			jt_timeline_at(tl, start - S / 2 + (end - start + S) / 200 * (uint64_t)i);

		holds(at >= uj);
		uj = at;
	}
	for (int i = 0; i < 20; i++) {
		uint64_t a = start + jt__rng_below(r, end - start + 1);
		uint64_t c = a + jt__rng_below(r, end - a + 1), b = a + jt__rng_below(r, c - a + 1);
		struct jt_interval ab = { 0 }, bc = { 0 }, ac = { 0 };

		holds(jt_timeline_window(tl, a, b, &ab) == JT_OK);
		holds(jt_timeline_window(tl, b, c, &bc) == JT_OK);
		holds(jt_timeline_window(tl, a, c, &ac) == JT_OK);
		holds(ab.energy_uj + bc.energy_uj == ac.energy_uj);
		holds(ac.coverage_ppm <= 1000000);
	}
}

/* How many of @n random windows are further off than their bound, or only further above. */
static int windows_off_bound(struct jt_timeline *tl, struct jt_rng *r, int n, bool only_above)
{
	uint64_t start = jt_timeline_start_ns(tl), end = jt_timeline_closed_ns(tl);
	int off = 0;

	for (int i = 0; i < n; i++) {
		uint64_t length = (uint64_t)log_between(r, 1e6, (double)(end - start) + 1e6);
		uint64_t a = i < 2 ? start : start + jt__rng_below(r, end - start + 1);
		uint64_t b = i == 0 || i == 2 ? end : JT_MIN(a + length, end);
		struct jt_interval iv = { 0 };
		double error;

		holds(jt_timeline_window(tl, a, b, &iv) == JT_OK);
		error = (double)iv.energy_uj - (true_uj((double)b) - true_uj((double)a));
		off += (only_above ? error : fabs(error)) > (double)iv.bound_uj + 1;
	}
	return off;
}

/* Of one case: monotone, additive, and so many windows out of bound. */
static int try_timeline(const struct rig *g, struct jt_rng *r, size_t max_knots, bool only_above)
{
	struct jt_timeline *tl = feed(g, r, max_knots);
	int off = 0;

	if (jt_timeline_closed_ns(tl) > jt_timeline_start_ns(tl)) {
		energy_rises_and_windows_add_up(tl, r);
		off = windows_off_bound(tl, r, N_WINDOWS, only_above);
	}
	jt_timeline_free(tl);
	return off;
}

static void a_counter_is_within_its_bound(void)
{
	int off = 0, n = 0;

	for_each_seed(2000)
	{
		struct jt_rng r = { seed };
		struct rig g = counter_rig(&r, 0);

		off += try_timeline(&g, &r, MAX_KNOTS, false);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows out of bound\n", off, n);
	check(off <= n / 1000);
}

/* Drops the oldest knots, shaped ones too, and never half a step. */
static void so_is_what_a_small_memory_has_kept(void)
{
	int off = 0, n = 0;

	for_each_seed(1000)
	{
		struct jt_rng r = { seed };
		struct rig g = counter_rig(&r, WITH_POWER);

		off += try_timeline(&g, &r, 2 + jt__rng_below(&r, 30), false);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows out of bound\n", off, n);
	check(off <= n / 1000);
}

/* Updates five times as often as expected, or a fifth, or with 10 % of jitter: it takes time to
 * learn that. */
static void an_unexpected_rhythm_breaks_nothing(void)
{
	int off = 0, n = 0;

	for_each_seed(1000)
	{
		struct jt_rng r = { seed };
		struct rig g = counter_rig(&r, seed % 2 ? ODD_PERIOD : JITTERY);

		off += try_timeline(&g, &r, MAX_KNOTS, false);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows out of bound\n", off, n);
	check(off <= n / 500);
}

/* What a part-time sensor did not see can only be guessed from what it saw around. */
static void integrated_power_is_within_its_bound_but_for_what_was_not_seen(void)
{
	int off = 0, n = 0;

	for_each_seed(2000)
	{
		struct jt_rng r = { seed };
		struct rig g = power_rig(&r, 0);

		off += try_timeline(&g, &r, MAX_KNOTS, false);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows out of bound\n", off, n);
	check(off <= n / 200);
}

static void no_fault_invents_a_joule(void)
{
	int off = 0, n = 0;

	for_each_seed(2000)
	{
		struct jt_rng r = { seed };
		struct rig g = counter_rig(&r, FAULTS);

		off += try_timeline(&g, &r, MAX_KNOTS, true);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows out of bound\n", off, n);
	check(off <= n / 1000);
}

static void no_fault_of_a_power_sensor_invents_a_joule(void)
{
	int off = 0, n = 0;

	for_each_seed(1000)
	{
		struct jt_rng r = { seed };
		struct rig g = power_rig(&r, FAULTS);

		off += try_timeline(&g, &r, MAX_KNOTS, true);
		n += N_WINDOWS;
	}
	printf("# %d of %d windows above bound\n", off, n);
	check(off <= n / 200);
}

/* ---- properties of an attribution ---- */

static struct jt_change changes[MAX_CHANGES];
static size_t n_changes;

struct ledger {
	struct jt_charge charges[MAX_CHANGES];
	size_t n;
	size_t n_final;
	uint64_t sum_uj;
};

static void on_charge(void *user, const struct jt_charge *c)
{
	struct ledger *l = user;

	l->charges[l->n++] = *c;
	l->sum_uj += c->allocated_uj;
}

static void on_final(void *user, uint64_t request)
{
	(void)request;
	((struct ledger *)user)->n_final++;
}

static void add_change(uint64_t t_ns, uint64_t request, enum jt_change_kind kind,
                       enum jt_phase phase, struct jt_rng *r)
{
	bool shared = chance(r, 0.5);

	changes[n_changes++] = (struct jt_change){
		t_ns,
		request,
		kind,
		phase,
		{ shared ? (uint32_t)jt__rng_below(r, 3) * 1000 : 0,
		  chance(r, 0.1) ? 0 : (uint32_t)log_between(r, 1, JT_WEIGHT_MAX) },
	};
}

/* Requests at any time, also before the first and after the last sample; returns how many. */
static size_t make_changes(const struct rig *g, struct jt_rng *r)
{
	size_t n = jt__rng_below(r, 60);

	n_changes = 0;
	for (uint64_t i = 1; i <= n; i++) {
		uint64_t from = (uint64_t)between(r, 9e9, g->end_ns + 1e9);
		uint64_t lasts = (uint64_t)log_between(r, 1e5, 2e10), t = from;

		add_change(from, i, JT_ENTER, JT_PHASE_PREFILL, r);
		while (chance(r, 0.6)) {
			t += jt__rng_below(r, lasts - (t - from) + 1);
			add_change(t, i, JT_ADJUST, JT_PHASE_DECODE, r);
		}
		add_change(from + lasts, i, JT_LEAVE, JT_PHASE_DECODE, r);
	}
	return n;
}

static void shuffle(struct jt_rng *r)
{
	for (size_t i = n_changes; i > 1; i--) {
		size_t j = jt__rng_below(r, i);
		struct jt_change c = changes[i - 1];

		changes[i - 1] = changes[j];
		changes[j] = c;
	}
}

static void check_books(struct jt_attribution *a, const struct ledger *l, bool all_gone)
{
	struct jt_account account;

	jt_attribution_account(a, &account);
	holds(account.error_uj == 0);
	holds(account.meter_uj == account.requests_uj + account.idle_uj + account.unattributed_uj);
	holds(account.requests_uj >= l->sum_uj);
	holds(account.n_late == 0);
	if (all_gone) /* at most 1 µJ is between two charges */
		holds(account.requests_uj - l->sum_uj <= 1);
}

/* All samples and changes, in any order and settled every now and then. */
static void run(const struct rig *g, struct jt_rng *r, size_t max_knots, uint64_t floor_mw,
                double settle, struct ledger *l)
{
	const struct jt_attribution_sink sink = { on_charge, on_final, l };
	struct jt_attribution *a = NULL;
	struct jt_timeline *tl = NULL;
	uint64_t far = (uint64_t)g->end_ns + 60 * S;
	struct jt_account account;
	struct jt_probe all;

	memset(l, 0, sizeof(*l));
	jt_timeline_new(&g->sensor, max_knots, &tl, NULL);
	jt_attribution_new(0, floor_mw, &a, NULL);
	shuffle(r);
	for (size_t i = 0; i < n_changes; i++)
		holds(jt_attribution_post(a, &changes[i]) == JT_OK);
	for (size_t i = 0; i < n_samples; i++) {
		uint64_t closed;

		jt_timeline_add(tl, &samples[i]);
		closed = jt_timeline_closed_ns(tl);
		if (closed && chance(r, settle)) {
			uint64_t back = chance(r, 0.5) ? 0 : jt__rng_below(r, JT_MIN(S, closed));

			jt_attribution_advance(a, tl, closed - back, &sink);
			check_books(a, l, false);
		}
	}
	/* a counter that stands still: the rest of the time passes without energy */
	jt_timeline_add(tl,
	                &(struct jt_sample){ .status = JT_ELOST, .begin_ns = far, .end_ns = far });
	jt_attribution_advance(a, tl, jt_timeline_closed_ns(tl) ? jt_timeline_closed_ns(tl) : far,
	                       &sink);
	check_books(a, l, jt_attribution_n_active(a) == 0);
	jt_attribution_account(a, &account);
	jt__timeline_probe(tl, jt_timeline_closed_ns(tl), &all);
	holds(max_knots != MAX_KNOTS || account.meter_uj == all.e_uj + all.late_uj);
	jt_attribution_free(a);
	jt_timeline_free(tl);
}

static bool same_charges(const struct ledger *a, const struct ledger *b)
{
	bool same = a->n == b->n && a->n_final == b->n_final;

	for (size_t i = 0; i < a->n && same; i++) {
		const struct jt_charge *x = &a->charges[i], *y = &b->charges[i];

		same = x->request == y->request && x->phase == y->phase &&
		       x->allocated_uj == y->allocated_uj && x->bound_uj == y->bound_uj &&
		       x->coverage_ppm == y->coverage_ppm && x->provenance == y->provenance &&
		       (x->dynamic_uj == JT_NONE) == (y->dynamic_uj == JT_NONE) &&
		       (x->dynamic_uj == JT_NONE ||
		        fabs((double)x->dynamic_uj - (double)y->dynamic_uj) <=
		                1 + 1e-6 * (double)x->dynamic_uj);
	}
	return same;
}

static void charges_depend_neither_on_order_nor_on_cadence(void)
{
	static struct ledger once, often;

	for_each_seed(1000)
	{
		struct jt_rng r = { seed };
		struct rig g = counter_rig(&r, (seed % 2 ? FAULTS : 0) | WITH_POWER);
		uint64_t floor_mw = chance(&r, 0.5) ? JT_NONE : g.sensor.max_power_mw / 10;
		size_t n = make_changes(&g, &r);

		run(&g, &r, MAX_KNOTS, floor_mw, 0, &once);
		run(&g, &r, MAX_KNOTS, floor_mw, between(&r, 0, 1), &often);
		holds(once.n_final == n);
		holds(same_charges(&once, &often));
	}
}

static void books_balance_when_memory_is_too_small(void)
{
	static struct ledger l;

	for_each_seed(1000)
	{
		struct jt_rng r = { seed };
		struct rig g =
			seed % 3 ? counter_rig(&r, FAULTS | WITH_POWER) : power_rig(&r, FAULTS);

		make_changes(&g, &r);
		run(&g, &r, 2 + jt__rng_below(&r, 20), JT_NONE, 0.1, &l);
	}
}

int main(void)
{
	choose_seeds();
	test(a_counter_is_within_its_bound);
	test(so_is_what_a_small_memory_has_kept);
	test(an_unexpected_rhythm_breaks_nothing);
	test(integrated_power_is_within_its_bound_but_for_what_was_not_seen);
	test(no_fault_invents_a_joule);
	test(no_fault_of_a_power_sensor_invents_a_joule);
	test(charges_depend_neither_on_order_nor_on_cadence);
	test(books_balance_when_memory_is_too_small);
	return tap_done();
}
