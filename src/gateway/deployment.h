/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DEPLOYMENT_H
#define JT_DEPLOYMENT_H
/* An upstream of the configuration as the predictor knows it. Any thread. */
#include "config/config.h"
#include "predictor/predictor.h"

/*
 * What is asked of every request to @u: model, hardware, how both are cut; the load stays unknown.
 * @driver_gpu, which may be NULL: what the driver calls its GPUs, where u->gpu does not say.
 * @n_gpus: GPUs that it runs on; 0: those among u->domains.
 *
 * err->where is the key under `upstreams` that is to blame. JT_ENOTSUP: nothing is wrong, but that
 * key is missing, without which nothing can be predicted. JT_ENOENT, JT_EINVAL and what reading a
 * file may give: what is configured is wrong.
 */
int jt__deployment_question(const struct jt_config_upstream *u, const char *driver_gpu,
                            size_t n_gpus, struct jt_question *ret, struct jt_error *err);

#endif
