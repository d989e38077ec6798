/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_RECORD_H
#define JT_RECORD_H
/*
 * The five structs that flow through jouletap:
 *
 *   sample    one reading of one energy domain
 *   span      a request in one phase
 *   interval  a stretch of a timeline whose energy is known
 *   charge    joules that somebody caused
 *   record    one finished request, as the ledger keeps it
 *
 * Plain data, no thread rule. Inside: energy in µJ, power in mW, time in ns on
 * the monotonic clock. "Unknown" is JT_NONE (or a cleared valid bit), never 0.
 */
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JT_NONE UINT64_MAX

/* Where a figure comes from, best first: the provenance of a sum is that of its worst part. */
enum jt_provenance {
	JT_MEASURED,  /* a hardware energy counter */
	JT_DERIVED,   /* integrated power readings, or an apportioned share of a counter */
	JT_MODELLED,  /* a device or utilisation model stands in for a meter */
	JT_PREDICTED, /* before the fact */
	JT_N_PROVENANCES,
};

enum jt_phase {
	JT_PHASE_QUEUE,   /* accepted, not yet computed (known only where the engine tells) */
	JT_PHASE_PREFILL, /* until the first token */
	JT_PHASE_DECODE,  /* first token to last */
	JT_N_PHASES,
};

const char *jt_provenance_name(enum jt_provenance p);
const char *jt_phase_name(enum jt_phase p);

/* Which fields of a sample hold a value. */
enum {
	JT_HAS_ENERGY = 1 << 0,
	JT_HAS_POWER = 1 << 1,
	JT_HAS_POWER_AVG = 1 << 2,
	JT_HAS_TEMPERATURE = 1 << 3,
	JT_HAS_SM_CLOCK = 1 << 4,
	JT_HAS_MEM_CLOCK = 1 << 5,
	JT_HAS_LIMIT = 1 << 6,
	JT_HAS_REASONS = 1 << 7,
	JT_HAS_SM_ACTIVITY = 1 << 8,
	JT_HAS_TENSOR_ACTIVITY = 1 << 9,
	JT_HAS_DRAM_ACTIVITY = 1 << 10,
};

/* Why a clock is held back; NVML's own bits, which other vendors are mapped to. */
enum {
	JT_REASON_IDLE = 0x1,
	JT_REASON_APP_CLOCKS = 0x2,
	JT_REASON_SW_POWER_CAP = 0x4,
	JT_REASON_HW_SLOWDOWN = 0x8,
	JT_REASON_SYNC_BOOST = 0x10,
	JT_REASON_SW_THERMAL = 0x20,
	JT_REASON_HW_THERMAL = 0x40,
	JT_REASON_POWER_BRAKE = 0x80,
};

struct jt_sample {
	uint32_t domain;        /* index of the domain in the meter's list */
	uint32_t valid;         /* JT_HAS_* */
	int32_t status;         /* enum jt_status: JT_OK, or why nothing is valid (JT_ELOST …) */
	uint32_t reasons;       /* JT_REASON_* */
	uint64_t begin_ns;      /* monotonic, just before the read */
	uint64_t end_ns;        /* monotonic, just after it: the value was taken in between */
	uint64_t energy_uj;     /* cumulative; may wrap or restart */
	uint32_t power_mw;      /* instantaneous field, over the sensor's own window */
	uint32_t power_avg_mw;  /* averaged field */
	int32_t temperature_mc; /* thousandths of a degree Celsius */
	uint32_t sm_clock_mhz;
	uint32_t mem_clock_mhz;
	uint32_t limit_mw; /* enforced power limit */
	/* Profiling counters, where asked for: means over the last tenth of a second or two. */
	uint32_t sm_activity_ppm;     /* part of the multiprocessors that were busy */
	uint32_t tensor_activity_ppm; /* part of the time that tensor cores were */
	uint32_t dram_activity_ppm;   /* part of the memory bandwidth that was used */
};

struct jt_span {
	uint64_t request;
	uint64_t begin_ns;
	uint64_t end_ns;
	enum jt_phase phase;
	uint32_t tokens; /* prompt tokens of a prefill, output tokens of a decode */
};

struct jt_interval {
	uint32_t domain;
	enum jt_provenance provenance;
	uint64_t begin_ns;
	uint64_t end_ns;
	uint64_t energy_uj;
	uint64_t bound_uj; /* |true - energy| of what is covered stays below this under the sensor's
	                      stated tolerances */
	uint32_t coverage_ppm; /* part of the time that the sensor saw */
};

struct jt_charge {
	uint64_t request;
	uint32_t domain;
	enum jt_phase phase;
	enum jt_provenance provenance;
	uint64_t allocated_uj; /* share of everything while it ran */
	uint64_t dynamic_uj;   /* share above the idle floor; JT_NONE while no floor is known */
	uint64_t bound_uj; /* of allocated_uj; the last phase carries what is off at the request's
	                      changes */
	uint32_t coverage_ppm; /* part of the time from its beginning to its end that the sensor
	                          saw; 0: unknown, not free */
};

/*
 * The record's fields, once. JSONL, the man page and the bindings follow from
 * this table:  X(kind, member, name outside, size or 0, meaning)
 *
 *   TEXT   char[size], "" when unknown         JOULES  µJ inside, J outside
 *   TIME   unix ns inside, RFC 3339 outside    SECONDS ns inside, s outside
 *   COUNT  integer                             RATIO   ppm inside, 0..1 outside
 *   BOOL   0 or 1                              NUMBER  thousandths inside, decimal outside
 * All but TEXT and BOOL are uint64_t and JT_NONE when unknown (null outside).
 */
/* clang-format off */
#define JT_RECORD_FIELDS(X) \
	X(TEXT,    id,                "id",                64, "request id: x-request-id if the client gave one, else ours") \
	X(TIME,    start_unix_ns,     "start",              0, "arrival of the request head") \
	X(TEXT,    model,             "model",             96, "model the client named") \
	X(TEXT,    task_class,        "task_class",        32, "x-jouletap-task-class header, or the default") \
	X(TEXT,    tenant,            "tenant",            64, "x-jouletap-tenant header") \
	X(TEXT,    upstream,          "upstream",          32, "name of the upstream that served it") \
	X(TEXT,    path,              "path",              48, "request path without its query") \
	X(COUNT,   http_status,       "http_status",        0, "status sent to the client") \
	X(TEXT,    outcome,           "outcome",           16, "ok, client_gone, upstream_error, timeout or rejected (by us, or by the engine with a 4xx status)") \
	X(BOOL,    stream,            "stream",             0, "whether the answer was streamed") \
	X(COUNT,   choices,           "choices",            0, "number of choices (n)") \
	X(COUNT,   prompt_tokens,     "prompt_tokens",      0, "tokens of the prompt, cached ones included") \
	X(COUNT,   cached_tokens,     "cached_tokens",      0, "prompt tokens taken from the prefix cache") \
	X(COUNT,   completion_tokens, "completion_tokens",  0, "tokens generated, over all choices") \
	X(COUNT,   reasoning_tokens,  "reasoning_tokens",   0, "of these, reasoning tokens") \
	X(TEXT,    token_source,      "token_source",       8, "usage (the engine counted) or events (we counted)") \
	X(SECONDS, duration_ns,       "duration_s",         0, "head received to last byte or abort") \
	X(SECONDS, queue_ns,          "queue_s",            0, "waiting in the engine, where it tells") \
	X(SECONDS, load_ns,           "load_s",             0, "loading the model for it, where the engine tells") \
	X(SECONDS, ttft_ns,           "ttft_s",             0, "time to first token") \
	X(SECONDS, tpot_ns,           "tpot_s",             0, "time per output token after the first") \
	X(JOULES,  queue_uj,          "queue_j",            0, "allocated while it waited in the engine, and while its model was loaded") \
	X(JOULES,  prefill_uj,        "prefill_j",          0, "allocated to its prefill") \
	X(JOULES,  decode_uj,         "decode_j",           0, "allocated to its decode") \
	X(JOULES,  total_uj,          "total_j",            0, "queue + prefill + decode") \
	X(JOULES,  dynamic_uj,        "dynamic_j",          0, "the part of total_j above the idle floor") \
	X(JOULES,  bound_uj,          "bound_j",            0, "error bound of total_j: the meter's, for the named policy") \
	X(RATIO,   coverage_ppm,      "coverage",           0, "part of the time that the sensors saw") \
	X(TEXT,    provenance,        "provenance",        12, "measured, derived, modelled or predicted") \
	X(TEXT,    policy,            "policy",            12, "how shares were weighed: equal, tokens, roofline, or phase_split (roofline without an architecture)") \
	X(TEXT,    phase_source,      "phase_source",      12, "engine (timings), stream (first token, or that none came) or ratio (configured split)") \
	X(TEXT,    domains,           "domains",          512, "energy domains it ran on, comma separated") \
	X(NUMBER,  concurrency_milli, "concurrency",        0, "requests on its upstream while it ran, itself included: the mean over that time") \
	X(JOULES,  predicted_uj,      "predicted_j",        0, "what total_j was predicted to be before it ran") \
	X(JOULES,  predicted_lo_uj,   "predicted_lo_j",     0, "lower end of the 90 % interval of that") \
	X(JOULES,  predicted_hi_uj,   "predicted_hi_j",     0, "its upper end") \
	X(COUNT,   predicted_tokens,  "predicted_tokens",   0, "tokens it was taken to generate, over all choices")

#define JT_FIELD_TEXT(member, size)    char member[size];
#define JT_FIELD_TIME(member, size)    uint64_t member;
#define JT_FIELD_COUNT(member, size)   uint64_t member;
#define JT_FIELD_BOOL(member, size)    uint64_t member;
#define JT_FIELD_JOULES(member, size)  uint64_t member;
#define JT_FIELD_SECONDS(member, size) uint64_t member;
#define JT_FIELD_RATIO(member, size)   uint64_t member;
#define JT_FIELD_NUMBER(member, size)  uint64_t member;
/* clang-format on */

struct jt_record {
#define JT_X(kind, member, name, size, meaning) JT_FIELD_##kind(member, size)
	JT_RECORD_FIELDS(JT_X)
#undef JT_X
};

#ifdef __cplusplus
}
#endif
#endif
