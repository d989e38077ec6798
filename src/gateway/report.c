/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bookkeeper hears of a request: that it was sent, its first token, growing context, and
 * at its end a record with everything but the joules that were metered: those that were predicted
 * are in it.
 */
#include <string.h>
#include "gateway/heads.h"
#include "gateway/relay.h"
#include "ledger/ledger.h"

/* ---- notes ---- */

bool jt__relay_tell(struct jt_relay *r, const struct jt_note *note)
{
	return jt__ring_push(r->worker->notes, note);
}

void jt__relay_tell_begin(struct jt_relay *r)
{
	bool visible = r->api->prefill_only || (r->api->form && r->ask.stream);
	struct jt_note note = {
		.kind = JT_NOTE_BEGIN,
		.service = r->upstream->service,
		.key = r->key,
		.t_ns = r->sent_ns,
		.begin.start = { .prompt_tokens = jt__ask_prompt_tokens(&r->ask),
		                 .choices = jt__ask_choices(&r->ask),
		                 .first_token_visible = visible },
	};

	memcpy(note.begin.id, r->id, sizeof(r->id));
	r->announced = jt__relay_tell(r, &note);
	r->worker->n_unmetered += !r->announced;
}

void jt__relay_tell_progress(struct jt_relay *r)
{
	uint64_t n = r->filter.answer.n_content, context = jt__ask_prompt_tokens(&r->ask) + n;
	struct jt_note note = { .kind = JT_NOTE_PROGRESS,
		                .key = r->key,
		                .t_ns = jt__relay_now_ns(r),
		                .context_tokens = (uint32_t)JT_MIN(context, UINT32_MAX) };

	/* a sixteenth more context changes a decode step by less than that */
	r->next_progress = n + 16 + context / 16;
	if (r->announced)
		jt__relay_tell(r, &note);
}

/* ---- predictions ---- */

void jt__relay_task_class(const struct jt_relay *r, char *out, size_t size)
{
	const char *fallback = r->probe ? "probe" : r->worker->config->routing.default_task_class;

	jt__heads_label(jt__exchange_head(r->ex), "x-jouletap-task-class", out, size);
	if (!*out)
		jt__copy_text(out, size, fallback, strlen(fallback));
}

void jt__relay_predict(struct jt_relay *r)
{
	struct jt_estimate p;
	struct jt_record *rec;

	if (!r->facts || !r->ask.valid || !r->api->form || r->api->prefill_only)
		return; /* nothing is generated, of which a token could cost something */
	rec = &r->facts->record;
	if (jt__estimate(r->upstream->estimator, &r->ask, rec->task_class, &p, NULL) < 0)
		return;
	rec->predicted_uj = p.uj;
	rec->predicted_lo_uj = p.lo_uj;
	rec->predicted_hi_uj = p.hi_uj;
	rec->predicted_tokens = p.output_tokens;
}

/* How long its answers are, those to come are expected to be. */
static void learn_length(struct jt_relay *r)
{
	const struct jt_record *rec = &r->facts->record;
	bool is_whole = strcmp(rec->outcome, "ok") == 0 && r->ask.valid && !r->api->prefill_only;
	double tokens;

	if (!is_whole || rec->completion_tokens == JT_NONE || !rec->completion_tokens)
		return;
	tokens = (double)rec->completion_tokens / jt__ask_choices(&r->ask);
	jt__lengths_learn(&r->upstream->estimator->lengths, rec->task_class, tokens,
	                  tokens >= (double)r->ask.max_tokens);
}

/* ---- the record ---- */

static void put_tokens(const struct jt_relay *r, struct jt_request_facts *f)
{
	const struct jt_answer *a = &r->filter.answer;
	struct jt_record *rec = &f->record;
	uint64_t per_choice;
	bool reported;

	if (!r->reading)
		return;
	rec->prompt_tokens = a->report.prompt_tokens;
	rec->cached_tokens = a->report.cached_tokens != JT_NONE ? a->report.cached_tokens
	                                                        : a->report.reused_tokens;
	rec->reasoning_tokens = a->report.reasoning_tokens;
	rec->queue_ns = a->report.queue_ns;
	rec->load_ns = a->report.load_ns;
	f->engine_prefill_ns = a->report.prefill_ns;
	f->engine_decode_ns = a->report.decode_ns;
	rec->completion_tokens = jt__answer_completion_tokens(a, &reported);
	if (!reported && !r->ask.stream)
		rec->completion_tokens = JT_NONE; /* one piece is no count */
	else
		strcpy(rec->token_source, reported ? "usage" : "events");
	if (!r->first_ns)
		return;
	rec->ttft_ns = r->first_ns - r->sent_ns;
	per_choice = rec->completion_tokens / JT_MAX(rec->choices, 1);
	if (per_choice > 1)
		rec->tpot_ns = (r->last_ns - r->first_ns) / (per_choice - 1);
}

bool jt__relay_tell_end(struct jt_relay *r)
{
	/* without a beginning it is a record without joules: no request has this key */
	struct jt_note note = { .kind = JT_NOTE_END,
		                .key = r->announced ? r->key : UINT64_MAX,
		                .t_ns = r->end_ns,
		                .facts = r->facts };

	if (!jt__relay_tell(r, &note))
		return false;
	r->facts = NULL;
	return true;
}

void jt__relay_conclude(struct jt_relay *r, const char *outcome)
{
	struct jt_request_facts *f = r->facts;
	uint64_t end_ns = r->over_ns ? r->over_ns : jt__relay_now_ns(r);

	if (!f || r->end_ns)
		return;
	r->end_ns = end_ns;
	strcpy(f->record.outcome, outcome);
	f->record.duration_ns = end_ns - r->begin_ns;
	put_tokens(r, f);
	if (r->api && r->api->prefill_only)
		f->record.completion_tokens = 0;
	if (r->upstream)
		learn_length(r);
	jt__relay_tell_end(r);
}

struct jt_request_facts *jt__relay_new_facts(const struct jt_relay *r)
{
	const struct jt_head *head = jt__exchange_head(r->ex);
	struct jt_request_facts *f = jt__alloc(1, sizeof(*f));
	struct jt_record *rec;

	if (!f)
		return NULL;
	rec = &f->record;
	jt__record_init(rec);
	f->engine_prefill_ns = f->engine_decode_ns = JT_NONE;
	memcpy(rec->id, r->id, sizeof(rec->id));
	memcpy(rec->path, r->path, sizeof(rec->path));
	rec->start_unix_ns =
		jt__loop_realtime_ns(r->worker->loop) - (jt__relay_now_ns(r) - r->begin_ns);
	jt__relay_task_class(r, rec->task_class, sizeof(rec->task_class));
	jt__heads_label(head, "x-jouletap-tenant", rec->tenant, sizeof(rec->tenant));
	return f;
}
