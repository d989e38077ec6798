/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PACER_H
#define JT_PACER_H
/*
 * When to read a domain next. Ticks lie on a grid of the base period. A counter
 * that moves each 100 ms, read each 100 ms, is known in time only to 100 ms; so
 * after each tick its next update is predicted and a few readings are put around
 * it, which locate the update to some 5 ms. Where the prediction fails, or the
 * counter moves as often as the ticks can tell, only the grid remains. Pure.
 */
#include <stdbool.h>
#include "jouletap/record.h"

struct jt_pacer {
	uint64_t base_ns;
	uint64_t update_ns; /* the counter's period as learned; 0: do not look for updates */
	uint64_t grid_ns;   /* the next tick */
	uint64_t probe_ns;  /* the next reading between ticks; 0: none */
	uint64_t probe_end_ns, probe_step_ns;
	uint64_t value; /* at the last reading, if that had one */
	bool has_value;
	uint64_t begin_ns;        /* of the last reading */
	uint64_t low_ns, high_ns; /* the last update seen came in between; 0: none yet */
	uint64_t mark_ns;         /* the last well located update; 0: none */
	unsigned n_failed;        /* predictions in a row that did not come true */
	unsigned n_pause;         /* ticks until the next attempt */
	uint64_t n_late;          /* ticks left out because a reading took too long */
};

/*
 * @update_ns: the sensor's nominal period; 0: there is nothing to locate. @now_ns: the first tick.
 */
void jt__pacer_init(struct jt_pacer *p, uint64_t base_ns, uint64_t update_ns, uint64_t now_ns);

/* Takes the reading just made, over at @now_ns, and says when the next is due. */
uint64_t jt__pacer_next(struct jt_pacer *p, const struct jt_sample *s, uint64_t now_ns);

#endif
