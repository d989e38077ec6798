/* SPDX-License-Identifier: Apache-2.0 */
/* Also prints a scrape, for tools that judge one: test_metrics.t --print text|openmetrics */
#include <stdlib.h>
#include <unistd.h>
#include "exposition.h"
#include "base/clock.h"
#include "exporters/metrics.h"
#include "ledger/ledger.h"

/* ---- two domains: one that tells everything, one that tells nothing but power ---- */

static uint64_t born_ns;

static int scene_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	(void)o, (void)err;
	*ret_state = &born_ns;
	return JT_OK;
}

static size_t scene_count(const void *state)
{
	(void)state;
	return 2;
}

static void scene_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	(void)state;
	*ret_domain =
		(struct jt_domain){ .source = "scene",
		                    .device = "a \"quoted\\\nname",
		                    .sensor = *jt_sensor_find(i ? "cpumodel" : "volta"),
		                    .valid = i ? JT_HAS_POWER : JT_HAS_ENERGY | JT_HAS_POWER };
	snprintf(ret_domain->name, sizeof(ret_domain->name), "%s:0", i ? "cpu" : "gpu");
	snprintf(ret_domain->part_of, sizeof(ret_domain->part_of), "%s", i ? "" : "module:0");
}

static int scene_read(void *state, size_t i, struct jt_sample *out)
{
	uint64_t ns = jt__now_ns() - *(uint64_t *)state;

	out->valid = JT_HAS_POWER;
	out->power_mw = 100000;
	if (i)
		return JT_OK;
	out->energy_uj = ns / 20000000 * 2000000; /* 100 W, each 20 ms */
	out->limit_mw = 700000;
	out->temperature_mc = 41500;
	out->reasons = JT_REASON_IDLE | JT_REASON_SW_POWER_CAP;
	out->sm_activity_ppm = 250000;
	out->valid |= JT_HAS_ENERGY | JT_HAS_LIMIT | JT_HAS_TEMPERATURE | JT_HAS_REASONS |
	              JT_HAS_SM_ACTIVITY;
	return JT_OK;
}

static void scene_close(void *state)
{
	(void)state;
}

static const struct jt_source_ops scene = { .name = "scene",
	                                    .what = "a scene",
	                                    .open = scene_open,
	                                    .count = scene_count,
	                                    .describe = scene_describe,
	                                    .read = scene_read,
	                                    .close = scene_close };

static struct jt_meter *open_meter(bool with_scene)
{
	static const struct jt_source_ops *const extra[] = { &scene, NULL };
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;

	born_ns = jt__now_ns();
	o.sources.root = "/nonexistent";
	o.sources.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	o.extra_sources = with_scene ? extra : NULL;
	o.period_ns = 10 * JT_NS_PER_MS;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	return m;
}

/* Until every domain has energy, or 20 s. */
static void wait_for_energy(struct jt_meter *m)
{
	for (int tries = 0; tries < 2000; tries++) {
		struct jt_account a, b;

		usleep(10000);
		jt_meter_advance(m, jt__now_ns(), jt__now_ns());
		jt_meter_account(m, 0, &a);
		jt_meter_account(m, 1, &b);
		if (a.meter_uj && b.meter_uj)
			return;
	}
	check(!"energy within 20 s");
}

/* ---- requests ---- */

static struct jt_record request(const char *model, const char *task_class)
{
	struct jt_record r;

	jt__record_init(&r);
	strcpy(r.model, model);
	strcpy(r.task_class, task_class);
	strcpy(r.outcome, "ok");
	r.http_status = 200;
	r.prompt_tokens = 100;
	r.completion_tokens = 40;
	r.queue_uj = 0;
	r.prefill_uj = 2000000;
	r.decode_uj = 10000000;
	r.total_uj = 12000000;
	r.ttft_ns = 250 * JT_NS_PER_MS;
	r.tpot_ns = 20 * JT_NS_PER_MS;
	return r;
}

static void add(struct jt_metrics *m, const char *model, const char *task_class)
{
	struct jt_record r = request(model, task_class);

	jt__metrics_record(m, &r);
}

static struct jt_metrics *new_metrics(void)
{
	struct jt_metrics *m = NULL;

	check(jt__metrics_new(&m, NULL) == JT_OK);
	return m;
}

/* The caller frees it. */
static char *render(const struct jt_metrics *m, struct jt_meter *meter, bool openmetrics)
{
	const struct jt_metrics_extra x = { .n_in_flight = 3,
		                            .n_unmetered = 1,
		                            .n_notes_lost = JT_NONE,
		                            .bookkeeper_cpu_ns = 2500000000,
		                            .workers_cpu_ns = JT_NONE };
	struct jt_buf b;
	char *text;

	jt__buf_init(&b, 16 << 20);
	jt__metrics_render(m, meter, &x, openmetrics, &b);
	check(!b.failed);
	text = strndup(jt__buf_bytes(&b), jt__buf_len(&b));
	jt__buf_fini(&b);
	return text;
}

/* The value of the series whose line begins so; NaN: there is none. */
static double value_of(const char *scrape, const char *series)
{
	size_t n = strlen(series);

	for (const char *p = scrape; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
		if (strncmp(p, series, n) == 0 && p[n] == ' ')
			return strtod(p + n, NULL);
	return NAN;
}

/* A scrape of the text format without domains, linted in both. */
static char *scrape(const struct jt_metrics *m)
{
	struct jt_meter *meter = open_meter(false);
	char *text = render(m, meter, false), *open = render(m, meter, true);

	lint(text, false);
	lint(open, true);
	free(open);
	jt_meter_free(meter);
	return text;
}

#define CHAT "{model=\"m\",task_class=\"chat\""

static void requests_add_up(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_record gone = request("m", "chat");
	char *s;

	strcpy(gone.outcome, "client_gone");
	gone.completion_tokens = 0;
	gone.ttft_ns = gone.tpot_ns = JT_NONE;
	add(m, "m", "chat");
	add(m, "m", "chat");
	add(m, "m", "batch");
	jt__metrics_record(m, &gone);
	s = scrape(m);
	check(value_of(s, "jouletap_joules_total" CHAT ",phase=\"prefill\"}") == 6);
	check(value_of(s, "jouletap_joules_total" CHAT ",phase=\"decode\"}") == 30);
	check(value_of(s, "jouletap_tokens_total" CHAT ",phase=\"prefill\"}") == 300);
	check(value_of(s, "jouletap_tokens_total" CHAT ",phase=\"decode\"}") == 80);
	check(value_of(s, "jouletap_requests_total" CHAT ",outcome=\"ok\"}") == 2);
	check(value_of(s, "jouletap_requests_total" CHAT ",outcome=\"client_gone\"}") == 1);
	check(value_of(s, "jouletap_request_joules_count" CHAT "}") == 3);
	check(value_of(s, "jouletap_request_joules_sum" CHAT "}") == 36);
	check(value_of(s, "jouletap_request_joules_bucket" CHAT ",le=\"10\"}") == 0);
	check(value_of(s, "jouletap_request_joules_bucket" CHAT ",le=\"30\"}") == 3);
	check(value_of(s, "jouletap_output_token_joules_sum" CHAT "}") == 0.5);
	check(value_of(s, "jouletap_time_to_first_token_seconds_bucket" CHAT ",le=\"0.25\"}") == 2);
	check(value_of(s, "jouletap_time_to_first_token_seconds_bucket" CHAT ",le=\"0.1\"}") == 0);
	check(value_of(s, "jouletap_time_per_output_token_seconds_count" CHAT "}") == 2);
	check(value_of(s, "jouletap_requests_in_flight") == 3);
	free(s);
	jt__metrics_free(m);
}

/* Each was metered at 12 J. */
static void predictions_are_judged_by_what_was_metered(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_record good = request("m", "chat"), low = good, gone = good, blind = good;
	char *s;

	good.predicted_uj = 10000000;
	low.predicted_uj = 3000000;
	gone.predicted_uj = blind.predicted_uj = 7000000;
	strcpy(gone.outcome, "client_gone");
	blind.total_uj = JT_NONE;
	jt__metrics_record(m, &good);
	jt__metrics_record(m, &low);
	jt__metrics_record(m, &gone);
	jt__metrics_record(m, &blind);
	add(m, "m", "chat"); /* nothing was predicted */
	s = scrape(m);
	check(value_of(s, "jouletap_predicted_joules_total" CHAT "}") == 13);
	check(value_of(s, "jouletap_measured_to_predicted_ratio_count" CHAT "}") == 2);
	check_near(value_of(s, "jouletap_measured_to_predicted_ratio_sum" CHAT "}"), 5.2, 1e-9);
	check(value_of(s, "jouletap_measured_to_predicted_ratio_bucket" CHAT ",le=\"1.1\"}") == 0);
	check(value_of(s, "jouletap_measured_to_predicted_ratio_bucket" CHAT ",le=\"1.25\"}") == 1);
	check(value_of(s, "jouletap_measured_to_predicted_ratio_bucket" CHAT ",le=\"4\"}") == 2);
	free(s);
	jt__metrics_free(m);
}

static void what_is_not_known_is_left_out(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_record r;
	char *s;

	jt__record_init(&r);
	strcpy(r.model, "unmetered");
	strcpy(r.outcome, "ok");
	jt__metrics_record(m, &r);
	s = scrape(m);
	check(value_of(s, "jouletap_requests_total{model=\"unmetered\",task_class=\"\",outcome="
	                  "\"ok\"}") == 1);
	check(strstr(s, "jouletap_joules_total") == NULL);
	check(strstr(s, "jouletap_tokens_total") == NULL);
	check(strstr(s, "jouletap_request_joules") == NULL);
	check(strstr(s, "predicted") == NULL);
	check(strstr(s, "jouletap_lost_notes_total") == NULL);
	check(strstr(s, "jouletap_domain") == NULL);
	check(strstr(s, "null") == NULL && strstr(s, "NaN") == NULL);
	free(s);
	jt__metrics_free(m);
}

static void hostile_names_do_not_break_a_scrape(void)
{
	static const char *const names[] = { "\"} 1\njouletap_joules_total 99\n#",
		                             "back\\slash\\",
		                             "\xff\xfe half \xe2\x82",
		                             "\xed\xa0\x80",
		                             "tab\tand\r\x01",
		                             "\xf0\x9f\x92\xa9",
		                             "# EOF",
		                             "{}=,",
		                             "" };
	struct jt_metrics *m = new_metrics();
	char *s;

	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++)
		add(m, names[i], "chat\n\"");
	/* different bytes, but the same once what is not UTF-8 is replaced */
	add(m, "same\xff", "x");
	add(m, "same\xfe", "x");
	add(m, "same?", "x");
	s = scrape(m);
	check(value_of(s,
	               "jouletap_requests_total{model=\"\\\"} 1\\njouletap_joules_total 99\\n#\","
	               "task_class=\"chat\\n\\\"\",outcome=\"ok\"}") == 1);
	check(value_of(
		      s,
		      "jouletap_requests_total{model=\"same?\",task_class=\"x\",outcome=\"ok\"}") ==
	      3);
	check(isnan(value_of(s, "jouletap_joules_total")));
	free(s);
	jt__metrics_free(m);
}

static void any_bytes_make_a_valid_scrape(void)
{
	struct jt_metrics *m = new_metrics();
	uint64_t state = 1;

	for (int i = 0; i < 200; i++) {
		char name[64] = "";

		for (int k = 0; k < 63; k++) {
			state = state * 6364136223846793005u + 1442695040888963407u;
			name[k] = (char)(state >> 33);
		}
		add(m, name, "x");
	}
	free(scrape(m));
	jt__metrics_free(m);
}

static void the_number_of_series_is_bounded(void)
{
	struct jt_metrics *m = new_metrics();
	char name[64], *s;
	size_t before;

	add(m, "other", "other"); /* a client may well say so */
	for (int i = 0; i < JT_METRICS_MAX_PAIRS + 44; i++) {
		snprintf(name, sizeof(name), "model-%d", i);
		add(m, name, "chat");
	}
	s = scrape(m);
	check(value_of(s, "jouletap_requests_total{model=\"model-255\",task_class=\"chat\",outcome="
	                  "\"ok\"}") == 1);
	check(strstr(s, "model-256") == NULL);
	check(value_of(s, "jouletap_requests_total{model=\"other\",task_class=\"other\",outcome="
	                  "\"ok\"}") == 45);
	check(value_of(s, "jouletap_joules_total{model=\"other\",task_class=\"other\",phase="
	                  "\"decode\"}") == 450);
	check(value_of(s, "jouletap_other_requests_total") == 44);
	before = lint(s, false);
	free(s);
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "more-%d", i);
		add(m, name, "chat");
	}
	s = scrape(m);
	check(lint(s, false) == before);
	free(s);
	jt__metrics_free(m);
}

static void refused_names_take_no_place(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_record r = request("no-such-model", "chat");
	char *s;

	strcpy(r.outcome, "rejected");
	r.http_status = 404;
	jt__metrics_record(m, &r);
	add(m, "m", "chat");
	strcpy(r.model, "m");
	jt__metrics_record(m, &r);
	s = scrape(m);
	check(strstr(s, "no-such-model") == NULL);
	check(value_of(s, "jouletap_requests_total{model=\"other\",task_class=\"other\",outcome="
	                  "\"rejected\"}") == 1);
	check(value_of(s, "jouletap_requests_total" CHAT ",outcome=\"rejected\"}") == 1);
	free(s);
	jt__metrics_free(m);
}

static void absurd_figures_stay_at_the_top(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_record r = request("m", "chat");
	char *s;

	r.completion_tokens = r.prompt_tokens = r.decode_uj = r.total_uj = r.ttft_ns = JT_NONE - 1;
	for (int i = 0; i < 3; i++)
		jt__metrics_record(m, &r);
	s = scrape(m);
	check(value_of(s, "jouletap_tokens_total" CHAT ",phase=\"decode\"}") > 1e19);
	check(value_of(s, "jouletap_request_joules_bucket" CHAT ",le=\"+Inf\"}") == 3);
	free(s);
	jt__metrics_free(m);
}

static void domains_tell_what_they_know(void)
{
	struct jt_metrics *m = new_metrics();
	struct jt_meter *meter = open_meter(true);
	double joules, parts;
	char *s, *open;

	wait_for_energy(meter);
	s = render(m, meter, false);
	open = render(m, meter, true);
	lint(s, false);
	lint(open, true);
	joules = value_of(s,
	                  "jouletap_domain_joules_total{domain=\"gpu:0\",provenance=\"measured\"}");
	parts = value_of(s, "jouletap_idle_joules_total{domain=\"gpu:0\"}") +
	        value_of(s, "jouletap_unattributed_joules_total{domain=\"gpu:0\"}") +
	        value_of(s, "jouletap_attributed_joules_total{domain=\"gpu:0\"}");
	check(joules > 0);
	check_near(parts, joules, 1e-6);
	check(value_of(s, "jouletap_conservation_error_joules{domain=\"gpu:0\"}") == 0);
	check(value_of(s,
	               "jouletap_domain_joules_total{domain=\"cpu:0\",provenance=\"modelled\"}") >
	      0);
	check(value_of(s, "jouletap_domain_power_watts{domain=\"gpu:0\"}") == 100);
	check(value_of(s, "jouletap_domain_power_limit_watts{domain=\"gpu:0\"}") == 700);
	check(isnan(value_of(s, "jouletap_domain_power_limit_watts{domain=\"cpu:0\"}")));
	check(value_of(s, "jouletap_domain_temperature_celsius{domain=\"gpu:0\"}") == 41.5);
	check(isnan(value_of(s, "jouletap_domain_temperature_celsius{domain=\"cpu:0\"}")));
	check(value_of(s, "jouletap_domain_activity_ratio{domain=\"gpu:0\",unit=\"sm\"}") == .25);
	check(isnan(value_of(s, "jouletap_domain_activity_ratio{domain=\"gpu:0\",unit=\"dram\"}")));
	check(value_of(s, "jouletap_domain_throttled{domain=\"gpu:0\",reason=\"sw_power_cap\"}") ==
	      1);
	check(value_of(s, "jouletap_domain_throttled{domain=\"gpu:0\",reason=\"hw_thermal\"}") ==
	      0);
	check(isnan(
		value_of(s, "jouletap_domain_throttled{domain=\"cpu:0\",reason=\"hw_thermal\"}")));
	check(value_of(s, "jouletap_domain_sensor_valid{domain=\"gpu:0\"}") == 1);
	check(isnan(value_of(s, "jouletap_domain_cross_check_ratio{domain=\"cpu:0\"}")));
	check(value_of(s, "jouletap_domain_sensor_events_total{domain=\"gpu:0\",event=\"wrap\"}") ==
	      0);
	check(value_of(s,
	               "jouletap_domain_info{domain=\"gpu:0\",source=\"scene\","
	               "device=\"a "
	               "\\\"quoted\\\\?name\",uuid=\"\",sensor=\"volta\",part_of=\"module:0\"}") ==
	      1);
	check(value_of(s, "jouletap_process_cpu_seconds_total") > 0);
	check(value_of(s, "jouletap_process_resident_memory_bytes") > 1e6);
	check(strstr(open, "# TYPE jouletap_domain_joules counter\n") != NULL);
	check(strstr(open, "# UNIT jouletap_domain_joules joules\n") != NULL);
	check(strstr(open, "# TYPE jouletap_build info\n") != NULL);
	free(s);
	free(open);
	jt_meter_free(meter);
	jt__metrics_free(m);
}

static void a_scrape_that_does_not_fit_is_marked(void)
{
	const struct jt_metrics_extra x = { 0 };
	struct jt_metrics *m = new_metrics();
	struct jt_meter *meter = open_meter(false);
	struct jt_buf b;

	jt__buf_init(&b, 500);
	jt__metrics_render(m, meter, &x, false, &b);
	check(b.failed);
	jt__buf_fini(&b);
	jt_meter_free(meter);
	jt__metrics_free(m);
}

static void no_memory_is_an_error(void)
{
	struct jt_metrics *m = NULL;
	struct jt_error err;

	jt__alloc_fail_at(1);
	check(jt__metrics_new(&m, &err) == JT_ENOMEM && !m);
	jt__alloc_fail_at(0);
}

static int print_a_scrape(bool openmetrics)
{
	struct jt_metrics *m = new_metrics();
	struct jt_meter *meter = open_meter(true);
	char *s;

	add(m, "meta-llama/Llama-3.1-8B-Instruct", "chat");
	add(m, "\"} 1\nbroken\\", "batch\xff");
	wait_for_energy(meter);
	s = render(m, meter, openmetrics);
	fputs(s, stdout);
	free(s);
	jt_meter_free(meter);
	jt__metrics_free(m);
	return tap_in_test != 0;
}

/* A row of the table in docs/metrics.md. */
static void print_family(void *user, const struct jt_family *f)
{
	static const char *const kinds[] = { "gauge", "counter", "gauge", "histogram" };
	static const char *const suffixes[] = { "", "_total", "_info", "" };

	(void)user;
	printf("| `jouletap_%s%s` | %s | %s | %s |\n", f->name, suffixes[f->kind], kinds[f->kind],
	       f->labels ? f->labels : "", f->help);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--print") == 0 && strcmp(argv[2], "families") == 0) {
		jt__metrics_families(print_family, NULL);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "--print") == 0)
		return print_a_scrape(strcmp(argv[2], "openmetrics") == 0);
	test(requests_add_up);
	test(predictions_are_judged_by_what_was_metered);
	test(what_is_not_known_is_left_out);
	test(hostile_names_do_not_break_a_scrape);
	test(any_bytes_make_a_valid_scrape);
	test(the_number_of_series_is_bounded);
	test(refused_names_take_no_place);
	test(absurd_figures_stay_at_the_top);
	test(domains_tell_what_they_know);
	test(a_scrape_that_does_not_fit_is_marked);
	test(no_memory_is_an_error);
	return tap_done();
}
