/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "ledger/ledger.h"
#include "simulator/output.h"
#include "simulator/records.h"

struct jt_sim_records {
	const struct jt_cluster *cluster;
	struct jt_lines *lines;
	struct jt_buf line;
	char path[JT_SIM_PATH_MAX];
};

int jt__records_open(const char *path, const struct jt_cluster *cluster,
                     struct jt_sim_records **ret_records, struct jt_error *err)
{
	struct jt_sim_records *r = jt__alloc(1, sizeof(*r));
	int status;

	if (!r)
		return jt__fail(err, JT_ENOMEM, "simulate", "no memory to write '%s'", path);
	r->cluster = cluster;
	jt__buf_init(&r->line, 1 << 16);
	jt__copy_text(r->path, sizeof(r->path), path, strlen(path));
	status = jt__sim_output_dirs(path, err);
	if (status == JT_OK)
		status = jt__lines_begin(path, &r->lines, err);
	if (status < 0) {
		jt__free(r);
		return status;
	}
	*ret_records = r;
	return JT_OK;
}

static uint64_t micro(double v)
{
	return isnan(v) ? JT_NONE : jt__whole(v * 1e6 + 0.5);
}

/* Times of a simulation are on no calendar: there is no "start". */
static void fill(struct jt_record *rec, const struct jt_sim_request *q, uint32_t node)
{
	jt__record_init(rec);
	snprintf(rec->id, sizeof(rec->id), "sim-%" PRIu64, q->id);
	jt__copy_text(rec->model, sizeof(rec->model), q->model, strlen(q->model));
	snprintf(rec->upstream, sizeof(rec->upstream), "instance:%" PRIu32, q->instance);
	strcpy(rec->outcome, "ok");
	rec->choices = 1;
	rec->prompt_tokens = q->input_tokens;
	rec->cached_tokens = q->hit_tokens;
	rec->completion_tokens = q->output_tokens;
	rec->duration_ns = q->end_ns - q->arrival_ns;
	rec->queue_ns = q->queuing_ns;
	rec->ttft_ns = q->ttft_ns;
	rec->tpot_ns = q->output_tokens > 1 ? q->tpot_ns : JT_NONE;
	strcpy(rec->phase_source, "engine");
	rec->prefill_uj = micro(q->prefill_j);
	rec->decode_uj = micro(q->decode_j);
	rec->dynamic_uj = micro(q->dynamic_j);
	rec->total_uj = JT_NONE;
	if (rec->prefill_uj == JT_NONE || rec->decode_uj == JT_NONE)
		return;
	rec->total_uj = rec->prefill_uj + rec->decode_uj;
	strcpy(rec->provenance, jt_provenance_name(JT_MODELLED));
	snprintf(rec->domains, sizeof(rec->domains), "node:%" PRIu32, node);
}

void jt__records_put(struct jt_sim_records *r, const struct jt_sim_request *request)
{
	struct jt_record rec;

	fill(&rec, request, r->cluster->instances[request->instance].node);
	jt__buf_clear(&r->line);
	jt__record_json(&r->line, &rec);
	jt__lines_append(r->lines, jt__buf_bytes(&r->line), jt__buf_len(&r->line));
}

int jt__records_status(const struct jt_sim_records *r, struct jt_error *err)
{
	uint64_t lost = jt__lines_lost(r->lines);

	if (lost)
		return jt__fail(err, JT_EIO, "simulate", "%" PRIu64 " records are not in '%s'",
		                lost, r->path);
	return JT_OK;
}

void jt__records_close(struct jt_sim_records *r)
{
	if (!r)
		return;
	jt__lines_close(r->lines);
	jt__buf_fini(&r->line);
	jt__free(r);
}
