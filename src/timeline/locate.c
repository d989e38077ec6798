/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Kalman filter of the grid of updates (where it is, how wide its meshes are). What it is told
 * is not a number but a bracket, so the update in it follows a normal distribution, that of the
 * prediction, cut off at both ends; its mean is the estimate, and counts as what was seen. (Mean
 * and variance of a truncated normal: Johnson, Kotz, Balakrishnan, Continuous Univariate
 * Distributions 1, 13.10.)
 *
 * When a bracket hardly agrees with the prediction the sensor jitters by more than was thought.
 * When it does not at all (the sensor restarted, or is not periodic after all), or nobody can say
 * how many periods went by, the bracket stands by itself and the grid begins anew.
 */
#include <math.h>
#include "base/base.h"
#include "timeline/locate.h"

#define JITTER_NS 1e6 /* SC24 saw 2 ms at most on NVIDIA boards */
#define MIN_JITTER_NS 4e5
#define MAX_JITTER 0.1   /* of the period */
#define PERIOD_SD 0.06   /* of the nominal one */
#define MISTAKEN_SD 0.01 /* of the nominal one, where the prediction was wrong */
#define DRIFT 1e-5       /* of the period, per period */
#define UNLIKELY 0.05
#define IMPOSSIBLE 1e-5
#define EDGE_SDS 5
#define TRUSTED 8 /* confirmations that make a grid count where nothing but the grid tells */

void jt__locator_init(struct jt_locator *l, uint64_t nominal_period_ns)
{
	double period = (double)nominal_period_ns;

	*l = (struct jt_locator){ .nominal_ns = period,
		                  .period_ns = period,
		                  .var_period = period * period * PERIOD_SD * PERIOD_SD,
		                  .jitter_ns = JT_MIN(JITTER_NS, period * MAX_JITTER) };
}

/* The bracket alone: anywhere in it. */
static void start_over(struct jt_locator *l, uint64_t lo_ns, uint64_t hi_ns)
{
	double width = (double)(hi_ns - lo_ns);

	l->grid_ns = lo_ns + (hi_ns - lo_ns) / 2;
	l->rest_ns = 0;
	l->var_grid = width * width / 12 + l->jitter_ns * l->jitter_ns;
	l->var_period = JT_MAX(l->var_period, pow(MISTAKEN_SD * l->nominal_ns, 2));
	l->cov = 0;
	l->n = 0;
}

/*
 * Moves the grid on to the bracket: to the update in its middle, or of several in it to the last.
 * False if nobody can say how many periods that is.
 */
static bool move_on(struct jt_locator *l, uint64_t lo_ns, uint64_t hi_ns)
{
	double to_lo = (double)(int64_t)(lo_ns - l->grid_ns) - l->rest_ns;
	double to_hi = to_lo + (double)(hi_ns - lo_ns), k, moved;

	if (to_hi - to_lo < l->period_ns)
		k = round((to_lo + to_hi) / 2 / l->period_ns);
	else
		k = floor(to_hi / l->period_ns);
	if (k < 1 || k * k * l->var_period + l->var_grid > l->period_ns * l->period_ns / 16)
		return false;
	moved = l->rest_ns + k * l->period_ns;
	l->grid_ns += (uint64_t)moved;
	l->rest_ns = moved - floor(moved);
	l->var_grid += 2 * k * l->cov + k * k * l->var_period;
	l->cov += k * l->var_period;
	l->var_period += k * pow(DRIFT * l->nominal_ns, 2);
	return true;
}

static double density(double x)
{
	return exp(-x * x / 2) / sqrt(2 * M_PI);
}

/* Mean and variance of the normal distribution N(0, sd²) between @a and @b; how likely it is to be
 * there. */
static double truncate(double sd, double a, double b, double *ret_mean, double *ret_var)
{
	double za = a / sd, zb = b / sd, mass, shift;

	/* of the tail with more digits */
	mass = za > 0 ? (erfc(za / M_SQRT2) - erfc(zb / M_SQRT2)) / 2
	              : (erfc(-zb / M_SQRT2) - erfc(-za / M_SQRT2)) / 2;
	if (mass < IMPOSSIBLE)
		return mass;
	shift = (density(za) - density(zb)) / mass;
	*ret_mean = sd * shift;
	*ret_var = sd * sd *
	           JT_MAX(1 + (za * density(za) - zb * density(zb)) / mass - shift * shift, 1e-3);
	return mass;
}

/* The grid takes the update, @off_ns from where it was expected, as seen with variance @var. */
static void learn(struct jt_locator *l, double off_ns, double var)
{
	double expected = l->var_grid + l->jitter_ns * l->jitter_ns, less = expected - var;
	double k_grid = l->var_grid / expected, k_period = l->cov / expected;

	l->var_period -= k_period * k_period * less;
	l->cov -= k_grid * k_period * less;
	l->var_grid -= k_grid * k_grid * less;
	off_ns += l->rest_ns;
	l->period_ns += k_period * (off_ns - l->rest_ns);
	off_ns = l->rest_ns + k_grid * (off_ns - l->rest_ns);
	l->grid_ns += (uint64_t)(int64_t)floor(off_ns);
	l->rest_ns = off_ns - floor(off_ns);
	l->period_ns = JT_MIN(JT_MAX(l->period_ns, l->nominal_ns * 0.9), l->nominal_ns * 1.1);
}

bool jt__locator_doubts(const struct jt_locator *l, uint64_t after_ns, uint64_t until_ns)
{
	double to_end = (double)(int64_t)(until_ns - l->grid_ns) - l->rest_ns;
	double margin = 3 * sqrt(l->var_grid + l->jitter_ns * l->jitter_ns), phase;

	if (!l->n || (double)(until_ns - after_ns) < l->period_ns)
		return false;
	phase = to_end - floor(to_end / l->period_ns) * l->period_ns;
	return phase < margin || phase > l->period_ns - margin;
}

/* A prediction had the probability @mass to come true as it did, in a bracket of @width_ns. */
static void judge(struct jt_locator *l, double mass, double width_ns)
{
	if (mass < UNLIKELY) {
		l->jitter_ns = JT_MIN(l->jitter_ns * 1.3, l->nominal_ns * MAX_JITTER);
		l->n_confirmed = 0;
		return;
	}
	l->jitter_ns =
		JT_MAX(l->jitter_ns * 0.998, JT_MIN(MIN_JITTER_NS, l->nominal_ns * MAX_JITTER));
	l->n_confirmed += width_ns < l->period_ns / 2;
}

uint64_t jt__locator_longest_ns(const struct jt_locator *l)
{
	return (uint64_t)(l->nominal_ns * 1.1 + 2 * l->jitter_ns);
}

static uint64_t alone(struct jt_locator *l, uint64_t lo_ns, uint64_t hi_ns, uint64_t *ret_edge_ns)
{
	start_over(l, lo_ns, hi_ns);
	*ret_edge_ns = (hi_ns - lo_ns + 1) / 2;
	return l->grid_ns;
}

uint64_t jt__locator_update(struct jt_locator *l, uint64_t after_ns, uint64_t until_ns,
                            uint64_t *ret_edge_ns)
{
	bool doubtful = jt__locator_doubts(l, after_ns, until_ns);
	double below, above, off, var, mass;
	uint64_t at;

	if (!l->grid_ns || !move_on(l, after_ns, until_ns))
		return alone(l, after_ns, until_ns, ret_edge_ns);
	below = (double)(int64_t)(after_ns - l->grid_ns) - l->rest_ns;
	above = (double)(int64_t)(until_ns - l->grid_ns) - l->rest_ns;
	mass = truncate(sqrt(l->var_grid + l->jitter_ns * l->jitter_ns), below, above, &off, &var);
	judge(l, mass, above - below);
	if (mass < IMPOSSIBLE)
		return alone(l, after_ns, until_ns, ret_edge_ns);
	at = l->grid_ns + (uint64_t)(int64_t)(off + l->rest_ns);
	at = JT_MIN(JT_MAX(at, after_ns), until_ns);
	learn(l, off, var);
	l->n++;
	*ret_edge_ns = JT_MAX(at - after_ns, until_ns - at);
	if (!doubtful && (until_ns - after_ns < l->period_ns || l->n_confirmed >= TRUSTED))
		*ret_edge_ns = JT_MIN(*ret_edge_ns, (uint64_t)(EDGE_SDS * sqrt(var)));
	return at;
}

uint64_t jt__locator_period_ns(const struct jt_locator *l)
{
	return l->n ? (uint64_t)l->period_ns : 0;
}
