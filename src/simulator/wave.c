/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All ranks of a stage go through the same list of layers and messages, so their times advance side
 * by side, one list entry after the other: a run adds its length, a collective makes neighbours
 * wait for each other. A member goes alone up to the next collective with other members and waits
 * there.
 *
 * The walk is done once for the ends, and again whenever someone asks what happens in between: it
 * depends on nothing but what the ranks were told when they began.
 */
#include <string.h>
#include "jouletap/record.h"
#include "simulator/wave.h"

/* -- memories -- */

uint64_t jt__memory_access(struct jt_memory *m, uint64_t t_ns, uint64_t bytes)
{
	uint64_t ns = m->latency_ns + (uint64_t)((double)bytes / m->bytes_per_ns);
	uint64_t begin_ns = t_ns;
	struct jt_access *slot;

	if (!m->queued)
		return t_ns + ns;
	for (uint32_t i = 0; i < JT_MIN(m->n_recent, (uint32_t)JT_ARRAY_LEN(m->recent)); i++) {
		if (m->recent[i].asked_ns <= t_ns)
			begin_ns = JT_MAX(begin_ns, m->recent[i].end_ns);
	}
	slot = &m->recent[m->n_recent++ % JT_ARRAY_LEN(m->recent)];
	*slot = (struct jt_access){ t_ns, begin_ns + ns };
	return slot->end_ns;
}

static struct jt_memory *memory_at(const struct jt_wave *w, const struct jt_instance *in,
                                   struct jt_placement at)
{
	return at.place == JT_PLACE_CXL ? &w->fabric->cxl[at.cxl] : &w->fabric->cpu[in->node];
}

static uint64_t load(const struct jt_wave *w, const struct jt_instance *in, const struct jt_load *l,
                     uint64_t t_ns)
{
	if (l->from.place == JT_PLACE_NPU) {
		struct jt_memory own = { .bytes_per_ns = (double)(uint64_t)in->mem_bw_gbs,
			                 .latency_ns = (uint64_t)in->mem_latency_ns };

		return jt__memory_access(&own, t_ns, l->bytes);
	}
	return jt__memory_access(memory_at(w, in, l->from), t_ns, l->bytes);
}

/* -- opening -- */

static bool grow(uint64_t **a, uint32_t n)
{
	uint64_t *p = jt__realloc(*a, n, sizeof(**a));

	if (p)
		*a = p;
	return p != NULL;
}

static int reserve(struct jt_wave *w, uint32_t n)
{
	uint64_t **weights;

	if (n <= w->capacity)
		return JT_OK;
	weights = jt__realloc(w->weights_ns, n, sizeof(*weights));
	if (!weights)
		return JT_ENOMEM;
	memset(weights + w->capacity, 0, (n - w->capacity) * sizeof(*weights));
	w->weights_ns = weights;
	if (!grow(&w->begin_ns, n) || !grow(&w->ready_ns, n) || !grow(&w->end_ns, n) ||
	    !grow(&w->sent_ns, n) || !grow(&w->arrived_ns, n) || !grow(&w->t, n) ||
	    !grow(&w->comm, n) || !grow(&w->own, n) || !grow(&w->t_before, n) ||
	    !grow(&w->comm_before, n))
		return JT_ENOMEM;
	w->capacity = n;
	return JT_OK;
}

int jt__wave_open(struct jt_wave *w, struct jt_fabric *f, const struct jt_member *members,
                  uint32_t n_members)
{
	uint32_t n_ranks = members[0].in->n_npus, n = n_ranks * n_members;
	struct jt_member *copy = jt__realloc(w->members, n_members, sizeof(*copy));

	if (!copy)
		return JT_ENOMEM;
	w->members = copy;
	memcpy(copy, members, n_members * sizeof(*copy));
	if (reserve(w, n) < 0)
		return JT_ENOMEM;
	w->fabric = f;
	w->n_members = n_members;
	w->n_ranks = n_ranks;
	w->n_known = 0;
	for (uint32_t i = 0; i < n; i++) {
		const struct jt_member *m = &w->members[i / n_ranks];

		w->begin_ns[i] = w->ready_ns[i] = w->end_ns[i] = w->sent_ns[i] = JT_NONE;
		w->arrived_ns[i] = 0;
		if (m->works[0].n_loads && !grow(&w->weights_ns[i], m->works[0].n_loads))
			return JT_ENOMEM;
	}
	return JT_OK;
}

void jt__wave_fini(struct jt_wave *w)
{
	for (uint32_t i = 0; i < w->capacity; i++)
		jt__free(w->weights_ns[i]);
	jt__free(w->weights_ns);
	jt__free(w->members);
	jt__free(w->begin_ns);
	jt__free(w->ready_ns);
	jt__free(w->end_ns);
	jt__free(w->sent_ns);
	jt__free(w->arrived_ns);
	jt__interleave_fini(&w->halves);
	jt__free(w->t);
	jt__free(w->comm);
	jt__free(w->own);
	jt__free(w->t_before);
	jt__free(w->comm_before);
	*w = (struct jt_wave){ 0 };
}

/* -- stages -- */

/* Blocks of pipeline stage @stage: even, what is over goes to the stages before the last. */
static void stage_blocks(const struct jt_instance *in, uint32_t n_blocks, uint32_t stage,
                         uint32_t *ret_first, uint32_t *ret_end)
{
	uint32_t each = n_blocks / in->pp, over = n_blocks % in->pp, first = 0;

	for (uint32_t s = 0; s <= stage; s++) {
		uint32_t n = each + (s + 1 < in->pp && s + 1 + over >= in->pp);

		*ret_first = first;
		*ret_end = first += n;
	}
}

/* -- one rank begins -- */

static void load_weights(struct jt_wave *w, const struct jt_member *m, const struct jt_ops *ops,
                         uint32_t first, uint32_t end, uint32_t index, uint64_t t_ns)
{
	const struct jt_work *work = &m->works[0];

	for (uint32_t i = first; i < end; i++) {
		const struct jt_op *op = &ops->items[i];

		if (op->kind == JT_OP_WAIT)
			w->weights_ns[index][op->first] =
				load(w, m->in, &work->loads[op->first], t_ns);
	}
}

/* All that a rank loads is asked for at once: KV from below, its input, weights in layer order. */
static void begin_loads(struct jt_wave *w, uint32_t member, uint32_t stage, uint32_t index,
                        uint64_t t_ns)
{
	const struct jt_member *m = &w->members[member];
	const struct jt_work *work = &m->works[0];
	struct jt_memory *cpu = &w->fabric->cpu[m->in->node];
	uint32_t first, end;

	w->ready_ns[index] = t_ns;
	if (work->recall_bytes) {
		struct jt_load recall = { m->in->kv_evict, work->recall_bytes, true };

		w->ready_ns[index] = load(w, m->in, &recall, t_ns);
	}
	if (stage == 0) {
		uint64_t input_ns = jt__memory_access(cpu, t_ns, work->input_bytes);

		w->ready_ns[index] = JT_MAX(w->ready_ns[index], input_ns);
	}
	if (work->n_loads == 0)
		return;
	stage_blocks(m->in, work->n_blocks, stage, &first, &end);
	if (stage == 0)
		load_weights(w, m, &work->prologue, 0, work->prologue.n, index, t_ns);
	for (uint32_t b = first; b < end; b++)
		load_weights(w, m, &work->blocks, work->at[b].first, work->at[b].end, index, t_ns);
	if (stage + 1 == m->in->pp)
		load_weights(w, m, &work->head, 0, work->head.n, index, t_ns);
}

/* -- the walk -- */

static void tell_run(struct jt_watch *watch, const uint64_t *lat, uint32_t n, uint64_t begin_ns,
                     uint64_t end_ns)
{
	if (!jt__hears(watch, begin_ns, end_ns))
		return;
	for (uint32_t i = 0; i < n; i++) {
		begin_ns += lat[i];
		jt__tell(watch, begin_ns);
	}
}

static bool is_joint(const struct jt_wave *w, const struct jt_op *op)
{
	return (op->kind == JT_OP_GATHER || op->kind == JT_OP_SCATTER) &&
	       (w->n_members > 1 || w->members[0].in->tp > 1);
}

/* Ranks come to a collective when they are there and have sent all they had to send. */
static void collective(struct jt_wave *w, const struct jt_link *l, enum jt_collective kind,
                       uint64_t bytes, uint32_t first, uint32_t step, uint32_t n,
                       struct jt_watch *watch)
{
	uint64_t *t = w->t + first, *comm = w->comm + first;

	if (n < 2)
		return;
	for (uint32_t i = 0; i < n * step; i += step)
		t[i] = JT_MAX(t[i], comm[i]);
	jt__ring(l, kind, bytes, t, step, n, watch);
	for (uint32_t i = 0; i < n * step; i += step)
		comm[i] = t[i];
}

/* Every channel does its operations one after the other; ranks wait for those of their channels. */
static uint64_t pim(struct jt_wave *w, const struct jt_member *m, const struct jt_work *work,
                    uint32_t rank, uint64_t t_ns, struct jt_watch *watch)
{
	uint64_t *free_ns = w->fabric->pim_free_ns[m->in->node], end_ns = t_ns;

	for (uint32_t c = rank; c < work->n_pim; c += m->in->tp) {
		uint64_t begin_ns = t_ns;

		if (!work->pim_ns[c])
			continue;
		if (!watch) {
			begin_ns = JT_MAX(begin_ns, free_ns[c]);
			free_ns[c] = begin_ns + work->pim_ns[c];
		}
		end_ns = JT_MAX(end_ns, begin_ns + work->pim_ns[c]);
		jt__tell(watch, end_ns);
	}
	return end_ns;
}

/* What concerns the ranks of one member's stage alone. */
static void local_op(struct jt_wave *w, const struct jt_member *m, const struct jt_work *work,
                     const struct jt_op *op, uint32_t first, struct jt_watch *watch)
{
	uint32_t tp = m->in->tp;

	if (op->kind == JT_OP_REDUCE)
		collective(w, &w->fabric->dims[0], JT_ALL_REDUCE, op->bytes, first, 1, tp, watch);
	for (uint32_t r = 0; r < tp; r++) {
		uint64_t *t = &w->t[first + r];

		switch (op->kind) {
		case JT_OP_RUN:
			tell_run(watch, work->lat + op->first, op->n, *t, *t + op->ns);
			*t += op->ns;
			break;
		case JT_OP_EXPERTS:
			if (r >= op->n)
				continue;
			if (op->first != UINT32_MAX)
				*t = JT_MAX(*t, w->weights_ns[first + r][op->first]);
			*t += op->ns;
			break;
		case JT_OP_SEND_KV:
			w->comm[first + r] = JT_MAX(*t, w->comm[first + r]) +
			                     jt__link_ns(&w->fabric->dims[0], op->bytes);
			jt__tell(watch, w->comm[first + r]);
			continue;
		case JT_OP_WAIT:
			*t = JT_MAX(*t, w->weights_ns[first + r][op->first]);
			break;
		case JT_OP_FETCH:
			if (!watch)
				w->weights_ns[first + r][op->first] =
					load(w, m->in, &work->loads[op->first], *t);
			jt__tell(watch, w->weights_ns[first + r][op->first]);
			continue;
		default:
			break;
		}
		jt__tell(watch, *t);
	}
}

/*
 * To or from the experts, over the ranks of a stage: those of one member (dimension 0), and if
 * there are more parts of the experts than these, over all members. A gather visits the dimensions
 * in reverse with growing parts, a scatter as they are with shrinking ones. Only the first rank's
 * experts wait for the gather, those of the others go on beside it: so the reference links them.
 */
static void joint_op(struct jt_wave *w, const struct jt_op *op, uint32_t stage,
                     struct jt_watch *watch)
{
	uint32_t all = w->n_members * w->n_ranks;
	const struct jt_instance *in = w->members[0].in;
	const struct jt_fabric *f = w->fabric;
	uint32_t first = stage * in->tp, n = w->n_members;
	uint32_t outer = in->ep > in->tp ? n : 1;
	bool gather = op->kind == JT_OP_GATHER;
	enum jt_collective kind = gather ? JT_ALL_GATHER : JT_REDUCE_SCATTER;
	uint64_t inner_bytes = gather ? op->bytes * outer : op->bytes;
	uint64_t outer_bytes = gather ? op->bytes : op->bytes / in->tp;

	memcpy(w->own, w->t, all * sizeof(*w->own));
	for (int turn = 0; turn < 2; turn++) {
		if ((turn == 0) == gather) {
			for (uint32_t r = 0; r < in->tp; r++)
				collective(w, &f->dims[f->group_dim], kind, outer_bytes, first + r,
				           w->n_ranks, outer, watch);
		} else {
			for (uint32_t m = 0; m < n; m++)
				collective(w, &f->dims[0], kind, inner_bytes,
				           first + m * w->n_ranks, 1, in->tp, watch);
		}
	}
	for (uint32_t m = 0; m < n; m++) {
		for (uint32_t r = 0; r < in->tp; r++) {
			uint32_t i = first + m * w->n_ranks + r;

			jt__tell(watch, w->t[i]);
			w->comm[i] = JT_MAX(w->comm[i], w->t[i]);
			if (gather && r > 0)
				w->t[i] = w->own[i];
		}
	}
}

/* Whether all ranks of the stage are behind what the watch has heard of already. */
static bool is_past(const struct jt_wave *w, uint32_t stage, const struct jt_watch *watch)
{
	uint32_t tp = w->members[0].in->tp;

	for (uint32_t m = 0; watch && m < w->n_members; m++) {
		for (uint32_t r = 0; r < tp; r++) {
			if (w->t[m * w->n_ranks + stage * tp + r] < watch->first_ns)
				return false;
		}
	}
	return watch != NULL;
}

/* What a member does between two places at which all members of the wave are. */
struct span {
	const struct jt_op *op, *end;
};

static struct span list_span(const struct jt_ops *l)
{
	return (struct span){ l->items, l->items + l->n };
}

static struct span block_span(const struct jt_work *work, uint32_t block)
{
	return (struct span){ work->blocks.items + work->at[block].first,
		              work->blocks.items + work->at[block].end };
}

/* Each member goes on to the next operation that is all members', which is done when all are there.
 * false: nothing behind this matters to the watch. */
static bool run_spans(struct jt_wave *w, uint32_t stage, struct span *spans, struct jt_watch *watch)
{
	const struct jt_op *joint;

	do {
		joint = NULL;
		for (uint32_t i = 0; i < w->n_members; i++) {
			const struct jt_member *m = &w->members[i];
			struct span *s = &spans[i];

			for (; s->op < s->end && !is_joint(w, s->op); s->op++) {
				local_op(w, m, &m->works[0], s->op,
				         i * w->n_ranks + stage * m->in->tp, watch);
				if (is_past(w, stage, watch))
					return false;
			}
			joint = s->op < s->end ? s->op++ : NULL;
		}
		if (joint)
			joint_op(w, joint, stage, watch);
	} while (joint);
	return true;
}

/* -- blocks that are alike -- */

/*
 * What a block without loads does to the ranks of a stage depends on nothing but how they stand to
 * each other when they come to it. Once they leave one in the formation in which they came, the
 * others take as long.
 */
static bool blocks_are_alike(const struct jt_wave *w)
{
	for (uint32_t i = 0; i < w->n_members; i++) {
		const struct jt_work *work = &w->members[i].works[0];

		if (work->n_blocks < 2 || work->at[0].first != work->at[1].first)
			return false;
	}
	return true;
}

/* Rank @i of those of all members that are in the stage. */
static uint32_t rank_at(const struct jt_wave *w, uint32_t stage, uint32_t i)
{
	uint32_t tp = w->members[0].in->tp;

	return i / tp * w->n_ranks + stage * tp + i % tp;
}

/* A rank that has sent all it had to send is as good as one that sends until now. */
static void note_formation(struct jt_wave *w, uint32_t stage)
{
	for (uint32_t i = 0; i < w->n_members * w->members[0].in->tp; i++) {
		uint32_t r = rank_at(w, stage, i);

		w->t_before[r] = w->t[r];
		w->comm_before[r] = w->comm[r] = JT_MAX(w->comm[r], w->t[r]);
	}
}

static uint64_t step_of(const struct jt_wave *w, uint32_t rank)
{
	return w->t[rank] - w->t_before[rank];
}

/* Whether it is as noted, but later: by different times where members have nothing to do with each
 * other. */
static bool has_formation(const struct jt_wave *w, uint32_t stage)
{
	const struct jt_instance *in = w->members[0].in;

	for (uint32_t i = 0; i < w->n_members * in->tp; i++) {
		uint32_t r = rank_at(w, stage, i);
		uint32_t like = rank_at(w, stage, in->ep > in->tp ? 0 : i / in->tp * in->tp);

		if (step_of(w, r) != step_of(w, like) ||
		    JT_MAX(w->comm[r], w->t[r]) - w->comm_before[r] != step_of(w, like))
			return false;
	}
	return true;
}

/* Goes on by @n blocks, or by as many as end before the watch listens. Returns how many. */
static uint32_t skip_blocks(struct jt_wave *w, uint32_t stage, uint32_t n,
                            const struct jt_watch *watch)
{
	uint32_t n_ranks = w->n_members * w->members[0].in->tp;

	for (uint32_t i = 0; watch && i < n_ranks; i++) {
		uint32_t r = rank_at(w, stage, i);
		uint64_t last_ns = JT_MAX(w->comm[r], w->t[r]), step_ns = step_of(w, r);

		if (last_ns >= watch->from_ns || step_ns == 0)
			return 0;
		n = (uint32_t)JT_MIN((watch->from_ns - 1 - last_ns) / step_ns, n);
	}
	for (uint32_t i = 0; i < n_ranks; i++) {
		uint32_t r = rank_at(w, stage, i);
		uint64_t ns = n * step_of(w, r);

		w->t[r] += ns;
		w->comm[r] += ns;
	}
	return n;
}

static bool run_blocks(struct jt_wave *w, uint32_t stage, struct span *spans,
                       struct jt_watch *watch)
{
	bool alike = blocks_are_alike(w);
	uint32_t block, end;

	stage_blocks(w->members[0].in, w->members[0].works[0].n_blocks, stage, &block, &end);
	for (; block < end; block++) {
		for (uint32_t i = 0; i < w->n_members; i++)
			spans[i] = block_span(&w->members[i].works[0], block);
		if (alike)
			note_formation(w, stage);
		if (!run_spans(w, stage, spans, watch))
			return false;
		if (alike && has_formation(w, stage))
			block += skip_blocks(w, stage, end - block - 1, watch);
	}
	return true;
}

static void run_stage(struct jt_wave *w, uint32_t stage, struct jt_watch *watch)
{
	struct span spans[JT_RING_MAX];

	for (uint32_t i = 0; i < w->n_members; i++)
		spans[i] = list_span(&w->members[i].works[0].prologue);
	if (stage == 0 && !run_spans(w, stage, spans, watch))
		return;
	if (!run_blocks(w, stage, spans, watch) || stage + 1 < w->members[0].in->pp)
		return;
	for (uint32_t i = 0; i < w->n_members; i++)
		spans[i] = list_span(&w->members[i].works[0].head);
	run_spans(w, stage, spans, watch);
}

/* -- attention in memory -- */

struct in_memory {
	struct jt_wave *w;
	const struct jt_member *m;
	struct jt_watch *watch;
	uint32_t first; /* rank of the stage */
};

static uint64_t in_memory_pim(void *user, const struct jt_work *work, uint64_t t_ns)
{
	struct in_memory *h = user;
	uint64_t end_ns = t_ns;

	for (uint32_t r = 0; r < h->m->in->tp; r++) {
		uint64_t rank_ns = pim(h->w, h->m, work, r, t_ns, h->watch);

		end_ns = JT_MAX(end_ns, rank_ns);
	}
	return end_ns;
}

/* Ranks of one instance go in step here: what little they differ in at their begin is left out. */
static uint64_t in_memory_message(void *user, const struct jt_op *op, uint64_t t_ns)
{
	struct in_memory *h = user;
	struct jt_wave *w = h->w;
	enum jt_collective kind = op->kind == JT_OP_REDUCE   ? JT_ALL_REDUCE
	                          : op->kind == JT_OP_GATHER ? JT_ALL_GATHER
	                                                     : JT_REDUCE_SCATTER;
	uint32_t tp = h->m->in->tp;

	if (op->kind == JT_OP_WAIT || op->kind == JT_OP_FETCH) {
		uint64_t *weights_ns = w->weights_ns[h->first];

		if (op->kind == JT_OP_FETCH && !h->watch)
			weights_ns[op->first] =
				load(w, h->m->in, &h->m->works[0].loads[op->first], t_ns);
		return JT_MAX(t_ns, weights_ns[op->first]);
	}
	for (uint32_t r = 0; r < tp; r++)
		w->t[h->first + r] = t_ns;
	collective(w, &w->fabric->dims[0], kind, op->bytes, h->first, 1, tp, h->watch);
	return w->t[h->first];
}

static void in_memory_layer(void *user, uint64_t t_ns)
{
	struct in_memory *h = user;

	jt__tell(h->watch, t_ns);
}

static void run_with_memory(struct jt_wave *w, uint32_t member, uint32_t stage,
                            struct jt_watch *watch)
{
	const struct jt_member *m = &w->members[member];
	uint32_t tp = m->in->tp;
	struct in_memory h = { w, m, watch, member * w->n_ranks + stage * tp };
	struct jt_interleave_ops ops = { in_memory_pim, in_memory_message, in_memory_layer, &h };
	struct jt_interleave_part part = { .prologue = stage == 0, .head = stage + 1 == m->in->pp };
	uint64_t begin_ns = 0, ready_ns = 0, end_ns;

	stage_blocks(m->in, m->works[0].n_blocks, stage, &part.first, &part.end);
	for (uint32_t r = 0; r < tp; r++) {
		begin_ns = JT_MAX(begin_ns, w->begin_ns[h.first + r]);
		ready_ns = JT_MAX(ready_ns, w->t[h.first + r]);
	}
	end_ns = jt__interleave(&w->halves, m->works, m->n_works, &part, begin_ns, ready_ns, &ops);
	for (uint32_t r = 0; r < tp; r++)
		w->t[h.first + r] = end_ns;
}

/* Behind the stage: the hidden state goes to the next one, tokens go out of the last one. */
static void leave_stage(struct jt_wave *w, uint32_t member, uint32_t stage, uint32_t index)
{
	const struct jt_member *m = &w->members[member];
	const struct jt_work *work = &m->works[m->n_works - 1];
	uint64_t t_ns = w->t[index];
	bool last = stage + 1 == m->in->pp;

	if (last && m->in->role != JT_ROLE_PREFILL) {
		w->end_ns[index] =
			jt__memory_access(&w->fabric->cpu[m->in->node], t_ns, work->output_bytes);
	} else {
		const struct jt_link *l = &w->fabric->dims[last ? 0 : w->fabric->stage_dim];

		w->end_ns[index] = JT_MAX(t_ns, w->comm[index]) +
		                   jt__link_ns(l, last ? work->output_bytes : work->hidden_bytes);
	}
	w->sent_ns[index] = JT_MAX(w->end_ns[index], w->comm[index]);
	if (!last)
		w->arrived_ns[index + m->in->tp] = w->end_ns[index];
}

/* One stage, whose ranks have all begun and got what the stage before sent them. */
static void walk_stage(struct jt_wave *w, uint32_t stage, struct jt_watch *watch)
{
	uint32_t tp = w->members[0].in->tp;

	for (uint32_t m = 0; m < w->n_members; m++) {
		for (uint32_t r = 0; r < tp; r++) {
			uint32_t i = m * w->n_ranks + stage * tp + r;

			w->t[i] = JT_MAX(w->ready_ns[i], w->arrived_ns[i]);
			w->comm[i] = 0;
			jt__tell(watch, w->ready_ns[i]);
		}
	}
	if (w->members[0].works[0].n_pim) {
		for (uint32_t m = 0; m < w->n_members; m++)
			run_with_memory(w, m, stage, watch);
	} else {
		run_stage(w, stage, watch);
	}
	for (uint32_t m = 0; m < w->n_members; m++) {
		for (uint32_t r = 0; r < tp; r++) {
			uint32_t i = m * w->n_ranks + stage * tp + r;

			if (!watch)
				leave_stage(w, m, stage, i);
			jt__tell(watch, w->end_ns[i]);
		}
	}
}

static bool stage_has_begun(const struct jt_wave *w, uint32_t stage)
{
	uint32_t tp = w->members[0].in->tp;

	for (uint32_t m = 0; m < w->n_members; m++) {
		for (uint32_t r = 0; r < tp; r++) {
			if (w->begin_ns[m * w->n_ranks + stage * tp + r] == JT_NONE)
				return false;
		}
	}
	return true;
}

void jt__wave_begin(struct jt_wave *w, uint32_t member, uint32_t rank, uint64_t t_ns)
{
	const struct jt_instance *in = w->members[member].in;
	uint32_t i = member * w->n_ranks + rank;

	w->begin_ns[i] = t_ns;
	begin_loads(w, member, rank / in->tp, i, t_ns);
	while (w->n_known < in->pp && stage_has_begun(w, w->n_known))
		walk_stage(w, w->n_known++, NULL);
}

bool jt__wave_has_begun(const struct jt_wave *w, uint32_t member, uint32_t rank)
{
	return w->begin_ns[member * w->n_ranks + rank] != JT_NONE;
}

uint64_t jt__wave_end_ns(const struct jt_wave *w, uint32_t member, uint32_t rank)
{
	return w->end_ns[member * w->n_ranks + rank];
}

uint64_t jt__wave_sent_ns(const struct jt_wave *w, uint32_t member, uint32_t rank)
{
	return w->sent_ns[member * w->n_ranks + rank];
}

/* All that happens on the ranks of a stage is over. */
static bool stage_is_over(const struct jt_wave *w, uint32_t stage, uint64_t t_ns)
{
	uint32_t tp = w->members[0].in->tp;

	for (uint32_t m = 0; m < w->n_members; m++) {
		for (uint32_t r = 0; r < tp; r++) {
			if (w->sent_ns[m * w->n_ranks + stage * tp + r] >= t_ns)
				return false;
		}
	}
	return true;
}

uint64_t jt__wave_next_event(struct jt_wave *w, uint64_t t_ns, uint64_t until_ns)
{
	struct jt_watch watch = { .from_ns = t_ns, .first_ns = until_ns };

	for (uint32_t stage = 0; stage < w->n_known && watch.first_ns > t_ns; stage++) {
		if (!stage_is_over(w, stage, t_ns))
			walk_stage(w, stage, &watch);
	}
	for (uint32_t i = 0; i < w->n_members * w->n_ranks; i++) {
		if (w->begin_ns[i] != JT_NONE)
			jt__tell(&watch, w->ready_ns[i]);
	}
	return watch.first_ns;
}
