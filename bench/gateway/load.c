/* SPDX-License-Identifier: Apache-2.0 */
/* usage: load MODE KEY=VALUE …: one run against one proxy; run.py starts it and says why. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include "ends.h"

char scratch[256 << 10];
static int epoll_fd;

void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 * MS + (uint64_t)ts.tv_nsec;
}

void watch(struct watch *w, uint32_t events, bool first)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (epoll_ctl(epoll_fd, first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, w->fd, &e) < 0)
		fail("epoll_ctl");
}

void send_all(int fd, const char *bytes, size_t n)
{
	if (send(fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n && errno != EPIPE && errno != ECONNRESET)
		fail("send");
}

static void usage(void)
{
	fprintf(stderr,
	        "usage: load json|stream|paced|idle|cancel port=N engine=N answer=j|f|p|n|s "
	        "[conns=N] [events=N] [gap_us=N] [window_ms=N] [settle_ms=N] [patience_ms=N] "
	        "[pid=N]...\n");
	exit(2);
}

static unsigned long number(const char *text, const char *key)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!*text || *end) {
		fprintf(stderr, "load: '%s' is not a number: %s\n", key, text);
		exit(2);
	}
	return n;
}

static void set(struct run *r, unsigned *engine_port, const char *key, const char *value)
{
	if (strcmp(key, "answer") == 0)
		r->answer = *value;
	else if (strcmp(key, "port") == 0)
		r->port = (unsigned short)number(value, key);
	else if (strcmp(key, "engine") == 0)
		*engine_port = (unsigned)number(value, key);
	else if (strcmp(key, "conns") == 0)
		r->n_conns = (unsigned)number(value, key);
	else if (strcmp(key, "events") == 0)
		r->n_events = (unsigned)number(value, key);
	else if (strcmp(key, "gap_us") == 0)
		r->gap_ns = number(value, key) * 1000;
	else if (strcmp(key, "window_ms") == 0)
		r->window_ns = number(value, key) * MS;
	else if (strcmp(key, "settle_ms") == 0)
		r->settle_ns = number(value, key) * MS;
	else if (strcmp(key, "patience_ms") == 0)
		r->patience_ns = number(value, key) * MS;
	else if (strcmp(key, "pid") == 0 && r->n_pids < sizeof(r->pids) / sizeof(*r->pids))
		r->pids[r->n_pids++] = (int)number(value, key);
	else
		usage();
}

static void turn(uint64_t due_ns)
{
	struct epoll_event events[256];
	uint64_t now = now_ns(), wait = due_ns > now ? due_ns - now : 0;
	struct timespec ts = { (time_t)(wait / (1000 * MS)), (long)(wait % (1000 * MS)) };
	int n = epoll_pwait2(epoll_fd, events, 256, due_ns == NEVER ? NULL : &ts, NULL);

	if (n < 0 && errno != EINTR)
		fail("epoll_pwait2");
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;

		w->fn(w, events[i].events);
	}
}

int main(int argc, char **argv)
{
	struct run r = { .n_conns = 1,
		         .n_events = 1000000,
		         .window_ns = 1000 * MS,
		         .settle_ns = 500 * MS,
		         .patience_ns = 5000 * MS };
	unsigned engine_port = 0;
	uint64_t client_ns = 0;

	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			usage();
		*value = '\0';
		set(&r, &engine_port, argv[i], value + 1);
	}
	if (argc < 2 || !r.port || !engine_port || !r.answer)
		usage();
	r.mode = argv[1];
	prctl(PR_SET_TIMERSLACK, 1);
	epoll_fd = epoll_create1(0);
	engine_open(engine_port);
	client_begin(&r);
	while ((client_ns = client_turn(now_ns())) != 0) {
		uint64_t engine_ns = engine_turn(now_ns());

		turn(engine_ns < client_ns ? engine_ns : client_ns);
	}
	return 0;
}
