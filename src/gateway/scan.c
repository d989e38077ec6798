/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "gateway/scan.h"
#include "jouletap/record.h"

static const bool is_little_endian = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

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

/* What follows from the innermost open container, after there is another. */
static void enter_container(struct jt_scan *s)
{
	const struct jt_path *p = container(s);
	unsigned i = s->depth - 1u;

	s->places = p ? p->in : NULL;
	s->in_object = s->depth && s->objects[i / 64] >> (i % 64) & 1;
}

/* The first of @places that any element, or a member called @key, has. */
static const struct jt_path *any_place(const struct jt_path *p)
{
	while (p && p->id && p->key[0])
		p++;
	return p && p->id ? p : NULL;
}

/* The first eight of @n bytes, or all of them and then 0; @readable ones may be looked at. */
static uint64_t first_eight(const char *bytes, size_t n, size_t readable)
{
	const uint64_t all = ~UINT64_C(0);
	uint64_t x = 0;

	if (readable < sizeof(x)) {
		memcpy(&x, bytes, n);
		return x;
	}
	memcpy(&x, bytes, sizeof(x));
	if (n >= sizeof(x))
		return x;
	return x & ~(is_little_endian ? all << 8 * n : all >> 8 * n);
}

/* The place inside the innermost container that is called @key. Most keys differ from all that are
 * listed in the first eight bytes, which are compared as one number. */
static const struct jt_path *place(const struct jt_scan *s, const char *key, size_t n,
                                   size_t readable)
{
	uint64_t head, listed;

	if (!s->places)
		return NULL;
	head = first_eight(key, n, readable);
	for (const struct jt_path *p = s->places; p->id; p++) {
		memcpy(&listed, p->key, sizeof(listed));
		if (listed != head && listed)
			continue;
		if (!listed || (n < JT_SCAN_KEY && !p->key[n] && memcmp(p->key, key, n) == 0))
			return p;
	}
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
	enter_container(s);
	s->state = object ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
	return report(s, JT_SCAN_BEGIN);
}

static enum jt_scan_event close_container(struct jt_scan *s, bool object)
{
	if (!s->depth || s->in_object != object)
		return broken(s);
	s->empty = s->state == KEY_OR_CLOSE || s->state == VALUE_OR_CLOSE;
	s->path = container(s);
	s->type = object ? JT_SCAN_OBJECT : JT_SCAN_ARRAY;
	s->depth--;
	enter_container(s);
	return end_value(s);
}

static void open_string(struct jt_scan *s, bool is_key)
{
	s->state = IN_STRING;
	s->is_key = is_key;
	s->wanted = is_key ? s->places != NULL : s->path != NULL;
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
	s->path = s->wanted && !s->cut ? place(s, s->text, s->n_text, sizeof(s->text)) : NULL;
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

/* Where the first byte that is not 0 lies among eight in memory; @x is not 0. */
static unsigned first_byte(uint64_t x)
{
	return (unsigned)(is_little_endian ? __builtin_ctzll(x) : __builtin_clzll(x)) / 8;
}

/* The first byte that a string may not contain unescaped, or @end; sixteen at a time. */
static inline const char *ordinary_end(const char *p, const char *end)
{
	typedef unsigned char sixteen __attribute__((vector_size(16)));

	for (; end - p >= 16; p += 16) {
		sixteen x, hit;
		uint64_t half[2];

		memcpy(&x, p, sizeof(x));
		hit = (sixteen)((x == '"') | (x == '\\') | (x < 0x20));
		memcpy(half, &hit, sizeof(half));
		if (half[0])
			return p + first_byte(half[0]);
		if (half[1])
			return p + 8 + first_byte(half[1]);
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

/* @p is behind the first quote. What nobody wants to know is read at once if it is all there. */
static const char *open_text(struct jt_scan *s, const char *p, const char *end,
                             enum jt_scan_event *ret_event)
{
	const char *close = s->path ? NULL : plain_string_end(p, end);

	s->type = JT_SCAN_STRING;
	if (close) {
		*ret_event = end_value(s);
		return close + 1;
	}
	open_string(s, false);
	*ret_event = report(s, JT_SCAN_BEGIN);
	return p;
}

/* The same for a key: nothing of it is kept but the place that it names, none if it is longer than
 * what is kept of a key that comes in pieces. */
static const char *open_key(struct jt_scan *s, const char *p, const char *end)
{
	const char *close = plain_string_end(p, end);

	if (!close) {
		open_string(s, true);
		return p;
	}
	s->path = close - p <= JT_SCAN_TEXT ? place(s, p, (size_t)(close - p), (size_t)(end - p))
	                                    : NULL;
	s->state = COLON;
	return close + 1;
}

/* @c was the last byte before @p. */
static const char *open_value(struct jt_scan *s, char c, const char *p, const char *end,
                              enum jt_scan_event *ret_event)
{
	if (s->depth && !s->in_object)
		s->path = any_place(s->places);
	switch (c) {
	case '"':
		return open_text(s, p, end, ret_event);
	case '{':
	case '[':
		*ret_event = open_container(s, c == '{');
		break;
	case 't':
		*ret_event = open_literal(s, JT_SCAN_TRUE, "rue");
		break;
	case 'f':
		*ret_event = open_literal(s, JT_SCAN_FALSE, "alse");
		break;
	case 'n':
		*ret_event = open_literal(s, JT_SCAN_NULL, "ull");
		break;
	default:
		*ret_event = c == '-' || (c >= '0' && c <= '9') ? open_number(s, c) : broken(s);
	}
	return p;
}

static enum jt_scan_event read_comma_or_close(struct jt_scan *s, char c)
{
	if (c == '}' || c == ']')
		return close_container(s, c == '}');
	if (c != ',')
		return broken(s);
	s->state = s->in_object ? KEY : VALUE;
	return JT_SCAN_MORE;
}

static bool is_blank(char c)
{
	return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t');
}

/* Bytes between values, and with them strings that are all there: at least one. */
static const char *read_structure(struct jt_scan *s, const char *p, const char *end,
                                  enum jt_scan_event *ret_event)
{
	do {
		char c = *p++;

		if (is_blank(c))
			continue;
		if (s->state == COMMA_OR_CLOSE)
			*ret_event = read_comma_or_close(s, c);
		else if (s->state == COLON && c == ':')
			s->state = VALUE;
		else if ((s->state == KEY || s->state == KEY_OR_CLOSE) && c == '"')
			p = open_key(s, p, end);
		else if (s->state == KEY_OR_CLOSE && c == '}')
			*ret_event = close_container(s, true);
		else if (s->state == VALUE_OR_CLOSE && c == ']')
			*ret_event = close_container(s, false);
		else if (s->state <= VALUE_OR_CLOSE)
			p = open_value(s, c, p, end, ret_event);
		else
			*ret_event = broken(s);
	} while (p < end && *ret_event == JT_SCAN_MORE && s->state <= COMMA_OR_CLOSE);
	return p;
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
			p = read_structure(s, p, end, &event);
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
