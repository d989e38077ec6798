/* SPDX-License-Identifier: Apache-2.0 */
/* The demo engine's HTTP: paths, errors, and answers as their tokens come. */
#include <inttypes.h>
#include <string.h>
#include "base/clock.h"
#include "demo/engine.h"
#include "jouletap/record.h"

/* The longest events of one token, and a whole answer. */
#define MAX_EVENT_BYTES 4096
#define MAX_TEXT_BYTES (16 * JT_DEMO_MAX_TOKENS)

static struct jt_demo_answer described(const struct jt_demo_engine *e, const struct jt_demo_task *a)
{
	return (struct jt_demo_answer){
		.ask = &a->ask, .model = e->model, .id = a->id, .created_unix_s = a->created_unix_s
	};
}

static void stream_token(struct jt_demo_engine *e, struct jt_demo_task *a, const char *word)
{
	struct jt_demo_answer d = described(e, a);
	struct jt_buf b;

	jt__buf_init(&b, MAX_EVENT_BYTES);
	jt__demo_event_text(&b, &d, word, a->n_tokens == 1);
	if (a->over)
		jt__demo_event_end(&b, &d, a->n_tokens);
	if (b.failed)
		jt__exchange_abort(a->ex);
	else
		jt__exchange_write(a->ex, jt__buf_bytes(&b), jt__buf_len(&b));
	if (a->over)
		jt__exchange_end(a->ex);
	jt__buf_fini(&b);
}

static void gather_token(struct jt_demo_engine *e, struct jt_demo_task *a, const char *word)
{
	struct jt_demo_answer d = described(e, a);
	struct jt_buf b;

	jt__buf_append_text(&a->text, word);
	if (!a->over)
		return;
	jt__buf_init(&b, 2 * MAX_TEXT_BYTES);
	jt__demo_body(&b, &d, jt__buf_bytes(&a->text), jt__buf_len(&a->text), a->n_tokens);
	if (b.failed || a->text.failed)
		jt__exchange_abort(a->ex);
	else
		jt__exchange_reply(a->ex, 200, "application/json", jt__buf_bytes(&b),
		                   jt__buf_len(&b));
	jt__buf_fini(&b);
}

void jt__demo_hand_out(struct jt_demo_engine *e, struct jt_demo_task *a)
{
	char word[16];

	jt__demo_word(a->ask.seed, a->n_tokens - 1, word);
	if (a->ask.stream)
		stream_token(e, a, word);
	else
		gather_token(e, a, word);
}

static void refuse(struct jt_exchange *ex, int status, const struct jt_error *err)
{
	switch (status) {
	case JT_ENOENT:
		jt__exchange_reply_error(ex, 404, "not_found_error", "%s", err->message);
		break;
	case JT_ENOMEM:
		jt__exchange_reply_error(ex, 503, "server_error", "%s", err->message);
		break;
	default:
		jt__exchange_reply_error(ex, 400, "invalid_request_error", "%s", err->message);
	}
}

static void start_stream(struct jt_exchange *ex)
{
	static const struct jt_header headers[] = {
		{ "Content-Type", 12, "text/event-stream; charset=utf-8", 32 },
		{ "Cache-Control", 13, "no-cache", 8 },
	};

	jt__exchange_start(ex, 200, headers, JT_ARRAY_LEN(headers), JT_NONE);
}

static void on_generate(struct jt_demo_engine *e, struct jt_exchange *ex, bool chat)
{
	const struct jt_buf *body = jt__exchange_body(ex);
	const struct jt_header *id = jt__head_find(jt__exchange_head(ex), "x-request-id");
	struct jt_demo_task *a = jt__alloc(1, sizeof(*a));
	struct jt_error err;
	int status;

	if (!a) {
		jt__exchange_reply_error(ex, 503, "server_error", "out of memory");
		return;
	}
	a->ex = ex;
	a->created_unix_s = jt__realtime_ns() / JT_NS_PER_S;
	jt__buf_init(&a->text, MAX_TEXT_BYTES);
	if (id)
		jt__copy_text(a->request_id, sizeof(a->request_id), id->value, id->value_len);
	status = jt__demo_ask_parse(jt__buf_bytes(body), jt__buf_len(body), chat, e->model, &a->ask,
	                            &err);
	if (status == JT_OK)
		status = jt__demo_submit(e, a, &err);
	if (status < 0) {
		jt__free(a);
		refuse(ex, status, &err);
		return;
	}
	jt__exchange_set_user(ex, a);
	if (a->ask.stream)
		start_stream(ex);
}

static void reply_buf(struct jt_exchange *ex, const char *type, struct jt_buf *b)
{
	if (b->failed)
		jt__exchange_reply_error(ex, 503, "server_error", "out of memory");
	else
		jt__exchange_reply(ex, 200, type, jt__buf_bytes(b), jt__buf_len(b));
	jt__buf_fini(b);
}

static void on_models(struct jt_demo_engine *e, struct jt_exchange *ex)
{
	struct jt_buf b;

	jt__buf_init(&b, MAX_EVENT_BYTES);
	jt__demo_models(&b, e->model);
	reply_buf(ex, "application/json", &b);
}

static void on_metrics(struct jt_demo_engine *e, struct jt_exchange *ex)
{
	struct jt_demo_totals t;
	struct jt_buf b;

	jt__demo_engine_totals(e, &t);
	jt__buf_init(&b, MAX_EVENT_BYTES);
	jt__buf_printf(
		&b,
		"# TYPE demo_requests_total counter\ndemo_requests_total %" PRIu64 "\n"
		"# TYPE demo_prompt_tokens_total counter\ndemo_prompt_tokens_total %" PRIu64 "\n"
		"# TYPE demo_generation_tokens_total counter\ndemo_generation_tokens_total %" PRIu64
		"\n"
		"# TYPE demo_requests_running gauge\ndemo_requests_running %" PRIu32 "\n"
		"# TYPE demo_requests_waiting gauge\ndemo_requests_waiting %" PRIu32 "\n"
		"# TYPE demo_energy_joules_total counter\ndemo_energy_joules_total %.3f\n",
		e->n_requests, e->n_prompt_tokens, e->n_generated_tokens, jt__node_running(e->node),
		jt__node_waiting(e->node), t.energy_j);
	reply_buf(ex, "text/plain; version=0.0.4", &b);
}

static void on_health(struct jt_demo_engine *e, struct jt_exchange *ex)
{
	(void)e;
	jt__exchange_reply(ex, 200, "application/json", "{\"status\":\"ok\"}", 15);
}

static void on_chat(struct jt_demo_engine *e, struct jt_exchange *ex)
{
	on_generate(e, ex, true);
}

static void on_completion(struct jt_demo_engine *e, struct jt_exchange *ex)
{
	on_generate(e, ex, false);
}

static const struct route {
	const char *method;
	const char *path;
	void (*fn)(struct jt_demo_engine *e, struct jt_exchange *ex);
} routes[] = {
	{ "POST", "/v1/chat/completions", on_chat }, { "POST", "/v1/completions", on_completion },
	{ "GET", "/v1/models", on_models },          { "GET", "/health", on_health },
	{ "GET", "/metrics", on_metrics },
};

static void on_request(void *user, struct jt_exchange *ex)
{
	const struct jt_head *head = jt__exchange_head(ex);
	size_t n = strcspn(head->target, "?");
	bool is_path = false;

	for (size_t i = 0; i < JT_ARRAY_LEN(routes); i++) {
		const struct route *r = &routes[i];

		if (strlen(r->path) != n || memcmp(r->path, head->target, n) != 0)
			continue;
		is_path = true;
		if (strcmp(r->method, head->method) == 0) {
			r->fn(user, ex);
			return;
		}
	}
	if (is_path)
		jt__exchange_reply_error(ex, 405, "invalid_request_error", "not with %s",
		                         head->method);
	else
		jt__exchange_reply_error(ex, 404, "not_found_error", "no such path: %.*s",
		                         (int)JT_MIN(n, (size_t)100), head->target);
}

static void on_over(void *user, struct jt_exchange *ex, bool complete)
{
	struct jt_demo_task *a = jt__exchange_user(ex);

	(void)complete;
	if (!a)
		return;
	jt__demo_leave(user, a);
	jt__buf_fini(&a->text);
	jt__free(a);
}

const struct jt_server_handler jt__demo_handler = { .request = on_request, .over = on_over };
