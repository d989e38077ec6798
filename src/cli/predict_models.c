/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in list of models: those that were measured, and configs that come with the program. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/data.h"
#include "cli/predict.h"
#include "predictor/ask.h"
#include "predictor/question.h"

#define PATH_MAX_LEN 512
#define MAX_OFFERED 4

/* ---- names ---- */

static const char *behind_slash(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* "Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B" and "llama3.1:8b": all "llama318b". */
static void make_key(const char *name, char key[JT_MODEL_NAME])
{
	char *to = key;

	jt__ask_group(name, key, JT_MODEL_NAME);
	for (const char *p = key; *p; p++)
		if (isalnum((unsigned char)*p))
			*to++ = *p;
	*to = '\0';
}

/* "llama4mav" begins "llama4maverick17b128e"; "qwen3" does not begin "qwen30". */
static bool begins(const char *key, const char *given)
{
	size_t n = strlen(given);

	return n && strncmp(key, given, n) == 0 &&
	       !(isdigit((unsigned char)given[n - 1]) && isdigit((unsigned char)key[n]));
}

/* ---- the list ---- */

static int add(struct jt_models *m, const char *name, const struct jt_question *q)
{
	struct jt_model_row *rows = jt__realloc(m->rows, m->n + 1, sizeof(*rows));

	if (!rows)
		return JT_ENOMEM;
	m->rows = rows;
	rows += m->n++;
	rows->q = *q;
	jt__copy_text(rows->name, sizeof(rows->name), name, strlen(name));
	make_key(name, rows->key);
	return JT_OK;
}

static int add_row(struct jt_models *m, const struct jt_sheet *s,
                   const struct jt_question_columns *columns)
{
	struct jt_question q;
	int status;

	if (!*jt__sheet_text(s, jt__sheet_column(s, "n_layers")))
		return JT_OK; /* nothing but a name */
	status = jt__question_read(s, columns, &q);
	return status < 0 ? status : add(m, q.model, &q);
}

static int add_measured(struct jt_models *m, struct jt_error *err)
{
	struct jt_question_columns columns;
	struct jt_table_file t;
	int status = jt__table_open(&t, "predictor/architectures.csv", err);

	if (status > 0) {
		jt__question_columns(&t.sheet, &columns);
		while ((status = jt__sheet_next(&t.sheet)) > 0) {
			status = add_row(m, &t.sheet, &columns);
			if (status < 0)
				break;
		}
	}
	jt__table_close(&t);
	return status;
}

/* data/models/NAME.json; NAME is what it is called here, whatever is in it. */
static int add_config(struct jt_models *m, const char *folder, const char *file,
                      struct jt_error *err)
{
	size_t n = strlen(file), end = strlen(".json");
	char path[PATH_MAX_LEN], name[JT_MODEL_NAME];
	struct jt_question q;
	int status;

	if (n <= end || strcmp(file + n - end, ".json") != 0 || n - end >= sizeof(name) ||
	    snprintf(path, sizeof(path), "%s/models/%s", folder, file) >= (int)sizeof(path))
		return JT_OK;
	jt__question_blank(&q);
	q.weights = JT_N_WEIGHTS;
	status = jt__predict_config(path, &q, err);
	jt__copy_text(name, sizeof(name), file, n - end);
	return status < 0 ? status : add(m, name, &q);
}

static int add_configs(struct jt_models *m, struct jt_error *err)
{
	const char *root = jt__data_root("models");
	char path[PATH_MAX_LEN];
	const struct dirent *entry;
	int status = JT_OK;
	DIR *d;

	if (!root || snprintf(path, sizeof(path), "%s/models", root) >= (int)sizeof(path))
		return JT_OK;
	d = opendir(path);
	while (d && status == JT_OK && (entry = readdir(d)))
		status = add_config(m, root, entry->d_name, err);
	if (d)
		closedir(d);
	return status;
}

static int by_name(const void *a, const void *b)
{
	const struct jt_model_row *x = a, *y = b;
	int order = strcasecmp(behind_slash(x->name), behind_slash(y->name));

	return order ? order : strcmp(x->name, y->name);
}

int jt__models_load(struct jt_models *ret, struct jt_error *err)
{
	int status;

	*ret = (struct jt_models){ 0 };
	status = add_measured(ret, err);
	if (status == JT_OK)
		status = add_configs(ret, err);
	if (status == JT_ENOMEM)
		jt__fail(err, status, "predict", "no memory for the list of models");
	if (status == JT_OK && ret->n)
		qsort(ret->rows, ret->n, sizeof(*ret->rows), by_name);
	return status;
}

void jt__models_fini(struct jt_models *m)
{
	jt__free(m->rows);
	*m = (struct jt_models){ 0 };
}

/* ---- finding ---- */

/* The first of the backbone @key, of those that are called like it where any is. */
static const struct jt_model_row *find_backbone(const struct jt_models *m, const char *key)
{
	const struct jt_model_row *found = NULL;
	char group[JT_MODEL_NAME];

	for (size_t i = 0; i < m->n; i++) {
		const struct jt_model_row *r = &m->rows[i];

		make_key(r->q.model_group, group);
		if (strcmp(group, key) != 0)
			continue;
		if (strncmp(r->key, key, strlen(key)) == 0)
			return r;
		found = found ? found : r;
	}
	return found;
}

const struct jt_model_row *jt__models_find(const struct jt_models *m, const char *name)
{
	char key[JT_MODEL_NAME];

	for (size_t i = 0; i < m->n; i++)
		if (strcasecmp(m->rows[i].name, name) == 0)
			return &m->rows[i];
	for (size_t i = 0; i < m->n; i++)
		if (strcasecmp(behind_slash(m->rows[i].name), behind_slash(name)) == 0)
			return &m->rows[i];
	make_key(name, key);
	for (size_t i = 0; i < m->n; i++)
		if (*key && strcmp(m->rows[i].key, key) == 0)
			return &m->rows[i];
	return *key ? find_backbone(m, key) : NULL;
}

const struct jt_model_row *jt__models_begin(const struct jt_models *m, const char *name)
{
	const struct jt_model_row *found = NULL;
	char key[JT_MODEL_NAME];

	make_key(name, key);
	for (size_t i = 0; i < m->n; i++) {
		if (!begins(m->rows[i].key, key))
			continue;
		if (found && strcmp(found->key, m->rows[i].key) != 0)
			return NULL;
		if (!found)
			found = &m->rows[i];
	}
	return found;
}

/* Architectures are the same however weights are kept: names end with it, or the model is published
 * in no other form. */
static void weights_by_name(const char *given, struct jt_question *q)
{
	static const char *const ends[] = { "-fp8", "-awq", "-gptq" };
	static const struct {
		const char *begin;
		enum jt_weights weights;
	} published[] = { { "openai/gpt-oss", JT_W_MXFP4 },
		          { "deepseek-ai/DeepSeek-V3", JT_W_FP8 },
		          { "deepseek-ai/DeepSeek-R1-0528", JT_W_FP8 } };
	size_t n = strlen(given);

	for (size_t i = 0; i < JT_ARRAY_LEN(published); i++)
		if (strncmp(q->model, published[i].begin, strlen(published[i].begin)) == 0)
			q->weights = published[i].weights;
	for (size_t i = 0; i < JT_ARRAY_LEN(ends); i++) {
		size_t m = strlen(ends[i]);

		if (n > m && strcasecmp(given + n - m, ends[i]) == 0)
			jt__weights_parse(ends[i] + 1, &q->weights);
	}
}

void jt__models_take(const struct jt_model_row *row, const char *name, struct jt_question *q)
{
	q->arch = row->q.arch;
	memcpy(q->model_group, row->q.model_group, sizeof(q->model_group));
	weights_by_name(row->name, q);
	weights_by_name(name, q);
}

/* Pairs of letters that stand in @a and in @b. */
static unsigned shared_pairs(const char *a, const char *b)
{
	unsigned n = 0;

	for (; a[0] && a[1]; a++)
		for (const char *p = b; p[0] && p[1]; p++)
			if (p[0] == a[0] && p[1] == a[1]) {
				n++;
				break;
			}
	return n;
}

/* How much of what was given is in the name, and a little for how much of the name that is. */
static double likeness(const char *key, const char *given)
{
	double n = (double)strlen(given) - 1, m = (double)strlen(key) - 1;
	double shared = shared_pairs(given, key);

	return n < 1 || m < 1 ? 0
	                      : shared / n + 0.2 * shared / (n + m) +
	                                0.5 * (strncmp(key, given, strlen(given)) == 0);
}

/* The most alike, each backbone once. */
static size_t most_alike(const struct jt_models *m, const char *given,
                         const struct jt_model_row *ret[MAX_OFFERED])
{
	double best[MAX_OFFERED];
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		const struct jt_model_row *r = &m->rows[i];
		double like = likeness(r->key, given);
		size_t at = n, k = 0;

		while (k < n && strcmp(ret[k]->key, r->key) != 0)
			k++;
		while (at > 0 && like > best[at - 1])
			at--;
		if (like < 0.5 || k < n || at == MAX_OFFERED)
			continue;
		n = JT_MIN(n + 1, (size_t)MAX_OFFERED);
		memmove(&best[at + 1], &best[at], (n - at - 1) * sizeof(*best));
		memmove(&ret[at + 1], &ret[at], (n - at - 1) * sizeof(*ret));
		best[at] = like;
		ret[at] = r;
	}
	return n;
}

void jt__models_offer(const struct jt_models *m, const char *name, char *out, size_t size)
{
	const struct jt_model_row *alike[MAX_OFFERED];
	char key[JT_MODEL_NAME];
	size_t n, used = 0;

	make_key(name, key);
	n = most_alike(m, key, alike);
	*out = '\0';
	for (size_t i = 0; i < n && used + strlen(alike[i]->name) + 3 < size; i++)
		used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
		                         alike[i]->name);
}
