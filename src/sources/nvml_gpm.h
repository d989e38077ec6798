/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NVML_GPM_H
#define JT_NVML_GPM_H
/*
 * NVIDIA's GPU performance monitoring (Hopper and newer): how busy multiprocessors, tensor cores
 * and memory were between two samples. Of a whole GPU or of one MIG instance. Belongs to one thread
 * at a time.
 */
#include <stdbool.h>
#include "jouletap/record.h"
#include "sources/nvml_api.h"

#define NVML_GPM_WHOLE (-1) /* instead of the id of a GPU instance */
#define NVML_GPM_VALID (JT_HAS_SM_ACTIVITY | JT_HAS_TENSOR_ACTIVITY | JT_HAS_DRAM_ACTIVITY)

struct nvml_gpm; /* opaque */

bool jt__nvml_gpm_is_supported(const struct nvml_api *api, nvml_device gpu);

/*
 * Takes the first sample. @instance: id of the GPU instance, or NVML_GPM_WHOLE. JT_ENOMEM; else
 * JT_OK, with NULL in *ret_gpm where the driver refuses.
 */
int jt__nvml_gpm_open(const struct nvml_api *api, nvml_device gpu, int instance,
                      struct nvml_gpm **ret_gpm);
void jt__nvml_gpm_close(struct nvml_gpm *g); /* accepts NULL */

/* Renews what is known, if it is time to; does not allocate. */
void jt__nvml_gpm_update(struct nvml_gpm *g, nvml_device gpu, uint64_t now_ns);

/* What is known goes into @out, valid bits included; @g may be NULL. */
void jt__nvml_gpm_put(const struct nvml_gpm *g, struct jt_sample *out);

#endif
