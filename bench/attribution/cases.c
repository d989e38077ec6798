/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of which server. Not measured traffic, but shapes that it is known for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "attribution.h"

#define CHAT 200, 1.0, 4096, 200, 0.8, 2048        /* medians as ShareGPT's are */
#define READING 5700, 0.2, 8000, 100, 0.5, 400     /* documents to summarise, or retrieved */
#define REASONING 200, 0.6, 1000, 2800, 0.25, 4000 /* long chains of thought */

/* clang-format off */
const struct load loads[] = {
	{ "chat",        "moderate", 400,  3.0, { { 1, CHAT } } },
	{ "chat",        "high",     800, 12.0, { { 1, CHAT } } },
	{ "chat",        "overload", 800, 45.0, { { 1, CHAT } } },
	{ "long-prompt", "moderate", 200,  0.8, { { 1, READING } } },
	{ "long-prompt", "high",     200,  1.6, { { 1, READING } } },
	{ "long-output", "moderate", 100,  0.3, { { 1, REASONING } } },
	{ "long-output", "high",     200,  1.0, { { 1, REASONING } } },
	{ "long-output", "overload", 300,  4.0, { { 1, REASONING } } },
	{ "mixed",       "moderate", 250,  1.0, { { .6, CHAT }, { .25, READING }, { .15, REASONING } } },
	{ "mixed",       "high",     500,  2.5, { { .6, CHAT }, { .25, READING }, { .15, REASONING } } },
};
const size_t n_loads = JT_ARRAY_LEN(loads);

/* The watts in rtx4090.json are ours: of the errors, which are ratios, they are no part. */
const struct server servers[] = {
	{ "RTX PRO 6000, Llama-3.1-8B",  "data/simulator/configs/cluster/single_node_power_instance.json",
	  "RTX-PRO-6000-Server-96GB", 1, true },
	{ "RTX PRO 6000, Qwen3-30B-A3B", "bench/attribution/qwen3-moe.json", "RTX-PRO-6000-Server-96GB", 0.4, false },
	{ "RTX 4090, Llama-3.1-8B",      "bench/attribution/rtx4090.json",   "RTX-4090-24GB",            0.2, false },
};
const size_t n_servers = JT_ARRAY_LEN(servers);
/* clang-format on */

/* Box and Muller, "A note on the generation of random normal deviates", 1958. */
static double normal(struct jt_rng *rng)
{
	double u = 1 - jt__rng_unit(rng), v = jt__rng_unit(rng);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static uint32_t length(struct jt_rng *rng, double median, double sigma, double most)
{
	return (uint32_t)fmin(fmax(median * exp(sigma * normal(rng)), 4), most);
}

static const struct kind *pick(const struct load *l, struct jt_rng *rng)
{
	double u = jt__rng_unit(rng);
	size_t i = 0;

	while (i + 1 < MAX_KINDS && l->kinds[i + 1].share > 0 && u >= l->kinds[i].share)
		u -= l->kinds[i++].share;
	return &l->kinds[i];
}

bool write_requests(const struct load *l, double speed, uint64_t seed, char path[64])
{
	struct jt_rng rng = { seed };
	double t_s = 0;
	FILE *f;
	int fd;

	snprintf(path, 64, "/tmp/bench-attribution.XXXXXX");
	fd = mkstemp(path);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		perror(path);
		return false;
	}
	for (uint32_t i = 0; i < l->n_requests; i++) {
		const struct kind *k = pick(l, &rng);
		uint32_t input = length(&rng, k->input, k->input_sigma, k->input_max);
		uint32_t output = length(&rng, k->output, k->output_sigma, k->output_max);

		t_s += -log(1 - jt__rng_unit(&rng)) / (l->per_s * speed);
		fprintf(f, "{\"input_toks\":%u,\"output_toks\":%u,\"arrival_time_ns\":%llu}\n",
		        input, output, (unsigned long long)(t_s * 1e9));
	}
	if (fclose(f) == 0)
		return true;
	perror(path);
	unlink(path);
	return false;
}
