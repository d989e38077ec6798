/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "simulator/compat.h"

#define WIDTH 80  /* of rules and headings */
#define COLUMN 68 /* where values begin */
#define MIB 1048576.0
#define GIB 1073741824.0

/* ---- pieces ---- */

/* The digits and exponent of the shortest decimal that reads back as @v, which is finite. */
static int shortest_digits(double v, char digits[20])
{
	char text[40];
	int n = 0;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	for (const char *p = text; *p != 'e'; p++)
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return atoi(strchr(text, 'e') + 1);
}

const char *jt__compat_repr(double v, char out[48])
{
	char digits[20], *to = out;
	int exponent, n;

	if (!isfinite(v)) {
		strcpy(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
		return out;
	}
	exponent = shortest_digits(v, digits);
	n = (int)strlen(digits);
	if (signbit(v))
		*to++ = '-';
	if (exponent < -4 || exponent >= 16)
		sprintf(to, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
		        exponent < 0 ? '-' : '+', abs(exponent));
	else if (exponent < 0)
		sprintf(to, "0.%.*s%s", -exponent - 1, "000", digits);
	else if (n <= exponent + 1)
		sprintf(to, "%s%.*s.0", digits, exponent + 1 - n, "000000000000000");
	else
		sprintf(to, "%.*s.%s", exponent + 1, digits, digits + exponent + 1);
	return out;
}

static void put_line(unsigned n, FILE *to)
{
	while (n--)
		fputs("─", to);
}

/* A rule across, with a title in its middle or without (""). */
static void put_rule(const char *title, FILE *to)
{
	unsigned wide = *title ? (unsigned)strlen(title) + 2 : 0;

	put_line((WIDTH - wide) / 2, to);
	if (*title)
		fprintf(to, " %s ", title);
	put_line(WIDTH - wide - (WIDTH - wide) / 2, to);
	fputc('\n', to);
}

static void put_heading(const char *text, FILE *to)
{
	int left = (WIDTH - (int)strlen(text)) / 2;

	fprintf(to, "%*s%-*s\n\n", left, "", WIDTH - left, text);
}

/* "name:" and blanks up to the column of values. */
static void put_name(const char *name, FILE *to)
{
	unsigned wide = 0;

	for (const char *p = name; *p; p++)
		wide += ((unsigned char)*p & 0xc0) != 0x80;
	fprintf(to, "%s%*s", name, wide < COLUMN ? (int)(COLUMN - wide) : 0, "");
}

static void put_count(const char *name, uint64_t v, FILE *to)
{
	put_name(name, to);
	fprintf(to, "%" PRIu64 "\n", v);
}

static void put_number(const char *name, double v, int digits, FILE *to)
{
	put_name(name, to);
	fprintf(to, "%.*f\n", digits, v);
}

/* ---- before the run ---- */

static void put_item(const char *name, const char *value, FILE *to)
{
	fprintf(to, "  • %-27s: %s\n", name, value);
}

static void put_item_count(const char *name, uint64_t v, FILE *to)
{
	fprintf(to, "  • %-27s: %" PRIu64 "\n", name, v);
}

static const char *switched(bool on)
{
	return on ? "ENABLED" : "DISABLED";
}

static void put_input(const struct jt_sim_results *r, const struct jt_compat_input *in, FILE *to)
{
	const struct jt_serving_defaults *d = in->serving;
	char scheme[32], interval[48];

	if (strcmp(in->prefix_storage, "None") == 0)
		strcpy(scheme, "xPU-Only");
	else
		snprintf(scheme, sizeof(scheme), "xPU + %s", in->prefix_storage);
	put_heading("Input configuration", to);
	put_item("Cluster config", in->cluster_config, to);
	put_item("Run ID", in->run_id, to);
	put_item("Dataset", in->dataset ? in->dataset : "built in", to);
	put_item_count("Max num seqs", d->max_num_seqs, to);
	put_item_count("Max batched tokens", d->max_num_batched_tokens, to);
	put_item_count("Block size (tokens)", d->block_size, to);
	put_item("Request routing", in->routing, to);
	put_item("Expert routing", in->experts, to);
	put_item("Prefix caching", switched(d->prefix_caching), to);
	put_item("Chunked prefill", switched(d->chunked_prefill), to);
	put_item("Prefix caching scheme", scheme, to);
	put_item("Centralized prefix caching", switched(r->options->prefix_sharing), to);
	put_item("Offload attention to PIM", switched(d->attn_offloading), to);
	put_item("Sub-batch interleaving", switched(d->sub_batch_interleaving), to);
	put_item("Network backend", in->network, to);
	put_item("Log interval (s)", jt__compat_repr(r->options->log_interval_s, interval), to);
	put_item("Log level", in->log_level, to);
	put_rule("", to);
}

/* "[18:04:09.695]" */
static void put_clock(uint64_t t_unix_ns, FILE *to)
{
	time_t t_s = (time_t)(t_unix_ns / JT_NS_PER_S);
	struct tm tm;
	char clock[16];

	localtime_r(&t_s, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(to, "[%s.%03u]", clock, (unsigned)(t_unix_ns / JT_NS_PER_MS % 1000));
}

static void put_remarks(const char *lines, uint64_t t_unix_ns, FILE *to)
{
	while (lines && *lines) {
		size_t n = strcspn(lines, "\n");

		put_clock(t_unix_ns, to);
		fprintf(to, " [ConfigBuilder] WARNING  %.*s\n", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

static void put_capacity(const struct jt_sim_results *r, FILE *to)
{
	put_heading("KV Cache Initialization", to);
	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		fprintf(to,
		        "  • Instance [%" PRIu32 "] : %" PRIu64 " tokens / %" PRIu64
		        " blocks (%.2f GiB/rank at util %.2f)\n",
		        i, s.n_blocks * s.block_tokens, s.n_blocks,
		        (double)(s.n_blocks * s.bytes_per_block) / GIB,
		        r->cluster->instances[i].mem_util);
	}
	put_rule("", to);
}

void jt__compat_begin(const struct jt_sim_results *r, const struct jt_compat_input *in, FILE *to)
{
	put_rule("jouletap simulate", to);
	put_input(r, in, to);
	put_remarks(r->cluster->remarks, in->t_unix_ns, to);
	put_capacity(r, to);
	fputs("▶ Starting simulation...\n\n", to);
}

static void put_booking(const char *what, uint32_t node, double joules, uint64_t t_unix_ns,
                        FILE *to)
{
	put_clock(t_unix_ns, to);
	fprintf(to, " [PowerModel] [node=%u] INFO     %s Energy Consumption = %.3e J\n", node, what,
	        joules);
}

void jt__compat_booking(const struct jt_sim_booking *b, uint64_t t_unix_ns, FILE *to)
{
	if (b->standby_j > 0) {
		put_clock(t_unix_ns, to);
		fprintf(to, " [PowerModel] INFO     NPU Standby Energy Consumption = %.3e J\n",
		        b->standby_j);
	}
	put_booking("CPU", b->node, b->cpu_j, t_unix_ns, to);
	put_booking("NPU", b->node, b->npu_j, t_unix_ns, to);
	put_booking("DRAM", b->node, b->dram_j, t_unix_ns, to);
	put_booking("Link", b->node, b->link_j, t_unix_ns, to);
}

/* ---- heartbeats ---- */

static bool any_prefix_caching(const struct jt_sim_results *r)
{
	for (uint32_t i = 0; i < r->cluster->n_instances; i++)
		if (r->cluster->instances[i].serving.prefix_caching)
			return true;
	return false;
}

/* Whether a lower tier of prefixes is one for several instances. */
static bool has_pool(const struct jt_sim_results *r, enum jt_prefix_store store)
{
	return any_prefix_caching(r) && r->options->prefix_sharing &&
	       r->options->prefix_store == store;
}

static void put_hits(uint64_t requested, uint64_t hit, FILE *to)
{
	if (requested)
		fprintf(to, ", Prefix Cache Hit ratio %.2f %%, (%" PRIu64 " / %" PRIu64 ")",
		        (double)hit / (double)requested * 100, hit, requested);
}

/* The lines of one heartbeat hang on a tree; each begins below the text of the first. */
struct tree {
	FILE *to;
	int indent;
	const char *branch;
};

static void put_branch(const struct tree *t)
{
	fprintf(t->to, "%*s%s", t->indent, "", t->branch);
}

static void put_instance_beat(const struct tree *t, uint32_t i,
                              const struct jt_sim_instance_state *s)
{
	put_branch(t);
	fprintf(t->to,
	        "Running Instance[%" PRIu32 "]: %" PRIu32 " reqs, Waiting: %" PRIu32
	        " reqs, Total # %" PRIu32 " NPUs, Each NPU Memory Usage %.2f MB (%.3f %% Used)",
	        i, s->running, s->waiting, s->n_npus, (double)s->npu_used_bytes / MIB,
	        jt__per((double)s->npu_used_bytes, s->npu_mem_bytes) * 100);
	if (s->prefix_caching)
		put_hits(s->requested_tokens, s->hit_tokens, t->to);
	fputc('\n', t->to);
}

/* What each instance of a node has of its memory in use. */
static void put_shares(const struct jt_sim_results *r, const struct jt_cluster_node *n,
                       double total_bytes, FILE *to)
{
	fputc('(', to);
	for (uint32_t i = n->first_instance; i < n->first_instance + n->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		fprintf(to, "%sInstance[%" PRIu32 "]: %.2f %%", i > n->first_instance ? ", " : "",
		        i, jt__per((double)s.cpu_used_bytes, total_bytes) * 100);
	}
	fputc(')', to);
}

static void put_node_beat(const struct jt_sim_results *r, const struct tree *t, uint32_t node)
{
	const struct jt_cluster_node *n = &r->cluster->nodes[node];
	bool pooled = has_pool(r, JT_PREFIX_CPU);
	uint64_t requested = 0, hit = 0;
	double used = 0;

	if (pooled)
		used = (double)jt__sim_pool_bytes(r->sim, node, &requested, &hit);
	for (uint32_t i = n->first_instance; !pooled && i < n->first_instance + n->n_instances;
	     i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		used += (double)s.cpu_used_bytes;
	}
	put_branch(t);
	fprintf(t->to, "Node[%" PRIu32 "]: Total CPU Memory Usage %.2f MB, %.3f %% Used ", node,
	        used / MIB, jt__per(used, n->cpu_mem_gb * GIB) * 100);
	put_hits(requested, hit, t->to);
	if (!pooled && n->n_instances != 1)
		put_shares(r, n, used, t->to);
	fputc('\n', t->to);
}

/* The part in use counts blocks of running requests only, and copies in a lower tier never are. */
static void put_cxl_beat(const struct jt_sim_results *r, struct tree *t, bool has_power)
{
	uint32_t last = 0;

	if (has_pool(r, JT_PREFIX_CXL)) {
		uint64_t requested, hit;

		t->branch = has_power ? t->branch : "└─";
		put_branch(t);
		fprintf(t->to, "CXL[0]: Total CXL Device Memory Usage %.2fMB, %.3f %% Used\n",
		        (double)jt__sim_pool_bytes(r->sim, 0, &requested, &hit) / MIB, 0.0);
		return;
	}
	for (uint32_t i = 0; i < r->cluster->n_instances; i++)
		if (r->cluster->instances[i].serving.prefix_caching)
			last = i;
	for (uint32_t i = 0; i <= last; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		if (!s.prefix_caching)
			continue;
		t->branch = !has_power && i == last ? "└─" : t->branch;
		put_branch(t);
		fprintf(t->to,
		        "CXL[0]/Instance[%" PRIu32
		        "]: Total CXL Device Memory Usage %.2f MB, %.3f %% Used\n",
		        i, (double)s.cxl_used_bytes / MIB, 0.0);
	}
}

void jt__compat_beat(const struct jt_sim_results *r, const struct jt_sim_beat *beat, FILE *to)
{
	bool cxl = r->options->prefix_store == JT_PREFIX_CXL;
	struct tree t = { .to = to, .branch = "├─" };
	char watts[48];

	t.indent = 2 + fprintf(to, "[%.1fs]", beat->nominal_s);
	fprintf(to,
	        " Avg prompt throughput: %.1f tokens/s, Avg generation throughput: %.1f tokens/s\n",
	        beat->prompt_per_s, beat->generation_per_s);
	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		put_instance_beat(&t, i, &s);
	}
	for (uint32_t node = 0; node < r->cluster->n_nodes; node++) {
		if (!cxl && !beat->has_power && node == r->cluster->n_nodes - 1)
			t.branch = "└─";
		put_node_beat(r, &t, node);
	}
	if (cxl && any_prefix_caching(r))
		put_cxl_beat(r, &t, beat->has_power);
	if (beat->has_power) {
		t.branch = "└─";
		put_branch(&t);
		fprintf(to, "Avg power consumption: %s W\n", jt__compat_repr(beat->power_w, watts));
	}
}

/* ---- after the run ---- */

static void put_throughput(const struct jt_sim_results *r, const struct jt_sim_totals *n, FILE *to)
{
	double seconds = (double)n->t_ns / 1e9;
	char a[48], b[48];

	put_rule("Throughput Results", to);
	put_count("Total requests:", n->requests, to);
	put_count("Total clocks (ns):", n->t_ns, to);
	put_number("Total latency (s):", seconds, 3, to);
	put_count("Total input tokens:", n->input_tokens, to);
	if (n->preemptions)
		put_count("Preemptions:", n->preemptions, to);
	if (n->recomputed_tokens) /* one column further right there */
		put_count("Recomputed prompt tokens (preemption):                               ",
		          n->recomputed_tokens, to);
	put_count("Total generated tokens:", n->generated_tokens, to);
	put_number("Request throughput (req/s):", jt__per((double)n->requests, seconds), 2, to);
	put_number("Average prompt throughput (tok/s):", jt__per((double)n->prompt_tokens, seconds),
	           2, to);
	put_number("Average generation throughput (tok/s):",
	           jt__per((double)n->generated_tokens, seconds), 2, to);
	put_number("Total token throughput (tok/s):",
	           jt__per((double)(n->prompt_tokens + n->generated_tokens), seconds), 2, to);
	fprintf(to, "Throughput per %g sec ([prompt_throughput], [gen_throughput]): [",
	        r->options->log_interval_s);
	for (size_t i = 0; i < r->n_beats; i++)
		fprintf(to, "%s(%s, %s)", i ? ", " : "",
		        jt__compat_repr(r->beats[i].prompt_per_s, a),
		        jt__compat_repr(r->beats[i].generation_per_s, b));
	fputs("]\n", to);
	put_rule("", to);
}

static void sum_hits(const struct jt_sim_results *r, uint64_t *ret_requested, uint64_t *ret_hit,
                     uint64_t *ret_lower)
{
	bool pooled = has_pool(r, r->options->prefix_store);
	uint32_t n_pools = r->options->prefix_store == JT_PREFIX_CPU ? r->cluster->n_nodes : 1;

	*ret_requested = *ret_hit = *ret_lower = 0;
	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		if (!s.prefix_caching)
			continue;
		*ret_requested += s.requested_tokens;
		*ret_hit += s.hit_tokens;
		*ret_lower += pooled ? 0 : s.lower_hit_tokens;
	}
	for (uint32_t i = 0; pooled && i < n_pools; i++) {
		uint64_t requested, hit;

		if (jt__sim_pool_bytes(r->sim, i, &requested, &hit) != UINT64_MAX)
			*ret_lower += hit;
	}
}

static void put_prefix(const struct jt_sim_results *r, const char *storage, FILE *to)
{
	uint64_t requested, hit, lower;
	char name[64];

	sum_hits(r, &requested, &hit, &lower);
	put_rule("Prefix Caching Results", to);
	put_count("Total requested prompt tokens:", requested, to);
	put_count("NPU prefix hit prompt tokens:", hit, to);
	if (!requested) {
		put_name("NPU prefix hit ratio (%):", to);
		fputs("N/A (no requests tracked)\n", to);
	} else {
		put_number("NPU prefix hit ratio (%):", (double)hit / (double)requested * 100, 2,
		           to);
		if (r->options->prefix_store != JT_PREFIX_NONE) {
			snprintf(name, sizeof(name), "%s prefix hit prompt tokens:", storage);
			put_count(name, lower, to);
			snprintf(name, sizeof(name), "%s prefix hit ratio (%%):", storage);
			put_number(name, (double)lower / (double)requested * 100, 2, to);
		}
		put_number("Total prefix hit ratio (%):",
		           (double)(hit + lower) / (double)requested * 100, 2, to);
	}
	put_rule("", to);
}

static void put_node_energy(uint32_t node, const struct jt_sim_joules *j, FILE *to)
{
	const double *by = j->by;
	char name[64];

	snprintf(name, sizeof(name), "Node %" PRIu32 " total energy consumption (kJ):", node);
	put_number(name, j->total_j / 1000, 2, to);
	put_number("├─ Base Node energy consumption (J):", by[JT_C_BASE], 2, to);
	put_number("├─ NPU energy consumption (J):", by[JT_C_NPU], 2, to);
	put_number("├─ CPU energy consumption (J):", by[JT_C_CPU], 2, to);
	put_number("├─ Memory energy consumption (J):", by[JT_C_DRAM] + by[JT_C_CXL], 2, to);
	put_number("├─ Link energy consumption (J):", by[JT_C_LINK], 2, to);
	put_number("├─ NIC energy consumption (J):", by[JT_C_NIC], 2, to);
	put_number("└─ Storage energy consumption (J):", by[JT_C_STORAGE], 2, to);
	put_rule("", to);
}

static void put_energy(const struct jt_sim_results *r, FILE *to)
{
	struct jt_sim_joules j;
	char watts[48];

	jt__results_joules(r, &j);
	put_rule("Power Modeling Results", to);
	put_number("Total energy consumption (kJ):", j.total_j / 1000, 2, to);
	put_rule("", to);
	for (uint32_t node = 0; node < r->cluster->n_nodes; node++) {
		jt__sim_joules(r->sim, node, &j);
		put_node_energy(node, &j, to);
	}
	fprintf(to, "Power per %g sec (W): [", r->options->log_interval_s);
	for (size_t i = 0; i < r->n_beats; i++)
		fprintf(to, "%s%s", i ? ", " : "", jt__compat_repr(r->beats[i].power_w, watts));
	fputs("]\n", to);
	put_rule("", to);
}

/* "Mean TTFT (ms):" and its like; @space stands before the colon. */
static int put_latency(const char *what, const char *space, const struct jt_tally *t, FILE *to)
{
	struct jt_digest d;
	char name[64];
	int status = jt__digest(t, 1e6, &d);

	if (status < 0)
		return status;
	snprintf(name, sizeof(name), "Mean %s (ms)%s:", what, space);
	put_number(name, d.mean, 2, to);
	snprintf(name, sizeof(name), "Median %s (ms)%s:", what, space);
	put_number(name, d.median, 2, to);
	snprintf(name, sizeof(name), "P99 %s (ms)%s:", what, space);
	put_number(name, d.p99, 2, to);
	return JT_OK;
}

static int put_instance(const struct jt_latencies *l, uint32_t i, FILE *to)
{
	char title[32];
	int status = JT_OK;

	snprintf(title, sizeof(title), "Instance [%" PRIu32 "]", i);
	put_rule(title, to);
	put_rule("Time to First Token", to);
	if (!l->ttft.n)
		fputs("No Time data available\n", to);
	else
		status = put_latency("TTFT", "", &l->ttft, to);
	put_rule("Time per Output Token (excl. 1st token)", to);
	if (!l->tpot.n)
		fputs("No Time data available\n", to);
	else if (status == JT_OK)
		status = put_latency("TPOT", "", &l->tpot, to);
	put_rule("Inter-token Latency", to);
	if (!l->itl.n)
		fputs("No Inter-token data available\n", to);
	else if (status == JT_OK)
		status = put_latency("ITL", " ", &l->itl, to);
	put_rule("", to);
	return status;
}

int jt__compat_end(const struct jt_sim_results *r, const struct jt_compat_input *in,
                   uint64_t wall_ns, FILE *to)
{
	struct jt_sim_totals n;
	int status = JT_OK;

	jt__sim_totals(r->sim, &n);
	put_rule("", to);
	fputs("▶ Exiting simulation...\n\n", to);
	if (r->complete)
		fputs("Checking Non-Exited Systems ...\nAll Request Has Been Exited\n", to);
	put_rule("", to);
	fputs("▶ Simulation results...\n\n", to);
	fprintf(to, "Total simulation time: %" PRIu64 "h %" PRIu64 "m %.3fs\n",
	        wall_ns / (3600 * JT_NS_PER_S), wall_ns / (60 * JT_NS_PER_S) % 60,
	        (double)(wall_ns % (60 * JT_NS_PER_S)) * 1e-9);
	put_throughput(r, &n, to);
	if (any_prefix_caching(r))
		put_prefix(r, in->prefix_storage, to);
	if (n.has_power)
		put_energy(r, to);
	for (uint32_t i = 0; i < r->cluster->n_instances && status == JT_OK; i++)
		status = put_instance(&r->instances[i], i, to);
	if (in->output)
		fprintf(to, "Saving each request's information to output file: %s\n", in->output);
	return status;
}
