/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "simulator/catalog.h"
#include "simulator/profile_path.h"
#include "simulator/rows.h"

#define MAX_READY 4096 /* numbers of tokens whose latency is worked out once and for all */
#define MAX_REMARKS 65536

/* Of one layer, over tokens or sequences. */
struct table {
	const struct jt_curve *curve;
	uint64_t *ready; /* of 0 … n_ready - 1, in ns */
	uint32_t n_ready;
};

struct jt_profile_tables {
	struct jt_grid layers; /* one surface: index into the catalog, tokens or sequences */
	struct table tables[JT_CATALOG_MAX_LAYERS];
	int n_tables;
	struct jt_attention_table attention;
	struct jt_skew skew;
	struct jt_grid moe; /* one surface: tokens, experts */
};

struct loader {
	const struct jt_profile_where *where;
	char directory[JT_PROFILE_MAX_PATH]; /* of the variant: holds meta.yaml and tp1/ */
	struct jt_catalog catalog;
	struct jt_points points;
	struct jt_profile *p;
	struct jt_error *err;
};

static int fail_memory(const struct loader *l)
{
	return jt__fail(l->err, JT_ENOMEM, "simulate", "%s", jt_strerror(JT_ENOMEM));
}

/* The file @name of what was measured on @ranks. */
static int table_path(const struct loader *l, char out[JT_PROFILE_MAX_PATH], uint32_t ranks,
                      const char *name)
{
	char below[64];

	snprintf(below, sizeof(below), "tp%u/%s", ranks, name);
	return jt__profile_join(out, l->directory, below, l->err);
}

static int load_catalog(struct loader *l)
{
	char path[JT_PROFILE_MAX_PATH];
	struct jt_yamlfile y;
	int status = jt__profile_find_catalog(l->where, path, l->err);

	if (!status)
		status = jt__yamlfile_load(&y, path, l->err);
	if (status)
		return status;
	status = jt__catalog_read(&y, &l->catalog);
	jt__yamlfile_close(&y);
	return status;
}

/* On how many ranks @layer was measured. */
static uint32_t ranks_of(const struct loader *l, const struct jt_catalog_layer *layer)
{
	return layer->is_tp_stable || layer->kind == JT_LAYER_MOE ? 1 : l->where->tp;
}

static const struct jt_catalog_layer *find_kind(const struct loader *l, enum jt_layer_kind kind)
{
	for (uint32_t i = 0; i < l->catalog.n_layers; i++)
		if (l->catalog.layers[i].kind == kind)
			return &l->catalog.layers[i];
	return NULL;
}

/* Which layer of @kind on @ranks a row is for; n_layers: none. @last is where the row before was.
 */
static uint32_t layer_of(const struct loader *l, const struct jt_cell *name, uint32_t last,
                         enum jt_layer_kind kind, uint32_t ranks)
{
	uint32_t n = l->catalog.n_layers;

	for (uint32_t k = 0; k < n; k++) {
		uint32_t i = (last + k) % n;
		const struct jt_catalog_layer *layer = &l->catalog.layers[i];

		if (strlen(layer->name) == name->n && memcmp(layer->name, name->text, name->n) == 0)
			return layer->kind == kind && ranks_of(l, layer) == ranks ? i : n;
	}
	return n;
}

static int read_layers(struct loader *l, struct jt_rows *r, enum jt_layer_kind kind, uint32_t ranks)
{
	uint32_t last = 0;
	bool any = false;
	int status;

	while ((status = jt__rows_next(r)) > 0) {
		struct jt_point p = { .x = layer_of(l, &r->cells[0], last, kind, ranks) };

		any = true;
		if ((status = jt__rows_whole(r, 1, JT_GRID_MAX_KEY, &p.y)) ||
		    (status = jt__rows_ns(r, 2, &p.value)))
			return status;
		if (p.x == l->catalog.n_layers)
			continue;
		last = p.x;
		status = jt__rows_keep(r, &l->points, &p);
		if (status)
			return status;
	}
	if (!status && !any)
		return jt__textfile_fail(r->err, r->path, r->line, "the table has no rows");
	return status;
}

/* @ranks: of the file. Nothing is read of which no layer is wanted. */
static int load_layers(struct loader *l, enum jt_layer_kind kind, uint32_t ranks)
{
	const char *const names[] = { "layer", kind == JT_LAYER_DENSE ? "tokens" : "sequences",
		                      "time_us" };
	struct jt_rows rows;
	bool wanted = false;
	char path[JT_PROFILE_MAX_PATH];
	int status;

	for (uint32_t i = 0; i < l->catalog.n_layers; i++)
		wanted |= l->catalog.layers[i].kind == kind &&
		          ranks_of(l, &l->catalog.layers[i]) == ranks;
	if (!wanted)
		return JT_OK;
	status = table_path(l, path, ranks,
	                    kind == JT_LAYER_DENSE ? "dense.csv" : "per_sequence.csv");
	if (!status)
		status = jt__rows_open(&rows, path, names, JT_ARRAY_LEN(names), l->err);
	if (status)
		return status;
	status = read_layers(l, &rows, kind, ranks);
	jt__rows_close(&rows);
	return status;
}

static uint64_t whole_ns(double v)
{
	return JT_MAX(1, jt__whole(v));
}

static int make_ready(struct table *t)
{
	uint64_t last = t->curve->keys[t->curve->n - 1];

	t->ready = jt__alloc(JT_MIN(last, MAX_READY - 1) + 1, sizeof(*t->ready));
	if (!t->ready)
		return JT_ENOMEM;
	t->n_ready = (uint32_t)JT_MIN(last, MAX_READY - 1) + 1;
	for (uint32_t i = 0; i < t->n_ready; i++)
		t->ready[i] = whole_ns(jt__curve_at(t->curve, i));
	return JT_OK;
}

/* Where in the tables each layer of the catalog is; -1: it has no rows. */
static int build_tables(struct loader *l, int table_of[JT_CATALOG_MAX_LAYERS])
{
	struct jt_profile_tables *t = l->p->tables;
	const struct jt_surface *s;

	memset(table_of, -1, JT_CATALOG_MAX_LAYERS * sizeof(*table_of));
	if (jt__grid_build(&t->layers, &l->points))
		return fail_memory(l);
	s = t->layers.surfaces;
	for (uint32_t i = 0; s && i < s->n; i++) {
		table_of[s->keys[i]] = t->n_tables;
		t->tables[t->n_tables].curve = &s->curves[i];
		if (make_ready(&t->tables[t->n_tables++]))
			return fail_memory(l);
	}
	return JT_OK;
}

static int load_attention(struct loader *l)
{
	const struct jt_catalog_layer *layer = find_kind(l, JT_LAYER_ATTENTION);
	char path[JT_PROFILE_MAX_PATH];
	int status;

	if (!layer)
		return JT_OK;
	status = table_path(l, path, ranks_of(l, layer), "attention.csv");
	if (!status)
		status = jt__attention_load(&l->p->tables->attention, path, l->err);
	return status;
}

/* Without meta.yaml, a fit in it, or its table, there is no correction. */
static int load_skew(struct loader *l)
{
	struct jt_skew *skew = &l->p->tables->skew;
	char path[JT_PROFILE_MAX_PATH];
	struct jt_yamlfile y;
	int status = jt__profile_join(path, l->directory, "meta.yaml", l->err);

	if (status || access(path, F_OK) != 0)
		return status;
	status = jt__yamlfile_load(&y, path, l->err);
	if (status)
		return status;
	status = jt__catalog_read_skew(&y, l->where->tp, skew);
	jt__yamlfile_close(&y);
	if (!status)
		status = table_path(l, path, l->where->tp, "skew_fit.csv");
	if (status)
		return status;
	skew->is_on = skew->is_on && access(path, F_OK) == 0;
	return skew->is_on ? jt__skew_load(skew, path, l->err) : JT_OK;
}

static int read_moe(struct loader *l, struct jt_rows *r)
{
	struct jt_points points = { 0 };
	int status;

	while ((status = jt__rows_next(r)) > 0) {
		struct jt_point p = { 0 };

		if ((status = jt__rows_whole(r, 0, JT_GRID_MAX_KEY, &p.x)) ||
		    (status = jt__rows_whole(r, 1, JT_GRID_MAX_KEY, &p.y)) ||
		    (status = jt__rows_ns(r, 2, &p.value)) ||
		    (status = jt__rows_keep(r, &points, &p)))
			break;
	}
	if (!status && points.n == 0)
		status = jt__textfile_fail(r->err, r->path, r->line, "the table has no rows");
	if (!status && jt__grid_build(&l->p->tables->moe, &points))
		status = fail_memory(l);
	jt__points_fini(&points);
	return status;
}

static int load_moe(struct loader *l)
{
	static const char *const names[] = { "tokens", "activated_experts", "time_us" };
	char path[JT_PROFILE_MAX_PATH];
	struct jt_rows rows;
	int status;

	if (!find_kind(l, JT_LAYER_MOE))
		return JT_OK;
	status = table_path(l, path, 1, "moe.csv");
	if (!status)
		status = jt__rows_open(&rows, path, names, JT_ARRAY_LEN(names), l->err);
	if (status)
		return status;
	status = read_moe(l, &rows);
	jt__rows_close(&rows);
	return status;
}

static int build_part(struct loader *l, enum jt_layer_part part,
                      const int table_of[JT_CATALOG_MAX_LAYERS])
{
	struct jt_layer_list *list = &l->p->parts[part];
	uint32_t n = l->catalog.parts[part].n;

	list->layers = jt__alloc(n, sizeof(*list->layers));
	if (!list->layers)
		return JT_ENOMEM;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t index = l->catalog.parts[part].layers[i];
		const struct jt_catalog_layer *from = &l->catalog.layers[index];
		bool has_table =
			from->kind == JT_LAYER_DENSE || from->kind == JT_LAYER_PER_SEQUENCE;
		struct jt_layer *to = &list->layers[list->n];

		if (has_table && table_of[index] < 0)
			continue;
		memcpy(to->name, from->name, sizeof(to->name));
		to->kind = from->kind;
		to->table = table_of[index];
		list->n++;
	}
	return JT_OK;
}

/* Each layer that has no rows, once, if the sequence asks for it. */
static int build_remarks(struct loader *l, const int table_of[JT_CATALOG_MAX_LAYERS])
{
	bool asked[JT_CATALOG_MAX_LAYERS] = { false };
	struct jt_buf b;
	int status = JT_OK;

	for (int part = 0; part < JT_N_PARTS; part++)
		for (uint32_t i = 0; i < l->catalog.parts[part].n; i++)
			asked[l->catalog.parts[part].layers[i]] = true;
	jt__buf_init(&b, MAX_REMARKS);
	for (uint32_t i = 0; i < l->catalog.n_layers; i++) {
		enum jt_layer_kind kind = l->catalog.layers[i].kind;

		if (!asked[i] || table_of[i] >= 0 ||
		    (kind != JT_LAYER_DENSE && kind != JT_LAYER_PER_SEQUENCE))
			continue;
		jt__buf_printf(&b, "%slayer '%s' of %s on %s has no figures and is left out",
		               jt__buf_len(&b) ? "\n" : "", l->catalog.layers[i].name,
		               l->where->model, l->where->hardware);
	}
	if (jt__buf_len(&b)) {
		l->p->remarks = jt__alloc(jt__buf_len(&b) + 1, 1);
		if (l->p->remarks)
			memcpy(l->p->remarks, jt__buf_bytes(&b), jt__buf_len(&b));
		else
			status = JT_ENOMEM;
	}
	if (b.failed)
		status = JT_ENOMEM;
	jt__buf_fini(&b);
	return status;
}

static int build_parts(struct loader *l)
{
	int table_of[JT_CATALOG_MAX_LAYERS];
	int status = build_tables(l, table_of);

	if (status)
		return status;
	for (int part = 0; !status && part < JT_N_PARTS; part++)
		status = build_part(l, (enum jt_layer_part)part, table_of);
	if (!status)
		status = build_remarks(l, table_of);
	return status ? fail_memory(l) : JT_OK;
}

static int load(struct loader *l)
{
	uint32_t tp = l->where->tp;
	int status;

	if ((status = jt__profile_find(l->where, l->directory, l->err)) ||
	    (status = load_catalog(l)) || (status = load_layers(l, JT_LAYER_DENSE, tp)) ||
	    (status = load_layers(l, JT_LAYER_PER_SEQUENCE, tp)))
		return status;
	if (tp != 1 && ((status = load_layers(l, JT_LAYER_DENSE, 1)) ||
	                (status = load_layers(l, JT_LAYER_PER_SEQUENCE, 1))))
		return status;
	if ((status = load_attention(l)) || (status = load_skew(l)) || (status = load_moe(l)))
		return status;
	return build_parts(l);
}

int jt__profile_load(const struct jt_profile_where *where, struct jt_profile **ret_profile,
                     struct jt_error *err)
{
	struct loader *l = jt__alloc(1, sizeof(*l));
	int status = JT_ENOMEM;

	if (!l)
		return jt__fail(err, JT_ENOMEM, "simulate", "%s", jt_strerror(JT_ENOMEM));
	l->where = where;
	l->err = err;
	l->p = jt__alloc(1, sizeof(*l->p));
	if (l->p)
		l->p->tables = jt__alloc(1, sizeof(*l->p->tables));
	status = l->p && l->p->tables ? load(l) : fail_memory(l);
	if (status)
		jt__profile_free(l->p);
	else
		*ret_profile = l->p;
	jt__points_fini(&l->points);
	jt__free(l);
	return status;
}

void jt__profile_free(struct jt_profile *p)
{
	struct jt_profile_tables *t;

	if (!p)
		return;
	t = p->tables;
	for (int i = 0; i < JT_N_PARTS; i++)
		jt__free(p->parts[i].layers);
	for (int i = 0; t && i < t->n_tables; i++)
		jt__free(t->tables[i].ready);
	if (t) {
		jt__grid_fini(&t->layers);
		jt__attention_fini(&t->attention);
		jt__skew_fini(&t->skew);
		jt__grid_fini(&t->moe);
	}
	jt__free(t);
	jt__free(p->remarks);
	jt__free(p);
}

uint64_t jt__profile_layer_ns(const struct jt_profile *p, const struct jt_layer *layer, uint64_t n)
{
	const struct table *t = &p->tables->tables[layer->table];

	return n < t->n_ready ? t->ready[n] : whole_ns(jt__curve_at(t->curve, n));
}

uint64_t jt__profile_attention_ns(const struct jt_profile *p, const struct jt_attention *a,
                                  bool skew_exact)
{
	const struct jt_attention_table *t = &p->tables->attention;
	const struct jt_skew *skew = &p->tables->skew;
	uint64_t mean = a->n_decode ? a->decode_kv_tokens / a->n_decode : 0;
	uint64_t of_mean = whole_ns(
		jt__attention_at(t, a->prefill_tokens, a->prefill_kv_tokens, a->n_decode, mean));
	uint64_t of_max;
	double alpha;

	if (!skew->is_on || a->n_decode < 2 || a->decode_kv_max == mean)
		return of_mean;
	alpha = jt__skew_alpha(skew, a, mean, skew_exact);
	if (alpha == 0)
		return of_mean;
	of_max = whole_ns(jt__attention_at(t, a->prefill_tokens, a->prefill_kv_tokens, a->n_decode,
	                                   a->decode_kv_max));
	if (of_max <= of_mean)
		return of_mean;
	return whole_ns(rint((double)of_mean + alpha * (double)(of_max - of_mean)));
}

uint64_t jt__profile_moe_ns(const struct jt_profile *p, uint64_t tokens, uint64_t experts)
{
	return whole_ns(jt__surface_at(p->tables->moe.surfaces, tokens, experts));
}
