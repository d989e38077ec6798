/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference's power model (Cho et al., LLMServingSim 2.0, arXiv 2602.23036). A node draws its
 * base all the time: itself, its NPUs idle, its CPU at `util` of the way from idle to active, its
 * DIMMs, links, NICs and disks. Above that
 *   NPU      (active - idle) x seconds of layers x ranks that run them
 *   NPU      (standby - idle) x seconds since its last batch, up to standby_duration
 *   CPU      (active - idle) x max(0.7 - util, 0) x seconds of layers
 *   DRAM     8 x bytes x pJ/bit, and (peak - idle) x seconds of PIM operations
 *   link     8 x bytes x pJ/bit
 */
#include <math.h>
#include <string.h>
#include "simulator/power.h"

#define BUSY_CPU 0.7 /* share of its range that a CPU draws while an NPU it serves is active */
#define NS 1e-9
#define PJ 1e-12

static const struct jt_npu_power *npu_power(const struct jt_cluster_node *node,
                                            const char *hardware)
{
	static const struct jt_npu_power none;

	for (uint32_t i = 0; i < node->power.n_npus; i++) {
		if (strcmp(node->power.npus[i].hardware, hardware) == 0)
			return &node->power.npus[i];
	}
	return &none;
}

void jt__node_energy_init(struct jt_node_energy *e, const struct jt_cluster_node *node,
                          const struct jt_instance *instances, const struct jt_quirks *q)
{
	const struct jt_node_power *p = &node->power;
	double *w = e->base_w;

	*e = (struct jt_node_energy){ .node = node, .quirks = q };
	if (!node->has_power)
		return;
	w[JT_C_BASE] = p->base_w;
	for (uint32_t i = 0; i < node->n_instances; i++)
		w[JT_C_NPU] += npu_power(node, instances[i].hardware)->idle_w * instances[i].n_npus;
	w[JT_C_CPU] = p->cpu_idle_w + (p->cpu_active_w - p->cpu_idle_w) * p->cpu_util;
	w[JT_C_DRAM] = p->dimm_idle_w * floor(node->cpu_mem_gb / p->dimm_gb);
	w[JT_C_LINK] = p->link_idle_w * p->n_links;
	w[JT_C_NIC] = p->nic_idle_w * p->n_nics;
	w[JT_C_STORAGE] = p->storage_idle_w * p->n_storage;
}

struct jt_batch_joules jt__batch_joules(const struct jt_node_energy *e,
                                        const struct jt_instance *in,
                                        const struct jt_effort *effort)
{
	const struct jt_node_power *p = &e->node->power;
	const struct jt_npu_power *npu = npu_power(e->node, in->hardware);
	double layers_s = (double)effort->npu_ns * NS;
	double cxl_bytes = e->quirks->cxl_in_dram ? 0 : effort->cxl_bytes;
	double link_bytes = e->quirks->one_rank_links ? effort->link_bytes : effort->all_link_bytes;
	struct jt_batch_joules j = { 0 };

	if (!e->node->has_power)
		return j;
	j.by[JT_C_NPU] = (npu->active_w - npu->idle_w) * layers_s * in->tp;
	j.by[JT_C_CPU] =
		(p->cpu_active_w - p->cpu_idle_w) * fmax(BUSY_CPU - p->cpu_util, 0) * layers_s;
	if (e->node->pim)
		j.by[JT_C_PIM] = (e->node->pim->peak_w - p->dimm_idle_w) * effort->pim_ns * NS;
	j.by[JT_C_CXL] = cxl_bytes * 8 * p->dram_pj_per_bit * PJ;
	j.by[JT_C_DRAM] =
		(effort->dram_bytes - cxl_bytes) * 8 * p->dram_pj_per_bit * PJ + j.by[JT_C_PIM];
	j.by[JT_C_LINK] = link_bytes * 8 * p->link_pj_per_bit * PJ;
	return j;
}

double jt__sum_joules(const struct jt_batch_joules *j)
{
	double sum = 0;

	for (int c = 0; c < JT_N_COMPONENTS; c++)
		sum += c == JT_C_PIM ? 0 : j->by[c]; /* inside of DRAM */
	return sum;
}

void jt__book(struct jt_node_energy *e, const struct jt_batch_joules *j, double part)
{
	for (int i = 0; i < JT_N_COMPONENTS; i++)
		e->net_j[i] += j->by[i] * part;
	e->active_j += j->by[JT_C_NPU] * part;
}

void jt__book_standby(struct jt_node_energy *e, const struct jt_instance *in, double seconds,
                      uint32_t n_npus)
{
	const struct jt_npu_power *npu = npu_power(e->node, in->hardware);
	double j = (npu->standby_w - npu->idle_w) * seconds * n_npus;

	e->net_j[JT_C_NPU] += j;
	e->standby_j += j;
}

double jt__node_idle_w(const struct jt_node_energy *e, const struct jt_instance *in)
{
	return npu_power(e->node, in->hardware)->idle_w * in->n_npus;
}

double jt__standby_s(const struct jt_node_energy *e, const struct jt_instance *in)
{
	return npu_power(e->node, in->hardware)->standby_s;
}

void jt__node_joules(const struct jt_node_energy *e, uint64_t t_ns, struct jt_sim_joules *ret)
{
	double t_s = (double)t_ns * NS;

	*ret = (struct jt_sim_joules){ .npu_idle_j = e->base_w[JT_C_NPU] * t_s,
		                       .npu_standby_j = e->standby_j,
		                       .npu_active_j = e->active_j };
	for (int i = 0; i < JT_N_COMPONENTS; i++) {
		ret->by[i] = e->net_j[i] + e->base_w[i] * t_s;
		if (i != JT_C_PIM) /* inside of DRAM */
			ret->total_j += ret->by[i];
	}
}

double jt__node_total_j(const struct jt_node_energy *e, uint64_t t_ns)
{
	struct jt_sim_joules j;

	jt__node_joules(e, t_ns, &j);
	return j.total_j;
}
