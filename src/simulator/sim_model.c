/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "simulator/sim_model.h"
#include "input/textfile.h"
#include "input/value.h"

/* Of a model with several parts the language model's; else the file's own. */
static struct jt_value find(const struct jt_value *root, const struct jt_value *part,
                            const char *key)
{
	struct jt_value v = jt__value_get(part, key);

	return v.json ? v : jt__value_get(root, key);
}

/* What the tables of formats call it; a format that they do not have is left open. */
static enum jt_dtype parse_dtype(const struct jt_value *root, const struct jt_value *part)
{
	struct jt_value v = find(root, part, "torch_dtype");
	const char *name = json_string_value(v.json ? v.json : find(root, part, "dtype").json);

	if (!name)
		return JT_DTYPE_NONE;
	if (strncmp(name, "float8", 6) == 0)
		return JT_FP8;
	return jt__dtype_find(strcmp(name, "half") == 0 ? "float16" : name);
}

static int parse_rest(const struct jt_value *root, struct jt_sim_model *m)
{
	static const struct jt_field positions = { "max_position_embeddings",
		                                   JT_FIELD_COUNT,
		                                   true,
		                                   1,
		                                   1e9,
		                                   .offset = offsetof(struct jt_sim_model,
		                                                      max_positions) };
	static const struct jt_field type = { "model_type", JT_FIELD_TEXT, true,
		                              JT_FIELD_AT(jt_sim_model, type) };
	struct jt_value part = jt__value_get(root, "text_config");
	struct jt_value v;
	int status;

	if (!json_is_object(part.json))
		part = *root;
	v = find(root, &part, type.key);
	if ((status = jt__value_read(&v, &type, m)) < 0)
		return status;
	v = find(root, &part, positions.key);
	if ((status = jt__value_read(&v, &positions, m)) < 0)
		return status;
	m->dtype = parse_dtype(root, &part);
	return JT_OK;
}

int jt__sim_model_parse(const char *text, size_t n, const char *path, const char *name,
                        struct jt_sim_model *ret_model, struct jt_error *err)
{
	struct jt_sim_model m = { .arch = { .weights = JT_N_WEIGHTS } };
	struct jt_value root;
	int status = jt__arch_parse(text, n, jt__path_tail(path), &m.arch, err);

	if (status)
		return status;
	if (m.arch.kv_lora_rank > 0 || m.arch.is_hybrid)
		return jt__fail(err, JT_ENOTSUP, jt__path_tail(path),
		                m.arch.is_hybrid ? "layers without attention are not simulated"
		                                 : "'kv_lora_rank': multi-head latent attention is "
		                                   "not simulated");
	status = jt__value_parse(text, n, path, &root, err);
	if (status)
		return status;
	jt__copy_text(m.name, sizeof(m.name), name, strlen(name));
	status = parse_rest(&root, &m);
	json_decref(root.json);
	if (!status)
		*ret_model = m;
	return status;
}

int jt__sim_model_load(const char *path, const char *name, struct jt_sim_model *ret_model,
                       struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_SIM_MODEL_MAX_BYTES);
	status = jt__textfile_read(path, "simulate", &text, err);
	if (!status)
		status = jt__sim_model_parse(jt__buf_bytes(&text), jt__buf_len(&text), path, name,
		                             ret_model, err);
	jt__buf_fini(&text);
	return status;
}
