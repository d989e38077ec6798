/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "simulator/cluster.h"
#include "simulator/pim.h"

#define CONFIGS JT_SOURCE_ROOT "/data/simulator/configs"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check_pim(const struct jt_pim *pim)
{
	must(isfinite(pim->bw_gbs) && pim->bw_gbs > 0 && isfinite(pim->latency_ns));
	must(pim->channel_gb > 0 && pim->n_channels > 0 && pim->peak_w >= pim->idle_w);
}

static void check_instance(const struct jt_cluster *c, const struct jt_instance *in, uint32_t npu)
{
	must(in->tp && in->pp && in->n_npus == in->tp * in->pp && in->first_npu == npu);
	must(in->ep && in->local_ep && in->local_ep <= in->tp && in->dp_members);
	must(in->mem_bw_gbs >= 1 && in->mem_gb > 0 && in->mem_util > 0 && in->mem_util <= 1);
	must(in->serving.dtype != JT_DTYPE_NONE && in->serving.block_size > 0);
	for (uint32_t i = 0; i < in->model->arch.n_layers; i++)
		must(in->blocks[i].place != JT_PLACE_CXL || in->blocks[i].cxl < c->n_cxl);
}

static void check_cluster(const struct jt_cluster *c)
{
	uint32_t npu = 0;

	must(c->n_nodes && c->n_instances && c->n_dims && c->dims[0]);
	for (uint32_t i = 0; i < c->n_instances; i++) {
		const struct jt_instance *in = &c->instances[i];

		check_instance(c, in, npu);
		npu += in->n_npus * (in->role == JT_ROLE_PREFILL ? 2 : 1);
	}
	must(npu == c->n_npus);
	for (uint32_t i = 0; i < c->n_nodes; i++) {
		must(c->nodes[i].cpu_bw_gbs > 0 && c->nodes[i].has_power == c->nodes[0].has_power);
		if (c->nodes[i].pim)
			check_pim(c->nodes[i].pim);
	}
}

static void load_cluster(const char *path)
{
	const struct jt_serving_defaults defaults = JT_SERVING_DEFAULTS;
	const struct jt_cluster_where where = { .path = path,
		                                .model_configs = CONFIGS "/model",
		                                .pim_configs = CONFIGS "/pim" };
	struct jt_error err = { .message = "" };
	struct jt_cluster *c = NULL;
	int status = jt__cluster_load(&where, &defaults, &c, &err);

	must((status == JT_OK) == (c != NULL) && (status == JT_OK) == (err.message[0] == '\0'));
	if (c)
		check_cluster(c);
	jt__cluster_free(c);
}

/*
 * What begins with a '{' is a cluster configuration, all else the description of a DRAM: either
 * makes sense in every figure, or is an error with a message.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char path[32];
	struct jt_error err = { .message = "" };
	struct jt_pim pim;
	int fd;

	if (n == 0 || data[0] != '{') {
		int status = jt__pim_parse((const char *)data, n, "x.ini", 512, &pim, &err);

		must((status == JT_OK) == (err.message[0] == '\0'));
		if (!status)
			check_pim(&pim);
		return 0;
	}
	fd = memfd_create("cluster.json", 0);
	must(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	load_cluster(path);
	close(fd);
	return 0;
}
