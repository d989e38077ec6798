/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_MODELS_H
#define JT_MODELS_H
/*
 * GET /v1/models in front of several upstreams: asks each and answers with all
 * their models. One that does not answer is left out. Worker's thread only.
 */
#include "gateway/worker.h"

struct jt_models; /* opaque */

/* Answers @ex by itself; to be freed when @ex is over. NULL: out of memory, nothing was sent. */
struct jt_models *jt__models_start(struct jt_worker *w, struct jt_exchange *ex);
void jt__models_free(struct jt_models *m); /* accepts NULL */

#endif
