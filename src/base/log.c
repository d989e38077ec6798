/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include "base/base.h"
#include "base/log.h"

static enum jt_log_level threshold = JT_LOG_NONE;
static jt_log_fn sink;
static void *sink_user;

static const char *const level_names[] = { "", "error", "warning", "info", "debug" };

void jt_log_set(enum jt_log_level level, jt_log_fn fn, void *user)
{
	threshold = level;
	sink = fn;
	sink_user = user;
}

bool jt__log_wants(enum jt_log_level level)
{
	return level <= threshold;
}

void jt__log(enum jt_log_level level, const char *module, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!jt__log_wants(level))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	jt__clean_text(text);
	if (sink)
		sink(sink_user, level, module, text);
	else
		fprintf(stderr, "jouletap: %s: %s: %s\n", module, level_names[level], text);
}
