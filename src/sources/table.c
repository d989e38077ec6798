/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "sources/source.h"
#include "sources/sysfs.h"

const struct jt_source_ops *const jt__sources[] = {
	&jt__source_nvml,
	&jt__source_amdgpu,
	&jt__source_rapl,
	&jt__source_hwmon,
	&jt__source_cpumodel,
	&jt__source_replay,
	NULL,
};

#define MAX_SOURCES 32 /* one that is there in part counts twice */
#define MAX_DOMAINS 256

struct opened {
	const struct jt_source_ops *ops;
	void *state;
};

struct jt_source_set {
	size_t n_opened, n_domains, n_absent;
	size_t n_extra; /* domains of sources that are not in the table */
	struct opened opened[MAX_SOURCES];
	struct jt_source_absence absent[MAX_SOURCES];
	struct jt_meter_domain domains[MAX_DOMAINS];
};

static const struct jt_meter_domain *find_domain(const struct jt_source_set *set, const char *name,
                                                 size_t length)
{
	for (size_t i = 0; i < set->n_domains; i++)
		if (strncmp(set->domains[i].info.name, name, length) == 0)
			return &set->domains[i];
	return NULL;
}

static const struct jt_domain *find_name(const struct jt_source_set *set, const char *name)
{
	const struct jt_meter_domain *d = find_domain(set, name, sizeof(d->info.name));

	return d ? &d->info : NULL;
}

static bool parse_number(const char *name, const char *prefix, unsigned *ret_number)
{
	size_t length = strlen(prefix);
	uint64_t number;

	if (strncmp(name, prefix, length) != 0 || !jt__parse_u64(name + length, &number) ||
	    number >= UINT16_MAX)
		return false;
	*ret_number = (unsigned)number;
	return true;
}

/* One above the highest number that a source of the table gave to a name with @prefix. */
static unsigned next_number(const struct jt_source_set *set, const char *prefix)
{
	unsigned next = 0, number;

	for (size_t i = set->n_extra; i < set->n_domains; i++)
		if (parse_number(set->domains[i].info.name, prefix, &number))
			next = JT_MAX(next, number + 1);
	return next;
}

/*
 * What happens to a name that is taken already. What an earlier source of the table measures under
 * the same name is the same thing: false, it is not metered twice. Anything else gets its source
 * behind its name: "gpu:0@nvml".
 */
static bool make_unique(const struct jt_source_set *set, struct jt_domain *d)
{
	const struct jt_meter_domain *taken = find_domain(set, d->name, sizeof(d->name));
	char name[sizeof(d->name)];

	if (!taken)
		return true;
	if (taken >= &set->domains[set->n_extra] && strcmp(taken->info.source, d->source) != 0)
		return false;
	snprintf(name, sizeof(name), "%.14s@%.15s", d->name, d->source);
	memcpy(d->name, name, sizeof(name));
	return true;
}

/* Labels come from firmware, and go to terminals and into files. */
static void clean_texts(struct jt_domain *d)
{
	jt__clean_text(d->name);
	jt__clean_text(d->device);
	jt__clean_text(d->uuid);
	jt__clean_text(d->missing);
	jt__clean_text(d->part_of);
}

/* GPUs of several makers are numbered on, each maker's from where the last one's ended. */
static void add_domains(struct jt_source_set *set, const struct opened *source)
{
	unsigned first_gpu = next_number(set, "gpu:"), number;
	size_t n = source->ops->count(source->state);

	for (size_t i = 0; i < n && set->n_domains < MAX_DOMAINS; i++) {
		struct jt_meter_domain *d = &set->domains[set->n_domains];

		source->ops->describe(source->state, i, &d->info);
		clean_texts(&d->info);
		d->ops = source->ops;
		d->state = source->state;
		d->index = i;
		if (first_gpu && parse_number(d->info.name, "gpu:", &number))
			snprintf(d->info.name, sizeof(d->info.name), "gpu:%u", first_gpu + number);
		if (make_unique(set, &d->info))
			set->n_domains++;
	}
}

static void set_whole(const struct jt_source_set *set, struct jt_domain *d, const char *whole)
{
	if (!d->part_of[0] && strcmp(d->name, whole) != 0 && find_name(set, whole))
		snprintf(d->part_of, sizeof(d->part_of), "%s", whole);
}

/*
 * What no source can know by itself: an APU's power is that of its CPU too; a Grace superchip's
 * modules have as many GPUs each, in order; a machine's only meter sees everything. A whole that
 * is not metered is none.
 */
static void place_domains(struct jt_source_set *set)
{
	unsigned n_gpus = next_number(set, "gpu:"), n_modules = next_number(set, "module:"), number;
	char whole[32];

	for (size_t i = set->n_extra; i < set->n_domains; i++) {
		struct jt_domain *d = &set->domains[i].info;

		if (!find_name(set, d->part_of))
			d->part_of[0] = '\0';
		if (strcmp(d->name, "cpu:0") == 0)
			set_whole(set, d, "apu:0");
		if (parse_number(d->name, "gpu:", &number) && strcmp(d->source, "nvml") == 0 &&
		    n_modules) {
			snprintf(whole, sizeof(whole), "module:%u", number * n_modules / n_gpus);
			set_whole(set, d, whole);
		}
		if (!find_name(set, "node:1"))
			set_whole(set, d, "node:0");
	}
}

/* A replay has a clock of its own: it takes the place of the machine's meters. */
static bool is_asked_for(const struct jt_source_ops *ops, const struct jt_source_options *o)
{
	return (ops == &jt__source_replay) == (o->replay_file != NULL);
}

/* JT_OK also where the source is not there: that is then noted. JT_ENOMEM. */
static int open_source(struct jt_source_set *set, const struct jt_source_ops *ops,
                       const struct jt_source_options *o, struct jt_error *err)
{
	struct opened *source = &set->opened[set->n_opened];
	struct jt_error absence = { 0 };
	int status;

	if (set->n_opened + set->n_absent + 2 > MAX_SOURCES)
		return jt__fail(err, JT_ELIMIT, "sources", "more than %d sources", MAX_SOURCES);
	if (ops == &jt__source_cpumodel && find_domain(set, "cpu:", 4))
		status = jt__fail(&absence, JT_ENOENT, ops->name,
		                  "not needed, since the CPU is measured");
	else
		status = ops->open(o, &source->state, &absence);
	if (status == JT_ENOMEM || (status < 0 && ops == &jt__source_replay)) {
		if (err)
			*err = absence;
		return status;
	}
	if (status < 0) {
		set->absent[set->n_absent++] = (struct jt_source_absence){ ops, absence };
		return JT_OK;
	}
	source->ops = ops;
	set->n_opened++;
	add_domains(set, source);
	if (ops->partial && ops->partial(source->state, &absence) < 0)
		set->absent[set->n_absent++] = (struct jt_source_absence){ ops, absence };
	return JT_OK;
}

static int open_all(struct jt_source_set *set, const struct jt_source_ops *const *extra,
                    const struct jt_source_options *o, struct jt_error *err)
{
	int status = JT_OK;

	for (size_t i = 0; extra && extra[i] && status == JT_OK; i++) {
		status = open_source(set, extra[i], o, err);
		set->n_extra = set->n_domains;
	}
	for (size_t i = 0; jt__sources[i] && status == JT_OK; i++)
		if (is_asked_for(jt__sources[i], o))
			status = open_source(set, jt__sources[i], o, err);
	if (!o->replay_file)
		place_domains(set);
	return status;
}

int jt__sources_open(const struct jt_source_options *o, const struct jt_source_ops *const *extra,
                     struct jt_source_set **ret_set, struct jt_error *err)
{
	struct jt_source_set *set = jt__alloc(1, sizeof(*set));
	int status;

	if (!set)
		return jt__fail(err, JT_ENOMEM, "sources", "cannot allocate the list of domains");
	status = open_all(set, extra, o, err);
	if (status < 0) {
		jt__sources_close(set);
		return status;
	}
	*ret_set = set;
	return JT_OK;
}

void jt__sources_close(struct jt_source_set *set)
{
	for (size_t i = set ? set->n_opened : 0; i-- > 0;)
		set->opened[i].ops->close(set->opened[i].state);
	jt__free(set);
}

size_t jt__sources_n_domains(const struct jt_source_set *set)
{
	return set->n_domains;
}

const struct jt_meter_domain *jt__sources_domain(const struct jt_source_set *set, size_t i)
{
	return i < set->n_domains ? &set->domains[i] : NULL;
}

size_t jt__sources_n_absent(const struct jt_source_set *set)
{
	return set->n_absent;
}

const struct jt_source_absence *jt__sources_absent(const struct jt_source_set *set, size_t i)
{
	return i < set->n_absent ? &set->absent[i] : NULL;
}
