/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nvidia-smi writes a header once ("power.draw [W]"), then a row per GPU and
 * tick, with units in the cells ("71.23 W") unless nounits was given. A field that it
 * cannot tell is a text in brackets. Its power.draw is the 1 s average where the
 * architecture has one and the instantaneous reading elsewhere (nvml.h,
 * NVML_FI_DEV_POWER_AVERAGE), so the sensor decides which of the two it is.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "sources/decimal.h"
#include "sources/smilog.h"

enum column {
	OTHER, /* not needed; its cells are not looked at */
	TIMESTAMP,
	T_S,
	INDEX,
	NAME,
	UUID,
	BUS_ID,
	DRAW,
	AVERAGE,
	INSTANT,
	TEMPERATURE,
	SM_CLOCK,
	MEM_CLOCK,
	LIMIT,
	ENFORCED,
	ENERGY,
	REASONS,
	N_COLUMNS,
};

/* clang-format off */
static const struct { const char *name; enum column kind; } names[] = {
	{ "timestamp", TIMESTAMP }, { "t_s", T_S },
	{ "index", INDEX }, { "name", NAME }, { "gpu_name", NAME },
	{ "uuid", UUID }, { "gpu_uuid", UUID }, { "pci.bus_id", BUS_ID }, { "gpu_bus_id", BUS_ID },
	{ "power.draw", DRAW }, { "power_draw_w", DRAW },
	{ "power.draw.average", AVERAGE },
	{ "power.draw.instant", INSTANT }, { "power_draw_instant_w", INSTANT },
	{ "temperature.gpu", TEMPERATURE },
	{ "clocks.sm", SM_CLOCK }, { "clocks.current.sm", SM_CLOCK }, { "sm_clock_mhz", SM_CLOCK },
	{ "clocks.mem", MEM_CLOCK }, { "clocks.current.memory", MEM_CLOCK },
	{ "power.limit", LIMIT }, { "enforced.power.limit", ENFORCED },
	{ "total_energy_consumption", ENERGY },
	{ "clocks_event_reasons.active", REASONS }, { "clocks_throttle_reasons.active", REASONS },
};

/* Units of the columns and their decimals in ours; the first of a column goes without saying. */
static const struct { enum column kind; const char *unit; uint8_t digits; } units[] = {
	{ T_S, "s", 9 },
	{ DRAW, "W", 3 }, { DRAW, "mW", 0 }, { DRAW, "kW", 6 },
	{ TEMPERATURE, "C", 3 },
	{ SM_CLOCK, "MHz", 0 },
	{ ENERGY, "mJ", 3 }, { ENERGY, "J", 6 },
};

/* How a line begins that is talk, not a row. */
static const char *const notices[] = {
	"Unable to determine the device handle", "Failed to initialize NVML", "No devices were found",
	"NVIDIA-SMI has failed", "GPU is lost",
};
/* clang-format on */

struct cell {
	const char *p;
	size_t n;
};

/* The columns of a row that we know, as they were read. */
struct row {
	struct cell cells[N_COLUMNS];
	uint64_t value[N_COLUMNS];
	bool has[N_COLUMNS];
	bool lost;
};

void jt__smilog_init(struct jt_smilog *l, uint64_t origin_ns)
{
	memset(l, 0, sizeof(*l));
	l->origin_ns = origin_ns;
	l->zero_unix_ns = JT_NONE;
}

void jt__smilog_fini(struct jt_smilog *l)
{
	jt__free(l->gpus);
	l->gpus = NULL;
	l->n_gpus = 0;
}

void jt__smilog_rewind(struct jt_smilog *l)
{
	l->n_columns = 0;
	l->n_backwards = l->n_notices = 0;
	for (size_t i = 0; i < l->n_gpus; i++)
		l->gpus[i].seen = false;
}

static struct cell trim(struct cell c)
{
	while (c.n && (c.p[0] == ' ' || c.p[0] == '\t'))
		c.p++, c.n--;
	while (c.n && strchr(" \t\r", c.p[c.n - 1]))
		c.n--;
	return c;
}

static bool cell_is(struct cell c, const char *text)
{
	return c.n == strlen(text) && strncasecmp(c.p, text, c.n) == 0;
}

/* Cuts at commas; the number of cells, which may be more than @max. */
static size_t split(struct cell line, struct cell *ret_cells, size_t max)
{
	size_t n = 0;

	for (const char *p = line.p, *end = line.p + line.n;; n++) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma ? comma : end;

		if (n < max)
			ret_cells[n] = trim((struct cell){ p, (size_t)(stop - p) });
		if (!comma)
			return n + 1;
		p = comma + 1;
	}
}

/* All power columns take the same units, as do both clocks. */
static enum column unit_class(enum column kind)
{
	switch (kind) {
	case AVERAGE:
	case INSTANT:
	case LIMIT:
	case ENFORCED:
		return DRAW;
	case MEM_CLOCK:
		return SM_CLOCK;
	default:
		return kind;
	}
}

/* Decimals of @unit (empty: the default) for a column; -1 if it cannot have this unit. */
static int unit_digits(enum column kind, struct cell unit)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(units); i++)
		if (units[i].kind == unit_class(kind) && (!unit.n || cell_is(unit, units[i].unit)))
			return units[i].digits;
	return unit.n ? -1 : 0;
}

static enum column find_column(struct cell name)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++)
		if (cell_is(name, names[i].name))
			return names[i].kind;
	return OTHER;
}

/* "power.draw [W]" into name and unit. */
static struct cell cut_unit(struct cell *name)
{
	const char *open = memchr(name->p, '[', name->n);
	struct cell unit = { 0 };

	if (!open || name->p[name->n - 1] != ']')
		return unit;
	unit.p = open + 1;
	unit.n = (size_t)(name->p + name->n - 1 - unit.p);
	name->n = (size_t)(open - name->p);
	*name = trim(*name);
	return trim(unit);
}

static bool is_header(const struct cell *cells, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct cell name = cells[i];

		cut_unit(&name);
		if (find_column(name) == TIMESTAMP || find_column(name) == T_S)
			return true;
	}
	return false;
}

static int read_header(struct jt_smilog *l, const struct cell *cells, size_t n, const char *where,
                       struct jt_error *err)
{
	bool has[N_COLUMNS] = { false };

	for (size_t i = 0; i < n; i++) {
		struct jt_smilog_column *c = &l->columns[i];
		struct cell name = cells[i], unit = cut_unit(&name);
		int digits;

		jt__copy_text(c->name, sizeof(c->name), name.p, name.n);
		c->kind = (uint8_t)find_column(name);
		if (c->kind != OTHER && has[c->kind])
			c->kind = OTHER; /* "clocks.sm, clocks.current.sm": the same twice */
		has[c->kind] = true;
		digits = c->kind == OTHER ? 0 : unit_digits(c->kind, unit);
		if (digits < 0)
			return jt__fail(err, JT_EINVAL, where,
			                "column '%s' has the unknown unit '%.*s'", c->name,
			                (int)JT_MIN(unit.n, 20u), unit.p);
		c->digits = (uint8_t)digits;
	}
	if (!has[DRAW] && !has[AVERAGE] && !has[INSTANT] && !has[ENERGY])
		return jt__fail(err, JT_EINVAL, where,
		                "no column with power: query power.draw too");
	l->n_columns = n;
	return JT_OK;
}

/* Texts that stand for "cannot tell". */
static bool is_unknown(struct cell c)
{
	return !c.n || (c.p[0] == '[' && c.p[c.n - 1] == ']') || cell_is(c, "N/A") ||
	       cell_is(c, "Not Supported") || cell_is(c, "Unknown Error") || cell_is(c, "ERR!");
}

static bool parse_hex(struct cell c, uint64_t *ret)
{
	uint64_t v = 0;

	if (c.n < 3 || c.n > 18 || c.p[0] != '0' || (c.p[1] | 0x20) != 'x')
		return false;
	for (size_t i = 2; i < c.n; i++) {
		const char *hex = "0123456789abcdef", *digit = strchr(hex, c.p[i] | 0x20);

		if (!digit)
			return false;
		v = v << 4 | (uint64_t)(digit - hex);
	}
	*ret = v;
	return true;
}

bool jt__smilog_parse_time(const char *text, size_t n, uint64_t *ret_unix_ns)
{
	char copy[40];
	struct tm tm = { 0 };
	uint64_t fraction_ns = 0;
	const char *p;
	time_t s;

	if (!jt__copy_text(copy, sizeof(copy), text, n) || strlen(copy) != n)
		return false;
	p = strptime(copy, "%Y/%m/%d %H:%M:%S", &tm);
	if (!p || (*p && (*p != '.' || !jt__parse_decimal(p, strlen(p), 9, &fraction_ns) ||
	                  fraction_ns >= JT_NS_PER_S)))
		return false;
	s = timegm(&tm);
	if (s < 0 || (uint64_t)s > INT64_MAX / JT_NS_PER_S - 1)
		return false;
	*ret_unix_ns = (uint64_t)s * JT_NS_PER_S + fraction_ns;
	return true;
}

/* "71.23 W" with the column's unit where the cell has none. */
static bool parse_quantity(const struct jt_smilog_column *column, struct cell c, uint64_t *ret)
{
	struct cell number = c, unit = { 0 };
	int digits = column->digits;

	while (number.n && !strchr("0123456789.", number.p[number.n - 1]))
		number.n--;
	unit = trim((struct cell){ c.p + number.n, c.n - number.n });
	if (unit.n)
		digits = unit_digits(column->kind, unit);
	if (column->kind == TEMPERATURE) /* the only one below zero; kept as two's complement */
		return digits >= 0 &&
		       jt__parse_signed(number.p, number.n, (unsigned)digits, (int64_t *)ret);
	return digits >= 0 && jt__parse_decimal(number.p, number.n, (unsigned)digits, ret);
}

static bool parse_cell(const struct jt_smilog_column *column, struct cell c, uint64_t *ret)
{
	switch (column->kind) {
	case TIMESTAMP:
		return jt__smilog_parse_time(c.p, c.n, ret);
	case INDEX:
		return jt__parse_decimal(c.p, c.n, 0, ret);
	case NAME:
	case UUID:
	case BUS_ID:
		return true;
	case REASONS:
		return parse_hex(c, ret);
	case T_S:
	case ENERGY:
		return parse_quantity(column, c, ret);
	case TEMPERATURE:
		return parse_quantity(column, c, ret) && (int64_t)*ret >= INT32_MIN &&
		       (int64_t)*ret <= INT32_MAX;
	default:
		return parse_quantity(column, c, ret) && *ret <= UINT32_MAX;
	}
}

static int read_row(const struct jt_smilog *l, const struct cell *cells, const char *where,
                    struct row *ret, struct jt_error *err)
{
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < l->n_columns; i++) {
		const struct jt_smilog_column *column = &l->columns[i];
		enum column kind = column->kind;

		if (cell_is(cells[i], "[GPU is lost]"))
			ret->lost = true;
		if (kind == OTHER || is_unknown(cells[i]))
			continue;
		if (!parse_cell(column, cells[i], &ret->value[kind]))
			return jt__fail(err, JT_EINVAL, where, "column '%s': cannot read '%.*s'",
			                column->name, (int)JT_MIN(cells[i].n, 40u), cells[i].p);
		ret->cells[kind] = cells[i];
		ret->has[kind] = true;
	}
	if (!ret->has[TIMESTAMP] && !ret->has[T_S])
		return jt__fail(err, JT_EINVAL, where, "the row has no time");
	return JT_OK;
}

static bool number_is_taken(const struct jt_smilog *l, uint64_t number)
{
	char name[32];

	snprintf(name, sizeof(name), "gpu:%llu", (unsigned long long)number);
	for (size_t i = 0; i < l->n_gpus; i++)
		if (strcmp(l->gpus[i].info.name, name) == 0)
			return true;
	return false;
}

static void describe(const struct jt_smilog *l, const struct row *r, struct jt_domain *ret)
{
	uint64_t number = r->has[INDEX] ? r->value[INDEX] : 0;

	while (number_is_taken(l, number))
		number++;
	snprintf(ret->name, sizeof(ret->name), "gpu:%llu", (unsigned long long)number);
	snprintf(ret->source, sizeof(ret->source), "nvidia-smi");
	jt__copy_text(ret->device, sizeof(ret->device), r->has[NAME] ? r->cells[NAME].p : "",
	              r->cells[NAME].n);
	jt__copy_text(ret->uuid, sizeof(ret->uuid), r->has[UUID] ? r->cells[UUID].p : "",
	              r->cells[UUID].n);
}

static struct jt_smilog_gpu *add_gpu(struct jt_smilog *l, const char *key, const struct row *r)
{
	struct jt_smilog_gpu *gpus, *g;

	if ((l->n_gpus & (l->n_gpus - 1)) == 0) { /* room is for powers of two */
		gpus = jt__realloc(l->gpus, l->n_gpus ? 2 * l->n_gpus : 1, sizeof(*gpus));
		if (!gpus)
			return NULL;
		l->gpus = gpus;
	}
	g = &l->gpus[l->n_gpus];
	memset(g, 0, sizeof(*g));
	jt__copy_text(g->key, sizeof(g->key), key, strlen(key));
	describe(l, r, &g->info);
	l->n_gpus++;
	return g;
}

/* The GPU of a row, made up when it is new. NULL in @ret_gpu: the row does not tell. */
static int find_gpu(struct jt_smilog *l, const struct row *r, const char *where,
                    struct jt_smilog_gpu **ret_gpu, struct jt_error *err)
{
	static const enum column by[] = { UUID, BUS_ID, INDEX };
	char key[sizeof(l->gpus->key)] = "";
	bool named = false;

	for (size_t i = 0; i < l->n_columns; i++)
		for (size_t k = 0; k < JT_ARRAY_LEN(by); k++)
			named |= l->columns[i].kind == by[k];
	for (size_t k = 0; k < JT_ARRAY_LEN(by) && !key[0]; k++)
		jt__copy_text(key, sizeof(key), r->has[by[k]] ? r->cells[by[k]].p : "",
		              r->cells[by[k]].n);
	*ret_gpu = NULL;
	if (named && !key[0])
		return JT_OK;
	for (size_t i = 0; i < l->n_gpus; i++)
		if (strcmp(l->gpus[i].key, key) == 0)
			*ret_gpu = &l->gpus[i];
	if (*ret_gpu)
		return JT_OK;
	if (l->n_gpus == JT_SMILOG_MAX_GPUS)
		return jt__fail(err, JT_ELIMIT, where, "more than %d GPUs", JT_SMILOG_MAX_GPUS);
	*ret_gpu = add_gpu(l, key, r);
	return *ret_gpu ? JT_OK : jt__fail(err, JT_ENOMEM, where, "no memory for another GPU");
}

/* The row's place on the time axis of samples. false: before anything we can express. */
static bool row_time(struct jt_smilog *l, const struct row *r, uint64_t *ret_ns)
{
	uint64_t t_ns = r->value[T_S], before_ns = 0;

	if (r->has[TIMESTAMP]) {
		if (l->zero_unix_ns == JT_NONE)
			l->zero_unix_ns = r->value[TIMESTAMP];
		t_ns = r->value[TIMESTAMP] - l->zero_unix_ns;
		if (r->value[TIMESTAMP] < l->zero_unix_ns) {
			before_ns = l->zero_unix_ns - r->value[TIMESTAMP];
			t_ns = 0;
		}
	}
	if (before_ns > l->origin_ns || t_ns > INT64_MAX - l->origin_ns)
		return false;
	*ret_ns = l->origin_ns + t_ns - before_ns;
	return true;
}

static void set(struct jt_sample *s, const struct row *r, enum column kind, uint32_t bit,
                uint32_t *field)
{
	if (!r->has[kind])
		return;
	*field = (uint32_t)r->value[kind];
	s->valid |= bit;
}

static void fill(const struct row *r, const struct jt_sensor *sensor, struct jt_sample *s)
{
	if (r->lost) {
		s->status = JT_ELOST;
		return;
	}
	if (sensor->avg_window_ns)
		set(s, r, DRAW, JT_HAS_POWER_AVG, &s->power_avg_mw);
	else
		set(s, r, DRAW, JT_HAS_POWER, &s->power_mw);
	set(s, r, INSTANT, JT_HAS_POWER, &s->power_mw);
	set(s, r, AVERAGE, JT_HAS_POWER_AVG, &s->power_avg_mw);
	if (r->has[ENERGY]) {
		s->energy_uj = r->value[ENERGY];
		s->valid |= JT_HAS_ENERGY;
	}
	if (!s->valid) {
		s->status = JT_EIO; /* "[Unknown Error]" in all that counts */
		return;
	}
	if (r->has[TEMPERATURE]) {
		s->temperature_mc = (int32_t)r->value[TEMPERATURE];
		s->valid |= JT_HAS_TEMPERATURE;
	}
	set(s, r, SM_CLOCK, JT_HAS_SM_CLOCK, &s->sm_clock_mhz);
	set(s, r, MEM_CLOCK, JT_HAS_MEM_CLOCK, &s->mem_clock_mhz);
	set(s, r, LIMIT, JT_HAS_LIMIT, &s->limit_mw);
	set(s, r, ENFORCED, JT_HAS_LIMIT, &s->limit_mw);
	set(s, r, REASONS, JT_HAS_REASONS, &s->reasons);
}

static int take_row(struct jt_smilog *l, const struct cell *cells, const char *where,
                    struct jt_sample *ret_sample, struct jt_error *err)
{
	struct jt_smilog_gpu *g;
	struct jt_sample s = { 0 };
	struct row r;
	int status = read_row(l, cells, where, &r, err);

	if (status == JT_OK)
		status = find_gpu(l, &r, where, &g, err);
	if (status < 0)
		return status;
	if (!g) {
		l->n_notices++;
		return JT_EAGAIN;
	}
	if (!row_time(l, &r, &s.begin_ns) || (g->seen && s.begin_ns < g->last_ns)) {
		l->n_backwards++;
		return JT_EAGAIN;
	}
	s.end_ns = s.begin_ns;
	s.domain = (uint32_t)(g - l->gpus);
	fill(&r, &g->info.sensor, &s);
	g->info.valid |= s.valid;
	g->last_ns = s.begin_ns;
	g->seen = true;
	*ret_sample = s;
	return JT_OK;
}

static bool is_notice(struct cell line)
{
	for (size_t i = 0; i < JT_ARRAY_LEN(notices); i++)
		if (line.n >= strlen(notices[i]) &&
		    strncmp(line.p, notices[i], strlen(notices[i])) == 0)
			return true;
	return false;
}

int jt__smilog_line(struct jt_smilog *l, const char *line, size_t n, const char *where,
                    struct jt_sample *ret_sample, struct jt_error *err)
{
	struct cell cells[JT_SMILOG_MAX_COLUMNS], whole = trim((struct cell){ line, n });
	size_t n_cells;
	int status;

	if (!whole.n)
		return JT_EAGAIN;
	n_cells = split(whole, cells, JT_SMILOG_MAX_COLUMNS);
	if (n_cells > JT_SMILOG_MAX_COLUMNS)
		return jt__fail(err, JT_ELIMIT, where, "more than %d columns",
		                JT_SMILOG_MAX_COLUMNS);
	if (is_header(cells, n_cells)) {
		status = read_header(l, cells, n_cells, where, err);
		return status < 0 ? status : JT_EAGAIN;
	}
	if (is_notice(whole)) {
		l->n_notices++;
		return JT_EAGAIN;
	}
	if (!l->n_columns)
		return jt__fail(err, JT_EINVAL, where,
		                "no header with a timestamp: log without 'noheader', or add a "
		                "first line such "
		                "as 'timestamp, index, power.draw [W]'");
	if (n_cells != l->n_columns)
		return jt__fail(err, JT_EINVAL, where, "%zu columns where the header has %zu",
		                n_cells, l->n_columns);
	return take_row(l, cells, where, ret_sample, err);
}
