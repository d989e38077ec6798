/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that were never handed out stand, in order of their ids, before all that were freed, so a
 * counter is enough for them and a large pool costs nothing until it is used. The index is an open
 * hash table of block ids whose keys are the blocks' own hashes; it is made for all blocks handed
 * out so far, so that putting one in never fails.
 */
#include "model/kv.h"

#define NO_BLOCK UINT32_MAX
#define MIN_CAPACITY 64

struct block {
	uint64_t hash;
	uint32_t n_users;
	uint32_t prev, next; /* in the free list */
	bool hashed;         /* its content is known by its hash … */
	bool indexed; /* … and found by it: a newer block of equal content takes the place */
};

struct jt_kv_pool {
	struct jt_kv_options o;
	uint32_t chunk_blocks; /* of ours in a block of the lower tier */
	struct block *blocks;
	uint32_t capacity;  /* of blocks */
	uint32_t n_touched; /* blocks ever handed out */
	uint64_t n_free;
	uint64_t n_cached;              /* of them found in the index */
	uint32_t first_free, last_free; /* among the touched */
	uint32_t *slots;                /* of the index: a block + 1, or 0 */
	uint32_t n_slots;               /* a power of two, at least twice the capacity */
	unsigned shift;                 /* 64 - its logarithm */
};

static int check_options(const struct jt_kv_options *o, struct jt_error *err)
{
	if (o->n_blocks == 0 || o->n_blocks >= NO_BLOCK)
		return jt__fail(err, JT_EINVAL, "kv",
		                "%llu blocks of KV memory: must be from 1 to 2^32 - 2",
		                (unsigned long long)o->n_blocks);
	if (o->block_tokens == 0)
		return jt__fail(err, JT_EINVAL, "kv", "a KV block must hold at least one token");
	if (!o->lower)
		return JT_OK;
	if (o->lower->o.lower)
		return jt__fail(err, JT_EINVAL, "kv", "the lower tier has a lower tier itself");
	if (o->lower->o.block_tokens % o->block_tokens != 0)
		return jt__fail(err, JT_EINVAL, "kv",
		                "chunks of %u tokens in the lower tier are no multiple of blocks "
		                "of %u",
		                o->lower->o.block_tokens, o->block_tokens);
	return JT_OK;
}

int jt__kv_pool_new(const struct jt_kv_options *o, struct jt_kv_pool **ret_pool,
                    struct jt_error *err)
{
	struct jt_kv_pool *p;
	int status = check_options(o, err);

	if (status < 0)
		return status;
	p = jt__alloc(1, sizeof(*p));
	if (!p)
		return jt__fail(err, JT_ENOMEM, "kv", "no memory for a KV pool");
	p->o = *o;
	p->chunk_blocks = o->lower ? o->lower->o.block_tokens / o->block_tokens : 0;
	p->n_free = o->n_blocks;
	p->first_free = p->last_free = NO_BLOCK;
	*ret_pool = p;
	return JT_OK;
}

void jt__kv_pool_free(struct jt_kv_pool *p)
{
	if (!p)
		return;
	jt__free(p->blocks);
	jt__free(p->slots);
	jt__free(p);
}

uint64_t jt__kv_hash_block(uint64_t parent, const uint32_t *tokens, uint32_t n_tokens)
{
	uint64_t h = parent;

	for (uint32_t i = 0; i < n_tokens; i++) {
		h = (h ^ tokens[i]) * UINT64_C(0xbf58476d1ce4e5b9);
		h ^= h >> 32;
	}
	return h * UINT64_C(0x94d049bb133111eb);
}

/* The multiplier (2^64 over the golden ratio) spreads hashes that are not hashes at all. */
static uint32_t slot_of(const struct jt_kv_pool *p, uint64_t hash)
{
	return (uint32_t)(hash * UINT64_C(0x9e3779b97f4a7c15) >> p->shift);
}

/* The slot where @hash is, or the empty one where it would be. */
static uint32_t find_slot(const struct jt_kv_pool *p, uint64_t hash)
{
	uint32_t at = slot_of(p, hash);

	while (p->slots[at] && p->blocks[p->slots[at] - 1].hash != hash)
		at = (at + 1) & (p->n_slots - 1);
	return at;
}

static uint32_t find_block(const struct jt_kv_pool *p, uint64_t hash)
{
	return p->n_slots ? p->slots[find_slot(p, hash)] - 1 : NO_BLOCK;
}

/* Empties a slot and closes the gap: what was pushed past it moves up. */
static void clear_slot(struct jt_kv_pool *p, uint32_t gap)
{
	uint32_t mask = p->n_slots - 1;

	for (uint32_t at = (gap + 1) & mask; p->slots[at]; at = (at + 1) & mask) {
		uint32_t home = slot_of(p, p->blocks[p->slots[at] - 1].hash);

		if (((at - home) & mask) >= ((at - gap) & mask)) {
			p->slots[gap] = p->slots[at];
			gap = at;
		}
	}
	p->slots[gap] = 0;
}

static int grow_index(struct jt_kv_pool *p, uint32_t capacity)
{
	uint64_t n_slots = 2;
	unsigned shift = 63;
	uint32_t *slots;

	for (; n_slots < 2 * (uint64_t)capacity; n_slots *= 2)
		shift--;
	if (n_slots > UINT32_MAX)
		return JT_ENOMEM;
	slots = jt__alloc(n_slots, sizeof(*slots));
	if (!slots)
		return JT_ENOMEM;
	jt__free(p->slots);
	p->slots = slots;
	p->n_slots = (uint32_t)n_slots;
	p->shift = shift;
	for (uint32_t b = 0; b < p->n_touched; b++) {
		if (p->blocks[b].indexed)
			slots[find_slot(p, p->blocks[b].hash)] = b + 1;
	}
	return JT_OK;
}

/* So that the next @n blocks can be handed out. */
static int reserve(struct jt_kv_pool *p, uint64_t n)
{
	uint64_t need = JT_MIN(p->n_touched + n, p->o.n_blocks), capacity = p->capacity;
	struct block *blocks;

	if (need <= capacity)
		return JT_OK;
	capacity = JT_MAX(JT_MAX(need, 2 * capacity), (uint64_t)MIN_CAPACITY);
	capacity = JT_MIN(capacity, p->o.n_blocks);
	blocks = jt__realloc(p->blocks, capacity, sizeof(*blocks));
	if (!blocks)
		return JT_ENOMEM;
	p->blocks = blocks;
	if (p->o.prefix_caching && grow_index(p, (uint32_t)capacity) < 0)
		return JT_ENOMEM;
	p->capacity = (uint32_t)capacity;
	return JT_OK;
}

static void unlink_free(struct jt_kv_pool *p, uint32_t id)
{
	struct block *b = &p->blocks[id];

	*(b->prev == NO_BLOCK ? &p->first_free : &p->blocks[b->prev].next) = b->next;
	*(b->next == NO_BLOCK ? &p->last_free : &p->blocks[b->next].prev) = b->prev;
	p->n_free--;
	p->n_cached -= b->indexed;
}

static void append_free(struct jt_kv_pool *p, uint32_t id)
{
	struct block *b = &p->blocks[id];

	b->prev = p->last_free;
	b->next = NO_BLOCK;
	*(b->prev == NO_BLOCK ? &p->first_free : &p->blocks[b->prev].next) = id;
	p->last_free = id;
	p->n_free++;
	p->n_cached += b->indexed;
}

/* The next free block, its content forgotten; there is one, and memory for it. */
static uint32_t pop_free(struct jt_kv_pool *p)
{
	uint32_t id = p->first_free;
	struct block *b;

	if (p->n_touched < p->o.n_blocks) {
		id = p->n_touched++;
		p->n_free--;
	} else {
		unlink_free(p, id);
		if (p->blocks[id].indexed)
			clear_slot(p, find_slot(p, p->blocks[id].hash));
	}
	b = &p->blocks[id];
	*b = (struct block){ .n_users = 1 };
	return id;
}

static void let_go(struct jt_kv_pool *p, uint32_t id)
{
	if (--p->blocks[id].n_users == 0)
		append_free(p, id);
}

static void put_in_index(struct jt_kv_pool *p, uint32_t id, uint64_t hash)
{
	struct block *b = &p->blocks[id];
	uint32_t at;

	if (b->hashed)
		return;
	at = find_slot(p, hash);
	if (p->slots[at]) {
		struct block *old = &p->blocks[p->slots[at] - 1];

		old->indexed = false;
		p->n_cached -= old->n_users == 0;
	}
	p->slots[at] = id + 1;
	b->hash = hash;
	b->hashed = b->indexed = true;
}

/*
 * Whole chunks behind the blocks in @hit. Where they hold all there is, the reference simulator has
 * nothing left to compute and waits for ever; here, as in vLLM, the last token is computed again.
 */
static void find_lower(const struct jt_kv_pool *p, const uint64_t *hashes, uint32_t n_hashes,
                       uint32_t reached, struct jt_kv_hit *hit)
{
	uint64_t chunk = p->o.lower->o.block_tokens;
	uint64_t found = (uint64_t)hit->n_blocks * p->o.block_tokens;
	uint64_t end = JT_MIN(reached / chunk, n_hashes / p->chunk_blocks);
	uint64_t at = found / chunk, n = 0;

	/* A chunk that begins in what is found already is fetched whole. */
	while (at + n < end &&
	       find_block(p->o.lower, hashes[(at + n + 1) * p->chunk_blocks - 1]) != NO_BLOCK)
		n++;
	if (chunk * (at + n) < found + chunk)
		return;
	hit->lower_tokens = (uint32_t)(JT_MIN(chunk * (at + n), reached - UINT64_C(1)) - found);
	hit->recall_bytes = n * p->o.lower->o.bytes_per_block;
}

void jt__kv_find(const struct jt_kv_pool *p, const uint64_t *hashes, uint32_t n_hashes,
                 uint32_t reached, struct jt_kv_hit *ret_hit)
{
	struct jt_kv_hit hit = { 0 };
	uint32_t max_blocks = JT_MIN((reached - 1) / p->o.block_tokens, n_hashes), id;

	if (p->o.prefix_caching && n_hashes > 0) {
		for (; hit.n_blocks < max_blocks; hit.n_blocks++) {
			id = find_block(p, hashes[hit.n_blocks]);
			if (id == NO_BLOCK)
				break;
			hit.n_free += p->blocks[id].n_users == 0;
		}
		if (p->o.lower)
			find_lower(p, hashes, n_hashes, reached, &hit);
	}
	*ret_hit = hit;
}

static uint64_t blocks_for(const struct jt_kv_pool *p, uint64_t tokens)
{
	return tokens / p->o.block_tokens + (tokens % p->o.block_tokens > 0);
}

bool jt__kv_fits(const struct jt_kv_pool *p, const struct jt_kv_table *t,
                 const struct jt_kv_hit *hit, uint64_t tokens)
{
	uint64_t need = blocks_for(p, tokens), have = (uint64_t)t->n_blocks + hit->n_blocks;

	return (need > have ? need - have : 0) + hit->n_free <= p->n_free;
}

static int grow_table(struct jt_kv_table *t, uint64_t need)
{
	uint64_t capacity = JT_MAX(need, 2 * (uint64_t)t->capacity);
	uint32_t *blocks = jt__realloc(t->blocks, capacity, sizeof(*blocks));

	if (!blocks)
		return JT_ENOMEM;
	t->blocks = blocks;
	t->capacity = (uint32_t)capacity;
	return JT_OK;
}

int jt__kv_take(struct jt_kv_pool *p, struct jt_kv_table *t, const uint64_t *hashes,
                const struct jt_kv_hit *hit, uint64_t tokens)
{
	uint64_t need;

	if (tokens <= (uint64_t)t->n_blocks * p->o.block_tokens)
		return JT_OK;
	if (!jt__kv_fits(p, t, hit, tokens))
		return JT_ELIMIT;
	need = JT_MAX(blocks_for(p, tokens), (uint64_t)hit->n_blocks);
	if (reserve(p, need - t->n_blocks - hit->n_blocks) < 0 ||
	    (need > t->capacity && grow_table(t, need) < 0))
		return JT_ENOMEM;
	for (uint32_t i = 0; i < hit->n_blocks; i++) {
		uint32_t id = find_block(p, hashes[i]);

		if (p->blocks[id].n_users++ == 0)
			unlink_free(p, id);
		t->blocks[t->n_blocks++] = id;
		t->n_indexed++;
	}
	while (t->n_blocks < need)
		t->blocks[t->n_blocks++] = pop_free(p);
	return JT_OK;
}

/* A copy that nobody uses; false if there is one. */
static bool copy_chunk(struct jt_kv_pool *lower, uint64_t hash)
{
	uint32_t id;

	if (find_block(lower, hash) != NO_BLOCK)
		return false;
	id = pop_free(lower);
	put_in_index(lower, id, hash);
	let_go(lower, id);
	return true;
}

int jt__kv_index(struct jt_kv_pool *p, struct jt_kv_table *t, const uint64_t *hashes,
                 uint32_t n_hashes, uint32_t tokens, uint64_t *write_through_bytes)
{
	struct jt_kv_pool *lower = p->o.lower;
	uint32_t n_full;

	if (!p->o.prefix_caching || t->n_indexed >= n_hashes ||
	    (t->n_indexed + UINT64_C(1)) * p->o.block_tokens > tokens)
		return JT_OK;
	n_full = JT_MIN(tokens / p->o.block_tokens, n_hashes);
	if (lower && lower->o.prefix_caching) {
		uint32_t at = t->n_indexed / p->chunk_blocks, end = n_full / p->chunk_blocks;

		if (reserve(lower, end - at) < 0)
			return JT_ENOMEM;
		for (; at < end; at++) {
			if (copy_chunk(lower, hashes[(at + 1) * p->chunk_blocks - 1]))
				*write_through_bytes += lower->o.bytes_per_block;
		}
	}
	for (; t->n_indexed < n_full; t->n_indexed++)
		put_in_index(p, t->blocks[t->n_indexed], hashes[t->n_indexed]);
	return JT_OK;
}

void jt__kv_release(struct jt_kv_pool *p, struct jt_kv_table *t)
{
	while (t->n_blocks > 0)
		let_go(p, t->blocks[--t->n_blocks]);
	jt__free(t->blocks);
	*t = (struct jt_kv_table){ 0 };
}

uint64_t jt__kv_free_blocks(const struct jt_kv_pool *p)
{
	return p->n_free;
}

uint64_t jt__kv_used_bytes(const struct jt_kv_pool *p)
{
	return (p->o.n_blocks - p->n_free + p->n_cached) * p->o.bytes_per_block;
}
