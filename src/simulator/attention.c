/* SPDX-License-Identifier: Apache-2.0 */
#include "simulator/attention.h"
#include "simulator/rows.h"

static int read_points(struct jt_rows *r, struct jt_points *points)
{
	int status;

	while ((status = jt__rows_next(r)) > 0) {
		struct jt_point p;

		if ((status = jt__rows_whole(r, 0, JT_GRID_MAX_KEY, &p.surface[0])) ||
		    (status = jt__rows_whole(r, 1, JT_GRID_MAX_KEY, &p.x)) ||
		    (status = jt__rows_whole(r, 2, JT_GRID_MAX_KEY, &p.surface[1])) ||
		    (status = jt__rows_whole(r, 3, JT_GRID_MAX_KEY, &p.y)) ||
		    (status = jt__rows_ns(r, 4, &p.value)) ||
		    (status = jt__rows_keep(r, points, &p)))
			return status;
	}
	if (!status && points->n == 0)
		return jt__textfile_fail(r->err, r->path, r->line, "the table has no rows");
	return status;
}

/* Puts @key where it belongs in a rising list; JT_ELIMIT: it is full. */
static int put_key(uint32_t *keys, uint32_t *n, uint32_t key)
{
	uint32_t i = *n;

	while (i > 0 && keys[i - 1] > key)
		i--;
	if (i > 0 && keys[i - 1] == key)
		return JT_OK;
	if (*n == JT_ATTENTION_MAX_AXIS)
		return JT_ELIMIT;
	for (uint32_t k = (*n)++; k > i; k--)
		keys[k] = keys[k - 1];
	keys[i] = key;
	return JT_OK;
}

/* What stands in for a pair that was not measured; of equally near ones the lowest. */
static const struct jt_surface *nearest(const struct jt_grid *g, double chunk, double n_decode)
{
	const struct jt_surface *best = NULL;
	double best_distance = 0;

	for (uint32_t i = 0; i < g->n; i++) {
		double dc = g->surfaces[i].name[0] - chunk, dn = g->surfaces[i].name[1] - n_decode;
		double distance = dc * dc + dn * dn;

		if (best && distance >= best_distance)
			continue;
		best = &g->surfaces[i];
		best_distance = distance;
	}
	return best;
}

static int build_corners(struct jt_attention_table *t)
{
	t->chunks = jt__alloc(JT_ATTENTION_MAX_AXIS, sizeof(*t->chunks));
	t->decodes = jt__alloc(JT_ATTENTION_MAX_AXIS, sizeof(*t->decodes));
	if (!t->chunks || !t->decodes)
		return JT_ENOMEM;
	for (uint32_t i = 0; i < t->grid.n; i++)
		if (put_key(t->chunks, &t->n_chunks, t->grid.surfaces[i].name[0]) ||
		    put_key(t->decodes, &t->n_decodes, t->grid.surfaces[i].name[1]))
			return JT_ELIMIT;
	t->corners = jt__alloc((size_t)t->n_chunks * t->n_decodes, sizeof(*t->corners));
	if (!t->corners)
		return JT_ENOMEM;
	for (uint32_t c = 0; c < t->n_chunks; c++) {
		for (uint32_t d = 0; d < t->n_decodes; d++) {
			const struct jt_surface *s =
				jt__grid_find(&t->grid, t->chunks[c], t->decodes[d]);

			if (!s)
				s = nearest(&t->grid, t->chunks[c], t->decodes[d]);
			t->corners[c * t->n_decodes + d] = s;
		}
	}
	return JT_OK;
}

int jt__attention_load(struct jt_attention_table *t, const char *path, struct jt_error *err)
{
	static const char *const names[] = { "prefill_chunk", "kv_prefill", "n_decode", "kv_decode",
		                             "time_us" };
	struct jt_points points = { 0 };
	struct jt_rows rows;
	int status = jt__rows_open(&rows, path, names, JT_ARRAY_LEN(names), err);

	if (status)
		return status;
	status = read_points(&rows, &points);
	jt__rows_close(&rows);
	if (!status) {
		status = jt__grid_build(&t->grid, &points);
		if (!status)
			status = build_corners(t);
		if (status == JT_ELIMIT)
			jt__fail(err, status, "simulate",
			         "'%s' has more than %d different chunks or numbers of decodes",
			         path, JT_ATTENTION_MAX_AXIS);
		else if (status)
			jt__fail(err, status, "simulate", "%s", jt_strerror(status));
	}
	jt__points_fini(&points);
	if (status)
		jt__attention_fini(t);
	return status;
}

void jt__attention_fini(struct jt_attention_table *t)
{
	jt__grid_fini(&t->grid);
	jt__free(t->chunks);
	jt__free(t->decodes);
	jt__free(t->corners);
	*t = (struct jt_attention_table){ 0 };
}

double jt__attention_at(const struct jt_attention_table *t, uint64_t chunk, uint64_t prefill_kv,
                        uint64_t n_decode, uint64_t decode_kv)
{
	struct jt_bracket c = jt__bracket(t->chunks, t->n_chunks, chunk);
	struct jt_bracket d = jt__bracket(t->decodes, t->n_decodes, n_decode);
	double by_chunk[2] = { 0 };

	for (uint32_t i = 0; i <= (c.low != c.high); i++) {
		const struct jt_surface *const *row =
			&t->corners[(i ? c.high : c.low) * t->n_decodes];

		by_chunk[i] = jt__surface_at(row[d.low], prefill_kv, decode_kv);
		if (d.low != d.high)
			by_chunk[i] =
				jt__on_line((double)n_decode, t->decodes[d.low], by_chunk[i],
			                    t->decodes[d.high],
			                    jt__surface_at(row[d.high], prefill_kv, decode_kv));
	}
	if (c.low == c.high)
		return by_chunk[0];
	return jt__on_line((double)chunk, t->chunks[c.low], by_chunk[0], t->chunks[c.high],
	                   by_chunk[1]);
}
