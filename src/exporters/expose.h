/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_EXPOSE_H
#define JT_EXPOSE_H
/*
 * The two text formats that Prometheus scrapes: its own, version 0.0.4, and OpenMetrics 1.0. They
 * differ in what a family is called, in units, in `le` and in the end mark. One family after the
 * other; a family of which no sample is known is left out. Pure; belongs to one thread.
 */
#include <stdbool.h>
#include "base/buf.h"
#include "exporters/histogram.h"

enum jt_family_kind { JT_GAUGE, JT_COUNTER, JT_INFO, JT_HISTOGRAM };

struct jt_family {
	const char
		*name; /* without jouletap_, and without the _total or _info that its kind adds */
	enum jt_family_kind kind;
	const char *unit; /* in which case the name ends with it; NULL: none */
	const char *help;
	const char *labels; /* of its samples, apart by blanks; NULL: none */
};

/* Called for each family there can be, in the order of a scrape. */
typedef void (*jt_family_fn)(void *user, const struct jt_family *f);

struct jt_expose {
	struct jt_buf *out;
	bool openmetrics;
	const struct jt_family *family;
	bool announced; /* HELP and TYPE of the family are written */
};

struct jt_label {
	const char *name;
	const char *value; /* any bytes */
};

void jt__expose_begin(struct jt_expose *e, const struct jt_family *f);
/* NaN stands for unknown: no sample. */
void jt__expose_sample(struct jt_expose *e, double value, const struct jt_label *labels, size_t n);
/* Nothing as long as it counted nothing. */
void jt__expose_histogram(struct jt_expose *e, const struct jt_histogram *h,
                          const struct jt_histogram_shape *shape, const struct jt_label *labels,
                          size_t n);
/* After the last family. */
void jt__expose_end(struct jt_expose *e);

/* A sample with labels given as pairs: expose(e, 1, { "domain", name }, { "event", "gap" }). */
#define expose(e, value, ...)                                                                      \
	jt__expose_sample((e), (value), (struct jt_label[]){ __VA_ARGS__ },                        \
	                  sizeof((struct jt_label[]){ __VA_ARGS__ }) / sizeof(struct jt_label))

#endif
