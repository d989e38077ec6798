/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CATALOG_H
#define JT_CATALOG_H
/* Which layers a kind of model has, in which order, and in which table each is measured. One
 * thread.
 */
#include "simulator/attention.h"
#include "simulator/yamlfile.h"

#define JT_CATALOG_MAX_LAYERS 64
#define JT_CATALOG_MAX_SEQUENCE 64 /* layers of one part */

struct jt_catalog_layer {
	char name[32];
	enum jt_layer_kind kind;
	bool is_tp_stable; /* the same on any number of ranks: measured on one */
};

struct jt_catalog {
	struct jt_catalog_layer layers[JT_CATALOG_MAX_LAYERS];
	uint32_t n_layers;
	struct {
		uint32_t layers[JT_CATALOG_MAX_SEQUENCE]; /* indices */
		uint32_t n;
	} parts[JT_N_PARTS];
};

/* Of models/TYPE.yaml. Errors name the file and the line. */
int jt__catalog_read(struct jt_yamlfile *y, struct jt_catalog *ret_catalog);

/* The axes and alpha_default of @tp in a profile's meta.yaml; @ret_skew->is_on says if there are.
 */
int jt__catalog_read_skew(struct jt_yamlfile *y, uint32_t tp, struct jt_skew *ret_skew);

#endif
