/* SPDX-License-Identifier: Apache-2.0 */
#include <glob.h>
#include <jansson.h>
#include <stdlib.h>
#include "tap.h"
#include "tree.h"
#include "simulator/cluster.h"

#define CONFIGS JT_SOURCE_ROOT "/data/simulator/configs"

/*
 * What the tests begin with, and change: a node with one instance, and all that has power. Paths
 * are written with dots, "nodes.0.power"; a change to NULL takes a member away, one behind the end
 * of a list adds to it.
 */
static const char plain[] =
	"{'num_nodes':1,'link_bw':16,'link_latency':20000,'nodes':[{'num_instances':1,"
	"'cpu_mem':{'mem_size':512,'mem_bw':256,'mem_latency':0},'instances':[{"
	"'model_name':'meta-llama/Llama-3.1-8B','hardware':'RTXPRO6000','pd_type':null,"
	"'npu_mem':{'mem_size':96,'mem_bw':1597,'mem_latency':0}}],'power':{"
	"'base_node_power':60,'npu':{'RTXPRO6000':{'idle_power':35,'standby_power':300,"
	"'active_power':600,'standby_duration':18}},'cpu':{'idle_power':10,'active_power':200,"
	"'util':0.15},'dram':{'dimm_size':32,'idle_power':2.0,'energy_per_bit':6.0},"
	"'link':{'num_links':1,'idle_power':5,'energy_per_bit':4.0},"
	"'nic':{'num_nics':1,'idle_power':20},'storage':{'num_devices':2,'idle_power':5}}}]}";

#define LLAMA "'meta-llama/Llama-3.1-8B'"
#define MIXTURE "'Qwen/Qwen3-30B-A3B-Instruct-2507'"
#define MEM "'npu_mem':{'mem_size':96,'mem_bw':1597,'mem_latency':0}"
#define INSTANCE(model, more) "{'model_name':" model ",'hardware':'RTXPRO6000'," MEM more "}"
#define NODE(instance)                                                                             \
	"{'num_instances':1,'cpu_mem':{'mem_size':512,'mem_bw':256,'mem_latency':0},"              \
	"'instances':[" instance "]}"
#define FIRST "nodes.0.instances.0."

struct change {
	const char *path, *json;
};
#define CHANGES(...)                                                                               \
	(const struct change[])                                                                    \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}

static struct tree dir;
static struct jt_serving_defaults defaults = JT_SERVING_DEFAULTS;

/* JSON with ' for ". */
static json_t *quoted(const char *text)
{
	char json[4096];

	snprintf(json, sizeof(json), "%s", text);
	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return json_loads(json, JSON_DECODE_ANY, NULL);
}

static json_t *step(json_t *at, const char *name)
{
	return json_is_array(at) ? json_array_get(at, (size_t)atoi(name))
	                         : json_object_get(at, name);
}

static void put(json_t *at, const struct change *change)
{
	char path[256], *name, *rest = path;
	size_t i;

	snprintf(path, sizeof(path), "%s", change->path);
	while ((name = strsep(&rest, ".")) && rest)
		at = step(at, name);
	i = (size_t)atoi(name);
	if (!change->json)
		check(json_object_del(at, name) == 0);
	else if (json_is_array(at) && i == json_array_size(at))
		check(json_array_append_new(at, quoted(change->json)) == 0);
	else if (json_is_array(at))
		check(json_array_set_new(at, i, quoted(change->json)) == 0);
	else
		check(json_object_set_new(at, name, quoted(change->json)) == 0);
}

static int load_text(const char *text, struct jt_cluster **ret_cluster, struct jt_error *err)
{
	const char *path = tree_path(&dir, "/cluster/x.json");
	struct jt_cluster_where where = { .path = path,
		                          .model_configs = CONFIGS "/model",
		                          .pim_configs = CONFIGS "/pim" };

	tree_write(&dir, "/cluster/x.json", text, strlen(text));
	return jt__cluster_load(&where, &defaults, ret_cluster, err);
}

static int load(const struct change *changes, struct jt_cluster **ret_cluster, struct jt_error *err)
{
	json_t *json = quoted(plain);
	char *text;
	int status;

	for (; changes && changes->path; changes++)
		put(json, changes);
	text = json_dumps(json, JSON_COMPACT);
	status = load_text(text, ret_cluster, err);
	free(text);
	json_decref(json);
	return status;
}

/* The cluster after @changes, which must be one; the caller's. */
static struct jt_cluster *accept(const struct change *changes)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	if (!check(load(changes, &c, &err) == JT_OK)) {
		printf("# %s: %s\n", err.where, err.message);
		exit(1);
	}
	return c;
}

static void refuse_as(int status, const struct change *changes, const char *message)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	check(load(changes, &c, &err) == status && !c);
	check_text(err.message, message);
	jt__cluster_free(c);
}
#define REFUSE(message, ...) refuse_as(JT_EINVAL, CHANGES(__VA_ARGS__), message)

static void loads_every_bundled_configuration(void)
{
	const char *const kinds[] = { CONFIGS "/cluster/*.json",
		                      CONFIGS "/cluster_with_power/*.json" };
	const size_t at_least[] = { 27, 23 };

	for (size_t k = 0; k < 2; k++) {
		glob_t g;

		check(glob(kinds[k], 0, NULL, &g) == 0 && g.gl_pathc >= at_least[k]);
		for (size_t i = 0; i < g.gl_pathc; i++) {
			struct jt_cluster_where where = { .path = g.gl_pathv[i] };
			struct jt_error err = { .message = "" };
			struct jt_cluster *c = NULL;

			if (!check(jt__cluster_load(&where, &defaults, &c, &err) == JT_OK))
				printf("# %s: %s\n", err.where, err.message);
			else
				check(k == 0 || c->nodes[c->n_nodes - 1].has_power);
			jt__cluster_free(c);
		}
		globfree(&g);
	}
}

static void reads_a_plain_cluster(void)
{
	struct jt_cluster *c = accept(NULL);
	const struct jt_instance *in = c->instances;
	const struct jt_node_power *p = &c->nodes[0].power;

	check(c->n_nodes == 1 && c->n_instances == 1 && c->n_npus == 1 && c->n_dims == 1);
	check(c->link_bw_gbs[0] == 16 && c->link_latency_ns[0] == 20000 && !c->link_bw_is_list);
	check(c->nodes[0].cpu_mem_gb == 512 && c->nodes[0].cpu_bw_gbs == 256 && !c->nodes[0].pim);
	check_text(in->hardware, "RTXPRO6000");
	check(in->mem_gb == 96 && in->mem_bw_gbs == 1597 && in->mem_util == 0.9);
	check(in->role == JT_ROLE_BOTH && in->n_npus == 1 && in->tp == 1 && in->pp == 1);
	check(in->ep == 1 && in->local_ep == 1 && in->dp_group == -1 && in->dp_members == 1);
	check(!in->has_placement && !in->has_block_rules && in->blocks[31].place == JT_PLACE_NPU);
	check(c->nodes[0].has_power && p->base_w == 60 && p->n_npus == 1);
	check(p->npus[0].idle_w == 35 && p->npus[0].standby_w == 300 &&
	      p->npus[0].active_w == 600 && p->npus[0].standby_s == 18);
	check(p->cpu_idle_w == 10 && p->cpu_active_w == 200 && p->cpu_util == 0.15);
	check(p->dimm_gb == 32 && p->dimm_idle_w == 2 && p->dram_pj_per_bit == 6);
	check(p->n_links == 1 && p->link_idle_w == 5 && p->link_pj_per_bit == 4);
	check(p->n_nics == 1 && p->nic_idle_w == 20 && p->n_storage == 2 && p->storage_idle_w == 5);
	check(!c->remarks);
	jt__cluster_free(c);
}

static void reads_what_it_needs_of_a_model(void)
{
	struct jt_cluster *c = accept(CHANGES({ FIRST "model_name", MIXTURE }));
	const struct jt_sim_model *m = c->instances[0].model;

	check_text(m->name, "Qwen/Qwen3-30B-A3B-Instruct-2507");
	check_text(m->type, "qwen3_moe");
	check(m->max_positions == 262144 && m->dtype == JT_BFLOAT16);
	check(m->arch.n_layers == 48 && m->arch.n_experts == 128 && m->arch.expert_size == 768);
	jt__cluster_free(c);
}

static void reads_each_model_once(void)
{
	struct jt_cluster *c = accept(CHANGES({ "num_nodes", "2" }, { "nodes.0.power", NULL },
	                                      { "nodes.1", NODE(INSTANCE(LLAMA, "")) }));

	check(c->n_models == 1 && c->instances[0].model == c->instances[1].model);
	check(c->instances[1].node == 1 && c->nodes[1].first_instance == 1);
	jt__cluster_free(c);
}

static void suggests_the_key_that_was_meant(void)
{
	REFUSE("nodes[0].instances[0].tp_sise: is not known here; did you mean 'tp_size'",
	       { FIRST "tp_sise", "2" });
	REFUSE("nodes[0].power.nic.watts: is not known here; keys are 'num_nics' 'idle_power'",
	       { "nodes.0.power.nic.watts", "2" });
	REFUSE("num_node: is not known here; did you mean 'num_nodes'", { "num_node", "2" });
}

static void names_a_key_that_is_missing(void)
{
	REFUSE("link_bw: is missing", { "link_bw", NULL });
	REFUSE("nodes[0].cpu_mem.mem_bw: is missing", { "nodes.0.cpu_mem.mem_bw", NULL });
	REFUSE("nodes[0].instances[0].hardware: is missing", { FIRST "hardware", "null" });
	REFUSE("nodes[0].instances[0].npu_mem.mem_size: is missing",
	       { FIRST "npu_mem.mem_size", NULL });
}

static void refuses_wrong_types(void)
{
	REFUSE("link_bw: must be a number", { "link_bw", "'16'" });
	REFUSE("nodes: must be a list", { "nodes", "{}" });
	REFUSE("nodes: is empty", { "nodes", "[]" });
	REFUSE("nodes[0]: must be an object", { "nodes.0", "7" });
	REFUSE("nodes[0].instances[0].tp_size: must be a whole number", { FIRST "tp_size", "1.5" });
	REFUSE("nodes[0].instances[0].hardware: must be a text", { FIRST "hardware", "6000" });
	REFUSE("nodes[0].instances[0].enable_chunked_prefill: must be true or false",
	       { FIRST "enable_chunked_prefill", "1" });
	REFUSE("nodes[0].cpu_mem: must be an object", { "nodes.0.cpu_mem", "[]" });
}

static void refuses_a_key_given_twice(void)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	check(load_text("{\n\"num_nodes\": 1,\n\"num_nodes\": 1}", &c, &err) == JT_EINVAL);
	check(strstr(err.where, "cluster/x.json:3") != NULL);
	check(strstr(err.message, "duplicate object key") != NULL);
}

static void refuses_what_is_no_json(void)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	check(load_text("{\n\"num_nodes\": 1,\n", &c, &err) == JT_EINVAL);
	check(strstr(err.where, "cluster/x.json:3") != NULL);
	check(load_text("[]", &c, &err) == JT_EINVAL);
	check_text(err.message, "must be an object");
	check(load_text("{\"link_bw\":1e999}", &c, &err) == JT_EINVAL);
	check(load_text("", &c, &err) == JT_EINVAL && !c);
}

static void compares_counts_with_lists(void)
{
	REFUSE("num_nodes: 2, but 'nodes' has 1", { "num_nodes", "2" });
	REFUSE("nodes[0].num_instances: 3, but 'instances' has 1",
	       { "nodes.0.num_instances", "3" });
	REFUSE("num_nodes: must be a whole number", { "num_nodes", "1.0" });
}

static void refuses_absurd_sizes(void)
{
	REFUSE("link_bw: 0 is not within 0.001 and 1e+09 GB/s", { "link_bw", "0" });
	REFUSE("link_latency: -1 is not within 0 and 1e+12 ns", { "link_latency", "-1" });
	REFUSE("nodes[0].cpu_mem.mem_bw: 0 is not within 1 and 1e+09 GB/s",
	       { "nodes.0.cpu_mem.mem_bw", "0" });
	REFUSE("nodes[0].cpu_mem.mem_size: 1e+300 is not within 0.001 and 1e+08 GB",
	       { "nodes.0.cpu_mem.mem_size", "1e300" });
	REFUSE("nodes[0].instances[0].npu_mem.mem_bw: 0.5 is not within 1 and 1e+09 GB/s",
	       { FIRST "npu_mem.mem_bw", "0.5" });
	REFUSE("nodes[0].instances[0].npu_mem.mem_util: 1.5 is not within 1e-06 and 1",
	       { FIRST "npu_mem.mem_util", "1.5" });
	REFUSE("nodes[0].instances[0].block_size: 0 is not within 1 and 1000000",
	       { FIRST "block_size", "0" });
	REFUSE("nodes[0].instances[0].tp_size: -4 is not within 1 and 1024",
	       { FIRST "tp_size", "-4" });
	REFUSE("nodes[0].instances[0].max_num_seqs: 4294967297 is not within 0 and 1000000000",
	       { FIRST "max_num_seqs", "4294967297" });
}

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

static void lets_an_instance_override_the_command_line(void)
{
	struct jt_cluster *c = accept(CHANGES(
		{ FIRST "max_num_seqs", "32" }, { FIRST "max_num_batched_tokens", "0" },
		{ FIRST "long_prefill_token_threshold", "2048" }, { FIRST "block_size", "32" },
		{ FIRST "enable_chunked_prefill", "false" },
		{ FIRST "enable_prefix_caching", "false" }, { FIRST "reserve_full_isl", "false" },
		{ FIRST "enable_local_offloading", "true" }, { FIRST "enable_block_copy", "false" },
		{ FIRST "dtype", "'fp8'" }, { FIRST "kv_cache_dtype", "'fp8'" },
		{ FIRST "npu_mem.mem_util", "0.5" }));
	const struct jt_serving_defaults *s = &c->instances[0].serving;

	check(s->max_num_seqs == 32 && s->max_num_batched_tokens == 0 && s->block_size == 32);
	check(s->long_prefill_token_threshold == 2048 && !s->chunked_prefill);
	check(!s->prefix_caching && !s->reserve_full_isl && s->local_offloading && !s->block_copy);
	check(s->dtype == JT_FP8 && s->kv_fp8);
	check(c->instances[0].mem_util == 0.5 && s->npu_memory_utilization == 0.5);
	jt__cluster_free(c);
}

static void takes_the_command_line_where_an_instance_says_nothing(void)
{
	struct jt_cluster *c;

	defaults.max_num_seqs = 7;
	defaults.kv_fp8 = true;
	defaults.npu_memory_utilization = 0.8;
	c = accept(CHANGES({ FIRST "block_size", "8" }));
	check(c->instances[0].serving.max_num_seqs == 7 && c->instances[0].serving.kv_fp8);
	check(c->instances[0].serving.block_size == 8 && c->instances[0].mem_util == 0.8);
	jt__cluster_free(c);
	c = accept(CHANGES({ FIRST "kv_cache_dtype", "'auto'" }));
	check(!c->instances[0].serving.kv_fp8);
	jt__cluster_free(c);
	defaults = (struct jt_serving_defaults)JT_SERVING_DEFAULTS;
}

/* The instance's, the command line's, the model's. */
static void finds_the_dtype_in_order(void)
{
	struct jt_cluster *c = accept(NULL);

	check(c->instances[0].serving.dtype == JT_BFLOAT16);
	jt__cluster_free(c);
	defaults.dtype = JT_FLOAT16;
	c = accept(NULL);
	check(c->instances[0].serving.dtype == JT_FLOAT16);
	jt__cluster_free(c);
	c = accept(CHANGES({ FIRST "dtype", "'int8'" }));
	check(c->instances[0].serving.dtype == JT_INT8);
	jt__cluster_free(c);
	defaults.dtype = JT_DTYPE_NONE;
	REFUSE("nodes[0].instances[0].dtype: must be one of \"float16\", \"bfloat16\", "
	       "\"float32\", "
	       "\"fp8\", \"int8\"",
	       { FIRST "dtype", "'bf16'" });
	REFUSE("nodes[0].instances[0].kv_cache_dtype: must be one of \"auto\", \"fp8\"",
	       { FIRST "kv_cache_dtype", "'int4'" });
}

static void names_dtypes_and_their_profile_folders(void)
{
	char folder[16];

	check(jt__dtype_find("float32") == JT_FLOAT32 && jt__dtype_bytes(JT_FLOAT32) == 4);
	check(jt__dtype_bytes(JT_BFLOAT16) == 2 && jt__dtype_bytes(JT_FP8) == 1);
	check(jt__dtype_find("") == JT_DTYPE_NONE && jt__dtype_find("bf16") == JT_DTYPE_NONE);
	check_text(jt__dtype_name(JT_INT8), "int8");
	jt__dtype_variant(JT_BFLOAT16, true, folder);
	check_text(folder, "bf16-kvfp8");
	jt__dtype_variant(JT_FLOAT16, false, folder);
	check_text(folder, "fp16");
}

static void says_which_model_config_is_missing_and_where(void)
{
	refuse_as(JT_ENOENT, CHANGES({ FIRST "model_name", "'org/none'" }),
	          "nodes[0].instances[0].model_name: there is no 'org/none.json' in " CONFIGS
	          "/model: put it there, or give --model-configs DIR");
	REFUSE("nodes[0].instances[0].model_name: '../secret' is no name: it is like "
	       "'meta-llama/Llama-3.1-8B'",
	       { FIRST "model_name", "'../secret'" });
	REFUSE("nodes[0].instances[0].hardware: 'a/b' is no name: it has a '/', or begins with a "
	       "'.'",
	       { FIRST "hardware", "'a/b'" });
}

/* Beside the configuration's directory, then in configs/ beside that, then what is installed. */
static void looks_for_model_configs_in_order(void)
{
	const char *const places[] = { "/data/simulator/configs/model", "/configs/model",
		                       "/model" };
	struct jt_cluster_where where = { .data = NULL };
	struct jt_serving_defaults d = JT_SERVING_DEFAULTS;
	struct tree t = tree_new(NULL);
	char path[512], data[512], text[1024];

	snprintf(path, sizeof(path), "%s", tree_path(&t, "/cluster/x.json"));
	snprintf(data, sizeof(data), "%s", tree_path(&t, "/data"));
	where = (struct jt_cluster_where){ .path = path, .data = data };
	tree_run("mkdir -p", "", tree_path(&t, "/cluster"));
	snprintf(text, sizeof(text), "%s",
	         "{'num_nodes':1,'link_bw':1,'link_latency':0,'nodes':[" NODE(
			 INSTANCE("'m'", "")) "]}");
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	tree_write(&t, "/cluster/x.json", text, strlen(text));
	for (size_t i = 0; i < JT_ARRAY_LEN(places); i++) {
		char file[160];
		struct jt_cluster *c = NULL;
		int n = snprintf(text, sizeof(text),
		                 "{\"num_hidden_layers\":%zu,\"hidden_size\":64,"
		                 "\"intermediate_size\":128,\"num_attention_heads\":4,"
		                 "\"vocab_size\":100,\"model_type\":\"llama\","
		                 "\"max_position_embeddings\":10}",
		                 i + 1);

		tree_run("mkdir -p", "", tree_path(&t, places[i]));
		snprintf(file, sizeof(file), "%s/m.json", places[i]);
		tree_write(&t, file, text, (size_t)n);
		check(jt__cluster_load(&where, &d, &c, NULL) == JT_OK);
		check(c && c->instances[0].model->arch.n_layers == i + 1);
		jt__cluster_free(c);
	}
	tree_free(&t);
}

static void says_which_file_of_a_model_is_wrong(void)
{
	struct jt_cluster_where where = { .path = NULL };
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;
	char path[512], models[512];
	json_t *json = quoted(plain);
	const char *const wrong[][2] = {
		{ "{}", "'num_hidden_layers' is missing: try the model's own config.json" },
		{ "{\"num_hidden_layers\":2,\"hidden_size\":64,\"intermediate_size\":128,"
		  "\"num_attention_heads\":4,\"vocab_size\":100,\"model_type\":\"llama\"}",
		  "max_position_embeddings: is missing" },
	};

	snprintf(path, sizeof(path), "%s", tree_path(&dir, "/cluster/x.json"));
	snprintf(models, sizeof(models), "%s", tree_path(&dir, "/models"));
	tree_run("mkdir -p", "", models);
	put(json, &(struct change){ FIRST "model_name", "'m'" });
	check(json_dump_file(json, path, 0) == 0);
	where = (struct jt_cluster_where){ .path = path, .model_configs = models };
	for (size_t i = 0; i < JT_ARRAY_LEN(wrong); i++) {
		tree_write(&dir, "/models/m.json", wrong[i][0], strlen(wrong[i][0]));
		check(jt__cluster_load(&where, &defaults, &c, &err) == JT_EINVAL && !c);
		check_text(err.message, wrong[i][1]);
		check(strstr(err.where, "models/m.json") != NULL);
	}
	json_decref(json);
}

static void gives_power_to_every_node_or_to_none(void)
{
	struct jt_cluster *c = accept(CHANGES({ "nodes.0.power", NULL }));

	check(!c->nodes[0].has_power);
	jt__cluster_free(c);
	REFUSE("nodes[1].power: is missing, and nodes[0] has one: give it to every node, or to "
	       "none",
	       { "num_nodes", "2" }, { "nodes.1", NODE(INSTANCE(LLAMA, "")) });
}

static void wants_all_of_a_power_block(void)
{
	static const char *const keys[] = { "base_node_power",
		                            "npu",
		                            "cpu",
		                            "dram",
		                            "link",
		                            "nic",
		                            "storage",
		                            "npu.RTXPRO6000.idle_power",
		                            "npu.RTXPRO6000.standby_power",
		                            "npu.RTXPRO6000.active_power",
		                            "npu.RTXPRO6000.standby_duration",
		                            "cpu.idle_power",
		                            "cpu.active_power",
		                            "cpu.util",
		                            "dram.dimm_size",
		                            "dram.idle_power",
		                            "dram.energy_per_bit",
		                            "link.num_links",
		                            "link.idle_power",
		                            "link.energy_per_bit",
		                            "nic.num_nics",
		                            "nic.idle_power",
		                            "storage.num_devices",
		                            "storage.idle_power" };

	for (size_t i = 0; i < JT_ARRAY_LEN(keys); i++) {
		char path[128], message[128];

		snprintf(path, sizeof(path), "nodes.0.power.%s", keys[i]);
		snprintf(message, sizeof(message), "nodes[0].power.%s: is missing", keys[i]);
		REFUSE(message, { path, NULL });
	}
}

static void wants_the_power_of_each_kind_of_hardware(void)
{
	REFUSE("nodes[0].power.npu: has no entry for 'H100', which the node's instance 0 runs on",
	       { FIRST "hardware", "'H100'" });
}

static void refuses_powers_that_contradict_each_other(void)
{
	REFUSE("nodes[0].power.cpu: 'active_power' (5 W) is below 'idle_power' (10 W)",
	       { "nodes.0.power.cpu.active_power", "5" });
	REFUSE("nodes[0].power.npu.RTXPRO6000: 'standby_power' (300 W) and 'active_power' (1 W) "
	       "must "
	       "be at least 'idle_power' (35 W)",
	       { "nodes.0.power.npu.RTXPRO6000.active_power", "1" });
	REFUSE("nodes[0].power.cpu.util: 15 is not within 0 and 1",
	       { "nodes.0.power.cpu.util", "15" });
	REFUSE("nodes[0].power.dram.dimm_size: 0 is not within 0.001 and 1e+08 GB",
	       { "nodes.0.power.dram.dimm_size", "0" });
	REFUSE("nodes[0].power.link.energy_per_bit: -4 is not within 0 and 1e+09 pJ",
	       { "nodes.0.power.link.energy_per_bit", "-4" });
}

#define WITH_PIM                                                                                   \
	{ FIRST "enable_attn_offloading", "true" },                                                \
	{                                                                                          \
		"nodes.0.cpu_mem.pim_config", "'DDR4_8GB_3200_pim'"                                \
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

#define CXL                                                                                        \
	{                                                                                          \
		"cxl_mem", "{'mem_size':1024,'mem_bw':60,'mem_latency':250,'num_devices':4}"       \
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

static void says_which_file_is_missing(void)
{
	struct jt_cluster_where where = { .path = "/nonexistent/cluster.json" };
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	check(jt__cluster_load(&where, &defaults, &c, &err) == JT_ENOENT && !c);
	check(strstr(err.message, "/nonexistent/cluster.json") != NULL);
}

static void gives_everything_back_when_memory_runs_out(void)
{
	const struct change *changes =
		CHANGES(WITH_PIM, CXL, { FIRST "dp_group", "'A'" },
	                { FIRST "placement", "{'layers':{'o_proj':{'weights':'cxl:0'}}}" });
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;
	int status = JT_ENOMEM;

	for (uint64_t nth = 1; nth < 100 && status == JT_ENOMEM; nth++) {
		jt__alloc_fail_at(nth);
		status = load(changes, &c, &err);
		jt__alloc_fail_at(0);
		check(status == JT_OK || (status == JT_ENOMEM && !c));
	}
	check(status == JT_OK);
	jt__cluster_free(c);
	jt__cluster_free(NULL);
}

int main(void)
{
	int status;

	dir = tree_new(NULL);
	tree_run("mkdir", "", tree_path(&dir, "/cluster"));
	test(loads_every_bundled_configuration);
	test(reads_a_plain_cluster);
	test(reads_what_it_needs_of_a_model);
	test(reads_each_model_once);
	test(suggests_the_key_that_was_meant);
	test(names_a_key_that_is_missing);
	test(refuses_wrong_types);
	test(refuses_a_key_given_twice);
	test(refuses_what_is_no_json);
	test(compares_counts_with_lists);
	test(refuses_absurd_sizes);
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
	test(lets_an_instance_override_the_command_line);
	test(takes_the_command_line_where_an_instance_says_nothing);
	test(finds_the_dtype_in_order);
	test(names_dtypes_and_their_profile_folders);
	test(says_which_model_config_is_missing_and_where);
	test(looks_for_model_configs_in_order);
	test(says_which_file_of_a_model_is_wrong);
	test(gives_power_to_every_node_or_to_none);
	test(wants_all_of_a_power_block);
	test(wants_the_power_of_each_kind_of_hardware);
	test(refuses_powers_that_contradict_each_other);
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
	test(says_which_file_is_missing);
	test(gives_everything_back_when_memory_runs_out);
	status = tap_done();
	tree_free(&dir);
	return status;
}
