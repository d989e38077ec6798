/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two things show in readings that come more often than the sensor updates.
 *
 * The update period: changes of the value are whole numbers of it apart.
 *
 * How a step of the power shows. Where it is there at once the window is a period or less; nobody
 * can tell how much less. A mean over n periods follows in n equal parts. A capacitor behind a
 * resistor follows in parts each of which is the same fraction of the one before, and is not there
 * after the time that its first part promises, but 37 % short. What changes more slowly than a step
 * looks slower than the sensor is, so only the steepest changes count.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/base.h"
#include "timeline/learn.h"

#define MAX_UPDATES ((size_t)8192)
#define MIN_UPDATES 12  /* to know the period by */
#define MAX_APART 3     /* periods between two changes that tell of one */
#define SAME 0.15       /* a period that differs by less is the same */
#define SLOW_READS 0.75 /* of a period between reads: too slow to see it */
#define NOISE_MW 2000.0
#define BIG 0.3     /* part of the range of power: a change that tells something */
#define STEEP 0.7   /* part of the steepest change: steep too */
#define AT_ONCE 2.2 /* parts: a step may fall into a window */
#define TAIL 0.12
#define RATIO_FITS 0.25 /* how far the ratio may be from what the steepest part says */
#define FAST_NS 50e6    /* a period of less: none that averages is known */
#define MEAN_PARTS 5    /* a mean of fewer is not believed … */
#define MEAN_NS 1300e6  /* … nor one that is longer */

struct update {
	uint64_t t_ns;
	uint64_t nr; /* periods since the first */
	double mw;
};

struct readings {
	struct update *updates; /* those that changed the value */
	size_t n;
	double gap_ns; /* between two reads, on average */
	double period_ns;
	double range_mw;
	double steepest_mw; /* change in one period */
};

/* What steep changes have in common; sums over their parts. */
struct steep {
	double height, tail;    /* tail: after so many parts as the steepest says it would take */
	double square, product; /* of a part, and of it and the next */
	double longest;         /* parts of the longest that is made of equal ones */
};

static bool reading_of(const struct jt_sample *s, uint32_t field, double *ret_mw)
{
	*ret_mw = field == JT_HAS_POWER ? s->power_mw : s->power_avg_mw;
	return s->status == JT_OK && s->valid & field;
}

/* A change happened in the middle between the reads around it. */
static void collect(const struct jt_sample *s, size_t n, uint32_t field, struct readings *r)
{
	uint64_t last_ns = 0, first_ns = 0, n_reads = 0;
	double mw, last_mw = 0, low_mw = 0, high_mw = 0;

	for (size_t i = 0; i < n && r->n < MAX_UPDATES; i++) {
		uint64_t t = s[i].begin_ns + (s[i].end_ns - s[i].begin_ns) / 2;

		if (!reading_of(&s[i], field, &mw))
			continue;
		if (!n_reads++) {
			first_ns = t;
			low_mw = high_mw = mw;
		} else if (mw != last_mw) {
			r->updates[r->n++] =
				(struct update){ .t_ns = last_ns + (t - last_ns) / 2, .mw = mw };
		}
		low_mw = JT_MIN(low_mw, mw);
		high_mw = JT_MAX(high_mw, mw);
		last_mw = mw;
		last_ns = t;
	}
	r->range_mw = high_mw - low_mw;
	r->gap_ns = n_reads > 1 ? (double)(last_ns - first_ns) / (double)(n_reads - 1) : 0;
}

static double apart_ns(const struct readings *r, size_t i)
{
	return (double)(r->updates[i].t_ns - r->updates[i - 1].t_ns);
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Most updates change the value, so that of the distances the shorter half is one period. */
static int guess_period(struct readings *r)
{
	double *apart = jt__alloc(r->n, sizeof(*apart));

	if (!apart)
		return JT_ENOMEM;
	for (size_t i = 1; i < r->n; i++)
		apart[i - 1] = apart_ns(r, i);
	qsort(apart, r->n - 1, sizeof(*apart), by_size);
	r->period_ns = apart[(r->n - 1) * 2 / 5];
	jt__free(apart);
	return JT_OK;
}

/* The mean of the distances, each taken for so many periods as the last estimate says. */
static void refine_period(struct readings *r)
{
	double sum = 0, count = 0;

	for (size_t i = 1; i < r->n && r->period_ns > 0; i++) {
		double k = JT_MAX(round(apart_ns(r, i) / r->period_ns), 1);

		r->updates[i].nr = r->updates[i - 1].nr + (uint64_t)k;
		if (k <= MAX_APART) {
			sum += apart_ns(r, i);
			count += k;
		}
	}
	r->period_ns = count > 0 ? sum / count : 0;
}

static int find_period(struct readings *r)
{
	int status = guess_period(r);

	for (int i = 0; status == JT_OK && i < 4; i++)
		refine_period(r);
	return status;
}

/* The change of one period, up to update @i; 0 if nothing is known of so short a time. */
static double part_mw(const struct readings *r, size_t i)
{
	uint64_t k = i ? r->updates[i].nr - r->updates[i - 1].nr : 0;

	return k && k <= MAX_APART ? (r->updates[i].mw - r->updates[i - 1].mw) / (double)k : 0;
}

static double steepest_mw(const struct readings *r)
{
	double most = 0;

	for (size_t i = 1; i < r->n; i++)
		most = JT_MAX(most, fabs(part_mw(r, i)));
	return most;
}

/* Parts [begin, end) go the same way: one change. */
static size_t end_of_change(const struct readings *r, size_t begin)
{
	size_t end = begin + 1;

	while (end < r->n && part_mw(r, end) * part_mw(r, begin) > 0)
		end++;
	return end;
}

static void weigh_change(const struct readings *r, size_t begin, size_t end, struct steep *s)
{
	double height = 0, most = 0, equal = 0, tail = 0;
	size_t first = begin;

	for (size_t i = begin; i < end; i++) {
		height += fabs(part_mw(r, i));
		if (fabs(part_mw(r, i)) > most) {
			most = fabs(part_mw(r, i));
			first = i;
		}
	}
	if (height < BIG * r->range_mw || most < STEEP * r->steepest_mw)
		return;
	for (size_t i = begin; i < end; i++) {
		double part = fabs(part_mw(r, i));

		equal += part > STEEP * most ? part : 0;
		if (i >= first && i + 1 < end) {
			s->square += part * part;
			s->product += part * fabs(part_mw(r, i + 1));
		}
		if ((double)(r->updates[i].nr - r->updates[begin].nr) >= ceil(height / most))
			tail += part;
	}
	s->height += height;
	s->tail += tail;
	if (equal > (1 - SAME) * height)
		s->longest = JT_MAX(s->longest, height / most);
}

static struct steep weigh(const struct readings *r)
{
	struct steep s = { 0 };

	for (size_t begin = 1, end; begin < r->n; begin = end) {
		end = end_of_change(r, begin);
		weigh_change(r, begin, end, &s);
	}
	return s;
}

static bool is_unknown(const struct jt_sensor *sensor)
{
	return strcmp(sensor->name, "gpu") == 0;
}

/* What was thought to average or to follow slowly does not. */
static int learn_at_once(uint32_t field, struct jt_sensor *sensor)
{
	if (is_unknown(sensor) || field == JT_HAS_POWER)
		return 0;
	sensor->avg_window_ns = JT_MAX(sensor->window_ns, UINT64_C(1));
	return JT_LEARNED_SHAPE;
}

static int learn_filter(const struct readings *r, double ratio, struct jt_sensor *sensor)
{
	if (ratio < 0.05 || ratio > 0.995)
		return 0;
	sensor->filter_ns = (uint64_t)(-r->period_ns / log(ratio));
	sensor->window_ns = sensor->lag_ns = 0;
	return 0;
}

static int learn_mean(double mean_ns, uint32_t field, struct jt_sensor *sensor)
{
	uint64_t *window_ns = field == JT_HAS_POWER ? &sensor->window_ns : &sensor->avg_window_ns;

	if (mean_ns > MEAN_NS || fabs(mean_ns - (double)*window_ns) < SAME * (double)*window_ns)
		return 0;
	*window_ns = (uint64_t)mean_ns;
	sensor->filter_ns = sensor->lag_ns = 0;
	return is_unknown(sensor) ? 0 : JT_LEARNED_SHAPE;
}

/* A step takes @parts periods to show, in parts that are equal, or of a constant ratio, or neither.
 */
static int learn_slow(const struct readings *r, const struct steep *s, double parts, uint32_t field,
                      struct jt_sensor *sensor)
{
	double ratio = s->square > 0 ? s->product / s->square : 0;
	bool filtered =
		s->tail > TAIL * s->height && fabs(1 / (1 - ratio) / parts - 1) < RATIO_FITS;

	if (s->longest >= MEAN_PARTS && s->longest > (1 - SAME) * parts)
		return learn_mean(s->longest * r->period_ns, field, sensor);
	if (sensor->filter_ns || (is_unknown(sensor) && (filtered || r->period_ns < FAST_NS)))
		return learn_filter(r, ratio, sensor);
	/* the one that is known to be slow and irregular: NVIDIA's average of a second */
	return is_unknown(sensor) ? learn_mean(JT_NS_PER_S, field, sensor) : 0;
}

static int learn_shape(const struct readings *r, uint32_t field, struct jt_sensor *sensor)
{
	struct steep s = weigh(r);
	double parts = r->range_mw / r->steepest_mw;

	if (r->steepest_mw < NOISE_MW || !(s.height > 0))
		return 0;
	if (parts < AT_ONCE && !sensor->filter_ns)
		return learn_at_once(field, sensor);
	return learn_slow(r, &s, parts, field, sensor);
}

static int learn(const struct readings *r, uint32_t field, struct jt_sensor *sensor)
{
	double update = (double)sensor->update_ns;
	int learned = 0;

	if (r->gap_ns > SLOW_READS * r->period_ns && !is_unknown(sensor))
		return 0;
	sensor->update_ns = (uint64_t)r->period_ns;
	if (is_unknown(sensor)) { /* of a period it sees between nothing and all */
		sensor->window_ns = sensor->update_ns / 4;
		sensor->lag_ns = sensor->update_ns / 8;
	} else if (fabs(r->period_ns - update) > SAME * update) {
		/* a window of the whole period stays one; of another nobody knows */
		learned = JT_LEARNED_UPDATE;
		sensor->window_ns = JT_MIN(sensor->window_ns, sensor->update_ns);
	}
	return learned | learn_shape(r, field, sensor);
}

int jt__learn_sensor(const struct jt_sample *samples, size_t n, struct jt_sensor *sensor)
{
	struct readings r = { 0 };
	uint32_t field = 0;
	int status;

	for (size_t i = 0; i < n && field != JT_HAS_POWER; i++) {
		if (samples[i].valid & JT_HAS_ENERGY)
			return 0; /* its counter tells more */
		if (samples[i].valid & (JT_HAS_POWER | JT_HAS_POWER_AVG))
			field = samples[i].valid & JT_HAS_POWER ? JT_HAS_POWER : JT_HAS_POWER_AVG;
	}
	if (!field)
		return 0;
	r.updates = jt__alloc(JT_MIN(n, MAX_UPDATES), sizeof(*r.updates));
	if (!r.updates)
		return JT_ENOMEM;
	collect(samples, n, field, &r);
	status = r.n < MIN_UPDATES ? JT_EAGAIN : find_period(&r);
	if (status == JT_OK && r.period_ns >= 1) {
		r.steepest_mw = steepest_mw(&r);
		status = learn(&r, field, sensor);
	}
	jt__free(r.updates);
	return status == JT_EAGAIN ? 0 : status;
}
