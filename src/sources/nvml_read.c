/* SPDX-License-Identifier: Apache-2.0 */
#define LOG_MODULE "nvml"
#include <string.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/log.h"
#include "sources/nvml_read.h"

#define RETRY_NS (500 * JT_NS_PER_MS)

/* The energy field of 2018 knows no scope, so that of a module has another number. */
static const struct {
	uint32_t field[2]; /* by scope */
	uint32_t valid;
} figures[NVML_N_FIGURES] = {
	[NVML_INSTANT] = { { NVML_FIELD_POWER_INSTANT_MW, NVML_FIELD_POWER_INSTANT_MW },
	                   JT_HAS_POWER },
	[NVML_AVERAGE] = { { NVML_FIELD_POWER_AVERAGE_MW, NVML_FIELD_POWER_AVERAGE_MW },
	                   JT_HAS_POWER_AVG },
	[NVML_ENERGY] = { { NVML_FIELD_ENERGY_MJ, NVML_FIELD_SCOPED_ENERGY_MJ }, JT_HAS_ENERGY },
};

/* The number in a field, whichever of the types the driver chose; false if it has none. */
static bool field_value(const struct nvml_field *f, uint64_t *ret_value)
{
	switch (f->type) {
	case NVML_DOUBLE:
		if (!(f->value.d >= 0 && f->value.d < 0x1p63))
			return false;
		*ret_value = (uint64_t)f->value.d;
		return true;
	case NVML_UINT:
		*ret_value = f->value.u;
		return true;
	case NVML_ULONG:
		*ret_value = f->value.ul;
		return true;
	case NVML_ULONG_LONG:
		*ret_value = f->value.ull;
		return true;
	case NVML_LONG_LONG:
		*ret_value = (uint64_t)f->value.ll;
		return f->value.ll >= 0;
	case NVML_INT:
		*ret_value = (uint64_t)f->value.i;
		return f->value.i >= 0;
	case NVML_USHORT:
		*ret_value = f->value.us;
		return true;
	default:
		return false;
	}
}

/* A figure in NVML's units, mW or mJ, into the sample; a value that does not fit is no value. */
static void store(struct jt_sample *out, int figure, uint64_t value)
{
	switch (figure) {
	case NVML_INSTANT:
	case NVML_AVERAGE:
		if (value > UINT32_MAX)
			return;
		*(figure == NVML_INSTANT ? &out->power_mw : &out->power_avg_mw) = (uint32_t)value;
		break;
	case NVML_ENERGY:
		if (value > UINT64_MAX / 1000)
			return;
		out->energy_uj = value * 1000;
		break;
	}
	out->valid |= figures[figure].valid;
}

/* The older calls. */
static int call_figure(const struct nvml_api *api, nvml_device dev, int figure,
                       struct jt_sample *out)
{
	unsigned long long mj = 0;
	unsigned mw = 0;
	int nvml = figure == NVML_ENERGY ? JT__NVML(api, get_total_energy, dev, &mj)
	                                 : JT__NVML(api, get_power_usage, dev, &mw);

	if (nvml == NVML_SUCCESS)
		store(out, figure, figure == NVML_ENERGY ? mj : mw);
	return nvml;
}

/* realtime - monotonic. Wraps do no harm: only differences are used. */
static uint64_t clock_offset_ns(void)
{
	uint64_t monotonic_ns = jt__now_ns();

	return jt__realtime_ns() - monotonic_ns;
}

/*
 * The driver says when, on the realtime clock, it took the value. That narrows a slow call's
 * bracket to 1 ms and what the driver needed itself; it is believed only where it falls inside
 * the bracket and the offset of the two clocks was the same before and after, so that a step of
 * the wall clock, or a stamp of another meaning, costs precision and nothing else.
 */
static void narrow(struct jt_sample *out, const struct nvml_field *f, uint64_t offset_before_ns,
                   uint64_t offset_after_ns)
{
	uint64_t moved_ns = offset_after_ns - offset_before_ns, slack_ns, t_ns;

	if (moved_ns + JT_NS_PER_MS > 2 * JT_NS_PER_MS || f->timestamp_us <= 0 ||
	    f->timestamp_us > INT64_MAX / 1000 || f->latency_us < 0 || f->latency_us > 10000000)
		return;
	t_ns = (uint64_t)f->timestamp_us * 1000 - offset_after_ns;
	slack_ns = JT_NS_PER_MS + (uint64_t)f->latency_us * 1000;
	if (t_ns < out->begin_ns || t_ns > out->end_ns)
		return;
	out->begin_ns = t_ns - JT_MIN(slack_ns, t_ns - out->begin_ns);
	out->end_ns = JT_MIN(out->end_ns, t_ns + slack_ns);
}

/*
 * Asks for all figures that are @wanted in one call. An entry's own status decides about the entry,
 * but a lost GPU is lost as a whole.
 */
static int read_fields(const struct nvml_reader *r, const bool wanted[NVML_N_FIGURES],
                       struct jt_sample *out)
{
	struct nvml_field f[NVML_N_FIGURES] = { 0 };
	int figure_of[NVML_N_FIGURES], n = 0, nvml;
	uint64_t before_ns = clock_offset_ns(), value;

	for (int i = 0; i < NVML_N_FIGURES; i++) {
		if (!wanted[i])
			continue;
		f[n].id = figures[i].field[r->scope];
		f[n].scope = r->scope;
		f[n].status = NVML_UNKNOWN;
		figure_of[n++] = i;
	}
	if (n == 0)
		return NVML_SUCCESS;
	out->begin_ns = jt__now_ns();
	nvml = JT__NVML(r->api, get_field_values, r->handle, n, f);
	out->end_ns = jt__now_ns();
	if (nvml != NVML_SUCCESS)
		return nvml;
	for (int i = 0; i < n; i++) {
		if (f[i].status == NVML_SUCCESS && field_value(&f[i], &value))
			store(out, figure_of[i], value);
		else if (jt__nvml_status(f[i].status) == JT_ELOST)
			return f[i].status;
		else if (f[i].status != NVML_SUCCESS)
			nvml = f[i].status;
	}
	/* One call, one instant: the last entry is the counter where there is one. */
	if (f[n - 1].status == NVML_SUCCESS)
		narrow(out, &f[n - 1], before_ns, clock_offset_ns());
	return out->valid ? NVML_SUCCESS : nvml;
}

/* One reading by the routes decided on; the NVML code that explains an empty one. */
static int read_figures(const struct nvml_reader *r, struct jt_sample *out)
{
	bool by_field[NVML_N_FIGURES];
	int nvml, call;

	for (int i = 0; i < NVML_N_FIGURES; i++)
		by_field[i] = r->routes[i] == NVML_BY_FIELD;
	nvml = read_fields(r, by_field, out);
	if (jt__nvml_status(nvml) == JT_ELOST)
		return nvml;
	for (int i = 0; i < NVML_N_FIGURES; i++) {
		if (r->routes[i] != NVML_BY_CALL)
			continue;
		/* The bracket is the fields' where they were read: the counter is among them or it
		 * is called. */
		if (i == NVML_ENERGY || !out->end_ns)
			out->begin_ns = jt__now_ns();
		call = call_figure(r->api, r->handle, i, out);
		if (i == NVML_ENERGY || !out->end_ns)
			out->end_ns = jt__now_ns();
		if (call != NVML_SUCCESS)
			nvml = call;
		if (jt__nvml_status(call) == JT_ELOST)
			return call;
	}
	if (out->valid)
		return NVML_SUCCESS;
	return nvml == NVML_SUCCESS ? NVML_NOT_SUPPORTED : nvml;
}

/* The NVML code if the GPU is away, else NVML_SUCCESS. */
static int choose_routes(struct nvml_reader *r)
{
	static const bool all[NVML_N_FIGURES] = { true, true, true };
	/* GetPowerUsage is a 1 s average on Ampere (GA100 aside) and newer, an instant before. A
	 * kind without an averaged field has no average. */
	int usage = r->sensor->avg_window_ns ? NVML_AVERAGE : NVML_INSTANT;
	struct jt_sample s = { 0 };
	int nvml = read_fields(r, all, &s);

	if (jt__nvml_status(nvml) == JT_ELOST)
		return nvml;
	for (int i = 0; i < NVML_N_FIGURES; i++) {
		r->routes[i] = s.valid & figures[i].valid ? NVML_BY_FIELD : NVML_BY_NOTHING;
		if (r->routes[i] == NVML_BY_FIELD || r->scope != NVML_SCOPE_GPU ||
		    (i != NVML_ENERGY && i != usage))
			continue;
		nvml = call_figure(r->api, r->handle, i, &s);
		if (jt__nvml_status(nvml) == JT_ELOST)
			return nvml;
		if (s.valid & figures[i].valid)
			r->routes[i] = NVML_BY_CALL;
	}
	return NVML_SUCCESS;
}

static void set_lost(struct nvml_reader *r, int nvml)
{
	if (!r->lost)
		log_warn("%s is lost (NVML code %d); looking for %s again", r->label, nvml,
		         r->uuid);
	r->lost = true;
	r->retry_ns = jt__now_ns() + RETRY_NS;
}

static bool look_again(struct nvml_reader *r)
{
	uint64_t now_ns = jt__now_ns();
	int nvml;

	if (now_ns < r->retry_ns)
		return false;
	r->retry_ns = now_ns + RETRY_NS;
	nvml = JT__NVML(r->api, get_by_uuid, r->uuid, &r->handle);
	if (nvml == NVML_SUCCESS)
		nvml = choose_routes(r);
	if (nvml != NVML_SUCCESS)
		return false;
	log_info("%s is back", r->label);
	r->lost = false;
	return true;
}

int jt__nvml_reader_open(struct nvml_reader *r)
{
	int nvml = choose_routes(r);

	if (nvml != NVML_SUCCESS)
		set_lost(r, nvml);
	return nvml;
}

uint32_t jt__nvml_reader_valid(const struct nvml_reader *r)
{
	uint32_t valid = 0;

	for (int i = 0; i < NVML_N_FIGURES; i++)
		if (r->routes[i] != NVML_BY_NOTHING)
			valid |= figures[i].valid;
	return valid;
}

int jt__nvml_read(struct nvml_reader *r, struct jt_sample *out)
{
	int nvml;

	out->status = JT_ELOST;
	if (r->lost && !look_again(r))
		return out->status;
	nvml = read_figures(r, out);
	out->status = jt__nvml_status(nvml);
	if (out->status == JT_ELOST)
		set_lost(r, nvml);
	if (out->status != JT_OK)
		out->valid = 0;
	return out->status;
}

/*
 * A driver that does not know scopes may answer with the GPU's own figure, which no module's can
 * equal: its CPU draws something too. The GPU's is asked between two of the module's, so that an
 * update in between cannot make them differ.
 */
bool jt__nvml_has_module(const struct nvml_api *api, nvml_device dev)
{
	struct nvml_field f[] = {
		{ .id = NVML_FIELD_POWER_INSTANT_MW, .scope = NVML_SCOPE_MODULE },
		{ .id = NVML_FIELD_POWER_INSTANT_MW, .scope = NVML_SCOPE_GPU },
		{ .id = NVML_FIELD_POWER_INSTANT_MW, .scope = NVML_SCOPE_MODULE },
		{ .id = NVML_FIELD_SCOPED_ENERGY_MJ, .scope = NVML_SCOPE_MODULE },
	};
	uint64_t value[JT_ARRAY_LEN(f)] = { 0 };
	bool known[JT_ARRAY_LEN(f)];

	for (size_t i = 0; i < JT_ARRAY_LEN(f); i++)
		f[i].status = NVML_UNKNOWN;
	if (JT__NVML(api, get_field_values, dev, (int)JT_ARRAY_LEN(f), f) != NVML_SUCCESS)
		return false;
	for (size_t i = 0; i < JT_ARRAY_LEN(f); i++)
		known[i] = f[i].status == NVML_SUCCESS && field_value(&f[i], &value[i]);
	if (known[0] && known[1] && (value[0] == value[1] || value[2] == value[1]))
		return false;
	return known[0] || known[3];
}
