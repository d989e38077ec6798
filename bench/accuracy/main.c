/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "accuracy.h"

static const double lengths_s[] = { .05, .1, .15, .25, .5, 1, 2, 5, 10 };
static const char *const span_windows[] = { "prefill", "decode", "request" };

static struct {
	const char *load, *sensor; /* NULL: all */
	double window_s;           /* 0: all */
	double dump_from_s, dump_to_s;
	unsigned seed, period_ms;
	bool json;
} options = { .seed = 3, .period_ms = 100 };

static void usage(void)
{
	fprintf(stderr, "usage: accuracy [--load NAME] [--sensor NAME] [--window S] [--seed N] "
	                "[--period MS] [--json]\n"
	                "       accuracy --load NAME --sensor NAME --dump FROM:TO\n"
	                "A NAME may end in a star: all that begin so. The seed is the LLM-like "
	                "load's.\nLoads:");
	for (size_t i = 0; i < n_loads; i++)
		fprintf(stderr, " %s", loads[i].name);
	fprintf(stderr, "\nSensors:");
	for (size_t i = 0; i < n_boards; i++)
		fprintf(stderr, " %s", boards[i].name);
	fprintf(stderr, "\n");
	exit(2);
}

static bool is_meant(const char *pattern, const char *name)
{
	size_t n = pattern ? strlen(pattern) : 0;

	if (!n)
		return true;
	return pattern[n - 1] == '*' ? strncmp(pattern, name, n - 1) == 0
	                             : strcmp(pattern, name) == 0;
}

static void print(const struct row *row)
{
	(options.json ? accuracy_print_json : accuracy_print_line)(row);
}

static void judge_random(const struct run *r, double window_s)
{
	struct row row;

	accuracy_random_windows(r, window_s, &row);
	print(&row);
}

static void judge(const struct run *r)
{
	struct row row;

	if (options.window_s > 0) {
		judge_random(r, options.window_s);
		return;
	}
	for (size_t i = 0; i < JT_ARRAY_LEN(lengths_s); i++)
		judge_random(r, lengths_s[i]);
	for (size_t i = 0; i < JT_ARRAY_LEN(span_windows); i++)
		if (strcmp(r->load->name, "llm") == 0 &&
		    accuracy_span_windows(r, span_windows[i], &row))
			print(&row);
}

static bool measure(const struct board *b, const struct load *l)
{
	struct run r;
	bool ok = accuracy_run(&r, b, l, options.seed, options.period_ms);

	if (ok && options.dump_to_s > 0)
		accuracy_dump(&r, options.dump_from_s, options.dump_to_s);
	else if (ok)
		judge(&r);
	accuracy_over(&r);
	return ok;
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "load", required_argument, NULL, 'l' },
		{ "sensor", required_argument, NULL, 's' },
		{ "window", required_argument, NULL, 'w' },
		{ "dump", required_argument, NULL, 'd' },
		{ "seed", required_argument, NULL, 'n' },
		{ "period", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		if (c == 'l')
			options.load = optarg;
		else if (c == 's')
			options.sensor = optarg;
		else if (c == 'w')
			options.window_s = atof(optarg);
		else if (c == 'n')
			options.seed = (unsigned)atoi(optarg);
		else if (c == 'p')
			options.period_ms = (unsigned)atoi(optarg);
		else if (c == 'j')
			options.json = true;
		else if (c != 'd' ||
		         sscanf(optarg, "%lf:%lf", &options.dump_from_s, &options.dump_to_s) != 2)
			usage();
	}
	if (optind < argc || options.period_ms == 0 || options.window_s < 0 ||
	    options.window_s > 60)
		usage();
}

int main(int argc, char **argv)
{
	size_t n = 0;

	parse(argc, argv);
	if (!fake_load(FAKE_DRIVER, &fake))
		return 1;
	if (!options.json && options.dump_to_s <= 0)
		accuracy_print_head();
	for (size_t b = 0; b < n_boards; b++) {
		for (size_t l = 0; l < n_loads; l++) {
			if (!is_meant(options.sensor, boards[b].name) ||
			    !is_meant(options.load, loads[l].name))
				continue;
			if (!measure(&boards[b], &loads[l]))
				return 1;
			n++;
		}
	}
	if (!n)
		usage();
	return 0;
}
