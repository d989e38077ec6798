/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SOURCE_H
#define JT_SOURCE_H
/*
 * What a meter has to provide. A source opens its hardware below a root
 * directory or through a library path, tells its domains, and reads one domain
 * at a time. Domains of one source may be read from different threads at once,
 * one domain never from two.
 */
#include <stddef.h>
#include <stdint.h>
#include "jouletap/error.h"
#include "jouletap/record.h"
#include "jouletap/timeline.h"

#ifdef __cplusplus
extern "C" {
#endif

struct jt_source_options {
	size_t size;      /* sizeof(struct jt_source_options) */
	const char *root; /* prefix of /sys and /proc, without a slash at its end; NULL: "" */
	const char *nvml_library; /* NULL: libnvidia-ml.so.1 where it usually is */
	const char *rocm_library; /* NULL: librocm_smi64 or libamd_smi where they usually are */
	const char *replay_file;  /* recording or nvidia-smi log to read; NULL: none */
	uint64_t gpu_mask;        /* bit i: use GPU i; 0: all */
	int gpm;                  /* not 0: read the profiling counters of GPUs that have them */
};
#define JT_SOURCE_OPTIONS_INIT                                                                     \
	{                                                                                          \
		.size = sizeof(struct jt_source_options)                                           \
	}

/* One energy domain: a GPU, a CPU package, DRAM, a whole node. */
struct jt_domain {
	char name[32];     /* as in `domains:` of the configuration: "gpu:0", "cpu:0", "dram:0" */
	char source[16];   /* "nvml", "rapl", "cpumodel" … */
	char device[96];   /* for a person: "NVIDIA H100 80GB HBM3", "package-0" */
	char uuid[96];     /* stable identity; "" if there is none */
	char missing[160]; /* what it cannot tell and what to try; "" if nothing */
	/* The domain whose energy contains this one's: a package's "psys:0", an instance's "gpu:0".
	 * Never add the two up. "" if it is part of nothing else that is metered here. */
	char part_of[32];
	struct jt_sensor sensor;
	uint32_t valid; /* JT_HAS_* that readings are expected to carry */
};

struct jt_source_ops {
	const char *name;
	const char *what; /* one line for `jouletap devices` */
	/*
	 * JT_ENOTSUP or JT_ENOENT: nothing of the kind here; JT_EPERM: there is, say how to get it.
	 */
	int (*open)(const struct jt_source_options *o, void **ret_state, struct jt_error *err);
	size_t (*count)(const void *state);
	void (*describe)(const void *state, size_t i, struct jt_domain *ret_domain);
	/*
	 * One reading into a zeroed @out: values, valid and status. begin_ns and end_ns too where
	 * the source knows them better than its caller, who otherwise (end_ns is 0) stamps
	 * the moments before and after the call, and the domain always. May not allocate, nor wait
	 * for anything but its own device. Returns out->status, or JT_EAGAIN at the end of a
	 * replay.
	 */
	int (*read)(void *state, size_t i, struct jt_sample *out);
	void (*close)(void *state); /* accepts NULL */
	/*
	 * Optional. What was found beside the domains and cannot be read: fills @err with which,
	 * why and what to try, and returns its status. JT_OK: nothing.
	 */
	int (*partial)(const void *state, struct jt_error *err);
};

/* An opened domain: what the sampler reads. */
struct jt_meter_domain {
	struct jt_domain info;
	const struct jt_source_ops *ops;
	void *state;
	size_t index; /* within its source */
};

#ifdef __cplusplus
}
#endif
#endif
