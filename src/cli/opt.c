/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/opt.h"
#include "cli/term.h"
#include "jouletap/record.h"

static const struct jt_opt help_option = { .name = "help",
	                                   .letter = 'h',
	                                   .help = "print this and exit" };

static const struct jt_opt *options_of(const struct jt_command *c)
{
	static const struct jt_opt none[] = { JT_OPTS_END };

	return c->options ? c->options : none;
}

static bool takes_value(const struct jt_opt *o)
{
	return o->kind != JT_OPT_FLAG && o->kind != JT_OPT_SWITCH;
}

static const struct jt_opt *find_name(const struct jt_command *c, const char *name, size_t n)
{
	for (const struct jt_opt *o = options_of(c); o->name; o++)
		if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
			return o;
	return NULL;
}

/* "no-NAME" of a switch. */
static const struct jt_opt *find_negated(const struct jt_command *c, const char *name, size_t n)
{
	const struct jt_opt *o = NULL;

	if (n > 3 && memcmp(name, "no-", 3) == 0)
		o = find_name(c, name + 3, n - 3);
	return o && o->kind == JT_OPT_SWITCH ? o : NULL;
}

static const struct jt_opt *find_letter(const struct jt_command *c, char letter)
{
	for (const struct jt_opt *o = options_of(c); o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

static int fail_unknown(const struct jt_command *c, const char *name, size_t n,
                        struct jt_error *err)
{
	const char *nearest = "help";
	unsigned best = (n + 2) / 3 + 1;
	char copy[64];

	jt__copy_text(copy, sizeof(copy), name, n);
	if (jt__edit_distance(nearest, copy) >= best)
		nearest = NULL;
	for (const struct jt_opt *o = options_of(c); o->name; o++)
		if (jt__edit_distance(o->name, copy) < best) {
			best = jt__edit_distance(o->name, copy);
			nearest = o->name;
		}
	if (nearest)
		return jt__fail(err, JT_EINVAL, c->name,
		                "unknown option '--%s'; did you mean '--%s'", copy, nearest);
	return jt__fail(err, JT_EINVAL, c->name, "unknown option '--%s'", copy);
}

static bool is_choice(const char *choices, const char *text)
{
	size_t n = strlen(text);

	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strcspn(p, "|") == n && memcmp(p, text, n) == 0)
			return true;
	return false;
}

static bool set_count(void *member, const char *text)
{
	char *end;
	uint64_t v = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || v == UINT64_MAX)
		return false;
	memcpy(member, &v, sizeof(v));
	return true;
}

static bool set_number(void *member, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end || !isfinite(v))
		return false;
	memcpy(member, &v, sizeof(v));
	return true;
}

static bool set_item(struct jt_opt_list *list, const char *text)
{
	if (list->n == JT_ARRAY_LEN(list->items))
		return false;
	list->items[list->n++] = text;
	return true;
}

static int set_option(const struct jt_command *c, const struct jt_opt *o, const char *text,
                      void *args, struct jt_error *err)
{
	void *member = (char *)args + o->offset;

	if (o->arg && strchr(o->arg, '|') && !is_choice(o->arg, text))
		return jt__fail(err, JT_EINVAL, c->name, "'--%s' must be %s, not '%.60s'", o->name,
		                o->arg, text);
	if (o->kind == JT_OPT_FLAG)
		*(bool *)member = true;
	else if (o->kind == JT_OPT_SWITCH)
		*(bool *)member = strcmp(text, "yes") == 0;
	else if (o->kind == JT_OPT_TEXT)
		*(const char **)member = text;
	else if (o->kind == JT_OPT_COUNT && !set_count(member, text))
		return jt__fail(err, JT_EINVAL, c->name,
		                "'--%s' must be a whole number, not '%.60s'", o->name, text);
	else if (o->kind == JT_OPT_NUMBER && !set_number(member, text))
		return jt__fail(err, JT_EINVAL, c->name, "'--%s' must be a number, not '%.60s'",
		                o->name, text);
	else if (o->kind == JT_OPT_LIST && !set_item(member, text))
		return jt__fail(err, JT_ELIMIT, c->name, "'--%s' is given more than %zu times",
		                o->name, JT_ARRAY_LEN(((struct jt_opt_list *)0)->items));
	return JT_OK;
}

static void set_defaults(const struct jt_command *c, void *args)
{
	for (const struct jt_opt *o = options_of(c); o->name; o++) {
		void *member = (char *)args + o->offset;

		if (o->fallback)
			set_option(c, o, o->fallback, args, NULL);
		else if (o->kind == JT_OPT_COUNT)
			*(uint64_t *)member = JT_NONE;
		else if (o->kind == JT_OPT_NUMBER)
			*(double *)member = NAN;
	}
}

/* Where parsing stands in argv. */
struct cursor {
	int argc;
	char **argv;
	int i;
};

static int take_argument(const struct jt_command *c, const struct jt_opt *o, const char *attached,
                         struct cursor *at, const char **ret_text, struct jt_error *err)
{
	*ret_text = attached;
	if (!takes_value(o) && attached)
		return jt__fail(err, JT_EINVAL, c->name, "'--%s' takes no value", o->name);
	if (o->kind == JT_OPT_SWITCH)
		*ret_text = "yes";
	if (!takes_value(o) || attached)
		return JT_OK;
	if (at->i + 1 >= at->argc)
		return jt__fail(err, JT_EINVAL, c->name, "'--%s' needs a value: %s", o->name,
		                o->arg);
	*ret_text = at->argv[++at->i];
	return JT_OK;
}

/* "--name", "--name=value", "--name value", "--no-name" */
static int parse_long(const struct jt_command *c, struct cursor *at, void *args,
                      struct jt_error *err)
{
	const char *name = at->argv[at->i] + 2, *text;
	size_t n = strcspn(name, "=");
	const struct jt_opt *o = find_name(c, name, n);
	const struct jt_opt *negated = o ? NULL : find_negated(c, name, n);
	int status;

	if (!o)
		o = negated;
	if (!o)
		return fail_unknown(c, name, n, err);
	status = take_argument(c, o, name[n] ? name + n + 1 : NULL, at, &text, err);
	return status ? status : set_option(c, o, negated ? "no" : text, args, err);
}

/* "-w value", "-wvalue", "-ab" */
static int parse_letters(const struct jt_command *c, struct cursor *at, void *args,
                         struct jt_error *err)
{
	for (const char *p = at->argv[at->i] + 1; *p; p++) {
		const struct jt_opt *o = find_letter(c, *p);
		const char *text;
		int status;

		if (!o)
			return jt__fail(err, JT_EINVAL, c->name, "unknown option '-%c'", *p);
		status = take_argument(c, o, takes_value(o) && p[1] ? p + 1 : NULL, at, &text, err);
		if (!status)
			status = set_option(c, o, text, args, err);
		if (status || takes_value(o))
			return status;
	}
	return JT_OK;
}

static bool is_option(const char *arg)
{
	return arg[0] == '-' && arg[1];
}

int jt__opt_parse(const struct jt_command *c, int argc, char **argv, void *ret_args,
                  struct jt_operands *ret_operands, struct jt_error *err)
{
	struct cursor at = { .argc = argc, .argv = argv };
	bool only_operands = false;
	uint32_t n = 0;

	set_defaults(c, ret_args);
	for (; at.i < argc; at.i++) {
		char *arg = argv[at.i];
		int status = JT_OK;

		if (only_operands || !is_option(arg))
			argv[n++] = arg;
		else if (strcmp(arg, "--") == 0)
			only_operands = true;
		else if (arg[1] == '-')
			status = parse_long(c, &at, ret_args, err);
		else
			status = parse_letters(c, &at, ret_args, err);
		if (status)
			return status;
	}
	if (n < c->min_operands)
		return jt__fail(err, JT_EINVAL, c->name, "%s is missing", c->operands);
	if (n > c->max_operands)
		return jt__fail(err, JT_EINVAL, c->name, "unexpected operand '%.60s'",
		                argv[c->max_operands]);
	*ret_operands = (struct jt_operands){ argv, n };
	return JT_OK;
}

bool jt__opt_wants_help(const struct jt_command *c, int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 ||
		    (strcmp(argv[i], "-h") == 0 && !find_letter(c, 'h')))
			return true;
	return false;
}

void jt__opt_usage(const struct jt_command *c, FILE *to)
{
	fprintf(to, "usage: jouletap %s%s%s%s\n", c->name, c->options ? " [OPTION]…" : "",
	        *c->operands ? " " : "", c->operands);
}

/* ---- help, as wide as the terminal ---- */

#define LEFT 31 /* columns of an option's name */

/* Words that fill lines. */
struct fill {
	FILE *to;
	unsigned width;
	unsigned indent; /* of all lines but the first */
	unsigned column;
};

/* Columns of UTF-8 text in which no character is wide. */
static unsigned columns(const char *text, size_t n)
{
	unsigned count = 0;

	for (size_t i = 0; i < n; i++)
		count += ((unsigned char)text[i] & 0xc0) != 0x80;
	return count;
}

static void put_word(struct fill *f, const char *word, size_t n)
{
	unsigned wide = columns(word, n);

	if (f->column > f->indent && f->column + 1 + wide > f->width) {
		fprintf(f->to, "\n%*s", (int)f->indent, "");
		f->column = f->indent;
	} else if (f->column > f->indent) {
		fputc(' ', f->to);
		f->column++;
	}
	fwrite(word, 1, n, f->to);
	f->column += wide;
}

static void put_words(struct fill *f, const char *text, size_t n)
{
	const char *end = text + n;

	while (text < end) {
		size_t word = strcspn(text, " \n");

		word = JT_MIN(word, (size_t)(end - text));
		if (word)
			put_word(f, text, word);
		text += word + 1;
	}
}

/* A paragraph ends at an empty line, and at one that stands for itself. */
static void print_paragraphs(const char *text, FILE *to)
{
	struct fill f = { .to = to, .width = jt__term_width(to) };

	while (*text) {
		size_t n = strcspn(text, "\n");
		bool literal = n == 0 || *text == ' ';

		if (literal && f.column)
			fputc('\n', to);
		if (literal) {
			fprintf(to, "%.*s\n", (int)n, text);
			f.column = 0;
		} else {
			put_words(&f, text, n);
		}
		text += n + (text[n] == '\n');
	}
	if (f.column)
		fputc('\n', to);
}

/* @name in a column of its own, what it means beside it. */
static void print_entry(const char *name, const char *meaning, FILE *to)
{
	struct fill f = { .to = to, .width = jt__term_width(to), .indent = LEFT, .column = LEFT };
	unsigned wide = columns(name, strlen(name));

	if (wide > LEFT - 3)
		fprintf(to, "  %s\n%*s", name, LEFT, "");
	else
		fprintf(to, "  %s%*s", name, (int)(LEFT - 2 - wide), "");
	put_words(&f, meaning, strlen(meaning));
	fputc('\n', to);
}

static const char *negation(const struct jt_opt *o)
{
	return o->kind == JT_OPT_SWITCH ? "[no-]" : "";
}

/* What is taken if the option is not given, where that can be shown. */
static const char *shown_fallback(const struct jt_opt *o)
{
	return o->fallback && *o->fallback ? o->fallback : NULL;
}

static void print_option(const struct jt_opt *o, FILE *to)
{
	char left[64], help[640];
	const char *arg = o->arg ? o->arg : "", *fallback = shown_fallback(o);

	snprintf(left, sizeof(left), "%c%c%s--%s%s%s%s", o->letter ? '-' : ' ',
	         o->letter ? o->letter : ' ', o->letter ? ", " : "  ", negation(o), o->name,
	         *arg ? " " : "", arg);
	snprintf(help, sizeof(help), "%s%s%s%s%s", o->help, fallback ? " (default " : "",
	         fallback ? fallback : "", fallback ? ")" : "",
	         o->kind == JT_OPT_LIST ? "; may be repeated" : "");
	print_entry(left, help, to);
}

static void print_list(const struct jt_command *c, FILE *to)
{
	const char *name, *meaning;

	fprintf(to, "\n%s:\n", c->list_title);
	for (size_t i = 0; (name = c->list_row(i, &meaning)); i++)
		print_entry(name, meaning, to);
}

static void print_indented(const char *lines, const char *indent, FILE *to)
{
	while (*lines) {
		size_t n = strcspn(lines, "\n");

		fprintf(to, "%s%.*s\n", n ? indent : "", (int)n, lines);
		lines += n + (lines[n] == '\n');
	}
}

void jt__opt_help(const struct jt_command *c, FILE *to)
{
	jt__opt_usage(c, to);
	fputs("\n", to);
	print_paragraphs(c->text, to);
	fputs("\nOptions:\n", to);
	for (const struct jt_opt *o = options_of(c); o->name; o++)
		print_option(o, to);
	print_option(&help_option, to);
	if (c->list_title)
		print_list(c, to);
	if (c->examples) {
		fputs("\nExamples:\n", to);
		print_indented(c->examples, "  ", to);
	}
	fputs("\nExit codes: 0 success, 1 failure, 2 wrong usage.\n", to);
}

/* ---- the manual, which whoever shows it fills ---- */

static void put_escaped(char c, FILE *to)
{
	if (strchr("\\*_~<[#|-", c))
		fputc('\\', to);
	fputc(c, to);
}

void jt__opt_print_scdoc(const char *text, FILE *to)
{
	for (; *text; text++)
		put_escaped(*text, to);
}

/* Indented lines stand for themselves, as in --help. */
static void scdoc_text(const char *text, FILE *to)
{
	bool literal = false;

	while (*text) {
		int n = strcspn(text, "\n");

		if (literal != (*text == ' '))
			fputs("```\n", to);
		literal = *text == ' ';
		if (literal)
			fprintf(to, "%.*s\n", n, text);
		for (int i = 0; !literal && i < n; i++)
			put_escaped(text[i], to);
		fputs(literal ? "" : "\n", to);
		text += n + (text[n] == '\n');
	}
	fputs(literal ? "```\n" : "", to);
}

static void scdoc_option(const struct jt_opt *o, FILE *to)
{
	fputs("*", to);
	if (o->letter)
		fprintf(to, "-%c*, *", o->letter);
	fputs("--", to);
	jt__opt_print_scdoc(negation(o), to);
	fprintf(to, "%s*", o->name);
	if (o->arg) {
		fputs(" _", to);
		jt__opt_print_scdoc(o->arg, to);
		fputs("_", to);
	}
	fputs("\n\t", to);
	jt__opt_print_scdoc(o->help, to);
	if (shown_fallback(o)) {
		fputs(" (default ", to);
		jt__opt_print_scdoc(o->fallback, to);
		fputs(")", to);
	}
	fputs(o->kind == JT_OPT_LIST ? "; may be repeated\n\n" : "\n\n", to);
}

static void scdoc_list(const struct jt_command *c, FILE *to)
{
	const char *name, *meaning;

	fputs("# ", to);
	for (const char *p = c->list_title; *p; p++)
		fputc(toupper((unsigned char)*p), to);
	fputs("\n\n", to);
	for (size_t i = 0; (name = c->list_row(i, &meaning)); i++) {
		fputs("*", to);
		jt__opt_print_scdoc(name, to);
		fputs("*\n\t", to);
		jt__opt_print_scdoc(meaning, to);
		fputs("\n\n", to);
	}
}

/* "a(5) b(1)". */
static void scdoc_pages(const char *pages, FILE *to)
{
	while (*pages) {
		int name = strcspn(pages, "("), all = strcspn(pages, " ");

		fprintf(to, ", *%.*s*%.*s", name, pages, all - name, pages + name);
		pages += all + strspn(pages + all, " ");
	}
}

void jt__opt_scdoc(const struct jt_command *c, FILE *to)
{
	fprintf(to, "jouletap-%s(1)\n\n# NAME\n\njouletap-%s - ", c->name, c->name);
	jt__opt_print_scdoc(c->what, to);
	fprintf(to, "\n\n# SYNOPSIS\n\n*jouletap %s*%s", c->name, c->options ? " [_option_]…" : "");
	if (*c->operands) {
		fputs(" ", to);
		jt__opt_print_scdoc(c->operands, to);
	}
	fputs("\n\n# DESCRIPTION\n\n", to);
	scdoc_text(c->text, to);
	fputs("\n# OPTIONS\n\n", to);
	for (const struct jt_opt *o = options_of(c); o->name; o++)
		scdoc_option(o, to);
	scdoc_option(&help_option, to);
	if (c->list_title)
		scdoc_list(c, to);
	if (c->examples) {
		fputs("# EXAMPLES\n\n```\n", to);
		print_indented(c->examples, "", to);
		fputs("```\n\n", to);
	}
	fputs("# EXIT STATUS\n\n0 success, 1 failure, 2 wrong usage.\n\n", to);
	fputs("# SEE ALSO\n\n*jouletap*(1), *jouletap.yaml*(5)", to);
	scdoc_pages(c->see_also ? c->see_also : "", to);
	fputs("\n", to);
}
