/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RECORDING_H
#define JT_RECORDING_H
/*
 * The recording format: what the meters and the requests said, one JSON object
 * a line, so that a run can be computed again. jouletap-recording(5) describes it.
 * Here lines are put together and taken apart; files are replay.c's. Pure, any thread.
 */
#include "base/buf.h"
#include "jouletap/source.h"

#define JT_RECORDING_VERSION 1
#define JT_RECORDING_MAX_LINE ((size_t)1 << 20)

/* The first line. */
struct jt_recording_head {
	uint64_t start_unix_ns;
	struct jt_domain *domains; /* names are unique */
	size_t n_domains;
};

enum jt_entry_kind { JT_ENTRY_SAMPLE, JT_ENTRY_SPAN, JT_ENTRY_ACTIVITY };

/* What a domain was told; before the sample that closes the step it belongs to, as then. */
struct jt_domain_activity {
	uint32_t domain;
	struct jt_activity change;
};

/* Every other line. */
struct jt_entry {
	enum jt_entry_kind kind;
	union {
		struct jt_sample sample;
		struct jt_span span;
		struct jt_domain_activity activity;
	};
};

/*
 * Each puts one whole line into @b (check b->failed). Times are written as seconds since
 * @origin_ns, the monotonic time at which the recording began, and may not be before it.
 */
void jt__recording_put_head(struct jt_buf *b, uint64_t start_unix_ns,
                            const struct jt_domain *domains, size_t n_domains);
void jt__recording_put_sample(struct jt_buf *b, uint64_t origin_ns, const char *domain,
                              const struct jt_sample *s);
void jt__recording_put_span(struct jt_buf *b, uint64_t origin_ns, const struct jt_span *s);
void jt__recording_put_activity(struct jt_buf *b, uint64_t origin_ns, const char *domain,
                                const struct jt_activity *change);

/*
 * A line of @n bytes without its newline. @where is "FILE:LINE" for the error, which names the
 * field. JT_EINVAL; JT_ENOTSUP: a version that we do not know; JT_ENOMEM.
 */
int jt__recording_read_head(const char *line, size_t n, const char *where,
                            struct jt_recording_head *ret_head, struct jt_error *err);
void jt__recording_head_fini(struct jt_recording_head *h);

/* As above, @origin_ns is added to the times. JT_EAGAIN: a kind of line that we do not know. */
int jt__recording_read_entry(const struct jt_recording_head *h, const char *line, size_t n,
                             const char *where, uint64_t origin_ns, struct jt_entry *ret_entry,
                             struct jt_error *err);

#endif
