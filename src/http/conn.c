/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection reads a request, waits for its answer, sends it, and reads the
 * next. What it waits for (epoll events and a deadline) follows from its state in
 * one place, settle(), which every way into this file ends with.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "http/exchange.h"

#define LINGER_NS (2 * JT_NS_PER_S)
#define OUT_MAX ((size_t)1 << 30) /* an answer whose author never asks whether it is full */

/* The handler's last word on an exchange, once. */
static void tell_over(struct jt_conn *c, bool complete)
{
	struct jt_server *s = c->server;

	if (!c->ex.seen)
		return;
	c->ex.seen = false;
	c->ex.over = true;
	s->h->over(s->user, &c->ex, complete);
}

static void release_conn(struct jt_deferred *d)
{
	struct jt_conn *c = jt_container_of(d, struct jt_conn, release);

	jt__parser_free(c->parser);
	jt__buf_fini(&c->in);
	jt__buf_fini(&c->out);
	jt__buf_fini(&c->ex.body);
	jt__free(c);
}

static void close_conn(struct jt_conn *c)
{
	struct jt_server *s = c->server;

	if (c->closed)
		return;
	c->closed = true;
	jt__loop_unwatch(s->loop, &c->watch);
	close(c->watch.fd);
	jt__timer_cancel(s->loop, &c->timer);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	if (!c->flush_queued)
		jt__loop_defer(s->loop, &c->release);
	jt__server_lost_conn(s);
}

void jt__conn_give_up(struct jt_conn *c)
{
	if (c->closed)
		return;
	close_conn(c);
	tell_over(c, false);
}

static void return_buffer(struct jt_conn *c)
{
	struct jt_server *s = c->server;
	size_t max = c->out.max;

	if (c->out.capacity && c->out.capacity <= SPARE_MAX && s->n_spare < N_SPARE) {
		jt__buf_clear(&c->out);
		s->spare[s->n_spare++] = c->out;
		jt__buf_init(&c->out, max);
	} else {
		jt__buf_fini(&c->out);
	}
}

static uint64_t deadline_ns(const struct jt_conn *c)
{
	const struct jt_server_options *o = &c->server->o;
	const struct jt_exchange *ex = &c->ex;
	uint64_t due_ns = c->blocked ? c->write_ns + o->write_timeout_ns : JT_NONE;

	if (c->lingering)
		return c->write_ns + LINGER_NS;
	if (c->active && !ex->request_done && !ex->ended && !ex->body_paused)
		due_ns = JT_MIN(due_ns, c->read_ns + o->body_timeout_ns);
	if (!c->active)
		due_ns = c->read_ns + (jt__parser_in_message(c->parser) ? o->head_timeout_ns
		                                                        : o->idle_timeout_ns);
	return due_ns;
}

static uint32_t wanted_events(const struct jt_conn *c)
{
	const struct jt_exchange *ex = &c->ex;
	uint32_t events = c->blocked ? EPOLLOUT : 0;

	if (c->lingering || !c->active)
		return EPOLLIN;
	/* A client that half-closed may still want to read an answer that is complete here. */
	if (ex->ended)
		return events;
	if (ex->request_done || ex->body_paused)
		return events | EPOLLRDHUP;
	return events | EPOLLIN;
}

/* Arms what the connection now waits for. */
static void settle(struct jt_conn *c)
{
	uint64_t due_ns;

	if (c->closed)
		return;
	jt__loop_rearm(c->server->loop, &c->watch, wanted_events(c));
	due_ns = deadline_ns(c);
	if (due_ns != JT_NONE && jt__timer_set(c->server->loop, &c->timer, due_ns) < 0)
		jt__conn_give_up(c);
}

/* Answers a request that must not reach, or no longer reaches, the handler; then closes. */
static void refuse(struct jt_conn *c, uint32_t status, const char *why)
{
	struct jt_exchange *ex = &c->ex;

	c->active = true;
	ex->must_close = true;
	if (ex->started)
		jt__exchange_abort(ex);
	else
		jt__exchange_reply_error(ex, status, "invalid_request_error", "%s", why);
	tell_over(c, false); /* last: what the handler gave us, the tag, may go with it */
}

static bool is_settled(const struct jt_conn *c)
{
	return c->closed || c->ex.ended || c->ex.aborted;
}

static int on_head(void *user, const struct jt_head *head)
{
	struct jt_conn *c = user;
	struct jt_server *s = c->server;
	struct jt_exchange *ex = &c->ex;

	c->active = true;
	ex->head = head;
	ex->begin_ns = jt__loop_now_ns(s->loop);
	jt__buf_init(&ex->body, s->o.limits.max_body);
	if (s->h->head) {
		ex->seen = true;
		s->h->head(s->user, ex);
	}
	if (!head->has_body)
		return 0;
	if (is_settled(c))
		return 1;
	if (!ex->stream_body && head->content_length != JT_NONE &&
	    head->content_length > s->o.limits.max_body) {
		refuse(c, 413, "the request body is too large");
		return 1;
	}
	if (!ex->stream_body && head->content_length != JT_NONE) /* no more than comes in a read */
		jt__buf_reserve(&ex->body, JT_MIN(head->content_length, JT_LOOP_SCRATCH));
	if (head->minor_version && !ex->started && jt__head_is(head, "expect", "100-continue"))
		jt__conn_output(c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	return 0;
}

static int on_body(void *user, const char *bytes, size_t n)
{
	struct jt_conn *c = user;
	struct jt_server *s = c->server;
	int status;

	if (c->ex.stream_body) {
		s->h->body(s->user, &c->ex, bytes, n);
		return is_settled(c);
	}
	status = jt__buf_append(&c->ex.body, bytes, n);
	if (status == JT_ELIMIT)
		refuse(c, 413, "the request body is too large");
	else if (status < 0)
		refuse(c, 503, "out of memory for the request body");
	return is_settled(c);
}

/* Always pauses: the next request waits until this one is answered. */
static int on_end(void *user)
{
	struct jt_conn *c = user;
	struct jt_server *s = c->server;

	c->ex.request_done = true;
	if (is_settled(c))
		return 1;
	c->ex.seen = true;
	s->h->request(s->user, &c->ex);
	return 1;
}

static const struct jt_parser_events parser_events = { on_head, on_body, on_end };

static void take_bytes(struct jt_conn *c, const char *bytes, size_t n)
{
	struct jt_error err;
	size_t used;
	int status;

	if (c->active || !jt__parser_in_message(c->parser))
		c->read_ns = jt__loop_now_ns(c->server->loop);
	status = jt__parser_feed(c->parser, bytes, n, &used, &err);
	if (c->closed)
		return;
	if (status < 0)
		refuse(c, jt__parser_refusal(c->parser), err.message);
	else if (used < n && c->ex.request_done &&
	         jt__buf_append(&c->in, bytes + used, n - used) < 0)
		jt__conn_give_up(c);
}

static void read_some(struct jt_conn *c)
{
	char *bytes = jt__loop_scratch(c->server->loop);
	ssize_t n = recv(c->watch.fd, bytes, JT_LOOP_SCRATCH, 0);

	if (n > 0 && !c->lingering)
		take_bytes(c, bytes, (size_t)n);
	else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		jt__conn_give_up(c);
}

static void begin_linger(struct jt_conn *c)
{
	c->lingering = true;
	c->write_ns = jt__loop_now_ns(c->server->loop);
	jt__buf_fini(&c->in);
	shutdown(c->watch.fd, SHUT_WR);
}

/* The answer is with the kernel. Goes on to the next request, which may have come already. */
static void finish_exchange(struct jt_conn *c)
{
	struct jt_buf in = c->in;
	bool keep = !c->ex.must_close && !c->server->draining;

	tell_over(c, true);
	if (c->closed)
		return;
	jt__buf_fini(&c->ex.body);
	memset(&c->ex, 0, sizeof(c->ex));
	c->active = false;
	if (!keep) {
		begin_linger(c);
		return;
	}
	jt__parser_reset(c->parser);
	c->read_ns = jt__loop_now_ns(c->server->loop);
	jt__buf_init(&c->in, in.max);
	if (jt__buf_len(&in))
		take_bytes(c, jt__buf_bytes(&in), jt__buf_len(&in));
	jt__buf_fini(&in);
}

/* One send if the kernel has room, which is the usual case. */
static void send_output(struct jt_conn *c)
{
	size_t len = jt__buf_len(&c->out);
	ssize_t n;

	if (!len)
		return;
	n = send(c->watch.fd, jt__buf_bytes(&c->out), len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		jt__conn_give_up(c);
		return;
	}
	if (n > 0) {
		jt__buf_consume(&c->out, (size_t)n);
		c->write_ns = jt__loop_now_ns(c->server->loop);
	} else if (!c->blocked) {
		c->write_ns = jt__loop_now_ns(c->server->loop);
	}
	c->blocked = jt__buf_len(&c->out) > 0;
	if (!c->blocked)
		return_buffer(c);
}

/* Where closing means the end of the answer, only a reset says that it is cut. */
static void reset_if_needed(struct jt_conn *c)
{
	const struct linger now = { .l_onoff = 1 };

	if (c->ex.started && !c->ex.chunked && c->ex.left == JT_NONE)
		setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void flush(struct jt_conn *c)
{
	struct jt_server *s = c->server;
	struct jt_exchange *ex = &c->ex;

	send_output(c);
	if (c->closed)
		return;
	if (ex->aborted) {
		reset_if_needed(c);
		jt__conn_give_up(c);
		return;
	}
	if (ex->was_full && !ex->ended && jt__buf_len(&c->out) <= s->o.low_water) {
		ex->was_full = false;
		if (ex->seen && s->h->writable)
			s->h->writable(s->user, ex);
	}
	if (!c->closed && ex->ended && !jt__buf_len(&c->out))
		finish_exchange(c);
}

static void on_flush(struct jt_deferred *d)
{
	struct jt_conn *c = jt_container_of(d, struct jt_conn, flush);

	c->flush_queued = false;
	if (c->closed) {
		release_conn(&c->release);
		return;
	}
	/* Blocked output goes out on EPOLLOUT; only an abort cannot wait for that. */
	if (!c->blocked || c->ex.aborted)
		flush(c);
	settle(c);
}

void jt__conn_queue_flush(struct jt_conn *c)
{
	if (c->flush_queued || c->closed)
		return;
	c->flush_queued = true;
	jt__loop_defer(c->server->loop, &c->flush);
}

static void on_event(struct jt_watch *w, uint32_t events)
{
	struct jt_conn *c = jt_container_of(w, struct jt_conn, watch);

	if (events & (EPOLLERR | EPOLLHUP)) {
		jt__conn_give_up(c);
		return;
	}
	if (events & EPOLLOUT)
		flush(c);
	if (!c->closed && (events & EPOLLIN))
		read_some(c);
	else if (!c->closed && (events & EPOLLRDHUP))
		jt__conn_give_up(c);
	settle(c);
}

static void on_timer(struct jt_timer *t)
{
	struct jt_conn *c = jt_container_of(t, struct jt_conn, timer);
	uint64_t now_ns = jt__loop_now_ns(c->server->loop);

	if (deadline_ns(c) <= now_ns) {
		if (c->lingering ||
		    (c->blocked && c->write_ns + c->server->o.write_timeout_ns <= now_ns))
			jt__conn_give_up(c);
		else if (c->active)
			refuse(c, 408, "the request body did not come in time");
		else if (jt__parser_in_message(c->parser))
			refuse(c, 408, "the request head did not come in time");
		else
			close_conn(c);
	}
	settle(c);
}

bool jt__conn_add(struct jt_server *s, int fd)
{
	struct jt_conn *c = jt__alloc(1, sizeof(*c));

	if (!c)
		return false;
	c->server = s;
	c->parser = jt__parser_new(true, s->o.limits.max_head, &parser_events, c);
	/* both that it will ever want for long, so that this is the kernel's last word of it */
	c->watch = (struct jt_watch){ .fd = fd, .events = EPOLLIN | EPOLLRDHUP, .fn = on_event };
	c->timer.fn = on_timer;
	c->flush.fn = on_flush;
	c->release.fn = release_conn;
	c->read_ns = jt__loop_now_ns(s->loop);
	jt__buf_init(&c->in, JT_LOOP_SCRATCH);
	jt__buf_init(&c->out, OUT_MAX);
	if (!c->parser || jt__loop_watch(s->loop, &c->watch) < 0) {
		release_conn(&c->release);
		return false;
	}
	jt__net_no_delay(fd);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	s->n_conns++;
	settle(c);
	return true;
}

void jt__conn_drain(struct jt_conn *c)
{
	/* Takes what has arrived already: the kernel would answer it with a reset. */
	if (!c->closed && !c->active)
		read_some(c);
	if (!c->closed && !c->active && !jt__parser_in_message(c->parser) && !c->lingering)
		close_conn(c);
	settle(c);
}

const struct jt_head *jt__exchange_head(const struct jt_exchange *ex)
{
	return ex->head;
}

const struct jt_buf *jt__exchange_body(const struct jt_exchange *ex)
{
	return &ex->body;
}

void jt__exchange_drop_request(struct jt_exchange *ex)
{
	jt__parser_drop_texts(jt_container_of(ex, struct jt_conn, ex)->parser);
	jt__buf_fini(&ex->body);
}

void jt__exchange_stream_body(struct jt_exchange *ex)
{
	ex->stream_body = true;
}

void jt__exchange_pause_body(struct jt_exchange *ex, bool pause)
{
	struct jt_conn *c = jt_container_of(ex, struct jt_conn, ex);

	if (ex->body_paused == pause)
		return;
	ex->body_paused = pause;
	c->read_ns = jt__loop_now_ns(c->server->loop);
	jt__conn_queue_flush(c); /* which also arms what is waited for */
}

uint64_t jt__exchange_begin_ns(const struct jt_exchange *ex)
{
	return ex->begin_ns;
}

void jt__exchange_set_user(struct jt_exchange *ex, void *p)
{
	ex->user = p;
}

void *jt__exchange_user(const struct jt_exchange *ex)
{
	return ex->user;
}
