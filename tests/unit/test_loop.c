/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include "base/rng.h"
#include "http/loop.h"
#include "sockets.h"
#include "tap.h"

static struct jt_loop *loop_or_die(void)
{
	struct jt_error err;
	struct jt_loop *l;

	if (jt__loop_new(&l, &err) < 0) {
		printf("Bail out! %s\n", err.message);
		exit(1);
	}
	return l;
}

struct ticket {
	struct jt_timer timer;
	struct jt_loop *loop;
	uint64_t want_ns;
	unsigned *order;
	unsigned place; /* in the order of firing, from 1; 0: not fired */
	int repeats;
};

static void punch(struct jt_timer *t)
{
	struct ticket *k = jt_container_of(t, struct ticket, timer);

	k->place = ++*k->order;
	if (jt__loop_now_ns(k->loop) < k->want_ns)
		k->place = 1000000;
	if (k->repeats-- > 0)
		jt__timer_set(k->loop, t, jt__loop_now_ns(k->loop));
}

static void fires_timers_in_order_however_they_were_moved(void)
{
	enum { N = 500 };
	struct jt_loop *l = loop_or_die();
	struct jt_rng rng = { 1 };
	static struct ticket tickets[N];
	uint64_t base_ns = jt__now_ns();
	unsigned fired = 0, set = 0;

	memset(tickets, 0, sizeof(tickets));
	for (int i = 0; i < N; i++) {
		tickets[i].timer.fn = punch;
		tickets[i].loop = l;
		tickets[i].order = &fired;
	}
	for (int round = 0; round < 5 * N; round++) {
		struct ticket *k = &tickets[jt__rng_below(&rng, N)];

		k->want_ns = base_ns + jt__rng_below(&rng, 30) * JT_NS_PER_MS;
		if (jt__rng_below(&rng, 4))
			jt__timer_set(l, &k->timer, k->want_ns);
		else
			jt__timer_cancel(l, &k->timer);
	}
	for (int i = 0; i < N; i++)
		set += tickets[i].timer.slot != 0;
	check(set > N / 2);
	check(turn_until(l, fired == set));
	turn_for(l, 40 * JT_NS_PER_MS);
	check(fired == set);
	/* Never early; and in the order of their times wherever two fired in one turn. */
	for (int i = 0; i < N; i++) {
		check(tickets[i].place < 1000000);
		for (int j = 0; j < N; j++)
			if (tickets[i].place && tickets[j].place &&
			    tickets[i].want_ns < tickets[j].want_ns &&
			    !check(tickets[i].place < tickets[j].place))
				break;
	}
	jt__loop_free(l);
}

static void a_timer_set_for_now_by_itself_does_not_hold_the_turn(void)
{
	struct jt_loop *l = loop_or_die();
	unsigned fired = 0;
	struct ticket k = { .timer = { .fn = punch }, .loop = l, .order = &fired, .repeats = 3 };

	jt__timer_set(l, &k.timer, 0);
	jt__loop_turn(l, 0);
	check(fired == 1);
	check(turn_until(l, fired == 4));
	jt__loop_turn(l, 0);
	check(fired == 4 && !k.timer.slot);
	jt__loop_free(l);
}

struct end {
	struct jt_watch watch;
	struct jt_loop *loop;
	struct end *other;
	int calls;
};

static void drop_the_other(struct jt_watch *w, uint32_t events)
{
	struct end *e = jt_container_of(w, struct end, watch);

	(void)events;
	e->calls++;
	jt__loop_unwatch(e->loop, &e->other->watch);
}

static void an_unwatched_descriptor_gets_no_event_even_of_this_turn(void)
{
	struct jt_loop *l = loop_or_die();
	struct end a = { .loop = l }, b = { .loop = l, .other = &a };
	int sockets[2];

	a.other = &b;
	socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
	a.watch = (struct jt_watch){ sockets[0], EPOLLOUT, drop_the_other };
	b.watch = (struct jt_watch){ sockets[1], EPOLLOUT, drop_the_other };
	check(jt__loop_watch(l, &a.watch) == JT_OK && jt__loop_watch(l, &b.watch) == JT_OK);
	check(jt__loop_watch(l, &b.watch) < 0); /* twice */
	jt__loop_turn(l, 0);
	check(a.calls + b.calls == 1);
	jt__loop_turn(l, 0);
	check(a.calls + b.calls == 2);
	close(sockets[0]);
	close(sockets[1]);
	jt__loop_free(l);
}

struct listener {
	struct jt_watch watch;
	int calls;
};

static void count_call(struct jt_watch *w, uint32_t events)
{
	check(events == EPOLLIN);
	jt_container_of(w, struct listener, watch)->calls++;
}

static void hears_only_of_what_is_wanted_now(void)
{
	struct jt_loop *l = loop_or_die();
	struct listener a = { 0 };
	int sockets[2];

	socketpair(AF_UNIX, SOCK_STREAM, 0, sockets);
	a.watch = (struct jt_watch){ sockets[0], EPOLLIN, count_call };
	check(jt__loop_watch(l, &a.watch) == JT_OK);
	jt__loop_rearm(l, &a.watch, 0);
	jt__loop_rearm(l, &a.watch, EPOLLIN);
	jt__loop_rearm(l, &a.watch, EPOLLRDHUP);
	check(a.watch.armed ==
	      (EPOLLIN | EPOLLRDHUP)); /* the kernel was told once more, not thrice */
	check(write(sockets[1], "x", 1) == 1);
	for (int i = 0; i < 3; i++)
		jt__loop_turn(l, 0);
	check(a.calls == 0 && a.watch.armed == EPOLLRDHUP); /* nor is it woken for nothing again */
	jt__loop_rearm(l, &a.watch, EPOLLIN);
	for (int i = 0; i < 3; i++)
		jt__loop_turn(l, 0);
	check(a.calls == 3);
	jt__loop_rearm(l, &a.watch, EPOLLOUT);
	jt__loop_rearm(l, &a.watch, EPOLLIN);
	check(!(a.watch.armed & EPOLLOUT)); /* which would be true all the time */
	close(sockets[0]);
	close(sockets[1]);
	jt__loop_free(l);
}

struct chain {
	struct jt_deferred d;
	struct jt_loop *loop;
	struct chain *then;
	int *order, place;
};

static void link_up(struct jt_deferred *d)
{
	struct chain *c = jt_container_of(d, struct chain, d);

	c->place = ++*c->order;
	if (c->then)
		jt__loop_defer(c->loop, &c->then->d);
}

static void runs_deferred_calls_in_order_at_the_end_of_the_turn(void)
{
	struct jt_loop *l = loop_or_die();
	int order = 0;
	struct chain third = { { .fn = link_up }, l, NULL, &order, 0 };
	struct chain first = { { .fn = link_up }, l, &third, &order, 0 };
	struct chain second = { { .fn = link_up }, l, NULL, &order, 0 };

	jt__loop_defer(l, &first.d);
	jt__loop_defer(l, &second.d);
	check(order == 0);
	jt__loop_turn(l, UINT64_MAX); /* does not wait: there is something to do */
	check(first.place == 1 && second.place == 2 && third.place == 3);
	jt__loop_defer(l, &second.d);
	jt__loop_free(l);
	check(second.place == 4);
}

static atomic_int wakes;

static void count_wake(void *user)
{
	(void)user;
	atomic_fetch_add(&wakes, 1);
}

static void *run(void *l)
{
	jt__loop_run(l);
	return NULL;
}

static void wakes_and_stops_from_other_threads(void)
{
	struct jt_loop *l = loop_or_die();
	pthread_t thread;

	atomic_store(&wakes, 0);
	jt__loop_on_wake(l, count_wake, NULL);
	pthread_create(&thread, NULL, run, l);
	for (int i = 1; i <= 50; i++) {
		uint64_t end_ns = jt__now_ns() + PATIENCE_NS;

		jt__loop_wake(l);
		while (atomic_load(&wakes) < i && jt__now_ns() < end_ns)
			usleep(100);
		check(atomic_load(&wakes) == i);
	}
	jt__loop_stop(l);
	pthread_join(thread, NULL);
	jt__loop_stop(l);
	jt__loop_run(l); /* stopped before it began */
	for (int i = 0; i < 5; i++)
		jt__loop_wake(l);
	jt__loop_turn(l, 0);
	check(atomic_load(&wakes) == 51); /* once for all five */
	jt__loop_free(l);
}

static void says_when_memory_or_descriptors_are_out(void)
{
	struct jt_loop *l = NULL;
	struct jt_error err;

	jt__alloc_fail_at(1);
	check(jt__loop_new(&l, &err) == JT_ENOMEM && !l);
	l = loop_or_die();
	jt__alloc_fail_at(1);
	check(jt__timer_set(l, &(struct jt_timer){ 0 }, 1) == JT_ENOMEM);
	jt__alloc_fail_at(0);
	jt__loop_free(l);
	jt__loop_free(NULL);
}

int main(void)
{
	test(fires_timers_in_order_however_they_were_moved);
	test(a_timer_set_for_now_by_itself_does_not_hold_the_turn);
	test(an_unwatched_descriptor_gets_no_event_even_of_this_turn);
	test(hears_only_of_what_is_wanted_now);
	test(runs_deferred_calls_in_order_at_the_end_of_the_turn);
	test(wakes_and_stops_from_other_threads);
	test(says_when_memory_or_descriptors_are_out);
	return tap_done();
}
