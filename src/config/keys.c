/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "config/keys.h"

#define SIZE(type, member) sizeof(((type *)0)->member)
#define AT(member)                                                                                 \
	.offset = offsetof(struct jt_config, member), .size = SIZE(struct jt_config, member)
#define IN(type, member) .offset = offsetof(struct type, member), .size = SIZE(struct type, member)
#define ITEMS(type, member, count)                                                                 \
	.offset = offsetof(struct type, member), .size = SIZE(struct type, member[0]),             \
	.n_offset = offsetof(struct type, count),                                                  \
	.n_max = SIZE(struct type, member) / SIZE(struct type, member[0])
#define ITEM(type, member) .size = SIZE(struct type, member[0])
#define RANGE(low, high) .min = (low), .max = (high)

/* clang-format off */
const struct jt_key jt__config_keys[] = {
	{ "listen", JT_KEY_ADDRESS, AT(listen), .fallback = "127.0.0.1:8080",
	  .doc = "Where clients connect, as HOST:PORT." },
	{ "admin", JT_KEY_ADDRESS, AT(admin), .fallback = "127.0.0.1:9464",
	  .doc = "Where /metrics and the other pages for operators are served, as HOST:PORT. Keep it away from clients." },
	{ "workers", JT_KEY_COUNT, AT(workers), RANGE(1, 64),
	  .doc = "Threads that serve clients, each with an event loop of its own. Default: one for each processor." },

	{ "metering", JT_KEY_SECTION },
	{ "metering.poll_interval_ms", JT_KEY_MILLISECONDS, AT(metering.poll_interval_ns), RANGE(10, 10000), .fallback = "100",
	  .doc = "Time between two readings of a sensor." },
	{ "metering.gpu_indices", JT_KEY_LIST, ITEMS(jt_config, metering.gpu_indices, metering.n_gpu_indices),
	  .doc = "GPUs to meter, by the driver's index. Default: all." },
	{ "metering.gpu_indices[]", JT_KEY_COUNT, ITEM(jt_config, metering.gpu_indices), RANGE(0, 63),
	  .doc = "One index." },
	{ "metering.phase_split", JT_KEY_SECTION, .check = jt__check_phase_split,
	  .doc = "How a request's energy falls on its phases where nothing better is known: no token boundary seen, no timings from the engine." },
	{ "metering.phase_split.prefill_ratio", JT_KEY_RATIO, AT(metering.prefill_ppm), RANGE(0, 1), .fallback = "0.25",
	  .doc = "Part of the prefill. Both parts together make 1." },
	{ "metering.phase_split.decode_ratio", JT_KEY_RATIO, AT(metering.decode_ppm), RANGE(0, 1), .fallback = "0.75",
	  .doc = "Part of the decode." },
	{ "metering.policy", JT_KEY_TEXT, AT(metering.policy), .choices = "equal|tokens|roofline", .fallback = "roofline",
	  .doc = "How the energy of a domain is shared among the requests on it: alike, by tokens, or by the bytes and FLOPs that the model's architecture implies." },
	{ "metering.idle_power_w", JT_KEY_MAP, ITEMS(jt_config, metering.idle, metering.n_idle),
	  .doc = "What a domain draws with nothing to do, by domain name. Domains that are not named learn it from idle stretches." },
	{ "metering.idle_power_w.*", JT_KEY_WATTS, IN(jt_config_idle, power_mw), RANGE(0, 100000),
	  .doc = "Draw of the domain of that name." },
	{ "metering.root", JT_KEY_TEXT, AT(metering.root),
	  .doc = "Directory that is taken for / when sensors below /sys and /proc are looked for." },
	{ "metering.nvml_library", JT_KEY_TEXT, AT(metering.nvml_library),
	  .doc = "Path of the NVIDIA management library. Default: libnvidia-ml.so.1 where the system has it." },
	{ "metering.rocm_library", JT_KEY_TEXT, AT(metering.rocm_library),
	  .doc = "Path of AMD's management library, librocm_smi64 or libamd_smi, which is asked for the energy of GPUs whose kernel driver does not tell it. Default: where the system or /opt/rocm has it." },
	{ "metering.gpm", JT_KEY_BOOL, AT(metering.gpm), .fallback = "false",
	  .doc = "Read the profiling counters of NVIDIA GPUs that have them (GPM, Hopper and newer): how busy multiprocessors, tensor cores and memory are. The energy of a GPU that is split by MIG is then shared out by activity, else by size alone. Off, because such counters may keep an idle GPU awake: an A100 was seen to draw 100 W instead of 50 (https://github.com/NVIDIA/dcgm-exporter/issues/464)." },
	{ "metering.recording", JT_KEY_TEXT, AT(metering.recording),
	  .doc = "File to which every sample and span is written, for jouletap-replay(1). One that is there already when the gateway starts is set aside as FILE.TIME, with the time of its last change; nothing removes those." },
	{ "metering.probe_paths", JT_KEY_LIST, ITEMS(jt_config, metering.probe_paths, metering.n_probe_paths), .fallback = "/health_generate",
	  .doc = "Paths by which others see whether an engine is well, and at which it generates for that: metered, as of the task class probe where the request names none. SGLang generates at /health too, unless it is told not to." },
	{ "metering.probe_paths[]", JT_KEY_TEXT, ITEM(jt_config, metering.probe_paths), .check = jt__check_path },

	{ "routing", JT_KEY_SECTION },
	{ "routing.task_classes", JT_KEY_MAP, ITEMS(jt_config, routing.task_classes, routing.n_task_classes),
	  .doc = "Kinds of work, by the name that clients send in x-jouletap-task-class." },
	{ "routing.task_classes.*", JT_KEY_SECTION },
	{ "routing.task_classes.*.model", JT_KEY_TEXT, .inactive = true, IN(jt_config_task_class, model),
	  .doc = "Model that serves the class." },
	{ "routing.task_classes.*.max_tokens", JT_KEY_COUNT, .inactive = true, IN(jt_config_task_class, max_tokens), RANGE(1, 1e9),
	  .doc = "Most tokens that one answer may have." },
	{ "routing.task_classes.*.reasoning_enabled", JT_KEY_BOOL, .inactive = true, IN(jt_config_task_class, reasoning_enabled), .fallback = "false",
	  .doc = "Whether the model may reason at length." },
	{ "routing.task_classes.*.throttle_threshold_j", JT_KEY_JOULES, .inactive = true, IN(jt_config_task_class, throttle_threshold_uj), RANGE(0, 1e12),
	  .doc = "Energy of one request above which the class is throttled." },
	{ "routing.default_task_class", JT_KEY_TEXT, AT(routing.default_task_class), .fallback = "default",
	  .doc = "Class of requests that name none." },

	{ "autoscaling", JT_KEY_SECTION },
	{ "autoscaling.power_budget_w", JT_KEY_WATTS, .inactive = true, AT(autoscaling.power_budget_mw), RANGE(0, 1e9),
	  .doc = "Power that all domains together may draw." },
	{ "autoscaling.thermal_limit_c", JT_KEY_CELSIUS, .inactive = true, AT(autoscaling.thermal_limit_mc), RANGE(0, 150),
	  .doc = "Temperature above which load is shed." },
	{ "autoscaling.scale_up_trigger", JT_KEY_TEXT, .inactive = true, AT(autoscaling.scale_up_trigger),
	  .doc = "Condition under which one more replica is asked for." },
	{ "autoscaling.scale_down_trigger", JT_KEY_TEXT, .inactive = true, AT(autoscaling.scale_down_trigger),
	  .doc = "Condition under which a replica is given back." },

	{ "telemetry", JT_KEY_SECTION },
	{ "telemetry.export_format", JT_KEY_TEXT, AT(telemetry.export_format), .choices = "prometheus", .fallback = "prometheus",
	  .doc = "What /metrics speaks; OpenMetrics is given to those who ask for it." },
	{ "telemetry.labels", JT_KEY_LIST, .inactive = true, ITEMS(jt_config, telemetry.labels, telemetry.n_labels),
	  .doc = "Labels of the exported series." },
	{ "telemetry.labels[]", JT_KEY_TEXT, ITEM(jt_config, telemetry.labels) },
	{ "telemetry.retention_days", JT_KEY_DAYS, .inactive = true, AT(telemetry.retention_days), RANGE(1, 36500),
	  .doc = "How long records are kept." },
	{ "telemetry.access_log", JT_KEY_TEXT, AT(telemetry.access_log),
	  .doc = "File to which one line of JSON for each finished request is appended; see jouletap-record(5)." },
	{ "telemetry.energy_ttl_s", JT_KEY_SECONDS, AT(telemetry.energy_ttl_ns), RANGE(1, 86400), .fallback = "300",
	  .doc = "How long GET /v1/energy/ID remembers a request." },

	{ "prediction", JT_KEY_SECTION,
	  .doc = "What a request will cost, told before it is sent: for upstreams whose architecture is named and whose GPU is known." },
	{ "prediction.fitted", JT_KEY_TEXT, AT(prediction.fitted),
	  .doc = "The fitted model, from jouletap-train(1). Default: jouletap's own." },
	{ "prediction.factors", JT_KEY_TEXT, AT(prediction.factors),
	  .doc = "What the meter has taught, as jouletap predict --recalibrate writes it; see jouletap-predict(1)." },

	{ "limits", JT_KEY_SECTION },
	{ "limits.max_head_bytes", JT_KEY_BYTES, AT(limits.max_head_bytes), RANGE(1024, 1048576), .fallback = "65536",
	  .doc = "Start line and headers of a request or an answer." },
	{ "limits.max_body_bytes", JT_KEY_BYTES, AT(limits.max_body_bytes), RANGE(1024, 1073741824), .fallback = "33554432",
	  .doc = "Body of a request that has to be read whole." },
	{ "limits.max_connections", JT_KEY_COUNT, AT(limits.max_connections), RANGE(1, 1000000), .fallback = "16384",
	  .doc = "Client connections open at once." },

	{ "timeouts", JT_KEY_SECTION },
	{ "timeouts.connect_s", JT_KEY_SECONDS, AT(timeouts.connect_ns), RANGE(0.01, 600), .fallback = "5",
	  .doc = "Connecting to an upstream." },
	{ "timeouts.first_byte_s", JT_KEY_SECONDS, AT(timeouts.first_byte_ns), RANGE(0.1, 86400), .fallback = "600",
	  .doc = "Request sent to the head of the answer: queue and prefill fit in here." },
	{ "timeouts.silence_s", JT_KEY_SECONDS, AT(timeouts.silence_ns), RANGE(0.1, 86400), .fallback = "120",
	  .doc = "Between two reads of an answer." },
	{ "timeouts.head_s", JT_KEY_SECONDS, AT(timeouts.head_ns), RANGE(0.1, 600), .fallback = "10",
	  .doc = "First byte of a request to the end of its head." },
	{ "timeouts.idle_s", JT_KEY_SECONDS, AT(timeouts.idle_ns), RANGE(0.1, 86400), .fallback = "60",
	  .doc = "A client's connection without a request." },
	{ "timeouts.drain_s", JT_KEY_SECONDS, AT(timeouts.drain_ns), RANGE(0, 86400), .fallback = "30",
	  .doc = "Open requests when the gateway is told to stop." },

	{ "upstreams", JT_KEY_LIST, ITEMS(jt_config, upstreams, n_upstreams), .check = jt__check_upstreams,
	  .doc = "The engines behind the gateway." },
	{ "upstreams[]", JT_KEY_SECTION, .check = jt__check_upstream },
	{ "upstreams[].name", JT_KEY_TEXT, IN(jt_config_upstream, name),
	  .doc = "Name in records and metrics. Default: HOST:PORT of the url." },
	{ "upstreams[].url", JT_KEY_URL, IN(jt_config_upstream, url),
	  .doc = "http://HOST[:PORT][/PREFIX]. The path that the client asks for is appended, so there is no /v1 at the end. Required." },
	{ "upstreams[].models", JT_KEY_LIST, ITEMS(jt_config_upstream, models, n_models),
	  .doc = "Models it serves, as clients name them. Default: any." },
	{ "upstreams[].models[]", JT_KEY_TEXT, ITEM(jt_config_upstream, models) },
	{ "upstreams[].domains", JT_KEY_LIST, ITEMS(jt_config_upstream, domains, n_domains),
	  .doc = "Energy domains it runs on, as jouletap-devices(1) names them: gpu:0, cpu:0, or mig:0:1 for an instance of a GPU that is split by MIG. None of them may be part of another. Default: every GPU, or where there is none every domain that contains no other." },
	{ "upstreams[].domains[]", JT_KEY_TEXT, ITEM(jt_config_upstream, domains) },
	{ "upstreams[].architecture", JT_KEY_TEXT, IN(jt_config_upstream, architecture),
	  .doc = "The model's config.json as Hugging Face publishes it, for the roofline policy and predictions." },
	{ "upstreams[].gpu", JT_KEY_TEXT, IN(jt_config_upstream, gpu),
	  .doc = "GPU type for the roofline policy and predictions; the beginning of a name or parts of it are enough: H100, A100 80GB. Default: what the driver says." },
	{ "upstreams[].max_batch_tokens", JT_KEY_COUNT, IN(jt_config_upstream, max_batch_tokens), RANGE(1, 1e6),
	  .doc = "Tokens of an engine step at most, as the engine is configured (vLLM: --max-num-batched-tokens): a longer prompt prefills in chunks. For the tokens and roofline policies. Default: 2048." },
	{ "upstreams[].tensor_parallel", JT_KEY_COUNT, IN(jt_config_upstream, tensor_parallel), RANGE(1, 1024),
	  .doc = "GPUs that the model is cut over, for predictions (vLLM: --tensor-parallel-size). Where it has more GPUs, each so many have a copy. Default: all GPUs among its domains." },
	{ "upstreams[].max_num_seqs", JT_KEY_COUNT, IN(jt_config_upstream, max_num_seqs), RANGE(1, 1e6),
	  .doc = "Requests that the engine computes at once at most, for predictions (vLLM: --max-num-seqs). Default: not known." },
	{ "upstreams[].dtype", JT_KEY_TEXT, IN(jt_config_upstream, dtype), .choices = "bf16|fp16|fp32|fp8|mxfp4|int8|nf4|awq|gptq",
	  .doc = "How the weights are kept, for predictions. Default: what the architecture says." },
	{ .path = NULL },
};
/* clang-format on */

_Static_assert(JT_ARRAY_LEN(jt__config_keys) <= JT_CONFIG_MAX_KEYS,
               "is_set[] has room for each row");

const struct jt_number_kind *jt__key_number(const struct jt_key *k)
{
	static const struct jt_number_kind kinds[] = {
		{ "", 1, true },      { "bytes", 1, true }, { "days", 1, true },
		{ "ms", 1e6, false }, { "s", 1e9, false },  { "W", 1e3, false },
		{ "J", 1e6, false },  { "°C", 1e3, false }, { "", 1e6, false },
	};

	return k->kind < JT_KEY_COUNT ? NULL : &kinds[k->kind - JT_KEY_COUNT];
}

const char *jt__key_name_in(const struct jt_key *k, const struct jt_key *parent)
{
	size_t n = parent ? strlen(parent->path) : 0;
	const char *name = k->path + n;

	if (parent && strncmp(k->path, parent->path, n) != 0)
		return NULL;
	if (parent && *name == '.')
		name++;
	else if (parent && *name != '[')
		return NULL;
	return *name && !strchr(name, '.') && (!strchr(name, '[') || *name == '[') ? name : NULL;
}

const struct jt_key *jt__key_child(const struct jt_key *parent, const char *name)
{
	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		const char *own = jt__key_name_in(k, parent);

		if (own && strcmp(own, name) == 0)
			return k;
	}
	return NULL;
}

/* The key that @name may have been meant to be, or NULL. */
static const char *nearest_name(const struct jt_key *parent, const char *name)
{
	unsigned best = (strlen(name) + 2) / 3 + 1;
	const char *nearest = NULL;

	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		const char *own = jt__key_name_in(k, parent);
		unsigned distance = own ? jt__edit_distance(own, name) : best;

		if (distance < best) {
			best = distance;
			nearest = own;
		}
	}
	return nearest;
}

/* Wrong indentation puts a key into the wrong section: the one that has a @name, or NULL. */
static const struct jt_key *elsewhere(const char *name)
{
	for (const struct jt_key *k = jt__config_keys; k->path; k++) {
		const char *dot = strrchr(k->path, '.');

		if (strcmp(dot ? dot + 1 : k->path, name) == 0)
			return k;
	}
	return NULL;
}

static void list_names(const struct jt_key *parent, char *ret_list, size_t size)
{
	size_t n = snprintf(ret_list, size, "; keys here are");

	for (const struct jt_key *k = jt__config_keys; k->path && n < size; k++) {
		const char *own = jt__key_name_in(k, parent);

		if (own)
			n += snprintf(ret_list + n, size - n, " '%s'", own);
	}
}

void jt__key_suggest(const struct jt_key *parent, const char *name, char *ret_hint, size_t size)
{
	const char *nearest = nearest_name(parent, name);
	const struct jt_key *other = elsewhere(name);
	const char *dot = other ? strrchr(other->path, '.') : NULL;

	if (nearest)
		snprintf(ret_hint, size, "; did you mean '%s'", nearest);
	else if (dot)
		snprintf(ret_hint, size, "; it belongs under '%.*s'", (int)(dot - other->path),
		         other->path);
	else if (other)
		snprintf(ret_hint, size, "; it belongs at the left margin");
	else
		list_names(parent, ret_hint, size);
}

static void describe_value(const struct jt_key *k, struct jt_buf *b)
{
	const struct jt_number_kind *number = jt__key_number(k);

	if (number)
		jt__buf_printf(b, " %s from %.15g to %.15g%s%s.",
		               number->whole ? "A whole number" : "A number", k->min, k->max,
		               *number->unit ? " " : "", number->unit);
	if (k->choices && strchr(k->choices, '|'))
		jt__buf_printf(b, " One of %s.", k->choices);
	else if (k->choices)
		jt__buf_printf(b, " For now only %s.", k->choices);
	if (k->kind == JT_KEY_BOOL)
		jt__buf_append_text(b, " true or false.");
	if (k->fallback)
		jt__buf_printf(b, " Default: %s.", k->fallback);
	if (k->n_max)
		jt__buf_printf(b, " At most %zu.", k->n_max);
	if (k->inactive)
		jt__buf_append_text(b, " Read and checked, but nothing acts on it yet.");
}

/* scdoc takes a bare '*' for bold and an '_' at the edge of a word for underlined. */
static void append_escaped(struct jt_buf *b, const char *text)
{
	for (; *text; text++) {
		if (strchr("*_\\", *text))
			jt__buf_append_text(b, "\\");
		jt__buf_append(b, text, 1);
	}
}

static void describe_key(const struct jt_key *k, struct jt_buf *b)
{
	jt__buf_append_text(b, "*");
	append_escaped(b, k->path);
	jt__buf_append_text(b, "*\n\t");
	append_escaped(b, k->doc);
	describe_value(k, b);
	jt__buf_append_text(b, "\n\n");
}

void jt__config_describe(struct jt_buf *b)
{
	for (const struct jt_key *k = jt__config_keys; k->path; k++)
		if (k->doc)
			describe_key(k, b);
}
