/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "predictor/question.h"
#include "tap.h"
#include "trainer/cells.h"

#define RECORD                                                                                     \
	"\"upstream\":\"a\",\"model\":\"m\",\"task_class\":\"chat\",\"outcome\":\"ok\","           \
	"\"provenance\":\"measured\",\"domains\":\"gpu:0\",\"coverage\":1,\"choices\":1"
#define LOAD(in, out, concurrency, joules)                                                         \
	",\"prompt_tokens\":" in ",\"completion_tokens\":" out ",\"concurrency\":" concurrency     \
	",\"total_j\":" joules

/* "a" is an 8 B model on H100s, at most 64 at once; "vague" is not known; "wrong" is no model. */
static int ask(void *user, const char *name, size_t n_gpus, struct jt_question *ret,
               struct jt_error *err)
{
	if (strcmp(name, "wrong") == 0)
		return jt__fail(err, JT_EINVAL, "test", "no such thing");
	if (strcmp(name, "a") != 0)
		return jt__fail(err, JT_ENOTSUP, "test", "what '%s' is nobody knows", name);
	++*(int *)user;
	jt__question_blank(ret);
	strcpy(ret->model, "org/M-Instruct");
	strcpy(ret->model_group, "m");
	strcpy(ret->gpu, "H100");
	ret->n_layers = 32;
	ret->hidden_size = 4096;
	ret->intermediate_size = 14336;
	ret->n_heads = 32;
	ret->n_kv_heads = 8;
	ret->vocab_size = 128000;
	ret->gpu_bw_gbs = 3350;
	ret->gpu_bf16_tflops = 989;
	ret->gpu_tdp_w = 700;
	ret->gpu_mem_gb = 80;
	ret->max_num_seqs = 64;
	ret->n_gpu = ret->tp = (double)n_gpus;
	return JT_OK;
}

static int n_asked;
static const struct jt_upstreams upstreams = { .ask = ask, .user = &n_asked };

static int add(struct jt_cells *c, const char *text, struct jt_error *err)
{
	c->upstreams = &upstreams;
	n_asked = 0;
	return jt__cells_add(c, "log.jsonl", 0, text, strlen(text), err);
}

/* 100 + 300 J over 100 + 100 tokens are 2 J each; at 4 and 6 at once that is
 * 200 / (100/4 + 100/6) = 4.8. */
static void records_that_are_alike_become_one_row(void)
{
	struct jt_cells c = { 0 };
	struct jt_row row;

	check(add(&c,
	          "{" RECORD LOAD("500", "100", "4", "100") "}\n"
	                                                    "{" RECORD LOAD("300", "100", "6",
	                                                                    "300") "}\n",
	          NULL) == JT_OK);
	check(c.n_records == 2 && c.n_left_out == 0 && n_asked == 1);
	if (!check(c.n == 1))
		return;
	jt__cells_row(&c, 0, &row);
	check_near(row.j_per_token, 2, 1e-12);
	check_near(row.q.batch, 4.8, 1e-12);
	check_near(row.q.in_tokens, 400, 1e-12);
	check_near(row.q.out_tokens, 100, 1e-12);
	check(c.all[0].n_records == 2 && row.line == 1);
	check_text(row.q.task, "chat");
	check_text(row.q.source, "ledger");
	check_text(row.q.model_group, "m");
	jt__cells_fini(&c);
}

static void another_load_model_task_or_number_of_gpus_is_another_row(void)
{
	static const char *const others[] = {
		"{" RECORD LOAD("1000", "100", "4", "100") "}",
		"{" RECORD LOAD("500", "200", "4", "100") "}",
		"{" RECORD LOAD("500", "100", "9", "100") "}",
	};
	struct jt_cells c = { 0 };

	check(add(&c, "{" RECORD LOAD("500", "100", "4", "100") "}", NULL) == JT_OK);
	for (size_t i = 0; i < JT_ARRAY_LEN(others); i++) {
		check(add(&c, others[i], NULL) == JT_OK);
		check(c.n == i + 2);
	}
	check(add(&c,
	          "{\"upstream\":\"a\",\"outcome\":\"ok\",\"provenance\":\"derived\","
	          "\"domains\":\"gpu:0,gpu:1\"" LOAD("500", "100", "4", "100") "}",
	          NULL) == JT_OK);
	check(c.n == 5 && n_asked == 1 && c.n_left_out == 0);
	jt__cells_fini(&c);
}

/* As the meter names as many domains as it has room for. */
static void as_many_gpus_as_a_meter_knows_are_all_counted(void)
{
	char text[1024] = "{\"upstream\":\"a\",\"outcome\":\"ok\",\"provenance\":\"measured\"" LOAD(
		"500", "100", "4", "100") ",\"domains\":\"";
	struct jt_cells c = { 0 };
	struct jt_row row;

	for (int i = 0; i < 64; i++)
		snprintf(text + strlen(text), 16, "%sgpu:%d", i ? "," : "", i);
	strcat(text, "\"}");
	check(add(&c, text, NULL) == JT_OK && c.n_left_out == 0);
	if (!check(c.n == 1))
		return;
	jt__cells_row(&c, 0, &row);
	check(row.q.n_gpu == 64);
	jt__cells_fini(&c);
}

/* Three choices of one request run together, but no more than 64. */
static void choices_are_sequences_and_what_waits_is_not_in_the_batch(void)
{
	static const char text[] =
		"{\"upstream\":\"a\",\"outcome\":\"ok\",\"provenance\":\"measured\",\"choices\":3,"
		"\"domains\":\"gpu:0\"" LOAD(
			"500", "300", "2", "30") "}\n"
						 "{" RECORD LOAD("500", "100", "200", "100") "}\n";
	struct jt_cells c = { 0 };
	struct jt_row row;

	check(add(&c, text, NULL) == JT_OK && c.n == 2);
	jt__cells_row(&c, 0, &row);
	check_near(row.q.batch, 4, 1e-12);
	check_near(row.q.out_tokens, 100, 1e-12);
	check_near(row.j_per_token, 0.1, 1e-12);
	jt__cells_row(&c, 1, &row);
	check_near(row.q.batch, 64, 1e-12);
	jt__cells_fini(&c);
}

static void a_record_that_says_nothing_is_left_out_with_its_reason(void)
{
	static const struct {
		const char *fields, *reason;
	} bad[] = {
		{ "\"outcome\":\"client_gone\"", "its outcome is 'client_gone'" },
		{ "\"provenance\":\"modelled\"", "its joules are 'modelled' and not from a meter" },
		{ "\"provenance\":\"predicted\"", "its joules are 'predicted'" },
		{ "\"provenance\":\"\"", "its joules are ''" },
		{ "\"total_j\":null", "its joules are not known" },
		{ "\"total_j\":0", "its joules are not known" },
		{ "\"completion_tokens\":0", "generated no tokens" },
		{ "\"prompt_tokens\":null", "how many is not known" },
		{ "\"coverage\":0.4", "its meters saw 40 % of it, not 90 %" },
		{ "\"concurrency\":null", "'concurrency'" },
		{ "\"domains\":\"gpu:0,cpu:0\"", "charged for 'cpu:0'" },
		{ "\"domains\":\"mig:0:1\"", "charged for 'mig:0:1'" },
		{ "\"upstream\":\"vague\"", "what 'vague' is nobody knows" },
	};
	static const char *const good[] = { "\"outcome\":\"ok\"",    "\"provenance\":\"derived\"",
		                            "\"total_j\":100",       "\"completion_tokens\":100",
		                            "\"prompt_tokens\":500", "\"coverage\":1",
		                            "\"concurrency\":4",     "\"domains\":\"gpu:0\"",
		                            "\"upstream\":\"a\"" };

	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++) {
		size_t name = strcspn(bad[i].fields, ":");
		struct jt_cells c = { 0 };
		char text[1024] = "\n{";

		for (size_t j = 0; j < JT_ARRAY_LEN(good); j++) {
			bool is_bad = strncmp(good[j], bad[i].fields, name + 1) == 0;

			strcat(text, j ? "," : "");
			strcat(text, is_bad ? bad[i].fields : good[j]);
		}
		strcat(text, "}\n");
		check(add(&c, text, NULL) == JT_OK);
		check(c.n == 0 && c.n_records == 1 && c.n_left_out == 1);
		if (!check(strstr(c.left_out.message, bad[i].reason) != NULL))
			printf("# %s\n", c.left_out.message);
		check(strstr(c.left_out.message, "line 2 of 'log.jsonl'") != NULL);
		jt__cells_fini(&c);
	}
}

static void a_line_that_is_no_record_is_an_error_but_a_last_one_that_is_cut(void)
{
	static const char good[] = "{" RECORD LOAD("500", "100", "4", "100") "}\n";
	struct jt_cells c = { 0 };
	struct jt_error err;
	char text[2048];

	snprintf(text, sizeof(text), "%s{\"upstream\":\"a\",\"mod\n%s", good, good);
	check(add(&c, text, &err) == JT_EINVAL);
	check_text(err.where, "log.jsonl:2");
	snprintf(text, sizeof(text), "%s{\"total_j\":NaN}\n", good);
	check(add(&c, text, &err) == JT_EINVAL);
	check_text(err.where, "log.jsonl:2");
	snprintf(text, sizeof(text), "%s{\"total_j\":\"much\"}\n", good);
	check(add(&c, text, &err) == JT_EINVAL);
	check(strstr(err.message, "total_j") != NULL);
	jt__cells_fini(&c);
	snprintf(text, sizeof(text), "%s{\"upstream\":\"a\",\"mod", good);
	check(add(&c, text, &err) == JT_OK);
	check(c.n == 1 && c.n_records == 2 && c.n_left_out == 1);
	check(strstr(c.left_out.message, "it is cut off") != NULL);
	jt__cells_fini(&c);
}

static void an_upstream_that_is_described_wrongly_ends_it(void)
{
	struct jt_cells c = { 0 };
	struct jt_error err;

	check(add(&c,
	          "{\"upstream\":\"wrong\",\"outcome\":\"ok\",\"provenance\":\"measured\"" LOAD(
			  "500", "100", "4", "100") "}\n",
	          &err) == JT_EINVAL);
	check_text(err.message, "no such thing");
	jt__cells_fini(&c);
}

static void a_file_that_begins_with_a_brace_is_of_records(void)
{
	char path[] = "/tmp/jouletap-cells-XXXXXX";
	const char *paths[] = { path };
	int fd = mkstemp(path);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	struct jt_dataset d;
	struct jt_error err;

	if (!check(f != NULL))
		return;
	fputs("{" RECORD LOAD("500", "100", "4",
	                      "100") "}\n"
	                             "{" RECORD LOAD("500", "100", "40",
	                                             "50") "}\n"
	                                                   "{" RECORD LOAD("500", "0", "4",
	                                                                   "100") "}\n",
	      f);
	fclose(f);
	check(jt__dataset_load(paths, 1, NULL, &d, &err) == JT_EINVAL);
	check(strstr(err.message, "--config") != NULL);
	if (check(jt__dataset_load(paths, 1, &upstreams, &d, &err) == JT_OK)) {
		check(d.n == 2 && d.n_record_rows == 2 && d.n_records == 3);
		check(d.n_records_left_out == 1 && d.n_left_out == 0);
		check_near(d.rows[0].j_per_token, 1, 1e-12);
		check_text(jt__row_key(&d.rows[0], JT_KEY_BACKBONE), "m");
		check_text(jt__row_key(&d.rows[0], JT_KEY_SOURCE), "ledger");
		jt__dataset_fini(&d);
	}
	remove(path);
}

static void running_out_of_memory_is_told(void)
{
	struct jt_error err;
	int status = JT_ENOMEM;

	for (long nth = 1; status == JT_ENOMEM && nth < 20; nth++) {
		struct jt_cells c = { 0 };

		jt__alloc_fail_at((uint64_t)nth);
		status = add(&c, "{" RECORD LOAD("500", "100", "4", "100") "}\n", &err);
		jt__alloc_fail_at(0);
		check(status == JT_OK || status == JT_ENOMEM);
		check(nth > 1 || status == JT_ENOMEM);
		jt__cells_fini(&c);
	}
	check(status == JT_OK);
}

int main(void)
{
	test(records_that_are_alike_become_one_row);
	test(another_load_model_task_or_number_of_gpus_is_another_row);
	test(as_many_gpus_as_a_meter_knows_are_all_counted);
	test(choices_are_sequences_and_what_waits_is_not_in_the_batch);
	test(a_record_that_says_nothing_is_left_out_with_its_reason);
	test(a_line_that_is_no_record_is_an_error_but_a_last_one_that_is_cut);
	test(an_upstream_that_is_described_wrongly_ends_it);
	test(a_file_that_begins_with_a_brace_is_of_records);
	test(running_out_of_memory_is_told);
	return tap_done();
}
