/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each tick: take the notes of all workers, then let the meter go on to a little
 * before now. A worker stamps a note when its turn of the loop begins and
 * puts it into the ring within that turn, so what is older than SLACK is surely here. A
 * note that is later all the same acts at the watermark and is counted.
 */
#include <stdio.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "gateway/books.h"
#include "gateway/worker.h"
#include "meter/request.h"
#include "sources/recording.h"

#define LOG_MODULE "gateway"
#define TICK_NS (20 * JT_NS_PER_MS)
#define IDLE_TICK_NS (50 * JT_NS_PER_MS)
#define SLACK_NS (20 * JT_NS_PER_MS)
#define MEMORY_MAX 65536
/* Knots of a domain: ten minutes or more, for requests look back to their beginning. */
#define MAX_KNOTS 32768
#define SETTLE_NS (5 * JT_NS_PER_S) /* at the end, the last records wait for the last samples */

/* ---- what the meter says ---- */

static void append(struct jt_lines *to, struct jt_buf *line)
{
	jt__lines_append(to, jt__buf_bytes(line), jt__buf_len(line));
}

/* Counts of what is not known are not 0. */
static const char *count(uint64_t n, char text[24])
{
	if (n == JT_NONE)
		return "unknown";
	snprintf(text, 24, "%llu", (unsigned long long)n);
	return text;
}

static void on_record(void *user, uint64_t request, const struct jt_record *r)
{
	struct jt_books *b = user;
	char status[24], prompt[24], output[24];

	log_debug("request '%s' is over: %s, status %s, tokens %s in, %s out", r->id, r->outcome,
	          count(r->http_status, status), count(r->prompt_tokens, prompt),
	          count(r->completion_tokens, output));
	jt__metrics_record(b->metrics, r);
	jt__memory_final(b->memory, jt__loop_now_ns(b->loop), request, r);
	if (b->access_log) {
		jt__buf_clear(&b->line);
		jt__record_json(&b->line, r);
		append(b->access_log, &b->line);
	}
	if (b->on_record)
		b->on_record(b->user, r);
}

/* Recorded lines come with their own end. */
static void record_line(struct jt_books *b)
{
	size_t n = jt__buf_len(&b->line);

	if (n && jt__buf_bytes(&b->line)[n - 1] == '\n')
		b->line.end--;
	append(b->recording, &b->line);
}

static void on_sample(void *user, const struct jt_sample *s)
{
	struct jt_books *b = user;

	if (!b->recording || s->begin_ns < b->origin_ns)
		return;
	jt__buf_clear(&b->line);
	jt__recording_put_sample(&b->line, b->origin_ns, jt_meter_domain(b->meter, s->domain)->name,
	                         s);
	record_line(b);
}

static void on_activity(void *user, size_t domain, const struct jt_activity *change)
{
	struct jt_books *b = user;

	/* what was before the recording began is not in it: neither is its end */
	if (!b->recording || change->t_ns < b->origin_ns)
		return;
	jt__buf_clear(&b->line);
	jt__recording_put_activity(&b->line, b->origin_ns, jt_meter_domain(b->meter, domain)->name,
	                           change);
	record_line(b);
}

static void on_span(void *user, const struct jt_span *s)
{
	struct jt_books *b = user;

	if (!b->recording || s->begin_ns < b->origin_ns)
		return;
	jt__buf_clear(&b->line);
	jt__recording_put_span(&b->line, b->origin_ns, s);
	record_line(b);
}

/* ---- what the workers say ---- */

static void begin_request(struct jt_books *b, const struct jt_note *n)
{
	jt__memory_begin(b->memory, n->begin.id, n->key);
	if (jt_request_begin(b->meter, n->t_ns, n->key, n->service, &n->begin.start) == JT_OK)
		b->n_in_flight++;
	else
		log_warn("cannot meter request '%s': out of memory", n->begin.id);
}

static void end_request(struct jt_books *b, const struct jt_note *n)
{
	if (jt__request_end(b->meter, n->t_ns, n->key, n->facts) != JT_ENOENT) {
		b->n_in_flight -= b->n_in_flight > 0;
		return;
	}
	/* one that never began (no upstream, no room) still has a record, without joules */
	on_record(b, n->key, &n->facts->record);
	jt__free(n->facts);
}

/* Unknown joules, shown as null, before the first readings and where nothing can be metered. */
static void peek(struct jt_books *b, uint64_t now_ns, uint64_t key, struct jt_figures *ret)
{
	struct jt_record r;

	jt__record_init(&r);
	jt_request_peek(b->meter, now_ns, key, &r);
	jt__figures_of(ret, &r, true);
}

static bool look_up(struct jt_books *b, uint64_t now_ns, const char *id, struct jt_figures *ret)
{
	uint64_t key;
	bool final;

	if (!jt__memory_find(b->memory, now_ns, id, &final, &key, ret))
		return false;
	if (!final)
		peek(b, now_ns, key, ret);
	return true;
}

static void answer(struct jt_worker *w, const struct jt_reply *reply)
{
	if (jt__ring_push(w->replies, reply))
		jt__loop_wake(w->loop);
}

static void answer_look_up(struct jt_books *b, const struct jt_look_up *l)
{
	struct jt_reply reply = { .key = l->note.key };

	reply.found = look_up(b, l->note.t_ns, l->note.id, &reply.figures);
	answer(l->from, &reply);
}

/* The request may have gone through another worker, whose ring still has its beginning. */
static void look_up_later(struct jt_books *b, struct jt_worker *w, const struct jt_note *n)
{
	struct jt_look_up l = { w, *n };

	if (jt__buf_append(&b->look_ups, &l, sizeof(l)) < 0)
		answer_look_up(b, &l);
}

static void answer_look_ups(struct jt_books *b)
{
	struct jt_look_up l;

	for (; jt__buf_len(&b->look_ups); jt__buf_consume(&b->look_ups, sizeof(l))) {
		memcpy(&l, jt__buf_bytes(&b->look_ups), sizeof(l));
		answer_look_up(b, &l);
	}
}

static void take_note(struct jt_books *b, struct jt_worker *w, const struct jt_note *n)
{
	struct jt_reply reply = { .key = n->key };

	switch (n->kind) {
	case JT_NOTE_BEGIN:
		begin_request(b, n);
		break;
	case JT_NOTE_PROGRESS:
		jt_request_progress(b->meter, n->t_ns, n->key, JT_PHASE_DECODE, n->context_tokens);
		break;
	case JT_NOTE_END:
		end_request(b, n);
		break;
	case JT_NOTE_ASK:
		peek(b, n->t_ns, n->key, &reply.figures);
		reply.found = true;
		answer(w, &reply);
		break;
	case JT_NOTE_LOOK_UP:
		look_up_later(b, w, n);
		break;
	}
}

static void take_notes(struct jt_books *b)
{
	struct jt_note n;

	b->n_notes_lost = 0;
	for (size_t i = 0; i < b->n_workers; i++) {
		while (jt__ring_pop(b->workers[i].notes, &n))
			take_note(b, &b->workers[i], &n);
		b->n_notes_lost += jt__ring_dropped(b->workers[i].notes);
	}
	answer_look_ups(b);
}

/* ---- time ---- */

static void reopen_logs(struct jt_books *b)
{
	struct jt_error err;

	if (b->access_log && jt__lines_reopen(b->access_log, &err) < 0)
		log_error("%s; going on with the old file", err.message);
}

/* What is metered waits in rings; only requests want the meter fresh. */
static uint64_t tick_ns(const struct jt_books *b)
{
	return b->n_in_flight || jt_meter_n_unsettled(b->meter) ? TICK_NS : IDLE_TICK_NS;
}

static void on_tick(struct jt_timer *t)
{
	struct jt_books *b = jt_container_of(t, struct jt_books, tick);
	uint64_t now = jt__now_ns();

	take_notes(b);
	jt_meter_advance(b->meter, now, now - SLACK_NS);
	if (b->stopping && !b->stopping_since_ns)
		b->stopping_since_ns = now;
	if (b->stopping &&
	    (!jt_meter_n_unsettled(b->meter) || now > b->stopping_since_ns + SETTLE_NS))
		jt__loop_stop(b->loop);
	else
		jt__timer_set(b->loop, t, jt__loop_now_ns(b->loop) + tick_ns(b));
}

static void on_wake(void *user)
{
	struct jt_books *b = user;

	take_notes(b);
	if (b->reopen) {
		b->reopen = false;
		reopen_logs(b);
	}
}

/* ---- opening ---- */

static int open_meter(struct jt_books *b, const struct jt_source_ops *const *extra,
                      struct jt_error *err)
{
	const struct jt_config *c = b->config;
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_idle_floor floors[JT_ARRAY_LEN(c->metering.idle)];

	for (size_t i = 0; i < c->metering.n_idle; i++)
		floors[i] = (struct jt_idle_floor){ c->metering.idle[i].domain,
			                            c->metering.idle[i].power_mw };
	for (size_t i = 0; i < c->metering.n_gpu_indices; i++)
		o.sources.gpu_mask |= UINT64_C(1) << c->metering.gpu_indices[i];
	o.sources.root = c->metering.root[0] ? c->metering.root : NULL;
	o.sources.nvml_library = c->metering.nvml_library[0] ? c->metering.nvml_library : NULL;
	o.sources.rocm_library = c->metering.rocm_library[0] ? c->metering.rocm_library : NULL;
	o.sources.gpm = c->metering.gpm;
	o.extra_sources = extra;
	o.max_knots = MAX_KNOTS;
	o.period_ns = c->metering.poll_interval_ns;
	o.floors = floors;
	o.n_floors = c->metering.n_idle;
	o.on_sample = on_sample;
	o.on_span = on_span;
	o.on_activity = on_activity;
	o.on_record = on_record;
	o.user = b;
	return jt_meter_new(&o, &b->meter, err);
}

/* A library that was named must be there: a model in its place would give plausible joules that are
 * false. */
static int check_named_library(const struct jt_books *b, const char *library, const char *key,
                               const char *of, struct jt_error *err)
{
	const char *source, *why;

	for (size_t i = 0; i < jt_meter_n_domains(b->meter); i++)
		if (strcmp(jt_meter_domain(b->meter, i)->source, of) == 0)
			return JT_OK;
	for (size_t i = 0; jt_meter_absent(b->meter, i, &source, &why) == JT_OK; i++)
		if (library[0] && strcmp(source, of) == 0)
			return jt__fail(err, JT_ENOENT, key, "%s", why);
	return JT_OK;
}

static int check_named_libraries(const struct jt_books *b, struct jt_error *err)
{
	int status = check_named_library(b, b->config->metering.nvml_library,
	                                 "metering.nvml_library", "nvml", err);

	return status < 0 ? status
	                  : check_named_library(b, b->config->metering.rocm_library,
	                                        "metering.rocm_library", "amdgpu", err);
}

static void warn_of_missing_domain(const struct jt_books *b, const char *key, const char *domain)
{
	size_t i;

	if (jt_meter_find_domain(b->meter, domain, &i) < 0)
		log_warn("%s names '%s', which is not here; `jouletap devices` lists what is", key,
		         domain);
}

/* Domains that the configuration speaks of and nobody has. */
static void warn_of_what_is_missing(const struct jt_books *b)
{
	const struct jt_config *c = b->config;
	char gpu[32];

	for (size_t i = 0; i < c->metering.n_gpu_indices; i++) {
		snprintf(gpu, sizeof(gpu), "gpu:%llu",
		         (unsigned long long)c->metering.gpu_indices[i]);
		warn_of_missing_domain(b, "metering.gpu_indices", gpu);
	}
	for (size_t i = 0; i < c->metering.n_idle; i++)
		warn_of_missing_domain(b, "metering.idle_power_w", c->metering.idle[i].domain);
}

static int open_recording(struct jt_books *b, struct jt_error *err)
{
	struct jt_domain *domains;
	size_t n = jt_meter_n_domains(b->meter);
	int status;

	if (!b->config->metering.recording[0])
		return JT_OK;
	status = jt__lines_begin(b->config->metering.recording, &b->recording, err);
	if (status < 0)
		return status;
	domains = jt__alloc(n, sizeof(*domains));
	if (!domains)
		return jt__fail(err, JT_ENOMEM, "recording", "out of memory");
	for (size_t i = 0; i < n; i++)
		domains[i] = *jt_meter_domain(b->meter, i);
	b->origin_ns = jt__now_ns();
	jt__recording_put_head(&b->line, jt__realtime_ns(), domains, n);
	record_line(b);
	jt__free(domains);
	return JT_OK;
}

static int open_admin(struct jt_books *b, struct jt_error *err)
{
	struct jt_server_options o = JT_SERVER_OPTIONS_INIT;
	struct jt_error why;
	int status;

	o.listen = b->config->admin;
	o.max_connections = 64;
	o.limits.max_body = 4096;
	status = jt__server_new(b->loop, &o, &jt__admin_handler, b, &b->admin, &why);
	return status < 0 ? jt__fail(err, status, "admin", "%s; try --admin", why.message) : JT_OK;
}

int jt__books_init(struct jt_books *b, const struct jt_source_ops *const *extra_sources,
                   struct jt_error *err)
{
	const char *log = b->config->telemetry.access_log;
	int status = jt__loop_new(&b->loop, err);

	jt__buf_init(&b->line, 1 << 20);
	jt__buf_init(&b->look_ups, 8 << 20);
	if (status == JT_OK)
		status = jt__metrics_new(&b->metrics, err);
	if (status == JT_OK && log[0])
		status = jt__lines_open(log, &b->access_log, err);
	if (status == JT_OK) {
		b->memory = jt__memory_new(MEMORY_MAX, b->config->telemetry.energy_ttl_ns);
		if (!b->memory)
			status = jt__fail(err, JT_ENOMEM, "gateway", "out of memory");
	}
	if (status == JT_OK)
		status = open_meter(b, extra_sources, err);
	if (status == JT_OK)
		status = check_named_libraries(b, err);
	if (status == JT_OK) {
		warn_of_what_is_missing(b);
		status = open_recording(b, err);
	}
	if (status == JT_OK)
		status = open_admin(b, err);
	if (status == JT_OK) {
		b->tick.fn = on_tick;
		status = jt__timer_set(b->loop, &b->tick, jt__now_ns() + TICK_NS);
		jt__loop_on_wake(b->loop, on_wake, b);
	}
	return status;
}

void jt__books_fini(struct jt_books *b)
{
	jt__server_free(b->admin);
	jt_meter_free(b->meter);
	jt__metrics_free(b->metrics);
	jt__memory_free(b->memory);
	jt__lines_close(b->access_log);
	jt__lines_close(b->recording);
	jt__buf_fini(&b->line);
	jt__buf_fini(&b->look_ups);
	if (b->loop)
		jt__timer_cancel(b->loop, &b->tick);
	jt__loop_free(b->loop);
}
