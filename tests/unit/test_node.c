/* SPDX-License-Identifier: Apache-2.0 */
#include "tap.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "model/node.h"

#define START_NS (77 * JT_NS_PER_S)

/* Llama-3.1-8B. */
static const struct jt_arch arch = {
	.model = "llama",
	.n_layers = 32,
	.hidden_size = 4096,
	.intermediate_size = 14336,
	.n_heads = 32,
	.n_kv_heads = 8,
	.head_dim = 128,
	.vocab_size = 128256,
	.ffn_mats = 3,
};

static struct jt_node_options options(uint32_t max_seqs, uint32_t max_batch_tokens)
{
	return (struct jt_node_options){ .arch = arch,
		                         .gpu = *jt__gpu_find("A100-SXM4-80GB"),
		                         .sched = { .max_seqs = max_seqs,
		                                    .max_batch_tokens = max_batch_tokens,
		                                    .chunked_prefill = true,
		                                    .reserve_prompt = true },
		                         .begin_ns = START_NS };
}

static struct jt_node *node(uint32_t max_seqs, uint32_t max_batch_tokens)
{
	struct jt_node_options o = options(max_seqs, max_batch_tokens);
	struct jt_node *n = NULL;

	check(jt__node_new(&o, &n, NULL) == JT_OK);
	return n;
}

static struct jt_node_truth truth_of(const struct jt_node *n, uint64_t id)
{
	struct jt_node_truth t = { 0 };

	check(jt__node_truth(n, id, &t) == JT_OK);
	return t;
}

/* Steps until nothing is left; returns the end of the last step. */
static uint64_t run(struct jt_node *n, uint64_t t_ns)
{
	struct jt_node_step step;

	while (jt__node_step(n, t_ns, &step) > 0)
		t_ns = step.end_ns;
	return t_ns;
}

#define N_RANDOM 200

/* A random load with pauses and cancellations; returns when it is over. */
static uint64_t random_load(struct jt_node *n, uint64_t seed)
{
	struct jt_rng rng = { seed };
	uint64_t t_ns = START_NS + JT_NS_PER_S, id = 0;
	struct jt_node_step step;

	while (id < N_RANDOM) {
		for (uint64_t k = jt__rng_below(&rng, 4); k > 0 && id < N_RANDOM; k--)
			jt__node_submit(n, t_ns, id++, 1 + (uint32_t)jt__rng_below(&rng, 3000),
			                1 + (uint32_t)jt__rng_below(&rng, 60));
		if (jt__rng_below(&rng, 10) == 0 && id > 0)
			jt__node_cancel(n, jt__rng_below(&rng, id));
		if (jt__node_step(n, t_ns, &step) > 0)
			t_ns = step.end_ns;
		else
			t_ns += jt__rng_below(&rng, JT_NS_PER_S);
	}
	return run(n, t_ns) + JT_NS_PER_S;
}

static void requests_and_idle_add_up_to_the_nodes_energy(void)
{
	/* With all of the GPU's memory, and with so little that requests push each other out. */
	for (uint64_t n_blocks = 0; n_blocks <= 200; n_blocks += 200) {
		struct jt_node_options o = options(8, 512);
		struct jt_node *n = NULL;
		uint64_t end_ns, n_preempted = 0;
		double sum_j, all_j;

		o.sched.kv.n_blocks = n_blocks;
		check(jt__node_new(&o, &n, NULL) == JT_OK);
		end_ns = random_load(n, 1);
		sum_j = jt__node_idle_j(n, end_ns);
		all_j = jt__node_energy_j(n, end_ns);
		for (uint64_t id = 0; id < N_RANDOM; id++) {
			struct jt_node_truth t = truth_of(n, id);

			sum_j += t.prefill_j + t.decode_j;
			n_preempted += t.n_preempted;
			check(t.dynamic_j <= t.prefill_j + t.decode_j);
			check(t.finished_ns != JT_NONE);
		}
		check(all_j > 1000 && (n_preempted > 0) == (n_blocks > 0));
		check_near(sum_j, all_j, 1e-9 * all_j);
		jt__node_free(n);
	}
}

static void equal_calls_give_equal_results(void)
{
	struct jt_node *a = node(8, 512), *b = node(8, 512);
	uint64_t end_ns = random_load(a, 5);

	check(random_load(b, 5) == end_ns);
	check(jt__node_energy_j(a, end_ns) == jt__node_energy_j(b, end_ns));
	for (uint64_t id = 0; id < N_RANDOM; id++) {
		struct jt_node_truth x = truth_of(a, id), y = truth_of(b, id);

		check(memcmp(&x, &y, offsetof(struct jt_node_truth, n_preempted)) == 0);
		check(x.n_preempted == y.n_preempted);
	}
	jt__node_free(a);
	jt__node_free(b);
}

static void energy_never_falls_and_its_slope_is_the_power(void)
{
	struct jt_node *n = node(4, 256);
	struct jt_node_step step;
	double last_j = -1;
	uint64_t t_ns = START_NS;

	check(jt__node_energy_j(n, START_NS) == 0);
	jt__node_submit(n, t_ns, 1, 1000, 20);
	while (jt__node_step(n, t_ns, &step) > 0) {
		double begin_j = jt__node_energy_j(n, step.begin_ns);
		double end_j = jt__node_energy_j(n, step.end_ns);
		uint64_t half_ns = (step.begin_ns + step.end_ns) / 2;

		check(begin_j >= last_j - 1e-9);
		check_near(end_j - begin_j, step.energy_j, 1e-9);
		check_near(jt__node_energy_j(n, half_ns) - begin_j,
		           jt__node_power_w(n, half_ns) * (double)(half_ns - step.begin_ns) * 1e-9,
		           1e-9);
		check(jt__node_power_w(n, half_ns) > jt__node_power_w(n, step.end_ns));
		last_j = end_j;
		t_ns = step.end_ns + 1000;
	}
	jt__node_free(n);
}

static void requests_beyond_max_seqs_wait_their_turn(void)
{
	struct jt_node *n = node(2, 512);
	struct jt_node_truth t[4];

	for (uint64_t id = 0; id < 4; id++)
		check(jt__node_submit(n, START_NS, id, 50, 10) == JT_OK);
	check(jt__node_waiting(n) == 4);
	run(n, START_NS);
	for (uint64_t id = 0; id < 4; id++)
		t[id] = truth_of(n, id);
	check(t[0].started_ns == START_NS && t[1].started_ns == START_NS);
	check(t[2].started_ns >= t[0].finished_ns && t[3].started_ns >= t[0].finished_ns);
	check(t[2].submitted_ns == START_NS && t[2].output_tokens == 10);
	check(jt__node_waiting(n) == 0 && jt__node_running(n) == 0);
	jt__node_free(n);
}

static void a_long_prompt_is_prefilled_in_chunks_beside_decoding(void)
{
	struct jt_node *n = node(4, 100);
	struct jt_node_step s;
	uint64_t t_ns = START_NS;

	jt__node_submit(n, t_ns, 1, 50, 20);
	check(jt__node_step(n, t_ns, &s) == 1 && s.work.prefill_tokens == 50);
	check(s.n_events == 1 && s.events[0].first && s.events[0].new_tokens == 1);
	jt__node_submit(n, s.end_ns, 2, 150, 20);
	check(jt__node_step(n, s.end_ns, &s) == 1);
	check(s.work.decode_seqs == 1 && s.work.prefill_tokens == 99);
	check(s.n_events == 2 && s.events[0].new_tokens == 1 && s.events[1].new_tokens == 0);
	check(s.work.prefill_ctx_tokens == 99 * 50.0 && s.work.decode_ctx_tokens == 51);
	check(jt__node_step(n, s.end_ns, &s) == 1);
	check(s.work.decode_seqs == 1 && s.work.prefill_tokens == 51);
	check(s.n_events == 2 && s.events[1].id == 2 && s.events[1].first);
	check(jt__node_step(n, s.end_ns, &s) == 1 && s.work.decode_seqs == 2);
	check(s.work.decode_ctx_tokens == 53 + 151);
	jt__node_free(n);
}

static void a_request_in_the_future_is_not_started(void)
{
	struct jt_node *n = node(4, 100);
	struct jt_node_step s;

	jt__node_submit(n, START_NS + 1000, 1, 50, 1);
	check(jt__node_step(n, START_NS, &s) == 0);
	check(jt__node_step(n, START_NS + 1000, &s) == 1 && s.begin_ns == START_NS + 1000);
	jt__node_free(n);
}

static void a_cancelled_prefill_stops_costing(void)
{
	struct jt_node *n = node(4, 100);
	struct jt_node_step s;
	struct jt_node_truth t;

	jt__node_submit(n, START_NS, 1, 1000, 20);
	check(jt__node_step(n, START_NS, &s) == 1);
	check(jt__node_cancel(n, 1) == JT_OK);
	check(jt__node_step(n, s.end_ns, &s) == 0);
	t = truth_of(n, 1);
	check_near(t.prefill_j, s.energy_j, 1e-9 * s.energy_j);
	check(t.decode_j == 0 && t.output_tokens == 0 && t.first_ns == JT_NONE);
	check(t.finished_ns == s.end_ns);
	check(jt__node_cancel(n, 1) == JT_ENOENT && jt__node_cancel(n, 2) == JT_ENOENT);
	jt__node_free(n);
}

static void a_cancelled_decode_makes_room_for_the_next(void)
{
	struct jt_node *n = node(1, 100);
	struct jt_node_step s = { .end_ns = START_NS };

	for (uint64_t id = 1; id <= 3; id++)
		jt__node_submit(n, START_NS, id, 10, 20);
	for (int i = 0; i < 5; i++)
		check(jt__node_step(n, s.end_ns, &s) == 1);
	check(jt__node_cancel(n, 1) == JT_OK && jt__node_cancel(n, 3) == JT_OK);
	check(truth_of(n, 1).output_tokens == 5);
	check(jt__node_step(n, s.end_ns, &s) == 1 && s.n_events == 1 && s.events[0].id == 2);
	run(n, s.end_ns);
	check(truth_of(n, 2).output_tokens == 20);
	check(truth_of(n, 3).started_ns == JT_NONE && truth_of(n, 3).prefill_j == 0);
	/* The queue is in order after losing its tail. */
	check(jt__node_submit(n, s.end_ns, 4, 10, 1) == JT_OK);
	run(n, s.end_ns);
	check(truth_of(n, 4).output_tokens == 1);
	jt__node_free(n);
}

/* Decoding @n_seqs together: joules per token of the step in which all decode. */
static double joules_per_token(uint32_t n_seqs)
{
	struct jt_node *n = node(64, 8192);
	struct jt_node_step s;
	double j;

	for (uint64_t id = 0; id < n_seqs; id++)
		jt__node_submit(n, START_NS, id, 100, 10);
	check(jt__node_step(n, START_NS, &s) == 1 && jt__node_step(n, s.end_ns, &s) == 1);
	check(s.n_events == n_seqs);
	j = s.energy_j / n_seqs;
	jt__node_free(n);
	return j;
}

static void a_token_gets_cheaper_with_the_batch(void)
{
	double last_j = joules_per_token(1);

	for (uint32_t b = 2; b <= 64; b *= 2) {
		double j = joules_per_token(b);

		check(j < last_j && j > last_j / 2);
		last_j = j;
	}
	check(joules_per_token(1) > 10 * last_j);
}

static void equal_requests_cost_the_same_and_longer_ones_more(void)
{
	struct jt_node *n = node(8, 8192);

	jt__node_submit(n, START_NS, 1, 500, 30);
	jt__node_submit(n, START_NS, 2, 500, 30);
	jt__node_submit(n, START_NS, 3, 1000, 30);
	jt__node_submit(n, START_NS, 4, 500, 40);
	run(n, START_NS);
	check(truth_of(n, 1).prefill_j == truth_of(n, 2).prefill_j);
	check(truth_of(n, 1).decode_j == truth_of(n, 2).decode_j);
	check(truth_of(n, 3).prefill_j > truth_of(n, 1).prefill_j);
	check(truth_of(n, 3).decode_j > truth_of(n, 1).decode_j);
	check(truth_of(n, 4).decode_j > 1.3 * truth_of(n, 1).decode_j);
	jt__node_free(n);
}

static void more_tokens_than_kv_memory_are_refused_or_wait(void)
{
	struct jt_node_options o = options(4, 100000);
	struct jt_node *n = NULL;
	struct jt_error err;

	o.gpu.mem_gb = 20; /* 18 GB usable, 16.06 GB of weights: 14.8 thousand tokens */
	check(jt__node_new(&o, &n, NULL) == JT_OK);
	check(jt__node_submit(n, START_NS, 1, 15000, 10) == JT_ELIMIT);
	check(jt__node_submit(n, START_NS, 2, 9000, 10) == JT_OK);
	check(jt__node_submit(n, START_NS, 3, 9000, 10) == JT_OK);
	run(n, START_NS);
	check(truth_of(n, 3).started_ns >= truth_of(n, 2).finished_ns);
	jt__node_free(n);
	o.gpu.mem_gb = 17;
	check(jt__node_new(&o, &n, &err) == JT_EINVAL && strstr(err.message, "does not fit"));
	o = options(4, 100);
	o.sched.kv.n_blocks = UINT32_MAX;
	check(jt__node_new(&o, &n, &err) == JT_EINVAL && strstr(err.message, "blocks"));
}

static void refuses_ids_twice_and_empty_requests(void)
{
	struct jt_node *n = node(4, 100);
	struct jt_node_truth t;

	check(jt__node_submit(n, START_NS, 1, 10, 1) == JT_OK);
	check(jt__node_submit(n, START_NS, 1, 10, 1) == JT_EINVAL);
	check(jt__node_submit(n, START_NS, 2, 0, 1) == JT_EINVAL);
	check(jt__node_submit(n, START_NS, 2, 1, 0) == JT_EINVAL);
	jt__node_forget(n, 1);
	jt__node_forget(n, 1);
	check(jt__node_truth(n, 1, &t) == JT_ENOENT && jt__node_waiting(n) == 0);
	check(jt__node_submit(n, START_NS, 1, 10, 1) == JT_OK);
	jt__node_free(n);
}

static void keeps_thousands_of_truths_until_forgotten(void)
{
	struct jt_node *n = node(4, 100);
	struct jt_node_truth t;

	for (uint64_t id = 0; id < 5000; id++)
		check(jt__node_submit(n, START_NS, id * 7, 1, 1) == JT_OK);
	run(n, START_NS);
	for (uint64_t id = 0; id < 5000; id += 2)
		jt__node_forget(n, id * 7);
	for (uint64_t id = 0; id < 5000; id++)
		check(jt__node_truth(n, id * 7, &t) == (id % 2 ? JT_OK : JT_ENOENT));
	jt__node_free(n);
}

static void survives_running_out_of_memory(void)
{
	struct jt_node_options o = options(4, 100);
	struct jt_node *n = NULL;
	struct jt_node_step s;
	int status = JT_ENOMEM, n_failed = 0;

	for (uint64_t nth = 1; status == JT_ENOMEM; nth++) {
		jt__alloc_fail_at(nth);
		status = jt__node_new(&o, &n, NULL);
	}
	jt__alloc_fail_at(1);
	check(jt__node_submit(n, START_NS, 0, 10, 1) == JT_ENOMEM);
	check(jt__node_waiting(n) == 0 && jt__node_submit(n, START_NS, 0, 10, 1) == JT_OK);
	/* A table that cannot grow still finds everything. */
	for (uint64_t id = 1; id < 200; id++) {
		jt__alloc_fail_at(2);
		check(jt__node_submit(n, START_NS, id, 10, 1) == JT_OK);
	}
	/* A step that found no memory has not been. */
	status = 1;
	for (uint64_t i = 0; status != 0; i++) {
		double before_j = jt__node_energy_j(n, 2 * START_NS);

		jt__alloc_fail_at(1 + i % 4);
		status = jt__node_step(n, START_NS, &s);
		if (status == JT_ENOMEM)
			check(jt__node_energy_j(n, 2 * START_NS) == before_j);
		n_failed += status == JT_ENOMEM;
	}
	jt__alloc_fail_at(0);
	check(n_failed > 2);
	for (uint64_t id = 0; id < 200; id++)
		check(truth_of(n, id).output_tokens == 1);
	jt__node_free(n);
	jt__node_free(NULL);
}

int main(void)
{
	test(requests_and_idle_add_up_to_the_nodes_energy);
	test(equal_calls_give_equal_results);
	test(energy_never_falls_and_its_slope_is_the_power);
	test(requests_beyond_max_seqs_wait_their_turn);
	test(a_long_prompt_is_prefilled_in_chunks_beside_decoding);
	test(a_request_in_the_future_is_not_started);
	test(a_cancelled_prefill_stops_costing);
	test(a_cancelled_decode_makes_room_for_the_next);
	test(a_token_gets_cheaper_with_the_batch);
	test(equal_requests_cost_the_same_and_longer_ones_more);
	test(more_tokens_than_kv_memory_are_refused_or_wait);
	test(refuses_ids_twice_and_empty_requests);
	test(keeps_thousands_of_truths_until_forgotten);
	test(survives_running_out_of_memory);
	return tap_done();
}
