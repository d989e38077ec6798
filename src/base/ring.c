/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <string.h>
#include "base/base.h"
#include "base/ring.h"

struct jt_ring {
	size_t mask;
	size_t item_size;
	/* Each index is written by one side only. */
	_Atomic size_t tail; /* producer */
	_Atomic uint64_t dropped;
	char line[64];       /* keeps the two sides off each other's cache line */
	_Atomic size_t head; /* consumer */
	_Alignas(max_align_t) char items[];
};

struct jt_ring *jt__ring_new(size_t capacity, size_t item_size)
{
	struct jt_ring *r;
	size_t n = 1;

	while (n < capacity)
		n <<= 1;
	r = jt__alloc(1, sizeof(*r) + n * item_size);
	if (!r)
		return NULL;
	r->mask = n - 1;
	r->item_size = item_size;
	return r;
}

void jt__ring_free(struct jt_ring *r)
{
	jt__free(r);
}

bool jt__ring_push(struct jt_ring *r, const void *item)
{
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
	size_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	if (tail - head > r->mask) {
		atomic_fetch_add_explicit(&r->dropped, 1, memory_order_relaxed);
		return false;
	}
	memcpy(r->items + (tail & r->mask) * r->item_size, item, r->item_size);
	atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
	return true;
}

bool jt__ring_pop(struct jt_ring *r, void *ret_item)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);

	if (head == tail)
		return false;
	memcpy(ret_item, r->items + (head & r->mask) * r->item_size, r->item_size);
	atomic_store_explicit(&r->head, head + 1, memory_order_release);
	return true;
}

uint64_t jt__ring_dropped(const struct jt_ring *r)
{
	return atomic_load_explicit(&((struct jt_ring *)r)->dropped, memory_order_relaxed);
}
