/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "sources/recording.h"

#define ORIGIN (10000 * JT_NS_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* What was read can be written and is then read as the same. */
static void write_again(const struct jt_recording_head *h, const struct jt_entry *e)
{
	struct jt_entry again;
	struct jt_error err;
	struct jt_buf b;

	jt__buf_init(&b, JT_RECORDING_MAX_LINE);
	if (e->kind == JT_ENTRY_SAMPLE)
		jt__recording_put_sample(&b, ORIGIN, h->domains[e->sample.domain].name, &e->sample);
	else if (e->kind == JT_ENTRY_SPAN)
		jt__recording_put_span(&b, ORIGIN, &e->span);
	else
		jt__recording_put_activity(&b, ORIGIN, h->domains[e->activity.domain].name,
		                           &e->activity.change);
	must(!b.failed);
	must(jt__recording_read_entry(h, jt__buf_bytes(&b), jt__buf_len(&b) - 1, "again:1", ORIGIN,
	                              &again, &err) == JT_OK);
	must(memcmp(&again, e, sizeof(again)) == 0);
	jt__buf_fini(&b);
}

/* Whatever was read, a timeline takes it or refuses it. */
static void measure(struct jt_timeline *tl, const struct jt_entry *e)
{
	const struct jt_sample *s = &e->sample;
	struct jt_interval interval;

	if (e->kind == JT_ENTRY_ACTIVITY)
		jt_timeline_note(tl, &e->activity.change);
	if (e->kind != JT_ENTRY_SAMPLE)
		return;
	jt_timeline_add(tl, s);
	if (jt_timeline_window(tl, s->begin_ns - JT_NS_PER_S, s->end_ns, &interval) == JT_OK)
		must(interval.coverage_ppm <= 1000000);
}

/* Each line is an entry or an error with a message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data, *end = p + n;
	struct jt_recording_head h = { 0 };
	struct jt_timeline *tl = NULL;
	struct jt_error err = { 0 };
	bool first = true;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t length = (size_t)((newline ? newline : end) - p);
		struct jt_entry e;
		int status;

		memset(&err, 0, sizeof(err));
		if (first)
			status = jt__recording_read_head(p, length, "fuzz:1", &h, &err);
		else
			status =
				jt__recording_read_entry(&h, p, length, "fuzz:2", ORIGIN, &e, &err);
		must((status == JT_OK || status == JT_EAGAIN) == (err.message[0] == '\0'));
		if (first && status < 0)
			break;
		if (first)
			must(jt_timeline_new(&h.domains[0].sensor, 64, &tl, &err) == JT_OK);
		else if (status == JT_OK)
			write_again(&h, &e);
		if (!first && status == JT_OK)
			measure(tl, &e);
		first = false;
		p += length + 1;
	}
	if (tl)
		jt_timeline_finish(tl);
	jt_timeline_free(tl);
	jt__recording_head_fini(&h);
	return 0;
}
