/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "attribution/slots.h"
#include "base/base.h"

/* Fibonacci hashing: ids may be consecutive. */
static uint32_t bucket_of(const struct jt_slots *s, uint64_t request)
{
	return (uint32_t)(request * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (2 * s->capacity - 1);
}

static uint32_t next_bucket(const struct jt_slots *s, uint32_t b)
{
	return (b + 1) & (2 * s->capacity - 1);
}

static void put(struct jt_slots *s, uint64_t request, uint32_t slot)
{
	uint32_t b = bucket_of(s, request);

	while (s->index[b])
		b = next_bucket(s, b);
	s->index[b] = slot + 1;
}

/* The bucket that holds @request, which must be there. */
static uint32_t bucket_holding(const struct jt_slots *s, uint64_t request)
{
	uint32_t b = bucket_of(s, request);

	while (s->slots[s->index[b] - 1].request != request)
		b = next_bucket(s, b);
	return b;
}

int jt__slots_reserve(struct jt_slots *s, size_t n)
{
	uint32_t capacity = s->capacity ? s->capacity : 64;
	struct jt_slot *slots;
	uint32_t *index;

	if (n <= s->capacity)
		return JT_OK;
	while (capacity < n)
		capacity *= 2;
	index = jt__alloc(2 * (size_t)capacity, sizeof(*index));
	slots = index ? jt__realloc(s->slots, capacity, sizeof(*slots)) : NULL;
	if (!slots) {
		jt__free(index);
		return JT_ENOMEM;
	}
	jt__free(s->index);
	s->index = index;
	s->slots = slots;
	s->capacity = capacity;
	for (uint32_t i = 0; i < s->n; i++)
		put(s, s->slots[i].request, i);
	return JT_OK;
}

struct jt_slot *jt__slots_find(const struct jt_slots *s, uint64_t request)
{
	if (!s->n)
		return NULL;
	for (uint32_t b = bucket_of(s, request); s->index[b]; b = next_bucket(s, b))
		if (s->slots[s->index[b] - 1].request == request)
			return &s->slots[s->index[b] - 1];
	return NULL;
}

void jt__slots_expect(const struct jt_slots *s, uint64_t request)
{
	uint32_t i = s->n ? s->index[bucket_of(s, request)] : 0;

	for (size_t at = 0; i && at < sizeof(struct jt_slot); at += 64)
		__builtin_prefetch((char *)&s->slots[i - 1] + at, 1);
}

struct jt_slot *jt__slots_add(struct jt_slots *s, uint64_t request)
{
	struct jt_slot *slot = &s->slots[s->n];

	memset(slot, 0, sizeof(*slot));
	slot->request = request;
	put(s, request, s->n++);
	return slot;
}

void jt__slots_remove(struct jt_slots *s, struct jt_slot *slot)
{
	uint32_t hole = bucket_holding(s, slot->request), mask = 2 * s->capacity - 1;
	struct jt_slot *last = &s->slots[s->n - 1];

	if (last != slot)
		s->index[bucket_holding(s, last->request)] = (uint32_t)(slot - s->slots) + 1;
	/* close the hole: what hashed before it and stands behind it moves up (Knuth 6.4, algorithm
	 * R) */
	for (uint32_t b = next_bucket(s, hole); s->index[b]; b = next_bucket(s, b)) {
		uint64_t request = s->index[b] - 1 == (uint32_t)(slot - s->slots)
		                           ? last->request
		                           : s->slots[s->index[b] - 1].request;
		uint32_t home = bucket_of(s, request);

		if (((b - home) & mask) >= ((b - hole) & mask)) {
			s->index[hole] = s->index[b];
			hole = b;
		}
	}
	s->index[hole] = 0;
	*slot = *last;
	s->n--;
}

void jt__slots_fini(struct jt_slots *s)
{
	jt__free(s->slots);
	jt__free(s->index);
	memset(s, 0, sizeof(*s));
}
