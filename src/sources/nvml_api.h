/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_NVML_API_H
#define JT_NVML_API_H
/*
 * The part of NVIDIA's management library that we call, declared by ourselves
 * so that one binary runs with and without a driver. Layouts and numbers follow
 * the public nvml.h 13.3. A symbol that the installed library lacks is NULL: go
 * through JT__NVML(), which then answers NVML_FUNCTION_NOT_FOUND. Any thread,
 * once opened.
 */
#include <stdint.h>
#include "jouletap/error.h"

/* nvmlReturn_t */
enum {
	NVML_SUCCESS = 0,
	NVML_UNINITIALIZED = 1,
	NVML_INVALID_ARGUMENT = 2,
	NVML_NOT_SUPPORTED = 3,
	NVML_NO_PERMISSION = 4,
	NVML_NOT_FOUND = 6,
	NVML_DRIVER_NOT_LOADED = 9,
	NVML_TIMEOUT = 10,
	NVML_FUNCTION_NOT_FOUND = 13,
	NVML_GPU_IS_LOST = 15,
	NVML_RESET_REQUIRED = 16,
	NVML_VERSION_MISMATCH = 18,
	NVML_GPU_NOT_FOUND = 28,
	NVML_UNKNOWN = 999,
};

/* nvmlDeviceArchitecture_t */
enum {
	NVML_ARCH_VOLTA = 5,
	NVML_ARCH_TURING = 6,
	NVML_ARCH_AMPERE = 7,
	NVML_ARCH_ADA = 8,
	NVML_ARCH_HOPPER = 9,
	NVML_ARCH_BLACKWELL = 10,
};

/* Field ids */
enum {
	NVML_FIELD_ENERGY_MJ = 83,
	NVML_FIELD_POWER_AVERAGE_MW = 185,
	NVML_FIELD_POWER_INSTANT_MW = 186,
	NVML_FIELD_SCOPED_ENERGY_MJ = 191, /* as 83, but of the scope that is asked for */
};

/* nvmlPowerScopeType_t, in struct nvml_field */
enum {
	NVML_SCOPE_GPU = 0,
	NVML_SCOPE_MODULE = 1, /* GPU and CPU of a Grace superchip */
};

/* nvmlGpmMetricId_t; each in percent */
enum {
	NVML_GPM_SM_UTIL = 2,
	NVML_GPM_ANY_TENSOR_UTIL = 5,
	NVML_GPM_DRAM_BW_UTIL = 10,
};

#define NVML_VIRTUALIZATION_VGPU 2 /* nvmlGpuVirtualizationMode_t: we are the guest */

/* nvmlValueType_t */
enum {
	NVML_DOUBLE,
	NVML_UINT,
	NVML_ULONG,
	NVML_ULONG_LONG,
	NVML_LONG_LONG,
	NVML_INT,
	NVML_USHORT,
};

/* nvmlClockType_t */
enum {
	NVML_CLOCK_SM = 1,
	NVML_CLOCK_MEM = 2,
};

typedef void *nvml_device; /* opaque handle; a typedef because the library has it by value */

/* nvmlFieldValue_t, 40 bytes */
struct nvml_field {
	uint32_t id;
	uint32_t scope;
	int64_t timestamp_us; /* CPU realtime when the value was taken */
	int64_t latency_us;   /* how long that took */
	int32_t type;
	int32_t status; /* of this entry alone */
	union {
		double d;
		uint32_t u;
		unsigned long ul;
		uint64_t ull;
		int64_t ll;
		int32_t i;
		uint16_t us;
	} value;
};

/* nvmlTemperature_v1_t */
struct nvml_temperature {
	uint32_t version;
	int32_t sensor; /* 0: the GPU die */
	int32_t celsius;
};
#define NVML_TEMPERATURE_V1 (sizeof(struct nvml_temperature) | 1u << 24)

/* nvmlDeviceAttributes_t of a MIG device, 40 bytes */
struct nvml_attributes {
	uint32_t multiprocessors;
	uint32_t copy_engines, decoders, encoders, jpegs, ofas;
	uint32_t gpu_slices;     /* of its GPU instance */
	uint32_t compute_slices; /* of its compute instance */
	uint64_t memory_mb;
};

/* nvmlGpmSupport_t */
struct nvml_gpm_support {
	uint32_t version; /* 1 */
	uint32_t is_supported;
};

/* nvmlGpmMetric_t, 40 bytes */
struct nvml_gpm_metric {
	uint32_t id;
	int32_t status; /* of this entry alone */
	double value;
	const char *names[3];
};

/* nvmlGpmMetricsGet_t. The array's length differs between versions of the library; none has more.
 */
struct nvml_gpm_metrics {
	uint32_t version; /* 1 */
	uint32_t n;
	void *from, *to;
	struct nvml_gpm_metric metrics[333];
};

/* X(symbol, member, parameters); the first six are required. */
/* clang-format off */
#define NVML_REQUIRED 6
#define NVML_SYMBOLS(X) \
	X(nvmlInit_v2,                             init,               (void)) \
	X(nvmlShutdown,                            shutdown,           (void)) \
	X(nvmlDeviceGetCount_v2,                   get_count,          (unsigned *)) \
	X(nvmlDeviceGetHandleByIndex_v2,           get_by_index,       (unsigned, nvml_device *)) \
	X(nvmlDeviceGetHandleByUUID,               get_by_uuid,        (const char *, nvml_device *)) \
	X(nvmlDeviceGetUUID,                       get_uuid,           (nvml_device, char *, unsigned)) \
	X(nvmlDeviceGetName,                       get_name,           (nvml_device, char *, unsigned)) \
	X(nvmlDeviceGetArchitecture,               get_architecture,   (nvml_device, unsigned *)) \
	X(nvmlDeviceGetMigMode,                    get_mig_mode,       (nvml_device, unsigned *, unsigned *)) \
	X(nvmlDeviceGetVirtualizationMode,         get_virtualization, (nvml_device, int *)) \
	X(nvmlDeviceGetMaxMigDeviceCount,          get_max_mig_count,  (nvml_device, unsigned *)) \
	X(nvmlDeviceGetMigDeviceHandleByIndex,     get_mig_by_index,   (nvml_device, unsigned, nvml_device *)) \
	X(nvmlDeviceGetGpuInstanceId,              get_gpu_instance,   (nvml_device, unsigned *)) \
	X(nvmlDeviceGetAttributes_v2,              get_attributes,     (nvml_device, struct nvml_attributes *)) \
	X(nvmlDeviceGetFieldValues,                get_field_values,   (nvml_device, int, struct nvml_field *)) \
	X(nvmlDeviceGetTotalEnergyConsumption,     get_total_energy,   (nvml_device, unsigned long long *)) \
	X(nvmlDeviceGetPowerUsage,                 get_power_usage,    (nvml_device, unsigned *)) \
	X(nvmlDeviceGetTemperature,                get_temperature,    (nvml_device, int, unsigned *)) \
	X(nvmlDeviceGetTemperatureV,               get_temperature_v,  (nvml_device, struct nvml_temperature *)) \
	X(nvmlDeviceGetClockInfo,                  get_clock_info,     (nvml_device, int, unsigned *)) \
	X(nvmlDeviceGetCurrentClocksEventReasons,  get_event_reasons,  (nvml_device, unsigned long long *)) \
	X(nvmlDeviceGetCurrentClocksThrottleReasons, get_throttle_reasons, (nvml_device, unsigned long long *)) \
	X(nvmlDeviceGetEnforcedPowerLimit,         get_enforced_limit, (nvml_device, unsigned *)) \
	X(nvmlGpmQueryDeviceSupport,               gpm_query_support,  (nvml_device, struct nvml_gpm_support *)) \
	X(nvmlGpmSampleAlloc,                      gpm_sample_alloc,   (void **)) \
	X(nvmlGpmSampleFree,                       gpm_sample_free,    (void *)) \
	X(nvmlGpmSampleGet,                        gpm_sample_get,     (nvml_device, void *)) \
	X(nvmlGpmMigSampleGet,                     gpm_mig_sample_get, (nvml_device, unsigned, void *)) \
	X(nvmlGpmMetricsGet,                       gpm_metrics_get,    (struct nvml_gpm_metrics *))
/* clang-format on */

struct nvml_api {
	void *handle;
#define NVML_X(symbol, member, parameters) int(*member) parameters;
	NVML_SYMBOLS(NVML_X)
#undef NVML_X
};

#define JT__NVML(api, member, ...)                                                                 \
	((api)->member ? (api)->member(__VA_ARGS__) : NVML_FUNCTION_NOT_FOUND)

/*
 * Loads the library (@path, or NULL for where it usually is) and initialises
 * it. JT_ENOENT: no library; JT_ENOTSUP: not this library, or no driver behind it.
 */
int jt__nvml_api_open(const char *path, struct nvml_api *ret_api, struct jt_error *err);
void jt__nvml_api_close(struct nvml_api *api); /* accepts a zeroed one */

/* The status that an nvmlReturn_t means to us: JT_ELOST for a GPU that is away. */
int jt__nvml_status(int nvml);

#endif
