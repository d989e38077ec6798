/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOOP_H
#define JT_LOOP_H
/*
 * An event loop over epoll: descriptors, timers, and a wake-up from other
 * threads. Everything but jt__loop_wake() and jt__loop_stop() is for the
 * loop's own thread.
 */
#include "base/base.h"

struct jt_loop; /* opaque */

/* Embedded by its owner, who keeps it until jt__loop_unwatch(). */
struct jt_watch {
	int fd;
	uint32_t events; /* EPOLLIN … that fn wants to hear of now */
	void (*fn)(struct jt_watch *w, uint32_t events);
	uint32_t armed; /* the loop's: what the kernel has been told, often more than that */
};

/* One shot. Zero-initialise; set again from its own callback to repeat. */
struct jt_timer {
	void (*fn)(struct jt_timer *t);
	uint64_t due_ns;
	size_t slot; /* the loop's; 0: not set */
};

int jt__loop_new(struct jt_loop **ret_loop, struct jt_error *err);
/* Runs what is still deferred. Accepts NULL; closes no descriptor of others. */
void jt__loop_free(struct jt_loop *l);

/* The time at the start of this turn, monotonic. */
uint64_t jt__loop_now_ns(const struct jt_loop *l);
/* The time of day in this turn. */
uint64_t jt__loop_realtime_ns(struct jt_loop *l);

/* w->fd, events and fn are set. Level-triggered: fn is called as long as the condition holds. */
int jt__loop_watch(struct jt_loop *l, struct jt_watch *w);
/* Free for what was wanted before: that stays armed, and is only taken back if it happens. */
void jt__loop_rearm(struct jt_loop *l, struct jt_watch *w, uint32_t events);
/* Safe from any callback, also for watches with an event pending in this turn. */
void jt__loop_unwatch(struct jt_loop *l, struct jt_watch *w);

/*
 * Moves it if already set; moving it to a later time costs nothing. Fires up
 * to a millisecond late, never early. JT_ENOMEM: not set.
 */
int jt__timer_set(struct jt_loop *l, struct jt_timer *t, uint64_t due_ns);
void jt__timer_cancel(struct jt_loop *l, struct jt_timer *t); /* no-op if not set */

/* Runs @fn in the loop's thread once for one or more jt__loop_wake() calls. */
void jt__loop_on_wake(struct jt_loop *l, void (*fn)(void *user), void *user);
void jt__loop_wake(struct jt_loop *l); /* any thread, async-signal-safe */

/* Runs until jt__loop_stop(), also one called before it began. */
int jt__loop_run(struct jt_loop *l);
void jt__loop_stop(struct jt_loop *l); /* any thread, async-signal-safe */
/* One turn that waits at most @max_wait_ns for something to happen. */
int jt__loop_turn(struct jt_loop *l, uint64_t max_wait_ns);

/* Runs @fn at the end of this turn, when no callback is on the stack: for freeing oneself. */
struct jt_deferred {
	struct jt_deferred *next;
	void (*fn)(struct jt_deferred *d);
};
/* In the order of the calls; @d may not be deferred already. */
void jt__loop_defer(struct jt_loop *l, struct jt_deferred *d);

/* Memory to read a socket into, shared by all of this loop: its content lasts one callback. */
#define JT_LOOP_SCRATCH ((size_t)64 << 10)
char *jt__loop_scratch(struct jt_loop *l);

#endif
