/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_EXCHANGE_H
#define JT_EXCHANGE_H
/* What server.c (listening), conn.c (requests) and reply.c (answers) share. Private to them. */
#include "http/net.h"
#include "http/server.h"

struct jt_exchange {
	const struct jt_head *head; /* NULL: refused before there was one */
	void *user;
	uint64_t begin_ns;
	struct jt_buf body;
	struct jt_header tag; /* name NULL: none */
	uint64_t left;        /* of the answer's Content-Length; JT_NONE: not known */
	bool seen;            /* the handler knows it and will be told of its end */
	bool over;            /* it has been told: its calls have no effect */
	bool stream_body;
	bool body_paused;
	bool request_done;
	bool must_close; /* the connection, after the answer */
	bool started;
	bool ended;
	bool aborted;
	bool bodyless; /* answers HEAD, or with 204 or 304 */
	bool chunked;
	bool was_full;
};

struct jt_conn {
	struct jt_server *server;
	struct jt_conn *prev, *next;
	struct jt_watch watch;
	struct jt_timer timer;
	struct jt_deferred flush;
	struct jt_deferred release;
	struct jt_parser *parser;
	struct jt_buf in;  /* pipelined bytes behind the request that is being answered */
	struct jt_buf out; /* has memory only while something is in it */
	uint64_t read_ns;  /* last progress; while a head is read, its first byte */
	uint64_t write_ns;
	bool active; /* there is an exchange */
	bool flush_queued;
	bool blocked;   /* the kernel takes no more output */
	bool lingering; /* all is sent; reading on so that a reset does not overtake it */
	bool closed;
	struct jt_exchange ex;
};

#define N_SPARE 64
#define SPARE_MAX ((size_t)64 << 10)

struct jt_server {
	struct jt_loop *loop;
	struct jt_server_options o;
	const struct jt_server_handler *h;
	void *user;
	struct jt_watch watch; /* fd -1: no longer listening */
	struct jt_timer accept_timer;
	struct jt_conn *conns;
	uint32_t n_conns;
	struct jt_buf spare[N_SPARE]; /* output buffers between two uses */
	size_t n_spare;
	uint64_t date_s;
	char date[32]; /* of the Date header, at date_s */
	bool draining;
	bool freed;
	void (*drained)(void *user);
	void *drained_user;
	struct jt_deferred drain;
	struct jt_deferred release;
	char address[JT_ADDRESS_TEXT];
};

/* Appends to the connection's output, to be sent at the end of the turn. Failure aborts. */
void jt__conn_output(struct jt_conn *c, const void *bytes, size_t n);
void jt__conn_queue_flush(struct jt_conn *c);

/* Takes over @fd; false: out of memory, and it is still the caller's. */
bool jt__conn_add(struct jt_server *s, int fd);
/* Closes it now; an open exchange is over, incomplete. */
void jt__conn_give_up(struct jt_conn *c);
/* Closes it if nothing has come that deserves an answer. */
void jt__conn_drain(struct jt_conn *c);
/* A connection has left the server's list. */
void jt__server_lost_conn(struct jt_server *s);

#endif
