/* SPDX-License-Identifier: Apache-2.0 */
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>
#include "tap.h"
#include "../fake/fake.h"
#include "base/base.h"
#include "base/clock.h"
#include "sampler/sampler.h"
#include "sources/source.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define MS JT_NS_PER_MS

static struct fake fake;

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* A domain that counts its readings, and does on request what a source may do. */
struct guest {
	_Atomic uint64_t n;
	uint64_t end_at; /* JT_EAGAIN from this reading on */
	bool stamps;
	long naps_ms;
	bool blocks;
	sem_t go;
	_Atomic bool is_back;
};

static int guest_read(void *state, size_t i, struct jt_sample *out)
{
	struct guest *g = state;

	(void)i;
	if (g->end_at && g->n == g->end_at)
		return JT_EAGAIN;
	if (g->naps_ms)
		sleep_ms(g->naps_ms);
	if (g->blocks) {
		sem_wait(&g->go);
		atomic_store(&g->is_back, true);
	}
	out->energy_uj = atomic_fetch_add(&g->n, 1);
	out->valid = JT_HAS_ENERGY;
	if (g->stamps)
		out->begin_ns = out->end_ns = 12345;
	return JT_OK;
}

static const struct jt_source_ops guest_ops = { .name = "guest", .read = guest_read };

static struct jt_meter_domain guest_domain(struct guest *g)
{
	struct jt_meter_domain d = { .ops = &guest_ops, .state = g };

	strcpy(d.info.name, "guest:0");
	return d;
}

static struct jt_sampler *start(struct guest *g, size_t n, uint64_t period_ns)
{
	struct jt_meter_domain domains[4];
	const struct jt_meter_domain *list[4];
	struct jt_sampler *s = NULL;

	for (size_t i = 0; i < n; i++) {
		domains[i] = guest_domain(&g[i]);
		list[i] = &domains[i];
	}
	check(jt__sampler_start(list, n, period_ns, &s, NULL) == JT_OK);
	return s;
}

static void samples_arrive_in_order_with_their_stamps(void)
{
	struct guest g[2] = { { 0 }, { 0 } };
	uint64_t begin_ns = jt__now_ns(), last_ns = 0, expected = 0;
	struct jt_sampler *s = start(g, 2, 20 * MS);
	struct jt_sample sample;

	sleep_ms(300);
	while (jt__sampler_pop(s, 1, &sample)) {
		check(sample.domain == 1 && sample.status == JT_OK);
		check(sample.energy_uj == expected++);
		check(sample.begin_ns >= begin_ns && sample.begin_ns > last_ns);
		check(sample.end_ns >= sample.begin_ns);
		last_ns = sample.end_ns;
	}
	check(expected >= 3 && expected <= (jt__now_ns() - begin_ns) / (20 * MS) + 1);
	check(jt__sampler_pop(s, 0, &sample) && sample.domain == 0);
	check(!jt__sampler_pop(s, 2, &sample));
	check(jt__sampler_stop(s));
}

static void a_sources_own_stamps_are_kept(void)
{
	struct guest g = { .stamps = true };
	struct jt_sampler *s = start(&g, 1, 10 * MS);
	struct jt_sample sample;

	sleep_ms(50);
	check(jt__sampler_pop(s, 0, &sample) && sample.begin_ns == 12345 && sample.end_ns == 12345);
	check(jt__sampler_stop(s));
}

static void a_slow_call_on_one_gpu_delays_nobody_else(void)
{
	struct jt_source_options o = { .size = sizeof(o),
		                       .root = "/nonexistent",
		                       .nvml_library = LIBRARY };
	const struct jt_meter_domain *list[2];
	struct jt_sampler_stats slow, quick;
	struct jt_source_set *set = NULL;
	struct jt_sampler *s = NULL;

	fake.reset();
	fake.script("gpus 2\n");
	check(jt__sources_open(&o, NULL, &set, NULL) == JT_OK);
	for (size_t i = 0; i < 2; i++)
		list[i] = jt__sources_domain(set, i);
	fake.script("gpu 0 slow nvmlDeviceGetFieldValues 500\n");
	if (!check(jt__sampler_start(list, 2, 20 * MS, &s, NULL) == JT_OK))
		return;
	sleep_ms(1600);
	jt__sampler_stats(s, 0, &slow);
	jt__sampler_stats(s, 1, &quick);
	check(slow.n_reads > 0 && slow.n_late > 0 && slow.max_read_ns >= 500 * MS);
	check(quick.n_reads > 5 * slow.n_reads);
	check(jt__sampler_stop(s));
	jt__sources_close(set);
}

static bool comes_to(const _Atomic uint64_t *n, uint64_t wanted)
{
	for (int i = 0; i < 1000 && atomic_load(n) < wanted; i++)
		sleep_ms(10);
	return atomic_load(n) >= wanted;
}

static void while_one_hangs_the_others_go_on(void)
{
	static struct guest g[3];
	struct jt_sampler *s;

	g[0].blocks = g[1].blocks = true;
	sem_init(&g[0].go, 0, 0);
	sem_init(&g[1].go, 0, 0);
	s = start(g, 3, 10 * MS);
	check(comes_to(&g[2].n, 20));
	check(g[0].n == 0 && g[1].n == 0);
	for (int i = 0; i < 200; i++)
		sem_post(&g[0].go);
	check(comes_to(&g[0].n, 20));
	check(g[1].n == 0);
	for (int i = 0; i < 200; i++)
		sem_post(&g[1].go);
	check(comes_to(&g[1].n, 20));
	check(jt__sampler_stop(s));
}

/* One after the other they could not keep the period. */
static void slow_domains_are_read_side_by_side(void)
{
	struct guest g[4] = {
		{ .naps_ms = 15 }, { .naps_ms = 15 }, { .naps_ms = 15 }, { .naps_ms = 15 }
	};
	struct jt_sampler *s = start(g, 4, 20 * MS);
	struct jt_sampler_stats before[4], after;

	check(comes_to(&g[3].n, 30));
	for (size_t i = 0; i < 4; i++)
		jt__sampler_stats(s, i, &before[i]);
	sleep_ms(2000);
	for (size_t i = 0; i < 4; i++) {
		jt__sampler_stats(s, i, &after);
		check(after.n_reads - before[i].n_reads > 50); /* of 100; one by one: 33 */
	}
	check(jt__sampler_stop(s));
}

/* The whole way: 2 s of readings of a fake GPU in real time hold the energy that it really took. */
static void the_samples_hold_the_true_energy(void)
{
	struct jt_source_options o = { .size = sizeof(o),
		                       .root = "/nonexistent",
		                       .nvml_library = LIBRARY };
	struct jt_source_set *set = NULL;
	struct jt_sample first = { 0 }, sample = { 0 };
	struct jt_sampler *s = NULL;
	const struct jt_meter_domain *list[1];

	fake.reset();
	fake.script("gpu 0 burst 100 600 0.05 0.5 3\n");
	check(jt__sources_open(&o, NULL, &set, NULL) == JT_OK);
	list[0] = jt__sources_domain(set, 0);
	check(jt__sampler_start(list, 1, 100 * MS, &s, NULL) == JT_OK);
	sleep_ms(2000);
	check(jt__sampler_pop(s, 0, &first));
	while (jt__sampler_pop(s, 0, &sample))
		;
	check(sample.status == JT_OK && sample.end_ns - first.end_ns > 1000 * MS);
	check_near((double)(sample.energy_uj - first.energy_uj) / 1e6,
	           fake.true_energy_j(0, first.begin_ns, sample.end_ns), 2 * 600 * 0.11);
	check(jt__sampler_stop(s));
	jt__sources_close(set);
}

static void losses_are_counted_when_nobody_pops(void)
{
	struct guest g = { 0 };
	struct jt_sampler *s = start(&g, 1, 10 * MS);
	struct jt_sampler_stats stats = { 0 };
	struct jt_sample sample;
	uint64_t n_kept = 0;

	for (int i = 0; i < 300 && stats.n_dropped < 5; i++) {
		sleep_ms(100);
		jt__sampler_stats(s, 0, &stats);
	}
	check(stats.n_dropped >= 5);
	while (jt__sampler_pop(s, 0, &sample))
		check(n_kept > 200 || sample.energy_uj == n_kept), n_kept++;
	check(n_kept >= 256);
	check(jt__sampler_stop(s));
}

static void a_stuck_read_is_abandoned_and_does_no_harm(void)
{
	static struct guest g[2]; /* the abandoned thread comes back to it */
	uint64_t begin_ns, took_ns;
	struct jt_sampler *s;

	g[0].blocks = true;
	sem_init(&g[0].go, 0, 0);
	s = start(g, 2, 10 * MS);
	check(comes_to(&g[1].n, 1));
	begin_ns = jt__now_ns();
	check(!jt__sampler_stop(s));
	took_ns = jt__now_ns() - begin_ns;
	check(took_ns >= 1900 * MS && took_ns < 10000 * MS);
	check(!g[0].is_back);
	sem_post(&g[0].go);
	for (int i = 0; i < 1000 && !g[0].is_back; i++)
		sleep_ms(10);
	sleep_ms(100); /* it now drops what it kept of the sampler */
	check(g[0].is_back);
}

static void a_read_that_ends_in_time_is_waited_for(void)
{
	struct guest g = { .naps_ms = 500 };
	struct jt_sampler *s = start(&g, 1, 10 * MS);

	sleep_ms(100);
	check(jt__sampler_stop(s));
	check(g.n > 0);
}

static void the_end_of_a_source_ends_its_thread(void)
{
	struct guest g = { .end_at = 3 };
	struct jt_sampler *s = start(&g, 1, 10 * MS);
	struct jt_sampler_stats stats;

	sleep_ms(300);
	jt__sampler_stats(s, 0, &stats);
	check(stats.n_reads == 3);
	check(jt__sampler_stop(s));
}

static void stops_soon_even_with_a_long_period(void)
{
	struct guest g = { 0 };
	struct jt_sampler *s = start(&g, 1, 10 * JT_NS_PER_S);
	uint64_t begin_ns;

	sleep_ms(50);
	begin_ns = jt__now_ns();
	check(jt__sampler_stop(s));
	check(jt__now_ns() - begin_ns < 1500 * MS);
	check(jt__sampler_stop(NULL));
}

static void refuses_periods_out_of_range(void)
{
	struct guest g = { 0 };
	struct jt_meter_domain d = guest_domain(&g);
	const struct jt_meter_domain *list[] = { &d };
	struct jt_sampler *s = NULL;
	struct jt_error err = { 0 };

	check(jt__sampler_start(list, 1, 9 * MS, &s, &err) == JT_EINVAL && !s);
	check(strstr(err.message, "10 ms") != NULL);
	check(jt__sampler_start(list, 1, 11 * JT_NS_PER_S, &s, &err) == JT_EINVAL && !s);
}

static void starts_or_fails_cleanly_at_every_allocation(void)
{
	struct guest g[2] = { { 0 }, { 0 } };
	struct jt_meter_domain a = guest_domain(&g[0]), b = guest_domain(&g[1]);
	const struct jt_meter_domain *list[] = { &a, &b };
	struct jt_sampler *s = NULL;
	int status = JT_ENOMEM;
	uint64_t nth = 0;

	while (status == JT_ENOMEM && nth < 100) {
		jt__alloc_fail_at(++nth);
		status = jt__sampler_start(list, 2, 10 * MS, &s, NULL);
		jt__alloc_fail_at(0);
	}
	check(status == JT_OK && nth > 3);
	check(jt__sampler_stop(s));
}

int main(void)
{
	if (!fake_load(LIBRARY, &fake))
		return 1;
	test(samples_arrive_in_order_with_their_stamps);
	test(a_sources_own_stamps_are_kept);
	test(a_slow_call_on_one_gpu_delays_nobody_else);
	test(while_one_hangs_the_others_go_on);
	test(slow_domains_are_read_side_by_side);
	test(the_samples_hold_the_true_energy);
	test(losses_are_counted_when_nobody_pops);
	test(a_stuck_read_is_abandoned_and_does_no_harm);
	test(a_read_that_ends_in_time_is_waited_for);
	test(the_end_of_a_source_ends_its_thread);
	test(stops_soon_even_with_a_long_period);
	test(refuses_periods_out_of_range);
	test(starts_or_fails_cleanly_at_every_allocation);
	return tap_done();
}
