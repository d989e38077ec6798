/* SPDX-License-Identifier: Apache-2.0 */
/* What jouletap predict says of one request: for people, and as JSON. */
#include <math.h>
#include <string.h>
#include "cli/predict.h"
#include "jouletap/record.h"
#include "predictor/explain.h"

#define J_PER_WH 3600.0
#define J_PER_KWH 3.6e6

/* What follows from a prediction. */
struct figures {
	double j, lo_j, hi_j; /* of the request */
	double latency_s, power_w;
	double facility_j; /* with what the building adds */
	struct jt_energy_shares shares;
	bool has_shares;
};

static struct figures figures(const struct jt_forecast *f)
{
	double step_s = jt__step_seconds(&f->q, f->features, &f->p);
	double out = f->q.out_tokens;
	struct figures v = { .j = f->p.j_per_token * out,
		             .lo_j = f->p.lo_j * out,
		             .hi_j = f->p.hi_j * out,
		             .latency_s = step_s * out };

	v.power_w = f->p.j_per_token * f->q.batch / step_s;
	v.facility_j = v.j * f->footprint.pue;
	v.has_shares = jt__energy_shares(f->model, f->features, &v.shares) == JT_OK;
	return v;
}

/* ---- what rests on physics, and what speaks against the answer ---- */

/* The @i-th remark; NULL behind the last. */
static const char *physics(const struct jt_forecast *f, uint32_t i)
{
	static const char *const of_input =
		"most measured rows do not tell their input length: what it does here rests on "
		"physics";
	static const char *const of_weights =
		"no row was measured with awq or gptq weights: what they do here rests on physics";
	bool untold = f->q.weights == JT_W_AWQ || f->q.weights == JT_W_GPTQ;

	if (i == 0)
		return of_input;
	return i == 1 && untold ? of_weights : NULL;
}

static bool too_large(const struct jt_forecast *f, char *out, size_t size)
{
	double share = jt__memory_share(&f->q);

	snprintf(out, size,
	         "the weights alone are %.0f %% of the memory of %.0f × %s: it will not run",
	         100 * share, f->q.n_gpu, f->q.gpu);
	return share >= 0.9;
}

static bool too_many(const struct jt_forecast *f, char *out, size_t size)
{
	double share = jt__kv_share(&f->q);

	snprintf(out, size,
	         "the KV cache of %g requests at once is %.0f %% of the memory that the weights "
	         "leave: fewer will run",
	         f->q.batch, 100 * share);
	return jt__memory_share(&f->q) < 0.9 && share > 1;
}

static bool outside(const struct jt_forecast *f, char *out, size_t size)
{
	char reason[256];

	jt__fitted_reason(f->model, &f->q, &f->p, reason, sizeof(reason));
	snprintf(out, size, "outside the data: %s", reason);
	return f->p.outside != 0;
}

/* The @i-th warning: 1; 0 where it does not hold; -1 behind the last. */
static int warning(const struct jt_forecast *f, uint32_t i, char *out, size_t size)
{
	static bool (*const all[])(const struct jt_forecast *, char *,
	                           size_t) = { too_large, too_many, outside };

	return i < JT_ARRAY_LEN(all) ? all[i](f, out, size) : -1;
}

/* ---- for people ---- */

/* What %.*g takes for at least @least digits and no exponent, however large the number. */
static int digits(double v, int least)
{
	double n = v >= 10 ? floor(log10(v)) + 1 : 1;

	return (int)fmin(fmax(n, least), 15);
}

/* For "%.*g": four digits, three of what is rough. */
#define FINE(v) digits(v, 4), v
#define ROUGH(v) digits(v, 3), v

/* Names are those of files, which may hold what a terminal obeys. */
static void print_name(const char *name, FILE *to)
{
	char text[128];

	snprintf(text, sizeof(text), "%s", name);
	jt__clean_text(text);
	fputs(text, to);
}

static void print_footprint(const struct jt_forecast *f, const struct figures *v, FILE *to)
{
	const struct jt_footprint *p = &f->footprint;
	double kwh = v->facility_j / J_PER_KWH;

	if (p->pue != 1)
		fprintf(to, "facility     %.*g J, %.*g Wh (PUE %.4g)\n", FINE(v->facility_j),
		        FINE(v->facility_j / J_PER_WH), p->pue);
	if (!isnan(p->g_per_kwh))
		fprintf(to, "carbon       %.*g g CO2e (%.*g g/kWh; ", FINE(kwh * p->g_per_kwh),
		        FINE(p->g_per_kwh));
	if (!isnan(p->g_per_kwh) && !isnan(p->carbon_year))
		fprintf(to, "%s, %.0f: ", p->carbon_region, p->carbon_year);
	if (!isnan(p->g_per_kwh))
		fprintf(to, "%s)\n", p->carbon_source);
	if (!isnan(p->price_per_kwh))
		fprintf(to, "cost         %.*g (%.*g a kWh, as given)\n",
		        FINE(kwh * p->price_per_kwh), FINE(p->price_per_kwh));
}

static void print_shares(const struct figures *v, FILE *to)
{
	const struct jt_energy_shares *s = &v->shares;

	if (!v->has_shares)
		return;
	fprintf(to, "phases       prefill %.*g J (%.0f %%), decode %.*g J (%.0f %%)\n",
	        FINE(s->prefill * v->j), 100 * s->prefill, FINE(s->decode * v->j), 100 * s->decode);
	fprintf(to, "goes to      compute %.0f %%, memory %.0f %%, idle and launches %.0f %%\n",
	        100 * s->compute, 100 * s->memory, 100 * s->waiting);
}

static void print_basis(const struct jt_forecast *f, FILE *to)
{
	const char *nearest = jt__fitted_label(f->model, f->p.nearest);
	char of[128];

	jt__fitted_interval_of(f->model, &f->p, of, sizeof(of));
	if (*of)
		fprintf(to, "interval     of errors on %s\n", of);
	if (nearest) {
		fputs("nearest      ", to);
		print_name(nearest, to);
		fputs("\n", to);
	}
	if (f->p.factor_rows)
		fprintf(to, "recalibrated × %.3g, learned from %u row%s of records\n", f->p.factor,
		        f->p.factor_rows, f->p.factor_rows == 1 ? "" : "s");
	fprintf(to, "provenance   %s; model of %s, %u rows\n", jt_provenance_name(JT_PREDICTED),
	        jt__fitted_text(f->model, f->model->date), f->model->rows);
}

static void print_what_if(const struct jt_forecast *f, FILE *to)
{
	struct jt_question q;
	struct jt_prediction p;
	char what[64];
	uint32_t i = 0;

	fprintf(to, "\n%-26s %12s %12s %9s\n", "what if", "J/token", "J", "change");
	while (jt__what_if(&f->q, &i, &q, what, sizeof(what)))
		if (jt__fitted_answer(f->model, &q, &p, NULL) == JT_OK)
			fprintf(to, "%-26s %12.*g %12.*g %+8.0f %%%s\n", what, FINE(p.j_per_token),
			        FINE(p.j_per_token * q.out_tokens),
			        100 * (p.j_per_token / f->p.j_per_token - 1),
			        p.outside ? "  (outside the data)" : "");
}

void jt__forecast_print(const struct jt_forecast *f, FILE *to)
{
	const struct jt_question *q = &f->q;
	struct figures v = figures(f);
	double percent = 100 * f->model->coverage;
	char text[400];
	int status;

	print_name(q->model, to);
	fprintf(to, " on %.0f × %s, %s, %s: %.9g tokens in, %.9g out, batch %.9g\n\n", q->n_gpu,
	        q->gpu, jt__weights_name(q->weights), q->engine, q->in_tokens, q->out_tokens,
	        q->batch);
	fprintf(to, "energy       %.*g J a request (%.*g … %.*g J, %.0f %%)\n", FINE(v.j),
	        FINE(v.lo_j), FINE(v.hi_j), percent);
	fprintf(to, "             %.*g Wh a request (%.*g … %.*g Wh)\n", FINE(v.j / J_PER_WH),
	        FINE(v.lo_j / J_PER_WH), FINE(v.hi_j / J_PER_WH));
	fprintf(to, "             %.*g J an output token (%.*g … %.*g J)\n", FINE(f->p.j_per_token),
	        FINE(f->p.lo_j), FINE(f->p.hi_j));
	print_shares(&v, to);
	fprintf(to, "time         about %.*g s, %.*g ms an output token\n", ROUGH(v.latency_s),
	        ROUGH(1e3 * v.latency_s / q->out_tokens));
	fprintf(to, "power        about %.0f W of %.0f W, all GPUs together\n", v.power_w,
	        q->n_gpu * q->gpu_tdp_w);
	print_footprint(f, &v, to);
	print_basis(f, to);
	for (uint32_t i = 0; (status = warning(f, i, text, sizeof(text))) >= 0; i++)
		if (status)
			fprintf(to, "warning      %s\n", text);
	for (uint32_t i = 0; physics(f, i); i++)
		fprintf(to, "note         %s\n", physics(f, i));
	print_what_if(f, to);
}

/* ---- JSON ---- */

static void put_null(struct jt_buf *b, const char *key)
{
	jt__json_key(b, key);
	jt__buf_append_text(b, "null");
}

static void put_text(struct jt_buf *b, const char *key, const char *text)
{
	if (text && *text)
		jt__json_member_text(b, key, text);
	else
		put_null(b, key);
}

static void open_object(struct jt_buf *b, const char *key)
{
	jt__json_key(b, key);
	jt__buf_append_text(b, "{");
}

static void put_question(struct jt_buf *b, const struct jt_question *q)
{
	open_object(b, "request");
	jt__json_member_text(b, "model", q->model);
	jt__json_member_text(b, "gpu", q->gpu);
	jt__json_member_double(b, "gpus", q->n_gpu);
	jt__json_member_double(b, "tp", q->tp);
	jt__json_member_double(b, "pp", q->pp);
	jt__json_member_double(b, "ep", q->ep);
	jt__json_member_text(b, "dtype", jt__weights_name(q->weights));
	jt__json_member_text(b, "engine", q->engine);
	jt__json_member_double(b, "input_tokens", q->in_tokens);
	jt__json_member_double(b, "output_tokens", q->out_tokens);
	jt__json_member_double(b, "batch", q->batch);
	jt__buf_append_text(b, "}");
}

static void put_energy(struct jt_buf *b, const struct jt_forecast *f, const struct figures *v)
{
	jt__json_member_double(b, "energy_j", v->j);
	jt__json_member_double(b, "lo_j", v->lo_j);
	jt__json_member_double(b, "hi_j", v->hi_j);
	jt__json_member_double(b, "energy_wh", v->j / J_PER_WH);
	jt__json_member_double(b, "lo_wh", v->lo_j / J_PER_WH);
	jt__json_member_double(b, "hi_wh", v->hi_j / J_PER_WH);
	jt__json_member_double(b, "energy_per_output_token_j", f->p.j_per_token);
	jt__json_member_double(b, "lo_per_output_token_j", f->p.lo_j);
	jt__json_member_double(b, "hi_per_output_token_j", f->p.hi_j);
	jt__json_member_double(b, "coverage", f->model->coverage);
}

static void put_shares(struct jt_buf *b, const struct figures *v)
{
	const struct jt_energy_shares *s = &v->shares;

	if (!v->has_shares) {
		put_null(b, "phases");
		put_null(b, "goes_to");
		return;
	}
	open_object(b, "phases");
	jt__json_member_double(b, "prefill_j", s->prefill * v->j);
	jt__json_member_double(b, "decode_j", s->decode * v->j);
	jt__buf_append_text(b, "}");
	open_object(b, "goes_to");
	jt__json_member_double(b, "compute", s->compute);
	jt__json_member_double(b, "memory", s->memory);
	jt__json_member_double(b, "idle_and_launches", s->waiting);
	jt__buf_append_text(b, "}");
}

static void put_footprint(struct jt_buf *b, const struct jt_footprint *p, double facility_j)
{
	double kwh = facility_j / J_PER_KWH;

	jt__json_member_double(b, "pue", p->pue);
	jt__json_member_double(b, "facility_j", facility_j);
	if (isnan(p->g_per_kwh)) {
		put_null(b, "carbon");
	} else {
		open_object(b, "carbon");
		jt__json_member_double(b, "g_co2e", kwh * p->g_per_kwh);
		jt__json_member_double(b, "g_co2e_per_kwh", p->g_per_kwh);
		put_text(b, "region", p->carbon_region);
		jt__json_member_double(b, "year", p->carbon_year);
		jt__json_member_text(b, "source", p->carbon_source);
		jt__buf_append_text(b, "}");
	}
	jt__json_member_double(b, "price_per_kwh", p->price_per_kwh);
	jt__json_member_double(b, "cost", kwh * p->price_per_kwh);
}

static void put_basis(struct jt_buf *b, const struct jt_forecast *f)
{
	const char *nearest = jt__fitted_label(f->model, f->p.nearest);
	const struct jt_fitted *m = f->model;
	char of[128];

	jt__fitted_interval_of(m, &f->p, of, sizeof(of));
	put_text(b, "interval_of_errors_on", of);
	jt__json_member_text(b, "provenance", jt_provenance_name(JT_PREDICTED));
	put_text(b, "nearest_measured", nearest);
	jt__json_member_double(b, "factor", f->p.factor);
	jt__json_member_double(b, "factor_rows", f->p.factor_rows);
	open_object(b, "fitted");
	jt__json_member_text(b, "date", jt__fitted_text(m, m->date));
	jt__json_member_text(b, "data_sha256", jt__fitted_text(m, m->data_sha256));
	jt__json_member_double(b, "rows", m->rows);
	jt__buf_append_text(b, "}");
}

static void put_remarks(struct jt_buf *b, const struct jt_forecast *f)
{
	bool first = true;
	char text[400];
	int status;

	jt__fitted_reason(f->model, &f->q, &f->p, text, sizeof(text));
	jt__json_key(b, "outside_data");
	jt__buf_append_text(b, f->p.outside ? "true" : "false");
	put_text(b, "reason", text);
	jt__json_key(b, "warnings");
	jt__buf_append_text(b, "[");
	for (uint32_t i = 0; (status = warning(f, i, text, sizeof(text))) >= 0; i++) {
		if (!status)
			continue;
		jt__buf_append_text(b, first ? "" : ",");
		jt__json_string(b, text, strlen(text));
		first = false;
	}
	jt__buf_append_text(b, "]");
	jt__json_key(b, "rests_on_physics");
	jt__buf_append_text(b, "[");
	for (uint32_t i = 0; physics(f, i); i++) {
		jt__buf_append_text(b, i ? "," : "");
		jt__json_string(b, physics(f, i), strlen(physics(f, i)));
	}
	jt__buf_append_text(b, "]");
}

static void put_what_if(struct jt_buf *b, const struct jt_forecast *f)
{
	struct jt_question q;
	struct jt_prediction p;
	bool first = true;
	char what[64];
	uint32_t i = 0;

	jt__json_key(b, "what_if");
	jt__buf_append_text(b, "[");
	while (jt__what_if(&f->q, &i, &q, what, sizeof(what))) {
		if (jt__fitted_answer(f->model, &q, &p, NULL) < 0)
			continue;
		jt__buf_append_text(b, first ? "{" : ",{");
		first = false;
		jt__json_member_text(b, "what", what);
		jt__json_member_double(b, "energy_j", p.j_per_token * q.out_tokens);
		jt__json_member_double(b, "energy_per_output_token_j", p.j_per_token);
		jt__json_member_double(b, "ratio", p.j_per_token / f->p.j_per_token);
		jt__json_key(b, "outside_data");
		jt__buf_append_text(b, p.outside ? "true}" : "false}");
	}
	jt__buf_append_text(b, "]");
}

int jt__forecast_json(const struct jt_forecast *f, struct jt_buf *b)
{
	struct figures v = figures(f);

	jt__buf_append_text(b, "{");
	put_question(b, &f->q);
	put_energy(b, f, &v);
	put_shares(b, &v);
	jt__json_member_double(b, "latency_s", v.latency_s);
	jt__json_member_double(b, "power_w", v.power_w);
	put_footprint(b, &f->footprint, v.facility_j);
	put_basis(b, f);
	put_remarks(b, f);
	put_what_if(b, f);
	jt__buf_append_text(b, "}\n");
	return b->failed ? JT_ENOMEM : JT_OK;
}
