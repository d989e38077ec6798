/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One unit of weight is 5 µJ of an engine step. In a step a decoding sequence computes one token
 * and reads its own KV cache; a prefilling one computes a chunk; all share the reading of the
 * weights and the idle power of the time the step takes. The step is the same for everybody in it,
 * so these joules are the rates at which the clock has to charge.
 */
#include <string.h>
#include "attribution/policy.h"

#define UNITS_PER_J 2e5
#define SHARED_STEP_TOKENS                                                                         \
	8 /* tokens of a typical decode step, for what a mixture of experts reads */

/* A first token may be later than the roofline has it by this factor before it means a queue. */
#define WAIT_SLACK 1.5
#define KEEP 0.9 /* of what was learned, at each first token: the last ten count */

static const char *const names[JT_N_POLICIES] = { "equal", "tokens", "roofline" };

const char *jt__policy_name(enum jt_policy p)
{
	return (unsigned)p < JT_N_POLICIES ? names[p] : "unknown";
}

const char *jt__weigher_name(const struct jt_weigher *w)
{
	bool falls_back = w->policy == JT_POLICY_ROOFLINE && !w->has_model;

	return falls_back ? "phase_split" : jt__policy_name(w->policy);
}

bool jt__policy_parse(const char *name, enum jt_policy *ret_policy)
{
	for (int p = 0; p < JT_N_POLICIES; p++) {
		if (strcmp(name, names[p]) == 0) {
			*ret_policy = (enum jt_policy)p;
			return true;
		}
	}
	return false;
}

void jt__weigher_init(struct jt_weigher *w, enum jt_policy policy)
{
	*w = (struct jt_weigher){ .policy = policy,
		                  .max_batch_tokens = 2048,
		                  .prefill_ratio = 0.25,
		                  .decode_ratio = 0.75,
		                  .prefill_s = 0.2,
		                  .decode_s = 3.8 };
}

static uint32_t units(double v)
{
	return (uint32_t)JT_MIN(JT_MAX(v, 1), JT_WEIGHT_MAX);
}

static uint32_t chunk_tokens(const struct jt_weigher *w, const struct jt_load *load)
{
	return JT_MAX(JT_MIN(load->prompt_tokens, w->max_batch_tokens), 1);
}

/*
 * Of the time to its first token, what a prompt is computed in; the rest it waits behind others,
 * and nobody outside the engine sees when the one turns into the other. Its joules are laid evenly
 * over both, so that a queue is charged for its prompts once and not all of the time.
 */
static double part_computing(const struct jt_weigher *w)
{
	return w->seen_s > 0 ? JT_MIN(WAIT_SLACK * w->computing_s / w->seen_s, 1) : 1;
}

static struct jt_weight by_model(const struct jt_weigher *w, const struct jt_load *load)
{
	uint32_t chunk = chunk_tokens(w, load), choices = JT_MAX(load->choices, 1);
	struct jt_step decode = { .decode_seqs = SHARED_STEP_TOKENS };
	struct jt_step_cost cost;
	double own_j, shared_j;

	/* a chunk attends to what came before it: half of the prompt on average */
	if (load->phase == JT_PHASE_DECODE)
		own_j = choices * jt__roofline_own_j(&w->model, &w->gpu, 1, load->context_tokens);
	else
		own_j = jt__roofline_own_j(&w->model, &w->gpu, chunk, load->prompt_tokens / 2.0) *
		        part_computing(w);
	jt__roofline(&w->model, &w->gpu, &decode, &cost);
	shared_j = jt__roofline_shared_j(&w->model, &w->gpu, SHARED_STEP_TOKENS) +
	           w->gpu.idle_w * cost.seconds;
	return (struct jt_weight){ .shared = units(shared_j * UNITS_PER_J),
		                   .own = units(own_j * UNITS_PER_J) };
}

/* Joules over time is power: the ratio of the phases' powers is all that a weight needs. */
static struct jt_weight by_phase_split(const struct jt_weigher *w, const struct jt_load *load)
{
	double all_s = w->prefill_s + w->decode_s;

	if (load->phase == JT_PHASE_DECODE)
		return (struct jt_weight){ .own = units(1e4 * w->decode_ratio * all_s /
			                                w->decode_s) };
	return (struct jt_weight){ .own = units(1e4 * w->prefill_ratio * all_s / w->prefill_s) };
}

static struct jt_weight in_phase(const struct jt_weigher *w, const struct jt_load *load)
{
	switch (w->policy) {
	case JT_POLICY_TOKENS:
		return (struct jt_weight){ .own = load->phase == JT_PHASE_DECODE
			                                  ? units(load->choices)
			                                  : chunk_tokens(w, load) };
	case JT_POLICY_ROOFLINE:
		return w->has_model ? by_model(w, load) : by_phase_split(w, load);
	default:
		return (struct jt_weight){ .own = 1 };
	}
}

/* Nobody can see in which phase it is: each counts for the part of the time that it took others. */
static struct jt_weight in_either_phase(const struct jt_weigher *w, const struct jt_load *load)
{
	double prefill = w->prefill_s / (w->prefill_s + w->decode_s);
	struct jt_load as = *load;
	struct jt_weight a, b;

	as.phase = JT_PHASE_PREFILL;
	a = in_phase(w, &as);
	as.phase = JT_PHASE_DECODE;
	b = in_phase(w, &as);
	return (struct jt_weight){ .shared = b.shared,
		                   .own = units(prefill * a.own + (1 - prefill) * b.own) };
}

struct jt_weight jt__weigh(const struct jt_weigher *w, const struct jt_load *load)
{
	return load->phase_unknown ? in_either_phase(w, load) : in_phase(w, load);
}

void jt__weigher_learn(struct jt_weigher *w, uint64_t prefill_ns, uint64_t decode_ns)
{
	w->prefill_s += (double)prefill_ns * 1e-9;
	w->decode_s += (double)decode_ns * 1e-9;
}

void jt__weigher_first_token(struct jt_weigher *w, uint32_t prompt_tokens, uint64_t seen_ns)
{
	double chunk = JT_MAX(JT_MIN(prompt_tokens, w->max_batch_tokens), 1);
	struct jt_step step = {
		.prefill_tokens = chunk,
		.prefill_ctx_tokens = chunk * jt__size_seen_tokens(&w->model, prompt_tokens / 2.0),
		.decode_seqs = SHARED_STEP_TOKENS
	};
	struct jt_step_cost cost;

	if (!w->has_model)
		return;
	jt__roofline(&w->model, &w->gpu, &step, &cost);
	w->computing_s = KEEP * w->computing_s + cost.seconds * JT_MAX(prompt_tokens / chunk, 1);
	w->seen_s = KEEP * w->seen_s + (double)seen_ns * 1e-9;
}
