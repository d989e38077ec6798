/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/books.h"
#include "gateway/gateway.h"
#include "gateway/worker.h"

#define LOG_MODULE "gateway"
#define NOTES_PER_WORKER 16384 /* the bookkeeper comes by every 20 to 50 ms */
#define REPLIES_PER_WORKER 4096

struct jt_gateway {
	const struct jt_config *config;
	struct jt_upstream upstreams[64];
	struct jt_fitted *model; /* NULL: nothing is predicted */
	struct jt_estimator estimators[64];
	struct jt_worker workers[64];
	pthread_t worker_threads[64];
	size_t n_workers; /* initialised */
	size_t n_running; /* with a thread */
	struct jt_books books;
	pthread_t books_thread;
	bool books_running;
	bool books_open;
};

static void *run_worker(void *arg)
{
	struct jt_worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "jt worker %u", w->index);
	pthread_setname_np(pthread_self(), name);
	w->cpu_clock = jt__thread_clock();
	jt__loop_run(w->loop);
	return NULL;
}

static void *run_books(void *arg)
{
	pthread_setname_np(pthread_self(), "jt books");
	jt__loop_run(((struct jt_books *)arg)->loop);
	return NULL;
}

static void wake_books(void *user)
{
	jt__loop_wake(((struct jt_books *)user)->loop);
}

/* ---- opening ---- */

/* Whether a model is needed to predict with. */
static bool has_architecture(const struct jt_config *c)
{
	for (size_t i = 0; i < c->n_upstreams; i++)
		if (*c->upstreams[i].architecture)
			return true;
	return false;
}

/* The GPUs among its domains, and what the driver calls the first domain; NULL: there is none. */
static size_t find_gpus(const struct jt_meter *m, const struct jt_config_upstream *u,
                        const char **ret_driver_gpu)
{
	size_t n = 0;

	*ret_driver_gpu = NULL;
	for (size_t i = 0; i < jt_meter_n_domains(m); i++) {
		const struct jt_domain *d = jt_meter_domain(m, i);
		bool is_gpu = strncmp(d->name, "gpu:", 4) == 0,
		     is_its_own = !u->n_domains && is_gpu;

		for (size_t k = 0; k < u->n_domains; k++)
			is_its_own |= strcmp(u->domains[k], d->name) == 0;
		if (is_its_own && !*ret_driver_gpu)
			*ret_driver_gpu = d->device;
		n += is_its_own && is_gpu;
	}
	return n;
}

static int open_estimator(struct jt_gateway *g, size_t i, struct jt_error *err)
{
	const struct jt_config_upstream *u = &g->config->upstreams[i];
	struct jt_estimator *e = &g->estimators[i];
	const char *driver_gpu;
	size_t n_gpus = find_gpus(g->books.meter, u, &driver_gpu);
	int status = jt__estimator_open(e, g->model, u, driver_gpu, n_gpus, err);

	g->upstreams[i].estimator = e;
	if (status == JT_OK && !e->model)
		log_info("upstream '%s': no predictions: %s", u->name, e->why.message);
	if (status == JT_OK && e->model)
		log_info("upstream '%s': predictions for %s on %.0f x %s, weights in %s", u->name,
		         e->question.model, e->question.n_gpu, e->question.gpu,
		         jt__weights_name(e->question.weights));
	return status;
}

static int open_upstream(struct jt_gateway *g, size_t i, struct jt_error *err)
{
	const struct jt_config *c = g->config;
	const struct jt_config_upstream *u = &c->upstreams[i];
	struct jt_service_options o = JT_SERVICE_OPTIONS_INIT;
	const char *domains[JT_ARRAY_LEN(u->domains)];
	size_t service;
	int status = open_estimator(g, i, err);

	if (status < 0)
		return status;
	for (size_t k = 0; k < u->n_domains; k++)
		domains[k] = u->domains[k];
	o.name = u->name;
	o.policy = c->metering.policy;
	o.domains = domains;
	o.n_domains = u->n_domains;
	o.architecture = u->architecture[0] ? u->architecture : NULL;
	if (*u->gpu) /* the whole of a name that was begun */
		o.gpu = *g->estimators[i].question.gpu ? g->estimators[i].question.gpu : u->gpu;
	if (u->max_batch_tokens != JT_NONE)
		o.max_batch_tokens = (uint32_t)u->max_batch_tokens;
	o.prefill_ratio = (double)c->metering.prefill_ppm * 1e-6;
	status = jt_meter_add_service(g->books.meter, &o, &service, err);
	g->upstreams[i].config = u;
	g->upstreams[i].service = (uint32_t)service;
	snprintf(g->upstreams[i].host, sizeof(g->upstreams[i].host),
	         strchr(u->host, ':') ? "[%s]:%s" : "%s:%s", u->host, u->port);
	return status;
}

static int open_worker(struct jt_gateway *g, struct jt_error *err)
{
	struct jt_worker *w = &g->workers[g->n_workers];
	const char *listen = g->n_workers ? jt__gateway_address(g) : g->config->listen;

	w->index = (unsigned)g->n_workers;
	w->config = g->config;
	w->upstreams = g->upstreams;
	w->n_upstreams = g->config->n_upstreams;
	w->id_salt = jt__realtime_ns() << 20;
	w->wake_books = wake_books;
	w->user = &g->books;
	w->notes = jt__ring_new(NOTES_PER_WORKER, sizeof(struct jt_note));
	w->replies = jt__ring_new(REPLIES_PER_WORKER, sizeof(struct jt_reply));
	g->n_workers++;
	if (!w->notes || !w->replies)
		return jt__fail(err, JT_ENOMEM, "gateway", "out of memory");
	return jt__worker_init(w, listen, err);
}

/* Sharing a port among our workers would also share it with another jouletap: see first whether it
 * is free. */
static int check_port_is_free(const struct jt_gateway *g, struct jt_error *err)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct jt_server *probe = NULL;
	struct jt_error why;
	int status;

	o.listen = g->config->listen;
	status = jt__server_new(g->books.loop, &o, &jt__relay_handler, NULL, &probe, &why);
	jt__server_free(probe);
	return status < 0 ? jt__fail(err, status, "listen", "%s; try --listen", why.message)
	                  : JT_OK;
}

static int start_threads(struct jt_gateway *g, struct jt_error *err)
{
	g->books.workers = g->workers;
	g->books.n_workers = g->n_workers;
	if (pthread_create(&g->books_thread, NULL, run_books, &g->books) != 0)
		return jt__fail(err, JT_ENOMEM, "gateway", "cannot start a thread");
	g->books_running = true;
	for (; g->n_running < g->n_workers; g->n_running++)
		if (pthread_create(&g->worker_threads[g->n_running], NULL, run_worker,
		                   &g->workers[g->n_running]) != 0)
			return jt__fail(err, JT_ENOMEM, "gateway", "cannot start a thread");
	return JT_OK;
}

int jt__gateway_start(const struct jt_gateway_options *o, struct jt_gateway **ret_gateway,
                      struct jt_error *err)
{
	struct jt_gateway *g = jt__alloc(1, sizeof(*g));
	int status;

	if (!g)
		return jt__fail(err, JT_ENOMEM, "gateway", "out of memory");
	g->config = g->books.config = o->config;
	g->books.on_record = o->on_record;
	g->books.user = o->user;
	g->books_open = true;
	status = jt__books_init(&g->books, o->extra_sources, err);
	if (status == JT_OK)
		status = check_port_is_free(g, err);
	if (status == JT_OK && has_architecture(o->config))
		status = jt__estimate_model(o->config, &g->model, err);
	for (size_t i = 0; status == JT_OK && i < o->config->n_upstreams; i++)
		status = open_upstream(g, i, err);
	for (size_t i = 0; status == JT_OK && i < JT_MAX(o->config->workers, 1); i++)
		status = open_worker(g, err);
	if (status == JT_OK)
		status = start_threads(g, err);
	if (status < 0) {
		jt__gateway_free(g);
		return status;
	}
	*ret_gateway = g;
	return JT_OK;
}

const char *jt__gateway_address(const struct jt_gateway *g)
{
	return jt__server_address(g->workers[0].server);
}

const char *jt__gateway_admin_address(const struct jt_gateway *g)
{
	return jt__server_address(g->books.admin);
}

void jt__gateway_reopen_logs(struct jt_gateway *g)
{
	g->books.reopen = true;
	jt__loop_wake(g->books.loop);
}

struct jt_meter *jt__gateway_meter(struct jt_gateway *g)
{
	return g->books.meter;
}

/* ---- closing ---- */

bool jt__gateway_stop(struct jt_gateway *g, uint64_t drain_ns)
{
	bool all_ended = true;

	for (size_t i = 0; i < g->n_running; i++) {
		g->workers[i].drain_ns = drain_ns;
		g->workers[i].draining = true;
		jt__loop_wake(g->workers[i].loop);
	}
	for (size_t i = 0; i < g->n_running; i++) {
		pthread_join(g->worker_threads[i], NULL);
		all_ended &= !g->workers[i].was_cut;
	}
	g->n_running = 0;
	if (!g->books_running)
		return all_ended;
	/* what was cut is over now, and its notes are in the rings before the bookkeeper looks a
	 * last time */
	for (size_t i = 0; i < g->n_workers; i++)
		jt__worker_close(&g->workers[i]);
	g->books.stopping = true;
	jt__loop_wake(g->books.loop);
	pthread_join(g->books_thread, NULL);
	g->books_running = false;
	return all_ended;
}

void jt__gateway_free(struct jt_gateway *g)
{
	if (!g)
		return;
	jt__gateway_stop(g, 0);
	for (size_t i = 0; i < g->n_workers; i++) {
		jt__worker_fini(&g->workers[i]);
		jt__ring_free(g->workers[i].notes);
		jt__ring_free(g->workers[i].replies);
	}
	if (g->books_open)
		jt__books_fini(&g->books);
	jt__fitted_free(g->model);
	jt__free(g);
}
