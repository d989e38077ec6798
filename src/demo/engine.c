/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's thread runs the loop, which owns the server and paces the node: a step is computed
 * when it begins, and a timer at its end hands its tokens out and begins the next one. A step that
 * ends late on a busy machine is followed by idle time, not by a shorter step, so that what the
 * device shows stays what the clients see. The lock is for questions from other threads.
 */
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include "base/clock.h"
#include "demo/engine.h"
#include "jouletap/record.h"
#define LOG_MODULE "demo"
#include "base/log.h"

#define SENSOR_PERIOD_NS (100 * JT_NS_PER_MS)

struct jt_demo_options jt__demo_defaults(void)
{
	static const struct jt_arch llama = {
		.model = "Llama-3.1-8B",
		.n_layers = 32,
		.hidden_size = 4096,
		.intermediate_size = 14336,
		.n_heads = 32,
		.n_kv_heads = 8,
		.head_dim = 128,
		.vocab_size = 128256,
		.ffn_mats = 3,
	};

	return (struct jt_demo_options){
		.listen = "127.0.0.1:0",
		.model = "demo-llama-3.1-8b",
		.node = { .arch = llama,
		          .gpu = *jt__gpu_find("A10-24GB"),
		          .sched = { .max_seqs = 16,
		                     .max_batch_tokens = 512,
		                     .chunked_prefill = true,
		                     .reserve_prompt = true } },
	};
}

static void set_timer(struct jt_demo_engine *e, struct jt_timer *t, uint64_t due_ns)
{
	if (jt__timer_set(e->loop, t, due_ns) < 0) {
		log_error("no memory for a timer: the engine stops");
		jt__loop_stop(e->loop);
	}
}

static struct jt_demo_task *find_task(const struct jt_demo_engine *e, uint64_t id)
{
	struct jt_demo_task *a = e->tasks;

	while (a && a->id != id)
		a = a->next;
	return a;
}

/* The node is done with @a: its truth moves from the node to the ring. */
static void keep_truth(struct jt_demo_engine *e, struct jt_demo_task *a)
{
	struct jt_demo_kept *k = &e->kept[e->n_kept++ % JT_DEMO_KEPT];

	memcpy(k->request_id, a->request_id, sizeof(k->request_id));
	jt__node_truth(e->node, a->id, &k->truth);
	jt__node_forget(e->node, a->id);
	a->over = true;
}

static void begin_step(struct jt_demo_engine *e)
{
	int status;

	pthread_mutex_lock(&e->lock);
	status = jt__node_step(e->node, jt__now_ns(), &e->step);
	pthread_mutex_unlock(&e->lock);
	e->stepping = status > 0;
	if (status < 0) {
		log_error("no memory for a step: the engine stops");
		jt__loop_stop(e->loop);
	}
	if (e->stepping)
		set_timer(e, &e->step_timer, e->step.end_ns);
}

/* A task whose client went during the step is no longer there. */
static void pass_on(struct jt_demo_engine *e, const struct jt_node_event *ev)
{
	struct jt_demo_task *a = find_task(e, ev->id);

	if (!a || !ev->new_tokens)
		return;
	if (ev->finished) {
		pthread_mutex_lock(&e->lock);
		keep_truth(e, a);
		pthread_mutex_unlock(&e->lock);
	}
	a->n_tokens++;
	e->n_generated_tokens++;
	jt__demo_hand_out(e, a);
}

static void on_step_end(struct jt_timer *t)
{
	struct jt_demo_engine *e = jt_container_of(t, struct jt_demo_engine, step_timer);

	for (size_t i = 0; i < e->step.n_events; i++)
		pass_on(e, &e->step.events[i]);
	begin_step(e);
}

static void on_sensor_update(struct jt_timer *t)
{
	struct jt_demo_engine *e = jt_container_of(t, struct jt_demo_engine, sensor_timer);
	uint64_t now_ns;
	double energy_j, power_w;

	pthread_mutex_lock(&e->lock);
	now_ns = jt__now_ns();
	energy_j = jt__node_energy_j(e->node, now_ns);
	pthread_mutex_unlock(&e->lock);
	power_w = (energy_j - e->sensed_j) / ((double)(now_ns - e->sensed_ns) * 1e-9);
	e->sensed_ns = now_ns;
	e->sensed_j = energy_j;
	atomic_store(&e->energy_uj, (uint64_t)(energy_j * 1e3) * 1000);
	atomic_store(&e->power_mw, (uint32_t)(power_w * 1e3));
	set_timer(e, &e->sensor_timer, now_ns + SENSOR_PERIOD_NS);
}

int jt__demo_submit(struct jt_demo_engine *e, struct jt_demo_task *a, struct jt_error *err)
{
	int status;

	a->id = ++e->last_id;
	pthread_mutex_lock(&e->lock);
	status = jt__node_submit(e->node, jt__now_ns(), a->id, a->ask.prompt_tokens,
	                         a->ask.max_tokens);
	if (status == JT_OK) {
		a->next = e->tasks;
		e->tasks = a;
	}
	pthread_mutex_unlock(&e->lock);
	if (status == JT_ELIMIT)
		return jt__fail(err, status, "demo",
		                "%" PRIu32 " prompt tokens and %" PRIu32
		                " more exceed the KV memory",
		                a->ask.prompt_tokens, a->ask.max_tokens);
	if (status < 0)
		return jt__fail(err, status, "demo", "%s", jt_strerror(status));
	e->n_requests++;
	e->n_prompt_tokens += a->ask.prompt_tokens;
	if (!e->stepping)
		begin_step(e);
	return JT_OK;
}

void jt__demo_leave(struct jt_demo_engine *e, struct jt_demo_task *a)
{
	struct jt_demo_task **link = &e->tasks;

	pthread_mutex_lock(&e->lock);
	if (!a->over) {
		jt__node_cancel(e->node, a->id);
		keep_truth(e, a);
	}
	while (*link != a)
		link = &(*link)->next;
	*link = a->next;
	pthread_mutex_unlock(&e->lock);
}

static void *run(void *arg)
{
	struct jt_demo_engine *e = arg;

	jt__loop_run(e->loop);
	return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct jt_demo_engine *e, struct jt_error *err)
{
	sigset_t all, before;
	int status;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	status = pthread_create(&e->thread, NULL, run, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	e->has_thread = status == 0;
	return status == 0 ? JT_OK
	                   : jt__fail(err, JT_EIO, "demo", "no thread: %s", strerror(status));
}

static int open_parts(struct jt_demo_engine *e, const char *listen, struct jt_error *err)
{
	struct jt_server_options so = JT_SERVER_OPTIONS_INIT;
	int status;

	so.listen = listen;
	e->kept = jt__alloc(JT_DEMO_KEPT, sizeof(*e->kept));
	if (!e->kept)
		return jt__fail(err, JT_ENOMEM, "demo", "no memory for an engine");
	if ((status = jt__node_new(&e->o, &e->node, err)) < 0 ||
	    (status = jt__loop_new(&e->loop, err)) < 0 ||
	    (status = jt__server_new(e->loop, &so, &jt__demo_handler, e, &e->server, err)) < 0)
		return status;
	e->step_timer.fn = on_step_end;
	e->sensor_timer.fn = on_sensor_update;
	if (jt__timer_set(e->loop, &e->sensor_timer, e->o.begin_ns + SENSOR_PERIOD_NS) < 0)
		return jt__fail(err, JT_ENOMEM, "demo", "no memory for a timer");
	return start_thread(e, err);
}

int jt__demo_engine_start(const struct jt_demo_options *o, struct jt_demo_engine **ret_engine,
                          struct jt_error *err)
{
	struct jt_demo_engine *e = jt__alloc(1, sizeof(*e));
	int status;

	if (!e)
		return jt__fail(err, JT_ENOMEM, "demo", "no memory for an engine");
	pthread_mutex_init(&e->lock, NULL);
	jt__copy_text(e->model, sizeof(e->model), o->model, strlen(o->model));
	e->o = o->node;
	e->o.begin_ns = e->sensed_ns = jt__now_ns();
	status = open_parts(e, o->listen, err);
	if (status < 0)
		jt__demo_engine_stop(e);
	else
		*ret_engine = e;
	return status;
}

void jt__demo_engine_stop(struct jt_demo_engine *e)
{
	if (!e)
		return;
	if (e->has_thread) {
		jt__loop_stop(e->loop);
		pthread_join(e->thread, NULL);
	}
	jt__server_free(e->server); /* ends the open answers through on_over() */
	jt__loop_free(e->loop);
	jt__node_free(e->node);
	pthread_mutex_destroy(&e->lock);
	jt__free(e->kept);
	jt__free(e);
}

const char *jt__demo_engine_address(const struct jt_demo_engine *e)
{
	return jt__server_address(e->server);
}

const struct jt_gpu *jt__demo_engine_gpu(const struct jt_demo_engine *e)
{
	return &e->o.gpu;
}

static int find_truth(const struct jt_demo_engine *e, const char *request_id,
                      struct jt_node_truth *ret_truth)
{
	for (const struct jt_demo_task *a = e->tasks; a; a = a->next) {
		if (!a->over && strcmp(a->request_id, request_id) == 0)
			return jt__node_truth(e->node, a->id, ret_truth);
	}
	for (uint64_t i = 0; i < JT_MIN(e->n_kept, (uint64_t)JT_DEMO_KEPT); i++) {
		const struct jt_demo_kept *k = &e->kept[(e->n_kept - 1 - i) % JT_DEMO_KEPT];

		if (strcmp(k->request_id, request_id) == 0) {
			*ret_truth = k->truth;
			return JT_OK;
		}
	}
	return JT_ENOENT;
}

int jt__demo_engine_truth(struct jt_demo_engine *e, const char *request_id,
                          struct jt_node_truth *ret_truth)
{
	int status;

	if (!*request_id)
		return JT_ENOENT;
	pthread_mutex_lock(&e->lock);
	status = find_truth(e, request_id, ret_truth);
	pthread_mutex_unlock(&e->lock);
	return status;
}

void jt__demo_engine_totals(struct jt_demo_engine *e, struct jt_demo_totals *ret_totals)
{
	pthread_mutex_lock(&e->lock);
	ret_totals->t_ns = jt__now_ns();
	ret_totals->energy_j = jt__node_energy_j(e->node, ret_totals->t_ns);
	ret_totals->idle_j = jt__node_idle_j(e->node, ret_totals->t_ns);
	pthread_mutex_unlock(&e->lock);
}

void jt__demo_engine_reading(const struct jt_demo_engine *e, struct jt_demo_reading *ret_reading)
{
	ret_reading->energy_uj = atomic_load(&e->energy_uj);
	ret_reading->power_mw = atomic_load(&e->power_mw);
}
