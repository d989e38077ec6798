/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FIGURES_H
#define JT_FIGURES_H
/* Energy figures as clients see them, and the memory of those of recent requests. */
#include "base/buf.h"
#include "gateway/note.h"

void jt__figures_of(struct jt_figures *f, const struct jt_record *r, bool provisional);
/* "energy":{…}: the member that goes into usage. */
void jt__figures_member(struct jt_buf *b, const struct jt_figures *f);
/* {"id":…,"energy":{…}}: the answer to GET /v1/energy/{id}. */
void jt__figures_answer(struct jt_buf *b, const char *id, const struct jt_figures *f);

/* Requests by the id that clients know; the latest of that id. One thread. */
struct jt_memory; /* opaque */

/* Keeps at most @max requests, each for @ttl_ns after its end. NULL: out of memory. */
struct jt_memory *jt__memory_new(size_t max, uint64_t ttl_ns);
void jt__memory_free(struct jt_memory *m); /* accepts NULL */
/* A request has begun; @key is how the meter knows it. Forgets the oldest if there are too many. */
void jt__memory_begin(struct jt_memory *m, const char *id, uint64_t key);
/* Nothing if another request has taken its id since. */
void jt__memory_final(struct jt_memory *m, uint64_t now_ns, uint64_t key,
                      const struct jt_record *r);
/*
 * false: never heard of it, or forgotten. *ret_final false: still known to the meter as *ret_key.
 */
bool jt__memory_find(struct jt_memory *m, uint64_t now_ns, const char *id, bool *ret_final,
                     uint64_t *ret_key, struct jt_figures *ret_figures);

#endif
