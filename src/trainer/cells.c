/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "input/textfile.h"
#include "ledger/ledger.h"
#include "predictor/ask.h"
#include "trainer/cells.h"

#define MAX_ASKED 1024 /* upstreams, each on so many GPUs */

struct jt_cells_upstream {
	char name[32];
	size_t n_gpus;
	struct jt_question q; /* if it is known */
	struct jt_error why;  /* else; its status is JT_OK where it is known */
};

/* ---- which records ---- */

static int leave_out(struct jt_error *why, const char *reason)
{
	return jt__fail(why, JT_ENOTSUP, "record", "%s", reason);
}

/* How many GPUs; JT_ENOTSUP where other domains are among them. */
static int count_gpus(const struct jt_record *r, size_t *ret, struct jt_error *why)
{
	size_t n = 0;

	for (const char *p = r->domains; *p; n++) {
		size_t len = strcspn(p, ",");

		if (strncmp(p, "gpu:", 4) != 0)
			return jt__fail(why, JT_ENOTSUP, "record",
			                "it is charged for '%.*s', and predictions are of whole "
			                "GPUs alone",
			                (int)JT_MIN(len, 32), p);
		p += len + (p[len] == ',');
	}
	*ret = n;
	return JT_OK;
}

static int check_outcome(const struct jt_record *r, struct jt_error *why)
{
	if (strcmp(r->outcome, "ok") != 0)
		return jt__fail(why, JT_ENOTSUP, "record", "its outcome is '%s' and not 'ok'",
		                r->outcome);
	if (r->prompt_tokens == JT_NONE || !r->prompt_tokens || r->completion_tokens == JT_NONE ||
	    !r->completion_tokens)
		return leave_out(why, "it generated no tokens, or how many is not known");
	return JT_OK;
}

static int check_meter(const struct jt_record *r, struct jt_error *why)
{
	if (r->total_uj == JT_NONE || !r->total_uj)
		return leave_out(why, "its joules are not known");
	if (strcmp(r->provenance, "measured") != 0 && strcmp(r->provenance, "derived") != 0)
		return jt__fail(why, JT_ENOTSUP, "record",
		                "its joules are '%s' and not from a meter", r->provenance);
	if (r->coverage_ppm != JT_NONE && r->coverage_ppm < JT_CELLS_LEAST_COVERAGE_PPM)
		return jt__fail(why, JT_ENOTSUP, "record",
		                "its meters saw %" PRIu64 " %% of it, not %d %%",
		                r->coverage_ppm / 10000, JT_CELLS_LEAST_COVERAGE_PPM / 10000);
	return JT_OK;
}

/* ---- upstreams ---- */

static int ask_upstream(struct jt_cells *c, const char *name, size_t n_gpus, struct jt_error *err)
{
	struct jt_cells_upstream *u;
	int status;

	if (c->n_asked == MAX_ASKED)
		return jt__fail(err, JT_ELIMIT, "records", "more than %d upstreams", MAX_ASKED);
	if (!c->asked && !(c->asked = jt__alloc(MAX_ASKED, sizeof(*c->asked))))
		return jt__fail(err, JT_ENOMEM, "records", "no memory for upstreams");
	u = &c->asked[c->n_asked];
	*u = (struct jt_cells_upstream){ .n_gpus = n_gpus };
	jt__copy_text(u->name, sizeof(u->name), name, strlen(name));
	status = c->upstreams->ask(c->upstreams->user, name, n_gpus, &u->q, &u->why);
	if (status == JT_OK)
		u->why.status = JT_OK;
	else if (status != JT_ENOTSUP)
		return jt__fail(err, status, u->why.where, "%s", u->why.message);
	c->n_asked++;
	return JT_OK;
}

static int find_upstream(struct jt_cells *c, const struct jt_record *r, size_t n_gpus,
                         uint32_t *ret, struct jt_error *err)
{
	size_t i = 0;

	while (i < c->n_asked &&
	       (c->asked[i].n_gpus != n_gpus || strcmp(c->asked[i].name, r->upstream) != 0))
		i++;
	*ret = (uint32_t)i;
	return i < c->n_asked ? JT_OK : ask_upstream(c, r->upstream, n_gpus, err);
}

/* ---- cells ---- */

static int in_order(const struct jt_cell *a, const struct jt_cell *b)
{
	const int64_t x[] = { a->upstream, a->batch, a->input, a->output };
	const int64_t y[] = { b->upstream, b->batch, b->input, b->output };
	int order;

	for (size_t i = 0; i < JT_ARRAY_LEN(x); i++)
		if (x[i] != y[i])
			return (x[i] > y[i]) - (x[i] < y[i]);
	order = strcmp(a->model, b->model);
	return order ? order : strcmp(a->task, b->task);
}

static int grow(struct jt_cells *c)
{
	size_t capacity = 2 * c->capacity + 64;
	void *p = capacity > 2 * JT_DATASET_MAX_ROWS
	                  ? NULL
	                  : jt__realloc(c->all, capacity, sizeof(*c->all));

	if (!p)
		return JT_ENOMEM;
	c->all = p;
	c->capacity = capacity;
	return JT_OK;
}

static void sum_up(struct jt_cell *to, const struct jt_cell *from)
{
	to->n_records += from->n_records;
	to->joules += from->joules;
	to->prompt_tokens += from->prompt_tokens;
	to->sequences += from->sequences;
	to->tokens += from->tokens;
	to->token_steps += from->token_steps;
}

/* Into the cell that has the same in common, or a new one at its place. */
static int put(struct jt_cells *c, const struct jt_cell *cell, struct jt_error *err)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t middle = lo + (hi - lo) / 2;
		int order = in_order(&c->all[middle], cell);

		if (!order) {
			sum_up(&c->all[middle], cell);
			return JT_OK;
		}
		if (order < 0)
			lo = middle + 1;
		else
			hi = middle;
	}
	if (c->n == c->capacity && grow(c) < 0)
		return jt__fail(err, JT_ENOMEM, "records", "no memory for more than %zu rows",
		                c->n);
	memmove(c->all + lo + 1, c->all + lo, (c->n - lo) * sizeof(*c->all));
	c->all[lo] = *cell;
	c->n++;
	return JT_OK;
}

/* Sequences that ran at once: choices of one request do, and more than it may run wait. */
static double batch_of(const struct jt_record *r, const struct jt_question *q, double choices)
{
	double batch = r->concurrency_milli == JT_NONE
	                       ? q->batch
	                       : (double)r->concurrency_milli * 1e-3 + choices - 1;

	return batch > q->max_num_seqs * q->dp ? q->max_num_seqs * q->dp : batch;
}

static int make_cell(const struct jt_record *r, const struct jt_question *q, struct jt_cell *cell,
                     struct jt_error *why)
{
	double choices = r->choices == JT_NONE || !r->choices ? 1 : (double)r->choices;
	double batch = batch_of(r, q, choices), tokens = (double)r->completion_tokens;

	if (!(batch > 0))
		return leave_out(why, "how many requests ran with it ('concurrency') is not known");
	batch = fmax(batch, 1);
	cell->batch = (int32_t)floor(log2(batch));
	cell->input = (int32_t)floor(log2((double)r->prompt_tokens));
	cell->output = (int32_t)floor(log2(tokens / choices));
	jt__copy_text(cell->model, sizeof(cell->model), r->model, strlen(r->model));
	jt__copy_text(cell->task, sizeof(cell->task), r->task_class, strlen(r->task_class));
	cell->n_records = 1;
	cell->joules = (double)r->total_uj * 1e-6;
	cell->prompt_tokens = (double)r->prompt_tokens;
	cell->sequences = choices;
	cell->tokens = tokens;
	cell->token_steps = tokens / batch;
	return JT_OK;
}

/* ---- records ---- */

static int take(struct jt_cells *c, const struct jt_record *r, struct jt_cell *cell,
                struct jt_error *why, struct jt_error *err)
{
	size_t n_gpus = 0;
	int status;

	*why = (struct jt_error){ 0 };
	if (check_outcome(r, why) < 0 || check_meter(r, why) < 0 || count_gpus(r, &n_gpus, why) < 0)
		return JT_OK;
	status = find_upstream(c, r, n_gpus, &cell->upstream, err);
	if (status < 0)
		return status;
	*why = c->asked[cell->upstream].why;
	if (why->status < 0 || make_cell(r, &c->asked[cell->upstream].q, cell, why) < 0)
		return JT_OK;
	return put(c, cell, err);
}

static int take_line(struct jt_cells *c, const char *path, struct jt_cell *cell, const char *line,
                     size_t n, bool is_cut, struct jt_error *err)
{
	struct jt_error why;
	struct jt_record r;
	int status = jt__record_parse(line, n, &r, &why);

	if (status < 0 && (!is_cut || status != JT_EINVAL))
		return jt__textfile_fail(err, path, cell->line, "%s", why.message);
	c->n_records++;
	if (status < 0)
		leave_out(&why, "it is cut off");
	else
		status = take(c, &r, cell, &why, err);
	if (why.status < 0 && !c->n_left_out++)
		jt__fail(&c->left_out, why.status, why.where, "line %u of '%.80s': %.160s",
		         cell->line, path, why.message);
	return why.status < 0 ? JT_OK : status;
}

int jt__cells_add(struct jt_cells *c, const char *path, uint32_t file, const char *text, size_t n,
                  struct jt_error *err)
{
	const char *p = text, *end = text + n;
	int status = JT_OK;

	for (uint32_t line = 1; status == JT_OK && p < end; line++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((stop ? stop : end) - p);
		struct jt_cell cell = { .file = file, .line = line };

		if (len)
			status = take_line(c, path, &cell, p, len, !stop, err);
		p += len + (stop != NULL);
	}
	return status;
}

void jt__cells_row(const struct jt_cells *c, size_t i, struct jt_row *ret)
{
	const struct jt_cell *cell = &c->all[i];
	struct jt_row row = { .q = c->asked[cell->upstream].q,
		              .j_per_token = cell->joules / cell->tokens,
		              .file = cell->file,
		              .line = cell->line };

	row.q.in_tokens = cell->prompt_tokens / (double)cell->n_records;
	row.q.out_tokens = cell->tokens / cell->sequences;
	row.q.batch = cell->tokens / cell->token_steps;
	jt__copy_text(row.q.task, sizeof(row.q.task), cell->task, strlen(cell->task));
	strcpy(row.q.source, "ledger");
	*ret = row;
}

void jt__cells_fini(struct jt_cells *c)
{
	jt__free(c->asked);
	jt__free(c->all);
	*c = (struct jt_cells){ .upstreams = c->upstreams };
}
