/* SPDX-License-Identifier: Apache-2.0 */
/* The admin port: /metrics and /health. */
#include <string.h>
#include "base/clock.h"
#include "gateway/books.h"
#include "gateway/worker.h"

#define MAX_SCRAPE ((size_t)16 << 20)

static bool wants_openmetrics(const struct jt_head *head)
{
	const struct jt_header *accept = jt__head_find(head, "accept");

	return accept && strstr(accept->value, "application/openmetrics-text");
}

/* Of all or of none: a sum that loses a part would look like a restart. */
static uint64_t workers_cpu_ns(const struct jt_books *b)
{
	uint64_t sum_ns = 0, ns;

	for (size_t i = 0; i < b->n_workers; i++) {
		ns = jt__thread_cpu_ns(b->workers[i].cpu_clock);
		if (ns == JT_NONE)
			return JT_NONE;
		sum_ns += ns;
	}
	return sum_ns;
}

static void reply_metrics(struct jt_books *b, struct jt_exchange *ex)
{
	struct jt_metrics_extra x = { .n_in_flight = b->n_in_flight,
		                      .n_notes_lost = b->n_notes_lost };
	bool openmetrics = wants_openmetrics(jt__exchange_head(ex));
	struct jt_buf text;

	for (size_t i = 0; i < b->n_workers; i++)
		x.n_unmetered += b->workers[i].n_unmetered;
	x.bookkeeper_cpu_ns = jt__thread_cpu_ns(jt__thread_clock());
	x.workers_cpu_ns = workers_cpu_ns(b);
	x.n_lines_lost = (b->access_log ? jt__lines_lost(b->access_log) : 0) +
	                 (b->recording ? jt__lines_lost(b->recording) : 0);
	jt__buf_init(&text, MAX_SCRAPE);
	jt__metrics_render(b->metrics, b->meter, &x, openmetrics, &text);
	if (text.failed)
		jt__exchange_reply_error(ex, 500, "too_large",
		                         "the scrape does not fit into 16 MiB");
	else
		jt__exchange_reply(
			ex, 200,
			openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				    : "text/plain; version=0.0.4; charset=utf-8",
			jt__buf_bytes(&text), jt__buf_len(&text));
	jt__buf_fini(&text);
}

static void reply_health(struct jt_books *b, struct jt_exchange *ex)
{
	struct jt_own_cost own;
	struct jt_buf text;

	jt_meter_own_cost(b->meter, &own);
	jt__buf_init(&text, 4096);
	jt__buf_append_text(&text, "{");
	jt__json_key(&text, "status");
	jt__buf_append_text(&text, "\"ok\"");
	jt__own_cost_json(&text, &own);
	jt__buf_append_text(&text, "}");
	jt__exchange_reply(ex, 200, "application/json", jt__buf_bytes(&text), jt__buf_len(&text));
	jt__buf_fini(&text);
}

static void on_request(void *user, struct jt_exchange *ex)
{
	const struct jt_head *head = jt__exchange_head(ex);
	bool reads = strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0;
	size_t n = strcspn(head->target, "?");

	if (!reads)
		jt__exchange_reply_error(ex, 405, "method_not_allowed", "GET only");
	else if (n == 8 && strncmp(head->target, "/metrics", n) == 0)
		reply_metrics(user, ex);
	else if (n == 7 && strncmp(head->target, "/health", n) == 0)
		reply_health(user, ex);
	else
		jt__exchange_reply_error(ex, 404, "not_found", "try /metrics or /health");
}

static void on_over(void *user, struct jt_exchange *ex, bool complete)
{
	(void)user;
	(void)ex;
	(void)complete;
}

const struct jt_server_handler jt__admin_handler = { .request = on_request, .over = on_over };
