/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WORKER_H
#define JT_WORKER_H
/*
 * A worker: a thread with an event loop, a listening socket on the shared port,
 * a pool of connections to each upstream, and the requests it relays. It tells
 * the bookkeeper what happens to them through its ring of notes.
 */
#include "base/ring.h"
#include "config/config.h"
#include "gateway/estimate.h"
#include "gateway/filter.h"
#include "gateway/note.h"
#include "http/client.h"
#include "http/server.h"

/* An engine that requests are sent to; the same for all workers. */
struct jt_upstream {
	const struct jt_config_upstream *config;
	char host[160];   /* for the Host header */
	uint32_t service; /* of the meter */
	struct jt_estimator *estimator;
};

struct jt_relay;

struct jt_worker {
	/* set by the gateway before the thread starts */
	unsigned index;
	const struct jt_config *config;
	const struct jt_upstream *upstreams;
	size_t n_upstreams;
	uint64_t id_salt; /* makes request ids of this process unlike those of others */
	struct jt_loop *loop;
	struct jt_server *server;
	struct jt_ring *notes;   /* to the bookkeeper */
	struct jt_ring *replies; /* from it */
	void (*wake_books)(void *user);
	void *user;
	_Atomic bool draining; /* set by the gateway, which then wakes the loop … */
	uint64_t drain_ns;     /* … and has said how long requests may take to end */

	_Atomic int cpu_clock; /* of its thread, set by that; 0: not yet running */

	/* the thread's own */
	struct jt_pool *pools[64];
	struct jt_relay **relays; /* by slot; a key names slot and generation */
	uint32_t n_slots;
	uint32_t free_slot_hint;
	uint32_t generation;
	struct jt_relay *unsent; /* over, but the ring had no room for their last note */
	struct jt_timer unsent_timer;
	bool drain_begun;
	struct jt_timer drain_timer;
	bool was_cut;                 /* the drain time was over before all requests were */
	_Atomic uint64_t n_unmetered; /* requests whose first note had no room */
};

/* The port is bound and the pools are made here; the thread then runs jt__loop_run(w->loop). */
int jt__worker_init(struct jt_worker *w, const char *listen, struct jt_error *err);
/* Its loop no longer runs: cuts what is still open and sends the last notes. */
void jt__worker_close(struct jt_worker *w);
void jt__worker_fini(struct jt_worker *w);

/* Answers that the bookkeeper sent; in the loop's thread. */
void jt__worker_take_replies(struct jt_worker *w);

/* ---- relay.c ---- */

extern const struct jt_server_handler jt__relay_handler;
void jt__relay_reply(struct jt_relay *r, const struct jt_reply *reply);
/* Tries again to send the last note; true when it is out and @r is gone. */
bool jt__relay_retire(struct jt_relay *r);
struct jt_relay *jt__relay_next_unsent(const struct jt_relay *r);
void jt__relay_free(struct jt_relay *r);

/* false: no slot to be had (out of memory). Sets the relay's key. */
bool jt__worker_adopt(struct jt_worker *w, struct jt_relay *r, uint64_t *ret_key);
void jt__worker_release(struct jt_worker *w, uint64_t key);

/* The upstream that serves @model ("": any); NULL if none does. */
const struct jt_upstream *jt__worker_route(const struct jt_worker *w, const char *model,
                                           size_t *ret_index);

#endif
