/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "gateway/deployment.h"
#include "gateway/estimate.h"
#include "predictor/factors.h"

#define LOG_MODULE "gateway"
/* Tokens of an answer where none was seen yet: a chat answer's, roughly. */
#define FIRST_GUESS 256

/* ---- opening ---- */

int jt__estimate_model(const struct jt_config *c, struct jt_fitted **ret, struct jt_error *err)
{
	const char *fitted = *c->prediction.fitted ? c->prediction.fitted : NULL;
	const char *factors = *c->prediction.factors ? c->prediction.factors : NULL;
	struct jt_error why;
	int status = jt__factors_load(fitted, factors, ret, &why);

	if (status < 0 && !fitted && !factors) { /* nobody asked for predictions */
		log_warn("no predictions: %s: %s", why.where, why.message);
		*ret = NULL;
		return JT_OK;
	}
	return status < 0 ? jt__fail(err, status, factors ? "prediction" : "prediction.fitted",
	                             "%s: %s", why.where, why.message)
	                  : JT_OK;
}

int jt__estimator_open(struct jt_estimator *e, const struct jt_fitted *model,
                       const struct jt_config_upstream *u, const char *driver_gpu, size_t n_gpus,
                       struct jt_error *err)
{
	int status = jt__deployment_question(u, driver_gpu, n_gpus, &e->question, &e->why);

	if (status < 0 && status != JT_ENOTSUP)
		return jt__fail(err, status, u->name, "'%s': %s", e->why.where, e->why.message);
	if (status == JT_OK && !model)
		jt__fail(&e->why, JT_ENOTSUP, "prediction.fitted",
		         "jouletap's own model cannot be read; name one: `prediction: fitted:`");
	e->model = status == JT_OK ? model : NULL;
	return JT_OK;
}

/* ---- a request ---- */

static double output_tokens(const struct jt_estimator *e, const struct jt_ask *ask,
                            const char *task_class)
{
	double n = jt__lengths_expect(&e->lengths, task_class);

	n = n > 0 ? n : FIRST_GUESS;
	if (ask->max_tokens != JT_NONE)
		n = fmin(n, (double)ask->max_tokens);
	return fmax(round(n), 1);
}

/* More than it may compute at once wait. */
static double running(const struct jt_estimator *e, uint32_t choices)
{
	double n = (double)atomic_load_explicit(&e->n_running, memory_order_relaxed) + choices;

	return isnan(e->question.max_num_seqs) ? n
	                                       : fmin(n, e->question.max_num_seqs * e->question.dp);
}

int jt__estimate(const struct jt_estimator *e, const struct jt_ask *ask, const char *task_class,
                 struct jt_estimate *ret, struct jt_error *err)
{
	uint32_t choices = jt__ask_choices(ask);
	struct jt_question q;
	struct jt_prediction p;
	double n_uj;
	int status;

	if (!e->model)
		return jt__fail(err, JT_ENOTSUP, e->why.where, "%s", e->why.message);
	q = e->question;
	q.in_tokens = jt__ask_prompt_tokens(ask);
	q.out_tokens = output_tokens(e, ask, task_class);
	q.batch = running(e, choices);
	status = jt__fitted_answer(e->model, &q, &p, err);
	if (status < 0)
		return status;
	n_uj = 1e6 * q.out_tokens * choices;
	*ret = (struct jt_estimate){
		.uj = jt__whole(p.j_per_token * n_uj),
		.lo_uj = jt__whole(p.lo_j * n_uj),
		.hi_uj = jt__whole(p.hi_j * n_uj),
		.token_uj = jt__whole(1e6 * p.j_per_token),
		.prompt_tokens = (uint64_t)q.in_tokens,
		.output_tokens = jt__whole(q.out_tokens * choices),
		.batch = (uint32_t)q.batch,
		.outside_data = p.outside != 0,
	};
	if (p.outside)
		jt__fitted_reason(e->model, &q, &p, ret->reason, sizeof(ret->reason));
	return JT_OK;
}

void jt__estimate_begin(struct jt_estimator *e, uint32_t choices)
{
	atomic_fetch_add_explicit(&e->n_running, choices, memory_order_relaxed);
}

void jt__estimate_end(struct jt_estimator *e, uint32_t choices)
{
	atomic_fetch_sub_explicit(&e->n_running, choices, memory_order_relaxed);
}

/* ---- as clients see it ---- */

void jt__estimate_answer(struct jt_buf *b, const char *model, const struct jt_estimate *p)
{
	jt__buf_append(b, "{", 1);
	jt__json_member_text(b, "object", "energy.prediction");
	jt__json_member_text(b, "model", model);
	jt__buf_append_text(b, ",\"energy\":{");
	jt__json_member_micro(b, "predicted_j", p->uj);
	jt__json_member_micro(b, "lo_j", p->lo_uj);
	jt__json_member_micro(b, "hi_j", p->hi_uj);
	jt__json_member_micro(b, "per_output_token_j", p->token_uj);
	jt__json_member_text(b, "provenance", "predicted");
	jt__buf_append(b, "}", 1);
	jt__json_member_u64(b, "prompt_tokens", p->prompt_tokens);
	jt__json_member_u64(b, "output_tokens", p->output_tokens);
	jt__json_member_u64(b, "batch", p->batch);
	jt__json_key(b, "outside_data");
	jt__buf_append_text(b, p->outside_data ? "true" : "false");
	jt__json_member_text(b, "reason", p->reason);
	jt__buf_append(b, "}", 1);
}

void jt__estimate_joules(uint64_t uj, char *out, size_t size)
{
	double j = (double)uj * 1e-6;
	int decimals = 2 - (uj ? (int)floor(log10(j)) : 0);

	snprintf(out, size, "%.*f", JT_MIN(JT_MAX(decimals, 0), 6), j);
}

void jt__estimate_interval(uint64_t lo_uj, uint64_t hi_uj, char *out, size_t size)
{
	char lo[24], hi[24];

	jt__estimate_joules(lo_uj, lo, sizeof(lo));
	jt__estimate_joules(hi_uj, hi, sizeof(hi));
	snprintf(out, size, "%s-%s", lo, hi);
}
