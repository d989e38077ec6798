/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TERM_H
#define JT_TERM_H
/* The terminal, if there is one: its width, a progress bar. One thread. */
#include <stdio.h>
#include "base/base.h"

bool jt__term_is(FILE *f);
unsigned jt__term_width(FILE *f); /* 80 where nobody knows */

/*
 * A bar on stderr for work that takes a while; nothing at all unless stderr is
 * a terminal. Zero-initialise; update as often as you like; end clears the line.
 */
struct jt_progress {
	const char *label;
	uint64_t total;
	uint64_t drawn_ns; /* when it was last drawn */
	bool shown;
};
void jt__progress_update(struct jt_progress *p, uint64_t done);
void jt__progress_end(struct jt_progress *p);

/* The line itself, for @width columns: "label [#####.....]  50 %". Pure. */
void jt__progress_format(const struct jt_progress *p, uint64_t done, unsigned width, char *ret_line,
                         size_t size);

#endif
