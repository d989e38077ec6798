/* SPDX-License-Identifier: Apache-2.0 */
/* Any cluster, any options, any requests: what must hold whatever they are. */
#include "tap.h"

#define must(cond) check(cond)
#include "random_world.h"

#define MANY 200

static struct tree dir;
static uint32_t world_seed; /* of the world that is looked at, for a complaint */

static struct random_world world_of(uint32_t seed)
{
	struct jt_rng rng = { seed };
	struct random_world w = world_random(world_from_rng, &rng);

	world_seed = seed;
	world_put_requests(&dir, &w);
	return w;
}

/* True if it came to its end. What does not fit says so. */
static bool run_to_end(struct world_run *r, const struct random_world *w, uint64_t slice)
{
	int failed_before = tap_in_test;

	if (world_open(r, &dir, w)) {
		uint64_t n_calls = 0;

		do
			r->status = jt__sim_run(r->sim, slice, &r->err);
		while (r->status > 0 && check(++n_calls < 1000000));
		if (r->status == 0)
			world_check(r, w);
	} else {
		r->status = r->err.status;
	}
	check(r->status <= 0 && (r->status == 0) == (r->err.message[0] == '\0'));
	if (tap_in_test != failed_before)
		printf("# in world %u: %s: %s\n", world_seed, r->err.where, r->err.message);
	return r->status == 0;
}

static void every_request_ends_and_everything_adds_up(void)
{
	uint32_t n_ended = 0;

	for (uint32_t seed = 1; seed <= MANY; seed++) {
		struct random_world w = world_of(seed);
		struct world_run r;

		n_ended += run_to_end(&r, &w, UINT32_MAX);
		if (!check(r.status == JT_OK || r.status == JT_ELIMIT))
			printf("# in world %u: %s: %s\n", seed, r.err.where, r.err.message);
		world_close(&r);
	}
	check(n_ended > MANY * 3 / 4);
}

static void equal_runs_are_equal_however_they_are_cut(void)
{
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct random_world w = world_of(seed);
		struct world_run a, b, c;

		run_to_end(&a, &w, UINT32_MAX);
		run_to_end(&b, &w, UINT32_MAX);
		run_to_end(&c, &w, 1);
		check(a.status == b.status && a.hash == b.hash && a.hash == c.hash);
		for (uint32_t i = 0; a.status == 0 && i < a.cluster->n_nodes; i++) {
			struct jt_sim_joules ja, jb, jc;

			jt__sim_joules(a.sim, i, &ja);
			jt__sim_joules(b.sim, i, &jb);
			jt__sim_joules(c.sim, i, &jc);
			check(memcmp(&ja, &jb, sizeof(ja)) == 0 &&
			      memcmp(&ja, &jc, sizeof(ja)) == 0);
		}
		world_close(&a);
		world_close(&b);
		world_close(&c);
	}
}

/* What is about energy alone moves no request. */
static void the_bill_changes_no_time(void)
{
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct random_world w = world_of(seed);
		struct jt_quirks *q = &w.options.quirks;
		struct world_run a, b;

		q->early_booking = q->stage_bytes = q->one_rank_links = q->cxl_in_dram =
			q->twice_kv = false;
		run_to_end(&a, &w, UINT32_MAX);
		q->early_booking = q->stage_bytes = q->one_rank_links = q->cxl_in_dram =
			q->twice_kv = true;
		run_to_end(&b, &w, UINT32_MAX);
		check(a.status == b.status && a.hash == b.hash);
		world_close(&a);
		world_close(&b);
	}
}

/* With energy where it is used: between beats no less than the base, and all of it in the end. */
static void the_beats_tell_all_of_the_energy(void)
{
	for (uint32_t seed = 1; seed <= 150; seed++) {
		struct random_world w = world_of(seed);
		struct jt_sim_joules j;
		struct world_run r;
		double base_w = 0, total_j = 0, seconds;

		w.options.quirks = (struct jt_quirks){ 0 };
		w.options.log_interval_s = 0.0001;
		if (w.apart_ns > JT_NS_PER_S)
			w.options.log_interval_s = 100;
		w.spec.power = true;
		if (run_to_end(&r, &w, UINT32_MAX)) {
			double slack_j;

			for (uint32_t n = 0; n < r.cluster->n_nodes; n++) {
				jt__sim_joules(r.sim, n, &j);
				total_j += j.total_j;
				for (int c = 0; c < JT_N_COMPONENTS; c++)
					base_w += r.sim->nodes[n].base_w[c];
			}
			seconds = (double)(r.sim->t_ns - r.last_beat_ns) * 1e-9;
			slack_j = 0.005 * r.cluster->n_nodes * (double)r.sim->t_ns * 1e-9 +
			          1e-9 * total_j;
			check(total_j - r.beats_j >= base_w * seconds - slack_j);
			/* What is left came after the last beat: less than all NPUs at work, and
			 * the rest. */
			check(total_j - r.beats_j <=
			      (base_w + 800.0 * r.cluster->n_npus) * seconds + slack_j +
			              (r.n_beats ? 0 : total_j));
		}
		world_close(&r);
	}
}

/* Two instances that nobody needs: standby for a second, then idle, seen to the instant. */
static void standby_ends_when_it_is_to_end(void)
{
	struct random_world w = { .spec = { .n_instances = 2, .power = true, .standby_s = 0.5 },
		                  .serving = JT_SERVING_DEFAULTS,
		                  .options = { .log_interval_s = 0.25 } };
	struct jt_sim_joules j;
	struct world_run r;

	tree_put(&dir, "/trace.jsonl",
	         "{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":0}\n"
	         "{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":86400000000000}\n");
	check(run_to_end(&r, &w, UINT32_MAX));
	jt__sim_joules(r.sim, 0, &j);
	/* Each works once, stands by for half a second behind that unless the run is over, and one
	 * of them did before its first work. */
	check(j.npu_standby_j >= 265 * 0.5 && j.npu_standby_j <= 265 * 1.51);
	check_near(j.npu_idle_j, 70 * 86400, 0.1);
	world_close(&r);
}

static void gaps_of_days_are_jumped_over(void)
{
	for (int quirks = 0; quirks < 2; quirks++) {
		struct random_world w = {
			.spec = { .n_instances = 2, .power = true, .standby_s = 18 },
			.serving = JT_SERVING_DEFAULTS,
			.options = { .log_interval_s = 1e6 }
		};
		struct world_run r;

		if (quirks)
			memset(&w.options.quirks, true, sizeof(w.options.quirks));
		tree_put(&dir, "/trace.jsonl",
		         "{\"input_toks\":1,\"output_toks\":3,\"arrival_time_ns\":0}\n"
		         "{\"input_toks\":1,\"output_toks\":3,\"arrival_time_ns\":86400000000000}\n"
		         "{\"input_toks\":1,\"output_toks\":3,\"arrival_time_ns\":"
		         "1000000000000000000}\n");
		check(run_to_end(&r, &w, UINT32_MAX));
		check(r.n_beats == 1000 + !quirks && r.n_finished == 3); /* and the rest */
		check(r.sim->t_ns >= UINT64_C(1000000000000000000));
		world_close(&r);
	}
}

/* One NPU, nobody waits: every time can be worked out in the head. */
static void one_request_alone_takes_what_its_layers_take(void)
{
	struct random_world w = { .spec = { .n_instances = 1 },
		                  .serving = JT_SERVING_DEFAULTS,
		                  .options = { .log_interval_s = 1 } };
	uint64_t step1 = 31 * WORLD_LAYER_NS(1) + 4 * WORLD_ATTENTION_NS + 2 * 100;
	uint64_t step50 =
		30 * WORLD_LAYER_NS(50) + WORLD_LAYER_NS(1) + 4 * WORLD_ATTENTION_NS + 2 * 120;
	struct world_run r;

	tree_put(&dir, "/trace.jsonl",
	         "{\"input_toks\":50,\"output_toks\":3,\"arrival_time_ns\":77}\n");
	check(run_to_end(&r, &w, UINT32_MAX));
	check(r.sim->t_ns == 77 + step50 + 2 * step1);
	world_close(&r);
}

/* Twelve prompts fit into the KV cache, but not what they grow to. */
static void who_is_pushed_out_still_gets_all_its_tokens(void)
{
	for (int pp = 1; pp <= 2; pp++) {
		struct random_world w = { .spec = { .n_instances = 1, .power = true },
			                  .serving = JT_SERVING_DEFAULTS,
			                  .options = { .log_interval_s = 1 } };
		FILE *f = world_file(&dir, "/trace.jsonl");
		struct jt_sim_totals n;
		struct world_run r;

		for (int i = 0; i < 30; i++)
			fputs("{\"input_toks\":60,\"output_toks\":60,\"arrival_time_ns\":0}\n", f);
		fclose(f);
		w.spec.instances[0] =
			(struct world_instance){ .mem_gb = 0.001, .pp = (uint32_t)pp };
		check(run_to_end(&r, &w, UINT32_MAX));
		jt__sim_totals(r.sim, &n);
		check(n.preemptions > 0 && n.recomputed_tokens > 0);
		world_close(&r);
	}
}

static void no_memory_is_told_at_any_allocation(void)
{
	const uint32_t seeds[] = { 2, 3, 5, 8, 11, 17 };

	for (size_t i = 0; i < JT_ARRAY_LEN(seeds); i++) {
		struct random_world w = world_of(seeds[i]);
		struct world_run r;
		uint64_t nth, step = 1;

		w.n_lines = JT_MIN(w.n_lines, 6u);
		world_put_requests(&dir, &w);
		run_to_end(&r, &w, UINT32_MAX);
		world_close(&r);
		if (r.status < 0)
			continue;
		for (nth = 1; nth<100000; nth += step, step += nth> 200 ? 7 : 0) {
			bool opened;

			jt__alloc_fail_at(nth);
			opened = world_open(&r, &dir, &w);
			r.status = opened ? jt__sim_run(r.sim, UINT32_MAX, &r.err) : r.err.status;
			jt__alloc_fail_at(0);
			check(r.status == JT_OK || r.status == JT_ENOMEM);
			check((r.status < 0) == (r.err.message[0] != '\0'));
			world_close(&r);
			if (r.status == JT_OK)
				break;
		}
		check(nth > 20 && nth < 100000);
	}
}

static void what_cannot_be_said_is_refused(void)
{
	struct random_world w = { .spec = { .n_instances = 1 },
		                  .serving = JT_SERVING_DEFAULTS,
		                  .options = { .log_interval_s = 0 } };
	struct world_run r;

	tree_put(&dir, "/trace.jsonl",
	         "{\"input_toks\":50,\"output_toks\":3,\"arrival_time_ns\":77}\n");
	check(!world_open(&r, &dir, &w) && strstr(r.err.message, "is not a time"));
	world_close(&r);
	w.options.log_interval_s = 1;
	w.options.prefix_store = JT_PREFIX_CXL;
	check(!world_open(&r, &dir, &w) && strstr(r.err.message, "cxl_mem"));
	world_close(&r);
	w.options.prefix_store = JT_PREFIX_NONE;
	w.spec.instances[0].mem_gb = 0.001;
	tree_put(&dir, "/trace.jsonl",
	         "{\"input_toks\":5000,\"output_toks\":3,\"arrival_time_ns\":77}\n");
	check(world_open(&r, &dir, &w));
	check(jt__sim_run(r.sim, 1, &r.err) == JT_ELIMIT && strstr(r.err.message, "request 0"));
	check(jt__sim_run(r.sim, 1, &r.err) == JT_ELIMIT); /* and stays so */
	world_close(&r);
	tree_put(&dir, "/trace.jsonl", "");
	check(!world_open(&r, &dir, &w) && r.err.status == JT_EINVAL);
	world_close(&r);
}

int main(void)
{
	dir = world_new();
	test(one_request_alone_takes_what_its_layers_take);
	test(every_request_ends_and_everything_adds_up);
	test(equal_runs_are_equal_however_they_are_cut);
	test(the_bill_changes_no_time);
	test(the_beats_tell_all_of_the_energy);
	test(standby_ends_when_it_is_to_end);
	test(gaps_of_days_are_jumped_over);
	test(who_is_pushed_out_still_gets_all_its_tokens);
	test(no_memory_is_told_at_any_allocation);
	test(what_cannot_be_said_is_refused);
	tree_free(&dir);
	return tap_done();
}
