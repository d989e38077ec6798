/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

#define GB 1073741824.0
#define CHUNK_TOKENS 256u /* of a lower tier, as LMCache has them */

bool jt__inst_has_last(const struct jt_inst *x)
{
	return x->in->n_npus > 1 || x->in->role == JT_ROLE_PREFILL;
}

void jt__inst_stir(struct jt_inst *x)
{
	x->first_quiet = x->last_quiet = false;
}

bool jt__same_group(const struct jt_inst *a, const struct jt_inst *b)
{
	return a == b || (a->in->dp_group >= 0 && a->in->dp_group == b->in->dp_group);
}

/* Its other members may join it, or have nothing to wait for any more. */
void jt__stir_group(struct jt_sim *s, const struct jt_inst *x)
{
	for (uint32_t i = 0; i < s->cluster->n_instances; i++) {
		if (jt__same_group(x, &s->insts[i]))
			jt__inst_stir(&s->insts[i]);
	}
}

/* What stands in for a profile that is not there: the other type of 16 bits takes as long. */
static enum jt_dtype stand_in(enum jt_dtype t)
{
	return t == JT_FLOAT16 ? JT_BFLOAT16 : t == JT_BFLOAT16 ? JT_FLOAT16 : JT_DTYPE_NONE;
}

static int load_profile(struct jt_sim *s, const struct jt_instance *in,
                        struct jt_profile_where *where, struct jt_profile **ret_profile,
                        struct jt_error *err)
{
	enum jt_dtype other = stand_in(in->serving.dtype);
	struct jt_error of_other;
	char variant[16];
	int status = jt__profile_load(where, ret_profile, err);

	if (status != JT_ENOENT || other == JT_DTYPE_NONE)
		return status;
	jt__dtype_variant(other, in->serving.kv_fp8, variant);
	where->variant = variant;
	if (jt__profile_load(where, ret_profile, &of_other) < 0)
		return status;
	jt__buf_printf(&s->remarks, "no profile of '%s' on %s for %s: that for %s stands in\n",
	               in->model->name, in->hardware, jt__dtype_name(in->serving.dtype),
	               jt__dtype_name(other));
	return JT_OK;
}

/* Instances with the same layers share a profile. */
static int open_profile(struct jt_sim *s, struct jt_inst *x, struct jt_error *err)
{
	const struct jt_instance *in = x->in;
	char variant[16];
	struct jt_profile_where where = { .root = s->o.profiles,
		                          .hardware = in->hardware,
		                          .model = in->model->name,
		                          .type = in->model->type,
		                          .variant = variant,
		                          .tp = in->tp };
	int status;

	for (uint32_t i = 0; i < x->index; i++) {
		const struct jt_instance *other = s->insts[i].in;

		if (strcmp(other->hardware, in->hardware) == 0 && other->model == in->model &&
		    other->tp == in->tp && other->serving.dtype == in->serving.dtype &&
		    other->serving.kv_fp8 == in->serving.kv_fp8) {
			x->profile = s->insts[i].profile;
			return JT_OK;
		}
	}
	jt__dtype_variant(in->serving.dtype, in->serving.kv_fp8, variant);
	status = load_profile(s, in, &where, &x->profile, err);
	if (status < 0)
		return status;
	s->profiles[s->n_profiles++] = x->profile;
	if (x->profile->remarks)
		jt__buf_printf(&s->remarks, "%s\n", x->profile->remarks);
	return JT_OK;
}

static uint64_t cluster_kv_bytes_per_token(const struct jt_instance *in)
{
	return jt__rank_kv_bytes_per_token(in) * in->n_npus;
}

static int open_lower(double gb, const struct jt_instance *in, struct jt_kv_pool **ret_pool,
                      struct jt_error *err)
{
	uint32_t block = in->serving.block_size;
	uint32_t chunk = JT_MAX(block, CHUNK_TOKENS / block * block);
	struct jt_kv_options o = { .block_tokens = chunk, .prefix_caching = true };

	o.bytes_per_block = cluster_kv_bytes_per_token(in) * chunk;
	o.n_blocks = (uint64_t)(gb * GB / (double)o.bytes_per_block);
	if (o.n_blocks == 0)
		return jt__fail(err, JT_EINVAL, "prefix_storage",
		                "%g GB hold no chunk of %u tokens: use a larger memory, or none",
		                gb, chunk);
	return jt__kv_pool_new(&o, ret_pool, err);
}

/* Blocks are found by their tokens alone: who shares them must keep the same thing in them. */
static int check_sharing(const struct jt_sim *s, const struct jt_inst *x, struct jt_error *err)
{
	for (uint32_t i = 0; i < x->index; i++) {
		const struct jt_instance *a = s->insts[i].in, *b = x->in;

		if (!a->serving.prefix_caching ||
		    (s->o.prefix_store == JT_PREFIX_CPU && a->node != b->node))
			continue;
		if (a->model != b->model || a->serving.block_size != b->serving.block_size ||
		    a->serving.dtype != b->serving.dtype || a->serving.kv_fp8 != b->serving.kv_fp8)
			return jt__fail(err, JT_EINVAL, "prefix_sharing",
			                "instances %u and %u cannot share cached prefixes: model, "
			                "block_size, dtype and kv_cache_dtype must be the same",
			                i, x->index);
	}
	return JT_OK;
}

/* The lower tier of the instance's cache: its own, or one for all of a node. */
static int lower_of(struct jt_sim *s, struct jt_inst *x, struct jt_kv_pool **ret_pool,
                    struct jt_error *err)
{
	bool cxl = s->o.prefix_store == JT_PREFIX_CXL;
	double gb = cxl ? s->cluster->cxl_mem_gb : s->cluster->nodes[x->in->node].cpu_mem_gb;
	struct jt_kv_pool **pool = &x->lower;
	int status = JT_OK;

	*ret_pool = NULL;
	if (s->o.prefix_store == JT_PREFIX_NONE || !x->in->serving.prefix_caching)
		return JT_OK;
	if (cxl && s->cluster->n_cxl == 0)
		return jt__fail(err, JT_EINVAL, "prefix_storage",
		                "CXL, but the cluster has no 'cxl_mem'");
	if (s->o.prefix_sharing) {
		pool = &s->shared[cxl ? 0 : x->in->node];
		status = check_sharing(s, x, err);
	}
	if (status == JT_OK && !*pool)
		status = open_lower(gb, x->in, pool, err);
	*ret_pool = *pool;
	return status;
}

static int open_sched(struct jt_sim *s, struct jt_inst *x, struct jt_error *err)
{
	const struct jt_instance *in = x->in;
	const struct jt_serving_defaults *v = &in->serving;
	uint64_t block_bytes = jt__rank_kv_bytes_per_token(in) * v->block_size;
	double room = floor(in->mem_gb * GB * in->mem_util) - (double)x->weight_bytes;
	struct jt_sched_options o = {
		.max_seqs = v->max_num_seqs,
		.max_batch_tokens = in->model->max_positions,
		.prefill_threshold = v->long_prefill_token_threshold,
		.max_batches = in->pp,
		.chunked_prefill = v->chunked_prefill,
		.reserve_prompt = v->reserve_full_isl,
		.kv = { .block_tokens = v->block_size,
		        .bytes_per_block = block_bytes,
		        .prefix_caching = v->prefix_caching },
	};
	int status;

	if (v->max_num_batched_tokens)
		o.max_batch_tokens = JT_MIN(o.max_batch_tokens, v->max_num_batched_tokens);
	if (room < (double)block_bytes)
		return jt__fail(
			err, JT_EINVAL, in->model->name,
			"instance %u: %.2f GB of weights leave no KV cache in %g GB at %.2f of it; "
			"use more memory, a larger tp_size, a smaller dtype or block_size",
			x->index, (double)x->weight_bytes / GB, in->mem_gb, in->mem_util);
	o.kv.n_blocks = (uint64_t)(room / (double)block_bytes);
	if (o.kv.n_blocks >= UINT32_MAX)
		return jt__fail(
			err, JT_ELIMIT, "npu_mem",
			"instance %u: mem_size %g GB holds %llu blocks of KV, at most 2^32 - 2 "
			"can be told apart; use a larger block_size",
			x->index, in->mem_gb, (unsigned long long)o.kv.n_blocks);
	if ((status = lower_of(s, x, &o.kv.lower, err)) < 0)
		return status;
	return jt__sched_new(&o, &x->sched, err);
}

static bool is_first_member(const struct jt_sim *s, uint32_t i)
{
	const struct jt_instance *all = s->cluster->instances;

	for (uint32_t k = 0; k < i && all[i].dp_group >= 0; k++) {
		if (all[k].dp_group == all[i].dp_group)
			return false;
	}
	return true;
}

int jt__inst_open(struct jt_sim *s, uint32_t i, struct jt_error *err)
{
	struct jt_inst *x = &s->insts[i];
	const struct jt_instance *in = &s->cluster->instances[i];
	const struct jt_memory *cpu = &s->fabric.cpu[in->node];
	struct jt_pricer_options po = { .in = in,
		                        .node = &s->cluster->nodes[in->node],
		                        .exact_skew = s->o.quirks.exact_skew,
		                        .round_robin = s->o.experts == JT_EXPERTS_RR &&
		                                       s->o.quirks.first_experts,
		                        .random = s->o.experts == JT_EXPERTS_RAND,
		                        .first_member = is_first_member(s, i),
		                        .cpu_bytes_per_ns = cpu->bytes_per_ns,
		                        .cpu_latency_ns = cpu->latency_ns };
	int status;

	x->in = in;
	x->index = i;
	if (in->pp > JT_MAX_FLIGHTS || in->n_npus > JT_RING_MAX)
		return jt__fail(err, JT_ELIMIT, "cluster",
		                "instance %u: at most %d pipeline stages and %d NPUs", i,
		                JT_MAX_FLIGHTS, JT_RING_MAX);
	if (in->serving.attn_offloading && (in->dp_group >= 0 || in->role == JT_ROLE_PREFILL))
		return jt__fail(err, JT_ENOTSUP, "cluster",
		                "instance %u: 'enable_attn_offloading' %s is not simulated", i,
		                in->dp_group >= 0 ? "inside of a 'dp_group'"
		                                  : "where only prefill is done");
	x->weight_bytes = jt__rank_weight_bytes(in);
	jt__share_open(x);
	if ((status = open_profile(s, x, err)) < 0 || (status = open_sched(s, x, err)) < 0)
		return status;
	po.profile = x->profile;
	status = jt__pricer_new(&po, &x->pricer, err);
	if (status < 0)
		return status;
	x->n_slots = in->pp + 1;
	x->flights = jt__alloc(x->n_slots, sizeof(*x->flights));
	return x->flights ? JT_OK : jt__fail(err, JT_ENOMEM, "simulate", "no memory for batches");
}

void jt__inst_close(struct jt_inst *x)
{
	for (uint32_t i = 0; x->flights && i < x->n_slots; i++) {
		for (int h = 0; h < 2; h++)
			jt__work_fini(&x->flights[i].works[h]);
	}
	jt__free(x->flights);
	jt__pricer_free(x->pricer);
	jt__sched_free(x->sched);
	jt__kv_pool_free(x->lower);
	jt__work_fini(&x->asked);
	jt__free(x->prompts);
	jt__free(x->tokens);
	jt__free(x->order);
	jt__free(x->half);
}

struct jt_flight *jt__inst_new_flight(struct jt_inst *x)
{
	struct jt_flight *f = &x->flights[(x->first_flight + x->n_flights++) % x->n_slots];

	*f = (struct jt_flight){ .works = { f->works[0], f->works[1] }, .open_ns = JT_NONE };
	return f;
}

struct jt_wave *jt__wave_take(struct jt_sim *s)
{
	struct jt_wave_slot *w = s->waves;

	while (w && w->n_users)
		w = w->next;
	if (w)
		return &w->wave;
	w = jt__alloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->next = s->waves;
	s->waves = w;
	return &w->wave;
}

void jt__wave_give(struct jt_sim *s, struct jt_wave *w)
{
	(void)s;
	if (w)
		jt_container_of(w, struct jt_wave_slot, wave)->n_users--;
}
