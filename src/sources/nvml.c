/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml: NVIDIA GPUs, through the driver's management library
 *
 * What it measures: cumulative energy (the counter, Volta and newer), instantaneous and averaged
 * power, and beside them temperature, SM and memory clock, why clocks are held back, and the
 * enforced power limit. Power of a GPU that is split by MIG is that of the whole GPU.
 *
 * Permissions: none beyond the device nodes; in a container the "utility" driver capability.
 *
 * Accuracy: see the sensor kinds of jouletap(1). The counter is the truth for energy, the
 * instantaneous field gives the shape. nvmlDeviceGetPowerUsage is a 1 s average on Ampere (GA100
 * aside) and newer, which is why it stands in for the averaged field there and for the
 * instantaneous one elsewhere.
 *
 * A tick is one nvmlDeviceGetFieldValues call for the three figures. Drivers that lack it, or one
 * of its fields, are asked by the older calls, decided figure by figure when the GPU is opened and
 * again when it comes back. What moves slowly (temperature, clocks, reasons, limit) is asked after
 * it, at most twice a second, and repeated in between.
 *
 * A GPU is its UUID: its index changes with resets, and CUDA counts in another order. One that is
 * lost gives samples with JT_ELOST and is looked up again twice a second by its own reader. A GPU
 * that the driver only finds again after all its clients closed it stays lost until we are
 * restarted.
 */
#define LOG_MODULE "nvml"
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/log.h"
#include "sources/nvml_api.h"
#include "sources/source.h"

#define MAX_GPUS 64 /* bits of gpu_mask */
#define SLOW_NS (500 * JT_NS_PER_MS)
#define RETRY_NS (500 * JT_NS_PER_MS)

enum { INSTANT, AVERAGE, ENERGY, N_FIGURES };

static const struct {
	uint32_t field;
	uint32_t valid;
} figures[N_FIGURES] = {
	[INSTANT] = { NVML_FIELD_POWER_INSTANT_MW, JT_HAS_POWER },
	[AVERAGE] = { NVML_FIELD_POWER_AVERAGE_MW, JT_HAS_POWER_AVG },
	[ENERGY] = { NVML_FIELD_ENERGY_MJ, JT_HAS_ENERGY },
};

enum route { ROUTE_NONE, ROUTE_FIELD, ROUTE_CALL };

struct gpu {
	nvml_device handle;
	unsigned index; /* as nvidia-smi counts */
	char uuid[96];
	char name[96];
	bool mig;
	const struct jt_sensor *sensor;
	enum route routes[N_FIGURES];
	bool lost;
	uint64_t retry_ns;
	struct jt_sample slow; /* the slowly moving values; valid says which */
	uint64_t slow_ns;      /* when they are due */
};

struct nvml {
	struct nvml_api api;
	size_t n;
	struct gpu gpus[];
};

static const struct jt_sensor *sensor_of(const char *name, unsigned arch)
{
	static const char *const kinds[] = {
		[NVML_ARCH_VOLTA] = "volta",  [NVML_ARCH_TURING] = "turing",
		[NVML_ARCH_AMPERE] = "ga10x", [NVML_ARCH_ADA] = "ada",
		[NVML_ARCH_HOPPER] = "gh100", [NVML_ARCH_BLACKWELL] = "blackwell",
	};
	const struct jt_sensor *s = jt_sensor_of_gpu(name);

	if (!s && arch < JT_ARRAY_LEN(kinds) && kinds[arch])
		s = jt_sensor_find(kinds[arch]);
	return s ? s : jt_sensor_find("gpu");
}

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
	case INSTANT:
	case AVERAGE:
		if (value > UINT32_MAX)
			return;
		*(figure == INSTANT ? &out->power_mw : &out->power_avg_mw) = (uint32_t)value;
		break;
	case ENERGY:
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
	int nvml = figure == ENERGY ? JT__NVML(api, get_total_energy, dev, &mj)
	                            : JT__NVML(api, get_power_usage, dev, &mw);

	if (nvml == NVML_SUCCESS)
		store(out, figure, figure == ENERGY ? mj : mw);
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
 * Asks for @fields (all that can be asked this way, or all there are when probing) in one call.
 * An entry's own status decides about the entry, but a lost GPU is lost as a whole.
 */
static int read_fields(const struct nvml_api *api, nvml_device dev, const bool wanted[N_FIGURES],
                       struct jt_sample *out)
{
	struct nvml_field f[N_FIGURES] = { 0 };
	int figure_of[N_FIGURES], n = 0, nvml;
	uint64_t before_ns = clock_offset_ns(), value;

	for (int i = 0; i < N_FIGURES; i++) {
		if (!wanted[i])
			continue;
		f[n].id = figures[i].field;
		f[n].status = NVML_UNKNOWN;
		figure_of[n++] = i;
	}
	if (n == 0)
		return NVML_SUCCESS;
	out->begin_ns = jt__now_ns();
	nvml = JT__NVML(api, get_field_values, dev, n, f);
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
static int read_figures(const struct nvml_api *api, struct gpu *g, struct jt_sample *out)
{
	bool by_field[N_FIGURES];
	int nvml, call;

	for (int i = 0; i < N_FIGURES; i++)
		by_field[i] = g->routes[i] == ROUTE_FIELD;
	nvml = read_fields(api, g->handle, by_field, out);
	if (jt__nvml_status(nvml) == JT_ELOST)
		return nvml;
	for (int i = 0; i < N_FIGURES; i++) {
		if (g->routes[i] != ROUTE_CALL)
			continue;
		/* The bracket is the fields' where they were read: the counter is among them or it
		 * is called. */
		if (i == ENERGY || !out->end_ns)
			out->begin_ns = jt__now_ns();
		call = call_figure(api, g->handle, i, out);
		if (i == ENERGY || !out->end_ns)
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

static void read_temperature(const struct nvml_api *api, struct gpu *g)
{
	struct nvml_temperature t = { .version = NVML_TEMPERATURE_V1 };
	unsigned celsius = 0;

	if (JT__NVML(api, get_temperature, g->handle, 0, &celsius) == NVML_SUCCESS)
		t.celsius = (int32_t)celsius;
	else if (JT__NVML(api, get_temperature_v, g->handle, &t) != NVML_SUCCESS)
		return;
	g->slow.temperature_mc = t.celsius * 1000;
	g->slow.valid |= JT_HAS_TEMPERATURE;
}

static void read_slow(const struct nvml_api *api, struct gpu *g, uint64_t now_ns)
{
	struct jt_sample *s = &g->slow;
	unsigned long long reasons = 0;

	s->valid = 0;
	g->slow_ns = now_ns + SLOW_NS;
	read_temperature(api, g);
	if (JT__NVML(api, get_clock_info, g->handle, NVML_CLOCK_SM, &s->sm_clock_mhz) ==
	    NVML_SUCCESS)
		s->valid |= JT_HAS_SM_CLOCK;
	if (JT__NVML(api, get_clock_info, g->handle, NVML_CLOCK_MEM, &s->mem_clock_mhz) ==
	    NVML_SUCCESS)
		s->valid |= JT_HAS_MEM_CLOCK;
	if (JT__NVML(api, get_enforced_limit, g->handle, &s->limit_mw) == NVML_SUCCESS)
		s->valid |= JT_HAS_LIMIT;
	if (JT__NVML(api, get_event_reasons, g->handle, &reasons) == NVML_SUCCESS ||
	    JT__NVML(api, get_throttle_reasons, g->handle, &reasons) == NVML_SUCCESS) {
		s->reasons = (uint32_t)reasons;
		s->valid |= JT_HAS_REASONS;
	}
}

/* Decides how each figure is read. The NVML code if the GPU is away, else NVML_SUCCESS. */
static int choose_routes(const struct nvml_api *api, struct gpu *g)
{
	static const bool all[N_FIGURES] = { true, true, true };
	/* What GetPowerUsage stands for: see the top. A kind without an averaged field has no
	 * average. */
	int usage = g->sensor->avg_window_ns ? AVERAGE : INSTANT;
	struct jt_sample s = { 0 };
	int nvml = read_fields(api, g->handle, all, &s);

	if (jt__nvml_status(nvml) == JT_ELOST)
		return nvml;
	for (int i = 0; i < N_FIGURES; i++) {
		g->routes[i] = s.valid & figures[i].valid ? ROUTE_FIELD : ROUTE_NONE;
		if (g->routes[i] == ROUTE_FIELD || (i != ENERGY && i != usage))
			continue;
		nvml = call_figure(api, g->handle, i, &s);
		if (jt__nvml_status(nvml) == JT_ELOST)
			return nvml;
		if (s.valid & figures[i].valid)
			g->routes[i] = ROUTE_CALL;
	}
	return NVML_SUCCESS;
}

static void set_lost(struct gpu *g, int nvml)
{
	if (!g->lost)
		log_warn("gpu:%u is lost (NVML code %d); looking for %s again", g->index, nvml,
		         g->uuid);
	g->lost = true;
	g->retry_ns = jt__now_ns() + RETRY_NS;
}

static bool look_again(const struct nvml_api *api, struct gpu *g)
{
	uint64_t now_ns = jt__now_ns();
	int nvml;

	if (now_ns < g->retry_ns)
		return false;
	g->retry_ns = now_ns + RETRY_NS;
	nvml = JT__NVML(api, get_by_uuid, g->uuid, &g->handle);
	if (nvml == NVML_SUCCESS)
		nvml = choose_routes(api, g);
	if (nvml != NVML_SUCCESS)
		return false;
	log_info("gpu:%u is back", g->index);
	g->lost = false;
	g->slow_ns = 0;
	return true;
}

static int nvml_read(void *state, size_t i, struct jt_sample *out)
{
	struct nvml *n = state;
	struct gpu *g = &n->gpus[i];
	const struct jt_sample *s = &g->slow;
	int nvml;

	out->status = JT_ELOST;
	if (g->lost && !look_again(&n->api, g))
		return out->status;
	nvml = read_figures(&n->api, g, out);
	out->status = jt__nvml_status(nvml);
	if (out->status == JT_ELOST)
		set_lost(g, nvml);
	if (out->status != JT_OK) {
		out->valid = 0;
		return out->status;
	}
	if (out->end_ns >= g->slow_ns)
		read_slow(&n->api, g, out->end_ns);
	out->valid |= s->valid;
	out->temperature_mc = s->temperature_mc;
	out->sm_clock_mhz = s->sm_clock_mhz;
	out->mem_clock_mhz = s->mem_clock_mhz;
	out->limit_mw = s->limit_mw;
	out->reasons = s->reasons;
	return out->status;
}

/* Identity and abilities of the GPU at @index; false if it is of no use. */
static bool open_gpu(const struct nvml_api *api, unsigned index, struct gpu *g)
{
	unsigned arch = 0, mig = 0, pending = 0;
	bool any = false;
	int nvml = JT__NVML(api, get_by_index, index, &g->handle);

	g->index = index;
	if (nvml == NVML_SUCCESS)
		nvml = JT__NVML(api, get_uuid, g->handle, g->uuid, sizeof(g->uuid));
	if (nvml != NVML_SUCCESS) {
		log_warn("gpu:%u cannot be opened (NVML code %d); left out", index, nvml);
		return false;
	}
	if (JT__NVML(api, get_name, g->handle, g->name, sizeof(g->name)) != NVML_SUCCESS)
		strcpy(g->name, "NVIDIA GPU");
	JT__NVML(api, get_architecture, g->handle, &arch);
	g->mig = JT__NVML(api, get_mig_mode, g->handle, &mig, &pending) == NVML_SUCCESS && mig;
	g->sensor = sensor_of(g->name, arch);
	nvml = choose_routes(api, g);
	if (nvml != NVML_SUCCESS) {
		set_lost(g, nvml);
		return true;
	}
	read_slow(api, g, jt__now_ns());
	for (int i = 0; i < N_FIGURES; i++)
		any |= g->routes[i] != ROUTE_NONE;
	if (!any)
		log_warn("gpu:%u (%s) tells neither power nor energy; left out", index, g->name);
	return any;
}

static void nvml_close(void *state)
{
	struct nvml *n = state;

	if (n)
		jt__nvml_api_close(&n->api);
	jt__free(n);
}

/* Opens the GPUs of @mask; JT_ENOENT, JT_ENOTSUP if that leaves none. */
static int open_gpus(struct nvml *n, unsigned count, uint64_t mask, struct jt_error *err)
{
	unsigned selected = 0;

	for (unsigned i = 0; i < count; i++) {
		struct gpu *g = &n->gpus[n->n];

		if (mask && !(mask >> i & 1))
			continue;
		selected++;
		memset(g, 0, sizeof(*g));
		if (open_gpu(&n->api, i, g))
			n->n++;
	}
	if (n->n)
		return JT_OK;
	if (!count)
		return jt__fail(err, JT_ENOENT, "nvml", "the driver knows no GPU");
	if (!selected)
		return jt__fail(err, JT_ENOENT, "nvml",
		                "none of the %u GPUs here is selected by index", count);
	return jt__fail(err, JT_ENOTSUP, "nvml", "no GPU here tells power or energy");
}

static int nvml_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	struct nvml_api api = { 0 };
	struct nvml *n = NULL;
	unsigned count = 0;
	int status;

	/* Another root is another machine: this one's driver does not belong to it unless named. */
	if (!o->nvml_library && o->root && o->root[0] && strcmp(o->root, "/") != 0)
		return jt__fail(err, JT_ENOENT, "nvml",
		                "not looked for under another root (try: --nvml-library)");
	status = jt__nvml_api_open(o->nvml_library, &api, err);
	if (status < 0)
		return status;
	if (api.get_count(&count) != NVML_SUCCESS)
		count = 0;
	count = JT_MIN(count, MAX_GPUS);
	n = jt__alloc(1, sizeof(*n) + (count + 1) * sizeof(n->gpus[0]));
	if (!n) {
		status = jt__fail(err, JT_ENOMEM, "nvml", "cannot allocate %u GPUs", count);
		goto out;
	}
	n->api = api;
	memset(&api, 0, sizeof(api));
	status = open_gpus(n, count, o->gpu_mask, err);
	if (status < 0)
		goto out;
	*ret_state = n;
	n = NULL;
out:
	nvml_close(n);
	jt__nvml_api_close(&api);
	return status;
}

static size_t nvml_count(const void *state)
{
	return ((const struct nvml *)state)->n;
}

static void describe_missing(const struct gpu *g, char *text, size_t size)
{
	const char *lost = "", *energy = "", *mig = "";

	if (g->lost)
		lost = "the GPU is lost (try: dmesg | grep -i xid); ";
	else if (g->routes[ENERGY] == ROUTE_NONE)
		energy =
			"no energy counter (before Volta, or a vGPU): energy is integrated power; ";
	else if (g->routes[INSTANT] == ROUTE_NONE)
		energy = "no instantaneous power (try: a driver from R530 on); ";
	if (g->mig)
		mig = "MIG is on: figures are of the whole GPU; ";
	snprintf(text, size, "%s%s%s", lost, energy, mig);
	if (text[0])
		text[strlen(text) - 2] = '\0';
}

static void nvml_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	const struct gpu *g = &((const struct nvml *)state)->gpus[i];
	struct jt_domain d = { .sensor = *g->sensor, .valid = g->slow.valid };

	snprintf(d.name, sizeof(d.name), "gpu:%u", g->index);
	strcpy(d.source, "nvml");
	memcpy(d.device, g->name, sizeof(d.device));
	memcpy(d.uuid, g->uuid, sizeof(d.uuid));
	for (int f = 0; f < N_FIGURES; f++)
		if (g->routes[f] != ROUTE_NONE)
			d.valid |= figures[f].valid;
	describe_missing(g, d.missing, sizeof(d.missing));
	*ret_domain = d;
}

const struct jt_source_ops jt__source_nvml = {
	.name = "nvml",
	.what = "NVIDIA GPUs through the driver's libnvidia-ml",
	.open = nvml_open,
	.count = nvml_count,
	.describe = nvml_describe,
	.read = nvml_read,
	.close = nvml_close,
};
