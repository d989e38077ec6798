/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "simulator/cluster.h"

static const struct dtype {
	const char *name;
	const char *folder; /* of the profiles */
	uint32_t bytes;
} dtypes[] = {
	[JT_DTYPE_NONE] = { "", "", 0 },
	[JT_FLOAT16] = { "float16", "fp16", 2 },
	[JT_BFLOAT16] = { "bfloat16", "bf16", 2 },
	[JT_FLOAT32] = { "float32", "fp32", 4 },
	[JT_FP8] = { "fp8", "fp8", 1 },
	[JT_INT8] = { "int8", "int8", 1 },
};

const char *jt__dtype_name(enum jt_dtype t)
{
	return dtypes[t].name;
}

enum jt_dtype jt__dtype_find(const char *name)
{
	for (size_t i = 1; i < JT_ARRAY_LEN(dtypes); i++) {
		if (strcmp(dtypes[i].name, name) == 0)
			return (enum jt_dtype)i;
	}
	return JT_DTYPE_NONE;
}

uint32_t jt__dtype_bytes(enum jt_dtype t)
{
	return dtypes[t].bytes;
}

void jt__dtype_variant(enum jt_dtype t, bool kv_fp8, char out[16])
{
	snprintf(out, 16, "%s%s", dtypes[t].folder, kv_fp8 ? "-kvfp8" : "");
}
