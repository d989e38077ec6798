/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_POLICY_H
#define JT_POLICY_H
/* What weight a request has in its phase: the policies. Pure. */
#include "jouletap/attribution.h"
#include "model/model.h"

enum jt_policy {
	JT_POLICY_EQUAL,    /* everybody the same */
	JT_POLICY_TOKENS,   /* the tokens it brings into a step */
	JT_POLICY_ROOFLINE, /* the joules of its part of a step, by the model's bytes and FLOPs */
	JT_N_POLICIES,
};

const char *jt__policy_name(enum jt_policy p);
bool jt__policy_parse(const char *name, enum jt_policy *ret_policy);

struct jt_weigher {
	enum jt_policy policy;
	uint32_t max_batch_tokens; /* of an engine step: a longer prompt prefills in chunks */
	bool has_model;            /* model and gpu are known */
	struct jt_size model;
	struct jt_gpu gpu;
	/* With a model: seconds to the first token that the last few requests took, and those that
	 * computing their prompts takes. What is beyond, they waited in the engine. */
	double seen_s;
	double computing_s;
	/* Without a model roofline falls back on the part of a request's joules that each phase
	 * takes, … */
	double prefill_ratio;
	double decode_ratio;
	/* … over the time it takes, as seen so far. */
	double prefill_s;
	double decode_s;
};

/*
 * What it does, as records have it: a policy's name, or "phase_split" for roofline without a model.
 */
const char *jt__weigher_name(const struct jt_weigher *w);

/* The defaults: 25 % of the joules and, until requests were seen, 5 % of the time in prefill. */
void jt__weigher_init(struct jt_weigher *w, enum jt_policy policy);

/* What a request is doing. */
struct jt_load {
	enum jt_phase phase;
	uint32_t prompt_tokens;  /* known or estimated */
	uint32_t context_tokens; /* prompt and output so far */
	uint32_t choices;        /* sequences that decode together */
	bool phase_unknown; /* somewhere between accepted and finished: the mean of both phases */
};

struct jt_weight jt__weigh(const struct jt_weigher *w, const struct jt_load *load);

/* A request was in these phases for so long: the fallback learns from it. */
void jt__weigher_learn(struct jt_weigher *w, uint64_t prefill_ns, uint64_t decode_ns);

/* A request of @prompt_tokens had its first token after @seen_ns: the next to come are expected to
 * wait as long as it did. */
void jt__weigher_first_token(struct jt_weigher *w, uint32_t prompt_tokens, uint64_t seen_ns);

#endif
