/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "jouletap/record.h"
#include "simulator/arrivals.h"

static uint64_t line_ns(const struct jt_arrivals *a)
{
	return a->next_line < jt__workload_lines(a->workload)
	               ? jt__workload_arrival_ns(a->workload, a->next_line)
	               : JT_NONE;
}

static uint64_t released_ns(const struct jt_arrivals *a)
{
	return a->n_released ? a->released[a->n_released - 1].t_ns : JT_NONE;
}

uint64_t jt__arrivals_next_ns(const struct jt_arrivals *a)
{
	return JT_MIN(line_ns(a), released_ns(a));
}

struct jt_arrival jt__arrivals_take(struct jt_arrivals *a)
{
	if (released_ns(a) < line_ns(a))
		return a->released[--a->n_released];
	return (struct jt_arrival){ .t_ns = line_ns(a), .line = a->next_line++ };
}

int jt__arrivals_release(struct jt_arrivals *a, struct jt_arrival next)
{
	uint32_t i = a->n_released;

	if (a->n_released == a->capacity) {
		uint32_t more = JT_MAX(64u, a->capacity * 2);
		struct jt_arrival *p = jt__realloc(a->released, more, sizeof(*p));

		if (!p)
			return JT_ENOMEM;
		a->released = p;
		a->capacity = more;
	}
	while (i > 0 && a->released[i - 1].t_ns <= next.t_ns)
		i--;
	memmove(&a->released[i + 1], &a->released[i], (a->n_released - i) * sizeof(next));
	a->released[i] = next;
	a->n_released++;
	return JT_OK;
}

void jt__arrivals_fini(struct jt_arrivals *a)
{
	jt__free(a->released);
}
