/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a timeline is told of requests may be true, late, incomplete or a lie, and power may have
 * nothing to do with it: totals stay the counter's, whatever was told, and the bound holds.
 */
#include "timeline/knots.h"
#include "virtual_sensor.h"

#define MAX_TOLD 16384
#define N_WINDOWS 100

static struct told {
	struct jt_activity change;
	uint64_t heard_ns; /* before the first sample that ends after this */
} told[MAX_TOLD];
static size_t n_told;

static void tell(double t_ns, double heard_ns, int prefill, int decode)
{
	if (n_told == MAX_TOLD || t_ns < 0)
		return;
	told[n_told++] = (struct told){ { (uint64_t)t_ns, prefill, decode }, (uint64_t)heard_ns };
}

static int by_time(const void *a, const void *b)
{
	const struct told *x = a, *y = b;

	return (x->heard_ns > y->heard_ns) - (x->heard_ns < y->heard_ns);
}

/* ---- loads ---- */

struct event {
	double t_ns;
	int prefill, decode;
};
static struct event events[MAX_TOLD];
static size_t n_events;

static int by_t(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->t_ns > y->t_ns) - (x->t_ns < y->t_ns);
}

struct load {
	double idle_mw, prefill_mw, decode_mw;
	double flicker;
	double rate; /* requests a second */
	double prefill_s, decode_s;
};

static double draws(struct jt_rng *r, const struct load *l, int prefill, int decode)
{
	double d = decode <= 0 ? 0 : l->decode_mw * (1 + 0.3 * log2((double)decode));
	if (prefill > 0)
		return l->prefill_mw * between(r, 0.92, 1);
	return JT_MIN(l->idle_mw + d, l->prefill_mw);
}

static void make_serving(struct jt_rng *r, const struct load *l, double end_ns)
{
	double t = 10.2e9, at = 0;
	int prefill = 0, decode = 0;

	n_events = 0;
	while (t < end_ns && n_events + 3 < MAX_TOLD) {
		double first, end;
		t += -log(1 - jt__rng_unit(r)) / l->rate * 1e9;
		first = t + between(r, 0.3, 1.7) * l->prefill_s * 1e9;
		end = first + between(r, 0.3, 1.7) * l->decode_s * 1e9;
		events[n_events++] = (struct event){ t, 1, 0 };
		events[n_events++] = (struct event){ first, -1, 1 };
		events[n_events++] = (struct event){ end, 0, -1 };
	}
	qsort(events, n_events, sizeof(*events), by_t);
	truth.n = truth.at = 0;
	truth.t_ns[0] = truth.uj[0] = 0;
	for (size_t i = 0; i <= n_events && truth.n < MAX_STRETCHES - 1; i++) {
		double until = i < n_events ? events[i].t_ns : 1e12;
		double mw = draws(r, l, prefill, decode);

		while (at < until && truth.n < MAX_STRETCHES - 1 && at < end_ns + 2e9) {
			double ns = at < 9e9 ? 9e9 - at : l->flicker > 0 ? between(r, 10, 40) * MS : until - at;
			ns = JT_MIN(ns, until - at);
			if (ns <= 0) break;
			go_on(ns, mw * (1 + l->flicker * between(r, -1, 1)));
			at += ns;
		}
		if (i < n_events) {
			prefill += events[i].prefill;
			decode += events[i].decode;
		}
	}
	go_on(1e12, l->idle_mw);
	n_told = 0;
}

enum { TRUE, LATE, MISSING, LYING };
static void tell_all(struct jt_rng *r, int how)
{
	for (size_t i = 0; i < n_events; i++) {
		const struct event *e = &events[i];
		double t = e->t_ns - between(r, 1, 8) * MS, heard = t;
		int p = e->prefill, d = e->decode;

		if (how == LATE && chance(r, 0.3))
			heard = t + log_between(r, 1, 3000) * MS;
		if (how == LATE && chance(r, 0.1))
			t += between(r, 0, 100) * MS, heard = JT_MAX(heard, t);
		if (how == MISSING && chance(r, 0.1))
			continue;
		if (how == LYING) {
			if (chance(r, 0.01)) p = (int)jt__rng_below(r, 5) - 2;
			if (chance(r, 0.01)) d = (int)jt__rng_below(r, 5) - 2;
			if (chance(r, 0.0005)) d = INT32_MIN;
			if (chance(r, 0.0005)) d = INT32_MAX;
		}
		tell(t, heard, p, d);
	}
	qsort(told, n_told, sizeof(*told), by_time);
}

static void make_square(double end_ns, double period_ns, double low, double high)
{
	truth.n = truth.at = 0;
	truth.t_ns[0] = truth.uj[0] = 0;
	go_on(9e9, low);
	while (truth.t_ns[truth.n] < end_ns + 2e9 && truth.n < MAX_STRETCHES - 2)
		go_on(period_ns / 2, truth.n % 2 ? high : low);
	go_on(1e12, low);
	n_told = 0;
}

/* ---- */

struct result { long n, in, in_plain, steps; double bound, bound_plain, err, err_plain, e; long lo; };

static void feed_both(const struct rig *g, struct jt_timeline **ret_spans, struct jt_timeline **ret_plain, struct result *res)
{
	struct jt_timeline *a, *b;
	size_t next = 0;
	uint64_t ups = 0;

	jt_timeline_new(&g->sensor, MAX_KNOTS, &a, NULL);
	jt_timeline_new(&g->sensor, MAX_KNOTS, &b, NULL);
	for (size_t i = 0; i < n_samples; i++) {
		uint64_t closed;
		for (; next < n_told && told[next].heard_ns <= samples[i].end_ns; next++)
			jt_timeline_note(a, &told[next].change);
		jt_timeline_add(a, &samples[i]);
		jt_timeline_add(b, &samples[i]);
		closed = jt_timeline_closed_ns(a);
		holds(closed == jt_timeline_closed_ns(b));
		holds(jt_timeline_at(a, closed) == jt_timeline_at(b, closed));
		if (a->stats.n_updates > ups) { res->steps++; ups = a->stats.n_updates; }
	}
	*ret_spans = a;
	*ret_plain = b;
}

static void judge(const struct rig *g, struct jt_rng *r, double lo_ms, double hi_ms, double skip_s, struct result *res)
{
	struct jt_timeline *a, *b;
	uint64_t start, end;

	feed_both(g, &a, &b, res);
	start = jt_timeline_start_ns(a) + (uint64_t)(skip_s * 1e9), end = jt_timeline_closed_ns(a);
	for (int i = 0; i < N_WINDOWS && end > start; i++) {
		uint64_t f = start + jt__rng_below(r, end - start), t = f + (uint64_t)(log_between(r, lo_ms, hi_ms) * MS);
		struct jt_interval x = {0}, y = {0};
		double true_;
		if (t > end) continue;
		holds(jt_timeline_window(a, f, t, &x) == JT_OK);
		holds(jt_timeline_window(b, f, t, &y) == JT_OK);
		true_ = true_uj((double)t) - true_uj((double)f);
		res->n++;
		res->in += fabs((double)x.energy_uj - true_) <= (double)x.bound_uj + 1;
		res->in_plain += fabs((double)y.energy_uj - true_) <= (double)y.bound_uj + 1;
		res->bound += (double)x.bound_uj; res->bound_plain += (double)y.bound_uj;
		res->err += fabs((double)x.energy_uj/(1-g->gain*0) - true_); res->err_plain += fabs((double)y.energy_uj - true_); res->e += true_;
	}
	jt_timeline_free(a);
	jt_timeline_free(b);
}

static struct rig a_rig(struct jt_rng *r, double update_ms, double window_ms, int what)
{
	struct rig g = { .sensor = { .name = "c", .what = "", .step_uj = 1000, .max_power_mw = 500000 }, .what = what | (window_ms >= 0 ? WITH_POWER : 0) };

	g.sensor.update_ns = (uint64_t)(update_ms * MS);
	g.sensor.window_ns = window_ms > 0 ? (uint64_t)(window_ms * MS) : 0;
	g.period_ns = update_ms * MS * between(r, 0.995, 1.005);
	g.phase_ns = between(r, 0, 1) * g.period_ns;
	g.jitter = chance(r, 0.5) ? 0 : JT_MIN(0.01, 1/update_ms);
	g.salt = jt__rng_u64(r);
	g.offset_uj = (uint64_t)1e9;
	g.noise_mw = 1500;
	g.power_late_ns = between(r, 0, 1) * g.period_ns;
	g.poll_lo_ns = JT_MAX(update_ms / 20, 2) * MS; g.poll_hi_ns = g.poll_lo_ns * 1.1;
	g.end_ns = 10e9 + JT_MIN(60, 8000 * g.poll_lo_ns * 1e-9) * 1e9;
	return g;
}

static void show(const char *what, const struct result *x)
{
	printf("# %-46s n %6ld in %.4f plain %.4f err %5.2f%% (%5.2f%%) bound %6.1f%% (%6.1f%%)\n", what, x->n,
		(double)x->in / x->n, (double)x->in_plain / x->n, 100 * x->err / x->e, 100 * x->err_plain / x->e, 100 * x->bound / x->e, 100 * x->bound_plain / x->e);
	fflush(stdout);
}

static void explore(void)
{
	static const struct { double u, w; const char *n; } sensors[] = {
		{ 100, 25, "100/25" }, { 100, 100, "100/100" }, { 100, -1, "100/none" }, { 20, 10, "20/10" }, { 1000, 100, "1000/100" } };
	static const char *hows[] = { "true", "late", "missing", "lying" };
	static const double periods[] = { .05, .1, .2, .3, .45, .5, .9, .99, 1, 1.01, 1.1, 2, 3.3, 10, 30 };
	char text[100];

	for (int s = 0; s < 5; s++) {
		for (int how = 0; how < 4; how++)
			for (int k = 0; k < 3; k++) {
			static const struct load loads[] = { { 60e3, 380e3, 120e3, 0.03, 1.5, .15, 1 }, { 60e3, 380e3, 120e3, 0.2, 1.5, .15, 1 }, { 60e3, 380e3, 30e3, 0.03, 50, .01, .5 } };
			struct result res = { 0 };
			for_each_seed(20) {
				struct jt_rng r = { seed };
				struct rig g = a_rig(&r, sensors[s].u, sensors[s].w, 0);
				make_serving(&r, &loads[k], g.end_ns);
				tell_all(&r, how);
				make_samples(&r, &g);
				judge(&g, &r, 20, 1000, 0, &res);
			}
			snprintf(text, sizeof(text), "serving%d %s %s", k, sensors[s].n, hows[how]);
			show(text, &res);
		}
		for (size_t p = 0; p < sizeof(periods) / sizeof(*periods); p++) {
			struct result res = { 0 };
			for_each_seed(20) {
				struct jt_rng r = { seed };
				struct rig g = a_rig(&r, sensors[s].u, sensors[s].w, 0);
				double period = g.period_ns * periods[p];
				if (seed % 2) period *= between(&r, .98, 1.02);
				make_square(g.end_ns, period, 60e3, 300e3);
				tell(9.5e9, 9.5e9, 0, 1);
				make_samples(&r, &g);
				judge(&g, &r, sensors[s].u * .2, sensors[s].u * 10, 0, &res);
			}
			snprintf(text, sizeof(text), "square %s period %.2f", sensors[s].n, periods[p]);
			show(text, &res);
		}
	}
}

int main(void)
{
	choose_seeds();
	test(explore);
	return tap_done();
}
