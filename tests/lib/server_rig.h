/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SERVER_RIG_H
#define JT_SERVER_RIG_H
/*
 * For the tests of the server: one loop, one server, and an application whose behaviour a test
 * chooses by the request's target.
 */
#include <sys/epoll.h>
#include "http/server.h"
#include "sockets.h"
#include "tap.h"

struct rig {
	struct jt_loop *loop;
	struct jt_server *server;
	const struct jt_server_handler *handler;
	int requests, complete, incomplete, writables, drains;
	uint64_t body_bytes;
	struct jt_exchange *last; /* of a request that is not answered at once */
	struct jt_buf seen;       /* a streamed body */
	char tag[8];              /* lives until over() */
};

static void app_head(void *user, struct jt_exchange *ex)
{
	const char *target = jt__exchange_head(ex)->target;
	struct rig *r = user;

	if (strncmp(target, "/tagged", 7) == 0) {
		strcpy(r->tag, "mine");
		jt__exchange_tag(ex, &(struct jt_header){ "tag", 3, r->tag, 4 });
	}
	if (strncmp(target, "/upload", 7) == 0)
		jt__exchange_stream_body(ex);
	if (strcmp(target, "/early") == 0)
		jt__exchange_reply_error(ex, 401, "auth", "no key");
	if (strcmp(target, "/cut-head") == 0)
		jt__exchange_abort(ex);
}

static void app_body(void *user, struct jt_exchange *ex, const char *bytes, size_t n)
{
	struct rig *r = user;
	const char *target = jt__exchange_head(ex)->target;

	r->body_bytes += n;
	jt__buf_append(&r->seen, bytes, n);
	if (strcmp(target, "/upload-pause") == 0) {
		jt__exchange_pause_body(ex, true);
		r->last = ex;
	}
	if (strcmp(target, "/upload-early") == 0)
		jt__exchange_reply(ex, 200, "text/plain", "enough", 6);
	if (strcmp(target, "/upload-cut") == 0)
		jt__exchange_abort(ex);
}

/* Method, target and body, so that a test sees what came through. */
static void echo(struct jt_exchange *ex)
{
	const struct jt_head *h = jt__exchange_head(ex);
	const struct jt_buf *body = jt__exchange_body(ex);
	struct jt_buf b;

	jt__buf_init(&b, 1 << 20);
	jt__buf_printf(&b, "<%s %s %.*s>", h->method, h->target, (int)jt__buf_len(body),
	               jt__buf_len(body) ? jt__buf_bytes(body) : "");
	if (b.failed)
		jt__exchange_abort(ex);
	else
		jt__exchange_reply(ex, 200, "text/plain", jt__buf_bytes(&b), jt__buf_len(&b));
	jt__buf_fini(&b);
}

static void app_request(void *user, struct jt_exchange *ex)
{
	struct rig *r = user;
	const char *target = jt__exchange_head(ex)->target;
	bool streams = strcmp(target, "/stream") == 0;

	r->requests++;
	jt__exchange_set_user(ex, r);
	if (strcmp(target, "/wait") == 0 || streams)
		r->last = ex;
	else if (strcmp(target, "/cut") == 0)
		jt__exchange_abort(ex);
	else if (strcmp(target, "/dropped") == 0)
		jt__exchange_drop_request(ex), jt__exchange_reply(ex, 200, "text/plain", "gone", 4);
	else if (strcmp(target, "/204") == 0)
		jt__exchange_start(ex, 204, NULL, 0, JT_NONE), jt__exchange_end(ex);
	else if (strcmp(target, "/free") == 0)
		jt__server_free(r->server), r->server = NULL;
	else
		echo(ex);
	if (streams) {
		jt__exchange_start(ex, 200, NULL, 0, JT_NONE);
		jt__exchange_write(ex, "one,", 4);
	}
}

static void app_writable(void *user, struct jt_exchange *ex)
{
	struct rig *r = user;

	r->writables++;
	check(jt__exchange_user(ex) == r);
	check(!jt__exchange_full(ex));
}

static void app_over(void *user, struct jt_exchange *ex, bool complete)
{
	struct rig *r = user;

	if (complete)
		r->complete++;
	else
		r->incomplete++;
	if (r->last == ex)
		r->last = NULL;
	memset(r->tag, 'x', sizeof(r->tag));
	/* Whatever is called now has no effect. */
	jt__exchange_reply(ex, 500, "text/plain", "late", 4);
	jt__exchange_write(ex, "late", 4);
	jt__exchange_end(ex);
	jt__exchange_abort(ex);
}

static const struct jt_server_handler app = { app_head, app_request, app_body, app_writable,
	                                      app_over };
static const struct jt_server_handler app_without_head = { NULL, app_request, app_body,
	                                                   app_writable, app_over };

static void open_rig(struct rig *r, const struct jt_server_options *o)
{
	const struct jt_server_options defaults = JT_SERVER_OPTIONS_INIT;
	struct jt_error err;

	memset(r, 0, sizeof(*r));
	jt__buf_init(&r->seen, 1 << 20);
	if (jt__loop_new(&r->loop, &err) < 0 ||
	    jt__server_new(r->loop, o ? o : &defaults, &app, r, &r->server, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
}

static void close_rig(struct rig *r)
{
	jt__server_free(r->server);
	jt__loop_free(r->loop);
	jt__buf_fini(&r->seen);
}

static int call(struct rig *r)
{
	return dial(jt__server_address(r->server), 0);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST_CHUNKED(target)                                                                       \
	"POST " target " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

#endif
