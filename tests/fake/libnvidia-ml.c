/* SPDX-License-Identifier: Apache-2.0 */
/* NVML's functions, answered by the fake machine. The manual is at the top of script.c. */
#include <stdio.h>
#include <string.h>
#include "machine.h"

static const struct rule *find_rule(const struct gpu *g, const char *what)
{
	for (size_t i = 0; i < g->n_rules; i++)
		if (strcmp(g->rules[i].what, what) == 0)
			return &g->rules[i];
	return NULL;
}

static bool is_lost(const struct gpu *g)
{
	double t_s = fake_now_s();

	return t_s >= g->lost_from_s && t_s < g->lost_to_s;
}

int fake_begin(void *handle, const char *function, struct gpu **ret_gpu)
{
	const struct rule *r;
	struct gpu *g = NULL;
	struct timespec nap = { 0 };
	int code = SUCCESS;

	pthread_mutex_lock(&machine.lock);
	fake_count_call(function);
	for (unsigned i = 0; i < machine.n_gpus && !g; i++)
		if ((char *)handle == &machine.gpus[i].handles[0] ||
		    (char *)handle == &machine.gpus[i].handles[1])
			g = &machine.gpus[i];
	r = g ? find_rule(g, function) : NULL;
	if (r && r->slow_s > 0 && fake_now_s() >= r->from_s && fake_now_s() < r->to_s) {
		nap.tv_sec = (time_t)r->slow_s;
		nap.tv_nsec = (long)((r->slow_s - (double)nap.tv_sec) * 1e9);
		pthread_mutex_unlock(&machine.lock);
		nanosleep(&nap, NULL);
		pthread_mutex_lock(&machine.lock);
	}
	if (!g)
		code = INVALID;
	else if (is_lost(g) || (char *)handle != &g->handles[fake_now_s() >= g->lost_to_s])
		code = LOST;
	else if (r && r->slow_s <= 0)
		code = r->code;
	if (code != SUCCESS)
		pthread_mutex_unlock(&machine.lock);
	*ret_gpu = g;
	return code;
}

int fake_end(int code)
{
	pthread_mutex_unlock(&machine.lock);
	return code;
}

EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT int nvmlDeviceGetCount_v2(unsigned *count);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle);
EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle);
EXPORT int nvmlDeviceGetUUID(void *handle, char *text, unsigned size);
EXPORT int nvmlDeviceGetName(void *handle, char *text, unsigned size);
EXPORT int nvmlDeviceGetArchitecture(void *handle, unsigned *arch);
EXPORT int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending);
EXPORT int nvmlDeviceGetFieldValues(void *handle, int n, void *values);
EXPORT int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *mj);
EXPORT int nvmlDeviceGetPowerUsage(void *handle, unsigned *mw);
EXPORT int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius);
EXPORT int nvmlDeviceGetTemperatureV(void *handle, void *temperature);
EXPORT int nvmlDeviceGetClockInfo(void *handle, int clock, unsigned *mhz);
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *reasons);
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons);
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *mw);

int nvmlInit_v2(void)
{
	int code;

	pthread_mutex_lock(&machine.lock);
	code = fake_load_environment();
	return fake_end(code == SUCCESS ? machine.init_code : code);
}

int nvmlShutdown(void)
{
	return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
	pthread_mutex_lock(&machine.lock);
	*count = machine.n_gpus;
	return fake_end(SUCCESS);
}

static int give_handle(struct gpu *g, void **handle)
{
	if (is_lost(g))
		return LOST;
	*handle = &g->handles[fake_now_s() >= g->lost_to_s];
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
	pthread_mutex_lock(&machine.lock);
	if (index >= machine.n_gpus)
		return fake_end(INVALID);
	return fake_end(give_handle(
		&machine.gpus[machine.reversed ? machine.n_gpus - 1 - index : index], handle));
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
	int code = NOT_FOUND;

	pthread_mutex_lock(&machine.lock);
	fake_count_call(__func__);
	*handle = fake_instance_by_uuid(uuid);
	if (*handle)
		code = SUCCESS;
	for (unsigned i = 0; i < machine.n_gpus; i++)
		if (strcmp(machine.gpus[i].uuid, uuid) == 0)
			code = give_handle(&machine.gpus[i], handle);
	return fake_end(code);
}

int fake_give_text(const char *from, char *text, unsigned size)
{
	if (strlen(from) >= size)
		return SMALL;
	strcpy(text, from);
	return SUCCESS;
}

/* Of a GPU or of a MIG device. */
int nvmlDeviceGetUUID(void *handle, char *text, unsigned size)
{
	struct gpu *g;
	unsigned compute;
	const struct instance *in;
	char uuid[96];
	int code = NOT_FOUND;

	pthread_mutex_lock(&machine.lock);
	in = fake_instance_of(handle, &g, &compute);
	if (in) {
		fake_instance_uuid(g, in, compute, uuid);
		code = fake_give_text(uuid, text, size);
	}
	pthread_mutex_unlock(&machine.lock);
	if (in)
		return code;
	code = fake_begin(handle, __func__, &g);
	return code == SUCCESS ? fake_end(fake_give_text(g->uuid, text, size)) : code;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned size)
{
	struct gpu *g;
	unsigned compute;
	const struct instance *in;
	char name[160];
	int code;

	pthread_mutex_lock(&machine.lock);
	in = fake_instance_of(handle, &g, &compute);
	if (in)
		snprintf(name, sizeof(name), "%s MIG %ug.%ugb", g->name, in->slices,
		         in->slices * 10);
	pthread_mutex_unlock(&machine.lock);
	if (in)
		return fake_give_text(name, text, size);
	code = fake_begin(handle, __func__, &g);
	return code == SUCCESS ? fake_end(fake_give_text(g->name, text, size)) : code;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*current = *pending = (unsigned)g->mig;
	return fake_end(SUCCESS);
}

/* A counter or power reading now, in mJ or mW; the code if this GPU has none. */
static int own_figure(const struct gpu *g, unsigned field, uint64_t *ret_value)
{
	const struct fake_sensor *s = &g->sensor;
	double window_s = field == 185 ? s->avg_window_s : s->window_s;

	if (field == 83 && s->update_s > 0) {
		*ret_value =
			(uint64_t)(sensor_counter_j(s, &g->truth, fake_now_s(), g->reset_s) * 1e3 +
		                   0.5);
		return SUCCESS;
	}
	if ((field != 185 && field != 186) || window_s <= 0)
		return NOT_SUPPORTED;
	*ret_value = (uint64_t)(sensor_power_w(s, &g->truth, fake_now_s(), window_s) * 1e3 + 0.5);
	return SUCCESS;
}

/* The module draws the GPU's and module_w more. Who has no module does not know the energy of
 * scopes. */
static int figure(const struct gpu *g, unsigned field, unsigned scope, uint64_t *ret_value)
{
	double more_w = g->module_w;
	int code;

	if (field != 191 && (scope == 0 || g->ignores_scope > 0))
		return own_figure(g, field, ret_value);
	if (more_w < 0 || scope > 1 || field == 83)
		return NOT_SUPPORTED;
	code = own_figure(g, field == 191 ? 83 : field, ret_value);
	if (code == SUCCESS && scope == 1)
		*ret_value += (uint64_t)(more_w * 1e3 * (field == 191 ? fake_now_s() : 1));
	return code;
}

int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *mj)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);
	uint64_t value = 0;

	if (code != SUCCESS)
		return code;
	code = figure(g, 83, 0, &value);
	*mj = value;
	return fake_end(code);
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *mw)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);
	uint64_t value = 0;

	if (code != SUCCESS)
		return code;
	code = figure(g, g->sensor.avg_window_s > 0 ? 185 : 186, 0, &value);
	*mw = (unsigned)value;
	return fake_end(code);
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*celsius = (unsigned)g->temperature;
	return fake_end(sensor == 0 ? SUCCESS : INVALID);
}

int nvmlDeviceGetClockInfo(void *handle, int clock, unsigned *mhz)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*mhz = (unsigned)(clock == 2 ? g->mem_mhz : g->sm_mhz);
	return fake_end(SUCCESS);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *handle, unsigned long long *reasons)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*reasons = (unsigned long long)g->reasons;
	return fake_end(SUCCESS);
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *mw)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*mw = (unsigned)(g->limit_w * 1e3);
	return fake_end(SUCCESS);
}

#ifndef FAKE_OLD_DRIVER

int nvmlDeviceGetArchitecture(void *handle, unsigned *arch)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*arch = (unsigned)g->arch;
	return fake_end(SUCCESS);
}

/* nvmlFieldValue_t, spelled out here once more so that a slip in the meter's own cannot hide. */
struct field_value {
	unsigned field_id, scope_id;
	long long timestamp, latency;
	int value_type, nvml_return;
	unsigned char value[8];
};
_Static_assert(sizeof(struct field_value) == 40, "nvmlFieldValue_t has 40 bytes");

static void put_value(struct field_value *f, uint64_t v)
{
	double as_double = (double)v;
	unsigned as_unsigned = (unsigned)v;
	unsigned short as_short = (unsigned short)v;

	memset(f->value, 0xee, sizeof(f->value));
	if (f->value_type == 0)
		memcpy(f->value, &as_double, sizeof(as_double));
	else if (f->value_type == 1 || f->value_type == 5)
		memcpy(f->value, &as_unsigned, sizeof(as_unsigned));
	else if (f->value_type == 6)
		memcpy(f->value, &as_short, sizeof(as_short));
	else
		memcpy(f->value, &v, sizeof(v));
}

static void answer_field(const struct gpu *g, struct field_value *f)
{
	uint64_t t_ns = machine.is_virtual ? machine.virtual_ns : fake_clock_ns(CLOCK_REALTIME);
	const struct rule *r;
	uint64_t value = 0;
	char what[32];

	snprintf(what, sizeof(what), f->scope_id ? "field:%u@%u" : "field:%u", f->field_id,
	         f->scope_id);
	r = find_rule(g, what);
	f->nvml_return = r && r->code ? r->code : figure(g, f->field_id, f->scope_id, &value);
	f->timestamp = (long long)(t_ns / 1000) + (long long)(g->stamp_shift_s * 1e6);
	f->latency = 5;
	f->value_type = f->field_id == 83 || f->field_id == 191 ? 3 : (int)g->power_type;
	/* A failed entry holds rubbish, as it may with the real library. */
	put_value(f, f->nvml_return == SUCCESS ? value : UINT64_C(0xeeeeeeeeeeeeeeee));
}

int nvmlDeviceGetFieldValues(void *handle, int n, void *values)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	for (int i = 0; code == SUCCESS && i < n; i++)
		answer_field(g, (struct field_value *)values + i);
	return code == SUCCESS ? fake_end(code) : code;
}

int nvmlDeviceGetTemperatureV(void *handle, void *temperature)
{
	struct {
		unsigned version;
		int sensor, temperature;
	} *t = temperature;
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	t->temperature = (int)g->temperature;
	return fake_end(t->version == 0x0100000c && t->sensor == 0 ? SUCCESS : 25);
}

int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *reasons)
{
	struct gpu *g;
	int code = fake_begin(handle, __func__, &g);

	if (code != SUCCESS)
		return code;
	*reasons = (unsigned long long)g->reasons;
	return fake_end(SUCCESS);
}

#endif
