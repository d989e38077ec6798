/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "simulator/profile_path.h"

static int is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int is_directory(const struct dirent *d)
{
	return is_visible(d) && d->d_type != DT_REG;
}

/* The names in @directory: "A, B"; "nothing" if there are none. */
static void list_names(const char *directory, bool files, char *out, size_t size)
{
	struct dirent **names;
	int n = scandir(directory, &names, files ? is_visible : is_directory, alphasort);
	size_t used = 0;

	jt__copy_text(out, size, "nothing", 7);
	for (int i = 0; i < n; i++) {
		if (used < size)
			used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "",
			                         names[i]->d_name);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* Blames the first directory on the way to @path, below the root, that is not there. */
static int fail_missing(const struct jt_profile_where *w, char *path, struct jt_error *err)
{
	size_t root = strlen(w->root);
	char there[200], *slash = path + root, *next;
	bool is_file;

	for (;; slash = next) {
		int missing;

		next = slash + 1 + strcspn(slash + 1, "/");
		if (*next == '\0')
			break;
		*next = '\0';
		missing = access(path, F_OK);
		*next = '/';
		if (missing)
			break;
	}
	is_file = *next == '\0';
	*next = '\0';
	*slash = '\0';
	list_names(path, is_file, there, sizeof(there));
	return jt__fail(err, JT_ENOENT, "simulate", "no profile '%s': '%.100s' has %s", slash + 1,
	                path, there);
}

int jt__profile_join(char ret_path[JT_PROFILE_MAX_PATH], const char *directory, const char *name,
                     struct jt_error *err)
{
	if (snprintf(ret_path, JT_PROFILE_MAX_PATH, "%s/%s", directory, name) < JT_PROFILE_MAX_PATH)
		return JT_OK;
	return jt__fail(err, JT_EINVAL, "simulate", "the path of '%.60s' is longer than %d bytes",
	                name, JT_PROFILE_MAX_PATH - 1);
}

int jt__profile_find(const struct jt_profile_where *w, char ret_path[JT_PROFILE_MAX_PATH],
                     struct jt_error *err)
{
	char below[JT_PROFILE_MAX_PATH], ranks[16], path[JT_PROFILE_MAX_PATH];
	int status;

	if (snprintf(below, sizeof(below), "perf/%s/%s/%s", w->hardware, w->model, w->variant) >=
	    (int)sizeof(below))
		return jt__fail(err, JT_EINVAL, "simulate", "the model's name '%.60s' is too long",
		                w->model);
	snprintf(ranks, sizeof(ranks), "tp%u", w->tp);
	status = jt__profile_join(ret_path, w->root, below, err);
	if (!status)
		status = jt__profile_join(path, ret_path, ranks, err);
	if (status)
		return status;
	return access(path, F_OK) == 0 ? JT_OK : fail_missing(w, path, err);
}

static void replace(char *text, char from, char to)
{
	for (; *text; text++)
		if (*text == from)
			*text = to;
}

/* model_type is spelled with either of "-" and "_", and so are the files' names. */
int jt__profile_find_catalog(const struct jt_profile_where *w, char ret_path[JT_PROFILE_MAX_PATH],
                             struct jt_error *err)
{
	char name[80], below[100];

	if (!jt__copy_text(name, sizeof(name), w->type, strlen(w->type)))
		return jt__fail(err, JT_EINVAL, "simulate", "the model type '%.60s…' is too long",
		                w->type);
	for (int attempt = 0; attempt < 3; attempt++) {
		int status;

		if (attempt)
			replace(name, attempt == 1 ? '_' : '-', attempt == 1 ? '-' : '_');
		snprintf(below, sizeof(below), "models/%s.yaml", name);
		status = jt__profile_join(ret_path, w->root, below, err);
		if (status)
			return status;
		if (access(ret_path, F_OK) == 0)
			return JT_OK;
	}
	return fail_missing(w, ret_path, err);
}
