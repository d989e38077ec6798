/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SLOTS_H
#define JT_SLOTS_H
/* The active requests of a domain, found by id: an open-addressed table of indices into a slab. */
#include <stdbool.h>
#include "attribution/vclock.h"

/* Four lines of the cache: thousands of them are visited at random. */
struct jt_slot {
	uint64_t request;
	struct jt_weight weight;
	uint8_t phase;        /* enum jt_phase */
	uint8_t phases_seen;  /* bit per phase it has been in */
	bool floor_known;     /* for the whole time */
	double error_uj;      /* settled so far */
	struct jt_vstand all; /* both clocks where it was last settled */
	struct jt_vstand dynamic;
	jt_fixed allocated[JT_N_PHASES];
	jt_fixed above_floor[JT_N_PHASES];
	/* where it entered */
	uint64_t entered_ns;
	uint64_t covered_ns;
	uint64_t derived_ns;
	uint64_t shared_ns; /* time during which two or more were active */
	uint64_t unseen_uj;
	uint64_t e_uj;
	struct jt_weighted_error {
		double shared;
		double own;
	} error; /* the error clocks where it was last settled, see attribute.c */
};
_Static_assert(sizeof(struct jt_slot) <= 256, "a slot has outgrown its four lines");

struct jt_slots {
	struct jt_slot *slots;
	uint32_t *index; /* slot + 1, 0: empty; size is a power of two, at least 2 × capacity */
	uint32_t capacity;
	uint32_t n; /* slots [0, n) are in use */
};

int jt__slots_reserve(struct jt_slots *s, size_t n); /* room for @n in all; JT_ENOMEM */
struct jt_slot *jt__slots_find(const struct jt_slots *s, uint64_t request); /* NULL: none */
void jt__slots_expect(const struct jt_slots *s, uint64_t request); /* it will be asked for next */
struct jt_slot *jt__slots_add(struct jt_slots *s,
                              uint64_t request); /* there must be room; zeroed */
void jt__slots_remove(struct jt_slots *s,
                      struct jt_slot *slot); /* moves another slot into its place */
void jt__slots_fini(struct jt_slots *s);

#endif
