/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "gateway/heads.h"
#include "gateway/models.h"

#define MAX_LIST ((size_t)4 << 20)

struct question {
	struct jt_models *models;
	struct jt_call *call; /* NULL: answered, or not asked */
	uint32_t status;
	struct jt_buf list;
};

struct jt_models {
	struct jt_exchange *ex;
	size_t n;
	size_t n_open;
	struct question questions[];
};

/* The objects of a list's "data" go over to @all; false: it cannot be read. */
static bool add_list(json_t *all, const struct question *q)
{
	json_t *root, *model;
	bool readable;
	size_t i;

	if (q->status != 200 || !jt__buf_len(&q->list))
		return false;
	root = json_loadb(jt__buf_bytes(&q->list), jt__buf_len(&q->list), 0, NULL);
	readable = json_is_object(root);
	json_array_foreach(json_object_get(root, "data"), i, model) json_array_append(all, model);
	json_decref(root);
	return readable;
}

static void reply(struct jt_models *m)
{
	json_t *all = json_array(), *root;
	size_t n_lists = 0;
	char *text;

	for (size_t i = 0; i < m->n; i++)
		n_lists += add_list(all, &m->questions[i]);
	if (!n_lists) { /* an empty list would say that there are no models */
		json_decref(all);
		jt__exchange_reply_error(m->ex, 502, "upstream_error",
		                         "no upstream lists its models");
		return;
	}
	root = json_pack("{s:s,s:o}", "object", "list", "data", all);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	if (text)
		jt__exchange_reply(m->ex, 200, "application/json", text, strlen(text));
	else
		jt__exchange_reply_error(m->ex, 503, "overloaded", "out of memory");
	free(text);
	json_decref(root);
}

static void answered(struct question *q)
{
	q->call = NULL;
	if (--q->models->n_open == 0)
		reply(q->models);
}

static void on_head(void *user, struct jt_call *c, const struct jt_head *head)
{
	(void)c;
	((struct question *)user)->status = head->status;
}

static void on_body(void *user, struct jt_call *c, const char *bytes, size_t n)
{
	(void)c;
	jt__buf_append(&((struct question *)user)->list, bytes, n);
}

static void on_over(void *user, struct jt_call *c, int status, const struct jt_error *err)
{
	struct question *q = user;

	(void)c;
	(void)err;
	if (status != JT_OK || q->list.failed)
		q->status = 0;
	answered(q);
}

static const struct jt_call_handler handler = { .head = on_head, .body = on_body, .over = on_over };

static bool ask(struct jt_worker *w, struct question *q, size_t upstream)
{
	struct jt_request_head rh = { .from = jt__exchange_head(q->models->ex),
		                      .host = w->upstreams[upstream].host,
		                      .prefix = w->upstreams[upstream].config->prefix,
		                      .request_id = "models",
		                      .identity = true,
		                      .content_length = JT_NONE };
	struct jt_buf request;

	jt__buf_init(&request, 2 * w->config->limits.max_head_bytes);
	jt__heads_request(&request, &rh);
	if (!request.failed)
		q->call = jt__call_start(w->pools[upstream], &request, true, false, &handler, q);
	jt__buf_fini(&request);
	return q->call != NULL;
}

struct jt_models *jt__models_start(struct jt_worker *w, struct jt_exchange *ex)
{
	struct jt_models *m = jt__alloc(1, sizeof(*m) + w->n_upstreams * sizeof(m->questions[0]));

	if (!m)
		return NULL;
	m->ex = ex;
	m->n = w->n_upstreams;
	for (size_t i = 0; i < m->n; i++) {
		m->questions[i].models = m;
		jt__buf_init(&m->questions[i].list, MAX_LIST);
		m->n_open += ask(w, &m->questions[i], i);
	}
	if (!m->n_open)
		reply(m);
	return m;
}

void jt__models_free(struct jt_models *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		if (m->questions[i].call)
			jt__call_cancel(m->questions[i].call);
		jt__buf_fini(&m->questions[i].list);
	}
	jt__free(m);
}
