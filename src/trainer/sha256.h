/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SHA256_H
#define JT_SHA256_H
/* FIPS 180-4, so that a model names the data that it was fitted to. Pure, any thread. */
#include "base/base.h"

struct jt_sha256 {
	uint32_t h[8];
	uint64_t n; /* bytes so far */
	unsigned char block[64];
};

void jt__sha256_init(struct jt_sha256 *s);
void jt__sha256_add(struct jt_sha256 *s, const void *bytes, size_t n);
void jt__sha256_end(struct jt_sha256 *s, char ret_hex[65]);

#endif
