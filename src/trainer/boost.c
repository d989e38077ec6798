/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <xgboost/c_api.h>
#include "trainer/boost.h"

struct jt_boost {
	BoosterHandle handle;
};

/* ---- the library's names and values ---- */

#define MAX_SETTINGS 20

struct setting {
	const char *name;
	char value[32];
};

struct settings {
	struct setting *all;
	size_t n;
};

static void add(struct settings *s, const char *name, const char *value)
{
	struct setting *one = &s->all[s->n++];

	one->name = name;
	snprintf(one->value, sizeof(one->value), "%s", value);
}

static void add_number(struct settings *s, const char *name, double value)
{
	struct setting *one = &s->all[s->n++];

	one->name = name;
	snprintf(one->value, sizeof(one->value), "%.9g", value);
}

static void add_tree_settings(struct settings *s, const struct jt_boost_params *p)
{
	bool forest = p->kind == JT_BOOST_FOREST;

	add(s, "booster", "gbtree");
	add(s, "tree_method", "hist");
	add_number(s, "max_depth", p->depth);
	add_number(s, "min_child_weight", p->min_child_weight);
	add_number(s, "subsample", p->subsample);
	add_number(s, forest ? "colsample_bynode" : "colsample_bytree", p->colsample);
	/* The library divides the leaves of a round by its number of trees. */
	add_number(s, "num_parallel_tree", forest ? p->n_trees : 1);
	add_number(s, "eta", forest ? 1 : p->eta);
}

static size_t list_settings(const struct jt_boost_params *p, struct setting ret[MAX_SETTINGS])
{
	struct settings s = { .all = ret };

	if (p->kind == JT_BOOST_LINEAR) {
		add(&s, "booster", "gblinear");
		add(&s, "updater", "coord_descent");
		add(&s, "feature_selector", "cyclic");
		add_number(&s, "eta", p->eta);
	} else {
		add_tree_settings(&s, p);
	}
	add(&s, "objective", "reg:squarederror");
	add_number(&s, "lambda", p->lambda);
	add_number(&s, "alpha", p->alpha);
	add_number(&s, "seed", p->seed);
	add(&s, "nthread", "1");
	add(&s, "verbosity", "0");
	return s.n;
}

/* ---- fitting ---- */

static int failed(struct jt_error *err)
{
	const char *why = XGBGetLastError();

	return jt__fail(err, JT_EIO, "train", "xgboost: %.*s", (int)strcspn(why, "\n"), why);
}

static int make_matrix(const float *x, size_t n, size_t p, DMatrixHandle *ret, struct jt_error *err)
{
	return XGDMatrixCreateFromMat(x, n, p, NAN, ret) ? failed(err) : JT_OK;
}

static int set_params(BoosterHandle h, const struct jt_boost_params *params, struct jt_error *err)
{
	struct setting settings[MAX_SETTINGS];
	size_t n = list_settings(params, settings);

	for (size_t i = 0; i < n; i++)
		if (XGBoosterSetParam(h, settings[i].name, settings[i].value))
			return failed(err);
	return JT_OK;
}

int jt__boost_fit(const float *x, const float *y, size_t n, size_t p,
                  const struct jt_boost_params *params, struct jt_boost **ret, struct jt_error *err)
{
	int rounds = params->kind == JT_BOOST_FOREST ? 1 : (int)params->n_trees;
	struct jt_boost *b = jt__alloc(1, sizeof(*b));
	DMatrixHandle matrix = NULL;
	int status = JT_OK;

	if (!b)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	status = make_matrix(x, n, p, &matrix, err);
	if (status < 0)
		goto out;
	if (XGDMatrixSetFloatInfo(matrix, "label", y, n) ||
	    XGBoosterCreate(&matrix, 1, &b->handle)) {
		status = failed(err);
		goto out;
	}
	status = set_params(b->handle, params, err);
	for (int i = 0; i < rounds && status == JT_OK; i++)
		if (XGBoosterUpdateOneIter(b->handle, i, matrix))
			status = failed(err);
	if (status == JT_OK) {
		*ret = b;
		b = NULL;
	}
out:
	if (matrix)
		XGDMatrixFree(matrix);
	jt__boost_free(b);
	return status;
}

void jt__boost_free(struct jt_boost *b)
{
	if (b && b->handle)
		XGBoosterFree(b->handle);
	jt__free(b);
}

int jt__boost_predict(struct jt_boost *b, const float *x, size_t n, size_t p, float *ret_y,
                      struct jt_error *err)
{
	static const char config[] = "{\"type\":0,\"training\":false,\"iteration_begin\":0,"
				     "\"iteration_end\":0,\"strict_shape\":false}";
	DMatrixHandle matrix;
	const bst_ulong *shape;
	bst_ulong n_dims;
	const float *y;
	int status = make_matrix(x, n, p, &matrix, err);

	if (status < 0)
		return status;
	if (XGBoosterPredictFromDMatrix(b->handle, matrix, config, &shape, &n_dims, &y))
		status = failed(err);
	else
		memcpy(ret_y, y, n * sizeof(*y));
	XGDMatrixFree(matrix);
	return status;
}

int jt__boost_json(struct jt_boost *b, struct jt_buf *out, struct jt_error *err)
{
	const char *bytes;
	bst_ulong n;
	int status;

	if (XGBoosterSaveModelToBuffer(b->handle, "{\"format\":\"json\"}", &n, &bytes))
		return failed(err);
	status = jt__buf_append(out, bytes, n);
	return status < 0 ? jt__fail(err, status, "train", "the trees take too much memory")
	                  : JT_OK;
}
