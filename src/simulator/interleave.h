/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_INTERLEAVE_H
#define JT_INTERLEAVE_H
/*
 * A batch whose attention is done in memory, whole or in two halves that take turns: while the
 * memory does the attention of one, the NPU computes the other. Pure; one thread.
 */
#include "simulator/work.h"

/* What the halves wait for besides the NPU; each returns when it is done. */
struct jt_interleave_ops {
	uint64_t (*pim)(void *user, const struct jt_work *work, uint64_t t_ns);
	uint64_t (*message)(void *user, const struct jt_op *op, uint64_t t_ns);
	void (*layer_ended)(void *user, uint64_t t_ns);
	void *user;
};

struct jt_interleave_item {
	const struct jt_work *work;
	const struct jt_op *op;
	uint32_t after;  /* item; UINT32_MAX: none */
	uint32_t memory; /* item with memory operations that must be done, too; UINT32_MAX: none */
	uint32_t n_layers_done;
	uint64_t done_ns;
};

struct jt_interleave { /* memory that is reused; zero at first */
	struct jt_interleave_item *items;
	uint32_t n, capacity;
};

/* Of each work the blocks [first, end), with what comes before all blocks and behind them. */
struct jt_interleave_part {
	uint32_t first, end;
	bool prologue, head;
};

/*
 * Runs that part of one or two works from @begin_ns on, when the first one's input is there at
 * @input_ns; returns when the last layer is done, JT_NONE when memory ran out.
 */
uint64_t jt__interleave(struct jt_interleave *il, const struct jt_work *works, uint32_t n_works,
                        const struct jt_interleave_part *part, uint64_t begin_ns, uint64_t input_ns,
                        const struct jt_interleave_ops *ops);
void jt__interleave_fini(struct jt_interleave *il);

/* Divides @n items by their tokens, the largest first, each to the lighter half: half[i] is 0 or 1.
 * @order is scratch for n. Returns how many went to the second half. */
uint32_t jt__interleave_split(const uint32_t *tokens, uint32_t n, uint32_t *order, uint8_t *half);

#endif
