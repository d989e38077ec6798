/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap predict: the energy of a request before it runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/predict.h"
#include "jouletap/record.h"
#include "input/textfile.h"
#include "predictor/ask.h"
#include "predictor/factors.h"
#include "predictor/question.h"

struct args {
	const char *model, *gpu, *output, *dtype, *engine, *csv;
	uint64_t gpus, tp, pp, ep, input;
	double batch;
	const char *carbon;
	double price, pue;
	const char *config, *fitted, *factors;
	struct jt_opt_list recalibrate;
	bool json, quiet;
	bool list_models, list_gpus, list_zones;
};

#define MAX_TOKENS 1e9
#define MAX_BATCH 1e7
#define MAX_GPUS 100000

static int wrong(struct jt_error *err, const char *fmt, ...) JT_PRINTF(2, 3);
static int wrong(struct jt_error *err, const char *fmt, ...)
{
	char text[sizeof(err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return jt__fail(err, JT_EINVAL, "predict", "%s", text);
}

/* ---- one request: all of this is wrong usage where it fails ---- */

static int ask_tokens(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	bool learns = a->recalibrate.n; /* the records say how many tokens */

	if (a->input == JT_NONE && !learns)
		return wrong(err, "say how many tokens the prompt has: --input N");
	if (a->input != JT_NONE && (a->input < 1 || a->input > MAX_TOKENS))
		return wrong(err, "'--input' must be from 1 to %.0f tokens", MAX_TOKENS);
	q->in_tokens = a->input == JT_NONE ? NAN : (double)a->input;
	if (!a->output && !learns)
		return wrong(err, "say how many tokens the answer has: --output N");
	if (!a->output)
		return JT_OK;
	if (!jt__textfile_real(a->output, strlen(a->output), &q->out_tokens))
		return wrong(err,
		             "'--output' takes a number of tokens, not '%.40s' (a file only "
		             "together with --csv)",
		             a->output);
	if (!(q->out_tokens >= 1 && q->out_tokens <= MAX_TOKENS))
		return wrong(err, "'--output' must be from 1 to %.0f tokens", MAX_TOKENS);
	return JT_OK;
}

static int ask_batch(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	q->batch = isnan(a->batch) ? 1 : a->batch;
	q->max_num_seqs = fmax(q->batch, 1);
	if (q->batch < 1e-3 || q->batch > MAX_BATCH)
		return wrong(err, "'--batch' must be from 0.001 to %.0f requests", MAX_BATCH);
	return JT_OK;
}

/* 1 where it is not given. */
static double count(uint64_t given)
{
	return given == JT_NONE ? 1 : (double)given;
}

/* Tensors are cut over what pipelines leave of the GPUs. */
static int ask_parallel(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	const struct {
		const char *name;
		uint64_t n;
	} counts[] = { { "gpus", a->gpus }, { "tp", a->tp }, { "pp", a->pp }, { "ep", a->ep } };

	for (size_t i = 0; i < JT_ARRAY_LEN(counts); i++)
		if (counts[i].n != JT_NONE && (counts[i].n < 1 || counts[i].n > MAX_GPUS))
			return wrong(err, "'--%s' must be from 1 to %d", counts[i].name, MAX_GPUS);
	q->pp = count(a->pp);
	q->ep = count(a->ep);
	q->tp = a->tp == JT_NONE ? fmax(floor(count(a->gpus) / q->pp), 1) : (double)a->tp;
	q->n_gpu = a->gpus == JT_NONE ? fmax(q->tp * q->pp, q->ep) : (double)a->gpus;
	q->dp = q->n_gpu / (q->tp * q->pp);
	if (q->dp < 1 || q->dp != floor(q->dp))
		return wrong(err, "%.0f GPUs cannot be shared by tp × pp = %.0f", q->n_gpu,
		             q->tp * q->pp);
	return JT_OK;
}

static int ask_serving(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	const char *engine = a->engine ? a->engine : "vllm";

	q->is_eager = strcmp(engine, "transformers") == 0;
	q->is_vllm_new = strcmp(engine, "vllm") == 0;
	jt__copy_text(q->engine, sizeof(q->engine), engine, strlen(engine));
	return jt__ask_gpu(a->gpu, q, err);
}

static int ask_footprint(const struct args *a, struct jt_footprint *ret, struct jt_error *err)
{
	*ret = (struct jt_footprint){ .g_per_kwh = NAN,
		                      .carbon_year = NAN,
		                      .price_per_kwh = a->price,
		                      .pue = isnan(a->pue) ? 1 : a->pue };
	if (!(ret->pue >= 1 && ret->pue <= 10))
		return wrong(err, "'--pue' must be from 1 to 10");
	if (a->price < 0 || a->price > 1e9)
		return wrong(err, "'--price-per-kwh' must be from 0 to 1e9");
	return a->carbon ? jt__predict_carbon(a->carbon, ret, err) : JT_OK;
}

static int check_dtype(const char *dtype, enum jt_weights *ret, struct jt_error *err)
{
	*ret = JT_N_WEIGHTS;
	if (dtype && jt__weights_parse(dtype, ret) < 0)
		return wrong(err,
		             "'--dtype' must be bf16, fp16, fp32, fp8, mxfp4, int8, nf4, awq or "
		             "gptq, not '%.40s'",
		             dtype);
	return JT_OK;
}

/* An engine that cuts a model otherwise does not start. */
static int check_cuts(const struct jt_question *q, struct jt_error *err)
{
	if (!q->is_eager && fmod(q->n_heads, q->tp) != 0)
		return wrong(err, "tensors cannot be cut over %.0f GPUs: '%.60s' has %.0f heads",
		             q->tp, q->model, q->n_heads);
	if (q->pp > q->n_layers)
		return wrong(err, "'--pp' is more than the %.0f layers of '%.60s'", q->n_layers,
		             q->model);
	if (q->ep > 1 && !(q->n_experts > 1))
		return wrong(err, "'--ep' is for mixtures of experts: '%.60s' is none", q->model);
	if (q->ep > fmax(q->n_experts, 1))
		return wrong(err, "'--ep' is more than the %.0f experts of '%.60s'", q->n_experts,
		             q->model);
	return JT_OK;
}

/* JT_ENOENT and JT_EINVAL: wrong usage; else a file could not be read, or says nonsense. */
static int ask(const struct args *a, struct jt_forecast *f, bool *ret_usage, struct jt_error *err)
{
	struct jt_question *q = &f->q, options;
	enum jt_weights weights;
	int status = check_dtype(a->dtype, &weights, err);

	*ret_usage = true;
	jt__question_blank(&options);
	if (status == JT_OK && (!a->model || !a->gpu))
		status = wrong(err, "say which model and GPU: --model CONFIG --gpu NAME; or a "
		                    "table: --csv FILE");
	if (status == JT_OK)
		status = ask_tokens(a, &options, err);
	if (status == JT_OK)
		status = ask_batch(a, &options, err);
	if (status == JT_OK)
		status = ask_parallel(a, &options, err);
	if (status == JT_OK)
		status = ask_serving(a, &options, err);
	if (status == JT_OK)
		status = ask_footprint(a, &f->footprint, err);
	if (status < 0)
		return status;
	*q = options;
	q->weights = weights;
	status = jt__predict_model(a->model, q, err);
	*ret_usage = status == JT_ENOENT || status == JT_OK;
	if (status < 0)
		return status;
	return check_cuts(q, err);
}

/* What was written to @b, unless that failed with @status; frees it. */
static int put_out(struct jt_buf *b, int status, struct jt_error *err)
{
	if (status == JT_OK)
		fwrite(jt__buf_bytes(b), 1, jt__buf_len(b), stdout);
	else
		jt__fail(err, status, "predict", "no memory for the output");
	jt__buf_fini(b);
	return status;
}

static int print(const struct args *a, const struct jt_forecast *f, struct jt_error *err)
{
	struct jt_buf b;

	if (!a->json) {
		jt__forecast_print(f, stdout);
		return JT_OK;
	}
	jt__buf_init(&b, (size_t)1 << 24);
	return put_out(&b, jt__forecast_json(f, &b), err);
}

static int predict(const struct args *a, struct jt_forecast *f, struct jt_error *err)
{
	int status = jt__fitted_answer(f->model, &f->q, &f->p, err);

	if (status < 0)
		return status;
	jt__features(&f->q, f->features);
	return print(a, f, err);
}

/* ---- learning ---- */

static int print_lessons(const struct args *a, const struct jt_lessons *l, struct jt_error *err)
{
	struct jt_buf b;

	if (!a->json) {
		jt__lessons_print(l, stdout);
		return JT_OK;
	}
	jt__buf_init(&b, (size_t)1 << 26);
	return put_out(&b, jt__lessons_json(l, &b), err);
}

static int learn(const struct args *a, const struct jt_forecast *f, struct jt_error *err)
{
	struct jt_teachers t = { .paths = a->recalibrate.items,
		                 .n_paths = a->recalibrate.n,
		                 .config = a->config,
		                 .question = &f->q };
	struct jt_lessons l = { 0 };
	int status = jt__predict_learn(f->model, &t, &l, err);

	if (status == JT_OK && a->output)
		status = jt__lessons_write(&l, a->output, err);
	if (status == JT_OK)
		status = print_lessons(a, &l, err);
	jt__lessons_fini(&l);
	return status;
}

/* ---- the command ---- */

static int answer(const struct args *a, struct jt_forecast *f, struct jt_error *err)
{
	struct jt_fitted *model = NULL;
	int status = jt__factors_load(a->fitted, a->factors, &model, err);

	f->model = model;
	if (status == JT_OK && a->csv)
		status =
			jt__predict_rows(model, a->csv, a->output ? a->output : "-", a->quiet, err);
	else if (status == JT_OK && a->recalibrate.n)
		status = learn(a, f, err);
	else if (status == JT_OK)
		status = predict(a, f, err);
	jt__fitted_free(model);
	return status;
}

/* The first option that a table has no use for; NULL: none is given. */
static const char *not_with_csv(const struct args *a)
{
	const struct {
		const char *name;
		bool is_given;
	} options[] = {
		{ "model", a->model },
		{ "gpu", a->gpu },
		{ "input", a->input != JT_NONE },
		{ "batch", !isnan(a->batch) },
		{ "gpus", a->gpus != JT_NONE },
		{ "tp", a->tp != JT_NONE },
		{ "pp", a->pp != JT_NONE },
		{ "ep", a->ep != JT_NONE },
		{ "dtype", a->dtype },
		{ "engine", a->engine },
		{ "carbon", a->carbon },
		{ "price-per-kwh", !isnan(a->price) },
		{ "pue", !isnan(a->pue) },
		{ "json", a->json },
		{ "recalibrate", a->recalibrate.n },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(options); i++)
		if (options[i].is_given)
			return options[i].name;
	return NULL;
}

static int run_table(const struct args *a)
{
	const char *other = not_with_csv(a);
	struct jt_forecast f;
	struct jt_error err;

	if (other)
		return jt__cli_fail_usage("predict",
		                          "'--csv' is from table to table, its rows say all of a "
		                          "request: not together with '--%s'",
		                          other);
	if (jt__predict_same_file(a->csv, a->output))
		return jt__cli_fail_usage("predict",
		                          "'%.80s' is both the table and what to write: name "
		                          "another file: --output FILE",
		                          a->output);
	return answer(a, &f, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

static int run_list(const struct args *a)
{
	enum jt_predict_list what = a->list_models ? JT_LIST_MODELS
	                            : a->list_gpus ? JT_LIST_GPUS
	                                           : JT_LIST_ZONES;
	struct jt_error err;

	return jt__predict_list(what, a->json, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* --output is the file of factors then, and the records say how many tokens there were. */
static int run_learning(const struct args *a)
{
	struct args question = *a;
	struct jt_forecast f = { 0 };
	struct jt_error err;
	bool usage = true;

	question.output = NULL;
	if (a->config && (a->model || a->gpu))
		return jt__cli_fail_usage("predict", "'--config' says which models and GPUs there "
		                                     "are: not together with --model or --gpu");
	if (!a->config && !(a->model && a->gpu))
		return jt__cli_fail_usage("predict",
		                          "say what served the records: --config jouletap.yaml, "
		                          "or --model CONFIG --gpu NAME");
	if (!a->config && ask(&question, &f, &usage, &err) < 0)
		return usage ? jt__cli_fail_usage("predict", "%s", err.message)
		             : jt__cli_fail(&err);
	return answer(a, &f, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct jt_forecast f;
	struct jt_error err;
	bool usage;

	(void)operands;
	if (a->list_models || a->list_gpus || a->list_zones)
		return run_list(a);
	if (a->config && !a->recalibrate.n)
		return jt__cli_fail_usage("predict", "'--config' needs '--recalibrate RECORDS'");
	if (a->csv)
		return run_table(a);
	if (a->recalibrate.n)
		return run_learning(a);
	if (ask(a, &f, &usage, &err) < 0)
		return usage ? jt__cli_fail_usage("predict", "%s", err.message)
		             : jt__cli_fail(&err);
	return answer(a, &f, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* clang-format off */
#define AT(member) offsetof(struct args, member)
static const struct jt_opt options[] = {
	{ "model", 'm', JT_OPT_TEXT, "FILE", NULL, AT(model), "the model's config.json, a directory that has it, or a name as in --list-models; case, maker, -Instruct, dates do not matter, and the beginning of one name is enough" },
	{ "gpu", 'g', JT_OPT_TEXT, "NAME", NULL, AT(gpu), "type of GPU, as in --list-gpus; the beginning of a name or parts of it are enough: H100, \"A100 80GB\", 4090" },
	{ "input", 'i', JT_OPT_COUNT, "N", NULL, AT(input), "tokens of the prompt, at least 1" },
	{ "output", 'o', JT_OPT_TEXT, "N", NULL, AT(output), "tokens of the answer; with --csv the file to write, - or nothing is standard output; with --recalibrate the file of factors to write" },
	{ "batch", 'b', JT_OPT_NUMBER, "N", NULL, AT(batch), "requests that run at once, on average (default: 1)" },
	{ "gpus", 0, JT_OPT_COUNT, "N", NULL, AT(gpus), "GPUs (default: tp × pp)" },
	{ "tp", 0, JT_OPT_COUNT, "N", NULL, AT(tp), "tensor parallelism (default: all GPUs)" },
	{ "pp", 0, JT_OPT_COUNT, "N", NULL, AT(pp), "pipeline parallelism (default: 1)" },
	{ "ep", 0, JT_OPT_COUNT, "N", NULL, AT(ep), "expert parallelism (default: 1)" },
	{ "dtype", 0, JT_OPT_TEXT, "TYPE", NULL, AT(dtype), "of the weights: bf16, fp16, fp32, fp8, mxfp4, int8, nf4, awq or gptq (default: as the config says)" },
	{ "engine", 0, JT_OPT_TEXT, "vllm|vllm-0.6|transformers", NULL, AT(engine), "what serves it (default: vllm, which is 0.9 or later)" },
	{ "carbon", 0, JT_OPT_TEXT, "G-OR-GRID", NULL, AT(carbon), "g CO2e a kWh, or a grid as in --list-zones: two letters of a country, EU, WORLD" },
	{ "price-per-kwh", 0, JT_OPT_NUMBER, "PRICE", NULL, AT(price), "tell the cost as well, in the same money" },
	{ "pue", 0, JT_OPT_NUMBER, "RATIO", NULL, AT(pue), "what the building draws for each joule of its GPUs; for carbon and cost (default: 1)" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, AT(json), "print one JSON object" },
	{ "csv", 0, JT_OPT_TEXT, "FILE", NULL, AT(csv), "predict each row of a table; - is standard input" },
	{ "list-models", 0, JT_OPT_FLAG, NULL, NULL, AT(list_models), "the models that are known by name, and exit; with --json as a list" },
	{ "list-gpus", 0, JT_OPT_FLAG, NULL, NULL, AT(list_gpus), "the same of GPU types" },
	{ "list-zones", 0, JT_OPT_FLAG, NULL, NULL, AT(list_zones), "the same of grids, with year and source" },
	{ "quiet", 'q', JT_OPT_FLAG, NULL, NULL, AT(quiet), "no progress bar, no count of rows" },
	{ "fitted", 0, JT_OPT_TEXT, "FILE", NULL, AT(fitted), "the fitted model, from jouletap train (default: jouletap's own)" },
	{ "recalibrate", 0, JT_OPT_LIST, "FILE", NULL, AT(recalibrate), "compare records, jouletap-record(5), with what is predicted, and learn a factor for each model on a GPU" },
	{ "config", 'c', JT_OPT_TEXT, "FILE", NULL, AT(config), "the gateway's configuration, jouletap.yaml(5): which model and GPUs the upstreams of the records are" },
	{ "factors", 0, JT_OPT_TEXT, "FILE", NULL, AT(factors), "use what --recalibrate has written" },
	JT_OPTS_END,
};

const struct jt_command jt__cmd_predict = {
	.name = "predict",
	.what = "the energy of a request before it runs, with an interval and reasons",
	.operands = "",
	.text = "Tells the joules of a request from the model's architecture, the GPU, the tokens, how many requests run "
		"at once and how weights are kept: by a sum of physical energy terms fitted to measured rows, and learned "
		"corrections. Prints the 90 % interval, phases and kinds of work as the physical terms divide it, time and "
		"power, and what would be otherwise if layers, width, batch, weights or GPU were. It is the energy of the GPUs; "
		"the provenance of all of it is \"predicted\".\n\n"
		"A warning says when the request is outside the data, and why. Most measured rows do not tell how long their "
		"inputs were, and none has awq or gptq weights: what the model says of these rests on physics. Time is an estimate, "
		"within 17 % for half of the rows of models that it was not fitted to.\n\n"
		"With --csv each row of a table is a configuration: architecture, hardware and load, in columns found by name "
		"(model, n_layers, hidden_size, gpu, gpu_bw_gbs, dtype, batch_avg, out_tokens_mean and so on). Names are enough: "
		"a model of --list-models and a GPU of --list-gpus fill in what a row leaves blank; of any other GPU say gpu_mem_gb, "
		"gpu_bw_gbs, gpu_bf16_tflops and gpu_tdp_w. All columns are "
		"written again as they are, and behind them predicted_energy_per_token_j, predicted_lo_j and predicted_hi_j (the "
		"interval, of joules per output token), predicted_energy_per_request_j, predicted_latency_s, outside_data (0 or 1) and "
		"reason. A row that cannot be predicted has these empty and a reason. What was measured is not looked at; a table that was "
		"predicted before is predicted anew. The table may be of any length: little of it is in memory at a time.\n\n"
		"With --recalibrate records of finished requests teach a factor for each model on a GPU. The gateway's configuration "
		"says what their upstreams are (--config), or --model, --gpu and so on say it of all of them; --batch then stands in "
		"for a concurrency that records do not tell. Records that are alike become one row as jouletap-train(1) says, which "
		"also says which are left out, and the factor is exp(Σ log(metered / predicted) / (rows + prior)): the fewer rows, the "
		"nearer to 1. The prior, about half a row, is the model's score factor_prior: how much rows of one model differ, over "
		"how much models that were left out of the fit do. --output writes the factors, for --factors and the gateway's key "
		"prediction.factors; predictions then say that they are recalibrated, and have the interval that was "
		"found to hold after so many rows, or a wider one where predictions with the factor are farther off nine in "
		"ten of the rows it came from.",
	.examples = "jouletap predict -m llama-3.1-8b -g H100 -i 500 -o 500 -b 32  # one request of 32 at once\n"
		    "jouletap predict -m config.json -g L4 -i 900 -o 100 --dtype awq --json  # for a program\n"
		    "jouletap predict -m Qwen/Qwen3-14B -g B200 -i 500 -o 500 --carbon DE --pue 1.2  # with carbon\n"
		    "jouletap predict --csv rows.csv --output predicted.csv  # a table\n"
		    "jouletap predict --list-models  # what can be named; --list-gpus, --list-zones\n"
		    "jouletap predict -m config.json -g H100 -b 8 --recalibrate access.jsonl -o h100.json  # learn\n"
		    "jouletap predict --recalibrate access.jsonl -c jouletap.yaml -o factors.json  # from all upstreams\n",
	.see_also = "jouletap-train(1) jouletap-record(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
/* clang-format on */
