/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fake GPU is divided into: MIG instances, and what profiling counters (GPM) tell of them
 * and of the whole. The manual is at the top of script.c. Layouts are spelled out here once more,
 * so that a slip in the meter's own cannot hide.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "machine.h"

/* --- the script --- */

static bool set_activity(struct activity *a, const char *args)
{
	int used;

	for (a->n = 0; a->n < sizeof(a->steps) / sizeof(a->steps[0]); a->n++, args += used) {
		double *share = a->steps[a->n].share;

		if (sscanf(args, " %lf %lf %lf %lf%n", &a->steps[a->n].at_s, &share[0], &share[1],
		           &share[2], &used) != 4)
			break;
	}
	return a->n > 0 && args[strspn(args, " ")] == '\0';
}

static struct instance *find_instance(struct gpu *g, unsigned id)
{
	for (size_t i = 0; i < g->n_instances; i++)
		if (g->instances[i].id == id)
			return &g->instances[i];
	return NULL;
}

static bool add_instance(struct gpu *g, const char *args)
{
	struct instance in = { .n_computes = 1, .gone_s = 1e18 };

	if (g->n_instances == MAX_INSTANCES ||
	    sscanf(args, "%u %u %u", &in.id, &in.slices, &in.n_computes) < 2 ||
	    in.n_computes > MAX_COMPUTES || find_instance(g, in.id))
		return false;
	g->instances[g->n_instances++] = in;
	return true;
}

bool fake_parts_line(struct gpu *g, const char *key, const char *args)
{
	struct instance *in;
	unsigned id = 0;
	int used = 0;

	if (strcmp(key, "instance") == 0)
		return add_instance(g, args);
	if (strcmp(key, "activity") == 0)
		return set_activity(&g->activity, args);
	if (sscanf(args, "%u%n", &id, &used) != 1)
		return false;
	in = find_instance(g, id);
	if (in && strcmp(key, "works") == 0)
		return set_activity(&in->activity, args + used);
	if (in && strcmp(key, "gone") == 0)
		return sscanf(args + used, "%lf", &in->gone_s) == 1;
	return false;
}

/* --- MIG devices --- */

void fake_instance_uuid(const struct gpu *g, const struct instance *in, unsigned compute,
                        char text[96])
{
	snprintf(text, 96, "MIG-fa4e0000-0000-4000-80%02x-0000000000%x%x",
	         (unsigned)(g - machine.gpus), in->id & 15, compute);
}

static bool is_there(const struct gpu *g, const struct instance *in)
{
	double t_s = fake_now_s();

	return g->mig > 0 && t_s < in->gone_s && !(t_s >= g->lost_from_s && t_s < g->lost_to_s);
}

struct instance *fake_instance_of(const void *handle, struct gpu **ret_gpu, unsigned *ret_compute)
{
	for (struct gpu *g = machine.gpus; g < machine.gpus + machine.n_gpus; g++) {
		for (size_t i = 0; i < g->n_instances; i++) {
			struct instance *in = &g->instances[i];

			for (unsigned c = 0; c < in->n_computes; c++) {
				if (handle != &in->handles[c] || !is_there(g, in))
					continue;
				*ret_gpu = g;
				*ret_compute = c;
				return in;
			}
		}
	}
	return NULL;
}

void *fake_instance_by_uuid(const char *uuid)
{
	char own[96];

	for (struct gpu *g = machine.gpus; g < machine.gpus + machine.n_gpus; g++) {
		for (size_t i = 0; i < g->n_instances; i++) {
			struct instance *in = &g->instances[i];

			for (unsigned c = 0; c < in->n_computes; c++) {
				fake_instance_uuid(g, in, c, own);
				if (strcmp(own, uuid) == 0 && is_there(g, in))
					return &in->handles[c];
			}
		}
	}
	return NULL;
}

#ifndef FAKE_OLD_DRIVER

EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned size);
EXPORT int nvmlDeviceGetVirtualizationMode(void *handle, int *mode);
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count);
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **mig);
EXPORT int nvmlDeviceGetGpuInstanceId(void *mig, unsigned *id);
EXPORT int nvmlDeviceGetAttributes_v2(void *mig, void *attributes);
EXPORT int nvmlGpmQueryDeviceSupport(void *handle, void *support);
EXPORT int nvmlGpmSampleAlloc(void **sample);
EXPORT int nvmlGpmSampleFree(void *sample);
EXPORT int nvmlGpmSampleGet(void *handle, void *sample);
EXPORT int nvmlGpmMigSampleGet(void *handle, unsigned id, void *sample);
EXPORT int nvmlGpmMetricsGet(void *metrics);
EXPORT int nvmlDeviceGetSamples(void *handle, int type, unsigned long long last_us, int *value_type,
                                unsigned *n, void *samples);

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
	return fake_give_text("580.00.00", text, size);
}

int nvmlDeviceGetVirtualizationMode(void *handle, int *mode)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*mode = g->vgpu > 0 ? 2 : 0;
	return fake_end(SUCCESS);
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*count = (unsigned)g->slices;
	return fake_end(SUCCESS);
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **mig)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	for (size_t i = 0; i < g->n_instances; i++) {
		struct instance *in = &g->instances[i];

		if (!is_there(g, in))
			continue;
		if (index < in->n_computes) {
			*mig = &in->handles[index];
			return fake_end(SUCCESS);
		}
		index -= in->n_computes;
	}
	return fake_end(NOT_FOUND);
}

int nvmlDeviceGetGpuInstanceId(void *mig, unsigned *id)
{
	const struct instance *in;
	unsigned compute;
	struct gpu *g;

	pthread_mutex_lock(&machine.lock);
	in = fake_instance_of(mig, &g, &compute);
	if (in)
		*id = in->id;
	return fake_end(in ? SUCCESS : INVALID);
}

int nvmlDeviceGetAttributes_v2(void *mig, void *attributes)
{
	struct {
		unsigned multiprocessors, engines[5], gpu_slices, compute_slices;
		unsigned long long memory_mb;
	} a = { 0 };
	const struct instance *in;
	unsigned compute;
	struct gpu *g;

	_Static_assert(sizeof(a) == 40, "nvmlDeviceAttributes_t has 40 bytes");
	pthread_mutex_lock(&machine.lock);
	in = fake_instance_of(mig, &g, &compute);
	if (!in)
		return fake_end(INVALID);
	a.multiprocessors = 16 * in->slices;
	a.gpu_slices = in->slices;
	a.compute_slices = in->slices / in->n_computes;
	a.memory_mb = 9856ull * in->slices;
	memcpy(attributes, &a, sizeof(a));
	return fake_end(SUCCESS);
}

/* --- profiling counters --- */

struct gpm_sample {
	const struct activity *of;
	double at_s;
};

int nvmlGpmQueryDeviceSupport(void *handle, void *support)
{
	unsigned *s = support; /* version, is supported */
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	s[1] = g->arch >= 9;
	return fake_end(s[0] == 1 ? SUCCESS : VERSION);
}

int nvmlGpmSampleAlloc(void **sample)
{
	*sample = calloc(1, sizeof(struct gpm_sample));
	return SUCCESS;
}

int nvmlGpmSampleFree(void *sample)
{
	free(sample);
	return SUCCESS;
}

int nvmlGpmSampleGet(void *handle, void *sample)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*(struct gpm_sample *)sample = (struct gpm_sample){ &g->activity, fake_now_s() };
	return fake_end(g->arch >= 9 ? SUCCESS : NOT_SUPPORTED);
}

int nvmlGpmMigSampleGet(void *handle, unsigned id, void *sample)
{
	const struct instance *in;
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	in = find_instance(g, id);
	if (!in || !is_there(g, in))
		return fake_end(NOT_FOUND);
	*(struct gpm_sample *)sample = (struct gpm_sample){ &in->activity, fake_now_s() };
	return fake_end(g->arch >= 9 ? SUCCESS : NOT_SUPPORTED);
}

/* The mean between two times. */
static double mean(const struct activity *a, int which, double from_s, double to_s)
{
	double sum = 0;

	for (size_t i = 0; i < a->n; i++) {
		double begin_s = a->steps[i].at_s;
		double end_s = i + 1 < a->n ? a->steps[i + 1].at_s : to_s;

		begin_s = begin_s > from_s ? begin_s : from_s;
		end_s = end_s < to_s ? end_s : to_s;
		if (end_s > begin_s)
			sum += a->steps[i].share[which] * (end_s - begin_s);
	}
	return sum / (to_s - from_s);
}

int nvmlGpmMetricsGet(void *metrics)
{
	struct {
		unsigned version, n;
		struct gpm_sample *from, *to;
		struct {
			unsigned id;
			int code;
			double value;
			const char *names[3];
		} metrics[];
	} *m = metrics;

	_Static_assert(sizeof(*m) == 24 && sizeof(m->metrics[0]) == 40, "nvmlGpmMetricsGet_t");
	pthread_mutex_lock(&machine.lock);
	fake_count_call(__func__);
	if (m->version != 1)
		return fake_end(VERSION);
	if (!m->from->of || m->from->of != m->to->of)
		return fake_end(INVALID);
	for (unsigned i = 0; i < m->n; i++) {
		int which = m->metrics[i].id == 2    ? 0
		            : m->metrics[i].id == 5  ? 1
		            : m->metrics[i].id == 10 ? 2
		                                     : -1;

		m->metrics[i].value = 1e300; /* rubbish, unless it succeeds */
		m->metrics[i].code = which < 0                          ? NOT_SUPPORTED
		                     : m->to->at_s - m->from->at_s < .1 ? NO_DATA
		                                                        : SUCCESS;
		if (m->metrics[i].code == SUCCESS)
			m->metrics[i].value =
				100 * mean(m->from->of, which, m->from->at_s, m->to->at_s);
	}
	return fake_end(SUCCESS);
}

/* --- the driver's own buffer of power readings --- */

#define N_SAMPLES 120

int nvmlDeviceGetSamples(void *handle, int type, unsigned long long last_us, int *value_type,
                         unsigned *n, void *samples)
{
	struct {
		unsigned long long at_us, value;
	} *out = samples;
	unsigned room = *n;
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	if (type != 0 || g->samples_s <= 0)
		return fake_end(NOT_SUPPORTED);
	*value_type = 1;
	*n = N_SAMPLES;
	if (!samples)
		return fake_end(SUCCESS);
	*n = 0;
	for (int k = N_SAMPLES; k-- > 0 && *n < room;) {
		double at_s = fake_now_s() - k * g->samples_s;
		uint64_t at_us =
			fake_clock_ns(CLOCK_REALTIME) / 1000 - (uint64_t)(k * g->samples_s * 1e6);

		if (at_us <= last_us)
			continue;
		out[*n].at_us = at_us;
		out[(*n)++].value = (unsigned)(truth_power_w(&g->truth, at_s) * 1e3);
	}
	return fake_end(*n ? SUCCESS : NOT_FOUND);
}

#endif
