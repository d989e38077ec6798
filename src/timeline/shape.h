/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SHAPE_H
#define JT_SHAPE_H
/*
 * The recent power of a domain as its readings tell it, each held until the
 * next: how the energy of one counter step is spread within it. Pure.
 */
#include <stddef.h>
#include <stdint.h>

#define JT_SHAPE_POINTS 64 /* changes of power that are kept; a counter step has one or two */

struct jt_shape {
	struct jt_shape_point {
		uint64_t t_ns;
		uint64_t uj;       /* integral up to here, from an arbitrary beginning */
		uint32_t power_mw; /* from here on */
	} points[JT_SHAPE_POINTS];
	size_t n;
};

/* From @t_ns on the power is @power_mw. Times do not go back. */
void jt__shape_hold(struct jt_shape *s, uint64_t t_ns, uint32_t power_mw);
/* Integral of the power up to @t_ns; the first power is taken to have been there always. */
uint64_t jt__shape_at(const struct jt_shape *s, uint64_t t_ns);
/* What was before @t_ns is not asked for any more. */
void jt__shape_forget(struct jt_shape *s, uint64_t t_ns);

#endif
