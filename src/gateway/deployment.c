/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "gateway/deployment.h"
#include "input/textfile.h"
#include "predictor/ask.h"
#include "predictor/question.h"

#define MAX_ARCHITECTURE ((size_t)1 << 20)

static int ask_model(const struct jt_config_upstream *u, struct jt_question *q,
                     struct jt_error *err)
{
	struct jt_error why;
	struct jt_buf text;
	int status;

	if (!*u->architecture)
		return jt__fail(err, JT_ENOTSUP, "architecture",
		                "no `architecture:` names the model's config.json");
	q->weights = JT_N_WEIGHTS;
	if (*u->dtype && jt__weights_parse(u->dtype, &q->weights) < 0)
		return jt__fail(err, JT_EINVAL, "dtype", "unknown type of weights '%s'", u->dtype);
	jt__buf_init(&text, MAX_ARCHITECTURE);
	status = jt__textfile_read(u->architecture, "architecture", &text, err);
	if (status == JT_OK) {
		status = jt__ask_config_of(u->architecture, jt__buf_bytes(&text),
		                           jt__buf_len(&text), "architecture", q, &why);
		if (status < 0)
			jt__fail(err, status, "architecture", "'%.60s': %s", u->architecture,
			         why.message);
	}
	jt__buf_fini(&text);
	return status;
}

static int ask_hardware(const struct jt_config_upstream *u, const char *driver_gpu,
                        struct jt_question *q, struct jt_error *err)
{
	const struct jt_gpu *g = !*u->gpu && driver_gpu ? jt__gpu_find(driver_gpu) : NULL;
	struct jt_error why;

	if (*u->gpu) {
		int status = jt__ask_gpu(u->gpu, q, &why);

		return status < 0 ? jt__fail(err, status, "gpu", "%s", why.message) : JT_OK;
	}
	if (!g)
		return jt__fail(err, JT_ENOTSUP, "gpu",
		                "no `gpu:` names the type of GPU, nor does a driver");
	jt__ask_gpu_row(g, q);
	return JT_OK;
}

static size_t count_gpus(const struct jt_config_upstream *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->n_domains; i++)
		n += strncmp(u->domains[i], "gpu:", 4) == 0;
	return n;
}

/* Tensors are cut over all GPUs, or there are so many copies of the model that each has a part. */
static int ask_parallel(const struct jt_config_upstream *u, size_t n_gpus, struct jt_question *q,
                        struct jt_error *err)
{
	size_t n = n_gpus ? n_gpus : count_gpus(u);
	size_t tp = u->tensor_parallel != JT_NONE ? u->tensor_parallel : JT_MAX(n, 1);

	n = n ? n : tp;
	if (n % tp)
		return jt__fail(err, JT_EINVAL, "tensor_parallel",
		                "%zu GPUs cannot be shared by copies of the model on %zu each", n,
		                tp);
	q->n_gpu = (double)n;
	q->tp = (double)tp;
	q->dp = (double)(n / tp);
	return JT_OK;
}

int jt__deployment_question(const struct jt_config_upstream *u, const char *driver_gpu,
                            size_t n_gpus, struct jt_question *ret, struct jt_error *err)
{
	struct jt_question q;
	int status;

	jt__question_blank(&q);
	status = ask_model(u, &q, err);
	if (status == JT_OK)
		status = ask_hardware(u, driver_gpu, &q, err);
	if (status == JT_OK)
		status = ask_parallel(u, n_gpus, &q, err);
	if (status < 0)
		return status;
	if (u->max_num_seqs != JT_NONE)
		q.max_num_seqs = (double)u->max_num_seqs;
	strcpy(q.engine, "vllm");
	*ret = q;
	return JT_OK;
}
