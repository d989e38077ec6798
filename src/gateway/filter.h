/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FILTER_H
#define JT_FILTER_H
/*
 * What of an engine's answer goes on to the client: every byte, as it came and
 * as soon as it came, but for one thing that the mode names.
 *
 *   PASS    nothing
 *   DROP    usage chunks (usage, and an empty list of choices) are left out,
 *           each with its blank line: for clients that did not ask for usage
 *   ENERGY  ,"energy":{…} is inserted before the brace that closes a usage
 *           object, or the document that ends the answer, as the form has it;
 *           not in running totals, beside choices that go on
 *
 * ENERGY holds nothing: it works at the brace, so that it does not matter what
 * of the event has been sent. DROP holds an event until it is known not to be a
 * usage chunk: to the first element of choices, or to its end. Comment lines at
 * the beginning of an event are not held. Inside one piece of input holding is
 * only waiting; bytes are copied when the piece ends first, at most @max_held:
 * a longer event, or one for which there is no memory, is let through.
 * A usage object that comes before its choices counts as one without choices.
 * Pure; belongs to one thread.
 */
#include "base/buf.h"
#include "gateway/answer.h"

enum jt_filter_mode { JT_FILTER_PASS, JT_FILTER_DROP, JT_FILTER_ENERGY };

enum jt_filter_step {
	JT_FILTER_MORE,   /* the input is used up */
	JT_FILTER_SEND,   /* send out, then come back */
	JT_FILTER_SPLICE, /* send out, then comma and the member to insert, then come back */
};

struct jt_slice {
	const char *bytes;
	size_t n;
};

struct jt_filter {
	struct jt_answer answer;
	struct jt_slice out[2]; /* to be sent in this order; valid until the next call */
	const char *comma;      /* SPLICE: "," or, for an empty usage object, "" */

	enum jt_filter_mode mode;
	bool decided;       /* the event at hand goes on */
	bool held_sent;     /* held was part of the last out */
	bool brace_owed;    /* of the usage object that was spliced into */
	bool in_event;      /* lines of this event are waiting */
	struct jt_buf held; /* of this event, from earlier pieces */
};

void jt__filter_init(struct jt_filter *f, enum jt_filter_mode mode, const struct jt_form *form,
                     enum jt_answer_kind kind, size_t max_held);
void jt__filter_fini(struct jt_filter *f);

/* Reads on from *@bytes, which then points behind the last byte read. The caller comes back with
 * the same input until JT_FILTER_MORE. */
enum jt_filter_step jt__filter_next(struct jt_filter *f, const char **bytes, const char *end);

/* The body has ended, blank line or not: what was still held is in out. */
void jt__filter_finish(struct jt_filter *f);

#endif
