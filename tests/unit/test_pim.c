/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "tap.h"
#include "simulator/pim.h"

#define PIM(name) JT_SOURCE_ROOT "/data/simulator/configs/pim/" name ".ini"

static struct jt_pim load(const char *path, double mem_gb)
{
	struct jt_pim pim = { .name = "" };
	struct jt_error err = { .message = "" };

	if (!check(jt__pim_load(path, mem_gb, &pim, &err) == JT_OK))
		printf("# %s: %s\n", err.where, err.message);
	return pim;
}

/* Enough of a description to be one; %s: what comes at its end. */
#define DESCRIPTION                                                                                \
	"[dram_structure]\nprotocol = DDR4\nbankgroups = 2\nbanks_per_group = 4\nrows = 65536\n"   \
	"columns = 1024\ndevice_width = 16\n[timing]\ntCK = 0.63\nCL = 22\n[system]\n"             \
	"channel_size = 8192\nbus_width = 64\n[other]\ndata_rate = 3200\nidle_power = 623\n"       \
	"peak_power = 3803\n"

static int parse(const char *text, const char *path, double mem_gb, struct jt_pim *ret_pim,
                 struct jt_error *err)
{
	return jt__pim_parse(text, strlen(text), path, mem_gb, ret_pim, err);
}

/* DESCRIPTION with @was replaced by @is must fail with @message. */
static void refuses(const char *was, const char *is, const char *where, const char *message)
{
	const char *at = strstr(DESCRIPTION, was);
	struct jt_error err = { .message = "" };
	struct jt_pim pim;
	char text[2048];

	if (!check(at != NULL))
		return;
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - DESCRIPTION), DESCRIPTION, is,
	         at + strlen(was));
	check(parse(text, "dir/x.ini", 512, &pim, &err) == JT_EINVAL);
	check_text(err.where, where);
	check_text(err.message, message);
}

/* What the reference simulator printed for 512 GB of it. */
static void derives_what_the_reference_derives_of_ddr4(void)
{
	struct jt_pim pim = load(PIM("DDR4_8GB_3200_pim"), 512);

	check_text(pim.name, "DDR4_8GB_3200_pim");
	check(pim.bw_gbs == 1638.4 && pim.latency_ns == 13.86 && !pim.latency_is_whole);
	check(pim.channel_gb == 8 && pim.n_channels == 64);
	check(pim.idle_w == 0.623 && pim.peak_w == 3.803);
	check(pim.slope == 333.2538 && pim.intercept == 30675.2739);
}

/* Bandwidth of a channel: JEDEC's data rate times the bus, 8.5, 12.8 and 32 GB/s. */
static void derives_the_other_kinds(void)
{
	struct jt_pim lp4 = load(PIM("LPDDR4X_2GB_4266_pim"), 64);
	struct jt_pim lp5 = load(PIM("LPDDR5_2GB_6400_pim"), 64);
	struct jt_pim hbm = load(PIM("HBM2_1GB_2000_pim"), 64);

	check(lp4.n_channels == 32 && lp4.channel_gb == 2);
	check_near(lp4.bw_gbs, 32 * 8.532, 1e-9);
	check_near(lp4.latency_ns, 16.848, 1e-9);
	check(lp4.slope == 432.4458 && lp4.idle_w == 0.07 && lp4.peak_w == 0.771);
	check(lp5.n_channels == 32 && lp5.bw_gbs == 32 * 12.8 && lp5.latency_ns == 10.625);
	check(lp5.slope == 282.4338 && lp5.intercept == 15996.7018);
	check(hbm.n_channels == 64 && hbm.bw_gbs == 64 * 32 && hbm.latency_ns == 14);
	check(hbm.slope == 242.0548 && hbm.latency_is_whole);
}

static void knows_the_kind_by_name_before_protocol(void)
{
	struct jt_pim pim;

	check(parse(DESCRIPTION, "a/LPDDR5_mine.ini", 512, &pim, NULL) == JT_OK);
	check(pim.slope == 282.4338);
	check(parse(DESCRIPTION, "mine.ini", 512, &pim, NULL) == JT_OK);
	check(pim.slope == 333.2538);
	check_text(pim.name, "mine");
}

static void refuses_a_kind_without_figures(void)
{
	refuses("DDR4", "GDDR6", "dir/x.ini",
	        "protocol 'GDDR6' is not known: try LPDDR4, DDR4, LPDDR5 or HBM2");
}

/* 2 * 4 banks of 65536 rows of 2 KiB on each of 4 devices are 4 GiB. */
static void makes_a_channel_at_least_one_rank(void)
{
	struct jt_pim pim;
	char text[2048];

	snprintf(text, sizeof(text), "%s", DESCRIPTION);
	memcpy(strstr(text, "8192"), "1024", 4);
	check(parse(text, "x.ini", 512, &pim, NULL) == JT_OK);
	check(pim.channel_gb == 4 && pim.n_channels == 128);
}

static void counts_whole_channels_and_scales_bandwidth_with_the_memory(void)
{
	struct jt_pim pim;

	check(parse(DESCRIPTION, "x.ini", 100, &pim, NULL) == JT_OK);
	check(pim.n_channels == 12);
	check_near(pim.bw_gbs, 12.5 * 25.6, 1e-9);
}

static void refuses_a_memory_smaller_than_a_channel(void)
{
	struct jt_error err = { .message = "" };
	struct jt_pim pim;

	check(parse(DESCRIPTION, "x.ini", 4, &pim, &err) == JT_EINVAL);
	check_text(err.message, "a channel of 8 GB is larger than the node's memory of 4 GB");
}

static void leaves_out_comments_and_what_it_does_not_know(void)
{
	struct jt_pim pim;

	check(parse("# a comment\n; another\r\n\n[power] # of cores\nVDD = 1.2 # V\nfree text = "
	            "x\n" DESCRIPTION "peak = 1\nrefresh_policy=RANK # no key",
	            "x.ini", 512, &pim, NULL) == JT_OK);
	check(pim.channel_gb == 8);
}

static void names_the_key_that_is_missing_and_its_section(void)
{
	refuses("CL = 22\n", "", "dir/x.ini", "'CL' is missing: it belongs into [timing]");
}

static void names_the_line_of_a_wrong_number(void)
{
	refuses("3200", "fast", "dir/x.ini:15", "'data_rate' must be a number, not 'fast'");
	refuses("3200", "0", "dir/x.ini:15", "'data_rate' is 0, not within 1 and 1e+09");
	refuses("22", "-22", "dir/x.ini:10", "'CL' is -22, not within 1 and 1e+06");
	refuses("0.63", "nan", "dir/x.ini:9", "'tCK' must be a number, not 'nan'");
	refuses("0.63", "", "dir/x.ini:9", "'tCK' must be a number, not ''");
}

static void refuses_a_key_given_twice(void)
{
	refuses("CL = 22\n", "CL = 22\nCL = 22\n", "dir/x.ini:11", "given twice: 'CL'");
	refuses("[timing]", "protocol = HBM", "dir/x.ini:8", "given twice: 'protocol'");
}

static void refuses_a_line_that_is_no_ini(void)
{
	refuses("[timing]", "timing", "dir/x.ini:8",
	        "neither 'key = value' nor '[section]': 'timing'");
	refuses("[timing]", "= 3", "dir/x.ini:8", "neither 'key = value' nor '[section]': '= 3'");
	refuses("[timing]", "[timing", "dir/x.ini:8", "a section without its ']': '[timing'");
}

static void refuses_a_line_of_endless_length(void)
{
	char line[600];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	refuses("[timing]", line, "dir/x.ini:8", "longer than 511 bytes");
}

static void refuses_a_peak_below_the_idle_power(void)
{
	refuses("3803", "100", "dir/x.ini", "'peak_power' (100 mW) is below 'idle_power' (623 mW)");
}

static void says_which_file_is_missing(void)
{
	struct jt_error err = { .message = "" };
	struct jt_pim pim;

	check(jt__pim_load("/nonexistent/x.ini", 1, &pim, &err) == JT_ENOENT);
	check(strstr(err.message, "/nonexistent/x.ini") != NULL);
}

int main(void)
{
	test(derives_what_the_reference_derives_of_ddr4);
	test(derives_the_other_kinds);
	test(knows_the_kind_by_name_before_protocol);
	test(refuses_a_kind_without_figures);
	test(makes_a_channel_at_least_one_rank);
	test(counts_whole_channels_and_scales_bandwidth_with_the_memory);
	test(refuses_a_memory_smaller_than_a_channel);
	test(leaves_out_comments_and_what_it_does_not_know);
	test(names_the_key_that_is_missing_and_its_section);
	test(names_the_line_of_a_wrong_number);
	test(refuses_a_key_given_twice);
	test(refuses_a_line_that_is_no_ini);
	test(refuses_a_line_of_endless_length);
	test(refuses_a_peak_below_the_idle_power);
	test(says_which_file_is_missing);
	return tap_done();
}
