/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CHECK_H
#define JT_CHECK_H
/* What can be wrong with a configuration although each of its values is well formed. */
#include "config/config.h"

/*
 * Looks at the files and names that @cfg refers to; changes nothing. @err->where is @name (the
 * file's) and the message begins with the key. JT_EINVAL, JT_ENOENT, JT_EPERM, JT_EIO, JT_ENOMEM.
 */
int jt__check_config(const struct jt_config *cfg, const char *name, struct jt_error *err);

#endif
