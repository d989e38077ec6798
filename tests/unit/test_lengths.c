/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include "base/base.h"
#include "gateway/lengths.h"
#include "tap.h"

static void expects_nothing_before_an_answer_was_seen(void)
{
	struct jt_lengths l = { 0 };

	check(jt__lengths_expect(&l, "chat") == 0);
}

static void expects_what_a_class_had(void)
{
	struct jt_lengths l = { 0 };

	for (int i = 0; i < 10; i++) {
		jt__lengths_learn(&l, "chat", 400, false);
		jt__lengths_learn(&l, "label", 4, false);
	}
	check_near(jt__lengths_expect(&l, "chat"), 400, 0.1);
	check_near(jt__lengths_expect(&l, "label"), 4, 0.001);
}

static void a_new_class_is_expected_to_be_like_all_others(void)
{
	struct jt_lengths l = { 0 };

	jt__lengths_learn(&l, "chat", 100, false);
	jt__lengths_learn(&l, "label", 4, false);
	check_near(jt__lengths_expect(&l, "never seen"), 20, 0.01); /* √(100 × 4) */
}

static void one_giant_among_many_changes_little(void)
{
	struct jt_lengths l = { 0 };

	for (int i = 0; i < 63; i++)
		jt__lengths_learn(&l, "chat", 100, false);
	jt__lengths_learn(&l, "chat", 100000, false);
	check(jt__lengths_expect(&l, "chat") < 120);
}

static void follows_a_class_that_changes(void)
{
	struct jt_lengths l = { 0 };

	for (int i = 0; i < 100000; i++)
		jt__lengths_learn(&l, "chat", 10, false);
	for (int i = 0; i < 400; i++)
		jt__lengths_learn(&l, "chat", 1000, false);
	check(jt__lengths_expect(&l, "chat") > 900);
}

/* max_tokens 8 does not say how long the answer would have been. */
static void a_cut_answer_teaches_only_that_answers_are_longer(void)
{
	struct jt_lengths l = { 0 };

	jt__lengths_learn(&l, "chat", 8, true);
	check_near(jt__lengths_expect(&l, "chat"), 8, 0.001);
	jt__lengths_learn(&l, "chat", 200, true);
	check(jt__lengths_expect(&l, "chat") > 8);
	for (int i = 0; i < 100; i++)
		jt__lengths_learn(&l, "chat", 400, false);
	for (int i = 0; i < 100; i++)
		jt__lengths_learn(&l, "chat", 8, true);
	check(jt__lengths_expect(&l, "chat") > 300);
}

static void *learn_many(void *arg)
{
	for (int i = 0; i < 20000; i++)
		jt__lengths_learn(arg, "chat", 50, false);
	return NULL;
}

static void threads_may_learn_at_once(void)
{
	struct jt_lengths l = { 0 };
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		check(pthread_create(&threads[i], NULL, learn_many, &l) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	check_near(jt__lengths_expect(&l, "chat"), 50, 0.01);
}

int main(void)
{
	test(expects_nothing_before_an_answer_was_seen);
	test(expects_what_a_class_had);
	test(a_new_class_is_expected_to_be_like_all_others);
	test(one_giant_among_many_changes_little);
	test(follows_a_class_that_changes);
	test(a_cut_answer_teaches_only_that_answers_are_longer);
	test(threads_may_learn_at_once);
	return tap_done();
}
