/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CONFIG_JSON_H
#define JT_CONFIG_JSON_H
/* The inside of the reader of config.json: arch.c reads dimensions, layers.c which layer is what.
 */
#include <jansson.h>
#include "model/arch.h"

#define JT_ARCH_MAX_LAYERS 10000

struct jt_config_json {
	json_t *text; /* text_config (multimodal models), else the whole */
	json_t *root;
	const char *where;
	struct jt_error *err;
};

json_t *jt__config_find(const struct jt_config_json *c, const char *key); /* NULL: none, or null */

/*
 * A whole number from @min up, of the first of @keys that is there. Else @fallback, unless that is
 * negative: then it must be there, and the error names the first key; NaN: *to is left alone.
 */
struct jt_config_number {
	double *to, min, fallback;
	const char *keys[6];
};
int jt__config_numbers(const struct jt_config_json *c, const struct jt_config_number *numbers,
                       size_t n);
#define JT_CONFIG_NUMBERS(c, ...)                                                                  \
	jt__config_numbers(c, (const struct jt_config_number[]){ __VA_ARGS__ },                    \
	                   sizeof((const struct jt_config_number[]){ __VA_ARGS__ }) /              \
	                           sizeof(struct jt_config_number))

/* Layers with attention, with windows, with neither; needs n_layers and hidden_size. */
int jt__config_layers(const struct jt_config_json *c, struct jt_arch *a);
/* Of the feed-forward blocks of a mixture, those without experts. */
int jt__config_dense_layers(const struct jt_config_json *c, struct jt_arch *a);

#endif
