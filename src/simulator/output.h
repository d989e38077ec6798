/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_OUTPUT_H
#define JT_SIM_OUTPUT_H
/* Where results go: names of files, and the directories they need. One thread. */
#include "base/base.h"

#define JT_SIM_PATH_MAX 4096

/* @path with each "{run_id}" replaced. JT_EINVAL: longer than @size, or a @run_id with a slash. */
int jt__sim_output_path(const char *path, const char *run_id, char *out, size_t size,
                        struct jt_error *err);

/* Makes the directories that @path lies in. */
int jt__sim_output_dirs(const char *path, struct jt_error *err);

/* Both, then opens it for writing, empty. */
int jt__sim_output_open(const char *path, int *ret_fd, struct jt_error *err);

/* All of @n bytes. JT_EIO. */
int jt__sim_output_write(int fd, const char *path, const void *bytes, size_t n,
                         struct jt_error *err);

#endif
