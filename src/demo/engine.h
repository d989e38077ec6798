/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DEMO_ENGINE_H
#define JT_DEMO_ENGINE_H
/*
 * What engine.c (the node and its time) and api.c (HTTP) share. Private to them. Everything is the
 * engine's own thread's; what stands behind the lock in the struct is changed under it, since other
 * threads look at it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include "demo/demo.h"
#include "demo/openai.h"
#include "http/server.h"

/* A request under way. */
struct jt_demo_task {
	struct jt_demo_task *next;
	struct jt_exchange *ex;
	uint64_t id; /* in the node */
	uint64_t created_unix_s;
	struct jt_demo_ask ask;
	uint32_t n_tokens;
	bool over;          /* in the node */
	struct jt_buf text; /* of one that is not streamed */
	char request_id[64];
};

struct jt_demo_kept {
	char request_id[64];
	struct jt_node_truth truth;
};

struct jt_demo_engine {
	char model[96];
	struct jt_node_options o;
	struct jt_loop *loop;
	struct jt_server *server;
	pthread_t thread;
	bool has_thread;
	struct jt_timer step_timer;
	struct jt_timer sensor_timer;
	bool stepping;
	struct jt_node_step step; /* the one under way */
	uint64_t last_id;
	uint64_t n_requests;
	uint64_t n_prompt_tokens;
	uint64_t n_generated_tokens;
	uint64_t sensed_ns; /* the device's last update */
	double sensed_j;

	pthread_mutex_t lock; /* for what follows */
	struct jt_node *node;
	struct jt_demo_task *tasks;
	struct jt_demo_kept *kept; /* a ring */
	uint64_t n_kept;           /* ever */

	_Atomic uint64_t energy_uj; /* what the device shows */
	_Atomic uint32_t power_mw;
};

/* Puts @a, whose ask is filled in, into the node. JT_ELIMIT: larger than the KV memory. */
int jt__demo_submit(struct jt_demo_engine *e, struct jt_demo_task *a, struct jt_error *err);
/* The client has all of its answer, or is gone: then the node need not go on with it. */
void jt__demo_leave(struct jt_demo_engine *e, struct jt_demo_task *a);

/* The next token of @a is there; it is the last one if a->over. */
void jt__demo_hand_out(struct jt_demo_engine *e, struct jt_demo_task *a);
extern const struct jt_server_handler jt__demo_handler; /* user: the engine */

#endif
