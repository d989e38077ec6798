/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_MODEL_H
#define JT_SIM_MODEL_H
/* A model's config.json, as far as the simulator needs it. One thread. */
#include "simulator/cluster.h"

#define JT_SIM_MODEL_MAX_BYTES (1u << 20)

/*
 * @name is how clusters and profiles call it. JT_EINVAL names the key that is missing or wrong;
 * JT_ENOTSUP: an attention that is not modelled; and what reading a file can give.
 */
int jt__sim_model_load(const char *path, const char *name, struct jt_sim_model *ret_model,
                       struct jt_error *err);
int jt__sim_model_parse(const char *text, size_t n, const char *path, const char *name,
                        struct jt_sim_model *ret_model, struct jt_error *err);

#endif
