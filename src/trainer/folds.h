/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FOLDS_H
#define JT_FOLDS_H
/*
 * Who is held out when: @ret_fold[i] is the fold in which row i is predicted by a model that has
 * seen none of that fold. Any thread.
 */
#include "base/base.h"
#include "base/rng.h"

/* @k folds of equal size, give or take one, at random. JT_EINVAL: k is below 2 or above n. */
int jt__folds_random(size_t n, uint32_t k, struct jt_rng *rng, uint32_t *ret_fold,
                     struct jt_error *err);

/*
 * One fold for each distinct text among @keys, numbered as they first appear. JT_EINVAL: all are
 * the same, so that nothing would be left to learn from.
 */
int jt__folds_by_key(const char *const *keys, size_t n, uint32_t *ret_fold, uint32_t *ret_n_folds,
                     struct jt_error *err);

/* Groups shared out over @k folds at random, whole, the largest first to the smallest fold. */
int jt__folds_of_groups(const uint32_t *group, uint32_t n_groups, size_t n, uint32_t k,
                        struct jt_rng *rng, uint32_t *ret_fold, struct jt_error *err);

#endif
