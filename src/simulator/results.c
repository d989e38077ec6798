/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "jouletap/record.h"
#include "simulator/results.h"

int jt__results_init(struct jt_sim_results *r, const struct jt_cluster *cluster,
                     const struct jt_sim_options *options, struct jt_error *err)
{
	memset(r, 0, sizeof(*r));
	r->instances = jt__alloc(cluster->n_instances, sizeof(*r->instances));
	if (!r->instances)
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory for the results");
	r->cluster = cluster;
	r->options = options;
	return JT_OK;
}

void jt__latencies_fini(struct jt_latencies *l)
{
	jt__tally_fini(&l->ttft);
	jt__tally_fini(&l->tpot);
	jt__tally_fini(&l->itl);
}

void jt__results_fini(struct jt_sim_results *r)
{
	for (uint32_t i = 0; r->instances && i < r->cluster->n_instances; i++)
		jt__latencies_fini(&r->instances[i]);
	jt__free(r->instances);
	jt__free(r->beats);
	memset(r, 0, sizeof(*r));
}

void jt__results_request(struct jt_sim_results *r, const struct jt_sim_request *request)
{
	struct jt_latencies *l = &r->instances[request->instance];
	bool has_tpot = request->output_tokens > 1 || r->tpot_of_one;

	if (jt__tally_add(&l->ttft, &request->ttft_ns, request->ttft_ns != JT_NONE) < 0 ||
	    jt__tally_add(&l->tpot, &request->tpot_ns, has_tpot) < 0 ||
	    jt__tally_add(&l->itl, request->itl_ns, request->n_itl) < 0)
		r->status = JT_ENOMEM;
}

void jt__results_beat(struct jt_sim_results *r, const struct jt_sim_beat *beat)
{
	if (r->n_beats == r->capacity) {
		size_t capacity = r->capacity ? 2 * r->capacity : 256;
		struct jt_beat_row *beats = jt__realloc(r->beats, capacity, sizeof(*beats));

		if (!beats) {
			r->status = JT_ENOMEM;
			return;
		}
		r->beats = beats;
		r->capacity = capacity;
	}
	r->beats[r->n_beats++] = (struct jt_beat_row){
		.t_ns = beat->t_ns,
		.nominal_s = beat->nominal_s,
		.prompt_per_s = beat->prompt_per_s,
		.generation_per_s = beat->generation_per_s,
		.power_w = beat->has_power ? beat->power_w : (double)NAN,
	};
}

int jt__results_overall(const struct jt_sim_results *r, struct jt_latencies *room,
                        const struct jt_latencies **ret_all)
{
	uint32_t n = r->cluster->n_instances;
	int status = JT_OK;

	memset(room, 0, sizeof(*room));
	for (uint32_t i = 0; i < n && n > 1 && status == JT_OK; i++) {
		const struct jt_latencies *l = &r->instances[i];

		status = jt__tally_merge(&room->ttft, &l->ttft);
		if (status == JT_OK)
			status = jt__tally_merge(&room->tpot, &l->tpot);
		if (status == JT_OK)
			status = jt__tally_merge(&room->itl, &l->itl);
	}
	if (status < 0)
		jt__latencies_fini(room);
	else
		*ret_all = n > 1 ? room : &r->instances[0];
	return status;
}

int jt__digest(const struct jt_tally *t, double unit_ns, struct jt_digest *ret_digest)
{
	static const double quantiles[] = { 0.5, 0.99 };
	double values[2];
	int status = jt__tally_quantiles(t, quantiles, 2, values);

	if (status == JT_OK)
		*ret_digest = (struct jt_digest){ jt__tally_mean(t) / unit_ns, values[0] / unit_ns,
			                          values[1] / unit_ns };
	return status;
}

void jt__results_joules(const struct jt_sim_results *r, struct jt_sim_joules *ret_sum)
{
	memset(ret_sum, 0, sizeof(*ret_sum));
	for (uint32_t node = 0; node < r->cluster->n_nodes; node++) {
		struct jt_sim_joules j;

		jt__sim_joules(r->sim, node, &j);
		for (int c = 0; c < JT_N_COMPONENTS; c++)
			ret_sum->by[c] += j.by[c];
		ret_sum->npu_idle_j += j.npu_idle_j;
		ret_sum->npu_standby_j += j.npu_standby_j;
		ret_sum->npu_active_j += j.npu_active_j;
		ret_sum->total_j += j.total_j;
	}
}
