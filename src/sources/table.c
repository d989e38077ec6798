/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include "base/base.h"
#include "sources/source.h"

const struct jt_source_ops *const jt__sources[] = {
	&jt__source_nvml, &jt__source_rapl, &jt__source_cpumodel, &jt__source_replay, NULL,
};

#define MAX_SOURCES 16
#define MAX_DOMAINS 256

struct opened {
	const struct jt_source_ops *ops;
	void *state;
};

struct jt_source_set {
	size_t n_opened, n_domains, n_absent;
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

/* A name that an earlier source has taken gets its own source's behind it: "gpu:0@nvml". */
static void make_unique(const struct jt_source_set *set, struct jt_domain *d)
{
	char name[sizeof(d->name)];

	if (!find_domain(set, d->name, sizeof(d->name)))
		return;
	snprintf(name, sizeof(name), "%.14s@%.15s", d->name, d->source);
	memcpy(d->name, name, sizeof(name));
}

static void add_domains(struct jt_source_set *set, const struct opened *source)
{
	size_t n = source->ops->count(source->state);

	for (size_t i = 0; i < n && set->n_domains < MAX_DOMAINS; i++) {
		struct jt_meter_domain *d = &set->domains[set->n_domains];

		source->ops->describe(source->state, i, &d->info);
		d->ops = source->ops;
		d->state = source->state;
		d->index = i;
		make_unique(set, &d->info);
		set->n_domains++;
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

	if (set->n_opened + set->n_absent == MAX_SOURCES)
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
	return JT_OK;
}

static int open_all(struct jt_source_set *set, const struct jt_source_ops *const *extra,
                    const struct jt_source_options *o, struct jt_error *err)
{
	int status = JT_OK;

	for (size_t i = 0; extra && extra[i] && status == JT_OK; i++)
		status = open_source(set, extra[i], o, err);
	for (size_t i = 0; jt__sources[i] && status == JT_OK; i++)
		if (is_asked_for(jt__sources[i], o))
			status = open_source(set, jt__sources[i], o, err);
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
