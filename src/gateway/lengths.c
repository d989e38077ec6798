/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "base/base.h"
#include "gateway/lengths.h"

#define MEMORY 64 /* answers: from there on the latest count 1/64 each, and old ones fade */

/* What is kept of answers, in the 64 bits that one instruction exchanges. */
struct seen {
	float mean_log;
	uint32_t n; /* up to MEMORY */
};
_Static_assert(sizeof(struct seen) == sizeof(uint64_t), "fits into one atomic");

static struct seen unpack(uint64_t bits)
{
	struct seen s;

	memcpy(&s, &bits, sizeof(s));
	return s;
}

static void learn(_Atomic uint64_t *place, float log_tokens, bool cut)
{
	uint64_t before = atomic_load_explicit(place, memory_order_relaxed), after;

	do {
		struct seen s = unpack(before);

		if (cut && log_tokens < s.mean_log)
			return;
		s.n = JT_MIN(s.n + 1, MEMORY);
		s.mean_log += (log_tokens - s.mean_log) / (float)s.n;
		memcpy(&after, &s, sizeof(after));
	} while (!atomic_compare_exchange_weak_explicit(place, &before, after, memory_order_relaxed,
	                                                memory_order_relaxed));
}

static size_t place_of(const char *task_class)
{
	return jt__hash_text(task_class, 0) % JT_LENGTHS_CLASSES;
}

void jt__lengths_learn(struct jt_lengths *l, const char *task_class, double tokens, bool cut)
{
	float log_tokens = (float)log(fmax(tokens, 1));

	learn(&l->all, log_tokens, cut);
	learn(&l->classes[place_of(task_class)], log_tokens, cut);
}

double jt__lengths_expect(const struct jt_lengths *l, const char *task_class)
{
	const _Atomic uint64_t *place = &l->classes[place_of(task_class)];
	struct seen s = unpack(atomic_load_explicit(place, memory_order_relaxed));

	if (!s.n)
		s = unpack(atomic_load_explicit(&l->all, memory_order_relaxed));
	return s.n ? exp((double)s.mean_log) : 0;
}
