/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_GATEWAY_ASK_H
#define JT_GATEWAY_ASK_H
/*
 * Reads the body of a request for inference and says what to change so that
 * the engine reports usage at the end of a stream, where the API wants to be
 * asked for that. All other bytes stay as the client wrote them. The keys of
 * all APIs are read alike: none means two things. Where a key occurs twice the
 * last one counts, as in the JSON readers of the engines.
 * Pure; no thread rule.
 */
#include "gateway/api.h"

enum jt_option {
	JT_OPTION_ABSENT,
	JT_OPTION_NULL,
	JT_OPTION_FALSE,
	JT_OPTION_TRUE,
	JT_OPTION_OTHER
};

/* Replace @remove bytes at @offset by @text. */
struct jt_edit {
	size_t offset;
	size_t remove;
	const char *text; /* static; NULL: nothing to change */
};

struct jt_ask {
	bool valid; /* a complete JSON object; else nothing below is to be relied on */
	char model[JT_SCAN_TEXT + 1]; /* unescaped, cut between characters; "" when absent */
	bool stream;
	enum jt_option include_usage; /* of stream_options */
	uint64_t n;                   /* choices; JT_NONE when absent */
	uint64_t max_tokens;          /* under any of its names; JT_NONE when absent */
	/* Bytes of all strings in what becomes the prompt, as written (escapes and all); images,
	 * sound and files excepted. A measure for estimates, not a token count. */
	uint64_t prompt_bytes;
	/* Sets stream_options.include_usage. None when it is set, when nothing is streamed, and
	 * when the value there is of a wrong type, which is the engine's to refuse. */
	struct jt_edit edit;
};

/* Of the prompt, and as many answers as are asked for. Estimates: the engine counts. */
uint32_t jt__ask_prompt_tokens(const struct jt_ask *ask);
uint32_t jt__ask_choices(const struct jt_ask *ask);

void jt__ask_read(struct jt_ask *ask, const struct jt_api *api, const char *body, size_t n);

#endif
