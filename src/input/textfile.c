/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "input/textfile.h"

#define MAX_NUMBER 80 /* bytes; a double has 17 digits that count */

static int status_of_errno(int e)
{
	return e == ENOENT || e == ENOTDIR ? JT_ENOENT : e == EACCES ? JT_EPERM : JT_EIO;
}

/* One read for a file whose size is known, and one that finds the end. */
static int read_all(int fd, struct jt_buf *text)
{
	struct stat st;
	size_t step = 4096;

	if (fstat(fd, &st) == 0 && st.st_size > 0 && (uint64_t)st.st_size < text->max)
		step = (size_t)st.st_size + 1;
	for (;;) {
		char *p = jt__buf_reserve(text, step);
		ssize_t n;

		if (!p)
			return jt__buf_len(text) + step > text->max ? JT_ELIMIT : JT_ENOMEM;
		n = read(fd, p, step);
		if (n < 0)
			return status_of_errno(errno);
		if (n == 0)
			return JT_OK;
		jt__buf_commit(text, (size_t)n);
		step = 4096;
	}
}

int jt__textfile_read_fd(int fd, const char *path, const char *who, struct jt_buf *text,
                         struct jt_error *err)
{
	int status = read_all(fd, text);

	if (status == JT_ELIMIT)
		jt__fail(err, status, who, "'%s' is larger than %zu MiB", path, text->max >> 20);
	else if (status == JT_ENOMEM)
		jt__fail(err, status, who, "%s", jt_strerror(status));
	else if (status)
		jt__fail(err, status, who, "cannot read '%s': %s", path, strerror(errno));
	return status;
}

int jt__textfile_read(const char *path, const char *who, struct jt_buf *text, struct jt_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int status;

	if (fd < 0)
		return jt__fail(err, status_of_errno(errno), who, "cannot open '%s': %s", path,
		                strerror(errno));
	status = jt__textfile_read_fd(fd, path, who, text, err);
	close(fd);
	return status;
}

int jt__textfile_fail(struct jt_error *err, const char *path, size_t line, const char *fmt, ...)
{
	char where[sizeof(err->where)], number[24], text[sizeof(err->message)];
	size_t room = sizeof(where) - (size_t)snprintf(number, sizeof(number), ":%zu", line) - 1;
	size_t n = strlen(path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(where, sizeof(where), "%s%s%s", n > room ? "…" : "",
	         n > room ? path + n - room + strlen("…") : path, number);
	return jt__fail(err, JT_EINVAL, where, "%s", text);
}

bool jt__textfile_whole(const char *p, size_t n, uint64_t max, uint64_t *ret_v)
{
	uint64_t v = 0;

	if (n == 0 || n > 19)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned char)p[i] - '0';

		if (digit > 9)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*ret_v = v;
	return true;
}

static size_t skip_digits(const char *p, size_t n, size_t i)
{
	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++;
	return i;
}

static bool slow_real(const char *p, size_t n, double *ret_v)
{
	char copy[MAX_NUMBER + 1];
	size_t i = *p == '-' || *p == '+', at;

	if (n > MAX_NUMBER)
		return false;
	at = i;
	i = skip_digits(p, n, i);
	if (i < n && p[i] == '.') {
		at++;
		i = skip_digits(p, n, i + 1);
	}
	if (i == at)
		return false;
	if (i < n && (p[i] == 'e' || p[i] == 'E')) {
		i += 1 + (i + 1 < n && (p[i + 1] == '-' || p[i + 1] == '+'));
		at = i;
		i = skip_digits(p, n, i);
		if (i == at)
			return false;
	}
	memcpy(copy, p, n);
	copy[n] = '\0';
	*ret_v = strtod(copy, NULL);
	return i == n && isfinite(*ret_v);
}

/*
 * Up to 15 digits are a whole double, and so is the power of ten: their quotient is rounded once,
 * as the nearest double of the text is.
 */
bool jt__textfile_real(const char *p, size_t n, double *ret_v)
{
	static const double tens[] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
		                       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
	size_t n_behind = 0, n_digits = 0;
	bool point = false;
	uint64_t v = 0;
	double exact;

	if (n == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned digit = (unsigned char)p[i] - '0';

		if (digit <= 9) {
			v = v * 10 + digit;
			n_behind += point;
			if (++n_digits > 15)
				return slow_real(p, n, ret_v);
		} else if (p[i] == '.' && !point) {
			point = true;
		} else {
			return slow_real(p, n, ret_v);
		}
	}
	exact = (double)v / tens[n_behind];
	if (n_digits)
		*ret_v = exact;
	return n_digits > 0;
}
