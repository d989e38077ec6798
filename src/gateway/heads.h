/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_HEADS_H
#define JT_HEADS_H
/* Heads are rebuilt on their way through, never relayed raw. Pure. */
#include "http/message.h"

struct jt_request_head {
	const struct jt_head *from; /* the client's */
	const char *host;           /* of the upstream, as in a Host header */
	const char *prefix;         /* of its path */
	const char *request_id;
	bool identity;           /* the answer will be read: no content coding */
	uint64_t content_length; /* JT_NONE: none, or chunked if @chunked */
	size_t n_body;           /* of it, that the caller will append: there will be room */
	bool chunked;
};

/*
 * The head for the upstream: the client's without what is hop-by-hop, what is ours (x-jouletap-…),
 * and what is written anew (Host, Content-Length, x-request-id …). b->failed if it does not fit.
 */
void jt__heads_request(struct jt_buf *b, const struct jt_request_head *h);

/*
 * The headers for the client: the upstream's without hop-by-hop, framing and what is named as ours.
 * Returns how many were written to @out, at most @max.
 */
size_t jt__heads_response(const struct jt_head *from, struct jt_header *out, size_t max);

/* x-request-id as the client gave it if it is 1 to 63 plain characters, else a new one. */
void jt__heads_request_id(const struct jt_head *h, uint64_t unique, char ret_id[64]);

/*
 * Copies header @name into @out ("" if absent), letters, digits and -_.:/@ only, the rest as '_'.
 */
void jt__heads_label(const struct jt_head *h, const char *name, char *out, size_t size);

#endif
