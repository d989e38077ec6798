/* SPDX-License-Identifier: Apache-2.0 */
/* From a batch to what it makes the ranks do and what it costs: whole, or as two halves. */
#include <stdlib.h>
#include "simulator/instance.h"

static int compare_prompts(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x < y) - (x > y);
}

static bool grow_scratch(struct jt_inst *x, uint32_t n)
{
	uint32_t **of_items[] = { &x->prompts, &x->tokens, &x->order };
	uint8_t *half;

	if (n <= x->scratch_capacity)
		return true;
	for (size_t i = 0; i < JT_ARRAY_LEN(of_items); i++) {
		uint32_t *p = jt__realloc(*of_items[i], n, sizeof(*p));

		if (!p)
			return false;
		*of_items[i] = p;
	}
	half = jt__realloc(x->half, n, sizeof(*half));
	if (!half)
		return false;
	x->half = half;
	x->scratch_capacity = n;
	return true;
}

static void add_item(struct jt_shape *shape, const struct jt_batch_item *item)
{
	struct jt_attention *a = &shape->attention;
	uint64_t kv = item->kv_tokens;

	shape->tokens += item->new_tokens;
	shape->sequences++;
	if (item->new_tokens > 1) {
		a->prefill_tokens += item->new_tokens;
		a->prefill_kv_tokens += kv;
		return;
	}
	a->decode_kv_min = a->n_decode ? JT_MIN(a->decode_kv_min, kv) : kv;
	a->decode_kv_max = JT_MAX(a->decode_kv_max, kv);
	a->decode_kv_tokens += kv;
	a->n_decode++;
}

/* Sequences beyond their first token have their attention done in memory, the longest prompt first.
 */
static void offload(struct jt_inst *x, const struct jt_batch *b, int half, struct jt_shape *shape)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n_items; i++) {
		if (b->items[i].seq->has_first && (half < 0 || x->half[i] == half))
			x->prompts[n++] = b->items[i].seq->prompt_tokens;
	}
	qsort(x->prompts, n, sizeof(*x->prompts), compare_prompts);
	shape->pim_prompts = x->prompts;
	shape->n_pim = n;
	shape->attention.n_decode = shape->attention.decode_kv_tokens = 0;
	shape->attention.decode_kv_min = shape->attention.decode_kv_max = 0;
}

static struct jt_shape whole_shape(const struct jt_inst *x, const struct jt_batch *b)
{
	return (struct jt_shape){
		.tokens = b->n_tokens,
		.sequences = b->n_items,
		.attention = { .prefill_tokens = b->prefill_tokens,
		               .prefill_kv_tokens = b->prefill_kv_tokens,
		               .n_decode = b->n_decode,
		               .decode_kv_tokens = b->decode_kv_tokens,
		               .decode_kv_min = b->decode_kv_min,
		               .decode_kv_max = b->decode_kv_max },
		.recall_bytes = b->recall_bytes,
		.kv_send_tokens = x->in->role == JT_ROLE_PREFILL ? b->n_tokens : 0,
	};
}

/* A token for nobody decodes behind one other. */
static struct jt_shape empty_shape(void)
{
	return (struct jt_shape){ .tokens = 1,
		                  .sequences = 1,
		                  .attention = { .n_decode = 1,
		                                 .decode_kv_tokens = 1,
		                                 .decode_kv_min = 1,
		                                 .decode_kv_max = 1 } };
}

/* Whether the batch goes as two halves, of which each has sequences; then x->half says who is
 * where. */
static bool halve(struct jt_inst *x, const struct jt_batch *b)
{
	uint32_t second;

	if (!x->in->serving.sub_batch_interleaving || b->n_items < 2)
		return false;
	for (uint32_t i = 0; i < b->n_items; i++)
		x->tokens[i] = b->items[i].new_tokens;
	second = jt__interleave_split(x->tokens, b->n_items, x->order, x->half);
	return second > 0 && second < b->n_items;
}

static void add_effort(struct jt_effort *sum, const struct jt_effort *e)
{
	sum->npu_ns += e->npu_ns;
	sum->dram_bytes += e->dram_bytes;
	sum->cxl_bytes += e->cxl_bytes;
	sum->link_bytes += e->link_bytes;
	sum->all_link_bytes += e->all_link_bytes;
	sum->pim_ns += e->pim_ns;
}

static int price_half(struct jt_inst *x, struct jt_flight *f, int half)
{
	const struct jt_batch *b = f->batch;
	struct jt_shape shape = { .recall_bytes = half == 0 ? b->recall_bytes : 0 };

	for (uint32_t i = 0; i < b->n_items; i++) {
		if (x->half[i] == half)
			add_item(&shape, &b->items[i]);
	}
	offload(x, b, half, &shape);
	return jt__price(x->pricer, &shape, &f->works[half]);
}

static int price_whole(struct jt_inst *x, struct jt_flight *f, uint64_t padded_tokens)
{
	struct jt_shape shape = f->batch ? whole_shape(x, f->batch) : empty_shape();

	shape.sequences += padded_tokens - shape.tokens;
	shape.tokens = padded_tokens;
	if (f->batch && x->in->serving.attn_offloading)
		offload(x, f->batch, -1, &shape);
	return jt__price(x->pricer, &shape, &f->works[0]);
}

/* Messages between stages and to a decode instance that no list of a rank has. */
static void count_hand_overs(const struct jt_sim *s, const struct jt_inst *x, struct jt_flight *f)
{
	const struct jt_quirks *q = &s->o.quirks;
	const struct jt_work *w = &f->works[0];
	struct jt_effort *e = &f->works[0].effort;
	double f_bytes = jt__dtype_bytes(x->in->serving.dtype), hidden = (double)w->hidden_bytes;
	double sequences = f->batch ? f->batch->n_items : 1, between;

	between = hidden * (x->in->pp - 1) / (q->stage_bytes ? f_bytes : 1);
	e->link_bytes += between;
	e->all_link_bytes += between * x->in->tp;
	if (x->in->role == JT_ROLE_PREFILL) {
		double twice = hidden + sequences * x->in->model->arch.hidden_size * f_bytes;
		double tokens = (double)w->output_bytes;

		e->link_bytes += q->twice_kv ? twice : tokens;
		e->all_link_bytes += (q->twice_kv ? twice : tokens) * x->in->tp;
	}
}

static void tell_booking(struct jt_sim *s, uint32_t node, const struct jt_batch_joules *j)
{
	struct jt_sim_booking b = { .node = node,
		                    .npu_j = j->by[JT_C_NPU],
		                    .cpu_j = j->by[JT_C_CPU],
		                    .dram_j = j->by[JT_C_DRAM],
		                    .link_j = j->by[JT_C_LINK] };
	double standby_j = 0;

	for (uint32_t i = 0; i < s->cluster->n_nodes; i++)
		standby_j += s->nodes[i].standby_j;
	b.standby_j = standby_j - s->standby_told_j;
	s->standby_told_j = standby_j;
	s->ob.booked(s->ob.user, &b);
}

int jt__price_flight(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f,
                     uint64_t padded_tokens)
{
	struct jt_node_energy *e = &s->nodes[x->in->node];
	struct jt_effort effort;
	int status;

	if (f->batch && !grow_scratch(x, f->batch->n_items))
		return JT_ENOMEM;
	f->n_works = f->batch && halve(x, f->batch) ? 2 : 1;
	status = f->n_works == 2 ? price_half(x, f, 0) : price_whole(x, f, padded_tokens);
	if (status == JT_OK && f->n_works == 2)
		status = price_half(x, f, 1);
	if (status < 0)
		return status;
	count_hand_overs(s, x, f);
	effort = f->works[0].effort;
	if (f->n_works == 2)
		add_effort(&effort, &f->works[1].effort);
	f->joules = jt__batch_joules(e, x->in, &effort);
	jt__book(e, &f->joules, 1);
	if (s->totals.has_power && s->ob.booked)
		tell_booking(s, x->in->node, &f->joules);
	return JT_OK;
}

void jt__sim_suppose_none(struct jt_sim *s, uint32_t instance)
{
	s->insts[instance].supposed = (struct jt_shape){ 0 };
}

void jt__sim_suppose(struct jt_sim *s, uint32_t instance, uint32_t new_tokens, uint32_t kv_tokens)
{
	struct jt_inst *x = &s->insts[instance];
	struct jt_batch_item item = { .new_tokens = new_tokens, .kv_tokens = kv_tokens };

	add_item(&x->supposed, &item);
	if (x->in->role == JT_ROLE_PREFILL)
		x->supposed.kv_send_tokens = x->supposed.tokens;
}

int jt__sim_supposed_j(struct jt_sim *s, uint32_t instance, double *ret_dynamic_j)
{
	struct jt_inst *x = &s->insts[instance];
	struct jt_batch_joules j;

	if (jt__price(x->pricer, &x->supposed, &x->asked) < 0)
		return JT_ENOMEM;
	j = jt__batch_joules(&s->nodes[x->in->node], x->in, &x->asked.effort);
	*ret_dynamic_j = jt__sum_joules(&j);
	return JT_OK;
}
