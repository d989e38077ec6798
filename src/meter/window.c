/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "meter/inside.h"

#define MAX_MARKS 64

struct jt_window {
	struct jt_meter *meter;
	uint64_t begin_ns;
	uint64_t end_ns; /* 0: still open */
	struct {
		char name[32];
		uint64_t begin_ns;
	} marks[MAX_MARKS];
	size_t n_marks;
};

int jt_window_begin(struct jt_meter *m, uint64_t t_ns, struct jt_window **ret_window)
{
	struct jt_window *w = jt__alloc(1, sizeof(*w));

	if (!w)
		return JT_ENOMEM;
	w->meter = m;
	w->begin_ns = t_ns;
	*ret_window = w;
	return JT_OK;
}

int jt_window_phase(struct jt_window *w, uint64_t t_ns, const char *name)
{
	if (w->n_marks == MAX_MARKS)
		return JT_ELIMIT;
	if (!jt__copy_text(w->marks[w->n_marks].name, sizeof(w->marks[0].name), name, strlen(name)))
		return JT_EINVAL;
	w->marks[w->n_marks++].begin_ns = t_ns;
	return JT_OK;
}

void jt_window_end(struct jt_window *w, uint64_t t_ns)
{
	w->end_ns = t_ns;
}

/*
 * Adds a stretch to a sum: energies and bounds add up, coverage by time, the worse provenance wins.
 */
static int add_stretch(struct jt_window *w, size_t domain, uint64_t begin_ns, uint64_t end_ns,
                       struct jt_interval *sum)
{
	uint64_t so_far_ns = sum->end_ns - sum->begin_ns;
	struct jt_interval part = { 0 };
	int status = jt_meter_window(w->meter, domain, begin_ns, end_ns, &part);
	double covered_ns;

	if (status != JT_OK && status != JT_EAGAIN)
		return status;
	covered_ns = (double)sum->coverage_ppm * (double)so_far_ns +
	             (double)part.coverage_ppm * (double)(end_ns - begin_ns);
	sum->energy_uj += part.energy_uj;
	sum->bound_uj += part.bound_uj;
	sum->provenance = JT_MAX(sum->provenance, part.provenance);
	sum->end_ns += end_ns - begin_ns;
	if (sum->end_ns > sum->begin_ns)
		sum->coverage_ppm = (uint32_t)(covered_ns / (double)(sum->end_ns - sum->begin_ns));
	return status;
}

int jt_window_read(struct jt_window *w, size_t domain, const char *phase,
                   struct jt_interval *ret_interval)
{
	struct jt_interval sum = { .domain = (uint32_t)domain,
		                   .begin_ns = w->begin_ns,
		                   .end_ns = w->begin_ns };
	int worst = JT_ENOENT;

	if (!w->end_ns)
		return JT_EAGAIN;
	if (!phase)
		return jt_meter_window(w->meter, domain, w->begin_ns, w->end_ns, ret_interval);
	for (size_t i = 0; i < w->n_marks; i++) {
		uint64_t end_ns = i + 1 < w->n_marks ? w->marks[i + 1].begin_ns : w->end_ns;
		int status;

		if (strcmp(w->marks[i].name, phase) != 0)
			continue;
		status = add_stretch(w, domain, w->marks[i].begin_ns, end_ns, &sum);
		if (status != JT_OK && status != JT_EAGAIN)
			return status;
		if (worst == JT_ENOENT || status == JT_EAGAIN)
			worst = status;
	}
	if (worst != JT_ENOENT)
		*ret_interval = sum;
	return worst;
}

void jt_window_free(struct jt_window *w)
{
	jt__free(w);
}
