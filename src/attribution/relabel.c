/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/relabel.h"
#include "base/base.h"

static uint64_t part_of(uint64_t whole_uj, double part)
{
	return (uint64_t)((double)whole_uj * JT_MIN(JT_MAX(part, 0), 1));
}

/* The engine's prefill ended with the first token; before it the request waited. */
static const char *split_queue_from_prefill(const struct jt_phase_times *t,
                                            uint64_t uj[JT_N_PHASES])
{
	uint64_t span = t->span_ns[JT_PHASE_PREFILL], prefill = t->engine_ns[JT_PHASE_PREFILL];
	uint64_t queue_uj;

	if (prefill == JT_NONE || !span)
		return "stream";
	queue_uj = part_of(uj[JT_PHASE_PREFILL], 1 - (double)prefill / (double)span);
	uj[JT_PHASE_QUEUE] += queue_uj;
	uj[JT_PHASE_PREFILL] -= queue_uj;
	return "engine";
}

static const char *split_whole(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES])
{
	uint64_t whole = uj[JT_PHASE_QUEUE] + uj[JT_PHASE_PREFILL] + uj[JT_PHASE_DECODE];
	double span = (double)(t->span_ns[JT_PHASE_PREFILL] + t->span_ns[JT_PHASE_DECODE]);
	uint64_t prefill = t->engine_ns[JT_PHASE_PREFILL], decode = t->engine_ns[JT_PHASE_DECODE];
	bool told = prefill != JT_NONE && decode != JT_NONE && span > 0;

	if (told) { /* the engine's clock may say a little more than ours */
		span = JT_MAX(span, (double)prefill + (double)decode);
		uj[JT_PHASE_PREFILL] = part_of(whole, (double)prefill / span);
		uj[JT_PHASE_DECODE] = part_of(whole, (double)decode / span);
		uj[JT_PHASE_QUEUE] = whole - uj[JT_PHASE_PREFILL] - uj[JT_PHASE_DECODE];
		return "engine";
	}
	uj[JT_PHASE_QUEUE] = 0;
	uj[JT_PHASE_PREFILL] = part_of(whole, t->prefill_ratio);
	uj[JT_PHASE_DECODE] = whole - uj[JT_PHASE_PREFILL];
	return "ratio";
}

const char *jt__relabel(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES])
{
	bool boundary_seen = t->span_ns[JT_PHASE_PREFILL] && t->span_ns[JT_PHASE_DECODE];

	return boundary_seen ? split_queue_from_prefill(t, uj) : split_whole(t, uj);
}
