/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DATASET_H
#define JT_DATASET_H
/* Measured rows to learn from, and what models are given of them. One thread. */
#include "base/buf.h"
#include "predictor/predictor.h"
#include "trainer/sha256.h"

#define JT_DATASET_MAX_BYTES (256u << 20) /* of a table */
#define JT_DATASET_MAX_ROWS 100000

struct jt_row {
	struct jt_question q;
	double j_per_token; /* measured, of output tokens */
	uint32_t file;      /* among those that were read */
	uint32_t line;
};

struct jt_dataset {
	struct jt_row *rows;
	size_t n, capacity;
	size_t p;              /* features: jt__n_features() */
	double *features;      /* n × p, NaN where they are not known */
	const char *files[64]; /* as given, not owned */
	uint32_t n_files;
	struct jt_sha256 sha256; /* of all files that were loaded, one behind the other */
	size_t n_left_out;       /* rows that lack what the features need; why the first did: */
	struct jt_error left_out;
	/* Records of requests, and the rows that were made of them. */
	uint64_t n_records, n_records_left_out;
	size_t n_record_rows;
	struct jt_error record_left_out;
};

struct jt_upstreams; /* cells.h */

/*
 * Reads @n files: CSV with the columns of energy_tidy.csv, or, where the first byte is a brace,
 * records of requests, which @upstreams (NULL: nobody) knows the hardware of.
 *
 * JT_EINVAL names file, line and column of the first bad row: no number, no measured energy,
 * figures that contradict each other. A row without the architecture or hardware that the features
 * need is left out and counted.
 */
int jt__dataset_load(const char *const *paths, size_t n, const struct jt_upstreams *upstreams,
                     struct jt_dataset *ret, struct jt_error *err);
/* One more file, given as text; then jt__dataset_finish(). @d is zeroed before the first. */
int jt__dataset_add_csv(struct jt_dataset *d, const char *path, const char *text, size_t n,
                        struct jt_error *err);
int jt__dataset_finish(struct jt_dataset *d, struct jt_error *err);
void jt__dataset_fini(struct jt_dataset *d); /* accepts one that is zeroed */

/* By what rows are put together. */
enum jt_key {
	JT_KEY_BACKBONE,
	JT_KEY_GPU,
	JT_KEY_SOURCE,
	JT_KEY_FAMILY,  /* dense, mixture, hybrid */
	JT_KEY_SIZE,    /* class of all parameters */
	JT_KEY_WEIGHTS, /* bf16 … */
	JT_N_KEYS
};
extern const char *const jt__key_names[JT_N_KEYS];
const char *jt__row_key(const struct jt_row *r, enum jt_key k);

#endif
