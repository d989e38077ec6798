/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PROFILE_PATH_H
#define JT_PROFILE_PATH_H
/* Where the files of a profile are. Any thread. */
#include "simulator/profile.h"

#define JT_PROFILE_MAX_PATH 1024 /* bytes, with the 0 */

/*
 * The directory of the variant, which holds meta.yaml and the tables of each number of ranks.
 * JT_ENOENT: it is not there, or has none for so many ranks; says which there are.
 */
int jt__profile_find(const struct jt_profile_where *w, char ret_path[JT_PROFILE_MAX_PATH],
                     struct jt_error *err);
/* The file that lists the layers of this type of model. */
int jt__profile_find_catalog(const struct jt_profile_where *w, char ret_path[JT_PROFILE_MAX_PATH],
                             struct jt_error *err);
/* "DIRECTORY/NAME"; JT_EINVAL: too long. */
int jt__profile_join(char ret_path[JT_PROFILE_MAX_PATH], const char *directory, const char *name,
                     struct jt_error *err);

#endif
