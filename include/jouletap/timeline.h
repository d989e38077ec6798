/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TIMELINE_H
#define JT_TIMELINE_H
/*
 * A timeline is a monotone cumulative-energy function E(t) of one domain, made
 * from whatever its sensor gives: a counter, power readings, or both. The
 * energy of any window is E(t1) - E(t0), with a bound. Pure: time arrives with
 * the samples. A timeline belongs to one thread at a time.
 */
#include <stddef.h>
#include <stdint.h>
#include "jouletap/error.h"
#include "jouletap/record.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is known of a domain's sensor. Rows and their sources: src/timeline/sensors.def. */
struct jt_sensor {
	const char *name;   /* "ga100", "gh100", "rapl" … as --sensor takes it */
	const char *what;   /* one line for a person */
	const char *source; /* the same: who says so, with keys of jt_sensor_sources; or NULL */
	enum jt_provenance provenance; /* of the counter; power readings are at best JT_DERIVED */
	uint64_t update_ns; /* nominal update period of counter and power fields, within 10 %; not 0
	                     */
	uint64_t window_ns; /* averaging window of the instantaneous field; 0: none */
	uint64_t avg_window_ns; /* averaging window of the averaged field; 0: there is none */
	uint64_t filter_ns;     /* instead of a window: the field follows with this time constant */
	uint64_t lag_ns;        /* end of the averaging window to the update that shows it */
	uint64_t wrap_uj;       /* the counter runs 0 .. wrap_uj - 1; 0: it does not wrap */
	uint64_t step_uj;       /* smallest step of the counter */
	uint32_t gain_ppm;      /* the true energy is what it reads × (1 ± gain) … */
	uint32_t offset_mw;     /* … ± this for as long as it took */
	uint32_t max_power_mw;  /* the domain never draws more; a reading above is a lie */
};

/* Known kinds, terminated by a row without a name. */
extern const struct jt_sensor jt_sensors[];

/* Where its figures are from: what a [key] in a row's source stands for. Terminated by one without
 * a key. */
struct jt_sensor_source {
	const char *key;
	const char *where;
};
extern const struct jt_sensor_source jt_sensor_sources[];

/* NULL if there is no such kind. */
const struct jt_sensor *jt_sensor_find(const char *name);

/* The kind behind a GPU's marketing name ("NVIDIA H100 80GB HBM3"), or NULL. */
const struct jt_sensor *jt_sensor_of_gpu(const char *gpu_name);

struct jt_timeline; /* opaque */

#define JT_TIMELINE_KNOTS_PER_SAMPLE 40

/*
 * @sensor is copied, the name and description it points to are not. Keeps the last @max_knots
 * points of E(t), and takes memory for them as they come; a sample makes at most
 * JT_TIMELINE_KNOTS_PER_SAMPLE. JT_EINVAL: fewer than 2 knots, no update period;
 * JT_ENOMEM.
 */
int jt_timeline_new(const struct jt_sensor *sensor, size_t max_knots, struct jt_timeline **ret_tl,
                    struct jt_error *err);
void jt_timeline_free(struct jt_timeline *tl); /* accepts NULL */

/*
 * Samples come in time order; @s is copied. A sample whose status is not JT_OK says that there was
 * no reading up to its end_ns, and may overlap with one that is still under way. A counter value
 * that cannot follow the last one (a restart, or a lie) has its effect when the next one tells
 * which it was. JT_EINVAL: it begins before the end of the last reading, or ends before it begins
 * (ignored and counted).
 */
int jt_timeline_add(struct jt_timeline *tl, const struct jt_sample *s);

/* At an instant so many requests more are in prefill, and in decode; or fewer, below 0. */
struct jt_activity {
	uint64_t t_ns;
	int32_t prefill;
	int32_t decode;
};

/*
 * What the domain is doing says where within a counter's steps their energy was, and makes the
 * bound narrower; the totals stay the counter's. Changes come in any order, but before the sample
 * that closes the step they belong to: a later one acts from the next step on. @change is copied.
 */
void jt_timeline_note(struct jt_timeline *tl, const struct jt_activity *change);

/* End of input (a recording): closes what the last sample supports. */
void jt_timeline_finish(struct jt_timeline *tl);

/*
 * E(t) is final up to here; 0 before anything is known. Never moves back. Lags behind the samples
 * by up to an update period and a sampling period, without a counter by the averaging window too.
 */
uint64_t jt_timeline_closed_ns(const struct jt_timeline *tl);

/* Where E(t) begins; 0 before anything is known. Moves up as old knots are dropped. */
uint64_t jt_timeline_start_ns(const struct jt_timeline *tl);

/*
 * Cumulative energy at @t_ns, in µJ since the timeline began; constant beyond
 * both ends. Amortised O(1) for rising @t_ns, O(log n) otherwise.
 */
uint64_t jt_timeline_at(struct jt_timeline *tl, uint64_t t_ns);

/*
 * Energy of [begin, end]. What lies outside the known part is not extrapolated but lowers the
 * coverage; the bound holds for the covered part. All of *ret_interval is filled, domain with 0.
 * JT_EINVAL: end before begin; JT_ERANGE: no overlap with what is kept (also: nothing known yet).
 */
int jt_timeline_window(struct jt_timeline *tl, uint64_t begin_ns, uint64_t end_ns,
                       struct jt_interval *ret_interval);

struct jt_timeline_stats {
	uint64_t n_samples; /* in order, failed ones included */
	uint64_t n_updates; /* located counter updates */
	uint64_t n_resets;  /* the counter restarted */
	uint64_t n_wraps;
	uint64_t n_gaps;          /* the sensor was away */
	uint64_t n_rejected;      /* readings that cannot be true, or out of order */
	uint64_t uncovered_ns;    /* time without a reading */
	uint64_t period_ns;       /* update period seen; 0: not yet known */
	uint64_t edge_ns;         /* how well the last update was located, plus or minus */
	uint32_t cross_ratio_ppm; /* counter over integrated power; 0: nothing to compare */
	int valid;                /* 0: counter and power disagree beyond their tolerances */
};
void jt_timeline_stats(const struct jt_timeline *tl, struct jt_timeline_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
