/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "predictor/fitted_reader.h"

int jt__reader_fail(const struct jt_reader *r, int status)
{
	if (status == JT_ELIMIT)
		return jt__fail(r->err, status, "predictor", "the model is larger than %u MiB",
		                JT_FITTED_MAX_BYTES >> 20);
	return jt__fail(r->err, status, "predictor", "%s", jt_strerror(status));
}

int jt__reader_put(struct jt_reader *r, const void *items, size_t n, size_t size,
                   struct jt_span_at *ret)
{
	static const char zeros[8] = { 0 };
	int status = jt__buf_append(&r->block, zeros, -jt__buf_len(&r->block) % 8);

	ret->at = (uint32_t)jt__buf_len(&r->block);
	ret->n = (uint32_t)n;
	if (!status)
		status = jt__buf_append(&r->block, items, n * size);
	return status ? jt__reader_fail(r, status) : JT_OK;
}

int jt__reader_put_text(struct jt_reader *r, const char *text, uint32_t *ret_at)
{
	int status;

	*ret_at = (uint32_t)jt__buf_len(&r->block);
	status = jt__buf_append(&r->block, text, strlen(text) + 1);
	return status ? jt__reader_fail(r, status) : JT_OK;
}

int jt__reader_text(struct jt_reader *r, const struct jt_value *v, uint32_t *ret_at)
{
	if (!json_is_string(v->json))
		return jt__value_fail(v, JT_EINVAL, v->json ? "must be a text" : "is missing");
	return jt__reader_put_text(r, json_string_value(v->json), ret_at);
}

int jt__reader_number(const struct jt_value *v, double min, double max, double *ret)
{
	const struct jt_field f = {
		.kind = JT_FIELD_NUMBER, .required = true, .min = min, .max = max
	};

	return jt__value_read(v, &f, ret);
}

int jt__reader_count(const struct jt_value *v, double min, double max, uint32_t *ret)
{
	const struct jt_field f = {
		.kind = JT_FIELD_COUNT, .required = true, .min = min, .max = max
	};

	return jt__value_read(v, &f, ret);
}

int jt__reader_list(const struct jt_value *v, size_t max)
{
	return json_is_array(v->json) && json_array_size(v->json) == 0 ? JT_OK
	                                                               : jt__value_list(v, max);
}

int jt__reader_length(const struct jt_value *v, size_t n)
{
	int status = jt__reader_list(v, JT_MAX_TREE_NODES);

	if (!status && json_array_size(v->json) != n)
		return jt__value_fail(v, JT_EINVAL, "has %zu items and not %zu",
		                      json_array_size(v->json), n);
	return status;
}

int jt__reader_numbers(const struct jt_value *object, const char *key, uint32_t n, double min,
                       double max, double *out)
{
	struct jt_value list = jt__value_get(object, key);
	int status = jt__reader_length(&list, n);

	for (uint32_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(&list, i);

		status = jt__reader_number(&v, min, max, &out[i]);
	}
	return status;
}

int jt__reader_texts(struct jt_reader *r, const struct jt_value *list, struct jt_span_at *ret)
{
	int status = jt__reader_list(list, JT_MAX_KNOWN);
	size_t n = json_array_size(list->json);
	uint32_t *at;

	if (status)
		return status;
	at = jt__alloc(n + 1, sizeof(*at));
	if (!at)
		return jt__reader_fail(r, JT_ENOMEM);
	for (size_t i = 0; !status && i < n; i++) {
		struct jt_value v = jt__value_item(list, i);

		status = jt__reader_text(r, &v, &at[i]);
	}
	if (!status)
		status = jt__reader_put(r, at, n, sizeof(*at), ret);
	jt__free(at);
	return status;
}
