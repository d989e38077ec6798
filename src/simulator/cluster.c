/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The top of a cluster configuration: nodes with their memories, links, the topology that follows
 * from the instances. cluster_instance.c, cluster_placement.c and cluster_power.c read the rest.
 */
#include <stdio.h>
#include <unistd.h>
#include "simulator/cluster_read.h"
#include "simulator/pim.h"

#define MAX_CONFIG_BYTES (16u << 20)

void jt__cluster_overwritten(struct jt_cluster_reader *r, const char *key, const char *where,
                             double value, bool is_whole)
{
	size_t begin;

	jt__buf_printf(&r->remarks, "%s'%s' in %s configuration will be overwritten by ",
	               jt__buf_len(&r->remarks) ? "\n" : "", key, where);
	begin = jt__buf_len(&r->remarks);
	jt__json_double(&r->remarks, value);
	/* Python prints the whole number 8 as 8.0 where it comes of a division. */
	if (!is_whole &&
	    !memchr(jt__buf_bytes(&r->remarks) + begin, '.', jt__buf_len(&r->remarks) - begin))
		jt__buf_append_text(&r->remarks, ".0");
	jt__buf_append_text(&r->remarks, " in 'pim_config'.");
}

/* "DIR/NAME SUFFIX" or NULL. @dir_len: where its last '/' is left out. */
static char *join(const char *dir, size_t dir_len, const char *between, const char *name,
                  const char *suffix)
{
	size_t size = dir_len + strlen(between) + strlen(name) + strlen(suffix) + 3;
	char *path = jt__alloc(1, size);

	if (path)
		snprintf(path, size, "%.*s%s/%s%s", (int)dir_len, dir, between, name, suffix);
	return path;
}

int jt__cluster_find(const struct jt_cluster_reader *r, const struct jt_value *v, const char *given,
                     const char *kind, const char *name, const char *suffix, char **ret_path)
{
	const char *slash = strrchr(r->where->path, '/'), *data = r->where->data;
	const char *beside = slash ? r->where->path : ".";
	size_t beside_len = slash ? (size_t)(slash - r->where->path) : 1;
	char up[16], configs[24], installed[32];
	const struct {
		const char *dir;
		size_t len;
		const char *between;
	} places[] = {
		{ given, given ? strlen(given) : 0, "" },
		{ given ? NULL : beside, beside_len, up },
		{ given ? NULL : beside, beside_len, configs },
		{ given ? NULL : data, data ? strlen(data) : 0, installed },
	};

	snprintf(up, sizeof(up), "/../%s", kind);
	snprintf(configs, sizeof(configs), "/../configs/%s", kind);
	snprintf(installed, sizeof(installed), "/simulator/configs/%s", kind);
	for (size_t i = 0; i < JT_ARRAY_LEN(places); i++) {
		char *path;

		if (!places[i].dir)
			continue;
		path = join(places[i].dir, places[i].len, places[i].between, name, suffix);
		if (!path)
			return jt__value_fail(v, JT_ENOMEM, "no memory for its path");
		if (access(path, F_OK) == 0) {
			*ret_path = path;
			return JT_OK;
		}
		jt__free(path);
	}
	return jt__value_fail(v, JT_ENOENT,
	                      "there is no '%s%s' in %.*s%s: put it there, or give "
	                      "--%s-configs DIR",
	                      name, suffix, (int)(given ? strlen(given) : beside_len),
	                      given ? given : beside, given ? "" : up, kind);
}

static int read_pim(struct jt_cluster_reader *r, const struct jt_value *mem,
                    struct jt_cluster_node *node)
{
	struct name {
		char text[sizeof(((struct jt_pim *)0)->name)];
	} name;
	static const struct jt_field field = { "pim_config", JT_FIELD_TEXT, true,
		                               JT_FIELD_AT(name, text) };
	struct jt_value v = jt__value_get(mem, "pim_config");
	struct jt_cluster *c = r->c;
	struct jt_pim *pim;
	char *path;
	int status;

	if (!v.json)
		return jt__value_fail(&v, JT_EINVAL, "is missing: attention offloading needs it");
	if ((status = jt__value_read(&v, &field, &name)) < 0)
		return status;
	if (strchr(name.text, '/') || *name.text == '.')
		return jt__value_fail(&v, JT_EINVAL,
		                      "must be the name of a file without its '.ini'");
	status = jt__cluster_find(r, &v, r->where->pim_configs, "pim", name.text, ".ini", &path);
	if (status)
		return status;
	pim = c->pims[c->n_pims] = jt__alloc(1, sizeof(*pim));
	status = pim ? jt__pim_load(path, node->cpu_mem_gb, pim, v.err)
	             : jt__value_fail(&v, JT_ENOMEM, "no memory for it");
	jt__free(path);
	c->n_pims += pim != NULL;
	node->pim = status ? NULL : pim;
	return status;
}

static void apply_pim(struct jt_cluster_reader *r, const struct jt_value *mem,
                      struct jt_cluster_node *node)
{
	const struct jt_pim *pim = node->pim;

	if (jt__value_get(mem, "mem_bw").json)
		jt__cluster_overwritten(r, "mem_bw", "'cpu_mem'", pim->bw_gbs, false);
	if (jt__value_get(mem, "mem_latency").json)
		jt__cluster_overwritten(r, "mem_latency", "'cpu_mem'", pim->latency_ns,
		                        pim->latency_is_whole);
	node->cpu_bw_gbs = pim->bw_gbs;
	node->cpu_latency_ns = pim->latency_ns;
}

static bool offloads_attention(const struct jt_cluster *c, const struct jt_cluster_node *node)
{
	uint32_t i = 0;

	while (i < node->n_instances &&
	       !c->instances[node->first_instance + i].serving.attn_offloading)
		i++;
	return i < node->n_instances;
}

/* After the node's instances: they say whether its memory computes. */
static int read_cpu_mem(struct jt_cluster_reader *r, const struct jt_value *mem,
                        struct jt_cluster_node *node)
{
	bool computes = offloads_attention(r->c, node);
	const struct jt_field fields[] = {
		JT_ROW_SIZE(jt_cluster_node, cpu_mem_gb, true),
		JT_ROW_BW(jt_cluster_node, cpu_bw_gbs, !computes),
		JT_ROW_LATENCY(jt_cluster_node, cpu_latency_ns, !computes),
		{ "pim_config" },
		{ NULL },
	};
	int status = jt__value_fields(mem, fields, node);

	if (status || !computes)
		return status;
	status = read_pim(r, mem, node);
	if (!status)
		apply_pim(r, mem, node);
	return status;
}

/* A list whose length another key tells. */
static int check_count(const struct jt_value *object, const char *key, const struct jt_value *list)
{
	struct jt_value v = jt__value_get(object, key);

	if (!json_is_integer(v.json))
		return jt__value_fail(&v, JT_EINVAL,
		                      v.json ? "must be a whole number" : "is missing");
	if (json_integer_value(v.json) != (json_int_t)json_array_size(list->json))
		return jt__value_fail(&v, JT_EINVAL, "%" JSON_INTEGER_FORMAT ", but '%s' has %zu",
		                      json_integer_value(v.json), list->key,
		                      json_array_size(list->json));
	return JT_OK;
}

static const struct jt_field node_fields[] = { { "num_instances", .required = true },
	                                       { "instances", .required = true },
	                                       { "cpu_mem", .required = true },
	                                       { "power" },
	                                       { NULL } };

static int read_node(struct jt_cluster_reader *r, const struct jt_value *v, uint32_t i)
{
	struct jt_value instances = jt__value_get(v, "instances"),
			mem = jt__value_get(v, "cpu_mem");
	struct jt_value power = jt__value_get(v, "power");
	struct jt_cluster_node *node = &r->c->nodes[i];
	int status;

	for (uint32_t k = 0; k < node->n_instances; k++) {
		struct jt_value one = jt__value_item(&instances, k);

		status = jt__cluster_instance(r, &one, i, node->first_instance + k);
		if (status)
			return status;
	}
	if ((status = read_cpu_mem(r, &mem, node)) < 0)
		return status;
	return power.json ? jt__cluster_power(r, &power, node) : JT_OK;
}

/* Counts the instances of each node, for which there is memory then. */
static int count_instances(struct jt_cluster_reader *r, const struct jt_value *nodes)
{
	struct jt_cluster *c = r->c;

	for (uint32_t i = 0; i < c->n_nodes; i++) {
		struct jt_value v = jt__value_item(nodes, i);
		struct jt_value instances = jt__value_get(&v, "instances");
		int status;

		if ((status = jt__value_fields(&v, node_fields, NULL)) < 0 ||
		    (status = jt__value_list(&instances,
		                             JT_CLUSTER_MAX_INSTANCES - c->n_instances)) < 0 ||
		    (status = check_count(&v, "num_instances", &instances)) < 0)
			return status;
		c->nodes[i].first_instance = c->n_instances;
		c->nodes[i].n_instances = (uint32_t)json_array_size(instances.json);
		c->n_instances += c->nodes[i].n_instances;
	}
	c->instances = jt__alloc(c->n_instances, sizeof(*c->instances));
	c->models = jt__alloc(c->n_instances, sizeof(*c->models));
	c->pims = jt__alloc(c->n_nodes, sizeof(*c->pims));
	r->groups = jt__alloc(c->n_instances, sizeof(*r->groups));
	if (!c->instances || !c->models || !c->pims || !r->groups)
		return jt__value_fail(nodes, JT_ENOMEM, "no memory for them");
	return JT_OK;
}

/* Power is known of all nodes or of none: a sum over some would pass for the whole. */
static int check_power(const struct jt_cluster_reader *r, const struct jt_value *nodes)
{
	const struct jt_cluster *c = r->c;
	uint32_t with = 0, without = 0;

	while (with < c->n_nodes && !c->nodes[with].has_power)
		with++;
	while (without < c->n_nodes && c->nodes[without].has_power)
		without++;
	if (with < c->n_nodes && without < c->n_nodes) {
		struct jt_value node = jt__value_item(nodes, without);
		struct jt_value power = jt__value_get(&node, "power");

		return jt__value_fail(
			&power, JT_EINVAL,
			"is missing, and nodes[%u] has one: give it to every node, or "
			"to none",
			with);
	}
	return JT_OK;
}

static int read_nodes(struct jt_cluster_reader *r)
{
	struct jt_value nodes = jt__value_get(&r->root, "nodes");
	struct jt_cluster *c = r->c;
	int status;

	if ((status = jt__value_list(&nodes, JT_CLUSTER_MAX_NODES)) < 0 ||
	    (status = check_count(&r->root, "num_nodes", &nodes)) < 0)
		return status;
	c->n_nodes = (uint32_t)json_array_size(nodes.json);
	c->nodes = jt__alloc(c->n_nodes, sizeof(*c->nodes));
	if (!c->nodes)
		return jt__value_fail(&nodes, JT_ENOMEM, "no memory for them");
	status = count_instances(r, &nodes);
	for (uint32_t i = 0; i < c->n_nodes && !status; i++) {
		struct jt_value node = jt__value_item(&nodes, i);

		status = read_node(r, &node, i);
	}
	return status ? status : check_power(r, &nodes);
}

static int read_cxl(struct jt_cluster_reader *r)
{
	static const struct jt_field fields[] = { JT_ROW_SIZE(jt_cluster, cxl_mem_gb, true),
		                                  JT_ROW_BW(jt_cluster, cxl_bw_gbs, true),
		                                  JT_ROW_LATENCY(jt_cluster, cxl_latency_ns, true),
		                                  { "num_devices", JT_FIELD_COUNT, false, 1, 4096,
		                                    NULL, JT_FIELD_AT(jt_cluster, n_cxl) },
		                                  { NULL } };
	struct jt_value v = jt__value_get(&r->root, "cxl_mem");

	if (!v.json)
		return JT_OK;
	r->c->n_cxl = 1;
	return jt__value_fields(&v, fields, r->c);
}

/*
 * The reference's rule. A group of data-parallel instances stands for all: [tp, (pp), members].
 * Else [NPUs of a stage, stages], and where every stage has one NPU [NPUs of an instance,
 * instances]; a prefill instance counts twice, for its receivers.
 */
static void lay_out(struct jt_cluster *c)
{
	uint64_t n_stages = 0, n_instances = 0;
	const struct jt_instance *in = c->instances;
	uint32_t n = 0;

	for (uint32_t i = 0; i < c->n_instances; i++) {
		uint32_t times = c->instances[i].role == JT_ROLE_PREFILL ? 2 : 1;

		if (c->instances[i].dp_group == 0 && in->dp_group != 0)
			in = &c->instances[i];
		n_stages += (uint64_t)times * c->instances[i].pp;
		n_instances += times;
	}
	if (c->n_dp_groups) {
		c->dims[n++] = in->tp;
		if (in->pp > 1)
			c->dims[n++] = in->pp;
		c->dims[n++] = in->dp_members;
	} else {
		uint64_t groups = c->n_npus == n_stages ? n_instances : n_stages;

		c->dims[n++] = (uint32_t)(c->n_npus / groups);
		c->dims[n++] = (uint32_t)groups;
	}
	while (n > 1 && c->dims[n - 1] == 1)
		n--;
	c->n_dims = n;
}

/* One number for all dimensions, or a list with one for each. */
static int read_link(const struct jt_cluster_reader *r, const char *key, double min, double max,
                     const char *unit, double *ret_values, bool *ret_is_list, uint32_t *ret_n)
{
	const struct jt_field field = { key,  JT_FIELD_NUMBER,       true, min, max,
		                        unit, .size = sizeof(double) };
	struct jt_value v = jt__value_get(&r->root, key);
	int status = JT_OK;

	*ret_is_list = json_is_array(v.json);
	*ret_n = 1;
	if (!*ret_is_list)
		return jt__value_read(&v, &field, ret_values);
	if (json_array_size(v.json) != r->c->n_dims)
		return jt__value_fail(&v, JT_EINVAL,
		                      "has %zu values, but the instances make a "
		                      "topology of %u: give a single number, or %u",
		                      json_array_size(v.json), r->c->n_dims, r->c->n_dims);
	*ret_n = r->c->n_dims;
	for (uint32_t i = 0; i < *ret_n && !status; i++) {
		struct jt_value one = jt__value_item(&v, i);

		status = jt__value_read(&one, &field, ret_values + i);
	}
	return status;
}

static int read_links(const struct jt_cluster_reader *r)
{
	struct jt_cluster *c = r->c;
	int status = read_link(r, "link_bw", 1e-3, JT_CLUSTER_MAX_GBS, "GB/s", c->link_bw_gbs,
	                       &c->link_bw_is_list, &c->n_link_bw);

	return status ? status
	              : read_link(r, "link_latency", 0, JT_CLUSTER_MAX_NS, "ns", c->link_latency_ns,
	                          &c->link_latency_is_list, &c->n_link_latency);
}

static int keep_remarks(struct jt_cluster_reader *r)
{
	size_t n = jt__buf_len(&r->remarks);

	if (r->remarks.failed)
		return jt__value_fail(&r->root, JT_ENOMEM, "no memory for remarks on it");
	if (!n)
		return JT_OK;
	r->c->remarks = jt__alloc(1, n + 1);
	if (!r->c->remarks)
		return jt__value_fail(&r->root, JT_ENOMEM, "no memory for remarks on it");
	memcpy(r->c->remarks, jt__buf_bytes(&r->remarks), n);
	return JT_OK;
}

static int read_root(struct jt_cluster_reader *r)
{
	static const struct jt_field fields[] = { { "num_nodes", .required = true },
		                                  { "link_bw", .required = true },
		                                  { "link_latency", .required = true },
		                                  { "nodes", .required = true },
		                                  { "cxl_mem" },
		                                  { NULL } };
	int status;

	if ((status = jt__value_fields(&r->root, fields, NULL)) < 0 || (status = read_cxl(r)) < 0 ||
	    (status = read_nodes(r)) < 0 || (status = jt__cluster_groups(r)) < 0)
		return status;
	lay_out(r->c);
	status = read_links(r);
	return status ? status : keep_remarks(r);
}

int jt__cluster_load(const struct jt_cluster_where *where, const struct jt_serving_defaults *d,
                     struct jt_cluster **ret_cluster, struct jt_error *err)
{
	struct jt_cluster_reader r = { .where = where, .defaults = d };
	int status = jt__value_load(where->path, "simulate", MAX_CONFIG_BYTES, &r.root, err);

	if (status)
		return status;
	jt__buf_init(&r.remarks, MAX_CONFIG_BYTES);
	r.c = jt__alloc(1, sizeof(*r.c));
	status = r.c ? read_root(&r) : jt__value_fail(&r.root, JT_ENOMEM, "no memory for it");
	json_decref(r.root.json);
	jt__buf_fini(&r.remarks);
	jt__free(r.groups);
	if (status) {
		jt__cluster_free(r.c);
		return status;
	}
	*ret_cluster = r.c;
	return JT_OK;
}

void jt__cluster_free(struct jt_cluster *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; c->instances && i < c->n_instances; i++) {
		jt__free(c->instances[i].blocks);
		jt__free(c->instances[i].layers);
	}
	for (uint32_t i = 0; c->nodes && i < c->n_nodes; i++)
		jt__free(c->nodes[i].power.npus);
	for (uint32_t i = 0; i < c->n_models; i++)
		jt__free(c->models[i]);
	for (uint32_t i = 0; i < c->n_pims; i++)
		jt__free(c->pims[i]);
	jt__free(c->instances);
	jt__free(c->nodes);
	jt__free(c->models);
	jt__free(c->pims);
	jt__free(c->remarks);
	jt__free(c);
}
