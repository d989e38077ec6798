/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_METER_H
#define JT_METER_H
/*
 * The library's face: opens what can be measured, samples it, and answers for
 * windows, phases and requests. Times are CLOCK_MONOTONIC ns, given by the
 * caller. A meter is used from one thread at a time; sampling threads are its own.
 */
#include "jouletap/record.h"
#include "jouletap/source.h"
#include "jouletap/timeline.h"
#include "jouletap/attribution.h"

#ifdef __cplusplus
extern "C" {
#endif

struct jt_meter; /* opaque */

struct jt_idle_floor {
	const char *domain; /* name; one that is not here is ignored */
	uint64_t power_mw;  /* what it draws with nothing to do */
};

/* Names and arrays are used by jt_meter_new() only, sources and callbacks as long as the meter
 * lives. */
struct jt_meter_options {
	size_t size; /* sizeof(struct jt_meter_options): JT_EINVAL for any other */
	struct jt_source_options sources;
	const struct jt_source_ops *const
		*extra_sources; /* NULL-terminated, come first; may be NULL */
	uint64_t period_ns;     /* between samples: 10 ms to 10 s */
	size_t max_knots;       /* history kept of each domain: one knot per counter update */
	const struct jt_idle_floor *floors;
	size_t n_floors;
	/*
	 * Optional. Called from jt_meter_advance(), in the caller's thread; on_span, on_activity
	 * and on_record also from jt_request_begin(), jt_request_progress() and jt_request_end().
	 * They may ask the meter but not change it; what they are given is valid until they return.
	 */
	void (*on_sample)(void *user, const struct jt_sample *sample);
	void (*on_span)(void *user, const struct jt_span *span);
	/* What the timeline of @domain is told that runs there. */
	void (*on_activity)(void *user, size_t domain, const struct jt_activity *change);
	/* Final; @request is the caller's name for it. */
	void (*on_record)(void *user, uint64_t request, const struct jt_record *record);
	void *user;
};
#define JT_METER_OPTIONS_INIT                                                                      \
	{                                                                                          \
		.size = sizeof(struct jt_meter_options), .sources = JT_SOURCE_OPTIONS_INIT,        \
		.period_ns = 100000000, .max_knots = 65536                                         \
	}

/*
 * Succeeds where nothing can be measured, with no domains; beyond 64 they are left out. Starts the
 * sampling threads. JT_EINVAL, JT_ENOMEM, and JT_E* of a source that was asked for by name (a
 * replay file).
 */
int jt_meter_new(const struct jt_meter_options *o, struct jt_meter **ret_meter,
                 struct jt_error *err);
/* Stops sampling; requests without a record get none. Free its windows first. Accepts NULL. */
void jt_meter_free(struct jt_meter *m);

size_t jt_meter_n_domains(const struct jt_meter *m);
/* NULL: no such domain. Valid as long as the meter. */
const struct jt_domain *jt_meter_domain(const struct jt_meter *m, size_t domain);
/*
 * What was looked for and is not here, or not all of it: the @i-th source's name and why. JT_ENOENT
 * beyond the last.
 */
int jt_meter_absent(const struct jt_meter *m, size_t i, const char **ret_source,
                    const char **ret_why);
/* Index of the domain called @name. JT_ENOENT. */
int jt_meter_find_domain(const struct jt_meter *m, const char *name, size_t *ret_domain);

/*
 * Takes what was sampled up to the watermark and closes what can be closed: call it several times a
 * second, for samples wait in a small buffer. @watermark_ns: changes of requests up to here have
 * all been reported (now, if they are reported from this thread). A domain that has not told
 * anything for 10 s is no longer waited for.
 */
void jt_meter_advance(struct jt_meter *m, uint64_t now_ns, uint64_t watermark_ns);

/* ---- windows ---- */

/*
 * Energy of [begin, end] in one domain, any time after it. JT_EAGAIN until the timeline has closed
 * its end (then *ret_interval is provisional: what is known so far, coverage 0 if nothing),
 * JT_ERANGE once nothing of it is kept, JT_ENOENT: no such domain, JT_EINVAL: end before begin.
 */
int jt_meter_window(struct jt_meter *m, size_t domain, uint64_t begin_ns, uint64_t end_ns,
                    struct jt_interval *ret_interval);

/* A window with phases, for code that brackets its own work. Opaque; any number at a time, they may
 * overlap. */
struct jt_window;
/* JT_ENOMEM. */
int jt_window_begin(struct jt_meter *m, uint64_t t_ns, struct jt_window **ret_window);
/*
 * From here on the window is in phase @name (up to 31 bytes, copied), until the next phase or the
 * end of the window; times do not go back. JT_ELIMIT beyond 64 changes; JT_EINVAL: the name is too
 * long.
 */
int jt_window_phase(struct jt_window *w, uint64_t t_ns, const char *name);
void jt_window_end(struct jt_window *w, uint64_t t_ns);
/*
 * Energy of the phases called @phase, or of everything (NULL), in one domain. Of several stretches
 * end_ns is begin_ns plus the sum of their times. Statuses as jt_meter_window(); JT_EAGAIN also,
 * and *ret_interval is untouched, before jt_window_end(); JT_ENOENT also: no such phase.
 */
int jt_window_read(struct jt_window *w, size_t domain, const char *phase,
                   struct jt_interval *ret_interval);
void jt_window_free(struct jt_window *w); /* accepts NULL */

/* ---- requests ---- */

/* An engine: where its requests use energy, and how that is shared among them. */
struct jt_service_options {
	size_t size; /* sizeof(struct jt_service_options): JT_EINVAL for any other */
	const char *name;
	const char *policy;         /* "equal", "tokens" or "roofline" */
	const char *const *domains; /* names; none: every GPU, or where there is none all that
	                               contain no other */
	size_t n_domains;
	const char *architecture;  /* path of a config.json, for roofline; may be NULL */
	const char *gpu;           /* type, for roofline; NULL: as the driver calls it */
	double prefill_ratio;      /* part of a request's joules in prefill, where nothing better is
	                              known */
	uint32_t max_batch_tokens; /* of an engine step: a longer prompt prefills in chunks */
};
#define JT_SERVICE_OPTIONS_INIT                                                                    \
	{                                                                                          \
		.size = sizeof(struct jt_service_options), .name = "engine", .policy = "roofline", \
		.prefill_ratio = 0.25, .max_batch_tokens = 2048                                    \
	}

/*
 * Up to 64. JT_EINVAL: unknown policy, bad architecture, one of its domains is part of another;
 * JT_ENOENT: no such domain or GPU; JT_ELIMIT.
 */
int jt_meter_add_service(struct jt_meter *m, const struct jt_service_options *o,
                         size_t *ret_service, struct jt_error *err);

struct jt_request_start {
	uint32_t prompt_tokens;       /* may be an estimate */
	uint32_t choices;             /* answers it asked for (n); 0 is 1 */
	uint32_t first_token_visible; /* 0: the answer comes in one piece, phases are told at the
	                                 end or not at all */
};
/*
 * The request is in the engine's hands. @request is the caller's name for it, unlike that of any
 * other whose record is not yet out. JT_ENOENT: no such service; JT_EINVAL: the name is in use;
 * JT_ENOMEM.
 */
int jt_request_begin(struct jt_meter *m, uint64_t t_ns, uint64_t request, size_t service,
                     const struct jt_request_start *start);
/*
 * Its first token (JT_PHASE_DECODE, once), or more context: @context_tokens is prompt and output so
 * far. JT_ENOENT: over, or unknown; JT_EINVAL: no such phase; JT_ENOMEM.
 */
int jt_request_progress(struct jt_meter *m, uint64_t t_ns, uint64_t request, enum jt_phase phase,
                        uint32_t context_tokens);

/* What is known when it is over. */
struct jt_request_facts {
	struct jt_record record; /* all but the joules, provenance, policy, phase_source, domains */
	/* as told by the engine, as record.queue_ns and .load_ns are; JT_NONE */
	uint64_t engine_prefill_ns;
	uint64_t engine_decode_ns;
};
/*
 * It is over; its record follows through on_record when the energy of its last instant is known
 * (where there is no domain, before this returns). Where nothing of it was seen its joules are
 * JT_NONE; where there is no memory for @facts, so is all that they say. JT_ENOENT: over, or
 * unknown.
 */
int jt_request_end(struct jt_meter *m, uint64_t t_ns, uint64_t request,
                   const struct jt_request_facts *facts);

/*
 * What it has cost so far: charged up to the last closed step, estimated from there to @now_ns (or
 * its end) at its share of the latest power. Fills prefill_uj, decode_uj, total_uj, bound_uj,
 * provenance, policy, domains and upstream of @record. JT_ENOENT: unknown, or its record is out;
 * JT_EAGAIN: no joules known yet.
 */
int jt_request_peek(struct jt_meter *m, uint64_t now_ns, uint64_t request,
                    struct jt_record *record);

/* Requests that are over and whose record is not yet out. */
size_t jt_meter_n_unsettled(const struct jt_meter *m);

/* ---- the books ---- */

/* Of one domain. JT_ENOENT: no such domain. */
int jt_meter_account(struct jt_meter *m, size_t domain, struct jt_account *ret_account);
int jt_meter_timeline_stats(struct jt_meter *m, size_t domain, struct jt_timeline_stats *ret_stats);
/* The latest sample; JT_EAGAIN before the first. */
int jt_meter_latest(struct jt_meter *m, size_t domain, struct jt_sample *ret_sample);

/*
 * What this process itself costs: a report, which is in no account and taken out of none. Its
 * joules are its part of what the CPU packages used above their idle floor, by its CPU time over
 * the time that all CPUs were busy: derived where the CPU is measured, else modelled. The bound is
 * the meter's and the kernel's counting's.
 */
struct jt_own_cost {
	uint64_t cpu_ns;      /* of all threads, since the process began */
	uint64_t sampling_ns; /* of it: the threads that read this meter's sensors */
	uint64_t energy_uj;   /* since the meter was made, a second or two behind; JT_NONE: no CPU
	                         is metered, or none yet */
	uint64_t bound_uj;    /* JT_NONE as energy_uj */
	enum jt_provenance provenance; /* of energy_uj */
};
void jt_meter_own_cost(const struct jt_meter *m, struct jt_own_cost *ret_cost);

#ifdef __cplusplus
}
#endif
#endif
