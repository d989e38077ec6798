/* SPDX-License-Identifier: Apache-2.0 */
/*
 * amdgpu: AMD GPUs, through the files of their kernel driver
 *
 * What it measures: "gpu:N", in the order of PCI addresses: power; cumulative energy on Instinct
 * MI200 and newer; temperature, shader and memory clock and the power limit beside them. An APU is
 * "apu:N" and tells the power of its whole package, CPU included.
 *
 * Permissions: none, the files are for everybody. In a container /sys has to be there.
 *
 * Accuracy: the accumulator of the file gpu_metrics counts energy (gpu_metrics.c says on which
 * GPUs); where that file is missing or of a revision we do not know, AMD's library is asked
 * instead, if there is one (rocm.c). Without a counter energy is integrated power and "derived";
 * Radeon boards before RX 7000 tell that of the chip, not of the board. Of an MI250 the first die
 * tells for the package, the second tells nothing and is left out. An MI300A's figures include its
 * CPU cores.
 *
 * Config: metering.rocm_library names AMD's library, where it is not in its usual place.
 *
 * 0 W or 0 J is what the driver shows when it does not know. What moves slowly is read at most
 * twice a second and repeated in between.
 */
#define LOG_MODULE "amdgpu"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/log.h"
#include "sources/amdgpu.h"
#include "sources/source.h"
#include "sources/sysfs.h"

#define DRM "/sys/class/drm"
#define PCI "/sys/bus/pci/devices"
#define VENDOR "0x1002"
#define MAX_GPUS 64 /* bits of gpu_mask */
#define SLOW_NS (500 * JT_NS_PER_MS)

enum { POWER, POWER_AVERAGE, TEMPERATURE, SHADER_CLOCK, MEMORY_CLOCK, LIMIT, N_FILES };

/* What each of the hwmon files is divided by. */
static const struct {
	const char *name;
	uint32_t valid;
	uint32_t unit;
} files[N_FILES] = {
	[POWER] = { "power1_input", JT_HAS_POWER, 1000 },
	[POWER_AVERAGE] = { "power1_average", JT_HAS_POWER_AVG, 1000 },
	[TEMPERATURE] = { "temp1_input", JT_HAS_TEMPERATURE, 1 },
	[SHADER_CLOCK] = { "freq1_input", JT_HAS_SM_CLOCK, 1000000 },
	[MEMORY_CLOCK] = { "freq2_input", JT_HAS_MEM_CLOCK, 1000000 },
	[LIMIT] = { "power1_cap", JT_HAS_LIMIT, 1000 },
};

enum counter { NO_COUNTER, COUNTER_TABLE, COUNTER_LIBRARY };

struct gpu {
	unsigned card;
	bool apu;
	enum counter counter;
	int fds[N_FILES]; /* -1: not there */
	int metrics_fd;
	uint64_t device; /* of COUNTER_LIBRARY */
	uint64_t slow_ns;
	struct jt_sample slow;
	char slot[24]; /* PCI address */
	char name[32];
	char uuid[64];
	char product[64];
};

struct amdgpu {
	const char *root;
	struct jt_rocm *rocm;
	size_t n;
	char left_out[96]; /* a GPU that is of no use, and why; "" if none */
	char denied[96];   /* a file that is there, but not for us; "" if none */
	struct gpu gpus[];
};

/* -- reading -- */

static int read_counter(struct jt_rocm *rocm, const struct gpu *g, uint64_t *ret_uj)
{
	unsigned char table[GPU_METRICS_MAX];
	struct gpu_metrics m;
	ssize_t n;
	int status;

	if (g->counter == COUNTER_LIBRARY)
		return jt__rocm_energy(rocm, g->device, ret_uj);
	n = pread(g->metrics_fd, table, sizeof(table), 0);
	if (n < 0)
		return errno == EPERM || errno == ENODEV ? JT_ELOST : JT_EIO;
	status = jt__gpu_metrics_parse(table, (size_t)n, &m);
	if (status < 0)
		return status;
	if (m.has_energy != GPU_ENERGY_TOLD)
		return JT_ENOTSUP;
	*ret_uj = m.energy_uj;
	return JT_OK;
}

/* The file's figure in our unit; JT_ENOTSUP for a power of 0. */
static int read_file(const struct gpu *g, int file, uint32_t *ret_value)
{
	uint64_t value;
	int status = g->fds[file] < 0 ? JT_ENOTSUP : jt__reread_number(g->fds[file], &value);

	if (status < 0)
		return status;
	value /= files[file].unit;
	if (value > INT32_MAX)
		return JT_EIO;
	if (!value && files[file].valid & (JT_HAS_POWER | JT_HAS_POWER_AVG | JT_HAS_LIMIT))
		return JT_ENOTSUP;
	*ret_value = (uint32_t)value;
	return JT_OK;
}

static void read_slow(struct gpu *g, uint64_t now_ns)
{
	struct jt_sample s = { 0 };
	uint32_t values[N_FILES] = { 0 };

	for (int i = TEMPERATURE; i < N_FILES; i++)
		if (read_file(g, i, &values[i]) == JT_OK)
			s.valid |= files[i].valid;
	s.temperature_mc = (int32_t)values[TEMPERATURE];
	s.sm_clock_mhz = values[SHADER_CLOCK];
	s.mem_clock_mhz = values[MEMORY_CLOCK];
	s.limit_mw = values[LIMIT];
	g->slow = s;
	g->slow_ns = now_ns + SLOW_NS;
}

/* Energy and power; a figure that fails is left out, and the first that failed is the status. */
static int read_figures(struct jt_rocm *rocm, const struct gpu *g, struct jt_sample *out)
{
	int worst = JT_OK, status;
	uint32_t *const powers[] = { &out->power_mw, &out->power_avg_mw };

	if (g->counter != NO_COUNTER) {
		status = read_counter(rocm, g, &out->energy_uj);
		if (status == JT_OK)
			out->valid |= JT_HAS_ENERGY;
		worst = status;
	}
	for (int i = POWER; i <= POWER_AVERAGE; i++) {
		if (g->fds[i] < 0)
			continue;
		status = read_file(g, i, powers[i]);
		if (status == JT_OK)
			out->valid |= files[i].valid;
		else if (worst == JT_OK)
			worst = status;
	}
	return out->valid ? JT_OK : worst;
}

static int amdgpu_read(void *state, size_t i, struct jt_sample *out)
{
	struct amdgpu *a = state;
	struct gpu *g = &a->gpus[i];

	out->begin_ns = jt__now_ns();
	out->status = read_figures(a->rocm, g, out);
	out->end_ns = jt__now_ns();
	if (out->status < 0)
		return out->status;
	if (out->end_ns >= g->slow_ns)
		read_slow(g, out->end_ns);
	out->valid |= g->slow.valid;
	out->temperature_mc = g->slow.temperature_mc;
	out->sm_clock_mhz = g->slow.sm_clock_mhz;
	out->mem_clock_mhz = g->slow.mem_clock_mhz;
	out->limit_mw = g->slow.limit_mw;
	return JT_OK;
}

/* -- finding -- */

static void leave_out(struct amdgpu *a, const struct gpu *g, const char *why)
{
	snprintf(a->left_out, sizeof(a->left_out), "%s %.60s", g->slot, why);
	log_warn("GPU at %s is left out: it %s", g->slot, why);
}

static void close_gpu(const struct gpu *g)
{
	for (int i = 0; i < N_FILES; i++)
		if (g->fds[i] >= 0)
			close(g->fds[i]);
	if (g->metrics_fd >= 0)
		close(g->metrics_fd);
}

static void amdgpu_close(void *state)
{
	struct amdgpu *a = state;

	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		close_gpu(&a->gpus[i]);
	jt__rocm_close(a->rocm);
	jt__free(a);
}

static int open_named(struct amdgpu *a, const char *path)
{
	int fd = jt__open_file(a->root, path);

	if (fd < 0 && errno == EACCES)
		snprintf(a->denied, sizeof(a->denied), "%.95s", path);
	return fd;
}

static void open_files(struct amdgpu *a, struct gpu *g)
{
	char path[JT_SYSFS_PATH], dir[96], label[16];
	unsigned number;
	uint32_t value;

	snprintf(path, sizeof(path), DRM "/card%u/device/gpu_metrics", g->card);
	g->metrics_fd = open_named(a, path);
	for (int i = 0; i < N_FILES; i++)
		g->fds[i] = -1;
	snprintf(dir, sizeof(dir), DRM "/card%u/device/hwmon", g->card);
	if (!jt__list_numbered(a->root, dir, "hwmon", &number, 1))
		return;
	for (int i = 0; i < N_FILES; i++) {
		snprintf(path, sizeof(path), "%s/hwmon%u/%s", dir, number, files[i].name);
		g->fds[i] = open_named(a, path);
		/* one that sleeps may yet tell */
		if (g->fds[i] >= 0 && read_file(g, i, &value) == JT_ENOTSUP) {
			close(g->fds[i]);
			g->fds[i] = -1;
		}
	}
	/* the supply of the north bridge is an APU's */
	snprintf(path, sizeof(path), "%s/hwmon%u/in1_label", dir, number);
	g->apu = jt__read_text(a->root, path, label, sizeof(label)) == 0 &&
	         strcmp(label, "vddnb") == 0;
}

/* The library is loaded for the first GPU that needs it. Another root is another machine. */
static bool find_in_library(struct amdgpu *a, struct gpu *g)
{
	uint64_t uj;

	if (!a->rocm && (a->root[0] || jt__rocm_open(NULL, &a->rocm, NULL) < 0))
		return false;
	return jt__rocm_find(a->rocm, g->slot, &g->device) == JT_OK &&
	       jt__rocm_energy(a->rocm, g->device, &uj) == JT_OK;
}

static void choose_counter(struct amdgpu *a, struct gpu *g)
{
	struct gpu_metrics m = { .has_energy = GPU_ENERGY_UNKNOWN };
	unsigned char table[GPU_METRICS_MAX];
	ssize_t n = g->metrics_fd < 0 ? -1 : pread(g->metrics_fd, table, sizeof(table), 0);

	if (n >= 0)
		jt__gpu_metrics_parse(table, (size_t)n, &m);
	g->apu |= m.apu;
	if (m.has_energy == GPU_ENERGY_TOLD)
		g->counter = COUNTER_TABLE;
	else if (m.has_energy == GPU_ENERGY_UNKNOWN && !g->apu && find_in_library(a, g))
		g->counter = COUNTER_LIBRARY;
}

static void identify(const char *root, struct gpu *g)
{
	char path[JT_SYSFS_PATH], id[16] = "";

	snprintf(path, sizeof(path), DRM "/card%u/device/unique_id", g->card);
	jt__read_text(root, path, g->uuid, sizeof(g->uuid));
	snprintf(path, sizeof(path), DRM "/card%u/device/product_name", g->card);
	if (jt__read_text(root, path, g->product, sizeof(g->product)) == 0 && g->product[0])
		return;
	snprintf(path, sizeof(path), DRM "/card%u/device/uevent", g->card);
	jt__read_uevent(root, path, "PCI_ID", id, sizeof(id));
	snprintf(g->product, sizeof(g->product), "AMD %s %s", g->apu ? "APU" : "GPU", id);
}

/* false if the GPU is of no use. */
static bool open_gpu(struct amdgpu *a, struct gpu *g)
{
	open_files(a, g);
	choose_counter(a, g);
	identify(a->root, g);
	if (g->counter != NO_COUNTER || g->fds[POWER] >= 0 || g->fds[POWER_AVERAGE] >= 0)
		return true;
	close_gpu(g);
	return false;
}

static int by_slot(const void *x, const void *y)
{
	return strcmp(((const struct gpu *)x)->slot, ((const struct gpu *)y)->slot);
}

/* The cards of AMD, by address; @gpus has room for MAX_GPUS. */
static size_t list_gpus(const char *root, struct gpu *gpus)
{
	unsigned cards[MAX_GPUS];
	size_t n_cards = jt__list_numbered(root, DRM, "card", cards, MAX_GPUS), n = 0;
	char path[JT_SYSFS_PATH], vendor[16];

	for (size_t i = 0; i < n_cards; i++) {
		struct gpu g = { .card = cards[i] };

		snprintf(path, sizeof(path), DRM "/card%u/device/vendor", g.card);
		if (jt__read_text(root, path, vendor, sizeof(vendor)) != 0 ||
		    strcmp(vendor, VENDOR) != 0)
			continue;
		snprintf(path, sizeof(path), DRM "/card%u/device/uevent", g.card);
		if (!jt__read_uevent(root, path, "PCI_SLOT_NAME", g.slot, sizeof(g.slot)))
			snprintf(g.slot, sizeof(g.slot), "card%u", g.card);
		gpus[n++] = g;
	}
	qsort(gpus, n, sizeof(gpus[0]), by_slot);
	return n;
}

/* Numbers stay with a GPU whether or not its neighbours are of use. */
static void open_gpus(struct amdgpu *a, size_t n, uint64_t mask)
{
	unsigned n_gpus = 0, n_apus = 0;

	for (size_t i = 0; i < n; i++) {
		struct gpu g = a->gpus[i];
		bool useful = open_gpu(a, &g);
		unsigned number = g.apu ? n_apus++ : n_gpus++;

		if (!useful) {
			leave_out(a, &g, "tells neither power nor energy (an MI250's second die?)");
			continue;
		}
		if (mask && !g.apu && !(mask >> number & 1)) {
			close_gpu(&g);
			continue;
		}
		snprintf(g.name, sizeof(g.name), "%s:%u", g.apu ? "apu" : "gpu", number);
		a->gpus[a->n++] = g;
	}
}

/* The address of a PCI device of AMD's that is a display or an accelerator and has no driver. */
static bool find_idle_device(const char *root, char slot[24])
{
	char path[JT_SYSFS_PATH], text[16];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "%s" PCI, root);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), PCI "/%.23s/vendor", entry->d_name);
		if (jt__read_text(root, path, text, sizeof(text)) != 0 || strcmp(text, VENDOR) != 0)
			continue;
		snprintf(path, sizeof(path), PCI "/%.23s/class", entry->d_name);
		found = jt__read_text(root, path, text, sizeof(text)) == 0 &&
		        (strncmp(text, "0x03", 4) == 0 || strncmp(text, "0x12", 4) == 0);
		if (found)
			snprintf(slot, 24, "%.23s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* JT_OK: every GPU told what it has. */
static int explain_partial(const struct amdgpu *a, struct jt_error *err)
{
	if (a->denied[0])
		return jt__fail(err, JT_EPERM, "amdgpu",
		                "no permission to read '%s' (try: chmod a+r, by a udev rule)",
		                a->denied);
	if (a->left_out[0])
		return jt__fail(err, JT_ENOTSUP, "amdgpu", "the GPU at %s", a->left_out);
	return JT_OK;
}

static int explain(const struct amdgpu *a, size_t n, struct jt_error *err)
{
	int status = explain_partial(a, err);
	char slot[24], hint[96];

	if (status < 0)
		return status;
	if (n)
		return jt__fail(err, JT_ENOENT, "amdgpu",
		                "none of the %zu GPUs here is selected by index", n);
	if (find_idle_device(a->root, slot))
		return jt__fail(err, JT_ENOTSUP, "amdgpu", "the GPU at %s has no driver (%s)", slot,
		                jt__module_hint(a->root, "amdgpu", hint));
	return jt__fail(err, JT_ENOENT, "amdgpu", "no AMD GPU below " DRM);
}

static int amdgpu_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	struct amdgpu *a = jt__alloc(1, sizeof(*a) + MAX_GPUS * sizeof(a->gpus[0]));
	int status = JT_OK;
	size_t n;

	if (!a)
		return jt__fail(err, JT_ENOMEM, "amdgpu", "cannot allocate state");
	a->root = jt__sysfs_root(o->root);
	if (o->rocm_library)
		status = jt__rocm_open(o->rocm_library, &a->rocm, err);
	if (status < 0)
		goto out;
	n = list_gpus(a->root, a->gpus);
	open_gpus(a, n, o->gpu_mask);
	if (!a->n) {
		status = explain(a, n, err);
		goto out;
	}
	*ret_state = a;
	return JT_OK;
out:
	amdgpu_close(a);
	return status;
}

/* -- telling -- */

static size_t amdgpu_count(const void *state)
{
	return ((const struct amdgpu *)state)->n;
}

static void amdgpu_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	const struct gpu *g = &((const struct amdgpu *)state)->gpus[i];
	bool counts = g->counter != NO_COUNTER;
	struct jt_domain d = { .source = "amdgpu",
		               .sensor = *jt_sensor_find(counts ? "instinct" : "radeon"),
		               .valid = counts ? JT_HAS_ENERGY : 0 };

	strcpy(d.name, g->name);
	strcpy(d.uuid, g->uuid);
	snprintf(d.device, sizeof(d.device), "%s (%s)", g->product, g->slot);
	for (int f = 0; f < N_FILES; f++)
		if (g->fds[f] >= 0)
			d.valid |= files[f].valid;
	if (g->apu)
		strcpy(d.missing, "no energy counter: energy is integrated power, that of the "
		                  "whole package with its CPU");
	else if (!counts)
		strcpy(d.missing, "no energy counter that says its unit: energy is integrated "
		                  "power");
	else if (g->fds[POWER] < 0 && g->fds[POWER_AVERAGE] < 0)
		strcpy(d.missing, "no power reading: the counter alone gives the shape");
	*ret_domain = d;
}

static int amdgpu_partial(const void *state, struct jt_error *err)
{
	return explain_partial(state, err);
}

const struct jt_source_ops jt__source_amdgpu = {
	.name = "amdgpu",
	.what = "AMD GPUs through the files of their kernel driver",
	.open = amdgpu_open,
	.count = amdgpu_count,
	.describe = amdgpu_describe,
	.read = amdgpu_read,
	.close = amdgpu_close,
	.partial = amdgpu_partial,
};
