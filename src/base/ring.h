/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RING_H
#define JT_RING_H
/*
 * A bounded queue of fixed-size items between one producer thread and one
 * consumer thread. Push and pop neither allocate nor lock.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jt_ring; /* opaque */

/* @capacity is rounded up to a power of two. NULL when out of memory. */
struct jt_ring *jt__ring_new(size_t capacity, size_t item_size);
void jt__ring_free(struct jt_ring *r); /* accepts NULL */

/* Producer. false when full: nothing was stored, and the loss was counted. */
bool jt__ring_push(struct jt_ring *r, const void *item);
/* Consumer. false when empty. */
bool jt__ring_pop(struct jt_ring *r, void *ret_item);
/* Items refused because the ring was full. Any thread. */
uint64_t jt__ring_dropped(const struct jt_ring *r);

#endif
