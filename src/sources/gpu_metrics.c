/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table that amdgpu's firmware fills, as the file gpu_metrics shows it. Layouts: Linux,
 * drivers/gpu/drm/amd/include/kgd_pp_interface.h. Only the energy accumulator is taken from it.
 *
 * From revision 1.4 on (MI300) the unit is stated, 2^-16 J. Revisions 1.2 and 1.3 are shared by the
 * MI200, whose counter has the same unit and 64 bits, and by Radeon boards, whose counter has 32
 * bits, no documented unit, and stands still with newer firmware. Of these only the MI200's
 * firmware gives a timestamp; without one the counter is left alone. Revisions 2 and 3 are those of
 * APUs, which count no energy.
 *
 * From revision 1.9 on the table describes itself: a count, then a word that says which figure,
 * type and how many follow, and the figures, without padding.
 */
#include <string.h>
#include "sources/amdgpu.h"

#define NOT_TOLD_64 UINT64_MAX
#define NOT_TOLD_32 UINT32_MAX /* in 64 bits too: some firmwares say so */
#define TIMESTAMP_OFFSET 96    /* of the firmware's timestamp in 1.2 and 1.3 */
#define ENERGY_ATTRIBUTE 7     /* AMDGPU_METRICS_ATTR_ID_ENERGY_ACCUMULATOR */
#define U64_TYPE 6             /* AMDGPU_METRICS_TYPE_U64; types come in pairs of one size */
#define MAX_TYPE 7

struct table {
	const unsigned char *bytes;
	size_t n;
};

uint64_t jt__gpu_energy_uj(uint64_t count)
{
	return (uint64_t)((unsigned __int128)count * 15625 / 1024);
}

/* The machine's own byte order, as the driver writes it. */
static bool get(const struct table *t, size_t offset, void *ret, size_t size)
{
	if (offset > t->n || size > t->n - offset)
		return false;
	memcpy(ret, t->bytes + offset, size);
	return true;
}

/* Of the accumulator in revision 1.@content; 0: there is none, or none that is of use. */
static size_t energy_offset(uint8_t content)
{
	static const size_t offsets[] = {
		[2] = 24, [3] = 24, [4] = 24, [5] = 88, [6] = 16, [7] = 24, [8] = 24
	};

	return content < JT_ARRAY_LEN(offsets) ? offsets[content] : 0;
}

static int put_energy(uint64_t count, struct gpu_metrics *m)
{
	m->has_energy = count == NOT_TOLD_64 || count == NOT_TOLD_32 || !count ? GPU_ENERGY_NOT_TOLD
	                                                                       : GPU_ENERGY_TOLD;
	m->energy_uj = jt__gpu_energy_uj(count);
	return JT_OK;
}

static int read_fixed(const struct table *t, uint8_t content, struct gpu_metrics *m)
{
	size_t offset = energy_offset(content);
	uint64_t count, timestamp;

	m->has_energy = GPU_ENERGY_NOT_TOLD;
	if (!offset)
		return JT_OK;
	if (!get(t, offset, &count, sizeof(count)))
		return JT_EIO;
	if (content <= 3) {
		if (!get(t, TIMESTAMP_OFFSET, &timestamp, sizeof(timestamp)))
			return JT_EIO;
		if (!timestamp || timestamp == NOT_TOLD_64)
			return JT_OK;
	}
	return put_energy(count, m);
}

static int read_described(const struct table *t, struct gpu_metrics *m)
{
	size_t at = 8;
	uint32_t n;

	m->has_energy = GPU_ENERGY_NOT_TOLD;
	if (!get(t, 4, &n, sizeof(n)))
		return JT_EIO;
	for (; n > 0; n--) {
		uint64_t word, count, type, values;

		if (!get(t, at, &word, sizeof(word)))
			return JT_EIO;
		at += sizeof(word);
		type = word >> 20 & 0xf;
		values = JT_MAX(word & 0x3ff, 1);
		if (type > MAX_TYPE)
			return JT_EIO;
		if ((word >> 10 & 0x3ff) == ENERGY_ATTRIBUTE && type == U64_TYPE)
			return get(t, at, &count, sizeof(count)) ? put_energy(count, m) : JT_EIO;
		at += values << type / 2;
	}
	return JT_OK;
}

int jt__gpu_metrics_parse(const void *bytes, size_t n, struct gpu_metrics *ret_metrics)
{
	struct table t = { bytes, n };
	struct gpu_metrics m = { .has_energy = GPU_ENERGY_UNKNOWN };
	uint8_t format, content;
	uint16_t size;
	int status = JT_OK;

	if (!get(&t, 0, &size, 2) || !get(&t, 2, &format, 1) || !get(&t, 3, &content, 1) ||
	    size > n || size < 4 || !format)
		return JT_EIO;
	t.n = size;
	if (format == 2 || format == 3) {
		m.apu = true;
		m.has_energy = GPU_ENERGY_NOT_TOLD;
	} else if (format == 1 && content <= 8) {
		status = read_fixed(&t, content, &m);
	} else if (format == 1 && content == 9) {
		status = read_described(&t, &m);
	}
	if (status == JT_OK)
		*ret_metrics = m;
	return status;
}
