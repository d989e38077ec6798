/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLIENT_H
#define JT_CLIENT_H
/*
 * The calling side of HTTP/1.1 on one loop: a keep-alive pool for one origin,
 * and calls (a request and its answer). Loop's own thread only.
 */
#include "http/loop.h"
#include "http/message.h"

struct jt_pool; /* opaque */
struct jt_call; /* opaque */

struct jt_pool_options {
	const char *host; /* name or address; resolved at jt__pool_new() */
	const char *port;
	size_t max_head;          /* of an answer */
	uint32_t max_idle;        /* idle connections kept */
	uint64_t idle_timeout_ns; /* below the 5 s after which engines close theirs */
	uint64_t connect_timeout_ns;
	uint64_t first_byte_timeout_ns; /* request sent to the answer's head; prefill and queue */
	uint64_t silence_timeout_ns;    /* between two reads of the answer */
};
/* clang-format off */
#define JT_POOL_OPTIONS_INIT \
	{ .max_head = 64 << 10, .max_idle = 64, .idle_timeout_ns = 4 * JT_NS_PER_S, \
	  .connect_timeout_ns = 5 * JT_NS_PER_S, .first_byte_timeout_ns = 600 * JT_NS_PER_S, \
	  .silence_timeout_ns = 120 * JT_NS_PER_S }
/* clang-format on */

struct jt_call_handler {
	/* The texts of @head are gone afterwards. */
	void (*head)(void *user, struct jt_call *c, const struct jt_head *head);
	/* De-chunked, as read. */
	void (*body)(void *user, struct jt_call *c, const char *bytes, size_t n);
	/* One read of the socket has been delivered: a good moment to flush. Optional. */
	void (*turn)(void *user, struct jt_call *c);
	/* Output to the upstream has drained below 64 KiB after jt__call_full(). Optional. */
	void (*writable)(void *user, struct jt_call *c);
	/*
	 * The call is over and @c is gone afterwards. JT_OK: complete answer. JT_EIO: refused,
	 * reset or cut short; JT_ETIME; JT_EINVAL: not HTTP; JT_ENOMEM. @err says what (NULL
	 * with JT_OK). Never from within a jt__call_ function; not after jt__call_cancel().
	 */
	void (*over)(void *user, struct jt_call *c, int status, const struct jt_error *err);
};

/* What @o points to is copied. JT_ENOENT: the host's name does not resolve. */
int jt__pool_new(struct jt_loop *l, const struct jt_pool_options *o, struct jt_pool **ret_pool,
                 struct jt_error *err);
void jt__pool_free(struct jt_pool *p); /* cancels open calls; accepts NULL */

/*
 * Sends @request (a whole head and as much of the body as there is) at the end of this turn; its
 * memory is taken over, it is empty then. @replayable: nothing else will be sent, and if a pooled
 * connection turns out dead with no byte of an answer, the call is made again on a fresh one.
 * Otherwise more may follow by jt__call_send(), and the connection is not used again, since nobody
 * knows whether the request was finished. @head_only: it is a HEAD request. NULL: out of memory.
 */
struct jt_call *jt__call_start(struct jt_pool *p, struct jt_buf *request, bool replayable,
                               bool head_only, const struct jt_call_handler *h, void *user);
/* More of the body, framed by the caller. */
void jt__call_send(struct jt_call *c, const void *bytes, size_t n);
bool jt__call_full(const struct jt_call *c); /* 256 KiB or more wait to be sent */
/* Stop reading the answer: backpressure. What was read already still comes. */
void jt__call_pause(struct jt_call *c, bool pause);
/* Closes its connection now; no handler is called any more; @c is gone. */
void jt__call_cancel(struct jt_call *c);

#endif
