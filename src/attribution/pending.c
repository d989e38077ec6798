/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes come almost in order: several producers, each in order by itself. So a newcomer is moved
 * down a few places at most; if that is not enough, everything is sorted once when next it is asked
 * for.
 */
#include <stdlib.h>
#include <string.h>
#include "attribution/pending.h"
#include "base/base.h"

#define MAX_MOVES 64

/* A total order, so that equal sets of changes are applied alike whatever the order of arrival. */
static int compare(const void *va, const void *vb)
{
	const struct jt_change *a = va, *b = vb;

	if (a->t_ns != b->t_ns)
		return a->t_ns < b->t_ns ? -1 : 1;
	if (a->request != b->request)
		return a->request < b->request ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->phase != b->phase)
		return a->phase < b->phase ? -1 : 1;
	if (a->weight.own != b->weight.own)
		return a->weight.own < b->weight.own ? -1 : 1;
	return (a->weight.shared > b->weight.shared) - (a->weight.shared < b->weight.shared);
}

int jt__pending_reserve(struct jt_pending *p, size_t n)
{
	size_t size = p->size ? p->size : 64;
	struct jt_change *grown;

	if (p->n + n <= p->size)
		return JT_OK;
	if (p->first > p->size / 2) {
		memmove(p->changes, p->changes + p->first, (p->n - p->first) * sizeof(*p->changes));
		p->n -= p->first;
		p->first = 0;
	}
	while (p->n + n > size)
		size *= 2;
	if (size == p->size)
		return JT_OK;
	grown = jt__realloc(p->changes, size, sizeof(*grown));
	if (!grown)
		return JT_ENOMEM;
	p->changes = grown;
	p->size = size;
	return JT_OK;
}

void jt__pending_add(struct jt_pending *p, const struct jt_change *c)
{
	size_t at;

	if (p->first == p->n)
		p->sorted = true;
	at = p->n++;
	for (int moves = 0; p->sorted && at > p->first; moves++, at--) {
		if (compare(&p->changes[at - 1], c) <= 0)
			break;
		if (moves == MAX_MOVES) {
			p->sorted = false;
			break;
		}
		p->changes[at] = p->changes[at - 1];
	}
	p->changes[at] = *c;
	p->n_enters += c->kind == JT_ENTER;
}

const struct jt_change *jt__pending_take(struct jt_pending *p, uint64_t until_ns)
{
	const struct jt_change *c;

	if (p->first == p->n)
		return NULL;
	if (!p->sorted) {
		qsort(p->changes + p->first, p->n - p->first, sizeof(*p->changes), compare);
		p->sorted = true;
	}
	c = &p->changes[p->first];
	if (c->t_ns > until_ns)
		return NULL;
	p->first++;
	p->n_enters -= c->kind == JT_ENTER;
	return c;
}

void jt__pending_fini(struct jt_pending *p)
{
	jt__free(p->changes);
	memset(p, 0, sizeof(*p));
}
