/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_AMDGPU_H
#define JT_AMDGPU_H
/*
 * What stands behind amdgpu.c: the driver's table of metrics (gpu_metrics.c) and AMD's management
 * libraries (rocm.c). The first is pure; the second may be called from any thread.
 */
#include "base/base.h"

#define GPU_METRICS_MAX 4096 /* a page is the most that sysfs shows at once */

enum gpu_metrics_energy {
	GPU_ENERGY_TOLD,
	GPU_ENERGY_NOT_TOLD, /* this kind of GPU has no accumulator, or none with a unit we know */
	GPU_ENERGY_UNKNOWN,  /* a table that we do not know */
};

struct gpu_metrics {
	bool apu; /* the table is that of a package with CPU and GPU */
	enum gpu_metrics_energy has_energy;
	uint64_t energy_uj;
};

/* @n bytes of the file gpu_metrics. JT_EIO: that is no such table, or half of one. */
int jt__gpu_metrics_parse(const void *bytes, size_t n, struct gpu_metrics *ret_metrics);

/* 2^-16 J, the unit of the accumulator, in µJ: @count × 15.2587890625. */
uint64_t jt__gpu_energy_uj(uint64_t count);

struct jt_rocm; /* opaque: librocm_smi64 or libamd_smi, loaded */

/*
 * @path, or NULL for where it usually is. JT_ENOENT: no library; JT_ENOTSUP: not this library, or
 * it does not start; JT_ENOMEM.
 */
int jt__rocm_open(const char *path, struct jt_rocm **ret_rocm, struct jt_error *err);
void jt__rocm_close(struct jt_rocm *r); /* accepts NULL */

/* Of the GPU at PCI address @slot ("0000:43:00.0") what the library calls it. JT_ENOENT. */
int jt__rocm_find(struct jt_rocm *r, const char *slot, uint64_t *ret_device);
/* JT_ENOTSUP: the GPU has no accumulator; JT_EIO. */
int jt__rocm_energy(struct jt_rocm *r, uint64_t device, uint64_t *ret_uj);

#endif
