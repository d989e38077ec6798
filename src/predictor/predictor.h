/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_PREDICTOR_H
#define JT_PREDICTOR_H
/*
 * The energy of a request before it runs: a question (model, hardware, load) becomes numbers
 * (features.c), and a fitted model (fitted.c) turns these into joules with an interval. Pure;
 * nothing is allocated but when a model is read; the same code runs in WebAssembly. Any thread.
 */
#include "model/model.h"

/* What is asked. NaN: not known; what must be known says jt__question_check(). */
struct jt_question {
	union { /* the transformer; its fields are the question's own */
		struct jt_arch arch;
		struct {
			JT_ARCH_FIELDS
		};
	};
	/* The hardware, of one device, and how many. */
	double gpu_mem_gb, gpu_bw_gbs, gpu_bf16_tflops, gpu_fp8_tflops, gpu_tdp_w;
	double gpu_byte_cost; /* energy of a byte read, relative to HBM3; NaN: 1 */
	double gpu_link_gbs;  /* to others of its node, one direction; NaN: 32, PCIe 4.0 x16 */
	double gpu_idle_w;    /* a model loaded, nothing to do; NaN: JT_IDLE_SHARE of the TDP */
	double n_gpu, tp, pp, dp, ep;
	/* The load. */
	double batch; /* requests running at once, mean */
	double max_num_seqs;
	double in_tokens, out_tokens;
	/* How it is served. */
	bool is_vllm_new; /* vLLM 0.9 and later; else an older one or transformers, see is_eager */
	bool is_eager;    /* Hugging Face transformers */
	bool is_multimodal_task;
	char gpu[48], task[48], model_group[96], source[48], engine[48]; /* for groups, reasons */
};

/* What a feature vector holds: names and meanings in features.c, in this order in every model file.
 */
#define JT_MAX_FEATURES 112
extern const char *const jt__feature_names[]; /* NULL-terminated */
uint32_t jt__n_features(void);
/* JT_EINVAL names what is missing or absurd and fills *err. */
int jt__question_check(const struct jt_question *q, struct jt_error *err);
void jt__features(const struct jt_question *q, double ret_features[JT_MAX_FEATURES]);

/*
 * Copies of the model that each have their own GPUs and part of the batch: data-parallel ones,
 * unless they share experts, which makes them wait for each other.
 */
double jt__copies(const struct jt_question *q);

/* The unit of the energy terms that stand for bytes of HBM3; no claim. */
#define JT_TERM_J_PER_BYTE 1e-10
double jt__joules_per_byte(const struct jt_question *q); /* in it */
/* What all GPUs draw with a model loaded and nothing to do, W. */
double jt__idle_w(const struct jt_question *q);

/* "transformers", "vllm-old" or "vllm": what kinds of engine the features tell apart. */
const char *jt__question_engine(const struct jt_question *q);

#endif
