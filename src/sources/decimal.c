/* SPDX-License-Identifier: Apache-2.0 */
#include "sources/decimal.h"

typedef unsigned __int128 u128;

/* Digits that a u128 holds whatever they are; what follows them in a fraction is below any unit we
 * have. */
#define MAX_DIGITS 36

struct number {
	u128 digits;
	unsigned n_digits; /* without leading zeros */
	int exponent;      /* of ten */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* false if an integer part is longer than any value we take. */
static bool take_digit(struct number *x, char c, bool in_fraction)
{
	if (x->n_digits == MAX_DIGITS)
		return in_fraction;
	x->digits = x->digits * 10 + (u128)(c - '0');
	x->n_digits += x->digits != 0;
	x->exponent -= in_fraction;
	return true;
}

static bool parse_exponent(const char *p, const char *end, int *ret_exponent)
{
	bool negative = p < end && *p == '-';
	int e = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	for (; p < end; p++) {
		if (!is_digit(*p) || e > 1000)
			return false;
		e = e * 10 + (*p - '0');
	}
	*ret_exponent = negative ? -e : e;
	return true;
}

static bool parse_number(const char *p, const char *end, struct number *ret)
{
	struct number x = { 0 };
	size_t n_seen = 0;
	int exponent = 0;

	for (; p < end && is_digit(*p); p++, n_seen++)
		if (!take_digit(&x, *p, false))
			return false;
	if (p < end && *p == '.')
		for (p++; p < end && is_digit(*p); p++, n_seen++)
			take_digit(&x, *p, true);
	if (!n_seen)
		return false;
	if (p < end && (*p == 'e' || *p == 'E')) {
		if (!parse_exponent(p + 1, end, &exponent))
			return false;
		p = end;
	}
	x.exponent += exponent;
	*ret = x;
	return p == end;
}

bool jt__parse_decimal(const char *text, size_t n, unsigned digits, uint64_t *ret_value)
{
	struct number x;
	u128 half_up = 0;

	if (!parse_number(text, text + n, &x))
		return false;
	x.exponent += (int)digits;
	for (; x.exponent < 0 && (x.digits || half_up); x.exponent++) {
		half_up = x.digits % 10 >= 5;
		x.digits /= 10;
	}
	x.digits += half_up;
	for (; x.exponent > 0 && x.digits; x.exponent--) {
		x.digits *= 10;
		if (x.digits > UINT64_MAX)
			return false;
	}
	if (x.digits > UINT64_MAX)
		return false;
	*ret_value = (uint64_t)x.digits;
	return true;
}

bool jt__parse_signed(const char *text, size_t n, unsigned digits, int64_t *ret_value)
{
	bool negative = n && text[0] == '-';
	uint64_t v;

	if (!jt__parse_decimal(text + negative, n - negative, digits, &v) || v > INT64_MAX)
		return false;
	*ret_value = negative ? -(int64_t)v : (int64_t)v;
	return true;
}
