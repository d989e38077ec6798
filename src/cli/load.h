/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LOAD_H
#define JT_LOAD_H
/* A short mixed load of chat requests against one address, for the demo. */
#include "base/base.h"

struct jt_load_request {
	char id[64];    /* sent as x-request-id */
	uint64_t at_ns; /* after the start */
	uint32_t prompt_words;
	uint32_t max_tokens;
	bool stream;
	const char *task_class;
	bool ok; /* the answer came, whole, with status 200 */
};

/* Fills @n requests: a mix of short chats, long prompts and long answers, equal for equal seeds. */
void jt__load_plan(struct jt_load_request *requests, size_t n, uint64_t seed, uint64_t spread_ns);

/*
 * Sends them to "HOST:PORT", each at its time, and waits for all answers. @progress is called with
 * the number of those that are over.
 */
int jt__load_run(const char *address, const char *model, struct jt_load_request *requests, size_t n,
                 void (*progress)(void *user, size_t n_over), void *user, struct jt_error *err);

#endif
