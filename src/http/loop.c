/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "base/clock.h"
#include "http/loop.h"

#define BATCH 256

/*
 * The heap's own copy of a due time. It may be earlier than the timer's: a
 * timer that moves later (as every timeout does with every read) stays where it
 * is and is put right when it comes up.
 */
struct entry {
	uint64_t due_ns;
	struct jt_timer *timer;
};

struct jt_loop {
	int epoll_fd;
	uint64_t now_ns;
	uint64_t realtime_ns;       /* of this turn; 0: nobody has asked */
	struct jt_watch wake_watch; /* an eventfd */
	void (*on_wake)(void *user);
	void *wake_user;
	atomic_bool wake_asked; /* since on_wake last ran */
	atomic_bool stop_asked;
	struct entry *heap; /* [1] is due first */
	size_t n_timers;
	size_t heap_capacity;
	struct jt_deferred *deferred;
	struct jt_deferred **deferred_tail;
	struct epoll_event batch[BATCH]; /* of this turn; data.ptr NULL: unwatched meanwhile */
	int n_batch;
	int batch_next; /* first one not yet delivered */
	char scratch[JT_LOOP_SCRATCH];
};

static void drain_wakes(struct jt_watch *w, uint32_t events)
{
	struct jt_loop *l = jt_container_of(w, struct jt_loop, wake_watch);
	uint64_t n;

	(void)events;
	if (read(w->fd, &n, sizeof(n)) < 0)
		return;
	/* Cleared before the call: a wake during it must lead to another one. */
	if (atomic_exchange(&l->wake_asked, false) && l->on_wake)
		l->on_wake(l->wake_user);
}

int jt__loop_new(struct jt_loop **ret_loop, struct jt_error *err)
{
	struct jt_loop *l = jt__alloc(1, sizeof(*l));

	if (!l)
		return jt__fail(err, JT_ENOMEM, "loop", "cannot allocate an event loop");
	l->deferred_tail = &l->deferred;
	l->now_ns = jt__now_ns();
	l->wake_watch = (struct jt_watch){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		                           .events = EPOLLIN,
		                           .fn = drain_wakes };
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0 || l->wake_watch.fd < 0 || jt__loop_watch(l, &l->wake_watch) < 0) {
		int status = jt__fail(err, JT_EIO, "loop", "cannot create an event loop: %s",
		                      strerror(errno));

		jt__loop_free(l);
		return status;
	}
	*ret_loop = l;
	return JT_OK;
}

static void run_deferred(struct jt_loop *l)
{
	while (l->deferred) {
		struct jt_deferred *d = l->deferred;

		l->deferred = d->next;
		if (!l->deferred)
			l->deferred_tail = &l->deferred;
		d->fn(d);
	}
}

void jt__loop_free(struct jt_loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	if (l->wake_watch.fd >= 0)
		close(l->wake_watch.fd);
	jt__free(l->heap);
	jt__free(l);
}

uint64_t jt__loop_now_ns(const struct jt_loop *l)
{
	return l->now_ns;
}

uint64_t jt__loop_realtime_ns(struct jt_loop *l)
{
	if (!l->realtime_ns)
		l->realtime_ns = jt__realtime_ns();
	return l->realtime_ns;
}

char *jt__loop_scratch(struct jt_loop *l)
{
	return l->scratch;
}

int jt__loop_watch(struct jt_loop *l, struct jt_watch *w)
{
	struct epoll_event e = { .events = w->events, .data.ptr = w };

	w->armed = w->events;
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) < 0 ? JT_EIO : JT_OK;
}

static void arm(struct jt_loop *l, struct jt_watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	w->armed = events;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
}

/* Room to send is nearly always there: unlike the others it would happen at once. */
void jt__loop_rearm(struct jt_loop *l, struct jt_watch *w, uint32_t events)
{
	uint32_t enough = (w->armed & ~(uint32_t)EPOLLOUT) | events;

	w->events = events;
	if (enough != w->armed)
		arm(l, w, enough);
}

void jt__loop_unwatch(struct jt_loop *l, struct jt_watch *w)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	for (int i = l->batch_next; i < l->n_batch; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

static void place(struct jt_loop *l, size_t slot, struct entry e)
{
	l->heap[slot] = e;
	e.timer->slot = slot;
}

static void sift_up(struct jt_loop *l, size_t slot, struct entry e)
{
	for (; slot > 1 && l->heap[slot / 2].due_ns > e.due_ns; slot /= 2)
		place(l, slot, l->heap[slot / 2]);
	place(l, slot, e);
}

static void sift_down(struct jt_loop *l, size_t slot, struct entry e)
{
	for (size_t child; (child = slot * 2) <= l->n_timers; slot = child) {
		if (child < l->n_timers && l->heap[child + 1].due_ns < l->heap[child].due_ns)
			child++;
		if (l->heap[child].due_ns >= e.due_ns)
			break;
		place(l, slot, l->heap[child]);
	}
	place(l, slot, e);
}

static bool grow_heap(struct jt_loop *l)
{
	size_t capacity = l->heap_capacity ? l->heap_capacity * 2 : 64;
	struct entry *heap;

	if (l->n_timers + 1 < l->heap_capacity)
		return true;
	heap = jt__realloc(l->heap, capacity, sizeof(*heap));
	if (!heap)
		return false;
	l->heap = heap;
	l->heap_capacity = capacity;
	return true;
}

int jt__timer_set(struct jt_loop *l, struct jt_timer *t, uint64_t due_ns)
{
	if (!t->slot) {
		if (!grow_heap(l))
			return JT_ENOMEM;
		t->due_ns = due_ns;
		sift_up(l, ++l->n_timers, (struct entry){ due_ns, t });
		return JT_OK;
	}
	t->due_ns = due_ns;
	if (due_ns < l->heap[t->slot].due_ns)
		sift_up(l, t->slot, (struct entry){ due_ns, t });
	return JT_OK;
}

void jt__timer_cancel(struct jt_loop *l, struct jt_timer *t)
{
	size_t slot = t->slot;
	struct entry last;

	if (!slot)
		return;
	t->slot = 0;
	last = l->heap[l->n_timers--];
	if (slot > l->n_timers)
		return;
	if (slot > 1 && l->heap[slot / 2].due_ns > last.due_ns)
		sift_up(l, slot, last);
	else
		sift_down(l, slot, last);
}

/* At most as many as were set before, so that a timer set again for now cannot hold the turn. */
static void run_timers(struct jt_loop *l)
{
	for (size_t left = l->n_timers; left && l->n_timers;) {
		struct entry e = l->heap[1];

		if (e.due_ns > l->now_ns)
			return;
		if (e.timer->due_ns > e.due_ns) {
			sift_down(l, 1, (struct entry){ e.timer->due_ns, e.timer });
			continue;
		}
		left--;
		jt__timer_cancel(l, e.timer);
		e.timer->fn(e.timer);
	}
}

static int wait_ms(const struct jt_loop *l, uint64_t max_wait_ns)
{
	uint64_t now_ns = jt__now_ns(), wait_ns = max_wait_ns;

	if (l->deferred || atomic_load(&l->stop_asked))
		return 0;
	if (l->n_timers)
		wait_ns = JT_MIN(wait_ns,
		                 l->heap[1].due_ns > now_ns ? l->heap[1].due_ns - now_ns : 0);
	/* Rounded up: waking early would only mean to wait again. */
	return (int)JT_MIN(wait_ns / JT_NS_PER_MS + (wait_ns % JT_NS_PER_MS != 0), 60000);
}

static void deliver(struct jt_loop *l, struct jt_watch *w, uint32_t events)
{
	uint32_t wanted = w->events | EPOLLERR | EPOLLHUP;

	if (events & wanted)
		w->fn(w, events & wanted);
	else
		arm(l, w, w->events);
}

int jt__loop_turn(struct jt_loop *l, uint64_t max_wait_ns)
{
	int n = epoll_wait(l->epoll_fd, l->batch, BATCH, wait_ms(l, max_wait_ns));

	if (n < 0 && errno != EINTR)
		return JT_EIO;
	l->now_ns = jt__now_ns();
	l->realtime_ns = 0;
	l->n_batch = n < 0 ? 0 : n;
	for (l->batch_next = 0; l->batch_next < l->n_batch;) {
		struct epoll_event *e = &l->batch[l->batch_next++];
		struct jt_watch *w = e->data.ptr;

		if (w)
			deliver(l, w, e->events);
	}
	l->n_batch = 0;
	run_timers(l);
	run_deferred(l);
	return JT_OK;
}

int jt__loop_run(struct jt_loop *l)
{
	int status = JT_OK;

	while (status == JT_OK && !atomic_load(&l->stop_asked))
		status = jt__loop_turn(l, UINT64_MAX);
	atomic_store(&l->stop_asked, false);
	return status;
}

static void poke(struct jt_loop *l)
{
	int saved = errno;
	uint64_t one = 1;

	/* Can only fail when the counter is full, and then the loop is awake anyway. */
	if (write(l->wake_watch.fd, &one, sizeof(one)) < 0)
		errno = saved;
}

void jt__loop_on_wake(struct jt_loop *l, void (*fn)(void *user), void *user)
{
	l->on_wake = fn;
	l->wake_user = user;
}

void jt__loop_wake(struct jt_loop *l)
{
	if (!atomic_exchange(&l->wake_asked, true))
		poke(l);
}

void jt__loop_stop(struct jt_loop *l)
{
	atomic_store(&l->stop_asked, true);
	poke(l);
}

void jt__loop_defer(struct jt_loop *l, struct jt_deferred *d)
{
	d->next = NULL;
	*l->deferred_tail = d;
	l->deferred_tail = &d->next;
}
