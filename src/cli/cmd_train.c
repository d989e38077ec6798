/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap train: fits the energy predictor to measured rows, and says how good it is on others. */
#include <inttypes.h>
#include <stddef.h>
#include "cli/cli.h"
#include "cli/term.h"
#include "cli/upstreams.h"
#include "predictor/fitted.h"
#include "trainer/files.h"
#include "trainer/report.h"

#define FEW_ROWS 100 /* of a hundred rows, ten decide where a 90 % interval ends */

struct args {
	struct jt_opt_list data;
	const char *config, *output, *report, *note, *date;
	uint64_t seed;
	bool cv, json, quiet;
};

static void on_progress(void *user, uint64_t done, uint64_t total)
{
	struct jt_progress *p = user;

	p->total = total;
	jt__progress_update(p, done);
}

static int evaluate(const struct args *a, const struct jt_dataset *d, struct jt_evaluation *e,
                    struct jt_error *err)
{
	struct jt_progress progress = { .label = "folds" };
	struct jt_evaluate_options options = { .seed = (uint32_t)a->seed,
		                               .full = a->cv || a->report,
		                               .progress = a->quiet ? NULL : on_progress,
		                               .user = &progress };
	int status = jt__evaluate(d, &options, e, err);

	jt__progress_end(&progress);
	return status;
}

static int write_model(const struct args *a, const struct jt_evaluation *e, struct jt_error *err)
{
	const struct jt_dataset *d = e->d;
	uint32_t *rows = jt__alloc(d->n, sizeof(*rows));
	struct jt_fit_notes notes;
	struct jt_buf out;
	int status;

	if (!rows)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	for (size_t i = 0; i < d->n; i++)
		rows[i] = (uint32_t)i;
	jt__buf_init(&out, JT_FITTED_MAX_BYTES);
	status = jt__report_notes(e, a->date, a->note, &notes, err);
	if (status == JT_OK)
		status = jt__fit(d, rows, d->n, (uint32_t)a->seed, &notes, &out, err);
	if (status == JT_OK)
		status = jt__file_write(a->output, jt__buf_bytes(&out), jt__buf_len(&out), err);
	jt__buf_fini(&out);
	jt__free(rows);
	return status;
}

static int print_results(const struct args *a, const struct jt_evaluation *e, struct jt_error *err)
{
	struct jt_buf out;
	int status;

	if (!a->json)
		return jt__report_print(e, stdout, err);
	jt__buf_init(&out, JT_FITTED_MAX_BYTES);
	status = jt__report_json(e, (uint32_t)a->seed, &out, err);
	if (status == JT_OK)
		fprintf(stdout, "%.*s\n", (int)jt__buf_len(&out), jt__buf_bytes(&out));
	jt__buf_fini(&out);
	return status;
}

static int load(const struct args *a, struct jt_dataset *d, struct jt_error *err)
{
	struct jt_cli_upstreams u = { 0 };
	int status = a->config ? jt__upstreams_open(a->config, &u, err) : JT_OK;

	if (status == JT_OK)
		status = jt__dataset_load(a->data.items, a->data.n, a->config ? &u.upstreams : NULL,
		                          d, err);
	jt__upstreams_close(&u);
	return status;
}

static void remark(const struct args *a, const struct jt_dataset *d)
{
	if (d->n_left_out && !a->quiet)
		fprintf(stderr, "jouletap: train: %zu rows left out; the first: %s\n",
		        d->n_left_out, d->left_out.message);
	if (d->n_records && !a->quiet)
		fprintf(stderr, "jouletap: train: %" PRIu64 " records became %zu rows\n",
		        d->n_records - d->n_records_left_out, d->n_record_rows);
	if (d->n_records_left_out && !a->quiet)
		fprintf(stderr, "jouletap: train: %" PRIu64 " records left out; the first: %s\n",
		        d->n_records_left_out, d->record_left_out.message);
	if (d->n < FEW_ROWS)
		fprintf(stderr,
		        "jouletap: warning: fewer than %d rows (%zu): the correction and the "
		        "intervals follow single rows\n",
		        FEW_ROWS, d->n);
}

static int train(const struct args *a, struct jt_error *err)
{
	struct jt_dataset d = { 0 };
	struct jt_evaluation e = { 0 };
	int status = load(a, &d, err);

	if (status == JT_OK)
		remark(a, &d);
	if (status == JT_OK)
		status = evaluate(a, &d, &e, err);
	if (status == JT_OK && a->output)
		status = write_model(a, &e, err);
	if (status == JT_OK && a->report)
		status = jt__report_write(&e, (uint32_t)a->seed, a->report, err);
	if (status == JT_OK)
		status = print_results(a, &e, err);
	jt__evaluation_fini(&e);
	jt__dataset_fini(&d);
	return status;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct jt_error err;

	(void)operands;
	if (!a->data.n)
		return jt__cli_fail_usage("train", "no data; name a table: --data FILE");
	if (!a->output && !a->cv && !a->report)
		return jt__cli_fail_usage("train",
		                          "nothing to do; give --output FILE, --cv or --report");
	if (a->seed > UINT32_MAX)
		return jt__cli_fail_usage("train", "'--seed' is too large: at most %u", UINT32_MAX);
	return train(a, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* clang-format off */
#define AT(member) offsetof(struct args, member)
static const struct jt_opt options[] = {
	{ "data", 'd', JT_OPT_LIST, "FILE", NULL, AT(data), "a CSV table of measured energy, or records of requests as the gateway's access log has them" },
	{ "config", 'c', JT_OPT_TEXT, "FILE", NULL, AT(config), "the gateway's configuration, jouletap.yaml(5): which model and GPUs the upstreams of the records are" },
	{ "output", 'o', JT_OPT_TEXT, "FILE", NULL, AT(output), "write the fitted model, as JSON" },
	{ "cv", 0, JT_OPT_FLAG, NULL, NULL, AT(cv), "score it, and what it is compared with, on rows, backbones, GPU types and sources that were left out" },
	{ "report", 0, JT_OPT_TEXT, "FILE", NULL, AT(report), "the same as a page with plots: FILE.md, with figures in a directory FILE beside it, or FILE.html" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, AT(json), "print the scores as one JSON object" },
	{ "seed", 0, JT_OPT_COUNT, "N", "1", AT(seed), "of folds and trees; equal seeds and data give equal files" },
	{ "date", 0, JT_OPT_TEXT, "YYYY-MM-DD", NULL, AT(date), "what the model says of its date (default: today, UTC)" },
	{ "note", 0, JT_OPT_TEXT, "TEXT", "", AT(note), "what the model says of its data" },
	{ "quiet", 'q', JT_OPT_FLAG, NULL, NULL, AT(quiet), "no progress bar, no remarks" },
	JT_OPTS_END,
};

const struct jt_command jt__cmd_train = {
	.name = "train",
	.what = "fits the energy predictor to measured rows",
	.operands = "",
	.text = "Reads tables with a row for each measured configuration: architecture, hardware, load, and the joules "
		"per output token. Fits a sum of physical energy terms, corrects it by boosted trees and a kernel "
		"regression, and takes the width of its intervals from rows that the fit had not seen.\n\n"
		"Columns are found by name, others are passed over. energy_per_token_j must be there; "
		"energy_per_request_j, throughput_tok_s and avg_power_w are checked against it. A row with a bad cell "
		"is an error that names its line; one without the architecture or hardware that the model needs is left out.\n\n"
		"A file that begins with a brace holds records, jouletap-record(5). Each names its upstream, of which --config says "
		"architecture, gpu, tensor_parallel, dtype and max_num_seqs. Records of one upstream, model and task class whose "
		"prompt, answer and concurrency are alike, each to within a factor of two, become one row: their joules over their "
		"tokens. Left out, counted, and the first explained, are records of requests that did not end well, without "
		"tokens or concurrency, whose joules no meter saw or saw less than 90 % of, that are charged for other domains "
		"than whole GPUs, and those of upstreams that the configuration does not describe. Tables and records may be mixed.\n\n"
		"With --cv each score is of rows that the fit had not seen: five folds at random, five times; each backbone "
		"(column model_group) left out; each GPU type; each source. Beside ours stand a ridge regression and what "
		"arXiv 2511.05597 does: raw fields to Wh by random forest and by a linear booster.",
	.examples = "jouletap train --data energy.csv --output model.json  # fit\n"
		    "jouletap train --data energy.csv --cv  # and score\n"
		    "jouletap train --data a.csv --data b.csv --report report.html  # with plots\n"
		    "jouletap train --data energy.csv --data access.jsonl -c jouletap.yaml -o model.json  # own requests as well\n",
	.see_also = "jouletap-predict(1) jouletap-record(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
/* clang-format on */
