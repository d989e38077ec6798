/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of its corpus, one TAP line each: what was found once stays
 * found. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An exact heap copy, so that a sanitizer sees a read beyond the end. */
static int run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = -1;
	int ok = 0;

	if (f && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size >= 0) {
		rewind(f);
		data = malloc(size ? (size_t)size : 1);
		ok = data && fread(data, 1, (size_t)size, f) == (size_t)size &&
		     LLVMFuzzerTestOneInput(data, (size_t)size) == 0;
	}
	free(data);
	if (f)
		fclose(f);
	return ok;
}

static int is_file(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

int main(void)
{
	struct dirent **names;
	int n = scandir(CORPUS, &names, is_file, alphasort), n_failed = 0;

	if (n <= 0) {
		printf("Bail out! no inputs in '%s'\n", CORPUS);
		return 1;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		char path[1024];
		int ok;

		snprintf(path, sizeof(path), "%s/%s", CORPUS, names[i]->d_name);
		ok = run_file(path);
		printf("%sok %d - %s\n", ok ? "" : "not ", i + 1, names[i]->d_name);
		n_failed += !ok;
		free(names[i]);
	}
	free(names);
	return n_failed != 0;
}
