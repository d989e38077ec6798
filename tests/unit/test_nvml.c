/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>
#include "tap.h"
#include "../fake/fake.h"
#include "base/base.h"
#include "base/clock.h"
#include "sources/nvml_api.h"
#include "sources/source.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define OLD_LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml-old.so.1"
#define FIGURES (JT_HAS_ENERGY | JT_HAS_POWER | JT_HAS_POWER_AVG)
#define BESIDE                                                                                     \
	(JT_HAS_TEMPERATURE | JT_HAS_SM_CLOCK | JT_HAS_MEM_CLOCK | JT_HAS_LIMIT | JT_HAS_REASONS)

static struct fake fake;
static const struct jt_source_ops *const nvml = &jt__source_nvml;

static const struct jt_source_options options = { .size = sizeof(options),
	                                          .nvml_library = LIBRARY };

/*
 * A source over the fake as the script sets it up, at virtual time 10 s; NULL if it does not open.
 */
static void *open_with(const char *script)
{
	void *state = NULL;

	fake.reset();
	check(fake.script(script) == 0);
	fake.set_time_ns(10 * JT_NS_PER_S);
	return nvml->open(&options, &state, NULL) == JT_OK ? state : NULL;
}

static struct jt_sample read_gpu(void *state, size_t i)
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

static void reads_everything_a_new_driver_tells(void)
{
	void *state = open_with(
		"gpu 0 power 0 250\ngpu 0 noise_w 0\ngpu 0 counter_j 1000\ngpu 0 reasons 0x24\n");
	struct jt_sample s = read_gpu(state, 0);
	struct jt_domain d = describe(state, 0);

	check(s.status == JT_OK && s.valid == (FIGURES | BESIDE));
	check(s.power_mw == 250000 && s.power_avg_mw == 250000);
	check_near((double)s.energy_uj, 3500e6, 250e6 * 0.11);
	check(s.temperature_mc == 41000 && s.sm_clock_mhz == 1980 && s.mem_clock_mhz == 2619);
	check(s.limit_mw == 700000 && s.reasons == (JT_REASON_SW_POWER_CAP | JT_REASON_SW_THERMAL));
	check(s.begin_ns > 0 && s.end_ns >= s.begin_ns && s.end_ns <= jt__now_ns());
	check(d.valid == s.valid);
	check_text(d.name, "gpu:0");
	check_text(d.source, "nvml");
	check_text(d.device, "NVIDIA H100 80GB HBM3");
	check_text(d.uuid, "GPU-fa4e0000-0000-4000-8000-000000000000");
	check_text(d.sensor.name, "gh100");
	check_text(d.missing, "");
	nvml->close(state);
}

static void the_counter_is_the_true_energy_to_one_update(void)
{
	void *state = open_with("gpu 0 burst 80 650 0.02 0.7 5\n");
	uint64_t from_uj = read_gpu(state, 0).energy_uj;
	double true_j;

	fake.set_time_ns(70 * JT_NS_PER_S);
	true_j = fake.true_energy_j(0, 10 * JT_NS_PER_S, 70 * JT_NS_PER_S);
	check(true_j > 60 * 80 && true_j < 60 * 650);
	check_near((double)(read_gpu(state, 0).energy_uj - from_uj) / 1e6, true_j, 650 * 0.11);
	nvml->close(state);
}

static void a_tick_is_one_field_call(void)
{
	void *state = open_with("");
	uint64_t before, power, energy;

	read_gpu(state, 0);
	before = fake.calls("nvmlDeviceGetFieldValues");
	power = fake.calls("nvmlDeviceGetPowerUsage");
	energy = fake.calls("nvmlDeviceGetTotalEnergyConsumption");
	for (int i = 0; i < 20; i++)
		read_gpu(state, 0);
	check(fake.calls("nvmlDeviceGetFieldValues") == before + 20);
	check(fake.calls("nvmlDeviceGetPowerUsage") == power);
	check(fake.calls("nvmlDeviceGetTotalEnergyConsumption") == energy);
	nvml->close(state);
}

/* What moves slowly is asked at most twice a second, and is then new. */
static void slow_figures_are_repeated_in_between(void)
{
	void *state = open_with("");
	uint64_t before = fake.calls("nvmlDeviceGetTemperature");

	fake.script("gpu 0 temperature 77\n");
	for (int i = 0; i < 20; i++)
		check((read_gpu(state, 0).valid & BESIDE) == BESIDE);
	check(fake.calls("nvmlDeviceGetTemperature") <= before + 5);
	sleep_ms(550);
	check(read_gpu(state, 0).temperature_mc == 77000);
	nvml->close(state);
}

static void not_supported_is_never_zero(void)
{
	static const struct {
		const char *script;
		uint32_t absent;
	} cases[] = {
		{ "gpu 0 error field:186 3\n", JT_HAS_POWER },
		{ "gpu 0 error field:185 3\ngpu 0 error nvmlDeviceGetPowerUsage 3\n",
		  JT_HAS_POWER_AVG },
		{ "gpu 0 update_ms 0\n", JT_HAS_ENERGY },
		{ "gpu 0 error nvmlDeviceGetTemperature 3\ngpu 0 error nvmlDeviceGetTemperatureV "
		  "3\n",
		  JT_HAS_TEMPERATURE },
		{ "gpu 0 error nvmlDeviceGetClockInfo 3\n", JT_HAS_SM_CLOCK | JT_HAS_MEM_CLOCK },
		{ "gpu 0 error nvmlDeviceGetEnforcedPowerLimit 3\n", JT_HAS_LIMIT },
		{ "gpu 0 error nvmlDeviceGetCurrentClocksEventReasons 3\n"
		  "gpu 0 error nvmlDeviceGetCurrentClocksThrottleReasons 3\n",
		  JT_HAS_REASONS },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		void *state = open_with(cases[i].script);
		struct jt_sample s = read_gpu(state, 0);

		check(s.status == JT_OK && s.valid == ((FIGURES | BESIDE) & ~cases[i].absent));
		check(describe(state, 0).valid == s.valid);
		nvml->close(state);
	}
}

static void an_entry_that_fails_now_and_then_clears_only_its_own_bit(void)
{
	void *state = open_with("");
	struct jt_sample s;

	fake.script("gpu 0 error field:83 999\n");
	s = read_gpu(state, 0);
	check(s.status == JT_OK && (s.valid & FIGURES) == (JT_HAS_POWER | JT_HAS_POWER_AVG));
	fake.script("gpu 0 error field:83 0\n");
	check((read_gpu(state, 0).valid & FIGURES) == FIGURES);
	nvml->close(state);
}

static void a_call_that_fails_is_an_error_and_no_reading(void)
{
	void *state = open_with("");
	struct jt_sample s;

	fake.script("gpu 0 error nvmlDeviceGetFieldValues 999\n");
	s = read_gpu(state, 0);
	check(s.status == JT_EIO && s.valid == 0);
	fake.script("gpu 0 error nvmlDeviceGetFieldValues 10\n");
	check(read_gpu(state, 0).status == JT_ETIME);
	fake.script("gpu 0 error nvmlDeviceGetFieldValues 0\n");
	check(read_gpu(state, 0).status == JT_OK);
	nvml->close(state);
}

static void every_value_type_is_understood(void)
{
	char script[64];

	for (int type = 0; type <= 6; type++) {
		void *state;

		snprintf(script, sizeof(script),
		         "gpu 0 power 0 50\ngpu 0 noise_w 0\ngpu 0 power_type %d\n", type);
		state = open_with(script);
		check(read_gpu(state, 0).power_mw == 50000);
		nvml->close(state);
	}
}

static void an_unknown_value_type_is_no_value(void)
{
	void *state = open_with("gpu 0 power_type 77\ngpu 0 error nvmlDeviceGetPowerUsage 3\n");
	struct jt_sample s = read_gpu(state, 0);

	check(s.status == JT_OK && (s.valid & FIGURES) == JT_HAS_ENERGY);
	nvml->close(state);
}

static void falls_back_to_the_older_calls_figure_by_figure(void)
{
	void *state = open_with("gpu 0 power 0 300\ngpu 0 noise_w 0\ngpu 0 error field:185 3\n");
	struct jt_sample s = read_gpu(state, 0);

	check((s.valid & FIGURES) == FIGURES && s.power_avg_mw == 300000);
	check(fake.calls("nvmlDeviceGetPowerUsage") > 0);
	nvml->close(state);

	state = open_with("gpu 0 error field:83 3\n");
	s = read_gpu(state, 0);
	check((s.valid & FIGURES) == FIGURES && s.energy_uj > 0);
	nvml->close(state);
}

/* GetPowerUsage is an average on Hopper and must not pass for the instantaneous figure. */
static void an_average_never_stands_in_for_the_instant(void)
{
	void *state = open_with("gpu 0 error nvmlDeviceGetFieldValues 3\n");

	check((read_gpu(state, 0).valid & FIGURES) == (JT_HAS_ENERGY | JT_HAS_POWER_AVG));
	check(strstr(describe(state, 0).missing, "instantaneous") != NULL);
	nvml->close(state);

	state = open_with("gpu 0 name NVIDIA A100-SXM4-80GB\ngpu 0 arch 7\ngpu 0 sensor ga100\n"
	                  "gpu 0 error nvmlDeviceGetFieldValues 3\n");
	check((read_gpu(state, 0).valid & FIGURES) == (JT_HAS_ENERGY | JT_HAS_POWER));
	nvml->close(state);
}

static void survives_an_old_driver_without_the_newer_symbols(void)
{
	struct jt_source_options o = { .size = sizeof(o), .nvml_library = OLD_LIBRARY };
	struct fake old;
	struct jt_sample s;
	void *state = NULL;

	if (!check(fake_load(OLD_LIBRARY, &old)))
		return;
	check(!dlsym(old.handle, "nvmlDeviceGetFieldValues"));
	old.script("gpu 0 name Tesla V100-SXM2-16GB\ngpu 0 sensor volta\n");
	old.set_time_ns(10 * JT_NS_PER_S);
	check(nvml->open(&o, &state, NULL) == JT_OK);
	s = read_gpu(state, 0);
	check(s.status == JT_OK && s.valid == ((JT_HAS_ENERGY | JT_HAS_POWER) | BESIDE));
	check(s.begin_ns > 0 && s.end_ns >= s.begin_ns);
	check_text(describe(state, 0).sensor.name, "volta");
	nvml->close(state);
}

static void the_newer_temperature_call_serves_when_the_older_is_gone(void)
{
	void *state = open_with("gpu 0 error nvmlDeviceGetTemperature 26\n");
	struct jt_sample s = read_gpu(state, 0);

	check(s.valid & JT_HAS_TEMPERATURE && s.temperature_mc == 41000);
	nvml->close(state);
}

static void a_lost_gpu_comes_back_under_its_uuid(void)
{
	void *state = open_with("gpus 2\ngpu 0 lost 20 30\ngpu 1 power 0 77\ngpu 1 noise_w 0\n");
	struct jt_sample s;

	fake.set_time_ns(25 * JT_NS_PER_S);
	s = read_gpu(state, 0);
	check(s.status == JT_ELOST && s.valid == 0);
	check(read_gpu(state, 1).power_mw == 77000);
	sleep_ms(550);
	check(read_gpu(state, 0).status == JT_ELOST);

	fake.script("reorder\n");
	fake.set_time_ns(31 * JT_NS_PER_S);
	sleep_ms(550);
	s = read_gpu(state, 0);
	check(s.status == JT_OK && (s.valid & FIGURES) == FIGURES);
	check_near(s.power_mw, 100000, 10000);
	check_text(describe(state, 0).name, "gpu:0");
	nvml->close(state);
}

static void a_lost_gpu_is_not_asked_at_every_tick(void)
{
	void *state = open_with("gpu 0 lost 20 30\n");

	fake.set_time_ns(25 * JT_NS_PER_S);
	for (int i = 0; i < 50; i++)
		read_gpu(state, 0);
	check(fake.calls("nvmlDeviceGetHandleByUUID") <= 5);
	nvml->close(state);
}

/* After a driver update the GPU may come back with more or fewer fields. */
static void abilities_are_decided_again_when_it_is_back(void)
{
	void *state = open_with("gpu 0 lost 20 30\n");

	fake.set_time_ns(25 * JT_NS_PER_S);
	check(read_gpu(state, 0).status == JT_ELOST);
	fake.script("gpu 0 error nvmlDeviceGetFieldValues 3\n");
	fake.set_time_ns(31 * JT_NS_PER_S);
	sleep_ms(550);
	check((read_gpu(state, 0).valid & FIGURES) == (JT_HAS_ENERGY | JT_HAS_POWER_AVG));
	nvml->close(state);
}

static void a_reset_is_told_as_it_is(void)
{
	void *state = open_with("gpu 0 reset 20\n");
	uint64_t before = read_gpu(state, 0).energy_uj;
	struct jt_sample s;

	fake.set_time_ns(21 * JT_NS_PER_S);
	s = read_gpu(state, 0);
	check(s.status == JT_OK && s.energy_uj < before);
	check_near((double)s.energy_uj / 1e6, 100, 11);
	nvml->close(state);
}

static void the_mask_selects_by_the_drivers_index(void)
{
	struct jt_source_options o = options;
	struct jt_error err = { 0 };
	void *state = NULL;

	fake.reset();
	fake.script("gpus 3\n");
	o.gpu_mask = 0x5;
	check(nvml->open(&o, &state, NULL) == JT_OK && nvml->count(state) == 2);
	check_text(describe(state, 0).name, "gpu:0");
	check_text(describe(state, 1).name, "gpu:2");
	check_text(describe(state, 1).uuid, "GPU-fa4e0000-0000-4000-8000-000000000002");
	nvml->close(state);

	o.gpu_mask = 0x100;
	check(nvml->open(&o, &state, &err) == JT_ENOENT && strstr(err.message, "3 GPUs"));
}

static void the_sensor_follows_name_then_architecture(void)
{
	static const struct {
		const char *script, *kind;
	} cases[] = {
		{ "gpu 0 name NVIDIA A100-SXM4-40GB\ngpu 0 arch 7\n", "ga100" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 5\n", "volta" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 6\n", "turing" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 7\n", "ga10x" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 8\n", "ada" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 9\n", "gh100" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 10\n", "blackwell" },
		{ "gpu 0 name NVIDIA Nameless\ngpu 0 arch 13\n", "gpu" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		void *state = open_with(cases[i].script);

		check_text(describe(state, 0).sensor.name, cases[i].kind);
		nvml->close(state);
	}
}

static void says_what_is_missing(void)
{
	void *state = open_with("gpu 0 update_ms 0\ngpu 0 mig 1\n");
	struct jt_domain d = describe(state, 0);

	check(strstr(d.missing, "no energy counter") && strstr(d.missing, "whole GPU"));
	nvml->close(state);
	check(open_with("gpu 0 update_ms 0\ngpu 0 average_ms 0\ngpu 0 window_ms 0\n") == NULL);
}

static void a_gpu_without_a_counter_says_why(void)
{
	static const struct {
		const char *script, *why;
	} cases[] = {
		{ "gpu 0 update_ms 0\ngpu 0 vgpu 1\n", "in a vGPU" },
		{ "gpu 0 update_ms 0\ngpu 0 name Tesla P100-PCIE-16GB\ngpu 0 arch 4\n",
		  "before Volta" },
		{ "gpu 0 update_ms 0\n", "no energy counter: energy is integrated" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		void *state = open_with(cases[i].script);

		check(strstr(describe(state, 0).missing, cases[i].why) != NULL);
		check(nvml->partial(state, NULL) == JT_OK);
		nvml->close(state);
	}
}

static void a_gpu_that_cannot_be_metered_is_named_with_the_reason(void)
{
	static const char mute[] =
		"gpu 1 update_ms 0\ngpu 1 window_ms 0\ngpu 1 average_ms 0\ngpu 1 vgpu 1\n";
	struct jt_source_options o = options;
	struct jt_error err = { 0 };
	void *state = open_with("gpus 2\ngpu 1 error nvmlDeviceGetUUID 4\n");

	check(nvml->count(state) == 1);
	check(nvml->partial(state, &err) == JT_ENOTSUP);
	check(strstr(err.message, "gpu:1") && strstr(err.message, "permission"));
	nvml->close(state);

	state = open_with("gpus 2\n");
	check(fake.script(mute) == 0);
	o.gpu_mask = 2;
	nvml->close(state);
	check(nvml->open(&o, &state, &err) == JT_ENOTSUP);
	check(strstr(err.message, "gpu:1 is a vGPU") != NULL);
}

/* A slow call whose value was taken at its end: the driver's stamp says so. */
static void a_slow_calls_bracket_is_narrowed_by_the_drivers_stamp(void)
{
	struct jt_sample s = { 0 };
	void *state = NULL;

	fake.reset();
	nvml->open(&options, &state, NULL);
	fake.script("gpu 0 slow nvmlDeviceGetFieldValues 100\n");
	/*
	 * A busy machine may come between the readings of the two clocks: then it is not narrowed.
	 */
	for (int i = 0; i < 10 && (i == 0 || s.end_ns - s.begin_ns > 3 * JT_NS_PER_MS); i++)
		s = read_gpu(state, 0);
	check(s.status == JT_OK && s.end_ns - s.begin_ns <= 3 * JT_NS_PER_MS);
	check(s.end_ns <= jt__now_ns() && jt__now_ns() - s.end_ns < 1000 * JT_NS_PER_MS);

	/* As a wall clock that was set wrong would do: outside the bracket, it is not believed. */
	fake.script("gpu 0 stamp_shift_ms 3600000\n");
	s = read_gpu(state, 0);
	check(s.end_ns - s.begin_ns >= 100 * JT_NS_PER_MS);
	nvml->close(state);
}

static void explains_why_there_is_nothing(void)
{
	struct jt_source_options o = options;
	struct jt_error err = { 0 };
	void *state = NULL;

	o.nvml_library = "/nonexistent/libnvidia-ml.so.1";
	check(nvml->open(&o, &state, &err) == JT_ENOENT && strstr(err.message, "/nonexistent"));
	o.nvml_library = "libc.so.6";
	check(nvml->open(&o, &state, &err) == JT_ENOTSUP && strstr(err.message, "nvmlInit_v2"));
	o.nvml_library = NULL;
	o.root = "/nonexistent";
	check(nvml->open(&o, &state, &err) == JT_ENOENT && strstr(err.message, "--nvml-library"));

	fake.reset();
	fake.script("init 9\n");
	check(nvml->open(&options, &state, &err) == JT_ENOTSUP && strstr(err.message, "modprobe"));
	fake.script("init 18\n");
	check(nvml->open(&options, &state, &err) == JT_ENOTSUP && strstr(err.message, "version"));
	fake.script("init 4\n");
	check(nvml->open(&options, &state, &err) == JT_EPERM);
	fake.script("init 0\ngpus 0\n");
	check(nvml->open(&options, &state, &err) == JT_ENOENT);
	check(state == NULL);
	nvml->close(NULL);
}

static void opens_or_fails_cleanly_at_every_allocation(void)
{
	int status = JT_ENOMEM;
	uint64_t nth = 0;
	void *state = NULL;

	fake.reset();
	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = nvml->open(&options, &state, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 1 && state);
	nvml->close(state);
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(reads_everything_a_new_driver_tells);
	test(the_counter_is_the_true_energy_to_one_update);
	test(a_tick_is_one_field_call);
	test(slow_figures_are_repeated_in_between);
	test(not_supported_is_never_zero);
	test(an_entry_that_fails_now_and_then_clears_only_its_own_bit);
	test(a_call_that_fails_is_an_error_and_no_reading);
	test(every_value_type_is_understood);
	test(an_unknown_value_type_is_no_value);
	test(falls_back_to_the_older_calls_figure_by_figure);
	test(an_average_never_stands_in_for_the_instant);
	test(survives_an_old_driver_without_the_newer_symbols);
	test(the_newer_temperature_call_serves_when_the_older_is_gone);
	test(a_lost_gpu_comes_back_under_its_uuid);
	test(a_lost_gpu_is_not_asked_at_every_tick);
	test(abilities_are_decided_again_when_it_is_back);
	test(a_reset_is_told_as_it_is);
	test(the_mask_selects_by_the_drivers_index);
	test(the_sensor_follows_name_then_architecture);
	test(says_what_is_missing);
	test(a_gpu_without_a_counter_says_why);
	test(a_gpu_that_cannot_be_metered_is_named_with_the_reason);
	test(a_slow_calls_bracket_is_narrowed_by_the_drivers_stamp);
	test(explains_why_there_is_nothing);
	test(opens_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
