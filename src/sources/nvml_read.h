/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NVML_READ_H
#define JT_NVML_READ_H
/*
 * How the energy and power of one GPU, or of the module it sits on, are read: one field call for
 * all three figures, older calls where that fails, and the search for a GPU that is away. A reader
 * belongs to one thread at a time; two of the same GPU know nothing of each other.
 */
#include <stdbool.h>
#include "jouletap/record.h"
#include "jouletap/timeline.h"
#include "sources/nvml_api.h"

enum nvml_figure { NVML_INSTANT, NVML_AVERAGE, NVML_ENERGY, NVML_N_FIGURES };

/* How a figure is asked for. */
enum nvml_route { NVML_BY_NOTHING, NVML_BY_FIELD, NVML_BY_CALL };

/* The caller fills the first five. */
struct nvml_reader {
	const struct nvml_api *api;
	nvml_device handle;
	char uuid[96];
	char label[32]; /* in messages */
	uint32_t scope; /* NVML_SCOPE_* */
	const struct jt_sensor *sensor;
	enum nvml_route routes[NVML_N_FIGURES];
	bool lost;
	uint64_t retry_ns;
};

/*
 * Decides how each figure is read. An NVML code: NVML_SUCCESS also where none can be; a GPU that is
 * away is looked for by the readings to come.
 */
int jt__nvml_reader_open(struct nvml_reader *r);

/* JT_HAS_* of the figures that can be read. */
uint32_t jt__nvml_reader_valid(const struct nvml_reader *r);

/*
 * One reading: the figures, their times and the status, which is returned. A GPU that is away is
 * looked up by its UUID, at most twice a second.
 */
int jt__nvml_read(struct nvml_reader *r, struct jt_sample *out);

/* Whether the driver tells figures of the module that this GPU is part of. */
bool jt__nvml_has_module(const struct nvml_api *api, nvml_device dev);

#endif
