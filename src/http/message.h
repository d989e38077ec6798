/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_MESSAGE_H
#define JT_MESSAGE_H
/*
 * HTTP/1.1 heads: parsed by llhttp in strict mode, held as text, rebuilt when
 * forwarded and never relayed raw. Pure.
 */
#include "base/buf.h"
#include "jouletap/record.h"

struct jt_http_limits {
	size_t max_head; /* bytes of start line and headers; 64 KiB */
	size_t max_body; /* bytes of a buffered body */
};
#define JT_HTTP_MAX_HEADERS 256

struct jt_header {
	const char *name; /* NUL-terminated, like the value */
	size_t name_len;
	const char *value; /* without surrounding white space */
	size_t value_len;
};

/*
 * A parsed head. Text points into the message's own buffer, valid until
 * jt__parser_reset() or the first byte of the next message.
 */
struct jt_head {
	bool is_request;
	const char *method;     /* "POST"; NUL-terminated */
	const char *target;     /* "/path?query" or "*", never an absolute URL; NUL-terminated */
	uint32_t status;        /* of a response */
	uint32_t minor_version; /* 1 for HTTP/1.1 */
	bool keep_alive;
	bool chunked;
	bool has_body;
	bool has_connection;     /* a header of this name */
	uint64_t content_length; /* JT_NONE if absent */
	const struct jt_header *headers;
	size_t n_headers;
};

/* The first header called @name (any case), or NULL. */
const struct jt_header *jt__head_find(const struct jt_head *h, const char *name);
/* Whether header @name has exactly this value, any case. */
bool jt__head_is(const struct jt_head *h, const char *name, const char *value);
/*
 * Hop-by-hop: Connection, what it names, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding,
 * Upgrade.
 */
bool jt__head_is_hop_by_hop(const struct jt_head *h, const struct jt_header *header);
/* How to refuse a request: a status, and a sentence that lives as long as the program. */
struct jt_refusal {
	uint32_t status;
	const char *why;
};

/*
 * Fills the framing fields (keep_alive … content_length) from the headers and,
 * for a request, brings the target to its origin form. Refuses what two readers could
 * understand differently: JT_EINVAL or JT_ENOTSUP with *ret_refusal. @no_body: answers HEAD.
 */
int jt__head_check(struct jt_head *h, bool no_body, struct jt_refusal *ret_refusal);
/* No control characters, tabs included. */
bool jt__is_plain_text(const char *bytes, size_t n);
/* "Not Found"; "" for a status without a phrase of its own. */
const char *jt__http_reason(uint32_t status);

struct jt_parser; /* opaque: one direction of one connection, over llhttp */

struct jt_parser_events {
	/* Each returns 0 to go on or 1 to pause after it: jt__parser_feed() returns early. */
	int (*head)(void *user, const struct jt_head *head);
	int (*body)(void *user, const char *bytes, size_t n); /* de-chunked, as it arrives */
	int (*end)(void *user);                               /* message complete */
};

/* Answers 1xx are skipped, trailers dropped. @events stays the caller's. NULL: no memory. */
struct jt_parser *jt__parser_new(bool requests, size_t max_head,
                                 const struct jt_parser_events *events, void *user);
void jt__parser_free(struct jt_parser *p); /* accepts NULL */
/* Next response answers a HEAD request: it has no body whatever its head says. */
void jt__parser_expect_no_body(struct jt_parser *p);
/*
 * Parses @n bytes; *ret_used is how many were taken (fewer only when paused or
 * failed). After a pause call it again, if need be with no bytes. JT_EINVAL:
 * not HTTP, or ambiguous (CL + TE, repeated Content-Length, obs-fold, bare LF or
 * CR, bad chunk …): close. JT_ELIMIT: the head, or what surrounds chunks, is
 * above its limit. JT_ENOTSUP: a version, method or coding that we do not speak.
 * @err says which rule.
 */
int jt__parser_feed(struct jt_parser *p, const char *bytes, size_t n, size_t *ret_used,
                    struct jt_error *err);
/* After a failure: the status to refuse the request with (400, 431, 501, 505). */
uint32_t jt__parser_refusal(const struct jt_parser *p);
/* The peer closed: JT_OK if that is a proper end here (fires end for a read-until-close body). */
int jt__parser_eof(struct jt_parser *p);
/* Something of a message was seen, not its end. */
bool jt__parser_in_message(const struct jt_parser *p);
/* Gives the memory of the last head's target and headers back; the rest of it stays. */
void jt__parser_drop_texts(struct jt_parser *p);
/* For a new connection, or between messages: also gives the last head's memory back. */
void jt__parser_reset(struct jt_parser *p);

#endif
