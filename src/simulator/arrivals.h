/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ARRIVALS_H
#define JT_ARRIVALS_H
/*
 * Requests in the order in which they arrive: those of the workload, and those of sessions, which
 * follow their predecessor's end. One thread.
 */
#include "simulator/workload.h"

struct jt_arrival {
	uint64_t t_ns;
	uint64_t line; /* of the workload */
	uint32_t nth;  /* in its session */
};

struct jt_arrivals {
	struct jt_workload *workload;
	uint64_t next_line;
	struct jt_arrival *released; /* sorted, the earliest last */
	uint32_t n_released, capacity;
	uint64_t n_waiting_sessions; /* with requests that are not released yet, or one under way */
};

uint64_t jt__arrivals_next_ns(const struct jt_arrivals *a); /* JT_NONE: none is known */
/* Takes the next one; there must be one. */
struct jt_arrival jt__arrivals_take(struct jt_arrivals *a);
/* The next request of a session will arrive; after those of the same instant. JT_ENOMEM. */
int jt__arrivals_release(struct jt_arrivals *a, struct jt_arrival next);
void jt__arrivals_fini(struct jt_arrivals *a);

#endif
