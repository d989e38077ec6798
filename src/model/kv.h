/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_KV_H
#define JT_KV_H
/*
 * Paged KV memory (Kwon et al., PagedAttention, SOSP 2023) with a prefix cache: blocks of a few
 * tokens, found again by the chained hash of all tokens up to their end. A freed block keeps its
 * content until it is handed out anew; the free list is in the order in which blocks were freed.
 * A pool may serve as another's lower tier, for whole chunks. Pure; one thread at a time.
 */
#include "base/base.h"

struct jt_kv_pool; /* blocks of one memory */

struct jt_kv_options {
	uint64_t n_blocks;        /* at least 1, below 2^32 - 1 */
	uint32_t block_tokens;    /* at least 1 */
	uint64_t bytes_per_block; /* for the figures of used memory and of traffic */
	bool prefix_caching;      /* off: blocks are never found again */
	struct jt_kv_pool *lower; /* of which block_tokens is a multiple; may be shared; not owned;
	                             has no lower one itself */
};

/* JT_EINVAL: an option is out of its range. What it takes grows with the blocks once used. */
int jt__kv_pool_new(const struct jt_kv_options *o, struct jt_kv_pool **ret_pool,
                    struct jt_error *err);
void jt__kv_pool_free(struct jt_kv_pool *p); /* accepts NULL */

/* The blocks of one sequence, in order. Zero: none. */
struct jt_kv_table {
	uint32_t *blocks;
	uint32_t n_blocks, capacity;
	uint32_t n_indexed; /* leading blocks that are in the index */
};

/* The hash of a block from that of the block before it (JT_KV_ROOT for the first) and its tokens.
 */
#define JT_KV_ROOT UINT64_C(0x9e3779b97f4a7c15)
uint64_t jt__kv_hash_block(uint64_t parent, const uint32_t *tokens, uint32_t n_tokens);

/* The part of a sequence that need not be computed. Zero: none. */
struct jt_kv_hit {
	uint32_t n_blocks;     /* in the pool */
	uint32_t n_free;       /* of them in use by nobody */
	uint32_t lower_tokens; /* beyond them, in the lower tier */
	uint64_t recall_bytes; /* that have to come from there */
};

/* Looks for the first @reached tokens; the last one is never found, to be computed again. */
void jt__kv_find(const struct jt_kv_pool *p, const uint64_t *hashes, uint32_t n_hashes,
                 uint32_t reached, struct jt_kv_hit *ret_hit);
/* Whether @t could be given blocks for @tokens in all. */
bool jt__kv_fits(const struct jt_kv_pool *p, const struct jt_kv_table *t,
                 const struct jt_kv_hit *hit, uint64_t tokens);
/*
 * Gives @t blocks for @tokens in all, those of @hit among them; a table that has blocks has no
 * hits. JT_ELIMIT: too few are free; then nothing has changed.
 */
int jt__kv_take(struct jt_kv_pool *p, struct jt_kv_table *t, const uint64_t *hashes,
                const struct jt_kv_hit *hit, uint64_t tokens);
/*
 * The first @tokens are computed, or will be before anybody reads them: full blocks can be found
 * from now on and are copied to the lower tier, which adds to @write_through_bytes. JT_ENOMEM.
 */
int jt__kv_index(struct jt_kv_pool *p, struct jt_kv_table *t, const uint64_t *hashes,
                 uint32_t n_hashes, uint32_t tokens, uint64_t *write_through_bytes);
/* Lets go of all blocks; the last one of the sequence is the first to be handed out anew. */
void jt__kv_release(struct jt_kv_pool *p, struct jt_kv_table *t);

uint64_t jt__kv_free_blocks(const struct jt_kv_pool *p);
/* Bytes of blocks that are in use, or free and still found in the index. */
uint64_t jt__kv_used_bytes(const struct jt_kv_pool *p);

#endif
