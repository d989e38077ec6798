/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "input/textfile.h"
#include "input/value.h"

struct jt_value jt__value_get(const struct jt_value *object, const char *key)
{
	struct jt_value v = *object;

	v.json = json_object_get(object->json, key);
	if (json_is_null(v.json))
		v.json = NULL;
	v.up = object;
	v.key = key;
	return v;
}

struct jt_value jt__value_item(const struct jt_value *list, size_t index)
{
	struct jt_value v = *list;

	v.json = json_array_get(list->json, index);
	v.up = list;
	v.key = NULL;
	v.index = index;
	return v;
}

/* Appends where @v stands; a path that does not fit is cut. */
static size_t write_path(const struct jt_value *v, char *out, size_t size)
{
	size_t n;

	if (!v->up)
		return 0;
	n = write_path(v->up, out, size);
	if (n >= size)
		return n;
	if (!v->key)
		return n + (size_t)snprintf(out + n, size - n, "[%zu]", v->index);
	return n + (size_t)snprintf(out + n, size - n, "%s%s", n ? "." : "", v->key);
}

int jt__value_fail(const struct jt_value *v, int status, const char *fmt, ...)
{
	char path[128] = "", message[256];
	va_list ap;

	write_path(v, path, sizeof(path));
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return jt__fail(v->err, status, jt__path_tail(v->file), "%s%s%s", path, *path ? ": " : "",
	                message);
}

static int read_number(const struct jt_value *v, const struct jt_field *f, void *member)
{
	double d = json_number_value(v->json);

	if (!json_is_number(v->json))
		return jt__value_fail(v, JT_EINVAL, "must be a number");
	if (!(d >= f->min && d <= f->max))
		return jt__value_fail(v, JT_EINVAL, "%g is not within %g and %g%s%s", d, f->min,
		                      f->max, f->unit ? " " : "", f->unit ? f->unit : "");
	memcpy(member, &d, sizeof(d));
	return JT_OK;
}

static int read_count(const struct jt_value *v, const struct jt_field *f, void *member)
{
	json_int_t i = json_integer_value(v->json);
	uint32_t n = (uint32_t)i;

	if (!json_is_integer(v->json))
		return jt__value_fail(v, JT_EINVAL, "must be a whole number");
	if ((double)i < f->min || (double)i > f->max)
		return jt__value_fail(v, JT_EINVAL,
		                      "%" JSON_INTEGER_FORMAT " is not within %.0f and %.0f", i,
		                      f->min, f->max);
	memcpy(member, &n, sizeof(n));
	return JT_OK;
}

static int read_text(const struct jt_value *v, const struct jt_field *f, void *member)
{
	size_t n = json_string_length(v->json);

	if (!json_is_string(v->json) || !n)
		return jt__value_fail(v, JT_EINVAL, "must be a text");
	if (n >= f->size)
		return jt__value_fail(v, JT_EINVAL, "is longer than %zu bytes", f->size - 1);
	memcpy(member, json_string_value(v->json), n + 1);
	return JT_OK;
}

static int read_bool(const struct jt_value *v, void *member)
{
	bool b = json_is_true(v->json);

	if (!json_is_boolean(v->json))
		return jt__value_fail(v, JT_EINVAL, "must be true or false");
	memcpy(member, &b, sizeof(b));
	return JT_OK;
}

int jt__value_read(const struct jt_value *v, const struct jt_field *f, void *out)
{
	void *member = out ? (char *)out + f->offset : NULL;

	if (!v->json)
		return f->required ? jt__value_fail(v, JT_EINVAL, "is missing") : JT_OK;
	switch (f->kind) {
	case JT_FIELD_NUMBER:
		return read_number(v, f, member);
	case JT_FIELD_COUNT:
		return read_count(v, f, member);
	case JT_FIELD_BOOL:
		return read_bool(v, member);
	case JT_FIELD_TEXT:
		return read_text(v, f, member);
	default:
		return JT_OK;
	}
}

/* The key that @name may have been meant to be, else NULL. */
static const char *nearest(const struct jt_field *fields, const char *name)
{
	unsigned best = (unsigned)(strlen(name) + 2) / 3 + 1;
	const char *found = NULL;

	for (const struct jt_field *f = fields; f->key; f++) {
		unsigned distance = jt__edit_distance(f->key, name);

		if (distance < best) {
			best = distance;
			found = f->key;
		}
	}
	return found;
}

static int fail_unknown(const struct jt_value *v, const struct jt_field *fields)
{
	const char *meant = nearest(fields, v->key);
	char list[200] = "";
	size_t n = 0;

	if (meant)
		return jt__value_fail(v, JT_EINVAL, "is not known here; did you mean '%s'", meant);
	for (const struct jt_field *f = fields; f->key && n < sizeof(list); f++)
		n += (size_t)snprintf(list + n, sizeof(list) - n, " '%s'", f->key);
	return jt__value_fail(v, JT_EINVAL, "is not known here; keys are%s", list);
}

static bool is_known(const struct jt_field *f, const char *name)
{
	while (f->key && strcmp(f->key, name) != 0)
		f++;
	return f->key != NULL;
}

int jt__value_fields(const struct jt_value *object, const struct jt_field *fields, void *out)
{
	const char *key;
	json_t *json;

	if (!object->json)
		return jt__value_fail(object, JT_EINVAL, "is missing");
	if (!json_is_object(object->json))
		return jt__value_fail(object, JT_EINVAL, "must be an object");
	json_object_foreach(object->json, key, json)
	{
		struct jt_value v = jt__value_get(object, key);

		if (!is_known(fields, key))
			return fail_unknown(&v, fields);
	}
	for (const struct jt_field *f = fields; f->key; f++) {
		struct jt_value v = jt__value_get(object, f->key);
		int status = jt__value_read(&v, f, out);

		if (status)
			return status;
	}
	return JT_OK;
}

int jt__value_list(const struct jt_value *v, size_t max)
{
	if (!v->json)
		return jt__value_fail(v, JT_EINVAL, "is missing");
	if (!json_is_array(v->json))
		return jt__value_fail(v, JT_EINVAL, "must be a list");
	if (json_array_size(v->json) == 0)
		return jt__value_fail(v, JT_EINVAL, "is empty");
	if (json_array_size(v->json) > max)
		return jt__value_fail(v, JT_EINVAL, "has more than %zu items", max);
	return JT_OK;
}

int jt__value_choice(const struct jt_value *v, const char *const *choices, size_t *ret_index)
{
	const char *text = json_string_value(v->json);
	char list[128] = "";
	size_t n = 0;

	for (size_t i = 0; choices[i]; i++) {
		if (text && strcmp(choices[i], text) == 0) {
			*ret_index = i;
			return JT_OK;
		}
		if (n < sizeof(list))
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s\"%s\"", i ? ", " : "",
			                      choices[i]);
	}
	return jt__value_fail(v, JT_EINVAL, "must be one of %s", list);
}

int jt__value_parse(const char *text, size_t n, const char *path, struct jt_value *ret_root,
                    struct jt_error *err)
{
	json_error_t je = { .text = "" };
	json_t *json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);

	/* Jansson gives most of its failed allocations no code and no text. */
	if (!json && (json_error_code(&je) == json_error_out_of_memory || !je.text[0]))
		return jt__fail(err, JT_ENOMEM, jt__path_tail(path), "no memory to parse it");
	if (!json)
		return jt__textfile_fail(err, path, (size_t)je.line, "%s", je.text);
	*ret_root = (struct jt_value){ .json = json, .file = path, .err = err };
	return JT_OK;
}

int jt__value_load(const char *path, const char *who, size_t max, struct jt_value *ret_root,
                   struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, max);
	status = jt__textfile_read(path, who, &text, err);
	if (!status)
		status = jt__value_parse(jt__buf_bytes(&text), jt__buf_len(&text), path, ret_root,
		                         err);
	jt__buf_fini(&text);
	return status;
}

const char *jt__path_tail(const char *path)
{
	const size_t room = sizeof(((struct jt_error *)0)->where);
	const char *slash;

	while (strlen(path) >= room && (slash = strchr(path, '/')) != NULL)
		path = slash + 1;
	return path;
}
