/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WAVE_H
#define JT_WAVE_H
/*
 * One batch on its way through the ranks of an instance, or of all instances of a data-parallel
 * group at once: when each rank is done, and when anything happened in between. Ranks begin when
 * they are told to; once all have, every later time follows. Pure; one thread.
 */
#include "simulator/cluster.h"
#include "simulator/interleave.h"
#include "simulator/network.h"
#include "simulator/work.h"

/* A memory behind a queue: one access after the other, in the order in which they were asked for.
 */
struct jt_memory {
	double bytes_per_ns; /* whole, as in the reference */
	uint64_t latency_ns;
	bool queued;
	/* The latest accesses, as a ring: later ones may have been asked for before earlier ones.
	 */
	struct jt_access {
		uint64_t asked_ns, end_ns;
	} recent[64];
	uint32_t n_recent;
};
uint64_t jt__memory_access(struct jt_memory *m, uint64_t t_ns, uint64_t bytes);

/* What ranks of one group share. */
struct jt_fabric {
	struct jt_link dims[JT_CLUSTER_MAX_DIMS];
	uint32_t stage_dim,
		group_dim;      /* of pipeline stages, of the members of a group; ranks are in 0 */
	struct jt_memory *cpu;  /* by node */
	struct jt_memory *cxl;  /* by device */
	uint64_t **pim_free_ns; /* by node and channel: when it is done with all it has */
};

struct jt_member {
	const struct jt_instance *in;
	struct jt_work *works; /* one, or two halves that take turns */
	uint32_t n_works;
};

struct jt_wave {
	struct jt_fabric *fabric;
	struct jt_member *members;
	uint32_t n_members;
	uint32_t n_ranks; /* of one member, receivers of a prefill instance not counted */
	/* By member x n_ranks + stage x tp + rank: */
	uint64_t *begin_ns;    /* JT_NONE: not told yet */
	uint64_t *ready_ns;    /* its input is there */
	uint64_t *arrived_ns;  /* what the stage before sends */
	uint64_t *end_ns;      /* JT_NONE until its stage has begun and those before */
	uint64_t **weights_ns; /* by load: when its weights are there; NULL: nothing to load */
	uint64_t *sent_ns;     /* the last message to the decode instance has arrived */
	uint32_t n_known;      /* stages whose ends are known */
	/* scratch of the walk */
	uint64_t *t, *comm, *own;
	uint64_t *t_before, *comm_before; /* the block */
	struct jt_interleave halves;
	uint32_t capacity;
};

/* Takes @n_members members, whose works are priced; memory is reused. JT_ENOMEM. */
int jt__wave_open(struct jt_wave *w, struct jt_fabric *f, const struct jt_member *members,
                  uint32_t n_members);
void jt__wave_fini(struct jt_wave *w);

/* Rank @rank of member @member begins at @t_ns. The last one of a stage makes its ends known. */
void jt__wave_begin(struct jt_wave *w, uint32_t member, uint32_t rank, uint64_t t_ns);
bool jt__wave_has_begun(const struct jt_wave *w, uint32_t member, uint32_t rank);
uint64_t jt__wave_end_ns(const struct jt_wave *w, uint32_t member, uint32_t rank);
/* When the receiver that each rank of a prefill instance has got its last message. */
uint64_t jt__wave_sent_ns(const struct jt_wave *w, uint32_t member, uint32_t rank);

/* The first instant from @t_ns on at which anything ends on any of its ranks, or @until_ns if that
 * is earlier. */
uint64_t jt__wave_next_event(struct jt_wave *w, uint64_t t_ns, uint64_t until_ns);

#endif
