/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/epoll.h>
#include <sys/resource.h>
#include "http/server.h"
#include "sockets.h"
#include "tap.h"

/*
 * One loop, one server, and an application whose behaviour a test chooses by
 * the request's target.
 */
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

	r->requests++;
	jt__exchange_set_user(ex, r);
	if (strcmp(target, "/wait") == 0 || strcmp(target, "/stream") == 0)
		r->last = ex;
	else if (strcmp(target, "/cut") == 0)
		jt__exchange_abort(ex);
	else if (strcmp(target, "/204") == 0)
		jt__exchange_start(ex, 204, NULL, 0, JT_NONE), jt__exchange_end(ex);
	else if (strcmp(target, "/free") == 0)
		jt__server_free(r->server), r->server = NULL;
	else
		echo(ex);
	if (strcmp(target, "/stream") == 0) {
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

struct dialogue {
	const char *say;
	const char *hear[3]; /* each must appear in the answer */
	bool closes;
};

/* clang-format off */
static const struct dialogue dialogues[] = {
	{ GET("/x"), { "HTTP/1.1 200 OK\r\n", "Content-Length: 9\r\n", "<GET /x >" }, false },
	{ "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", { "<POST /x hello>" }, false },
	{ POST_CHUNKED("/x") "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", { "<POST /x hello>" }, false },
	{ GET("/1") GET("/2") GET("/3"), { "<GET /1 >", "<GET /2 >", "<GET /3 >" }, false },
	{ "HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n" GET("/2"), { "Content-Length: 10\r\n", "\r\n\r\nHTTP/1.1 200 OK", "<GET /2 >" }, false },
	{ GET("/204") GET("/2"), { "HTTP/1.1 204 No Content\r\n", "\r\n\r\nHTTP/1.1 200 OK", "<GET /2 >" }, false },
	{ "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/never"), { "Connection: close\r\n", "<GET /x >" }, true },
	{ "GET /x HTTP/1.0\r\n\r\n", { "Connection: close\r\n", "<GET /x >" }, true },
	{ "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", { "Connection: keep-alive\r\n", "<GET /x >" }, false },
	{ "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n" GET("/2"),
	  { "<GET /x >", "<GET /2 >" }, false },
	{ "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n", { "HTTP/1.1 100 Continue\r\n\r\n" }, false },
	{ "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
	  { "HTTP/1.1 401 Unauthorized\r\n", "{\"error\":{\"message\":\"no key\",\"type\":\"auth\",\"code\":401}}" }, true },
	{ GET("/early") GET("/2"), { "HTTP/1.1 401", "HTTP/1.1 200", "<GET /2 >" }, false },
	{ POST_CHUNKED("/upload-early") "1\r\nx\r\n", { "enough" }, true },
	{ GET("/cut"), { "" }, true },
	{ GET("/cut-head"), { "" }, true },
	{ POST_CHUNKED("/cut-head") "1\r\n", { "" }, true },
	{ POST_CHUNKED("/upload-cut") "1\r\nx\r\n", { "" }, true },
	{ "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n", { "HTTP/1.1 413 Content Too Large\r\n" }, true },
	{ "POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2000\r\n\r\n", { "HTTP/1.1 413" }, true },
	{ POST_CHUNKED("/x") "3e8\r\n", { "" }, false },
	{ "GET /x HTTP/1.1\r\n\r\n", { "HTTP/1.1 400 Bad Request\r\n", "without Host", "\"code\":400}}" }, true },
	{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", { "HTTP/1.1 400" }, true },
	{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET("/smuggled"),
	  { "HTTP/1.1 400" }, true },
	{ "GET / HTTP/1.1\nHost: a\n\n", { "HTTP/1.1 400" }, true },
	{ "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", { "HTTP/1.1 501 Not Implemented\r\n" }, true },
	{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", { "HTTP/1.1 505" }, true },
	{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", { "HTTP/1.1 501" }, true },
	{ POST_CHUNKED("/x") "2\r\nhe\r\nzz\r\n", { "HTTP/1.1 400" }, true },
	{ POST_CHUNKED("/upload") "2\r\nhe\r\nzz\r\n", { "HTTP/1.1 400" }, true },
	{ POST_CHUNKED("/tagged") "2\r\nhe\r\n0\r\n\r\n", { "tag: mine\r\n", "<POST /tagged he>" }, false },
	{ POST_CHUNKED("/tagged") "2\r\nhe\r\nzz\r\n", { "HTTP/1.1 400", "tag: mine\r\n" }, true },
	{ "POST /tagged HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n", { "HTTP/1.1 413", "tag: mine\r\n" }, true },
	{ "\x16\x03\x01\x02", { "HTTP/1.1 400" }, true },
	{ GET("/ok") "nonsense\r\n\r\n", { "<GET /ok >", "HTTP/1.1 400" }, true },
};
/* clang-format on */

static void says_what_the_protocol_says(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;

	o.limits.max_body = 1000;
	for (size_t i = 0; i < JT_ARRAY_LEN(dialogues); i++) {
		const struct dialogue *d = &dialogues[i];
		struct rig r;
		struct jt_buf b;
		bool closed = false, all = false;
		int fd;

		open_rig(&r, &o);
		fd = call(&r);
		jt__buf_init(&b, 1 << 20);
		say_text(r.loop, fd, d->say);
		turn_until(r.loop, ({
				   closed = hear(fd, &b);
				   all = true;
				   for (int k = 0; k < 3; k++)
					   all = all && (!d->hear[k] ||
				                         strstr(jt__buf_bytes(&b), d->hear[k]));
				   all && (closed || !d->closes);
			   }));
		for (int k = 0; k < 5 && !closed; k++) {
			jt__loop_turn(r.loop, 0);
			closed = hear(fd, &b);
		}
		if (!check(all) || !check(closed == d->closes) ||
		    !check(!strstr(jt__buf_bytes(&b), "late")) ||
		    !check(!strstr(jt__buf_bytes(&b), "smuggled")) ||
		    !check(!strstr(jt__buf_bytes(&b), "never")))
			printf("# said: %s\n# heard: %s\n", d->say, jt__buf_bytes(&b));
		close(fd);
		check(turn_until(r.loop, jt__server_n_connections(r.server) == 0));
		close_rig(&r);
		jt__buf_fini(&b);
	}
}

static void takes_a_request_split_at_every_byte(void)
{
	static const char request[] =
		"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
		"\r\n5\r\nhello\r\n0\r\n\r\n";
	struct rig r;
	struct jt_buf b;
	int fd;

	open_rig(&r, NULL);
	fd = call(&r);
	jt__buf_init(&b, 1 << 20);
	for (size_t split = 1; split < sizeof(request) - 1; split++) {
		jt__buf_clear(&b);
		say(r.loop, fd, request, split);
		turn_for(r.loop, 0);
		jt__loop_turn(r.loop, 0);
		say(r.loop, fd, request + split, sizeof(request) - 1 - split);
		if (!check(turn_until(r.loop, heard(fd, &b, "<POST /x hello>"))))
			break;
	}
	check(r.requests == (int)sizeof(request) - 2 && r.incomplete == 0);
	check(jt__server_n_connections(r.server) == 1); /* all on one connection */
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void writes_chunks_as_they_come_and_lengths_when_known(void)
{
	struct rig r;
	struct jt_buf b;
	int fd;

	open_rig(&r, NULL);
	fd = call(&r);
	jt__buf_init(&b, 1 << 20);
	say_text(r.loop, fd, GET("/stream"));
	check(turn_until(r.loop, heard(fd, &b, "Transfer-Encoding: chunked\r\n\r\n4\r\none,\r\n")));
	check(jt__exchange_started(r.last));
	jt__exchange_write(r.last, "", 0);
	jt__exchange_write(r.last, "0123456789abcdef!", 17);
	jt__exchange_end(r.last);
	jt__exchange_write(r.last, "after", 5);
	check(turn_until(r.loop,
	                 heard(fd, &b, "4\r\none,\r\n11\r\n0123456789abcdef!\r\n0\r\n\r\n")));
	check(r.complete == 1);

	jt__buf_clear(&b);
	say_text(r.loop, fd, GET("/wait"));
	check(turn_until(r.loop, r.last));
	jt__exchange_start(r.last, 200, &(struct jt_header){ "X-Two", 5, "a\r\nInjected: b", 14 },
	                   1, 4);
	jt__exchange_write(r.last, "abcdefgh", 8); /* more than was promised */
	jt__exchange_end(r.last);
	check(turn_until(r.loop, heard(fd, &b, "\r\n\r\nabcd")));
	check(strstr(jt__buf_bytes(&b), "X-Two: a  Injected: b\r\n") &&
	      !strstr(jt__buf_bytes(&b), "abcde"));

	jt__buf_clear(&b);
	say_text(r.loop, fd, GET("/wait"));
	check(turn_until(r.loop, r.last));
	jt__exchange_start(r.last, 200, NULL, 0, 4);
	jt__exchange_write(r.last, "abc", 3); /* less than was promised: cut */
	jt__exchange_end(r.last);
	check(turn_until(r.loop, hear(fd, &b)));
	check(strstr(jt__buf_bytes(&b), "\r\n\r\nabc") != NULL);
	check(r.incomplete == 1);
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void ends_an_http_1_0_stream_by_closing(void)
{
	struct rig r;
	struct jt_buf b;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	for (int aborted = 0; aborted < 2; aborted++) {
		int fd = call(&r);
		ssize_t n;

		jt__buf_clear(&b);
		say_text(r.loop, fd, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
		check(turn_until(r.loop, heard(fd, &b, "Connection: close\r\n\r\none,")));
		if (aborted)
			jt__exchange_abort(r.last);
		else
			jt__exchange_end(r.last);
		check(turn_until(r.loop, (n = recv(fd, (char[8]){ 0 }, 8, MSG_DONTWAIT)) >= 0 ||
		                                 errno != EAGAIN));
		/* Only a reset can say that the answer is cut. */
		check(aborted ? n < 0 && errno == ECONNRESET : n == 0);
		close(fd);
	}
	check(r.complete == 1 && r.incomplete == 1);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void notices_a_client_that_leaves_while_it_waits(void)
{
	static const char *const targets[] = { "/wait", "/stream" };

	for (int how = 0; how < 3; how++) {
		for (size_t i = 0; i < JT_ARRAY_LEN(targets); i++) {
			const struct linger reset = { .l_onoff = 1 };
			char request[200];
			struct rig r;
			uint64_t left_ns;
			int fd;

			open_rig(&r, NULL);
			fd = call(&r);
			/* A pipelined request behind it changes nothing. */
			snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n%s",
			         targets[i], i ? GET("/next") : "");
			say_text(r.loop, fd, request);
			check(turn_until(r.loop, r.last));
			jt__loop_turn(r.loop, 0);
			if (how == 1)
				setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			left_ns = jt__now_ns();
			if (how == 2)
				shutdown(fd, SHUT_WR);
			else
				close(fd);
			check(turn_until(r.loop, r.incomplete == 1));
			check(jt__now_ns() - left_ns < 200 * JT_NS_PER_MS);
			check(jt__server_n_connections(r.server) == 0 && r.requests == 1);
			if (how == 2)
				close(fd);
			close_rig(&r);
		}
	}
}

static void answers_a_client_that_half_closes_if_it_can_at_once(void)
{
	struct rig r;
	struct jt_buf b;
	int fd;

	open_rig(&r, NULL);
	fd = call(&r);
	jt__buf_init(&b, 1 << 20);
	say_text(r.loop, fd, GET("/x"));
	shutdown(fd, SHUT_WR);
	check(turn_until(r.loop, hear(fd, &b)));
	check(strstr(jt__buf_bytes(&b), "<GET /x >") != NULL);
	check(r.complete == 1);
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void a_slow_reader_holds_back_its_stream_and_nothing_grows(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	static char piece[8192];
	struct rig r;
	struct jt_buf b;
	size_t written = 0, want = 16 << 20;
	uint64_t heard_bytes = 0;
	int fd;

	o.high_water = 64 << 10;
	o.low_water = 16 << 10;
	open_rig(&r, &o);
	jt__buf_init(&b, 64 << 20);
	memset(piece, 'x', sizeof(piece));
	fd = dial(jt__server_address(r.server), 16 << 10);
	say_text(r.loop, fd, GET("/wait"));
	check(turn_until(r.loop, r.last));
	jt__exchange_start(r.last, 200, NULL, 0, want);
	for (int idle = 0; idle < 20; jt__loop_turn(r.loop, 0), idle++)
		for (; !jt__exchange_full(r.last); written += sizeof(piece), idle = 0)
			jt__exchange_write(r.last, piece, sizeof(piece));
	/* Nobody reads: what the kernel takes and the high-water mark, not more. */
	check(written < want && r.writables < 100);
	turn_until(r.loop, ({
			   for (; r.last && written < want && !jt__exchange_full(r.last);
		                written += sizeof(piece))
				   jt__exchange_write(r.last, piece, sizeof(piece));
			   if (r.last && written == want)
				   jt__exchange_end(r.last);
			   hear(fd, &b);
			   heard_bytes += jt__buf_len(&b);
			   jt__buf_clear(&b);
			   r.complete == 1 && heard_bytes > want;
		   }));
	check(heard_bytes > want && heard_bytes < want + 1000);
	check(r.writables > 0);
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void pauses_a_streamed_body(void)
{
	static char piece[8192];
	struct rig r;
	struct jt_buf b;
	uint64_t seen;
	int fd;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	fd = call(&r);
	say_text(r.loop, fd,
	         "POST /upload-pause HTTP/1.1\r\nHost: a\r\nContent-Length: 33554432\r\n\r\n");
	say(r.loop, fd, piece, 100);
	check(turn_until(r.loop, r.last));
	seen = r.body_bytes;
	for (int i = 0; i < 5; i++) {
		send(fd, piece, sizeof(piece), MSG_NOSIGNAL);
		jt__loop_turn(r.loop, 0);
	}
	check(r.body_bytes == seen && seen <= JT_LOOP_SCRATCH);
	jt__exchange_pause_body(r.last, false);
	check(turn_until(r.loop, r.body_bytes == seen + 5 * sizeof(piece) ||
	                                 (r.body_bytes > seen && r.last &&
	                                  (jt__exchange_pause_body(r.last, false), false))));
	close(fd);
	check(turn_until(r.loop, r.incomplete == 1));
	close_rig(&r);
	jt__buf_fini(&b);
}

static void streams_a_body_without_gathering_it(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct rig r;
	struct jt_buf b;
	int fd;

	o.limits.max_body = 4;
	open_rig(&r, &o);
	jt__buf_init(&b, 1 << 20);
	fd = call(&r);
	say_text(r.loop, fd, POST_CHUNKED("/upload") "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
	check(turn_until(r.loop, heard(fd, &b, "<POST /upload >")));
	jt__buf_append(&r.seen, "", 1);
	check_text(jt__buf_bytes(&r.seen), "hello world");
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void refuses_an_endless_head_without_keeping_it(void)
{
	static char filler[1 << 20];
	struct rig r;
	struct jt_buf b;
	int fd;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	memset(filler, 'x', sizeof(filler));
	fd = call(&r);
	say_text(r.loop, fd, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	say(r.loop, fd, filler, sizeof(filler));
	check(turn_until(r.loop, heard(fd, &b, "HTTP/1.1 431 Request Header Fields Too Large")));
	close(fd);
	check(r.requests == 0 && r.incomplete == 0);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void refuses_a_body_that_grows_too_large(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	static char filler[5000];
	struct rig r;
	struct jt_buf b;
	int fd;

	o.limits.max_body = 1000;
	open_rig(&r, &o);
	jt__buf_init(&b, 1 << 20);
	fd = call(&r);
	say_text(r.loop, fd, POST_CHUNKED("/x") "1388\r\n");
	say(r.loop, fd, filler, sizeof(filler));
	check(turn_until(r.loop, heard(fd, &b, "HTTP/1.1 413")));
	check(r.requests == 0 && r.incomplete == 1); /* head() had seen it */
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void gives_up_on_slow_clients(void)
{
	static const struct {
		const char *say, *hear;
	} slow[] = {
		{ "", NULL },
		{ GET("/ok"), "<GET /ok >" },
		{ "GET / HTTP/1.1\r\nHos", "HTTP/1.1 408 Request Timeout\r\n" },
		{ "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", "HTTP/1.1 408" },
		{ "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
		  "HTTP/1.1 408" },
	};
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;

	o.head_timeout_ns = o.body_timeout_ns = o.idle_timeout_ns = 30 * JT_NS_PER_MS;
	for (size_t i = 0; i < JT_ARRAY_LEN(slow); i++) {
		uint64_t begin_ns = jt__now_ns();
		struct rig r;
		struct jt_buf b;
		int fd;

		open_rig(&r, &o);
		jt__buf_init(&b, 1 << 20);
		fd = call(&r);
		say_text(r.loop, fd, slow[i].say);
		check(turn_until(r.loop, hear(fd, &b)));
		check(jt__now_ns() - begin_ns >= 29 * JT_NS_PER_MS);
		if (slow[i].hear)
			check(strstr(jt__buf_bytes(&b), slow[i].hear) != NULL);
		else
			check(jt__buf_len(&b) == 0);
		close(fd);
		close_rig(&r);
		jt__buf_fini(&b);
	}
}

static void a_head_that_trickles_does_not_live_longer(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct rig r;
	struct jt_buf b;
	int fd;

	o.head_timeout_ns = 100 * JT_NS_PER_MS;
	open_rig(&r, &o);
	jt__buf_init(&b, 1 << 20);
	fd = call(&r);
	say_text(r.loop, fd, "GET / HTTP/1.1\r\nX: ");
	check(turn_until(r.loop, ({
				 send(fd, "x", 1, MSG_NOSIGNAL);
				 usleep(1000);
				 heard(fd, &b, "HTTP/1.1 408");
			 })));
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void gives_up_on_a_client_that_reads_nothing(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	static char piece[1 << 20];
	struct rig r;
	int fd;

	o.write_timeout_ns = 50 * JT_NS_PER_MS;
	open_rig(&r, &o);
	fd = dial(jt__server_address(r.server), 4096);
	say_text(r.loop, fd, GET("/wait"));
	check(turn_until(r.loop, r.last));
	jt__exchange_start(r.last, 200, NULL, 0, JT_NONE);
	for (int i = 0; i < 16; i++)
		jt__exchange_write(r.last, piece, sizeof(piece));
	check(turn_until(r.loop, r.incomplete == 1));
	close(fd);
	close_rig(&r);
}

static void on_drained(void *user)
{
	((struct rig *)user)->drains++;
}

static void drains_without_cutting_anyone_off(void)
{
	struct rig r;
	struct jt_buf b;
	int idle, busy, half, late;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	idle = call(&r);
	say_text(r.loop, idle, GET("/ok"));
	check(turn_until(r.loop, heard(idle, &b, "<GET /ok >")));
	busy = call(&r);
	say_text(r.loop, busy, GET("/stream"));
	check(turn_until(r.loop, r.last));
	half = call(&r);
	say_text(r.loop, half, "GET /half HTTP/1.1\r\n");
	turn_for(r.loop, 5 * JT_NS_PER_MS);
	late = call(&r); /* in the kernel's queue, with its request */
	say_text(r.loop, late, GET("/late"));
	jt__server_drain(r.server, on_drained, &r);
	check(turn_until(r.loop, hear(idle, &b)));
	jt__buf_clear(&b);
	check(turn_until(r.loop, hear(late, &b)) && strstr(jt__buf_bytes(&b), "<GET /late >"));
	say_text(r.loop, half, "Host: a\r\n\r\n");
	jt__buf_clear(&b);
	check(turn_until(r.loop, hear(half, &b)) && strstr(jt__buf_bytes(&b), "<GET /half >"));
	check(strstr(jt__buf_bytes(&b), "Connection: close\r\n") != NULL);
	check(dial(jt__server_address(r.server), 0) < 0);
	close(half);
	close(late);
	close(idle);
	turn_for(r.loop, 5 * JT_NS_PER_MS);
	check(r.drains == 0 && r.last);
	jt__exchange_write(r.last, "two", 3);
	jt__exchange_end(r.last);
	jt__buf_clear(&b);
	check(turn_until(r.loop, hear(busy, &b)) &&
	      strstr(jt__buf_bytes(&b), "3\r\ntwo\r\n0\r\n\r\n"));
	close(busy);
	check(turn_until(r.loop, r.drains == 1));
	check(r.incomplete == 0 && r.complete == 4);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void drains_at_once_when_nobody_is_there(void)
{
	struct rig r;

	open_rig(&r, NULL);
	jt__server_drain(r.server, on_drained, &r);
	check(r.drains == 0);
	check(turn_until(r.loop, r.drains == 1));
	close_rig(&r);
}

static void may_be_freed_from_inside_a_callback(void)
{
	struct rig r;
	int fd[3];

	open_rig(&r, NULL);
	for (int i = 0; i < 3; i++)
		fd[i] = call(&r);
	say_text(r.loop, fd[0], GET("/wait"));
	say_text(r.loop, fd[1], GET("/stream"));
	check(turn_until(r.loop, r.requests == 2));
	say_text(r.loop, fd[2], GET("/free") GET("/free"));
	check(turn_until(r.loop, !r.server));
	check(r.incomplete == 3);
	jt__loop_turn(r.loop, 0);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close_rig(&r);
}

static void accepts_no_more_than_it_may_and_the_rest_later(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct rig r;
	struct jt_buf b;
	int fd[3];

	o.max_connections = 2;
	open_rig(&r, &o);
	jt__buf_init(&b, 1 << 20);
	for (int i = 0; i < 3; i++) {
		fd[i] = call(&r);
		say_text(r.loop, fd[i], GET("/x"));
	}
	check(turn_until(r.loop, r.complete == 2));
	turn_for(r.loop, 5 * JT_NS_PER_MS);
	check(jt__server_n_connections(r.server) == 2 && r.complete == 2);
	close(fd[0]);
	check(turn_until(r.loop, heard(fd[2], &b, "<GET /x >")));
	close(fd[1]);
	close(fd[2]);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void survives_running_out_of_descriptors(void)
{
	struct rlimit old, few;
	struct rig r;
	struct jt_buf b;
	int fd, spare;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	fd = call(&r);
	spare = dup(fd); /* the lowest free number is the limit */
	close(spare);
	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){ (rlim_t)spare, old.rlim_max };
	setrlimit(RLIMIT_NOFILE, &few);
	say_text(r.loop, fd, GET("/x"));
	turn_for(r.loop, 20 * JT_NS_PER_MS);
	check(r.requests == 0);
	setrlimit(RLIMIT_NOFILE, &old);
	check(turn_until(r.loop, heard(fd, &b, "<GET /x >")));
	close(fd);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void survives_running_out_of_memory(void)
{
	int answered = 0;

	for (uint64_t nth = 1; nth < 25; nth++) {
		struct rig r;
		struct jt_buf b;
		int fd;

		open_rig(&r, NULL);
		jt__buf_init(&b, 1 << 20);
		jt__buf_reserve(&b, 64 << 10);
		fd = call(&r);
		say_text(r.loop, fd, POST_CHUNKED("/x") "2\r\nhi\r\n0\r\n\r\n");
		jt__alloc_fail_at(nth);
		turn_until(r.loop, hear(fd, &b) || strstr(jt__buf_bytes(&b), "\r\n\r\n"));
		jt__alloc_fail_at(0);
		answered += strstr(jt__buf_bytes(&b), "<POST /x hi>") != NULL;
		close(fd);
		check(turn_until(r.loop, jt__server_n_connections(r.server) == 0));
		close_rig(&r);
		jt__buf_fini(&b);
	}
	check(answered > 0 && answered < 24);
}

static void two_servers_share_a_port(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct jt_server *second = NULL;
	struct jt_error err;
	struct rig r;

	o.reuse_port = true;
	open_rig(&r, &o);
	o.listen = jt__server_address(r.server);
	check(jt__server_new(r.loop, &o, &app, &r, &second, &err) == JT_OK);
	check_text(jt__server_address(second), jt__server_address(r.server));
	jt__server_free(second);
	o.reuse_port = false;
	check(jt__server_new(r.loop, &o, &app, &r, &second, &err) == JT_EIO);
	check(strstr(err.message, "is in use") && strstr(err.message, o.listen));
	close_rig(&r);
}

static void explains_a_bad_address(void)
{
	static const struct {
		const char *listen, *says;
	} bad[] = {
		{ "127.0.0.1", "has no port" },
		{ "127.0.0.1:", "has no port" },
		{ "127.0.0.1:x", "has no port" },
		{ "127.0.0.1:65536", "has no port" },
		{ "::1:80", "write it as '[::1]:8080'" },
		{ "no.such.host.invalid:80", "cannot resolve" },
		{ "192.0.2.1:0", "not an address of this machine" },
	};
	struct rig r;

	open_rig(&r, NULL);
	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
		struct jt_server *s = NULL;
		struct jt_error err = { 0 };

		o.listen = bad[i].listen;
		check(jt__server_new(r.loop, &o, &app, &r, &s, &err) < 0 && !s);
		if (!check(strstr(err.message, bad[i].says) != NULL))
			printf("# %s: %s\n", bad[i].listen, err.message);
	}
	for (int i = 0; i < 2; i++) {
		struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
		struct jt_server *s = NULL;

		o.listen = i ? ":0" : "localhost:0";
		check(jt__server_new(r.loop, &o, &app, &r, &s, NULL) == JT_OK);
		check(s && !strstr(jt__server_address(s), ":0"));
		jt__server_free(s);
	}
	close_rig(&r);
}

static void works_without_a_head_callback(void)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct jt_server *s = NULL;
	struct rig r;
	struct jt_buf b;
	int fd;

	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	check(jt__server_new(r.loop, &o, &app_without_head, &r, &s, NULL) == JT_OK);
	fd = dial(jt__server_address(s), 0);
	say_text(r.loop, fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
	check(turn_until(r.loop, heard(fd, &b, "<POST /x hi>")));
	/* A request that ends before the handler knew of it does not reach over(). */
	say_text(r.loop, fd, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh");
	turn_for(r.loop, 2 * JT_NS_PER_MS);
	close(fd);
	check(turn_until(r.loop, jt__server_n_connections(s) == 0));
	check(r.complete == 1 && r.incomplete == 0);
	jt__server_free(s);
	close_rig(&r);
	jt__buf_fini(&b);
}

static void serves_two_thousand_connections(void)
{
	enum { N = 2000 };
	static int fds[N];
	struct rlimit limit;
	struct rig r;
	struct jt_buf b;
	int n = N;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = JT_MIN(limit.rlim_max, 2 * N + 100);
	setrlimit(RLIMIT_NOFILE, &limit);
	n = JT_MIN(n, (int)(limit.rlim_cur - 100) / 2);
	open_rig(&r, NULL);
	jt__buf_init(&b, 1 << 20);
	for (int i = 0; i < n; i++) {
		fds[i] = call(&r);
		if (i % 100 == 99)
			turn_for(r.loop, 0), jt__loop_turn(r.loop, 0);
	}
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < n; i++)
			send(fds[i], GET("/x"), strlen(GET("/x")), MSG_NOSIGNAL);
		check(turn_until(r.loop, r.complete == n * (round + 1)));
		for (int i = 0; i < n; i++) {
			jt__buf_clear(&b);
			check(heard(fds[i], &b, "<GET /x >"));
		}
	}
	check(jt__server_n_connections(r.server) == (uint32_t)n);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	check(turn_until(r.loop, jt__server_n_connections(r.server) == 0));
	close_rig(&r);
	jt__buf_fini(&b);
}

int main(void)
{
	test(says_what_the_protocol_says);
	test(takes_a_request_split_at_every_byte);
	test(writes_chunks_as_they_come_and_lengths_when_known);
	test(ends_an_http_1_0_stream_by_closing);
	test(notices_a_client_that_leaves_while_it_waits);
	test(answers_a_client_that_half_closes_if_it_can_at_once);
	test(a_slow_reader_holds_back_its_stream_and_nothing_grows);
	test(pauses_a_streamed_body);
	test(streams_a_body_without_gathering_it);
	test(refuses_an_endless_head_without_keeping_it);
	test(refuses_a_body_that_grows_too_large);
	test(gives_up_on_slow_clients);
	test(a_head_that_trickles_does_not_live_longer);
	test(gives_up_on_a_client_that_reads_nothing);
	test(drains_without_cutting_anyone_off);
	test(drains_at_once_when_nobody_is_there);
	test(may_be_freed_from_inside_a_callback);
	test(accepts_no_more_than_it_may_and_the_rest_later);
	test(survives_running_out_of_descriptors);
	test(survives_running_out_of_memory);
	test(two_servers_share_a_port);
	test(explains_a_bad_address);
	test(works_without_a_head_callback);
	test(serves_two_thousand_connections);
	return tap_done();
}
