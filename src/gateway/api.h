/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_API_H
#define JT_API_H
/*
 * The APIs that engines speak: at which paths, and where in the answers stands
 * what the meter wants to know. A new API is a row of the table in api.c, and
 * a form if its answers look like nobody else's. Constant; any thread.
 */
#include "gateway/scan.h"

/* The places of an answer that say something; what struct jt_path calls their ids. */
enum jt_place {
	JT_PLACE_DOCUMENT = 1,
	JT_PLACE_INSIDE, /* says nothing itself */
	JT_PLACE_CHOICES,
	JT_PLACE_CHOICE,
	JT_PLACE_INDEX,
	JT_PLACE_CONTENT, /* not empty: a token */
	JT_PLACE_FINISH,  /* a string: why it ended */
	JT_PLACE_STATUS,  /* a string: that it ended, unless it is queued or in progress */
	JT_PLACE_OVER,    /* true: that it ended */
	JT_PLACE_TYPE,    /* "error", or nothing to us */
	JT_PLACE_FAILURE, /* not null: an error */
	JT_PLACE_USAGE,   /* counts, at the end of the answer */
	JT_PLACE_TIMINGS,
	/* numbers of a report; those of struct jt_report in its order */
	JT_PLACE_PROMPT_TOKENS,
	JT_PLACE_COMPLETION_TOKENS,
	JT_PLACE_CACHED_TOKENS,
	JT_PLACE_REASONING_TOKENS,
	JT_PLACE_FRESH_TOKENS,
	JT_PLACE_WRITTEN_TOKENS,
	JT_PLACE_COMPUTED_TOKENS,
	JT_PLACE_REUSED_TOKENS,
	JT_PLACE_DECODED_TOKENS,
	JT_PLACE_QUEUE_MS,
	JT_PLACE_PREFILL_MS,
	JT_PLACE_DECODE_MS,
	JT_PLACE_LOAD_NS,
	JT_PLACE_TOTAL_NS,
	/* … and in another unit */
	JT_PLACE_PREFILL_NS,
	JT_PLACE_DECODE_NS,
};

/* How an answer is read, and each event of a stream. */
struct jt_form {
	struct jt_path root;
	bool has_choices;   /* else the answer is the one choice, each event a piece of it */
	bool energy_on_top; /* joules go into the document that ends the answer, not its usage */
};

struct jt_api {
	const char *path;
	const struct jt_form *form; /* NULL: its answers are not read */
	bool prefill_only;          /* nothing is generated */
	bool streams;               /* unless the request says "stream": false */
	bool asks_usage; /* a stream tells its usage if stream_options.include_usage is true */
};

/* POST to @path. NULL: no inference. */
const struct jt_api *jt__api_find(const char *path);
/* Something that generates and is not in the table. */
extern const struct jt_api jt__api_unread;

#endif
