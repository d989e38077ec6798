/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DEMO_H
#define JT_DEMO_H
/*
 * An engine to try jouletap on where there is none: OpenAI-compatible HTTP over the pure node of
 * src/model, paced in real time, with made-up text, known true energy, and a modelled device that
 * meters it. The engine has a thread of its own; the functions here are for any thread, start and
 * stop for one.
 */
#include "jouletap/source.h"
#include "model/node.h"

struct jt_demo_engine; /* opaque */

struct jt_demo_options {
	const char *listen;          /* "127.0.0.1:0" */
	const char *model;           /* the name clients ask for; up to 95 characters */
	struct jt_node_options node; /* begin_ns is set at the start */
};

/*
 * Llama-3.1-8B on an A10: slow enough to watch. A token takes 34 ms alone and 40 ms among a dozen
 * requests, 800 prompt tokens a fifth of a second.
 */
struct jt_demo_options jt__demo_defaults(void);

/* @o is copied. Listens when it returns. */
int jt__demo_engine_start(const struct jt_demo_options *o, struct jt_demo_engine **ret_engine,
                          struct jt_error *err);
/* Cuts open answers. Close what reads its device first. Accepts NULL. */
void jt__demo_engine_stop(struct jt_demo_engine *e);

/* "127.0.0.1:43210" */
const char *jt__demo_engine_address(const struct jt_demo_engine *e);
const struct jt_gpu *jt__demo_engine_gpu(const struct jt_demo_engine *e);

/*
 * The true energy of the request that came with `x-request-id: @request_id` (the latest such); so
 * far, if it still runs. The last JT_DEMO_KEPT finished ones are kept. JT_ENOENT.
 */
#define JT_DEMO_KEPT 4096
int jt__demo_engine_truth(struct jt_demo_engine *e, const char *request_id,
                          struct jt_node_truth *ret_truth);

/* The node's true energy since the start: energy = idle + all requests. */
struct jt_demo_totals {
	uint64_t t_ns; /* as of */
	double energy_j;
	double idle_j;
};
void jt__demo_engine_totals(struct jt_demo_engine *e, struct jt_demo_totals *ret_totals);

/* What the device shows, without a lock: changes every 100 ms, in whole mJ. */
struct jt_demo_reading {
	uint64_t energy_uj;
	uint32_t power_mw; /* mean since the update before */
};
void jt__demo_engine_reading(const struct jt_demo_engine *e, struct jt_demo_reading *ret_reading);

/*
 * The meter of the demo engine, domain "demo:0". It finds its engine through
 * jt__demo_device_attach(), which comes before the source is opened; with NULL it has no domains.
 */
extern const struct jt_source_ops jt__source_demo;
void jt__demo_device_attach(const struct jt_demo_engine *e);

#endif
