/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What metering costs while nothing else happens: the gateway itself, with its sampler, bookkeeper
 * and one worker, on the fake driver with eight GPUs, at the shortest period and at the default
 * one, with no request and with one that waits for its engine. CPU in percent of one core:
 *
 *   cpu       of the process
 *   driver    of it, what the driver's own calls cost: the same calls at the same rate, made by a
 *             bare loop, less the loop without them
 *   floor     of a thread that only sleeps and wakes as often as all of ours together
 *
 * The rest of cpu is ours, and is split by thread; a driver call is part of the sampler's.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include "../tests/fake/fake.h"
#include "../tests/lib/sockets.h"
#include "base/base.h"
#include "base/clock.h"
#include "config/config.h"
#include "gateway/gateway.h"

#define LIBRARY JT_BUILD_ROOT "/tests/fake/libnvidia-ml.so.1"
#define GPUS 8
#define SETTLE_NS (500 * JT_NS_PER_MS)
#define RUN_NS (4 * JT_NS_PER_S)
#define CALIBRATE_NS (2 * JT_NS_PER_S)

static struct fake fake;

static void sleep_until(uint64_t t_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(t_ns / JT_NS_PER_S),
		               .tv_nsec = (long)(t_ns % JT_NS_PER_S) };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

/* ---- what the threads of this process have used ---- */

enum group { SAMPLER, BOOKKEEPER, WORKERS, OTHERS, N_GROUPS };

struct usage {
	uint64_t cpu_ns[N_GROUPS];
	uint64_t n_wakes;
	unsigned n_threads;
};

static bool read_task(const char *task, const char *file, char *text, size_t size)
{
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.10s/%s", task, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
	return n > 0;
}

static enum group group_of(const char *name)
{
	static const char *const prefixes[] = { "jt read", "jt books", "jt worker" };

	for (int g = 0; g < OTHERS; g++)
		if (strncmp(name, prefixes[g], strlen(prefixes[g])) == 0)
			return (enum group)g;
	return OTHERS;
}

static struct usage read_usage(void)
{
	struct usage u = { 0 };
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	char text[4096];
	enum group g;

	while (dir && (entry = readdir(dir))) {
		const char *switches;

		if (entry->d_name[0] == '.' ||
		    !read_task(entry->d_name, "comm", text, sizeof(text)))
			continue;
		g = group_of(text);
		u.n_threads++;
		if (read_task(entry->d_name, "schedstat", text, sizeof(text)))
			u.cpu_ns[g] += strtoull(text, NULL, 10);
		if (g != OTHERS && read_task(entry->d_name, "status", text, sizeof(text)) &&
		    (switches = strstr(text, "\nvoluntary_ctxt_switches:")))
			u.n_wakes += strtoull(strchr(switches, ':') + 1, NULL, 10);
	}
	if (dir)
		closedir(dir);
	return u;
}

/* ---- what the same costs without us ---- */

static void *handles[GPUS];
static int (*get_fields)(void *, int, void *);
static int (*get_temperature)(void *, int, unsigned *);

static bool open_driver(void)
{
	int (*get_handle)(unsigned, void **);
	void *p[] = { dlsym(fake.handle, "nvmlDeviceGetHandleByIndex_v2"),
		      dlsym(fake.handle, "nvmlDeviceGetFieldValues"),
		      dlsym(fake.handle, "nvmlDeviceGetTemperature") };

	memcpy(&get_handle, &p[0], sizeof(p[0]));
	memcpy(&get_fields, &p[1], sizeof(p[1]));
	memcpy(&get_temperature, &p[2], sizeof(p[2]));
	for (unsigned i = 0; i < GPUS; i++)
		if (!p[0] || !p[1] || !p[2] || get_handle(i, &handles[i]) != 0)
			return false;
	return true;
}

static void call_fields(void)
{
	struct {
		uint32_t id, scope;
		uint64_t rest[4];
	} fields[3] = { { .id = 186 }, { .id = 185 }, { .id = 83 } };

	for (int i = 0; i < GPUS; i++)
		get_fields(handles[i], JT_ARRAY_LEN(fields), fields);
}

static void call_temperature(void)
{
	unsigned celsius;

	for (int i = 0; i < GPUS; i++)
		get_temperature(handles[i], 0, &celsius);
}

/* CPU time of a turn of a loop that sleeps and then calls @work (may be NULL). */
static double ns_per_turn(uint64_t period_ns, void (*work)(void))
{
	uint64_t begin_ns = jt__now_ns(), cpu_ns = jt__cpu_ns(), n = CALIBRATE_NS / period_ns;

	for (uint64_t i = 1; i <= n; i++) {
		sleep_until(begin_ns + i * period_ns);
		if (work)
			work();
	}
	return (double)(jt__cpu_ns() - cpu_ns) / (double)n;
}

/* What one call costs in a thread that has just woken. */
static double fields_ns, others_ns;

static void calibrate(void)
{
	double bare_ns = ns_per_turn(10 * JT_NS_PER_MS, NULL);

	fields_ns = (ns_per_turn(10 * JT_NS_PER_MS, call_fields) - bare_ns) / GPUS;
	others_ns = (ns_per_turn(10 * JT_NS_PER_MS, call_temperature) - bare_ns) / GPUS;
}

static uint64_t count_others(void)
{
	static const char *const functions[] = { "nvmlDeviceGetTemperature",
		                                 "nvmlDeviceGetClockInfo",
		                                 "nvmlDeviceGetEnforcedPowerLimit",
		                                 "nvmlDeviceGetCurrentClocksEventReasons" };
	uint64_t n = 0;

	for (size_t i = 0; i < JT_ARRAY_LEN(functions); i++)
		n += fake.calls(functions[i]);
	return n;
}

/* ---- the gateway ---- */

/* An engine that accepts requests and never answers: a socket that nobody serves. */
static int open_engine(char url[64])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, size) < 0 || listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &size) < 0)
		return -1;
	snprintf(url, 64, "http://127.0.0.1:%u", ntohs(a.sin_port));
	return fd;
}

static struct jt_config *configure(uint64_t period_ns, const char *url)
{
	struct jt_config *c;

	if (jt__config_new(&c, NULL) < 0 || jt__config_add_upstream(c, url, NULL) < 0)
		exit(1);
	strcpy(c->listen, "127.0.0.1:0");
	strcpy(c->admin, "127.0.0.1:0");
	strcpy(c->metering.root, "/nonexistent");
	strcpy(c->metering.nvml_library, LIBRARY);
	c->metering.poll_interval_ns = period_ns;
	c->workers = 1;
	return c;
}

static int send_request(const struct jt_gateway *g)
{
	static const char request[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
				      "Content-Length: 24\r\n\r\n{\"model\":\"m\",\"prompt\":1}";
	int fd = dial(jt__gateway_address(g), 0);

	if (fd < 0 || write(fd, request, sizeof(request) - 1) < 0)
		exit(1);
	return fd;
}

/* ---- a row ---- */

static double percent(double ns)
{
	return ns * 100 / (double)RUN_NS;
}

/* All of a row but the floor, for which the gateway must be gone; returns the wakes a second. */
static double measure(uint64_t period_ns, int n_requests)
{
	uint64_t cpu_ns, n_fields, n_others;
	struct usage before, after;
	double rate, driver_ns;

	before = read_usage();
	n_fields = fake.calls("nvmlDeviceGetFieldValues");
	n_others = count_others();
	cpu_ns = jt__cpu_ns();
	sleep_until(jt__now_ns() + RUN_NS);
	cpu_ns = jt__cpu_ns() - cpu_ns;
	n_fields = fake.calls("nvmlDeviceGetFieldValues") - n_fields;
	n_others = count_others() - n_others;
	after = read_usage();
	driver_ns = (double)n_fields * fields_ns + (double)n_others * others_ns;
	rate = (double)(after.n_wakes - before.n_wakes) * (double)JT_NS_PER_S / (double)RUN_NS;
	printf("{\"bench\":\"sampler\",\"gpus\":%d,\"period_ms\":%d,\"requests\":%d,"
	       "\"cpu_percent\":%.2f,\"driver_percent\":%.2f,\"ours_percent\":%.2f,"
	       "\"sampler_percent\":%.2f,\"bookkeeper_percent\":%.2f,\"workers_percent\":%.2f,",
	       GPUS, (int)(period_ns / JT_NS_PER_MS), n_requests, percent((double)cpu_ns),
	       percent(driver_ns), percent((double)cpu_ns - driver_ns),
	       percent((double)(after.cpu_ns[SAMPLER] - before.cpu_ns[SAMPLER])),
	       percent((double)(after.cpu_ns[BOOKKEEPER] - before.cpu_ns[BOOKKEEPER])),
	       percent((double)(after.cpu_ns[WORKERS] - before.cpu_ns[WORKERS])));
	printf("\"reads_per_s\":%.0f,\"wakes_per_s\":%.0f,\"threads\":%u,",
	       (double)n_fields * (double)JT_NS_PER_S / (double)RUN_NS, rate, after.n_threads);
	return rate;
}

static void bench(uint64_t period_ns, int n_requests, const char *url)
{
	struct jt_config *c = configure(period_ns, url);
	struct jt_gateway_options o = { .config = c };
	struct jt_gateway *g;
	struct jt_error err;
	double rate;
	int fd = -1;

	if (jt__gateway_start(&o, &g, &err) < 0) {
		fprintf(stderr, "bench_sampler: %s: %s\n", err.where, err.message);
		exit(1);
	}
	if (n_requests)
		fd = send_request(g);
	sleep_until(jt__now_ns() + SETTLE_NS);
	rate = measure(period_ns, n_requests);
	if (fd >= 0)
		close(fd);
	jt__gateway_free(g);
	jt__config_free(c);
	printf("\"floor_percent\":%.2f}\n",
	       ns_per_turn((uint64_t)((double)JT_NS_PER_S / rate), NULL) * rate * 100 /
	               (double)JT_NS_PER_S);
}

int main(void)
{
	static const struct {
		uint64_t period_ns;
		int n_requests;
	} rows[] = { { 10 * JT_NS_PER_MS, 0 },
		     { 10 * JT_NS_PER_MS, 1 },
		     { 100 * JT_NS_PER_MS, 0 },
		     { 100 * JT_NS_PER_MS, 1 } };
	char url[64];

	if (!fake_load(LIBRARY, &fake) || fake.script("gpus 8\n") != 0 || !open_driver() ||
	    open_engine(url) < 0)
		return 1;
	calibrate();
	for (size_t i = 0; i < JT_ARRAY_LEN(rows); i++)
		bench(rows[i].period_ns, rows[i].n_requests, url);
	return 0;
}
