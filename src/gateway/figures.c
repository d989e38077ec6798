/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/clock.h"
#include "gateway/figures.h"

void jt__figures_of(struct jt_figures *f, const struct jt_record *r, bool provisional)
{
	*f = (struct jt_figures){ .queue_uj = r->queue_uj,
		                  .prefill_uj = r->prefill_uj,
		                  .decode_uj = r->decode_uj,
		                  .total_uj = r->total_uj,
		                  .dynamic_uj = r->dynamic_uj,
		                  .bound_uj = r->bound_uj,
		                  .provisional = provisional };
	strcpy(f->provenance, r->provenance);
}

void jt__figures_member(struct jt_buf *b, const struct jt_figures *f)
{
	jt__buf_append_text(b, "\"energy\":{");
	if (f->queue_uj != JT_NONE && f->queue_uj)
		jt__json_member_micro(b, "queue_j", f->queue_uj);
	jt__json_member_micro(b, "prefill_j", f->prefill_uj);
	jt__json_member_micro(b, "decode_j", f->decode_uj);
	jt__json_member_micro(b, "total_j", f->total_uj);
	if (f->dynamic_uj != JT_NONE)
		jt__json_member_micro(b, "dynamic_j", f->dynamic_uj);
	jt__json_member_micro(b, "bound_j", f->bound_uj);
	jt__json_key(b, "provenance");
	if (f->provenance[0])
		jt__json_string(b, f->provenance, strlen(f->provenance));
	else
		jt__buf_append_text(b, "null");
	jt__json_key(b, "provisional");
	jt__buf_append_text(b, f->provisional ? "true}" : "false}");
}

void jt__figures_answer(struct jt_buf *b, const char *id, const struct jt_figures *f)
{
	jt__buf_append(b, "{", 1);
	jt__json_member_text(b, "id", id);
	jt__buf_append(b, ",", 1);
	jt__figures_member(b, f);
	jt__buf_append(b, "}", 1);
}

/* ---- memory ---- */

struct entry {
	char id[64];
	uint64_t key;
	bool final;
	uint64_t expires_ns;
	struct jt_figures figures;
	uint64_t next; /* number of the entry before it in its hash chain; 0: none */
};

/*
 * Entries are a ring in order of arrival, numbered from 1; a hash table leads to them. Chains lead
 * from later ones to earlier ones, so they end where the first one has been overwritten, and
 * nothing has to be taken out of them.
 */
struct jt_memory {
	struct entry *entries;
	uint64_t *heads;
	size_t max; /* power of two; as many heads */
	uint64_t n_begun;
	uint64_t ttl_ns;
	uint64_t salt; /* clients choose ids, but not which ones share a chain */
};

struct jt_memory *jt__memory_new(size_t max, uint64_t ttl_ns)
{
	struct jt_memory *m = jt__alloc(1, sizeof(*m));
	size_t n = 1;

	if (!m)
		return NULL;
	while (n < max)
		n <<= 1;
	m->max = n;
	m->ttl_ns = ttl_ns;
	m->salt = jt__realtime_ns() ^ (uintptr_t)m;
	m->entries = jt__alloc(n, sizeof(*m->entries));
	m->heads = jt__alloc(n, sizeof(*m->heads));
	if (!m->entries || !m->heads) {
		jt__memory_free(m);
		return NULL;
	}
	return m;
}

void jt__memory_free(struct jt_memory *m)
{
	if (!m)
		return;
	jt__free(m->entries);
	jt__free(m->heads);
	jt__free(m);
}

static uint64_t *head_of(struct jt_memory *m, const char *id)
{
	return &m->heads[jt__hash_text(id, m->salt) & (m->max - 1)];
}

static struct entry *entry_at(struct jt_memory *m, uint64_t number)
{
	return &m->entries[number & (m->max - 1)];
}

/* The latest of this id. */
static struct entry *find(struct jt_memory *m, const char *id)
{
	for (uint64_t i = *head_of(m, id); i && m->n_begun - i < m->max; i = entry_at(m, i)->next)
		if (strcmp(entry_at(m, i)->id, id) == 0)
			return entry_at(m, i);
	return NULL;
}

void jt__memory_begin(struct jt_memory *m, const char *id, uint64_t key)
{
	uint64_t *head = head_of(m, id);
	struct entry *e = entry_at(m, ++m->n_begun);

	e->key = key;
	e->final = false;
	e->next = *head;
	*head = m->n_begun;
	jt__copy_text(e->id, sizeof(e->id), id, strlen(id));
}

void jt__memory_final(struct jt_memory *m, uint64_t now_ns, uint64_t key, const struct jt_record *r)
{
	struct entry *e = find(m, r->id);

	if (!e || e->key != key)
		return;
	e->final = true;
	e->expires_ns = now_ns + m->ttl_ns;
	jt__figures_of(&e->figures, r, false);
}

bool jt__memory_find(struct jt_memory *m, uint64_t now_ns, const char *id, bool *ret_final,
                     uint64_t *ret_key, struct jt_figures *ret_figures)
{
	struct entry *e = find(m, id);

	if (!e || (e->final && now_ns > e->expires_ns))
		return false;
	*ret_final = e->final;
	*ret_key = e->key;
	if (e->final)
		*ret_figures = e->figures;
	return true;
}
