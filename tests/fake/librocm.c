/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AMD's management libraries without a GPU: librocm_smi64 as it is, libamd_smi with FAKE_AMDSMI.
 * Two devices, at 0000:43:00.0 and 0000:44:00.0; the first counts on by 2^16 units (1 J) a call,
 * the second has no counter. The environment variable FAKE_ROCM=broken fails the initialisation.
 *
 * A call that begins while another is under way counts as an error, that every later one returns:
 * the real ones are not for two threads at once.
 */
#include <stdint.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))
#define N_DEVICES 2
#define NOT_SUPPORTED 2

static atomic_int busy, collided;
static uint64_t count = UINT64_C(1) << 20;

static int start(uint64_t flags)
{
	const char *how = getenv("FAKE_ROCM");

	(void)flags;
	return how && strcmp(how, "broken") == 0 ? 8 : 0;
}

static int get_energy(unsigned device, uint64_t *ret_count, float *ret_unit_uj,
                      uint64_t *ret_timestamp_ns)
{
	if (atomic_fetch_add(&busy, 1))
		atomic_store(&collided, 1);
	nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	count += UINT64_C(1) << 16;
	*ret_count = count;
	*ret_unit_uj = 15.3F;
	*ret_timestamp_ns = count;
	atomic_fetch_sub(&busy, 1);
	if (atomic_load(&collided))
		return 6;
	return device == 0 ? 0 : NOT_SUPPORTED;
}

#ifdef FAKE_AMDSMI

EXPORT int amdsmi_init(uint64_t flags);
EXPORT int amdsmi_shut_down(void);
EXPORT int amdsmi_get_socket_handles(uint32_t *n, void **sockets);
EXPORT int amdsmi_get_processor_handles(void *socket, uint32_t *n, void **gpus);
EXPORT int amdsmi_get_gpu_device_bdf(void *gpu, uint64_t *bdf);
EXPORT int amdsmi_get_energy_count(void *gpu, uint64_t *n, float *unit_uj, uint64_t *timestamp_ns);

static int handles[N_DEVICES];

int amdsmi_init(uint64_t flags)
{
	return start(flags);
}

int amdsmi_shut_down(void)
{
	return 0;
}

int amdsmi_get_socket_handles(uint32_t *n, void **sockets)
{
	*n = 1;
	sockets[0] = handles;
	return 0;
}

int amdsmi_get_processor_handles(void *socket, uint32_t *n, void **gpus)
{
	(void)socket;
	*n = N_DEVICES;
	for (unsigned i = 0; i < N_DEVICES; i++)
		gpus[i] = &handles[i];
	return 0;
}

int amdsmi_get_gpu_device_bdf(void *gpu, uint64_t *bdf)
{
	*bdf = (0x43 + (uint64_t)((int *)gpu - handles)) << 8;
	return 0;
}

int amdsmi_get_energy_count(void *gpu, uint64_t *n, float *unit_uj, uint64_t *timestamp_ns)
{
	return get_energy((unsigned)((int *)gpu - handles), n, unit_uj, timestamp_ns);
}

#else

EXPORT int rsmi_init(uint64_t flags);
EXPORT int rsmi_shut_down(void);
EXPORT int rsmi_num_monitor_devices(uint32_t *n);
EXPORT int rsmi_dev_pci_id_get(uint32_t device, uint64_t *bdf);
EXPORT int rsmi_dev_energy_count_get(uint32_t device, uint64_t *n, float *unit_uj,
                                     uint64_t *timestamp_ns);

int rsmi_init(uint64_t flags)
{
	return start(flags);
}

int rsmi_shut_down(void)
{
	return 0;
}

int rsmi_num_monitor_devices(uint32_t *n)
{
	*n = N_DEVICES;
	return 0;
}

int rsmi_dev_pci_id_get(uint32_t device, uint64_t *bdf)
{
	*bdf = UINT64_C(0x10000000) | (UINT64_C(0x43) + device) << 8; /* partition 1 */
	return 0;
}

int rsmi_dev_energy_count_get(uint32_t device, uint64_t *n, float *unit_uj, uint64_t *timestamp_ns)
{
	return get_energy(device, n, unit_uj, timestamp_ns);
}

#endif
