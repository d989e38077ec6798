/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <string.h>
#include "model/realmath.h"

/* ln 2 in two pieces: the first has 32 bits, so that up to 2^20 times it is exact. */
#define LN2_HI 0x1.62e42feep-1
#define LN2_LO 0x1.a39ef35793c76p-33
#define LOG2_E 0x1.71547652b82fep+0
#define SQRT_2 0x1.6a09e667f3bcdp+0

/* 2^@k for what has a normal double: -1022 … 1023. */
static double two_to(int k)
{
	uint64_t bits = (uint64_t)(k + 1023) << 52;
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

/*
 * x = k ln 2 + r, |r| <= ln 2 / 2, and e^r by its series: the first term that is left out,
 * r^14 / 14!, is below 2^-57.
 */
double jt__exp(double x)
{
	static const double inverse_factorials[] = {
		1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800,
		1.0 / 362880,     1.0 / 40320,     1.0 / 5040,     1.0 / 720,
		1.0 / 120,        1.0 / 24,        1.0 / 6,        1.0 / 2
	};
	double k, hi, lo, r, series = 0;
	int half;

	if (isnan(x))
		return x;
	if (x > 709.79)
		return INFINITY;
	if (x < -745.2)
		return 0;
	k = x * LOG2_E + 0x1.8p52; /* there doubles are whole numbers: rounds to the nearest */
	k -= 0x1.8p52;
	hi = x - k * LN2_HI;
	lo = k * LN2_LO;
	r = hi - lo;
	for (unsigned i = 0; i < sizeof(inverse_factorials) / sizeof(double); i++)
		series = series * r + inverse_factorials[i];
	r = 1 + (hi - (lo - r * r * series));
	half = (int)k /
	       2; /* in two steps, as 2^k may have no normal double where the result has one */
	return r * two_to(half) * two_to((int)k - half);
}

/*
 * x = 2^k (1 + f), 1 + f from sqrt(1/2) to sqrt(2). With s = f / (2 + f):
 * log(1 + f) = 2 atanh(s) = 2 s + s R, R = 2 (s²/3 + s⁴/5 + …), and 2 s = f - f²/2 + s f²/2, of
 * which the large term f is exact. The first term left out, 2 s^22 / 23, is below 2^-58.
 */
double jt__ln(double x)
{
	static const double twice_inverse[] = { 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13,
		                                2.0 / 11, 2.0 / 9,  2.0 / 7,  2.0 / 5,  2.0 / 3 };
	double f, s, z, half_square, series = 0;
	uint64_t bits;
	int k = 0;

	if (isnan(x) || x < 0)
		return NAN;
	if (x == 0)
		return -INFINITY;
	if (isinf(x))
		return x;
	if (x < 0x1p-1022) {
		x *= 0x1p54;
		k = -54;
	}
	memcpy(&bits, &x, sizeof(bits));
	k += (int)(bits >> 52) - 1023;
	bits = (bits & 0xfffffffffffff) | UINT64_C(1023) << 52;
	memcpy(&f, &bits, sizeof(f));
	if (f > SQRT_2) {
		f *= 0.5;
		k++;
	}
	f -= 1;
	s = f / (2 + f);
	z = s * s;
	for (unsigned i = 0; i < sizeof(twice_inverse) / sizeof(double); i++)
		series = z * (series + twice_inverse[i]);
	half_square = 0.5 * f * f;
	return k * LN2_HI - ((half_square - (s * (half_square + series) + k * LN2_LO)) - f);
}
