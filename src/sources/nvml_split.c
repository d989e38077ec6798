/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "base/base.h"
#include "jouletap/record.h"
#include "sources/nvml_split.h"

#define FINE_BITS 32
/* The mean power that may be the idle one: long enough for a counter that moves each 100 ms. */
#define STRETCH_NS (2 * JT_NS_PER_S)

void jt__nvml_split_init(struct nvml_split *s, unsigned total, const unsigned *slices, size_t n)
{
	unsigned sum = 0;

	memset(s, 0, sizeof(*s));
	s->n = JT_MIN(n, (size_t)NVML_MAX_INSTANCES);
	for (size_t i = 0; i < s->n; i++) {
		s->slices[i] = slices[i];
		sum += slices[i];
	}
	s->total = JT_MAX(JT_MAX(total, sum), 1);
	s->idle_mw = JT_NONE;
}

static uint64_t active_weight(const struct nvml_split *s, size_t i, const uint32_t *activity_ppm)
{
	return activity_ppm ? (uint64_t)s->slices[i] * activity_ppm[i] : 0;
}

static uint64_t sum_active(const struct nvml_split *s, const uint32_t *activity_ppm)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += active_weight(s, i, activity_ppm);
	return sum;
}

/* @amount's part for instance @i: by activity if @active, their sum, is not 0. */
static nvml_fine share(const struct nvml_split *s, size_t i, nvml_fine amount, uint64_t active,
                       const uint32_t *activity_ppm)
{
	if (active)
		return amount * active_weight(s, i, activity_ppm) / active;
	return amount * s->slices[i] / s->total;
}

static void give(struct nvml_split *s, uint64_t uj, uint64_t active, const uint32_t *activity_ppm)
{
	nvml_fine amount = (nvml_fine)uj << FINE_BITS, rest = amount;

	for (size_t i = 0; i < s->n; i++) {
		nvml_fine part = share(s, i, amount, active, activity_ppm);

		s->part[i] += part;
		rest -= part;
	}
	s->nobody += rest;
	s->whole += amount;
}

/* From one movement of the counter to the next. */
static void learn_idle(struct nvml_split *s, uint64_t uj, uint64_t ns)
{
	uint64_t mw;

	s->stretch_uj += uj;
	s->stretch_ns += ns;
	if (s->stretch_ns < STRETCH_NS)
		return;
	mw = (uint64_t)((unsigned __int128)s->stretch_uj * 1000000 / s->stretch_ns);
	s->idle_mw = JT_MIN(s->idle_mw, mw);
	s->stretch_uj = s->stretch_ns = 0;
}

/* false: wait for the next reading. */
static bool follows(struct nvml_split *s, uint64_t counter_uj)
{
	bool is_suspect = s->is_suspect;

	s->is_suspect = counter_uj < s->counter_uj;
	if (!s->is_suspect)
		return true;
	if (!is_suspect || counter_uj < s->suspect_uj) {
		s->suspect_uj = counter_uj;
		return false;
	}
	memset(s->part, 0, sizeof(s->part));
	s->nobody = s->whole = 0;
	s->stretch_uj = s->stretch_ns = 0;
	s->counter_uj = s->suspect_uj;
	s->is_suspect = false;
	return true;
}

bool jt__nvml_split_add(struct nvml_split *s, uint64_t counter_uj, uint64_t t_ns,
                        const uint32_t *activity_ppm)
{
	uint64_t uj, ns, idle_uj;

	if (!s->has_counter) {
		s->has_counter = true;
		s->counter_uj = counter_uj;
		s->moved_ns = t_ns;
		return true;
	}
	if (!follows(s, counter_uj))
		return false;
	if (counter_uj == s->counter_uj || t_ns <= s->moved_ns)
		return true;
	uj = counter_uj - s->counter_uj;
	ns = t_ns - s->moved_ns;
	s->counter_uj = counter_uj;
	s->moved_ns = t_ns;
	learn_idle(s, uj, ns);
	idle_uj = (uint64_t)JT_MIN((unsigned __int128)s->idle_mw * ns / 1000000, uj);
	give(s, idle_uj, 0, NULL);
	give(s, uj - idle_uj, sum_active(s, activity_ppm), activity_ppm);
	return true;
}

uint64_t jt__nvml_split_energy_uj(const struct nvml_split *s, size_t i)
{
	return (uint64_t)(s->part[i] >> FINE_BITS);
}

uint32_t jt__nvml_split_power_mw(const struct nvml_split *s, size_t i, uint32_t power_mw,
                                 const uint32_t *activity_ppm)
{
	uint32_t idle_mw = (uint32_t)JT_MIN(s->idle_mw, power_mw);

	return (uint32_t)(share(s, i, idle_mw, 0, NULL) + share(s, i, power_mw - idle_mw,
	                                                        sum_active(s, activity_ppm),
	                                                        activity_ppm));
}

uint32_t jt__nvml_split_gain_ppm(unsigned slices, unsigned total, uint32_t model_ppm)
{
	if (slices >= total)
		return 0;
	return model_ppm ? model_ppm
	                 : JT_MAX(1000000, (total - slices) * 1000000 / JT_MAX(slices, 1));
}
