/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WORKLOAD_H
#define JT_WORKLOAD_H
/*
 * The requests of a simulation: JSON lines, one request or one session (requests that follow each
 * other, with tool calls between them) a line. Only what must be known of all of them is kept in
 * memory, 40 bytes a line; tokens are read when a request arrives. One thread.
 */
#include "base/base.h"

struct jt_workload; /* opaque */

/* One request, or one of a session. */
struct jt_ask {
	uint64_t id;         /* in order of the file; a session takes as many as it has requests */
	uint64_t arrival_ns; /* of the first of a session; the others follow their predecessor's end
	                      */
	uint64_t pause_ns;   /* tool_duration_ns: from its end to the arrival of the next */
	uint32_t input_tokens, output_tokens;
	uint32_t n_input_ids, n_output_ids; /* 0: none given */
	const uint32_t *ids;                /* input, then output; valid until the next call */
	bool is_last;                       /* of its session; always true outside of sessions */
};

/*
 * Reads all of @path ("-": standard input) and checks it, @max_lines lines at most (0: all). Errors
 * name file, line and field. Sorted by arrival, equal ones in order of the file.
 */
int jt__workload_open(const char *path, uint64_t max_lines, struct jt_workload **ret_workload,
                      struct jt_error *err);
/* What runs when no file is given: 16 requests of 64 + 64 tokens at once, as the reference has them
 * (there, for each instance). */
int jt__workload_builtin(struct jt_workload **ret_workload, struct jt_error *err);
void jt__workload_free(struct jt_workload *w); /* accepts NULL */

const char *jt__workload_name(const struct jt_workload *w);  /* of the file, for errors */
uint64_t jt__workload_lines(const struct jt_workload *w);    /* requests and sessions */
uint64_t jt__workload_requests(const struct jt_workload *w); /* those inside of sessions counted */
uint64_t jt__workload_first_ns(const struct jt_workload *w); /* the first arrival; JT_NONE: none */
uint64_t jt__workload_arrival_ns(const struct jt_workload *w, uint64_t line); /* by arrival */

/* Request @nth of line @line (in order of arrival). @with_ids: tokens too. JT_ENOENT: no such. */
int jt__workload_read(struct jt_workload *w, uint64_t line, uint32_t nth, bool with_ids,
                      struct jt_ask *ret_ask, struct jt_error *err);

#endif
