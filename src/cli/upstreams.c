/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "cli/upstreams.h"
#include "gateway/deployment.h"

static const struct jt_config_upstream *find(const struct jt_config *c, const char *name)
{
	for (size_t i = 0; i < c->n_upstreams; i++)
		if (strcmp(c->upstreams[i].name, name) == 0)
			return &c->upstreams[i];
	return NULL;
}

/* No driver is asked what its GPUs are: records may have been brought from another machine. */
static int ask(void *user, const char *name, size_t n_gpus, struct jt_question *ret,
               struct jt_error *err)
{
	const struct jt_cli_upstreams *u = user;
	const struct jt_config_upstream *c = find(u->config, name);
	struct jt_error why;
	int status;

	if (!c)
		return jt__fail(err, JT_ENOTSUP, "upstreams",
		                "'%.60s' has no upstream '%s': give it one, with `architecture:` "
		                "and `gpu:`",
		                u->path, name);
	status = jt__deployment_question(c, NULL, n_gpus, ret, &why);
	if (status == JT_ENOTSUP)
		jt__fail(err, status, "upstreams",
		         "upstream '%s' of '%.60s' does not say what it is: set `%s:`", name,
		         u->path, why.where);
	else if (status < 0)
		jt__fail(err, status, u->path, "upstream '%s', `%s`: %s", name, why.where,
		         why.message);
	return status;
}

int jt__upstreams_open(const char *path, struct jt_cli_upstreams *ret, struct jt_error *err)
{
	*ret = (struct jt_cli_upstreams){ .path = path, .upstreams = { .ask = ask, .user = ret } };
	return jt__config_load(path, &ret->config, err);
}

void jt__upstreams_close(struct jt_cli_upstreams *u)
{
	jt__config_free(u->config);
	u->config = NULL;
}
