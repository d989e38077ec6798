/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/cluster_read.h"

#define IN(member) JT_FIELD_AT(jt_node_power, member)
#define NPU(member) JT_FIELD_AT(jt_npu_power, member)
#define WATTS 0, JT_CLUSTER_MAX_W, "W"
#define PJ 0, 1e9, "pJ"
#define COUNT 0, 1e6, NULL

static int parse_npu(const struct jt_value *v, struct jt_npu_power *p)
{
	static const struct jt_field fields[] = {
		{ "idle_power", JT_FIELD_NUMBER, true, WATTS, NPU(idle_w) },
		{ "standby_power", JT_FIELD_NUMBER, true, WATTS, NPU(standby_w) },
		{ "active_power", JT_FIELD_NUMBER, true, WATTS, NPU(active_w) },
		{ "standby_duration", JT_FIELD_NUMBER, true, 0, 1e9, "s", NPU(standby_s) },
		{ NULL }
	};
	int status = jt__value_fields(v, fields, p);

	if (status)
		return status;
	if (p->standby_w < p->idle_w || p->active_w < p->idle_w)
		return jt__value_fail(v, JT_EINVAL,
		                      "'standby_power' (%g W) and 'active_power' (%g W) "
		                      "must be at least 'idle_power' (%g W)",
		                      p->standby_w, p->active_w, p->idle_w);
	if (!jt__copy_text(p->hardware, sizeof(p->hardware), v->key, strlen(v->key)))
		return jt__value_fail(v, JT_EINVAL, "is longer than %zu bytes",
		                      sizeof(p->hardware) - 1);
	return JT_OK;
}

static bool has_npu(const struct jt_node_power *p, const char *hardware)
{
	uint32_t i = 0;

	while (i < p->n_npus && strcmp(p->npus[i].hardware, hardware) != 0)
		i++;
	return i < p->n_npus;
}

/* An entry for each kind of hardware; that of other nodes may be among them. */
static int parse_npus(const struct jt_cluster *c, const struct jt_value *v,
                      struct jt_cluster_node *node)
{
	struct jt_node_power *p = &node->power;
	const char *name;
	json_t *json;
	int status;

	if (!json_is_object(v->json))
		return jt__value_fail(v, JT_EINVAL, "must be an object");
	p->npus = jt__alloc(JT_MAX(json_object_size(v->json), 1), sizeof(*p->npus));
	if (!p->npus)
		return jt__value_fail(v, JT_ENOMEM, "no memory for it");
	json_object_foreach(v->json, name, json)
	{
		struct jt_value one = jt__value_get(v, name);

		if ((status = parse_npu(&one, &p->npus[p->n_npus])) < 0)
			return status;
		p->n_npus++;
	}
	for (uint32_t i = 0; i < node->n_instances; i++) {
		const char *hardware = c->instances[node->first_instance + i].hardware;

		if (!has_npu(p, hardware))
			return jt__value_fail(v, JT_EINVAL,
			                      "has no entry for '%s', which the node's instance "
			                      "%u runs on",
			                      hardware, i);
	}
	return JT_OK;
}

/* What of the DRAM the description of the PIM knows better need not be given. */
static int parse_dram(struct jt_cluster_reader *r, const struct jt_value *v,
                      struct jt_cluster_node *node)
{
	const struct jt_pim *pim = node->pim;
	struct jt_node_power *p = &node->power;
	const struct jt_field fields[] = {
		{ "dimm_size", JT_FIELD_NUMBER, !pim, 1e-3, JT_CLUSTER_MAX_GB, "GB", IN(dimm_gb) },
		{ "idle_power", JT_FIELD_NUMBER, !pim, WATTS, IN(dimm_idle_w) },
		{ "energy_per_bit", JT_FIELD_NUMBER, true, PJ, IN(dram_pj_per_bit) },
		{ NULL }
	};
	int status = jt__value_fields(v, fields, p);

	if (status || !pim)
		return status;
	if (jt__value_get(v, "dimm_size").json)
		jt__cluster_overwritten(r, "dimm_size", "'dram' power", pim->channel_gb, false);
	/* The reference says so whether there was one or not. */
	jt__cluster_overwritten(r, "idle_power", "'dram' power", pim->idle_w, false);
	p->dimm_gb = pim->channel_gb;
	p->dimm_idle_w = pim->idle_w;
	return JT_OK;
}

static int parse_cpu(const struct jt_value *v, struct jt_node_power *p)
{
	static const struct jt_field fields[] = {
		{ "idle_power", JT_FIELD_NUMBER, true, WATTS, IN(cpu_idle_w) },
		{ "active_power", JT_FIELD_NUMBER, true, WATTS, IN(cpu_active_w) },
		{ "util", JT_FIELD_NUMBER, true, 0, 1, NULL, IN(cpu_util) },
		{ NULL }
	};
	int status = jt__value_fields(v, fields, p);

	if (!status && p->cpu_active_w < p->cpu_idle_w)
		status = jt__value_fail(v, JT_EINVAL,
		                        "'active_power' (%g W) is below 'idle_power' (%g W)",
		                        p->cpu_active_w, p->cpu_idle_w);
	return status;
}

static const struct jt_field link_fields[] = {
	{ "num_links", JT_FIELD_NUMBER, true, COUNT, IN(n_links) },
	{ "idle_power", JT_FIELD_NUMBER, true, WATTS, IN(link_idle_w) },
	{ "energy_per_bit", JT_FIELD_NUMBER, true, PJ, IN(link_pj_per_bit) },
	{ NULL }
};
static const struct jt_field nic_fields[] = {
	{ "num_nics", JT_FIELD_NUMBER, true, COUNT, IN(n_nics) },
	{ "idle_power", JT_FIELD_NUMBER, true, WATTS, IN(nic_idle_w) },
	{ NULL }
};
static const struct jt_field storage_fields[] = {
	{ "num_devices", JT_FIELD_NUMBER, true, COUNT, IN(n_storage) },
	{ "idle_power", JT_FIELD_NUMBER, true, WATTS, IN(storage_idle_w) },
	{ NULL }
};

int jt__cluster_power(struct jt_cluster_reader *r, const struct jt_value *v,
                      struct jt_cluster_node *node)
{
	static const struct jt_field fields[] = { { "base_node_power", JT_FIELD_NUMBER, true, WATTS,
		                                    IN(base_w) },
		                                  { "npu", .required = true },
		                                  { "cpu", .required = true },
		                                  { "dram", .required = true },
		                                  { "link", .required = true },
		                                  { "nic", .required = true },
		                                  { "storage", .required = true },
		                                  { NULL } };
	struct jt_value npu = jt__value_get(v, "npu"), cpu = jt__value_get(v, "cpu");
	struct jt_value dram = jt__value_get(v, "dram"), link = jt__value_get(v, "link");
	struct jt_value nic = jt__value_get(v, "nic"), storage = jt__value_get(v, "storage");
	struct jt_node_power *p = &node->power;
	int status;

	if ((status = jt__value_fields(v, fields, p)) < 0 ||
	    (status = parse_npus(r->c, &npu, node)) < 0 || (status = parse_cpu(&cpu, p)) < 0 ||
	    (status = parse_dram(r, &dram, node)) < 0 ||
	    (status = jt__value_fields(&link, link_fields, p)) < 0 ||
	    (status = jt__value_fields(&nic, nic_fields, p)) < 0)
		return status;
	node->has_power = true;
	return jt__value_fields(&storage, storage_fields, p);
}
