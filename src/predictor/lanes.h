/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LANES_H
#define JT_LANES_H
/*
 * A register full of floats. trees.c and kernel.c, which include this, are compiled for every
 * processor, and for x86-64 once more, as NAME_wide, with AVX2 and its registers of twice the
 * width. Each lane is worked out by itself in the same order: both give the same bits.
 */
#include <string.h>
#include "predictor/parts.h"

#ifdef JT_WIDE
#include <immintrin.h>
#define JT_WIDTH 8 /* lanes of a register */
#define JT_NAME(name) name##_wide
#define JT_ALL(v)                                                                                  \
	{                                                                                          \
		v, v, v, v, v, v, v, v                                                             \
	}
#else
#define JT_WIDTH 4
#define JT_NAME(name) name
#define JT_ALL(v)                                                                                  \
	{                                                                                          \
		v, v, v, v                                                                         \
	}
#endif

/* So that a list of lanes stays in registers at -O2 too, where only clang unrolls by itself. */
#ifdef __clang__
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
/* So that what is constant for a caller is so inside. */
#define JT_INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * JT_WIDTH)));
typedef int32_t masks __attribute__((vector_size(4 * JT_WIDTH)));
typedef uint32_t counts __attribute__((vector_size(4 * JT_WIDTH)));

static inline lanes load(const float *from)
{
	lanes v;

	memcpy(&v, from, sizeof(v));
	return v;
}

static inline void store(float *to, lanes v)
{
	memcpy(to, &v, sizeof(v));
}

static inline lanes all(float v)
{
	return (lanes)JT_ALL(v);
}

static inline masks choose(masks first, masks a, masks b)
{
	return (first & a) | (~first & b);
}

static inline lanes root(lanes v)
{
	for (uint32_t i = 0; i < JT_WIDTH; i++)
		v[i] = __builtin_sqrtf(v[i]);
	return v;
}

/* Of 32 floats: each lane's is the one that its lowest bit stands for. */
static inline lanes pick(const float *from, masks bits)
{
#ifdef JT_WIDE
	/* A power of two is a float of that exponent, which stands above 23 bits, 127 higher. */
	counts b = (counts)bits;
	lanes power = __builtin_convertvector((masks)(b & -b), lanes);
	counts at = ((counts)power >> 23) - 127;
	lanes v[4];

	for (uint32_t i = 0; i < 4; i++)
		v[i] = _mm256_permutevar8x32_ps(load(from + 8 * i), (__m256i)at);
	v[0] = _mm256_blendv_ps(v[0], v[1], (lanes)(at << 28));
	v[2] = _mm256_blendv_ps(v[2], v[3], (lanes)(at << 28));
	return _mm256_blendv_ps(v[0], v[2], (lanes)(at << 27));
#else
	lanes v;

	for (uint32_t i = 0; i < JT_WIDTH; i++)
		v[i] = from[__builtin_ctz((uint32_t)bits[i])];
	return v;
#endif
}

#endif
