/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_POWER_MODEL_H
#define JT_POWER_MODEL_H
/*
 * Energy of one node by component: a constant base, what batches add when they are booked, and the
 * standby of NPUs that have just had work. Pure; one thread.
 */
#include "simulator/sim.h"
#include "simulator/work.h"

struct jt_node_energy {
	const struct jt_cluster_node *node;
	const struct jt_quirks *quirks;
	double base_w[JT_N_COMPONENTS];
	double net_j[JT_N_COMPONENTS]; /* above the base */
	double standby_j, active_j;    /* of net_j[JT_C_NPU] */
};

/* @instances: of the node. */
void jt__node_energy_init(struct jt_node_energy *e, const struct jt_cluster_node *node,
                          const struct jt_instance *instances, const struct jt_quirks *q);

/* What a batch costs above the base, by component. */
struct jt_batch_joules {
	double by[JT_N_COMPONENTS];
};
struct jt_batch_joules jt__batch_joules(const struct jt_node_energy *e,
                                        const struct jt_instance *in,
                                        const struct jt_effort *effort);
double jt__sum_joules(const struct jt_batch_joules *j);
/* Books @part of it: 1, or -0.3 for what of a batch has not happened yet. */
void jt__book(struct jt_node_energy *e, const struct jt_batch_joules *j, double part);
/* So many NPUs of @in in standby. */
void jt__book_standby(struct jt_node_energy *e, const struct jt_instance *in, double seconds,
                      uint32_t n_npus);
double jt__node_idle_w(const struct jt_node_energy *e,
                       const struct jt_instance *in); /* all its NPUs */
double jt__standby_s(const struct jt_node_energy *e, const struct jt_instance *in); /* its limit */

double jt__node_total_j(const struct jt_node_energy *e, uint64_t t_ns);
void jt__node_joules(const struct jt_node_energy *e, uint64_t t_ns, struct jt_sim_joules *ret);

#endif
