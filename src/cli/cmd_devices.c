/* SPDX-License-Identifier: Apache-2.0 */
/* jouletap devices: what can be measured here, how well, and what is missing. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "base/buf.h"
#include "base/clock.h"
#include "cli/cli.h"
#include "cli/sensors.h"
#include "sampler/sampler.h"
#include "sources/source.h"

#define PERIOD_NS (100 * JT_NS_PER_MS)
#define LOOK_NS (400 * JT_NS_PER_MS)      /* how long each domain is watched */
#define PATIENCE_NS (1500 * JT_NS_PER_MS) /* for one whose driver is slow */

struct args {
	const char *root;
	const char *nvml_library;
	const char *rocm_library;
	bool gpm;
	bool sensors;
	bool json;
};

/* What a domain showed while it was watched. */
struct reading {
	struct jt_sample first, last;
	size_t n;
	uint64_t read_ns; /* the slowest */
};

struct devices {
	struct jt_source_set *set;
	size_t n;
	const struct jt_meter_domain **domains;
	struct reading *readings;
	bool stuck; /* a driver did not answer in time and may still be at it */
};

/* clang-format off */
static const struct { uint32_t bit; const char *name; } fields[] = {
	{ JT_HAS_ENERGY, "energy" }, { JT_HAS_POWER, "power" }, { JT_HAS_POWER_AVG, "power_average" },
	{ JT_HAS_TEMPERATURE, "temperature" }, { JT_HAS_SM_CLOCK, "sm_clock" },
	{ JT_HAS_MEM_CLOCK, "mem_clock" }, { JT_HAS_LIMIT, "limit" }, { JT_HAS_REASONS, "reasons" },
	{ JT_HAS_SM_ACTIVITY, "sm_activity" }, { JT_HAS_TENSOR_ACTIVITY, "tensor_activity" },
	{ JT_HAS_DRAM_ACTIVITY, "dram_activity" },
};

static const struct { uint32_t bit; const char *name; } reasons[] = {
	{ JT_REASON_IDLE, "idle" }, { JT_REASON_APP_CLOCKS, "app_clocks" },
	{ JT_REASON_SW_POWER_CAP, "sw_power_cap" }, { JT_REASON_HW_SLOWDOWN, "hw_slowdown" },
	{ JT_REASON_SYNC_BOOST, "sync_boost" }, { JT_REASON_SW_THERMAL, "sw_thermal" },
	{ JT_REASON_HW_THERMAL, "hw_thermal" }, { JT_REASON_POWER_BRAKE, "power_brake" },
};
/* clang-format on */

/* -- looking -- */

static bool all_seen(const struct devices *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->readings[i].n < 2)
			return false;
	return true;
}

static void collect(struct devices *d, struct jt_sampler *s)
{
	struct jt_sampler_stats stats;
	struct jt_sample sample;

	for (size_t i = 0; i < d->n; i++) {
		struct reading *r = &d->readings[i];

		while (jt__sampler_pop(s, i, &sample)) {
			if (r->n++ == 0)
				r->first = sample;
			r->last = sample;
		}
		jt__sampler_stats(s, i, &stats);
		r->read_ns = stats.max_read_ns;
	}
}

/* Through the sampler, so that a driver that hangs does not hang us. */
static int watch(struct devices *d, struct jt_error *err)
{
	uint64_t begin_ns = jt__now_ns(), waited_ns = 0;
	struct jt_sampler *s = NULL;
	int status = jt__sampler_start(d->domains, d->n, PERIOD_NS, &s, err);

	if (status < 0)
		return status;
	while (waited_ns < LOOK_NS || (waited_ns < PATIENCE_NS && !all_seen(d))) {
		nanosleep(&(struct timespec){ .tv_nsec = 20 * JT_NS_PER_MS }, NULL);
		collect(d, s);
		waited_ns = jt__now_ns() - begin_ns;
	}
	d->stuck = !jt__sampler_stop(s);
	return JT_OK;
}

static void devices_fini(struct devices *d)
{
	if (!d->stuck) /* else a thread is still inside a source, and the process is about to end
	                  anyway */
		jt__sources_close(d->set);
	jt__free(d->domains);
	jt__free(d->readings);
}

static int devices_init(struct devices *d, const struct args *args, struct jt_error *err)
{
	struct jt_source_options o = { .size = sizeof(o),
		                       .root = args->root,
		                       .nvml_library = args->nvml_library,
		                       .rocm_library = args->rocm_library,
		                       .gpm = args->gpm };
	int status = jt__sources_open(&o, NULL, &d->set, err);

	if (status < 0)
		return status;
	d->n = jt__sources_n_domains(d->set);
	d->domains = jt__alloc(d->n, sizeof(d->domains[0]));
	d->readings = jt__alloc(d->n, sizeof(d->readings[0]));
	if (!d->domains || !d->readings)
		return jt__fail(err, JT_ENOMEM, "devices", "no memory for %zu domains", d->n);
	for (size_t i = 0; i < d->n; i++)
		d->domains[i] = jt__sources_domain(d->set, i);
	return d->n ? watch(d, err) : JT_OK;
}

/* -- what follows from what was seen -- */

static enum jt_provenance provenance(const struct jt_domain *d)
{
	if (d->sensor.provenance == JT_MEASURED && !(d->valid & JT_HAS_ENERGY))
		return JT_DERIVED;
	return d->sensor.provenance;
}

/* The power field, else what the counter moved by; JT_NONE if neither tells. */
static uint64_t power_mw(const struct reading *r)
{
	const struct jt_sample *a = &r->first, *b = &r->last;

	if (b->valid & JT_HAS_POWER)
		return b->power_mw;
	if (b->valid & JT_HAS_POWER_AVG)
		return b->power_avg_mw;
	if (!(a->valid & b->valid & JT_HAS_ENERGY) || b->energy_uj <= a->energy_uj ||
	    b->end_ns <= a->end_ns)
		return JT_NONE;
	return jt__whole((double)(b->energy_uj - a->energy_uj) * 1e6 /
	                 (double)(b->end_ns - a->end_ns));
}

static const char *state_of(const struct reading *r)
{
	if (r->n == 0)
		return "no answer";
	if (r->last.status != JT_OK)
		return jt_strerror(r->last.status);
	return power_mw(r) == JT_NONE ? "the counter does not move" : "ok";
}

/* -- for people -- */

static void format_ms(uint64_t t_ns, char text[24])
{
	if (t_ns)
		snprintf(text, 24, "%.6g ms", (double)t_ns * 1e-6);
	else
		snprintf(text, 24, "-");
}

static void format_watts(uint64_t mw, char text[24])
{
	if (mw == JT_NONE)
		snprintf(text, 24, "-");
	else
		snprintf(text, 24, "%.1f", (double)mw * 1e-3);
}

/* @width: of the first column. */
static void print_row(const struct jt_domain *d, const struct reading *r, int width)
{
	char update[24], window[24], power[24], temperature[24] = "-";

	format_ms(d->sensor.update_ns, update);
	format_ms(d->valid & JT_HAS_POWER ? d->sensor.window_ns : d->sensor.avg_window_ns, window);
	format_watts(power_mw(r), power);
	if (r->last.valid & JT_HAS_TEMPERATURE)
		snprintf(temperature, sizeof(temperature), "%d", r->last.temperature_mc / 1000);
	printf("%-*s %-9s %-10s %-10s %9s %9s %8.1f%% %9s %6s  %s\n", width, d->name, d->source,
	       d->sensor.name, jt_provenance_name(provenance(d)), update, window,
	       (double)d->sensor.gain_ppm * 1e-4, power, temperature, d->device);
	if (strcmp(state_of(r), "ok") != 0)
		printf("%-*s now: %s\n", width, "", state_of(r));
	if (d->part_of[0])
		printf("%-*s part of %s: not to be added to it\n", width, "", d->part_of);
	if (d->missing[0])
		printf("%-*s %s\n", width, "", d->missing);
}

static void print_table(const struct devices *d)
{
	int width = 10;

	for (size_t i = 0; i < d->n; i++)
		width = JT_MAX(width, (int)strlen(d->domains[i]->info.name));
	if (d->n)
		printf("%-*s %-9s %-10s %-10s %9s %9s %9s %9s %6s  %s\n", width, "DOMAIN", "SOURCE",
		       "SENSOR", "PROVENANCE", "UPDATE", "WINDOW", "TOLERANCE", "POWER_W", "TEMP_C",
		       "DEVICE");
	else
		puts("Nothing can be measured here.");
	for (size_t i = 0; i < d->n; i++)
		print_row(&d->domains[i]->info, &d->readings[i], width);
	if (jt__sources_n_absent(d->set))
		puts("\nNot here, or not all of it:");
	for (size_t i = 0; i < jt__sources_n_absent(d->set); i++) {
		const struct jt_source_absence *a = jt__sources_absent(d->set, i);

		printf("%-10s %s: %s\n", a->ops->name, a->ops->what, a->error.message);
	}
}

/* -- for programs -- */

/* @scale: our units in one of the outer. */
static void put_scaled(struct jt_buf *b, const char *key, bool known, double value, double scale)
{
	jt__json_key(b, key);
	jt__json_double(b, known ? value / scale : (double)NAN);
}

static void put_micro(struct jt_buf *b, const char *key, bool known, uint64_t value)
{
	jt__json_key(b, key);
	jt__json_micro(b, known ? value : JT_NONE);
}

static void put_reading(struct jt_buf *b, const struct reading *r)
{
	const struct jt_sample *s = &r->last;
	uint64_t mw = power_mw(r);
	bool first = true;

	jt__json_key(b, "reading");
	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "status", state_of(r));
	jt__json_key(b, "read_s");
	jt__json_nano(b, r->read_ns ? r->read_ns : JT_NONE);
	put_micro(b, "energy_j", s->valid & JT_HAS_ENERGY, s->energy_uj);
	put_micro(b, "power_w", mw != JT_NONE, mw * 1000);
	put_scaled(b, "temperature_c", s->valid & JT_HAS_TEMPERATURE, s->temperature_mc, 1000);
	put_scaled(b, "sm_clock_mhz", s->valid & JT_HAS_SM_CLOCK, s->sm_clock_mhz, 1);
	put_scaled(b, "mem_clock_mhz", s->valid & JT_HAS_MEM_CLOCK, s->mem_clock_mhz, 1);
	put_micro(b, "limit_w", s->valid & JT_HAS_LIMIT, (uint64_t)s->limit_mw * 1000);
	put_micro(b, "sm_activity", s->valid & JT_HAS_SM_ACTIVITY, s->sm_activity_ppm);
	put_micro(b, "tensor_activity", s->valid & JT_HAS_TENSOR_ACTIVITY, s->tensor_activity_ppm);
	put_micro(b, "dram_activity", s->valid & JT_HAS_DRAM_ACTIVITY, s->dram_activity_ppm);
	jt__json_key(b, "reasons");
	jt__buf_append_text(b, s->valid & JT_HAS_REASONS ? "[" : "null");
	for (size_t i = 0; s->valid & JT_HAS_REASONS && i < JT_ARRAY_LEN(reasons); i++) {
		if (!(s->reasons & reasons[i].bit))
			continue;
		jt__buf_printf(b, "%s\"%s\"", first ? "" : ",", reasons[i].name);
		first = false;
	}
	jt__buf_append_text(b, s->valid & JT_HAS_REASONS ? "]}" : "}");
}

static void put_domain(struct jt_buf *b, const struct jt_domain *d, const struct reading *r)
{
	bool first = true;

	jt__buf_append_text(b, "{");
	jt__json_member_text(b, "name", d->name);
	jt__json_member_text(b, "source", d->source);
	jt__json_member_text(b, "device", d->device);
	jt__json_member_text(b, "uuid", d->uuid);
	jt__json_member_text(b, "part_of", d->part_of);
	jt__json_member_text(b, "sensor", d->sensor.name);
	jt__json_member_text(b, "provenance", jt_provenance_name(provenance(d)));
	jt__sensor_figures(b, &d->sensor);
	put_micro(b, "wrap_j", d->sensor.wrap_uj, d->sensor.wrap_uj);
	jt__json_key(b, "fields");
	jt__buf_append_text(b, "[");
	for (size_t i = 0; i < JT_ARRAY_LEN(fields); i++) {
		if (!(d->valid & fields[i].bit))
			continue;
		jt__buf_printf(b, "%s\"%s\"", first ? "" : ",", fields[i].name);
		first = false;
	}
	jt__buf_append_text(b, "]");
	put_reading(b, r);
	jt__json_member_text(b, "missing", d->missing);
	jt__buf_append_text(b, "}");
}

static void put_devices(struct jt_buf *b, const struct devices *d)
{
	jt__buf_append_text(b, "{\"domains\":[");
	for (size_t i = 0; i < d->n; i++) {
		jt__buf_append_text(b, i ? "," : "");
		put_domain(b, &d->domains[i]->info, &d->readings[i]);
	}
	jt__buf_append_text(b, "],\"absent\":[");
	for (size_t i = 0; i < jt__sources_n_absent(d->set); i++) {
		const struct jt_source_absence *a = jt__sources_absent(d->set, i);

		jt__buf_append_text(b, i ? ",{" : "{");
		jt__json_member_text(b, "source", a->ops->name);
		jt__json_member_text(b, "why", jt_strerror(a->error.status));
		jt__json_member_text(b, "message", a->error.message);
		jt__buf_append_text(b, "}");
	}
	jt__buf_append_text(b, "]}\n");
}

/* Of the devices, or without any of the table of sensors. */
static int print_json(const struct devices *d, struct jt_error *err)
{
	struct jt_buf b;
	int status = JT_OK;

	jt__buf_init(&b, 1 << 22);
	if (d)
		put_devices(&b, d);
	else
		jt__sensors_json(&b);
	if (b.failed)
		status = jt__fail(err, JT_ENOMEM, "devices", "no memory for the output");
	else
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return status;
}

/* -- the command -- */

static int check_root(const char *root, struct jt_error *err)
{
	struct stat st;

	if (root && stat(root, &st) != 0)
		return jt__fail(err, JT_ENOENT, "devices", "'--root' '%s': %s", root,
		                strerror(errno));
	if (root && !S_ISDIR(st.st_mode))
		return jt__fail(err, JT_EINVAL, "devices", "'--root' '%s' is no directory", root);
	return JT_OK;
}

static int run(const void *args, const struct jt_operands *operands)
{
	const struct args *a = args;
	struct devices d = { 0 };
	struct jt_error err;
	int status;

	(void)operands;
	if (a->sensors && !a->json) {
		jt__sensors_print(stdout);
		return JT_EXIT_OK;
	}
	if (a->sensors)
		return print_json(NULL, &err) < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
	status = check_root(a->root, &err);
	if (status == JT_OK)
		status = devices_init(&d, a, &err);
	if (status == JT_OK && a->json)
		status = print_json(&d, &err);
	else if (status == JT_OK)
		print_table(&d);
	devices_fini(&d);
	return status < 0 ? jt__cli_fail(&err) : JT_EXIT_OK;
}

/* clang-format off */
static const struct jt_opt options[] = {
	{ "root", 0, JT_OPT_TEXT, "DIR", NULL, offsetof(struct args, root), "look for /sys and /proc below this directory" },
	{ "nvml-library", 0, JT_OPT_TEXT, "FILE", NULL, offsetof(struct args, nvml_library), "NVIDIA's libnvidia-ml.so.1, where it is not in its usual place" },
	{ "rocm-library", 0, JT_OPT_TEXT, "FILE", NULL, offsetof(struct args, rocm_library), "AMD's librocm_smi64.so or libamd_smi.so, where it is not in its usual place" },
	{ "sensors", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, sensors), "instead of that, the kinds of sensors that are known, and from where" },
	{ "gpm", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, gpm), "read NVIDIA's profiling counters too, which may wake an idle GPU" },
	{ "json", 0, JT_OPT_FLAG, NULL, NULL, offsetof(struct args, json), "print one JSON object" },
	JT_OPTS_END,
};
/* clang-format on */

const struct jt_command jt__cmd_devices = {
	.name = "devices",
	.what = "what can be measured here, how well, and what is missing",
	.operands = "",
	.text = "Lists the energy domains of this machine (GPUs, CPU packages, memory, supply "
		"rails), each with "
		"the kind of "
		"its sensor, the provenance of its joules, how often the sensor updates, over "
		"which "
		"window it averages, its tolerance, and a reading taken now. A window shorter than "
		"the "
		"update period means that the power field sees only part of the time; the energy "
		"counter, "
		"where there is one, sees all of it.\n\n"
		"A domain that is part of another says so: never add the two up.\n\n"
		"Below that stands what is not here, why, and what to try. Modelled domains are no "
		"meters: "
		"they stand in where nothing measures.\n\n"
		"With another root than / the driver library of this machine is left alone unless "
		"it is named.",
	.examples = "jouletap devices  # what there is\n"
		    "jouletap devices --json  # for a program\n"
		    "jouletap devices --sensors  # what is known of sensors\n"
		    "jouletap devices --nvml-library /opt/nvidia/lib/libnvidia-ml.so.1  # a driver "
		    "elsewhere\n",
	.see_also = "jouletap-sensors(5)",
	.options = options,
	.args_size = sizeof(struct args),
	.run = run,
};
