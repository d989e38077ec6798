/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "sources/smilog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* One pass over the lines; the number of samples. */
static size_t feed(struct jt_smilog *l, const char *p, const char *end, struct jt_timeline *tl)
{
	size_t n_samples = 0;

	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));
		size_t length = (size_t)((newline ? newline : end) - p);
		struct jt_error err = { 0 };
		struct jt_sample s;
		int status = jt__smilog_line(l, p, length, "fuzz:1", &s, &err);

		must((status == JT_OK || status == JT_EAGAIN) == (err.message[0] == '\0'));
		if (status == JT_OK) {
			n_samples++;
			must(s.domain < l->n_gpus && s.begin_ns <= INT64_MAX &&
			     (s.status < 0) == !s.valid);
			if (s.domain == 0)
				jt_timeline_add(tl, &s);
		}
		p += length + 1;
	}
	return n_samples;
}

/*
 * Each line is a sample, nothing, or an error with a message, and both passes see the same samples.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	struct jt_timeline *tl = NULL;
	struct jt_smilog l;
	size_t n_samples;

	must(jt_timeline_new(jt_sensor_find("ga10x"), 64, &tl, NULL) == JT_OK);
	jt__smilog_init(&l, 10000 * JT_NS_PER_S);
	n_samples = feed(&l, p, p + n, tl);
	for (size_t i = 0; i < l.n_gpus; i++)
		l.gpus[i].info.sensor = *jt_sensor_find("ga10x");
	jt__smilog_rewind(&l);
	must(feed(&l, p, p + n, tl) == n_samples);
	jt_timeline_free(tl);
	jt__smilog_fini(&l);
	return 0;
}
