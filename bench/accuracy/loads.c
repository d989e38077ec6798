/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "accuracy.h"

/*
 * The gains are what such boards were seen to have (A100, and Ada after its sister RTX 3090: they
 * read 5 to 6 % low) or what the sensor's tolerance has room for.
 */
const struct board boards[] = {
	{ "a100", "A100",
	  "gpu 0 name NVIDIA A100-SXM4-80GB\ngpu 0 arch 8\ngpu 0 sensor ga100\ngpu 0 gain 0.945\n",
	  62, 400, .945, 50 },
	{ "h100", "H100",
	  "gpu 0 name NVIDIA H100 80GB HBM3\ngpu 0 arch 9\ngpu 0 sensor gh100\ngpu 0 gain 0.972\n",
	  88, 700, .972, 50 },
	{ "ada", "Ada (L40S)",
	  "gpu 0 name NVIDIA L40S\ngpu 0 arch 8\ngpu 0 sensor ada\ngpu 0 gain 0.951\n", 36, 350,
	  .951, 50 },
	{ "v100", "V100",
	  "gpu 0 name Tesla V100-SXM2-32GB\ngpu 0 arch 5\ngpu 0 sensor volta\ngpu 0 gain 1.021\n",
	  44, 300, 1.021, 10 },
};
const size_t n_boards = JT_ARRAY_LEN(boards);

#define SQUARE(name, what, period)                                                                 \
	{                                                                                          \
		name, what, "square", .1, .9, period " 0.5", 240, 500                              \
	}

const struct load loads[] = {
	{ "llm", "LLM-like", "llm", 0, 1, "", 600, 2000 },
	SQUARE("square-20", "square wave, 20 ms", "0.02"),
	SQUARE("square-90", "square wave, 90 ms", "0.09"),
	SQUARE("square-100", "square wave, 100 ms", "0.1"),
	SQUARE("square-101", "square wave, 101 ms", "0.101"),
	SQUARE("square-110", "square wave, 110 ms", "0.11"),
	SQUARE("square-200", "square wave, 200 ms", "0.2"),
	SQUARE("square-1000", "square wave, 1 s", "1"),
	SQUARE("square-5000", "square wave, 5 s", "5"),
	{ "ramp-slow", "ramps of 8 s", "ramp", .05, .95, "8.3 7.9", 240, 500 },
	{ "ramp-fast", "ramps of 0.4 s", "ramp", .05, .95, "0.43 0.37", 240, 500 },
	{ "sawtooth", "sawtooth, 1.2 s", "ramp", .05, .95, "1.21 0", 240, 500 },
};
const size_t n_loads = JT_ARRAY_LEN(loads);

bool accuracy_stage(const struct board *b, const struct load *l, unsigned seed)
{
	double range_w = b->cap_w - b->idle_w;
	char script[512], last[16];

	snprintf(last, sizeof(last), "%u", seed);
	snprintf(script, sizeof(script), "%sgpu 0 limit_w %g\ngpu 0 %s %g %g %s\n", b->identity,
	         b->cap_w, l->shape, b->idle_w + l->low * range_w, b->idle_w + l->high * range_w,
	         *l->rest ? l->rest : last);
	fake.reset();
	fake.set_time_ns(START_NS);
	return fake.script(script) == 0;
}
