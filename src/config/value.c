/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "config/keys.h"

/* A '%.*s' with its arguments: as much of @text as an error message bears. */
#define SHOWN(text, n) (int)JT_MIN((n), 60), (text)

/* Says in @why what a value must be: the end of a sentence that begins with its key. */
#define no(why, ...) jt__fail(why, JT_EINVAL, "", __VA_ARGS__)

static bool parse_number(const char *text, size_t n, bool whole, double *ret_v)
{
	const char *allowed = whole ? "+-0123456789" : "+-0123456789.eE";
	char copy[64];
	char *end;

	if (n == 0 || !jt__copy_text(copy, sizeof(copy), text, n) || strlen(copy) != n ||
	    strspn(copy, allowed) != n)
		return false;
	*ret_v = strtod(copy, &end);
	return *end == '\0' && isfinite(*ret_v);
}

static int set_number(const struct jt_key *k, void *member, const char *text, size_t n, bool quoted,
                      struct jt_error *why)
{
	const struct jt_number_kind *kind = jt__key_number(k);
	uint64_t inside;
	double v;

	if (quoted || !parse_number(text, n, kind->whole, &v))
		return no(why, "must be a %s, not %s'%.*s'",
		          kind->whole ? "whole number" : "number", quoted ? "the text " : "",
		          SHOWN(text, n));
	if (v < k->min || v > k->max)
		return no(why, "must be %.15g to %.15g%s%s, not %.*s", k->min, k->max,
		          *kind->unit ? " " : "", kind->unit, SHOWN(text, n));
	inside = (uint64_t)(v * kind->scale + 0.5);
	memcpy(member, &inside, sizeof(inside));
	return JT_OK;
}

static int set_bool(void *member, const char *text, size_t n, bool quoted, struct jt_error *why)
{
	bool yes = n == 4 && memcmp(text, "true", 4) == 0;

	if (quoted || !(yes || (n == 5 && memcmp(text, "false", 5) == 0)))
		return no(why, "must be true or false, not %s'%.*s'", quoted ? "the text " : "",
		          SHOWN(text, n));
	memcpy(member, &yes, sizeof(yes));
	return JT_OK;
}

static bool is_choice(const char *choices, const char *text, size_t n)
{
	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strcspn(p, "|") == n && memcmp(p, text, n) == 0)
			return true;
	return false;
}

static int set_text(const struct jt_key *k, char *member, const char *text, size_t n,
                    struct jt_error *why)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return no(why, "must not contain control characters");
	if (k->choices && !is_choice(k->choices, text, n))
		return no(why, "must be %s, not '%.*s'", k->choices, SHOWN(text, n));
	if (n >= k->size)
		return no(why, "must not be longer than %zu bytes", k->size - 1);
	jt__copy_text(member, k->size, text, n);
	return JT_OK;
}

/* Cuts "host:port" or "[v6]:port" of @n bytes in two; *ret_port_len is 0 where there is no port. */
static bool split_authority(const char *text, size_t n, const char **ret_host, size_t *ret_host_len,
                            const char **ret_port, size_t *ret_port_len)
{
	bool bracketed = n && *text == '[';
	const char *host = text + bracketed;
	size_t len = 0;
	const char *rest;

	while (host + len < text + n && !strchr(bracketed ? "]" : ":", host[len]))
		len++;
	rest = host + len;
	if (bracketed && (rest == text + n || *rest++ != ']'))
		return false;
	if (len == 0 || (rest < text + n && *rest != ':') || rest + 1 == text + n)
		return false;
	*ret_host = host;
	*ret_host_len = len;
	*ret_port = rest + 1;
	*ret_port_len = rest < text + n ? text + n - rest - 1 : 0;
	for (size_t i = 0; i < len; i++)
		if (!strchr(bracketed ? "0123456789abcdefABCDEF:.%"
		                      : "0123456789-._"
		                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
		            host[i]))
			return false;
	return true;
}

static bool is_port(const char *text, size_t n, unsigned min)
{
	unsigned v = 0;

	if (n == 0 || n > 5)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		v = v * 10 + (text[i] - '0');
	}
	return v >= min && v <= 65535;
}

bool jt__config_is_address(const char *text)
{
	const char *host, *port;
	size_t host_len, port_len;

	return split_authority(text, strlen(text), &host, &host_len, &port, &port_len) &&
	       is_port(port, port_len, 0);
}

/* Whatever follows host and port. It is sent as it stands, so it may hold nothing that splits a
 * request line. */
static int set_prefix(struct jt_config_upstream *u, const char *path, struct jt_error *why)
{
	size_t n = strlen(path);

	while (n && path[n - 1] == '/')
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)path[i] <= ' ' || (unsigned char)path[i] >= 0x7f ||
		    strchr("?#=\"", path[i]))
			return no(
				why,
				"must be http://HOST[:PORT][/PREFIX]: the prefix is a plain path");
	if (n >= 3 && memcmp(path + n - 3, "/v1", 3) == 0)
		return no(why,
		          "must not end in '/v1': the client's path, which has it, is appended");
	if (!jt__copy_text(u->prefix, sizeof(u->prefix), path, n))
		return no(why, "has a prefix that is too long");
	return JT_OK;
}

static int set_url(const struct jt_key *k, struct jt_config_upstream *u, const char *text, size_t n,
                   struct jt_error *why)
{
	const char *host, *port;
	size_t host_len, port_len, len;
	int status;

	status = set_text(k, u->url, text, n, why);
	if (status)
		return status;
	if (strncasecmp(u->url, "https://", 8) == 0)
		return no(why,
		          "must begin with 'http://': TLS towards an engine is not supported yet");
	if (strncasecmp(u->url, "http://", 7) != 0)
		return no(why, "must be http://HOST[:PORT][/PREFIX]");
	text = u->url + 7;
	len = strcspn(text, "/?#");
	if (!split_authority(text, len, &host, &host_len, &port, &port_len) ||
	    (port_len && !is_port(port, port_len, 1)))
		return no(why, "must be http://HOST[:PORT][/PREFIX]");
	if (!jt__copy_text(u->host, sizeof(u->host), host, host_len))
		return no(why, "has a host name that is too long");
	jt__copy_text(u->port, sizeof(u->port), port_len ? port : "80", port_len ? port_len : 2);
	return set_prefix(u, text + len, why);
}

int jt__key_set(const struct jt_key *k, void *item, const char *text, size_t n, bool quoted,
                struct jt_error *why)
{
	void *member = (char *)item + k->offset;
	int status;

	if (!quoted &&
	    (n == 0 || (n == 1 && *text == '~') || (n == 4 && memcmp(text, "null", 4) == 0)))
		return no(why, "has no value");
	switch (k->kind) {
	case JT_KEY_TEXT:
		return set_text(k, member, text, n, why);
	case JT_KEY_ADDRESS:
		status = set_text(k, member, text, n, why);
		if (!status && !jt__config_is_address(member))
			status = no(why, "must be HOST:PORT, like 127.0.0.1:8080");
		return status;
	case JT_KEY_URL:
		return set_url(k, item, text, n, why);
	case JT_KEY_BOOL:
		return set_bool(member, text, n, quoted, why);
	default:
		return set_number(k, member, text, n, quoted, why);
	}
}

/* A list that nobody gave has one item. */
static void set_default_item(const struct jt_key *k, void *item)
{
	const size_t one = 1;

	jt__key_set(jt__key_child(k, "[]"), (char *)item + k->offset, k->fallback,
	            strlen(k->fallback), false, NULL);
	memcpy((char *)item + k->n_offset, &one, sizeof(one));
}

static void set_default(const struct jt_key *k, void *item)
{
	if (k->kind == JT_KEY_LIST && k->fallback)
		set_default_item(k, item);
	else if (k->fallback)
		jt__key_set(k, item, k->fallback, strlen(k->fallback), false, NULL);
	else if (jt__key_number(k))
		memset((char *)item + k->offset, 0xff, sizeof(uint64_t));
}

void jt__key_defaults(const struct jt_key *parent, void *item)
{
	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		if (!jt__key_name_in(k, parent) || strchr(jt__key_name_in(k, parent), '*'))
			continue;
		if (k->kind == JT_KEY_SECTION && parent != k)
			jt__key_defaults(k, item);
		else if (k->kind >= JT_KEY_LIST)
			set_default(k, item);
	}
}

int jt__check_phase_split(void *item, struct jt_error *why)
{
	const struct jt_config *cfg = item;
	uint64_t sum_ppm = cfg->metering.prefill_ppm + cfg->metering.decode_ppm;

	if (sum_ppm >= 999000 && sum_ppm <= 1001000)
		return JT_OK;
	return no(why, "must sum to 1: prefill_ratio %.6g and decode_ratio %.6g make %.6g",
	          cfg->metering.prefill_ppm / 1e6, cfg->metering.decode_ppm / 1e6, sum_ppm / 1e6);
}

int jt__check_path(void *item, struct jt_error *why)
{
	const char *path = item;

	if (*path != '/')
		return no(why, "must begin with a '/'");
	for (const char *p = path; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '?' || *p == '#')
			return no(why, "is no path: it goes up to the '?', as clients send it");
	return JT_OK;
}

int jt__check_upstream(void *item, struct jt_error *why)
{
	struct jt_config_upstream *u = item;

	if (!*u->url)
		return no(why, "needs a 'url'");
	if (!*u->name) {
		char name[sizeof(u->host) + sizeof(u->port)];
		int n = snprintf(name, sizeof(name), "%s:%s", u->host, u->port);

		jt__copy_text(u->name, sizeof(u->name), name, n);
	}
	return JT_OK;
}

int jt__check_upstreams(void *item, struct jt_error *why)
{
	const struct jt_config *cfg = item;

	for (size_t i = 1; i < cfg->n_upstreams; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(cfg->upstreams[i].name, cfg->upstreams[j].name) == 0)
				return no(why, "has '%s' twice: give each a 'name' of its own",
				          cfg->upstreams[i].name);
	return JT_OK;
}
