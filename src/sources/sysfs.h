/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SYSFS_H
#define JT_SYSFS_H
/*
 * Small text files below a root directory, as the kernel shows its sensors. @root is "" for this
 * machine's own. Any thread.
 */
#include "base/base.h"

#define JT_SYSFS_PATH 512

/* Of the options' root: "" for NULL and "/". */
const char *jt__sysfs_root(const char *root);

/* What to say of a kernel module that may be missing: only this machine's own can be loaded. */
const char *jt__module_hint(const char *root, const char *module, char text[96]);

/* The text of @root/@path into @text without its line end; the errno otherwise. */
int jt__read_text(const char *root, const char *path, char *text, size_t size);

/* A whole text, up to a line end, that is a number; false otherwise. */
bool jt__parse_u64(const char *text, uint64_t *ret_value);

/* The number in @root/@path; its errno, or EINVAL where the text is none. */
int jt__read_number(const char *root, const char *path, uint64_t *ret_value);

/* @root/@path for reading; -1 with errno set. */
int jt__open_file(const char *root, const char *path);

/*
 * The number that @fd shows now. JT_EPERM; JT_ELOST: the device behind it sleeps or went away;
 * JT_EIO: it cannot be read, or is no number.
 */
int jt__reread_number(int fd, uint64_t *ret_value);

/* The same with a sign. */
int jt__reread_signed(int fd, int64_t *ret_value);

/*
 * The numbers behind @prefix of the entries of @root/@path ("hwmon" of hwmon0, hwmon3 …), rising,
 * at most @max. 0 also where there is no such directory.
 */
size_t jt__list_numbered(const char *root, const char *path, const char *prefix, unsigned *ret_list,
                         size_t max);

/* The value of KEY= in the file @root/@path, a uevent; false if it has none. */
bool jt__read_uevent(const char *root, const char *path, const char *key, char *text, size_t size);

#endif
