/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seconds and joules of one iteration of an engine. Bytes and FLOPs follow the roofline model
 * (Williams, Waterman, Patterson, CACM 52(4), 2009): two FLOPs a parameter and token, four a pair
 * of tokens, head and dimension in attention, every weight read once a step, and the keys and
 * values of the context once a decoded token, or once a tile of QUERY_TILE prompt tokens as
 * FlashAttention reads them (Dao, arXiv 2307.08691). The output layer is computed for decoded
 * tokens only. A state-space layer's state is read and written by every decoded token.
 *
 * The constants below are fitted to 43 steady-state rows of the ML.ENERGY benchmark v3 (vLLM
 * 0.11.1, bf16, one H100-SXM5; tasks gpqa and lm-arena-chat; prompts taken as 300 tokens, as the
 * source does not publish them).
 *
 * Joules per output token, this model against measured, as a factor either way (median, worst):
 *   the fitted rows                                        1.04   1.23
 *   not fitted: B200, chat                                 1.19   1.45
 *   not fitted: H100 and B200, code completion             1.71   1.89
 *   not fitted: B200, gpqa (many rows wait for their host) 1.61   2.54
 *   vLLM 0.5.4 on H100                                     1.45   2.70
 *   Hugging Face transformers (eager) on A100-PCIe         1.83   3.57
 * Older and eager engines lie above the model: it has no term for a slow host.
 */
#include "model/model.h"

#define BANDWIDTH_EFFICIENCY 0.80
#define COMPUTE_EFFICIENCY 0.60
#define QUERY_TILE 128

/*
 * Scheduling, launching and sampling: time a step, and time a sequence that gets a token, in which
 * the GPU mostly waits with its clocks up and draws HOST_SHARE of what it has above idle.
 */
#define HOST_S_PER_STEP 1.75e-3
#define HOST_S_PER_SEQ 65e-6
#define HOST_SHARE 0.5

/* The part of a step that each sequence causes by itself: linear, so it adds up over sequences. */
static void own_work(const struct jt_size *m, const struct jt_step *s, struct jt_step_cost *c)
{
	double tokens = s->prefill_tokens + s->decode_seqs;
	double body = m->matmul_params - m->output_params;

	c->flops = 2 * body * tokens + 2 * m->output_params * s->decode_seqs +
	           jt__size_pair_flops(m) * (s->prefill_ctx_tokens + s->decode_ctx_tokens);
	c->kv_bytes = m->kv_token_bytes *
	              (tokens + s->decode_ctx_tokens + s->prefill_ctx_tokens / QUERY_TILE);
	c->kv_bytes += 2 * m->state_bytes * s->decode_seqs;
}

static double host_j(const struct jt_gpu *g, double seconds)
{
	return HOST_SHARE * (g->tdp_w - g->idle_w) * seconds;
}

static double own_j(const struct jt_gpu *g, const struct jt_step *s, const struct jt_step_cost *c)
{
	return (c->flops * g->pj_per_flop + c->kv_bytes * g->pj_per_byte) * 1e-12 +
	       host_j(g, HOST_S_PER_SEQ * s->decode_seqs);
}

void jt__roofline(const struct jt_size *m, const struct jt_gpu *g, const struct jt_step *s,
                  struct jt_step_cost *ret_cost)
{
	double tokens = s->prefill_tokens + s->decode_seqs;
	struct jt_step_cost c = { 0 };
	double memory_s, compute_s;

	if (tokens > 0) {
		own_work(m, s, &c);
		c.weight_bytes = jt__size_touched_bytes(m, tokens);
		c.dynamic_j = own_j(g, s, &c) + jt__roofline_shared_j(m, g, tokens);
		memory_s = (c.weight_bytes + c.kv_bytes) / (g->bw_gbs * 1e9 * BANDWIDTH_EFFICIENCY);
		compute_s = c.flops / (g->bf16_tflops * 1e12 * COMPUTE_EFFICIENCY);
		c.seconds = JT_MAX(memory_s, compute_s) + HOST_S_PER_STEP +
		            HOST_S_PER_SEQ * s->decode_seqs;
		/* The power limit slows the clocks until the board keeps to it. */
		c.seconds = JT_MAX(c.seconds, c.dynamic_j / (g->tdp_w - g->idle_w));
	}
	*ret_cost = c;
}

void jt__step_add(const struct jt_size *m, double new_tokens, double ctx_tokens, struct jt_step *s)
{
	double seen = new_tokens * jt__size_seen_tokens(m, ctx_tokens);

	*(new_tokens > 1 ? &s->prefill_tokens : &s->decode_seqs) += new_tokens;
	*(new_tokens > 1 ? &s->prefill_ctx_tokens : &s->decode_ctx_tokens) += seen;
}

double jt__roofline_own_j(const struct jt_size *m, const struct jt_gpu *g, double new_tokens,
                          double ctx_tokens)
{
	struct jt_step_cost c = { 0 };
	struct jt_step s = { 0 };

	jt__step_add(m, new_tokens, ctx_tokens, &s);
	own_work(m, &s, &c);
	return own_j(g, &s, &c);
}

double jt__roofline_shared_j(const struct jt_size *m, const struct jt_gpu *g, double n_tokens)
{
	return jt__size_touched_bytes(m, n_tokens) * g->pj_per_byte * 1e-12 +
	       host_j(g, n_tokens > 0 ? HOST_S_PER_STEP : 0);
}
