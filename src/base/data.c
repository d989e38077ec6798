/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>
#include "base/base.h"
#include "base/data.h"

const char *jt__data_root(const char *below)
{
	static const char *const roots[] = { JT_SOURCE_DATA, JT_DATA_DIR };
	char path[4096];

	for (size_t i = 0; i < JT_ARRAY_LEN(roots); i++)
		if (snprintf(path, sizeof(path), "%s/%s", roots[i], below) < (int)sizeof(path) &&
		    access(path, R_OK) == 0)
			return roots[i];
	return NULL;
}

bool jt__data_find(const char *below, char *ret_path, size_t size)
{
	const char *root = jt__data_root(below);

	return root && snprintf(ret_path, size, "%s/%s", root, below) < (int)size;
}
