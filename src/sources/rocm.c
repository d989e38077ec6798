/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD's management libraries, for a GPU whose table of metrics we cannot read: librocm_smi64, or
 * libamd_smi that follows it. Declared by ourselves from their public headers (rocm_smi.h,
 * amdsmi.h), loaded while we run. Which of the two a file is, its symbols tell.
 *
 * Neither may be called by two threads at once (libamd_smi until 26.2), so one lock is held over
 * each call: to us the library is one device. A call takes below a millisecond where the driver's
 * cache is fresh, else what a reading of the file takes.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "sources/amdgpu.h"

#define MAX_DEVICES 64
#define AMD_GPUS 2 /* AMDSMI_INIT_AMD_GPUS */
#define UNIT_UJ 15.2587890625
#define NOT_TOLD UINT64_MAX

static const char *const usual_places[] = {
	"librocm_smi64.so.7", "librocm_smi64.so.6",
	"librocm_smi64.so.5", "/opt/rocm/lib/librocm_smi64.so",
	"libamd_smi.so.26",   "libamd_smi.so.25",
	"libamd_smi.so.24",   "/opt/rocm/lib/libamd_smi.so",
};

/* X(symbol, member, parameters) */
/* clang-format off */
#define RSMI_SYMBOLS(X) \
	X(rsmi_init,                   init,        (uint64_t)) \
	X(rsmi_shut_down,              shut_down,   (void)) \
	X(rsmi_num_monitor_devices,    count,       (uint32_t *)) \
	X(rsmi_dev_pci_id_get,         get_address, (uint32_t, uint64_t *)) \
	X(rsmi_dev_energy_count_get,   get_energy,  (uint32_t, uint64_t *, float *, uint64_t *))
#define AMDSMI_SYMBOLS(X) \
	X(amdsmi_init,                  init,        (uint64_t)) \
	X(amdsmi_shut_down,             shut_down,   (void)) \
	X(amdsmi_get_socket_handles,    get_sockets, (uint32_t *, void **)) \
	X(amdsmi_get_processor_handles, get_gpus,    (void *, uint32_t *, void **)) \
	X(amdsmi_get_gpu_device_bdf,    get_address, (void *, uint64_t *)) \
	X(amdsmi_get_energy_count,      get_energy,  (void *, uint64_t *, float *, uint64_t *))
/* clang-format on */

#define MEMBER(symbol, member, parameters) int(*member) parameters;
struct jt_rocm {
	void *library;
	pthread_mutex_t lock;
	bool is_amdsmi;
	struct {
		RSMI_SYMBOLS(MEMBER)
	} rsmi;
	struct {
		AMDSMI_SYMBOLS(MEMBER)
	} amdsmi;
};
#undef MEMBER

/* false if the library lacks a symbol. POSIX lets a function pointer travel through dlsym()'s void
 * pointer; ISO C needs the copy. */
static bool bind_symbols(struct jt_rocm *r)
{
	bool has_rsmi = true, has_amdsmi = true;
	void *f;

#define BIND(api, all)                                                                             \
	memcpy(&api, &f, sizeof(f));                                                               \
	all = all && f;
#define BIND_RSMI(symbol, member, parameters)                                                      \
	f = dlsym(r->library, #symbol);                                                            \
	BIND(r->rsmi.member, has_rsmi)
#define BIND_AMDSMI(symbol, member, parameters)                                                    \
	f = dlsym(r->library, #symbol);                                                            \
	BIND(r->amdsmi.member, has_amdsmi)
	RSMI_SYMBOLS(BIND_RSMI)
	AMDSMI_SYMBOLS(BIND_AMDSMI)
	r->is_amdsmi = has_amdsmi;
	return has_rsmi || has_amdsmi;
}

static void *load(const char *path)
{
	void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	for (size_t i = 0; !path && !library && i < JT_ARRAY_LEN(usual_places); i++)
		library = dlopen(usual_places[i], RTLD_NOW | RTLD_LOCAL);
	return library;
}

int jt__rocm_open(const char *path, struct jt_rocm **ret_rocm, struct jt_error *err)
{
	struct jt_rocm *r;
	int status, code;
	void *library = load(path);

	if (!library && path)
		return jt__fail(err, JT_ENOENT, "amdgpu", "cannot load '%s': %s", path, dlerror());
	if (!library)
		return jt__fail(err, JT_ENOENT, "amdgpu",
		                "no AMD library 'librocm_smi64.so' or 'libamd_smi.so'");
	r = jt__alloc(1, sizeof(*r));
	if (!r) {
		dlclose(library);
		return jt__fail(err, JT_ENOMEM, "amdgpu", "cannot allocate state");
	}
	r->library = library;
	if (!bind_symbols(r)) {
		status = jt__fail(err, JT_ENOTSUP, "amdgpu",
		                  "'%.100s' has not the symbols of librocm_smi64 or libamd_smi",
		                  path ? path : "the library");
		goto out;
	}
	code = r->is_amdsmi ? r->amdsmi.init(AMD_GPUS) : r->rsmi.init(0);
	if (code) {
		status = jt__fail(err, JT_ENOTSUP, "amdgpu",
		                  "initialisation of AMD's library failed with code %d", code);
		goto out;
	}
	pthread_mutex_init(&r->lock, NULL);
	*ret_rocm = r;
	return JT_OK;
out:
	dlclose(library);
	jt__free(r);
	return status;
}

void jt__rocm_close(struct jt_rocm *r)
{
	if (!r)
		return;
	if (r->is_amdsmi)
		r->amdsmi.shut_down();
	else
		r->rsmi.shut_down();
	pthread_mutex_destroy(&r->lock);
	dlclose(r->library);
	jt__free(r);
}

/* "0000:43:00.0" as one number: bus, device and function below, the domain above @domain_shift. */
static bool parse_slot(const char *slot, unsigned domain_shift, uint64_t *ret_address)
{
	unsigned domain, bus, device, function;

	if (sscanf(slot, "%x:%x:%x.%x", &domain, &bus, &device, &function) != 4)
		return false;
	*ret_address = (uint64_t)domain << domain_shift | bus << 8 | device << 3 | function;
	return true;
}

static int find_rsmi(const struct jt_rocm *r, const char *slot, uint64_t *ret_device)
{
	uint64_t wanted, address;
	uint32_t n = 0;

	if (!parse_slot(slot, 32, &wanted) || r->rsmi.count(&n))
		return JT_ENOENT;
	for (uint32_t i = 0; i < JT_MIN(n, MAX_DEVICES); i++)
		/* bits 28 to 31 are the partition */
		if (!r->rsmi.get_address(i, &address) &&
		    (address & ~UINT64_C(0xf0000000)) == wanted) {
			*ret_device = i;
			return JT_OK;
		}
	return JT_ENOENT;
}

static int find_amdsmi(const struct jt_rocm *r, const char *slot, uint64_t *ret_device)
{
	void *sockets[MAX_DEVICES], *gpus[MAX_DEVICES];
	uint32_t n_sockets = MAX_DEVICES, n;
	uint64_t wanted, address;

	if (!parse_slot(slot, 16, &wanted) || r->amdsmi.get_sockets(&n_sockets, sockets))
		return JT_ENOENT;
	for (uint32_t s = 0; s < JT_MIN(n_sockets, MAX_DEVICES); s++) {
		n = MAX_DEVICES;
		if (r->amdsmi.get_gpus(sockets[s], &n, gpus))
			continue;
		for (uint32_t i = 0; i < JT_MIN(n, MAX_DEVICES); i++)
			if (!r->amdsmi.get_address(gpus[i], &address) && address == wanted) {
				*ret_device = (uintptr_t)gpus[i];
				return JT_OK;
			}
	}
	return JT_ENOENT;
}

int jt__rocm_find(struct jt_rocm *r, const char *slot, uint64_t *ret_device)
{
	int status;

	pthread_mutex_lock(&r->lock);
	status = r->is_amdsmi ? find_amdsmi(r, slot, ret_device) : find_rsmi(r, slot, ret_device);
	pthread_mutex_unlock(&r->lock);
	return status;
}

int jt__rocm_energy(struct jt_rocm *r, uint64_t device, uint64_t *ret_uj)
{
	uint64_t count = 0, timestamp = 0;
	float unit_uj = 0;
	int code;

	pthread_mutex_lock(&r->lock);
	code = r->is_amdsmi ? r->amdsmi.get_energy((void *)(uintptr_t)device, &count, &unit_uj,
	                                           &timestamp)
	                    : r->rsmi.get_energy((uint32_t)device, &count, &unit_uj, &timestamp);
	pthread_mutex_unlock(&r->lock);
	if (code)
		return JT_EIO;
	if (!count || count == NOT_TOLD || !(unit_uj > 0))
		return JT_ENOTSUP;
	/* what is said to be 15.3 or 15.259 is 2^-16 J, rounded: 0.3 % off */
	*ret_uj = unit_uj > UNIT_UJ - 0.05 && unit_uj < UNIT_UJ + 0.05
	                  ? jt__gpu_energy_uj(count)
	                  : jt__whole((double)count * (double)unit_uj);
	return JT_OK;
}
