/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "ledger/ledger.h"

#define LOG_MODULE "ledger"
#define COMPLAIN_NS (60 * JT_NS_PER_S)

struct jt_lines {
	char path[512];
	int fd;
	struct jt_buf line;
	bool torn; /* half a line is in the file: the next one begins on a new one */
	uint64_t n_lost;
	uint64_t complained_ns;
};

static int open_path(const char *path, int *ret_fd, struct jt_error *err)
{
	int fd = strcmp(path, "-") == 0
	                 ? dup(STDOUT_FILENO)
	                 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		return jt__fail(err, errno == EACCES ? JT_EPERM : JT_EIO, "ledger",
		                "cannot open '%s': %s", path, strerror(errno));
	*ret_fd = fd;
	return JT_OK;
}

int jt__lines_open(const char *path, struct jt_lines **ret_lines, struct jt_error *err)
{
	struct jt_lines *l = jt__alloc(1, sizeof(*l));
	int status;

	if (!l)
		return jt__fail(err, JT_ENOMEM, "ledger", "out of memory");
	jt__buf_init(&l->line, 1 << 20);
	if (!jt__copy_text(l->path, sizeof(l->path), path, strlen(path)))
		status = jt__fail(err, JT_EINVAL, "ledger", "path is too long: '%.100s…'", path);
	else
		status = open_path(path, &l->fd, err);
	if (status < 0) {
		jt__free(l);
		return status;
	}
	*ret_lines = l;
	return JT_OK;
}

int jt__lines_begin(const char *path, struct jt_lines **ret_lines, struct jt_error *err)
{
	char aside[600], when[32];
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		jt__format_rfc3339((uint64_t)st.st_mtim.tv_sec * JT_NS_PER_S +
		                           (uint64_t)st.st_mtim.tv_nsec,
		                   when);
		snprintf(aside, sizeof(aside), "%s.%s", path, when);
		if (rename(path, aside) < 0)
			return jt__fail(err, JT_EIO, "ledger", "cannot move '%s' aside: %s", path,
			                strerror(errno));
	}
	return jt__lines_open(path, ret_lines, err);
}

static int lost(struct jt_lines *l, const char *why)
{
	uint64_t now = jt__now_ns();

	l->n_lost++;
	if (!l->complained_ns || now - l->complained_ns > COMPLAIN_NS) {
		log_error("cannot append to '%s': %s (%llu lines lost so far)", l->path, why,
		          (unsigned long long)l->n_lost);
		l->complained_ns = now;
	}
	return JT_EIO;
}

int jt__lines_append(struct jt_lines *l, const char *line, size_t n)
{
	ssize_t wrote;

	jt__buf_clear(&l->line);
	if (l->torn)
		jt__buf_append(&l->line, "\n", 1);
	jt__buf_append(&l->line, line, n);
	jt__buf_append(&l->line, "\n", 1);
	if (l->line.failed)
		return lost(l, "line too long");
	do
		wrote = write(l->fd, jt__buf_bytes(&l->line), jt__buf_len(&l->line));
	while (wrote < 0 && errno == EINTR);
	if (wrote < 0)
		return lost(l, strerror(errno));
	l->torn = (size_t)wrote < jt__buf_len(&l->line);
	return l->torn ? lost(l, "disk full") : JT_OK;
}

int jt__lines_reopen(struct jt_lines *l, struct jt_error *err)
{
	int fd, status = open_path(l->path, &fd, err);

	if (status < 0)
		return status;
	close(l->fd);
	l->fd = fd;
	return JT_OK;
}

uint64_t jt__lines_lost(const struct jt_lines *l)
{
	return l->n_lost;
}

void jt__lines_close(struct jt_lines *l)
{
	if (!l)
		return;
	close(l->fd);
	jt__buf_fini(&l->line);
	jt__free(l);
}
