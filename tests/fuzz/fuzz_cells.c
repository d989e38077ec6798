/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as records to learn from: every row that comes of them has joules, tokens and a batch.
 */
#include <math.h>
#include <stdlib.h>
#include "predictor/question.h"
#include "trainer/cells.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int ask(void *user, const char *name, size_t n_gpus, struct jt_question *ret,
               struct jt_error *err)
{
	(void)user;
	if (*name == 'x')
		return jt__fail(err, JT_ENOTSUP, "fuzz", "nobody knows");
	jt__question_blank(ret);
	ret->max_num_seqs = *name == 'm' ? 8 : NAN;
	ret->batch = *name == 'b' ? 2 : NAN;
	ret->n_gpu = (double)n_gpus;
	return JT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct jt_upstreams upstreams = { .ask = ask };
	struct jt_cells c = { .upstreams = &upstreams };
	uint64_t n_kept = 0;

	jt__cells_add(&c, "fuzz.jsonl", 0, (const char *)data, n, NULL);
	for (size_t i = 0; i < c.n; i++) {
		struct jt_row row;

		jt__cells_row(&c, i, &row);
		n_kept += c.all[i].n_records;
		if (!(row.j_per_token > 0) || !(row.q.out_tokens > 0) || !(row.q.in_tokens >= 1) ||
		    !(row.q.batch >= 1 - 1e-9) || !isfinite(row.j_per_token))
			abort();
	}
	if (n_kept + c.n_left_out > c.n_records)
		abort();
	jt__cells_fini(&c);
	return 0;
}
