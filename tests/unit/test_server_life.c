/* SPDX-License-Identifier: Apache-2.0 */
/* How a server lives: draining, limits of the machine, addresses. */
#include <sys/resource.h>
#include "server_rig.h"

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
