/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "simulator/catalog.h"

static const char *const part_names[JT_N_PARTS] = { "prologue",  "pre_attn", "post_attn",
	                                            "mlp_dense", "mlp_moe",  "head" };
static const char *const kind_names[] = { [JT_LAYER_DENSE] = "dense",
	                                  [JT_LAYER_PER_SEQUENCE] = "per_sequence",
	                                  [JT_LAYER_ATTENTION] = "attention",
	                                  [JT_LAYER_MOE] = "moe" };

static int find_name(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return -1;
}

static int find_layer(const struct jt_catalog *c, const char *name)
{
	for (uint32_t i = 0; i < c->n_layers; i++)
		if (strcmp(c->layers[i].name, name) == 0)
			return (int)i;
	return -1;
}

static int read_stable(struct jt_yamlfile *y, yaml_node_t *layer, bool *ret_stable)
{
	yaml_node_t *node;
	const char *text;
	int status;

	*ret_stable = false;
	if (layer->type != YAML_MAPPING_NODE) /* "name:" and no more */
		return JT_OK;
	status = jt__yamlfile_get(y, layer, "tp_stable", YAML_SCALAR_NODE, &node);
	if (status || !node)
		return status;
	text = jt__yamlfile_text(node);
	if (!text || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
		return jt__yamlfile_fail(y, node, "'tp_stable' must be true or false");
	*ret_stable = text[0] == 't';
	return JT_OK;
}

static int read_layer(struct jt_yamlfile *y, const yaml_node_pair_t *pair, enum jt_layer_kind kind,
                      struct jt_catalog *c)
{
	yaml_node_t *key = jt__yamlfile_node(y, pair->key);
	const char *name = jt__yamlfile_text(key);
	struct jt_catalog_layer *layer = &c->layers[c->n_layers];

	if (!name || !*name || strlen(name) >= sizeof(layer->name))
		return jt__yamlfile_fail(y, key, "a layer's name must be a word of up to %zu bytes",
		                         sizeof(layer->name) - 1);
	if (find_layer(c, name) >= 0)
		return jt__yamlfile_fail(y, key, "layer '%s' is there twice", name);
	if (c->n_layers == JT_CATALOG_MAX_LAYERS)
		return jt__yamlfile_fail(y, key, "more than %d layers", JT_CATALOG_MAX_LAYERS);
	memcpy(layer->name, name, strlen(name) + 1);
	layer->kind = kind;
	c->n_layers++;
	return read_stable(y, jt__yamlfile_node(y, pair->value), &layer->is_tp_stable);
}

static int read_kind(struct jt_yamlfile *y, const yaml_node_pair_t *pair, struct jt_catalog *c)
{
	const yaml_node_t *key = jt__yamlfile_node(y, pair->key);
	const yaml_node_t *layers = jt__yamlfile_node(y, pair->value);
	const char *name = jt__yamlfile_text(key);
	int kind = name ? find_name(kind_names, JT_ARRAY_LEN(kind_names), name) : -1;
	int status = JT_OK;

	if (kind < 0)
		return jt__yamlfile_fail(y, key,
		                         "'catalog' has '%.40s', which is none of dense, "
		                         "per_sequence, attention, moe",
		                         name ? name : "…");
	if (layers->type == YAML_SCALAR_NODE && layers->data.scalar.length == 0)
		return JT_OK;
	if (layers->type != YAML_MAPPING_NODE)
		return jt__yamlfile_fail(y, layers, "'catalog.%s' must be a section", name);
	for (const yaml_node_pair_t *p = layers->data.mapping.pairs.start;
	     !status && p < layers->data.mapping.pairs.top; p++)
		status = read_layer(y, p, (enum jt_layer_kind)kind, c);
	return status;
}

/* Layers of these kinds stand for themselves: there is one table, without names. */
static int check_alone(struct jt_yamlfile *y, const yaml_node_t *at, const struct jt_catalog *c)
{
	uint32_t n[JT_ARRAY_LEN(kind_names)] = { 0 };

	for (uint32_t i = 0; i < c->n_layers; i++)
		n[c->layers[i].kind]++;
	if (n[JT_LAYER_ATTENTION] > 1 || n[JT_LAYER_MOE] > 1)
		return jt__yamlfile_fail(
			y, at, "'catalog.%s' has more than one layer",
			kind_names[n[JT_LAYER_MOE] > 1 ? JT_LAYER_MOE : JT_LAYER_ATTENTION]);
	return JT_OK;
}

static int read_part(struct jt_yamlfile *y, const yaml_node_pair_t *pair, struct jt_catalog *c)
{
	const yaml_node_t *key = jt__yamlfile_node(y, pair->key);
	const yaml_node_t *list = jt__yamlfile_node(y, pair->value);
	const char *name = jt__yamlfile_text(key);
	int part = name ? find_name(part_names, JT_N_PARTS, name) : -1;

	if (part < 0)
		return jt__yamlfile_fail(y, key, "'sequence' has '%.40s', which is no part of it",
		                         name ? name : "…");
	if (list->type != YAML_SEQUENCE_NODE)
		return jt__yamlfile_fail(y, list, "'sequence.%s' must be a list", name);
	for (const yaml_node_item_t *i = list->data.sequence.items.start;
	     i < list->data.sequence.items.top; i++) {
		const yaml_node_t *item = jt__yamlfile_node(y, *i);
		const char *layer = jt__yamlfile_text(item);
		int index = layer ? find_layer(c, layer) : -1;

		if (index < 0)
			return jt__yamlfile_fail(
				y, item, "layer '%.40s' of 'sequence.%s' is not in 'catalog'",
				layer ? layer : "…", name);
		if (c->parts[part].n == JT_CATALOG_MAX_SEQUENCE)
			return jt__yamlfile_fail(y, item, "'sequence.%s' has more than %d layers",
			                         name, JT_CATALOG_MAX_SEQUENCE);
		c->parts[part].layers[c->parts[part].n++] = (uint32_t)index;
	}
	return JT_OK;
}

int jt__catalog_read(struct jt_yamlfile *y, struct jt_catalog *ret_catalog)
{
	yaml_node_t *root = jt__yamlfile_root(y), *catalog, *sequence;
	int status;

	*ret_catalog = (struct jt_catalog){ 0 };
	if (!root || root->type != YAML_MAPPING_NODE)
		return jt__textfile_fail(y->err, y->path, 1, "needs 'sequence:' and 'catalog:'");
	status = jt__yamlfile_get(y, root, "catalog", YAML_MAPPING_NODE, &catalog);
	if (!status)
		status = jt__yamlfile_get(y, root, "sequence", YAML_MAPPING_NODE, &sequence);
	if (status)
		return status;
	if (!catalog || !sequence)
		return jt__textfile_fail(y->err, y->path, 1, "there is no '%s:'",
		                         catalog ? "sequence" : "catalog");
	for (const yaml_node_pair_t *p = catalog->data.mapping.pairs.start;
	     !status && p < catalog->data.mapping.pairs.top; p++)
		status = read_kind(y, p, ret_catalog);
	if (!status)
		status = check_alone(y, catalog, ret_catalog);
	for (const yaml_node_pair_t *p = sequence->data.mapping.pairs.start;
	     !status && p < sequence->data.mapping.pairs.top; p++)
		status = read_part(y, p, ret_catalog);
	return status;
}

static int read_bounds(struct jt_yamlfile *y, const yaml_node_t *list, const char *name,
                       struct jt_skew_axis *a)
{
	size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);

	if (n != a->n + 1)
		return jt__yamlfile_fail(y, list, "'%s' has %zu bounds for %u labels", name, n,
		                         a->n);
	for (size_t i = 0; i < n; i++) {
		const yaml_node_t *item = jt__yamlfile_node(y, list->data.sequence.items.start[i]);
		int status = jt__yamlfile_real(y, item, name, &a->bounds[i]);

		if (status)
			return status;
		if (i > 0 && !(a->bounds[i] > a->bounds[i - 1]))
			return jt__yamlfile_fail(y, item, "'%s' must rise", name);
	}
	return JT_OK;
}

static int read_labels(struct jt_yamlfile *y, const yaml_node_t *list, const char *name,
                       struct jt_skew_axis *a)
{
	size_t n = (size_t)(list->data.sequence.items.top - list->data.sequence.items.start);

	if (n == 0 || n > JT_SKEW_MAX_BUCKETS)
		return jt__yamlfile_fail(y, list, "'%s' must have 1 to %d labels", name,
		                         JT_SKEW_MAX_BUCKETS);
	for (a->n = 0; a->n < n; a->n++) {
		const yaml_node_t *item =
			jt__yamlfile_node(y, list->data.sequence.items.start[a->n]);
		const char *label = jt__yamlfile_text(item);

		if (!label || strlen(label) >= sizeof(a->labels[0]))
			return jt__yamlfile_fail(y, item, "'%s' must be words of up to %zu bytes",
			                         name, sizeof(a->labels[0]) - 1);
		memcpy(a->labels[a->n], label, strlen(label) + 1);
	}
	return JT_OK;
}

static int read_axis(struct jt_yamlfile *y, yaml_node_t *axes, const char *axis,
                     struct jt_skew_axis *a)
{
	yaml_node_t *labels, *bounds;
	char label_key[40], bound_key[40];
	int status;

	snprintf(label_key, sizeof(label_key), "%s_labels", axis);
	snprintf(bound_key, sizeof(bound_key), "%s_bins", axis);
	status = jt__yamlfile_get(y, axes, label_key, YAML_SEQUENCE_NODE, &labels);
	if (!status)
		status = jt__yamlfile_get(y, axes, bound_key, YAML_SEQUENCE_NODE, &bounds);
	if (status)
		return status;
	if (!labels || !bounds)
		return jt__yamlfile_fail(y, axes, "'skew_fit.bucket_axes' has no '%s'",
		                         labels ? bound_key : label_key);
	status = read_labels(y, labels, label_key, a);
	return status ? status : read_bounds(y, bounds, bound_key, a);
}

static int read_default(struct jt_yamlfile *y, yaml_node_t *of_tp, double *ret_alpha)
{
	yaml_node_t *alpha;
	int status = jt__yamlfile_get(y, of_tp, "alpha_default", YAML_SCALAR_NODE, &alpha);

	if (status)
		return status;
	if (!alpha)
		return jt__yamlfile_fail(y, of_tp, "'skew_fit.per_tp' has no 'alpha_default'");
	return jt__yamlfile_real(y, alpha, "alpha_default", ret_alpha);
}

int jt__catalog_read_skew(struct jt_yamlfile *y, uint32_t tp, struct jt_skew *ret_skew)
{
	static const char *const names[JT_SKEW_AXES] = { "n", "skew_rate", "kv_big", "kp" };
	yaml_node_t *root = jt__yamlfile_root(y), *fit, *axes, *per_tp, *of_tp;
	char key[16];
	int status;

	snprintf(key, sizeof(key), "%u", tp);
	if (root && root->type != YAML_MAPPING_NODE)
		return jt__yamlfile_fail(y, root, "the file must be 'key: value' lines");
	if ((status = jt__yamlfile_get(y, root, "skew_fit", YAML_MAPPING_NODE, &fit)) ||
	    (status = jt__yamlfile_get(y, fit, "bucket_axes", YAML_MAPPING_NODE, &axes)) ||
	    (status = jt__yamlfile_get(y, fit, "per_tp", YAML_MAPPING_NODE, &per_tp)) ||
	    (status = jt__yamlfile_get(y, per_tp, key, YAML_MAPPING_NODE, &of_tp)))
		return status;
	if (!of_tp) /* not fitted: "enabled: false", or not for this number of ranks */
		return JT_OK;
	if (!axes)
		return jt__yamlfile_fail(y, fit, "'skew_fit' has no 'bucket_axes'");
	status = read_default(y, of_tp, &ret_skew->alpha_default);
	for (int i = 0; !status && i < JT_SKEW_AXES; i++)
		status = read_axis(y, axes, names[i], &ret_skew->axes[i]);
	ret_skew->is_on = !status;
	return status;
}
