/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FITTED_H
#define JT_FITTED_H
/*
 * A fitted model: from features to the log of joules per output token, as a sum of parts (log of a
 * sum, linear, trees, kernel), with an interval, and what speaks against it. In memory it is one
 * flat block without pointers: what reading the JSON builds is, byte for byte, what WebAssembly is
 * given. Predicting allocates nothing and gives the same bits everywhere. A model does not change
 * once it is there: any thread. The JSON: docs/predictor-model.md.
 */
#include "predictor/predictor.h"

#define JT_FITTED_VERSION 1
#define JT_FITTED_MAX_BYTES (UINT32_C(1) << 26) /* of the block, and of the JSON */
#define JT_MAX_PARTS 8
#define JT_MAX_TREES 4096
#define JT_MAX_TREE_NODES (UINT32_C(1) << 22) /* of a part, together */
#define JT_MAX_TREE_DEPTH 60
#define JT_MAX_SUPPORT 4096
#define JT_MAX_KNOWN 4096 /* GPUs, backbones, groups, factors: each */
#define JT_MAX_SCORES 64

enum jt_part_kind {
	JT_PART_SUM,    /* log of a sum of features: watts and seconds that add up */
	JT_PART_LINEAR, /* sum of standardised features */
	JT_PART_TREES,
	JT_PART_KERNEL,
	JT_N_PART_KINDS
};
enum jt_kernel_shape { JT_KERNEL_RBF, JT_KERNEL_MATERN32, JT_KERNEL_MATERN52, JT_N_KERNEL_SHAPES };

/* Where a list begins, in bytes from the beginning of the model, and how many items it has. */
struct jt_span_at {
	uint32_t at, n;
};

/*
 * A split sends x < value to @left, else to the node after it; NaN as it says. A leaf is its own
 * left child and asks for a feature that is below all, so that walking on stays there: every walk
 * of a tree has as many steps as the tree is deep, and no step is a guess of the processor.
 */
struct jt_tree_node {
	float value;   /* threshold, or what the leaf adds */
	uint32_t link; /* left (24 bits, in the tree), NaN goes left (1), feature (7) */
};
#define JT_LEAF_FEATURE JT_MAX_FEATURES
#define JT_TREE_LINK(left, nan_left, feature) ((left) << 8 | (uint32_t)(nan_left) << 7 | (feature))

struct jt_tree {
	uint32_t root; /* among the nodes of its part */
	uint32_t n_nodes, depth;
};

struct jt_part {
	uint32_t kind;  /* enum jt_part_kind */
	uint32_t shape; /* enum jt_kernel_shape */
	double weight;
	double constant;                /* intercept of a linear part, base of trees */
	struct jt_span_at coefficients; /* double: of all features, or of the used ones of a sum */
	struct jt_span_at trees, nodes;
	struct jt_span_at leaves;  /* uint32_t, one a node: jt__tree_leaves() */
	struct jt_span_at used;    /* uint32_t: features of a sum or a kernel */
	struct jt_span_at inverse; /* double: 1 / length, one for each used feature */
	/* float: support rows in lengths, in blocks of JT_LANES rows: all rows of a block for the
	 * first used feature, then for the next. Rows beyond the last have weight 0. */
	struct jt_span_at rows;
	struct jt_span_at weights; /* double, one for each support row; n is their true number */
	struct jt_span_at labels;  /* uint32_t: a text for each support row, or none at all */
};
#define JT_LANES 8

/* The half-width of the interval where all of this holds. */
struct jt_interval_group {
	double half_width;
	double min_distance; /* to the nearest support row; -1: any */
	uint32_t gpu;        /* a text; 0: any */
	uint32_t rows;
	/* -1: any; weights: enum jt_weights */
	int32_t weights, mixture, known_model, known_gpu, recalibrated;
	uint32_t factor_rows; /* the factor comes of at least so many; 0: or there is none */
};

/* What the meter has taught about a model on a GPU. */
struct jt_factor {
	uint32_t model, gpu; /* texts */
	double factor;
	double half_width; /* the interval is at least as wide: how far off it left its own rows */
	uint32_t rows, padding;
};

struct jt_score {
	uint32_t name; /* a text */
	uint32_t padding;
	double value;
};

/* The head of the block. A text is the offset of its first byte; the block's last byte is 0. */
struct jt_fitted {
	char magic[8];
	uint32_t version, size;
	uint32_t n_features, n_parts;
	uint32_t names[JT_MAX_FEATURES]; /* texts */
	uint32_t index[JT_MAX_FEATURES]; /* of a feature among those that the program knows */
	double mean[JT_MAX_FEATURES], inverse[JT_MAX_FEATURES]; /* z = (x - mean) * inverse */
	double min[JT_MAX_FEATURES], max[JT_MAX_FEATURES];      /* of the data; ±1e30: no matter */
	struct jt_part parts[JT_MAX_PARTS];
	double reach; /* a nearest support row farther away is outside the data; -1: not known */
	double coverage, half_width; /* the interval where no group says otherwise */
	struct jt_span_at groups, factors, scores;
	struct jt_span_at gpus, model_groups; /* uint32_t: texts that were in the data */
	struct jt_span_at runs; /* uint32_t: "ENGINE on GPU", the same; none: every engine was */
	uint32_t weights;       /* bits of enum jt_weights that were in the data */
	uint32_t rows;          /* of the data */
	uint32_t data_sha256, date, note; /* texts */
	uint32_t padding;
};

/* Bits: why the data says little about a request. */
enum jt_outside {
	JT_OUTSIDE_RANGE = 1,   /* a feature is beyond what the data has */
	JT_OUTSIDE_FAR = 2,     /* each is within, but nothing like all of them together is in it */
	JT_OUTSIDE_GPU = 4,     /* no row was measured on this GPU */
	JT_OUTSIDE_WEIGHTS = 8, /* no row had weights kept so */
	JT_OUTSIDE_ENGINE = 16, /* no row was measured on this GPU under such an engine */
};

struct jt_prediction {
	double log_j;                   /* Σ parts, before the factor */
	double j_per_token, lo_j, hi_j; /* per output token; lo and hi: coverage of the model */
	double parts[JT_MAX_PARTS];     /* what each adds to log_j */
	double half_width;              /* of the interval, in log */
	double factor;                  /* learned from the meter; 1: nothing is */
	double distance;                /* to the nearest support row; NaN: no kernel */
	int32_t nearest;                /* that row, of the first kernel; -1: no kernel */
	int32_t group;                  /* of the interval; -1: none, the general one */
	int32_t range_feature; /* the feature farthest beyond the data, of the model's; -1: none */
	uint32_t factor_rows;
	uint32_t outside; /* enum jt_outside */
	uint32_t padding;
};

/*
 * @bytes (aligned to 8) as a model, in place: they must stay while it is used. @names: of all
 * features that the program knows, NULL-terminated. JT_EINVAL: cut, of another version or other
 * features, or anything in it that predicting could stumble over.
 */
int jt__fitted_open(const void *bytes, size_t n, const char *const *names,
                    const struct jt_fitted **ret_model, struct jt_error *err);

/*
 * Reads the JSON. JT_EINVAL names the file and the path in it; JT_ENOMEM, JT_ELIMIT; for a file
 * JT_ENOENT, JT_EPERM, JT_EIO. The block is *ret_model, size bytes of it.
 */
int jt__fitted_parse(const char *json, size_t n, const char *path, const char *const *names,
                     struct jt_fitted **ret_model, struct jt_error *err);
int jt__fitted_load(const char *path, struct jt_fitted **ret_model, struct jt_error *err);
void jt__fitted_free(struct jt_fitted *f); /* accepts NULL; only what parse or load gave */

/*
 * @features: as jt__features() fills them. JT_EINVAL: one is infinite; JT_ERANGE: so far from all
 * data that no joules come out; *ret then holds no prediction. What texts decide is not yet in
 * it: see jt__fitted_place().
 */
int jt__fitted_predict(const struct jt_fitted *f, const double *features,
                       struct jt_prediction *ret);
/* The same for @n rows of @stride doubles each, faster; on failure of row i, ret[0 … i - 1] hold.
 */
int jt__fitted_predict_batch(const struct jt_fitted *f, size_t n, const double *features,
                             size_t stride, struct jt_prediction *ret);
/* What GPU, model and weights of the question change: the group of the interval, the factor, and
 * what is outside the data. JT_ERANGE as above. */
int jt__fitted_place(const struct jt_fitted *f, const struct jt_question *q,
                     struct jt_prediction *p);
/* Joules and interval from log_j, factor and half_width. JT_ERANGE. */
int jt__fitted_joules(struct jt_prediction *p);
/* From question to joules. JT_EINVAL as jt__question_check(); JT_ERANGE. */
int jt__fitted_answer(const struct jt_fitted *f, const struct jt_question *q,
                      struct jt_prediction *ret, struct jt_error *err);

/* Why @p is outside the data, in words; "" where it is not. Cut to @size. */
void jt__fitted_reason(const struct jt_fitted *f, const struct jt_question *q,
                       const struct jt_prediction *p, char *out, size_t size);

/* Whose errors its interval comes from, in words; "" where no group fitted. Cut to @size. */
void jt__fitted_interval_of(const struct jt_fitted *f, const struct jt_prediction *p, char *out,
                            size_t size);

static inline const void *jt__fitted_at(const struct jt_fitted *f, uint32_t at)
{
	return (const char *)f + at;
}
static inline const char *jt__fitted_text(const struct jt_fitted *f, uint32_t at)
{
	return (const char *)f + at;
}
/* What the @i-th support row of the first kernel is called, or NULL. */
const char *jt__fitted_label(const struct jt_fitted *f, int32_t i);
/* The name of the @i-th feature of the model. */
const char *jt__fitted_feature(const struct jt_fitted *f, uint32_t i);

/* As a kind of weights is written in files: "bf16"; NULL beyond the last. */
const char *jt__weights_name(enum jt_weights w);

#endif
