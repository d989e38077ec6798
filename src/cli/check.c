/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cli/check.h"
#include "gateway/deployment.h"
#include "gateway/estimate.h"
#include "predictor/ask.h"

/* "/var/log/a.jsonl" is in "/var/log", "a.jsonl" in ".", "/a.jsonl" in "/". */
static void folder_of(const char *path, char *ret_folder, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		jt__copy_text(ret_folder, size, ".", 1);
	else
		jt__copy_text(ret_folder, size, path, JT_MAX((size_t)(slash - path), (size_t)1));
}

static int check_folder(const char *path, const char *key, const char *name, struct jt_error *err)
{
	char folder[512];
	struct stat st;

	folder_of(path, folder, sizeof(folder));
	if (stat(folder, &st) < 0)
		return jt__fail(err, JT_ENOENT, name, "'%s': directory '%s': %s", key, folder,
		                strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return jt__fail(err, JT_EINVAL, name, "'%s': '%s' is not a directory", key, folder);
	if (access(folder, W_OK | X_OK) < 0)
		return jt__fail(err, JT_EPERM, name, "'%s': cannot write to directory '%s': %s",
		                key, folder, strerror(errno));
	return JT_OK;
}

/* Whether @path ("": not set, "-": stdout) can be appended to; @set_aside: begun anew, as a
 * recording is. */
static int check_output(const char *path, bool set_aside, const char *key, const char *name,
                        struct jt_error *err)
{
	struct stat st;

	if (!*path || strcmp(path, "-") == 0)
		return JT_OK;
	if (stat(path, &st) < 0)
		return check_folder(path, key, name, err);
	if (S_ISDIR(st.st_mode))
		return jt__fail(err, JT_EINVAL, name, "'%s': '%s' is a directory", key, path);
	if (set_aside && S_ISREG(st.st_mode) && st.st_size)
		return check_folder(path, key, name, err);
	if (access(path, W_OK) < 0)
		return jt__fail(err, JT_EPERM, name, "'%s': cannot write to '%s': %s", key, path,
		                strerror(errno));
	return JT_OK;
}

static int check_upstream(const struct jt_config *cfg, size_t i, const char *name,
                          struct jt_error *err)
{
	const struct jt_config_upstream *u = &cfg->upstreams[i];
	struct jt_question q;
	struct jt_error why;
	int status;

	if (*u->gpu && jt__ask_gpu(u->gpu, &q, &why) < 0)
		return jt__fail(err, JT_ENOENT, name, "'upstreams[%zu].gpu': %s", i, why.message);
	status = jt__deployment_question(u, NULL, 0, &q, &why);
	if (status < 0 && status != JT_ENOTSUP)
		return jt__fail(err, status, name, "'upstreams[%zu].%s': %s", i, why.where,
		                why.message);
	return JT_OK;
}

/* A model that was named can be read. */
static int check_prediction(const struct jt_config *cfg, const char *name, struct jt_error *err)
{
	struct jt_fitted *model;
	struct jt_error why;
	int status;

	if (!*cfg->prediction.fitted && !*cfg->prediction.factors)
		return JT_OK;
	status = jt__estimate_model(cfg, &model, &why);
	if (status < 0)
		return jt__fail(err, status, name, "'%s': %s", why.where, why.message);
	jt__fitted_free(model);
	return JT_OK;
}

int jt__check_config(const struct jt_config *cfg, const char *name, struct jt_error *err)
{
	size_t n = strlen(name), room = sizeof(err->where) - 1;
	int status;

	name += n > room ? n - room : 0; /* of a long path the end tells more */
	status = check_output(cfg->telemetry.access_log, false, "telemetry.access_log", name, err);
	if (status == JT_OK)
		status = check_output(cfg->metering.recording, true, "metering.recording", name,
		                      err);
	if (status == JT_OK)
		status = check_prediction(cfg, name, err);
	for (size_t i = 0; i < cfg->n_upstreams && status == JT_OK; i++)
		status = check_upstream(cfg, i, name, err);
	return status;
}
