/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_ENDS_H
#define BENCH_ENDS_H
/*
 * Both ends of a proxied connection in one thread: the client (client.c) and
 * the engine behind the proxy (engine.c). So both stamp with one clock, hear of each
 * other's doings without a message, and fit on one core. A failure ends the program.
 *
 * Each event of a stream carries MARK and the time at which it was sent, in
 * 16 hexadecimal digits; MARK occurs nowhere else.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MARK '~'
#define MARK_DIGITS 16
#define NEVER UINT64_MAX
#define MS UINT64_C(1000000)  /* ns */
#define ASK_HEADER "X-Bench:" /* KIND EVENTS NUMBER, as in enum answer and struct ask */

enum answer {
	ANSWER_JSON = 'j',   /* a plain body */
	ANSWER_FLAT = 'f',   /* a stream as fast as it is taken */
	ANSWER_PACED = 'p',  /* a stream whose first event comes at once, the others in turns */
	ANSWER_NONE = 'n',   /* was asked for a stream and says nothing */
	ANSWER_SILENT = 's', /* was asked for a plain body and says nothing */
};

struct ask {
	char answer;
	unsigned n_events;
	unsigned number; /* of the client, in engine_saw_close() */
};

/* What epoll points to; first member of whoever waits for a descriptor. */
struct watch {
	int fd;
	void (*fn)(struct watch *w, uint32_t events);
};

/* ---- load.c ---- */

extern char scratch[256 << 10]; /* to read into, for one callback */

void fail(const char *what) __attribute__((noreturn)); /* with errno */
uint64_t now_ns(void);
void watch(struct watch *w, uint32_t events, bool first);
/* Sends all, or fails: what is sent this way is small. */
void send_all(int fd, const char *bytes, size_t n);

/* ---- engine.c ---- */

void engine_open(unsigned port);
/* Paced streams have one event each @gap_ns, evenly spread over @n_streams; 0: none for now. */
void engine_pace(uint64_t gap_ns, unsigned n_streams);
/* Sends what is due; when the next is. */
uint64_t engine_turn(uint64_t at_ns);

/* ---- client.c: what it hears of the engine ---- */

void engine_got_request(unsigned number);
/* The proxy closed its connection to the engine while the answer was not complete. */
void engine_saw_close(unsigned number);

/* ---- client.c: one run each, called once; @pids are the proxy's ---- */

struct run {
	const char *mode;
	unsigned short port; /* where the clients connect to */
	unsigned n_conns;
	unsigned n_events; /* of a stream */
	uint64_t gap_ns;   /* of a paced one */
	uint64_t window_ns;
	uint64_t settle_ns;   /* before the window */
	uint64_t patience_ns; /* cancel: what the engine has not heard by then it never hears */
	char answer;          /* enum answer */
	int pids[8];
	unsigned n_pids;
};

void client_begin(const struct run *r);
/* Goes on with the run; when it wants to be called next, 0: it is over and has printed its line. */
uint64_t client_turn(uint64_t at_ns);

#endif
