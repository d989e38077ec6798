/* SPDX-License-Identifier: Apache-2.0 */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include "input/textfile.h"
#include "simulator/trace.h"

enum key { INPUT_TOKS, OUTPUT_TOKS, ARRIVAL, INPUT_IDS, OUTPUT_IDS, SESSION, ASKS, PAUSE, N_KEYS };

static const char *const key_names[N_KEYS] = { "input_toks",      "output_toks",
	                                       "arrival_time_ns", "input_tok_ids",
	                                       "output_tok_ids",  "session_id",
	                                       "sub_requests",    "tool_duration_ns" };

#define BIT(key) (1u << (key))
#define OF_REQUEST (BIT(INPUT_TOKS) | BIT(OUTPUT_TOKS) | BIT(INPUT_IDS) | BIT(OUTPUT_IDS))

struct reader {
	const char *begin, *p, *end;
	bool in_session; /* inside of sub_requests */
	uint32_t nth;
	bool skip_ids;
	struct jt_trace_line *line;
	struct jt_error *err;
};

/* What an object has said. */
struct object {
	uint32_t has; /* bits */
	uint64_t numbers[N_KEYS];
	const char *ids[N_KEYS];
};

static int fail(const struct reader *r, const char *what)
{
	return jt__fail(r->err, JT_EINVAL, "", "not valid JSON: %s at byte %td", what,
	                r->p - r->begin + 1);
}

/* "'sub_requests[2].input_toks' WHAT" */
static int fail_name(const struct reader *r, const char *name, size_t n, const char *what)
{
	char before[40] = "";

	if (r->in_session)
		snprintf(before, sizeof(before), "sub_requests[%u].", r->line->n_asks);
	return jt__fail(r->err, JT_EINVAL, "", "'%s%.*s' %s", before, (int)JT_MIN(n, 60), name,
	                what);
}

static int fail_key(const struct reader *r, enum key key, const char *what)
{
	return fail_name(r, key_names[key], strlen(key_names[key]), what);
}

static void skip_space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r'))
		r->p++;
}

/* Takes @c, with space around it. */
static bool take(struct reader *r, char c)
{
	skip_space(r);
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	skip_space(r);
	return true;
}

static bool take_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
		return false;
	r->p += n;
	return true;
}

static bool skip_escape(struct reader *r)
{
	if (r->p == r->end || !strchr("\"\\/bfnrtu", *r->p) || *r->p == '\0')
		return false;
	if (*r->p++ != 'u')
		return true;
	for (int i = 0; i < 4; i++, r->p++)
		if (r->p == r->end || *r->p == '\0' || !strchr("0123456789abcdefABCDEF", *r->p))
			return false;
	return true;
}

/* A string, whose bytes between the quotes are returned. */
static int read_string(struct reader *r, const char **ret_text, size_t *ret_n)
{
	if (r->p == r->end || *r->p != '"')
		return fail(r, "a string is missing");
	*ret_text = ++r->p;
	while (r->p < r->end && *r->p != '"') {
		const unsigned char *p = (const unsigned char *)r->p;
		size_t n = jt__utf8_len(p, (size_t)(r->end - r->p));

		if (*p < 0x20 || n == 0)
			return fail(r, "a byte that no string may hold");
		r->p += n;
		if (*p == '\\' && !skip_escape(r))
			return fail(r, "an unknown escape");
	}
	if (r->p == r->end)
		return fail(r, "a string does not end");
	*ret_n = (size_t)(r->p++ - *ret_text);
	return JT_OK;
}

static bool take_digits(struct reader *r)
{
	const char *begin = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return r->p > begin;
}

/* As JSON spells numbers: no leading zeros, digits on both sides of the point. */
static bool take_number(struct reader *r, const char **ret_text, size_t *ret_n, bool *ret_whole)
{
	const char *begin = r->p, *digits;

	*ret_whole = !take_word(r, "-");
	digits = r->p;
	if (!take_digits(r) || (*digits == '0' && r->p - digits > 1))
		return false;
	if (take_word(r, ".")) {
		*ret_whole = false;
		if (!take_digits(r))
			return false;
	}
	if (take_word(r, "e") || take_word(r, "E")) {
		*ret_whole = false;
		if (!take_word(r, "-"))
			take_word(r, "+");
		if (!take_digits(r))
			return false;
	}
	*ret_text = begin;
	*ret_n = (size_t)(r->p - begin);
	return true;
}

static int read_count(struct reader *r, enum key key, uint64_t *ret_v)
{
	const char *text;
	bool is_whole;
	size_t n;

	if (take_number(r, &text, &n, &is_whole) && is_whole &&
	    jt__textfile_whole(text, n, JT_TRACE_MAX_TOKENS, ret_v) && *ret_v > 0)
		return JT_OK;
	return fail_key(r, key, "must be a whole number from 1 to 99999999");
}

/* A fraction of a nanosecond is dropped. */
static int read_time(struct reader *r, enum key key, uint64_t *ret_ns)
{
	const char *text;
	bool is_whole;
	double v;
	size_t n;

	if (!take_number(r, &text, &n, &is_whole))
		return fail_key(r, key, "must be a number");
	if (is_whole && jt__textfile_whole(text, n, JT_TRACE_MAX_NS, ret_ns))
		return JT_OK;
	if (is_whole || !jt__textfile_real(text, n, &v) || !(v >= 0 && v <= JT_TRACE_MAX_NS))
		return fail_key(r, key, "must be a time from 0 to 1e18 ns");
	*ret_ns = jt__whole(v);
	return JT_OK;
}

/*
 * A number below 2^32. Eight bytes at once where they hold all of it: ids have one to six digits,
 * and to guess how many costs more than to read them.
 */
static bool take_id(const char **p, const char *end, uint32_t *ret_id)
{
	const char *q = *p;
	uint64_t v = 0;

	if (end - q >= 8) {
		uint64_t bytes, others;
		unsigned bits;

		memcpy(&bytes, q, sizeof(bytes));
		bytes = le64toh(bytes) ^ UINT64_C(0x3030303030303030);
		others = (bytes |
		          ((bytes & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7676767676767676))) &
		         UINT64_C(0x8080808080808080); /* the bytes that are no digits */
		bits = others ? (unsigned)__builtin_ctzll(others) & ~7u : 64;
		if (bits > 0 && bits < 64) {
			v = bytes << (64 - bits); /* zeros in front: eight digits */
			v = (v * 10 + (v >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
			v = (v * 100 + (v >> 16)) & UINT64_C(0x0000ffff0000ffff);
			*ret_id = (uint32_t)(v * 10000 + (v >> 32));
			*p = q + bits / 8;
			return *q != '0' || bits == 8;
		}
	}
	while (q < end && *q >= '0' && *q <= '9' && v <= UINT32_MAX)
		v = v * 10 + (uint64_t)(*q++ - '0');
	if (q == *p || v > UINT32_MAX || (**p == '0' && q - *p > 1))
		return false;
	*ret_id = (uint32_t)v;
	*p = q;
	return true;
}

static int read_ids(struct reader *r, uint32_t *out, uint32_t *ret_n)
{
	uint32_t n = 0, id;

	if (!take(r, '['))
		return JT_EINVAL;
	if (take(r, ']')) {
		*ret_n = 0;
		return JT_OK;
	}
	for (;;) {
		if (!take_id(&r->p, r->end, &id) || n == JT_TRACE_MAX_TOKENS)
			return JT_EINVAL;
		if (out)
			out[n] = id;
		n++;
		/* As Python writes it, looked at first: nearly all of a trace are such lists. */
		if (r->end - r->p > 2 && r->p[0] == ',' && r->p[1] == ' ' && r->p[2] > ' ')
			r->p += 2;
		else if (!take(r, ','))
			break;
	}
	if (!take(r, ']'))
		return JT_EINVAL;
	*ret_n = n;
	return JT_OK;
}

/* @ret_ids: where the list begins; NULL for null. */
static int read_list(struct reader *r, enum key key, const char **ret_ids)
{
	uint32_t n;

	*ret_ids = NULL;
	if (take_word(r, "null"))
		return JT_OK;
	*ret_ids = r->p;
	if (r->skip_ids && r->p < r->end) {
		const char *stop = memchr(r->p, ']', (size_t)(r->end - r->p));

		if (stop) {
			r->p = stop + 1;
			return JT_OK;
		}
	}
	if (read_ids(r, NULL, &n))
		return fail_key(r, key, "must be a list of whole numbers below 2^32");
	return JT_OK;
}

static int skip_name(struct reader *r, enum key key)
{
	const char *text;
	bool is_whole;
	size_t n;

	if (r->p < r->end && *r->p == '"')
		return read_string(r, &text, &n);
	if (take_word(r, "null") || take_number(r, &text, &n, &is_whole))
		return JT_OK;
	return fail_key(r, key, "must be text or a number");
}

static int read_asks(struct reader *r);

static int read_value(struct reader *r, enum key key, struct object *o)
{
	switch (key) {
	case INPUT_TOKS:
	case OUTPUT_TOKS:
		return read_count(r, key, &o->numbers[key]);
	case ARRIVAL:
	case PAUSE:
		return read_time(r, key, &o->numbers[key]);
	case INPUT_IDS:
	case OUTPUT_IDS:
		return read_list(r, key, &o->ids[key]);
	case SESSION:
		return skip_name(r, key);
	default:
		return read_asks(r);
	}
}

/* "key": and which that is. N_KEYS: none of ours. */
static int read_key(struct reader *r, const struct object *o, enum key *ret_key)
{
	const char *name;
	size_t n;
	int status = read_string(r, &name, &n);

	if (status)
		return status;
	for (*ret_key = 0; *ret_key < N_KEYS; ++*ret_key)
		if (strlen(key_names[*ret_key]) == n && memcmp(key_names[*ret_key], name, n) == 0)
			break;
	if (*ret_key == N_KEYS)
		return fail_name(r, name, n, "is an unknown key");
	if (o->has & BIT(*ret_key))
		return fail_key(r, *ret_key, "is there twice");
	if (r->in_session && !(BIT(*ret_key) & (OF_REQUEST | BIT(PAUSE))))
		return fail_key(r, *ret_key, "belongs to the session, not to one of its requests");
	if (!take(r, ':'))
		return fail(r, "':' is missing");
	return JT_OK;
}

static int read_object(struct reader *r, struct object *o)
{
	*o = (struct object){ 0 };
	if (!take(r, '{'))
		return fail(r, "'{' is missing");
	if (take(r, '}'))
		return JT_OK;
	for (;;) {
		enum key key;
		int status = read_key(r, o, &key);

		if (!status)
			status = read_value(r, key, o);
		if (status)
			return status;
		o->has |= BIT(key);
		if (take(r, '}'))
			return JT_OK;
		if (!take(r, ','))
			return fail(r, "',' or '}' is missing");
	}
}

static int add_ask(struct reader *r, const struct object *o)
{
	struct jt_trace_line *line = r->line;

	if (!(o->has & BIT(INPUT_TOKS)))
		return fail_key(r, INPUT_TOKS, "is missing");
	if (!(o->has & BIT(OUTPUT_TOKS)))
		return fail_key(r, OUTPUT_TOKS, "is missing");
	if (line->n_asks == r->nth)
		line->ask =
			(struct jt_trace_ask){ (uint32_t)o->numbers[INPUT_TOKS],
			                       (uint32_t)o->numbers[OUTPUT_TOKS], o->numbers[PAUSE],
			                       o->ids[INPUT_IDS], o->ids[OUTPUT_IDS] };
	line->n_asks++;
	return JT_OK;
}

static int read_asks(struct reader *r)
{
	if (!take(r, '['))
		return fail_key(r, ASKS, "must be a list");
	if (take(r, ']'))
		return fail_key(r, ASKS, "is an empty list");
	r->in_session = true;
	do {
		struct object o;
		int status;

		if (r->line->n_asks == JT_TRACE_MAX_ASKS)
			return jt__fail(r->err, JT_EINVAL, "", "more than %u 'sub_requests'",
			                JT_TRACE_MAX_ASKS);
		status = read_object(r, &o);
		if (!status)
			status = add_ask(r, &o);
		if (status)
			return status;
	} while (take(r, ','));
	r->in_session = false;
	return take(r, ']') ? JT_OK : fail(r, "',' or ']' is missing");
}

static int check_line(struct reader *r, const struct object *o)
{
	bool is_session = o->has & BIT(ASKS);

	if (!(o->has & BIT(ARRIVAL)))
		return fail_key(r, ARRIVAL, "is missing");
	r->line->arrival_ns = o->numbers[ARRIVAL];
	if (o->has & BIT(PAUSE))
		return fail_key(r, PAUSE, "belongs into 'sub_requests'");
	if (!is_session)
		return add_ask(r, o);
	if (o->has & OF_REQUEST)
		return fail_key(r, ASKS, "and a request's own keys are both there");
	return JT_OK;
}

int jt__trace_read(const char *line, size_t n, uint32_t nth, bool skip_ids,
                   struct jt_trace_line *ret_line, struct jt_error *err)
{
	struct jt_trace_line out = { 0 };
	struct reader r = { .begin = line, .p = line, .end = line + n, .nth = nth };
	struct object o;
	int status;

	r.skip_ids = skip_ids;
	r.line = &out;
	r.err = err;
	status = read_object(&r, &o);
	if (!status && r.p < r.end)
		status = fail(&r, "more follows the object");
	if (!status)
		status = check_line(&r, &o);
	if (!status && nth >= out.n_asks)
		status = jt__fail(err, JT_ENOENT, "", "there is no request %u", nth);
	if (!status)
		*ret_line = out;
	return status;
}

int jt__trace_ids(const char *ids, const char *end, uint32_t *out, uint32_t *ret_n)
{
	struct reader r = { .begin = ids, .p = ids, .end = end };

	*ret_n = 0;
	return ids ? read_ids(&r, out, ret_n) : JT_OK;
}
