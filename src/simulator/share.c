/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a batch is whose: the same split as the roofline policy's, own joules to each sequence
 * and what reading the weights costs to all in equal parts, scaled to what the batch really cost.
 * The idle power of the instance's NPUs meanwhile is shared in equal parts as well.
 */
#include "simulator/instance.h"

/* Only ratios of a GPU's figures matter here, so that one type stands for those not in the table.
 */
#define STAND_IN "H100-SXM5-80GB"

static double own_j(const struct jt_inst *x, const struct jt_batch_item *item)
{
	double n = item->new_tokens, before = item->kv_tokens;

	return jt__roofline_own_j(&x->size, x->gpu, n, before + (n + 1) / 2);
}

void jt__share_open(struct jt_inst *x)
{
	x->gpu = jt__gpu_find(x->in->hardware);
	if (!x->gpu)
		x->gpu = jt__gpu_find(STAND_IN);
	x->size = jt__size(&x->in->model->arch);
}

void jt__share_out(const struct jt_sim *s, const struct jt_inst *x, const struct jt_flight *f,
                   double dynamic_j)
{
	const struct jt_batch *b = f->batch;
	double seconds = (double)(s->t_ns - f->open_ns) * 1e-9, sum_j = 0, shared_j, idle_j;

	shared_j = jt__roofline_shared_j(&x->size, x->gpu, b->n_tokens) / b->n_items;
	idle_j = jt__node_idle_w(&s->nodes[x->in->node], x->in) * seconds / b->n_items;
	for (uint32_t i = 0; i < b->n_items; i++)
		sum_j += shared_j + own_j(x, &b->items[i]);
	for (uint32_t i = 0; i < b->n_items; i++) {
		const struct jt_batch_item *item = &b->items[i];
		struct jt_request *r;
		double j;

		if (!item->seq)
			continue;
		r = jt_container_of(item->seq, struct jt_request, seq);
		j = dynamic_j * (shared_j + own_j(x, item)) / sum_j;
		r->dynamic_j += j;
		*(r->seq.has_first ? &r->decode_j : &r->prefill_j) += j + idle_j;
	}
}
