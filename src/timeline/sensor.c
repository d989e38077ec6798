/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up sensors.def. */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "base/base.h"
#include "jouletap/timeline.h"

#define US JT_NS_PER_US
#define MS JT_NS_PER_MS

/* clang-format off */
const struct jt_sensor jt_sensors[] = {
#define SENSOR(kind, text, said_by, ...) { .name = #kind, .what = text, .source = said_by, __VA_ARGS__ },
#include "timeline/sensors.def"
	{ 0 },
};

const struct jt_sensor_source jt_sensor_sources[] = {
#define SOURCE(id, text) { #id, text },
#include "timeline/sensors.def"
	{ 0 },
};

static const struct { const char *part, *kind; } boards[] = {
#define BOARD(part, kind) { part, #kind },
#include "timeline/sensors.def"
};
/* clang-format on */

const struct jt_sensor *jt_sensor_find(const char *name)
{
	for (const struct jt_sensor *s = jt_sensors; s->name; s++)
		if (strcasecmp(s->name, name) == 0)
			return s;
	return NULL;
}

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " -_");
}

/* @part is what @name begins with. */
static bool begins_with(const char *name, const char *part)
{
	for (; *part && *part != '*'; part++) {
		if (*part == ' ') {
			name = skip_blanks(name);
			continue;
		}
		if (tolower((unsigned char)*part) != tolower((unsigned char)*name++))
			return false;
	}
	return *part == '*' || !isdigit((unsigned char)name[-1]) || !isdigit((unsigned char)*name);
}

/* A word may begin at @p of @name: "T4" is not in "part4", but V100 in "TeslaV100". */
static bool is_word(const char *name, const char *p)
{
	return p == name || !isalnum((unsigned char)p[-1]) ||
	       (islower((unsigned char)p[-1]) && isupper((unsigned char)*p));
}

static bool has_part(const char *name, const char *part)
{
	for (const char *p = name; *p; p++)
		if ((is_word(name, p) || *part == ' ') && begins_with(p, part))
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
