/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include "trainer/linear.h"

int jt__cholesky(double *a, size_t n)
{
	for (size_t j = 0; j < n; j++) {
		for (size_t i = j; i < n; i++) {
			double s = a[i * n + j];

			for (size_t k = 0; k < j; k++)
				s -= a[i * n + k] * a[j * n + k];
			if (i > j) {
				a[i * n + j] = s / a[j * n + j];
				continue;
			}
			if (!(s > 0))
				return JT_EINVAL;
			a[j * n + j] = sqrt(s);
		}
	}
	return JT_OK;
}

void jt__cholesky_solve(const double *l, size_t n, double *b)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < i; k++)
			b[i] -= l[i * n + k] * b[k];
		b[i] /= l[i * n + i];
	}
	for (size_t i = n; i-- > 0;) {
		for (size_t k = i + 1; k < n; k++)
			b[i] -= l[k * n + i] * b[k];
		b[i] /= l[i * n + i];
	}
}

void jt__column_scales(const double *x, size_t n, size_t p, double *ret_means, double *ret_sds)
{
	for (size_t j = 0; j < p; j++) {
		double sum = 0, square = 0, mean;
		size_t known = 0;

		for (size_t i = 0; i < n; i++) {
			known += !isnan(x[i * p + j]);
			sum += isnan(x[i * p + j]) ? 0 : x[i * p + j];
		}
		mean = known ? sum / (double)known : 0;
		for (size_t i = 0; i < n; i++) {
			double d = isnan(x[i * p + j]) ? 0 : x[i * p + j] - mean;

			square += d * d;
		}
		square = known ? square / (double)known : 0;
		ret_means[j] = mean;
		ret_sds[j] = square > 1e-24 * (1 + mean * mean) ? sqrt(square) : 1;
	}
}

/* @a += Zᵀ Z and @b += Zᵀ (y - @y_mean), of columns that are standardised on the way. */
static void add_normal_equations(const double *x, const double *y, size_t n, size_t p,
                                 const double *means, const double *sds, double y_mean, double *z,
                                 double *a, double *b)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < p; j++)
			z[j] = (x[i * p + j] - means[j]) / sds[j];
		for (size_t j = 0; j < p; j++) {
			b[j] += z[j] * (y[i] - y_mean);
			for (size_t k = 0; k <= j; k++)
				a[j * p + k] += z[j] * z[k];
		}
	}
}

int jt__ridge_fit(const double *x, const double *y, size_t n, size_t p, double lambda,
                  double *ret_weights, double *ret_bias, struct jt_error *err)
{
	double *a = jt__alloc(p * p + 4 * p, sizeof(*a)), *b, *means, *sds, *z;
	double y_mean = 0;
	int status = JT_OK;

	if (!a)
		return jt__fail(err, JT_ENOMEM, "train", "out of memory");
	b = a + p * p;
	means = b + p;
	sds = means + p;
	z = sds + p;
	for (size_t i = 0; i < n; i++)
		y_mean += y[i] / (double)n;
	jt__column_scales(x, n, p, means, sds);
	add_normal_equations(x, y, n, p, means, sds, y_mean, z, a, b);
	for (size_t j = 0; j < p; j++)
		a[j * p + j] += lambda;
	if (jt__cholesky(a, p) < 0) {
		status = jt__fail(err, JT_EINVAL, "train",
		                  "columns depend on each other; ridge needs a penalty above 0");
		goto out;
	}
	jt__cholesky_solve(a, p, b);
	*ret_bias = y_mean;
	for (size_t j = 0; j < p; j++) {
		ret_weights[j] = b[j] / sds[j];
		*ret_bias -= ret_weights[j] * means[j];
	}
out:
	jt__free(a);
	return status;
}
