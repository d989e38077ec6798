/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include "trainer/plots.h"

/* Okabe and Ito's colours, which those who see fewer can tell apart. */
static const char *const colours[] = { "#0072B2", "#D55E00", "#009E73",
	                               "#CC79A7", "#E69F00", "#56B4E9" };
#define MAX_GPUS JT_ARRAY_LEN(colours)

static void begin(struct jt_buf *out, int width, int height)
{
	jt__buf_printf(
		out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
		width, height, width, height);
}

/* ---- predicted over measured ---- */

#define SIDE 420
#define LEFT 60
#define TOP 30

struct axis {
	int low, high; /* powers of ten */
};

static struct axis axis_of(const struct jt_evaluation *e)
{
	double low = INFINITY, high = -INFINITY;

	for (size_t i = 0; i < e->d->n; i++) {
		low = fmin(low, e->d->rows[i].j_per_token);
		high = fmax(high, e->d->rows[i].j_per_token);
	}
	return (struct axis){ (int)floor(log10(low)), (int)ceil(log10(high)) };
}

static double place(const struct axis *a, double v)
{
	double part = (log10(v) - a->low) / (a->high - a->low);

	return SIDE * fmin(fmax(part, -0.02), 1.02); /* what is far out stays at the edge */
}

static void draw_axes(const struct axis *a, struct jt_buf *out)
{
	for (int power = a->low; power <= a->high; power++) {
		double at = place(a, pow(10, power));

		jt__buf_printf(out,
		               "<path d=\"M%d %.1fh%dM%.1f %dv%d\" stroke=\"#ddd\"/><text x=\"%d\" "
		               "y=\"%.1f\" text-anchor=\"end\">%g</text><text x=\"%.1f\" y=\"%d\" "
		               "text-anchor=\"middle\">%g</text>\n",
		               LEFT, TOP + SIDE - at, SIDE, LEFT + at, TOP, SIDE, LEFT - 6,
		               TOP + SIDE - at + 4, pow(10, power), LEFT + at, TOP + SIDE + 16,
		               pow(10, power));
	}
	jt__buf_printf(out,
	               "<path d=\"M%d %dL%d %d\" stroke=\"#888\"/><text x=\"%d\" y=\"%d\" "
	               "text-anchor=\"middle\">measured, J per output token</text><text "
	               "transform=\"translate(14 %d)rotate(-90)\" text-anchor=\"middle\">predicted"
	               "</text>\n",
	               LEFT, TOP + SIDE, LEFT + SIDE, TOP, LEFT + SIDE / 2, TOP + SIDE + 34,
	               TOP + SIDE / 2);
}

/* One path a GPU type: a dot is a line of no length with round ends. */
static void draw_dots(const struct jt_evaluation *e, const struct jt_trial *t, int learner,
                      const struct axis *a, const char *gpu, size_t nth, struct jt_buf *out)
{
	jt__buf_printf(out, "<text x=\"%d\" y=\"%zu\" fill=\"%s\">%s</text>\n<path d=\"", LEFT + 8,
	               TOP + 16 + 15 * nth, colours[nth], gpu);
	for (size_t i = 0; i < e->d->n; i++) {
		const struct jt_row *r = &e->d->rows[i];

		if (strcmp(r->q.gpu, gpu) == 0)
			jt__buf_printf(out, "M%.1f %.1fh0", LEFT + place(a, r->j_per_token),
			               TOP + SIDE - place(a, t->guesses[learner][i].j_per_token));
	}
	jt__buf_printf(out,
	               "\" stroke=\"%s\" stroke-width=\"4\" stroke-linecap=\"round\" "
	               "stroke-opacity=\".55\" fill=\"none\"/>\n",
	               colours[nth]);
}

void jt__plot_scatter(const struct jt_evaluation *e, const struct jt_trial *t, int learner,
                      struct jt_buf *out)
{
	struct axis a = axis_of(e);
	size_t n_gpus = 0;

	begin(out, LEFT + SIDE + 20, TOP + SIDE + 45);
	jt__buf_printf(out, "<text x=\"%d\" y=\"18\" font-size=\"12\">%s; %s</text>\n", LEFT,
	               jt__learners[learner]->name, jt__split_titles[t->split]);
	draw_axes(&a, out);
	for (size_t i = 0; i < e->d->n && n_gpus < MAX_GPUS; i++) {
		const char *gpu = e->d->rows[i].q.gpu;
		size_t j = 0;

		while (j < i && strcmp(e->d->rows[j].q.gpu, gpu) != 0)
			j++;
		if (j == i)
			draw_dots(e, t, learner, &a, gpu, n_gpus++, out);
	}
	jt__buf_append_text(out, "</svg>\n");
}

/* ---- a bar for each backbone ---- */

#define BAR 15
#define NAMES 190
#define WIDTH 480

/* Up to 10 % by its size, then by its logarithm: forests are off by hundreds of percent. */
static double length_of(double part)
{
	return part < 0.1 ? 100 * part * 10 : fmin(100 + 130 * log10(part / 0.1), WIDTH);
}

static void draw_scale(size_t n, struct jt_buf *out)
{
	static const double ticks[] = { 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30 };

	for (size_t i = 0; i < JT_ARRAY_LEN(ticks); i++)
		jt__buf_printf(
			out,
			"<path d=\"M%.1f 34v%zu\" stroke=\"#ddd\"/><text x=\"%.1f\" y=\"30\" "
			"text-anchor=\"middle\">%g %%</text>\n",
			NAMES + length_of(ticks[i]), n * BAR, NAMES + length_of(ticks[i]),
			100 * ticks[i]);
}

void jt__plot_bars(const struct jt_bar *bars, size_t n, struct jt_buf *out)
{
	begin(out, NAMES + WIDTH + 30, (int)(n * BAR) + 50);
	jt__buf_printf(out,
	               "<text x=\"%d\" y=\"14\"><tspan fill=\"%s\">■ ours</tspan>   <tspan "
	               "fill=\"%s\">● raw fields, random forest to Wh</tspan>; mean error of a "
	               "backbone left out</text>\n",
	               NAMES, colours[0], colours[1]);
	draw_scale(n, out);
	for (size_t i = 0; i < n; i++) {
		double y = 36 + (double)(i * BAR);

		jt__buf_printf(
			out,
			"<text x=\"%d\" y=\"%.0f\" text-anchor=\"end\">%.30s</text><rect "
			"x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/><circle "
			"cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n",
			NAMES - 6, y + 10, bars[i].name, NAMES, y, length_of(bars[i].ours), BAR - 3,
			colours[0], NAMES + length_of(bars[i].forest), y + 6, colours[1]);
	}
	jt__buf_append_text(out, "</svg>\n");
}
