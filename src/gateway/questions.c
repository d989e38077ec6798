/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask the gateway itself. */
#include <string.h>
#include "gateway/models.h"
#include "gateway/relay.h"

static bool is_about_models(const struct jt_relay *r)
{
	return r->worker->n_upstreams > 1 && strcmp(jt__exchange_head(r->ex)->method, "GET") == 0 &&
	       strcmp(r->path, "/v1/models") == 0;
}

bool jt__relay_is_question(const struct jt_relay *r)
{
	return strncmp(r->path, "/v1/energy/", 11) == 0 || is_about_models(r);
}

static void ask_about(struct jt_relay *r)
{
	bool may = strcmp(jt__exchange_head(r->ex)->method, "GET") == 0;
	/* r->path may be cut */
	const char *id = jt__exchange_head(r->ex)->target + strlen("/v1/energy/");
	struct jt_note note = { .kind = JT_NOTE_LOOK_UP,
		                .key = r->key,
		                .t_ns = jt__relay_now_ns(r) };

	if (!may || !*id) {
		jt__exchange_reply_error(r->ex, may ? 400 : 405, "invalid_request_error",
		                         "ask with GET /v1/energy/ID");
		return;
	}
	if (!jt__copy_text(r->id, sizeof(r->id), id, strcspn(id, "?"))) {
		jt__exchange_reply_error(r->ex, 404, "not_found", "no request has an id that long");
		return;
	}
	memcpy(note.id, r->id, sizeof(r->id));
	if (jt__relay_tell(r, &note))
		r->worker->wake_books(r->worker->user);
	jt__timer_set(r->worker->loop, &r->patience, jt__relay_now_ns(r) + 10 * JT_PATIENCE_NS);
}

/* What such a request would cost; it is sent to nobody. */
static void foretell(struct jt_relay *r)
{
	const struct jt_buf *body = jt__exchange_body(r->ex);
	char task_class[sizeof(((struct jt_record *)0)->task_class)];
	const struct jt_upstream *upstream;
	struct jt_estimate p;
	struct jt_error err;
	struct jt_buf b;
	size_t index;
	int status;

	if (strcmp(jt__exchange_head(r->ex)->method, "POST") != 0) {
		jt__exchange_reply_error(r->ex, 405, "invalid_request_error",
		                         "POST the body of a request to /v1/energy/predict");
		return;
	}
	jt__ask_read(&r->ask, &jt__api_unread, jt__buf_bytes(body), jt__buf_len(body));
	if (!r->ask.valid) {
		jt__exchange_reply_error(r->ex, 400, "invalid_request_error",
		                         "the body is not a JSON object");
		return;
	}
	upstream = jt__worker_route(r->worker, r->ask.model, &index);
	if (!upstream) {
		jt__exchange_reply_error(r->ex, 404, "model_not_found",
		                         "no upstream serves the model '%s'", r->ask.model);
		return;
	}
	jt__relay_task_class(r, task_class, sizeof(task_class));
	status = jt__estimate(upstream->estimator, &r->ask, task_class, &p, &err);
	if (status < 0) {
		jt__exchange_reply_error(r->ex, status == JT_ENOTSUP ? 404 : 422, "no_prediction",
		                         "upstream '%s': %s", upstream->config->name, err.message);
		return;
	}
	jt__buf_init(&b, 4096);
	jt__estimate_answer(&b, r->ask.model, &p);
	jt__exchange_reply(r->ex, 200, "application/json", jt__buf_bytes(&b), jt__buf_len(&b));
	jt__buf_fini(&b);
}

static void ask_for_models(struct jt_relay *r)
{
	r->models = jt__models_start(r->worker, r->ex);
	if (!r->models)
		jt__exchange_reply_error(r->ex, 503, "overloaded", "out of memory");
}

void jt__relay_answer(struct jt_relay *r)
{
	if (is_about_models(r))
		ask_for_models(r);
	else if (strcmp(r->path, "/v1/energy/predict") == 0)
		foretell(r);
	else
		ask_about(r);
}
