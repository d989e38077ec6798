/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_LEARN_H
#define JT_LEARN_H
/*
 * What power readings tell of their sensor. For readings that are all there already: a log, a
 * recording. Pure.
 */
#include <stddef.h>
#include "jouletap/timeline.h"

/* What jt__learn_sensor() found to be otherwise. */
#define JT_LEARNED_UPDATE 1 /* the update period */
#define JT_LEARNED_SHAPE 2  /* the window, or the filter */

/*
 * Corrects @sensor by what the readings of one domain show of it, in order of time; the tolerances
 * are left alone. Returns flags of what did not agree with @sensor; a row called "gpu" agrees with
 * everything. JT_ENOMEM.
 */
int jt__learn_sensor(const struct jt_sample *samples, size_t n, struct jt_sensor *sensor);

#endif
