/* SPDX-License-Identifier: Apache-2.0 */
/* What the reference prints, of a simulation that is made up; tests/integration has real ones. */
#include <stdlib.h>
#include "tap.h"
#include "simulator/compat.h"
#include "simulator/summary.h"

/* ---- a simulation that says what it is told to ---- */

struct jt_sim {
	struct jt_sim_totals totals;
	struct jt_sim_instance_state instances[3];
	struct jt_sim_joules joules[2];
	uint64_t pool_bytes, pool_requested, pool_hit;
};

void jt__sim_totals(const struct jt_sim *s, struct jt_sim_totals *ret_totals)
{
	*ret_totals = s->totals;
}

void jt__sim_instance(const struct jt_sim *s, uint32_t i, struct jt_sim_instance_state *ret_state)
{
	*ret_state = s->instances[i];
}

void jt__sim_joules(const struct jt_sim *s, uint32_t node, struct jt_sim_joules *ret_joules)
{
	*ret_joules = s->joules[node];
}

uint64_t jt__sim_pool_bytes(const struct jt_sim *s, uint32_t node, uint64_t *ret_requested,
                            uint64_t *ret_hit)
{
	(void)node;
	*ret_requested = s->pool_requested;
	*ret_hit = s->pool_hit;
	return s->pool_bytes;
}

/* ---- a cluster: node 0 with instances 0 and 1, node 1 with instance 2 ---- */

static struct jt_sim_model model = { .name = "m" };
static struct jt_instance instances[3];
static struct jt_cluster_node nodes[2];
static struct jt_cluster cluster;
static struct jt_sim_options options;
static struct jt_sim sim;
static struct jt_sim_results results;
static struct jt_serving_defaults serving = JT_SERVING_DEFAULTS;
static struct jt_compat_input input = { .cluster_config = "c.json",
	                                .run_id = "r",
	                                .dataset = "d.jsonl",
	                                .routing = "LOAD",
	                                .experts = "BALANCED",
	                                .prefix_storage = "None",
	                                .network = "analytical",
	                                .log_level = "WARNING",
	                                .serving = &serving };

static void set_up(uint32_t n_nodes)
{
	jt__results_fini(&results); /* before its cluster changes */
	memset(&sim, 0, sizeof(sim));
	memset(&options, 0, sizeof(options));
	memset(&cluster, 0, sizeof(cluster));
	for (uint32_t i = 0; i < 3; i++) {
		instances[i] = (struct jt_instance){
			.node = i / 2, .model = &model, .serving = serving, .mem_util = 0.9
		};
		sim.instances[i] =
			(struct jt_sim_instance_state){ .n_npus = 1,
			                                .npu_mem_bytes = 96.0 * (1 << 30),
			                                .prefix_caching = true,
			                                .n_blocks = 36578,
			                                .block_tokens = 16,
			                                .bytes_per_block = 2 << 20,
			                                .npu_used_bytes = UINT64_C(16060522496) };
	}
	nodes[0] = (struct jt_cluster_node){ .cpu_mem_gb = 512, .n_instances = n_nodes };
	nodes[1] = (struct jt_cluster_node){ .cpu_mem_gb = 512,
		                             .first_instance = 2,
		                             .n_instances = 1 };
	cluster.n_nodes = n_nodes;
	cluster.n_instances = n_nodes == 1 ? 1 : 3;
	cluster.nodes = nodes;
	cluster.instances = instances;
	options.log_interval_s = 0.1;
	input.prefix_storage = "None";
	jt__results_init(&results, &cluster, &options, NULL);
	results.sim = &sim;
	results.complete = true;
}

static char *text;
static size_t text_n;

static FILE *begin_text(void)
{
	free(text);
	text = NULL;
	return open_memstream(&text, &text_n);
}

static const char *beat(const struct jt_sim_beat *b)
{
	FILE *to = begin_text();

	jt__compat_beat(&results, b, to);
	fclose(to);
	return text;
}

static bool has(const char *piece)
{
	bool found = strstr(text, piece) != NULL;

	if (!found)
		printf("# not there: %s\n# in:\n%s", piece, text);
	return found;
}

/* ---- tests ---- */

static void doubles_look_as_in_python(void)
{
	static const struct {
		double v;
		const char *text;
	} rows[] = {
		{ 870, "870.0" },
		{ 1172.18, "1172.18" },
		{ 0, "0.0" },
		{ 0.1, "0.1" },
		{ -2.5, "-2.5" },
		{ 1e15, "1000000000000000.0" },
		{ 1e16, "1e+16" },
		{ 1.5e300, "1.5e+300" },
		{ 123456789012345680, "1.2345678901234568e+17" },
		{ 9007199254740992, "9007199254740992.0" },
		{ 0.0001, "0.0001" },
		{ 0.00012345, "0.00012345" },
		{ 0.00001, "1e-05" },
		{ 0.30000000000000004, "0.30000000000000004" },
		{ -1.2345678901234567e-300, "-1.2345678901234568e-300" },
		{ INFINITY, "inf" },
	};
	char out[48];

	for (size_t i = 0; i < JT_ARRAY_LEN(rows); i++)
		check_text(jt__compat_repr(rows[i].v, out), rows[i].text);
}

static void the_input_stands_before_the_run(void)
{
	FILE *to;

	set_up(1);
	to = begin_text();
	jt__compat_begin(&results, &input, to);
	fclose(to);
	check(has(
		"\n                              Input configuration                               "
		"\n\n  • Cluster config             : c.json\n"));
	check(has("\n  • Prefix caching scheme      : xPU-Only\n"));
	check(has("\n  • Log interval (s)           : 0.1\n"));
	check(has(
		"\n                            KV Cache Initialization                             "
		"\n\n  • Instance [0] : 585248 tokens / 36578 blocks (71.44 GiB/rank at util "
		"0.90)\n────"));
	check(has("─\n▶ Starting simulation...\n\n"));
}

static void a_heartbeat_ends_with_the_power(void)
{
	const struct jt_sim_beat b = { .nominal_s = 0.1,
		                       .prompt_per_s = 100,
		                       .generation_per_s = 50,
		                       .has_power = true,
		                       .power_w = 636.32 };

	set_up(1);
	sim.instances[0].running = 1;
	sim.instances[0].requested_tokens = 10;
	sim.instances[0].npu_used_bytes += 2 << 20;
	check_text(
		beat(&b),
		"[0.1s] Avg prompt throughput: 100.0 tokens/s, Avg generation throughput: 50.0 "
		"tokens/s\n"
		"        ├─Running Instance[0]: 1 reqs, Waiting: 0 reqs, Total # 1 NPUs, Each NPU "
		"Memory Usage 15318.51 MB (15.583 % Used), Prefix Cache Hit ratio 0.00 %, (0 / "
		"10)\n"
		"        ├─Node[0]: Total CPU Memory Usage 0.00 MB, 0.000 % Used \n"
		"        └─Avg power consumption: 636.32 W\n");
}

static void without_power_the_last_node_ends_the_tree(void)
{
	const struct jt_sim_beat b = { .nominal_s = 12, .prompt_per_s = 1.25 };

	set_up(2);
	sim.instances[0].cpu_used_bytes = 3 << 20;
	sim.instances[1].cpu_used_bytes = 1 << 20;
	check_text(
		beat(&b),
		"[12.0s] Avg prompt throughput: 1.2 tokens/s, Avg generation throughput: 0.0 "
		"tokens/s\n"
		"         ├─Running Instance[0]: 0 reqs, Waiting: 0 reqs, Total # 1 NPUs, Each NPU "
		"Memory Usage 15316.51 MB (15.581 % Used)\n"
		"         ├─Running Instance[1]: 0 reqs, Waiting: 0 reqs, Total # 1 NPUs, Each NPU "
		"Memory Usage 15316.51 MB (15.581 % Used)\n"
		"         ├─Running Instance[2]: 0 reqs, Waiting: 0 reqs, Total # 1 NPUs, Each NPU "
		"Memory Usage 15316.51 MB (15.581 % Used)\n"
		"         ├─Node[0]: Total CPU Memory Usage 4.00 MB, 0.001 % Used (Instance[0]: "
		"75.00 %, Instance[1]: 25.00 %)\n"
		"         └─Node[1]: Total CPU Memory Usage 0.00 MB, 0.000 % Used \n");
}

static void a_shared_pool_shows_its_own_hits(void)
{
	const struct jt_sim_beat b = { .nominal_s = 1 };

	set_up(2);
	options.prefix_sharing = true;
	options.prefix_store = JT_PREFIX_CPU;
	sim.pool_bytes = 64 << 20;
	sim.pool_requested = 200;
	sim.pool_hit = 50;
	beat(&b);
	check(has(
		"├─Node[0]: Total CPU Memory Usage 64.00 MB, 0.012 % Used , Prefix Cache Hit ratio "
		"25.00 %, (50 / 200)\n"));
	check(has("└─Node[1]: Total CPU Memory Usage 64.00 MB"));
}

static void cxl_devices_have_lines_of_their_own(void)
{
	const struct jt_sim_beat b = { .nominal_s = 1 };

	set_up(2);
	options.prefix_store = JT_PREFIX_CXL;
	sim.instances[1].prefix_caching = false;
	instances[1].serving.prefix_caching = false;
	sim.instances[2].cxl_used_bytes = 5 << 20;
	beat(&b);
	check(has("├─Node[1]: Total CPU"));
	check(has("        ├─CXL[0]/Instance[0]: Total CXL Device Memory Usage 0.00 MB, 0.000 % "
	          "Used\n"
	          "        └─CXL[0]/Instance[2]: Total CXL Device Memory Usage 5.00 MB, 0.000 % "
	          "Used\n"));
	options.prefix_sharing = true;
	sim.pool_bytes = 3 << 20;
	beat(&b);
	check(has("        └─CXL[0]: Total CXL Device Memory Usage 3.00MB, 0.000 % Used\n"));
}

static const char *end(void)
{
	FILE *to = begin_text();

	check(jt__compat_end(&results, &input, UINT64_C(3725042000000), to) == JT_OK);
	fclose(to);
	return text;
}

static void the_end_has_values_in_column_68(void)
{
	set_up(1);
	sim.totals = (struct jt_sim_totals){ .t_ns = 183706634969,
		                             .requests = 300,
		                             .input_tokens = 257239,
		                             .prompt_tokens = 366245,
		                             .generated_tokens = 195753,
		                             .preemptions = 194,
		                             .recomputed_tokens = 110596 };
	sim.instances[0].requested_tokens = 257239;
	sim.instances[0].hit_tokens = 4848;
	end();
	check(has(
		"\nTotal simulation time: 1h 2m 5.042s\n"
		"────────────────────────────── Throughput Results "
		"──────────────────────────────\n"
		"Total requests:                                                     300\n"
		"Total clocks (ns):                                                  183706634969\n"
		"Total latency (s):                                                  183.707\n"
		"Total input tokens:                                                 257239\n"
		"Preemptions:                                                        194\n"
		"Recomputed prompt tokens (preemption):                               110596\n"
		"Total generated tokens:                                             195753\n"
		"Request throughput (req/s):                                         1.63\n"
		"Average prompt throughput (tok/s):                                  1993.64\n"
		"Average generation throughput (tok/s):                              1065.57\n"
		"Total token throughput (tok/s):                                     3059.21\n"
		"Throughput per 0.1 sec ([prompt_throughput], [gen_throughput]): []\n"));
	check(has("\nNPU prefix hit ratio (%):                                           1.88\n"
	          "Total prefix hit ratio (%):                                         1.88\n"));
	check(has("\n───────────────────────────────── Instance [0] "
	          "─────────────────────────────────\n"
	          "───────────────────────────── Time to First Token "
	          "──────────────────────────────\n"
	          "No Time data available\n"));
	check(has("\nNo Inter-token data available\n"));
	check(strstr(text, "Power") == NULL);
}

static void a_lower_tier_has_lines_of_its_own(void)
{
	set_up(1);
	options.prefix_store = JT_PREFIX_CPU;
	input.prefix_storage = "CPU";
	sim.instances[0].requested_tokens = 1000;
	sim.instances[0].hit_tokens = 100;
	sim.instances[0].lower_hit_tokens = 25;
	end();
	check(has("\nCPU prefix hit prompt tokens:                                       25\n"
	          "CPU prefix hit ratio (%):                                           2.50\n"
	          "Total prefix hit ratio (%):                                         12.50\n"));
	sim.instances[0].requested_tokens = 0;
	end();
	check(has("\nNPU prefix hit ratio (%):                                           N/A (no "
	          "requests tracked)\n───"));
}

static void series_and_energies_are_in_the_end(void)
{
	const uint64_t gaps[] = { 11000000, 12000000 };
	const struct jt_sim_request r = { .ttft_ns = 17940000,
		                          .tpot_ns = 10900000,
		                          .output_tokens = 3,
		                          .itl_ns = gaps,
		                          .n_itl = 2 };
	const struct jt_sim_beat b[] = {
		{ .prompt_per_s = 100, .has_power = true, .power_w = 870 },
		{ .generation_per_s = 50.5, .has_power = true, .power_w = 869.89 }
	};

	set_up(1);
	sim.totals.has_power = true;
	sim.joules[0] = (struct jt_sim_joules){ .by = { [JT_C_BASE] = 99.84,
		                                        [JT_C_NPU] = 971.88,
		                                        [JT_C_CPU] = 233.05,
		                                        [JT_C_DRAM] = 53,
		                                        [JT_C_CXL] = 0.25,
		                                        [JT_C_LINK] = 8.32,
		                                        [JT_C_NIC] = 33.28,
		                                        [JT_C_STORAGE] = 16.64 },
		                                .total_j = 1416.26 };
	jt__results_request(&results, &r);
	jt__results_beat(&results, &b[0]);
	jt__results_beat(&results, &b[1]);
	end();
	check(has("[gen_throughput]): [(100.0, 0.0), (0.0, 50.5)]\n"));
	check(has("Total energy consumption (kJ):                                      1.42\n"));
	check(has("\nNode 0 total energy consumption (kJ):                               1.42\n"
	          "├─ Base Node energy consumption (J):                                99.84\n"
	          "├─ NPU energy consumption (J):                                      971.88\n"
	          "├─ CPU energy consumption (J):                                      233.05\n"
	          "├─ Memory energy consumption (J):                                   53.25\n"
	          "├─ Link energy consumption (J):                                     8.32\n"
	          "├─ NIC energy consumption (J):                                      33.28\n"
	          "└─ Storage energy consumption (J):                                  16.64\n"));
	check(has("\nPower per 0.1 sec (W): [870.0, 869.89]\n"));
	check(has("\nMean TTFT (ms):                                                     17.94\n"));
	check(has("\nP99 TPOT (ms):                                                      10.90\n"));
	check(has("\nMedian ITL (ms) :                                                   11.50\n"
	          "P99 ITL (ms) :                                                      11.99\n"));
}

/* ---- our own ---- */

static void our_heartbeat_is_one_line(void)
{
	const struct jt_sim_beat b = { .n_batches = 42,
		                       .batch_size = 8,
		                       .prompt_per_s = 1234,
		                       .generation_per_s = 420.4,
		                       .has_power = true,
		                       .power_w = 711.6 };
	struct jt_sim_beat off = b;
	FILE *to;

	set_up(1);
	sim.instances[0].npu_used_bytes = (uint64_t)(88.4 * (1 << 30));
	to = begin_text();
	jt__summary_beat(&results, &b, to);
	off.has_power = false;
	options.prefix_store = JT_PREFIX_CXL;
	sim.pool_bytes = UINT64_C(3) << 29;
	jt__summary_beat(&results, &off, to);
	fclose(to);
	check_text(text,
	           "[INFO] step=42 batch=8 prompt_t=1.2k tok/s decode_t=420 tok/s npu_mem=88.4 GB "
	           "power=712 W\n"
	           "[INFO] step=42 batch=8 prompt_t=1.2k tok/s decode_t=420 tok/s npu_mem=88.4 GB "
	           "cxl_mem=1.5 GB\n");
}

static void our_summary_says_where_the_joules_went(void)
{
	const uint64_t gaps[] = { 11000000 };
	const struct jt_sim_request r = { .ttft_ns = 17940000, .itl_ns = gaps, .n_itl = 1 };
	FILE *to;

	set_up(1);
	sim.totals = (struct jt_sim_totals){
		.requests = 10, .generated_tokens = 591, .t_ns = 2000000000, .has_power = true
	};
	sim.joules[0] = (struct jt_sim_joules){ .by = { [JT_C_BASE] = 332,
		                                        [JT_C_NPU] = 13554,
		                                        [JT_C_CPU] = 1233,
		                                        [JT_C_DRAM] = 442,
		                                        [JT_C_LINK] = 388 },
		                                .npu_active_j = 12453,
		                                .npu_standby_j = 1012,
		                                .npu_idle_j = 89,
		                                .total_j = 15949 };
	jt__results_request(&results, &r);
	to = begin_text();
	check(jt__summary_print(&results, to) == JT_OK);
	fclose(to);
	check(has("\n─────── Power summary (node 0) ───────\n"
	          "NPU active             :         12,453 J (78%)\n"
	          "NPU standby            :          1,012 J (6%)\n"
	          "NPU idle               :             89 J (1%)\n"
	          "CPU                    :          1,233 J (8%)\n"
	          "DRAM                   :            442 J (3%)\n"
	          "Link                   :            388 J (2%)\n"
	          "Base + NIC + storage   :            332 J (2%)\n"
	          "─────────────────────────────────\n"
	          "Total energy           :         15,949 J\n"));
	check(has("Energy (modelled)      :         15,949 J, 26.99 J a generated token, 1595 J a "
	          "request\n"));
	check(has("Time to first token    :       17.94       17.94       17.94\n"));
}

static void json_has_no_figure_that_is_none(void)
{
	struct jt_buf b;

	set_up(2);
	jt__buf_init(&b, 1 << 20);
	check(jt__summary_json(&results, &b) == JT_OK);
	jt__buf_append(&b, "", 1);
	check(strstr(jt__buf_bytes(&b), "nan") == NULL && strstr(jt__buf_bytes(&b), "inf") == NULL);
	check(strstr(jt__buf_bytes(&b), "\"energy\":null") != NULL);
	check(strstr(jt__buf_bytes(&b), "\"ttft_s\":{\"n\":0,\"mean\":null") != NULL);
	jt__buf_fini(&b);
}

int main(void)
{
	test(doubles_look_as_in_python);
	test(the_input_stands_before_the_run);
	test(a_heartbeat_ends_with_the_power);
	test(without_power_the_last_node_ends_the_tree);
	test(a_shared_pool_shows_its_own_hits);
	test(cxl_devices_have_lines_of_their_own);
	test(the_end_has_values_in_column_68);
	test(a_lower_tier_has_lines_of_its_own);
	test(series_and_energies_are_in_the_end);
	test(our_heartbeat_is_one_line);
	test(our_summary_says_where_the_joules_went);
	test(json_has_no_figure_that_is_none);
	jt__results_fini(&results);
	free(text);
	return tap_done();
}
