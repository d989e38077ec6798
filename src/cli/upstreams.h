/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLI_UPSTREAMS_H
#define JT_CLI_UPSTREAMS_H
/* What records ran on, as the gateway's own configuration says it of its upstreams. One thread. */
#include "config/config.h"
#include "trainer/cells.h"

struct jt_cli_upstreams {
	struct jt_config *config;
	const char *path;
	struct jt_upstreams upstreams; /* what cells ask */
};

/* JT_EINVAL and what reading a file may give. *ret is not to be moved; to jt__upstreams_close(). */
int jt__upstreams_open(const char *path, struct jt_cli_upstreams *ret, struct jt_error *err);
void jt__upstreams_close(struct jt_cli_upstreams *u); /* accepts one that is zeroed */

#endif
