/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>
#include "jouletap/record.h"
#include "simulator/csv.h"
#include "simulator/output.h"

#define ROOM 262144 /* bytes of an instance's rows that wait in memory */
#define DIGITS 20

static const char header[] = "instance id,request id,model,input,output,arrival,end_time,latency,"
			     "queuing_delay,TTFT,TPOT,ITL\r\n";

/* The rows of one instance. */
struct part {
	char *data; /* NULL until there is one */
	size_t n;
	int fd; /* -1: all are in memory */
};

struct jt_csv {
	char path[JT_SIM_PATH_MAX];
	struct part *parts;
	uint32_t n_parts;
	int status;
	struct jt_error err;
};

/* A file without a name, in the directory of @path: there is room for what becomes part of it. */
static int open_nameless(const char *path, struct jt_error *err)
{
	char name[JT_SIM_PATH_MAX + 16];
	const char *slash = strrchr(path, '/');
	int fd;

	snprintf(name, sizeof(name), "%.*s", slash ? (int)(slash - path) + 1 : 2,
	         slash ? path : "./");
	fd = open(name, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) { /* not every file system has it */
		snprintf(name, sizeof(name), "%s.XXXXXX", path);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	}
	if (fd < 0)
		jt__fail(err, JT_EIO, "simulate", "cannot create a temporary file beside '%s': %s",
		         path, strerror(errno));
	return fd;
}

static void spill(struct jt_csv *c, struct part *p)
{
	if (c->status == JT_OK && p->fd < 0) {
		p->fd = open_nameless(c->path, &c->err);
		c->status = p->fd < 0 ? JT_EIO : JT_OK;
	}
	if (c->status == JT_OK)
		c->status = jt__sim_output_write(p->fd, c->path, p->data, p->n, &c->err);
	p->n = 0;
}

/* Where @n more bytes go, at most ROOM; NULL when nothing can be written any more. */
static char *reserve(struct jt_csv *c, struct part *p, size_t n)
{
	if (!p->data) {
		p->data = jt__realloc(NULL, 1, ROOM);
		if (!p->data)
			c->status = jt__fail(&c->err, JT_ENOMEM, "simulate",
			                     "no memory for the rows of '%s'", c->path);
	}
	if (c->status == JT_OK && ROOM - p->n < n)
		spill(c, p);
	return c->status == JT_OK ? p->data + p->n : NULL;
}

/* The last eight digits of @v. */
static void write_eight(char to[8], uint64_t v)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930"
				    "31323334353637383940414243444546474849505152535455565758596061"
				    "62636465666768697071727374757677787980818283848586878889909192"
				    "93949596979899";
	uint32_t all = (uint32_t)(v % 100000000), high = all / 10000, low = all % 10000;

	memcpy(to, &pairs[high / 100 * 2], 2);
	memcpy(to + 2, &pairs[high % 100 * 2], 2);
	memcpy(to + 4, &pairs[low / 100 * 2], 2);
	memcpy(to + 6, &pairs[low % 100 * 2], 2);
}

/* @v in decimal; where it ends. Needs room for DIGITS whatever @v is. */
static char *put_number(char *to, uint64_t v)
{
	char room[16] = { 0 };
	int zeros = 0;

	if (v >= 100000000) {
		to = put_number(to, v / 100000000);
		write_eight(to, v);
		return to + 8;
	}
	write_eight(room, v);
	while (zeros < 7 && room[zeros] == '0')
		zeros++;
	memcpy(to, room + zeros, 8); /* a fixed size is one instruction */
	return to + 8 - zeros;
}

/* A text as Python's csv module writes it: quoted only where it has to be. */
static char *put_text(char *to, const char *text)
{
	bool quoted = text[strcspn(text, ",\"\r\n")] != '\0';

	if (quoted)
		*to++ = '"';
	for (; *text; text++) {
		if (*text == '"')
			*to++ = '"';
		*to++ = *text;
	}
	if (quoted)
		*to++ = '"';
	return to;
}

/* Up to the list, which may be longer than any buffer. */
static void put_facts(struct jt_csv *c, struct part *p, const struct jt_sim_request *r)
{
	const uint64_t numbers[] = {
		r->input_tokens,           r->output_tokens, r->arrival_ns, r->end_ns,
		r->end_ns - r->arrival_ns, r->queuing_ns,    r->ttft_ns,    r->tpot_ns
	};
	char *to = reserve(c, p, 12 * (DIGITS + 1) + 2 * strlen(r->model) + 8);

	if (!to)
		return;
	to = put_number(to, r->instance);
	*to++ = ',';
	to = put_number(to, r->id);
	*to++ = ',';
	to = put_text(to, r->model);
	for (size_t i = 0; i < JT_ARRAY_LEN(numbers); i++) {
		*to++ = ',';
		to = numbers[i] == JT_NONE ? put_text(to, "-1") : put_number(to, numbers[i]);
	}
	*to++ = ',';
	p->n = (size_t)(to - p->data);
}

/* As Python prints a list; only with a comma in it the csv module quotes it. */
static void put_gaps(struct jt_csv *c, struct part *p, const uint64_t *gaps, uint32_t n)
{
	enum { AT_ONCE = 256 };
	char *to = reserve(c, p, 2);

	if (!to)
		return;
	if (n > 1)
		*to++ = '"';
	*to++ = '[';
	p->n = (size_t)(to - p->data);
	for (uint32_t i = 0; i < n; i++) {
		if (i % AT_ONCE == 0) {
			p->n = (size_t)(to - p->data);
			to = reserve(c, p, AT_ONCE * (DIGITS + 2));
			if (!to)
				return;
		}
		if (i) {
			*to++ = ',';
			*to++ = ' ';
		}
		to = put_number(to, gaps[i]);
	}
	p->n = (size_t)(to - p->data);
	to = reserve(c, p, 4);
	if (!to)
		return;
	memcpy(to, n > 1 ? "]\"\r\n" : "]\r\n", n > 1 ? 4 : 3);
	p->n += n > 1 ? 4 : 3;
}

void jt__csv_put(struct jt_csv *c, const struct jt_sim_request *r)
{
	struct part *p = &c->parts[r->instance];

	if (c->status != JT_OK)
		return;
	put_facts(c, p, r);
	put_gaps(c, p, r->itl_ns, r->n_itl);
}

int jt__csv_open(const char *path, uint32_t n_instances, struct jt_csv **ret_csv,
                 struct jt_error *err)
{
	struct jt_csv *c = jt__alloc(1, sizeof(*c));
	int status;

	if (!c)
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory to write '%s'", path);
	c->parts = jt__alloc(n_instances, sizeof(*c->parts));
	if (!c->parts) {
		status = jt__fail(err, JT_ENOMEM, "simulate", "no memory to write '%s'", path);
		goto out;
	}
	c->n_parts = n_instances;
	for (uint32_t i = 0; i < n_instances; i++)
		c->parts[i].fd = -1;
	if (!jt__copy_text(c->path, sizeof(c->path), path, strlen(path))) {
		status = jt__fail(err, JT_EINVAL, "simulate", "path is too long: '%.100s…'", path);
		goto out;
	}
	status = jt__sim_output_open(path, &c->parts[0].fd, err);
	if (status == JT_OK)
		status =
			jt__sim_output_write(c->parts[0].fd, path, header, sizeof(header) - 1, err);
	if (status < 0)
		goto out;
	*ret_csv = c;
	c = NULL;
out:
	jt__csv_free(c);
	return status;
}

int jt__csv_status(const struct jt_csv *c, struct jt_error *err)
{
	if (c->status != JT_OK && err)
		*err = c->err;
	return c->status;
}

/* What has been spilled of an instance, behind what the file holds so far. */
static void append(struct jt_csv *c, const struct part *p)
{
	struct stat st = { 0 };
	off_t at = 0;

	if (fstat(p->fd, &st) < 0)
		st.st_size = -1;
	while (st.st_size > at) {
		ssize_t n = sendfile(c->parts[0].fd, p->fd, &at,
		                     (size_t)JT_MIN(st.st_size - at, 1 << 30));

		if (n <= 0 && !(n < 0 && errno == EINTR))
			break;
	}
	if (at != st.st_size)
		c->status = jt__fail(&c->err, JT_EIO, "simulate", "cannot write '%s': %s", c->path,
		                     strerror(errno));
}

int jt__csv_finish(struct jt_csv *c, struct jt_error *err)
{
	if (c->status == JT_OK && c->parts[0].data)
		spill(c, &c->parts[0]);
	for (uint32_t i = 1; i < c->n_parts; i++) {
		struct part *p = &c->parts[i];

		if (c->status == JT_OK && p->fd >= 0)
			append(c, p);
		if (c->status == JT_OK && p->n)
			c->status = jt__sim_output_write(c->parts[0].fd, c->path, p->data, p->n,
			                                 &c->err);
		p->n = 0;
	}
	if (c->status == JT_OK && close(c->parts[0].fd) < 0)
		c->status = jt__fail(&c->err, JT_EIO, "simulate", "cannot write '%s': %s", c->path,
		                     strerror(errno));
	c->parts[0].fd = -1;
	return jt__csv_status(c, err);
}

void jt__csv_free(struct jt_csv *c)
{
	if (!c)
		return;
	for (uint32_t i = 0; i < c->n_parts; i++) {
		if (c->parts[i].fd >= 0)
			close(c->parts[i].fd);
		jt__free(c->parts[i].data);
	}
	jt__free(c->parts);
	jt__free(c);
}
