/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_REALMATH_H
#define JT_REALMATH_H
/*
 * exp and log in plain double arithmetic, so that every machine that rounds as IEEE 754 says, and
 * WebAssembly, gives the same bits; libraries differ in the last one. To be compiled with
 * -ffp-contract=off. Within 1 ulp where the result is a normal number. Pure, any thread.
 */

double jt__exp(double x); /* 0 and infinity beyond what a double holds; NaN of NaN */
double jt__ln(double x);  /* -infinity of 0; NaN of NaN and below 0 */

#endif
