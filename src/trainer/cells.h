/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CELLS_H
#define JT_CELLS_H
/*
 * Records of finished requests (jouletap-record(5), JSON lines) as rows to learn from. One request
 * says little: its company comes and goes, and its joules scatter. A row of a benchmark is the mean
 * of many, and so is a cell: of all records of one upstream, model and task class whose prompts,
 * answers and company are alike, each to within a factor of two.
 *
 * A record is left out, and counted, unless its request ended well, its tokens and its company are
 * known, and meters of GPUs alone saw nearly all of it: what a model said is nothing to learn
 * from, and predictions are of GPUs. One thread.
 */
#include "trainer/dataset.h"

/* Of a file of records. */
#define JT_CELLS_MAX_BYTES ((size_t)1 << 30)
/* Part of its time that the sensors must have seen. */
#define JT_CELLS_LEAST_COVERAGE_PPM 900000

/*
 * What every request to the upstream called @name is asked of: model, hardware, how both are cut;
 * @n_gpus: those that the record names. Of the load only what stands in for what records leave out:
 * the batch. JT_ENOTSUP: it is not known, and err says what to do: its records are left out. Any
 * other failure ends the reading.
 */
struct jt_upstreams {
	int (*ask)(void *user, const char *name, size_t n_gpus, struct jt_question *ret,
	           struct jt_error *err);
	void *user;
};

struct jt_cell {
	/* What its records have in common: */
	uint32_t upstream;            /* in the list of those that were asked for */
	int32_t batch, input, output; /* ⌊log₂⌋ */
	char model[96], task[32];     /* as the records name them */
	/* and their sums: */
	uint64_t n_records;
	double joules, prompt_tokens, sequences, tokens;
	double token_steps;  /* Σ tokens / batch: decoding steps, if all ran in such company */
	uint32_t file, line; /* of the first */
};

struct jt_cells {
	const struct jt_upstreams *upstreams;
	struct jt_cell *all; /* in the order of what they have in common */
	size_t n, capacity;
	struct jt_cells_upstream *asked; /* opaque */
	size_t n_asked;
	uint64_t n_records, n_left_out;
	struct jt_error left_out; /* why the first was */
};

/*
 * Takes the records of a file in; @file is its number. A last line that is cut off is left out, for
 * the file may be growing. JT_EINVAL names file and line of any other that is no record.
 */
int jt__cells_add(struct jt_cells *c, const char *path, uint32_t file, const char *text, size_t n,
                  struct jt_error *err);

/*
 * The @i-th cell as a row. Joules and tokens are sums, so that their ratio is the mean that a meter
 * of all would show; lengths are arithmetic means. The batch is the harmonic mean over tokens: a
 * step's energy is shared by those in it, so that joules per token go with 1 / batch.
 */
void jt__cells_row(const struct jt_cells *c, size_t i, struct jt_row *ret);

void jt__cells_fini(struct jt_cells *c); /* accepts one that is zeroed */

#endif
