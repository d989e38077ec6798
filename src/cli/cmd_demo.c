/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/data.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/load.h"
#include "cli/term.h"
#include "config/config.h"
#include "demo/demo.h"
#include "exporters/metrics.h"
#include "gateway/gateway.h"
#include "ledger/ledger.h"

#define MAX_REQUESTS 200
#define IDLE_NS                                                                                    \
	(1500 * JT_NS_PER_MS) /* before and after the load: the idle floor is learned from it */

struct args {
	uint64_t requests;
	uint64_t seed;
	const char *policy;
	bool json;
};

/* A request as the meter and as the node see it. */
struct row {
	struct jt_record record;
	struct jt_node_truth truth;
	bool has_record;
	bool has_truth;
};

struct demo {
	const struct args *args;
	struct jt_demo_options options; /* of the engine */
	struct jt_demo_engine *engine;
	struct jt_config *config;
	struct jt_gateway *gateway;
	struct jt_load_request requests[MAX_REQUESTS];
	struct row rows[MAX_REQUESTS];
	struct jt_progress progress;
	struct jt_account account;
	struct jt_own_cost own;
};

/* ---- running ---- */

/* From the bookkeeper's thread; read here only after it has ended. */
static void on_record(void *user, const struct jt_record *r)
{
	struct demo *d = user;
	unsigned i;

	if (sscanf(r->id, "demo-%u", &i) == 1 && i >= 1 && i <= d->args->requests) {
		d->rows[i - 1].record = *r;
		d->rows[i - 1].has_record = true;
	}
}

static void on_progress(void *user, size_t n_over)
{
	jt__progress_update(&((struct demo *)user)->progress, n_over);
}

static void sleep_ns(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / JT_NS_PER_S),
		               .tv_nsec = (long)(ns % JT_NS_PER_S) };

	nanosleep(&ts, NULL);
}

static int configure(struct demo *d, struct jt_error *err)
{
	int status = jt__config_new(&d->config, err);
	struct jt_config_upstream *u;
	char upstream[128];

	if (status < 0)
		return status;
	strcpy(d->config->listen, "127.0.0.1:0");
	strcpy(d->config->admin, "127.0.0.1:0");
	d->config->workers = 1;
	jt__copy_text(d->config->metering.policy, sizeof(d->config->metering.policy),
	              d->args->policy, strlen(d->args->policy));
	snprintf(upstream, sizeof(upstream), "http://%s=demo:0",
	         jt__demo_engine_address(d->engine));
	status = jt__config_add_upstream(d->config, upstream, err);
	u = &d->config->upstreams[0];
	u->max_batch_tokens = d->options.node.sched.max_batch_tokens;
	if (status == JT_OK &&
	    !jt__data_find("models/llama-3.1-8b.json", u->architecture, sizeof(u->architecture)))
		*u->architecture = '\0';
	return status;
}

static int start(struct demo *d, struct jt_error *err)
{
	static const struct jt_source_ops *const sources[] = { &jt__source_demo, NULL };
	struct jt_gateway_options o = { .extra_sources = sources,
		                        .on_record = on_record,
		                        .user = d };
	int status;

	status = jt__demo_engine_start(&d->options, &d->engine, err);
	if (status < 0)
		return status;
	jt__demo_device_attach(d->engine);
	status = configure(d, err);
	if (status < 0)
		return status;
	o.config = d->config;
	return jt__gateway_start(&o, &d->gateway, err);
}

static void gather_truth(struct demo *d)
{
	for (size_t i = 0; i < d->args->requests; i++)
		d->rows[i].has_truth = jt__demo_engine_truth(d->engine, d->requests[i].id,
		                                             &d->rows[i].truth) == JT_OK;
}

static int run_load(struct demo *d, struct jt_error *err)
{
	size_t n = d->args->requests, domain;
	int status;

	jt__load_plan(d->requests, n, d->args->seed, n * 450 * JT_NS_PER_MS);
	d->progress = (struct jt_progress){ .label = "requests", .total = n };
	sleep_ns(IDLE_NS);
	status = jt__load_run(jt__gateway_address(d->gateway), d->options.model, d->requests, n,
	                      on_progress, d, err);
	jt__progress_end(&d->progress);
	sleep_ns(IDLE_NS);
	gather_truth(d);
	jt__gateway_stop(d->gateway, JT_NS_PER_S);
	if (jt_meter_find_domain(jt__gateway_meter(d->gateway), "demo:0", &domain) == JT_OK)
		jt_meter_account(jt__gateway_meter(d->gateway), domain, &d->account);
	jt_meter_own_cost(jt__gateway_meter(d->gateway), &d->own);
	return status;
}

static void stop(struct demo *d)
{
	jt__gateway_free(d->gateway); /* before the engine whose device it reads */
	jt__demo_engine_stop(d->engine);
	jt__config_free(d->config);
}

/* ---- showing ---- */

static double truth_j(const struct row *r)
{
	return r->truth.prefill_j + r->truth.decode_j;
}

static bool is_complete(const struct row *r)
{
	return r->has_record && r->has_truth && r->record.total_uj != JT_NONE;
}

/* How far the requests' joules are from the node's truth, each by itself and all together. */
struct errors {
	double mean_ratio;
	double max_ratio;
	double sum_j;
	double true_j;
	size_t n;
};

static struct errors measure_errors(const struct demo *d)
{
	struct errors e = { 0 };

	for (size_t i = 0; i < d->args->requests; i++) {
		const struct row *r = &d->rows[i];
		double error_j;

		if (!is_complete(r))
			continue;
		error_j = fabs((double)r->record.total_uj * 1e-6 - truth_j(r));
		e.mean_ratio += error_j / truth_j(r);
		e.max_ratio = fmax(e.max_ratio, error_j / truth_j(r));
		e.sum_j += (double)r->record.total_uj * 1e-6;
		e.true_j += truth_j(r);
		e.n++;
	}
	e.mean_ratio /= (double)JT_MAX(e.n, 1);
	return e;
}

static void print_number(uint64_t v, double scale, int digits, int width)
{
	if (v == JT_NONE)
		printf("%*s", width, "-");
	else
		printf("%*.*f", width, digits, (double)v * scale);
}

static void print_row(const struct row *r)
{
	const struct jt_record *rec = &r->record;
	uint64_t tokens = rec->completion_tokens;

	printf("%-8s %-10s", rec->id, rec->task_class);
	print_number(rec->prompt_tokens, 1, 0, 7);
	print_number(tokens, 1, 0, 7);
	print_number(rec->ttft_ns, 1e-9, 2, 8);
	print_number(rec->prefill_uj, 1e-6, 1, 11);
	print_number(rec->decode_uj, 1e-6, 1, 10);
	print_number(tokens != JT_NONE && tokens ? rec->total_uj / tokens : JT_NONE, 1e-6, 2, 9);
	print_number(rec->bound_uj, 1e-6, 1, 9);
	printf("  %-11s", rec->provenance[0] ? rec->provenance : "-");
	if (is_complete(r))
		printf("%8.1f %+6.1f %%", truth_j(r),
		       ((double)rec->total_uj * 1e-6 / truth_j(r) - 1) * 100);
	putchar('\n');
}

/* Gateway, engine and load are one process here. */
static void print_own(const struct jt_own_cost *own)
{
	printf("all of this, engine and load included, took %.2f s of CPU, reading sensors %.3f s "
	       "of it",
	       (double)own->cpu_ns * 1e-9, (double)own->sampling_ns * 1e-9);
	if (own->energy_uj != JT_NONE)
		printf(": %.1f J above idle (%s, +/- %.1f J)", (double)own->energy_uj * 1e-6,
		       jt_provenance_name(own->provenance), (double)own->bound_uj * 1e-6);
	putchar('\n');
}

static void print_table(const struct demo *d)
{
	struct errors e = measure_errors(d);
	const struct jt_account *a = &d->account;

	printf("A built-in engine (Llama-3.1-8B on a simulated %s) behind the gateway. Its device "
	       "is modelled:\n"
	       "every joule below is, but it is metered, split and accounted as a real one would "
	       "be.\n\n",
	       jt__demo_engine_gpu(d->engine)->name);
	printf("%-8s %-10s%7s%7s%8s%11s%10s%9s%9s  %-11s%8s %8s\n", "request", "class", "prompt",
	       "output", "TTFT s", "prefill J", "decode J", "J/token", "bound J", "provenance",
	       "true J", "error");
	for (size_t i = 0; i < d->args->requests; i++)
		if (d->rows[i].has_record)
			print_row(&d->rows[i]);
	printf("\nrequests %.3f J + idle %.3f J + unattributed %.3f J = meter %.3f J  (off by %lld "
	       "uJ)\n",
	       (double)a->requests_uj * 1e-6, (double)a->idle_uj * 1e-6,
	       (double)a->unattributed_uj * 1e-6, (double)a->meter_uj * 1e-6,
	       (long long)a->error_uj);
	printf("against the node's own truth: mean error %.1f %%, worst %.1f %% of a request; all "
	       "%zu together "
	       "%+.2f %%\n",
	       e.mean_ratio * 100, e.max_ratio * 100, e.n, (e.sum_j / e.true_j - 1) * 100);
	print_own(&d->own);
	printf("\nThe real thing: jouletap serve -u http://127.0.0.1:8000 in front of your engine; "
	       "`jouletap devices` shows\nwhat can be measured on this machine.\n");
}

static void put_requests(struct jt_buf *b, const struct demo *d)
{
	size_t n = 0;

	jt__json_key(b, "requests");
	jt__buf_append(b, "[", 1);
	for (size_t i = 0; i < d->args->requests; i++) {
		const struct row *r = &d->rows[i];

		if (!r->has_record)
			continue;
		jt__buf_append_text(b, n++ ? ",{" : "{");
		jt__json_key(b, "record");
		jt__record_json(b, &r->record);
		jt__json_member_double(b, "true_j", r->has_truth ? truth_j(r) : (double)NAN);
		jt__buf_append(b, "}", 1);
	}
	jt__buf_append(b, "]", 1);
}

static void put_account(struct jt_buf *b, const struct jt_account *a)
{
	jt__json_key(b, "account");
	jt__buf_append(b, "{", 1);
	jt__json_member_micro(b, "requests_j", a->requests_uj);
	jt__json_member_micro(b, "idle_j", a->idle_uj);
	jt__json_member_micro(b, "unattributed_j", a->unattributed_uj);
	jt__json_member_micro(b, "meter_j", a->meter_uj);
	jt__json_key(b, "error_uj");
	jt__buf_printf(b, "%lld}", (long long)a->error_uj);
}

static int print_json(const struct demo *d, struct jt_error *err)
{
	struct errors e = measure_errors(d);
	int status = JT_OK;
	struct jt_buf b;

	jt__buf_init(&b, 4 << 20);
	jt__buf_append(&b, "{", 1);
	put_requests(&b, d);
	put_account(&b, &d->account);
	jt__own_cost_json(&b, &d->own);
	jt__json_member_double(&b, "mean_error_ratio", e.mean_ratio);
	jt__json_member_double(&b, "max_error_ratio", e.max_ratio);
	jt__json_member_double(&b, "sum_error_ratio", e.sum_j / e.true_j - 1);
	jt__buf_append_text(&b, "}\n");
	if (b.failed)
		status = jt__fail(err, JT_ENOMEM, "demo", "out of memory");
	else
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return status;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct demo *d;
	struct jt_error err;
	int status;

	(void)operands;
	jt_log_set(JT_LOG_ERROR, NULL, NULL); /* what this machine lacks does not matter here */
	if (a->requests < 1 || a->requests > MAX_REQUESTS)
		return jt__cli_fail_usage("demo", "--requests takes 1 to %d", MAX_REQUESTS);
	d = jt__alloc(1, sizeof(*d));
	if (!d)
		return JT_EXIT_FAILURE;
	d->args = a;
	d->options = jt__demo_defaults();
	status = start(d, &err);
	if (status == JT_OK)
		status = run_load(d, &err);
	if (status == JT_OK && a->json)
		status = print_json(d, &err);
	else if (status == JT_OK)
		print_table(d);
	stop(d);
	jt__free(d);
	return status < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* clang-format off */
static const struct jt_opt options[] = {
	{ "requests", 'n', JT_OPT_COUNT, "N", "12", offsetof(struct args, requests), "how many, up to 200" },
	{ "policy", 'p', JT_OPT_TEXT, "equal|tokens|roofline", "roofline", offsetof(struct args, policy), "how shared energy is split" },
	{ "seed", 0, JT_OPT_COUNT, "N", "1", offsetof(struct args, seed), "another mix of requests" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, json), "print one JSON object" },
	JT_OPTS_END,
};
/* clang-format on */

const struct jt_command jt__cmd_demo = {
	.name = "demo",
	.what = "joules per request of a built-in engine, where there is no GPU at hand",
	.operands = "",
	.text = "Starts a simulated serving node behind an OpenAI-compatible interface on "
		"loopback, puts the "
		"gateway in front of it, sends a short mixed load through, and shows what each "
		"request "
		"took in prefill and decode, the account of the whole, and how far the split is "
		"from what "
		"the node knows to be true. Nothing here is measured, and the table says so.",
	.examples =
		"jouletap demo\n"
		"jouletap demo --policy equal  # a simpler split, and what it costs in accuracy\n"
		"jouletap demo --json\n",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
