/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/log.h"
#include "sources/replay.h"
#include "sources/smilog.h"
#include "sources/source.h"
#include "timeline/learn.h"

#define LOG_MODULE "replay"
#define READ_SIZE ((size_t)64 << 10)

struct jt_replay {
	int fd;
	char base[33]; /* the file's name for errors, without its folders */
	off_t content; /* where the first line begins */
	struct jt_buf buf;
	size_t taken;  /* bytes of the last line, still in buf */
	uint64_t line; /* its number */
	bool at_end;   /* nothing more to read */
	bool finished; /* the end was told */
	bool truncated;
	bool is_recording;
	struct jt_recording_head head;
	struct jt_smilog log;
};

/* -- lines -- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void here(const struct jt_replay *r, char out[48])
{
	snprintf(out, 48, "%s:%" PRIu64, r->base, JT_MIN(r->line, (uint64_t)99999999999));
}

static int fill(struct jt_replay *r, struct jt_error *err)
{
	char *room = jt__buf_reserve(&r->buf, READ_SIZE);
	ssize_t n;

	if (!room)
		return jt__fail(err, JT_ENOMEM, LOG_MODULE, "no memory for a line of '%s'",
		                r->base);
	do
		n = read(r->fd, room, READ_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return jt__fail(err, JT_EIO, LOG_MODULE, "cannot read '%s': %s", r->base,
		                strerror(errno));
	jt__buf_commit(&r->buf, (size_t)n);
	r->at_end = n == 0;
	return JT_OK;
}

/* The next line without its end; JT_EAGAIN: no more. *ret_whole: it had an end. */
static int next_line(struct jt_replay *r, const char **ret_line, size_t *ret_n, bool *ret_whole,
                     struct jt_error *err)
{
	const char *newline = NULL;
	char where[48];
	size_t n;
	int status;

	jt__buf_consume(&r->buf, r->taken);
	r->taken = 0;
	r->line++;
	for (;;) {
		n = jt__buf_len(&r->buf);
		newline = n ? memchr(jt__buf_bytes(&r->buf), '\n', n) : NULL;
		if (newline)
			n = (size_t)(newline - jt__buf_bytes(&r->buf));
		if (n > JT_RECORDING_MAX_LINE) {
			here(r, where);
			return jt__fail(err, JT_EINVAL, where, "the line is longer than %zu bytes",
			                JT_RECORDING_MAX_LINE);
		}
		if (newline || r->at_end)
			break;
		status = fill(r, err);
		if (status < 0)
			return status;
	}
	if (!n && !newline)
		return JT_EAGAIN;
	r->taken = n + (newline != NULL);
	*ret_line = jt__buf_bytes(&r->buf);
	*ret_n = n && (*ret_line)[n - 1] == '\r' ? n - 1 : n;
	*ret_whole = newline != NULL;
	return JT_OK;
}

static int rewind_file(struct jt_replay *r, struct jt_error *err)
{
	if (lseek(r->fd, r->content, SEEK_SET) < 0)
		return jt__fail(err, JT_EIO, LOG_MODULE, "cannot rewind '%s': %s", r->base,
		                strerror(errno));
	jt__buf_clear(&r->buf);
	r->taken = 0;
	r->line = 0;
	r->at_end = r->truncated = false;
	return JT_OK;
}

/* -- entries -- */

static int read_line(struct jt_replay *r, const char *line, size_t n, bool whole,
                     struct jt_entry *ret_entry, struct jt_error *err)
{
	struct jt_error why = { 0 };
	char where[48];
	int status;

	here(r, where);
	if (r->is_recording) {
		status = jt__recording_read_entry(&r->head, line, n, where, JT_REPLAY_ORIGIN_NS,
		                                  ret_entry, &why);
		if (status == JT_EINVAL && !whole) {
			/* its writer was stopped in the middle of it */
			r->truncated = true;
			return JT_EAGAIN;
		}
	} else if (!whole) {
		/* all cells may be there and the last one still be cut: "71.2" of "71.23 W" */
		r->truncated = true;
		return JT_EAGAIN;
	} else {
		ret_entry->kind = JT_ENTRY_SAMPLE;
		status = jt__smilog_line(&r->log, line, n, where, &ret_entry->sample, &why);
	}
	if (status < 0 && status != JT_EAGAIN && err)
		*err = why;
	return status;
}

static int next_entry(struct jt_replay *r, struct jt_entry *ret_entry, struct jt_error *err)
{
	struct jt_entry e;
	const char *line;
	size_t n;
	bool whole;
	int status;

	memset(&e, 0, sizeof(e));
	do {
		status = next_line(r, &line, &n, &whole, err);
		if (status < 0)
			return status;
		status = read_line(r, line, n, whole, &e, err);
	} while (status == JT_EAGAIN);
	if (status == JT_OK)
		*ret_entry = e;
	return status;
}

static void tell_what_was_left_out(const struct jt_replay *r)
{
	if (r->truncated)
		log_warn("%s:%" PRIu64 ": the last line is cut and was left out", r->base,
		         r->line - 1);
	if (r->log.n_backwards)
		log_warn("%s: the clock stepped back: %" PRIu64 " rows were left out", r->base,
		         r->log.n_backwards);
	if (r->log.n_notices)
		log_warn("%s: %" PRIu64 " lines say that a GPU could not be read", r->base,
		         r->log.n_notices);
}

int jt__replay_next(struct jt_replay *r, struct jt_entry *ret_entry, struct jt_error *err)
{
	int status = r->finished ? JT_EAGAIN : next_entry(r, ret_entry, err);

	if (status == JT_EAGAIN && !r->finished) {
		r->finished = true;
		tell_what_was_left_out(r);
	}
	return status;
}

/* -- kind of the sensor -- */

/* A letter or three and one digit, as "a2" or "p4": too common in names, but in the first place. */
static bool is_vague(const char *word, size_t n)
{
	return n >= 2 && n <= 4 && isdigit((unsigned char)word[n - 1]) &&
	       isalpha((unsigned char)word[n - 2]);
}

/* "A100_run.csv", "TitanXp-1.csv", "log RTX 3090.csv". */
static const struct jt_sensor *sensor_of_file(const char *name)
{
	char words[256] = "";

	for (const char *p = name; *p;) {
		size_t n = strcspn(p, "_-. "), end = strlen(words);

		if (end + n + 2 > sizeof(words))
			break;
		if (p == name || !is_vague(p, n))
			snprintf(words + end, sizeof(words) - end, "%.*s ", (int)n, p);
		p += n + (p[n] != '\0');
	}
	return jt_sensor_of_gpu(words);
}

static void choose_sensor(struct jt_replay *r, struct jt_smilog_gpu *g, const char *file_name)
{
	const struct jt_sensor *s = jt_sensor_of_gpu(g->info.device);

	if (!s)
		s = sensor_of_file(file_name);
	if (!s) {
		s = jt_sensor_find("gpu");
		snprintf(g->info.missing, sizeof(g->info.missing),
		         "kind of GPU unknown, so the bounds are wide; try: --sensor KIND "
		         "('jouletap devices --sensors' lists them)");
		log_warn("%s: %s: %s", r->base, g->info.name, g->info.missing);
	}
	g->info.sensor = *s;
}

/* -- opening -- */

static int open_recording(struct jt_replay *r, const struct jt_sensor *forced, struct jt_error *err)
{
	char where[48];
	const char *line;
	size_t n;
	bool whole;
	int status = next_line(r, &line, &n, &whole, err);

	here(r, where);
	if (status == JT_OK)
		status = jt__recording_read_head(line, n, where, &r->head, err);
	for (size_t i = 0; status == JT_OK && forced && i < r->head.n_domains; i++)
		r->head.domains[i].sensor = *forced;
	return status;
}

/* The first pass finds the GPUs, and what is wrong with the file. */
static int open_log(struct jt_replay *r, const struct jt_sensor *forced, const char *file_name,
                    struct jt_error *err)
{
	struct jt_entry e;
	int status;

	do
		status = next_entry(r, &e, err);
	while (status == JT_OK);
	if (status != JT_EAGAIN)
		return status;
	if (!r->log.n_gpus)
		return jt__fail(err, JT_EINVAL, r->base, "no row with a reading in it");
	for (size_t i = 0; i < r->log.n_gpus; i++) {
		if (forced)
			r->log.gpus[i].info.sensor = *forced;
		else
			choose_sensor(r, &r->log.gpus[i], file_name);
		r->log.gpus[i].info.valid = 0;
	}
	status = rewind_file(r, err);
	jt__smilog_rewind(&r->log);
	return status;
}

/* Looks at the first bytes: a recording begins with a brace. */
static int sniff(struct jt_replay *r, struct jt_error *err)
{
	const char *p;
	size_t n;
	int status = fill(r, err);

	if (status < 0)
		return status;
	p = jt__buf_bytes(&r->buf);
	n = jt__buf_len(&r->buf);
	if (!n)
		return jt__fail(err, JT_EINVAL, r->base, "the file is empty");
	if (n >= 2 && (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0))
		return jt__fail(err, JT_EINVAL, r->base,
		                "the file is UTF-16, as PowerShell writes it; try: iconv -f UTF-16 "
		                "-t UTF-8");
	r->content = n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* UTF-8's mark */
	r->is_recording = n > (size_t)r->content && p[r->content] == '{';
	return rewind_file(r, err);
}

/* A pipe cannot be read twice: what comes out of it goes into a file without a name. */
static int copy_stdin(int to, struct jt_error *err)
{
	char piece[READ_SIZE];
	uint64_t all = 0;
	ssize_t n;

	for (;;) {
		do
			n = read(STDIN_FILENO, piece, sizeof(piece));
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return jt__fail(err, JT_EIO, LOG_MODULE, "cannot read stdin: %s",
			                strerror(errno));
		if (n == 0)
			break;
		all += (uint64_t)n;
		if (all > JT_REPLAY_MAX_STDIN)
			return jt__fail(err, JT_ELIMIT, LOG_MODULE,
			                "stdin has more than %" PRIu64
			                " bytes: write it to a file and replay that",
			                JT_REPLAY_MAX_STDIN);
		if (write(to, piece, (size_t)n) != n)
			return jt__fail(err, JT_EIO, LOG_MODULE,
			                "cannot keep stdin in a temporary file: %s",
			                strerror(errno));
	}
	if (lseek(to, 0, SEEK_SET) < 0)
		return jt__fail(err, JT_EIO, LOG_MODULE, "cannot rewind stdin: %s",
		                strerror(errno));
	return JT_OK;
}

static int open_stdin(struct jt_replay *r, struct jt_error *err)
{
	FILE *f = tmpfile();

	r->fd = f ? dup(fileno(f)) : -1;
	if (f)
		fclose(f);
	if (r->fd < 0)
		return jt__fail(err, JT_EIO, LOG_MODULE,
		                "cannot make a temporary file for stdin: %s", strerror(errno));
	return copy_stdin(r->fd, err);
}

static int open_file(struct jt_replay *r, const char *path, struct jt_error *err)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return open_stdin(r, err);

	r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (r->fd < 0)
		return jt__fail(err,
		                errno == ENOENT   ? JT_ENOENT
		                : errno == EACCES ? JT_EPERM
		                                  : JT_EIO,
		                LOG_MODULE, "cannot open '%s': %s", path, strerror(errno));
	if (fstat(r->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return jt__fail(err, JT_EINVAL, LOG_MODULE, "'%s' is not a regular file", path);
	return JT_OK;
}

int jt__replay_open(const char *path, const char *sensor, struct jt_replay **ret_replay,
                    struct jt_error *err)
{
	const struct jt_sensor *forced = sensor ? jt_sensor_find(sensor) : NULL;
	const char *name = strcmp(path, "-") == 0 ? "stdin" : base_name(path);
	struct jt_replay *r;
	int status;

	if (sensor && !forced)
		forced = jt_sensor_of_gpu(sensor);
	if (sensor && !forced)
		return jt__fail(err, JT_EINVAL, LOG_MODULE,
		                "no sensor kind '%.60s' (try: a kind that 'jouletap devices "
		                "--sensors' lists, or a board such as H100)",
		                sensor);
	r = jt__alloc(1, sizeof(*r));
	if (!r)
		return jt__fail(err, JT_ENOMEM, LOG_MODULE, "cannot allocate state");
	r->fd = -1;
	jt__copy_text(r->base, sizeof(r->base), name, strlen(name));
	jt__buf_init(&r->buf, JT_RECORDING_MAX_LINE + 2 * READ_SIZE);
	jt__smilog_init(&r->log, JT_REPLAY_ORIGIN_NS);

	status = open_file(r, path, err);
	if (status == JT_OK)
		status = sniff(r, err);
	if (status == JT_OK)
		status = r->is_recording ? open_recording(r, forced, err)
		                         : open_log(r, forced, name, err);
	if (status == JT_OK)
		*ret_replay = r;
	else
		jt__replay_close(r);
	return status;
}

void jt__replay_close(struct jt_replay *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	jt__recording_head_fini(&r->head);
	jt__smilog_fini(&r->log);
	jt__buf_fini(&r->buf);
	jt__free(r);
}

size_t jt__replay_n_domains(const struct jt_replay *r)
{
	return r->is_recording ? r->head.n_domains : r->log.n_gpus;
}

const struct jt_domain *jt__replay_domain(const struct jt_replay *r, size_t i)
{
	return r->is_recording ? &r->head.domains[i] : &r->log.gpus[i].info;
}

uint64_t jt__replay_zero_unix_ns(const struct jt_replay *r)
{
	return r->is_recording ? r->head.start_unix_ns : r->log.zero_unix_ns;
}

/* -- all at once -- */

/* Room for one more in an array of @n; JT_ENOMEM. */
static int grow(void *array, size_t n, size_t *capacity, size_t size, struct jt_error *err)
{
	size_t wanted = *capacity ? 2 * *capacity : 64;
	void *more;

	if (n < *capacity)
		return JT_OK;
	more = jt__realloc(*(void **)array, wanted, size);
	if (!more)
		return jt__fail(err, JT_ENOMEM, LOG_MODULE, "no memory for %zu lines", wanted);
	*(void **)array = more;
	*capacity = wanted;
	return JT_OK;
}

static int keep_sample(struct jt_tracks *ts, const struct jt_sample *sample, struct jt_error *err)
{
	struct jt_track *t = &ts->tracks[sample->domain];
	int status = grow(&t->samples, t->n, &t->capacity, sizeof(*t->samples), err);

	if (status < 0)
		return status;
	t->samples[t->n++] = *sample;
	t->info.valid |= sample->valid;
	return JT_OK;
}

static int keep_change(struct jt_tracks *ts, const struct jt_domain_activity *a,
                       struct jt_error *err)
{
	struct jt_track *t = &ts->tracks[a->domain];
	int status =
		grow(&t->changes, t->n_changes, &t->changes_capacity, sizeof(*t->changes), err);

	if (status < 0)
		return status;
	t->changes[t->n_changes++] = (struct jt_track_change){ a->change, t->n };
	return JT_OK;
}

static int keep(struct jt_tracks *ts, const struct jt_entry *e, struct jt_error *err)
{
	if (e->kind == JT_ENTRY_SPAN)
		return JT_OK;
	if (ts->n_entries++ == JT_REPLAY_MAX_ENTRIES)
		return jt__fail(err, JT_ELIMIT, LOG_MODULE, "more than %zu samples and changes",
		                JT_REPLAY_MAX_ENTRIES);
	return e->kind == JT_ENTRY_SAMPLE ? keep_sample(ts, &e->sample, err)
	                                  : keep_change(ts, &e->activity, err);
}

/* The readings know better than the table what their sensor does; a counter needs no such help. */
static int learn_sensor(const struct jt_replay *r, struct jt_track *t, struct jt_error *err)
{
	struct jt_sensor *s = &t->info.sensor;
	int learned = jt__learn_sensor(t->samples, t->n, s);

	if (learned < 0)
		return jt__fail(err, learned, LOG_MODULE, "no memory to look at %zu samples", t->n);
	if (learned & JT_LEARNED_UPDATE)
		log_warn("%s: %s: the readings change every %.3g ms, not as often as those of '%s' "
		         "do",
		         r->base, t->info.name, (double)s->update_ns * 1e-6, s->name);
	if (learned & JT_LEARNED_SHAPE)
		log_warn("%s: %s: the readings follow the load in another way than those of '%s' "
		         "do: "
		         "taken as they are",
		         r->base, t->info.name, s->name);
	return JT_OK;
}

static int load(struct jt_tracks *ts, struct jt_replay *r, struct jt_error *err)
{
	struct jt_entry e;
	int status;

	ts->zero_unix_ns = jt__replay_zero_unix_ns(r);
	ts->tracks = jt__alloc(jt__replay_n_domains(r), sizeof(*ts->tracks));
	if (!ts->tracks)
		return jt__fail(err, JT_ENOMEM, LOG_MODULE, "cannot allocate the domains");
	ts->n_tracks = jt__replay_n_domains(r);
	for (size_t i = 0; i < ts->n_tracks; i++)
		ts->tracks[i].info = *jt__replay_domain(r, i);
	while ((status = jt__replay_next(r, &e, err)) == JT_OK) {
		status = keep(ts, &e, err);
		if (status < 0)
			return status;
	}
	if (status != JT_EAGAIN)
		return status;
	status = JT_OK;
	for (size_t i = 0; i < ts->n_tracks && status == JT_OK; i++)
		status = learn_sensor(r, &ts->tracks[i], err);
	return status;
}

int jt__replay_load(const char *path, const char *sensor, struct jt_tracks *ret_tracks,
                    struct jt_error *err)
{
	struct jt_tracks ts = { 0 };
	struct jt_replay *r = NULL;
	int status = jt__replay_open(path, sensor, &r, err);

	if (status < 0)
		return status;
	status = load(&ts, r, err);
	jt__replay_close(r);
	if (status == JT_OK)
		*ret_tracks = ts;
	else
		jt__tracks_fini(&ts);
	return status;
}

void jt__track_play(const struct jt_track *t, struct jt_timeline *tl)
{
	size_t n_noted = 0;

	for (size_t i = 0; i < t->n; i++) {
		while (n_noted < t->n_changes && t->changes[n_noted].n_before <= i)
			jt_timeline_note(tl, &t->changes[n_noted++].change);
		jt_timeline_add(tl, &t->samples[i]);
	}
	jt_timeline_finish(tl);
}

void jt__tracks_fini(struct jt_tracks *ts)
{
	for (size_t i = 0; i < ts->n_tracks; i++) {
		jt__free(ts->tracks[i].samples);
		jt__free(ts->tracks[i].changes);
	}
	jt__free(ts->tracks);
	*ts = (struct jt_tracks){ 0 };
}

/* -- the source: a read may not allocate, so everything is in memory before the first -- */

static void source_close(void *state)
{
	if (state)
		jt__tracks_fini(state);
	jt__free(state);
}

static int source_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	struct jt_tracks *ts;
	int status;

	if (!o->replay_file)
		return jt__fail(err, JT_ENOENT, LOG_MODULE, "no file to replay was given");
	ts = jt__alloc(1, sizeof(*ts));
	if (!ts)
		return jt__fail(err, JT_ENOMEM, LOG_MODULE, "cannot allocate state");
	status = jt__replay_load(o->replay_file, NULL, ts, err);
	if (status == JT_OK)
		*ret_state = ts;
	else
		jt__free(ts);
	return status;
}

static size_t source_count(const void *state)
{
	return ((const struct jt_tracks *)state)->n_tracks;
}

static void source_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	*ret_domain = ((const struct jt_tracks *)state)->tracks[i].info;
	snprintf(ret_domain->source, sizeof(ret_domain->source), "replay");
}

static int source_read(void *state, size_t i, struct jt_sample *out)
{
	struct jt_track *t = &((struct jt_tracks *)state)->tracks[i];

	if (t->next == t->n)
		return JT_EAGAIN;
	*out = t->samples[t->next++];
	return out->status;
}

const struct jt_source_ops jt__source_replay = {
	.name = "replay",
	.what = "a recording or an nvidia-smi log, read again",
	.open = source_open,
	.count = source_count,
	.describe = source_describe,
	.read = source_read,
	.close = source_close,
};
