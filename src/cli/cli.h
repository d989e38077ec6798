/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLI_H
#define JT_CLI_H
/*
 * What the commands share. A command prints results to stdout and talk to
 * stderr; main.c has the table of all commands.
 */
#include "cli/opt.h"

/* Sorted by name, NULL at the end. */
extern const struct jt_command *const jt__commands[];

const struct jt_command *jt__command_find(const char *name); /* NULL if there is none */

/* The list of commands, for people. */
void jt__cli_overview(FILE *to);

/* "jouletap: WHERE: MESSAGE" on stderr. Returns JT_EXIT_FAILURE. */
int jt__cli_fail(const struct jt_error *err);
/* The same, and how to get help. Returns JT_EXIT_USAGE. */
int jt__cli_fail_usage(const char *command, const char *fmt, ...) JT_PRINTF(2, 3);
/* "no command 'x'; did you mean 'y'". Returns JT_EXIT_USAGE. */
int jt__cli_fail_command(const char *name);

#endif
