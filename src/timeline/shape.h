/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SHAPE_H
#define JT_SHAPE_H
/*
 * How the energy of one counter step is spread within it: by what the domain was doing, by
 * what it is used to draw when it does that, and by power readings. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "jouletap/timeline.h"
#include "timeline/locate.h"

#define JT_SHAPE_PIECES JT_TIMELINE_KNOTS_PER_SAMPLE /* that a step is cut into, at most */
#define JT_SHAPE_READINGS 16                         /* that may concern one step */
#define JT_SHAPE_NOTES 1024 /* changes of one step that are placed exactly */
#define JT_SHAPE_STATES 24  /* idle, prefill, and decode of 1, 2, 3 to 4, 5 to 8 … requests */

/* A part of a step in which the domain did one thing. */
struct jt_piece {
	uint64_t begin_ns, end_ns;
	unsigned state;
	double power_mw; /* as far as is known … */
	double sd_mw;    /* … and how well */
};

/* What a domain is used to draw in a state, learned as steps go by. */
struct jt_habit {
	double n_steps; /* that it was learned from: a step that is half in it is half a step */
	double mean_mw;
	double scatter; /* variance around that, mW² */
};

struct jt_shape {
	/* what it does: changes not yet passed, in order, and what is in effect before the first */
	struct jt_activity notes[JT_SHAPE_NOTES];
	size_t n_notes;
	int64_t prefill, decode;
	bool noted; /* there ever was a change */

	/* the instantaneous field: each reading is the mean over a window */
	uint64_t window_ns; /* 0: there is none, or it is longer than a step */
	uint64_t lag_ns;
	struct jt_locator locator; /* of its updates */
	bool has_reading;
	uint32_t power_mw;                    /* the last one … */
	uint64_t read_begin_ns;               /* … as last read, … */
	uint64_t renewed_ns, renewed_edge_ns; /* … since about here; 0: nobody knows */
	struct jt_window_mean {
		uint64_t begin_ns, end_ns, edge_ns;
		double power_mw;
	} readings[JT_SHAPE_READINGS];
	size_t n_readings;

	struct jt_habit habits[JT_SHAPE_STATES];
	double doubt[JT_SHAPE_STATES][JT_SHAPE_STATES]; /* covariance of their means, mW² */
	struct jt_habit overall;                        /* whatever it did */

	/* the last step */
	struct jt_piece pieces[JT_SHAPE_PIECES];
	size_t n;
	double off, off_var; /* how far its end was from the habit, in standard deviations */
	double looked_into;  /* part of a step that is seen by readings of less than it: recent mean
	                      */
	bool surprised;      /* neither habits nor what was noted account for its energy */
};

void jt__shape_init(struct jt_shape *s, const struct jt_sensor *sensor);
void jt__shape_note(struct jt_shape *s, const struct jt_activity *change);

/* The instantaneous field as read between two instants. */
void jt__shape_read(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns, uint32_t power_mw);

/*
 * In the step from @begin_ns to @end_ns @uj were used. Cuts it into pieces, of which power times
 * length sums up to @uj, and learns from it. Steps come in order of time.
 */
void jt__shape_step(struct jt_shape *s, uint64_t begin_ns, uint64_t end_ns, uint64_t uj);

#endif
