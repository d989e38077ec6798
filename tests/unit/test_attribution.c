/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/base.h"
#include "base/rng.h"
#include "jouletap/attribution.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S

/* Joules are counted here by request and phase; ids are small in these tests. */
#define MAX_REQUESTS 64

static struct book {
	uint64_t uj[MAX_REQUESTS][JT_N_PHASES];
	uint64_t dynamic_uj[MAX_REQUESTS];
	uint64_t bound_uj[MAX_REQUESTS];
	uint32_t coverage_ppm[MAX_REQUESTS];
	enum jt_provenance provenance[MAX_REQUESTS];
	uint64_t sum_uj;
	uint64_t n_final;
} book;

static void on_charge(void *user, const struct jt_charge *c)
{
	uint64_t r = c->request % MAX_REQUESTS;

	(void)user;
	book.uj[r][c->phase] += c->allocated_uj;
	book.dynamic_uj[r] += c->dynamic_uj;
	book.bound_uj[r] += c->bound_uj;
	book.coverage_ppm[r] = c->coverage_ppm;
	book.provenance[r] = c->provenance;
	book.sum_uj += c->allocated_uj;
}

static void on_final(void *user, uint64_t request)
{
	(void)user;
	(void)request;
	book.n_final++;
}

static const struct jt_attribution_sink sink = { on_charge, on_final, NULL };

static uint64_t total_uj(int request)
{
	return book.uj[request][0] + book.uj[request][1] + book.uj[request][2];
}

static const struct jt_sensor sensor = {
	.name = "test", .update_ns = 100 * MS, .step_uj = 1, .max_power_mw = 10000000
};

/* A counter with exactly one update at each sample, so that E(t) is what the test says. */
static struct jt_timeline *timeline;
static uint64_t now_ns, energy_uj;

static void meter_begin(void)
{
	memset(&book, 0, sizeof(book));
	jt_timeline_free(timeline);
	jt_timeline_new(&sensor, 1 << 16, &timeline, NULL);
	now_ns = S;
	energy_uj = 1000000;
	for (int i = 0; i < 2; i++, energy_uj++, now_ns += 100 * MS)
		jt_timeline_add(timeline, &(struct jt_sample){ .valid = JT_HAS_ENERGY,
		                                               .begin_ns = now_ns,
		                                               .end_ns = now_ns,
		                                               .energy_uj = energy_uj });
	now_ns -= 100 * MS;
	energy_uj--;
}

/* @watts for @ms, in steps of 100 ms. */
static void draw(double watts, uint64_t ms)
{
	for (; ms; ms -= 100) {
		now_ns += 100 * MS;
		energy_uj += (uint64_t)(watts * 1e5);
		jt_timeline_add(timeline, &(struct jt_sample){ .valid = JT_HAS_ENERGY,
		                                               .begin_ns = now_ns,
		                                               .end_ns = now_ns,
		                                               .energy_uj = energy_uj });
	}
}

static struct jt_attribution *attribution(uint64_t floor_mw)
{
	struct jt_attribution *a = NULL;

	jt_attribution_new(0, floor_mw, &a, NULL);
	return a;
}

static void post(struct jt_attribution *a, uint64_t t_ns, uint64_t request,
                 enum jt_change_kind kind, enum jt_phase phase, uint32_t own, uint32_t shared)
{
	struct jt_change c = { t_ns, request, kind, phase, { shared, own } };

	check(jt_attribution_post(a, &c) == JT_OK);
}

static void close_all(struct jt_attribution *a)
{
	jt_attribution_advance(a, timeline, jt_timeline_closed_ns(timeline), &sink);
}

static void check_books(const struct jt_attribution *a)
{
	struct jt_account account;

	jt_attribution_account(a, &account);
	check(account.error_uj == 0);
	check(account.meter_uj == account.requests_uj + account.idle_uj + account.unattributed_uj);
	check(account.requests_uj >= book.sum_uj);
}

/* Updates are located half a bracket early; the tests live on that axis. */
#define T0 (closed_at_start)
static uint64_t closed_at_start;

static struct jt_attribution *scene(uint64_t floor_mw)
{
	meter_begin();
	closed_at_start = jt_timeline_closed_ns(timeline);
	return attribution(floor_mw);
}

static void two_requests_share_by_weight_and_time(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	/* 100 W for 3 s; request 1 all the time, request 2 with twice the weight in the middle
	 * second */
	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 10, 0);
	post(a, T0 + S, 2, JT_ENTER, JT_PHASE_DECODE, 20, 0);
	post(a, T0 + 2 * S, 2, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	post(a, T0 + 3 * S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 4000);
	close_all(a);
	check_near(total_uj(1) * 1e-6, 100 + 100 / 3.0 + 100, 1e-3);
	check_near(total_uj(2) * 1e-6, 200 / 3.0, 1e-3);
	check(book.n_final == 2);
	check_books(a);
	jt_attribution_free(a);
}

static void the_shared_part_falls_on_all_alike(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	/* a = 60, b = 30 and 10: of 100 W, 60 are split in halves, 30 and 10 are own */
	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 30, 60);
	post(a, T0, 2, JT_ENTER, JT_PHASE_DECODE, 10, 60);
	post(a, T0 + S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	post(a, T0 + S, 2, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 2000);
	close_all(a);
	check_near(total_uj(1) * 1e-6, 60, 1e-3);
	check_near(total_uj(2) * 1e-6, 40, 1e-3);
	check_books(a);
	jt_attribution_free(a);
}

static void the_largest_shared_weight_counts_and_goes_with_its_last_owner(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 10, 80);
	post(a, T0, 2, JT_ENTER, JT_PHASE_DECODE, 10, 20);
	post(a, T0 + S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0); /* then a = 20 for 2 alone */
	post(a, T0 + S, 3, JT_ENTER, JT_PHASE_DECODE, 30, 20);
	post(a, T0 + 2 * S, 2, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	post(a, T0 + 2 * S, 3, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 3000);
	close_all(a);
	check_near(total_uj(1) * 1e-6, 50, 1e-3);
	check_near(total_uj(2) * 1e-6, 50 + (10 + 10) / 60.0 * 100, 1e-3);
	check_near(total_uj(3) * 1e-6, (10 + 30) / 60.0 * 100, 1e-3);
	check_books(a);
	jt_attribution_free(a);
}

static void phases_of_a_request_are_charged_apart(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	post(a, T0, 1, JT_ENTER, JT_PHASE_PREFILL, 100, 0);
	post(a, T0 + 500 * MS, 1, JT_ADJUST, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + 2 * S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(200, 3000);
	close_all(a);
	check_near(book.uj[1][JT_PHASE_PREFILL] * 1e-6, 100, 1e-3);
	check_near(book.uj[1][JT_PHASE_DECODE] * 1e-6, 300, 1e-3);
	check(book.provenance[1] == JT_MEASURED);
	check_books(a);
	jt_attribution_free(a);
}

static void a_shared_figure_is_derived(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + S, 2, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + 2 * S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	post(a, T0 + 2 * S, 2, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 3000);
	close_all(a);
	check(book.provenance[1] == JT_DERIVED && book.provenance[2] == JT_DERIVED);
	jt_attribution_free(a);
}

static void idle_and_unattributed_are_rows_of_their_own(void)
{
	struct jt_attribution *a = scene(50000);
	struct jt_account account;

	/* idle 1 s at 50 W, 1 s of somebody else's 150 W, then a request for 1 s at 250 W */
	draw(50, 1000);
	draw(150, 1000);
	post(a, T0 + 2 * S, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + 3 * S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(250, 1000);
	close_all(a);
	jt_attribution_account(a, &account);
	/* where in its step the power changed is not certain */
	check_near(account.idle_uj * 1e-6, 100, 1.5);
	check_near(account.unattributed_uj * 1e-6, 100, 1.5);
	check_near(total_uj(1) * 1e-6, 250, 1e-3);
	check_near(book.dynamic_uj[1] * 1e-6, 200, 1e-3);
	check_books(a);
	jt_attribution_free(a);
}

static void the_idle_floor_is_learned_from_idle_seconds(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_account account;

	draw(70, 1500);
	draw(60, 3000);
	close_all(a);
	jt_attribution_account(a, &account);
	check(account.idle_floor_mw == 60000);
	check(account.unattributed_uj == 0);
	post(a, T0 + 4500 * MS, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + 5500 * MS, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(260, 2000);
	close_all(a);
	check_near(book.dynamic_uj[1] * 1e-6, 200, 1e-3);
	jt_attribution_free(a);
}

static void unknown_dynamic_joules_are_not_zero(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 2000);
	close_all(a);
	check(book.dynamic_uj[1] == JT_NONE);
	jt_attribution_free(a);
}

static void weightless_requests_leave_the_energy_unattributed(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_account account;

	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 0, 0);
	post(a, T0 + S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 1000);
	close_all(a);
	jt_attribution_account(a, &account);
	check_near(account.unattributed_uj * 1e-6, 100, 1e-3);
	check(total_uj(1) == 0);
	check_books(a);
	jt_attribution_free(a);
}

static void nothing_is_final_before_the_watermark(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_charge charges[JT_N_PHASES];

	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + 450 * MS, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 400);
	close_all(a);
	check(book.n_final == 0);
	check(jt_attribution_peek(a, 1, charges) == JT_OK);
	check_near(charges[JT_PHASE_DECODE].allocated_uj * 1e-6, 40, 1e-3);
	draw(100, 100);
	close_all(a);
	check(book.n_final == 1); /* one sensor period after its end */
	check_near(total_uj(1) * 1e-6, 45, 0.2);
	check(jt_attribution_peek(a, 1, charges) == JT_ENOENT);
	jt_attribution_free(a);
}

/* Its counter stood still while the GPU worked: what it shows in the end was used, by nobody knows
 * whom. */
static void energy_that_is_known_too_late_is_unattributed_not_lost(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_account account;
	uint64_t before_uj;

	draw(100, 1000);
	close_all(a);
	before_uj = jt_timeline_at(timeline, now_ns);
	for (int i = 0; i < 80; i++) { /* 8 s without a change */
		now_ns += 100 * MS;
		jt_timeline_add(timeline, &(struct jt_sample){ .valid = JT_HAS_ENERGY,
		                                               .begin_ns = now_ns,
		                                               .end_ns = now_ns,
		                                               .energy_uj = energy_uj });
		close_all(a);
	}
	energy_uj += 800000000;
	draw(100, 1000);
	close_all(a);
	jt_attribution_account(a, &account);
	check(account.meter_uj == before_uj + 800000000 + 100000000);
	check(account.unattributed_uj > 600000000 && account.unattributed_uj < 800000000);
	check_books(a);
	jt_attribution_free(a);
}

static void late_changes_act_now_and_are_counted(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_account account;

	draw(100, 1000);
	close_all(a);
	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	draw(100, 1000);
	close_all(a);
	post(a, T0 + 2 * S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 100);
	close_all(a);
	jt_attribution_account(a, &account);
	check(account.n_late == 1);
	check_near(total_uj(1) * 1e-6, 100, 1e-3);
	check_books(a);
	jt_attribution_free(a);
}

/*
 * Half of it was before the timeline: charged for the other half, not late, and covered for half.
 */
static void what_was_before_the_timeline_is_not_covered(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_account account;

	post(a, jt_timeline_start_ns(timeline) - 500 * MS, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, jt_timeline_start_ns(timeline) + 500 * MS, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 1000);
	close_all(a);
	jt_attribution_account(a, &account);
	check(account.n_late == 0);
	check(book.n_final == 1);
	check_near(book.coverage_ppm[1], 500000, 1000);
	jt_attribution_free(a);
}

/* A sensor that never says a word: requests come and go and leave nothing behind. */
static void a_silent_sensor_does_not_collect_changes(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_timeline *silent = NULL;
	struct jt_account account;

	jt_timeline_new(&sensor, 16, &silent, NULL);
	jt__alloc_fail_at(6); /* 10 000 waiting changes would need more */
	for (uint64_t i = 1; i <= 10000; i++) {
		post(a, i * MS, i, JT_ENTER, JT_PHASE_PREFILL, 1, 0);
		post(a, i * MS + 1, i, JT_LEAVE, JT_PHASE_PREFILL, 0, 0);
		jt_attribution_advance(a, silent, i * MS + 2, &sink);
	}
	jt__alloc_fail_at(0);
	jt_attribution_account(a, &account);
	check(book.n_final == 10000 && book.sum_uj == 0 && account.meter_uj == 0);
	jt_timeline_free(silent);
	jt_attribution_free(a);
}

/* Memory may run out at any change but this: else it would be charged for ever. */
static void whoever_came_in_can_leave(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	uint64_t n = 0;

	while (n < 1000) {
		struct jt_change c = { T0, n, JT_ENTER, JT_PHASE_PREFILL, { 0, 1 } };

		jt__alloc_fail_at(n == 500 ? 1 : 0);
		if (jt_attribution_post(a, &c) < 0)
			break;
		n++;
	}
	for (uint64_t i = 0; i < n; i++) {
		jt__alloc_fail_at(1);
		post(a, T0 + MS, i, JT_LEAVE, JT_PHASE_PREFILL, 0, 0);
	}
	jt__alloc_fail_at(0);
	draw(100, 1000);
	close_all(a);
	check(n >= 500 && book.n_final == n && jt_attribution_n_active(a) == 0);
	jt_attribution_free(a);
}

static void strange_changes_are_harmless(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	const struct jt_change no_phase = { T0, 1, JT_ENTER, JT_N_PHASES, { 0, 1 } };
	struct jt_change heavy = { T0, 1, JT_ENTER, JT_PHASE_DECODE, { 0, JT_WEIGHT_MAX + 1 } };

	check(jt_attribution_post(a, &heavy) == JT_EINVAL);
	check(jt_attribution_post(a, &no_phase) == JT_EINVAL);
	post(a, T0, 1, JT_LEAVE, JT_PHASE_DECODE, 0,
	     0); /* never came in: final, without a charge */
	post(a, T0 + 100, 2, JT_ADJUST, JT_PHASE_DECODE, 5, 0);
	post(a, T0 + 200, 3, JT_ENTER, JT_PHASE_PREFILL, 5, 0);
	post(a, T0 + 300, 3, JT_ENTER, JT_PHASE_DECODE, 5, 0); /* again: an adjustment */
	post(a, T0 + S, 3, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 2000);
	close_all(a);
	check(book.n_final == 2 && total_uj(1) == 0);
	check_near(total_uj(3) * 1e-6, 100, 1e-3);
	check_books(a);
	jt_attribution_free(a);
}

/* ---- properties ---- */

#define N_EVENTS 1000000

/* Random comings and goings on a random meter; the books must balance to the µJ at every look. */
static void a_million_random_events_conserve_energy_to_the_microjoule(void)
{
	struct jt_attribution *a = scene(JT_NONE);
	struct jt_rng rng = { 42 };
	bool active[MAX_REQUESTS] = { 0 };
	struct jt_account account;
	uint64_t t = T0;

	for (int i = 0; i < N_EVENTS; i++) {
		uint64_t r = jt__rng_below(&rng, MAX_REQUESTS);
		bool leave = active[r] && jt__rng_below(&rng, 3) == 0;

		t += jt__rng_below(&rng, 200000);
		post(a, t, r,
		     leave       ? JT_LEAVE
		     : active[r] ? JT_ADJUST
		                 : JT_ENTER,
		     (enum jt_phase)jt__rng_below(&rng, JT_N_PHASES),
		     (uint32_t)jt__rng_below(&rng, JT_WEIGHT_MAX),
		     (uint32_t)jt__rng_below(&rng, 4) * 1000000);
		active[r] = !leave;
		while (now_ns < t + 200 * MS)
			draw((double)jt__rng_below(&rng, 700000) / 1000, 100);
		if (i % 1000 == 0) {
			close_all(a);
			check_books(a);
		}
	}
	for (uint64_t r = 0; r < MAX_REQUESTS; r++)
		post(a, t, r, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(300, 500);
	close_all(a);
	check_books(a);
	jt_attribution_account(a, &account);
	check(account.n_active == 0);
	/* the charges that went out, counted here one by one */
	check(account.requests_uj - book.sum_uj <= 1);
	check(account.meter_uj == jt_timeline_at(timeline, now_ns));
	printf("# %.3f MJ in %d events: charges %llu + idle %llu + unattributed %llu = meter %llu "
	       "uJ\n",
	       account.meter_uj * 1e-12, N_EVENTS, (unsigned long long)book.sum_uj,
	       (unsigned long long)account.idle_uj, (unsigned long long)account.unattributed_uj,
	       (unsigned long long)account.meter_uj);
	jt_attribution_free(a);
}

static void the_order_of_arrival_does_not_matter(void)
{
	enum { N = 2000 };
	struct jt_change changes[N];
	struct book first = { 0 };

	for (int round = 0; round < 5; round++) {
		struct jt_attribution *a = scene(JT_NONE);
		struct jt_rng rng = { 9 }, shuffle = { (uint64_t)round };

		for (int i = 0; i < N; i++)
			changes[i] = (struct jt_change){
				.t_ns = T0 + jt__rng_below(&rng, 900) *
				                     MS, /* many at the same instant */
				.request = jt__rng_below(&rng, MAX_REQUESTS),
				.kind = (enum jt_change_kind)jt__rng_below(&rng, 3),
				.phase = (enum jt_phase)jt__rng_below(&rng, JT_N_PHASES),
				.weight = { (uint32_t)jt__rng_below(&rng, 100),
				            (uint32_t)jt__rng_below(&rng, 1000) },
			};
		for (int i = N - 1; round && i > 0; i--) {
			int k = (int)jt__rng_below(&shuffle, (uint64_t)i + 1);
			struct jt_change c = changes[i];

			changes[i] = changes[k];
			changes[k] = c;
		}
		for (int i = 0; i < N; i++)
			check(jt_attribution_post(a, &changes[i]) == JT_OK);
		draw(333, 1500);
		close_all(a);
		if (!round)
			first = book;
		check(memcmp(&first, &book, sizeof(book)) == 0);
		check_books(a);
		jt_attribution_free(a);
	}
}

static void equal_requests_get_equal_joules(void)
{
	struct jt_attribution *a = scene(JT_NONE);

	for (uint64_t r = 0; r < 48; r++) {
		post(a, T0, r, JT_ENTER, JT_PHASE_PREFILL, 777, 1234);
		post(a, T0 + 333 * MS, r, JT_ADJUST, JT_PHASE_DECODE, 55, 1234);
		post(a, T0 + 1777 * MS, r, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	}
	draw(431.7, 3000);
	close_all(a);
	for (int r = 1; r < 48; r++)
		for (int p = 0; p < JT_N_PHASES; p++) /* whole µJ: one more or less */
			check(llabs((long long)(book.uj[r][p] - book.uj[0][p])) <= 1);
	check_books(a);
	jt_attribution_free(a);
}

static void running_out_of_memory_is_an_error_and_loses_nothing(void)
{
	struct jt_attribution *a = NULL;

	jt__alloc_fail_at(1);
	check(jt_attribution_new(0, JT_NONE, &a, NULL) == JT_ENOMEM && !a);
	jt__alloc_fail_at(0);
	a = scene(JT_NONE);
	for (uint64_t nth = 1; nth <= 3; nth++) {
		struct jt_change c = { T0, 1, JT_ENTER, JT_PHASE_DECODE, { 0, 1 } };

		jt__alloc_fail_at(nth);
		check(jt_attribution_post(a, &c) == JT_ENOMEM);
		jt__alloc_fail_at(0);
	}
	post(a, T0, 1, JT_ENTER, JT_PHASE_DECODE, 1, 0);
	post(a, T0 + S, 1, JT_LEAVE, JT_PHASE_DECODE, 0, 0);
	draw(100, 2000);
	close_all(a);
	check_near(total_uj(1) * 1e-6, 100, 1e-3);
	jt_attribution_free(a);
}

int main(void)
{
	test(two_requests_share_by_weight_and_time);
	test(the_shared_part_falls_on_all_alike);
	test(the_largest_shared_weight_counts_and_goes_with_its_last_owner);
	test(phases_of_a_request_are_charged_apart);
	test(a_shared_figure_is_derived);
	test(idle_and_unattributed_are_rows_of_their_own);
	test(the_idle_floor_is_learned_from_idle_seconds);
	test(unknown_dynamic_joules_are_not_zero);
	test(weightless_requests_leave_the_energy_unattributed);
	test(nothing_is_final_before_the_watermark);
	test(energy_that_is_known_too_late_is_unattributed_not_lost);
	test(late_changes_act_now_and_are_counted);
	test(what_was_before_the_timeline_is_not_covered);
	test(a_silent_sensor_does_not_collect_changes);
	test(whoever_came_in_can_leave);
	test(strange_changes_are_harmless);
	test(a_million_random_events_conserve_energy_to_the_microjoule);
	test(the_order_of_arrival_does_not_matter);
	test(equal_requests_get_equal_joules);
	test(running_out_of_memory_is_an_error_and_loses_nothing);
	jt_timeline_free(timeline);
	return tap_done();
}
