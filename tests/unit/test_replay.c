/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "base/rng.h"
#include "sources/replay.h"
#include "sources/source.h"
#include "tap.h"

#define HEADER "timestamp, index, power.draw [W]\n"

static char folder[] = "/tmp/jouletap-replay-XXXXXX";
static char path[128];
static char warnings[1024];
static struct jt_error err;

static void note_warning(void *user, enum jt_log_level level, const char *module, const char *text)
{
	size_t n = strlen(warnings);

	(void)user;
	(void)level;
	(void)module;
	snprintf(warnings + n, sizeof(warnings) - n, "%s\n", text);
}

/* @text as file @name; its path is in @path. */
static void write_file(const char *name, const char *text, size_t n)
{
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "w");
	if (!check(f != NULL))
		return;
	check(fwrite(text, 1, n, f) == n);
	fclose(f);
	warnings[0] = '\0';
	memset(&err, 0, sizeof(err));
}

static int load_text(const char *name, const char *text, const char *sensor, struct jt_tracks *ret)
{
	write_file(name, text, strlen(text));
	memset(ret, 0, sizeof(*ret));
	return jt__replay_load(path, sensor, ret, &err);
}

static const char *kind_of(const char *name, const char *text)
{
	static char kind[32];
	struct jt_tracks ts;

	if (!check(load_text(name, text, NULL, &ts) == JT_OK))
		return "";
	snprintf(kind, sizeof(kind), "%s", ts.tracks[0].info.sensor.name);
	jt__tracks_fini(&ts);
	return kind;
}

static void recognises_the_sensor(void)
{
	const char *one = HEADER "2024/05/01 12:00:00, 0, 70 W\n";
	const char *named = "timestamp, name, power.draw [W]\n"
			    "2024/05/01 12:00:00, NVIDIA H100 80GB HBM3, 70 W\n";

	check_text(kind_of("x.csv", named), "gh100");
	check_text(kind_of("A100_x.csv", named), "gh100");
	check_text(kind_of("A100_transient_nvidia_smi.csv", one), "ga100");
	check_text(kind_of("run-RTX3090.csv", one), "ga10x");
	check_text(kind_of("gh200.csv", one), "gh100");
	check_text(warnings, "");
	check_text(kind_of("part4_test4.csv", one), "gpu");
	check(strstr(warnings, "part4_test4.csv: gpu:0: kind of GPU unknown") != NULL);
	check(strstr(warnings, "try: --sensor KIND ('jouletap devices --sensors'") != NULL);
}

/* How often the readings of the file change, as the loaded sensor says. */
static double update_ms(const char *text)
{
	struct jt_tracks ts;
	double ms;

	if (!check(load_text("x.csv", text, NULL, &ts) == JT_OK))
		return 0;
	ms = (double)ts.tracks[0].info.sensor.update_ns * 1e-6;
	jt__tracks_fini(&ts);
	return ms;
}

static void learns_how_often_the_readings_of_an_unknown_gpu_change(void)
{
	char text[16384];
	size_t n = (size_t)snprintf(text, sizeof(text), "t_s,power_draw_w\n");

	for (int i = 0; i < 300; i++) /* polled each 5 ms */
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%d.%03d,%d\n", i * 5 / 1000,
		                      i * 5 % 1000, 50 + i / 4 % 7);
	check_near(update_ms(text), 20, 0.5);
	n = (size_t)snprintf(text, sizeof(text), "t_s,power_draw_w\n");
	for (int i = 0; i < 300; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%d.%03d,%d\n", i * 5 / 1000,
		                      i * 5 % 1000, 50 + i / 20 % 7);
	check_near(update_ms(text), 100, 2);
}

static void takes_the_sensor_that_it_is_told(void)
{
	struct jt_tracks ts;

	check(load_text("A100.csv", HEADER "2024/05/01 12:00:00, 0, 70 W\n", "ada", &ts) == JT_OK);
	check_text(ts.tracks[0].info.sensor.name, "ada");
	check(ts.tracks[0].samples[0].valid == JT_HAS_POWER_AVG);
	jt__tracks_fini(&ts);
	check(load_text("A100.csv", HEADER, "a1000", &ts) == JT_EINVAL);
	check(strstr(err.message, "no sensor kind 'a1000'") && strstr(err.message, "--sensors"));
}

static void a_cut_last_row_is_left_out_and_said(void)
{
	struct jt_tracks ts;

	check(load_text("A100.csv",
	                HEADER "2024/05/01 12:00:00, 0, 70 W\n2024/05/01 12:00:01, 0, 7", NULL,
	                &ts) == JT_OK);
	check(ts.n_entries == 1);
	check_text(warnings, "A100.csv:3: the last line is cut and was left out\n");
	jt__tracks_fini(&ts);
}

static void what_was_left_out_is_said_once(void)
{
	struct jt_tracks ts;

	check(load_text("A100.csv",
	                HEADER "2024/05/01 12:00:01, 0, 70 W\r\n2024/05/01 12:00:00, 0, 70 W\r\n"
	                       "No devices were found\r\n",
	                NULL, &ts) == JT_OK);
	check(ts.n_entries == 1);
	check_text(warnings, "A100.csv: the clock stepped back: 1 rows were left out\n"
	                     "A100.csv: 1 lines say that a GPU could not be read\n");
	jt__tracks_fini(&ts);
}

static void refuses_what_it_cannot_read(void)
{
	static const struct {
		const char *text, *where, *message;
	} cases[] = {
		{ "", "f.csv", "the file is empty" },
		{ "\n\n", "f.csv", "no row with a reading in it" },
		{ HEADER, "f.csv", "no row with a reading in it" },
		{ HEADER "\nnonsense\n", "f.csv:3", "1 columns where the header has 3" },
		{ "\xff\xfet", "f.csv",
		  "the file is UTF-16, as PowerShell writes it; try: iconv -f UTF-16 -t UTF-8" },
		{ "{\"a\":1}\n", "f.csv:1",
		  "not a jouletap recording: the first line has no 'jouletap_recording'" },
	};
	struct jt_tracks ts;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(load_text("f.csv", cases[i].text, NULL, &ts) == JT_EINVAL);
		check_text(err.where, cases[i].where);
		check_text(err.message, cases[i].message);
	}
	check(jt__replay_load("/nowhere/x.csv", NULL, &ts, &err) == JT_ENOENT);
	check_text(err.message, "cannot open '/nowhere/x.csv': No such file or directory");
	check(jt__replay_load(folder, NULL, &ts, &err) == JT_EINVAL);
	check(jt__replay_load("/dev/null", NULL, &ts, &err) == JT_EINVAL);
	check_text(err.message, "'/dev/null' is not a regular file");
}

static void skips_a_byte_order_mark(void)
{
	struct jt_tracks ts;

	check(load_text("A100.csv", "\xef\xbb\xbf" HEADER "2024/05/01 12:00:00, 0, 70 W\n", NULL,
	                &ts) == JT_OK);
	check(ts.n_entries == 1);
	jt__tracks_fini(&ts);
}

static void a_line_may_not_be_endless(void)
{
	size_t n = JT_RECORDING_MAX_LINE + 100;
	char *text = malloc(n);
	struct jt_tracks ts;

	if (!check(text != NULL))
		return;
	memset(text, 'x', n);
	memcpy(text, "t_s,power_draw_w\n", 17);
	write_file("f.csv", text, n);
	check(jt__replay_load(path, NULL, &ts, &err) == JT_EINVAL);
	check_text(err.where, "f.csv:2");
	check_text(err.message, "the line is longer than 1048576 bytes");
	free(text);
}

/* A recording of @n samples of two domains and a span after each fourth. */
static void put_recording(struct jt_buf *b, struct jt_sample *samples, size_t n)
{
	struct jt_domain domains[2] = { { .name = "gpu:0", .source = "nvml" },
		                        { .name = "cpu:0", .source = "rapl" } };
	struct jt_rng rng = { 7 };
	uint64_t t = 0;

	domains[0].sensor = *jt_sensor_find("gh100");
	domains[1].sensor = *jt_sensor_find("rapl");
	jt__recording_put_head(b, 1700000000 * JT_NS_PER_S, domains, 2);
	for (size_t i = 0; i < n; i++) {
		struct jt_span span = { .request = i, .begin_ns = t, .end_ns = t + 5, .tokens = 3 };

		t += jt__rng_below(&rng, 100 * JT_NS_PER_MS);
		memset(&samples[i], 0, sizeof(samples[i]));
		samples[i].domain = i % 2;
		samples[i].begin_ns = t;
		samples[i].end_ns = t + jt__rng_below(&rng, JT_NS_PER_MS);
		samples[i].valid = JT_HAS_ENERGY;
		samples[i].energy_uj = jt__rng_u64(&rng) >> 1;
		jt__recording_put_sample(b, 0, domains[i % 2].name, &samples[i]);
		if (i % 4 == 3)
			jt__recording_put_span(b, 0, &span);
		samples[i].begin_ns += JT_REPLAY_ORIGIN_NS;
		samples[i].end_ns += JT_REPLAY_ORIGIN_NS;
	}
}

static void reads_a_recording_in_order(void)
{
	static struct jt_sample samples[1000];
	size_t n_samples = 0, n_spans = 0, bad = 0;
	struct jt_replay *r = NULL;
	struct jt_entry e;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 24);
	put_recording(&b, samples, 1000);
	write_file("r.jsonl", jt__buf_bytes(&b), jt__buf_len(&b));
	check(jt__replay_open(path, NULL, &r, &err) == JT_OK);
	check(jt__replay_n_domains(r) == 2);
	check_text(jt__replay_domain(r, 1)->sensor.name, "rapl");
	check(jt__replay_zero_unix_ns(r) == 1700000000 * JT_NS_PER_S);
	while (jt__replay_next(r, &e, &err) == JT_OK) {
		if (e.kind == JT_ENTRY_SPAN)
			n_spans++;
		else
			bad += memcmp(&e.sample, &samples[n_samples++], sizeof(e.sample)) != 0;
	}
	check(n_samples == 1000 && n_spans == 250 && !bad);
	check_text(err.message, "");
	jt__replay_close(r);
	jt__buf_fini(&b);
}

/* A counter of 100 ms, requests that come and go, one change told a little late. */
static void a_replay_gives_what_the_meter_gave(void)
{
	struct jt_domain domain = { .name = "gpu:0",
		                    .source = "nvml",
		                    .sensor = *jt_sensor_find("ga100") };
	struct jt_timeline *live = NULL, *again = NULL;
	uint64_t at_ns = 0, energy_uj = 5000000;
	struct jt_interval a = { 0 }, b = { 0 };
	struct jt_tracks ts;
	struct jt_buf text;
	struct jt_rng rng = { 17 };
	int busy = 0, bad = 0;

	jt__buf_init(&text, 1 << 24);
	jt__recording_put_head(&text, 1700000000 * JT_NS_PER_S, &domain, 1);
	check(jt_timeline_new(&domain.sensor, 65536, &live, NULL) == JT_OK);
	for (int i = 0; i < 1500; i++) {
		struct jt_activity change = { at_ns + jt__rng_below(&rng, 20 * JT_NS_PER_MS), 0,
			                      0 };
		struct jt_sample s = { .valid = JT_HAS_ENERGY,
			               .begin_ns = at_ns + 20 * JT_NS_PER_MS,
			               .end_ns = at_ns + 20 * JT_NS_PER_MS + 100000 };

		at_ns = s.begin_ns;
		if (i % 13 == 5) {
			change.decode = busy ? -1 : 1;
			busy = !busy;
			jt__recording_put_activity(&text, 0, "gpu:0", &change);
			change.t_ns += JT_REPLAY_ORIGIN_NS;
			jt_timeline_note(live, &change);
		}
		energy_uj += i % 5 ? 0 : busy ? 30000000 : 6000000;
		s.energy_uj = energy_uj;
		jt__recording_put_sample(&text, 0, "gpu:0", &s);
		s.begin_ns += JT_REPLAY_ORIGIN_NS;
		s.end_ns += JT_REPLAY_ORIGIN_NS;
		check(jt_timeline_add(live, &s) == JT_OK);
	}
	write_file("run.jsonl", jt__buf_bytes(&text), jt__buf_len(&text));
	check(jt__replay_load(path, NULL, &ts, &err) == JT_OK);
	check_text(err.message, "");
	check(ts.tracks[0].n == 1500 && ts.tracks[0].n_changes == 115);
	check(jt_timeline_new(&ts.tracks[0].info.sensor, 65536, &again, NULL) == JT_OK);
	jt__track_play(&ts.tracks[0], again);
	for (int i = 0; i < 500; i++) {
		uint64_t from = JT_REPLAY_ORIGIN_NS + jt__rng_below(&rng, 25 * JT_NS_PER_S);
		uint64_t to = from + jt__rng_below(&rng, 2 * JT_NS_PER_S);

		bad += jt_timeline_window(live, from, to, &a) !=
		       jt_timeline_window(again, from, to, &b);
		bad += memcmp(&a, &b, sizeof(a)) != 0;
	}
	check(bad == 0);
	jt_timeline_free(live);
	jt_timeline_free(again);
	jt__tracks_fini(&ts);
	jt__buf_fini(&text);
}

/* Whatever byte a crash stopped the writer at, everything before that line is there. */
static void a_recording_cut_anywhere_keeps_what_came_before(void)
{
	static struct jt_sample samples[6];
	const char *bytes, *p;
	struct jt_buf b;
	size_t head;
	int bad = 0;

	jt__buf_init(&b, 1 << 20);
	put_recording(&b, samples, 6);
	bytes = jt__buf_bytes(&b);
	head = (size_t)(strchr(bytes, '\n') - bytes) + 1;
	for (size_t cut = head; cut <= jt__buf_len(&b); cut++) {
		struct jt_tracks ts = { 0 };
		size_t whole = 0, rest;

		for (p = bytes + head; p < bytes + cut; p++)
			whole += *p == '\n' && strncmp(p - 1, "}\n", 2) == 0;
		for (p = bytes + cut; p[-1] != '\n'; p--)
			;
		rest = (size_t)(bytes + cut - p);
		write_file("r.jsonl", bytes, cut);
		bad += jt__replay_load(path, NULL, &ts, &err) != JT_OK;
		/* a span is after the fourth sample; a line that lacks only its newline is whole */
		whole += rest && bytes[cut] == '\n';
		whole -= whole > 4;
		bad += ts.n_entries != whole;
		bad += (warnings[0] != '\0') != (rest && bytes[cut] != '\n');
		jt__tracks_fini(&ts);
	}
	check(bad == 0);
	for (size_t cut = 1; cut < head - 1; cut++) {
		struct jt_tracks ts;

		write_file("r.jsonl", bytes, cut);
		bad += jt__replay_load(path, NULL, &ts, &err) != JT_EINVAL;
	}
	check(bad == 0);
	jt__buf_fini(&b);
}

static void a_broken_line_in_the_middle_is_an_error(void)
{
	static struct jt_sample samples[4];
	struct jt_tracks ts;
	struct jt_buf b;

	jt__buf_init(&b, 1 << 20);
	put_recording(&b, samples, 4);
	jt__buf_append_text(&b, "{\"sample\":{\"domain\":\"gpu\n{}\n");
	write_file("r.jsonl", jt__buf_bytes(&b), jt__buf_len(&b));
	check(jt__replay_load(path, NULL, &ts, &err) == JT_EINVAL);
	check_text(err.where, "r.jsonl:7");
	jt__buf_fini(&b);
}

static void the_source_gives_each_domain_its_own_samples(void)
{
	static struct jt_sample samples[10];
	struct jt_source_options o = JT_SOURCE_OPTIONS_INIT;
	struct jt_domain d;
	struct jt_sample s;
	struct jt_buf b;
	void *state = NULL;

	check(jt__source_replay.open(&o, &state, &err) == JT_ENOENT);
	jt__buf_init(&b, 1 << 20);
	put_recording(&b, samples, 10);
	write_file("r.jsonl", jt__buf_bytes(&b), jt__buf_len(&b));
	o.replay_file = path;
	check(jt__source_replay.open(&o, &state, &err) == JT_OK);
	check(jt__source_replay.count(state) == 2);
	jt__source_replay.describe(state, 1, &d);
	check_text(d.name, "cpu:0");
	check_text(d.source, "replay");
	check(d.valid == JT_HAS_ENERGY);
	for (size_t i = 1; i < 10; i += 2) {
		check(jt__source_replay.read(state, 1, &s) == JT_OK);
		check(memcmp(&s, &samples[i], sizeof(s)) == 0);
	}
	check(jt__source_replay.read(state, 1, &s) == JT_EAGAIN);
	check(jt__source_replay.read(state, 0, &s) == JT_OK);
	check(s.energy_uj == samples[0].energy_uj);
	jt__source_replay.close(state);
	jt__source_replay.close(NULL);
	jt__buf_fini(&b);
}

static void running_out_of_memory_is_an_error(void)
{
	static struct jt_sample samples[200];
	struct jt_tracks ts;
	struct jt_buf b;
	int failures = 0;

	jt__buf_init(&b, 1 << 20);
	put_recording(&b, samples, 200);
	for (uint64_t nth = 1; nth < 5000; nth++) {
		int status;

		write_file("r.jsonl", jt__buf_bytes(&b), jt__buf_len(&b));
		jt__alloc_fail_at(nth);
		status = jt__replay_load(path, NULL, &ts, &err);
		jt__alloc_fail_at(0);
		if (status == JT_OK)
			break;
		check(status == JT_ENOMEM);
		failures++;
	}
	check(failures > 10);
	jt__tracks_fini(&ts);
	jt__buf_fini(&b);
}

int main(void)
{
	jt_log_set(JT_LOG_WARN, note_warning, NULL);
	if (!mkdtemp(folder))
		return 1;
	test(recognises_the_sensor);
	test(learns_how_often_the_readings_of_an_unknown_gpu_change);
	test(takes_the_sensor_that_it_is_told);
	test(a_cut_last_row_is_left_out_and_said);
	test(what_was_left_out_is_said_once);
	test(refuses_what_it_cannot_read);
	test(skips_a_byte_order_mark);
	test(a_line_may_not_be_endless);
	test(reads_a_recording_in_order);
	test(a_replay_gives_what_the_meter_gave);
	test(a_recording_cut_anywhere_keeps_what_came_before);
	test(a_broken_line_in_the_middle_is_an_error);
	test(the_source_gives_each_domain_its_own_samples);
	test(running_out_of_memory_is_an_error);
	for (const char *const *name =
	             (const char *const[]){ "x.csv", "A100_x.csv", "A100.csv", "f.csv", "r.jsonl",
	                                    "gh200.csv", "run-RTX3090.csv", "part4_test4.csv",
	                                    "A100_transient_nvidia_smi.csv", NULL };
	     *name; name++) {
		snprintf(path, sizeof(path), "%s/%s", folder, *name);
		unlink(path);
	}
	rmdir(folder);
	return tap_done();
}
