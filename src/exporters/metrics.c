/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of models and task classes come from clients, so their number is bounded: the first
 * JT_METRICS_MAX_PAIRS pairs have series of their own, all others are counted as "other", "other".
 * A name that was answered with a client error (no such model, say) takes no place, or whoever
 * sends names at random would use them up.
 */
#include <math.h>
#include <string.h>
#include "exporters/families.h"
#include "exporters/histogram.h"
#include "exporters/metrics.h"

#define N_INDEX 1024 /* a power of two, some times the number of pairs */
#define OTHER JT_METRICS_MAX_PAIRS

static const char *const outcomes[] = { "ok",      "client_gone", "upstream_error",
	                                "timeout", "rejected",    "other" };
#define N_OUTCOMES JT_ARRAY_LEN(outcomes)

enum { REQUEST_J, TOKEN_J, TTFT, TPOT, PREDICTION, N_HISTOGRAMS };

/*
 * Joules: from a cached classification on a small model to a long reasoning answer, two boundaries
 * a decade: requests differ by orders of magnitude and the mean is exact anyway. Joules per token
 * is the figure that is tuned, so it has three a decade: a small model in a large batch takes
 * millijoules, a large one alone tens of joules. Seconds: the boundaries that OpenTelemetry's GenAI
 * conventions give to the two, so that the panels of engine and gateway lie on each other; TTFT
 * goes on to where queues time out, TPOT begins where small models are. What was metered, over what
 * was predicted: finer around 1, where a good prediction is, and out to where answers were of quite
 * another length than expected.
 */
static const struct jt_histogram_shape shapes[N_HISTOGRAMS] = {
	[REQUEST_J] = { 1e6, 13, { 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5 } },
	[TOKEN_J] = { 1e6,
	              16,
	              { 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50,
	                100 } },
	[TTFT] = { 1e9, 20, { 0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5,
	                      0.75,  1,     2.5,  5,    7.5,  10,   20,   40,  80,   160 } },
	[TPOT] = { 1e9,
	           16,
	           { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
	             0.75, 1, 2.5 } },
	[PREDICTION] = { 1e6, 11, { 0.25, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 4 } },
};

/* Sums are JT_NONE until something is known of them. */
struct pair {
	char model[sizeof(((struct jt_record *)0)->model)];
	char task_class[sizeof(((struct jt_record *)0)->task_class)];
	uint64_t uj[JT_N_PHASES];
	uint64_t prompt_tokens;
	uint64_t cached_tokens;
	uint64_t completion_tokens;
	uint64_t predicted_uj;
	uint64_t requests[N_OUTCOMES];
	struct jt_histogram histograms[N_HISTOGRAMS];
};

struct jt_metrics {
	struct pair pairs[JT_METRICS_MAX_PAIRS + 1]; /* the last one is "other" */
	size_t n_pairs;
	uint64_t n_other;        /* requests that went to "other" */
	uint16_t index[N_INDEX]; /* pair + 1; open addressing */
};

static void init_pair(struct pair *p, const char *model, const char *task_class)
{
	strcpy(p->model, model);
	strcpy(p->task_class, task_class);
	for (int i = 0; i < JT_N_PHASES; i++)
		p->uj[i] = JT_NONE;
	p->prompt_tokens = p->cached_tokens = p->completion_tokens = p->predicted_uj = JT_NONE;
	for (size_t i = 0; i < N_OUTCOMES; i++)
		p->requests[i] = JT_NONE;
}

int jt__metrics_new(struct jt_metrics **ret_metrics, struct jt_error *err)
{
	struct jt_metrics *m = jt__alloc(1, sizeof(*m));

	if (!m)
		return jt__fail(err, JT_ENOMEM, "metrics", "out of memory");
	init_pair(&m->pairs[OTHER], "other", "other");
	*ret_metrics = m;
	return JT_OK;
}

void jt__metrics_free(struct jt_metrics *m)
{
	jt__free(m);
}

/* ---- a request is over ---- */

/* Names that a scrape would show alike must be one name: what is not UTF-8 goes before the
 * comparison. */
static void clean(char *text)
{
	size_t n = strlen(text);

	for (size_t i = 0, len; i < n; i += len) {
		len = jt__utf8_len((unsigned char *)text + i, n - i);
		if (!len)
			text[i] = '?', len = 1;
	}
}

/* The pair of this name if there is one, and where in the index it is or would be. */
static struct pair *find(struct jt_metrics *m, const char *model, const char *task_class,
                         uint32_t *ret_at)
{
	uint64_t hash = jt__hash_text(model, 0) + 31 * jt__hash_text(task_class, 0);
	uint32_t i = (uint32_t)(hash % N_INDEX);

	for (; m->index[i]; i = (i + 1) % N_INDEX) {
		struct pair *p = &m->pairs[m->index[i] - 1];

		if (strcmp(p->model, model) == 0 && strcmp(p->task_class, task_class) == 0)
			return p;
	}
	*ret_at = i;
	return NULL;
}

/* A pair for a name that has none: a new one where @may_add and there is room, or "other". */
static struct pair *add_pair(struct jt_metrics *m, const char *model, const char *task_class,
                             bool may_add, uint32_t at)
{
	if (strcmp(model, "other") == 0 && strcmp(task_class, "other") == 0)
		return &m->pairs[OTHER];
	if (!may_add || m->n_pairs == JT_METRICS_MAX_PAIRS) {
		m->n_other++;
		return &m->pairs[OTHER];
	}
	init_pair(&m->pairs[m->n_pairs], model, task_class);
	m->index[at] = (uint16_t)++m->n_pairs;
	return &m->pairs[m->n_pairs - 1];
}

/* Only clean names have pairs: one that is found needs no cleaning. */
static struct pair *pair_of(struct jt_metrics *m, const struct jt_record *r)
{
	char model[sizeof(r->model)], task_class[sizeof(r->task_class)];
	bool refused = r->http_status >= 400 && r->http_status < 500;
	uint32_t at;
	struct pair *p = find(m, r->model, r->task_class, &at);

	if (p)
		return p;
	jt__copy_text(model, sizeof(model), r->model, strlen(r->model));
	jt__copy_text(task_class, sizeof(task_class), r->task_class, strlen(r->task_class));
	clean(model);
	clean(task_class);
	p = find(m, model, task_class, &at);
	return p ? p : add_pair(m, model, task_class, !refused, at);
}

/* Stops short of JT_NONE: token counts come from engines, which may say anything. */
static void add(uint64_t *sum, uint64_t v)
{
	if (v == JT_NONE)
		return;
	if (*sum == JT_NONE)
		*sum = 0;
	*sum += JT_MIN(v, JT_NONE - 1 - *sum);
}

static void observe(struct pair *p, int which, uint64_t v)
{
	if (v != JT_NONE)
		jt__histogram_add(&p->histograms[which], &shapes[which], v);
}

static size_t outcome_of(const struct jt_record *r)
{
	size_t i = 0;

	while (i < N_OUTCOMES - 1 && strcmp(outcomes[i], r->outcome) != 0)
		i++;
	return i;
}

/* Of requests that ran to their end under a meter: a prediction says nothing of any other. */
static void judge_prediction(struct pair *p, const struct jt_record *r)
{
	if (r->predicted_uj == JT_NONE || !r->predicted_uj || r->total_uj == JT_NONE ||
	    strcmp(r->outcome, "ok") != 0)
		return;
	add(&p->predicted_uj, r->predicted_uj);
	observe(p, PREDICTION, jt__whole(1e6 * (double)r->total_uj / (double)r->predicted_uj));
}

void jt__metrics_record(struct jt_metrics *m, const struct jt_record *r)
{
	struct pair *p = pair_of(m, r);

	add(&p->requests[outcome_of(r)], 1);
	add(&p->uj[JT_PHASE_QUEUE], r->queue_uj);
	add(&p->uj[JT_PHASE_PREFILL], r->prefill_uj);
	add(&p->uj[JT_PHASE_DECODE], r->decode_uj);
	add(&p->prompt_tokens, r->prompt_tokens);
	add(&p->cached_tokens, r->cached_tokens);
	add(&p->completion_tokens, r->completion_tokens);
	observe(p, REQUEST_J, r->total_uj);
	if (r->decode_uj != JT_NONE && r->completion_tokens != JT_NONE && r->completion_tokens)
		observe(p, TOKEN_J, r->decode_uj / r->completion_tokens);
	observe(p, TTFT, r->ttft_ns);
	observe(p, TPOT, r->tpot_ns);
	judge_prediction(p, r);
}

/* ---- a scrape ---- */

static double known(uint64_t v, double scale)
{
	return v == JT_NONE ? NAN : (double)v / scale;
}

static void put_joules(struct jt_expose *e, const struct pair *p)
{
	for (int i = 0; i < JT_N_PHASES; i++)
		expose(e, known(p->uj[i], 1e6), { "model", p->model },
		       { "task_class", p->task_class },
		       { "phase", jt_phase_name((enum jt_phase)i) });
}

static void put_tokens(struct jt_expose *e, const struct pair *p)
{
	expose(e, known(p->prompt_tokens, 1), { "model", p->model },
	       { "task_class", p->task_class }, { "phase", jt_phase_name(JT_PHASE_PREFILL) });
	expose(e, known(p->completion_tokens, 1), { "model", p->model },
	       { "task_class", p->task_class }, { "phase", jt_phase_name(JT_PHASE_DECODE) });
}

static void put_cached(struct jt_expose *e, const struct pair *p)
{
	expose(e, known(p->cached_tokens, 1), { "model", p->model },
	       { "task_class", p->task_class });
}

static void put_requests(struct jt_expose *e, const struct pair *p)
{
	for (size_t i = 0; i < N_OUTCOMES; i++)
		expose(e, known(p->requests[i], 1), { "model", p->model },
		       { "task_class", p->task_class }, { "outcome", outcomes[i] });
}

static void put_predicted(struct jt_expose *e, const struct pair *p)
{
	expose(e, known(p->predicted_uj, 1e6), { "model", p->model },
	       { "task_class", p->task_class });
}

static void put_histogram(struct jt_expose *e, const struct pair *p, int which)
{
	const struct jt_label labels[] = { { "model", p->model }, { "task_class", p->task_class } };

	jt__expose_histogram(e, &p->histograms[which], &shapes[which], labels,
	                     JT_ARRAY_LEN(labels));
}

static void put_request_j(struct jt_expose *e, const struct pair *p)
{
	put_histogram(e, p, REQUEST_J);
}

static void put_token_j(struct jt_expose *e, const struct pair *p)
{
	put_histogram(e, p, TOKEN_J);
}

static void put_ttft(struct jt_expose *e, const struct pair *p)
{
	put_histogram(e, p, TTFT);
}

static void put_tpot(struct jt_expose *e, const struct pair *p)
{
	put_histogram(e, p, TPOT);
}

static void put_prediction(struct jt_expose *e, const struct pair *p)
{
	put_histogram(e, p, PREDICTION);
}

/* clang-format off */
static const struct {
	struct jt_family family;
	void (*put)(struct jt_expose *e, const struct pair *p);
} pair_families[] = {
	{ { "joules",                        JT_COUNTER,   "joules",  "Energy of finished requests.", "model task_class phase" }, put_joules },
	{ { "tokens",                        JT_COUNTER,   NULL,      "Tokens of finished requests: of the prompt in prefill, generated in decode.", "model task_class phase" }, put_tokens },
	{ { "cached_prompt_tokens",          JT_COUNTER,   NULL,      "Prompt tokens that came from the prefix cache.", "model task_class" }, put_cached },
	{ { "requests",                      JT_COUNTER,   NULL,      "Finished requests.", "model task_class outcome" }, put_requests },
	{ { "request_joules",                JT_HISTOGRAM, "joules",  "Energy of a request.", "model task_class" }, put_request_j },
	{ { "output_token_joules",           JT_HISTOGRAM, "joules",  "Decode energy of a request per token that it generated.", "model task_class" }, put_token_j },
	{ { "time_to_first_token_seconds",   JT_HISTOGRAM, "seconds", "Request sent to the engine until its first token.", "model task_class" }, put_ttft },
	{ { "time_per_output_token_seconds", JT_HISTOGRAM, "seconds", "Time per token after the first.", "model task_class" }, put_tpot },
	{ { "predicted_joules",              JT_COUNTER,   "joules",  "Energy that was predicted for the finished requests whose joules were then metered.", "model task_class" }, put_predicted },
	{ { "measured_to_predicted_ratio",   JT_HISTOGRAM, "ratio",   "Metered energy of a request over what was predicted before it ran.", "model task_class" }, put_prediction },
};

static const struct jt_family in_flight   = { "requests_in_flight", JT_GAUGE,   NULL, "Requests not yet over." };
static const struct jt_family other       = { "other_requests",     JT_COUNTER, NULL, "Requests counted under model other: too many names, or a name that was refused." };
static const struct jt_family unmetered   = { "unmetered_requests", JT_COUNTER, NULL, "Requests served without being metered." };
static const struct jt_family notes_lost  = { "lost_notes",         JT_COUNTER, NULL, "Events of requests that did not reach the meter." };
static const struct jt_family lines_lost  = { "lost_record_lines",  JT_COUNTER, NULL, "Lines that could not be written to the access log or the recording." };
/* clang-format on */

static void put_alone(struct jt_expose *e, const struct jt_family *f, uint64_t v)
{
	jt__expose_begin(e, f);
	jt__expose_sample(e, known(v, 1), NULL, 0);
}

static void put_pairs(struct jt_expose *e, const struct jt_metrics *m)
{
	for (size_t f = 0; f < JT_ARRAY_LEN(pair_families); f++) {
		jt__expose_begin(e, &pair_families[f].family);
		for (size_t i = 0; i < m->n_pairs; i++)
			pair_families[f].put(e, &m->pairs[i]);
		pair_families[f].put(e, &m->pairs[OTHER]);
	}
}

void jt__metrics_render(const struct jt_metrics *m, struct jt_meter *meter,
                        const struct jt_metrics_extra *x, bool openmetrics, struct jt_buf *out)
{
	struct jt_expose e = { .out = out, .openmetrics = openmetrics };

	jt__expose_domains(&e, meter);
	put_pairs(&e, m);
	put_alone(&e, &other, m->n_other);
	put_alone(&e, &in_flight, x->n_in_flight);
	put_alone(&e, &unmetered, x->n_unmetered);
	put_alone(&e, &notes_lost, x->n_notes_lost);
	put_alone(&e, &lines_lost, x->n_lines_lost);
	jt__expose_process(&e, meter, x);
	jt__expose_end(&e);
}

void jt__metrics_families(jt_family_fn each, void *user)
{
	const struct jt_family *const alone[] = { &other, &in_flight, &unmetered, &notes_lost,
		                                  &lines_lost };

	jt__list_domain_families(each, user);
	for (size_t f = 0; f < JT_ARRAY_LEN(pair_families); f++)
		each(user, &pair_families[f].family);
	for (size_t f = 0; f < JT_ARRAY_LEN(alone); f++)
		each(user, alone[f]);
	jt__list_process_families(each, user);
}
