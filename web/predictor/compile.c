/* SPDX-License-Identifier: Apache-2.0 */
/* usage: compile MODEL.JSON MODEL.BIN: a model file as the block that WebAssembly takes. */
#include <stdio.h>
#include <string.h>
#include <errno.h>
#include "predictor/fitted.h"

static int save(const struct jt_fitted *f, const char *path)
{
	FILE *out = fopen(path, "wb");
	bool ok = out && fwrite(f, 1, f->size, out) == f->size;

	if (out && fclose(out) != 0)
		ok = false;
	if (!ok)
		fprintf(stderr, "cannot write '%s': %s\n", path, strerror(errno));
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct jt_error err = { .message = "" };
	struct jt_fitted *f = NULL;
	int failed;

	if (argc != 3) {
		fprintf(stderr, "usage: compile MODEL.JSON MODEL.BIN\n");
		return 2;
	}
	if (jt__fitted_load(argv[1], &f, &err)) {
		fprintf(stderr, "%s: %s\n", err.where, err.message);
		return 1;
	}
	failed = save(f, argv[2]);
	jt__fitted_free(f);
	return failed;
}
