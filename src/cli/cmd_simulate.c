/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap simulate: a cluster that serves LLM requests, in virtual time. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/data.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/term.h"
#include "simulator/compat.h"
#include "simulator/csv.h"
#include "simulator/output.h"
#include "simulator/records.h"
#include "simulator/sim.h"
#include "simulator/summary.h"

#define AT_ONCE 1000 /* batches between two looks at the signals and the progress bar */

struct args {
	const char *cluster_config, *dataset, *output, *run_id, *inputs_root;
	const char *profiles, *model_configs, *pim_configs;
	const char *dtype, *kv_cache_dtype, *routing, *experts, *prefix_storage;
	const char *log_level, *network, *model, *quirks;
	const char *records, *power_series;
	uint64_t max_num_seqs, max_num_batched_tokens, long_prefill_token_threshold;
	uint64_t block_size, num_reqs;
	double npu_memory_utilization, log_interval_s;
	bool block_copy, prefix_caching, chunked_prefill, reserve_full_isl, cleanup_inputs;
	bool prefix_sharing, local_offloading, attn_offloading, sub_batch_interleaving;
	bool skip_prefill, json, quiet;
};

/* A run and everything that listens to it. */
struct run {
	const struct args *args;
	bool compat;
	char cluster_config[JT_SIM_PATH_MAX], profiles[JT_SIM_PATH_MAX];
	char run_id[64], output[JT_SIM_PATH_MAX];
	struct jt_serving_defaults serving;
	struct jt_sim_options options;
	struct jt_compat_input input;
	struct jt_cluster *cluster;
	struct jt_workload *workload;
	struct jt_sim_results results;
	struct jt_sim *sim;
	struct jt_csv *csv;
	struct jt_sim_records *records;
	FILE *power;
	struct jt_progress progress;
};

/* ---- signals ---- */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* The second signal ends the program at once. */
static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = stop, .sa_flags = (int)SA_RESETHAND };

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

/* ---- options ---- */

static int to_u32(const char *name, uint64_t v, uint32_t *ret, struct jt_error *err)
{
	if (v > UINT32_MAX)
		return jt__fail(err, JT_EINVAL, "simulate", "'--%s' is too large: at most %u", name,
		                UINT32_MAX);
	*ret = (uint32_t)v;
	return JT_OK;
}

static int set_serving(const struct args *a, struct jt_serving_defaults *d, struct jt_error *err)
{
	*d = (struct jt_serving_defaults){
		.dtype = a->dtype ? jt__dtype_find(a->dtype) : JT_DTYPE_NONE,
		.kv_fp8 = strcmp(a->kv_cache_dtype, "fp8") == 0,
		.chunked_prefill = a->chunked_prefill,
		.prefix_caching = a->prefix_caching,
		.reserve_full_isl = a->reserve_full_isl,
		.local_offloading = a->local_offloading,
		.attn_offloading = a->attn_offloading,
		.sub_batch_interleaving = a->sub_batch_interleaving,
		.block_copy = a->block_copy,
		.npu_memory_utilization = a->npu_memory_utilization,
	};
	if (!(a->npu_memory_utilization > 0 && a->npu_memory_utilization <= 1))
		return jt__fail(err, JT_EINVAL, "simulate",
		                "'--npu-memory-utilization' must be above 0 and at most 1");
	if (!a->block_size)
		return jt__fail(err, JT_EINVAL, "simulate", "'--block-size' must be at least 1");
	if (a->sub_batch_interleaving && !a->attn_offloading)
		return jt__fail(err, JT_EINVAL, "simulate",
		                "'--enable-sub-batch-interleaving' needs "
		                "'--enable-attn-offloading'");
	if (to_u32("max-num-seqs", a->max_num_seqs, &d->max_num_seqs, err) < 0 ||
	    to_u32("max-num-batched-tokens", a->max_num_batched_tokens, &d->max_num_batched_tokens,
	           err) < 0 ||
	    to_u32("long-prefill-token-threshold", a->long_prefill_token_threshold,
	           &d->long_prefill_token_threshold, err) < 0)
		return JT_EINVAL;
	return to_u32("block-size", a->block_size, &d->block_size, err);
}

static bool *find_quirk(struct jt_quirks *q, const char *name, size_t n)
{
#define X(member, option, what)                                                                    \
	if (strlen(option) == n && memcmp(option, name, n) == 0)                                   \
		return &q->member;
	JT_QUIRKS(X)
#undef X
	return NULL;
}

static void set_all_quirks(struct jt_quirks *q, bool on)
{
#define X(member, option, what) q->member = on;
	JT_QUIRKS(X)
#undef X
}

static int set_quirks(const char *list, struct jt_quirks *q, struct jt_error *err)
{
	for (const char *p = list; *p;) {
		size_t n = strcspn(p, ",");
		bool *quirk = find_quirk(q, p, n);

		if (n == 3 && memcmp(p, "all", 3) == 0)
			set_all_quirks(q, true);
		else if (n == 4 && memcmp(p, "none", 4) == 0)
			set_all_quirks(q, false);
		else if (quirk)
			*quirk = true;
		else
			return jt__fail(err, JT_EINVAL, "simulate",
			                "'--quirks' knows no '%.*s'; 'all', 'none', or some of "
			                "those that 'jouletap help simulate' lists",
			                (int)JT_MIN(n, 60), p);
		p += n + (p[n] == ',');
	}
	return JT_OK;
}

static int refuse_unsupported(const struct args *a, struct jt_error *err)
{
	if (strcmp(a->routing, "CUSTOM") == 0 || strcmp(a->experts, "CUSTOM") == 0)
		return jt__fail(err, JT_EINVAL, "simulate",
		                "a CUSTOM policy is Python code inside the reference simulator, "
		                "which cannot be run here");
	if (strcmp(a->network, "ns3") == 0)
		return jt__fail(err, JT_EINVAL, "simulate",
		                "'--network-backend ns3' is not supported; try: analytical");
	if (!(a->log_interval_s >= 1e-6 && a->log_interval_s <= 1e9))
		return jt__fail(err, JT_EINVAL, "simulate",
		                "'--log-interval' must be between 0.000001 and 1000000000 seconds");
	return JT_OK;
}

static int set_options(const struct args *a, struct jt_sim_options *o, struct jt_error *err)
{
	static const char *const routes[] = { "LOAD", "RR", "RAND" };
	static const char *const experts[] = { "BALANCED", "RR", "RAND" };
	static const char *const stores[] = { "None", "CPU", "CXL" };
	int status = refuse_unsupported(a, err);

	if (status < 0)
		return status;
	for (int i = 0; i < 3; i++) {
		if (strcmp(a->routing, routes[i]) == 0)
			o->route = (enum jt_route)i;
		if (strcmp(a->experts, experts[i]) == 0)
			o->experts = (enum jt_experts)i;
		if (strcmp(a->prefix_storage, stores[i]) == 0)
			o->prefix_store = (enum jt_prefix_store)i;
	}
	o->prefix_sharing = a->prefix_sharing;
	o->skip_prefill = a->skip_prefill;
	o->log_interval_s = a->log_interval_s;
	if (o->prefix_sharing && o->prefix_store == JT_PREFIX_NONE)
		return jt__fail(err, JT_EINVAL, "simulate",
		                "'--enable-prefix-sharing' needs '--prefix-storage' CPU or CXL");
	set_all_quirks(&o->quirks, strcmp(a->model, "compat") == 0);
	return a->quirks ? set_quirks(a->quirks, &o->quirks, err) : JT_OK;
}

/* ---- files ---- */

static int find_cluster_config(struct run *r, struct jt_error *err)
{
	const char *given = r->args->cluster_config;

	if (given &&
	    !jt__copy_text(r->cluster_config, sizeof(r->cluster_config), given, strlen(given)))
		return jt__fail(err, JT_EINVAL, "simulate", "path is too long: '%.100s…'", given);
	if (!given && !jt__data_find("simulator/configs/cluster/single_node_single_instance.json",
	                             r->cluster_config, sizeof(r->cluster_config)))
		return jt__fail(err, JT_ENOENT, "simulate",
		                "jouletap's own example is not installed; name a cluster: "
		                "--cluster-config FILE");
	return JT_OK;
}

/* Where the reference's tree has them: configs/cluster/x.json, profiler/. */
static bool find_profiles_beside(const char *config, char out[JT_SIM_PATH_MAX])
{
	const char *slash = strrchr(config, '/');
	char perf[JT_SIM_PATH_MAX + 16];
	int n = snprintf(out, JT_SIM_PATH_MAX, "%.*s../../profiler",
	                 slash ? (int)(slash - config) + 1 : 0, config);

	if (n >= JT_SIM_PATH_MAX)
		return false;
	snprintf(perf, sizeof(perf), "%s/perf", out);
	return access(perf, R_OK) == 0;
}

static int find_profiles(struct run *r, struct jt_error *err)
{
	r->options.profiles = r->args->profiles;
	if (r->args->profiles)
		return JT_OK;
	r->options.profiles = r->profiles;
	if (find_profiles_beside(r->cluster_config, r->profiles) ||
	    jt__data_find("simulator/profiler", r->profiles, sizeof(r->profiles)))
		return JT_OK;
	return jt__fail(err, JT_ENOENT, "simulate",
	                "no profiles: neither '../../profiler' beside '%.200s' nor jouletap's own "
	                "are there; name a directory: --profiles DIR",
	                r->cluster_config);
}

static int name_run(struct run *r, struct jt_error *err)
{
	const struct args *a = r->args;

	snprintf(r->run_id, sizeof(r->run_id), "run_%llu_%ld",
	         (unsigned long long)(jt__realtime_ns() / 1000), (long)getpid());
	if (a->run_id && !jt__copy_text(r->run_id, sizeof(r->run_id), a->run_id, strlen(a->run_id)))
		return jt__fail(err, JT_EINVAL, "simulate", "'--run-id' is longer than %zu",
		                sizeof(r->run_id) - 1);
	if (!a->output)
		return JT_OK;
	return jt__sim_output_path(a->output, r->run_id, r->output, sizeof(r->output), err);
}

/* Each result needs a file of its own. */
static int check_names(const struct run *r, struct jt_error *err)
{
	const char *names[] = { r->output, r->args->records, r->args->power_series };

	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++)
		for (size_t k = 0; k < i; k++)
			if (names[i] && names[k] && *names[i] && strcmp(names[i], names[k]) == 0)
				return jt__fail(err, JT_EINVAL, "simulate",
				                "'%s' is named for two results: each needs its own",
				                names[i]);
	return JT_OK;
}

static int load(struct run *r, struct jt_error *err)
{
	const struct args *a = r->args;
	struct jt_cluster_where where = { .path = r->cluster_config,
		                          .model_configs = a->model_configs,
		                          .pim_configs = a->pim_configs,
		                          .data = jt__data_root("simulator") };
	int status = find_cluster_config(r, err);

	if (status == JT_OK)
		status = jt__cluster_load(&where, &r->serving, &r->cluster, err);
	if (status == JT_OK)
		status = find_profiles(r, err);
	if (status < 0)
		return status;
	if (a->dataset)
		return jt__workload_open(a->dataset, a->num_reqs, &r->workload, err);
	return jt__workload_builtin(&r->workload, err);
}

static int open_power(struct run *r, struct jt_error *err)
{
	const char *path = r->args->power_series;
	int fd, status = path ? jt__sim_output_open(path, &fd, err) : JT_OK;

	if (!path || status < 0)
		return status;
	r->power = fdopen(fd, "w");
	if (!r->power) {
		close(fd);
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory to write '%s'", path);
	}
	fputs("t_s,power_w\n", r->power);
	return JT_OK;
}

/* Only now, with all that is read found to be right, are files of earlier runs written over. */
static int open_outputs(struct run *r, struct jt_error *err)
{
	const struct args *a = r->args;
	int status = JT_OK;

	if (a->output)
		status = jt__csv_open(r->output, r->cluster->n_instances, &r->csv, err);
	if (status == JT_OK && a->records)
		status = jt__records_open(a->records, r->cluster, &r->records, err);
	return status == JT_OK ? open_power(r, err) : status;
}

static int close_outputs(struct run *r, struct jt_error *err)
{
	int status = r->csv ? jt__csv_finish(r->csv, err) : JT_OK;

	if (status == JT_OK && r->records)
		status = jt__records_status(r->records, err);
	if (r->power) {
		bool failed = ferror(r->power);

		failed |= fclose(r->power) != 0;
		r->power = NULL;
		if (failed && status == JT_OK)
			status = jt__fail(err, JT_EIO, "simulate", "cannot write '%s': %s",
			                  r->args->power_series, strerror(errno));
	}
	return status;
}

/* ---- running ---- */

static void on_finished(void *user, const struct jt_sim_request *q)
{
	struct run *r = user;

	jt__results_request(&r->results, q);
	if (r->csv)
		jt__csv_put(r->csv, q);
	if (r->records)
		jt__records_put(r->records, q);
}

static void on_booking(void *user, const struct jt_sim_booking *b)
{
	(void)user;
	jt__compat_booking(b, jt__realtime_ns(), stdout);
}

static void on_beat(void *user, const struct jt_sim_beat *beat)
{
	struct run *r = user;

	jt__results_beat(&r->results, beat);
	if (r->power && beat->has_power)
		fprintf(r->power, "%.9f,%.2f\n", (double)beat->t_ns * 1e-9, beat->power_w);
	if (r->args->quiet || r->args->json)
		return;
	jt__progress_end(&r->progress);
	if (r->compat)
		jt__compat_beat(&r->results, beat, stdout);
	else
		jt__summary_beat(&r->results, beat, stdout);
}

/* What nobody sees while it goes on is an error all the same. */
static int check_outputs(const struct run *r, struct jt_error *err)
{
	if (r->results.status < 0)
		return jt__fail(err, r->results.status, "simulate", "no memory for the results");
	return r->csv ? jt__csv_status(r->csv, err) : JT_OK;
}

static int simulate(struct run *r, struct jt_error *err)
{
	int status = 1;

	r->progress = (struct jt_progress){ .label = "requests",
		                            .total = jt__workload_requests(r->workload) };
	while (status > 0 && !stopped) {
		struct jt_sim_totals n;

		status = jt__sim_run(r->sim, AT_ONCE, err);
		if (status >= 0 && check_outputs(r, err) < 0)
			status = err->status;
		jt__sim_totals(r->sim, &n);
		if (!r->args->quiet)
			jt__progress_update(&r->progress, n.requests);
	}
	jt__progress_end(&r->progress);
	r->results.complete = status == 0;
	return status;
}

static void tell_remarks(const char *remarks)
{
	for (const char *p = remarks; p && *p;) {
		size_t n = strcspn(p, "\n");

		if (n)
			fprintf(stderr, "jouletap: warning: %.*s\n", (int)n, p);
		p += n + (p[n] == '\n');
	}
}

static void begin(struct run *r)
{
	const struct args *a = r->args;

	r->input = (struct jt_compat_input){ .cluster_config = r->cluster_config,
		                             .run_id = r->run_id,
		                             .dataset = a->dataset,
		                             .output = a->output ? r->output : NULL,
		                             .routing = a->routing,
		                             .experts = a->experts,
		                             .prefix_storage = a->prefix_storage,
		                             .network = a->network,
		                             .log_level = a->log_level,
		                             .serving = &r->serving,
		                             .t_unix_ns = jt__realtime_ns() };
	if (r->compat && !a->json)
		jt__compat_begin(&r->results, &r->input, stdout);
	else
		tell_remarks(r->cluster->remarks);
	tell_remarks(jt__sim_remarks(r->sim));
}

static int print_json(const struct run *r)
{
	struct jt_buf b;
	int status;

	jt__buf_init(&b, SIZE_MAX / 4);
	status = jt__summary_json(&r->results, &b);
	if (status == JT_OK)
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return status;
}

static int finish(struct run *r, uint64_t wall_ns, struct jt_error *err)
{
	struct jt_sim_totals n;
	int status;

	if (r->args->json)
		status = print_json(r);
	else if (r->compat)
		status = jt__compat_end(&r->results, &r->input, wall_ns, stdout);
	else
		status = jt__summary_print(&r->results, stdout);
	if (status < 0)
		return jt__fail(err, status, "simulate", "no memory for the results");
	jt__sim_totals(r->sim, &n);
	fflush(stdout); /* what is said on stderr comes after it */
	if (!r->args->quiet && !r->compat && !r->args->json)
		fprintf(stderr, "jouletap: simulated %.3f s in %.3f s\n", (double)n.t_ns * 1e-9,
		        (double)wall_ns * 1e-9);
	if (!r->results.complete)
		return jt__fail(err, JT_EIO, "simulate",
		                "stopped: the results are those of the first %.3f s",
		                (double)n.t_ns * 1e-9);
	return JT_OK;
}

static int run_all(struct run *r, struct jt_error *err)
{
	struct jt_sim_observer observer = { .finished = on_finished, .beat = on_beat, .user = r };
	uint64_t start_ns = jt__now_ns();
	int status = load(r, err);

	if (r->compat && !r->args->json && strcmp(r->args->log_level, "WARNING") != 0)
		observer.booked = on_booking;

	if (status == JT_OK)
		status = jt__results_init(&r->results, r->cluster, &r->options, err);
	if (status == JT_OK)
		status = jt__sim_new(r->cluster, r->workload, &r->options, &observer, &r->sim, err);
	if (status == JT_OK) {
		r->results.sim = r->sim;
		r->results.tpot_of_one = r->compat;
		status = open_outputs(r, err);
	}
	if (status < 0)
		return status;
	begin(r);
	catch_signals();
	status = simulate(r, err);
	if (status < 0) {
		close_outputs(r, NULL); /* what there is */
		return status;
	}
	status = close_outputs(r, err);
	return status < 0 ? status : finish(r, jt__now_ns() - start_ns, err);
}

static void clean_up(struct run *r)
{
	if (r->power)
		fclose(r->power);
	jt__records_close(r->records);
	jt__csv_free(r->csv);
	jt__sim_free(r->sim);
	jt__results_fini(&r->results);
	jt__workload_free(r->workload);
	jt__cluster_free(r->cluster);
	jt__free(r);
}

static void set_log(const char *level)
{
	enum jt_log_level l = strcmp(level, "DEBUG") == 0  ? JT_LOG_DEBUG
	                      : strcmp(level, "INFO") == 0 ? JT_LOG_INFO
	                                                   : JT_LOG_WARN;

	jt_log_set(l, NULL, NULL);
}

static int run(const void *args, const struct jt_operands *operands)
{
	struct run *r = jt__alloc(1, sizeof(*r));
	struct jt_error err;
	int code = JT_EXIT_OK;

	(void)operands;
	if (!r)
		return JT_EXIT_FAILURE;
	r->args = args;
	r->compat = strcmp(r->args->model, "compat") == 0;
	set_log(r->args->log_level);
	if (set_serving(r->args, &r->serving, &err) < 0 ||
	    set_options(r->args, &r->options, &err) < 0 || name_run(r, &err) < 0 ||
	    check_names(r, &err) < 0)
		code = jt__cli_fail_usage("simulate", "%s", err.message);
	else if (run_all(r, &err) < 0)
		code = jt__cli_fail(&err);
	clean_up(r);
	return code;
}

static const char *quirk_row(size_t i, const char **ret_meaning)
{
	static const char *const rows[][2] = {
#define X(member, option, what) { option, what },
		JT_QUIRKS(X)
#undef X
			{ NULL, NULL },
	};

	*ret_meaning = rows[i][1];
	return rows[i][0];
}

/* clang-format off */
#define AT(member) offsetof(struct args, member)
static const struct jt_opt options[] = {
	{ "cluster-config", 'c', JT_OPT_TEXT, "FILE", NULL, AT(cluster_config), "the cluster, as JSON (default: one node with one GPU, from jouletap's own data)" },
	{ "dataset", 'd', JT_OPT_TEXT, "FILE", NULL, AT(dataset), "requests or sessions, one a line of JSON as in jouletap-cluster(5); - is standard input; 16 short requests if none is named" },
	{ "num-reqs", 'n', JT_OPT_COUNT, "N", "0", AT(num_reqs), "take only the first N lines; 0: all" },
	{ "output", 'o', JT_OPT_TEXT, "FILE", NULL, AT(output), "write a CSV row for each request; {run_id} in the name is replaced, directories are made" },
	{ "records", 0, JT_OPT_TEXT, "FILE", NULL, AT(records), "write a jouletap-record(5) for each request" },
	{ "power-series", 0, JT_OPT_TEXT, "FILE", NULL, AT(power_series), "write the mean power of each log interval, up to t_s, as CSV: t_s,power_w" },
	{ "model", 'm', JT_OPT_TEXT, "compat|physical", "physical", AT(model), "compat: computes and prints what the reference simulator does, to the digit" },
	{ "quirks", 0, JT_OPT_TEXT, "LIST", NULL, AT(quirks), "which of the reference's peculiarities to keep: names from the list below with commas between them, all or none (default: all with --model compat, else none)" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, AT(json), "print one JSON object instead of lines and tables" },
	{ "quiet", 'q', JT_OPT_FLAG, NULL, NULL, AT(quiet), "no lines while it runs, no progress bar" },
	{ "log-interval", 0, JT_OPT_NUMBER, "SECONDS", "1.0", AT(log_interval_s), "simulated time between two lines" },
	{ "log-level", 0, JT_OPT_TEXT, "WARNING|INFO|DEBUG", "WARNING", AT(log_level), "how much to say; with compat, INFO tells each step's joules" },
	{ "profiles", 0, JT_OPT_TEXT, "DIR", NULL, AT(profiles), "measured latencies: a directory with perf/ and models/ (default: ../../profiler beside the cluster's file, else jouletap's own)" },
	{ "model-configs", 0, JT_OPT_TEXT, "DIR", NULL, AT(model_configs), "models' config.json files (default: ../model beside the cluster's file, else jouletap's own)" },
	{ "pim-configs", 0, JT_OPT_TEXT, "DIR", NULL, AT(pim_configs), "PIM devices' ini files (default: ../pim beside the cluster's file, else jouletap's own)" },
	{ "max-num-seqs", 0, JT_OPT_COUNT, "N", "128", AT(max_num_seqs), "sequences that run at once in an instance; 0: no limit" },
	{ "max-num-batched-tokens", 0, JT_OPT_COUNT, "N", "2048", AT(max_num_batched_tokens), "tokens of one step; 0: no limit but the model's context" },
	{ "long-prefill-token-threshold", 0, JT_OPT_COUNT, "N", "0", AT(long_prefill_token_threshold), "tokens of one prompt in one step; 0: no limit" },
	{ "block-size", 0, JT_OPT_COUNT, "N", "16", AT(block_size), "tokens of a block of KV cache" },
	{ "npu-memory-utilization", 0, JT_OPT_NUMBER, "PART", "0.9", AT(npu_memory_utilization), "part of the NPU's memory that weights and KV cache may fill" },
	{ "dtype", 0, JT_OPT_TEXT, "float16|bfloat16|float32|fp8|int8", NULL, AT(dtype), "of weights and activations (default: the model's torch_dtype, else bfloat16)" },
	{ "kv-cache-dtype", 0, JT_OPT_TEXT, "auto|fp8", "auto", AT(kv_cache_dtype), "of the KV cache; auto: as dtype" },
	{ "request-routing-policy", 0, JT_OPT_TEXT, "LOAD|RR|RAND|CUSTOM", "LOAD", AT(routing), "which instance gets a request; CUSTOM is not supported" },
	{ "expert-routing-policy", 0, JT_OPT_TEXT, "BALANCED|RR|RAND|CUSTOM", "BALANCED", AT(experts), "which experts get a token; CUSTOM is not supported" },
	{ "enable-prefix-caching", 0, JT_OPT_SWITCH, NULL, "yes", AT(prefix_caching), "find again the KV cache of prefixes" },
	{ "enable-chunked-prefill", 0, JT_OPT_SWITCH, NULL, "yes", AT(chunked_prefill), "cut prompts over several steps; without, only those that no step has room for" },
	{ "reserve-full-isl", 0, JT_OPT_SWITCH, NULL, "yes", AT(reserve_full_isl), "admit a request only if its whole prompt fits" },
	{ "enable-block-copy", 0, JT_OPT_SWITCH, NULL, "yes", AT(block_copy), "let one transformer block stand for all; without, experts are drawn anew for each" },
	{ "prefix-storage", 0, JT_OPT_TEXT, "None|CPU|CXL", "None", AT(prefix_storage), "a lower tier of the prefix cache" },
	{ "enable-prefix-sharing", 0, JT_OPT_FLAG, NULL, NULL, AT(prefix_sharing), "one lower tier for all instances of a node" },
	{ "enable-local-offloading", 0, JT_OPT_FLAG, NULL, NULL, AT(local_offloading), "count the reading of weights from the NPU's own memory" },
	{ "enable-attn-offloading", 0, JT_OPT_FLAG, NULL, NULL, AT(attn_offloading), "decode attention on PIM devices" },
	{ "enable-sub-batch-interleaving", 0, JT_OPT_FLAG, NULL, NULL, AT(sub_batch_interleaving), "overlap NPU and PIM by halves of a batch" },
	{ "skip-prefill", 0, JT_OPT_FLAG, NULL, NULL, AT(skip_prefill), "begin every request at its decode" },
	{ "network-backend", 0, JT_OPT_TEXT, "analytical|ns3", "analytical", AT(network), "ns3 is not supported" },
	{ "run-id", 0, JT_OPT_TEXT, "ID", NULL, AT(run_id), "what {run_id} becomes (default: made of time and process)" },
	{ "inputs-root", 0, JT_OPT_TEXT, "DIR", NULL, AT(inputs_root), "accepted and without effect: no intermediate inputs are generated" },
	{ "cleanup-inputs", 0, JT_OPT_SWITCH, NULL, "yes", AT(cleanup_inputs), "likewise" },
	JT_OPTS_END,
};

const struct jt_command jt__cmd_simulate = {
	.name = "simulate",
	.what = "what serving LLM requests on a described cluster costs in time and joules",
	.operands = "",
	.text = "Runs a cluster of LLM engines in virtual time: requests arrive, are scheduled, batched and computed "
		"step by step from measured latencies of the models' layers. Tells throughput, latencies, and where "
		"each node uses energy if the cluster's file says what its parts draw (\"power\"). All energy is modelled.\n\n"
		"Reads the files of LLMServingSim 2 (cluster configurations, profiles, model configurations, PIM devices, "
		"traces) and takes its options under their names. With --model compat the figures are its own to the "
		"digit and standard output has its format; without, energy is spent when a step runs rather than when "
		"it is formed, and the list below tells what else is put right.\n\n"
		"While it runs, one line for each log interval tells the steps so far, the size of the latest batch, tokens "
		"a second through prefill and decode, memory of all NPUs in use (1 GB is 2^30 bytes, as in the "
		"configuration), and the mean power since the line before. These lines are results: they go to standard "
		"output, but for --quiet and --json.\n\n"
		"Ctrl-C ends the simulation early: what has been found so far is printed, and the exit code is 1.",
	.list_title = "Peculiarities of the reference",
	.list_row = quirk_row,
	.examples = "jouletap simulate  # 16 built-in requests on one GPU\n"
		    "jouletap simulate -c single_node_power_instance.json -d example_trace.jsonl  # with joules by component\n"
		    "jouletap simulate -c cluster.json -d trace.jsonl -o 'runs/{run_id}.csv' --json  # for a program\n"
		    "jouletap simulate -c cluster.json -d trace.jsonl --model compat --log-interval 0.1  # as the reference prints it\n",
	.see_also = "jouletap-cluster(5) jouletap-record(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
/* clang-format on */
