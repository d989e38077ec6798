/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CONFIG_H
#define JT_CONFIG_H
/*
 * The configuration: one YAML file, read through one table of keys (keys.c)
 * into one plain struct. Read once at start; then constant, any thread.
 *
 * Inside: power in mW, energy in µJ, time in ns, ratios in ppm, temperature in
 * m°C. Numbers that were not given and have no default are JT_NONE, texts "".
 */
#include "base/buf.h"
#include "jouletap/record.h"

#define JT_CONFIG_MAX_BYTES (1u << 20)
#define JT_CONFIG_MAX_KEYS 96

/* Idle draw of one domain. Map items start with their name. */
struct jt_config_idle {
	char domain[32];
	uint64_t power_mw;
};

struct jt_config_task_class {
	char name[32];
	char model[96];
	uint64_t max_tokens;
	bool reasoning_enabled;
	uint64_t throttle_threshold_uj;
};

struct jt_config_upstream {
	char name[32];
	char url[256];
	char host[128]; /* of the URL, without the brackets of an IPv6 address */
	char port[8];
	char prefix[128]; /* path in front of the client's, "" or "/v2" without a slash at the end
	                   */
	char models[64][96];
	size_t n_models; /* 0: any model */
	char domains[64][32];
	size_t n_domains; /* 0: every domain */
	char architecture[256];
	char gpu[64];
	uint64_t max_batch_tokens;
	uint64_t tensor_parallel;
	uint64_t max_num_seqs;
	char dtype[16];
};

struct jt_config {
	char listen[128];
	char admin[128];
	uint64_t workers;

	struct {
		uint64_t poll_interval_ns;
		uint64_t gpu_indices[64];
		size_t n_gpu_indices; /* 0: all */
		uint64_t prefill_ppm;
		uint64_t decode_ppm;
		char policy[12];
		struct jt_config_idle idle[64];
		size_t n_idle;
		char root[256];
		char nvml_library[256];
		char rocm_library[256];
		bool gpm;
		char recording[256];
		char probe_paths[16][48];
		size_t n_probe_paths;
	} metering;

	struct {
		struct jt_config_task_class task_classes[64];
		size_t n_task_classes;
		char default_task_class[32];
	} routing;

	struct {
		uint64_t power_budget_mw;
		uint64_t thermal_limit_mc;
		char scale_up_trigger[256];
		char scale_down_trigger[256];
	} autoscaling;

	struct {
		char export_format[16];
		char labels[32][32];
		size_t n_labels;
		uint64_t retention_days;
		char access_log[256];
		uint64_t energy_ttl_ns;
	} telemetry;

	struct {
		char fitted[256];
		char factors[256];
	} prediction;

	struct {
		uint64_t max_head_bytes;
		uint64_t max_body_bytes;
		uint64_t max_connections;
	} limits;

	struct {
		uint64_t connect_ns;
		uint64_t first_byte_ns;
		uint64_t silence_ns;
		uint64_t head_ns;
		uint64_t idle_ns;
		uint64_t drain_ns;
	} timeouts;

	struct jt_config_upstream upstreams[64];
	size_t n_upstreams;

	bool is_set[JT_CONFIG_MAX_KEYS]; /* by row of the key table: given in the file */
};

/* What holds when nothing is configured. JT_ENOMEM. */
int jt__config_new(struct jt_config **ret_cfg, struct jt_error *err);

/*
 * err->where is "NAME:LINE" for whatever a line can be blamed for. JT_EINVAL: the content;
 * JT_ELIMIT: more than JT_CONFIG_MAX_BYTES; JT_ENOENT, JT_EPERM, JT_EIO: the file; JT_ENOMEM.
 */
int jt__config_load(const char *path, struct jt_config **ret_cfg, struct jt_error *err);
int jt__config_parse(const char *text, size_t n, const char *name, struct jt_config **ret_cfg,
                     struct jt_error *err);
void jt__config_free(struct jt_config *cfg); /* accepts NULL */

/* Adds "URL" or "URL=gpu:0,gpu:1", as --upstream takes it. JT_EINVAL, JT_ELIMIT. */
int jt__config_add_upstream(struct jt_config *cfg, const char *text, struct jt_error *err);

/* "HOST:PORT" or "[ADDRESS]:PORT". */
bool jt__config_is_address(const char *text);

/*
 * Appends one sentence naming the keys that were given but do not act yet; false if there are none.
 */
bool jt__config_inactive(const struct jt_config *cfg, struct jt_buf *b);

/* Appends the table of keys in scdoc, for jouletap.yaml(5). */
void jt__config_describe(struct jt_buf *b);

#endif
