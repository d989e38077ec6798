/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "simulator/network.h"

static const struct jt_link slow = { .bytes_per_ns = 4,
	                             .latency_ns = 100,
	                             .reduce_bytes_per_ns = 8 };

static uint64_t ring_of(enum jt_collective kind, uint64_t bytes, uint32_t n)
{
	uint64_t t[8] = { 0 };

	jt__ring(&slow, kind, bytes, t, 1, n, NULL);
	for (uint32_t i = 1; i < n; i++)
		check(t[i] == t[0]);
	return t[0];
}

static void a_message_takes_latency_and_bytes_over_bandwidth(void)
{
	struct jt_link gb16 = { .bytes_per_ns = 16 * 1.073741824, .latency_ns = 20000 };

	check(jt__link_ns(&slow, 0) == 100);
	check(jt__link_ns(&slow, 4000) == 1100);
	check(jt__link_ns(&slow, 4003) == 1100); /* whole nanoseconds, none rounded up */
	check_near((double)jt__link_ns(&gb16, UINT64_C(16) << 30), 1000020000, 1);
}

/* With s(m) = 100 + m / 4 and r(m) = 3 m / 8. */
static void rings_of_2_4_and_8_ranks_follow_their_formulas(void)
{
	for (uint32_t n = 2; n <= 8; n *= 2) {
		uint64_t size = 64000, m = size / n, s = 100 + m / 4, r = 3 * (m / 8);

		check(ring_of(JT_ALL_REDUCE, size, n) ==
		      2 * (n - 1) * s + (n - 1) * r + 10 * (2 * n - 1));
		check(ring_of(JT_REDUCE_SCATTER, size, n) == (n - 1) * (s + r) + 10 * n);
		check(ring_of(JT_ALL_GATHER, size, n) == (n - 1) * (100 + size / 4) + 10 * n);
	}
	check(ring_of(JT_ALL_REDUCE, 64000, 2) == 28230); /* 2 x 8100 + 12000 + 30 */
}

static void nothing_still_takes_the_messages(void)
{
	check(ring_of(JT_ALL_REDUCE, 0, 2) == 2 * 100 + 30);
	check(ring_of(JT_ALL_GATHER, 0, 4) == 3 * 100 + 40);
}

static void who_watches_changes_nothing(void)
{
	struct jt_rng rng = { 1 };

	for (int turn = 0; turn < 1000; turn++) {
		uint32_t n = 2 + (uint32_t)jt__rng_below(&rng, 7);
		enum jt_collective kind = (enum jt_collective)jt__rng_below(&rng, 3);
		uint64_t bytes = jt__rng_below(&rng, 100000), a[8], b[8];
		bool late = turn % 2;
		struct jt_watch w = { 0, JT_NONE };

		for (uint32_t i = 0; i < n; i++)
			a[i] = b[i] = late ? jt__rng_below(&rng, 50000) : 7;
		jt__ring(&slow, kind, bytes, a, 1, n, NULL);
		jt__ring(&slow, kind, bytes, b, 1, n, &w);
		check(memcmp(a, b, n * sizeof(*a)) == 0);
	}
}

/* A late rank holds up its neighbour at once and the others a step later each, never hastens any.
 */
static void a_late_rank_delays_the_others_by_no_more_than_itself(void)
{
	uint64_t even = ring_of(JT_ALL_REDUCE, 64000, 4);

	for (uint64_t late_ns = 0; late_ns < 100000; late_ns += 5000) {
		uint64_t t[4] = { 0, 0, late_ns, 0 };

		jt__ring(&slow, JT_ALL_REDUCE, 64000, t, 1, 4, NULL);
		for (int i = 0; i < 4; i++) {
			check(t[i] >= even && t[i] <= even + late_ns);
			check(t[i] >= late_ns);
		}
	}
}

static void a_late_rank_of_two_by_hand(void)
{
	uint64_t t[2] = { 0, 1000 };

	/* Ready at 10 and 1010; a message takes 350. Rank 0 hears at 1360, rank 1 went on at 1010.
	 */
	jt__ring(&slow, JT_ALL_GATHER, 1000, t, 1, 2, NULL);
	check(t[0] == 1370 && t[1] == 1020);
}

static void ranks_may_lie_apart(void)
{
	uint64_t t[6] = { 5, 111, 5, 222, 9, 333 }, near[3] = { 5, 5, 9 };

	jt__ring(&slow, JT_REDUCE_SCATTER, 3000, t, 2, 3, NULL);
	jt__ring(&slow, JT_REDUCE_SCATTER, 3000, near, 1, 3, NULL);
	for (int i = 0; i < 3; i++)
		check(t[2 * i] == near[i]);
	check(t[1] == 111 && t[3] == 222 && t[5] == 333);
}

/* Every instant that is told when asked from 0, from just behind the one before on, rises to the
 * end. */
static void a_watch_goes_from_event_to_event(void)
{
	uint64_t from_ns = 0, last_ns = 0, end_ns = 0;
	uint32_t n_events = 0;

	for (;;) {
		uint64_t t[4] = { 0, 300, 0, 20 };
		struct jt_watch w = { from_ns, JT_NONE };

		jt__ring(&slow, JT_ALL_REDUCE, 4000, t, 1, 4, &w);
		for (int i = 0; i < 4; i++)
			end_ns = JT_MAX(end_ns, t[i]);
		if (w.first_ns == JT_NONE)
			break;
		check(w.first_ns >= from_ns);
		last_ns = w.first_ns;
		from_ns = last_ns + 1;
		n_events++;
	}
	check(last_ns == end_ns && n_events > 12);
}

static void bytes_on_the_links(void)
{
	check_near(jt__ring_bytes(JT_ALL_REDUCE, 800, 4), 1200, 0);
	check_near(jt__ring_bytes(JT_ALL_GATHER, 800, 4), 600, 0);
	check_near(jt__ring_bytes(JT_REDUCE_SCATTER, 800, 4), 600, 0);
	check_near(jt__ring_bytes(JT_ALL_REDUCE, 800, 1), 0, 0);
}

int main(void)
{
	test(a_message_takes_latency_and_bytes_over_bandwidth);
	test(rings_of_2_4_and_8_ranks_follow_their_formulas);
	test(nothing_still_takes_the_messages);
	test(who_watches_changes_nothing);
	test(a_late_rank_delays_the_others_by_no_more_than_itself);
	test(a_late_rank_of_two_by_hand);
	test(ranks_may_lie_apart);
	test(a_watch_goes_from_event_to_event);
	test(bytes_on_the_links);
	return tap_done();
}
