/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <jansson.h>
#include "base/clock.h"
#include "sources/decimal.h"
#include "sources/recording.h"

#define MAX_DOMAINS 1024
#define MAX_TIME_NS (3600 * JT_NS_PER_S) /* of a sensor's period, windows and lag */

/* A number of a struct and how it looks outside: @digits decimals of the unit in the name. */
struct field {
	const char *name;
	size_t offset;
	enum { U64, U32, I32 } type;
	unsigned digits;
	uint32_t bit; /* JT_HAS_*; 0: always there */
};

/* clang-format off */
#define SAMPLE(name, member, type, digits, bit) \
	{ name, offsetof(struct jt_sample, member), type, digits, bit }
static const struct field sample_fields[] = {
	SAMPLE("energy_j",      energy_uj,      U64, 6, JT_HAS_ENERGY),
	SAMPLE("power_w",       power_mw,       U32, 3, JT_HAS_POWER),
	SAMPLE("power_avg_w",   power_avg_mw,   U32, 3, JT_HAS_POWER_AVG),
	SAMPLE("temperature_c", temperature_mc, I32, 3, JT_HAS_TEMPERATURE),
	SAMPLE("sm_clock_mhz",  sm_clock_mhz,   U32, 0, JT_HAS_SM_CLOCK),
	SAMPLE("mem_clock_mhz", mem_clock_mhz,  U32, 0, JT_HAS_MEM_CLOCK),
	SAMPLE("limit_w",       limit_mw,       U32, 3, JT_HAS_LIMIT),
	SAMPLE("reasons",       reasons,        U32, 0, JT_HAS_REASONS),
	SAMPLE("sm_activity",   sm_activity_ppm,     U32, 6, JT_HAS_SM_ACTIVITY),
	SAMPLE("tensor_activity", tensor_activity_ppm, U32, 6, JT_HAS_TENSOR_ACTIVITY),
	SAMPLE("dram_activity", dram_activity_ppm,   U32, 6, JT_HAS_DRAM_ACTIVITY),
};

#define SENSOR(name, member, type, digits) \
	{ name, offsetof(struct jt_sensor, member), type, digits, 0 }
#define LATER 1 /* instead of a bit: a recording may lack it: then as the kind has it */
static const struct field sensor_fields[] = {
	SENSOR("update_s",     update_ns,     U64, 9),
	SENSOR("window_s",     window_ns,     U64, 9),
	SENSOR("avg_window_s", avg_window_ns, U64, 9),
	{ "filter_s", offsetof(struct jt_sensor, filter_ns), U64, 9, LATER },
	SENSOR("lag_s",        lag_ns,        U64, 9),
	SENSOR("wrap_j",       wrap_uj,       U64, 6),
	SENSOR("step_j",       step_uj,       U64, 6),
	SENSOR("gain",         gain_ppm,      U32, 6),
	{ "offset_w", offsetof(struct jt_sensor, offset_mw), U32, 3, LATER },
	SENSOR("max_power_w",  max_power_mw,  U32, 3),
};

#define SPAN(name, member, type, digits) \
	{ name, offsetof(struct jt_span, member), type, digits, 0 }
static const struct field span_fields[] = {
	SPAN("request", request, U64, 0),
	SPAN("tokens",  tokens,  U32, 0),
};

#define ACTIVITY(name, member) { name, offsetof(struct jt_activity, member), I32, 0, 0 }
static const struct field activity_fields[] = {
	ACTIVITY("prefill", prefill),
	ACTIVITY("decode",  decode),
};
/* clang-format on */

/* -- writing -- */

static void put_text(struct jt_buf *b, const char *text)
{
	jt__json_string(b, text, strlen(text));
}

static void put_value(struct jt_buf *b, const struct field *f, const void *base)
{
	const void *p = (const char *)base + f->offset;
	int64_t i = f->type == I32 ? *(const int32_t *)p : 0;
	uint64_t v = f->type == U64   ? *(const uint64_t *)p
	             : f->type == U32 ? *(const uint32_t *)p
	                              : (uint64_t)(i < 0 ? -i : i);

	if (i < 0)
		jt__buf_append_text(b, "-");
	if (f->digits == 9)
		jt__json_nano(b, v);
	else if (f->digits == 0)
		jt__json_u64(b, v);
	else
		jt__json_micro(b, f->digits == 3 ? v * 1000 : v);
}

static void put_fields(struct jt_buf *b, const struct field *f, size_t n, const void *base,
                       uint32_t valid)
{
	for (size_t i = 0; i < n; i++) {
		if (f[i].bit && !(valid & f[i].bit))
			continue;
		jt__buf_printf(b, ",\"%s\":", f[i].name);
		put_value(b, &f[i], base);
	}
}

static void put_domain(struct jt_buf *b, const struct jt_domain *d)
{
	const char *comma = "";

	jt__buf_append_text(b, "{\"name\":");
	put_text(b, d->name);
	jt__buf_append_text(b, ",\"source\":");
	put_text(b, d->source);
	jt__buf_append_text(b, ",\"device\":");
	put_text(b, d->device);
	jt__buf_append_text(b, ",\"uuid\":");
	put_text(b, d->uuid);
	jt__buf_append_text(b, ",\"missing\":");
	put_text(b, d->missing);
	jt__buf_append_text(b, ",\"part_of\":");
	put_text(b, d->part_of);
	jt__buf_append_text(b, ",\"fields\":[");
	for (size_t i = 0; i < JT_ARRAY_LEN(sample_fields); i++) {
		if (!(d->valid & sample_fields[i].bit))
			continue;
		jt__buf_printf(b, "%s\"%s\"", comma, sample_fields[i].name);
		comma = ",";
	}
	jt__buf_append_text(b, "],\"sensor\":{\"kind\":");
	put_text(b, d->sensor.name ? d->sensor.name : "gpu");
	jt__buf_append_text(b, ",\"provenance\":");
	put_text(b, jt_provenance_name(d->sensor.provenance));
	put_fields(b, sensor_fields, JT_ARRAY_LEN(sensor_fields), &d->sensor, 0);
	jt__buf_append_text(b, "}}");
}

void jt__recording_put_head(struct jt_buf *b, uint64_t start_unix_ns,
                            const struct jt_domain *domains, size_t n_domains)
{
	char start[32];

	jt__format_rfc3339(start_unix_ns, start);
	jt__buf_printf(b, "{\"jouletap_recording\":%d,\"start\":\"%s\",\"domains\":[",
	               JT_RECORDING_VERSION, start);
	for (size_t i = 0; i < n_domains; i++) {
		if (i)
			jt__buf_append_text(b, ",");
		put_domain(b, &domains[i]);
	}
	jt__buf_append_text(b, "]}\n");
}

static const char *status_name(int status)
{
	switch (status) {
#define JT_X(name, value, text)                                                                    \
	case name:                                                                                 \
		return #name;
		JT_ERROR_MAP(JT_X)
#undef JT_X
	default:
		return "JT_EIO";
	}
}

static void put_times(struct jt_buf *b, const char *begin, uint64_t begin_ns, const char *end,
                      uint64_t end_ns)
{
	jt__buf_printf(b, ",\"%s\":", begin);
	jt__json_nano(b, begin_ns);
	jt__buf_printf(b, ",\"%s\":", end);
	jt__json_nano(b, end_ns);
}

void jt__recording_put_sample(struct jt_buf *b, uint64_t origin_ns, const char *domain,
                              const struct jt_sample *s)
{
	jt__buf_append_text(b, "{\"sample\":{\"domain\":");
	put_text(b, domain);
	put_times(b, "t_s", s->begin_ns - origin_ns, "t_end_s", s->end_ns - origin_ns);
	put_fields(b, sample_fields, JT_ARRAY_LEN(sample_fields), s, s->valid);
	if (s->status < 0)
		jt__buf_printf(b, ",\"status\":\"%s\"", status_name(s->status));
	jt__buf_append_text(b, "}}\n");
}

void jt__recording_put_span(struct jt_buf *b, uint64_t origin_ns, const struct jt_span *s)
{
	jt__buf_printf(b, "{\"span\":{\"phase\":\"%s\"", jt_phase_name(s->phase));
	put_times(b, "begin_s", s->begin_ns - origin_ns, "end_s", s->end_ns - origin_ns);
	put_fields(b, span_fields, JT_ARRAY_LEN(span_fields), s, 0);
	jt__buf_append_text(b, "}}\n");
}

void jt__recording_put_activity(struct jt_buf *b, uint64_t origin_ns, const char *domain,
                                const struct jt_activity *change)
{
	jt__buf_append_text(b, "{\"activity\":{\"domain\":");
	put_text(b, domain);
	jt__buf_append_text(b, ",\"t_s\":");
	jt__json_nano(b, change->t_ns - origin_ns);
	put_fields(b, activity_fields, JT_ARRAY_LEN(activity_fields), change, 0);
	jt__buf_append_text(b, "}}\n");
}

/* -- reading -- */

/* A line under examination: where it is, and whom to tell. */
struct context {
	const char *where;
	struct jt_error *err;
};

/*
 * jansson turns every fraction into a double, which would round a month-old counter. So each number
 * is handed to it as an array of one string, ["12.5"], a form that nothing else in the format has.
 */
static void wrap_numbers(const char *p, const char *end, struct jt_buf *out)
{
	while (p < end) {
		const char *from = p;
		bool number = *p == '-' || (*p >= '0' && *p <= '9');

		if (number) {
			p += strspn(p, "+-.0123456789eE");
		} else if (*p == '"') {
			for (p++; p < end && *p != '"'; p++)
				if (*p == '\\' && p + 1 < end)
					p++;
			p += p < end;
		} else {
			p++;
		}
		if (number)
			jt__buf_append_text(out, "[\"");
		jt__buf_append(out, from, (size_t)(p - from));
		if (number)
			jt__buf_append_text(out, "\"]");
	}
}

static int parse_line(const struct context *c, const char *line, size_t n, json_t **ret_object)
{
	struct jt_buf copy, wrapped;
	json_error_t why;
	json_t *object = NULL;
	int status = JT_OK;

	jt__buf_init(&copy, JT_RECORDING_MAX_LINE + 1);
	jt__buf_init(&wrapped, 8 * JT_RECORDING_MAX_LINE);
	if (n > JT_RECORDING_MAX_LINE) {
		status = jt__fail(c->err, JT_EINVAL, c->where, "the line is longer than %zu bytes",
		                  JT_RECORDING_MAX_LINE);
		goto out;
	}
	jt__buf_append(&copy, line, n);
	jt__buf_append(&copy, "", 1);
	if (!copy.failed)
		wrap_numbers(jt__buf_bytes(&copy), jt__buf_bytes(&copy) + n, &wrapped);
	if (copy.failed || wrapped.failed) {
		status = jt__fail(c->err, JT_ENOMEM, c->where, "no memory for the line");
		goto out;
	}
	if (jt__buf_len(&wrapped))
		object = json_loadb(jt__buf_bytes(&wrapped), jt__buf_len(&wrapped),
		                    JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(object)) {
		json_decref(object);
		status = jt__fail(c->err, JT_EINVAL, c->where, "the line is not a JSON object%s%s",
		                  n && !object ? ": " : "", n && !object ? why.text : "");
		goto out;
	}
	*ret_object = object;
out:
	jt__buf_fini(&copy);
	jt__buf_fini(&wrapped);
	return status;
}

/* The digits of a wrapped number, or NULL. */
static const char *number_text(const json_t *value)
{
	if (!json_is_array(value) || json_array_size(value) != 1)
		return NULL;
	return json_string_value(json_array_get(value, 0));
}

/* JT_EAGAIN: not there. */
static int read_u64(const struct context *c, const json_t *object, const char *name,
                    unsigned digits, uint64_t max, uint64_t *ret)
{
	const json_t *value = json_object_get(object, name);
	const char *text;
	uint64_t v;

	if (!value || json_is_null(value))
		return JT_EAGAIN;
	text = number_text(value);
	if (!text)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is not a number", name);
	if (!jt__parse_decimal(text, strlen(text), digits, &v) || v > max)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is out of range: %.40s", name,
		                text);
	*ret = v;
	return JT_OK;
}

static int read_i32(const struct context *c, const json_t *object, const char *name,
                    unsigned digits, int32_t *ret)
{
	const json_t *value = json_object_get(object, name);
	const char *text;
	int64_t v;

	if (!value || json_is_null(value))
		return JT_EAGAIN;
	text = number_text(value);
	if (!text)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is not a number", name);
	if (!jt__parse_signed(text, strlen(text), digits, &v) || v < INT32_MIN || v > INT32_MAX)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is out of range: %.40s", name,
		                text);
	*ret = (int32_t)v;
	return JT_OK;
}

static int read_field(const struct context *c, const json_t *object, const struct field *f,
                      void *base)
{
	void *p = (char *)base + f->offset;
	uint64_t v = 0;
	int status;

	if (f->type == I32)
		return read_i32(c, object, f->name, f->digits, p);
	status = read_u64(c, object, f->name, f->digits, f->type == U64 ? JT_NONE - 1 : UINT32_MAX,
	                  &v);
	if (status < 0)
		return status;
	if (f->type == U64)
		*(uint64_t *)p = v;
	else
		*(uint32_t *)p = (uint32_t)v;
	return JT_OK;
}

static int missing(const struct context *c, const char *name)
{
	return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is missing", name);
}

static int read_all(const struct context *c, const json_t *object, const struct field *f, size_t n,
                    void *base)
{
	for (size_t i = 0; i < n; i++) {
		int status = read_field(c, object, &f[i], base);

		if (status == JT_EAGAIN && f[i].bit == LATER)
			continue;
		if (status < 0)
			return status == JT_EAGAIN ? missing(c, f[i].name) : status;
	}
	return JT_OK;
}

/* A text that is not there is "", unless it is @required. */
static int read_text(const struct context *c, const json_t *object, const char *name, bool required,
                     char *ret_text, size_t size)
{
	const json_t *value = json_object_get(object, name);

	if (!value && !required)
		return JT_OK;
	if (!value)
		return missing(c, name);
	if (!json_is_string(value))
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is not a text", name);
	if (required && !json_string_length(value))
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is empty", name);
	if (!jt__copy_text(ret_text, size, json_string_value(value), json_string_length(value)))
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is longer than %zu bytes", name,
		                size - 1);
	return JT_OK;
}

static int read_provenance(const struct context *c, const json_t *object, enum jt_provenance *ret)
{
	char text[16] = "";
	int status = read_text(c, object, "provenance", true, text, sizeof(text));

	if (status < 0)
		return status;
	for (unsigned p = 0; p < JT_N_PROVENANCES; p++) {
		if (strcmp(text, jt_provenance_name(p)) == 0) {
			*ret = p;
			return JT_OK;
		}
	}
	return jt__fail(c->err, JT_EINVAL, c->where, "'provenance' is unknown: '%s'", text);
}

/* The figures are the recorded ones, whatever this program's table says of the kind by now. */
static int read_sensor(const struct context *c, const json_t *object, struct jt_sensor *ret)
{
	struct jt_sensor s = { .name = "recorded", .what = "as the recording describes it" };
	const struct jt_sensor *known;
	char kind[32] = "";
	int status;

	if (!json_is_object(object))
		return missing(c, "sensor");
	status = read_text(c, object, "kind", true, kind, sizeof(kind));
	if (status < 0)
		return status;
	known = jt_sensor_find(kind);
	if (known)
		s = *known;
	status = read_provenance(c, object, &s.provenance);
	if (status == JT_OK)
		status = read_all(c, object, sensor_fields, JT_ARRAY_LEN(sensor_fields), &s);
	if (status < 0)
		return status;
	if (!s.update_ns || s.filter_ns > MAX_TIME_NS ||
	    JT_MAX(JT_MAX(s.update_ns, s.window_ns), JT_MAX(s.avg_window_ns, s.lag_ns)) >
	            MAX_TIME_NS)
		return jt__fail(
			c->err, JT_EINVAL, c->where,
			"'update_s' has to be above 0 and no time of a sensor above an hour");
	*ret = s;
	return JT_OK;
}

static uint32_t read_valid(const json_t *names)
{
	uint32_t valid = 0;
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name) for (size_t k = 0; k < JT_ARRAY_LEN(sample_fields);
	                                        k++) if (json_is_string(name) &&
	                                                 strcmp(json_string_value(name),
	                                                        sample_fields[k].name) == 0)
		valid |= sample_fields[k].bit;
	return valid;
}

static int read_domain(const struct context *c, const json_t *object, struct jt_domain *ret)
{
	struct jt_domain d = { 0 };
	int status;

	if (!json_is_object(object))
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'domains' holds something else than objects");
	status = read_text(c, object, "name", true, d.name, sizeof(d.name));
	if (status == JT_OK)
		status = read_text(c, object, "source", true, d.source, sizeof(d.source));
	if (status == JT_OK)
		status = read_text(c, object, "device", false, d.device, sizeof(d.device));
	if (status == JT_OK)
		status = read_text(c, object, "uuid", false, d.uuid, sizeof(d.uuid));
	if (status == JT_OK)
		status = read_text(c, object, "missing", false, d.missing, sizeof(d.missing));
	if (status == JT_OK)
		status = read_text(c, object, "part_of", false, d.part_of, sizeof(d.part_of));
	if (status == JT_OK)
		status = read_sensor(c, json_object_get(object, "sensor"), &d.sensor);
	d.valid = read_valid(json_object_get(object, "fields"));
	if (status == JT_OK)
		*ret = d;
	return status;
}

/* The index of a domain, n_domains if there is none. */
static size_t find_domain(const struct jt_recording_head *h, const char *name)
{
	size_t i = 0;

	while (i < h->n_domains && strcmp(h->domains[i].name, name) != 0)
		i++;
	return i;
}

static int read_domains(const struct context *c, const json_t *list, struct jt_recording_head *h)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list) || !n || n > MAX_DOMAINS)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'domains' is not a list of 1 to %d domains", MAX_DOMAINS);
	h->domains = jt__alloc(n, sizeof(*h->domains));
	if (!h->domains)
		return jt__fail(c->err, JT_ENOMEM, c->where, "no memory for %zu domains", n);
	for (size_t i = 0; i < n; i++) {
		struct jt_domain d = { 0 };
		int status = read_domain(c, json_array_get(list, i), &d);

		if (status < 0)
			return status;
		if (find_domain(h, d.name) < h->n_domains)
			return jt__fail(c->err, JT_EINVAL, c->where, "domain '%s' is listed twice",
			                d.name);
		h->domains[h->n_domains++] = d;
	}
	return JT_OK;
}

static int read_version(const struct context *c, const json_t *object)
{
	uint64_t version = 0;
	int status = read_u64(c, object, "jouletap_recording", 0, UINT32_MAX, &version);

	if (status == JT_EAGAIN)
		return jt__fail(
			c->err, JT_EINVAL, c->where,
			"not a jouletap recording: the first line has no 'jouletap_recording'");
	if (status == JT_OK && version != JT_RECORDING_VERSION)
		return jt__fail(c->err, JT_ENOTSUP, c->where,
		                "the recording has version %" PRIu64
		                ", this program reads version %d",
		                version, JT_RECORDING_VERSION);
	return status;
}

int jt__recording_read_head(const char *line, size_t n, const char *where,
                            struct jt_recording_head *ret_head, struct jt_error *err)
{
	const struct context c = { where, err };
	struct jt_recording_head h = { 0 };
	char start[40] = "";
	json_t *object = NULL;
	int status = parse_line(&c, line, n, &object);

	if (status < 0)
		return status;
	status = read_version(&c, object);
	if (status == JT_OK)
		status = read_text(&c, object, "start", true, start, sizeof(start));
	if (status == JT_OK && !jt__parse_rfc3339(start, &h.start_unix_ns))
		status = jt__fail(err, JT_EINVAL, where, "'start' is not an RFC 3339 time: '%s'",
		                  start);
	if (status == JT_OK)
		status = read_domains(&c, json_object_get(object, "domains"), &h);
	json_decref(object);
	if (status < 0)
		jt__recording_head_fini(&h);
	else
		*ret_head = h;
	return status;
}

void jt__recording_head_fini(struct jt_recording_head *h)
{
	jt__free(h->domains);
	*h = (struct jt_recording_head){ 0 };
}

static int read_status(const struct context *c, const json_t *object, int32_t *ret)
{
	char text[16] = "";
	int status = read_text(c, object, "status", false, text, sizeof(text));

	if (status < 0 || !text[0])
		return status;
#define JT_X(name, value, meaning)                                                                 \
	if (strcmp(text, #name) == 0)                                                              \
		*ret = name;
	JT_ERROR_MAP(JT_X)
#undef JT_X
	if (*ret == JT_OK) /* one that a later version knows: a failure in any case */
		*ret = JT_EIO;
	return JT_OK;
}

/* Both ends of something that takes time. */
static int read_times(const struct context *c, const json_t *object, const char *begin,
                      const char *end, uint64_t origin_ns, uint64_t *ret_begin_ns,
                      uint64_t *ret_end_ns)
{
	const uint64_t max = INT64_MAX - JT_MIN(origin_ns, (uint64_t)INT64_MAX);
	uint64_t from = 0, to = 0;
	int status = read_u64(c, object, begin, 9, max, &from);

	if (status < 0)
		return status == JT_EAGAIN ? missing(c, begin) : status;
	status = read_u64(c, object, end, 9, max, &to);
	if (status < 0)
		return status == JT_EAGAIN ? missing(c, end) : status;
	if (to < from)
		return jt__fail(c->err, JT_EINVAL, c->where, "'%s' is before '%s'", end, begin);
	*ret_begin_ns = origin_ns + from;
	*ret_end_ns = origin_ns + to;
	return JT_OK;
}

static int which_domain(const struct context *c, const json_t *object,
                        const struct jt_recording_head *h, uint32_t *ret_domain)
{
	char name[sizeof(h->domains->name)] = "";
	int status = read_text(c, object, "domain", true, name, sizeof(name));
	size_t domain = find_domain(h, name);

	if (status < 0)
		return status;
	if (domain == h->n_domains)
		return jt__fail(c->err, JT_EINVAL, c->where,
		                "'domain' is '%s', which the first line does not list", name);
	*ret_domain = (uint32_t)domain;
	return JT_OK;
}

static int read_sample(const struct context *c, const json_t *object,
                       const struct jt_recording_head *h, uint64_t origin_ns, struct jt_sample *ret)
{
	struct jt_sample s = { 0 };
	int status = which_domain(c, object, h, &s.domain);

	if (status == JT_OK)
		status = read_times(c, object, "t_s", "t_end_s", origin_ns, &s.begin_ns, &s.end_ns);
	if (status == JT_OK)
		status = read_status(c, object, &s.status);
	if (status < 0)
		return status;
	for (size_t i = 0; i < JT_ARRAY_LEN(sample_fields); i++) {
		status = read_field(c, object, &sample_fields[i], &s);
		if (status < 0 && status != JT_EAGAIN)
			return status;
		if (status == JT_OK)
			s.valid |= sample_fields[i].bit;
	}
	*ret = s;
	return JT_OK;
}

static int read_span(const struct context *c, const json_t *object, uint64_t origin_ns,
                     struct jt_span *ret)
{
	struct jt_span s = { 0 };
	char text[16] = "";
	unsigned phase = 0;
	int status = read_text(c, object, "phase", true, text, sizeof(text));

	if (status < 0)
		return status;
	while (phase < JT_N_PHASES && strcmp(text, jt_phase_name(phase)) != 0)
		phase++;
	if (phase == JT_N_PHASES)
		return jt__fail(c->err, JT_EINVAL, c->where, "'phase' is unknown: '%s'", text);
	s.phase = phase;
	status = read_all(c, object, span_fields, JT_ARRAY_LEN(span_fields), &s);
	if (status == JT_OK)
		status = read_times(c, object, "begin_s", "end_s", origin_ns, &s.begin_ns,
		                    &s.end_ns);
	if (status == JT_OK)
		*ret = s;
	return status;
}

static int read_activity(const struct context *c, const json_t *object,
                         const struct jt_recording_head *h, uint64_t origin_ns,
                         struct jt_domain_activity *ret)
{
	const uint64_t max = INT64_MAX - JT_MIN(origin_ns, (uint64_t)INT64_MAX);
	struct jt_domain_activity a = { 0 };
	int status = which_domain(c, object, h, &a.domain);

	if (status == JT_OK)
		status = read_u64(c, object, "t_s", 9, max, &a.change.t_ns);
	if (status == JT_OK)
		status = read_all(c, object, activity_fields, JT_ARRAY_LEN(activity_fields),
		                  &a.change);
	if (status < 0)
		return status == JT_EAGAIN ? missing(c, "t_s") : status;
	a.change.t_ns += origin_ns;
	*ret = a;
	return JT_OK;
}

int jt__recording_read_entry(const struct jt_recording_head *h, const char *line, size_t n,
                             const char *where, uint64_t origin_ns, struct jt_entry *ret_entry,
                             struct jt_error *err)
{
	const struct context c = { where, err };
	const json_t *sample, *span, *activity;
	struct jt_entry e;
	json_t *object = NULL;
	int status = parse_line(&c, line, n, &object);

	if (status < 0)
		return status;
	sample = json_object_get(object, "sample");
	span = json_object_get(object, "span");
	activity = json_object_get(object, "activity");
	memset(&e, 0, sizeof(e));
	if ((sample && !json_is_object(sample)) || (span && !json_is_object(span)) ||
	    (activity && !json_is_object(activity))) {
		status = jt__fail(err, JT_EINVAL, where, "'%s' is not an object",
		                  sample ? "sample"
		                  : span ? "span"
		                         : "activity");
	} else if (sample) {
		e.kind = JT_ENTRY_SAMPLE;
		status = read_sample(&c, sample, h, origin_ns, &e.sample);
	} else if (span) {
		e.kind = JT_ENTRY_SPAN;
		status = read_span(&c, span, origin_ns, &e.span);
	} else if (activity) {
		e.kind = JT_ENTRY_ACTIVITY;
		status = read_activity(&c, activity, h, origin_ns, &e.activity);
	} else if (json_object_get(object, "jouletap_recording")) {
		status = jt__fail(err, JT_EINVAL, where,
		                  "another recording begins here: replay them one at a time");
	} else {
		status = JT_EAGAIN;
	}
	json_decref(object);
	if (status == JT_OK)
		*ret_entry = e;
	return status;
}
