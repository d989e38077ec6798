/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_TAP_H
#define JT_TAP_H
/*
 * A test program is a list of sentences: test(name) runs a function, check() inside it says what
 * must hold; the function becomes one TAP line. Single-threaded.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TAP_MAX_COMPLAINTS 10 /* of one test; a check in a loop says the same thing each time */

static int tap_n, tap_failed, tap_in_test;

#define check(cond) tap_check((cond), #cond, __FILE__, __LINE__)
#define check_near(got, want, tolerance)                                                           \
	tap_near((got), (want), (tolerance), #got, __FILE__, __LINE__)
#define check_text(got, want) tap_text((got), (want), #got, __FILE__, __LINE__)
#define test(function) tap_run(function, #function)
/* For a test that needs what this machine lacks: says so loudly. */
#define skip(function, why) tap_skip(#function, why)

static inline int tap_check(int ok, const char *what, const char *file, int line)
{
	if (!ok) {
		if (tap_in_test++ >= TAP_MAX_COMPLAINTS)
			return ok;
		printf("# %s:%d: does not hold: %s\n", file, line, what);
	}
	return ok;
}

static inline int tap_near(double got, double want, double tolerance, const char *what,
                           const char *file, int line)
{
	int ok = fabs(got - want) <= tolerance;

	if (!ok) {
		if (tap_in_test++ >= TAP_MAX_COMPLAINTS)
			return ok;
		printf("# %s:%d: %s is %.9g, not within %.3g of %.9g\n", file, line, what, got,
		       tolerance, want);
	}
	return ok;
}

static inline int tap_text(const char *got, const char *want, const char *what, const char *file,
                           int line)
{
	int ok = got && strcmp(got, want) == 0;

	if (!ok) {
		if (tap_in_test++ >= TAP_MAX_COMPLAINTS)
			return ok;
		printf("# %s:%d: %s is \"%s\", not \"%s\"\n", file, line, what,
		       got ? got : "(null)", want);
	}
	return ok;
}

static inline void tap_run(void (*function)(void), const char *name)
{
	tap_in_test = 0;
	function();
	tap_failed += tap_in_test != 0;
	printf("%sok %d - ", tap_in_test ? "not " : "", ++tap_n);
	for (const char *p = name; *p; p++)
		putchar(*p == '_' ? ' ' : *p);
	putchar('\n');
	fflush(stdout);
}

static inline void tap_skip(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_n, name, why);
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_n);
	return tap_failed != 0;
}

#endif
