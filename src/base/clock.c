/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/base.h"
#include "base/clock.h"
#include "jouletap/record.h"

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * JT_NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t jt__now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t jt__realtime_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t jt__cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

int jt__thread_clock(void)
{
	clockid_t clock = 0;

	pthread_getcpuclockid(pthread_self(), &clock);
	return clock;
}

uint64_t jt__thread_cpu_ns(int clock)
{
	struct timespec ts;

	if (!clock || clock_gettime(clock, &ts) != 0)
		return JT_NONE;
	return (uint64_t)ts.tv_sec * JT_NS_PER_S + (uint64_t)ts.tv_nsec;
}

void jt__format_rfc3339(uint64_t unix_ns, char out[32])
{
	time_t s = (time_t)(unix_ns / JT_NS_PER_S);
	unsigned ms = (unsigned)(unix_ns % JT_NS_PER_S / JT_NS_PER_MS);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 32 - n, ".%03uZ", ms);
}

bool jt__parse_rfc3339(const char *text, uint64_t *ret_unix_ns)
{
	struct tm tm = { 0 };
	const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	uint64_t fraction_ns = 0, digit_ns = JT_NS_PER_S;
	int hours = 0, minutes = 0, sign = 1, used = 0;
	time_t s;

	if (!p)
		return false;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9'; p++)
			fraction_ns += (uint64_t)(*p - '0') * (digit_ns /= 10);
	if (*p == '+' || *p == '-') {
		sign = *p == '-' ? -1 : 1;
		if (sscanf(p + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || p[1 + used])
			return false;
	} else if (strcmp(p, "Z") != 0) {
		return false;
	}
	s = timegm(&tm) - sign * (hours * 3600 + minutes * 60);
	if (s < 0)
		return false;
	*ret_unix_ns = (uint64_t)s * JT_NS_PER_S + fraction_ns;
	return true;
}
