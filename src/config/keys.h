/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CONFIG_KEYS_H
#define JT_CONFIG_KEYS_H
/* The table of keys, from which reading, defaults, errors and the manual follow. Constant. */
#include "config/config.h"

enum jt_key_kind {
	JT_KEY_SECTION, /* a mapping with the keys of the table */
	JT_KEY_MAP,     /* a mapping whose keys are names: its items are the row "PATH.*" */
	JT_KEY_LIST,    /* a sequence: its items are the row "PATH[]" */
	JT_KEY_TEXT,
	JT_KEY_ADDRESS,
	JT_KEY_URL,
	JT_KEY_BOOL,
	JT_KEY_COUNT, /* from here on numbers: a uint64_t, scaled */
	JT_KEY_BYTES,
	JT_KEY_DAYS,
	JT_KEY_MILLISECONDS,
	JT_KEY_SECONDS,
	JT_KEY_WATTS,
	JT_KEY_JOULES,
	JT_KEY_CELSIUS,
	JT_KEY_RATIO,
};

struct jt_number_kind {
	const char *unit; /* as in the file; "" where there is none */
	double scale;     /* inside = file × scale */
	bool whole;
};

struct jt_key {
	const char *path; /* "upstreams[].url" */
	enum jt_key_kind kind;
	bool inactive;        /* read and checked, but nothing acts on it yet */
	double min, max;      /* of a number, in the file's unit */
	const char *choices;  /* of a text: "equal|tokens|roofline"; NULL: free */
	const char *fallback; /* as it would stand in the file: a LIST's one item; NULL: none */
	const char *doc;
	size_t offset;   /* in the item it belongs to, else in struct jt_config */
	size_t size;     /* of the member; of one item for LIST and MAP */
	size_t n_offset; /* LIST and MAP: the count of items */
	size_t n_max;
	/* What the table cannot say. JT_EINVAL: @why->message continues "'KEY' ". */
	int (*check)(void *item, struct jt_error *why);
};

extern const struct jt_key jt__config_keys[]; /* ends with a row without a path */

const struct jt_number_kind *jt__key_number(const struct jt_key *k); /* NULL: not a number */

/* The row of @name inside @parent (NULL: at the top). Items of lists and maps: "[]" and "*". */
const struct jt_key *jt__key_child(const struct jt_key *parent, const char *name);

/* The name of @k if it stands directly inside @parent (NULL: at the top), else NULL. */
const char *jt__key_name_in(const struct jt_key *k, const struct jt_key *parent);

/* What to suggest for an unknown @name inside @parent: the end of a sentence. */
void jt__key_suggest(const struct jt_key *parent, const char *name, char *ret_hint, size_t size);

/* Parses scalar @text into the member of @item. JT_EINVAL: @why->message continues "'KEY' ". */
int jt__key_set(const struct jt_key *k, void *item, const char *text, size_t n, bool quoted,
                struct jt_error *why);

/* Sets the defaults of all keys that stand inside @parent's item (NULL: struct jt_config). */
void jt__key_defaults(const struct jt_key *parent, void *item);

/* Checks of keys.c that need more than one member. */
int jt__check_phase_split(void *item, struct jt_error *why);
int jt__check_path(void *item, struct jt_error *why);
int jt__check_upstream(void *item, struct jt_error *why);
int jt__check_upstreams(void *item, struct jt_error *why);

#endif
