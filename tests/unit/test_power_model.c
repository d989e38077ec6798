/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "simulator/power.h"

/* The reference's own example of a node with power, and what it printed for 10 requests. */
static struct jt_npu_power npu = { "GPU", 35, 300, 600, 18 };
static struct jt_cluster_node node = { .cpu_mem_gb = 512,
	                               .has_power = true,
	                               .power = { .base_w = 60,
	                                          .npus = &npu,
	                                          .n_npus = 1,
	                                          .cpu_idle_w = 10,
	                                          .cpu_active_w = 200,
	                                          .cpu_util = 0.15,
	                                          .dimm_gb = 32,
	                                          .dimm_idle_w = 2,
	                                          .dram_pj_per_bit = 6,
	                                          .n_links = 1,
	                                          .link_idle_w = 5,
	                                          .link_pj_per_bit = 4,
	                                          .n_nics = 1,
	                                          .nic_idle_w = 20,
	                                          .n_storage = 2,
	                                          .storage_idle_w = 5 } };
static struct jt_instance one = { .hardware = "GPU", .n_npus = 1, .tp = 1, .pp = 1 };
static const struct jt_quirks no_quirks,
	all_quirks = { .one_rank_links = true, .cxl_in_dram = true };

static double sum(const struct jt_sim_joules *j)
{
	double total = 0;

	for (int i = 0; i < JT_N_COMPONENTS; i++)
		total += i == JT_C_PIM ? 0 : j->by[i];
	return total;
}

static void the_reference_prints_1416_j(void)
{
	const struct jt_effort effort = { .npu_ns = 1617070000 };
	struct jt_node_energy e;
	struct jt_batch_joules b;
	struct jt_sim_joules j;

	jt__node_energy_init(&e, &node, &one, &no_quirks);
	b = jt__batch_joules(&e, &one, &effort);
	jt__book(&e, &b, 1);
	jt__node_joules(&e, 1663996645, &j);
	check_near(j.by[JT_C_NPU], 971.88, 0.01);
	check_near(j.by[JT_C_CPU], 233.05, 0.01);
	check_near(j.by[JT_C_DRAM], 53.25, 0.01);
	check_near(j.by[JT_C_BASE], 99.84, 0.01);
	check_near(j.by[JT_C_LINK], 8.32, 0.01);
	check_near(j.by[JT_C_NIC], 33.28, 0.01);
	check_near(j.by[JT_C_STORAGE], 16.64, 0.01);
	check_near(j.total_j, 1416.26, 0.01);
	check_near(sum(&j), j.total_j, 1e-9);
	check_near(j.npu_idle_j + j.npu_standby_j + j.npu_active_j, j.by[JT_C_NPU], 1e-9);
	check_near(jt__node_total_j(&e, 1663996645), j.total_j, 0);
}

static void standby_is_above_idle(void)
{
	struct jt_node_energy e;
	struct jt_instance four = { .hardware = "GPU", .n_npus = 4, .tp = 2, .pp = 2 };
	struct jt_sim_joules j;

	jt__node_energy_init(&e, &node, &four, &no_quirks);
	check(jt__standby_s(&e, &four) == 18 && jt__node_idle_w(&e, &four) == 0 + 4 * 35);
	jt__book_standby(&e, &four, 2, 3);
	jt__node_joules(&e, 0, &j);
	check_near(j.npu_standby_j, 3 * 265 * 2, 1e-9); /* three of them */
	check_near(j.total_j, j.npu_standby_j, 1e-9);
}

static void bytes_cost_picojoules_a_bit(void)
{
	struct jt_node_energy e;
	struct jt_effort effort = {
		.dram_bytes = 3e9, .cxl_bytes = 1e9, .link_bytes = 1e9, .all_link_bytes = 2e9
	};
	struct jt_batch_joules j;

	jt__node_energy_init(&e, &node, &one, &no_quirks);
	j = jt__batch_joules(&e, &one, &effort);
	check_near(j.by[JT_C_DRAM], 2e9 * 8 * 6e-12, 1e-12);
	check_near(j.by[JT_C_CXL], 1e9 * 8 * 6e-12, 1e-12);
	check_near(j.by[JT_C_LINK], 2e9 * 8 * 4e-12, 1e-12);
	jt__node_energy_init(&e, &node, &one, &all_quirks);
	j = jt__batch_joules(&e, &one, &effort);
	check_near(j.by[JT_C_DRAM], 3e9 * 8 * 6e-12, 1e-12);
	check(j.by[JT_C_CXL] == 0);
	check_near(j.by[JT_C_LINK], 1e9 * 8 * 4e-12, 1e-12);
}

static void operations_in_memory_are_a_part_of_dram(void)
{
	const struct jt_pim pim = { .idle_w = 2, .peak_w = 12 };
	struct jt_cluster_node with = node;
	const struct jt_effort effort = { .pim_ns = 5e8 };
	struct jt_node_energy e;
	struct jt_batch_joules b;
	struct jt_sim_joules j;

	with.pim = &pim;
	jt__node_energy_init(&e, &with, &one, &no_quirks);
	b = jt__batch_joules(&e, &one, &effort);
	check_near(b.by[JT_C_PIM], 5, 1e-12);
	check_near(b.by[JT_C_DRAM], 5, 1e-12);
	jt__book(&e, &b, 1);
	jt__node_joules(&e, 0, &j);
	check_near(j.total_j, 5, 1e-12);
}

static void a_busy_cpu_costs_no_less_than_nothing(void)
{
	struct jt_cluster_node busy = node;
	const struct jt_effort effort = { .npu_ns = 1000000000 };
	struct jt_node_energy e;

	busy.power.cpu_util = 0.9;
	jt__node_energy_init(&e, &busy, &one, &no_quirks);
	check(jt__batch_joules(&e, &one, &effort).by[JT_C_CPU] == 0);
}

static void a_batch_may_be_booked_in_parts(void)
{
	const struct jt_effort effort = { .npu_ns = 1000000000,
		                          .link_bytes = 5,
		                          .all_link_bytes = 5 };
	struct jt_node_energy e;
	struct jt_batch_joules b;

	jt__node_energy_init(&e, &node, &one, &no_quirks);
	b = jt__batch_joules(&e, &one, &effort);
	jt__book(&e, &b, 1);
	jt__book(&e, &b, -0.25);
	check_near(e.active_j, 0.75 * 565, 1e-9);
	jt__book(&e, &b, -0.75);
	check_near(jt__node_total_j(&e, 0), 0, 1e-9);
}

static void a_node_without_power_takes_none(void)
{
	struct jt_cluster_node dark = { .cpu_mem_gb = 512 };
	const struct jt_effort effort = { .npu_ns = 1000000000, .dram_bytes = 1e9 };
	struct jt_node_energy e;
	struct jt_batch_joules b;

	jt__node_energy_init(&e, &dark, &one, &no_quirks);
	b = jt__batch_joules(&e, &one, &effort);
	jt__book(&e, &b, 1);
	check(jt__node_total_j(&e, 1000000000) == 0);
}

static void dimms_are_whole(void)
{
	struct jt_cluster_node odd = node;
	struct jt_node_energy e;

	odd.cpu_mem_gb = 100; /* three of 32 */
	jt__node_energy_init(&e, &odd, &one, &no_quirks);
	check_near(e.base_w[JT_C_DRAM], 6, 1e-12);
}

int main(void)
{
	node.n_instances = 1;
	test(the_reference_prints_1416_j);
	test(standby_is_above_idle);
	test(bytes_cost_picojoules_a_bit);
	test(operations_in_memory_are_a_part_of_dram);
	test(a_busy_cpu_costs_no_less_than_nothing);
	test(a_batch_may_be_booked_in_parts);
	test(a_node_without_power_takes_none);
	test(dimms_are_whole);
	return tap_done();
}
