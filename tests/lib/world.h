/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WORLD_H
#define JT_WORLD_H
/*
 * A cluster small enough to know all of: two models of four blocks, "tiny/dense" and "tiny/moe", on
 * a "GPU" whose every layer takes 1000 ns and 10 ns a token, whatever the number of ranks. Weights
 * are about half a MB, KV is 512 bytes a token. Single-threaded.
 */
#include <stdint.h>
#include "tap.h"
#include "tree.h"
#include "simulator/cluster.h"
#include "simulator/sim.h"

#define WORLD_LAYER_NS(tokens) (1000 + 10 * (uint64_t)(tokens))
#define WORLD_ATTENTION_NS 2000
#define WORLD_EXPERTS_NS 3000
#define WORLD_MAX_INSTANCES 8

struct world_instance {
	const char *model; /* NULL: "tiny/dense" */
	const char *role;  /* NULL, "prefill" or "decode" */
	uint32_t tp, pp;   /* 0: 1 */
	const char *group; /* NULL: none */
	uint32_t ep;       /* 0: not given */
	double mem_gb;     /* 0: 1 */
	const char *more;  /* ",\"key\": value", or NULL */
};

struct world_spec {
	uint32_t n_nodes; /* 0: 1; instances are dealt out evenly */
	uint32_t n_instances;
	struct world_instance instances[WORLD_MAX_INSTANCES];
	bool power, pim, cxl;
	double cpu_mem_gb; /* 0: 64 */
	double link_gbs, link_ns;
	double standby_s;
};

/* What two files of latencies have in common: linear, so any number of tokens is as foretold. */
static inline void world_layers(FILE *f, const char *const *names)
{
	for (const char *const *n = names; *n; n++)
		fprintf(f, "%s,1,1.01\n%s,1001,11.01\n", *n, *n);
}

static inline FILE *world_file(const struct tree *t, const char *path)
{
	tree_put(t, path, "");
	return fopen(tree_path(t, path), "w");
}

static inline void world_profile(const struct tree *t, const char *model, uint32_t tp)
{
	static const char *const dense[] = { "embedding", "layernorm",       "qkv_proj",
		                             "o_proj",    "act_fn",          "gate_up_proj",
		                             "down_proj", "final_layernorm", NULL };
	static const char *const per_sequence[] = { "lm_head", NULL };
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "/profiler/perf/GPU/%s/bf16/tp%u/dense.csv", model, tp);
	f = world_file(t, path);
	fputs("layer,tokens,time_us\n", f);
	world_layers(f, dense);
	fclose(f);
	snprintf(path, sizeof(path), "/profiler/perf/GPU/%s/bf16/tp%u/per_sequence.csv", model, tp);
	f = world_file(t, path);
	fputs("layer,sequences,time_us\n", f);
	world_layers(f, per_sequence);
	fclose(f);
	snprintf(path, sizeof(path), "/profiler/perf/GPU/%s/bf16/tp%u/attention.csv", model, tp);
	tree_put(t, path,
	         "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
	         "0,0,1,1,2\n0,0,1,100,2\n0,0,2,1,2\n0,0,2,100,2\n1,0,0,0,2\n1,100,0,0,2\n"
	         "100,0,0,0,2\n100,100,0,0,2\n");
	snprintf(path, sizeof(path), "/profiler/perf/GPU/%s/bf16/tp%u/moe.csv", model, tp);
	tree_put(t, path, "tokens,activated_experts,time_us\n1,1,3\n1,8,3\n100,1,3\n100,8,3\n");
	snprintf(path, sizeof(path), "/profiler/perf/GPU/%s/bf16/meta.yaml", model);
	tree_put(t, path, "gpu: a board\n");
}

#define WORLD_MODEL                                                                                \
	"\"model_type\": \"tiny\", \"hidden_size\": 64, \"intermediate_size\": 128, "              \
	"\"num_attention_heads\": 8, \"num_key_value_heads\": 4, \"head_dim\": 8, "                \
	"\"num_hidden_layers\": 4, \"vocab_size\": 1000, \"max_position_embeddings\": 4096, "      \
	"\"torch_dtype\": \"bfloat16\""

static inline struct tree world_new(void)
{
	struct tree t = tree_new(NULL);

	tree_put(&t, "/profiler/models/tiny.yaml",
	         "sequence:\n"
	         "  prologue: [embedding]\n"
	         "  pre_attn: [layernorm, qkv_proj, attention]\n"
	         "  post_attn: [o_proj, layernorm]\n"
	         "  mlp_dense: [gate_up_proj, act_fn, down_proj]\n"
	         "  mlp_moe: [moe]\n"
	         "  head: [final_layernorm, lm_head]\n"
	         "catalog:\n"
	         "  dense:\n"
	         "    embedding: {vllm: A}\n"
	         "    layernorm: {vllm: B}\n"
	         "    qkv_proj: {vllm: C}\n"
	         "    o_proj: {vllm: D}\n"
	         "    gate_up_proj: {vllm: E}\n"
	         "    act_fn: {vllm: F}\n"
	         "    down_proj: {vllm: G}\n"
	         "    final_layernorm: {vllm: H}\n"
	         "  per_sequence:\n"
	         "    lm_head: {vllm: I}\n"
	         "  attention:\n"
	         "    attention: {vllm: J}\n"
	         "  moe:\n"
	         "    moe: {vllm: K}\n");
	tree_put(&t, "/model/tiny/dense.json", "{" WORLD_MODEL "}");
	tree_put(&t, "/model/tiny/moe.json",
	         "{" WORLD_MODEL ", \"num_local_experts\": 8, \"num_experts_per_tok\": 2, "
	         "\"moe_intermediate_size\": 32}");
	for (uint32_t tp = 1; tp <= 4; tp *= 2) {
		world_profile(&t, "tiny/dense", tp);
		world_profile(&t, "tiny/moe", tp);
	}
	return t;
}

static inline void world_put_instance(FILE *f, const struct world_instance *in)
{
	fprintf(f,
	        "{\"model_name\": \"%s\", \"hardware\": \"GPU\", \"npu_mem\": {\"mem_size\": %.9g, "
	        "\"mem_bw\": 100, \"mem_latency\": 0}, \"tp_size\": %u, \"pp_size\": %u, "
	        "\"pd_type\": ",
	        in->model ? in->model : "tiny/dense", in->mem_gb > 0 ? in->mem_gb : 1,
	        in->tp ? in->tp : 1, in->pp ? in->pp : 1);
	fprintf(f, in->role ? "\"%s\"" : "null%s", in->role ? in->role : "");
	if (in->group)
		fprintf(f, ", \"dp_group\": \"%s\"", in->group);
	if (in->ep)
		fprintf(f, ", \"ep_size\": %u", in->ep);
	fprintf(f, "%s}", in->more ? in->more : "");
}

static inline void world_put_node(FILE *f, const struct world_spec *s, uint32_t first, uint32_t n)
{
	fprintf(f, "{\"num_instances\": %u, \"cpu_mem\": {\"mem_size\": %.9g, ", n,
	        s->cpu_mem_gb > 0 ? s->cpu_mem_gb : 64);
	if (s->pim)
		fputs("\"pim_config\": \"DDR4_8GB_3200_pim\", ", f);
	fputs("\"mem_bw\": 10, \"mem_latency\": 100}, ", f);
	if (s->power)
		fprintf(f,
		        "\"power\": {\"base_node_power\": 60, \"npu\": {\"GPU\": {\"idle_power\": "
		        "35, "
		        "\"standby_power\": 300, \"active_power\": 600, \"standby_duration\": "
		        "%.9g}}, "
		        "\"cpu\": {\"idle_power\": 10, \"active_power\": 200, \"util\": 0.15}, "
		        "\"dram\": {\"dimm_size\": 32, \"idle_power\": 2, \"energy_per_bit\": 6}, "
		        "\"link\": {\"num_links\": 1, \"idle_power\": 5, \"energy_per_bit\": 4}, "
		        "\"nic\": {\"num_nics\": 1, \"idle_power\": 20}, "
		        "\"storage\": {\"num_devices\": 2, \"idle_power\": 5}}, ",
		        s->standby_s);
	fputs("\"instances\": [", f);
	for (uint32_t i = 0; i < n; i++) {
		fputs(i ? ", " : "", f);
		world_put_instance(f, &s->instances[first + i]);
	}
	fputs("]}", f);
}

/* NULL, and why in @err. */
static inline struct jt_cluster *world_cluster(const struct tree *t, const struct world_spec *s,
                                               const struct jt_serving_defaults *d,
                                               struct jt_error *err)
{
	uint32_t n_nodes = s->n_nodes ? s->n_nodes : 1, first = 0;
	FILE *f = world_file(t, "/cluster.json");
	char path[128], models[128];
	struct jt_cluster_where where = { .path = path,
		                          .model_configs = models,
		                          .pim_configs =
		                                  JT_SOURCE_ROOT "/data/simulator/configs/pim" };
	struct jt_cluster *c = NULL;

	fprintf(f, "{\"num_nodes\": %u, \"link_bw\": %.9g, \"link_latency\": %.9g, ", n_nodes,
	        s->link_gbs > 0 ? s->link_gbs : 16, s->link_ns);
	if (s->cxl)
		fputs("\"cxl_mem\": {\"mem_size\": 1, \"mem_bw\": 5, \"mem_latency\": 200, "
		      "\"num_devices\": 2}, ",
		      f);
	fputs("\"nodes\": [", f);
	for (uint32_t i = 0; i < n_nodes; i++) {
		uint32_t end = s->n_instances * (i + 1) / n_nodes;

		fputs(i ? ", " : "", f);
		world_put_node(f, s, first, end - first);
		first = end;
	}
	fputs("]}\n", f);
	fclose(f);
	snprintf(path, sizeof(path), "%s/cluster.json", t->root);
	snprintf(models, sizeof(models), "%s/model", t->root);
	return jt__cluster_load(&where, d, &c, err) < 0 ? NULL : c;
}

/* Of what has been written to "/trace.jsonl". */
static inline struct jt_workload *world_workload(const struct tree *t, struct jt_error *err)
{
	struct jt_workload *w = NULL;

	return jt__workload_open(tree_path(t, "/trace.jsonl"), 0, &w, err) < 0 ? NULL : w;
}

#endif
