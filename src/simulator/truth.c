/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapley values (L. S. Shapley, "A value for n-person games", 1953) by sampled orders (Castro,
 * Gómez, Tejada, "Polynomial calculation of the Shapley value based on sampling", 2009).
 *
 * Who comes first pays for reading the weights, hundreds of times what the others add, so that
 *plain sampling would take thousands of orders. Most of a batch's cost has the form of a shared
 *part and own parts, whose Shapley value is known:
 *
 *	g(S) = a + Σ b_i over S, g of nobody = 0        value of i:  b_i + a/n
 *
 * with b_i = v(all) - v(all but i) and a the mean of v(i alone) - b_i. Only the rest, v - g, is
 * sampled (a control variate). Each order is taken forwards and backwards (antithetic), for what
 * comes cheap late comes dear early. Every order telescopes to v(all), so the shares add up to it
 * whatever the orders were.
 */
#include <string.h>
#include "model/sched.h"
#include "simulator/truth.h"

/* ---- the value of a game ---- */

static int reserve(struct jt_shapley *w, uint32_t n)
{
	double **of_players[] = { &w->alone, &w->sum, &w->squares, &w->pair };
	uint32_t *order;

	if (n <= w->capacity)
		return JT_OK;
	for (size_t i = 0; i < JT_ARRAY_LEN(of_players); i++) {
		double *p = jt__realloc(*of_players[i], n, sizeof(*p));

		if (!p)
			return JT_ENOMEM;
		*of_players[i] = p;
	}
	order = jt__realloc(w->order, n, sizeof(*order));
	if (!order)
		return JT_ENOMEM;
	w->order = order;
	w->capacity = n;
	return JT_OK;
}

void jt__shapley_fini(struct jt_shapley *w)
{
	jt__free(w->alone);
	jt__free(w->sum);
	jt__free(w->squares);
	jt__free(w->pair);
	jt__free(w->order);
	memset(w, 0, sizeof(*w));
}

/* All of @n players but @out; @n as @out: all. */
static int cost_without(const struct jt_game *g, uint32_t n, uint32_t out, double *ret_j)
{
	g->clear(g->user);
	for (uint32_t i = 0; i < n; i++) {
		if (i != out)
			g->join(g->user, i);
	}
	return g->cost(g->user, ret_j);
}

static int cost_alone(const struct jt_game *g, uint32_t player, double *ret_j)
{
	g->clear(g->user);
	g->join(g->user, player);
	return g->cost(g->user, ret_j);
}

/* Last and first of the batch: marginal_j, and w->alone. */
static int find_ends(struct jt_shapley *w, const struct jt_game *g, uint32_t n,
                     struct jt_share *shares)
{
	double all_j, rest_j = 0;
	int status = cost_without(g, n, n, &all_j);

	for (uint32_t i = 0; i < n && status == JT_OK; i++) {
		status = n > 1 ? cost_without(g, n, i, &rest_j) : JT_OK;
		shares[i].marginal_j = all_j - rest_j;
		if (status == JT_OK)
			status = cost_alone(g, i, &w->alone[i]);
	}
	return status;
}

/* Adds to @into what each player brings when they come in w->order, or in its reverse. */
static int walk(const struct jt_shapley *w, const struct jt_game *g, uint32_t n, bool backwards,
                double *into)
{
	double before_j = 0, j;

	g->clear(g->user);
	for (uint32_t k = 0; k < n; k++) {
		uint32_t player = w->order[backwards ? n - 1 - k : k];
		int status;

		g->join(g->user, player);
		status = g->cost(g->user, &j);
		if (status < 0)
			return status;
		into[player] += j - before_j;
		before_j = j;
	}
	return JT_OK;
}

/* The next order in the sense of a dictionary (Narayana); false: that was the last. */
static bool next_order(uint32_t *order, uint32_t n)
{
	uint32_t i = n - 1, k = n - 1, kept;

	while (i > 0 && order[i - 1] >= order[i])
		i--;
	if (i == 0)
		return false;
	while (order[k] <= order[i - 1])
		k--;
	kept = order[i - 1], order[i - 1] = order[k], order[k] = kept;
	for (k = n - 1; i < k; i++, k--)
		kept = order[i], order[i] = order[k], order[k] = kept;
	return true;
}

static int try_all_orders(struct jt_shapley *w, const struct jt_game *g, uint32_t n,
                          struct jt_share *shares)
{
	uint32_t n_orders = 0;

	do {
		int status = walk(w, g, n, false, w->sum);

		if (status < 0)
			return status;
		n_orders++;
	} while (next_order(w->order, n));
	for (uint32_t i = 0; i < n; i++) {
		shares[i].shapley_j = w->sum[i] / n_orders;
		shares[i].variance = 0;
	}
	return JT_OK;
}

static void shuffle(struct jt_shapley *w, uint32_t n)
{
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t k = (uint32_t)jt__rng_below(&w->rng, i + 1), kept = w->order[i];

		w->order[i] = w->order[k];
		w->order[k] = kept;
	}
}

/* w->pair becomes what an order and its reverse give each player beyond g. */
static int sample_pair(struct jt_shapley *w, const struct jt_game *g, uint32_t n, double shared_j,
                       const struct jt_share *shares)
{
	int status;

	shuffle(w, n);
	memset(w->pair, 0, n * sizeof(*w->pair));
	status = walk(w, g, n, false, w->pair);
	if (status == JT_OK)
		status = walk(w, g, n, true, w->pair);
	w->pair[w->order[0]] -= shared_j;
	w->pair[w->order[n - 1]] -= shared_j;
	for (uint32_t i = 0; i < n; i++)
		w->pair[i] = w->pair[i] / 2 - shares[i].marginal_j;
	return status;
}

static int sample_orders(struct jt_shapley *w, const struct jt_game *g, uint32_t n,
                         struct jt_share *shares)
{
	double shared_j = 0, pairs = JT_MAX(w->n_pairs, 2u);

	for (uint32_t i = 0; i < n; i++)
		shared_j += (w->alone[i] - shares[i].marginal_j) / n;
	for (uint32_t p = 0; p < pairs; p++) {
		int status = sample_pair(w, g, n, shared_j, shares);

		if (status < 0)
			return status;
		for (uint32_t i = 0; i < n; i++) {
			w->sum[i] += w->pair[i];
			w->squares[i] += w->pair[i] * w->pair[i];
		}
	}
	for (uint32_t i = 0; i < n; i++) {
		double mean = w->sum[i] / pairs, spread = w->squares[i] / pairs - mean * mean;

		shares[i].shapley_j = shares[i].marginal_j + shared_j / n + mean;
		shares[i].variance = JT_MAX(spread, 0) / (pairs - 1);
	}
	return JT_OK;
}

int jt__shapley(struct jt_shapley *w, const struct jt_game *g, uint32_t n,
                struct jt_share *ret_shares)
{
	int status = reserve(w, n);

	if (status == JT_OK)
		status = find_ends(w, g, n, ret_shares);
	if (status < 0)
		return status;
	memset(w->sum, 0, n * sizeof(*w->sum));
	memset(w->squares, 0, n * sizeof(*w->squares));
	for (uint32_t i = 0; i < n; i++)
		w->order[i] = i;
	if (n <= JT_SHAPLEY_EXACT)
		return try_all_orders(w, g, n, ret_shares);
	return sample_orders(w, g, n, ret_shares);
}

/* ---- the game of a batch ---- */

struct jt_truth {
	struct jt_truth_options o;
	struct jt_gpu gpu;
	struct jt_size model;
	struct jt_shapley shapley;
	struct jt_share *shares; /* scratch, of the items of a batch */
	uint32_t shares_capacity;
	struct jt_share *of; /* by request */
	size_t of_capacity;
	/* The batch whose coalitions are priced. */
	struct jt_sim *sim;
	const struct jt_sim_batch *batch;
	struct jt_step step; /* of the coalition, for the roofline */
};

static void powered_clear(void *user)
{
	struct jt_truth *t = user;

	jt__sim_suppose_none(t->sim, t->batch->instance);
}

static void powered_join(void *user, uint32_t player)
{
	struct jt_truth *t = user;
	const struct jt_batch_item *item = &t->batch->batch->items[player];

	jt__sim_suppose(t->sim, t->batch->instance, item->new_tokens, item->kv_tokens);
}

static int powered_cost(void *user, double *ret_j)
{
	struct jt_truth *t = user;

	return jt__sim_supposed_j(t->sim, t->batch->instance, ret_j);
}

static void roofline_clear(void *user)
{
	struct jt_truth *t = user;

	t->step = (struct jt_step){ 0 };
}

static void roofline_join(void *user, uint32_t player)
{
	struct jt_truth *t = user;
	const struct jt_batch_item *item = &t->batch->batch->items[player];
	double n = item->new_tokens;

	jt__step_add(&t->model, n, item->kv_tokens + (n + 1) / 2, &t->step);
}

static int roofline_cost(void *user, double *ret_j)
{
	struct jt_truth *t = user;
	struct jt_step_cost c;

	jt__roofline(&t->model, &t->gpu, &t->step, &c);
	*ret_j = c.dynamic_j;
	return JT_OK;
}

int jt__truth_new(const struct jt_truth_options *o, struct jt_truth **ret_truth,
                  struct jt_error *err)
{
	struct jt_truth *t = jt__alloc(1, sizeof(*t));

	if (!t)
		return jt__fail(err, JT_ENOMEM, "truth", "out of memory");
	t->o = *o;
	if (o->gpu) {
		t->gpu = *o->gpu;
		t->model = jt__size(o->arch);
	}
	t->shapley.n_pairs = o->n_pairs;
	t->shapley.rng.state = o->seed;
	*ret_truth = t;
	return JT_OK;
}

void jt__truth_free(struct jt_truth *t)
{
	if (!t)
		return;
	jt__shapley_fini(&t->shapley);
	jt__free(t->shares);
	jt__free(t->of);
	jt__free(t);
}

static int reserve_shares(struct jt_truth *t, uint32_t n)
{
	struct jt_share *shares;

	if (n <= t->shares_capacity)
		return JT_OK;
	shares = jt__realloc(t->shares, n, sizeof(*shares));
	if (!shares)
		return JT_ENOMEM;
	t->shares = shares;
	t->shares_capacity = n;
	return JT_OK;
}

/* Ids count from 0 in a workload. */
static struct jt_share *find(struct jt_truth *t, uint64_t id)
{
	if (id >= t->of_capacity) {
		size_t n = JT_MAX(64, 2 * (size_t)id + 1);
		struct jt_share *of = jt__realloc(t->of, n, sizeof(*of));

		if (!of)
			return NULL;
		memset(of + t->of_capacity, 0, (n - t->of_capacity) * sizeof(*of));
		t->of = of;
		t->of_capacity = n;
	}
	return &t->of[id];
}

static int book(struct jt_truth *t, const struct jt_batch *b, double scale)
{
	for (uint32_t i = 0; i < b->n_items; i++) {
		const struct jt_share *s = &t->shares[i];
		struct jt_share *of;

		if (!b->items[i].seq)
			continue;
		of = find(t, b->items[i].seq->id);
		if (!of)
			return JT_ENOMEM;
		of->shapley_j += s->shapley_j * scale;
		of->marginal_j += s->marginal_j * scale;
		of->variance += s->variance * scale * scale;
	}
	return JT_OK;
}

int jt__truth_batch(struct jt_truth *t, struct jt_sim *s, const struct jt_sim_batch *b,
                    double *ret_j)
{
	static const struct jt_game powered = { NULL, powered_clear, powered_join, powered_cost };
	static const struct jt_game roofline = { NULL, roofline_clear, roofline_join,
		                                 roofline_cost };
	struct jt_game g = t->o.gpu ? roofline : powered;
	uint32_t n = b->batch->n_items;
	double sum_j = 0, batch_j;
	int status = reserve_shares(t, n);

	g.user = t;
	t->sim = s;
	t->batch = b;
	if (status == JT_OK)
		status = jt__shapley(&t->shapley, &g, n, t->shares);
	if (status < 0)
		return status;
	for (uint32_t i = 0; i < n; i++)
		sum_j += t->shares[i].shapley_j;
	batch_j = t->o.gpu ? sum_j : b->dynamic_j;
	if (ret_j)
		*ret_j = batch_j;
	return book(t, b->batch, sum_j > 0 ? batch_j / sum_j : 0);
}

struct jt_share jt__truth_of(const struct jt_truth *t, uint64_t id)
{
	return id < t->of_capacity ? t->of[id] : (struct jt_share){ 0 };
}
