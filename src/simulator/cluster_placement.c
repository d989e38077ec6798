/* SPDX-License-Identifier: Apache-2.0 */
/*
 * placement: { default, blocks: [{ blocks: "0-3,7", … }], layers: { name: … } }, each with weights,
 * kv_loc and kv_evict_loc. A layer's own rule comes before its block's, that before the default;
 * what a layer's rule leaves open is the default's, whatever the block says. Of the two KV places
 * only the default's kv_evict_loc has an effect: where KV is recalled from; the others are checked.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include "simulator/cluster_read.h"

static const struct jt_field rule_fields[] = {
	{ "weights" }, { "kv_loc" }, { "kv_evict_loc" }, { NULL }
};
static const struct jt_field block_fields[] = {
	{ "blocks" }, { "weights" }, { "kv_loc" }, { "kv_evict_loc" }, { NULL }
};
/* What the catalogs of layers call them. */
static const struct jt_field layer_fields[] = {
	{ "embedding" }, { "layernorm" }, { "qkv_proj" },        { "qk_norm" }, { "rotary_emb" },
	{ "attention" }, { "o_proj" },    { "gate_up_proj" },    { "act_fn" },  { "down_proj" },
	{ "moe" },       { "lm_head" },   { "final_layernorm" }, { "sampler" }, { NULL }
};

static int parse_device(const struct jt_cluster *c, const struct jt_value *v, const char *digits,
                        struct jt_placement *ret_place)
{
	char *end;
	unsigned long id = strtoul(digits, &end, 10);

	if (!isdigit((unsigned char)*digits) || *end)
		return jt__value_fail(v, JT_EINVAL, "must be \"cxl:\" and a number");
	if (!c->n_cxl)
		return jt__value_fail(v, JT_EINVAL, "needs 'cxl_mem', which is not there");
	if (id >= c->n_cxl)
		return jt__value_fail(v, JT_EINVAL, "there is no device %lu: 'cxl_mem' has %u", id,
		                      c->n_cxl);
	*ret_place = (struct jt_placement){ JT_PLACE_CXL, (uint32_t)id };
	return JT_OK;
}

static int parse_place(const struct jt_cluster *c, const struct jt_value *v,
                       struct jt_placement *ret_place)
{
	const char *text = json_string_value(v->json);

	if (!v->json)
		return JT_OK;
	if (text && strcasecmp(text, "npu") == 0)
		*ret_place = (struct jt_placement){ .place = JT_PLACE_NPU };
	else if (text && strcasecmp(text, "cpu") == 0)
		*ret_place = (struct jt_placement){ .place = JT_PLACE_CPU };
	else if (text && strncasecmp(text, "cxl:", 4) == 0)
		return parse_device(c, v, text + 4, ret_place);
	else
		return jt__value_fail(v, JT_EINVAL, "must be \"npu\", \"cpu\" or \"cxl:ID\"");
	return JT_OK;
}

/* @weights and @kv_evict stay as they are where the rule does not say. */
static int parse_rule(const struct jt_cluster *c, const struct jt_value *rule,
                      const struct jt_field *fields, struct jt_placement *weights,
                      struct jt_placement *kv_evict)
{
	struct jt_placement kv;
	struct jt_placement *const places[] = { weights, &kv, kv_evict };
	int status = jt__value_fields(rule, fields, NULL);

	for (size_t i = 0; !status && i < JT_ARRAY_LEN(places); i++) {
		struct jt_value v = jt__value_get(rule, rule_fields[i].key);

		status = parse_place(c, &v, places[i]);
	}
	return status;
}

/* One number of "0-3,7"; moves *p behind it. */
static bool parse_block(const char **p, unsigned long *ret_block)
{
	char *end;

	while (**p == ' ')
		(*p)++;
	if (!isdigit((unsigned char)**p))
		return false;
	*ret_block = strtoul(*p, &end, 10);
	for (*p = end; **p == ' ';)
		(*p)++;
	return true;
}

static int set_blocks(const struct jt_value *v, struct jt_instance *in,
                      const struct jt_placement *weights)
{
	const char *p = json_string_value(v->json);
	unsigned long first, last;

	do {
		if (!p || !parse_block(&p, &first))
			return jt__value_fail(v, JT_EINVAL, "must be a text like \"0-3,7\"");
		last = first;
		if (*p == '-' && (p++, !parse_block(&p, &last)))
			return jt__value_fail(v, JT_EINVAL, "must be a text like \"0-3,7\"");
		if (first > last)
			return jt__value_fail(v, JT_EINVAL, "%lu-%lu ends before it begins", first,
			                      last);
		if (last >= in->model->arch.n_layers)
			return jt__value_fail(v, JT_EINVAL,
			                      "there is no block %lu: the model has "
			                      "0 to %u",
			                      last, (uint32_t)in->model->arch.n_layers - 1);
		for (; weights && first <= last; first++)
			in->blocks[first] = *weights;
	} while (*p == ',' && p++);
	return *p ? jt__value_fail(v, JT_EINVAL, "must be a text like \"0-3,7\"") : JT_OK;
}

static int parse_blocks(const struct jt_cluster *c, const struct jt_value *list,
                        struct jt_instance *in)
{
	if (!list->json)
		return JT_OK;
	if (!json_is_array(list->json))
		return jt__value_fail(list, JT_EINVAL, "must be a list");
	for (size_t i = 0; i < json_array_size(list->json); i++) {
		struct jt_value rule = jt__value_item(list, i);
		struct jt_value blocks = jt__value_get(&rule, "blocks");
		struct jt_placement weights, unused;
		int status = parse_rule(c, &rule, block_fields, &weights, &unused);

		if (status)
			return status;
		status = set_blocks(&blocks, in,
		                    json_object_get(rule.json, "weights") ? &weights : NULL);
		if (status)
			return status;
		in->has_block_rules = true;
	}
	return JT_OK;
}

static struct jt_placement *outside(struct jt_instance *in, const char *layer)
{
	return strcmp(layer, "embedding") == 0         ? &in->embedding
	       : strcmp(layer, "final_layernorm") == 0 ? &in->final_norm
	       : strcmp(layer, "lm_head") == 0         ? &in->lm_head
	                                               : NULL;
}

static int parse_layers(const struct jt_cluster *c, const struct jt_value *object,
                        struct jt_placement fallback, struct jt_instance *in)
{
	const char *name;
	json_t *json;
	int status;

	if (!object->json)
		return JT_OK;
	if ((status = jt__value_fields(object, layer_fields, NULL)) < 0)
		return status;
	in->layers = jt__alloc(JT_ARRAY_LEN(layer_fields), sizeof(*in->layers));
	if (!in->layers)
		return jt__value_fail(object, JT_ENOMEM, "no memory for it");
	json_object_foreach(object->json, name, json)
	{
		struct jt_value rule = jt__value_get(object, name);
		struct jt_placement weights = fallback, unused, *own = outside(in, name);
		struct jt_named_placement *n = &in->layers[in->n_layers];

		if ((status = parse_rule(c, &rule, rule_fields, &weights, &unused)) < 0)
			return status;
		if (json_object_size(json) == 0)
			continue;
		if (own) {
			*own = weights;
			continue;
		}
		jt__copy_text(n->layer, sizeof(n->layer), name, strlen(name));
		n->weights = weights;
		in->n_layers++;
	}
	return JT_OK;
}

int jt__cluster_placement(const struct jt_cluster_reader *r, const struct jt_value *v,
                          struct jt_instance *in)
{
	static const struct jt_field fields[] = {
		{ "default" }, { "blocks" }, { "layers" }, { NULL }
	};
	struct jt_value rule = jt__value_get(v, "default"), blocks = jt__value_get(v, "blocks");
	struct jt_value layers = jt__value_get(v, "layers");
	struct jt_placement fallback = { .place = JT_PLACE_NPU };
	int status = JT_OK;

	in->has_placement = v->json != NULL;
	in->blocks = jt__alloc(in->model->arch.n_layers, sizeof(*in->blocks));
	if (!in->blocks)
		return jt__value_fail(v, JT_ENOMEM, "no memory for it");
	if (v->json && (status = jt__value_fields(v, fields, NULL)) < 0)
		return status;
	in->kv_evict.place = JT_PLACE_CPU;
	if (rule.json &&
	    (status = parse_rule(r->c, &rule, rule_fields, &fallback, &in->kv_evict)) < 0)
		return status;
	in->embedding = in->final_norm = in->lm_head = fallback;
	for (uint32_t i = 0; i < in->model->arch.n_layers; i++)
		in->blocks[i] = fallback;
	if ((status = parse_blocks(r->c, &blocks, in)) < 0)
		return status;
	return parse_layers(r->c, &layers, fallback, in);
}
