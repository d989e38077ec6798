/* SPDX-License-Identifier: Apache-2.0 */
/* What a cluster is laid out as: ranks, groups and links, and which memory has what. */
#include "cluster_rig.h"

/* What of num_npus, tp_size and pp_size is given, and what follows. */
static void infers_the_parallel_degrees_that_are_not_given(void)
{
	static const struct {
		const char *npus, *tp, *pp;
		uint32_t n_npus, n_tp, n_pp;
	} cases[] = {
		{ "null", "null", "null", 1, 1, 1 }, { "4", "null", "null", 4, 4, 1 },
		{ "null", "4", "null", 4, 4, 1 },    { "null", "null", "4", 4, 1, 4 },
		{ "8", "null", "2", 8, 4, 2 },       { "8", "2", "null", 8, 2, 4 },
		{ "null", "2", "4", 8, 2, 4 },       { "8", "2", "4", 8, 2, 4 },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		struct jt_cluster *c = accept(CHANGES({ FIRST "num_npus", cases[i].npus },
		                                      { FIRST "tp_size", cases[i].tp },
		                                      { FIRST "pp_size", cases[i].pp }));

		check(c->instances[0].n_npus == cases[i].n_npus);
		check(c->instances[0].tp == cases[i].n_tp && c->instances[0].pp == cases[i].n_pp);
		jt__cluster_free(c);
	}
}

static void refuses_degrees_that_do_not_multiply(void)
{
	REFUSE("nodes[0].instances[0]: 'num_npus' (8) is not 'tp_size' (2) x 'pp_size' (2)",
	       { FIRST "num_npus", "8" }, { FIRST "tp_size", "2" }, { FIRST "pp_size", "2" });
	REFUSE("nodes[0].instances[0]: 'num_npus' (3) is not 'tp_size' (2) x 'pp_size' (1)",
	       { FIRST "num_npus", "3" }, { FIRST "tp_size", "2" });
	REFUSE("nodes[0].instances[0]: 'num_npus' (3) is not 'tp_size' (1) x 'pp_size' (2)",
	       { FIRST "num_npus", "3" }, { FIRST "pp_size", "2" });
	REFUSE("nodes[0].instances[0]: 'num_npus' (1) is not 'tp_size' (2) x 'pp_size' (1)",
	       { FIRST "num_npus", "1" }, { FIRST "tp_size", "2" });
}

static void refuses_stages_without_blocks(void)
{
	REFUSE("nodes[0].instances[0]: 'pp_size' (33) is more than the model has blocks (32)",
	       { FIRST "pp_size", "33" });
}

static void spreads_experts_over_tensor_ranks_by_default(void)
{
	struct jt_cluster *c =
		accept(CHANGES({ FIRST "model_name", MIXTURE }, { FIRST "tp_size", "4" }));

	check(c->instances[0].ep == 4 && c->instances[0].local_ep == 4);
	jt__cluster_free(c);
	c = accept(CHANGES({ FIRST "tp_size", "4" }));
	check(c->instances[0].ep == 1 && c->instances[0].local_ep == 1);
	jt__cluster_free(c);
}

static void checks_expert_parallelism(void)
{
	REFUSE("nodes[0].instances[0]: 'ep_size' (4) is more than 'tp_size' (2), which takes a "
	       "'dp_group'",
	       { FIRST "model_name", MIXTURE }, { FIRST "tp_size", "2" }, { FIRST "ep_size", "4" });
	REFUSE("nodes[0].instances[0]: 'ep_size' (3) does not divide the model's 128 experts",
	       { FIRST "model_name", MIXTURE }, { FIRST "tp_size", "3" }, { FIRST "ep_size", "3" });
}

/* A second instance of the same node. */
#define SECOND(model, more)                                                                        \
	{ "nodes.0.num_instances", "2" },                                                          \
	{                                                                                          \
		"nodes.0.instances.1", INSTANCE(model, more)                                       \
	}

static void shares_experts_in_a_group(void)
{
	struct jt_cluster *c =
		accept(CHANGES({ FIRST "model_name", MIXTURE }, { FIRST "tp_size", "2" },
	                       { FIRST "ep_size", "4" }, { FIRST "dp_group", "'A'" },
	                       SECOND(MIXTURE, ",'tp_size':2,'ep_size':4,"
	                                       "'dp_group':'A'")));

	check(c->n_dp_groups == 1 && c->instances[1].dp_group == 0);
	check(c->instances[0].dp_members == 2 && c->instances[1].dp_members == 2);
	check(c->instances[0].ep == 4 && c->instances[0].local_ep == 2);
	check(c->n_dims == 2 && c->dims[0] == 2 && c->dims[1] == 2);
	jt__cluster_free(c);
	REFUSE("nodes[0].instances[0].ep_size: 8 is the whole 'dp_group': it must be a multiple of "
	       "its 2 members and at most 2 for each (tp_size)",
	       { FIRST "model_name", MIXTURE }, { FIRST "tp_size", "2" }, { FIRST "ep_size", "8" },
	       { FIRST "dp_group", "'A'" },
	       SECOND(MIXTURE, ",'tp_size':2,'ep_size':8,'dp_group':'A'"));
	REFUSE("nodes[0].instances[0].ep_size: 1 is the whole 'dp_group': it must be a multiple of "
	       "its 2 members and at most 1 for each (tp_size)",
	       { FIRST "model_name", MIXTURE }, { FIRST "dp_group", "'A'" },
	       SECOND(MIXTURE, ",'dp_group':'A'"));
}

static void shares_no_experts_of_a_dense_model(void)
{
	struct jt_cluster *c =
		accept(CHANGES({ FIRST "dp_group", "'A'" }, SECOND(LLAMA, ",'dp_group':'A'")));

	check(c->instances[1].ep == 1 && c->instances[1].local_ep == 1);
	check(c->instances[1].dp_members == 2);
	jt__cluster_free(c);
}

static void refuses_a_group_of_unlike_members(void)
{
	REFUSE("nodes[0].instances[1].tp_size: differs from that of nodes[0].instances[0], which "
	       "is "
	       "in the same 'dp_group'",
	       { FIRST "dp_group", "'A'" }, SECOND(LLAMA, ",'tp_size':2,'dp_group':'A'"));
	REFUSE("nodes[0].instances[1].pp_size: differs from that of nodes[0].instances[0], which "
	       "is "
	       "in the same 'dp_group'",
	       { FIRST "dp_group", "'A'" }, SECOND(LLAMA, ",'pp_size':2,'dp_group':'A'"));
	REFUSE("nodes[0].instances[1].model_name: differs from that of nodes[0].instances[0], "
	       "which "
	       "is in the same 'dp_group'",
	       { FIRST "dp_group", "'A'" }, SECOND(MIXTURE, ",'dp_group':'A'"));
	REFUSE("nodes[0].instances[1].ep_size: differs from that of nodes[0].instances[0], which "
	       "is "
	       "in the same 'dp_group'",
	       { FIRST "dp_group", "'A'" }, { FIRST "ep_size", "2" },
	       { FIRST "model_name", MIXTURE }, SECOND(MIXTURE, ",'dp_group':'A','ep_size':4"));
	REFUSE("nodes[0].instances[1].pd_type: differs from that of nodes[0].instances[0], which "
	       "is "
	       "in the same 'dp_group'",
	       { FIRST "dp_group", "'A'" }, { FIRST "pd_type", "'prefill'" },
	       SECOND(LLAMA, ",'dp_group':'A','pd_type':'decode'"));
	REFUSE("nodes[0].instances[0].dp_group: must be a text, or null",
	       { FIRST "dp_group", "1" });
}

static void numbers_npus_with_the_receivers_of_a_prefill_instance(void)
{
	struct jt_cluster *c =
		accept(CHANGES({ FIRST "pd_type", "'prefill'" }, { FIRST "tp_size", "2" },
	                       SECOND(LLAMA, ",'pd_type':'decode'")));

	check(c->instances[0].role == JT_ROLE_PREFILL && c->instances[1].role == JT_ROLE_DECODE);
	check(c->instances[0].first_npu == 0 && c->instances[1].first_npu == 4 && c->n_npus == 5);
	jt__cluster_free(c);
}

static void wants_prefill_and_decode_together(void)
{
	REFUSE("nodes[0].instances[0].pd_type: \"prefill\" needs an instance that is \"decode\"",
	       { FIRST "pd_type", "'prefill'" });
	REFUSE("nodes[0].instances[1].pd_type: \"decode\" needs an instance that is \"prefill\"",
	       SECOND(LLAMA, ",'pd_type':'decode'"));
	REFUSE("nodes[0].instances[1].model_name: prefill and decode instances must have one model",
	       { FIRST "pd_type", "'prefill'" }, SECOND(MIXTURE, ",'pd_type':'decode'"));
	REFUSE("nodes[0].instances[0].pd_type: must be one of \"prefill\", \"decode\"",
	       { FIRST "pd_type", "'both'" });
}

static void lays_out_the_topology(void)
{
	static const struct {
		const char *npus, *pp;
		uint32_t n_dims, dims[2];
	} cases[] = {
		{ "1", "1", 1, { 1 } },
		{ "4", "1", 1, { 4 } },
		{ "4", "4", 1, { 4 } },
		{ "4", "2", 2, { 2, 2 } },
	};
	struct jt_cluster *c;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		c = accept(CHANGES({ FIRST "num_npus", cases[i].npus },
		                   { FIRST "pp_size", cases[i].pp }));
		check(c->n_dims == cases[i].n_dims && c->dims[0] == cases[i].dims[0]);
		check(c->n_dims == 1 || c->dims[1] == cases[i].dims[1]);
		jt__cluster_free(c);
	}
	c = accept(CHANGES({ FIRST "tp_size", "2" }, SECOND(LLAMA, ",'tp_size':2")));
	check(c->n_dims == 2 && c->dims[0] == 2 && c->dims[1] == 2);
	jt__cluster_free(c);
	c = accept(CHANGES({ FIRST "pp_size", "2" }, { FIRST "dp_group", "'A'" },
	                   SECOND(LLAMA, ",'pp_size':2,'dp_group':'A'")));
	check(c->n_dims == 3 && c->dims[0] == 1 && c->dims[1] == 2 && c->dims[2] == 2);
	jt__cluster_free(c);
}

static void takes_a_link_for_each_dimension(void)
{
	struct jt_cluster *c = accept(CHANGES({ "link_bw", "[128, 16]" },
	                                      { "link_latency", "[500, 2e4]" }, SECOND(LLAMA, "")));

	check(c->link_bw_is_list && c->n_link_bw == 2 && c->link_latency_is_list);
	check(c->link_bw_gbs[0] == 128 && c->link_bw_gbs[1] == 16 &&
	      c->link_latency_ns[1] == 20000);
	jt__cluster_free(c);
	REFUSE("link_bw: has 2 values, but the instances make a topology of 1: give a single "
	       "number, "
	       "or 1",
	       { "link_bw", "[128, 16]" });
	REFUSE("link_latency[0]: must be a number", { "link_latency", "['fast']" });
	REFUSE("link_bw[0]: 0 is not within 0.001 and 1e+09 GB/s", { "link_bw", "[0]" });
}

/* As the reference's log has it, for the same file. */
static void lets_the_pim_overwrite_memory_and_dimms(void)
{
	struct jt_cluster *c = accept(CHANGES(WITH_PIM));
	const struct jt_cluster_node *node = c->nodes;

	check(node->pim && node->cpu_bw_gbs == 1638.4 && node->cpu_latency_ns == 13.86);
	check(node->power.dimm_gb == 8 && node->power.dimm_idle_w == 0.623);
	check(node->power.dram_pj_per_bit == 6);
	check_text(c->remarks,
	           "'mem_bw' in 'cpu_mem' configuration will be overwritten by 1638.4 in "
	           "'pim_config'.\n"
	           "'mem_latency' in 'cpu_mem' configuration will be overwritten by 13.86 in "
	           "'pim_config'.\n"
	           "'dimm_size' in 'dram' power configuration will be overwritten by 8.0 in "
	           "'pim_config'.\n"
	           "'idle_power' in 'dram' power configuration will be overwritten by 0.623 in "
	           "'pim_config'.");
	jt__cluster_free(c);
}

static void needs_no_bandwidth_and_no_dimms_beside_a_pim(void)
{
	struct jt_cluster *c = accept(CHANGES(WITH_PIM, { "nodes.0.cpu_mem.mem_bw", NULL },
	                                      { "nodes.0.cpu_mem.mem_latency", NULL },
	                                      { "nodes.0.power.dram.dimm_size", NULL },
	                                      { "nodes.0.power.dram.idle_power", NULL }));

	check(c->nodes[0].cpu_bw_gbs == 1638.4 && c->nodes[0].power.dimm_gb == 8);
	check_text(c->remarks, "'idle_power' in 'dram' power configuration will be overwritten by "
	                       "0.623 in 'pim_config'.");
	jt__cluster_free(c);
}

static void leaves_a_pim_alone_that_nothing_is_offloaded_to(void)
{
	struct jt_cluster *c =
		accept(CHANGES({ "nodes.0.cpu_mem.pim_config", "'DDR4_8GB_3200_pim'" }));

	check(!c->nodes[0].pim && c->nodes[0].cpu_bw_gbs == 256 && !c->remarks);
	jt__cluster_free(c);
}

static void offloads_attention_only_to_a_pim(void)
{
	REFUSE("nodes[0].cpu_mem.pim_config: is missing: attention offloading needs it",
	       { FIRST "enable_attn_offloading", "true" });
	REFUSE("nodes[0].cpu_mem.pim_config: must be the name of a file without its '.ini'",
	       { FIRST "enable_attn_offloading", "true" },
	       { "nodes.0.cpu_mem.pim_config", "'../pim'" });
	refuse_as(JT_ENOENT,
	          CHANGES({ FIRST "enable_attn_offloading", "true" },
	                  { "nodes.0.cpu_mem.pim_config", "'none'" }),
	          "nodes[0].cpu_mem.pim_config: there is no 'none.ini' in " CONFIGS
	          "/pim: put it there, or give --pim-configs DIR");
}

static void interleaves_sub_batches_only_with_offloading_and_one_stage(void)
{
	struct jt_cluster *c =
		accept(CHANGES(WITH_PIM, { FIRST "enable_sub_batch_interleaving", "true" }));

	check(c->instances[0].serving.sub_batch_interleaving);
	jt__cluster_free(c);
	REFUSE("nodes[0].instances[0]: sub-batch interleaving needs attention offloading: set "
	       "'enable_attn_offloading'",
	       { FIRST "enable_sub_batch_interleaving", "true" });
	REFUSE("nodes[0].instances[0]: sub-batch interleaving needs a 'pp_size' of 1, not 2",
	       WITH_PIM, { FIRST "enable_sub_batch_interleaving", "true" },
	       { FIRST "pp_size", "2" });
}

static bool is_at(const struct jt_placement *p, enum jt_place place, uint32_t cxl)
{
	return p->place == place && p->cxl == cxl;
}

static void reads_cxl_memory(void)
{
	struct jt_cluster *c = accept(CHANGES(CXL));

	check(c->n_cxl == 4 && c->cxl_mem_gb == 1024 && c->cxl_bw_gbs == 60);
	check(c->cxl_latency_ns == 250);
	jt__cluster_free(c);
	c = accept(CHANGES(CXL, { "cxl_mem.num_devices", NULL }));
	check(c->n_cxl == 1);
	jt__cluster_free(c);
	REFUSE("cxl_mem.num_devices: 0 is not within 1 and 4096", CXL,
	       { "cxl_mem.num_devices", "0" });
}

/* Layer before block before default; a layer's rule that leaves weights open takes the default. */
static void places_layers_before_blocks_before_the_default(void)
{
	struct jt_cluster *c = accept(CHANGES(
		CXL,
		{ FIRST "placement",
	          "{'default':{'weights':'cpu','kv_loc':'npu','kv_evict_loc':'cpu'},"
	          "'blocks':[{'blocks':'0-3, 7','weights':'cxl:1'},{'blocks':'3','kv_loc':'npu'},"
	          "{'blocks':'31','weights':'NPU'}],"
	          "'layers':{'embedding':{'weights':'cxl:3'},'lm_head':{'kv_loc':'npu'},"
	          "'o_proj':{'weights':'npu'},'final_layernorm':{}}}" }));
	const struct jt_instance *in = c->instances;

	check(in->has_placement && in->has_block_rules);
	check(is_at(&in->blocks[0], JT_PLACE_CXL, 1) && is_at(&in->blocks[3], JT_PLACE_CXL, 1));
	check(is_at(&in->blocks[4], JT_PLACE_CPU, 0) && is_at(&in->blocks[7], JT_PLACE_CXL, 1));
	check(is_at(&in->blocks[31], JT_PLACE_NPU, 0) && is_at(&in->blocks[30], JT_PLACE_CPU, 0));
	check(is_at(&in->embedding, JT_PLACE_CXL, 3) && is_at(&in->lm_head, JT_PLACE_CPU, 0));
	check(is_at(&in->final_norm, JT_PLACE_CPU, 0) && in->n_layers == 1);
	check_text(in->layers[0].layer, "o_proj");
	check(is_at(&in->layers[0].weights, JT_PLACE_NPU, 0));
	jt__cluster_free(c);
}

static void refuses_places_that_are_not_there(void)
{
	REFUSE("nodes[0].instances[0].placement.default.weights: must be \"npu\", \"cpu\" or "
	       "\"cxl:ID\"",
	       { FIRST "placement", "{'default':{'weights':'disk'}}" });
	REFUSE("nodes[0].instances[0].placement.default.kv_loc: needs 'cxl_mem', which is not "
	       "there",
	       { FIRST "placement", "{'default':{'kv_loc':'cxl:0'}}" });
	REFUSE("nodes[0].instances[0].placement.layers.moe.weights: there is no device 4: "
	       "'cxl_mem' "
	       "has 4",
	       CXL, { FIRST "placement", "{'layers':{'moe':{'weights':'cxl:4'}}}" });
	REFUSE("nodes[0].instances[0].placement.default.kv_evict_loc: must be \"cxl:\" and a "
	       "number",
	       CXL, { FIRST "placement", "{'default':{'kv_evict_loc':'cxl:-1'}}" });
	REFUSE("nodes[0].instances[0].placement.layers.o_project: is not known here; did you mean "
	       "'o_proj'",
	       { FIRST "placement", "{'layers':{'o_project':{}}}" });
}

static void refuses_blocks_that_are_not_there(void)
{
#define BLOCKS(text) { FIRST "placement", "{'blocks':[{'blocks':" text ",'weights':'cpu'}]}" }
#define AT_BLOCKS "nodes[0].instances[0].placement.blocks[0].blocks: "
	REFUSE(AT_BLOCKS "there is no block 32: the model has 0 to 31", BLOCKS("'30-32'"));
	REFUSE(AT_BLOCKS "3-1 ends before it begins", BLOCKS("'3-1'"));
	REFUSE(AT_BLOCKS "must be a text like \"0-3,7\"", BLOCKS("''"));
	REFUSE(AT_BLOCKS "must be a text like \"0-3,7\"", BLOCKS("'0-'"));
	REFUSE(AT_BLOCKS "must be a text like \"0-3,7\"", BLOCKS("'0,'"));
	REFUSE(AT_BLOCKS "must be a text like \"0-3,7\"", BLOCKS("'0 1'"));
	REFUSE(AT_BLOCKS "must be a text like \"0-3,7\"", BLOCKS("3"));
	REFUSE(AT_BLOCKS "there is no block 18446744073709551615: the model has 0 to 31",
	       BLOCKS("'99999999999999999999'"));
}

static void limits_parallel_degrees(void)
{
	REFUSE("nodes[0].instances[0].num_npus: 1048577 is not within 1 and 1048576",
	       { FIRST "num_npus", "1048577" });
	REFUSE("nodes[0].instances[0]: 'tp_size' would be 1025, more than 1024",
	       { FIRST "num_npus", "1025" });
}

/* 32 instances of 32 stages of 1024 are 2^20. */
static void limits_the_npus_of_all_instances(void)
{
	struct change changes[36] = { { FIRST "num_npus", "32768" },
		                      { FIRST "pp_size", "32" },
		                      { "nodes.0.num_instances", "33" } };
	char paths[32][64];

	for (size_t i = 0; i < 32; i++) {
		snprintf(paths[i], sizeof(paths[i]), "nodes.0.instances.%zu", i + 1);
		changes[i + 3] =
			(struct change){ paths[i],
			                 INSTANCE(LLAMA, ",'num_npus':32768,'pp_size':32") };
	}
	refuse_as(JT_EINVAL, changes,
	          "nodes[0].instances[32]: there are more than 1048576 NPUs by now");
}

static void all(void)
{
	test(infers_the_parallel_degrees_that_are_not_given);
	test(refuses_degrees_that_do_not_multiply);
	test(refuses_stages_without_blocks);
	test(spreads_experts_over_tensor_ranks_by_default);
	test(checks_expert_parallelism);
	test(shares_experts_in_a_group);
	test(shares_no_experts_of_a_dense_model);
	test(refuses_a_group_of_unlike_members);
	test(numbers_npus_with_the_receivers_of_a_prefill_instance);
	test(wants_prefill_and_decode_together);
	test(lays_out_the_topology);
	test(takes_a_link_for_each_dimension);
	test(lets_the_pim_overwrite_memory_and_dimms);
	test(needs_no_bandwidth_and_no_dimms_beside_a_pim);
	test(leaves_a_pim_alone_that_nothing_is_offloaded_to);
	test(offloads_attention_only_to_a_pim);
	test(interleaves_sub_batches_only_with_offloading_and_one_stage);
	test(reads_cxl_memory);
	test(places_layers_before_blocks_before_the_default);
	test(refuses_places_that_are_not_there);
	test(refuses_blocks_that_are_not_there);
	test(limits_parallel_degrees);
	test(limits_the_npus_of_all_instances);
}

int main(void)
{
	return cluster_tests(all);
}
