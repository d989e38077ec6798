/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H
/* The fake machine: its GPUs, its clock, what goes wrong. Whoever touches it holds its lock. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include "truth.h"

#define EXPORT __attribute__((visibility("default")))
#define MAX_GPUS 8
#define MAX_RULES 16
#define MAX_COUNTS 64
#define MAX_INSTANCES 7
#define MAX_COMPUTES 4

/* nvmlReturn_t */
enum {
	SUCCESS = 0,
	INVALID = 2,
	NOT_SUPPORTED = 3,
	NOT_FOUND = 6,
	SMALL = 7,
	LOST = 15,
	NO_DATA = 21,
	VERSION = 25,
	UNKNOWN = 999,
};

struct rule {
	char what[64];
	int code;
	double slow_s, from_s, to_s;
};

/* How busy something is, a step function: what profiling counters would tell of it. */
struct activity {
	size_t n;
	struct {
		double at_s, share[3]; /* of multiprocessors, tensor cores, memory bandwidth */
	} steps[16];
};

/* A GPU instance of MIG, and a handle for each of its compute instances. */
struct instance {
	unsigned id, slices, n_computes;
	double gone_s;
	struct activity activity;
	char handles[MAX_COMPUTES];
};

struct gpu {
	char name[96], uuid[96];
	struct truth truth;
	struct fake_sensor sensor;
	double arch, temperature, sm_mhz, mem_mhz, reasons, limit_w, mig, power_type;
	double lost_from_s, lost_to_s, reset_s, stamp_shift_s;
	double slices, module_w, ignores_scope, samples_s, vgpu;
	struct activity activity;
	size_t n_instances;
	struct instance instances[MAX_INSTANCES];
	size_t n_rules;
	struct rule rules[MAX_RULES];
	char handles[2]; /* before and after it was lost */
};

struct call_count {
	const char *function;
	uint64_t n;
};

struct machine {
	pthread_mutex_t lock;
	struct gpu gpus[MAX_GPUS];
	unsigned n_gpus;
	bool is_virtual, reversed, loaded;
	uint64_t virtual_ns, zero_ns;
	int init_code;
	struct call_count counts[MAX_COUNTS];
};
extern struct machine machine;

uint64_t fake_clock_ns(clockid_t id);
double fake_now_s(void); /* since the script's zero */

/* Reads the script that the environment names, the first time. SUCCESS or UNKNOWN. */
int fake_load_environment(void);

/*
 * libnvidia-ml.c. Begins a call of @function for the GPU of @handle: counts, delays, and says what
 * it is to answer. On SUCCESS the lock is held until fake_end(), which returns what it is given.
 */
int fake_begin(void *handle, const char *function, struct gpu **ret_gpu);
int fake_end(int code);
int fake_give_text(const char *from, char *text, unsigned size);

/* parts.c: the lines of a script about instances, modules and activity; the handle of a MIG device.
 */
bool fake_parts_line(struct gpu *g, const char *key, const char *args);
struct instance *fake_instance_of(const void *handle, struct gpu **ret_gpu, unsigned *ret_compute);
void *fake_instance_by_uuid(const char *uuid);
void fake_instance_uuid(const struct gpu *g, const struct instance *in, unsigned compute,
                        char text[96]);

/* Counts a call; @function is a string literal. */
void fake_count_call(const char *function);

#endif
