/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_WASM_STRING_H
#define JT_WASM_STRING_H
/* What the predictor asks of <string.h>; library.c has it. */
#include <stddef.h>
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
size_t strlen(const char *text);
char *strstr(const char *text, const char *part);
#endif
