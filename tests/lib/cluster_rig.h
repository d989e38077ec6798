/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLUSTER_RIG_H
#define JT_CLUSTER_RIG_H
/* For the tests of a cluster's JSON: a plain cluster, and what a test changes in it. */
#include <jansson.h>
#include <stdlib.h>
#include "simulator/cluster.h"
#include "tap.h"
#include "tree.h"

#define CONFIGS JT_SOURCE_ROOT "/data/simulator/configs"

/*
 * What the tests begin with, and change: a node with one instance, and all that has power. Paths
 * are written with dots, "nodes.0.power"; a change to NULL takes a member away, one behind the end
 * of a list adds to it.
 */
static const char plain[] =
	"{'num_nodes':1,'link_bw':16,'link_latency':20000,'nodes':[{'num_instances':1,"
	"'cpu_mem':{'mem_size':512,'mem_bw':256,'mem_latency':0},'instances':[{"
	"'model_name':'meta-llama/Llama-3.1-8B','hardware':'RTXPRO6000','pd_type':null,"
	"'npu_mem':{'mem_size':96,'mem_bw':1597,'mem_latency':0}}],'power':{"
	"'base_node_power':60,'npu':{'RTXPRO6000':{'idle_power':35,'standby_power':300,"
	"'active_power':600,'standby_duration':18}},'cpu':{'idle_power':10,'active_power':200,"
	"'util':0.15},'dram':{'dimm_size':32,'idle_power':2.0,'energy_per_bit':6.0},"
	"'link':{'num_links':1,'idle_power':5,'energy_per_bit':4.0},"
	"'nic':{'num_nics':1,'idle_power':20},'storage':{'num_devices':2,'idle_power':5}}}]}";

#define LLAMA "'meta-llama/Llama-3.1-8B'"
#define MIXTURE "'Qwen/Qwen3-30B-A3B-Instruct-2507'"
#define MEM "'npu_mem':{'mem_size':96,'mem_bw':1597,'mem_latency':0}"
#define INSTANCE(model, more) "{'model_name':" model ",'hardware':'RTXPRO6000'," MEM more "}"
#define NODE(instance)                                                                             \
	"{'num_instances':1,'cpu_mem':{'mem_size':512,'mem_bw':256,'mem_latency':0},"              \
	"'instances':[" instance "]}"
#define FIRST "nodes.0.instances.0."

struct change {
	const char *path, *json;
};
#define CHANGES(...)                                                                               \
	(const struct change[])                                                                    \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			NULL, NULL                                                                 \
		}                                                                                  \
	}

static struct tree dir;
static struct jt_serving_defaults defaults = JT_SERVING_DEFAULTS;

/* JSON with ' for ". */
static json_t *quoted(const char *text)
{
	char json[4096];

	snprintf(json, sizeof(json), "%s", text);
	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return json_loads(json, JSON_DECODE_ANY, NULL);
}

static json_t *step(json_t *at, const char *name)
{
	return json_is_array(at) ? json_array_get(at, (size_t)atoi(name))
	                         : json_object_get(at, name);
}

static void put(json_t *at, const struct change *change)
{
	char path[256], *name, *rest = path;
	size_t i;

	snprintf(path, sizeof(path), "%s", change->path);
	while ((name = strsep(&rest, ".")) && rest)
		at = step(at, name);
	i = (size_t)atoi(name);
	if (!change->json)
		check(json_object_del(at, name) == 0);
	else if (json_is_array(at) && i == json_array_size(at))
		check(json_array_append_new(at, quoted(change->json)) == 0);
	else if (json_is_array(at))
		check(json_array_set_new(at, i, quoted(change->json)) == 0);
	else
		check(json_object_set_new(at, name, quoted(change->json)) == 0);
}

static int load_text(const char *text, struct jt_cluster **ret_cluster, struct jt_error *err)
{
	const char *path = tree_path(&dir, "/cluster/x.json");
	struct jt_cluster_where where = { .path = path,
		                          .model_configs = CONFIGS "/model",
		                          .pim_configs = CONFIGS "/pim" };

	tree_write(&dir, "/cluster/x.json", text, strlen(text));
	return jt__cluster_load(&where, &defaults, ret_cluster, err);
}

static int load(const struct change *changes, struct jt_cluster **ret_cluster, struct jt_error *err)
{
	json_t *json = quoted(plain);
	char *text;
	int status;

	for (; changes && changes->path; changes++)
		put(json, changes);
	text = json_dumps(json, JSON_COMPACT);
	status = load_text(text, ret_cluster, err);
	free(text);
	json_decref(json);
	return status;
}

/* The cluster after @changes, which must be one; the caller's. */
static struct jt_cluster *accept(const struct change *changes)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	if (!check(load(changes, &c, &err) == JT_OK)) {
		printf("# %s: %s\n", err.where, err.message);
		exit(1);
	}
	return c;
}

static void refuse_as(int status, const struct change *changes, const char *message)
{
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;

	check(load(changes, &c, &err) == status && !c);
	check_text(err.message, message);
	jt__cluster_free(c);
}
#define REFUSE(message, ...) refuse_as(JT_EINVAL, CHANGES(__VA_ARGS__), message)

#define WITH_PIM                                                                                   \
	{ FIRST "enable_attn_offloading", "true" },                                                \
	{                                                                                          \
		"nodes.0.cpu_mem.pim_config", "'DDR4_8GB_3200_pim'"                                \
	}

#define CXL                                                                                        \
	{                                                                                          \
		"cxl_mem", "{'mem_size':1024,'mem_bw':60,'mem_latency':250,'num_devices':4}"       \
	}

/* In place of main(): @run has all tests. */
static int cluster_tests(void (*run)(void))
{
	int status;

	dir = tree_new(NULL);
	tree_run("mkdir", "", tree_path(&dir, "/cluster"));
	run();
	status = tap_done();
	tree_free(&dir);
	return status;
}

#endif
