/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "base/clock.h"
#include "ledger/ledger.h"

const struct jt_field jt__record_fields[] = {
#define JT_X(kind, member, name, size, meaning)                                                    \
	{ JT_KIND_##kind, name, offsetof(struct jt_record, member), size, meaning },
	JT_RECORD_FIELDS(JT_X)
#undef JT_X
};
const size_t jt__n_record_fields = JT_ARRAY_LEN(jt__record_fields);

static char *text_of(const struct jt_record *r, const struct jt_field *f)
{
	return (char *)r + f->offset;
}

static uint64_t *number_of(const struct jt_record *r, const struct jt_field *f)
{
	return (uint64_t *)((char *)r + f->offset);
}

void jt__record_init(struct jt_record *r)
{
	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < jt__n_record_fields; i++) {
		const struct jt_field *f = &jt__record_fields[i];

		if (f->kind != JT_KIND_TEXT && f->kind != JT_KIND_BOOL)
			*number_of(r, f) = JT_NONE;
	}
}

static void put_time(struct jt_buf *b, uint64_t unix_ns)
{
	char text[32];

	if (unix_ns == JT_NONE) {
		jt__buf_append_text(b, "null");
		return;
	}
	jt__format_rfc3339(unix_ns, text);
	jt__buf_printf(b, "\"%s\"", text);
}

static void put_value(struct jt_buf *b, const struct jt_record *r, const struct jt_field *f)
{
	switch (f->kind) {
	case JT_KIND_TEXT:
		jt__json_string(b, text_of(r, f), strnlen(text_of(r, f), f->size));
		break;
	case JT_KIND_TIME:
		put_time(b, *number_of(r, f));
		break;
	case JT_KIND_COUNT:
		jt__json_u64(b, *number_of(r, f));
		break;
	case JT_KIND_BOOL:
		jt__buf_append_text(b, *number_of(r, f) ? "true" : "false");
		break;
	case JT_KIND_SECONDS:
		jt__json_nano(b, *number_of(r, f));
		break;
	case JT_KIND_JOULES:
	case JT_KIND_RATIO:
		jt__json_micro(b, *number_of(r, f));
		break;
	case JT_KIND_NUMBER:
		jt__json_milli(b, *number_of(r, f));
		break;
	}
}

void jt__record_json(struct jt_buf *b, const struct jt_record *r)
{
	jt__buf_append(b, "{", 1);
	for (size_t i = 0; i < jt__n_record_fields; i++) {
		jt__json_key(b, jt__record_fields[i].name);
		put_value(b, r, &jt__record_fields[i]);
	}
	jt__buf_append(b, "}", 1);
}

static bool read_time(const json_t *v, uint64_t *ret)
{
	return json_is_string(v) && jt__parse_rfc3339(json_string_value(v), ret);
}

/* A decimal of the unit into its 10^-3, 10^-6 or 10^-9 parts: exact below 2^53 of them. */
static bool read_scaled(const json_t *v, double scale, uint64_t *ret)
{
	double d = json_number_value(v);

	if (!json_is_number(v) || !(d >= 0) || d * scale > 9e18)
		return false;
	*ret = (uint64_t)llround(d * scale);
	return true;
}

static bool read_value(struct jt_record *r, const struct jt_field *f, const json_t *v)
{
	uint64_t *number = number_of(r, f);

	if (json_is_null(v) && f->kind != JT_KIND_TEXT && f->kind != JT_KIND_BOOL)
		return true;
	switch (f->kind) {
	case JT_KIND_TEXT:
		return json_is_string(v) &&
		       jt__copy_text(text_of(r, f), f->size, json_string_value(v),
		                     json_string_length(v));
	case JT_KIND_TIME:
		return read_time(v, number);
	case JT_KIND_COUNT:
		*number = (uint64_t)json_integer_value(v);
		return json_is_integer(v) && json_integer_value(v) >= 0;
	case JT_KIND_BOOL:
		*number = json_is_true(v);
		return json_is_boolean(v);
	case JT_KIND_SECONDS:
		return read_scaled(v, 1e9, number);
	case JT_KIND_JOULES:
	case JT_KIND_RATIO:
		return read_scaled(v, 1e6, number);
	case JT_KIND_NUMBER:
		return read_scaled(v, 1e3, number);
	}
	return false;
}

int jt__record_parse(const char *json, size_t n, struct jt_record *ret_record, struct jt_error *err)
{
	json_error_t why;
	json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &why);
	struct jt_record r;
	int status = JT_OK;

	if (!root)
		return jt__fail(err, JT_EINVAL, "record", "not JSON: %s", why.text);
	if (!json_is_object(root)) {
		json_decref(root);
		return jt__fail(err, JT_EINVAL, "record", "not a JSON object");
	}
	jt__record_init(&r);
	for (size_t i = 0; i < jt__n_record_fields && status == JT_OK; i++) {
		const struct jt_field *f = &jt__record_fields[i];
		const json_t *v = json_object_get(root, f->name);

		if (v && !read_value(&r, f, v))
			status = jt__fail(err, JT_EINVAL, "record", "bad value of '%s'", f->name);
	}
	json_decref(root);
	if (status == JT_OK)
		*ret_record = r;
	return status;
}
