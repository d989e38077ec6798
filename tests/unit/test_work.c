/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"
#include "simulator/work.h"

static struct tree dir;
static struct jt_error err;

static const struct jt_sim_model llama = { .arch = { .n_layers = 32,
	                                             .hidden_size = 4096,
	                                             .intermediate_size = 14336,
	                                             .n_heads = 32,
	                                             .n_kv_heads = 8,
	                                             .head_dim = 128,
	                                             .vocab_size = 128256 } };
static const struct jt_sim_model qwen = { .arch = { .n_layers = 48,
	                                            .hidden_size = 2048,
	                                            .n_heads = 32,
	                                            .n_kv_heads = 4,
	                                            .head_dim = 128,
	                                            .vocab_size = 151936,
	                                            .n_experts = 128,
	                                            .experts_per_tok = 8,
	                                            .moe_intermediate_size = 768 } };

static struct jt_instance ranks(const struct jt_sim_model *model, uint32_t tp, uint32_t pp,
                                uint32_t ep)
{
	return (struct jt_instance){ .model = model,
		                     .tp = tp,
		                     .pp = pp,
		                     .ep = ep,
		                     .n_npus = tp * pp,
		                     .serving = { .dtype = JT_BFLOAT16 } };
}

/* All of its parameters, in two bytes each. */
static void llama_8b_takes_16_gb_on_one_rank(void)
{
	struct jt_instance in = ranks(&llama, 1, 1, 1);

	check(jt__rank_weight_bytes(&in) == 16060522496u);
	/* The formulas of the other rooms, and two norms of each layer and one at the end. */
	check(jt__rank_weight_bytes(&in) == jt__size(&llama.arch).weight_bytes + 65 * 4096 * 2);
	check(jt__rank_kv_bytes_per_token(&in) == 131072);
	in.serving.kv_fp8 = true;
	check(jt__rank_kv_bytes_per_token(&in) == 65536);
	in.serving.dtype = JT_FLOAT32;
	check(jt__rank_weight_bytes(&in) == 2 * 16060522496u);
}

/* Norms are on both: 65 of 4096 elements of 2 bytes. */
static void two_ranks_take_half_and_the_norms(void)
{
	struct jt_instance in = ranks(&llama, 2, 1, 1);

	check(jt__rank_weight_bytes(&in) == 16060522496u / 2 + 65 * 4096 * 2 / 2);
	check(jt__rank_kv_bytes_per_token(&in) == 65536);
}

static void a_stage_has_its_share_of_the_blocks(void)
{
	struct jt_instance one = ranks(&llama, 1, 1, 1), four = ranks(&llama, 1, 4, 1);
	uint64_t outside = 2 * UINT64_C(128256) * 4096 * 2 + 4096 * 2;

	check((jt__rank_weight_bytes(&one) - outside) / 4 ==
	      jt__rank_weight_bytes(&four) - outside);
	check(jt__rank_kv_bytes_per_token(&four) == 32768);
}

static void experts_are_divided_by_the_expert_parallel_degree(void)
{
	struct jt_instance one = ranks(&qwen, 1, 1, 1), four = ranks(&qwen, 1, 1, 4);
	uint64_t expert = 3 * 2048 * 768 * 2;

	check(jt__rank_weight_bytes(&one) - jt__rank_weight_bytes(&four) == 48 * 96 * expert);
}

/* -- what a batch does -- */

struct priced {
	struct jt_cluster *cluster;
	struct jt_profile *profile;
	struct jt_pricer *pricer;
	struct jt_work work;
};

static struct priced price(const struct world_instance *in, const struct jt_shape *shape)
{
	const struct jt_serving_defaults d = JT_SERVING_DEFAULTS;
	struct world_spec spec = { .n_instances = in->group || in->role ? 2 : 1,
		                   .instances = { *in, *in },
		                   .cxl = true };
	struct priced p = { 0 };
	struct jt_pricer_options o = { .cpu_bytes_per_ns = 10, .cpu_latency_ns = 100 };
	char root[128];
	struct jt_profile_where where = {
		.root = root, .hardware = "GPU", .type = "tiny", .variant = "bf16"
	};

	if (in->role)
		spec.instances[1].role = "decode";
	snprintf(root, sizeof(root), "%s/profiler", dir.root);
	p.cluster = world_cluster(&dir, &spec, &d, &err);
	if (!check(p.cluster != NULL)) {
		printf("# %s\n", err.message);
		return p;
	}
	o.in = &p.cluster->instances[0];
	o.node = &p.cluster->nodes[0];
	where.model = o.in->model->name;
	where.tp = o.in->tp;
	check(jt__profile_load(&where, &p.profile, &err) == JT_OK);
	o.profile = p.profile;
	check(jt__pricer_new(&o, &p.pricer, &err) == JT_OK);
	check(jt__price(p.pricer, shape, &p.work) == JT_OK);
	return p;
}

static void done(struct priced *p)
{
	jt__work_fini(&p->work);
	jt__pricer_free(p->pricer);
	jt__profile_free(p->profile);
	jt__cluster_free(p->cluster);
}

static struct jt_shape prefill(uint64_t tokens)
{
	return (struct jt_shape){ .tokens = tokens,
		                  .sequences = 1,
		                  .attention = { .prefill_tokens = tokens } };
}

static uint32_t count(const struct jt_ops *ops, enum jt_op_kind kind)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ops->n; i++)
		n += ops->items[i].kind == kind;
	return n;
}

static uint64_t sum_runs(const struct jt_ops *ops)
{
	uint64_t ns = 0;

	for (uint32_t i = 0; i < ops->n; i++)
		ns += ops->items[i].kind == JT_OP_RUN ? ops->items[i].ns : 0;
	return ns;
}

static void one_rank_has_one_run_in_a_block(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { 0 };
	struct priced p = price(&in, &shape);
	uint64_t block_ns = 7 * WORLD_LAYER_NS(50) + WORLD_ATTENTION_NS;

	check(p.work.blocks.n == 1 && p.work.blocks.items[0].n == 8 && p.work.n_blocks == 4);
	check(sum_runs(&p.work.blocks) == block_ns);
	check(sum_runs(&p.work.prologue) == WORLD_LAYER_NS(50));
	check(sum_runs(&p.work.head) == WORLD_LAYER_NS(50) + WORLD_LAYER_NS(1));
	check(p.work.effort.npu_ns == 4 * block_ns + 2 * WORLD_LAYER_NS(50) + WORLD_LAYER_NS(1));
	check(p.work.input_bytes == 200 && p.work.output_bytes == 200);
	check(p.work.hidden_bytes == 50 * 64 * 2);
	check(p.work.effort.link_bytes == 0 && p.work.effort.dram_bytes == 0 &&
	      p.work.n_loads == 0);
	done(&p);
}

static void two_ranks_reduce_twice_in_a_block(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { .tp = 2 };
	struct priced p = price(&in, &shape);
	double bytes = 50 * 64 * 2;

	check(count(&p.work.blocks, JT_OP_REDUCE) == 2);
	for (uint32_t i = 0; i < p.work.blocks.n; i++)
		check(p.work.blocks.items[i].kind != JT_OP_REDUCE ||
		      p.work.blocks.items[i].bytes == 6400);
	check_near(p.work.effort.link_bytes, 8 * 2 * bytes / 2, 1e-6); /* 2 (n - 1) / n of each */
	check_near(p.work.effort.all_link_bytes, 2 * p.work.effort.link_bytes, 1e-6);
	done(&p);
}

static void experts_of_one_rank_need_no_messages(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { .model = "tiny/moe" };
	struct priced p = price(&in, &shape);

	check(count(&p.work.blocks, JT_OP_EXPERTS) == 1);
	check(count(&p.work.blocks, JT_OP_GATHER) + count(&p.work.blocks, JT_OP_SCATTER) == 0);
	done(&p);
}

static void experts_of_a_group_gather_and_scatter(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { .model = "tiny/moe", .group = "A", .ep = 2 };
	struct priced p = price(&in, &shape);

	check(count(&p.work.blocks, JT_OP_GATHER) == 1 &&
	      count(&p.work.blocks, JT_OP_SCATTER) == 1);
	for (uint32_t i = 0; i < p.work.blocks.n; i++) {
		const struct jt_op *op = &p.work.blocks.items[i];

		check(op->kind != JT_OP_GATHER || op->bytes == 25 * (64 + 8) * 2);
		check(op->kind != JT_OP_SCATTER || op->bytes == 50 * 64 * 2);
	}
	done(&p);
}

static void a_prefill_instance_sends_the_kv_of_every_block(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { .role = "prefill" };
	struct priced p;

	shape.kv_send_tokens = 50;
	p = price(&in, &shape);
	check(count(&p.work.blocks, JT_OP_SEND_KV) == 1);
	check_near(p.work.effort.link_bytes, 50 * 512, 1e-6); /* 4 blocks of 2 x 32 x 2 */
	done(&p);
}

static void weights_elsewhere_are_waited_for_and_billed(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = {
		.more = ", \"placement\": {\"default\": {\"weights\": \"cpu\"}, "
			"\"blocks\": [{\"blocks\": \"1\", \"weights\": \"cxl:1\"}]}"
	};
	struct priced p = price(&in, &shape);
	uint64_t block = 2 * 64 * 2 + 64 * 128 * 2 + 64 * 64 * 2 + 64 * 256 * 2 + 128 * 64 * 2;
	uint64_t outside = 2 * 1000 * 64 * 2 + 64 * 2;

	check(count(&p.work.blocks, JT_OP_WAIT) == 4 * 6); /* 6 layers of a block have weights */
	check(p.work.n_loads == 4 * 6 + 3);
	check(p.work.blocks.n == p.work.at[3].end && p.work.at[1].first == p.work.at[0].end);
	check_near(p.work.effort.dram_bytes, (double)(4 * block + outside), 1e-6);
	check_near(p.work.effort.cxl_bytes, (double)block, 1e-6);
	done(&p);
}

static void a_work_is_reused(void)
{
	struct jt_shape large = prefill(90), small = prefill(10);
	struct world_instance in = { 0 };
	struct priced p = price(&in, &large), q = price(&in, &small);

	check(jt__price(p.pricer, &small, &p.work) == JT_OK);
	check(p.work.effort.npu_ns == q.work.effort.npu_ns && p.work.n_lat == q.work.n_lat);
	check(p.work.blocks.n == q.work.blocks.n);
	done(&p);
	done(&q);
}

static void no_memory_is_told_and_gone_the_next_time(void)
{
	struct jt_shape shape = prefill(50);
	struct world_instance in = { .model = "tiny/moe", .tp = 2, .ep = 2 };
	struct priced p = price(&in, &shape);
	uint64_t ns = p.work.effort.npu_ns, nth;

	for (nth = 1; nth < 50; nth++) {
		struct jt_work w = { 0 };
		int status;

		jt__alloc_fail_at(nth);
		status = jt__price(p.pricer, &shape, &w);
		jt__alloc_fail_at(0);
		check(status == JT_OK || status == JT_ENOMEM);
		if (status < 0)
			check(jt__price(p.pricer, &shape, &w) == JT_OK);
		check(w.effort.npu_ns == ns);
		jt__work_fini(&w);
		if (status == JT_OK)
			break;
	}
	check(nth > 2 && nth < 50);
	done(&p);
}

int main(void)
{
	dir = world_new();
	test(llama_8b_takes_16_gb_on_one_rank);
	test(two_ranks_take_half_and_the_norms);
	test(a_stage_has_its_share_of_the_blocks);
	test(experts_are_divided_by_the_expert_parallel_degree);
	test(one_rank_has_one_run_in_a_block);
	test(two_ranks_reduce_twice_in_a_block);
	test(experts_of_one_rank_need_no_messages);
	test(experts_of_a_group_gather_and_scatter);
	test(a_prefill_instance_sends_the_kv_of_every_block);
	test(weights_elsewhere_are_waited_for_and_billed);
	test(a_work_is_reused);
	test(no_memory_is_told_and_gone_the_next_time);
	tree_free(&dir);
	return tap_done();
}
