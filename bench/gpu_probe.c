/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one NVIDIA GPU's sensors are like: docs/measurements/real-gpu.md says what to compare it
 * with. Only reads; needs no root, and works against the tests' fake library too.
 *
 *     gpu_probe [GPU [SECONDS [LIBRARY]]]
 *
 * The three figures of a tick are asked for each millisecond. What moves between two answers moved
 * in their middle; from that follow the periods, and from the counter's own E(t) the window and the
 * lag that explain the power fields best. Those need a load that changes while it watches.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/base.h"
#include "base/clock.h"
#include "sources/nvml_api.h"

#define POLL_NS JT_NS_PER_MS
#define MAX_POLLS 600000
#define WARM_UP 20 /* calls that are not counted */

enum { COUNTER, INSTANT, AVERAGE, N_FIELDS };
static const struct {
	uint32_t id;
	const char *name, *unit;
} kinds[N_FIELDS] = {
	{ NVML_FIELD_ENERGY_MJ, "counter (83)", "mJ" },
	{ NVML_FIELD_POWER_INSTANT_MW, "instant (186)", "mW" },
	{ NVML_FIELD_POWER_AVERAGE_MW, "average (185)", "mW" },
};

/* When a field moved, and to what. */
struct series {
	int status; /* NVML's, of the first answer */
	size_t n;
	double *at_s, *value;
};

struct probe {
	struct nvml_api api;
	nvml_device gpu;
	struct series fields[N_FIELDS];
	size_t n_calls;
	double *call_s;
};

/* -- asking -- */

static double value_of(const struct nvml_field *f)
{
	switch (f->type) {
	case NVML_DOUBLE:
		return f->value.d;
	case NVML_UINT:
	case NVML_INT:
		return f->value.u;
	default:
		return (double)f->value.ull;
	}
}

static void add(struct series *s, double at_s, double value)
{
	if (s->n == MAX_POLLS || (s->n && s->value[s->n - 1] == value))
		return;
	s->at_s[s->n] = at_s;
	s->value[s->n++] = value;
}

static void ask(struct probe *p, double *last_s)
{
	struct nvml_field f[N_FIELDS] = { 0 };
	double begin_s, end_s;

	for (int i = 0; i < N_FIELDS; i++) {
		f[i].id = kinds[i].id;
		f[i].status = NVML_UNKNOWN;
	}
	begin_s = (double)jt__now_ns() * 1e-9;
	if (JT__NVML(&p->api, get_field_values, p->gpu, N_FIELDS, f) != NVML_SUCCESS)
		return;
	end_s = (double)jt__now_ns() * 1e-9;
	if (p->n_calls < MAX_POLLS)
		p->call_s[p->n_calls++] = end_s - begin_s;
	for (int i = 0; i < N_FIELDS; i++) {
		p->fields[i].status = f[i].status;
		if (f[i].status == NVML_SUCCESS)
			add(&p->fields[i], *last_s ? (*last_s + end_s) / 2 : end_s,
			    value_of(&f[i]));
	}
	*last_s = begin_s;
}

static void watch(struct probe *p, double seconds)
{
	uint64_t until_ns = jt__now_ns() + (uint64_t)(seconds * 1e9), now_ns;
	double last_s = 0;

	for (int i = 0; i < WARM_UP; i++)
		ask(p, &last_s);
	p->n_calls = 0;
	for (int i = 0; i < N_FIELDS; i++)
		p->fields[i].n = 0;
	while ((now_ns = jt__now_ns()) < until_ns) {
		ask(p, &last_s);
		nanosleep(&(struct timespec){ .tv_nsec = POLL_NS }, NULL);
	}
}

/* -- what follows -- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
	return n ? sorted[(size_t)(q * (double)(n - 1) + 0.5)] : (double)NAN;
}

/* Sorted differences of neighbours; the first value is of before we looked. The caller frees. */
static double *differences(const double *value, size_t n, size_t *ret_n)
{
	double *d = jt__alloc(n + 1, sizeof(*d));

	*ret_n = 0;
	for (size_t i = 2; d && i < n; i++)
		d[(*ret_n)++] = value[i] - value[i - 1];
	if (d)
		qsort(d, *ret_n, sizeof(*d), compare);
	return d;
}

/* The largest number that divides all steps of the counter. */
static uint64_t quantum_of(const struct series *s)
{
	uint64_t a = 0;

	for (size_t i = 1; i < s->n; i++) {
		uint64_t b = (uint64_t)(s->value[i] - s->value[i - 1]);

		while (b) {
			uint64_t rest = a % b;

			a = b;
			b = rest;
		}
	}
	return a;
}

/* The counter's energy up to @at_s, in J, between its movements in a straight line. */
static double energy_j(const struct series *c, double at_s)
{
	size_t low = 0, high = c->n - 1;
	double part;

	while (high - low > 1) {
		size_t mid = (low + high) / 2;

		if (c->at_s[mid] <= at_s)
			low = mid;
		else
			high = mid;
	}
	part = (at_s - c->at_s[low]) / (c->at_s[high] - c->at_s[low]);
	return (c->value[low] + part * (c->value[high] - c->value[low])) * 1e-3;
}

/* Mean square of what the field is off if it were the mean of @window_s that ended @lag_s ago. */
static double misfit(const struct series *c, const struct series *f, double window_s, double lag_s)
{
	double sum = 0;
	size_t n = 0;

	for (size_t i = 1; i < f->n; i++) {
		double end_s = f->at_s[i] - lag_s, begin_s = end_s - window_s, off_w;

		if (begin_s < c->at_s[1] || end_s > c->at_s[c->n - 1])
			continue;
		off_w = (energy_j(c, end_s) - energy_j(c, begin_s)) / window_s - f->value[i] * 1e-3;
		sum += off_w * off_w;
		n++;
	}
	return n > 10 ? sum / (double)n : INFINITY;
}

static double spread_of(const struct series *f)
{
	double sum = 0, squares = 0, n = (double)f->n;

	for (size_t i = 0; i < f->n; i++) {
		sum += f->value[i];
		squares += f->value[i] * f->value[i];
	}
	return f->n > 1 ? sqrt(fmax(0, squares / n - sum * sum / n / n)) / (sum / n) : 0;
}

static void print_window(const struct series *c, const struct series *f)
{
	double best = INFINITY, window_s = 0, lag_s = 0;

	if (c->n < 20 || f->n < 20 || spread_of(f) < 0.1) {
		printf("  window and lag: unknown, the power did not change enough\n");
		return;
	}
	for (double w = 0.01; w <= 1.6; w *= 1.08) {
		for (double lag = -0.1; lag <= 0.3; lag += 0.01) {
			double m = misfit(c, f, w, lag);

			if (m >= best)
				continue;
			best = m;
			window_s = w;
			lag_s = lag;
		}
	}
	printf("  window %.0f ms, ending %.0f ms before the update (to the counter's; off by %.1f "
	       "W)\n",
	       window_s * 1e3, lag_s * 1e3, sqrt(best));
}

/* -- printing -- */

static void print_series(const struct probe *p, int which)
{
	const struct series *s = &p->fields[which];
	size_t n;
	double *d;

	printf("%s: ", kinds[which].name);
	if (s->status != NVML_SUCCESS) {
		printf("not told (NVML code %d)\n", s->status);
		return;
	}
	d = differences(s->at_s, s->n, &n);
	printf("%zu updates, period %.1f ms (5 %% %.1f, 95 %% %.1f)\n", n, quantile(d, n, .5) * 1e3,
	       quantile(d, n, .05) * 1e3, quantile(d, n, .95) * 1e3);
	jt__free(d);
	if (which == COUNTER && s->n > 1)
		printf("  moves by multiples of %" PRIu64 " mJ\n", quantum_of(s));
	else if (which != COUNTER)
		print_window(&p->fields[COUNTER], s);
}

/* The counter over the power that was held from update to update. */
static void print_cross(const struct probe *p)
{
	const struct series *c = &p->fields[COUNTER], *f = &p->fields[INSTANT];
	double from_s, to_s, sum_j = 0;

	if (c->n < 3 || f->n < 3)
		return;
	from_s = JT_MAX(c->at_s[1], f->at_s[1]);
	to_s = JT_MIN(c->at_s[c->n - 1], f->at_s[f->n - 1]);
	for (size_t i = 0; i + 1 < f->n; i++) {
		double begin_s = JT_MAX(f->at_s[i], from_s), end_s = JT_MIN(f->at_s[i + 1], to_s);

		sum_j += JT_MAX(0, end_s - begin_s) * f->value[i] * 1e-3;
	}
	printf("counter / integral of instant: %.4f over %.1f s at %.1f W\n",
	       (energy_j(c, to_s) - energy_j(c, from_s)) / sum_j, to_s - from_s,
	       sum_j / (to_s - from_s));
}

static void print_calls(struct probe *p)
{
	qsort(p->call_s, p->n_calls, sizeof(p->call_s[0]), compare);
	printf("call of three fields: %zu calls, median %.0f us, 99 %% %.0f us, worst %.0f us\n",
	       p->n_calls, quantile(p->call_s, p->n_calls, .5) * 1e6,
	       quantile(p->call_s, p->n_calls, .99) * 1e6,
	       quantile(p->call_s, p->n_calls, 1) * 1e6);
}

/* The driver's own buffer of power readings. */
static void print_samples(const struct probe *p)
{
	int (*get)(nvml_device, int, unsigned long long, int *, unsigned *, void *) = NULL;
	struct {
		unsigned long long at_us, value;
	} samples[1024];
	void *symbol = dlsym(p->api.handle, "nvmlDeviceGetSamples");
	unsigned n = JT_ARRAY_LEN(samples);
	int type = 0, status = NVML_FUNCTION_NOT_FOUND;

	memcpy(&get, &symbol, sizeof(get));
	if (get)
		status = get(p->gpu, 0, 0, &type, &n, samples);
	printf("nvmlDeviceGetSamples(power): ");
	if (status != NVML_SUCCESS || n < 2)
		printf("not told (NVML code %d)\n", status);
	else
		printf("%u readings, one each %.1f ms\n", n,
		       (double)(samples[n - 1].at_us - samples[0].at_us) * 1e-3 / (n - 1));
}

/* Every number that might be a metric is asked for. */
static void print_gpm(const struct probe *p)
{
	struct nvml_gpm_support support = { .version = 1 };
	static struct nvml_gpm_metrics m;
	int status = JT__NVML(&p->api, gpm_query_support, p->gpu, &support);

	printf("GPM: ");
	if (status != NVML_SUCCESS || !support.is_supported ||
	    JT__NVML(&p->api, gpm_sample_alloc, &m.from) != NVML_SUCCESS ||
	    JT__NVML(&p->api, gpm_sample_alloc, &m.to) != NVML_SUCCESS) {
		printf("not supported%s\n", status == NVML_SUCCESS ? "" : ", or not known");
		return;
	}
	m.version = 1;
	m.n = 96;
	for (uint32_t i = 0; i < m.n; i++)
		m.metrics[i] = (struct nvml_gpm_metric){ .id = i + 1, .status = NVML_UNKNOWN };
	status = JT__NVML(&p->api, gpm_sample_get, p->gpu, m.from);
	nanosleep(&(struct timespec){ .tv_nsec = 250 * JT_NS_PER_MS }, NULL);
	if (status == NVML_SUCCESS)
		status = JT__NVML(&p->api, gpm_sample_get, p->gpu, m.to);
	if (status == NVML_SUCCESS)
		status = JT__NVML(&p->api, gpm_metrics_get, &m);
	printf("NVML code %d; id=value", status);
	for (uint32_t i = 0; i < m.n; i++)
		if (status == NVML_SUCCESS && m.metrics[i].status == NVML_SUCCESS)
			printf(" %u=%.4g", m.metrics[i].id, m.metrics[i].value);
	printf("\n");
	JT__NVML(&p->api, gpm_sample_free, m.from);
	JT__NVML(&p->api, gpm_sample_free, m.to);
}

/* Of the module that a superchip's GPU is part of, and how long it takes to look for MIG instances.
 */
static void print_parts(const struct probe *p)
{
	struct nvml_field f[] = {
		{ .id = NVML_FIELD_POWER_INSTANT_MW, .scope = NVML_SCOPE_GPU },
		{ .id = NVML_FIELD_POWER_INSTANT_MW, .scope = NVML_SCOPE_MODULE },
		{ .id = NVML_FIELD_SCOPED_ENERGY_MJ, .scope = NVML_SCOPE_MODULE },
	};
	unsigned mode = 0, pending = 0, n_max = 0, n = 0;
	uint64_t begin_ns = jt__now_ns();
	nvml_device mig;

	JT__NVML(&p->api, get_mig_mode, p->gpu, &mode, &pending);
	JT__NVML(&p->api, get_max_mig_count, p->gpu, &n_max);
	for (unsigned i = 0; i < n_max; i++)
		n += JT__NVML(&p->api, get_mig_by_index, p->gpu, i, &mig) == NVML_SUCCESS;
	printf("MIG: %s, %u of %u devices, looked for in %.0f us\n", mode ? "on" : "off", n, n_max,
	       (double)(jt__now_ns() - begin_ns) * 1e-3);
	JT__NVML(&p->api, get_field_values, p->gpu, (int)JT_ARRAY_LEN(f), f);
	printf("scopes: GPU power %s, module power %s, module energy %s (NVML codes %d %d %d)\n",
	       f[0].status ? "not told" : "told", f[1].status ? "not told" : "told",
	       f[2].status ? "not told" : "told", f[0].status, f[1].status, f[2].status);
	if (!f[0].status && !f[1].status)
		printf("  module %.1f W, GPU %.1f W\n", value_of(&f[1]) * 1e-3,
		       value_of(&f[0]) * 1e-3);
}

static void print_identity(const struct probe *p)
{
	int (*get)(char *, unsigned) = NULL;
	void *symbol = dlsym(p->api.handle, "nvmlSystemGetDriverVersion");
	char name[96] = "?", uuid[96] = "?", driver[96] = "?";

	memcpy(&get, &symbol, sizeof(get));
	if (get)
		get(driver, sizeof(driver));
	JT__NVML(&p->api, get_name, p->gpu, name, sizeof(name));
	JT__NVML(&p->api, get_uuid, p->gpu, uuid, sizeof(uuid));
	printf("%s, %s, driver %s\n", name, uuid, driver);
}

static int probe(struct probe *p, unsigned index, double seconds)
{
	bool ok = true;
	int nvml = JT__NVML(&p->api, get_by_index, index, &p->gpu);

	if (nvml != NVML_SUCCESS) {
		fprintf(stderr, "gpu_probe: no GPU %u (NVML code %d)\n", index, nvml);
		return 1;
	}
	p->call_s = jt__alloc(MAX_POLLS, sizeof(double));
	for (int i = 0; i < N_FIELDS; i++) {
		p->fields[i].at_s = jt__alloc(MAX_POLLS, sizeof(double));
		p->fields[i].value = jt__alloc(MAX_POLLS, sizeof(double));
		ok &= p->fields[i].at_s && p->fields[i].value;
	}
	if (ok && p->call_s) {
		print_identity(p);
		watch(p, seconds);
		print_calls(p);
		for (int i = 0; i < N_FIELDS; i++)
			print_series(p, i);
		print_cross(p);
		print_samples(p);
		print_gpm(p);
		print_parts(p);
	}
	for (int i = 0; i < N_FIELDS; i++) {
		jt__free(p->fields[i].at_s);
		jt__free(p->fields[i].value);
	}
	jt__free(p->call_s);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct probe p = { 0 };
	struct jt_error err = { 0 };
	int status;

	if (jt__nvml_api_open(argc > 3 ? argv[3] : NULL, &p.api, &err) < 0) {
		fprintf(stderr, "gpu_probe: %s\n", err.message);
		return 1;
	}
	status = probe(&p, argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0,
	               argc > 2 ? strtod(argv[2], NULL) : 30);
	jt__nvml_api_close(&p.api);
	return status;
}
