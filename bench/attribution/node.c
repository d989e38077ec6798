/* SPDX-License-Identifier: Apache-2.0 */
/* A load runs on a server; the truth and what an engine could tell of each step are computed as it
 * goes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "attribution.h"
#include "jouletap/record.h"
#include "model/sched.h"

#define WINDOW_NS (15 * JT_NS_PER_S) /* between two scrapes of metrics */

/* Room for one more in a list that doubles. */
static void *grown(struct run *r, void *list, size_t n, size_t *capacity, size_t size)
{
	void *p;

	if (n < *capacity)
		return list;
	p = realloc(list, JT_MAX(1024, 2 * *capacity) * size);
	if (p)
		*capacity = JT_MAX(1024, 2 * *capacity);
	r->failed |= !p;
	return p ? p : list;
}

/* -- what is told of steps -- */

static double own_j(const struct run *r, const struct jt_batch_item *item)
{
	double n = item->new_tokens;

	return jt__roofline_own_j(&r->model, r->gpu, n, item->kv_tokens + (n + 1) / 2);
}

static void split_by_step(struct run *r, const struct jt_batch *b, const double j[N_TRUTHS])
{
	double shared_j = jt__roofline_shared_j(&r->model, r->gpu, b->n_tokens) / b->n_items;
	double sum_j = shared_j * b->n_items;

	for (uint32_t i = 0; i < b->n_items; i++)
		sum_j += own_j(r, &b->items[i]);
	for (uint32_t i = 0; i < b->n_items; i++) {
		struct request *q = &r->requests[b->items[i].seq->id];
		double by_tokens = (double)b->items[i].new_tokens / b->n_tokens;
		double by_roofline = (shared_j + own_j(r, &b->items[i])) / sum_j;

		for (int t = 0; t < N_TRUTHS; t++) {
			q->estimate_j[t][METHOD_STEPS] += j[t] * by_tokens;
			q->estimate_j[t][METHOD_TOLD] += j[t] * by_roofline;
		}
	}
}

/* -- what is seen of answers -- */

static void close_window(struct run *r)
{
	for (uint32_t i = 0; i < r->n_requests && r->window_tokens > 0; i++) {
		struct request *q = &r->requests[i];

		for (int t = 0; t < N_TRUTHS; t++)
			q->estimate_j[t][METHOD_WINDOW] +=
				r->window_j[t] * q->in_window / r->window_tokens;
		q->in_window = 0;
	}
	memset(r->window_j, 0, sizeof(r->window_j));
	r->window_tokens = 0;
}

/* As src/gateway/report.c tells of growing context. */
static void see_token(struct run *r, uint32_t id, uint64_t t_ns)
{
	struct request *q = &r->requests[id];
	uint32_t context = q->input + ++q->n_seen;

	q->in_window++;
	r->window_tokens++;
	if (q->n_seen < q->next_progress)
		return;
	q->next_progress = q->n_seen + 16 + context / 16;
	r->progress =
		grown(r, r->progress, r->n_progress, &r->progress_capacity, sizeof(*r->progress));
	if (!r->failed)
		r->progress[r->n_progress++] = (struct progress){ t_ns, id, context };
}

static void see_items(struct run *r, const struct jt_sim_batch *b)
{
	for (uint32_t i = 0; i < b->batch->n_items; i++) {
		const struct jt_batch_item *item = &b->batch->items[i];
		uint32_t id = (uint32_t)item->seq->id;

		if (r->requests[id].scheduled_ns == JT_NONE)
			r->requests[id].scheduled_ns = b->begin_ns;
		if (item->kv_tokens + item->new_tokens >= item->seq->prompt_tokens)
			see_token(r, id, b->end_ns);
	}
}

/* -- the observer -- */

static void on_batch(void *user, const struct jt_sim_batch *b)
{
	struct run *r = user;
	struct stretch s = { b->begin_ns, b->end_ns, { 0 } };

	for (int t = 0; t < N_TRUTHS; t++)
		r->failed |= jt__truth_batch(r->truths[t], r->sim, b, &s.j[t]) < 0;
	r->batches = grown(r, r->batches, r->n_batches, &r->batches_capacity, sizeof(*r->batches));
	if (r->failed)
		return;
	r->batches[r->n_batches++] = s;
	r->busy_ns += s.end_ns - s.begin_ns;
	r->items += (double)b->batch->n_items * (double)(s.end_ns - s.begin_ns);
	r->end_ns = s.end_ns;
	if (s.end_ns >= r->window_end_ns) {
		close_window(r);
		r->window_end_ns = s.end_ns / WINDOW_NS * WINDOW_NS + WINDOW_NS;
	}
	for (int t = 0; t < N_TRUTHS; t++)
		r->window_j[t] += s.j[t];
	split_by_step(r, b->batch, s.j);
	see_items(r, b);
}

static void on_finished(void *user, const struct jt_sim_request *f)
{
	struct run *r = user;
	struct request *q = &r->requests[f->id];

	q->arrival_ns = f->arrival_ns;
	q->first_ns = f->arrival_ns + f->ttft_ns;
	q->end_ns = f->end_ns;
}

/* -- a run -- */

static bool open_truths(struct run *r, const struct bench_options *o, struct jt_error *err)
{
	for (int t = 0; t < N_TRUTHS; t++) {
		struct jt_truth_options to = { .n_pairs = o->n_pairs,
			                       .seed = o->seed,
			                       .gpu = t == TRUTH_ROOF ? r->gpu : NULL,
			                       .arch = r->arch };

		if (jt__truth_new(&to, &r->truths[t], err) < 0)
			return false;
	}
	return true;
}

static bool open_requests(struct run *r, struct jt_workload *w, struct jt_error *err)
{
	struct jt_ask ask;

	r->n_requests = (uint32_t)jt__workload_requests(w);
	r->requests = calloc(r->n_requests, sizeof(*r->requests));
	for (uint32_t i = 0; r->requests && i < r->n_requests; i++) {
		if (jt__workload_read(w, i, 0, false, &ask, err) < 0)
			return false;
		r->requests[ask.id].input = ask.input_tokens;
		r->requests[ask.id].output = ask.output_tokens;
		r->requests[ask.id].scheduled_ns = JT_NONE;
		r->requests[ask.id].next_progress = 16 + ask.input_tokens / 16;
	}
	return r->requests != NULL;
}

static bool simulate(struct run *r, struct jt_workload *w, const struct bench_options *o,
                     struct jt_error *err)
{
	char profiles[512];
	struct jt_sim_options so = { .profiles = profiles, .log_interval_s = 1 };
	struct jt_sim_observer ob = { .finished = on_finished, .batch = on_batch, .user = r };
	int status;

	if (r->server->bundled)
		snprintf(profiles, sizeof(profiles), "%s/data/simulator/profiler", JT_SOURCE_ROOT);
	else
		snprintf(profiles, sizeof(profiles), "%s/profiler", o->data);
	status = jt__sim_new(r->cluster, w, &so, &ob, &r->sim, err);
	if (status == JT_OK)
		status = 1;
	while (status > 0 && !r->failed)
		status = jt__sim_run(r->sim, 100000, err);
	close_window(r);
	return status == 0 && !r->failed;
}

static void keep_truth(struct run *r)
{
	double all_j[N_TRUTHS] = { 0 }, outputs = 0, tokens = 0;

	for (size_t i = 0; i < r->n_batches; i++)
		for (int t = 0; t < N_TRUTHS; t++)
			all_j[t] += r->batches[i].j[t];
	for (uint32_t i = 0; i < r->n_requests; i++) {
		outputs += r->requests[i].output;
		tokens += r->requests[i].output + r->requests[i].input;
	}
	for (uint32_t i = 0; i < r->n_requests; i++) {
		struct request *q = &r->requests[i];

		for (int t = 0; t < N_TRUTHS; t++) {
			q->truth[t] = jt__truth_of(r->truths[t], i);
			q->estimate_j[t][METHOD_OUTPUT] = all_j[t] * q->output / outputs;
			q->estimate_j[t][METHOD_ALL_TOKENS] =
				all_j[t] * (q->output + q->input) / tokens;
		}
	}
}

bool node_run(struct run *r, const struct server *server, const struct load *l,
              const struct bench_options *o)
{
	struct jt_serving_defaults d = JT_SERVING_DEFAULTS;
	char cluster[512], path[64];
	struct jt_cluster_where where = { .path = cluster, .data = JT_SOURCE_ROOT "/data" };
	struct jt_error err = { .message = "out of memory" };
	struct jt_workload *w = NULL;
	bool ok;

	*r = (struct run){ .server = server, .load = l };
	snprintf(cluster, sizeof(cluster), "%s/%s", JT_SOURCE_ROOT, server->cluster);
	if (!write_requests(l, server->speed, o->seed, path))
		return false;
	ok = jt__cluster_load(&where, &d, &r->cluster, &err) == JT_OK &&
	     jt__workload_open(path, 0, &w, &err) == JT_OK && open_requests(r, w, &err);
	unlink(path);
	if (ok) {
		r->arch = &r->cluster->instances[0].model->arch;
		r->model = jt__size(r->arch);
		r->gpu = jt__gpu_find(server->gpu);
		ok = open_truths(r, o, &err) && simulate(r, w, o, &err);
	}
	if (ok)
		keep_truth(r);
	else
		fprintf(stderr, "attribution: %s\n", err.message);
	jt__sim_free(r->sim);
	r->sim = NULL;
	jt__workload_free(w);
	return ok;
}

void node_over(struct run *r)
{
	for (int t = 0; t < N_TRUTHS; t++)
		jt__truth_free(r->truths[t]);
	jt__cluster_free(r->cluster);
	free(r->requests);
	free(r->batches);
	free(r->progress);
}
