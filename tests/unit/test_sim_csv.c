/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tap.h"
#include "simulator/csv.h"
#include "simulator/output.h"

static char dir[] = "/tmp/jouletap-csv-XXXXXX";
static struct jt_error err;

#define HEADER                                                                                     \
	"instance id,request id,model,input,output,arrival,end_time,latency,queuing_delay,TTFT,"   \
	"TPOT,ITL\r\n"

static const char *in_dir(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Of a file; to be freed. */
static char *slurp(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "r");
	char *text;
	long n;

	if (!f)
		return NULL;
	fseek(f, 0, SEEK_END);
	n = ftell(f);
	rewind(f);
	text = malloc((size_t)n + 1);
	*ret_n = fread(text, 1, (size_t)n, f);
	text[*ret_n] = '\0';
	fclose(f);
	return text;
}

static void check_file(const char *path, const char *want)
{
	size_t n = 0;
	char *got = slurp(path, &n);

	check_text(got, want);
	free(got);
}

/* Three instances, rows in the order in which requests finish. */
static void rows_are_as_python_writes_them(void)
{
	static const uint64_t gaps[] = { 7, 10, 18446744073709551615u };
	const struct jt_sim_request rows[] = {
		{ .instance = 2,
		  .id = 5,
		  .model = "m",
		  .itl_ns = gaps,
		  .n_itl = 3,
		  .input_tokens = 4,
		  .output_tokens = 4,
		  .arrival_ns = 100,
		  .end_ns = 350,
		  .queuing_ns = 9,
		  .ttft_ns = 99,
		  .tpot_ns = 50 },
		{ .instance = 0,
		  .id = 4294967296,
		  .model = "a,\"b\"",
		  .itl_ns = gaps,
		  .n_itl = 1,
		  .output_tokens = 2,
		  .end_ns = 100 },
		{ .instance = 1, .id = 1, .model = "m/n", .output_tokens = 1, .end_ns = 1 },
		{ .instance = 0,
		  .id = 0,
		  .model = "m",
		  .itl_ns = gaps,
		  .n_itl = 2,
		  .output_tokens = 3,
		  .arrival_ns = 1000000000000000,
		  .end_ns = 1000000000000099 },
	};
	struct jt_csv *c;

	check(jt__csv_open(in_dir("new/deep/rows.csv"), 3, &c, &err) == JT_OK);
	for (size_t i = 0; i < JT_ARRAY_LEN(rows); i++)
		jt__csv_put(c, &rows[i]);
	check(jt__csv_finish(c, &err) == JT_OK);
	jt__csv_free(c);
	check_file(in_dir("new/deep/rows.csv"),
	           HEADER "0,4294967296,\"a,\"\"b\"\"\",0,2,0,100,100,0,0,0,[7]\r\n"
	                  "0,0,m,0,3,1000000000000000,1000000000000099,99,0,0,0,\"[7, 10]\"\r\n"
	                  "1,1,m/n,0,1,0,1,1,0,0,0,[]\r\n"
	                  "2,5,m,4,4,100,350,250,9,99,50,\"[7, 10, 18446744073709551615]\"\r\n");
}

/* A row of instance @i that is longer than any buffer, against the same written by printf. */
static void put_long(struct jt_csv *c, FILE *want, uint32_t i, uint64_t id, uint32_t n)
{
	uint64_t *gaps = malloc(n * sizeof(*gaps));
	struct jt_sim_request r = {
		.instance = i, .id = id, .model = "m", .itl_ns = gaps, .n_itl = n
	};

	for (uint32_t k = 0; k < n; k++)
		gaps[k] = k * UINT64_C(2654435761) >> k % 40;
	jt__csv_put(c, &r);
	fprintf(want, "%u,%lu,m,0,0,0,0,0,0,0,0,\"[", i, id);
	for (uint32_t k = 0; k < n; k++)
		fprintf(want, "%s%lu", k ? ", " : "", gaps[k]);
	fputs("]\"\r\n", want);
	free(gaps);
}

static void long_rows_wait_in_files_without_a_name(void)
{
	char *want[2], *got;
	size_t n[2], n_got;
	FILE *f[2] = { open_memstream(&want[0], &n[0]), open_memstream(&want[1], &n[1]) };
	struct jt_csv *c;

	check(jt__csv_open(in_dir("long.csv"), 2, &c, &err) == JT_OK);
	for (uint64_t id = 0; id < 40; id++)
		put_long(c, f[id % 2], id % 2, id, (uint32_t)(2 + id * id * 97));
	check(jt__csv_finish(c, &err) == JT_OK);
	jt__csv_free(c);
	fclose(f[0]);
	fclose(f[1]);
	got = slurp(in_dir("long.csv"), &n_got);
	check(n_got == strlen(HEADER) + n[0] + n[1]);
	check(memcmp(got, HEADER, strlen(HEADER)) == 0);
	check(memcmp(got + strlen(HEADER), want[0], n[0]) == 0);
	check(memcmp(got + strlen(HEADER) + n[0], want[1], n[1]) == 0);
	free(got);
	free(want[0]);
	free(want[1]);
}

static void what_cannot_be_written_is_told_with_its_name(void)
{
	struct jt_sim_request r = { .model = "m" };
	struct jt_csv *c;

	check(jt__csv_open("/proc/none/x.csv", 1, &c, &err) < 0);
	check(strstr(err.message, "'/proc/none'") != NULL);
	check(jt__csv_open(dir, 1, &c, &err) < 0);
	check(strstr(err.message, dir) != NULL);
	check(jt__csv_open("/dev/full", 1, &c, &err) < 0);
	check(strstr(err.message, "'/dev/full'") != NULL);
	(void)r;
}

static void the_run_id_stands_where_the_name_says(void)
{
	char out[64];

	check(jt__sim_output_path("a/{run_id}/b-{run_id}.csv", "r1", out, sizeof(out), &err) == 0);
	check_text(out, "a/r1/b-r1.csv");
	check(jt__sim_output_path("{run}{run_id", "r1", out, sizeof(out), &err) == JT_OK);
	check_text(out, "{run}{run_id");
	check(jt__sim_output_path("{run_id}", "../x", out, sizeof(out), &err) == JT_EINVAL);
	check(jt__sim_output_path("x", "../x", out, sizeof(out), &err) == JT_OK);
	check(jt__sim_output_path("{run_id}{run_id}", "0123456789012345678901234567890123456789",
	                          out, sizeof(out), &err) == JT_EINVAL);
}

static void every_allocation_may_fail(void)
{
	int status = JT_ENOMEM;

	for (uint64_t nth = 1; status == JT_ENOMEM; nth++) {
		struct jt_sim_request r = { .instance = 1, .model = "m" };
		struct jt_csv *c = NULL;

		jt__alloc_fail_at(nth);
		status = jt__csv_open(in_dir("oom.csv"), 2, &c, &err);
		if (status == JT_OK) {
			jt__csv_put(c, &r);
			status = jt__csv_finish(c, &err);
		}
		jt__alloc_fail_at(0);
		jt__csv_free(c);
	}
	check(status == JT_OK);
}

int main(void)
{
	char command[300];

	if (!mkdtemp(dir))
		return 1;
	test(rows_are_as_python_writes_them);
	test(long_rows_wait_in_files_without_a_name);
	test(what_cannot_be_written_is_told_with_its_name);
	test(the_run_id_stands_where_the_name_says);
	test(every_allocation_may_fail);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return system(command) != 0 || tap_done();
}
