/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ATTENTION_H
#define JT_ATTENTION_H
/*
 * How long a layer's attention takes, and the correction for decodes whose contexts differ (skew).
 * Built once, then only looked at: any thread.
 */
#include "simulator/grid.h"
#include "simulator/profile.h"

#define JT_ATTENTION_MAX_AXIS 256 /* different chunk sizes, and numbers of decodes */

/* Time over prefill tokens, their earlier KV, number of decodes, their mean KV. Zero-initialise. */
struct jt_attention_table {
	struct jt_grid grid; /* a surface (earlier KV, decode KV) for each (chunk, decodes) */
	uint32_t *chunks, *decodes;
	uint32_t n_chunks, n_decodes;
	const struct jt_surface **corners; /* of each chunk and number of decodes */
};

/* JT_ENOENT, JT_EINVAL: the file; JT_ELIMIT, JT_ENOMEM. */
int jt__attention_load(struct jt_attention_table *t, const char *path, struct jt_error *err);
void jt__attention_fini(struct jt_attention_table *t);

/* Not rounded. */
double jt__attention_at(const struct jt_attention_table *t, uint64_t chunk, uint64_t prefill_kv,
                        uint64_t n_decode, uint64_t decode_kv);

/* The buckets of one axis: bounds[i] < value <= bounds[i + 1] is bucket i. */
#define JT_SKEW_MAX_BUCKETS 32
struct jt_skew_axis {
	double bounds[JT_SKEW_MAX_BUCKETS + 1];
	char labels[JT_SKEW_MAX_BUCKETS][24];
	uint32_t n;
};

enum { JT_SKEW_N, JT_SKEW_RATE, JT_SKEW_KV, JT_SKEW_PREFILL_KV, JT_SKEW_AXES };

/* alpha over prefill tokens and four buckets. Zero-initialised there is no correction. */
struct jt_skew {
	bool is_on;
	struct jt_skew_axis axes[JT_SKEW_AXES];
	double alpha_default;
	struct jt_grid alphas; /* one surface: prefill tokens, buckets as one number */
};

/* Reads skew_fit.csv; axes and alpha_default are set already. */
int jt__skew_load(struct jt_skew *s, const char *path, struct jt_error *err);
void jt__skew_fini(struct jt_skew *s);
/* alpha for @a, whose mean decode KV is @mean. @exact: see jt__profile_attention_ns(). */
double jt__skew_alpha(const struct jt_skew *s, const struct jt_attention *a, uint64_t mean,
                      bool exact);

#endif
