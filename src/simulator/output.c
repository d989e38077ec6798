/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "simulator/output.h"

#define MARK "{run_id}"

int jt__sim_output_path(const char *path, const char *run_id, char *out, size_t size,
                        struct jt_error *err)
{
	size_t n = 0;

	if (strstr(path, MARK) && strchr(run_id, '/'))
		return jt__fail(err, JT_EINVAL, "simulate",
		                "run id '%.100s' has a slash and cannot stand in a file's name",
		                run_id);
	while (*path) {
		bool marked = strncmp(path, MARK, strlen(MARK)) == 0;
		const char *piece = marked ? run_id : path;
		size_t len = marked ? strlen(run_id) : 1;

		if (n + len >= size)
			return jt__fail(err, JT_EINVAL, "simulate", "path is too long: '%.100s…'",
			                path);
		memcpy(out + n, piece, len);
		n += len;
		path += marked ? strlen(MARK) : 1;
	}
	out[n] = '\0';
	return JT_OK;
}

static int fail_errno(const char *doing, const char *path, struct jt_error *err)
{
	int status = errno == EACCES || errno == EPERM ? JT_EPERM : JT_EIO;

	return jt__fail(err, status, "simulate", "cannot %s '%s': %s", doing, path,
	                strerror(errno));
}

int jt__sim_output_dirs(const char *path, struct jt_error *err)
{
	char copy[JT_SIM_PATH_MAX];

	if (!jt__copy_text(copy, sizeof(copy), path, strlen(path)))
		return jt__fail(err, JT_EINVAL, "simulate", "path is too long: '%.100s…'", path);
	for (char *p = strchr(copy + 1, '/'); *copy && p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (mkdir(copy, 0777) < 0 && errno != EEXIST)
			return fail_errno("create the directory", copy, err);
		*p = '/';
	}
	return JT_OK;
}

int jt__sim_output_open(const char *path, int *ret_fd, struct jt_error *err)
{
	int fd, status = jt__sim_output_dirs(path, err);

	if (status < 0)
		return status;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return fail_errno("open", path, err);
	*ret_fd = fd;
	return JT_OK;
}

int jt__sim_output_write(int fd, const char *path, const void *bytes, size_t n,
                         struct jt_error *err)
{
	const char *p = bytes;

	while (n) {
		ssize_t wrote = write(fd, p, n);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return fail_errno("write", path, err);
		p += wrote;
		n -= (size_t)wrote;
	}
	return JT_OK;
}
