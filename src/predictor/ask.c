/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "predictor/ask.h"
#include "predictor/question.h"

/* ---- GPUs ---- */

/* Tensor cores take 8-bit floats since Ada and Hopper, at twice the rate of 16-bit ones (makers'
 * data sheets). Those of the table that do not: */
static bool has_fp8(const struct jt_gpu *g)
{
	static const char *const without[] = { "A100-", "A30-",  "A40-",      "A10-",
		                               "T4-",   "V100-", "RTX-A6000", "RTX-3090" };

	for (size_t i = 0; i < JT_ARRAY_LEN(without); i++)
		if (strncmp(g->name, without[i], strlen(without[i])) == 0)
			return false;
	return true;
}

void jt__ask_gpu_row(const struct jt_gpu *g, struct jt_question *ret)
{
	jt__copy_text(ret->gpu, sizeof(ret->gpu), g->name, strlen(g->name));
	ret->gpu_mem_gb = g->mem_gb;
	ret->gpu_bw_gbs = g->bw_gbs;
	ret->gpu_bf16_tflops = g->bf16_tflops;
	ret->gpu_fp8_tflops = has_fp8(g) ? 2 * g->bf16_tflops : NAN;
	ret->gpu_tdp_w = g->tdp_w;
}

/* "H100" begins "H100-SXM5-80GB", "H1" does not. */
static bool begins_with_words(const char *name, const char *words)
{
	size_t n = strlen(words);

	return strncasecmp(name, words, n) == 0 && (name[n] == '-' || !name[n]);
}

/* The row whose name begins so, if no other's does. */
static const struct jt_gpu *only_one(const char *begin)
{
	const struct jt_gpu *found = NULL;

	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		if (strncasecmp(g->name, begin, strlen(begin)) != 0)
			continue;
		if (found)
			return NULL;
		found = g;
	}
	return found;
}

/* To the name as far as so many words go as were given. */
static unsigned distance(const char *name, const char *given)
{
	char a[64], b[64];
	size_t n = 0, words = 1;

	for (const char *p = given; *p; p++)
		words += *p == '-' || *p == ' ';
	for (; name[n] && n + 1 < sizeof(a); n++) {
		if (name[n] == '-' && --words == 0)
			break;
		a[n] = (char)tolower((unsigned char)name[n]);
	}
	a[n] = '\0';
	for (n = 0; given[n] && n + 1 < sizeof(b); n++)
		b[n] = given[n] == ' ' ? '-' : (char)tolower((unsigned char)given[n]);
	b[n] = '\0';
	return jt__edit_distance(a, b);
}

/* The three that are nearest; the first of equals. */
static void nearest(const char *given, const char *ret_names[3])
{
	unsigned best[3] = { UINT32_MAX, UINT32_MAX, UINT32_MAX };

	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		unsigned d = distance(g->name, given);
		int at = 3;

		while (at > 0 && d < best[at - 1])
			at--;
		if (at == 3)
			continue;
		for (int i = 2; i > at; i--) {
			best[i] = best[i - 1];
			ret_names[i] = ret_names[i - 1];
		}
		best[at] = d;
		ret_names[at] = g->name;
	}
}

int jt__ask_gpu(const char *name, struct jt_question *ret, struct jt_error *err)
{
	const struct jt_gpu *g = jt__gpu_find(name);
	const char *names[3] = { "", "", "" };

	for (const struct jt_gpu *row = jt__gpus; !g && row->name; row++)
		if (begins_with_words(row->name, name))
			g = row;
	if (!g)
		g = only_one(name);
	if (g) {
		jt__ask_gpu_row(g, ret);
		return JT_OK;
	}
	nearest(name, names);
	return jt__fail(err, JT_ENOENT, "predict",
	                "unknown GPU '%.40s'; the nearest are '%s', '%s' and '%s'", name, names[0],
	                names[1], names[2]);
}

/* ---- names ---- */

void jt__ask_group(const char *model, char *ret_group, size_t size)
{
	/* What names add to that of a backbone: how it was tuned, when, and how it is kept. */
	static const char *const added[] = { "-instruct", "-it",        "-chat", "-thinking",
		                             "-base",     "-hf",        "-fp8",  "-awq",
		                             "-gptq",     "-gptq-int4", "-2507", "-v0.1",
		                             "-v0.2",     "-v0.3" };
	const char *slash = strrchr(model, '/');
	size_t n;

	model = slash ? slash + 1 : model;
	jt__copy_text(ret_group, size, model, strlen(model));
	n = strlen(ret_group);
	for (size_t i = 0; i < n; i++)
		ret_group[i] = (char)tolower((unsigned char)ret_group[i]);
	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++) {
		size_t m = strlen(added[i]);

		if (n > m && strcmp(ret_group + n - m, added[i]) == 0) {
			ret_group[n -= m] = '\0';
			i = (size_t)-1; /* there may be another before it */
		}
	}
}

/* ---- config.json ---- */

static json_t *find(json_t *root, const char *key)
{
	json_t *v = json_object_get(json_object_get(root, "text_config"), key);

	if (!v || json_is_null(v))
		v = json_object_get(root, key);
	return json_is_null(v) ? NULL : v;
}

static const char *text(json_t *root, const char *key)
{
	const char *s = json_string_value(find(root, key));

	return s ? s : "";
}

static void drop(json_t *root, const char *key)
{
	json_object_del(json_object_get(root, "text_config"), key);
	json_object_del(root, key);
}

/* -1: the quantisation is none that is known. */
static int quantised(const json_t *q, enum jt_weights *ret)
{
	const char *method = json_string_value(json_object_get(q, "quant_method"));
	bool eight = json_is_true(json_object_get(q, "load_in_8bit")) ||
	             json_integer_value(json_object_get(q, "bits")) == 8;

	if (!method)
		return -1;
	if (strcmp(method, "bitsandbytes") == 0)
		*ret = eight ? JT_W_INT8 : JT_W_NF4;
	else if (strcmp(method, "gptq") == 0 || strcmp(method, "awq") == 0)
		*ret = eight ? JT_W_INT8 : *method == 'g' ? JT_W_GPTQ : JT_W_AWQ;
	else if (strcmp(method, "fbgemm_fp8") == 0 || strcmp(method, "modelopt") == 0)
		*ret = JT_W_FP8;
	else
		return jt__weights_parse(method, ret) < 0 ? -1 : 0;
	return 0;
}

static int ask_weights(json_t *root, const char *where, enum jt_weights *ret, struct jt_error *err)
{
	json_t *q = find(root, "quantization_config");
	const char *name = text(root, "torch_dtype");

	if (!*name)
		name = text(root, "dtype");
	*ret = JT_W_BF16;
	if (q && quantised(q, ret) < 0)
		return jt__fail(err, JT_EINVAL, where,
		                "'quantization_config': 'quant_method' \"%.32s\" is not known; say "
		                "how weights are kept: --dtype",
		                json_string_value(json_object_get(q, "quant_method")) ?: "");
	if (!q && strncmp(name, "float8", 6) == 0)
		*ret = JT_W_FP8;
	else if (!q && *name && jt__weights_parse(name, ret) < 0)
		return jt__fail(err, JT_EINVAL, where, "'torch_dtype' \"%.32s\" is not known",
		                name);
	return JT_OK;
}

static void take_arch(const struct jt_arch *a, struct jt_question *q)
{
	q->n_layers = a->n_layers;
	q->hidden_size = a->hidden_size;
	q->intermediate_size = a->intermediate_size;
	q->n_heads = a->n_heads;
	q->n_kv_heads = a->n_kv_heads;
	q->head_dim = a->head_dim;
	q->vocab_size = a->vocab_size;
	q->ffn_mats = a->ffn_mats;
	q->tie_embeddings = a->tie_embeddings;
	if (a->n_experts) {
		q->n_experts = a->n_experts;
		q->experts_per_tok = a->experts_per_tok;
		q->moe_intermediate_size = a->expert_size;
		q->n_shared_experts = a->shared_size / (double)a->expert_size;
		q->first_k_dense = a->n_dense_layers;
	}
	jt__copy_text(q->model, sizeof(q->model), a->name, strlen(a->name));
	jt__ask_group(a->name, q->model_group, sizeof(q->model_group));
}

/* Attention of two kinds, which arch.c leaves to us: latent, and layers that see a window only. */
static int ask_attention(json_t *root, const char *where, struct jt_question *q,
                         struct jt_error *err)
{
	json_t *rank = find(root, "kv_lora_rank"), *window = find(root, "sliding_window");
	json_t *use = find(root, "use_sliding_window");

	if ((rank && !(json_number_value(rank) >= 1)) ||
	    (window && json_is_number(window) && !(json_number_value(window) >= 0)))
		return jt__fail(err, JT_EINVAL, where, "'%s' is not a number of at least 1",
		                rank && !(json_number_value(rank) >= 1) ? "kv_lora_rank"
		                                                        : "sliding_window");
	q->kv_lora_rank = rank ? json_number_value(rank) : NAN;
	q->sliding_window = NAN;
	if (json_is_number(window) && !json_is_false(use))
		q->sliding_window = json_number_value(window);
	return JT_OK;
}

/* What is left of the file once our part is taken is read by arch.c. */
static int ask_rest(json_t *root, const char *where, struct jt_question *q, struct jt_error *err)
{
	static const char *const ours[] = { "kv_lora_rank", "quantization_config", "torch_dtype",
		                            "dtype" };
	struct jt_error inner;
	struct jt_arch arch;
	char *rest;
	int status;

	for (size_t i = 0; i < JT_ARRAY_LEN(ours); i++)
		drop(root, ours[i]);
	rest = json_dumps(root, JSON_COMPACT);
	if (!rest)
		return jt__fail(err, JT_ENOMEM, where, "no memory to read it");
	status = jt__arch_parse(rest, strlen(rest), &arch, &inner);
	free(rest);
	if (status < 0)
		return jt__fail(err, status, where, "%s", inner.message);
	take_arch(&arch, q);
	return JT_OK;
}

/* A file may have layers that its other fields do not speak of. */
static int check_layers(json_t *root, const char *where, struct jt_error *err)
{
	static const char *const without_attention[] = { "mamba_d_state", "ssm_cfg",
		                                         "ssm_state_size", "state_size",
		                                         "linear_num_key_heads" };
	static const char *const some_mixtures[] = { "expert_layer_period",
		                                     "interleave_moe_layer_step",
		                                     "decoder_sparse_step", "moe_layer_freq" };

	for (size_t i = 0; i < JT_ARRAY_LEN(without_attention); i++)
		if (find(root, without_attention[i]))
			return jt__fail(
				err, JT_EINVAL, where,
				"'%s': some layers are not attention, and the file does not say "
				"how large they are; use --csv with params_total_b",
				without_attention[i]);
	for (size_t i = 0; i < JT_ARRAY_LEN(some_mixtures); i++)
		if (json_number_value(find(root, some_mixtures[i])) > 1)
			return jt__fail(
				err, JT_EINVAL, where,
				"'%s': mixtures in some layers only are not understood; use "
				"--csv with params_total_b and params_active_b",
				some_mixtures[i]);
	return JT_OK;
}

int jt__ask_config(const char *json, size_t n, const char *where, struct jt_question *ret,
                   struct jt_error *err)
{
	struct jt_question q = *ret;
	json_error_t je;
	json_t *root = json_loadb(json, n, 0, &je);
	int status;

	if (!root)
		return jt__fail(err, JT_EINVAL, where, "line %d: %s", je.line, je.text);
	if (!json_is_object(root)) {
		json_decref(root);
		return jt__fail(err, JT_EINVAL, where, "not a JSON object");
	}
	status = check_layers(root, where, err);
	if (status == JT_OK && q.weights == JT_N_WEIGHTS)
		status = ask_weights(root, where, &q.weights, err);
	if (status == JT_OK)
		status = ask_attention(root, where, &q, err);
	if (status == JT_OK)
		status = ask_rest(root, where, &q, err);
	if (status == JT_OK)
		*ret = q;
	json_decref(root);
	return status;
}
