/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/base.h"
#include "gateway/deployment.h"
#include "tap.h"

#define LLAMA JT_SOURCE_ROOT "/data/models/llama-3.1-8b.json"

static struct jt_config_upstream upstream(const char *architecture, const char *gpu)
{
	struct jt_config_upstream u = { .tensor_parallel = JT_NONE, .max_num_seqs = JT_NONE };

	jt__copy_text(u.architecture, sizeof(u.architecture), architecture, strlen(architecture));
	jt__copy_text(u.gpu, sizeof(u.gpu), gpu, strlen(gpu));
	return u;
}

static void says_what_the_model_and_the_gpu_are(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "H100");
	struct jt_question q;

	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(q.n_layers == 32 && q.hidden_size == 4096 && q.weights == JT_W_BF16);
	check_text(q.gpu, "H100-SXM5-80GB");
	check(q.gpu_tdp_w == 700);
	check(q.n_gpu == 1 && q.tp == 1 && q.dp == 1 && q.pp == 1 && q.ep == 1);
}

static void leaves_the_load_to_the_request(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "H100");
	struct jt_question q;

	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(isnan(q.batch) && isnan(q.in_tokens) && isnan(q.out_tokens));
	check(isnan(q.max_num_seqs));
	q.batch = 4;
	q.in_tokens = q.out_tokens = 100;
	check(jt__question_check(&q, NULL) == JT_OK);
}

static void believes_the_configuration_before_the_driver(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "L4-24GB");
	struct jt_question q;

	check(jt__deployment_question(&u, "NVIDIA H100 80GB HBM3", 1, &q, NULL) == JT_OK);
	check_text(q.gpu, "L4-24GB");
	u.gpu[0] = '\0';
	check(jt__deployment_question(&u, "NVIDIA H100 80GB HBM3", 1, &q, NULL) == JT_OK);
	check_text(q.gpu, "H100-SXM5-80GB");
}

static void takes_weights_and_sequences_as_configured(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "H100");
	struct jt_question q;

	strcpy(u.dtype, "fp8");
	u.max_num_seqs = 64;
	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(q.weights == JT_W_FP8 && q.max_num_seqs == 64);
}

static void cuts_tensors_over_all_gpus_unless_told_otherwise(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "H100");
	struct jt_question q;

	check(jt__deployment_question(&u, NULL, 4, &q, NULL) == JT_OK);
	check(q.n_gpu == 4 && q.tp == 4 && q.dp == 1);
	u.tensor_parallel = 2;
	check(jt__deployment_question(&u, NULL, 4, &q, NULL) == JT_OK);
	check(q.n_gpu == 4 && q.tp == 2 && q.dp == 2);
	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(q.n_gpu == 2 && q.tp == 2 && q.dp == 1);
}

static void counts_gpus_among_domains_where_no_meter_does(void)
{
	struct jt_config_upstream u = upstream(LLAMA, "H100");
	struct jt_question q;

	strcpy(u.domains[0], "gpu:0");
	strcpy(u.domains[1], "cpu:0");
	strcpy(u.domains[2], "gpu:3");
	u.n_domains = 3;
	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(q.n_gpu == 2 && q.tp == 2);
}

/* As jouletap predict calls it: what was learned of it there is of use here. */
static void a_model_without_a_name_is_called_as_its_file_is(void)
{
	static const char model[] = "{\"model_type\":\"llama\",\"num_hidden_layers\":2,"
				    "\"hidden_size\":64,\"intermediate_size\":128,"
				    "\"num_attention_heads\":4,\"vocab_size\":100}";
	char dir[] = "/tmp/jouletap-model-XXXXXX", path[64];
	struct jt_config_upstream u;
	struct jt_question q;
	FILE *f;

	snprintf(path, sizeof(path), "%s/config.json", mkdtemp(dir));
	f = fopen(path, "w");
	check(f && fputs(model, f) >= 0 && fclose(f) == 0);
	u = upstream(path, "H100");
	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check_text(q.model, dir + strlen("/tmp/"));
	unlink(path);
	rmdir(dir);
}

/* What jt__deployment_question() has against it. */
static struct jt_error complaint(const struct jt_config_upstream *u, size_t n_gpus)
{
	struct jt_question q = { .batch = 17 };
	struct jt_error err = { 0 };

	check(jt__deployment_question(u, NULL, n_gpus, &q, &err) == err.status);
	check(q.batch == 17); /* untouched */
	return err;
}

static void names_the_key_that_is_missing(void)
{
	struct jt_config_upstream u = upstream("", "H100");
	struct jt_error err = complaint(&u, 0);

	check(err.status == JT_ENOTSUP);
	check_text(err.where, "architecture");
	u = upstream(LLAMA, "");
	err = complaint(&u, 0);
	check(err.status == JT_ENOTSUP);
	check_text(err.where, "gpu");
}

static void names_the_key_that_is_wrong(void)
{
	struct jt_config_upstream u = upstream("/nowhere/config.json", "H100");
	struct jt_error err = complaint(&u, 0);

	check(err.status == JT_ENOENT);
	check_text(err.where, "architecture");
	u = upstream(LLAMA, "H100x");
	err = complaint(&u, 0);
	check(err.status == JT_ENOENT && strstr(err.message, "H100-SXM5-80GB"));
	check_text(err.where, "gpu");
	u = upstream(LLAMA, "H100");
	u.tensor_parallel = 3;
	err = complaint(&u, 8);
	check(err.status == JT_EINVAL);
	check_text(err.where, "tensor_parallel");
	u = upstream(LLAMA, "H100");
	strcpy(u.dtype, "fp7");
	err = complaint(&u, 0);
	check(err.status == JT_EINVAL);
	check_text(err.where, "dtype");
}

/* Where the file does not say how weights are kept, or says it in words that nobody knows. */
static void the_configuration_says_how_weights_are_kept(void)
{
	static const char model[] =
		"{\"_name_or_path\":\"m\",\"num_hidden_layers\":2,\"hidden_size\":64,"
		"\"intermediate_size\":128,\"num_attention_heads\":4,\"vocab_size\":100,"
		"\"quantization_config\":{\"quant_method\":\"mystery\"}}";
	char path[] = "/tmp/jouletap-config-XXXXXX";
	int fd = mkstemp(path);
	struct jt_config_upstream u;
	struct jt_question q;
	struct jt_error err;

	check(fd >= 0 && write(fd, model, sizeof(model) - 1) == (ssize_t)sizeof(model) - 1);
	close(fd);
	u = upstream(path, "H100");
	err = complaint(&u, 0);
	check(err.status == JT_EINVAL && strstr(err.message, "quantization_config"));
	check_text(err.where, "architecture");
	strcpy(u.dtype, "awq");
	check(jt__deployment_question(&u, NULL, 0, &q, NULL) == JT_OK);
	check(q.weights == JT_W_AWQ);
	unlink(path);
}

int main(void)
{
	test(says_what_the_model_and_the_gpu_are);
	test(leaves_the_load_to_the_request);
	test(believes_the_configuration_before_the_driver);
	test(takes_weights_and_sequences_as_configured);
	test(cuts_tensors_over_all_gpus_unless_told_otherwise);
	test(counts_gpus_among_domains_where_no_meter_does);
	test(a_model_without_a_name_is_called_as_its_file_is);
	test(names_the_key_that_is_missing);
	test(names_the_key_that_is_wrong);
	test(the_configuration_says_how_weights_are_kept);
	return tap_done();
}
