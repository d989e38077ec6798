/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include "base/log.h"
#include "cli/check.h"
#include "cli/cli.h"
#include "config/config.h"
#include "gateway/gateway.h"

#define LOG_MODULE "serve"

struct args {
	const char *config;
	const char *listen;
	const char *admin;
	struct jt_opt_list upstreams;
	bool check;
	bool verbose;
};

static int override(const char *what, const char *text, char *member, size_t size,
                    struct jt_error *err)
{
	if (!text)
		return JT_OK;
	if (!jt__config_is_address(text) || !jt__copy_text(member, size, text, strlen(text)))
		return jt__fail(err, JT_EINVAL, "serve", "'--%s' takes HOST:PORT, not '%s'", what,
		                text);
	return JT_OK;
}

/* What the command line says goes over what the file says. */
static int apply_options(const struct args *a, struct jt_config *cfg, struct jt_error *err)
{
	struct jt_error why;
	int status = override("listen", a->listen, cfg->listen, sizeof(cfg->listen), err);

	if (status == JT_OK)
		status = override("admin", a->admin, cfg->admin, sizeof(cfg->admin), err);
	for (size_t i = 0; i < a->upstreams.n && status == JT_OK; i++) {
		status = jt__config_add_upstream(cfg, a->upstreams.items[i], &why);
		if (status < 0)
			jt__fail(err, status, "serve", "'%s' %s", why.where, why.message);
	}
	return status;
}

static void warn_of_inactive_keys(const struct jt_config *cfg)
{
	struct jt_buf text;

	jt__buf_init(&text, 1 << 16);
	if (jt__config_inactive(cfg, &text))
		fprintf(stderr, "jouletap: warning: %.*s\n", (int)jt__buf_len(&text),
		        jt__buf_bytes(&text));
	jt__buf_fini(&text);
}

static void tell_what_is_metered(struct jt_gateway *g, struct jt_meter *m)
{
	const char *source, *why;
	bool measured = false;

	fprintf(stderr, "jouletap: serving on http://%s, admin on http://%s\n",
	        jt__gateway_address(g), jt__gateway_admin_address(g));
	for (size_t i = 0; i < jt_meter_n_domains(m); i++) {
		const struct jt_domain *d = jt_meter_domain(m, i);

		fprintf(stderr, "jouletap: metering %s: %s (%s, %s)\n", d->name, d->device,
		        d->source, jt_provenance_name(d->sensor.provenance));
		log_info("%s: sensor %s, updated every %.0f ms, %s%s%s", d->name, d->sensor.name,
		         (double)d->sensor.update_ns * 1e-6,
		         d->valid & JT_HAS_ENERGY ? "with an energy counter"
		                                  : "power readings only",
		         *d->missing ? "; " : "", d->missing);
		measured |= d->sensor.provenance < JT_MODELLED;
	}
	for (size_t i = 0; jt_meter_absent(m, i, &source, &why) == JT_OK; i++)
		log_info("no %s: %s", source, why);
	if (!measured)
		fprintf(stderr,
		        "jouletap: warning: there is no meter here: joules will be %s; "
		        "`jouletap devices` says why\n",
		        jt_meter_n_domains(m) ? "those of a model" : "null");
}

static void log_upstream(const struct jt_config_upstream *u)
{
	struct jt_buf domains;

	jt__buf_init(&domains, 1 << 16);
	for (size_t i = 0; i < u->n_domains; i++)
		jt__buf_printf(&domains, " %s", u->domains[i]);
	if (!u->n_domains)
		jt__buf_append_text(&domains, " default");
	log_info("upstream '%s': %s, models: %zu%s, domains:%.*s", u->name, u->url, u->n_models,
	         u->n_models ? "" : " (any)", (int)jt__buf_len(&domains), jt__buf_bytes(&domains));
	jt__buf_fini(&domains);
}

/* What is in force once file, command line and defaults are laid over each other. */
static void log_settings(const struct jt_config *cfg)
{
	log_info("listen %s, admin %s, %llu workers", cfg->listen, cfg->admin,
	         (unsigned long long)cfg->workers);
	for (size_t i = 0; i < cfg->n_upstreams; i++)
		log_upstream(&cfg->upstreams[i]);
	log_info("sampling every %.0f ms, policy %s, access log %s, recording %s",
	         (double)cfg->metering.poll_interval_ns * 1e-6, cfg->metering.policy,
	         *cfg->telemetry.access_log ? cfg->telemetry.access_log : "none",
	         *cfg->metering.recording ? cfg->metering.recording : "none");
}

/* Until the first of SIGINT and SIGTERM; SIGHUP opens the logs again. */
static void wait_for_the_end(struct jt_gateway *g, const sigset_t *signals)
{
	int sig = SIGHUP;

	while (sig == SIGHUP) {
		sigwait(signals, &sig);
		if (sig == SIGHUP)
			jt__gateway_reopen_logs(g);
	}
}

static int serve(const struct jt_config *cfg, struct jt_error *err)
{
	struct jt_gateway_options o = { .config = cfg };
	struct jt_gateway *g;
	sigset_t signals;
	int status;

	/* before any thread is there, so that all inherit it */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	log_settings(cfg);
	status = jt__gateway_start(&o, &g, err);
	if (status < 0)
		return status;
	/* constant since the start: domains, names, sensors */
	tell_what_is_metered(g, jt__gateway_meter(g));
	wait_for_the_end(g, &signals);
	fprintf(stderr, "jouletap: draining; once more to cut what still runs\n");
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
	if (!jt__gateway_stop(g, cfg->timeouts.drain_ns))
		fprintf(stderr, "jouletap: warning: requests still running after the drain time "
		                "were cut\n");
	jt__gateway_free(g);
	return JT_OK;
}

static int check_or_serve(const struct args *a, const struct jt_config *cfg, struct jt_error *err)
{
	const char *name = a->config ? a->config : "configuration";
	int status = jt__check_config(cfg, name, err);

	if (status < 0)
		return status;
	if (!a->check && !cfg->n_upstreams)
		return jt__fail(err, JT_EINVAL, "serve",
		                "no upstream: add `upstreams:` to the file, or --upstream "
		                "http://127.0.0.1:8000");
	if (!a->check)
		return serve(cfg, err);
	printf("%s: ok\n", name);
	if (!cfg->n_upstreams)
		fprintf(stderr,
		        "jouletap: warning: no upstream: serve needs one, here or by --upstream\n");
	return JT_OK;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct jt_config *cfg;
	struct jt_error err;
	int code;

	(void)operands;
	jt_log_set(a->verbose ? JT_LOG_DEBUG : JT_LOG_WARN, NULL, NULL);
	if ((a->config ? jt__config_load(a->config, &cfg, &err) : jt__config_new(&cfg, &err)) < 0)
		return jt__cli_fail(&err);
	if (apply_options(a, cfg, &err) < 0) {
		code = jt__cli_fail_usage("serve", "%s", err.message);
	} else {
		warn_of_inactive_keys(cfg);
		code = check_or_serve(a, cfg, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
	}
	jt__config_free(cfg);
	return code;
}

/* clang-format off */
static const struct jt_opt options[] = {
	{ "config", 'c', JT_OPT_TEXT, "FILE", NULL, offsetof(struct args, config), "the configuration, see jouletap.yaml(5)" },
	{ "upstream", 'u', JT_OPT_LIST, "URL[=DOMAINS]", NULL, offsetof(struct args, upstreams), "an engine and the energy domains it runs on: http://127.0.0.1:8000=gpu:0,gpu:1" },
	{ "listen", 'l', JT_OPT_TEXT, "HOST:PORT", NULL, offsetof(struct args, listen), "where clients connect; port 0 takes a free one" },
	{ "admin", 0, JT_OPT_TEXT, "HOST:PORT", NULL, offsetof(struct args, admin), "where /metrics and /health are" },
	{ "check", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, check), "read the configuration and look at the files it names, say what is wrong, and exit" },
	{ "verbose", 'v', JT_OPT_FLAG, NULL, NULL, offsetof(struct args, verbose), "say more on stderr: what was found, what is in force, and each request that ends" },
	JT_OPTS_END,
};
/* clang-format on */

const struct jt_command jt__cmd_serve = {
	.name = "serve",
	.what = "run the gateway: relay requests to engines and meter each one's joules",
	.operands = "",
	.text = "Stands in front of one or more LLM engines and passes requests through, streams "
		"byte for byte. Meanwhile it samples what the engines' devices use and splits that "
		"energy over the requests and their phases, prefill and decode.\n\n"
		"Requests are metered in the APIs of OpenAI (/v1/chat/completions, "
		"/v1/completions, /v1/embeddings and others that only prefill), OpenAI's Responses "
		"(/v1/responses), Anthropic Messages (/v1/messages), Ollama (/api/chat, "
		"/api/generate, /api/embed) and llama.cpp (/completion). All else passes "
		"through.\n\n"
		"A client that sends `x-jouletap-energy: 1` finds its joules in the answer, in "
		"`energy`: inside of `usage`, or beside the counts where the API has no `usage` "
		"(Ollama, llama.cpp). They are provisional there, and final at GET "
		"/v1/energy/{x-jouletap-request-id}. All "
		"requests go to the access log, see jouletap-record(5), and to /metrics on the "
		"admin "
		"port, where /health tells what jouletap itself costs in CPU time and joules. "
		"`x-jouletap-task-class` and `x-jouletap-tenant` label a request.\n\n"
		"Where the configuration names the architecture of an upstream's model, answers "
		"say "
		"in `x-jouletap-predicted-j` what the request was predicted to cost before it was "
		"sent, and POST /v1/energy/predict says it of any such body without sending it.\n\n"
		"SIGTERM and SIGINT stop accepting and let running requests end, SIGHUP opens the "
		"access "
		"log again.",
	.examples =
		"jouletap serve -u http://127.0.0.1:8000  # in front of an engine on this machine\n"
		"jouletap serve -c jouletap.yaml --check  # is the file right?\n"
		"jouletap serve -c jouletap.yaml\n",
	.see_also = "jouletap-record(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
