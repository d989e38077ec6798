/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/data.h"
#include "predictor/factors.h"

static json_t *load_json(const char *path, struct jt_error *err)
{
	json_error_t je;
	json_t *root = json_load_file(path, 0, &je);

	if (!root && je.line < 1) /* it could not be opened, says the text */
		jt__fail(err, JT_ENOENT, "predict", "%s", je.text);
	else if (!root)
		jt__fail(err, JT_EINVAL, "predict", "'%s', line %d: %s", path, je.line, je.text);
	return root;
}

static int add_factors(json_t *model, json_t *more, const char *path, struct jt_error *err)
{
	json_t *list = json_object_get(more, "factors"), *all;
	const char *format = json_string_value(json_object_get(more, "format"));

	if (!format || strcmp(format, "jouletap-factors") != 0 ||
	    json_integer_value(json_object_get(more, "version")) != 1 || !json_is_array(list))
		return jt__fail(
			err, JT_EINVAL, "predict",
			"'%s' is not a file of factors (format jouletap-factors, version 1)", path);
	/* The first that fits is taken: what was learned last goes before. */
	all = json_deep_copy(list);
	json_array_extend(all, json_object_get(model, "factors"));
	json_object_set_new(model, "factors", all);
	return JT_OK;
}

static int load_with(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err)
{
	json_t *model = load_json(path, err), *more = model ? load_json(factors, err) : NULL;
	int status = model && more ? add_factors(model, more, factors, err) : JT_EINVAL;
	char *text = NULL;

	if (status == JT_OK && !(text = json_dumps(model, JSON_COMPACT | JSON_REAL_PRECISION(17))))
		status = jt__fail(err, JT_ENOMEM, "predict", "no memory for '%s'", path);
	if (status == JT_OK)
		status = jt__fitted_parse(text, strlen(text), path, jt__feature_names, ret, err);
	free(text);
	json_decref(more);
	json_decref(model);
	return status;
}

int jt__factors_load(const char *path, const char *factors, struct jt_fitted **ret,
                     struct jt_error *err)
{
	char own[512];

	if (!path && !jt__data_find("predictor/model.json", own, sizeof(own)))
		return jt__fail(err, JT_ENOENT, "predict",
		                "jouletap's own model is not installed; name one: --fitted FILE");
	path = path ? path : own;
	return factors ? load_with(path, factors, ret, err) : jt__fitted_load(path, ret, err);
}

static double prior_rows(const struct jt_fitted *f)
{
	const struct jt_score *scores = jt__fitted_at(f, f->scores.at);

	for (uint32_t i = 0; i < f->scores.n; i++)
		if (strcmp(jt__fitted_text(f, scores[i].name), "factor_prior") == 0)
			return fmax(scores[i].value, 0);
	return 1;
}

double jt__factor_learn(const struct jt_fitted *f, const double *logs, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += logs[i];
	return n ? exp(sum / ((double)n + prior_rows(f))) : 1;
}
