/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus exposition formats (prometheus.io/docs/instrumenting/exposition_formats) and
 * OpenMetrics 1.0 (github.com/OpenObservability/OpenMetrics). In the former a family of counters is
 * called NAME_total and an info is a gauge NAME_info; in the latter both are called NAME.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "exporters/expose.h"

#define PREFIX "jouletap_"

static const char *const kinds[] = { "gauge", "counter", "info", "histogram" };
static const char *const suffixes[] = { "", "_total", "_info", "" };

void jt__expose_begin(struct jt_expose *e, const struct jt_family *f)
{
	e->family = f;
	e->announced = false;
}

static void announce(struct jt_expose *e)
{
	const struct jt_family *f = e->family;
	const char *suffix = e->openmetrics ? "" : suffixes[f->kind];
	const char *kind = !e->openmetrics && f->kind == JT_INFO ? "gauge" : kinds[f->kind];

	if (e->announced)
		return;
	e->announced = true;
	jt__buf_printf(e->out, "# HELP " PREFIX "%s%s %s\n", f->name, suffix, f->help);
	jt__buf_printf(e->out, "# TYPE " PREFIX "%s%s %s\n", f->name, suffix, kind);
	if (e->openmetrics && f->unit)
		jt__buf_printf(e->out, "# UNIT " PREFIX "%s %s\n", f->name, f->unit);
}

/* Both formats escape these three and want UTF-8; a byte that is not becomes '?'. */
static void label_value(struct jt_buf *b, const char *text)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + strlen(text);

	while (p < end) {
		size_t len = jt__utf8_len(p, (size_t)(end - p));

		if (!len)
			jt__buf_append(b, "?", len = 1);
		else if (*p == '\n')
			jt__buf_append(b, "\\n", 2);
		else if (*p == '"' || *p == '\\')
			jt__buf_printf(b, "\\%c", *p);
		else
			jt__buf_append(b, p, len);
		p += len;
	}
}

static void number(struct jt_buf *b, double v)
{
	if (isinf(v))
		jt__buf_append_text(b, v > 0 ? "+Inf" : "-Inf");
	else
		jt__json_double(b, v);
}

/*
 * OpenMetrics wants boundaries written as floats, so that "1.0" names the same series everywhere.
 */
static void boundary(struct jt_expose *e, double v)
{
	number(e->out, v);
	if (e->openmetrics && isfinite(v) && v == floor(v))
		jt__buf_append_text(e->out, ".0");
}

/* NAME{labels, with le= added where @le is given; the value comes next. */
static void series(struct jt_expose *e, const char *suffix, const struct jt_label *labels, size_t n,
                   const double *le)
{
	const char *between = "{";

	jt__buf_printf(e->out, PREFIX "%s%s", e->family->name, suffix);
	for (size_t i = 0; i < n; i++, between = ",") {
		jt__buf_printf(e->out, "%s%s=\"", between, labels[i].name);
		label_value(e->out, labels[i].value);
		jt__buf_append(e->out, "\"", 1);
	}
	if (le) {
		jt__buf_printf(e->out, "%sle=\"", between);
		boundary(e, *le);
		jt__buf_append(e->out, "\"", 1);
	}
	jt__buf_append_text(e->out, n || le ? "} " : " ");
}

void jt__expose_sample(struct jt_expose *e, double value, const struct jt_label *labels, size_t n)
{
	if (isnan(value))
		return;
	announce(e);
	series(e, suffixes[e->family->kind], labels, n, NULL);
	number(e->out, value);
	jt__buf_append(e->out, "\n", 1);
}

void jt__expose_histogram(struct jt_expose *e, const struct jt_histogram *h,
                          const struct jt_histogram_shape *shape, const struct jt_label *labels,
                          size_t n)
{
	uint64_t so_far = 0;

	if (!h->count)
		return;
	announce(e);
	for (size_t i = 0; i <= shape->n; i++) {
		double le = i < shape->n ? shape->upper[i] : INFINITY;

		so_far += h->n[i];
		series(e, "_bucket", labels, n, &le);
		jt__buf_printf(e->out, "%" PRIu64 "\n", so_far);
	}
	series(e, "_sum", labels, n, NULL);
	number(e->out, (double)h->sum / shape->scale);
	jt__buf_append(e->out, "\n", 1);
	series(e, "_count", labels, n, NULL);
	jt__buf_printf(e->out, "%" PRIu64 "\n", h->count);
}

void jt__expose_end(struct jt_expose *e)
{
	if (e->openmetrics)
		jt__buf_append_text(e->out, "# EOF\n");
}
