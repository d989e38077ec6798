/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvml: NVIDIA GPUs, their MIG instances and their modules, through the driver's management library
 *
 * What it measures: cumulative energy (the counter, Volta and newer), instantaneous and averaged
 * power, and beside them temperature, SM and memory clock, why clocks are held back, and the
 * enforced power limit. Where asked for (gpm), also how busy multiprocessors, tensor cores and
 * memory are (Hopper and newer).
 *
 *   gpu:N       a GPU, by the driver's index
 *   mig:N:I     GPU instance I of a GPU that is split by MIG; its energy is a modelled part of the
 *               GPU's (nvml_split.h)
 *   module:N    a Grace superchip: the GPU together with its CPU and memory
 *
 * Permissions: none beyond the device nodes; in a container the "utility" driver capability.
 *
 * Accuracy: see the sensor kinds of jouletap(1). The counter is the truth for energy, the
 * instantaneous field gives the shape. nvmlDeviceGetPowerUsage is a 1 s average on Ampere (GA100
 * aside) and newer, which is why it stands in for the averaged field there and for the
 * instantaneous one elsewhere.
 *
 * A tick is one nvmlDeviceGetFieldValues call for the three figures (nvml_read.c). Drivers that
 * lack it, or one of its fields, are asked by the older calls, decided figure by figure when the
 * GPU is opened and again when it comes back. What moves slowly (temperature, clocks, reasons,
 * limit) is asked after it, at most twice a second, and repeated in between.
 *
 * A GPU is its UUID: its index changes with resets, and CUDA counts in another order, which is why
 * CUDA_VISIBLE_DEVICES is not looked at. One that is lost gives samples with JT_ELOST and is looked
 * up again twice a second by its own reader. A GPU that the driver only finds again after all its
 * clients closed it stays lost until we are restarted.
 */
#define LOG_MODULE "nvml"
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/log.h"
#include "sources/nvml_gpm.h"
#include "sources/nvml_mig.h"
#include "sources/nvml_read.h"
#include "sources/source.h"

#define MAX_GPUS 64 /* bits of gpu_mask */
#define SLOW_NS (500 * JT_NS_PER_MS)

struct gpu {
	unsigned index; /* as nvidia-smi counts */
	char name[96];
	unsigned arch; /* 0: unknown */
	bool is_vgpu, is_mig;
	bool is_metered; /* by itself; else only its module is */
	bool has_module;
	struct nvml_reader reader, module;
	struct nvml_mig *mig;  /* NULL: no instances */
	struct nvml_gpm *gpm;  /* NULL: not asked for, or there is none */
	bool lacks_gpm;        /* asked for, and there is none */
	struct jt_sample slow; /* the slowly moving values; valid says which */
	uint64_t slow_ns;      /* when they are due */
};

struct domain {
	enum { GPU, INSTANCE, MODULE } kind;
	struct gpu *gpu;
	size_t instance;
};

struct nvml {
	struct nvml_api api;
	bool use_gpm;
	char why[160]; /* the last GPU that was left out was; "" if none */
	size_t n_domains;
	struct domain *domains;
	size_t n_gpus;
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

static void read_temperature(const struct nvml_api *api, struct gpu *g)
{
	struct nvml_temperature t = { .version = NVML_TEMPERATURE_V1 };
	unsigned celsius = 0;

	if (JT__NVML(api, get_temperature, g->reader.handle, 0, &celsius) == NVML_SUCCESS)
		t.celsius = (int32_t)celsius;
	else if (JT__NVML(api, get_temperature_v, g->reader.handle, &t) != NVML_SUCCESS)
		return;
	g->slow.temperature_mc = t.celsius * 1000;
	g->slow.valid |= JT_HAS_TEMPERATURE;
}

static void read_slow(const struct nvml_api *api, struct gpu *g, uint64_t now_ns)
{
	nvml_device dev = g->reader.handle;
	struct jt_sample *s = &g->slow;
	unsigned long long reasons = 0;

	s->valid = 0;
	g->slow_ns = now_ns + SLOW_NS;
	read_temperature(api, g);
	if (JT__NVML(api, get_clock_info, dev, NVML_CLOCK_SM, &s->sm_clock_mhz) == NVML_SUCCESS)
		s->valid |= JT_HAS_SM_CLOCK;
	if (JT__NVML(api, get_clock_info, dev, NVML_CLOCK_MEM, &s->mem_clock_mhz) == NVML_SUCCESS)
		s->valid |= JT_HAS_MEM_CLOCK;
	if (JT__NVML(api, get_enforced_limit, dev, &s->limit_mw) == NVML_SUCCESS)
		s->valid |= JT_HAS_LIMIT;
	if (JT__NVML(api, get_event_reasons, dev, &reasons) == NVML_SUCCESS ||
	    JT__NVML(api, get_throttle_reasons, dev, &reasons) == NVML_SUCCESS) {
		s->reasons = (uint32_t)reasons;
		s->valid |= JT_HAS_REASONS;
	}
}

static int read_gpu(const struct nvml_api *api, struct gpu *g, struct jt_sample *out)
{
	const struct jt_sample *s = &g->slow;
	bool was_lost = g->reader.lost;

	if (jt__nvml_read(&g->reader, out) != JT_OK)
		return out->status;
	if (was_lost || out->end_ns >= g->slow_ns)
		read_slow(api, g, out->end_ns);
	out->valid |= s->valid;
	out->temperature_mc = s->temperature_mc;
	out->sm_clock_mhz = s->sm_clock_mhz;
	out->mem_clock_mhz = s->mem_clock_mhz;
	out->limit_mw = s->limit_mw;
	out->reasons = s->reasons;
	if (g->gpm)
		jt__nvml_gpm_update(g->gpm, g->reader.handle, out->end_ns);
	jt__nvml_gpm_put(g->gpm, out);
	return out->status;
}

static int nvml_read(void *state, size_t i, struct jt_sample *out)
{
	struct nvml *n = state;
	struct domain *d = &n->domains[i];

	switch (d->kind) {
	case INSTANCE:
		return jt__nvml_mig_read(d->gpu->mig, d->instance, out);
	case MODULE:
		return jt__nvml_read(&d->gpu->module, out);
	default:
		return read_gpu(&n->api, d->gpu, out);
	}
}

/* -- opening -- */

static void leave_out(struct nvml *n, const struct gpu *g, const char *why)
{
	snprintf(n->why, sizeof(n->why), "gpu:%u %s", g->index, why);
	log_warn("%s; left out", n->why);
}

/* Who the GPU at @index is; false if it does not say. */
static bool identify(struct nvml *n, unsigned index, struct gpu *g)
{
	struct nvml_reader *r = &g->reader;
	unsigned mig = 0, pending = 0;
	int mode = 0, nvml;
	char why[80];

	g->index = index;
	r->api = &n->api;
	snprintf(r->label, sizeof(r->label), "gpu:%u", index);
	nvml = JT__NVML(&n->api, get_by_index, index, &r->handle);
	if (nvml == NVML_SUCCESS)
		nvml = JT__NVML(&n->api, get_uuid, r->handle, r->uuid, sizeof(r->uuid));
	if (nvml != NVML_SUCCESS) {
		snprintf(why, sizeof(why), "cannot be opened (NVML code %d)%s", nvml,
		         nvml == NVML_NO_PERMISSION ? ": no permission for '/dev/nvidia*'" : "");
		leave_out(n, g, why);
		return false;
	}
	if (JT__NVML(&n->api, get_name, r->handle, g->name, sizeof(g->name)) != NVML_SUCCESS)
		strcpy(g->name, "NVIDIA GPU");
	JT__NVML(&n->api, get_architecture, r->handle, &g->arch);
	g->is_vgpu = JT__NVML(&n->api, get_virtualization, r->handle, &mode) == NVML_SUCCESS &&
	             mode == NVML_VIRTUALIZATION_VGPU;
	g->is_mig =
		JT__NVML(&n->api, get_mig_mode, r->handle, &mig, &pending) == NVML_SUCCESS && mig;
	r->sensor = sensor_of(g->name, g->arch);
	return true;
}

static void open_module(struct nvml *n, struct gpu *g)
{
	struct nvml_reader *m = &g->module;

	if (!jt__nvml_has_module(&n->api, g->reader.handle))
		return;
	*m = g->reader;
	snprintf(m->label, sizeof(m->label), "module:%u", g->index);
	m->scope = NVML_SCOPE_MODULE;
	m->sensor = jt_sensor_find("module");
	g->has_module = jt__nvml_reader_open(m) == NVML_SUCCESS && jt__nvml_reader_valid(m) != 0;
}

/* The profiling counters, if they are asked for, and the instances. */
static int open_parts(struct nvml *n, struct gpu *g)
{
	struct nvml_reader *r = &g->reader;
	int status = JT_OK;

	if (n->use_gpm && jt__nvml_gpm_is_supported(&n->api, r->handle))
		status = jt__nvml_gpm_open(&n->api, r->handle, NVML_GPM_WHOLE, &g->gpm);
	g->lacks_gpm = n->use_gpm && !g->gpm;
	if (status == JT_OK && g->is_mig)
		status = jt__nvml_mig_open(r, n->use_gpm, &g->mig);
	return status;
}

/* JT_OK also where the GPU at @index is of no use: then there are no domains of it. */
static int open_gpu(struct nvml *n, unsigned index)
{
	struct gpu *g = &n->gpus[n->n_gpus];

	memset(g, 0, sizeof(*g));
	if (!identify(n, index, g))
		return JT_OK;
	g->is_metered = true;
	n->n_gpus++;
	if (jt__nvml_reader_open(&g->reader) != NVML_SUCCESS)
		return JT_OK; /* it may come back */
	open_module(n, g);
	g->is_metered = jt__nvml_reader_valid(&g->reader) != 0;
	if (g->is_metered) {
		read_slow(&n->api, g, jt__now_ns());
		return open_parts(n, g);
	}
	if (!g->has_module) {
		leave_out(n, g,
		          g->is_vgpu
		                  ? "is a vGPU, whose driver tells neither power nor energy (try: "
		                    "metering on its host)"
		                  : "tells neither power nor energy");
		n->n_gpus--;
	}
	return JT_OK;
}

static void add_domain(struct nvml *n, struct gpu *g, int kind, size_t instance)
{
	n->domains[n->n_domains++] = (struct domain){ kind, g, instance };
}

static int list_domains(struct nvml *n, struct jt_error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < n->n_gpus; i++)
		count += 2 + jt__nvml_mig_count(n->gpus[i].mig);
	n->domains = jt__alloc(count, sizeof(n->domains[0]));
	if (!n->domains)
		return jt__fail(err, JT_ENOMEM, "nvml", "cannot allocate %zu domains", count);
	for (struct gpu *g = n->gpus; g < n->gpus + n->n_gpus; g++) {
		if (g->is_metered)
			add_domain(n, g, GPU, 0);
		for (size_t i = 0; i < jt__nvml_mig_count(g->mig); i++)
			add_domain(n, g, INSTANCE, i);
		if (g->has_module)
			add_domain(n, g, MODULE, 0);
	}
	return JT_OK;
}

static void nvml_close(void *state)
{
	struct nvml *n = state;

	if (!n)
		return;
	for (size_t i = 0; i < n->n_gpus; i++) {
		jt__nvml_mig_close(n->gpus[i].mig);
		jt__nvml_gpm_close(n->gpus[i].gpm);
	}
	jt__nvml_api_close(&n->api);
	jt__free(n->domains);
	jt__free(n);
}

/* Opens the GPUs of @mask; JT_ENOENT, JT_ENOTSUP if that leaves none. */
static int open_gpus(struct nvml *n, unsigned count, uint64_t mask, struct jt_error *err)
{
	unsigned selected = 0;

	for (unsigned i = 0; i < count; i++) {
		if (mask && !(mask >> i & 1))
			continue;
		selected++;
		if (open_gpu(n, i) == JT_ENOMEM)
			return jt__fail(err, JT_ENOMEM, "nvml", "cannot allocate GPU %u", i);
	}
	if (n->n_gpus)
		return list_domains(n, err);
	if (!count)
		return jt__fail(err, JT_ENOENT, "nvml", "the driver knows no GPU");
	if (!selected)
		return jt__fail(err, JT_ENOENT, "nvml",
		                "none of the %u GPUs here is selected by index", count);
	return jt__fail(err, JT_ENOTSUP, "nvml", "no GPU here can be metered: %s", n->why);
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
	n->use_gpm = o->gpm != 0;
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
	return ((const struct nvml *)state)->n_domains;
}

/* -- describing -- */

static const char *missing_energy(const struct gpu *g)
{
	uint32_t valid = jt__nvml_reader_valid(&g->reader);

	if (g->reader.lost)
		return "the GPU is lost (try: dmesg | grep -i xid); ";
	if (!(valid & JT_HAS_ENERGY) && g->is_vgpu)
		return "no energy counter in a vGPU: energy is integrated power; ";
	if (!(valid & JT_HAS_ENERGY) && g->arch && g->arch < NVML_ARCH_VOLTA)
		return "no energy counter before Volta: energy is integrated power; ";
	if (!(valid & JT_HAS_ENERGY))
		return "no energy counter: energy is integrated power; ";
	if (!(valid & JT_HAS_POWER))
		return "no instantaneous power (try: a driver from R530 on); ";
	return "";
}

static void describe_gpu(const struct gpu *g, struct jt_domain *d)
{
	const char *gpm =
		g->gpm || !g->lacks_gpm ? "" : "no profiling counters (GPM): Hopper or newer; ";

	d->sensor = *g->reader.sensor;
	d->valid = g->slow.valid | jt__nvml_reader_valid(&g->reader);
	if (g->gpm)
		d->valid |= NVML_GPM_VALID;
	snprintf(d->name, sizeof(d->name), "gpu:%u", g->index);
	if (g->has_module)
		snprintf(d->part_of, sizeof(d->part_of), "module:%u", g->index);
	snprintf(d->missing, sizeof(d->missing), "%s%s%s", missing_energy(g),
	         g->is_mig ? "MIG is on: figures are of the whole GPU; " : "", gpm);
	if (d->missing[0])
		d->missing[strlen(d->missing) - 2] = '\0';
}

static void describe_module(const struct gpu *g, struct jt_domain *d)
{
	d->sensor = *g->module.sensor;
	d->valid = jt__nvml_reader_valid(&g->module);
	snprintf(d->name, sizeof(d->name), "module:%u", g->index);
	snprintf(d->missing, sizeof(d->missing), "contains GPU, CPU and memory%s%s",
	         g->is_metered ? "" : ": the driver does not tell the GPU alone",
	         d->valid & JT_HAS_ENERGY ? "" : "; no energy counter: energy is integrated power");
}

static void nvml_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	const struct domain *domain = &((const struct nvml *)state)->domains[i];
	const struct gpu *g = domain->gpu;
	struct jt_domain d = { 0 };

	memcpy(d.device, g->name, sizeof(d.device));
	memcpy(d.uuid, g->reader.uuid, sizeof(d.uuid));
	if (domain->kind == INSTANCE)
		jt__nvml_mig_describe(g->mig, domain->instance, g->index, &d);
	else if (domain->kind == MODULE)
		describe_module(g, &d);
	else
		describe_gpu(g, &d);
	strcpy(d.source, "nvml");
	*ret_domain = d;
}

static int nvml_partial(const void *state, struct jt_error *err)
{
	const struct nvml *n = state;

	return n->why[0] ? jt__fail(err, JT_ENOTSUP, "nvml", "%s", n->why) : JT_OK;
}

const struct jt_source_ops jt__source_nvml = {
	.name = "nvml",
	.what = "NVIDIA GPUs through the driver's libnvidia-ml",
	.open = nvml_open,
	.count = nvml_count,
	.describe = nvml_describe,
	.read = nvml_read,
	.close = nvml_close,
	.partial = nvml_partial,
};
