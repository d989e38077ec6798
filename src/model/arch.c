/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dimensions of a decoder-only transformer from its Hugging Face
 * config.json. Model families name the same thing differently: each dimension has a list of
 * keys, first found wins, and the `text_config` of a multimodal model is looked into first.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "model/config_json.h"

#define MAX_CONFIG_BYTES (1u << 20)
#define MAX_DIMENSION 100000000.0

json_t *jt__config_find(const struct jt_config_json *c, const char *key)
{
	json_t *v = json_object_get(c->text, key);

	if (!v || json_is_null(v))
		v = json_object_get(c->root, key);
	return json_is_null(v) ? NULL : v;
}

static int read_number(const struct jt_config_json *c, const struct jt_config_number *w)
{
	for (const char *const *key = w->keys; *key; key++) {
		json_t *v = jt__config_find(c, *key);
		double d = json_number_value(v);

		if (!v)
			continue;
		if (!json_is_number(v) || !(d >= w->min && d <= MAX_DIMENSION) || d != floor(d))
			return jt__fail(c->err, JT_EINVAL, c->where,
			                "'%s' is not a whole number of at least %g", *key, w->min);
		*w->to = d;
		return JT_OK;
	}
	if (w->fallback < 0)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'%s' is missing: try the model's own config.json", w->keys[0]);
	if (!isnan(w->fallback))
		*w->to = w->fallback;
	return JT_OK;
}

int jt__config_numbers(const struct jt_config_json *c, const struct jt_config_number *numbers,
                       size_t n)
{
	int status = JT_OK;

	for (size_t i = 0; i < n && status == JT_OK; i++)
		status = read_number(c, &numbers[i]);
	return status;
}

static bool is_one_of(const char *text, const char *const *list)
{
	for (; text && *list; list++) {
		if (strcmp(text, *list) == 0)
			return true;
	}
	return false;
}

static const char *type_of(const struct jt_config_json *c)
{
	return json_string_value(jt__config_find(c, "model_type"));
}

/* The config does not say how many matrices a feed-forward block has; the family does. */
static bool is_plain_ffn(const struct jt_config_json *c)
{
	static const char *const plain[] = { "gpt2",       "gpt_neo",  "gpt_neox",    "gptj",
		                             "opt",        "bloom",    "gpt_bigcode", "falcon",
		                             "phi",        "mpt",      "starcoder2",  "codegen",
		                             "nemotron_h", "nemotron", "persimmon",   NULL };

	return is_one_of(type_of(c), plain);
}

/* clang-format off: a line a dimension, the usual key first: it is the one an error names */
static int read_attention(const struct jt_config_json *c, struct jt_arch *a)
{
	bool one_kv_head = json_is_true(jt__config_find(c, "multi_query")) &&
	                   !json_is_true(jt__config_find(c, "new_decoder_architecture"));
	bool is_latent = jt__config_find(c, "kv_lora_rank") != NULL;
	int status = JT_CONFIG_NUMBERS(
		c, { &a->n_heads, 1, -1, { "num_attention_heads", "n_head", "n_heads" } });

	if (status == JT_OK)
		status = JT_CONFIG_NUMBERS(
			c,
			{ &a->n_kv_heads,
		          1,
		          one_kv_head ? 1 : a->n_heads,
		          { "num_key_value_heads", "num_kv_heads", "n_head_kv" } },
			{ &a->head_dim,
		          1,
		          floor(a->hidden_size / a->n_heads),
		          { "head_dim", "attention_head_dim" } },
			{ &a->kv_lora_rank, 1, NAN, { "kv_lora_rank" } },
			{ &a->q_lora_rank, 0, is_latent ? 0 : NAN, { "q_lora_rank" } },
			{ &a->qk_nope_head_dim, 1, NAN, { "qk_nope_head_dim" } },
			{ &a->qk_rope_head_dim, 1, NAN, { "qk_rope_head_dim" } },
			{ &a->v_head_dim, 1, NAN, { "v_head_dim" } });
	if (status == JT_OK && fmod(a->n_heads, a->n_kv_heads) != 0)
		return jt__fail(
			c->err, JT_EINVAL, c->where,
			"'num_key_value_heads' (%g) does not divide 'num_attention_heads' (%g)",
			a->n_kv_heads, a->n_heads);
	return status;
}

/* How large, and how many see every token: their number, or their size together. */
static int read_expert_sizes(const struct jt_config_json *c, struct jt_arch *a)
{
	static const char *const has_one[] = { "llama4_text", "llama4", NULL };
	double size, *one = &a->moe_intermediate_size, *n_shared = &a->n_shared_experts;
	int status = JT_CONFIG_NUMBERS(
		c,
		{ one,
	          1,
	          -1,
	          { "moe_intermediate_size", "expert_ffn_hidden_size", "intermediate_size",
	            "ffn_dim", "ffn_hidden_size" } },
		{ n_shared,
	          0,
	          is_one_of(type_of(c), has_one),
	          { "n_shared_experts", "num_shared_experts", "moe_num_shared_experts" } });

	if (status == JT_OK)
		status = JT_CONFIG_NUMBERS(c, { &size,
		                                0,
		                                *n_shared * *one,
		                                { "shared_expert_intermediate_size",
		                                  "moe_shared_expert_intermediate_size",
		                                  "shared_intermediate_size" } });
	if (status == JT_OK)
		*n_shared = size / *one;
	return status;
}

static int read_experts(const struct jt_config_json *c, struct jt_arch *a)
{
	double n_experts;
	int status = JT_CONFIG_NUMBERS(c, { &n_experts,
	                                    0,
	                                    0,
	                                    { "num_local_experts", "num_experts",
	                                      "n_routed_experts", "moe_num_experts" } });

	if (status < 0 || n_experts < 2) /* one expert is a dense layer */
		return status;
	a->n_experts = n_experts;
	status = JT_CONFIG_NUMBERS(
		c, { &a->experts_per_tok,
	             1,
	             -1,
	             { "num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_top_k" } });
	if (status == JT_OK && a->experts_per_tok > n_experts)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'num_experts_per_tok' (%g) is more than 'num_local_experts' (%g)",
		                a->experts_per_tok, n_experts);
	if (status == JT_OK)
		status = read_expert_sizes(c, a);
	return status == JT_OK ? jt__config_dense_layers(c, a) : status;
}

static int read_ffn(const struct jt_config_json *c, struct jt_arch *a)
{
	bool plain = is_plain_ffn(c);
	/* GPT-2 and its kin leave the size out where it is four times the width. Llama 4 has one
	 * more key for blocks without experts. */
	int status = JT_CONFIG_NUMBERS(
		c,
		{ &a->intermediate_size,
	          1,
	          plain ? 4 * a->hidden_size : -1,
	          { "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size" } },
		{ &a->intermediate_size, 1, NAN, { "intermediate_size_mlp" } });

	a->ffn_mats = plain ? 2 : 3;
	return status == JT_OK ? read_experts(c, a) : status;
}
/* clang-format on */

/* ---- weights ---- */

int jt__weights_parse(const char *name, enum jt_weights *ret)
{
	static const struct {
		const char *name;
		enum jt_weights weights;
	} names[] = {
		{ "bfloat16", JT_W_BF16 }, { "bf16", JT_W_BF16 }, { "float16", JT_W_FP16 },
		{ "fp16", JT_W_FP16 },     { "half", JT_W_FP16 }, { "float32", JT_W_FP32 },
		{ "fp32", JT_W_FP32 },     { "fp8", JT_W_FP8 },   { "mxfp4", JT_W_MXFP4 },
		{ "int8", JT_W_INT8 },     { "nf4", JT_W_NF4 },   { "awq", JT_W_AWQ },
		{ "gptq", JT_W_GPTQ },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++) {
		if (strcmp(name, names[i].name) == 0) {
			*ret = names[i].weights;
			return JT_OK;
		}
	}
	return JT_EINVAL;
}

/* Packed in groups, of 2 to 8 bits; the formats have one size, whatever they are called. */
static int read_packed(const json_t *quant, const char *method, struct jt_arch *a)
{
	const json_t *given = json_object_get(quant, "bits");
	json_int_t bits = given ? json_integer_value(given) : 4;

	if (bits < 2 || bits > 8)
		return JT_EINVAL;
	a->weights = bits == 8 ? JT_W_INT8 : strcmp(method, "awq") == 0 ? JT_W_AWQ : JT_W_GPTQ;
	a->bytes_per_param = ((double)bits + 0.25) / 8; /* size.c */
	return JT_OK;
}

static int read_quantised(const json_t *quant, struct jt_arch *a)
{
	static const char *const fp8s[] = { "fp8", "fbgemm_fp8", "modelopt", NULL };
	static const char *const packed[] = { "gptq", "awq", "hqq", "quanto", NULL };
	const char *method = json_string_value(json_object_get(quant, "quant_method"));

	if (is_one_of(method, packed))
		return read_packed(quant, method, a);
	if (is_one_of(method, fp8s))
		a->weights = JT_W_FP8;
	else if (method && strcmp(method, "bitsandbytes") == 0)
		a->weights =
			json_is_true(json_object_get(quant, "load_in_8bit")) ? JT_W_INT8 : JT_W_NF4;
	else
		return method ? jt__weights_parse(method, &a->weights) : JT_EINVAL;
	return JT_OK;
}

static int read_weights(const struct jt_config_json *c, struct jt_arch *a)
{
	json_t *dtype = jt__config_find(c, "torch_dtype");
	json_t *quant = jt__config_find(c, "quantization_config");
	const char *name = json_string_value(dtype ? dtype : jt__config_find(c, "dtype"));

	if (a->weights != JT_N_WEIGHTS)
		return JT_OK;
	if (quant && read_quantised(quant, a) < 0)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'quantization_config': method or bits are not known; predict "
		                "--dtype says how weights are kept");
	if (quant)
		return JT_OK;
	a->weights = JT_W_BF16;
	if (name && strncmp(name, "float8", 6) == 0)
		a->weights = JT_W_FP8;
	else if (name && jt__weights_parse(name, &a->weights) < 0)
		return jt__fail(c->err, JT_EINVAL, c->where, "'torch_dtype' \"%.32s\" is not known",
		                name);
	return JT_OK;
}

/* ---- files ---- */

/* Encoders read, and generate nothing; models of both kinds do half of their work elsewhere. */
static int refuse_encoders(const struct jt_config_json *c)
{
	static const char *const encoders[] = { "bert",   "roberta",    "xlm-roberta", "distilbert",
		                                "albert", "electra",    "deberta",     "deberta-v2",
		                                "mpnet",  "nomic_bert", "modernbert",  "t5",
		                                "mt5",    "bart",       "whisper",     NULL };

	if (!is_one_of(type_of(c), encoders))
		return JT_OK;
	return jt__fail(c->err, JT_EINVAL, c->where,
	                "'model_type' \"%s\": an encoder, and only decoders are described",
	                type_of(c));
}

static int read_object(const struct jt_config_json *c, struct jt_arch *a)
{
	const char *name = json_string_value(json_object_get(c->root, "_name_or_path"));
	int status = refuse_encoders(c);

	if (status < 0)
		return status;
	if (!name || !*name)
		name = type_of(c);
	name = name ? name : "unnamed";
	jt__copy_text(a->model, sizeof(a->model), name, strlen(name));
	/* Files leave a key out where it has the library's default, which is to tie. */
	a->tie_embeddings = !json_is_false(jt__config_find(c, "tie_word_embeddings"));
	/* clang-format off */
	status = JT_CONFIG_NUMBERS(c,
		{ &a->n_layers, 1, -1, { "num_hidden_layers", "n_layer", "n_layers", "num_layers" } },
		{ &a->hidden_size, 1, -1, { "hidden_size", "n_embd", "d_model" } },
		{ &a->vocab_size, 1, -1, { "vocab_size", "n_vocab" } });
	/* clang-format on */
	if (status == JT_OK && a->n_layers > JT_ARCH_MAX_LAYERS)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'num_hidden_layers' (%g) is more than %d", a->n_layers,
		                JT_ARCH_MAX_LAYERS);
	if (status == JT_OK)
		status = jt__config_layers(c, a);
	if (status == JT_OK)
		status = read_attention(c, a);
	if (status == JT_OK)
		status = read_ffn(c, a);
	if (status < 0)
		return status;
	return read_weights(c, a);
}

/* The object inside that describes the language model, by whatever name; @root where there is none.
 */
static json_t *find_text(json_t *root)
{
	static const char *const keys[] = { "text_config", "llm_config", "language_config" };
	json_t *thinker = json_object_get(root, "thinker_config"); /* Qwen's Omni: one deeper */
	json_t *in = json_is_object(thinker) ? thinker : root;

	for (size_t i = 0; i < JT_ARRAY_LEN(keys); i++)
		if (json_is_object(json_object_get(in, keys[i])))
			return json_object_get(in, keys[i]);
	return in;
}

/*
 * An inner object is written without what has the default of its class in transformers
 * (configuration_NAME.py), which a file of its own has written out.
 */
static int add_defaults(json_t *text)
{
	/* clang-format off */
	static const struct {
		const char *type, *json;
	} classes[] = {
		{ "gemma3_text", "{\"vocab_size\":262208,\"hidden_size\":2304,\"intermediate_size\":9216,"
			"\"num_hidden_layers\":26,\"num_attention_heads\":8,\"num_key_value_heads\":4,"
			"\"head_dim\":256,\"sliding_window\":4096,\"sliding_window_pattern\":6}" },
		{ "llama", "{\"vocab_size\":32000,\"hidden_size\":4096,\"intermediate_size\":11008,"
			"\"num_hidden_layers\":32,\"num_attention_heads\":32,\"tie_word_embeddings\":false}" },
		{ "mistral", "{\"vocab_size\":32000,\"hidden_size\":4096,\"intermediate_size\":14336,"
			"\"num_hidden_layers\":32,\"num_attention_heads\":32,\"num_key_value_heads\":8,"
			"\"sliding_window\":4096,\"tie_word_embeddings\":false}" },
	};
	/* clang-format on */
	const char *type = json_string_value(json_object_get(text, "model_type"));

	for (size_t i = 0; type && i < JT_ARRAY_LEN(classes); i++) {
		json_t *defaults;
		int failed;

		if (strcmp(type, classes[i].type) != 0)
			continue;
		defaults = json_loads(classes[i].json, 0, NULL);
		failed = defaults ? json_object_update_missing(text, defaults) : -1;
		json_decref(defaults);
		return failed ? JT_ENOMEM : JT_OK;
	}
	return JT_OK;
}

int jt__arch_parse(const char *json, size_t n, const char *where, struct jt_arch *arch,
                   struct jt_error *err)
{
	struct jt_config_json c = { .where = where, .err = err };
	struct jt_arch a = *arch;
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
	c.text = find_text(c.root);
	if (c.text != c.root && add_defaults(c.text) < 0) {
		status = jt__fail(err, JT_ENOMEM, where, "no memory to parse it");
		goto out;
	}
	status = read_object(&c, &a);
	if (status == JT_OK)
		*arch = a;
out:
	json_decref(c.root);
	return status;
}

int jt__arch_load(const char *path, struct jt_arch *ret_arch, struct jt_error *err)
{
	struct jt_arch arch = { .weights = JT_N_WEIGHTS };
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
		status = jt__arch_parse(text, n, path, &arch, err);
	if (status == JT_OK)
		*ret_arch = arch;
out:
	jt__free(text);
	fclose(f);
	return status;
}
