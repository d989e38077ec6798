/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"

#define CACHED_MAX 1032 /* bytes, in glibc on 64-bit machines */

static _Atomic uint64_t fail_in; /* allocations until one fails; 0: never */

void jt__alloc_fail_at(uint64_t nth)
{
	atomic_store(&fail_in, nth);
}

static bool fails_now(void)
{
	uint64_t left = atomic_load_explicit(&fail_in, memory_order_relaxed);

	return left && atomic_fetch_sub(&fail_in, 1) == 1;
}

/* What fits into the cache that malloc() keeps for each thread is cleared by us: calloc() does not
 * look there (glibc before 2.41). */
void *jt__alloc(size_t n, size_t size)
{
	size_t bytes;
	void *p;

	if (fails_now())
		return NULL;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > CACHED_MAX)
		return calloc(n, size);
	p = malloc(bytes ? bytes : 1);
	return p ? memset(p, 0, bytes) : NULL;
}

void *jt__realloc(void *p, size_t n, size_t size)
{
	return fails_now() ? NULL : reallocarray(p, n, size);
}

void jt__free(void *p)
{
	free(p);
}
