/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WORK_H
#define JT_WORK_H
/*
 * What one batch makes an instance do: layers with their latencies, messages, loads, in the order
 * in which every rank goes through them, and what energy that takes beyond time. One thread.
 */
#include "simulator/cluster.h"
#include "simulator/profile.h"

/* Of a batch, all that its price depends on. */
struct jt_shape {
	uint64_t tokens;    /* computed, with the padding to the largest of a data-parallel group */
	uint64_t sequences; /* that get logits, padding included */
	struct jt_attention attention;
	uint64_t kv_send_tokens;     /* handed over to a decode instance */
	uint64_t recall_bytes;       /* of KV, from the lower tier, on each rank */
	const uint32_t *pim_prompts; /* prompt lengths of decoding sequences, longest first */
	uint32_t n_pim;
};

enum jt_op_kind {
	JT_OP_RUN,     /* layers one after the other: ns in sum, lat[first … first + n) */
	JT_OP_REDUCE,  /* all-reduce of bytes over the ranks of a stage */
	JT_OP_SEND_KV, /* bytes to the decode instance, alongside */
	JT_OP_GATHER,  /* all-gather of a rank's bytes to where the experts are */
	JT_OP_EXPERTS, /* ns on the first n ranks, behind load number first (UINT32_MAX: none) */
	JT_OP_SCATTER, /* reduce-scatter of bytes from there */
	JT_OP_WAIT,    /* for load number first, issued at the rank's begin */
	JT_OP_FETCH,   /* load number first, issued now, for the experts */
	JT_OP_PIM,     /* attention of the decoding sequences, in memory */
};

struct jt_op {
	enum jt_op_kind kind;
	uint32_t first, n;
	uint64_t ns;
	uint64_t bytes;
};

struct jt_load {
	struct jt_placement from;
	uint64_t bytes;
	bool at_begin; /* else by its JT_OP_FETCH */
};

struct jt_ops {
	struct jt_op *items;
	uint32_t n, capacity;
};

/* Energy of a batch, in the terms of the power model. */
struct jt_effort {
	uint64_t npu_ns; /* Σ of layers, each by as many NPUs as tp */
	double dram_bytes;
	double cxl_bytes;      /* of dram_bytes those that went to CXL */
	double link_bytes;     /* as the reference counts them */
	double all_link_bytes; /* all ranks', with what its formulas leave out */
	double pim_ns;         /* Σ over PIM operations */
};

struct jt_work {
	uint64_t input_bytes, recall_bytes, output_bytes; /* loaded before, stored behind */
	uint64_t hidden_bytes;                            /* between pipeline stages */
	struct jt_ops prologue, head;
	struct jt_ops blocks; /* of one block, or of all of them when they differ */
	struct jt_block {
		uint32_t first;  /* op */
		uint32_t middle; /* the first one behind its attention part */
		uint32_t end;
	} * at; /* where each block is in blocks: the same for all when they are alike */
	uint32_t n_blocks, at_capacity;
	uint32_t n_sealed; /* ops that take no more layers: another block, or part of one, begins */
	uint64_t *lat;     /* ns of single layers */
	uint32_t n_lat, lat_capacity;
	struct jt_load *loads;
	uint32_t n_loads, loads_capacity;
	uint64_t *pim_ns; /* what the attention of one block takes, a channel */
	uint32_t n_pim;
	struct jt_effort effort;
	int status; /* JT_ENOMEM when something did not fit; the rest is then unusable */
};

struct jt_pricer; /* of one instance: its layers, ready to be priced */

struct jt_pricer_options {
	const struct jt_instance *in;
	const struct jt_cluster_node *node; /* of the instance */
	const struct jt_profile *profile;
	bool exact_skew;
	bool round_robin;  /* experts get tokens in turn: the reference gives all to the first ones
	                    */
	bool random;       /* or at random; else evenly */
	bool first_member; /* of its group: has the first experts */
	double cpu_bytes_per_ns; /* of the node's memory, for operations in it */
	uint64_t cpu_latency_ns;
};

/* What @o points to stays the caller's. JT_EINVAL: the profile has no layers. */
int jt__pricer_new(const struct jt_pricer_options *o, struct jt_pricer **ret_pricer,
                   struct jt_error *err);
void jt__pricer_free(struct jt_pricer *p); /* accepts NULL */

/* Fills @w, whose memory is reused. JT_ENOMEM. */
int jt__price(struct jt_pricer *p, const struct jt_shape *s, struct jt_work *w);
void jt__work_fini(struct jt_work *w);

/* Static sizes, of one rank; sources in work.c. */
uint64_t jt__rank_weight_bytes(const struct jt_instance *in);
uint64_t jt__rank_kv_bytes_per_token(const struct jt_instance *in);

#endif
