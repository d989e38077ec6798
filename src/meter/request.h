/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_METER_REQUEST_H
#define JT_METER_REQUEST_H
/* What the public functions on requests do with a copy. The meter's own thread. */
#include "jouletap/meter.h"

/* jt_request_end(); @facts, from jt__alloc() or NULL, are the meter's unless it returns JT_ENOENT.
 */
int jt__request_end(struct jt_meter *m, uint64_t t_ns, uint64_t request,
                    struct jt_request_facts *facts);

#endif
