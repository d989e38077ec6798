/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PROBE_H
#define JT_PROBE_H
/* Everything a timeline knows of one instant, in one look-up: for the attribution. */
#include "jouletap/timeline.h"

struct jt_probe {
	uint64_t e_uj; /* all five cumulative since the timeline began */
	uint64_t covered_ns;
	uint64_t derived_ns;
	uint64_t unseen_uj;
	uint64_t late_uj; /* used in time that was closed before it was known; not in e_uj */
	double edge_uj;   /* how far off e_uj may be because of where the knots are */
};

void jt__timeline_probe(struct jt_timeline *tl, uint64_t t_ns, struct jt_probe *ret_probe);
/* The first knot after @t_ns, UINT64_MAX if there is none: E is a straight line up to there. */
uint64_t jt__timeline_next_ns(struct jt_timeline *tl, uint64_t t_ns);
const struct jt_sensor *jt__timeline_sensor(const struct jt_timeline *tl);

#endif
