/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ASK_H
#define JT_ASK_H
/* A question from what a person names: a model's config.json, a GPU type. Pure, any thread. */
#include "predictor/predictor.h"

/*
 * The dimensions and the model's names from a Hugging Face config.json, and how weights are kept
 * where ret->weights is JT_N_WEIGHTS. JT_EINVAL names the key that is missing or wrong. Nothing
 * else of *ret is touched.
 */
int jt__ask_config(const char *json, size_t n, const char *where, struct jt_question *ret,
                   struct jt_error *err);

/*
 * One device of a type in the table (jt__gpus): by its name, by the driver's name, or by how the
 * name begins
 * ("H100"), which is the first such row. JT_ENOENT offers the nearest names.
 */
int jt__ask_gpu(const char *name, struct jt_question *ret, struct jt_error *err);
void jt__ask_gpu_row(const struct jt_gpu *g, struct jt_question *ret);

/* "Qwen/Qwen3-14B-Instruct-2507-FP8" -> "qwen3-14b": what models of one backbone share. */
void jt__ask_group(const char *model, char *ret_group, size_t size);

#endif
