/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dimensions of a decoder-only transformer from its Hugging Face
 * config.json. Model families name the same thing differently: each dimension has a list of
 * keys, first found wins, and a `text_config` (multimodal models) is looked into first.
 * Biases, norms and position tables (below 1 % of a model), sliding windows and vision towers are
 * left out.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "model/model.h"

#define MAX_CONFIG_BYTES (1u << 20)
#define MAX_DIMENSION 100000000.0

/* Keys of one dimension, the usual one first: it is the one an error names. */
static const char *const layer_keys[] = { "num_hidden_layers", "n_layer", "n_layers", "num_layers",
	                                  NULL };
static const char *const hidden_keys[] = { "hidden_size", "n_embd", "d_model", NULL };
static const char *const head_keys[] = { "num_attention_heads", "n_head", "n_heads", NULL };
static const char *const kv_head_keys[] = { "num_key_value_heads", "num_kv_heads", "n_head_kv",
	                                    NULL };
static const char *const head_dim_keys[] = { "head_dim", "attention_head_dim", NULL };
static const char *const ffn_keys[] = { "intermediate_size", "n_inner", "ffn_dim",
	                                "ffn_hidden_size", NULL };
static const char *const vocab_keys[] = { "vocab_size", "n_vocab", NULL };
static const char *const expert_keys[] = { "num_local_experts", "num_experts", "n_routed_experts",
	                                   "moe_num_experts", NULL };
static const char *const active_keys[] = { "num_experts_per_tok", "num_experts_per_token", "moe_k",
	                                   "moe_top_k", NULL };
static const char *const expert_size_keys[] = { "moe_intermediate_size", "expert_ffn_hidden_size",
	                                        NULL };

struct config {
	json_t *text; /* text_config, else the whole */
	json_t *root;
	const char *where;
	struct jt_error *err;
};

static json_t *find(const struct config *c, const char *key)
{
	json_t *v = json_object_get(c->text, key);

	if (!v || json_is_null(v))
		v = json_object_get(c->root, key);
	return json_is_null(v) ? NULL : v;
}

/* A whole number from @min up; @fallback where no key is there, unless that is negative: then it
 * must be. */
static int number(const struct config *c, const char *const *k, double min, double fallback,
                  uint32_t *ret_value)
{
	for (size_t i = 0; k[i]; i++) {
		json_t *v = find(c, k[i]);
		double d = json_number_value(v);

		if (!v)
			continue;
		if (!json_is_number(v) || !(d >= min && d <= MAX_DIMENSION) || d != floor(d))
			return jt__fail(c->err, JT_EINVAL, c->where,
			                "'%s' is not a whole number of at least %g", k[i], min);
		*ret_value = (uint32_t)d;
		return JT_OK;
	}
	if (fallback < 0)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'%s' is missing: try the model's own config.json", k[0]);
	*ret_value = (uint32_t)fallback;
	return JT_OK;
}

static bool is_one_of(const char *text, const char *const *list)
{
	for (; text && *list; list++) {
		if (strcmp(text, *list) == 0)
			return true;
	}
	return false;
}

/* The config does not say how many matrices a feed-forward block has; the family does. */
static bool is_plain_ffn(const struct config *c)
{
	static const char *const plain[] = { "gpt2",        "gpt_neo",    "gpt_neox", "gptj",
		                             "gpt_bigcode", "opt",        "bloom",    "falcon",
		                             "phi",         "starcoder2", "mpt",      "codegen",
		                             "nemotron",    "persimmon",  NULL };

	return is_one_of(json_string_value(find(c, "model_type")), plain);
}

static int parse_attention(const struct config *c, struct jt_arch *a)
{
	bool one_kv_head = json_is_true(find(c, "multi_query")) &&
	                   !json_is_true(find(c, "new_decoder_architecture"));
	int status;

	if (find(c, "kv_lora_rank"))
		return jt__fail(c->err, JT_ENOTSUP, c->where,
		                "'kv_lora_rank': multi-head latent attention is not modelled");
	if ((status = number(c, head_keys, 1, -1, &a->n_heads)) < 0)
		return status;
	if ((status = number(c, kv_head_keys, 1, one_kv_head ? 1 : a->n_heads, &a->n_kv_heads)) < 0)
		return status;
	if (a->n_heads % a->n_kv_heads != 0)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' (%u) does not divide '%s' (%u)",
		                kv_head_keys[0], a->n_kv_heads, head_keys[0], a->n_heads);
	return number(c, head_dim_keys, 1, floor((double)a->hidden_size / a->n_heads),
	              &a->head_dim);
}

/* Layers without experts: the first few (DeepSeek, GLM), or a list of them (Qwen). */
static int parse_dense_layers(const struct config *c, struct jt_arch *a)
{
	static const char *const first_keys[] = { "first_k_dense_replace", NULL };
	size_t listed = json_array_size(find(c, "mlp_only_layers"));
	int status = number(c, first_keys, 0, (double)listed, &a->n_dense_layers);

	if (status == JT_OK && a->n_dense_layers > a->n_layers)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is more than '%s' (%u)",
		                first_keys[0], layer_keys[0], a->n_layers);
	return status;
}

static int parse_experts(const struct config *c, struct jt_arch *a)
{
	static const char *const n_shared_keys[] = { "n_shared_experts", "num_shared_experts",
		                                     NULL };
	static const char *const shared_size_keys[] = { "shared_expert_intermediate_size", NULL };
	uint32_t n_shared;
	int status;

	if ((status = number(c, expert_keys, 0, 0, &a->n_experts)) < 0)
		return status;
	if (a->n_experts < 2) { /* one expert is a dense layer */
		a->n_experts = 0;
		return JT_OK;
	}
	if ((status = number(c, active_keys, 1, -1, &a->experts_per_tok)) < 0)
		return status;
	if (a->experts_per_tok > a->n_experts)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' (%u) is more than '%s' (%u)",
		                active_keys[0], a->experts_per_tok, expert_keys[0], a->n_experts);
	if ((status = number(c, expert_size_keys, 1, a->intermediate_size, &a->expert_size)) < 0 ||
	    (status = number(c, n_shared_keys, 0, 0, &n_shared)) < 0 ||
	    (status = number(c, shared_size_keys, 0, (double)n_shared * a->expert_size,
	                     &a->shared_size)) < 0)
		return status;
	return parse_dense_layers(c, a);
}

static int parse_ffn(const struct config *c, struct jt_arch *a)
{
	bool plain = is_plain_ffn(c);
	int status;

	a->ffn_mats = plain ? 2 : 3;
	/* GPT-2 and its kin leave the size out where it is four times the width. */
	status = number(c, ffn_keys, 1, plain ? 4.0 * a->hidden_size : -1, &a->intermediate_size);
	return status < 0 ? status : parse_experts(c, a);
}

/* Bytes per weight that a quantisation leaves, scales and zero points of its groups included; 0:
 * unknown. */
static double quantised_bytes(const json_t *q)
{
	const char *method = json_string_value(json_object_get(q, "quant_method"));
	const json_t *bits = json_object_get(q, "bits");
	static const char *const eight[] = { "fp8", "fbgemm_fp8", "modelopt", "int8", NULL };
	static const char *const by_bits[] = { "gptq", "awq", "hqq", "quanto", NULL };

	if (is_one_of(method, eight))
		return 1;
	if (method && strcmp(method, "mxfp4") == 0)
		return 4.25 / 8; /* 4 bits and one 8-bit scale for 32 weights */
	if (method && strcmp(method, "bitsandbytes") == 0)
		return json_is_true(json_object_get(q, "load_in_8bit")) ? 1 : 4.5 / 8;
	if (is_one_of(method, by_bits) && json_integer_value(bits) >= 2 &&
	    json_integer_value(bits) <= 8)
		return ((double)json_integer_value(bits) + 0.25) /
		       8; /* fp16 scale and zero for 128 */
	return 0;
}

static int parse_dtype(const struct config *c, struct jt_arch *a)
{
	static const char *const halves[] = { "bfloat16", "float16", "half", NULL };
	static const char *const fp8s[] = { "float8_e4m3fn", "float8_e5m2", NULL };
	json_t *dtype = find(c, "torch_dtype"), *quant = find(c, "quantization_config");
	const char *name = json_string_value(dtype ? dtype : find(c, "dtype"));

	a->weight_bytes_per_param = 2;
	if (name && strcmp(name, "float32") == 0)
		a->weight_bytes_per_param = 4;
	else if (is_one_of(name, fp8s))
		a->weight_bytes_per_param = 1;
	else if (name && !is_one_of(name, halves))
		return jt__fail(c->err, JT_EINVAL, c->where, "'torch_dtype' \"%.32s\" is not known",
		                name);
	a->kv_bytes_per_elem = JT_MAX(a->weight_bytes_per_param, 2);
	if (quant && (a->weight_bytes_per_param = quantised_bytes(quant)) <= 0)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'quantization_config': method or bits not known");
	return JT_OK;
}

static int parse_object(const struct config *c, struct jt_arch *a)
{
	json_t *tie = find(c, "tie_word_embeddings");
	const char *name = json_string_value(json_object_get(c->root, "_name_or_path"));
	int status;

	if (!name || !*name)
		name = json_string_value(find(c, "model_type"));
	name = name ? name : "unnamed";
	jt__copy_text(a->name, sizeof(a->name), name, strlen(name));
	/* Files leave a key out where it has the library's default, which is to tie. */
	a->tie_embeddings = !json_is_false(tie);
	if ((status = number(c, layer_keys, 1, -1, &a->n_layers)) < 0 ||
	    (status = number(c, hidden_keys, 1, -1, &a->hidden_size)) < 0 ||
	    (status = number(c, vocab_keys, 1, -1, &a->vocab_size)) < 0 ||
	    (status = parse_attention(c, a)) < 0 || (status = parse_ffn(c, a)) < 0)
		return status;
	return parse_dtype(c, a);
}

static int parse(const char *json, size_t n, const char *where, struct jt_arch *ret_arch,
                 struct jt_error *err)
{
	struct jt_arch arch = { .name = "" };
	struct config c = { .where = where, .err = err };
	json_error_t je;
	int status;

	c.root = json_loadb(json, n, 0, &je);
	/* Jansson gives most of its failed allocations no code and no text. */
	if (!c.root && (json_error_code(&je) == json_error_out_of_memory || !je.text[0]))
		return jt__fail(err, JT_ENOMEM, where, "no memory to parse it");
	if (!c.root)
		return jt__fail(err, JT_EINVAL, where, "line %d: %s", je.line, je.text);
	if (!json_is_object(c.root)) {
		status = jt__fail(err, JT_EINVAL, where, "not a JSON object");
		goto out;
	}
	c.text = json_object_get(c.root, "text_config");
	if (!json_is_object(c.text))
		c.text = c.root;
	status = parse_object(&c, &arch);
	if (status == JT_OK)
		*ret_arch = arch;
out:
	json_decref(c.root);
	return status;
}

int jt__arch_parse(const char *json, size_t n, struct jt_arch *ret_arch, struct jt_error *err)
{
	return parse(json, n, "config.json", ret_arch, err);
}

int jt__arch_load(const char *path, struct jt_arch *ret_arch, struct jt_error *err)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t n;
	int status;

	if (!f)
		return jt__fail(err, errno == EACCES ? JT_EPERM : JT_ENOENT, path,
		                "cannot open: %s", strerror(errno));
	text = jt__alloc(1, MAX_CONFIG_BYTES + 1);
	if (!text) {
		status = jt__fail(err, JT_ENOMEM, path, "no memory to read it");
		goto out;
	}
	n = fread(text, 1, MAX_CONFIG_BYTES + 1, f);
	if (ferror(f))
		status = jt__fail(err, JT_EIO, path, "cannot read: %s", strerror(errno));
	else if (n > MAX_CONFIG_BYTES)
		status = jt__fail(err, JT_ELIMIT, path, "larger than %u bytes", MAX_CONFIG_BYTES);
	else
		status = parse(text, n, path, ret_arch, err);
out:
	jt__free(text);
	fclose(f);
	return status;
}

/* Query and output projections of all heads, key and value of the KV heads. */
static double attention_params(const struct jt_arch *a)
{
	return 2.0 * a->hidden_size * a->head_dim * ((double)a->n_heads + a->n_kv_heads);
}

/* A feed-forward block of intermediate size @size. */
static double ffn_params(const struct jt_arch *a, double size)
{
	return (double)a->ffn_mats * a->hidden_size * size;
}

static double head_params(const struct jt_arch *a)
{
	return (double)a->hidden_size * a->vocab_size;
}

/* Parameters in matrix products when @n_experts of each mixture layer take part. */
static double params_with(const struct jt_arch *a, double n_experts)
{
	double dense = a->n_experts ? a->n_dense_layers : a->n_layers;
	double mixed = a->n_layers - dense;
	double router = (double)a->hidden_size * a->n_experts;

	return a->n_layers * attention_params(a) + dense * ffn_params(a, a->intermediate_size) +
	       mixed * (ffn_params(a, n_experts * a->expert_size + a->shared_size) + router) +
	       head_params(a);
}

double jt__arch_matmul_params(const struct jt_arch *a, bool active_only)
{
	return params_with(a, active_only ? a->experts_per_tok : a->n_experts);
}

double jt__arch_params(const struct jt_arch *a)
{
	return params_with(a, a->n_experts) + (a->tie_embeddings ? 0 : head_params(a));
}

/*
 * Tokens choose their experts independently and evenly: of E experts, of which a token takes k,
 * E (1 - (1 - k/E)^n) are touched by n tokens.
 */
double jt__arch_weight_bytes_step(const struct jt_arch *a, double n_tokens)
{
	double untouched;

	if (n_tokens <= 0)
		return 0;
	if (!a->n_experts)
		return params_with(a, 0) * a->weight_bytes_per_param;
	untouched = pow(1 - (double)a->experts_per_tok / a->n_experts, n_tokens);
	return params_with(a, a->n_experts * (1 - untouched)) * a->weight_bytes_per_param;
}

double jt__arch_kv_bytes_per_token(const struct jt_arch *a)
{
	return 2.0 * a->n_layers * a->n_kv_heads * a->head_dim * a->kv_bytes_per_elem;
}
