/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The meter as a library sees it, on a scripted source with a counter that runs at a known power.
 * Sampling is real: these tests take as long as they say.
 */
#include <stdatomic.h>
#include <time.h>
#include "tap.h"
#include "base/base.h"
#include "base/clock.h"
#include "jouletap/meter.h"
#include "ledger/ledger.h"

#define MS JT_NS_PER_MS

/*
 * Two domains, "gpu:0" at 200 W and "gpu:1" at 50 W, updating at every read; gpu:1 can be cut off.
 */
static uint64_t opened_ns;
static _Atomic int lost;

static int open_script(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	(void)o;
	(void)err;
	opened_ns = jt__now_ns();
	*ret_state = &opened_ns;
	return JT_OK;
}

static size_t count_script(const void *state)
{
	(void)state;
	return 2;
}

static void describe_script(const void *state, size_t i, struct jt_domain *ret_domain)
{
	(void)state;
	*ret_domain = (struct jt_domain){ .source = "script",
		                          .device = "H100-SXM5-80GB",
		                          .valid = JT_HAS_ENERGY };
	snprintf(ret_domain->name, sizeof(ret_domain->name), "gpu:%zu", i);
	ret_domain->sensor = (struct jt_sensor){ .name = "script",
		                                 .what = "",
		                                 .provenance = JT_MEASURED,
		                                 .update_ns = 10 * MS,
		                                 .step_uj = 1,
		                                 .gain_ppm = 10000,
		                                 .max_power_mw = 1000000 };
}

static int read_script(void *state, size_t i, struct jt_sample *out)
{
	(void)state;
	if (i == 1 && lost)
		return out->status = JT_ELOST;
	out->energy_uj = (jt__now_ns() - opened_ns) / 1000 * (i ? 50 : 200);
	out->valid = JT_HAS_ENERGY;
	return out->status = JT_OK;
}

static void close_script(void *state)
{
	(void)state;
}

static const struct jt_source_ops script = { "script",     "a test",        open_script,
	                                     count_script, describe_script, read_script,
	                                     close_script };
static const struct jt_source_ops *const scripts[] = { &script, NULL };

static struct jt_record records[64];
static size_t n_records;

static void on_record(void *user, uint64_t request, const struct jt_record *r)
{
	(void)request;
	(void)user;
	records[n_records++ % 64] = *r;
}

static unsigned n_silent;
static uint64_t last_read_ns[2], longest_gap_ns; /* between a domain's readings, with the later */

static void on_sample(void *user, const struct jt_sample *s)
{
	uint64_t *last_ns = &last_read_ns[s->domain];

	(void)user;
	n_silent += s->status == JT_ETIME;
	if (*last_ns)
		longest_gap_ns = JT_MAX(longest_gap_ns, s->end_ns - *last_ns);
	*last_ns = s->begin_ns;
}

/* What both domains use while a busy machine lets a reading wait: so far off may a cut be. */
static double late_uj(void)
{
	return 0.25 * (double)(longest_gap_ns - JT_MIN(longest_gap_ns, 10 * MS));
}

static struct jt_meter *open_meter(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;

	o.sources.root = "/nonexistent"; /* nothing of this machine */
	o.sources.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	o.extra_sources = scripts;
	o.period_ns = 10 * MS;
	o.on_record = on_record;
	o.on_sample = on_sample;
	lost = 0;
	n_records = n_silent = 0;
	last_read_ns[0] = last_read_ns[1] = longest_gap_ns = 0;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	return m;
}

static void run_for(struct jt_meter *m, uint64_t ns)
{
	uint64_t until = jt__now_ns() + ns;

	while (jt__now_ns() < until) {
		struct timespec nap = { .tv_nsec = 2000000 };
		uint64_t now;

		nanosleep(&nap, NULL);
		now = jt__now_ns();
		jt_meter_advance(m, now, now);
	}
}

/* Until all domains have closed what was before now; a busy machine takes its time. */
static void settle(struct jt_meter *m)
{
	uint64_t t = jt__now_ns(), give_up = t + 5 * JT_NS_PER_S;
	struct jt_interval iv;

	do
		run_for(m, 20 * MS);
	while (jt__now_ns() < give_up && (jt_meter_window(m, 0, t, t, &iv) == JT_EAGAIN ||
	                                  jt_meter_window(m, 1, t, t, &iv) == JT_EAGAIN));
	run_for(m, 5 * MS);
}

static void a_window_has_the_energy_of_its_time(void)
{
	struct jt_meter *m = open_meter();
	struct jt_interval iv = { 0 };
	uint64_t begin, end;
	size_t gpu1;

	run_for(m, 100 * MS);
	begin = jt__now_ns();
	run_for(m, 300 * MS);
	end = jt__now_ns();
	check(jt_meter_window(m, 0, begin, end, &iv) == JT_EAGAIN);
	settle(m);
	check(jt_meter_window(m, 0, begin, end, &iv) == JT_OK);
	check_near(iv.energy_uj * 1e-6, 200e-9 * (double)(end - begin), iv.bound_uj * 1e-6);
	check(iv.provenance == JT_MEASURED);
	check(jt_meter_find_domain(m, "gpu:1", &gpu1) == JT_OK && gpu1 == 1);
	check(jt_meter_find_domain(m, "gpu:7", &gpu1) == JT_ENOENT);
	check(jt_meter_window(m, 7, begin, end, &iv) == JT_ENOENT);
	jt_meter_free(m);
}

static void phases_of_a_window_add_up_to_it(void)
{
	struct jt_meter *m = open_meter();
	struct jt_interval whole = { 0 }, a = { 0 }, b = { 0 };
	struct jt_window *w = NULL;
	uint64_t begin;

	run_for(m, 50 * MS);
	begin = jt__now_ns();
	check(jt_window_begin(m, begin, &w) == JT_OK);
	jt_window_phase(w, begin, "prefill");
	run_for(m, 60 * MS);
	jt_window_phase(w, jt__now_ns(), "decode");
	run_for(m, 120 * MS);
	check(jt_window_read(w, 0, NULL, &whole) == JT_EAGAIN); /* still open */
	jt_window_end(w, jt__now_ns());
	settle(m);
	check(jt_window_read(w, 0, NULL, &whole) == JT_OK);
	check(jt_window_read(w, 0, "prefill", &a) == JT_OK);
	check(jt_window_read(w, 0, "decode", &b) == JT_OK);
	check_near((double)(a.energy_uj + b.energy_uj), (double)whole.energy_uj, 2);
	check(b.energy_uj > a.energy_uj);
	check(jt_window_read(w, 0, "sampling", &a) == JT_ENOENT);
	jt_window_free(w);
	jt_meter_free(m);
}

static struct jt_request_facts facts_of(const char *id, uint64_t tokens)
{
	struct jt_request_facts f = { .engine_prefill_ns = JT_NONE, .engine_decode_ns = JT_NONE };

	jt__record_init(&f.record);
	strcpy(f.record.id, id);
	f.record.completion_tokens = tokens;
	return f;
}

static void a_request_is_charged_on_all_its_domains(void)
{
	static const char *const both[] = { "gpu:0", "gpu:1" };
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	struct jt_request_facts f = facts_of("one", 10);
	struct jt_record peek;
	uint64_t begin, first, end;
	size_t service;

	so.policy = "equal";
	so.domains = both;
	so.n_domains = 2;
	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	run_for(m, 100 * MS);
	begin = jt__now_ns();
	check(jt_request_begin(m, begin, 42, service, &start) == JT_OK);
	check(jt_request_begin(m, begin, 42, service, &start) == JT_EINVAL);
	run_for(m, 50 * MS);
	first = jt__now_ns();
	check(jt_request_progress(m, first, 42, JT_PHASE_DECODE, 101) == JT_OK);
	run_for(m, 150 * MS);
	jt__record_init(&peek);
	end = jt__now_ns();
	check(jt_request_peek(m, end, 42, &peek) == JT_OK);
	check_near((double)peek.total_uj, 0.25 * (double)(end - begin), 1e7 + late_uj());
	check(jt_request_end(m, end, 42, &f) == JT_OK);
	check(jt_meter_n_unsettled(m) == 1);
	settle(m);
	check(n_records == 1 && jt_meter_n_unsettled(m) == 0);
	check_near(records[0].prefill_uj * 1e-6, 250e-9 * (double)(first - begin),
	           records[0].bound_uj * 1e-6);
	check_near(records[0].decode_uj * 1e-6, 250e-9 * (double)(end - first),
	           records[0].bound_uj * 1e-6);
	check(records[0].total_uj == records[0].prefill_uj + records[0].decode_uj);
	check_text(records[0].provenance, "measured");
	check_text(records[0].domains, "gpu:0,gpu:1");
	check_text(records[0].phase_source, "stream");
	check(jt_request_end(m, end, 42, &f) == JT_ENOENT);
	jt_meter_free(m);
}

static void waiting_and_loading_are_not_prefill(void)
{
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start streamed = { 100, 1, 1 }, whole = { 100, 1, 0 };
	struct jt_meter *m = open_meter();
	struct jt_request_facts stream = facts_of("stream", 10), piece = facts_of("piece", 10);
	size_t service;
	uint64_t begin, end;

	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	settle(m);
	begin = jt__now_ns();
	check(jt_request_begin(m, begin, 1, service, &streamed) == JT_OK);
	check(jt_request_begin(m, begin, 2, service, &whole) == JT_OK);
	run_for(m, 100 * MS);
	end = jt__now_ns();
	jt_request_progress(m, begin + (end - begin) / 2, 1, JT_PHASE_DECODE, 101);
	stream.record.queue_ns = (end - begin) / 8;
	stream.record.load_ns = (end - begin) / 8;
	stream.engine_prefill_ns = (end - begin) / 4;
	piece.record.queue_ns = (end - begin) / 4;
	piece.engine_prefill_ns = (end - begin) / 4;
	piece.engine_decode_ns = (end - begin) / 2;
	check(jt_request_end(m, end, 1, &stream) == JT_OK);
	check(jt_request_end(m, end, 2, &piece) == JT_OK);
	settle(m);
	check(n_records == 2);
	for (size_t i = 0; i < 2; i++) {
		const struct jt_record *r = &records[i];
		bool in_one_piece = strcmp(r->id, "piece") == 0;
		uint64_t split_uj = in_one_piece ? r->total_uj / 2 : r->queue_uj + r->prefill_uj;
		double off_uj = (double)split_uj * 0.05 + 2 + late_uj();

		check_text(r->phase_source, "engine");
		check(r->queue_uj + r->prefill_uj + r->decode_uj == r->total_uj && r->total_uj > 0);
		/* the power is the same all the time: half of what went before is the queue's */
		check_near((double)r->queue_uj, (double)split_uj / 2, off_uj);
		check_near((double)r->prefill_uj, (double)split_uj / 2, off_uj);
	}
	jt_meter_free(m);
}

static double concurrency_of(const char *id)
{
	for (size_t i = 0; i < n_records; i++)
		if (strcmp(records[i].id, id) == 0 && records[i].concurrency_milli != JT_NONE)
			return (double)records[i].concurrency_milli * 1e-3;
	return NAN;
}

/* a: 0 to 100 ms, b: 50 to 100 ms, c: 100 to 100 ms; another service has its own company. */
static void a_record_says_how_many_ran_beside_it(void)
{
	static const char *const ids[] = { "a", "b", "c", "elsewhere" };
	static const uint64_t begins[] = { 0, 50 * MS, 100 * MS, 100 * MS };
	struct jt_service_options o = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	size_t service, other;
	uint64_t now;

	check(jt_meter_add_service(m, &o, &service, NULL) == JT_OK);
	o.name = "other";
	check(jt_meter_add_service(m, &o, &other, NULL) == JT_OK);
	run_for(m, 20 * MS);
	now = jt__now_ns();
	for (uint64_t i = 0; i < 4; i++)
		check(jt_request_begin(m, now + begins[i], i, i < 3 ? service : other, &start) ==
		      JT_OK);
	for (uint64_t i = 0; i < 4; i++) {
		struct jt_request_facts f = facts_of(ids[i], 10);

		check(jt_request_end(m, now + 100 * MS, i, &f) == JT_OK);
	}
	run_for(m, 110 * MS);
	settle(m);
	check(n_records == 4);
	check_near(concurrency_of("a"), 1.5, 0.001);
	check_near(concurrency_of("b"), 2, 0.001);
	check_near(concurrency_of("c"), 1, 0.001); /* the last to leave, in no time */
	check_near(concurrency_of("elsewhere"), 1, 0.001);
	jt_meter_free(m);
}

/* Threads tell late what other threads have told already. */
static void what_is_told_late_makes_nobody_less_than_one(void)
{
	struct jt_service_options o = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	struct jt_request_facts late = facts_of("late", 1), other = facts_of("other", 1);
	size_t service;
	uint64_t now;

	check(jt_meter_add_service(m, &o, &service, NULL) == JT_OK);
	run_for(m, 20 * MS);
	now = jt__now_ns();
	check(jt_request_begin(m, now + 40 * MS, 1, service, &start) == JT_OK);
	check(jt_request_begin(m, now, 2, service, &start) == JT_OK);
	check(jt_request_end(m, now + 30 * MS, 2, &late) == JT_OK);
	check(jt_request_end(m, now + 90 * MS, 1, &other) == JT_OK);
	run_for(m, 100 * MS);
	settle(m);
	check(concurrency_of("late") >= 1 && concurrency_of("late") <= 2);
	check_near(concurrency_of("other"), 1, 0.001);
	jt_meter_free(m);
}

/* What the timelines were told, summed up. */
static struct jt_activity told[2];
static size_t n_told;

static void on_activity(void *user, size_t domain, const struct jt_activity *change)
{
	(void)user;
	told[domain].prefill += change->prefill;
	told[domain].decode += change->decode;
	n_told++;
}

static void timelines_are_told_what_runs_on_them(void)
{
	const char *const domains[] = { "gpu:1" };
	struct jt_service_options s = JT_SERVICE_OPTIONS_INIT;
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_request_start start = { .choices = 3, .first_token_visible = 1 }, whole = { 0 };
	struct jt_request_facts facts = { 0 };
	struct jt_meter *m = NULL;
	uint64_t now = jt__now_ns();
	size_t service;

	memset(told, 0, sizeof(told));
	o.sources.root = "/nonexistent";
	o.sources.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	o.extra_sources = scripts;
	o.on_activity = on_activity;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	s.policy = "equal";
	s.domains = domains;
	s.n_domains = 1;
	check(jt_meter_add_service(m, &s, &service, NULL) == JT_OK);
	jt__record_init(&facts.record);
	check(jt_request_begin(m, now, 1, service, &start) == JT_OK);
	check(told[1].prefill == 3 && told[1].decode == 0);
	check(jt_request_progress(m, now + 1, 1, JT_PHASE_DECODE, 10) == JT_OK);
	check(jt_request_progress(m, now + 2, 1, JT_PHASE_DECODE, 99) == JT_OK);
	check(told[1].prefill == 0 && told[1].decode == 3);
	check(jt_request_progress(m, now + 2, 1, JT_PHASE_QUEUE, 99) == JT_OK);
	check(told[1].prefill == 0 && told[1].decode == 0);
	check(jt_request_progress(m, now + 2, 1, JT_PHASE_DECODE, 99) == JT_OK);
	check(jt_request_begin(m, now, 2, service, &whole) == JT_OK);
	check(told[1].prefill == 0 && told[1].decode == 4);
	check(jt_request_end(m, now + 3, 1, &facts) == JT_OK);
	check(jt_request_end(m, now + 3, 2, &facts) == JT_OK);
	check(told[1].prefill == 0 && told[1].decode == 0);
	check(n_told == 8 && told[0].prefill == 0 && told[0].decode == 0);
	jt_meter_free(m);
}

/* Whoever reports requests late keeps samples waiting: no reason to close their time without them.
 */
static void samples_that_wait_for_the_watermark_are_no_silence(void)
{
	struct jt_meter *m = open_meter();
	struct jt_timeline_stats stats;
	struct jt_interval iv = { 0 };
	uint64_t watermark;

	run_for(m, 100 * MS);
	watermark = jt__now_ns();
	while (jt__now_ns() < watermark + 100 * MS)
		jt_meter_advance(m, jt__now_ns(), watermark);
	jt_meter_advance(m, jt__now_ns() + 5 * JT_NS_PER_S, watermark);
	settle(m);
	check(jt_meter_timeline_stats(m, 0, &stats) == JT_OK && stats.n_gaps == 0);
	check(jt_meter_window(m, 0, watermark - 50 * MS, watermark + 50 * MS, &iv) == JT_OK);
	check(iv.coverage_ppm == 1000000);
	jt_meter_free(m);
}

/* Whoever writes samples down needs this one too, to get the same again. */
static void silence_of_a_sensor_is_told_as_a_sample(void)
{
	struct jt_meter *m = open_meter();
	uint64_t later;

	run_for(m, 100 * MS);
	check(n_silent == 0);
	later = jt__now_ns() + 5 * JT_NS_PER_S;
	jt_meter_advance(m, later, later);
	check(n_silent == 2); /* of each domain */
	jt_meter_free(m);
}

static void requests_idle_and_unattributed_are_the_meter(void)
{
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	struct jt_account account;
	uint64_t sum_uj = 0;
	size_t service;

	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	run_for(m, 100 * MS);
	for (uint64_t i = 0; i < 20; i++) {
		struct jt_request_facts f = facts_of("many", i);

		check(jt_request_begin(m, jt__now_ns(), i, service, &start) == JT_OK);
		run_for(m, 10 * MS);
		if (i % 3)
			jt_request_progress(m, jt__now_ns(), i, JT_PHASE_DECODE, 110);
		if (i >= 5) {
			f.record.completion_tokens = i;
			check(jt_request_end(m, jt__now_ns(), i - 5, &f) == JT_OK);
		}
	}
	for (uint64_t i = 15; i < 20; i++) {
		struct jt_request_facts f = facts_of("rest", i);

		check(jt_request_end(m, jt__now_ns(), i, &f) == JT_OK);
	}
	settle(m);
	check(n_records == 20);
	for (size_t i = 0; i < n_records; i++)
		sum_uj += records[i].total_uj;
	for (size_t d = 0; d < 2; d++) {
		check(jt_meter_account(m, d, &account) == JT_OK);
		check(account.error_uj == 0 && account.n_active == 0);
		check(account.meter_uj ==
		      account.requests_uj + account.idle_uj + account.unattributed_uj);
		sum_uj -= account.requests_uj; /* records are the requests of both domains, to the
		                                  µJ of each */
	}
	check((int64_t)sum_uj >= -2 && (int64_t)sum_uj <= 0);
	jt_meter_free(m);
}

static void a_lost_gpu_lowers_coverage_and_holds_nobody_up(void)
{
	static const char *const second[] = { "gpu:1" };
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	struct jt_request_facts f = facts_of("lost", 5);
	size_t service;

	so.domains = second;
	so.n_domains = 1;
	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	run_for(m, 100 * MS);
	jt_request_begin(m, jt__now_ns(), 1, service, &start);
	run_for(m, 100 * MS);
	lost = 1;
	run_for(m, 100 * MS);
	jt_request_end(m, jt__now_ns(), 1, &f);
	run_for(m, 3500 * MS);
	check(n_records == 1);
	check(records[0].coverage_ppm < 900000);
	check_near(records[0].total_uj * 1e-6, 5, 2); /* what was seen of it, and no more */
	jt_meter_free(m);
}

static void a_service_says_what_is_wrong_with_it(void)
{
	static const char *const nowhere[] = { "gpu:9" };
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_meter *m = open_meter();
	struct jt_error err;
	size_t service;

	so.policy = "fair";
	check(jt_meter_add_service(m, &so, &service, &err) == JT_EINVAL);
	check_text(err.message, "unknown policy 'fair': equal, tokens or roofline");
	so.policy = "roofline";
	so.domains = nowhere;
	so.n_domains = 1;
	check(jt_meter_add_service(m, &so, &service, &err) == JT_ENOENT);
	check_text(err.message, "no energy domain 'gpu:9' here; `jouletap devices` lists them");
	so.n_domains = 0;
	so.architecture = "/nonexistent/config.json";
	check(jt_meter_add_service(m, &so, &service, &err) < 0);
	jt_meter_free(m);
}

/* gpu:1 never answers: nobody waits for it beyond 10 s, and what it used is not 0 J. */
static void a_gpu_that_never_answers_is_given_up(void)
{
	static const char *const second[] = { "gpu:1" };
	struct jt_service_options both = JT_SERVICE_OPTIONS_INIT, so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_meter *m = open_meter();
	struct jt_request_facts f = facts_of("silent", 5);
	size_t dark, half;
	uint64_t now;

	lost = 1;
	so.domains = second;
	so.n_domains = 1;
	check(jt_meter_add_service(m, &so, &dark, NULL) == JT_OK);
	check(jt_meter_add_service(m, &both, &half, NULL) == JT_OK);
	run_for(m, 50 * MS);
	jt_request_begin(m, jt__now_ns(), 1, dark, &start);
	jt_request_begin(m, jt__now_ns(), 2, half, &start);
	run_for(m, 200 * MS);
	now = jt__now_ns();
	jt_request_end(m, now, 1, &f);
	jt_request_end(m, now, 2, &f);
	run_for(m, 100 * MS);
	check(n_records == 0 && jt_meter_n_unsettled(m) == 2);
	jt_meter_advance(m, now + 11 * JT_NS_PER_S, now);
	check(n_records == 2 && jt_meter_n_unsettled(m) == 0);
	check(records[0].total_uj == JT_NONE);
	check_near(records[1].total_uj * 1e-6, 40, 15); /* of gpu:0 */
	check(records[1].coverage_ppm == 0);
	jt_meter_free(m);
}

static void options_of_another_version_are_refused(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;

	o.size -= 8;
	check(jt_meter_new(&o, &m, NULL) == JT_EINVAL && !m);
}

static void without_any_meter_joules_are_unknown(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_request_start start = { 100, 1, 1 };
	struct jt_request_facts f = facts_of("dark", 5);
	struct jt_meter *m = NULL;
	size_t service;

	o.sources.root = "/nonexistent";
	o.sources.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	o.on_record = on_record;
	n_records = 0;
	check(jt_meter_new(&o, &m, NULL) == JT_OK && jt_meter_n_domains(m) == 0);
	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	check(jt_request_begin(m, jt__now_ns(), 1, service, &start) == JT_OK);
	check(jt_request_end(m, jt__now_ns(), 1, &f) == JT_OK);
	check(n_records == 1);
	check(records[0].total_uj == JT_NONE && records[0].prefill_uj == JT_NONE);
	check_text(records[0].provenance, "");
	jt_meter_free(m);
}

int main(void)
{
	test(a_window_has_the_energy_of_its_time);
	test(phases_of_a_window_add_up_to_it);
	test(a_request_is_charged_on_all_its_domains);
	test(waiting_and_loading_are_not_prefill);
	test(a_record_says_how_many_ran_beside_it);
	test(what_is_told_late_makes_nobody_less_than_one);
	test(timelines_are_told_what_runs_on_them);
	test(samples_that_wait_for_the_watermark_are_no_silence);
	test(silence_of_a_sensor_is_told_as_a_sample);
	test(requests_idle_and_unattributed_are_the_meter);
	test(a_lost_gpu_lowers_coverage_and_holds_nobody_up);
	test(a_service_says_what_is_wrong_with_it);
	test(a_gpu_that_never_answers_is_given_up);
	test(options_of_another_version_are_refused);
	test(without_any_meter_joules_are_unknown);
	return tap_done();
}
