/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/sensors.h"
#include "jouletap/timeline.h"

/* The part of the time that the instantaneous field sees; not a number if it has no window. */
static double seen(const struct jt_sensor *s)
{
	return s->window_ns ? fmin(1, (double)s->window_ns / (double)s->update_ns) : (double)NAN;
}

static const char *format(char text[16], bool known, double value, const char *unit)
{
	if (known)
		snprintf(text, 16, "%.6g%s", value, unit);
	else
		snprintf(text, 16, "-");
	return text;
}

static double seen_percent(const struct jt_sensor *s)
{
	return round(1000 * seen(s)) / 10;
}

static const char *ms(char text[16], uint64_t t_ns)
{
	return format(text, t_ns != 0, (double)t_ns * 1e-6, " ms");
}

void jt__sensors_print(FILE *to)
{
	char t[8][16];

	fprintf(to, "%-10s %8s %8s %6s %8s %8s %7s %9s %9s  %s\n", "KIND", "UPDATE", "WINDOW",
	        "SEEN", "AVERAGE", "FILTER", "GAIN", "OFFSET", "MAX", "WHAT");
	for (const struct jt_sensor *s = jt_sensors; s->name; s++)
		fprintf(to, "%-10s %8s %8s %6s %8s %8s %7s %9s %9s  %s\n", s->name,
		        ms(t[0], s->update_ns), ms(t[1], s->window_ns),
		        format(t[2], s->window_ns != 0, seen_percent(s), " %"),
		        ms(t[3], s->avg_window_ns), ms(t[4], s->filter_ns),
		        format(t[5], s->gain_ppm != 0, s->gain_ppm * 1e-4, " %"),
		        format(t[6], s->offset_mw != 0, s->offset_mw * 1e-3, " W"),
		        format(t[7], true, s->max_power_mw * 1e-3, " W"), s->what);
	fputs("\nSources:\n", to);
	for (const struct jt_sensor *s = jt_sensors; s->name; s++)
		fprintf(to, "%-10s %s\n", s->name, s->source);
	fputc('\n', to);
	for (const struct jt_sensor_source *s = jt_sensor_sources; s->key; s++)
		fprintf(to, "[%s]%*s %s\n", s->key, (int)(8 - strlen(s->key)), "", s->where);
}

static void put_seconds(struct jt_buf *b, const char *key, uint64_t t_ns)
{
	jt__json_member_nano(b, key, t_ns ? t_ns : JT_NONE);
}

void jt__sensor_figures(struct jt_buf *b, const struct jt_sensor *s)
{
	put_seconds(b, "update_s", s->update_ns);
	put_seconds(b, "window_s", s->window_ns);
	put_seconds(b, "avg_window_s", s->avg_window_ns);
	put_seconds(b, "filter_s", s->filter_ns);
	jt__json_key(b, "lag_s");
	jt__json_nano(b, s->lag_ns);
	jt__json_member_micro(b, "gain", s->gain_ppm);
	jt__json_member_micro(b, "offset_w", (uint64_t)s->offset_mw * 1000);
	jt__json_member_micro(b, "max_power_w", (uint64_t)s->max_power_mw * 1000);
}

static void put_sensor(struct jt_buf *b, const struct jt_sensor *s)
{
	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "kind", s->name);
	jt__json_member_text(b, "what", s->what);
	jt__json_member_text(b, "provenance", jt_provenance_name(s->provenance));
	jt__sensor_figures(b, s);
	jt__json_key(b, "seen");
	jt__json_double(b, seen(s));
	jt__json_member_text(b, "source", s->source);
	jt__buf_append_text(b, "}");
}

void jt__sensors_json(struct jt_buf *b)
{
	jt__buf_append_text(b, "{\"sensors\":[");
	for (const struct jt_sensor *s = jt_sensors; s->name; s++) {
		jt__buf_append_text(b, s == jt_sensors ? "" : ",");
		put_sensor(b, s);
	}
	jt__buf_append_text(b, "],\"sources\":{");
	for (const struct jt_sensor_source *s = jt_sensor_sources; s->key; s++)
		jt__json_member_text(b, s->key, s->where);
	jt__buf_append_text(b, "}}\n");
}

static void scdoc_figure(FILE *to, const char *what, const char *value)
{
	if (value[0] != '-')
		fprintf(to, ", %s %s", what, value);
}

static void scdoc_row(FILE *to, const struct jt_sensor *s)
{
	char t[16];

	fprintf(to, "*%s*\n\t", s->name);
	jt__opt_print_scdoc(s->what, to);
	fprintf(to, ": update %s", ms(t, s->update_ns));
	scdoc_figure(to, "window", ms(t, s->window_ns));
	scdoc_figure(to, "seen", format(t, s->window_ns != 0, seen_percent(s), " %"));
	scdoc_figure(to, "average", ms(t, s->avg_window_ns));
	scdoc_figure(to, "filter", ms(t, s->filter_ns));
	scdoc_figure(to, "gain", format(t, s->gain_ppm != 0, s->gain_ppm * 1e-4, " %"));
	scdoc_figure(to, "offset", format(t, s->offset_mw != 0, s->offset_mw * 1e-3, " W"));
	scdoc_figure(to, "max", format(t, true, s->max_power_mw * 1e-3, " W"));
	fputs(".\n\n\tFrom: ", to);
	jt__opt_print_scdoc(s->source, to);
	fputs(".\n\n", to);
}

void jt__sensors_scdoc(FILE *to)
{
	for (const struct jt_sensor *s = jt_sensors; s->name; s++)
		scdoc_row(to, s);
	fputs("# SOURCES\n\n", to);
	for (const struct jt_sensor_source *s = jt_sensor_sources; s->key; s++) {
		fprintf(to, "*%s*\n\t", s->key);
		jt__opt_print_scdoc(s->where, to);
		fputs("\n\n", to);
	}
}
