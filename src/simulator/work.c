/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes follow the way vLLM lays a model out over ranks: vocabulary, heads and feed-forward columns
 * are divided by the tensor-parallel degree p, norms are on every rank, experts are divided by the
 * expert-parallel degree. With f bytes an element, a batch of t tokens:
 *   all-reduce behind o_proj and down_proj   t hidden f
 *   experts' all-gather, a rank's part       max(1, t / ep) (hidden + experts) f
 *   experts' reduce-scatter                  t hidden f
 *   KV to a decode instance, a layer         2 kv_dim tokens f_kv / p
 *   input of the first rank 2 t f, output of the last 4 t
 */
#include <math.h>
#include <string.h>
#include "simulator/network.h"
#include "simulator/work.h"

enum role { ROLE_PLAIN, ROLE_QKV, ROLE_ATTENTION, ROLE_REDUCED, ROLE_EXPERTS };

struct layer {
	const struct jt_layer *in_profile;
	enum role role;
	uint64_t weight_bytes;
	uint64_t whole_weight_bytes; /* of all ranks */
	struct jt_placement weights; /* where they are, by a rule or outside of blocks */
	bool has_rule;               /* of its own; else what holds for the block holds for it */
};

struct part {
	struct layer *layers;
	uint32_t n;
};

struct jt_pricer {
	struct jt_pricer_options o;
	const struct jt_instance *in; /* of o */
	const struct jt_pim *pim;     /* NULL: attention is not offloaded */
	bool uneven; /* blocks have weights in different places, or off the NPU at all */
	struct part prologue, pre_attn, post_attn, mlp, head;
	double *pim_load; /* scratch: tokens on each channel */
};

/* -- sizes -- */

static uint64_t element_bytes(const struct jt_instance *in)
{
	return jt__dtype_bytes(in->serving.dtype);
}

static uint64_t kv_element_bytes(const struct jt_instance *in)
{
	return in->serving.kv_fp8 ? 1 : element_bytes(in);
}

static uint64_t q_dim(const struct jt_arch *a)
{
	return (uint64_t)(a->n_heads * a->head_dim);
}

static uint64_t kv_dim(const struct jt_arch *a)
{
	return (uint64_t)(a->n_kv_heads * a->head_dim);
}

/* Bytes of @name's weights on one of @p ranks, or of one of @ep for experts. */
static uint64_t weight_bytes(const struct jt_instance *in, const char *name, uint64_t p,
                             uint64_t ep)
{
	const struct jt_arch *a = &in->model->arch;
	uint64_t h = (uint64_t)a->hidden_size, f = element_bytes(in);
	uint64_t ffn = (uint64_t)a->intermediate_size, experts = (uint64_t)a->n_experts;

	if (strcmp(name, "embedding") == 0 || strcmp(name, "lm_head") == 0)
		return (uint64_t)a->vocab_size / p * h * f;
	if (strcmp(name, "layernorm") == 0 || strcmp(name, "final_layernorm") == 0)
		return h * f;
	if (strcmp(name, "qk_norm") == 0)
		return 2 * (uint64_t)a->head_dim * f;
	if (strcmp(name, "qkv_proj") == 0)
		return h * ((q_dim(a) + 2 * kv_dim(a)) / p) * f;
	if (strcmp(name, "o_proj") == 0)
		return q_dim(a) / p * h * f;
	if (strcmp(name, "gate_up_proj") == 0)
		return h * 2 * (ffn / p) * f;
	if (strcmp(name, "down_proj") == 0)
		return ffn / p * h * f;
	if (strcmp(name, "moe") == 0)
		return h * experts * f +
		       experts / ep * 3 * h * (uint64_t)a->moe_intermediate_size * f;
	return 0; /* activations have none */
}

uint64_t jt__rank_weight_bytes(const struct jt_instance *in)
{
	const struct jt_arch *a = &in->model->arch;
	static const char *const dense[] = { "gate_up_proj", "down_proj", NULL };
	static const char *const experts[] = { "moe", NULL };
	static const char *const attention[] = { "layernorm", "qkv_proj", "o_proj", "layernorm",
		                                 NULL };
	static const char *const outside[] = { "embedding", "final_layernorm", "lm_head", NULL };
	uint64_t block = 0, sum = 0;

	for (const char *const *l = attention; *l; l++)
		block += weight_bytes(in, *l, in->tp, in->ep);
	for (const char *const *l = a->n_experts ? experts : dense; *l; l++)
		block += weight_bytes(in, *l, in->tp, in->ep);
	for (const char *const *l = outside; *l; l++)
		sum += weight_bytes(in, *l, in->tp, in->ep);
	return sum + block * ((uint64_t)a->n_layers / in->pp);
}

uint64_t jt__rank_kv_bytes_per_token(const struct jt_instance *in)
{
	uint64_t elems = jt__whole(jt__size(&in->model->arch).kv_elems);

	return elems * kv_element_bytes(in) / in->n_npus;
}

/* -- the pricer -- */

static enum role role_of(const struct jt_layer *l)
{
	if (l->kind == JT_LAYER_ATTENTION)
		return ROLE_ATTENTION;
	if (l->kind == JT_LAYER_MOE)
		return ROLE_EXPERTS;
	if (strcmp(l->name, "qkv_proj") == 0)
		return ROLE_QKV;
	if (strcmp(l->name, "o_proj") == 0 || strcmp(l->name, "down_proj") == 0)
		return ROLE_REDUCED;
	return ROLE_PLAIN;
}

static void place_layer(const struct jt_instance *in, struct layer *l)
{
	const char *name = l->role == ROLE_EXPERTS ? "moe" : l->in_profile->name;

	if (strcmp(name, "embedding") == 0)
		l->weights = in->embedding;
	else if (strcmp(name, "final_layernorm") == 0)
		l->weights = in->final_norm;
	else if (strcmp(name, "lm_head") == 0)
		l->weights = in->lm_head;
	else
		l->weights = (struct jt_placement){ JT_PLACE_NPU, 0 };
	for (uint32_t i = 0; i < in->n_layers && !l->has_rule; i++) {
		l->has_rule = strcmp(in->layers[i].layer, name) == 0;
		if (l->has_rule)
			l->weights = in->layers[i].weights;
	}
}

static int fill_part(struct jt_pricer *p, const struct jt_layer_list *list, struct part *part)
{
	bool is_tpu = strstr(p->in->hardware, "TPU") != NULL; /* does it inside of the attention */

	part->layers = jt__alloc(JT_MAX(list->n, 1u), sizeof(*part->layers));
	if (!part->layers)
		return JT_ENOMEM;
	for (uint32_t i = 0; i < list->n; i++) {
		const struct jt_layer *l = &list->layers[i];

		if (is_tpu && strcmp(l->name, "rotary_emb") == 0)
			continue;
		part->layers[part->n] = (struct layer){
			.in_profile = l,
			.role = role_of(l),
			.weight_bytes = weight_bytes(p->in, l->name, p->in->tp, p->in->ep),
			.whole_weight_bytes = weight_bytes(p->in, l->name, 1, 1),
		};
		place_layer(p->in, &part->layers[part->n++]);
	}
	return JT_OK;
}

static bool is_uneven(const struct jt_instance *in)
{
	if (in->serving.local_offloading || in->has_block_rules)
		return true;
	for (uint32_t i = 0; i < in->model->arch.n_layers; i++) {
		if (in->blocks[i].place != JT_PLACE_NPU)
			return true;
	}
	for (uint32_t i = 0; i < in->n_layers; i++) {
		if (in->layers[i].weights.place != JT_PLACE_NPU)
			return true;
	}
	return false;
}

int jt__pricer_new(const struct jt_pricer_options *o, struct jt_pricer **ret_pricer,
                   struct jt_error *err)
{
	struct jt_pricer *p = jt__alloc(1, sizeof(*p));
	const struct jt_instance *in = o->in;
	enum jt_layer_part mlp = in->model->arch.n_experts ? JT_PART_MLP_MOE : JT_PART_MLP_DENSE;
	const struct jt_layer_list *parts = o->profile->parts;

	if (!p)
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory for an instance");
	p->o = *o;
	p->in = in;
	p->pim = in->serving.attn_offloading ? o->node->pim : NULL;
	p->uneven = is_uneven(in);
	if (fill_part(p, &parts[JT_PART_PROLOGUE], &p->prologue) < 0 ||
	    fill_part(p, &parts[JT_PART_PRE_ATTN], &p->pre_attn) < 0 ||
	    fill_part(p, &parts[JT_PART_POST_ATTN], &p->post_attn) < 0 ||
	    fill_part(p, &parts[mlp], &p->mlp) < 0 ||
	    fill_part(p, &parts[JT_PART_HEAD], &p->head) < 0) {
		jt__pricer_free(p);
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory for an instance's layers");
	}
	if (p->pre_attn.n + p->post_attn.n + p->mlp.n == 0 || p->head.n == 0) {
		jt__pricer_free(p);
		return jt__fail(err, JT_EINVAL, in->hardware,
		                "the profile of '%s' has no layers for a step", in->model->name);
	}
	*ret_pricer = p;
	return JT_OK;
}

void jt__pricer_free(struct jt_pricer *p)
{
	if (!p)
		return;
	jt__free(p->prologue.layers);
	jt__free(p->pre_attn.layers);
	jt__free(p->post_attn.layers);
	jt__free(p->mlp.layers);
	jt__free(p->head.layers);
	jt__free(p->pim_load);
	jt__free(p);
}

/* -- lists that grow -- */

static void *grown(struct jt_work *w, void *old, uint32_t n, uint32_t *capacity, size_t size)
{
	uint32_t more = JT_MAX(64u, *capacity * 2);
	void *p;

	if (n < *capacity)
		return old;
	p = jt__realloc(old, more, size);
	if (!p) {
		w->status = JT_ENOMEM;
		return old;
	}
	*capacity = more;
	return p;
}

static void add_op(struct jt_work *w, struct jt_ops *ops, struct jt_op op)
{
	ops->items = grown(w, ops->items, ops->n, &ops->capacity, sizeof(*ops->items));
	if (w->status == JT_OK)
		ops->items[ops->n++] = op;
}

static uint32_t add_load(struct jt_work *w, struct jt_load load)
{
	w->loads = grown(w, w->loads, w->n_loads, &w->loads_capacity, sizeof(*w->loads));
	if (w->status == JT_OK)
		w->loads[w->n_loads++] = load;
	return w->n_loads - 1;
}

/* A layer joins the run that it follows. */
static void add_run(struct jt_work *w, struct jt_ops *ops, uint64_t ns)
{
	struct jt_op *last = ops->n ? &ops->items[ops->n - 1] : NULL;

	w->lat = grown(w, w->lat, w->n_lat, &w->lat_capacity, sizeof(*w->lat));
	if (w->status < 0)
		return;
	w->lat[w->n_lat++] = ns;
	if (ops->n > w->n_sealed && last->kind == JT_OP_RUN &&
	    last->first + last->n == w->n_lat - 1) {
		last->n++;
		last->ns += ns;
	} else {
		add_op(w, ops,
		       (struct jt_op){ JT_OP_RUN, .first = w->n_lat - 1, .n = 1, .ns = ns });
	}
}

/* -- a batch -- */

struct build {
	struct jt_pricer *p;
	const struct jt_shape *s;
	struct jt_work *w;
	struct jt_ops *ops;
	uint64_t times; /* that what is built now happens in the batch */
};

static struct jt_placement place_of(const struct jt_pricer *p, const struct layer *l, int block)
{
	return block >= 0 && !l->has_rule ? p->in->blocks[block] : l->weights;
}

static void count_dram(struct build *b, struct jt_placement from, uint64_t bytes)
{
	if (from.place == JT_PLACE_NPU)
		return;
	b->w->effort.dram_bytes += (double)bytes * (double)b->times;
	if (from.place == JT_PLACE_CXL)
		b->w->effort.cxl_bytes += (double)bytes * (double)b->times;
}

/* The weights of a layer that are not in the NPU's memory are on their way since the rank's begin.
 */
static void wait_for_weights(struct build *b, const struct layer *l, int block)
{
	struct jt_placement from = place_of(b->p, l, block);
	struct jt_load load = { from, l->weight_bytes, .at_begin = true };

	if (l->weight_bytes == 0 ||
	    (from.place == JT_PLACE_NPU && !b->p->in->serving.local_offloading))
		return;
	add_op(b->w, b->ops, (struct jt_op){ JT_OP_WAIT, .first = add_load(b->w, load) });
}

static uint64_t layer_ns(const struct build *b, const struct jt_layer *l)
{
	if (l->kind == JT_LAYER_ATTENTION)
		return jt__profile_attention_ns(b->p->o.profile, &b->s->attention,
		                                b->p->o.exact_skew);
	return jt__profile_layer_ns(b->p->o.profile, l,
	                            l->kind == JT_LAYER_PER_SEQUENCE ? b->s->sequences
	                                                             : b->s->tokens);
}

static void add_layer(struct build *b, const struct layer *l, int block)
{
	uint64_t ns = layer_ns(b, l->in_profile);

	wait_for_weights(b, l, block);
	add_run(b->w, b->ops, ns);
	b->w->effort.npu_ns += ns * b->times;
	if (block >= 0)
		count_dram(b, place_of(b->p, l, block), l->weight_bytes);
}

static void add_message(struct build *b, enum jt_op_kind kind, uint64_t bytes)
{
	static const enum jt_collective of[] = { [JT_OP_REDUCE] = JT_ALL_REDUCE,
		                                 [JT_OP_GATHER] = JT_ALL_GATHER,
		                                 [JT_OP_SCATTER] = JT_REDUCE_SCATTER };
	const struct jt_instance *in = b->p->in;
	uint32_t n = kind == JT_OP_REDUCE ? in->tp : in->ep;
	double moved =
		kind == JT_OP_SEND_KV ? (double)bytes : jt__ring_bytes(of[kind], (double)bytes, n);
	double ranks = kind == JT_OP_REDUCE || kind == JT_OP_SEND_KV ? in->tp : in->local_ep;

	add_op(b->w, b->ops, (struct jt_op){ kind, .bytes = bytes });
	b->w->effort.link_bytes += moved * (double)b->times;
	/* An all-gather is told by a rank's part: the ring moves n times what the formula says. */
	if (kind == JT_OP_GATHER)
		moved *= n;
	b->w->effort.all_link_bytes += moved * ranks * (double)b->times;
}

/*
 * Pairs of token and expert, spread evenly: what one rank has to do. At random, an expert is left
 * out by a token with probability 1 - k / experts; counted is how many are not left out by all.
 */
static void share_experts(const struct jt_pricer *p, uint64_t tokens, uint64_t *ret_tokens,
                          uint64_t *ret_experts, uint32_t *ret_ranks)
{
	const struct jt_arch *a = &p->in->model->arch;
	uint32_t ep = p->in->ep;
	double k = a->experts_per_tok, pairs = (double)tokens * k / ep;
	double mine = (uint32_t)a->n_experts / ep;
	double missed = 1; /* no expert of this rank is among a token's k */

	if (p->o.round_robin) {
		*ret_tokens = p->o.first_member ? tokens : 0;
		*ret_experts = (uint64_t)JT_MIN(k, mine);
		*ret_ranks = 1;
		return;
	}

	for (uint32_t i = 0; i < k; i++)
		missed *= (double)(ep - 1) / ep;
	*ret_tokens = (uint64_t)nearbyint((double)tokens * (1 - missed));
	if (p->o.random)
		pairs = mine * (1 - pow(1 - k / a->n_experts, (double)tokens));
	*ret_experts = (uint64_t)nearbyint(fmin(pairs, mine));
}

static void add_experts(struct build *b, const struct layer *l, int block)
{
	const struct jt_instance *in = b->p->in;
	const struct jt_arch *a = &in->model->arch;
	uint64_t f = element_bytes(in), tokens, experts;
	struct jt_placement from = place_of(b->p, l, block);
	struct jt_load load = { from, l->weight_bytes, .at_begin = false };
	struct jt_op run = { .kind = JT_OP_EXPERTS,
		             .first = UINT32_MAX,
		             .n = JT_MAX(in->local_ep, 1u) };

	share_experts(b->p, b->s->tokens, &tokens, &experts, &run.n);
	if (tokens > 0 && (from.place != JT_PLACE_NPU || in->serving.local_offloading)) {
		run.first = add_load(b->w, load);
		add_op(b->w, b->ops, (struct jt_op){ JT_OP_FETCH, .first = run.first });
		count_dram(b, from, l->weight_bytes * in->local_ep);
	}
	if (in->ep > 1)
		add_message(b, JT_OP_GATHER,
		            JT_MAX(b->s->tokens / in->ep, (uint64_t)1) *
		                    (uint64_t)(a->hidden_size + a->n_experts) * f);
	if (tokens > 0) {
		run.ns = jt__profile_moe_ns(b->p->o.profile, tokens, JT_MAX(experts, (uint64_t)1));
		add_op(b->w, b->ops, run);
		b->w->effort.npu_ns += run.ns * b->times;
	}
	if (in->ep > 1)
		add_message(b, JT_OP_SCATTER, b->s->tokens * (uint64_t)a->hidden_size * f);
}

static uint64_t pim_op_ns(const struct jt_pricer *p, uint32_t prompt, uint32_t split)
{
	const struct jt_arch *a = &p->in->model->arch;
	double slope = p->pim->slope * a->n_heads / a->n_kv_heads / 4;
	double intercept = p->pim->intercept * a->n_heads * a->head_dim / 4096;

	return (uint64_t)((slope * prompt + intercept) / split);
}

/* Operands of one operation: a token's query, key and value there, its result back. */
static uint64_t pim_op_bytes(const struct jt_pricer *p, uint32_t split)
{
	const struct jt_arch *a = &p->in->model->arch;
	uint64_t row = (uint64_t)a->head_dim * element_bytes(p->in);
	uint64_t q = (uint64_t)a->n_heads / p->in->tp * row;
	uint64_t kv = (uint64_t)a->n_kv_heads / p->in->tp * row * 2;

	return (q + kv) / split + q / split;
}

static uint32_t least_loaded(const double *load, uint32_t n)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < n; i++) {
		if (load[i] < load[best])
			best = i;
	}
	return best;
}

/* Puts every decoding sequence on the least loaded channels, longest prompt first. */
static void plan_pim(struct build *b)
{
	struct jt_pricer *p = b->p;
	struct jt_work *w = b->w;
	uint32_t channels = (uint32_t)(p->o.node->cpu_mem_gb / p->pim->channel_gb);
	uint32_t split = JT_MIN(channels, (uint32_t)p->in->model->arch.n_kv_heads);
	uint64_t n_layers = (uint64_t)p->in->model->arch.n_layers, bytes = pim_op_bytes(p, split);
	uint64_t access_ns =
		p->o.cpu_latency_ns + (uint64_t)((double)bytes / p->o.cpu_bytes_per_ns);

	if (!p->pim_load)
		p->pim_load = jt__alloc(channels, sizeof(*p->pim_load));
	if (w->n_pim != channels) {
		jt__free(w->pim_ns);
		w->pim_ns = jt__alloc(channels, sizeof(*w->pim_ns));
		w->n_pim = channels;
	}
	if (!p->pim_load || !w->pim_ns) {
		w->status = JT_ENOMEM;
		return;
	}
	memset(p->pim_load, 0, channels * sizeof(*p->pim_load));
	memset(w->pim_ns, 0, channels * sizeof(*w->pim_ns));
	for (uint32_t i = 0; i < b->s->n_pim; i++) {
		uint32_t prompt = b->s->pim_prompts[i];
		uint64_t ns = pim_op_ns(p, prompt, split);

		for (uint32_t k = 0; k < split; k++) {
			uint32_t c = least_loaded(p->pim_load, channels);

			p->pim_load[c] += prompt;
			w->pim_ns[c] += ns + access_ns;
		}
		w->effort.pim_ns += (double)ns * split * (double)n_layers;
		w->effort.dram_bytes += (double)(bytes * split * n_layers);
	}
}

static void add_attention(struct build *b, const struct layer *l, int block)
{
	if (b->p->pim)
		add_op(b->w, b->ops, (struct jt_op){ .kind = JT_OP_PIM });
	if (b->s->attention.prefill_tokens > 0 || b->s->attention.n_decode > 0)
		add_layer(b, l, block);
}

static void add_part(struct build *b, const struct part *part, int block)
{
	const struct jt_instance *in = b->p->in;
	const struct jt_arch *a = &in->model->arch;

	for (uint32_t i = 0; i < part->n; i++) {
		const struct layer *l = &part->layers[i];

		if (l->role == ROLE_ATTENTION) {
			add_attention(b, l, block);
			continue;
		}
		if (l->role == ROLE_EXPERTS) {
			add_experts(b, l, block);
			continue;
		}
		add_layer(b, l, block);
		if (l->role == ROLE_QKV && in->role == JT_ROLE_PREFILL && b->s->kv_send_tokens)
			add_message(b, JT_OP_SEND_KV,
			            2 * kv_dim(a) * b->s->kv_send_tokens * kv_element_bytes(in) /
			                    in->tp);
		if (l->role == ROLE_REDUCED && in->tp > 1)
			add_message(b, JT_OP_REDUCE,
			            b->s->tokens * (uint64_t)a->hidden_size * element_bytes(in));
	}
}

/* Blocks that are alike are built once and run n_blocks times. */
static void add_blocks(struct build *b)
{
	struct jt_work *w = b->w;
	uint32_t n_blocks = (uint32_t)b->p->in->model->arch.n_layers;
	uint32_t to_build = b->p->uneven ? n_blocks : 1;

	b->ops = &w->blocks;
	b->times = n_blocks / to_build;
	w->n_blocks = 0;
	for (uint32_t i = 0; i < n_blocks; i++) {
		struct jt_block *at;

		w->at = grown(w, w->at, i, &w->at_capacity, sizeof(*w->at));
		if (w->status < 0)
			return;
		at = &w->at[w->n_blocks++];
		if (i >= to_build) {
			*at = at[-1];
			continue;
		}
		at->first = w->n_sealed = w->blocks.n;
		add_part(b, &b->p->pre_attn, (int)i);
		at->middle = w->blocks.n;
		if (b->p->pim)
			w->n_sealed = w->blocks.n;
		add_part(b, &b->p->post_attn, (int)i);
		add_part(b, &b->p->mlp, (int)i);
		at->end = w->blocks.n;
	}
}

/* Layers outside of blocks. The reference bills the embedding with the weights of all ranks. */
static void add_outside(struct build *b, const struct part *part, struct jt_ops *ops, bool whole)
{
	b->ops = ops;
	b->times = 1;
	b->w->n_sealed = 0;
	for (uint32_t i = 0; i < part->n; i++) {
		const struct layer *l = &part->layers[i];

		add_layer(b, l, -1);
		count_dram(b, place_of(b->p, l, -1),
		           whole ? l->whole_weight_bytes : l->weight_bytes);
	}
}

int jt__price(struct jt_pricer *p, const struct jt_shape *s, struct jt_work *w)
{
	const struct jt_instance *in = p->in;
	uint64_t f = element_bytes(in);
	struct build b = { .p = p, .s = s, .w = w };

	w->status = JT_OK;
	w->prologue.n = w->head.n = w->blocks.n = w->n_lat = w->n_loads = 0;
	w->effort = (struct jt_effort){ 0 };
	w->input_bytes = 2 * s->tokens * f;
	w->output_bytes = 4 * s->tokens;
	w->hidden_bytes = s->tokens * (uint64_t)in->model->arch.hidden_size * f;
	w->recall_bytes = s->recall_bytes;
	w->effort.dram_bytes = (double)s->recall_bytes;
	w->effort.cxl_bytes = in->kv_evict.place == JT_PLACE_CXL ? (double)s->recall_bytes : 0;
	if (p->pim)
		plan_pim(&b);
	add_outside(&b, &p->prologue, &w->prologue, true);
	add_blocks(&b);
	add_outside(&b, &p->head, &w->head, false);
	return w->status;
}

void jt__work_fini(struct jt_work *w)
{
	jt__free(w->prologue.items);
	jt__free(w->head.items);
	jt__free(w->blocks.items);
	jt__free(w->at);
	jt__free(w->lat);
	jt__free(w->loads);
	jt__free(w->pim_ns);
	*w = (struct jt_work){ 0 };
}
