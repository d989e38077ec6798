/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/answer.h"

/* How the figures of a report are read, by their places, and joined when choices report one by one.
 */
static const struct figure {
	size_t at;
	double scale;
	enum { SUM, LARGEST, SMALLEST } join;
} figures[] = {
/* clang-format off */
#define FIGURE(place, member, scale, join) \
	[JT_PLACE_##place - JT_PLACE_PROMPT_TOKENS] = { offsetof(struct jt_report, member), scale, join }
	FIGURE(PROMPT_TOKENS,     prompt_tokens,     1,   LARGEST),
	FIGURE(COMPLETION_TOKENS, completion_tokens, 1,   SUM),
	FIGURE(CACHED_TOKENS,     cached_tokens,     1,   SMALLEST),
	FIGURE(REASONING_TOKENS,  reasoning_tokens,  1,   SUM),
	FIGURE(FRESH_TOKENS,      fresh_tokens,      1,   LARGEST),
	FIGURE(WRITTEN_TOKENS,    written_tokens,    1,   LARGEST),
	FIGURE(COMPUTED_TOKENS,   computed_tokens,   1,   SUM),
	FIGURE(REUSED_TOKENS,     reused_tokens,     1,   SUM),
	FIGURE(DECODED_TOKENS,    decoded_tokens,    1,   SUM),
	FIGURE(QUEUE_MS,          queue_ns,          1e6, LARGEST),
	FIGURE(PREFILL_MS,        prefill_ns,        1e6, LARGEST),
	FIGURE(DECODE_MS,         decode_ns,         1e6, LARGEST),
	FIGURE(LOAD_NS,           load_ns,           1,   LARGEST),
	FIGURE(TOTAL_NS,          total_ns,          1,   LARGEST),
	FIGURE(PREFILL_NS,        prefill_ns,        1,   LARGEST),
	FIGURE(DECODE_NS,         decode_ns,         1,   LARGEST),
#undef FIGURE
	/* clang-format on */
};

/* Those that are members of their own; the others name one of these in another unit. */
enum { N_FIGURES = JT_PLACE_TOTAL_NS - JT_PLACE_PROMPT_TOKENS + 1 };
_Static_assert(N_FIGURES * sizeof(uint64_t) == sizeof(struct jt_report), "each member has its row");

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
	memset(&a->choice, 0, sizeof(a->choice));
	jt__scan_init(&a->scan, &a->form->root);
	a->payload = a->kind == JT_ANSWER_PLAIN ? JSON : UNKNOWN;
	a->n_done_word = 0;
}

void jt__answer_init(struct jt_answer *a, const struct jt_form *form, enum jt_answer_kind kind)
{
	memset(a, 0, sizeof(*a));
	a->form = form;
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

/* @whole less its @parts, none if one of them is not known. */
static uint64_t rest_of(uint64_t whole, const uint64_t *parts, size_t n)
{
	if (whole == JT_NONE)
		return JT_NONE;
	for (size_t i = 0; i < n; i++) {
		if (parts[i] == JT_NONE)
			return JT_NONE;
		whole -= JT_MIN(parts[i], whole);
	}
	return whole;
}

/* What follows from the figures of a report. Ollama's clock starts when it hears of the request:
 * what it spent neither on the model nor on the tokens, it waited for its turn. */
static void infer(struct jt_report *r)
{
	const uint64_t spent[] = { r->load_ns, r->prefill_ns, r->decode_ns };

	if (r->queue_ns == JT_NONE)
		r->queue_ns = rest_of(r->total_ns, spent, JT_ARRAY_LEN(spent));
	if (r->fresh_tokens != JT_NONE)
		r->prompt_tokens = r->fresh_tokens +
		                   (r->cached_tokens == JT_NONE ? 0 : r->cached_tokens) +
		                   (r->written_tokens == JT_NONE ? 0 : r->written_tokens);
}

/* The rule of the header: the event's report joins what is known. */
static void take_report(struct jt_answer *a)
{
	bool running = a->event.n_choices && !a->event.n_finishing;
	bool add = a->n_fresh && a->n_closing;

	if (!a->event.has_report || (running && a->n_closing))
		return;
	for (size_t i = 0; i < N_FIGURES; i++) {
		uint64_t *known = figure_of(&a->report, &figures[i]);
		uint64_t told = *figure_of(&a->event.report, &figures[i]);

		if (told != JT_NONE)
			*known = add && *known != JT_NONE ? join(&figures[i], *known, told) : told;
	}
	infer(&a->report);
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
	case JT_PLACE_CHOICES:
		a->event.has_choices = a->scan.type == JT_SCAN_ARRAY;
		break;
	case JT_PLACE_CHOICE:
		memset(&a->choice, 0, sizeof(a->choice));
		a->event.n_choices++;
		return JT_ANSWER_CHOICE;
	case JT_PLACE_USAGE:
		a->event.has_usage = false;
		break;
	}
	return JT_ANSWER_MORE;
}

static bool is_word(const struct jt_scan *s, const char *word)
{
	return s->type == JT_SCAN_STRING && strcmp(s->text, word) == 0;
}

static void set_finish(struct jt_answer *a)
{
	a->choice.finish |= a->scan.type == JT_SCAN_STRING && !a->scan.empty;
	if (a->choice.finish)
		jt__copy_text(a->choice.finish_reason, sizeof(a->choice.finish_reason),
		              a->scan.text, a->scan.n_text);
}

static void add_error(struct jt_answer *a)
{
	a->n_errors += !a->event.failed;
	a->event.failed = true;
	a->news |= JT_NEWS_ERROR;
}

static void set_status(struct jt_answer *a)
{
	if (is_word(&a->scan, "failed"))
		add_error(a);
	if (!is_word(&a->scan, "in_progress") && !is_word(&a->scan, "queued"))
		set_finish(a);
}

static void set_done(struct jt_answer *a)
{
	if (a->done)
		return;
	a->done = true;
	a->news |= JT_NEWS_DONE;
}

static enum jt_answer_mark end_document(struct jt_answer *a, size_t read)
{
	bool plain = a->kind == JT_ANSWER_PLAIN, one_choice = !a->form->has_choices;
	enum jt_answer_mark mark = JT_ANSWER_MORE;

	if (one_choice) {
		a->event.n_choices = 1;
		a->choice.finish |= plain;
		mark = end_choice(a, read);
	}
	take_report(a);
	if (plain || (one_choice && a->choice.finish))
		set_done(a);
	if (a->form->energy_on_top && a->choice.finish && !a->event.failed &&
	    a->scan.type == JT_SCAN_OBJECT)
		return JT_ANSWER_USAGE;
	return plain ? JT_ANSWER_EVENT : mark;
}

static void set_figure(struct jt_answer *a)
{
	const struct figure *f = &figures[a->scan.id - JT_PLACE_PROMPT_TOKENS];
	uint64_t told = jt__scan_u64(&a->scan, f->scale);

	*figure_of(&a->event.report, f) = told;
	a->event.has_report |= told != JT_NONE;
}

static enum jt_answer_mark value_ends(struct jt_answer *a, size_t read)
{
	const struct jt_scan *s = &a->scan;
	bool object = s->type == JT_SCAN_OBJECT;

	switch ((enum jt_place)s->id) {
	case JT_PLACE_DOCUMENT:
		return end_document(a, read);
	case JT_PLACE_INSIDE:
	case JT_PLACE_CHOICES:
		break;
	case JT_PLACE_CHOICE:
		return end_choice(a, read);
	case JT_PLACE_INDEX:
		a->choice.index = jt__scan_u64(s, 1);
		break;
	case JT_PLACE_CONTENT:
		a->choice.content |= s->type <= JT_SCAN_STRING && !s->empty;
		break;
	case JT_PLACE_FINISH:
		set_finish(a);
		break;
	case JT_PLACE_STATUS:
		set_status(a);
		break;
	case JT_PLACE_OVER:
		a->choice.finish |= s->type == JT_SCAN_TRUE;
		break;
	case JT_PLACE_TYPE:
		if (is_word(s, "error"))
			add_error(a);
		break;
	case JT_PLACE_FAILURE:
		if (s->type != JT_SCAN_NULL)
			add_error(a);
		break;
	case JT_PLACE_USAGE:
		a->event.has_usage = object;
		a->event.has_report |= object;
		return object ? JT_ANSWER_USAGE : JT_ANSWER_MORE;
	case JT_PLACE_TIMINGS:
		a->event.has_report |= object;
		break;
	default:
		set_figure(a);
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
	if (a->n_done_word == sizeof(done_word) - 1)
		set_done(a);
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

/* The rest of a line is data, if there is any. */
static enum jt_answer_mark read_newline(struct jt_answer *a, const char **p, const char *end)
{
	const char *newline = memchr(*p, '\n', (size_t)(end - *p));

	a->n_value = (size_t)((newline ? newline : end) - *p);
	if (a->n_value)
		return JT_ANSWER_MORE;
	++*p;
	return JT_ANSWER_EVENT;
}

static enum jt_answer_mark read_event_line(struct jt_answer *a, const char **p, const char *end)
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

/* What is no data: finds where there is some. */
static enum jt_answer_mark read_frame(struct jt_answer *a, const char **p, const char *end)
{
	switch (a->kind) {
	case JT_ANSWER_STREAM:
		return read_event_line(a, p, end);
	case JT_ANSWER_LINES:
		return read_newline(a, p, end);
	default:
		a->n_value = (size_t)(end - *p);
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
		mark = a->n_value ? read_data(a, *bytes, &p) : read_frame(a, &p, end);
	}
	a->event_over |= mark == JT_ANSWER_EVENT && a->kind != JT_ANSWER_PLAIN;
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
