/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/answer.h"

/* The places of an answer that say something. */
enum id {
	DOCUMENT = 1,
	CHOICES,
	CHOICE,
	INDEX,
	DELTA,
	CONTENT,
	FINISH,
	FAILURE,
	USAGE,
	TIMINGS,
	DETAILS,
	/* Numbers of a report, in the order of figures[]. */
	PROMPT_TOKENS,
	COMPLETION_TOKENS,
	CACHED_TOKENS,
	REASONING_TOKENS,
	COMPUTED_TOKENS,
	REUSED_TOKENS,
	DECODED_TOKENS,
	QUEUE_MS,
	PREFILL_MS,
	DECODE_MS,
};

/* clang-format off */
#define CONTENT_KEYS                                                                   \
	{ "content", CONTENT }, { "reasoning_content", CONTENT }, { "reasoning", CONTENT }, \
	{ "tool_calls", CONTENT }, { "text", CONTENT }, { "refusal", CONTENT }
static const struct jt_path message[] = { CONTENT_KEYS, { 0 } };
static const struct jt_path choice[] = {
	{ "index", INDEX }, { "delta", DELTA, message }, { "finish_reason", FINISH },
	{ "message", DELTA, message }, CONTENT_KEYS, { 0 },
};
static const struct jt_path choices[] = { { NULL, CHOICE, choice }, { 0 } };
static const struct jt_path prompt_details[] = { { "cached_tokens", CACHED_TOKENS }, { 0 } };
static const struct jt_path completion_details[] = { { "reasoning_tokens", REASONING_TOKENS }, { 0 } };
static const struct jt_path usage[] = {
	{ "prompt_tokens", PROMPT_TOKENS }, { "completion_tokens", COMPLETION_TOKENS },
	{ "prompt_tokens_details", DETAILS, prompt_details },
	{ "completion_tokens_details", DETAILS, completion_details }, { 0 },
};
static const struct jt_path timings[] = { /* llama.cpp; queue_ms is the demo engine's own */
	{ "prompt_n", COMPUTED_TOKENS }, { "cache_n", REUSED_TOKENS }, { "predicted_n", DECODED_TOKENS },
	{ "queue_ms", QUEUE_MS }, { "prompt_ms", PREFILL_MS }, { "predicted_ms", DECODE_MS }, { 0 },
};
static const struct jt_path metrics[] = { /* vLLM --enable-per-request-metrics */
	{ "queue_time_ms", QUEUE_MS }, { "time_to_first_token_ms", PREFILL_MS },
	{ "generation_time_ms", DECODE_MS }, { 0 },
};
static const struct jt_path document[] = {
	{ "choices", CHOICES, choices }, { "usage", USAGE, usage }, { "timings", TIMINGS, timings },
	{ "metrics", TIMINGS, metrics }, { "error", FAILURE }, { 0 },
};
static const struct jt_path root = { NULL, DOCUMENT, document };

/* How the figures of a report are read, and joined when choices report one by one. */
static const struct figure {
	size_t at;
	double scale;
	enum { SUM, LARGEST, SMALLEST } join;
} figures[] = {
	{ offsetof(struct jt_report, prompt_tokens),     1,   LARGEST },
	{ offsetof(struct jt_report, completion_tokens), 1,   SUM },
	{ offsetof(struct jt_report, cached_tokens),     1,   SMALLEST },
	{ offsetof(struct jt_report, reasoning_tokens),  1,   SUM },
	{ offsetof(struct jt_report, computed_tokens),   1,   SUM },
	{ offsetof(struct jt_report, reused_tokens),     1,   SUM },
	{ offsetof(struct jt_report, decoded_tokens),    1,   SUM },
	{ offsetof(struct jt_report, queue_ns),          1e6, LARGEST },
	{ offsetof(struct jt_report, prefill_ns),        1e6, LARGEST },
	{ offsetof(struct jt_report, decode_ns),         1e6, LARGEST },
};
/* clang-format on */

/* What the data of an event is. */
enum payload { UNKNOWN, JSON, DONE_WORD };

static const char done_word[] = "[DONE]";

static uint64_t *figure_of(struct jt_report *r, const struct figure *f)
{
	return (uint64_t *)((char *)r + f->at);
}

static void report_clear(struct jt_report *r)
{
	memset(r, 0xff, sizeof(*r)); /* JT_NONE throughout */
}

static void begin_event(struct jt_answer *a)
{
	memset(&a->event, 0, sizeof(a->event));
	report_clear(&a->event.report);
	jt__scan_init(&a->scan, &root);
	a->payload = a->kind == JT_ANSWER_PLAIN ? JSON : UNKNOWN;
	a->n_done_word = 0;
}

void jt__answer_init(struct jt_answer *a, enum jt_answer_kind kind)
{
	memset(a, 0, sizeof(*a));
	a->kind = kind;
	a->first_offset = a->last_offset = JT_NONE;
	report_clear(&a->report);
	jt__sse_init(&a->sse);
	begin_event(a);
}

static uint64_t join(const struct figure *f, uint64_t a, uint64_t b)
{
	switch (f->join) {
	case SUM:
		return a + b;
	case LARGEST:
		return JT_MAX(a, b);
	default:
		return JT_MIN(a, b);
	}
}

/* The rule of the header: the event's report joins what is known. */
static void take_report(struct jt_answer *a)
{
	bool running = a->event.n_choices && !a->event.n_finishing;
	bool add = a->n_fresh && a->n_closing;

	if (!a->event.has_report || (running && a->n_closing))
		return;
	for (size_t i = 0; i < JT_ARRAY_LEN(figures); i++) {
		uint64_t *known = figure_of(&a->report, &figures[i]);
		uint64_t told = *figure_of(&a->event.report, &figures[i]);

		if (told != JT_NONE)
			*known = add && *known != JT_NONE ? join(&figures[i], *known, told) : told;
	}
	if (a->n_fresh && !running) {
		a->n_closing++;
		a->n_fresh = 0;
	}
	a->news |= JT_NEWS_REPORT;
}

static bool set_bit(uint64_t *bits, uint64_t i)
{
	uint64_t bit = UINT64_C(1) << (i % 64);
	bool was_set = bits[i / 64] & bit;

	bits[i / 64] |= bit;
	return !was_set;
}

static void finish_choice(struct jt_answer *a)
{
	a->event.n_finishing++;
	memcpy(a->finish_reason, a->choice.finish_reason, sizeof(a->finish_reason));
	if (a->choice.index < JT_ANSWER_CHOICES && set_bit(a->finished, a->choice.index)) {
		a->n_finished++;
		a->n_fresh++;
		a->news |= JT_NEWS_FINISH;
	}
}

/* @read: bytes of the input read so far, which a->offset does not count yet. */
static enum jt_answer_mark end_choice(struct jt_answer *a, size_t read)
{
	uint64_t i = a->choice.index;

	if (i < JT_ANSWER_CHOICES)
		a->n_choices += set_bit(a->seen, i);
	if (a->choice.finish)
		finish_choice(a);
	if (!a->choice.content)
		return JT_ANSWER_MORE;
	if (i < JT_ANSWER_CHOICES)
		a->content[i]++;
	a->last_offset = a->offset + read;
	if (!a->n_content++) {
		a->first_offset = a->last_offset;
		a->news |= JT_NEWS_FIRST_TOKEN;
	}
	a->news |= JT_NEWS_TOKEN;
	return JT_ANSWER_TOKEN;
}

static enum jt_answer_mark value_begins(struct jt_answer *a)
{
	switch (a->scan.id) {
	case CHOICES:
		a->event.has_choices = a->scan.type == JT_SCAN_ARRAY;
		break;
	case CHOICE:
		memset(&a->choice, 0, sizeof(a->choice));
		a->event.n_choices++;
		return JT_ANSWER_CHOICE;
	case USAGE:
		a->event.has_usage = false;
		break;
	}
	return JT_ANSWER_MORE;
}

static void set_finish(struct jt_answer *a)
{
	a->choice.finish = a->scan.type == JT_SCAN_STRING && !a->scan.empty;
	if (a->choice.finish)
		jt__copy_text(a->choice.finish_reason, sizeof(a->choice.finish_reason),
		              a->scan.text, a->scan.n_text);
}

static void add_error(struct jt_answer *a)
{
	a->n_errors++;
	a->news |= JT_NEWS_ERROR;
}

static enum jt_answer_mark end_document(struct jt_answer *a)
{
	take_report(a);
	if (a->kind == JT_ANSWER_STREAM)
		return JT_ANSWER_MORE;
	a->done = true;
	a->news |= JT_NEWS_DONE;
	return JT_ANSWER_EVENT;
}

static enum jt_answer_mark value_ends(struct jt_answer *a, size_t read)
{
	const struct jt_scan *s = &a->scan;
	bool object = s->type == JT_SCAN_OBJECT;

	switch (s->id) {
	case DOCUMENT:
		return end_document(a);
	case CHOICE:
		return end_choice(a, read);
	case INDEX:
		a->choice.index = jt__scan_u64(s, 1);
		break;
	case CONTENT:
		a->choice.content |= s->type <= JT_SCAN_STRING && !s->empty;
		break;
	case FINISH:
		set_finish(a);
		break;
	case FAILURE:
		if (s->type != JT_SCAN_NULL)
			add_error(a);
		break;
	case USAGE:
		a->event.has_usage = object;
		a->event.has_report |= object;
		return object ? JT_ANSWER_USAGE : JT_ANSWER_MORE;
	case TIMINGS:
		a->event.has_report |= object;
		break;
	default:
		if (s->id >= PROMPT_TOKENS) {
			const struct figure *f = &figures[s->id - PROMPT_TOKENS];

			*figure_of(&a->event.report, f) = jt__scan_u64(s, f->scale);
		}
	}
	return JT_ANSWER_MORE;
}

static enum jt_answer_mark break_event(struct jt_answer *a)
{
	a->event.broken = true;
	a->n_malformed++;
	return JT_ANSWER_BAD;
}

static enum jt_answer_mark read_json(struct jt_answer *a, const char *start, const char **p,
                                     const char *end)
{
	enum jt_answer_mark mark = JT_ANSWER_MORE;

	while (*p < end && mark == JT_ANSWER_MORE) {
		switch (jt__scan_next(&a->scan, p, end)) {
		case JT_SCAN_MORE:
			break;
		case JT_SCAN_BEGIN:
			mark = value_begins(a);
			break;
		case JT_SCAN_END:
			mark = value_ends(a, (size_t)(*p - start));
			break;
		case JT_SCAN_BAD:
			mark = break_event(a);
			break;
		}
	}
	return mark;
}

/* "[DONE]" is not JSON; nothing else that begins with a bracket is an answer. */
static enum jt_answer_mark read_done_word(struct jt_answer *a, const char **p, const char *end)
{
	while (*p < end && !a->event.broken && a->n_done_word < sizeof(done_word) - 1) {
		if (**p != done_word[a->n_done_word])
			return break_event(a);
		a->n_done_word++;
		++*p;
	}
	*p = end;
	if (a->n_done_word == sizeof(done_word) - 1 && !a->done) {
		a->done = true;
		a->news |= JT_NEWS_DONE;
	}
	return JT_ANSWER_MORE;
}

/* Data, as far as the input is known to be data. */
static enum jt_answer_mark read_data(struct jt_answer *a, const char *start, const char **p)
{
	const char *begin = *p, *end = begin + a->n_value;
	enum jt_answer_mark mark;

	if (a->payload == UNKNOWN)
		a->payload = *begin == done_word[0] ? DONE_WORD : JSON;
	mark = a->payload == JSON ? read_json(a, start, p, end) : read_done_word(a, p, end);
	a->n_value -= (size_t)(*p - begin);
	return mark;
}

static enum jt_answer_mark line_ends(struct jt_answer *a)
{
	static const char newline[] = "\n"; /* what joins the data lines of one event */
	const char *p = newline;

	if (a->sse.field == JT_SSE_FIELD_ERROR ||
	    (a->sse.field == JT_SSE_FIELD_EVENT && a->sse.is_error))
		add_error(a);
	if (a->sse.field == JT_SSE_FIELD_DATA && a->payload == JSON)
		read_json(a, p, &p, newline + 1);
	return JT_ANSWER_LINE;
}

static enum jt_answer_mark read_line(struct jt_answer *a, const char **p, const char *end)
{
	switch (jt__sse_next(&a->sse, p, end, &a->n_value)) {
	case JT_SSE_LINE:
		return line_ends(a);
	case JT_SSE_EVENT:
		return JT_ANSWER_EVENT;
	default:
		return JT_ANSWER_MORE;
	}
}

enum jt_answer_mark jt__answer_next(struct jt_answer *a, const char **bytes, const char *end)
{
	enum jt_answer_mark mark = JT_ANSWER_MORE;
	const char *p = *bytes;

	while (p < end && mark == JT_ANSWER_MORE) {
		if (a->event_over)
			begin_event(a);
		a->event_over = false;
		if (a->kind == JT_ANSWER_PLAIN)
			a->n_value = (size_t)(end - p);
		mark = a->n_value ? read_data(a, *bytes, &p) : read_line(a, &p, end);
	}
	a->event_over |= mark == JT_ANSWER_EVENT && a->kind == JT_ANSWER_STREAM;
	a->offset += (uint64_t)(p - *bytes);
	*bytes = p;
	return mark;
}

bool jt__answer_is_usage_chunk(const struct jt_answer *a)
{
	return a->event.has_choices && !a->event.n_choices && a->event.has_usage &&
	       !a->event.broken && jt__scan_complete(&a->scan);
}

uint64_t jt__answer_completion_tokens(const struct jt_answer *a, bool *ret_reported)
{
	uint64_t told = a->report.completion_tokens;
	bool over = a->n_closing && a->n_finished == a->n_choices;
	bool reported = told != JT_NONE && (over || told >= a->n_content);

	if (ret_reported)
		*ret_reported = reported;
	return reported ? told : a->n_content;
}
