/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TREE_H
#define JT_TREE_H
/*
 * Directories that stand for a machine: copies of those in tests/data/sysfs that a test may change.
 * Below /tmp, so that another user can look into them. Single-threaded.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tap.h"

#define TREE(name) JT_SOURCE_ROOT "/tests/data/sysfs/" name

struct tree {
	char root[64];
};

static inline void tree_run(const char *command, const char *from, const char *path)
{
	char line[1024];

	snprintf(line, sizeof(line), "%s %s '%s'", command, from, path);
	check(system(line) == 0);
}

static inline const char *tree_path(const struct tree *t, const char *path)
{
	static char full[512];

	snprintf(full, sizeof(full), "%s%.400s", t->root, path);
	return full;
}

/* @from: a tree to begin with, or NULL. */
static inline struct tree tree_new(const char *from)
{
	struct tree t = { "/tmp/jouletap-tree-XXXXXX" };

	check(mkdtemp(t.root) != NULL);
	chmod(t.root, 0755);
	if (from)
		tree_run("cp -rT", from, t.root);
	return t;
}

static inline void tree_remove(const struct tree *t, const char *path)
{
	tree_run("rm", "-r", tree_path(t, path));
}

static inline void tree_free(const struct tree *t)
{
	tree_remove(t, "");
}

static inline void tree_write(const struct tree *t, const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(tree_path(t, path), "w"); /* the same file, where there is one */

	if (!f) {
		tree_run("install -D -m 644", "/dev/null", tree_path(t, path));
		f = fopen(tree_path(t, path), "w");
	}
	if (!check(f != NULL))
		return;
	fwrite(bytes, 1, n, f);
	fclose(f);
}

static inline void tree_put(const struct tree *t, const char *path, const char *text)
{
	tree_write(t, path, text, strlen(text));
}

/* From here on nobody but root may read it, and we are not root. */
static inline void tree_deny(const struct tree *t, const char *path)
{
	chmod(tree_path(t, path), 0);
	if (geteuid() == 0)
		check(seteuid(65534) == 0);
}

static inline void tree_allow(void)
{
	if (getuid() == 0)
		check(seteuid(0) == 0);
}

#endif
