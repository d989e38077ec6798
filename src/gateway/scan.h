/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SCAN_H
#define JT_SCAN_H
/*
 * Reads JSON as it passes, in pieces of any size, and stops where a value
 * begins or ends whose place in the document the caller has named. Nothing is
 * built, nothing allocated; what was not named is checked and forgotten.
 *
 * The interesting places are a tree of static tables that looks like the
 * document:
 *
 *	static const struct jt_path usage[] = { { "prompt_tokens", PROMPT }, { "" } };
 *	static const struct jt_path document[] = { { "usage", USAGE, usage }, { "" } };
 *	static const struct jt_path root = { "", DOCUMENT, document };
 *
 * Keys are compared decoded, so "us\u0061ge" is "usage". A key that occurs
 * twice is reported twice: a caller that assigns lets the last one win.
 * Pure; belongs to one thread.
 */
#include "base/base.h"

enum {
	JT_SCAN_TEXT = 95,   /* bytes kept of a string or number */
	JT_SCAN_KEY = 32,    /* bytes of the key of a place, the NUL included */
	JT_SCAN_PATH = 16,   /* levels in which places can be named */
	JT_SCAN_DEPTH = 256, /* levels that are followed */
};

/* One place of the document. A list of them ends with an id of 0. */
struct jt_path {
	char key[JT_SCAN_KEY];    /* "": any element, or any member not listed before it */
	uint8_t id;               /* the caller's own, from 1; several places may share one */
	const struct jt_path *in; /* what is interesting inside; may be NULL */
};

enum jt_scan_type {
	JT_SCAN_OBJECT,
	JT_SCAN_ARRAY,
	JT_SCAN_STRING,
	JT_SCAN_NUMBER,
	JT_SCAN_TRUE,
	JT_SCAN_FALSE,
	JT_SCAN_NULL,
};

enum jt_scan_event {
	JT_SCAN_MORE,  /* the input is used up */
	JT_SCAN_BEGIN, /* the first byte of a named value was just read */
	JT_SCAN_END,   /* the last byte of a named value was just read */
	JT_SCAN_BAD,   /* not JSON, or nested too deep: said once, the rest is skipped */
};

struct jt_scan {
	/* What the last event was about. */
	uint8_t id;
	uint8_t type; /* enum jt_scan_type */
	bool empty;   /* END: nothing between the quotes or brackets */
	bool cut;     /* END: text does not hold the whole string or number */
	uint8_t n_text;
	char text[JT_SCAN_TEXT + 1]; /* END of a string (unescaped, as UTF-8) or number */
	uint64_t offset; /* bytes read; BEGIN: the value's first byte is the one before */

	uint8_t state;
	uint8_t number; /* where in the grammar of numbers */
	uint8_t n_hex;  /* digits of a \u escape still to come */
	bool is_key;
	bool wanted;         /* this string is kept in text */
	bool in_object;      /* the innermost container is one */
	uint16_t depth;      /* open containers */
	uint16_t unit;       /* the \u escape being read */
	uint16_t high;       /* first half of a surrogate pair, or 0 */
	const char *literal; /* what must still come of true, false or null */
	const struct jt_path *root;
	const struct jt_path *path;                /* of the value at hand, NULL: not named */
	const struct jt_path *places;              /* in the innermost container; may be NULL */
	const struct jt_path *stack[JT_SCAN_PATH]; /* of the open containers; below: not named */
	uint64_t objects[JT_SCAN_DEPTH / 64];      /* bit set: the container is an object */
};

void jt__scan_init(struct jt_scan *s, const struct jt_path *root);

/* Reads on from *@bytes, which then points behind the last byte read, to the next event. */
enum jt_scan_event jt__scan_next(struct jt_scan *s, const char **bytes, const char *end);

/* The document is complete (only white space may follow). */
bool jt__scan_complete(const struct jt_scan *s);

/* The number in text times @scale, rounded; JT_NONE if it is negative, cut, no number or beyond
 * 2^53. */
uint64_t jt__scan_u64(const struct jt_scan *s, double scale);

#endif
