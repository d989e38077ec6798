/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FAMILIES_H
#define JT_FAMILIES_H
/* The parts of a scrape that no record feeds: energy domains and this process. */
#include "exporters/metrics.h"
#include "jouletap/meter.h"

void jt__expose_domains(struct jt_expose *e, struct jt_meter *meter);
void jt__expose_process(struct jt_expose *e, const struct jt_meter *meter,
                        const struct jt_metrics_extra *x);

void jt__list_domain_families(jt_family_fn each, void *user);
void jt__list_process_families(jt_family_fn each, void *user);

#endif
