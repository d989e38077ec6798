/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "../fake/fake.h"
#include "base/base.h"
#include "sources/source.h"
#include "sources/sysfs.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define TREE(name) JT_SOURCE_ROOT "/tests/data/sysfs/" name

static struct fake fake;

static struct jt_source_set *open_set(const char *root, const char *library,
                                      const struct jt_source_ops *const *extra)
{
	struct jt_source_options o = { .size = sizeof(o), .root = root, .nvml_library = library };
	struct jt_source_set *set = NULL;

	check(jt__sources_open(&o, extra, &set, NULL) == JT_OK);
	return set;
}

static const struct jt_domain *find(const struct jt_source_set *set, const char *name)
{
	for (size_t i = 0; i < jt__sources_n_domains(set); i++)
		if (strcmp(jt__sources_domain(set, i)->info.name, name) == 0)
			return &jt__sources_domain(set, i)->info;
	return NULL;
}

static const struct jt_source_absence *find_absent(const struct jt_source_set *set,
                                                   const char *name)
{
	for (size_t i = 0; i < jt__sources_n_absent(set); i++)
		if (strcmp(jt__sources_absent(set, i)->ops->name, name) == 0)
			return jt__sources_absent(set, i);
	return NULL;
}

/* A source for the table: one domain, named as it is told to. */
static const char *guest_name = "gpu:0";
static int n_guests_open;

static int guest_open(const struct jt_source_options *o, void **ret_state, struct jt_error *err)
{
	(void)o, (void)err;
	*ret_state = &n_guests_open;
	n_guests_open++;
	return JT_OK;
}

static size_t guest_count(const void *state)
{
	(void)state;
	return 1;
}

static void guest_describe(const void *state, size_t i, struct jt_domain *ret_domain)
{
	(void)state, (void)i;
	*ret_domain = (struct jt_domain){ .source = "guest" };
	snprintf(ret_domain->name, sizeof(ret_domain->name), "%s", guest_name);
}

static int guest_read(void *state, size_t i, struct jt_sample *out)
{
	(void)state, (void)i;
	out->valid = JT_HAS_ENERGY;
	return JT_OK;
}

static void guest_close(void *state)
{
	n_guests_open -= state != NULL;
}

static const struct jt_source_ops guest = { "guest",        "",         guest_open, guest_count,
	                                    guest_describe, guest_read, guest_close };
static const struct jt_source_ops *const with_guest[] = { &guest, NULL };

static void opens_all_that_is_there(void)
{
	struct jt_source_set *set;
	struct jt_sample s;

	fake.reset();
	fake.script("gpus 2\n");
	set = open_set(TREE("xeon-two-sockets"), LIBRARY, NULL);
	check(jt__sources_n_domains(set) == 6);
	check(find(set, "gpu:0") && find(set, "gpu:1") && find(set, "cpu:1") &&
	      find(set, "dram:1"));
	for (size_t i = 0; i < jt__sources_n_domains(set); i++) {
		const struct jt_meter_domain *d = jt__sources_domain(set, i);

		s = (struct jt_sample){ 0 };
		check(d->ops->read(d->state, d->index, &s) == JT_OK && s.valid & JT_HAS_ENERGY);
	}
	check(jt__sources_domain(set, 6) == NULL);
	jt__sources_close(set);
}

static void says_why_a_source_is_absent(void)
{
	struct jt_source_set *set = open_set(TREE("virtual-machine"), NULL, NULL);

	check(find_absent(set, "nvml") && find_absent(set, "nvml")->error.status == JT_ENOENT);
	check(find_absent(set, "rapl") && find_absent(set, "rapl")->error.message[0]);
	check(!find_absent(set, "cpumodel") && !find_absent(set, "replay"));
	jt__sources_close(set);
}

static void the_model_answers_only_where_the_cpu_has_no_meter(void)
{
	struct jt_source_set *set = open_set(TREE("virtual-machine"), NULL, NULL);

	check(jt__sources_n_domains(set) == 1 && find(set, "cpu:0"));
	check_text(find(set, "cpu:0")->source, "cpumodel");
	jt__sources_close(set);

	set = open_set(TREE("epyc"), NULL, NULL);
	check_text(find(set, "cpu:0")->source, "rapl");
	check(find_absent(set, "cpumodel") != NULL);
	jt__sources_close(set);
}

static void nothing_to_measure_is_no_error(void)
{
	struct jt_source_set *set = open_set("/nonexistent", NULL, NULL);

	check(jt__sources_n_domains(set) == 0 && jt__sources_n_absent(set) == 5);
	check(jt__sources_domain(set, 0) == NULL && jt__sources_absent(set, 5) == NULL);
	jt__sources_close(set);
	jt__sources_close(NULL);
}

static void a_source_from_outside_comes_first_and_names_stay_unique(void)
{
	struct jt_source_set *set;

	fake.reset();
	set = open_set("/nonexistent", LIBRARY, with_guest);
	check(jt__sources_n_domains(set) == 2);
	check_text(find(set, "gpu:0")->source, "guest");
	check(find(set, "gpu:0@nvml") != NULL);
	jt__sources_close(set);
	check(n_guests_open == 0);
}

static void what_firmware_calls_a_domain_is_clean(void)
{
	struct jt_source_set *set;

	guest_name = "rail:\x1b[1m\n\xff";
	set = open_set("/nonexistent", NULL, with_guest);
	check(find(set, "rail:?[1m??") != NULL);
	jt__sources_close(set);
}

static void a_cpu_from_outside_needs_no_model(void)
{
	struct jt_source_set *set;

	guest_name = "cpu:0";
	set = open_set(TREE("virtual-machine"), NULL, with_guest);
	check(jt__sources_n_domains(set) == 1 && find_absent(set, "cpumodel"));
	jt__sources_close(set);
	guest_name = "gpu:0";
}

static void a_replay_stands_alone(void)
{
	struct jt_source_options o = { .size = sizeof(o), .replay_file = "/nonexistent.csv" };
	struct jt_source_set *set = NULL;
	struct jt_error err = { 0 };

	check(jt__sources_open(&o, NULL, &set, &err) < 0 && !set);
	check(strstr(err.message, "/nonexistent.csv") != NULL);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	struct jt_source_options o = { .size = sizeof(o),
		                       .root = TREE("virtual-machine"),
		                       .nvml_library = LIBRARY };
	struct jt_source_set *set = NULL;
	int status = JT_ENOMEM;
	uint64_t nth = 0;

	fake.reset();
	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = jt__sources_open(&o, with_guest, &set, NULL);
		jt__alloc_fail_at(0);
		check(status == JT_OK || n_guests_open == 0);
	}
	check(status == JT_OK && nth > 3 && jt__sources_n_domains(set) == 3);
	jt__sources_close(set);
}

static void suggests_modules_for_this_machine_alone(void)
{
	char text[96];

	check_text(jt__module_hint("", "amdgpu", text), "try: sudo modprobe amdgpu");
	check_text(jt__module_hint("/host", "amdgpu", text),
	           "the kernel module amdgpu may be missing there");
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(opens_all_that_is_there);
	test(says_why_a_source_is_absent);
	test(the_model_answers_only_where_the_cpu_has_no_meter);
	test(nothing_to_measure_is_no_error);
	test(a_source_from_outside_comes_first_and_names_stay_unique);
	test(what_firmware_calls_a_domain_is_clean);
	test(a_cpu_from_outside_needs_no_model);
	test(a_replay_stands_alone);
	test(opens_or_fails_cleanly_at_every_allocation);
	test(suggests_modules_for_this_machine_alone);
	return tap_done();
}
