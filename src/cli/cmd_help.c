/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "cli/cli.h"
#include "cli/sensors.h"
#include "config/config.h"
#include "ledger/ledger.h"

struct args {
	bool scdoc;
};

/* The fields of struct jt_record, for jouletap-record(5). */
static void print_record_fields(void)
{
	static const char *const types[] = {
		[JT_KIND_TEXT] = "text",     [JT_KIND_TIME] = "RFC 3339 time",
		[JT_KIND_COUNT] = "integer", [JT_KIND_BOOL] = "true or false",
		[JT_KIND_JOULES] = "joules", [JT_KIND_SECONDS] = "seconds",
		[JT_KIND_RATIO] = "0 to 1",  [JT_KIND_NUMBER] = "number",
	};

	for (size_t i = 0; i < jt__n_record_fields; i++) {
		const struct jt_field *f = &jt__record_fields[i];

		printf("*%s* (%s)\n\t", f->name, types[f->kind]);
		jt__opt_print_scdoc(f->meaning, stdout);
		fputs("\n\n", stdout);
	}
}

static int print_config_keys(void)
{
	struct jt_buf b;

	jt__buf_init(&b, 1 << 20);
	jt__config_describe(&b);
	if (b.failed) {
		const struct jt_error err = { JT_ENOMEM, "help", "out of memory" };

		jt__buf_fini(&b);
		return jt__cli_fail(&err);
	}
	fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return JT_EXIT_OK;
}

static void print_commands(void)
{
	for (const struct jt_command *const *c = jt__commands; *c; c++)
		printf("*jouletap-%s*(1)\n\t%s\n\n", (*c)->name, (*c)->what);
}

/* Parts of the manual that follow from tables. */
static int print_scdoc(const char *topic)
{
	const struct jt_command *c = jt__command_find(topic);

	if (c)
		jt__opt_scdoc(c, stdout);
	else if (strcmp(topic, "commands") == 0)
		print_commands();
	else if (strcmp(topic, "record-fields") == 0)
		print_record_fields();
	else if (strcmp(topic, "sensors") == 0)
		jt__sensors_scdoc(stdout);
	else if (strcmp(topic, "config-keys") == 0)
		return print_config_keys();
	else
		return jt__cli_fail_command(topic);
	return JT_EXIT_OK;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	const struct jt_command *c;

	if (operands->n == 0) {
		jt__cli_overview(stdout);
		return JT_EXIT_OK;
	}
	if (a->scdoc)
		return print_scdoc(operands->items[0]);
	c = jt__command_find(operands->items[0]);
	if (!c)
		return jt__cli_fail_command(operands->items[0]);
	jt__opt_help(c, stdout);
	return JT_EXIT_OK;
}

static const struct jt_opt options[] = {
	{ "scdoc", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, scdoc),
	  "print the source of the manual page; also of commands, config-keys, record-fields, "
	  "sensors" },
	JT_OPTS_END,
};

const struct jt_command jt__cmd_help = {
	.name = "help",
	.what = "what a command does and what it takes",
	.operands = "[COMMAND]",
	.max_operands = 1,
	.text = "Prints the help of COMMAND, or the list of commands.",
	.examples = "jouletap help serve",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
