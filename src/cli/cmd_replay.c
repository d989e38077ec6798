/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap replay: the energy of windows of a recording or an nvidia-smi log. */
#include <string.h>
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "sources/decimal.h"
#include "sources/replay.h"
#include "sources/smilog.h"

struct args {
	const char *sensor;
	const char *domain;
	struct jt_opt_list windows; /* as written */
	bool json;
};

/* On the time axis of samples. */
struct window {
	uint64_t from_ns;
	uint64_t to_ns;
};

/* What came out for one window of one domain. */
struct answer {
	const struct jt_domain *domain;
	struct window window;
	struct jt_interval interval;
	uint64_t known_ns; /* the part of the window that the timeline spans */
	bool known;        /* false: no reading at all in the window */
};

/* Everything that is computed before anything is printed: domains × windows. */
struct results {
	struct answer *answers; /* by domain, then by window */
	struct jt_timeline_stats *stats;
	size_t n_domains;
	size_t n_windows;
};

/* -- windows -- */

/* A time of the file's own clock, "2024/05/01 12:00:00.5" or RFC 3339; the characters used, 0 if it
 * is neither. */
static size_t clock_length(const char *p)
{
	size_t n = strlen(p);

	if (n < 19 || p[4] != p[7] || (p[4] != '/' && p[4] != '-'))
		return 0;
	n = 19;
	if (p[n] == '.')
		n += 1 + strspn(p + n + 1, "0123456789");
	return n + (p[n] == 'Z');
}

static bool parse_clock(const char *p, size_t n, uint64_t zero_unix_ns, uint64_t *ret_ns)
{
	char copy[64];
	uint64_t unix_ns;

	if (zero_unix_ns == JT_NONE || !jt__copy_text(copy, sizeof(copy), p, n))
		return false;
	if (!jt__smilog_parse_time(p, n, &unix_ns) && !jt__parse_rfc3339(copy, &unix_ns))
		return false;
	if (unix_ns + JT_REPLAY_ORIGIN_NS < zero_unix_ns)
		return false;
	*ret_ns = unix_ns + JT_REPLAY_ORIGIN_NS - zero_unix_ns;
	return true;
}

/* One end of a window; @otherwise_ns if it is left out. Moves @p behind it. */
static bool parse_end(const char **p, uint64_t zero_unix_ns, uint64_t otherwise_ns,
                      uint64_t *ret_ns)
{
	size_t n = clock_length(*p);
	uint64_t t_ns;

	if (n) {
		if (!parse_clock(*p, n, zero_unix_ns, ret_ns))
			return false;
	} else {
		n = strcspn(*p, ":");
		*ret_ns = otherwise_ns;
		if (n) {
			if (!jt__parse_decimal(*p, n, 9, &t_ns) || t_ns > INT64_MAX / 2)
				return false;
			*ret_ns = JT_REPLAY_ORIGIN_NS + t_ns;
		}
	}
	*p += n;
	return true;
}

static int parse_window(const char *text, uint64_t zero_unix_ns, const struct window *whole,
                        struct window *ret, struct jt_error *err)
{
	const char *p = text;
	struct window w;

	if (!parse_end(&p, zero_unix_ns, whole->from_ns, &w.from_ns) || *p++ != ':' ||
	    !parse_end(&p, zero_unix_ns, whole->to_ns, &w.to_ns) || *p)
		return jt__fail(
			err, JT_EINVAL, "replay",
			"window '%s' is not FROM:TO in seconds of the file or times of its clock",
			text);
	if (w.to_ns < w.from_ns)
		return jt__fail(err, JT_EINVAL, "replay", "window '%s' ends before it begins",
		                text);
	*ret = w;
	return JT_OK;
}

/* First reading to last, over all domains. */
static struct window whole_file(const struct jt_tracks *ts)
{
	struct window w = { JT_NONE, 0 };

	for (size_t i = 0; i < ts->n_tracks; i++) {
		const struct jt_track *t = &ts->tracks[i];

		if (!t->n)
			continue;
		w.from_ns = JT_MIN(w.from_ns, t->samples[0].begin_ns);
		w.to_ns = JT_MAX(w.to_ns, t->samples[t->n - 1].end_ns);
	}
	if (w.from_ns > w.to_ns)
		w.from_ns = w.to_ns = JT_REPLAY_ORIGIN_NS;
	return w;
}

/* -- computing -- */

static void answer(struct jt_timeline *tl, const struct jt_domain *d, const struct window *w,
                   struct answer *ret)
{
	uint64_t from = JT_MAX(w->from_ns, jt_timeline_start_ns(tl));
	uint64_t to = JT_MIN(w->to_ns, jt_timeline_closed_ns(tl));

	*ret = (struct answer){ .domain = d, .window = *w };
	ret->known = jt_timeline_window(tl, w->from_ns, w->to_ns, &ret->interval) == JT_OK;
	ret->known_ns = to > from ? to - from : 0;
}

static int compute(const struct jt_track *t, const struct window *windows, size_t n_windows,
                   struct answer *ret_answers, struct jt_timeline_stats *ret_stats,
                   struct jt_error *err)
{
	struct jt_timeline *tl;
	int status;

	/* nothing may be dropped before the windows are asked for */
	status = jt_timeline_new(&t->info.sensor, JT_TIMELINE_KNOTS_PER_SAMPLE * t->n + 16, &tl,
	                         err);
	if (status < 0)
		return status;
	jt__track_play(t, tl);
	for (size_t i = 0; i < n_windows; i++)
		answer(tl, &t->info, &windows[i], &ret_answers[i]);
	jt_timeline_stats(tl, ret_stats);
	jt_timeline_free(tl);
	return JT_OK;
}

/* -- printing -- */

static uint64_t power_mw(const struct answer *a)
{
	return a->known_ns
	               ? jt__whole((double)a->interval.energy_uj * 1e6 / (double)a->known_ns + 0.5)
	               : JT_NONE;
}

static double seconds(uint64_t t_ns)
{
	return ((double)t_ns - (double)JT_REPLAY_ORIGIN_NS) * 1e-9;
}

static void print_table(const struct results *r)
{
	printf("%-10s %12s %12s %14s %12s %8s %-10s %10s\n", "DOMAIN", "FROM_S", "TO_S", "ENERGY_J",
	       "BOUND_J", "COVERAGE", "PROVENANCE", "POWER_W");
	for (size_t i = 0; i < r->n_domains * r->n_windows; i++) {
		const struct answer *a = &r->answers[i];

		printf("%-10s %12.3f %12.3f ", a->domain->name, seconds(a->window.from_ns),
		       seconds(a->window.to_ns));
		if (!a->known) {
			printf("%14s %12s %7.1f%% %-10s %10s\n", "-", "-", 0.0, "-", "-");
			continue;
		}
		printf("%14.3f %12.3f %7.1f%% %-10s ", (double)a->interval.energy_uj * 1e-6,
		       (double)a->interval.bound_uj * 1e-6, (double)a->interval.coverage_ppm * 1e-4,
		       jt_provenance_name(a->interval.provenance));
		if (a->known_ns)
			printf("%10.2f\n", (double)power_mw(a) * 1e-3);
		else
			printf("%10s\n", "-");
	}
}

/* Seconds of the file; a clock may show a time before its zero. */
static void put_time(struct jt_buf *b, const char *key, uint64_t t_ns)
{
	bool before = t_ns < JT_REPLAY_ORIGIN_NS;

	jt__json_key(b, key);
	jt__buf_append_text(b, before ? "-" : "");
	jt__json_nano(b, before ? JT_REPLAY_ORIGIN_NS - t_ns : t_ns - JT_REPLAY_ORIGIN_NS);
}

static void put_answer(struct jt_buf *b, const struct answer *a)
{
	const struct jt_interval *v = &a->interval;
	uint64_t mw = a->known ? power_mw(a) : JT_NONE;

	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "domain", a->domain->name);
	put_time(b, "from_s", a->window.from_ns);
	put_time(b, "to_s", a->window.to_ns);
	jt__json_member_micro(b, "energy_j", a->known ? v->energy_uj : JT_NONE);
	jt__json_member_micro(b, "bound_j", a->known ? v->bound_uj : JT_NONE);
	jt__json_member_micro(b, "coverage", a->known ? v->coverage_ppm : 0);
	if (a->known)
		jt__json_member_text(b, "provenance", jt_provenance_name(v->provenance));
	else
		jt__json_member_u64(b, "provenance", JT_NONE);
	jt__json_member_micro(b, "power_w", mw == JT_NONE ? JT_NONE : mw * 1000);
	jt__buf_append_text(b, "}");
}

static void put_answers(struct jt_buf *b, const struct answer *a, size_t n)
{
	jt__json_key(b, "windows");
	jt__buf_append_text(b, "[");
	for (size_t i = 0; i < n; i++) {
		jt__buf_append_text(b, i ? "," : "");
		put_answer(b, &a[i]);
	}
	jt__buf_append_text(b, "]");
}

static void put_domain(struct jt_buf *b, const struct answer *answers, size_t n,
                       const struct jt_timeline_stats *stats)
{
	const struct jt_domain *d = answers->domain;

	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "name", d->name);
	jt__json_member_text(b, "device", d->device);
	jt__json_member_text(b, "uuid", d->uuid);
	jt__json_member_text(b, "sensor", d->sensor.name);
	jt__json_member_u64(b, "samples", stats->n_samples);
	jt__json_member_u64(b, "gaps", stats->n_gaps);
	jt__json_member_u64(b, "resets", stats->n_resets);
	jt__json_member_u64(b, "rejected", stats->n_rejected);
	put_answers(b, answers, n);
	jt__buf_append_text(b, "}");
}

/* The kind that all domains share, or null. */
static void put_sensor(struct jt_buf *b, const struct results *r)
{
	const char *name = r->answers[0].domain->sensor.name;

	for (size_t i = 0; i < r->n_domains * r->n_windows; i++)
		if (strcmp(r->answers[i].domain->sensor.name, name) != 0)
			name = NULL;
	if (name)
		jt__json_member_text(b, "sensor", name);
	else
		jt__json_member_u64(b, "sensor", JT_NONE);
}

static int print_json(const char *file, const struct results *r, struct jt_error *err)
{
	struct jt_buf b;
	int status = JT_OK;

	jt__buf_init(&b, SIZE_MAX / 4);
	jt__buf_append_text(&b, "{");
	jt__json_member_text(&b, "file", file);
	put_sensor(&b, r);
	jt__json_key(&b, "domains");
	jt__buf_append_text(&b, "[");
	for (size_t i = 0; i < r->n_domains; i++) {
		jt__buf_append_text(&b, i ? "," : "");
		put_domain(&b, &r->answers[i * r->n_windows], r->n_windows, &r->stats[i]);
	}
	jt__buf_append_text(&b, "]");
	put_answers(&b, r->answers, r->n_domains * r->n_windows);
	jt__buf_append_text(&b, "}\n");
	if (b.failed)
		status = jt__fail(err, JT_ENOMEM, "replay", "no memory for the output");
	else
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return status;
}

/* -- the command -- */

static int parse_windows(const struct jt_opt_list *texts, const struct jt_tracks *ts,
                         struct window *ret, struct jt_error *err)
{
	struct window whole = whole_file(ts);

	if (!texts->n)
		ret[0] = whole;
	for (size_t i = 0; i < texts->n; i++) {
		int status = parse_window(texts->items[i], ts->zero_unix_ns, &whole, &ret[i], err);

		if (status < 0)
			return status;
	}
	return JT_OK;
}

/* All domains, or the one named @domain. */
static int compute_all(const char *domain, const struct jt_tracks *ts, const struct window *windows,
                       struct results *r, struct jt_error *err)
{
	for (size_t i = 0; i < ts->n_tracks; i++) {
		int status;

		if (domain && strcmp(ts->tracks[i].info.name, domain) != 0)
			continue;
		status = compute(&ts->tracks[i], windows, r->n_windows,
		                 &r->answers[r->n_domains * r->n_windows], &r->stats[r->n_domains],
		                 err);
		if (status < 0)
			return status;
		r->n_domains++;
	}
	if (!r->n_domains)
		return jt__fail(err, JT_ENOENT, "replay",
		                "no domain '%s' in the file; the first is '%s'", domain,
		                ts->tracks[0].info.name);
	return JT_OK;
}

static int replay(const struct args *args, const char *file, struct jt_error *err)
{
	struct results r = { .n_windows = JT_MAX(args->windows.n, (size_t)1) };
	struct window *windows = NULL;
	struct jt_tracks ts = { 0 };
	int status = jt__replay_load(file, args->sensor, &ts, err);

	if (status < 0)
		return status;
	windows = jt__alloc(r.n_windows, sizeof(*windows));
	r.answers = jt__alloc(ts.n_tracks * r.n_windows, sizeof(*r.answers));
	r.stats = jt__alloc(ts.n_tracks, sizeof(*r.stats));
	if (!windows || !r.answers || !r.stats) {
		status = jt__fail(err, JT_ENOMEM, "replay", "no memory for %zu windows",
		                  r.n_windows);
		goto out;
	}
	status = parse_windows(&args->windows, &ts, windows, err);
	if (status == JT_OK)
		status = compute_all(args->domain, &ts, windows, &r, err);
	if (status < 0)
		goto out;
	if (args->json)
		status = print_json(file, &r, err);
	else
		print_table(&r);
out:
	jt__free(windows);
	jt__free(r.answers);
	jt__free(r.stats);
	jt__tracks_fini(&ts);
	return status;
}

static int run(const void *args, const struct jt_operands *operands)
{
	struct jt_error err;

	if (replay(args, operands->items[0], &err) < 0)
		return jt__cli_fail(&err);
	return JT_EXIT_OK;
}

static const char *sensor_row(size_t i, const char **ret_meaning)
{
	*ret_meaning = jt_sensors[i].what;
	return jt_sensors[i].name;
}

/* clang-format off */
static const struct jt_opt options[] = {
	{ "window", 'w', JT_OPT_LIST, "FROM:TO", NULL, offsetof(struct args, windows),
	  "seconds on the file's time axis, or times of its clock; an end left out is the file's" },
	{ "sensor", 's', JT_OPT_TEXT, "KIND", NULL, offsetof(struct args, sensor),
	  "kind of sensor, if the file does not tell: one of those below, or a board's name such as H100 or A100-SXM4-80GB" },
	{ "domain", 'd', JT_OPT_TEXT, "NAME", NULL, offsetof(struct args, domain),
	  "only this one, such as gpu:0" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, json), "print one JSON object" },
	JT_OPTS_END,
};

const struct jt_command jt__cmd_replay = {
	.name = "replay",
	.what = "joules, bound and provenance of any window of a recording or an nvidia-smi log",
	.operands = "FILE",
	.min_operands = 1,
	.max_operands = 1,
	.text = "Computes the energy of windows of time, each with an error bound, the part of the "
		"time that the sensor saw (coverage) and where the figure comes from (provenance). "
		"FILE is a recording, see jouletap-recording(5), or what nvidia-smi wrote with "
		"--query-gpu=timestamp,index,power.draw,... --format=csv -lms 100, or a CSV file with "
		"the columns t_s and power_draw_w; - is standard input.\n\n"
		"Time is counted in seconds from the beginning of a recording, from the first row of "
		"an nvidia-smi log, or as the column t_s says; a time of the file's own clock, "
		"2024/05/01 12:00:03.5 or 2024-05-01T12:00:03.5Z, is understood as well. Without a window "
		"the whole file is taken. What lies outside the readings is not extrapolated: it lowers the "
		"coverage.\n\n"
		"The kind of sensor decides the averaging windows and the tolerances. It is told from "
		"the recording, from the GPU's name in the log, or from the file's name (A100_run.csv). Where there "
		"is no counter the readings have the last word: how often they change and how they follow a step "
		"of the load replaces what the table says (jouletap-sensors(5)), with a warning where that was "
		"something else.\n\n"
		"Only windows are printed. The spans of requests that a recording holds too are checked and "
		"left alone: they are kept so that later versions can split its energy anew.",
	.list_title = "Kinds of sensors",
	.list_row = sensor_row,
	.examples = "jouletap replay run.jsonl  # the whole recording, by domain\n"
		    "jouletap replay --window 2:7 --window 10: A100_run.csv  # two windows\n"
		    "jouletap replay -w '2024/05/01 12:00:03:2024/05/01 12:00:09.5' gpu.csv  # by the clock\n"
		    "jouletap replay --sensor H100 --json gpu.csv  # for a program\n"
		    "ssh gpu1 cat gpu.csv | jouletap replay -  # from elsewhere\n",
	.see_also = "jouletap-recording(5) jouletap-sensors(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
/* clang-format on */
