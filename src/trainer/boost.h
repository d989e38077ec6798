/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_BOOST_H
#define JT_BOOST_H
/*
 * Trees and linear boosters, as XGBoost's library fits them: hist trees, one thread, equal seeds
 * give equal models. Where it was built without that library jt__boost_fit() fails with JT_ENOTSUP
 * and says what to install. NaN is a missing value. One thread an object.
 */
#include "base/buf.h"

enum jt_boost_kind {
	JT_BOOST_TREES,  /* gbtree: each tree fits what those before it left */
	JT_BOOST_FOREST, /* one round of many trees */
	JT_BOOST_LINEAR, /* gblinear by cyclic coordinate descent */
};

struct jt_boost_params {
	enum jt_boost_kind kind;
	uint32_t n_trees; /* rounds, or trees of a forest */
	uint32_t depth;   /* not of a linear booster */
	double eta;       /* not of a forest */
	double min_child_weight;
	double lambda, alpha;
	double subsample;
	double colsample; /* per tree; of a forest per split */
	uint32_t seed;
};

struct jt_boost;

/* @x is @n rows of @p columns. */
int jt__boost_fit(const float *x, const float *y, size_t n, size_t p,
                  const struct jt_boost_params *params, struct jt_boost **ret,
                  struct jt_error *err);
void jt__boost_free(struct jt_boost *b); /* accepts NULL */
int jt__boost_predict(struct jt_boost *b, const float *x, size_t n, size_t p, float *ret_y,
                      struct jt_error *err);
/* The library's own JSON of the model, put at the end of @out. */
int jt__boost_json(struct jt_boost *b, struct jt_buf *out, struct jt_error *err);

#endif
