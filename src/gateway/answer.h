/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ANSWER_H
#define JT_ANSWER_H
/*
 * Reads the answer of an engine as it passes and keeps what the meter wants to
 * know of it: when the first token came, how many events carried content, what
 * the engine says it used. The form (api.h) says where that stands. Streams of
 * events or lines and plain JSON bodies; pieces of any size; nothing is held
 * or allocated. Pure; belongs to one thread.
 *
 * First token: the first choice with anything non-empty at a place of content.
 * Roles, empty texts, nulls, prompt_progress, comments and pings are not
 * tokens. A form without choices is read as one choice, whose pieces are the events.
 *
 * Several reports. Engines report usage and timings once (OpenAI, vLLM), at
 * both ends (Anthropic), for each choice as it finishes (llama.cpp with n > 1),
 * or running totals with every chunk (vLLM's continuous_usage_stats,
 * llama.cpp's timings_per_token). One rule covers them: a report closes the
 * choices that have finished since the report before.
 *   - In an event whose choices are all unfinished it is a running total: it
 *     replaces what is known, until a closing report came.
 *   - Otherwise, if choices have finished since the last closing report, it is
 *     for those and is added to what was closed before: counts are summed,
 *     while of prompt and durations the largest and of cached tokens the
 *     smallest stays, because the choices share one prompt and run side by side.
 *   - Otherwise it restates the whole and replaces it.
 */
#include "gateway/api.h"
#include "gateway/sse.h"
#include "jouletap/record.h"

enum { JT_ANSWER_CHOICES = 128 };

/* How it is framed. */
enum jt_answer_kind {
	JT_ANSWER_PLAIN,  /* one JSON document */
	JT_ANSWER_STREAM, /* server-sent events */
	JT_ANSWER_LINES,  /* a JSON document a line; each is an event */
};

/* What the engine reports; JT_NONE where it does not tell. */
struct jt_report {
	/* usage */
	uint64_t prompt_tokens; /* cached ones included */
	uint64_t completion_tokens;
	uint64_t cached_tokens;
	uint64_t reasoning_tokens;
	uint64_t fresh_tokens;   /* Anthropic's input_tokens, of which prompt_tokens follow … */
	uint64_t written_tokens; /* … with its cache_creation_input_tokens and the cached ones */
	/* llama.cpp's timings, vLLM's metrics and Ollama's durations */
	uint64_t computed_tokens; /* of the prompt, not cached (prompt_n) */
	uint64_t reused_tokens;   /* of the prompt, cached (cache_n) */
	uint64_t decoded_tokens;  /* predicted_n */
	uint64_t queue_ns;        /* queue_ms; queue_time_ms; what is left of total_duration */
	uint64_t prefill_ns;      /* prompt_ms; prompt_eval_duration; time_to_first_token_ms (since
	                             it was scheduled) */
	uint64_t decode_ns;       /* predicted_ms; eval_duration; generation_time_ms (first token to
	                             last) */
	uint64_t load_ns;         /* load_duration: the model, before anything else */
	uint64_t total_ns;        /* total_duration */
};

/* News since the caller last cleared it. */
enum {
	JT_NEWS_FIRST_TOKEN = 1 << 0,
	JT_NEWS_TOKEN = 1 << 1,  /* n_content has grown */
	JT_NEWS_REPORT = 1 << 2, /* report has changed */
	JT_NEWS_FINISH = 1 << 3, /* n_finished has grown */
	JT_NEWS_ERROR = 1 << 4,
	JT_NEWS_DONE = 1 << 5,
};

/* What jt__answer_next() stopped at; the bytes before *bytes have been read. */
enum jt_answer_mark {
	JT_ANSWER_MORE,   /* the input is used up */
	JT_ANSWER_CHOICE, /* a choice has begun: this event is not a usage chunk */
	JT_ANSWER_TOKEN,  /* a choice with content has ended (choice says which) */
	JT_ANSWER_USAGE,  /* the last byte read is the brace that closes the object into which
	                     joules belong: usage, or the document that ends the answer */
	JT_ANSWER_LINE,   /* a line of an event has ended (sse.field) */
	JT_ANSWER_EVENT,  /* an event, or the plain body, is complete; it is still described */
	JT_ANSWER_BAD,    /* this event is not JSON; it is not read further */
};

struct jt_answer {
	/* Results. */
	unsigned news;          /* JT_NEWS_*; the caller clears it */
	uint64_t offset;        /* bytes read */
	uint64_t first_offset;  /* behind the choice that carried the first token; JT_NONE before */
	uint64_t last_offset;   /* … the latest one */
	uint64_t n_content;     /* choices with content, summed over all events */
	uint32_t n_choices;     /* distinct indexes seen, up to JT_ANSWER_CHOICES */
	uint32_t n_finished;    /* of these, with a finish_reason */
	char finish_reason[24]; /* the latest */
	struct jt_report report;
	uint32_t n_closing;   /* closing reports */
	uint32_t n_errors;    /* error objects and error events */
	uint32_t n_malformed; /* events, or bodies, that are not JSON */
	bool done;            /* [DONE] was seen, the plain body is complete, or the one choice of a
	                         form without choices has ended */

	/* The event at hand. */
	struct {
		bool has_choices; /* as an array */
		bool has_usage;   /* as an object, complete */
		bool has_report;  /* usage, timings, metrics, or a figure of them */
		bool failed;      /* it is an error */
		bool broken;
		uint32_t n_choices;
		uint32_t n_finishing;
		struct jt_report report;
	} event;
	/* The choice at hand. */
	struct {
		uint64_t index;
		bool content;
		bool finish;
		char finish_reason[24];
	} choice;

	const struct jt_form *form;
	enum jt_answer_kind kind;
	bool event_over;     /* the next byte begins another event */
	uint8_t payload;     /* what the event's data is */
	uint8_t n_done_word; /* bytes of "[DONE]" seen */
	uint32_t n_fresh;    /* choices finished since the last closing report */
	uint64_t seen[JT_ANSWER_CHOICES / 64];
	uint64_t finished[JT_ANSWER_CHOICES / 64];
	size_t n_value; /* bytes of the input that are known to be data */
	struct jt_sse sse;
	struct jt_scan scan;
};

void jt__answer_init(struct jt_answer *a, const struct jt_form *form, enum jt_answer_kind kind);

/* Reads on from *@bytes, which then points behind the last byte read, to the next mark. The caller
 * comes back with the same input until JT_ANSWER_MORE. */
enum jt_answer_mark jt__answer_next(struct jt_answer *a, const char **bytes, const char *end);

/* The event at hand is what include_usage adds to a stream: usage, and an empty list of choices. */
bool jt__answer_is_usage_chunk(const struct jt_answer *a);

/*
 * Tokens generated so far, over all choices. The engine's count once every
 * choice has finished; before (an aborted stream) the larger of its running
 * count and ours, both being lower bounds: an event carries a token or more.
 * @ret_reported says which; may be NULL.
 */
uint64_t jt__answer_completion_tokens(const struct jt_answer *a, bool *ret_reported);

#endif
