/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TRACE_H
#define JT_TRACE_H
/*
 * One line of a workload: a JSON object that is a request, or a session of requests. A strict
 * reader of its own, since lines come by the million and are mostly token ids. Pure; any thread.
 */
#include "base/base.h"

#define JT_TRACE_MAX_TOKENS 99999999u
#define JT_TRACE_MAX_NS UINT64_C(1000000000000000000) /* of a time: 31 years */
#define JT_TRACE_MAX_ASKS 1000000u                    /* requests of one session */

struct jt_trace_ask {
	uint32_t input_tokens, output_tokens;
	uint64_t pause_ns;
	const char *input_ids, *output_ids; /* lists of numbers, in the line; NULL: none given */
};

struct jt_trace_line {
	uint64_t arrival_ns;
	uint32_t n_asks;
	struct jt_trace_ask ask; /* the one that was asked for */
};

/*
 * @nth: which request is asked for, from 0. @skip_ids: the line is known, token ids are not looked
 * at. JT_EINVAL: @err->message names the field, @err->where is for the caller to fill.
 */
int jt__trace_read(const char *line, size_t n, uint32_t nth, bool skip_ids,
                   struct jt_trace_line *ret_line, struct jt_error *err);

/*
 * Reads the list at @ids, which may go up to @end, into @out: room for half as many as there are
 * bytes. NULL for either: none are read, or they are counted only. JT_EINVAL: no list of ids.
 */
int jt__trace_ids(const char *ids, const char *end, uint32_t *out, uint32_t *ret_n);

#endif
