/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_KNOTS_H
#define JT_KNOTS_H
/* The inside of a timeline, shared by those who append (counter.c, power.c) and window.c, which
 * asks. */
#include "base/base.h"
#include "jouletap/timeline.h"
#include "timeline/locate.h"
#include "timeline/shape.h"

/* A point of E(t). E is linear between two knots; the other sums are cumulative like E. */
struct jt_knot {
	uint64_t t_ns;
	uint64_t e_uj;
	uint64_t covered_ns;  /* time that the sensor saw */
	uint64_t derived_ns;  /* time known from integrated power only */
	uint64_t late_uj;     /* used in time that was closed before it was known: not in E, but not
	                         lost */
	uint64_t unseen_uj;   /* what the unseen part of the time may have added or not, at most */
	uint64_t restless_uj; /* the same, had the power been anywhere in its range when nobody
	                         looked */
	uint64_t loose_uj; /* inside steps: of what was before, how much may have been after, or the
	                      other way round */
	uint64_t edge_ns;  /* how far off t_ns may be */
	uint32_t low_mw;   /* the power range around here; 0..max where only a counter is known */
	uint32_t high_mw;
	bool shaped; /* inside a counter step: E here is an estimate between its two ends */
};

struct jt_timeline {
	struct jt_sensor sensor;
	struct jt_timeline_stats stats;

	/* A ring of knots, oldest first; index i is knots[(first + i) % capacity]. */
	struct jt_knot *knots;
	size_t max_knots;
	size_t capacity;
	size_t first;
	size_t n;
	size_t cursor; /* last segment that was asked for */

	uint64_t last_end_ns; /* of the newest reading */
	bool was_lost;        /* since then */

	/* counter */
	bool has_counter;
	uint64_t counter_uj;       /* last value that was believed */
	uint64_t counter_begin_ns; /* begin of the last read that showed it */
	uint64_t changed_ns;       /* it was updated after this, … */
	uint64_t located_ns;       /* … about here */
	uint64_t first_edge_ns;    /* of the first value: plus or minus */
	bool doubted;              /* a new value waits for the next */

	/* a value that cannot follow the last one: a lie, or the first after a restart; the next
	 * one tells */
	bool has_suspect;
	struct jt_sample suspect;
	uint64_t suspect_begin_ns; /* begin of the last read that showed it */

	struct jt_locator locator;
	struct jt_shape shape; /* where in a step its energy was */

	/* power readings; held from one to the next */
	bool has_power;
	uint32_t power_mw;
	uint32_t reading_mw;       /* the same, before a filter was taken out */
	uint32_t jumps_mw[2];      /* by which the power changed last, and before that */
	uint64_t power_ns;         /* middle of the last reading */
	uint64_t power_changed_ns; /* it has been what it is since then */
	uint64_t interval_ns;      /* typical time between readings */
	double low_mw, high_mw;    /* decaying envelope */
	double unrest;             /* decaying sum of squares of changes that went on */
	double owed_uj;            /* of a filtered reading that falls too fast to be true */
	uint64_t integral_uj;      /* of the held readings since the beginning */

	/* cross-check, since the last half-life */
	bool cross_lost;        /* one of both has missed a part since the last update */
	uint64_t cross_from_uj; /* integral_uj at its beginning */
	uint64_t cross_counter_uj;
	uint64_t cross_power_uj;
	uint64_t cross_begin_ns;
};

static inline const struct jt_knot *jt__knot(const struct jt_timeline *tl, size_t i)
{
	size_t at = tl->first + i; /* less than two turns: no division where every event passes */

	return &tl->knots[at < tl->capacity ? at : at - tl->capacity];
}

/* timeline.c: the ring of knots. There must be one where the last is asked for. */
struct jt_knot *jt__last_knot(struct jt_timeline *tl);
void jt__append(struct jt_timeline *tl, const struct jt_knot *k);
/* The first: E(t) begins here, give or take @edge_ns. */
void jt__begin_at(struct jt_timeline *tl, uint64_t t_ns, uint64_t edge_ns);
/*
 * Goes on from the last knot to @t_ns; the caller adds what is known of the stretch, then appends.
 */
struct jt_knot jt__next_knot(struct jt_timeline *tl, uint64_t t_ns);
/* Time passed, and nothing is known of it. */
void jt__append_uncovered(struct jt_timeline *tl, uint64_t t_ns);

/* window.c: all of a knot's sums, at @t_ns between two. */
struct jt_knot jt__knot_between(const struct jt_knot *a, const struct jt_knot *b, uint64_t t_ns);

/* counter.c */
void jt__add_counter(struct jt_timeline *tl, const struct jt_sample *s);
/* Nobody waits for ever for a counter that has stopped. */
void jt__close_if_stalled(struct jt_timeline *tl, uint64_t now_ns);

/* power.c: E(t) grows by power readings only where no counter does it. */
void jt__add_power(struct jt_timeline *tl, const struct jt_sample *s);
/* A stretch of which a part, @seen, was seen, up to @t_ns: a straight line goes on where the power
 * did not change. */
void jt__append_power(struct jt_timeline *tl, uint64_t t_ns, uint64_t uj, double seen);

/* blur.c: how far off E at @k may be, which lies after knot @i, within a stretch known from power.
 */
double jt__blur_edge_uj(const struct jt_timeline *tl, size_t i, const struct jt_knot *k);
/* How far off the energy from @a to @b may be; @later is a knot up to so much after @b. */
#define JT_BLUR_AROUND_NS (10 * JT_NS_PER_S)
double jt__blur_restless_uj(struct jt_timeline *tl, const struct jt_knot *a,
                            const struct jt_knot *b, const struct jt_knot *later);

#endif
