/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SIM_RESULTS_H
#define JT_SIM_RESULTS_H
/*
 * What a simulation leaves behind for those who print it: the latencies of each instance and the
 * series of heartbeats (40 bytes each, as many as the log interval makes). One thread.
 */
#include "simulator/sim.h"
#include "simulator/tally.h"

struct jt_latencies {
	struct jt_tally ttft, tpot, itl; /* ns; the first two of requests, the last of gaps */
};

struct jt_sim_results {
	const struct jt_cluster *cluster;
	const struct jt_sim_options *options;
	const struct jt_sim *sim;       /* which has run, or is running */
	struct jt_latencies *instances; /* n_instances of the cluster */
	struct jt_beat_row {
		uint64_t t_ns;
		double nominal_s;
		double prompt_per_s, generation_per_s;
		double power_w; /* NaN without power */
	} * beats;
	size_t n_beats, capacity;
	bool tpot_of_one; /* one output token counts as a TPOT of 0, as in the reference */
	bool complete;    /* false: it was stopped before its end */
	int status;       /* JT_ENOMEM: something is missing in the above */
};

int jt__results_init(struct jt_sim_results *r, const struct jt_cluster *cluster,
                     const struct jt_sim_options *options, struct jt_error *err);
void jt__results_fini(struct jt_sim_results *r); /* accepts a zeroed one */
void jt__results_request(struct jt_sim_results *r, const struct jt_sim_request *request);
void jt__results_beat(struct jt_sim_results *r, const struct jt_sim_beat *beat);

/* Over all instances: those of the only one, or put together in @room, which is to be freed. */
int jt__results_overall(const struct jt_sim_results *r, struct jt_latencies *room,
                        const struct jt_latencies **ret_all);
void jt__latencies_fini(struct jt_latencies *l);

/* Of one tally, in @unit_ns. NaN without values. */
struct jt_digest {
	double mean, median, p99;
};
int jt__digest(const struct jt_tally *t, double unit_ns, struct jt_digest *ret_digest);

/* Of all nodes together. */
void jt__results_joules(const struct jt_sim_results *r, struct jt_sim_joules *ret_sum);

/* @n / @per, and 0 where nothing is to be divided by. */
static inline double jt__per(double n, double per)
{
	return per > 0 ? n / per : 0;
}

#endif
