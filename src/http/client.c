/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call owns a peer (a connection to the origin) from the moment it is sent until
 * its answer is complete; then the peer goes back to the pool, or is closed if
 * anything about it is in doubt: bytes behind the answer, an unfinished request,
 * "Connection: close", or any sign of life while idle.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "http/client.h"
#include "http/net.h"

#define MAX_ADDRESSES 4
#define OUT_MAX ((size_t)1 << 30)
#define HIGH_WATER ((size_t)256 << 10)
#define LOW_WATER ((size_t)64 << 10)

struct peer {
	struct jt_pool *pool;
	struct jt_call *call;     /* NULL: idle */
	struct peer *prev, *next; /* while idle */
	struct jt_watch watch;
	struct jt_timer timer;
	struct jt_deferred release;
	struct jt_parser *parser;
	uint64_t since_ns; /* connecting or idle */
	unsigned n_tried;  /* of the pool's addresses */
	bool connecting;
	bool reused;
	bool asked; /* something of the call's request was sent */
	bool closed;
};

struct jt_call {
	struct jt_pool *pool;
	struct peer *peer; /* NULL: not yet, or no longer */
	struct jt_call *prev, *next;
	const struct jt_call_handler *h;
	void *user;
	struct jt_deferred flush;
	struct jt_deferred release;
	struct jt_buf out;
	size_t sent; /* bytes at the front of out, kept for a second try */
	uint64_t progress_ns;
	int failure; /* to be reported at the end of the turn */
	bool replayable;
	bool head_only;
	bool flush_queued;
	bool got_bytes;
	bool got_head;
	bool complete;
	bool keep_alive; /* says the answer's head */
	bool paused;
	bool send_failed;
	bool was_full;
	bool over;
};

struct jt_pool {
	struct jt_loop *loop;
	struct jt_pool_options o;
	char name[300]; /* "host:port" */
	struct jt_address addresses[MAX_ADDRESSES];
	size_t n_addresses;
	size_t good; /* the address that worked last */
	struct jt_call *calls;
	struct peer *idle; /* the one used last comes first */
	uint32_t n_idle;
	struct jt_deferred release;
};

static void send_request(struct jt_call *c);

static size_t waiting(const struct jt_call *c)
{
	return jt__buf_len(&c->out) - c->sent;
}

static void release_peer(struct jt_deferred *d)
{
	struct peer *e = jt_container_of(d, struct peer, release);

	jt__parser_free(e->parser);
	jt__free(e);
}

static void leave_idle(struct peer *e)
{
	struct jt_pool *p = e->pool;

	if (e->prev)
		e->prev->next = e->next;
	else
		p->idle = e->next;
	if (e->next)
		e->next->prev = e->prev;
	e->prev = e->next = NULL;
	p->n_idle--;
}

static void close_peer(struct peer *e)
{
	struct jt_loop *l = e->pool->loop;

	if (e->call)
		e->call->peer = NULL;
	else
		leave_idle(e);
	e->closed = true;
	jt__loop_unwatch(l, &e->watch);
	close(e->watch.fd);
	jt__timer_cancel(l, &e->timer);
	jt__loop_defer(l, &e->release);
}

static void release_call(struct jt_deferred *d)
{
	struct jt_call *c = jt_container_of(d, struct jt_call, release);

	jt__buf_fini(&c->out);
	jt__free(c);
}

/* Takes the call off the books; its memory stays until the end of the turn. */
static void drop_call(struct jt_call *c)
{
	struct jt_pool *p = c->pool;

	c->over = true;
	if (c->prev)
		c->prev->next = c->next;
	else
		p->calls = c->next;
	if (c->next)
		c->next->prev = c->prev;
	if (!c->flush_queued)
		jt__loop_defer(p->loop, &c->release);
}

static void fail_call(struct jt_call *c, int status, const char *why)
{
	struct jt_error err;

	if (c->peer)
		close_peer(c->peer);
	jt__fail(&err, status, "http", "'%s' %s", c->pool->name, why);
	drop_call(c);
	c->h->over(c->user, c, status, &err);
}

static void queue_flush(struct jt_call *c)
{
	if (c->flush_queued)
		return;
	c->flush_queued = true;
	jt__loop_defer(c->pool->loop, &c->flush);
}

static void fail_later(struct jt_call *c, int status)
{
	c->failure = status;
	queue_flush(c);
}

static uint64_t deadline_ns(const struct peer *e)
{
	const struct jt_pool_options *o = &e->pool->o;
	const struct jt_call *c = e->call;

	if (!c)
		return e->since_ns + o->idle_timeout_ns;
	if (e->connecting)
		return e->since_ns + o->connect_timeout_ns;
	if (c->paused)
		return JT_NONE;
	return c->progress_ns + (c->got_head ? o->silence_timeout_ns : o->first_byte_timeout_ns);
}

/* Arms what the peer now waits for. */
static void settle(struct peer *e)
{
	const struct jt_call *c = e->call;
	uint32_t events = EPOLLIN;
	uint64_t due_ns;

	if (e->closed)
		return;
	if (e->connecting)
		events = EPOLLOUT;
	else if (c)
		events = (c->paused ? 0 : EPOLLIN) | (waiting(c) ? EPOLLOUT : 0);
	jt__loop_rearm(e->pool->loop, &e->watch, events);
	due_ns = deadline_ns(e);
	if (due_ns == JT_NONE || jt__timer_set(e->pool->loop, &e->timer, due_ns) == JT_OK)
		return;
	if (e->call)
		fail_later(e->call, JT_ENOMEM);
	else
		close_peer(e);
}

static int on_head(void *user, const struct jt_head *head)
{
	struct peer *e = user;
	struct jt_call *c = e->call;

	c->got_head = true;
	c->keep_alive = head->keep_alive;
	c->h->head(c->user, c, head);
	jt__parser_drop_texts(e->parser);
	return e->closed;
}

static int on_body(void *user, const char *bytes, size_t n)
{
	struct peer *e = user;

	e->call->h->body(e->call->user, e->call, bytes, n);
	return e->closed;
}

static int on_end(void *user)
{
	struct peer *e = user;

	e->call->complete = true;
	return 1;
}

static const struct jt_parser_events parser_events = { on_head, on_body, on_end };

static void make_idle(struct peer *e)
{
	struct jt_pool *p = e->pool;

	e->call->peer = NULL;
	e->call = NULL;
	e->reused = true;
	e->since_ns = jt__loop_now_ns(p->loop);
	jt__parser_reset(e->parser);
	e->next = p->idle;
	if (e->next)
		e->next->prev = e;
	p->idle = e;
	p->n_idle++;
	settle(e);
}

static void finish_call(struct jt_call *c, bool reusable)
{
	struct peer *e = c->peer;

	if (reusable && c->keep_alive && c->replayable && !waiting(c) && !c->send_failed &&
	    c->pool->n_idle < c->pool->o.max_idle)
		make_idle(e);
	else
		close_peer(e);
	drop_call(c);
	c->h->over(c->user, c, JT_OK, NULL);
}

/* A pooled connection may have died before our request got there. */
static bool may_try_again(const struct jt_call *c)
{
	return c->peer->reused && (!c->peer->asked || (c->replayable && !c->got_bytes));
}

/* The connection is dead. */
static void lose_peer(struct jt_call *c, const char *why)
{
	if (may_try_again(c)) {
		close_peer(c->peer);
		c->sent = 0;
		c->send_failed = false;
		queue_flush(c);
		return;
	}
	fail_call(c, JT_EIO, why);
}

/* What has been sent need not be kept if it cannot be sent again. */
static void forget_sent(struct jt_call *c)
{
	if (may_try_again(c))
		return;
	jt__buf_consume(&c->out, c->sent);
	c->sent = 0;
	if (!jt__buf_len(&c->out))
		jt__buf_fini(&c->out);
}

static void deliver(struct peer *e, const char *bytes, size_t n)
{
	struct jt_call *c = e->call;
	struct jt_error err;
	char why[300];
	size_t used;
	int status;

	if (!c->got_bytes) {
		c->got_bytes = true;
		forget_sent(c);
	}
	status = jt__parser_feed(e->parser, bytes, n, &used, &err);
	if (e->closed)
		return;
	if (status < 0) {
		snprintf(why, sizeof(why), "does not answer in HTTP/1.1: %s", err.message);
		fail_call(c, status == JT_ENOMEM ? JT_ENOMEM : JT_EINVAL, why);
		return;
	}
	/* Progress before the head (an interim answer) does not put off the first byte. */
	if (c->got_head)
		c->progress_ns = jt__loop_now_ns(e->pool->loop);
	if (c->got_head && c->h->turn)
		c->h->turn(c->user, c);
	if (!e->closed && c->complete)
		finish_call(c, used == n);
}

static void read_eof(struct peer *e)
{
	struct jt_call *c = e->call;
	int status = jt__parser_eof(e->parser);

	if (status == JT_OK && c->complete)
		finish_call(c, false);
	else
		lose_peer(c, c->got_bytes ? "closed the connection in the middle of its answer"
		                          : "closed the connection without an answer");
}

static void read_some(struct peer *e)
{
	char *bytes = jt__loop_scratch(e->pool->loop);
	ssize_t n = recv(e->watch.fd, bytes, JT_LOOP_SCRATCH, 0);
	char why[128];

	if (n > 0 && !e->asked) {
		lose_peer(e->call, "sent what nobody asked for");
	} else if (n > 0) {
		deliver(e, bytes, (size_t)n);
	} else if (n == 0) {
		read_eof(e);
	} else if (errno != EAGAIN && errno != EINTR) {
		snprintf(why, sizeof(why), "broke the connection: %s", strerror(errno));
		lose_peer(e->call, why);
	}
}

static void open_peer(struct jt_call *c, unsigned n_tried);

static void on_connected(struct peer *e)
{
	struct jt_call *c = e->call;
	unsigned n_tried = e->n_tried;

	if (jt__net_connected(e->watch.fd) < 0) {
		int saved = errno;

		close_peer(e);
		errno = saved;
		open_peer(c, n_tried + 1);
		return;
	}
	e->connecting = false;
	e->pool->good = (e->pool->good + n_tried) % e->pool->n_addresses;
	c->progress_ns = jt__loop_now_ns(e->pool->loop);
	send_request(c);
}

static void on_event(struct jt_watch *w, uint32_t events)
{
	struct peer *e = jt_container_of(w, struct peer, watch);

	if (!e->call) {
		close_peer(e); /* it was closed, or sent what nobody asked for */
		return;
	}
	if (e->connecting) {
		on_connected(e);
		settle(e);
		return;
	}
	if (events & EPOLLOUT)
		send_request(e->call);
	if (!e->closed && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
		read_some(e);
	settle(e);
}

static void on_timer(struct jt_timer *t)
{
	struct peer *e = jt_container_of(t, struct peer, timer);

	if (deadline_ns(e) > jt__loop_now_ns(e->pool->loop)) {
		settle(e);
		return;
	}
	if (!e->call)
		close_peer(e);
	else if (e->connecting)
		fail_call(e->call, JT_ETIME, "did not accept a connection in time");
	else if (!e->call->got_head)
		fail_call(e->call, JT_ETIME, "did not begin to answer in time");
	else
		fail_call(e->call, JT_ETIME, "fell silent in the middle of its answer");
}

static struct peer *new_peer(struct jt_pool *p, int fd)
{
	struct peer *e = jt__alloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->parser = jt__parser_new(false, p->o.max_head, &parser_events, e);
	e->pool = p;
	e->watch = (struct jt_watch){ .fd = fd, .events = EPOLLOUT, .fn = on_event };
	e->timer.fn = on_timer;
	e->release.fn = release_peer;
	e->since_ns = jt__loop_now_ns(p->loop);
	e->connecting = true;
	if (e->parser && jt__loop_watch(p->loop, &e->watch) == JT_OK)
		return e;
	release_peer(&e->release);
	return NULL;
}

static void attach(struct jt_call *c, struct peer *e)
{
	c->peer = e;
	e->call = c;
	e->asked = false;
	if (c->head_only)
		jt__parser_expect_no_body(e->parser);
}

/* Connects to the first address from @n_tried on that does not fail at once. */
static void open_peer(struct jt_call *c, unsigned n_tried)
{
	struct jt_pool *p = c->pool;
	struct peer *e;
	char why[160];
	int fd = -1;

	for (; n_tried < p->n_addresses && fd < 0; n_tried++)
		fd = jt__net_connect(&p->addresses[(p->good + n_tried) % p->n_addresses]);
	if (fd < 0) {
		snprintf(why, sizeof(why), "cannot be reached: %s%s", strerror(errno),
		         errno == ECONNREFUSED ? "; is it running?" : "");
		fail_call(c, JT_EIO, why);
		return;
	}
	e = new_peer(p, fd);
	if (!e) {
		close(fd);
		fail_call(c, JT_ENOMEM, "cannot be called: out of memory");
		return;
	}
	e->n_tried = n_tried - 1;
	attach(c, e);
	settle(e);
}

static void send_request(struct jt_call *c)
{
	struct peer *e = c->peer;
	ssize_t n;

	if (waiting(c)) {
		n = send(e->watch.fd, jt__buf_bytes(&c->out) + c->sent, waiting(c), MSG_NOSIGNAL);
		if (n > 0) {
			c->sent += (size_t)n;
			e->asked = true;
			c->progress_ns = jt__loop_now_ns(e->pool->loop);
		} else if (errno != EAGAIN && errno != EINTR) {
			/* It may have answered before it closed: reading will tell. */
			c->sent = jt__buf_len(&c->out);
			c->send_failed = true;
		}
	}
	forget_sent(c);
	if (c->was_full && waiting(c) <= LOW_WATER) {
		c->was_full = false;
		if (c->h->writable)
			c->h->writable(c->user, c);
	}
}

static void on_flush(struct jt_deferred *d)
{
	struct jt_call *c = jt_container_of(d, struct jt_call, flush);

	c->flush_queued = false;
	if (c->over) {
		release_call(&c->release);
		return;
	}
	if (c->failure) {
		fail_call(c, c->failure, "cannot be called: out of memory");
		return;
	}
	if (!c->peer)
		open_peer(c, 0);
	else if (!c->peer->connecting)
		send_request(c);
	if (!c->over && c->peer)
		settle(c->peer);
}

struct jt_call *jt__call_start(struct jt_pool *p, struct jt_buf *request, bool replayable,
                               bool head_only, const struct jt_call_handler *h, void *user)
{
	struct jt_call *c = jt__alloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->out = *request;
	c->out.max = OUT_MAX;
	jt__buf_init(request, request->max);
	c->pool = p;
	c->h = h;
	c->user = user;
	c->replayable = replayable;
	c->head_only = head_only;
	c->flush.fn = on_flush;
	c->release.fn = release_call;
	c->progress_ns = jt__loop_now_ns(p->loop);
	c->was_full = jt__call_full(c);
	c->next = p->calls;
	if (c->next)
		c->next->prev = c;
	p->calls = c;
	if (p->idle) {
		struct peer *e = p->idle;

		leave_idle(e);
		attach(c, e);
	}
	queue_flush(c);
	return c;
}

void jt__call_send(struct jt_call *c, const void *bytes, size_t n)
{
	if (c->over)
		return;
	if (jt__buf_append(&c->out, bytes, n) < 0) {
		fail_later(c, JT_ENOMEM);
		return;
	}
	c->was_full = c->was_full || jt__call_full(c);
	queue_flush(c);
}

bool jt__call_full(const struct jt_call *c)
{
	return waiting(c) >= HIGH_WATER;
}

void jt__call_pause(struct jt_call *c, bool pause)
{
	if (c->over || c->paused == pause)
		return;
	c->paused = pause;
	c->progress_ns = jt__loop_now_ns(c->pool->loop);
	if (c->peer)
		settle(c->peer);
}

void jt__call_cancel(struct jt_call *c)
{
	if (c->over)
		return;
	if (c->peer)
		close_peer(c->peer);
	drop_call(c);
}

int jt__pool_new(struct jt_loop *l, const struct jt_pool_options *o, struct jt_pool **ret_pool,
                 struct jt_error *err)
{
	struct jt_pool *p = jt__alloc(1, sizeof(*p));
	int status;

	if (!p)
		return jt__fail(err, JT_ENOMEM, "http", "cannot allocate a connection pool");
	p->loop = l;
	p->o = *o;
	snprintf(p->name, sizeof(p->name), strchr(o->host, ':') ? "[%s]:%s" : "%s:%s", o->host,
	         o->port);
	status = jt__net_resolve(o->host, o->port, p->addresses, MAX_ADDRESSES, &p->n_addresses,
	                         err);
	if (status < 0) {
		jt__free(p);
		return status;
	}
	p->o.host = p->o.port = NULL; /* the caller's, and no longer needed */
	*ret_pool = p;
	return JT_OK;
}

static void release_pool(struct jt_deferred *d)
{
	jt__free(jt_container_of(d, struct jt_pool, release));
}

void jt__pool_free(struct jt_pool *p)
{
	if (!p)
		return;
	while (p->calls)
		jt__call_cancel(p->calls);
	while (p->idle)
		close_peer(p->idle);
	p->release.fn = release_pool;
	jt__loop_defer(p->loop, &p->release);
}
