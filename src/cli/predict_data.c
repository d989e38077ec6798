/* SPDX-License-Identifier: Apache-2.0 */
/* What jouletap predict reads: models, tables that come with the program, the carbon of grids. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/data.h"
#include "cli/predict.h"
#include "input/textfile.h"
#include "predictor/ask.h"

#define PATH_MAX_LEN 4096
#define MAX_FILE ((size_t)1 << 20)

/* ---- files ---- */

int jt__predict_read(const char *path, struct jt_buf *text, struct jt_error *err)
{
	if (strcmp(path, "-") == 0)
		return jt__textfile_read_fd(STDIN_FILENO, path, "predict", text, err);
	return jt__textfile_read(path, "predict", text, err);
}

int jt__table_open(struct jt_table_file *t, const char *below, struct jt_error *err)
{
	int status;

	*t = (struct jt_table_file){ 0 };
	jt__buf_init(&t->text, MAX_FILE);
	if (!jt__data_find(below, t->path, sizeof(t->path)))
		return 0;
	status = jt__predict_read(t->path, &t->text, err);
	if (status == JT_OK)
		status = jt__sheet_init(&t->sheet, t->path, jt__buf_bytes(&t->text),
		                        jt__buf_len(&t->text), err);
	return status < 0 ? status : 1;
}

void jt__table_close(struct jt_table_file *t)
{
	jt__sheet_fini(&t->sheet);
	jt__buf_fini(&t->text);
}

/* ---- models ---- */

int jt__predict_config(const char *path, struct jt_question *ret, struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, MAX_FILE);
	status = jt__predict_read(path, &text, err);
	if (status == JT_OK)
		status = jt__ask_config_of(path, jt__buf_bytes(&text), jt__buf_len(&text), path,
		                           ret, err);
	jt__buf_fini(&text);
	return status;
}

/* A file, or the config.json of a directory, as models are published. */
static bool is_config(const char *name, char path[PATH_MAX_LEN])
{
	struct stat st;

	if (snprintf(path, PATH_MAX_LEN, "%s", name) >= PATH_MAX_LEN)
		return false;
	if (strcmp(name, "-") == 0)
		return true;
	if (stat(path, &st) < 0)
		return errno == EACCES; /* reading it will say so */
	if (!S_ISDIR(st.st_mode))
		return true;
	return snprintf(path, PATH_MAX_LEN, "%s/config.json", name) < PATH_MAX_LEN &&
	       (stat(path, &st) == 0 || errno == EACCES);
}

static int fail_unknown(const struct jt_models *models, const char *name, struct jt_error *err)
{
	char offered[120];

	jt__models_offer(models, name, offered, sizeof(offered));
	return jt__fail(err, JT_ENOENT, "predict",
	                "no model '%.60s': give the path of its config.json, or one model of "
	                "--list-models%s%s",
	                name, *offered ? "; near it: " : "", offered);
}

static int find_model(const struct jt_models *models, const char *name, struct jt_question *ret,
                      struct jt_error *err)
{
	const struct jt_model_row *row = jt__models_find(models, name);
	enum jt_weights weights = ret->weights;

	if (!row)
		row = jt__models_begin(models, name);
	if (!row)
		return fail_unknown(models, name, err);
	jt__models_take(row, name, ret);
	if (weights != JT_N_WEIGHTS) {
		ret->weights = weights;
		ret->bytes_per_param = 0;
	}
	return JT_OK;
}

int jt__predict_model(const char *name, struct jt_question *ret, struct jt_error *err)
{
	char path[PATH_MAX_LEN];
	struct jt_models models;
	int status;

	if (is_config(name, path)) {
		status = jt__predict_config(path, ret, err);
		return status == JT_ENOENT ? JT_EIO : status;
	}
	status = jt__models_load(&models, err);
	if (status == JT_OK)
		status = find_model(&models, name, ret, err);
	else if (status == JT_ENOENT)
		status = JT_EIO; /* of the list, not the model */
	jt__models_fini(&models);
	return status;
}

/* ---- carbon ---- */

static int take_grid(const struct jt_sheet *s, struct jt_footprint *ret)
{
	const char *region = jt__sheet_text(s, jt__sheet_column(s, "region"));
	const char *source = jt__sheet_text(s, jt__sheet_column(s, "source"));
	int status = jt__sheet_number(s, jt__sheet_column(s, "year"), &ret->carbon_year);

	jt__copy_text(ret->carbon_region, sizeof(ret->carbon_region), region, strlen(region));
	jt__copy_text(ret->carbon_source, sizeof(ret->carbon_source), source, strlen(source));
	if (status == JT_OK)
		status =
			jt__sheet_number(s, jt__sheet_column(s, "g_co2e_per_kwh"), &ret->g_per_kwh);
	return status < 0 ? status : 1;
}

/* 1: found. */
static int search_carbon(struct jt_sheet *s, const char *what, struct jt_footprint *ret)
{
	int code = jt__sheet_column(s, "code"), region = jt__sheet_column(s, "region"), status;

	while ((status = jt__sheet_next(s)) > 0)
		if (strcasecmp(jt__sheet_text(s, code), what) == 0 ||
		    strcasecmp(jt__sheet_text(s, region), what) == 0)
			return take_grid(s, ret);
	return status;
}

int jt__predict_carbon(const char *what, struct jt_footprint *ret, struct jt_error *err)
{
	struct jt_table_file t;
	double g;
	int status;

	if (jt__textfile_real(what, strlen(what), &g)) {
		if (!(g >= 0 && g <= 1e5))
			return jt__fail(err, JT_EINVAL, "predict",
			                "'--carbon' must be from 0 to 100000 g CO2e/kWh");
		ret->g_per_kwh = g;
		snprintf(ret->carbon_source, sizeof(ret->carbon_source), "as given");
		return JT_OK;
	}
	status = jt__table_open(&t, "predictor/carbon.csv", err);
	if (status == 0)
		status = jt__fail(err, JT_EIO, "predict",
		                  "jouletap's table of grids is not installed; give grams: "
		                  "--carbon 380");
	if (status > 0)
		status = search_carbon(&t.sheet, what, ret);
	jt__table_close(&t);
	if (status == 0)
		return jt__fail(err, JT_EINVAL, "predict",
		                "no grid '%.40s' in the table: take one of --list-zones, or give g "
		                "CO2e/kWh",
		                what);
	return status < 0 ? status : JT_OK;
}
