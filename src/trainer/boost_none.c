/* SPDX-License-Identifier: Apache-2.0 */
/* In place of boost.c where XGBoost's library was not there when jouletap was built. */
#include "trainer/boost.h"

static int missing(struct jt_error *err)
{
	return jt__fail(err, JT_ENOTSUP, "train",
	                "this jouletap was built without XGBoost's library; install "
	                "libxgboost-dev and build it again");
}

int jt__boost_fit(const float *x, const float *y, size_t n, size_t p,
                  const struct jt_boost_params *params, struct jt_boost **ret, struct jt_error *err)
{
	(void)x, (void)y, (void)n, (void)p, (void)params, (void)ret;
	return missing(err);
}

void jt__boost_free(struct jt_boost *b)
{
	(void)b;
}

int jt__boost_predict(struct jt_boost *b, const float *x, size_t n, size_t p, float *ret_y,
                      struct jt_error *err)
{
	(void)b, (void)x, (void)n, (void)p, (void)ret_y;
	return missing(err);
}

int jt__boost_json(struct jt_boost *b, struct jt_buf *out, struct jt_error *err)
{
	(void)b, (void)out;
	return missing(err);
}
