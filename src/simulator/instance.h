/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_INSTANCE_H
#define JT_INSTANCE_H
/* What sim.c (the clock), poll.c (what happens at an instant) and the files beside them share.
 * Private. */
#include "base/buf.h"
#include "model/sched.h"
#include "simulator/arrivals.h"
#include "simulator/power.h"
#include "simulator/sim.h"
#include "simulator/wave.h"

/* A request from its arrival to its end. */
struct jt_request {
	struct jt_seq seq;
	struct jt_request *next_made; /* in the list of all */
	struct jt_request *next;      /* in the list of free ones */
	uint64_t *hashes;
	uint32_t hashes_capacity;
	uint64_t queuing_ns, ttft_ns;
	uint64_t last_token_ns;
	uint64_t *itl_ns;
	uint32_t n_itl, itl_capacity;
	struct jt_arrival arrival; /* where it stands in the workload */
	uint64_t pause_ns;
	bool ends_session;
	double prefill_j, decode_j, dynamic_j;
};

/* A batch on its way, or waiting for the other members of its group. */
struct jt_flight {
	struct jt_batch *batch;  /* NULL: a token for nobody, to keep the group in step */
	struct jt_work works[2]; /* the second for halves that take turns */
	uint32_t n_works;
	struct jt_wave *wave; /* NULL: not priced yet */
	uint32_t member;      /* in the wave */
	uint64_t formed_ns;
	uint64_t open_ns;             /* the wave could begin; JT_NONE before */
	bool first_ended, last_ended; /* told by the first and the last rank */
	bool last_joined;
	struct jt_batch_joules joules;
};

struct jt_wave_slot {
	struct jt_wave wave;
	uint32_t n_users; /* flights that are not over; 0: free */
	struct jt_wave_slot *next;
};

#define JT_MAX_FLIGHTS 256 /* pipeline stages */

struct jt_inst {
	const struct jt_instance *in;
	uint32_t index;
	struct jt_profile *profile; /* shared; the simulation's */
	struct jt_pricer *pricer;
	struct jt_sched *sched;
	struct jt_kv_pool *lower; /* its own; NULL: none or shared */
	uint64_t weight_bytes;
	const struct jt_gpu *gpu; /* its hardware's, or one that stands in, for shares of joules */
	struct jt_size size;      /* of its model */
	/* In the order in which they were formed; a ring of pp + 1. */
	struct jt_flight *flights;
	uint32_t n_slots, first_flight, n_flights;
	struct jt_flight *first_runs; /* what the asked ranks are busy with; NULL: idle */
	struct jt_flight *last_runs;
	bool first_sleeps, last_sleeps;
	bool done;
	uint32_t n_done;              /* asked ranks that have been told so */
	bool first_quiet, last_quiet; /* asked since anything changed, and had nothing to do */
	bool idle;                    /* its first rank has no batch */
	uint64_t idle_since_ns, standby_to_ns;
	/* Scratch for the items of a batch. */
	uint32_t *prompts, *tokens, *order;
	uint8_t *half;
	uint32_t scratch_capacity;
	struct jt_shape supposed; /* of jt__sim_suppose() */
	struct jt_work asked;     /* scratch of jt__sim_supposed_j() */
};

struct jt_sim {
	const struct jt_cluster *cluster;
	struct jt_sim_options o;
	struct jt_sim_observer ob;
	struct jt_arrivals arrivals;
	struct jt_inst *insts;
	struct jt_profile **profiles;
	uint32_t n_profiles;
	struct jt_node_energy *nodes;
	struct jt_fabric fabric;
	struct jt_kv_pool **shared; /* lower tiers, by node or the one of CXL */
	uint32_t n_shared;
	struct jt_wave_slot *waves; /* all of them */
	struct jt_request *requests, *free_requests;
	uint32_t n_sessions;              /* under way, with more requests to come or running */
	uint32_t next_front, next_decode; /* where routing goes on */
	uint32_t *fronts, *decodes;       /* instances that take requests; that take over */
	uint32_t n_fronts, n_decodes, n_prefill;
	uint32_t n_done;
	bool prefill_done;
	bool over;
	uint64_t t_ns;
	uint64_t round; /* counts instants */
	double interval_ns, last_beat_ns;
	uint64_t beat_from_ns; /* of the last heartbeat */
	double *beat_j;        /* by node, then */
	double standby_told_j; /* with the latest booking */
	uint64_t prompt_in_beat, generated_in_beat;
	uint32_t last_batch_size;
	uint64_t began_now_ns; /* ranks that began at this instant have events at it */
	struct jt_sim_totals totals;
	uint32_t rng_state;
	struct jt_buf remarks;
	struct jt_error *err;
	int status;
};

/* instance.c */
int jt__inst_open(struct jt_sim *s, uint32_t i, struct jt_error *err);
void jt__inst_close(struct jt_inst *x);
struct jt_flight *jt__inst_new_flight(struct jt_inst *x);
struct jt_wave *jt__wave_take(struct jt_sim *s);
void jt__wave_give(struct jt_sim *s, struct jt_wave *w);
/* Something has changed for it: its idle ranks are asked at the next instant. */
void jt__inst_stir(struct jt_inst *x);
bool jt__same_group(const struct jt_inst *a, const struct jt_inst *b); /* or the same instance */
void jt__stir_group(struct jt_sim *s, const struct jt_inst *x);
/* The last rank that is asked: of the instance, or the receiver of a prefill instance. */
bool jt__inst_has_last(const struct jt_inst *x);

/* requests.c */
static inline struct jt_request *jt__request_of(struct jt_seq *seq)
{
	return jt_container_of(seq, struct jt_request, seq);
}
struct jt_request *jt__request_new(struct jt_sim *s, struct jt_arrival a,
                                   const struct jt_instance *in, struct jt_error *err);
void jt__request_give(struct jt_sim *s, struct jt_request *r);
int jt__request_token(struct jt_request *r, uint64_t t_ns);

/* sim.c: the simulation ends with this status; the first one counts. */
void jt__sim_fail(struct jt_sim *s, int status);

/* poll.c: one rank of @x is asked, the first or the last. */
void jt__poll(struct jt_sim *s, struct jt_inst *x, bool first);
/* What all wait for has changed: idle ranks are asked at the next instant. */
void jt__wake_all(struct jt_sim *s);

/* ends.c: the asked rank has come to the end of its batch, if it had one. */
void jt__hear_end(struct jt_sim *s, struct jt_inst *x, bool first);

/* begins.c: the asked rank has something to do now, or its instance waits for others: true. */
bool jt__begin_batch(struct jt_sim *s, struct jt_inst *x, bool first);

/* pricing.c: @f's works and joules, padded to so many tokens; books them. JT_ENOMEM. */
int jt__price_flight(struct jt_sim *s, struct jt_inst *x, struct jt_flight *f,
                     uint64_t padded_tokens);

/* standby.c: since the last look, of an instance that is idle; of all that are. */
void jt__count_standby(struct jt_sim *s, struct jt_inst *x);
void jt__count_all_standby(struct jt_sim *s);

/* beats.c: one heartbeat tells of the @interval_ns since the one before. */
bool jt__beat_is_due(const struct jt_sim *s);
void jt__beat(struct jt_sim *s, double interval_ns);

/* share.c: what the shares of an instance's sequences go by. */
void jt__share_open(struct jt_inst *x);
/* Gives the sequences of a batch that is over their parts of its joules. */
void jt__share_out(const struct jt_sim *s, const struct jt_inst *x, const struct jt_flight *f,
                   double dynamic_j);

/* route.c */
int jt__route_arrived(struct jt_sim *s);
struct jt_inst *jt__route_pick(struct jt_sim *s, bool decode);

#endif
