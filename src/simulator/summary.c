/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "simulator/summary.h"

#define GIB 1073741824.0 /* the GB of cluster configurations */

/* ---- heartbeats ---- */

/* "1.2k", "420" */
static const char *short_number(double v, char out[32])
{
	if (v >= 1e6)
		snprintf(out, 32, "%.1fM", v / 1e6);
	else if (v >= 1000)
		snprintf(out, 32, "%.1fk", v / 1000);
	else
		snprintf(out, 32, "%.0f", v);
	return out;
}

static double cxl_bytes(const struct jt_sim_results *r)
{
	uint64_t requested, hit, pool = jt__sim_pool_bytes(r->sim, 0, &requested, &hit);
	double sum = pool == UINT64_MAX ? 0 : (double)pool;

	for (uint32_t i = 0; i < r->cluster->n_instances && pool == UINT64_MAX; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		sum += (double)s.cxl_used_bytes;
	}
	return sum;
}

void jt__summary_beat(const struct jt_sim_results *r, const struct jt_sim_beat *beat, FILE *to)
{
	double npu_bytes = 0;
	char a[32], b[32];

	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		npu_bytes += (double)s.npu_used_bytes * s.n_npus;
	}
	fprintf(to,
	        "[INFO] step=%" PRIu64 " batch=%" PRIu32
	        " prompt_t=%s tok/s decode_t=%s tok/s npu_mem=%.1f GB",
	        beat->n_batches, beat->batch_size, short_number(beat->prompt_per_s, a),
	        short_number(beat->generation_per_s, b), npu_bytes / GIB);
	if (r->options->prefix_store == JT_PREFIX_CXL)
		fprintf(to, " cxl_mem=%.1f GB", cxl_bytes(r) / GIB);
	if (beat->has_power)
		fprintf(to, " power=%.0f W", beat->power_w);
	fputc('\n', to);
}

/* ---- the end, for people ---- */

static void put_rule(const char *title, FILE *to)
{
	fprintf(to, "\n─────── %s ───────\n", title);
}

static void put_throughput(const struct jt_sim_results *r, const struct jt_sim_totals *n, FILE *to)
{
	double seconds = (double)n->t_ns * 1e-9;

	put_rule(r->complete ? "Simulation" : "Simulation (incomplete: it was stopped)", to);
	fprintf(to, "Requests finished      : %" PRIu64 " in %.3f s, %.2f/s\n", n->requests,
	        seconds, jt__per((double)n->requests, seconds));
	fprintf(to, "Prompt tokens          : %" PRIu64 ", %.1f/s\n", n->prompt_tokens,
	        jt__per((double)n->prompt_tokens, seconds));
	fprintf(to, "Generated tokens       : %" PRIu64 ", %.1f/s\n", n->generated_tokens,
	        jt__per((double)n->generated_tokens, seconds));
	fprintf(to, "Steps                  : %" PRIu64 "\n", n->n_batches);
	if (n->preemptions)
		fprintf(to, "Preemptions            : %" PRIu64 ", %" PRIu64 " tokens again\n",
		        n->preemptions, n->recomputed_tokens);
}

static void put_hits(const struct jt_sim_results *r, FILE *to)
{
	uint64_t requested = 0, hit = 0, lower = 0;

	for (uint32_t i = 0; i < r->cluster->n_instances; i++) {
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		requested += s.prefix_caching ? s.requested_tokens : 0;
		hit += s.prefix_caching ? s.hit_tokens : 0;
		lower += s.prefix_caching ? s.lower_hit_tokens : 0;
	}
	if (requested)
		fprintf(to,
		        "Prefix cache hits      : %" PRIu64 " of %" PRIu64
		        " tokens (%.1f%%), %" PRIu64 " more in a lower tier\n",
		        hit, requested, 100 * (double)hit / (double)requested, lower);
}

static int put_latency(const char *name, const struct jt_tally *t, FILE *to)
{
	struct jt_digest d;
	int status = t->n ? jt__digest(t, 1e6, &d) : JT_OK;

	if (status == JT_OK && t->n)
		fprintf(to, "%-23s:%12.2f%12.2f%12.2f\n", name, d.mean, d.median, d.p99);
	return status;
}

static int put_latencies(const char *title, const struct jt_latencies *l, FILE *to)
{
	int status;

	put_rule(title, to);
	if (!l->ttft.n && !l->tpot.n) {
		fputs("no request finished\n", to);
		return JT_OK;
	}
	fprintf(to, "ms                      %12s%12s%12s\n", "mean", "median", "p99");
	status = put_latency("Time to first token", &l->ttft, to);
	if (status == JT_OK)
		status = put_latency("Time per output token", &l->tpot, to);
	if (status == JT_OK)
		status = put_latency("Between two tokens", &l->itl, to);
	return status;
}

static int put_all_latencies(const struct jt_sim_results *r, FILE *to)
{
	const struct jt_latencies *all;
	struct jt_latencies room;
	int status = jt__results_overall(r, &room, &all);

	if (status < 0)
		return status;
	status = put_latencies("Latency", all, to);
	jt__latencies_fini(&room);
	for (uint32_t i = 0;
	     status == JT_OK && r->cluster->n_instances > 1 && i < r->cluster->n_instances; i++) {
		char title[48];

		snprintf(title, sizeof(title), "Latency of instance %" PRIu32, i);
		status = put_latencies(title, &r->instances[i], to);
	}
	return status;
}

/* "12,453", with as many decimals as make sense beside @total_j. */
static void put_joules(double j, double total_j, FILE *to)
{
	char text[64], grouped[96];
	int digits = total_j >= 10000 ? 0 : total_j >= 100 ? 1 : 3, n, whole, at = 0;

	n = snprintf(text, sizeof(text), "%.*f", digits, fmin(j, 1e30));
	whole = (int)strcspn(text, ".");
	for (int i = 0; i < n; i++) {
		if (i && i < whole && (whole - i) % 3 == 0 && text[i - 1] != '-')
			grouped[at++] = ',';
		grouped[at++] = text[i];
	}
	grouped[at] = '\0';
	fprintf(to, "%15s J", grouped);
}

static void put_part(const char *name, double j, double total_j, FILE *to)
{
	fprintf(to, "%-23s:", name);
	put_joules(j, total_j, to);
	fprintf(to, " (%.0f%%)\n", 100 * jt__per(j, total_j));
}

static void put_node(const struct jt_sim_results *r, uint32_t node, FILE *to)
{
	struct jt_sim_joules j;
	double total;
	char title[48];

	jt__sim_joules(r->sim, node, &j);
	total = j.total_j;
	snprintf(title, sizeof(title), "Power summary (node %" PRIu32 ")", node);
	put_rule(title, to);
	put_part("NPU active", j.npu_active_j, total, to);
	put_part("NPU standby", j.npu_standby_j, total, to);
	put_part("NPU idle", j.npu_idle_j, total, to);
	put_part("CPU", j.by[JT_C_CPU], total, to);
	put_part("DRAM", j.by[JT_C_DRAM] - j.by[JT_C_PIM], total, to);
	if (r->cluster->nodes[node].pim)
		put_part("PIM", j.by[JT_C_PIM], total, to);
	if (r->cluster->n_cxl && j.by[JT_C_CXL] > 0)
		put_part("CXL", j.by[JT_C_CXL], total, to);
	put_part("Link", j.by[JT_C_LINK], total, to);
	put_part("Base + NIC + storage", j.by[JT_C_BASE] + j.by[JT_C_NIC] + j.by[JT_C_STORAGE],
	         total, to);
	fputs("─────────────────────────────────\n", to);
	fprintf(to, "%-23s:", "Total energy");
	put_joules(total, total, to);
	fputc('\n', to);
}

static void put_energy(const struct jt_sim_results *r, const struct jt_sim_totals *n, FILE *to)
{
	struct jt_sim_joules sum;

	for (uint32_t node = 0; node < r->cluster->n_nodes; node++)
		put_node(r, node, to);
	jt__results_joules(r, &sum);
	fputs("\nEnergy (modelled)      :", to);
	put_joules(sum.total_j, sum.total_j, to);
	if (n->requests && n->generated_tokens)
		fprintf(to, ", %.4g J a generated token, %.4g J a request",
		        sum.total_j / (double)n->generated_tokens,
		        sum.total_j / (double)n->requests);
	fputc('\n', to);
}

int jt__summary_print(const struct jt_sim_results *r, FILE *to)
{
	struct jt_sim_totals n;
	int status;

	jt__sim_totals(r->sim, &n);
	put_throughput(r, &n, to);
	put_hits(r, to);
	status = put_all_latencies(r, to);
	if (n.has_power)
		put_energy(r, &n, to);
	else
		fputs("\nNo energy: the cluster's nodes have no \"power\", see "
		      "jouletap-cluster(5)\n",
		      to);
	return status;
}

/* ---- as JSON ---- */

static void json_open(struct jt_buf *b, const char *key, const char *bracket)
{
	jt__json_key(b, key);
	jt__buf_append_text(b, bracket);
}

static int json_latency(struct jt_buf *b, const char *key, const struct jt_tally *t)
{
	struct jt_digest d;
	int status = jt__digest(t, 1e9, &d);

	if (status < 0)
		return status;
	json_open(b, key, "{");
	jt__json_member_u64(b, "n", t->n);
	jt__json_member_double(b, "mean", d.mean);
	jt__json_member_double(b, "p50", d.median);
	jt__json_member_double(b, "p99", d.p99);
	jt__buf_append_text(b, "}");
	return JT_OK;
}

static int json_latencies(struct jt_buf *b, const struct jt_latencies *l)
{
	int status;

	json_open(b, "latency", "{");
	status = json_latency(b, "ttft_s", &l->ttft);
	if (status == JT_OK)
		status = json_latency(b, "tpot_s", &l->tpot);
	if (status == JT_OK)
		status = json_latency(b, "itl_s", &l->itl);
	jt__buf_append_text(b, "}");
	return status;
}

static void json_totals(struct jt_buf *b, const struct jt_sim_totals *n)
{
	double seconds = (double)n->t_ns * 1e-9;

	jt__json_member_nano(b, "simulated_s", n->t_ns);
	jt__json_member_u64(b, "requests", n->requests);
	jt__json_member_u64(b, "input_tokens", n->input_tokens);
	jt__json_member_u64(b, "prompt_tokens", n->prompt_tokens);
	jt__json_member_u64(b, "generated_tokens", n->generated_tokens);
	jt__json_member_u64(b, "steps", n->n_batches);
	jt__json_member_u64(b, "preemptions", n->preemptions);
	jt__json_member_u64(b, "recomputed_tokens", n->recomputed_tokens);
	jt__json_member_double(b, "requests_per_s", jt__per((double)n->requests, seconds));
	jt__json_member_double(b, "prompt_tokens_per_s",
	                       jt__per((double)n->prompt_tokens, seconds));
	jt__json_member_double(b, "generated_tokens_per_s",
	                       jt__per((double)n->generated_tokens, seconds));
}

static int json_instances(struct jt_buf *b, const struct jt_sim_results *r)
{
	int status = JT_OK;

	json_open(b, "instances", "[");
	for (uint32_t i = 0; i < r->cluster->n_instances && status == JT_OK; i++) {
		const struct jt_instance *instance = &r->cluster->instances[i];
		struct jt_sim_instance_state s;

		jt__sim_instance(r->sim, i, &s);
		jt__buf_append_text(b, i ? ",{" : "{");
		jt__json_member_u64(b, "node", instance->node);
		jt__json_member_text(b, "model", instance->model->name);
		jt__json_member_text(b, "hardware", instance->hardware);
		jt__json_member_u64(b, "npus", s.n_npus);
		jt__json_member_u64(b, "kv_blocks", s.n_blocks);
		jt__json_member_u64(b, "block_tokens", s.block_tokens);
		jt__json_member_u64(b, "requested_tokens",
		                    s.prefix_caching ? s.requested_tokens : UINT64_MAX);
		jt__json_member_u64(b, "hit_tokens", s.prefix_caching ? s.hit_tokens : UINT64_MAX);
		jt__json_member_u64(b, "lower_hit_tokens",
		                    s.prefix_caching ? s.lower_hit_tokens : UINT64_MAX);
		status = json_latencies(b, &r->instances[i]);
		jt__buf_append_text(b, "}");
	}
	jt__buf_append_text(b, "]");
	return status;
}

static const char *const component_keys[JT_N_COMPONENTS] = {
	"base_j", NULL, "cpu_j", "dram_j", "link_j", "nic_j", "storage_j", "cxl_j", "pim_j",
};

/* What adds up to total_j, "dram_j" without what is told as "pim_j". */
static void json_joules(struct jt_buf *b, const struct jt_sim_joules *j)
{
	jt__buf_append_text(b, "{");
	for (int c = 0; c < JT_N_COMPONENTS; c++)
		if (c == JT_C_NPU) {
			jt__json_member_double(b, "npu_active_j", j->npu_active_j);
			jt__json_member_double(b, "npu_standby_j", j->npu_standby_j);
			jt__json_member_double(b, "npu_idle_j", j->npu_idle_j);
		} else {
			jt__json_member_double(b, component_keys[c],
			                       c == JT_C_DRAM ? j->by[c] - j->by[JT_C_PIM]
			                                      : j->by[c]);
		}
	jt__json_member_double(b, "total_j", j->total_j);
	jt__buf_append_text(b, "}");
}

static void json_energy(struct jt_buf *b, const struct jt_sim_results *r,
                        const struct jt_sim_totals *n)
{
	struct jt_sim_joules sum;

	if (!n->has_power) {
		json_open(b, "energy", "null");
		return;
	}
	jt__results_joules(r, &sum);
	json_open(b, "energy", "{");
	jt__json_member_text(b, "provenance", "modelled");
	jt__json_member_double(b, "total_j", sum.total_j);
	jt__json_member_double(b, "per_generated_token_j",
	                       n->generated_tokens ? sum.total_j / (double)n->generated_tokens
	                                           : (double)NAN);
	jt__json_member_double(b, "per_request_j",
	                       n->requests ? sum.total_j / (double)n->requests : (double)NAN);
	json_open(b, "nodes", "[");
	for (uint32_t node = 0; node < r->cluster->n_nodes; node++) {
		jt__buf_append_text(b, node ? "," : "");
		jt__sim_joules(r->sim, node, &sum);
		json_joules(b, &sum);
	}
	jt__buf_append_text(b, "]}");
}

static void json_series(struct jt_buf *b, const struct jt_sim_results *r)
{
	json_open(b, "series", "[");
	for (size_t i = 0; i < r->n_beats; i++) {
		const struct jt_beat_row *beat = &r->beats[i];

		jt__buf_append_text(b, i ? ",{" : "{");
		jt__json_member_nano(b, "t_s", beat->t_ns);
		jt__json_member_double(b, "prompt_tokens_per_s", beat->prompt_per_s);
		jt__json_member_double(b, "generated_tokens_per_s", beat->generation_per_s);
		jt__json_member_double(b, "power_w", beat->power_w);
		jt__buf_append_text(b, "}");
	}
	jt__buf_append_text(b, "]");
}

int jt__summary_json(const struct jt_sim_results *r, struct jt_buf *b)
{
	const struct jt_latencies *all;
	struct jt_latencies room;
	struct jt_sim_totals n;
	int status = jt__results_overall(r, &room, &all);

	if (status < 0)
		return status;
	jt__sim_totals(r->sim, &n);
	jt__buf_append_text(b, "{");
	json_open(b, "complete", r->complete ? "true" : "false");
	json_totals(b, &n);
	status = json_latencies(b, all);
	jt__latencies_fini(&room);
	if (status == JT_OK)
		status = json_instances(b, r);
	json_energy(b, r, &n);
	json_series(b, r);
	jt__buf_append_text(b, "}\n");
	return status < 0 ? status : b->failed ? JT_ENOMEM : JT_OK;
}
