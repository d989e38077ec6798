/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLUSTER_H
#define JT_CLUSTER_H
/*
 * What is simulated: nodes with instances of an engine, their memories, links and power, as the
 * reference simulator's cluster configuration (JSON) describes them, merged with the options that
 * stand for all instances. Everything is resolved and checked here: what follows never looks at
 * JSON. One thread.
 */
#include "model/model.h"

#define JT_CLUSTER_MAX_DIMS 8

enum jt_dtype { JT_DTYPE_NONE, JT_FLOAT16, JT_BFLOAT16, JT_FLOAT32, JT_FP8, JT_INT8 };
enum jt_role { JT_ROLE_BOTH, JT_ROLE_PREFILL, JT_ROLE_DECODE };
enum jt_place { JT_PLACE_NPU, JT_PLACE_CPU, JT_PLACE_CXL };

/* Where the weights of a layer are. @cxl: the device, for JT_PLACE_CXL. */
struct jt_placement {
	enum jt_place place;
	uint32_t cxl;
};

/* What holds for every instance that does not say otherwise; from the command line. */
struct jt_serving_defaults {
	uint32_t max_num_seqs;           /* 0: no limit */
	uint32_t max_num_batched_tokens; /* 0: no limit */
	uint32_t long_prefill_token_threshold;
	uint32_t block_size;
	enum jt_dtype dtype; /* JT_DTYPE_NONE: the model's own torch_dtype, else bfloat16 */
	bool kv_fp8;
	bool chunked_prefill, prefix_caching, reserve_full_isl;
	bool local_offloading, attn_offloading, sub_batch_interleaving, block_copy;
	double npu_memory_utilization; /* in (0, 1] */
};
#define JT_SERVING_DEFAULTS                                                                        \
	{                                                                                          \
		.max_num_seqs = 128, .max_num_batched_tokens = 2048, .block_size = 16,             \
		.chunked_prefill = true, .prefix_caching = true, .reserve_full_isl = true,         \
		.block_copy = true, .npu_memory_utilization = 0.9                                  \
	}

struct jt_pim { /* a node's memory, of an ini file; sources of the formulas: pim.c */
	char name[64];
	double bw_gbs;         /* of the whole memory: what cpu_mem.mem_bw becomes */
	double latency_ns;     /* and mem_latency */
	bool latency_is_whole; /* of whole numbers: the reference prints it without a point */
	double channel_gb;
	uint32_t n_channels; /* whole ones, at least 1 */
	double idle_w;       /* of one DIMM */
	double peak_w;
	double slope, intercept; /* ns of an operation, by protocol */
};

/* Of a model beyond its architecture. */
struct jt_sim_model {
	char name[128]; /* "meta-llama/Llama-3.1-8B" */
	char type[64];  /* model_type: names the layer catalog */
	struct jt_arch arch;
	uint32_t max_positions; /* max_position_embeddings */
	enum jt_dtype dtype;    /* torch_dtype; JT_DTYPE_NONE when it has none */
};

/* Of the layers of a name: "o_proj". */
struct jt_named_placement {
	char layer[32];
	struct jt_placement weights;
};

struct jt_instance {
	uint32_t node; /* index into jt_cluster.nodes */
	const struct jt_sim_model *model;
	char hardware[64];
	double mem_gb, mem_bw_gbs, mem_latency_ns; /* the bandwidth at least 1, as all memory's */
	double mem_util;
	enum jt_role role;
	uint32_t n_npus, tp, pp;
	uint32_t ep;         /* of the whole group; 1 for a dense model unless given */
	uint32_t local_ep;   /* ep / members of the group */
	int dp_group;        /* index of the group, counted in order of appearance; -1: none */
	uint32_t dp_members; /* of the group; 1 without */
	struct jt_serving_defaults serving; /* resolved: dtype is never JT_DTYPE_NONE */
	bool has_placement;                 /* the configuration says "placement" */
	bool has_block_rules;         /* and has rules for blocks: every layer is built by itself */
	struct jt_placement *blocks;  /* weights of each of arch.n_layers blocks */
	struct jt_placement kv_evict; /* where KV is recalled from */
	struct jt_placement embedding, final_norm, lm_head; /* named layers outside the blocks */
	struct jt_named_placement *layers; /* inside of blocks; before what holds for the block */
	uint32_t n_layers;
	uint32_t first_npu; /* numbered over all instances; a prefill instance owns 2 x n_npus */
};

struct jt_npu_power {
	char hardware[64];
	double idle_w, standby_w, active_w, standby_s;
};

struct jt_node_power {
	double base_w;
	struct jt_npu_power *npus; /* one for each kind of hardware */
	uint32_t n_npus;
	double cpu_idle_w, cpu_active_w, cpu_util;
	double dimm_gb, dimm_idle_w; /* from the PIM where there is one */
	double dram_pj_per_bit;
	double n_links, link_idle_w, link_pj_per_bit;
	double n_nics, nic_idle_w;
	double n_storage, storage_idle_w;
};

struct jt_cluster_node {
	double cpu_mem_gb, cpu_bw_gbs, cpu_latency_ns; /* as PIM makes them */
	const struct jt_pim *pim; /* NULL: none, or no instance here has its attention there */
	bool has_power;
	struct jt_node_power power;
	uint32_t first_instance, n_instances;
};

struct jt_cluster {
	uint32_t n_nodes, n_instances, n_npus; /* npus: receivers of prefill instances included */
	struct jt_cluster_node *nodes;
	struct jt_instance *instances;
	double link_bw_gbs[JT_CLUSTER_MAX_DIMS], link_latency_ns[JT_CLUSTER_MAX_DIMS];
	bool link_bw_is_list, link_latency_is_list;
	uint32_t n_link_bw, n_link_latency; /* 1 when a number was given, else n_dims */
	uint32_t n_dims; /* of the topology: [npus of a stage, stages] and the like */
	uint32_t dims[JT_CLUSTER_MAX_DIMS];
	uint32_t n_cxl; /* devices; 0: none */
	double cxl_mem_gb, cxl_bw_gbs, cxl_latency_ns;
	uint32_t n_dp_groups;
	/* Remarks that are no errors, one a line ("node 1 has no 'power': …"); NULL: none. */
	char *remarks;
	/* the reader's */
	struct jt_sim_model **models;
	uint32_t n_models;
	struct jt_pim **pims;
	uint32_t n_pims;
};

struct jt_cluster_where {
	const char *path;          /* of the cluster configuration */
	const char *model_configs; /* directory; NULL: ../model beside the configuration's, else
	                              ../configs/model, else the installed data */
	const char *pim_configs;   /* likewise ../pim */
	const char *data;          /* installed: what holds simulator/configs/; NULL: nothing is */
};

/*
 * Errors name file and JSON path: "nodes[0].instances[1].tp_size". JT_EINVAL: unknown key, wrong
 * type, contradiction, out of range; JT_ENOENT: a file is missing (says which and where it looked);
 * JT_EIO. Power is on only if every node has it: a node without it is an error unless none has.
 */
int jt__cluster_load(const struct jt_cluster_where *where, const struct jt_serving_defaults *d,
                     struct jt_cluster **ret_cluster, struct jt_error *err);
void jt__cluster_free(struct jt_cluster *c); /* accepts NULL */

const char *jt__dtype_name(enum jt_dtype t);    /* "bfloat16" */
enum jt_dtype jt__dtype_find(const char *name); /* JT_DTYPE_NONE: no such */
uint32_t jt__dtype_bytes(enum jt_dtype t);
/* The profile folder: "bf16", "bf16-kvfp8"; @out takes 16 characters. */
void jt__dtype_variant(enum jt_dtype t, bool kv_fp8, char out[16]);

#endif
