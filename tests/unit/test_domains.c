/* SPDX-License-Identifier: Apache-2.0 */
/* Which domains are inside of which, over all sources, and what follows for a service. */
#include "tap.h"
#include "tree.h"
#include "../fake/fake.h"
#include "base/clock.h"
#include "meter/inside.h"
#include "sources/source.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"

static struct fake fake;

static struct jt_source_set *open_set(const char *root, const char *library)
{
	struct jt_source_options o = { .size = sizeof(o), .root = root, .nvml_library = library };
	struct jt_source_set *set = NULL;

	check(jt__sources_open(&o, NULL, &set, NULL) == JT_OK);
	return set;
}

static const struct jt_domain *find(const struct jt_source_set *set, const char *name)
{
	static const struct jt_domain none;

	for (size_t i = 0; i < jt__sources_n_domains(set); i++)
		if (strcmp(jt__sources_domain(set, i)->info.name, name) == 0)
			return &jt__sources_domain(set, i)->info;
	check_text(name, "found");
	return &none;
}

/* "name(whole) …" of all domains. */
static const char *places(const char *root, const char *library)
{
	struct jt_source_set *set = open_set(root, library);
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < jt__sources_n_domains(set); i++) {
		const struct jt_domain *d = &jt__sources_domain(set, i)->info;

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s(%s)", n ? " " : "", d->name,
		                      d->part_of);
	}
	jt__sources_close(set);
	return text;
}

static void parts_know_their_whole(void)
{
	check_text(places(TREE("laptop"), NULL), "cpu:0(psys:0) psys:0()");
	check_text(places(TREE("xeon-two-sockets"), NULL), "cpu:0() dram:0() cpu:1() dram:1()");
	check_text(places(TREE("jetson"), NULL),
	           "board:0() rail:VDD_CPU_GPU_CV(board:0) rail:VDD_SOC(board:0)");
	check_text(places(TREE("grace"), NULL),
	           "cpu:0(grace:0) sysio:0(grace:0) grace:0(module:0) module:0()");
}

static void a_machines_meter_contains_what_others_measure(void)
{
	check_text(places(TREE("server"), NULL), "cpu:0(node:0) dram:0(node:0) node:0()");
	fake.reset();
	fake.script("gpus 2\n");
	check_text(places(TREE("server"), LIBRARY),
	           "gpu:0(node:0) gpu:1(node:0) cpu:0(node:0) dram:0(node:0) node:0()");
}

static void two_meters_of_a_machine_contain_nothing_that_is_known(void)
{
	struct tree t = tree_new(TREE("server"));

	tree_put(&t, "/sys/class/hwmon/hwmon1/name", "power_meter\n");
	tree_put(&t, "/sys/class/hwmon/hwmon1/power1_average", "100000000\n");
	check_text(places(t.root, NULL), "cpu:0() dram:0() node:0() node:1()");
	tree_free(&t);
}

static void an_apu_contains_its_cpu(void)
{
	check_text(places(TREE("radeon"), NULL), "gpu:0() apu:0() cpu:0(apu:0)");
}

static void gpus_of_a_superchip_are_inside_of_their_modules(void)
{
	struct tree t = tree_new(TREE("grace"));

	/* two modules of two GPUs each, as a GB200 has them */
	tree_put(&t, "/sys/class/hwmon/hwmon5/name", "power_meter\n");
	tree_put(&t, "/sys/class/hwmon/hwmon5/power1_average", "500000000\n");
	tree_put(&t, "/sys/class/hwmon/hwmon5/power1_oem_info", "Module Power Socket 1\n");
	fake.reset();
	fake.script("gpus 4\n");
	check_text(places(t.root, LIBRARY),
	           "gpu:0(module:0) gpu:1(module:0) gpu:2(module:1) gpu:3(module:1) cpu:0(grace:0) "
	           "sysio:0(grace:0) grace:0(module:0) module:0() module:1()");
	tree_free(&t);
}

static void what_two_sources_measure_is_metered_once(void)
{
	fake.reset();
	fake.script("gpu 0 name NVIDIA GH200 480GB\ngpu 0 power 0 300\ngpu 0 module_w 150\n");
	check_text(places(TREE("grace"), LIBRARY),
	           "gpu:0(module:0) module:0() cpu:0(grace:0) sysio:0(grace:0) grace:0(module:0)");
}

static void gpus_of_several_makers_are_numbered_on(void)
{
	struct tree t = tree_new(TREE("instinct"));
	struct jt_source_set *set;

	tree_run("cp -rT", TREE("arc"), t.root);
	set = open_set(t.root, NULL);
	check_text(find(set, "gpu:0")->source, "amdgpu"); /* as without Intel's */
	check_text(find(set, "gpu:2")->source, "amdgpu");
	check_text(find(set, "gpu:3")->uuid, "0000:1b:00.0");
	check_text(find(set, "gpu:5")->uuid, "0000:a0:00.0");
	jt__sources_close(set);
	fake.reset();
	fake.script("gpus 2\n");
	set = open_set(TREE("arc"), LIBRARY);
	check(jt__sources_n_domains(set) == 5);
	check_text(find(set, "gpu:1")->source, "nvml");
	check_text(find(set, "gpu:2")->uuid, "0000:1b:00.0");
	check_text(find(set, "gpu:4")->uuid, "0000:a0:00.0");
	jt__sources_close(set);
	tree_free(&t);
}

/* -- services -- */

/* What a service runs on at @root: with @names, which NULL ends, or with none. */
static int open_service(const char *root, const char *const *names, char *ret_domains,
                        struct jt_error *err)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_meter *m = NULL;
	size_t service;
	int status;

	o.sources.root = root;
	o.sources.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	so.domains = names;
	while (names && names[so.n_domains])
		so.n_domains++;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	status = jt_meter_add_service(m, &so, &service, err);
	if (status == JT_OK)
		strcpy(ret_domains, m->services[service].domain_names);
	jt_meter_free(m);
	return status;
}

static const char *runs_on(const char *root)
{
	static char domains[512];

	check(open_service(root, NULL, domains, NULL) == JT_OK);
	return domains;
}

static void a_service_runs_on_every_gpu(void)
{
	check_text(runs_on(TREE("instinct")), "gpu:0,gpu:2");
	check_text(runs_on(TREE("radeon")), "gpu:0"); /* and not on the APU beside it */
}

static void without_a_gpu_it_runs_on_what_contains_no_other(void)
{
	check_text(runs_on(TREE("laptop")), "cpu:0");
	check_text(runs_on(TREE("server")), "cpu:0,dram:0");
	check_text(runs_on(TREE("grace")), "cpu:0,sysio:0");
	check_text(runs_on(TREE("jetson")), "rail:VDD_CPU_GPU_CV,rail:VDD_SOC");
	check_text(runs_on(TREE("virtual-machine")), "cpu:0");
}

static void a_model_does_not_stand_in_for_the_meter_of_the_whole(void)
{
	struct tree t = tree_new(TREE("virtual-machine"));

	tree_put(&t, "/sys/class/hwmon/hwmon0/name", "power_meter\n");
	tree_put(&t, "/sys/class/hwmon/hwmon0/power1_average", "100000000\n");
	check_text(places(t.root, NULL), "node:0() cpu:0(node:0)");
	check_text(runs_on(t.root), "node:0");
	tree_free(&t);
}

static void naming_a_whole_and_its_part_is_an_error(void)
{
	static const char *const far[] = { "module:0", "sysio:0", NULL };
	static const char *const apart[] = { "cpu:0", "sysio:0", NULL };
	struct jt_error err = { 0 };
	char domains[512] = "";

	check(open_service(TREE("grace"), far, domains, &err) == JT_EINVAL);
	check_text(err.message,
	           "'sysio:0' is part of 'module:0': name one of them, or its energy counts twice");
	check(open_service(TREE("grace"), apart, domains, &err) == JT_OK);
	check_text(domains, "cpu:0,sysio:0");
}

static void a_circle_in_a_recording_is_no_end(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_service_options so = JT_SERVICE_OPTIONS_INIT;
	struct jt_meter *m = NULL;
	size_t service;

	o.sources.root = TREE("laptop");
	check(jt_meter_new(&o, &m, NULL) == JT_OK && m->n_stations == 2);
	strcpy(((struct jt_meter_domain *)m->stations[1].domain)->info.part_of, "cpu:0");
	check(jt_meter_add_service(m, &so, &service, NULL) == JT_OK);
	check_text(m->services[service].domain_names, ""); /* each contains the other */
	jt_meter_free(m);
}

/* -- energy -- */

/* The energy of a quarter of a second, once it is known. */
static struct jt_interval watch(struct jt_meter *m, const char *name)
{
	uint64_t begin = jt__now_ns() + JT_NS_PER_S / 2, end = begin + JT_NS_PER_S / 4;
	struct jt_interval iv = { 0 };
	size_t domain = 0;

	check(jt_meter_find_domain(m, name, &domain) == JT_OK);
	for (int tries = 0; tries < 2000; tries++) {
		usleep(10000);
		jt_meter_advance(m, jt__now_ns(), jt__now_ns());
		if (jt_meter_window(m, domain, begin, end, &iv) == JT_OK)
			break;
	}
	return iv;
}

/* The time that no reading of a domain speaks for, because a busy machine let it wait. */
struct unseen {
	size_t domain;
	uint64_t window_ns, last_ns, ns;
};

static void add_unseen(void *user, const struct jt_sample *s)
{
	uint64_t t = s->begin_ns + (s->end_ns - s->begin_ns) / 2;
	struct unseen *u = user;

	if (s->domain != u->domain)
		return;
	if (u->last_ns && t > u->last_ns + u->window_ns)
		u->ns += t - u->last_ns - u->window_ns;
	u->last_ns = t;
}

static void power_becomes_derived_energy(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;
	struct unseen unseen = { 0 };
	struct jt_interval iv;

	o.sources.root = TREE("grace");
	o.period_ns = 20 * JT_NS_PER_MS;
	o.on_sample = add_unseen;
	o.user = &unseen;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	check(jt_meter_find_domain(m, "cpu:0", &unseen.domain) == JT_OK);
	unseen.window_ns = jt_meter_domain(m, unseen.domain)->sensor.avg_window_ns;
	iv = watch(m, "cpu:0");
	check_near(iv.energy_uj * 1e-6, 95.0 / 4, 0.01);
	check(iv.provenance == JT_DERIVED && iv.coverage_ppm <= 1000000);
	check_near(iv.coverage_ppm, 1e6, 1 + (double)unseen.ns * 1e6 / (JT_NS_PER_S / 4.0));
	check(iv.bound_uj > iv.energy_uj / 50 && iv.bound_uj < iv.energy_uj / 5);
	jt_meter_free(m);
}

static void power_that_is_seen_now_and_then_is_covered_in_part(void)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;
	struct jt_interval iv;

	o.sources.root = TREE("jetson");
	o.period_ns = 20 * JT_NS_PER_MS;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	iv = watch(m, "board:0");
	check_near(iv.energy_uj * 1e-6, 6.0 / 4, 0.01);
	check(iv.provenance == JT_DERIVED);
	/* 4 ms at each of our readings, 20 ms apart or what a busy machine makes of it */
	check(iv.coverage_ppm > 20000 && iv.coverage_ppm < 250000);
	jt_meter_free(m);
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(parts_know_their_whole);
	test(a_machines_meter_contains_what_others_measure);
	test(two_meters_of_a_machine_contain_nothing_that_is_known);
	test(an_apu_contains_its_cpu);
	test(gpus_of_a_superchip_are_inside_of_their_modules);
	test(what_two_sources_measure_is_metered_once);
	test(gpus_of_several_makers_are_numbered_on);
	test(a_service_runs_on_every_gpu);
	test(without_a_gpu_it_runs_on_what_contains_no_other);
	test(a_model_does_not_stand_in_for_the_meter_of_the_whole);
	test(naming_a_whole_and_its_part_is_an_error);
	test(a_circle_in_a_recording_is_no_end);
	test(power_becomes_derived_energy);
	test(power_that_is_seen_now_and_then_is_covered_in_part);
	return tap_done();
}
