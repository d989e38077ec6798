/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_HISTOGRAM_H
#define JT_HISTOGRAM_H
/*
 * How often a figure fell where, between boundaries that are given once. Whole µ or n units, so
 * that the sum does not drift. Pure; belongs to one thread.
 */
#include <stddef.h>
#include <stdint.h>

#define JT_MAX_BUCKETS 24

/* What a kind of histogram looks like, shared by all of the kind. */
struct jt_histogram_shape {
	double scale; /* of the values: 1e6 for µJ shown as J, 1e9 for ns shown as s */
	size_t n;     /* boundaries; up to JT_MAX_BUCKETS - 1 */
	double upper[JT_MAX_BUCKETS -
	             1]; /* rising, as shown: a value equal to one counts below it */
};

struct jt_histogram {
	uint64_t n[JT_MAX_BUCKETS]; /* each by itself; the last one in use has no upper end */
	uint64_t count;
	uint64_t sum; /* stays at its largest rather than begin again */
};

void jt__histogram_add(struct jt_histogram *h, const struct jt_histogram_shape *shape,
                       uint64_t value);

#endif
