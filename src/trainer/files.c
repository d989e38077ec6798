/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "trainer/files.h"

int jt__file_write(const char *path, const char *bytes, size_t n, struct jt_error *err)
{
	char part[600];
	FILE *f;
	bool ok;

	if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
		return jt__fail(err, JT_EINVAL, "train", "path is too long: '%.100s…'", path);
	f = fopen(part, "we");
	if (!f)
		return jt__fail(err, JT_EIO, "train", "cannot write '%s': %s", path,
		                strerror(errno));
	ok = fwrite(bytes, 1, n, f) == n;
	ok = fclose(f) == 0 && ok;
	if (ok && rename(part, path) == 0)
		return JT_OK;
	jt__fail(err, JT_EIO, "train", "cannot write '%s': %s", path, strerror(errno));
	unlink(part);
	return JT_EIO;
}
