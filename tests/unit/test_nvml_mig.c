/* SPDX-License-Identifier: Apache-2.0 */
/* What a GPU is divided into and what it is a part of: MIG instances, Grace modules, GPM. */
#include <math.h>
#include <pthread.h>
#include <time.h>
#include "tap.h"
#include "../fake/fake.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/rng.h"
#include "sources/nvml_split.h"
#include "sources/source.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define ACTIVITY (JT_HAS_SM_ACTIVITY | JT_HAS_TENSOR_ACTIVITY | JT_HAS_DRAM_ACTIVITY)
/* Three, two and one of seven slices; one slice is nobody's. */
#define THREE_INSTANCES                                                                            \
	"gpu 0 noise_w 0\ngpu 0 mig 1\n"                                                           \
	"gpu 0 instance 1 3\ngpu 0 instance 5 2\ngpu 0 instance 9 1\n"

static struct fake fake;
static const struct jt_source_ops *const nvml = &jt__source_nvml;

static void *open_machine(const char *script, int gpm)
{
	const struct jt_source_options o = { .size = sizeof(o),
		                             .nvml_library = LIBRARY,
		                             .gpm = gpm };
	void *state = NULL;

	fake.reset();
	check(fake.script(script) == 0);
	return nvml->open(&o, &state, NULL) == JT_OK ? state : NULL;
}

static struct jt_sample read_domain(void *state, size_t i)
{
	struct jt_sample s = { 0 };

	nvml->read(state, i, &s);
	return s;
}

static struct jt_domain describe(void *state, size_t i)
{
	struct jt_domain d;

	nvml->describe(state, i, &d);
	return d;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* -- the model -- */

static uint64_t sum_uj(const struct nvml_split *s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		sum += jt__nvml_split_energy_uj(s, i);
	return sum;
}

static nvml_fine sum_fine(const struct nvml_split *s)
{
	nvml_fine sum = s->nobody;

	for (size_t i = 0; i < s->n; i++)
		sum += s->part[i];
	return sum;
}

/* Whatever the instances, the counter and the activities: no µJ is lost and none is made up. */
static void parts_and_what_is_nobodys_are_the_whole(void)
{
	struct jt_rng rng = { 1 };

	for (int round = 0; round < 200; round++) {
		unsigned slices[NVML_MAX_INSTANCES];
		uint32_t activity[NVML_MAX_INSTANCES];
		size_t n = 1 + jt__rng_below(&rng, 7);
		uint64_t begin_uj = jt__rng_u64(&rng) >> 10, uj = begin_uj, t_ns = 1, given_uj;
		struct nvml_split s;

		for (size_t i = 0; i < n; i++)
			slices[i] = 1 + (unsigned)jt__rng_below(&rng, 4);
		jt__nvml_split_init(&s, 7, slices, n);
		jt__nvml_split_add(&s, uj, t_ns, NULL);
		for (int k = 0; k < 300; k++) {
			uint64_t before[NVML_MAX_INSTANCES];

			for (size_t i = 0; i < n; i++) {
				before[i] = jt__nvml_split_energy_uj(&s, i);
				activity[i] = (uint32_t)jt__rng_below(&rng, 3) *
				              (uint32_t)jt__rng_below(&rng, 500001);
			}
			uj += jt__rng_below(&rng, 3) * jt__rng_below(&rng, 100000000);
			t_ns += 1 + jt__rng_below(&rng, 300 * JT_NS_PER_MS);
			check(jt__nvml_split_add(&s, uj, t_ns, k % 5 ? activity : NULL));
			for (size_t i = 0; i < n; i++)
				check(jt__nvml_split_energy_uj(&s, i) >= before[i]);
		}
		/* An update is only taken when time has passed, so that the last may be missing. */
		given_uj = s.counter_uj - begin_uj;
		check(s.whole == (nvml_fine)given_uj << 32);
		check(sum_fine(&s) == s.whole);
		check(sum_uj(&s) <= given_uj);
		check(given_uj - sum_uj(&s) - (uint64_t)(s.nobody >> 32) <= n);
	}
}

static void by_slices_alone_an_unknown_activity_changes_nothing(void)
{
	static const unsigned slices[] = { 3, 2, 1 };
	struct nvml_split s;

	jt__nvml_split_init(&s, 7, slices, 3);
	jt__nvml_split_add(&s, 5000000, 1, NULL);
	jt__nvml_split_add(&s, 12000000, 1 + JT_NS_PER_S, NULL);
	check(jt__nvml_split_energy_uj(&s, 0) == 3000000);
	check(jt__nvml_split_energy_uj(&s, 1) == 2000000);
	check(jt__nvml_split_energy_uj(&s, 2) == 1000000);
	check(s.nobody >> 32 == 1000000);
	check(jt__nvml_split_power_mw(&s, 1, 70000, NULL) == 20000);
}

/* 70 W of it with nothing to do, found in the first seconds; then one works, half as hard another.
 */
static void what_is_above_idle_goes_to_who_works(void)
{
	static const unsigned slices[] = { 3, 2, 1 };
	static const uint32_t still[] = { 0, 0, 0 }, busy[] = { 800000, 0, 400000 };
	struct nvml_split s;
	uint64_t before[3], t_ns = 1, uj = 0;

	jt__nvml_split_init(&s, 7, slices, 3);
	jt__nvml_split_add(&s, uj, t_ns, still);
	for (int i = 0; i < 40; i++)
		jt__nvml_split_add(&s, uj += 7000000, t_ns += 100 * JT_NS_PER_MS, still);
	check(s.idle_mw == 70000);
	for (size_t i = 0; i < 3; i++)
		before[i] = jt__nvml_split_energy_uj(&s, i);
	for (int i = 0; i < 10; i++) /* 70 W + 280 W */
		jt__nvml_split_add(&s, uj += 35000000, t_ns += 100 * JT_NS_PER_MS, busy);
	check_near((double)(jt__nvml_split_energy_uj(&s, 0) - before[0]), 30e6 + 240e6, 10);
	check_near((double)(jt__nvml_split_energy_uj(&s, 1) - before[1]), 20e6, 10);
	check_near((double)(jt__nvml_split_energy_uj(&s, 2) - before[2]), 10e6 + 40e6, 10);
	check(jt__nvml_split_power_mw(&s, 0, 350000, busy) == 270000);
	check(jt__nvml_split_power_mw(&s, 1, 350000, busy) == 20000);
}

static void a_lie_of_the_counter_is_passed_over_and_a_restart_is_passed_on(void)
{
	static const unsigned slices[] = { 7 };
	struct nvml_split s;

	jt__nvml_split_init(&s, 7, slices, 1);
	jt__nvml_split_add(&s, 9000000, 100, NULL);
	jt__nvml_split_add(&s, 10000000, 200, NULL);
	check(!jt__nvml_split_add(&s, 3, 300, NULL));
	check(jt__nvml_split_add(&s, 11000000, 400, NULL));
	check(jt__nvml_split_energy_uj(&s, 0) == 2000000);
	check(!jt__nvml_split_add(&s, 5, 500, NULL));
	check(jt__nvml_split_add(&s, 4000005, 600, NULL));
	check(jt__nvml_split_energy_uj(&s, 0) == 4000000 && sum_fine(&s) == s.whole);
}

static void the_stated_tolerance_is_that_of_the_model(void)
{
	check(jt__nvml_split_gain_ppm(7, 7, 0) == 0);
	check(jt__nvml_split_gain_ppm(7, 7, 500000) == 0);
	check(jt__nvml_split_gain_ppm(3, 7, 500000) == 500000);
	check(jt__nvml_split_gain_ppm(1, 7, 0) == 6000000); /* all of it, at most */
	check(jt__nvml_split_gain_ppm(4, 7, 0) == 1000000); /* nothing of it, at least */
}

/* -- instances -- */

static void each_instance_is_a_domain(void)
{
	void *state = open_machine("gpus 2\n" THREE_INSTANCES, 0);
	struct jt_domain d;

	check(nvml->count(state) == 5);
	check_text(describe(state, 0).name, "gpu:0");
	check(strstr(describe(state, 0).missing, "whole GPU") != NULL);
	check_text(describe(state, 4).name, "gpu:1");
	d = describe(state, 2);
	check_text(d.name, "mig:0:5");
	check_text(d.part_of, "gpu:0");
	check_text(d.source, "nvml");
	check_text(d.device, "NVIDIA H100 80GB HBM3 MIG 2g.20gb (2 of 7 slices)");
	check(strncmp(d.uuid, "MIG-", 4) == 0 && strcmp(d.uuid, describe(state, 1).uuid) != 0);
	check_text(d.sensor.name, "mig");
	check(d.sensor.provenance == JT_MODELLED);
	check(d.sensor.gain_ppm == describe(state, 0).sensor.gain_ppm + 2500000);
	check(d.valid == (JT_HAS_ENERGY | JT_HAS_POWER));
	check(strstr(d.missing, "modelled") && strstr(d.missing, "slices alone") &&
	      strstr(d.missing, "1 of 7 slices"));
	nvml->close(state);
}

static void compute_instances_of_one_gpu_instance_are_one_domain(void)
{
	void *state = open_machine("gpu 0 mig 1\ngpu 0 instance 2 4 3\n", 0);

	check(nvml->count(state) == 2);
	check_text(describe(state, 1).name, "mig:0:2");
	nvml->close(state);
}

static void without_instances_there_is_the_gpu_alone(void)
{
	void *state = open_machine("gpu 0 mig 1\n", 0);

	check(nvml->count(state) == 1);
	nvml->close(state);
	state = open_machine("gpu 0 instance 1 3\n", 0); /* MIG is off */
	check(nvml->count(state) == 1);
	nvml->close(state);
}

static void parts_follow_the_gpus_counter_and_never_exceed_it(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 burst 80 650 0.02 0.7 5\n", 0);
	uint64_t begin_uj, whole_uj, sum = 0;

	fake.set_time_ns(10 * JT_NS_PER_S);
	begin_uj = read_domain(state, 0).energy_uj;
	for (size_t i = 1; i <= 3; i++)
		check(read_domain(state, i).energy_uj == 0);
	fake.set_time_ns(70 * JT_NS_PER_S);
	whole_uj = read_domain(state, 0).energy_uj - begin_uj;
	for (size_t i = 1; i <= 3; i++) {
		struct jt_sample s = read_domain(state, i);

		check(s.status == JT_OK && s.valid == (JT_HAS_ENERGY | JT_HAS_POWER));
		check_near((double)s.energy_uj, (double)whole_uj * (double)(4 - i) / 7, 1);
		sum += s.energy_uj;
	}
	check(sum <= whole_uj);
	check_near((double)(whole_uj - sum), (double)whole_uj / 7, 3);
	nvml->close(state);
}

/* All in one tick: one call of the driver for the GPU, and one for its instances. */
static void a_tick_of_all_instances_is_one_field_call(void)
{
	void *state = open_machine(THREE_INSTANCES, 0);
	uint64_t before, mig;

	for (size_t i = 0; i <= 3; i++)
		read_domain(state, i);
	before = fake.calls("nvmlDeviceGetFieldValues");
	mig = fake.calls("nvmlDeviceGetMigDeviceHandleByIndex");
	for (int k = 0; k < 20; k++)
		for (size_t i = 0; i <= 3; i++)
			read_domain(state, i);
	check(fake.calls("nvmlDeviceGetFieldValues") == before + 40);
	check(fake.calls("nvmlDeviceGetMigDeviceHandleByIndex") == mig);
	nvml->close(state);
}

static void readings_of_an_instance_come_in_order(void)
{
	void *state = open_machine(THREE_INSTANCES, 0);
	static const size_t order[] = { 1, 2, 2, 3, 1, 1, 3, 2, 1, 3, 3, 3, 2 };
	uint64_t end_ns[4] = { 0 };

	for (size_t k = 0; k < JT_ARRAY_LEN(order); k++) {
		struct jt_sample s = read_domain(state, order[k]);

		check(s.begin_ns >= end_ns[order[k]] && s.end_ns >= s.begin_ns);
		end_ns[order[k]] = s.end_ns;
	}
	nvml->close(state);
}

struct reader {
	void *state;
	size_t i;
	uint64_t first_uj, last_uj;
	bool ordered;
};

static void *read_for_a_while(void *arg)
{
	struct reader *r = arg;
	struct jt_sample s = read_domain(r->state, r->i);
	uint64_t end_ns = s.end_ns;

	r->first_uj = s.energy_uj;
	r->ordered = true;
	for (int k = 0; k < 300; k++) {
		s = read_domain(r->state, r->i);
		r->ordered &=
			s.status == JT_OK && s.begin_ns >= end_ns && s.energy_uj >= r->last_uj;
		end_ns = s.end_ns;
		r->last_uj = s.energy_uj;
		if (k % 8 == (int)r->i)
			sleep_ms(1);
	}
	return NULL;
}

static void threads_that_read_at_once_get_parts_of_one_whole(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 update_ms 5\ngpu 0 power 0 400\n", 0);
	struct reader r[4];
	pthread_t threads[4];
	uint64_t parts[4], begin_uj = read_domain(state, 0).energy_uj;

	for (size_t i = 0; i < 4; i++) {
		r[i] = (struct reader){ .state = state, .i = i };
		pthread_create(&threads[i], NULL, read_for_a_while, &r[i]);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		check(r[i].ordered);
	}
	fake.set_time_ns(1000 * JT_NS_PER_S); /* where time stands still */
	for (size_t i = 1; i < 4; i++)
		read_domain(state, i); /* one of them makes the last division */
	for (size_t i = 0; i < 4; i++)
		parts[i] = read_domain(state, i).energy_uj;
	check(parts[0] > begin_uj && parts[1] + parts[2] + parts[3] <= parts[0] - begin_uj);
	check_near((double)parts[1] / (double)parts[3], 3, 1e-4);
	check_near((double)parts[2] / (double)parts[3], 2, 1e-4);
	nvml->close(state);
}

static void an_instance_that_is_destroyed_is_lost_and_the_others_go_on(void)
{
	void *state = open_machine(THREE_INSTANCES, 0);
	uint64_t before[4];

	for (size_t i = 0; i <= 3; i++)
		check(read_domain(state, i).status == JT_OK);
	fake.script("gpu 0 gone 5 0\n");
	sleep_ms(5050);
	check(read_domain(state, 2).status == JT_ELOST && read_domain(state, 2).valid == 0);
	for (size_t i = 0; i <= 3; i++)
		before[i] = read_domain(state, i).energy_uj;
	sleep_ms(300);
	check(read_domain(state, 0).energy_uj > before[0]);
	check(read_domain(state, 1).energy_uj > before[1]);
	check(read_domain(state, 3).energy_uj > before[3]);
	/* nobody has got its slices */
	check_near((double)(read_domain(state, 1).energy_uj - before[1]) /
	                   (double)(read_domain(state, 0).energy_uj - before[0]),
	           3. / 7, .15);
	nvml->close(state);
}

static void with_the_gpu_its_instances_are_lost_and_come_back(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 lost 20 30\n", 0);

	fake.set_time_ns(10 * JT_NS_PER_S);
	check(read_domain(state, 1).status == JT_OK);
	fake.set_time_ns(25 * JT_NS_PER_S);
	check(read_domain(state, 1).status == JT_ELOST);
	check(read_domain(state, 0).status == JT_ELOST);
	fake.set_time_ns(31 * JT_NS_PER_S);
	sleep_ms(1050);
	check(read_domain(state, 0).status == JT_OK);
	check(read_domain(state, 1).status == JT_OK && read_domain(state, 1).energy_uj > 0);
	nvml->close(state);
}

static void a_reset_of_the_gpu_is_one_of_its_instances(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 reset 20\n", 0);
	uint64_t before;

	fake.set_time_ns(10 * JT_NS_PER_S);
	read_domain(state, 1);
	fake.set_time_ns(19 * JT_NS_PER_S);
	before = read_domain(state, 1).energy_uj;
	fake.set_time_ns(21 * JT_NS_PER_S);
	check(!(read_domain(state, 1).valid & JT_HAS_ENERGY)); /* not yet known */
	fake.set_time_ns(22 * JT_NS_PER_S);
	check(read_domain(state, 1).energy_uj < before);
	check_near((double)read_domain(state, 1).energy_uj / 1e6, 100 * 3. / 7, 10);
	nvml->close(state);
}

static void a_gpu_that_tells_no_size_of_an_instance_leaves_it_out(void)
{
	void *state = open_machine("gpu 0 mig 1\ngpu 0 instance 1 0\ngpu 0 instance 2 4\n", 0);

	check(nvml->count(state) == 2);
	check_text(describe(state, 1).name, "mig:0:2");
	check(strstr(describe(state, 1).missing, "3 of 7 slices") != NULL);
	nvml->close(state);
}

/* -- profiling counters -- */

static void profiling_counters_are_not_touched_unless_asked_for(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 activity 0 .5 .4 .3\n", 0);

	for (size_t i = 0; i <= 3; i++)
		check(!(read_domain(state, i).valid & ACTIVITY));
	check(fake.calls("nvmlGpmSampleGet") == 0 && fake.calls("nvmlGpmMigSampleGet") == 0);
	check(fake.calls("nvmlGpmQueryDeviceSupport") == 0);
	nvml->close(state);
}

static void tells_how_busy_a_gpu_is(void)
{
	void *state = open_machine("gpu 0 activity 0 .5 .4 .3\n", 1);
	struct jt_sample s = read_domain(state, 0);

	check(describe(state, 0).valid & JT_HAS_TENSOR_ACTIVITY);
	check(!(s.valid & ACTIVITY)); /* it takes two */
	sleep_ms(120);
	s = read_domain(state, 0);
	check((s.valid & ACTIVITY) == ACTIVITY);
	check(s.sm_activity_ppm == 500000 && s.tensor_activity_ppm == 400000);
	check(s.dram_activity_ppm == 300000);
	nvml->close(state);
}

/* Closer than 100 ms the driver has nothing new. */
static void samples_are_taken_no_closer_than_the_driver_renews_them(void)
{
	void *state = open_machine("gpu 0 activity 0 .5 .4 .3\n", 1);
	uint64_t begin_ns = jt__now_ns(), before = fake.calls("nvmlGpmSampleGet");
	double seconds;

	for (int i = 0; i < 100; i++) {
		read_domain(state, 0);
		sleep_ms(3);
	}
	seconds = (double)(jt__now_ns() - begin_ns) * 1e-9;
	check((double)(fake.calls("nvmlGpmSampleGet") - before) <= seconds / 0.1);
	check((read_domain(state, 0).valid & ACTIVITY) == ACTIVITY);
	nvml->close(state);
}

static void a_failure_of_the_counters_costs_them_alone(void)
{
	void *state = open_machine("gpu 0 activity 0 .5 .4 .3\n", 1);
	struct jt_sample s;

	sleep_ms(120);
	check(read_domain(state, 0).valid & ACTIVITY);
	fake.script("gpu 0 error nvmlGpmSampleGet 999\n");
	sleep_ms(120);
	s = read_domain(state, 0);
	check(s.status == JT_OK && s.valid & JT_HAS_ENERGY && !(s.valid & ACTIVITY));
	fake.script("gpu 0 error nvmlGpmSampleGet 0\n");
	read_domain(state, 0);
	sleep_ms(120);
	check((read_domain(state, 0).valid & ACTIVITY) == ACTIVITY);
	nvml->close(state);
}

static void says_where_there_are_no_profiling_counters(void)
{
	void *state = open_machine("gpu 0 arch 7\ngpu 0 name NVIDIA A100-SXM4-80GB\n", 1);

	check(strstr(describe(state, 0).missing, "Hopper") != NULL);
	check(!(describe(state, 0).valid & ACTIVITY));
	nvml->close(state);
	state = open_machine("gpu 0 error nvmlGpmSampleGet 4\n", 1);
	check(strstr(describe(state, 0).missing, "profiling") != NULL);
	check(read_domain(state, 0).status == JT_OK);
	nvml->close(state);
}

/* 2 s at 100 W, then 600 W by the instance of three slices alone. */
static void instances_share_by_activity_where_it_is_known(void)
{
	void *state = open_machine(THREE_INSTANCES "gpu 0 power 0 100 3 600\n"
	                                           "gpu 0 works 1 0 0 0 0 3 .9 .5 .5\n"
	                                           "gpu 0 works 5 0 0 0 0\n"
	                                           "gpu 0 works 9 0 0 0 0\n",
	                           1);
	double begin_s = (double)fake.now_ns() * 1e-9, energy_j[4];
	uint64_t at_ns = fake.now_ns();

	check(strstr(describe(state, 1).missing, "activity") != NULL);
	check(describe(state, 1).sensor.gain_ppm < 600000);
	while ((double)fake.now_ns() * 1e-9 < begin_s + 3.3) {
		for (size_t i = 1; i <= 3; i++)
			read_domain(state, i);
		sleep_ms(20);
	}
	for (size_t i = 1; i <= 3; i++)
		energy_j[i] = (double)read_domain(state, i).energy_uj * 1e-6;
	at_ns = fake.now_ns();
	sleep_ms(1000);
	for (size_t i = 1; i <= 3; i++)
		energy_j[i] = (double)read_domain(state, i).energy_uj * 1e-6 - energy_j[i];
	{
		double seconds = (double)(fake.now_ns() - at_ns) * 1e-9;

		/* 3/7 of 100 W and all of the other 500; 2/7 and 1/7 of 100 W */
		check_near(energy_j[1] / seconds, 542.9, 110);
		check_near(energy_j[2] / seconds, 28.6, 15);
		check_near(energy_j[3] / seconds, 14.3, 10);
	}
	check(read_domain(state, 1).sm_activity_ppm == 900000);
	check(read_domain(state, 2).valid & JT_HAS_SM_ACTIVITY);
	check(read_domain(state, 2).sm_activity_ppm == 0);
	check_near(read_domain(state, 1).power_mw, 542900, 20000);
	nvml->close(state);
}

/* -- modules -- */

static void a_superchip_has_a_module_that_contains_the_gpu(void)
{
	void *state = open_machine("gpu 0 name NVIDIA GH200 480GB\ngpu 0 module_w 150\n"
	                           "gpu 0 power 0 300\ngpu 0 noise_w 0\n",
	                           0);
	struct jt_domain d;
	struct jt_sample s;

	fake.set_time_ns(10 * JT_NS_PER_S);
	check(nvml->count(state) == 2);
	check_text(describe(state, 0).part_of, "module:0");
	d = describe(state, 1);
	check_text(d.name, "module:0");
	check_text(d.part_of, "");
	check_text(d.sensor.name, "module");
	check(d.valid == (JT_HAS_ENERGY | JT_HAS_POWER | JT_HAS_POWER_AVG));
	check(strstr(d.missing, "contains GPU, CPU") != NULL);
	s = read_domain(state, 1);
	check(s.power_mw == 450000 && s.power_avg_mw == 450000);
	check(s.energy_uj > read_domain(state, 0).energy_uj);
	check(read_domain(state, 0).power_mw == 300000);
	nvml->close(state);
}

static void where_only_the_module_is_told_there_is_no_gpu(void)
{
	void *state = open_machine(
		"gpu 0 name NVIDIA GH200 480GB\ngpu 0 module_w 150\ngpu 0 noise_w 0\n"
		"gpu 0 error field:186 3\ngpu 0 error field:185 3\ngpu 0 error field:83 3\n"
		"gpu 0 error nvmlDeviceGetPowerUsage 3\n"
		"gpu 0 error nvmlDeviceGetTotalEnergyConsumption 3\n"
		"gpu 0 error field:191@1 3\n",
		0);

	check(nvml->count(state) == 1);
	check_text(describe(state, 0).name, "module:0");
	check(strstr(describe(state, 0).missing, "does not tell the GPU alone") != NULL);
	check(strstr(describe(state, 0).missing, "integrated power") != NULL);
	check(read_domain(state, 0).power_mw == 250000);
	nvml->close(state);
}

static void a_driver_that_ignores_scopes_makes_no_module(void)
{
	void *state = open_machine("gpu 0 ignores_scope 1\n", 0);

	check(nvml->count(state) == 1);
	check_text(describe(state, 0).part_of, "");
	nvml->close(state);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	const struct jt_source_options o = { .size = sizeof(o), .nvml_library = LIBRARY, .gpm = 1 };
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	fake.reset();
	check(fake.script(THREE_INSTANCES) == 0);
	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = nvml->open(&o, &state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 6 && state);
	nvml->close(state);
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(parts_and_what_is_nobodys_are_the_whole);
	test(by_slices_alone_an_unknown_activity_changes_nothing);
	test(what_is_above_idle_goes_to_who_works);
	test(a_lie_of_the_counter_is_passed_over_and_a_restart_is_passed_on);
	test(the_stated_tolerance_is_that_of_the_model);
	test(each_instance_is_a_domain);
	test(compute_instances_of_one_gpu_instance_are_one_domain);
	test(without_instances_there_is_the_gpu_alone);
	test(parts_follow_the_gpus_counter_and_never_exceed_it);
	test(a_tick_of_all_instances_is_one_field_call);
	test(readings_of_an_instance_come_in_order);
	test(threads_that_read_at_once_get_parts_of_one_whole);
	test(an_instance_that_is_destroyed_is_lost_and_the_others_go_on);
	test(with_the_gpu_its_instances_are_lost_and_come_back);
	test(a_reset_of_the_gpu_is_one_of_its_instances);
	test(a_gpu_that_tells_no_size_of_an_instance_leaves_it_out);
	test(profiling_counters_are_not_touched_unless_asked_for);
	test(tells_how_busy_a_gpu_is);
	test(samples_are_taken_no_closer_than_the_driver_renews_them);
	test(a_failure_of_the_counters_costs_them_alone);
	test(says_where_there_are_no_profiling_counters);
	test(instances_share_by_activity_where_it_is_known);
	test(a_superchip_has_a_module_that_contains_the_gpu);
	test(where_only_the_module_is_told_there_is_no_gpu);
	test(a_driver_that_ignores_scopes_makes_no_module);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
