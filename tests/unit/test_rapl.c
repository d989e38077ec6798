/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "tree.h"
#include "base/base.h"
#include "sources/rapl.h"
#include "sources/source.h"

static const struct jt_source_ops *const rapl = &jt__source_rapl;

static int open_tree(const char *root, void **state, struct jt_error *err)
{
	struct jt_source_options o = { .size = sizeof(o), .root = root };

	return rapl->open(&o, state, err);
}

static void *open_or_null(const char *root)
{
	void *state = NULL;

	check(open_tree(root, &state, NULL) == JT_OK);
	return state;
}

static struct jt_domain describe(void *state, size_t i)
{
	struct jt_domain d;

	rapl->describe(state, i, &d);
	return d;
}

static uint64_t energy_uj(void *state, size_t i)
{
	struct jt_sample s = { 0 };

	check(rapl->read(state, i, &s) == JT_OK && s.valid == JT_HAS_ENERGY);
	return s.energy_uj;
}

static void finds_packages_and_their_memory(void)
{
	void *state = open_or_null(TREE("xeon-two-sockets"));

	if (!check(rapl->count(state) == 4))
		return;
	check_text(describe(state, 0).name, "cpu:0");
	check_text(describe(state, 1).name, "dram:0");
	check_text(describe(state, 2).name, "cpu:1");
	check_text(describe(state, 3).name, "dram:1");
	check_text(describe(state, 0).source, "rapl");
	check_text(describe(state, 0).sensor.name, "rapl");
	check(energy_uj(state, 0) == 1000000 && energy_uj(state, 1) == 200000);
	check(energy_uj(state, 2) == 3000000 && energy_uj(state, 3) == 400000);
	rapl->close(state);
}

static void each_zone_wraps_at_its_own_range(void)
{
	void *state = open_or_null(TREE("xeon-two-sockets"));

	check(describe(state, 0).sensor.wrap_uj == 262143328851);
	check(describe(state, 1).sensor.wrap_uj == 65712999614);
	rapl->close(state);
}

/* core and uncore are inside the package, and mmio is the package again. */
static void counts_nothing_twice(void)
{
	void *state = open_or_null(TREE("laptop"));

	if (!check(rapl->count(state) == 2))
		return;
	check_text(describe(state, 0).name, "cpu:0");
	check_text(describe(state, 1).name, "psys:0");
	check(strstr(describe(state, 1).device, "contains") != NULL);
	check_text(describe(state, 0).part_of, "psys:0");
	check_text(describe(state, 1).part_of, "");
	check(energy_uj(state, 1) == 9000000);
	rapl->close(state);

	state = open_or_null(TREE("epyc"));
	check(rapl->count(state) == 1 && energy_uj(state, 0) == 7000000);
	rapl->close(state);
}

static void mmio_serves_where_there_is_nothing_else(void)
{
	void *state = open_or_null(TREE("mmio-only"));

	check(rapl->count(state) == 1 && energy_uj(state, 0) == 42);
	rapl->close(state);
}

static void a_virtual_machine_has_none(void)
{
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_tree(TREE("virtual-machine"), &state, &err) == JT_ENOENT && !state);
	check(strstr(err.message, "virtual machines") != NULL);
	check(open_tree("/nonexistent", &state, &err) == JT_ENOENT);
}

static void says_what_to_load_and_what_hides_it(void)
{
	struct tree t = tree_new(TREE("no-driver"));
	struct jt_error err = { 0 };
	void *state = NULL;

	check(open_tree(t.root, &state, &err) == JT_ENOENT);
	check(strstr(err.message, "kernel module intel_rapl_msr") != NULL);
	tree_put(&t, "/proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu vme hypervisor\n");
	check(open_tree(t.root, &state, &err) == JT_ENOENT);
	check(strstr(err.message, "virtual machines") != NULL);
	/* what a container leaves of the class: links to nowhere */
	tree_put(&t, "/sys/class/powercap/intel-rapl/enabled", "1\n");
	tree_run("ln -s", "/nonexistent", tree_path(&t, "/sys/class/powercap/intel-rapl:0"));
	check(open_tree(t.root, &state, &err) == JT_ENOTSUP && !state);
	check(strstr(err.message, "container") != NULL);
	tree_free(&t);
}

static void says_which_zones_it_had_to_leave_out(void)
{
	struct tree t = tree_new(TREE("xeon-two-sockets"));
	struct jt_error err = { 0 };
	void *state = open_or_null(t.root);

	check(rapl->partial(state, &err) == JT_OK);
	rapl->close(state);
	tree_deny(&t, "/sys/class/powercap/intel-rapl:0:0/energy_uj");
	state = open_or_null(t.root);
	check(rapl->count(state) == 3);
	check(rapl->partial(state, &err) == JT_EPERM && strstr(err.message, "some of"));
	rapl->close(state);
	tree_allow();
	tree_free(&t);
}

#define ZONE "/sys/class/powercap/intel-rapl:0/"

static struct tree one_package(void)
{
	struct tree t = tree_new(NULL);

	tree_put(&t, ZONE "name", "package-0\n");
	tree_put(&t, ZONE "energy_uj", "1000\n");
	tree_put(&t, ZONE "max_energy_range_uj", "65532610987\n");
	return t;
}

static void says_how_to_get_permission(void)
{
	struct tree t = one_package();
	struct jt_error err = { 0 };
	void *state = NULL;

	tree_deny(&t, ZONE "energy_uj");
	check(open_tree(t.root, &state, &err) == JT_EPERM && !state);
	check(strstr(err.message, "setcap") != NULL && strstr(err.message, "udev") != NULL);
	tree_allow();
	tree_free(&t);
}

static void reads_anew_and_refuses_what_is_no_number(void)
{
	static const char *const bad[] = { "", "\n", "-5\n", "12x\n", "99999999999999999999999\n" };
	struct tree t = one_package();
	void *state = open_or_null(t.root);
	struct jt_sample s;

	check(energy_uj(state, 0) == 1000);
	tree_put(&t, ZONE "energy_uj", "2000\n");
	check(energy_uj(state, 0) == 2000);
	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		s = (struct jt_sample){ 0 };
		tree_put(&t, ZONE "energy_uj", bad[i]);
		check(rapl->read(state, 0, &s) == JT_EIO && s.valid == 0 && s.status == JT_EIO);
	}
	rapl->close(state);
	tree_free(&t);
}

static void an_unreadable_range_is_told(void)
{
	struct tree t = one_package();
	void *state;

	tree_put(&t, ZONE "max_energy_range_uj", "many\n");
	state = open_or_null(t.root);
	check(describe(state, 0).sensor.wrap_uj == 0);
	check(strstr(describe(state, 0).missing, "max_energy_range_uj") != NULL);
	rapl->close(state);
	tree_free(&t);
}

static void finds_perf_events_one_a_package(void)
{
	struct rapl_event e[RAPL_MAX_ZONES];
	size_t n = jt__rapl_perf_find(TREE("perf"), e);

	if (!check(n == 5))
		return;
	check(e[0].kind == RAPL_PACKAGE && e[0].cpu == 0 && e[0].index == 0 && e[0].type == 23);
	check(e[1].kind == RAPL_PACKAGE && e[1].cpu == 18 && e[1].index == 1 && e[1].config == 2);
	check(e[2].kind == RAPL_DRAM && e[2].config == 3 && e[2].scale_j == 6.103515625e-05);
	check(e[3].kind == RAPL_DRAM && e[3].cpu == 18);
	check(e[4].kind == RAPL_PSYS && e[4].cpu == 0);
}

static void an_empty_events_folder_is_no_counter(void)
{
	struct rapl_event e[RAPL_MAX_ZONES];

	check(jt__rapl_perf_find(TREE("virtual-machine"), e) == 0);
	check(jt__rapl_perf_find("/nonexistent", e) == 0);
}

static void perf_counts_become_microjoules(void)
{
	const double scale_j = 2.3283064365386963e-10; /* 2^-32 */

	check(jt__rapl_scale(0, scale_j) == 0);
	check(jt__rapl_scale(UINT64_C(1) << 32, scale_j) == 1000000);
	check(jt__rapl_scale(UINT64_C(7200) << 32, scale_j) == UINT64_C(7200000000));
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = open_tree(TREE("laptop"), &state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 1);
	rapl->close(state);
	rapl->close(NULL);
}

int main(void)
{
	test(finds_packages_and_their_memory);
	test(each_zone_wraps_at_its_own_range);
	test(counts_nothing_twice);
	test(mmio_serves_where_there_is_nothing_else);
	test(a_virtual_machine_has_none);
	test(says_what_to_load_and_what_hides_it);
	test(says_which_zones_it_had_to_leave_out);
	test(says_how_to_get_permission);
	test(reads_anew_and_refuses_what_is_no_number);
	test(an_unreadable_range_is_told);
	test(finds_perf_events_one_a_package);
	test(an_empty_events_folder_is_no_counter);
	test(perf_counts_become_microjoules);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
