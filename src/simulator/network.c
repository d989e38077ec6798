/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of n ranks passes chunks on for n - 1 steps, an all-reduce for twice as many, the first
 * half of which sums up: two chunks are read and one is written. With all ranks there at once this
 * gives what was measured of the reference for 2, 4 and 8 ranks:
 *   all-reduce      2 (n-1) s(m) + (n-1) r(m) + 10 (2n-1),  m = size / n
 *   reduce-scatter    (n-1) (s(m) + r(m))     + 10 n,       m = size / n
 *   all-gather        (n-1) s(size)           + 10 n
 */
#include "simulator/network.h"

#define ENDPOINT_NS 10 /* before a rank's first message, and behind each that it gets */

uint64_t jt__link_ns(const struct jt_link *l, uint64_t bytes)
{
	return (uint64_t)(l->latency_ns + (double)bytes / l->bytes_per_ns);
}

static uint64_t reduce_ns(const struct jt_link *l, uint64_t bytes)
{
	return 3 * (uint64_t)((double)bytes / l->reduce_bytes_per_ns);
}

static bool all_equal(const uint64_t *t, uint32_t step, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		if (t[i * step] != t[0])
			return false;
	}
	return true;
}

/* One step for every rank: its neighbour's chunk is there, and so is the rank itself. */
static void pass_on(uint64_t *x, uint32_t n, uint64_t send_ns, uint64_t work_ns,
                    struct jt_watch *watch)
{
	uint64_t before = x[n - 1]; /* of rank i - 1, as it was */

	for (uint32_t i = 0; i < n; i++) {
		uint64_t self = x[i];

		jt__tell(watch, before + send_ns);
		x[i] = JT_MAX(before + send_ns, self) + ENDPOINT_NS;
		jt__tell(watch, x[i]);
		x[i] += work_ns;
		jt__tell(watch, x[i]);
		before = self;
	}
}

void jt__ring(const struct jt_link *l, enum jt_collective kind, uint64_t bytes, uint64_t *t,
              uint32_t step, uint32_t n, struct jt_watch *watch)
{
	uint64_t chunk = kind == JT_ALL_GATHER ? bytes : bytes / n;
	uint64_t send_ns = jt__link_ns(l, chunk), sum_ns = reduce_ns(l, chunk);
	uint32_t summing = kind == JT_ALL_GATHER ? 0 : n - 1;
	uint32_t passing = kind == JT_REDUCE_SCATTER ? 0 : n - 1;
	uint64_t x[JT_RING_MAX];

	if (all_equal(t, step, n)) {
		uint64_t ns = ENDPOINT_NS + summing * (send_ns + ENDPOINT_NS + sum_ns) +
		              passing * (send_ns + ENDPOINT_NS);

		if (!jt__hears(watch, t[0], t[0] + ns)) {
			for (uint32_t i = 0; i < n; i++)
				t[i * step] += ns;
			return;
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		x[i] = t[i * step] + ENDPOINT_NS;
		jt__tell(watch, x[i]);
	}
	for (uint32_t k = 0; k < summing; k++)
		pass_on(x, n, send_ns, sum_ns, watch);
	for (uint32_t k = 0; k < passing; k++)
		pass_on(x, n, send_ns, 0, watch);
	for (uint32_t i = 0; i < n; i++)
		t[i * step] = x[i];
}

double jt__ring_bytes(enum jt_collective kind, double bytes, uint32_t n)
{
	return (kind == JT_ALL_REDUCE ? 2.0 : 1.0) * (n - 1) * (bytes / n);
}
