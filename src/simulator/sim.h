/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_H
#define JT_SIM_H
/*
 * The simulation itself: requests arrive, instances form batches, time passes, energy adds up. Pure
 * but for the observer's calls: no clock, no files. One thread a simulation.
 */
#include "simulator/cluster.h"
#include "simulator/workload.h"

struct jt_sim; /* opaque */

enum jt_route { JT_ROUTE_LOAD, JT_ROUTE_RR, JT_ROUTE_RAND };
enum jt_experts { JT_EXPERTS_BALANCED, JT_EXPERTS_RR, JT_EXPERTS_RAND };
enum jt_prefix_store { JT_PREFIX_NONE, JT_PREFIX_CPU, JT_PREFIX_CXL };

/* What the reference does that a machine would not: each can be switched by itself. */
/* clang-format off */
#define JT_QUIRKS(X)                                                                                \
	X(idle_grid,      "idle-grid",      "who is idle looks for work only when something ends, else every ms")   \
	X(early_booking,  "early-booking",  "a batch's energy is booked when it is formed")             \
	X(stage_standby,  "stage-standby",  "an idle first pipeline stage puts all stages in standby")  \
	X(stage_bytes,    "stage-bytes",    "a byte for each element passed between pipeline stages")   \
	X(one_rank_links, "one-rank-links", "a collective's link energy is one rank's")                 \
	X(exact_skew,     "exact-skew",     "uneven contexts count only at profiled prefill sizes")     \
	X(cxl_in_dram,    "cxl-in-dram",    "CXL traffic is billed as the node's DRAM")                 \
	X(twice_kv,       "twice-kv",       "the KV of a prefill/decode hand-over is billed twice")           \
	X(lost_token,     "lost-token",     "the first token of a request that is handed over is not counted") \
	X(gap_from_zero,  "gap-from-zero",  "with --skip-prefill a request's first gap counts from time 0") \
	X(first_experts,  "first-experts",  "experts in round robin: every token goes to the first of them")
/* clang-format on */
struct jt_quirks {
#define X(name, option, what) bool name;
	JT_QUIRKS(X)
#undef X
};

struct jt_sim_options {
	const char *profiles; /* directory with perf/ and models/ */
	enum jt_route route;
	enum jt_experts experts;
	enum jt_prefix_store prefix_store;
	bool prefix_sharing; /* one lower tier a node */
	bool skip_prefill;
	double log_interval_s; /* of heartbeats */
	struct jt_quirks quirks;
};

enum jt_component { /* where energy goes */
	            JT_C_BASE,
	            JT_C_NPU,
	            JT_C_CPU,
	            JT_C_DRAM,
	            JT_C_LINK,
	            JT_C_NIC,
	            JT_C_STORAGE,
	            JT_C_CXL, /* 0 with quirk cxl_in_dram */
	            JT_C_PIM, /* counted in DRAM by the reference; here by itself as well, see
	                         joules */
	            JT_N_COMPONENTS
};

/* Joules of one node so far. NPU is split: idle, standby and active add up to JT_C_NPU. */
struct jt_sim_joules {
	double by[JT_N_COMPONENTS]; /* JT_C_PIM is a part of JT_C_DRAM, told apart; not to be added
	                             */
	double npu_idle_j, npu_standby_j, npu_active_j;
	double total_j;
};

/* A finished request. Times in ns as the reference's CSV has them. */
struct jt_sim_request {
	uint32_t instance;
	uint64_t id;
	const char *model;
	uint32_t input_tokens, output_tokens;
	uint64_t arrival_ns, end_ns;
	uint64_t queuing_ns, ttft_ns; /* JT_NONE with skip_prefill: nothing is a first token then */
	uint64_t tpot_ns;
	const uint64_t
		*itl_ns; /* output_tokens - 1 gaps; with skip_prefill one more, since its arrival */
	uint32_t n_itl;
	uint32_t n_preempted;
	uint32_t hit_tokens;
	/* Its parts of the batches it was in, idle power of the instance's NPUs meanwhile included
	   but for dynamic_j; modelled; NaN without power. */
	double prefill_j, decode_j, dynamic_j;
};

struct jt_sim_instance_state {
	uint32_t running, waiting; /* waiting: arrived */
	uint32_t n_npus;
	uint64_t npu_used_bytes; /* a rank: weights, KV in use and cached */
	double npu_mem_bytes;
	bool prefix_caching;
	uint64_t requested_tokens, hit_tokens, lower_requested_tokens, lower_hit_tokens;
	uint64_t n_blocks, block_tokens, bytes_per_block;
	uint64_t cpu_used_bytes, cxl_used_bytes; /* of its own lower tier */
};

/* One heartbeat. */
struct jt_sim_beat {
	uint64_t t_ns;    /* of the poll at which it came */
	double nominal_s; /* what it is printed under */
	double prompt_per_s, generation_per_s;
	bool has_power;
	double power_w; /* mean since the last one, rounded as the reference rounds: 2 digits a node
	                 */
	uint64_t n_batches;  /* formed so far */
	uint32_t batch_size; /* of the latest */
};

struct jt_batch;

/* A batch that is over. Times are of its instance's first rank. */
struct jt_sim_batch {
	uint32_t instance;
	uint64_t begin_ns, end_ns;
	const struct jt_batch *batch; /* as it was computed: model/sched.h; valid during the call */
	double dynamic_j;             /* what it cost above the base; NaN without power */
};

/* Joules that were booked for a batch when it was formed. */
struct jt_sim_booking {
	uint32_t node;
	double npu_j, cpu_j, dram_j, link_j;
	double standby_j; /* of all nodes, since the booking before */
};

struct jt_sim_observer {
	void (*finished)(void *user, const struct jt_sim_request *r);
	void (*beat)(void *user,
	             const struct jt_sim_beat *b); /* the state is asked by the functions below */
	void (*batch)(void *user,
	              const struct jt_sim_batch *b); /* before its requests hear of it */
	void (*booked)(void *user, const struct jt_sim_booking *b); /* with power only */
	void *user;
};

/* @c and @w stay the caller's and must outlive it. JT_ENOENT: a profile is missing; JT_EINVAL. */
int jt__sim_new(const struct jt_cluster *c, struct jt_workload *w, const struct jt_sim_options *o,
                const struct jt_sim_observer *ob, struct jt_sim **ret_sim, struct jt_error *err);
void jt__sim_free(struct jt_sim *s); /* accepts NULL */

/* Remarks on what it was opened with, one a line; "" for none. As long as @s. */
const char *jt__sim_remarks(const struct jt_sim *s);

/*
 * Runs for about @n_batches batches. Returns 1 while there is more to do, 0 at the end, or a status
 * below 0 (JT_ELIMIT: a request cannot fit; JT_ENOMEM).
 */
int jt__sim_run(struct jt_sim *s, uint64_t n_batches, struct jt_error *err);

/*
 * A batch of an instance that is only thought of, sequence by sequence as in jt_batch_item, and
 * what it would cost above the base. Nothing is booked. JT_ENOMEM.
 */
void jt__sim_suppose_none(struct jt_sim *s, uint32_t instance);
void jt__sim_suppose(struct jt_sim *s, uint32_t instance, uint32_t new_tokens, uint32_t kv_tokens);
int jt__sim_supposed_j(struct jt_sim *s, uint32_t instance, double *ret_dynamic_j);

struct jt_sim_totals {
	uint64_t t_ns;
	uint64_t requests;      /* finished */
	uint64_t input_tokens;  /* of finished requests */
	uint64_t prompt_tokens; /* through prefill, hits and recomputation included */
	uint64_t generated_tokens;
	uint64_t n_batches;
	uint64_t preemptions, recomputed_tokens;
	bool has_power;
};
void jt__sim_totals(const struct jt_sim *s, struct jt_sim_totals *ret_totals);
void jt__sim_instance(const struct jt_sim *s, uint32_t i, struct jt_sim_instance_state *ret_state);
/* As of totals.t_ns. */
void jt__sim_joules(const struct jt_sim *s, uint32_t node, struct jt_sim_joules *ret_joules);
/* Used bytes of the shared lower tier of @node (or of the CXL pool); JT_NONE: no such. */
uint64_t jt__sim_pool_bytes(const struct jt_sim *s, uint32_t node, uint64_t *ret_requested,
                            uint64_t *ret_hit);

#endif
