/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RELAY_H
#define JT_RELAY_H
/*
 * One request on its way through: what relay.c (which moves its bytes) and
 * report.c (which tells the bookkeeper) share. Private to them; worker's thread only.
 */
#include "gateway/ask.h"
#include "gateway/worker.h"

struct jt_relay {
	struct jt_worker *worker;
	struct jt_exchange *ex;   /* NULL: the client's side is over */
	struct jt_call *call;     /* NULL: the upstream's side is over, or has not begun */
	const struct jt_api *api; /* NULL: no inference, bytes in and bytes out */
	bool probe;
	uint64_t key;
	const struct jt_upstream *upstream;
	char path[48];
	char id[64];

	struct jt_models *models; /* it is about them, and there are several upstreams */

	/* the client's body, streamed on */
	bool chunked_up;

	/* the request as read, and its answer */
	struct jt_ask ask;
	bool wants_energy;
	bool reading; /* filter is in use */
	struct jt_filter filter;
	uint64_t begin_ns; /* its head arrived */
	uint64_t sent_ns;  /* … and went to the upstream; 0: it did not */
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t next_progress; /* content events at which the bookkeeper hears of the context again
	                         */

	/* the bookkeeper is asked */
	bool waiting;
	struct jt_timer patience;
	struct jt_buf later;

	/* the upstream's side is over; while waiting, its end comes after `later` */
	uint64_t over_ns; /* 0: it is not */
	int call_status;

	uint32_t running; /* sequences of it that are counted as in the engine's hands */

	/* for the bookkeeper */
	struct jt_request_facts *facts; /* NULL: not metered, or handed over */
	bool announced;                 /* BEGIN is out */
	uint64_t end_ns;                /* the facts are complete; 0: they are not */
	struct jt_relay *next_unsent;
};

static inline uint64_t jt__relay_now_ns(const struct jt_relay *r)
{
	return jt__loop_now_ns(r->worker->loop);
}

/* How long the end of an answer waits for the bookkeeper. */
#define JT_PATIENCE_NS (100 * JT_NS_PER_MS)

/* ---- questions.c ---- */

/* Whether it asks the gateway itself: for models of several upstreams, for joules. */
bool jt__relay_is_question(const struct jt_relay *r);
/* Answers it, at once or when others have; its body is complete. */
void jt__relay_answer(struct jt_relay *r);

/* ---- report.c ---- */

/* false: the ring is full. */
bool jt__relay_tell(struct jt_relay *r, const struct jt_note *note);
/* What is known of a request when its head has arrived; NULL: out of memory, it goes unreported. */
struct jt_request_facts *jt__relay_new_facts(const struct jt_relay *r);
/* The class it names, or the default. */
void jt__relay_task_class(const struct jt_relay *r, char *out, size_t size);
/* What it is predicted to cost goes into its record, where that can be said. */
void jt__relay_predict(struct jt_relay *r);
/* It was sent to the engine. */
void jt__relay_tell_begin(struct jt_relay *r);
/* Its first token has come, or its context has grown. */
void jt__relay_tell_progress(struct jt_relay *r);
/* Its end: the facts, which are complete, change hands. false: the ring is full. */
bool jt__relay_tell_end(struct jt_relay *r);
/* The upstream has nothing more to do with it: completes the facts, and tells its end if it can. */
void jt__relay_conclude(struct jt_relay *r, const char *outcome);

#endif
