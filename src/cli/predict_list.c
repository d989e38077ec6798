/* SPDX-License-Identifier: Apache-2.0 */
/* What jouletap predict knows by name: models, GPU types, grids. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "cli/predict.h"

/* A JSON object in a list. */
static void open_row(struct jt_buf *b, bool first)
{
	jt__buf_append_text(b, first ? "{" : ",{");
}

/* ---- models ---- */

static void put_model(struct jt_buf *b, const struct jt_model_row *r, bool json, bool first)
{
	const struct jt_question *q = &r->q;
	struct jt_size s = jt__size(&q->arch);
	double all_b = isnan(q->params_total_b) ? s.params * 1e-9 : q->params_total_b;
	double counted_b = s.routed_params > 0 ? s.matmul_params * 1e-9 : all_b;
	double active_b = isnan(q->params_active_b) ? counted_b : q->params_active_b;

	if (!json) {
		jt__buf_printf(b, "%-48s %9.4g %9.4g %7g %7g\n", r->name, all_b, active_b,
		               q->n_layers, q->hidden_size);
		return;
	}
	open_row(b, first);
	jt__json_member_text(b, "name", r->name);
	jt__json_member_double(b, "params_b", all_b);
	jt__json_member_double(b, "active_params_b", active_b);
	jt__json_member_double(b, "layers", q->n_layers);
	jt__json_member_double(b, "hidden_size", q->hidden_size);
	jt__buf_append_text(b, "}");
}

static int list_models(struct jt_buf *b, bool json, struct jt_error *err)
{
	struct jt_models m;
	int status = jt__models_load(&m, err);

	if (!json)
		jt__buf_printf(b, "%-48s %9s %9s %7s %7s\n", "MODEL", "PARAMS_B", "ACTIVE_B",
		               "LAYERS", "WIDTH");
	for (size_t i = 0; i < m.n && status == JT_OK; i++)
		put_model(b, &m.rows[i], json, i == 0);
	jt__models_fini(&m);
	return status;
}

/* ---- GPUs ---- */

static void put_gpu(struct jt_buf *b, const struct jt_gpu *g)
{
	char fp8[16] = "-";

	if (!isnan(g->fp8_tflops))
		snprintf(fp8, sizeof(fp8), "%g", g->fp8_tflops);
	jt__buf_printf(b, "%-26s %6g %7g %12g %11s %10g %6g %7g\n", g->name, g->mem_gb, g->bw_gbs,
	               g->bf16_tflops, fp8, g->link_gbs, g->tdp_w, g->idle_w);
}

static int list_gpus(struct jt_buf *b, bool json)
{
	if (!json)
		jt__buf_printf(b, "%-26s %6s %7s %12s %11s %10s %6s %7s\n", "GPU", "GB", "GB/s",
		               "bf16 TFLOP/s", "fp8 TFLOP/s", "link GB/s", "TDP W", "idle W");
	for (const struct jt_gpu *g = jt__gpus; g->name; g++) {
		if (!json) {
			put_gpu(b, g);
			continue;
		}
		open_row(b, g == jt__gpus);
		jt__json_member_text(b, "name", g->name);
		jt__json_member_double(b, "memory_gb", g->mem_gb);
		jt__json_member_double(b, "bandwidth_gb_s", g->bw_gbs);
		jt__json_member_double(b, "bf16_tflop_s", g->bf16_tflops);
		jt__json_member_double(b, "fp8_tflop_s", g->fp8_tflops);
		jt__json_member_double(b, "link_gb_s", g->link_gbs);
		jt__json_member_double(b, "tdp_w", g->tdp_w);
		jt__json_member_double(b, "idle_w", g->idle_w);
		jt__buf_append_text(b, "}");
	}
	return JT_OK;
}

/* ---- grids ---- */

static int put_zone(struct jt_buf *b, const struct jt_sheet *s, bool json, bool first)
{
	static const char *const names[] = { "code", "region", "source" };
	const char *texts[JT_ARRAY_LEN(names)];
	double year, g_per_kwh;
	int status = jt__sheet_number(s, jt__sheet_column(s, "year"), &year);

	if (status == JT_OK)
		status = jt__sheet_number(s, jt__sheet_column(s, "g_co2e_per_kwh"), &g_per_kwh);
	if (status < 0)
		return status;
	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++)
		texts[i] = jt__sheet_text(s, jt__sheet_column(s, names[i]));
	if (!json) {
		jt__buf_printf(b, "%-6s %-22s %8g %6g  %s\n", texts[0], texts[1], g_per_kwh, year,
		               texts[2]);
		return JT_OK;
	}
	open_row(b, first);
	for (size_t i = 0; i < JT_ARRAY_LEN(names); i++)
		jt__json_member_text(b, names[i], texts[i]);
	jt__json_member_double(b, "year", year);
	jt__json_member_double(b, "g_co2e_per_kwh", g_per_kwh);
	jt__buf_append_text(b, "}");
	return JT_OK;
}

static int list_zones(struct jt_buf *b, bool json, struct jt_error *err)
{
	struct jt_table_file t;
	int status = jt__table_open(&t, "predictor/carbon.csv", err);
	bool first = true;

	if (!json)
		jt__buf_printf(b, "%-6s %-22s %8s %6s  %s\n", "GRID", "REGION", "g/kWh", "YEAR",
		               "SOURCE");
	while (status > 0 && (status = jt__sheet_next(&t.sheet)) > 0) {
		status = put_zone(b, &t.sheet, json, first);
		first = false;
		status = status < 0 ? status : 1;
	}
	jt__table_close(&t);
	return status;
}

int jt__predict_list(enum jt_predict_list what, bool json, struct jt_error *err)
{
	struct jt_buf b;
	int status;

	jt__buf_init(&b, (size_t)1 << 24);
	jt__buf_append_text(&b, json ? "[" : "");
	status = what == JT_LIST_MODELS ? list_models(&b, json, err)
	         : what == JT_LIST_GPUS ? list_gpus(&b, json)
	                                : list_zones(&b, json, err);
	jt__buf_append_text(&b, json ? "]\n" : "");
	if (status == JT_OK && b.failed)
		status = jt__fail(err, JT_ENOMEM, "predict", "no memory for the list");
	if (status == JT_OK)
		fwrite(jt__buf_bytes(&b), 1, jt__buf_len(&b), stdout);
	jt__buf_fini(&b);
	return status;
}
