/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_YAMLFILE_H
#define JT_YAMLFILE_H
/* A YAML file in memory, and questions to it. One thread. */
#include <yaml.h>
#include "input/textfile.h"

#define JT_YAMLFILE_MAX_BYTES (1u << 20)

struct jt_yamlfile {
	const char *path; /* kept */
	yaml_document_t document;
	struct jt_error *err;
};

/* JT_EINVAL names the line; JT_ELIMIT; and what reading a file can give. */
int jt__yamlfile_load(struct jt_yamlfile *y, const char *path, struct jt_error *err);
int jt__yamlfile_parse(struct jt_yamlfile *y, const char *text, size_t n, const char *path,
                       struct jt_error *err);
void jt__yamlfile_close(struct jt_yamlfile *y);

yaml_node_t *jt__yamlfile_root(struct jt_yamlfile *y); /* NULL: the file is empty */
yaml_node_t *jt__yamlfile_node(struct jt_yamlfile *y, int index);
/* The value of @key, which must be a section, a list or a word. NULL: @map has none, or is NULL. */
int jt__yamlfile_get(struct jt_yamlfile *y, yaml_node_t *map, const char *key,
                     yaml_node_type_t kind, yaml_node_t **ret_node);
/* The text of a word. NULL: it is not one, or holds a NUL. */
const char *jt__yamlfile_text(const yaml_node_t *node);
int jt__yamlfile_real(struct jt_yamlfile *y, const yaml_node_t *node, const char *what,
                      double *ret_v);
int jt__yamlfile_fail(struct jt_yamlfile *y, const yaml_node_t *node, const char *fmt, ...)
	JT_PRINTF(3, 4);

#endif
