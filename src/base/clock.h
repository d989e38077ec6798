/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLOCK_H
#define JT_CLOCK_H
/* The only place that asks what time it is. Any thread. */
#include <stdbool.h>
#include <stdint.h>

uint64_t jt__now_ns(void);      /* CLOCK_MONOTONIC */
uint64_t jt__realtime_ns(void); /* CLOCK_REALTIME */
uint64_t jt__cpu_ns(void);      /* CPU time of this process */

/* A name for the calling thread's own CPU clock, which any thread of the process may read. Not 0.
 */
int jt__thread_clock(void);
/* CPU time of the thread; JT_NONE if it is over, or @clock is 0. */
uint64_t jt__thread_cpu_ns(int clock);

/* "2026-01-31T12:34:56.789Z" of a unix time; @out holds 32 bytes. */
void jt__format_rfc3339(uint64_t unix_ns, char out[32]);
/* false if @text is not RFC 3339. */
bool jt__parse_rfc3339(const char *text, uint64_t *ret_unix_ns);

#endif
