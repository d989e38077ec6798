/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Whatever the text, it is a configuration or an error with a message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct jt_config *cfg = NULL;
	struct jt_error err = { 0 };
	int status = jt__config_parse((const char *)data, n, "fuzz", &cfg, &err);

	if ((status == JT_OK) != (cfg != NULL) || (status != JT_OK) != (err.message[0] != '\0'))
		__builtin_trap();
	jt__config_free(cfg);
	return 0;
}
