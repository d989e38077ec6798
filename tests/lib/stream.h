/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TEST_STREAM_H
#define JT_TEST_STREAM_H
/* Recorded answers, and the loop of a relay: pieces in, forwarded bytes out. Aborts on a missing
 * file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gateway/filter.h"

struct capture {
	char *file;
	const struct jt_api *api;
	const char *request; /* its body */
	size_t n_request;
	const char *body; /* of the answer */
	size_t n_body;
	enum jt_answer_kind kind;
};

static inline char *read_whole_file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "rb");
	char *bytes = NULL;
	size_t n = 0;

	if (f && fseek(f, 0, SEEK_END) == 0) {
		long size = ftell(f);

		rewind(f);
		bytes = calloc(1, (size_t)size + 1);
		n = bytes ? fread(bytes, 1, (size_t)size, f) : 0;
	}
	if (!bytes) {
		printf("Bail out! cannot read '%s'\n", path);
		abort();
	}
	fclose(f);
	*ret_n = n;
	return bytes;
}

/* The API whose path stands in ">>> METHOD PATH". */
static inline const struct jt_api *capture_api(const char *file)
{
	const char *path = strchr(file, '/');
	char text[64] = "";

	jt__copy_text(text, sizeof(text), path, strcspn(path, " \n"));
	return jt__api_find(text);
}

/* @name as in tests/data/llama_server_capture, without ".http", or ../engine_streams/NAME. */
static inline struct capture capture_load(const char *name)
{
	static const char gone[] = "\n<<< client closed\n";
	struct capture c = { 0 };
	char path[512], *answer, *end;
	size_t n;

	snprintf(path, sizeof(path), "%s/tests/data/llama_server_capture/%s.http", JT_SOURCE_ROOT,
	         name);
	c.file = read_whole_file(path, &n);
	end = c.file + n;
	answer = strstr(c.file, "\n<<< ");
	c.api = capture_api(c.file);
	c.request = strchr(c.file, '\n') + 1;
	c.n_request = (size_t)(answer - c.request);
	c.body = strstr(answer, "\n\n") + 2;
	c.n_body = (size_t)(end - c.body);
	if (c.n_body > sizeof(gone) && strcmp(end - (sizeof(gone) - 1), gone) == 0)
		c.n_body -= sizeof(gone) - 1;
	c.kind = strstr(answer, "text/event-stream")      ? JT_ANSWER_STREAM
	         : strstr(answer, "application/x-ndjson") ? JT_ANSWER_LINES
	                                                  : JT_ANSWER_PLAIN;
	return c;
}

static inline void capture_free(struct capture *c)
{
	free(c->file);
}

static inline void forward_out(const struct jt_filter *f, struct jt_buf *out)
{
	for (int i = 0; i < 2; i++)
		jt__buf_append(out, f->out[i].bytes, f->out[i].n);
}

static const char spliced[] = "\"energy\":{\"total_j\":1.5}";

/* One piece of the body, as a relay would pass it on. */
static inline void forward(struct jt_filter *f, const char *bytes, size_t n, struct jt_buf *out)
{
	const char *end = bytes + n;
	enum jt_filter_step step;

	while ((step = jt__filter_next(f, &bytes, end)) != JT_FILTER_MORE) {
		forward_out(f, out);
		if (step == JT_FILTER_SPLICE) {
			jt__buf_append_text(out, f->comma);
			jt__buf_append_text(out, spliced);
		}
	}
}

static inline void forward_end(struct jt_filter *f, struct jt_buf *out)
{
	jt__filter_finish(f);
	forward_out(f, out);
}

#endif
