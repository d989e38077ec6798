/* SPDX-License-Identifier: Apache-2.0 */
#include "tree.h"
#include "base/base.h"
#include "jouletap/record.h"
#include "simulator/arrivals.h"

#define ASK(t) "{\"input_toks\":1,\"output_toks\":1,\"arrival_time_ns\":" #t "}\n"

static struct tree dir;

static struct jt_arrivals arrivals_of(const char *lines)
{
	struct jt_arrivals a = { 0 };
	struct jt_error err;

	tree_put(&dir, "/trace.jsonl", lines);
	check(jt__workload_open(tree_path(&dir, "/trace.jsonl"), 0, &a.workload, &err) == JT_OK);
	return a;
}

static void done(struct jt_arrivals *a)
{
	jt__workload_free(a->workload);
	jt__arrivals_fini(a);
}

static void lines_come_in_order_of_arrival(void)
{
	struct jt_arrivals a = arrivals_of(ASK(30) ASK(10) ASK(20) ASK(10));
	const uint64_t want[] = { 10, 10, 20, 30 };

	for (uint64_t i = 0; i < 4; i++) {
		struct jt_arrival x;

		check(jt__arrivals_next_ns(&a) == want[i]);
		x = jt__arrivals_take(&a);
		check(x.t_ns == want[i] && x.line == i && x.nth == 0);
	}
	check(jt__arrivals_next_ns(&a) == JT_NONE);
	done(&a);
}

static void what_sessions_release_comes_between_them(void)
{
	struct jt_arrivals a = arrivals_of(ASK(10) ASK(20));

	check(jt__arrivals_release(&a, (struct jt_arrival){ 15, 7, 1 }) == JT_OK);
	check(jt__arrivals_release(&a, (struct jt_arrival){ 25, 8, 1 }) == JT_OK);
	check(jt__arrivals_release(&a, (struct jt_arrival){ 5, 9, 2 }) == JT_OK);
	check(jt__arrivals_take(&a).line == 9);
	check(jt__arrivals_take(&a).t_ns == 10);
	check(jt__arrivals_take(&a).line == 7);
	check(jt__arrivals_take(&a).t_ns == 20);
	check(jt__arrivals_next_ns(&a) == 25);
	check(jt__arrivals_take(&a).nth == 1);
	check(jt__arrivals_next_ns(&a) == JT_NONE);
	done(&a);
}

static void of_one_instant_the_line_is_first_then_the_earlier_release(void)
{
	struct jt_arrivals a = arrivals_of(ASK(10));

	for (uint64_t i = 0; i < 3; i++)
		check(jt__arrivals_release(&a, (struct jt_arrival){ 10, 100 + i, 1 }) == JT_OK);
	check(jt__arrivals_take(&a).line == 0);
	for (uint64_t i = 0; i < 3; i++)
		check(jt__arrivals_take(&a).line == 100 + i);
	done(&a);
}

static void a_thousand_releases_in_any_order_are_sorted(void)
{
	struct jt_arrivals a = arrivals_of(ASK(2000));
	uint64_t last_ns = 0;

	for (uint64_t i = 0; i < 1000; i++)
		check(jt__arrivals_release(&a, (struct jt_arrival){ i * 619 % 1000, i, 1 }) ==
		      JT_OK);
	for (uint64_t i = 0; i < 1000; i++) {
		struct jt_arrival x = jt__arrivals_take(&a);

		check(x.t_ns >= last_ns && x.t_ns == x.line * 619 % 1000);
		last_ns = x.t_ns;
	}
	check(jt__arrivals_take(&a).t_ns == 2000 && jt__arrivals_next_ns(&a) == JT_NONE);
	done(&a);
}

static void no_memory_loses_nothing(void)
{
	struct jt_arrivals a = arrivals_of(ASK(10));

	jt__alloc_fail_at(1);
	check(jt__arrivals_release(&a, (struct jt_arrival){ 5, 0, 1 }) == JT_ENOMEM);
	jt__alloc_fail_at(0);
	check(jt__arrivals_next_ns(&a) == 10);
	check(jt__arrivals_release(&a, (struct jt_arrival){ 5, 0, 1 }) == JT_OK);
	check(jt__arrivals_next_ns(&a) == 5);
	done(&a);
}

int main(void)
{
	dir = tree_new(NULL);
	test(lines_come_in_order_of_arrival);
	test(what_sessions_release_comes_between_them);
	test(of_one_instant_the_line_is_first_then_the_earlier_release);
	test(a_thousand_releases_in_any_order_are_sorted);
	test(no_memory_loses_nothing);
	tree_free(&dir);
	return tap_done();
}
