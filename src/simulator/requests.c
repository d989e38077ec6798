/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "jouletap/record.h"
#include "simulator/instance.h"

/* Chained hashes of all its full blocks, which are known beforehand: what is found is another
 * matter. */
static int hash_blocks(struct jt_request *r, const struct jt_ask *ask, uint32_t block)
{
	uint32_t n_ids = ask->n_input_ids + ask->n_output_ids, n = n_ids / block;
	uint64_t parent = JT_KV_ROOT;

	if (n > r->hashes_capacity) {
		uint64_t *p = jt__realloc(r->hashes, n, sizeof(*p));

		if (!p)
			return JT_ENOMEM;
		r->hashes = p;
		r->hashes_capacity = n;
	}
	for (uint32_t i = 0; i < n; i++)
		r->hashes[i] = parent =
			jt__kv_hash_block(parent, ask->ids + (size_t)i * block, block);
	r->seq.hashes = n ? r->hashes : NULL;
	r->seq.n_hashes = n;
	return JT_OK;
}

static struct jt_request *take(struct jt_sim *s)
{
	struct jt_request *r = s->free_requests;

	if (!r) {
		r = jt__alloc(1, sizeof(*r));
		if (r) {
			r->next_made = s->requests;
			s->requests = r;
		}
		return r;
	}
	s->free_requests = r->next;
	*r = (struct jt_request){ .next_made = r->next_made,
		                  .hashes = r->hashes,
		                  .hashes_capacity = r->hashes_capacity,
		                  .itl_ns = r->itl_ns,
		                  .itl_capacity = r->itl_capacity,
		                  .seq.kv = { .blocks = r->seq.kv.blocks,
		                              .capacity = r->seq.kv.capacity } };
	return r;
}

struct jt_request *jt__request_new(struct jt_sim *s, struct jt_arrival a,
                                   const struct jt_instance *in, struct jt_error *err)
{
	bool with_ids = in->serving.prefix_caching;
	struct jt_request *r = take(s);
	struct jt_ask ask;

	if (!r) {
		jt__fail(err, JT_ENOMEM, "simulate", "no memory for a request");
		return NULL;
	}
	if (jt__workload_read(s->arrivals.workload, a.line, a.nth, with_ids, &ask, err) < 0)
		return NULL;
	r->seq.id = ask.id;
	r->seq.arrival_ns = a.t_ns;
	r->seq.prompt_tokens = ask.input_tokens;
	r->seq.output_tokens = ask.output_tokens;
	r->seq.has_first = s->o.skip_prefill;
	if (s->o.skip_prefill)
		r->queuing_ns = r->ttft_ns = JT_NONE;
	r->last_token_ns = s->o.quirks.gap_from_zero ? 0 : a.t_ns;
	r->arrival = a;
	r->pause_ns = ask.pause_ns;
	r->ends_session = ask.is_last;
	if (with_ids && ask.n_input_ids && hash_blocks(r, &ask, in->serving.block_size) < 0) {
		jt__fail(err, JT_ENOMEM, "simulate", "no memory for a request");
		return NULL;
	}
	if (a.nth == 0 && !ask.is_last)
		s->n_sessions++;
	return r;
}

void jt__request_give(struct jt_sim *s, struct jt_request *r)
{
	r->next = s->free_requests;
	s->free_requests = r;
}

int jt__request_token(struct jt_request *r, uint64_t t_ns)
{
	if (r->n_itl == r->itl_capacity) {
		/* All that will be needed, unless that is more than anybody asks for. */
		uint32_t likely = JT_MIN(r->seq.output_tokens, 4096u);
		uint32_t more = JT_MAX(likely, r->itl_capacity * 2);
		uint64_t *p = jt__realloc(r->itl_ns, more, sizeof(*p));

		if (!p)
			return JT_ENOMEM;
		r->itl_ns = p;
		r->itl_capacity = more;
	}
	r->itl_ns[r->n_itl++] = t_ns - r->last_token_ns;
	r->last_token_ns = t_ns;
	return JT_OK;
}
