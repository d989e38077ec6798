/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_VALUE_H
#define JT_VALUE_H
/*
 * A JSON value that knows where it stands, so that an error can say
 * "nodes[0].instances[1].tp_size"; and objects read through a table of their keys. Values are
 * small, live on the stack and point to the one that contains them. Pure but for loading a file;
 * one thread.
 */
#include <jansson.h>
#include "base/buf.h"

struct jt_value {
	json_t *json;              /* borrowed; NULL where it is absent, or null */
	const struct jt_value *up; /* what contains it; NULL: the whole file */
	const char *key;           /* in an object; NULL in a list */
	size_t index;              /* in a list */
	const char *file;
	struct jt_error *err;
};

enum jt_field_kind {
	JT_FIELD_OTHER,  /* known here, read by its own code */
	JT_FIELD_NUMBER, /* double */
	JT_FIELD_COUNT,  /* uint32_t */
	JT_FIELD_BOOL,
	JT_FIELD_TEXT, /* char[]; not empty */
};

/* A key of an object. What an optional one does not give stays as it is. */
struct jt_field {
	const char *key;
	enum jt_field_kind kind;
	bool required;
	double min, max; /* of numbers and counts */
	const char *unit;
	size_t offset, size; /* of the member */
};
#define JT_FIELD_AT(type, member)                                                                  \
	.offset = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* The member @key of @object. */
struct jt_value jt__value_get(const struct jt_value *object, const char *key);
/* Item @index of @list. */
struct jt_value jt__value_item(const struct jt_value *list, size_t index);

/* "PATH: message" in the name of the file; returns @status. */
int jt__value_fail(const struct jt_value *v, int status, const char *fmt, ...) JT_PRINTF(3, 4);

/*
 * Reads all that @fields (up to one without a key) say of @object into @out. JT_EINVAL: it is no
 * object, has a key that is not among them, lacks one that it must have, or one is not as it should
 * be.
 */
int jt__value_fields(const struct jt_value *object, const struct jt_field *fields, void *out);
/* One field, whether @v is a member or an item. */
int jt__value_read(const struct jt_value *v, const struct jt_field *field, void *out);
/* @v must be a list of at least one and at most @max. JT_EINVAL. */
int jt__value_list(const struct jt_value *v, size_t max);
/* The index of text @v in @choices (up to a NULL). JT_EINVAL. */
int jt__value_choice(const struct jt_value *v, const char *const *choices, size_t *ret_index);

/* Parses @text; the caller gives ret_root->json back by json_decref(). JT_EINVAL, JT_ENOMEM. */
int jt__value_parse(const char *text, size_t n, const char *path, struct jt_value *ret_root,
                    struct jt_error *err);

/* The same from a file of at most @max bytes, @who as for jt__textfile_read(). JT_ENOENT, JT_EPERM,
 * JT_EIO, JT_ELIMIT as well. */
int jt__value_load(const char *path, const char *who, size_t max, struct jt_value *ret_root,
                   struct jt_error *err);

/* The end of @path that fits into jt_error.where. */
const char *jt__path_tail(const char *path);

#endif
