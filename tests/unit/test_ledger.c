/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include "tap.h"
#include "base/rng.h"
#include "ledger/ledger.h"

static void fill_at_random(struct jt_record *r, struct jt_rng *rng)
{
	jt__record_init(r);
	for (size_t i = 0; i < jt__n_record_fields; i++) {
		const struct jt_field *f = &jt__record_fields[i];
		char *at = (char *)r + f->offset;

		if (f->kind == JT_KIND_TEXT) {
			for (size_t k = 0; k < jt__rng_below(rng, f->size); k++)
				at[k] = (char)(1 + jt__rng_below(rng, 126));
		} else if (f->kind == JT_KIND_BOOL) {
			*(uint64_t *)at = jt__rng_below(rng, 2);
		} else if (jt__rng_below(rng, 4)) {
			*(uint64_t *)at = jt__rng_below(rng, UINT64_C(1) << 50);
			if (f->kind == JT_KIND_TIME) /* ms outside */
				*(uint64_t *)at = *(uint64_t *)at / 1000000 * 1000000;
		}
	}
}

static void a_record_reads_back_as_it_was_written(void)
{
	struct jt_rng rng = { 1 };
	struct jt_buf b;

	jt__buf_init(&b, 1 << 16);
	for (int i = 0; i < 1000; i++) {
		struct jt_record in, out;
		struct jt_error err = { 0 };

		fill_at_random(&in, &rng);
		jt__buf_clear(&b);
		jt__record_json(&b, &in);
		check(jt__record_parse(jt__buf_bytes(&b), jt__buf_len(&b), &out, &err) == JT_OK);
		check_text(err.message, "");
		check(memcmp(&in, &out, sizeof(in)) == 0);
	}
	jt__buf_fini(&b);
}

static void unknown_figures_are_null(void)
{
	struct jt_record r;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 16);
	jt__record_init(&r);
	jt__record_json(&b, &r);
	jt__buf_append(&b, "", 1);
	check(strstr(jt__buf_bytes(&b), "\"prefill_j\":null") != NULL);
	check(strstr(jt__buf_bytes(&b), "\"ttft_s\":null") != NULL);
	check(strstr(jt__buf_bytes(&b), ":0") == NULL);
	jt__buf_fini(&b);
}

static void a_mean_count_is_a_decimal(void)
{
	static const char line[] = "{\"concurrency\":2.625}";
	struct jt_record r;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 16);
	check(jt__record_parse(line, strlen(line), &r, NULL) == JT_OK);
	check(r.concurrency_milli == 2625 && r.predicted_uj == JT_NONE);
	jt__record_json(&b, &r);
	jt__buf_append(&b, "", 1);
	check(strstr(jt__buf_bytes(&b), "\"concurrency\":2.625") != NULL);
	jt__buf_fini(&b);
}

static void a_bad_record_names_the_field(void)
{
	static const char *const bad[][2] = {
		{ "[]", "not a JSON object" },
		{ "{\"prefill_j\":-1}", "bad value of 'prefill_j'" },
		{ "{\"prompt_tokens\":1.5}", "bad value of 'prompt_tokens'" },
		{ "{\"start\":\"today\"}", "bad value of 'start'" },
		{ "{\"stream\":1}", "bad value of 'stream'" },
		{ "{\"concurrency\":\"two\"}", "bad value of 'concurrency'" },
		{ "{\"model\":7}", "bad value of 'model'" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		struct jt_record r;
		struct jt_error err = { 0 };

		check(jt__record_parse(bad[i][0], strlen(bad[i][0]), &r, &err) == JT_EINVAL);
		check_text(err.message, bad[i][1]);
	}
}

static void lines_are_appended_and_follow_a_rotation(void)
{
	char dir[] = "/tmp/jt-ledger-XXXXXX", path[64], moved[64], text[64] = "";
	struct jt_lines *l = NULL;
	struct jt_error err;
	FILE *f;

	check(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/access.jsonl", dir);
	snprintf(moved, sizeof(moved), "%s/access.jsonl.1", dir);
	check(jt__lines_open(path, &l, &err) == JT_OK);
	check(jt__lines_append(l, "one", 3) == JT_OK);
	check(rename(path, moved) == 0);
	check(jt__lines_reopen(l, &err) == JT_OK);
	check(jt__lines_append(l, "two", 3) == JT_OK);
	f = fopen(path, "r");
	check(f && fgets(text, sizeof(text), f) && strcmp(text, "two\n") == 0);
	fclose(f);
	jt__lines_close(l);
	unlink(path);
	unlink(moved);
	rmdir(dir);
	check(jt__lines_open("/nonexistent/dir/file", &l, &err) == JT_EIO);
}

static void a_new_recording_sets_the_old_one_aside(void)
{
	char dir[] = "/tmp/jt-ledger-XXXXXX", path[64], text[16] = "", command[128];
	struct jt_lines *l = NULL;
	struct jt_error err;
	FILE *f;

	check(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/run.jsonl", dir);
	for (int i = 0; i < 2; i++) {
		check(jt__lines_begin(path, &l, &err) == JT_OK);
		check(jt__lines_append(l, i ? "new" : "old", 3) == JT_OK);
		jt__lines_close(l);
	}
	f = fopen(path, "r");
	check(f && fread(text, 1, sizeof(text) - 1, f) == 4 && strcmp(text, "new\n") == 0);
	fclose(f);
	snprintf(command, sizeof(command), "grep -q old %s/run.jsonl.2*Z && rm -r %s", dir, dir);
	check(system(command) == 0);
}

/* RLIMIT_FSIZE cuts a write as a full disk does. */
static void half_a_line_does_not_spoil_the_next(void)
{
	char path[] = "/tmp/jt-ledger-XXXXXX", text[64] = "";
	struct rlimit small = { 10, RLIM_INFINITY }, large = { RLIM_INFINITY, RLIM_INFINITY };
	struct jt_lines *l = NULL;
	FILE *f;

	close(mkstemp(path));
	signal(SIGXFSZ, SIG_IGN);
	check(jt__lines_open(path, &l, NULL) == JT_OK);
	setrlimit(RLIMIT_FSIZE, &small);
	check(jt__lines_append(l, "0123456789abcdef", 16) == JT_EIO);
	setrlimit(RLIMIT_FSIZE, &large);
	check(jt__lines_append(l, "whole", 5) == JT_OK);
	f = fopen(path, "r");
	check(f && fread(text, 1, sizeof(text) - 1, f) > 0);
	check_text(text, "0123456789\nwhole\n");
	fclose(f);
	jt__lines_close(l);
	unlink(path);
}

static void a_full_disk_is_counted(void)
{
	struct jt_lines *l = NULL;

	if (jt__lines_open("/dev/full", &l, NULL) != JT_OK)
		return;
	check(jt__lines_append(l, "x", 1) == JT_EIO);
	check(jt__lines_append(l, "x", 1) == JT_EIO);
	check(jt__lines_lost(l) == 2);
	jt__lines_close(l);
}

int main(void)
{
	test(a_record_reads_back_as_it_was_written);
	test(unknown_figures_are_null);
	test(a_mean_count_is_a_decimal);
	test(a_bad_record_names_the_field);
	test(lines_are_appended_and_follow_a_rotation);
	test(a_new_recording_sets_the_old_one_aside);
	test(half_a_line_does_not_spoil_the_next);
	test(a_full_disk_is_counted);
	return tap_done();
}
