/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "predictor/question.h"

/* ---- sheets ---- */

static int begin(struct jt_sheet *s, const char *text, struct jt_error *err)
{
	return jt__sheet_init(s, "t.csv", text, strlen(text), err);
}

static void reads_cells_by_the_names_of_their_columns(void)
{
	struct jt_sheet s;
	double v = 0;

	check(begin(&s, "a,b,c\n1,,x\r\n\n-2.5e1,y,\n", NULL) == JT_OK);
	check(jt__sheet_column(&s, "b") == 1 && jt__sheet_column(&s, "d") == -1);
	check(jt__sheet_next(&s) == 1 && s.line == 2);
	check(jt__sheet_number(&s, 0, &v) == JT_OK && v == 1);
	check(jt__sheet_number(&s, 1, &v) == JT_OK && isnan(v));
	check_text(jt__sheet_text(&s, 2), "x");
	check(s.row_len == 4 && memcmp(s.row, "1,,x", 4) == 0);
	check(jt__sheet_next(&s) == 1 && s.line == 4);
	check(jt__sheet_number(&s, 0, &v) == JT_OK && v == -25);
	check_text(jt__sheet_text(&s, -1), "");
	check(jt__sheet_number(&s, -1, &v) == JT_OK && isnan(v));
	check(jt__sheet_next(&s) == 0 && jt__sheet_next(&s) == 0);
	jt__sheet_fini(&s);
}

static void quotes_hold_commas_quotes_and_lines(void)
{
	struct jt_sheet s;

	check(begin(&s, "\xef\xbb\xbf\"a\",\"b,\"\"c\"\"\"\n\"x\ny\",\"\"\n2,3", NULL) == JT_OK);
	check(jt__sheet_column(&s, "b,\"c\"") == 1 && jt__sheet_column(&s, "a") == 0);
	check(jt__sheet_next(&s) == 1 && s.line == 2);
	check_text(jt__sheet_text(&s, 0), "x\ny");
	check_text(jt__sheet_text(&s, 1), "");
	check(jt__sheet_next(&s) == 1 && s.line == 4);
	check_text(jt__sheet_text(&s, 1), "3");
	jt__sheet_fini(&s);
}

/* Reads on until something is said. */
static void complaint(const char *text, size_t n, const char *where, const char *about)
{
	struct jt_error err = { .message = "" };
	struct jt_sheet s;
	double v;
	int status = jt__sheet_init(&s, "t.csv", text, n, &err);

	while (status >= 0 && (status = jt__sheet_next(&s)) > 0)
		if (jt__sheet_number(&s, 0, &v))
			status = JT_EINVAL;
	check(status == JT_EINVAL);
	check_text(err.where, where);
	if (!check(strstr(err.message, about) != NULL))
		printf("# said: %s\n", err.message);
	jt__sheet_fini(&s);
}

static void names_the_line_of_what_is_no_csv(void)
{
	static const char *const cases[][3] = {
		{ "", "t.csv:1", "no header" },
		{ "\n\n", "t.csv:1", "no header" },
		{ "a,b\n1\n", "t.csv:2", "1 cells, but 2 columns" },
		{ "a,b\n1,2\n1,2,3\n", "t.csv:3", "3 cells, but 2 columns" },
		{ "a,a\n", "t.csv:1", "two columns are named 'a'" },
		{ "a,b\n1,\"2\n", "t.csv:2", "opened and not closed" },
		{ "a,b\n1,2\"\n", "t.csv:2", "a quote inside" },
		{ "a,b\n1,\"2\"x\n", "t.csv:2", "between a closing quote" },
		{ "a\n1\r2\n", "t.csv:2", "carriage return" },
		{ "a\nnan\n", "t.csv:2", "'a' must be a number, not 'nan'" },
		{ "a\ninf\n", "t.csv:2", "must be a number" },
		{ "a\n0x10\n", "t.csv:2", "must be a number" },
		{ "a\n 1\n", "t.csv:2", "must be a number" },
		{ "a\n1e999\n", "t.csv:2", "must be a number" },
		{ "a\n1-2\n", "t.csv:2", "must be a number" },
		{ "a\n\"1\n\"\n", "t.csv:2", "must be a number" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++)
		complaint(cases[i][0], strlen(cases[i][0]), cases[i][1], cases[i][2]);
	complaint("a\n1\0\n", 5, "t.csv:2", "NUL byte");
}

static void limits_columns(void)
{
	char text[2 * JT_SHEET_MAX_COLUMNS + 8] = "";

	for (int i = 0; i <= JT_SHEET_MAX_COLUMNS; i++)
		strcat(text, "a,");
	complaint(text, strlen(text), "t.csv:1", "more than 256 columns");
}

static void gives_up_in_order_when_memory_runs_out(void)
{
	struct jt_sheet s;
	int n_failed = 0;

	for (uint64_t nth = 1; nth < 8; nth++) {
		int status;

		jt__alloc_fail_at(nth);
		status = begin(&s, "a,b\n1,2\n", NULL);
		if (!status)
			status = jt__sheet_next(&s);
		jt__alloc_fail_at(0);
		n_failed += status == JT_ENOMEM;
		jt__sheet_fini(&s);
	}
	check(n_failed >= 2);
}

/* ---- questions ---- */

static int ask(const char *text, struct jt_question *ret, struct jt_error *err)
{
	struct jt_question_columns columns;
	struct jt_sheet s;
	int status = begin(&s, text, err);

	if (!status)
		status = jt__sheet_next(&s);
	if (status == 1) {
		jt__question_columns(&s, &columns);
		status = jt__question_read(&s, &columns, ret);
	}
	jt__sheet_fini(&s);
	return status;
}

static void reads_a_row_whatever_else_is_in_it(void)
{
	struct jt_question q;

	check(ask("energy_per_token_j,model,n_layers,dtype,gpu,n_gpu,batch_avg,out_tokens_mean,"
	          "tie_embeddings,arch_family,engine,task\n"
	          "nonsense,m/x,32,fp8,H100-SXM5-80GB,2,7.5,200,True,hybrid,vllm-0.11.1,gpqa\n",
	          &q, NULL) == JT_OK);
	check(q.n_layers == 32 && q.n_gpu == 2 && q.batch == 7.5 && q.out_tokens == 200);
	check(q.weights == JT_W_FP8 && q.tie_embeddings == 1 && q.is_hybrid && q.is_vllm_new);
	check_text(q.gpu, "H100-SXM5-80GB");
	check_text(q.model, "m/x");
	check(isnan(q.hidden_size) && isnan(q.in_tokens) && q.tp == 1 && !q.is_multimodal_task);
}

static void knows_engines_by_name_and_version(void)
{
	static const struct {
		const char *engine;
		bool is_new, is_eager;
	} cases[] = {
		{ "vllm-0.11.1", true, false },          { "vllm-0.9.0", true, false },
		{ "vllm-0.10.2", true, false },          { "vllm-1.2", true, false },
		{ "vllm-0.5.4", false, false },          { "vllm-0.8.5", false, false },
		{ "hf-transformers-4.57", false, true }, { "", true, false },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		struct jt_question q;
		char text[128];

		snprintf(text, sizeof(text), "n_gpu,engine\n1,%s\n", cases[i].engine);
		check(ask(text, &q, NULL) == JT_OK);
		if (!check(q.is_vllm_new == cases[i].is_new && q.is_eager == cases[i].is_eager))
			printf("# %s\n", cases[i].engine);
	}
}

static void knows_tasks_with_pictures(void)
{
	struct jt_question q;

	check(ask("task\nimage-chat\n", &q, NULL) == JT_OK && q.is_multimodal_task);
	check(ask("task\nvideo-chat\n", &q, NULL) == JT_OK && q.is_multimodal_task);
	check(ask("task\nllava-visual-chat\n", &q, NULL) == JT_OK && q.is_multimodal_task);
	check(ask("task\nlm-arena-chat\n", &q, NULL) == JT_OK && !q.is_multimodal_task);
}

/* Weights in 4 bits are computed with in 16: such a table says float16 and how they are kept. */
static void quantisation_overrides_the_dtype(void)
{
	struct jt_question q;

	check(ask("dtype,quant_method\nfloat16,awq\n", &q, NULL) == JT_OK && q.weights == JT_W_AWQ);
	check(ask("quant_method,dtype\ngptq-marlin,float16\n", &q, NULL) == JT_OK &&
	      q.weights == JT_W_GPTQ);
	check(ask("dtype,quant_method\nnf4,bitsandbytes-nf4\n", &q, NULL) == JT_OK &&
	      q.weights == JT_W_NF4);
}

static void a_name_gives_the_size_where_nothing_else_does(void)
{
	struct jt_question q;

	check(ask("model\nfacebook/chameleon-30b\n", &q, NULL) == JT_OK && q.params_total_b == 30);
	check(ask("model\nx/Some2-1.5B-Instruct\n", &q, NULL) == JT_OK && q.params_total_b == 1.5);
	check(ask("model,params_total_b\nx/Some-7b,8\n", &q, NULL) == JT_OK &&
	      q.params_total_b == 8);
	check(ask("model,n_layers\nx/Some-7b,32\n", &q, NULL) == JT_OK && isnan(q.params_total_b));
	check(ask("model\nx/gpt2-8k-bit\n", &q, NULL) == JT_OK && isnan(q.params_total_b));
}

static void names_the_column_that_is_wrong(void)
{
	static const char *const cases[][2] = {
		{ "n_gpu\ntwo\n", "'n_gpu' must be a number, not 'two'" },
		{ "dtype\nint3\n", "'dtype' must be" },
		{ "tie_embeddings\nperhaps\n", "'tie_embeddings' must be True or False" },
		{ "arch_family\nrnn\n", "'arch_family' must be" },
		{ "gpu\nA-GPU-whose-name-is-longer-than-forty-seven-bytes-in-all\n",
		  "'gpu' is longer" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		struct jt_question q = { .n_gpu = 77 };
		struct jt_error err = { .message = "" };

		check(ask(cases[i][0], &q, &err) == JT_EINVAL && q.n_gpu == 77);
		check_text(err.where, "t.csv:2");
		if (!check(strstr(err.message, cases[i][1]) != NULL))
			printf("# said: %s\n", err.message);
	}
}

int main(void)
{
	test(reads_cells_by_the_names_of_their_columns);
	test(quotes_hold_commas_quotes_and_lines);
	test(names_the_line_of_what_is_no_csv);
	test(limits_columns);
	test(gives_up_in_order_when_memory_runs_out);
	test(reads_a_row_whatever_else_is_in_it);
	test(knows_engines_by_name_and_version);
	test(knows_tasks_with_pictures);
	test(quantisation_overrides_the_dtype);
	test(a_name_gives_the_size_where_nothing_else_does);
	test(names_the_column_that_is_wrong);
	return tap_done();
}
