/* SPDX-License-Identifier: Apache-2.0 */
#include "attribution/relabel.h"
#include "base/base.h"

static uint64_t part_of(uint64_t whole_uj, double part)
{
	return (uint64_t)((double)whole_uj * JT_MIN(JT_MAX(part, 0), 1));
}

/* The part of @whole_uj, charged from the beginning to @end_ns, that was charged before @cut_ns. */
static uint64_t charged_before(const struct jt_phase_times *t, uint64_t whole_uj, uint64_t cut_ns,
                               uint64_t end_ns)
{
	double drawn = t->drawn ? t->drawn(t->user, t->begin_ns, end_ns) : 0;

	if (drawn > 0)
		return part_of(whole_uj, t->drawn(t->user, t->begin_ns, cut_ns) / drawn);
	return part_of(whole_uj, (double)(cut_ns - t->begin_ns) / (double)(end_ns - t->begin_ns));
}

/* How much of @span_ns it waited. @computed_ns: JT_NONE if not told, as the queue, but not both.
 * The engine's clock may say a little more than ours: then the proportion counts. */
static uint64_t waited_ns(const struct jt_phase_times *t, uint64_t computed_ns, uint64_t span_ns)
{
	uint64_t queue = t->engine_ns[JT_PHASE_QUEUE];

	if (queue == JT_NONE)
		return span_ns - JT_MIN(computed_ns, span_ns);
	if (computed_ns != JT_NONE && queue + computed_ns > span_ns)
		return (uint64_t)((double)span_ns * (double)queue / (double)(queue + computed_ns));
	return JT_MIN(queue, span_ns);
}

/* Up to the first token it waited and prefilled. */
static const char *split_at_first_token(const struct jt_phase_times *t, uint64_t first_ns,
                                        uint64_t uj[JT_N_PHASES])
{
	uint64_t prefill = t->engine_ns[JT_PHASE_PREFILL], cut_ns, queue_uj;

	if (prefill == JT_NONE && t->engine_ns[JT_PHASE_QUEUE] == JT_NONE)
		return "stream";
	cut_ns = t->begin_ns + waited_ns(t, prefill, first_ns - t->begin_ns);
	queue_uj = charged_before(t, uj[JT_PHASE_PREFILL], cut_ns, first_ns);
	uj[JT_PHASE_QUEUE] += queue_uj;
	uj[JT_PHASE_PREFILL] -= queue_uj;
	return "engine";
}

static const char *split_by_ratio(const struct jt_phase_times *t, uint64_t whole_uj,
                                  uint64_t uj[JT_N_PHASES])
{
	uj[JT_PHASE_PREFILL] = part_of(whole_uj, t->prefill_ratio);
	uj[JT_PHASE_DECODE] = whole_uj - uj[JT_PHASE_PREFILL];
	return "ratio";
}

static const char *split_whole(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES])
{
	uint64_t whole = uj[JT_PHASE_QUEUE] + uj[JT_PHASE_PREFILL] + uj[JT_PHASE_DECODE];
	uint64_t prefill = t->engine_ns[JT_PHASE_PREFILL], decode = t->engine_ns[JT_PHASE_DECODE];
	bool told = prefill != JT_NONE && decode != JT_NONE && prefill + decode;
	uint64_t span = t->end_ns - t->begin_ns, cut_ns;

	uj[JT_PHASE_QUEUE] = 0;
	if (!span || (!told && t->engine_ns[JT_PHASE_QUEUE] == JT_NONE))
		return split_by_ratio(t, whole, uj);
	cut_ns = t->begin_ns + waited_ns(t, told ? prefill + decode : JT_NONE, span);
	uj[JT_PHASE_QUEUE] = charged_before(t, whole, cut_ns, t->end_ns);
	if (!told)
		return split_by_ratio(t, whole - uj[JT_PHASE_QUEUE], uj);
	cut_ns += (uint64_t)((double)(t->end_ns - cut_ns) * (double)prefill /
	                     (double)(prefill + decode));
	uj[JT_PHASE_PREFILL] = charged_before(t, whole, cut_ns, t->end_ns) - uj[JT_PHASE_QUEUE];
	uj[JT_PHASE_DECODE] = whole - uj[JT_PHASE_QUEUE] - uj[JT_PHASE_PREFILL];
	return "engine";
}

const char *jt__relabel(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES])
{
	if (t->no_decode && t->end_ns > t->begin_ns)
		return split_at_first_token(t, t->end_ns, uj);
	if (t->no_decode)
		return "stream";
	if (t->first_ns > t->begin_ns && t->first_ns < t->end_ns)
		return split_at_first_token(t, t->first_ns, uj);
	return split_whole(t, uj);
}
