/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_EXPOSITION_H
#define JT_EXPOSITION_H
/*
 * Reads a scrape as strictly as the formats are written and complains with check(): families
 * declared once, before their samples, and not interleaved; no series twice; labels escaped and in
 * UTF-8; buckets cumulative, the last one equal to the count, the sum possible. Written apart from
 * the exporter.
 */
#include <stdbool.h>
#include <stdlib.h>
#include "tap.h"
#include "base/buf.h"

#define LINT_MAX_FAMILIES 64

struct lint {
	bool openmetrics;
	char families[LINT_MAX_FAMILIES][80];
	size_t n_families, n_series;
	char kind[16]; /* of the family that is open */
	bool has_type, has_samples, ended;
	/* the histogram that is being read */
	char labels[512]; /* without le */
	double last_le, low_sum, high_sum, last_n, sum;
};

static inline void lint_header(struct lint *l, const char *line)
{
	char what[8], name[80], rest[256];

	if (strcmp(line, "# EOF") == 0) {
		check(l->openmetrics && !l->ended);
		l->ended = true;
		return;
	}
	if (!check(sscanf(line, "# %7s %79s %255[^\n]", what, name, rest) == 3))
		return;
	check(strncmp(name, "jouletap_", 9) == 0);
	if (!l->n_families || strcmp(l->families[l->n_families - 1], name) != 0) {
		for (size_t i = 0; i < l->n_families; i++)
			check(strcmp(l->families[i], name) != 0);
		check(!l->n_families || l->has_samples);
		check(strcmp(what, "HELP") == 0);
		strcpy(l->families[l->n_families++], name);
		l->has_type = l->has_samples = false;
		return;
	}
	check(!l->has_samples);
	if (strcmp(what, "TYPE") == 0) {
		check(!l->has_type && strlen(rest) < sizeof(l->kind));
		snprintf(l->kind, sizeof(l->kind), "%s", rest);
		l->has_type = true;
		check(l->openmetrics || strcmp(l->kind, "info") != 0);
	} else {
		check(l->openmetrics && strcmp(what, "UNIT") == 0 && strlen(name) > strlen(rest) &&
		      strcmp(name + strlen(name) - strlen(rest), rest) == 0);
	}
}

/*
 * The text behind a label's opening quote; returns what follows the closing one, NULL if it is bad.
 */
static inline const char *lint_value(const char *p)
{
	while (*p && *p != '"') {
		size_t len = jt__utf8_len((const unsigned char *)p, strlen(p));

		if (*p == '\\' && (p[1] != 'n' && p[1] != '"' && p[1] != '\\'))
			return NULL;
		p += *p == '\\' ? 2 : len;
		if (!len)
			return NULL;
	}
	return *p ? p + 1 : NULL;
}

/* From the opening brace to behind the closing one; copies all but le to @labels. */
static inline const char *lint_labels(const char *p, char *labels, double *ret_le)
{
	do {
		const char *name = ++p, *end;
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz_");

		if (!n || strncmp(p + n, "=\"", 2) != 0)
			return NULL;
		end = lint_value(p + n + 2);
		if (!end)
			return NULL;
		if (strncmp(name, "le=", 3) == 0)
			*ret_le = strtod(name + 4, NULL);
		else
			strncat(labels, name, (size_t)(end - name));
		p = end;
	} while (*p == ',');
	return *p == '}' ? p + 1 : NULL;
}

static inline void lint_bucket(struct lint *l, const char *labels, double le, double n)
{
	bool first = strcmp(labels, l->labels) != 0 || isinf(l->last_le);
	double from = first ? 0 : l->last_le, more = n - (first ? 0 : l->last_n);

	if (first)
		l->low_sum = l->high_sum = 0;
	check(le > from && more >= 0);
	l->low_sum += more * from;
	l->high_sum += more ? more * le : 0;
	l->last_le = le;
	l->last_n = n;
	strcpy(l->labels, labels);
}

static inline void lint_sample(struct lint *l, const char *line)
{
	const char *family = l->n_families ? l->families[l->n_families - 1] : "";
	const char *p = line + strcspn(line, "{ "), *suffix = line + strlen(family);
	char labels[512] = "", *end;
	double le = NAN, v;

	l->has_samples = true;
	check(l->has_type && strncmp(line, family, strlen(family)) == 0);
	if (*p == '{')
		p = lint_labels(p, labels, &le);
	if (!check(p && *p == ' '))
		return;
	v = strtod(p + 1, &end);
	check(!*end && end > p + 1 && !isnan(v));
	if (strcmp(l->kind, "histogram") == 0) {
		if (strncmp(suffix, "_bucket{", 8) == 0) {
			lint_bucket(l, labels, le, v);
		} else if (strncmp(suffix, "_sum{", 5) == 0) {
			check(isinf(l->last_le) && strcmp(labels, l->labels) == 0);
			check(v >= l->low_sum * (1 - 1e-9) && v <= l->high_sum * (1 + 1e-9));
		} else {
			check(strncmp(suffix, "_count{", 7) == 0 && strcmp(labels, l->labels) == 0);
			check(v == l->last_n);
		}
		return;
	}
	check(isnan(le));
	if (strcmp(l->kind, "counter") == 0)
		check(v >= 0);
	if (l->openmetrics && strcmp(l->kind, "counter") == 0)
		check(strncmp(suffix, "_total", 6) == 0 && strchr(" {", suffix[6]));
	else if (l->openmetrics && strcmp(l->kind, "info") == 0)
		check(strncmp(suffix, "_info{", 6) == 0 && v == 1);
	else
		check(*suffix == ' ' || *suffix == '{');
	if (!l->openmetrics && strcmp(l->kind, "counter") == 0)
		check(strlen(family) > 6 && strcmp(family + strlen(family) - 6, "_total") == 0);
}

static inline int lint_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Complains, and returns the number of samples. */
static inline size_t lint(const char *scrape, bool openmetrics)
{
	struct lint l = { .openmetrics = openmetrics };
	char *copy = strdup(scrape), **series;
	size_t n_lines = 0;

	for (const char *p = scrape; *p; p++)
		n_lines += *p == '\n';
	check(*scrape && scrape[strlen(scrape) - 1] == '\n');
	series = calloc(n_lines + 1, sizeof(*series));
	for (char *line = copy, *next; *line; line = next) {
		next = line + strcspn(line, "\n");
		*next++ = '\0';
		check(!l.ended && *line);
		if (*line == '#') {
			lint_header(&l, line);
			continue;
		}
		lint_sample(&l, line);
		*strrchr(line, ' ') = '\0'; /* what is left names the series */
		series[l.n_series++] = line;
	}
	check(l.ended == openmetrics && l.has_samples);
	qsort(series, l.n_series, sizeof(*series), lint_compare);
	for (size_t i = 1; i < l.n_series; i++)
		check(strcmp(series[i - 1], series[i]) != 0);
	free(series);
	free(copy);
	return l.n_series;
}

#endif
