/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "simulator/attention.h"
#include "simulator/rows.h"

#define MAX_ALPHA 1e6

static int find_label(const struct jt_skew_axis *a, const struct jt_cell *c)
{
	for (uint32_t i = 0; i < a->n; i++)
		if (strlen(a->labels[i]) == c->n && memcmp(a->labels[i], c->text, c->n) == 0)
			return (int)i;
	return -1;
}

/* Four buckets as one number, at most 2^20. */
static uint32_t join(const uint32_t buckets[JT_SKEW_AXES])
{
	uint32_t joined = 0;

	for (int i = 0; i < JT_SKEW_AXES; i++)
		joined = joined * JT_SKEW_MAX_BUCKETS + buckets[i];
	return joined;
}

static int read_rows(const struct jt_skew *s, struct jt_rows *r, struct jt_points *points)
{
	int status;

	while ((status = jt__rows_next(r)) > 0) {
		struct jt_point p = { 0 };
		uint32_t buckets[JT_SKEW_AXES];

		for (int i = 0; i < JT_SKEW_AXES; i++) {
			int found = find_label(&s->axes[i], &r->cells[1 + i]);

			if (found < 0)
				return jt__rows_fail(r, 1 + (size_t)i, "a label of meta.yaml");
			buckets[i] = (uint32_t)found;
		}
		p.y = join(buckets);
		if ((status = jt__rows_whole(r, 0, JT_GRID_MAX_KEY, &p.x)) ||
		    (status = jt__rows_real(r, 5, -MAX_ALPHA, MAX_ALPHA, &p.value)) ||
		    (status = jt__rows_keep(r, points, &p)))
			return status;
	}
	return status;
}

int jt__skew_load(struct jt_skew *s, const char *path, struct jt_error *err)
{
	static const char *const names[] = { "pc",           "n_label",  "skew_rate_label",
		                             "kv_big_label", "kp_label", "alpha" };
	struct jt_points points = { 0 };
	struct jt_rows rows;
	int status = jt__rows_open(&rows, path, names, JT_ARRAY_LEN(names), err);

	if (status)
		return status;
	status = read_rows(s, &rows, &points);
	jt__rows_close(&rows);
	if (!status) {
		status = jt__grid_build(&s->alphas, &points);
		if (status)
			jt__fail(err, status, "simulate", "%s", jt_strerror(status));
	}
	jt__points_fini(&points);
	return status;
}

void jt__skew_fini(struct jt_skew *s)
{
	jt__grid_fini(&s->alphas);
	s->is_on = false;
}

/* false: in none. */
static bool bucket_of(const struct jt_skew_axis *a, double v, uint32_t *ret_bucket)
{
	if (!(v > a->bounds[0]))
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		if (v > a->bounds[i + 1])
			continue;
		*ret_bucket = i;
		return true;
	}
	return false;
}

/* Which row of @s is meant by @chunk; @s->n: none. */
static uint32_t find_row(const struct jt_surface *s, uint64_t chunk, bool exact)
{
	struct jt_bracket b = jt__bracket(s->keys, s->n, chunk);

	if (exact)
		return s->keys[b.low] == chunk ? b.low : s->n;
	if (chunk >= s->keys[b.high])
		return b.high;
	return chunk > s->keys[b.low] && s->keys[b.high] - chunk < chunk - s->keys[b.low] ? b.high
	                                                                                  : b.low;
}

double jt__skew_alpha(const struct jt_skew *s, const struct jt_attention *a, uint64_t mean,
                      bool exact)
{
	const struct jt_surface *table = s->alphas.surfaces;
	double rate = ((double)mean - (double)a->decode_kv_min) /
	              ((double)a->decode_kv_max - (double)a->decode_kv_min);
	const double values[JT_SKEW_AXES] = { (double)a->n_decode, rate, (double)a->decode_kv_max,
		                              (double)a->prefill_kv_tokens };
	uint32_t row, buckets[JT_SKEW_AXES], key;
	const struct jt_curve *c;
	struct jt_bracket b;

	row = table ? find_row(table, a->prefill_tokens, exact) : 0;
	if (!table || row == table->n)
		return s->alpha_default;
	for (int i = 0; i < JT_SKEW_AXES; i++)
		if (!bucket_of(&s->axes[i], values[i], &buckets[i]))
			return s->alpha_default;
	c = &table->curves[row];
	key = join(buckets);
	b = jt__bracket(c->keys, c->n, key);
	return c->keys[b.low] == key ? c->values[b.low] : s->alpha_default;
}
