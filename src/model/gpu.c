/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GPU types. Memory, bandwidth, dense bf16 (fp16 before Ampere) tensor peak with
 * fp32 accumulation, and board power are the makers' datasheet figures, as
 * collected in AIConfigurator's systems/ (Apache-2.0) and WattGPU's
 * gpu_features.csv (Apache-2.0). Tensor cores take 8-bit floats since Ada and Hopper, at twice the
 * rate of 16-bit ones. The link is how a GPU sends to others of its node, one direction: NVLink, or
 * PCIe with 16 lanes where bridges are an option.
 *
 * Idle is the draw with a CUDA context alive and nothing to do. It depends on the clock
 * state and not on the memory in use (arXiv 2605.23918), and makers do not publish it.
 * JT_IDLE_SHARE of the board power stands in for it, except where it was measured: RTX 3090 127 W
 * and A100 PCIe with 40 GB 56 W next to an external meter (Yang et al., SC24, GPU_Power_Benchmark,
 * MIT); A100 PCIe with 80 GB 60 W (JouleBench, MIT); A100 SXM 72 W, A40 134 W, V100 62 W, where
 * power over bytes read meets the axis (72 to 80 rows of each, ML.ENERGY leaderboard of 2023;
 * which A100 it was is not told); B200 145 W, for nodes with a model loaded draw 0.1 to 0.6 kW more
 * with eight of them than with eight H200, losses included (MLPerf Inference v5.1).
 *
 * What reading a byte costs, for the predictor, relative to HBM2e and HBM3, which are alike (165 to
 * 180 pJ on A100, H100 and B200, docs/predictor.md): the slopes of the same rows of 2023, 250 pJ on
 * A40 (GDDR6) and 261 pJ on V100 (HBM2); other GDDR as on A40.
 *
 * Dynamic energy: W = TDP - idle is what the board has to spend on work. The rule, the same for all
 * rows: a step at the compute roof draws all of W, one at the memory roof 0.62 of it. As steps
 * reach 0.6 of the peak and 0.8 of the bandwidth (roofline.c), a FLOP costs 1 / 0.6 x W / peak and
 * a byte 0.62 / 0.8 x W / bandwidth. How that compares with measurements: roofline.c.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include "model/model.h"

#define FLOP_SHARE (1 / 0.6)
#define BYTE_SHARE (0.62 / 0.8)

/* name, end of the driver's name, GB, GB/s, TFLOP/s bf16 and fp8, GB/s of the link, W, cost of a
 * byte, idle W */
#define GPU(name, match, gb, gbs, tflops, fp8, link, tdp, byte_cost, idle)                         \
	{                                                                                          \
		name, match, gb, gbs, tflops, fp8, link, tdp, idle, byte_cost,                     \
			FLOP_SHARE *((tdp) - (idle)) / (tflops),                                   \
			BYTE_SHARE *((tdp) - (idle)) / (gbs)*1e3                                   \
	}
#define IDLE(tdp) (JT_IDLE_SHARE * (tdp))

/* clang-format off */
const struct jt_gpu jt__gpus[] = {
	GPU("B200-SXM-180GB",           "B200",                 180, 7700,  2250,   4500, 900, 1000,   1, 145),
	GPU("H200-SXM-141GB",           "H200",                 141, 4800,   989,   1978, 450,  700,   1, IDLE(700)),
	GPU("H200-NVL-141GB",           "H200 NVL",             141, 4800,   836,   1672, 450,  600,   1, IDLE(600)),
	GPU("GH200-96GB",               "GH200 480GB",           96, 4000,   989,   1978, 450,  700,   1, IDLE(700)),
	GPU("H100-SXM5-80GB",           "H100 80GB HBM3",        80, 3350,   989,   1978, 450,  700,   1, IDLE(700)),
	GPU("H100-NVL-94GB",            "H100 NVL",              94, 3938,   835,   1670, 300,  400,   1, IDLE(400)),
	GPU("H100-PCIe-80GB",           "H100 PCIe",             80, 2040,   756,   1512,  64,  350,   1, IDLE(350)),
	GPU("A100-SXM4-80GB",           "A100-SXM4-80GB",        80, 2039,   312,    NAN, 300,  400,   1, 72),
	GPU("A100-SXM4-40GB",           "A100-SXM4-40GB",        40, 1555,   312,    NAN, 300,  400,   1, 72),
	GPU("A100-PCIe-80GB",           "A100 80GB PCIe",        80, 1935,   312,    NAN,  32,  300,   1, 60),
	GPU("A100-PCIe-40GB",           "A100-PCIE-40GB",        40, 1555,   312,    NAN,  32,  250,   1, 56),
	GPU("A30-24GB",                 "A30",                   24,  933,   165,    NAN,  32,  165,   1, IDLE(165)),
	GPU("A40-48GB",                 "A40",                   48,  696, 149.7,    NAN,  32,  300, 1.5, 134),
	GPU("A10-24GB",                 "A10",                   24,  600,   125,    NAN,  32,  150, 1.5, IDLE(150)),
	GPU("L40S-48GB",                "L40S",                  48,  864,   362,    724,  32,  350, 1.5, IDLE(350)),
	GPU("L40-48GB",                 "L40",                   48,  864,   181,    362,  32,  300, 1.5, IDLE(300)),
	GPU("L4-24GB",                  "L4",                    24,  300,   121,    242,  32,   72, 1.5, IDLE(72)),
	GPU("T4-16GB",                  "T4",                    16,  320,    65,    NAN,  16,   70, 1.5, IDLE(70)),
	GPU("V100-SXM2-32GB",           "V100-SXM2-32GB",        32,  900,   125,    NAN, 150,  300, 1.5, 62),
	GPU("V100-SXM2-16GB",           "V100-SXM2-16GB",        16,  900,   125,    NAN, 150,  300, 1.5, 62),
	GPU("RTX-A6000-48GB",           "RTX A6000",             48,  768, 154.8,    NAN,  32,  300, 1.5, IDLE(300)),
	GPU("RTX-4090-24GB",            "RTX 4090",              24, 1008,   165,    330,  32,  450, 1.5, IDLE(450)),
	GPU("RTX-3090-24GB",            "RTX 3090",              24,  936,    71,    NAN,  32,  350, 1.5, 127),
	GPU("RTX-PRO-6000-96GB",        "RTX PRO 6000 Blackwell Workstation Edition",  96, 1792, 503.8, 1007.6,  64,  600, 1.5, IDLE(600)),
	GPU("RTX-PRO-6000-Server-96GB", "RTX PRO 6000 Blackwell Server Edition",  96, 1597, 503.8, 1007.6,  64,  600, 1.5, IDLE(600)),
	{ .name = NULL },
};
/* clang-format on */

/* A partition ("… MIG 1g.10gb") or a variant ("RTX 4090 D") is another device: only whole endings
 * match. */
static bool ends_with_words(const char *text, const char *words)
{
	size_t n = strlen(text), m = strlen(words);

	if (m > n || strcasecmp(text + n - m, words) != 0)
		return false;
	return m == n || !isalnum((unsigned char)text[n - m - 1]);
}

const struct jt_gpu *jt__gpu_find(const char *name)
{
	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		if (strcasecmp(g->name, name) == 0)
			return g;
	}
	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		if (ends_with_words(name, g->match))
			return g;
	}
	return NULL;
}
