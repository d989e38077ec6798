/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "tree.h"
#include "base/base.h"
#include "sources/source.h"

#define HWMON "/sys/class/hwmon/hwmon"

static const struct jt_source_ops *const hwmon = &jt__source_hwmon;

static int open_masked(const char *root, uint64_t mask, void **state, struct jt_error *err)
{
	struct jt_source_options o = { .size = sizeof(o), .root = root, .gpu_mask = mask };

	return hwmon->open(&o, state, err);
}

static void *open_or_null(const char *root)
{
	void *state = NULL;

	check(open_masked(root, 0, &state, NULL) == JT_OK);
	return state;
}

/* The index of the domain called @name, and what it is; SIZE_MAX. */
static size_t find(void *state, const char *name, struct jt_domain *ret)
{
	for (size_t i = 0; state && i < hwmon->count(state); i++) {
		hwmon->describe(state, i, ret);
		if (strcmp(ret->name, name) == 0)
			return i;
	}
	check_text(name, "found");
	*ret = (struct jt_domain){ 0 };
	return SIZE_MAX;
}

static struct jt_sample read_domain(void *state, const char *name)
{
	struct jt_sample s = { .status = JT_ENOENT };
	struct jt_domain d;
	size_t i = find(state, name, &d);

	if (i != SIZE_MAX) {
		s = (struct jt_sample){ 0 };
		check(hwmon->read(state, i, &s) == s.status);
	}
	return s;
}

static void check_part(void *state, const char *name, const char *whole)
{
	struct jt_domain d;

	find(state, name, &d);
	check_text(d.part_of, whole);
}

static void grace_tells_a_module_and_its_parts(void)
{
	void *state = open_or_null(TREE("grace"));
	struct jt_sample s = read_domain(state, "cpu:0");
	struct jt_domain d;

	check(hwmon->count(state) == 4);
	check(s.status == JT_OK && s.valid == JT_HAS_POWER_AVG && s.power_avg_mw == 95000);
	check(read_domain(state, "module:0").power_avg_mw == 430000);
	check_part(state, "cpu:0", "grace:0");
	check_part(state, "sysio:0", "grace:0");
	check_part(state, "grace:0", "module:0");
	check_part(state, "module:0", "");
	find(state, "cpu:0", &d);
	check_text(d.source, "hwmon");
	check(d.sensor.update_ns == 50 * JT_NS_PER_MS &&
	      d.sensor.avg_window_ns == 50 * JT_NS_PER_MS);
	check(d.sensor.window_ns == 0 && d.valid == JT_HAS_POWER_AVG);
	check(d.sensor.provenance == JT_DERIVED);
	hwmon->close(state);
}

static void what_lacks_its_whole_is_part_of_the_next(void)
{
	struct tree t = tree_new(TREE("grace"));
	void *state;

	tree_put(&t, HWMON "2/name", "other\n");
	state = open_or_null(t.root);
	check(hwmon->count(state) == 3);
	check_part(state, "cpu:0", "module:0");
	hwmon->close(state);
	tree_put(&t, HWMON "3/name", "other\n");
	state = open_or_null(t.root);
	check_part(state, "cpu:0", "");
	hwmon->close(state);
	tree_free(&t);
}

static void a_meter_without_a_name_is_the_machines(void)
{
	void *state = open_or_null(TREE("server"));
	struct jt_domain d;

	check(read_domain(state, "node:0").power_avg_mw == 312000);
	find(state, "node:0", &d);
	check(d.sensor.avg_window_ns == JT_NS_PER_S && d.sensor.update_ns == JT_NS_PER_S);
	check(d.sensor.gain_ppm == 100000); /* 90 % right */
	check(strstr(d.device, "machine") != NULL);
	hwmon->close(state);
}

static void an_interval_that_is_none_leaves_the_sensors_own(void)
{
	static const char *const bad[] = { "0\n", "\n", "-1\n", "soon\n", "99999999999\n" };
	struct tree t = tree_new(TREE("server"));
	struct jt_domain d;

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		void *state;

		tree_put(&t, HWMON "0/device/power1_average_interval", bad[i]);
		tree_put(&t, HWMON "0/device/power1_accuracy", bad[i]);
		state = open_or_null(t.root);
		find(state, "node:0", &d);
		check(d.sensor.update_ns == jt_sensor_find("acpi")->update_ns);
		check(d.sensor.gain_ppm == jt_sensor_find("acpi")->gain_ppm);
		hwmon->close(state);
	}
	tree_free(&t);
}

static void no_power_is_not_0_watts(void)
{
	static const char *const bad[] = { "0\n", "", "-5\n", "12W\n", "99999999999999999999\n" };
	struct tree t = tree_new(TREE("server"));
	void *state = open_or_null(t.root);
	struct jt_sample s;

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		tree_put(&t, HWMON "0/device/power1_average", bad[i]);
		s = read_domain(state, "node:0");
		check(s.status == JT_EIO && s.valid == 0);
	}
	tree_put(&t, HWMON "0/device/power1_average", "1500\n");
	s = read_domain(state, "node:0");
	check(s.status == JT_OK && s.power_avg_mw == 1);
	tree_put(&t, HWMON "0/device/power1_average", "5000000000000000000\n");
	check(read_domain(state, "node:0").status == JT_EIO);
	hwmon->close(state);
	tree_free(&t);
}

static void a_jetsons_board_contains_its_rails(void)
{
	void *state = open_or_null(TREE("jetson"));
	struct jt_sample s = read_domain(state, "board:0");
	struct jt_domain d;

	check(hwmon->count(state) == 3);
	check(s.status == JT_OK && s.valid == JT_HAS_POWER && s.power_mw == 6000);
	check(read_domain(state, "rail:VDD_CPU_GPU_CV").power_mw == 2003);
	check_part(state, "rail:VDD_CPU_GPU_CV", "board:0");
	check_part(state, "rail:VDD_SOC", "board:0");
	check_part(state, "board:0", "");
	find(state, "board:0", &d);
	check(d.sensor.update_ns == 12 * JT_NS_PER_MS && d.sensor.window_ns == 4 * JT_NS_PER_MS);
	hwmon->close(state);
}

static void a_rail_may_draw_nothing(void)
{
	void *state = open_or_null(TREE("jetson"));
	struct jt_sample s = read_domain(state, "rail:VDD_SOC"); /* -3 mA */

	check(s.status == JT_OK && s.valid == JT_HAS_POWER && s.power_mw == 0);
	hwmon->close(state);
}

static void half_a_rail_is_no_reading(void)
{
	struct tree t = tree_new(TREE("jetson"));
	void *state = open_or_null(t.root);

	tree_put(&t, HWMON "1/curr1_input", "many\n");
	check(read_domain(state, "board:0").status == JT_EIO);
	tree_put(&t, HWMON "1/curr1_input", "9223372036854775807\n");
	check(read_domain(state, "board:0").status == JT_EIO);
	tree_put(&t, HWMON "1/curr1_input", "-\n");
	check(read_domain(state, "board:0").status == JT_EIO);
	hwmon->close(state);
	tree_remove(&t, HWMON "1/curr1_input");
	state = open_or_null(t.root);
	check(hwmon->count(state) == 2); /* and now no board contains the others */
	check_part(state, "rail:VDD_SOC", "");
	hwmon->close(state);
	tree_free(&t);
}

static void the_old_driver_multiplies_itself(void)
{
	void *state = open_or_null(TREE("jetson-tx2"));

	check(hwmon->count(state) == 5);
	check(read_domain(state, "board:0").power_mw == 2100);
	check(read_domain(state, "rail:VDD_SYS_GPU").power_mw == 153);
	check_part(state, "rail:VDD_SYS_GPU", "board:0");
	hwmon->close(state);
}

static void intel_gpus_are_counted_once_and_by_address(void)
{
	void *state = open_or_null(TREE("arc"));
	struct jt_sample s = read_domain(state, "gpu:0");
	struct jt_domain d;

	check(hwmon->count(state) == 3);
	check(s.status == JT_OK && s.valid == JT_HAS_ENERGY && s.energy_uj == 70000000);
	check(read_domain(state, "gpu:1").energy_uj == 5000000);
	check(read_domain(state, "gpu:2").energy_uj == 600000);
	find(state, "gpu:1", &d);
	check_text(d.uuid, "0000:84:00.0");
	check_text(d.device, "Intel GPU 8086:E20B (xe, card)");
	check(d.sensor.provenance == JT_MEASURED && d.valid == JT_HAS_ENERGY);
	hwmon->close(state);
}

static void takes_only_the_gpus_that_are_selected(void)
{
	struct jt_error err = { 0 };
	struct jt_domain d;
	void *state = NULL;

	check(open_masked(TREE("arc"), 1 << 1, &state, NULL) == JT_OK);
	check(hwmon->count(state) == 1);
	find(state, "gpu:1", &d);
	hwmon->close(state);
	state = NULL;
	check(open_masked(TREE("arc"), UINT64_C(1) << 63, &state, &err) == JT_ENOENT && !state);
	check(open_masked(TREE("jetson"), 1 << 1, &state, NULL) == JT_OK);
	check(hwmon->count(state) == 3); /* rails are no GPUs */
	hwmon->close(state);
}

static void a_counter_reads_anew_and_garbage_is_refused(void)
{
	struct tree t = tree_new(TREE("arc"));
	void *state = open_or_null(t.root);

	tree_put(&t, HWMON "1/energy1_input", "70000042\n");
	check(read_domain(state, "gpu:0").energy_uj == 70000042);
	tree_put(&t, HWMON "1/energy1_input", "0\n"); /* a counter may well begin there */
	check(read_domain(state, "gpu:0").status == JT_OK);
	tree_put(&t, HWMON "1/energy1_input", "7e7\n");
	check(read_domain(state, "gpu:0").status == JT_EIO);
	hwmon->close(state);
	tree_free(&t);
}

/* Each of these is read once at the opening, or again and again. */
static void what_is_no_file_is_neither_waited_for_nor_believed(void)
{
	static const char *const paths[] = { HWMON "1/name", HWMON "1/in1_label",
		                             HWMON "1/in1_input", HWMON "1/curr1_input",
		                             HWMON "1/update_interval" };

	for (size_t i = 0; i < 2 * JT_ARRAY_LEN(paths); i++) {
		struct tree t = tree_new(TREE("jetson"));
		const char *path = paths[i / 2];
		bool no_chip = strstr(path, "name") != NULL;
		void *state = NULL;

		tree_remove(&t, path);
		check((i % 2 ? mkfifo(tree_path(&t, path), 0644)
		             : mkdir(tree_path(&t, path), 0755)) == 0);
		alarm(20);
		check(open_masked(t.root, 0, &state, NULL) == (no_chip ? JT_ENOENT : JT_OK));
		if (strstr(path, "1_input"))
			check(read_domain(state, "board:0").status == JT_EIO);
		else if (!no_chip)
			check(read_domain(state, "rail:VDD_CPU_GPU_CV").status == JT_OK);
		alarm(0);
		hwmon->close(state);
		tree_free(&t);
	}
}

static void a_meter_has_no_other_ones_name(void)
{
	struct tree t = tree_new(NULL);
	void *state;

	tree_put(&t, HWMON "0/name", "power_meter\n");
	tree_put(&t, HWMON "0/power1_average", "1000000\n");
	tree_put(&t, HWMON "0/power1_oem_info", "Module Power Socket 0\n");
	tree_put(&t, HWMON "0/power2_average", "2000000\n");
	state = open_or_null(t.root);
	check(read_domain(state, "module:0").power_avg_mw == 1000);
	check(read_domain(state, "node:0").power_avg_mw == 2000);
	hwmon->close(state);
	tree_free(&t);
}

static void says_how_to_get_permission(void)
{
	struct tree t = tree_new(TREE("server"));
	struct jt_error err = { 0 };
	void *state = NULL;

	tree_deny(&t, HWMON "0/device/power1_average");
	check(open_masked(t.root, 0, &state, &err) == JT_EPERM && !state);
	check(strstr(err.message, "power1_average") && strstr(err.message, "udev"));
	tree_allow();
	tree_free(&t);
}

static void says_what_it_had_to_leave_out(void)
{
	struct tree t = tree_new(TREE("grace"));
	struct jt_error err = { 0 };
	void *state = NULL;

	check(hwmon->partial(state = open_or_null(t.root), &err) == JT_OK);
	hwmon->close(state);
	state = NULL;
	tree_deny(&t, HWMON "3/power1_average");
	check(open_masked(t.root, 0, &state, NULL) == JT_OK && hwmon->count(state) == 3);
	check(hwmon->partial(state, &err) == JT_EPERM);
	check(strstr(err.message, "hwmon3/power1_average") != NULL);
	hwmon->close(state);
	tree_allow();
	tree_free(&t);
}

static void says_what_is_missing(void)
{
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_masked(TREE("epyc"), 0, &state, &err) == JT_ENOENT && !state);
	check(strstr(err.message, "acpi_power_meter") != NULL);
	check(open_masked("/nonexistent", 0, &state, &err) == JT_ENOENT);
}

static void more_chips_than_fit_are_left_out(void)
{
	struct tree t = tree_new(NULL);
	char path[64];
	void *state;

	for (int i = 0; i < 70; i++) {
		snprintf(path, sizeof(path), HWMON "%d/name", i);
		tree_put(&t, path, "power_meter\n");
		snprintf(path, sizeof(path), HWMON "%d/power1_average", i);
		tree_put(&t, path, "1000000\n");
	}
	state = open_or_null(t.root);
	check(hwmon->count(state) == 64);
	check(read_domain(state, "node:63").power_avg_mw == 1000);
	hwmon->close(state);
	tree_free(&t);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = open_masked(TREE("grace"), 0, &state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 1);
	hwmon->close(state);
	hwmon->close(NULL);
}

int main(void)
{
	test(grace_tells_a_module_and_its_parts);
	test(what_lacks_its_whole_is_part_of_the_next);
	test(a_meter_without_a_name_is_the_machines);
	test(an_interval_that_is_none_leaves_the_sensors_own);
	test(no_power_is_not_0_watts);
	test(a_jetsons_board_contains_its_rails);
	test(a_rail_may_draw_nothing);
	test(half_a_rail_is_no_reading);
	test(the_old_driver_multiplies_itself);
	test(intel_gpus_are_counted_once_and_by_address);
	test(takes_only_the_gpus_that_are_selected);
	test(a_counter_reads_anew_and_garbage_is_refused);
	test(what_is_no_file_is_neither_waited_for_nor_believed);
	test(a_meter_has_no_other_ones_name);
	test(says_how_to_get_permission);
	test(says_what_it_had_to_leave_out);
	test(says_what_is_missing);
	test(more_chips_than_fit_are_left_out);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
