/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_BOOKS_H
#define JT_BOOKS_H
/*
 * The bookkeeper: one thread that owns the meter, the metrics, the access log
 * and the recording, takes the workers' notes, answers their questions and
 * serves the admin port. No locks: everything here is its own.
 */
#include <pthread.h>
#include "base/ring.h"
#include "config/config.h"
#include "exporters/metrics.h"
#include "gateway/figures.h"
#include "http/server.h"
#include "jouletap/meter.h"
#include "ledger/ledger.h"

struct jt_worker;

struct jt_look_up {
	struct jt_worker *from;
	struct jt_note note;
};

struct jt_books {
	const struct jt_config *config;
	struct jt_loop *loop;
	struct jt_timer tick;
	struct jt_meter *meter;
	struct jt_metrics *metrics;
	struct jt_memory *memory;
	struct jt_lines *access_log; /* NULL: none */
	struct jt_lines *recording;  /* NULL: none */
	struct jt_buf line;
	struct jt_buf look_ups; /* struct jt_look_up, until all rings are empty */
	uint64_t origin_ns;     /* of the recording */
	struct jt_server *admin;
	struct jt_worker *workers;
	size_t n_workers;
	uint64_t n_in_flight;
	uint64_t n_notes_lost;
	_Atomic bool reopen;   /* the logs: set by the gateway, which then wakes the loop */
	_Atomic bool stopping; /* stop as soon as no record is outstanding */
	uint64_t stopping_since_ns;
	void (*on_record)(void *user, const struct jt_record *record);
	void *user;
};

/* Opens everything; the thread then runs jt__loop_run(b->loop). Workers are set before that. */
int jt__books_init(struct jt_books *b, const struct jt_source_ops *const *extra_sources,
                   struct jt_error *err);
void jt__books_fini(struct jt_books *b);

/* ---- admin.c ---- */
extern const struct jt_server_handler jt__admin_handler;

#endif
