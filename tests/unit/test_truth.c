/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>
#include "tap.h"
#include "jouletap/record.h"
#include "model/sched.h"
#include "simulator/truth.h"

#define MOST 40

/* Reading weights costs the same for all, computing by size, and the longer of the two is paid. */
static struct toy {
	double size[MOST];
	double sum;
	uint32_t n;
	uint32_t fails_at; /* so many prices from now; 0: never */
} toy;

static void toy_clear(void *user)
{
	struct toy *t = user;

	t->sum = 0;
	t->n = 0;
}

static void toy_join(void *user, uint32_t player)
{
	struct toy *t = user;

	t->sum += t->size[player];
	t->n++;
}

static double toy_price(double sum, uint32_t n)
{
	return n ? fmax(10 + 0.1 * n, sum) + 0.01 * sum * sum : 0;
}

static int toy_cost(void *user, double *ret_j)
{
	struct toy *t = user;

	if (t->fails_at && --t->fails_at == 0)
		return JT_ENOMEM;
	*ret_j = toy_price(t->sum, t->n);
	return JT_OK;
}

static const struct jt_game game = { &toy, toy_clear, toy_join, toy_cost };

static double price_of(uint32_t members, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += members >> i & 1 ? toy.size[i] : 0;
	return toy_price(sum, (uint32_t)__builtin_popcount(members));
}

/* By the definition: over all coalitions without @player, weighted by |S|! (n - |S| - 1)! / n!. */
static double by_enumeration(uint32_t player, uint32_t n)
{
	double value = 0;

	for (uint32_t s = 0; s < 1u << n; s++) {
		uint32_t k = (uint32_t)__builtin_popcount(s);

		if (s >> player & 1)
			continue;
		value += (price_of(s | 1u << player, n) - price_of(s, n)) *
		         exp(lgamma(k + 1) + lgamma(n - k) - lgamma(n + 1));
	}
	return value;
}

static void solve(uint32_t n, uint32_t n_pairs, uint64_t seed, struct jt_share *shares)
{
	struct jt_shapley w = { .n_pairs = n_pairs, .rng = { seed } };

	check(jt__shapley(&w, &game, n, shares) == JT_OK);
	jt__shapley_fini(&w);
}

static void set_sizes(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		toy.size[i] = i % 3 == 0 ? 6.5 : 0.2 + 0.1 * (i % 7);
}

static double sum_of(const struct jt_share *shares, uint32_t n)
{
	double sum_j = 0;

	for (uint32_t i = 0; i < n; i++)
		sum_j += shares[i].shapley_j;
	return sum_j;
}

static void a_lone_sequence_gets_all(void)
{
	struct jt_share share;

	set_sizes(1);
	solve(1, 2, 1, &share);
	check_near(share.shapley_j, price_of(1, 1), 1e-12);
	check_near(share.marginal_j, price_of(1, 1), 1e-12);
	check(share.variance == 0);
}

static void of_few_the_value_is_exact(void)
{
	struct jt_share shares[MOST];

	set_sizes(MOST);
	for (uint32_t n = 1; n <= JT_SHAPLEY_EXACT; n++) {
		solve(n, 2, n, shares);
		for (uint32_t i = 0; i < n; i++) {
			check_near(shares[i].shapley_j, by_enumeration(i, n), 1e-10);
			check(shares[i].variance == 0);
		}
	}
}

static void of_more_it_is_within_the_error_it_states(void)
{
	struct jt_share shares[MOST];
	const uint32_t n = 12;
	int n_near = 0;

	set_sizes(n);
	solve(n, 200, 3, shares);
	for (uint32_t i = 0; i < n; i++) {
		double error = sqrt(shares[i].variance), off;

		off = fabs(shares[i].shapley_j - by_enumeration(i, n));
		check(error > 0 && error < 0.05 * shares[i].shapley_j);
		check(off < 5 * error);
		n_near += off < 2 * error;
	}
	check(n_near >= 9);
}

static void shares_add_up_to_the_whole(void)
{
	struct jt_share shares[MOST];

	for (uint32_t n = 1; n <= MOST; n++) {
		set_sizes(n);
		toy_clear(&toy);
		for (uint32_t i = 0; i < n; i++)
			toy_join(&toy, i);
		solve(n, 2, n, shares);
		check_near(sum_of(shares, n), toy_price(toy.sum, n), 1e-9);
	}
}

static void equals_are_given_the_same(void)
{
	struct jt_share shares[MOST];

	set_sizes(MOST);
	toy.size[0] = toy.size[2] = 3;
	solve(4, 2, 1, shares);
	check_near(shares[0].shapley_j, shares[2].shapley_j, 1e-12);
	solve(30, 64, 1, shares);
	check_near(shares[0].shapley_j, shares[2].shapley_j,
	           4 * sqrt(shares[0].variance + shares[2].variance));
	check(shares[0].marginal_j == shares[2].marginal_j);
}

static void a_shared_part_and_own_parts_need_no_sampling(void)
{
	struct jt_share shares[MOST];

	for (uint32_t i = 0; i < MOST; i++)
		toy.size[i] = 1e-9; /* only 10 + 0.1 a player is left */
	solve(MOST, 2, 1, shares);
	for (uint32_t i = 0; i < MOST; i++) {
		check_near(shares[i].shapley_j, 10.0 / MOST + 0.1, 1e-6);
		check_near(shares[i].marginal_j, 0.1, 1e-6);
	}
}

static void what_a_sequence_adds_last_is_less_than_its_share(void)
{
	struct jt_share shares[MOST];
	double sum_j = 0;

	for (uint32_t i = 0; i < 20; i++)
		toy.size[i] = 0.3;
	solve(20, 2, 1, shares);
	for (uint32_t i = 0; i < 20; i++)
		sum_j += shares[i].marginal_j;
	check(sum_j < 0.5 * sum_of(shares, 20));
}

static void one_seed_gives_one_answer(void)
{
	struct jt_share a[MOST], b[MOST], c[MOST];

	set_sizes(MOST);
	solve(MOST, 4, 9, a);
	solve(MOST, 4, 9, b);
	solve(MOST, 4, 10, c);
	check(memcmp(a, b, sizeof(a)) == 0);
	check(memcmp(a, c, sizeof(a)) != 0);
}

static void a_price_that_fails_is_told(void)
{
	struct jt_share shares[MOST];
	struct jt_shapley w = { .n_pairs = 2 };

	set_sizes(MOST);
	for (uint32_t n = 3; n <= 8; n += 5) {
		for (uint32_t at = 1; at < 20; at += 3) {
			toy.fails_at = at;
			check(jt__shapley(&w, &game, n, shares) == JT_ENOMEM);
		}
	}
	toy.fails_at = 0;
	jt__shapley_fini(&w);
}

static void without_memory_it_says_so_and_goes_on_later(void)
{
	struct jt_share shares[MOST];
	struct jt_shapley w = { .n_pairs = 2 };
	int status = JT_ENOMEM;

	set_sizes(MOST);
	for (uint64_t nth = 1; status == JT_ENOMEM && nth < 20; nth++) {
		jt__alloc_fail_at(nth);
		status = jt__shapley(&w, &game, MOST, shares);
		check(status == JT_OK || nth < 6);
	}
	jt__alloc_fail_at(0);
	check(status == JT_OK);
	jt__shapley_fini(&w);
}

/* ---- over a simulation ---- */

#define DATA JT_SOURCE_ROOT "/data/"

static struct {
	struct jt_sim *sim;
	struct jt_truth *powered, *roofline;
	double powered_j, roofline_j;
	uint32_t n_batches, largest;
	double prefill_alone_j; /* of the first batch, if it was of one sequence */
} world;

static void on_batch(void *user, const struct jt_sim_batch *b)
{
	double j = 0;

	(void)user;
	check(jt__truth_batch(world.powered, world.sim, b, &j) == JT_OK);
	check_near(j, b->dynamic_j, 1e-9 * j);
	world.powered_j += j;
	check(jt__truth_batch(world.roofline, world.sim, b, &j) == JT_OK);
	world.roofline_j += j;
	if (world.n_batches++ == 0 && b->batch->n_items == 1)
		world.prefill_alone_j = b->dynamic_j;
	world.largest = JT_MAX(world.largest, b->batch->n_items);
}

/* Sixteen requests on one GPU, the first by itself for a while. */
static int open_requests(struct jt_workload **ret_workload, struct jt_error *err)
{
	char path[32];
	int fd = memfd_create("requests", 0), status;

	for (int i = 0; i < 16; i++)
		dprintf(fd, "{\"input_toks\":%d,\"output_toks\":%d,\"arrival_time_ns\":%d}\n",
		        100 + 150 * i, 60 + 5 * i, i * 100000000);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	status = jt__workload_open(path, 0, ret_workload, err);
	close(fd);
	return status;
}

static bool run_world(uint64_t seed)
{
	struct jt_cluster_where where = {
		.path = DATA "simulator/configs/cluster/single_node_power_instance.json",
		.data = DATA
	};
	struct jt_serving_defaults d = JT_SERVING_DEFAULTS;
	struct jt_sim_options o = { .profiles = DATA "simulator/profiler", .log_interval_s = 1 };
	struct jt_sim_observer ob = { .batch = on_batch };
	struct jt_truth_options to = { .n_pairs = 2, .seed = seed };
	struct jt_cluster *c = NULL;
	struct jt_workload *w = NULL;
	struct jt_error err = { .message = "" };
	bool ok;

	memset(&world, 0, sizeof(world));
	ok = jt__cluster_load(&where, &d, &c, &err) == JT_OK && open_requests(&w, &err) == JT_OK &&
	     jt__truth_new(&to, &world.powered, &err) == JT_OK &&
	     jt__sim_new(c, w, &o, &ob, &world.sim, &err) == JT_OK;
	if (ok) {
		to.gpu = jt__gpu_find("RTX-PRO-6000-96GB");
		to.arch = &c->instances[0].model->arch;
		ok = jt__truth_new(&to, &world.roofline, &err) == JT_OK &&
		     jt__sim_run(world.sim, UINT64_MAX / 2, &err) == 0;
	}
	if (!ok)
		printf("# %s\n", err.message);
	jt__sim_free(world.sim);
	jt__workload_free(w);
	jt__cluster_free(c);
	return ok;
}

static void end_world(void)
{
	jt__truth_free(world.powered);
	jt__truth_free(world.roofline);
}

static double of_all(const struct jt_truth *t, bool marginal)
{
	double sum_j = 0;

	for (uint64_t id = 0; id < 16; id++) {
		struct jt_share s = jt__truth_of(t, id);

		check(s.shapley_j > 0 && s.marginal_j >= 0 && s.variance >= 0);
		sum_j += marginal ? s.marginal_j : s.shapley_j;
	}
	return sum_j;
}

static void requests_have_all_the_joules_of_their_batches(void)
{
	if (check(run_world(1))) {
		check(world.n_batches > 100 && world.largest > JT_SHAPLEY_EXACT);
		check_near(of_all(world.powered, false), world.powered_j, 1e-9 * world.powered_j);
		check_near(of_all(world.roofline, false), world.roofline_j,
		           1e-9 * world.roofline_j);
		check(of_all(world.powered, true) < 0.5 * world.powered_j);
		check(jt__truth_of(world.powered, 16).shapley_j == 0);
		check(jt__truth_of(world.powered, 1000000).shapley_j == 0);
	}
	end_world();
}

static void who_prefills_alone_has_that_batch(void)
{
	if (check(run_world(1))) {
		check(world.prefill_alone_j > 0);
		check(jt__truth_of(world.powered, 0).shapley_j > world.prefill_alone_j);
	}
	end_world();
}

static void a_simulation_gives_one_truth(void)
{
	double first_j[16];

	if (check(run_world(5))) {
		for (uint64_t id = 0; id < 16; id++)
			first_j[id] = jt__truth_of(world.powered, id).shapley_j;
		end_world();
		check(run_world(5));
		for (uint64_t id = 0; id < 16; id++)
			check(jt__truth_of(world.powered, id).shapley_j == first_j[id]);
	}
	end_world();
}

int main(void)
{
	test(a_lone_sequence_gets_all);
	test(of_few_the_value_is_exact);
	test(of_more_it_is_within_the_error_it_states);
	test(shares_add_up_to_the_whole);
	test(equals_are_given_the_same);
	test(a_shared_part_and_own_parts_need_no_sampling);
	test(what_a_sequence_adds_last_is_less_than_its_share);
	test(one_seed_gives_one_answer);
	test(a_price_that_fails_is_told);
	test(without_memory_it_says_so_and_goes_on_later);
	test(requests_have_all_the_joules_of_their_batches);
	test(who_prefills_alone_has_that_batch);
	test(a_simulation_gives_one_truth);
	return tap_done();
}
