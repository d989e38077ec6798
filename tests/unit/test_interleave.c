/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "base/base.h"
#include "jouletap/record.h"
#include "simulator/interleave.h"

/* Works of at most four blocks, all alike: @before, attention in memory, @behind; and a head. */
struct half {
	uint64_t lat[3];
	struct jt_op block[3], head[1];
	struct jt_block at[4];
	uint64_t pim_ns[1];
};

static struct jt_work work_of(struct half *h, uint64_t before_ns, uint64_t pim_ns,
                              uint64_t behind_ns, uint64_t head_ns, uint32_t n_blocks)
{
	*h = (struct half){ .lat = { before_ns, behind_ns, head_ns },
		            .block = { { JT_OP_RUN, .first = 0, .n = 1, .ns = before_ns },
		                       { .kind = JT_OP_PIM },
		                       { JT_OP_RUN, .first = 1, .n = 1, .ns = behind_ns } },
		            .head = { { JT_OP_RUN, .first = 2, .n = 1, .ns = head_ns } },
		            .pim_ns = { pim_ns } };
	for (uint32_t i = 0; i < n_blocks; i++)
		h->at[i] = (struct jt_block){ 0, 1, 3 };
	return (struct jt_work){ .blocks = { h->block, 3, 3 },
		                 .head = { h->head, 1, 1 },
		                 .at = h->at,
		                 .n_blocks = n_blocks,
		                 .lat = h->lat,
		                 .n_lat = 3,
		                 .pim_ns = h->pim_ns,
		                 .n_pim = 1 };
}

static struct {
	uint64_t free_ns; /* of the memory, which does one thing at a time */
	uint64_t ended[32];
	uint32_t n_ended, n_messages;
} seen;

static uint64_t on_pim(void *user, const struct jt_work *work, uint64_t t_ns)
{
	(void)user;
	if (!work->pim_ns[0])
		return t_ns;
	return seen.free_ns = JT_MAX(seen.free_ns, t_ns) + work->pim_ns[0];
}

static uint64_t on_message(void *user, const struct jt_op *op, uint64_t t_ns)
{
	(void)user;
	seen.n_messages++;
	return t_ns + op->bytes;
}

static void on_layer(void *user, uint64_t t_ns)
{
	(void)user;
	if (check(seen.n_ended < JT_ARRAY_LEN(seen.ended)))
		seen.ended[seen.n_ended++] = t_ns;
}

static uint64_t run_at(const struct jt_work *works, uint32_t n, uint64_t begin_ns,
                       uint64_t input_ns)
{
	const struct jt_interleave_ops ops = { on_pim, on_message, on_layer, NULL };
	const struct jt_interleave_part part = { 0, works[0].n_blocks, .prologue = true,
		                                 .head = true };
	struct jt_interleave il = { 0 };
	uint64_t end_ns;

	memset(&seen, 0, sizeof(seen));
	end_ns = jt__interleave(&il, works, n, &part, begin_ns, input_ns, &ops);
	jt__interleave_fini(&il);
	return end_ns;
}

/* 10 before, 100 in memory, 20 behind, twice; then 5. */
static void alone_every_step_waits_for_the_one_before(void)
{
	struct half h;
	struct jt_work w = work_of(&h, 10, 100, 20, 5, 2);
	const uint64_t want[] = { 1010, 1130, 1140, 1260, 1265 };

	check(run_at(&w, 1, 1000, 1000) == 1265);
	check(seen.n_ended == 5 && memcmp(seen.ended, want, sizeof(want)) == 0);
}

static void the_input_holds_up_the_first_layer(void)
{
	struct half h;
	struct jt_work w = work_of(&h, 10, 100, 20, 5, 1);

	check(run_at(&w, 1, 1000, 1500) == 1500 + 10 + 100 + 20 + 5);
}

/* While the memory works for one half, the NPU works for the other: less than one after the other,
 * no less than either alone. */
static void two_halves_overlap(void)
{
	struct half a, b;
	struct jt_work w[2] = { work_of(&a, 10, 30, 20, 5, 4), work_of(&b, 10, 30, 20, 5, 4) };
	uint64_t one = run_at(&w[0], 1, 0, 0), both = run_at(w, 2, 0, 0);

	check(one == 4 * 60 + 5);
	check(both < 2 * one && both > one);
	check(seen.n_ended == 2 * 9);
}

static void the_npu_is_never_idle_with_a_layer_ready(void)
{
	struct half a, b;
	struct jt_work w[2] = { work_of(&a, 10, 0, 20, 5, 2), work_of(&b, 10, 0, 20, 5, 2) };

	check(run_at(w, 2, 100, 100) == 100 + 2 * (2 * 30 + 5)); /* memory takes no time: no gaps */
	for (uint32_t i = 1; i < seen.n_ended; i++)
		check(seen.ended[i] > seen.ended[i - 1]);
}

static void messages_are_waited_for(void)
{
	struct half h;
	struct jt_work w = work_of(&h, 10, 100, 20, 5, 1);
	struct jt_op with_message[4] = {
		h.block[0], h.block[1], h.block[2], { .kind = JT_OP_REDUCE, .bytes = 77 }
	};

	w.blocks = (struct jt_ops){ with_message, 4, 4 };
	h.at[0].end = 4;
	check(run_at(&w, 1, 0, 0) == 10 + 100 + 20 + 77 + 5);
	check(seen.n_messages == 1);
}

static void a_part_leaves_out_what_is_not_its_own(void)
{
	const struct jt_interleave_ops ops = { on_pim, on_message, on_layer, NULL };
	const struct jt_interleave_part middle = { 1, 3, .prologue = false, .head = false };
	struct half h;
	struct jt_work w = work_of(&h, 10, 100, 20, 5, 4);
	struct jt_interleave il = { 0 };

	memset(&seen, 0, sizeof(seen));
	check(jt__interleave(&il, &w, 1, &middle, 0, 0, &ops) == 2 * 130);
	jt__interleave_fini(&il);
}

static void no_memory_is_told(void)
{
	struct half h;
	struct jt_work w = work_of(&h, 10, 100, 20, 5, 1);

	jt__alloc_fail_at(1);
	check(run_at(&w, 1, 0, 0) == JT_NONE);
	jt__alloc_fail_at(0);
}

static void halves_are_balanced_largest_first(void)
{
	const uint32_t tokens[] = { 1, 100, 1, 60, 1, 50 };
	uint32_t order[6];
	uint8_t half[6];

	/* 100 | 60, 50 then 1 to the lighter: 101, then 102, then 103. */
	check(jt__interleave_split(tokens, 6, order, half) == 2);
	check(half[1] == 0 && half[3] == 1 && half[5] == 1);
	check(half[0] == 0 && half[2] == 0 && half[4] == 0);
}

static void one_sequence_has_no_other_half(void)
{
	const uint32_t tokens[] = { 7 };
	uint32_t order[1];
	uint8_t half[1];

	check(jt__interleave_split(tokens, 1, order, half) == 0 && half[0] == 0);
	check(jt__interleave_split(tokens, 0, order, half) == 0);
}

int main(void)
{
	test(alone_every_step_waits_for_the_one_before);
	test(the_input_holds_up_the_first_layer);
	test(two_halves_overlap);
	test(the_npu_is_never_idle_with_a_layer_ready);
	test(messages_are_waited_for);
	test(a_part_leaves_out_what_is_not_its_own);
	test(no_memory_is_told);
	test(halves_are_balanced_largest_first);
	test(one_sequence_has_no_other_half);
	return tap_done();
}
