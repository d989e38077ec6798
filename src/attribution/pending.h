/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PENDING_H
#define JT_PENDING_H
/* Changes that wait for the watermark, given back in the order of (time, request, kind). */
#include <stdbool.h>
#include "jouletap/attribution.h"

struct jt_pending {
	struct jt_change *changes;
	size_t first; /* of those not yet taken */
	size_t n;     /* end of them */
	size_t size;
	size_t n_enters;
	bool sorted;
};

int jt__pending_reserve(struct jt_pending *p, size_t n); /* room for @n more; JT_ENOMEM */
void jt__pending_add(struct jt_pending *p, const struct jt_change *c); /* there must be room */
/* The earliest change up to @until_ns, NULL if there is none; valid until the next add. */
const struct jt_change *jt__pending_take(struct jt_pending *p, uint64_t until_ns);
void jt__pending_fini(struct jt_pending *p);

#endif
