/* SPDX-License-Identifier: Apache-2.0 */
/* What a server says: requests, answers, refusals, streams. */
#include "server_rig.h"

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
	{ GET("/dropped") GET("/2"), { "gone", "<GET /2 >" }, false },
	{ "HEAD /dropped HTTP/1.1\r\nHost: a\r\n\r\n" GET("/2"), { "Content-Length: 4\r\n", "\r\n\r\nHTTP/1.1 200 OK", "<GET /2 >" }, false },
	{ POST_CHUNKED("/dropped") "2\r\nhe\r\n0\r\n\r\n" GET("/2"), { "gone", "<GET /2 >" }, false },
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
	return tap_done();
}
