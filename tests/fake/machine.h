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
#define MAX_COUNTS 32

/* nvmlReturn_t */
enum {
	SUCCESS = 0,
	INVALID = 2,
	NOT_SUPPORTED = 3,
	NOT_FOUND = 6,
	SMALL = 7,
	LOST = 15,
	UNKNOWN = 999,
};

struct rule {
	char what[64];
	int code;
	double slow_s, from_s, to_s;
};

struct gpu {
	char name[96], uuid[96];
	struct truth truth;
	struct fake_sensor sensor;
	double arch, temperature, sm_mhz, mem_mhz, reasons, limit_w, mig, power_type;
	double lost_from_s, lost_to_s, reset_s, stamp_shift_s;
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

/* Counts a call; @function is a string literal. */
void fake_count_call(const char *function);

#endif
