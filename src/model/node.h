/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NODE_H
#define JT_NODE_H
/*
 * A serving node as a pure step function: the scheduler of an engine on one modelled GPU, in
 * virtual time, each step priced by the roofline, with the node's true power and each request's
 * true share of it. No clock, no I/O; equal calls give equal results. Belongs to one thread at a
 * time.
 */
#include "model/model.h"
#include "model/sched.h"

struct jt_node_options {
	struct jt_arch arch;
	struct jt_gpu gpu;
	struct jt_sched_options sched; /* kv.n_blocks 0: what the weights leave of the memory;
	                                  kv.block_tokens 0: 16. One batch at a time. */
	uint64_t begin_ns;             /* when its energy begins to count, idle */
};

struct jt_node; /* opaque */

/* JT_EINVAL: a limit makes no sense, or the weights do not fit into the GPU's memory. */
int jt__node_new(const struct jt_node_options *o, struct jt_node **ret_node, struct jt_error *err);
void jt__node_free(struct jt_node *n); /* accepts NULL */

/*
 * A request arrives at @t_ns and queues in order of (time, id). JT_EINVAL: @id is already there, or
 * no tokens; JT_ELIMIT: more tokens than the KV memory holds.
 */
int jt__node_submit(struct jt_node *n, uint64_t t_ns, uint64_t id, uint32_t prompt_tokens,
                    uint32_t max_tokens);
/* The client left: it is out of the batch from the next step on. JT_ENOENT: not there, or over. */
int jt__node_cancel(struct jt_node *n, uint64_t id);

/* What a step did to one request. */
struct jt_node_event {
	uint64_t id;
	uint32_t new_tokens; /* 0 or 1 output tokens at the end of the step */
	bool first;          /* its first output token */
	bool finished;
};

struct jt_node_step {
	uint64_t begin_ns;
	uint64_t end_ns; /* begin + duration; tokens appear here */
	double energy_j; /* true energy of the step, idle power included */
	size_t n_events;
	const struct jt_node_event *events; /* of those in the batch; valid until the next step */
	struct jt_step work;
};

/*
 * Runs the next iteration, beginning at @t_ns (not before the end of the last one): 1. 0 when there
 * is nothing to do: then the node idles and only jt__node_energy_j() goes on. JT_ENOMEM: the step
 * has not been; it may be tried again.
 */
int jt__node_step(struct jt_node *n, uint64_t t_ns, struct jt_node_step *ret_step);

/* True cumulative energy at @t_ns (not before the begin of the last step), power constant in a
 * step. */
double jt__node_energy_j(const struct jt_node *n, uint64_t t_ns);
double jt__node_power_w(const struct jt_node *n, uint64_t t_ns);
/* The part of it that was spent between steps: energy = idle + Σ (prefill_j + decode_j). */
double jt__node_idle_j(const struct jt_node *n, uint64_t t_ns);

uint32_t jt__node_running(const struct jt_node *n);
uint32_t jt__node_waiting(const struct jt_node *n);

/*
 * The node's own truth of a request, kept until forgotten: its share of every step it was in.
 * Shared cost (weights, launching, idle power while busy) in equal parts, own cost to itself: the
 * Shapley value of the game in which any one request of a step would have cost that step's shared
 * part.
 */
struct jt_node_truth {
	double prefill_j;
	double decode_j;  /* after the first token; computing again after a preemption too */
	double dynamic_j; /* of the two together, above idle */
	uint64_t submitted_ns;
	uint64_t started_ns;  /* first step it was in; this and the next two JT_NONE until then */
	uint64_t first_ns;    /* first token */
	uint64_t finished_ns; /* last token, or the end of its last step if it was cancelled */
	uint32_t prompt_tokens;
	uint32_t output_tokens;
	uint32_t n_preempted;
};
/* JT_ENOENT: never there, or forgotten. */
int jt__node_truth(const struct jt_node *n, uint64_t id, struct jt_node_truth *ret_truth);
void jt__node_forget(struct jt_node *n, uint64_t id); /* cancels it if it still runs */

#endif
