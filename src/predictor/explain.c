/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "predictor/ask.h"
#include "predictor/explain.h"

enum { /* places of features */
#define FEATURE(name, value) AT_##name,
#include "predictor/features.def"
#undef FEATURE
};

static bool begins(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

bool jt__term_is_memory(const char *term)
{
	return begins(term, "e_weights") || begins(term, "e_kv");
}

bool jt__term_is_compute(const char *term)
{
	return begins(term, "e_compute") || begins(term, "e_prefill");
}

/* ---- shares ---- */

/* By the names of features.def. What images and videos cost a request is spent before it decodes.
 */
static void add_term(const char *name, double joules, struct jt_energy_shares *s)
{
	bool prefill = begins(name, "e_prefill") || strcmp(name, "e_image") == 0 ||
	               strcmp(name, "e_video") == 0;

	*(prefill ? &s->prefill : &s->decode) += joules;
	if (jt__term_is_memory(name))
		s->memory += joules;
	else if (jt__term_is_compute(name))
		s->compute += joules;
	else
		s->waiting += joules;
}

static void add_terms(const struct jt_fitted *f, const struct jt_part *p, const double *features,
                      struct jt_energy_shares *s)
{
	const uint32_t *used = jt__fitted_at(f, p->used.at);
	const double *c = jt__fitted_at(f, p->coefficients.at);

	for (uint32_t i = 0; i < p->used.n; i++)
		add_term(jt__fitted_feature(f, used[i]), c[i] * features[f->index[used[i]]], s);
}

int jt__energy_shares(const struct jt_fitted *f, const double *features,
                      struct jt_energy_shares *ret)
{
	struct jt_energy_shares s = { 0 };
	double all;

	for (uint32_t i = 0; i < f->n_parts; i++)
		if (f->parts[i].kind == JT_PART_SUM)
			add_terms(f, &f->parts[i], features, &s);
	all = s.prefill + s.decode;
	if (!(all > 0) || isinf(all))
		return JT_ENOTSUP;
	*ret = (struct jt_energy_shares){ s.prefill / all, s.decode / all, s.compute / all,
		                          s.memory / all, s.waiting / all };
	return JT_OK;
}

/* ---- time ---- */

/*
 * How much longer each of these takes than the data sheet says. Non-negative least squares on the
 * logarithm of batch / throughput of the 1,115 rows in data/predictor/energy_tidy.csv, with
 * outliers damped as by Huber; prefill takes at least as long as the peak allows. Backbones that
 * were left out: median error 17 %, one in ten beyond 51 %.
 */
/* clang-format off */
static const struct {
	uint32_t feature;
	double by;
} slower[] = {
	{ AT_e_weights, 0.564 }, { AT_e_weights_eager, 0.608 },
	{ AT_e_weights_mixture, 0.526 }, { AT_e_weights_fp8, 0.492 },
	{ AT_e_weights_nf4, 22.6 }, { AT_e_kv, 1.37 }, { AT_e_compute, 0.239 },
	{ AT_e_compute_fp8, 1.7 }, { AT_e_prefill, 1 }, { AT_e_prefill_old, 2.98 },
	{ AT_e_prefill_eager, 5.55 }, { AT_e_prefill_nf4, 1.8 }, { AT_e_layer, 15.1 },
	{ AT_e_layer_old, 31.7 }, { AT_e_layer_eager, 64.3 }, { AT_e_layer_fp8_one, 21.5 },
	{ AT_e_layer_int8, 37.4 }, { AT_e_layer_gpus_old, 56.7 }, { AT_e_step_eager, 1.26 },
	{ AT_e_request, 1.63 }, { AT_e_sequence, 2.66 }, { AT_e_sequence_old, 39.5 },
	{ AT_e_sequence_eager, 4.23 }, { AT_e_sequence_hybrid, 9.49 },
	{ AT_e_sequence_layer_mixture, 3.03 }, { AT_e_messages, 2.17 },
	{ AT_e_replicas, 16.1 }, { AT_e_sequence_replicas, 78 }, { AT_e_image, 3.93 },
	{ AT_e_video, 0.352 }, { AT_e_video_step, 1.47 },
};
/* clang-format on */

/* The watts at which features.def turns the seconds of a term into joules. */
static double term_watts(const struct jt_question *q, const char *name)
{
	if (jt__term_is_memory(name))
		return q->n_gpu * q->gpu_bw_gbs * 1e9 * jt__joules_per_byte(q);
	if (jt__term_is_compute(name))
		return q->n_gpu * q->gpu_tdp_w;
	return jt__idle_w(q);
}

/*
 * What a token takes at the bandwidth and the peak of the data sheet, the one beside the other. The
 * measured GPUs are fast enough for launches to hide it: the fit alone would let slow ones beat it.
 */
static double roofline_s(const struct jt_question *q, const double *features)
{
	double read_j = features[AT_e_weights] + features[AT_e_weights_eager] + features[AT_e_kv];
	double compute_j = features[AT_e_compute] + features[AT_e_prefill] +
	                   features[AT_e_prefill_old] + features[AT_e_prefill_eager];

	return JT_MAX(read_j / term_watts(q, "e_weights"), compute_j / term_watts(q, "e_compute"));
}

double jt__step_seconds(const struct jt_question *q, const double *features,
                        const struct jt_prediction *p)
{
	double batch = isnan(q->batch) ? q->max_num_seqs : q->batch, sum = 0;
	double token_s = JT_MAX(p->j_per_token / (q->n_gpu * q->gpu_tdp_w), /* at TDP */
	                        roofline_s(q, features));

	for (size_t i = 0; i < JT_ARRAY_LEN(slower); i++) {
		uint32_t k = slower[i].feature;

		sum += slower[i].by * features[k] / term_watts(q, jt__feature_names[k]);
	}
	return JT_MAX(sum, token_s) * batch;
}

double jt__memory_share(const struct jt_question *q)
{
	return jt__copies(q) * jt__size(&q->arch).weight_bytes / (q->n_gpu * q->gpu_mem_gb * 1e9);
}

double jt__kv_share(const struct jt_question *q)
{
	struct jt_size s = jt__size(&q->arch);
	double left = q->n_gpu * q->gpu_mem_gb * 1e9 - jt__copies(q) * s.weight_bytes;

	return q->batch * jt__size_kv_bytes(&s, q->in_tokens + q->out_tokens / 2) / left;
}

/* ---- what if ---- */

static double scaled(double v, double by)
{
	return v > 0 ? JT_MAX(1, v * by) : v;
}

/* What the dimensions alone say; NaN where they are not known. */
static struct jt_size counted(const struct jt_question *q)
{
	struct jt_arch bare = q->arch;

	bare.params_total_b = bare.params_active_b = NAN;
	return jt__size(&bare);
}

/* Fewer layers, or narrower ones with fewer heads; published counts follow those that the
 * dimensions give. */
static bool resize(const struct jt_question *q, double depth, double width, struct jt_question *ret)
{
	struct jt_size before = counted(q), after;
	double kv_heads = scaled(q->n_kv_heads, width);

	*ret = *q;
	ret->n_layers = scaled(q->n_layers, depth);
	ret->first_k_dense = scaled(q->first_k_dense, depth);
	ret->n_attention_layers = scaled(q->n_attention_layers, depth);
	ret->n_sliding_layers = scaled(q->n_sliding_layers, depth);
	ret->n_ffn_layers = scaled(q->n_ffn_layers, depth);
	ret->n_ssm_layers = scaled(q->n_ssm_layers, depth);
	ret->ssm_params = q->ssm_params * width * width;
	ret->ssm_state = q->ssm_state * width;
	ret->hidden_size = scaled(q->hidden_size, width);
	ret->intermediate_size = scaled(q->intermediate_size, width);
	ret->moe_intermediate_size = scaled(q->moe_intermediate_size, width);
	ret->head_dim = isnan(q->head_dim) ? q->hidden_size / q->n_heads : q->head_dim;
	ret->n_heads = scaled(q->n_heads, width);
	ret->n_kv_heads = kv_heads;
	ret->kv_elems_per_token *= depth * (isnan(kv_heads) ? width : kv_heads / q->n_kv_heads);
	ret->model_group[0] = '\0'; /* such a model was not measured */
	after = counted(ret);
	ret->params_total_b *= after.params / before.params;
	ret->params_active_b *= after.matmul_params / before.matmul_params;
	return !isnan(before.params) && !isnan(after.params);
}

#define N_SHAPES 5 /* before the dtypes */

static bool vary_shape(const struct jt_question *q, uint32_t i, struct jt_question *ret,
                       const char **ret_what)
{
	static const char *const what[N_SHAPES] = { "half the layers", "half the width",
		                                    "half the batch", "twice the batch",
		                                    "twice the GPUs" };

	*ret_what = what[i];
	*ret = *q;
	if (i < 2)
		return resize(q, i == 0 ? 0.5 : 1, i == 1 ? 0.5 : 1, ret);
	if (i == 4) {
		ret->n_gpu *= 2;
		ret->tp *= 2;
		return true;
	}
	ret->batch = (isnan(q->batch) ? q->max_num_seqs : q->batch) * (i == 2 ? 0.5 : 2);
	if (ret->max_num_seqs < ret->batch || q->max_num_seqs == q->batch)
		ret->max_num_seqs = JT_MAX(1, ret->batch);
	return ret->batch >= 1;
}

int jt__what_if(const struct jt_question *q, uint32_t *i, struct jt_question *ret, char *ret_what,
                size_t size)
{
	for (;; ++*i) {
		uint32_t dtype = *i - N_SHAPES, gpu = dtype - JT_N_WEIGHTS;
		const char *what = "";
		bool is_one;

		*ret = *q;
		if (*i < N_SHAPES) {
			is_one = vary_shape(q, *i, ret, &what);
		} else if (dtype < JT_N_WEIGHTS) {
			ret->weights = (enum jt_weights)dtype;
			ret->bytes_per_param = 0;
			what = jt__weights_name(ret->weights);
			is_one = ret->weights != q->weights && ret->weights != JT_W_FP32 &&
			         ret->weights != JT_W_FP16;
		} else {
			if (!jt__gpus[gpu].name)
				return 0;
			jt__ask_gpu_row(&jt__gpus[gpu], ret);
			what = ret->gpu;
			is_one = strcmp(ret->gpu, q->gpu) != 0;
		}
		if (!is_one || !(jt__memory_share(ret) < 0.9))
			continue;
		snprintf(ret_what, size, "%s", what);
		++*i;
		return 1;
	}
}
