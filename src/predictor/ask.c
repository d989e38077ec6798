/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include "predictor/ask.h"
#include "predictor/question.h"

/* ---- GPUs ---- */

void jt__ask_gpu_row(const struct jt_gpu *g, struct jt_question *ret)
{
	jt__copy_text(ret->gpu, sizeof(ret->gpu), g->name, strlen(g->name));
	ret->gpu_mem_gb = g->mem_gb;
	ret->gpu_bw_gbs = g->bw_gbs;
	ret->gpu_bf16_tflops = g->bf16_tflops;
	ret->gpu_fp8_tflops = g->fp8_tflops;
	ret->gpu_link_gbs = g->link_gbs;
	ret->gpu_tdp_w = g->tdp_w;
	ret->gpu_idle_w = g->idle_w;
	ret->gpu_byte_cost = g->byte_cost;
}

/* Of "NVIDIA GeForce RTX 4090" what the table calls it by: "RTX 4090". */
static const char *without_brand(const char *given)
{
	static const char *const brands[] = { "nvidia", "geforce", "tesla" };

	for (size_t i = 0; i < JT_ARRAY_LEN(brands); i++) {
		size_t n = strlen(brands[i]);

		if (strncasecmp(given, brands[i], n) == 0 && given[n] && strchr(" -_", given[n]))
			given += n + 1;
	}
	return given;
}

/* "H100" begins "H100-SXM5-80GB", "H1" does not. */
static bool begins_with_words(const char *name, const char *words)
{
	size_t n = strlen(words);

	return n && strncasecmp(name, words, n) == 0 && (name[n] == '-' || !name[n]);
}

static bool begins(const char *name, const char *given)
{
	return *given && strncasecmp(name, given, strlen(given)) == 0;
}

/* The letters or the digits that come next, from *p on; 0: there are no more. */
static size_t next_run(const char **p)
{
	size_t n = 0;

	while (**p && !isalnum((unsigned char)**p))
		++*p;
	while (isalnum((unsigned char)(*p)[n]) &&
	       !isdigit((unsigned char)(*p)[n]) == !isdigit((unsigned char)**p))
		n++;
	return n;
}

/* "a100 80gb" is in "A100-SXM4-80GB": runs of letters and of digits, some left out. But "6000" is
 * not in "A6000", nor "L40" in "L40S". */
static bool has_runs(const char *name, const char *given)
{
	const char *begin = name, *end = name;
	size_t n, m;

	for (; (n = next_run(&given)); given += n) {
		for (; (m = next_run(&name)); name += m) {
			bool attached = name > begin && isalnum((unsigned char)name[-1]);

			if (m == n && strncasecmp(name, given, n) == 0 &&
			    (!attached || name == end))
				break;
			if (attached && name == end && isalpha((unsigned char)*name))
				return false;
		}
		if (!m)
			return false;
		end = name += m;
	}
	return true;
}

/* The same from the first run on, none left out up to a number: it tells types apart. */
static bool has_first_runs(const char *name, const char *given)
{
	bool is_number = false;

	while (!is_number) {
		size_t n = next_run(&given), m = next_run(&name);

		if (!n || n != m || strncasecmp(name, given, n) != 0)
			return false;
		is_number = isdigit((unsigned char)*given);
		given += n;
		name += m;
	}
	return !isalpha((unsigned char)*name) && has_runs(name, given);
}

static const struct jt_gpu *first(bool (*is_it)(const char *, const char *), const char *given)
{
	for (const struct jt_gpu *g = jt__gpus; g->name; g++)
		if (is_it(g->name, given))
			return g;
	return NULL;
}

/* The row that is it, if no other is. */
static const struct jt_gpu *only_one(bool (*is_it)(const char *, const char *), const char *given)
{
	const struct jt_gpu *found = NULL;

	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		if (!is_it(g->name, given))
			continue;
		if (found)
			return NULL;
		found = g;
	}
	return found;
}

/* To the name as far as so many words go as were given. */
static unsigned distance(const char *name, const char *given)
{
	char a[64], b[64];
	size_t n = 0, words = 1;

	for (const char *p = given; *p; p++)
		words += *p == '-' || *p == ' ';
	for (; name[n] && n + 1 < sizeof(a); n++) {
		if (name[n] == '-' && --words == 0)
			break;
		a[n] = (char)tolower((unsigned char)name[n]);
	}
	a[n] = '\0';
	for (n = 0; given[n] && n + 1 < sizeof(b); n++)
		b[n] = given[n] == ' ' ? '-' : (char)tolower((unsigned char)given[n]);
	b[n] = '\0';
	return jt__edit_distance(a, b);
}

/* The three that are nearest; the first of equals. */
static void nearest(const char *given, const char *ret_names[3])
{
	unsigned best[3] = { UINT32_MAX, UINT32_MAX, UINT32_MAX };

	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		unsigned d = distance(g->name, given);
		int at = 3;

		while (at > 0 && d < best[at - 1])
			at--;
		if (at == 3)
			continue;
		for (int i = 2; i > at; i--) {
			best[i] = best[i - 1];
			ret_names[i] = ret_names[i - 1];
		}
		best[at] = d;
		ret_names[at] = g->name;
	}
}

/* Without a number a name tells no types apart: it must begin one only. */
static const struct jt_gpu *find_gpu(const char *name)
{
	const struct jt_gpu *g = jt__gpu_find(name);
	bool has_number = strpbrk(name, "0123456789");

	name = without_brand(name);
	if (!g && has_number)
		g = first(begins_with_words, name);
	if (!g)
		g = only_one(begins, name);
	if (!g && has_number)
		g = first(has_first_runs, name);
	return g || !has_number ? g : only_one(has_runs, name);
}

int jt__ask_gpu(const char *name, struct jt_question *ret, struct jt_error *err)
{
	const struct jt_gpu *g = find_gpu(name);
	const char *names[3] = { "", "", "" };

	if (g) {
		jt__ask_gpu_row(g, ret);
		return JT_OK;
	}
	nearest(name, names);
	return jt__fail(err, JT_ENOENT, "predict",
	                "unknown GPU '%.40s'; the nearest are '%s', '%s' and '%s'", name, names[0],
	                names[1], names[2]);
}

/* ---- names of models ---- */

/* What names add to that of a backbone: how it was tuned, when, and how it is kept. */
static const char *const added[] = { "-instruct",  "-inst",      "-it",   "-chat", "-thinking",
	                             "-base",      "-hf",        "-fp8",  "-awq",  "-gptq",
	                             "-gptq-int4", "-gptq-int8", "-int4", "-int8", "-bf16",
	                             "-fp16",      "-bnb-4bit",  "-4bit", "-8bit", "-dynamic",
	                             "-w4a16",     "-w8a8",      "-gguf", "-v0.1", "-v0.2",
	                             "-v0.3" };

/* What some repositories of a model begin with, and others do not. */
static const char *const makers[] = { "meta-", "nvidia-" };

/* "-2507" and "-0528" are a year and a month, or a month and a day. */
static size_t date_len(const char *text, size_t n)
{
	return n > 5 && text[n - 5] == '-' && strspn(text + n - 4, "0123456789") == 4 ? 5 : 0;
}

static size_t added_len(const char *text, size_t n)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(added); i++) {
		size_t m = strlen(added[i]);

		if (n > m && strcmp(text + n - m, added[i]) == 0)
			return m;
	}
	return date_len(text, n);
}

void jt__ask_group(const char *model, char *ret_group, size_t size)
{
	const char *slash = strrchr(model, '/');
	size_t n, m;

	model = slash ? slash + 1 : model;
	for (size_t i = 0; i < JT_ARRAY_LEN(makers); i++) {
		m = strlen(makers[i]);
		if (strncasecmp(model, makers[i], m) == 0 && model[m])
			model += m;
	}
	jt__copy_text(ret_group, size, model, strlen(model));
	n = strlen(ret_group);
	for (size_t i = 0; i < n; i++) {
		char c = (char)tolower((unsigned char)ret_group[i]);

		ret_group[i] = c == '_' || c == ':' || c == ' ' ? '-' : c;
	}
	while ((m = added_len(ret_group, n)))
		ret_group[n -= m] = '\0';
}

/* ---- config.json ---- */

int jt__ask_config(const char *json, size_t n, const char *where, struct jt_question *ret,
                   struct jt_error *err)
{
	int status = jt__arch_parse(json, n, where, &ret->arch, err);

	if (status == JT_OK)
		jt__ask_group(ret->model, ret->model_group, sizeof(ret->model_group));
	return status;
}

/* Where the last part of @path begins, of which slashes at the end are none. */
static const char *last_part(const char *path, size_t *n)
{
	size_t begin;

	while (*n && path[*n - 1] == '/')
		--*n;
	begin = *n;
	while (begin && path[begin - 1] != '/')
		begin--;
	*n -= begin;
	return path + begin;
}

/* A file that does not say what model it is of is called as its directory is, or as itself. */
static void name_by_path(const char *path, struct jt_question *q)
{
	size_t n = strlen(path), end = strlen(".json");
	const char *name = last_part(path, &n);

	if (n == strlen("config.json") && strncmp(name, "config.json", n) == 0) {
		n = (size_t)(name - path);
		name = last_part(path, &n);
	} else if (n > end && strncmp(name + n - end, ".json", end) == 0) {
		n -= end;
	}
	if (!n || *name == '.' || *name == '-')
		return;
	jt__copy_text(q->model, sizeof(q->model), name, n);
	jt__ask_group(q->model, q->model_group, sizeof(q->model_group));
}

static bool has_name(const char *json, size_t n)
{
	json_t *root = json_loadb(json, n, 0, NULL);
	const char *name = json_string_value(json_object_get(root, "_name_or_path"));
	bool has = name && *name;

	json_decref(root);
	return has;
}

int jt__ask_config_of(const char *path, const char *json, size_t n, const char *where,
                      struct jt_question *ret, struct jt_error *err)
{
	int status = jt__ask_config(json, n, where, ret, err);

	if (status == JT_OK && !has_name(json, n))
		name_by_path(path, ret);
	return status;
}
