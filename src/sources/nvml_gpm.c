/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver renews its counters each 100 ms and wants samples farther apart than that (NVML's
 * reference, nvmlGpmMetricsGet). A sample is kept until the next one, and each two give the means
 * of the time between them. After a failure, or a pause in which a mean would say nothing of now,
 * the beginning is made again.
 */
#include <string.h>
#include "base/base.h"
#include "base/clock.h"
#include "sources/nvml_gpm.h"

#define APART_NS (100 * JT_NS_PER_MS)
#define TOO_LONG_NS (15 * JT_NS_PER_S) /* one and a half of the longest sampling period */

static const struct {
	uint32_t id;
	uint32_t bit;
} kinds[] = {
	{ NVML_GPM_SM_UTIL, JT_HAS_SM_ACTIVITY },
	{ NVML_GPM_ANY_TENSOR_UTIL, JT_HAS_TENSOR_ACTIVITY },
	{ NVML_GPM_DRAM_BW_UTIL, JT_HAS_DRAM_ACTIVITY },
};

struct nvml_gpm {
	const struct nvml_api *api;
	int instance;
	void *older, *newer; /* samples of the driver's */
	uint64_t taken_ns;   /* when the older one was; 0: it is empty */
	uint32_t valid;
	uint32_t ppm[JT_ARRAY_LEN(kinds)];
	struct nvml_gpm_metrics metrics; /* too large for a stack */
};

bool jt__nvml_gpm_is_supported(const struct nvml_api *api, nvml_device gpu)
{
	struct nvml_gpm_support s = { .version = 1 };

	return JT__NVML(api, gpm_query_support, gpu, &s) == NVML_SUCCESS && s.is_supported;
}

static int take(struct nvml_gpm *g, nvml_device gpu, void *sample)
{
	if (g->instance == NVML_GPM_WHOLE)
		return JT__NVML(g->api, gpm_sample_get, gpu, sample);
	return JT__NVML(g->api, gpm_mig_sample_get, gpu, (unsigned)g->instance, sample);
}

int jt__nvml_gpm_open(const struct nvml_api *api, nvml_device gpu, int instance,
                      struct nvml_gpm **ret_gpm)
{
	struct nvml_gpm *g = jt__alloc(1, sizeof(*g));

	if (!g)
		return JT_ENOMEM;
	g->api = api;
	g->instance = instance;
	*ret_gpm = NULL;
	if (JT__NVML(api, gpm_sample_alloc, &g->older) == NVML_SUCCESS &&
	    JT__NVML(api, gpm_sample_alloc, &g->newer) == NVML_SUCCESS &&
	    take(g, gpu, g->older) == NVML_SUCCESS) {
		g->taken_ns = jt__now_ns();
		*ret_gpm = g;
		return JT_OK;
	}
	jt__nvml_gpm_close(g);
	return JT_OK;
}

void jt__nvml_gpm_close(struct nvml_gpm *g)
{
	if (!g)
		return;
	if (g->older)
		JT__NVML(g->api, gpm_sample_free, g->older);
	if (g->newer)
		JT__NVML(g->api, gpm_sample_free, g->newer);
	jt__free(g);
}

/* What the two samples say. */
static void compare(struct nvml_gpm *g)
{
	struct nvml_gpm_metrics *m = &g->metrics;

	g->valid = 0;
	m->version = 1;
	m->n = JT_ARRAY_LEN(kinds);
	m->from = g->older;
	m->to = g->newer;
	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++)
		m->metrics[i] =
			(struct nvml_gpm_metric){ .id = kinds[i].id, .status = NVML_UNKNOWN };
	if (JT__NVML(g->api, gpm_metrics_get, m) != NVML_SUCCESS)
		return;
	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++) {
		double percent = m->metrics[i].value;

		if (m->metrics[i].status != NVML_SUCCESS || !(percent >= 0))
			continue;
		/* More than all of an instance has been seen (NVIDIA/DCGM#152). */
		g->ppm[i] = percent < 100 ? (uint32_t)(percent * 1e4 + 0.5) : 1000000;
		g->valid |= kinds[i].bit;
	}
}

void jt__nvml_gpm_update(struct nvml_gpm *g, nvml_device gpu, uint64_t now_ns)
{
	void *sample = g->newer;

	if (g->taken_ns && now_ns <= g->taken_ns + APART_NS)
		return;
	if (take(g, gpu, g->newer) != NVML_SUCCESS) {
		g->taken_ns = 0;
		g->valid = 0;
		return;
	}
	if (g->taken_ns && now_ns - g->taken_ns <= TOO_LONG_NS)
		compare(g);
	else
		g->valid = 0;
	g->newer = g->older;
	g->older = sample;
	g->taken_ns = now_ns;
}

void jt__nvml_gpm_put(const struct nvml_gpm *g, struct jt_sample *out)
{
	if (!g)
		return;
	out->sm_activity_ppm = g->ppm[0];
	out->tensor_activity_ppm = g->ppm[1];
	out->dram_activity_ppm = g->ppm[2];
	out->valid |= g->valid;
}
