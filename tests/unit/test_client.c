/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"
#include "sockets.h"
#include "tap.h"

/* A pool whose upstream is a plain socket that the test speaks for. */
struct rig {
	struct jt_loop *loop;
	struct jt_pool *pool;
	int listener, upstream;
	struct jt_buf request; /* what the upstream heard */
};

/* One call and all that its handler was told. */
struct told {
	struct jt_call *call;
	struct jt_buf body;
	uint32_t status_code;
	int heads, turns, writables, overs;
	int status;
	struct jt_error err;
	enum { NOTHING, IN_HEAD, IN_BODY, IN_TURN, PAUSE_IN_BODY, FREE_IN_BODY, AGAIN_IN_OVER } act;
	struct rig *rig;
	struct told *again;
};

static void act(struct told *t, int where)
{
	if ((int)t->act != where)
		return;
	jt__call_cancel(t->call);
	t->call = NULL;
}

static void call_head(void *user, struct jt_call *c, const struct jt_head *head)
{
	struct told *t = user;

	check(t->call == c);
	t->heads++;
	t->status_code = head->status;
	act(t, IN_HEAD);
}

static void call_body(void *user, struct jt_call *c, const char *bytes, size_t n)
{
	struct told *t = user;

	check(t->call == c && t->heads == 1);
	jt__buf_append(&t->body, bytes, n);
	if (t->act == PAUSE_IN_BODY)
		jt__call_pause(c, true);
	if (t->act == FREE_IN_BODY) {
		jt__pool_free(t->rig->pool);
		t->rig->pool = NULL;
		t->call = NULL;
	}
	act(t, IN_BODY);
}

static void call_turn(void *user, struct jt_call *c)
{
	struct told *t = user;

	check(t->call == c);
	t->turns++;
	act(t, IN_TURN);
}

static void call_writable(void *user, struct jt_call *c)
{
	struct told *t = user;

	check(!jt__call_full(c));
	t->writables++;
}

static void start(struct rig *r, struct told *t, const char *request, bool replayable);

static void call_over(void *user, struct jt_call *c, int status, const struct jt_error *err)
{
	struct told *t = user;

	check(t->call == c && (status == JT_OK) == (err == NULL));
	jt__call_pause(c, true); /* none of these has an effect any more */
	jt__call_send(c, "late", 4);
	jt__call_cancel(c);
	t->call = NULL;
	t->overs++;
	t->status = status;
	if (err)
		t->err = *err;
	if (t->act == AGAIN_IN_OVER)
		start(t->rig, t->again, "GET /again HTTP/1.1\r\nHost: a\r\n\r\n", true);
}

static const struct jt_call_handler handler = { call_head, call_body, call_turn, call_writable,
	                                        call_over };

static void start_any(struct rig *r, struct told *t, const char *request, bool replayable,
                      bool head_only)
{
	struct jt_buf b;

	jt__buf_init(&b, 1 << 20);
	jt__buf_append_text(&b, request);
	jt__buf_fini(&t->body);
	*t = (struct told){ .act = t->act, .again = t->again, .rig = r };
	jt__buf_init(&t->body, 64 << 20);
	t->call = jt__call_start(r->pool, &b, replayable, head_only, &handler, t);
	check(t->call && !t->overs);
	jt__buf_fini(&b);
}

static void start(struct rig *r, struct told *t, const char *request, bool replayable)
{
	start_any(r, t, request, replayable, false);
}

static void open_rig(struct rig *r, struct jt_pool_options o)
{
	struct jt_error err;
	char port[8];
	uint16_t number;

	memset(r, 0, sizeof(*r));
	r->upstream = -1;
	r->listener = listen_any(&number);
	snprintf(port, sizeof(port), "%u", number);
	o.host = o.host ? o.host : "127.0.0.1";
	o.port = port;
	jt__buf_init(&r->request, 64 << 20);
	if (jt__loop_new(&r->loop, &err) < 0 || jt__pool_new(r->loop, &o, &r->pool, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
}

static void open_plain(struct rig *r)
{
	open_rig(r, (struct jt_pool_options)JT_POOL_OPTIONS_INIT);
}

static void hang_up(struct rig *r)
{
	if (r->upstream >= 0)
		close(r->upstream);
	r->upstream = -1;
	jt__buf_clear(&r->request);
}

static void close_rig(struct rig *r, struct told *t)
{
	jt__pool_free(r->pool);
	jt__loop_free(r->loop);
	hang_up(r);
	close(r->listener);
	jt__buf_fini(&r->request);
	if (t)
		jt__buf_fini(&t->body);
}

/* The upstream takes the next connection and waits for the end of a head. */
static bool answer_phone(struct rig *r)
{
	hang_up(r);
	return turn_until(r->loop, (r->upstream = accept_one(r->listener)) >= 0) &&
	       turn_until(r->loop, heard(r->upstream, &r->request, "\r\n\r\n"));
}

static bool body_is(struct told *t, const char *text)
{
	return jt__buf_len(&t->body) == strlen(text) &&
	       (!*text || memcmp(jt__buf_bytes(&t->body), text, strlen(text)) == 0);
}

#define REQUEST "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

struct answer {
	const char *bytes;
	const char *body;
	int status;
	uint32_t status_code;
	bool hang_up; /* the upstream, after the bytes */
	bool head_only;
	bool reused; /* the connection is good for another call */
};

/* clang-format off */
static const struct answer answers[] = {
	{ OK_HELLO, "hello", JT_OK, 200, false, false, true },
	{ CHUNKED "5\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\n", "hello!", JT_OK, 200, false, false, true },
	{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" OK_HELLO, "hello", JT_OK, 200, false, false, true },
	{ "HTTP/1.1 204 No Content\r\n\r\n", "", JT_OK, 204, false, false, true },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "", JT_OK, 304, false, false, true },
	{ "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", "no", JT_OK, 500, false, false, true },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "", JT_OK, 200, false, true, true },
	{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", JT_OK, 200, false, true, true },
	{ "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", "hello", JT_OK, 200, false, false, false },
	{ "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", JT_OK, 200, false, false, false },
	{ "HTTP/1.1 200 OK\r\n\r\nto the end", "to the end", JT_OK, 200, true, false, false },
	{ OK_HELLO "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "hello", JT_OK, 200, false, false, false },
	{ OK_HELLO "\r\n", "hello", JT_OK, 200, false, false, false },
	{ "", "", JT_EIO, 0, true, false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Le", "", JT_EIO, 0, true, false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "hello", JT_EIO, 200, true, false, false },
	{ CHUNKED "5\r\nhello\r\n", "hello", JT_EIO, 200, true, false, false },
	{ CHUNKED "5\r\nhello\r\n0\r\n", "hello", JT_EIO, 200, true, false, false },
	{ "HTTP/1.1 100 Continue\r\n\r\n", "", JT_EIO, 0, true, false, false },
	{ CHUNKED "5\r\nhello\r\nzz\r\n", "hello", JT_EINVAL, 200, false, false, false },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", "", JT_EINVAL, 0, false, false, false },
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "", JT_EINVAL, 0, false, false, false },
	{ "SSH-2.0-OpenSSH_9.2\r\n", "", JT_EINVAL, 0, false, false, false },
};
/* clang-format on */

static void check_answer(const struct answer *a, size_t split)
{
	struct rig r;
	struct told t = { 0 };

	open_plain(&r);
	start_any(&r, &t, REQUEST, true, a->head_only);
	check(answer_phone(&r));
	check_text(jt__buf_bytes(&r.request), REQUEST);
	say(r.loop, r.upstream, a->bytes, split);
	jt__loop_turn(r.loop, 0);
	jt__loop_turn(r.loop, 0);
	say_text(r.loop, r.upstream, a->bytes + split);
	if (a->hang_up)
		hang_up(&r);
	check(turn_until(r.loop, t.overs == 1));
	if (!check(t.status == a->status) || !check(t.status_code == a->status_code) ||
	    !check(body_is(&t, a->body)))
		printf("# %d %s, split at %zu: %s\n", t.status, t.err.message, split, a->bytes);
	if (t.status < 0)
		check(strstr(t.err.message, "'127.0.0.1:") != NULL);
	/* Another call: on the same connection, or on a new one. */
	start(&r, &t, REQUEST, true);
	if (a->reused) {
		jt__buf_clear(&r.request);
		check(turn_until(r.loop, heard(r.upstream, &r.request, "\r\n\r\n")));
	} else {
		check(answer_phone(&r));
	}
	say_text(r.loop, r.upstream, OK_HELLO);
	check(turn_until(r.loop, t.overs == 1) && t.status == JT_OK && body_is(&t, "hello"));
	check(accept_one(r.listener) < 0);
	close_rig(&r, &t);
}

static void reads_answers_of_every_kind(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(answers); i++)
		check_answer(&answers[i], 0);
}

static void reads_answers_split_anywhere(void)
{
	for (size_t split = 1; split < strlen(answers[1].bytes); split++)
		check_answer(&answers[1], split);
	for (size_t split = 1; split < strlen(answers[2].bytes); split++)
		check_answer(&answers[2], split);
}

/* Makes one call and leaves its connection in the pool. */
static void warm_up(struct rig *r, struct told *t)
{
	start(r, t, REQUEST, true);
	check(answer_phone(r));
	say_text(r->loop, r->upstream, OK_HELLO);
	check(turn_until(r->loop, t->overs == 1) && t->status == JT_OK);
	jt__buf_clear(&r->request);
}

static void calls_again_when_a_pooled_connection_is_dead(void)
{
	struct rig r;
	struct told t = { 0 };

	for (int how = 0; how < 3; how++) {
		open_plain(&r);
		warm_up(&r, &t);
		if (how == 0) /* dead before the call, and not noticed yet */
			hang_up(&r);
		start(&r, &t, REQUEST, true);
		if (how > 0) { /* dead with the request in its hands */
			check(turn_until(r.loop, heard(r.upstream, &r.request, "\r\n\r\n")));
			if (how == 1)
				hang_up(&r);
			else
				setsockopt(r.upstream, SOL_SOCKET, SO_LINGER,
				           &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
			hang_up(&r);
		}
		check(answer_phone(&r));
		check_text(jt__buf_bytes(&r.request), REQUEST);
		check(t.overs == 0);
		hang_up(&r); /* a fresh one that dies is an error */
		check(turn_until(r.loop, t.overs == 1) && t.status == JT_EIO);
		turn_for(r.loop, 2 * JT_NS_PER_MS);
		check(accept_one(r.listener) < 0);
		close_rig(&r, &t);
	}
}

/* An upload takes a pooled connection, which is reset before its first byte is sent. */
struct ambush {
	struct jt_deferred deferred;
	struct rig *rig;
	struct told *told;
};

static void spring(struct jt_deferred *d)
{
	struct ambush *a = jt_container_of(d, struct ambush, deferred);
	struct linger now = { .l_onoff = 1 };

	start(a->rig, a->told, REQUEST, false);
	jt__call_send(a->told->call, "body", 4);
	setsockopt(a->rig->upstream, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	hang_up(a->rig);
}

static void an_upload_that_nothing_was_sent_of_is_not_lost_with_its_connection(void)
{
	struct rig r;
	struct told t = { 0 };
	struct ambush a = { .deferred.fn = spring, .rig = &r, .told = &t };

	open_plain(&r);
	warm_up(&r, &t);
	jt__loop_defer(r.loop, &a.deferred);
	jt__loop_turn(r.loop, 0);
	check(answer_phone(&r));
	check(turn_until(r.loop, heard(r.upstream, &r.request, "body")));
	check_text(jt__buf_bytes(&r.request), REQUEST "body");
	say_text(r.loop, r.upstream, OK_HELLO);
	check(turn_until(r.loop, t.overs == 1) && t.status == JT_OK && body_is(&t, "hello"));
	close_rig(&r, &t);
}

static void does_not_call_again_after_a_byte_of_an_answer_or_if_it_may_not(void)
{
	struct rig r;
	struct told t = { 0 };

	for (int replayable = 0; replayable < 2; replayable++) {
		open_plain(&r);
		warm_up(&r, &t);
		start(&r, &t, REQUEST, replayable);
		check(turn_until(r.loop, heard(r.upstream, &r.request, "\r\n\r\n")));
		if (replayable)
			say_text(r.loop, r.upstream, "H");
		turn_for(r.loop, 2 * JT_NS_PER_MS);
		hang_up(&r);
		check(turn_until(r.loop, t.overs == 1) && t.status == JT_EIO);
		turn_for(r.loop, 2 * JT_NS_PER_MS);
		check(accept_one(r.listener) < 0);
		close_rig(&r, &t);
	}
}

static void throws_away_a_pooled_connection_that_speaks(void)
{
	struct rig r;
	struct told t = { 0 };

	for (int replayable = 0; replayable < 2; replayable++) {
		open_plain(&r);
		warm_up(&r, &t);
		/* What comes before the request cannot be its answer, even in the same turn. */
		say_text(r.loop, r.upstream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
		start(&r, &t, REQUEST, replayable);
		check(answer_phone(&r));
		say_text(r.loop, r.upstream, OK_HELLO);
		check(turn_until(r.loop, t.overs == 1) && t.status == JT_OK &&
		      body_is(&t, "hello"));
		close_rig(&r, &t);
	}
}

static void forgets_idle_connections_in_time(void)
{
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
	struct rig r;
	struct told t = { 0 };
	uint64_t begin_ns;

	o.idle_timeout_ns = 30 * JT_NS_PER_MS;
	open_rig(&r, o);
	warm_up(&r, &t);
	begin_ns = jt__now_ns();
	check(turn_until(r.loop, hear(r.upstream, &r.request)));
	check(jt__now_ns() - begin_ns >= 20 * JT_NS_PER_MS);
	close_rig(&r, &t);

	o.idle_timeout_ns = 4 * JT_NS_PER_S;
	o.max_idle = 0;
	open_rig(&r, o);
	warm_up(&r, &t);
	check(turn_until(r.loop, hear(r.upstream, &r.request)));
	close_rig(&r, &t);
}

static void fails_in_time_and_says_why(void)
{
	static const struct {
		const char *bytes, *says;
		int heads;
	} silent[] = {
		{ "", "did not begin to answer", 0 },
		{ "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200", "did not begin to answer", 0 },
		{ CHUNKED "5\r\nhel", "fell silent", 1 },
	};
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;

	o.first_byte_timeout_ns = o.silence_timeout_ns = 30 * JT_NS_PER_MS;
	for (size_t i = 0; i < JT_ARRAY_LEN(silent); i++) {
		struct rig r;
		struct told t = { 0 };

		open_rig(&r, o);
		start(&r, &t, REQUEST, true);
		check(answer_phone(&r));
		say_text(r.loop, r.upstream, silent[i].bytes);
		check(turn_until(r.loop, t.overs == 1));
		check(t.status == JT_ETIME && t.heads == silent[i].heads);
		check(strstr(t.err.message, silent[i].says) != NULL);
		check(turn_until(r.loop, hear(r.upstream, &r.request)));
		close_rig(&r, &t);
	}
}

static void says_when_nobody_listens(void)
{
	struct rig r;
	struct told t = { 0 };

	open_plain(&r);
	close(r.listener);
	start(&r, &t, REQUEST, true);
	check(turn_until(r.loop, t.overs == 1));
	check(t.status == JT_EIO && t.heads == 0);
	check(strstr(t.err.message, "Connection refused") &&
	      strstr(t.err.message, "is it running?"));
	r.listener = -1;
	close_rig(&r, &t);
}

static void gives_up_on_a_connection_that_is_not_accepted(void)
{
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	struct rig r;
	struct told t = { 0 };
	int fillers[64];

	o.connect_timeout_ns = 50 * JT_NS_PER_MS;
	open_rig(&r, o);
	/* With its queue full a listener lets new connections hang. */
	listen(r.listener, 0);
	getsockname(r.listener, (struct sockaddr *)&a, &len);
	for (size_t i = 0; i < JT_ARRAY_LEN(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&a, sizeof(a));
	}
	start(&r, &t, REQUEST, true);
	check(turn_until(r.loop, t.overs == 1));
	check(t.status == JT_ETIME && strstr(t.err.message, "did not accept") != NULL);
	for (size_t i = 0; i < JT_ARRAY_LEN(fillers); i++)
		close(fillers[i]);
	close_rig(&r, &t);
}

static void tries_every_address_of_a_name(void)
{
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
	struct rig r;
	struct told t = { 0 };

	o.host = "localhost"; /* often ::1 first, where nobody listens */
	open_rig(&r, o);
	warm_up(&r, &t);
	close_rig(&r, &t);
	o.host = "no.such.host.invalid";
	o.port = "80";
	check(jt__pool_new(NULL, &o, &r.pool, NULL) == JT_ENOENT);
}

static void may_be_cancelled_from_any_callback(void)
{
	for (int where = IN_HEAD; where <= IN_TURN; where++) {
		struct rig r;
		struct told t = { .act = where };

		open_plain(&r);
		start(&r, &t, REQUEST, true);
		check(answer_phone(&r));
		say_text(r.loop, r.upstream, OK_HELLO);
		check(turn_until(r.loop, !t.call));
		check(turn_until(r.loop, hear(r.upstream, &r.request)));
		check(t.overs == 0 && t.heads == 1);
		check(jt__buf_len(&t.body) == (where == IN_HEAD ? 0 : 5));
		close_rig(&r, &t);
	}
}

static void cancelling_reaches_the_upstream_at_once(void)
{
	struct rig r;
	struct told t = { 0 };
	uint64_t begin_ns;

	open_plain(&r);
	start(&r, &t, REQUEST, true);
	jt__call_cancel(t.call); /* before anything was sent */
	turn_for(r.loop, 2 * JT_NS_PER_MS);
	check(accept_one(r.listener) < 0 && t.overs == 0);
	start(&r, &t, REQUEST, true);
	check(answer_phone(&r));
	begin_ns = jt__now_ns();
	jt__call_cancel(t.call);
	check(hear(r.upstream, &r.request)); /* not even a turn later */
	check(jt__now_ns() - begin_ns < 200 * JT_NS_PER_MS);
	close_rig(&r, &t);
}

static void a_pool_may_be_freed_from_inside_a_callback(void)
{
	struct rig r;
	struct told t = { .act = FREE_IN_BODY }, other = { 0 };
	int waiting;

	open_plain(&r);
	start(&r, &other, REQUEST, true);
	check(answer_phone(&r));
	waiting = r.upstream;
	r.upstream = -1;
	start(&r, &t, REQUEST, true);
	check(answer_phone(&r));
	say_text(r.loop, r.upstream, CHUNKED "5\r\nhello\r\n5\r\nworld\r\n");
	check(turn_until(r.loop, !r.pool));
	turn_for(r.loop, 2 * JT_NS_PER_MS);
	check(t.overs == 0 && other.overs == 0 && body_is(&t, "hello"));
	check(hear(waiting, &r.request));
	close(waiting);
	jt__buf_fini(&other.body);
	close_rig(&r, &t);
}

static void a_call_from_inside_over_takes_the_same_connection(void)
{
	struct rig r;
	struct told again = { 0 }, t = { .act = AGAIN_IN_OVER, .again = &again };

	open_plain(&r);
	start(&r, &t, REQUEST, true);
	check(answer_phone(&r));
	say_text(r.loop, r.upstream, OK_HELLO);
	check(turn_until(r.loop, heard(r.upstream, &r.request, "GET /again")));
	say_text(r.loop, r.upstream, OK_HELLO);
	check(turn_until(r.loop, again.overs == 1) && body_is(&again, "hello"));
	jt__buf_fini(&again.body);
	close_rig(&r, &t);
}

static void a_paused_call_reads_no_more_than_it_had(void)
{
	static char piece[64 << 10];
	struct rig r;
	struct told t = { .act = PAUSE_IN_BODY };
	size_t n = 0;

	open_plain(&r);
	start(&r, &t, REQUEST, true);
	check(answer_phone(&r));
	say_text(r.loop, r.upstream, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
	for (int full = 0; full < 20;) {
		ssize_t sent = send(r.upstream, piece, sizeof(piece), MSG_NOSIGNAL);

		n += sent > 0 ? (size_t)sent : 0;
		full += sent < 0;
		jt__loop_turn(r.loop, 0);
	}
	check(n < 67108864); /* the kernel's buffers are full, ours hold one read */
	check(jt__buf_len(&t.body) > 0 && jt__buf_len(&t.body) <= JT_LOOP_SCRATCH);
	t.act = NOTHING;
	jt__call_pause(t.call, false);
	while (n < 67108864 && t.overs == 0) {
		ssize_t sent =
			send(r.upstream, piece, JT_MIN(sizeof(piece), 67108864 - n), MSG_NOSIGNAL);

		n += sent > 0 ? (size_t)sent : 0;
		jt__loop_turn(r.loop, 0);
	}
	check(turn_until(r.loop, t.overs == 1) && t.status == JT_OK);
	check(jt__buf_len(&t.body) == 67108864);
	close_rig(&r, &t);
}

static void a_paused_call_does_not_time_out_but_notices_a_reset(void)
{
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
	struct rig r;
	struct told t = { .act = PAUSE_IN_BODY };

	o.silence_timeout_ns = 10 * JT_NS_PER_MS;
	open_rig(&r, o);
	start(&r, &t, REQUEST, true);
	check(answer_phone(&r));
	say_text(r.loop, r.upstream, CHUNKED "5\r\nhello\r\n");
	check(turn_until(r.loop, jt__buf_len(&t.body) == 5));
	turn_for(r.loop, 40 * JT_NS_PER_MS);
	check(t.overs == 0);
	setsockopt(r.upstream, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
	           sizeof(struct linger));
	hang_up(&r);
	check(turn_until(r.loop, t.overs == 1) && t.status == JT_EIO);
	close_rig(&r, &t);
}

static void sends_a_body_piece_by_piece_against_backpressure(void)
{
	static char piece[64 << 10];
	struct rig r;
	struct told t = { 0 };
	size_t sent = 0, want = 32 << 20, got = 0;

	open_plain(&r);
	memset(piece, 'x', sizeof(piece));
	start(&r, &t, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 33554432\r\n\r\n", false);
	check(answer_phone(&r));
	got = jt__buf_len(&r.request);
	jt__buf_clear(&r.request);
	for (int idle = 0; idle < 20; jt__loop_turn(r.loop, 0), idle++)
		for (; sent < want && !jt__call_full(t.call); sent += sizeof(piece), idle = 0)
			jt__call_send(t.call, piece, sizeof(piece));
	check(sent < want); /* nobody reads */
	check(turn_until(r.loop, ({
				 for (; sent < want && !jt__call_full(t.call);
		                      sent += sizeof(piece))
					 jt__call_send(t.call, piece, sizeof(piece));
				 hear(r.upstream, &r.request);
				 got += jt__buf_len(&r.request);
				 jt__buf_clear(&r.request);
				 got >= want;
			 })));
	check(t.writables > 0);
	say_text(r.loop, r.upstream, OK_HELLO);
	check(turn_until(r.loop, t.overs == 1) && t.status == JT_OK);
	/* Nobody can know that the request was finished: not used again. */
	check(turn_until(r.loop, hear(r.upstream, &r.request)));
	close_rig(&r, &t);
}

static void hears_an_answer_that_comes_before_the_request_is_read(void)
{
	static char piece[64 << 10];
	struct rig r;
	struct told t = { 0 };

	open_plain(&r);
	start(&r, &t, "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", false);
	check(answer_phone(&r));
	for (int i = 0; i < 200; i++)
		jt__call_send(t.call, piece, sizeof(piece));
	turn_for(r.loop, 2 * JT_NS_PER_MS);
	say_text(r.loop, r.upstream, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
	check(turn_until(r.loop, t.overs == 1));
	check(t.status == JT_OK && t.status_code == 413 && body_is(&t, "no"));
	close_rig(&r, &t);
}

static void survives_running_out_of_memory(void)
{
	int good = 0;

	for (uint64_t nth = 1; nth < 25; nth++) {
		struct rig r;
		struct told t = { 0 };
		struct jt_buf b;

		open_plain(&r);
		jt__buf_init(&b, 1 << 20);
		jt__buf_init(&t.body, 1 << 20);
		jt__buf_append_text(&b, REQUEST);
		jt__buf_reserve(&t.body, 100);
		t.rig = &r;
		jt__alloc_fail_at(nth);
		t.call = jt__call_start(r.pool, &b, true, false, &handler, &t);
		for (int i = 0; t.call && i < 3000 && !t.overs; i++) {
			jt__loop_turn(r.loop, JT_NS_PER_MS);
			if (r.upstream < 0 && (r.upstream = accept_one(r.listener)) >= 0)
				say_text(r.loop, r.upstream, "");
			if (r.upstream >= 0 && recv(r.upstream, (char[99]){ 0 }, 99, 0) > 0)
				say_text(r.loop, r.upstream, OK_HELLO);
		}
		jt__alloc_fail_at(0);
		check(!t.call);
		check(!t.overs || t.status == JT_OK || t.status == JT_ENOMEM);
		good += t.overs && t.status == JT_OK && body_is(&t, "hello");
		jt__buf_fini(&b);
		close_rig(&r, &t);
	}
	check(good > 0 && good < 24);
}

int main(void)
{
	test(reads_answers_of_every_kind);
	test(reads_answers_split_anywhere);
	test(calls_again_when_a_pooled_connection_is_dead);
	test(an_upload_that_nothing_was_sent_of_is_not_lost_with_its_connection);
	test(does_not_call_again_after_a_byte_of_an_answer_or_if_it_may_not);
	test(throws_away_a_pooled_connection_that_speaks);
	test(forgets_idle_connections_in_time);
	test(fails_in_time_and_says_why);
	test(says_when_nobody_listens);
	test(gives_up_on_a_connection_that_is_not_accepted);
	test(tries_every_address_of_a_name);
	test(may_be_cancelled_from_any_callback);
	test(cancelling_reaches_the_upstream_at_once);
	test(a_pool_may_be_freed_from_inside_a_callback);
	test(a_call_from_inside_over_takes_the_same_connection);
	test(a_paused_call_reads_no_more_than_it_had);
	test(a_paused_call_does_not_time_out_but_notices_a_reset);
	test(sends_a_body_piece_by_piece_against_backpressure);
	test(hears_an_answer_that_comes_before_the_request_is_read);
	test(survives_running_out_of_memory);
	return tap_done();
}
