/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NOTE_H
#define JT_NOTE_H
/*
 * What workers and the bookkeeper tell each other, through one ring in each
 * direction per worker. Plain data; nothing here allocates or locks.
 */
#include <stdbool.h>
#include "jouletap/meter.h"

enum jt_note_kind {
	JT_NOTE_BEGIN,    /* the request is in the engine's hands */
	JT_NOTE_PROGRESS, /* its first token, or more context */
	JT_NOTE_END,      /* it is over; facts change hands */
	JT_NOTE_ASK,      /* what has it cost so far? */
	JT_NOTE_LOOK_UP,  /* what did the request called id cost? */
};

/* Worker to bookkeeper. */
struct jt_note {
	enum jt_note_kind kind;
	uint32_t service;
	uint64_t key; /* the request, or the exchange that asks; unique over all workers */
	uint64_t t_ns;
	union {
		struct {
			struct jt_request_start start;
			char id[64];
		} begin;
		uint32_t context_tokens;
		struct jt_request_facts *facts; /* the bookkeeper's from then on */
		char id[64];
	};
};

/* What somebody's joules are known to be. */
struct jt_figures {
	uint64_t queue_uj; /* JT_NONE: unknown, as all of them */
	uint64_t prefill_uj;
	uint64_t decode_uj;
	uint64_t total_uj;
	uint64_t dynamic_uj;
	uint64_t bound_uj;
	char provenance[12];
	bool provisional;
};

/* Bookkeeper to worker. */
struct jt_reply {
	uint64_t key;
	bool found;
	struct jt_figures figures;
};

#endif
