/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What jouletap costs itself: the share by arithmetic, and the meter's figure on a machine made of
 * files, whose counter and whose busy time are written as it goes.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "tap.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/rng.h"
#include "jouletap/meter.h"
#include "meter/own.h"

#define MS JT_NS_PER_MS
#define S JT_NS_PER_S

struct share {
	double uj, bound_uj;
};

static struct share share(uint64_t own_ns, uint64_t busy_ticks, struct jt_own_energy e)
{
	struct jt_own_step step = { S, own_ns, busy_ticks, 10 * MS };
	struct share s;

	jt__own_share(&step, &e, &s.uj, &s.bound_uj);
	return s;
}

static void takes_its_part_of_the_busy_time(void)
{
	struct share s = share(250 * MS, 100, (struct jt_own_energy){ 30000000, 0, 10000 });

	check_near(s.uj, 5e6, 1e-3); /* a quarter of 30 J - 10 W × 1 s */
	/* 100 ticks are 79 to 121 of them */
	check_near(s.bound_uj, 20e6 * .25 / .79 - 5e6, 1);
	s = share(250 * MS, 100, (struct jt_own_energy){ 30000000, 2000000, 10000 });
	check_near(s.bound_uj, 22e6 * .25 / .79 - 5e6, 1);
}

static void costs_nothing_below_the_floor_or_without_running(void)
{
	struct share s = share(250 * MS, 100, (struct jt_own_energy){ 9000000, 0, 10000 });

	check(s.uj == 0 && s.bound_uj == 0);
	s = share(250 * MS, 100, (struct jt_own_energy){ 9000000, 2000000, 10000 });
	check(s.uj == 0 && s.bound_uj > 250000); /* it may have been above by 1 J */
	s = share(0, 100, (struct jt_own_energy){ 30000000, 2000000, 10000 });
	check(s.uj == 0 && s.bound_uj == 0);
	s = share(0, 0, (struct jt_own_energy){ 30000000, 2000000, 10000 });
	check(s.uj == 0 && s.bound_uj == 0);
}

static void never_takes_more_than_there_is(void)
{
	struct share s = share(500 * MS, 10, (struct jt_own_energy){ 30000000, 0, 10000 });

	check_near(s.uj, 20e6, 1e-3);
	check_near(share(1, 0, (struct jt_own_energy){ 30000000, 0, 10000 }).uj, 20e6, 1e-3);
}

/* Energy off by its bound, ticks by what chance does to them. */
static void the_bound_holds_the_truth(void)
{
	struct jt_rng rng = { 7 };

	for (int i = 0; i < 10000; i++) {
		uint64_t own_ns = 1 + jt__rng_below(&rng, S), floor_mw = jt__rng_below(&rng, 50000);
		uint64_t ticks = jt__rng_below(&rng, 400), bound_uj = jt__rng_below(&rng, 5000000);
		uint64_t energy_uj = bound_uj + jt__rng_below(&rng, 100000000);
		struct jt_own_energy e = { energy_uj, bound_uj, floor_mw };
		struct share s = share(own_ns, ticks, e);
		double off_ticks = (1 + 2 * sqrt((double)ticks)) *
		                   ((double)jt__rng_below(&rng, 2001) / 1000 - 1);
		double busy_ns = fmax(((double)ticks + off_ticks) * 1e7, (double)own_ns);
		double true_uj = (double)(energy_uj - bound_uj) +
		                 (double)jt__rng_below(&rng, 2 * bound_uj + 1);
		double truth = fmax(true_uj - (double)floor_mw * 1e3, 0) * (double)own_ns / busy_ns;

		check(fabs(truth - s.uj) <= s.bound_uj * (1 + 1e-9) + 1e-6);
	}
}

/* ---- a machine of files ---- */

static char root[] = "/tmp/jouletap-own-XXXXXX";

static void write_file(const char *path, const char *text)
{
	char full[256];
	int fd;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')); *p++ = '/') {
		*p = '\0';
		mkdir(full, 0755);
	}
	fd = open(full, O_WRONLY | O_CREAT, 0644);
	check(fd >= 0 && pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
	close(fd);
}

#define PACKAGE "sys/class/powercap/intel-rapl:0/"

/* Always as long, so that a reader in between sees the one or the other. */
static void write_energy(uint64_t uj)
{
	char text[64];

	snprintf(text, sizeof(text), "%015llu\n", (unsigned long long)uj);
	write_file(PACKAGE "energy_uj", text);
}

static void write_busy(uint64_t ticks)
{
	char text[128];

	snprintf(text, sizeof(text),
	         "cpu  %015llu 0 0 100000 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0\n",
	         (unsigned long long)ticks);
	write_file("proc/stat", text);
}

static void use_cpu(uint64_t ns)
{
	uint64_t until_ns = jt__cpu_ns() + ns;

	while (jt__cpu_ns() < until_ns)
		;
}

/* One CPU is busy all the time, half of it with us. */
static void live(struct jt_meter *m, uint64_t begin_ns, uint64_t *energy_uj, uint64_t power_mw,
                 uint64_t for_ns)
{
	uint64_t last_ns = jt__now_ns(), until_ns = last_ns + for_ns, now_ns;

	while ((now_ns = jt__now_ns()) < until_ns) {
		*energy_uj += power_mw * (now_ns - last_ns) / JT_NS_PER_MS;
		last_ns = now_ns;
		write_energy(*energy_uj);
		write_busy(1000 + (now_ns - begin_ns) / (10 * MS));
		jt_meter_advance(m, now_ns, now_ns);
		use_cpu(5 * MS);
		nanosleep(&(struct timespec){ .tv_nsec = 5 * MS }, NULL);
	}
}

static struct jt_meter *open_meter(const char *where)
{
	struct jt_meter_options o = JT_METER_OPTIONS_INIT;
	struct jt_meter *m = NULL;

	o.sources.root = where;
	o.period_ns = 20 * MS;
	check(jt_meter_new(&o, &m, NULL) == JT_OK);
	return m;
}

static void is_told_from_counters_and_taken_from_nobody(void)
{
	uint64_t begin_ns = jt__now_ns(), energy_uj = 1000000, idle_ns, own_ns;
	struct jt_own_cost cost;
	struct jt_account a;
	struct jt_meter *m;

	write_file(PACKAGE "name", "package-0\n");
	write_file(PACKAGE "max_energy_range_uj", "262143328850\n");
	write_energy(energy_uj);
	write_busy(1000);
	m = open_meter(root);
	if (!check(m && jt_meter_n_domains(m) == 1))
		return;
	jt_meter_own_cost(m, &cost);
	check(cost.energy_uj == JT_NONE && cost.bound_uj == JT_NONE && cost.cpu_ns > 0);
	live(m, begin_ns, &energy_uj, 10000, 2500 * MS);
	idle_ns = jt__cpu_ns();
	live(m, begin_ns, &energy_uj, 30000, 4000 * MS);
	jt_meter_own_cost(m, &cost);
	own_ns = cost.cpu_ns - idle_ns;
	/* 20 W above the floor; what is still open at the end is missing */
	check(cost.provenance == JT_DERIVED);
	check(cost.energy_uj != JT_NONE && cost.energy_uj > own_ns * 20 / 1000 / 2);
	check(cost.energy_uj < own_ns * 20 / 1000 * 3 / 2);
	check(cost.bound_uj > cost.energy_uj / 20 && cost.bound_uj < cost.energy_uj * 2);
	check(cost.sampling_ns > 0 && cost.sampling_ns < cost.cpu_ns);
	check(jt_meter_account(m, 0, &a) == JT_OK && a.error_uj == 0 && a.requests_uj == 0);
	check(a.meter_uj == a.idle_uj + a.unattributed_uj && a.meter_uj > 80000000);
	jt_meter_free(m);
}

static void is_modelled_where_only_a_model_tells(void)
{
	uint64_t begin_ns = jt__now_ns(), energy_uj = 0;
	struct jt_own_cost cost;
	struct jt_meter *m;
	char path[256];

	snprintf(path, sizeof(path), "%s/" PACKAGE "name", root);
	unlink(path);
	m = open_meter(root);
	if (!check(m && jt_meter_n_domains(m) == 1))
		return;
	live(m, begin_ns, &energy_uj, 0, 2500 * MS);
	jt_meter_own_cost(m, &cost);
	check(cost.provenance == JT_MODELLED && cost.energy_uj != JT_NONE && cost.energy_uj > 0);
	/* one CPU, half of whose 3.36 W above idle are ours */
	check(cost.energy_uj < 2 * 3360000);
	jt_meter_free(m);
}

static void is_unknown_where_no_cpu_is_metered(void)
{
	struct jt_meter *m = open_meter("/nonexistent");
	struct jt_own_cost cost;

	jt_meter_advance(m, jt__now_ns() + 5 * S, 0);
	jt_meter_own_cost(m, &cost);
	check(cost.energy_uj == JT_NONE && cost.bound_uj == JT_NONE);
	check(cost.cpu_ns > 0 && cost.sampling_ns == 0);
	jt_meter_free(m);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int main(void)
{
	check(mkdtemp(root) != NULL);
	test(takes_its_part_of_the_busy_time);
	test(costs_nothing_below_the_floor_or_without_running);
	test(never_takes_more_than_there_is);
	test(the_bound_holds_the_truth);
	test(is_told_from_counters_and_taken_from_nobody);
	test(is_modelled_where_only_a_model_tells);
	test(is_unknown_where_no_cpu_is_metered);
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
