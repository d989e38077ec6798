/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fake libnvidia-ml.so.1: GPUs whose true power is known
 *
 *     FAKE_NVML_SCRIPT=two-gpus.txt jouletap devices \
 *             --nvml-library build/tests/fake/libnvidia-ml.so.1
 *
 * or, from a test, fake_script("gpu 0 square 100 600 2 0.5\n") and the other functions of fake.h.
 * A script is lines of words; # begins a comment. Times in s count from the moment the library is
 * initialised or reset (from 0 under virtual time). Without a script there is a GPU 0, an idle
 * H100 at 100 W.
 *
 *   gpus N                        that many, 8 at most
 *   init CODE                     nvmlInit answers this code
 *   reorder                       indices run the other way round from now on
 *   gpu N name TEXT               identity
 *   gpu N uuid TEXT
 *   gpu N arch NUMBER             NVML's: 5 Volta … 9 Hopper, 10 Blackwell
 *
 * Its true power, a step function that is integrated exactly:
 *   gpu N power 0 W [T W]...      W from T on; the last stays
 *   gpu N repeat S                the above again each S seconds
 *   gpu N square LOW HIGH PERIOD DUTY
 *   gpu N burst LOW HIGH MIN MAX SEED
 *                                 idle and busy stretches of MIN to MAX s
 *   gpu N ramp LOW HIGH UP DOWN   in straight lines, in so many seconds each
 *   gpu N serving LOW HIGH SEED   prefill bursts, decode plateaus, idle
 *   gpu N llm IDLE CAP SEED       the same in detail, from requests that come and go
 *
 * Its sensor, a value each:
 *   gpu N sensor KIND             gh100, ga100, ada, volta: a preset of what follows
 *   gpu N update_ms               how often the counter moves; 0: there is no counter
 *   gpu N phase_ms                when it first moves
 *   gpu N jitter_ms               it, and the power fields, are early or late by up to this
 *   gpu N lag_ms                  what they show is this old
 *   gpu N quantum_mj              step of the counter
 *   gpu N counter_j               where the counter starts
 *   gpu N gain                    of everything it shows
 *   gpu N power_update_ms         how often the power fields move
 *   gpu N power_phase_ms
 *   gpu N window_ms               the instantaneous field is the mean over this; 0: there is none
 *   gpu N average_ms              the averaged field over this; 0: there is none
 *   gpu N noise_w                 standard deviation of power readings
 *   gpu N power_type              value type of the power fields (1: unsigned)
 *   gpu N temperature, sm_mhz, mem_mhz, reasons, limit_w
 *   gpu N samples_ms              nvmlDeviceGetSamples has a power reading for each of these; 0: it
 *                                 is not supported
 *
 * What it is divided into, and what it is a part of:
 *   gpu N mig 1                   MIG is on
 *   gpu N slices N                that it can be divided into; 7
 *   gpu N instance ID SLICES [COMPUTES]
 *                                 a GPU instance; each of its compute instances is a MIG device
 *   gpu N gone ID T               that instance is destroyed
 *   gpu N activity 0 SM TENSOR DRAM [T SM TENSOR DRAM]...
 *                                 what profiling counters tell, 0 to 1, from T on; arch 9 or newer
 *   gpu N works ID 0 SM TENSOR DRAM [T SM TENSOR DRAM]...
 *                                 the same of an instance
 *   gpu N module_w W              its module draws so much more than it; below 0: there is none
 *   gpu N ignores_scope 1         the driver gives the GPU's power for the module's
 *   gpu N vgpu 1                  it is a virtual machine's
 *
 * What goes wrong:
 *   gpu N error WHAT CODE         WHAT is an NVML function, field:ID, or field:ID@1 for that of the
 *                                 module; CODE 0 takes it back
 *   gpu N slow FUNCTION MS [FROM TO]
 *                                 the call takes so long (between these times)
 *   gpu N lost FROM TO            calls answer GPU_IS_LOST; handles from before stay dead
 *   gpu N reset T                 the counter begins again at 0
 *   gpu N stamp_shift_ms          its timestamps are off by this
 *
 * libnvidia-ml-old.so.1 is the same without the symbols that a driver of 2018 lacks. Calls of
 * different GPUs do not wait for each other. This file has the machine and its script,
 * libnvidia-ml.c and parts.c NVML's functions, truth.c the power and the sensor, llm.c the power of
 * a server of language models.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake.h"
#include "machine.h"

struct machine machine = { .lock = PTHREAD_MUTEX_INITIALIZER };

uint64_t fake_clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static double seconds(uint64_t t_ns)
{
	return ((double)t_ns - (double)machine.zero_ns) / 1e9;
}

double fake_now_s(void)
{
	return seconds(machine.is_virtual ? machine.virtual_ns : fake_clock_ns(CLOCK_MONOTONIC));
}

/* --- the script --- */

static const struct {
	const char *name;
	struct fake_sensor sensor;
} presets[] = {
	{ "gh100",
	  { .update_s = .1003,
	    .power_update_s = .1001,
	    .window_s = .0256,
	    .avg_window_s = 1.003 } },
	{ "ga100", { .update_s = .0998, .power_update_s = .1002, .window_s = .0246 } },
	{ "ada",
	  { .update_s = .1004,
	    .power_update_s = .1004,
	    .window_s = .1004,
	    .avg_window_s = 1.003 } },
	{ "volta", { .update_s = .0203, .power_update_s = .0203, .window_s = .0109 } },
};

static bool use_preset(struct fake_sensor *s, const char *name)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		if (strcmp(presets[i].name, name) != 0)
			continue;
		*s = presets[i].sensor;
		s->phase_s = .037;
		s->power_phase_s = .011;
		s->jitter_s = .001;
		s->quantum_j = .001;
		s->gain = 1;
		s->noise_w = 1.5;
		s->counter_start_j = 123456.789;
		return true;
	}
	return false;
}

static void default_gpu(unsigned i)
{
	struct gpu *g = &machine.gpus[i];

	truth_clear(&g->truth);
	memset(g, 0, sizeof(*g));
	strcpy(g->name, "NVIDIA H100 80GB HBM3");
	snprintf(g->uuid, sizeof(g->uuid), "GPU-fa4e0000-0000-4000-8000-00000000000%u", i);
	truth_constant(&g->truth, 100);
	use_preset(&g->sensor, "gh100");
	g->arch = 9;
	g->temperature = 41;
	g->sm_mhz = 1980;
	g->mem_mhz = 2619;
	g->reasons = 1;
	g->limit_w = 700;
	g->power_type = 1;
	g->slices = 7;
	g->module_w = -1;
	g->lost_from_s = g->lost_to_s = g->reset_s = 1e18;
}

static void defaults(void)
{
	for (unsigned i = 0; i < MAX_GPUS; i++)
		default_gpu(i);
	machine.n_gpus = 1;
	machine.is_virtual = machine.reversed = false;
	machine.init_code = SUCCESS;
	machine.zero_ns = fake_clock_ns(CLOCK_MONOTONIC);
	memset(machine.counts, 0, sizeof(machine.counts));
}

/* When the library is closed, so that nobody is said to have leaked this. */
__attribute__((destructor)) static void forget(void)
{
	for (unsigned i = 0; i < MAX_GPUS; i++)
		truth_clear(&machine.gpus[i].truth);
}

static bool set_number(struct gpu *g, const char *key, double value)
{
	struct fake_sensor *s = &g->sensor;
	const struct {
		const char *key;
		double *place;
		double scale;
	} keys[] = {
		{ "arch", &g->arch, 1 },
		{ "repeat", &g->truth.loop_s, 1 },
		{ "update_ms", &s->update_s, 1e-3 },
		{ "phase_ms", &s->phase_s, 1e-3 },
		{ "jitter_ms", &s->jitter_s, 1e-3 },
		{ "lag_ms", &s->lag_s, 1e-3 },
		{ "quantum_mj", &s->quantum_j, 1e-3 },
		{ "gain", &s->gain, 1 },
		{ "counter_j", &s->counter_start_j, 1 },
		{ "power_update_ms", &s->power_update_s, 1e-3 },
		{ "power_phase_ms", &s->power_phase_s, 1e-3 },
		{ "window_ms", &s->window_s, 1e-3 },
		{ "average_ms", &s->avg_window_s, 1e-3 },
		{ "noise_w", &s->noise_w, 1 },
		{ "power_type", &g->power_type, 1 },
		{ "temperature", &g->temperature, 1 },
		{ "sm_mhz", &g->sm_mhz, 1 },
		{ "mem_mhz", &g->mem_mhz, 1 },
		{ "reasons", &g->reasons, 1 },
		{ "limit_w", &g->limit_w, 1 },
		{ "mig", &g->mig, 1 },
		{ "reset", &g->reset_s, 1 },
		{ "stamp_shift_ms", &g->stamp_shift_s, 1e-3 },
		{ "slices", &g->slices, 1 },
		{ "module_w", &g->module_w, 1 },
		{ "ignores_scope", &g->ignores_scope, 1 },
		{ "samples_ms", &g->samples_s, 1e-3 },
		{ "vgpu", &g->vgpu, 1 },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].key, key) == 0) {
			*keys[i].place = value * keys[i].scale;
			return true;
		}
	}
	return false;
}

static bool set_power(struct gpu *g, const char *args)
{
	double at_s, power_w;
	int used;

	truth_clear(&g->truth);
	for (; sscanf(args, " %lf %lf%n", &at_s, &power_w, &used) == 2; args += used)
		if (!truth_add(&g->truth, at_s, power_w))
			return false;
	return g->truth.n > 0 && args[strspn(args, " ")] == '\0';
}

static bool add_rule(struct gpu *g, const struct rule *r)
{
	size_t i = 0;

	while (i < g->n_rules && strcmp(g->rules[i].what, r->what) != 0)
		i++;
	if (i == MAX_RULES)
		return false;
	if (i == g->n_rules)
		g->n_rules++;
	g->rules[i] = *r;
	return true;
}

static bool gpu_line(struct gpu *g, const char *key, const char *args)
{
	double v[5] = { 0 }, ms = 0;
	int n = sscanf(args, "%lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4]);
	struct rule r = { .to_s = 1e18 };

	if (strcmp(key, "name") == 0)
		return snprintf(g->name, sizeof(g->name), "%s", args) > 0;
	if (strcmp(key, "uuid") == 0)
		return snprintf(g->uuid, sizeof(g->uuid), "%s", args) > 0;
	if (strcmp(key, "sensor") == 0)
		return use_preset(&g->sensor, args);
	if (strcmp(key, "power") == 0)
		return set_power(g, args);
	if (strcmp(key, "error") == 0)
		return sscanf(args, "%63s %d", r.what, &r.code) == 2 && add_rule(g, &r);
	if (strcmp(key, "slow") == 0) {
		n = sscanf(args, "%63s %lf %lf %lf", r.what, &ms, &r.from_s, &r.to_s);
		r.slow_s = ms / 1e3;
		return n >= 2 && add_rule(g, &r);
	}
	if (strcmp(key, "square") == 0 && n == 4) {
		truth_square(&g->truth, v[0], v[1], v[2], v[3]);
		return true;
	}
	if (strcmp(key, "burst") == 0 && n == 5) {
		truth_burst(&g->truth, v[0], v[1], v[2], v[3], (uint64_t)v[4]);
		return true;
	}
	if (strcmp(key, "serving") == 0 && n == 3) {
		truth_serving(&g->truth, v[0], v[1], (uint64_t)v[2]);
		return true;
	}
	if (strcmp(key, "ramp") == 0 && n == 4) {
		truth_ramp(&g->truth, v[0], v[1], v[2], v[3]);
		return true;
	}
	if (strcmp(key, "llm") == 0 && n == 3) {
		truth_llm(&g->truth, v[0], v[1], (uint64_t)v[2]);
		return true;
	}
	if (strcmp(key, "lost") == 0 && n == 2) {
		g->lost_from_s = v[0];
		g->lost_to_s = v[1];
		return true;
	}
	return fake_parts_line(g, key, args) || (n == 1 && set_number(g, key, v[0]));
}

static bool script_line(char *line)
{
	char key[32];
	unsigned i;
	int used = 0;

	line[strcspn(line, "#\r\n")] = '\0';
	for (size_t end = strlen(line); end > 0 && line[end - 1] == ' '; end--)
		line[end - 1] = '\0';
	line += strspn(line, " \t");
	if (!*line)
		return true;
	if (strcmp(line, "reorder") == 0)
		return machine.reversed = true;
	if (sscanf(line, "gpus %u", &i) == 1)
		return (machine.n_gpus = i) <= MAX_GPUS;
	if (sscanf(line, "init %d", &machine.init_code) == 1)
		return true;
	if (sscanf(line, "gpu %u %31s %n", &i, key, &used) != 2 || i >= MAX_GPUS || !used)
		return false;
	return gpu_line(&machine.gpus[i], key, line + used);
}

static int run_script(const char *text)
{
	char line[1024];

	for (int number = 1; *text; number++) {
		size_t length = strcspn(text, "\n");

		if (length >= sizeof(line))
			return number;
		memcpy(line, text, length);
		line[length] = '\0';
		if (!script_line(line))
			return number;
		text += length + (text[length] == '\n');
	}
	return 0;
}

/* The script of the environment, once. */
int fake_load_environment(void)
{
	const char *path = getenv("FAKE_NVML_SCRIPT");
	static char text[1 << 16];
	size_t n;
	FILE *f;
	int bad;

	if (machine.loaded)
		return SUCCESS;
	machine.loaded = true;
	defaults();
	if (!path)
		return SUCCESS;
	f = fopen(path, "r");
	if (!f) {
		fprintf(stderr, "fake nvml: cannot open '%s'\n", path);
		return UNKNOWN;
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	bad = run_script(text);
	if (bad)
		fprintf(stderr, "fake nvml: %s:%d: not understood\n", path, bad);
	return bad ? UNKNOWN : SUCCESS;
}

/* --- the steering wheel (fake.h) --- */

EXPORT void fake_reset(void);
EXPORT int fake_script(const char *text);
EXPORT void fake_set_time_ns(uint64_t t_ns);
EXPORT uint64_t fake_now_ns(void);
EXPORT double fake_true_energy_j(unsigned gpu, uint64_t from_ns, uint64_t to_ns);
EXPORT double fake_true_power_w(unsigned gpu, uint64_t t_ns);
EXPORT int fake_request(unsigned gpu, uint64_t k, struct fake_request *ret_request);
EXPORT uint64_t fake_calls(const char *function);

void fake_reset(void)
{
	pthread_mutex_lock(&machine.lock);
	machine.loaded = true;
	defaults();
	pthread_mutex_unlock(&machine.lock);
}

int fake_script(const char *text)
{
	int bad;

	pthread_mutex_lock(&machine.lock);
	bad = run_script(text);
	pthread_mutex_unlock(&machine.lock);
	return bad;
}

void fake_set_time_ns(uint64_t t_ns)
{
	pthread_mutex_lock(&machine.lock);
	machine.is_virtual = true;
	machine.zero_ns = 0;
	machine.virtual_ns = t_ns;
	pthread_mutex_unlock(&machine.lock);
}

uint64_t fake_now_ns(void)
{
	uint64_t t_ns;

	pthread_mutex_lock(&machine.lock);
	t_ns = machine.is_virtual ? machine.virtual_ns : fake_clock_ns(CLOCK_MONOTONIC);
	pthread_mutex_unlock(&machine.lock);
	return t_ns;
}

double fake_true_energy_j(unsigned gpu, uint64_t from_ns, uint64_t to_ns)
{
	const struct truth *t = &machine.gpus[gpu].truth;
	double energy_j;

	pthread_mutex_lock(&machine.lock);
	energy_j = truth_energy_j(t, seconds(to_ns)) - truth_energy_j(t, seconds(from_ns));
	pthread_mutex_unlock(&machine.lock);
	return energy_j;
}

double fake_true_power_w(unsigned gpu, uint64_t t_ns)
{
	double power_w;

	pthread_mutex_lock(&machine.lock);
	power_w = truth_power_w(&machine.gpus[gpu].truth, seconds(t_ns));
	pthread_mutex_unlock(&machine.lock);
	return power_w;
}

static uint64_t clock_ns(double at_s)
{
	return machine.zero_ns + (uint64_t)(at_s > 0 ? at_s * 1e9 : 0);
}

int fake_request(unsigned gpu, uint64_t k, struct fake_request *ret_request)
{
	struct truth_request r;
	bool exists, reported = false;

	pthread_mutex_lock(&machine.lock);
	exists = truth_report(&machine.gpus[gpu].truth, k, &r, &reported);
	if (exists)
		*ret_request = (struct fake_request){ .begin_ns = clock_ns(r.begin_s),
			                              .first_ns = clock_ns(r.first_s),
			                              .end_ns = clock_ns(r.end_s),
			                              .reported = reported };
	pthread_mutex_unlock(&machine.lock);
	return exists;
}

/* The count of @function, or the place for it. */
static struct call_count *count_of(const char *function)
{
	size_t i = 0;

	while (i < MAX_COUNTS - 1 && machine.counts[i].function &&
	       strcmp(machine.counts[i].function, function) != 0)
		i++;
	return &machine.counts[i];
}

void fake_count_call(const char *function)
{
	struct call_count *c = count_of(function);

	c->function = function;
	c->n++;
}

uint64_t fake_calls(const char *function)
{
	uint64_t n;

	pthread_mutex_lock(&machine.lock);
	n = count_of(function)->n;
	pthread_mutex_unlock(&machine.lock);
	return n;
}
