/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/rng.h"
#include "sources/decimal.h"
#include "sources/recording.h"
#include "tap.h"

#define ORIGIN UINT64_C(123456789012345)

static struct jt_rng rng = { 42 };

/* Any magnitude, the largest included, but never JT_NONE. */
static uint64_t any_u64(void)
{
	uint64_t v = jt__rng_u64(&rng) >> jt__rng_below(&rng, 64);

	return v == JT_NONE ? v - 1 : v;
}

static void random_domain(struct jt_domain *d, int number)
{
	memset(d, 0, sizeof(*d));
	snprintf(d->name, sizeof(d->name), "gpu:%d", number);
	snprintf(d->source, sizeof(d->source), "nvml");
	snprintf(d->device, sizeof(d->device), "NVIDIA \"A100\"\t80GB \xc3\xa9");
	snprintf(d->uuid, sizeof(d->uuid), "GPU-%d", number);
	if (number)
		strcpy(d->part_of, "gpu:0");
	d->sensor = jt_sensors[jt__rng_below(&rng, 4)];
	d->sensor.update_ns = 1 + jt__rng_below(&rng, 3600 * JT_NS_PER_S);
	d->sensor.lag_ns = jt__rng_below(&rng, 3600 * JT_NS_PER_S);
	d->sensor.wrap_uj = any_u64();
	d->sensor.gain_ppm = (uint32_t)jt__rng_u64(&rng);
	d->sensor.provenance = (enum jt_provenance)jt__rng_below(&rng, JT_N_PROVENANCES);
	d->valid = (uint32_t)jt__rng_below(&rng, 2048);
}

static void random_sample(struct jt_sample *s)
{
	uint32_t valid = (uint32_t)jt__rng_below(&rng, 2048);

	memset(s, 0, sizeof(*s));
	s->domain = (uint32_t)jt__rng_below(&rng, 3);
	s->status = -(int32_t)jt__rng_below(&rng, 12);
	s->begin_ns = ORIGIN + jt__rng_below(&rng, UINT64_C(1) << 61);
	s->end_ns = s->begin_ns + jt__rng_below(&rng, UINT64_C(1) << 61);
	s->valid = valid;
	s->energy_uj = valid & JT_HAS_ENERGY ? any_u64() : 0;
	s->power_mw = valid & JT_HAS_POWER ? (uint32_t)any_u64() : 0;
	s->power_avg_mw = valid & JT_HAS_POWER_AVG ? (uint32_t)any_u64() : 0;
	s->temperature_mc = valid & JT_HAS_TEMPERATURE ? (int32_t)(uint32_t)jt__rng_u64(&rng) : 0;
	s->sm_clock_mhz = valid & JT_HAS_SM_CLOCK ? (uint32_t)any_u64() : 0;
	s->mem_clock_mhz = valid & JT_HAS_MEM_CLOCK ? (uint32_t)any_u64() : 0;
	s->limit_mw = valid & JT_HAS_LIMIT ? (uint32_t)any_u64() : 0;
	s->reasons = valid & JT_HAS_REASONS ? (uint32_t)any_u64() : 0;
	s->sm_activity_ppm = valid & JT_HAS_SM_ACTIVITY ? (uint32_t)any_u64() : 0;
	s->tensor_activity_ppm = valid & JT_HAS_TENSOR_ACTIVITY ? (uint32_t)any_u64() : 0;
	s->dram_activity_ppm = valid & JT_HAS_DRAM_ACTIVITY ? (uint32_t)any_u64() : 0;
}

static int same_domain(const struct jt_domain *a, const struct jt_domain *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->source, b->source) == 0 &&
	       strcmp(a->device, b->device) == 0 && strcmp(a->uuid, b->uuid) == 0 &&
	       strcmp(a->part_of, b->part_of) == 0 && strcmp(a->missing, b->missing) == 0 &&
	       a->valid == b->valid && memcmp(&a->sensor, &b->sensor, sizeof(a->sensor)) == 0;
}

/* The line in @b without its newline, whose presence is checked. */
static size_t line_length(const struct jt_buf *b)
{
	size_t n = jt__buf_len(b);

	check(!b->failed && n > 1 && jt__buf_bytes(b)[n - 1] == '\n');
	return n - 1;
}

static void heads_come_back_as_they_were(void)
{
	struct jt_domain domains[3];
	struct jt_recording_head h;
	struct jt_error err = { 0 };
	struct jt_buf b;
	int bad = 0;

	jt__buf_init(&b, 1 << 20);
	for (int round = 0; round < 500; round++) {
		uint64_t start = jt__rng_below(&rng, 4000000000) * JT_NS_PER_S + 123 * JT_NS_PER_MS;

		for (int i = 0; i < 3; i++)
			random_domain(&domains[i], i);
		jt__buf_clear(&b);
		jt__recording_put_head(&b, start, domains, 3);
		if (jt__recording_read_head(jt__buf_bytes(&b), line_length(&b), "x:1", &h, &err) !=
		    JT_OK) {
			bad++;
			break;
		}
		bad += h.start_unix_ns != start || h.n_domains != 3;
		for (size_t i = 0; i < h.n_domains; i++)
			bad += !same_domain(&h.domains[i], &domains[i]);
		jt__recording_head_fini(&h);
	}
	check(bad == 0);
	check_text(err.message, "");
	jt__buf_fini(&b);
}

/* Three domains, as the samples below expect them. */
static struct jt_recording_head three_domains(void)
{
	struct jt_recording_head h = { .n_domains = 3,
		                       .domains = jt__alloc(3, sizeof(*h.domains)) };

	for (int i = 0; i < 3; i++)
		random_domain(&h.domains[i], i);
	return h;
}

static void samples_come_back_as_they_were(void)
{
	struct jt_recording_head h = three_domains();
	struct jt_error err = { 0 };
	struct jt_sample s;
	struct jt_entry e;
	struct jt_buf b;
	int bad = 0;

	jt__buf_init(&b, 1 << 20);
	for (int round = 0; round < 20000 && !bad; round++) {
		random_sample(&s);
		jt__buf_clear(&b);
		jt__recording_put_sample(&b, ORIGIN, h.domains[s.domain].name, &s);
		bad += jt__recording_read_entry(&h, jt__buf_bytes(&b), line_length(&b), "x:2",
		                                ORIGIN, &e, &err) != JT_OK;
		bad += e.kind != JT_ENTRY_SAMPLE || memcmp(&e.sample, &s, sizeof(s)) != 0;
	}
	check(bad == 0);
	check_text(err.message, "");
	jt__buf_fini(&b);
	jt__recording_head_fini(&h);
}

static void spans_come_back_as_they_were(void)
{
	struct jt_recording_head h = three_domains();
	struct jt_error err = { 0 };
	struct jt_entry e;
	struct jt_buf b;
	int bad = 0;

	jt__buf_init(&b, 1 << 20);
	for (int round = 0; round < 5000 && !bad; round++) {
		struct jt_span s = { .request = any_u64(), .tokens = (uint32_t)any_u64() };

		s.phase = (enum jt_phase)jt__rng_below(&rng, JT_N_PHASES);
		s.begin_ns = ORIGIN + jt__rng_below(&rng, UINT64_C(1) << 60);
		s.end_ns = s.begin_ns + jt__rng_below(&rng, UINT64_C(1) << 60);
		jt__buf_clear(&b);
		jt__recording_put_span(&b, ORIGIN, &s);
		bad += jt__recording_read_entry(&h, jt__buf_bytes(&b), line_length(&b), "x:2",
		                                ORIGIN, &e, &err) != JT_OK;
		bad += e.kind != JT_ENTRY_SPAN || e.span.request != s.request ||
		       e.span.begin_ns != s.begin_ns || e.span.end_ns != s.end_ns ||
		       e.span.phase != s.phase || e.span.tokens != s.tokens;
	}
	check(bad == 0);
	check_text(err.message, "");
	jt__buf_fini(&b);
	jt__recording_head_fini(&h);
}

static void activity_comes_back_as_it_was(void)
{
	struct jt_recording_head h = three_domains();
	struct jt_error err = { 0 };
	struct jt_entry e;
	struct jt_buf b;
	int bad = 0;

	jt__buf_init(&b, 1 << 20);
	for (int round = 0; round < 5000 && !bad; round++) {
		uint32_t domain = (uint32_t)jt__rng_below(&rng, h.n_domains);
		struct jt_activity a = { .t_ns = ORIGIN + jt__rng_below(&rng, UINT64_C(1) << 60),
			                 .prefill = (int32_t)jt__rng_below(&rng, 2001) - 1000,
			                 .decode = (int32_t)jt__rng_below(&rng, 2001) - 1000 };

		jt__buf_clear(&b);
		jt__recording_put_activity(&b, ORIGIN, h.domains[domain].name, &a);
		bad += jt__recording_read_entry(&h, jt__buf_bytes(&b), line_length(&b), "x:2",
		                                ORIGIN, &e, &err) != JT_OK;
		bad += e.kind != JT_ENTRY_ACTIVITY || e.activity.domain != domain ||
		       memcmp(&e.activity.change, &a, sizeof(a)) != 0;
	}
	check(bad == 0);
	check_text(err.message, "");
	jt__buf_fini(&b);
	jt__recording_head_fini(&h);
}

static int read_entry(const char *line, struct jt_entry *e, struct jt_error *err)
{
	struct jt_recording_head h = three_domains();
	int status;

	memset(err, 0, sizeof(*err));
	status = jt__recording_read_entry(&h, line, strlen(line), "run.jsonl:7", 0, e, err);
	jt__recording_head_fini(&h);
	return status;
}

static void what_is_absent_is_unknown_and_not_zero(void)
{
	struct jt_error err;
	struct jt_entry e;

	check(read_entry(
		      "{\"sample\":{\"domain\":\"gpu:1\",\"t_s\":1.5,\"t_end_s\":1.5,\"power_w\":0,"
		      "\"energy_j\":null}}",
		      &e, &err) == JT_OK);
	check(e.sample.valid == JT_HAS_POWER && e.sample.power_mw == 0 && e.sample.domain == 1);
	check(e.sample.begin_ns == 1500000000);
}

static void unknown_keys_and_lines_are_ignored(void)
{
	struct jt_error err;
	struct jt_entry e;

	check(read_entry("{\"sample\":{\"new\":{\"a\":[1,-2.5e3,\"3\"]},\"domain\":\"gpu:0\",\"t_"
	                 "s\":0,"
	                 "\"t_end_s\":1e-3,\"power_w\":7.5e1},\"more\":true}",
	                 &e, &err) == JT_OK);
	check(e.sample.power_mw == 75000 && e.sample.end_ns == 1000000);
	check(read_entry("{\"marker\":{\"t_s\":1}}", &e, &err) == JT_EAGAIN);
	check(read_entry("{}", &e, &err) == JT_EAGAIN);
}

static void a_status_of_a_later_version_is_a_failure(void)
{
	struct jt_error err;
	struct jt_entry e;

	check(read_entry("{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":0,\"t_end_s\":0,\"status\":"
	                 "\"JT_ELOST\"}}",
	                 &e, &err) == JT_OK);
	check(e.sample.status == JT_ELOST && e.sample.valid == 0);
	check(read_entry("{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":0,\"t_end_s\":0,\"status\":"
	                 "\"JT_ENEW\"}}",
	                 &e, &err) == JT_OK);
	check(e.sample.status == JT_EIO);
}

static void errors_name_the_line_and_the_field(void)
{
	static const char *const cases[][2] = {
		{ "", "the line is not a JSON object" },
		{ "[1]", "the line is not a JSON object" },
		{ "7", "the line is not a JSON object" },
		{ "{\"sample\":3}", "'sample' is not an object" },
		{ "{\"sample\":{\"t_s\":1,\"t_end_s\":1}}", "'domain' is missing" },
		{ "{\"sample\":{\"domain\":3,\"t_s\":1,\"t_end_s\":1}}", "'domain' is not a text" },
		{ "{\"sample\":{\"domain\":\"gpu:9\",\"t_s\":1,\"t_end_s\":1}}",
		  "'domain' is 'gpu:9', which the first line does not list" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_end_s\":1}}", "'t_s' is missing" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":2,\"t_end_s\":1}}",
		  "'t_end_s' is before 't_s'" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":\"2\",\"t_end_s\":2}}",
		  "'t_s' is not a number" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":1e10,\"t_end_s\":1}}",
		  "'t_s' is out of range: 1e10" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":1,\"t_end_s\":1,\"power_w\":-1}}",
		  "'power_w' is out of range: -1" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":1,\"t_end_s\":1,\"power_w\":5000000}}",
		  "'power_w' is out of range: 5000000" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":1,\"t_end_s\":1,\"power_w\":true}}",
		  "'power_w' is not a number" },
		{ "{\"sample\":{\"domain\":\"gpu:0\",\"t_s\":1,\"t_end_s\":1,\"temperature_c\":-"
		  "9e99}}",
		  "'temperature_c' is out of range: -9e99" },
		{ "{\"span\":{\"phase\":\"lunch\",\"begin_s\":1,\"end_s\":1,\"request\":1,"
		  "\"tokens\":1}}",
		  "'phase' is unknown: 'lunch'" },
		{ "{\"span\":{\"phase\":\"decode\",\"begin_s\":1,\"end_s\":1,\"tokens\":1}}",
		  "'request' is missing" },
		{ "{\"activity\":[]}", "'activity' is not an object" },
		{ "{\"activity\":{\"domain\":\"gpu:0\",\"prefill\":1,\"decode\":1}}",
		  "'t_s' is missing" },
		{ "{\"activity\":{\"domain\":\"gpu:0\",\"t_s\":1,\"prefill\":1}}",
		  "'decode' is missing" },
		{ "{\"jouletap_recording\":1}",
		  "another recording begins here: replay them one at a time" },
	};
	struct jt_error err;
	struct jt_entry e;

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(read_entry(cases[i][0], &e, &err) == JT_EINVAL);
		check_text(err.where, "run.jsonl:7");
		check_text(err.message, cases[i][1]);
	}
	check(read_entry("{\"sample\":{\"domain\":\"gpu:0\"", &e, &err) == JT_EINVAL);
	check(strncmp(err.message, "the line is not a JSON object: ", 31) == 0);
}

static int read_head(const char *line, struct jt_error *err)
{
	struct jt_recording_head h;
	int status;

	memset(err, 0, sizeof(*err));
	status = jt__recording_read_head(line, strlen(line), "run.jsonl:1", &h, err);
	if (status == JT_OK)
		jt__recording_head_fini(&h);
	return status;
}

#define SENSOR                                                                                     \
	"\"sensor\":{\"kind\":\"ga100\",\"provenance\":\"measured\",\"update_s\":0.1,\"window_"    \
	"s\":0,"                                                                                   \
	"\"avg_window_s\":0,\"lag_s\":0,\"wrap_j\":0,\"step_j\":0.001,\"gain\":0.05,\"max_power_"  \
	"w\":9}"
#define HEAD(version, domains)                                                                     \
	"{\"jouletap_recording\":" version                                                         \
	",\"start\":\"2026-01-31T12:00:00Z\",\"domains\":" domains "}"
#define DOMAIN "{\"name\":\"gpu:0\",\"source\":\"nvml\"," SENSOR "}"

static void heads_that_cannot_be_right_are_refused(void)
{
	struct jt_error err;

	check(read_head(HEAD("1", "[" DOMAIN "]"), &err) == JT_OK);
	check(read_head(HEAD("2", "[" DOMAIN "]"), &err) == JT_ENOTSUP);
	check_text(err.message, "the recording has version 2, this program reads version 1");
	check(read_head("{\"hello\":1}", &err) == JT_EINVAL);
	check_text(err.message,
	           "not a jouletap recording: the first line has no 'jouletap_recording'");
	check(read_head(HEAD("1", "[]"), &err) == JT_EINVAL);
	check_text(err.message, "'domains' is not a list of 1 to 1024 domains");
	check(read_head(HEAD("1", "[" DOMAIN "," DOMAIN "]"), &err) == JT_EINVAL);
	check_text(err.message, "domain 'gpu:0' is listed twice");
	check(read_head(HEAD("1", "[{\"name\":\"gpu:0\",\"source\":\"nvml\"}]"), &err) ==
	      JT_EINVAL);
	check_text(err.message, "'sensor' is missing");
	check(read_head("{\"jouletap_recording\":1,\"start\":\"noon\",\"domains\":[]}", &err) ==
	      JT_EINVAL);
	check_text(err.message, "'start' is not an RFC 3339 time: 'noon'");
	check(read_head(
		      HEAD("1",
	                   "[{\"name\":\"0123456789012345678901234567890123\",\"source\":\"x\"}]"),
		      &err) == JT_EINVAL);
	check_text(err.message, "'name' is longer than 31 bytes");
}

static void decimals_are_exact(void)
{
	static const struct {
		const char *text;
		unsigned digits;
		uint64_t want; /* JT_NONE: not a number that fits */
	} cases[] = {
		{ "0", 6, 0 },
		{ "18446744073709.551614", 6, UINT64_MAX - 1 },
		{ "18446744073709.551616", 6, JT_NONE },
		{ "71.23", 3, 71230 },
		{ ".5", 3, 500 },
		{ "5.", 3, 5000 },
		{ "0.0004999999999999999999999999999999999999999", 3, 0 },
		{ "0.0005", 3, 1 },
		{ "1.2e2", 0, 120 },
		{ "12e-1", 0, 1 },
		{ "15e-1", 0, 2 },
		{ "1e-400", 9, 0 },
		{ "0e999", 9, 0 },
		{ "1e999", 0, JT_NONE },
		{ "1e99999999999", 0, JT_NONE },
		{ "0000000000000000000000000000000000000000000000000007", 0, 7 },
		{ "", 0, JT_NONE },
		{ ".", 0, JT_NONE },
		{ "-1", 0, JT_NONE },
		{ "+1", 0, JT_NONE },
		{ "1e", 0, JT_NONE },
		{ "1 ", 0, JT_NONE },
		{ "1.2.3", 0, JT_NONE },
		{ "0x10", 0, JT_NONE },
		{ "nan", 0, JT_NONE },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		uint64_t v = JT_NONE;
		bool fits = jt__parse_decimal(cases[i].text, strlen(cases[i].text), cases[i].digits,
		                              &v);

		check(fits == (cases[i].want != JT_NONE));
		check(v == cases[i].want);
	}
}

static void running_out_of_memory_is_an_error(void)
{
	const char *line = HEAD("1", "[" DOMAIN "]");
	struct jt_error err;
	int failures = 0;

	for (uint64_t nth = 1; nth < 100; nth++) {
		int status;

		jt__alloc_fail_at(nth);
		status = read_head(line, &err);
		jt__alloc_fail_at(0);
		if (status == JT_OK)
			break;
		check(status == JT_ENOMEM);
		failures++;
	}
	check(failures >= 3 && failures < 50);
}

int main(void)
{
	test(decimals_are_exact);
	test(heads_come_back_as_they_were);
	test(samples_come_back_as_they_were);
	test(spans_come_back_as_they_were);
	test(activity_comes_back_as_it_was);
	test(what_is_absent_is_unknown_and_not_zero);
	test(unknown_keys_and_lines_are_ignored);
	test(a_status_of_a_later_version_is_a_failure);
	test(errors_name_the_line_and_the_field);
	test(heads_that_cannot_be_right_are_refused);
	test(running_out_of_memory_is_an_error);
	return tap_done();
}
