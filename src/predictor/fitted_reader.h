/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FITTED_READER_H
#define JT_FITTED_READER_H
/*
 * A model file on its way into the block: what is read is checked, and appended where its place in
 * the block is known from then on. All of it gives JT_EINVAL with the path of what is wrong,
 * JT_ENOMEM, or JT_ELIMIT where the block becomes too large. One thread.
 */
#include "base/buf.h"
#include "input/value.h"
#include "predictor/fitted.h"

#define JT_READER_LARGEST 1e30 /* of any number in the file; a float holds it */

struct jt_reader {
	struct jt_buf block;
	struct jt_fitted head; /* of the block, written last */
	const char *const *names;
	struct jt_error *err;
};

/* @status, JT_ENOMEM or JT_ELIMIT, in words. */
int jt__reader_fail(const struct jt_reader *r, int status);

/* Appends @n items of @size bytes each, where a list may begin. */
int jt__reader_put(struct jt_reader *r, const void *items, size_t n, size_t size,
                   struct jt_span_at *ret);
int jt__reader_put_text(struct jt_reader *r, const char *text, uint32_t *ret_at);

/* A text, or a list of them at most JT_MAX_KNOWN long, and where it is in the block. */
int jt__reader_text(struct jt_reader *r, const struct jt_value *v, uint32_t *ret_at);
int jt__reader_texts(struct jt_reader *r, const struct jt_value *list, struct jt_span_at *ret);

/* What must be there. */
int jt__reader_number(const struct jt_value *v, double min, double max, double *ret);
int jt__reader_count(const struct jt_value *v, double min, double max, uint32_t *ret);
/* A list, empty or not. */
int jt__reader_list(const struct jt_value *v, size_t max);
/* A list of exactly @n. */
int jt__reader_length(const struct jt_value *v, size_t n);
int jt__reader_numbers(const struct jt_value *object, const char *key, uint32_t n, double min,
                       double max, double *out);

/* The parts that the model is a sum of (fitted_parts.c); features have been read. */
int jt__reader_parts(struct jt_reader *r, const struct jt_value *root);

#endif
