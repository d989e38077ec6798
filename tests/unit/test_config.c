/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "tap.h"
#include "config/config.h"
#include "config/keys.h"

#define TEMPLATE JT_SOURCE_ROOT "/tests/data/config/inference-power-config.yaml"

static struct jt_error err;

static struct jt_config *parse(const char *text)
{
	struct jt_config *cfg = NULL;

	memset(&err, 0, sizeof(err));
	jt__config_parse(text, strlen(text), "x.yaml", &cfg, &err);
	return cfg;
}

/* "WHERE: MESSAGE" of what is wrong with @text. */
static const char *complaint(const char *text)
{
	static char whole[sizeof(err.where) + sizeof(err.message) + 4];
	struct jt_config *cfg = parse(text);

	snprintf(whole, sizeof(whole), "%s: %s", err.where, err.message);
	if (cfg)
		strcpy(whole, "accepted");
	jt__config_free(cfg);
	return whole;
}

static void the_template_means_what_it_says(void)
{
	struct jt_config *c = NULL;
	const struct jt_config_task_class *reasoning;

	if (!check(jt__config_load(TEMPLATE, &c, &err) == JT_OK))
		return;
	check(c->metering.poll_interval_ns == 100 * JT_NS_PER_MS);
	check(c->metering.n_gpu_indices == 2 && c->metering.gpu_indices[0] == 0 &&
	      c->metering.gpu_indices[1] == 1);
	check(c->metering.prefill_ppm == 250000 && c->metering.decode_ppm == 750000);
	check(c->routing.n_task_classes == 3);
	check_text(c->routing.task_classes[0].name, "chat");
	check_text(c->routing.task_classes[0].model, "direct-response-7b");
	check(c->routing.task_classes[0].throttle_threshold_uj == JT_NONE);
	reasoning = &c->routing.task_classes[2];
	check(reasoning->max_tokens == 8192 && reasoning->reasoning_enabled);
	check(reasoning->throttle_threshold_uj == 5000 * UINT64_C(1000000));
	check(c->autoscaling.power_budget_mw == 1200000);
	check(c->autoscaling.thermal_limit_mc == 85000);
	check_text(c->autoscaling.scale_up_trigger, "queue_depth > 50 AND avg_power < budget");
	check_text(c->telemetry.export_format, "prometheus");
	check(c->telemetry.n_labels == 3);
	check_text(c->telemetry.labels[1], "model_version");
	check(c->telemetry.retention_days == 90);
	jt__config_free(c);
}

static void names_what_does_not_act_yet_in_one_sentence(void)
{
	struct jt_config *c = parse("routing:\n  task_classes:\n    a: {model: m, max_tokens: 5}\n"
	                            "    b: {model: n}\ntelemetry: {retention_days: 3}\n");
	struct jt_buf b;

	jt__buf_init(&b, 1024);
	if (!check(c != NULL))
		return;
	check(jt__config_inactive(c, &b));
	jt__buf_append(&b, "", 1);
	check_text(jt__buf_bytes(&b),
	           "set but without effect yet: routing.task_classes.*.model, "
	           "routing.task_classes.*.max_tokens, telemetry.retention_days");
	jt__config_free(c);
	jt__buf_clear(&b);
	c = parse("listen: 0.0.0.0:80\n");
	check(c && !jt__config_inactive(c, &b) && jt__buf_len(&b) == 0);
	jt__config_free(c);
	jt__buf_fini(&b);
}

static void upstreams_alone_are_enough(void)
{
	struct jt_config *c = parse("upstreams:\n- url: http://10.0.0.1:8000/base/\n");

	if (!check(c != NULL))
		return;
	check_text(c->upstreams[0].name, "10.0.0.1:8000");
	check_text(c->upstreams[0].host, "10.0.0.1");
	check_text(c->upstreams[0].port, "8000");
	check_text(c->upstreams[0].prefix, "/base");
	check(c->n_upstreams == 1 && c->upstreams[0].n_models == 0);
	check_text(c->listen, "127.0.0.1:8080");
	check_text(c->metering.policy, "roofline");
	check_text(c->routing.default_task_class, "default");
	check(c->metering.prefill_ppm == 250000);
	check(c->limits.max_body_bytes == 32 << 20);
	check(c->timeouts.connect_ns == 5 * JT_NS_PER_S);
	check(c->workers >= 1 && c->workers <= 64);
	check(c->autoscaling.power_budget_mw == JT_NONE);
	check(!c->metering.gpm);
	check_text(c->telemetry.access_log, "");
	jt__config_free(c);
}

static void everything_can_be_said(void)
{
	struct jt_config *c =
		parse("listen: '[::1]:0'\nworkers: 3\n"
	              "metering:\n  policy: tokens\n  idle_power_w: {gpu:0: 61.5, gpu:1: 0}\n  "
	              "root: /tmp/x\n"
	              "  nvml_library: ./fake.so\n  gpm: true\n  recording: r.jsonl\n"
	              "limits: {max_connections: 7}\ntimeouts: {first_byte_s: 0.25}\n"
	              "upstreams:\n- name: a\n  url: http://[fe80::1]\n  models: [m, \"n/1\"]\n"
	              "  domains: [gpu:0, gpu:1]\n  architecture: c.json\n  gpu: H100\n"
	              "- url: HTTP://b-2.example\n");

	if (!check(c != NULL))
		return;
	check(c->metering.n_idle == 2 && c->metering.idle[0].power_mw == 61500);
	check_text(c->metering.idle[1].domain, "gpu:1");
	check(c->metering.idle[1].power_mw == 0);
	check(c->metering.gpm);
	check(c->timeouts.first_byte_ns == JT_NS_PER_S / 4);
	check_text(c->upstreams[0].host, "fe80::1");
	check_text(c->upstreams[0].port, "80");
	check_text(c->upstreams[0].models[1], "n/1");
	check_text(c->upstreams[0].domains[1], "gpu:1");
	check_text(c->upstreams[1].name, "b-2.example:80");
	jt__config_free(c);
}

static void a_list_may_have_an_item_that_nobody_gave(void)
{
	struct jt_config *c = parse("listen: 0.0.0.0:80\n");

	check(c && c->metering.n_probe_paths == 1);
	check_text(c->metering.probe_paths[0], "/health_generate");
	jt__config_free(c);
	c = parse("metering: {probe_paths: [/health, /v1/alive]}\n");
	check(c && c->metering.n_probe_paths == 2);
	check_text(c->metering.probe_paths[0], "/health");
	jt__config_free(c);
	c = parse("metering: {probe_paths: []}\n");
	check(c && c->metering.n_probe_paths == 0);
	jt__config_free(c);
	check_text(complaint("metering:\n  probe_paths: [/a, health]\n"),
	           "x.yaml:2: 'metering.probe_paths[1]' must begin with a '/'");
	check_text(complaint("metering:\n  probe_paths: ['/health?deep=1']\n"),
	           "x.yaml:2: 'metering.probe_paths[0]' is no path: it goes up to the '?', as "
	           "clients send it");
	check(strstr(complaint("metering: {probe_paths: ['/a b']}\n"), "is no path") != NULL);
}

static void an_alias_stands_for_what_it_names(void)
{
	struct jt_config *c = parse("upstreams:\n- url: http://a\n  models: &m [x, y]\n"
	                            "- url: http://b\n  models: *m\n");

	check(c && c->upstreams[1].n_models == 2);
	jt__config_free(c);
}

/* clang-format off */
static const char *const wrong[][2] = {
	/* the YAML itself */
	{ "", "x.yaml:1: the file is empty: it needs at least 'upstreams:'" },
	{ "# nothing\n", "x.yaml:1: the file is empty: it needs at least 'upstreams:'" },
	{ "listen: [\n", "x.yaml:2: not valid YAML: did not find expected node content while parsing a flow node" },
	{ "a:\n\tb: 1\n", "x.yaml:2: not valid YAML: found character that cannot start any token while scanning for the next token" },
	{ "listen: *nobody\n", "x.yaml:1: not valid YAML: found undefined alias" },
	{ "workers: 1\n---\nworkers: 2\n", "x.yaml:3: a second document begins: one file is one configuration" },
	{ "workers: 1\nlisten: \xff\n", "x.yaml:2: not readable as UTF-8 text: invalid leading UTF-8 octet" },
	{ "workers: 1\n\nlisten: \x01\n", "x.yaml:3: not readable as UTF-8 text: control characters are not allowed" },
	{ "just words\n", "x.yaml:1: 'the file' must be a section of 'key: value' lines, not 'just words'" },
	{ "- 1\n", "x.yaml:1: 'the file' must be a section of 'key: value' lines, not a list" },
	/* keys */
	{ "metering:\n  pol_interval_ms: 5\n", "x.yaml:2: unknown key 'metering.pol_interval_ms'; did you mean 'poll_interval_ms'" },
	{ "lissten: a:1\n", "x.yaml:1: unknown key 'lissten'; did you mean 'listen'" },
	{ "metering:\npoll_interval_ms: 5\n", "x.yaml:1: 'metering' has no value" },
	{ "poll_interval_ms: 5\n", "x.yaml:1: unknown key 'poll_interval_ms'; it belongs under 'metering'" },
	{ "metering:\n  listen: a:1\n", "x.yaml:2: unknown key 'metering.listen'; it belongs at the left margin" },
	{ "metering:\n  phase_split: {colour: 5}\n", "x.yaml:2: unknown key 'metering.phase_split.colour'; keys here are 'prefill_ratio' 'decode_ratio'" },
	{ "upstreams:\n- url: http://a\n  modells: [b]\n", "x.yaml:3: unknown key 'upstreams[0].modells'; did you mean 'models'" },
	{ "upstreams:\n- '[]': 1\n", "x.yaml:2: unknown key 'upstreams[0].[]'; keys here are 'name' 'url' 'models' 'domains' 'architecture' 'gpu' 'max_batch_tokens' 'tensor_parallel' 'max_num_seqs' 'dtype'" },
	{ "routing:\n  task_classes:\n    chat: {max_token: 5}\n", "x.yaml:3: unknown key 'routing.task_classes.chat.max_token'; did you mean 'max_tokens'" },
	{ "workers: 1\nlisten: a:1\nworkers: 2\n", "x.yaml:3: 'workers' is already set on line 1" },
	{ "routing:\n  task_classes:\n    a: {}\n    a: {}\n", "x.yaml:4: 'routing.task_classes.a' is already set on line 3" },
	{ "? [a]\n: 1\n", "x.yaml:1: a key in the file must be a word" },
	{ "metering:\n  ? {a: b}\n  : 1\n", "x.yaml:2: a key in 'metering' must be a word" },
	/* values */
	{ "metering: {poll_interval_ms: fast}\n", "x.yaml:1: 'metering.poll_interval_ms' must be a number, not 'fast'" },
	{ "metering: {poll_interval_ms: 0x10}\n", "x.yaml:1: 'metering.poll_interval_ms' must be a number, not '0x10'" },
	{ "metering: {poll_interval_ms: .inf}\n", "x.yaml:1: 'metering.poll_interval_ms' must be a number, not '.inf'" },
	{ "metering:\n  poll_interval_ms: 5\n", "x.yaml:2: 'metering.poll_interval_ms' must be 10 to 10000 ms, not 5" },
	{ "metering:\n  poll_interval_ms: 1e99\n", "x.yaml:2: 'metering.poll_interval_ms' must be 10 to 10000 ms, not 1e99" },
	{ "workers: 1.5\n", "x.yaml:1: 'workers' must be a whole number, not '1.5'" },
	{ "workers: \"4\"\n", "x.yaml:1: 'workers' must be a whole number, not the text '4'" },
	{ "workers: 65\n", "x.yaml:1: 'workers' must be 1 to 64, not 65" },
	{ "workers: -1\n", "x.yaml:1: 'workers' must be 1 to 64, not -1" },
	{ "workers: [1]\n", "x.yaml:1: 'workers' must be a number, not a list" },
	{ "workers:\n", "x.yaml:1: 'workers' has no value" },
	{ "workers: ~\n", "x.yaml:1: 'workers' has no value" },
	{ "listen: {a: b}\n", "x.yaml:1: 'listen' must be text, not a section" },
	{ "listen: 8080\n", "x.yaml:1: 'listen' must be HOST:PORT, like 127.0.0.1:8080" },
	{ "admin: a:70000\n", "x.yaml:1: 'admin' must be HOST:PORT, like 127.0.0.1:8080" },
	{ "metering: {gpu_indices: 0}\n", "x.yaml:1: 'metering.gpu_indices' must be a list, not '0'" },
	{ "metering:\n  gpu_indices:\n  - 0\n  - x\n", "x.yaml:4: 'metering.gpu_indices[1]' must be a whole number, not 'x'" },
	{ "metering: {policy: fair}\n", "x.yaml:1: 'metering.policy' must be equal|tokens|roofline, not 'fair'" },
	{ "metering: {idle_power_w: {gpu:0: hot}}\n", "x.yaml:1: 'metering.idle_power_w.gpu:0' must be a number, not 'hot'" },
	{ "metering: {idle_power_w: [1]}\n", "x.yaml:1: 'metering.idle_power_w' must be a section of 'name: value' lines, not a list" },
	{ "metering: {root: \"a\\0b\"}\n", "x.yaml:1: 'metering.root' must not contain control characters" },
	{ "telemetry: {labels: [abcdefghijklmnopqrstuvwxyzabcdef]}\n", "x.yaml:1: 'telemetry.labels[0]' must not be longer than 31 bytes" },
	{ "routing: {task_classes: {abcdefghijklmnopqrstuvwxyzabcdef: {}}}\n", "x.yaml:1: the name 'routing.task_classes.abcdefghijklmnopqrstuvwxyzabcdef' must not be longer than 31 bytes" },
	{ "routing:\n  task_classes:\n    c: {reasoning_enabled: yes}\n", "x.yaml:3: 'routing.task_classes.c.reasoning_enabled' must be true or false, not 'yes'" },
	{ "routing:\n  task_classes:\n    c: {reasoning_enabled: [true]}\n", "x.yaml:3: 'routing.task_classes.c.reasoning_enabled' must be true or false, not a list" },
	{ "metering:\n  phase_split:\n    prefill_ratio: 0.3\n", "x.yaml:3: 'metering.phase_split' must sum to 1: prefill_ratio 0.3 and decode_ratio 0.75 make 1.05" },
	{ "metering:\n  phase_split: {prefill_ratio: 1.2}\n", "x.yaml:2: 'metering.phase_split.prefill_ratio' must be 0 to 1, not 1.2" },
	/* upstreams */
	{ "upstreams:\n- name: a\n", "x.yaml:2: 'upstreams[0]' needs a 'url'" },
	{ "upstreams:\n- http://a\n", "x.yaml:2: 'upstreams[0]' must be a section of 'key: value' lines, not 'http://a'" },
	{ "upstreams:\n- url: https://a\n", "x.yaml:2: 'upstreams[0].url' must begin with 'http://': TLS towards an engine is not supported yet" },
	{ "upstreams:\n- url: a:80\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]" },
	{ "upstreams:\n- url: http://u:p@a\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]" },
	{ "upstreams:\n- url: http://a:0\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]" },
	{ "upstreams:\n- url: http://\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]" },
	{ "upstreams:\n- url: http://[::1\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]" },
	{ "upstreams:\n- url: \"http://a/b c\"\n", "x.yaml:2: 'upstreams[0].url' must be http://HOST[:PORT][/PREFIX]: the prefix is a plain path" },
	{ "upstreams:\n- url: http://a/v1/\n", "x.yaml:2: 'upstreams[0].url' must not end in '/v1': the client's path, which has it, is appended" },
	{ "upstreams:\n- url: http://a\n- url: http://a\n", "x.yaml:2: 'upstreams' has 'a:80' twice: give each a 'name' of its own" },
};
/* clang-format on */

static void each_mistake_is_told_with_its_line(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(wrong); i++)
		check_text(complaint(wrong[i][0]), wrong[i][1]);
}

/* @n lines, numbered between @before and @after, below @head. */
static const char *complaint_of_many(const char *head, const char *before, const char *after, int n)
{
	struct jt_buf b;
	const char *text;

	jt__buf_init(&b, 2 << 20);
	jt__buf_append_text(&b, head);
	for (int i = 0; i < n; i++)
		jt__buf_printf(&b, "%s%08d%s\n", before, i, after);
	jt__buf_append(&b, "", 1);
	text = complaint(jt__buf_bytes(&b));
	jt__buf_fini(&b);
	return text;
}

static void lists_end_at_their_limit(void)
{
	check_text(complaint_of_many("upstreams:\n", "- url: http://h", "", 64), "accepted");
	check_text(complaint_of_many("upstreams:\n", "- url: http://h", "", 65),
	           "x.yaml:2: 'upstreams' has 65 items, more than the 64 that are allowed");
	check_text(
		complaint_of_many("routing:\n  task_classes:\n", "    c", ": {}", 65),
		"x.yaml:3: 'routing.task_classes' has 65 items, more than the 64 that are allowed");
}

static void a_file_beyond_1_mib_is_refused(void)
{
	check_text(complaint_of_many("", "# line ", " of a file", 50000),
	           "x.yaml: the file is larger than 1 MiB");
}

/* Nine levels of nine would be 387 million items, were they ever expanded. */
static void an_alias_bomb_is_defused(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 4096);
	jt__buf_append_text(&b, "a: &a [x,x,x,x,x,x,x,x,x]\n");
	for (char c = 'b'; c <= 'i'; c++)
		jt__buf_printf(&b, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c - 1,
		               c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1, c - 1);
	jt__buf_append(&b, "", 1);
	check(strncmp(complaint(jt__buf_bytes(&b)), "x.yaml:1: unknown key 'a'", 25) == 0);
	check_text(complaint("upstreams: &u\n- models: *u\n  url: http://a\n"),
	           "x.yaml:2: 'upstreams[0].models[0]' must be text, not a section");
	jt__buf_fini(&b);
}

static void a_million_brackets_are_refused_at_once(void)
{
	static char text[1 << 20];

	memset(text, '[', sizeof(text) - 1);
	check_text(complaint(text), "x.yaml:1: sections and lists are nested too deep");
}

static void a_long_path_keeps_its_end(void)
{
	const char *name = "/etc/a-directory-with-a-very-long-name/another-one/jouletap.yaml";
	struct jt_config *cfg;

	check(jt__config_parse("x: 1", 4, name, &cfg, &err) == JT_EINVAL);
	check(strlen(err.where) == sizeof(err.where) - 1);
	check_text(strstr(err.where, "/another"), "/another-one/jouletap.yaml:1");
}

static void a_missing_file_is_named(void)
{
	struct jt_config *cfg;

	check(jt__config_load("/nowhere/x.yaml", &cfg, &err) == JT_ENOENT);
	check_text(err.message, "cannot open '/nowhere/x.yaml': No such file or directory");
	check(jt__config_load("/", &cfg, &err) == JT_EIO);
	check_text(err.message, "cannot read '/': Is a directory");
}

static void an_upstream_can_be_given_as_text(void)
{
	struct jt_config *c;

	if (!check(jt__config_new(&c, &err) == JT_OK))
		return;
	check(jt__config_add_upstream(c, "http://a:1=gpu:0,gpu:1", &err) == JT_OK);
	check(c->n_upstreams == 1 && c->upstreams[0].n_domains == 2);
	check_text(c->upstreams[0].domains[1], "gpu:1");
	check(jt__config_add_upstream(c, "http://b", &err) == JT_OK && c->n_upstreams == 2);
	check(jt__config_add_upstream(c, "ftp://b", &err) == JT_EINVAL);
	check_text(err.message, "'ftp://b' must be http://HOST[:PORT][/PREFIX]");
	check(jt__config_add_upstream(c, "http://a:1", &err) == JT_EINVAL);
	check_text(err.message, "'http://a:1' is an upstream already");
	check(c->n_upstreams == 2);
	for (int i = 2; i < 64; i++) {
		char url[32];

		snprintf(url, sizeof(url), "http://h%d", i);
		check(jt__config_add_upstream(c, url, &err) == JT_OK);
	}
	check(jt__config_add_upstream(c, "http://last", &err) == JT_ELIMIT);
	jt__config_free(c);
}

static void every_default_is_itself_valid(void)
{
	struct jt_config *cfg = calloc(1, sizeof(*cfg));

	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		const struct jt_key *value = k->kind == JT_KEY_LIST ? jt__key_child(k, "[]") : k;

		if (k->fallback && !check(jt__key_set(value, cfg, k->fallback, strlen(k->fallback),
		                                      false, &err) == JT_OK))
			printf("# %s: %s\n", k->path, err.message);
	}
	free(cfg);
}

static void every_key_is_described(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 65536);
	jt__config_describe(&b);
	jt__buf_append(&b, "", 1);
	check(!b.failed);
	check(strstr(jt__buf_bytes(&b), "*upstreams[].url*\n\thttp://HOST") != NULL);
	check(strstr(jt__buf_bytes(&b), "*metering.idle\\_power\\_w.\\**\n") != NULL);
	for (const struct jt_key *k = jt__config_keys; k->path; k++)
		check(k->doc || k->kind == JT_KEY_SECTION || strstr(k->path, "[]"));
	jt__buf_fini(&b);
}

static void running_out_of_memory_is_an_error_everywhere(void)
{
	for (uint64_t nth = 1;; nth++) {
		struct jt_config *cfg = NULL;
		int status;

		jt__alloc_fail_at(nth);
		status = jt__config_load(TEMPLATE, &cfg, &err);
		jt__alloc_fail_at(0);
		jt__config_free(cfg);
		if (status == JT_OK) {
			check(nth > 2);
			return;
		}
		if (!check(status == JT_ENOMEM && !cfg))
			return;
	}
}

int main(void)
{
	test(the_template_means_what_it_says);
	test(names_what_does_not_act_yet_in_one_sentence);
	test(upstreams_alone_are_enough);
	test(everything_can_be_said);
	test(a_list_may_have_an_item_that_nobody_gave);
	test(an_alias_stands_for_what_it_names);
	test(each_mistake_is_told_with_its_line);
	test(lists_end_at_their_limit);
	test(a_file_beyond_1_mib_is_refused);
	test(an_alias_bomb_is_defused);
	test(a_million_brackets_are_refused_at_once);
	test(a_long_path_keeps_its_end);
	test(a_missing_file_is_named);
	test(an_upstream_can_be_given_as_text);
	test(every_default_is_itself_valid);
	test(every_key_is_described);
	test(running_out_of_memory_is_an_error_everywhere);
	return tap_done();
}
