/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap predict: the energy of a request before it runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/predict.h"
#include "jouletap/record.h"
#include "predictor/ask.h"
#include "predictor/question.h"

struct args {
	const char *model, *gpu, *output, *dtype, *engine, *csv;
	uint64_t gpus, tp, pp, ep, input;
	double batch;
	const char *carbon;
	double price, pue;
	const char *fitted, *factors, *write_factors;
	struct jt_opt_list recalibrate;
	bool json, quiet;
};

/* ---- one request ---- */

static int set_text(char *to, size_t size, const char *text)
{
	return jt__copy_text(to, size, text, strlen(text)) ? JT_OK : JT_EINVAL;
}

static int ask_output(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	char *end;

	if (!a->output && a->recalibrate.n)
		return JT_OK; /* the records say */
	if (!a->output)
		return jt__fail(err, JT_EINVAL, "predict", "say how many tokens: --output N");
	q->out_tokens = strtod(a->output, &end);
	if (end == a->output || *end || !(q->out_tokens >= 1))
		return jt__fail(err, JT_EINVAL, "predict",
		                "'--output' takes a number of tokens, not '%.40s' (a file only "
		                "together with --csv)",
		                a->output);
	return JT_OK;
}

/* Tensors are cut over what pipelines leave of the GPUs. */
static int ask_parallel(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	uint64_t pp = a->pp, tp = a->tp, gpus = a->gpus;

	if (tp == JT_NONE)
		tp = gpus == JT_NONE || !pp ? 1 : JT_MAX(gpus / pp, 1);
	if (!tp || !pp || !a->ep || !gpus)
		return jt__fail(err, JT_EINVAL, "predict",
		                "'--gpus', '--tp', '--pp' and '--ep' must be at least 1");
	q->tp = (double)tp;
	q->pp = (double)pp;
	q->ep = (double)a->ep;
	q->n_gpu = gpus == JT_NONE ? JT_MAX(q->tp * q->pp, q->ep) : (double)gpus;
	q->dp = q->n_gpu / (q->tp * q->pp);
	if (q->dp < 1 || q->dp != floor(q->dp))
		return jt__fail(err, JT_EINVAL, "predict",
		                "%.0f GPUs cannot be shared by tp × pp = %.0f", q->n_gpu,
		                q->tp * q->pp);
	return JT_OK;
}

static int ask_engine(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	q->is_eager = strcmp(a->engine, "transformers") == 0;
	q->is_vllm_new = strcmp(a->engine, "vllm") == 0;
	if (set_text(q->engine, sizeof(q->engine), a->engine) < 0)
		return jt__fail(err, JT_EINVAL, "predict", "'--engine' is too long");
	return JT_OK;
}

static int ask(const struct args *a, struct jt_question *q, struct jt_error *err)
{
	int status;

	jt__question_blank(q);
	q->weights = JT_N_WEIGHTS;
	if (a->dtype && jt__weights_parse(a->dtype, &q->weights) < 0)
		return jt__fail(err, JT_EINVAL, "predict",
		                "'--dtype' must be bf16, fp16, fp32, fp8, mxfp4, int8, nf4, awq or "
		                "gptq, not '%.40s'",
		                a->dtype);
	if (!a->model || !a->gpu)
		return jt__fail(err, JT_EINVAL, "predict",
		                "say which model and GPU: --model CONFIG --gpu NAME; or a table: "
		                "--csv FILE");
	status = jt__predict_model(a->model, q, err);
	if (status == JT_OK)
		status = jt__ask_gpu(a->gpu, q, err);
	if (status == JT_OK)
		status = ask_output(a, q, err);
	if (status == JT_OK)
		status = ask_parallel(a, q, err);
	if (status == JT_OK)
		status = ask_engine(a, q, err);
	q->in_tokens = a->input == JT_NONE ? NAN : (double)a->input;
	q->batch = a->batch;
	q->max_num_seqs = fmax(a->batch, 1);
	return status;
}

static int ask_footprint(const struct args *a, struct jt_footprint *ret, struct jt_error *err)
{
	*ret = (struct jt_footprint){ .g_per_kwh = NAN, .price_per_kwh = a->price, .pue = a->pue };
	if (!(a->pue >= 1 && a->pue <= 10))
		return jt__fail(err, JT_EINVAL, "predict", "'--pue' must be from 1 to 10");
	return a->carbon ? jt__predict_carbon(a->carbon, ret, err) : JT_OK;
}

static int print(const struct args *a, const struct jt_forecast *f, struct jt_error *err)
{
	struct jt_buf b;
	int status;

	if (!a->json) {
		jt__forecast_print(f, stdout);
		return JT_OK;
	}
	jt__buf_init(&b, (size_t)1 << 24);
	status = jt__forecast_json(f, &b);
	if (status == JT_OK)
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	else
		jt__fail(err, status, "predict", "no memory for the output");
	jt__buf_fini(&b);
	return status;
}

static int predict(const struct args *a, struct jt_forecast *f, struct jt_error *err)
{
	int status = ask_footprint(a, &f->footprint, err);

	if (status == JT_OK && isnan(f->q.in_tokens))
		return jt__fail(err, JT_EINVAL, "predict", "say how many tokens: --input N");
	if (status == JT_OK)
		status = jt__fitted_answer(f->model, &f->q, &f->p, err);
	if (status < 0)
		return status;
	jt__features(&f->q, f->features);
	return print(a, f, err);
}

/* ---- learning ---- */

static int learn(const struct args *a, const struct jt_forecast *f, struct jt_error *err)
{
	struct jt_lesson l;
	int status =
		jt__predict_learn(f->model, &f->q, a->recalibrate.items, a->recalibrate.n, &l, err);

	if (status == JT_OK && a->write_factors)
		status = jt__predict_write_factor(a->write_factors, &f->q, &l, err);
	if (status < 0)
		return status;
	if (a->json)
		printf("{\"factor\":%.9g,\"records\":%u,\"left_out\":%u}\n", l.factor, l.n_records,
		       l.n_left_out);
	else
		printf("%s on %s: the meter says %.4g times what is predicted, by %u records "
		       "(%u left out)\n",
		       f->q.model, f->q.gpu, l.factor, l.n_records, l.n_left_out);
	return JT_OK;
}

/* ---- the command ---- */

static int run_all(const struct args *a, struct jt_error *err)
{
	struct jt_fitted *model = NULL;
	struct jt_forecast f;
	int status = JT_OK;

	if (!a->csv)
		status = ask(a, &f.q, err);
	if (status == JT_OK)
		status = jt__predict_load(a->fitted, a->factors, &model, err);
	f.model = model;
	if (status == JT_OK && a->csv)
		status =
			jt__predict_rows(model, a->csv, a->output ? a->output : "-", a->quiet, err);
	else if (status == JT_OK && a->recalibrate.n)
		status = learn(a, &f, err);
	else if (status == JT_OK)
		status = predict(a, &f, err);
	jt__fitted_free(model);
	return status;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct jt_error err;

	(void)operands;
	if (a->csv && (a->model || a->gpu))
		return jt__cli_fail_usage("predict", "'--csv' has models and GPUs in its rows: "
		                                     "not together with --model or --gpu");
	if (a->write_factors && !a->recalibrate.n)
		return jt__cli_fail_usage("predict",
		                          "'--write-factors' needs '--recalibrate RECORDS'");
	return run_all(a, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* clang-format off */
#define AT(member) offsetof(struct args, member)
static const struct jt_opt options[] = {
	{ "model", 'm', JT_OPT_TEXT, "FILE", NULL, AT(model), "the model's config.json, or its name if it is in the built-in list" },
	{ "gpu", 'g', JT_OPT_TEXT, "NAME", NULL, AT(gpu), "type of GPU: H100-SXM5-80GB, L4-24GB ...; the beginning of a name is enough, as H100" },
	{ "input", 'i', JT_OPT_COUNT, "N", NULL, AT(input), "tokens of the prompt" },
	{ "output", 'o', JT_OPT_TEXT, "N", NULL, AT(output), "tokens of the answer; with --csv the file to write, - or nothing is standard output" },
	{ "batch", 'b', JT_OPT_NUMBER, "N", "1", AT(batch), "requests that run at once, on average" },
	{ "gpus", 0, JT_OPT_COUNT, "N", NULL, AT(gpus), "GPUs (default: tp × pp)" },
	{ "tp", 0, JT_OPT_COUNT, "N", NULL, AT(tp), "tensor parallelism (default: all GPUs)" },
	{ "pp", 0, JT_OPT_COUNT, "N", "1", AT(pp), "pipeline parallelism" },
	{ "ep", 0, JT_OPT_COUNT, "N", "1", AT(ep), "expert parallelism" },
	{ "dtype", 0, JT_OPT_TEXT, "TYPE", NULL, AT(dtype), "of the weights: bf16, fp16, fp32, fp8, mxfp4, int8, nf4, awq or gptq (default: as the config says)" },
	{ "engine", 0, JT_OPT_TEXT, "vllm|vllm-0.6|transformers", "vllm", AT(engine), "what serves it; vllm is 0.9 or later" },
	{ "carbon", 0, JT_OPT_TEXT, "G-OR-GRID", NULL, AT(carbon), "g CO2e a kWh, or a grid of the built-in table: two letters of a country, EU, WORLD" },
	{ "price-per-kwh", 0, JT_OPT_NUMBER, "PRICE", NULL, AT(price), "tell the cost as well, in the same money" },
	{ "pue", 0, JT_OPT_NUMBER, "RATIO", "1", AT(pue), "what the building draws for each joule of its GPUs; for carbon and cost" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, AT(json), "print one JSON object" },
	{ "csv", 0, JT_OPT_TEXT, "FILE", NULL, AT(csv), "predict each row of a table; - is standard input" },
	{ "quiet", 'q', JT_OPT_FLAG, NULL, NULL, AT(quiet), "no progress bar, no count of rows" },
	{ "fitted", 0, JT_OPT_TEXT, "FILE", NULL, AT(fitted), "the fitted model, from jouletap train (default: jouletap's own)" },
	{ "recalibrate", 0, JT_OPT_LIST, "FILE", NULL, AT(recalibrate), "compare records of this model on this GPU, jouletap-record(5), with what is predicted; may be given again" },
	{ "write-factors", 0, JT_OPT_TEXT, "FILE", NULL, AT(write_factors), "keep what came of --recalibrate" },
	{ "factors", 0, JT_OPT_TEXT, "FILE", NULL, AT(factors), "use what was kept so" },
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
		"within 15 % for half of the models that it was not fitted to.\n\n"
		"With --csv each row of a table is a configuration: architecture, hardware and load, in columns found by name "
		"(model, n_layers, hidden_size, gpu, gpu_bw_gbs, dtype, batch_avg, out_tokens_mean and so on). All columns are "
		"written again as they are, and behind them predicted_energy_per_token_j, predicted_lo_j and predicted_hi_j (the "
		"interval, of joules per output token), predicted_energy_per_request_j, predicted_latency_s, outside_data (0 or 1) and "
		"reason. A row that cannot be predicted has these empty and a reason. What was measured is not looked at.\n\n"
		"With --recalibrate records of finished requests teach a factor: the median of what was metered to what is predicted "
		"for such a request. It is kept for this model on this GPU with --write-factors and used with --factors; the "
		"answer then says so.",
	.examples = "jouletap predict -m llama-3.1-8b -g H100 -i 500 -o 500 -b 32  # one request of 32 at once\n"
		    "jouletap predict -m config.json -g L4 -i 900 -o 100 --dtype awq --json  # for a program\n"
		    "jouletap predict -m Qwen/Qwen3-14B -g B200 -i 500 -o 500 --carbon DE --pue 1.2  # with carbon\n"
		    "jouletap predict --csv rows.csv --output predicted.csv  # a table\n"
		    "jouletap predict -m config.json -g H100 -b 8 --recalibrate access.jsonl --write-factors h100.json  # learn\n",
	.see_also = "jouletap-train(1) jouletap-record(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
/* clang-format on */
