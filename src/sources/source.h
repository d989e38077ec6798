/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_SOURCES_H
#define JT_SOURCES_H
/*
 * The list of meters. A new one is a file with the five functions of struct jt_source_ops, as
 * cpumodel.c; HACKING.md names the lines that make it known.
 */
#include "jouletap/source.h"

extern const struct jt_source_ops jt__source_nvml;
extern const struct jt_source_ops jt__source_amdgpu;
extern const struct jt_source_ops jt__source_rapl;
extern const struct jt_source_ops jt__source_hwmon;
extern const struct jt_source_ops jt__source_cpumodel;
extern const struct jt_source_ops jt__source_replay;

/*
 * In probe order, NULL at the end. cpumodel answers only where nothing measures the CPU; a replay
 * file, when one is given, stands in the place of all the others.
 */
extern const struct jt_source_ops *const jt__sources[];

struct jt_source_set; /* opaque: the opened sources and their domains */

/* Why a source of the table gave no domains, or fewer than it has. */
struct jt_source_absence {
	const struct jt_source_ops *ops;
	struct jt_error error;
};

/*
 * Opens every source that is there; @extra (may be NULL, NULL-terminated) come first. Succeeds with
 * no domains where nothing can be measured. Domain names are unique. JT_ENOMEM; what the replay
 * file fails with.
 */
int jt__sources_open(const struct jt_source_options *o, const struct jt_source_ops *const *extra,
                     struct jt_source_set **ret_set, struct jt_error *err);
void jt__sources_close(struct jt_source_set *set); /* accepts NULL */
size_t jt__sources_n_domains(const struct jt_source_set *set);
const struct jt_meter_domain *jt__sources_domain(const struct jt_source_set *set, size_t i);
size_t jt__sources_n_absent(const struct jt_source_set *set);
const struct jt_source_absence *jt__sources_absent(const struct jt_source_set *set, size_t i);

#endif
