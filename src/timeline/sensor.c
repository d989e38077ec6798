/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of sensors. Update period and averaging windows of NVIDIA
 * boards: Yang, Adamek, Armour, "Part-time Power Measurements", SC24
 * (arXiv:2312.02741); their captures, fitted again here, give A100 25 ms and no lag, RTX 3090
 * 100 ms and 1.1 s, and readings 5.2 to 5.8 % below a 5 kHz meter, proportional to
 * power: the gain tolerance. An idle A100 reads 59.0 W of 64.0 W, so its tolerance covers that.
 * Hopper's instantaneous field sees 25 ms of each 100 ms. There is no published row for Blackwell;
 * it is given Hopper's numbers with twice the tolerance. Of an unknown GPU nobody knows whether a
 * reading is an instant or a second's mean: it is taken to see a tenth of the time, as the
 * worst kind does, and to be as late as the slowest. RAPL updates each 1 ms
 * (Intel SDM vol. 3B, 15.10); Raffin & Trystram (arXiv:2401.15985) discuss its error.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "base/base.h"
#include "jouletap/timeline.h"

#define MS JT_NS_PER_MS

/* clang-format off */
const struct jt_sensor jt_sensors[] = {
	/* name      what                                             provenance    update    window    average    lag  wrap  step  gain     max */
	{ "ga100",     "NVIDIA A100, A30 (GA100)",                      JT_MEASURED,  100 * MS,  25 * MS,    0,        0, 0, 1000,  90000, 1000000 },
	{ "gh100",     "NVIDIA H100, H200, GH200 (GH100)",              JT_MEASURED,  100 * MS,  25 * MS, 1000 * MS,   0, 0, 1000,  50000, 1500000 },
	{ "ga10x",     "NVIDIA A40, A10, A6000, RTX 30 (GA10x)",        JT_MEASURED,  100 * MS, 100 * MS, 1100 * MS,   0, 0, 1000,  70000, 1000000 },
	{ "ada",       "NVIDIA L4, L40, RTX 40 (Ada)",                  JT_MEASURED,  100 * MS, 100 * MS, 1100 * MS,   0, 0, 1000,  70000, 1000000 },
	{ "blackwell", "NVIDIA B100, B200, GB200, RTX 50 (Blackwell)",  JT_MEASURED,  100 * MS,  25 * MS, 1000 * MS,   0, 0, 1000, 100000, 2500000 },
	{ "turing",    "NVIDIA T4, RTX 20 (Turing)",                    JT_MEASURED,  100 * MS, 100 * MS,    0,        0, 0, 1000, 130000,  600000 },
	{ "volta",     "NVIDIA V100 (Volta)",                           JT_MEASURED,   20 * MS,  10 * MS,    0,        0, 0, 1000,  50000,  600000 },
	{ "pascal",    "NVIDIA P100, GTX 10 (Pascal; no counter)",      JT_MEASURED,   20 * MS,  10 * MS,    0,        0, 0, 1000,  50000,  600000 },
	{ "gpu",       "a GPU of unknown kind: wide bounds",            JT_MEASURED, 1000 * MS, 100 * MS,    0,        0, 0, 1000, 130000, 2500000 },
	{ "rapl",      "CPU package or DRAM counter (RAPL)",            JT_MEASURED,    1 * MS,    0,        0,        0, 0,   61,  50000, 2000000 },
	{ "cpumodel",  "CPU utilisation through a power curve",         JT_MODELLED,   10 * MS,    0,        0,        0, 0,    1, 300000, 2000000 },
	{ "node",      "a simulated node's own counter",                JT_MODELLED,  100 * MS, 100 * MS,    0,        0, 0, 1000,      0, 100000000 },
	{ 0 },
};

/*
 * What a board's name contains: the first that fits. A number must be all of the number (A100 is not in
 * A1000), but for series, which end in a star.
 */
static const struct { const char *part, *kind; } boards[] = {
	{ " Ada", "ada" }, { "RTX A*", "ga10x" },
	{ "GB200", "blackwell" }, { "GB300", "blackwell" }, { "B100", "blackwell" }, { "B200", "blackwell" },
	{ "B300", "blackwell" }, { "RTX 50*", "blackwell" }, { "RTX PRO 6000", "blackwell" },
	{ "GH200", "gh100" }, { "H100", "gh100" }, { "H200", "gh100" }, { "H800", "gh100" }, { "H20", "gh100" },
	{ "A100", "ga100" }, { "A800", "ga100" }, { "A30", "ga100" },
	{ "L40", "ada" }, { "L20", "ada" }, { "L4", "ada" }, { "RTX 40*", "ada" }, { "RTX40*", "ada" },
	{ "A40", "ga10x" }, { "A10", "ga10x" }, { "A16", "ga10x" }, { "A2", "ga10x" },
	{ "RTX 30*", "ga10x" }, { "RTX30*", "ga10x" },
	{ "T4", "turing" }, { "RTX 20*", "turing" }, { "TITAN RTX*", "turing" }, { "Quadro RTX*", "turing" },
	{ "GTX 16*", "turing" },
	{ "V100", "volta" }, { "TITAN V", "volta" },
	{ "P100", "pascal" }, { "P40", "pascal" }, { "P4", "pascal" }, { "GTX 10*", "pascal" },
};
/* clang-format on */

const struct jt_sensor *jt_sensor_find(const char *name)
{
	for (const struct jt_sensor *s = jt_sensors; s->name; s++)
		if (strcasecmp(s->name, name) == 0)
			return s;
	return NULL;
}

static bool has_part(const char *name, const char *part)
{
	size_t n = strcspn(part, "*");

	for (; *name; name++)
		if (strncasecmp(name, part, n) == 0 &&
		    (part[n] == '*' || !isdigit((unsigned char)name[n])))
			return true;
	return false;
}

const struct jt_sensor *jt_sensor_of_gpu(const char *gpu_name)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(boards); i++)
		if (has_part(gpu_name, boards[i].part))
			return jt_sensor_find(boards[i].kind);
	return NULL;
}
