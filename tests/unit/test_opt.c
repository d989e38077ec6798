/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include "tap.h"
#include "cli/opt.h"
#include "cli/term.h"
#include "jouletap/record.h"

struct args {
	bool json, quiet, colour;
	const char *file, *policy;
	uint64_t count;
	double speed;
	struct jt_opt_list windows;
};

static const struct jt_opt options[] = {
	{ "json", 'j', JT_OPT_FLAG, NULL, NULL, offsetof(struct args, json), "as JSON" },
	{ "quiet", 'q', JT_OPT_FLAG, NULL, NULL, offsetof(struct args, quiet), "say less" },
	{ "file", 'f', JT_OPT_TEXT, "FILE", NULL, offsetof(struct args, file), "read FILE" },
	{ "policy", 0, JT_OPT_TEXT, "equal|tokens", "equal", offsetof(struct args, policy), "how" },
	{ "count", 'n', JT_OPT_COUNT, "N", NULL, offsetof(struct args, count), "how many" },
	{ "speed", 0, JT_OPT_NUMBER, "X", "1.5", offsetof(struct args, speed), "how fast" },
	{ "colour", 0, JT_OPT_SWITCH, NULL, "yes", offsetof(struct args, colour), "paint" },
	{ "window", 'w', JT_OPT_LIST, "FROM:TO", NULL, offsetof(struct args, windows), "a part" },
	JT_OPTS_END,
};

static const struct jt_command command = {
	.name = "try",
	.what = "tries things",
	.operands = "FILE…",
	.min_operands = 1,
	.max_operands = 2,
	.text = "Tries *things*.",
	.examples = "jouletap try x",
	.options = options,
	.args_size = sizeof(struct args),
};

static struct args got;
static struct jt_operands operands;
static struct jt_error err;

/* Parses words that are separated by blanks. */
static int parse(const char *words)
{
	static char text[4096];
	static char *argv[128];
	int n = 0;

	snprintf(text, sizeof(text), "%s", words);
	for (char *p = strtok(text, " "); p; p = strtok(NULL, " "))
		argv[n++] = p;
	memset(&got, 0, sizeof(got));
	memset(&err, 0, sizeof(err));
	return jt__opt_parse(&command, n, argv, &got, &operands, &err);
}

static void what_is_not_given_has_its_default(void)
{
	check(parse("x") == JT_OK);
	check(!got.json && !got.file && got.windows.n == 0);
	check_text(got.policy, "equal");
	check(got.count == JT_NONE);
	check_near(got.speed, 1.5, 0);
}

static void options_and_operands_come_in_any_order(void)
{
	check(parse("a --json --file=one b -n 7") == JT_OK);
	check(got.json && got.count == 7 && operands.n == 2);
	check_text(got.file, "one");
	check_text(operands.items[0], "a");
	check_text(operands.items[1], "b");
}

static void letters_can_be_joined(void)
{
	check(parse("-jqfname x") == JT_OK);
	check(got.json && got.quiet);
	check_text(got.file, "name");
	check(parse("-jf name x") == JT_OK);
	check_text(got.file, "name");
}

static void a_switch_goes_both_ways(void)
{
	check(parse("x") == JT_OK && got.colour);
	check(parse("x --no-colour") == JT_OK && !got.colour);
	check(parse("x --no-colour --colour") == JT_OK && got.colour && operands.n == 1);
}

static void two_dashes_end_the_options(void)
{
	check(parse("-j -- --quiet -") == JT_OK);
	check(got.json && !got.quiet && operands.n == 2);
	check_text(operands.items[0], "--quiet");
	check_text(operands.items[1], "-");
}

static void a_list_gathers_what_is_repeated(void)
{
	char words[4096] = "x";

	check(parse("x -w 1:2 --window 3:4 --window=5:6") == JT_OK);
	check(got.windows.n == 3);
	check_text(got.windows.items[2], "5:6");
	for (int i = 0; i < 65; i++)
		strcat(words, " -w1:2");
	check(parse(words) == JT_ELIMIT);
	check_text(err.message, "'--window' is given more than 64 times");
}

/* clang-format off */
static const char *const wrong[][2] = {
	{ "", "FILE… is missing" },
	{ "a b c", "unexpected operand 'c'" },
	{ "x --jsn", "unknown option '--jsn'; did you mean '--json'" },
	{ "x --zebra=1", "unknown option '--zebra'" },
	{ "x --hepl", "unknown option '--hepl'; did you mean '--help'" },
	{ "x -jz", "unknown option '-z'" },
	{ "x --json=yes", "'--json' takes no value" },
	{ "x --no-colour=yes", "'--colour' takes no value" },
	{ "x --no-json", "unknown option '--no-json'; did you mean '--json'" },
	{ "x --file", "'--file' needs a value: FILE" },
	{ "x -n", "'--count' needs a value: N" },
	{ "x -n -1", "'--count' must be a whole number, not '-1'" },
	{ "x -n 99999999999999999999", "'--count' must be a whole number, not '99999999999999999999'" },
	{ "x --speed fast", "'--speed' must be a number, not 'fast'" },
	{ "x --speed nan", "'--speed' must be a number, not 'nan'" },
	{ "x --policy fair", "'--policy' must be equal|tokens, not 'fair'" },
};
/* clang-format on */

static void each_mistake_is_told(void)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(wrong); i++) {
		check(parse(wrong[i][0]) < 0);
		check_text(err.message, wrong[i][1]);
		check_text(err.where, "try");
	}
}

static void help_is_asked_for_before_the_two_dashes(void)
{
	char *yes[] = { "x", "--help" }, *no[] = { "--", "--help" }, *letter[] = { "-h" };

	check(jt__opt_wants_help(&command, 2, yes));
	check(!jt__opt_wants_help(&command, 2, no));
	check(jt__opt_wants_help(&command, 1, letter));
}

static char *printed(void (*print)(const struct jt_command *c, FILE *to))
{
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	print(&command, f);
	fclose(f);
	return text;
}

static void help_follows_from_the_table(void)
{
	char *text = printed(jt__opt_help);

	check_text(text, "usage: jouletap try [OPTION]… FILE…\n\nTries *things*.\n\nOptions:\n"
	                 "  -j, --json                   as JSON\n"
	                 "  -q, --quiet                  say less\n"
	                 "  -f, --file FILE              read FILE\n"
	                 "      --policy equal|tokens    how (default equal)\n"
	                 "  -n, --count N                how many\n"
	                 "      --speed X                how fast (default 1.5)\n"
	                 "      --[no-]colour            paint (default yes)\n"
	                 "  -w, --window FROM:TO         a part; may be repeated\n"
	                 "  -h, --help                   print this and exit\n"
	                 "\nExamples:\n  jouletap try x\n"
	                 "\nExit codes: 0 success, 1 failure, 2 wrong usage.\n");
	free(text);
}

static const char *row(size_t i, const char **ret_meaning)
{
	static const char *const names[] = { "one", "a name that needs a line of its own", NULL };

	*ret_meaning = "first or not, it has a meaning of many words";
	return names[i];
}

static void help_fills_lines_to_the_width(void)
{
	struct jt_command c = command;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	c.text = "Words that go on and on, µ and … being one column each,\nover a line of the "
		 "source.\n\n"
		 "  literal as long as it is, whatever the width may be\nNext.";
	c.list_title = "Things";
	c.list_row = row;
	c.options = NULL;
	c.examples = NULL;
	setenv("COLUMNS", "50", 1);
	jt__opt_help(&c, f);
	unsetenv("COLUMNS");
	fclose(f);
	check_text(text, "usage: jouletap try FILE…\n\n"
	                 "Words that go on and on, µ and … being one column\n"
	                 "each, over a line of the source.\n\n"
	                 "  literal as long as it is, whatever the width may be\n"
	                 "Next.\n\nOptions:\n"
	                 "  -h, --help                   print this and exit\n\n"
	                 "Things:\n"
	                 "  one                          first or not, it\n"
	                 "                               has a meaning of\n"
	                 "                               many words\n"
	                 "  a name that needs a line of its own\n"
	                 "                               first or not, it\n"
	                 "                               has a meaning of\n"
	                 "                               many words\n"
	                 "\nExit codes: 0 success, 1 failure, 2 wrong usage.\n");
	free(text);
}

static void the_manual_lists_what_a_table_tells(void)
{
	struct jt_command c = command;
	char *text = NULL;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	c.list_title = "Things";
	c.list_row = row;
	jt__opt_scdoc(&c, f);
	fclose(f);
	check(strstr(text,
	             "\n# THINGS\n\n*one*\n\tfirst or not, it has a meaning of many words\n\n") !=
	      NULL);
	free(text);
}

static void the_manual_escapes_what_scdoc_would_read_as_markup(void)
{
	char *text = printed(jt__opt_scdoc);

	check(strncmp(text, "jouletap-try(1)\n\n# NAME\n\njouletap-try - tries things\n", 50) == 0);
	check(strstr(text, "Tries \\*things\\*.") != NULL);
	check(strstr(text, "*-f*, *--file* _FILE_\n\tread FILE\n") != NULL);
	free(text);
}

static void a_progress_bar_fits_its_terminal(void)
{
	struct jt_progress p = { .label = "reading", .total = 200 };
	char line[256];

	jt__progress_format(&p, 100, 37, line, sizeof(line));
	check_text(line, "reading [##########..........]  50 %");
	jt__progress_format(&p, 900, 19, line, sizeof(line));
	check_text(line, "reading [##] 100 %");
	jt__progress_format(&p, 0, 3, line, sizeof(line));
	check_text(line, "reading []   0 %");
	jt__progress_format(&p, 200, 500, line, sizeof(line));
	check(strlen(line) == strlen("reading [] 100 %") + 40);
}

int main(void)
{
	test(what_is_not_given_has_its_default);
	test(options_and_operands_come_in_any_order);
	test(letters_can_be_joined);
	test(a_switch_goes_both_ways);
	test(two_dashes_end_the_options);
	test(a_list_gathers_what_is_repeated);
	test(each_mistake_is_told);
	test(help_is_asked_for_before_the_two_dashes);
	test(help_follows_from_the_table);
	test(help_fills_lines_to_the_width);
	test(the_manual_lists_what_a_table_tells);
	test(the_manual_escapes_what_scdoc_would_read_as_markup);
	test(a_progress_bar_fits_its_terminal);
	return tap_done();
}
