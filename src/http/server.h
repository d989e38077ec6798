/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SERVER_H
#define JT_SERVER_H
/*
 * The serving side of HTTP/1.1 on one loop: connections, their limits and
 * timers, and exchanges (a request and its answer). Loop's own thread only.
 *
 * Pipelined requests are answered one at a time. Malformed or ambiguous requests
 * are answered (400, 413, 431, 501 …) and closed here; if the handler has seen the
 * exchange already (its body turned out bad), it gets over().
 * A client that closes its sending side while it waits for an answer is taken
 * for gone: nearly always it is, and the engine should stop working for it. Only
 * when the handler has ended the answer is the rest still sent to it.
 */
#include "http/loop.h"
#include "http/message.h"

struct jt_server;   /* opaque */
struct jt_exchange; /* opaque */

struct jt_server_options {
	const char *listen; /* "127.0.0.1:8080", "[::1]:0", ":80" */
	bool reuse_port;    /* several servers (threads) share the port */
	struct jt_http_limits limits;
	uint32_t max_connections;  /* beyond it, connections wait to be accepted */
	uint64_t head_timeout_ns;  /* first byte of a request to the end of its head */
	uint64_t body_timeout_ns;  /* between two reads of a body */
	uint64_t idle_timeout_ns;  /* keep-alive without a request */
	uint64_t write_timeout_ns; /* a client that reads nothing at all while we have output */
	size_t high_water;         /* output bytes at which jt__exchange_full() becomes true */
	size_t low_water;          /* … and at which writable() is called */
};
/* clang-format off */
#define JT_SERVER_OPTIONS_INIT \
	{ .listen = "127.0.0.1:0", .limits = { 64 << 10, 32 << 20 }, .max_connections = 16384, \
	  .head_timeout_ns = 10 * JT_NS_PER_S, .body_timeout_ns = 30 * JT_NS_PER_S, \
	  .idle_timeout_ns = 60 * JT_NS_PER_S, .write_timeout_ns = 60 * JT_NS_PER_S, \
	  .high_water = 256 << 10, .low_water = 64 << 10 }
/* clang-format on */

struct jt_server_handler {
	/*
	 * The head is in. To take the body piece by piece call jt__exchange_stream_body() here;
	 * otherwise it is gathered up to limits.max_body (413 beyond) and request() called when
	 * it is complete. Optional.
	 */
	void (*head)(void *user, struct jt_exchange *ex);
	/*
	 * The request is complete, body gathered (streamed: called after its last piece). Not
	 * called if the answer was ended before; what is left of the request is then not read
	 * and the connection closed.
	 */
	void (*request)(void *user, struct jt_exchange *ex);
	/* A piece of a streamed body. Optional unless bodies are streamed. */
	void (*body)(void *user, struct jt_exchange *ex, const char *bytes, size_t n);
	/* Output has fallen to low_water after having been full. Optional. */
	void (*writable)(void *user, struct jt_exchange *ex);
	/*
	 * The exchange is over: @complete says whether the whole answer was handed to the
	 * kernel. Called exactly once for each exchange the handler has seen, never from within
	 * a jt__exchange_ call; @ex is gone afterwards. The client's going away while an answer
	 * is awaited or streamed is noticed at once (EPOLLRDHUP) and comes here with complete =
	 * false.
	 */
	void (*over)(void *user, struct jt_exchange *ex, bool complete);
};

/* @h and what @o points to stay the caller's; @h must outlive the server. */
int jt__server_new(struct jt_loop *l, const struct jt_server_options *o,
                   const struct jt_server_handler *h, void *user, struct jt_server **ret_server,
                   struct jt_error *err);
/* Closes everything at once (over() with complete = false for open exchanges). Accepts NULL. */
void jt__server_free(struct jt_server *s);
/* "127.0.0.1:43210": what it listens on, with the port the kernel chose. */
const char *jt__server_address(const struct jt_server *s);
/* Stops listening, closes idle connections, lets exchanges end; @done when none is left. */
void jt__server_drain(struct jt_server *s, void (*done)(void *user), void *user);
uint32_t jt__server_n_connections(const struct jt_server *s);

const struct jt_head *jt__exchange_head(const struct jt_exchange *ex); /* valid until over() */
const struct jt_buf *jt__exchange_body(const struct jt_exchange *ex);  /* the gathered body */
/* From request() on: gives the memory of headers, target and body back before over(). An answer may
 * take long, and most requests have been read by then. */
void jt__exchange_drop_request(struct jt_exchange *ex);
void jt__exchange_stream_body(struct jt_exchange *ex);
/* Streamed: stop reading the client; what was read already still comes. */
void jt__exchange_pause_body(struct jt_exchange *ex, bool pause);
uint64_t jt__exchange_begin_ns(const struct jt_exchange *ex); /* loop time of the head */
void jt__exchange_set_user(struct jt_exchange *ex, void *p);
void *jt__exchange_user(const struct jt_exchange *ex);

/*
 * The answer. Framing is chosen from @content_length: JT_NONE means chunked (or
 * read-until-close for HTTP/1.0), one chunk per write. Date, Connection,
 * Content-Length and Transfer-Encoding are written here; the caller's @headers must not contain
 * them. An answer to HEAD takes the same calls and sends no body. Without effect after
 * jt__exchange_end() or jt__exchange_abort().
 */
void jt__exchange_start(struct jt_exchange *ex, uint32_t status, const struct jt_header *headers,
                        size_t n_headers, uint64_t content_length);
/* Sent at the latest at the end of the turn. */
void jt__exchange_write(struct jt_exchange *ex, const void *bytes, size_t n);
/* With less than content_length written, the same as jt__exchange_abort(). */
void jt__exchange_end(struct jt_exchange *ex);
/*
 * Cuts the connection at the end of the turn, after trying to send what was written:
 * the way to tell a client that a started answer is not complete.
 */
void jt__exchange_abort(struct jt_exchange *ex);
bool jt__exchange_started(const struct jt_exchange *ex);
/* At or above high_water: stop producing until writable(). */
bool jt__exchange_full(const struct jt_exchange *ex);
/* Goes with whatever answer @ex gets, ours to a bad body included; its texts live until over(). */
void jt__exchange_tag(struct jt_exchange *ex, const struct jt_header *tag);
/* start + write + end with a Content-Length. */
void jt__exchange_reply(struct jt_exchange *ex, uint32_t status, const char *content_type,
                        const void *body, size_t n);
/* {"error":{"message":…,"type":…,"code":status}} as OpenAI clients expect it. */
void jt__exchange_reply_error(struct jt_exchange *ex, uint32_t status, const char *type,
                              const char *fmt, ...) JT_PRINTF(4, 5);

#endif
