/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which layers of a config.json are what: attention, attention to a window, a state-space or
 * linear-attention layer, a feed-forward block with experts or without. Families say it as a text
 * of letters, a list of names, or a period and an offset. What is not understood is an error: a
 * wrong count is worse than none.
 */
#include <math.h>
#include <string.h>
#include "model/config_json.h"

enum kind { ATTENTION, SSM, DENSE, EXPERTS, WINDOW, N_KINDS };

static int wrong_length(const struct jt_config_json *c, const char *key, size_t n, double layers)
{
	return jt__fail(c->err, JT_EINVAL, c->where, "'%s' has %zu layers, not the %g of the model",
	                key, n, layers);
}

/* Nemotron-H: each layer is one thing only. */
static int read_letters(const struct jt_config_json *c, const char *letters, struct jt_arch *a)
{
	static const char key[] = "hybrid_override_pattern", known[] = "*M-E"; /* as enum kind */
	double n[N_KINDS] = { 0 };

	if (strlen(letters) != a->n_layers)
		return wrong_length(c, key, strlen(letters), a->n_layers);
	for (const char *p = letters; *p; p++) {
		const char *at = strchr(known, *p);

		if (!at)
			return jt__fail(c->err, JT_EINVAL, c->where,
			                "'%s': layers of the kind '%c' are not understood", key,
			                *p);
		n[at - known]++;
	}
	a->n_attention_layers = n[ATTENTION];
	a->n_ssm_layers = n[SSM];
	a->n_ffn_layers = n[DENSE] + n[EXPERTS];
	a->first_k_dense = n[DENSE];
	return JT_OK;
}

static int read_names(const struct jt_config_json *c, const char *key, const json_t *names,
                      struct jt_arch *a)
{
	static const struct {
		const char *name;
		enum kind kind;
	} known[] = {
		{ "attention", ATTENTION },
		{ "full_attention", ATTENTION },
		{ "sliding_attention", WINDOW },
		{ "chunked_attention", ATTENTION },
		{ "mamba", SSM },
		{ "mamba2", SSM },
		{ "linear_attention", SSM },
	};
	double n[N_KINDS] = { 0 };
	const json_t *item;
	size_t i;

	if (json_array_size(names) != a->n_layers)
		return wrong_length(c, key, json_array_size(names), a->n_layers);
	json_array_foreach(names, i, item)
	{
		const char *name = json_string_value(item) ? json_string_value(item) : "";
		size_t k = 0;

		while (k < JT_ARRAY_LEN(known) && strcmp(known[k].name, name) != 0)
			k++;
		if (k == JT_ARRAY_LEN(known))
			return jt__fail(c->err, JT_EINVAL, c->where,
			                "'%s': layers of the kind '%.32s' are not understood", key,
			                name);
		n[known[k].kind]++;
	}
	a->n_attention_layers = n[ATTENTION] + n[WINDOW];
	a->n_ssm_layers = n[SSM];
	a->n_sliding_layers = n[WINDOW];
	if (n[WINDOW] == 0)
		a->sliding_window = NAN;
	return JT_OK;
}

/* Layers of 0 … n - 1 whose number is @offset beyond a multiple of @period. */
static double count_periodic(double n, double period, double offset)
{
	return offset < n ? floor((n - 1 - offset) / period) + 1 : 0;
}

/* Every so many layers there is attention: Jamba, Bamba, Qwen3-Next; all have both: Falcon-H1. */
static int read_period(const struct jt_config_json *c, const char *why, struct jt_arch *a)
{
	const char *type = json_string_value(jt__config_find(c, "model_type"));
	const json_t *list = jt__config_find(c, "attn_layer_indices");
	double period = 0, offset = 0, every = 0;
	int status;

	a->n_ssm_layers = a->n_layers;
	if (type && strcmp(type, "falcon_h1") == 0) {
		a->n_attention_layers = a->n_layers;
		return JT_OK;
	}
	status = JT_CONFIG_NUMBERS(c, { &period, 1, 0, { "attn_layer_period" } },
	                           { &offset, 0, 0, { "attn_layer_offset" } },
	                           { &every, 1, 0, { "full_attention_interval" } });
	if (status < 0)
		return status;
	if (json_is_array(list))
		a->n_attention_layers = JT_MIN((double)json_array_size(list), a->n_layers);
	else if (period > 0)
		a->n_attention_layers = count_periodic(a->n_layers, period, offset);
	else if (every > 0)
		a->n_attention_layers = count_periodic(a->n_layers, every, every - 1);
	else
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'%s': some layers are not attention, and the file does not say "
		                "which in a way that is understood; predict --csv takes "
		                "params_total_b",
		                why);
	a->n_ssm_layers -= a->n_attention_layers;
	return JT_OK;
}

/* ---- state-space layers ---- */

/*
 * Mamba-2 (arXiv 2405.21060): one product makes gate, input, B and C of each group and a step of
 * each head; a convolution over input, B and C; one product back. Its state is input × state size.
 */
static int read_mamba2(const struct jt_config_json *c, struct jt_arch *a)
{
	double h = a->hidden_size, heads, head_dim, groups, state, conv, inner, convolved;
	int status;

	/* clang-format off */
	status = JT_CONFIG_NUMBERS(c,
		{ &heads, 1, -1, { "mamba_num_heads", "mamba_n_heads" } },
		{ &head_dim, 1, -1, { "mamba_head_dim", "mamba_d_head" } },
		{ &groups, 1, 1, { "n_groups", "mamba_n_groups" } },
		{ &state, 1, -1, { "ssm_state_size", "mamba_d_state" } },
		{ &conv, 1, 4, { "conv_kernel", "mamba_d_conv" } });
	/* clang-format on */
	if (status < 0)
		return status;
	inner = heads * head_dim;
	convolved = inner + 2 * groups * state;
	a->ssm_params = h * (inner + convolved + heads) + conv * convolved + inner * h;
	a->ssm_state = inner * state;
	return JT_OK;
}

/*
 * Mamba (arXiv 2312.00752): gate and input, a convolution, B, C and a step of low rank from the
 * input, the rates A of each state; one product back.
 */
static int read_mamba1(const struct jt_config_json *c, struct jt_arch *a)
{
	double h = a->hidden_size, expand, state, conv, inner, rank = ceil(h / 16);
	bool is_auto = json_is_string(jt__config_find(c, "mamba_dt_rank"));
	int status;

	/* clang-format off */
	status = JT_CONFIG_NUMBERS(c,
		{ &state, 1, -1, { "mamba_d_state", "ssm_state_size", "state_size" } },
		{ &expand, 1, 2, { "mamba_expand", "expand" } },
		{ &conv, 1, 4, { "mamba_d_conv", "conv_kernel" } },
		{ &rank, 1, NAN, { is_auto ? NULL : "mamba_dt_rank" } });
	/* clang-format on */
	if (status < 0)
		return status;
	inner = expand * h;
	a->ssm_params = h * 2 * inner + conv * inner + inner * (rank + 2 * state) + rank * inner +
	                inner * state + inner * h;
	a->ssm_state = inner * state;
	return JT_OK;
}

/*
 * Gated delta rule (arXiv 2412.06464): queries and keys of the key heads, values and gates of the
 * value heads, two numbers more of each of these; a convolution over the first three; one product
 * back. Its state is a matrix of key × value for each value head.
 */
static int read_delta(const struct jt_config_json *c, struct jt_arch *a)
{
	double h = a->hidden_size, k_heads, k_dim, v_heads, v_dim, conv, keys, values;
	int status;

	/* clang-format off */
	status = JT_CONFIG_NUMBERS(c,
		{ &k_heads, 1, -1, { "linear_num_key_heads" } },
		{ &k_dim, 1, -1, { "linear_key_head_dim" } },
		{ &v_heads, 1, -1, { "linear_num_value_heads" } },
		{ &v_dim, 1, -1, { "linear_value_head_dim" } },
		{ &conv, 1, 4, { "linear_conv_kernel_dim" } });
	/* clang-format on */
	if (status < 0)
		return status;
	keys = k_heads * k_dim;
	values = v_heads * v_dim;
	a->ssm_params =
		h * (2 * keys + 2 * values + 2 * v_heads) + conv * (2 * keys + values) + values * h;
	a->ssm_state = values * k_dim;
	return JT_OK;
}

/* A key that only files with such layers have. */
static const char *ssm_key(const struct jt_config_json *c)
{
	static const char *const keys[] = {
		"linear_num_key_heads", "mamba_d_state", "ssm_state_size",
		"state_size",           "ssm_cfg",       "lru_width"
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(keys); i++)
		if (jt__config_find(c, keys[i]))
			return keys[i];
	return NULL;
}

static int read_ssm(const struct jt_config_json *c, struct jt_arch *a)
{
	if (!(a->n_attention_layers > 0))
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'num_hidden_layers': no layer of the model is attention");
	a->is_hybrid = true;
	if (jt__config_find(c, "linear_num_key_heads"))
		return read_delta(c, a);
	if (jt__config_find(c, "mamba_num_heads") || jt__config_find(c, "mamba_n_heads"))
		return read_mamba2(c, a);
	return read_mamba1(c, a);
}

/* ---- all of it ---- */

/* Families in which a window holds for every layer. */
static bool has_only_windows(const struct jt_config_json *c)
{
	static const char *const families[] = { "mistral", "mixtral", "phi3", "starcoder2" };
	const char *type = json_string_value(jt__config_find(c, "model_type"));

	for (size_t i = 0; type && i < JT_ARRAY_LEN(families); i++)
		if (strcmp(type, families[i]) == 0)
			return true;
	return false;
}

/* Gemma 3 says which layer of so many sees all; most say nothing. */
static int read_window(const struct jt_config_json *c, struct jt_arch *a)
{
	double pattern = 0;
	int status;

	a->sliding_window = NAN;
	if (!json_is_number(jt__config_find(c, "sliding_window")) ||
	    json_is_false(jt__config_find(c, "use_sliding_window")))
		return JT_OK;
	status = JT_CONFIG_NUMBERS(
		c, { &a->sliding_window, 0, NAN, { "sliding_window" } },
		{ &pattern, 1, 0, { "sliding_window_pattern", "_sliding_window_pattern" } });
	if (status < 0)
		return status;
	if (has_only_windows(c))
		a->n_sliding_layers = a->n_layers;
	if (pattern > 0)
		a->n_sliding_layers = a->n_layers - floor(a->n_layers / pattern);
	if (pattern == 1)
		a->sliding_window = NAN;
	return JT_OK;
}

int jt__config_layers(const struct jt_config_json *c, struct jt_arch *a)
{
	static const char *const lists[] = { "layers_block_type", "layer_types" };
	const char *letters = json_string_value(jt__config_find(c, "hybrid_override_pattern"));
	const char *ssm = ssm_key(c), *list = NULL;
	int status = read_window(c, a);

	for (size_t i = 0; i < JT_ARRAY_LEN(lists); i++)
		if (json_is_array(jt__config_find(c, lists[i])))
			list = lists[i];
	if (status == JT_OK && letters)
		status = read_letters(c, letters, a);
	else if (status == JT_OK && list)
		status = read_names(c, list, jt__config_find(c, list), a);
	else if (status == JT_OK && ssm)
		status = read_period(c, ssm, a);
	return status == JT_OK && a->n_ssm_layers > 0 ? read_ssm(c, a) : status;
}

static bool lists(const json_t *array, size_t layer)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		if (json_number_value(item) == (double)layer)
			return true;
	}
	return false;
}

/*
 * DeepSeek, GLM, ERNIE: from some layer on; Qwen, Llama 4, ERNIE: the last of every so many; Jamba:
 * a period with an offset; Qwen: but for a list. The frequency may also be a list of 0 and 1.
 */
int jt__config_dense_layers(const struct jt_config_json *c, struct jt_arch *a)
{
	const json_t *listed = jt__config_find(c, "mlp_only_layers");
	const json_t *each = jt__config_find(c, "moe_layer_freq");
	double first, step, period, offset, every = 1, n_dense = 0;
	int status;

	if (a->n_ffn_layers > 0)
		return JT_OK; /* said together with all other layers */
	/* clang-format off */
	status = JT_CONFIG_NUMBERS(c,
		{ &first, 0, 0, { "first_k_dense_replace", "moe_layer_start_index" } },
		{ &step, 1, 1, { "decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval" } },
		{ &period, 1, 1, { "expert_layer_period" } },
		{ &offset, 0, 0, { "expert_layer_offset" } },
		{ &every, 1, NAN, { json_is_array(each) ? NULL : "moe_layer_freq" } });
	/* clang-format on */
	if (status < 0)
		return status;
	if (json_array_size(listed) > a->n_layers)
		return wrong_length(c, "mlp_only_layers", json_array_size(listed), a->n_layers);
	if (json_is_array(each) && json_array_size(each) != a->n_layers)
		return wrong_length(c, "moe_layer_freq", json_array_size(each), a->n_layers);
	if (first > a->n_layers)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'first_k_dense_replace' (%g) is more than 'num_hidden_layers' "
		                "(%g)",
		                first, a->n_layers);
	for (size_t i = 0; i < a->n_layers; i++) {
		const json_t *flag = json_array_get(each, i);

		n_dense += i < first || fmod((double)i + 1, step) != 0 ||
		           fmod((double)i, period) != fmod(offset, period) ||
		           fmod((double)i, every) != 0 || lists(listed, i) ||
		           (flag && json_number_value(flag) == 0);
	}
	a->first_k_dense = n_dense;
	return JT_OK;
}
