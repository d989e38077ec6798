/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_DECIMAL_H
#define JT_DECIMAL_H
/*
 * Decimal text to integers of a smaller unit without a double in between: a
 * counter that has run for a month has more digits in µJ than a double keeps. Pure, any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * @n bytes of "71.23", "1e-3" … times 10^@digits, rounded half up. false if they are anything but
 * one number, negative, or too large.
 */
bool jt__parse_decimal(const char *text, size_t n, unsigned digits, uint64_t *ret_value);

/* The same with a sign. */
bool jt__parse_signed(const char *text, size_t n, unsigned digits, int64_t *ret_value);

#endif
