/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DEMO_OPENAI_H
#define JT_DEMO_OPENAI_H
/* The texts of the demo engine: requests in, answers out, as the OpenAI API has them. Pure. */
#include "base/buf.h"

/* The most tokens that an answer may have, which bounds what a client can make us buffer. */
#define JT_DEMO_MAX_TOKENS 8192

struct jt_demo_ask {
	bool chat; /* else a legacy completion */
	bool stream;
	bool include_usage;
	uint32_t prompt_tokens; /* an estimate: see openai.c */
	uint32_t max_tokens;
	uint64_t seed; /* of the text: equal requests get equal answers */
};

/* JT_EINVAL says what is wrong; JT_ENOENT: another model than @model is asked for. */
int jt__demo_ask_parse(const char *body, size_t n, bool chat, const char *model,
                       struct jt_demo_ask *ret_ask, struct jt_error *err);

/* The @i th token of an answer, a word with a space before it. */
void jt__demo_word(uint64_t seed, uint32_t i, char out[16]);

struct jt_demo_answer {
	const struct jt_demo_ask *ask;
	const char *model;
	uint64_t id;
	uint64_t created_unix_s;
};

/* One event with a piece of text, the first of a chat with the role in front. */
void jt__demo_event_text(struct jt_buf *b, const struct jt_demo_answer *a, const char *text,
                         bool first);
/* The events after the last token: finish reason, usage if asked for, [DONE]. */
void jt__demo_event_end(struct jt_buf *b, const struct jt_demo_answer *a, uint32_t n_tokens);
/* The body of an answer that is not streamed. */
void jt__demo_body(struct jt_buf *b, const struct jt_demo_answer *a, const char *text, size_t n,
                   uint32_t n_tokens);
void jt__demo_models(struct jt_buf *b, const char *model);

#endif
