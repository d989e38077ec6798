/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "simulator/yamlfile.h"

#define MAX_DEPTH 16 /* the files that are read need 5 */

static int fail_memory(struct jt_error *err)
{
	return jt__fail(err, JT_ENOMEM, "simulate", "%s", jt_strerror(JT_ENOMEM));
}

static bool start(yaml_parser_t *p, const char *text, size_t n)
{
	if (!yaml_parser_initialize(p))
		return false;
	yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(p, (const unsigned char *)text, n);
	return true;
}

static int fail_parser(const yaml_parser_t *p, const char *path, struct jt_error *err)
{
	if (p->error == YAML_MEMORY_ERROR)
		return fail_memory(err);
	return jt__textfile_fail(err, path, p->problem_mark.line + 1, "not valid YAML: %s",
	                         p->problem ? p->problem : "unknown");
}

/* libyaml's time grows with the square of the depth, so that it is looked at before the rest is. */
static int check_depth(const char *text, size_t n, const char *path, struct jt_error *err)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_parser_t p;
	int status = JT_OK, depth = 0;

	if (!start(&p, text, n))
		return fail_memory(err);
	while (!status && type != YAML_STREAM_END_EVENT) {
		yaml_event_t event;

		if (!yaml_parser_parse(&p, &event)) {
			status = fail_parser(&p, path, err);
			break;
		}
		type = event.type;
		depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
		depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
		if (depth > MAX_DEPTH)
			status = jt__textfile_fail(err, path, event.start_mark.line + 1,
			                           "sections and lists are nested too deep");
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&p);
	return status;
}

int jt__yamlfile_parse(struct jt_yamlfile *y, const char *text, size_t n, const char *path,
                       struct jt_error *err)
{
	yaml_parser_t p;
	int status = check_depth(text, n, path, err);

	if (status)
		return status;
	y->path = path;
	y->err = err;
	if (!start(&p, text, n))
		return fail_memory(err);
	if (!yaml_parser_load(&p, &y->document))
		status = fail_parser(&p, path, err);
	yaml_parser_delete(&p);
	return status;
}

int jt__yamlfile_load(struct jt_yamlfile *y, const char *path, struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_YAMLFILE_MAX_BYTES);
	status = jt__textfile_read(path, "simulate", &text, err);
	if (!status)
		status = jt__yamlfile_parse(y, jt__buf_bytes(&text), jt__buf_len(&text), path, err);
	jt__buf_fini(&text);
	return status;
}

void jt__yamlfile_close(struct jt_yamlfile *y)
{
	yaml_document_delete(&y->document);
}

yaml_node_t *jt__yamlfile_root(struct jt_yamlfile *y)
{
	return yaml_document_get_root_node(&y->document);
}

yaml_node_t *jt__yamlfile_node(struct jt_yamlfile *y, int index)
{
	return yaml_document_get_node(&y->document, index);
}

int jt__yamlfile_fail(struct jt_yamlfile *y, const yaml_node_t *node, const char *fmt, ...)
{
	char text[sizeof(y->err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return jt__textfile_fail(y->err, y->path, node->start_mark.line + 1, "%s", text);
}

const char *jt__yamlfile_text(const yaml_node_t *node)
{
	const char *text = (const char *)node->data.scalar.value;

	return node->type == YAML_SCALAR_NODE && strlen(text) == node->data.scalar.length ? text
	                                                                                  : NULL;
}

int jt__yamlfile_get(struct jt_yamlfile *y, yaml_node_t *map, const char *key,
                     yaml_node_type_t kind, yaml_node_t **ret_node)
{
	*ret_node = NULL;
	if (!map)
		return JT_OK;
	for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
	     p++) {
		const char *name = jt__yamlfile_text(jt__yamlfile_node(y, p->key));
		yaml_node_t *value = jt__yamlfile_node(y, p->value);

		if (!name || strcmp(name, key) != 0)
			continue;
		if (value->type != kind)
			return jt__yamlfile_fail(y, value, "'%s' must be %s", key,
			                         kind == YAML_MAPPING_NODE    ? "a section"
			                         : kind == YAML_SEQUENCE_NODE ? "a list"
			                                                      : "a single value");
		*ret_node = value;
		return JT_OK;
	}
	return JT_OK;
}

int jt__yamlfile_real(struct jt_yamlfile *y, const yaml_node_t *node, const char *what,
                      double *ret_v)
{
	const char *text = jt__yamlfile_text(node);

	if (text && jt__textfile_real(text, strlen(text), ret_v))
		return JT_OK;
	return jt__yamlfile_fail(y, node, "'%s' must be a number, not '%.40s'", what,
	                         text ? text : "…");
}
