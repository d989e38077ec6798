/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "jouletap/record.h"
#include "input/textfile.h"
#include "simulator/trace.h"
#include "simulator/workload.h"

#define MAX_LINE (64u << 20)
#define CHUNK (256u << 10) /* read at once in the first pass */
#define WINDOW (16u << 10) /* and later, where lines are shorter */
#define MAX_SPOOL (UINT64_C(1) << 30)

struct entry {
	uint64_t arrival_ns, offset, first_id;
	uint32_t length, n_asks, line;
};

struct jt_workload {
	char *path;
	int fd; /* a regular file, or memory */
	struct entry *entries;
	uint64_t n, capacity, n_requests;
	struct jt_buf window; /* bytes of the file from offset window_at */
	uint64_t window_at;
	uint32_t *ids;
	size_t ids_capacity;
};

static int fail_memory(struct jt_error *err)
{
	return jt__fail(err, JT_ENOMEM, "simulate", "%s", jt_strerror(JT_ENOMEM));
}

static int fail_io(const struct jt_workload *w, const char *what, struct jt_error *err)
{
	return jt__fail(err, JT_EIO, "simulate", "cannot %s '%s': %s", what, w->path,
	                strerror(errno));
}

/* What was said about a line, with its place put to it. */
static int fail_line(const struct jt_workload *w, uint64_t line, const struct jt_error *why,
                     struct jt_error *err)
{
	jt__textfile_fail(err, w->path, line, "%s", why->message);
	if (err)
		err->status = why->status;
	return why->status;
}

static int add_entry(struct jt_workload *w, const struct entry *e)
{
	if (w->n == w->capacity) {
		uint64_t capacity = w->capacity ? 2 * w->capacity : 256;
		struct entry *entries = jt__realloc(w->entries, capacity, sizeof(*entries));

		if (!entries)
			return JT_ENOMEM;
		w->entries = entries;
		w->capacity = capacity;
	}
	w->entries[w->n++] = *e;
	return JT_OK;
}

static bool is_blank(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != ' ' && p[i] != '\t' && p[i] != '\r')
			return false;
	return true;
}

static int add_line(struct jt_workload *w, const char *p, size_t n, uint64_t offset, uint64_t line,
                    struct jt_error *err)
{
	struct jt_trace_line got;
	struct jt_error why = { 0 };
	struct entry e = { .offset = offset, .length = (uint32_t)n, .line = (uint32_t)line };
	int status;

	if (is_blank(p, n))
		return JT_OK;
	status = jt__trace_read(p, n, 0, false, &got, &why);
	if (status)
		return fail_line(w, line, &why, err);
	e.arrival_ns = got.arrival_ns;
	e.first_id = w->n_requests;
	e.n_asks = got.n_asks;
	w->n_requests += got.n_asks;
	return add_entry(w, &e) ? fail_memory(err) : JT_OK;
}

/* The next piece of the file into @text. 1: there was one; 0: the end. */
static int read_chunk(const struct jt_workload *w, struct jt_buf *text, uint64_t line,
                      struct jt_error *err)
{
	char *p = jt__buf_reserve(text, CHUNK);
	ssize_t n;

	if (!p && jt__buf_len(text) + CHUNK <= text->max)
		return fail_memory(err);
	if (!p) {
		struct jt_error why = { .status = JT_ELIMIT };

		snprintf(why.message, sizeof(why.message), "the line is longer than %u MiB",
		         MAX_LINE >> 20);
		return fail_line(w, line, &why, err);
	}
	n = read(w->fd, p, CHUNK);
	if (n < 0)
		return fail_io(w, "read", err);
	jt__buf_commit(text, (size_t)n);
	return n > 0;
}

static int scan(struct jt_workload *w, uint64_t max_lines, struct jt_buf *text,
                struct jt_error *err)
{
	uint64_t offset = 0, line = 1;
	size_t searched = 0;
	int more = 1, status;

	while (!max_lines || w->n < max_lines) {
		const char *p = jt__buf_bytes(text), *newline;
		size_t left = jt__buf_len(text), n;

		newline = left > searched ? memchr(p + searched, '\n', left - searched) : NULL;
		if (!newline && more) {
			searched = left;
			more = read_chunk(w, text, line, err);
			if (more < 0)
				return more;
			continue;
		}
		if (!newline && left == 0)
			break;
		n = newline ? (size_t)(newline - p) : left;
		if (line > UINT32_MAX)
			return jt__fail(err, JT_ELIMIT, "simulate", "'%s' has more than %u lines",
			                w->path, UINT32_MAX);
		status = add_line(w, p, n, offset, line++, err);
		if (status)
			return status;
		n += newline != NULL;
		offset += n;
		searched = 0;
		jt__buf_consume(text, n);
	}
	return JT_OK;
}

static int by_arrival(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->arrival_ns != y->arrival_ns)
		return x->arrival_ns < y->arrival_ns ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void sort(struct jt_workload *w)
{
	for (uint64_t i = 1; i < w->n; i++) {
		if (w->entries[i - 1].arrival_ns <= w->entries[i].arrival_ns)
			continue;
		qsort(w->entries, w->n, sizeof(*w->entries), by_arrival);
		return;
	}
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t m = write(fd, p, n);

		if (m < 0)
			return JT_EIO;
		p += m;
		n -= (size_t)m;
	}
	return JT_OK;
}

/* All that comes from @from into memory. */
static int copy(struct jt_workload *w, int from, char *chunk, struct jt_error *err)
{
	uint64_t done = 0;
	ssize_t n;

	while ((n = read(from, chunk, CHUNK)) > 0) {
		done += (uint64_t)n;
		if (done > MAX_SPOOL)
			return jt__fail(err, JT_ELIMIT, "simulate",
			                "'%s' is longer than %u MiB: only a regular file may be",
			                w->path, (unsigned)(MAX_SPOOL >> 20));
		if (write_all(w->fd, chunk, (size_t)n))
			return fail_io(w, "keep", err);
	}
	if (n < 0 || lseek(w->fd, 0, SEEK_SET) < 0)
		return fail_io(w, "read", err);
	return JT_OK;
}

/* Requests are read where they stand in the file: what cannot be gone back in is copied first. */
static int spool(struct jt_workload *w, struct jt_error *err)
{
	char *chunk = jt__alloc(1, CHUNK);
	int status, from = w->fd;

	w->fd = memfd_create("workload", MFD_CLOEXEC);
	if (!chunk)
		status = fail_memory(err);
	else if (w->fd < 0)
		status = fail_io(w, "keep", err);
	else
		status = copy(w, from, chunk, err);
	if (from != STDIN_FILENO)
		close(from);
	jt__free(chunk);
	return status;
}

static int open_file(struct jt_workload *w, bool is_stdin, struct jt_error *err)
{
	struct stat st;

	w->fd = is_stdin ? STDIN_FILENO : open(w->path, O_RDONLY | O_CLOEXEC);
	if (w->fd < 0)
		return jt__fail(err,
		                errno == ENOENT   ? JT_ENOENT
		                : errno == EACCES ? JT_EPERM
		                                  : JT_EIO,
		                "simulate", "cannot open '%s': %s", w->path, strerror(errno));
	if (is_stdin || fstat(w->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return spool(w, err);
	return JT_OK;
}

static struct jt_workload *new_workload(const char *path)
{
	struct jt_workload *w = jt__alloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fd = -1;
	jt__buf_init(&w->window, MAX_LINE + CHUNK);
	w->path = jt__alloc(strlen(path) + 1, 1);
	if (w->path) {
		memcpy(w->path, path, strlen(path));
		return w;
	}
	jt__workload_free(w);
	return NULL;
}

/* @w has a file, or @status says why not; it is handed over or freed. */
static int finish(struct jt_workload *w, int status, uint64_t max_lines,
                  struct jt_workload **ret_workload, struct jt_error *err)
{
	struct jt_buf text;

	jt__buf_init(&text, MAX_LINE + CHUNK);
	if (!status)
		status = scan(w, max_lines, &text, err);
	jt__buf_fini(&text);
	if (status) {
		jt__workload_free(w);
		return status;
	}
	sort(w);
	*ret_workload = w;
	return JT_OK;
}

int jt__workload_open(const char *path, uint64_t max_lines, struct jt_workload **ret_workload,
                      struct jt_error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct jt_workload *w = new_workload(is_stdin ? "standard input" : path);

	if (!w)
		return fail_memory(err);
	return finish(w, open_file(w, is_stdin, err), max_lines, ret_workload, err);
}

int jt__workload_builtin(struct jt_workload **ret_workload, struct jt_error *err)
{
	struct jt_workload *w = new_workload("built-in requests");
	int status = JT_OK;

	if (!w)
		return fail_memory(err);
	w->fd = memfd_create("workload", MFD_CLOEXEC);
	if (w->fd < 0)
		status = fail_io(w, "keep", err);
	for (int i = 0; !status && i < 16; i++)
		if (dprintf(w->fd,
		            "{\"input_toks\":64,\"output_toks\":64,\"arrival_time_ns\":0}\n") < 0)
			status = fail_io(w, "keep", err);
	if (!status && lseek(w->fd, 0, SEEK_SET) < 0)
		status = fail_io(w, "keep", err);
	return finish(w, status, 0, ret_workload, err);
}

void jt__workload_free(struct jt_workload *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		close(w->fd);
	jt__free(w->path);
	jt__free(w->entries);
	jt__free(w->ids);
	jt__buf_fini(&w->window);
	jt__free(w);
}

const char *jt__workload_name(const struct jt_workload *w)
{
	return w->path;
}

uint64_t jt__workload_lines(const struct jt_workload *w)
{
	return w->n;
}

uint64_t jt__workload_requests(const struct jt_workload *w)
{
	return w->n_requests;
}

uint64_t jt__workload_first_ns(const struct jt_workload *w)
{
	return w->n ? w->entries[0].arrival_ns : JT_NONE;
}

uint64_t jt__workload_arrival_ns(const struct jt_workload *w, uint64_t line)
{
	return line < w->n ? w->entries[line].arrival_ns : JT_NONE;
}

/* The line's bytes. Whoever goes on from where the last one was gets what follows with it. */
static int line_text(struct jt_workload *w, const struct entry *e, const char **ret_text,
                     struct jt_error *err)
{
	uint64_t window_end = w->window_at + jt__buf_len(&w->window);
	bool goes_on = e->offset >= w->window_at && e->offset <= window_end + WINDOW;
	size_t want = goes_on ? JT_MAX(e->length, WINDOW) : e->length;
	ssize_t n;
	char *p;

	if (!goes_on || e->offset + e->length > window_end) {
		jt__buf_clear(&w->window);
		p = jt__buf_reserve(&w->window, want);
		if (!p)
			return fail_memory(err);
		n = pread(w->fd, p, want, (off_t)e->offset);
		if (n < 0)
			return fail_io(w, "read", err);
		jt__buf_commit(&w->window, (size_t)n);
		w->window_at = e->offset;
		if ((size_t)n < e->length)
			return jt__fail(err, JT_EIO, "simulate",
			                "'%s' has become shorter while it was read", w->path);
	}
	*ret_text = jt__buf_bytes(&w->window) + (e->offset - w->window_at);
	return JT_OK;
}

static int read_ids(struct jt_workload *w, const struct jt_trace_ask *from, const char *end,
                    size_t length, struct jt_ask *ask, struct jt_error *err)
{
	size_t capacity = length / 2;

	if (!from->input_ids && !from->output_ids)
		return JT_OK;
	if (capacity > w->ids_capacity) {
		jt__free(w->ids);
		w->ids = jt__realloc(NULL, capacity, sizeof(*w->ids));
		w->ids_capacity = w->ids ? capacity : 0;
		if (!w->ids)
			return fail_memory(err);
	}
	if (jt__trace_ids(from->input_ids, end, w->ids, &ask->n_input_ids) ||
	    jt__trace_ids(from->output_ids, end, w->ids + ask->n_input_ids, &ask->n_output_ids))
		return jt__fail(err, JT_EIO, "simulate", "'%s' has changed while it was read",
		                w->path);
	ask->ids = w->ids;
	return JT_OK;
}

int jt__workload_read(struct jt_workload *w, uint64_t line, uint32_t nth, bool with_ids,
                      struct jt_ask *ret_ask, struct jt_error *err)
{
	const struct entry *e;
	struct jt_trace_line got;
	struct jt_error why = { 0 };
	struct jt_ask ask = { 0 };
	const char *text = NULL;
	int status;

	if (line >= w->n || nth >= w->entries[line].n_asks)
		return jt__fail(err, JT_ENOENT, "simulate", "no request %u in line %llu", nth,
		                (unsigned long long)line);
	e = &w->entries[line];
	status = line_text(w, e, &text, err);
	if (status)
		return status;
	status = jt__trace_read(text, e->length, nth, true, &got, &why);
	if (status)
		return fail_line(w, e->line, &why, err);
	ask.id = e->first_id + nth;
	ask.arrival_ns = e->arrival_ns;
	ask.pause_ns = got.ask.pause_ns;
	ask.input_tokens = got.ask.input_tokens;
	ask.output_tokens = got.ask.output_tokens;
	ask.is_last = nth + 1 == e->n_asks;
	if (with_ids)
		status = read_ids(w, &got.ask, text + e->length, e->length, &ask, err);
	if (!status)
		*ret_ask = ask;
	return status;
}
