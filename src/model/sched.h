/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SCHED_H
#define JT_SCHED_H
/*
 * The scheduler of a serving engine as vLLM V1 has it: continuous batching with chunked prefill,
 * paged KV cache with prefix caching and a lower tier, preemption by recomputation. It says which
 * tokens a step computes; what the step costs is for others to say. No clock, no I/O; equal calls
 * give equal results. One thread at a time.
 */
#include "model/kv.h"

struct jt_sched; /* opaque */

struct jt_sched_options {
	uint32_t max_seqs;          /* running at once; 0: no limit */
	uint32_t max_batch_tokens;  /* computed in a step; 0: no limit */
	uint32_t prefill_threshold; /* of one sequence in a step; 0: no limit */
	uint32_t max_batches;       /* in flight at once: stages of a pipeline; 0 means 1 */
	bool chunked_prefill;       /* a prompt may be cut over steps; one that is longer than
	                               max_batch_tokens always is, or it would wait for ever */
	bool reserve_prompt;        /* admit only what fits with its whole length reached so far */
	struct jt_kv_options kv;
};

/*
 * A request in an engine. The caller owns it, fills in the first part and leaves the rest zero; it
 * stays where it is from submit until it is finished, taken out or cancelled.
 */
struct jt_seq {
	uint64_t id;
	uint64_t arrival_ns;
	uint32_t prompt_tokens; /* at least 1 */
	uint32_t output_tokens; /* to generate; at least 1 */
	const uint64_t *hashes; /* chained (jt__kv_hash_block), one for each full block of its
	                           prompt and output; NULL: shares nothing */
	uint32_t n_hashes;

	/* The scheduler's; to be read. */
	uint32_t reached;          /* length so far: the prompt and what has been generated */
	uint32_t computed;         /* of it, in the KV cache or in a batch that is under way */
	uint32_t hit_tokens;       /* found in this engine's cache when it was last admitted */
	uint32_t lower_hit_tokens; /* found in the lower tier then, beyond that */
	uint32_t n_preempted;
	bool has_first; /* its prompt is computed */
	bool finished;  /* over for this engine: done, handed on or cancelled */
	bool running;
	uint32_t n_in_flight; /* batches under way that it is in */
	struct jt_kv_table kv;
	struct jt_seq *next, *prev; /* in the waiting queue or in order of admission */
};

/* What a batch does to one sequence; the last three are known once the batch is complete. */
struct jt_batch_item {
	struct jt_seq *seq;     /* NULL: it was cancelled, or finished with another batch */
	uint32_t new_tokens;    /* 1: a decode step; more: a chunk of prefill */
	uint32_t kv_tokens;     /* computed before this step */
	uint32_t prompt_tokens; /* of prefill throughput: the chunk, with the hits of its prefix
	                           once the prompt is done; 0 for a decode */
	bool token;             /* it got one more token */
	bool first;             /* the prompt is done: its first token, told once in its life */
	bool finished;          /* that was its last token */
};

struct jt_batch {
	uint64_t id; /* counts from 0 */
	uint64_t formed_ns;
	struct jt_batch_item *items;
	uint32_t n_items;
	uint32_t n_tokens; /* Σ new_tokens */
	uint32_t n_prefill;
	uint32_t prefill_tokens;    /* Σ new_tokens of the chunks */
	uint64_t prefill_kv_tokens; /* Σ kv_tokens of the chunks */
	uint32_t n_decode;
	uint64_t decode_kv_tokens; /* Σ kv_tokens of the decodes, and the extremes */
	uint32_t decode_kv_min, decode_kv_max;
	uint64_t recall_bytes;        /* to be fetched from the lower tier before the step */
	uint64_t write_through_bytes; /* copied to the lower tier meanwhile */
	uint64_t used_bytes;          /* of KV memory when it was formed, jt__kv_used_bytes() */
	uint32_t capacity;            /* of items; the scheduler's */
	struct jt_batch *next;        /* likewise */
};

/* JT_EINVAL: no room for a block, … */
int jt__sched_new(const struct jt_sched_options *o, struct jt_sched **ret_sched,
                  struct jt_error *err);
/* Accepts NULL. Those still queued or running are left by it and must still be there. */
void jt__sched_free(struct jt_sched *s);

/*
 * Puts @seq among the waiting, in order of (arrival, id). JT_EINVAL: no tokens; JT_ELIMIT: longer
 * than the whole KV cache, so that it could never run to its end.
 */
int jt__sched_submit(struct jt_sched *s, struct jt_seq *seq);
/*
 * Takes over @seq whose prompt another engine has computed (reached, computed and has_first stay):
 * it runs at once. JT_ELIMIT: no blocks for it.
 */
int jt__sched_take_over(struct jt_sched *s, struct jt_seq *seq);
/*
 * The client left: out of queue and blocks; a batch under way goes on without telling of it.
 * JT_ENOENT: finished or never submitted.
 */
int jt__sched_cancel(struct jt_sched *s, struct jt_seq *seq);

/*
 * Forms the next batch at @t_ns from the running, then from those waiting that have arrived. NULL:
 * nothing to do, or max_batches are under way. The batch is the scheduler's, valid until the call
 * after jt__sched_complete(). NULL with *ret_status JT_ENOMEM when memory ran out.
 */
struct jt_batch *jt__sched_form(struct jt_sched *s, uint64_t t_ns, int *ret_status);
/*
 * The batch is computed. @prefill_only: this engine hands sequences on once their prompt is done
 * (prefill/decode disaggregation): they are finished for it, with reached one higher and their KV
 * freed here. Items tell what happened; finished sequences are their owner's again.
 */
void jt__sched_complete(struct jt_sched *s, struct jt_batch *b, bool prefill_only);

uint32_t jt__sched_running(const struct jt_sched *s);
uint32_t jt__sched_waiting(const struct jt_sched *s);   /* queued, arrived or not */
bool jt__sched_empty(const struct jt_sched *s);         /* none queued, running or in flight */
uint32_t jt__sched_in_flight(const struct jt_sched *s); /* batches */

struct jt_sched_stats {
	uint64_t requested_tokens; /* prompt tokens of sequences, at their first admission */
	uint64_t hit_tokens;       /* of them found in this engine's cache */
	uint64_t lower_hit_tokens; /* and in the lower tier */
	uint64_t preemptions;
	uint64_t recomputed_tokens;
	uint64_t used_bytes; /* KV: in use or cached */
	uint64_t n_blocks, free_blocks;
};
void jt__sched_stats(const struct jt_sched *s, struct jt_sched_stats *ret_stats);

#endif
