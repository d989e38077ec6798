/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DATA_H
#define JT_DATA_H
/* The files that come with the program: models, GPUs, profiles. Any thread. */
#include <stdbool.h>
#include <stddef.h>

/*
 * The directory that has @below of them: beside the sources, or where they were installed. NULL:
 * neither has.
 */
const char *jt__data_root(const char *below);
/* The path of @below there; false: neither has it, or @ret_path cannot hold it. */
bool jt__data_find(const char *below, char *ret_path, size_t size);

#endif
