/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PIM_H
#define JT_PIM_H
/* Processing in memory: what a DRAM description (ini) says of a node's memory. One thread. */
#include "simulator/cluster.h"

#define JT_PIM_MAX_BYTES (1u << 20)

/*
 * @mem_gb of the DRAM that @path describes; its name is the file's. Errors name file and line.
 * JT_ENOENT, JT_EINVAL and what reading a file can give.
 */
int jt__pim_load(const char *path, double mem_gb, struct jt_pim *ret_pim, struct jt_error *err);
int jt__pim_parse(const char *text, size_t n, const char *path, double mem_gb,
                  struct jt_pim *ret_pim, struct jt_error *err);

#endif
