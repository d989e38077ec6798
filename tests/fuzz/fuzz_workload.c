/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include "simulator/trace.h"
#include "simulator/workload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check_ask(const struct jt_ask *a)
{
	must(a->input_tokens >= 1 && a->input_tokens <= JT_TRACE_MAX_TOKENS);
	must(a->output_tokens >= 1 && a->output_tokens <= JT_TRACE_MAX_TOKENS);
	must(a->arrival_ns <= JT_TRACE_MAX_NS && a->pause_ns <= JT_TRACE_MAX_NS);
	for (uint32_t i = 0; i < a->n_input_ids + a->n_output_ids; i++)
		must(a->ids[i] <= UINT32_MAX);
}

/* What was accepted when it was opened can be read, in order of arrival, with ids and without. */
static void read_all(struct jt_workload *w)
{
	uint64_t n_requests = 0, last_ns = 0;

	for (uint64_t line = 0; line < jt__workload_lines(w); line++) {
		struct jt_ask a = { 0 };

		for (uint32_t nth = 0; !a.is_last; nth++, n_requests++) {
			must(jt__workload_read(w, line, nth, nth % 2, &a, NULL) == JT_OK);
			must(jt__workload_read(w, line, nth, true, &a, NULL) == JT_OK);
			check_ask(&a);
		}
		must(a.arrival_ns >= last_ns && a.arrival_ns == jt__workload_arrival_ns(w, line));
		last_ns = a.arrival_ns;
	}
	must(n_requests == jt__workload_requests(w));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct jt_workload *w = NULL;
	struct jt_error err = { 0 };
	char path[40];
	int status;

	must(fd >= 0 && write(fd, data, n) == (ssize_t)n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	status = jt__workload_open(path, 0, &w, &err);
	must((status == JT_OK) == (w != NULL) && (status != JT_OK) == (err.message[0] != '\0'));
	if (w)
		read_all(w);
	jt__workload_free(w);
	close(fd);
	return 0;
}
