/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_EXPLAIN_H
#define JT_EXPLAIN_H
/*
 * Why a prediction is what it is, from the physical part of the model: which phase and which work
 * takes the energy, how long it takes, and what would be otherwise if. Pure, any thread.
 */
#include "predictor/fitted.h"

/* What a term of features.def stands for, by its name; where it is neither, waiting. */
bool jt__term_is_memory(const char *term);
bool jt__term_is_compute(const char *term);

/* Parts of 1. Of phases: prefill + decode = 1; of work: compute + memory + waiting = 1. */
struct jt_energy_shares {
	double prefill, decode;
	double compute;
	double memory;  /* reading weights and KV */
	double waiting; /* launches, messages between GPUs, what processors prepare */
};
/* JT_ENOTSUP: the model has no sum of energies to tell from. */
int jt__energy_shares(const struct jt_fitted *f, const double *features,
                      struct jt_energy_shares *ret);

/*
 * Seconds between two tokens of a sequence, of which the prefill of the requests that come and go
 * is a part; never less than the energy takes at TDP, nor than the data sheet's bandwidth and peak
 * allow. How good that is: explain.c.
 */
double jt__step_seconds(const struct jt_question *q, const double *features,
                        const struct jt_prediction *p);

/* Of the memory of all GPUs, what the weights take; above 0.9 nothing is left to serve with. */
double jt__memory_share(const struct jt_question *q);
/* Of what the weights leave, what the KV cache of a batch takes half way through its output. */
double jt__kv_share(const struct jt_question *q);

/*
 * The @i-th question that differs from @q in one thing, and what that is, in words: 1. 0: there is
 * none behind it. Passes over what is not known of the model, and GPUs that it does not fit into.
 */
int jt__what_if(const struct jt_question *q, uint32_t *i, struct jt_question *ret, char *ret_what,
                size_t size);

#endif
