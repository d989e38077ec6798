/* SPDX-License-Identifier: Apache-2.0 */
#include "sources/smilog.h"
#include "tap.h"

#define ORIGIN (1000 * JT_NS_PER_S)
#define MAX_ROWS 32

/* What became of some lines. */
static struct jt_smilog the_log;
static struct jt_sample rows[MAX_ROWS];
static size_t n_rows;
static struct jt_error err;

/* Feeds @text line by line; the status of the first line that failed. */
static int feed(struct jt_smilog *l, const char *text)
{
	unsigned number = 0;

	memset(&err, 0, sizeof(err));
	n_rows = 0;
	while (*text) {
		size_t n = strcspn(text, "\n");
		char where[48];
		int status;

		snprintf(where, sizeof(where), "gpu.csv:%u", ++number);
		status = jt__smilog_line(l, text, n, where, &rows[n_rows], &err);
		if (status == JT_OK)
			n_rows++;
		else if (status != JT_EAGAIN)
			return status;
		text += n + (text[n] == '\n');
	}
	return JT_OK;
}

/* Two passes, all GPUs with the sensor @kind for the second, as a reader of files does it. */
static int read_log(const char *kind, const char *text)
{
	int status;

	jt__smilog_fini(&the_log);
	jt__smilog_init(&the_log, ORIGIN);
	status = feed(&the_log, text);
	if (status < 0)
		return status;
	for (size_t i = 0; i < the_log.n_gpus; i++)
		the_log.gpus[i].info.sensor = *jt_sensor_find(kind);
	jt__smilog_rewind(&the_log);
	return feed(&the_log, text);
}

static void reads_units_in_the_header(void)
{
	check(read_log("ga100", "timestamp, power.draw [W], temperature.gpu, clocks.sm [MHz]\n"
	                        "2024/05/01 12:00:00.125, 71.23, 45, 1410\n"
	                        "2024/05/01 12:00:00.250, 72, -3, 210\n") == JT_OK);
	check(n_rows == 2);
	check(rows[0].valid == (JT_HAS_POWER | JT_HAS_TEMPERATURE | JT_HAS_SM_CLOCK));
	check(rows[0].power_mw == 71230 && rows[0].temperature_mc == 45000 &&
	      rows[0].sm_clock_mhz == 1410);
	check(rows[0].begin_ns == ORIGIN && rows[0].end_ns == ORIGIN);
	check(rows[1].begin_ns == ORIGIN + 125 * JT_NS_PER_MS && rows[1].temperature_mc == -3000);
	check(the_log.n_gpus == 1);
	check_text(the_log.gpus[0].info.name, "gpu:0");
}

static void reads_units_in_the_cells(void)
{
	check(read_log("ga100",
	               "power.draw [W], timestamp, enforced.power.limit [W], power.limit [W], "
	               "clocks.mem [MHz], total_energy_consumption [mJ]\r\n"
	               "71.23 W, 2024/05/01 12:00:00, 400.00 W, 500 W, 1593 MHz, 123456789 mJ\r\n"
	               "1.5 kW, 2024/05/01 12:00:01, 400000 mW, [N/A], 1593 MHz, 124 J\r\n") ==
	      JT_OK);
	check(n_rows == 2);
	check(rows[0].power_mw == 71230 && rows[0].limit_mw == 400000 &&
	      rows[0].mem_clock_mhz == 1593);
	check(rows[0].energy_uj == UINT64_C(123456789000) && rows[0].valid & JT_HAS_ENERGY);
	check(rows[1].power_mw == 1500000 && rows[1].limit_mw == 400000 &&
	      rows[1].energy_uj == 124000000);
}

static void reads_the_columns_of_sensor_traces(void)
{
	check(read_log("ga10x", "t_s,power_draw_w,power_draw_instant_w,sm_clock_mhz,util_gpu_pct\n"
	                        "0.000,56.12,57.5,1410,0\n"
	                        "0.016,56.12,,1410,0\n") == JT_OK);
	check(n_rows == 2);
	check(rows[0].valid == (JT_HAS_POWER | JT_HAS_POWER_AVG | JT_HAS_SM_CLOCK));
	check(rows[0].power_avg_mw == 56120 && rows[0].power_mw == 57500);
	check(rows[1].valid == (JT_HAS_POWER_AVG | JT_HAS_SM_CLOCK));
	check(rows[1].begin_ns == ORIGIN + 16 * JT_NS_PER_MS);
}

static void power_draw_is_what_the_sensor_makes_of_it(void)
{
	const char *text = "timestamp, power.draw [W]\n2024/05/01 12:00:00, 70\n";

	check(read_log("ga100", text) == JT_OK && rows[0].valid == JT_HAS_POWER);
	check(read_log("gh100", text) == JT_OK && rows[0].valid == JT_HAS_POWER_AVG);
	check(rows[0].power_avg_mw == 70000);
	check(read_log("gh100", "timestamp, power.draw.instant [W], power.draw.average [W]\n"
	                        "2024/05/01 12:00:00, 90, 80\n") == JT_OK);
	check(rows[0].power_mw == 90000 && rows[0].power_avg_mw == 80000);
}

static void tells_several_gpus_apart(void)
{
	check(read_log("ga100", "timestamp, name, index, uuid, power.draw [W]\n"
	                        "2024/05/01 12:00:00.000, NVIDIA A100, 3, GPU-a, 50 W\n"
	                        "2024/05/01 12:00:00.001, NVIDIA A30, 5, GPU-b, 60 W\n"
	                        "2024/05/01 12:00:01.000, NVIDIA A100, 3, GPU-a, 51 W\n") == JT_OK);
	check(the_log.n_gpus == 2 && n_rows == 3);
	check_text(the_log.gpus[0].info.name, "gpu:3");
	check_text(the_log.gpus[1].info.name, "gpu:5");
	check_text(the_log.gpus[1].info.device, "NVIDIA A30");
	check_text(the_log.gpus[1].info.uuid, "GPU-b");
	check(rows[0].domain == 0 && rows[1].domain == 1 && rows[2].domain == 0);
	check(read_log("ga100", "timestamp, pci.bus_id, power.draw [W]\n"
	                        "2024/05/01 12:00:00, 00000000:07:00.0, 50 W\n"
	                        "2024/05/01 12:00:00, 00000000:0A:00.0, 50 W\n") == JT_OK);
	check(the_log.n_gpus == 2);
	check_text(the_log.gpus[1].info.name, "gpu:1");
}

static void two_boards_of_one_number_stay_two_domains(void)
{
	check(read_log("ga100", "timestamp, index, uuid, power.draw [W]\n"
	                        "2024/05/01 12:00:00, 0, GPU-a, 50 W\n"
	                        "timestamp, index, uuid, power.draw [W]\n"
	                        "2024/05/02 12:00:00, 0, GPU-b, 60 W\n") == JT_OK);
	check(the_log.n_gpus == 2 && n_rows == 2);
	check_text(the_log.gpus[1].info.name, "gpu:1");
}

static void what_cannot_be_told_is_unknown(void)
{
	check(read_log("ga100",
	               "timestamp, index, power.draw [W], temperature.gpu, clocks.sm [MHz]\n"
	               "2024/05/01 12:00:00, 0, 70 W, [N/A], N/A\n"
	               "2024/05/01 12:00:01, 0, 0.00 W, [Not Supported], [Insufficient "
	               "Permissions]\n"
	               "2024/05/01 12:00:02, 0, [Unknown Error], 40, 1410 MHz\n"
	               "2024/05/01 12:00:03, 0, [GPU is lost], [GPU is lost], [GPU is lost]\n") ==
	      JT_OK);
	check(n_rows == 4);
	check(rows[0].valid == JT_HAS_POWER && rows[0].status == JT_OK);
	check(rows[1].valid == JT_HAS_POWER && rows[1].power_mw == 0);
	check(rows[2].valid == 0 && rows[2].status == JT_EIO);
	check(rows[3].valid == 0 && rows[3].status == JT_ELOST);
}

static void reads_clock_event_reasons(void)
{
	check(read_log("ga100", "timestamp, power.draw [W], clocks_event_reasons.active\n"
	                        "2024/05/01 12:00:00, 70 W, 0x0000000000000004\n") == JT_OK);
	check(rows[0].reasons == JT_REASON_SW_POWER_CAP && rows[0].valid & JT_HAS_REASONS);
	check(read_log("ga100", "timestamp, power.draw [W], clocks_throttle_reasons.active\n"
	                        "2024/05/01 12:00:00, 70 W, 0xFFzz\n") == JT_EINVAL);
}

static void survives_restarts_blank_lines_and_talk(void)
{
	check(read_log("ga100",
	               "timestamp, index, power.draw [W]\n"
	               "2024/05/01 12:00:00, 0, 70 W\n"
	               "\n"
	               "Unable to determine the device handle for GPU0000:65:00.0: GPU is lost.\n"
	               "index, power.draw [W], timestamp, utilization.gpu [%]\n"
	               "0, 71 W, 2024/05/01 12:00:01, 3 %\n") == JT_OK);
	check(n_rows == 2 && rows[1].power_mw == 71000 && rows[1].begin_ns == ORIGIN + JT_NS_PER_S);
	check(the_log.n_notices == 1);
}

static void rows_from_before_a_clock_step_are_left_out(void)
{
	check(read_log("ga100", "timestamp, index, power.draw [W]\n"
	                        "2024/05/01 12:00:00.500, 0, 70 W\n"
	                        "2024/05/01 12:00:00.400, 1, 70 W\n"
	                        "2024/05/01 12:00:01.500, 0, 70 W\n"
	                        "2024/05/01 12:00:00.600, 0, 70 W\n"
	                        "2024/05/01 12:00:01.400, 1, 70 W\n"
	                        "1999/05/01 12:00:01.400, 2, 70 W\n") == JT_OK);
	check(n_rows == 4 && the_log.n_backwards == 2);
	check(rows[1].begin_ns == ORIGIN - 100 * JT_NS_PER_MS);
}

static void errors_name_the_line_and_the_column(void)
{
	static const char *const cases[][3] = {
		{ "2024/05/01 12:00:00, 0, 70 W\n", "gpu.csv:1",
		  "no header with a timestamp: log without 'noheader', or add a first line such as "
		  "'timestamp, index, power.draw [W]'" },
		{ "timestamp, index\n", "gpu.csv:1", "no column with power: query power.draw too" },
		{ "timestamp, power.draw [hp]\n", "gpu.csv:1",
		  "column 'power.draw' has the unknown unit 'hp'" },
		{ "timestamp, power.draw [W]\n2024/05/01 12:00:00, much\n", "gpu.csv:2",
		  "column 'power.draw': cannot read 'much'" },
		{ "timestamp, power.draw [W]\n2024/05/01 12:00:00, -1 W\n", "gpu.csv:2",
		  "column 'power.draw': cannot read '-1 W'" },
		{ "timestamp, power.draw [W]\n2024/05/01 12:00:00, 7 hp\n", "gpu.csv:2",
		  "column 'power.draw': cannot read '7 hp'" },
		{ "timestamp, power.draw [W]\n2024/05/01 12:00:00, 5000000 W\n", "gpu.csv:2",
		  "column 'power.draw': cannot read '5000000 W'" },
		{ "timestamp, power.draw [W]\n2024/13/01 12:00:00, 7 W\n", "gpu.csv:2",
		  "column 'timestamp': cannot read '2024/13/01 12:00:00'" },
		{ "timestamp, power.draw [W]\n[N/A], 7 W\n", "gpu.csv:2", "the row has no time" },
		{ "timestamp, power.draw [W]\n2024/05/01 12:00:00, 7 W, 3\n", "gpu.csv:2",
		  "3 columns where the header has 2" },
		{ "timestamp, index, power.draw [W]\n2024/05/01 12:00:00, x, 7 W\n", "gpu.csv:2",
		  "column 'index': cannot read 'x'" },
	};

	for (size_t i = 0; i < JT_ARRAY_LEN(cases); i++) {
		check(read_log("ga100", cases[i][0]) == JT_EINVAL);
		check_text(err.where, cases[i][1]);
		check_text(err.message, cases[i][2]);
	}
}

static void a_row_that_does_not_say_which_gpu_is_left_out(void)
{
	check(read_log("ga100", "timestamp, index, power.draw [W]\n"
	                        "2024/05/01 12:00:00, [GPU is lost], [GPU is lost]\n"
	                        "2024/05/01 12:00:01, 0, 70 W\n") == JT_OK);
	check(n_rows == 1 && the_log.n_notices == 1 && the_log.n_gpus == 1);
}

static void too_many_columns_and_gpus_are_refused(void)
{
	static char text[100000];
	size_t n = 0;

	memset(text, ',', 300);
	text[300] = '\0';
	check(read_log("ga100", text) == JT_ELIMIT);
	n = (size_t)snprintf(text, sizeof(text), "t_s,index,power.draw\n");
	for (int i = 0; i <= JT_SMILOG_MAX_GPUS; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "1,%d,[GPU is lost]\n", i);
	jt__smilog_fini(&the_log);
	jt__smilog_init(&the_log, ORIGIN);
	for (const char *p = text; *p; p += strcspn(p, "\n") + 1) {
		int status = jt__smilog_line(&the_log, p, strcspn(p, "\n"), "x:1", &rows[0], &err);

		if (p[strcspn(p, "\n") + 1])
			check(status == JT_OK || status == JT_EAGAIN);
		else
			check(status == JT_ELIMIT);
	}
}

static void running_out_of_memory_is_an_error(void)
{
	const char *text = "t_s,index,power.draw\n1,0,70\n1,1,70\n1,2,70\n";

	for (uint64_t nth = 1; nth <= 3; nth++) {
		jt__smilog_fini(&the_log);
		jt__smilog_init(&the_log, ORIGIN);
		jt__alloc_fail_at(nth);
		check(feed(&the_log, text) == JT_ENOMEM);
		jt__alloc_fail_at(0);
		check(the_log.n_gpus == nth - 1);
	}
}

int main(void)
{
	jt__smilog_init(&the_log, ORIGIN);
	test(reads_units_in_the_header);
	test(reads_units_in_the_cells);
	test(reads_the_columns_of_sensor_traces);
	test(power_draw_is_what_the_sensor_makes_of_it);
	test(tells_several_gpus_apart);
	test(two_boards_of_one_number_stay_two_domains);
	test(what_cannot_be_told_is_unknown);
	test(reads_clock_event_reasons);
	test(survives_restarts_blank_lines_and_talk);
	test(rows_from_before_a_clock_step_are_left_out);
	test(errors_name_the_line_and_the_column);
	test(a_row_that_does_not_say_which_gpu_is_left_out);
	test(too_many_columns_and_gpus_are_refused);
	test(running_out_of_memory_is_an_error);
	jt__smilog_fini(&the_log);
	return tap_done();
}
