/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "gateway/scan.h"
#include "jouletap/record.h"

/* What may come next. */
enum state {
	VALUE,
	VALUE_OR_CLOSE, /* just behind '[' */
	KEY,
	KEY_OR_CLOSE, /* just behind '{' */
	COLON,
	COMMA_OR_CLOSE,
	IN_STRING,
	IN_ESCAPE, /* just behind '\' */
	IN_UNICODE,
	IN_NUMBER,
	IN_LITERAL,
	COMPLETE,
	BROKEN,
};

/* How far a number has come. */
enum number { MINUS = 1, ZERO, DIGITS, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, EXPONENT_DIGITS };

void jt__scan_init(struct jt_scan *s, const struct jt_path *root)
{
	memset(s, 0, sizeof(*s));
	s->root = s->path = root;
}

bool jt__scan_complete(const struct jt_scan *s)
{
	return s->state == COMPLETE;
}

static enum jt_scan_event broken(struct jt_scan *s)
{
	s->state = BROKEN;
	return JT_SCAN_BAD;
}

/* The path of the innermost open container. */
static const struct jt_path *container(const struct jt_scan *s)
{
	return s->depth && s->depth <= JT_SCAN_PATH ? s->stack[s->depth - 1] : NULL;
}

static bool in_object(const struct jt_scan *s)
{
	unsigned i = s->depth - 1u;

	return s->objects[i / 64] >> (i % 64) & 1;
}

/* The place inside the innermost container that is called @key; NULL @key: an element. */
static const struct jt_path *place(const struct jt_scan *s, const char *key, size_t n)
{
	const struct jt_path *within = container(s), *p = within ? within->in : NULL;

	for (; p && p->id; p++)
		if (!p->key ||
		    (key && p->key[0] == key[0] && strncmp(p->key, key, n) == 0 && !p->key[n]))
			return p;
	return NULL;
}

static enum jt_scan_event report(struct jt_scan *s, enum jt_scan_event event)
{
	if (!s->path)
		return JT_SCAN_MORE;
	s->id = s->path->id;
	return event;
}

static enum jt_scan_event end_value(struct jt_scan *s)
{
	s->state = s->depth ? COMMA_OR_CLOSE : COMPLETE;
	return report(s, JT_SCAN_END);
}

static enum jt_scan_event open_container(struct jt_scan *s, bool object)
{
	unsigned i = s->depth;

	if (i == JT_SCAN_DEPTH)
		return broken(s);
	s->type = object ? JT_SCAN_OBJECT : JT_SCAN_ARRAY;
	if (object)
		s->objects[i / 64] |= UINT64_C(1) << (i % 64);
	else
		s->objects[i / 64] &= ~(UINT64_C(1) << (i % 64));
	if (i < JT_SCAN_PATH)
		s->stack[i] = s->path;
	s->depth++;
	s->state = object ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
	return report(s, JT_SCAN_BEGIN);
}

static enum jt_scan_event close_container(struct jt_scan *s, bool object)
{
	if (!s->depth || in_object(s) != object)
		return broken(s);
	s->empty = s->state == KEY_OR_CLOSE || s->state == VALUE_OR_CLOSE;
	s->path = container(s);
	s->type = object ? JT_SCAN_OBJECT : JT_SCAN_ARRAY;
	s->depth--;
	return end_value(s);
}

static void open_string(struct jt_scan *s, bool is_key)
{
	const struct jt_path *within = container(s);

	s->state = IN_STRING;
	s->is_key = is_key;
	s->wanted = is_key ? within && within->in : s->path != NULL;
	s->empty = true;
	s->cut = false;
	s->n_text = 0;
	s->high = 0;
}

/* Drops a last character that is not all there. */
static void trim_text(struct jt_scan *s)
{
	unsigned n = s->n_text, tail = 0, need;
	unsigned char lead;

	while (tail < 3 && tail < n && (s->text[n - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == n)
		return;
	lead = (unsigned char)s->text[n - 1 - tail];
	need = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0;
	if (tail < need)
		s->n_text = (uint8_t)(n - 1 - tail);
}

static enum jt_scan_event close_string(struct jt_scan *s)
{
	if (s->cut)
		trim_text(s);
	s->text[s->n_text] = '\0';
	if (!s->is_key)
		return end_value(s);
	s->path = s->wanted && !s->cut ? place(s, s->text, s->n_text) : NULL;
	s->state = COLON;
	return JT_SCAN_MORE;
}

static void keep(struct jt_scan *s, const char *bytes, size_t n)
{
	size_t room = JT_SCAN_TEXT - s->n_text;

	if (!n)
		return;
	s->empty = false;
	if (!s->wanted)
		return;
	if (n > room) {
		s->cut = true;
		n = room;
	}
	memcpy(s->text + s->n_text, bytes, n);
	s->n_text = (uint8_t)(s->n_text + n);
}

/* NUL becomes U+FFFD, so that text is a C string. */
static void keep_character(struct jt_scan *s, uint32_t c)
{
	char utf8[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	if (!c) {
		keep_character(s, 0xfffd);
		return;
	}
	for (size_t i = n - 1; i; i--, c >>= 6)
		utf8[i] = (char)(0x80 | (c & 0x3f));
	utf8[0] = (char)(n == 1 ? c : (0xf00u >> n & 0xf0) | c);
	keep(s, utf8, n);
}

/* A \u escape is complete: a lone half of a surrogate pair becomes U+FFFD. */
static void end_unicode(struct jt_scan *s)
{
	bool is_high = (s->unit & 0xfc00) == 0xd800, is_low = (s->unit & 0xfc00) == 0xdc00;

	s->state = IN_STRING;
	if (s->high && is_low) {
		keep_character(s, 0x10000u + ((s->high & 0x3ffu) << 10) + (s->unit & 0x3ffu));
		s->high = 0;
		return;
	}
	if (s->high)
		keep_character(s, 0xfffd);
	s->high = is_high ? s->unit : 0;
	if (!is_high)
		keep_character(s, is_low ? 0xfffd : s->unit);
}

static enum jt_scan_event read_unicode(struct jt_scan *s, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *digit = c ? strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c) : NULL;

	if (!digit)
		return broken(s);
	s->unit = (uint16_t)(s->unit << 4 | (unsigned)(digit - digits));
	if (!--s->n_hex)
		end_unicode(s);
	return JT_SCAN_MORE;
}

/* A first half of a pair without the second. */
static inline void flush_surrogate(struct jt_scan *s)
{
	if (!s->high)
		return;
	keep_character(s, 0xfffd);
	s->high = 0;
}

static enum jt_scan_event read_escape(struct jt_scan *s, char c)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *name;

	if (c == 'u') {
		s->state = IN_UNICODE;
		s->n_hex = 4;
		s->unit = 0;
		return JT_SCAN_MORE;
	}
	name = c ? strchr(names, c) : NULL;
	if (!name)
		return broken(s);
	flush_surrogate(s);
	keep(s, &meanings[name - names], 1);
	s->state = IN_STRING;
	return JT_SCAN_MORE;
}

/* 0x80 in each byte of @x that is zero; bytes above the first one may be wrong. */
static uint64_t zero_bytes(uint64_t x)
{
	return (x - UINT64_C(0x0101010101010101)) & ~x & UINT64_C(0x8080808080808080);
}

/* The first byte that a string may not contain unescaped, or @end. Eight at a time; where the first
 * byte is not the lowest one, only as far as that there is one among the eight. */
static const char *ordinary_end(const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);

	for (; end - p >= 8; p += 8) {
		uint64_t x, hit;

		memcpy(&x, p, sizeof(x));
		hit = zero_bytes(x ^ ones * '"') | zero_bytes(x ^ ones * '\\') |
		      zero_bytes(x & ones * 0xe0);
		if (hit && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
			return p + __builtin_ctzll(hit) / 8;
		if (hit)
			break;
	}
	while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
		p++;
	return p;
}

/* Behind a quote: the quote that closes the string, if it is there and nothing in between is
 * escaped, as nearly always; else NULL. */
static const char *plain_string_end(const char *p, const char *end)
{
	p = ordinary_end(p, end);
	return p < end && *p == '"' ? p : NULL;
}

/* Most bytes of an answer pass here: runs of ordinary characters in strings. */
static const char *read_string(struct jt_scan *s, const char *p, const char *end,
                               enum jt_scan_event *ret_event)
{
	const char *run = p;

	p = ordinary_end(p, end);
	if (p > run)
		flush_surrogate(s);
	keep(s, run, (size_t)(p - run));
	if (p == end)
		return p;
	if (*p == '\\') {
		s->state = IN_ESCAPE;
	} else if (*p == '"') {
		flush_surrogate(s);
		*ret_event = close_string(s);
	} else {
		*ret_event = broken(s);
	}
	return p + 1;
}

/* The next step in the grammar of numbers, 0 if @c is not part of one. */
static enum number number_step(enum number at, char c)
{
	bool digit = c >= '0' && c <= '9';

	switch (at) {
	case MINUS:
		return c == '0' ? ZERO : digit ? DIGITS : 0;
	case ZERO:
	case DIGITS:
		if (digit)
			return at == DIGITS ? DIGITS : 0;
		return c == '.' ? POINT : (c | 0x20) == 'e' ? EXPONENT : 0;
	case POINT:
	case FRACTION:
		if (at == FRACTION && (c | 0x20) == 'e')
			return EXPONENT;
		return digit ? FRACTION : 0;
	case EXPONENT:
		if (c == '+' || c == '-')
			return EXPONENT_SIGN;
		/* fall through */
	default:
		return digit ? EXPONENT_DIGITS : 0;
	}
}

/* A number ends before the byte that is not part of it: that one is left to be read. */
static const char *read_number(struct jt_scan *s, const char *p, const char *end,
                               enum jt_scan_event *ret_event)
{
	const char *run = p;
	enum number next = 0;

	while (p < end && (next = number_step(s->number, *p))) {
		s->number = (uint8_t)next;
		p++;
		if (next == DIGITS || next == FRACTION) /* where a digit changes nothing */
			while (p < end && *p >= '0' && *p <= '9')
				p++;
	}
	keep(s, run, (size_t)(p - run));
	if (p == end)
		return p;
	if (s->number != ZERO && s->number != DIGITS && s->number != FRACTION &&
	    s->number != EXPONENT_DIGITS) {
		*ret_event = broken(s);
		return p;
	}
	s->text[s->n_text] = '\0';
	*ret_event = end_value(s);
	return p;
}

static enum jt_scan_event open_number(struct jt_scan *s, char c)
{
	s->type = JT_SCAN_NUMBER;
	s->state = IN_NUMBER;
	s->number = c == '-' ? MINUS : c == '0' ? ZERO : DIGITS;
	s->wanted = s->path != NULL;
	s->cut = false;
	s->n_text = 0;
	keep(s, &c, 1);
	return report(s, JT_SCAN_BEGIN);
}

static enum jt_scan_event open_literal(struct jt_scan *s, enum jt_scan_type type, const char *rest)
{
	s->type = (uint8_t)type;
	s->state = IN_LITERAL;
	s->literal = rest;
	return report(s, JT_SCAN_BEGIN);
}

static const char *read_literal(struct jt_scan *s, const char *p, const char *end,
                                enum jt_scan_event *ret_event)
{
	while (p < end && *s->literal && *p == *s->literal) {
		p++;
		s->literal++;
	}
	if (!*s->literal)
		*ret_event = end_value(s);
	else if (p < end)
		*ret_event = broken(s);
	return p;
}

/* *@p is behind the first quote. What nobody wants to know is read at once if it is all there. */
static enum jt_scan_event open_text(struct jt_scan *s, const char **p, const char *end)
{
	const char *close = s->path ? NULL : plain_string_end(*p, end);

	s->type = JT_SCAN_STRING;
	if (close) {
		*p = close + 1;
		return end_value(s);
	}
	open_string(s, false);
	return report(s, JT_SCAN_BEGIN);
}

/* The same for a key: nothing of it is kept but the place that it names, none if it is longer than
 * what is kept of a key that comes in pieces. */
static enum jt_scan_event open_key(struct jt_scan *s, const char **p, const char *end)
{
	const char *close = plain_string_end(*p, end);

	if (!close) {
		open_string(s, true);
		return JT_SCAN_MORE;
	}
	s->path = close - *p <= JT_SCAN_TEXT ? place(s, *p, (size_t)(close - *p)) : NULL;
	s->state = COLON;
	*p = close + 1;
	return JT_SCAN_MORE;
}

/* @c was the last byte before *@p. */
static enum jt_scan_event open_value(struct jt_scan *s, char c, const char **p, const char *end)
{
	if (s->depth && !in_object(s))
		s->path = place(s, NULL, 0);
	switch (c) {
	case '{':
		return open_container(s, true);
	case '[':
		return open_container(s, false);
	case '"':
		return open_text(s, p, end);
	case 't':
		return open_literal(s, JT_SCAN_TRUE, "rue");
	case 'f':
		return open_literal(s, JT_SCAN_FALSE, "alse");
	case 'n':
		return open_literal(s, JT_SCAN_NULL, "ull");
	default:
		return c == '-' || (c >= '0' && c <= '9') ? open_number(s, c) : broken(s);
	}
}

/* A byte between values, and with it a string that is all there. */
static enum jt_scan_event read_structure(struct jt_scan *s, const char **p, const char *end)
{
	char c = *(*p)++;

	if (c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t'))
		return JT_SCAN_MORE;
	switch (s->state) {
	case VALUE_OR_CLOSE:
		if (c == ']')
			return close_container(s, false);
		/* fall through */
	case VALUE:
		return open_value(s, c, p, end);
	case KEY_OR_CLOSE:
		if (c == '}')
			return close_container(s, true);
		/* fall through */
	case KEY:
		if (c != '"')
			return broken(s);
		return open_key(s, p, end);
	case COLON:
		if (c != ':')
			return broken(s);
		s->state = VALUE;
		return JT_SCAN_MORE;
	case COMMA_OR_CLOSE:
		if (c == ',') {
			s->state = in_object(s) ? KEY : VALUE;
			return JT_SCAN_MORE;
		}
		return c == '}' || c == ']' ? close_container(s, c == '}') : broken(s);
	default: /* COMPLETE */
		return broken(s);
	}
}

enum jt_scan_event jt__scan_next(struct jt_scan *s, const char **bytes, const char *end)
{
	enum jt_scan_event event = JT_SCAN_MORE;
	const char *p = *bytes;

	while (p < end && event == JT_SCAN_MORE) {
		switch (s->state) {
		case IN_STRING:
			p = read_string(s, p, end, &event);
			break;
		case IN_ESCAPE:
			event = read_escape(s, *p++);
			break;
		case IN_UNICODE:
			event = read_unicode(s, *p++);
			break;
		case IN_NUMBER:
			p = read_number(s, p, end, &event);
			break;
		case IN_LITERAL:
			p = read_literal(s, p, end, &event);
			break;
		case BROKEN:
			p = end;
			break;
		default:
			do
				event = read_structure(s, &p, end);
			while (p < end && event == JT_SCAN_MORE && s->state <= COMMA_OR_CLOSE);
		}
	}
	s->offset += (uint64_t)(p - *bytes);
	*bytes = p;
	return event;
}

uint64_t jt__scan_u64(const struct jt_scan *s, double scale)
{
	double v = 0;

	if (s->type != JT_SCAN_NUMBER || s->cut || s->text[0] == '-')
		return JT_NONE;
	if (s->number <= DIGITS && s->n_text <= 15) { /* exact, and faster than strtod() */
		for (const char *p = s->text; *p; p++)
			v = v * 10 + (*p - '0');
	} else {
		v = strtod(s->text, NULL);
	}
	v *= scale;
	return v < 0x1p53 ? (uint64_t)llrint(v) : JT_NONE;
}
