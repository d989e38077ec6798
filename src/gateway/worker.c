/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/worker.h"

#define RETRY_NS (5 * JT_NS_PER_MS)
#define KEY_SLOT_BITS 24 /* requests of a worker at a time */
#define KEY_GENERATION_BITS 32

static struct jt_server_options server_options(const struct jt_config *c, const char *listen)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;

	o.listen = listen;
	o.reuse_port = true;
	o.limits.max_head = c->limits.max_head_bytes;
	o.limits.max_body = c->limits.max_body_bytes;
	o.max_connections = (uint32_t)JT_MAX(c->limits.max_connections / JT_MAX(c->workers, 1), 1);
	o.head_timeout_ns = c->timeouts.head_ns;
	o.idle_timeout_ns = c->timeouts.idle_ns;
	return o;
}

static int make_pools(struct jt_worker *w, struct jt_error *err)
{
	for (size_t i = 0; i < w->n_upstreams; i++) {
		struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
		int status;

		o.host = w->upstreams[i].config->host;
		o.port = w->upstreams[i].config->port;
		o.max_head = w->config->limits.max_head_bytes;
		o.connect_timeout_ns = w->config->timeouts.connect_ns;
		o.first_byte_timeout_ns = w->config->timeouts.first_byte_ns;
		o.silence_timeout_ns = w->config->timeouts.silence_ns;
		status = jt__pool_new(w->loop, &o, &w->pools[i], err);
		if (status < 0)
			return status;
	}
	return JT_OK;
}

static void on_drained(void *user)
{
	jt__loop_stop(((struct jt_worker *)user)->loop);
}

static void on_drain_time(struct jt_timer *t)
{
	struct jt_worker *w = jt_container_of(t, struct jt_worker, drain_timer);

	w->was_cut = true;
	jt__loop_stop(w->loop);
}

static void on_wake(void *user)
{
	struct jt_worker *w = user;

	jt__worker_take_replies(w);
	if (w->draining && !w->drain_begun) {
		w->drain_begun = true;
		w->drain_timer.fn = on_drain_time;
		jt__timer_set(w->loop, &w->drain_timer, jt__loop_now_ns(w->loop) + w->drain_ns);
		jt__server_drain(w->server, on_drained, w);
	}
}

/* Requests that are over but could not say so yet try again. */
static void on_unsent(struct jt_timer *t)
{
	struct jt_worker *w = jt_container_of(t, struct jt_worker, unsent_timer);

	while (w->unsent) {
		struct jt_relay *next = jt__relay_next_unsent(w->unsent);

		if (!jt__relay_retire(w->unsent)) {
			jt__timer_set(w->loop, t, jt__loop_now_ns(w->loop) + RETRY_NS);
			return;
		}
		w->unsent = next;
	}
}

int jt__worker_init(struct jt_worker *w, const char *listen, struct jt_error *err)
{
	struct jt_server_options o = server_options(w->config, listen);
	int status = jt__loop_new(&w->loop, err);

	if (status == JT_OK)
		status = make_pools(w, err);
	if (status == JT_OK)
		status = jt__server_new(w->loop, &o, &jt__relay_handler, w, &w->server, err);
	if (status == JT_OK) {
		w->unsent_timer.fn = on_unsent;
		jt__loop_on_wake(w->loop, on_wake, w);
	}
	return status;
}

void jt__worker_close(struct jt_worker *w)
{
	jt__server_free(w->server); /* ends the exchanges, which cancel their calls */
	w->server = NULL;
}

void jt__worker_fini(struct jt_worker *w)
{
	jt__worker_close(w);
	for (size_t i = 0; i < w->n_upstreams; i++)
		jt__pool_free(w->pools[i]);
	if (w->loop) {
		jt__timer_cancel(w->loop, &w->unsent_timer);
		jt__timer_cancel(w->loop, &w->drain_timer);
	}
	while (w->unsent) {
		struct jt_relay *next = jt__relay_next_unsent(w->unsent);

		jt__relay_free(w->unsent);
		w->unsent = next;
	}
	jt__loop_free(w->loop);
	jt__free(w->relays);
}

/* ---- keys ---- */

static bool grow_slots(struct jt_worker *w)
{
	uint32_t n = w->n_slots ? 2 * w->n_slots : 256;
	struct jt_relay **grown;

	if (n > 1u << KEY_SLOT_BITS)
		return false;
	grown = jt__realloc(w->relays, n, sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + w->n_slots, 0, (n - w->n_slots) * sizeof(*grown));
	w->free_slot_hint = w->n_slots;
	w->relays = grown;
	w->n_slots = n;
	return true;
}

bool jt__worker_adopt(struct jt_worker *w, struct jt_relay *r, uint64_t *ret_key)
{
	uint32_t tried = 0, slot = w->free_slot_hint;

	while (tried < w->n_slots && w->relays[slot % w->n_slots]) {
		slot++;
		tried++;
	}
	if (tried == w->n_slots) {
		if (!grow_slots(w))
			return false;
		slot = w->free_slot_hint;
	}
	slot %= w->n_slots;
	w->free_slot_hint = slot + 1;
	w->relays[slot] = r;
	*ret_key = (uint64_t)w->index << (KEY_SLOT_BITS + KEY_GENERATION_BITS) |
	           (uint64_t)w->generation++ << KEY_SLOT_BITS | slot;
	return true;
}

static uint32_t slot_of(uint64_t key)
{
	return (uint32_t)(key & ((1u << KEY_SLOT_BITS) - 1));
}

void jt__worker_release(struct jt_worker *w, uint64_t key)
{
	w->relays[slot_of(key)] = NULL;
	w->free_slot_hint = slot_of(key);
}

void jt__worker_take_replies(struct jt_worker *w)
{
	struct jt_reply reply;

	while (jt__ring_pop(w->replies, &reply))
		if (slot_of(reply.key) < w->n_slots && w->relays[slot_of(reply.key)])
			jt__relay_reply(w->relays[slot_of(reply.key)], &reply);
}

/* ---- routes ---- */

const struct jt_upstream *jt__worker_route(const struct jt_worker *w, const char *model,
                                           size_t *ret_index)
{
	size_t any = w->n_upstreams;

	for (size_t i = 0; i < w->n_upstreams; i++) {
		const struct jt_config_upstream *c = w->upstreams[i].config;

		for (size_t k = 0; k < c->n_models; k++) {
			if (strcmp(c->models[k], model) == 0) {
				*ret_index = i;
				return &w->upstreams[i];
			}
		}
		if (any == w->n_upstreams && (!c->n_models || !*model))
			any = i;
	}
	if (any == w->n_upstreams)
		return NULL;
	*ret_index = any;
	return &w->upstreams[any];
}
