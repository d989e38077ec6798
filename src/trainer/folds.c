/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "trainer/folds.h"

static void shuffle(uint32_t *a, size_t n, struct jt_rng *rng)
{
	for (size_t i = n; i > 1; i--) {
		size_t j = jt__rng_below(rng, i);
		uint32_t t = a[i - 1];

		a[i - 1] = a[j];
		a[j] = t;
	}
}

int jt__folds_random(size_t n, uint32_t k, struct jt_rng *rng, uint32_t *ret_fold,
                     struct jt_error *err)
{
	if (k < 2 || k > n)
		return jt__fail(err, JT_EINVAL, "train",
		                "%u folds of %zu rows cannot be made: use more rows", k, n);
	for (size_t i = 0; i < n; i++)
		ret_fold[i] = (uint32_t)(i % k);
	shuffle(ret_fold, n, rng);
	return JT_OK;
}

int jt__folds_by_key(const char *const *keys, size_t n, uint32_t *ret_fold, uint32_t *ret_n_folds,
                     struct jt_error *err)
{
	uint32_t n_folds = 0;

	/* Quadratic at worst, over a few thousand rows. */
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;

		while (j < i && strcmp(keys[j], keys[i]) != 0)
			j++;
		ret_fold[i] = j < i ? ret_fold[j] : n_folds++;
	}
	if (n_folds < 2)
		return jt__fail(err, JT_EINVAL, "train",
		                "all rows are of '%.60s': none is left to learn from without it",
		                n ? keys[0] : "");
	*ret_n_folds = n_folds;
	return JT_OK;
}

/* Groups in the order in which they are dealt: shuffled, then by size, the largest first. */
static void order_groups(const size_t *sizes, uint32_t *order, uint32_t n_groups,
                         struct jt_rng *rng)
{
	for (uint32_t g = 0; g < n_groups; g++)
		order[g] = g;
	shuffle(order, n_groups, rng);
	for (uint32_t i = 1; i < n_groups; i++) {
		uint32_t g = order[i], j = i;

		for (; j > 0 && sizes[order[j - 1]] < sizes[g]; j--)
			order[j] = order[j - 1];
		order[j] = g;
	}
}

int jt__folds_of_groups(const uint32_t *group, uint32_t n_groups, size_t n, uint32_t k,
                        struct jt_rng *rng, uint32_t *ret_fold, struct jt_error *err)
{
	size_t *sizes = jt__alloc(n_groups, sizeof(*sizes)),
	       *filled = jt__alloc(k, sizeof(*filled));
	uint32_t *order = jt__alloc(n_groups, sizeof(*order));
	uint32_t *fold = jt__alloc(n_groups, sizeof(*fold));
	int status = JT_OK;

	if (!sizes || !filled || !order || !fold) {
		status = jt__fail(err, JT_ENOMEM, "train", "out of memory");
		goto out;
	}
	if (k < 2 || k > n_groups) {
		status = jt__fail(err, JT_EINVAL, "train",
		                  "%u folds of %u groups cannot be made: use more rows", k,
		                  n_groups);
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		sizes[group[i]]++;
	order_groups(sizes, order, n_groups, rng);
	for (uint32_t i = 0; i < n_groups; i++) {
		uint32_t least = 0;

		for (uint32_t f = 1; f < k; f++)
			if (filled[f] < filled[least])
				least = f;
		fold[order[i]] = least;
		filled[least] += sizes[order[i]];
	}
	for (size_t i = 0; i < n; i++)
		ret_fold[i] = fold[group[i]];
out:
	jt__free(fold);
	jt__free(order);
	jt__free(filled);
	jt__free(sizes);
	return status;
}
