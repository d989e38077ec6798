/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "model/sched.h"

#define BLOCK 16

static struct jt_sched_options options(uint64_t n_blocks, uint32_t max_batch_tokens)
{
	return (struct jt_sched_options){
		.max_seqs = 64,
		.max_batch_tokens = max_batch_tokens,
		.chunked_prefill = true,
		.kv = { .n_blocks = n_blocks,
		        .block_tokens = BLOCK,
		        .bytes_per_block = 1000,
		        .prefix_caching = true },
	};
}

static struct jt_sched *sched(const struct jt_sched_options *o)
{
	struct jt_sched *s = NULL;

	check(jt__sched_new(o, &s, NULL) == JT_OK);
	return s;
}

static struct jt_seq seq(uint64_t id, uint32_t prompt_tokens, uint32_t output_tokens)
{
	return (struct jt_seq){ .id = id,
		                .prompt_tokens = prompt_tokens,
		                .output_tokens = output_tokens };
}

static struct jt_batch *form(struct jt_sched *s)
{
	int status = 1;
	struct jt_batch *b = jt__sched_form(s, 0, &status);

	check(status == JT_OK);
	return b;
}

/* Whether the batch is these (sequence, new tokens, KV before) and nothing else. */
static bool batch_is(const struct jt_batch *b, uint32_t n, const uint32_t want[][3])
{
	if (!b || b->n_items != n)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const struct jt_batch_item *it = &b->items[i];

		if (it->seq->id != want[i][0] || it->new_tokens != want[i][1] ||
		    it->kv_tokens != want[i][2])
			return false;
	}
	return true;
}

#define BATCH(b, ...)                                                                              \
	batch_is(b, sizeof((uint32_t[][3]){ __VA_ARGS__ }) / (3 * sizeof(uint32_t)),               \
	         (const uint32_t[][3]){ __VA_ARGS__ })

static struct jt_sched_stats stats(const struct jt_sched *s)
{
	struct jt_sched_stats st;

	jt__sched_stats(s, &st);
	return st;
}

static void chain(uint64_t *hashes, uint32_t n, uint32_t first)
{
	uint64_t h = JT_KV_ROOT;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t token = first + i;

		hashes[i] = h = jt__kv_hash_block(h, &token, 1);
	}
}

static void a_request_from_its_prompt_to_its_last_token(void)
{
	struct jt_sched_options o = options(100, 64);
	struct jt_sched *s = sched(&o);
	struct jt_seq q = seq(1, 100, 3);
	struct jt_batch *b;

	check(jt__sched_empty(s) && !form(s));
	check(jt__sched_submit(s, &q) == JT_OK && q.reached == 100);
	check(jt__sched_waiting(s) == 1 && !jt__sched_empty(s));
	b = form(s);
	check(BATCH(b, { 1, 64, 0 }) && b->id == 0 && b->n_prefill == 1 && b->n_decode == 0);
	check(q.computed == 64 && q.running && jt__sched_in_flight(s) == 1);
	check(!form(s)); /* one batch at a time */
	jt__sched_complete(s, b, false);
	check(!b->items[0].token && !b->items[0].first && b->items[0].prompt_tokens == 64);
	b = form(s);
	check(BATCH(b, { 1, 36, 64 }) && b->id == 1);
	check(b->prefill_tokens == 36 && b->prefill_kv_tokens == 64);
	check(b->used_bytes == 7000);
	jt__sched_complete(s, b, false);
	check(b->items[0].token && b->items[0].first && !b->items[0].finished);
	check(b->items[0].prompt_tokens == 36 && q.has_first && q.reached == 101);
	b = form(s);
	check(BATCH(b, { 1, 1, 100 }) && b->n_decode == 1 && b->decode_kv_tokens == 100);
	check(b->decode_kv_min == 100 && b->decode_kv_max == 100);
	jt__sched_complete(s, b, false);
	check(b->items[0].token && !b->items[0].first && b->items[0].prompt_tokens == 0);
	b = form(s);
	check(BATCH(b, { 1, 1, 101 }));
	jt__sched_complete(s, b, false);
	check(b->items[0].token && b->items[0].finished && q.finished && !q.running);
	check(jt__sched_empty(s) && stats(s).free_blocks == 100 && !form(s));
	check(stats(s).used_bytes == 0 && stats(s).requested_tokens == 100);
	jt__sched_free(s);
}

static void decodes_come_first_and_a_threshold_cuts_prompts(void)
{
	struct jt_sched_options o = options(100, 50);
	struct jt_sched *s;
	struct jt_seq a = seq(1, 20, 5), b = seq(2, 70, 5), c = seq(3, 30, 5);
	struct jt_batch *x;

	o.prefill_threshold = 30;
	s = sched(&o);
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	jt__sched_submit(s, &c);
	x = form(s);
	check(BATCH(x, { 1, 20, 0 }, { 2, 30, 0 }));
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 20 }, { 2, 30, 30 }, { 3, 19, 0 }));
	check(x->n_tokens == 50 && x->prefill_tokens == 49 && x->prefill_kv_tokens == 30);
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 21 }, { 2, 10, 60 }, { 3, 11, 19 }));
	jt__sched_complete(s, x, false);
	check(x->items[1].first && x->items[2].first);
	x = form(s);
	check(BATCH(x, { 1, 1, 22 }, { 2, 1, 70 }, { 3, 1, 30 }));
	check(x->decode_kv_min == 22 && x->decode_kv_max == 70 && x->decode_kv_tokens == 122);
	jt__sched_complete(s, x, false);
	jt__sched_free(s);
}

static void without_chunks_a_prompt_waits_for_a_step_of_its_own(void)
{
	struct jt_sched_options o = options(100, 50);
	struct jt_sched *s;
	struct jt_seq a = seq(1, 20, 5), b = seq(2, 40, 1), c = seq(3, 5, 5), d = seq(4, 60, 1);
	struct jt_batch *x;

	o.chunked_prefill = false;
	s = sched(&o);
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	jt__sched_submit(s, &c);
	x = form(s);
	check(BATCH(x, { 1, 20, 0 })); /* c would fit, but it is not its turn */
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 20 }, { 2, 40, 0 }, { 3, 5, 0 }));
	jt__sched_complete(s, x, false);
	/* No step is large enough for this one. */
	jt__sched_submit(s, &d);
	x = form(s);
	check(BATCH(x, { 1, 1, 21 }, { 3, 1, 5 }, { 4, 48, 0 }));
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 22 }, { 3, 1, 6 }, { 4, 12, 48 }));
	jt__sched_complete(s, x, false);
	jt__sched_free(s);
}

static void admits_in_order_of_arrival_and_no_more_than_it_may(void)
{
	struct jt_sched_options o = options(100, 500);
	struct jt_sched *s;
	struct jt_seq q[4];
	struct jt_batch *x;
	int status;

	o.max_seqs = 2;
	s = sched(&o);
	for (uint32_t i = 0; i < 4; i++)
		q[i] = seq(i, 10, 2);
	q[0].arrival_ns = q[3].arrival_ns = 5;
	q[1].arrival_ns = 7;
	jt__sched_submit(s, &q[3]);
	jt__sched_submit(s, &q[1]);
	jt__sched_submit(s, &q[0]);
	jt__sched_submit(s, &q[2]);
	x = jt__sched_form(s, 4, &status);
	check(BATCH(x, { 2, 10, 0 }) && x->formed_ns == 4);
	jt__sched_complete(s, x, false);
	x = jt__sched_form(s, 6, &status);
	check(BATCH(x, { 2, 1, 10 }, { 0, 10, 0 }));
	check(jt__sched_waiting(s) == 2 && jt__sched_running(s) == 2);
	jt__sched_complete(s, x, false);
	check(q[2].finished);
	x = jt__sched_form(s, 6, &status);
	check(BATCH(x, { 0, 1, 10 }, { 3, 10, 0 }));
	jt__sched_complete(s, x, false);
	x = jt__sched_form(s, 6, &status);
	check(BATCH(x, { 3, 1, 10 })); /* 1 has not arrived */
	jt__sched_complete(s, x, false);
	check(!jt__sched_form(s, 6, &status) && status == JT_OK);
	check(BATCH(jt__sched_form(s, 7, &status), { 1, 10, 0 }));
	jt__sched_free(s);
}

static void the_last_admitted_gives_way_and_computes_again(void)
{
	struct jt_sched_options o = options(4, 500);
	struct jt_sched *s = sched(&o);
	struct jt_seq a = seq(1, 31, 5), b = seq(2, 31, 5);
	struct jt_batch *x;

	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	x = form(s);
	check(BATCH(x, { 1, 31, 0 }, { 2, 31, 0 }));
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 31 }, { 2, 1, 31 }) && stats(s).free_blocks == 0);
	jt__sched_complete(s, x, false);
	/* A third block for 1 is to be had only from 2, which is not admitted again at once. */
	x = form(s);
	check(BATCH(x, { 1, 1, 32 }) && !b.running && b.computed == 0 && b.n_preempted == 1);
	check(jt__sched_waiting(s) == 1 && stats(s).free_blocks == 1);
	check(b.has_first && b.reached == 33);
	jt__sched_complete(s, x, false);
	/* One block is free: admitted with as little as that, 2 pushes itself out. */
	x = form(s);
	check(BATCH(x, { 1, 1, 33 }));
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 34 }));
	jt__sched_complete(s, x, false);
	check(a.finished);
	x = form(s);
	check(BATCH(x, { 2, 33, 0 }) && stats(s).recomputed_tokens == 33);
	jt__sched_complete(s, x, false);
	check(x->items[0].token && !x->items[0].first && x->items[0].prompt_tokens == 33);
	check(b.reached == 34 && stats(s).preemptions == 1 && stats(s).requested_tokens == 62);
	jt__sched_free(s);
}

static void what_is_left_of_its_blocks_is_found_after_a_preemption(void)
{
	struct jt_sched_options o = options(4, 500);
	struct jt_sched *s = sched(&o);
	struct jt_seq a = seq(1, 31, 3), b = seq(2, 31, 5);
	uint64_t hashes[2];
	struct jt_batch *x;

	chain(hashes, 2, 50);
	b.hashes = hashes;
	b.n_hashes = 2;
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	for (int i = 0; i < 2; i++)
		jt__sched_complete(s, form(s), false);
	check(b.kv.n_indexed == 2);
	x = form(s); /* takes 2's last block */
	check(BATCH(x, { 1, 1, 32 }) && b.n_preempted == 1);
	jt__sched_complete(s, x, false);
	check(a.finished);
	x = form(s);
	check(BATCH(x, { 2, 17, 16 }) && b.hit_tokens == 16 && stats(s).hit_tokens == 0);
	check(stats(s).recomputed_tokens == 17);
	jt__sched_complete(s, x, false);
	check(x->items[0].token && x->items[0].prompt_tokens == 17);
	jt__sched_free(s);
}

static void a_whole_prompt_can_be_reserved_before_it_begins(void)
{
	for (int reserve = 0; reserve < 2; reserve++) {
		struct jt_sched_options o = options(6, 40);
		struct jt_seq a = seq(1, 40, 10), b = seq(2, 60, 1);
		struct jt_sched *s;
		struct jt_batch *x;

		o.reserve_prompt = reserve;
		s = sched(&o);
		jt__sched_submit(s, &a);
		jt__sched_submit(s, &b);
		jt__sched_complete(s, form(s), false);
		x = form(s);
		if (reserve)
			check(BATCH(x, { 1, 1, 40 }) && jt__sched_waiting(s) == 1);
		else
			check(BATCH(x, { 1, 1, 40 }, { 2, 39, 0 }));
		jt__sched_complete(s, x, false);
		jt__sched_free(s);
	}
}

static void equal_prompts_are_computed_once(void)
{
	struct jt_sched_options o = options(100, 500);
	struct jt_sched *s = sched(&o);
	struct jt_seq a = seq(1, 100, 3), b = seq(2, 96, 1);
	uint64_t hashes[6];
	struct jt_batch *x;

	chain(hashes, 6, 50);
	a.hashes = b.hashes = hashes;
	a.n_hashes = b.n_hashes = 6;
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	/* Even in the step that computes it: it is in the index from when blocks are given. */
	x = form(s);
	check(BATCH(x, { 1, 100, 0 }, { 2, 16, 80 }));
	check(b.hit_tokens == 80 && b.lower_hit_tokens == 0 && stats(s).free_blocks == 92);
	jt__sched_complete(s, x, false);
	check(x->items[1].first && x->items[1].finished && x->items[1].prompt_tokens == 96);
	check(stats(s).requested_tokens == 196 && stats(s).hit_tokens == 80);
	/* 1 has 7 blocks; the sixth is found in 2's copy, which is newer, though free. */
	check(stats(s).free_blocks == 93 && stats(s).used_bytes == 8000);
	jt__sched_free(s);
}

static void the_lower_tier_is_read_before_the_step_and_written_with_it(void)
{
	struct jt_kv_options low = {
		.n_blocks = 10, .block_tokens = 64, .bytes_per_block = 9, .prefix_caching = true
	};
	struct jt_sched_options o = options(100, 500);
	struct jt_seq a = seq(1, 150, 3), b = seq(2, 150, 3);
	struct jt_sched *s, *other;
	uint64_t hashes[9];
	struct jt_batch *x;

	chain(hashes, 9, 50);
	a.hashes = b.hashes = hashes;
	a.n_hashes = b.n_hashes = 9;
	check(jt__kv_pool_new(&low, &o.kv.lower, NULL) == JT_OK);
	s = sched(&o);
	other = sched(&o);
	jt__sched_submit(s, &a);
	x = form(s);
	check(x->write_through_bytes == 18 && x->recall_bytes == 0);
	jt__sched_complete(s, x, false);
	x = form(s);
	check(x->write_through_bytes == 0);
	jt__sched_complete(s, x, false);
	jt__sched_submit(other, &b);
	x = form(other);
	check(BATCH(x, { 2, 22, 128 }) && x->recall_bytes == 18 && x->write_through_bytes == 0);
	check(b.hit_tokens == 0 && b.lower_hit_tokens == 128);
	jt__sched_complete(other, x, false);
	check(x->items[0].prompt_tokens == 150 && stats(other).lower_hit_tokens == 128);
	jt__sched_free(s);
	jt__sched_free(other);
	jt__kv_pool_free(o.kv.lower);
}

static void a_sequence_moves_from_a_prefill_engine_to_a_decode_engine(void)
{
	struct jt_sched_options o = options(100, 500);
	struct jt_sched *p = sched(&o), *d = sched(&o);
	struct jt_seq a = seq(1, 100, 3), b = seq(2, 100, 3), rest[2];
	uint64_t hashes[6];
	struct jt_batch *x;

	chain(hashes, 6, 50);
	a.hashes = b.hashes = hashes;
	a.n_hashes = b.n_hashes = 6;
	jt__sched_submit(p, &a);
	x = form(p);
	jt__sched_complete(p, x, true);
	check(x->items[0].first && x->items[0].finished && !x->items[0].token);
	check(x->items[0].prompt_tokens == 100 && a.reached == 101 && a.computed == 100);
	check(jt__sched_empty(p) && stats(p).free_blocks == 100);
	check(jt__sched_take_over(d, &a) == JT_OK && a.running && !a.finished);
	check(stats(d).free_blocks == 93 && stats(d).requested_tokens == 0);
	x = form(d);
	check(BATCH(x, { 1, 1, 100 }));
	jt__sched_complete(d, x, false);
	check(x->items[0].token && !x->items[0].first && !x->items[0].finished);
	/* The same prompt again: what is found counts on top of what was brought. */
	b.reached = 101;
	b.computed = 100;
	b.has_first = true;
	check(jt__sched_take_over(d, &b) == JT_OK && b.computed == 100);
	check(b.kv.n_blocks == 13 && stats(d).free_blocks == 93 - 7);
	x = form(d);
	check(BATCH(x, { 1, 1, 101 }, { 2, 1, 100 }));
	jt__sched_complete(d, x, false);
	check(x->items[0].finished && x->items[1].token && !x->items[1].finished);
	for (uint32_t i = 0; i < 2; i++) {
		rest[i] = seq(3 + i, 700, 3);
		rest[i].reached = 701;
		rest[i].computed = 700;
	}
	check(jt__sched_take_over(d, &rest[0]) == JT_OK);
	check(jt__sched_take_over(d, &rest[1]) == JT_ELIMIT && !rest[1].running);
	jt__sched_free(p);
	jt__sched_free(d);
}

static void a_pipeline_has_several_batches_under_way(void)
{
	struct jt_sched_options o = options(100, 40);
	struct jt_sched *s;
	struct jt_seq a = seq(1, 40, 3), b = seq(2, 40, 3);
	struct jt_batch *x, *y, *z;

	o.max_batches = 2;
	s = sched(&o);
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	x = form(s);
	y = form(s);
	check(BATCH(x, { 1, 40, 0 }) && BATCH(y, { 2, 40, 0 }) && x != y);
	check(!form(s) && jt__sched_in_flight(s) == 2);
	jt__sched_complete(s, x, false);
	z = form(s);
	check(BATCH(z, { 1, 1, 40 })); /* 2's token is still under way */
	jt__sched_complete(s, y, false);
	x = form(s);
	check(BATCH(x, { 2, 1, 40 }));
	jt__sched_complete(s, z, false);
	jt__sched_complete(s, x, false);
	x = form(s);
	check(BATCH(x, { 1, 1, 41 }, { 2, 1, 41 }) && !form(s));
	jt__sched_complete(s, x, false);
	check(a.finished && b.finished && jt__sched_empty(s));
	jt__sched_free(s);
}

static void who_finishes_early_leaves_the_batches_under_way(void)
{
	struct jt_sched_options o = options(100, 40);
	struct jt_sched *s;
	struct jt_seq a = seq(1, 80, 1), b = seq(2, 100, 3);
	struct jt_batch *x, *y;

	o.max_batches = 2;
	s = sched(&o);
	/* Its last chunk counts as computed when it is formed, as the reference has it. */
	jt__sched_submit(s, &a);
	x = form(s);
	y = form(s);
	check(BATCH(x, { 1, 40, 0 }) && BATCH(y, { 1, 40, 40 }) && a.n_in_flight == 2);
	jt__sched_complete(s, x, false);
	check(x->items[0].finished && a.finished && a.n_in_flight == 0 && !y->items[0].seq);
	jt__sched_complete(s, y, false);
	check(!y->items[0].token && jt__sched_empty(s));
	jt__sched_submit(s, &b);
	x = form(s);
	y = form(s);
	check(jt__sched_cancel(s, &b) == JT_OK && !x->items[0].seq && !y->items[0].seq);
	check(jt__sched_cancel(s, &b) == JT_ENOENT && jt__sched_in_flight(s) == 2);
	jt__sched_complete(s, y, false);
	jt__sched_complete(s, x, false);
	check(jt__sched_empty(s) && stats(s).free_blocks == 100);
	jt__sched_free(s);
}

static void a_token_of_one_preempted_meanwhile_is_lost(void)
{
	struct jt_sched_options o = options(4, 32);
	struct jt_sched *s;
	struct jt_seq a = seq(1, 32, 2), b = seq(2, 32, 2);
	struct jt_batch *x, *y, *z;

	o.max_batches = 2;
	s = sched(&o);
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	x = form(s);
	y = form(s);
	check(BATCH(x, { 1, 32, 0 }) && BATCH(y, { 2, 32, 0 }));
	jt__sched_complete(s, x, false);
	z = form(s);
	check(BATCH(z, { 1, 1, 32 }) && b.n_preempted == 1 && !b.running);
	jt__sched_complete(s, y, false);
	check(!y->items[0].token && !y->items[0].first && b.reached == 32);
	jt__sched_complete(s, z, false);
	check(a.finished);
	x = form(s);
	check(BATCH(x, { 2, 32, 0 }));
	jt__sched_complete(s, x, false);
	check(x->items[0].first && x->items[0].token);
	jt__sched_free(s);
}

static void cancelled_ones_make_room(void)
{
	struct jt_sched_options o = options(8, 100);
	struct jt_sched *s = sched(&o);
	struct jt_seq a = seq(1, 50, 9), b = seq(2, 50, 9), c = seq(3, 90, 9);
	struct jt_batch *x;

	check(jt__sched_cancel(s, &a) == JT_ENOENT);
	jt__sched_submit(s, &a);
	jt__sched_submit(s, &b);
	jt__sched_submit(s, &c);
	x = form(s);
	check(BATCH(x, { 1, 50, 0 }, { 2, 50, 0 }));
	check(jt__sched_cancel(s, &a) == JT_OK && jt__sched_cancel(s, &c) == JT_OK);
	check(jt__sched_waiting(s) == 0 && jt__sched_running(s) == 1);
	jt__sched_complete(s, x, false);
	check(!x->items[0].seq && x->items[1].token);
	check(BATCH(form(s), { 2, 1, 50 }));
	jt__sched_free(s);
}

#define N_RANDOM 300
#define MAX_HASHES 64

struct load {
	struct jt_seq seqs[N_RANDOM];
	uint64_t hashes[N_RANDOM][MAX_HASHES];
	uint32_t tokens[N_RANDOM];
	uint64_t digest; /* of all batches */
	struct jt_sched_stats stats;
};

static void make_load(struct load *l, struct jt_rng *rng)
{
	for (uint32_t i = 0; i < N_RANDOM; i++) {
		l->seqs[i] = seq(i, 1 + (uint32_t)jt__rng_below(rng, 500),
		                 1 + (uint32_t)jt__rng_below(rng, 60));
		l->seqs[i].arrival_ns = 30 * i + jt__rng_below(rng, 100);
		chain(l->hashes[i], MAX_HASHES, 1000 * (uint32_t)jt__rng_below(rng, 20));
		l->seqs[i].hashes = l->hashes[i];
		l->seqs[i].n_hashes = (l->seqs[i].prompt_tokens + l->seqs[i].output_tokens) / BLOCK;
	}
}

static void check_items(struct load *l, const struct jt_sched_options *o, const struct jt_batch *b)
{
	uint32_t n = 0;

	check(b->n_tokens <= o->max_batch_tokens && b->n_items == b->n_prefill + b->n_decode);
	for (uint32_t i = 0; i < b->n_items; i++) {
		const struct jt_batch_item *it = &b->items[i];

		n += it->new_tokens;
		check(it->new_tokens > 0 && it->seq->running);
		check(it->new_tokens <= o->prefill_threshold || o->prefill_threshold == 0);
		check(it->kv_tokens + it->new_tokens == it->seq->computed);
		check(it->seq->computed <= it->seq->reached);
		check(it->seq->kv.n_blocks * BLOCK >= it->seq->computed);
		l->digest = jt__kv_hash_block(
			l->digest,
			(uint32_t[]){ (uint32_t)it->seq->id, it->new_tokens, it->kv_tokens }, 3);
	}
	check(n == b->n_tokens);
}

static void tell(struct load *l, const struct jt_batch *b, bool *told)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		const struct jt_batch_item *it = &b->items[i];

		if (!it->seq)
			continue;
		check(!it->first || !told[it->seq->id]);
		check(!it->token || it->first || told[it->seq->id]);
		told[it->seq->id] |= it->first;
		l->tokens[it->seq->id] += it->token;
		check(it->finished == (l->tokens[it->seq->id] == it->seq->output_tokens));
	}
}

/* Blocks in some table and free ones are all there are. */
static void check_blocks(const struct load *l, const struct jt_sched *s)
{
	static bool used[1 << 16];
	uint64_t n = 0;

	memset(used, 0, sizeof(used));
	for (uint32_t i = 0; i < N_RANDOM; i++) {
		const struct jt_kv_table *t = &l->seqs[i].kv;

		check(t->n_blocks == 0 || l->seqs[i].running);
		for (uint32_t k = 0; k < t->n_blocks; k++) {
			n += !used[t->blocks[k]];
			used[t->blocks[k]] = true;
		}
	}
	check(n + stats(s).free_blocks == stats(s).n_blocks);
}

/* Runs a load to its end; each sequence gets what it asked for. */
static void run_load(struct load *l, const struct jt_sched_options *o, uint64_t seed)
{
	struct jt_sched *s = sched(o);
	struct jt_rng rng = { seed };
	bool told[N_RANDOM] = { false };
	struct jt_batch *under_way[4], *b;
	uint32_t n = 0, n_steps = 0;
	uint64_t t_ns = 0;
	int status;

	memset(l, 0, sizeof(*l));
	make_load(l, &rng);
	for (uint32_t i = 0; i < N_RANDOM; i++)
		check(jt__sched_submit(s, &l->seqs[i]) == JT_OK);
	while (!jt__sched_empty(s) && check(n_steps++ < 100000)) {
		while ((b = jt__sched_form(s, t_ns, &status))) {
			check_items(l, o, b);
			under_way[n++] = b;
		}
		check(status == JT_OK);
		t_ns += 10;
		if (n_steps % 16 == 0)
			check_blocks(l, s);
		if (n == 0)
			continue;
		jt__sched_complete(s, under_way[0], false);
		tell(l, under_way[0], told);
		memmove(under_way, under_way + 1, --n * sizeof(*under_way));
	}
	for (uint32_t i = 0; i < N_RANDOM; i++) {
		check(l->tokens[i] == l->seqs[i].output_tokens && told[i]);
		check(l->seqs[i].finished && !l->seqs[i].kv.blocks);
	}
	l->stats = stats(s);
	check(l->stats.free_blocks == l->stats.n_blocks);
	jt__sched_free(s);
}

static struct jt_sched_options random_options(struct jt_rng *rng)
{
	struct jt_sched_options o =
		options(40 + jt__rng_below(rng, 100), 16 + (uint32_t)jt__rng_below(rng, 600));

	o.max_seqs = (uint32_t)jt__rng_below(rng, 20);
	o.prefill_threshold = jt__rng_below(rng, 2) ? (uint32_t)jt__rng_below(rng, 100) : 0;
	o.max_batches = (uint32_t)jt__rng_below(rng, 4);
	o.chunked_prefill = jt__rng_below(rng, 2);
	o.reserve_prompt = jt__rng_below(rng, 2);
	o.kv.prefix_caching = jt__rng_below(rng, 4) > 0;
	return o;
}

static void every_load_runs_to_its_end_with_nothing_lost(void)
{
	static struct load l, again;
	struct jt_rng rng = { 3 };
	uint64_t preemptions = 0, hits = 0, lower_hits = 0;

	for (uint64_t k = 0; k < 60; k++) {
		struct jt_sched_options o = random_options(&rng);
		struct jt_kv_options low = { .n_blocks = 1 + jt__rng_below(&rng, 50),
			                     .block_tokens = BLOCK << jt__rng_below(&rng, 4),
			                     .bytes_per_block = 1,
			                     .prefix_caching = true };

		if (k % 2)
			check(jt__kv_pool_new(&low, &o.kv.lower, NULL) == JT_OK);
		run_load(&l, &o, k);
		if (k % 2) {
			check(jt__kv_free_blocks(o.kv.lower) == low.n_blocks);
			jt__kv_pool_free(o.kv.lower);
			check(jt__kv_pool_new(&low, &o.kv.lower, NULL) == JT_OK);
		}
		run_load(&again, &o, k);
		check(again.digest == l.digest);
		check(memcmp(&again.stats, &l.stats, sizeof(l.stats)) == 0);
		jt__kv_pool_free(o.kv.lower);
		preemptions += l.stats.preemptions;
		hits += l.stats.hit_tokens;
		lower_hits += l.stats.lower_hit_tokens;
	}
	check(preemptions > 100 && hits > 10000 && lower_hits > 1000);
}

static void random_cancellations_lose_no_block(void)
{
	static struct load l;
	struct jt_sched_options o = options(60, 200);
	struct jt_rng rng = { 9 };
	struct jt_batch *b, *last = NULL;
	struct jt_sched *s;
	int status;

	o.max_batches = 2;
	s = sched(&o);
	memset(&l, 0, sizeof(l));
	make_load(&l, &rng);
	for (uint32_t i = 0; i < N_RANDOM; i++)
		check(jt__sched_submit(s, &l.seqs[i]) == JT_OK);
	for (uint64_t t_ns = 0; !jt__sched_empty(s) && t_ns < 100000; t_ns += 10) {
		b = jt__sched_form(s, t_ns, &status);
		if (jt__rng_below(&rng, 10) == 0)
			jt__sched_cancel(s, &l.seqs[jt__rng_below(&rng, N_RANDOM)]);
		check_blocks(&l, s);
		if (last)
			jt__sched_complete(s, last, false);
		last = b;
	}
	if (last)
		jt__sched_complete(s, last, false);
	check(jt__sched_empty(s) && stats(s).free_blocks == 60);
	jt__sched_free(s);
}

static void refuses_what_can_never_run(void)
{
	struct jt_sched_options o = options(4, 100);
	struct jt_sched *s = sched(&o), *none = NULL;
	struct jt_seq q = seq(1, 0, 1), fits = seq(2, 60, 5), longer = seq(3, 60, 6),
		      huge = seq(4, UINT32_MAX, UINT32_MAX);
	struct jt_error err;

	check(jt__sched_submit(s, &q) == JT_EINVAL);
	q = seq(1, 1, 0);
	check(jt__sched_submit(s, &q) == JT_EINVAL && q.reached == 0);
	check(jt__sched_submit(s, &longer) == JT_ELIMIT && jt__sched_submit(s, &huge) == JT_ELIMIT);
	check(jt__sched_take_over(s, &longer) == JT_ELIMIT);
	check(jt__sched_submit(s, &fits) == JT_OK);
	for (int i = 0; i < 5; i++)
		jt__sched_complete(s, form(s), false);
	check(fits.finished && stats(s).preemptions == 0);
	jt__sched_free(s);
	o.kv.n_blocks = 0;
	check(jt__sched_new(&o, &none, &err) == JT_EINVAL && !none);
	jt__sched_free(NULL);
}

static void no_limits_are_no_limits(void)
{
	struct jt_sched_options o = options(1000, 0);
	static struct jt_seq q[300];
	struct jt_sched *s;
	struct jt_batch *b;

	o.max_seqs = 0;
	s = sched(&o);
	for (uint32_t i = 0; i < 300; i++) {
		q[i] = seq(i, 30, 2);
		check(jt__sched_submit(s, &q[i]) == JT_OK);
	}
	b = form(s);
	check(b && b->n_items == 300 && b->n_tokens == 9000);
	jt__sched_complete(s, b, false);
	check(form(s)->n_decode == 300);
	jt__sched_free(s);
}

static void a_step_for_which_memory_ran_out_can_be_formed_again(void)
{
	static struct load l;
	struct jt_sched_options o = options(100, 300);
	struct jt_kv_options low = { .n_blocks = 100,
		                     .block_tokens = 2 * BLOCK,
		                     .bytes_per_block = 1,
		                     .prefix_caching = true };
	struct jt_rng rng = { 4 };
	bool told[N_RANDOM] = { false };
	struct jt_sched *s = NULL;
	uint32_t n_failed = 0;
	struct jt_batch *b;
	int status;

	check(jt__kv_pool_new(&low, &o.kv.lower, NULL) == JT_OK);
	for (uint64_t nth = 1; !s; nth++) {
		jt__alloc_fail_at(nth);
		jt__sched_new(&o, &s, NULL);
	}
	memset(&l, 0, sizeof(l));
	make_load(&l, &rng);
	for (uint32_t i = 0; i < N_RANDOM; i++)
		check(jt__sched_submit(s, &l.seqs[i]) == JT_OK);
	for (uint64_t t_ns = 0; !jt__sched_empty(s); t_ns += 10) {
		jt__alloc_fail_at(1 + jt__rng_below(&rng, 4));
		while (!(b = jt__sched_form(s, t_ns, &status)) && status == JT_ENOMEM)
			n_failed++;
		if (!b)
			continue;
		check_items(&l, &o, b);
		jt__sched_complete(s, b, false);
		tell(&l, b, told);
	}
	jt__alloc_fail_at(0);
	for (uint32_t i = 0; i < N_RANDOM; i++)
		check(l.tokens[i] == l.seqs[i].output_tokens);
	check(n_failed > 20 && stats(s).free_blocks == 100);
	jt__sched_free(s);
	jt__kv_pool_free(o.kv.lower);
}

int main(void)
{
	test(a_request_from_its_prompt_to_its_last_token);
	test(decodes_come_first_and_a_threshold_cuts_prompts);
	test(without_chunks_a_prompt_waits_for_a_step_of_its_own);
	test(admits_in_order_of_arrival_and_no_more_than_it_may);
	test(the_last_admitted_gives_way_and_computes_again);
	test(what_is_left_of_its_blocks_is_found_after_a_preemption);
	test(a_whole_prompt_can_be_reserved_before_it_begins);
	test(equal_prompts_are_computed_once);
	test(the_lower_tier_is_read_before_the_step_and_written_with_it);
	test(a_sequence_moves_from_a_prefill_engine_to_a_decode_engine);
	test(a_pipeline_has_several_batches_under_way);
	test(who_finishes_early_leaves_the_batches_under_way);
	test(a_token_of_one_preempted_meanwhile_is_lost);
	test(cancelled_ones_make_room);
	test(every_load_runs_to_its_end_with_nothing_lost);
	test(random_cancellations_lose_no_block);
	test(refuses_what_can_never_run);
	test(no_limits_are_no_limits);
	test(a_step_for_which_memory_ran_out_can_be_formed_again);
	return tap_done();
}
