/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "simulator/tally.h"

#define FIRST_BITS 10
#define MAX_BITS 20
#define AHEAD 12 /* places that are fetched into the cache before they are needed */
#define SCATTER UINT64_C(0x9e3779b97f4a7c15)

struct jt_tally_place {
	uint64_t key;   /* the value without its last bits */
	uint64_t count; /* 0: free */
};

static uint64_t place_of(uint64_t key, uint32_t n_bits)
{
	return key * SCATTER >> (64 - n_bits);
}

static uint64_t limit_of(uint32_t n_bits)
{
	return (UINT64_C(3) << n_bits) / 4;
}

/* Counts @key, for which there must be a place. */
static void count(struct jt_tally *t, uint64_t key, uint64_t times)
{
	uint64_t mask = (UINT64_C(1) << t->n_bits) - 1, i = place_of(key, t->n_bits);

	while (t->places[i].count && t->places[i].key != key)
		i = (i + 1) & mask;
	t->n_distinct += !t->places[i].count;
	t->places[i].key = key;
	t->places[i].count += times;
}

/* The same counts in a new table, keys coarser by @coarser bits. */
static int rehash(struct jt_tally *t, uint32_t n_bits, uint32_t coarser)
{
	struct jt_tally_place *old = t->places;
	uint64_t n_old = old ? UINT64_C(1) << t->n_bits : 0;
	struct jt_tally_place *places = jt__alloc((size_t)1 << n_bits, sizeof(*places));

	if (!places)
		return JT_ENOMEM;
	t->places = places;
	t->n_bits = n_bits;
	t->shift += coarser;
	t->n_distinct = 0;
	for (uint64_t i = 0; i < n_old; i++)
		if (old[i].count)
			count(t, old[i].key >> coarser, old[i].count);
	jt__free(old);
	return JT_OK;
}

/* Room for one more value. Half empty after it was made coarser, so that this stays rare. */
static int make_room(struct jt_tally *t)
{
	int status = JT_OK;

	if (!t->places)
		return rehash(t, FIRST_BITS, 0);
	if (t->n_distinct < limit_of(t->n_bits))
		return JT_OK;
	if (t->n_bits < MAX_BITS)
		return rehash(t, t->n_bits + 1, 0);
	while (status == JT_OK && t->n_distinct > limit_of(MAX_BITS) / 2)
		status = rehash(t, MAX_BITS, 1);
	return status;
}

int jt__tally_add(struct jt_tally *t, const uint64_t *values, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int status = make_room(t);

		if (status < 0)
			return status;
		if (i + AHEAD < n)
			__builtin_prefetch(
				&t->places[place_of(values[i + AHEAD] >> t->shift, t->n_bits)], 1);
		count(t, values[i] >> t->shift, 1);
		t->n++;
		t->sum += values[i];
	}
	return JT_OK;
}

void jt__tally_fini(struct jt_tally *t)
{
	jt__free(t->places);
	memset(t, 0, sizeof(*t));
}

double jt__tally_mean(const struct jt_tally *t)
{
	return t->n ? (double)t->sum / (double)t->n : (double)NAN;
}

static int by_key(const void *a, const void *b)
{
	uint64_t x = ((const struct jt_tally_place *)a)->key;
	uint64_t y = ((const struct jt_tally_place *)b)->key;

	return (x > y) - (x < y);
}

/* A walk over the values in ascending order; the rank asked for never falls. */
struct walk {
	const struct jt_tally_place *sorted;
	size_t at;
	uint64_t before; /* values before sorted[at] */
	uint32_t shift;
};

static double value_at(struct walk *w, uint64_t rank)
{
	uint64_t half = w->shift ? UINT64_C(1) << (w->shift - 1) : 0;

	while (w->before + w->sorted[w->at].count <= rank)
		w->before += w->sorted[w->at++].count;
	return (double)(w->sorted[w->at].key << w->shift) + (double)half;
}

/* numpy's own way round, so that the last digit agrees as well. */
static double between(double a, double b, double part)
{
	return part < 0.5 ? a + (b - a) * part : b - (b - a) * (1 - part);
}

static double quantile(struct walk *w, uint64_t n, double q)
{
	double rank = q * (double)(n - 1), below = floor(rank);
	double a = value_at(w, (uint64_t)below);
	struct walk next = *w;

	if (rank <= below)
		return a;
	return between(a, value_at(&next, (uint64_t)below + 1), rank - below);
}

int jt__tally_quantiles(const struct jt_tally *t, const double *quantiles, size_t n,
                        double *ret_values)
{
	struct walk w = { .shift = t->shift };
	struct jt_tally_place *sorted;
	size_t m = 0;

	for (size_t i = 0; !t->n && i < n; i++)
		ret_values[i] = (double)NAN;
	if (!t->n)
		return JT_OK;
	sorted = jt__alloc(t->n_distinct, sizeof(*sorted));
	if (!sorted)
		return JT_ENOMEM;
	for (uint64_t i = 0; i < UINT64_C(1) << t->n_bits; i++)
		if (t->places[i].count)
			sorted[m++] = t->places[i];
	qsort(sorted, m, sizeof(*sorted), by_key);
	w.sorted = sorted;
	for (size_t i = 0; i < n; i++)
		ret_values[i] = quantile(&w, t->n, quantiles[i]);
	jt__free(sorted);
	return JT_OK;
}

/*
 * Places are visited in a scattered order: in their own, which is that of the hashes, they would
 * fill a smaller table from its front and make one long row of it.
 */
int jt__tally_merge(struct jt_tally *t, const struct jt_tally *other)
{
	uint64_t n_places = other->n ? UINT64_C(1) << other->n_bits : 0;
	int status = t->places || !other->n ? JT_OK : rehash(t, FIRST_BITS, 0);

	if (status == JT_OK && other->shift > t->shift)
		status = rehash(t, t->n_bits, other->shift - t->shift);
	for (uint64_t i = 0; status == JT_OK && i < n_places; i++) {
		const struct jt_tally_place *p = &other->places[i * SCATTER & (n_places - 1)];

		if (!p->count)
			continue;
		status = make_room(t);
		if (status == JT_OK)
			count(t, p->key << other->shift >> t->shift, p->count);
	}
	if (status == JT_OK) {
		t->n += other->n;
		t->sum += other->sum;
	}
	return status;
}
