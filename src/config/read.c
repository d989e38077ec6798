/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libyaml composes the document, aliases resolved to the nodes they name; the
 * walk below follows the key table and never the document, so its depth and
 * work are bounded by the table however often a node is named.
 */
#include <stdio.h>
#include <string.h>
#include <yaml.h>
#include "config/keys.h"
#include "config/read.h"

#define MAX_DEPTH 16 /* the key table needs 5 */

struct reader {
	const char *name;
	yaml_document_t *document;
	struct jt_config *cfg;
	struct jt_error *err;
};

/* "NAME:LINE"; of a long path the end is kept. */
static int fail_at(const struct reader *r, size_t line, const char *text)
{
	char where[sizeof(r->err->where)];
	char number[24];
	size_t room = sizeof(where) - snprintf(number, sizeof(number), ":%zu", line) - 1;
	size_t n = strlen(r->name);

	snprintf(where, sizeof(where), "%s%s", n > room ? r->name + n - room : r->name, number);
	return jt__fail(r->err, JT_EINVAL, where, "%s", text);
}

static int fail(const struct reader *r, const yaml_node_t *node, const char *fmt, ...)
	JT_PRINTF(3, 4);

static int fail(const struct reader *r, const yaml_node_t *node, const char *fmt, ...)
{
	char text[sizeof(r->err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return fail_at(r, node->start_mark.line + 1, text);
}

static yaml_node_t *node_at(const struct reader *r, int index)
{
	return yaml_document_get_node(r->document, index);
}

static const char *text_of(const yaml_node_t *scalar)
{
	return (const char *)scalar->data.scalar.value;
}

static int fail_kind(const struct reader *r, const yaml_node_t *node, const char *path,
                     const char *wanted)
{
	if (node->type == YAML_SEQUENCE_NODE)
		return fail(r, node, "'%s' must be %s, not a list", path, wanted);
	if (node->type == YAML_MAPPING_NODE)
		return fail(r, node, "'%s' must be %s, not a section", path, wanted);
	if (node->data.scalar.length == 0)
		return fail(r, node, "'%s' has no value", path);
	return fail(r, node, "'%s' must be %s, not '%.60s'", path, wanted, text_of(node));
}

/* A key has to be a short text that was not there before. */
static int check_name(const struct reader *r, const yaml_node_t *map, const yaml_node_pair_t *pair,
                      const char *path)
{
	const yaml_node_t *key = node_at(r, pair->key);

	if (key->type != YAML_SCALAR_NODE || key->data.scalar.length == 0 ||
	    strlen(text_of(key)) != key->data.scalar.length)
		return fail(r, key, "a key in %s%s%s must be a word", *path ? "'" : "the file",
		            path, *path ? "'" : "");
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
		const yaml_node_t *earlier = node_at(r, p->key);

		if (strcmp(text_of(earlier), text_of(key)) == 0)
			return fail(r, key, "'%s%s%.60s' is already set on line %zu", path,
			            *path ? "." : "", text_of(key), earlier->start_mark.line + 1);
	}
	return JT_OK;
}

static int read_value(const struct reader *r, const struct jt_key *k, void *item,
                      const yaml_node_t *node, const char *path);

static int fail_unknown(const struct reader *r, const struct jt_key *k, const yaml_node_t *key,
                        const char *path)
{
	char hint[160];

	jt__key_suggest(k, text_of(key), hint, sizeof(hint));
	return fail(r, key, "unknown key '%s%s%.60s'%s", path, *path ? "." : "", text_of(key),
	            hint);
}

/* @k is NULL for the file itself. */
static int read_section(const struct reader *r, const struct jt_key *k, void *item,
                        const yaml_node_t *node, const char *path)
{
	if (node->type != YAML_MAPPING_NODE)
		return fail_kind(r, node, *path ? path : "the file",
		                 "a section of 'key: value' lines");
	for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
	     p < node->data.mapping.pairs.top; p++) {
		const yaml_node_t *key = node_at(r, p->key);
		int status = check_name(r, node, p, path);
		const struct jt_key *child;
		char child_path[256];

		if (status)
			return status;
		child = jt__key_child(k, text_of(key));
		if (!child || strpbrk(text_of(key), "*["))
			return fail_unknown(r, k, key, path);
		snprintf(child_path, sizeof(child_path), "%s%s%s", path, *path ? "." : "",
		         text_of(key));
		status = read_value(r, child, item, node_at(r, p->value), child_path);
		if (status)
			return status;
	}
	return JT_OK;
}

/* The @i-th item of @k's array, made ready for its values. */
static void *new_item(const struct jt_key *k, const struct jt_key *child, void *item, size_t i)
{
	void *of_list = (char *)item + k->offset + i * k->size;

	if (child->kind == JT_KEY_SECTION)
		jt__key_defaults(child, of_list);
	return of_list;
}

static void set_count(const struct jt_key *k, void *item, size_t n)
{
	memcpy((char *)item + k->n_offset, &n, sizeof(n));
}

static int read_list(const struct reader *r, const struct jt_key *k, void *item,
                     const yaml_node_t *node, const char *path)
{
	const struct jt_key *child = jt__key_child(k, "[]");
	size_t n;

	if (node->type != YAML_SEQUENCE_NODE)
		return fail_kind(r, node, path, "a list");
	n = node->data.sequence.items.top - node->data.sequence.items.start;
	if (n > k->n_max)
		return fail(r, node, "'%s' has %zu items, more than the %zu that are allowed", path,
		            n, k->n_max);
	for (size_t i = 0; i < n; i++) {
		char child_path[256];
		int status;

		snprintf(child_path, sizeof(child_path), "%s[%zu]", path, i);
		status = read_value(r, child, new_item(k, child, item, i),
		                    node_at(r, node->data.sequence.items.start[i]), child_path);
		if (status)
			return status;
	}
	set_count(k, item, n);
	return JT_OK;
}

static int read_map(const struct reader *r, const struct jt_key *k, void *item,
                    const yaml_node_t *node, const char *path)
{
	const struct jt_key *child = jt__key_child(k, "*");
	const yaml_node_pair_t *pairs = node->data.mapping.pairs.start;
	size_t n;

	if (node->type != YAML_MAPPING_NODE)
		return fail_kind(r, node, path, "a section of 'name: value' lines");
	n = node->data.mapping.pairs.top - pairs;
	if (n > k->n_max)
		return fail(r, node, "'%s' has %zu items, more than the %zu that are allowed", path,
		            n, k->n_max);
	for (size_t i = 0; i < n; i++) {
		const yaml_node_t *key = node_at(r, pairs[i].key);
		int status = check_name(r, node, &pairs[i], path);
		char child_path[256];
		char *named;

		if (status)
			return status;
		named = new_item(k, child, item, i);
		if (!jt__copy_text(named, sizeof(((struct jt_config_idle *)0)->domain),
		                   text_of(key), key->data.scalar.length))
			return fail(r, key, "the name '%s.%.60s' must not be longer than 31 bytes",
			            path, text_of(key));
		snprintf(child_path, sizeof(child_path), "%s.%s", path, named);
		status = read_value(r, child, named, node_at(r, pairs[i].value), child_path);
		if (status)
			return status;
	}
	set_count(k, item, n);
	return JT_OK;
}

static int read_scalar(const struct reader *r, const struct jt_key *k, void *item,
                       const yaml_node_t *node, const char *path)
{
	struct jt_error why;
	bool quoted;

	if (node->type != YAML_SCALAR_NODE)
		return fail_kind(r, node, path,
		                 k->kind == JT_KEY_BOOL ? "true or false"
		                 : jt__key_number(k)    ? "a number"
		                                        : "text");
	quoted = node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (jt__key_set(k, item, text_of(node), node->data.scalar.length, quoted, &why))
		return fail(r, node, "'%s' %s", path, why.message);
	return JT_OK;
}

static int read_value(const struct reader *r, const struct jt_key *k, void *item,
                      const yaml_node_t *node, const char *path)
{
	struct jt_error why;
	int status;

	r->cfg->is_set[k - jt__config_keys] = true;
	if (k->kind == JT_KEY_SECTION)
		status = read_section(r, k, item, node, path);
	else if (k->kind == JT_KEY_LIST)
		status = read_list(r, k, item, node, path);
	else if (k->kind == JT_KEY_MAP)
		status = read_map(r, k, item, node, path);
	else
		status = read_scalar(r, k, item, node, path);
	if (!status && k->check && k->check(item, &why))
		return fail(r, node, "'%s' %s", path, why.message);
	return status;
}

static bool start_parser(yaml_parser_t *p, const char *text, size_t n)
{
	if (!yaml_parser_initialize(p))
		return false;
	yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(p, (const unsigned char *)text, n);
	return true;
}

/* libyaml tells the line of what the scanner and parser dislike, of bad bytes only the offset. */
static int fail_yaml(const struct reader *r, const yaml_parser_t *p, const char *text)
{
	size_t line = p->problem_mark.line;
	char message[200];

	if (p->error == YAML_MEMORY_ERROR)
		return jt__fail(r->err, JT_ENOMEM, r->name, "%s", jt_strerror(JT_ENOMEM));
	if (p->error == YAML_READER_ERROR) {
		line = 0;
		for (size_t i = 0; i < p->problem_offset; i++)
			line += text[i] == '\n';
		snprintf(message, sizeof(message), "not readable as UTF-8 text: %s", p->problem);
	} else {
		snprintf(message, sizeof(message), "not valid YAML: %s%s%s", p->problem,
		         p->context ? " " : "", p->context ? p->context : "");
	}
	return fail_at(r, line + 1, message);
}

/*
 * libyaml's scanner takes time quadratic in the depth of nesting: 1 MiB of "[" would keep it busy
 * for hours. Events come while it scans, so that counting them stops it early.
 */
static int check_depth(const struct reader *r, const char *text, size_t n)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	yaml_parser_t p;
	int status = JT_OK, depth = 0;

	if (!start_parser(&p, text, n))
		return jt__fail(r->err, JT_ENOMEM, r->name, "%s", jt_strerror(JT_ENOMEM));
	while (!status && type != YAML_STREAM_END_EVENT) {
		yaml_event_t event;

		if (!yaml_parser_parse(&p, &event)) {
			status = fail_yaml(r, &p, text);
			break;
		}
		type = event.type;
		depth += type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
		depth -= type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT;
		if (depth > MAX_DEPTH)
			status = fail_at(r, event.start_mark.line + 1,
			                 "sections and lists are nested too deep");
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&p);
	return status;
}

static int read_document(struct reader *r, yaml_parser_t *p, const char *text)
{
	yaml_document_t rest;
	yaml_node_t *root, *second;
	int status;

	root = yaml_document_get_root_node(r->document);
	if (!root)
		return fail_at(r, 1, "the file is empty: it needs at least 'upstreams:'");
	status = read_section(r, NULL, r->cfg, root, "");
	if (status)
		return status;
	if (!yaml_parser_load(p, &rest))
		return fail_yaml(r, p, text);
	second = yaml_document_get_root_node(&rest);
	if (second)
		status = fail(r, second, "a second document begins: one file is one configuration");
	yaml_document_delete(&rest);
	return status;
}

int jt__config_read(const char *text, size_t n, const char *name, struct jt_config *cfg,
                    struct jt_error *err)
{
	yaml_document_t document;
	struct reader r = { .name = name, .document = &document, .cfg = cfg, .err = err };
	yaml_parser_t parser;
	int status;

	status = check_depth(&r, text, n);
	if (status)
		return status;
	if (!start_parser(&parser, text, n))
		return jt__fail(err, JT_ENOMEM, name, "%s", jt_strerror(JT_ENOMEM));
	if (yaml_parser_load(&parser, &document)) {
		status = read_document(&r, &parser, text);
		yaml_document_delete(&document);
	} else {
		status = fail_yaml(&r, &parser, text);
	}
	yaml_parser_delete(&parser);
	return status;
}
