/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_CLI_SENSORS_H
#define JT_CLI_SENSORS_H
/* The table of sensors (src/timeline/sensors.def) as it is shown: to people, to programs, in the
 * manual. */
#include <stdio.h>
#include "base/buf.h"
#include "jouletap/timeline.h"

/* Update, windows, tolerances and limit as members of a JSON object, named as in a recording. */
void jt__sensor_figures(struct jt_buf *b, const struct jt_sensor *s);
void jt__sensors_print(FILE *to);
void jt__sensors_json(struct jt_buf *b);
void jt__sensors_scdoc(FILE *to);

#endif
