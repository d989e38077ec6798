/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NVML_SPLIT_H
#define JT_NVML_SPLIT_H
/*
 * The model that divides a GPU's energy over its MIG instances, since no hardware does. What the
 * GPU draws with nothing to do goes by slices; what is above that goes by slices times activity
 * where the activity of every instance is known, else by slices too. Slices that are nobody's keep
 * their share for nobody. The parts and nobody's are the whole, exactly: all are counted in 2^-32
 * µJ, and what a division leaves over is nobody's. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NVML_MAX_INSTANCES 16 /* 7 is the most there are */

typedef unsigned __int128 nvml_fine; /* 2^-32 µJ */

struct nvml_split {
	unsigned total; /* slices of the GPU */
	size_t n;
	unsigned slices[NVML_MAX_INSTANCES];               /* 0 for an instance that is gone */
	nvml_fine part[NVML_MAX_INSTANCES], nobody, whole; /* since the beginning */

	bool has_counter, is_suspect;
	uint64_t counter_uj, suspect_uj;
	uint64_t moved_ns; /* when it last did */

	uint64_t idle_mw; /* the lowest power seen; JT_NONE: not yet known */
	uint64_t stretch_uj, stretch_ns;
};

/* @n is at most NVML_MAX_INSTANCES. */
void jt__nvml_split_init(struct nvml_split *s, unsigned total, const unsigned *slices, size_t n);

/*
 * The GPU's counter as read at @t_ns. @activity_ppm: of each instance, or NULL where that of one is
 * unknown. false: the counter went back, and only the next reading can tell whether it began again,
 * in which case all parts begin again with it.
 */
bool jt__nvml_split_add(struct nvml_split *s, uint64_t counter_uj, uint64_t t_ns,
                        const uint32_t *activity_ppm);

/* Of instance @i, since the beginning: rises with the counter, from 0. */
uint64_t jt__nvml_split_energy_uj(const struct nvml_split *s, size_t i);

/* Its part of the GPU's power. */
uint32_t jt__nvml_split_power_mw(const struct nvml_split *s, size_t i, uint32_t power_mw,
                                 const uint32_t *activity_ppm);

/*
 * How far off an instance's figure may be, beside what the GPU's own may be. @model_ppm: the error
 * of a split by activity; 0: by slices alone, where an instance that works beside idle ones is
 * given what its size is and one that idles too, so that upwards the whole is the limit and
 * downwards nothing. One that has all slices is the GPU.
 */
uint32_t jt__nvml_split_gain_ppm(unsigned slices, unsigned total, uint32_t model_ppm);

#endif
