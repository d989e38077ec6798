/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_BENCH_ATTRIBUTION_H
#define JT_BENCH_ATTRIBUTION_H
/*
 * Policies of attribution against what requests caused, in a simulated node: cases.c says which
 * requests come, node.c runs them and writes down what happened, judge.c gives that to the
 * policies.
 */
#include "base/rng.h"
#include "simulator/truth.h"

/* clang-format off */
/* Time: the cluster's power block, an active NPU draws the same whatever it does. Roofline:
 * src/model/roofline.c, by the bytes and FLOPs of a step. */
#define TRUTHS(X)                                                                                  \
	X(TIME, "time")                                                                            \
	X(ROOF, "roofline")

enum truth {
#define X(id, name) TRUTH_##id,
	TRUTHS(X)
#undef X
	N_TRUTHS
};

#define METHODS(X)                                                                                 \
	X(OUTPUT, "output tokens")                                                                 \
	X(WINDOW, "output tokens, each 15 s")                                                      \
	X(ALL_TOKENS, "input and output tokens")                                                   \
	X(EQUAL, "`equal`")                                                                        \
	X(TOKENS, "`tokens`")                                                                      \
	X(PHASES, "`roofline` without a model")                                                    \
	X(ROOFLINE, "`roofline`")                                                                  \
	X(GATEWAY, "`roofline`, in a gateway")                                                     \
	X(STEPS, "tokens of each step, told")                                                      \
	X(TOLD, "roofline of each step, told")

enum method {
#define X(id, name) METHOD_##id,
	METHODS(X)
#undef X
	N_METHODS
};
/* clang-format on */

/* ---- cases.c ---- */

struct kind { /* of a request; lengths are lognormal: median, sigma, and cut off */
	double share;
	double input, input_sigma, input_max;
	double output, output_sigma, output_max;
};

#define MAX_KINDS 3
struct load {
	const char *workload, *load;
	uint32_t n_requests;
	double per_s; /* Poisson */
	struct kind kinds[MAX_KINDS];
};

struct server {
	const char *name;
	const char *cluster; /* in this repository */
	const char *gpu;     /* in our table */
	double speed;        /* its loads come so many times as fast */
	bool bundled;        /* its profile comes with jouletap */
};

extern const struct server servers[];
extern const size_t n_servers;
extern const struct load loads[];
extern const size_t n_loads;

/* The requests of @l, as a file; the caller removes it. */
bool write_requests(const struct load *l, double speed, uint64_t seed, char path[64]);

/* ---- node.c ---- */

struct request {
	uint32_t input, output;
	uint64_t arrival_ns, scheduled_ns, first_ns, end_ns;
	uint32_t n_seen, next_progress; /* output tokens so far; when its context is told again */
	struct jt_share truth[N_TRUTHS];
	double estimate_j[N_TRUTHS][N_METHODS];
	uint32_t in_window; /* output tokens in the current window */
};

struct progress {
	uint64_t t_ns;
	uint32_t request, context;
};

struct stretch { /* a batch */
	uint64_t begin_ns, end_ns;
	double j[N_TRUTHS];
};

struct run {
	const struct server *server;
	const struct load *load;
	struct jt_cluster *cluster;
	const struct jt_arch *arch;
	struct jt_size model; /* of it */
	const struct jt_gpu *gpu;
	struct jt_sim *sim;
	struct jt_truth *truths[N_TRUTHS];
	struct request *requests;
	uint32_t n_requests;
	struct stretch *batches;
	size_t n_batches, batches_capacity;
	struct progress *progress;
	size_t n_progress, progress_capacity;
	uint64_t window_end_ns;
	double window_j[N_TRUTHS], window_tokens;
	double items; /* summed over batches, by their time */
	uint64_t busy_ns, end_ns;
	bool failed;
};

struct bench_options {
	const char *data; /* the reference's tree, or NULL: jouletap's own */
	uint64_t seed;
	uint32_t n_pairs;
};

bool node_run(struct run *r, const struct server *server, const struct load *l,
              const struct bench_options *o);
void node_over(struct run *r);

/* ---- judge.c ---- */

void judge(struct run *r, enum truth truth); /* the methods that are not told */

struct verdict { /* relative; weighted: Σ |estimate - truth| / Σ truth */
	double median, p95, weighted;
};
struct verdict verdict_on(const struct run *r, enum truth truth, enum method method);
/* How well the truth itself is known: standard error; and the marginal joules, part of all. */
struct verdict truth_error(const struct run *r, enum truth truth);
double marginal_part(const struct run *r, enum truth truth);

#endif
