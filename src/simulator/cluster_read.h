/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLUSTER_READ_H
#define JT_CLUSTER_READ_H
/* The parts of reading a cluster configuration; cluster.c puts them together. One thread. */
#include "simulator/cluster.h"
#include "input/value.h"

/* What anything may be at most: beyond it the sums of a simulation lose their last digits. */
#define JT_CLUSTER_MAX_NODES 4096
#define JT_CLUSTER_MAX_INSTANCES 16384 /* of all nodes */
#define JT_CLUSTER_MAX_NPUS (1u << 20)
#define JT_CLUSTER_MAX_DEGREE 1024 /* ranks of a collective */
#define JT_CLUSTER_MAX_GB 1e8
#define JT_CLUSTER_MAX_GBS 1e9
#define JT_CLUSTER_MAX_NS 1e12
#define JT_CLUSTER_MAX_W 1e9

/* Rows for the tables of objects. The reference cuts bandwidths of memory to whole GB/s. */
#define JT_ROW_SIZE(type, member, must)                                                            \
	{                                                                                          \
		"mem_size", JT_FIELD_NUMBER, must, 1e-3, JT_CLUSTER_MAX_GB, "GB",                  \
			JT_FIELD_AT(type, member)                                                  \
	}
#define JT_ROW_BW(type, member, must)                                                              \
	{                                                                                          \
		"mem_bw", JT_FIELD_NUMBER, must, 1, JT_CLUSTER_MAX_GBS, "GB/s",                    \
			JT_FIELD_AT(type, member)                                                  \
	}
#define JT_ROW_LATENCY(type, member, must)                                                         \
	{                                                                                          \
		"mem_latency", JT_FIELD_NUMBER, must, 0, JT_CLUSTER_MAX_NS, "ns",                  \
			JT_FIELD_AT(type, member)                                                  \
	}

struct jt_cluster_reader {
	const struct jt_cluster_where *where;
	const struct jt_serving_defaults *defaults;
	struct jt_cluster *c;
	struct jt_value root;
	struct jt_buf remarks;
	const char **groups; /* names of the dp_groups; of the JSON */
};

/*
 * Opens a configuration file that goes with the cluster's: @name and @suffix in @given, else in
 * ../@kind and so on as struct jt_cluster_where says; @v is who names it. The path is the caller's
 * to give back by jt__free(). JT_ENOENT says where it was looked for.
 */
int jt__cluster_find(const struct jt_cluster_reader *r, const struct jt_value *v, const char *given,
                     const char *kind, const char *name, const char *suffix, char **ret_path);

/* One instance of node @node into instances[@i]. */
int jt__cluster_instance(struct jt_cluster_reader *r, const struct jt_value *v, uint32_t node,
                         uint32_t i);
/* What instances must have in common; after all have been read. */
int jt__cluster_groups(struct jt_cluster_reader *r);

/* Where the weights of @instance are; @v is its "placement", which may be absent. */
int jt__cluster_placement(const struct jt_cluster_reader *r, const struct jt_value *v,
                          struct jt_instance *instance);

/* The "power" of @node, after its instances and its PIM. */
int jt__cluster_power(struct jt_cluster_reader *r, const struct jt_value *v,
                      struct jt_cluster_node *node);

/* "'KEY' in 'WHERE' configuration will be overwritten by …", as the reference words it. */
void jt__cluster_overwritten(struct jt_cluster_reader *r, const char *key, const char *where,
                             double value, bool is_whole);

#endif
