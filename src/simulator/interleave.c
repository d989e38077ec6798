/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listed one after the other stand: the first half up to its attention, the second half up to its
 * own, then by turns the rest of a block with the next block's attention part. The NPU always takes
 * the earliest listed layer that can run. A layer follows the one listed before it, except behind
 * an attention in memory: the first layer there waits for the memory operations alone, with two
 * halves for those issued before the other half's turn. That is how the reference links them, its
 * oversights included: where nothing decodes, the attention of the prefill waits for nothing at
 * all.
 */
#include <stdlib.h>
#include "jouletap/record.h"
#include "simulator/interleave.h"

#define NONE UINT32_MAX
#define WINDOW 64 /* items looked at for one that can run: what waits is a few, not hundreds */

/* What decides on whom the next layer listed waits. */
struct linker {
	struct jt_interleave *il;
	bool behind_memory;
	uint32_t issued; /* memory item nobody waits for yet */
	uint32_t before; /* the one issued before that */
	uint32_t half;   /* of the last layer that looked */
	bool two;        /* halves */
	bool failed;
};

static bool is_layer(const struct jt_op *op)
{
	return op->kind == JT_OP_RUN || op->kind == JT_OP_EXPERTS;
}

static bool has_memory_ops(const struct jt_work *w)
{
	for (uint32_t c = 0; c < w->n_pim; c++) {
		if (w->pim_ns[c])
			return true;
	}
	return false;
}

static void link_layer(struct linker *l, struct jt_interleave_item *item, uint32_t half)
{
	if (l->behind_memory)
		item->after = NONE;
	l->behind_memory = false;
	if (l->issued != NONE && !l->two) {
		item->memory = l->issued;
		l->issued = NONE;
	} else if (l->issued != NONE && half != l->half) {
		item->memory = l->before;
		l->before = l->issued;
		l->issued = NONE;
		l->half = half;
	}
}

static void add(struct linker *l, const struct jt_work *work, const struct jt_op *op, uint32_t half)
{
	struct jt_interleave *il = l->il;
	struct jt_interleave_item *item;

	if (il->n == il->capacity) {
		uint32_t more = JT_MAX(512u, il->capacity * 2);
		struct jt_interleave_item *p = jt__realloc(il->items, more, sizeof(*p));

		if (!p) {
			l->failed = true;
			return;
		}
		il->items = p;
		il->capacity = more;
	}
	item = &il->items[il->n];
	*item = (struct jt_interleave_item){ .work = work,
		                             .op = op,
		                             .after = il->n ? il->n - 1 : NONE,
		                             .memory = NONE,
		                             .done_ns = JT_NONE };
	if (is_layer(op))
		link_layer(l, item, half);
	if (op->kind == JT_OP_PIM) {
		l->behind_memory = true;
		if (has_memory_ops(work))
			l->issued = il->n;
	}
	il->n++;
}

static void add_ops(struct linker *l, const struct jt_work *works, uint32_t half,
                    const struct jt_ops *ops, uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++)
		add(l, &works[half], &ops->items[i], half);
}

static void add_before(struct linker *l, const struct jt_work *works, uint32_t half, uint32_t block)
{
	const struct jt_block *at = &works[half].at[block];

	add_ops(l, works, half, &works[half].blocks, at->first, at->middle);
}

static void add_behind(struct linker *l, const struct jt_work *works, uint32_t half, uint32_t block)
{
	const struct jt_block *at = &works[half].at[block];

	add_ops(l, works, half, &works[half].blocks, at->middle, at->end);
}

static bool list(struct jt_interleave *il, const struct jt_work *works, uint32_t n_works,
                 const struct jt_interleave_part *part)
{
	struct linker l = { .il = il, .issued = NONE, .before = NONE, .two = n_works == 2 };
	uint32_t last = part->end - 1;

	il->n = 0;
	for (uint32_t h = 0; h < n_works; h++) {
		if (part->prologue)
			add_ops(&l, works, h, &works[h].prologue, 0, works[h].prologue.n);
		add_before(&l, works, h, part->first);
	}
	for (uint32_t b = part->first; b < last; b++) {
		for (uint32_t h = 0; h < n_works; h++) {
			add_behind(&l, works, h, b);
			add_before(&l, works, h, b + 1);
		}
	}
	for (uint32_t h = 0; h < n_works; h++) {
		add_behind(&l, works, h, last);
		if (part->head)
			add_ops(&l, works, h, &works[h].head, 0, works[h].head.n);
	}
	return !l.failed;
}

/* When @item can run; JT_NONE: what it waits for is not done. */
static uint64_t ready_at(const struct jt_interleave *il, const struct jt_interleave_item *item,
                         uint64_t begin_ns, uint64_t input_ns)
{
	uint64_t t_ns = item == il->items ? input_ns : begin_ns;

	if (item->after != NONE)
		t_ns = JT_MAX(t_ns, il->items[item->after].done_ns);
	if (item->memory != NONE)
		t_ns = JT_MAX(t_ns, il->items[item->memory].done_ns);
	return t_ns;
}

static uint64_t layer_ns(const struct jt_interleave_item *item)
{
	return item->op->kind == JT_OP_RUN ? item->work->lat[item->op->first + item->n_layers_done]
	                                   : item->op->ns;
}

static uint32_t n_layers(const struct jt_op *op)
{
	return op->kind == JT_OP_RUN ? op->n : 1;
}

/* The earliest listed layer that can run at @t_ns; NONE, and when to look again. */
static uint32_t pick(struct jt_interleave *il, uint32_t first, uint64_t t_ns, uint64_t begin_ns,
                     uint64_t input_ns, const struct jt_interleave_ops *ops, uint64_t *ret_next_ns)
{
	*ret_next_ns = JT_NONE;
	for (uint32_t i = first; i < JT_MIN(il->n, first + WINDOW); i++) {
		struct jt_interleave_item *item = &il->items[i];
		uint64_t ready_ns;

		if (item->done_ns != JT_NONE)
			continue;
		ready_ns = ready_at(il, item, begin_ns, input_ns);
		if (ready_ns == JT_NONE)
			continue;
		if (is_layer(item->op)) {
			if (ready_ns <= t_ns)
				return i;
			*ret_next_ns = JT_MIN(*ret_next_ns, ready_ns);
		} else {
			item->done_ns = item->op->kind == JT_OP_PIM
			                        ? ops->pim(ops->user, item->work, ready_ns)
			                        : ops->message(ops->user, item->op, ready_ns);
			*ret_next_ns = JT_MIN(*ret_next_ns, item->done_ns);
		}
	}
	return NONE;
}

uint64_t jt__interleave(struct jt_interleave *il, const struct jt_work *works, uint32_t n_works,
                        const struct jt_interleave_part *part, uint64_t begin_ns, uint64_t input_ns,
                        const struct jt_interleave_ops *ops)
{
	uint64_t t_ns = begin_ns;
	uint32_t first = 0;

	if (!list(il, works, n_works, part))
		return JT_NONE;
	while (first < il->n) {
		uint64_t next_ns;
		uint32_t i = pick(il, first, t_ns, begin_ns, input_ns, ops, &next_ns);

		if (i != NONE) {
			struct jt_interleave_item *item = &il->items[i];

			t_ns += layer_ns(item);
			ops->layer_ended(ops->user, t_ns);
			if (++item->n_layers_done == n_layers(item->op))
				item->done_ns = t_ns;
		} else if (next_ns != JT_NONE) {
			t_ns = JT_MAX(t_ns, next_ns);
		} else {
			return JT_NONE;
		}
		while (first < il->n && il->items[first].done_ns != JT_NONE)
			first++;
	}
	return il->items[il->n - 1].done_ns;
}

void jt__interleave_fini(struct jt_interleave *il)
{
	jt__free(il->items);
	*il = (struct jt_interleave){ 0 };
}

uint32_t jt__interleave_split(const uint32_t *tokens, uint32_t n, uint32_t *order, uint8_t *half)
{
	uint64_t load[2] = { 0, 0 };
	uint32_t n_second = 0;

	for (uint32_t i = 0; i < n; i++) { /* by insertion, equal ones as they come */
		uint32_t k = i;

		while (k > 0 && tokens[order[k - 1]] < tokens[i]) {
			order[k] = order[k - 1];
			k--;
		}
		order[k] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		int h = load[0] <= load[1] ? 0 : 1;

		load[h] += tokens[order[i]];
		half[order[i]] = (uint8_t)h;
		n_second += (uint32_t)h;
	}
	return n_second;
}
