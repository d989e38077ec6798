/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a cluster: what is read from them, and what is wrong in them. */
#include <glob.h>
#include "cluster_rig.h"

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
	check(m->arch.n_layers == 48 && m->arch.n_experts == 128 &&
	      m->arch.moe_intermediate_size == 768);
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

static void all(void)
{
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
	test(says_which_file_is_missing);
	test(gives_everything_back_when_memory_runs_out);
}

int main(void)
{
	return cluster_tests(all);
}
