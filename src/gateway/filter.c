/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/filter.h"

void jt__filter_init(struct jt_filter *f, enum jt_filter_mode mode, const struct jt_form *form,
                     enum jt_answer_kind kind, size_t max_held)
{
	memset(f, 0, sizeof(*f));
	jt__answer_init(&f->answer, form, kind);
	f->mode = kind == JT_ANSWER_PLAIN && mode == JT_FILTER_DROP ? JT_FILTER_PASS : mode;
	jt__buf_init(&f->held, max_held);
}

void jt__filter_fini(struct jt_filter *f)
{
	jt__buf_fini(&f->held);
}

static enum jt_filter_step pass(struct jt_filter *f, const char **bytes, const char *end)
{
	const char *begin = *bytes;

	while (jt__answer_next(&f->answer, bytes, end) != JT_ANSWER_MORE)
		;
	f->out[1] = (struct jt_slice){ begin, (size_t)(end - begin) };
	return begin < end ? JT_FILTER_SEND : JT_FILTER_MORE;
}

/* A stream reports running totals beside choices that go on; a plain body has but one report. The
 * one choice of a form without any is known to end before its usage comes: all engines write so. */
static bool is_running_total(const struct jt_answer *a)
{
	if (a->kind == JT_ANSWER_PLAIN)
		return false;
	if (!a->form->has_choices)
		return !a->choice.finish;
	return a->event.n_choices && !a->event.n_finishing;
}

static enum jt_filter_step splice(struct jt_filter *f, const char **bytes, const char *end)
{
	const char *begin = *bytes;
	enum jt_answer_mark mark;

	if (f->brace_owed)
		f->out[0] = (struct jt_slice){ "}", 1 };
	f->brace_owed = false;
	do
		mark = jt__answer_next(&f->answer, bytes, end);
	while (mark != JT_ANSWER_MORE && (mark != JT_ANSWER_USAGE || is_running_total(&f->answer)));

	if (mark == JT_ANSWER_USAGE) {
		f->brace_owed = true;
		f->comma = f->answer.scan.empty ? "" : ",";
		f->out[1] = (struct jt_slice){ begin, (size_t)(*bytes - 1 - begin) };
		return JT_FILTER_SPLICE;
	}
	f->out[1] = (struct jt_slice){ begin, (size_t)(end - begin) };
	return f->out[0].n || f->out[1].n ? JT_FILTER_SEND : JT_FILTER_MORE;
}

/* Everything that waits, up to @p, is sent. */
static enum jt_filter_step release(struct jt_filter *f, const char *begin, const char *p)
{
	f->out[0] = (struct jt_slice){ jt__buf_len(&f->held) ? jt__buf_bytes(&f->held) : NULL,
		                       jt__buf_len(&f->held) };
	f->out[1] = (struct jt_slice){ begin, (size_t)(p - begin) };
	f->held_sent = true;
	return f->out[0].n || f->out[1].n ? JT_FILTER_SEND : JT_FILTER_MORE;
}

/* The input ends at @end; the event at hand, if it is undecided, waits from @waits on. */
static enum jt_filter_step hold(struct jt_filter *f, const char *begin, const char *waits,
                                const char *end)
{
	if (f->decided)
		waits = end;
	if (jt__buf_append(&f->held, waits, (size_t)(end - waits)) < 0) {
		f->decided = true;
		return release(f, begin, end);
	}
	f->out[1] = (struct jt_slice){ begin, (size_t)(waits - begin) };
	return waits > begin ? JT_FILTER_SEND : JT_FILTER_MORE;
}

static void next_event(struct jt_filter *f)
{
	f->decided = false;
	f->in_event = false;
}

/*
 * [begin, waits) goes on, [waits, *bytes) waits, unless the event is decided.
 * While there are held bytes both are empty: whatever decides about those is
 * acted on at once.
 */
static enum jt_filter_step drop(struct jt_filter *f, const char **bytes, const char *end)
{
	const char *begin = *bytes, *waits = begin;
	bool released = false;

	for (;;) {
		switch (jt__answer_next(&f->answer, bytes, end)) {
		case JT_ANSWER_MORE:
			return hold(f, begin, waits, end);
		case JT_ANSWER_CHOICE:
		case JT_ANSWER_BAD:
			released = !f->decided;
			f->decided = true;
			break;
		case JT_ANSWER_LINE:
			released = !f->in_event && f->answer.sse.field == JT_SSE_FIELD_COMMENT;
			f->in_event = !released;
			break;
		case JT_ANSWER_EVENT:
			released = f->decided || !jt__answer_is_usage_chunk(&f->answer);
			next_event(f);
			if (released)
				break;
			jt__buf_clear(&f->held);
			f->out[1] = (struct jt_slice){ begin, (size_t)(waits - begin) };
			if (waits > begin)
				return JT_FILTER_SEND;
			begin = waits = *bytes;
			break;
		default:
			break;
		}
		if (released && jt__buf_len(&f->held))
			return release(f, begin, *bytes);
		if (released)
			waits = *bytes;
		released = false;
	}
}

enum jt_filter_step jt__filter_next(struct jt_filter *f, const char **bytes, const char *end)
{
	memset(f->out, 0, sizeof(f->out));
	if (f->held_sent)
		jt__buf_clear(&f->held);
	f->held_sent = false;
	switch (f->mode) {
	case JT_FILTER_DROP:
		return drop(f, bytes, end);
	case JT_FILTER_ENERGY:
		return splice(f, bytes, end);
	default:
		return pass(f, bytes, end);
	}
}

void jt__filter_finish(struct jt_filter *f)
{
	memset(f->out, 0, sizeof(f->out));
	if (jt__buf_len(&f->held) && !jt__answer_is_usage_chunk(&f->answer))
		release(f, NULL, NULL);
}
