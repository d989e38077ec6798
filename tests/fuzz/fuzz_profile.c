/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "simulator/profile.h"

#define DIRECTORY "/perf/g/m/v/tp1"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An input is these files, one after the other, with a byte of 0 between them. */
static const char *const files[] = {
	"/models/t.yaml",           DIRECTORY "/dense.csv", DIRECTORY "/per_sequence.csv",
	DIRECTORY "/attention.csv", DIRECTORY "/moe.csv",   "/perf/g/m/v/meta.yaml",
	DIRECTORY "/skew_fit.csv"
};

static char root[64];

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static const char *full(const char *path)
{
	static char text[128];

	snprintf(text, sizeof(text), "%s%s", root, path);
	return text;
}

static void remove_all(void)
{
	const char *const directories[] = { DIRECTORY, "/perf/g/m/v", "/perf/g/m", "/perf/g",
		                            "/perf",   "/models",     "" };

	for (size_t i = 0; i < JT_ARRAY_LEN(files); i++)
		unlink(full(files[i]));
	for (size_t i = 0; i < JT_ARRAY_LEN(directories); i++)
		rmdir(full(directories[i]));
}

static void make_directories(void)
{
	const char *const directories[] = { "/models",   "/perf",       "/perf/g",
		                            "/perf/g/m", "/perf/g/m/v", DIRECTORY };

	if (root[0])
		return;
	/* in memory: thirty times as many inputs in a second */
	strcpy(root, "/dev/shm/jouletap-fuzz-XXXXXX");
	must(mkdtemp(root) != NULL);
	atexit(remove_all);
	for (size_t i = 0; i < JT_ARRAY_LEN(directories); i++)
		must(mkdir(full(directories[i]), 0700) == 0);
}

static void put_files(const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(files); i++) {
		const uint8_t *zero = n ? memchr(data, 0, n) : NULL;
		size_t length = zero ? (size_t)(zero - data) : n;
		FILE *f = fopen(full(files[i]), "w");

		must(f && fwrite(data, 1, length, f) == length && fclose(f) == 0);
		length += zero != NULL;
		data += length;
		n -= length;
	}
}

/* Whatever is looked up, it takes time, and no more than 64 bits hold. */
static void look_up(const struct jt_profile *p, uint64_t n, uint64_t kv)
{
	struct jt_attention a = { n, kv, n, n * kv + 1, kv / 2, 2 * kv + 1 };

	for (int part = 0; part < JT_N_PARTS; part++) {
		for (uint32_t i = 0; i < p->parts[part].n; i++) {
			const struct jt_layer *l = &p->parts[part].layers[i];
			uint64_t ns;

			if (l->kind == JT_LAYER_ATTENTION)
				ns = jt__profile_attention_ns(p, &a, kv % 2);
			else if (l->kind == JT_LAYER_MOE)
				ns = jt__profile_moe_ns(p, n, kv);
			else
				ns = jt__profile_layer_ns(p, l, n);
			must(ns >= 1 && ns <= UINT64_C(1) << 63);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint64_t sizes[] = { 0, 1, 2, 7, 100, 5000, 99999999 };
	struct jt_profile_where where = {
		.hardware = "g", .model = "m", .type = "t", .variant = "v"
	};
	struct jt_profile *p = NULL;
	struct jt_error err = { 0 };
	int status;

	make_directories();
	put_files(data, n);
	where.root = root;
	where.tp = 1;
	status = jt__profile_load(&where, &p, &err);
	must((status == JT_OK) == (p != NULL) && (status != JT_OK) == (err.message[0] != '\0'));
	for (size_t i = 0; p && i < JT_ARRAY_LEN(sizes); i++)
		for (size_t k = 0; k < JT_ARRAY_LEN(sizes); k++)
			look_up(p, sizes[i], sizes[k]);
	jt__profile_free(p);
	return 0;
}
