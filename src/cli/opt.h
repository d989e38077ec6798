/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_OPT_H
#define JT_OPT_H
/*
 * Options as data: a command is a table of what it takes, from which parsing,
 * --help, completion and the manual follow. Pure but for what prints to a FILE.
 */
#include <stdio.h>
#include "base/base.h"

enum jt_opt_kind {
	JT_OPT_FLAG,   /* bool */
	JT_OPT_SWITCH, /* bool; --name or --no-name, "yes" or "no" by default */
	JT_OPT_TEXT,   /* const char *, NULL when not given and without a default */
	JT_OPT_COUNT,  /* uint64_t, JT_NONE when not given and without a default */
	JT_OPT_NUMBER, /* double, NaN when not given and without a default */
	JT_OPT_LIST,   /* struct jt_opt_list: may be given again and again */
};

struct jt_opt_list {
	const char *items[64];
	size_t n;
};

struct jt_opt {
	const char *name; /* "window", given as --window */
	char letter;      /* 'w', given as -w; 0: none */
	enum jt_opt_kind kind;
	const char *arg; /* "FROM:TO"; "a|b|c": one of these; "KIND": a row of the command's list;
	                    "FILE", "DIR": completed as a path; NULL for a flag and a switch */
	const char *fallback;
	size_t offset; /* of the member in the command's struct */
	const char *help;
};
#define JT_OPTS_END                                                                                \
	{                                                                                          \
		.name = NULL                                                                       \
	}

enum jt_exit { JT_EXIT_OK, JT_EXIT_FAILURE, JT_EXIT_USAGE };

struct jt_command;

struct jt_operands {
	char **items;
	size_t n;
};

typedef int (*jt_command_fn)(const void *args, const struct jt_operands *operands);

/* One file, cmd_NAME.c, defines one of these as jt__cmd_NAME and is named in meson.build. */
struct jt_command {
	const char *name;
	const char *what;     /* one line, lower case: "what can be measured here, and how well" */
	const char *operands; /* "FILE", "[COMMAND]", "a|b|c", "" */
	uint32_t min_operands, max_operands;
	const char *text; /* what it does: paragraphs, filled to the width; a line that begins with
	                     a blank stands for itself */
	/*
	 * What follows from a table, under this title: name and meaning of its @i-th row, NULL
	 * behind the last. No title: nothing.
	 */
	const char *list_title;
	const char *(*list_row)(size_t i, const char **ret_meaning);
	const char *examples; /* lines "command  # why" */
	const char *see_also; /* "jouletap-record(5) …": pages beside those that all have */
	const struct jt_opt *options; /* ends with JT_OPTS_END; NULL: none */
	size_t args_size;             /* of the struct that options fill */
	jt_command_fn run;            /* returns an enum jt_exit */
};

/*
 * Parses what follows the command's name. @ret_args (zeroed, args_size bytes) gets the options, and
 * @argv is reordered so that operands come first. JT_EINVAL: @err->message says what to write
 * instead.
 */
int jt__opt_parse(const struct jt_command *c, int argc, char **argv, void *ret_args,
                  struct jt_operands *ret_operands, struct jt_error *err);

/* Whether --help or -h stands among the options. */
bool jt__opt_wants_help(const struct jt_command *c, int argc, char **argv);

void jt__opt_usage(const struct jt_command *c, FILE *to);
void jt__opt_help(const struct jt_command *c, FILE *to); /* as wide as the terminal */
/* Text in which nothing is markup for scdoc. */
void jt__opt_print_scdoc(const char *text, FILE *to);
void jt__opt_scdoc(const struct jt_command *c, FILE *to);

#endif
