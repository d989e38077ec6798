/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"
#include "base/rng.h"
#include "jouletap/record.h"
#include "simulator/wave.h"

#define CPU_NS(bytes) (100 + (uint64_t)(bytes) / 10) /* as the fabric below has it */
#define TOKENS 50
#define STEP_NS (30 * WORLD_LAYER_NS(TOKENS) + 4 * WORLD_ATTENTION_NS + WORLD_LAYER_NS(1))
#define BLOCK_NS (7 * WORLD_LAYER_NS(TOKENS) + WORLD_ATTENTION_NS)
#define IO_NS CPU_NS(4 * TOKENS) /* of the input, and of the output */

static struct tree dir;
static struct jt_error err;

/* A wave of a cluster's first instance, or of all of them. */
struct rig {
	struct jt_cluster *cluster;
	struct jt_profile *profile;
	struct jt_pricer *pricer;
	struct jt_work works[WORLD_MAX_INSTANCES];
	struct jt_memory cpu, cxl[2];
	struct jt_fabric fabric;
	struct jt_wave wave;
};

static void rig_open(struct rig *r, const struct world_spec *spec, uint32_t n_members)
{
	const struct jt_serving_defaults d = JT_SERVING_DEFAULTS;
	const struct jt_memory memory = { .bytes_per_ns = 10, .latency_ns = 100, .queued = true };
	const struct jt_shape shape = { .tokens = TOKENS,
		                        .sequences = 1,
		                        .attention = { .prefill_tokens = TOKENS } };
	struct jt_member members[WORLD_MAX_INSTANCES];
	struct jt_pricer_options o = { .cpu_bytes_per_ns = 10, .cpu_latency_ns = 100 };
	char root[128];
	struct jt_profile_where where = {
		.root = root, .hardware = "GPU", .type = "tiny", .variant = "bf16"
	};

	snprintf(root, sizeof(root), "%s/profiler", dir.root);
	*r = (struct rig){ .cpu = memory, .cxl = { memory, memory } };
	r->cluster = world_cluster(&dir, spec, &d, &err);
	if (!r->cluster) {
		printf("Bail out! %s: %s\n", err.where, err.message);
		exit(1);
	}
	o.in = &r->cluster->instances[0];
	o.node = &r->cluster->nodes[0];
	where.model = o.in->model->name;
	where.tp = o.in->tp;
	check(jt__profile_load(&where, &r->profile, &err) == JT_OK);
	o.profile = r->profile;
	check(jt__pricer_new(&o, &r->pricer, &err) == JT_OK);
	for (uint32_t i = 0; i < n_members; i++) {
		check(jt__price(r->pricer, &shape, &r->works[i]) == JT_OK);
		members[i] = (struct jt_member){ &r->cluster->instances[i], &r->works[i], 1 };
	}
	for (int i = 0; i < JT_CLUSTER_MAX_DIMS; i++)
		r->fabric.dims[i] = (struct jt_link){ .bytes_per_ns = 2,
			                              .latency_ns = 500,
			                              .reduce_bytes_per_ns = 20 };
	r->fabric.stage_dim = r->fabric.group_dim = 1;
	r->fabric.cpu = &r->cpu;
	r->fabric.cxl = r->cxl;
	check(jt__wave_open(&r->wave, &r->fabric, members, n_members) == JT_OK);
}

static void rig_close(struct rig *r)
{
	jt__wave_fini(&r->wave);
	for (uint32_t i = 0; i < WORLD_MAX_INSTANCES; i++)
		jt__work_fini(&r->works[i]);
	jt__pricer_free(r->pricer);
	jt__profile_free(r->profile);
	jt__cluster_free(r->cluster);
}

/* -- memories -- */

static void a_memory_serves_one_after_the_other(void)
{
	struct jt_memory m = { .bytes_per_ns = 10, .latency_ns = 100, .queued = true };

	check(jt__memory_access(&m, 1000, 500) == 1150);
	check(jt__memory_access(&m, 1000, 500) == 1300);
	check(jt__memory_access(&m, 1200, 0) == 1400);
	check(jt__memory_access(&m, 5000, 10) == 5101);
}

/* What was asked for later does not hold up what was asked for before, whoever is told first. */
static void the_order_is_that_of_asking(void)
{
	struct jt_memory m = { .bytes_per_ns = 10, .latency_ns = 100, .queued = true };

	check(jt__memory_access(&m, 2000, 1000) == 2200);
	check(jt__memory_access(&m, 500, 1000) == 700);
	check(jt__memory_access(&m, 600, 1000) == 900);
	check(jt__memory_access(&m, 2100, 1000) == 2400);
}

static void a_memory_without_a_queue_serves_all_at_once(void)
{
	struct jt_memory m = { .bytes_per_ns = 10, .latency_ns = 100 };

	for (int i = 0; i < 3; i++)
		check(jt__memory_access(&m, 1000, 500) == 1150);
}

static void more_than_it_remembers_still_queue(void)
{
	struct jt_memory m = { .bytes_per_ns = 1, .queued = true };

	for (uint64_t i = 1; i <= 500; i++)
		check(jt__memory_access(&m, 0, 10) == 10 * i);
}

/* -- waves -- */

static void one_rank_loads_computes_and_stores(void)
{
	const struct world_spec spec = { .n_instances = 1 };
	struct rig r;

	rig_open(&r, &spec, 1);
	check(jt__wave_end_ns(&r.wave, 0, 0) == JT_NONE && !jt__wave_has_begun(&r.wave, 0, 0));
	jt__wave_begin(&r.wave, 0, 0, 7000);
	check(jt__wave_has_begun(&r.wave, 0, 0));
	check(jt__wave_end_ns(&r.wave, 0, 0) == 7000 + IO_NS + STEP_NS + IO_NS);
	rig_close(&r);
}

/* Eight all-reduces; each rank loads input and stores output, the second behind the first. */
static void two_ranks_wait_for_each_other(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .tp = 2 } } };
	uint64_t bytes = TOKENS * 64 * 2, m = bytes / 2;
	uint64_t ring = 2 * (500 + m / 2) + 3 * (m / 20) + 30;
	struct rig r;

	rig_open(&r, &spec, 1);
	jt__wave_begin(&r.wave, 0, 0, 0);
	check(jt__wave_end_ns(&r.wave, 0, 0) == JT_NONE);
	jt__wave_begin(&r.wave, 0, 1, 1000);
	check(jt__wave_end_ns(&r.wave, 0, 0) != JT_NONE);
	/* Rank 1 is late from the first ring on: rank 0 hears a message later, itself not at all.
	 */
	check(jt__wave_end_ns(&r.wave, 0, 1) >= 1000 + IO_NS + STEP_NS + 7 * ring + IO_NS);
	check(jt__wave_end_ns(&r.wave, 0, 1) <= 1000 + IO_NS + STEP_NS + 8 * ring + 2 * IO_NS);
	rig_close(&r);
}

static void two_ranks_in_step_take_the_formula(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .tp = 2 } } };
	uint64_t m = TOKENS * 64, ring = 2 * (500 + m / 2) + 3 * (m / 20) + 30, a, b;
	struct rig r;

	rig_open(&r, &spec, 1);
	r.cpu.queued = false;
	jt__wave_begin(&r.wave, 0, 0, 0);
	jt__wave_begin(&r.wave, 0, 1, 0);
	a = jt__wave_end_ns(&r.wave, 0, 0);
	b = jt__wave_end_ns(&r.wave, 0, 1);
	check(a == b && a == IO_NS + STEP_NS + 8 * ring + IO_NS);
	rig_close(&r);
}

static void a_stage_hands_over_to_the_next(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .pp = 2 } } };
	uint64_t handed = 500 + TOKENS * 64 * 2 / 2;
	uint64_t first = IO_NS + WORLD_LAYER_NS(TOKENS) + 2 * BLOCK_NS + handed;
	uint64_t second = 2 * BLOCK_NS + WORLD_LAYER_NS(TOKENS) + WORLD_LAYER_NS(1) + IO_NS;
	struct rig r;

	rig_open(&r, &spec, 1);
	jt__wave_begin(&r.wave, 0, 0, 100);
	check(jt__wave_end_ns(&r.wave, 0, 0) == 100 + first);
	check(jt__wave_end_ns(&r.wave, 0, 1) == JT_NONE);
	jt__wave_begin(&r.wave, 0, 1, 200); /* and then waits for what comes */
	check(jt__wave_end_ns(&r.wave, 0, 1) == 100 + first + second);
	rig_close(&r);
}

static void a_late_stage_begins_when_it_is_told_to(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .pp = 2 } } };
	uint64_t second = 2 * BLOCK_NS + WORLD_LAYER_NS(TOKENS) + WORLD_LAYER_NS(1) + IO_NS;
	struct rig r;

	rig_open(&r, &spec, 1);
	jt__wave_begin(&r.wave, 0, 0, 100);
	jt__wave_begin(&r.wave, 0, 1, 100000000);
	check(jt__wave_end_ns(&r.wave, 0, 1) == 100000000 + second);
	rig_close(&r);
}

static void weights_from_the_cpu_are_loaded_in_layer_order(void)
{
	const struct world_spec spec = { .n_instances = 1,
		                         .instances = { { .more = ", \"placement\": {\"default\": "
		                                                  "{\"weights\": \"cpu\"}}" } } };
	uint64_t loaded_ns = 100 + 4 * TOKENS, weights = 0; /* behind the input */
	struct rig r;

	rig_open(&r, &spec, 1);
	r.cpu.bytes_per_ns = 1; /* slower than any layer */
	for (uint32_t i = 0; i < r.works[0].n_loads; i++) {
		weights += r.works[0].loads[i].bytes;
		loaded_ns += 100 + r.works[0].loads[i].bytes;
	}
	check(weights == jt__rank_weight_bytes(r.wave.members[0].in));
	jt__wave_begin(&r.wave, 0, 0, 0);
	check(jt__wave_end_ns(&r.wave, 0, 0) == loaded_ns + WORLD_LAYER_NS(1) + 100 + 4 * TOKENS);
	rig_close(&r);
}

/* -- who watches -- */

static void begin_all(struct rig *r, uint32_t n_members, uint64_t apart_ns)
{
	uint64_t t_ns = 0;

	for (uint32_t m = 0; m < n_members; m++) {
		for (uint32_t i = 0; i < r->wave.n_ranks; i++, t_ns += apart_ns)
			jt__wave_begin(&r->wave, m, i, t_ns);
	}
}

/* Events of one rank are known: input, every layer, output. */
static void a_watch_finds_the_first_event_of_one_rank(void)
{
	const struct world_spec spec = { .n_instances = 1 };
	uint64_t events[64], t_ns = IO_NS;
	uint32_t n = 0;
	struct rig r;

	rig_open(&r, &spec, 1);
	begin_all(&r, 1, 0);
	events[n++] = t_ns;
	events[n++] = t_ns += WORLD_LAYER_NS(TOKENS);
	for (int b = 0; b < 4; b++) {
		for (int l = 0; l < 8; l++)
			events[n++] = t_ns += l == 2 ? WORLD_ATTENTION_NS : WORLD_LAYER_NS(TOKENS);
	}
	events[n++] = t_ns += WORLD_LAYER_NS(TOKENS);
	events[n++] = t_ns += WORLD_LAYER_NS(1);
	events[n++] = t_ns += IO_NS;
	check(t_ns == jt__wave_end_ns(&r.wave, 0, 0));
	for (uint32_t i = 0; i < n; i++) {
		uint64_t before = i ? events[i - 1] + 1 : 0;

		check(jt__wave_next_event(&r.wave, events[i], JT_NONE) == events[i]);
		check(jt__wave_next_event(&r.wave, before, JT_NONE) == events[i]);
		check(jt__wave_next_event(&r.wave, (before + events[i]) / 2, JT_NONE) == events[i]);
	}
	check(jt__wave_next_event(&r.wave, t_ns + 1, JT_NONE) == JT_NONE);
	check(jt__wave_next_event(&r.wave, 0, 50) == 50); /* nothing before that */
	rig_close(&r);
}

/* All instants that one query after the other finds are what a query from anywhere finds. */
static void check_watch(const struct world_spec *spec, uint32_t n_members)
{
	static uint64_t events[20000];
	struct jt_rng rng = { 3 };
	uint32_t n = 0;
	uint64_t from_ns = 0, end_ns = 0;
	struct rig r;

	rig_open(&r, spec, n_members);
	begin_all(&r, n_members, 333);
	while (n < JT_ARRAY_LEN(events)) {
		uint64_t t_ns = jt__wave_next_event(&r.wave, from_ns, JT_NONE);

		if (t_ns == JT_NONE)
			break;
		check(t_ns >= from_ns);
		events[n++] = t_ns;
		from_ns = t_ns + 1;
	}
	for (uint32_t m = 0; m < n_members; m++) {
		for (uint32_t i = 0; i < r.wave.n_ranks; i++) {
			uint64_t rank_ns = jt__wave_end_ns(&r.wave, m, i);

			end_ns = JT_MAX(end_ns, rank_ns);
			check(jt__wave_next_event(&r.wave, rank_ns, JT_NONE) == rank_ns);
		}
	}
	check(n > 30 && events[n - 1] == end_ns);
	for (int turn = 0; turn < 2000; turn++) {
		uint64_t t_ns = jt__rng_below(&rng, end_ns + 100);
		uint64_t until_ns = t_ns + jt__rng_below(&rng, 20000);
		uint32_t i = 0;
		uint64_t want_ns;

		while (i < n && events[i] < t_ns)
			i++;
		want_ns = i < n ? events[i] : JT_NONE;
		check(jt__wave_next_event(&r.wave, t_ns, JT_NONE) == want_ns);
		check(jt__wave_next_event(&r.wave, t_ns, until_ns) == JT_MIN(want_ns, until_ns));
	}
	rig_close(&r);
}

static void a_watch_misses_nothing_and_invents_nothing(void)
{
	const struct world_spec specs[] = {
		{ .n_instances = 1, .instances = { { .tp = 2 } } },
		{ .n_instances = 1, .instances = { { .tp = 4, .pp = 2 } } },
		{ .n_instances = 1, .instances = { { .pp = 4 } } },
		{ .n_instances = 1, .instances = { { .model = "tiny/moe", .tp = 2, .ep = 2 } } },
		{ .n_instances = 1,
		  .instances = { { .more = ", \"placement\": {\"default\": {\"weights\": "
		                           "\"cpu\"}}" } } },
		{ .n_instances = 2,
		  .instances = { { .model = "tiny/moe", .tp = 2, .pp = 2, .ep = 4, .group = "A" },
		                 { .model = "tiny/moe",
		                   .tp = 2,
		                   .pp = 2,
		                   .ep = 4,
		                   .group = "A" } } },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(specs); i++)
		check_watch(&specs[i], specs[i].n_instances);
}

static void asking_changes_no_end(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .tp = 2, .pp = 2 } } };
	uint64_t ends[4];
	struct rig r;

	rig_open(&r, &spec, 1);
	begin_all(&r, 1, 100);
	for (uint32_t i = 0; i < 4; i++)
		ends[i] = jt__wave_end_ns(&r.wave, 0, i);
	for (uint64_t t_ns = 0; t_ns < ends[3]; t_ns += 997)
		jt__wave_next_event(&r.wave, t_ns, JT_NONE);
	for (uint32_t i = 0; i < 4; i++)
		check(jt__wave_end_ns(&r.wave, 0, i) == ends[i]);
	rig_close(&r);
}

static void no_memory_is_told_and_a_wave_opens_later(void)
{
	const struct world_spec spec = { .n_instances = 1, .instances = { { .tp = 2 } } };
	uint64_t nth;
	struct rig r;

	rig_open(&r, &spec, 1);
	for (nth = 1; nth < 50; nth++) {
		struct jt_member member = { &r.cluster->instances[0], &r.works[0], 1 };
		struct jt_wave w = { 0 };
		int status;

		jt__alloc_fail_at(nth);
		status = jt__wave_open(&w, &r.fabric, &member, 1);
		jt__alloc_fail_at(0);
		check(status == JT_OK || status == JT_ENOMEM);
		if (status < 0)
			check(jt__wave_open(&w, &r.fabric, &member, 1) == JT_OK);
		jt__wave_fini(&w);
		if (status == JT_OK)
			break;
	}
	check(nth > 5 && nth < 50);
	rig_close(&r);
}

int main(void)
{
	dir = world_new();
	test(a_memory_serves_one_after_the_other);
	test(the_order_is_that_of_asking);
	test(a_memory_without_a_queue_serves_all_at_once);
	test(more_than_it_remembers_still_queue);
	test(one_rank_loads_computes_and_stores);
	test(two_ranks_wait_for_each_other);
	test(two_ranks_in_step_take_the_formula);
	test(a_stage_hands_over_to_the_next);
	test(a_late_stage_begins_when_it_is_told_to);
	test(weights_from_the_cpu_are_loaded_in_layer_order);
	test(a_watch_finds_the_first_event_of_one_rank);
	test(a_watch_misses_nothing_and_invents_nothing);
	test(asking_changes_no_end);
	test(no_memory_is_told_and_a_wave_opens_later);
	tree_free(&dir);
	return tap_done();
}
