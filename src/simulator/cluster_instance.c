/* SPDX-License-Identifier: Apache-2.0 */
/* One instance of an engine, and what instances have in common. */
#include "simulator/cluster_read.h"
#include "simulator/sim_model.h"

#define AT(member) JT_FIELD_AT(jt_instance, member)
#define DEGREE 1, JT_CLUSTER_MAX_DEGREE, NULL
#define TOKENS 0, 1e9, NULL

static const struct jt_field mem_fields[] = { JT_ROW_SIZE(jt_instance, mem_gb, true),
	                                      JT_ROW_BW(jt_instance, mem_bw_gbs, true),
	                                      JT_ROW_LATENCY(jt_instance, mem_latency_ns, true),
	                                      { "mem_util", JT_FIELD_NUMBER, false, 1e-6, 1, NULL,
	                                        AT(mem_util) },
	                                      { NULL } };

static const struct jt_field fields[] = {
	{ "model_name", .required = true },
	{ "hardware", JT_FIELD_TEXT, true, AT(hardware) },
	{ "npu_mem", .required = true },
	{ "pd_type" },
	{ "num_npus", JT_FIELD_COUNT, false, 1, JT_CLUSTER_MAX_NPUS, NULL, AT(n_npus) },
	{ "tp_size", JT_FIELD_COUNT, false, DEGREE, AT(tp) },
	{ "pp_size", JT_FIELD_COUNT, false, DEGREE, AT(pp) },
	{ "ep_size", JT_FIELD_COUNT, false, DEGREE, AT(ep) },
	{ "dp_group" },
	{ "max_num_seqs", JT_FIELD_COUNT, false, TOKENS, AT(serving.max_num_seqs) },
	{ "max_num_batched_tokens", JT_FIELD_COUNT, false, TOKENS,
	  AT(serving.max_num_batched_tokens) },
	{ "long_prefill_token_threshold", JT_FIELD_COUNT, false, TOKENS,
	  AT(serving.long_prefill_token_threshold) },
	{ "block_size", JT_FIELD_COUNT, false, 1, 1e6, NULL, AT(serving.block_size) },
	{ "dtype" },
	{ "kv_cache_dtype" },
	{ "enable_chunked_prefill", JT_FIELD_BOOL, AT(serving.chunked_prefill) },
	{ "enable_prefix_caching", JT_FIELD_BOOL, AT(serving.prefix_caching) },
	{ "reserve_full_isl", JT_FIELD_BOOL, AT(serving.reserve_full_isl) },
	{ "enable_local_offloading", JT_FIELD_BOOL, AT(serving.local_offloading) },
	{ "enable_attn_offloading", JT_FIELD_BOOL, AT(serving.attn_offloading) },
	{ "enable_sub_batch_interleaving", JT_FIELD_BOOL, AT(serving.sub_batch_interleaving) },
	{ "enable_block_copy", JT_FIELD_BOOL, AT(serving.block_copy) },
	{ "placement" },
	{ NULL }
};

/* Names become parts of paths: they must not lead elsewhere. */
static int check_name(const struct jt_value *v, const char *name, bool may_have_slash)
{
	const char *slash = strchr(name, '/');

	if (*name == '.' || strstr(name, "/.") || *name == '/' || (slash && !may_have_slash))
		return jt__value_fail(v, JT_EINVAL, "'%.60s' is no name: %s", name,
		                      may_have_slash ? "it is like 'meta-llama/Llama-3.1-8B'"
		                                     : "it has a '/', or begins with a '.'");
	return JT_OK;
}

static int load_model(struct jt_cluster_reader *r, const struct jt_value *v, const char *name,
                      struct jt_sim_model **ret_model)
{
	struct jt_sim_model *m;
	char *path;
	int status = jt__cluster_find(r, v, r->where->model_configs, "model", name, ".json", &path);

	if (status)
		return status;
	m = jt__alloc(1, sizeof(*m));
	status = m ? jt__sim_model_load(path, name, m, v->err)
	           : jt__value_fail(v, JT_ENOMEM, "no memory for it");
	jt__free(path);
	if (status) {
		jt__free(m);
		return status;
	}
	*ret_model = m;
	return JT_OK;
}

/* Each model is read once. */
static int set_model(struct jt_cluster_reader *r, const struct jt_value *v, struct jt_instance *in)
{
	struct name {
		char text[sizeof(((struct jt_sim_model *)0)->name)];
	} name;
	static const struct jt_field field = { "model_name", JT_FIELD_TEXT, true,
		                               JT_FIELD_AT(name, text) };
	struct jt_cluster *c = r->c;
	int status;

	if ((status = jt__value_read(v, &field, &name)) < 0 ||
	    (status = check_name(v, name.text, true)) < 0)
		return status;
	for (uint32_t i = 0; i < c->n_models && !in->model; i++) {
		if (strcmp(c->models[i]->name, name.text) == 0)
			in->model = c->models[i];
	}
	if (in->model)
		return JT_OK;
	if ((status = load_model(r, v, name.text, &c->models[c->n_models])) < 0)
		return status;
	in->model = c->models[c->n_models++];
	return JT_OK;
}

static int set_dtypes(const struct jt_value *v, struct jt_instance *in)
{
	static const char *const kv_choices[] = { "auto", "fp8", NULL };
	struct jt_value dtype = jt__value_get(v, "dtype"), kv = jt__value_get(v, "kv_cache_dtype");
	const char *name = json_string_value(dtype.json);
	size_t i;
	int status;

	if (dtype.json && !(in->serving.dtype = name ? jt__dtype_find(name) : JT_DTYPE_NONE))
		return jt__value_fail(&dtype, JT_EINVAL,
		                      "must be one of \"float16\", \"bfloat16\", "
		                      "\"float32\", \"fp8\", \"int8\"");
	if (!in->serving.dtype)
		in->serving.dtype = in->model->dtype ? in->model->dtype : JT_BFLOAT16;
	if (!kv.json)
		return JT_OK;
	if ((status = jt__value_choice(&kv, kv_choices, &i)) < 0)
		return status;
	in->serving.kv_fp8 = i == 1;
	return JT_OK;
}

/* NPUs = tensor x pipeline parallel, of which any may be left out. 0: not given. */
static int set_degrees(const struct jt_value *v, struct jt_instance *in)
{
	uint32_t given = in->n_npus, layers = in->model->arch.n_layers;

	if (given && in->tp && !in->pp)
		in->pp = given / in->tp;
	in->pp = JT_MAX(in->pp, 1);
	if (given && !in->tp)
		in->tp = given / in->pp;
	in->tp = JT_MAX(in->tp, 1);
	in->n_npus = in->tp * in->pp;
	if (given && given != in->n_npus)
		return jt__value_fail(v, JT_EINVAL,
		                      "'num_npus' (%u) is not 'tp_size' (%u) x "
		                      "'pp_size' (%u)",
		                      given, in->tp, in->pp);
	if (in->tp > JT_CLUSTER_MAX_DEGREE)
		return jt__value_fail(v, JT_EINVAL, "'tp_size' would be %u, more than %d", in->tp,
		                      JT_CLUSTER_MAX_DEGREE);
	if (in->pp > layers)
		return jt__value_fail(v, JT_EINVAL,
		                      "'pp_size' (%u) is more than the model has "
		                      "blocks (%u)",
		                      in->pp, layers);
	return JT_OK;
}

static int set_experts(const struct jt_value *v, struct jt_instance *in)
{
	uint32_t n_experts = in->model->arch.n_experts;

	if (!in->ep)
		in->ep = n_experts ? in->tp : 1;
	in->local_ep = in->ep;
	if (in->dp_group < 0 && in->ep > in->tp)
		return jt__value_fail(v, JT_EINVAL,
		                      "'ep_size' (%u) is more than 'tp_size' (%u), "
		                      "which takes a 'dp_group'",
		                      in->ep, in->tp);
	if (n_experts % in->ep != 0)
		return jt__value_fail(v, JT_EINVAL,
		                      "'ep_size' (%u) does not divide the model's %u "
		                      "experts",
		                      in->ep, n_experts);
	return JT_OK;
}

/* Groups are counted as they appear. */
static int set_group(struct jt_cluster_reader *r, const struct jt_value *v, struct jt_instance *in)
{
	const char *name = json_string_value(v->json);
	uint32_t i = 0;

	in->dp_group = -1;
	in->dp_members = 1;
	if (!v->json)
		return JT_OK;
	if (!name || !*name)
		return jt__value_fail(v, JT_EINVAL, "must be a text, or null");
	while (i < r->c->n_dp_groups && strcmp(r->groups[i], name) != 0)
		i++;
	if (i == r->c->n_dp_groups)
		r->groups[r->c->n_dp_groups++] = name;
	in->dp_group = (int)i;
	return JT_OK;
}

static int set_role(const struct jt_value *v, struct jt_instance *in)
{
	static const char *const choices[] = { "prefill", "decode", NULL };
	size_t i;
	int status;

	if (!v->json) /* JT_ROLE_BOTH */
		return JT_OK;
	status = jt__value_choice(v, choices, &i);
	if (!status)
		in->role = i == 0 ? JT_ROLE_PREFILL : JT_ROLE_DECODE;
	return status;
}

static int check_interleaving(const struct jt_value *v, const struct jt_instance *in)
{
	if (!in->serving.sub_batch_interleaving)
		return JT_OK;
	if (!in->serving.attn_offloading)
		return jt__value_fail(v, JT_EINVAL,
		                      "sub-batch interleaving needs attention "
		                      "offloading: set 'enable_attn_offloading'");
	if (in->pp != 1)
		return jt__value_fail(v, JT_EINVAL,
		                      "sub-batch interleaving needs a 'pp_size' of 1, "
		                      "not %u",
		                      in->pp);
	return JT_OK;
}

/* Numbers them on: the receivers of a prefill instance's KV are NPUs of their own. */
static int number_npus(struct jt_cluster *c, const struct jt_value *v, struct jt_instance *in)
{
	in->first_npu = c->n_npus;
	c->n_npus += in->n_npus * (in->role == JT_ROLE_PREFILL ? 2 : 1);
	if (c->n_npus > JT_CLUSTER_MAX_NPUS)
		return jt__value_fail(v, JT_EINVAL, "there are more than %u NPUs by now",
		                      JT_CLUSTER_MAX_NPUS);
	return JT_OK;
}

int jt__cluster_instance(struct jt_cluster_reader *r, const struct jt_value *v, uint32_t node,
                         uint32_t i)
{
	struct jt_value mem = jt__value_get(v, "npu_mem"), model = jt__value_get(v, "model_name");
	struct jt_value hardware = jt__value_get(v, "hardware"), role = jt__value_get(v, "pd_type");
	struct jt_value group = jt__value_get(v, "dp_group");
	struct jt_value placement = jt__value_get(v, "placement");
	struct jt_instance *in = &r->c->instances[i];
	int status;

	in->node = node;
	in->serving = *r->defaults;
	in->mem_util = r->defaults->npu_memory_utilization;
	if ((status = jt__value_fields(v, fields, in)) < 0 ||
	    (status = check_name(&hardware, in->hardware, false)) < 0 ||
	    (status = jt__value_fields(&mem, mem_fields, in)) < 0 ||
	    (status = set_role(&role, in)) < 0 || (status = set_model(r, &model, in)) < 0 ||
	    (status = set_dtypes(v, in)) < 0 || (status = set_group(r, &group, in)) < 0 ||
	    (status = set_degrees(v, in)) < 0 || (status = set_experts(v, in)) < 0 ||
	    (status = check_interleaving(v, in)) < 0 ||
	    (status = jt__cluster_placement(r, &placement, in)) < 0)
		return status;
	in->serving.npu_memory_utilization = in->mem_util;
	return number_npus(r->c, v, in);
}

static int fail_instance(const struct jt_cluster_reader *r, const struct jt_instance *in,
                         const char *key, const char *what)
{
	const struct jt_cluster *c = r->c;
	uint32_t i = (uint32_t)(in - c->instances) - c->nodes[in->node].first_instance;

	return jt__value_fail(&r->root, JT_EINVAL, "nodes[%u].instances[%u].%s: %s", in->node, i,
	                      key, what);
}

/* @in is in the same group as @first. */
static int check_member(const struct jt_cluster_reader *r, const struct jt_instance *first,
                        const struct jt_instance *in)
{
	const char *key = in->model != first->model ? "model_name"
	                  : in->tp != first->tp     ? "tp_size"
	                  : in->pp != first->pp     ? "pp_size"
	                  : in->ep != first->ep     ? "ep_size"
	                  : in->role != first->role ? "pd_type"
	                                            : NULL;
	char what[160];

	if (!key)
		return JT_OK;
	snprintf(what, sizeof(what),
	         "differs from that of nodes[%u].instances[%u], which is in the "
	         "same 'dp_group'",
	         first->node,
	         (uint32_t)(first - r->c->instances) - r->c->nodes[first->node].first_instance);
	return fail_instance(r, in, key, what);
}

/* Experts are spread over all members; a dense model has none to spread. */
static int share_experts(const struct jt_cluster_reader *r, struct jt_instance *in)
{
	char what[160];

	if (!in->model->arch.n_experts) {
		in->ep = in->local_ep = 1;
		return JT_OK;
	}
	in->local_ep = in->ep / in->dp_members;
	if (in->ep % in->dp_members == 0 && in->local_ep <= in->tp)
		return JT_OK;
	snprintf(what, sizeof(what),
	         "%u is the whole 'dp_group': it must be a multiple of its %u "
	         "members and at most %u for each (tp_size)",
	         in->ep, in->dp_members, in->tp);
	return fail_instance(r, in, "ep_size", what);
}

static int check_groups(struct jt_cluster_reader *r)
{
	struct jt_cluster *c = r->c;
	struct {
		uint32_t first, n;
	} *groups = jt__alloc(JT_MAX(c->n_dp_groups, 1), sizeof(*groups));
	int status = JT_OK;

	if (!groups)
		return jt__value_fail(&r->root, JT_ENOMEM, "no memory for its groups");
	for (uint32_t i = 0; i < c->n_instances && !status; i++) {
		struct jt_instance *in = &c->instances[i];

		if (in->dp_group < 0)
			continue;
		if (!groups[in->dp_group].n++)
			groups[in->dp_group].first = i;
		if (groups[in->dp_group].n > JT_CLUSTER_MAX_DEGREE)
			status = fail_instance(r, in, "dp_group", "has too many members");
		else
			status = check_member(r, &c->instances[groups[in->dp_group].first], in);
	}
	for (uint32_t i = 0; i < c->n_instances && !status; i++) {
		struct jt_instance *in = &c->instances[i];

		if (in->dp_group < 0)
			continue;
		in->dp_members = groups[in->dp_group].n;
		status = share_experts(r, in);
	}
	jt__free(groups);
	return status;
}

/* Whoever prefills hands over to whoever decodes the same model, and neither does without. */
static int check_roles(struct jt_cluster_reader *r)
{
	const struct jt_instance *of[] = {
		[JT_ROLE_BOTH] = NULL, [JT_ROLE_PREFILL] = NULL, [JT_ROLE_DECODE] = NULL
	};
	const struct jt_cluster *c = r->c;

	for (uint32_t i = 0; i < c->n_instances; i++) {
		const struct jt_instance *in = &c->instances[i];
		const struct jt_instance *other =
			of[JT_ROLE_PREFILL] ? of[JT_ROLE_PREFILL] : of[JT_ROLE_DECODE];

		if (in->role == JT_ROLE_BOTH)
			continue;
		if (other && in->model != other->model)
			return fail_instance(r, in, "model_name",
			                     "prefill and decode instances must "
			                     "have one model");
		of[in->role] = in;
	}
	if (of[JT_ROLE_PREFILL] && !of[JT_ROLE_DECODE])
		return fail_instance(r, of[JT_ROLE_PREFILL], "pd_type",
		                     "\"prefill\" needs an instance that is \"decode\"");
	if (of[JT_ROLE_DECODE] && !of[JT_ROLE_PREFILL])
		return fail_instance(r, of[JT_ROLE_DECODE], "pd_type",
		                     "\"decode\" needs an instance that is \"prefill\"");
	return JT_OK;
}

int jt__cluster_groups(struct jt_cluster_reader *r)
{
	int status = check_groups(r);

	return status ? status : check_roles(r);
}
