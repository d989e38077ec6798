/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RELABEL_H
#define JT_RELABEL_H
/*
 * What an engine tells when a request is over (llama.cpp timings, vLLM metrics) moves joules
 * between the phases of that request; nobody else's change. Pure.
 */
#include "jouletap/record.h"

struct jt_phase_times {
	uint64_t span_ns[JT_N_PHASES];   /* as seen: time in each phase */
	uint64_t engine_ns[JT_N_PHASES]; /* as told by the engine; JT_NONE: it did not say */
	double prefill_ratio;            /* the configured split, for when nothing is known */
};

/*
 * Redistributes @uj over the phases; the sum stays. Without a visible first token (span of prefill
 * or of decode is 0 although tokens came) the engine's times divide the whole, else the ratio. With
 * one, what preceded the engine's prefill becomes queue. Returns the phase_source of the record.
 */
const char *jt__relabel(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES]);

#endif
