/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLI_PREDICT_H
#define JT_CLI_PREDICT_H
/* What the files of jouletap predict share. One thread. */
#include <stdio.h>
#include "base/buf.h"
#include "predictor/fitted.h"
#include "predictor/question.h"

/* What a kWh emits and costs, and what the building adds to it. */
struct jt_footprint {
	double g_per_kwh; /* CO2e; NaN: not asked */
	char carbon_source[96], carbon_region[64];
	double carbon_year;   /* NaN: not of the table */
	double price_per_kwh; /* in whatever money it was given; NaN: not asked */
	double pue;
};

/* One request and all that is told of it. */
struct jt_forecast {
	const struct jt_fitted *model;
	struct jt_question q;
	struct jt_prediction p;
	double features[JT_MAX_FEATURES];
	struct jt_footprint footprint;
};

void jt__forecast_print(const struct jt_forecast *f, FILE *to);
/* JT_ENOMEM */
int jt__forecast_json(const struct jt_forecast *f, struct jt_buf *b);

/* All of @path, "-" for standard input. JT_ENOENT, JT_EPERM, JT_EIO, JT_ELIMIT, JT_ENOMEM. */
int jt__predict_read(const char *path, struct jt_buf *text, struct jt_error *err);

/* ---- models ---- */

#define JT_MODEL_NAME 96
struct jt_model_row {
	char name[JT_MODEL_NAME], key[JT_MODEL_NAME]; /* as it is shown, and compared */
	struct jt_question q;                         /* the transformer, nothing else */
};
struct jt_models {
	struct jt_model_row *rows; /* by name */
	size_t n;
};
/* Empty where none came with the program. jt__models_fini() in any case. */
int jt__models_load(struct jt_models *ret, struct jt_error *err);
void jt__models_fini(struct jt_models *m);
/*
 * The row that is called so; else the first of the same backbone: case, who made or tuned it, date,
 * dtype and what stands between words say nothing. NULL: none.
 */
const struct jt_model_row *jt__models_find(const struct jt_models *m, const char *name);
/* The one backbone whose name begins so. */
const struct jt_model_row *jt__models_begin(const struct jt_models *m, const char *name);
/* The transformer of @row, of which @name may say how weights are kept. */
void jt__models_take(const struct jt_model_row *row, const char *name, struct jt_question *q);
/* Names like it, with commas between them; "" if there are none. */
void jt__models_offer(const struct jt_models *m, const char *name, char *out, size_t size);

/* A Hugging Face config.json, "-" for standard input; the rest of *ret stays. */
int jt__predict_config(const char *path, struct jt_question *ret, struct jt_error *err);
/*
 * @name: a config.json, a directory with one, or a model of the list. Weights are as given where
 * ret->weights is not JT_N_WEIGHTS; what is not the transformer stays. JT_ENOENT: no such model.
 */
int jt__predict_model(const char *name, struct jt_question *ret, struct jt_error *err);

/* A table that comes with the program. */
struct jt_table_file {
	struct jt_buf text;
	struct jt_sheet sheet;
	char path[512];
};
/* 1; 0: it is not installed. jt__table_close() in any case. */
int jt__table_open(struct jt_table_file *t, const char *below, struct jt_error *err);
void jt__table_close(struct jt_table_file *t);

/* @what: g CO2e/kWh, or a row of carbon.csv. JT_EINVAL: neither. */
int jt__predict_carbon(const char *what, struct jt_footprint *ret, struct jt_error *err);

/* What can be named, as a table for people or a JSON list. */
enum jt_predict_list { JT_LIST_MODELS, JT_LIST_GPUS, JT_LIST_ZONES };
int jt__predict_list(enum jt_predict_list what, bool json, struct jt_error *err);

/* ---- tables ---- */

/* Whether writing @out (NULL: standard output) would destroy @in. */
bool jt__predict_same_file(const char *in, const char *out);
/* From table to table, a part of it at a time; "-" is standard input and output. */
int jt__predict_rows(const struct jt_fitted *f, const char *in, const char *out, bool quiet,
                     struct jt_error *err);

/* Who teaches: records, and what their upstreams are. */
struct jt_teachers {
	const char *const *paths;
	size_t n_paths;
	const char *config;                 /* the gateway's configuration, or else: */
	const struct jt_question *question; /* what all of them are */
};
/* What the meter has said of a model on a GPU. */
struct jt_lesson {
	struct jt_question q; /* of one of its rows */
	double ratio;         /* measured to predicted, the geometric mean over the rows */
	double factor;        /* what follows: nearer to 1 where rows are few */
	double half_width; /* how far, in log, predictions with it are off these rows: conformal */
	uint32_t n_rows;
	uint64_t n_records;
};
struct jt_lessons {
	struct jt_lesson *all;
	size_t n;
	uint64_t n_records, n_left_out;
	struct jt_error left_out; /* why the first was */
};
/* Compares records, JSON lines, with what the model (without factors) says of such requests. *ret
 * to jt__lessons_fini(). JT_EINVAL: none says anything. */
int jt__predict_learn(const struct jt_fitted *f, const struct jt_teachers *t,
                      struct jt_lessons *ret, struct jt_error *err);
void jt__lessons_fini(struct jt_lessons *l);
int jt__lessons_write(const struct jt_lessons *l, const char *path, struct jt_error *err);
void jt__lessons_print(const struct jt_lessons *l, FILE *to);
/* JT_ENOMEM */
int jt__lessons_json(const struct jt_lessons *l, struct jt_buf *b);

#endif
