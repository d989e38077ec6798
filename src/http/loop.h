/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOOP_H
#define JT_LOOP_H
/*
 * An event loop over epoll: descriptors, timers, and a wake-up from other
 * threads. Everything but jt__loop_wake() and jt__loop_stop() is for the loop's own thread.
 */
#include "base/base.h"

struct jt_loop; /* opaque */

/* Embedded by its owner, who keeps it until jt__loop_unwatch(). */
struct jt_watch {
	int fd;
	uint32_t events; /* EPOLLIN … as armed now */
	void (*fn)(struct jt_watch *w, uint32_t events);
};

/* One shot. Zero-initialise; set again from its own callback to repeat. */
struct jt_timer {
	void (*fn)(struct jt_timer *t);
	uint64_t due_ns;
	size_t slot; /* the loop's; 0: not set */
};

int jt__loop_new(struct jt_loop **ret_loop, struct jt_error *err);
void jt__loop_free(struct jt_loop *l); /* accepts NULL; closes no descriptor of others */

/* The time at the start of this turn, monotonic. */
uint64_t jt__loop_now_ns(const struct jt_loop *l);

int jt__loop_watch(struct jt_loop *l, struct jt_watch *w); /* w->fd, events, fn are set; edge-free (level) */
void jt__loop_rearm(struct jt_loop *l, struct jt_watch *w, uint32_t events); /* no-op if unchanged */
/* Safe from any callback, also for watches with an event pending in this turn. */
void jt__loop_unwatch(struct jt_loop *l, struct jt_watch *w);

int jt__timer_set(struct jt_loop *l, struct jt_timer *t, uint64_t due_ns); /* moves it if already set */
void jt__timer_cancel(struct jt_loop *l, struct jt_timer *t);              /* no-op if not set */

/* Runs @fn in the loop's thread once for one or more jt__loop_wake() calls. */
void jt__loop_on_wake(struct jt_loop *l, void (*fn)(void *user), void *user);
void jt__loop_wake(struct jt_loop *l); /* any thread, async-signal-safe */

/* Runs until jt__loop_stop(). */
int jt__loop_run(struct jt_loop *l);
void jt__loop_stop(struct jt_loop *l); /* any thread, async-signal-safe */

/* Runs @fn at the end of this turn, when no callback is on the stack: for freeing oneself. */
struct jt_deferred {
	struct jt_deferred *next;
	void (*fn)(struct jt_deferred *d);
};
void jt__loop_defer(struct jt_loop *l, struct jt_deferred *d);

#endif
