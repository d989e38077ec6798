/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a config.json: what is read of one weighs and costs finite amounts, none negative.
 */
#include <math.h>
#include <stdlib.h>
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void want(double v)
{
	if (!isfinite(v) || v < 0)
		abort();
}

static void weigh(const struct jt_size *s)
{
	want(s->params);
	want(s->matmul_params - s->output_params);
	want(s->params - s->routed_params);
	want(s->weight_bytes);
	want(s->kv_token_bytes);
	want(s->state_bytes);
	want(s->sliding_share);
	want(1 - s->sliding_share);
	want(1.001 * s->weight_bytes - jt__size_touched_bytes(s, 1e6));
}

/* What each causes and what all share is all that a step costs. */
static void run(const struct jt_size *s, const struct jt_gpu *g)
{
	struct jt_step step = { 0 };
	struct jt_step_cost cost;
	double j = 0;

	for (double tokens = 1; tokens < 1000; tokens *= 10) {
		jt__step_add(s, tokens, 5000, &step);
		j += jt__roofline_own_j(s, g, tokens, 5000);
	}
	j += jt__roofline_shared_j(s, g, step.prefill_tokens + step.decode_seqs);
	jt__roofline(s, g, &step, &cost);
	want(cost.seconds);
	want(cost.dynamic_j);
	want(1e-9 * j - fabs(j - cost.dynamic_j));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jt_arch arch = { .weights = JT_N_WEIGHTS };
	struct jt_size size;

	if (jt__arch_parse((const char *)data, n, "fuzz.json", &arch, NULL) < 0)
		return 0;
	size = jt__size(&arch);
	weigh(&size);
	run(&size, jt__gpu_find("H100-SXM5-80GB"));
	return 0;
}
