/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/sse.h"

enum state {
	START, /* of the stream */
	LINE,  /* at the first byte of a line */
	NAME,  /* in the field's name */
	SPACE, /* behind the colon: one space is not part of the value */
	VALUE,
	NEWLINE,       /* behind a \r that ended a line; a \n would be part of it */
	BLANK_NEWLINE, /* the same, behind a blank line */
};

void jt__sse_init(struct jt_sse *s)
{
	memset(s, 0, sizeof(*s));
}

static bool word_is(const struct jt_sse *s, const char *word)
{
	return strlen(word) == s->n_word && memcmp(s->word, word, s->n_word) == 0;
}

/* Longer words are none of ours: one byte beyond the room is enough to tell. */
static void add_to_word(struct jt_sse *s, char c)
{
	if (s->n_word < sizeof(s->word))
		s->word[s->n_word++] = c;
}

static void end_name(struct jt_sse *s)
{
	s->field = !s->n_word            ? JT_SSE_FIELD_COMMENT
	           : word_is(s, "data")  ? JT_SSE_FIELD_DATA
	           : word_is(s, "event") ? JT_SSE_FIELD_EVENT
	           : word_is(s, "error") ? JT_SSE_FIELD_ERROR
	                                 : JT_SSE_FIELD_OTHER;
	s->n_word = 0;
}

static enum jt_sse_event end_line(struct jt_sse *s)
{
	if (s->field == JT_SSE_FIELD_EVENT)
		s->is_error = word_is(s, "error");
	s->state = LINE;
	return JT_SSE_LINE;
}

static const char *line_end(const char *p, const char *end)
{
	const char *lf = memchr(p, '\n', (size_t)(end - p));
	const char *cr = memchr(p, '\r', (size_t)((lf ? lf : end) - p));

	return cr ? cr : lf ? lf : end;
}

static enum jt_sse_event end_event(struct jt_sse *s)
{
	s->is_error = false;
	s->state = LINE;
	return JT_SSE_EVENT;
}

/* At the first byte of a line. */
static enum jt_sse_event begin_line(struct jt_sse *s, const char **p)
{
	s->field = JT_SSE_FIELD_OTHER;
	s->n_word = 0;
	s->state = NAME;
	if (**p == '\n') {
		++*p;
		return end_event(s);
	}
	if (**p == '\r') {
		++*p;
		s->state = BLANK_NEWLINE;
	}
	return JT_SSE_MORE;
}

static void read_name(struct jt_sse *s, const char **p)
{
	char c = **p;

	if (c != '\n' && c != '\r')
		++*p;
	if (c == ':' || c == '\n' || c == '\r') {
		end_name(s);
		s->state = c == ':' ? SPACE : VALUE;
	} else {
		add_to_word(s, c);
	}
}

static enum jt_sse_event read_value(struct jt_sse *s, const char **p, const char *end,
                                    size_t *ret_n)
{
	const char *stop = line_end(*p, end);

	if (s->field == JT_SSE_FIELD_DATA && stop > *p) {
		*ret_n = (size_t)(stop - *p);
		return JT_SSE_DATA;
	}
	if (s->field == JT_SSE_FIELD_EVENT)
		while (*p < stop)
			add_to_word(s, *(*p)++);
	*p = stop;
	if (stop == end)
		return JT_SSE_MORE;
	++*p;
	if (*stop == '\n')
		return end_line(s);
	s->state = NEWLINE;
	return JT_SSE_MORE;
}

enum jt_sse_event jt__sse_next(struct jt_sse *s, const char **bytes, const char *end, size_t *ret_n)
{
	static const char bom[] = "\xef\xbb\xbf";
	enum jt_sse_event event = JT_SSE_MORE;

	while (*bytes < end && event == JT_SSE_MORE) {
		switch ((enum state)s->state) {
		case START:
			if (s->n_bom < 3 && **bytes == bom[s->n_bom]) {
				s->n_bom++;
				++*bytes;
				break;
			}
			s->state = LINE;
			/* fall through */
		case LINE:
			event = begin_line(s, bytes);
			break;
		case NAME:
			read_name(s, bytes);
			break;
		case SPACE:
			*bytes += **bytes == ' ';
			s->state = VALUE;
			break;
		case VALUE:
			event = read_value(s, bytes, end, ret_n);
			break;
		case NEWLINE:
		case BLANK_NEWLINE:
			*bytes += **bytes == '\n';
			event = s->state == NEWLINE ? end_line(s) : end_event(s);
			break;
		}
	}
	return event;
}
