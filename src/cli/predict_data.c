/* SPDX-License-Identifier: Apache-2.0 */
/* What jouletap predict reads: models, fitted models, the carbon of grids. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "cli/predict.h"
#include "input/textfile.h"
#include "predictor/ask.h"
#include "predictor/question.h"

#define PATH_MAX_LEN 512
#define MAX_CONFIG ((size_t)1 << 20)

/* ---- files ---- */

int jt__predict_read(const char *path, struct jt_buf *text, struct jt_error *err)
{
	if (strcmp(path, "-") == 0)
		return jt__textfile_read_fd(STDIN_FILENO, path, "predict", text, err);
	return jt__textfile_read(path, "predict", text, err);
}

bool jt__predict_data(const char *below, char *out, size_t size)
{
	static const char *const roots[] = { JT_SOURCE_DATA, JT_DATA_DIR };

	for (size_t i = 0; i < JT_ARRAY_LEN(roots); i++)
		if (snprintf(out, size, "%s/%s", roots[i], below) < (int)size &&
		    access(out, R_OK) == 0)
			return true;
	return false;
}

/* ---- models ---- */

static int read_config(const char *path, struct jt_question *ret, struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, MAX_CONFIG);
	status = jt__predict_read(path, &text, err);
	if (status == JT_OK)
		status = jt__ask_config(jt__buf_bytes(&text), jt__buf_len(&text), path, ret, err);
	jt__buf_fini(&text);
	return status;
}

static const char *behind_slash(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* data/models/NAME.json, in lower case and without who made it. */
static bool find_config(const char *name, char *out, size_t size)
{
	char below[160];
	int n = snprintf(below, sizeof(below), "models/%s.json", behind_slash(name));

	for (int i = 0; i < n && n < (int)sizeof(below); i++)
		below[i] = (char)tolower((unsigned char)below[i]);
	return n < (int)sizeof(below) && jt__predict_data(below, out, size);
}

static void keep_nearest(const char *name, const char *wanted, unsigned *best, char ret[96])
{
	unsigned d = strlen(name) < 64 && strlen(wanted) < 64
	                     ? jt__edit_distance(behind_slash(name), behind_slash(wanted))
	                     : 64;

	if (d >= *best)
		return;
	*best = d;
	jt__copy_text(ret, 96, name, strlen(name));
}

/* The row of a table that is called so: by its whole name, or by that without who made it. */
static int search_table(struct jt_sheet *s, const char *name, struct jt_question *ret,
                        char nearest[96])
{
	int column = jt__sheet_column(s, "model"), layers = jt__sheet_column(s, "n_layers"), status;
	struct jt_question_columns columns;
	unsigned best = UINT32_MAX;

	jt__question_columns(s, &columns);
	while ((status = jt__sheet_next(s)) > 0) {
		const char *model = jt__sheet_text(s, column);

		if (!*jt__sheet_text(s, layers))
			continue; /* nothing but a name */
		keep_nearest(model, name, &best, nearest);
		if (strcasecmp(model, name) == 0 || strcasecmp(behind_slash(model), name) == 0)
			return jt__question_read(s, &columns, ret) < 0 ? JT_EINVAL : 1;
	}
	return status;
}

/* Models that were measured: 1, 0 if it is none of them. */
static int find_measured(const char *name, struct jt_question *ret, char nearest[96],
                         struct jt_error *err)
{
	char path[PATH_MAX_LEN];
	struct jt_sheet s;
	struct jt_buf text;
	int status;

	if (!jt__predict_data("predictor/architectures.csv", path, sizeof(path)))
		return 0;
	jt__buf_init(&text, MAX_CONFIG);
	status = jt__predict_read(path, &text, err);
	if (status == JT_OK) {
		status = jt__sheet_init(&s, path, jt__buf_bytes(&text), jt__buf_len(&text), err);
		if (status == JT_OK)
			status = search_table(&s, name, ret, nearest);
		jt__sheet_fini(&s);
	}
	jt__buf_fini(&text);
	return status;
}

/* Architectures are the same however weights are kept: names end with it, or the model is published
 * in no other form. */
static void weights_by_name(struct jt_question *q)
{
	static const char *const ends[] = { "-fp8", "-awq", "-gptq" };
	static const struct {
		const char *begin;
		enum jt_weights weights;
	} published[] = { { "openai/gpt-oss", JT_W_MXFP4 },
		          { "deepseek-ai/DeepSeek-V3", JT_W_FP8 },
		          { "deepseek-ai/DeepSeek-R1-0528", JT_W_FP8 } };
	size_t n = strlen(q->model);

	for (size_t i = 0; i < JT_ARRAY_LEN(published); i++)
		if (strncmp(q->model, published[i].begin, strlen(published[i].begin)) == 0)
			q->weights = published[i].weights;
	for (size_t i = 0; i < JT_ARRAY_LEN(ends); i++) {
		size_t m = strlen(ends[i]);

		if (n > m && strcasecmp(q->model + n - m, ends[i]) == 0)
			jt__weights_parse(ends[i] + 1, &q->weights);
	}
}

int jt__predict_model(const char *name, struct jt_question *ret, struct jt_error *err)
{
	enum jt_weights weights = ret->weights;
	char path[PATH_MAX_LEN], nearest[96] = "";
	int status;

	if (access(name, R_OK) == 0 || strcmp(name, "-") == 0)
		return read_config(name, ret, err);
	status = find_measured(name, ret, nearest, err);
	if (status > 0) {
		if (weights == JT_N_WEIGHTS)
			weights_by_name(ret);
		else
			ret->weights = weights;
		return JT_OK;
	}
	if (status < 0)
		return status;
	if (find_config(name, path, sizeof(path)))
		return read_config(path, ret, err);
	return jt__fail(
		err, JT_ENOENT, "predict",
		"no model '%.60s': neither a config.json nor a name from the built-in list%s%s",
		name, *nearest ? "; the nearest: " : "", nearest);
}

/* ---- carbon ---- */

static int search_carbon(struct jt_sheet *s, const char *what, struct jt_footprint *ret)
{
	int code = jt__sheet_column(s, "code"), region = jt__sheet_column(s, "region"), status;

	while ((status = jt__sheet_next(s)) > 0) {
		if (strcasecmp(jt__sheet_text(s, code), what) != 0 &&
		    strcasecmp(jt__sheet_text(s, region), what) != 0)
			continue;
		snprintf(ret->carbon_source, sizeof(ret->carbon_source), "%s, %s: %s",
		         jt__sheet_text(s, region), jt__sheet_text(s, jt__sheet_column(s, "year")),
		         jt__sheet_text(s, jt__sheet_column(s, "source")));
		status =
			jt__sheet_number(s, jt__sheet_column(s, "g_co2e_per_kwh"), &ret->g_per_kwh);
		return status < 0 ? status : 1;
	}
	return status;
}

static int read_carbon(const char *what, struct jt_footprint *ret, struct jt_error *err)
{
	char path[PATH_MAX_LEN];
	struct jt_sheet s;
	struct jt_buf text;
	int status;

	if (!jt__predict_data("predictor/carbon.csv", path, sizeof(path)))
		return jt__fail(
			err, JT_ENOENT, "predict",
			"jouletap's table of grids is not installed; give grams: --carbon 380");
	jt__buf_init(&text, MAX_CONFIG);
	status = jt__predict_read(path, &text, err);
	if (status == JT_OK) {
		status = jt__sheet_init(&s, path, jt__buf_bytes(&text), jt__buf_len(&text), err);
		if (status == JT_OK)
			status = search_carbon(&s, what, ret);
		jt__sheet_fini(&s);
	}
	jt__buf_fini(&text);
	return status;
}

int jt__predict_carbon(const char *what, struct jt_footprint *ret, struct jt_error *err)
{
	char *end;
	double g = strtod(what, &end);
	int status;

	if (end != what && !*end) {
		if (!(g >= 0 && g <= 1e5))
			return jt__fail(err, JT_EINVAL, "predict",
			                "'--carbon' must be from 0 to 100000 g CO2e/kWh");
		ret->g_per_kwh = g;
		snprintf(ret->carbon_source, sizeof(ret->carbon_source), "as given");
		return JT_OK;
	}
	status = read_carbon(what, ret, err);
	if (status == 0)
		return jt__fail(err, JT_ENOENT, "predict",
		                "no grid '%.40s' in the table; give a country's two letters, EU, "
		                "WORLD or g CO2e/kWh",
		                what);
	return status < 0 ? status : JT_OK;
}
