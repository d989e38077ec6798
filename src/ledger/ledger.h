/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LEDGER_H
#define JT_LEDGER_H
/* Records as text, and the file they are appended to. */
#include "base/buf.h"
#include "jouletap/record.h"

enum jt_field_kind {
	JT_KIND_TEXT,
	JT_KIND_TIME,
	JT_KIND_COUNT,
	JT_KIND_BOOL,
	JT_KIND_JOULES,
	JT_KIND_SECONDS,
	JT_KIND_RATIO,
	JT_KIND_NUMBER,
};

/* The table of JT_RECORD_FIELDS, at run time. */
struct jt_field {
	enum jt_field_kind kind;
	const char *name;
	size_t offset;
	size_t size; /* of a text */
	const char *meaning;
};
extern const struct jt_field jt__record_fields[];
extern const size_t jt__n_record_fields;

/* Every number unknown, every text empty. */
void jt__record_init(struct jt_record *r);

/* One JSON object without a line end; unknown numbers are null, unknown texts "". */
void jt__record_json(struct jt_buf *b, const struct jt_record *r);

/* Reads such an object back. JT_EINVAL names the field; unknown keys are ignored. */
int jt__record_parse(const char *json, size_t n, struct jt_record *ret_record,
                     struct jt_error *err);

/* An append-only file of lines. Belongs to one thread. */
struct jt_lines; /* opaque */

/* @path "-" is stdout. Created with mode 0640 if it is not there. */
int jt__lines_open(const char *path, struct jt_lines **ret_lines, struct jt_error *err);
/*
 * The same, but begins a file: one that is there and not empty is renamed to @path with the time it
 * was last written to, "run.jsonl.2026-01-31T12:34:56.789Z".
 */
int jt__lines_begin(const char *path, struct jt_lines **ret_lines, struct jt_error *err);
/* Appends one line in one write. A failure is logged at most once a minute and counted; the line is
 * lost. */
int jt__lines_append(struct jt_lines *l, const char *line, size_t n);
/* Opens the path again: for log rotation. The old file stays if that fails. */
int jt__lines_reopen(struct jt_lines *l, struct jt_error *err);
uint64_t jt__lines_lost(const struct jt_lines *l);
void jt__lines_close(struct jt_lines *l); /* accepts NULL */

#endif
