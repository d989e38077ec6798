/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NVML_MIG_H
#define JT_NVML_MIG_H
/*
 * The MIG instances of one GPU. They are looked for when it is opened and never again: that is
 * slow. Each has its own reading thread; what they share is inside.
 */
#include "sources/nvml_read.h"
#include "jouletap/source.h"

struct nvml_mig; /* opaque */

/*
 * JT_OK with NULL in *ret_mig if there is no instance, or nothing to divide. @gpu is copied.
 * @use_gpm: divide by activity where the GPU tells it. JT_ENOMEM.
 */
int jt__nvml_mig_open(const struct nvml_reader *gpu, bool use_gpm, struct nvml_mig **ret_mig);
void jt__nvml_mig_close(struct nvml_mig *m);         /* accepts NULL */
size_t jt__nvml_mig_count(const struct nvml_mig *m); /* 0 for NULL */

/* All but the name of the GPU that it is part of. @index: the GPU's. */
void jt__nvml_mig_describe(const struct nvml_mig *m, size_t i, unsigned index,
                           struct jt_domain *ret_domain);

/* As struct jt_source_ops has it. Each instance from one thread at a time. */
int jt__nvml_mig_read(struct nvml_mig *m, size_t i, struct jt_sample *out);

#endif
