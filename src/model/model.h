/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_MODEL_H
#define JT_MODEL_H
/*
 * ONE place for what a step of inference costs: dimensions of a model (arch.h), what they weigh
 * (size.h), table of GPUs, roofline of bytes and FLOPs, seconds and joules. Pure, any thread.
 */
#include "model/size.h"

#define JT_IDLE_SHARE 0.17 /* of a GPU's TDP: what it draws idle, where that was not measured */

/* A GPU type: dense bf16 peak, memory bandwidth, power levels. Rows and sources: gpu.c. */
struct jt_gpu {
	const char *name;  /* "H100-SXM5-80GB" */
	const char *match; /* what the driver's name ends with */
	double mem_gb;
	double bw_gbs;
	double bf16_tflops;
	double fp8_tflops; /* NaN: it has none */
	double link_gbs;   /* to other GPUs of its node, one direction */
	double tdp_w;
	double idle_w;      /* a model loaded, nothing to do */
	double byte_cost;   /* energy of a byte read, relative to HBM3: gpu.c */
	double pj_per_flop; /* dynamic energy, derived as gpu.c says */
	double pj_per_byte;
};
extern const struct jt_gpu jt__gpus[];               /* ends with a row without a name */
const struct jt_gpu *jt__gpu_find(const char *name); /* by name, else by driver's name; NULL */

/*
 * What one engine iteration does: the tokens it computes and the KV it reads. A prefill
 * chunk of a single token is a decoding sequence in all but name and counted as one. A context is
 * as long as jt__size_seen_tokens() says: what of it is seen through the windows of the model.
 */
struct jt_step {
	double prefill_tokens;     /* summed over the sequences that prefill */
	double prefill_ctx_tokens; /* Σ tokens × mean context they attend to */
	double decode_seqs;
	double decode_ctx_tokens; /* Σ context lengths of the decoding sequences */
};

struct jt_step_cost {
	double flops;
	double weight_bytes; /* read once, shared by all */
	double kv_bytes;
	double seconds;   /* of the slowest of memory, compute and power limit, and of the host */
	double dynamic_j; /* above idle */
};
void jt__roofline(const struct jt_size *m, const struct jt_gpu *g, const struct jt_step *s,
                  struct jt_step_cost *ret_cost);

/*
 * The own (unshared) dynamic joules of one sequence in a step: @new_tokens of prefill that attend
 * to a context of @ctx_tokens each on average, or with one new token a decode on it. The own joules
 * of a step's sequences and its shared joules add up to jt_step_cost.dynamic_j.
 */
double jt__roofline_own_j(const struct jt_size *m, const struct jt_gpu *g, double new_tokens,
                          double ctx_tokens);
/* The shared dynamic joules of a step of @n_tokens: reading the weights, launching it. */
double jt__roofline_shared_j(const struct jt_size *m, const struct jt_gpu *g, double n_tokens);
/* Adds such a sequence to a step. */
void jt__step_add(const struct jt_size *m, double new_tokens, double ctx_tokens, struct jt_step *s);

#endif
