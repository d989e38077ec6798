/* SPDX-License-Identifier: Apache-2.0 */
#include "exporters/histogram.h"

void jt__histogram_add(struct jt_histogram *h, const struct jt_histogram_shape *shape,
                       uint64_t value)
{
	double shown = (double)value / shape->scale;
	size_t i = 0;

	while (i < shape->n && shown > shape->upper[i])
		i++;
	h->n[i]++;
	h->count++;
	h->sum = value > UINT64_MAX - h->sum ? UINT64_MAX : h->sum + value;
}
