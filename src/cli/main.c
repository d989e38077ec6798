/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include "base/base.h"
#include "base/log.h"
#include "cli/cli.h"

/* commands.h is made from the list in meson.build: one JT_COMMAND(name) a command, sorted. */
#define JT_COMMAND(name) extern const struct jt_command jt__cmd_##name;
#include "commands.h"
#undef JT_COMMAND

const struct jt_command *const jt__commands[] = {
#define JT_COMMAND(name) &jt__cmd_##name,
#include "commands.h"
#undef JT_COMMAND
	NULL,
};

const struct jt_command *jt__command_find(const char *name)
{
	for (const struct jt_command *const *c = jt__commands; *c; c++)
		if (strcmp((*c)->name, name) == 0)
			return *c;
	return NULL;
}

void jt__cli_overview(FILE *to)
{
	fputs("usage: jouletap COMMAND [OPTION]… [OPERAND]…\n\n"
	      "Where did the joules go? Measures the machines that run LLM inference and\n"
	      "charges every joule to the request and phase that caused it.\n\nCommands:\n",
	      to);
	for (const struct jt_command *const *c = jt__commands; *c; c++)
		fprintf(to, "  %-12s %s\n", (*c)->name, (*c)->what);
	fputs("\n'jouletap help COMMAND' tells more; 'jouletap --version' prints the version.\n",
	      to);
}

int jt__cli_fail(const struct jt_error *err)
{
	fprintf(stderr, "jouletap: %s: %s\n", err->where, err->message);
	return JT_EXIT_FAILURE;
}

int jt__cli_fail_usage(const char *command, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "jouletap: %s: ", command);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\ntry: jouletap help %s\n", command);
	return JT_EXIT_USAGE;
}

int jt__cli_fail_command(const char *name)
{
	unsigned best = (strlen(name) + 2) / 3 + 1;
	const char *nearest = NULL;

	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		unsigned distance = jt__edit_distance((*c)->name, name);

		if (distance < best) {
			best = distance;
			nearest = (*c)->name;
		}
	}
	fprintf(stderr, "jouletap: no command '%.60s'", name);
	if (nearest)
		fprintf(stderr, "; did you mean '%s'", nearest);
	fputs("\ntry: jouletap help\n", stderr);
	return JT_EXIT_USAGE;
}

static int run_command(const struct jt_command *c, int argc, char **argv)
{
	struct jt_operands operands;
	struct jt_error err;
	void *args;
	int code;

	if (jt__opt_wants_help(c, argc, argv)) {
		jt__opt_help(c, stdout);
		return JT_EXIT_OK;
	}
	args = jt__alloc(1, c->args_size ? c->args_size : 1);
	if (!args) {
		jt__fail(&err, JT_ENOMEM, c->name, "%s", jt_strerror(JT_ENOMEM));
		return jt__cli_fail(&err);
	}
	if (jt__opt_parse(c, argc, argv, args, &operands, &err))
		code = jt__cli_fail_usage(c->name, "%s", err.message);
	else
		code = c->run(args, &operands);
	jt__free(args);
	return code;
}

/* Results that could not be written are a failure, a full disk for one. */
static int flush_stdout(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "jouletap: stdout: cannot write: %s\n", strerror(errno));
	return JT_EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const struct jt_command *c;
	const char *name;

	signal(SIGPIPE, SIG_IGN);
	jt_log_set(JT_LOG_INFO, NULL, NULL);
	if (argc < 2) {
		jt__cli_overview(stderr);
		return JT_EXIT_USAGE;
	}
	name = argv[1];
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
		puts("jouletap " JT_VERSION);
		return flush_stdout(JT_EXIT_OK);
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	if (*name == '-') {
		fprintf(stderr, "jouletap: unknown option '%.60s'\ntry: jouletap help\n", name);
		return JT_EXIT_USAGE;
	}
	c = jt__command_find(name);
	if (!c)
		return jt__cli_fail_command(name);
	return flush_stdout(run_command(c, argc - 2, argv + 2));
}
