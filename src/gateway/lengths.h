/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LENGTHS_H
#define JT_LENGTHS_H
/*
 * How long answers are, learned from those that were seen: of each task class the mean of the log
 * of their tokens, which is near the median and lets no giant count for hundreds. Classes come from
 * clients: they share a fixed number of places, by hash. Lock-free, any thread; starts as zeros.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define JT_LENGTHS_CLASSES 64

struct jt_lengths {
	_Atomic uint64_t all;
	_Atomic uint64_t classes[JT_LENGTHS_CLASSES];
};

/*
 * One answer had so many tokens. @cut: it would have gone on, so that it says nothing if more are
 * expected.
 */
void jt__lengths_learn(struct jt_lengths *l, const char *task_class, double tokens, bool cut);
/* What the next one is expected to have: of its class, or of all where that is new; 0: none was
 * seen. */
double jt__lengths_expect(const struct jt_lengths *l, const char *task_class);

#endif
