/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TEXTFILE_H
#define JT_TEXTFILE_H
/* A file in one piece, numbers in it, and errors that say on which line. Any thread. */
#include "base/buf.h"

/*
 * Reads all of @path into @text, which has been initialised with the most that is allowed; @who is
 * blamed. JT_ELIMIT beyond that, JT_ENOENT, JT_EPERM, JT_EIO, JT_ENOMEM.
 */
int jt__textfile_read(const char *path, const char *who, struct jt_buf *text, struct jt_error *err);
/* The same of what is left of @fd, which stays open; messages call it @path. */
int jt__textfile_read_fd(int fd, const char *path, const char *who, struct jt_buf *text,
                         struct jt_error *err);

/* JT_EINVAL, where "PATH:LINE"; of a long path the end is kept. */
int jt__textfile_fail(struct jt_error *err, const char *path, size_t line, const char *fmt, ...)
	JT_PRINTF(4, 5);

/* All of @n bytes as a whole number up to @max. */
bool jt__textfile_whole(const char *p, size_t n, uint64_t max, uint64_t *ret_v);

/*
 * All of @n bytes as a decimal number like "-12.5e-3", the nearest double; no "nan", no "inf", and
 * false where it is too large for a double.
 */
bool jt__textfile_real(const char *p, size_t n, double *ret_v);

#endif
