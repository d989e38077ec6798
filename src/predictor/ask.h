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
/* The same of the file at @path: one that does not say what model it is of is called as its
 * directory is, or as itself. */
int jt__ask_config_of(const char *path, const char *json, size_t n, const char *where,
                      struct jt_question *ret, struct jt_error *err);

/*
 * One device of a type in the table (jt__gpus): by its name, by the driver's, by how the name
 * begins
 * ("H100") or by parts of it ("a100 80gb", "4090"). Where several rows are meant, the first, unless
 * no number tells types apart. JT_ENOENT offers the nearest names.
 */
int jt__ask_gpu(const char *name, struct jt_question *ret, struct jt_error *err);
void jt__ask_gpu_row(const struct jt_gpu *g, struct jt_question *ret);

/* "Qwen/Qwen3-14B-Instruct-2507-FP8" -> "qwen3-14b", "Meta-Llama-3.1-8B" -> "llama-3.1-8b": what
 * models of one backbone share. */
void jt__ask_group(const char *model, char *ret_group, size_t size);

#endif
