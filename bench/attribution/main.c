/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "attribution.h"

static struct {
	const char *server, *workload, *load; /* what the name contains; NULL: all */
	struct bench_options bench;
} options = { .bench = { .seed = 1, .n_pairs = 8 } };

static const char *const truth_names[] = {
#define X(id, name) name,
	TRUTHS(X)
#undef X
};
static const char *const method_names[] = {
#define X(id, name) name,
	METHODS(X)
#undef X
};

static void usage(void)
{
	fprintf(stderr,
	        "usage: attribution [--server TEXT] [--workload TEXT] [--load TEXT] [--data DIR]\n"
	        "       [--seed N] [--pairs N]\n"
	        "DIR holds profiler/ as the reference simulator has it: without, only servers run "
	        "whose profile is jouletap's own.\nPrints CSV.\n");
	exit(2);
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "server", required_argument, NULL, 's' },
		{ "workload", required_argument, NULL, 'w' },
		{ "data", required_argument, NULL, 'd' },
		{ "seed", required_argument, NULL, 'n' },
		{ "pairs", required_argument, NULL, 'p' },
		{ "load", required_argument, NULL, 'l' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (c == 's')
			options.server = optarg;
		else if (c == 'w')
			options.workload = optarg;
		else if (c == 'l')
			options.load = optarg;
		else if (c == 'd')
			options.bench.data = optarg;
		else if (c == 'n')
			options.bench.seed = strtoull(optarg, NULL, 10);
		else if (c == 'p')
			options.bench.n_pairs = (uint32_t)strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (optind < argc || options.bench.n_pairs < 2 || options.bench.n_pairs > 10000)
		usage();
}

static bool is_meant(const char *wanted, const char *name)
{
	return !wanted || strstr(name, wanted);
}

static void print_row(const struct run *r, int truth, const char *method, struct verdict v)
{
	printf("\"%s\",%s,%s,%s,\"%s\",%.2f,%.2f,%.2f\n", r->server->name, r->load->workload,
	       r->load->load, truth_names[truth], method, v.median * 100, v.p95 * 100,
	       v.weighted * 100);
}

static void print(const struct run *r)
{
	double running = r->items / (double)r->busy_ns;
	double busy = (double)r->busy_ns / (double)r->end_ns;

	fprintf(stderr, "%s, %s, %s: %u requests, %.0f s, busy %.0f %%, %.1f sequences a batch\n",
	        r->server->name, r->load->workload, r->load->load, r->n_requests,
	        (double)r->end_ns * 1e-9, busy * 100, running);
	for (int t = 0; t < N_TRUTHS; t++) {
		for (int m = 0; m < N_METHODS; m++)
			print_row(r, t, method_names[m],
			          verdict_on(r, (enum truth)t, (enum method)m));
		print_row(r, t, "standard error of the truth", truth_error(r, (enum truth)t));
		printf("\"%s\",%s,%s,%s,\"marginal joules, part of all\",,,%.2f\n", r->server->name,
		       r->load->workload, r->load->load, truth_names[t],
		       marginal_part(r, (enum truth)t) * 100);
	}
	printf("\"%s\",%s,%s,,\"sequences in a batch\",,,%.2f\n", r->server->name,
	       r->load->workload, r->load->load, running);
}

static bool measure(const struct server *s, const struct load *l)
{
	struct run r;
	bool ok = node_run(&r, s, l, &options.bench);

	for (int t = 0; ok && t < N_TRUTHS; t++)
		judge(&r, (enum truth)t);
	ok &= !r.failed;
	if (ok)
		print(&r);
	node_over(&r);
	return ok;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	printf("server,workload,load,truth,method,median_pct,p95_pct,weighted_pct\n");
	for (size_t s = 0; s < n_servers; s++) {
		for (size_t l = 0; l < n_loads; l++) {
			if (!is_meant(options.server, servers[s].name) ||
			    !is_meant(options.workload, loads[l].workload) ||
			    !is_meant(options.load, loads[l].load) ||
			    (!servers[s].bundled && !options.bench.data))
				continue;
			if (!measure(&servers[s], &loads[l]))
				return 1;
		}
	}
	return 0;
}
