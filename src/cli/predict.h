/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLI_PREDICT_H
#define JT_CLI_PREDICT_H
/* What the files of jouletap predict share. One thread. */
#include <stdio.h>
#include "base/buf.h"
#include "predictor/fitted.h"

/* What a kWh emits and costs, and what the building adds to it. */
struct jt_footprint {
	double g_per_kwh; /* CO2e; NaN: not asked */
	char carbon_source[96];
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
/* @below of jouletap's own data: beside the sources, or where it was installed. */
bool jt__predict_data(const char *below, char *out, size_t size);

/* @name: a config.json, or a model of the built-in lists. */
int jt__predict_model(const char *name, struct jt_question *ret, struct jt_error *err);
/* @what: g CO2e/kWh, or a row of carbon.csv. */
int jt__predict_carbon(const char *what, struct jt_footprint *ret, struct jt_error *err);

/* From table to table; "-" is standard input and output. */
int jt__predict_rows(const struct jt_fitted *f, const char *in, const char *out, bool quiet,
                     struct jt_error *err);

/* What the meter has said of a model on a GPU. */
struct jt_lesson {
	double factor;
	uint32_t n_records, n_left_out;
};
/* Compares records, JSON lines, with what the model (without factors) says of such requests. */
int jt__predict_learn(const struct jt_fitted *f, const struct jt_question *q,
                      const char *const *paths, size_t n_paths, struct jt_lesson *ret,
                      struct jt_error *err);
int jt__predict_write_factor(const char *path, const struct jt_question *q,
                             const struct jt_lesson *l, struct jt_error *err);
/* The model of @path with the factors of @factors (NULL: none) in addition. */
int jt__predict_load(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err);

#endif
