/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ATTRIBUTION_H
#define JT_ATTRIBUTION_H
/*
 * The virtual energy clock of one domain: splits the energy of a timeline over
 * the requests that were active, in O(1) per sample and O(1) per change of a
 * request, and keeps the accounts. Pure. Belongs to one thread at a time.
 */
#include <stdint.h>
#include "jouletap/error.h"
#include "jouletap/record.h"
#include "jouletap/timeline.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A domain in use costs  shared + Σ own  per unit of time while anything runs:
 * the shared part (reading the model's weights) falls on all active requests
 * alike, the own part on each by itself. Units are arbitrary, ratios count.
 */
struct jt_weight {
	uint32_t shared; /* the largest among the active requests is taken */
	uint32_t own;
};
#define JT_WEIGHT_MAX (1u << 28)

enum jt_change_kind {
	JT_ENTER,  /* becomes active in @phase with @weight */
	JT_ADJUST, /* goes on in @phase with @weight */
	JT_LEAVE,  /* is over; its charges follow when the timeline has closed that instant */
};

struct jt_change {
	uint64_t t_ns; /* on the timeline's clock */
	uint64_t request;
	enum jt_change_kind kind;
	enum jt_phase phase;     /* from here on; of a JT_LEAVE neither this … */
	struct jt_weight weight; /* … nor this matters, but both must be valid */
};

/* The domain's books, in µJ, each kept by itself: requests + idle + unattributed = meter. */
struct jt_account {
	uint64_t meter_uj;
	uint64_t requests_uj;
	uint64_t idle_uj; /* nothing active: up to the given idle floor, all of it if none was given
	                   */
	uint64_t unattributed_uj; /* nothing active and above a given floor, known only after its
	                             time was closed, or only weights of 0 active */
	int64_t error_uj; /* meter - (requests + idle + unattributed); 0 unless we have a bug */
	uint64_t idle_floor_mw; /* JT_NONE while unknown */
	uint64_t n_late;        /* changes that were posted when the watermark had passed them */
	uint64_t n_active;      /* requests, at the watermark */
};

struct jt_attribution; /* opaque */

/*
 * @idle_floor_mw: what the domain draws with nothing to do. JT_NONE: learn it as the lowest mean
 * power of a second without requests; a learned floor serves the dynamic joules only.
 */
int jt_attribution_new(uint32_t domain, uint64_t idle_floor_mw, struct jt_attribution **ret_a,
                       struct jt_error *err);
void jt_attribution_free(struct jt_attribution *a); /* accepts NULL */

/*
 * Changes may come in any order; they wait until the watermark passes them. Those of one instant
 * act in the order of request, then kind. One older than the watermark acts at the watermark and is
 * counted as late. A second JT_ENTER of an active request is a JT_ADJUST; a JT_ADJUST of a stranger
 * does nothing. @c is copied. JT_EINVAL: a weight above JT_WEIGHT_MAX, no such kind or phase;
 * JT_ENOMEM, but never for the first JT_LEAVE of a request whose JT_ENTER was taken.
 */
int jt_attribution_post(struct jt_attribution *a, const struct jt_change *c);

/* Receives one charge for each phase that a request was in, when it is over. */
typedef void (*jt_charge_fn)(void *user, const struct jt_charge *charge);

/* Called for each JT_LEAVE: after the last charge of a request, or at once for a stranger. */
typedef void (*jt_final_fn)(void *user, uint64_t request);

/* Called from jt_attribution_advance(), whose attribution must not be changed from within. */
struct jt_attribution_sink {
	jt_charge_fn charge;
	jt_final_fn final;
	void *user;
};

/*
 * Applies all changes up to @watermark_ns, which may not exceed what the timeline has closed.
 * Before the timeline knows anything it may be any: time then passes without energy or coverage, so
 * that changes do not pile up for a sensor that never answers. Never moves back; an older watermark
 * does nothing. Always the same @tl for one attribution.
 */
void jt_attribution_advance(struct jt_attribution *a, struct jt_timeline *tl, uint64_t watermark_ns,
                            const struct jt_attribution_sink *sink);

/*
 * What an active request owes so far, up to the watermark: request, domain, phase, allocated_uj and
 * the part of bound_uj that comes from its changes (the sensor's gain is not in it). JT_ENOENT: not
 * active.
 */
int jt_attribution_peek(const struct jt_attribution *a, uint64_t request,
                        struct jt_charge ret_charges[JT_N_PHASES]);

/* O(active requests). */
void jt_attribution_account(const struct jt_attribution *a, struct jt_account *ret_account);
/* 0 before the first jt_attribution_advance(). */
uint64_t jt_attribution_watermark_ns(const struct jt_attribution *a);
uint64_t jt_attribution_n_active(const struct jt_attribution *a);

#ifdef __cplusplus
}
#endif
#endif
