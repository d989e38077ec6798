/* SPDX-License-Identifier: Apache-2.0 */
/* Listening: taking connections, and parting from them. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "http/exchange.h"
#define LOG_MODULE "http"
#include "base/log.h"

#define ACCEPT_BATCH 64
#define ACCEPT_BACKOFF_NS (100 * JT_NS_PER_MS)

static void settle_listener(struct jt_server *s)
{
	if (s->watch.fd >= 0 && !s->accept_timer.slot)
		jt__loop_rearm(s->loop, &s->watch, s->n_conns < s->o.max_connections ? EPOLLIN : 0);
}

static void report_drained(struct jt_deferred *d)
{
	struct jt_server *s = jt_container_of(d, struct jt_server, drain);

	if (!s->freed)
		s->drained(s->drained_user);
}

void jt__server_lost_conn(struct jt_server *s)
{
	s->n_conns--;
	settle_listener(s);
	if (s->draining && !s->n_conns)
		jt__loop_defer(s->loop, &s->drain);
}

static void on_accept_timer(struct jt_timer *t)
{
	settle_listener(jt_container_of(t, struct jt_server, accept_timer));
}

static void on_accept(struct jt_watch *w, uint32_t events)
{
	struct jt_server *s = jt_container_of(w, struct jt_server, watch);

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH && s->n_conns < s->o.max_connections; i++) {
		int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && !jt__conn_add(s, fd)) {
			log_warn("cannot take a connection: out of memory");
			close(fd);
		}
		if (fd >= 0)
			continue;
		/* Out of descriptors or memory: the connection stays in the queue, we come back. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			log_warn("cannot accept a connection: %s; trying again in 100 ms",
			         strerror(errno));
			if (jt__timer_set(s->loop, &s->accept_timer,
			                  jt__loop_now_ns(s->loop) + ACCEPT_BACKOFF_NS) == JT_OK)
				jt__loop_rearm(s->loop, &s->watch, 0);
			return;
		}
		if (errno == EAGAIN)
			break;
	}
	settle_listener(s);
}

int jt__server_new(struct jt_loop *l, const struct jt_server_options *o,
                   const struct jt_server_handler *h, void *user, struct jt_server **ret_server,
                   struct jt_error *err)
{
	struct jt_server *s = jt__alloc(1, sizeof(*s));
	int status;

	if (!s)
		return jt__fail(err, JT_ENOMEM, "http", "cannot allocate a server");
	s->loop = l;
	s->o = *o;
	s->h = h;
	s->user = user;
	s->accept_timer.fn = on_accept_timer;
	s->watch = (struct jt_watch){ .fd = -1, .events = EPOLLIN, .fn = on_accept };
	status = jt__net_listen(o->listen, o->reuse_port, &s->watch.fd, s->address, err);
	if (status == JT_OK && jt__loop_watch(l, &s->watch) < 0) {
		status = jt__fail(err, JT_EIO, "http", "cannot watch '%s': %s", s->address,
		                  strerror(errno));
		close(s->watch.fd);
	}
	if (status < 0) {
		jt__free(s);
		return status;
	}
	*ret_server = s;
	return JT_OK;
}

static void stop_listening(struct jt_server *s)
{
	if (s->watch.fd < 0)
		return;
	jt__timer_cancel(s->loop, &s->accept_timer);
	jt__loop_unwatch(s->loop, &s->watch);
	close(s->watch.fd);
	s->watch.fd = -1;
}

static void release_server(struct jt_deferred *d)
{
	struct jt_server *s = jt_container_of(d, struct jt_server, release);

	while (s->n_spare)
		jt__buf_fini(&s->spare[--s->n_spare]);
	jt__free(s);
}

void jt__server_free(struct jt_server *s)
{
	if (!s || s->freed)
		return;
	s->freed = true;
	stop_listening(s);
	while (s->conns)
		jt__conn_give_up(s->conns);
	s->release.fn = release_server;
	jt__loop_defer(s->loop, &s->release);
}

const char *jt__server_address(const struct jt_server *s)
{
	return s->address;
}

uint32_t jt__server_n_connections(const struct jt_server *s)
{
	return s->n_conns;
}

static void begin_drain(struct jt_deferred *d)
{
	struct jt_server *s = jt_container_of(d, struct jt_server, drain);
	struct jt_conn *next;
	uint32_t before;

	d->fn = report_drained;
	if (s->freed)
		return;
	do { /* closing the listener would reset who waits in its queue */
		before = s->n_conns;
		on_accept(&s->watch, EPOLLIN);
	} while (s->n_conns > before);
	stop_listening(s);
	s->draining = true;
	if (!s->n_conns)
		jt__loop_defer(s->loop, d);
	/* One that goes meanwhile keeps its memory, and so its next, until this turn is over. */
	for (struct jt_conn *c = s->conns; c; c = next) {
		next = c->next;
		jt__conn_drain(c);
	}
}

void jt__server_drain(struct jt_server *s, void (*done)(void *user), void *user)
{
	if (s->drained)
		return;
	s->drained = done;
	s->drained_user = user;
	s->drain.fn = begin_drain;
	jt__loop_defer(s->loop, &s->drain);
}
