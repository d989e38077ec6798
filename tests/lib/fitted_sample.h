/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JT_FITTED_SAMPLE_H
#define JT_FITTED_SAMPLE_H
/* A small model file with one part of each kind, and the features that it is about. */

static const char *const sample_names[] = { "depth", "width", "load", "spare", NULL };

static const char sample_model[] =
	"{\"format\": \"jouletap-predictor\", \"version\": 1,\n"
	" \"target\": \"log_j_per_output_token\",\n"
	" \"features\": [\"width\", \"depth\", \"load\", \"spare\"],\n"
	" \"scale\": {\"mean\": [1, 0, 0, 0], \"deviation\": [2, 1, 1, 1]},\n"
	" \"parts\": [\n"
	"  {\"kind\": \"linear\", \"weight\": 1, \"intercept\": 0.5,\n"
	"   \"coefficients\": [0.25, -1, 0, 0]},\n"
	"  {\"kind\": \"trees\", \"weight\": 0.5, \"base\": 0.5, \"trees\": [\n"
	"   {\"feature\": [0, -1, 1, -1, -1], \"value\": [3, 0.125, 0, 0.25, -1],\n"
	"    \"missing_left\": [1, 0, 0, 0, 0]},\n"
	"   {\"feature\": [-1], \"value\": [0.0625], \"missing_left\": [0]}]},\n"
	"  {\"kind\": \"kernel\", \"weight\": 2, \"shape\": \"rbf\", \"features\": [0, 1],\n"
	"   \"lengths\": [1, 2], \"rows\": [[0, 0], [1, 2]], \"weights\": [0.1, -0.2],\n"
	"   \"labels\": [\"small\", \"large\"]},\n"
	"  {\"kind\": \"sum\", \"weight\": 1, \"features\": [3, 2], \"coefficients\": [2, 0.5]}],\n"
	" \"ranges\": {\"min\": [-3, -2, 0, null], \"max\": [9, 4, 64, null]},\n"
	" \"known\": {\"gpus\": [\"L4\", \"H100\"], \"model_groups\": [\"llama\"],\n"
	"  \"weights\": [\"bf16\", \"fp8\"]},\n"
	" \"reach\": 1.5,\n"
	" \"intervals\": {\"coverage\": 0.9, \"half_width\": 0.5, \"groups\": [\n"
	"  {\"half_width\": 0.05, \"rows\": 3, \"recalibrated\": true},\n"
	"  {\"half_width\": 0.8, \"rows\": 9, \"min_distance\": 1.25},\n"
	"  {\"half_width\": 0.1, \"rows\": 40, \"known_model\": true, \"gpu\": \"H100\"},\n"
	"  {\"half_width\": 0.2, \"rows\": 20, \"weights\": \"fp8\", \"mixture\": false}]},\n"
	" \"factors\": [{\"model\": \"llama-8b\", \"gpu\": \"L4\", \"factor\": 1.25, \"rows\": "
	"3}],\n"
	" \"provenance\": {\"data_sha256\": \"00\", \"rows\": 40, \"date\": \"2026-01-31\",\n"
	"  \"note\": \"\", \"scores\": {\"cv_mape\": 0.07}}}\n";

#endif
