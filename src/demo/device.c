/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: the demo engine's device. Measures the energy that the engine's node truly spends, as a
 * counter that moves every 100 ms by whole mJ, and the mean power since its last update. Everything
 * about it is a model (sensor kind "node"), and its joules are labelled `modelled`. Needs no
 * permission.
 */
#include <string.h>
#include "demo/demo.h"

/* Sources are opened without an argument of their own, and there is one demo a process. */
static const struct jt_demo_engine *attached;

void jt__demo_device_attach(const struct jt_demo_engine *e)
{
	attached = e;
}

static int demo_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	(void)o;
	if (!attached)
		return jt__fail(err, JT_ENOENT, "demo", "no demo engine is running");
	*ret_state = (void *)attached;
	return JT_OK;
}

static size_t demo_count(const void *state)
{
	(void)state;
	return 1;
}

static void demo_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	const struct jt_gpu *g = jt__demo_engine_gpu(state);

	(void)i;
	*ret_domain = (struct jt_domain){ .name = "demo:0",
		                          .source = "demo",
		                          .missing = "a model: no temperature, no clocks",
		                          .sensor = *jt_sensor_find("node"),
		                          .valid = JT_HAS_ENERGY | JT_HAS_POWER };
	ret_domain->sensor.max_power_mw = (uint32_t)(g->tdp_w * 1e3); /* the node keeps to it */
	/* The name of a row of the GPU table, by which the roofline policy finds it again. */
	jt__copy_text(ret_domain->device, sizeof(ret_domain->device), g->name, strlen(g->name));
}

static int demo_read(void *state, size_t i, struct jt_sample *out)
{
	struct jt_demo_reading r;

	(void)i;
	jt__demo_engine_reading(state, &r);
	out->energy_uj = r.energy_uj;
	out->power_mw = r.power_mw;
	out->valid = JT_HAS_ENERGY | JT_HAS_POWER;
	out->status = JT_OK;
	return out->status;
}

static void demo_close(void *state)
{
	(void)state; /* the engine is its owner's */
}

const struct jt_source_ops jt__source_demo = {
	.name = "demo",
	.what = "the demo engine's modelled device",
	.open = demo_open,
	.count = demo_count,
	.describe = demo_describe,
	.read = demo_read,
	.close = demo_close,
};
