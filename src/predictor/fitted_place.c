/* SPDX-License-Identifier: Apache-2.0 */
/* Where a question stands among the data: what its texts decide, and in words. */
#include <string.h>
#include "predictor/fitted.h"

const char *jt__weights_name(enum jt_weights w)
{
	static const char *const names[JT_N_WEIGHTS] = {
		[JT_W_BF16] = "bf16", [JT_W_FP16] = "fp16",   [JT_W_FP32] = "fp32",
		[JT_W_FP8] = "fp8",   [JT_W_MXFP4] = "mxfp4", [JT_W_INT8] = "int8",
		[JT_W_NF4] = "nf4",   [JT_W_AWQ] = "awq",     [JT_W_GPTQ] = "gptq",
	};

	return (unsigned)w < JT_N_WEIGHTS ? names[w] : NULL;
}

static bool is_in(const struct jt_fitted *f, struct jt_span_at list, const char *text)
{
	const uint32_t *texts = jt__fitted_at(f, list.at);

	for (uint32_t i = 0; i < list.n; i++)
		if (strcmp(jt__fitted_text(f, texts[i]), text) == 0)
			return true;
	return false;
}

/* @text is @engine, " on ", @gpu. */
static bool is_run(const char *text, const char *engine, const char *gpu)
{
	size_t n = strlen(engine);

	return strncmp(text, engine, n) == 0 && strncmp(text + n, " on ", 4) == 0 &&
	       strcmp(text + n + 4, gpu) == 0;
}

static bool knows_run(const struct jt_fitted *f, const struct jt_question *q)
{
	const uint32_t *runs = jt__fitted_at(f, f->runs.at);

	for (uint32_t i = 0; i < f->runs.n; i++)
		if (is_run(jt__fitted_text(f, runs[i]), jt__question_engine(q), q->gpu))
			return true;
	return f->runs.n == 0;
}

/* Returns what the interval is at least. */
static double find_factor(const struct jt_fitted *f, const struct jt_question *q,
                          struct jt_prediction *p)
{
	const struct jt_factor *factors = jt__fitted_at(f, f->factors.at);

	for (uint32_t i = 0; i < f->factors.n; i++) {
		if (strcmp(jt__fitted_text(f, factors[i].model), q->model) != 0 ||
		    strcmp(jt__fitted_text(f, factors[i].gpu), q->gpu) != 0)
			continue;
		p->factor = factors[i].factor;
		p->factor_rows = factors[i].rows;
		return factors[i].half_width;
	}
	return 0;
}

/* @wanted: -1 for any. */
static bool fits(int32_t wanted, int32_t is)
{
	return wanted < 0 || wanted == is;
}

/* The first that fits; -1: none does. */
static int32_t find_group(const struct jt_fitted *f, const struct jt_question *q,
                          const struct jt_prediction *p, bool known_model, bool known_gpu)
{
	const struct jt_interval_group *g = jt__fitted_at(f, f->groups.at);

	for (uint32_t i = 0; i < f->groups.n; i++, g++)
		if (fits(g->weights, (int32_t)q->weights) && fits(g->mixture, q->n_experts > 1) &&
		    fits(g->known_model, known_model) && fits(g->known_gpu, known_gpu) &&
		    fits(g->recalibrated, p->factor_rows > 0) && p->factor_rows >= g->factor_rows &&
		    (g->min_distance < 0 || p->distance >= g->min_distance) &&
		    (!g->gpu || strcmp(jt__fitted_text(f, g->gpu), q->gpu) == 0))
			return (int32_t)i;
	return -1;
}

/* On a GPU that is not known, at least as wide as on one that is. */
static void choose_interval(const struct jt_fitted *f, const struct jt_question *q, bool known_gpu,
                            struct jt_prediction *p)
{
	const struct jt_interval_group *groups = jt__fitted_at(f, f->groups.at);
	bool known_model = is_in(f, f->model_groups, q->model_group);
	int32_t own = find_group(f, q, p, known_model, known_gpu);
	int32_t other = known_gpu ? own : find_group(f, q, p, known_model, true);

	p->group = own;
	if (own >= 0 && other >= 0 && groups[other].half_width > groups[own].half_width)
		p->group = other;
	if (p->group >= 0)
		p->half_width = groups[p->group].half_width;
}

/* The features know the 8 and 4 bits of bitsandbytes in transformers alone: features.def. */
static bool knows_weights(const struct jt_fitted *f, const struct jt_question *q)
{
	if ((unsigned)q->weights >= JT_N_WEIGHTS || !(f->weights >> q->weights & 1))
		return false;
	return q->is_eager || (q->weights != JT_W_INT8 && q->weights != JT_W_NF4);
}

int jt__fitted_place(const struct jt_fitted *f, const struct jt_question *q,
                     struct jt_prediction *p)
{
	double least = find_factor(f, q, p);
	bool known_type = is_in(f, f->gpus, q->gpu), known_run = knows_run(f, q);

	choose_interval(f, q, known_type && known_run, p);
	if (p->half_width < least)
		p->half_width = least;
	if (!known_type)
		p->outside |= JT_OUTSIDE_GPU;
	else if (!known_run)
		p->outside |= JT_OUTSIDE_ENGINE;
	if (!knows_weights(f, q))
		p->outside |= JT_OUTSIDE_WEIGHTS;
	return jt__fitted_joules(p);
}

int jt__fitted_answer(const struct jt_fitted *f, const struct jt_question *q,
                      struct jt_prediction *ret, struct jt_error *err)
{
	double features[JT_MAX_FEATURES];
	struct jt_prediction p;
	int status = jt__question_check(q, err);

	if (status)
		return status;
	jt__features(q, features);
	status = jt__fitted_predict(f, features, &p);
	if (!status)
		status = jt__fitted_place(f, q, &p);
	if (status)
		return jt__fail(
			err, status, "predictor",
			"the request is too far from any that was measured to say anything");
	*ret = p;
	return JT_OK;
}

const char *jt__fitted_label(const struct jt_fitted *f, int32_t i)
{
	for (uint32_t k = 0; k < f->n_parts; k++) {
		const struct jt_part *p = &f->parts[k];
		const uint32_t *labels = jt__fitted_at(f, p->labels.at);

		if (p->kind == JT_PART_KERNEL)
			return i >= 0 && (uint32_t)i < p->labels.n ? jt__fitted_text(f, labels[i])
			                                           : NULL;
	}
	return NULL;
}

const char *jt__fitted_feature(const struct jt_fitted *f, uint32_t i)
{
	return i < f->n_features ? jt__fitted_text(f, f->names[i]) : "";
}

/* Of the features that have a range: what a reader of warnings can do something about. */
static const char *meaning(const char *feature)
{
	static const struct {
		const char *feature, *words;
	} meanings[] = {
		{ "weight_bytes", "the size of the weights" },
		{ "active_params", "the number of active parameters" },
		{ "touched_weights", "what a step reads of the weights" },
		{ "touched_kv", "what a step reads of the KV cache" },
		{ "touched", "what a step reads" },
		{ "memory_to_compute", "bytes read per FLOP" },
		{ "memory_j", "what an output token reads" },
		{ "compute_j", "what an output token computes" },
		{ "launch_j", "layers per sequence of the batch" },
		{ "prefill_j", "the prompt per output token" },
		{ "roofline_j", "what the roofline says of an output token" },
		{ "batch", "the batch" },
		{ "batch_fill", "the batch per max_num_seqs" },
		{ "memory_free", "the memory that the weights leave" },
		{ "kv_fill", "how full the KV cache is" },
		{ "gpus", "the number of GPUs" },
		{ "hidden", "the hidden size" },
		{ "out_tokens", "the number of output tokens" },
		{ "in_tokens", "the number of input tokens" },
		{ "context", "the length of the context" },
		{ "in_to_out", "input per output tokens" },
		{ "kv_token", "the KV cache of a token" },
		{ "kv_heads", "the number of KV heads" },
		{ "vocabulary", "the size of the vocabulary" },
		{ "experts", "the number of experts" },
		{ "layers", "the number of layers" },
	};

	for (size_t i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (strcmp(meanings[i].feature, feature) == 0)
			return meanings[i].words;
	return NULL;
}

struct words {
	char *out;
	size_t size, n;
};

static void say(struct words *w, const char *text)
{
	for (; *text && w->n + 1 < w->size; text++)
		w->out[w->n++] = *text;
	w->out[w->n] = '\0';
}

static void begin(struct words *w)
{
	if (w->n)
		say(w, "; ");
}

void jt__fitted_reason(const struct jt_fitted *f, const struct jt_question *q,
                       const struct jt_prediction *p, char *out, size_t size)
{
	struct words w = { .out = out, .size = size };

	if (!size)
		return;
	say(&w, "");
	if (p->outside & JT_OUTSIDE_GPU) {
		say(&w, *q->gpu ? "nothing was measured on GPU '" : "the GPU's name is not given");
		say(&w, q->gpu);
		say(&w, *q->gpu ? "'" : "");
	}
	if (p->outside & JT_OUTSIDE_ENGINE) {
		say(&w, "on GPU '");
		say(&w, q->gpu);
		say(&w, "' nothing was measured under ");
		say(&w, q->is_eager ? "transformers" : q->is_vllm_new ? "vLLM" : "an old vLLM");
	}
	if (p->outside & JT_OUTSIDE_WEIGHTS) {
		const char *name = jt__weights_name(q->weights);

		begin(&w);
		say(&w, "nothing was measured with weights in ");
		say(&w, name ? name : "this form");
		if (name && f->weights >> q->weights & 1)
			say(&w, " in vLLM");
	}
	if (p->outside & JT_OUTSIDE_RANGE) {
		const char *name = jt__fitted_feature(f, (uint32_t)p->range_feature);

		const char *words = meaning(name);

		begin(&w);
		say(&w, words ? words : "'");
		say(&w, words ? "" : name);
		say(&w, words ? "" : "'");
		say(&w, " is beyond what was measured");
	}
	if (p->outside & JT_OUTSIDE_FAR) {
		begin(&w);
		say(&w, "nothing like it was measured");
	}
}

void jt__fitted_interval_of(const struct jt_fitted *f, const struct jt_prediction *p, char *out,
                            size_t size)
{
	const struct jt_interval_group *g = jt__fitted_at(f, f->groups.at);
	struct words w = { .out = out, .size = size };

	if (!size)
		return;
	say(&w, "");
	if (p->group < 0)
		return;
	g += p->group;
	say(&w, g->mixture == 1 ? "mixtures" : "models");
	say(&w, g->known_model == 0   ? " left out of the fit"
	        : g->known_model == 1 ? " of the data"
	                              : "");
	say(&w, g->known_gpu == 0 ? ", on GPU types left out" : "");
	say(&w, g->min_distance >= 0 ? ", far from measured rows" : "");
	say(&w, g->factor_rows ? ", with a factor of measured rows" : "");
}
