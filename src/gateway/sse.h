/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SSE_H
#define JT_SSE_H
/*
 * Reads server-sent events (WHATWG HTML, "Server-sent events") in pieces of
 * any size and holds no bytes: lines may end in \n, \r\n or \r and be of any
 * length. A line that ended in \r is reported when the next byte is there,
 * because that may be a \n that belongs to it.
 * Pure; belongs to one thread.
 */
#include "base/base.h"

enum jt_sse_event {
	JT_SSE_MORE,  /* the input is used up */
	JT_SSE_DATA,  /* the next *ret_n bytes belong to a data field: read them, then come back */
	JT_SSE_LINE,  /* a line has ended; field says what it was */
	JT_SSE_EVENT, /* a blank line: the event is complete */
};

enum jt_sse_field {
	JT_SSE_FIELD_OTHER,
	JT_SSE_FIELD_COMMENT,
	JT_SSE_FIELD_DATA,
	JT_SSE_FIELD_EVENT,
	JT_SSE_FIELD_ERROR, /* "error: …", an old llama.cpp's way to fail after the head was sent */
};

struct jt_sse {
	uint8_t field; /* of the line at hand, enum jt_sse_field */
	bool is_error; /* this event is called "error" */
	uint8_t state;
	uint8_t n_bom; /* bytes of a byte order mark seen */
	uint8_t n_word;
	char word[8]; /* beginning of the field's name, then of an event's */
};

void jt__sse_init(struct jt_sse *s);
enum jt_sse_event jt__sse_next(struct jt_sse *s, const char **bytes, const char *end,
                               size_t *ret_n);

#endif
