/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <string.h>
#include "base/base.h"
#include "sources/nvml_api.h"

static const char *const usual_places[] = {
	"libnvidia-ml.so.1", "libnvidia-ml.so",
	"/usr/lib/wsl/lib/libnvidia-ml.so.1", /* Windows Subsystem for Linux keeps it off the path
	                                       */
};

int jt__nvml_status(int nvml)
{
	switch (nvml) {
	case NVML_SUCCESS:
		return JT_OK;
	case NVML_NOT_SUPPORTED:
	case NVML_FUNCTION_NOT_FOUND:
		return JT_ENOTSUP;
	case NVML_NO_PERMISSION:
		return JT_EPERM;
	case NVML_TIMEOUT:
		return JT_ETIME;
	case NVML_NOT_FOUND:
	case NVML_DRIVER_NOT_LOADED:
	case NVML_GPU_IS_LOST:
	case NVML_RESET_REQUIRED:
	case NVML_GPU_NOT_FOUND:
		return JT_ELOST;
	default:
		return JT_EIO;
	}
}

static int load_library(const char *path, void **ret_library, struct jt_error *err)
{
	void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	for (size_t i = 0; !path && !library && i < JT_ARRAY_LEN(usual_places); i++)
		library = dlopen(usual_places[i], RTLD_NOW | RTLD_LOCAL);
	if (!library && path)
		return jt__fail(err, JT_ENOENT, "nvml", "cannot load '%s': %s", path, dlerror());
	if (!library)
		return jt__fail(
			err, JT_ENOENT, "nvml",
			"no NVIDIA driver library 'libnvidia-ml.so.1', nor below "
			"'/usr/lib/wsl/lib' (in a container try: "
			"NVIDIA_DRIVER_CAPABILITIES=utility; under WSL: the driver of Windows)");
	*ret_library = library;
	return JT_OK;
}

/* The name of the first required symbol that is not there, or NULL. */
static const char *bind_symbols(struct nvml_api *api)
{
	const char *missing = NULL;
	int left = NVML_REQUIRED;
	void *f;

	/* POSIX lets a function pointer travel through dlsym()'s void pointer; ISO C needs the
	 * copy. */
#define NVML_X(symbol, member, parameters)                                                         \
	f = dlsym(api->handle, #symbol);                                                           \
	memcpy(&api->member, &f, sizeof(f));                                                       \
	if (left-- > 0 && !f && !missing)                                                          \
		missing = #symbol;
	NVML_SYMBOLS(NVML_X)
#undef NVML_X
	return missing;
}

static int explain_init(int nvml, struct jt_error *err)
{
	switch (nvml) {
	case NVML_DRIVER_NOT_LOADED:
		return jt__fail(
			err, JT_ENOTSUP, "nvml",
			"the NVIDIA driver is not loaded, or there is no NVIDIA GPU (try: sudo "
			"modprobe nvidia)");
	case NVML_NO_PERMISSION:
		return jt__fail(
			err, JT_EPERM, "nvml",
			"no permission to open '/dev/nvidiactl' (try: its group, or its mode)");
	case NVML_VERSION_MISMATCH:
		return jt__fail(err, JT_ENOTSUP, "nvml",
		                "the library and the loaded kernel module differ in version (try: "
		                "a reboot; in a container: a new one)");
	default:
		return jt__fail(err, JT_ENOTSUP, "nvml", "initialisation failed with NVML code %d",
		                nvml);
	}
}

int jt__nvml_api_open(const char *path, struct nvml_api *ret_api, struct jt_error *err)
{
	struct nvml_api api = { 0 };
	int status = load_library(path, &api.handle, err);
	const char *missing;
	int nvml;

	if (status < 0)
		return status;
	missing = bind_symbols(&api);
	if (missing) {
		status = jt__fail(err, JT_ENOTSUP, "nvml", "the library has no '%s'", missing);
		goto out;
	}
	nvml = api.init();
	if (nvml != NVML_SUCCESS) {
		status = explain_init(nvml, err);
		goto out;
	}
	*ret_api = api;
	return JT_OK;
out:
	dlclose(api.handle);
	return status;
}

void jt__nvml_api_close(struct nvml_api *api)
{
	if (!api->handle)
		return;
	api->shutdown();
	dlclose(api->handle);
	memset(api, 0, sizeof(*api));
}
