/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RELABEL_H
#define JT_RELABEL_H
/*
 * What an engine tells when a request is over (vLLM's metrics, llama.cpp's timings, Ollama's
 * durations) moves joules between the phases of that request; nobody else's change. Pure.
 */
#include <stdbool.h>
#include "jouletap/record.h"

struct jt_phase_times {
	/* as seen: when it was sent, its first token (0: not seen), its end */
	uint64_t begin_ns, first_ns, end_ns;
	bool no_decode;                  /* it ended before its first token, or has none */
	uint64_t engine_ns[JT_N_PHASES]; /* as told by the engine; JT_NONE: it did not say */
	double prefill_ratio;            /* the configured split, for when nothing is known */
	/* What its domains drew from one instant to another, by which a stretch of its joules is
	 * divided at the instants in between. NULL: evenly. */
	double (*drawn)(void *user, uint64_t from_ns, uint64_t to_ns);
	void *user;
};

/*
 * Redistributes @uj over the phases; the sum stays. It waited first, as long as the engine says, or
 * where it does not say as long as its other times leave over. What is left until a visible first
 * token is prefill; without one (it was not seen, or came with the end) prefill and decode share
 * what is left as their times do, or by the ratio where they are not told. Returns the phase_source
 * of the record.
 */
const char *jt__relabel(const struct jt_phase_times *t, uint64_t uj[JT_N_PHASES]);

#endif
