/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FILES_H
#define JT_FILES_H
/* Whole files. Any thread. */
#include "base/base.h"

/* Replaces @path as a whole, or leaves it as it is. JT_EIO. */
int jt__file_write(const char *path, const char *bytes, size_t n, struct jt_error *err);

#endif
