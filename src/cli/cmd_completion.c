/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion for three shells, printed from the table of commands. An option's
 * arg tells what follows it: "a|b|c" these words, KIND a row of the command's list, FILE and
 * DIR a path, else nothing.
 */
#include <string.h>
#include "cli/cli.h"

static void print_words(const char *choices)
{
	for (; *choices; choices++)
		putchar(*choices == '|' ? ' ' : *choices);
}

static bool is_of_list(const struct jt_command *c, const struct jt_opt *o)
{
	return c->list_row && strcmp(o->arg, "KIND") == 0;
}

/* Whether what follows @o is one of some words. */
static bool has_words(const struct jt_command *c, const struct jt_opt *o)
{
	return strchr(o->arg, '|') || is_of_list(c, o);
}

static void print_words_of(const struct jt_command *c, const struct jt_opt *o)
{
	const char *name, *meaning;

	if (!is_of_list(c, o))
		print_words(o->arg);
	for (size_t i = 0; is_of_list(c, o) && (name = c->list_row(i, &meaning)); i++)
		printf("%s%s", i ? " " : "", name);
}

/* "FILE" completes as a path, and so do "[FILE]" and "DIR". */
static bool is_path(const char *arg)
{
	return strstr(arg, "FILE") != NULL || strcmp(arg, "DIR") == 0;
}

static void for_each_option(const struct jt_command *c,
                            void (*fn)(const struct jt_command *c, const struct jt_opt *o))
{
	for (const struct jt_opt *o = c->options; o && o->name; o++)
		fn(c, o);
}

static void bash_option_argument(const struct jt_command *c, const struct jt_opt *o)
{
	if (!o->arg)
		return;
	printf("\t%s:--%s", c->name, o->name);
	if (o->letter)
		printf("|%s:-%c", c->name, o->letter);
	fputs(") ", stdout);
	if (has_words(c, o)) {
		fputs("COMPREPLY=($(compgen -W '", stdout);
		print_words_of(c, o);
		fputs("' -- \"$word\"));", stdout);
	} else if (is_path(o->arg)) {
		fputs("COMPREPLY=($(compgen -f -- \"$word\"));", stdout);
	}
	puts(" return ;;");
}

static void bash_option_name(const struct jt_command *c, const struct jt_opt *o)
{
	(void)c;
	printf(" --%s", o->name);
	if (o->kind == JT_OPT_SWITCH)
		printf(" --no-%s", o->name);
}

static void bash_operands(const struct jt_command *c)
{
	if (strchr(c->operands, '|'))
		print_words(c->operands);
	else if (strcmp(c->operands, "[COMMAND]") == 0)
		fputs("$commands", stdout);
}

static void print_bash(void)
{
	fputs("_jouletap()\n{\n\tlocal word=${COMP_WORDS[COMP_CWORD]} "
	      "before=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal command=${COMP_WORDS[1]} words= commands='",
	      stdout);
	for (const struct jt_command *const *c = jt__commands; *c; c++)
		printf("%s%s", c == jt__commands ? "" : " ", (*c)->name);
	fputs("'\n\n\tCOMPREPLY=()\n\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
	      "\t\tCOMPREPLY=($(compgen -W \"$commands --help --version\" -- \"$word\"))\n"
	      "\t\treturn\n\tfi\n\tcase $command:$before in\n",
	      stdout);
	for (const struct jt_command *const *c = jt__commands; *c; c++)
		for_each_option(*c, bash_option_argument);
	fputs("\tesac\n\tcase $command in\n", stdout);
	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		printf("\t%s) words=\"", (*c)->name);
		bash_operands(*c);
		for_each_option(*c, bash_option_name);
		printf(" --help\"%s ;;\n",
		       is_path((*c)->operands) ? "; COMPREPLY=($(compgen -f -- \"$word\"))" : "");
	}
	fputs("\tesac\n\tCOMPREPLY+=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
	      "complete -o filenames -F _jouletap jouletap\n",
	      stdout);
}

/* Inside '…': a quote is closed, escaped and opened again; zsh also minds brackets and colons. */
static void print_quoted(const char *text, const char *also)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\'", stdout);
		else if (strchr(also, *text))
			putchar('\\');
		putchar(*text);
	}
}

static void zsh_operands(const char *arg)
{
	if (strchr(arg, '|')) {
		fputs(":(", stdout);
		print_words(arg);
		fputs(")", stdout);
	} else {
		fputs(is_path(arg) ? ":_files" : ": ", stdout);
	}
}

/* @prefix: "no-" for the other half of a switch. */
static void zsh_form(const struct jt_command *c, const struct jt_opt *o, const char *prefix)
{
	printf(" \\\n\t\t'%s--%s%s[", o->kind == JT_OPT_LIST ? "*" : "", prefix, o->name);
	print_quoted(o->help, "[]:\\");
	fputs("]", stdout);
	if (o->arg) {
		fputs(":value", stdout);
		if (has_words(c, o)) {
			fputs(":(", stdout);
			print_words_of(c, o);
			fputs(")", stdout);
		} else {
			fputs(is_path(o->arg) ? ":_files" : ": ", stdout);
		}
	}
	fputs("'", stdout);
}

static void zsh_option(const struct jt_command *c, const struct jt_opt *o)
{
	zsh_form(c, o, "");
	if (o->kind == JT_OPT_SWITCH)
		zsh_form(c, o, "no-");
}

static void print_zsh(void)
{
	fputs("#compdef jouletap\n\nlocal -a commands\ncommands=(\n", stdout);
	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		printf("\t'%s:", (*c)->name);
		print_quoted((*c)->what, ":\\");
		puts("'");
	}
	fputs(")\nif ((CURRENT == 2)); then\n\t_describe command commands\n\treturn\nfi\n"
	      "local command=$words[2]\nshift words\n((CURRENT--))\ncase $command in\n",
	      stdout);
	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		printf("%s)\n\t_arguments '--help[print help and exit]'", (*c)->name);
		for_each_option(*c, zsh_option);
		if (*(*c)->operands) {
			fputs(" \\\n\t\t'*:operand", stdout);
			if (strcmp((*c)->operands, "[COMMAND]") == 0)
				fputs(":{_describe command commands}", stdout);
			else
				zsh_operands((*c)->operands);
			fputs("'", stdout);
		}
		puts("\n\t;;");
	}
	puts("esac");
}

static void fish_form(const struct jt_command *c, const struct jt_opt *o, const char *prefix)
{
	printf("complete -c jouletap -n '__fish_seen_subcommand_from %s' -l %s%s", c->name, prefix,
	       o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->arg && has_words(c, o)) {
		fputs(" -x -a '", stdout);
		print_words_of(c, o);
		fputs("'", stdout);
	} else if (o->arg) {
		fputs(is_path(o->arg) ? " -r -F" : " -x", stdout);
	}
	fputs(" -d '", stdout);
	print_quoted(o->help, "\\");
	puts("'");
}

static void fish_option(const struct jt_command *c, const struct jt_opt *o)
{
	fish_form(c, o, "");
	if (o->kind == JT_OPT_SWITCH)
		fish_form(c, o, "no-");
}

static void fish_operands(const struct jt_command *c)
{
	if (!*c->operands)
		return;
	printf("complete -c jouletap -n '__fish_seen_subcommand_from %s'", c->name);
	if (is_path(c->operands)) {
		puts(" -F");
		return;
	}
	fputs(" -a '", stdout);
	if (strchr(c->operands, '|'))
		print_words(c->operands);
	else
		for (const struct jt_command *const *other = jt__commands; *other; other++)
			printf("%s ", (*other)->name);
	puts("'");
}

static void print_fish(void)
{
	puts("complete -c jouletap -f");
	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		printf("complete -c jouletap -n __fish_use_subcommand -a %s -d '", (*c)->name);
		print_quoted((*c)->what, "\\");
		puts("'");
	}
	for (const struct jt_command *const *c = jt__commands; *c; c++) {
		for_each_option(*c, fish_option);
		fish_operands(*c);
	}
}

static int run(const void *args, const struct jt_operands *operands)
{
	const char *shell = operands->items[0];

	(void)args;
	if (strcmp(shell, "bash") == 0)
		print_bash();
	else if (strcmp(shell, "zsh") == 0)
		print_zsh();
	else if (strcmp(shell, "fish") == 0)
		print_fish();
	else
		return jt__cli_fail_usage("completion",
		                          "no completion for '%.60s': bash, zsh or fish", shell);
	return JT_EXIT_OK;
}

const struct jt_command jt__cmd_completion = {
	.name = "completion",
	.what = "completion of commands and options for a shell",
	.operands = "bash|zsh|fish",
	.min_operands = 1,
	.max_operands = 1,
	.text = "Prints a completion script for the shell named.",
	.examples = "jouletap completion bash > /etc/bash_completion.d/jouletap\n"
		    "jouletap completion zsh > \"${fpath[1]}/_jouletap\"\n"
		    "jouletap completion fish > ~/.config/fish/completions/jouletap.fish",
	.run = run,
};
