/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sources/sysfs.h"

const char *jt__sysfs_root(const char *root)
{
	return root && strcmp(root, "/") != 0 ? root : "";
}

const char *jt__module_hint(const char *root, const char *module, char text[96])
{
	snprintf(text, 96,
	         root[0] ? "the kernel module %s may be missing there" : "try: sudo modprobe %s",
	         module);
	return text;
}

int jt__open_file(const char *root, const char *path)
{
	char full[JT_SYSFS_PATH];

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	/* a pipe in the place of a file is not waited for */
	return open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/* The whole file, its line ends included; the errno otherwise. */
static int read_file(const char *root, const char *path, char *text, size_t size)
{
	int fd = jt__open_file(root, path), error;
	ssize_t n;

	if (fd < 0)
		return errno;
	n = read(fd, text, size - 1);
	error = errno;
	close(fd);
	if (n < 0)
		return error;
	text[n] = '\0';
	return 0;
}

int jt__read_text(const char *root, const char *path, char *text, size_t size)
{
	int error = read_file(root, path, text, size);

	if (error == 0)
		text[strcspn(text, "\n")] = '\0';
	return error;
}

bool jt__parse_u64(const char *text, uint64_t *ret_value)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || (*end && *end != '\n') || errno)
		return false;
	*ret_value = value;
	return true;
}

int jt__read_number(const char *root, const char *path, uint64_t *ret_value)
{
	char text[32];
	int error = jt__read_text(root, path, text, sizeof(text));

	if (error)
		return error;
	return jt__parse_u64(text, ret_value) ? 0 : EINVAL;
}

/* What @fd shows now, from its beginning. */
static int reread(int fd, char text[32])
{
	ssize_t n = pread(fd, text, 31, 0);

	if (n >= 0) {
		text[n] = '\0';
		return JT_OK;
	}
	switch (errno) {
	case EACCES:
		return JT_EPERM;
	case EPERM: /* the file is open: it is the driver that refuses, while the device sleeps */
	case ENODEV:
	case ENXIO:
		return JT_ELOST;
	default:
		return JT_EIO;
	}
}

int jt__reread_number(int fd, uint64_t *ret_value)
{
	char text[32];
	int status = reread(fd, text);

	if (status < 0)
		return status;
	return jt__parse_u64(text, ret_value) ? JT_OK : JT_EIO;
}

int jt__reread_signed(int fd, int64_t *ret_value)
{
	char text[32];
	int status = reread(fd, text);
	bool negative = status == JT_OK && text[0] == '-';
	uint64_t value;

	if (status < 0)
		return status;
	if (!jt__parse_u64(text + negative, &value) || value > INT64_MAX)
		return JT_EIO;
	*ret_value = negative ? -(int64_t)value : (int64_t)value;
	return JT_OK;
}

static int by_number(const void *a, const void *b)
{
	const unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

size_t jt__list_numbered(const char *root, const char *path, const char *prefix, unsigned *ret_list,
                         size_t max)
{
	char full[JT_SYSFS_PATH];
	size_t n = 0, length = strlen(prefix);
	struct dirent *entry;
	uint64_t number;
	DIR *dir;

	if ((size_t)snprintf(full, sizeof(full), "%s%s", root, path) >= sizeof(full))
		return 0;
	dir = opendir(full);
	if (!dir)
		return 0;
	while (n < max && (entry = readdir(dir)))
		if (strncmp(entry->d_name, prefix, length) == 0 &&
		    jt__parse_u64(entry->d_name + length, &number) && number <= UINT16_MAX)
			ret_list[n++] = (unsigned)number;
	closedir(dir);
	qsort(ret_list, n, sizeof(ret_list[0]), by_number);
	return n;
}

bool jt__read_uevent(const char *root, const char *path, const char *key, char *text, size_t size)
{
	char all[1024], *line = all;
	size_t length = strlen(key);

	if (read_file(root, path, all, sizeof(all)) != 0)
		return false;
	while (strncmp(line, key, length) != 0 || line[length] != '=') {
		line = strchr(line, '\n');
		if (!line)
			return false;
		line++;
	}
	line += length + 1;
	return jt__copy_text(text, size, line, strcspn(line, "\n"));
}
