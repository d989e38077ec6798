/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WASM_MATH_H
#define JT_WASM_MATH_H
/* What the predictor asks of <math.h>, where there is no library: all are instructions. */
#define NAN __builtin_nanf("")
#define INFINITY __builtin_inff()
#define isnan(v) __builtin_isnan(v)
#define isinf(v) __builtin_isinf(v)
#define isfinite(v) __builtin_isfinite(v)
#define fabs(v) __builtin_fabs(v)
#define floor(v) __builtin_floor(v)
#define ceil(v) __builtin_ceil(v)
#define sqrt(v) __builtin_sqrt(v)
#endif
