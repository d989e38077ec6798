/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/buf.h"
#include "base/clock.h"
#include "base/rng.h"
#include "cli/load.h"
#include "http/client.h"

struct run;

struct flight {
	struct run *run;
	struct jt_load_request *request;
	struct jt_timer timer;
	uint32_t status;
};

struct run {
	struct jt_loop *loop;
	struct jt_pool *pool;
	const char *model;
	size_t n;
	size_t n_over;
	void (*progress)(void *user, size_t n_over);
	void *user;
};

static const struct {
	const char *task_class;
	uint32_t words, more_words, tokens, more_tokens;
} mix[] = {
	{ "chat", 40, 60, 30, 50 },
	{ "summary", 400, 300, 20, 20 },
	{ "chat", 30, 80, 40, 60 },
	{ "reasoning", 60, 60, 90, 50 },
};

void jt__load_plan(struct jt_load_request *requests, size_t n, uint64_t seed, uint64_t spread_ns)
{
	struct jt_rng rng = { seed };

	for (size_t i = 0; i < n; i++) {
		size_t kind = i % JT_ARRAY_LEN(mix);
		struct jt_load_request *r = &requests[i];

		snprintf(r->id, sizeof(r->id), "demo-%02zu", i + 1);
		r->at_ns = spread_ns * i / n + jt__rng_below(&rng, spread_ns / n + 1);
		r->task_class = mix[kind].task_class;
		r->prompt_words =
			mix[kind].words + (uint32_t)jt__rng_below(&rng, mix[kind].more_words);
		r->max_tokens =
			mix[kind].tokens + (uint32_t)jt__rng_below(&rng, mix[kind].more_tokens);
		r->stream = i % 6 != 4;
	}
}

static void compose(struct jt_buf *b, const struct run *run, const struct jt_load_request *r)
{
	struct jt_buf body;

	jt__buf_init(&body, 1 << 20);
	jt__buf_append_text(&body, "{\"model\":");
	jt__json_string(&body, run->model, strlen(run->model));
	jt__buf_printf(
		&body,
		",\"max_tokens\":%u,\"stream\":%s,\"messages\":[{\"role\":\"user\",\"content\":\"",
		r->max_tokens, r->stream ? "true" : "false");
	for (uint32_t i = 0; i < r->prompt_words; i++)
		jt__buf_append_text(&body, "word ");
	jt__buf_append_text(&body, "\"}]}");
	jt__buf_printf(
		b,
		"POST /v1/chat/completions HTTP/1.1\r\nHost: demo\r\nContent-Type: "
		"application/json\r\n"
		"x-request-id: %s\r\nx-jouletap-task-class: %s\r\nContent-Length: %zu\r\n\r\n",
		r->id, r->task_class, jt__buf_len(&body));
	jt__buf_append(b, jt__buf_bytes(&body), jt__buf_len(&body));
	jt__buf_fini(&body);
}

static void over(struct flight *f, bool ok)
{
	struct run *run = f->run;

	f->request->ok = ok;
	run->progress(run->user, ++run->n_over);
	if (run->n_over == run->n)
		jt__loop_stop(run->loop);
}

static void on_head(void *user, struct jt_call *c, const struct jt_head *head)
{
	(void)c;
	((struct flight *)user)->status = head->status;
}

static void on_body(void *user, struct jt_call *c, const char *bytes, size_t n)
{
	(void)user;
	(void)c;
	(void)bytes;
	(void)n;
}

static void on_over(void *user, struct jt_call *c, int status, const struct jt_error *err)
{
	struct flight *f = user;

	(void)c;
	(void)err;
	over(f, status == JT_OK && f->status == 200);
}

static const struct jt_call_handler handler = { .head = on_head, .body = on_body, .over = on_over };

static void on_time(struct jt_timer *t)
{
	struct flight *f = jt_container_of(t, struct flight, timer);
	struct jt_buf request;

	jt__buf_init(&request, 2 << 20);
	compose(&request, f->run, f->request);
	if (!jt__call_start(f->run->pool, &request, true, false, &handler, f))
		over(f, false);
	jt__buf_fini(&request);
}

static int open_pool(struct run *run, const char *address, struct jt_error *err)
{
	struct jt_pool_options o = JT_POOL_OPTIONS_INIT;
	const char *colon = strrchr(address, ':');
	char host[64];

	jt__copy_text(host, sizeof(host), address, (size_t)(colon - address));
	o.host = host;
	o.port = colon + 1;
	return jt__pool_new(run->loop, &o, &run->pool, err);
}

int jt__load_run(const char *address, const char *model, struct jt_load_request *requests, size_t n,
                 void (*progress)(void *user, size_t n_over), void *user, struct jt_error *err)
{
	struct run run = { .model = model, .n = n, .progress = progress, .user = user };
	struct flight *flights = jt__alloc(n, sizeof(*flights));
	uint64_t start = jt__now_ns();
	int status = flights ? jt__loop_new(&run.loop, err)
	                     : jt__fail(err, JT_ENOMEM, "demo", "out of memory");

	if (status == JT_OK)
		status = open_pool(&run, address, err);
	for (size_t i = 0; i < n && status == JT_OK; i++) {
		flights[i] = (struct flight){ .run = &run,
			                      .request = &requests[i],
			                      .timer.fn = on_time };
		if (jt__timer_set(run.loop, &flights[i].timer, start + requests[i].at_ns) < 0)
			status = jt__fail(err, JT_ENOMEM, "demo", "out of memory");
	}
	if (status == JT_OK)
		status = jt__loop_run(run.loop);
	jt__pool_free(run.pool);
	jt__loop_free(run.loop);
	jt__free(flights);
	return status;
}
