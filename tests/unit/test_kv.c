/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "base/rng.h"
#include "model/kv.h"

#define BLOCK 16
#define BLOCK_BYTES 1000
#define CHUNK 64

static const struct jt_kv_hit no_hit;

static struct jt_kv_pool *pool(uint64_t n_blocks, struct jt_kv_pool *lower)
{
	struct jt_kv_options o = { .n_blocks = n_blocks,
		                   .block_tokens = BLOCK,
		                   .bytes_per_block = BLOCK_BYTES,
		                   .prefix_caching = true,
		                   .lower = lower };
	struct jt_kv_pool *p = NULL;

	check(jt__kv_pool_new(&o, &p, NULL) == JT_OK);
	return p;
}

static struct jt_kv_pool *lower_pool(uint64_t n_blocks)
{
	struct jt_kv_options o = { .n_blocks = n_blocks,
		                   .block_tokens = CHUNK,
		                   .bytes_per_block = 7,
		                   .prefix_caching = true };
	struct jt_kv_pool *p = NULL;

	check(jt__kv_pool_new(&o, &p, NULL) == JT_OK);
	return p;
}

/* Hashes of a sequence whose blocks are told apart by @first, @first + 1, … */
static void chain(uint64_t *hashes, uint32_t n, uint32_t first)
{
	uint64_t h = JT_KV_ROOT;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t token = first + i;

		hashes[i] = h = jt__kv_hash_block(h, &token, 1);
	}
}

/* Takes and indexes @tokens, with what is found of them. */
static int fill(struct jt_kv_pool *p, struct jt_kv_table *t, const uint64_t *hashes,
                uint32_t n_hashes, uint32_t tokens)
{
	uint64_t bytes = 0;
	struct jt_kv_hit hit;
	int status;

	jt__kv_find(p, hashes, n_hashes, tokens, &hit);
	status = jt__kv_take(p, t, hashes, &hit, tokens);
	if (status == JT_OK)
		status = jt__kv_index(p, t, hashes, n_hashes, tokens, &bytes);
	return status;
}

static struct jt_kv_hit found(struct jt_kv_pool *p, const uint64_t *hashes, uint32_t n,
                              uint32_t reached)
{
	struct jt_kv_hit hit;

	jt__kv_find(p, hashes, n, reached, &hit);
	return hit;
}

static void hands_out_blocks_all_or_nothing(void)
{
	struct jt_kv_pool *p = pool(4, NULL);
	struct jt_kv_table a = { 0 }, b = { 0 };

	check(jt__kv_take(p, &a, NULL, &no_hit, 33) == JT_OK && a.n_blocks == 3);
	check(a.blocks[0] == 0 && a.blocks[1] == 1 && a.blocks[2] == 2);
	check(jt__kv_take(p, &a, NULL, &no_hit, 48) == JT_OK && a.n_blocks == 3);
	check(jt__kv_take(p, &b, NULL, &no_hit, 17) == JT_ELIMIT && b.n_blocks == 0);
	check(jt__kv_free_blocks(p) == 1 && jt__kv_used_bytes(p) == 3 * BLOCK_BYTES);
	jt__kv_release(p, &a);
	check(jt__kv_free_blocks(p) == 4 && jt__kv_used_bytes(p) == 0);
	jt__kv_release(p, &b);
	jt__kv_pool_free(p);
}

static void the_longest_free_block_goes_first(void)
{
	struct jt_kv_pool *p = pool(4, NULL);
	struct jt_kv_table a = { 0 }, b = { 0 };

	check(jt__kv_take(p, &a, NULL, &no_hit, 32) == JT_OK);
	jt__kv_release(p, &a);
	/* Those never used, then the freed ones from the end of their sequence. */
	check(jt__kv_take(p, &b, NULL, &no_hit, 64) == JT_OK);
	check(b.blocks[0] == 2 && b.blocks[1] == 3 && b.blocks[2] == 1 && b.blocks[3] == 0);
	jt__kv_release(p, &b);
	jt__kv_pool_free(p);
}

static void finds_a_prefix_but_not_the_last_token(void)
{
	struct jt_kv_pool *p = pool(16, NULL);
	struct jt_kv_table a = { 0 }, b = { 0 };
	uint64_t x[4], y[4];

	chain(x, 4, 100);
	chain(y, 4, 101);
	check(fill(p, &a, x, 4, 64) == JT_OK);
	check(found(p, x, 4, 64).n_blocks == 3 && found(p, x, 4, 65).n_blocks == 4);
	check(found(p, x, 2, 65).n_blocks == 2 && found(p, x, 4, 16).n_blocks == 0);
	check(found(p, y, 4, 65).n_blocks == 0); /* the same tokens behind others */
	check(found(p, x, 4, 65).n_free == 0);
	check(fill(p, &b, x, 4, 64) == JT_OK);
	check(b.n_blocks == 4 && memcmp(a.blocks, b.blocks, 3 * sizeof(*a.blocks)) == 0);
	check(a.blocks[3] != b.blocks[3] && jt__kv_free_blocks(p) == 11);
	jt__kv_release(p, &a);
	check(jt__kv_free_blocks(p) == 12); /* the others are still in use */
	/* The content of a's last block is found in b's, which is newer. */
	check(jt__kv_used_bytes(p) == 4 * BLOCK_BYTES);
	jt__kv_release(p, &b);
	check(jt__kv_free_blocks(p) == 16 && jt__kv_used_bytes(p) == 4 * BLOCK_BYTES);
	check(found(p, x, 4, 65).n_free == 4);
	jt__kv_pool_free(p);
}

static void a_block_handed_out_anew_is_forgotten(void)
{
	struct jt_kv_pool *p = pool(4, NULL);
	struct jt_kv_table a = { 0 }, b = { 0 };
	uint64_t x[4];

	chain(x, 4, 100);
	check(fill(p, &a, x, 4, 64) == JT_OK);
	jt__kv_release(p, &a);
	/* The end goes first, the beginning stays. */
	check(jt__kv_take(p, &b, NULL, &no_hit, 17) == JT_OK);
	check(found(p, x, 4, 100).n_blocks == 2 && jt__kv_used_bytes(p) == 4 * BLOCK_BYTES);
	/* A hit that is free takes part in what must be free. */
	check(fill(p, &a, x, 4, 64) == JT_ELIMIT && jt__kv_free_blocks(p) == 2);
	check(fill(p, &a, x, 4, 32) == JT_OK && jt__kv_free_blocks(p) == 0);
	jt__kv_release(p, &a);
	jt__kv_release(p, &b);
	jt__kv_pool_free(p);
}

static void finds_nothing_when_caching_is_off(void)
{
	struct jt_kv_options o = { .n_blocks = 8, .block_tokens = BLOCK };
	struct jt_kv_pool *p = NULL;
	struct jt_kv_table a = { 0 };
	uint64_t x[4];

	chain(x, 4, 100);
	check(jt__kv_pool_new(&o, &p, NULL) == JT_OK);
	check(fill(p, &a, x, 4, 64) == JT_OK && a.n_indexed == 0);
	check(found(p, x, 4, 65).n_blocks == 0);
	jt__kv_release(p, &a);
	check(jt__kv_used_bytes(p) == 0);
	jt__kv_pool_free(p);
}

static void whole_chunks_are_copied_to_the_lower_tier_once(void)
{
	struct jt_kv_pool *low = lower_pool(8), *p = pool(32, low);
	struct jt_kv_table a = { 0 }, b = { 0 };
	uint64_t x[12], bytes = 0;

	chain(x, 12, 100);
	check(jt__kv_take(p, &a, x, &no_hit, 192) == JT_OK);
	check(jt__kv_index(p, &a, x, 12, 63, &bytes) == JT_OK && bytes == 0 && a.n_indexed == 3);
	check(jt__kv_index(p, &a, x, 12, 64, &bytes) == JT_OK && bytes == 7);
	check(jt__kv_index(p, &a, x, 12, 192, &bytes) == JT_OK && bytes == 21);
	check(jt__kv_index(p, &a, x, 12, 192, &bytes) == JT_OK && bytes == 21);
	check(jt__kv_free_blocks(low) == 8 && jt__kv_used_bytes(low) == 21);
	check(jt__kv_take(p, &b, x, &no_hit, 192) == JT_OK);
	check(jt__kv_index(p, &b, x, 12, 192, &bytes) == JT_OK && bytes == 21);
	jt__kv_release(p, &a);
	jt__kv_release(p, &b);
	jt__kv_pool_free(p);
	jt__kv_pool_free(low);
}

static void the_lower_tier_gives_back_whole_chunks(void)
{
	struct jt_kv_pool *low = lower_pool(8), *p = pool(12, low), *other = pool(12, low);
	struct jt_kv_table a = { 0 };
	struct jt_kv_hit hit;
	uint64_t x[12];

	chain(x, 12, 100);
	check(fill(p, &a, x, 12, 192) == JT_OK);
	/* Another engine with the same lower tier. */
	hit = found(other, x, 12, 200);
	check(hit.n_blocks == 0 && hit.lower_tokens == 192 && hit.recall_bytes == 21);
	hit = found(other, x, 12, 191);
	check(hit.lower_tokens == 128 && hit.recall_bytes == 14);
	check(found(other, x, 11, 192).lower_tokens == 128);
	/* Of the whole sequence the last token is left. */
	check(found(other, x, 12, 192).lower_tokens == 191);
	check(found(other, x, 12, 63).lower_tokens == 0);
	jt__kv_release(p, &a);
	/* Five blocks are found here: the chunk that begins among them is fetched whole. */
	check(jt__kv_take(p, &a, NULL, &no_hit, 7 * BLOCK) == JT_OK);
	hit = found(p, x, 12, 200);
	check(hit.n_blocks == 5 && hit.n_free == 5);
	check(hit.lower_tokens == 192 - 80 && hit.recall_bytes == 14);
	/* Less than a chunk more is not worth it. */
	hit = found(p, x, 8, 130);
	check(hit.n_blocks == 5 && hit.lower_tokens == 0 && hit.recall_bytes == 0);
	jt__kv_release(p, &a);
	jt__kv_pool_free(other);
	jt__kv_pool_free(p);
	jt__kv_pool_free(low);
}

static void the_lower_tier_drops_what_was_written_first(void)
{
	struct jt_kv_pool *low = lower_pool(2), *p = pool(64, low), *other = pool(8, low);
	struct jt_kv_table t[3] = { { 0 } };
	uint64_t x[3][4];

	for (uint32_t i = 0; i < 3; i++) {
		chain(x[i], 4, 100 * (i + 1));
		check(fill(p, &t[i], x[i], 4, 64) == JT_OK);
	}
	check(found(other, x[0], 4, 65).lower_tokens == 0);
	check(found(other, x[1], 4, 65).lower_tokens == 64);
	check(found(other, x[2], 4, 65).lower_tokens == 64);
	for (uint32_t i = 0; i < 3; i++)
		jt__kv_release(p, &t[i]);
	jt__kv_pool_free(other);
	jt__kv_pool_free(p);
	jt__kv_pool_free(low);
}

#define N_TABLES 24
#define N_BLOCKS 300
#define MAX_TOKENS 640

struct holder {
	struct jt_kv_table t;
	uint64_t hashes[MAX_TOKENS / BLOCK];
	uint32_t tokens;
};

/* A block is in several tables only as the same part of the same beginning. */
static void check_sharing(const struct holder *h)
{
	const struct holder *owner[N_BLOCKS] = { NULL };
	uint32_t place[N_BLOCKS] = { 0 };

	for (uint32_t i = 0; i < N_TABLES; i++) {
		for (uint32_t k = 0; k < h[i].t.n_blocks; k++) {
			uint32_t b = h[i].t.blocks[k];

			check(b < N_BLOCKS);
			if (owner[b])
				check(place[b] == k && owner[b]->hashes[k] == h[i].hashes[k]);
			owner[b] = &h[i];
			place[b] = k;
		}
	}
}

static uint64_t distinct_blocks(const struct holder *h)
{
	bool used[N_BLOCKS] = { false };
	uint64_t n = 0;

	for (uint32_t i = 0; i < N_TABLES; i++) {
		for (uint32_t k = 0; k < h[i].t.n_blocks; k++) {
			n += !used[h[i].t.blocks[k]];
			used[h[i].t.blocks[k]] = true;
		}
	}
	return n;
}

static void no_block_is_lost_or_given_twice(void)
{
	static struct holder h[N_TABLES];
	struct jt_kv_pool *low = lower_pool(50), *p = pool(N_BLOCKS, low);
	struct jt_rng rng = { 11 };
	uint32_t n_refused = 0, n_hits = 0;

	for (uint32_t round = 0; round < 20000; round++) {
		struct holder *x = &h[jt__rng_below(&rng, N_TABLES)];

		if (x->tokens > 0 && jt__rng_below(&rng, 3) == 0) {
			jt__kv_release(p, &x->t);
			x->tokens = 0;
		} else {
			uint32_t tokens = x->tokens + 1 + (uint32_t)jt__rng_below(&rng, 100);
			struct jt_kv_hit hit = no_hit;
			uint64_t bytes = 0;
			int status;

			tokens = JT_MIN(tokens, (uint32_t)MAX_TOKENS);
			if (x->tokens == 0) {
				chain(x->hashes, MAX_TOKENS / BLOCK,
				      1000 * (uint32_t)jt__rng_below(&rng, 9));
				tokens = 1 + (uint32_t)jt__rng_below(&rng, MAX_TOKENS);
				hit = found(p, x->hashes, MAX_TOKENS / BLOCK, tokens);
				n_hits += hit.n_blocks > 0;
			}
			status = jt__kv_take(p, &x->t, x->hashes, &hit, tokens);
			n_refused += status == JT_ELIMIT;
			if (status == JT_OK) {
				x->tokens = tokens;
				check(jt__kv_index(p, &x->t, x->hashes, MAX_TOKENS / BLOCK, tokens,
				                   &bytes) == JT_OK);
			}
		}
		if (round % 50 == 0)
			check_sharing(h);
		check(distinct_blocks(h) + jt__kv_free_blocks(p) == N_BLOCKS);
		check(jt__kv_used_bytes(p) <= (uint64_t)N_BLOCKS * BLOCK_BYTES);
		check(jt__kv_free_blocks(low) == 50);
	}
	check(n_refused > 100 && n_hits > 100);
	for (uint32_t i = 0; i < N_TABLES; i++)
		jt__kv_release(p, &h[i].t);
	check(jt__kv_free_blocks(p) == N_BLOCKS);
	jt__kv_pool_free(p);
	jt__kv_pool_free(low);
}

static void refuses_pools_that_make_no_sense(void)
{
	struct jt_kv_pool *low = lower_pool(2), *mid = NULL, *p = NULL;
	struct jt_kv_options o = { .n_blocks = 0, .block_tokens = BLOCK };
	struct jt_error err;

	check(jt__kv_pool_new(&o, &p, &err) == JT_EINVAL && strstr(err.message, "0 blocks"));
	o.n_blocks = UINT32_MAX;
	check(jt__kv_pool_new(&o, &p, &err) == JT_EINVAL);
	o.n_blocks = 1;
	o.block_tokens = 0;
	check(jt__kv_pool_new(&o, &p, &err) == JT_EINVAL);
	o.block_tokens = 24;
	o.lower = low;
	check(jt__kv_pool_new(&o, &p, &err) == JT_EINVAL && strstr(err.message, "no multiple"));
	mid = pool(2, low);
	o.lower = mid;
	check(jt__kv_pool_new(&o, &p, &err) == JT_EINVAL && !p);
	jt__kv_pool_free(mid);
	jt__kv_pool_free(low);
	jt__kv_pool_free(NULL);
}

static void memory_running_out_changes_nothing(void)
{
	struct jt_kv_pool *low = lower_pool(200), *p = pool(1000, low);
	struct jt_kv_table a = { 0 };
	uint64_t x[600];
	uint32_t n_failed = 0;

	chain(x, 600, 100);
	for (uint32_t tokens = BLOCK; tokens <= 600 * BLOCK; tokens += BLOCK) {
		struct jt_kv_hit hit = no_hit;
		uint64_t bytes = 0;

		jt__alloc_fail_at(1 + tokens % 3);
		while (jt__kv_take(p, &a, x, &hit, tokens) == JT_ENOMEM)
			n_failed++;
		jt__alloc_fail_at(1);
		while (jt__kv_index(p, &a, x, 600, tokens, &bytes) == JT_ENOMEM)
			n_failed++;
		check(a.n_blocks == tokens / BLOCK && a.n_indexed == a.n_blocks);
		check(found(p, x, 600, tokens + 1).n_blocks == a.n_blocks);
	}
	jt__alloc_fail_at(0);
	check(n_failed >= 8);
	check(jt__kv_used_bytes(low) == 7 * 150);
	jt__kv_release(p, &a);
	jt__kv_pool_free(p);
	jt__kv_pool_free(low);
}

int main(void)
{
	test(hands_out_blocks_all_or_nothing);
	test(the_longest_free_block_goes_first);
	test(finds_a_prefix_but_not_the_last_token);
	test(a_block_handed_out_anew_is_forgotten);
	test(finds_nothing_when_caching_is_off);
	test(whole_chunks_are_copied_to_the_lower_tier_once);
	test(the_lower_tier_gives_back_whole_chunks);
	test(the_lower_tier_drops_what_was_written_first);
	test(no_block_is_lost_or_given_twice);
	test(refuses_pools_that_make_no_sense);
	test(memory_running_out_changes_nothing);
	return tap_done();
}
