/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hardware meters the whole GPU, so an instance's reading is one of the GPU, divided. If each
 * instance's thread did that by itself, each would see other steps of the counter and other
 * activities, and the parts would not add up. So they take turns: whoever finds that it has seen
 * the latest division already makes the next, for all; the others, which come in the same tick,
 * take theirs from it. That is one call of the driver a tick, however many instances there are.
 * They wait for nobody but each other, and each would otherwise wait for the same driver; the GPU's
 * own domain has a reader of its own.
 *
 * An instance that is destroyed is missed within five seconds, when its UUID is no longer known: to
 * ask for it may take a tenth of a second. From then on its slices are nobody's. New ones are found
 * at the next start.
 */
#define LOG_MODULE "nvml"
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "base/clock.h"
#include "base/log.h"
#include "sources/nvml_gpm.h"
#include "sources/nvml_mig.h"
#include "sources/nvml_split.h"

#define CHECK_NS (5 * JT_NS_PER_S)
#define MAX_SLICES 64 /* of a GPU: more is no answer */

struct instance {
	unsigned id; /* of the GPU instance */
	unsigned slices;
	char name[96];
	char uuid[96]; /* of its first compute instance */
	struct nvml_gpm *gpm;
	/* its own thread's */
	bool is_gone;
	uint64_t check_ns;
	uint64_t seen; /* the division it has told last */
};

struct nvml_mig {
	pthread_mutex_t lock; /* of all below, and of the gpm of each instance */
	struct nvml_reader reader;
	struct nvml_split split;
	uint64_t n_divisions;
	struct jt_sample whole; /* at the last of them */
	bool has_energy;
	uint32_t activity_ppm[NVML_MAX_INSTANCES];
	bool has_activity;
	/* written once */
	bool uses_gpm;
	size_t n;
	struct instance instances[NVML_MAX_INSTANCES];
};

/* -- opening -- */

static bool is_known(const struct nvml_mig *m, unsigned id)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->instances[i].id == id)
			return true;
	return false;
}

/* The GPU instance of a MIG device; several compute instances may share one, the first stands for
 * it. */
static void add_instance(struct nvml_mig *m, nvml_device mig)
{
	const struct nvml_api *api = m->reader.api;
	struct nvml_attributes a = { 0 };
	struct instance in = { 0 };

	if (JT__NVML(api, get_gpu_instance, mig, &in.id) != NVML_SUCCESS || is_known(m, in.id) ||
	    JT__NVML(api, get_uuid, mig, in.uuid, sizeof(in.uuid)) != NVML_SUCCESS)
		return;
	if (m->n == NVML_MAX_INSTANCES || JT__NVML(api, get_attributes, mig, &a) != NVML_SUCCESS ||
	    !a.gpu_slices || a.gpu_slices > MAX_SLICES) {
		log_warn("MIG instance %u of %s does not tell its size; left out", in.id,
		         m->reader.label);
		return;
	}
	in.slices = a.gpu_slices;
	if (JT__NVML(api, get_name, mig, in.name, sizeof(in.name)) != NVML_SUCCESS)
		snprintf(in.name, sizeof(in.name), "MIG %ug", in.slices);
	m->instances[m->n++] = in;
}

/* The number of slices of the whole GPU, which is how many of the smallest instances it can have.
 */
static unsigned find_instances(struct nvml_mig *m)
{
	const struct nvml_api *api = m->reader.api;
	unsigned n_max = 0;
	nvml_device mig;

	if (JT__NVML(api, get_max_mig_count, m->reader.handle, &n_max) != NVML_SUCCESS)
		return 0;
	n_max = JT_MIN(n_max, MAX_SLICES);
	for (unsigned i = 0; i < n_max; i++)
		if (JT__NVML(api, get_mig_by_index, m->reader.handle, i, &mig) == NVML_SUCCESS)
			add_instance(m, mig);
	return n_max;
}

static int open_gpm(struct nvml_mig *m)
{
	struct nvml_reader *r = &m->reader;
	int status = JT_OK;

	m->uses_gpm = jt__nvml_gpm_is_supported(r->api, r->handle);
	for (size_t i = 0; i < m->n && m->uses_gpm && status == JT_OK; i++) {
		status = jt__nvml_gpm_open(r->api, r->handle, (int)m->instances[i].id,
		                           &m->instances[i].gpm);
		m->uses_gpm = m->instances[i].gpm != NULL;
	}
	return status;
}

int jt__nvml_mig_open(const struct nvml_reader *gpu, bool use_gpm, struct nvml_mig **ret_mig)
{
	unsigned slices[NVML_MAX_INSTANCES], total;
	struct nvml_mig *m;
	int status = JT_OK;

	*ret_mig = NULL;
	if (!(jt__nvml_reader_valid(gpu) & (JT_HAS_ENERGY | JT_HAS_POWER)))
		return JT_OK;
	m = jt__alloc(1, sizeof(*m));
	if (!m)
		return JT_ENOMEM;
	pthread_mutex_init(&m->lock, NULL);
	m->reader = *gpu;
	total = find_instances(m);
	for (size_t i = 0; i < m->n; i++) {
		slices[i] = m->instances[i].slices;
		m->instances[i].check_ns = jt__now_ns() + CHECK_NS;
	}
	jt__nvml_split_init(&m->split, total, slices, m->n);
	if (use_gpm && m->n)
		status = open_gpm(m);
	if (status == JT_OK && m->n) {
		*ret_mig = m;
		return JT_OK;
	}
	jt__nvml_mig_close(m);
	return status;
}

void jt__nvml_mig_close(struct nvml_mig *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		jt__nvml_gpm_close(m->instances[i].gpm);
	pthread_mutex_destroy(&m->lock);
	jt__free(m);
}

size_t jt__nvml_mig_count(const struct nvml_mig *m)
{
	return m ? m->n : 0;
}

/* -- describing -- */

static void describe_missing(const struct nvml_mig *m, char *text, size_t size)
{
	unsigned seen = 0;
	int at;

	for (size_t i = 0; i < m->n; i++)
		seen += m->split.slices[i];
	at = snprintf(text, size, "modelled: the GPU's energy by slices%s",
	              m->uses_gpm ? ", and by SM activity above its idle power"
	                          : " alone (Hopper and newer, try: metering.gpm)");
	if (seen < m->split.total && at > 0 && (size_t)at < size)
		snprintf(text + at, size - (size_t)at, "; %u of %u slices are nobody's here",
		         m->split.total - seen, m->split.total);
}

void jt__nvml_mig_describe(const struct nvml_mig *m, size_t i, unsigned index,
                           struct jt_domain *ret_domain)
{
	const struct jt_sensor *gpu = m->reader.sensor, *mig = jt_sensor_find("mig");
	const struct instance *in = &m->instances[i];
	struct jt_domain d = { .sensor = *mig };

	/* It moves as the GPU's does; what it is worth is another matter. */
	d.sensor.update_ns = gpu->update_ns;
	d.sensor.window_ns = gpu->window_ns;
	d.sensor.lag_ns = gpu->lag_ns;
	d.sensor.max_power_mw = gpu->max_power_mw;
	d.sensor.offset_mw = gpu->offset_mw * in->slices / m->split.total;
	d.sensor.gain_ppm =
		gpu->gain_ppm + jt__nvml_split_gain_ppm(in->slices, m->split.total,
	                                                m->uses_gpm ? mig->gain_ppm : 0);
	d.valid = jt__nvml_reader_valid(&m->reader) & (JT_HAS_ENERGY | JT_HAS_POWER);
	if (m->uses_gpm)
		d.valid |= NVML_GPM_VALID;
	snprintf(d.name, sizeof(d.name), "mig:%u:%u", index, in->id);
	snprintf(d.part_of, sizeof(d.part_of), "gpu:%u", index);
	snprintf(d.device, sizeof(d.device), "%.64s (%u of %u slices)", in->name, in->slices,
	         m->split.total);
	memcpy(d.uuid, in->uuid, sizeof(d.uuid));
	describe_missing(m, d.missing, sizeof(d.missing));
	*ret_domain = d;
}

/* -- reading -- */

static void read_activity(struct nvml_mig *m)
{
	m->has_activity = m->uses_gpm;
	for (size_t i = 0; i < m->n && m->uses_gpm; i++) {
		struct jt_sample s = { 0 };

		if (!m->split.slices[i]) {
			m->activity_ppm[i] = 0;
			continue;
		}
		jt__nvml_gpm_update(m->instances[i].gpm, m->reader.handle, m->whole.end_ns);
		jt__nvml_gpm_put(m->instances[i].gpm, &s);
		m->activity_ppm[i] = s.sm_activity_ppm;
		m->has_activity &= (s.valid & JT_HAS_SM_ACTIVITY) != 0;
	}
}

static const uint32_t *activity(const struct nvml_mig *m)
{
	return m->has_activity ? m->activity_ppm : NULL;
}

static void divide(struct nvml_mig *m)
{
	struct jt_sample *s = &m->whole;

	m->n_divisions++;
	*s = (struct jt_sample){ 0 };
	m->has_energy = false;
	if (jt__nvml_read(&m->reader, s) != JT_OK)
		return;
	read_activity(m);
	if (s->valid & JT_HAS_ENERGY)
		m->has_energy = jt__nvml_split_add(&m->split, s->energy_uj, s->end_ns, activity(m));
}

static void tell(const struct nvml_mig *m, size_t i, struct jt_sample *out)
{
	const struct jt_sample *s = &m->whole;

	out->status = s->status;
	if (s->status != JT_OK)
		return;
	out->begin_ns = s->begin_ns;
	out->end_ns = s->end_ns;
	if (m->has_energy) {
		out->energy_uj = jt__nvml_split_energy_uj(&m->split, i);
		out->valid |= JT_HAS_ENERGY;
	}
	if (s->valid & JT_HAS_POWER) {
		out->power_mw = jt__nvml_split_power_mw(&m->split, i, s->power_mw, activity(m));
		out->valid |= JT_HAS_POWER;
	}
	jt__nvml_gpm_put(m->instances[i].gpm, out);
}

static void look(struct nvml_mig *m, size_t i, uint64_t now_ns)
{
	struct instance *in = &m->instances[i];
	nvml_device mig;
	int nvml = JT__NVML(m->reader.api, get_by_uuid, in->uuid, &mig);
	bool is_gone = nvml == NVML_NOT_FOUND || nvml == NVML_INVALID_ARGUMENT;

	in->check_ns = now_ns + CHECK_NS;
	if (is_gone == in->is_gone || (nvml != NVML_SUCCESS && !is_gone))
		return;
	log_warn("MIG instance %u of %s is %s", in->id, m->reader.label, is_gone ? "gone" : "back");
	in->is_gone = is_gone;
	pthread_mutex_lock(&m->lock);
	m->split.slices[i] = is_gone ? 0 : in->slices;
	pthread_mutex_unlock(&m->lock);
}

int jt__nvml_mig_read(struct nvml_mig *m, size_t i, struct jt_sample *out)
{
	struct instance *in = &m->instances[i];
	uint64_t now_ns = jt__now_ns();

	if (now_ns >= in->check_ns)
		look(m, i, now_ns);
	out->status = JT_ELOST;
	if (in->is_gone)
		return out->status;
	pthread_mutex_lock(&m->lock);
	if (in->seen == m->n_divisions)
		divide(m);
	in->seen = m->n_divisions;
	tell(m, i, out);
	pthread_mutex_unlock(&m->lock);
	return out->status;
}
