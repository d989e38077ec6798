/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hwmon: what the kernel's hardware monitoring shows of power and energy
 *
 * What it measures, and how it is called:
 *
 *   ACPI power meters    "node:N", the machine as a whole; on NVIDIA Grace "module:N" (CPU, GPU and
 *                        memory), in it "grace:N", and in that "cpu:N" and "sysio:N"
 *   Jetson's INA3221     "board:0" (VDD_IN), and in it the rails, "rail:VDD_CPU_GPU_CV" …
 *   Intel GPUs           "gpu:N" by the order of PCI addresses, from the drivers i915 and xe
 *
 * What is inside of something else says so (part_of): it is never added to it.
 *
 * Permissions: none, the files are for everybody. ACPI meters need the kernel module
 * acpi_power_meter, in a container /sys has to be there.
 *
 * Accuracy: an Intel GPU counts energy. The others tell power, whose integral is "derived": the
 * ACPI meter the mean over its interval, which it tells and which is its sensor's window; the
 * INA3221 the product of a voltage and a current that it looks at a third of the time.
 *
 * An ACPI meter that shows 0 W does not know; a rail may well draw nothing, and a current that is
 * negative within its noise is 0.
 */
#include <string.h>
#include <unistd.h>
#include "sources/hwmon.h"
#include "sources/source.h"

static void close_meter(const struct hwmon_meter *m)
{
	close(m->fd);
	if (m->fd_ma >= 0)
		close(m->fd_ma);
}

static void hwmon_close(void *state)
{
	struct hwmon *h = state;

	for (size_t i = 0; h && i < h->n; i++)
		close_meter(&h->meters[i]);
	jt__free(h);
}

/* Leaves the GPUs of @mask; 0 is all. */
static void select_gpus(struct hwmon *h, uint64_t mask)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n; i++) {
		uint64_t gpu = 0;
		bool is_gpu = strncmp(h->meters[i].info.name, "gpu:", 4) == 0 &&
		              jt__parse_u64(h->meters[i].info.name + 4, &gpu);

		if (mask && is_gpu && (gpu >= 64 || !(mask >> gpu & 1)))
			close_meter(&h->meters[i]);
		else
			h->meters[n++] = h->meters[i];
	}
	h->n = n;
}

static int explain_denied(const struct hwmon *h, struct jt_error *err)
{
	return jt__fail(err, JT_EPERM, "hwmon",
	                "no permission to read '%s' (try: a udev rule, SUBSYSTEM==\"hwmon\", "
	                "RUN+=\"/bin/chmod a+r /sys%%p/%s\")",
	                h->denied, strrchr(h->denied, '/') + 1);
}

static int hwmon_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	struct hwmon *h = jt__alloc(1, sizeof(*h));
	char hint[96];
	int status;

	if (!h)
		return jt__fail(err, JT_ENOMEM, "hwmon", "cannot allocate state");
	h->root = jt__sysfs_root(o->root);
	jt__hwmon_find(h);
	select_gpus(h, o->gpu_mask);
	if (h->n) {
		*ret_state = h;
		return JT_OK;
	}
	status = h->denied[0] ? explain_denied(h, err)
	                      : jt__fail(err, JT_ENOENT, "hwmon",
	                                 "no ACPI power meter, INA3221 or Intel GPU below "
	                                 "/sys/class/hwmon (%s; few machines have one)",
	                                 jt__module_hint(h->root, "acpi_power_meter", hint));
	hwmon_close(h);
	return status;
}

static size_t hwmon_count(const void *state)
{
	return ((const struct hwmon *)state)->n;
}

static void hwmon_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	*ret_domain = ((const struct hwmon *)state)->meters[i].info;
}

static int hwmon_partial(const void *state, struct jt_error *err)
{
	const struct hwmon *h = state;

	return h->denied[0] ? explain_denied(h, err) : JT_OK;
}

static int put_power(struct jt_sample *out, uint64_t mw, uint32_t bit)
{
	if (mw > UINT32_MAX)
		return JT_EIO;
	if (bit == JT_HAS_POWER)
		out->power_mw = (uint32_t)mw;
	else
		out->power_avg_mw = (uint32_t)mw;
	out->valid = bit;
	return JT_OK;
}

static int read_product(const struct hwmon_meter *m, struct jt_sample *out)
{
	int64_t ma;
	uint64_t mv;
	int status = jt__reread_number(m->fd, &mv);

	if (status == JT_OK)
		status = jt__reread_signed(m->fd_ma, &ma);
	if (status < 0)
		return status;
	if (mv > UINT32_MAX || ma > UINT32_MAX)
		return JT_EIO;
	return put_power(out, mv * (uint64_t)JT_MAX(ma, 0) / 1000, JT_HAS_POWER);
}

static int read_meter(const struct hwmon_meter *m, struct jt_sample *out)
{
	uint64_t value;
	int status;

	if (m->unit == HWMON_MV_MA)
		return read_product(m, out);
	status = jt__reread_number(m->fd, &value);
	if (status < 0)
		return status;
	if (m->unit == HWMON_MW)
		return put_power(out, value, JT_HAS_POWER);
	if (m->unit == HWMON_UW)
		return value ? put_power(out, value / 1000, JT_HAS_POWER_AVG) : JT_EIO;
	out->energy_uj = value;
	out->valid = JT_HAS_ENERGY;
	return JT_OK;
}

static int hwmon_read(void *state, size_t i, struct jt_sample *out)
{
	out->status = read_meter(&((struct hwmon *)state)->meters[i], out);
	return out->status;
}

const struct jt_source_ops jt__source_hwmon = {
	.name = "hwmon",
	.what = "machines, modules, rails and Intel GPUs through the kernel's hardware monitoring",
	.open = hwmon_open,
	.count = hwmon_count,
	.describe = hwmon_describe,
	.read = hwmon_read,
	.close = hwmon_close,
	.partial = hwmon_partial,
};
