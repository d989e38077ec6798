/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "config/config.h"
#include "config/keys.h"
#include "config/read.h"

#define MAX_WORKERS 64

/* One worker for each processor that runs us. */
static uint64_t default_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return JT_MAX(1, JT_MIN(n, MAX_WORKERS));
}

int jt__config_new(struct jt_config **ret_cfg, struct jt_error *err)
{
	struct jt_config *cfg = jt__alloc(1, sizeof(*cfg));

	if (!cfg)
		return jt__fail(err, JT_ENOMEM, "config", "%s", jt_strerror(JT_ENOMEM));
	jt__key_defaults(NULL, cfg);
	cfg->workers = default_workers();
	*ret_cfg = cfg;
	return JT_OK;
}

void jt__config_free(struct jt_config *cfg)
{
	jt__free(cfg);
}

int jt__config_parse(const char *text, size_t n, const char *name, struct jt_config **ret_cfg,
                     struct jt_error *err)
{
	struct jt_config *cfg;
	int status;

	if (n > JT_CONFIG_MAX_BYTES)
		return jt__fail(err, JT_ELIMIT, name, "the file is larger than 1 MiB");
	status = jt__config_new(&cfg, err);
	if (status)
		return status;
	status = jt__config_read(text, n, name, cfg, err);
	if (status) {
		jt__config_free(cfg);
		return status;
	}
	*ret_cfg = cfg;
	return JT_OK;
}

static int status_of_errno(int e)
{
	return e == ENOENT ? JT_ENOENT : e == EACCES ? JT_EPERM : JT_EIO;
}

/* One byte more than is allowed may come in, so that the parser sees that it is too much. */
static int read_file(int fd, struct jt_buf *b)
{
	for (;;) {
		char *p = jt__buf_reserve(b, 4096);
		ssize_t n;

		if (!p)
			return jt__buf_len(b) > JT_CONFIG_MAX_BYTES ? JT_OK : JT_ENOMEM;
		n = read(fd, p, 4096);
		if (n < 0)
			return status_of_errno(errno);
		if (n == 0)
			return JT_OK;
		jt__buf_commit(b, n);
	}
}

int jt__config_load(const char *path, struct jt_config **ret_cfg, struct jt_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct jt_buf text;
	int status;

	if (fd < 0)
		return jt__fail(err, status_of_errno(errno), "config", "cannot open '%s': %s", path,
		                strerror(errno));
	jt__buf_init(&text, JT_CONFIG_MAX_BYTES + 8192);
	status = read_file(fd, &text);
	close(fd);
	if (status == JT_ENOMEM)
		jt__fail(err, status, "config", "%s", jt_strerror(status));
	else if (status)
		jt__fail(err, status, "config", "cannot read '%s': %s", path, strerror(errno));
	else
		status = jt__config_parse(text.data ? jt__buf_bytes(&text) : "", jt__buf_len(&text),
		                          path, ret_cfg, err);
	jt__buf_fini(&text);
	return status;
}

/* Sets the key at @path as if it stood in a file. */
static int set_key(const char *path, void *item, const char *text, size_t n, struct jt_error *err)
{
	const struct jt_key *k = jt__config_keys;
	struct jt_error why;

	while (strcmp(k->path, path) != 0)
		k++;
	if (jt__key_set(k, item, text, n, true, &why))
		return jt__fail(err, JT_EINVAL, "--upstream", "'%.*s' %s", (int)JT_MIN(n, 60), text,
		                why.message);
	return JT_OK;
}

static int add_domains(struct jt_config_upstream *u, const char *list, struct jt_error *err)
{
	while (*list) {
		size_t n = strcspn(list, ",");
		int status;

		if (u->n_domains == JT_ARRAY_LEN(u->domains))
			return jt__fail(err, JT_ELIMIT, "--upstream",
			                "'%s' has more than %zu domains", u->url,
			                JT_ARRAY_LEN(u->domains));
		status = set_key("upstreams[].domains[]", u->domains[u->n_domains], list, n, err);
		if (status)
			return status;
		u->n_domains++;
		list += n + (list[n] == ',');
	}
	return JT_OK;
}

int jt__config_add_upstream(struct jt_config *cfg, const char *text, struct jt_error *err)
{
	struct jt_config_upstream *u = &cfg->upstreams[cfg->n_upstreams];
	size_t n = strcspn(text, "=");
	struct jt_error why;
	int status;

	if (cfg->n_upstreams == JT_ARRAY_LEN(cfg->upstreams))
		return jt__fail(err, JT_ELIMIT, "--upstream", "more than %zu upstreams",
		                JT_ARRAY_LEN(cfg->upstreams));
	memset(u, 0, sizeof(*u));
	jt__key_defaults(jt__key_child(jt__key_child(NULL, "upstreams"), "[]"), u);
	status = set_key("upstreams[].url", u, text, n, err);
	if (!status && text[n] == '=')
		status = add_domains(u, text + n + 1, err);
	if (status)
		return status;
	jt__check_upstream(u, NULL);
	cfg->n_upstreams++;
	if (jt__check_upstreams(cfg, &why)) {
		cfg->n_upstreams--;
		return jt__fail(err, JT_EINVAL, "--upstream", "'%s' is an upstream already",
		                u->url);
	}
	return JT_OK;
}

bool jt__config_inactive(const struct jt_config *cfg, struct jt_buf *b)
{
	const char *separator = "set but without effect yet: ";
	bool any = false;

	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		if (!k->inactive || !cfg->is_set[k - jt__config_keys])
			continue;
		jt__buf_printf(b, "%s%s", separator, k->path);
		separator = ", ";
		any = true;
	}
	return any;
}
