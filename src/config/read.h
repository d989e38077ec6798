/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CONFIG_READ_H
#define JT_CONFIG_READ_H
/* YAML to struct jt_config, by way of the key table. */
#include "config/config.h"

/* Reads @text over what @cfg holds already. @name is the file's, for messages. */
int jt__config_read(const char *text, size_t n, const char *name, struct jt_config *cfg,
                    struct jt_error *err);

#endif
