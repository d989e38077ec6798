/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DRAM description in DRAMsim3's ini format: "[section]", "key = value # comment". From it, as
 * the reference simulator does: one channel (a DIMM)  channel_size MB, but at least one rank, whose
 * size follows from the geometry as in DRAMsim3 its bandwidth         bus_width / 8 * data_rate
 * MT/s channels              memory of the node / channel read latency          CL * tCK power of a
 * DIMM       idle_power, peak_power (mW) The time of an attention operation is a line over its
 * length; slope and intercept are the reference's, fitted to its PIM simulator for each kind of
 * DRAM. Keys that say nothing of these are left alone, and so are the names of the sections.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "simulator/pim.h"
#include "input/textfile.h"
#include "input/value.h"

enum key {
	BANKGROUPS,
	BANKS_PER_GROUP,
	ROWS,
	COLUMNS,
	DEVICE_WIDTH,
	TCK,
	CL,
	CHANNEL_SIZE,
	BUS_WIDTH,
	DATA_RATE,
	IDLE_POWER,
	PEAK_POWER,
	N_KEYS
};

/* What a key must be within; that all products stay finite is part of it. */
static const struct {
	const char *section, *name;
	double min, max;
} keys[N_KEYS] = {
	[BANKGROUPS] = { "dram_structure", "bankgroups", 1, 1e6 },
	[BANKS_PER_GROUP] = { "dram_structure", "banks_per_group", 1, 1e6 },
	[ROWS] = { "dram_structure", "rows", 1, 1e9 },
	[COLUMNS] = { "dram_structure", "columns", 1, 1e9 },
	[DEVICE_WIDTH] = { "dram_structure", "device_width", 1, 1e6 },
	[TCK] = { "timing", "tCK", 1e-6, 1e6 },
	[CL] = { "timing", "CL", 1, 1e6 },
	[CHANNEL_SIZE] = { "system", "channel_size", 1, 1e9 },
	[BUS_WIDTH] = { "system", "bus_width", 1, 1e6 },
	[DATA_RATE] = { "other", "data_rate", 1, 1e9 },
	[IDLE_POWER] = { "other", "idle_power", 0, 1e9 },
	[PEAK_POWER] = { "other", "peak_power", 0, 1e9 },
};

static const struct kind {
	const char *prefix;   /* of the file's name, which tells more than the protocol */
	const char *protocol; /* as DRAMsim3 names it */
	double slope, intercept;
} kinds[] = {
	{ "LPDDR4X", "LPDDR4", 432.4458, 33918.1734 }, { "DDR4", "DDR4", 333.2538, 30675.2739 },
	{ "LPDDR5", "LPDDR5", 282.4338, 15996.7018 },  { "HBM2", "HBM2", 242.0548, 14513.5015 },
	{ "HBM2", "HBM", 242.0548, 14513.5015 },
};

struct ini {
	const char *path;
	size_t line;
	struct jt_error *err;
	double values[N_KEYS];
	bool is_given[N_KEYS], has_point[N_KEYS];
	char protocol[32];
};

static int fail_line(const struct ini *ini, const char *what, const char *text)
{
	return jt__textfile_fail(ini->err, ini->path, ini->line, "%s: '%.60s'", what, text);
}

static int fail_file(const struct ini *ini, const char *fmt, ...) JT_PRINTF(2, 3);
static int fail_file(const struct ini *ini, const char *fmt, ...)
{
	char text[sizeof(ini->err->message)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return jt__fail(ini->err, JT_EINVAL, jt__path_tail(ini->path), "%s", text);
}

static char *trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	while (isspace((unsigned char)*text))
		text++;
	return text;
}

static int set_number(struct ini *ini, enum key k, const char *text)
{
	double v;

	if (!jt__textfile_real(text, strlen(text), &v))
		return jt__textfile_fail(ini->err, ini->path, ini->line,
		                         "'%s' must be a number, not '%.40s'", keys[k].name, text);
	if (!(v >= keys[k].min && v <= keys[k].max))
		return jt__textfile_fail(ini->err, ini->path, ini->line,
		                         "'%s' is %g, not within %g and %g", keys[k].name, v,
		                         keys[k].min, keys[k].max);
	if (ini->is_given[k])
		return fail_line(ini, "given twice", keys[k].name);
	ini->values[k] = v;
	ini->is_given[k] = true;
	ini->has_point[k] = strchr(text, '.') != NULL;
	return JT_OK;
}

static int set_key(struct ini *ini, const char *name, const char *value)
{
	if (strcmp(name, "protocol") == 0) {
		if (*ini->protocol)
			return fail_line(ini, "given twice", name);
		jt__copy_text(ini->protocol, sizeof(ini->protocol), value, strlen(value));
	}
	for (int k = 0; k < N_KEYS; k++) {
		if (strcmp(keys[k].name, name) == 0)
			return set_number(ini, (enum key)k, value);
	}
	return JT_OK;
}

static int read_line(struct ini *ini, char *line)
{
	char *equals;

	line[strcspn(line, "#")] = '\0';
	line = trim(line);
	if (!*line || *line == ';')
		return JT_OK;
	if (*line == '[')
		return line[strlen(line) - 1] == ']'
		               ? JT_OK
		               : fail_line(ini, "a section without its ']'", line);
	equals = strchr(line, '=');
	if (!equals || equals == line)
		return fail_line(ini, "neither 'key = value' nor '[section]'", line);
	*equals = '\0';
	return set_key(ini, trim(line), trim(equals + 1));
}

static int read_lines(struct ini *ini, const char *text, size_t n)
{
	const char *end = text + n;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		size_t length = (size_t)((newline ? newline : end) - text);
		char line[512];
		int status;

		ini->line++;
		if (!jt__copy_text(line, sizeof(line), text, length))
			return jt__textfile_fail(ini->err, ini->path, ini->line,
			                         "longer than %zu bytes", sizeof(line) - 1);
		status = read_line(ini, line);
		if (status)
			return status;
		text += length + 1;
	}
	for (int k = 0; k < N_KEYS; k++) {
		if (!ini->is_given[k])
			return fail_file(ini, "'%s' is missing: it belongs into [%s]", keys[k].name,
			                 keys[k].section);
	}
	return JT_OK;
}

static const struct kind *find_kind(const char *name, const char *protocol)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++) {
		if (strncmp(name, kinds[i].prefix, strlen(kinds[i].prefix)) == 0)
			return &kinds[i];
	}
	for (size_t i = 0; i < JT_ARRAY_LEN(kinds); i++) {
		if (strcmp(protocol, kinds[i].protocol) == 0)
			return &kinds[i];
	}
	return NULL;
}

/* The order of the operations is the reference's: the last digits are printed. */
static double channel_gb(const struct ini *ini)
{
	const double *v = ini->values;
	double devices = v[BUS_WIDTH] / v[DEVICE_WIDTH];
	double page_bytes = v[COLUMNS] * v[DEVICE_WIDTH] / 8;
	double bank_mb = page_bytes * (v[ROWS] / 1024) / 1024;
	double rank_mb = bank_mb * (v[BANKGROUPS] * v[BANKS_PER_GROUP]) * devices;

	return JT_MAX(rank_mb, v[CHANNEL_SIZE]) / 1024;
}

static int derive(const struct ini *ini, double mem_gb, struct jt_pim *pim)
{
	const struct kind *kind = find_kind(pim->name, ini->protocol);
	const double *v = ini->values;

	if (!kind)
		return fail_file(ini,
		                 "protocol '%s' is not known: try LPDDR4, DDR4, LPDDR5 or HBM2",
		                 ini->protocol);
	if (v[PEAK_POWER] < v[IDLE_POWER])
		return fail_file(ini, "'peak_power' (%g mW) is below 'idle_power' (%g mW)",
		                 v[PEAK_POWER], v[IDLE_POWER]);
	pim->channel_gb = channel_gb(ini);
	pim->n_channels = (uint32_t)jt__whole(JT_MIN(mem_gb / pim->channel_gb, 1e9));
	if (!pim->n_channels)
		return fail_file(ini,
		                 "a channel of %g GB is larger than the node's memory of %g GB",
		                 pim->channel_gb, mem_gb);
	pim->bw_gbs = mem_gb / pim->channel_gb * (v[BUS_WIDTH] / 8 * v[DATA_RATE] / 1000);
	pim->latency_ns = v[CL] * v[TCK];
	pim->latency_is_whole = !ini->has_point[CL] && !ini->has_point[TCK];
	pim->idle_w = v[IDLE_POWER] / 1000;
	pim->peak_w = v[PEAK_POWER] / 1000;
	pim->slope = kind->slope;
	pim->intercept = kind->intercept;
	return JT_OK;
}

/* "dir/DDR4_8GB_3200_pim.ini" is called "DDR4_8GB_3200_pim". */
static void set_name(struct jt_pim *pim, const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;

	jt__copy_text(pim->name, sizeof(pim->name), base, strcspn(base, "."));
}

int jt__pim_parse(const char *text, size_t n, const char *path, double mem_gb,
                  struct jt_pim *ret_pim, struct jt_error *err)
{
	struct ini ini = { .path = path, .err = err };
	struct jt_pim pim = { .name = "" };
	int status;

	set_name(&pim, path);
	if ((status = read_lines(&ini, text, n)) < 0 || (status = derive(&ini, mem_gb, &pim)) < 0)
		return status;
	*ret_pim = pim;
	return JT_OK;
}

int jt__pim_load(const char *path, double mem_gb, struct jt_pim *ret_pim, struct jt_error *err)
{
	struct jt_buf text;
	int status;

	jt__buf_init(&text, JT_PIM_MAX_BYTES);
	status = jt__textfile_read(path, "simulate", &text, err);
	if (!status)
		status = jt__pim_parse(jt__buf_bytes(&text), jt__buf_len(&text), path, mem_gb,
		                       ret_pim, err);
	jt__buf_fini(&text);
	return status;
}
