/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_ESTIMATE_H
#define JT_ESTIMATE_H
/*
 * What a request will cost, before it is sent to its upstream: the predictor, asked with the
 * upstream's model and hardware, the prompt's estimated tokens, as many output tokens as such
 * answers had so far, and the requests that run there now. Allocates nothing and does not wait.
 * Opened at the start; then any thread.
 */
#include "config/config.h"
#include "gateway/ask.h"
#include "gateway/lengths.h"
#include "predictor/fitted.h"

/* Of one upstream. */
struct jt_estimator {
	const struct jt_fitted *model; /* NULL: nothing is predicted, see why */
	struct jt_question question;   /* but the load */
	struct jt_error why;
	struct jt_lengths lengths;
	_Atomic uint32_t n_running; /* sequences in the engine's hands, of all workers */
};

struct jt_estimate {
	uint64_t uj, lo_uj, hi_uj; /* of all choices together */
	uint64_t token_uj;         /* of an output token */
	uint64_t prompt_tokens;
	uint64_t output_tokens; /* over all choices */
	uint32_t batch;         /* sequences that run at once, its own included */
	bool outside_data;
	char reason[160]; /* why it is; "" where it is not */
};

/*
 * The model that `prediction` names, or jouletap's own. *ret is NULL, and the log says why, where
 * none is named and jouletap's own cannot be read. Else err->where is the key to blame.
 */
int jt__estimate_model(const struct jt_config *c, struct jt_fitted **ret, struct jt_error *err);

/*
 * @model (NULL: none) for an upstream: see jt__deployment_question(), whose JT_ENOTSUP is no
 * failure here. @e begins as zeros.
 */
int jt__estimator_open(struct jt_estimator *e, const struct jt_fitted *model,
                       const struct jt_config_upstream *u, const char *driver_gpu, size_t n_gpus,
                       struct jt_error *err);

/* JT_ENOTSUP: nothing is predicted for this upstream; JT_ERANGE, JT_EINVAL: nor for such a request.
 * @ret is then untouched. */
int jt__estimate(const struct jt_estimator *e, const struct jt_ask *ask, const char *task_class,
                 struct jt_estimate *ret, struct jt_error *err);

/* A request of so many choices was sent to the engine; it is over there. */
void jt__estimate_begin(struct jt_estimator *e, uint32_t choices);
void jt__estimate_end(struct jt_estimator *e, uint32_t choices);

/* The answer to POST /v1/energy/predict. */
void jt__estimate_answer(struct jt_buf *b, const char *model, const struct jt_estimate *p);
/* "12.3", three digits or all before the point; and "10.1-15.2". For headers. */
void jt__estimate_joules(uint64_t uj, char *out, size_t size);
void jt__estimate_interval(uint64_t lo_uj, uint64_t hi_uj, char *out, size_t size);

#endif
