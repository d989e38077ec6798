/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include "tap.h"
#include "tree.h"
#include "base/base.h"
#include "sources/amdgpu.h"
#include "sources/source.h"

#define RSMI JT_BUILD_ROOT "/tests/fake/librocm_smi64.so.7"
#define AMDSMI JT_BUILD_ROOT "/tests/fake/libamd_smi.so.26"
#define CARD "/sys/class/drm/card"

static const struct jt_source_ops *const amdgpu = &jt__source_amdgpu;

static int open_with(struct jt_source_options o, void **state, struct jt_error *err)
{
	o.size = sizeof(o);
	return amdgpu->open(&o, state, err);
}

#define open_tree(where, state, err)                                                               \
	open_with((struct jt_source_options){ .root = where }, state, err)

static void *open_or_null(const char *root)
{
	void *state = NULL;

	check(open_tree(root, &state, NULL) == JT_OK);
	return state;
}

static struct jt_domain describe(void *state, size_t i)
{
	struct jt_domain d = { 0 };

	if (check(state && i < amdgpu->count(state)))
		amdgpu->describe(state, i, &d);
	return d;
}

static struct jt_sample read_gpu(void *state, size_t i)
{
	struct jt_sample s = { 0 };

	if (check(state && i < amdgpu->count(state)))
		check(amdgpu->read(state, i, &s) == s.status);
	return s;
}

/* -- tables -- */

/* A table of revision @format.@content, @size bytes long, all ones as the driver begins it. */
static size_t new_table(unsigned char *t, uint8_t format, uint8_t content, uint16_t size)
{
	memset(t, 0xff, GPU_METRICS_MAX);
	memcpy(t, &size, 2);
	t[2] = format;
	t[3] = content;
	return size;
}

static void put_u64(unsigned char *t, size_t offset, uint64_t value)
{
	memcpy(t + offset, &value, sizeof(value));
}

static enum gpu_metrics_energy energy_of(const unsigned char *t, size_t n, uint64_t *ret_uj)
{
	struct gpu_metrics m = { 0 };

	check(jt__gpu_metrics_parse(t, n, &m) == JT_OK);
	*ret_uj = m.energy_uj;
	return m.has_energy;
}

static void the_unit_is_a_65536th_of_a_joule(void)
{
	check(jt__gpu_energy_uj(1 << 16) == 1000000);
	check(jt__gpu_energy_uj(UINT64_C(65536) * 1000000007) == UINT64_C(1000000007000000));
	check(jt__gpu_energy_uj(1) == 15);
}

static void finds_the_accumulator_of_each_revision(void)
{
	static const struct {
		uint8_t content;
		uint16_t size;
		size_t offset;
	} known[] = { { 2, 104, 24 },  { 3, 120, 24 },  { 4, 264, 24 }, { 5, 336, 88 },
		      { 6, 1664, 16 }, { 7, 2408, 24 }, { 8, 3872, 24 } };
	unsigned char t[GPU_METRICS_MAX];
	uint64_t uj;

	for (size_t i = 0; i < JT_ARRAY_LEN(known); i++) {
		size_t n = new_table(t, 1, known[i].content, known[i].size);

		check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
		if (known[i].content <= 3)
			put_u64(t, 96, 12345); /* the firmware's timestamp */
		put_u64(t, known[i].offset, UINT64_C(7) << 16);
		check(energy_of(t, n, &uj) == GPU_ENERGY_TOLD && uj == 7000000);
		put_u64(t, known[i].offset, UINT32_MAX);
		check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
		put_u64(t, known[i].offset, 0); /* the second die of an MI250 */
		check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
	}
}

static void a_counter_without_a_known_unit_is_left_alone(void)
{
	unsigned char t[GPU_METRICS_MAX];
	size_t n = new_table(t, 1, 3, 120); /* a Radeon: no timestamp */
	uint64_t uj;

	put_u64(t, 24, 123456789);
	check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
	put_u64(t, 96, 0);
	check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
	n = new_table(t, 1, 0, 80);
	check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
	n = new_table(t, 1, 1, 96);
	check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
}

static void an_apu_is_known_by_its_table(void)
{
	unsigned char t[GPU_METRICS_MAX];
	struct gpu_metrics m = { 0 };

	check(jt__gpu_metrics_parse(t, new_table(t, 2, 4, 140), &m) == JT_OK && m.apu);
	check(jt__gpu_metrics_parse(t, new_table(t, 3, 0, 264), &m) == JT_OK && m.apu);
	check(m.has_energy == GPU_ENERGY_NOT_TOLD);
	check(jt__gpu_metrics_parse(t, new_table(t, 1, 8, 3872), &m) == JT_OK && !m.apu);
}

/* One figure of a table that describes itself: type in pairs of one size, 6 is 64 bits unsigned. */
static size_t put_attribute(unsigned char *t, size_t at, unsigned id, unsigned type, unsigned n,
                            uint64_t value)
{
	put_u64(t, at, (uint64_t)type << 20 | (uint64_t)id << 10 | n);
	put_u64(t, at + 8, value);
	return at + 8 + ((size_t)JT_MAX(n, 1) << type / 2);
}

static size_t new_described(unsigned char *t, unsigned energy_type)
{
	const uint32_t n = 4;
	uint16_t size;
	size_t at = 8;

	new_table(t, 1, 9, 0);
	memcpy(t + 4, &n, sizeof(n));
	at = put_attribute(t, at, 0, 2, 1, 42); /* hot spot, 16 bits */
	at = put_attribute(t, at, 33, 4, 8, 0); /* eight clocks, 32 bits */
	at = put_attribute(t, at, 7, energy_type, 1, UINT64_C(9) << 16);
	at = put_attribute(t, at, 3, 2, 1, 194);
	size = (uint16_t)at;
	memcpy(t, &size, sizeof(size));
	return at;
}

static void a_table_that_describes_itself_is_walked(void)
{
	unsigned char t[GPU_METRICS_MAX];
	struct gpu_metrics m;
	uint64_t uj;
	size_t n = new_described(t, 6);

	check(energy_of(t, n, &uj) == GPU_ENERGY_TOLD && uj == 9000000);
	n = new_described(t, 4); /* not the type that it ought to be */
	check(energy_of(t, n, &uj) == GPU_ENERGY_NOT_TOLD);
	n = new_described(t, 8); /* no type at all */
	check(jt__gpu_metrics_parse(t, n, &m) == JT_EIO);
	n = new_described(t, 6);
	memset(t + 4, 0xff, 4); /* more figures than there are */
	put_u64(t, 8 + 10 + 40, UINT64_C(1) << 10);
	check(jt__gpu_metrics_parse(t, n, &m) == JT_EIO);
}

static void garbage_is_no_table(void)
{
	static const uint8_t contents[] = { 2, 3, 4, 5, 6, 7, 8, 9 };
	unsigned char t[GPU_METRICS_MAX];
	struct gpu_metrics m;

	check(jt__gpu_metrics_parse("", 0, &m) == JT_EIO);
	check(jt__gpu_metrics_parse("\x03\x00\x01\x03", 4, &m) == JT_EIO);
	check(jt__gpu_metrics_parse(t, new_table(t, 0, 3, 120), &m) == JT_EIO);
	check(jt__gpu_metrics_parse(t, new_table(t, 1, 3, 120) - 1, &m) == JT_EIO);
	for (size_t i = 0; i < JT_ARRAY_LEN(contents); i++) /* too short for what they say */
		check(jt__gpu_metrics_parse(t, new_table(t, 1, contents[i], 12), &m) == JT_EIO);
	check(jt__gpu_metrics_parse(t, new_table(t, 1, 10, 64), &m) == JT_OK);
	check(m.has_energy == GPU_ENERGY_UNKNOWN);
}

/* -- GPUs -- */

static void instincts_count_energy(void)
{
	void *state = open_or_null(TREE("instinct"));
	struct jt_domain d = describe(state, 0);
	struct jt_sample s = read_gpu(state, 0);

	check(amdgpu->count(state) == 2);
	check_text(d.name, "gpu:0"); /* the lowest address, though it is card2 */
	check_text(d.device, "AMD Instinct MI250X (0000:41:00.0)");
	check_text(d.uuid, "9d3c2f1e00000002");
	check_text(d.sensor.name, "instinct");
	check(d.sensor.provenance == JT_MEASURED && !d.missing[0]);
	check(s.status == JT_OK && s.valid == d.valid);
	check(s.valid == (JT_HAS_ENERGY | JT_HAS_POWER_AVG | JT_HAS_TEMPERATURE | JT_HAS_SM_CLOCK |
	                  JT_HAS_LIMIT));
	check(s.energy_uj == 2000000000 && s.power_avg_mw == 333000 && s.limit_mw == 560000);
	check(s.temperature_mc == 45000 && s.sm_clock_mhz == 1700);
	check(s.begin_ns && s.end_ns >= s.begin_ns);

	check_text(describe(state, 1).name, "gpu:2");
	s = read_gpu(state, 1);
	check(s.energy_uj == 10000000000 && s.power_mw == 410000 && !(s.valid & JT_HAS_POWER_AVG));
	check(s.mem_clock_mhz == 1300);
	amdgpu->close(state);
}

static void the_second_die_keeps_its_number_and_is_explained(void)
{
	void *state = open_or_null(TREE("instinct"));
	struct jt_error err = { 0 };

	for (size_t i = 0; i < amdgpu->count(state); i++)
		check(strcmp(describe(state, i).name, "gpu:1") != 0);
	check(amdgpu->partial(state, &err) == JT_ENOTSUP);
	check(strstr(err.message, "0000:42:00.0") && strstr(err.message, "second die"));
	amdgpu->close(state);
}

static void a_radeon_and_an_apu_tell_power(void)
{
	void *state = open_or_null(TREE("radeon"));
	struct jt_domain gpu = describe(state, 0), apu = describe(state, 1);
	struct jt_sample s = read_gpu(state, 0);

	check_text(gpu.name, "gpu:0");
	check_text(gpu.device, "AMD GPU 1002:744C (0000:03:00.0)");
	check(gpu.sensor.provenance == JT_DERIVED && !(gpu.valid & JT_HAS_ENERGY));
	check(strstr(gpu.missing, "no energy counter") != NULL);
	check(s.status == JT_OK && s.power_avg_mw == 61000 && !(s.valid & JT_HAS_ENERGY));
	check_text(apu.name, "apu:0");
	check(strstr(apu.missing, "CPU") != NULL);
	check(read_gpu(state, 1).power_mw == 35090);
	amdgpu->close(state);
}

static void zero_is_not_a_power(void)
{
	struct tree t = tree_new(TREE("radeon"));
	void *state = open_or_null(t.root);
	struct jt_sample s;

	tree_put(&t, CARD "0/device/hwmon/hwmon3/power1_average", "0\n");
	s = read_gpu(state, 0);
	check(s.status == JT_ENOTSUP && s.valid == 0);
	tree_put(&t, CARD "0/device/hwmon/hwmon3/power1_average", "lots\n");
	check(read_gpu(state, 0).status == JT_EIO);
	tree_put(&t, CARD "0/device/hwmon/hwmon3/power1_average", "99999999999999999\n");
	check(read_gpu(state, 0).status == JT_EIO);
	tree_put(&t, CARD "0/device/hwmon/hwmon3/power1_average", "62000000\n");
	check(read_gpu(state, 0).power_avg_mw == 62000);
	amdgpu->close(state);
	tree_free(&t);
}

static void a_counter_that_fails_leaves_the_power(void)
{
	struct tree t = tree_new(TREE("instinct"));
	void *state = open_or_null(t.root);
	unsigned char table[GPU_METRICS_MAX];
	struct jt_sample s;

	tree_put(&t, CARD "2/device/gpu_metrics", "no table");
	s = read_gpu(state, 0);
	check(s.status == JT_OK && !(s.valid & JT_HAS_ENERGY) && s.power_avg_mw == 333000);
	tree_put(&t, CARD "2/device/hwmon/hwmon5/power1_average", "");
	s = read_gpu(state, 0);
	check(s.status == JT_EIO && s.valid == 0);
	new_table(table, 1, 3, 120);
	put_u64(table, 96, 1);
	put_u64(table, 24, UINT64_C(3) << 16);
	tree_write(&t, CARD "2/device/gpu_metrics", table, 120);
	s = read_gpu(state, 0);
	check(s.status == JT_OK && s.energy_uj == 3000000);
	amdgpu->close(state);
	tree_free(&t);
}

static void a_counter_alone_is_enough(void)
{
	struct tree t = tree_new(TREE("instinct"));
	void *state;

	tree_remove(&t, CARD "2/device/hwmon");
	state = open_or_null(t.root);
	check_text(describe(state, 0).name, "gpu:0");
	check(describe(state, 0).valid == JT_HAS_ENERGY);
	check(strstr(describe(state, 0).missing, "no power") != NULL);
	check(read_gpu(state, 0).valid == JT_HAS_ENERGY);
	amdgpu->close(state);
	tree_free(&t);
}

static void takes_only_the_gpus_that_are_selected(void)
{
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_with((struct jt_source_options){ .root = TREE("instinct"), .gpu_mask = 1 << 2 },
	                &state, NULL) == JT_OK);
	check(amdgpu->count(state) == 1);
	check_text(describe(state, 0).name, "gpu:2");
	amdgpu->close(state);
	state = NULL;
	check(open_with((struct jt_source_options){ .root = TREE("rocm"), .gpu_mask = 1 << 5 },
	                &state, &err) == JT_ENOENT);
	check(strstr(err.message, "none of the 2 GPUs") && !state);
}

static void says_why_there_is_none(void)
{
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_tree(TREE("epyc"), &state, &err) == JT_ENOENT && !state);
	check(strstr(err.message, "no AMD GPU") != NULL);
	check(open_tree("/nonexistent", &state, &err) == JT_ENOENT);
	check(open_tree(TREE("no-driver"), &state, &err) == JT_ENOTSUP);
	check(strstr(err.message, "kernel module amdgpu") && strstr(err.message, "0000:03:00.0"));
}

static void says_how_to_get_permission(void)
{
	struct tree t = tree_new(TREE("rocm"));
	struct jt_error err = { 0 };
	void *state = NULL;

	tree_deny(&t, CARD "0/device/hwmon/hwmon0/power1_average");
	check(open_tree(t.root, &state, NULL) == JT_OK && amdgpu->count(state) == 1);
	check_text(describe(state, 0).name, "gpu:1");
	check(amdgpu->partial(state, &err) == JT_EPERM && strstr(err.message, "power1_average"));
	amdgpu->close(state);
	tree_allow();
	tree_remove(&t, CARD "1");
	tree_deny(&t, CARD "0/device/hwmon/hwmon0/power1_average");
	state = NULL;
	check(open_tree(t.root, &state, &err) == JT_EPERM && !state);
	tree_allow();
	tree_free(&t);
}

/* -- AMD's libraries -- */

static void *open_library(const char *path)
{
	void *state = NULL;

	check(open_with((struct jt_source_options){ .root = TREE("rocm"), .rocm_library = path },
	                &state, NULL) == JT_OK);
	return state;
}

static void check_library(const char *path)
{
	void *state = open_library(path);
	struct jt_sample a = read_gpu(state, 0), b = read_gpu(state, 0);

	check_text(describe(state, 0).sensor.name, "instinct");
	check(a.valid == (JT_HAS_ENERGY | JT_HAS_POWER_AVG) && a.power_avg_mw == 90000);
	check(b.energy_uj - a.energy_uj == 1000000); /* 15.3 µJ, they say, and mean 2^-16 J */
	check(!(read_gpu(state, 1).valid & JT_HAS_ENERGY));
	check_text(describe(state, 1).sensor.name, "radeon");
	amdgpu->close(state);
}

static void the_library_counts_where_the_table_does_not(void)
{
	check_library(RSMI);
	check_library(AMDSMI);
}

static void without_a_library_energy_is_integrated_power(void)
{
	void *state = open_or_null(TREE("rocm"));

	check(amdgpu->count(state) == 2);
	check(describe(state, 0).valid == JT_HAS_POWER_AVG);
	amdgpu->close(state);
}

static void a_library_that_was_named_has_to_be_there(void)
{
	struct jt_source_options o = { .root = TREE("rocm"), .rocm_library = "/nonexistent.so" };
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_with(o, &state, &err) == JT_ENOENT && strstr(err.message, "/nonexistent.so"));
	o.rocm_library = "libc.so.6";
	check(open_with(o, &state, &err) == JT_ENOTSUP && strstr(err.message, "symbols"));
	setenv("FAKE_ROCM", "broken", 1);
	o.rocm_library = RSMI;
	check(open_with(o, &state, &err) == JT_ENOTSUP && strstr(err.message, "code 8"));
	o.rocm_library = AMDSMI;
	check(open_with(o, &state, &err) == JT_ENOTSUP && !state);
	unsetenv("FAKE_ROCM");
}

static struct jt_rocm *library;

static void *read_often(void *unused)
{
	uint64_t device, uj;
	bool ok = jt__rocm_find(library, "0000:43:00.0", &device) == JT_OK;

	for (int i = 0; ok && i < 50; i++)
		ok = jt__rocm_energy(library, device, &uj) == JT_OK;
	return ok ? unused : NULL;
}

/* The fake fails for good once two calls meet. */
static void no_two_threads_are_in_the_library_at_once(void)
{
	uint64_t device;
	pthread_t thread;
	void *ok = NULL;

	check(jt__rocm_open(AMDSMI, &library, NULL) == JT_OK);
	check(jt__rocm_find(library, "0000:99:00.0", &device) == JT_ENOENT);
	check(jt__rocm_find(library, "card0", &device) == JT_ENOENT);
	check(pthread_create(&thread, NULL, read_often, library) == 0);
	check(read_often(library) == library);
	pthread_join(thread, &ok);
	check(ok == library);
	jt__rocm_close(library);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = open_with(
			(struct jt_source_options){ .root = TREE("rocm"), .rocm_library = RSMI },
			&state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 2);
	amdgpu->close(state);
	amdgpu->close(NULL);
}

int main(void)
{
	test(the_unit_is_a_65536th_of_a_joule);
	test(finds_the_accumulator_of_each_revision);
	test(a_counter_without_a_known_unit_is_left_alone);
	test(an_apu_is_known_by_its_table);
	test(a_table_that_describes_itself_is_walked);
	test(garbage_is_no_table);
	test(instincts_count_energy);
	test(the_second_die_keeps_its_number_and_is_explained);
	test(a_radeon_and_an_apu_tell_power);
	test(zero_is_not_a_power);
	test(a_counter_that_fails_leaves_the_power);
	test(a_counter_alone_is_enough);
	test(takes_only_the_gpus_that_are_selected);
	test(says_why_there_is_none);
	test(says_how_to_get_permission);
	test(the_library_counts_where_the_table_does_not);
	test(without_a_library_energy_is_integrated_power);
	test(a_library_that_was_named_has_to_be_there);
	test(no_two_threads_are_in_the_library_at_once);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
