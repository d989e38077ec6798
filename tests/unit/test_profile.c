/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "tree.h"
#include "base/rng.h"
#include "simulator/profile.h"
#include "input/textfile.h"

#define PROFILES JT_SOURCE_ROOT "/data/simulator/profiler"
#define BF16 "/perf/GPU/org/model/bf16"

/* A profile small enough to work its figures out in the head. */
static const char catalog[] = "sequence:\n"
			      "  prologue: [embed]\n"
			      "  pre_attn: [norm, attention]\n"
			      "  post_attn: [norm, proj]\n"
			      "  mlp_moe: [experts]\n"
			      "  head: [lm_head]\n"
			      "catalog:\n"
			      "  dense:\n"
			      "    embed: {vllm: Embedding}\n"
			      "    norm: {vllm: RMSNorm, tp_stable: true}\n"
			      "    proj:\n"
			      "  per_sequence:\n"
			      "    lm_head: {tp_stable: false}\n"
			      "  attention:\n"
			      "    attention: {vllm: Attention}\n"
			      "  moe:\n"
			      "    experts: {vllm: Moe}\n";
static const char meta[] = "gpu: a board\n"
			   "skew_fit:\n"
			   "  bucket_axes:\n"
			   "    n_bins: [0, 2, 1000]\n"
			   "    n_labels: [few, many]\n"
			   "    skew_rate_bins: [-0.01, 0.5, 1.01]\n"
			   "    skew_rate_labels: [even, uneven]\n"
			   "    kv_big_bins: [0, 150, 1000000000]\n"
			   "    kv_big_labels: [short, long]\n"
			   "    kp_bins: [-1, 0, 1000000000]\n"
			   "    kp_labels: [none, some]\n"
			   "  per_tp:\n"
			   "    1: {alpha_default: 0.25}\n";
static const char attention[] = "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
				"0,0,1,100,1\n0,0,1,200,2\n"
				"0,0,2,100,2\n0,0,2,200,4\n"
				"0,0,4,100,8\n0,0,4,200,6\n"
				"100,0,0,0,10\n100,50,0,0,20\n";
static const char skew_fit[] = "pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha,n_samples\n"
			       "0,few,uneven,long,none,0.5,4\n"
			       "0,few,even,long,none,0,4\n";
static const char dense[] = "layer,tokens,time_us\n"
			    "embed,1,1\nembed,2,3\nembed,4,4\n"
			    "norm,1,10\nnorm,2,20\n"
			    "proj,8,0.0025\nproj,9,0.0035\nproj,10,0.0001\nproj,11,0.0035\n";
static const char per_sequence[] = "layer,sequences,time_us\nlm_head,1,100\nlm_head,3,200\n";
static const char moe[] = "tokens,activated_experts,time_us\n"
			  "1,8,1\n1,16,2\n3,8,3\n3,16,4\n";

static struct tree dir;
static struct jt_error err;

static struct jt_profile_where where(uint32_t tp)
{
	return (struct jt_profile_where){ .root = dir.root,
		                          .hardware = "GPU",
		                          .model = "org/model",
		                          .type = "small",
		                          .variant = "bf16",
		                          .tp = tp };
}

static void put_all(void)
{
	tree_put(&dir, "/models/small.yaml", catalog);
	tree_put(&dir, BF16 "/meta.yaml", meta);
	tree_put(&dir, BF16 "/tp1/attention.csv", attention);
	tree_put(&dir, BF16 "/tp1/skew_fit.csv", skew_fit);
	tree_put(&dir, BF16 "/tp1/dense.csv", dense);
	tree_put(&dir, BF16 "/tp1/per_sequence.csv", per_sequence);
	tree_put(&dir, BF16 "/tp1/moe.csv", moe);
}

/* NULL: an error, in err. */
static struct jt_profile *load(uint32_t tp)
{
	struct jt_profile_where w = where(tp);
	struct jt_profile *p = NULL;

	memset(&err, 0, sizeof(err));
	check((jt__profile_load(&w, &p, &err) == JT_OK) == (p != NULL));
	return p;
}

static const struct jt_layer *layer(const struct jt_profile *p, const char *name)
{
	for (int part = 0; part < JT_N_PARTS; part++)
		for (uint32_t i = 0; i < p->parts[part].n; i++)
			if (strcmp(p->parts[part].layers[i].name, name) == 0)
				return &p->parts[part].layers[i];
	return NULL;
}

static uint64_t layer_ns(const struct jt_profile *p, const char *name, uint64_t n)
{
	const struct jt_layer *l = layer(p, name);

	return check(l != NULL) ? jt__profile_layer_ns(p, l, n) : 0;
}

/* Decodes whose contexts are all alike. */
static uint64_t even_ns(const struct jt_profile *p, uint64_t chunk, uint64_t prefill_kv,
                        uint64_t n_decode, uint64_t kv)
{
	struct jt_attention a = { chunk, prefill_kv, n_decode, n_decode * kv, kv, kv };

	return jt__profile_attention_ns(p, &a, true);
}

static void lists_the_layers_in_the_order_of_the_sequence(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	check(p->parts[JT_PART_PROLOGUE].n == 1 && p->parts[JT_PART_PRE_ATTN].n == 2);
	check_text(p->parts[JT_PART_PRE_ATTN].layers[0].name, "norm");
	check_text(p->parts[JT_PART_PRE_ATTN].layers[1].name, "attention");
	check(p->parts[JT_PART_PRE_ATTN].layers[1].kind == JT_LAYER_ATTENTION);
	check(p->parts[JT_PART_MLP_DENSE].n == 0 && p->parts[JT_PART_MLP_MOE].n == 1);
	check(p->parts[JT_PART_MLP_MOE].layers[0].kind == JT_LAYER_MOE);
	check(p->parts[JT_PART_HEAD].layers[0].kind == JT_LAYER_PER_SEQUENCE);
	check(p->remarks == NULL);
	jt__profile_free(p);
}

static void a_time_is_a_whole_nanosecond_and_half_goes_to_even(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	check(layer_ns(p, "proj", 8) == 2);
	check(layer_ns(p, "proj", 9) == 4);
	check(layer_ns(p, "proj", 10) == 1);
	jt__profile_free(p);
}

static void a_line_goes_through_the_points_and_on_beyond_the_last(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	check(layer_ns(p, "embed", 0) == 1000 && layer_ns(p, "embed", 1) == 1000);
	check(layer_ns(p, "embed", 2) == 3000);
	check(layer_ns(p, "embed", 3) == 3500);
	check(layer_ns(p, "embed", 6) == 5000 && layer_ns(p, "embed", 10004) == 5004000);
	check(layer_ns(p, "lm_head", 2) == 150000 && layer_ns(p, "lm_head", 4) == 250000);
	jt__profile_free(p);
}

static void a_line_that_falls_below_zero_stops_at_a_nanosecond(void)
{
	struct jt_profile *p;

	tree_put(&dir, BF16 "/tp1/dense.csv",
	         "layer,tokens,time_us\nembed,1,9\nembed,2,1\nnorm,1,1\nproj,1,1\n");
	p = load(1);
	check(p && layer_ns(p, "embed", 3) == 1 && layer_ns(p, "embed", 100000) == 1);
	check(p && layer_ns(p, "norm", 77) == 1000);
	jt__profile_free(p);
	put_all();
}

static void of_two_rows_for_one_point_the_first_counts(void)
{
	struct jt_profile *p;

	tree_put(&dir, BF16 "/tp1/dense.csv",
	         "time_us,note,layer,tokens\r\n3,,embed,2\r\n\r\n7,x,norm,5\r\n1,,embed,1\r\n"
	         "9,,embed,2\r\n1,,proj,1\r\n4,,unknown,1\r\n8,,embed,1");
	p = load(1);
	check(p && layer_ns(p, "embed", 1) == 1000 && layer_ns(p, "embed", 2) == 3000);
	check(p && layer_ns(p, "norm", 1) == 7000);
	jt__profile_free(p);
	put_all();
}

static void a_layer_without_rows_is_left_out_and_named_once(void)
{
	struct jt_profile *p;

	tree_put(&dir, BF16 "/tp1/dense.csv",
	         "layer,tokens,time_us\nembed,1,1\nproj,1,1\nlm_head,1,1\n");
	p = load(1);
	check(p && !layer(p, "norm") && layer(p, "proj") && p->parts[JT_PART_PRE_ATTN].n == 1);
	if (p)
		check_text(p->remarks,
		           "layer 'norm' of org/model on GPU has no figures and is left out");
	jt__profile_free(p);
	put_all();
}

static void what_does_not_change_with_ranks_comes_from_one_rank(void)
{
	struct jt_profile *p;

	tree_put(&dir, BF16 "/tp2/dense.csv",
	         "layer,tokens,time_us\nembed,1,500\nnorm,1,500\nproj,1,500\n");
	tree_put(&dir, BF16 "/tp2/per_sequence.csv", "layer,sequences,time_us\nlm_head,1,500\n");
	tree_put(&dir, BF16 "/tp2/attention.csv",
	         "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,1,100,500\n");
	p = load(2);
	if (check(p != NULL)) {
		struct jt_attention a = { 0, 0, 2, 240, 20, 200 };

		check(layer_ns(p, "embed", 1) == 500000 && layer_ns(p, "lm_head", 1) == 500000);
		check(layer_ns(p, "norm", 1) == 10000);
		check(jt__profile_moe_ns(p, 1, 8) == 1000);
		/* meta.yaml has no fit for two ranks */
		check(jt__profile_attention_ns(p, &a, true) == 500000);
	}
	jt__profile_free(p);
	tree_remove(&dir, BF16 "/tp2");
}

static void attention_is_linear_on_each_of_its_four_axes(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	check(even_ns(p, 0, 0, 1, 100) == 1000 && even_ns(p, 0, 0, 1, 150) == 1500);
	check(even_ns(p, 0, 0, 1, 50) == 1000 && even_ns(p, 0, 0, 1, 300) == 3000);
	check(even_ns(p, 0, 0, 2, 150) == 3000 && even_ns(p, 0, 0, 3, 100) == 5000);
	check(even_ns(p, 0, 0, 5, 100) == 11000);
	check(even_ns(p, 100, 25, 0, 0) == 15000 && even_ns(p, 100, 75, 0, 0) == 25000);
	jt__profile_free(p);
}

static void the_nearest_pair_stands_in_for_one_that_was_not_measured(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	/* (0, 0) is taken from (0, 1), where no prefill KV but 0 is known */
	check(even_ns(p, 50, 0, 0, 0) == 5500 && even_ns(p, 50, 25, 0, 0) == 8000);
	/* (100, 1) and (100, 2) from (100, 0) */
	check(even_ns(p, 100, 0, 1, 100) == 10000 && even_ns(p, 100, 0, 2, 100) == 10000);
	jt__profile_free(p);
}

static void of_pairs_equally_near_the_lowest_stands_in(void)
{
	struct jt_profile *p;

	tree_put(&dir, BF16 "/tp1/attention.csv",
	         "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
	         "2,0,0,0,7\n0,0,2,0,5\n4,0,4,0,9\n");
	p = load(1);
	check(p && even_ns(p, 0, 0, 0, 0) == 5000);
	jt__profile_free(p);
	put_all();
}

static void uneven_contexts_cost_part_of_what_the_longest_costs(void)
{
	const struct {
		struct jt_attention a;
		uint64_t ns;
	} cases[] = {
		{ { 0, 0, 2, 240, 120, 120 }, 2400 }, /* no spread */
		{ { 0, 0, 2, 241, 120, 121 }, 2405 }, /* the mean is a whole number: 120 */
		{ { 0, 0, 2, 240, 20, 200 }, 3200 },  /* alpha 0.5 */
		{ { 0, 0, 2, 240, 40, 200 }, 2400 },  /* a rate of 0.5 is even still: alpha 0 */
		{ { 0, 0, 2, 240, 20, 150 }, 2550 },  /* no row for short: alpha 0.25 */
		{ { 0, 0, 1, 120, 20, 200 }, 1200 },  /* one decode has no spread */
		{ { 0, 0, 4, 480, 20, 200 }, 7600 },  /* the longest is not slower */
	};
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++)
		check(jt__profile_attention_ns(p, &cases[i].a, true) == cases[i].ns);
	jt__profile_free(p);
}

static void between_profiled_prefills_skew_is_the_default_or_the_nearest(void)
{
	struct jt_attention a = { 30, 0, 2, 240, 20, 200 };
	struct jt_profile *p = load(1);
	uint64_t of_mean, of_max;

	if (!check(p != NULL))
		return;
	of_mean = even_ns(p, 30, 0, 2, 120);
	of_max = even_ns(p, 30, 0, 2, 200);
	check(of_max > of_mean);
	check_near((double)jt__profile_attention_ns(p, &a, true),
	           of_mean + 0.25 * (of_max - of_mean), 0.5);
	check_near((double)jt__profile_attention_ns(p, &a, false),
	           of_mean + 0.5 * (of_max - of_mean), 0.5);
	jt__profile_free(p);
}

static void without_a_fit_nothing_is_corrected(void)
{
	struct jt_attention a = { 0, 0, 2, 240, 20, 200 };
	const char *const metas[] = { "gpu: x\n", "skew_fit: {enabled: false}\n", "" };

	for (size_t i = 0; i < JT_ARRAY_LEN(metas) + 2; i++) {
		struct jt_profile *p;

		if (i < JT_ARRAY_LEN(metas))
			tree_put(&dir, BF16 "/meta.yaml", metas[i]);
		else if (i == JT_ARRAY_LEN(metas))
			tree_remove(&dir, BF16 "/meta.yaml");
		else
			tree_remove(&dir, BF16 "/tp1/skew_fit.csv");
		p = load(1);
		check(p && jt__profile_attention_ns(p, &a, true) == 2400);
		jt__profile_free(p);
		if (i == JT_ARRAY_LEN(metas))
			put_all();
	}
	put_all();
}

static void experts_are_linear_in_their_number_and_in_tokens(void)
{
	struct jt_profile *p = load(1);

	if (!check(p != NULL))
		return;
	check(jt__profile_moe_ns(p, 1, 8) == 1000 && jt__profile_moe_ns(p, 1, 12) == 1500);
	check(jt__profile_moe_ns(p, 2, 12) == 2500 && jt__profile_moe_ns(p, 5, 24) == 7000);
	check(jt__profile_moe_ns(p, 0, 1) == 1000);
	jt__profile_free(p);
}

static void the_spelling_of_the_model_type_may_differ(void)
{
	struct jt_profile_where w = where(1);
	struct jt_profile *p = NULL;

	tree_put(&dir, "/models/a_b.yaml", catalog);
	w.type = "a-b";
	check(jt__profile_load(&w, &p, &err) == JT_OK);
	jt__profile_free(p);
	tree_remove(&dir, "/models/a_b.yaml");
}

static void a_profile_that_is_not_there_is_an_error_that_lists_those_that_are(void)
{
	struct jt_profile_where w = where(4);
	struct jt_profile *p = NULL;

	check(jt__profile_load(&w, &p, &err) == JT_ENOENT);
	check(strstr(err.message, "no profile 'tp4'") && strstr(err.message, "tp1"));
	w = where(1);
	w.hardware = "H100";
	check(jt__profile_load(&w, &p, &err) == JT_ENOENT);
	check(strstr(err.message, "no profile 'H100'") && strstr(err.message, "has GPU"));
	w = where(1);
	w.model = "org/other";
	check(jt__profile_load(&w, &p, &err) == JT_ENOENT);
	check(strstr(err.message, "no profile 'other'") && strstr(err.message, "has model"));
	w = where(1);
	w.type = "mamba";
	check(jt__profile_load(&w, &p, &err) == JT_ENOENT);
	check(strstr(err.message, "'mamba.yaml'") && strstr(err.message, "small.yaml"));
	w = where(1);
	w.root = "/nowhere/at/all";
	check(jt__profile_load(&w, &p, &err) == JT_ENOENT);
	check(p == NULL);
}

static void what_is_wrong_in_a_file_is_named_with_file_line_and_column(void)
{
	static const struct {
		const char *file, *content, *line, *message;
	} cases[] = {
		{ "tp1/dense.csv", "", "dense.csv:1", "empty" },
		{ "tp1/dense.csv", "layer,tokens,time_us\n", "dense.csv:1", "no rows" },
		{ "tp1/dense.csv", "layer,tokens\nembed,1\n", "dense.csv:1",
		  "no column 'time_us'" },
		{ "tp1/dense.csv", "layer,tokens,tokens,time_us\n", "dense.csv:1", "two columns" },
		{ "tp1/dense.csv", "layer,tokens,time_us\n\nembed,1\n", "dense.csv:3",
		  "2 values, but 3 columns" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1,2,3\n", "dense.csv:2",
		  "4 values, but 3 columns" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1.5,2\n", "dense.csv:2",
		  "'tokens' must be a whole number from 0 to 1000000000, not '1.5'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,-1,2\n", "dense.csv:2",
		  "'tokens'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,99999999999999999999,2\n",
		  "dense.csv:2", "'tokens'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1,nan\n", "dense.csv:2",
		  "'time_us' must be a number from 0 to 1e+09, not 'nan'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1,-2\n", "dense.csv:2",
		  "not '-2'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1,1e400\n", "dense.csv:2",
		  "'time_us'" },
		{ "tp1/dense.csv", "layer,tokens,time_us\nembed,1,\n", "dense.csv:2", "not ''" },
		{ "tp1/per_sequence.csv", "layer,tokens,time_us\nlm_head,1,1\n",
		  "per_sequence.csv:1", "no column 'sequences'" },
		{ "tp1/attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n",
		  "attention.csv:1", "no rows" },
		{ "tp1/attention.csv",
		  "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n0,0,x,0,1\n",
		  "attention.csv:2", "'n_decode'" },
		{ "tp1/moe.csv", "tokens,activated_experts,time_us\n", "moe.csv:1", "no rows" },
		{ "tp1/skew_fit.csv",
		  "pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha\n0,few,odd,long,none,1\n",
		  "skew_fit.csv:2", "'skew_rate_label' must be a label of meta.yaml, not 'odd'" },
		{ "tp1/skew_fit.csv",
		  "pc,n_label,skew_rate_label,kv_big_label,kp_label,alpha\n0,few,even,long,none,\n",
		  "skew_fit.csv:2", "'alpha'" },
		{ "meta.yaml", "a: [\n", "meta.yaml:2", "not valid YAML" },
		{ "meta.yaml", "[1]\n", "meta.yaml:1", "key: value" },
		{ "meta.yaml", "a: 1\nskew_fit: 1\n", "meta.yaml:2",
		  "'skew_fit' must be a section" },
		{ "meta.yaml", "skew_fit:\n  per_tp: {1: {x: 1}}\n", "meta.yaml:2", "bucket_axes" },
		{ "meta.yaml", "skew_fit:\n  bucket_axes: {}\n  per_tp:\n    1: {x: 1}\n",
		  "meta.yaml:4", "alpha_default" },
		{ "meta.yaml",
		  "skew_fit:\n  bucket_axes: {}\n  per_tp:\n    1: {alpha_default: .nan}\n",
		  "meta.yaml:4", "'alpha_default' must be a number" },
		{ "meta.yaml",
		  "skew_fit:\n  bucket_axes: {n_bins: [1]}\n  per_tp:\n    1: {alpha_default: 1}\n",
		  "meta.yaml:2", "n_labels" },
		{ "meta.yaml",
		  "skew_fit:\n  bucket_axes:\n    n_labels: [a, b]\n    n_bins: [0, 1]\n"
		  "  per_tp:\n    1: {alpha_default: 1}\n",
		  "meta.yaml:4", "2 bounds for 2 labels" },
		{ "meta.yaml",
		  "skew_fit:\n  bucket_axes:\n    n_labels: [a, b]\n    n_bins: [0, 1, 1]\n"
		  "  per_tp:\n    1: {alpha_default: 1}\n",
		  "meta.yaml:4", "'n_bins' must rise" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		char path[128];

		snprintf(path, sizeof(path), BF16 "/%s", cases[i].file);
		tree_put(&dir, path, cases[i].content);
		check(load(1) == NULL);
		if (!check(err.status == JT_EINVAL && strstr(err.where, cases[i].line) &&
		           strstr(err.message, cases[i].message)))
			printf("# %s, %s: %s: %s\n", cases[i].line, cases[i].message, err.where,
			       err.message);
		put_all();
	}
}

static void what_is_wrong_in_a_catalog_is_named_with_its_line(void)
{
	static const struct {
		const char *content;
		int line;
		const char *message;
	} cases[] = {
		{ "", 1, "needs 'sequence:' and 'catalog:'" },
		{ "sequence: {}\n", 1, "no 'catalog:'" },
		{ "sequence: 1\ncatalog: {}\n", 1, "'sequence' must be a section" },
		{ "sequence:\n  begin: []\ncatalog: {}\n", 2, "'begin'" },
		{ "sequence:\n  head: x\ncatalog: {}\n", 2, "'sequence.head' must be a list" },
		{ "sequence:\n  head: [x]\ncatalog: {}\n", 2,
		  "layer 'x' of 'sequence.head' is not in 'catalog'" },
		{ "sequence: {}\ncatalog:\n  sparse: {x: }\n", 3, "'sparse'" },
		{ "sequence: {}\ncatalog:\n  dense: [x]\n", 3, "must be a section" },
		{ "sequence: {}\ncatalog:\n  dense:\n    x:\n  attention:\n    x:\n", 6, "twice" },
		{ "sequence: {}\ncatalog:\n  moe:\n    x:\n    y:\n", 3, "more than one layer" },
		{ "sequence: {}\ncatalog:\n  dense:\n    x: {tp_stable: maybe}\n", 4, "tp_stable" },
		{ "sequence: {}\ncatalog:\n  dense:\n    a_layer_with_a_very_long_name_indeed:\n",
		  4, "up to 31 bytes" },
		{ "a: [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]\n", 1, "too deep" },
		{ "a: \"\xff\"\n", 1, "not valid YAML" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		char line[40];

		snprintf(line, sizeof(line), "small.yaml:%d", cases[i].line);
		tree_put(&dir, "/models/small.yaml", cases[i].content);
		check(load(1) == NULL);
		if (!check(err.status == JT_EINVAL && strstr(err.where, line) &&
		           strstr(err.message, cases[i].message)))
			printf("# %s, %s: %s: %s\n", line, cases[i].message, err.where,
			       err.message);
	}
	put_all();
}

/* Chunk sizes span a grid with those of decodes, in memory for each pair. */
static void more_points_on_an_axis_than_are_allowed_are_an_error(void)
{
	static char text[16384];
	size_t n = 0;

	n += (size_t)sprintf(text, "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n");
	for (int i = 0; i < 257; i++)
		n += (size_t)sprintf(text + n, "%d,0,0,0,1\n", i);
	tree_put(&dir, BF16 "/tp1/attention.csv", text);
	check(load(1) == NULL);
	check(err.status == JT_ELIMIT && strstr(err.message, "more than 256 different"));
	put_all();
}

static void running_out_of_memory_anywhere_is_an_error(void)
{
	struct jt_profile *p = NULL;
	uint64_t nth = 1;

	for (; nth < 200 && !p; nth++) {
		jt__alloc_fail_at(nth);
		p = load(1);
		jt__alloc_fail_at(0);
		check(p || err.status == JT_ENOMEM);
	}
	check(p != NULL && nth > 20);
	jt__profile_free(p);
	jt__profile_free(NULL);
}

/* The way of the fast path and that of the C library, on what both read. */
static void a_decimal_is_the_nearest_double(void)
{
	struct jt_rng rng = { 5 };

	for (int i = 0; i < 200000; i++) {
		char text[40];
		double v = 0;
		int n = snprintf(text, sizeof(text), "%s%llu.%0*llu", i % 3 ? "" : "-",
		                 (unsigned long long)jt__rng_below(&rng, 1u << (i % 31)),
		                 1 + i % 12, (unsigned long long)jt__rng_below(&rng, 1000000000));

		check(jt__textfile_real(text, (size_t)n, &v) && v == strtod(text, NULL));
	}
}

static void a_number_is_spelled_like_one(void)
{
	const char *const good[] = { "0", "1.", ".5", "-0.25", "1e3", "1E-3", "+2", "2.5e+0" };
	const char *const bad[] = { "",    ".",     "-",     "e3",  "1e",   "1e+",
		                    "nan", "inf",   "1 ",    " 1",  "0x1",  "1,5",
		                    "--1", "1.2.3", "1e999", "1_0", "1e3.5" };
	double v;

	for (size_t i = 0; i < JT_ARRAY_LEN(good); i++)
		check(jt__textfile_real(good[i], strlen(good[i]), &v) &&
		      v == strtod(good[i], NULL));
	for (size_t i = 0; i < JT_ARRAY_LEN(bad); i++)
		check(!jt__textfile_real(bad[i], strlen(bad[i]), &v));
}

static struct jt_profile *load_bundled(void)
{
	struct jt_profile_where w = { PROFILES, "RTXPRO6000", "meta-llama/Llama-3.1-8B",
		                      "llama",  "bf16",       1 };
	struct jt_profile *p = NULL;

	check(jt__profile_load(&w, &p, NULL) == JT_OK);
	return p;
}

/* Worked out in Python from the description of the reference simulator's look-ups. */
static void the_bundled_profile_gives_figures_worked_out_elsewhere(void)
{
	const struct {
		struct jt_attention a;
		uint64_t ns;
	} cases[] = {
		{ { 0, 0, 1, 16, 16, 16 }, 8352 },
		{ { 0, 0, 100, 123456, 17, 5000 }, 407712 },
		{ { 100, 3000, 7, 6300, 100, 2100 }, 91714 },
		{ { 2048, 0, 0, 0, 0, 0 }, 172609 },
		{ { 3000, 20000, 0, 0, 0, 0 }, 3793308 },
		{ { 512, 700, 300, 6000000, 1, 30000 }, 28244203 },
		{ { 128, 512, 40, 120039, 200, 16000 }, 1026899 },
		{ { 1900, 100, 200, 100000, 10, 9000 }, 1276803 },
		{ { 5, 0, 3, 31, 2, 20 }, 11169 },
	};
	struct jt_profile *p = load_bundled();

	for (size_t i = 0; p && i < JT_ARRAY_LEN(cases); i++)
		check(jt__profile_attention_ns(p, &cases[i].a, true) == cases[i].ns);
	jt__profile_free(p);
}

static void every_row_of_the_bundled_attention_is_what_is_looked_up_there(void)
{
	struct jt_profile *p = load_bundled();
	FILE *f = fopen(PROFILES "/perf/RTXPRO6000/meta-llama/Llama-3.1-8B/bf16/tp1/attention.csv",
	                "r");
	unsigned chunk, kp, nd, kd, n = 0, n_same = 0;
	double us;

	if (!check(p && f && fscanf(f, "%*s") == 0))
		return;
	for (; fscanf(f, "%u,%u,%u,%u,%lf", &chunk, &kp, &nd, &kd, &us) == 5; n++)
		n_same += even_ns(p, chunk, kp, nd, kd) == (uint64_t)rint(us * 1000.0);
	check(n == 19364 && n_same == n);
	fclose(f);
	jt__profile_free(p);
}

int main(void)
{
	dir = tree_new(NULL);
	put_all();
	test(lists_the_layers_in_the_order_of_the_sequence);
	test(a_time_is_a_whole_nanosecond_and_half_goes_to_even);
	test(a_line_goes_through_the_points_and_on_beyond_the_last);
	test(a_line_that_falls_below_zero_stops_at_a_nanosecond);
	test(of_two_rows_for_one_point_the_first_counts);
	test(a_layer_without_rows_is_left_out_and_named_once);
	test(what_does_not_change_with_ranks_comes_from_one_rank);
	test(attention_is_linear_on_each_of_its_four_axes);
	test(the_nearest_pair_stands_in_for_one_that_was_not_measured);
	test(of_pairs_equally_near_the_lowest_stands_in);
	test(uneven_contexts_cost_part_of_what_the_longest_costs);
	test(between_profiled_prefills_skew_is_the_default_or_the_nearest);
	test(without_a_fit_nothing_is_corrected);
	test(experts_are_linear_in_their_number_and_in_tokens);
	test(the_spelling_of_the_model_type_may_differ);
	test(a_profile_that_is_not_there_is_an_error_that_lists_those_that_are);
	test(what_is_wrong_in_a_file_is_named_with_file_line_and_column);
	test(what_is_wrong_in_a_catalog_is_named_with_its_line);
	test(more_points_on_an_axis_than_are_allowed_are_an_error);
	test(running_out_of_memory_anywhere_is_an_error);
	test(a_decimal_is_the_nearest_double);
	test(a_number_is_spelled_like_one);
	test(the_bundled_profile_gives_figures_worked_out_elsewhere);
	test(every_row_of_the_bundled_attention_is_what_is_looked_up_there);
	tree_free(&dir);
	return tap_done();
}
