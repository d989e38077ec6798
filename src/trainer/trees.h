/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TREES_H
#define JT_TREES_H
/* XGBoost's JSON of trees as a part of our model file. One thread. */
#include "base/buf.h"

/*
 * Appends the members "base" and "trees" of a part to @out. Trees in which only features below
 * @n_features are asked for. JT_EINVAL: not such a model; JT_ENOTSUP: it splits by categories.
 */
int jt__trees_convert(const char *json, size_t n, size_t n_features, struct jt_buf *out,
                      struct jt_error *err);

#endif
