/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKE_H
#define FAKE_H
/*
 * The steering wheel of the fake libnvidia-ml: what it exports beside NVML's own functions. Its
 * manual is at the top of script.c. Any thread. A test reaches it with fake_load().
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A request as it is reported, not as it was: see truth_report(). Prefill up to first_ns. */
struct fake_request {
	uint64_t begin_ns, first_ns, end_ns;
	int reported; /* 0: nobody is told */
};

/* clang-format off */
#define FAKE_FUNCTIONS(X) \
	X(void,     reset,         (void))                                /* back to one quiet GPU, real time */ \
	X(int,      script,        (const char *text))                    /* 0, or the number of the bad line */ \
	X(void,     set_time_ns,   (uint64_t t_ns))                       /* virtual from now on, 0 = script's zero */ \
	X(uint64_t, now_ns,        (void))                                /* virtual time, or CLOCK_MONOTONIC */ \
	X(double,   true_energy_j, (unsigned gpu, uint64_t from_ns, uint64_t to_ns)) /* on the clock of now_ns */ \
	X(double,   true_power_w,  (unsigned gpu, uint64_t t_ns)) \
	X(int,      request,       (unsigned gpu, uint64_t k, struct fake_request *ret_request)) /* 0: there is no k-th */ \
	X(uint64_t, calls,         (const char *function))                /* of an NVML function so far */
/* clang-format on */

struct fake {
	void *handle;
#define FAKE_X(type, name, parameters) type(*name) parameters;
	FAKE_FUNCTIONS(FAKE_X)
#undef FAKE_X
};

/* false, with a line on stdout, if @path is not the fake. Never closed: state outlives one test. */
static inline int fake_load(const char *path, struct fake *f)
{
	void *p;

	f->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!f->handle) {
		printf("# %s\n", dlerror());
		return 0;
	}
#define FAKE_X(type, name, parameters)                                                             \
	p = dlsym(f->handle, "fake_" #name);                                                       \
	if (!p)                                                                                    \
		return 0;                                                                          \
	memcpy(&f->name, &p, sizeof(p));
	FAKE_FUNCTIONS(FAKE_X)
#undef FAKE_X
	f->reset();
	return 1;
}

#endif
