/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on its way through.
 *
 * The happy path: the head arrives; a path that we read gathers its body (the
 * model picks the upstream, include_usage is set for streams), any other streams it on as
 * it comes. The upstream's head is rebuilt for the client, its body goes through the
 * filter and out in the same turn of the loop. The bookkeeper hears of it when it
 * is sent, at its first token, when its context has grown, and at its end (report.c).
 *
 * Two ends can go away by themselves. The client's (exchange over): the call is
 * cancelled at once, which is how the engine learns that nobody listens. The
 * upstream's (call over): the answer is ended, or cut if it is not complete. What is left of a
 * relay when both are gone is its last note, which waits until the ring has room.
 *
 * A client that wants its joules in usage makes the answer stop at the brace
 * that closes usage until the bookkeeper has answered, at most JT_PATIENCE_NS; what the engine
 * sends meanwhile waits in `later`.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include "gateway/figures.h"
#include "gateway/heads.h"
#include "gateway/models.h"
#include "gateway/relay.h"

#define MAX_HELD ((size_t)64 << 10) /* of an event that may turn out to be a usage chunk */
#define MAX_LATER ((size_t)4 << 20) /* while the bookkeeper is asked */

/* ---- its end ---- */

void jt__relay_free(struct jt_relay *r)
{
	jt__free(r->facts);
	jt__models_free(r->models);
	jt__timer_cancel(r->worker->loop, &r->patience);
	jt__worker_release(r->worker, r->key);
	if (r->reading)
		jt__filter_fini(&r->filter);
	jt__buf_fini(&r->later);
	jt__free(r);
}

struct jt_relay *jt__relay_next_unsent(const struct jt_relay *r)
{
	return r->next_unsent;
}

bool jt__relay_retire(struct jt_relay *r)
{
	if (r->facts && !jt__relay_tell_end(r))
		return false;
	jt__relay_free(r);
	return true;
}

static void release_if_over(struct jt_relay *r)
{
	struct jt_worker *w = r->worker;

	if (r->ex || r->call || jt__relay_retire(r))
		return;
	r->next_unsent = w->unsent;
	w->unsent = r;
	if (!w->unsent_timer.slot)
		jt__timer_set(w->loop, &w->unsent_timer, jt__relay_now_ns(r) + JT_NS_PER_MS);
}

/* ---- the answer, on its way to the client ---- */

static void send_slices(struct jt_relay *r)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(r->filter.out); i++)
		if (r->ex && r->filter.out[i].n)
			jt__exchange_write(r->ex, r->filter.out[i].bytes, r->filter.out[i].n);
}

static void hear_news(struct jt_relay *r)
{
	struct jt_answer *a = &r->filter.answer;

	if (!r->ask.stream || !(a->news & JT_NEWS_TOKEN)) {
		a->news = 0;
		return;
	}
	r->last_ns = jt__relay_now_ns(r);
	if (!r->first_ns)
		r->first_ns = r->last_ns;
	if (a->n_content >= r->next_progress)
		jt__relay_tell_progress(r);
	a->news = 0;
}

/* Stops the answer at the brace of its usage until the bookkeeper has answered. */
static void ask_for_figures(struct jt_relay *r, const char *rest, size_t n)
{
	struct jt_note note = { .kind = JT_NOTE_ASK, .key = r->key, .t_ns = jt__relay_now_ns(r) };

	r->waiting = true;
	if (jt__buf_append(&r->later, rest, n) < 0)
		jt__exchange_abort(r->ex);
	if (r->call)
		jt__call_pause(r->call, true);
	jt__relay_tell(r, &note);
	r->worker->wake_books(r->worker->user);
	jt__timer_set(r->worker->loop, &r->patience, jt__relay_now_ns(r) + JT_PATIENCE_NS);
}

/* Reads on and sends on; stops where the filter wants figures. */
static void pump(struct jt_relay *r, const char *bytes, size_t n)
{
	const char *end = bytes + n;

	for (;;) {
		enum jt_filter_step step = jt__filter_next(&r->filter, &bytes, end);

		hear_news(r);
		send_slices(r);
		if (step == JT_FILTER_SPLICE && r->announced) {
			ask_for_figures(r, bytes, (size_t)(end - bytes));
			return;
		}
		if (step == JT_FILTER_MORE)
			return;
	}
}

static void follow_pressure(struct jt_relay *r)
{
	if (r->ex && r->call && !r->waiting && jt__exchange_full(r->ex))
		jt__call_pause(r->call, true);
}

/* The whole answer is there: what is still held goes out, and the client is done. */
static void finish_answer(struct jt_relay *r)
{
	if (r->reading) {
		jt__filter_finish(&r->filter);
		hear_news(r);
		send_slices(r);
	}
	if (r->ex)
		jt__exchange_end(r->ex);
}

static void answer_failed(struct jt_relay *r, int status, const char *why)
{
	if (!r->ex)
		return;
	if (jt__exchange_started(r->ex))
		jt__exchange_abort(r->ex); /* a cut connection says that the answer is not whole */
	else if (status == JT_ETIME)
		jt__exchange_reply_error(r->ex, 504, "upstream_timeout", "upstream '%s': %s",
		                         r->upstream->config->name, why);
	else
		jt__exchange_reply_error(r->ex, 502, "upstream_error", "upstream '%s': %s",
		                         r->upstream->config->name, why);
}

/* What came of it, as the upstream's side saw it. */
static const char *outcome_of(const struct jt_relay *r, int status)
{
	if (status == JT_ETIME)
		return "timeout";
	/* a stream that has begun can only tell of its failure inside */
	if (status != JT_OK || (r->reading && r->filter.answer.n_errors))
		return "upstream_error";
	if (!r->facts || r->facts->record.http_status < 400)
		return "ok";
	return r->facts->record.http_status < 500 ? "rejected" : "upstream_error";
}

/* The upstream's side is over, and all that it sent has been read. */
static void end_answer(struct jt_relay *r, int status, const char *why)
{
	if (r->facts && status != JT_OK && r->facts->record.http_status == JT_NONE)
		r->facts->record.http_status = status == JT_ETIME ? 504 : 502;
	jt__relay_conclude(r, outcome_of(r, status));
	if (status == JT_OK)
		finish_answer(r);
	else
		answer_failed(r, status, why);
}

static void go_on(struct jt_relay *r, const struct jt_figures *figures)
{
	struct jt_buf later = r->later;
	struct jt_buf member;

	jt__timer_cancel(r->worker->loop, &r->patience);
	r->waiting = false;
	if (figures && r->ex) {
		jt__buf_init(&member, 1024);
		jt__buf_append_text(&member, r->filter.comma);
		jt__figures_member(&member, figures);
		jt__exchange_write(r->ex, jt__buf_bytes(&member), jt__buf_len(&member));
		jt__buf_fini(&member);
	}
	/* it may have to wait again: a stream of several choices has several usage chunks */
	jt__buf_init(&r->later, MAX_LATER);
	pump(r, jt__buf_len(&later) ? jt__buf_bytes(&later) : "", jt__buf_len(&later));
	jt__buf_fini(&later);
	if (r->waiting)
		return;
	if (r->call)
		jt__call_pause(r->call, r->ex && jt__exchange_full(r->ex));
	else if (r->over_ns)
		end_answer(r, r->call_status, "answer cut short");
}

void jt__relay_reply(struct jt_relay *r, const struct jt_reply *reply)
{
	struct jt_buf b;

	if (r->key != reply->key || !r->ex)
		return;
	if (r->waiting) {
		go_on(r, reply->found ? &reply->figures : NULL);
		return;
	}
	if (r->upstream || jt__exchange_started(r->ex))
		return; /* it waited too long and has gone on without */
	if (!reply->found) {
		jt__exchange_reply_error(
			r->ex, 404, "not_found",
			"no request '%s', or it is too long ago, or it was not metered", r->id);
		return;
	}
	jt__buf_init(&b, 4096);
	jt__figures_answer(&b, r->id, &reply->figures);
	jt__exchange_reply(r->ex, 200, "application/json", jt__buf_bytes(&b), jt__buf_len(&b));
	jt__buf_fini(&b);
}

static void on_patience(struct jt_timer *t)
{
	struct jt_relay *r = jt_container_of(t, struct jt_relay, patience);

	if (r->waiting)
		go_on(r, NULL);
	else if (r->ex && !jt__exchange_started(r->ex))
		jt__exchange_reply_error(r->ex, 503, "busy",
		                         "the bookkeeper did not answer in time");
}

/* ---- the upstream's side ---- */

static void count_in(struct jt_relay *r)
{
	r->running = jt__ask_choices(&r->ask);
	jt__estimate_begin(r->upstream->estimator, r->running);
}

static void count_out(struct jt_relay *r)
{
	if (r->running)
		jt__estimate_end(r->upstream->estimator, r->running);
	r->running = 0;
}

/* Whether we understand its answer. */
static bool is_read(const struct jt_relay *r)
{
	return r->api && r->api->form;
}

/* false: none that we read. */
static bool framing_of(const struct jt_head *head, enum jt_answer_kind *ret_kind)
{
	static const struct {
		const char *type;
		enum jt_answer_kind kind;
	} kinds[] = {
		{ "text/event-stream", JT_ANSWER_STREAM },
		{ "application/json", JT_ANSWER_PLAIN },
		{ "application/x-ndjson", JT_ANSWER_LINES },
	};
	const struct jt_header *type = jt__head_find(head, "content-type");

	for (size_t i = 0; type && i < JT_ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i].type);

		if (n == strcspn(type->value, "; \t") &&
		    strncasecmp(type->value, kinds[i].type, n) == 0) {
			*ret_kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

/* We asked for none, but who does not heed that is not to be taken for text. */
static bool is_encoded(const struct jt_head *head)
{
	return jt__head_find(head, "content-encoding") &&
	       !jt__head_is(head, "content-encoding", "identity");
}

static void begin_reading(struct jt_relay *r, const struct jt_head *head)
{
	enum jt_filter_mode mode = JT_FILTER_PASS;
	enum jt_answer_kind kind;

	if (!is_read(r) || head->status != 200 || is_encoded(head) || !framing_of(head, &kind))
		return;
	r->reading = true;
	r->ask.stream = kind != JT_ANSWER_PLAIN; /* what it is, not what was asked for */
	if (r->wants_energy)
		mode = JT_FILTER_ENERGY;
	else if (r->ask.stream && r->ask.edit.text)
		mode = JT_FILTER_DROP;
	jt__filter_init(&r->filter, mode, r->api->form, kind, MAX_HELD);
}

/* What it was predicted to cost, as headers: @joules and @interval hold the texts. Their number. */
static size_t put_prediction(const struct jt_relay *r, char joules[24], char interval[48],
                             struct jt_header *out)
{
	const struct jt_record *rec = r->facts ? &r->facts->record : NULL;

	if (!rec || rec->predicted_uj == JT_NONE || rec->http_status != 200)
		return 0;
	jt__estimate_joules(rec->predicted_uj, joules, 24);
	jt__estimate_interval(rec->predicted_lo_uj, rec->predicted_hi_uj, interval, 48);
	out[0] = (struct jt_header){ "x-jouletap-predicted-j", 22, joules, strlen(joules) };
	out[1] = (struct jt_header){ "x-jouletap-predicted-interval-j", 31, interval,
		                     strlen(interval) };
	return 2;
}

static void on_head(void *user, struct jt_call *c, const struct jt_head *head)
{
	struct jt_relay *r = user;
	struct jt_header headers[JT_HTTP_MAX_HEADERS + 2];
	char joules[24], interval[48];
	uint64_t length = head->content_length;
	size_t n = jt__heads_response(head, headers, JT_HTTP_MAX_HEADERS);

	(void)c;
	begin_reading(r, head);
	if (r->facts) {
		r->facts->record.http_status = head->status;
		r->facts->record.stream = r->ask.stream && r->reading;
	}
	if (r->reading && r->filter.mode != JT_FILTER_PASS)
		length = JT_NONE; /* it will not be as long as the engine says */
	n += put_prediction(r, joules, interval, headers + n);
	if (r->ex)
		jt__exchange_start(r->ex, head->status, headers, n, length);
}

static void on_body(void *user, struct jt_call *c, const char *bytes, size_t n)
{
	struct jt_relay *r = user;

	(void)c;
	if (r->waiting) {
		if (jt__buf_append(&r->later, bytes, n) < 0)
			jt__exchange_abort(r->ex);
		return;
	}
	if (r->reading)
		pump(r, bytes, n);
	else if (r->ex)
		jt__exchange_write(r->ex, bytes, n);
	follow_pressure(r);
}

static void on_call_writable(void *user, struct jt_call *c)
{
	struct jt_relay *r = user;

	(void)c;
	if (r->ex)
		jt__exchange_pause_body(r->ex, false);
}

static void on_call_over(void *user, struct jt_call *c, int status, const struct jt_error *err)
{
	struct jt_relay *r = user;

	(void)c;
	r->call = NULL;
	count_out(r);
	r->over_ns = jt__relay_now_ns(r);
	if (r->waiting) { /* the rest of the answer, which the record needs, is in `later` */
		r->call_status = status;
	} else {
		end_answer(r, status, status == JT_OK ? "" : err->message);
	}
	release_if_over(r);
}

static const struct jt_call_handler call_handler = {
	.head = on_head,
	.body = on_body,
	.writable = on_call_writable,
	.over = on_call_over,
};

/* ---- the client's side ---- */

static bool is_probe(const struct jt_worker *w, const char *path)
{
	for (size_t i = 0; i < w->config->metering.n_probe_paths; i++)
		if (strcmp(w->config->metering.probe_paths[i], path) == 0)
			return true;
	return false;
}

static const struct jt_api *api_of(const struct jt_relay *r, const struct jt_head *head)
{
	bool post = strcmp(head->method, "POST") == 0;
	const struct jt_api *api = post ? jt__api_find(r->path) : NULL;

	return !api && r->probe && (post || strcmp(head->method, "GET") == 0) ? &jt__api_unread
	                                                                      : api;
}

/* Our name for it, on every answer that there is a record of. */
static void tag_with_id(struct jt_relay *r)
{
	const struct jt_header tag = { "x-jouletap-request-id", 21, r->id, strlen(r->id) };

	jt__exchange_tag(r->ex, &tag);
}

static struct jt_relay *new_relay(struct jt_worker *w, struct jt_exchange *ex)
{
	const struct jt_head *head = jt__exchange_head(ex);
	struct jt_relay *r = jt__alloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->worker = w;
	r->ex = ex;
	r->begin_ns = jt__exchange_begin_ns(ex);
	r->patience.fn = on_patience;
	r->ask.n = JT_NONE;
	jt__buf_init(&r->later, MAX_LATER);
	if (!jt__worker_adopt(w, r, &r->key)) {
		jt__free(r);
		return NULL;
	}
	jt__copy_text(r->path, sizeof(r->path), head->target, strcspn(head->target, "?"));
	jt__heads_request_id(head, r->key ^ w->id_salt, r->id);
	r->probe = is_probe(w, r->path);
	r->api = api_of(r, head);
	r->wants_energy = jt__head_is(head, "x-jouletap-energy", "1") ||
	                  jt__head_is(head, "x-jouletap-energy", "true");
	jt__exchange_set_user(ex, r);
	return r;
}

/* Sends the head and, if it was gathered, the body. */
static void call_upstream(struct jt_relay *r, size_t upstream, const char *body, size_t n,
                          struct jt_request_head *rh)
{
	const struct jt_head *head = jt__exchange_head(r->ex);
	struct jt_buf request;

	rh->from = head;
	rh->host = r->upstream->host;
	rh->prefix = r->upstream->config->prefix;
	rh->request_id = r->id;
	rh->identity = is_read(r);
	rh->n_body = n + (r->ask.edit.text ? strlen(r->ask.edit.text) : 0);
	jt__buf_init(&request, (2 * r->worker->config->limits.max_head_bytes) +
	                               r->worker->config->limits.max_body_bytes + 256);
	jt__heads_request(&request, rh);
	if (body && r->ask.edit.text) {
		jt__buf_append(&request, body, r->ask.edit.offset);
		jt__buf_append_text(&request, r->ask.edit.text);
		body += r->ask.edit.offset + r->ask.edit.remove;
		n -= r->ask.edit.offset + r->ask.edit.remove;
	}
	if (body)
		jt__buf_append(&request, body, n);
	if (!request.failed)
		r->call = jt__call_start(r->worker->pools[upstream], &request,
		                         body || !head->has_body, strcmp(head->method, "HEAD") == 0,
		                         &call_handler, r);
	jt__buf_fini(&request);
	if (body)
		jt__exchange_drop_request(r->ex);
	r->sent_ns = jt__relay_now_ns(r);
	if (r->call && r->api)
		count_in(r);
	if (r->call && r->facts && r->api)
		jt__relay_tell_begin(r);
	if (r->call)
		return;
	if (r->facts)
		r->facts->record.http_status = 503;
	jt__relay_conclude(r, "rejected");
	jt__exchange_reply_error(r->ex, 503, "overloaded", "out of memory");
}

/* A request whose body is in: read it, find its engine, send it. */
static void relay_gathered(struct jt_relay *r)
{
	const struct jt_buf *body = jt__exchange_body(r->ex);
	const char *bytes = jt__buf_len(body) ? jt__buf_bytes(body) : "";
	size_t n = jt__buf_len(body), upstream;
	struct jt_request_head rh = { 0 };

	jt__ask_read(&r->ask, r->api, bytes, n);
	if (!r->ask.valid)
		r->ask =
			(struct jt_ask){ .n = JT_NONE }; /* the engine says what is wrong with it */
	r->facts = jt__relay_new_facts(r);
	if (r->facts) {
		memcpy(r->facts->record.model, r->ask.model, sizeof(r->ask.model));
		r->facts->record.choices = r->ask.n == JT_NONE ? 1 : r->ask.n;
	}
	r->upstream = jt__worker_route(r->worker, r->ask.model, &upstream);
	if (!r->upstream) {
		if (r->facts)
			r->facts->record.http_status = 404;
		jt__relay_conclude(r, "rejected");
		jt__exchange_reply_error(r->ex, 404, "model_not_found",
		                         "no upstream serves the model '%s'", r->ask.model);
		return;
	}
	jt__relay_predict(r);
	rh.content_length = n;
	if (r->ask.edit.text)
		rh.content_length += strlen(r->ask.edit.text) - r->ask.edit.remove;
	call_upstream(r, upstream, bytes, n, &rh);
}

static bool only_reads(const struct jt_head *head)
{
	return strcmp(head->method, "GET") == 0 || strcmp(head->method, "HEAD") == 0 ||
	       strcmp(head->method, "OPTIONS") == 0;
}

/* A request that is passed on as it comes. */
static void relay_streamed(struct jt_relay *r)
{
	const struct jt_head *head = jt__exchange_head(r->ex);
	struct jt_request_head rh = { .content_length = head->content_length,
		                      .chunked = head->chunked };
	size_t upstream;

	r->chunked_up = head->chunked;
	if (!only_reads(head)) { /* not metered, but on record */
		r->facts = jt__relay_new_facts(r);
		tag_with_id(r);
	}
	r->upstream = jt__worker_route(r->worker, "", &upstream);
	call_upstream(r, upstream, NULL, 0, &rh);
}

static void on_request_head(void *user, struct jt_exchange *ex)
{
	struct jt_relay *r = new_relay(user, ex);

	if (!r) {
		jt__exchange_reply_error(ex, 503, "overloaded", "out of memory");
		return;
	}
	if (r->api)
		tag_with_id(r);
	if (r->api || jt__relay_is_question(r))
		return;
	jt__exchange_stream_body(ex);
	relay_streamed(r);
}

static void on_request(void *user, struct jt_exchange *ex)
{
	struct jt_relay *r = jt__exchange_user(ex);

	(void)user;
	if (!r)
		return;
	if (r->api)
		relay_gathered(r);
	else if (jt__relay_is_question(r))
		jt__relay_answer(r);
	else if (r->chunked_up && r->call)
		jt__call_send(r->call, "0\r\n\r\n", 5);
}

static void on_request_body(void *user, struct jt_exchange *ex, const char *bytes, size_t n)
{
	struct jt_relay *r = jt__exchange_user(ex);
	char size[20];

	(void)user;
	if (!r || !r->call || !n)
		return;
	if (r->chunked_up)
		jt__call_send(r->call, size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", n));
	jt__call_send(r->call, bytes, n);
	if (r->chunked_up)
		jt__call_send(r->call, "\r\n", 2);
	if (jt__call_full(r->call))
		jt__exchange_pause_body(ex, true);
}

static void on_writable(void *user, struct jt_exchange *ex)
{
	struct jt_relay *r = jt__exchange_user(ex);

	(void)user;
	if (r && r->call && !r->waiting)
		jt__call_pause(r->call, false);
}

static void on_exchange_over(void *user, struct jt_exchange *ex, bool complete)
{
	struct jt_relay *r = jt__exchange_user(ex);

	(void)user;
	if (!r)
		return;
	r->ex = NULL;
	r->waiting = false;
	if (r->call) { /* nobody listens any more: the engine should stop working for it */
		jt__call_cancel(r->call);
		r->call = NULL;
		count_out(r);
	}
	jt__relay_conclude(r, complete ? "ok" : "client_gone");
	release_if_over(r);
}

const struct jt_server_handler jt__relay_handler = {
	.head = on_request_head,
	.request = on_request,
	.body = on_request_body,
	.writable = on_writable,
	.over = on_exchange_over,
};
