/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "base/base.h"
#include "sources/cpumodel.h"
#include "sources/source.h"

#define TREE(name) JT_SOURCE_ROOT "/tests/data/sysfs/" name
#define S JT_NS_PER_S
#define MS JT_NS_PER_MS

static const struct jt_source_ops *const cpumodel = &jt__source_cpumodel;

static const char two_cpus[] =
	"cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 50 0 0 450 0 0 0 0\ncpu1 50 0 0 450 0 0 0 0\n";

/* /proc/stat with @busy user ticks and @idle idle ones more than two_cpus. */
static const char *later(unsigned busy, unsigned idle)
{
	static char text[128];

	snprintf(text, sizeof(text), "cpu  %u 0 0 %u 0 0 0 0 0 0\n", 100 + busy, 900 + idle);
	return text;
}

static void the_curve_goes_from_idle_to_busy(void)
{
	double idle_w = jt__cpumodel_power_w(0, 8), busy_w = jt__cpumodel_power_w(1, 8);

	check(idle_w > 0 && busy_w > idle_w);
	check_near(jt__cpumodel_power_w(0.5, 8), idle_w + (busy_w - idle_w) * (1 - pow(0.5, 1.4)),
	           1e-9);
	for (double u = 0; u < 1; u += 0.01)
		check(jt__cpumodel_power_w(u + 0.01, 8) > jt__cpumodel_power_w(u, 8));
	check(jt__cpumodel_power_w(7, 8) == busy_w && jt__cpumodel_power_w(-1, 8) == idle_w);
	check_near(jt__cpumodel_power_w(1, 16), 2 * busy_w, 1e-9);
}

static void energy_is_the_integral_of_the_curve(void)
{
	struct jt_cpumodel m;

	check(jt__cpumodel_begin(&m, two_cpus, 5 * S) == JT_OK && m.n_cpus == 2);
	check(jt__cpumodel_step(&m, later(200, 0), 6 * S) == JT_OK);
	check_near(m.energy_j, jt__cpumodel_power_w(1, 2), 1e-9);
	check(jt__cpumodel_step(&m, later(200, 400), 8 * S) == JT_OK);
	check_near(m.energy_j, jt__cpumodel_power_w(1, 2) + 2 * jt__cpumodel_power_w(0, 2), 1e-9);
}

/* 10 ms hold one tick a CPU: taken alone they would be all or nothing. */
static void frequent_readings_see_the_utilisation_of_a_longer_stretch(void)
{
	struct jt_cpumodel m;
	double coarse_j;

	jt__cpumodel_begin(&m, two_cpus, 0);
	for (unsigned i = 1; i <= 100; i++)
		jt__cpumodel_step(&m, later(100 * i, 100 * i), i * S);
	coarse_j = m.energy_j;
	jt__cpumodel_begin(&m, two_cpus, 0);
	for (unsigned i = 1; i <= 10000; i++)
		jt__cpumodel_step(&m, later((i + 1) / 2 * 2, i / 2 * 2), i * 10 * MS);
	check_near(m.energy_j / coarse_j, 1, 0.02);
}

static void energy_never_falls_whatever_the_file_says(void)
{
	static const char *const odd[] = {
		"cpu  0 0 0 0 0 0 0 0 0 0\n",
		"cpu  100 0 0 950 3 0 0 0 0 0\n",
		"cpu  90 0 0 990 0 0 0 0 0 0\n",
		"cpu  18446744073709551615 18446744073709551615 0 1 0 0 0 0\n",
	};
	struct jt_cpumodel m;
	double before_j;

	jt__cpumodel_begin(&m, two_cpus, 0);
	for (unsigned i = 0; i < JT_ARRAY_LEN(odd); i++) {
		before_j = m.energy_j;
		check(jt__cpumodel_step(&m, odd[i], (i + 1) * S) == JT_OK);
		check(m.energy_j > before_j && m.energy_j < before_j + 9);
	}
	before_j = m.energy_j;
	check(jt__cpumodel_step(&m, two_cpus, 1 * S) == JT_OK && m.energy_j == before_j);
}

static void refuses_what_is_no_proc_stat(void)
{
	static const char *const bad[] = {
		"", "cpu", "cpu  ", "cpu  1 2\n", "cpu0 1 2 3 4 5\n", "intr 5\n"
	};
	struct jt_cpumodel m;

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++)
		check(jt__cpumodel_begin(&m, bad[i], 0) == JT_EIO);
	check(jt__cpumodel_begin(&m, "cpu  1 2 3 4 5 6 7 8\n", 0) == JT_EIO);
	jt__cpumodel_begin(&m, two_cpus, 0);
	check(jt__cpumodel_step(&m, "", S) == JT_EIO && m.energy_j == 0);
}

static void old_kernels_have_fewer_columns(void)
{
	struct jt_cpumodel m;

	check(jt__cpumodel_begin(&m, "cpu  10 0 10 60\ncpu0 10 0 10 60\n", 0) == JT_OK);
	check_near(m.utilisation, 0.25, 1e-9);
}

static void stolen_and_waiting_time_is_not_ours(void)
{
	struct jt_cpumodel m;

	jt__cpumodel_begin(&m, "cpu  10 10 10 40 10 5 5 10 99 99\ncpu0 0 0 0 0\n", 0);
	check_near(m.utilisation, 0.4, 1e-9);
}

static void a_domain_says_that_it_is_modelled(void)
{
	struct jt_source_options o = { .size = sizeof(o), .root = TREE("virtual-machine") };
	struct jt_sample s = { 0 };
	struct jt_domain d;
	void *state = NULL;

	if (!check(cpumodel->open(&o, &state, NULL) == JT_OK))
		return;
	cpumodel->describe(state, 0, &d);
	check(cpumodel->count(state) == 1 && d.sensor.provenance == JT_MODELLED);
	check_text(d.name, "cpu:0");
	check(strstr(d.device, "2 logical CPUs") != NULL && strstr(d.missing, "model") != NULL);
	check(cpumodel->read(state, 0, &s) == JT_OK && s.valid == d.valid);
	check(s.begin_ns == s.end_ns && s.end_ns > 0);
	check(s.power_mw > 0);
	cpumodel->close(state);
}

static void no_proc_is_an_absence(void)
{
	struct jt_source_options o = { .size = sizeof(o), .root = "/nonexistent" };
	struct jt_error err = { 0 };
	void *state = NULL;

	check(cpumodel->open(&o, &state, &err) == JT_ENOENT &&
	      strstr(err.message, "/proc/stat") != NULL);
	cpumodel->close(NULL);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	struct jt_source_options o = { .size = sizeof(o), .root = TREE("virtual-machine") };
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = cpumodel->open(&o, &state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 2);
	cpumodel->close(state);
}

int main(void)
{
	test(the_curve_goes_from_idle_to_busy);
	test(energy_is_the_integral_of_the_curve);
	test(frequent_readings_see_the_utilisation_of_a_longer_stretch);
	test(energy_never_falls_whatever_the_file_says);
	test(refuses_what_is_no_proc_stat);
	test(old_kernels_have_fewer_columns);
	test(stolen_and_waiting_time_is_not_ours);
	test(a_domain_says_that_it_is_modelled);
	test(no_proc_is_an_absence);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
